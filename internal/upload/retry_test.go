package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

func TestClassify(t *testing.T) {
	dial := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	tests := []struct {
		op    string
		err   error
		class class
		lost  bool
	}{
		{opPart, refused(500, "InternalError"), transient, true},
		{opPart, refused(502, ""), transient, true},
		{opPart, refused(522, ""), transient, true},
		{opPart, refused(503, "SlowDown"), throttle, false},
		{opPut, refused(503, "SlowDown"), throttle, false},
		{opComplete, refused(503, "SlowDown"), throttle, false},
		{opComplete, refused(200, "SlowDown"), throttle, false},
		{opComplete, refused(503, "SlowDownWrite"), throttle, true},
		{opCreate, refused(503, "SlowDownWrite"), throttle, false},
		{opComplete, refused(503, "ServiceUnavailable"), throttle, true},
		{opCreate, refused(503, "SlowDown"), throttle, false},
		{opCreate, refused(503, ""), throttle, true},
		{opCreate, refused(503, "ServiceUnavailable"), throttle, true},
		{opPart, refused(429, ""), throttle, false},
		{opPart, refused(408, ""), transient, false},
		{opPart, refused(400, "RequestTimeout"), transient, false},
		{opPart, refused(403, "RequestTimeTooSkewed"), transient, false},
		{opPart, refused(400, "BadDigest"), damaged, false},
		{opPart, refused(400, "ExpiredToken"), expired, false},
		{opPart, refused(403, "RequestExpired"), expired, false},
		{opPart, refused(403, "AccessDenied"), fatal, false},
		{opPart, refused(403, ""), fatal, false},
		{opPart, refused(404, "NoSuchUpload"), fatal, false},
		{opPart, refused(404, "NoSuchBucket"), fatal, false},
		{opPut, refused(412, "PreconditionFailed"), fatal, false},
		{opPut, refused(409, "ConditionalRequestConflict"), transient, false},
		{opComplete, refused(409, "ConditionalRequestConflict"), fatal, false},
		{opComplete, refused(409, "OperationAborted"), transient, false},
		{opPut, refused(501, "NotImplemented"), unchecked, false},
		{opComplete, refused(400, "MalformedXML"), unchecked, false},
		{opCreate, refused(400, "MalformedXML"), fatal, false},
		{opPut, refused(400, "AuthorizationHeaderMalformed"), fatal, false},
		{opPut, refused(400, "AuthorizationHeaderMalformed", "x-amz-bucket-region", "eu-west-3"), misplaced, false},
		{opPut, refused(301, "PermanentRedirect", "x-amz-bucket-region", "eu-west-3"), misplaced, false},
		{opPut, refused(400, "BadRequest", "x-amz-bucket-region", "eu-west-3"), misplaced, false},
		{opPut, refused(400, "BadRequest", "x-amz-bucket-region", "us-east-1"), fatal, false},
		{opPut, refused(400, "BadDigest", "x-amz-bucket-region", "us-east-1"), damaged, false},
		{opPut, refused(301, "PermanentRedirect"), fatal, false},
		{opPut, refused(403, "AccessDenied", "x-amz-bucket-region", "eu-west-3"), fatal, false},
		{opComplete, refused(200, ""), transient, true},
		{opPart, cut(), transient, true},
		{opPart, io.ErrUnexpectedEOF, transient, true},
		{opPart, &smithy.OperationError{ServiceID: s3.ServiceID, Err: &smithyhttp.RequestSendError{Err: dial}}, transient, false},
		{opPart, &net.DNSError{IsNotFound: true}, fatal, false},
		{opPart, &net.DNSError{IsTimeout: true}, transient, false},
		{opPart, errNoETag, transient, true},
		{opPart, errStalled, transient, true},
		{opPart, signing(refusedBySTS("AccessDenied")), fatal, false},
		{opPart, signing(errors.New("no keys")), fatal, false},
	}
	for _, test := range tests {
		v := classify(&request{name: test.op, region: "us-east-1"}, test.err)
		if v.class != test.class || v.lost != test.lost {
			t.Errorf("%s, %v: class %d, lost %v; want %d, %v", test.op, test.err, v.class, v.lost, test.class, test.lost)
		}
	}
}

// signing wraps an error as the SDK does when credentials cannot be had.
func signing(err error) error {
	return &smithy.OperationError{ServiceID: s3.ServiceID, OperationName: opPut, Err: fmt.Errorf("get identity: get credentials: %w", err)}
}

