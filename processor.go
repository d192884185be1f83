package s3writer

import (
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/flate"
	"github.com/seed149ec23d/s3writer/internal/chain"
	"github.com/seed149ec23d/s3writer/internal/record"
)

// Processor is one step of a table's chain. Constructors such as [Select] and
// [Gzip] make the built-in ones; [RecordFunc], [ReaderFunc], [WriterFunc] and
// [EncoderFunc] make one of your own function. A Processor is a description:
// it is immutable, may be shared by any number of tables and Writes, and holds
// nothing open.
//
// The order of a chain is: readers of the source's bytes (ReaderFunc,
// [Decompress], [FromCharset]), steps on records, at most one encoder
// ([FormatCSV], [JSONLines], EncoderFunc), then writers of an object's bytes
// ([ToCharset], Gzip, [Zstd], WriterFunc). What stands in the wrong place, and arguments that cannot work,
// are errors before a byte moves; a column that is not there is an error as
// soon as the header is known.
//
// Functions given to processors, and [Table].OnBadRow, are called in row order,
// one call at a time within one table; the reader of a ReaderFunc reads beside
// them. A call of a RecordFunc's that emits more than 512 KiB gives way to
// others in EndRow. A processor given to several tables, or to Writes that run
// at once, is called by all of them at once: state that belongs to a table
// belongs in what RecordFunc opens.
type Processor struct{ steps []chain.Step }

// String returns the processor as it was made, such as `Select("id", "amount")`.
func (p Processor) String() string {
	names := make([]string, len(p.steps))
	for i, s := range p.steps {
		names[i] = s.String()
	}
	if len(names) == 1 {
		return names[0]
	}
	return "Chain(" + strings.Join(names, ", ") + ")"
}

func step(s chain.Step) Processor { return Processor{[]chain.Step{s}} }

// Select keeps the named columns, in the order given. A name that is not in
// the table is an error.
func Select(columns ...string) Processor { return step(chain.Select(columns)) }

// Drop keeps all columns but the named ones. A name that is not in the table
// is an error, and so is a table without columns.
func Drop(columns ...string) Processor { return step(chain.Drop(columns)) }

// Rename gives columns other names: Rename("old", "new", "old2", "new2").
// Each pair is looked up in the columns as they came, so names can be swapped.
func Rename(oldnew ...string) Processor { return step(chain.Rename(oldnew)) }

// Filter keeps the records for which keep returns true.
func Filter(keep func(Record) bool) Processor {
	if keep == nil {
		return step(chain.Filter(nil))
	}
	return step(chain.Filter(func(r record.Record) bool { return keep(Record{r}) }))
}

// Derive adds a column, or replaces the one of that name, with what value
// returns for each record. The column is text; [Typed] behind it makes it a
// number in JSON Lines. An error fails the row.
func Derive(column string, value func(Record) (Value, error)) Processor {
	if value == nil {
		return step(chain.Derive(column, nil))
	}
	return step(chain.Derive(column, func(r record.Record) (record.Value, error) {
		v, err := value(Record{r})
		return v.v, err
	}))
}

// Typed declares the type of a column. A value that is not of it fails with
// its row and column; NULL is of every type. Values stay as they are.
func Typed(column string, t Type) Processor { return step(chain.Typed(column, record.Type(t))) }

// RecordStep is a step of your own on records, opened for one table.
type RecordStep struct {
	// Columns are those of the records that leave the step; nil: the ones
	// that came in. Their types are the step's word: what it emits is not checked
	// here, but where it matters, as by [JSONLines]; a [Typed] behind it does.
	Columns []Column

	// Row is called with every record, in order. It emits any number of
	// records. An error fails the row.
	Row func(r Record, out *Emitter) error

	// End is called after the last record, if not nil, and may emit more.
	// It is not called when the table fails, and need not be when a Limit
	// behind the step has all the records it takes.
	End func(out *Emitter) error
}

// RecordFunc runs a step of your own: open is called once per table, with the
// columns that come in, so what it declares is the table's own state.
func RecordFunc(open func(columns []Column) (RecordStep, error)) Processor {
	if open == nil {
		return step(chain.RecordFunc(nil))
	}
	return step(chain.RecordFunc(func(columns []record.Column) (chain.RecordStep, error) {
		s, err := open(publicColumns(columns))
		if err != nil {
			return chain.RecordStep{}, err
		}
		return s.internal(), nil
	}))
}

