package twin

import (
	"cmp"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/gs1"
	"github.com/rapport-engine/rapport/profile"
)

// Item is what is known of one product item.
type Item struct {
	// ID is the item's name, as [gs1.Key.ID] writes it; "" for an entity that is no item.
	ID string
	// Registered is when it was first heard of, Unix milliseconds.
	Registered int64
	// Facts are what stands on it or came with it: lot, expiry, production date. Sorted by name.
	Facts []Fact1
	// Stages are the stages it was in, by name of the stage.
	Stages []StageTime
	// Recalls are those it is under, by when they began.
	Recalls []Recall
	// Steps are its way through the supply chain, oldest first.
	Steps []ChainStep
	// Parents are the containers it was in, by when it went in.
	Parents []Parent
	// Readings are its telemetry, by name.
	Readings []Reading
	// Fired names the signals that are over their line.
	Fired             []string
	Reported, Desired Shadow
	Commands          []Command // oldest first
	// Firmware is the version it reports.
	Firmware   string
	FirmwareAt int64
	// Seal is "closed", "opened" or "" if unknown.
	Seal   string
	SealAt int64
	// Place is where it said it is.
	Place Place
	// SoldAt and OwnedAt are when it was first sold and first owned; 0 if not.
	SoldAt, OwnedAt int64
	// Owner holds it now; zero Person if nobody does.
	Owner Owner
	// Epoch counts changes of owner.
	Epoch uint32
	// EpochAt is when the last owner let go: what is older is nobody's to see who came after.
	EpochAt int64
	Members []Member
	Offer   Offer
	// Tokens are the hashes of its device tokens.
	Tokens []Token
	// ClaimCode is the hash of the code that was packed with it; nil if none.
	ClaimCode []byte
	// Connected says whether it is connected, ConnectedAt since when it is or is not.
	Connected   bool
	ConnectedAt int64
	// Seen is when it was last heard of by itself.
	Seen int64
	// Moments counts what happened to it under the present owner, by name.
	Moments []Moment
	// Rejected are the latest inputs that could not be read.
	Rejected []Rejection
	// Taps counts verified taps, Refused the copied ones.
	Taps, Refused int64
	// Scores are what is foretold of it, by name.
	Scores []Score
	// Version rises with every event.
	Version int64

	// answers to what computed traits and conditions of items ask of its past
	// under the present owner.
	answers profile.Aggregates

	mint func(kind, value string) rapport.ID
}

// Fact1 is one fact of an item.
type Fact1 struct{ Name, Value string }

// StageTime is a stage with when the item was first and last in it.
type StageTime struct {
	Stage       Stage
	First, Last int64
}

// ChainStep is one step of an item's way.
type ChainStep struct {
	At                                                          int64
	Stage                                                       Stage
	Event, BizStep, Disposition, Location, ReadPoint, Reference string
}

// Parent is a container an item was in, from From until To (0: still).
type Parent struct {
	ID       string
	From, To int64
}

// Place is where an item is.
type Place struct {
	At                  int64
	Latitude, Longitude float64
	Name                string
}

// Owner is who an item belongs to.
type Owner struct {
	// Person is the id minted from the owner's strongest identifier when they
	// claimed it; identity says who that is now.
	Person rapport.ID
	Since  int64
	// Proof is what the claim rested on: tap, receipt, code, transfer, api.
	Proof string
}

// Member is somebody of the owner's household.
type Member struct {
	Person rapport.ID
	Role   string // member or guest
	Since  int64
}

// Offer is an owner's offer to pass the item on.
type Offer struct {
	// Hash is SHA-256 of the code whoever takes it must show; nil if there is none.
	Hash    []byte
	Kind    string // transfer or gift
	Expires int64
	At      int64
}

// Token is the hash of a device token.
type Token struct {
	Hash []byte
	At   int64
}

// Score is something foretold of an item, as told last.
type Score struct {
	Name  string
	Value float64
	At    int64
}

