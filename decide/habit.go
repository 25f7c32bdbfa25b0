package decide

import (
	"math"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/learn/sendtime"
)

// habit is how one person, or a group of people, answered what was sent to them, fading.
type habit struct {
	at     int64 // to which time the counts have faded
	counts sendtime.Counts
}

// habitHalf is how soon half of it is forgotten, ms.
const habitHalf = 90 * 24 * 3600e3

// fade moves the reference time forward.
func (h *habit) fade(to int64) {
	if to <= h.at {
		return
	}
	if h.at != 0 {
		h.counts.Scale(math.Exp2(-float64(to-h.at) / habitHalf))
	}
	h.at = to
}

// note counts a contact and its answer at a time. Of a person at most [maxWays] channels are told apart.
func (h *habit) note(now int64, hour int, channel string, sent, answered float64) {
	h.fade(now)
	if len(h.counts.Channels) >= maxWays && h.counts.Channel(channel) == (sendtime.Tally{}) {
		least := 0
		for i, c := range h.counts.Channels {
			if c.Sent < h.counts.Channels[least].Sent {
				least = i
			}
		}
		h.counts.Channels = append(h.counts.Channels[:least], h.counts.Channels[least+1:]...)
	}
	h.counts.Note(hour, channel, sent, answered)
}

// merge adds what is known of another who turned out to be the same.
func (h *habit) merge(o *habit) {
	if o.at == 0 {
		return
	}
	h.fade(o.at)
	c := o.counts
	c.Channels = append([]sendtime.Channel(nil), c.Channels...)
	c.Scale(math.Exp2(-float64(max(0, h.at-o.at)) / habitHalf))
	h.counts.Add(&c)
	for len(h.counts.Channels) > maxWays {
		h.counts.Channels = h.counts.Channels[:maxWays]
	}
}

func (h *habit) clone() *habit {
	c := *h
	c.counts.Channels = append([]sendtime.Channel(nil), h.counts.Channels...)
	return &c
}

// round keeps the counts to the precision they are stored in, so that a state
// is the same whether it was written and read in between or not.
func (h *habit) round() {
	for i := range h.counts.Hours {
		t := &h.counts.Hours[i]
		t.Sent, t.Answered = round32(t.Sent), round32(t.Answered)
	}
	for i := range h.counts.Channels {
		t := &h.counts.Channels[i]
		t.Sent, t.Answered = round32(t.Sent), round32(t.Answered)
	}
}

func (w *writer) habit(h *habit) {
	w.int(h.at)
	if h.at == 0 {
		return
	}
	var known uint64
	for i, t := range h.counts.Hours {
		if t.Sent > 0 {
			known |= 1 << i
		}
	}
	w.uint(known)
	for i := range h.counts.Hours {
		if known&(1<<i) != 0 {
			w.tally(h.counts.Hours[i])
		}
	}
	w.uint(uint64(len(h.counts.Channels)))
	for _, c := range h.counts.Channels {
		w.repeat(c.Name)
		w.tally(c.Tally)
	}
}

func (w *writer) tally(t sendtime.Tally) { w.small(t.Sent); w.small(t.Answered) }

func (r *reader) tally() sendtime.Tally { return sendtime.Tally{Sent: r.small(), Answered: r.small()} }

func (r *reader) habit() (h habit) {
	if h.at = r.Varint(); h.at == 0 {
		return h
	}
	known := r.Uvarint()
	for i := range h.counts.Hours {
		if known&(1<<i) != 0 {
			h.counts.Hours[i] = r.tally()
		}
	}
	if n := r.Count(9); n > 0 {
		h.counts.Channels = make([]sendtime.Channel, n)
		for i := range h.counts.Channels {
			h.counts.Channels[i] = sendtime.Channel{Name: r.repeat(), Tally: r.tally()}
		}
	}
	return h
}

// Send tells of one contact: that it was sent, did not arrive after all, or was
// answered. Who it was to is not in it but the kind of people they are.
type Send struct {
	Alike    int
	Hour     int
	Channel  string
	Sent     float64 // 1, 0 or -1
	Answered float64
}

func appendSend(b []byte, s *Send) []byte {
	w := writer{b: append(b, lessonSend)}
	w.uint(uint64(s.Alike))
	w.uint(uint64(s.Hour))
	w.text(s.Channel)
	w.small(s.Sent)
	w.small(s.Answered)
	return w.b
}

func (r *reader) send() *Send {
	return &Send{Alike: int(r.Uvarint()), Hour: int(r.Uvarint()), Channel: r.Text(), Sent: r.small(), Answered: r.small()}
}

// crowds are the habits of everybody and of people active in each part of the day.
type crowds struct {
	all   habit
	alike [len(partsOfDay)]habit
}

func (c *crowds) clone() *crowds {
	d := &crowds{all: *c.all.clone()}
	for i := range c.alike {
		d.alike[i] = *c.alike[i].clone()
	}
	return d
}

// send learns from a contact.
func (d *draft) send(s *Send, at int64) {
	if s.Alike >= len(partsOfDay) || s.Hour >= sendtime.Hours {
		return
	}
	if !d.editing[d.crowds] {
		d.crowds = d.crowds.clone()
		d.editing[d.crowds] = true
	}
	d.crowds.all.note(at, s.Hour, s.Channel, s.Sent, s.Answered)
	d.crowds.alike[s.Alike].note(at, s.Hour, s.Channel, s.Sent, s.Answered)
}