func (s RecordStep) internal() chain.RecordStep {
	in := chain.RecordStep{Columns: internalColumns(s.Columns)}
	if s.Row != nil {
		in.Row = func(r record.Record, out *chain.Emitter) error { return s.Row(Record{r}, (*Emitter)(out)) }
	}
	if s.End != nil {
		in.End = func(out *chain.Emitter) error { return s.End((*Emitter)(out)) }
	}
	return in
}

// AddColumn adds a last column with the same value in every record. A column
// of that name is an error: [Derive] replaces one.
func AddColumn(name, value string) Processor { return step(chain.AddColumn(name, value)) }

// Limit keeps the first n records. The source is not read much further, and
// what is wrong behind the last record taken does not matter; the report counts
// rows up to that one.
func Limit(n int64) Processor { return step(chain.Limit(n)) }

// RowNumber adds a last column with the number of each record that comes to
// this step, from 1: behind a [Filter] the numbers have no gaps.
func RowNumber(column string) Processor { return step(chain.RowNumber(column)) }

// Hash replaces the values of columns by their HMAC-SHA-256 (RFC 2104) under
// key, as 64 lower-case hex digits. NULL stays NULL, and equal values under one
// key stay equal, so hashed columns can still be joined on. An empty key is an
// error. The key is never printed.
func Hash(key []byte, columns ...string) Processor { return step(chain.Hash(key, columns)) }

// Trim takes white space (Unicode's, as strings.TrimSpace has it) off both ends
// of the values of the named columns, of all columns if none is named; quoted
// values too. A value of nothing but white space becomes the empty string, not
// NULL; NULL stays NULL. Where there is nothing to trim, fields keep their
// bytes.
func Trim(columns ...string) Processor { return step(chain.Trim(columns)) }

// Redact makes the values of the named columns NULL, at least one. The columns
// stay: [Drop] takes them away, [Hash] keeps them joinable.
func Redact(columns ...string) Processor { return step(chain.Redact(columns)) }

// Dedupe keeps the first record of each key, in the order of the source, and
// leaves the others out, which the report counts as filtered. The key is the
// values of the named columns, or of all columns if none is named. NULL equals
// NULL and is not the empty string; quotes around a value do not matter.
//
// Dedupe remembers up to 4,000,000 distinct keys, whatever their length, and
// takes 64 MiB of the budget of [WithMemory] for them; the key after that fails
// the table. A key is remembered by 96 bits of a hash under a random seed: the
// odds that in a table of 4,000,000 keys a record is taken for the duplicate of
// a different one are 1 to 10^16.
func Dedupe(columns ...string) Processor { return step(chain.Dedupe(columns)) }

// Chain makes one processor of several, in order. Errors number the steps one
// by one, as if they had been given singly.
func Chain(p ...Processor) Processor {
	steps := []chain.Step{} // no processors make one that does nothing
	for _, q := range p {
		steps = append(steps, q.list()...)
	}
	return Processor{steps}
}

// list returns the steps of p; the zero Processor is a step that says so.
func (p Processor) list() []chain.Step {
	if p.steps == nil {
		return []chain.Step{{}}
	}
	return p.steps
}

// Named gives a processor the name that errors call it. The steps of a [Chain]
// are called name/step.
func Named(name string, p Processor) Processor {
	steps := make([]chain.Step, 0, len(p.steps))
	for _, s := range p.list() {
		if len(p.steps) > 1 && name != "" {
			steps = append(steps, s.WithName(name+"/"+s.Name()))
		} else {
			steps = append(steps, s.WithName(name))
		}
	}
	return Processor{steps}
}

// Concurrent lets the function of a [Filter], [Derive] or [RecordFunc] be
// called by several goroutines at once, on all cores: the caller vouches that
// it is safe for that. Records still leave in order. Processors without a
// function on records stay as they are.
func Concurrent(p Processor) Processor {
	steps := make([]chain.Step, 0, len(p.steps))
	for _, s := range p.list() {
		steps = append(steps, s.Concurrent())
	}
	return Processor{steps}
}

