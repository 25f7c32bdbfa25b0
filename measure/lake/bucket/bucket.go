// Package bucket keeps a lake in object storage that speaks the S3 protocol:
// Amazon's own, MinIO, Ceph, Cloudflare R2, Google Cloud Storage and others.
//
// Guarantees:
//
//   - Who we are comes from the environment, the shared credentials file or the
//     role of the machine, as every AWS program takes it; never from the URL, and
//     it stands in no log and no error.
//   - What an upload that was cut off left is removed by the next [Open].
//   - Memory is bounded by one part of an upload, whatever the size of a file.
package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	gcaws "gocloud.dev/aws"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"
	"gocloud.dev/gcerrors"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/measure/lake"
)

// Scheme begins the URLs that are for this package.
const Scheme = "s3://"

// partBytes is what one request of an upload holds.
const partBytes = 8 << 20

// answerTime is how long a request that was sent may wait for its answer.
const answerTime = 30 * time.Second

// Options say where a bucket is.
type Options struct {
	// URL is s3://BUCKET/PREFIX with, as parameters, what the environment does not
	// say: region, endpoint (of a service that is not Amazon's), profile, role, use_path_style,
	// ssetype, kmskeyid and others of gocloud.dev/blob/s3blob.
	URL    string
	Logger *slog.Logger
	// Attempts is how often a request is tried (3).
	Attempts int
}

// Bucket is a place in object storage. It is safe for concurrent use.
type Bucket struct {
	blob   *blob.Bucket
	client *s3.Client
	name   string
	prefix string
	sse    types.ServerSideEncryption
	kms    string
}

var _ lake.Remote = (*Bucket)(nil)

// Open returns the bucket of a URL, and clears away uploads that were cut off.
// Kinds: Invalid (the URL), Denied, NotFound. It is no error if the service does
// not answer now.
func Open(ctx context.Context, o Options) (*Bucket, error) {
	u, err := url.Parse(o.URL)
	switch {
	case err != nil:
		return nil, rapport.Errorf(rapport.Invalid, "the URL of the lake's bucket cannot be read") // it may hold a secret
	case u.User != nil:
		return nil, rapport.WithHint(rapport.Errorf(rapport.Invalid, "the URL of the lake's bucket holds a name or a secret"), "take it out and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment")
	case u.Scheme != "s3" || u.Host == "":
		return nil, rapport.WithHint(rapport.Errorf(rapport.Invalid, "%q is not the URL of a bucket", u.Scheme+"://"+u.Host), "write it as s3://bucket/prefix")
	}
	b := &Bucket{name: u.Host, prefix: strings.Trim(u.Path, "/")}
	if b.prefix != "" {
		b.prefix += "/"
	}
	q := u.Query()
	take := func(name string) string { v := q.Get(name); q.Del(name); return v }
	b.sse, b.kms = types.ServerSideEncryption(take("ssetype")), take("kmskeyid")
	pathStyle := q.Has("endpoint")
	for _, name := range []string{"use_path_style", "s3ForcePathStyle"} {
		if text := take(name); text != "" {
			if pathStyle, err = strconv.ParseBool(text); err != nil {
				return nil, rapport.Errorf(rapport.Invalid, "%s in the URL of the lake's bucket is true or false, not %q", name, text)
			}
		}
	}
	if !q.Has("request_checksum_calculation") { // other services than Amazon's do not know the newer ones
		q.Set("request_checksum_calculation", "when_required")
	}
	if !q.Has("response_checksum_validation") {
		q.Set("response_checksum_validation", "when_required")
	}
	cfg, err := gcaws.V2ConfigFromURLParams(ctx, q)
	if err != nil {
		return nil, rapport.Errorf(rapport.Invalid, "the URL of the lake's bucket: %w", err)
	}
	if cfg.Region == "" {
		if !q.Has("endpoint") {
			return nil, rapport.WithHint(rapport.Errorf(rapport.Invalid, "it is not said in which region the lake's bucket is"), "set AWS_REGION, or add ?region=... to its URL")
		}
		cfg.Region = "us-east-1" // what services that have none expect
	}
	cfg.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.ResponseHeaderTimeout = answerTime })
	cfg.Retryer, cfg.RetryMaxAttempts = nil, max(o.Attempts, 0)
	if q.Get("anonymous") != "true" {
		if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
			return nil, rapport.WithHint(rapport.Errorf(rapport.Denied, "there are no credentials for the lake's bucket: %w", err),
				"set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile with ?profile=..., or give the machine a role")
		}
	}
	b.client = s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = pathStyle })
	whole, err := s3blob.OpenBucket(ctx, b.client, b.name, &s3blob.Options{EncryptionType: b.sse, KMSEncryptionID: b.kms, RequestChecksumCalculation: cfg.RequestChecksumCalculation})
	if err != nil {
		return nil, rapport.Errorf(rapport.Invalid, "open the lake's bucket: %w", err)
	}
	b.blob = whole
	if b.prefix != "" {
		b.blob = blob.PrefixedBucket(whole, b.prefix)
	}
	return b, b.tidy(ctx, o.Logger)
}

