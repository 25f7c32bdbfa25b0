// Package feedback reads what mail systems say about messages sent earlier:
// that one bounced (RFC 3464) or that its reader called it spam (RFC 5965).
//
// Anybody can write such a message. So every mail carries a keyed mark in its
// Message-ID that names the person and binds the address, and a report is
// believed only where it returns the mark of a mail that went to that address.
// What is read is bounded in size, parts and depth.
package feedback

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
)

// Kind is what is reported.
type Kind string

// The kinds of reports.
const (
	Bounce    Kind = "bounce"
	Complaint Kind = "complaint"
)

// Report is what one message says of one address.
type Report struct {
	Kind Kind
	// Address is whom the mail went to; empty where the report hides it.
	Address string
	// Permanent says of a bounce that the address takes no mail for good.
	Permanent bool
	// Status is the enhanced status of a bounce (5.1.1), or the type of a
	// complaint (abuse).
	Status string
	// MessageID is that of the mail it is about, without angle brackets.
	MessageID string
}

// Bounds of a message.
const (
	MaxMessage = 10 << 20
	maxParts   = 64
	maxDepth   = 4
	maxReports = 100
	maxField   = 998
)

// Parse reads a message that reports bounces or a complaint. A message that
// reports nothing gives no reports and no error: bounces come among answers and
// notices. Kind: Invalid for what is no mail.
func Parse(raw []byte) ([]Report, error) {
	if len(raw) > MaxMessage {
		return nil, rapport.Errorf(rapport.TooLarge, "a report has at most %d MB", MaxMessage>>20)
	}
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return nil, rapport.Errorf(rapport.Invalid, "this is no mail: its header cannot be read")
	}
	p := &parser{}
	p.part(textproto.MIMEHeader(m.Header), m.Body, 0)
	for i := range p.reports {
		p.reports[i].MessageID = p.messageID
	}
	return p.reports, nil
}

type parser struct {
	reports   []Report
	messageID string // of the mail that is returned
	parts     int
}

// part reads one part of the message and those in it.
func (p *parser) part(h textproto.MIMEHeader, body io.Reader, depth int) {
	if p.parts++; p.parts > maxParts || depth > maxDepth {
		return
	}
	kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return
	}
	switch strings.ToLower(h.Get("Content-Transfer-Encoding")) {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	switch {
	case strings.HasPrefix(kind, "multipart/"):
		parts := multipart.NewReader(body, params["boundary"])
		for {
			part, err := parts.NextRawPart()
			if err != nil {
				return
			}
			p.part(part.Header, part, depth+1)
			if p.parts > maxParts {
				return
			}
		}
	case kind == "message/delivery-status" || kind == "message/global-delivery-status":
		p.status(body)
	case kind == "message/feedback-report":
		p.complaint(body)
	case kind == "message/rfc822" || kind == "message/global" || kind == "text/rfc822-headers" || kind == "message/global-headers":
		if original := header(bufio.NewReader(body)); p.messageID == "" {
			p.messageID = strings.Trim(strings.TrimSpace(original.Get("Message-Id")), "<>")
		}
	}
}

// header reads a block of fields; what cannot be read ends it.
func header(r *bufio.Reader) textproto.MIMEHeader {
	h, _ := textproto.NewReader(r).ReadMIMEHeader()
	return h
}

// status reads a delivery status: a block about the message, then one for each
// recipient (RFC 3464, section 2.1).
func (p *parser) status(body io.Reader) {
	r := bufio.NewReader(io.LimitReader(body, 1<<20))
	header(r)
	for len(p.reports) < maxReports {
		if _, err := r.Peek(1); err != nil {
			return
		}
		h := header(r)
		if len(h) == 0 {
			continue
		}
		if !strings.EqualFold(strings.TrimSpace(h.Get("Action")), "failed") {
			continue // delayed, delivered, relayed and expanded say nothing against the address
		}
		at := recipient(h.Get("Original-Recipient"))
		if at == "" {
			at = recipient(h.Get("Final-Recipient"))
		}
		status := first(h.Get("Status"))
		p.reports = append(p.reports, Report{Kind: Bounce, Address: at, Status: status, Permanent: Permanent(status, code(h.Get("Diagnostic-Code")))})
	}
}

