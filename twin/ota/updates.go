package ota

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"strconv"
	"sync"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/state"
)

// Devices is what updates ask of items and their owners.
type Devices interface {
	// Device returns what a target looks at. Kind: NotFound.
	Device(ctx context.Context, item string) (*Device, error)
	// May reports whether the owner's hours and consent allow an update now.
	May(ctx context.Context, item string, r *Rollout) (ok bool, why string, err error)
	// Happened reports whether an event happened to an item after a time.
	Happened(ctx context.Context, item, event string, since int64) (bool, error)
	// Runs notes that a device said it runs a version.
	Runs(ctx context.Context, item, version string) error
	// Offer sets what a device that does not poll should run: it is part of its desired state.
	Offer(ctx context.Context, item string, a *Artifact, url string) error
}

// Deps are what Updates need.
type Deps struct {
	Log     eventlog.Log
	Store   *state.Store
	Clock   rapport.Clock
	Devices Devices
	// Dir keeps the artifacts' files.
	Dir string
	// Key signs artifacts and links; 32 bytes that outlive restarts.
	Key    []byte
	Logger *slog.Logger
	// Changed is told when rollouts open, go on or end; nil is fine.
	Changed func()
}

// Updates is the room. It is safe for concurrent use once Run runs.
type Updates struct {
	d       Deps
	sign    ed25519.PrivateKey
	linkKey []byte

	mu       sync.Mutex
	state    *State
	position int64
	moved    chan struct{}
	err      error
	polled   map[string]int64 // last time a device was heard of, Unix ms
	opened   int64            // when this room was, Unix ms

	assign sync.Mutex // one decision about a device at a time
}

const (
	keyState    = "ota/state"
	keyPosition = "ota/position"
	saveEvery   = 4096 // records between snapshots of the state
)

// Open returns updates as far as they were folded before.
func Open(d Deps) (*Updates, error) {
	if err := os.MkdirAll(d.Dir, 0o700); err != nil {
		return nil, rapport.Errorf(rapport.Internal, "make the folder of artifacts: %w", err)
	}
	seed := sha256.Sum256(append([]byte("artifacts"), d.Key...))
	link := sha256.Sum256(append([]byte("links"), d.Key...))
	u := &Updates{d: d, sign: ed25519.NewKeyFromSeed(seed[:]), linkKey: link[:], state: NewState(), moved: make(chan struct{}), polled: map[string]int64{}}
	u.opened = u.now()
	position, found, err := d.Store.Get([]byte(keyPosition), nil)
	if err != nil || !found {
		return u, err
	}
	data, _, err := d.Store.Get([]byte(keyState), nil)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, u.state); err != nil {
		return nil, rapport.Errorf(rapport.Internal, "the state of updates is damaged: %w", err)
	}
	for _, a := range u.state.Actions {
		u.state.tried[a.Rollout+"\x00"+a.Item] = true
	}
	u.position, err = strconv.ParseInt(string(position), 10, 64)
	return u, err
}

// Run folds facts and supervises rollouts until ctx ends.
func (u *Updates) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var work sync.WaitGroup
	for _, run := range []func(context.Context) error{u.fold, u.supervise} {
		work.Go(func() {
			if err := run(ctx); err != nil {
				cancel(err)
			}
		})
	}
	work.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return ctx.Err()
}

func (u *Updates) fold(ctx context.Context) error {
	r, err := u.d.Log.Reader(eventlog.Things, 0, u.position)
	if err != nil {
		return err
	}
	defer r.Close()
	since := 0
	for {
		records, err := r.Next(ctx)
		if err != nil {
			if ctx.Err() != nil && since > 0 {
				return errors.Join(u.save(), ctx.Err())
			}
			return err
		}
		u.mu.Lock()
		for i := range records {
			if err := u.state.Apply(records[i].Kind, records[i].Data); err != nil {
				u.err = rapport.Errorf(rapport.Internal, "topic things, offset %d: %w", records[i].Offset, err)
				break
			}
			u.position = records[i].Offset + 1
		}
		err = u.err
		close(u.moved)
		u.moved = make(chan struct{})
		u.mu.Unlock()
		if err != nil {
			return err
		}
		if since += len(records); since >= saveEvery {
			since = 0
			if err := u.save(); err != nil {
				return err
			}
		}
	}
}

func (u *Updates) save() error {
	u.mu.Lock()
	data, err := json.Marshal(u.state)
	position := u.position
	u.mu.Unlock()
	if err != nil {
		return err
	}
	b := u.d.Store.Batch()
	if err := errors.Join(b.Set([]byte(keyState), data), b.Set([]byte(keyPosition), strconv.AppendInt(nil, position, 10))); err != nil {
		return errors.Join(err, b.Close())
	}
	return b.Commit()
}

// Settle returns once every fact acknowledged before is folded.
func (u *Updates) Settle(ctx context.Context) error {
	_, next := u.d.Log.Bounds(eventlog.Things, 0)
	for {
		u.mu.Lock()
		position, err, moved := u.position, u.err, u.moved
		u.mu.Unlock()
		if position >= next || err != nil {
			return err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return rapport.Errorf(rapport.Unavailable, "the state of updates is behind: %w", ctx.Err())
		}
	}
}

func (u *Updates) append(ctx context.Context, kind uint8, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := eventlog.Append(ctx, u.d.Log, eventlog.Record{Topic: eventlog.Things, Kind: kind, Data: data}); err != nil {
		return err
	}
	return u.Settle(ctx)
}

func (u *Updates) now() int64 { return rapport.Millis(u.d.Clock.Now()) }
