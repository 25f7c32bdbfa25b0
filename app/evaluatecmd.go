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
		for _, j := range jobs {
			fmt.Fprintf(env.Stderr, "  rapport evaluate %s %s\n      %s\n", j.Name, j.Args, j.Summary)
		}
		if len(env.Args) > 0 && strings.TrimLeft(env.Args[0], "-") == "help" {
			return flag.ErrHelp
		}
		return usagef("no job is given; it is one of %s", strings.Join(names, ", "))
	}
	for _, j := range jobs {
		if j.Name != env.Args[0] {
			continue
		}
		env.Args = env.Args[1:]
		work := j.Prepare(flags)
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
