package processortest_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/processortest"
)

// pairs emits rows two by two; the last one of an odd number at the end.
func pairs(atEnd bool) s3writer.RecordStep {
	var held [][]s3writer.Value
	flush := func(out *s3writer.Emitter) error {
		for _, row := range held {
			emitValues(row, out)
		}
		held = nil
		return nil
	}
	step := s3writer.RecordStep{Row: func(r s3writer.Record, out *s3writer.Emitter) error {
		if held = append(held, values(r)); len(held) == 2 {
			return flush(out)
		}
		return nil
	}}
	if atEnd {
		step.End = flush
	}
	return step
}

// atEnd emits all rows at the end.
func atEnd(reverse bool) s3writer.RecordStep {
	var held [][]s3writer.Value
	return s3writer.RecordStep{
		Row: func(r s3writer.Record, _ *s3writer.Emitter) error {
			held = append(held, values(r))
			return nil
		},
		End: func(out *s3writer.Emitter) error {
			for i := range held {
				if reverse {
					i = len(held) - 1 - i
				}
				emitValues(held[i], out)
			}
			return nil
		},
	}
}

// counted replaces the first value by the number of the row.
func counted(n *int) s3writer.RecordStep {
	return s3writer.RecordStep{Row: func(r s3writer.Record, out *s3writer.Emitter) error {
		*n++
		out.Text(strconv.Itoa(*n))
		for i := 1; i < r.Len(); i++ {
			out.Copy(r, i)
		}
		out.EndRow()
		return nil
	}}
}

func countedRows(in processortest.Table) processortest.Table {
	out := processortest.Table{Columns: in.Columns}
	for i, row := range in.Rows {
		out.Rows = append(out.Rows, append([]s3writer.Value{s3writer.Text(strconv.Itoa(i + 1))}, row[1:]...))
	}
	return out
}

// lineEncoder writes a line per row: quoted values, - for NULL.
type lineEncoder struct {
	w      io.Writer
	buf    bytes.Buffer
	kept   []*s3writer.Batch
	encode func(*lineEncoder, *s3writer.Batch)
}

func lines(encode func(*lineEncoder, *s3writer.Batch)) s3writer.Processor {
	return s3writer.EncoderFunc(".lines", func(w io.Writer, _ []s3writer.Column) (s3writer.Encoder, error) {
		return &lineEncoder{w: w, encode: encode}, nil
	})
}

func (e *lineEncoder) add(b *s3writer.Batch) {
	for r := range b.All() {
		for i := range r.Len() {
			if v := r.Field(i); v.IsNull() {
				e.buf.WriteString("- ")
			} else {
				e.buf.WriteString(strconv.Quote(v.String()) + " ")
			}
		}
		e.buf.WriteByte('\n')
	}
}

func (e *lineEncoder) Encode(b *s3writer.Batch) error {
	e.encode(e, b)
	_, err := e.buf.WriteTo(e.w)
	return err
}

func (e *lineEncoder) Close() error {
	for _, b := range e.kept {
		e.add(b)
	}
	_, err := e.buf.WriteTo(e.w)
	return err
}

func parseLines(object []byte) (t processortest.Table, err error) {
	for line := range strings.Lines(string(object)) {
		var row []s3writer.Value
		for line = strings.TrimSuffix(line, "\n"); line != ""; line = strings.TrimPrefix(line, " ") {
			if rest, null := strings.CutPrefix(line, "-"); null {
				row, line = append(row, s3writer.Value{}), rest
				continue
			}
			quoted, err := strconv.QuotedPrefix(line)
			if err != nil {
				return t, err
			}
			text, err := strconv.Unquote(quoted)
			if err != nil {
				return t, err
			}
			row, line = append(row, s3writer.Text(text)), line[len(quoted):]
		}
		t.Rows = append(t.Rows, row)
	}
	return t, nil
}

// closer closes what it writes to, if that can be closed, and does what comes after.
type closer struct {
	io.Writer
	after func() error
}

func (c *closer) Close() error {
	if z, ok := c.Writer.(io.Closer); ok {
		if err := z.Close(); err != nil {
			return err
		}
	}
	if c.after == nil {
		return nil
	}
	return c.after()
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

const trailer = "\x00THE END\x00"

// trailed ends objects with a trailer.
func trailed(times int) s3writer.Processor {
	return s3writer.WriterFunc(".end", func(w io.Writer) (io.WriteCloser, error) {
		return &closer{writerFunc(w.Write), func() error {
			_, err := io.WriteString(w, strings.Repeat(trailer, times))
			return err
		}}, nil
	})
}

func untrailed(r io.Reader) (io.Reader, error) {
	body, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	rest, ok := bytes.CutSuffix(body, []byte(trailer))
	if !ok || bytes.HasSuffix(rest, []byte(trailer)) {
		return nil, errors.New("the trailer is not there once")
	}
	return bytes.NewReader(rest), nil
}

// buffered writes everything at the end.
func buffered(returnsError bool) s3writer.Processor {
	return s3writer.WriterFunc("", func(w io.Writer) (io.WriteCloser, error) {
		b := bufio.NewWriterSize(w, 4<<20)
		return &closer{b, func() error {
			if err := b.Flush(); returnsError {
				return err
			}
			return nil
		}}, nil
	})
}

// readerFunc is a ReaderFunc of one function, which reads r.
func readerFunc(read func(r io.Reader, p []byte) (int, error)) s3writer.Processor {
	return s3writer.ReaderFunc(func(r io.Reader) (io.Reader, error) { return reading{r, read}, nil })
}

type reading struct {
	r    io.Reader
	read func(io.Reader, []byte) (int, error)
}

func (r reading) Read(p []byte) (int, error) { return r.read(r.r, p) }

// stamped compresses with another time in every object.
func stamped() s3writer.Processor {
	var n atomic.Int64
	return s3writer.WriterFunc(".gz", func(w io.Writer) (io.WriteCloser, error) {
		z := gzip.NewWriter(w)
		z.ModTime = time.Unix(1e9+n.Add(1), 0)
		return z, nil
	})
}

func waitFor(c <-chan struct{}) { <-c }
