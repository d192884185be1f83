package upload

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// seen is a bucket whose objects can be looked at. What it says has no times.
type seen struct {
	*bucket
	say  func(*s3.HeadObjectOutput)
	asks []*s3.HeadObjectInput
}

func (s *seen) HeadObject(ctx context.Context, in *s3.HeadObjectInput, _ ...func(*s3.Options)) (out *s3.HeadObjectOutput, err error) {
	err = s.call(ctx, opHead, func() error {
		s.asks = append(s.asks, in)
		body, ok := s.objects[*in.Key]
		if !ok {
			return refused(404, "NotFound")
		}
		out = &s3.HeadObjectOutput{ETag: aws.String(`"e"`), ContentLength: aws.Int64(int64(len(body))), VersionId: aws.String("v7")}
		if in.ChecksumMode == types.ChecksumModeEnabled {
			out.ChecksumCRC64NVME = aws.String(checksumOf(body))
		}
		if s.say != nil {
			s.say(out)
		}
		return nil
	})
	return out, err
}

// A commit whose answer was lost counts as done only if what is there is ours
// beyond doubt. Where the server tells no times, that takes an upload that is gone.
func TestFind(t *testing.T) {
	body := data(1000)
	partSum := func(b []byte) []byte { sum := md5.Sum(b); return sum[:] }
	tests := []struct {
		name        string
		op          string
		before      []error
		noOverwrite bool
		say         func(*s3.HeadObjectOutput)
		found       bool
	}{
		{name: "upload gone, equal", op: opComplete, found: true},
		{name: "upload gone, no checksum", op: opComplete, say: func(o *s3.HeadObjectOutput) { o.ChecksumCRC64NVME = nil }},
		{name: "upload gone, checksum of checksums", op: opComplete, say: func(o *s3.HeadObjectOutput) { o.ChecksumType = types.ChecksumTypeComposite }},
		{name: "upload gone, another checksum", op: opComplete, say: func(o *s3.HeadObjectOutput) { o.ChecksumCRC64NVME = aws.String("AAAAAAAAAAA=") }},
		{name: "upload gone, another size", op: opComplete, say: func(o *s3.HeadObjectOutput) { o.ContentLength = aws.Int64(999) }},
		{name: "upload gone, no ETag", op: opComplete, say: func(o *s3.HeadObjectOutput) { o.ETag = nil }},
		{name: "exists, equal, of unknown age", op: opPut, noOverwrite: true},
		{name: "exists, equal, upload gone", op: opComplete, before: []error{nil, refused(412, "PreconditionFailed")}, noOverwrite: true, found: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := &seen{bucket: newBucket(), say: test.say}
			b.forgets = true
			b.before, b.after = nth(test.op, test.before), nth(test.op, []error{cut()})
			content := body
			if test.op == opPut {
				content = body[:10]
			}
			e := b.engine(func(c *Config) { c.Client, c.NoOverwrite = b, test.noOverwrite })
			res, err := deliver(t.Context(), e, "k", content)
			if test.found && (err != nil || res.ETag != `"e"` || res.VersionID != "v7" || res.State != StateCommitted) {
				t.Errorf("got %+v, %v; want it found", res, err)
			}
			if !test.found && !errors.Is(err, ErrCommitUnknown) {
				t.Errorf("got %+v, %v; want it unknown", res, err)
			}
			if len(b.asks) != 1 || b.count(opAbort) != 0 {
				t.Errorf("%d looks, %d aborts", len(b.asks), b.count(opAbort))
			}
			atRest(t, e)
		})
	}

	// ETags made of MD5 sums are as good as a checksum.
	for _, test := range []struct {
		name string
		p    *Pending
		want string
	}{
		{"of a body", &Pending{body: &part{pages: [][]byte{body[:600], body[600:]}, size: 1000, page: 600}}, fmt.Sprintf(`"%x"`, partSum(body))},
		{"of parts", &Pending{parts: []types.CompletedPart{
			{ETag: aws.String(fmt.Sprintf(`"%x"`, partSum(body[:600])))}, {ETag: aws.String(fmt.Sprintf(`"%x"`, partSum(body[600:])))},
		}}, fmt.Sprintf(`"%x-2"`, partSum(append(partSum(body[:600]), partSum(body[600:])...)))},
		{"of parts without", &Pending{parts: []types.CompletedPart{{ETag: aws.String(`"1"`)}}}, ""},
	} {
		if got := test.p.etag(); got != test.want {
			t.Errorf("ETag %s: %s, want %s", test.name, got, test.want)
		}
	}
}

// An equal object is not ours as long as our upload is open.
func TestFindIsNotFooledByAnEqualObject(t *testing.T) {
	b := &seen{bucket: newBucket()}
	body := data(1000)
	b.objects["k"] = body
	b.before = nth(opComplete, []error{cut()})
	e := b.engine(func(c *Config) { c.Client, c.NoOverwrite = b, true })
	if res, err := deliver(t.Context(), e, "k", body); !errors.Is(err, ErrExists) || res.State != StatePending {
		t.Errorf("%+v, %v", res, err)
	}
	if open := b.open(); len(open) > 0 || len(b.asks) > 0 {
		t.Errorf("open uploads %v, looks %v", open, b.asks)
	}
	atRest(t, e)
}

// The look has its share of the commit's time, and ends with it.
func TestFindIsBounded(t *testing.T) {
	for _, hungLook := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := &seen{bucket: newBucket()}
			began := time.Now()
			var looked time.Duration
			b.onRequest = func(ctx context.Context, op string) error {
				if op == opHead && looked == 0 {
					looked = time.Since(began)
				}
				if op == opComplete || op == opHead && hungLook {
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			}
			e := newEngine(Config{Client: b, Bucket: "b", Memory: 4096, Logger: quiet()}, small, defaultPace)
			_, err := deliver(t.Context(), e, "k", data(1000))
			if !errors.Is(err, ErrCommitUnknown) || looked != 105*time.Second || time.Since(began) > 2*time.Minute {
				t.Errorf("%v, looked after %v, ended after %v", err, looked, time.Since(began))
			}
			atRest(t, e)
		})
	}
}

// What a look needs is carried to it.
func TestFindInput(t *testing.T) {
	in := &s3.CreateMultipartUploadInput{}
	in.Bucket, in.ExpectedBucketOwner, in.RequestPayer = aws.String("b"), aws.String("123456789012"), types.RequestPayerRequester
	in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = aws.String("AES256"), aws.String("key"), aws.String("sum")
	s := &settings{CreateMultipartUploadInput: in, key: "k"}
	for _, checksums := range []bool{true, false} {
		got := s.headInput(checksums)
		if *got.Bucket != "b" || *got.Key != "k" || *got.ExpectedBucketOwner != "123456789012" || got.RequestPayer != "requester" ||
			*got.SSECustomerAlgorithm != "AES256" || *got.SSECustomerKey != "key" || *got.SSECustomerKeyMD5 != "sum" ||
			(got.ChecksumMode == "ENABLED") != checksums {
			t.Errorf("checksums %v: %+v", checksums, got)
		}
	}
}
