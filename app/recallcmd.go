package app

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/rapport-engine/rapport/api"
	"github.com/rapport-engine/rapport/twin/epcis"
)

// runRecall calls product items back and tells how far that came.
func runRecall(ctx context.Context, env Env, flags *flag.FlagSet) error {
	var server remoteFlags
	server.flags(flags)
	var (
		id           = flags.String("id", "", "start: `name` of the recall; made up if left out")
		reason       = flags.String("reason", "", "start: `why`; stands in the message and on the item's page")
		instructions = flags.String("instructions", "", "start: `what` owners are to do")
		link         = flags.String("url", "", "start: `where` they learn more")
		placement    = flags.String("placement", "", "start: `id` of the placement the message is decided for; left out, the first with an action that has right: recall")
		state        = flags.String("state", "", "people: only those `waiting`, unreachable, sent, reached or acknowledged")
		asJSON       = flags.Bool("json", false, "print JSON")
	)
	operands, err := parse(env, flags, 1, 2)
	if err != nil {
		return err
	}
	verb, of := operands[0], ""
	if len(operands) == 2 {
		of = operands[1]
	}
	if (verb == "list") != (of == "") {
		return usagef("say list, or affected LOT, start LOT, show ID, people ID, remind ID, lift ID")
	}
	r, err := server.openAdmin(env)
	if err != nil {
		return err
	}
	c := recallCommand{env: env, server: r, json: *asJSON}
	path := "/v1/recalls/" + url.PathEscape(of)
	switch verb {
	case "list":
		return c.list(ctx)
	case "affected":
		return c.affected(ctx, of)
	case "start":
		return c.change(ctx, http.MethodPost, "/v1/recalls", map[string]string{"id": *id, "of": of, "reason": *reason, "instructions": *instructions, "url": *link, "placement": *placement}, "started")
	case "show":
		return c.show(ctx, path)
	case "people":
		return c.people(ctx, path+"/people", *state)
	case "remind":
		return c.change(ctx, http.MethodPost, path+"/remind", nil, "is told once more to everybody who did not take note")
	case "lift":
		return c.change(ctx, http.MethodDelete, path, nil, "lifted")
	}
	return usagef("%q is none of list, affected, start, show, people, remind, lift", verb)
}

type recallCommand struct {
	env    Env
	server *remote
	json   bool
}

// get reads a path, and prints it as it is where JSON is asked for.
func (c *recallCommand) get(ctx context.Context, path string, into any) (done bool, err error) {
	if err := c.server.call(ctx, http.MethodGet, path, nil, into); err != nil || !c.json {
		return err != nil, err
	}
	return true, json.NewEncoder(c.env.Stdout).Encode(into)
}

func (c *recallCommand) list(ctx context.Context) error {
	var out struct {
		Recalls []epcis.Recall `json:"recalls"`
	}
	if done, err := c.get(ctx, "/v1/recalls", &out); done {
		return err
	}
	t := tabwriter.NewWriter(c.env.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tOF\tITEMS\tBEGAN\tSTATE\tREASON")
	for _, r := range out.Recalls {
		state := "standing"
		if r.Lifted {
			state = "lifted"
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\n", r.ID, r.Of, r.Items, r.CreatedAt.Format("2006-01-02 15:04"), state, r.Reason)
	}
	return t.Flush()
}

func (c *recallCommand) affected(ctx context.Context, of string) error {
	var out api.Affected
	if done, err := c.get(ctx, "/v1/recalls/affected?limit=100000&of="+url.QueryEscape(of), &out); done {
		return err
	}
	t := tabwriter.NewWriter(c.env.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ITEM\tSTATE\tOWNER")
	for _, h := range out.Items {
		fmt.Fprintf(t, "%s\t%s\t%s\n", h.Item, h.Stage, h.Owner)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	more := ""
	if out.Truncated {
		more = "; there are more"
	}
	fmt.Fprintf(c.env.Stdout, "%s of %s%s\n", plural(int64(len(out.Items)), "item", "items"), plural(int64(out.Owners), "owner", "owners"), more)
	return nil
}

func (c *recallCommand) change(ctx context.Context, method, path string, in map[string]string, did string) error {
	for k, v := range in {
		if v == "" {
			delete(in, k)
		}
	}
	var out epcis.Recall
	var body any
	if in != nil {
		body = in
	}
	if err := c.server.call(ctx, method, path, body, &out); err != nil {
		return err
	}
	if c.json {
		return json.NewEncoder(c.env.Stdout).Encode(out)
	}
	fmt.Fprintf(c.env.Stdout, "recall %s %s\n", out.ID, did)
	return nil
}

func (c *recallCommand) show(ctx context.Context, path string) error {
	var out api.RecallStatus
	if done, err := c.get(ctx, path, &out); done {
		return err
	}
	p := out.Progress
	fmt.Fprintf(c.env.Stdout, `%s of %s: %s
items         %d, %d marked, %d nobody's yet
people        %d
  waiting     %d
  sent        %d
  reached     %d
  took note   %d
  unreachable %d
`, out.ID, out.Of, out.Reason, p.Items, p.Marked, p.Unowned, p.People, p.Waiting, p.Sent, p.Reached, p.Acknowledged, p.Unreachable)
	return nil
}

func (c *recallCommand) people(ctx context.Context, path, state string) error {
	t := tabwriter.NewWriter(c.env.Stdout, 0, 0, 2, ' ', 0)
	if !c.json {
		fmt.Fprintln(t, "PERSON\tSTATE\tCHANNEL\tITEMS\tWHY")
	}
	for after := ""; ; {
		var page struct {
			People []api.RecallPerson `json:"people"`
			Next   string             `json:"next"`
		}
		q := url.Values{"limit": {"10000"}, "state": {state}, "after": {after}}
		if err := c.server.call(ctx, http.MethodGet, path+"?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		for _, p := range page.People {
			if c.json { // one line each
				if err := json.NewEncoder(c.env.Stdout).Encode(p); err != nil {
					return err
				}
				continue
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", p.Person, p.State, p.Channel, strings.Join(p.Items, " "), p.Why)
		}
		if after = page.Next; after == "" {
			return t.Flush()
		}
	}
}
