package app_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/csv"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"github.com/rapport-engine/rapport/app"
	"github.com/rapport-engine/rapport/test/port"
)

// authority signs certificates for a test.
type authority struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir(), pool: x509.NewCertPool()}
	a.key = a.newKey()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, _ = x509.ParseCertificate(der)
	a.pool.AddCert(a.cert)
	a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func (a *authority) newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return key
}

func (a *authority) write(name, kind string, der []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// issue makes a certificate for a name and returns its files.
func (a *authority) issue(name string, usage x509.ExtKeyUsage) (cert, key string) {
	a.t.Helper()
	private := a.newKey()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{usage}, KeyUsage: x509.KeyUsageDigitalSignature, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &private.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.write(name+".pem", "CERTIFICATE", der), a.write(name+".key", "PRIVATE KEY", text)
}

// signIn connects an item over TLS; user and token may be empty with a certificate.
func signIn(ctx context.Context, addr string, secure *tls.Config, user, token string) (*paho.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	conn, err := (&tls.Dialer{Config: secure}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := paho.NewClient(paho.ClientConfig{Conn: conn, PacketTimeout: time.Minute})
	_, err = c.Connect(ctx, &paho.Connect{
		ClientID: "device", CleanStart: true, KeepAlive: 30, Username: user, UsernameFlag: user != "", Password: []byte(token), PasswordFlag: token != "",
	})
	if err != nil {
		_ = conn.Close()
	}
	return c, err
}

// TestAFactorysListBecomesDevicesThatSignIn takes a list of items all the way:
// imported with codes and owners, signed in over TLS, rotated, claimed, revoked.
func TestAFactorysListBecomesDevicesThatSignIn(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "servers")
	cert, key := ca.issue("localhost", x509.ExtKeyUsageServerAuth)
	addr := port.Reserve(t)
	s := openProducts(t, t.TempDir(), func(o *app.Options) { o.MQTT = app.MQTTOptions{Listen: addr, Cert: cert, Key: key} })
	secure := &tls.Config{RootCAs: ca.pool}

	dir := t.TempDir()
	var list strings.Builder
	list.WriteString("GTIN,Serial,Lot,At,Stage,Name,Owner,Owned at\n")
	const n = 450
	for i := range n {
		owner := ""
		if i%3 == 0 {
			owner = fmt.Sprintf("u%d", i)
		}
		fmt.Fprintf(&list, "9506000134352,F%d,L%d,2026-01-05,sold,dev-%d,%s,2026-01-09\n", i, i%4, i, owner)
	}
	list.WriteString("9506000134353,BAD,L1,,,,,\n9506000134352,F9999,L1,yesterday,,,,\n9506000134352,F9998,L1,,,,,\n")
	file, secrets := write(t, dir, "factory.csv", list.String()), filepath.Join(dir, "secrets.csv")
	env := map[string]string{"RAPPORT_TOKEN": adminToken}
	code, out, errs := run(t, env, "import", "items", file, "--tokens", "--claim-codes", "--secrets", secrets, "--server", s.url)
	if code != 0 || !strings.Contains(out, "451 items known, 2 rejected") {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	if text, err := os.ReadFile(file + ".rejected.jsonl"); err != nil || strings.Count(string(text), "\n") != 2 || !strings.Contains(string(text), "yesterday") {
		t.Errorf("rejected: %v %s", err, text)
	}
	read := func() map[string][]string {
		t.Helper()
		f, err := os.Open(secrets)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if info, _ := f.Stat(); info.Mode().Perm() != 0o600 {
			t.Errorf("the secrets can be read by %v", info.Mode())
		}
		rows, err := csv.NewReader(f).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		given := map[string][]string{}
		for _, r := range rows[1:] {
			given[r[0]] = r
		}
		return given
	}
	given := read()
	if len(given) != 451 {
		t.Fatalf("%d secrets", len(given))
	}
	const first, second = "01_09506000134352_21_F0", "01_09506000134352_21_F1"
	x := s.must("GET", "/v1/items/"+first, nil)
	if x["state"] != "owned" || x["ownedSince"] != "2026-01-09T00:00:00Z" || x["facts"].(map[string]any)["lot"] != "L0" || x["registeredAt"] != "2026-01-05T00:00:00Z" {
		t.Errorf("the first: %v %v %v %v", x["state"], x["ownedSince"], x["facts"], x["registeredAt"])
	}
	if u := s.must("GET", "/v1/people/userId:u0", nil); x["owner"] != u["id"] {
		t.Errorf("its owner is %v", x["owner"])
	}

	// A device signs in by item or name, over TLS alone.
	old := given[first][1]
	for _, user := range []string{first, "dev-0"} {
		c, err := signIn(t.Context(), addr, secure, user, old)
		if err != nil {
			t.Fatalf("%s does not sign in: %v", user, err)
		}
		if r, err := c.Publish(t.Context(), &paho.Publish{QoS: 1, Topic: "d/" + first + "/telemetry", Payload: []byte(`{"level":0.7}`)}); err != nil || r.ReasonCode != 0 {
			t.Errorf("%s: %v", user, err)
		}
		_ = c.Disconnect(&paho.Disconnect{})
	}
	if _, _, err := connect(t.Context(), addr, first, old); err == nil {
		t.Error("a device signs in without TLS")
	}
	if _, err := signIn(t.Context(), addr, &tls.Config{RootCAs: x509.NewCertPool()}, first, old); err == nil {
		t.Error("a certificate of nobody is trusted")
	}

	// Rotation by the same list: new tokens work, earlier ones and their connections end.
	c, err := signIn(t.Context(), addr, secure, first, old)
	if err != nil {
		t.Fatal(err)
	}
	if code, out, errs := run(t, env, "import", "items", file, "--tokens", "--rotate", "--secrets", secrets, "--rejected", filepath.Join(dir, "again.jsonl"), "--server", s.url); code != 0 {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	select {
	case <-c.Done():
	case <-time.After(2 * time.Minute):
		t.Error("the connection outlives its token")
	}
	if _, err := signIn(t.Context(), addr, secure, first, old); err == nil {
		t.Error("the earlier token still signs in")
	}
	fresh := read()[first][1]
	if _, err := signIn(t.Context(), addr, secure, first, fresh); err != nil {
		t.Errorf("the new token: %v", err)
	}

	// The code packed with an item makes its buyer the owner, once.
	claim := func(user, code string) int {
		status, _ := s.callAs("Bearer wk_test_web", "POST", "/v1/items/"+second+"/claim", map[string]any{"person": map[string]any{"userId": user}, "code": code})
		return status
	}
	code2 := given[second][2]
	if got := claim("bo", "AAAA-BBBB-CCCC"); got != 403 {
		t.Errorf("a wrong code: %d", got)
	}
	if got := claim("bo", strings.ToLower(code2)); got != 200 {
		t.Errorf("the right code: %d", got)
	}
	if got := claim("eve", code2); got == 200 {
		t.Error("the code worked twice")
	}
	// An import does not take an item from its owner.
	answer := s.must("POST", "/v1/items/import", map[string]any{"items": []any{map[string]any{"item": second, "owner": map[string]any{"userId": "eve"}}}})
	if got := answer["items"].([]any)[0].(map[string]any)["problem"]; got == nil {
		t.Errorf("%v", answer)
	}

	s.must("DELETE", "/v1/devices/"+first, nil)
	if _, err := signIn(t.Context(), addr, secure, first, fresh); err == nil {
		t.Error("a revoked token signs in")
	}
}

func TestACertificateSignsADeviceInAsTheItemItNames(t *testing.T) {
	t.Parallel()
	servers, devices, strangers := newAuthority(t, "servers"), newAuthority(t, "devices"), newAuthority(t, "strangers")
	cert, key := servers.issue("localhost", x509.ExtKeyUsageServerAuth)
	addr := port.Reserve(t)
	s := openProducts(t, t.TempDir(), func(o *app.Options) {
		o.MQTT = app.MQTTOptions{Listen: addr, Cert: cert, Key: key, ClientCA: filepath.Join(devices.dir, "ca.pem")}
	})
	s.must("POST", "/v1/items/import", map[string]any{"items": []any{map[string]any{"item": can}, map[string]any{"item": "01_09506000134352_21_OTHER"}}})
	with := func(a *authority, name string) *tls.Config {
		pair, err := tls.LoadX509KeyPair(a.issue(name, x509.ExtKeyUsageClientAuth))
		if err != nil {
			t.Fatal(err)
		}
		return &tls.Config{RootCAs: servers.pool, Certificates: []tls.Certificate{pair}}
	}
	c, err := signIn(t.Context(), addr, with(devices, can), "", "")
	if err != nil {
		t.Fatalf("the device's certificate: %v", err)
	}
	publish := func(topic string) bool {
		r, err := c.Publish(t.Context(), &paho.Publish{QoS: 1, Topic: topic, Payload: []byte(`{"level":0.31}`)})
		return err == nil && r.ReasonCode == 0
	}
	if !publish("d/" + can + "/telemetry") {
		t.Error("it cannot speak for its own item")
	}
	if publish("d/01_09506000134352_21_OTHER/telemetry") {
		t.Error("it speaks for another item")
	}
	if got := s.must("GET", "/v1/items/"+can, nil)["telemetry"].(map[string]any)["level"]; got != 0.31 {
		t.Errorf("the item reads %v", got)
	}
	if _, err := signIn(t.Context(), addr, with(strangers, can), "", ""); err == nil {
		t.Error("a certificate of another authority signs in")
	}
	if _, err := signIn(t.Context(), addr, &tls.Config{RootCAs: servers.pool}, can, "rdt_x"); err == nil {
		t.Error("a device signs in without a certificate")
	}
}
