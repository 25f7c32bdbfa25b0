package app

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/bench"
)

// commands lists every verb of the program, in the order of help.
func commands() []command {
	return []command{
		{name: "serve", args: "[flags]", summary: "Run the server", run: runServe},
		{name: "demo", args: "[flags]", summary: "Run the server with the demo world in it", run: runDemo},
		{name: "check", args: "DIR", summary: "Check a folder of configuration without a server", run: runCheck},
		{name: "plan", args: "DIR [flags]", summary: "Show what applying a folder would change on a server", run: runPlan},
		{name: "apply", args: "DIR [flags]", summary: "Apply a folder of configuration to a server", run: runApply},
		{name: "export", args: "DIR [flags]", summary: "Write a server's configuration to a folder", run: runExport},
		{name: "import", args: "[people|items] FILE|URL [--mapping FILE] [flags]", summary: "Send the history, the people or the product items in a CSV or JSON lines file to a server", run: runImport},
		{name: "keys", args: "webpush [--json]", summary: "Make a key pair that a channel needs", run: runKeys},
		{name: "suppressions", args: "list|add|remove|report [ADDRESS...] [flags]", summary: "See and change the list of addresses that nothing is sent to", run: runSuppressions},
		{name: "recall", args: "list|affected LOT|start LOT|show ID|people ID|remind ID|lift ID [flags]", summary: "Call product items back, tell their owners, and see who was reached", run: runRecall},
		{name: "identity", args: "train|status [flags]", summary: "Learn who resembles whom from the people of a server, or tell what was learned", run: runIdentity},
		{name: "replay", args: "[flags]", summary: "Fold the log of a stopped server anew and compare with its state", run: runReplay},
		{name: "backup", args: "FILE.tar [flags]", summary: "Save a consistent copy of a running server", run: runBackup},
		{name: "restore", args: "FILE.tar --data DIR [flags]", summary: "Unpack a backup into a data folder", run: runRestore},
		{name: "sql", args: "[SQL|-|--when CONDITION] [flags]", summary: "Ask a server read-only SQL over all events, decisions and outcomes", run: runSQL},
		{name: "evaluate", args: "JOB [flags]", summary: "Check the science on your own history before you trust it, as JSON", run: runEvaluate},
		{name: "bench", args: "ingest|decide|segments [flags]", summary: "Measure a server beside the machine's own limits, as JSON", run: runBench},
		{name: "doctor", args: "[flags]", summary: "Look for what is wrong with a data folder or a running server", run: runDoctor},
		{name: "version", summary: "Print the version", run: runVersion},
		{name: "sql-child", summary: "The process that answers one SQL question", hidden: true, run: runSQLChild},
		{name: "bench-worker", summary: "The load generator of bench", hidden: true, run: runBenchWorker},
	}
}

func runVersion(_ context.Context, env Env, flags *flag.FlagSet) error {
	if _, err := parse(env, flags, 0, 0); err != nil {
		return err
	}
	revision := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				revision = " " + s.Value[:12]
			}
		}
	}
	fmt.Fprintf(env.Stdout, "rapport %s%s %s %s/%s\n", rapport.Version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}

func runBenchWorker(ctx context.Context, env Env, flags *flag.FlagSet) error {
	if _, err := parse(env, flags, 0, 0); err != nil {
		return err
	}
	return bench.Worker(ctx, env.Stdin, env.Stdout)
}