func refusedBySTS(code string) error {
	var op *smithy.OperationError
	errors.As(refused(403, code), &op)
	op.ServiceID, op.OperationName = "STS", "AssumeRole"
	return op
}

func TestPartsAreRetried(t *testing.T) {
	for name, first := range map[string][]error{
		"reset":     {cut(), cut()},
		"500":       {refused(500, "InternalError")},
		"503":       {refused(503, "SlowDown")},
		"no ETag":   {errBlank},
		"digest":    {refused(400, "BadDigest")},
		"skewed":    {refused(403, "RequestTimeTooSkewed")},
		"unreadale": {refused(200, "")},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBucket()
			b.before = nth(opPart, first)
			e := b.engine()
			body := data(3000)
			if _, err := deliver(t.Context(), e, "k", body); err != nil {
				t.Fatal(err)
			}
			wantObject(t, b, "k", body)
			if got := e.Stats().Retries; got != int64(len(first)) {
				t.Errorf("%d retries", got)
			}
			atRest(t, e)
		})
	}
}

func TestRetriesEnd(t *testing.T) {
	b := newBucket()
	b.before = nth(opCreate, repeat(refused(500, "InternalError"), 1000))
	e := b.engine()
	_, err := deliver(t.Context(), e, "k", data(200))
	if err == nil || b.count(opCreate) != hasty.attempts {
		t.Fatalf("%d tries, %v", b.count(opCreate), err)
	}
	want := "CreateMultipartUpload of s3://writer-sample/k: AWS says: InternalError: because of InternalError, HTTP status 500 Internal Server Error, request ID REQ1"
	if err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if b.open() != nil {
		t.Error("upload left open")
	}
}

func TestExpiredCredentialsAreRefreshed(t *testing.T) {
	for _, expirations := range []int{1, 2, 3} {
		b := newBucket()
		b.before = nth(opPut, repeat(refused(400, "ExpiredToken"), expirations))
		refreshes := 0
		e := b.engine(func(c *Config) { c.Refresh = func() { refreshes++ } })
		_, err := deliver(t.Context(), e, "k", data(10))
		if expirations == 3 {
			want := "credentials refused: the session has expired and could not be refreshed (AWS says: ExpiredToken: because of ExpiredToken, request ID REQ1)"
			if !errors.Is(err, ErrCredentials) || err.Error() != want || refreshes != 2 {
				t.Errorf("%d refreshes, got %v\nwant %s", refreshes, err, want)
			}
		} else if err != nil || refreshes != expirations {
			t.Errorf("%d refreshes, %v", refreshes, err)
		}
	}
}

// Parts that fail together with one session refresh it once.
func TestRefreshIsShared(t *testing.T) {
	b := newBucket()
	var arrived sync.WaitGroup
	arrived.Add(3)
	var mu sync.Mutex
	waiting := 3
	b.onRequest = func(_ context.Context, op string) error {
		mu.Lock()
		first := op == opPart && waiting > 0
		if first {
			waiting--
		}
		mu.Unlock()
		if first {
			arrived.Done()
			arrived.Wait()
			return refused(400, "ExpiredToken")
		}
		return nil
	}
	refreshes := 0
	e := b.engine(func(c *Config) { c.Refresh = func() { refreshes++ } })
	if _, err := deliver(t.Context(), e, "k", data(3000)); err != nil || refreshes != 1 {
		t.Errorf("%d refreshes, %v", refreshes, err)
	}
}

func TestRegionIsCorrectedOnce(t *testing.T) {
	b := newBucket()
	moved := refused(301, "PermanentRedirect", "x-amz-bucket-region", "eu-central-1")
	b.before = nth(opPut, []error{moved})
	e := b.engine()
	if _, err := deliver(t.Context(), e, "k", data(10)); err != nil || e.regionNow() != "eu-central-1" {
		t.Errorf("region %q, %v", e.regionNow(), err)
	}
	b.before = nth(opPut, repeat(refused(301, "PermanentRedirect", "x-amz-bucket-region", "us-west-2"), 100))
	if _, err := deliver(t.Context(), e, "k", data(10)); err == nil || !strings.Contains(err.Error(), "check the region") {
		t.Errorf("sent around in a circle: %v", err)
	}
	if got := b.count(opPut); got != 3 {
		t.Errorf("%d requests", got)
	}
}

