package chain

import (
	"errors"
	"fmt"
	"io"

	"github.com/seed149ec23d/s3writer/internal/record"
)

// Encoder is somebody's own format: it gets the batches of an object in order.
type Encoder interface {
	Encode(*record.Batch) error
	Close() error
}

// appender makes bytes of a batch. It has no state: batches are encoded in
// parallel.
type appender func(dst []byte, b *record.Batch) ([]byte, error)

// rowAppender makes an appender of some rows of a batch, one goroutine's.
type rowAppender func(b *record.Batch) func(dst []byte, rows []int32) ([]byte, error)

// encoding is what an encoder step opens for one object: a start and an
// appender, or an encoder that writes into w itself.
type encoding struct {
	start   []byte
	append  appender
	rows    rowAppender // append for some rows of a batch at a time
	encoder Encoder
	door    *door // what the encoder writes to
}

// openEncoder opens an encoding for an object. source is the dialect the table
// was read in, nil if it was not CSV.
type openEncoder func(w io.Writer, s *record.Schema, source *record.Dialect) (*encoding, error)

// FormatCSV writes CSV in the given dialect.
func FormatCSV(d record.Dialect) Step {
	step := Step{name: "FormatCSV", args: "CSV", kind: encoderStep, plain: true}
	step.err = errors.Join(d.Validate(), readingOnly(d))
	resolved := d.Resolve()
	step.openEncoder = func(_ io.Writer, s *record.Schema, _ *record.Dialect) (*encoding, error) {
		return csvEncoding(resolved, s)
	}
	return step
}

// readingOnly refuses what would be a promise about objects that nobody keeps.
func readingOnly(d record.Dialect) error {
	var errs []error
	if d.SkipLines > 0 {
		errs = append(errs, fmt.Errorf("SkipLines is %d, but nothing stands before the header row of an object; it is for sources only", d.SkipLines))
	}
	if d.MaxRow > 0 {
		errs = append(errs, fmt.Errorf("MaxRow is %d, but rows are written however long they are; it is for sources only", d.MaxRow))
	}
	return errors.Join(errs...)
}

// sourceCSV is the encoder of a chain that names none: CSV in the source's
// dialect, with a header row if the source had one.
func sourceCSV(_ io.Writer, s *record.Schema, source *record.Dialect) (*encoding, error) {
	d := record.Dialect{NoHeader: !s.Header}
	if source != nil {
		d.Comma, d.Quote, d.Escape, d.NoQuote = source.Comma, source.Quote, source.Escape, source.NoQuote
		d.Null, d.NullAsEmpty = source.Null, source.NullAsEmpty
	}
	return csvEncoding(d.Resolve(), s)
}

func csvEncoding(d *record.Dialect, s *record.Schema) (*encoding, error) {
	if len(s.Columns) == 0 {
		return &encoding{append: d.Append, rows: d.Appender}, nil // the empty object of an empty source
	}
	if err := s.Duplicate(); err != nil { // without a header row too: who reads it names the columns so
		return nil, err
	}
	start, err := d.AppendHeader(nil, s)
	if err != nil {
		return nil, err
	}
	return &encoding{start: start, append: d.Append, rows: d.Appender}, nil
}

// JSONLines writes one JSON object per record and line.
func JSONLines() Step {
	return Step{name: "JSONLines", kind: encoderStep, ext: ".jsonl",
		openEncoder: func(_ io.Writer, s *record.Schema, _ *record.Dialect) (*encoding, error) {
			if err := s.Duplicate(); err != nil {
				return nil, err
			}
			lines := record.NewJSONLines(s)
			if err := lines.Err(); err != nil {
				return nil, err
			}
			return &encoding{append: lines.Append, rows: lines.Appender}, nil
		}}
}

// EncoderFunc writes somebody's own format.
func EncoderFunc(ext string, open func(io.Writer, []record.Column) (Encoder, error)) Step {
	step := Step{name: "EncoderFunc", args: fmt.Sprintf("%q, func", ext), kind: encoderStep, callback: true}
	step.ext, step.err = extension(ext)
	if open == nil {
		step.err = errors.New("the function is nil")
	}
	step.openEncoder = func(w io.Writer, s *record.Schema, _ *record.Dialect) (*encoding, error) {
		if err := s.Duplicate(); err != nil {
			return nil, err
		}
		d := &door{w: w}
		e, err := protect(func() (Encoder, error) {
			return open(d, append([]record.Column(nil), s.Columns...))
		})
		if err == nil && e == nil {
			err = errors.New("opened no encoder")
		}
		if err != nil {
			return nil, err
		}
		return &encoding{encoder: e, door: d}, nil
	}
	return step
}
