package chain

import (
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"strconv"
	"sync/atomic"

	"github.com/seed149ec23d/s3writer/internal/record"
)

// transform is a record step that has been opened for one table.
type transform struct {
	schema *record.Schema // of what leaves; nil: as it came

	// apply changes a batch in place, or emit takes it, hands on others and
	// releases it; one of the two is set.
	apply func(*record.Batch) error
	emit  func(b *record.Batch, out func(*record.Batch) error) error
	end   func(out func(*record.Batch) error) error // after the last batch; may be nil

	partition []string // the columns that rows are partitioned by from here on

	limits   bool         // takes a number of rows and no more
	done     atomic.Bool  // nothing more will leave: the source need not be read on
	last     atomic.Int64 // the number of the last row taken; atTheEnd of those that no row became
	passed   int64        // rows of the source that became the rows it took
	filtered atomic.Int64 // rows left out on purpose
}

// atTheEnd is the number of a row that a step has made at its end, behind all
// rows of the source.
const atTheEnd = math.MaxInt64

// PanicError is a panic of somebody's callback.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// recovered turns what recover returned into an error. Get of an unknown
// column panics on purpose: that one is the row's error as it is.
func recovered(v any) error {
	switch v := v.(type) {
	case *record.ColumnError:
		return v.Err
	case *handOnError:
		return v.err
	}
	return Panicked(v)
}

// Panicked is the error of a panic that was just recovered.
func Panicked(v any) *PanicError {
	if err, ok := v.(error); ok {
		v = Sound(err)
	}
	return &PanicError{Value: v, Stack: debug.Stack()}
}

// eachRow calls f with every selected row of b. Panics and errors of f become
// errors of the row.
func eachRow(b *record.Batch, f func(record.Record) error) (err error) {
	row := 0
	defer func() {
		if v := recover(); v != nil {
			err = rowError(b, row, "", recovered(v))
		}
	}()
	view := b.View()
	defer view.EndView()
	for i, n := 0, b.Len(); i < n; i++ {
		row = b.Row(i)
		if err := f(record.Record{Batch: view, Row: row}); err != nil {
			return rowError(b, row, "", Sound(err))
		}
	}
	return nil
}

// lookup finds the columns that a step names.
func lookup(s *record.Schema, names []string) ([]int, error) {
	cols := make([]int, len(names))
	for i, name := range names {
		col, err := s.Lookup(name)
		if err != nil {
			return nil, err
		}
		cols[i] = col
	}
	return cols, nil
}

// Select keeps the named columns, in this order.
func Select(columns []string) Step {
	return Step{name: "Select", args: quoted(columns), kind: recordStep, err: distinct(columns),
		open: func(s *record.Schema) (*transform, error) {
			cols, err := lookup(s, columns)
			if err != nil {
				return nil, err
			}
			return project(s, cols), nil
		}}
}

// Drop keeps all columns but the named ones.
func Drop(columns []string) Step {
	return Step{name: "Drop", args: quoted(columns), kind: recordStep, err: distinct(columns),
		open: func(s *record.Schema) (*transform, error) {
			drop := make(map[string]bool, len(columns))
			for _, name := range columns {
				// A name that several columns share is no mistake here: all go.
				if !s.Has(name) {
					return nil, s.UnknownColumn(name)
				}
				drop[name] = true
			}
			var keep []int
			for i, c := range s.Columns {
				if !drop[c.Name] {
					keep = append(keep, i)
				}
			}
			if len(keep) == 0 {
				return nil, errors.New("no column would be left")
			}
			return project(s, keep), nil
		}}
}

// project makes the transform that keeps the columns at the given positions.
func project(s *record.Schema, cols []int) *transform {
	columns := make([]record.Column, len(cols))
	for i, c := range cols {
		columns[i] = s.Columns[c]
	}
	t := &transform{schema: record.NewSchema(columns, s.Header)}
	t.apply = func(b *record.Batch) error {
		refs := b.NewRefs(len(cols))
		for i, c := range cols {
			refs[i] = b.Refs[c]
		}
		b.Rebind(t.schema, refs)
		return nil
	}
	return t
}

// Rename gives columns other names: pairs of old and new.
func Rename(pairs []string) Step {
	step := Step{name: "Rename", args: quoted(pairs), kind: recordStep}
	switch {
	case len(pairs)%2 != 0:
		step.err = fmt.Errorf("takes pairs of an old and a new name, but got %d names", len(pairs))
	case len(pairs) == 0:
		step.err = errors.New("takes at least one pair of names")
	}
	seen := make(map[string]bool)
	for i := 1; i < len(pairs); i += 2 {
		switch old := pairs[i-1]; {
		case pairs[i] == "":
			step.err = fmt.Errorf("the new name of column %q is empty", old)
		case seen[old]:
			step.err = fmt.Errorf("renames column %q twice", old)
		}
		seen[pairs[i-1]] = true
	}
	step.open = func(s *record.Schema) (*transform, error) {
		columns := append([]record.Column(nil), s.Columns...)
		for i := 0; i < len(pairs); i += 2 {
			col, err := s.Lookup(pairs[i])
			if err != nil {
				return nil, err
			}
			columns[col].Name = pairs[i+1]
		}
		t := retype(s, columns)
		for i := 1; i < len(pairs); i += 2 {
			if _, err := t.schema.Lookup(pairs[i]); err != nil {
				return nil, err
			}
		}
		return t, nil
	}
	return step
}

