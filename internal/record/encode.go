package record

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unsafe"
)

// AppendHeader appends what an object begins with: the byte order mark if d
// writes one, and the header row unless d has none.
func (d *Dialect) AppendHeader(dst []byte, s *Schema) ([]byte, error) {
	if d.BOM {
		dst = append(dst, byteOrderMark...)
	}
	if d.NoHeader || len(s.Columns) == 0 {
		return dst, nil
	}
	e := newFieldEncoder(d, len(s.Columns))
	e.header, e.guardMark = true, !d.BOM
	var err error
	for i, c := range s.Columns {
		if dst, err = e.text(dst, c.Name, i); err != nil {
			return dst, fmt.Errorf("header row: column %d, %q: %w", i+1, c.Name, err)
		}
		dst = append(dst, d.Comma)
	}
	return append(dst[:len(dst)-1], d.lineEnd()...), nil
}

// Append appends the selected rows of b. What comes out reads as what is in b,
// or there is an error, a [*FieldError]. Rows of d.NoHeader may stand at the
// beginning of an object; others stand behind a header row.
//
// Raw fields keep their bytes where those mean the same in d. The room behind
// dst may be written to beyond what is returned.
func (d *Dialect) Append(dst []byte, b *Batch) ([]byte, error) {
	if len(b.Refs) == 0 && b.Len() > 0 {
		return dst, &FieldError{Row: b.Row(0), Err: errors.New("a row of no columns cannot be written as CSV")}
	}
	e := encoders.Get().(*batchEncoder)
	e.reset(d, b)
	var err error
	if e.inPlace() {
		dst, err = e.stretches(dst)
	} else {
		dst, err = e.rows(dst)
	}
	e.letGo()
	encoders.Put(e)
	return dst, err
}

// encoders is where Append has its batchEncoder from.
var encoders = sync.Pool{New: func() any { return new(batchEncoder) }}

// Appender returns an Append for some of the physical rows of b at a time. What
// has to be known of all of b is found out only once.
func (d *Dialect) Appender(b *Batch) func(dst []byte, rows []int32) ([]byte, error) {
	if len(b.Refs) == 0 {
		return appendRows(b, d.Append)
	}
	part := *b
	e := new(batchEncoder)
	e.reset(d, &part)
	inPlace := e.inPlace()
	return func(dst []byte, rows []int32) ([]byte, error) {
		part.Selection = rows
		if inPlace {
			return e.stretches(dst)
		}
		return e.rows(dst)
	}
}

func appendRows(b *Batch, f func([]byte, *Batch) ([]byte, error)) func([]byte, []int32) ([]byte, error) {
	part := *b
	return func(dst []byte, rows []int32) ([]byte, error) {
		part.Selection = rows
		return f(dst, &part)
	}
}

func (d *Dialect) lineEnd() string {
	if d.CRLF {
		return "\r\n"
	}
	return "\n"
}

// batchEncoder writes the rows of one batch.
type batchEncoder struct {
	fieldEncoder
	b    *Batch
	runs []run

	joined     bool // all runs are
	guardFirst bool // the first field of a row may not be able to be first
	guardLast  bool // … or the last field to be last
}

// run is adjoining columns of one vector that stand side by side in the output
// as well.
type run struct {
	v        *Vector
	col      int // the first one in the output
	from, to int // fields of v
	sameness
}

// sameness is how far raw fields mean the same in another dialect.
type sameness struct {
	field  bool // each by itself
	joined bool // and with the commas between them
}

// reset makes e the encoder of b.
func (e *batchEncoder) reset(d *Dialect, b *Batch) {
	scratch, runs := e.scratch, e.runs
	*e = batchEncoder{fieldEncoder: newFieldEncoder(d, len(b.Refs)), b: b, joined: true}
	e.guardMark = d.NoHeader && !d.BOM
	e.scratch, e.runs = scratch, slices.Grow(runs[:0], len(b.Refs))
	var last *run
	for col, ref := range b.Refs {
		switch {
		case last == nil || last.v != ref.Vector:
			e.runs = append(e.runs, run{ref.Vector, col, ref.Field, ref.Field + 1, e.sameness(ref.Vector)})
		case last.joined && last.to == ref.Field:
			last.to++
		default:
			e.runs = append(e.runs, run{ref.Vector, col, ref.Field, ref.Field + 1, last.sameness})
		}
		last = &e.runs[len(e.runs)-1]
		e.joined = e.joined && last.joined
	}
	e.guard()
}

