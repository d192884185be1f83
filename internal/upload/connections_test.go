package upload

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A request that finds no connection idle takes the one that is being made for a request
// that needs it no more, and makes no other.
func TestNoMoreConnectionsThanRequests(t *testing.T) {
	var greeted atomic.Int32
	handshake, arrived, answer := make(chan struct{}), make(chan string), make(chan struct{})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- r.URL.Path
		<-answer
		io.WriteString(w, "yes")
	}))
	srv.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if greeted.Add(1) == 2 {
			<-handshake
		}
		return nil, nil
	}}
	srv.StartTLS()
	defer srv.Close()
	answerAll := sync.OnceFunc(func() { close(answer) })
	defer answerAll()
	client := HTTPClient(trusting(srv))
	hosts := client.Transport.(lending).hosts
	var requests sync.WaitGroup
	get := func(path string) {
		requests.Go(func() {
			res, err := client.Get(srv.URL + path)
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			io.Copy(io.Discard, res.Body)
		})
	}
	until := func(done func(h *host) bool) {
		h := hosts.of(httptest.NewRequest(http.MethodGet, srv.URL, nil))
		for met := false; !met; runtime.Gosched() {
			h.mu.Lock()
			met = done(h)
			h.mu.Unlock()
		}
	}

	get("/first")
	<-arrived
	get("/second")
	until(func(*host) bool { return greeted.Load() == 2 })
	answer <- struct{}{}
	if path := <-arrived; path != "/second" {
		t.Fatalf("%s has arrived", path)
	}
	until(func(h *host) bool { return h.requests == 1 }) // the first one's answer is read
	get("/third")
	until(func(h *host) bool { return len(h.waiting) == 1 || greeted.Load() > 2 })
	close(handshake)
	if path := <-arrived; path != "/third" {
		t.Fatalf("%s has arrived", path)
	}
	answerAll()
	requests.Wait()
	if n := greeted.Load(); n != 2 {
		t.Errorf("%d connections were made, want 2", n)
	}
	client.CloseIdleConnections()
	until(func(h *host) bool { return h.requests == 0 && h.conns == 0 && len(h.waiting) == 0 })
}

// A dial ends with its request, or begins: when there is need for a connection more, and
// when the others have been waited for long enough.
func TestDialWaits(t *testing.T) {
	for _, test := range []struct {
		name  string
		then  func(h *host, f *flight, cancel func())
		want  error
		after time.Duration
		conns int
	}{
		{"for another request", func(h *host, _ *flight, _ func()) { h.begin() }, nil, 0, 2},
		{"for another connection's end", func(h *host, _ *flight, _ func()) { h.leave() }, nil, 0, 1},
		{"not after its request", func(_ *host, f *flight, _ func()) { f.end(); f.end() }, errSentOtherwise, 0, 1},
		{"not after its context", func(_ *host, _ *flight, cancel func()) { cancel() }, context.Canceled, 0, 1},
		{"not for ever", func(*host, *flight, func()) {}, nil, patience, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				h := &host{conns: 1} // that belongs to nobody
				f := h.begin()
				ended := make(chan error)
				go func() { ended <- h.enter(ctx, f) }()
				synctest.Wait()
				select {
				case err := <-ended:
					t.Fatalf("it did not wait: %v", err)
				default:
				}
				began := time.Now()
				test.then(h, f, cancel)
				if err := <-ended; !errors.Is(err, test.want) || time.Since(began) != test.after {
					t.Errorf("it ended with %v after %v, want %v after %v", err, time.Since(began), test.want, test.after)
				}
				if h.conns != test.conns || len(h.waiting) != 0 {
					t.Errorf("%d connections are counted and %d dials wait, want %d and none", h.conns, len(h.waiting), test.conns)
				}
				f.end()
				if err := h.enter(ctx, f); !errors.Is(err, errSentOtherwise) {
					t.Errorf("after its request a dial ended with %v", err)
				}
			})
		})
	}
}

