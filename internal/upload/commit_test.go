package upload

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptrace"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/smithy-go"
)

// What a commit means when its answers are odd: what is reported, what is in
// the bucket, and what is left there.
func TestCommitAnswers(t *testing.T) {
	exists := func(b *bucket) { b.objects["k"] = []byte("older") }
	tests := []struct {
		name          string
		op            string
		before, after []error // of the n-th request
		set           func(*bucket)
		noOverwrite   bool
		want          error // nil: committed
		visible       bool
		open          int // uploads left
	}{
		{name: "plain", op: opComplete, visible: true},
		{name: "plain", op: opPut, visible: true},
		{name: "no ETag, then again", op: opComplete, after: []error{errBlank}, visible: true},
		{name: "no ETag, then again", op: opPut, after: []error{errBlank}, visible: true},
		{name: "no ETag, ever", op: opComplete, after: repeat(errBlank, 10_000), want: ErrCommitUnknown, visible: true},
		{name: "no ETag, ever", op: opPut, after: repeat(errBlank, 10_000), want: ErrCommitUnknown, visible: true},
		{name: "cut answer, idempotent server", op: opComplete, after: []error{cut(), cut()}, visible: true},
		{name: "cut answer, forgetful server", op: opComplete, after: []error{cut()}, set: func(b *bucket) { b.forgets = true }, want: ErrCommitUnknown, visible: true},
		{name: "cut answer", op: opPut, after: []error{cut(), cut()}, visible: true},
		{name: "cut request", op: opComplete, before: []error{cut(), cut()}, visible: true},
		{name: "500 once", op: opComplete, before: []error{refused(500, "InternalError")}, visible: true},
		{name: "503 once", op: opPut, before: []error{refused(503, "SlowDown")}, visible: true},
		{name: "500 after it happened, forgetful server", op: opComplete, after: []error{refused(500, "InternalError")}, set: func(b *bucket) { b.forgets = true }, want: ErrCommitUnknown, visible: true},
		{name: "500, then denied", op: opPut, before: []error{refused(500, ""), refused(403, "AccessDenied")}, want: ErrCommitUnknown},
		{name: "500, then denied", op: opComplete, before: []error{refused(500, ""), refused(403, "AccessDenied")}, want: ErrCommitUnknown, open: 1},
		{name: "denied", op: opPut, before: []error{refused(403, "AccessDenied")}, want: ErrAccessDenied},
		{name: "denied", op: opComplete, before: []error{refused(403, "AccessDenied")}, want: ErrAccessDenied},
		{name: "no such upload at first", op: opComplete, before: []error{refused(404, "NoSuchUpload")}, want: errAny},
		{name: "exists", op: opComplete, set: exists, noOverwrite: true, want: ErrExists, visible: true},
		{name: "exists", op: opPut, set: exists, noOverwrite: true, want: ErrExists, visible: true},
		{name: "own put, answer lost, exists", op: opPut, after: []error{cut()}, noOverwrite: true, want: ErrCommitUnknown, visible: true},
		{name: "request lost, somebody else's exists", op: opComplete, before: []error{cut()}, set: exists, noOverwrite: true, want: ErrExists, visible: true},
		{name: "own complete, answer lost, exists", op: opComplete, before: []error{nil, refused(412, "PreconditionFailed")}, after: []error{cut()}, noOverwrite: true, want: ErrCommitUnknown, visible: true},
		{name: "conflict", op: opPut, before: []error{refused(409, "ConditionalRequestConflict")}, noOverwrite: true, visible: true},
		{name: "conflict", op: opComplete, before: []error{refused(409, "ConditionalRequestConflict")}, noOverwrite: true, want: errAny},
		{name: "operation aborted", op: opComplete, before: []error{refused(409, "OperationAborted")}, visible: true},
		{name: "throttled without end", op: opPut, before: repeat(refused(429, "TooManyRequests"), 10_000), want: errAny},
		{name: "wrong checksum reported", op: opPut, after: []error{fmt.Errorf("%w: x", errChecksum)}, visible: true},
	}
	for _, test := range tests {
		t.Run(test.op+"/"+test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBucket()
				b.before, b.after = nth(test.op, test.before), nth(test.op, test.after)
				if test.set != nil {
					test.set(b)
				}
				size := 10
				if test.op == opComplete {
					size = 1000
				}
				e := b.engine(func(c *Config) { c.NoOverwrite = test.noOverwrite })
				e.pace = defaultPace
				res, err := deliver(t.Context(), e, "k", data(size))
				switch {
				case test.want == nil && (err != nil || res.ETag == "" || res.State != StateCommitted):
					t.Errorf("got %+v, %v", res, err)
				case test.want == errAny && (err == nil || errors.Is(err, ErrCommitUnknown) || res.State != StatePending):
					t.Errorf("got %+v, %v", res, err)
				case test.want != nil && test.want != errAny && !errors.Is(err, test.want):
					t.Errorf("got %v, want %v", err, test.want)
				case test.want == ErrCommitUnknown && (b.count(opAbort) > 0 || res.State != StateUnknown):
					t.Errorf("%d aborts, %+v", b.count(opAbort), res)
				}
				if body, ok := b.object("k"); ok != test.visible {
					t.Errorf("visible: %v", ok)
				} else if ok && test.want == nil && len(body) != size {
					t.Errorf("%d bytes are visible", len(body))
				}
				if open := len(b.open()); open != test.open {
					t.Errorf("%d uploads are open", open)
				}
				atRest(t, e)
			})
		})
	}
}