// retype makes the transform that changes names or types of columns, no data.
func retype(s *record.Schema, columns []record.Column) *transform {
	t := &transform{schema: record.NewSchema(columns, s.Header)}
	t.apply = func(b *record.Batch) error {
		b.Rebind(t.schema, b.Refs)
		return nil
	}
	return t
}

// AddColumn adds a last column with the same value in every row.
func AddColumn(name, value string) Step {
	step := Step{name: "AddColumn", args: quoted([]string{name, value}), kind: recordStep, adds: true}
	if name == "" {
		step.err = errors.New("the column's name is empty")
	}
	step.open = func(s *record.Schema) (*transform, error) {
		if s.Has(name) {
			return nil, fmt.Errorf("there is a column %q already; Derive replaces one", name)
		}
		// A stride of nothing: every row reads the same field.
		v := &record.Vector{Text: value, Off: []uint32{0, uint32(len(value))}}
		return addColumn(s, record.Column{Name: name}, func(*record.Batch) *record.Vector { return v }), nil
	}
	return step
}

// columnBinder makes the transform that adds a column, or replaces the one of
// that name, and the func that does so to a batch.
func columnBinder(s *record.Schema, c record.Column) (*transform, func(*record.Batch, *record.Vector)) {
	columns := append([]record.Column(nil), s.Columns...)
	at := s.Index(c.Name)
	if at < 0 {
		at = len(columns)
		columns = append(columns, c)
	} else {
		columns[at] = c
	}
	t := &transform{schema: record.NewSchema(columns, s.Header)}
	return t, func(b *record.Batch, v *record.Vector) {
		refs := b.NewRefs(len(columns))
		copy(refs, b.Refs)
		refs[at] = record.Ref{Vector: v}
		b.Rebind(t.schema, refs)
	}
}

// addColumn is columnBinder for values that are made for a batch at once.
func addColumn(s *record.Schema, c record.Column, values func(*record.Batch) *record.Vector) *transform {
	t, bind := columnBinder(s, c)
	t.apply = func(b *record.Batch) error {
		bind(b, values(b))
		return nil
	}
	return t
}

// Derive adds or replaces a column with what value returns for each record.
func Derive(column string, value func(record.Record) (record.Value, error)) Step {
	step := Step{name: "Derive", args: quoted([]string{column}), kind: recordStep, ordered: true, callback: true, adds: true}
	switch {
	case column == "":
		step.err = errors.New("the column's name is empty")
	case value == nil:
		step.err = errors.New("the function is nil")
	}
	step.open = func(s *record.Schema) (*transform, error) {
		if s.Has(column) {
			if _, err := s.Lookup(column); err != nil {
				return nil, err
			}
		}
		t, bind := columnBinder(s, record.Column{Name: column})
		t.emit = func(b *record.Batch, out func(*record.Batch) error) error {
			return derive(b, column, value, func(b *record.Batch, v *record.Vector) error {
				bind(b, v)
				return out(b)
			})
		}
		return t, nil
	}
	return step
}

// derive hands on b with the vector of what value returns for its selected
// rows; where that is much, in several parts.
func derive(b *record.Batch, column string, value func(record.Record) (record.Value, error), out func(*record.Batch, *record.Vector) error) error {
	v := record.NewBuilder(1)
	fill := func(row int) { // rows that are not selected are never read
		for v.Rows() < row {
			v.NULL()
			v.EndRow()
		}
	}
	n, handed, taken := b.Len(), 0, 0
	handOn := func() error {
		part := b
		if taken-handed < n {
			rows := make([]int32, taken-handed)
			for i := range rows {
				rows[i] = int32(b.Row(handed + i))
			}
			part = b.Part(rows)
		}
		fill(b.Rows)
		handed = taken
		return out(part, v.Vector())
	}
	err := eachRow(b, func(r record.Record) error {
		val, err := value(r)
		if err != nil {
			return &record.FieldError{Row: r.Row, Column: column, Err: Sound(err)}
		}
		fill(r.Row)
		v.Value(val)
		v.EndRow()
		if taken++; v.Size() < maxOut || taken == n {
			return nil
		}
		return handOn()
	})
	if err != nil {
		return err
	}
	whole := handed == 0
	if err := handOn(); err != nil || whole {
		return err
	}
	b.Release()
	return nil
}

// Typed declares the type of a column and checks every value of it.
func Typed(column string, t record.Type) Step {
	return Step{name: "Typed", args: fmt.Sprintf("%q, %v", column, t), kind: recordStep, err: t.Valid(),
		open: func(s *record.Schema) (*transform, error) {
			col, err := s.Lookup(column)
			if err != nil {
				return nil, err
			}
			columns := append([]record.Column(nil), s.Columns...)
			columns[col].Type = t
			tr := retype(s, columns)
			rebind := tr.apply
			tr.apply = func(b *record.Batch) error {
				for i, n := 0, b.Len(); i < n; i++ {
					row := b.Row(i)
					v := b.Value(row, col)
					if v.IsNull() {
						continue
					}
					if err := t.Check(v.String()); err != nil {
						return rowError(b, row, column, err)
					}
				}
				return rebind(b)
			}
			return tr, nil
		}}
}

