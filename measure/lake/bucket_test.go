package lake_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/parquet-go/parquet-go"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/measure/lake"
	"github.com/rapport-engine/rapport/measure/lake/bucket"
)

// TestMain gives the tests credentials, as an operator does.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": secretKey, "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		if err := os.Setenv(name, value); err != nil {
			log.Fatal(err)
		}
	}
	os.Exit(m.Run())
}

const secretKey = "wJalrXUtnFEMI-not-a-real-secret"

// What becomes of a request to the storage of a test.
const (
	passed  = iota
	refused // 503, and nothing was done
	lost    // it was carried out, and the answer never came
	torn    // the connection broke in the middle of the body
	kinds
)

// storage is object storage on loopback that fails as told.
type storage struct {
	t    testing.TB
	url  string
	back gofakes3.Backend

	mu sync.Mutex
	// fault says what becomes of a request. Nil: it passes.
	fault func(r *http.Request) int
	puts  int
}

const bucketName = "history"

func newStorage(t testing.TB) *storage {
	t.Helper()
	s := &storage{t: t, back: s3mem.New()}
	if err := s.back.CreateBucket(bucketName); err != nil {
		t.Fatal(err)
	}
	server := gofakes3.New(s.back).Server()
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		do, fault := passed, s.fault
		if r.Method == http.MethodPut {
			s.puts++
		}
		if fault != nil {
			do = fault(r)
		}
		s.mu.Unlock()
		switch do {
		case refused:
			w.WriteHeader(http.StatusServiceUnavailable)
		case lost:
			server.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		case torn:
			_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
			panic(http.ErrAbortHandler)
		default:
			server.ServeHTTP(w, r)
		}
	}))
	h.Config.ErrorLog = log.New(io.Discard, "", 0)
	h.Start()
	t.Cleanup(h.Close)
	s.url = h.URL
	return s
}