// errAny stands for a definite failure of no special kind.
var errAny = errors.New("any")

func repeat(err error, n int) (errs []error) {
	for range n {
		errs = append(errs, err)
	}
	return errs
}

// nth answers the n-th request for op with errs[n-1].
func nth(op string, errs []error) func(string, int) error {
	return func(got string, n int) error {
		if got != op || n > len(errs) {
			return nil
		}
		return errs[n-1]
	}
}

func TestUnknownCommitSaysWhereToLook(t *testing.T) {
	b := newBucket()
	b.forgets = true
	b.after = nth(opComplete, []error{cut()})
	body := data(1000)
	_, err := deliver(t.Context(), b.engine(), "k", body)
	want := "outcome of the commit is unknown: s3://writer-sample/k may be there (1000 bytes, CRC-64/NVME " + checksumOf(body) +
		", upload ID upload-1): CompleteMultipartUpload of s3://writer-sample/k: AWS says: NoSuchUpload: because of NoSuchUpload, request ID REQ1"
	var unknown *UnknownCommit
	var refusal smithy.APIError
	if !errors.As(err, &unknown) || unknown.UploadID != "upload-1" || !errors.As(err, &refusal) || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// A cancelled context stops a commit before its first request and not after.
func TestCancelAndCommit(t *testing.T) {
	for _, op := range []string{opPut, opComplete} {
		t.Run(op, func(t *testing.T) {
			b := newBucket()
			e := b.engine()
			ctx, cancel := context.WithCancel(t.Context())
			b.after = func(got string, n int) error {
				if got == op {
					cancel()
					if n == 1 {
						return cut()
					}
				}
				return nil
			}
			body := data(map[string]int{opPut: 10, opComplete: 1000}[op])
			if res, err := deliver(ctx, e, "k", body); err != nil || res.State != StateCommitted {
				t.Errorf("%+v, %v", res, err)
			}
			a := admit(t, e)
			s := e.Open(t.Context(), a, Object{Key: "late"})
			s.Write(body)
			p, err := s.Finish()
			if err != nil {
				t.Fatal(err)
			}
			before := b.count(op)
			if res, err := p.Commit(ctx); !errors.Is(err, context.Canceled) || res.State != StatePending || b.count(op) != before {
				t.Errorf("%+v, %v", res, err)
			}
			if o := p.Abort(t.Context()); o != nil || b.open() != nil {
				t.Errorf("orphan %v, open %v", o, b.open())
			}
			a.Release()
			atRest(t, e)
		})
	}
}

// S3 begins to answer a Complete before it has made the object. What takes it
// longer than a request may hang is waited for, not sent again.
func TestSlowCompleteIsNotAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for begun, want := range map[bool]int{true: 1, false: 2} {
			b := newBucket()
			tries := 0
			b.onRequest = func(ctx context.Context, op string) error {
				if op != opComplete {
					return nil
				}
				if tries++; tries > 1 {
					return nil
				}
				if begun {
					httptrace.ContextClientTrace(ctx).GotFirstResponseByte()
				}
				return sleep(ctx, defaultPace.stall+30*time.Second)
			}
			e := newEngine(Config{Client: b, Bucket: "b", Memory: 4096, Concurrency: 2, Logger: quiet()}, small, defaultPace)
			if _, err := deliver(t.Context(), e, "k", data(1000)); err != nil {
				t.Fatal(err)
			}
			if tries != want {
				t.Errorf("an answer that has begun: %v: %d requests, want %d", begun, tries, want)
			}
			wantObject(t, b, "k", data(1000))
		}
	})
}

