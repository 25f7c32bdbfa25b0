package feedback_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/deliver/feedback"
)

const bounce = `From: MAILER-DAEMON@mx.example
To: bounces@northbean.example
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b1"

--b1
Content-Type: text/plain; charset=us-ascii

This is the mail system at mx.example.
--b1
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example
Arrival-Date: Sun, 22 Nov 2026 05:00:00 +0000

Final-Recipient: rfc822; ada@people.example
Original-Recipient: rfc822;Ada@people.example
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 <ada@people.example>: user unknown

Final-Recipient: rfc822; full@people.example
Action: failed
Status: 5.2.2
Diagnostic-Code: smtp; 552 5.2.2 mailbox full

Final-Recipient: rfc822; slow@people.example
Action: delayed
Status: 4.4.1

--b1
Content-Type: text/rfc822-headers

From: Northbean <hello@northbean.example>
Message-ID: <abc.def@northbean.example>
Subject: Thank you

--b1--
`

const complaint = `From: staff@isp.example
Subject: FW: Thank you
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary=b2

--b2
Content-Type: text/plain

This is an email abuse report.
--b2
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: ISP/1.0
Version: 1
Original-Rcpt-To: <ada@people.example>

--b2
Content-Type: message/rfc822
Content-Transfer-Encoding: base64

RnJvbTogTm9ydGhiZWFuIDxoZWxsb0Bub3J0aGJlYW4uZXhhbXBsZT4NCk1lc3NhZ2UtSUQ6IDxhYmMuZGVmQG5vcnRoYmVhbi5leGFtcGxlPg0KDQpIaQ0K
--b2--
`

func crlf(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }

func TestReportsOfMailSystemsAreRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want []feedback.Report
	}{
		"a bounce": {bounce, []feedback.Report{
			{Kind: feedback.Bounce, Address: "Ada@people.example", Permanent: true, Status: "5.1.1", MessageID: "abc.def@northbean.example"},
			{Kind: feedback.Bounce, Address: "full@people.example", Status: "5.2.2", MessageID: "abc.def@northbean.example"},
		}},
		"a complaint": {complaint, []feedback.Report{
			{Kind: feedback.Complaint, Address: "ada@people.example", Status: "abuse", MessageID: "abc.def@northbean.example"},
		}},
		"one that hides the reader": {strings.ReplaceAll(complaint, "Original-Rcpt-To: <ada@people.example>\n", ""), []feedback.Report{
			{Kind: feedback.Complaint, Status: "abuse", MessageID: "abc.def@northbean.example"},
		}},
		"one taken back": {strings.ReplaceAll(complaint, "Feedback-Type: abuse", "Feedback-Type: not-spam"), nil},
		"an answer":      {"From: ada@people.example\nSubject: Out of office\nContent-Type: text/plain\n\nBack on Monday.\n", nil},
	} {
		for _, raw := range [][]byte{[]byte(c.text), crlf(c.text)} {
			got, err := feedback.Parse(raw)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
	if _, err := feedback.Parse([]byte("no mail")); rapport.KindOf(err) != rapport.Invalid {
		t.Error(err)
	}
	if _, err := feedback.Parse(make([]byte, feedback.MaxMessage+1)); rapport.KindOf(err) != rapport.TooLarge {
		t.Error(err)
	}
}

func TestOnlyRefusalsOfTheAddressAreForGood(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status string
		code   int
		want   bool
	}{
		{"5.1.1", 550, true},
		{"5.2.1", 550, true},
		{"", 550, true},
		{"5.0.0", 553, true},
		{"5.1.10", 0, true},
		{"5.2.2", 552, false},
		{"5.7.1", 550, false},
		{"4.2.2", 450, false},
		{"", 554, false},
		{"", 0, false},
		{"5.0.0", 0, false},
	} {
		if got := feedback.Permanent(c.status, c.code); got != c.want {
			t.Errorf("%q %d: %v", c.status, c.code, got)
		}
	}
}

func TestAMarkBindsAMailToItsPersonAndAddress(t *testing.T) {
	t.Parallel()
	m, other := feedback.NewMarker([]byte("k")), feedback.NewMarker([]byte("l"))
	who := rapport.ID{1, 2, 3}
	id := "0123456789abcdef." + m.Mark(who, "Ada@people.example") + "@northbean.example"
	if local, _, _ := strings.Cut(id, "@"); len(local) > 64 {
		t.Errorf("the local part has %d letters", len(local))
	}
	mark, ok := m.Read(strings.ToUpper(id))
	if !ok || mark.Person != who || !mark.Binds("ada@people.example") {
		t.Errorf("read %v %v", mark, ok)
	}
	if mark.Binds("bo@people.example") || mark.Binds("") {
		t.Error("it binds another address")
	}
	if forged, ok := m.Read("x." + other.Mark(who, "ada@people.example") + "@y"); ok && forged.Binds("ada@people.example") {
		t.Error("a mark of another key binds")
	}
	for _, s := range []string{"", "@", "abc@x", "x.y@z", "x." + strings.Repeat("a", 200)} {
		if _, ok := m.Read(s); ok {
			t.Errorf("%q holds a mark", s)
		}
	}
}

func FuzzParsingReportsNeverPanicsAndStaysBounded(f *testing.F) {
	f.Add([]byte(bounce))
	f.Add(crlf(complaint))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := feedback.Parse(b)
		if err == nil && len(list) > 100 {
			t.Errorf("%d reports", len(list))
		}
		for _, r := range list {
			feedback.NewMarker(nil).Read(r.MessageID)
		}
	})
}