func TestChecksumDowngrade(t *testing.T) {
	for _, endpoint := range []bool{true, false} {
		for _, size := range []int{10, 1000} {
			b := newBucket()
			b.before = func(op string, n int) error {
				if op == opPut && n == 1 || op == opCreate && n == 1 {
					return refused(501, "NotImplemented")
				}
				return nil
			}
			e := b.engine(func(c *Config) { c.Endpoint = endpoint })
			_, err := deliver(t.Context(), e, "k", data(size))
			if (err == nil) != endpoint || e.Stats().Plain != endpoint {
				t.Errorf("endpoint %v: %v, %+v", endpoint, err, e.Stats())
			}
			if endpoint {
				wantObject(t, b, "k", data(size))
			}
			if in := b.puts["k"]; in != nil && in.ChecksumCRC64NVME != nil {
				t.Error("checksum sent again")
			}
		}
	}
}

func TestBackoff(t *testing.T) {
	for failed, top := range map[int]time.Duration{1: 100, 2: 200, 4: 800, 7: 5000, 60: 5000} {
		for range 100 {
			if d := defaultPace.backoff(failed, 0); d >= top*time.Millisecond {
				t.Errorf("after %d failures: %v", failed, d)
			}
		}
	}
}

func TestRetryAfterIsRespected(t *testing.T) {
	for wish, want := range map[string]time.Duration{"7": 7 * time.Second, "50": 50 * time.Second, "3000": 5 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			b := newBucket()
			b.before = nth(opCreate, []error{refused(503, "SlowDown", "Retry-After", wish)})
			e := newEngine(Config{Client: b, Bucket: "b", Memory: 4096, Logger: quiet()}, small, defaultPace)
			began := time.Now()
			if _, err := deliver(t.Context(), e, "k", data(300)); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took < want || took > want+time.Second {
				t.Errorf("Retry-After %s: took %v", wish, took)
			}
		})
	}
}

// A server that wants to be left alone, and a crowd that waits for it, do not keep
// an upload from being removed: who is cancelled waits a moment only.
func TestAbortDoesNotWaitForItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		asked := make(chan struct{})
		wish := sync.OnceFunc(func() { close(asked) })
		b.before = func(op string, n int) error {
			if op == opPart || op == opPut {
				wish()
				return refused(503, "SlowDown", "Retry-After", "20")
			}
			return nil
		}
		e := newEngine(Config{Client: b, Bucket: "b", Memory: 4096, Concurrency: 2, Logger: quiet()}, small, defaultPace)
		ctx, cancel := context.WithCancel(t.Context())
		orphans := make(chan []Orphan, 5)
		for i := range cap(orphans) {
			go func() {
				s := e.Open(ctx, admit(t, e), Object{Key: fmt.Sprint(i)})
				for err := error(nil); err == nil; {
					_, err = s.Write(data(500))
				}
				orphans <- s.Abort()
			}()
		}
		<-asked
		synctest.Wait()
		began := time.Now()
		cancel()
		for range cap(orphans) {
			for _, o := range <-orphans {
				t.Errorf("an upload was left: %v", o.Err)
			}
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
		if open := b.open(); len(open) > 0 {
			t.Errorf("open uploads: %v", open)
		}
	})
}

// All places belong to long parts of others, of this engine or of one that it shares
// with: an upload that nobody wants any more does not wait for them. Behind as many
// aborts, its own time begins when it may be sent.
func TestAbortGoesBeyondTheBound(t *testing.T) {
	for _, crowd := range []int{0, abortLimit} {
		for _, cancelled := range []bool{false, true} {
			t.Run(fmt.Sprint(crowd, " aborts before it, cancelled: ", cancelled), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b, s := newBucket(), newShared(4096, 4, small)
					e := b.sharing(s)
					ctx, cancel := context.WithCancel(t.Context())
					stream := e.Open(ctx, admit(t, e), Object{Key: "k"})
					if _, err := stream.Write(data(300)); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					for i := range 4 + crowd {
						if err := s.places.acquire(t.Context(), i >= 4); err != nil {
							t.Fatal(err)
						}
					}
					wait := time.Duration(0)
					if crowd > 0 {
						wait = 10 * hasty.abortGrace
						if cancelled {
							wait = hasty.hurry / 2
						}
						time.AfterFunc(wait, func() { s.places.release(answered, sample{}) })
					}
					if cancelled {
						cancel()
					}
					began := time.Now()
					if orphans := stream.Abort(); len(orphans) > 0 || len(b.open()) > 0 {
						t.Errorf("orphans %v, open uploads %v", orphans, b.open())
					}
					if took := time.Since(began); took > wait {
						t.Errorf("it took %v, want %v", took, wait)
					}
					cancel()
				})
			})
		}
	}
}

