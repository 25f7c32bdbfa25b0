package item

import (
	"context"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/twin"
)

// Desire changes what is wanted of an item by a merge patch and returns the
// twin with it. Kinds: NotFound, TooLarge.
func (d *Door) Desire(ctx context.Context, item string, patch rapport.Fields) (*twin.Item, error) {
	s, err := d.Item(ctx, item)
	if err != nil {
		return nil, err
	}
	if len(twin.MergePatch(s.Desired.Document, patch)) > twin.MaxDocument {
		return nil, rapport.Errorf(rapport.TooLarge, "the desired state would be larger than %d bytes", twin.MaxDocument)
	}
	if err := d.Moment(ctx, item, twin.EventDesired, "", patch); err != nil {
		return nil, err
	}
	d.changed(item)
	return d.Item(ctx, item)
}

func (d *Door) changed(item string) {
	if d.Changed != nil {
		d.Changed(item)
	}
}

// Ask is something an item shall do.
type Ask struct {
	Name string
	Args rapport.Fields
	// Expires is how long it may wait to begin (default a day), Timeout how long
	// it may take from then (default a minute).
	Expires, Timeout time.Duration
	By               string
}

// Command asks an item to do something and returns the command. Kinds: NotFound,
// Invalid, Conflict if the item was released or forgotten at the same moment.
func (d *Door) Command(ctx context.Context, item string, a Ask) (*twin.Command, error) {
	if _, err := d.Item(ctx, item); err != nil {
		return nil, err
	}
	if a.Name == "" || len(a.Name) > 64 {
		return nil, rapport.Errorf(rapport.Invalid, "a command has a name of 1 to 64 bytes")
	}
	if len(a.Args) > 2048 {
		return nil, rapport.Errorf(rapport.TooLarge, "the arguments of a command take at most 2048 bytes")
	}
	if a.Expires <= 0 {
		a.Expires = 24 * time.Hour
	}
	if a.Timeout <= 0 {
		a.Timeout = time.Minute
	}
	id := "c_" + random()
	p := rapport.AppendField(nil, "id", rapport.StringValue(id))
	p = rapport.AppendField(p, "name", rapport.StringValue(a.Name))
	p = rapport.AppendField(p, "args", rapport.ObjectValue(a.Args))
	p = rapport.AppendField(p, "expires", rapport.NumberValue(float64(d.now()+a.Expires.Milliseconds())))
	p = rapport.AppendField(p, "timeout", rapport.NumberValue(float64(a.Timeout.Milliseconds())))
	p = rapport.AppendField(p, "by", rapport.StringValue(a.By))
	if err := d.Moment(ctx, item, twin.EventCommand, id, p); err != nil {
		return nil, err
	}
	d.changed(item)
	s, err := d.Item(ctx, item)
	if err != nil {
		return nil, err
	}
	c := s.Command(id)
	if c == nil {
		return nil, rapport.WithHint(rapport.Errorf(rapport.Conflict, "the item was forgotten or released while the command was made"),
			"look at the item again before it is asked once more")
	}
	return c, nil
}

// Cancel takes an open command back. Kinds: NotFound, Conflict when it is over.
func (d *Door) Cancel(ctx context.Context, item, id string) error {
	s, err := d.Item(ctx, item)
	if err != nil {
		return err
	}
	c := s.Command(id)
	switch {
	case c == nil:
		return rapport.Errorf(rapport.NotFound, "the item was never asked %s", id)
	case !c.Open():
		return rapport.Errorf(rapport.Conflict, "the command is %s", c.State)
	}
	return d.result(ctx, item, id, twin.Canceled)
}

func (d *Door) result(ctx context.Context, item, id string, state twin.CommandState) error {
	p := rapport.AppendField(nil, "id", rapport.StringValue(id))
	p = rapport.AppendField(p, "state", rapport.StringValue(string(state)))
	return d.Moment(ctx, item, twin.EventResult, id+"/"+string(state), p)
}

// CommandSent records that a command reached the device.
func (d *Door) CommandSent(ctx context.Context, item, id string) error {
	return d.result(ctx, item, id, twin.Sent)
}

// Pending is what waits for a device: what it does not report yet, and what it shall do.
type Pending struct {
	Delta    rapport.Fields
	Version  int64 // of the desired state
	Commands []twin.Command
}

// Waiting returns what waits for a device. Kinds: NotFound.
func (d *Door) Waiting(ctx context.Context, item string) (p Pending, err error) {
	now := d.now()
	err = d.View(ctx, item, func(_ *engine.View, s *twin.Item) error {
		p.Delta, p.Version = twin.Delta(s.Desired.Document, s.Reported.Document), s.Desired.Version
		for _, c := range s.Commands {
			if c.State == twin.Waiting && now < c.Expires {
				c.Args = append(rapport.Fields(nil), c.Args...)
				p.Commands = append(p.Commands, c)
			}
		}
		return nil
	})
	return p, err
}
