package upload

import (
	"context"
	"sync"
)

// queuedParts is how many full parts of one stream may wait for their turn to
// be sent. Until there are fewer, the next one is not begun: it would only hold
// memory.
const queuedParts = 1

// Until the server has opened the upload, more may wait: nearParts as long as it
// may answer at once, as many as a server nearby is sent at a time, and a third of
// the memory for pages once it is known to be far away, which then gets them all
// at once.
const nearParts = leastLimit

func (e *Engine) earlyParts() (near, most int) {
	third := e.pool.budget / 3 / max(e.limits.basePart, e.cfg.PartSize)
	most = int(min(farLimit+queuedParts, max(queuedParts, third)))
	return min(nearParts, most), most
}

// backlog is the full parts of one stream that wait for their turn to be sent.
type backlog struct {
	mu    sync.Mutex
	parts int
	most  int
	final bool          // most is
	freed chan struct{} // closed, and made anew, when there may be room
}

func newBacklog(most int) *backlog { return &backlog{most: most, freed: make(chan struct{})} }

// await waits until there is room for one more.
func (b *backlog) await(ctx context.Context) error { return b.wait(ctx, func() {}) }

// enter waits for room and takes it.
func (b *backlog) enter(ctx context.Context) error { return b.wait(ctx, func() { b.parts++ }) }

// wait waits for room and calls then while there is.
func (b *backlog) wait(ctx context.Context, then func()) error {
	for {
		b.mu.Lock()
		room, freed := b.parts < b.most, b.freed
		if room {
			then()
		}
		b.mu.Unlock()
		if room {
			return nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return cause(ctx)
		}
	}
}

// leave gives a part's room to the next one.
func (b *backlog) leave() { b.change(func() { b.parts-- }) }

// widen sets how many there may be until settle.
func (b *backlog) widen(most int) {
	b.change(func() {
		if !b.final {
			b.most = most
		}
	})
}

// settle sets how many there may be for good. Those that are there stay.
func (b *backlog) settle(most int) { b.change(func() { b.most, b.final = most, true }) }

func (b *backlog) change(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	close(b.freed)
	b.freed = make(chan struct{})
}

// full says whether there is no room.
func (b *backlog) full() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.parts >= b.most
}
