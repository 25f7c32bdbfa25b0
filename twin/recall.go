package twin

import (
	"cmp"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
)

// Recall is a recall an item is under.
type Recall struct {
	ID string
	// Reason says why, Instructions and URL what its holder is to do.
	Reason, Instructions, URL string
	// Placement is where the message to its holders is decided; "" leaves the choice
	// to the decision.
	Placement string
	At        int64 // since when, Unix milliseconds
	// Round counts how often its holders were to be told: 1 at first.
	Round int64
}

func (r *Recall) code(c *coder) {
	for _, t := range []*string{&r.ID, &r.Reason, &r.Instructions, &r.URL, &r.Placement} {
		c.text(t)
	}
	c.int(&r.At)
	c.int(&r.Round)
}

// fields are the properties of the moment that tells of it.
func (r *Recall) fields() rapport.Fields {
	var f rapport.Fields
	for _, x := range [][2]string{{"recall", r.ID}, {"reason", r.Reason}, {"instructions", r.Instructions}, {"url", r.URL}, {"placement", r.Placement}} {
		if x[1] != "" {
			f = rapport.AppendField(f, x[0], rapport.StringValue(x[1]))
		}
	}
	return rapport.AppendField(f, "round", rapport.NumberValue(float64(r.Round)))
}

// RecallFact returns the properties of the fact that an item is called back, or
// no longer. The fact may be told any number of times: only a recall or a round
// that is new to the item tells those who hold it.
func RecallFact(item string, r *Recall, lifted bool) rapport.Fields {
	f := append(rapport.AppendField(nil, "item", rapport.StringValue(item)), r.fields()...)
	if lifted {
		f = rapport.AppendField(f, "lifted", rapport.BoolValue(true))
	}
	return f
}

// Under returns the recall of an id the item is under, or nil.
func (s *Item) Under(recall string) *Recall {
	for i := range s.Recalls {
		if s.Recalls[i].ID == recall {
			return &s.Recalls[i]
		}
	}
	return nil
}

// Recalled returns the recall that began last of those it is under, or nil.
func (s *Item) Recalled() *Recall {
	if len(s.Recalls) == 0 {
		return nil
	}
	return &s.Recalls[len(s.Recalls)-1]
}

// recall folds a recall, a further round of it, or its end.
func (s *Item) recall(c *engine.Context, e *rapport.Event) {
	p := e.Properties
	r := Recall{
		ID: clip(str(p, "recall"), 128), Reason: clip(str(p, "reason"), 1024), Instructions: clip(str(p, "instructions"), 4096),
		URL: clip(str(p, "url"), 1024), Placement: clip(str(p, "placement"), 128), At: e.Timestamp, Round: max(1, num(p, "round")),
	}
	known := s.Under(r.ID)
	if lifted, _ := p.Get("lifted"); lifted.Kind() == rapport.KindTrue {
		if known == nil {
			return
		}
		r = *known
		s.Recalls = slices.DeleteFunc(s.Recalls, func(x Recall) bool { return x.ID == r.ID })
		s.tell(c, e)
		s.warn(c, e, &r, ProductRecallLifted, s.Holders()...)
		return
	}
	if known != nil {
		fresh := r.Round > known.Round
		r.At, r.Round = known.At, max(r.Round, known.Round)
		*known = r
		if s.tell(c, e); fresh {
			s.warn(c, e, &r, ProductRecalled, s.Holders()...)
		}
		return
	}
	if len(s.Recalls) == maxRecalls {
		s.Recalls = slices.Delete(s.Recalls, 0, 1)
	}
	s.Recalls = append(s.Recalls, r)
	slices.SortFunc(s.Recalls, func(a, b Recall) int { return cmp.Or(cmp.Compare(a.At, b.At), strings.Compare(a.ID, b.ID)) })
	s.tell(c, e)
	s.warn(c, e, &r, ProductRecalled, s.Holders()...)
}

// Holders returns the owner and the household, by the ids they were known by.
func (s *Item) Holders() []rapport.ID {
	if s.Owner.Person.IsZero() {
		return nil
	}
	all := []rapport.ID{s.Owner.Person}
	for _, m := range s.Members {
		all = append(all, m.Person)
	}
	return all
}

// warnNew tells somebody who holds the item from now on of the recalls it is under.
func (s *Item) warnNew(c *engine.Context, e *rapport.Event, person rapport.ID) {
	for i := range s.Recalls {
		s.warn(c, e, &s.Recalls[i], ProductRecalled, person)
	}
}

// warn tells people of a recall. It is never history: whoever holds the item
// learns of it now, also when since when they hold it is long ago.
func (s *Item) warn(c *engine.Context, e *rapport.Event, r *Recall, name string, people ...rapport.ID) {
	p := append(s.about(c.Config), r.fields()...)
	if e.Name != EventRecalled {
		p = rapport.AppendField(p, "late", rapport.BoolValue(true)) // they came to it while it stood
	}
	for _, person := range people {
		c.Emit(person, &rapport.Event{
			Type: rapport.TypeTrack, Name: name, MessageID: e.MessageID + "/" + name + "/" + r.ID + "/" + person.String(), Source: Source, Fragment: person,
			Timestamp: e.ReceivedAt, OriginalTimestamp: e.ReceivedAt, ReceivedAt: e.ReceivedAt, Properties: p,
		})
	}
}
