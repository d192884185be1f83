package upload

import (
	"container/list"
	"context"
	"slices"
	"sync"
	"time"
)

// pool owns all memory that bodies are buffered in: pages of one size, under
// one budget.
//
// Engines that share one wait for it in one line, whoever comes first.
//
// Every admitted stream has a reserve, enough to fill and send one part. It may
// take pages beyond that only from what nobody has reserved. So a stream never
// waits for another one's progress: either it has pages of its own in flight,
// or enough to send, or room in its reserve. What is never reserved is enough for
// the largest part that a stream has been made sure of; a stream that wants larger
// ones than there is room for waits like a table that is yet to be admitted, holding
// nothing that others wait for.
//
// Pages may take five eighths of a small memory and three quarters of a large
// one. The rest is for the state of the tables beside them, for requests, and for
// what the garbage collector leaves lying: it collects when the heap has grown to
// twice what lives, so where pages are on the heap, it would reach twice the budget.
type pool struct {
	page       int64
	memory     int64
	budget     int64 // what pages may take of it
	reservable int64 // how much of that may be reserved; the rest is always lent

	mu         sync.Mutex
	charged    int64 // sum of all accounts' charges
	occupied   int64 // sum of what they hold; the rest of a charge is a promise
	extras     int64 // sum of the state beside them
	peak       int64
	reserved   int64 // sum of what admissions have reserved
	admissions int
	pages      int64 // pages lent out
	free       [][]byte
	large      []*account
	admitting  []*waiter // first come, first served
	taking     []*waiter // at most one per stream
	sharing    []*waiter // streams of a table that wait for its parts in flight; at most one per table
	held       list.List // of *Pending: there may be very many
}

// collected is how often a byte counts that is the garbage collector's rather
// than a page's: as much again lies dead before it collects.
const collected = 2

const (
	// mostRelief is how many bodies are sent at once to make room.
	mostRelief = 8
	// slowRelief is how long one of them may take before the next one is begun.
	slowRelief = time.Second
)

// account is one stream's share of the pool, and that of the streams after it in
// the same place. Its fields belong to the pool's lock.
type account struct {
	reserve int64
	extra   int64 // state beside the pages
	held    int64 // bytes in pages and in kept bodies
	claim   int64 // bytes of pages promised to the part being filled
	flight  int   // parts being sent
	need    int64 // bytes beyond the reserve that its largest part takes; 0: what is never reserved will do
}

func (a *account) charge() int64 { return max(a.reserve, a.held) + a.claim }

// waiter is a table that waits for its admission, or a stream that waits for a
// page or for a claim.
type waiter struct {
	account        *account
	accounts       []*account // to be admitted, or of the whole table
	reserve, extra int64      // of all of them
	need           int64      // as the account's
	claims         bool
	claim          int64 // wanted, then granted
	patient        bool  // waits for parts of its own, if there are any, before it makes waiting bodies go
	page           []byte
	ready          chan struct{}
	poke           chan struct{} // there may be a waiting body to send
}

func newPool(memory int64, l limits) *pool {
	least := memory/8*l.pages + memory%8*l.pages/8 // no product overflows
	budget := max(least, min(memory/4*3, memory-l.beside))
	return &pool{
		page:       l.page,
		memory:     memory,
		budget:     budget,
		reservable: budget - max(budget/4, min(l.basePart, budget/2)),
	}
}

// room is what pages may take now: their share, less what the state of tables
// takes of it.
func (p *pool) room() int64 { return min(p.budget, p.memory-p.extras) }

// admit waits for a reserve for each of several streams at once.
func (p *pool) admit(ctx context.Context, streams int, reserve, extra int64) ([]*account, error) {
	if err := ctx.Err(); err != nil {
		return nil, cause(ctx)
	}
	w := newWaiter(nil)
	for range streams {
		w.accounts = append(w.accounts, new(account))
	}
	w.reserve, w.extra = int64(streams)*reserve, extra
	p.mu.Lock()
	if granted, err := p.stand(ctx, &p.admitting, w); err != nil {
		if granted {
			p.release(w.accounts)
		}
		return nil, err
	}
	return w.accounts, nil
}

func newWaiter(a *account) *waiter {
	return &waiter{account: a, ready: make(chan struct{}), poke: make(chan struct{}, 1)}
}

// granted says whether w has what it wants.
func (w *waiter) granted() bool {
	select {
	case <-w.ready:
		return true
	default:
		return false
	}
}

func (p *pool) release(accounts []*account) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.admissions--
	for _, a := range accounts {
		p.reserved -= a.reserve
		p.extras -= a.extra
		p.change(a, func() { a.reserve, a.extra = 0, 0 })
		p.want(a, 0)
	}
	p.grant()
}

