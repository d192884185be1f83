package chain_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/seed149ec23d/s3writer/internal/chain"
	"github.com/seed149ec23d/s3writer/internal/record"
)

// tracked is a writer that notes what happens to it. It writes through, and a
// trailer when it is closed.
type tracked struct {
	w             io.Writer
	writes, close int
	failAt        int // the write that fails, from 1
	closeErr      error
	short         bool
	panics        string // "write" or "close"
}

func (w *tracked) Write(p []byte) (int, error) {
	if w.writes++; w.writes == w.failAt {
		return 0, errBroken
	}
	switch {
	case w.panics == "write":
		panic("boom")
	case w.short:
		return w.w.Write(p[:len(p)/2])
	}
	return w.w.Write(p)
}

func (w *tracked) Close() error {
	if w.close++; w.panics == "close" {
		panic("boom")
	}
	if _, err := io.WriteString(w.w, "end\n"); err != nil {
		return errors.Join(err, w.closeErr)
	}
	return w.closeErr
}

// step makes a WriterFunc of w.
func (w *tracked) step() chain.Step {
	return chain.WriterFunc("", func(below io.Writer) (io.WriteCloser, error) {
		w.w = below
		return w, nil
	})
}

// TestWriterFunc is closed once, whatever happens, and its errors say where.
func TestWriterFunc(t *testing.T) {
	big := "id\n" + strings.Repeat("1\n", 3*chain.BlockSize/2)
	for _, test := range []struct {
		name   string
		reader io.Reader // of more than one block
		writer tracked
		object object
		want   string
	}{
		{name: "whole"},
		{name: "first write fails", writer: tracked{failAt: 1}, want: "step 2 WriterFunc: it is broken"},
		{name: "third write fails", writer: tracked{failAt: 3}, want: "step 2 WriterFunc: it is broken"},
		{name: "writes too little", writer: tracked{short: true}, want: "step 2 WriterFunc: short write"},
		{name: "close fails", writer: tracked{closeErr: errBroken}, want: "step 2 WriterFunc: it is broken"},
		{name: "write panics", writer: tracked{panics: "write"}, want: "step 2 WriterFunc: panic: boom"},
		{name: "close panics", writer: tracked{panics: "close"}, want: "step 2 WriterFunc: panic: boom"},
		{name: "object fails", object: object{failAt: 1}, want: "it is broken"},
		{name: "object fails at the trailer", object: object{failAt: 5}, want: "it is broken"},
		{name: "source fails", reader: io.MultiReader(strings.NewReader(big), broken{}), want: "source: it is broken"},
		{name: "source fails, and close", reader: io.MultiReader(strings.NewReader(big), broken{}),
			writer: tracked{closeErr: errors.New("this too")}, want: "source: it is broken"},
		{name: "source fails, and close panics", reader: io.MultiReader(strings.NewReader(big), broken{}),
			writer: tracked{panics: "close"}, want: "source: it is broken"},
	} {
		for _, records := range []bool{false, true} {
			t.Run(fmt.Sprint(test.name, " ", records), func(t *testing.T) {
				w, o := test.writer, test.object
				j := job{in: big, reader: test.reader, object: &o}
				first := inPieces(1 << 20)
				if records {
					first = chain.Limit(1 << 30)
				}
				if test.reader != nil {
					j.reader = io.MultiReader(strings.NewReader(big), broken{})
				}
				got, err := j.run(t, first, w.step())
				wantError(t, err, test.want)
				if w.close != 1 {
					t.Errorf("the writer was closed %d times, want once", w.close)
				}
				o.wantEnd(t, test.want != "")
				if strings.Contains(got, "end\n") != (test.want == "" || test.writer.closeErr != nil && test.reader == nil) {
					t.Errorf("the object ends in %q", got[max(0, len(got)-10):])
				}
			})
		}
	}
}