// A request that hangs is dropped and sent again.
func TestStalledRequestIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		hung := false
		b.onRequest = func(ctx context.Context, op string) error {
			if op == opPart && !hung {
				hung = true
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		e := newEngine(Config{Client: b, Bucket: "b", Memory: 4096, Concurrency: 1, Logger: quiet()}, small, defaultPace)
		began := time.Now()
		if _, err := deliver(t.Context(), e, "k", data(1000)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < time.Minute || took > 61*time.Second {
			t.Errorf("took %v", took)
		}
		wantObject(t, b, "k", data(1000))
	})
}

// Five seconds of 503 for everybody: all is delivered, and less was asked.
func TestThrottleStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		began := time.Now()
		refusals, last := 0, 0 // of the last second
		b.onRequest = func(ctx context.Context, op string) error {
			time.Sleep(30 * time.Millisecond)
			if time.Since(began) < 5*time.Second {
				b.mu.Lock()
				if refusals++; time.Since(began) > 4*time.Second {
					last++
				}
				b.mu.Unlock()
				return refused(503, "SlowDown")
			}
			return nil
		}
		e := newEngine(Config{Client: b, Bucket: "b", Memory: 1 << 20, Concurrency: 64, Logger: quiet()}, small, defaultPace)
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				if _, err := deliver(t.Context(), e, fmt.Sprint(i), data(i*10)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if refusals > 200 || last > 10 {
			t.Errorf("%d requests were refused, %d of them in the last second", refusals, last)
		}
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("it took %v", took)
		}
		atRest(t, e)
	})
}

func TestExplain(t *testing.T) {
	object := "arn:aws:s3:::writer-sample/exports/*"
	tests := []struct {
		action, resource string
		err              error
		kind             error
		want             string
	}{
		{"s3:PutObject", object, refused(403, "AccessDenied"), ErrAccessDenied,
			"access denied: s3:PutObject on arn:aws:s3:::writer-sample/exports/*: check the identity's policy, the bucket's policy, its owner, and kms:GenerateDataKey (AWS says: AccessDenied: because of AccessDenied, request ID REQ1)"},
		{"s3:GetBucketLocation", "arn:aws:s3:::writer-sample", refused(403, ""), ErrAccessDenied,
			"access denied: s3:GetBucketLocation on arn:aws:s3:::writer-sample: check the identity's policy, the bucket's policy, and its owner (AWS says: HTTP status 403 Forbidden, request ID REQ1)"},
		{"s3:PutObject", object, refused(404, "NoSuchBucket"), ErrNoSuchBucket,
			`no such bucket: "writer-sample" (AWS says: NoSuchBucket: because of NoSuchBucket, request ID REQ1)`},
		{"s3:PutObject", object, refused(403, "SignatureDoesNotMatch"), ErrCredentials,
			"credentials refused: the secret access key is not that of the access key ID (AWS says: SignatureDoesNotMatch: because of SignatureDoesNotMatch, request ID REQ1)"},
		{"s3:PutObject", object, refused(403, "InvalidAccessKeyId"), ErrCredentials,
			"credentials refused: the access key ID is not known (AWS says: InvalidAccessKeyId: because of InvalidAccessKeyId, request ID REQ1)"},
		{"s3:PutObject", object, signing(refusedBySTS("AccessDenied")), ErrAccessDenied,
			"access denied: sts:AssumeRole on the role: check the role's trust policy, its external ID, and the right of the base identity to sts:AssumeRole (AWS says: AccessDenied: because of AccessDenied, request ID REQ1)"},
		{"s3:PutObject", object, signing(errors.New("no keys")), ErrCredentials,
			"credentials refused: none could be had (get identity: get credentials: no keys)"},
		{"s3:PutObject", object, cut(), nil,
			"s3:PutObject on arn:aws:s3:::writer-sample/exports/*: unexpected EOF"},
	}
	for _, test := range tests {
		err := Explain(test.action, test.resource, test.err)
		if err.Error() != test.want {
			t.Errorf("got  %v\nwant %s", err, test.want)
		}
		if test.kind != nil && !errors.Is(err, test.kind) {
			t.Errorf("%v is not %v", err, test.kind)
		}
		var op *smithy.OperationError
		if !errors.As(err, &op) {
			t.Errorf("%v has lost its cause", err)
		}
		if again := Explain("other", "other", signing(err)); again != err {
			t.Errorf("explained twice: %v", again)
		}
	}
}