// A commit that hangs ends after its grace, with an outcome that is unknown.
func TestHungCommitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		b.onRequest = func(ctx context.Context, op string) error {
			if op == opComplete {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		e := newEngine(Config{Client: b, Bucket: "b", Memory: 4096, Logger: quiet()}, small, defaultPace)
		began := time.Now()
		_, err := deliver(t.Context(), e, "k", data(1000))
		if !errors.Is(err, ErrCommitUnknown) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if took := time.Since(began); took != 2*time.Minute {
			t.Errorf("took %v", took)
		}
		atRest(t, e)
	})
}

func TestAbortNeverHidesTheCause(t *testing.T) {
	b := newBucket()
	b.before = func(op string, n int) error {
		switch {
		case op == opPart && n == 3:
			return refused(403, "AccessDenied")
		case op == opAbort:
			return refused(403, "AbortDenied")
		}
		return nil
	}
	e := b.engine()
	a := admit(t, e)
	s := e.Open(t.Context(), a, Object{Key: "dir/k"})
	s.Write(data(5000))
	_, err := s.Finish()
	want := "access denied: s3:PutObject on arn:aws:s3:::writer-sample/dir/*: check the identity's policy, the bucket's policy, its owner, and kms:GenerateDataKey" +
		" (AWS says: AccessDenied: because of AccessDenied, request ID REQ1)"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	left := s.Abort()
	if len(left) != 1 {
		t.Fatalf("orphans %+v", left)
	}
	if o := left[0]; o.UploadID != "upload-1" || o.Key != "dir/k" || !errors.Is(o.Err, ErrAccessDenied) || !strings.Contains(o.Err.Error(), "s3:AbortMultipartUpload") {
		t.Errorf("orphan %+v", o)
	}
	if again := s.Abort(); !slices.Equal(again, left) {
		t.Errorf("a second Abort gives %v", again)
	}
	a.Release()
	atRest(t, e)
}

