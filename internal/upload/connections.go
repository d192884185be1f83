package upload

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// hosts are the servers that requests go to, those for which net/http would use the same
// connections as one. They are few, and kept.
type hosts struct {
	proxy func(*http.Request) (*url.URL, error) // of plain http; nil: none

	mu    sync.Mutex
	known map[string]*host
}

// host counts the requests to one server and the connections for them, so that there
// are hardly ever more of these than there were of those.
//
// net/http dials for each request that finds no connection idle, and goes on with that
// when one becomes idle first. So a burst of small requests makes connections, each with
// a TLS handshake, that it never needs: 112 were seen for 64 requests in flight. Here a
// dial waits as long as there are as many connections, open or being made, as requests:
// one of them is about to be idle.
type host struct {
	mu       sync.Mutex
	requests int
	conns    int // open or being made
	waiting  []*dial
}

// patience is how long a dial waits for other connections. One that is being made may take
// as long as the system tries.
const patience = time.Second

// flight is one request, until the body of its answer is closed.
type flight struct {
	host   *host
	ended  bool
	failed bool
	made   []func() // what takes the connections that were made for it out of the count
}

// dial is one that waits until there is need for it.
type dial struct {
	flight  *flight
	needed  bool
	decided chan struct{} // closed when it is needed, or its request has ended
}

// flightKey is where the context of a request has its flight; that of a dial has it from there.
type flightKey struct{}

var errSentOtherwise = errors.New("the request was sent over another connection")

func (h *hosts) of(req *http.Request) *host {
	name := h.name(req)
	h.mu.Lock()
	defer h.mu.Unlock()
	known := h.known[name]
	if known == nil {
		known = new(host)
		if h.known == nil {
			h.known = make(map[string]*host)
		}
		h.known[name] = known
	}
	return known
}

// name tells hosts apart as net/http does: over http, an HTTP proxy is the one for all.
func (h *hosts) name(req *http.Request) string {
	u := req.URL
	if u.Scheme == "http" && h.proxy != nil {
		if proxy, err := h.proxy(req); err == nil && proxy != nil && strings.HasPrefix(proxy.Scheme, "http") {
			u = proxy
		}
	}
	switch {
	case u.Port() != "":
		return u.Scheme + "://" + u.Host
	case u.Scheme == "http":
		return u.Scheme + "://" + u.Host + ":80"
	}
	return u.Scheme + "://" + u.Host + ":443"
}

// begin counts a request to the host.
func (h *host) begin() *flight {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests++
	h.admit()
	return &flight{host: h}
}

// answered returns the answer to a request with which it ends.
func (f *flight) answered(res *http.Response, err error) (*http.Response, error) {
	if err != nil {
		f.fail()
		return res, err
	}
	if res.Body == nil || res.Body == http.NoBody {
		f.end()
		return res, nil
	}
	res.Body = &answerBody{res.Body, f}
	return res, nil
}

// answerBody keeps its connection until it is closed.
type answerBody struct {
	io.ReadCloser
	flight *flight
}

func (b *answerBody) Close() error {
	defer b.flight.end()
	return b.ReadCloser.Close()
}

// end may be called more than once.
func (f *flight) end() {
	h := f.host
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.ended {
		return
	}
	f.ended = true
	h.requests--
	h.waiting = slices.DeleteFunc(h.waiting, func(d *dial) bool {
		if d.flight == f {
			close(d.decided)
		}
		return d.flight == f
	})
}

// fail is end for a request without an answer. Connections that are still being made for it
// may hang as well, so nobody is to wait for them.
func (f *flight) fail() {
	f.end()
	f.host.mu.Lock()
	f.failed = true
	made := f.made
	f.host.mu.Unlock()
	for _, left := range made {
		left()
	}
}

// making takes note of a connection that is being made for the request, and that left
// takes out of the count.
func (f *flight) making(left func()) {
	f.host.mu.Lock()
	f.made = append(f.made, left)
	failed := f.failed
	f.host.mu.Unlock()
	if failed {
		left()
	}
}

// admit lets dials begin that are needed.
func (h *host) admit() {
	for len(h.waiting) > 0 && h.conns < h.requests {
		h.conns++
		d := h.waiting[0]
		h.waiting = slices.Delete(h.waiting, 0, 1)
		d.needed = true
		close(d.decided)
	}
}

// enter waits until f needs one more connection, which it counts.
func (h *host) enter(ctx context.Context, f *flight) error {
	d := &dial{flight: f, decided: make(chan struct{})}
	h.mu.Lock()
	if f.ended {
		h.mu.Unlock()
		return errSentOtherwise
	}
	h.waiting = append(h.waiting, d)
	h.admit()
	h.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-d.decided:
	case <-timer.C:
	case <-ctx.Done():
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if d.needed {
		return nil
	}
	h.waiting = slices.DeleteFunc(h.waiting, func(other *dial) bool { return other == d })
	switch {
	case f.ended:
		return errSentOtherwise
	case ctx.Err() != nil:
		return ctx.Err()
	}
	h.conns++
	return nil
}

// leave takes note that a connection is no more.
func (h *host) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns--
	h.admit()
}

var dialer = net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Control: limitUnsent}

// dialPlain makes a connection when the request needs it that ctx belongs to; at once if
// it belongs to none that is counted.
func dialPlain(ctx context.Context, network, addr string) (net.Conn, error) {
	left := func() {}
	if f, ok := ctx.Value(flightKey{}).(*flight); ok {
		if err := f.host.enter(ctx, f); err != nil {
			return nil, err
		}
		left = sync.OnceFunc(f.host.leave)
		f.making(left)
	}
	c, err := dialer.DialContext(ctx, network, addr)
	if err != nil {
		left()
		return nil, err
	}
	return &plainConn{c, left}, nil
}

// plainConn is a connection without TLS.
type plainConn struct {
	net.Conn
	left func() // may be called more than once
}

// ReadFrom is how net/http sends a body.
func (c *plainConn) ReadFrom(r io.Reader) (int64, error) { return sendBody(c.Conn, r) }

func (c *plainConn) Close() error {
	defer c.left()
	return c.Conn.Close()
}
