package twin

import (
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/catalog"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/profile"
)

// Fold keeps the twin of every item. Mint gives the id of an identifier; it
// must be the deployment's own and pure.
type Fold struct {
	Mint func(kind, value string) rapport.ID
}

var (
	_ engine.Fold  = Fold{}
	_ engine.Cold  = Fold{}
	_ engine.State = (*Item)(nil)
	_ engine.Timed = (*Item)(nil)
)

// Name implements engine.Fold.
func (Fold) Name() string { return FoldItem }

// Version implements engine.Fold.
func (Fold) Version() uint32 { return 4 }

// Scope implements engine.Fold.
func (Fold) Scope() engine.Scope { return engine.PerEntity }

// New implements engine.Fold.
func (f Fold) New() engine.State { return &Item{mint: f.Mint} }

// Wants implements engine.Cold: events of items, not of tags and device names.
func (Fold) Wants(c *engine.Context, e *rapport.Event) bool {
	return c.Entity.Rank() == rapport.RankItem && e.Type == rapport.TypeSystem && e.Name != EventBound && e.Name != EventTapped && e.Name != profile.SystemReview
}

// Apply implements engine.State.
func (s *Item) Apply(c *engine.Context, e *rapport.Event) {
	if s.ID == "" {
		// Every fact that may be an item's first names it.
		name := str(e.Properties, "item")
		if name == "" && len(e.Identifiers) > 0 {
			name = e.Identifiers[0].Value
		}
		if name == "" {
			return
		}
		s.ID, s.Registered, s.EpochAt = clip(name, 256), e.Timestamp, e.Timestamp
	}
	s.Version++
	if uses(e.Name) && s.Former(e.Timestamp) {
		s.reject(e.Timestamp, "told of a time before the present owner")
		return
	}
	changed := true
	switch e.Name {
	case EventTelemetry, EventReported:
		s.tally(c, e)
	}
	switch e.Name {
	case EventRegistered:
		s.register(e)
	case EventCredential:
		s.credential(e)
		changed = false
	case EventTelemetry:
		s.Seen = max(s.Seen, e.ReceivedAt)
		if changed = s.measure(c, e); changed {
			s.locate(e)
			s.firmware(str(e.Properties, "firmware"), e.Timestamp)
			s.signal(c, e)
		}
	case EventReported:
		s.Seen = max(s.Seen, e.ReceivedAt)
		if !s.Reported.patch(e.Properties, e.Timestamp) {
			s.reject(e.Timestamp, "the reported state would be larger than 8 KB")
		}
		s.firmware(str(e.Properties, "firmware"), e.Timestamp)
	case EventDesired:
		if !s.Desired.patch(e.Properties, e.Timestamp) {
			s.reject(e.Timestamp, "the desired state would be larger than 8 KB")
		}
		changed = false
	case EventCommand:
		s.ask(c, e)
		changed = false
	case EventResult:
		s.answer(c, e)
		changed = false
	case EventMoved:
		s.move(e)
	case EventRecalled:
		s.recall(c, e)
		return
	case EventClaimed, EventOffered, EventWithdrawn, EventReleased, EventMember:
		s.own(c, e)
		return
	case EventConnection:
		v, _ := e.Properties.Get("connected")
		if on, ok := v.Bool(); ok && e.Timestamp >= s.ConnectedAt {
			s.Connected, s.ConnectedAt, s.Seen = on, e.Timestamp, max(s.Seen, e.ReceivedAt)
		}
		changed = false
	case EventRejected:
		s.reject(e.Timestamp, str(e.Properties, "problem"))
		changed = false
	case EventForetold:
		s.foretell(e)
	case ProductRecalled, ProductRecallLifted, ProductRecallAcknowledged:
		changed = false // no item says that of itself
	default:
		s.happen(c, e)
		return
	}
	if changed {
		s.tell(c, e)
	}
}

// tally brings what happened into the answers that are kept of the item.
func (s *Item) tally(c *engine.Context, e *rapport.Event) {
	if asked, _ := c.Config.Part(Asked).(*profile.Config); asked != nil {
		s.answers.Tally(asked, e)
	}
}

// foretell notes scores another room found.
func (s *Item) foretell(e *rapport.Event) {
	for k, v := range e.Properties.All() {
		x, ok := v.Number()
		if !ok {
			continue
		}
		i, known := slices.BinarySearchFunc(s.Scores, string(k), func(x Score, name string) int { return strings.Compare(x.Name, name) })
		switch {
		case known:
			s.Scores[i].Value, s.Scores[i].At = x, e.Timestamp
		case len(s.Scores) < maxScores:
			s.Scores = slices.Insert(s.Scores, i, Score{clip(string(k), MaxName), x, e.Timestamp})
		}
	}
}

