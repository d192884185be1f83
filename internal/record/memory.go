package record

import (
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"
)

// memory is what blocks stand in. The scanner has a claim on it as long as it
// reads into it, and so has each block that was cut from it, or the batch that
// the block became. Who lets go last gives it back.
//
// A few blocks over and over stay in the processor's caches and make no work for
// the collector: with fresh memory for each, scanning takes 1.4 times the CPU
// time, and there are ten times as many collections.
type memory struct {
	bytes  []byte // all there is
	usual  bool   // in size: it is used again
	claims atomic.Int32
}

// memories is what blocks stood in that nobody has any more. Each processor gets what was
// given back there, which its caches may still have: two cores that share none are three
// per cent faster so than with one list for both. What is in it goes to the collector when
// two collections have found it there.
var memories sync.Pool

// takeMemory returns memory of at least size bytes with one claim on it. If these are not as
// many as usual, it is the collector's when nobody has it any more.
func takeMemory(size, usual int) *memory {
	m := usualMemory(size, usual)
	if m == nil {
		m = &memory{bytes: fresh(size), usual: size == usual}
	}
	m.claims.Store(1)
	return m
}

// usualMemory returns nil if there is none.
func usualMemory(size, usual int) *memory {
	if size != usual {
		return nil
	}
	m, ok := memories.Get().(*memory)
	if !ok || len(m.bytes) < size || len(m.bytes) >= 2*size { // of a scanner with other blocks
		return nil
	}
	return m
}

// release gives up a claim.
func (m *memory) release() {
	if m == nil || m.claims.Add(-1) != 0 {
		return
	}
	poison(m.bytes)
	if m.usual {
		memories.Put(m)
	}
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