func (s *storage) setFault(fault func(r *http.Request) int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

func (s *storage) open(ctx context.Context, prefix string) (*bucket.Bucket, error) {
	return bucket.Open(ctx, bucket.Options{URL: "s3://" + bucketName + "/" + prefix + "?endpoint=" + s.url, Logger: slog.New(slog.DiscardHandler), Attempts: 1})
}

// remote puts the lake of a world into a bucket.
func (w *world) remote(s *storage, prefix string) *world {
	w.t.Helper()
	b, err := s.open(context.Background(), prefix)
	w.must(err)
	w.t.Cleanup(func() { _ = b.Close() })
	w.opts.Remote = b
	w.opts.Deployment = "shop"
	return w
}

// objects are all objects of a storage, by name.
func (s *storage) objects() map[string][]byte {
	s.t.Helper()
	list, err := s.back.ListBucket(bucketName, &gofakes3.Prefix{}, gofakes3.ListBucketPage{})
	if err != nil {
		s.t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, c := range list.Contents {
		o, err := s.back.GetObject(bucketName, c.Key, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		b, err := io.ReadAll(o.Contents)
		if err != nil {
			s.t.Fatal(err)
		}
		all[c.Key] = b
	}
	return all
}

// checkBucket compares what the bucket's manifest names, and all that lies there, with what counts.
func (w *world) checkBucket(s *storage, prefix string) {
	w.t.Helper()
	var got []string
	all := s.objects()
	for name, b := range all {
		if !strings.HasPrefix(name, prefix+"events/") {
			continue
		}
		rows, err := parquet.Read[lake.EventRow](bytes.NewReader(b), int64(len(b)))
		w.must(err)
		for _, r := range rows {
			got = append(got, r.MessageID)
		}
	}
	slices.Sort(got)
	var want []string
	for m := range w.want {
		want = append(want, m)
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		w.t.Fatalf("the bucket holds %d rows, %d events count\n got %v\nwant %v", len(got), len(want), short(got), short(want))
	}
	snapshot := w.snapshot()
	defer snapshot.Release()
	names := map[string]bool{prefix + "manifest.json": true}
	for _, f := range snapshot.Files {
		names[prefix+f.Path()] = true
	}
	if snapshot.People != nil {
		names[prefix+snapshot.People.Path()] = true
	}
	for name := range names {
		if _, ok := all[name]; !ok {
			w.t.Errorf("%s is named and not there", name)
		}
	}
	for name := range all {
		if !names[name] {
			w.t.Errorf("%s lies there and is not named", name)
		}
	}
}

func TestALakeInABucketHoldsEveryEventOnce(t *testing.T) {
	t.Parallel()
	s := newStorage(t)
	w := newWorld(t, 3).remote(s, "a/b").open()
	var events []rapport.Event
	for i := range 60 {
		events = append(events, w.event(i%7, i%3))
	}
	w.append(events...)
	w.must(w.lake.Sync(t.Context()))
	w.append(events[10:20]...) // retries
	for range 20 {             // small files, to be put together
		w.append(w.event(3, 0))
		w.must(w.lake.Sync(t.Context()))
	}
	w.stop()
	w.opts.Dir = t.TempDir() // another machine: nothing is copied yet
	w.open()
	w.append(w.event(4, 1))
	for len(w.snapshot().Files) > 12 {
		w.must(w.lake.Sync(t.Context()))
	}
	w.stop()
	w.open()
	w.must(w.lake.Sync(t.Context()))
	w.checkBucket(s, "a/b/")
}

// TestAnUploadCutOffAnywhereLosesAndRepeatsNothing lets requests fail in every
// way, ends the lake in the middle of others, and goes on from the bucket alone.
func TestAnUploadCutOffAnywhereLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	s := newStorage(t)
	w := newWorld(t, 3).remote(s, "lake")
	r := rand.New(rand.NewPCG(5, 6))
	w.opts.BatchRows = 16
	plain := w.opts
	var past []rapport.Event
	var mu sync.Mutex
	failures, stops := 0, 0
	rounds := 24
	if testing.Short() {
		rounds = 8
	}
	for range rounds {
		for range r.IntN(30) {
			if len(past) > 0 && r.IntN(4) == 0 {
				w.append(past[r.IntN(len(past))])
				continue
			}
			e := w.event(r.IntN(9), r.IntN(3))
			past = append(past, e)
			w.append(e)
		}
		left, do := r.IntN(12), 1+r.IntN(kinds-1)
		again := r.IntN(3) == 0 // the service stays away for a while
		s.setFault(func(*http.Request) int {
			if left--; left < 0 && (left == -1 || again && left > -4) {
				failures++
				return do
			}
			return passed
		})
		steps := 1000
		if r.IntN(2) == 0 {
			steps = r.IntN(20)
		}
		w.opts = plain.WithStep(func(string) error {
			mu.Lock()
			defer mu.Unlock()
			if steps--; steps < 0 {
				return lake.ErrStopped
			}
			return nil
		})
		if r.IntN(2) == 0 {
			w.opts.Dir = t.TempDir()
		}
		if err := w.try(); err != nil {
			stops++
			s.setFault(nil)
			w.opts = plain
			w.open()
		} else if r.IntN(2) == 0 { // go on without a new start
			if w.lake.Sync(t.Context()) != nil {
				stops++
			}
			mu.Lock()
			steps = 1 << 30
			mu.Unlock()
		} else {
			if w.lake.Sync(t.Context()) != nil {
				stops++
			}
			w.stop()
			s.setFault(nil)
			w.opts = plain
			w.open()
		}
		s.setFault(nil)
		for w.lake.Sync(t.Context()) != nil { // what failed is tried again
			stops++
		}
		w.append(w.event(1, 1))
		w.must(w.lake.Sync(t.Context())) // a manifest written for sure clears away what never came into force
		w.stop()
		w.checkBucket(s, "lake/")
	}
	if failures < rounds/4 || stops < rounds/8 {
		t.Errorf("of %d rounds only %d requests failed and %d rounds were stopped", rounds, failures, stops)
	}
}

func TestSomebodyErasedIsInNoObjectOfTheBucket(t *testing.T) {
	t.Parallel()
	s := newStorage(t)
	w := newWorld(t, 2).remote(s, "")
	var mu sync.Mutex
	erased := false
	w.opts.Gone = func() func(lake.Trace) bool {
		return func(x lake.Trace) bool {
			mu.Lock()
			defer mu.Unlock()
			return erased && x.Entity == id(4)
		}
	}
	w.open()
	for i := range 100 {
		e := w.event(i%10, i%4)
		w.append(e)
		if i%10 == 4 {
			delete(w.want, e.MessageID)
		}
		if i%30 == 0 {
			w.must(w.lake.Sync(t.Context()))
		}
	}
	w.must(w.lake.Sync(t.Context()))
	mu.Lock()
	erased = true
	mu.Unlock()
	failed := 0
	s.setFault(func(r *http.Request) int {
		if r.Method == http.MethodDelete && failed < 3 {
			failed++
			return refused
		}
		return passed
	})
	w.must(w.lake.Erase("erase-1", []rapport.ID{id(4)}))
	for w.lake.Erased(t.Context()) != nil { // it is not done while an object cannot be deleted
	}
	if failed == 0 {
		t.Error("nothing was deleted")
	}
	w.checkBucket(s, "")
	look := func(name string, b []byte) {
		for _, x := range []string{"p4@example.org", "+4790000004", "user-4\x00", id(4).String()} {
			if bytes.Contains(b, []byte(x)) {
				t.Errorf("%s holds %q", name, x)
			}
		}
	}
	for name, b := range s.objects() {
		look(name, b)
		if strings.HasPrefix(name, "events/") {
			rows, err := parquet.Read[lake.EventRow](bytes.NewReader(b), int64(len(b)))
			w.must(err)
			for _, r := range rows {
				look(name, fmt.Append(nil, r.Identifiers, r.UserID, "\x00", string(r.Properties), r.Entity))
			}
		}
	}
	w.must(filepath.WalkDir(w.opts.Dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(p, ".parquet") {
			rows, rerr := parquet.ReadFile[lake.EventRow](p)
			for _, r := range rows {
				look(p, fmt.Append(nil, r.UserID, "\x00"))
			}
			err = rerr
		}
		return err
	}))
}

func TestCopiesOfABucketAreFewAndFetchedAgain(t *testing.T) {
	t.Parallel()
	s := newStorage(t)
	w := newWorld(t, 2).remote(s, "x")
	w.open()
	for i := range 6 {
		w.append(w.event(i, i))
		w.must(w.lake.Sync(t.Context()))
	}
	w.stop()
	total, one := int64(0), int64(0)
	for _, f := range w.snapshot().Files {
		total, one = total+f.Bytes, max(one, f.Bytes)
	}
	w.opts.Dir, w.opts.CacheBytes = t.TempDir(), total-1
	w.open()
	snapshot := w.snapshot()
	if err := snapshot.Fetch(t.Context()); rapport.KindOf(err) != rapport.Invalid || !strings.Contains(rapport.HintOf(err), "--lake-cache-mb") {
		t.Errorf("more than the folder may hold: %v", err)
	}
	snapshot.Files = snapshot.Files[1:]
	w.must(snapshot.Fetch(t.Context()))
	for _, f := range snapshot.Files {
		if _, err := parquet.ReadFile[lake.EventRow](filepath.Join(w.opts.Dir, f.Path())); err != nil {
			t.Error(err)
		}
	}
	snapshot.Release()
	other := w.snapshot()
	other.Files = other.Files[:1]
	w.must(other.Fetch(t.Context()))
	other.Release()
	size := int64(0)
	for _, p := range w.paths(lake.Events) {
		info, err := os.Stat(p)
		w.must(err)
		size += info.Size()
	}
	if size > total-1 {
		t.Errorf("%d bytes of copies, allowed are %d", size, total-1)
	}
}

func TestABucketThatIsNotOursIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := newStorage(t)
	w := newWorld(t, 2).remote(s, "one").open()
	w.append(w.event(1, 1))
	w.must(w.lake.Sync(t.Context()))
	w.stop()
	other := newWorld(t, 2).remote(s, "one")
	other.opts.Deployment = "another"
	if err := other.try(); rapport.KindOf(err) != rapport.Conflict || !strings.Contains(err.Error(), "another deployment") {
		t.Errorf("the lake of another: %v", err)
	}
	w.checkBucket(s, "one/")

	_, err := s.back.PutObject(bucketName, "two/events/day=2026-01-01/theirs.parquet", nil, strings.NewReader("theirs"), 6, nil)
	w.must(err)
	other.remote(s, "two")
	if err := other.try(); rapport.KindOf(err) != rapport.Conflict || !strings.Contains(err.Error(), "theirs.parquet") {
		t.Errorf("files of another: %v", err)
	}
	if _, ok := s.objects()["two/events/day=2026-01-01/theirs.parquet"]; !ok {
		t.Error("a file of another was removed")
	}
}

