// Package record holds records in memory: batches of them, the CSV scanner that
// makes batches out of bytes, and the encoders that make bytes out of batches.
//
// A [Batch] is the raw text of whole records as one string, with the bounds of
// every field. Nothing is unquoted until somebody asks for a value, and CSV to
// CSV copies raw fields in runs. The memory of a batch is used again once it is
// released, so what callbacks see is a view, whose strings are copies.
package record

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
	"unsafe"
)

// Type is the declared type of a column's values.
type Type uint8

// The types a column can have. The zero Type is Text.
const (
	Text Type = iota
	Bool
	Int64
	Float64
	Decimal
	Date
	Timestamp
	Bytes
)

var typeNames = [...]string{"text", "bool", "int64", "float64", "decimal", "date", "timestamp", "bytes"}

func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("Type(%d)", uint8(t))
}

// Valid returns an error for a type that is none.
func (t Type) Valid() error {
	if int(t) < len(typeNames) {
		return nil
	}
	return fmt.Errorf("there is no type %d", uint8(t))
}

// CheckTypes returns an error for the first of columns whose type is none.
func CheckTypes(columns []Column) error {
	for _, c := range columns {
		if err := c.Type.Valid(); err != nil {
			return fmt.Errorf("column %q: %w", c.Name, err)
		}
	}
	return nil
}

// Column is the name and type of one column.
type Column struct {
	Name string
	Type Type
}

// Schema is the columns of a batch. It is immutable and shared by all batches
// of a stretch of the chain.
type Schema struct {
	Columns []Column
	// Header tells whether the source has a header row, or what stands for
	// one; it decides whether an object gets one.
	Header bool

	index map[string]int
}

// NewSchema returns the schema of columns.
func NewSchema(columns []Column, header bool) *Schema {
	index := make(map[string]int, len(columns))
	for i, c := range columns {
		if _, twice := index[c.Name]; twice {
			i = ambiguous
		}
		index[c.Name] = i
	}
	return &Schema{Columns: columns, Header: header, index: index}
}

// ambiguous is the index of a name that several columns share.
const ambiguous = -2

// Index returns the position of the column called name; it is negative if
// there is none, or more than one.
func (s *Schema) Index(name string) int {
	if i, ok := s.index[name]; ok {
		return i
	}
	return -1
}

// Has tells whether any column is called name.
func (s *Schema) Has(name string) bool {
	_, ok := s.index[name]
	return ok
}

// Lookup returns the position of the one column called name. Its error says
// which columns there are, or which ones share the name.
func (s *Schema) Lookup(name string) (int, error) {
	switch i := s.Index(name); i {
	case -1:
		return 0, s.UnknownColumn(name)
	case ambiguous:
		return 0, s.duplicate(name)
	default:
		return i, nil
	}
}

// Duplicate returns an error for the first name that is empty or occurs twice.
func (s *Schema) Duplicate() error {
	for i, c := range s.Columns {
		if c.Name == "" {
			return fmt.Errorf("column %d has no name", i+1)
		}
		if s.index[c.Name] == ambiguous {
			return s.duplicate(c.Name)
		}
	}
	return nil
}

func (s *Schema) duplicate(name string) error {
	var at []int
	for i, c := range s.Columns {
		if c.Name == name {
			at = append(at, i+1)
		}
	}
	return fmt.Errorf("columns %d and %d are both called %q", at[0], at[1], name)
}

// UnknownColumn returns the error for a column that is not in s: it lists the
// columns there are, as far as they fit a line.
func (s *Schema) UnknownColumn(name string) error {
	return &UnknownColumnError{Name: name, Columns: s.Columns}
}

// UnknownColumnError says that a column is not there, and which ones are.
type UnknownColumnError struct {
	Name    string
	Columns []Column
}

func (e *UnknownColumnError) Error() string {
	const most = 12
	names := make([]string, 0, most+1)
	for i, c := range e.Columns {
		if i == most {
			names = append(names, "…")
			break
		}
		names = append(names, visible(c.Name))
	}
	if len(names) == 0 {
		return fmt.Sprintf("no column %q: there are no columns", e.Name)
	}
	return fmt.Sprintf("no column %q: there are %s%s", e.Name, strings.Join(names, ", "), compressed(e.Columns[0].Name))
}

