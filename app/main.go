// Package app wires the rooms into one program: it lists the adapters, opens
// everything in order, runs it, and closes it in reverse. It is the only
// package that knows all the others, and holds no behaviour of its own.
//
// Guarantees: what is started is stopped; SIGTERM drains requests in flight and
// exits 0; exit codes are 0 for success, 1 for failure and 2 for wrong usage.
package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/rapport-engine/rapport"
)

// Env is the world around the program.
type Env struct {
	Args           []string
	Getenv         func(string) string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// command is one verb of the program.
type command struct {
	name    string
	args    string // as shown in help
	summary string
	hidden  bool
	run     func(ctx context.Context, env Env, fs *flag.FlagSet) error
}

// usageError is a wrong call: exit code 2.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// Main runs the program and returns its exit code.
func Main(ctx context.Context, env Env) int {
	commands := commands()
	name := "help"
	if len(env.Args) > 0 {
		name = env.Args[0]
	}
	switch name {
	case "help", "-h", "--help":
		help(env.Stdout, commands)
		if len(env.Args) == 0 {
			return 2
		}
		return 0
	}
	for _, c := range commands {
		if c.name != name {
			continue
		}
		fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
		fs.SetOutput(io.Discard)
		fs.Usage = nil
		env.Args = env.Args[1:]
		err := c.run(ctx, env, fs)
		switch _, wrong := errors.AsType[usageError](err); {
		case err == nil:
			return 0
		case errors.Is(err, flag.ErrHelp):
			commandHelp(env.Stdout, c, fs)
			return 0
		case wrong:
			fmt.Fprintf(env.Stderr, "rapport %s: %v\n", c.name, err)
			commandHelp(env.Stderr, c, fs)
			return 2
		default:
			report(env.Stderr, c.name, err)
			return 1
		}
	}
	fmt.Fprintf(env.Stderr, "rapport: there is no command %q\n\n", name)
	help(env.Stderr, commands)
	return 2
}

// report prints an error with its single faults and its hint.
func report(w io.Writer, name string, err error) {
	var f interface{ Faults() []rapport.Fault }
	if errors.As(err, &f) {
		for _, x := range f.Faults() {
			at := x.Path
			if x.Line > 0 {
				at = fmt.Sprintf("%s:%d:%d", at, x.Line, x.Column)
			}
			fmt.Fprintf(w, "%s: %s\n", at, x.Message)
			if x.Hint != "" {
				fmt.Fprintf(w, "  %s\n", x.Hint)
			}
		}
	}
	fmt.Fprintf(w, "rapport %s: %v\n", name, err)
	if hint := rapport.HintOf(err); hint != "" {
		fmt.Fprintf(w, "  %s\n", hint)
	}
}

func help(w io.Writer, commands []command) {
	fmt.Fprintf(w, "Rapport %s, the real-time relationship engine.\n\n", rapport.Version)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range commands {
		if !c.hidden {
			fmt.Fprintf(t, "  rapport %s %s\t%s\n", c.name, c.args, c.summary)
		}
	}
	_ = t.Flush()
	fmt.Fprint(w, "\nEvery flag is also an environment variable: --listen is RAPPORT_LISTEN.\nrapport COMMAND --help tells more.\n")
}

func commandHelp(w io.Writer, c command, fs *flag.FlagSet) {
	fs.SetOutput(w)
	if fs.Usage == nil { // a job of a command says its own
		fmt.Fprintf(w, "usage: rapport %s %s\n%s.\n", c.name, c.args, c.summary)
	} else {
		fs.Usage()
	}
	fs.PrintDefaults()
}

// parse reads flags, which may stand before or after the operands, and then the
// environment for those not given. It returns the operands.
func parse(env Env, fs *flag.FlagSet, least, most int) ([]string, error) {
	var operands []string
	for rest := env.Args; ; {
		if err := fs.Parse(rest); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, usageError{err}
		}
		rest = fs.Args()
		if len(rest) == 0 {
			break
		}
		operands = append(operands, rest[0])
		rest = rest[1:]
	}
	if len(operands) < least || len(operands) > most {
		return nil, usagef("%d operands are given", len(operands))
	}
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	var err error
	fs.VisitAll(func(f *flag.Flag) {
		name := "RAPPORT_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if v := env.Getenv(name); v != "" && !given[f.Name] && err == nil {
			if serr := fs.Set(f.Name, v); serr != nil {
				err = usagef("environment %s: %v", name, serr)
			}
		}
	})
	return operands, err
}

// isTerminal reports whether a person is likely to be looking at w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
