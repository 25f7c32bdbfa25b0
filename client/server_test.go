package client_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// server is a recording server that lives in memory: requests to it pass
// through no socket, so it works under a virtual clock.
type server struct {
	mu       sync.Mutex
	requests []*http.Request
	accepted []map[string]any // events of the batches answered 200
	sent     []sending        // every batch, refused or not
	answer   func(n int, path string) (status int, header http.Header, body string)
	hold     chan struct{} // if set, answers wait until it is closed
}

type sending struct {
	at     time.Time
	sentAt string
	ids    []string
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.hold != nil {
		select {
		case <-s.hold:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	status, header, body := http.StatusOK, http.Header{}, `{"success":true}`
	s.requests = append(s.requests, r)
	if s.answer != nil {
		status, header, body = s.answer(len(s.requests), r.URL.EscapedPath())
	}
	if r.Body != nil {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(bytes.NewReader(raw))
			if err != nil {
				return nil, err
			}
			if raw, err = io.ReadAll(z); err != nil {
				return nil, err
			}
		}
		var b struct {
			Batch  []map[string]any
			SentAt string
		}
		if err := json.Unmarshal(raw, &b); err != nil {
			return nil, err
		}
		one := sending{at: time.Now(), sentAt: b.SentAt}
		for _, e := range b.Batch {
			one.ids = append(one.ids, e["messageId"].(string))
		}
		s.sent = append(s.sent, one)
		if status == http.StatusOK {
			s.accepted = append(s.accepted, b.Batch...)
		}
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}
