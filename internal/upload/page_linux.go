//go:build !race

package upload

import (
	"slices"
	"sync"
	"syscall"
	"unsafe"
)

// Pages stand in memory of their own, not on Go's heap: in the kernel's large pages, and
// where the garbage collector does not count them. It lets the heap grow to twice
// what lives, so that a heap with all the pages in it would collect its own garbage
// when there is as much of that again. And Go's heap is in small pages of the kernel, each
// of which has to be asked for: a virtual machine was seen to take 15 µs for each, longer
// than it takes to be filled and sent. There, a copy of 16 GiB has a peak of 41 MiB, and one
// of 1 GiB 38; with pages on the heap the first was seen to take 87.
//
// With the race detector, which knows nothing of such memory, pages are on the heap.

const (
	// idlePages is how many pages an engine at rest keeps for the next stream: none, as
	// the arena has them for all.
	idlePages = 0

	slabSize   = 2 << 20       // a large page on most processors
	regionSize = 32 * slabSize // is asked for at a time: addresses, no memory yet
	idleSlabs  = 2             // that nobody uses keep their memory
)

// arena is where all pages of a process are, of one size. What was a page once stays
// where it is for good, though it may have no memory: whoever still reads there, against
// all rules, finds zeros.
var arena struct {
	mu     sync.Mutex
	page   int64 // of the first page that was made; those of another size are on the heap
	slabs  map[uintptr]*slab
	partly []*slab // with memory, some of which is in use
	idle   []*slab // with memory, none of which is
	bare   []*slab // without memory
	held   int64   // bytes of memory of all slabs
	used   int64   // of pages
}

// slab is a large page and the pages in it.
type slab struct {
	memory []byte
	free   []int32 // pages
	at     int     // where it is in partly
}

// newPage makes a page of n bytes. It may be of any content.
func newPage(n int64) []byte {
	arena.mu.Lock()
	defer arena.mu.Unlock()
	if arena.page == 0 && slabSize%n == 0 && n >= slabSize/16 {
		arena.page = n
	}
	if n != arena.page {
		return make([]byte, n)
	}
	s := anySlab()
	if s == nil {
		return make([]byte, n)
	}
	arena.used += n
	last := len(s.free) - 1
	at := int64(s.free[last]) * n
	if s.free = s.free[:last]; last == 0 {
		leavePartly(s)
	}
	return s.memory[at : at+n : at+n]
}

// freePage takes back a page that newPage has made.
func freePage(page []byte) {
	arena.mu.Lock()
	defer arena.mu.Unlock()
	begin := uintptr(unsafe.Pointer(unsafe.SliceData(page)))
	s := arena.slabs[begin&^(slabSize-1)]
	if s == nil {
		return // the garbage collector's
	}
	arena.used -= arena.page
	if len(s.free) == 0 {
		joinPartly(s)
	}
	s.free = append(s.free, int32(int64(begin&(slabSize-1))/arena.page))
	if int64(len(s.free)) < slabSize/arena.page {
		return
	}
	leavePartly(s)
	if len(arena.idle) < idleSlabs || syscall.Madvise(s.memory, syscall.MADV_DONTNEED) != nil {
		arena.idle = append(arena.idle, s)
		return
	}
	arena.held -= slabSize
	arena.bare = append(arena.bare, s)
}

// OffHeap is how many bytes of memory there are for pages that are not on Go's heap, and how
// many of them are in use.
func OffHeap() (held, used int64) {
	arena.mu.Lock()
	defer arena.mu.Unlock()
	return arena.held, arena.used
}

// anySlab returns a slab with a free page, the fullest of those that have others in use,
// so that as few as can be have memory. It returns nil if the system has no more.
func anySlab() *slab {
	if len(arena.partly) > 0 {
		return slices.MinFunc(arena.partly, func(a, b *slab) int { return len(a.free) - len(b.free) })
	}
	var s *slab
	if n := len(arena.idle); n > 0 {
		s, arena.idle = arena.idle[n-1], arena.idle[:n-1]
	} else {
		if len(arena.bare) == 0 && !addRegion() {
			return nil
		}
		n := len(arena.bare)
		s, arena.bare = arena.bare[n-1], arena.bare[:n-1]
		arena.held += slabSize
	}
	joinPartly(s)
	return s
}

func joinPartly(s *slab) {
	s.at = len(arena.partly)
	arena.partly = append(arena.partly, s)
}

func leavePartly(s *slab) {
	last := len(arena.partly) - 1
	moved := arena.partly[last]
	arena.partly[s.at], moved.at = moved, s.at
	arena.partly = arena.partly[:last]
}

// addRegion asks the system for more slabs, which begin where large pages do.
func addRegion() bool {
	region, err := syscall.Mmap(-1, 0, regionSize, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE)
	if err != nil {
		return false
	}
	_ = syscall.Madvise(region, syscall.MADV_HUGEPAGE) // else in small ones
	if arena.slabs == nil {
		arena.slabs = map[uintptr]*slab{}
	}
	begin := uintptr(unsafe.Pointer(unsafe.SliceData(region)))
	for at := -begin & (slabSize - 1); at+slabSize <= regionSize; at += slabSize {
		s := &slab{memory: region[at : at+slabSize : at+slabSize]}
		for i := range slabSize / arena.page {
			s.free = append(s.free, int32(i))
		}
		arena.slabs[begin+at] = s
		arena.bare = append(arena.bare, s)
	}
	return true
}