// tidy removes what cut-off uploads left, and says if the bucket keeps what is deleted.
func (b *Bucket) tidy(ctx context.Context, logger *slog.Logger) error {
	pages := s3.NewListMultipartUploadsPaginator(b.client, &s3.ListMultipartUploadsInput{Bucket: &b.name, Prefix: &b.prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if e, ok := errors.AsType[smithy.APIError](err); ok && e.ErrorCode() == "NoSuchBucket" {
			return told("look at", err)
		} else if ok && e.ErrorCode() == "NoSuchUpload" { // some say so when there is none
			break
		}
		if err != nil { // a service that does not know this, a right that was not given, or one that does not answer: the lake will say which
			logger.Warn("whether cut-off uploads lie in the lake's bucket is not known", slog.Any("error", told("look at", err)))
			break
		}
		for _, u := range page.Uploads {
			if _, err := b.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &b.name, Key: u.Key, UploadId: u.UploadId}); err != nil {
				logger.Warn("what an upload that was cut off left in the lake's bucket was not removed", slog.Any("error", err))
			}
		}
	}
	v, err := b.client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &b.name})
	if err == nil && v.Status == types.BucketVersioningStatusEnabled {
		logger.Warn("the lake's bucket keeps old versions: rows of people erased stay in them until a lifecycle rule removes what is not current")
	}
	return nil
}

// Close lets go of connections.
func (b *Bucket) Close() error { return b.blob.Close() }

// Put implements [lake.Remote].
func (b *Bucket) Put(ctx context.Context, name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return told("write to", b.blob.Upload(ctx, name, f, &blob.WriterOptions{ContentType: "application/vnd.apache.parquet", BufferSize: partBytes, MaxConcurrency: 1}))
}

// Get implements [lake.Remote].
func (b *Bucket) Get(ctx context.Context, name string, w io.Writer) (tag string, err error) {
	r, err := b.blob.NewReader(ctx, name, nil)
	if err != nil {
		return "", told("read from", err)
	}
	defer r.Close()
	var out s3.GetObjectOutput
	if r.As(&out) {
		tag = aws.ToString(out.ETag)
	}
	n, err := io.Copy(w, r)
	if err == nil && n != r.Size() {
		err = io.ErrUnexpectedEOF
	}
	return tag, told("read from", err)
}

// Remove implements [lake.Remote].
func (b *Bucket) Remove(ctx context.Context, name string) error {
	err := b.blob.Delete(ctx, name)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil
	}
	return told("remove from", err)
}

// List implements [lake.Remote].
func (b *Bucket) List(ctx context.Context, prefix string, yield func(name string) error) error {
	list := b.blob.List(&blob.ListOptions{Prefix: prefix})
	for {
		o, err := list.Next(ctx)
		if err == io.EOF { // itself: a connection that broke holds one, too
			return nil
		}
		if err != nil {
			return told("list", err)
		}
		if err := yield(o.Key); err != nil {
			return err
		}
	}
}

// Swap implements [lake.Remote].
func (b *Bucket) Swap(ctx context.Context, name string, text []byte, was string) (tag string, err error) {
	in := &s3.PutObjectInput{
		Bucket: &b.name, Key: aws.String(b.prefix + name), Body: bytes.NewReader(text), ContentType: aws.String("application/json"), ServerSideEncryption: b.sse,
	}
	if b.kms != "" {
		in.SSEKMSKeyId = &b.kms
	}
	if was == "" {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = &was
	}
	out, err := b.client.PutObject(ctx, in)
	if err != nil {
		return "", told("write to", err)
	}
	return aws.ToString(out.ETag), nil
}

// told gives an error of the service its kind.
func told(do string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	code, status := "", 0
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		code = e.ErrorCode()
	}
	if e, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		status = e.HTTPStatusCode()
	}
	where := func(kind rapport.Kind) error { return rapport.Errorf(kind, "%s the lake's bucket: %w", do, err) }
	switch {
	case code == "NoSuchBucket":
		return rapport.WithHint(where(rapport.NotFound), "make the bucket, or correct --lake")
	case status == http.StatusPreconditionFailed, status == http.StatusConflict, code == "PreconditionFailed":
		return where(rapport.Conflict)
	case status == http.StatusForbidden, status == http.StatusUnauthorized, gcerrors.Code(err) == gcerrors.PermissionDenied:
		return rapport.WithHint(where(rapport.Denied), "the credentials need s3:GetObject, PutObject, DeleteObject, ListBucket, ListBucketMultipartUploads and AbortMultipartUpload")
	case status == http.StatusNotFound, gcerrors.Code(err) == gcerrors.NotFound:
		return where(rapport.NotFound)
	}
	return where(rapport.Unavailable)
}

// String names the place for logs.
func (b *Bucket) String() string { return fmt.Sprintf("%s%s/%s", Scheme, b.name, b.prefix) }
