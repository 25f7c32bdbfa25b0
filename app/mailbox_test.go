package app_test

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/emersion/go-smtp"
)

// letterbox is a mail server on this machine.
type letterbox struct{ mails chan string }

func (l letterbox) NewSession(*smtp.Conn) (smtp.Session, error) { return l, nil }
func (letterbox) Mail(string, *smtp.MailOptions) error          { return nil }
func (letterbox) Rcpt(string, *smtp.RcptOptions) error          { return nil }
func (letterbox) Reset()                                        {}
func (letterbox) Logout() error                                 { return nil }
func (l letterbox) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err == nil { // else its sender was killed in the middle, and sends it again
		l.mails <- string(b)
	}
	return err
}

// newLetterbox is one that holds a few mails nobody has read.
func newLetterbox() letterbox { return letterbox{make(chan string, 8)} }

// posting is a channel that sends mail to a server.
func posting(server string) string {
	return `---
kind: channel
id: email
type: smtp
server: ` + server + `
tls: none
from: Northbean <hello@northbean.example>
`
}

// folderOf writes documents as a configuration folder.
func folderOf(t testing.TB, documents string) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "shop.yaml"), []byte(documents), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

// mailShop is the configuration folder of a shop that thanks by mail, through a
// server that takes them in: the placement is mailbox, the action thanks.
func mailShop(t testing.TB, box smtp.Backend, mailbox, thanks string) string {
	t.Helper()
	server := smtp.NewServer(box)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return folderOf(t, `kind: source
id: web
key: wk_test_web
`+posting(listener.Addr().String())+`---
kind: placement
id: mailbox
`+mailbox+`
---
kind: action
id: thanks
type: message
purpose: marketing
placements: [mailbox]
`+thanks+`
---
kind: trigger
id: bought
on: Order Completed
placement: mailbox
---
kind: policy
id: default
holdout: 0
`)
}
