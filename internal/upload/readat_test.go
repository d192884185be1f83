package upload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

type readerAtFunc func(p []byte, off int64) (int, error)

func (f readerAtFunc) ReadAt(p []byte, off int64) (int, error) { return f(p, off) }

func TestReadRange(t *testing.T) {
	const before, behind = 33, 7
	for _, size := range []int{1, 15, 16, 17, 127, 128, 129, 143, 144, 256, 257, 1000, 5000, 20000} {
		for _, mode := range []string{"growing", "equal", "tight", "dry"} {
			if mode == "tight" && size > int(small.basePart)*small.maxParts {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d", mode, size), func(t *testing.T) {
				b := newBucket()
				e := b.engine(func(c *Config) {
					switch mode {
					case "equal":
						c.PartSize = 500
					case "tight":
						c.Memory = 256
					case "dry":
						c.DryRun = true
					}
				})
				all := data(before + size + behind)
				body := all[before : before+size]
				var sent atomic.Int64
				a := admit(t, e)
				s := e.Open(t.Context(), a, Object{Key: "a/b", Sent: func(n int64) { sent.Add(n) }})
				if err := s.ReadRange(bytes.NewReader(all), before, int64(size)); err != nil {
					t.Fatal(err)
				}
				p, err := s.Finish()
				if err != nil {
					t.Fatal(err)
				}
				res, err := p.Commit(t.Context())
				a.Release()
				if err != nil || res.CRC64NVME != checksumOf(body) || p.Size != int64(size) {
					t.Fatalf("Commit: %+v, %v; size %d, want checksum %s", res, err, p.Size, checksumOf(body))
				}
				atRest(t, e)
				if mode == "dry" {
					if len(b.requests) > 0 {
						t.Errorf("requests %v", b.requests)
					}
					return
				}
				wantObject(t, b, "a/b", body)
				if sent.Load() != int64(size) || max(1, b.counts[opPart]) != p.Parts {
					t.Errorf("Sent was told of %d bytes; %d parts, requests %v", sent.Load(), p.Parts, b.requests)
				}
				first := map[string]int{"growing": int(small.basePart), "equal": 500, "tight": int(small.basePart)}[mode]
				if single := b.counts[opPut] == 1; single != (size <= first) {
					t.Errorf("requests: %v", b.requests)
				}
			})
		}
	}
}

// Parts are as many as fit the limit, however large the object, and all but the
// last are of the size that the schedule has for a known size.
func TestReadRangeFitsTheLimit(t *testing.T) {
	b := newBucket()
	e := b.engine(func(c *Config) { c.Memory = 1 << 20 })
	body := data(50 * 2048)
	a := admit(t, e)
	s := e.Open(t.Context(), a, Object{Key: "k"})
	if err := s.ReadRange(bytes.NewReader(body), 0, int64(len(body))); err != nil {
		t.Fatal(err)
	}
	p, err := s.Finish()
	if err != nil {
		t.Fatal(err)
	}
	for n, part := range b.uploads["upload-1"].parts {
		if len(part) != 2048 {
			t.Errorf("part %d has %d bytes", n, len(part))
		}
	}
	if _, err := p.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.Release()
	wantObject(t, b, "k", body)
	atRest(t, e)
}

func TestReadRangeThatWillNotFit(t *testing.T) {
	for _, partSize := range []int64{0, 100} {
		b := newBucket()
		e := b.engine(func(c *Config) { c.PartSize = partSize })
		a := admit(t, e)
		s := e.Open(t.Context(), a, Object{Key: "k"})
		err := s.ReadRange(readerAtFunc(func([]byte, int64) (int, error) {
			t.Error("it was read")
			return 0, io.EOF
		}), 0, 2048*50+1)
		if err == nil || !strings.Contains(err.Error(), "does not fit into 50 parts") {
			t.Errorf("error %v", err)
		}
		if _, again := s.Finish(); again == nil || again.Error() != err.Error() {
			t.Errorf("Finish: %v", again)
		}
		a.Release()
		if len(b.requests) > 0 {
			t.Errorf("requests %v", b.requests)
		}
		atRest(t, e)
	}
}