// FormatCSV writes objects as CSV in the dialect c. Without an encoder in the
// chain, objects are CSV in the source's dialect, with a header row if the
// source had one; FormatCSV decides both. The key keeps its extension.
func FormatCSV(c CSV) Processor { return step(chain.FormatCSV(c.dialect())) }

// JSONLines writes one JSON object (RFC 8259) per record and line, UTF-8, the
// columns in order. Typed columns are written as numbers and booleans, text as
// strings, NULL as null; <, > and & are not escaped; a value that is not valid
// UTF-8 fails the row. The key's extension becomes .jsonl.
func JSONLines() Processor { return step(chain.JSONLines()) }

// PartitionBy gives each combination of the columns' values objects of their
// own, in folders as Hive has them: "country=CZ/orders-00001.csv". The columns
// leave the records: readers take them from the folders. Values are escaped as
// Hive does (%XX); NULL and the empty string are both
// "__HIVE_DEFAULT_PARTITION__", and that word as a value fails its row, like a
// value that makes the key longer than 1,024 bytes. A table without rows has no
// object.
//
// The table need not be sorted. Rows wait in memory, up to two fifths of [WithMemory],
// until their value has enough of them; when it is full, the values with the
// most rows get an object, and another one later. [WithSpill] lets rows wait on
// disk instead: one object for each value. Every value costs about 512 bytes, and
// every object about 1 KiB until it is committed, of at most six tenths of the
// memory, of which rows that wait then have less: too many of them fail the table
// before anything is visible. With 64 MiB these are some 35,000 objects of 10,000
// values, with 256 MiB 150,000. A warning is logged when the objects are smaller than 1 MiB on average.
//
// PartitionBy stands before SplitRows and SplitSize. Steps on records may follow
// it, but for RecordFunc. Partitioning by all columns is an error.
func PartitionBy(columns ...string) Processor { return step(chain.PartitionBy(columns)) }

// SplitRows begins a new object when one has n records, with a header row of its
// own: "orders-00001.csv", "orders-00002.csv" and so on. It counts the records
// that reach the end of the chain, wherever it stands. n must be positive. Every
// object costs about 1 KiB of memory until the table is committed.
func SplitRows(n int64) Processor { return step(chain.SplitRows(n)) }

// SplitSize begins a new object before one would have more than bytes as
// stored, compressed or not. Only a header and one row that are larger than that
// together make a larger object. Compressed objects come within a few percent
// of it: the codec is asked what its input comes to, which costs a little
// compression. What a [WriterFunc] makes of its input is not known before, nor
// what an [EncoderFunc] does; objects then end as soon as what went in (behind an
// encoder: came out) is as much, unless the writer has a method Flush() error
// and makes its input smaller. Rows of
// [PartitionBy] that wait on disk count with their uncompressed size.
func SplitSize(bytes int64) Processor { return step(chain.SplitSize(bytes)) }

// Gzip compresses objects with gzip at its default level, on all cores: one
// ordinary member (RFC 1952) without a name or a time stamp, the same bytes
// for the same data on any machine. The key gets the extension .gz.
func Gzip() Processor { return step(chain.Gzip(flate.DefaultCompression)) }

// GzipLevel is [Gzip] at a level of compress/gzip: 1 (fastest) to 9
// (smallest), 0, -1 and -2.
func GzipLevel(level int) Processor { return step(chain.Gzip(level)) }

// Zstd compresses objects with zstd (RFC 8878) at its default level: one frame
// with a checksum. The key gets the extension .zst.
func Zstd() Processor { return step(chain.Zstd()) }

// ToCharset writes objects in another charset, after the encoder and before a
// compressor: ToCharset("windows-1250"). The names are the WHATWG's, as in
// [FromCharset]. "utf-16" writes UTF-16LE with a byte order mark, which is what
// spreadsheets open; "utf-16le" and "utf-16be" write no mark of their own, as
// RFC 2781 and iconv have it. The mark of [CSV].BOM, or of a source that is
// copied, stays with those two, utf-8 and gb18030; it is dropped with a charset
// that has none.
//
// A character that the charset lacks fails the table: the error has the
// character, the line and the byte. [ToCharsetLossy] writes a question mark.
func ToCharset(name string) Processor { return step(chain.ToCharset(name, false)) }