// complaint reads a feedback report (RFC 5965, section 3).
func (p *parser) complaint(body io.Reader) {
	h := header(bufio.NewReader(io.LimitReader(body, 1<<20)))
	kind := strings.ToLower(first(h.Get("Feedback-Type")))
	if kind == "" || kind == "not-spam" || kind == "auth-failure" || kind == "dmarc" {
		return
	}
	to := h["Original-Rcpt-To"]
	if len(to) == 0 {
		to = []string{""} // hidden: the mark of the mail says whose it was
	}
	for _, a := range to {
		if len(p.reports) < maxReports {
			p.reports = append(p.reports, Report{Kind: Complaint, Address: recipient(a), Status: clip(kind)})
		}
	}
}

// recipient reads "rfc822; ada@x.example" or a bare address.
func recipient(s string) string {
	if kind, value, typed := strings.Cut(s, ";"); typed {
		if k := strings.ToLower(strings.TrimSpace(kind)); k != "rfc822" && k != "utf-8" {
			return ""
		}
		s = value
	}
	return clip(strings.Trim(strings.TrimSpace(s), "<>"))
}

func first(s string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(s), " ")
	return clip(word)
}

// code returns the number of an SMTP answer in "smtp; 550 5.1.1 unknown", 0 if there is none.
func code(s string) int {
	_, s, _ = strings.Cut(s, ";")
	s = strings.TrimSpace(s)
	n := 0
	for i := range min(3, len(s)) {
		if s[i] < '0' || s[i] > '9' {
			return 0
		}
		n = 10*n + int(s[i]-'0')
	}
	if n < 200 || n > 599 {
		return 0
	}
	return n
}

func clip(s string) string {
	if len(s) > maxField {
		return ""
	}
	return s
}

// never are the enhanced statuses that say that an address takes no mail for
// good (RFC 3463): it does not exist, its domain does not, it was closed.
var never = []string{"5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1", "5.4.4"}

// Permanent reports whether an answer says that the address takes no mail for
// good, from its enhanced status ("" or 5.0.0 where it has none) and its code.
// Full mailboxes, spam filters and policies refuse a message, not the address.
func Permanent(status string, code int) bool {
	if slices.Contains(never, status) {
		return true
	}
	return (status == "" || status == "5.0.0") && (code == 550 || code == 551 || code == 553)
}

// Marker makes the marks.
type Marker struct{ key []byte }

// NewMarker returns a Marker of a key.
func NewMarker(key []byte) *Marker { return &Marker{key} }

const macBytes = 10

var letters = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Mark returns what a mail to an address of a person carries in its Message-ID.
func (m *Marker) Mark(person rapport.ID, address string) string {
	return letters.EncodeToString(append(person[:], m.mac(person, address)...))
}

func (m *Marker) mac(person rapport.ID, address string) []byte {
	h := hmac.New(sha256.New, m.key)
	h.Write(person[:])
	h.Write([]byte(strings.ToLower(strings.TrimSpace(address))))
	return h.Sum(nil)[:macBytes]
}

// Mark is a mark that was returned.
type Mark struct {
	// Person is whom the mail was for, if the mark is ours.
	Person rapport.ID
	mac    []byte
	marker *Marker
}

// Read finds a mark in a Message-ID ("hash.mark@domain").
func (m *Marker) Read(messageID string) (Mark, bool) {
	local, _, _ := strings.Cut(messageID, "@")
	b, err := letters.DecodeString(strings.ToLower(local[strings.LastIndexByte(local, '.')+1:]))
	if err != nil || len(b) != len(rapport.ID{})+macBytes {
		return Mark{}, false
	}
	return Mark{Person: rapport.ID(b[:len(rapport.ID{})]), mac: b[len(rapport.ID{}):], marker: m}, true
}

// Binds reports whether the mail with this mark went to an address.
func (k Mark) Binds(address string) bool {
	return k.marker != nil && address != "" && hmac.Equal(k.mac, k.marker.mac(k.Person, address))
}
