package upload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// A thousand tables in a budget that holds a few parts: all arrive, however
// they are read, committed, and throttled, and the budget holds.
func TestThousandTablesInOneBudget(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"growing": func(*Config) {},
		"equal":   func(c *Config) { c.PartSize = 200 },
		"tight":   func(c *Config) { c.Memory = 256 },
	} {
		for _, together := range []bool{false, true} { // all commits after all tables
			t.Run(fmt.Sprint(name, together), func(t *testing.T) {
				tables := 1000
				if testing.Short() {
					tables = 200
				}
				b := newBucket()
				e := b.engine(func(c *Config) { c.Memory = 1024; c.Concurrency = 0 }, change)
				rng := rand.New(rand.NewPCG(1, 2))
				bodies := make([][]byte, tables)
				for i := range bodies {
					bodies[i] = data(16 + rng.IntN(20*16))
				}
				pending := make([]*Pending, tables)
				var wg sync.WaitGroup
				for i, body := range bodies {
					wg.Go(func() {
						p, err := finish(t.Context(), e, fmt.Sprint(i), body)
						if err != nil {
							t.Error(err)
							return
						}
						if pending[i] = p; together {
							p.Hold()
							return
						}
						if _, err := p.Commit(t.Context()); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				for i, body := range bodies {
					if together {
						if _, err := pending[i].Commit(t.Context()); err != nil {
							t.Error(err)
						}
					}
					wantObject(t, b, fmt.Sprint(i), body)
				}
				atRest(t, e)
			})
		}
	}
}

func finish(ctx context.Context, e *Engine, key string, body []byte) (*Pending, error) {
	a, err := e.Admit(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer a.Release()
	s := e.Open(ctx, a, Object{Key: key})
	if _, err := s.Write(body); err != nil {
		s.Abort()
		return nil, err
	}
	return s.Finish()
}

// Tables that wait for others to end leave finished bodies where they are, as long as
// there is memory: each was sent as an upload of three requests.
func TestBodiesStayWhereMemoryIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		e := b.engine()
		var wg sync.WaitGroup
		pending := make([]*Pending, 60) // 38 of them may be open at once
		for i := range pending {
			wg.Go(func() {
				a := admit(t, e)
				defer a.Release()
				s := e.Open(t.Context(), a, Object{Key: fmt.Sprint(i)})
				if _, err := s.Write(data(10)); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Duration(i) * time.Second) // one ends after the other
				p, err := s.Finish()
				if err != nil {
					t.Error(err)
					return
				}
				p.Hold()
				pending[i] = p
			})
		}
		wg.Wait()
		if n := b.count(opCreate); n > 0 {
			t.Errorf("%d of %d bodies were sent", n, len(pending))
		}
		for _, p := range pending {
			p.Abort(t.Context())
		}
		atRest(t, e)
	})
}

// Those who come first have bodies sent that wait in memory. When they have been
// served, those who have moved up do.
func TestWhoMovesUpMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		e := b.engine()
		var held []*Pending
		for i := range 31 { // 3968 of 4096 bytes
			p, err := finish(t.Context(), e, fmt.Sprint(i), data(128))
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, p)
		}
		defer func() {
			for _, p := range held {
				p.Abort(t.Context())
			}
			atRest(t, e)
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		admissions, failed := make(chan *Admission), make(chan error)
		for i := range mostRelief + 1 {
			streams := 2
			if i == mostRelief {
				streams = 30 // this one needs the memory of many
			}
			go func() {
				a, err := e.AdmitStreams(ctx, streams, 0)
				if err != nil {
					failed <- err
					return
				}
				admissions <- a
			}()
			synctest.Wait()
		}
		time.Sleep(2 * slowRelief) // all of them have looked for bodies that may go
		for _, p := range held {
			p.Hold()
		}
		for i := range mostRelief + 1 {
			select {
			case a := <-admissions:
				a.Release()
			case err := <-failed:
				t.Errorf("number %d waits in vain: %v", i+1, err)
			}
		}
	})
}

