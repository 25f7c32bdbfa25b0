package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/client"
)

// runImport sends the rows of a file to a server: as history, as people, or as items.
func runImport(ctx context.Context, env Env, flags *flag.FlagSet) (err error) {
	i := importing{env: env}
	var server remoteFlags
	server.flags(flags)
	mappingPath := flags.String("mapping", "", "`file` that says how rows become events; see docs/import.md")
	keyEnv := flags.String("source-key-env", "RAPPORT_KEY", "`variable` of the environment with the write key of the source")
	flags.Int64Var(&i.from, "from-line", 1, "begin at this line, to go on after an interruption")
	flags.StringVar(&i.rejectedPath, "rejected", "", "`file` for rows that cannot be read; without it the input's name and .rejected.jsonl")
	maxBytes := flags.Int64("max-bytes", 16<<30, "most bytes to read, decompressed")
	check := flags.Bool("check", false, "read and map everything, send nothing, and print the first events")
	var people peopleFlags
	flags.StringVar(&people.userID, "user-id", "", "import people: `column` with their user ids")
	flags.StringVar(&people.columns, "columns", "", "import people: which columns hold what, as `name=COLUMN,...`: email, phone, given_name, surname, birth_date, address, postcode, city, or the name of a trait. Without it columns are known by their names")
	flags.StringVar(&people.at, "time", "", "import people: `column` with the time as of which it holds; without it now")
	var things itemsFlags
	flags.BoolVar(&things.tokens, "tokens", false, "import items: make a device token for each, written to the file of --secrets")
	flags.BoolVar(&things.codes, "claim-codes", false, "import items: make a claim code for those without one, written to the file of --secrets")
	flags.StringVar(&things.secrets, "secrets", "", "import items: `file` that gets item, token and claim_code, readable by you alone")
	flags.BoolVar(&things.rotate, "rotate", false, "import items: end the earlier tokens of those that get one")
	operands, err := parse(env, flags, 1, 2)
	if err != nil {
		return err
	}
	i.dry = *check
	if operands[0] == "items" && len(operands) == 2 {
		return i.openItems(ctx, operands[1], things, server, *mappingPath, *maxBytes, *check)
	}
	switch {
	case operands[0] == "people" && len(operands) == 2:
		operands = operands[1:]
		if *mappingPath != "" {
			return usagef("import people makes its own mapping; leave out --mapping, or the word people")
		}
		if i.mapping, err = people.mapping(operands[0], time.Now()); err != nil {
			return err
		}
	case len(operands) != 1:
		return usagef("%d operands are given", len(operands))
	case *mappingPath == "":
		return usagef("--mapping is missing: it says how rows become events; see docs/import.md")
	default:
		if i.mapping, err = loadMapping(*mappingPath); err != nil {
			return err
		}
	}
	if !*check {
		key := env.Getenv(*keyEnv)
		if key == "" {
			return usagef("%s is not set: it holds the write key of the source the events come from", *keyEnv)
		}
		r, err := server.open(key)
		if err != nil {
			return err
		}
		if i.client, err = client.New(client.Options{URL: r.base, Key: key, Gzip: !r.local, HTTPClient: r.client}); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, i.client.Close(ctx)) }()
	}
	if err := i.open(ctx, operands[0], *maxBytes); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.in.Close()) }()
	return i.run(ctx)
}

// open opens the file and says where rows go that cannot be read.
func (i *importing) open(ctx context.Context, name string, maxBytes int64) (err error) {
	if i.in, err = openInput(ctx, name, maxBytes); err != nil {
		return err
	}
	if i.rejectedPath == "" {
		i.rejectedPath = name + ".rejected.jsonl"
		if i.in.remote {
			i.rejectedPath = i.in.name + ".rejected.jsonl"
		}
	}
	return nil
}

// importing is one run of import.
type importing struct {
	env          Env
	mapping      *mapping
	client       *client.Client // nil: only check, or items
	dry          bool           // only check
	in           *input
	from         int64
	rejectedPath string
	rejected     *os.File

	sent, skipped, bad int64
	batch              []byte
	batched            int64
	line, next         int64 // read; the first not known to be durable
	shown              int
	begun              time.Time
}

const (
	importBatch = 500
	importBytes = 1 << 20
	shownEvents = 3
	shownFaults = 10
)

func (i *importing) run(ctx context.Context) (err error) {
	i.begun, i.next = time.Now(), max(i.from, 1)
	defer func() {
		if i.rejected != nil {
			err = errors.Join(err, i.rejected.Close())
		}
	}()
	rows, err := openRows(i.in, i.mapping)
	if err != nil {
		return err
	}
	var drawn time.Time
	for {
		r, err := rows.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err = i.take(ctx, r, err); err != nil {
			return i.stopped(err)
		}
		if now := time.Now(); now.Sub(drawn) > 200*time.Millisecond {
			drawn = now
			i.progress()
		}
	}
	if err := i.flush(ctx); err != nil {
		return i.stopped(err)
	}
	i.summary()
	return nil
}

