// Package fleet is the connected things in the homes of a demo world: machines
// that wear, scale and fail, canisters that empty as fast as their household
// drinks, and phones that are held to them. They speak to a server as real
// devices do: registered by its API, by HTTP for their history and by MQTT, with
// a token each, in the present.
//
// Guarantees: what a thing tells of the past follows from the world and its seed
// alone and is counted once however often it is sent; a canister fills up when
// its household has bought and empties at its pace; no more than a few messages
// a second are sent, however many things there are.
package fleet

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/sim"
	"github.com/rapport-engine/rapport/twin/tap"
)

// Options say where a fleet lives. World, URL and Token are required.
type Options struct {
	World *sim.World
	// End is when history ends and the present begins.
	End time.Time
	// RunsOut tells until when a shopper's stock of a category lasts now, Unix
	// milliseconds; [sim.Sim.RunsOut] does. Nil leaves history's.
	RunsOut func(shopper int, category string) (until int64, ok bool)
	// URL is the server's address, Token an API token that may make devices.
	URL, Token string
	// MQTT is the broker's address; without one things speak by HTTP.
	MQTT string
	// Tags, if set, are the keys of the things' tags: they are tapped now and then.
	Tags       *tap.Keys
	HTTPClient *http.Client
	Clock      rapport.Clock
	// State is what Save was last given; nil for a new fleet.
	State []byte
	// Save keeps the state; it may be nil.
	Save func(state []byte) error
	// Pause is how long a thing is silent between two messages, of wall time; 0
	// is half a minute.
	Pause time.Duration
	Log   *slog.Logger
}

// Fleet is the things of a world in contact with a server.
type Fleet struct {
	o      Options
	things []*thing

	mu     sync.Mutex
	state  State
	tokens map[string]string
	sent   atomic.Int64
}

// State is what outlives a restart.
type State struct {
	// Salt is in the serial numbers.
	Salt string `json:"salt"`
	// Told says that the server knows the past.
	Told bool             `json:"told"`
	Kept map[string]*kept `json:"kept,omitempty"`
}

