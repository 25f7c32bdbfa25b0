package app

import (
	"bufio"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/api"
	"github.com/rapport-engine/rapport/collect/item"
)

// itemsFlags say what the import of items asks for.
type itemsFlags struct {
	secrets       string
	tokens, codes bool
	rotate        bool
}

// itemColumns are the columns an item is read from. Others are its facts.
var itemColumns = []string{"item", "gtin", "serial", "at", "stage", "name", "tag", "claim_code", "owner", "owned_at"}

// openItems checks what is asked for and runs the import of items.
func (i *importing) openItems(ctx context.Context, name string, f itemsFlags, server remoteFlags, mapping string, maxBytes int64, check bool) (err error) {
	switch {
	case mapping != "":
		return usagef("import items reads its columns by their names; leave out --mapping, or the word items")
	case (f.tokens || f.codes) && f.secrets == "":
		return usagef("--secrets is missing: tokens and claim codes are shown once, so say which file gets them")
	case f.rotate && !f.tokens:
		return usagef("--rotate ends the tokens of devices that get a new one: add --tokens")
	}
	var r *remote
	if !check {
		if r, err = server.openAdmin(i.env); err != nil {
			return err
		}
	}
	if err := i.open(ctx, name, maxBytes); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.in.Close()) }()
	return i.items(ctx, f, r)
}

// items makes the items in the rows of a file known: with device tokens, claim
// codes and owners. It is asked for as "import items".
func (i *importing) items(ctx context.Context, f itemsFlags, r *remote) (err error) {
	i.begun, i.next = time.Now(), max(i.from, 1)
	t := itemTable{importing: i, f: f, server: r}
	defer func() {
		if i.rejected != nil {
			err = errors.Join(err, i.rejected.Close())
		}
		err = errors.Join(err, t.closeSecrets())
	}()
	if t.rows, err = openRows(i.in, &mapping{Delimiter: ","}); err != nil {
		return err
	}
	if t.rows.csv && t.column("item") == "" && (t.column("gtin") == "" || t.column("serial") == "") {
		return rapport.WithHint(rapport.Errorf(rapport.Invalid, "no column names the items"), "the header needs item, or gtin and serial")
	}
	var drawn time.Time
	for {
		row, err := t.rows.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err = t.take(ctx, row, err); err != nil {
			return i.stopped(err)
		}
		if now := time.Now(); now.Sub(drawn) > 200*time.Millisecond {
			drawn = now
			i.progressOf("items")
		}
	}
	if err := t.send(ctx); err != nil {
		return i.stopped(err)
	}
	t.summary()
	return nil
}

// itemTable is one run of import items.
type itemTable struct {
	*importing
	f      itemsFlags
	server *remote // nil: only check
	rows   *rows

	entries []api.ItemEntry
	texts   []rowError // the rows of the entries
	secrets *os.File
	out     *csv.Writer
	given   int64 // tokens and codes
}

const itemBatch = 200

// column returns the name of a CSV column as the file writes it, or "".
func (t *itemTable) column(name string) string {
	for have := range t.rows.columns {
		if strings.EqualFold(strings.ReplaceAll(have, " ", "_"), name) {
			return have
		}
	}
	return ""
}

func (t *itemTable) take(ctx context.Context, r *row, err error) error {
	if skip, err := t.skips(r, err); skip || err != nil {
		return err
	}
	e, err := t.entry(r)
	if err != nil {
		return t.reject(&rowError{r.line, r.text, err.Error()})
	}
	t.entries = append(t.entries, e)
	t.texts = append(t.texts, rowError{line: r.line, text: slices.Clone(r.text)})
	if len(t.entries) >= itemBatch {
		return t.send(ctx)
	}
	return nil
}

// values returns what a row says, by lower-case name.
func (t *itemTable) values(r *row) map[string]string {
	out := map[string]string{}
	put := func(name string, v any) {
		if s := strings.TrimSpace(fmt.Sprint(v)); v != nil && s != "" {
			out[strings.ToLower(strings.ReplaceAll(name, " ", "_"))] = s
		}
	}
	if t.rows.csv {
		for name := range t.rows.columns {
			put(name, r.get(name))
		}
		return out
	}
	for name, v := range t.rows.members {
		put(name, v)
	}
	return out
}

