package ota

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/md5"  // devices check transfers with it
	"crypto/sha1" // the same
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
)

// MaxArtifact bounds one file.
const MaxArtifact = 2 << 30

// AddArtifact keeps a file under its SHA-256 and signs it. The same file under
// the same version is the same artifact. Kinds: Invalid, TooLarge.
func (u *Updates) AddArtifact(ctx context.Context, a Artifact, file io.Reader) (*Artifact, error) {
	if a.Name == "" || strings.ContainsAny(a.Name, "/\\\x00\n\"") || len(a.Name) > 200 || a.Version == "" || len(a.Version) > 64 {
		return nil, rapport.Errorf(rapport.Invalid, "an artifact has a file name without slashes and quotes, and a version of at most 64 bytes")
	}
	temp, err := os.CreateTemp(u.d.Dir, "upload-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(temp.Name())
	h256, h1, h5 := sha256.New(), sha1.New(), md5.New()
	a.Size, err = io.Copy(io.MultiWriter(temp, h256, h1, h5), io.LimitReader(file, MaxArtifact+1))
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return nil, rapport.Errorf(rapport.Unavailable, "keep the artifact: %w", err)
	}
	if a.Size > MaxArtifact || a.Size == 0 {
		return nil, rapport.Errorf(rapport.TooLarge, "an artifact has 1 byte to %d bytes", MaxArtifact)
	}
	a.SHA256, a.SHA1, a.MD5 = hex.EncodeToString(h256.Sum(nil)), hex.EncodeToString(h1.Sum(nil)), hex.EncodeToString(h5.Sum(nil))
	a.Module = cmp.Or(a.Module, "os")
	a.Created, a.Removed = u.d.Clock.Now().UTC(), false
	a.Signature = ed25519.Sign(u.sign, a.signed())
	if err := os.Rename(temp.Name(), u.path(a.SHA256)); err != nil {
		return nil, err
	}
	return &a, u.append(ctx, recordArtifact, a)
}

func (a *Artifact) signed() []byte { return []byte(a.SHA256 + " " + a.Version + " " + a.Name) }

// PublicKey verifies the signatures of artifacts.
func (u *Updates) PublicKey() ed25519.PublicKey { return u.sign.Public().(ed25519.PublicKey) }

func (u *Updates) path(sha string) string { return filepath.Join(u.d.Dir, sha) }

// linkLife is how long a link to an artifact works.
const linkLife = 6 * time.Hour

// Link returns the path by which a device fetches an artifact; it expires.
func (u *Updates) Link(item, sha string) string {
	expires := strconv.FormatInt(u.d.Clock.Now().Add(linkLife).Unix(), 10)
	return "/ota/artifacts/" + sha + "?item=" + item + "&expires=" + expires + "&signature=" + u.linkSignature(item, sha, expires)
}

func (u *Updates) linkSignature(item, sha, expires string) string {
	m := hmac.New(sha256.New, u.linkKey)
	fmt.Fprintf(m, "%s\n%s\n%s", item, sha, expires)
	return hex.EncodeToString(m.Sum(nil)[:16])
}

// OpenArtifact opens the file behind a link. Kinds: Denied when the link is not
// ours or expired, NotFound.
func (u *Updates) OpenArtifact(ctx context.Context, item, sha, expires, signature string) (*os.File, *Artifact, error) {
	if !hmac.Equal([]byte(u.linkSignature(item, sha, expires)), []byte(signature)) {
		return nil, nil, rapport.Errorf(rapport.Denied, "the link is not right")
	}
	if at, err := strconv.ParseInt(expires, 10, 64); err != nil || u.d.Clock.Now().Unix() > at {
		return nil, nil, rapport.Errorf(rapport.Denied, "the link has expired; ask for the deployment again")
	}
	if err := u.Settle(ctx); err != nil {
		return nil, nil, err
	}
	u.mu.Lock()
	a := u.state.Artifacts[sha]
	u.mu.Unlock()
	if a == nil || a.Removed {
		return nil, nil, rapport.Errorf(rapport.NotFound, "there is no such artifact")
	}
	f, err := os.Open(u.path(sha))
	if err != nil {
		return nil, nil, rapport.Errorf(rapport.NotFound, "the artifact's file is not here: %w", err)
	}
	return f, a, nil
}

// Artifacts lists the artifacts, newest first.
func (u *Updates) Artifacts(ctx context.Context) ([]Artifact, error) {
	if err := u.Settle(ctx); err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	out := []Artifact{}
	for _, a := range u.state.Artifacts {
		if !a.Removed {
			out = append(out, *a)
		}
	}
	slices.SortFunc(out, func(a, b Artifact) int { return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.SHA256, b.SHA256)) })
	return out, nil
}
