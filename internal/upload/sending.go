package upload

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// wire is a part's body as net/http sends it. Our connections write its pages
// as they lie: without the two copies of net/http and crypto/tls's callers a
// copy over http takes a fifth less processor time.
//
// Once end has returned, nothing reads the pages any more, whatever net/http
// still does with the request.
type wire struct {
	mu    sync.Mutex
	body  *body
	taken bool // by a request
	ended bool
	conn  io.Closer     // that the pages are written to; nil: none yet
	sent  chan struct{} // closed when nothing more is written to it
}

var errBodyEnded = errors.New("the request has ended before its body")

// lastWrite is how long the end of a request waits for a write in progress: as
// long as net/http does, which then does not use the connection again.
const lastWrite = 50 * time.Millisecond

type wireKey struct{}

// lending gives requests that carry a wire in their context that for a body, and those
// beyond the bound connections of their own.
type lending struct {
	http.RoundTripper
	beyond http.RoundTripper
	hosts  *hosts // of the others
}

// beyondKey marks the requests that wait for nobody's connection: aborts, where all of
// them have long parts to send.
type beyondKey struct{}

func (l lending) RoundTrip(req *http.Request) (*http.Response, error) {
	if l.beyond != nil && req.Context().Value(beyondKey{}) != nil {
		return l.beyond.RoundTrip(req)
	}
	w, lent := req.Context().Value(wireKey{}).(*wire)
	f := l.hosts.of(req).begin()
	req = req.WithContext(context.WithValue(req.Context(), flightKey{}, f))
	if lent && w.take(req.ContentLength) {
		req.Body = w
	}
	return f.answered(l.RoundTripper.RoundTrip(req))
}

func (l lending) CloseIdleConnections() {
	if c, ok := l.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// lend has b sent by requests with the context that it returns, until end.
func lend(ctx context.Context, b *body) (context.Context, *wire) {
	w := &wire{body: b}
	return context.WithValue(ctx, wireKey{}, w), w
}

// take says whether a request of n bytes may have this body: only one may.
func (w *wire) take(n int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	fits := !w.taken && !w.ended && n > 0 && n == int64(w.body.Len())
	w.taken = w.taken || fits
	return fits
}

func (w *wire) Read(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return 0, errBodyEnded
	}
	return w.body.Read(p)
}

// Close is net/http's, which may be writing.
func (w *wire) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	return nil
}

// end waits for a write in progress, and breaks it off if that does not end.
func (w *wire) end() {
	w.mu.Lock()
	w.ended = true
	conn, sent := w.conn, w.sent
	w.mu.Unlock()
	if conn == nil {
		return
	}
	patience := time.NewTimer(lastWrite)
	defer patience.Stop()
	select {
	case <-sent:
	case <-patience.C:
		conn.Close()
		<-sent
	}
}

// sendTo writes what is left of the body.
func (w *wire) sendTo(conn net.Conn) (n int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended || w.conn != nil {
		return 0, errBodyEnded
	}
	w.conn, w.sent = conn, make(chan struct{})
	defer close(w.sent)
	b := w.body
	b.start()
	for b.off < b.part.size {
		if w.ended {
			return n, errBodyEnded
		}
		p := b.part.at(b.off)
		p = p[:min(len(p), burst)] // each is progress, also over a line that is slow
		w.mu.Unlock()
		c, err := conn.Write(p)
		w.mu.Lock()
		n += int64(c)
		b.off += int64(c)
		b.progress()
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// sendBody is how our connections send what net/http gives them as a body: the
// rest of one of a known length.
func sendBody(conn net.Conn, r io.Reader) (int64, error) {
	if l, ok := r.(*io.LimitedReader); ok {
		if w, ok := l.R.(*wire); ok {
			return w.sendTo(conn)
		}
	}
	return io.Copy(struct{ io.Writer }{conn}, r)
}
