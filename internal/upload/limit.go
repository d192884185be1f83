package upload

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	firstLimit = 2
	leastLimit = 3 // what probing goes to first, and back to at least
	farLimit   = 32
	mostLimit  = 384
	abortLimit = 8                     // aborts beyond any bound: they are tiny, and do not wait for long parts
	far        = 15 * time.Millisecond // a server that answers no faster is far away

	gain       = 0.7                   // how much of what more requests could add they must add to try more again
	farGain    = 0.3                   // of a server that is far away: there, requests mostly wait
	measure    = 60 * time.Millisecond // and how long that is looked at, at least
	worth      = 1.2                   // and to be worth their memory
	strain     = 2                     // how many times as long as the shortest a small request may take, if the server is far
	probeAgain = 10 * time.Second      // when to try once more
	changed    = 1.5                   // and how many times as fast, or slow, a server nearby must have become
	perRequest = 256 << 10             // what a request costs besides its bytes, in bytes

	slowDown = 0.5                    // what a throttled engine's limit is multiplied with
	regain   = 0.5                    // and what it gets back per round of requests
	calm     = 300 * time.Millisecond // until nothing was refused for so long
)

// limiter bounds the requests in flight, in the order they ask.
//
// It doubles its limit as long as that makes the whole faster: over a distance it
// soon has them all in flight, and where the processor or the line is the bound,
// a few in flight take a few parts' memory. A server that is far away gets many
// from the start, and one more with every small request that it answers in time;
// one that is not is asked for more only if it pays.
//
// A server that asks to slow down is given half as much with every round that it
// refuses, down to one request and a pause after each. Then it is given a little
// more per round, as TCP does, and once it refuses nothing any more, half of what
// it took before, and the limiter doubles again.
type limiter struct {
	mu       sync.Mutex
	limit    float64
	most     float64
	probing  bool
	timed    bool // probing, without an end of its own: small requests are judged by how long each takes
	inFlight int
	queue    []chan struct{}
	urgent   []chan struct{}

	far     bool
	doubted bool          // farLimit requests were late in the last level
	distant bool          // it is no machine nearby without a moment to spare: more than farLimit came to be asked for
	answer  time.Duration // to a request of no size, the shortest
	usual   time.Duration // to a small one that waits for no other, if it is far
	lastCut time.Time     // zero: nothing was refused lately
	before  float64       // the limit before the first cut
	pause   time.Duration // the last one
	pauses  pauses
	until   time.Time // nothing is begun before
	waking  bool      // at until

	warm  bool
	level level
	last  level   // the one before, to go back to
	rise  level   // the one that has paid, while the one before is looked at once more
	late  level   // the one whose requests were late, while fewer are looked at
	found float64 // the pace at the limit that was found last
}

// pauses are how long everybody waits if one request at a time is too much.
type pauses struct{ first, most time.Duration }

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

// mean is how long a request took.
func (v level) mean() time.Duration { return v.took / time.Duration(max(v.count, 1)) }

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
		return &limiter{limit: float64(bound), most: float64(bound), pauses: defaultPace.pauses}
	}
	l := &limiter{limit: firstLimit, most: mostLimit, probing: true, pauses: defaultPace.pauses}
	l.begin(time.Now())
	return l
}

