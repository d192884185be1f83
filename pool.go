package s3writer

import (
	"errors"
	"fmt"

	"github.com/seed149ec23d/s3writer/internal/upload"
)

// Pool is memory, requests and connections that several Writers share, so that
// the deliveries of many customers run at once in bounds that are known: one
// budget of memory, one bound on the requests in flight, one set of connections
// per host. Whoever comes first is served first, whichever Writer it belongs to.
// It is safe for concurrent use and owns nothing but idle connections while no
// Writer is at work; there is nothing to close.
type Pool struct {
	memory   int64
	requests int
	shared   *upload.Shared
}

// NewPool returns a Pool for Writers that together use memory bytes, at least 16
// MiB, and have at most that many requests in flight, up to 4096; 0: as many as
// each Writer's server takes, found out by trying. Up to 8 requests that remove what
// a delivery has left may be beyond that, and as many connections per host. Values that are out of these
// bounds are a complaint of [New].
func NewPool(memory int64, requests int) *Pool {
	return &Pool{memory: memory, requests: requests, shared: upload.NewShared(memory, requests)}
}

// WithPool lets the Writer share p with others. It excludes [WithMemory];
// [WithConcurrency] remains the bound of this Writer's own requests. Each Writer
// finds its own pace: a server that asks it to slow down does not slow the
// others down, except by the memory that its parts take until that server has
// them; with [WithAllOrNothing] that is all its small objects in turn.
//
// A Writer with a client of its own, by [WithClient] or by the HTTP client of
// [WithAWSConfig], shares memory and requests and keeps its connections.
// Requests to STS, and those that find out a bucket's region, are not counted.
//
// Tables of all Writers start in the order in which they ask for memory, so a
// source must not wait for a table of another Writer of the same Pool.
func WithPool(p *Pool) Option {
	return func(o *options) {
		o.set("WithPool")
		if o.pool = p; p == nil {
			o.complaints = append(o.complaints, errors.New("WithPool: the pool is nil"))
		}
	}
}

// check says what is wrong with the pool.
func (p *Pool) check() (errs []error) {
	if p.memory < minMemory {
		errs = append(errs, fmt.Errorf("NewPool: %d bytes of memory; at least %d (16 MiB) are needed", p.memory, minMemory))
	}
	if p.requests < 0 || p.requests > maxRequests {
		errs = append(errs, fmt.Errorf("NewPool: %d requests; 1 to %d are possible, and 0 for as many as the servers take", p.requests, maxRequests))
	}
	return errs
}