// letGo forgets the batch: an encoder that is kept does not keep its text.
func (e *batchEncoder) letGo() {
	clear(e.runs)
	e.b = nil
	if cap(e.scratch) > maxScratch {
		e.scratch = nil
	}
}

// scratches are where values are unquoted.
var scratches pool[byte]

func giveScratch(p []byte) {
	if cap(p) > 0 && cap(p) <= maxScratch {
		scratches.give(p)
	}
}

// maxScratch is how large the scratch of an encoder that is kept may be.
const maxScratch = 64 << 10

// sameness tells how far raw fields of v mean the same in e's dialect.
func (e *batchEncoder) sameness(v *Vector) sameness {
	s, d := v.Dialect, e.d
	if s == nil || s.LazyQuotes || s.Escape != d.Escape || s.NoQuote != d.NoQuote ||
		!s.NoQuote && s.Quote != d.Quote ||
		s.Null != d.Null || d.NullAsEmpty && d.Null != "" {
		return sameness{}
	}
	if s.Comma != d.Comma {
		return sameness{field: strings.IndexByte(v.Text, d.Comma) < 0}
	}
	return sameness{field: true, joined: !d.QuoteAll && !v.Irregular}
}

// guard finds out whether rows have to be looked at one by one before they are
// copied, which bytes that are nowhere in the text can spare.
func (e *batchEncoder) guard() {
	if len(e.runs) == 0 {
		return
	}
	d := e.d
	first, last := e.runs[0].v.Text, e.runs[len(e.runs)-1].v.Text
	e.guardFirst = e.width == 1 && (d.Null != "" || d.NullAsEmpty) ||
		d.Comment != 0 && strings.IndexByte(first, d.Comment) >= 0 ||
		e.guardMark && holdsMark(first)
	e.guardLast = strings.IndexByte(last, '\r') >= 0
}

// holdsMark tells whether there may be a byte order mark anywhere in text.
func holdsMark(text string) bool {
	return strings.IndexByte(text, 0xfe) >= 0 || strings.Contains(text, byteOrderMark)
}

// stays tells whether the first and the last field of a row can be where they are.
func (e *batchEncoder) stays(row int) bool {
	if e.guardFirst {
		r := &e.runs[0]
		if raw, _ := r.v.raw(row, r.from); !e.keeps(raw, 0) {
			return false
		}
	}
	if e.guardLast {
		r := &e.runs[len(e.runs)-1]
		if raw, _ := r.v.raw(row, r.to-1); raw != "" && raw[len(raw)-1] == '\r' {
			return false
		}
	}
	return true
}

// inPlace tells whether the rows stand in the text just as they are to be written.
func (e *batchEncoder) inPlace() bool {
	if len(e.runs) != 1 {
		return false
	}
	r := &e.runs[0]
	return r.joined && r.from == 0 && r.to == r.v.Fields
}

// stretches copies rows that adjoin in the text, all at once.
func (e *batchEncoder) stretches(dst []byte) ([]byte, error) {
	v, width := e.runs[0].v, e.width
	var from, to uint32 // the stretch; to is behind the byte that ends it
	var err error
	for i, n := 0, e.b.Len(); i < n; i++ {
		row := e.b.Row(i)
		lo, hi := v.Off[row*v.Stride], v.Off[row*v.Stride+width]
		stays := e.stays(row)
		if stays && from < to && e.adjoins(v.Text, to, lo) {
			to = hi
			continue
		}
		dst = e.stretch(dst, v.Text, from, to)
		if from, to = lo, hi; !stays {
			from, to = 0, 0
			if dst, err = e.row(dst, row); err != nil {
				return dst, err
			}
		}
	}
	return e.stretch(dst, v.Text, from, to), nil
}

func (e *batchEncoder) stretch(dst []byte, text string, from, to uint32) []byte {
	if from >= to {
		return dst
	}
	dst = append(dst, text[from:to-1]...)
	return append(dst, e.lineEnd...)
}