func (t *itemTable) entry(r *row) (e api.ItemEntry, err error) {
	v := t.values(r)
	e = api.ItemEntry{Item: v["item"], Stage: v["stage"], Name: v["name"], Tag: v["tag"], ClaimCode: v["claim_code"], Token: t.f.tokens, NewCode: t.f.codes}
	if e.Item == "" {
		e.Item = "/01/" + fill(v["gtin"]) + "/21/" + v["serial"]
	}
	if e.Item, err = item.Resolve(e.Item); err != nil {
		return e, err
	}
	for _, x := range []struct {
		name string
		to   **time.Time
	}{{"at", &e.At}, {"owned_at", &e.OwnedAt}} {
		if v[x.name] == "" {
			continue
		}
		at, err := parseMoment(v[x.name])
		if err != nil {
			return e, fmt.Errorf("%s: %w", x.name, err)
		}
		*x.to = &at
	}
	if v["owner"] != "" {
		e.Owner = api.Owner(v["owner"])
	}
	for _, name := range slices.Sorted(maps.Keys(v)) {
		if !slices.Contains(itemColumns, name) {
			if e.Facts == nil {
				e.Facts = map[string]string{}
			}
			e.Facts[name] = v[name]
		}
	}
	return e, nil
}

// fill writes a GTIN with 14 digits.
func fill(gtin string) string {
	if len(gtin) > 0 && len(gtin) < 14 {
		return strings.Repeat("0", 14-len(gtin)) + gtin
	}
	return gtin
}

// parseMoment reads a day or a moment.
func parseMoment(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05", time.DateOnly} {
		if at, err := time.Parse(layout, s); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time; write 2026-01-15 or 2026-01-15T12:00:00Z", s)
}

// send brings the batch to the server and keeps what it gave.
func (t *itemTable) send(ctx context.Context) error {
	if len(t.entries) == 0 {
		return nil
	}
	if t.server != nil {
		var answer struct {
			Items []api.EnteredItem `json:"items"`
		}
		if err := t.server.call(ctx, "POST", "/v1/items/import", map[string]any{"items": t.entries, "rotate": t.f.rotate}, &answer); err != nil {
			return err
		}
		if len(answer.Items) != len(t.entries) {
			return rapport.Errorf(rapport.Internal, "the server answered for %d of %d items", len(answer.Items), len(t.entries))
		}
		for i, x := range answer.Items {
			if err := t.keep(x); err != nil {
				return err
			}
			if x.Problem != "" {
				bad := t.texts[i]
				bad.reason = x.Problem
				if err := t.reject(&bad); err != nil {
					return err
				}
				t.sent--
			}
		}
		if t.out != nil {
			if t.out.Flush(); t.out.Error() != nil {
				return t.out.Error()
			}
		}
	} else {
		w := bufio.NewWriter(t.env.Stdout)
		for _, e := range t.entries[:max(0, min(len(t.entries), shownEvents-t.shown))] {
			t.shown++
			b, err := json.Marshal(e)
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "%s\n", b)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	t.sent += int64(len(t.entries))
	t.entries, t.texts, t.next = t.entries[:0], t.texts[:0], t.line+1
	return nil
}

// keep writes a token and a claim code, which are shown this once.
func (t *itemTable) keep(x api.EnteredItem) error {
	if cmp.Or(x.Token, x.ClaimCode) == "" || t.f.secrets == "" {
		return nil
	}
	if t.secrets == nil {
		// A file that is there is added to: what it holds cannot be had again.
		f, err := os.OpenFile(t.f.secrets, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return rapport.WithHint(fmt.Errorf("keep the tokens: %w", err), "name another file with --secrets")
		}
		t.secrets, t.out = f, csv.NewWriter(f)
		if info, err := f.Stat(); err == nil && info.Size() == 0 {
			if err := t.out.Write([]string{"item", "token", "claim_code"}); err != nil {
				return err
			}
		}
	}
	t.given++
	return t.out.Write([]string{x.Item, x.Token, x.ClaimCode})
}

func (t *itemTable) closeSecrets() error {
	if t.secrets == nil {
		return nil
	}
	return errors.Join(t.secrets.Sync(), t.secrets.Close())
}

func (t *itemTable) summary() {
	t.wipe()
	verb := "known"
	if t.server == nil {
		verb = "would be made known"
	}
	fmt.Fprintf(t.env.Stdout, "%s %s, %d rejected, in %s\n", plural(t.sent, "item", "items"), verb, t.bad, time.Since(t.begun).Round(10*time.Millisecond))
	if t.given > 0 {
		fmt.Fprintf(t.env.Stdout, "Tokens and claim codes are in %s. The server keeps only their hashes.\n", t.f.secrets)
	}
	if t.bad > 0 && t.server != nil {
		fmt.Fprintf(t.env.Stdout, "Rejected rows are in %s, each with its line and the reason.\n", t.rejectedPath)
	}
}
