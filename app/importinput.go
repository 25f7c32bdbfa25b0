package app

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"

	"github.com/rapport-engine/rapport"
)

// input is a file to import, decompressed.
type input struct {
	io.Reader
	name   string // base name, part of the message ids
	remote bool
	size   int64         // as stored; 0 if unknown
	read   *countedBytes // as stored
	source io.Closer
}

// Close releases the input.
func (in *input) Close() error { return in.source.Close() }

type countedBytes struct {
	r io.Reader
	n int64
}

func (c *countedBytes) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// bounded fails when more than left bytes come.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		if n, err := b.r.Read(make([]byte, 1)); n == 0 {
			return 0, err
		}
		return 0, rapport.WithHint(rapport.Errorf(rapport.TooLarge, "the file is larger than --max-bytes"), "raise --max-bytes if that is meant")
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// openInput opens a file or an address; gzip is seen by its first bytes.
func openInput(ctx context.Context, from string, most int64) (*input, error) {
	in, err := openSource(ctx, from)
	if err != nil {
		return nil, err
	}
	b := bufio.NewReaderSize(in.read, 256<<10)
	in.Reader = &bounded{b, most}
	if magic, _ := b.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, errors.Join(rapport.Errorf(rapport.Invalid, "%s is no gzip file: %w", in.name, err), in.Close())
		}
		in.Reader = &bounded{z, most}
		in.name = strings.TrimSuffix(in.name, ".gz")
	}
	return in, nil
}

func openSource(ctx context.Context, from string) (*input, error) {
	if u, err := url.Parse(from); err == nil && (u.Scheme == "http" || u.Scheme == "https") {
		resp, err := download(ctx, u)
		if err != nil {
			return nil, err
		}
		name := path.Base(u.Path)
		if name == "/" || name == "." {
			name = u.Hostname()
		}
		return &input{name: name, remote: true, size: max(resp.ContentLength, 0), read: &countedBytes{r: resp.Body}, source: resp.Body}, nil
	}
	f, err := os.Open(from)
	if err != nil {
		return nil, rapport.Errorf(rapport.NotFound, "open the file to import: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = rapport.Errorf(rapport.Invalid, "%s is a folder, want a file", from)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &input{name: info.Name(), size: info.Size(), read: &countedBytes{r: f}, source: f}, nil
}

// download begins to fetch a file. What is fetched becomes people's history, so
// it must come from whom it seems to: encrypted, or from this machine.
func download(ctx context.Context, u *url.URL) (*http.Response, error) {
	trusted := func(u *url.URL) error {
		if u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()) {
			return nil
		}
		return rapport.WithHint(rapport.Errorf(rapport.Invalid, "%s is not an https address", u.Redacted()), "download the file first, or serve it with https")
	}
	if err := trusted(u); err != nil {
		return nil, err
	}
	c := &http.Client{CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) >= 5 {
			return errors.New("too many redirects")
		}
		return trusted(r.URL)
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept-Encoding", "identity") // gzip files are seen by their bytes
	resp, err := c.Do(req)
	if err != nil {
		return nil, rapport.Errorf(rapport.Unavailable, "fetch %s: %w", u.Redacted(), err)
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, rapport.Errorf(rapport.Unavailable, "fetch %s: the server answered %s", u.Redacted(), resp.Status)
	}
	return resp, nil
}
