package s3writer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed149ec23d/s3writer/internal/chain"
	"github.com/seed149ec23d/s3writer/internal/record"
)

// Table is what one delivery writes: a source, the steps its rows pass, and
// the key of the object that they become.
type Table struct {
	// Key of the object, below the Writer's prefix. Encoders and compressors
	// set its extension once: "orders.csv" with [Gzip] becomes
	// "orders.csv.gz", with [JSONLines] "orders.jsonl"; a key that ends in
	// the extension already keeps it. A key is valid UTF-8 of at most 1,024
	// bytes, without control characters and "." or ".." segments. A slash that it
	// begins with is the one behind the prefix; without a prefix it is part of the
	// object's key, as it is for S3, and the Report warns of it.
	Key string

	// Source is read once, to its end. A plain reader is never closed by the
	// library; a [Source] is opened when the table's turn comes, given the
	// context, and closed at every ending; if that fails after the end was read,
	// so does the table. A Read that blocks does not stop
	// cancellation. nil is an error, and so is one reader for two tables.
	//
	// A file is read at offsets, several parts at once, where its bytes are
	// copied as they are: no processors, no CSV, Columns, OnBadRow or Accept.
	// A file is what has ReadAt and knows its size: an *os.File or another
	// fs.File that is regular by its Stat, or something with a Size, such as a
	// *bytes.Reader, a *strings.Reader or an *io.SectionReader; given plainly,
	// from [File] or from [SourceFunc]. It is read from where it stands, as Seek
	// tells, and is then left at its end, also if the table fails. Its ReadAt
	// is called by several goroutines at once, as io.ReaderAt allows. One that
	// changes its size while it is read fails the table, and so does one that
	// is not as long as it says, as under /sys, and one that already stands at
	// its end. Everything else, a pipe, an
	// empty file, a type with a Read of its own around another's ReadAt, is
	// read in sequence.
	Source io.Reader

	// Columns, if set, says that the source has no header row, and names its
	// columns.
	Columns []string

	// CSV is the source's dialect. The zero CSV is RFC 4180 with a header row.
	CSV CSV

	// Processors are the steps, followed by the Writer's own.
	Processors []Processor

	// ObjectInput changes how the object is created, after the Writer's
	// [WithObjectInput].
	ObjectInput func(*s3.CreateMultipartUploadInput)

	// OnBadRow is asked about every row that is not well formed: nil leaves
	// the row out and counts it, an error fails the table. Without it a bad
	// row fails the table, if rows are read at all: with OnBadRow, Accept, Columns
	// or CSV they are, also where no processor needs them, and the object is
	// written anew, with LF and without a byte order mark.
	OnBadRow func(BadRow) error

	// Accept is asked after the source's clean end, before anything becomes
	// visible; an error fails the table. Use it to compare counts. So rows are
	// counted, and read as with OnBadRow.
	Accept func(TableReport) error
}

// NewTable returns the table that delivers src to key, through processors.
// Without any, a file is read at offsets: see Table.Source.
func NewTable(key string, src io.Reader, processors ...Processor) Table {
	return Table{Key: key, Source: src, Processors: processors}
}

// BadRow is a row of a source that is not well formed.
type BadRow struct {
	Row    int64  // from 1, the header row not counted
	Offset int64  // of its first byte in the decoded source
	Raw    []byte // as it stands, without its line end
	Err    error  // what was found
}

// Ragged decides what becomes of a row with too few or too many fields.
type Ragged uint8

// What a ragged row does.
const (
	RaggedError   Ragged = Ragged(record.RaggedError)   // it is a bad row; the default
	RaggedPad     Ragged = Ragged(record.RaggedPad)     // too few fields: NULLs are added; too many: bad
	RaggedTrim    Ragged = Ragged(record.RaggedTrim)    // too many fields: the last ones go; too few: bad
	RaggedPadTrim Ragged = Ragged(record.RaggedPadTrim) // both
)

// CSV is a dialect of comma-separated values, for reading ([Table]) and for
// writing ([FormatCSV]). The zero CSV is RFC 4180: comma, double quotes, a
// quote inside quotes doubled, LF or CRLF read and LF written, UTF-8, a byte
// order mark skipped, a header row, quotes on output only where needed.
//
// Unlike many readers and writers it tells NULL from the empty string: an
// empty field without quotes is NULL, "" is the empty string, as PostgreSQL
// and DuckDB have it. What is written can be read back as it was, in every
// dialect; a value that a dialect cannot carry (a comma where there are no
// quotes) is an error.
type CSV struct {
	Comma  byte // field delimiter; 0 means ','
	Quote  byte // 0 means '"'
	Escape byte // stands before a byte that is meant literally, inside and outside quotes; 0: none, quotes are doubled

	NoQuote     bool // quotes are ordinary bytes, nothing is quoted
	NoHeader    bool // no header row; columns are called col_1, col_2 … unless Table.Columns names them
	CRLF        bool // of FormatCSV only: rows end in CRLF; both ends are always read
	BOM         bool // of FormatCSV only: objects begin with a UTF-8 byte order mark
	QuoteAll    bool // of FormatCSV only: every field but NULL is quoted
	LazyQuotes  bool // read a quote in an unquoted field, or a single one in a quoted field, as it stands
	NullAsEmpty bool // write NULL and the empty string alike, for readers that know no NULL

	Comment   byte   // a record that begins with it is skipped; 0: none
	Null      string // how NULL is read and written, without quotes; "" means the empty field
	Ragged    Ragged // rows with too few or too many fields
	SkipLines int    // physical lines before the header, of a source only
	MaxRow    int    // bytes of the longest row, of a source only; 0 means 16 MiB
}