// adjoins tells whether nothing but the line end to be written stands between
// the end of a row and the next one.
func (e *batchEncoder) adjoins(text string, end, next uint32) bool {
	if e.d.CRLF {
		return next == end+1 && text[end-1] == '\r'
	}
	return next == end
}

func (e *batchEncoder) rows(dst []byte) ([]byte, error) {
	guarded := e.guardFirst || e.guardLast
	if e.joined && !guarded {
		return e.joinedRows(dst), nil
	}
	var err error
	for i, n := 0, e.b.Len(); i < n; i++ {
		row := e.b.Row(i)
		if e.joined && e.stays(row) {
			dst = e.endRow(e.copyRuns(dst, e.runs, row))
		} else if dst, err = e.row(dst, row); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// joinedRows writes rows of which every run can be copied.
func (e *batchEncoder) joinedRows(dst []byte) []byte {
	if rows := e.b.Selection; rows != nil {
		for _, row := range rows {
			dst = e.endRow(e.copyRuns(dst, e.runs, int(row)))
		}
		return dst
	}
	for row := range e.b.Rows {
		dst = e.endRow(e.copyRuns(dst, e.runs, row))
	}
	return dst
}

// chunk is copied at once even if less is needed: that takes no branch and no
// call, as the lengths of fields cannot be foreseen.
const chunk = 64

// copyChunk copies in four pieces that the compiler has instructions for.
func copyChunk(dst, src unsafe.Pointer) {
	d, s := (*[chunk / 16][16]byte)(dst), (*[chunk / 16][16]byte)(src)
	d[0] = s[0]
	d[1] = s[1]
	d[2] = s[2]
	d[3] = s[3]
}

// copyRuns copies runs and puts a comma behind each, in place of what stands there.
func (e *batchEncoder) copyRuns(dst []byte, runs []run, row int) []byte {
	comma, end, room := e.d.Comma, len(dst), dst[:cap(dst)]
	for i := range runs {
		r := &runs[i]
		v := r.v
		at := row * v.Stride
		lo, hi := int(v.Off[at+r.from]), int(v.Off[at+r.to])
		if hi-lo <= chunk && lo+chunk <= len(v.Text) && end+chunk <= len(room) {
			copyChunk(unsafe.Pointer(&room[end]), unsafe.Add(unsafe.Pointer(unsafe.StringData(v.Text)), lo))
			end += hi - lo
			room[end-1] = comma
		} else {
			dst = append(append(room[:end], v.Text[lo:hi-1]...), comma)
			end, room = len(dst), dst[:cap(dst)]
		}
	}
	return room[:end]
}

// row writes a row run by run, or field by field where a run cannot be copied.
func (e *batchEncoder) row(dst []byte, row int) ([]byte, error) {
	stays := e.stays(row)
	for i := range e.runs {
		r := &e.runs[i]
		if r.joined && stays {
			dst = e.copyRuns(dst, e.runs[i:i+1], row)
			continue
		}
		for f := r.from; f < r.to; f++ {
			col := r.col + f - r.from
			var err error
			if dst, err = e.field(dst, r, row, f, col); err != nil {
				return dst, &FieldError{Row: row, Column: e.b.Schema.Columns[col].Name, Err: err}
			}
			dst = append(dst, e.d.Comma)
		}
	}
	return e.endRow(dst), nil
}

// endRow puts the line end in place of the last comma.
func (e *batchEncoder) endRow(dst []byte) []byte {
	if e.d.CRLF {
		return append(dst[:len(dst)-1], '\r', '\n')
	}
	dst[len(dst)-1] = '\n'
	return dst
}

// field writes one field.
func (e *batchEncoder) field(dst []byte, r *run, row, f, col int) ([]byte, error) {
	if r.sameness.field {
		raw, ok := r.v.raw(row, f)
		if ok && (e.d.quoted(raw) || !e.d.QuoteAll && e.keeps(raw, col)) {
			return append(dst, raw...), nil
		}
	}
	var s string
	var null bool
	s, null, e.scratch = r.v.text(row, f, e.scratch)
	if null {
		return e.null(dst, col)
	}
	return e.text(dst, s, col)
}
