package sms_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/deliver"
	"github.com/rapport-engine/rapport/deliver/compose"
	"github.com/rapport-engine/rapport/deliver/sms"
	"github.com/rapport-engine/rapport/deliver/webhook"
)

type people struct{ phone string }

func (p people) Recipient(context.Context, rapport.ID) (compose.Recipient, error) {
	return compose.Recipient{Phone: p.phone, Variables: map[string]any{"firstName": `A"da`}}, nil
}

type links struct{}

func (links) Preferences(rapport.ID) string                 { return "https://x.example/p" }
func (links) Unsubscribe(rapport.ID, string, string) string { return "https://x.example/u" }

func newSender(t *testing.T, target, body, phone string, allow ...string) (*sms.Sender, error) {
	t.Helper()
	guard, err := webhook.NewGuard(allow)
	if err != nil {
		t.Fatal(err)
	}
	content := rapport.AppendField(nil, "text", rapport.StringValue("Hei {{ person.firstName }} & co"))
	return sms.New(sms.Options{
		Channel: deliver.ChannelDoc{ID: "sms", Type: deliver.ChannelSMS, URL: target, Body: body, From: "Northbean", Headers: map[string]string{"Authorization": "Bearer secret"}},
		Caller:  webhook.NewPoster(guard, rapport.SystemClock{}),
		Composer: compose.New(compose.Deps{
			Reader: people{phone}, Links: links{}, Clock: rapport.SystemClock{},
			Decision: func([]byte) (*rapport.Decision, error) {
				return &rapport.Decision{ID: "d_1", Items: []rapport.Choice{{Action: "a", Content: content}}}, nil
			},
		}),
	})
}

func TestATextReachesTheProviderInItsOwnForm(t *testing.T) {
	t.Parallel()
	type request struct{ kind, auth, key, body string }
	var got request
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = request{r.Header.Get("Content-Type"), r.Header.Get("Authorization"), r.Header.Get("Idempotency-Key"), string(b)}
		w.WriteHeader(http.StatusCreated)
	}))
	defer provider.Close()
	message := &deliver.Message{Key: "channel/sms/d_1", Event: &rapport.Event{}}
	for template, want := range map[string]request{
		`{"to": {{ to | json }}, "text": {{ text | json }}}`:                    {"application/json", "Bearer secret", "channel/sms/d_1", `{"to": "+4722225555", "text": "Hei A\"da \u0026 co"}`},
		`To={{ to | url_encode }}&From={{ from }}&Body={{ text | url_encode }}`: {"application/x-www-form-urlencoded", "Bearer secret", "channel/sms/d_1", `To=%2B4722225555&From=Northbean&Body=Hei+A%22da+%26+co`},
	} {
		s, err := newSender(t, provider.URL, template, "+4722225555", "127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		if r := s.Send(t.Context(), message); r.Status != deliver.Delivered || got != want {
			t.Errorf("got %+v %+v, want %+v", r, got, want)
		}
	}
	s, err := newSender(t, provider.URL, "x", "", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if r := s.Send(t.Context(), message); r.Status != deliver.Failed {
		t.Errorf("without a number: %+v", r)
	}
}

func TestATextNeverGoesInside(t *testing.T) {
	t.Parallel()
	if _, err := newSender(t, "http://127.0.0.1:9/x", "x", "+47"); rapport.KindOf(err) != rapport.Invalid {
		t.Errorf("plain http to this machine: %v", err)
	}
	s, err := newSender(t, "https://127.0.0.1:9/x", "x", "+47")
	if err != nil {
		t.Fatal(err)
	}
	if r := s.Send(t.Context(), &deliver.Message{Event: &rapport.Event{}}); r.Status == deliver.Delivered {
		t.Errorf("got %+v", r)
	}
}
