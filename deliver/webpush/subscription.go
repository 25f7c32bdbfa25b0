package webpush

import (
	"cmp"
	"crypto/ecdh"
	"encoding/binary"
	"net/url"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
)

// The events that tell of subscriptions. The properties of the first are what
// PushSubscription.toJSON() gives in a browser: endpoint and keys.
const (
	EventSubscribed   = "Push Subscribed"
	EventUnsubscribed = "Push Unsubscribed"
	// SystemGone names the event that records what a push service said: the
	// subscription of endpoint is no more.
	SystemGone = "Push Subscription Gone"
)

// FoldName is the name of this room's fold.
const FoldName = "push"

// Bounds of what a fragment keeps.
const (
	maxSubscriptions = 16
	maxEndpoint      = 2048
)

// Subscription is one browser of a person that takes messages.
type Subscription struct {
	Endpoint string
	P256dh   []byte // its public key, an uncompressed point of P-256
	Auth     []byte // 16 bytes it shares with us
	At       int64  // Unix ms, when it was said
	gone     bool   // kept, so that an older word does not bring it back
}

// Fold keeps the subscriptions of a fragment. Of what is said of one endpoint
// the newest stands, whatever order it comes in; of two equally old words the
// one that takes away.
type Fold struct{}

var (
	_ engine.Fold = Fold{}
	_ engine.Cold = Fold{}
)

// Name implements [engine.Fold].
func (Fold) Name() string { return FoldName }

// Version implements [engine.Fold].
func (Fold) Version() uint32 { return 1 }

// Rowless implements [engine.Rowless].
func (Fold) Rowless() {}

// Scope implements [engine.Fold].
func (Fold) Scope() engine.Scope { return engine.PerFragment }

// New implements [engine.Fold].
func (Fold) New() engine.State { return &Subscriptions{} }

// Wants implements [engine.Cold].
func (Fold) Wants(_ *engine.Context, e *rapport.Event) bool {
	switch e.Type {
	case rapport.TypeTrack:
		return e.Name == EventSubscribed || e.Name == EventUnsubscribed
	case rapport.TypeSystem:
		return e.Name == SystemGone
	}
	return false
}

// Subscriptions are what is known of a person's browsers.
type Subscriptions struct{ all []Subscription } // by endpoint

// Live returns the subscriptions that take messages, the newest first.
func (s *Subscriptions) Live() []Subscription {
	var out []Subscription
	if s == nil {
		return nil
	}
	for _, x := range s.all {
		if !x.gone {
			out = append(out, x)
		}
	}
	slices.SortStableFunc(out, func(a, b Subscription) int { return cmp.Compare(b.At, a.At) })
	return out
}

// Apply implements [engine.State].
func (s *Subscriptions) Apply(_ *engine.Context, e *rapport.Event) {
	x := Subscription{At: e.Timestamp, gone: e.Name != EventSubscribed}
	v, _ := e.Properties.Get("endpoint")
	x.Endpoint = strings.Clone(v.Str())
	if !x.gone {
		keys, _ := e.Properties.Get("keys")
		f, _ := keys.Object()
		public, _ := f.Get("p256dh")
		auth, _ := f.Get("auth")
		var err error
		if x.P256dh, err = decode(public.Str()); err != nil {
			return
		}
		if x.Auth, err = decode(auth.Str()); err != nil {
			return
		}
	}
	s.learn(x)
}

// learn takes in a word about an endpoint. What is not a subscription is left
// out; it stays in the event.
func (s *Subscriptions) learn(x Subscription) {
	if !x.valid() {
		return
	}
	i, known := slices.BinarySearchFunc(s.all, x.Endpoint, func(a Subscription, endpoint string) int { return strings.Compare(a.Endpoint, endpoint) })
	if known {
		if s.all[i].compare(&x) < 0 {
			s.all[i] = x
		}
		return
	}
	s.all = slices.Insert(s.all, i, x)
	if len(s.all) > maxSubscriptions { // the oldest goes, whatever order they came in
		s.all = slices.DeleteFunc(s.all, func() func(Subscription) bool {
			oldest := slices.MinFunc(s.all, func(a, b Subscription) int {
				return cmp.Or(cmp.Compare(a.At, b.At), strings.Compare(a.Endpoint, b.Endpoint))
			})
			return func(a Subscription) bool { return a.Endpoint == oldest.Endpoint }
		}())
	}
}

// compare orders two words about one endpoint: the greater stands.
func (x *Subscription) compare(y *Subscription) int {
	gone := func(s *Subscription) int {
		if s.gone {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(x.At, y.At), cmp.Compare(gone(x), gone(y)), slices.Compare(x.P256dh, y.P256dh), slices.Compare(x.Auth, y.Auth))
}

func (x *Subscription) valid() bool {
	u, err := url.Parse(x.Endpoint)
	if err != nil || len(x.Endpoint) > maxEndpoint || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return false
	}
	if x.gone {
		return len(x.P256dh) == 0 && len(x.Auth) == 0
	}
	_, err = ecdh.P256().NewPublicKey(x.P256dh)
	return err == nil && len(x.P256dh) == pointBytes && len(x.Auth) == authBytes
}

// Merge implements [engine.State].
func (s *Subscriptions) Merge(other engine.State) {
	for _, x := range other.(*Subscriptions).all {
		x.P256dh, x.Auth = slices.Clone(x.P256dh), slices.Clone(x.Auth)
		s.learn(x)
	}
}

// AppendBinary implements [engine.State].
func (s *Subscriptions) AppendBinary(b []byte) []byte {
	for i := range s.all {
		x := &s.all[i]
		b = binary.AppendVarint(rapport.AppendText(b, x.Endpoint), x.At)
		if x.gone {
			b = append(b, 1)
			continue
		}
		b = append(b, 0)
		b = append(b, x.P256dh...)
		b = append(b, x.Auth...)
	}
	return b
}

// DecodeBinary implements [engine.State].
func (s *Subscriptions) DecodeBinary(b []byte) error {
	s.all = nil
	d := rapport.NewDecoder(b)
	for last := ""; d.Len() > 0; {
		x := Subscription{Endpoint: d.Text(), At: d.Varint(), gone: d.Bool()}
		if !x.gone {
			x.P256dh, x.Auth = slices.Clone(d.Take(pointBytes)), slices.Clone(d.Take(authBytes))
		}
		if d.Failed() || len(x.Endpoint) > maxEndpoint || x.Endpoint <= last || !x.valid() || len(s.all) == maxSubscriptions {
			s.all = nil
			return rapport.Errorf(rapport.Internal, "stored push subscriptions are damaged")
		}
		last = x.Endpoint
		s.all = append(s.all, x)
	}
	return nil
}
