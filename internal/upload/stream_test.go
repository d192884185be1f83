package upload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func TestSizes(t *testing.T) {
	for _, size := range []int{0, 1, 15, 16, 17, 63, 64, 127, 128, 129, 143, 144, 256, 257, 1000, 5000, 20000} {
		for _, mode := range []string{"growing", "equal", "known"} {
			t.Run(fmt.Sprintf("%s/%d", mode, size), func(t *testing.T) {
				b := newBucket()
				e := b.engine(func(c *Config) {
					if mode == "equal" {
						c.PartSize = 500
					}
				})
				o := Object{Key: "a/b", Size: -1}
				if mode == "known" {
					o.Size = int64(size)
				}
				body := data(size)
				a := admit(t, e)
				s := e.Open(t.Context(), a, o)
				if _, err := s.ReadFrom(iotest.OneByteReader(bytes.NewReader(body))); err != nil {
					t.Fatal(err)
				}
				p, err := s.Finish()
				if err != nil {
					t.Fatal(err)
				}
				if _, visible := b.object("a/b"); visible {
					t.Fatal("visible before the commit")
				}
				res, err := p.Commit(t.Context())
				a.Release()
				if err != nil || res.ETag == "" || res.State != StateCommitted {
					t.Fatalf("Commit: %+v, %v", res, err)
				}
				wantObject(t, b, "a/b", body)
				first := int(small.basePart)
				if mode == "equal" {
					first = 500
				}
				if single := b.counts[opPut] == 1; single != (size <= first) {
					t.Errorf("requests: %v", b.requests)
				}
				if p.Size != int64(size) || p.CRC64NVME != checksumOf(body) || max(1, b.counts[opPart]) != p.Parts {
					t.Errorf("pending: size %d, checksum %s, %d parts", p.Size, p.CRC64NVME, p.Parts)
				}
				atRest(t, e)
			})
		}
	}
}

func TestEqualPartsAreEqual(t *testing.T) {
	b := newBucket()
	e := b.engine(func(c *Config) { c.PartSize = 100; c.Memory = 300 })
	b.before = func(op string, _ int) error {
		if op == opComplete {
			for n, body := range b.uploads["upload-1"].parts {
				if len(body) != 100 && n != 11 {
					t.Errorf("part %d has %d bytes", n, len(body))
				}
			}
		}
		return nil
	}
	if _, err := deliver(t.Context(), e, "k", data(1001)); err != nil {
		t.Fatal(err)
	}
	atRest(t, e)
}

func TestLastPartProvesTheEnd(t *testing.T) {
	limits := small
	limits.maxParts, limits.growth = 3, 1<<40
	read := func(s *Stream, b []byte) error { _, err := s.ReadFrom(bytes.NewReader(b)); return err }
	write := func(s *Stream, b []byte) error { _, err := s.Write(b); return err }
	for name, feed := range map[string]func(*Stream, []byte) error{"ReadFrom": read, "Write": write} {
		for _, size := range []int{3 * 128, 3*128 + 1} {
			t.Run(fmt.Sprint(name, size), func(t *testing.T) {
				b := newBucket()
				e := newEngine(Config{Client: b, Bucket: "b", Memory: 4096, Logger: quiet()}, limits, hasty)
				a := admit(t, e)
				s := e.Open(t.Context(), a, Object{Key: "k"})
				err := feed(s, data(size))
				if size == 3*128 {
					if err != nil {
						t.Fatal(err)
					}
					commit(t, s)
				} else {
					if err == nil || !strings.Contains(err.Error(), "does not fit into 3 parts") {
						t.Fatalf("error %v", err)
					}
					if o := s.Abort(); o != nil {
						t.Errorf("orphan %v", o)
					}
				}
				a.Release()
				if ids := b.open(); ids != nil {
					t.Errorf("open uploads %v", ids)
				}
				atRest(t, e)
			})
		}
	}
}

