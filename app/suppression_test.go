package app_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/rapport-engine/rapport/app"
)

// strictBox is a mail server that knows some people only.
type strictBox struct{ letterbox }

func (b strictBox) NewSession(*smtp.Conn) (smtp.Session, error) { return b, nil }

func (b strictBox) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "gone") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user " + to}
	}
	return nil
}

func TestAnAddressThatBouncedOrComplainedIsNotDecidedForUntilItIsTakenOffTheList(t *testing.T) {
	t.Parallel()
	box := strictBox{newLetterbox()}
	data, folder := t.TempDir(), mailShop(t, box, "channel: email", "content: {subject: Thank you, body: Your beans are on their way.}")
	s := open(t, data, func(o *app.Options) { o.Config = folder })
	n := 0
	id := func() string { n++; return fmt.Sprint("m", n) }
	buy := func(user string) {
		s.send(event("track", id(), map[string]any{"userId": user, "event": "Order Completed"}))
	}
	for _, user := range []string{"gone", "ada", "bo"} {
		s.send(event("identify", id(), map[string]any{"userId": user, "traits": map[string]any{"email": user + "@people.example"}}),
			event("track", id(), map[string]any{"userId": user, "event": "Consent Updated", "properties": map[string]any{"purpose": "marketing", "allowed": true}}))
	}
	s.send(event("identify", id(), map[string]any{"userId": "nowhere"}),
		event("track", id(), map[string]any{"userId": "nowhere", "event": "Consent Updated", "properties": map[string]any{"purpose": "marketing", "allowed": true}}))
	why := func(user string) (rule, detail string) {
		t.Helper()
		x := s.must("POST", "/v1/explain", map[string]any{"person": map[string]any{"userId": user}, "placement": "mailbox", "action": "thanks"})
		a := x["action"].(map[string]any)
		rule, _ = a["rule"].(string)
		detail, _ = a["detail"].(string)
		return rule, detail
	}
	if rule, detail := why("nowhere"); rule != "reach" || detail != "no mail address is known" {
		t.Errorf("without an address: %s, %s", rule, detail)
	}

	// A mailbox that does not exist is refused while sending.
	buy("gone")
	await(t, "a refused address is written to no more", func() bool { rule, _ := why("gone"); return rule == "reach" })
	if _, detail := why("gone"); !strings.Contains(detail, "it bounced, 5.1.1") {
		t.Errorf("why not: %s", detail)
	}

	// A complaint that hides its reader is believed by the mark of the mail.
	buy("ada")
	var mail string
	select {
	case mail = <-box.mails:
	case <-time.After(2 * time.Minute):
		t.Fatal("no mail came")
	}
	messageID := regexp.MustCompile(`(?i)Message-ID:\s*(<[^>]+>)`).FindStringSubmatch(mail)[1]
	report := func(message string) map[string]any {
		t.Helper()
		req, _ := http.NewRequestWithContext(t.Context(), "POST", s.url+"/v1/channels/email/reports", strings.NewReader(message))
		req.Header.Set("Authorization", "Bearer "+adminToken)
		req.Header.Set("Content-Type", "message/rfc822")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return map[string]any{"status": resp.StatusCode, "body": strings.TrimSpace(string(b))}
	}
	complaint := "From: staff@isp.example\r\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nVersion: 1\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: " + messageID + "\r\n\r\nx\r\n--b--\r\n"
	if got := fmt.Sprint(report(complaint)); !strings.Contains(got, `"taken":1,"ignored":0,"suppressed":1`) {
		t.Errorf("a complaint: %v", got)
	}
	if rule, detail := why("ada"); rule != "reach" || !strings.Contains(detail, "the person complained, abuse") {
		t.Errorf("after a complaint: %s, %s", rule, detail)
	}
	// One about a mail that never was is not.
	forged := "Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\nFinal-Recipient: rfc822; bo@people.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: " + messageID + "\r\n\r\nx\r\n--b--\r\n"
	if got := fmt.Sprint(report(strings.ReplaceAll(forged, messageID, "<x.y@z>"))); !strings.Contains(got, `"taken":0,"ignored":1`) {
		t.Errorf("a forged bounce: %v", got)
	}
	if rule, _ := why("bo"); rule != "" {
		t.Errorf("a forged bounce suppressed bo: %s", rule)
	}
	// A relay that signs in is believed; a full mailbox is no reason.
	soft := s.must("POST", "/v1/channels/email/reports", map[string]any{"reports": []any{map[string]any{"type": "bounce", "address": "bo@people.example", "status": "5.2.2"}}})
	if rule, _ := why("bo"); rule != "" || soft["taken"] != 1.0 || soft["suppressed"] != 0.0 {
		t.Errorf("a soft bounce: %v, %s", soft, rule)
	}
	if page := s.must("GET", "/v1/people/userId:ada", nil); page["counters"].(map[string]any)["Email Marked as Spam"] != 1.0 {
		t.Errorf("ada's counters: %v", page["counters"])
	}

	// The list outlives a restart and holds no address in its files.
	s.end()
	s = open(t, data, func(o *app.Options) { o.Config = folder })
	page := s.must("GET", "/v1/suppressions", nil)
	if list := page["suppressions"].([]any); len(list) != 2 || page["total"] != 2.0 || list[0].(map[string]any)["address"] != "ada@people.example" || list[1].(map[string]any)["reason"] != "bounce" {
		t.Errorf("the list: %v", page)
	}
	tool := func(in string, args ...string) (string, int) {
		var out, errs bytes.Buffer
		env := map[string]string{"RAPPORT_TOKEN": adminToken, "RAPPORT_SERVER": s.url}
		code := app.Main(t.Context(), app.Env{Args: append([]string{"suppressions"}, args...), Getenv: func(k string) string { return env[k] }, Stdin: strings.NewReader(in), Stdout: &out, Stderr: &errs})
		return out.String() + errs.String(), code
	}
	if out, code := tool("", "remove", "Ada@people.example"); code != 0 || !strings.Contains(out, "1 address taken off") {
		t.Errorf("remove: %d %s", code, out)
	}
	if rule, detail := why("ada"); rule != "" {
		t.Errorf("once taken off: %s, %s", rule, detail)
	}
	if out, code := tool("bo@people.example\n+4722225555\n", "add", "-", "--reason", "import"); code != 0 || !strings.Contains(out, "2 addresses suppressed") {
		t.Errorf("add: %d %s", code, out)
	}
	if out, code := tool("", "list", "--kind", "email"); code != 0 || !strings.Contains(out, "bo@people.example") || strings.Contains(out, "phone") || strings.Count(out, "\n") != 3 {
		t.Errorf("list: %d %s", code, out)
	}
	if out, code := tool(complaint, "report", "--channel", "email"); code != 0 || !strings.Contains(out, "1 report taken") {
		t.Errorf("report: %d %s", code, out)
	}
	if rule, _ := why("bo"); rule != "reach" {
		t.Errorf("bo: %s", rule)
	}
	buy("bo")
	select {
	case extra := <-box.mails:
		t.Errorf("a suppressed address was written to:\n%s", extra)
	default:
	}
}
