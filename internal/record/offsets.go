package record

import "sync"

// offsets is where the Off of decoded vectors comes from: it is as large as
// half the text, and nobody sees it from outside.
var offsets sync.Pool // of *[]uint32

// boxes is the *[]uint32 whose slices are in use, for the next to be given back.
var boxes = sync.Pool{New: func() any { return new([]uint32) }}

// takeOffsets returns an empty slice with room for n offsets.
func takeOffsets(n int) []uint32 {
	if box, ok := offsets.Get().(*[]uint32); ok {
		off := (*box)[:0]
		*box = nil
		boxes.Put(box)
		if cap(off) >= n {
			return off
		}
	}
	return make([]uint32, 0, n)
}

// giveOffsets takes back what takeOffsets returned.
func giveOffsets(off []uint32) {
	box := boxes.Get().(*[]uint32)
	*box = off
	offsets.Put(box)
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
	giveOffsets(off)
}
