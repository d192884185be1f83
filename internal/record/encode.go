package record

import (
	"fmt"
	"strings"
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
// Raw fields keep their bytes where those mean the same in d.
func (d *Dialect) Append(dst []byte, b *Batch) ([]byte, error) {
	if len(b.Refs) == 0 && b.Len() > 0 {
		return dst, &FieldError{Row: b.Row(0), Err: fmt.Errorf("a row of no columns cannot be written as CSV")}
	}
	e := newBatchEncoder(d, b)
	if e.inPlace() {
		return e.stretches(dst)
	}
	return e.rows(dst)
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
}

// run is adjoining columns of one vector that stand side by side in the output
// as well.
type run struct {
	v        *Vector
	col      int // the first one in the output
	from, to int // fields of v
	keep     bool
	joined   bool // fields and the commas between them can be copied at once
	guarded  bool // … unless the row's first or last field cannot stay
}

func newBatchEncoder(d *Dialect, b *Batch) *batchEncoder {
	e := &batchEncoder{fieldEncoder: newFieldEncoder(d, len(b.Refs)), b: b}
	e.guardMark = d.NoHeader && !d.BOM
	e.runs = make([]run, 0, len(b.Refs))
	for col, ref := range b.Refs {
		if n := len(e.runs); n > 0 {
			last := &e.runs[n-1]
			if last.joined && last.v == ref.Vector && last.to == ref.Field {
				last.to++
				continue
			}
		}
		e.runs = append(e.runs, e.run(ref, col))
	}
	for i := range e.runs {
		r := &e.runs[i]
		r.guarded = e.width == 1 ||
			i == 0 && (e.guardMark || d.Comment != 0) ||
			i == len(e.runs)-1 && r.joined && strings.IndexByte(r.v.Text, '\r') >= 0
	}
	return e
}

func (e *batchEncoder) run(ref Ref, col int) run {
	keep, joined := e.agrees(ref.Vector)
	return run{v: ref.Vector, col: col, from: ref.Field, to: ref.Field + 1, keep: keep, joined: joined}
}

// agrees tells whether raw fields of v mean the same in e's dialect, and whether
// a whole row of them does.
func (e *batchEncoder) agrees(v *Vector) (keep, joined bool) {
	s, d := v.Dialect, e.d
	if s == nil || s.LazyQuotes || s.Escape != d.Escape || s.NoQuote != d.NoQuote ||
		!s.NoQuote && s.Quote != d.Quote ||
		s.Null != d.Null || d.NullAsEmpty && d.Null != "" {
		return false, false
	}
	if s.Comma != d.Comma {
		return strings.IndexByte(v.Text, d.Comma) < 0, false
	}
	return true, !d.QuoteAll && !v.Irregular
}

// inPlace tells whether the rows stand in the text just as they are to be written.
func (e *batchEncoder) inPlace() bool {
	if len(e.runs) != 1 {
		return false
	}
	r := e.runs[0]
	return r.joined && r.from == 0 && r.to == r.v.Stride-1
}

// stretches copies rows that adjoin in the text, all at once.
func (e *batchEncoder) stretches(dst []byte) ([]byte, error) {
	r := &e.runs[0]
	v, text := r.v, r.v.Text
	var from, to uint32 // the stretch; to is behind the byte that ends it
	for i, n := 0, e.b.Len(); i < n; i++ {
		row := e.b.Row(i)
		lo, hi := v.Off[row*v.Stride], v.Off[row*v.Stride+r.to]
		if from < to && !(r.guarded && !e.stays(r, row)) && e.adjoins(text, to, lo) {
			to = hi
			continue
		}
		dst = e.stretch(dst, text, from, to)
		from, to = lo, hi
		if r.guarded && !e.stays(r, row) {
			var err error
			if dst, err = e.row(dst, row); err != nil {
				return dst, err
			}
			from, to = 0, 0
		}
	}
	return e.stretch(dst, text, from, to), nil
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
	var err error
	for i, n := 0, e.b.Len(); i < n; i++ {
		if dst, err = e.row(dst, e.b.Row(i)); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

func (e *batchEncoder) row(dst []byte, row int) ([]byte, error) {
	for i := range e.runs {
		r := &e.runs[i]
		if r.joined && !(r.guarded && !e.stays(r, row)) {
			k := row * r.v.Stride
			dst = append(dst, r.v.Text[r.v.Off[k+r.from]:r.v.Off[k+r.to]-1]...)
			dst = append(dst, e.d.Comma)
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
	return append(dst[:len(dst)-1], e.lineEnd...), nil
}

// stays tells whether the first and the last field of a run can be where they are.
func (e *batchEncoder) stays(r *run, row int) bool {
	first, _ := r.v.raw(row, r.from)
	last, _ := r.v.raw(row, r.to-1)
	return e.keeps(first, r.col) && e.keeps(last, r.col+r.to-1-r.from)
}

// field writes one field.
func (e *batchEncoder) field(dst []byte, r *run, row, f, col int) ([]byte, error) {
	if r.keep {
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
