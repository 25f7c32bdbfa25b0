package twin

import (
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
)

// Command is something an item was asked to do.
type Command struct {
	ID   string
	Name string
	Args rapport.Fields
	// At is when it was asked, Expires when it is too late to begin, Timeout how
	// long it may take from being sent; Unix milliseconds and milliseconds.
	At, Expires, Timeout int64
	State                CommandState
	// Changed is when the state was entered.
	Changed int64
	Result  rapport.Fields
	By      string
}

// CommandState is how far a command is.
type CommandState string

// The states of a command. Waiting and Sent are open, the others final.
const (
	Waiting  CommandState = "waiting"
	Sent     CommandState = "sent"
	Done     CommandState = "done"
	Failed   CommandState = "failed"
	Refused  CommandState = "refused"
	Expired  CommandState = "expired"
	TimedOut CommandState = "timedOut"
	Canceled CommandState = "canceled"
)

// Open reports whether the command may still be carried out.
func (x *Command) Open() bool { return x.State == Waiting || x.State == Sent }

func (x *Command) code(c *coder) {
	c.text(&x.ID)
	c.text(&x.Name)
	c.fields(&x.Args)
	c.int(&x.At)
	c.int(&x.Expires)
	c.int(&x.Timeout)
	c.text((*string)(&x.State))
	c.int(&x.Changed)
	c.fields(&x.Result)
	c.text(&x.By)
}

// Command returns a command by its id, or nil.
func (s *Item) Command(id string) *Command {
	for i := range s.Commands {
		if s.Commands[i].ID == id {
			return &s.Commands[i]
		}
	}
	return nil
}

const commandTimer = "command:"

func (s *Item) ask(c *engine.Context, e *rapport.Event) {
	id := str(e.Properties, "id")
	if id == "" || s.Command(id) != nil {
		return
	}
	args, _ := e.Properties.Get("args")
	f, _ := args.Object()
	x := Command{
		ID: clip(id, 64), Name: clip(str(e.Properties, "name"), 64), Args: append(rapport.Fields(nil), f...), At: e.Timestamp,
		Expires: num(e.Properties, "expires"), Timeout: num(e.Properties, "timeout"), State: Waiting, Changed: e.Timestamp, By: clip(str(e.Properties, "by"), 64),
	}
	if len(s.Commands) >= maxCommands {
		// An old one that is over makes room; if all are open the oldest gives up.
		i := max(slices.IndexFunc(s.Commands, func(x Command) bool { return !x.Open() }), 0)
		c.SetTimer(0, commandTimer+s.Commands[i].ID)
		s.Commands = slices.Delete(s.Commands, i, i+1)
	}
	s.Commands = append(s.Commands, x)
	c.SetTimer(x.Expires, commandTimer+x.ID)
}

func (s *Item) answer(c *engine.Context, e *rapport.Event) {
	x := s.Command(str(e.Properties, "id"))
	if x == nil || !x.Open() {
		return
	}
	state := CommandState(str(e.Properties, "state"))
	switch state {
	case Sent:
		if x.State == Sent {
			return
		}
		x.State, x.Changed = Sent, e.Timestamp
		c.SetTimer(c.Time+x.Timeout, commandTimer+x.ID)
		return
	case Done, Failed, Refused, Canceled:
		result, _ := e.Properties.Get("result")
		f, _ := result.Object()
		if len(f) <= 2048 {
			x.Result = append(rapport.Fields(nil), f...)
		}
		x.State, x.Changed = CommandState(clip(string(state), 16)), e.Timestamp
		c.SetTimer(0, commandTimer+x.ID)
	}
}

// Fire implements engine.Timed: a command was not begun or not finished in time.
func (s *Item) Fire(c *engine.Context, name string) {
	if len(name) < len(commandTimer) {
		return
	}
	x := s.Command(name[len(commandTimer):])
	if x == nil || !x.Open() {
		return
	}
	s.Version++
	if x.State == Waiting {
		x.State = Expired
	} else {
		x.State = TimedOut
	}
	x.Changed = c.Time
}
