package upload

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	firstLimit = 8
	mostLimit  = 64
	slowDown   = 0.7         // what a throttled engine's limit is multiplied with
	cutPause   = time.Second // and how often at most: one burst of refusals is one event
)

// limiter bounds the requests in flight, in the order they ask. It doubles its
// limit per round of successes until the server first asks to slow down, and
// then adds one per round, as TCP does.
type limiter struct {
	mu       sync.Mutex
	limit    float64
	most     float64
	probing  bool // never throttled so far
	inFlight int
	queue    []chan struct{}
	lastCut  time.Time
}

func newLimiter(bound int) *limiter {
	if bound > 0 {
		return &limiter{limit: float64(bound), most: float64(bound)}
	}
	return &limiter{limit: firstLimit, most: mostLimit, probing: true}
}

func (l *limiter) acquire(ctx context.Context) error {
	if ctx.Err() != nil {
		return cause(ctx)
	}
	l.mu.Lock()
	if len(l.queue) == 0 && l.inFlight < int(l.limit) {
		l.inFlight++
		l.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	l.queue = append(l.queue, turn)
	l.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.queue, turn); i >= 0 {
		l.queue = slices.Delete(l.queue, i, i+1)
	} else {
		l.inFlight--
		l.admit()
	}
	return cause(ctx)
}

// result is what a finished request says about the server's pace.
type result int

const (
	answered  result = iota // nothing
	succeeded               // it may be asked for more
	throttled               // it asked for less
)

func (l *limiter) release(r result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	busy := l.inFlight >= int(l.limit)
	l.inFlight--
	switch now := time.Now(); {
	case r == throttled && now.Sub(l.lastCut) >= cutPause:
		l.limit = max(1, l.limit*slowDown)
		l.probing = false
		l.lastCut = now
	case r == succeeded && busy && l.probing:
		l.limit = min(l.most, l.limit+1)
	case r == succeeded && busy:
		l.limit = min(l.most, l.limit+1/l.limit)
	}
	l.admit()
}

func (l *limiter) admit() {
	for len(l.queue) > 0 && l.inFlight < int(l.limit) {
		close(l.queue[0])
		l.queue = slices.Delete(l.queue, 0, 1)
		l.inFlight++
	}
}

func (l *limiter) stats() (inFlight, limit int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inFlight, int(l.limit)
}
