package chain

import "sync"

// busy counts the goroutines that may be in somebody's code. Unlike a WaitGroup it is
// waited for for a while only, and costs nothing to find that nobody is there.
type busy struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n is 0; nil: nobody waits
}

func (b *busy) enter() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n++
}

func (b *busy) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.n--; b.n == 0 && b.idle != nil {
		close(b.idle)
		b.idle = nil
	}
}

// end returns what is closed when nobody is there any more, or nil if nobody is.
func (b *busy) end() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.n > 0 && b.idle == nil {
		b.idle = make(chan struct{})
	}
	return b.idle
}