// Filter keeps the records for which keep returns true.
func Filter(keep func(record.Record) bool) Step {
	step := Step{name: "Filter", args: "func", kind: recordStep, ordered: true, callback: true}
	if keep == nil {
		step.err = errors.New("the function is nil")
	}
	step.open = func(*record.Schema) (*transform, error) {
		t := &transform{}
		t.apply = func(b *record.Batch) error {
			before := b.Len()
			selection, err := filter(b, keep)
			if err != nil {
				return err
			}
			b.Selection = selection
			t.filtered.Add(int64(before - len(selection)))
			return nil
		}
		return t, nil
	}
	return step
}

// filter is eachRow written out: it is the one callback that every row of most
// deliveries passes.
func filter(b *record.Batch, keep func(record.Record) bool) (selection []int32, err error) {
	row := 0
	defer func() {
		if v := recover(); v != nil {
			err = rowError(b, row, "", recovered(v))
		}
	}()
	view := b.View()
	defer view.EndView()
	n, kept := b.Len(), 0
	selection = b.NewSelection()[:n]
	for i := range n {
		row = b.Row(i)
		ok := keep(record.Record{Batch: view, Row: row})
		selection[kept] = int32(row) // nobody can foresee a branch on ok
		if ok {
			kept++
		}
	}
	return selection[:kept], nil
}

// Limit keeps the first n records.
func Limit(n int64) Step {
	step := Step{name: "Limit", args: strconv.FormatInt(n, 10), kind: recordStep, ordered: true}
	if n < 0 {
		step.err = fmt.Errorf("the limit is %d; it cannot be negative", n)
	}
	step.open = func(*record.Schema) (*transform, error) {
		left := n
		t := &transform{limits: true}
		t.done.Store(left == 0)
		t.apply = func(b *record.Batch) error {
			if int64(b.Len()) > left { // what is behind it is not counted
				b.Selection = firstRows(b, b.NewSelection(), int(left))
			}
			left -= int64(b.Len())
			t.take(b)
			if left == 0 {
				t.done.Store(true)
			}
			return nil
		}
		return t, nil
	}
	return step
}

// take notes which rows of the source a Limit has let pass. A step may have made
// several of one.
func (t *transform) take(b *record.Batch) {
	last, n := t.last.Load(), b.Len()
	if b.Numbers == nil && n > 0 {
		last, t.passed = b.Number(b.Row(n-1)), t.passed+int64(n)
		n = 0
	}
	for i := range n {
		number := b.Number(b.Row(i))
		if number == 0 {
			number = atTheEnd
		}
		if number != last {
			last, t.passed = number, t.passed+1
		}
	}
	t.last.Store(last)
}

// firstRows appends the first n selected rows of b to rows.
func firstRows(b *record.Batch, rows []int32, n int) []int32 {
	for i := range n {
		rows = append(rows, int32(b.Row(i)))
	}
	return rows
}

// RowNumber adds a column with the number of each record that comes here, from 1.
func RowNumber(column string) Step {
	step := Step{name: "RowNumber", args: quoted([]string{column}), kind: recordStep, ordered: true, adds: true}
	if column == "" {
		step.err = errors.New("the column's name is empty")
	}
	step.open = func(s *record.Schema) (*transform, error) {
		if s.Has(column) {
			return nil, fmt.Errorf("there is a column %q already; Derive replaces one", column)
		}
		var number int64
		var digits []byte
		return addColumn(s, record.Column{Name: column, Type: record.Int64}, func(b *record.Batch) *record.Vector {
			out := record.NewBuilder(1)
			out.Reserve(b.Rows, b.Len()*digitsOf(number+int64(b.Len())))
			for i, n := 0, b.Len(); i < n; i++ {
				for row := b.Row(i); out.Rows() < row; out.EndRow() {
					out.NULL()
				}
				number++
				digits = strconv.AppendInt(digits[:0], number, 10)
				out.Bytes(digits)
				out.EndRow()
			}
			for ; out.Rows() < b.Rows; out.EndRow() {
				out.NULL()
			}
			return out.VectorOf(b)
		}), nil
	}
	return step
}

// digitsOf is how many digits a number that is not negative has.
func digitsOf(number int64) int {
	n := 1
	for ; number >= 10; number /= 10 {
		n++
	}
	return n
}

// distinct is what Select, Drop and Hash ask of the names they are given.
func distinct(columns []string) error {
	if len(columns) == 0 {
		return errors.New("takes at least one column")
	}
	seen := make(map[string]bool, len(columns))
	for _, c := range columns {
		if seen[c] {
			return fmt.Errorf("names column %q twice", c)
		}
		seen[c] = true
	}
	return nil
}
