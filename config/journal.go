package config

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"regexp"
	"sync"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// Fact is one record of the control topic: something an operator or the
// program did to the deployment itself. The rooms meet here without knowing
// each other: each writes kinds that begin with its own name ("config.changed",
// "access.token.created"), folds those, and ignores the rest.
type Fact struct {
	ID     [16]byte // random; a fact that stands in the log twice is folded once
	Kind   string
	Time   int64 // Unix ms, when it was written
	Author string
	Body   []byte // in the room's own format
}

// FactRecord is the eventlog.Record.Kind of facts in the control topic.
const FactRecord uint8 = 1

var factKind = regexp.MustCompile(`^[a-z]+(\.[a-z]+){1,3}$`)

const (
	factVersion = 1
	maxAuthor   = 200
	maxBody     = 12 << 20
)

// AppendBinary appends the log form: a version byte, the id, and time, kind,
// author and body, texts with their length as uvarint before them.
func (f *Fact) AppendBinary(b []byte) []byte {
	b = append(b, factVersion)
	b = append(b, f.ID[:]...)
	b = binary.AppendVarint(b, f.Time)
	for _, s := range []string{f.Kind, f.Author} {
		b = rapport.AppendText(b, s)
	}
	return append(b, f.Body...)
}

// DecodeFact reads the log form. Body refers to b. Kinds: Internal, for a record that is damaged or newer than the program.
func DecodeFact(b []byte) (Fact, error) {
	d := rapport.NewDecoder(b)
	version := d.Byte()
	f := Fact{ID: d.ID(), Time: d.Varint(), Kind: d.Text(), Author: d.Text()}
	f.Body = d.Take(uint64(d.Len()))
	if version != factVersion || !d.Done() {
		return Fact{}, rapport.Errorf(rapport.Internal, "a control record of %d bytes is not a fact this program can read", len(b))
	}
	return f, nil
}

// Journal writes facts to the control topic and gives every fact, in the order
// of the log, to the folds of the rooms. It is safe for concurrent use.
//
// A fact is folded only by reading it back from the log, so that a running
// program and a restarted one hold the same. The error of Append means that the
// fact was not seen to become durable; should it turn up after all, it is
// folded before the next one.
type Journal struct {
	log   eventlog.Log
	clock rapport.Clock
	folds []func(Fact) error

	mu   sync.Mutex
	next int64 // offset of the first record not folded
	// seen holds the ids of the latest facts, recent the order they came in: a
	// copy stands in the log soon after the first.
	seen   map[[16]byte]struct{}
	recent [][16]byte
	oldest int
}

// seenFacts is how many facts back a copy is recognised.
const seenFacts = 1 << 16

// NewJournal returns a journal that has read nothing yet.
func NewJournal(log eventlog.Log, clock rapport.Clock) *Journal {
	return &Journal{log: log, clock: clock, seen: make(map[[16]byte]struct{})}
}

// OnFact adds a fold: it is called for every fact, one at a time, and must not
// append to the journal. All folds are added before Replay.
func (j *Journal) OnFact(fold func(Fact) error) { j.folds = append(j.folds, fold) }

// Replay folds what the topic holds. Kinds: Internal (a damaged record).
func (j *Journal) Replay(ctx context.Context) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if first, _ := j.log.Bounds(eventlog.Control, 0); first > j.next {
		return rapport.WithHint(rapport.Errorf(rapport.Internal, "the control topic begins at record %d: what stood before is gone", first), "restore a backup with rapport restore")
	}
	return j.catchUp(ctx)
}

// Append writes a fact and returns once it is durable and folded. Kinds:
// Invalid (kind, author or size), Unavailable (the log), Internal.
func (j *Journal) Append(ctx context.Context, kind, author string, body []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.append(ctx, kind, author, body, nil)
}

// AppendWith writes a fact and other records in one submission. make is called
// while nothing else can be written to the topic, after everything in it was
// folded; a nil body writes nothing. Kinds: those of Append, and of make.
func (j *Journal) AppendWith(ctx context.Context, kind, author string, make func() (body []byte, more []eventlog.Record, err error)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.catchUp(ctx); err != nil {
		return err
	}
	body, more, err := make()
	if err != nil || body == nil {
		return err
	}
	return j.append(ctx, kind, author, body, more)
}

// append writes a fact and more records in one submission; j.mu is held.
func (j *Journal) append(ctx context.Context, kind, author string, body []byte, more []eventlog.Record) error {
	switch {
	case !factKind.MatchString(kind):
		return rapport.Errorf(rapport.Internal, "%q is not the kind of a fact (write room.noun.verb)", kind)
	case len(author) > maxAuthor:
		return rapport.Errorf(rapport.Invalid, "the author's name is longer than %d bytes", maxAuthor)
	case len(body) > maxBody:
		return rapport.Errorf(rapport.TooLarge, "the change is larger than %d MB; apply it in parts", maxBody>>20)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	f := Fact{Kind: kind, Time: rapport.Millis(j.clock.Now()), Author: author, Body: body}
	_, _ = rand.Read(f.ID[:]) // never fails (crypto/rand)
	records := append([]eventlog.Record{{Topic: eventlog.Control, Kind: FactRecord, Data: f.AppendBinary(nil)}}, more...)
	// Once submitted the record will be durable or not whether we wait or not: so we wait.
	ctx = context.WithoutCancel(ctx)
	if err := j.log.Submit(records).Wait(ctx); err != nil {
		return rapport.Errorf(rapport.KindOf(err), "append to the control topic: %w", err)
	}
	return j.catchUp(ctx)
}

// catchUp folds every durable record not folded yet; j.mu is held.
func (j *Journal) catchUp(ctx context.Context) error {
	_, end := j.log.Bounds(eventlog.Control, 0)
	if j.next >= end {
		return nil
	}
	r, err := j.log.Reader(eventlog.Control, 0, j.next)
	if err != nil {
		return rapport.Errorf(rapport.KindOf(err), "read the control topic: %w", err)
	}
	defer r.Close()
	for j.next < end {
		records, err := r.Next(ctx)
		if err != nil {
			return rapport.Errorf(rapport.KindOf(err), "read the control topic: %w", err)
		}
		for _, rec := range records {
			if rec.Offset < j.next || rec.Offset >= end { // delivered again, or newer than asked for
				continue
			}
			if err := j.fold(rec); err != nil {
				return rapport.Errorf(rapport.Internal, "control record %d: %w", rec.Offset, err)
			}
			j.next = rec.Offset + 1
		}
	}
	return nil
}

// fold gives one record to the rooms. Records that are no facts are another version's business.
func (j *Journal) fold(rec eventlog.Record) error {
	if rec.Kind != FactRecord {
		return nil
	}
	f, err := DecodeFact(rec.Data)
	if err != nil {
		return err
	}
	if _, twice := j.seen[f.ID]; twice {
		return nil
	}
	j.remember(f.ID)
	for _, fold := range j.folds {
		if err := fold(f); err != nil {
			return err
		}
	}
	return nil
}

func (j *Journal) remember(id [16]byte) {
	j.seen[id] = struct{}{}
	if len(j.recent) < seenFacts {
		j.recent = append(j.recent, id)
		return
	}
	delete(j.seen, j.recent[j.oldest])
	j.recent[j.oldest] = id
	j.oldest = (j.oldest + 1) % seenFacts
}
