//go:build !linux || race

package upload

// idlePages is how many pages an engine at rest keeps for the next stream.
const idlePages = 4

// newPage makes a page of n bytes.
func newPage(n int64) []byte { return make([]byte, n) }

// freePage leaves a page to the garbage collector.
func freePage([]byte) {}

// OffHeap is how many bytes of memory there are for pages that are not on Go's heap, and how
// many of them are in use.
func OffHeap() (held, used int64) { return 0, 0 }
