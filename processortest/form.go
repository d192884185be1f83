package processortest

import (
	"context"
	"errors"
	"io"

	"github.com/seed149ec23d/s3writer"
)

// form is where a processor may stand.
type form struct {
	reads      bool // bytes of the source
	takes      bool // records
	leaves     bool // records
	writes     bool // bytes of an object
	compresses bool // or cannot be compressed
}

// errForm is the failure of a source that is opened only if the form of the chain is right.
var errForm = errors.New("the chain is in order")

// fits tells whether a chain is in order.
func fits(steps ...s3writer.Processor) error {
	never := s3writer.SourceFunc(func(context.Context) (io.ReadCloser, error) { return nil, errForm })
	if err := dryRun(s3writer.NewTable("table.csv", never, steps...)); !errors.Is(err, errForm) {
		return err
	}
	return nil
}

func formOf(p s3writer.Processor) (form, error) {
	if err := fits(p); err != nil {
		return form{}, err
	}
	return form{
		reads:      fits(p, sameBytes()) == nil,
		takes:      fits(all(), p) == nil,
		leaves:     fits(p, all()) == nil,
		writes:     fits(littleAtATime(), p) == nil,
		compresses: fits(p, s3writer.Gzip()) != nil,
	}, nil
}

// sameBytes changes nothing.
func sameBytes() s3writer.Processor {
	return s3writer.ReaderFunc(func(r io.Reader) (io.Reader, error) { return struct{ io.Reader }{r}, nil })
}

// littleAtATime changes nothing, and makes many writes of one.
func littleAtATime() s3writer.Processor {
	return s3writer.WriterFunc("", func(w io.Writer) (io.WriteCloser, error) { return little{w}, nil })
}

type little struct{ w io.Writer }

func (l little) Write(p []byte) (n int, err error) {
	const most = 251
	for n < len(p) && err == nil {
		var k int
		k, err = l.w.Write(p[n:min(len(p), n+most)])
		n += k
	}
	return n, err
}

func (little) Close() error { return nil }

// all keeps every record.
func all() s3writer.Processor {
	return s3writer.Filter(func(s3writer.Record) bool { return true })
}

// everyOther keeps the first record, the third, and so on.
func everyOther() s3writer.Processor {
	return s3writer.RecordFunc(func([]s3writer.Column) (s3writer.RecordStep, error) {
		odd := false
		return s3writer.RecordStep{Row: func(r s3writer.Record, out *s3writer.Emitter) error {
			if odd = !odd; odd {
				emit(r, out)
			}
			return nil
		}}, nil
	})
}

// everyOtherSelected does the same and copies nothing: batches with holes.
func everyOtherSelected() s3writer.Processor {
	odd := false
	return s3writer.Filter(func(s3writer.Record) bool { odd = !odd; return odd })
}

func emit(r s3writer.Record, out *s3writer.Emitter) {
	for i := range r.Len() {
		out.Copy(r, i)
	}
	out.EndRow()
}