// skips notes the line that is at hand and reports whether there is nothing more
// to do with it: it was taken in an earlier run, or cannot be read and is kept as such.
func (i *importing) skips(r *row, err error) (bool, error) {
	if bad, ok := errors.AsType[*rowError](err); ok {
		if i.line = bad.line; i.line < i.from {
			return true, nil
		}
		return true, i.reject(bad)
	}
	if err != nil {
		return true, err
	}
	i.line = r.line
	return i.line < i.from, nil
}

// take maps one row and puts it into the batch.
func (i *importing) take(ctx context.Context, r *row, err error) error {
	if skip, err := i.skips(r, err); skip || err != nil {
		return err
	}
	id, err := i.messageID(r)
	var event []byte
	if err == nil {
		event, err = i.mapping.event(r, id)
	}
	switch {
	case err != nil:
		return i.reject(&rowError{r.line, r.text, err.Error()})
	case event == nil:
		i.skipped++
		return nil
	}
	if i.client == nil && i.shown < shownEvents {
		i.shown++
		fmt.Fprintf(i.env.Stdout, "%s\n", event)
	}
	if len(i.batch) > 0 {
		i.batch = append(i.batch, ',')
	}
	i.batch = append(i.batch, event...)
	if i.batched++; i.batched >= importBatch || len(i.batch) >= importBytes {
		return i.flush(ctx)
	}
	return nil
}

// messageID names a row: by its natural key, or by file, line and text. The same
// row so has the same id in every run, and is counted once.
func (i *importing) messageID(r *row) (string, error) {
	h := sha256.New()
	if i.mapping.ID.set {
		v, err := i.mapping.value(r, &i.mapping.ID)
		if err != nil || v == nil {
			return "", errors.Join(err, errors.New("id: there is none"))
		}
		fmt.Fprintf(h, "id\x00%s\x00%v", i.mapping.Edition, v)
	} else {
		fmt.Fprintf(h, "row\x00%s\x00%s\x00%d\x00%s", i.mapping.Edition, i.in.name, r.line, r.text)
	}
	return "import-" + hex.EncodeToString(h.Sum(nil)[:16]), nil
}

func (i *importing) flush(ctx context.Context) error {
	if i.batched > 0 && i.client != nil {
		if err := i.client.SendEncoded(ctx, i.batch, true); err != nil {
			return err
		}
	}
	i.sent += i.batched
	i.batch, i.batched, i.next = i.batch[:0], 0, i.line+1
	return nil
}

// reject keeps a row that cannot be read, with its place and the reason.
func (i *importing) reject(r *rowError) error {
	i.bad++
	if i.dry {
		if i.bad <= shownFaults {
			fmt.Fprintln(i.env.Stderr, r)
		}
		return nil
	}
	if i.rejected == nil {
		mode := os.O_CREATE | os.O_WRONLY | os.O_TRUNC
		if i.from > 1 {
			mode = os.O_CREATE | os.O_WRONLY | os.O_APPEND
		}
		f, err := os.OpenFile(i.rejectedPath, mode, 0o600)
		if err != nil {
			return rapport.WithHint(fmt.Errorf("keep rejected rows: %w", err), "name another file with --rejected")
		}
		i.rejected = f
	}
	b, err := json.Marshal(struct {
		Line   int64  `json:"line"`
		Reason string `json:"reason"`
		Row    string `json:"row"`
	}{r.line, r.reason, string(r.text)})
	if err != nil {
		return err
	}
	_, err = i.rejected.Write(append(b, '\n'))
	return err
}

// stopped says how to go on after an error.
func (i *importing) stopped(err error) error {
	i.wipe()
	hint := rapport.HintOf(err)
	if hint != "" {
		hint += "; "
	}
	return rapport.WithHint(fmt.Errorf("stopped at line %d, everything before line %d is durable: %w", i.line, i.next, err),
		"%sgo on with --from-line %d, or from the start: nothing is counted twice", hint, i.next)
}

// wipe removes the progress bar.
func (i *importing) wipe() {
	if isTerminal(i.env.Stderr) {
		fmt.Fprint(i.env.Stderr, "\r\x1b[K")
	}
}

func (i *importing) progress() { i.progressOf("events") }

func (i *importing) progressOf(what string) {
	if !isTerminal(i.env.Stderr) {
		return
	}
	rate := float64(i.sent) / max(time.Since(i.begun).Seconds(), 0.001)
	share := ""
	if i.in.size > 0 {
		share = bar(float64(i.in.read.n)/float64(i.in.size), 24) + " "
	}
	i.wipe()
	fmt.Fprintf(i.env.Stderr, "%s%s %s, %s/s, line %s", share, grouped(i.sent), what, grouped(int64(rate)), grouped(i.line))
}

func (i *importing) summary() {
	i.wipe()
	verb := "sent"
	if i.client == nil {
		verb = "would be sent"
	}
	fmt.Fprintf(i.env.Stdout, "%s %s, %d left out by the filter, %d rejected, in %s\n",
		plural(i.sent, "event", "events"), verb, i.skipped, i.bad, time.Since(i.begun).Round(10*time.Millisecond))
	if i.bad > 0 && i.client != nil {
		fmt.Fprintf(i.env.Stdout, "Rejected rows are in %s, each with its line and the reason.\n", i.rejectedPath)
	}
}