// The real sizes: 1,000 tables of 1 to 20 MiB in 64 MiB.
func TestBudgetAtFullSize(t *testing.T) {
	tables := 1000
	if testing.Short() {
		tables = 100
	}
	sink := &sink{}
	e := New(Config{Client: sink, Bucket: "b", Memory: 64 << 20, Logger: quiet()})
	var wg sync.WaitGroup
	for i := range tables {
		wg.Go(func() {
			a, err := e.Admit(t.Context(), 0)
			if err != nil {
				t.Error(err)
				return
			}
			defer a.Release()
			s := e.Open(t.Context(), a, Object{Key: fmt.Sprint(i)})
			if _, err := io.CopyN(s, zeros{}, int64(1+i%20)<<20); err != nil {
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
	atRest(t, e)
}

// Objects of one table that wait for its end give way to its next one.
func TestEarlierObjectsOfATableGiveWay(t *testing.T) {
	b := newBucket()
	e := b.engine(func(c *Config) { c.Memory = 256 })
	a := admit(t, e)
	var pending []*Pending
	for i := range 30 {
		s := e.Open(t.Context(), a, Object{Key: fmt.Sprint(i)})
		if _, err := s.Write(data(100)); err != nil {
			t.Fatal(err)
		}
		p, err := s.Finish()
		if err != nil {
			t.Fatal(err)
		}
		pending = append(pending, p)
	}
	for i, p := range pending {
		if _, err := p.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantObject(t, b, fmt.Sprint(i), data(100))
	}
	a.Release()
	if b.count(opCreate) == 0 || b.count(opPut) == 0 {
		t.Errorf("requests %v", b.counts)
	}
	atRest(t, e)
}

// Streams of one table that are open together each have what they need, though
// another one waits with all it could get.
func TestStreamsOfOneTableDoNotWaitForEachOther(t *testing.T) {
	b := newBucket()
	e := b.engine(func(c *Config) { c.Memory = 400 }) // three reserves of 80 leave 160
	a, err := e.AdmitStreams(t.Context(), 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	var streams []*Stream
	for i := range 3 {
		streams = append(streams, e.Open(t.Context(), a, Object{Key: fmt.Sprint(i)}))
	}
	body := data(2000)
	for i, s := range streams {
		if _, err := s.Write(body[:100+i]); err != nil { // and now they hold on to it
			t.Fatal(err)
		}
	}
	for i, s := range streams {
		if _, err := s.Write(body[100+i:]); err != nil {
			t.Fatal(err)
		}
		commit(t, s)
		wantObject(t, b, fmt.Sprint(i), body)
	}
	a.Release()
	atRest(t, e)
}

// Nor do they when each has used up so many part numbers that its parts are to be
// whole: one that is idle keeps no promise from the others.
func TestLargeStreamsOfOneTableDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		limits := small
		limits.maxParts = 40
		e := newEngine(Config{Client: b, Bucket: "b", Memory: 600, Logger: quiet()}, limits, hasty)
		a, err := e.AdmitStreams(t.Context(), 3, 0)
		if err != nil {
			t.Fatal(err)
		}
		var streams []*Stream
		for i := range 3 {
			streams = append(streams, e.Open(t.Context(), a, Object{Key: fmt.Sprint(i)}))
		}
		body := data(4000)
		for from := 0; from < len(body); from += 50 {
			for _, s := range streams {
				if _, err := s.Write(body[from : from+50]); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i, s := range streams {
			commit(t, s)
			wantObject(t, b, fmt.Sprint(i), body)
		}
		a.Release()
		atRest(t, e)
	})
}

// An object that could not be sent to make room says so before any commit.
func TestFailedRelief(t *testing.T) {
	b := newBucket()
	b.before = nth(opCreate, []error{refused(403, "AccessDenied")})
	e := b.engine(func(c *Config) { c.Memory = 256 })
	p, err := finish(t.Context(), e, "held", data(128))
	if err != nil {
		t.Fatal(err)
	}
	p.Hold()
	other, err := finish(t.Context(), e, "other", data(100))
	if err != nil {
		t.Fatal(err)
	}
	q, err := finish(t.Context(), e, "next", data(20)) // waits for admission
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*Pending{q, other} {
		if _, err := p.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if !errors.Is(p.Reclaim(), ErrAccessDenied) {
		t.Errorf("Err: %v", p.Reclaim())
	}
	if _, err := p.Commit(t.Context()); !errors.Is(err, ErrAccessDenied) {
		t.Errorf("Commit: %v", err)
	}
	p.Abort(t.Context())
	atRest(t, e)
}

func TestAdmission(t *testing.T) {
	e := newBucket().engine(func(c *Config) { c.Memory = 320 }) // 80 each, a quarter is never reserved
	one, two := admit(t, e), admit(t, e)
	order := make(chan int, 3)
	ctx, cancel := context.WithCancel(t.Context())
	waiting := func() int { e.pool.mu.Lock(); defer e.pool.mu.Unlock(); return len(e.pool.admitting) }
	var wg sync.WaitGroup
	for i := range 3 {
		ctx := ctx
		if i != 1 {
			ctx = t.Context()
		}
		wg.Go(func() {
			a, err := e.Admit(ctx, 10)
			if err != nil {
				if i != 1 || !errors.Is(err, context.Canceled) {
					t.Errorf("%d: %v", i, err)
				}
				return
			}
			order <- i
			a.Release()
		})
		waitFor(t, func() bool { return waiting() == i+1 })
	}
	cancel()
	waitFor(t, func() bool { return waiting() == 2 })
	one.Release()
	one.Release()
	wg.Wait()
	two.Release()
	if first, second := <-order, <-order; first != 0 || second != 2 {
		t.Errorf("order %d, %d", first, second)
	}
	if _, err := e.Admit(t.Context(), 300); err == nil {
		t.Error("more than the budget was admitted")
	}
	a, err := e.Admit(t.Context(), 230) // alone, it may have what is never reserved
	if err != nil {
		t.Fatal(err)
	}
	s := e.Open(t.Context(), a, Object{Key: "1"})
	if _, err := e.Open(t.Context(), a, Object{Key: "2"}).Finish(); err == nil {
		t.Error("two streams on an admission for one")
	}
	s.Abort()
	a.Release()
	if _, err := e.Open(t.Context(), a, Object{Key: "3"}).Write(data(1)); err == nil {
		t.Error("stream on a released admission")
	}
	atRest(t, e)
}

// Large objects are not cut into small parts by a crowd: after half of the part
// numbers they wait for memory, one at a time, while the crowd moves on.
func TestLargeObjectsInACrowd(t *testing.T) {
	b := newBucket()
	b.onRequest = func(context.Context, string) error { yield(); return nil }
	limits := small
	limits.maxParts = 60
	e := newEngine(Config{Client: b, Bucket: "b", Memory: 1024, Logger: quiet()}, limits, hasty)
	const large = 6000 // more than 60 parts of 64, the least; what 30 of them and 30 full ones can hold
	var wg sync.WaitGroup
	for i := range 40 {
		size := 150
		if i < 4 {
			size = large
		}
		wg.Go(func() {
			if _, err := deliver(t.Context(), e, fmt.Sprint(i), data(size)); err != nil {
				t.Error(err)
			}
			wantObject(t, b, fmt.Sprint(i), data(size))
		})
	}
	wg.Wait()
	atRest(t, e)
}

// blank is a source of any length.
type blank struct{}

func (blank) ReadAt(p []byte, _ int64) (int, error) { clear(p); return len(p), nil }

// What is accepted by its size arrives, alone and among tables that reserve what they
// can: its parts were once promised to be half the memory, of which others had more,
// and it failed with its last part number.
func TestWhatIsAcceptedFits(t *testing.T) {
	limits := s3Limits.divided(1024)
	limits.maxParts = 60
	for _, memory := range []int64{16 << 10, 32 << 10, 256 << 10} {
		for _, crowd := range []int{0, 40} {
			for _, share := range []int64{61, 100} {
				t.Run(fmt.Sprintf("%d/%d tables/%d %%", memory, crowd, share), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						b := newBucket()
						b.minPart = int(limits.minPart)
						b.onRequest = func(context.Context, string) error { time.Sleep(time.Millisecond); return nil }
						e := newEngine(Config{Client: b, Bucket: "b", Memory: memory, Logger: quiet()}, limits, hasty)
						stop := make(chan struct{})
						var small, large sync.WaitGroup
						for i := range crowd {
							small.Go(func() { // one table after the other, until the large ones are there
								for {
									select {
									case <-stop:
										return
									default:
									}
									if _, err := deliver(t.Context(), e, fmt.Sprint(i), data(2000)); err != nil {
										t.Error(err)
										return
									}
								}
							})
						}
						size := memory / 2 * int64(limits.maxParts) * share / 100
						for i := range 3 {
							large.Go(func() {
								a := admit(t, e)
								defer a.Release()
								s := e.Open(t.Context(), a, Object{Key: fmt.Sprint("large", i), Size: -1})
								if err := s.ReadRange(blank{}, 0, size); err != nil {
									t.Errorf("%d bytes: %v", size, err)
									s.Abort()
									return
								}
								p, err := s.Finish()
								if err != nil {
									t.Error(err)
									return
								}
								p.Abort(t.Context())
							})
						}
						large.Wait()
						close(stop)
						small.Wait()
						atRest(t, e)
						if stats := e.Stats(); stats.Peak > memory {
							t.Errorf("the peak is %d of %d", stats.Peak, memory)
						}
					})
				})
			}
		}
	}
}

// Who waits for larger parts gives its place back: two that want all of the memory,
// and one whose context ends meanwhile, do not keep each other from going on.
func TestLargestPartsAreWaitedForWithoutAReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(1024, small)
		ctx, cancel := context.WithCancel(t.Context())
		var all [][]*account
		for range 4 {
			a, err := p.admit(ctx, 1, 80, 0)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, a)
		}
		got := make(chan int)
		for i, a := range all[:2] {
			go func() {
				if err := p.expand(t.Context(), a[0], 1024); err != nil {
					t.Error(err)
				}
				got <- i
			}()
			synctest.Wait()
		}
		failed := make(chan error)
		go func() { failed <- p.expand(ctx, all[2][0], 1024) }()
		synctest.Wait()
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		p.release(all[2])
		p.release(all[3])
		for i := range 2 {
			if n := <-got; n != i {
				t.Errorf("number %d was first", n)
			}
			if n, err := p.claim(t.Context(), all[i][0], 1024); n != 1024 || err != nil {
				t.Errorf("promised %d, %v", n, err)
			}
			p.settle(all[i][0])
			p.release(all[i])
		}
		if p.charged != 0 || p.reserved != 0 || p.admissions != 0 || len(p.large) != 0 {
			t.Errorf("%d charged, %d reserved, %d admissions, %d large", p.charged, p.reserved, p.admissions, len(p.large))
		}
	})
}

