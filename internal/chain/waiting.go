package chain

import (
	"context"
	"slices"
	"sync"
)

// chunks is the memory of rows that wait for their partition's object: pieces
// of one size, made when they are first needed, never more than max bytes.
type chunks struct {
	size int
	max  int64

	mu    sync.Mutex
	free  [][]byte
	used  int64         // bytes in use
	freed chan struct{} // something was given back
}

const (
	leastChunk = 512
	mostChunk  = 32 << 10
	manyChunks = 16 << 10 // so many there should be: most partitions are small
)

func newChunks(most int64) *chunks {
	c := &chunks{size: leastChunk, max: most, freed: make(chan struct{}, 1)}
	for c.size < mostChunk && int64(2*c.size)*manyChunks <= most {
		c.size *= 2
	}
	return c
}

// take waits for a chunk.
func (c *chunks) take(ctx context.Context) ([]byte, error) {
	for {
		c.mu.Lock()
		if c.used+int64(c.size) <= c.max {
			break
		}
		c.mu.Unlock()
		select {
		case <-c.freed:
		case <-ctx.Done():
			return nil, Cause(ctx)
		}
	}
	defer c.mu.Unlock()
	c.used += int64(c.size)
	if n := len(c.free); n > 0 {
		chunk := c.free[n-1]
		c.free = c.free[:n-1]
		return chunk, nil
	}
	return make([]byte, c.size), nil
}

func (c *chunks) give(all [][]byte) {
	c.mu.Lock()
	c.used -= int64(len(all) * c.size)
	c.free = append(c.free, all...)
	c.mu.Unlock()
	select {
	case c.freed <- struct{}{}:
	default:
	}
}

// limit makes max less. What is in use beyond it is the caller's to have given back.
func (c *chunks) limit(most int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.max = most
	spare := max(0, (most-c.used)/int64(c.size))
	if extra := int64(len(c.free)) - spare; extra > 0 {
		c.free = slices.Delete(c.free, 0, int(extra))
	}
}

// drain lets go of the memory that is not in use.
func (c *chunks) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.free = nil
}

// text is bytes in chunks.
type text struct {
	chunks [][]byte
	size   int64
}

// append copies p to the end, and returns how much memory that took.
func (t *text) append(ctx context.Context, c *chunks, p []byte) (taken int64, err error) {
	for len(p) > 0 {
		used := int(t.size) - (len(t.chunks)-1)*c.size
		if len(t.chunks) == 0 || used == c.size {
			chunk, err := c.take(ctx)
			if err != nil {
				return taken, err
			}
			t.chunks, used, taken = append(t.chunks, chunk), 0, taken+int64(c.size)
		}
		n := copy(t.chunks[len(t.chunks)-1][used:], p)
		t.size += int64(n)
		p = p[n:]
	}
	return taken, nil
}

// each calls f with the bytes, chunk by chunk.
func (t *text) each(c *chunks, f func([]byte) error) error {
	left := t.size
	for _, chunk := range t.chunks {
		n := min(left, int64(c.size))
		if err := f(chunk[:n]); err != nil {
			return err
		}
		left -= n
	}
	return nil
}

// memory is what the text holds of c.
func (t *text) memory(c *chunks) int64 { return int64(len(t.chunks) * c.size) }

// release gives the memory back.
func (t *text) release(c *chunks) {
	if len(t.chunks) > 0 {
		c.give(t.chunks)
	}
	*t = text{}
}
