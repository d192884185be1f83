package processortest_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/processortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recordFunc is a RecordFunc whose columns stay.
func recordFunc(open func() s3writer.RecordStep) s3writer.Processor {
	return s3writer.RecordFunc(func([]s3writer.Column) (s3writer.RecordStep, error) { return open(), nil })
}

func emit(r s3writer.Record, out *s3writer.Emitter) {
	for i := range r.Len() {
		out.Copy(r, i)
	}
	out.EndRow()
}

func emitValues(row []s3writer.Value, out *s3writer.Emitter) {
	for _, v := range row {
		out.Value(v)
	}
	out.EndRow()
}

func values(r s3writer.Record) []s3writer.Value {
	row := make([]s3writer.Value, r.Len())
	for i := range row {
		row[i] = r.Field(i)
	}
	return row
}

// TestMistakes seeds processors with every mistake that Test promises to find, and says how it is to be called.
// Each stands beside the right one, which passes.
func TestMistakes(t *testing.T) {
	leave := make(chan struct{})
	t.Cleanup(func() { close(leave) }) // the goroutines that a mistake has left
	for name, tt := range map[string]struct {
		in           string
		wrong, right s3writer.Processor
		want         []processortest.Want
		finds        string
	}{
		"a row is dropped where a block ends": {
			wrong: recordFunc(func() s3writer.RecordStep {
				n := 0
				return s3writer.RecordStep{Row: func(r s3writer.Record, out *s3writer.Emitter) error {
					if n++; n != 10_000 {
						emit(r, out)
					}
					return nil
				}}
			}),
			right: recordFunc(func() s3writer.RecordStep {
				return s3writer.RecordStep{Row: func(r s3writer.Record, out *s3writer.Emitter) error {
					emit(r, out)
					return nil
				}}
			}),
			finds: "rows: 1 of 20000 rows are lost",
		},
		"the last rows are not written at the end": {
			wrong: recordFunc(func() s3writer.RecordStep { return pairs(false) }),
			right: recordFunc(func() s3writer.RecordStep { return pairs(true) }),
			finds: "rows: 1 of 1 rows are lost",
		},
		"rows leave in reverse": {
			wrong: recordFunc(func() s3writer.RecordStep { return atEnd(true) }),
			right: recordFunc(func() s3writer.RecordStep { return atEnd(false) }),
			finds: "order: rows leave in another order",
		},
		"a value is changed": {
			in: "id,name,note\n",
			wrong: s3writer.Derive("name", func(r s3writer.Record) (s3writer.Value, error) {
				return s3writer.Text(r.Get("name")), nil // NULL becomes the empty string
			}),
			right: s3writer.Derive("name", func(r s3writer.Record) (s3writer.Value, error) { return r.Value("name"), nil }),
			finds: "rows: ",
		},
		"a Record is kept": {
			wrong: recordFunc(func() s3writer.RecordStep {
				var last s3writer.Record
				return s3writer.RecordStep{Row: func(r s3writer.Record, out *s3writer.Emitter) error {
					if last != (s3writer.Record{}) {
						emit(last, out)
					}
					last = r
					return nil
				}, End: func(out *s3writer.Emitter) error {
					if last != (s3writer.Record{}) {
						emit(last, out)
					}
					return nil
				}}
			}),
			right: recordFunc(func() s3writer.RecordStep {
				var last []s3writer.Value
				return s3writer.RecordStep{Row: func(r s3writer.Record, out *s3writer.Emitter) error {
					if last != nil {
						emitValues(last, out)
					}
					last = values(r)
					return nil
				}, End: func(out *s3writer.Emitter) error {
					if last != nil {
						emitValues(last, out)
					}
					return nil
				}}
			}),
			finds: "kept record: ",
		},
		"a Batch is kept": {
			wrong: lines(func(e *lineEncoder, b *s3writer.Batch) { e.kept = append(e.kept, b) }),
			right: lines(func(e *lineEncoder, b *s3writer.Batch) { e.add(b) }),
			want:  []processortest.Want{processortest.Parse(parseLines)},
			finds: "kept record: ",
		},
		"two endings": {
			wrong: trailed(2),
			right: trailed(1),
			want:  []processortest.Want{processortest.Undo(untrailed)},
			finds: "one ending: object \"table.csv.end\" ends twice",
		},
		"gzip is ended twice": {
			wrong: s3writer.WriterFunc(".gz", func(w io.Writer) (io.WriteCloser, error) {
				var last bytes.Buffer
				return &closer{gzip.NewWriter(io.MultiWriter(w, &last)), func() error {
					_, err := w.Write(last.Bytes()[last.Len()-13:])
					return err
				}}, nil
			}),
			right: s3writer.WriterFunc(".gz", func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }),
			finds: "one ending: object \"table.csv.gz\" ends twice",
		},
		"the error of the writer below is swallowed": {
			wrong: s3writer.WriterFunc("", func(w io.Writer) (io.WriteCloser, error) {
				return &closer{Writer: writerFunc(func(p []byte) (int, error) { w.Write(p); return len(p), nil })}, nil
			}),
			right: s3writer.WriterFunc("", func(w io.Writer) (io.WriteCloser, error) { return &closer{Writer: w}, nil }),
			finds: "failing writer: the error is swallowed",
		},
		"the error of the writer below is swallowed at the end": {
			wrong: buffered(false),
			right: buffered(true),
			finds: "failing writer: the error is swallowed",
		},
		"another error than that of the writer below": {
			wrong: s3writer.WriterFunc("", func(w io.Writer) (io.WriteCloser, error) {
				return &closer{Writer: writerFunc(func(p []byte) (int, error) {
					if _, err := w.Write(p); err != nil {
						return 0, errors.New("cannot write")
					}
					return len(p), nil
				})}, nil
			}),
			right: s3writer.WriterFunc("", func(w io.Writer) (io.WriteCloser, error) { return &closer{Writer: w}, nil }),
			finds: "failing writer: the error that comes out is not the one that went in",
		},
		"a failing source reads as its end": {
			wrong: readerFunc(func(r io.Reader, p []byte) (int, error) {
				n, err := r.Read(p)
				if err != nil {
					err = io.EOF
				}
				return n, err
			}),
			right: readerFunc(func(r io.Reader, p []byte) (int, error) { return r.Read(p) }),
			finds: "failing source: the error is swallowed",
		},
		"a source that is cut reads as its end": {
			wrong: readerFunc(func(r io.Reader, p []byte) (int, error) {
				n, err := r.Read(p)
				if errors.Is(err, io.ErrUnexpectedEOF) {
					err = io.EOF
				}
				return n, err
			}),
			right: readerFunc(func(r io.Reader, p []byte) (int, error) { return r.Read(p) }),
			finds: "failing source: the error is swallowed",
		},
		"one write of many is lost": {
			wrong: s3writer.WriterFunc("", func(w io.Writer) (io.WriteCloser, error) {
				n := 0
				return &closer{Writer: writerFunc(func(p []byte) (int, error) {
					if n++; n%400 == 0 {
						return len(p), nil
					}
					return w.Write(p)
				})}, nil
			}),
			right: s3writer.WriterFunc("", func(w io.Writer) (io.WriteCloser, error) { return &closer{Writer: w}, nil }),
			finds: "neighbours: the table becomes something else",
		},
		"state is shared between tables": {
			wrong: func() s3writer.Processor {
				n := 0
				return recordFunc(func() s3writer.RecordStep { return counted(&n) })
			}(),
			right: recordFunc(func() s3writer.RecordStep { return counted(new(int)) }),
			want:  []processortest.Want{processortest.Rows(countedRows)},
			finds: "state: the same table becomes something else",
		},
		"every Read is taken for a line": {
			wrong: readerFunc(func(r io.Reader, p []byte) (int, error) {
				n, err := r.Read(p)
				if n > 0 && p[0] == ' ' {
					p[0] = '_'
				}
				return n, err
			}),
			right: readerFunc(func(r io.Reader, p []byte) (int, error) { return r.Read(p) }),
			finds: "chunking: the same table becomes something else",
		},
		"a goroutine is left behind": {
			wrong: s3writer.ReaderFunc(func(r io.Reader) (io.Reader, error) {
				go waitFor(leave)
				return struct{ io.Reader }{r}, nil
			}),
			right: s3writer.ReaderFunc(func(r io.Reader) (io.Reader, error) { return struct{ io.Reader }{r}, nil }),
			finds: "goroutines: one is left, in github.com/seed149ec23d/s3writer/processortest_test.waitFor",
		},
		"a panic": {
			in:    "id,name,note\n",
			wrong: s3writer.Filter(func(r s3writer.Record) bool { return r.Value("note").IsNull() || r.Get("note")[0] != 0x7f }),
			right: s3writer.Filter(func(s3writer.Record) bool { return true }),
			finds: "no panic: ",
		},
		"an extension that the object is not": {
			wrong: s3writer.WriterFunc(".gz", func(w io.Writer) (io.WriteCloser, error) { return &closer{Writer: w}, nil }),
			right: s3writer.Gzip(),
			finds: `extension: the key is "table.csv.gz", but the object begins with`,
		},
		"a time in the object": {
			wrong: stamped(),
			right: s3writer.Gzip(),
			finds: "state: the same table becomes something else",
		},
		"a good row fails": {
			in: "id,name,note\n",
			wrong: s3writer.Derive("x", func(r s3writer.Record) (s3writer.Value, error) {
				if strings.Contains(r.Get("note"), "\x00") {
					return s3writer.Value{}, errors.New("cannot")
				}
				return s3writer.Text("x"), nil
			}),
			right: s3writer.AddColumn("x", "x"),
			finds: "no error: a good table fails: ",
		},
		"no processor": {
			wrong: s3writer.Processor{},
			right: s3writer.Chain(),
			finds: "form: ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := processortest.Test(tt.right, tt.in, tt.want...); err != nil {
				t.Errorf("the right one: %v", err)
			}
			err := processortest.Test(tt.wrong, tt.in, tt.want...)
			if err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("processortest: %v: %s", tt.wrong, tt.finds)) {
				t.Errorf("got %v\nwant %s", err, tt.finds)
			}
		})
	}
}