func TestASecondServerAtOneBucketIsNoticedBeforeItDoesHarm(t *testing.T) {
	t.Parallel()
	s := newStorage(t)
	w := newWorld(t, 2).remote(s, "").open()
	w.append(w.event(1, 1))
	w.must(w.lake.Sync(t.Context()))
	w.stop()
	first := w.lake
	w.open() // of the same deployment, as after a machine that only seemed to be gone
	w.append(w.event(2, 1))
	w.must(w.lake.Sync(t.Context()))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- first.Run(ctx) }()
	w.append(w.event(3, 1))
	err := first.Sync(t.Context())
	for rapport.KindOf(err) == rapport.Unavailable { // first it only sees that it failed
		err = first.Sync(t.Context())
	}
	if rapport.KindOf(err) != rapport.Conflict {
		t.Errorf("the first server says %v", err)
	}
	stop()
	<-ended
	w.must(w.lake.Sync(t.Context()))
	got := 0
	for _, f := range w.snapshot().Files {
		got += int(f.Rows)
	}
	if got != 3 {
		t.Errorf("%d rows, want 3", got)
	}
}

func TestABucketThatDoesNotAnswerIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := newStorage(t)
	s.setFault(func(*http.Request) int { return refused })
	w := newWorld(t, 2).remote(s, "").open()
	w.append(w.event(1, 1))
	if _, err := w.lake.Snapshot(); rapport.KindOf(err) != rapport.Unavailable {
		t.Errorf("a lake nothing is known of: %v", err)
	}
	if w.lake.Position(0) != 0 || w.lake.Stats().Lag == 0 {
		t.Error("a lake nothing is known of says how far it is")
	}
	s.setFault(nil)
	for w.lake.Sync(t.Context()) != nil {
	}
	w.stop()
	w.checkBucket(s, "")
}

