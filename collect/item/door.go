// Package item is the door for what product items and their owners say: it
// registers items, knows devices by their tokens, and appends readings, moments,
// states, commands, taps and changes of owner to the event log.
//
// Guarantees: a method returns only when what it was told is durable; the same
// reading sent again (same time, number and content) counts once; a token opens
// its own item alone and is kept as a hash; whether a tap is fresh, a claim
// valid or a command known is decided by the item's fold, one after the other,
// however many ask at once.
package item

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/gs1"
	"github.com/rapport-engine/rapport/identity"
	"github.com/rapport-engine/rapport/twin"
)

// Resolver says whom events belong to. *identity.Resolver is one.
type Resolver interface {
	Stamp(events []rapport.Event) (identity.Stamped, error)
	Partition(e *rapport.Event, n int) int32
	Mint(kind, value string, epoch uint32) rapport.ID
	Person(id rapport.ID) rapport.ID
	Who(ctx context.Context, person rapport.ID) (identity.Who, error)
}

// Engine is where twins live and what protects it. *engine.Engine is one.
type Engine interface {
	View(ctx context.Context, id rapport.ID, after []engine.Token, fn func(*engine.View) error) error
	ListFrom(ctx context.Context, rank rapport.Rank, after string, limit int, fn func(*engine.View) error) (next string, err error)
	Admit(n int) error
}

// Deps are what a Door stands on. All are required.
type Deps struct {
	Log      eventlog.Log
	Resolver Resolver
	Engine   Engine
	Clock    rapport.Clock
	// Key signs claim tickets; 32 bytes that outlive restarts.
	Key []byte
}

// Door accepts facts about items. It is safe for concurrent use.
type Door struct {
	deps Deps
	// Changed, if set, is told of an item something waits for: a desired state or
	// a command. It must be set before the door is used.
	Changed func(item string)
	// Revoked, if set, is told of an item whose device tokens ended.
	Revoked func(item string)
}

// New returns a door.
func New(d Deps) *Door { return &Door{deps: d} }

// submit queues events in order and returns what becomes of them.
func (d *Door) submit(events ...rapport.Event) (eventlog.Pending, error) {
	if err := d.deps.Engine.Admit(len(events)); err != nil {
		return nil, err
	}
	stamped, err := d.deps.Resolver.Stamp(events)
	if err != nil {
		return nil, err
	}
	n := d.deps.Log.Partitions(eventlog.Events)
	records := make([]eventlog.Record, 0, len(events)+len(stamped.Records))
	for i := range events {
		e := &events[i]
		r := engine.EventRecord(e, engine.Fingerprint(e.Source, e.MessageID), d.deps.Resolver.Partition(e, n))
		r.Time = e.ReceivedAt
		records = append(records, r)
	}
	records = append(records, stamped.Records...)
	p := d.deps.Log.Submit(records)
	stamped.Submitted(p)
	return p, nil
}

func (d *Door) append(ctx context.Context, events ...rapport.Event) error {
	p, err := d.submit(events...)
	if err != nil {
		return err
	}
	return p.Wait(context.WithoutCancel(ctx))
}

// Take makes facts about items durable, in order: for other doors (EPCIS,
// updates) that build them with [twin.Fact].
func (d *Door) Take(ctx context.Context, events []rapport.Event) error {
	return d.append(ctx, events...)
}

// Submit is Take without waiting.
func (d *Door) Submit(events []rapport.Event) (eventlog.Pending, error) { return d.submit(events...) }

func (d *Door) now() int64 { return rapport.Millis(d.deps.Clock.Now()) }

// ID returns the entity of an item, tag or device name.
func (d *Door) ID(of rapport.Identifier) rapport.ID {
	return d.deps.Resolver.Mint(of.Kind, of.Value, 0)
}

// EntityOf returns the entity of an item by its id.
func (d *Door) EntityOf(item string) rapport.ID {
	return d.deps.Resolver.Mint(rapport.KindItem, item, 0)
}

// Resolve returns the id of the one item a reference names: an item id, a
// Digital Link URI or path, or an EPC URN. Errors are Invalid.
func Resolve(ref string) (string, error) {
	k, err := gs1.Parse(ref)
	if err != nil {
		return "", err
	}
	name, err := twin.Name(k)
	return name.Value, err
}

// View runs fn with an item on its home's goroutine, everything acknowledged
// included. Kinds: NotFound for an item nobody told of.
func (d *Door) View(ctx context.Context, item string, fn func(*engine.View, *twin.Item) error) error {
	return d.deps.Engine.View(ctx, d.EntityOf(item), nil, func(v *engine.View) error {
		s := twin.Peek(v)
		if s == nil {
			return rapport.Errorf(rapport.NotFound, "nothing is known of the item %s", item)
		}
		return fn(v, s)
	})
}