// The edge of S3's real number of parts, in tiny ones: an object that fits is
// complete, one byte more is proof enough that there is more.
func TestTenThousandParts(t *testing.T) {
	const size = 10_000 * 16
	body := data(size + 1000)
	limits := small
	limits.minPart, limits.basePart, limits.maxParts, limits.growth = 16, 16, 10_000, 1<<40
	for name, change := range map[string]func(*Config, *Object, int64){
		"growing": func(*Config, *Object, int64) {},
		"equal":   func(c *Config, _ *Object, _ int64) { c.PartSize = 16 },
		"known":   func(c *Config, o *Object, n int64) { c.PartSize, o.Size = 16, n },
	} {
		for _, more := range []int{0, 1000} {
			t.Run(fmt.Sprint(name, "/", size+more), func(t *testing.T) {
				b := newBucket()
				b.minPart = 16
				cfg := Config{Client: b, Bucket: "b", Memory: 4096, Logger: quiet()}
				o := Object{Key: "k"}
				change(&cfg, &o, int64(size+more))
				e := newEngine(cfg, limits, hasty)
				a := admit(t, e)
				s := e.Open(t.Context(), a, o)
				src := bytes.NewReader(body[:size+more])
				_, err := s.ReadFrom(src)
				if more == 0 {
					if err != nil {
						t.Fatal(err)
					}
					p, err := s.Finish()
					if err != nil {
						t.Fatal(err)
					}
					if p.Parts != 10_000 {
						t.Errorf("%d parts", p.Parts)
					}
					if _, err := p.Commit(t.Context()); err != nil {
						t.Fatal(err)
					}
					wantObject(t, b, "k", body[:size])
				} else {
					if err == nil || !strings.Contains(err.Error(), "does not fit into 10000 parts") {
						t.Errorf("error %v", err)
					}
					if _, again := s.Finish(); again == nil || again.Error() != err.Error() {
						t.Errorf("Finish: %v", again)
					}
					if _, visible := b.object("k"); visible {
						t.Error("visible")
					}
					want := size + 1
					if name == "known" { // that it will not fit, too
						want = 0
					}
					if read := size + more - src.Len(); read != want || want == 0 && len(b.requests) > 0 {
						t.Errorf("%d bytes were read in %d requests, want %d", read, len(b.requests), want)
					}
				}
				a.Release()
				if ids := b.open(); ids != nil {
					t.Errorf("open uploads %v", ids)
				}
				atRest(t, e)
			})
		}
	}
}

func TestKnownSize(t *testing.T) {
	b := newBucket()
	e := b.engine()
	a := admit(t, e)
	defer a.Release()
	s := e.Open(t.Context(), a, Object{Key: "k", Size: 2048*50 + 1})
	if _, err := s.Write([]byte("x")); err == nil || !strings.Contains(err.Error(), "does not fit") {
		t.Errorf("too large for the limits: %v", err)
	}
	s.Abort()
	if len(b.requests) > 0 {
		t.Errorf("requests %v", b.requests)
	}
	for size, want := range map[int]string{9: "has 9 bytes, not the 10", 11: "more than the 10 bytes"} {
		s := e.Open(t.Context(), a, Object{Key: "k", Size: 10})
		_, err := s.ReadFrom(bytes.NewReader(data(size)))
		if err == nil {
			_, err = s.Finish()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d bytes: %v", size, err)
		}
		s.Abort()
	}
}

func TestReadFromFollowsReaderRules(t *testing.T) {
	boom := errors.New("boom")
	tests := map[string]struct {
		r    io.Reader
		want string // of the error; "" none
		n    int64
	}{
		"data with EOF":   {iotest.DataErrReader(strings.NewReader("abc")), "", 3},
		"data with error": {iotest.DataErrReader(io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(boom))), "boom", 3},
		"unexpected EOF":  {iotest.ErrReader(io.ErrUnexpectedEOF), "unexpected EOF", 0},
		"no progress":     {readerFunc(func([]byte) (int, error) { return 0, nil }), io.ErrNoProgress.Error(), 0},
		"panic":           {readerFunc(func([]byte) (int, error) { panic("at the disco") }), "source panicked in Read: at the disco", 0},
		"negative count":  {readerFunc(func([]byte) (int, error) { return -1, nil }), "count of -1", 0},
		"count too large": {readerFunc(func(p []byte) (int, error) { return len(p) + 1, nil }), "from a Read of 16 bytes", 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBucket()
			e := b.engine()
			a := admit(t, e)
			s := e.Open(t.Context(), a, Object{Key: "k"})
			n, err := s.ReadFrom(test.r)
			if n != test.n {
				t.Errorf("n = %d, want %d", n, test.n)
			}
			if test.want == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			if _, ferr := s.Finish(); (ferr == nil) != (err == nil) {
				t.Errorf("Finish after %v: %v", err, ferr)
			} else if err != nil && ferr.Error() != err.Error() {
				t.Errorf("Finish: %v, want the first error", ferr)
			}
			a.Release()
			if len(b.requests) != 0 {
				t.Errorf("requests %v", b.requests)
			}
		})
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A Read that is stuck keeps its page for itself, whatever happens meanwhile, and
// nobody waits for it.
func TestStuckReadKeepsItsPage(t *testing.T) {
	b := newBucket()
	e := b.engine()
	inside, let := make(chan []byte), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	a := admit(t, e)
	s := e.Open(ctx, a, Object{Key: "stuck"})
	if _, err := s.Write(data(300)); err != nil {
		t.Fatal(err)
	}
	returned := make(chan struct{})
	go func() {
		page := <-inside
		cancel()
		<-let
		for i := range page {
			page[i] = 0xEE // a late writer
		}
		close(returned)
	}()
	_, err := s.ReadFrom(readerFunc(func(p []byte) (int, error) {
		inside <- p
		<-returned
		return len(p), nil
	}))
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("ReadFrom: %v", err)
	}
	if o := s.Abort(); o != nil {
		t.Errorf("orphan %v", o)
	}
	a.Release()
	wantUnharmed(t, b, e, func() { close(let); <-returned })
}

