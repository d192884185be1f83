package record

// Pools of what nobody sees from outside and is large: the Off of decoded
// vectors is half the text, or more.
var (
	offsets    pool[uint32]
	selections pool[int32]
)

// growOffsets returns off with twice the length.
func growOffsets(off []uint32) []uint32 {
	return append(off, make([]uint32, len(off))...)
}

// NewSelection returns an empty slice for the rows of b that stay: those are
// appended to it while they are read one by one, then it becomes the Selection.
func (b *Batch) NewSelection() []int32 {
	if b.Selection != nil {
		return b.Selection[:0] // a row is read before it is overwritten
	}
	b.room = selections.take(b.Rows)
	return b.room
}

// Part returns a copy of b with some of its rows. Each of the two is released.
func (b *Batch) Part(rows []int32) *Batch {
	part := *b
	part.Selection, part.room = rows, nil
	if b.decoded != nil {
		b.decoded.claims.Add(1)
	}
	return &part
}

// Window returns some physical rows of b, which was just decoded, as a batch of
// their own. Each of the two is released.
func (b *Batch) Window(from, to int) *Batch {
	v := *b.Source
	v.Off = v.Off[from*v.Stride : (to-1)*v.Stride+v.Fields+1]
	v.whole, v.doubled = v.whole && v.doubled == nil, nil // whose rows are b's
	w := &Batch{
		Schema: b.Schema, Refs: make([]Ref, len(b.Refs)), Rows: to - from,
		First: b.First, Source: &v, Offset: b.Offset, decoded: b.decoded,
	}
	w.decoded.claims.Add(1)
	if b.Numbers != nil {
		w.Numbers = b.Numbers[from:to]
	} else {
		w.First += int64(from)
	}
	for i, ref := range b.Refs {
		w.Refs[i] = Ref{Vector: &v, Field: ref.Field}
	}
	return w
}

// Release gives back the memory of a batch: its text, the bounds of its fields,
// the selection. Nobody may have the batch any longer, a [Record] of it or a
// string of its text; those of a [Batch.View] are no such strings. Not to call
// Release is no leak.
func (b *Batch) Release() {
	if b.room != nil {
		poisonRows(b.room[:cap(b.room)])
		selections.give(b.room)
		b.room, b.Selection = nil, nil
	}
	if d := b.decoded; d != nil {
		b.decoded = nil
		d.release()
	}
}

// release gives up a batch's claim on what the block became.
func (d *decoded) release() {
	if d.claims.Add(-1) > 0 {
		return
	}
	if off := d.vector.Off; off != nil {
		offsets.give(off)
	}
	d.vector.Off, d.vector.Text = nil, ""
	d.memory.release()
}
