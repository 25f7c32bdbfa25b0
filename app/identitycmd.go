package app

import (
	"context"
	"flag"
	"fmt"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/api"
)

// runIdentity trains the weights of likeness on a server, or tells how far the
// comparison of people is.
func runIdentity(ctx context.Context, env Env, flags *flag.FlagSet) error {
	var f remoteFlags
	f.flags(flags)
	args, err := parse(env, flags, 1, 1)
	if err != nil {
		return err
	}
	if args[0] != "train" && args[0] != "status" {
		return usagef("%q is neither train nor status", args[0])
	}
	server, err := f.openAdmin(env)
	if err != nil {
		return err
	}
	var s api.LikenessStatus
	if args[0] == "status" {
		if err := server.call(ctx, "GET", "/v1/identity/likeness", nil, &s); err != nil {
			return err
		}
		tellLikeness(env, &s)
		return nil
	}
	if err := server.call(ctx, "POST", "/v1/identity/likeness/train", map[string]any{}, &s); err != nil {
		return err
	}
	for told := ""; ; {
		if s.Progress != nil {
			line := s.Progress.Phase
			if s.Progress.Total > 0 {
				line += fmt.Sprintf(" %d of %d", s.Progress.Done, s.Progress.Total)
			}
			if line != told {
				fmt.Fprintln(env.Stderr, line)
				told = line
			}
		}
		if s.State != "training" {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(300 * time.Millisecond):
		}
		s = api.LikenessStatus{}
		if err := server.call(ctx, "GET", "/v1/identity/likeness", nil, &s); err != nil {
			return err
		}
	}
	if s.Failed != "" {
		return rapport.Errorf(rapport.Conflict, "no weights were learned: %s", s.Failed)
	}
	tellLikeness(env, &s)
	return nil
}

func tellLikeness(env Env, s *api.LikenessStatus) {
	fmt.Fprintf(env.Stdout, "people are compared: %s\n", s.State)
	if s.State == "off" {
		fmt.Fprintln(env.Stdout, "  switch it on with a document: {kind: likeness, id: people}")
	} else {
		fmt.Fprintf(env.Stdout, "  one person from %g bits, reviewed from %g; user ids: %s\n  %s source records, %s pairs alike\n", s.Unite, s.Review, s.UserIDs, grouped(s.Records), grouped(s.Links))
	}
	m := s.Model
	if m == nil {
		fmt.Fprintln(env.Stdout, "  there are no weights yet: rapport identity train")
		return
	}
	fmt.Fprintf(env.Stdout, "weights version %d of %s: %s records, %.0f pairs of one person, %d decisions\n", m.Version, m.Made, grouped(int64(m.Records)), m.Matches, m.Taught)
	for _, field := range m.Fields {
		fmt.Fprintf(env.Stdout, "  %-11s", field.Field)
		for _, l := range field.Levels {
			fmt.Fprintf(env.Stdout, "  %s %+.1f", l.Level, l.Bits)
		}
		fmt.Fprintln(env.Stdout)
	}
}