func TestCancelEndsEverything(t *testing.T) {
	for _, op := range []string{opCreate, opPart} {
		t.Run(op, func(t *testing.T) {
			b := newBucket()
			ctx, cancel := context.WithCancelCause(t.Context())
			reason := errors.New("enough")
			b.onRequest = func(ctx context.Context, got string) error {
				if got != op {
					return nil
				}
				cancel(reason)
				<-ctx.Done()
				return ctx.Err()
			}
			e := b.engine()
			a := admit(t, e)
			s := e.Open(ctx, a, Object{Key: "k"})
			_, err := s.ReadFrom(zeros{})
			if !errors.Is(err, context.Canceled) || !errors.Is(err, reason) {
				t.Errorf("error %v", err)
			}
			s.Abort()
			a.Release()
			if ids := b.open(); ids != nil {
				t.Errorf("open uploads %v", ids)
			}
			atRest(t, e)
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// The first fatal error ends the parts beside it, and is the one reported.
func TestFirstFatalErrorWins(t *testing.T) {
	b := newBucket()
	var parts atomic.Int32
	b.onRequest = func(ctx context.Context, op string) error {
		if op == opPart && parts.Add(1) > 1 {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	b.before = func(op string, n int) error {
		if op == opPart {
			return refused(403, "AccessDenied")
		}
		return nil
	}
	e := b.engine()
	a := admit(t, e)
	s := e.Open(t.Context(), a, Object{Key: "k"})
	_, err := s.ReadFrom(zeros{})
	if !errors.Is(err, ErrAccessDenied) || errors.Is(err, context.Canceled) {
		t.Errorf("ReadFrom: %v", err)
	}
	if _, ferr := s.Finish(); ferr == nil || ferr.Error() != err.Error() {
		t.Errorf("Finish: %v", ferr)
	}
	if s.Abort() != nil || b.open() != nil {
		t.Error("something is left")
	}
	a.Release()
	atRest(t, e)
}

func TestAbortInterruptsWrite(t *testing.T) {
	b := newBucket()
	b.onRequest = func(ctx context.Context, op string) error {
		if op == opPart {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	e := b.engine()
	a := admit(t, e)
	s := e.Open(t.Context(), a, Object{Key: "k"})
	done := make(chan error)
	go func() { _, err := s.Write(data(100_000)); done <- err }()
	waitFor(t, func() bool { return b.count(opCreate) == 1 })
	if o := s.Abort(); o != nil {
		t.Errorf("orphan %v", o)
	}
	if err := <-done; !errors.Is(err, errAborted) {
		t.Errorf("Write: %v", err)
	}
	a.Release()
	atRest(t, e)
}

func TestPanicInSentFailsTheObject(t *testing.T) {
	b := newBucket()
	e := b.engine()
	a := admit(t, e)
	s := e.Open(t.Context(), a, Object{Key: "k", Sent: func(int64) { panic("oh") }})
	s.Write(data(1000))
	if _, err := s.Finish(); err == nil || !strings.Contains(err.Error(), "panic while sending: oh") {
		t.Errorf("error %v", err)
	}
	a.Release()
	if b.open() != nil {
		t.Error("upload left open")
	}
	atRest(t, e)
}

func TestDryRun(t *testing.T) {
	b := newBucket()
	e := b.engine(func(c *Config) { c.DryRun = true })
	a := admit(t, e)
	body := data(5000)
	s := e.Open(t.Context(), a, Object{Key: "k"})
	if _, err := s.Write(body); err != nil {
		t.Fatal(err)
	}
	p, err := s.Finish()
	if err != nil {
		t.Fatal(err)
	}
	res, err := p.Commit(t.Context())
	a.Release()
	if err != nil || res.CRC64NVME != checksumOf(body) || p.Size != 5000 || p.Parts < 2 || len(b.requests) > 0 {
		t.Errorf("%+v, %v, size %d, %d parts, requests %v", res, err, p.Size, p.Parts, b.requests)
	}
	atRest(t, e)
}

func TestObjectInput(t *testing.T) {
	b := newBucket()
	e := b.engine(func(c *Config) { c.Owner = "123456789012" })
	a := admit(t, e)
	defer a.Release()
	for _, size := range []int{10, 1000} {
		key := fmt.Sprint(size)
		var sent atomic.Int64
		s := e.Open(t.Context(), a, Object{Key: key, ContentType: "text/csv", Sent: func(n int64) { sent.Add(n) },
			Input: func(in *s3.CreateMultipartUploadInput) {
				if *in.ContentType != "text/csv" {
					t.Errorf("Content-Type %q", *in.ContentType)
				}
				in.Metadata = map[string]string{"run": "7"}
			}})
		s.Write(data(size))
		p, err := s.Finish()
		if err != nil {
			t.Fatal(err)
		}
		if size > 128 {
			in := b.uploads["upload-1"].in
			if in.Metadata["run"] != "7" || *in.ContentType != "text/csv" || *in.ExpectedBucketOwner != "123456789012" {
				t.Errorf("Create: %+v", in)
			}
		}
		if _, err := p.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if sent.Load() != int64(size) {
			t.Errorf("Sent was told of %d bytes, not %d", sent.Load(), size)
		}
	}
	if in := b.puts["10"]; in.Metadata["run"] != "7" || *in.ContentType != "text/csv" || *in.ExpectedBucketOwner != "123456789012" {
		t.Errorf("Put: %+v", in)
	}
	for want, f := range map[string]func(*s3.CreateMultipartUploadInput){
		"may not set Bucket, Key": func(in *s3.CreateMultipartUploadInput) { in.Bucket, in.Key = aws.String("x"), aws.String("y") },
		"may not set Checksum":    func(in *s3.CreateMultipartUploadInput) { in.ChecksumAlgorithm = "SHA256" },
		"panicked: oh":            func(in *s3.CreateMultipartUploadInput) { panic("oh") },
	} {
		s := e.Open(t.Context(), a, Object{Key: "k", Input: f})
		if _, err := s.Finish(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func waitFor(t *testing.T, cond func() bool) {
	t.Helper()
	for range 1_000_000 {
		if cond() {
			return
		}
		yield()
	}
	t.Fatal("condition never came true")
}

// While a server that is far away has yet to open the upload, parts are filled for
// it, in a share of the memory, but only a few as long as it may be near; once the
// upload is open, no more of them than can be sent.
func TestPartsAreFilledBeforeTheUploadIsOpen(t *testing.T) {
	b := newBucket()
	const sent = 20
	opened, let := make(chan struct{}), make(chan struct{}, sent)
	b.onRequest = func(_ context.Context, op string) error {
		switch op {
		case opCreate:
			<-opened
		case opPart:
			<-let
		}
		return nil
	}
	e := b.engine(func(c *Config) { c.Concurrency = 2; c.Memory = 24 * small.basePart; c.PartSize = small.basePart })
	const early = 8 // a third
	a := admit(t, e)
	s := e.Open(t.Context(), a, Object{Key: "k"})
	body := data(int(small.basePart) * 40)
	var taken atomic.Int64
	done := make(chan error)
	go func() {
		r := bytes.NewReader(body)
		_, err := s.ReadFrom(readerFunc(func(p []byte) (int, error) {
			n, err := r.Read(p)
			taken.Add(int64(n))
			return n, err
		}))
		done <- err
	}()
	linger := func() {
		for range 1000 {
			yield()
		}
	}
	waitFor(t, func() bool { return taken.Load() >= early*small.basePart })
	linger()
	if n := taken.Load(); n != early*small.basePart {
		t.Errorf("%d bytes were taken before the upload is open, want %d parts", n, early)
	}
	close(opened)
	for range sent {
		let <- struct{}{}
	}
	const most = sent + 2 + queuedParts + 1 // in flight, in the backlog, full
	waitFor(t, func() bool { return len(let) == 0 && e.Stats().InFlight == 2 && s.backlog.full() })
	linger()
	if n := taken.Load(); n > most*small.basePart {
		t.Errorf("%d bytes were taken when %d parts were sent", n, sent)
	}
	close(let)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	commit(t, s)
	a.Release()
	wantObject(t, b, "k", body)
	atRest(t, e)
}
