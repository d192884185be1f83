package upload

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	firstLimit = 2
	leastLimit = 4 // what probing goes back to at least
	mostLimit  = 64
	slowDown   = 0.7         // what a throttled engine's limit is multiplied with
	cutPause   = time.Second // and how often at most: one burst of refusals is one event

	gain       = 1.7                   // how much faster twice the requests must be to try twice as many again
	measure    = 60 * time.Millisecond // and how long that is looked at, at least
	worth      = 1.2                   // and to be worth their memory
	probeAgain = 10 * time.Second      // when to try once more
	perRequest = 256 << 10             // what a request costs besides its bytes, in bytes
)

// limiter bounds the requests in flight, in the order they ask. It doubles its
// limit as long as that makes the whole faster: over a distance it soon has
// them all in flight, and where the processor or the line is the bound, a few
// in flight take a few parts' memory. A server that asks to slow down is
// given less, and then one more per round, as TCP does.
type limiter struct {
	mu       sync.Mutex
	limit    float64
	most     float64
	probing  bool
	inFlight int
	queue    []chan struct{}
	lastCut  time.Time

	warm  bool
	level level
	last  level // the one before, to go back to
}

// level is what was measured at one limit.
type level struct {
	limit float64
	since time.Time // requests begun before are the last level's
	full  bool      // there were as many requests as the limit allows
	count int
	work  int64 // bytes, and perRequest for each
	took  time.Duration

	// busy is the requests in flight times how long they were, until counted.
	busy    time.Duration
	counted time.Time
}

// pace is the bytes per second that all requests together make: one request's,
// as often as there were requests in flight on average.
func (v level) pace() float64 {
	if v.took <= 0 {
		return 0
	}
	inFlight := v.busy.Seconds() / max(v.counted.Sub(v.since), 1).Seconds()
	return inFlight * float64(v.work) / v.took.Seconds()
}

func newLimiter(bound int) *limiter {
	if bound > 0 {
		return &limiter{limit: float64(bound), most: float64(bound)}
	}
	l := &limiter{limit: firstLimit, most: mostLimit, probing: true}
	l.begin(time.Now())
	return l
}

func (l *limiter) acquire(ctx context.Context) error {
	if ctx.Err() != nil {
		return cause(ctx)
	}
	l.mu.Lock()
	if len(l.queue) == 0 && l.inFlight < int(l.limit) {
		l.enter()
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
		l.leave(time.Now())
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

// sample is a request that succeeded: how much it sent, and how long that took.
type sample struct {
	bytes int64
	took  time.Duration
}

func (l *limiter) release(r result, s sample) {
	l.mu.Lock()
	defer l.mu.Unlock()
	busy := l.inFlight >= int(l.limit)
	now := time.Now()
	l.leave(now)
	switch {
	case r == throttled && now.Sub(l.lastCut) >= cutPause:
		l.limit = max(1, l.limit*slowDown)
		l.probing = false
		l.lastCut = now
	case r == succeeded && l.probing:
		l.probe(s, now)
	case r == succeeded && busy && l.throttled():
		l.limit = min(l.most, l.limit+1/l.limit)
	case r == succeeded && busy && l.limit < l.most && now.Sub(l.level.since) >= probeAgain:
		l.probing = true
		l.last = level{}
		l.begin(now)
	}
	l.admit()
}

func (l *limiter) throttled() bool { return !l.lastCut.IsZero() }

// probe measures the level, and goes on to the next one or back to the last,
// if there is demand for more than the level has.
// Requests without a body say nothing about the pace.
func (l *limiter) probe(s sample, now time.Time) {
	if s.took <= 0 || now.Add(-s.took).Before(l.level.since) {
		return
	}
	l.level.count++
	l.level.work += s.bytes + perRequest
	l.level.took += s.took
	if !l.level.full || l.level.count < int(l.limit) {
		return
	}
	pace, last := l.level.pace(), l.last.pace()
	switch {
	case !l.warm:
		l.warm = true // the first requests were those of fresh connections
	case now.Sub(l.level.since) < measure:
		return
	case pace >= gain*last:
		l.last = l.level
		l.limit = min(l.most, 2*l.limit)
		l.probing = l.limit > l.last.limit
	default:
		if pace < worth*last {
			l.limit = max(l.last.limit, leastLimit)
		}
		l.probing = false
	}
	l.begin(now)
}

// begin starts to measure the level of the limit as it is.
func (l *limiter) begin(now time.Time) {
	l.level = level{limit: l.limit, since: now, counted: now}
}

// count brings the level's busy up to date.
func (l *limiter) count(now time.Time) {
	v := &l.level
	v.busy += time.Duration(l.inFlight) * now.Sub(v.counted)
	v.counted = now
}

func (l *limiter) admit() {
	for len(l.queue) > 0 && l.inFlight < int(l.limit) {
		close(l.queue[0])
		l.queue = slices.Delete(l.queue, 0, 1)
		l.enter()
	}
}

func (l *limiter) enter() {
	l.count(time.Now())
	l.inFlight++
	l.level.full = l.level.full || l.inFlight >= int(l.limit)
}

func (l *limiter) leave(now time.Time) {
	l.count(now)
	l.inFlight--
}

func (l *limiter) stats() (inFlight, limit int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inFlight, int(l.limit)
}
