package record

import (
	"errors"
	"math"
	"slices"
	"unsafe"
)

// Builder collects plain values, row by row, into a vector. The zero Builder
// is not usable: see [NewBuilder].
type Builder struct {
	width int
	text  []byte
	off   []uint32
	null  []uint64
	field int // of the row being built
	rows  int

	before, size int // bounds and text of the vector before: the next may be as large
}

// NewBuilder returns a builder of rows of width fields.
func NewBuilder(width int) *Builder { return &Builder{width: width} }

// Reserve makes room for so many more rows, and bytes of text in them.
func (b *Builder) Reserve(rows, bytes int) {
	b.off = slices.Grow(b.off, rows*(b.width+1))
	b.text = slices.Grow(b.text, min(bytes, maxText))
}

// Rows returns the number of whole rows collected.
func (b *Builder) Rows() int { return b.rows }

// Size returns the bytes of text collected.
func (b *Builder) Size() int { return len(b.text) }

// Fields returns the number of fields of the row being built.
func (b *Builder) Fields() int { return b.field }

// maxText is how much a vector can hold: bounds are of 32 bits, and one may lie
// behind the other by a byte.
const maxText = math.MaxInt32 - 1

// grow panics with an error of the row if the vector cannot hold n bytes more.
// Vectors are handed on long before: only a single row can be as large.
func (b *Builder) grow(n int) {
	if b.off == nil && b.before > 0 {
		b.off = make([]uint32, 0, b.before)
		b.text = make([]byte, 0, b.size+b.size/16)
	}
	if n > maxText-len(b.text) {
		panic(&ColumnError{Err: errors.New("the row is larger than 2 GiB")})
	}
}

// Text appends a text field.
func (b *Builder) Text(s string) {
	b.grow(len(s))
	b.off = append(b.off, uint32(len(b.text)))
	b.text = append(b.text, s...)
	b.field++
}

// Bytes appends a text field made of p.
func (b *Builder) Bytes(p []byte) {
	b.grow(len(p))
	b.off = append(b.off, uint32(len(b.text)))
	b.text = append(b.text, p...)
	b.field++
}

// NULL appends a NULL field.
func (b *Builder) NULL() {
	bit := b.rows*b.width + b.field
	b.grow(0)
	if bit>>6 >= cap(b.null) {
		b.null = slices.Grow(b.null, max(bit, cap(b.off))>>6+1-len(b.null))
	}
	for len(b.null) <= bit>>6 {
		b.null = append(b.null, 0)
	}
	b.null[bit>>6] |= 1 << (bit & 63)
	b.off = append(b.off, uint32(len(b.text)))
	b.field++
}

// Value appends a field.
func (b *Builder) Value(v Value) {
	if v.IsNull() {
		b.NULL()
		return
	}
	b.Text(v.text)
}

// Copy appends field i of r.
func (b *Builder) Copy(r Record, i int) {
	r.mustLast()
	b.Value(r.Batch.Value(r.Row, i))
}

// EndRow ends the row, which must have width fields.
func (b *Builder) EndRow() {
	b.off = append(b.off, uint32(len(b.text)))
	b.field = 0
	b.rows++
}

// Vector returns what was collected and leaves the builder empty, for the next
// batch. The text has memory of its own, never used again by the builder.
func (b *Builder) Vector() *Vector { return b.vector(new(Vector)) }

// VectorOf is Vector for columns of a batch that was given.
func (b *Builder) VectorOf(of *Batch) *Vector { return b.vector(of.newVector()) }

func (b *Builder) vector(v *Vector) *Vector {
	if b.null != nil {
		for len(b.null) <= (b.rows*b.width)>>6 {
			b.null = append(b.null, 0)
		}
	}
	*v = Vector{
		Text:   unsafe.String(unsafe.SliceData(b.text), len(b.text)),
		Off:    b.off,
		Fields: b.width,
		Stride: b.width + 1,
		Null:   b.null,
	}
	*b = Builder{width: b.width, before: len(b.off), size: len(b.text)}
	return v
}

// Batch returns what was collected as a batch of its own.
func (b *Builder) Batch(s *Schema) *Batch {
	rows := b.rows
	v := b.Vector()
	refs := make([]Ref, len(s.Columns))
	for i := range refs {
		refs[i] = Ref{Vector: v, Field: i}
	}
	return &Batch{Schema: s, Refs: refs, Rows: rows, First: 1}
}