// Several parts are read at once, and one is sent while others are read.
func TestReadsOverlap(t *testing.T) {
	b := newBucket()
	sending := make(chan struct{})
	begin := sync.OnceFunc(func() { close(sending) })
	b.onRequest = func(_ context.Context, op string) error {
		if op == opPart {
			begin()
		}
		return nil
	}
	e := b.engine(func(c *Config) { c.Concurrency = 1 })
	body := data(128 * 8)
	first := newBarrier(parallelReads)
	a := admit(t, e)
	s := e.Open(t.Context(), a, Object{Key: "k"})
	err := s.ReadRange(readerAtFunc(func(p []byte, off int64) (int, error) {
		switch {
		case off%128 != 0:
		case off < 128*parallelReads:
			first.wait()
		default:
			<-sending
		}
		return bytes.NewReader(body).ReadAt(p, off)
	}), 0, int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	commit(t, s)
	a.Release()
	wantObject(t, b, "k", body)
	atRest(t, e)
}

// barrier lets nobody pass before n are there.
type barrier struct {
	there atomic.Int32
	n     int32
	open  chan struct{}
}

func newBarrier(n int32) *barrier { return &barrier{n: n, open: make(chan struct{})} }

func (b *barrier) wait() {
	if b.there.Add(1) == b.n {
		close(b.open)
	}
	<-b.open
}

// What is read ahead is no more than can be used: the parts that are read and
// one that waits, beside those that are sent.
func TestReadsDoNotRunAhead(t *testing.T) {
	b := newBucket()
	let := make(chan struct{})
	b.onRequest = func(_ context.Context, op string) error {
		if op == opPart {
			<-let
		}
		return nil
	}
	e := b.engine(func(c *Config) { c.Concurrency = 2; c.Memory = 1 << 16 })
	body := data(128 * 40)
	begun := make(map[int64]bool)
	var mu sync.Mutex
	read := make(chan struct{})
	a := admit(t, e)
	s := e.Open(t.Context(), a, Object{Key: "k"})
	done := make(chan error)
	go func() {
		done <- s.ReadRange(readerAtFunc(func(p []byte, off int64) (int, error) {
			mu.Lock()
			begun[off/128] = true
			mu.Unlock()
			<-read
			return bytes.NewReader(body).ReadAt(p, off)
		}), 0, int64(len(body)))
	}()
	parts := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(begun)
	}
	linger := func() {
		for range 1000 {
			yield()
		}
	}
	waitFor(t, func() bool { return parts() >= parallelReads })
	linger()
	if n := parts(); n != parallelReads {
		t.Errorf("%d parts are read at once, want %d", n, parallelReads)
	}
	close(read)
	_, early := e.earlyParts()
	most := 2 + early + parallelReads // sent, in the backlog, read
	waitFor(t, func() bool { return e.Stats().InFlight == 2 && s.backlog.full() })
	linger()
	if n := parts(); n > most {
		t.Errorf("%d parts were begun, want at most %d", n, most)
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

// A hundred files in a budget that holds a few parts: all arrive, whatever
// order their reads end in, and the budget holds.
func TestManyRangesInOneBudget(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"growing": func(*Config) {},
		"equal":   func(c *Config) { c.PartSize = 200 },
		"tight":   func(c *Config) { c.Memory = 256 },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBucket()
			e := b.engine(func(c *Config) { c.Memory = 1024; c.Concurrency = 0 }, change)
			rng := rand.New(rand.NewPCG(5, 6))
			bodies := make([][]byte, 200)
			for i := range bodies {
				bodies[i] = data(1 + rng.IntN(2000))
			}
			var wg sync.WaitGroup
			for i, body := range bodies {
				wg.Go(func() {
					a, err := e.Admit(t.Context(), 0)
					if err != nil {
						t.Error(err)
						return
					}
					defer a.Release()
					s := e.Open(t.Context(), a, Object{Key: fmt.Sprint(i)})
					if err := s.ReadRange(bytes.NewReader(body), 0, int64(len(body))); err != nil {
						t.Error(err)
					}
					p, err := s.Finish()
					if err != nil {
						t.Error(err)
						return
					}
					if _, err := p.Commit(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			for i, body := range bodies {
				wantObject(t, b, fmt.Sprint(i), body)
			}
			atRest(t, e)
		})
	}
}

func TestReadRangeFollowsReaderAtRules(t *testing.T) {
	boom := errors.New("boom")
	for _, size := range []int{100, 1000} { // the only part, and one of many
		body := data(size)
		tests := map[string]struct {
			last func(p []byte, off int64) (int, error) // for the page with the last byte
			want string                                 // of the error; "" none
		}{
			"all with EOF":    {func(p []byte, off int64) (int, error) { return copy(p, body[off:]), io.EOF }, ""},
			"piece by piece":  {func(p []byte, off int64) (int, error) { return copy(p[:1], body[off:]), nil }, ""},
			"less with EOF":   {func(p []byte, off int64) (int, error) { return copy(p[1:], body[off:]), io.EOF }, "unexpected EOF"},
			"all with error":  {func(p []byte, off int64) (int, error) { return copy(p, body[off:]), boom }, "boom"},
			"no progress":     {func([]byte, int64) (int, error) { return 0, nil }, io.ErrNoProgress.Error()},
			"panic":           {func([]byte, int64) (int, error) { panic("at the disco") }, "source panicked in Read: at the disco"},
			"Goexit":          {func([]byte, int64) (int, error) { runtime.Goexit(); return 0, nil }, "source ended its goroutine in Read"},
			"negative count":  {func([]byte, int64) (int, error) { return -1, nil }, "count of -1"},
			"count too large": {func(p []byte, _ int64) (int, error) { return len(p) + 1, nil }, "from a Read of"},
		}
		for name, test := range tests {
			t.Run(fmt.Sprint(name, size), func(t *testing.T) {
				b := newBucket()
				e := b.engine()
				a := admit(t, e)
				s := e.Open(t.Context(), a, Object{Key: "k"})
				err := s.ReadRange(readerAtFunc(func(p []byte, off int64) (int, error) {
					if off+int64(len(p)) < int64(size) {
						return copy(p, body[off:]), nil
					}
					return test.last(p, off)
				}), 0, int64(size))
				if test.want == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %v, want %q", err, test.want)
				}
				p, ferr := s.Finish()
				if (ferr == nil) != (err == nil) || err != nil && ferr.Error() != err.Error() {
					t.Errorf("Finish after %v: %v", err, ferr)
				}
				if err == nil {
					if _, err := p.Commit(t.Context()); err != nil {
						t.Error(err)
					}
					wantObject(t, b, "k", body)
				} else if _, visible := b.object("k"); visible || b.open() != nil {
					t.Errorf("visible %v, open uploads %v", visible, b.open())
				}
				a.Release()
				atRest(t, e)
			})
		}
	}
}

// ReadAts that are stuck keep their pages for themselves, whatever happens
// meanwhile, and nobody waits for them.
func TestStuckReadAtKeepsItsPage(t *testing.T) {
	for _, size := range []int{100, 128 * 8} {
		b := newBucket()
		e := b.engine()
		let := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		var inside, returned sync.WaitGroup
		stuck := min(parallelReads, (size+127)/128)
		inside.Add(stuck)
		returned.Add(stuck)
		a := admit(t, e)
		s := e.Open(ctx, a, Object{Key: "stuck"})
		go func() { inside.Wait(); cancel() }()
		err := s.ReadRange(readerAtFunc(func(p []byte, _ int64) (int, error) {
			defer returned.Done()
			inside.Done()
			<-let
			for i := range p {
				p[i] = 0xEE // a late writer
			}
			return len(p), nil
		}), 0, int64(size))
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("ReadRange: %v", err)
		}
		if o := s.Abort(); o != nil {
			t.Errorf("orphan %v", o)
		}
		a.Release()
		wantUnharmed(t, b, e, func() { close(let); returned.Wait() })
	}
}

// The first part that fails ends the others, and is the reason.
func TestReadRangeFailsAtEveryPage(t *testing.T) {
	boom := errors.New("boom")
	body := data(128*6 + 1)
	for at := int64(0); at < int64(len(body)); at += small.page {
		b := newBucket()
		e := b.engine()
		a := admit(t, e)
		s := e.Open(t.Context(), a, Object{Key: "k"})
		err := s.ReadRange(readerAtFunc(func(p []byte, off int64) (int, error) {
			if off == at {
				return 0, boom
			}
			return bytes.NewReader(body).ReadAt(p, off)
		}), 0, int64(len(body)))
		if !errors.Is(err, boom) {
			t.Errorf("page at %d: %v", at, err)
		}
		if _, err := s.Finish(); !errors.Is(err, boom) {
			t.Errorf("page at %d: Finish: %v", at, err)
		}
		a.Release()
		if _, visible := b.object("k"); visible || b.open() != nil {
			t.Errorf("page at %d: visible %v, open uploads %v", at, visible, b.open())
		}
		atRest(t, e)
	}
}

// A stream that has ended reads no more of a part, however large.
func TestCancelEndsReadRangeInAPart(t *testing.T) {
	b := newBucket()
	e := b.engine()
	ctx, cancel := context.WithCancel(t.Context())
	a := admit(t, e)
	s := e.Open(ctx, a, Object{Key: "k"})
	var reads atomic.Int32
	err := s.ReadRange(readerAtFunc(func(p []byte, _ int64) (int, error) {
		reads.Add(1)
		cancel()
		return len(p), nil
	}), 0, small.basePart)
	if !errors.Is(err, context.Canceled) || reads.Load() != 1 {
		t.Errorf("%d reads, error %v", reads.Load(), err)
	}
	s.Abort()
	a.Release()
	atRest(t, e)
}

// A refused part ends the reading, and is the reason.
func TestReadRangeEndsWithTheFirstFatalError(t *testing.T) {
	b := newBucket()
	b.before = func(op string, n int) error {
		if op == opPart && n == 2 {
			return refused(403, "AccessDenied")
		}
		return nil
	}
	e := b.engine()
	a := admit(t, e)
	s := e.Open(t.Context(), a, Object{Key: "k"})
	var read atomic.Int64
	err := s.ReadRange(readerAtFunc(func(p []byte, _ int64) (int, error) {
		clear(p)
		read.Add(int64(len(p)))
		return len(p), nil
	}), 0, 50*2048)
	if !errors.Is(err, ErrAccessDenied) || errors.Is(err, context.Canceled) {
		t.Errorf("ReadRange: %v", err)
	}
	if s.Abort() != nil || b.open() != nil {
		t.Error("something is left")
	}
	if read.Load() == 50*2048 {
		t.Error("all was read")
	}
	a.Release()
	atRest(t, e)
}
