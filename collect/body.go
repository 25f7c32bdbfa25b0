package collect

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"

	"github.com/rapport-engine/rapport"
)

// readBody reads a request's body into w's memory and inflates it if it is
// compressed. What it is shows in its first bytes: clients, and proxies between
// us, are not to be trusted with headers.
func (d *Door) readBody(w *work, r *http.Request) ([]byte, error) {
	most := d.Options.BodyBytes
	if r.ContentLength > int64(most) {
		return nil, tooLarge(most)
	}
	expected := int(max(r.ContentLength, 0))
	if first := min(expected, 64<<10); cap(w.body) <= first {
		w.body = make([]byte, 0, max(first+1, 16<<10))
	}
	var err error
	if w.body, err = d.readAll(w, r.Body, w.body[:0], cap(w.inflated), most); err != nil {
		return nil, err
	}
	if len(w.body) < 2 || w.body[0] != 0x1f || w.body[1] != 0x8b {
		return w.body, nil
	}
	if err = w.unzip(); err != nil {
		return nil, rapport.Errorf(rapport.Invalid, "the body is not whole gzip: %w", err)
	}
	if w.inflated == nil {
		w.inflated = make([]byte, 0, 4*len(w.body))
	}
	w.inflated, err = d.readAll(w, w.gzip, w.inflated[:0], cap(w.body), most)
	return w.inflated, err
}

// unzip readies w.gzip to inflate the body.
func (w *work) unzip() (err error) {
	if w.gzip != nil {
		return w.gzip.Reset(bytes.NewReader(w.body))
	}
	w.gzip, err = gzip.NewReader(bytes.NewReader(w.body))
	return err
}

// readAll reads to the end into b, growing it as data comes, so that a length
// that was only promised takes no memory. other is what w holds besides b.
func (d *Door) readAll(w *work, r io.Reader, b []byte, other, most int) ([]byte, error) {
	for {
		if err := d.reserve(w, cap(b)+other); err != nil {
			return nil, err // and keep no large memory either
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if len(b) > most {
			return b, tooLarge(most)
		}
		switch {
		case err == io.EOF:
			return b, nil
		case err != nil:
			if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
				return b, tooLarge(int(large.Limit))
			}
			return b, rapport.Errorf(rapport.Invalid, "the body ended early: %w", err)
		}
		if len(b) == cap(b) {
			if err := d.reserve(w, 2*cap(b)+other); err != nil {
				return nil, err
			}
			b = append(make([]byte, 0, 2*cap(b)), b...)
		}
	}
}

func tooLarge(most int) error {
	return rapport.WithHint(rapport.Errorf(rapport.TooLarge, "the body has more than %d bytes", most), "send smaller batches")
}