// Small objects that wait for a common commit hold little more than their bytes.
func TestSmallBodiesAreCompact(t *testing.T) {
	b := newBucket()
	e := b.engine(func(c *Config) { c.Memory = 2000 })
	var pending []*Pending
	for i := range 100 {
		p, err := finish(t.Context(), e, fmt.Sprint(i), data(5))
		if err != nil {
			t.Fatal(err)
		}
		p.Hold()
		pending = append(pending, p)
	}
	if got := e.Stats().Charged; got != collected*500 {
		t.Errorf("%d bytes are charged", got)
	}
	for _, p := range pending {
		if _, err := p.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if b.count(opPut) != 100 {
		t.Errorf("requests %v", b.counts)
	}
	atRest(t, e)
}

// The memory of a part that has arrived is there before the next request begins: else
// the part that is filled meanwhile would at times take more.
func TestNextRequestFindsTheMemoryOfTheLastPart(t *testing.T) {
	body := data(2 * int(small.basePart))
	for name, feed := range map[string]func(*Stream) error{
		"read in turn":    func(s *Stream) error { _, err := s.Write(body); return err },
		"read at offsets": func(s *Stream) error { return s.ReadRange(bytes.NewReader(body), 0, int64(len(body))) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBucket()
			e := b.engine(func(c *Config) { c.Concurrency = 1 })
			var begun atomic.Int32
			second := make(chan struct{})
			b.onRequest = func(_ context.Context, op string) error {
				if op == opPart && begun.Add(1) == 2 {
					if got := usedBy(e.pool); got != small.basePart/small.page {
						t.Errorf("%d pages are in use when the second of two parts is sent, want those of one", got)
					}
					close(second)
				}
				return nil
			}
			a := admit(t, e)
			s := e.Open(t.Context(), a, Object{Key: "k", Size: -1, Sent: func(int64) { <-second }})
			if err := feed(s); err != nil {
				t.Fatal(err)
			}
			commit(t, s)
			a.Release()
			wantObject(t, b, "k", body)
			atRest(t, e)
		})
	}
}