// visible is a column's name for an error: in quotes unless it cannot be mistaken, and
// not all of it if that is no name.
func visible(name string) string {
	const most = 64
	plain := name != "" && strings.IndexFunc(name, func(r rune) bool {
		return r != ' ' && !unicode.IsPrint(r) || r == ',' || r == '"' || r == utf8.RuneError
	}) < 0 && name == strings.TrimSpace(name)
	more := ""
	if len(name) > most {
		name, more = strings.ToValidUTF8(name[:most], ""), "…"
	}
	if plain {
		return name + more
	}
	return strconv.Quote(name) + more
}

// compressed is advice about a source whose first name is none.
func compressed(name string) string {
	for format, magic := range map[string]string{"gzip": "\x1f\x8b", "zstd": "\x28\xb5\x2f\xfd"} {
		if strings.HasPrefix(name, magic) {
			return fmt.Sprintf("; the source looks like %s: put Decompress first", format)
		}
	}
	return ""
}

// Value is text or NULL. The zero Value is NULL.
type Value struct {
	text  string
	valid bool
}

// TextValue returns the value whose text is s.
func TextValue(s string) Value { return Value{text: s, valid: true} }

// String returns the text; NULL reads as "".
func (v Value) String() string { return v.text }

// IsNull tells NULL from text.
func (v Value) IsNull() bool { return !v.valid }

// Vector holds the fields of one or more adjoining columns, for every physical
// row of a batch. It is immutable once it is in a batch.
//
// Field i of row r is Text[Off[r*Stride+i] : Off[r*Stride+i+1]-Gap].
type Vector struct {
	Text   string
	Off    []uint32
	Fields int    // of a row
	Stride int    // Fields where a row begins where the one before ends, else Fields+1
	Gap    uint32 // bytes between two fields: 1 in raw CSV (the comma), 0 in plain text

	// Dialect tells how raw fields are to be read (quotes, escapes, NULL).
	// It is nil for plain text, whose fields are their own values.
	Dialect *Dialect

	// Null has a bit per field, row*Fields+i, in plain text; nil: no
	// field is NULL. In raw CSV the text itself tells.
	Null []uint64

	// Irregular tells that some rows were padded or trimmed to the schema's
	// width: the fields of a row need not adjoin, and a padded field has the
	// bounds of nothing (end before start), which reads as NULL.
	Irregular bool

	// There are no quotes and no escapes within quotes, but for the rows that doubled
	// has a bit for; nil: there are none.
	whole   bool
	doubled []uint64
	marks   [64]uint64 // room for doubled
}

// Whole tells whether the text of every quoted field of a row is what stands between
// its quotes.
func (v *Vector) Whole(row int) bool {
	return v.whole && (v.doubled == nil || v.doubled[row>>6]&(1<<(row&63)) == 0)
}

// raw returns the bytes of a field as they stand; ok is false for a padded field.
func (v *Vector) raw(row, field int) (s string, ok bool) {
	k := row*v.Stride + field
	lo, hi := v.Off[k], v.Off[k+1]-v.Gap
	if int32(hi-lo) < 0 {
		return "", false
	}
	return v.Text[lo:hi], true
}

// value returns the value of a field.
func (v *Vector) value(row, field int) Value {
	raw, ok := v.raw(row, field)
	switch d := v.Dialect; {
	case !ok, d == nil && v.null(row, field):
		return Value{}
	case d == nil, d.verbatim(raw):
		return TextValue(raw)
	case v.Whole(row) && d.quoted(raw):
		return TextValue(raw[1 : len(raw)-1])
	default:
		return d.value(raw)
	}
}

// text returns the text of a field, in scratch if it does not stand in the
// vector as one piece.
func (v *Vector) text(row, field int, scratch []byte) (s string, null bool, _ []byte) {
	raw, ok := v.raw(row, field)
	d := v.Dialect
	switch {
	case !ok:
		return "", true, scratch
	case d == nil:
		return raw, v.null(row, field), scratch
	case d.verbatim(raw):
		return raw, false, scratch
	case !d.quoted(raw) && raw == d.Null:
		return "", true, scratch
	}
	s, scratch = v.Unquote(row, raw, scratch)
	return s, false, scratch
}

