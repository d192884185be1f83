package upload

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// sharing makes an engine of b's own on s.
func (b *bucket) sharing(s *Shared, change ...func(*Config)) *Engine {
	return b.engine(append([]func(*Config){func(c *Config) { c.Shared, c.Memory, c.Concurrency = s, 0, 0 }}, change...)...)
}

// Two hundred engines of as many buckets, with small and large objects: all
// arrive, and all together stay in the bounds of what they share.
func TestEnginesShareOneBudgetAndOneBound(t *testing.T) {
	const (
		memory   = 1024
		requests = 6
	)
	s := newShared(memory, requests, small)
	var inFlight, most atomic.Int64
	onRequest := func(context.Context, string) error {
		n := inFlight.Add(1)
		defer inFlight.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		yield()
		return nil
	}
	var wg sync.WaitGroup
	var engines []*Engine
	var buckets []*bucket
	body := func(engine, table int) []byte { return data(10 + (engine*7+table*131)%400) }
	for i := range 200 {
		b := newBucket()
		b.onRequest = onRequest
		e := b.sharing(s)
		buckets, engines = append(buckets, b), append(engines, e)
		for j := range 5 {
			wg.Go(func() {
				if _, err := deliver(t.Context(), e, fmt.Sprint(j), body(i, j)); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	for i, b := range buckets {
		for j := range 5 {
			wantObject(t, b, fmt.Sprint(j), body(i, j))
		}
		atRest(t, engines[i])
	}
	if n := most.Load(); n > requests || n < 2 {
		t.Errorf("%d requests were in flight at once, want some and at most %d", n, requests)
	}
	var all Stats
	s.pool.stats(&all)
	if all.Peak > memory || all.Peak < memory/2 {
		t.Errorf("the peak is %d of a budget of %d", all.Peak, memory)
	}
	if n, limit := s.places.stats(); n != 0 || limit != requests {
		t.Errorf("at rest %d requests of %d are in flight", n, limit)
	}
}

// A server that asks one engine to slow down for half a minute costs the other
// nothing: the pauses and the smaller limit are the one's own.
func TestThrottledEngineDoesNotSlowOthers(t *testing.T) {
	const requests, tables, latency, storm = 4, 60, 30 * time.Millisecond, 30 * time.Second
	synctest.Test(t, func(t *testing.T) {
		s := newShared(1<<20, requests, small)
		began := time.Now()
		var wg sync.WaitGroup
		deliverAll := func(refuse bool) *Engine {
			b := newBucket()
			b.onRequest = func(context.Context, string) error {
				time.Sleep(latency)
				if refuse && time.Since(began) < storm {
					return refused(503, "SlowDown")
				}
				return nil
			}
			cfg := Config{Client: b, Bucket: "b", Shared: s, Concurrency: requests, Logger: quiet()}
			e := newEngine(cfg, small, defaultPace)
			for i := range tables {
				wg.Go(func() {
					if _, err := deliver(t.Context(), e, fmt.Sprint(i), data(20)); err != nil {
						t.Error(err)
					}
					if took := time.Since(began); !refuse && took > storm/6 {
						t.Errorf("the other engine's table %d took %v", i, took)
					}
				})
			}
			return e
		}
		throttled, other := deliverAll(true), deliverAll(false)
		wg.Wait()
		if n := throttled.Stats().Throttle; n == 0 {
			t.Error("nobody was asked to slow down")
		}
		if s := other.Stats(); s.Throttle != 0 || s.Limit != requests {
			t.Errorf("the other engine was asked to slow down %d times, and may have %d requests in flight", s.Throttle, s.Limit)
		}
		if took := time.Since(began); took < storm {
			t.Errorf("the storm was over after %v", took)
		}
	})
}

// Places are given in the order in which they are asked for, whichever engine
// asks; who gives up waiting leaves none behind.
func TestPlacesAreGivenInOrder(t *testing.T) {
	s := newShared(4096, 1, small)
	first, second := newBucket().sharing(s), newBucket().sharing(s)
	waiting := func() int { s.places.mu.Lock(); defer s.places.mu.Unlock(); return len(s.places.queue) }
	if err := first.acquire(t.Context(), &request{}); err != nil {
		t.Fatal(err)
	}
	order := make(chan string, 3)
	var wg sync.WaitGroup
	ask := func(ctx context.Context, name string, e *Engine) {
		before := waiting()
		wg.Go(func() {
			if err := e.acquire(ctx, &request{}); err != nil {
				order <- name + " gave up"
				return
			}
			order <- name
			e.release(succeeded, sample{})
		})
		waitFor(t, func() bool { return waiting() == before+1 })
	}
	ctx, cancel := context.WithCancel(t.Context())
	ask(t.Context(), "second", second)
	ask(ctx, "impatient", second)
	ask(t.Context(), "first", first)
	cancel()
	for i, want := range []string{"impatient gave up", "second", "first"} {
		if i == 1 {
			first.release(succeeded, sample{})
		}
		if got := <-order; got != want {
			t.Errorf("%q came where %q should", got, want)
		}
	}
	wg.Wait()
	atRest(t, first)
	atRest(t, second)
	if n, _ := s.places.stats(); n != 0 {
		t.Errorf("%d places are taken by nobody", n)
	}
}

// An engine behind a bound of four does not take waiting for a sign that its
// server is far away.
func TestPaceBehindASharedBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		b.onRequest = func(context.Context, string) error { time.Sleep(10 * time.Millisecond); return nil }
		e := newEngine(Config{Client: b, Bucket: "b", Shared: newShared(1<<20, 4, small), Logger: quiet()}, small, defaultPace)
		var wg sync.WaitGroup
		for i := range 500 {
			wg.Go(func() {
				if _, err := deliver(t.Context(), e, fmt.Sprint(i), data(100)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if limit := e.Stats().Limit; limit > 8 {
			t.Errorf("the limit is %d", limit)
		}
	})
}

// Who needs memory has another engine's finished object sent, but does not wait
// for that one's server when memory comes from elsewhere.
func TestMemoryIsNotWaitedForAtASlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShared(256, 8, small)
		slow, quick := newBucket(), newBucket()
		asked, answer := make(chan struct{}), make(chan struct{})
		slow.onRequest = func(ctx context.Context, op string) error {
			if op != opCreate {
				return nil
			}
			close(asked)
			select {
			case <-answer:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		held, err := finish(t.Context(), slow.sharing(s), "held", data(128))
		if err != nil {
			t.Fatal(err)
		}
		held.Hold()
		e := quick.sharing(s)
		own, err := finish(t.Context(), e, "own", data(100))
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			next, err := finish(t.Context(), e, "next", data(20)) // waits for its admission
			if err == nil {
				_, err = next.Commit(t.Context())
			}
			done <- err
		}()
		<-asked
		if _, err := own.Commit(t.Context()); err != nil { // gives memory back
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		wantObject(t, quick, "next", data(20))
		synctest.Wait()
		close(answer)
		if _, err := held.Commit(t.Context()); err != nil {
			t.Error(err)
		}
		wantObject(t, slow, "held", data(128))
		if n := slow.count(opCreate); n != 1 {
			t.Errorf("%d uploads were opened, want one that was not given up", n)
		}
		atRest(t, e)
	})
}

// A finished object whose server hangs does not keep the memory of the next one
// from whoever waits.
func TestReliefGoesOnBesideASlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShared(256, 8, small)
		hung, quick := newBucket(), newBucket()
		hung.onRequest = func(ctx context.Context, op string) error {
			<-ctx.Done()
			return ctx.Err()
		}
		ctx, cancel := context.WithCancel(t.Context())
		first, err := finish(ctx, hung.sharing(s), "first", data(128))
		if err != nil {
			t.Fatal(err)
		}
		first.Hold()
		e := quick.sharing(s)
		second, err := finish(t.Context(), e, "second", data(100))
		if err != nil {
			t.Fatal(err)
		}
		second.Hold()
		began := time.Now()
		if _, err := deliver(t.Context(), e, "next", data(20)); err != nil { // waits for its admission
			t.Error(err)
		}
		if took := time.Since(began); took > 2*slowRelief {
			t.Errorf("it took %v", took)
		}
		if _, err := second.Commit(t.Context()); err != nil {
			t.Error(err)
		}
		wantObject(t, quick, "second", data(100))
		cancel()
		time.Sleep(time.Second) // until its Create has been given up
		first.Abort(ctx)
		atRest(t, e)
	})
}

// A client that panics while another engine's stream makes room fails its own
// object, not the process and not the other.
func TestPanicWhileRoomIsMadeFailsItsObject(t *testing.T) {
	s := newShared(256, 8, small)
	bad, good := newBucket(), newBucket()
	bad.onRequest = func(context.Context, string) error { panic("a bug in the client") }
	held, err := finish(t.Context(), bad.sharing(s), "held", data(128))
	if err != nil {
		t.Fatal(err)
	}
	held.Hold()
	e := good.sharing(s)
	own, err := finish(t.Context(), e, "own", data(100))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := deliver(t.Context(), e, "next", data(20)); err != nil { // waits for its admission
		t.Error(err)
	}
	if _, err := own.Commit(t.Context()); err != nil {
		t.Error(err)
	}
	if err := held.Reclaim(); err == nil {
		t.Error("the object that panicked can be committed")
	}
	held.Abort(t.Context())
	if c := e.Stats().Charged; c != 0 {
		t.Errorf("%d bytes are charged", c)
	}
}

// The budget of a table is that of all.
func TestAdmissionToASharedBudget(t *testing.T) {
	s := newShared(320, 1, small)
	e := newBucket().sharing(s)
	const want = "raise the memory of NewPool"
	if _, err := e.Admit(t.Context(), 300); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	held := admit(t, newBucket().sharing(s))
	more := admit(t, newBucket().sharing(s))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Admit(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	got := make(chan error)
	go func() { _, err := e.Admit(ctx, 0); got <- err }()
	waitFor(t, func() bool { s.pool.mu.Lock(); defer s.pool.mu.Unlock(); return len(s.pool.admitting) == 1 })
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("a third reserve of 80 bytes in 320, with a quarter lent: %v", err)
	}
	held.Release()
	more.Release()
	atRest(t, e)
}

// Engines of a Shared have one transport, whose connections match the requests
// in flight; only other certificate authorities make another one.
func TestTransportIsShared(t *testing.T) {
	roots := func() *x509.CertPool {
		srv := httptest.NewUnstartedServer(http.NotFoundHandler())
		srv.StartTLS()
		defer srv.Close()
		p := x509.NewCertPool()
		p.AddCert(srv.Certificate())
		return p
	}
	for requests, conns := range map[int]int{1: 1, 100: 100, 0: mostShared} {
		s := NewShared(64<<20, requests)
		a, b := transportOf(s, nil), transportOf(s, nil)
		if a != b {
			t.Error("there are two transports")
		}
		wantTransport(t, a, conns)
		own := transportOf(s, roots())
		if own == a || own != transportOf(s, roots()) || own.TLSClientConfig.RootCAs == nil || a.TLSClientConfig.RootCAs != nil {
			t.Error("want one transport for each set of authorities")
		}
	}
	wantTransport(t, Transport(7), 7)
	wantTransport(t, Transport(0), mostLimit)
}

func transportOf(s *Shared, roots *x509.CertPool) *http.Transport {
	return s.HTTPClient(roots).Transport.(lending).RoundTripper.(*http.Transport)
}

func wantTransport(t *testing.T, got *http.Transport, conns int) {
	t.Helper()
	if got.MaxIdleConnsPerHost != conns || got.MaxConnsPerHost != conns || got.MaxIdleConns != 0 {
		t.Errorf("%d connections per host, %d of them and %d altogether kept idle; want %d, %[4]d, and any number",
			got.MaxConnsPerHost, got.MaxIdleConnsPerHost, got.MaxIdleConns, conns)
	}
	if reflect.ValueOf(got.Proxy).Pointer() != reflect.ValueOf(http.ProxyFromEnvironment).Pointer() {
		t.Error("the proxy is not the environment's")
	}
	if got.TLSClientConfig.ClientSessionCache == nil || got.Protocols == nil || got.Protocols.HTTP2() || !got.Protocols.HTTP1() {
		t.Errorf("want TLS sessions that are resumed, and HTTP/1.1 alone; got %v", got.Protocols)
	}
}
