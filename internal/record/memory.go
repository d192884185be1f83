package record

import (
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"
)

// memory is what blocks stand in. The scanner has a claim on it as long as it
// reads into it, and so has each block that was cut from it, or the batch that
// the block became. Who lets go last gives it back to the scanner.
//
// A few blocks over and over stay in the processor's caches and make no work for
// the collector: with fresh memory for each, scanning takes 1.4 times the CPU
// time, and there are ten times as many collections.
type memory struct {
	bytes  []byte // all there is
	claims atomic.Int32
	home   *freeMemory
}

// release gives up a claim.
func (m *memory) release() {
	if m != nil && m.claims.Add(-1) == 0 {
		m.home.give(m)
	}
}

// freeMemory is the memory of a scanner's blocks that nobody has any more. It
// is as much as blocks were ever there at once.
type freeMemory struct {
	size int // of a usual block; what is much larger is the collector's

	mu   sync.Mutex
	list []*memory
}

// take returns memory of at least size bytes with one claim on it: what was
// given back last, since the caches may still have it.
func (f *freeMemory) take(size int) *memory {
	m := f.last(size)
	if m == nil {
		m = &memory{bytes: fresh(size), home: f}
	}
	m.claims.Store(1)
	return m
}

func (f *freeMemory) last(size int) *memory {
	if size > f.size {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.list)
	if n == 0 {
		return nil
	}
	m := f.list[n-1]
	f.list = f.list[:n-1]
	return m
}

func (f *freeMemory) give(m *memory) {
	poison(m.bytes)
	if n := len(m.bytes); n < f.size || n >= 2*f.size {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, m)
}

// fresh returns at least size bytes. They are not cleared as those of make are,
// since a source is about to write to them. The builder serves as the one way
// to such memory.
func fresh(size int) []byte {
	var b strings.Builder
	b.Grow(size)
	b.WriteByte(0)
	return unsafe.Slice(unsafe.StringData(b.String()), b.Cap())
}