func TestWhatACutOffUploadLeftIsRemoved(t *testing.T) {
	t.Parallel()
	s := newStorage(t)
	b, err := s.open(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	big := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(big, make([]byte, 20<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, kill := context.WithCancel(t.Context())
	s.setFault(func(r *http.Request) int { // it dies with the second part on its way
		if r.URL.Query().Get("partNumber") == "2" {
			kill()
			return torn
		}
		if ctx.Err() != nil {
			return refused
		}
		return passed
	})
	if err := b.Put(ctx, "events/big.parquet", big); err == nil {
		t.Fatal("the upload did not fail")
	}
	s.setFault(nil)
	uploads := func() string {
		resp, err := http.Get(s.url + "/" + bucketName + "?uploads")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return string(text)
	}
	if !strings.Contains(uploads(), "x/events/big.parquet") {
		t.Fatalf("nothing was left: %s", uploads())
	}
	again, err := s.open(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if strings.Contains(uploads(), "big.parquet") {
		t.Error("what was left is still there")
	}
	if err := again.Put(t.Context(), "events/big.parquet", big); err != nil {
		t.Error(err)
	}
	if n := len(s.objects()["x/events/big.parquet"]); n != 20<<20 {
		t.Errorf("%d bytes arrived", n)
	}
}

func TestTheURLOfABucketHoldsNoSecret(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"s3://key:" + secretKey + "@history/x":        "holds a name or a secret",
		"s3://key:" + secretKey + "@history/x\x7f":    "cannot be read",
		"s3://history?secret_access_key=" + secretKey: "secret_access_key",
		"s3:///x":      "not the URL of a bucket",
		"s3://history": "region",
		"s3://history?endpoint=http://127.0.0.1:1&use_path_style=maybe": "true or false",
	} {
		_, err := bucket.Open(t.Context(), bucket.Options{URL: url, Logger: slog.New(slog.DiscardHandler)})
		if rapport.KindOf(err) != rapport.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", url, err)
		}
		if err != nil && strings.Contains(err.Error()+rapport.HintOf(err), secretKey) {
			t.Errorf("the error holds the secret: %v", err)
		}
	}
	s := newStorage(t)
	s.setFault(func(*http.Request) int { return refused })
	b, err := s.open(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.Get(t.Context(), "y", io.Discard); err == nil || strings.Contains(err.Error(), secretKey) || rapport.KindOf(err) != rapport.Unavailable {
		t.Errorf("%v", err)
	}
	if _, err := bucket.Open(t.Context(), bucket.Options{URL: "s3://nowhere?endpoint=" + newStorage(t).url, Logger: slog.New(slog.DiscardHandler), Attempts: 1}); rapport.KindOf(err) != rapport.NotFound {
		t.Errorf("a bucket that is not there: %v", err)
	}
}