func (l *limiter) acquire(ctx context.Context, urgent bool) error {
	if ctx.Err() != nil {
		return cause(ctx)
	}
	l.mu.Lock()
	if !urgent && len(l.queue) == 0 && l.mayBegin() {
		l.enter()
		l.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	queue := &l.queue
	if urgent {
		queue = &l.urgent
	}
	*queue = append(*queue, turn)
	l.admit()
	l.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(*queue, turn); i >= 0 {
		*queue = slices.Delete(*queue, i, i+1)
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

// sample is a request that was answered: when it was begun, how much it sent and
// how long that took, and what the server wants to be waited for.
type sample struct {
	begun time.Time
	bytes int64
	took  time.Duration
	wish  time.Duration
}

func (l *limiter) release(r result, s sample) {
	l.mu.Lock()
	defer l.mu.Unlock()
	busy := l.inFlight >= int(l.limit)
	now := time.Now()
	l.leave(now)
	switch {
	case r == throttled:
		l.cut(s, now)
	case r != succeeded:
	case l.timed && s.took > 0 && s.bytes <= tiny:
		l.judge(s, now)
	case l.timed && s.took > 0:
		l.timed = false
		if l.limit != l.level.limit {
			l.begin(now)
		}
	case l.probing:
		l.pause = 0
		l.probe(s, now)
	case !l.lastCut.IsZero() && now.Sub(l.lastCut) < calm:
		l.pause = 0
		if busy {
			l.limit = min(l.most, l.limit+regain/l.limit)
		}
	case busy && l.limit < l.most && !l.lastCut.IsZero():
		l.limit = max(l.limit, l.before/2)
		l.probeAnew(now)
	case l.level.add(s) && busy && l.limit < l.most && now.Sub(l.level.since) >= probeAgain:
		switch {
		case l.far:
			l.probeAnew(now)
		case l.different():
			l.limit = min(l.limit, max(firstLimit, math.Floor(l.limit/2))) // if so few do as well, more need not be tried
			l.probeAnew(now)
		default:
			l.begin(now)
		}
	}
	l.admit()
}

// probeAnew begins to look for the limit again.
func (l *limiter) probeAnew(now time.Time) {
	l.probing, l.lastCut, l.before = true, time.Time{}, 0
	l.last, l.rise = level{}, level{}
	l.begin(now)
}

// different tells whether the pace is no longer what it was at this limit. As long as
// it is, more requests to a server nearby would only take memory once more.
func (l *limiter) different() bool {
	pace := l.level.pace()
	return pace > changed*l.found || changed*pace < l.found
}

// cut lets the server have less. What was begun before the last cut tells
// nothing new.
func (l *limiter) cut(s sample, now time.Time) {
	l.until = later(l.until, now.Add(min(s.wish, mostWish)))
	if !s.begun.IsZero() && s.begun.Before(l.lastCut) {
		return
	}
	if l.limit == 1 {
		l.pause = min(l.pauses.most, max(l.pauses.first, 2*l.pause))
		l.until = later(l.until, now.Add(l.pause/2+rand.N(l.pause)))
	}
	l.before = max(l.before, l.limit)
	l.limit = max(1, l.limit*slowDown)
	l.probing, l.timed = false, false
	l.lastCut = now
}

// mostWish is how long one answer can make everybody wait; its own request may longer.
const mostWish = 30 * time.Second

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// answered is told how long a server takes to answer a request of no size, at the shortest so far.
func (l *limiter) answered(took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answer = took
	if took < far { // also if the first answers were slow: a machine without a moment to spare is not a distance
		if l.timed {
			l.limit = min(l.limit, farLimit)
			l.begin(time.Now())
		}
		l.far, l.timed = false, false
		return
	}
	if l.far || !l.probing || l.limit >= farLimit {
		return
	}
	l.far, l.timed, l.doubted = true, l.most >= farLimit, false
	l.usual, l.late = took, level{}
	l.limit = min(l.most, farLimit)
	l.last, l.rise = level{}, level{}
	l.begin(time.Now())
	l.admit()
}

// add counts a request that was begun at the level and had a body, and says whether it was.
func (v *level) add(s sample) bool {
	if s.took <= 0 || time.Now().Add(-s.took).Before(v.since) {
		return false
	}
	v.count++
	v.work += s.bytes + perRequest
	v.took += s.took
	return true
}

// probe measures the level, and goes on to the next one or back to the last,
// if there is demand for more than the level has.
// Requests without a body say nothing about the pace.
func (l *limiter) probe(s sample, now time.Time) {
	if !l.level.add(s) || !l.level.full || l.level.count < int(l.limit) {
		return
	}
	if l.warm && now.Sub(l.level.since) < measure {
		return
	}
	again := l.looked()
	pace, last := l.level.pace(), l.last.pace()
	pays := pace >= l.gain()*last
	wait := l.far && !l.distant && l.strained()
	switch {
	case !l.warm:
		l.warm = true // the first requests were those of fresh connections
	case wait && l.last.limit == 0:
		l.fewer()
	case pays && !again && l.limit == leastLimit && l.last.limit > 0:
		l.rise, l.limit = l.level, l.last.limit
	case pays && !wait:
		l.last = l.level
		l.limit = min(l.most, l.next())
		l.probing = l.limit > l.last.limit
		l.warm = !l.far // as many more to connect would be most of what is measured
	default:
		l.found = pace
		if pace < worth*last {
			l.limit = min(l.most, max(l.last.limit, leastLimit))
			l.found = last
		}
		l.probing = false
	}
	l.begin(now)
}

// judge sets the limit by how long small requests take. One more may be in flight with every
// one that was answered as quickly as the distance allows, as in TCP's slow start: requests
// that mostly wait do not have to be measured to see that twice as many do twice as much. That
// ends when the server asks to slow down or turns out to be near, or with the first large
// request: those fill a line.
func (l *limiter) judge(s sample, now time.Time) {
	soon := strain * l.usual
	if l.distant { // from here on the limit stays where requests take 1.5 to 2 times as long as usual
		soon -= l.usual / 2
	}
	if l.level.full && s.took <= soon && l.late.limit == 0 {
		l.limit = min(l.most, l.limit+1)
	}
	if l.level.add(s) && l.level.count >= int(l.level.limit) {
		l.judged()
		l.begin(now)
	}
}

// judged draws its conclusion from a whole level. Requests that take long wait for each other
// or always do: fewer of them tell, which take as many times less, or as long. That the first
// few are late for a moment says nothing: they are looked at twice.
func (l *limiter) judged() {
	v, late := l.level, l.late
	if !l.warm {
		l.warm = true
		return
	}
	l.late = level{}
	switch {
	case late.limit > v.limit && 2*v.mean().Seconds() > late.mean().Seconds()*(1+v.limit/late.limit): // nearer to as long
		l.usual = v.mean()
		l.limit = max(l.limit, farLimit)
	case v.limit < farLimit && l.distant:
		l.limit = farLimit // others ask as well
	case v.limit < farLimit:
		l.fewer()
	case !v.full || !l.strained():
		l.usual = max(l.answer, min(l.usual, v.mean()))
		l.doubted = false
	case l.limit > farLimit:
		l.fewer()
		l.late = v
	case !l.doubted:
		l.doubted = true
	default:
		l.limit, l.late, l.doubted = farLimit/2, v, false
	}
}

// fewer answers to small requests that wait for each other: as many do that take strain times
// as long as one. If the few that a distance is given at first are too many, it is none.
func (l *limiter) fewer() {
	switch {
	case l.limit > farLimit:
		l.limit = max(farLimit, math.Floor(l.limit*strain*l.usual.Seconds()/l.level.mean().Seconds()))
		l.distant = true
	case !l.distant:
		l.limit, l.far, l.timed = min(l.most, leastLimit), false, false
	}
}

// looked ends the second look at a level after the one above it seemed to pay, which is
// then compared with the better of the two: what takes twice the memory of a few requests is
// not tried because the machine was busy for a moment. It says whether there was one.
func (l *limiter) looked() bool {
	if l.rise.limit == 0 {
		return false
	}
	if l.level.pace() > l.last.pace() {
		l.last = l.level
	}
	l.level, l.limit, l.rise = l.rise, l.rise.limit, level{}
	return true
}

// strained says that small requests take much longer than they would over the distance:
// somebody is busy, here or there, and more of them would only wait for each other. A
// machine without a moment to spare, which was taken for a distance, would go on to
// ask for more.
func (l *limiter) strained() bool {
	v := l.level
	return v.work <= int64(v.count)*(perRequest+tiny) && v.mean() > strain*l.usual
}

// next is the limit to try after this one: few are tried at first, for their memory.
func (l *limiter) next() float64 {
	if l.limit < leastLimit {
		return leastLimit
	}
	return 2 * l.limit
}

// gain is how many times as fast as the last the level must be.
func (l *limiter) gain() float64 {
	if l.last.limit == 0 {
		return 1
	}
	more := l.limit/l.last.limit - 1
	if l.far {
		return 1 + farGain*more
	}
	return 1 + gain*more
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

// mayBegin says whether one more request may be sent now.
func (l *limiter) mayBegin() bool {
	return l.inFlight < int(l.limit) && (l.until.IsZero() || !time.Now().Before(l.until))
}

// wake admits whoever waits when the pause is over.
func (l *limiter) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waking = false
	l.admit()
}

func (l *limiter) admit() {
	l.urgent = l.begun(l.urgent, l.most+abortLimit)
	if wait := time.Until(l.until); len(l.queue) > 0 && !l.until.IsZero() && wait > 0 {
		if !l.waking {
			l.waking = true
			time.AfterFunc(wait, l.wake)
		}
		return
	}
	l.queue = l.begun(l.queue, l.limit)
}

// begun gives turns to those in a queue for whom there is room, and returns the rest.
func (l *limiter) begun(queue []chan struct{}, limit float64) []chan struct{} {
	n := max(0, min(len(queue), int(limit)-l.inFlight))
	for _, turn := range queue[:n] {
		close(turn)
		l.enter()
	}
	return slices.Delete(queue, 0, n)
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

// crowded tells whether more requests are in flight than there are connections for.
func (l *limiter) crowded() bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inFlight > int(l.most)
}

func (l *limiter) stats() (inFlight, limit int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inFlight, int(l.limit)
}