// want sets what a's parts take beyond its reserve.
func (p *pool) want(a *account, need int64) {
	p.large = slices.DeleteFunc(p.large, func(other *account) bool { return other == a })
	if a.need = need; need > 0 {
		p.large = append(p.large, a)
	}
}

// sure is how large the parts of each stream of a table can be in any crowd.
func (p *pool) sure(table []*account) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.largest(table[0], min(p.budget-p.reservable, p.room()-p.reserved)/int64(len(table)))
}

// expand makes sure of parts of n bytes, as far as there is memory for them at all.
// Where others have reserved too much, a gives its own reserve back and waits for a
// new one: those who wait for each other hold nothing.
func (p *pool) expand(ctx context.Context, a *account, n int64) error {
	w := newWaiter(nil)
	w.accounts = []*account{a}
	p.mu.Lock()
	w.need = max(0, roundUp(n, p.page)-a.reserve)
	if p.mayReserve(w) {
		p.want(a, w.need)
		p.mu.Unlock()
		return nil
	}
	w.reserve = a.reserve
	p.admissions--
	p.reserved -= a.reserve
	p.change(a, func() { a.reserve = 0 })
	granted, err := p.stand(ctx, &p.admitting, w)
	if err != nil && !granted {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.admissions++ // it still is one, and will be released
	}
	return err
}

// settle ends what one stream of a was promised.
func (p *pool) settle(a *account) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.claim > 0 || a.need > 0 {
		p.change(a, func() { a.claim = 0 })
		p.want(a, 0)
		p.grant()
	}
}

// take gives a page at once or not at all.
func (p *pool) take(a *account) ([]byte, bool) {
	p.mu.Lock()
	if !p.mayTake(a, len(p.taking) == 0) {
		p.mu.Unlock()
		return nil, false
	}
	page := p.lend(a)
	p.mu.Unlock()
	return p.filled(page), true
}

// wait gives a page as soon as there is one.
func (p *pool) wait(ctx context.Context, a *account) ([]byte, error) {
	w := newWaiter(a)
	w.patient = true
	if err := p.queue(ctx, w); err != nil {
		return nil, err
	}
	return p.filled(w.page), nil
}

// claim waits until n bytes, of the reserve and beyond it, can be promised to the
// next part of a, all at once: who has them need not wait in the middle of the part,
// so large objects never wait for each other while both hold half of what they
// need. It promises less where others have reserved too much. It returns what
// was promised.
func (p *pool) claim(ctx context.Context, a *account, n int64) (int64, error) {
	w := newWaiter(a)
	w.claims, w.claim = true, roundUp(n, p.page)
	if err := p.queue(ctx, w); err != nil {
		return 0, err
	}
	return w.claim, nil
}

// claimShare is claim for a stream of several in one table, given turns by one
// goroutine: it must not wait for what the others, idle until their turn comes,
// have been promised. Each has its share of what nobody has reserved, so that there
// is one for all of them, and waits for parts of the table's own alone. If other
// tables have taken more meanwhile, it is promised what is left.
func (p *pool) claimShare(ctx context.Context, table []*account, a *account, n int64) (int64, error) {
	w := newWaiter(a)
	w.accounts = table
	p.mu.Lock()
	defer p.mu.Unlock()
	n = min(roundUp(n, p.page), p.largest(a, (p.room()-p.reserved)/int64(len(table))))
	p.sharing = append(p.sharing, w)
	defer func() { p.sharing = slices.DeleteFunc(p.sharing, func(other *waiter) bool { return other == w }) }()
	for !p.mayBorrow(p.beyond(a, n)) {
		if !slices.ContainsFunc(table, func(a *account) bool { return a.flight > 0 }) {
			n = min(n, p.unused(a)+max(0, p.room()-p.charged)/p.page*p.page)
			break
		}
		p.mu.Unlock()
		select {
		case <-w.poke:
		case <-ctx.Done():
		}
		p.mu.Lock()
		if ctx.Err() != nil {
			return 0, cause(ctx)
		}
	}
	p.change(a, func() { a.claim = p.beyond(a, n) })
	return n, nil
}

// largest is the largest part of a with that much beyond its reserve.
func (p *pool) largest(a *account, beyond int64) int64 {
	return (a.reserve + max(0, beyond)) / p.page * p.page
}

// unused is what a page may still take of a's reserve.
func (p *pool) unused(a *account) int64 { return max(0, a.reserve-a.held) / p.page * p.page }

// beyond is what a part of n bytes takes besides a's reserve.
func (p *pool) beyond(a *account, n int64) int64 { return max(0, n-p.unused(a)) }

// unclaim gives back what the part did not need.
func (p *pool) unclaim(a *account) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.claim > 0 {
		p.change(a, func() { a.claim = 0 })
		p.grant()
	}
}