// ToCharsetLossy is [ToCharset] that writes a question mark for every character
// that the charset lacks, and for every byte that is not UTF-8 (U+FFFD where
// the charset has it).
func ToCharsetLossy(name string) Processor { return step(chain.ToCharset(name, true)) }

// FromCharset reads a source that is not UTF-8: FromCharset("windows-1252"). It
// stands before all steps on records; behind [Decompress], if there is one. The
// names are those of the WHATWG's Encoding Standard
// (https://encoding.spec.whatwg.org/#names-and-labels), in any case;
// "iso-8859-1" and "ascii" are names of windows-1252 there, and "utf-16" is
// UTF-16LE. A byte order mark (UTF-8, UTF-16LE or UTF-16BE) wins over the name
// and is not part of the data.
//
// Bytes that are no character of the charset fail the table, and so does a
// source that ends in the middle of one: the error's Offset is theirs, in what
// the step reads. That includes the bytes that Microsoft's code pages and the
// ISO 8859 family leave undefined or to control characters (0x81 of
// windows-1252), where browsers read control characters: they are a sign of a
// wrong name. [FromCharsetLossy] reads U+FFFD. Row numbers and offsets of later
// steps are of the decoded source.
func FromCharset(name string) Processor { return step(chain.FromCharset(name, false)) }

// FromCharsetLossy is [FromCharset] that reads U+FFFD, the replacement
// character, for what is no character of the charset.
func FromCharsetLossy(name string) Processor { return step(chain.FromCharset(name, true)) }

// Decompress reads a source that is gzip, zstd or bzip2, told by its first
// bytes; anything else passes as it is. Several gzip members, zstd frames or
// bzip2 streams one after another are read as one; a source that is cut, or has
// something else behind its end, fails. What is compressed twice is
// decompressed once.
//
// A source that becomes more than 64 MiB and more than 1,000 times what was
// read of it is taken for a decompression bomb and fails. Real tables stay far
// below; for one that does not, decompress it in a [ReaderFunc]. A zstd source
// may ask for a window of up to 128 MiB, which is outside the budget of
// [WithMemory].
func Decompress() Processor { return step(chain.Decompress()) }

// ReaderFunc passes the source's bytes through a reader of your own. wrap is
// called once per table; if what it returns has a Close method, it is not
// called: do at io.EOF what has to be done.
func ReaderFunc(wrap func(io.Reader) (io.Reader, error)) Processor {
	return step(chain.ReaderFunc(wrap))
}

// WriterFunc passes an object's bytes through a writer of your own, such as an
// encryption. wrap is called once per object. Close is called at the object's
// end and writes what is left; when the object is given up it is called too,
// and what it writes then goes nowhere. ext is added to the key ("" for none).
// Bytes that depend on the time make objects differ from run to run.
func WriterFunc(ext string, wrap func(io.Writer) (io.WriteCloser, error)) Processor {
	return step(chain.WriterFunc(ext, wrap))
}

// Encoder is a format of your own. Encode is called with every batch of an
// object, in order, by one goroutine at a time; Close, called once and last,
// writes what is left, or lets go of everything if the object is given up.
// Neither closes the writer underneath.
type Encoder interface {
	Encode(*Batch) error
	Close() error
}

// EncoderFunc writes objects in a format of your own. open is called once per
// object. ext replaces the key's extension ("" leaves it).
func EncoderFunc(ext string, open func(w io.Writer, columns []Column) (Encoder, error)) Processor {
	if open == nil {
		return step(chain.EncoderFunc(ext, nil))
	}
	return step(chain.EncoderFunc(ext, func(w io.Writer, columns []record.Column) (chain.Encoder, error) {
		e, err := open(w, publicColumns(columns))
		if err != nil {
			return nil, err
		}
		if e == nil {
			return nil, fmt.Errorf("opened no encoder")
		}
		return encoder{e}, nil
	}))
}

// encoder is an Encoder as the chain calls it.
type encoder struct{ Encoder }

func (e encoder) Encode(b *record.Batch) error { return e.Encoder.Encode(&Batch{b}) }