// Item returns a copy of an item's twin. Kinds: NotFound.
func (d *Door) Item(ctx context.Context, item string) (out *twin.Item, err error) {
	err = d.View(ctx, item, func(v *engine.View, _ *twin.Item) error {
		out, _ = twin.Read(v)
		return nil
	})
	return out, err
}

// List calls fn with a page of items in the order of their entities; next is "" at the end.
func (d *Door) List(ctx context.Context, after string, limit int, fn func(*twin.Item) error) (next string, err error) {
	left := limit
	for {
		next, err = d.deps.Engine.ListFrom(ctx, rapport.RankItem, after, max(left, 1), func(v *engine.View) error {
			if v.ID().Rank() != rapport.RankItem {
				return nil
			}
			s, ok := twin.Read(v)
			if !ok {
				return nil
			}
			left--
			return fn(s)
		})
		if err != nil || next == "" || left <= 0 {
			return next, err
		}
		after = next
	}
}

// Registration is an item to be known.
type Registration struct {
	Item string // id
	// Facts are what comes with it: lot, expiry, name; texts.
	Facts map[string]string
	// Stage it enters, if any.
	Stage twin.Stage
	// Tag is the UID of its tag in hexadecimal, Device the name it signs in with; both optional.
	Tag, Device string
	// ClaimCode is printed on or packed with it; kept as a hash.
	ClaimCode string
	By        string
}

// Register makes items known. Registering one again adds to what is known of it.
func (d *Door) Register(ctx context.Context, list []Registration) error {
	events := make([]rapport.Event, 0, len(list))
	now := d.now()
	for i := range list {
		events = registered(events, &list[i], now, now)
	}
	return d.append(ctx, events...)
}

// Label returns what a tag or device name stands for. Kinds: NotFound.
func (d *Door) Label(ctx context.Context, name rapport.Identifier) (label *twin.Label, err error) {
	err = d.deps.Engine.View(ctx, d.ID(name), nil, func(v *engine.View) error {
		var ok bool
		if label, ok = twin.ReadLabel(v); !ok {
			return rapport.Errorf(rapport.NotFound, "the name %s belongs to no item", name.Value)
		}
		return nil
	})
	return label, err
}

// NewToken makes a device token for an item, which it creates if unknown. The
// token is returned once and kept as a hash; the last four stay valid. With
// revoke the earlier ones end.
func (d *Door) NewToken(ctx context.Context, r Registration, revoke bool) (token string, err error) {
	if err := d.Register(ctx, []Registration{r}); err != nil {
		return "", err
	}
	token, credential := newToken(r.Item, revoke, d.now())
	err = d.append(ctx, credential)
	if err == nil && revoke && d.Revoked != nil {
		d.Revoked(r.Item)
	}
	return token, err
}

// RevokeTokens ends all device tokens of an item. Kinds: NotFound.
func (d *Door) RevokeTokens(ctx context.Context, item string) error {
	if _, err := d.Item(ctx, item); err != nil {
		return err
	}
	now := d.now()
	p := rapport.AppendField(nil, "revoke", rapport.BoolValue(true))
	err := d.append(ctx, twin.Fact(rapport.Identifier{Kind: rapport.KindItem, Value: item}, twin.EventCredential, random(), now, now, p))
	if err == nil && d.Revoked != nil {
		d.Revoked(item)
	}
	return err
}

// TokenPrefix begins every device token.
const TokenPrefix = "rdt_"

// Authenticate returns the item a device signs in for, by item id or device
// name and token. Kinds: Unauthenticated, without saying which was wrong.
func (d *Door) Authenticate(ctx context.Context, username, token string) (item string, err error) {
	wrong := rapport.Errorf(rapport.Unauthenticated, "unknown device or wrong token")
	item, err = Resolve(username)
	if err != nil {
		label, err := d.Label(ctx, twin.DeviceName(username))
		if err != nil {
			return "", wrong
		}
		item = label.Item
	}
	hash := []byte(hashToken(token))
	ok := 0
	err = d.View(ctx, item, func(_ *engine.View, s *twin.Item) error {
		for _, t := range s.Tokens {
			ok |= subtle.ConstantTimeCompare(t.Hash, hash)
		}
		return nil
	})
	if rapport.KindOf(err) == rapport.Unavailable {
		return "", err
	}
	if err != nil || ok != 1 {
		return "", wrong
	}
	return item, nil
}

// hashToken returns SHA-256 of a secret of 160 random bits, for which a fast hash is enough.
func hashToken(token string) string {
	h := sha256.Sum256([]byte("device:" + token))
	return hex.EncodeToString(h[:])
}

// hashCode returns the hash of a code people type: case and separators do not matter.
func hashCode(code string) string {
	code = strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToUpper(code))
	h := sha256.Sum256([]byte("code:" + code))
	return hex.EncodeToString(h[:])
}

// random returns a name no other has.
func random() string {
	var b [12]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