// Unquote returns the text of a field that stands as raw in a row of a vector of CSV,
// in scratch if it does not stand there as one piece. It knows nothing of NULL.
func (v *Vector) Unquote(row int, raw string, scratch []byte) (string, []byte) {
	d := v.Dialect
	if v.Whole(row) && d.quoted(raw) {
		return raw[1 : len(raw)-1], scratch
	}
	if inner, ok := d.inner(raw); ok {
		return inner, scratch
	}
	scratch = d.appendText(scratch[:0], raw)
	return unsafe.String(unsafe.SliceData(scratch), len(scratch)), scratch
}

func (v *Vector) null(row, field int) bool {
	if v.Null == nil {
		return false
	}
	bit := row*v.Fields + field
	return v.Null[bit>>6]&(1<<(bit&63)) != 0
}

// Ref names one column of a batch: a field of a vector.
type Ref struct {
	Vector *Vector
	Field  int
}

// Batch is a run of records with the same schema. Steps change it in place
// (columns, selection), never the vectors.
type Batch struct {
	Schema *Schema
	Refs   []Ref // parallel to Schema.Columns; replaced as a whole, never written to
	Rows   int   // physical rows, in every vector

	// Selection lists the physical rows that are still there, ascending; nil
	// means all of them.
	Selection []int32

	// Partition is the columns whose values say which objects a row belongs
	// in, and which are no longer in Refs; nil: rows are not partitioned.
	Partition []Ref

	// First is the number of physical row 0 in its source, from 1; Numbers,
	// if not nil, has the number of each physical row instead, counted from
	// First-1 (so that First can be filled in later).
	First   int64
	Numbers []int64

	// Offsets has what RowOffset returns, where Source does not tell: of rows
	// that a step has made of those of a source; nil if that is not known either.
	Offsets []int64

	// Source is the vector whose text is the source's own bytes, and Offset
	// where that text began in the source; nil for sources that are no bytes.
	Source *Vector
	Offset int64

	decoded *decoded // what Release gives up a claim on; nil: the collector's
	room    []int32  // of NewSelection
	keeper  *keeper  // of a view whose text will be overwritten
	at      int      // the row that Records is at, from 1; 0: none

	spare       []Ref   // room for NewRefs
	spareVector *Vector // and for a vector that is made of the batch
	spareOf     *Batch  // the batch whose room it is: a copy of that has none

	cache [4]slot
}

// slot remembers the column of a name.
type slot struct {
	name string
	col  int

	// Of a view whose text will be overwritten, if most fields can be copied as
	// they stand:
	vector *Vector
	field  int
}

// Len returns the number of selected rows.
func (b *Batch) Len() int {
	if b.Selection != nil {
		return len(b.Selection)
	}
	return b.Rows
}

// Row returns the physical row of the i-th selected one.
func (b *Batch) Row(i int) int {
	if b.Selection != nil {
		return int(b.Selection[i])
	}
	return i
}

// Number returns the number of a physical row in its source, from 1.
func (b *Batch) Number(row int) int64 {
	if b.Numbers != nil {
		return b.First - 1 + b.Numbers[row]
	}
	return b.First + int64(row)
}

// RowOffset returns where a physical row begins in its source, or -1.
func (b *Batch) RowOffset(row int) int64 {
	switch {
	case b.Offsets != nil:
		return b.Offsets[row]
	case b.Source == nil:
		return -1
	}
	return b.Offset + int64(b.Source.Off[row*b.Source.Stride])
}

// Value returns the value of a column in a physical row.
func (b *Batch) Value(row, col int) Value {
	ref := b.Refs[col]
	return ref.Vector.value(row, ref.Field)
}

// Records returns the selected rows in order.
func (b *Batch) Records() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for i, n := 0, b.Len(); i < n; i++ {
			row := b.Row(i)
			b.at = row + 1
			if !yield(Record{b, row}) {
				return
			}
		}
		b.at = 0
	}
}

// At returns the physical row that [Batch.Records] is at, or has stopped at: what
// went wrong in between has to do with it. ok is false before and behind them all.
func (b *Batch) At() (row int, ok bool) { return b.at - 1, b.at > 0 }

