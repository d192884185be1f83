package upload

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func trusting(srv *httptest.Server) *http.Transport {
	t := Transport(4)
	t.TLSClientConfig = srv.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	return t
}

// What arrives over TLS is what was sent, whatever its size is to a burst.
func TestBodiesOverTLS(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		got := make(chan []byte, 1)
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			got <- b
		}))
		srv.TLS = &tls.Config{MaxVersion: version}
		srv.StartTLS()
		defer srv.Close()
		transport := trusting(srv)
		defer transport.CloseIdleConnections()
		for _, size := range []int{0, 1, recordBytes, recordBytes + 1, burst - 1, burst, burst + 1, 5*burst + 77} {
			want := data(size)
			for _, body := range []io.Reader{bytes.NewReader(want), io.MultiReader(strings.NewReader(string(want[:size/3])), bytes.NewReader(want[size/3:]))} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, srv.URL, io.NopCloser(body))
				if err != nil {
					t.Fatal(err)
				}
				req.ContentLength = int64(size)
				answer, err := transport.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				answer.Body.Close()
				if b := <-got; !bytes.Equal(b, want) {
					t.Errorf("%d bytes sent, %d others arrived", size, len(b))
				}
			}
		}
	}
}

// A server that takes nothing does not keep a cancelled request.
func TestCancelWhileABurstIsStuck(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	srv := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		r.Body.Read(make([]byte, 1))
		close(begun)
		<-end
	}))
	defer srv.Close()
	defer close(end)
	transport := trusting(srv)
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, srv.URL, bytes.NewReader(make([]byte, 64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-begun
		cancel()
	}()
	if _, err := transport.RoundTrip(req); err == nil || ctx.Err() == nil {
		t.Errorf("the request ended with %v", err)
	}
}

func TestWrongCertificateIsRefused(t *testing.T) {
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	srv.Config.ErrorLog = nil
	defer srv.Close()
	transport := Transport(1)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := transport.RoundTrip(req); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("the request ended with %v", err)
	}
}

// A server that accepts and says nothing is not waited for longer than the caller waits.
func TestHandshakeEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	defer close(ended) // net/http goes on with a handshake whose request has ended
	go func() {
		c, err := l.Accept()
		if err == nil {
			defer c.Close()
			c.Read(make([]byte, 1))
			cancel()
			<-ended
		}
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+l.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Transport(1).RoundTrip(req); err == nil || ctx.Err() == nil {
		t.Errorf("the request ended with %v", err)
	}
}
