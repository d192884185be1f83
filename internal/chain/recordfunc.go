package chain

import (
	"errors"
	"fmt"

	"github.com/seed149ec23d/s3writer/internal/record"
)

// RecordStep is somebody's own step, opened for one table.
type RecordStep struct {
	Columns []record.Column // nil: unchanged
	Row     func(r record.Record, out *Emitter) error
	End     func(out *Emitter) error // may be nil
}

// RecordFunc runs what open returns over the records of a table.
func RecordFunc(open func([]record.Column) (RecordStep, error)) Step {
	step := Step{name: "RecordFunc", args: "func", kind: recordStep, ordered: true, callback: true, adds: true, emits: true}
	if open == nil {
		step.err = errors.New("the function is nil")
	}
	step.open = func(s *record.Schema) (*transform, error) {
		rs, err := protect(func() (RecordStep, error) {
			return open(append([]record.Column(nil), s.Columns...))
		})
		if err != nil {
			return nil, err
		}
		if rs.Row == nil {
			return nil, errors.New("the opened RecordStep has no Row function")
		}
		if rs.Columns == nil {
			return rs.transform(record.NewSchema(s.Columns, s.Header)), nil
		}
		made := record.NewSchema(rs.Columns, s.Header)
		if err := checkMade(made); err != nil {
			return nil, fmt.Errorf("the opened RecordStep's columns: %w", err)
		}
		return rs.transform(made), nil
	}
	return step
}

// checkMade says what is wrong with columns that no source has given.
func checkMade(s *record.Schema) error {
	if len(s.Columns) == 0 {
		return errors.New("there are none; leave Columns nil for those that came in")
	}
	if err := record.CheckTypes(s.Columns); err != nil {
		return err
	}
	return s.Duplicate()
}

// protect calls f and makes a panic of it an error, and of an error that panics one
// that does not.
func protect[T any](f func() (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = recovered(p)
		}
	}()
	v, err = f()
	return v, Sound(err)
}

// emitted is how much text a step may collect before it is handed on, between
// two calls of its function. A single call may emit twice as much: no other
// function is to be called while it runs, as long as that can be helped.
const emitted = BlockSize

func (rs RecordStep) transform(s *record.Schema) *transform {
	t := &transform{schema: s}
	t.emit = func(b *record.Batch, out func(*record.Batch) error) error {
		e := newEmitter(s, out)
		err := eachRow(b, func(r record.Record) error {
			e.source = r
			before := e.rows
			err := rs.Row(r, e)
			if err == nil && e.rows == before {
				t.filtered.Add(1)
			}
			return e.rowEnded(err)
		})
		if err = e.end(err); err == nil {
			b.Release()
		}
		return err
	}
	if rs.End != nil {
		t.end = func(out func(*record.Batch) error) error {
			e := newEmitter(s, out)
			_, err := protect(func() (struct{}, error) { return struct{}{}, e.rowEnded(rs.End(e)) })
			return e.end(err)
		}
	}
	return t
}

// Emitter takes the fields of the records that a [RecordStep] makes.
type Emitter struct {
	schema  *record.Schema
	out     func(*record.Batch) error
	b       *record.Builder
	source  record.Record // what is being processed; none in End
	numbers []int64       // of the source's rows, for the errors of later steps
	offsets []int64       // and where they begin, of a source of bytes
	rows    int64
	width   int   // fields of a row; noMore once none are taken
	failed  error // why, if what was emitted could not be handed on
}

func newEmitter(s *record.Schema, out func(*record.Batch) error) *Emitter {
	return &Emitter{schema: s, out: out, b: record.NewBuilder(len(s.Columns)), width: len(s.Columns)}
}

// Text appends a text field to the row.
func (e *Emitter) Text(s string) { e.next(); e.b.Text(s) }

// Null appends a NULL field.
func (e *Emitter) Null() { e.next(); e.b.NULL() }

// Value appends a field.
func (e *Emitter) Value(v record.Value) { e.next(); e.b.Value(v) }

// Copy appends field i of r.
func (e *Emitter) Copy(r record.Record, i int) { e.next(); e.b.Copy(r, i) }

// noMore is the width of an Emitter that takes no field and no row.
const noMore = -1

// next panics on a field too many: eachRow makes it the row's error, and no
// later field can slip into the next row.
func (e *Emitter) next() {
	if e.b.Fields() >= e.width {
		e.mustTake()
		panic(&record.ColumnError{Err: fmt.Errorf("a field too many: the step's rows have %d columns", e.width)})
	}
}

// EndRow ends the row; it must have a field for every column.
func (e *Emitter) EndRow() {
	if n := e.b.Fields(); n != e.width {
		e.mustTake()
		panic(&record.ColumnError{Err: fmt.Errorf("EndRow after %d fields, but the step's rows have %d columns", n, e.width)})
	}
	e.b.EndRow()
	e.rows++
	if b := e.source.Batch; b != nil {
		e.numbers = append(e.numbers, b.Number(e.source.Row))
		if b.Source != nil || b.Offsets != nil {
			e.offsets = append(e.offsets, b.RowOffset(e.source.Row))
		}
	}
	if e.b.Size() < 2*emitted && e.b.Rows() < 2*windowRows {
		return
	}
	if e.flush() != nil {
		e.mustTake()
	}
}

// mustTake panics if nobody takes more: the function need not go on, or should
// have ended before.
func (e *Emitter) mustTake() {
	switch {
	case e.failed != nil:
		panic(&handOnError{e.failed})
	case e.width == noMore:
		panic(&record.ColumnError{Err: errEmitterKept})
	}
}

// errEmitterKept is what an Emitter panics with after the calls it was given to:
// what it took then would be in no object.
var errEmitterKept = errors.New("the Emitter was kept beyond the call it was given to: use the one that comes with each call")

// handOnError unwinds somebody's function when what it emits has nowhere to go.
// The Emitter remembers it too: the function may recover from anything.
type handOnError struct{ err error }

// rowEnded is called after each call of the user's function, with what that
// returned.
func (e *Emitter) rowEnded(err error) error {
	switch n := e.b.Fields(); {
	case e.failed != nil:
		return e.failed
	case err == nil && n != 0:
		return fmt.Errorf("%d fields were emitted without EndRow", n)
	case err == nil && (e.b.Size() >= emitted || e.b.Rows() >= windowRows):
		return e.flush()
	}
	return err
}

// end hands on the rest, unless the calls came to an error. The Emitter takes no
// more then.
func (e *Emitter) end(err error) error {
	if err == nil {
		err = e.flush()
	}
	e.width = noMore
	if e.failed != nil { // whatever the function made of it
		return e.failed
	}
	return err
}

// flush hands on what was collected.
func (e *Emitter) flush() error {
	if e.b.Rows() == 0 {
		return nil
	}
	b := e.b.Batch(e.schema)
	if e.source.Batch != nil {
		b.Numbers, b.Offsets = e.numbers, e.offsets
		e.numbers, e.offsets = nil, nil
	} else {
		b.Numbers = make([]int64, b.Rows) // rows made at the end come from no row
	}
	if err := e.out(b); err != nil {
		e.failed, e.width = err, noMore
	}
	return e.failed
}