// column finds a column by name. A batch is used by one goroutine at a time,
// so it remembers the few names that are asked for in every row.
func (b *Batch) column(name string) int {
	slot := &b.cache[len(name)&3]
	if slot.name == name && name != "" {
		return slot.col
	}
	col := b.Schema.Index(name)
	if col >= 0 {
		b.remember(slot, name, col)
	}
	return col
}

func (b *Batch) remember(s *slot, name string, col int) {
	*s = slot{name: name, col: col}
	ref := b.Refs[col]
	if d := ref.Vector.Dialect; b.keeper != nil && d != nil && d.Escape == 0 {
		s.vector, s.field = ref.Vector, ref.Field
	}
}

// Rebind gives b other columns: the step that changes the schema calls it.
func (b *Batch) Rebind(s *Schema, refs []Ref) {
	b.Schema, b.Refs = s, refs
	clear(b.cache[:])
}

// NewRefs returns n refs to be filled and given to [Batch.Rebind].
func (b *Batch) NewRefs(n int) []Ref {
	if b.spareOf != b || n > len(b.spare) {
		return make([]Ref, n)
	}
	refs := b.spare[:n:n]
	b.spare = b.spare[n:]
	return refs
}

// newVector returns a vector to be filled.
func (b *Batch) newVector() *Vector {
	if b.spareOf != b || b.spareVector == nil {
		return new(Vector)
	}
	v := b.spareVector
	b.spareVector = nil
	return v
}

// Record is one row of a batch.
type Record struct {
	Batch *Batch
	Row   int // physical
}

// ColumnError is what [Record.Get] and [Record.Value] panic with: the name is
// no column's, or several columns'. The callback loop makes it the row's error.
type ColumnError struct{ Err error }

func (e *ColumnError) Error() string { return e.Err.Error() }

func (e *ColumnError) Unwrap() error { return e.Err }

// Get returns the text of the column called name; NULL reads as "". A name
// that is not one column's panics with a *ColumnError.
func (r Record) Get(name string) string {
	return r.Value(name).text
}

// Value returns the value of the column called name, like Get.
//
// Callbacks ask for a short field of every row: what [Record.value] does for
// most of these is written out here, without a call.
func (r Record) Value(name string) Value {
	slot := &r.Batch.cache[len(name)&3]
	if v := slot.vector; v != nil && unsafe.StringData(slot.name) == unsafe.StringData(name) && len(slot.name) == len(name) {
		k, at := r.Batch.keeper, r.Row*v.Stride+slot.field
		lo := int(v.Off[at])
		n := int(v.Off[at+1]-v.Gap) - lo
		if uint(n-1) < shortText && lo+shortText <= len(v.Text) &&
			v.Dialect.verbatim(v.Text[lo:lo+n]) {
			return TextValue(k.short(v.Text[lo:lo+shortText], n))
		}
	}
	col := r.Batch.column(name)
	if col < 0 {
		panic(r.Batch.noColumn(name))
	}
	return r.value(col)
}

// Field returns the value of the i-th column, from 0.
func (r Record) Field(i int) Value {
	r.mustLast()
	return r.value(i)
}

func (r Record) mustLast() {
	if r.Batch.Schema == ended {
		panic(&ColumnError{ErrKept})
	}
}

// value returns a value that outlives the batch.
func (r Record) value(col int) Value {
	ref := r.Batch.Refs[col]
	if k := r.Batch.keeper; k != nil && ref.Vector.Dialect != nil {
		return k.value(ref, r.Row)
	}
	return ref.Vector.value(r.Row, ref.Field)
}

// Len returns the number of columns.
func (r Record) Len() int { return len(r.Batch.Refs) }

// FieldError is a failure at one field of a batch: what an encoder or a
// built-in step knows. The chain adds the row's number and offset.
type FieldError struct {
	Row    int    // physical row of the batch
	Column string // may be empty
	Err    error
}

func (e *FieldError) Error() string {
	if e.Column == "" {
		return e.Err.Error()
	}
	return fmt.Sprintf("column %q: %v", e.Column, e.Err)
}

func (e *FieldError) Unwrap() error { return e.Err }

// Text returns the text of a column in a physical row, in scratch if it does not
// stand in the vector as one piece; NULL reads as "".
func (r Ref) Text(row int, scratch []byte) (s string, null bool, _ []byte) {
	return r.Vector.text(row, r.Field, scratch)
}