func (w *writer) crowds(c *crowds) {
	for _, h := range append([]habit{c.all}, c.alike[:]...) {
		h := *h.clone()
		w.int(h.at)
		for _, t := range h.counts.Hours {
			w.float(t.Sent)
			w.float(t.Answered)
		}
		w.uint(uint64(len(h.counts.Channels)))
		for _, x := range h.counts.Channels {
			w.text(x.Name)
			w.float(x.Sent)
			w.float(x.Answered)
		}
	}
}

func (r *reader) crowds() *crowds {
	read := func(h *habit) {
		h.at = r.Varint()
		for i := range h.counts.Hours {
			h.counts.Hours[i] = sendtime.Tally{Sent: r.Float(), Answered: r.Float()}
		}
		if n := r.Count(17); n > 0 {
			h.counts.Channels = make([]sendtime.Channel, n)
			for i := range h.counts.Channels {
				h.counts.Channels[i] = sendtime.Channel{Name: r.Text(), Tally: sendtime.Tally{Sent: r.Float(), Answered: r.Float()}}
			}
		}
	}
	c := &crowds{}
	read(&c.all)
	for i := range c.alike {
		read(&c.alike[i])
	}
	return c
}

// habitsOf returns what is known of when and how somebody answers.
func (k *Knowledge) habitsOf(alike int, own *habit) habits {
	if own == nil {
		own = &habit{}
	}
	return habits{levels: [3]*sendtime.Counts{&k.crowds.all.counts, &k.crowds.alike[alike].counts, &own.counts}, alike: alike}
}

// contacted counts the contact that a decision is, as it was made.
func (s *record) contacted(c *engine.Context, g *item, x *rapport.Choice) {
	if x.Sending == nil || x.Channel == "" {
		return
	}
	g.contact = &contact{channel: x.Channel, hour: x.Sending.Hour, alike: x.Sending.Alike}
	s.tell(c, g.contact, true)
}

// contact is a message on its way, as long as its decision is open.
type contact struct {
	channel     string
	hour, alike int
	sent        bool // nothing says that it did not arrive
	answered    bool
}

func (w *writer) contact(x *contact) {
	w.bool(x != nil)
	if x != nil {
		w.repeat(x.channel)
		w.uint(uint64(x.hour))
		w.uint(uint64(x.alike))
		w.bool(x.sent)
		w.bool(x.answered)
	}
}

func (r *reader) contact() *contact {
	if !r.Bool() || r.Failed() {
		return nil
	}
	return &contact{channel: r.repeat(), hour: int(r.Uvarint()), alike: int(r.Uvarint()), sent: r.Bool(), answered: r.Bool()}
}

// tell counts that a contact was sent, or that it did not arrive.
func (s *record) tell(c *engine.Context, x *contact, sent bool) {
	if x.sent == sent || x.answered {
		return
	}
	x.sent = sent
	n := 1.0
	if !sent {
		n = -1
	}
	s.habit.note(c.Time, x.hour, x.channel, n, 0)
	s.habit.round()
	c.Reward(appendSend(nil, &Send{Alike: x.alike, Hour: x.hour, Channel: x.channel, Sent: n}))
}

// replied counts the first answer to what was sent.
func (s *record) replied(c *engine.Context, o *open) {
	for i := range o.given {
		x := o.given[i].contact
		if x == nil || x.answered {
			continue
		}
		s.tell(c, x, true) // it did arrive
		x.answered = true
		s.habit.note(c.Time, x.hour, x.channel, 0, 1)
		s.habit.round()
		c.Reward(appendSend(nil, &Send{Alike: x.alike, Hour: x.hour, Channel: x.channel, Answered: 1}))
	}
}

// delivered folds in what became of a message.
func (s *record) delivered(c *engine.Context, e *rapport.Event) {
	to := property(e, "destination")
	if to != "inapp" && !strings.HasPrefix(to, "channel/") {
		return
	}
	i := s.named(e)
	if i < 0 || len(s.open[i].given) == 0 || s.open[i].given[0].contact == nil {
		return
	}
	switch property(e, "status") {
	case "delivered":
		s.tell(c, s.open[i].given[0].contact, true)
	case "failed", "expired", "withheld":
		s.tell(c, s.open[i].given[0].contact, false)
	}
}

// The rhythm of a person: in which two hours of the UTC day things happened.
const beats = 12

// beat counts something that happened; the counts stay in proportion.
func (s *interest) beat(at int64) {
	i := int(((at/(2*3600e3))%beats + beats) % beats)
	if s.rhythm[i] == math.MaxUint8 {
		for j := range s.rhythm {
			s.rhythm[j] /= 2
		}
	}
	s.rhythm[i]++
}

// partOfDay returns the part of the day where the person is in which most
// happened, 0 while too little is known.
func (s *interest) partOfDay(now time.Time) int {
	if s == nil {
		return 0
	}
	_, offset := now.Zone()
	shift := int(math.Round(float64(offset) / 7200))
	best, most, all := 0, 0, 0
	for part := range beats / 2 {
		n := 0
		for i := range 2 {
			n += int(s.rhythm[((2*part+i-shift)%beats+beats)%beats])
		}
		all += n
		if n > most {
			best, most = part+1, n
		}
	}
	if all < leastBeats {
		return 0
	}
	return best
}

// leastBeats is how much must have happened before somebody is told by it.
const leastBeats = 5
