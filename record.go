package s3writer

import (
	"iter"

	"github.com/seed149ec23d/s3writer/internal/chain"
	"github.com/seed149ec23d/s3writer/internal/record"
)

// Type is what the values of a [Column] are. CSV carries every type as text;
// [JSONLines] writes numbers and booleans of typed columns as such. A source
// of CSV has text columns only, until [Typed] declares another type.
type Type uint8

// The types of columns. The text that a value of each must have is what
// [Rows] renders and [Typed] checks.
const (
	TextType      Type = Type(record.Text)      // any text; the zero Type
	BoolType      Type = Type(record.Bool)      // true or false
	Int64Type     Type = Type(record.Int64)     // a decimal integer of 64 bits
	Float64Type   Type = Type(record.Float64)   // a finite decimal number
	DecimalType   Type = Type(record.Decimal)   // a decimal number of any precision, verbatim
	DateType      Type = Type(record.Date)      // 2006-01-02
	TimestampType Type = Type(record.Timestamp) // RFC 3339, such as 2006-01-02T15:04:05.000000Z
	BytesType     Type = Type(record.Bytes)     // base64 (RFC 4648, with padding)
)

// String returns the name of the type, such as "int64".
func (t Type) String() string { return record.Type(t).String() }

// Column is a column's name and type.
type Column struct {
	Name string
	Type Type
}

// Value is text or NULL. The zero Value is NULL; [Text] makes the others.
type Value struct{ v record.Value }

// Text returns the value whose text is s. The empty text is not NULL.
func Text(s string) Value { return Value{record.TextValue(s)} }

// String returns the text of v. NULL reads as "".
func (v Value) String() string { return v.v.String() }

// IsNull tells NULL from text.
func (v Value) IsNull() bool { return v.v.IsNull() }

// Record is one row of a table, as a callback sees it. It is valid during the
// call, in the goroutine that was called: what is kept and used later fails, but
// may go unnoticed in a table of a few rows, which package processortest finds. The
// strings it returns stay valid for ever. One kept string may keep those of other
// records in memory as well, 32 KiB or a batch of them: strings.Clone what you
// collect.
type Record struct{ r record.Record }

// Get returns the text of the column called name; NULL reads as "". A name
// that is no column's, or several columns', fails the row with an [Error] that
// names it: there is no need to check.
func (r Record) Get(name string) string { return r.r.Get(name) }

// Value returns the value of the column called name, like [Record.Get].
func (r Record) Value(name string) Value { return Value{r.r.Value(name)} }

// Field returns the value of the i-th column, from 0. It panics if there is
// none.
func (r Record) Field(i int) Value { return Value{r.r.Field(i)} }

// Len returns the number of columns.
func (r Record) Len() int { return r.r.Len() }

// Batch is a run of records on its way into an [Encoder]. Most users do not
// need it. It is valid during the call of Encode.
type Batch struct{ b *record.Batch }

// Columns returns the columns of the batch, the same for all batches of an
// object.
func (b *Batch) Columns() []Column { return publicColumns(b.b.Schema.Columns) }

// Len returns the number of records.
func (b *Batch) Len() int { return b.b.Len() }

// All returns the records in order.
func (b *Batch) All() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for r := range b.b.Records() {
			if !yield(Record{r}) {
				return
			}
		}
	}
}

// Emitter takes the records that a [RecordStep] makes, field by field. It is
// valid during the call, in the goroutine that was called: what is kept and used
// later panics.
type Emitter chain.Emitter

// Text appends a text field to the record.
func (e *Emitter) Text(s string) { (*chain.Emitter)(e).Text(s) }

// Null appends a NULL field.
func (e *Emitter) Null() { (*chain.Emitter)(e).Null() }

// Value appends a field.
func (e *Emitter) Value(v Value) { (*chain.Emitter)(e).Value(v.v) }

// Copy appends field i of r, NULL kept.
func (e *Emitter) Copy(r Record, i int) { (*chain.Emitter)(e).Copy(r.r, i) }

// EndRow ends the record. A record with more or fewer fields than the step has
// columns fails the row.
func (e *Emitter) EndRow() { (*chain.Emitter)(e).EndRow() }

func publicColumns(columns []record.Column) []Column {
	out := make([]Column, len(columns))
	for i, c := range columns {
		out[i] = Column{Name: c.Name, Type: Type(c.Type)}
	}
	return out
}

func internalColumns(columns []Column) []record.Column {
	if columns == nil {
		return nil
	}
	out := make([]record.Column, len(columns))
	for i, c := range columns {
		out[i] = record.Column{Name: c.Name, Type: record.Type(c.Type)}
	}
	return out
}
