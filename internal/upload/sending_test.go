package upload

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// onBoth runs f over http and over TLS.
func onBoth(t *testing.T, f func(t *testing.T, overTLS bool)) {
	for name, overTLS := range map[string]bool{"http": false, "TLS": true} {
		t.Run(name, func(t *testing.T) { f(t, overTLS) })
	}
}

// lent is a part of n pages, which are all the same, and a request for it.
func lent(t *testing.T, url string, page []byte, n int) (*http.Request, *wire) {
	p := &part{page: int64(len(page)), size: int64(n * len(page))}
	for range n {
		p.pages = append(p.pages, page)
	}
	ctx, w := lend(t.Context(), &body{part: p, progress: func() {}})
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Body, req.ContentLength = io.NopCloser(&body{part: p, progress: func() {}}), p.size
	return req, w
}

// What net/http asks of a body has not changed: it lets a connection write the
// pages themselves, and all of them arrive.
func TestPagesAreSentAsTheyLie(t *testing.T) {
	onBoth(t, func(t *testing.T, overTLS bool) {
		got := make(chan []byte, 1)
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			got <- b
		}))
		transport := Transport(1)
		if srv.Start(); overTLS {
			srv.Close()
			srv = httptest.NewTLSServer(srv.Config.Handler)
			transport = trusting(srv)
		}
		defer srv.Close()
		defer transport.CloseIdleConnections()
		for range 2 { // on a new connection and on a used one
			page := data(256 << 10)
			req, w := lent(t, srv.URL, page, 4)
			answer, err := HTTPClient(transport).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			w.end()
			if !bytes.Equal(<-got, bytes.Repeat(page, 4)) {
				t.Error("other bytes have arrived")
			}
			if w.sent == nil {
				t.Error("the pages were copied")
			}
		}
	})
}

// A line on which many parts share a kilobyte a second is no stall: progress is
// told before a page is through.
func TestSlowLineIsProgress(t *testing.T) {
	page := data(256 << 10)
	p := &part{page: int64(len(page)), size: int64(len(page)), pages: [][]byte{page}}
	told := 0
	_, w := lend(t.Context(), &body{part: p, progress: func() { told++ }})
	w.take(p.size)
	c := &counting{}
	n, err := sendBody(c, io.LimitReader(w, p.size))
	if err != nil || n != p.size {
		t.Fatalf("sent %d bytes: %v", n, err)
	}
	const slowest = 128 << 10 // in defaultPace.stall: 2 KiB/s
	if c.most > slowest || told < c.writes {
		t.Errorf("%d writes of at most %d bytes; progress was told %d times", c.writes, c.most, told)
	}
}

// counting is a connection that takes everything.
type counting struct {
	net.Conn
	writes, most int
}

func (c *counting) Write(p []byte) (int, error) {
	c.writes, c.most = c.writes+1, max(c.most, len(p))
	return len(p), nil
}

// A server that answers early and takes no more does not keep the pages, which
// are another table's next.
func TestNothingReadsAPartAfterItsRequest(t *testing.T) {
	onBoth(t, func(t *testing.T, overTLS bool) {
		srv := httptest.NewUnstartedServer(nil) // for its certificate
		srv.StartTLS()
		defer srv.Close()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		url, transport := "http://"+l.Addr().String(), Transport(1)
		if overTLS {
			l = tls.NewListener(l, srv.TLS)
			url, transport = "https://"+l.Addr().String(), trusting(srv)
		}
		ended := make(chan struct{})
		defer close(ended)
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			if req, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				io.CopyN(io.Discard, req.Body, 1<<20)
			}
			io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 10\r\n\r\nno")
			<-ended
		}()
		req, w := lent(t, url, make([]byte, 256<<10), 256)
		answer, err := HTTPClient(transport).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		w.end()
		select {
		case <-w.sent:
		default:
			t.Error("a page is still being sent")
		}
		if n, err := w.Read(make([]byte, 1)); n > 0 || err == nil {
			t.Errorf("the body gives %d bytes, %v after its end", n, err)
		}
	})
}