// An upload whose ID was lost is named as such, whether or not another was made.
func TestLostCreateIsAnOrphan(t *testing.T) {
	for _, lost := range []int{1, 10} {
		b := newBucket()
		b.after = nth(opCreate, repeat(cut(), lost))
		e := b.engine()
		a := admit(t, e)
		s := e.Open(t.Context(), a, Object{Key: "k"})
		s.Write(data(1000))
		p, err := s.Finish()
		if lost == 10 {
			if err == nil {
				t.Fatal("no error")
			}
			if left := s.Abort(); len(left) != 1 || left[0].UploadID != "" {
				t.Errorf("orphans %+v", left)
			}
			a.Release()
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left := p.Leftover(); len(left) != 1 || left[0].UploadID != "" {
			t.Errorf("leftover %+v", left)
		}
		a.Release()
		atRest(t, e)
	}
}

func TestStage(t *testing.T) {
	for _, size := range []int{0, 10, 100} {
		for _, staged := range []bool{true, false} {
			b := newBucket()
			e := b.engine()
			a := admit(t, e)
			s := e.Open(t.Context(), a, Object{Key: "k"})
			s.Write(data(size))
			p, err := s.Finish()
			if err != nil {
				t.Fatal(err)
			}
			a.Release()
			if err := p.Stage(t.Context()); err != nil {
				t.Fatal(err)
			}
			if p.Held() != 0 || e.Stats().Charged != 0 {
				t.Errorf("size %d: holds %d bytes, %+v", size, p.Held(), e.Stats())
			}
			if !staged {
				if o := p.Abort(t.Context()); o != nil || b.open() != nil {
					t.Errorf("orphan %v", o)
				}
				continue
			}
			if _, err := p.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			if b.count(opPut) != 0 || b.count(opPart) != 1 {
				t.Errorf("requests %v", b.requests)
			}
			wantObject(t, b, "k", data(size))
			atRest(t, e)
		}
	}
}

// A failed Stage leaves the body where it was.
func TestFailedStage(t *testing.T) {
	b := newBucket()
	b.before = nth(opPart, []error{refused(403, "AccessDenied")})
	e := b.engine()
	a := admit(t, e)
	s := e.Open(t.Context(), a, Object{Key: "k"})
	s.Write(data(10))
	p, err := s.Finish()
	if err != nil {
		t.Fatal(err)
	}
	a.Release()
	if err := p.Stage(t.Context()); !errors.Is(err, ErrAccessDenied) {
		t.Errorf("Stage: %v", err)
	}
	if _, err := p.Commit(t.Context()); err != nil || b.count(opPut) != 1 || b.open() != nil {
		t.Errorf("Commit: %v, %v", err, b.requests)
	}
	atRest(t, e)
}

// What a Stage that failed has left is not forgotten when the next one fails, or
// does not, and removed, or named, in the end.
func TestStagedTwice(t *testing.T) {
	for _, test := range []struct {
		again  bool // it fails again
		denied int  // aborts that are
		left   []string
	}{
		{false, 1, nil},
		{true, 1, nil},
		{true, 2, nil},
		{true, 100, []string{"upload-1", "upload-2"}},
	} {
		again := test.again
		b := newBucket()
		b.before = func(op string, n int) error {
			if op == opPart && (n == 1 || again) || op == opAbort && n <= test.denied {
				return refused(403, "AccessDenied")
			}
			return nil
		}
		p, err := finish(t.Context(), b.engine(), "k", data(10))
		if err != nil {
			t.Fatal(err)
		}
		_ = p.Stage(t.Context())
		if err := p.Stage(t.Context()); (err != nil) != again {
			t.Fatal(err)
		}
		var named []string
		for _, o := range p.Abort(t.Context()) {
			named = append(named, o.UploadID)
		}
		if open := b.open(); !slices.Equal(named, test.left) || len(open) != len(test.left) {
			t.Errorf("again %v, %d aborts denied: the uploads %v are open, %v are named", again, test.denied, open, named)
		}
	}
}

// A commit that S3 itself has refused for its pace has not happened: it is the
// caller's to end, and leaves nobody in doubt.
func TestThrottledCommitIsEndedByItsCaller(t *testing.T) {
	for _, test := range []struct {
		code string
		want error
		at   time.Duration // of the end, after the caller's
	}{
		{"SlowDown", context.Canceled, 0},
		{"", ErrCommitUnknown, defaultPace.commitGrace}, // a proxy's
	} {
		for _, size := range []int{10, 1000} {
			t.Run(fmt.Sprint(test.code, " ", size), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBucket()
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					var at time.Time
					b.before = func(op string, n int) error {
						if op != opPut && op != opComplete {
							return nil
						}
						if n == 3 {
							at = time.Now()
							cancel()
						}
						return refused(503, test.code)
					}
					e := newEngine(Config{Client: b, Bucket: "b", Memory: 4096, Logger: quiet()}, small, defaultPace)
					p, err := finish(t.Context(), e, "k", data(size))
					if err != nil {
						t.Fatal(err)
					}
					ctx, stop := Ending(ctx)
					defer stop()
					res, err := p.Commit(ctx)
					if !errors.Is(err, test.want) || (res.State == StateUnknown) != (test.want == ErrCommitUnknown) {
						t.Errorf("got %v, %v; want %v", res.State, err, test.want)
					}
					if took := time.Since(at); took > test.at {
						t.Errorf("it went on for %v", took)
					}
					p.Abort(t.Context())
					atRest(t, e)
				})
			})
		}
	}
}