// Score returns what is foretold of the item by a name.
func (s *Item) Score(name string) (value float64, ok bool) {
	for _, x := range s.Scores {
		if x.Name == name {
			return x.Value, true
		}
	}
	return 0, false
}

// uses reports whether a fact tells of the use of an item.
func uses(name string) bool {
	switch name {
	case EventRegistered, EventCredential, EventDesired, EventCommand, EventResult, EventMoved, EventRecalled, EventClaimed,
		EventOffered, EventWithdrawn, EventReleased, EventMember, EventConnection, EventRejected:
		return false
	}
	return true
}

// Former reports whether a time lies before the present ownership of an item
// that had an owner before: what it was used for then is not the present
// owner's to see, also when a device tells of it late.
func (s *Item) Former(at int64) bool { return s.Epoch > 1 && at < s.EpochAt }

func (s *Item) register(e *rapport.Event) {
	for k, v := range e.Properties.All() {
		switch string(k) {
		case "item":
		case "claimHash":
			s.ClaimCode = append([]byte(nil), v.Str()...)
		case "stage":
			s.enter(Stage(clip(v.Str(), 32)), e.Timestamp)
		default:
			s.setFact(string(k), v.Str())
		}
	}
	s.Registered = min(s.Registered, e.Timestamp)
}

func (s *Item) credential(e *rapport.Event) {
	if revoke, _ := e.Properties.Get("revoke"); revoke.Kind() == rapport.KindTrue {
		s.Tokens = nil
	}
	if h := str(e.Properties, "hash"); h != "" {
		s.Tokens = append(s.Tokens, Token{[]byte(clip(h, 64)), e.Timestamp})
		if len(s.Tokens) > maxTokens {
			s.Tokens = slices.Delete(s.Tokens, 0, 1)
		}
	}
}

func (s *Item) firmware(version string, at int64) {
	if version != "" && at >= s.FirmwareAt {
		s.Firmware, s.FirmwareAt = clip(version, 64), at
	}
}

func (s *Item) locate(e *rapport.Event) {
	lat, ok1 := e.Properties.Get("latitude")
	lon, ok2 := e.Properties.Get("longitude")
	x, n1 := lat.Number()
	y, n2 := lon.Number()
	if ok1 && ok2 && n1 && n2 && e.Timestamp >= s.Place.At {
		s.Place = Place{At: e.Timestamp, Latitude: x, Longitude: y, Name: clip(str(e.Properties, "place"), 128)}
	}
}

func (s *Item) reject(at int64, problem string) {
	s.Rejected = append(s.Rejected, Rejection{at, clip(problem, maxProblem)})
	if len(s.Rejected) > maxRejected {
		s.Rejected = slices.Delete(s.Rejected, 0, 1)
	}
}

// move folds a step of the supply chain in: stage, where, and the container it
// went into or left.
func (s *Item) move(e *rapport.Event) {
	p := e.Properties
	step := ChainStep{
		At: e.Timestamp, Stage: Stage(clip(str(p, "stage"), 32)), Event: clip(str(p, "eventId"), 128), BizStep: clip(str(p, "bizStep"), 64),
		Disposition: clip(str(p, "disposition"), 64), Location: clip(str(p, "location"), 128), ReadPoint: clip(str(p, "readPoint"), 128), Reference: clip(str(p, "reference"), 128),
	}
	for _, name := range []string{"lot", "expiry", "productionDate", "origin"} {
		s.setFact(name, str(p, name))
	}
	if parent := str(p, "parent"); parent != "" {
		s.contain(clip(parent, 256), str(p, "action"), e.Timestamp)
	}
	if step.Stage != "" {
		s.enter(step.Stage, e.Timestamp)
		if step.Stage == Sold && (s.SoldAt == 0 || e.Timestamp < s.SoldAt) {
			s.SoldAt = e.Timestamp
		}
	}
	i := len(s.Steps)
	for i > 0 && s.Steps[i-1].At > step.At {
		i--
	}
	s.Steps = slices.Insert(s.Steps, i, step)
	if len(s.Steps) > maxSteps {
		s.Steps = slices.Delete(s.Steps, maxSteps/2, maxSteps/2+1)
	}
}