// Moment counts events of one name.
type Moment struct {
	Name  string
	Count int64
	Last  int64
}

// Rejection is an input that could not be read.
type Rejection struct {
	At      int64
	Problem string
}

func (s *Item) code(c *coder) {
	c.text(&s.ID)
	c.int(&s.Version)
	c.int(&s.Registered)
	c.int(&s.Seen)
	list(c, &s.Facts, func(f *Fact1) { c.text(&f.Name); c.text(&f.Value) })
	list(c, &s.Stages, func(t *StageTime) { c.text((*string)(&t.Stage)); c.int(&t.First); c.int(&t.Last) })
	list(c, &s.Recalls, func(r *Recall) { r.code(c) })
	list(c, &s.Steps, func(p *ChainStep) {
		c.int(&p.At)
		c.text((*string)(&p.Stage))
		for _, t := range []*string{&p.Event, &p.BizStep, &p.Disposition, &p.Location, &p.ReadPoint, &p.Reference} {
			c.text(t)
		}
	})
	list(c, &s.Parents, func(p *Parent) { c.text(&p.ID); c.int(&p.From); c.int(&p.To) })
	list(c, &s.Readings, func(r *Reading) { r.code(c) })
	list(c, &s.Fired, c.text)
	s.Reported.code(c)
	s.Desired.code(c)
	list(c, &s.Commands, func(x *Command) { x.code(c) })
	c.text(&s.Firmware)
	c.int(&s.FirmwareAt)
	c.text(&s.Seal)
	c.int(&s.SealAt)
	if c.int(&s.Place.At); s.Place.At != 0 {
		c.float(&s.Place.Latitude)
		c.float(&s.Place.Longitude)
		c.text(&s.Place.Name)
	}
	c.int(&s.SoldAt)
	c.int(&s.OwnedAt)
	c.id(&s.Owner.Person)
	c.int(&s.Owner.Since)
	c.text(&s.Owner.Proof)
	c.uint(&s.Epoch)
	c.int(&s.EpochAt)
	list(c, &s.Members, func(m *Member) { c.id(&m.Person); c.text(&m.Role); c.int(&m.Since) })
	if c.bytes(&s.Offer.Hash); len(s.Offer.Hash) > 0 {
		c.text(&s.Offer.Kind)
		c.int(&s.Offer.Expires)
		c.int(&s.Offer.At)
	}
	list(c, &s.Tokens, func(t *Token) { c.bytes(&t.Hash); c.int(&t.At) })
	c.bytes(&s.ClaimCode)
	c.bool(&s.Connected)
	c.int(&s.ConnectedAt)
	list(c, &s.Moments, func(m *Moment) { c.text(&m.Name); c.int(&m.Count); c.int(&m.Last) })
	list(c, &s.Rejected, func(r *Rejection) { c.int(&r.At); c.text(&r.Problem) })
	c.int(&s.Taps)
	c.int(&s.Refused)
	list(c, &s.Scores, func(x *Score) { c.text(&x.Name); c.float(&x.Value); c.int(&x.At) })
	var answers []byte
	if !c.reading {
		answers = s.answers.AppendBinary(nil)
	}
	if c.bytes(&answers); c.reading && s.answers.DecodeBinary(answers) != nil {
		c.skip(-1)
	}
}

// AppendBinary implements engine.State.
func (s *Item) AppendBinary(b []byte) []byte {
	if s.ID == "" {
		return b
	}
	c := coder{b: b}
	s.code(&c)
	return c.b
}

// DecodeBinary implements engine.State.
func (s *Item) DecodeBinary(b []byte) error {
	*s = Item{mint: s.mint}
	if len(b) == 0 {
		return nil
	}
	c := coder{b: b, reading: true}
	s.code(&c)
	return c.done("item")
}

// Merge implements engine.State. Items are named by keys that mean one thing
// for ever, so two never become one; the one that is known stays.
func (s *Item) Merge(other engine.State) {
	o := other.(*Item)
	if s.ID == "" && o.ID != "" {
		_ = s.DecodeBinary(o.AppendBinary(nil))
	}
}