func (c CSV) dialect() record.Dialect {
	return record.Dialect{
		Comma: c.Comma, Quote: c.Quote, Escape: c.Escape,
		NoQuote: c.NoQuote, NoHeader: c.NoHeader, CRLF: c.CRLF, BOM: c.BOM,
		QuoteAll: c.QuoteAll, LazyQuotes: c.LazyQuotes, NullAsEmpty: c.NullAsEmpty,
		Comment: c.Comment, Null: c.Null, Ragged: record.Ragged(c.Ragged),
		SkipLines: c.SkipLines, MaxRow: c.MaxRow,
	}
}

// copies tells whether the table asks nothing of rows, so that its bytes may
// pass as they are if no step does either.
func (t *Table) copies() bool {
	return t.CSV == CSV{} && t.Columns == nil && t.OnBadRow == nil && t.Accept == nil
}

// input makes what the chain reads of the table.
func (t *Table) input() (chain.Input, error) {
	in := chain.Input{Columns: t.Columns, Decode: !t.copies()}
	var errs []error
	dialect := t.CSV.dialect()
	if err := dialect.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("CSV: %w", err))
	}
	in.Dialect = dialect.Resolve()
	if t.Columns != nil && len(t.Columns) == 0 {
		errs = append(errs, errors.New("Columns is empty but not nil: name the columns, or leave it nil for a header row"))
	}
	if t.OnBadRow != nil {
		in.OnBadRow = func(b record.BadRow) error {
			return t.OnBadRow(BadRow{Row: b.Row, Offset: b.Offset, Raw: []byte(b.Raw), Err: b.Err})
		}
	}
	var err error
	if in.Source, err = t.source(); err != nil {
		errs = append(errs, err)
	}
	return in, errors.Join(errs...)
}

func (t *Table) source() (chain.Source, error) {
	if isNil(t.Source) {
		return chain.Source{}, errors.New("Source is nil")
	}
	src, ok := t.Source.(*Source)
	if !ok {
		return chain.Source{Open: func(context.Context) (io.Reader, io.Closer, error) {
			return t.Source, nil, nil
		}}, nil
	}
	if src.records != nil && (t.Columns != nil || t.CSV != CSV{}) {
		return chain.Source{}, errors.New("the source has records of its own: Columns and CSV are for bytes")
	}
	if src.err != nil {
		return chain.Source{}, fmt.Errorf("Source: %w", src.err)
	}
	return src.chain(), nil
}

// once returns the pointer that tells the table's source from others, nil if the
// source may be read by several tables or cannot be told.
func (t *Table) once() any {
	if isNil(t.Source) {
		return nil
	}
	if src, ok := t.Source.(*Source); ok {
		return src.once
	}
	// Pointers to nothing may all be one.
	if v := reflect.ValueOf(t.Source); v.Kind() == reflect.Pointer && v.Type().Elem().Size() > 0 {
		return t.Source
	}
	return nil
}

// discard closes a source that was never opened and yet holds something: the
// rows of a query. A Close that does not return is left alone as that of a source
// which was read is: soon, if nobody waits any more.
func (t *Table) discard(caller context.Context) {
	src, ok := t.Source.(*Source)
	if !ok || src == nil || src.records == nil {
		return
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		defer recovered("Close", new(error))
		_ = src.records().Close()
	}()
	ctx, cancel := context.WithTimeout(caller, discardTime)
	defer cancel()
	select {
	case <-closed:
		return
	case <-ctx.Done():
	}
	select {
	case <-closed:
	case <-time.After(lastClose):
	}
}

const (
	discardTime = 2 * time.Second
	lastClose   = 50 * time.Millisecond
)

// isNil also finds the nil pointer in an interface, as a forgotten error check
// leaves it.
func isNil(r io.Reader) bool {
	if r == nil {
		return true
	}
	v := reflect.ValueOf(r)
	return v.Kind() == reflect.Pointer && v.IsNil()
}
