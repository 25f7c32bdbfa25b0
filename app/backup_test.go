package app_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestABackupOfABusyServerIsWholeAndStartsElsewhere(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 30)
	sent := make(chan int)
	enough, stop := make(chan struct{}), make(chan struct{})
	go func() { // somebody shops meanwhile
		n := 0
		for ; ; n++ {
			if n == 50 {
				close(enough)
			}
			select {
			case <-stop:
				sent <- n
				return
			default:
				h.send(fmt.Sprintf(`{"type":"track","event":"Tick","userId":"u%d","messageId":"tick-%d"}`, n%7, n))
			}
		}
	}()
	<-enough
	path := filepath.Join(t.TempDir(), "b.tar")
	h.backup(path)
	close(stop)
	total := <-sent
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if _, err := os.Stat(filepath.Join(h.dir, "backup.tmp")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the copy stayed: %v", err)
	}
	if code, _, errs := run(t, map[string]string{"RAPPORT_TOKEN": houseToken}, "backup", path, "--server", h.url); code != 1 || !strings.Contains(errs, "is there already") {
		t.Error(code, errs)
	}
	h.stop()

	h.dir = filepath.Join(t.TempDir(), "elsewhere")
	code, out, errs := run(t, nil, "restore", path, "--data", h.dir)
	if code != 0 || !strings.Contains(out, "4 partitions") {
		t.Fatal(code, out, errs)
	}
	h.start()
	events := int64(0)
	for i := range 7 {
		var p struct {
			Events int64 `json:"events"`
		}
		if code := h.call("GET", fmt.Sprintf("/v1/people/userId:u%d", i), "", &p); code != http.StatusOK {
			t.Fatalf("u%d: %d", i, code)
		}
		events += p.Events
	}
	if events < 50 || events > int64(total) {
		t.Errorf("%d of %d events", events, total)
	}
	// What was counted is known, so that sending all again adds what is missing.
	for n := range total {
		h.send(fmt.Sprintf(`{"type":"track","event":"Tick","userId":"u%d","messageId":"tick-%d"}`, n%7, n))
	}
	again := int64(0)
	for i := range 7 {
		var p struct {
			Events int64 `json:"events"`
		}
		h.call("GET", fmt.Sprintf("/v1/people/userId:u%d", i), "", &p)
		again += p.Events
	}
	if again != int64(total) {
		t.Errorf("%d events after sending %d again", again, total)
	}
	h.stop()
	h.replays()
	if code, _, errs := run(t, nil, "restore", path, "--data", h.dir); code != 1 || !strings.Contains(errs, "is not empty") {
		t.Error(code, errs)
	}
}

func TestADamagedBackupIsRefusedAndChangesNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 30)
	h.someone("anna", annaMail, annaPhone)
	path := filepath.Join(t.TempDir(), "b.tar")
	h.backup(path)
	h.stop()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[bytes.Index(flipped, []byte(annaMail))] ^= 1
	for name, data := range map[string][]byte{"cut": whole[:len(whole)/2], "without its end": whole[:len(whole)-4096], "changed": flipped, "empty": nil, "no archive": []byte(strings.Repeat("x", 2000))} {
		bad := write(t, t.TempDir(), "bad.tar", string(data))
		to := filepath.Join(t.TempDir(), "to")
		if code, _, errs := run(t, nil, "restore", bad, "--data", to); code != 1 || !strings.Contains(errs, "damaged") {
			t.Errorf("%s: %d %s", name, code, errs)
		}
		if names, _ := os.ReadDir(to); len(names) > 0 {
			t.Errorf("%s left %v", name, names)
		}
		if code, _, errs := run(t, nil, "restore", bad, "--data", h.dir, "--force"); code != 1 {
			t.Errorf("%s: %d %s", name, code, errs)
		}
	}
	h.start()
	if code := h.call("GET", "/v1/people/userId:anna", "", nil); code != http.StatusOK {
		t.Errorf("anna is gone: %d", code)
	}
}

