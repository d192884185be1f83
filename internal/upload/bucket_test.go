package upload

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/minio/crc64nvme"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// small are limits that make every border cheap to reach.
var small = limits{page: 16, pages: 8, minPart: 64, basePart: 128, maxPart: 1 << 20, round: 16, maxParts: 50, growth: 14}

var hasty = pace{
	base: time.Microsecond, cap: time.Millisecond, attempts: 5, wish: 6 * time.Millisecond,
	stall: time.Minute, commitGrace: time.Minute, abortGrace: time.Minute, hurry: 200 * time.Millisecond, pauses: pauses{time.Millisecond, 10 * time.Millisecond},
}

// bucket is an S3 in memory, as strict as the real one, with one hook before
// and one after each request has its effect.
type bucket struct {
	mu       sync.Mutex
	ids      int
	objects  map[string][]byte
	puts     map[string]*s3.PutObjectInput
	uploads  map[string]*openUpload
	finished map[string]string // upload ID to ETag: Complete is idempotent
	forgets  bool              // Complete is not idempotent
	requests []string
	minPart  int

	before, after func(op string, n int) error // n counts from 1 per operation; nil answers go on
	counts        map[string]int
	onRequest     func(ctx context.Context, op string) error // outside of the lock
}

type openUpload struct {
	key   string
	in    *s3.CreateMultipartUploadInput
	parts map[int32][]byte
}

func newBucket() *bucket {
	return &bucket{
		objects: map[string][]byte{}, puts: map[string]*s3.PutObjectInput{}, uploads: map[string]*openUpload{},
		finished: map[string]string{}, counts: map[string]int{}, minPart: int(small.minPart),
	}
}

