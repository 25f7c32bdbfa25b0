package app

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/api"
	"github.com/rapport-engine/rapport/deliver/feedback"
)

// runSuppressions lists, adds and removes addresses that nothing is sent to, and
// hands a bounced mail in.
func runSuppressions(ctx context.Context, env Env, flags *flag.FlagSet) error {
	var server remoteFlags
	server.flags(flags)
	var (
		kind    = flags.String("kind", "", "list: only addresses of this `kind`: email or phone")
		reason  = flags.String("reason", "", "list: only those suppressed for this `reason`; add: why: bounce, complaint, manual or import")
		detail  = flags.String("detail", "", "add: why, in a few `words`")
		channel = flags.String("channel", "email", "report: `id` of the channel the mail was sent through")
	)
	operands, err := parse(env, flags, 1, 1+maxOperands)
	if err != nil {
		return err
	}
	r, err := server.openAdmin(env)
	if err != nil {
		return err
	}
	verb, rest := operands[0], operands[1:]
	switch verb {
	case "list":
		if len(rest) > 0 {
			return usagef("list takes no operands; to look for an address, ask for it with grep or the API")
		}
		return listSuppressions(ctx, env, r, url.Values{"kind": {*kind}, "reason": {*reason}})
	case "add":
		return addSuppressions(ctx, env, r, rest, *reason, *detail)
	case "remove":
		return removeSuppressions(ctx, env, r, rest)
	case "report":
		return reportMail(ctx, env, r, rest, *channel)
	}
	return usagef("%q is none of list, add, remove, report", verb)
}

const (
	maxOperands  = 1000
	perRequest   = 10_000 // addresses in one request
	maxLine      = 1000
	maxAddresses = 5_000_000
)

func listSuppressions(ctx context.Context, env Env, r *remote, q url.Values) error {
	for k, v := range q { // what is not asked for is left out
		if v[0] == "" {
			q.Del(k)
		}
	}
	q.Set("limit", "1000")
	t := tabwriter.NewWriter(env.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SINCE\tKIND\tREASON\tDETAIL\tBY\tADDRESS OR ID")
	for {
		var page struct {
			Suppressions []api.Suppression `json:"suppressions"`
			Next         string            `json:"next"`
			Total        int               `json:"total"`
		}
		if err := r.call(ctx, http.MethodGet, "/v1/suppressions?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		for _, x := range page.Suppressions {
			name := x.Address
			if name == "" {
				name = x.ID
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", x.At.Format("2006-01-02"), x.Kind, x.Reason, x.Detail, x.By, name)
		}
		if page.Next == "" {
			return t.Flush()
		}
		q.Set("after", page.Next)
	}
}

// addresses returns the operands, or the lines of standard input for "-".
func addresses(env Env, operands []string) ([]string, error) {
	if len(operands) != 1 || operands[0] != "-" {
		if len(operands) == 0 {
			return nil, usagef("name addresses, or - to read them from standard input, one a line")
		}
		return operands, nil
	}
	var list []string
	lines := bufio.NewScanner(env.Stdin)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		if s := strings.TrimSpace(lines.Text()); s != "" {
			list = append(list, s)
		}
		if len(list) > maxAddresses {
			return nil, rapport.Errorf(rapport.Invalid, "more than %d addresses", maxAddresses)
		}
	}
	return list, lines.Err()
}

func addSuppressions(ctx context.Context, env Env, r *remote, operands []string, reason, detail string) error {
	list, err := addresses(env, operands)
	if err != nil {
		return err
	}
	added := 0
	for part := range slices.Chunk(list, perRequest) {
		in := map[string]any{}
		var out struct {
			Added int `json:"added"`
		}
		var named []map[string]string
		for _, a := range part {
			named = append(named, map[string]string{"address": a})
		}
		in["addresses"] = named
		if reason != "" {
			in["reason"] = reason
		}
		if detail != "" {
			in["detail"] = detail
		}
		if err := r.call(ctx, http.MethodPost, "/v1/suppressions", in, &out); err != nil {
			return err
		}
		added += out.Added
	}
	fmt.Fprintf(env.Stdout, "%s suppressed, %s on the list before\n", plural(int64(added), "address", "addresses"), grouped(int64(len(list)-added)))
	return nil
}

func removeSuppressions(ctx context.Context, env Env, r *remote, operands []string) error {
	list, err := addresses(env, operands)
	if err != nil {
		return err
	}
	removed, missing := 0, 0
	for _, a := range list {
		ref := a
		switch {
		case strings.Contains(a, "@"):
			ref = "email:" + a
		case strings.HasPrefix(a, "+"):
			ref = "phone:" + a
		}
		err := r.call(ctx, http.MethodDelete, "/v1/suppressions/"+url.PathEscape(ref), nil, nil)
		switch {
		case rapport.KindOf(err) == rapport.NotFound:
			missing++
		case err != nil:
			return err
		default:
			removed++
		}
	}
	fmt.Fprintf(env.Stdout, "%s taken off the list, %s not on it\n", plural(int64(removed), "address", "addresses"), grouped(int64(missing)))
	if removed == 0 && missing > 0 {
		return rapport.Errorf(rapport.NotFound, "none of the addresses is on the list")
	}
	return nil
}

// reportMail hands in a mail that came back, from a file or standard input: what
// a mail server's alias for bounces calls.
func reportMail(ctx context.Context, env Env, r *remote, operands []string, channel string) error {
	if len(operands) > 1 {
		return usagef("report takes one mail")
	}
	in := env.Stdin
	if len(operands) == 1 && operands[0] != "-" {
		f, err := os.Open(operands[0])
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, feedback.MaxMessage+1))
	if err != nil {
		return fmt.Errorf("read the mail: %w", err)
	}
	if len(raw) > feedback.MaxMessage {
		return errors.New("the mail is longer than 10 MB")
	}
	var out api.ReportsAnswer
	if err := r.post(ctx, "/v1/channels/"+url.PathEscape(channel)+"/reports", "message/rfc822", raw, &out); err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "%s taken, %s about no mail of ours, %s suppressed\n", plural(int64(out.Taken), "report", "reports"), grouped(int64(out.Ignored)), plural(int64(out.Suppressed), "address", "addresses"))
	return nil
}