// Key returns the item's GS1 key; the zero Key if it has none.
func (s *Item) Key() gs1.Key {
	k, _ := gs1.ParseID(s.ID)
	return k
}

// Fact returns a fact, or "".
func (s *Item) Fact(name string) string {
	for _, f := range s.Facts {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

func (s *Item) setFact(name, value string) {
	if value == "" || len(name) > MaxName || len(value) > maxFactBytes {
		return
	}
	i, ok := slices.BinarySearchFunc(s.Facts, name, func(f Fact1, name string) int { return cmp.Compare(f.Name, name) })
	switch {
	case ok:
		s.Facts[i].Value = clip(value, maxFactBytes)
	case len(s.Facts) < maxFacts:
		s.Facts = slices.Insert(s.Facts, i, Fact1{clip(name, MaxName), clip(value, maxFactBytes)})
	}
}

// Stage returns where the item is in its life: recalled while a recall stands,
// else the stage entered last.
func (s *Item) Stage() Stage {
	if len(s.Recalls) > 0 {
		return Recalled
	}
	stage, at := Registered, int64(-1<<62)
	for _, t := range s.Stages {
		if t.Last > at || t.Last == at && stageOrder(t.Stage) > stageOrder(stage) {
			stage, at = t.Stage, t.Last
		}
	}
	return stage
}

// stageOrder breaks ties between stages entered in the same millisecond.
func stageOrder(s Stage) int {
	return slices.Index([]Stage{Registered, Commissioned, Packed, Shipped, Received, OnShelf, Sold, Owned, Transferred, Opened, InUse, Serviced, Low, NeedsService, Ended}, s)
}

// enter notes that the item was in a stage at a time.
func (s *Item) enter(stage Stage, at int64) {
	if stageOrder(stage) < 0 {
		return
	}
	i := slices.IndexFunc(s.Stages, func(t StageTime) bool { return t.Stage == stage })
	if i < 0 {
		s.Stages = append(s.Stages, StageTime{stage, at, at})
		slices.SortFunc(s.Stages, func(a, b StageTime) int { return cmp.Compare(stageOrder(a.Stage), stageOrder(b.Stage)) })
		return
	}
	s.Stages[i].First, s.Stages[i].Last = min(s.Stages[i].First, at), max(s.Stages[i].Last, at)
}

// leave takes a stage back that was entered by mistake or is over.
func (s *Item) leave(stage Stage) {
	s.Stages = slices.DeleteFunc(s.Stages, func(t StageTime) bool { return t.Stage == stage })
}

// Within returns the containers the item was in at a time.
func (s *Item) Within(at int64) []Parent {
	var out []Parent
	for _, p := range s.Parents {
		if p.From <= at && (p.To == 0 || at < p.To) {
			out = append(out, p)
		}
	}
	return out
}

// Holds reports whether a person owns the item or is of the household. person
// are all ids a person is known by.
func (s *Item) Holds(person ...rapport.ID) (role string, ok bool) {
	if !s.Owner.Person.IsZero() && slices.Contains(person, s.Owner.Person) {
		return "owner", true
	}
	for _, m := range s.Members {
		if slices.Contains(person, m.Person) {
			return m.Role, true
		}
	}
	return "", false
}

// Count returns how often a moment happened under the present owner, and when last.
func (s *Item) Count(name string) (count, last int64) {
	for _, m := range s.Moments {
		if m.Name == name {
			return m.Count, m.Last
		}
	}
	return 0, 0
}

// Warranty returns from when until when the maker stands for the item, given
// the length of the product's warranty: from its sale, or from its first owner
// if the sale was not told. ok is false before that, or without a warranty.
func (s *Item) Warranty(length int64) (from, until int64, ok bool) {
	if from = s.SoldAt; from == 0 {
		from = s.OwnedAt
	}
	return from, from + length, from != 0 && length > 0
}
