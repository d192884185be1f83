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
	return make([]uint32, 0, n)
}

// growOffsets returns off with twice the length.
func growOffsets(off []uint32) []uint32 {
	return append(off, make([]uint32, len(off))...)
}

// Release gives back the memory of the field bounds of a decoded batch. Nobody
// may hold the batch or a [Record] of it any longer; strings taken from it stay
// valid. Not to call Release is no leak.
func (b *Batch) Release() {
	off := b.bounds
	if off == nil || b.Source == nil || b.Source.Off == nil {
		return
	}
	b.bounds, b.Source.Off = nil, nil
	offsets.Put(&off)
}