// TestWritersOpen lets those that opened go when one above does not.
func TestWritersOpen(t *testing.T) {
	for _, test := range []struct {
		name string
		wrap func(io.Writer) (io.WriteCloser, error)
		want string
	}{
		{"fails", func(io.Writer) (io.WriteCloser, error) { return nil, errBroken }, "step 1 WriterFunc: it is broken"},
		{"panics", func(io.Writer) (io.WriteCloser, error) { panic("boom") }, "step 1 WriterFunc: panic: boom"},
		{"returns nothing", func(io.Writer) (io.WriteCloser, error) { return nil, nil }, "step 1 WriterFunc: opened no writer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var second, third tracked
			j := job{in: "id\n"}
			got, err := j.run(t, chain.WriterFunc("", test.wrap), second.step(), third.step())
			wantError(t, err, test.want)
			if second.close != 1 || third.close != 1 || got != "" {
				t.Errorf("closed %d and %d times, and %q was written", second.close, third.close, got)
			}
			j.object.wantEnd(t, true)
		})
	}
}

// TestWritersNest closes the first one first, so that it can write its end
// through those behind it.
func TestWritersNest(t *testing.T) {
	mark := func(name string) chain.Step {
		return chain.WriterFunc("", func(w io.Writer) (io.WriteCloser, error) {
			if _, err := io.WriteString(w, "<"+name+">"); err != nil {
				return nil, err
			}
			return closing{w, "</" + name + ">"}, nil
		})
	}
	j := job{in: "id\n"}
	got, err := j.run(t, mark("a"), mark("b"), mark("c"))
	if want := "<c><b><a>id\n</a></b></c>"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

type closing struct {
	io.Writer
	end string
}

func (c closing) Close() error {
	_, err := io.WriteString(c.Writer, c.end)
	return err
}

// encoder notes what happens to it. It writes the first field of each record.
type encoder struct {
	w             io.Writer
	columns       []record.Column
	rows, close   int
	failAt        int // the row that fails, from 1
	err, closeErr error
	panics        string
}

func (e *encoder) Encode(b *record.Batch) error {
	for r := range b.Records() {
		if e.rows++; e.rows == e.failAt {
			if e.panics == "encode" {
				panic("boom")
			}
			return e.err
		}
		if _, err := io.WriteString(e.w, r.Field(0).String()+"\n"); err != nil {
			return err
		}
	}
	return nil
}

func (e *encoder) Close() error {
	if e.close++; e.panics == "close" {
		panic("boom")
	}
	if _, err := io.WriteString(e.w, "end\n"); err != nil {
		return err
	}
	return e.closeErr
}

func (e *encoder) step() chain.Step {
	return chain.EncoderFunc("", func(w io.Writer, columns []record.Column) (chain.Encoder, error) {
		e.w, e.columns = w, columns
		return e, nil
	})
}

// TestEncoderFunc is closed once, whatever happens, and its errors say where.
func TestEncoderFunc(t *testing.T) {
	const rows = chain.BlockSize
	big := "id\n" + strings.Repeat("1\n", rows) // two blocks
	for _, test := range []struct {
		name    string
		fails   bool // the source does
		encoder encoder
		object  object
		want    string
	}{
		{name: "whole"},
		{name: "encode fails", encoder: encoder{failAt: 7, err: errBroken}, want: "step 1 EncoderFunc: row 7: it is broken"},
		{name: "encode fails at a row", encoder: encoder{failAt: 7, err: &record.FieldError{Row: 6, Column: "id", Err: errBroken}},
			want: `step 1 EncoderFunc: row 7: column "id": it is broken`},
		{name: "encode fails in the second block", encoder: encoder{failAt: rows - 1, err: errBroken}, want: "step 1 EncoderFunc: row 262143: it is broken"},
		{name: "encode panics", encoder: encoder{failAt: 1, panics: "encode"}, want: "step 1 EncoderFunc: row 1: panic: boom"},
		{name: "close fails", encoder: encoder{closeErr: errBroken}, want: "step 1 EncoderFunc: it is broken"},
		{name: "close panics", encoder: encoder{panics: "close"}, want: "step 1 EncoderFunc: panic: boom"},
		{name: "object fails", object: object{failAt: 3}, want: "it is broken"},
		{name: "object fails as it is closed", object: object{failAt: rows + 1}, want: "it is broken"},
		{name: "object does not finish", object: object{finishErr: errBroken}, want: "it is broken"},
		{name: "source fails", fails: true, want: "source: it is broken"},
		{name: "source fails, and close", fails: true, encoder: encoder{closeErr: errors.New("this too")}, want: "source: it is broken"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e, o := test.encoder, test.object
			j := job{in: big, object: &o}
			if test.fails {
				j.reader = io.MultiReader(strings.NewReader(big), broken{})
			}
			got, err := j.run(t, e.step())
			wantError(t, err, test.want)
			if e.close != 1 {
				t.Errorf("the encoder was closed %d times, want once", e.close)
			}
			o.wantEnd(t, test.want != "" && test.object.finishErr == nil)
			if test.want == "" && (e.rows != rows || got != big[3:]+"end\n") {
				t.Errorf("%d rows make %d bytes", e.rows, len(got))
			}
			if len(e.columns) != 1 || e.columns[0].Name != "id" {
				t.Errorf("it was opened with %v", e.columns)
			}
		})
	}
	for _, test := range []struct {
		name string
		open func(io.Writer, []record.Column) (chain.Encoder, error)
		want string
	}{
		{"does not open", func(io.Writer, []record.Column) (chain.Encoder, error) { return nil, errBroken }, "step 1 EncoderFunc: it is broken"},
		{"opens nothing", func(io.Writer, []record.Column) (chain.Encoder, error) { return nil, nil }, "step 1 EncoderFunc: opened no encoder"},
		{"panics as it opens", func(io.Writer, []record.Column) (chain.Encoder, error) { panic("boom") }, "step 1 EncoderFunc: panic: boom"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var w tracked
			j := job{in: big}
			_, err := j.run(t, chain.EncoderFunc("", test.open), w.step())
			wantError(t, err, test.want)
			if w.close != 1 {
				t.Errorf("the writer behind it was closed %d times", w.close)
			}
			j.object.wantEnd(t, true)
		})
	}
}