// call runs effect between the hooks, as if over a network.
func (b *bucket) call(ctx context.Context, op string, effect func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.onRequest != nil {
		if err := b.onRequest(ctx, op); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests = append(b.requests, op)
	b.counts[op]++
	n := b.counts[op]
	if b.before != nil {
		if err := b.before(op, n); err != nil {
			return err
		}
	}
	if err := effect(); err != nil {
		return err
	}
	if b.after != nil {
		return b.after(op, n)
	}
	return nil
}

func (b *bucket) PutObject(ctx context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (out *s3.PutObjectOutput, err error) {
	body, err := readBody(in.Body, in.ContentLength, in.ChecksumCRC64NVME)
	if err != nil {
		return nil, err
	}
	err = b.call(ctx, opPut, func() error {
		if _, exists := b.objects[*in.Key]; exists && in.IfNoneMatch != nil {
			return refused(412, "PreconditionFailed")
		}
		b.objects[*in.Key], b.puts[*in.Key] = body, in
		out = &s3.PutObjectOutput{ETag: aws.String(`"put"`), ChecksumCRC64NVME: in.ChecksumCRC64NVME}
		return nil
	})
	if errors.Is(err, errBlank) {
		return &s3.PutObjectOutput{}, nil
	}
	return out, err
}

// errBlank makes an answer a success without any content.
var errBlank = errors.New("blank answer")

func (b *bucket) CreateMultipartUpload(ctx context.Context, in *s3.CreateMultipartUploadInput, _ ...func(*s3.Options)) (out *s3.CreateMultipartUploadOutput, err error) {
	err = b.call(ctx, opCreate, func() error {
		b.ids++
		id := "upload-" + strconv.Itoa(b.ids)
		b.uploads[id] = &openUpload{key: *in.Key, in: in, parts: map[int32][]byte{}}
		out = &s3.CreateMultipartUploadOutput{UploadId: &id}
		return nil
	})
	if errors.Is(err, errBlank) {
		return &s3.CreateMultipartUploadOutput{}, nil
	}
	return out, err
}

func (b *bucket) UploadPart(ctx context.Context, in *s3.UploadPartInput, _ ...func(*s3.Options)) (out *s3.UploadPartOutput, err error) {
	body, err := readBody(in.Body, in.ContentLength, in.ChecksumCRC64NVME)
	if err != nil {
		return nil, err
	}
	err = b.call(ctx, opPart, func() error {
		u := b.uploads[*in.UploadId]
		if u == nil {
			return refused(404, "NoSuchUpload")
		}
		u.parts[*in.PartNumber] = body
		out = &s3.UploadPartOutput{ETag: aws.String(fmt.Sprintf(`"%d"`, *in.PartNumber)), ChecksumCRC64NVME: in.ChecksumCRC64NVME}
		return nil
	})
	if errors.Is(err, errBlank) {
		return &s3.UploadPartOutput{}, nil
	}
	return out, err
}

func (b *bucket) CompleteMultipartUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput, _ ...func(*s3.Options)) (out *s3.CompleteMultipartUploadOutput, err error) {
	err = b.call(ctx, opComplete, func() error {
		etag, err := b.complete(in)
		out = &s3.CompleteMultipartUploadOutput{ETag: &etag, ChecksumCRC64NVME: in.ChecksumCRC64NVME}
		return err
	})
	if errors.Is(err, errBlank) {
		return &s3.CompleteMultipartUploadOutput{}, nil
	}
	return out, err
}

func (b *bucket) complete(in *s3.CompleteMultipartUploadInput) (etag string, err error) {
	if etag := b.finished[*in.UploadId]; etag != "" && !b.forgets {
		return etag, nil
	}
	u := b.uploads[*in.UploadId]
	if u == nil {
		return "", refused(404, "NoSuchUpload")
	}
	if _, exists := b.objects[u.key]; exists && in.IfNoneMatch != nil {
		return "", refused(412, "PreconditionFailed")
	}
	var whole []byte
	for i, p := range in.MultipartUpload.Parts {
		body, ok := u.parts[*p.PartNumber]
		switch {
		case !ok || *p.ETag != fmt.Sprintf(`"%d"`, *p.PartNumber):
			return "", refused(400, "InvalidPart")
		case *p.PartNumber != int32(i+1):
			return "", refused(400, "InvalidPartOrder")
		case i > 0 && len(body) == 0:
			return "", refused(400, "EmptyPart")
		case i < len(in.MultipartUpload.Parts)-1 && len(body) < b.minPart:
			return "", refused(400, "EntityTooSmall")
		case p.ChecksumCRC64NVME != nil && *p.ChecksumCRC64NVME != checksumOf(body):
			return "", refused(400, "InvalidPart")
		}
		whole = append(whole, body...)
	}
	if c := in.ChecksumCRC64NVME; c != nil && *c != checksumOf(whole) {
		return "", refused(400, "BadDigest")
	}
	if in.MpuObjectSize != nil && *in.MpuObjectSize != int64(len(whole)) {
		return "", refused(400, "InvalidRequest")
	}
	b.objects[u.key] = whole
	delete(b.uploads, *in.UploadId)
	etag = fmt.Sprintf(`"whole-%d"`, len(in.MultipartUpload.Parts))
	b.finished[*in.UploadId] = etag
	return etag, nil
}

func (b *bucket) AbortMultipartUpload(ctx context.Context, in *s3.AbortMultipartUploadInput, _ ...func(*s3.Options)) (*s3.AbortMultipartUploadOutput, error) {
	return &s3.AbortMultipartUploadOutput{}, b.call(ctx, opAbort, func() error {
		if b.uploads[*in.UploadId] == nil {
			return refused(404, "NoSuchUpload")
		}
		delete(b.uploads, *in.UploadId)
		return nil
	})
}

func (b *bucket) GetBucketLocation(context.Context, *s3.GetBucketLocationInput, ...func(*s3.Options)) (*s3.GetBucketLocationOutput, error) {
	return nil, errors.New("not asked for")
}

func (b *bucket) HeadBucket(context.Context, *s3.HeadBucketInput, ...func(*s3.Options)) (*s3.HeadBucketOutput, error) {
	return nil, errors.New("not asked for")
}

func (b *bucket) count(op string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.counts[op]
}

func (b *bucket) object(key string) ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	body, ok := b.objects[key]
	return body, ok
}

