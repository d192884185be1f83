package s3writer_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

// TestErrorAs finds where a table failed, field by field.
func TestErrorAs(t *testing.T) {
	srv := newServer(t)
	_, err := newWriter(t, srv, s3writer.WithPrefix("exports")).Write(t.Context(),
		csv("t.csv", "id,n\n1,2\n2,x\n", s3writer.Select("n"), s3writer.Typed("n", s3writer.Int64Type)))
	var e *s3writer.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *Error", err)
	}
	want := s3writer.Error{Table: "t.csv", Step: 2, Processor: "Typed", Row: 2, Offset: 9, Column: "n", Err: e.Err}
	if *e != want || e.Err.Error() != `"x" is not an int64` {
		t.Errorf("got %+v, want %+v", *e, want)
	}
}

// TestErrorOfAnotherWrite is what a callback returns that has run a Writer of
// its own: where the outer table failed stays known, and the inner error whole.
func TestErrorOfAnotherWrite(t *testing.T) {
	srv := newServer(t)
	w := newWriter(t, srv)
	_, child := w.Write(t.Context(), csv("child.csv", "id\n1\n", s3writer.Select("x")))
	const childText = `s3writer: table "child.csv": step 1 Select: no column "x": there are id`
	wantText(t, child, childText)
	var inner *s3writer.Error
	if !errors.As(child, &inner) {
		t.Fatal("no *Error")
	}
	mine := &s3writer.Error{Offset: -1, Err: errBroken} // of no table
	of := func(err error) func(s3writer.Record) (s3writer.Value, error) {
		return func(s3writer.Record) (s3writer.Value, error) { return s3writer.Value{}, err }
	}
	for _, test := range []struct {
		name   string
		table  s3writer.Table
		accept error
		want   s3writer.Error
		text   string
	}{
		{name: "bare", table: csv("t.csv", "id\n1\n", s3writer.Derive("n", of(inner))),
			want: s3writer.Error{Table: "t.csv", Step: 1, Processor: "Derive", Row: 1, Offset: 3, Column: "n"}, text: childText},
		{name: "wrapped", table: csv("t.csv", "id\n1\n", s3writer.Derive("n", of(fmt.Errorf("child: %w", child)))),
			want: s3writer.Error{Table: "t.csv", Step: 1, Processor: "Derive", Row: 1, Offset: 3, Column: "n"}, text: "child: " + childText},
		{name: "of no table", table: csv("t.csv", "id\n1\n", s3writer.Derive("n", of(mine))),
			want: s3writer.Error{Table: "t.csv", Step: 1, Processor: "Derive", Row: 1, Offset: 3, Column: "n"}, text: "s3writer: the line is broken"},
		{name: "Accept", table: csv("t.csv", "id\n1\n"), accept: mine,
			want: s3writer.Error{Table: "t.csv", Offset: -1}, text: "refused by Accept: s3writer: the line is broken"},
		{name: "source", table: s3writer.NewTable("t.csv", failing("id\n", child)),
			want: s3writer.Error{Table: "t.csv", Offset: -1}, text: "source: " + childText},
		{name: "records", table: s3writer.NewTable("t.csv", s3writer.Records([]string{"id"}, func(yield func([]string, error) bool) { yield(nil, child) })),
			want: s3writer.Error{Table: "t.csv", Row: 1, Offset: -1}, text: childText},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.table.Accept = nil
			if test.accept != nil {
				test.table.Accept = func(s3writer.TableReport) error { return test.accept }
			}
			_, err := w.Write(t.Context(), test.table)
			var e *s3writer.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an *Error", err)
			}
			test.want.Err = e.Err
			if *e != test.want || e.Err.Error() != test.text {
				t.Errorf("got  %+v\nwant %+v, %s", *e, test.want, test.text)
			}
		})
	}
	wantText(t, child, childText)
	if mine.Table != "" {
		t.Errorf("the caller's own error was changed: %+v", mine)
	}
}

// TestNotDeliveredElsewhere is no reason to keep a table's own failure quiet.
func TestNotDeliveredElsewhere(t *testing.T) {
	srv := newServer(t)
	w := newWriter(t, srv, s3writer.WithAllOrNothing())
	report, _ := w.Write(t.Context(), s3writer.NewTable("", nil), csv("child.csv", "id\n"))
	stopped := report.Tables[1].Err
	wantText(t, stopped, `s3writer: table "child.csv": not delivered: table 1 failed, and WithAllOrNothing was given`)
	table := csv("t.csv", "id\n1\n")
	table.Accept = func(s3writer.TableReport) error { return stopped }
	_, err := w.Write(t.Context(), table)
	wantText(t, err, `s3writer: table "t.csv": refused by Accept: `+stopped.Error())
}

// TestWriterWrapsUploadError returns what its destination said, with words of
// its own around it.
func TestWriterWrapsUploadError(t *testing.T) {
	srv := newServer(t)
	srv.Fail(s3writertest.Fault{Op: "UploadPart", Status: http.StatusForbidden})
	wrap := s3writer.WriterFunc("", func(w io.Writer) (io.WriteCloser, error) {
		return nopCloser{writerFunc(func(p []byte) (int, error) {
			n, err := w.Write(p)
			if err != nil {
				err = fmt.Errorf("encrypt: %w", err)
			}
			return n, err
		})}, nil
	})
	_, err := newWriter(t, srv).Write(t.Context(), csv("t.csv", pattern(20<<20), wrap))
	var e *s3writer.Error
	if !errors.As(err, &e) || e.Table != "t.csv" || e.Object != "t.csv" || e.Step != 0 || !errors.Is(err, s3writer.ErrAccessDenied) {
		t.Errorf("got %#v, want the object's *Error", e)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
