//go:build !race

package record

// With the race detector a sync.Pool drops a quarter of what it is given. And it looks for
// nothing among what other processors have to themselves.

import (
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"unsafe"
)

// A table of any length is read into as much memory as there are blocks at once.
func TestBlocksAreReused(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which empties pools
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	text, _ := numberedRows(5000)
	const size = 8 << 10
	s := NewScanner(strings.NewReader(text), Dialect{}.Resolve(), nil, size)
	places, used, blocks := map[uintptr]bool{}, map[*memory]bool{}, 0
	for block := range blocksIn(t, s) {
		places[uintptr(unsafe.Pointer(unsafe.StringData(block.Text)))/size] = true
		used[block.memory] = true
		blocks++
		b, _ := s.Decode(block)
		b.Release()
	}
	// One that is read into while the one before is released, and the first.
	if len(places) > 3*2 || blocks < 50 {
		t.Errorf("%d blocks stood in %d places", blocks, len(places))
	}
	if n := len(used); n > 3 {
		t.Errorf("%d pieces of memory were used, but no more than two were there at once", n)
	}
}

// Memory goes to blocks of its own size, of whatever scanner; that of a long row to none.
func TestMemoryIsForBlocksOfItsSize(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const usual = 8 << 10
	for _, test := range []struct {
		name        string
		size, usual int // of what is given back
		kept, again bool
	}{
		{"as many bytes as usual", usual, usual, true, true},
		{"a long row's", 2 * usual, usual, false, false},
		{"the first rows'", usual / 2, usual, false, false},
		{"of larger blocks", 4 * usual, 4 * usual, true, false},
		{"of smaller blocks", usual / 2, usual / 2, true, false},
	} {
		for memories.Get() != nil { // other tests'
		}
		before := takeMemory(test.size, test.usual)
		before.release()
		kept := memories.Get()
		if (kept != nil) != test.kept {
			t.Errorf("%s: kept %v, want %v", test.name, kept != nil, test.kept)
		}
		memories.Put(kept)
		after := takeMemory(usual, usual)
		if again := after == before; again != test.again || len(after.bytes) < usual {
			t.Errorf("%s: used again %v, want %v; %d bytes", test.name, again, test.again, len(after.bytes))
		}
		after.claims.Add(1)
		if after.release(); takeMemory(usual, usual) == after {
			t.Errorf("%s: somebody still has a claim on what was used again", test.name)
		}
	}
}

// A line that is no row, however long, is passed over in the memory of blocks.
func TestDiscardedLineTakesNoMemory(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const size = 4 * firstBlock
	text := "a\n" + strings.Repeat("x", 64*size) + "\nlast\n"
	s := NewScanner(strings.NewReader(text), Dialect{MaxRow: size}.Resolve(), nil, size)
	s.Exact(true)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var rows, bad int
	for block := range blocksIn(t, s) {
		b, wrong := s.Decode(block)
		rows, bad = rows+b.Rows, bad+len(wrong)
		b.Release()
	}
	runtime.ReadMemStats(&after)
	if rows != 1 || bad != 1 {
		t.Errorf("%d rows and %d bad ones, want one of each", rows, bad)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 8*size {
		t.Errorf("%d bytes were allocated for a line of %d", n, len(text))
	}
}
