// Package processortest checks that a Processor keeps its contract, in the manner of testing/fstest: one function
// that anyone can call of a test.
//
//	func TestPerTag(t *testing.T) {
//		sample := "id,tags\n1,red big\n2,blue\n"
//		if err := processortest.Test(perTag, sample, processortest.Objects("id,tags\n1,red\n1,big\n2,blue\n")); err != nil {
//			t.Error(err)
//		}
//	}
//
// [Test] delivers many tables through the processor, into memory, and holds it to what the documentation of
// s3writer.Processor and its constructors promises:
//
//   - rows: none is lost, made up or changed but as the caller says, and they leave in order;
//   - the same object again, for every chunking of the source, on one core and on several, alone and beside another
//     table, in front of other steps and behind them;
//   - no record or batch is kept beyond the call it was given to;
//   - one ending: what is written can be read back to its end, nothing is written or read after it;
//   - the failures of the source and of the object below come out (errors.Is), and a cancelled context ends the table;
//   - a key's extension says what the object is; no panic; no goroutine is left.
//
// The processor is anything that s3writer.Chain makes, too.
package processortest

import (
	"fmt"
	"io"

	"github.com/seed149ec23d/s3writer"
)

// Test checks p and returns an error that says which promise it breaks, with which input and how that was delivered;
// nil if it keeps them all. It delivers some hundred tables and takes about a second.
//
// in is a table, as CSV with a header row, that p can work on: Test delivers it as it is, and tables of 20,000 rows
// made of its rows. A header alone names the columns that p needs, and Test makes up the rows: plain and quoted, with
// NULL, empty strings, line ends, long fields, in every alphabet. "" means that p works on any table: the columns are
// made up too.
//
// want is what is expected of p; without a word about rows, it is [RowPreserving].
//
// Test may be called by several goroutines at once. It changes GOMAXPROCS for moments and puts it back.
func Test(p s3writer.Processor, in string, want ...Want) error {
	c := &contract{p: p, in: in}
	for _, w := range want {
		if w.apply == nil {
			return fmt.Errorf("processortest: %v: the zero Want wants nothing; make one with a function such as Rows", p)
		}
		if w.none {
			return fmt.Errorf("processortest: %v: the function of a Want is nil", p)
		}
		w.apply(c)
	}
	if c.model == nil && c.objects == nil {
		c.model = preserved
	}
	if err := c.check(); err != nil {
		return fmt.Errorf("processortest: %v: %w", p, err)
	}
	return nil
}

// Want says what is expected of a processor. Functions such as [Rows] make one; it may be used for any number of Tests.
type Want struct {
	apply func(*contract)
	none  bool // its function is nil
}

// RowPreserving expects as many rows as came in, in order, and the values of each column that goes by a name of
// before. It is what [Test] expects if neither [Rows] nor [Objects] is given.
func RowPreserving() Want {
	return Want{apply: func(c *contract) { c.model = preserved }}
}

// Rows expects the rows that model makes of those that came in: a second, simple description of what the processor
// does. It is asked for every table that [Test] delivers, and must not change the Table it is given. Where a processor
// leaves several objects, their rows follow one another in the order of the keys. No Columns in what it returns: their
// names are not compared.
func Rows(model func(Table) Table) Want {
	return Want{none: model == nil, apply: func(c *contract) {
		c.model = func(in, _ Table) (Table, Table) { return Table{}, model(in) }
		c.exact = true
	}}
}

// Objects expects these contents of the objects that the table in becomes, in the order of their keys: decompressed,
// and as [Undo] leaves them. Alone, it says nothing about the longer tables that [Test] makes of in; they are held to
// the other promises. [Rows] says more.
func Objects(contents ...string) Want {
	return Want{apply: func(c *contract) { c.objects = append([]string{}, contents...) }}
}

// Source says what the processor reads, where that is not CSV: of makes it from the CSV. s3writer.Decompress, say, is
// tested with a function that compresses.
func Source(of func(csv []byte) ([]byte, error)) Want {
	return Want{none: of == nil, apply: func(c *contract) { c.source = of }}
}

// Undo says how to read what a s3writer.WriterFunc has written: a decryption for an encryption. gzip and zstd are
// known by the keys' extensions, .gz and .zst, and need none.
func Undo(wrap func(io.Reader) (io.Reader, error)) Want {
	return Want{none: wrap == nil, apply: func(c *contract) { c.undo = wrap }}
}

// Parse says how to read the format of a s3writer.EncoderFunc. CSV and JSON Lines need none.
func Parse(parse func(object []byte) (Table, error)) Want {
	return Want{none: parse == nil, apply: func(c *contract) { c.parse = parse }}
}

// Dialect says which CSV the processor writes, where it is not RFC 4180 with a header row. Of a dialect without a
// header, columns go by their position.
func Dialect(d s3writer.CSV) Want {
	return Want{apply: func(c *contract) { c.dialect = d }}
}

// Varying allows that the bytes of an object differ from one delivery to the next, as an encryption's do. What they
// are read back as, by [Undo] and [Parse], is compared instead.
func Varying() Want {
	return Want{apply: func(c *contract) { c.varying = true }}
}

// contract is one Test.
type contract struct {
	p       s3writer.Processor
	in      string
	sample  Table // in, parsed
	model   func(in, got Table) (comparable, want Table)
	exact   bool     // the model says what comes out; got is compared as it is
	objects []string // nil: not given
	source  func([]byte) ([]byte, error)
	undo    func(io.Reader) (io.Reader, error)
	parse   func([]byte) (Table, error)
	dialect s3writer.CSV
	varying bool

	form form
	id   string // of its goroutines
}

// promiseError is a promise that is not kept.
type promiseError struct {
	promise string
	err     error
}

func (e *promiseError) Error() string { return e.promise + ": " + e.err.Error() }
func (e *promiseError) Unwrap() error { return e.err }

func broken(promise, format string, args ...any) error {
	return &promiseError{promise, fmt.Errorf(format, args...)}
}