func TestABackupReachesNothingOutsideItsFolder(t *testing.T) {
	t.Parallel()
	make := func(headers ...tar.Header) string {
		var b, sums bytes.Buffer
		w := tar.NewWriter(&b)
		put := func(h tar.Header, text string) {
			h.Size, h.Mode = int64(len(text)), 0o600
			if h.Typeflag != tar.TypeReg {
				h.Size, text = 0, ""
			}
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(w, text)
			sum := sha256.Sum256([]byte(text))
			fmt.Fprintf(&sums, "%s  %s\n", hex.EncodeToString(sum[:]), h.Name)
		}
		put(tar.Header{Typeflag: tar.TypeReg, Name: "backup.json"}, `{"format":1}`)
		for _, h := range headers {
			put(h, "x")
		}
		put(tar.Header{Typeflag: tar.TypeReg, Name: "SHA256SUMS"}, sums.String())
		_ = w.Close()
		return b.String()
	}
	for _, h := range []tar.Header{
		{Typeflag: tar.TypeReg, Name: "../evil"},
		{Typeflag: tar.TypeReg, Name: "/etc/evil"},
		{Typeflag: tar.TypeReg, Name: "log/../../evil"},
		{Typeflag: tar.TypeReg, Name: "other"},
		{Typeflag: tar.TypeSymlink, Name: "log/a", Linkname: "/etc/passwd"},
		{Typeflag: tar.TypeLink, Name: "log/a", Linkname: "deployment.key"},
		{Typeflag: tar.TypeReg, Name: "log/" + strings.Repeat("a", 400)},
		{Typeflag: tar.TypeDir, Name: "log/"},
	} {
		dir := t.TempDir()
		path := write(t, dir, "b.tar", make(h))
		code, _, errs := run(t, nil, "restore", path, "--data", filepath.Join(dir, "data"))
		if code != 1 || !strings.Contains(errs, "a backup has no entry") {
			t.Errorf("%s: %d %s", h.Name, code, errs)
		}
		if found := mustGlob(t, filepath.Join(dir, "*")); len(found) != 2 { // the archive and the folder
			t.Error(found)
		}
	}
	// An entry that claims a terabyte of nothing.
	hole := func(name string) string {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range []tar.Header{{Typeflag: tar.TypeReg, Name: "backup.json"}, {Typeflag: tar.TypeReg, Name: name}} {
			text := `{"format":1}`
			if h.Name == name {
				text = "1\n0\n0\n" + strings.Repeat("\x00", 506)
			}
			h.Size, h.Mode = int64(len(text)), 0o600
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(w, text)
		}
		_ = w.Close()
		whole := b.Bytes()
		records := ""
		for _, r := range []string{"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=" + name, "GNU.sparse.realsize=1099511627776"} {
			line := fmt.Sprintf(" %s\n", r)
			n := len(line) + 2
			records += fmt.Sprintf("%d%s", n, line)
		}
		var pax bytes.Buffer
		w = tar.NewWriter(&pax) // an entry of its own, whose type is changed to that of extended headers
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "PaxHeaders/x", Size: int64(len(records)), Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, records)
		_ = w.Flush()
		head := pax.Bytes()[:512]
		sum := 0
		head[156] = 'x'
		copy(head[148:156], "        ")
		for _, c := range head {
			sum += int(c)
		}
		copy(head[148:156], fmt.Sprintf("%06o\x00 ", sum))
		return string(whole[:1024]) + pax.String()[:1024] + string(whole[1024:])
	}
	path0 := write(t, t.TempDir(), "b.tar", hole("log/a"))
	if code, _, errs := run(t, nil, "restore", path0, "--data", filepath.Join(t.TempDir(), "data")); code != 1 || !strings.Contains(errs, "a backup has no entry") {
		t.Error(code, errs)
	}
	twice := tar.Header{Typeflag: tar.TypeReg, Name: "log/a"}
	path := write(t, t.TempDir(), "b.tar", make(twice, twice))
	if code, _, errs := run(t, nil, "restore", path, "--data", filepath.Join(t.TempDir(), "data")); code != 1 || !strings.Contains(errs, "a backup has no entry") {
		t.Error(code, errs)
	}
}
