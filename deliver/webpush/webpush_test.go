package webpush_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/deliver"
	"github.com/rapport-engine/rapport/deliver/compose"
	"github.com/rapport-engine/rapport/deliver/webhook"
	"github.com/rapport-engine/rapport/deliver/webpush"
	"github.com/rapport-engine/rapport/engine"
)

// browser is somebody's browser: its keys, and how it reads what comes.
type browser struct {
	private *ecdh.PrivateKey
	auth    []byte
}

func newBrowser(t testing.TB) *browser {
	t.Helper()
	private, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{private: private, auth: make([]byte, 16)}
	_, _ = rand.Read(b.auth)
	return b
}

func (b *browser) subscription(endpoint string) webpush.Subscription {
	return webpush.Subscription{Endpoint: endpoint, P256dh: b.private.PublicKey().Bytes(), Auth: b.auth, At: 1}
}

// read decrypts a message by RFC 8291, with HKDF written out (RFC 5869).
func (b *browser) read(t testing.TB, body []byte) []byte {
	t.Helper()
	salt, sender, record := body[:16], body[21:86], body[86:]
	public, err := ecdh.P256().NewPublicKey(sender)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := b.private.ECDH(public)
	if err != nil {
		t.Fatal(err)
	}
	mac := func(key []byte, parts ...[]byte) []byte {
		h := hmac.New(sha256.New, key)
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	prk := mac(b.auth, shared)
	ikm := mac(prk, []byte("WebPush: info\x00"), b.private.PublicKey().Bytes(), sender, []byte{1})
	prk = mac(salt, ikm)
	key := mac(prk, []byte("Content-Encoding: aes128gcm\x00\x01"))[:16]
	nonce := mac(prk, []byte("Content-Encoding: nonce\x00\x01"))[:12]
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := seal.Open(nil, nonce, record, nil)
	if err != nil {
		t.Fatal(err)
	}
	plain = bytes.TrimRight(plain, "\x00")
	if len(plain) == 0 || plain[len(plain)-1] != 2 {
		t.Fatal("the last record does not end with 2")
	}
	return plain[:len(plain)-1]
}

// service is a push service that keeps to the protocol: it takes only what is
// signed by the key the browser subscribed to, and answers as it is told.
type service struct {
	*httptest.Server
	t      testing.TB
	public string

	mu     sync.Mutex
	answer map[string][]int // by path: what to answer next; 201 when there is nothing
	bodies map[string][][]byte
	last   http.Header
}

func newService(t testing.TB, public string) *service {
	t.Helper()
	s := &service{t: t, public: public, answer: map[string][]int{}, bodies: map[string][][]byte{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.take))
	t.Cleanup(s.Close)
	return s
}

func (s *service) take(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	ttl, err := strconv.Atoi(r.Header.Get("Ttl"))
	switch {
	case r.Method != http.MethodPost || err != nil || ttl < 0:
		w.WriteHeader(http.StatusBadRequest)
		return
	case r.Header.Get("Content-Encoding") != "aes128gcm" || len(body) > 4096:
		w.WriteHeader(http.StatusUnsupportedMediaType)
		return
	case !s.signed(r.Header.Get("Authorization")):
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if codes := s.answer[r.URL.Path]; len(codes) > 0 {
		s.answer[r.URL.Path] = codes[1:]
		if codes[0] != http.StatusCreated {
			if codes[0] == http.StatusTooManyRequests {
				w.Header().Set("Retry-After", "7")
			}
			w.WriteHeader(codes[0])
			return
		}
	}
	s.bodies[r.URL.Path] = append(s.bodies[r.URL.Path], body)
	s.last = r.Header
	w.Header().Set("Location", s.URL+"/message/1")
	w.WriteHeader(http.StatusCreated)
}

// signed verifies a VAPID header (RFC 8292).
func (s *service) signed(header string) bool {
	rest, ok := strings.CutPrefix(header, "vapid t=")
	token, public, found := strings.Cut(rest, ", k=")
	parts := strings.Split(token, ".")
	if !ok || !found || public != s.public || len(parts) != 3 {
		return false
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(signature) != 64 {
		return false
	}
	point, err := base64.RawURLEncoding.DecodeString(public)
	if err != nil {
		return false
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return false
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if !ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		return false
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Aud, Sub string
		Exp      int64
	}
	if err != nil || json.Unmarshal(text, &claims) != nil {
		return false
	}
	now := time.Now().Unix()
	return claims.Aud == s.URL && claims.Sub == "mailto:ops@x.example" && claims.Exp > now && claims.Exp <= now+24*3600
}

// book is what is known of browsers.
type book struct {
	mu   sync.Mutex
	list []webpush.Subscription
	gone []string
}

func (b *book) Subscriptions(context.Context, rapport.ID) ([]webpush.Subscription, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.list), nil
}

func (b *book) Gone(_ context.Context, _ rapport.ID, endpoint string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = append(b.gone, endpoint)
	b.list = slices.DeleteFunc(b.list, func(s webpush.Subscription) bool { return s.Endpoint == endpoint })
	return nil
}

type people struct{}

func (people) Recipient(context.Context, rapport.ID) (compose.Recipient, error) {
	return compose.Recipient{Locale: "nb", Variables: map[string]any{"firstName": "Ada"}}, nil
}

type links struct{}

func (links) Preferences(rapport.ID) string                 { return "https://x.example/p" }
func (links) Unsubscribe(rapport.ID, string, string) string { return "https://x.example/u" }

func newSender(t testing.TB, key *webpush.Key, b *book, content map[string]any) *webpush.Sender {
	t.Helper()
	private, err := key.Private()
	if err != nil {
		t.Fatal(err)
	}
	guard, err := webhook.NewGuard([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	doc := deliver.ChannelDoc{ID: "push", Type: deliver.ChannelPush, PrivateKey: private, Subject: "mailto:ops@x.example", Urgency: "high"}
	if err := doc.Validate(); err != nil {
		t.Fatal(err)
	}
	s, err := webpush.New(webpush.Options{
		Channel: doc, Book: b, Clock: rapport.SystemClock{}, Caller: webhook.NewPoster(guard, rapport.SystemClock{}),
		Composer: compose.New(compose.Deps{
			Reader: people{}, Links: links{}, Clock: rapport.SystemClock{},
			Decision: func([]byte) (*rapport.Decision, error) {
				return &rapport.Decision{ID: "d_1", Items: []rapport.Choice{{Action: "mug", Content: rapport.FieldsOf(content)}}}, nil
			},
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mug() map[string]any {
	return map[string]any{"title": "Hei {{ person.firstName }}", "body": "A mug", "url": "https://x.example/mug", "topic": "mugs of the week, all of them"}
}

func message() *deliver.Message {
	return &deliver.Message{Key: "channel/push/d_1", Event: &rapport.Event{}, Created: time.Now().UnixMilli()}
}

func TestAMessageReachesTheBrowserAndNobodyElseCanReadIt(t *testing.T) {
	t.Parallel()
	key, err := webpush.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	at, b := newService(t, key.Public()), newBrowser(t)
	sender := newSender(t, key, &book{list: []webpush.Subscription{b.subscription(at.URL + "/a")}}, mug())
	if r := sender.Send(t.Context(), message()); r.Status != deliver.Delivered {
		t.Fatalf("sent as %+v", r)
	}
	var got any
	if err := json.Unmarshal(b.read(t, at.bodies["/a"][0]), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"web_push": 8030.0, "notification": map[string]any{
		"title": "Hei Ada", "body": "A mug", "navigate": "https://x.example/mug", "lang": "nb", "tag": "d_1",
		"data": map[string]any{"decisionId": "d_1", "action": "mug"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	ttl, _ := strconv.Atoi(at.last.Get("Ttl"))
	if at.last.Get("Urgency") != "high" || ttl < 86000 || ttl > 86400 || len(at.last.Get("Topic")) != 32 {
		t.Errorf("headers %v", at.last)
	}
	for _, body := range at.bodies["/a"] {
		if bytes.Contains(body, []byte("mug")) {
			t.Error("the message is readable on its way")
		}
	}
}

func TestAnswersOfPushServicesAreUnderstood(t *testing.T) {
	t.Parallel()
	key, err := webpush.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	for code, want := range map[int]deliver.Status{
		404: deliver.Failed, 410: deliver.Failed, 400: deliver.Failed, 413: deliver.Failed, 403: deliver.Failed,
		429: deliver.Retry, 500: deliver.Retry, 503: deliver.Retry,
	} {
		at, b := newService(t, key.Public()), newBrowser(t)
		at.answer["/a"] = []int{code}
		known := &book{list: []webpush.Subscription{b.subscription(at.URL + "/a")}}
		sender := newSender(t, key, known, mug())
		r := sender.Send(t.Context(), message())
		if r.Status != want || r.Code != code {
			t.Errorf("%d became %+v", code, r)
		}
		if code == 429 && r.After != 7*time.Second {
			t.Errorf("asked to wait 7 s, it is to be %v", r.After)
		}
		if left := len(known.list); (code == 404 || code == 410) != (left == 0) {
			t.Errorf("after %d there are %d subscriptions", code, left)
		}
		if want == deliver.Retry {
			if r := sender.Send(t.Context(), message()); r.Status != deliver.Delivered || len(at.bodies["/a"]) != 1 {
				t.Errorf("tried again after %d: %+v, %d arrived", code, r, len(at.bodies["/a"]))
			}
		}
	}
	other, err := webpush.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	at, b := newService(t, other.Public()), newBrowser(t)
	if r := newSender(t, key, &book{list: []webpush.Subscription{b.subscription(at.URL + "/a")}}, mug()).Send(t.Context(), message()); r.Status != deliver.Failed || r.Code != 403 {
		t.Errorf("with the wrong key: %+v", r)
	}
	if r := newSender(t, key, &book{}, mug()).Send(t.Context(), message()); r.Status != deliver.Failed {
		t.Errorf("without a browser: %+v", r)
	}
}

func TestEveryBrowserGetsAMessageOnceAlsoWhenOneIsBusy(t *testing.T) {
	t.Parallel()
	key, err := webpush.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	at, b := newService(t, key.Public()), newBrowser(t)
	at.answer["/busy"], at.answer["/gone"] = []int{503, 503}, []int{410}
	known := &book{list: []webpush.Subscription{b.subscription(at.URL + "/gone"), b.subscription(at.URL + "/busy"), b.subscription(at.URL + "/well")}}
	sender := newSender(t, key, known, mug())
	for range 2 {
		if r := sender.Send(t.Context(), message()); r.Status != deliver.Retry {
			t.Fatalf("sent as %+v", r)
		}
	}
	if r := sender.Send(t.Context(), message()); r.Status != deliver.Delivered {
		t.Fatalf("sent as %+v", r)
	}
	if len(at.bodies["/well"]) != 1 || len(at.bodies["/busy"]) != 1 || !slices.Equal(known.gone, []string{at.URL + "/gone"}) {
		t.Errorf("arrived %d and %d times, gone %v", len(at.bodies["/well"]), len(at.bodies["/busy"]), known.gone)
	}
	// After an hour one browser of several is enough.
	at.answer["/busy"] = []int{503}
	late := message()
	late.Key, late.Created = "channel/push/d_2", time.Now().Add(-2*time.Hour).UnixMilli()
	if r := sender.Send(t.Context(), late); r.Status != deliver.Delivered {
		t.Errorf("late: %+v", r)
	}
}

func TestOfWhatIsSaidOfABrowserTheNewestStandsWhateverTheOrder(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	enc := base64.RawURLEncoding.EncodeToString
	var events []*rapport.Event
	for n := range 60 {
		e := &rapport.Event{Type: rapport.TypeTrack, Name: webpush.EventSubscribed, Timestamp: int64(n * 7 % 60)}
		properties := map[string]any{"endpoint": "https://push.example/" + strconv.Itoa(n%20)}
		switch n % 5 {
		case 0:
			e.Name = webpush.EventUnsubscribed
		case 1:
			e.Type, e.Name = rapport.TypeSystem, webpush.SystemGone
		default:
			properties["keys"] = map[string]any{"p256dh": enc(b.private.PublicKey().Bytes()), "auth": enc(b.auth)}
		}
		e.Properties = rapport.FieldsOf(properties)
		events = append(events, e)
	}
	events = append(events,
		&rapport.Event{Type: rapport.TypeTrack, Name: webpush.EventSubscribed, Timestamp: 99, Properties: rapport.FieldsOf(map[string]any{"endpoint": "file:///etc/passwd"})},
		&rapport.Event{Type: rapport.TypeTrack, Name: webpush.EventSubscribed, Timestamp: 99, Properties: rapport.FieldsOf(map[string]any{"endpoint": "https://x.example", "keys": map[string]any{"p256dh": "AAAA", "auth": "AA"}})},
	)
	fold := func(list []*rapport.Event) engine.State {
		s := webpush.Fold{}.New()
		for _, e := range list {
			if (webpush.Fold{}).Wants(nil, e) {
				s.Apply(nil, e)
			}
		}
		return s
	}
	want := fold(events).AppendBinary(nil)
	if n := len(fold(events).(*webpush.Subscriptions).Live()); n == 0 {
		t.Fatal("nothing is left")
	}
	for round := range 50 {
		for i := range events {
			j := (i*13 + round*7) % len(events)
			events[i], events[j] = events[j], events[i]
		}
		half := round % len(events)
		s := fold(events[:half])
		s.Merge(fold(events[half:]))
		if got := s.AppendBinary(nil); !bytes.Equal(got, want) {
			t.Fatalf("round %d: another order gives another state", round)
		}
	}
	back := webpush.Fold{}.New()
	if err := back.DecodeBinary(want); err != nil || !bytes.Equal(back.AppendBinary(nil), want) {
		t.Errorf("reads back otherwise: %v", err)
	}
}

func TestKeysReadBack(t *testing.T) {
	t.Parallel()
	key, err := webpush.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	private, err := key.Private()
	if err != nil {
		t.Fatal(err)
	}
	again, err := webpush.ParseKey(private)
	if err != nil || again.Public() != key.Public() || len(key.Public()) != 87 {
		t.Errorf("%v, %v", again, err)
	}
	for _, bad := range []string{"", "x", strings.Repeat("A", 43), private[:40]} {
		if _, err := webpush.ParseKey(bad); rapport.KindOf(err) != rapport.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzDecodingSubscriptionsNeverPanicsAndKeepsWhatItTakes(f *testing.F) {
	b := newBrowser(f)
	s := webpush.Fold{}.New()
	s.Apply(nil, &rapport.Event{Type: rapport.TypeTrack, Name: webpush.EventSubscribed, Timestamp: 5, Properties: rapport.FieldsOf(map[string]any{
		"endpoint": "https://push.example/1", "keys": map[string]any{"p256dh": base64.RawURLEncoding.EncodeToString(b.private.PublicKey().Bytes()), "auth": base64.RawURLEncoding.EncodeToString(b.auth)},
	})})
	f.Add(s.AppendBinary(nil))
	s.Apply(nil, &rapport.Event{Type: rapport.TypeTrack, Name: webpush.EventUnsubscribed, Timestamp: 6, Properties: rapport.FieldsOf(map[string]any{"endpoint": "https://push.example/1"})})
	f.Add(s.AppendBinary(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := webpush.Fold{}.New()
		if s.DecodeBinary(b) != nil {
			return
		}
		once := s.AppendBinary(nil)
		again := webpush.Fold{}.New()
		if err := again.DecodeBinary(once); err != nil || !bytes.Equal(again.AppendBinary(nil), once) {
			t.Errorf("reads back otherwise: %v", err)
		}
	})
}