func (p *pool) queue(ctx context.Context, w *waiter) error {
	p.mu.Lock()
	granted, err := p.stand(ctx, &p.taking, w)
	if err != nil && granted && !w.claims { // the page came too late
		p.give(w.account, p.filled(w.page))
	}
	return err
}

// stand has w wait in a queue until it is granted what it wants. It is called with the
// lock held, and returns without. With an error it says whether w was granted that all
// the same, too late.
func (p *pool) stand(ctx context.Context, queue *[]*waiter, w *waiter) (granted bool, err error) {
	*queue = append(*queue, w)
	p.grant()
	p.mu.Unlock()
	if err = p.await(ctx, w); err == nil {
		return true, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(*queue, w)
	if i < 0 {
		return true, err
	}
	*queue = slices.Delete(*queue, i, i+1)
	p.grant()
	return false, err
}

// await waits for the grant. A waiter makes room itself when finished objects
// sit in memory, waiting for their commit: it has one sent, then looks again. It
// is the object's owner who waits for the end of that: w may get memory from
// elsewhere, and one whose server is slow does not keep it from the next one.
func (p *pool) await(ctx context.Context, w *waiter) error {
	if w.granted() { // at once, as long as there is memory
		return nil
	}
	relief, stop := context.WithCancel(context.Background())
	defer func() {
		if ctx.Err() != nil {
			stop() // else what was begun goes on: its end is near, and half of it is worth nothing
		}
	}()
	running, late := 0, false
	ended := make(chan struct{}, mostRelief)
	timer := time.NewTimer(slowRelief)
	defer timer.Stop()
	for {
		if w.granted() {
			return nil
		}
		if running == 0 || late && running < mostRelief {
			if b := p.nextHeld(w); b != nil {
				running, late = running+1, false
				timer.Reset(slowRelief)
				go func() {
					defer func() { ended <- struct{}{} }()
					b.relieve(relief)
				}()
			}
		}
		poke := w.poke
		if running > 0 && !late {
			poke = nil // one at a time
		}
		select {
		case <-w.ready:
			return nil
		case <-ended:
			running--
			late = running > 0
		case <-timer.C:
			late = true
		case <-poke:
		case <-ctx.Done():
			return cause(ctx)
		}
	}
}

// give takes pages back.
func (p *pool) give(a *account, pages ...[]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.giveLocked(a, pages)
}

// depart notes that a part of a is being sent; arrive, that it no longer is,
// and takes its pages back.
func (p *pool) depart(a *account) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a.flight++
}

func (p *pool) arrive(a *account, pages [][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a.flight--
	p.giveLocked(a, pages)
}

func (p *pool) giveLocked(a *account, pages [][]byte) {
	p.pages -= int64(len(pages))
	p.free = append(p.free, pages...)
	p.change(a, func() { a.held -= int64(len(pages)) * p.page })
	p.grant()
	for _, w := range p.taking {
		if w.account == a {
			w.nudge()
		}
	}
	for _, w := range p.sharing {
		if slices.Contains(w.accounts, a) {
			w.nudge()
		}
	}
}

// cede lets go of pages: they are the caller's own from now on, to free.
func (p *pool) cede(a *account, pages [][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pages -= int64(len(pages))
	p.change(a, func() { a.held -= int64(len(pages)) * p.page })
	p.grant()
}

// compact replaces a page of a by a body of n bytes that has its own memory.
func (p *pool) compact(a *account, page []byte, n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pages--
	p.free = append(p.free, page)
	p.change(a, func() { a.held += collected*n - p.page })
	p.grant()
}

// drop forgets a compacted body.
func (p *pool) drop(a *account, n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.change(a, func() { a.held -= collected * n })
	p.grant()
}

// hold offers a finished object to whoever needs its memory.
func (p *pool) hold(b *Pending) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b.place == nil {
		b.place = p.held.PushBack(b)
	}
	p.nudgeFirst()
}

// nudgeFirst tells the first in each line that bodies are held, as more must not
// be sent at once.
func (p *pool) nudgeFirst() {
	if p.held.Len() == 0 {
		return
	}
	for _, line := range [][]*waiter{p.taking, p.admitting} {
		for _, w := range line[:min(mostRelief, len(line))] {
			w.nudge()
		}
	}
}

func (p *pool) unhold(b *Pending) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unholdLocked(b)
}

func (p *pool) unholdLocked(b *Pending) {
	if b.place != nil {
		p.held.Remove(b.place)
		b.place = nil
	}
}

