package record

import "sync"

// offsets is where the Off of decoded vectors comes from: it is as large as
// half the text, and nobody sees it from outside.
var offsets sync.Pool // of *[]uint32

// takeOffsets returns an empty slice with room for n offsets.
func takeOffsets(n int) []uint32 {
	if p, ok := offsets.Get().(*[]uint32); ok && cap(*p) >= n {
		return (*p)[:0]
	}
	return make([]uint32, 0, n+n/8) // the next block will want a little more or less
}

// Release gives back the memory of the field bounds of a decoded batch. Nobody
// may hold the batch or a [Record] of it any longer; strings taken from it stay
// valid. Not to call Release is no leak.
func (b *Batch) Release() {
	v := b.Source
	if v == nil || v.Off == nil {
		return
	}
	off := v.Off
	v.Off = nil
	offsets.Put(&off)
}
