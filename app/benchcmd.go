package app

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"

	"github.com/rapport-engine/rapport/bench"
)

// runBench measures and prints one JSON object on stdout.
func runBench(ctx context.Context, env Env, flags *flag.FlagSet) error {
	var o bench.Options
	flags.StringVar(&o.URL, "url", "", "`URL` of a running server; without it one is started and stopped")
	flags.StringVar(&o.Key, "key", "", "write key of a source of the running server")
	flags.IntVar(&o.PID, "pid", 0, "process id of the running server, for CPU and memory")
	flags.StringVar(&o.Dir, "dir", "", "`folder` for the data of a server of our own, where people stay known to the next measurement; a temporary one without it")
	flags.StringVar(&o.Profile, "cpu-profile", "", "`file` for a profile of our server's processor time, for pprof; of a comparison FILE is with traits and segments, FILE.without the other")
	flags.IntVar(&o.People, "people", 1_000_000, "how many people there are")
	flags.BoolVar(&o.Preload, "preload", false, "make all of them known first; decide always does")
	flags.IntVar(&o.Batch, "batch", 100, "events in a request")
	flags.IntVar(&o.Connections, "connections", 16, "requests under way at a time")
	flags.Float64Var(&o.Seconds, "seconds", 20, "how long each load is measured")
	flags.Float64Var(&o.Warmup, "warmup", 3, "seconds before measuring")
	flags.Float64Var(&o.Rate, "rate", 0, "events a second; 0 is as fast as the server takes them")
	flags.Float64Var(&o.ReadRate, "read-rate", 20_000, "events a second beside which accepted-to-readable is measured; below 0 leaves it out")
	flags.BoolVar(&o.Restart, "restart", false, "measure how soon the server is ready again after a stop and after a kill")
	flags.BoolVar(&o.NoLimits, "no-limits", false, "leave the machine's own limits out")
	flags.IntVar(&o.Traits, "traits", 0, "ingest: compare a server that keeps so many computed traits ...")
	flags.IntVar(&o.Segments, "segments", 0, "ingest: ... so many live segments, and all predictions, with one that has none of the three")
	flags.IntVar(&o.Actions, "actions", 50, "decide: actions that compete")
	flags.IntVar(&o.Features, "features", 20, "decide: features of each decision, 5 to 21")
	flags.Float64Var(&o.DecideRate, "decide-rate", 2000, "decide: decisions a second")
	flags.Float64Var(&o.EventsRate, "events-rate", 10_000, "decide: events a second beside them")
	operands, err := parse(env, flags, 1, 1)
	if err != nil {
		return err
	}
	o.Token = remoteToken(env)
	o.Progress = func(text string) { fmt.Fprintln(env.Stderr, text) }
	var report any
	switch operands[0] {
	case "ingest":
		report, err = bench.Ingest(ctx, o)
	case "decide":
		report, err = bench.Decide(ctx, o)
	case "segments":
		report, err = bench.Segments(ctx, o)
	default:
		return usagef("%q is not a measurement; it is ingest, decide or segments", operands[0])
	}
	if err != nil {
		return err
	}
	out := json.NewEncoder(env.Stdout)
	out.SetIndent("", "  ")
	return out.Encode(report)
}
