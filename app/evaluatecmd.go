package app

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"strings"

	"github.com/rapport-engine/rapport/evaluate"
)

// runEvaluate runs a job of evaluate and prints its findings as one JSON object.
func runEvaluate(ctx context.Context, env Env, flags *flag.FlagSet) error {
	jobs := evaluate.Jobs()
	var names []string
	for _, j := range jobs {
		names = append(names, j.Name)
	}
	if len(env.Args) == 0 || strings.HasPrefix(env.Args[0], "-") {
		flags.Usage = func() {
			fmt.Fprint(flags.Output(), "usage: rapport evaluate JOB [flags]\nCheck the science on your own history before you trust it. Prints one JSON object. The jobs:\n\n")
			for _, j := range jobs {
				fmt.Fprintf(flags.Output(), "  rapport evaluate %s %s\n      %s.\n", j.Name, j.Args, j.Summary)
			}
		}
		if len(env.Args) > 0 {
			if _, err := parse(env, flags, 0, 0); err != nil {
				return err
			}
		}
		return usagef("no job is given; it is one of %s", strings.Join(names, ", "))
	}
	for _, j := range jobs {
		if j.Name != env.Args[0] {
			continue
		}
		env.Args = env.Args[1:]
		work := j.Prepare(flags)
		flags.Usage = func() {
			fmt.Fprintf(flags.Output(), "usage: rapport evaluate %s %s\n%s.\n", j.Name, j.Args, j.Summary)
		}
		if _, err := parse(env, flags, 0, 0); err != nil {
			return err
		}
		report, err := work(ctx, func(format string, args ...any) { fmt.Fprintf(env.Stderr, format+"\n", args...) })
		if err != nil {
			return err
		}
		out := json.NewEncoder(env.Stdout)
		out.SetIndent("", "  ")
		return out.Encode(report)
	}
	return usagef("%q is not a job; it is one of %s", env.Args[0], strings.Join(names, ", "))
}