// contain keeps the intervals an item was in a container, whatever order they are told in.
func (s *Item) contain(parent, action string, at int64) {
	if action == "DELETE" {
		for i := range s.Parents {
			if p := &s.Parents[i]; p.ID == parent && p.From <= at && (p.To == 0 || p.To > at) {
				p.To = at
				return
			}
		}
		s.addParent(Parent{parent, at, at}) // it went in before anybody told
		return
	}
	for i := range s.Parents {
		p := &s.Parents[i]
		if p.ID == parent && p.From <= at && (p.To == 0 || p.To >= at) {
			return // known; also what is observed
		}
		if p.ID == parent && p.From == p.To && p.From > at {
			p.From = at // its end was told first
			return
		}
	}
	s.addParent(Parent{ID: parent, From: at})
}

func (s *Item) addParent(p Parent) {
	i := len(s.Parents)
	for i > 0 && s.Parents[i-1].From > p.From {
		i--
	}
	s.Parents = slices.Insert(s.Parents, i, p)
	if len(s.Parents) > maxParents {
		s.Parents = slices.Delete(s.Parents, 0, 1)
	}
}

// happen folds a moment in and passes it on to whom the item belongs to.
func (s *Item) happen(c *engine.Context, e *rapport.Event) {
	s.Seen = max(s.Seen, e.ReceivedAt)
	s.tally(c, e)
	name := clip(e.Name, 128)
	i := slices.IndexFunc(s.Moments, func(m Moment) bool { return m.Name == name })
	switch {
	case i >= 0:
		s.Moments[i].Count++
		s.Moments[i].Last = max(s.Moments[i].Last, e.Timestamp)
	case len(s.Moments) < maxMoments:
		s.Moments = append(s.Moments, Moment{name, 1, e.Timestamp})
		slices.SortFunc(s.Moments, func(a, b Moment) int {
			if a.Name < b.Name {
				return -1
			}
			return 1
		})
	}
	switch name {
	case ProductOpened:
		s.enter(Opened, e.Timestamp)
		s.seal("opened", e.Timestamp)
	case ProductUsed:
		s.enter(InUse, e.Timestamp)
	case ProductRunningLow:
		s.enter(Low, e.Timestamp)
	case ProductRefilled:
		s.leave(Low)
		s.enter(InUse, e.Timestamp)
	case ProductNeedsService, ProductFault:
		s.enter(NeedsService, e.Timestamp)
	case ProductServiced:
		s.leave(NeedsService)
		s.enter(Serviced, e.Timestamp)
	case ProductEnded:
		s.enter(Ended, e.Timestamp)
	case ProductTapped:
		s.Taps++
		switch str(e.Properties, "tamper") {
		case "opened":
			s.seal("opened", e.Timestamp)
		case "closed":
			if s.Seal != "opened" { // a seal does not grow together again
				s.seal("closed", e.Timestamp)
			}
		}
	}
	s.tell(c, e)
	s.pass(c, e, name, e.Properties)
}

func (s *Item) seal(state string, at int64) {
	if at >= s.SealAt {
		s.Seal, s.SealAt = state, at
	}
}

// signal fires what the product's document says of readings that crossed a line.
func (s *Item) signal(c *engine.Context, e *rapport.Event) {
	for _, d := range s.product(c.Config).signals() {
		r := s.Reading(d.Reading)
		if r == nil || r.At != e.Timestamp {
			continue
		}
		x, ok := r.Number()
		if !ok {
			continue
		}
		over, back := false, false
		switch {
		case d.Below != nil:
			over, back = x < *d.Below, x >= or(d.Rearm, *d.Below)
		case d.Above != nil:
			over, back = x > *d.Above, x <= or(d.Rearm, *d.Above)
		}
		key := d.Reading + "\x00" + d.Event
		at := slices.Index(s.Fired, key)
		switch {
		case over && at < 0:
			s.Fired = append(s.Fired, key)
			slices.Sort(s.Fired)
			if d.Stage != "" {
				s.enter(Stage(d.Stage), e.Timestamp)
			}
			moment := *e
			moment.Name = d.Event
			moment.Properties = rapport.AppendField(rapport.AppendField(nil, "reading", rapport.StringValue(d.Reading)), d.Reading, rapport.NumberValue(x))
			s.happen(c, &moment)
		case back && at >= 0:
			s.Fired = slices.Delete(s.Fired, at, at+1)
			if d.Stage != "" {
				s.leave(Stage(d.Stage))
			}
		}
	}
}

func or(v *float64, otherwise float64) float64 {
	if v == nil {
		return otherwise
	}
	return *v
}

// product is the item's product as the configuration in force has it.
type product struct{ *catalog.ProductDoc }

func (s *Item) product(c *engine.Config) product {
	known, _ := c.Part(catalog.Part).(*catalog.Catalog)
	return product{known.Product(s.Key().GTIN())}
}

func (p product) signals() []catalog.SignalDoc {
	if p.ProductDoc == nil {
		return nil
	}
	return p.Signals
}