// nextHeld picks a body whose memory w may have: its own table's first. A
// stream with parts in flight has memory coming and need not cost two requests,
// and a table waits for no body's memory as long as it waits for others to end.
func (p *pool) nextHeld(w *waiter) *Pending {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.held.Len() == 0, w.patient && w.account.flight > 0:
		return nil
	case w.account == nil && (!p.mayReserve(w) || p.mayAdmit(w)):
		return nil
	}
	first := p.held.Front()
	b := first.Value.(*Pending)
	for e := first; e != nil; e = e.Next() {
		if own := e.Value.(*Pending); own.account == w.account {
			b = own
			break
		}
	}
	p.unholdLocked(b)
	return b
}

// grant serves whoever can be served. Admissions come before pages beyond a
// reserve: tables in flight go on anyway.
func (p *pool) grant() {
	for len(p.admitting) > 0 && p.mayAdmit(p.admitting[0]) {
		w := p.admitting[0]
		p.admitting = slices.Delete(p.admitting, 0, 1)
		p.admissions++
		p.reserved += w.reserve
		p.extras += w.extra
		for i, a := range w.accounts {
			p.change(a, func() {
				a.reserve = w.reserve / int64(len(w.accounts))
				if i == 0 {
					a.extra += w.extra
				}
			})
			p.want(a, w.need)
		}
		close(w.ready)
	}
	first := true
	p.taking = slices.DeleteFunc(p.taking, func(w *waiter) bool {
		if !p.serve(w, first) {
			first = false
			return false
		}
		close(w.ready)
		return true
	})
	p.nudgeFirst() // others may be first now
}

// serve gives w what it waits for, if it is its turn or it has a right to it.
func (p *pool) serve(w *waiter, first bool) bool {
	if !w.claims {
		if !p.mayTake(w.account, first) {
			return false
		}
		w.page = p.lend(w.account)
		return true
	}
	n := min(w.claim, p.largest(w.account, p.room()-p.reserved))
	beyond := p.beyond(w.account, n)
	if !first || !p.mayBorrow(beyond) {
		return false
	}
	w.claim = n
	p.change(w.account, func() { w.account.claim = beyond })
	return true
}

// mayReserve leaves the lent part of the budget alone, unless the table is alone.
func (p *pool) mayReserve(w *waiter) bool {
	if p.admissions == 0 {
		return true
	}
	lent := max(p.budget-p.reservable, w.need)
	for _, a := range p.large {
		lent = max(lent, a.need)
	}
	return p.reserved+w.reserve <= p.budget-lent && p.reserved+w.reserve+p.extras+w.extra <= p.memory-lent
}

func (p *pool) mayAdmit(w *waiter) bool {
	return p.mayReserve(w) && p.charged+w.reserve <= min(p.budget, p.memory-p.extras-w.extra)
}

func (p *pool) mayTake(a *account, first bool) bool {
	return a.claim >= p.page || a.held+p.page <= a.reserve || first && p.mayBorrow(p.page)
}

// mayBorrow says whether n bytes that nobody has reserved are free, and not
// about to be reserved.
func (p *pool) mayBorrow(n int64) bool {
	if len(p.admitting) > 0 && p.mayReserve(p.admitting[0]) {
		return false
	}
	return p.charged+n <= p.room()
}

// lend charges a page to a and returns a used one, or nil: making a new one is
// left to the caller, outside the lock.
func (p *pool) lend(a *account) []byte {
	var page []byte
	if n := len(p.free); n > 0 {
		page, p.free[n-1] = p.free[n-1], nil
		p.free = p.free[:n-1]
	}
	p.pages++
	p.change(a, func() {
		if a.held += p.page; a.held > a.reserve { // the promise does not count what the reserve has
			a.claim -= min(a.claim, p.page)
		}
	})
	return page
}

func (p *pool) filled(page []byte) []byte {
	if page == nil {
		return newPage(p.page)
	}
	return page
}

// change keeps the sum of charges right, and lets go of free pages that there
// is no room for: what is free counts for nobody, yet it is memory.
func (p *pool) change(a *account, f func()) {
	p.charged -= a.charge()
	p.occupied -= a.held
	f()
	p.charged += a.charge()
	p.occupied += a.held
	p.peak = max(p.peak, p.charged+p.extras)
	// One page is kept in any case: tables of many small objects, whose other memory
	// leaves hardly any room, would make a new one for each.
	keep := max(1, (p.room()-p.occupied)/p.page)
	if p.charged == 0 {
		keep = min(keep, idlePages)
	}
	if extra := len(p.free) - int(keep); extra > 0 {
		for _, page := range p.free[:extra] {
			freePage(page)
		}
		p.free = slices.Delete(p.free, 0, extra)
		if p.charged == 0 {
			p.free = slices.Clip(p.free)
		}
	}
}

func (p *pool) stats(s *Stats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Charged, s.Peak = p.charged+p.extras, p.peak
	s.Pages, s.Idle = p.pages*p.page, int64(len(p.free))*p.page
}

func (w *waiter) nudge() {
	select {
	case w.poke <- struct{}{}:
	default:
	}
}
