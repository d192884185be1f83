package s3writer

import "sync"

// mostTables is how many tables a Write has under way at once, as far as the
// memory goes, unless it is to have more requests in flight. Over a distance ten
// thousand small tables take 0.9 of the time that 256 at once do; with more, no less.
const mostTables = 384

// crew runs functions in goroutines that it uses again: calls of the SDK go
// deep, and a new goroutine's stack grows in steps, each of which copies it. For
// thousands of small objects that is a fifth of the processor's time.
type crew struct {
	places chan struct{}
	work   chan func()
	wait   sync.WaitGroup
}

// newCrew returns a crew of at most most.
func newCrew(most int) *crew {
	return &crew{places: make(chan struct{}, most), work: make(chan func())}
}

// await waits for somebody to be free. A do follows, or the end.
func (c *crew) await() { c.places <- struct{}{} }

// do runs f beside the caller.
func (c *crew) do(f func()) {
	run := func(f func()) {
		defer func() { <-c.places }()
		f()
	}
	select {
	case c.work <- f:
	default:
		c.wait.Go(func() {
			run(f)
			for f := range c.work {
				run(f)
			}
		})
	}
}

// end waits for everybody to have finished.
func (c *crew) end() {
	close(c.work)
	c.wait.Wait()
}
