package upload

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	handshakeTimeout = 10 * time.Second

	// burst is how much of a body is encrypted and then given to the system at
	// once. crypto/tls writes each record of 16 KiB on its own; four in one
	// write save a twentieth of the processor time of a copy over TLS.
	burst       = 128 << 10
	recordBytes = 16 << 10
	recordExtra = 64 // what a record has beside its text, and more
)

// dialTLS returns a Transport.DialTLSContext that dials with t's settings.
func dialTLS(t *http.Transport) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		inner, err := t.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		config := t.TLSClientConfig.Clone()
		if config.ServerName == "" {
			config.ServerName = host
		}
		outer := &records{Conn: inner}
		c := &tlsConn{Conn: tls.Client(outer, config), records: outer}
		if err := handshake(ctx, c.Conn); err != nil {
			inner.Close()
			return nil, err
		}
		return c, nil
	}
}

// handshake does not say "deadline exceeded" where it is its own deadline: it
// would be taken for the caller's.
func handshake(ctx context.Context, c *tls.Conn) error {
	limited, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	err := c.HandshakeContext(limited)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("TLS handshake: no answer within %v", handshakeTimeout)
	}
	return err
}

// tlsConn is a TLS connection that writes several records at once.
type tlsConn struct {
	*tls.Conn
	records *records
	writing atomic.Int32
}

var ciphertexts = sync.Pool{New: func() any { return new([burst + (burst/recordBytes+1)*recordExtra]byte) }}

// ReadFrom is how net/http sends a body.
func (c *tlsConn) ReadFrom(r io.Reader) (int64, error) { return sendBody(c, r) }

func (c *tlsConn) Write(p []byte) (n int, err error) {
	c.writing.Add(1)
	defer c.writing.Add(-1)
	for len(p) > recordBytes {
		m, err := c.writeBurst(p[:min(burst, len(p))])
		n += m
		if err != nil {
			return n, err
		}
		p = p[m:]
	}
	if len(p) == 0 {
		return n, nil
	}
	m, err := c.Conn.Write(p)
	return n + m, err
}

func (c *tlsConn) writeBurst(p []byte) (n int, err error) {
	held := ciphertexts.Get().(*[burst + (burst/recordBytes+1)*recordExtra]byte)
	defer ciphertexts.Put(held)
	c.records.hold(held[:0])
	n, err = c.Conn.Write(p)
	if failed := c.records.release(); err == nil {
		err = failed
	}
	return n, err
}

// Close does not wait for a Write that does not come to its end, not even to
// say goodbye.
func (c *tlsConn) Close() error {
	if c.writing.Load() > 0 {
		return c.records.Conn.Close()
	}
	return c.Conn.Close()
}

// records is the connection below: between hold and release it collects what is
// written. Its order is the one in which crypto/tls writes, which may be from
// the reading side too, to answer a change of keys.
type records struct {
	net.Conn
	mu   sync.Mutex
	held []byte // nil: nothing is held back
}

func (r *records) hold(room []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = room
}

func (r *records) release() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err := r.Conn.Write(r.held)
	r.held = nil
	return err
}

func (r *records) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held != nil {
		r.held = append(r.held, p...)
		return len(p), nil
	}
	return r.Conn.Write(p)
}