// A connection that cannot be made is none, and one that is closed twice is gone once.
func TestConnectionsThatAreGoneAreNotCounted(t *testing.T) {
	h := new(host)
	f := h.begin()
	ctx := context.WithValue(t.Context(), flightKey{}, f)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	if _, err := dialPlain(ctx, "tcp", gone.Listener.Addr().String()); err == nil {
		t.Fatal("somebody listens where a server was")
	}
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	c, err := dialPlain(ctx, "tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if h.conns != 1 {
		t.Errorf("%d connections are counted, want 1", h.conns)
	}
	c.Close()
	c.Close()
	if h.conns != 0 {
		t.Errorf("%d connections are counted, want none", h.conns)
	}
}

// What is being made for a request that has failed, and may hang like that, is nothing that
// others wait for.
func TestFailedRequestHoldsNobodyUp(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	h := new(host)
	other := h.begin() // whose connection is counted throughout
	defer other.end()
	dial := func(f *flight) net.Conn {
		c, err := dialPlain(context.WithValue(t.Context(), flightKey{}, f), "tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	dial(other)
	f := h.begin()
	hung := dial(f)
	if _, err := f.answered(nil, context.Canceled); err != context.Canceled {
		t.Errorf("the request ended with %v", err)
	}
	if h.conns != 1 || h.requests != 1 {
		t.Errorf("%d connections and %d requests are counted, want one of each", h.conns, h.requests)
	}
	if hung.Close(); h.conns != 1 {
		t.Errorf("%d connections are counted at the end of one that was not", h.conns)
	}
	late := false
	if f.making(func() { late = true }); !late {
		t.Error("a connection is counted that is made for a request that has failed")
	}
}

// Hosts are counted as net/http has connections for them.
func TestHostsAreThoseOfConnections(t *testing.T) {
	for _, test := range []struct {
		a, b, proxy string
		same        bool
	}{
		{"https://bucket.example", "https://bucket.example:443", "", true},
		{"http://bucket.example/a", "http://bucket.example:80/b", "", true},
		{"http://bucket.example", "https://bucket.example", "", false},
		{"https://bucket.example:9000", "https://bucket.example:9001", "", false},
		{"https://a.example", "https://b.example", "", false},
		{"http://a.example", "http://b.example", "http://proxy.example:3128", true},
		{"https://a.example", "https://b.example", "http://proxy.example:3128", false},
		{"http://a.example", "http://b.example", "socks5://proxy.example:1080", false},
	} {
		h := &hosts{proxy: func(*http.Request) (*url.URL, error) { return nil, nil }}
		if test.proxy != "" {
			proxy, err := url.Parse(test.proxy)
			if err != nil {
				t.Fatal(err)
			}
			h.proxy = http.ProxyURL(proxy)
		}
		of := func(url string) *host { return h.of(httptest.NewRequest(http.MethodPut, url, nil)) }
		if same := of(test.a) == of(test.b); same != test.same {
			t.Errorf("%s and %s, proxy %q: counted as one %v, want %v", test.a, test.b, test.proxy, same, test.same)
		}
	}
	if client := HTTPClient(Transport(1)); client.Transport.(lending).hosts.proxy == nil {
		t.Error("the transport's proxy is not asked")
	}
}

// An answer of whatever RoundTripper ends its request.
func TestAnswersEndTheirRequests(t *testing.T) {
	h := new(host)
	for name, res := range map[string]*http.Response{"no body": {}, "an empty one": {Body: http.NoBody}, "one": {Body: io.NopCloser(strings.NewReader("yes"))}} {
		got, err := h.begin().answered(res, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got.Body != nil {
			got.Body.Close()
			got.Body.Close()
		}
		if h.requests != 0 {
			t.Errorf("%s: %d requests are counted", name, h.requests)
		}
	}
}