func (b *bucket) open() (ids []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id := range b.uploads {
		ids = append(ids, id)
	}
	return ids
}

func readBody(r io.Reader, length *int64, checksum *string) ([]byte, error) {
	var body []byte
	if r != nil {
		var err error
		if body, err = io.ReadAll(r); err != nil {
			return nil, err
		}
	}
	if int64(len(body)) != aws.ToInt64(length) {
		return nil, refused(400, "IncompleteBody")
	}
	if checksum != nil && *checksum != checksumOf(body) {
		return nil, refused(400, "BadDigest")
	}
	return body, nil
}

func checksumOf(b []byte) string { return encodeCRC(crc64nvme.Update(0, b)) }

// refused is an answer as the SDK reports it.
func refused(status int, code string, header ...string) error {
	h := http.Header{"X-Amz-Request-Id": {"REQ1"}}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &smithy.OperationError{ServiceID: s3.ServiceID, OperationName: "Test", Err: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status, Header: h}},
		Err:      &smithy.GenericAPIError{Code: code, Message: "because of " + cmp.Or(code, "nothing")},
	}}
}

// cut is what the SDK reports when a connection breaks.
func cut() error {
	return &smithy.OperationError{ServiceID: s3.ServiceID, OperationName: "Test", Err: &smithyhttp.RequestSendError{Err: io.ErrUnexpectedEOF}}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// engine makes an engine on b with small limits.
func (b *bucket) engine(change ...func(*Config)) *Engine {
	cfg := Config{Client: b, Bucket: "writer-sample", Memory: 4096, Concurrency: 4, Logger: quiet()}
	for _, f := range change {
		f(&cfg)
	}
	return newEngine(cfg, small, hasty)
}

func admit(t *testing.T, e *Engine) *Admission {
	t.Helper()
	a, err := e.Admit(t.Context(), 0)
	if err != nil {
		t.Fatalf("Admit: %v", err)
	}
	return a
}

// commit finishes a stream and makes its object visible.
func commit(t *testing.T, s *Stream) {
	t.Helper()
	p, err := s.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// wantUnharmed delivers an object while late writes to a page that was another's.
func wantUnharmed(t *testing.T, b *bucket, e *Engine, late func()) {
	t.Helper()
	atRest(t, e)
	body := data(2000)
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := deliver(t.Context(), e, "other", body); err != nil {
			t.Error(err)
		}
	})
	late()
	wg.Wait()
	wantObject(t, b, "other", body)
	atRest(t, e)
}

// data is n bytes that differ from place to place.
func data(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// atRest checks that the engine has given everything back.
func atRest(t *testing.T, e *Engine) {
	t.Helper()
	s := e.Stats()
	if s.Charged != 0 || s.Pages != 0 || s.InFlight != 0 || s.Idle > idlePages*e.limits.page {
		t.Errorf("engine at rest holds %+v", s)
	}
	if s.Peak > e.cfg.Memory {
		t.Errorf("peak %d is over the budget of %d", s.Peak, e.cfg.Memory)
	}
}

// deliver writes body in uneven pieces and commits it.
func deliver(ctx context.Context, e *Engine, key string, body []byte) (Result, error) {
	a, err := e.Admit(ctx, 0)
	if err != nil {
		return Result{}, err
	}
	defer a.Release()
	s := e.Open(ctx, a, Object{Key: key})
	for piece := range slices.Chunk(body, 37) {
		if _, err := s.Write(piece); err != nil {
			s.Abort()
			return Result{}, err
		}
	}
	p, err := s.Finish()
	if err != nil {
		return Result{}, err
	}
	res, err := p.Commit(ctx)
	if err != nil {
		p.Abort(ctx)
	}
	return res, err
}

func wantObject(t *testing.T, b *bucket, key string, want []byte) {
	t.Helper()
	got, ok := b.object(key)
	if !ok {
		t.Errorf("object %q is not there", key)
	} else if !bytes.Equal(got, want) {
		t.Errorf("object %q has %d bytes, want %d, or they differ", key, len(got), len(want))
	}
}

func yield() { runtime.Gosched() }