// An admission that is released keeps no object, whoever keeps the admission: a Write
// has thousands until its end.
func TestReleasedAdmissionKeepsNothing(t *testing.T) {
	b := newBucket()
	e := b.engine()
	var admissions []*Admission
	var objects []weak.Pointer[Pending]
	for _, early := range []bool{false, true} { // early: by who gives up a run that is stuck
		a := admit(t, e)
		s := e.Open(t.Context(), a, Object{Key: "k", Size: -1})
		if _, err := s.Write(data(5)); err != nil {
			t.Fatal(err)
		}
		if early {
			a.Release()
		}
		p, err := s.Finish()
		if err != nil {
			t.Fatal(err)
		}
		a.Release()
		if _, err := p.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		admissions, objects = append(admissions, a), append(objects, weak.Make(p))
	}
	runtime.GC()
	for i, o := range objects {
		if o.Value() != nil {
			t.Errorf("object %d is still there", i)
		}
	}
	runtime.KeepAlive(admissions)
	atRest(t, e)
}

func usedBy(p *pool) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pages
}

// sink takes everything and keeps nothing.
type sink struct{ Client }

var sinkETag = `"sink"`

func (*sink) PutObject(_ context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	if in.Body != nil {
		io.Copy(io.Discard, in.Body)
	}
	return &s3.PutObjectOutput{ETag: &sinkETag}, nil
}

func (*sink) CreateMultipartUpload(context.Context, *s3.CreateMultipartUploadInput, ...func(*s3.Options)) (*s3.CreateMultipartUploadOutput, error) {
	return &s3.CreateMultipartUploadOutput{UploadId: &sinkETag}, nil
}

func (*sink) UploadPart(_ context.Context, in *s3.UploadPartInput, _ ...func(*s3.Options)) (*s3.UploadPartOutput, error) {
	io.Copy(io.Discard, in.Body)
	return &s3.UploadPartOutput{ETag: &sinkETag}, nil
}

func (*sink) CompleteMultipartUpload(context.Context, *s3.CompleteMultipartUploadInput, ...func(*s3.Options)) (*s3.CompleteMultipartUploadOutput, error) {
	return &s3.CompleteMultipartUploadOutput{ETag: &sinkETag}, nil
}

func (*sink) AbortMultipartUpload(context.Context, *s3.AbortMultipartUploadInput, ...func(*s3.Options)) (*s3.AbortMultipartUploadOutput, error) {
	return &s3.AbortMultipartUploadOutput{}, nil
}