// Open prepares a fleet; nothing is sent before [Fleet.Furnish]. A world without
// connected things has an empty fleet.
func Open(o Options) (*Fleet, error) {
	o.Clock = cmp.Or[rapport.Clock](o.Clock, rapport.SystemClock{})
	o.HTTPClient = cmp.Or(o.HTTPClient, http.DefaultClient)
	o.Pause = cmp.Or(o.Pause, 30*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	f := &Fleet{o: o, tokens: map[string]string{}}
	f.state = State{Salt: strings.ToUpper(strconv.FormatInt(o.End.Unix()%(36*36*36), 36))}
	if o.State != nil {
		if err := json.Unmarshal(o.State, &f.state); err != nil {
			return nil, rapport.Errorf(rapport.Invalid, "read the state of the fleet: %w", err)
		}
	}
	f.things = things(o.World, o.World.Homes(o.End), o.End.UnixMilli(), f.state.Salt)
	for _, t := range f.things {
		if k := f.state.Kept[t.serial]; k != nil {
			t.kept = *k
		}
	}
	return f, nil
}

// Len returns how many things there are.
func (f *Fleet) Len() int { return len(f.things) }

func (f *Fleet) save() error {
	if f.o.Save == nil {
		return nil
	}
	f.mu.Lock()
	f.state.Kept = map[string]*kept{}
	for _, t := range f.things {
		if k := t.kept; k != (kept{}) {
			f.state.Kept[t.serial] = &k
		}
	}
	b, err := json.Marshal(f.state)
	f.mu.Unlock()
	if err != nil {
		return err
	}
	return f.o.Save(b)
}

// Furnish makes the things known to the server, gives each a token, and, once,
// tells their past: how they were made and shipped, whose they are, and what
// they measured. Done again it tells the same, which counts once.
func (f *Fleet) Furnish(ctx context.Context) error {
	if len(f.things) == 0 {
		return nil
	}
	if !f.state.Told {
		if err := f.supply(ctx); err != nil {
			return err
		}
	}
	if err := f.register(ctx); err != nil {
		return err
	}
	if f.state.Told {
		return nil
	}
	end := f.o.End.UnixMilli()
	from, every := end-int64(f.o.World.Fleet.Days)*day, int64(f.o.World.Fleet.Every*float64(hour))
	g, work := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for _, t := range f.things {
		g.Go(func() error { return f.tellPast(work, t, t.past(from, end, every)) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	f.mu.Lock()
	f.state.Told = true
	f.mu.Unlock()
	return f.save()
}

// tellPast sends what a thing told, in order, a list of one channel at a time.
func (f *Fleet) tellPast(ctx context.Context, t *thing, past []told) error {
	byChannel := map[string][]map[string]any{}
	for _, x := range past {
		byChannel[x.channel] = append(byChannel[x.channel], x.body)
	}
	for _, channel := range []string{"reported", "telemetry", "events"} {
		for list := range slices.Chunk(byChannel[channel], 500) {
			if err := f.call(ctx, f.token(t), "POST", "/v1/items/"+t.item+"/"+channel, list, nil); err != nil {
				return fmt.Errorf("tell the past of %s: %w", t.item, err)
			}
		}
	}
	return nil
}

// register makes the things known, with fresh tokens: those of an earlier life are not kept.
func (f *Fleet) register(ctx context.Context) error {
	for list := range slices.Chunk(f.things, 500) {
		var items []map[string]any
		for _, t := range list {
			x := map[string]any{
				"item": t.item, "at": rapport.Time(t.made), "token": true,
				"facts": map[string]string{"lot": t.lot(), "demo": "true"}, "tag": fmt.Sprintf("%X", t.uid()),
			}
			if t.claimed && !f.state.Told {
				x["owner"], x["ownedAt"] = map[string]string{"userId": t.home.Shopper.UserID}, rapport.Time(t.owned)
			}
			items = append(items, x)
		}
		var answer struct {
			Items []struct{ Item, Token, Problem string } `json:"items"`
		}
		if err := f.call(ctx, f.o.Token, "POST", "/v1/items/import", map[string]any{"items": items, "rotate": true}, &answer); err != nil {
			return fmt.Errorf("make the fleet known: %w", err)
		}
		f.mu.Lock()
		for _, x := range answer.Items {
			if x.Token == "" {
				f.mu.Unlock()
				return rapport.Errorf(rapport.Internal, "%s got no token: %s", x.Item, x.Problem)
			}
			f.tokens[x.Item] = x.Token
		}
		f.mu.Unlock()
	}
	return nil
}

func (f *Fleet) token(t *thing) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tokens[t.item]
}

// uid is the number of a thing's tag.
func (t *thing) uid() (uid [7]byte) {
	uid[0] = 4
	for i := range 6 {
		uid[i+1] = byte(t.key >> (8 * i))
	}
	return uid
}

// lot groups what was made in the same week.
func (t *thing) lot() string {
	year, week := rapport.Time(t.made).ISOWeek()
	return fmt.Sprintf("%d-W%02d", year, week)
}

// Remove forgets all things on the server.
func (f *Fleet) Remove(ctx context.Context) error {
	for _, t := range f.things {
		if err := f.call(ctx, f.o.Token, "DELETE", "/v1/items/"+t.item, nil, nil); err != nil && rapport.KindOf(err) != rapport.NotFound {
			return err
		}
	}
	return nil
}

// call makes a request, again while the server cannot answer now.
func (f *Fleet) call(ctx context.Context, token, method, path string, in, out any) error {
	var text []byte
	if in != nil {
		var err error
		if text, err = json.Marshal(in); err != nil {
			return err
		}
	}
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := f.once(ctx, token, method, path, text, out)
		if rapport.KindOf(err) != rapport.Unavailable {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// answering bounds how long an answer is waited for.
const answering = 20 * time.Second

// once asks once. What has set out is heard to the end: else nobody knew whether
// the server counts it.
func (f *Fleet) once(ctx context.Context, token, method, path string, body []byte, out any) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	asked, cancel := context.WithTimeout(context.WithoutCancel(ctx), answering)
	defer cancel()
	req, err := http.NewRequestWithContext(asked, method, f.o.URL+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := f.o.HTTPClient.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return rapport.Errorf(rapport.Unavailable, "%w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	switch {
	case err != nil:
		return rapport.Errorf(rapport.Unavailable, "%w", err)
	case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable:
		return rapport.Errorf(rapport.Unavailable, "the server answered %s", resp.Status)
	case resp.StatusCode == http.StatusNotFound:
		return rapport.Errorf(rapport.NotFound, "%s %s: %.200s", method, path, answer)
	case resp.StatusCode >= 300:
		return rapport.Errorf(rapport.Invalid, "%s %s answered %s: %.300s", method, path, resp.Status, answer)
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return errors.Join(rapport.Errorf(rapport.Internal, "%s %s answered what is no JSON", method, path), err)
	}
	return nil
}
