package chain

import (
	"strings"

	"github.com/seed149ec23d/s3writer/internal/record"
)

// Trim takes white space off both ends of the values of columns; of all
// columns, if none is named.
func Trim(columns []string) Step {
	step := Step{name: "Trim", args: quoted(columns), kind: recordStep, adds: true, err: distinctIfAny(columns)}
	step.open = func(s *record.Schema) (*transform, error) {
		cols, err := lookupOrAll(s, columns)
		if err != nil {
			return nil, err
		}
		t := &transform{}
		t.apply = func(b *record.Batch) error {
			refs := b.Refs
			for _, c := range cols {
				v := trimmed(b, c)
				if v == nil {
					continue
				}
				if &refs[0] == &b.Refs[0] {
					refs = append([]record.Ref(nil), refs...)
				}
				refs[c] = record.Ref{Vector: v}
			}
			b.Refs = refs
			return nil
		}
		return t, nil
	}
	return step
}

// lookupOrAll is lookup; no names are all columns.
func lookupOrAll(s *record.Schema, names []string) ([]int, error) {
	if len(names) > 0 {
		return lookup(s, names)
	}
	cols := make([]int, len(s.Columns))
	for i := range cols {
		cols[i] = i
	}
	return cols, nil
}

// distinctIfAny is what Trim and Dedupe ask of the names they are given.
func distinctIfAny(columns []string) error {
	if len(columns) == 0 {
		return nil
	}
	return distinct(columns)
}

// trimmed returns the vector of a column's values without white space at their
// ends, or nil if none has any: most columns then keep their raw fields.
func trimmed(b *record.Batch, col int) *record.Vector {
	ref := b.Refs[col]
	for i, n := 0, b.Len(); i < n; i++ {
		row := b.Row(i)
		if !mayBeginOrEndInSpace(ref, row) {
			continue
		}
		if s := b.Value(row, col).String(); len(strings.TrimSpace(s)) < len(s) {
			return trimAll(b, col)
		}
	}
	return nil
}

// mayBeginOrEndInSpace looks at the bytes of a field as it stands: only values
// for which it is true need be unquoted.
func mayBeginOrEndInSpace(ref record.Ref, row int) bool {
	v := ref.Vector
	k := row*v.Stride + ref.Field
	lo, hi := v.Off[k], v.Off[k+1]-v.Gap
	if int32(hi-lo) <= 0 {
		return false // empty, or padded
	}
	raw := v.Text[lo:hi]
	d := v.Dialect
	if d != nil && !d.NoQuote && raw[0] == d.Quote {
		raw = raw[1:]
		if n := len(raw); n > 0 && raw[n-1] == d.Quote {
			raw = raw[:n-1]
		}
		if raw == "" {
			return false
		}
	}
	first, last := raw[0], raw[len(raw)-1]
	return mayBeSpace(first) || mayBeSpace(last) || d != nil && d.Escape != 0 && first == d.Escape
}

// mayBeSpace tells of a byte whether it may be of a character that is space.
func mayBeSpace(c byte) bool { return c == ' ' || c-'\t' <= '\r'-'\t' || c >= 0x80 }

// trimAll makes the vector of a column. Rows that are not selected are never read.
func trimAll(b *record.Batch, col int) *record.Vector {
	out := record.NewBuilder(1)
	for i, n := 0, b.Len(); i < n; i++ {
		row := b.Row(i)
		for ; out.Rows() < row; out.EndRow() {
			out.NULL()
		}
		if v := b.Value(row, col); v.IsNull() {
			out.NULL()
		} else {
			out.Text(strings.TrimSpace(v.String()))
		}
		out.EndRow()
	}
	for ; out.Rows() < b.Rows; out.EndRow() {
		out.NULL()
	}
	return out.VectorOf(b)
}

// Redact makes the values of columns NULL.
func Redact(columns []string) Step {
	return Step{name: "Redact", args: quoted(columns), kind: recordStep, adds: true, err: distinct(columns),
		open: func(s *record.Schema) (*transform, error) {
			cols, err := lookup(s, columns)
			if err != nil {
				return nil, err
			}
			// A stride of nothing: every row reads the same field.
			null := &record.Vector{Off: []uint32{0, 0}, Null: []uint64{1}}
			t := &transform{}
			t.apply = func(b *record.Batch) error {
				refs := append([]record.Ref(nil), b.Refs...)
				for _, c := range cols {
					refs[c] = record.Ref{Vector: null}
				}
				b.Refs = refs
				return nil
			}
			return t, nil
		}}
}
