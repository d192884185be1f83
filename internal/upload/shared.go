package upload

import (
	"context"
	"crypto/x509"
	"net/http"
	"sync"
	"time"
)

// mostShared is how many requests may be in flight where nobody has said how many.
const mostShared = 4096

// Shared is what several Engines have in common: one budget of memory, one
// bound of the requests in flight, and the connections. What an Engine finds out
// about its server (its pace, its region) stays its own. It is safe for
// concurrent use.
type Shared struct {
	memory int64
	conns  int // to one host
	pool   *pool
	places *limiter // nil: of one Engine alone, which has its own

	mu      sync.Mutex
	clients map[*http.Transport]*http.Client // one for each set of certificate authorities
}

// NewShared is for Engines that together use memory bytes and have at most that
// many requests in flight; 0: as many as their servers take.
func NewShared(memory int64, requests int) *Shared { return newShared(memory, requests, s3Limits) }

func newShared(memory int64, requests int, l limits) *Shared {
	if requests <= 0 {
		requests = mostShared
	}
	return &Shared{memory: memory, conns: requests, pool: newPool(memory, l), places: newLimiter(requests)}
}

// alone is what an Engine has that shares with nobody.
func alone(memory int64, l limits) *Shared { return &Shared{memory: memory, pool: newPool(memory, l)} }

// HTTPClient is the one for all servers whose certificates roots vouches for;
// nil: the system's authorities.
func (s *Shared) HTTPClient(roots *x509.CertPool) *http.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t, client := range s.clients {
		if t.TLSClientConfig.RootCAs.Equal(roots) {
			return client
		}
	}
	t := Transport(s.conns)
	t.TLSClientConfig.RootCAs = roots
	if s.clients == nil {
		s.clients = make(map[*http.Transport]*http.Client)
	}
	s.clients[t] = HTTPClient(t)
	return s.clients[t]
}

// acquire waits for r's place among the requests of the engine, then for one
// among those of all that share. In this order a server that is slow, or asks to
// slow down, takes no place from the others.
func (e *Engine) acquire(ctx context.Context, r *request) error {
	urgent := r.name == opAbort
	if err := e.slots.acquire(ctx, urgent); err != nil {
		return err
	}
	if e.shared.places == nil {
		return nil
	}
	since := time.Now()
	if err := e.shared.places.acquire(ctx, urgent); err != nil {
		e.slots.release(answered, sample{})
		return err
	}
	r.waited = time.Since(since)
	return nil
}

// release gives a place back. Only the engine learns from the answer.
func (e *Engine) release(r result, s sample) {
	if e.shared.places != nil {
		e.shared.places.release(answered, sample{})
	}
	e.slots.release(r, s)
}
