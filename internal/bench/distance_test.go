package main

import (
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// endless is a connection that always has something to read.
type endless struct{ net.Conn }

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestPaceOfAConnection reads at the rate of a connection, in small and large
// pieces, and after a rest that is not made up for.
func TestPaceOfAConnection(t *testing.T) {
	for _, piece := range []int{1, 512, 16 << 10, 1 << 20} {
		synctest.Test(t, func(t *testing.T) {
			c := &pacedConn{Conn: endless{}, pace: pace{rate: 1e6}}
			for range 2 {
				begin, read := time.Now(), 0
				for p := make([]byte, piece); read < 2e6; {
					n, _ := c.Read(p)
					read += n
				}
				want := time.Duration(float64(read) / 1e6 * float64(time.Second))
				if took := time.Since(begin); took > want || took < want-burst-shortestWait {
					t.Errorf("%d bytes in pieces of %d took %v, want %v", read, piece, took, want)
				}
				time.Sleep(time.Hour)
			}
		})
	}
}

// TestDelayComesBeforeEachAnswer, be it yes or no.
func TestDelayComesBeforeEachAnswer(t *testing.T) {
	for _, sink := range []*nullS3{{delay: time.Second}, {delay: time.Second, storm: &storm{lasts: time.Hour, admitted: 1}}} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			sink.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("PUT", "/bench/a", strings.NewReader("text")))
			if took := time.Since(begin); took != time.Second {
				t.Errorf("the answer took %v", took)
			}
		})
	}
}

// TestServicesAreApart: each has an address and an account of its own.
func TestServicesAreApart(t *testing.T) {
	seen := make(map[string]sinkKind)
	for kind, e := range testServer.endpoints {
		if !kind.remote() {
			t.Errorf("%s is not remote", kind)
		}
		if other, ok := seen[e.URL]; ok {
			t.Errorf("%s and %s are both at %s", kind, other, e.URL)
		}
		seen[e.URL] = kind
		if e.secure() != (kind != sinkHTTP) || e.secure() != (e.Root != nil) {
			t.Errorf("%s is at %s", kind, e.URL)
		}
	}
	if len(seen) != len(newServices()) {
		t.Errorf("%d services are served", len(seen))
	}

	sink := &nullS3{storm: &storm{lasts: time.Hour}}
	for range 3 { // one is admitted
		r := httptest.NewRecorder()
		sink.ServeHTTP(r, httptest.NewRequest("PUT", "/bench/a", strings.NewReader("text")))
		io.Copy(io.Discard, r.Body)
	}
	if a := sink.account(); a != (account{Bytes: 4, Refused: 2}) {
		t.Errorf("the account is %+v", a)
	}
	if a := sink.account(); a != (account{}) {
		t.Errorf("the next account begins with %+v", a)
	}
}
