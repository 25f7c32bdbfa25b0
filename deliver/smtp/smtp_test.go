package smtp_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	server "github.com/emersion/go-smtp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/deliver"
	"github.com/rapport-engine/rapport/deliver/compose"
	"github.com/rapport-engine/rapport/deliver/smtp"
)

// post is a mail server on this machine.
type post struct {
	addr   string
	tls    *tls.Config
	answer func(to string) error

	mu    sync.Mutex
	mails []string
}

func (p *post) NewSession(*server.Conn) (server.Session, error) { return &session{post: p}, nil }

type session struct{ post *post }

func (s *session) Mail(string, *server.MailOptions) error { return nil }
func (s *session) Rcpt(to string, _ *server.RcptOptions) error {
	if s.post.answer != nil {
		return s.post.answer(to)
	}
	return nil
}

func (s *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	s.post.mu.Lock()
	defer s.post.mu.Unlock()
	s.post.mails = append(s.post.mails, string(b))
	return err
}
func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }

// newPost starts a server that speaks STARTTLS with a certificate of its own.
func newPost(t *testing.T) *post {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	p := &post{tls: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	s := server.NewServer(p)
	s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return p
}

// people know one person.
type people struct{ r compose.Recipient }

func (p people) Recipient(context.Context, rapport.ID) (compose.Recipient, error) { return p.r, nil }

type links struct{}

func (links) Preferences(rapport.ID) string { return "https://x.example/preferences/t" }
func (links) Unsubscribe(_ rapport.ID, purpose, channel string) string {
	return "https://x.example/preferences/t?purpose=" + purpose + "&channel=" + channel
}

func send(t *testing.T, p *post, r compose.Recipient, content map[string]string, edit func(*deliver.ChannelDoc)) deliver.Result {
	t.Helper()
	var f rapport.Fields
	for k, v := range content {
		f = rapport.AppendField(f, k, rapport.StringValue(v))
	}
	doc := deliver.ChannelDoc{ID: "email", Type: deliver.ChannelEmail, Server: p.addr, From: "Northbean <hello@northbean.example>"}
	if edit != nil {
		edit(&doc)
	}
	s, err := smtp.New(smtp.Options{Channel: doc, TLS: p.tls, Composer: compose.New(compose.Deps{
		Reader: people{r}, Links: links{}, Clock: rapport.SystemClock{},
		Decision: func([]byte) (*rapport.Decision, error) {
			return &rapport.Decision{ID: "d_1", Items: []rapport.Choice{{Action: "a", Purpose: "news", Content: f}}}, nil
		},
	})})
	if err != nil {
		t.Fatal(err)
	}
	return s.Send(t.Context(), &deliver.Message{Key: "channel/email/d_1", Event: &rapport.Event{}})
}

var ada = compose.Recipient{
	Name: "Åda <script>", Email: "ada@example.org",
	Variables: map[string]any{"firstName": "Åda <script>", "points": 120},
}

func TestAMailArrivesWholeOverTLS(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	r := send(t, p, ada, map[string]string{
		"subject": "Hei {{ person.firstName }}\r\nBcc: everybody@example.org", "title": "Fresh beans", "body": "You have {{ person.points | plus: 5 }} points.\n\nDear {{ person.firstName }}", "url": "https://northbean.example/beans",
	}, nil)
	if r.Status != deliver.Delivered || len(p.mails) != 1 {
		t.Fatalf("got %+v and %d mails", r, len(p.mails))
	}
	m, err := mail.ReadMessage(strings.NewReader(p.mails[0]))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || subject != "Hei Åda <script> Bcc: everybody@example.org" || m.Header.Get("Bcc") != "" {
		t.Errorf("subject %q, bcc %q, %v", subject, m.Header.Get("Bcc"), err)
	}
	for header, want := range map[string]string{
		"List-Unsubscribe": "<https://x.example/preferences/t?purpose=news&channel=email>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
		"Auto-Submitted": "auto-generated",
	} {
		if got := m.Header.Get(header); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
	parts := bodies(t, m)
	if text := parts["text/plain"]; !strings.Contains(text, "You have 125 points.") || !strings.Contains(text, "https://x.example/preferences/t") {
		t.Errorf("text: %s", text)
	}
	if page := parts["text/html"]; !strings.Contains(page, "Dear Åda &lt;script&gt;") || strings.Contains(page, "<script>") || !strings.Contains(page, `href="https://northbean.example/beans"`) {
		t.Errorf("html: %s", page)
	}
	first := m.Header.Get("Message-Id")
	send(t, p, ada, map[string]string{"subject": "again", "text": "x"}, nil)
	again, err := mail.ReadMessage(strings.NewReader(p.mails[1]))
	if err != nil || first == "" || again.Header.Get("Message-Id") != first {
		t.Errorf("a second attempt has another id: %q, %q, %v", first, again.Header.Get("Message-Id"), err)
	}
}

func bodies(t *testing.T, m *mail.Message) map[string]string {
	t.Helper()
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("content type %q, %v", kind, err)
	}
	out := map[string]string{}
	for r := multipart.NewReader(m.Body, params["boundary"]); ; {
		part, err := r.NextRawPart()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		var body io.Reader = part
		if part.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
			body = quotedprintable.NewReader(part)
		}
		b, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type"))
		out[kind] = string(b)
	}
}

func TestRefusalsAreJudgedByTheirCode(t *testing.T) {
	t.Parallel()
	content := map[string]string{"subject": "s", "text": "t"}
	p := newPost(t)
	for code, want := range map[int]deliver.Status{550: deliver.Failed, 451: deliver.Retry} {
		p.answer = func(string) error { return &server.SMTPError{Code: code, Message: "no"} }
		if r := send(t, p, ada, content, nil); r.Status != want || r.Code != code || strings.Contains(r.Detail, "ada@") {
			t.Errorf("%d: %+v, want %s", code, r, want)
		}
	}
	p.answer = nil
	if r := send(t, p, compose.Recipient{}, content, nil); r.Status != deliver.Failed {
		t.Errorf("without an address: %+v", r)
	}
	if r := send(t, p, ada, map[string]string{"subject": "{{ person.firstName | nope }}"}, nil); r.Status != deliver.Failed || !strings.Contains(r.Detail, "nope") {
		t.Errorf("with a fault in a template: %+v", r)
	}
	if r := send(t, p, ada, map[string]string{"text": "no subject"}, nil); r.Status != deliver.Failed {
		t.Errorf("without a subject: %+v", r)
	}
	p.tls = nil // the certificate is not trusted
	if r := send(t, p, ada, content, nil); r.Status != deliver.Retry {
		t.Errorf("an unknown certificate: %+v", r)
	}
	if r := send(t, &post{addr: "127.0.0.1:1"}, ada, content, nil); r.Status != deliver.Retry {
		t.Errorf("nobody there: %+v", r)
	}
	if len(p.mails) != 0 {
		t.Errorf("%d mails went out", len(p.mails))
	}
}