// TestEncoderGetsTypes of the columns as the steps left them.
func TestEncoderGetsTypes(t *testing.T) {
	var e encoder
	j := job{in: "id,n\n1,2\n"}
	if _, err := j.run(t, chain.Typed("n", record.Int64), chain.Select([]string{"n", "id"}), chain.RowNumber("row"), e.step()); err != nil {
		t.Fatal(err)
	}
	want := []record.Column{{Name: "n", Type: record.Int64}, {Name: "id"}, {Name: "row", Type: record.Int64}}
	if fmt.Sprint(e.columns) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", e.columns, want)
	}
}

// TestEncoderErrorBehindFilter has the source's row number.
func TestEncoderErrorBehindFilter(t *testing.T) {
	in := "id\n" + strings.Repeat("0\n", 300_000) + "1\n" + strings.Repeat("0\n", 10)
	e := encoder{failAt: 1, err: &record.FieldError{Column: "id", Err: errBroken}}
	step := chain.EncoderFunc("", func(w io.Writer, _ []record.Column) (chain.Encoder, error) {
		return rowFails{&e}, nil
	})
	j := job{in: in}
	_, err := j.run(t, chain.Filter(func(r record.Record) bool { return r.Get("id") == "1" }), step)
	wantError(t, err, `step 2 EncoderFunc: row 300001: column "id": it is broken`)
}

type rowFails struct{ *encoder }

func (e rowFails) Encode(b *record.Batch) error {
	return &record.FieldError{Row: b.Row(0), Column: "id", Err: errBroken}
}

func (e rowFails) Close() error { return nil }

// piped is a writer that writes from a goroutine of its own.
type piped struct {
	*io.PipeWriter
	done chan error
}

func (p piped) Close() error {
	if err := p.PipeWriter.Close(); err != nil {
		return err
	}
	return <-p.done
}

// TestWriterThatWritesFromElsewhere may do that at any time, whatever is below it.
func TestWriterThatWritesFromElsewhere(t *testing.T) {
	in := "id\n" + strings.Repeat("123456789\n", 1<<20)
	var o object
	j := job{in: in, parallel: 2, object: &o}
	_, err := j.run(t, chain.Select([]string{"id"}), chain.WriterFunc("", func(w io.Writer) (io.WriteCloser, error) {
		r, pipe := io.Pipe()
		p := piped{pipe, make(chan error, 1)}
		go func() {
			_, err := io.Copy(w, r)
			p.done <- err
		}()
		return p, nil
	}), chain.Gzip(1))
	if err != nil {
		t.Fatal(err)
	}
	wantMember(t, o.text.String(), in)
}
