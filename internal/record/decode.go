package record

import (
	"fmt"
	"strings"
	"sync/atomic"
)

// Decode finds the fields of a block, of each once: the batch has the block's
// memory from then on. It is safe for concurrent use. With
// [Scanner.Exact] the batch has all good rows of the block, and its Numbers
// tell which if some were bad; else it ends before the first bad row, the only
// one returned. An exact block has as many rows as the batch and the bad rows
// together.
//
// The batch's First is 1: the caller knows how many rows came before.
func (s *Scanner) Decode(b Block) (*Batch, []BadRow) {
	d := newDecoder(s, b)
	if !d.decodeFast() {
		d.decode()
	}
	return d.batch(), d.bad
}

// decoder decodes one block row by row.
type decoder struct {
	s     *Scanner
	block Block
	rows  rowReader
	width int

	decoded *decoded
	vector  *Vector // of decoded
	numbers []int64 // kept from the first bad row on
	good    int
	bad     []BadRow
}

// decoded is what a block becomes.
type decoded struct {
	batch  Batch
	vector Vector
	refs   [inlineRefs]Ref // the batch's, if they are few, and then those of NewRefs
	spare  Vector

	memory *memory      // of the text
	claims atomic.Int32 // batches of its rows that are still somebody's
}

const inlineRefs = 48

func newDecoder(s *Scanner, b Block) *decoder {
	whole := &decoded{memory: b.memory, vector: Vector{Text: b.Text, Fields: s.rows.width, Gap: 1, Dialect: s.d}}
	whole.claims.Store(1)
	return &decoder{
		s: s, block: b, width: s.rows.width,
		rows:    rowReader{d: s.d, class: s.rows.class, width: s.rows.width},
		decoded: whole, vector: &whole.vector,
	}
}

// decodeFast decodes a block that is as it should be.
func (d *decoder) decodeFast() (ok bool) {
	text := d.block.Text
	if len(d.block.marks) > 0 || d.width == 0 || text == "" || !d.s.d.mappable(text) {
		return false
	}
	unquoted := d.block.unquoted || strings.IndexByte(text, d.s.d.Quote) < 0
	d.good, ok = d.s.d.mapFields(d.vector, unquoted)
	return ok
}

func (d *decoder) decode() {
	text, marks := d.block.Text, d.block.marks
	d.vector.Off, d.vector.Stride, d.good = offsets.take(0), d.width+1, 0
	for pos := 0; pos < len(text); {
		if len(d.bad) > 0 && !d.s.exact {
			return
		}
		if len(marks) > 0 && marks[0].at == pos {
			d.reject(pos, marks[0].next, marks[0].err)
			pos = marks[0].next
			marks = marks[1:]
			continue
		}
		r := d.rows.read(text, pos, true)
		switch r.kind {
		case rowGood:
			d.row(pos, r.next)
		case rowBad:
			d.reject(pos, r.next, d.rows.explain(r, text, pos, d.s.schema))
		}
		pos = r.next
	}
}

// row takes the row that was read, if it has the right number of fields or can
// be given it.
func (d *decoder) row(pos, next int) {
	bounds := d.rows.bounds
	fields := len(bounds) - 1
	ragged := d.s.d.Ragged
	switch {
	case fields == d.width:
	case fields < d.width && ragged.pads():
		d.vector.Irregular = true
		for end := bounds[fields]; len(bounds) <= d.width; {
			bounds = append(bounds, end) // ends before it starts
		}
		d.rows.bounds = bounds
	case fields > d.width && ragged.trims():
		d.vector.Irregular = true
		bounds = bounds[:d.width+1]
	default:
		d.reject(pos, next, d.raggedError(fields))
		return
	}
	d.vector.Off = append(d.vector.Off, bounds...)
	d.good++
	if d.numbers != nil {
		d.numbers = append(d.numbers, int64(d.good+len(d.bad)))
	}
}

func (d *decoder) reject(pos, next int, err error) {
	if d.numbers == nil {
		d.numbers = make([]int64, d.good, d.good+1)
		for i := range d.numbers {
			d.numbers[i] = int64(i + 1)
		}
	}
	d.bad = append(d.bad, BadRow{
		Row:    int64(d.good + len(d.bad) + 1),
		Offset: d.block.Offset + int64(pos),
		Raw:    strings.Clone(d.rows.raw(d.block.Text, pos, next)),
		Err:    err,
	})
}

func (d *decoder) raggedError(fields int) error {
	against := "header has"
	switch {
	case d.s.columns != nil:
		against = "columns given are"
	case d.s.d.NoHeader:
		against = "first row has"
	}
	return fmt.Errorf("row has %d %s, %s %d", fields, plural(fields, "field"), against, d.width)
}

func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

func (d *decoder) batch() *Batch {
	b, v := &d.decoded.batch, d.vector
	*b = Batch{
		Schema: d.s.schema, Rows: d.good, First: 1,
		Source: v, Offset: d.block.Offset, decoded: d.decoded,
		spare: d.decoded.refs[:], spareVector: &d.decoded.spare, spareOf: b,
	}
	b.Refs = b.NewRefs(d.width)
	for i := range b.Refs {
		b.Refs[i] = Ref{Vector: v, Field: i}
	}
	if len(d.bad) > 0 && d.s.exact {
		b.Numbers = d.numbers
	}
	return b
}
