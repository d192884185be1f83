package s3writer_test

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed149ec23d/s3writer"
)

// turns is what functions of one table share, without a lock.
type turns struct{ running, overlaps, calls int }

// take is one call of a function.
func (u *turns) take() {
	if u.running++; u.running > 1 {
		u.overlaps++
	}
	u.calls++
	if u.calls%16 == 0 {
		runtime.Gosched() // whoever would not wait comes now
	}
	u.running--
}

// writes is an encoder and a writer that take turns.
type writes struct {
	*turns
	w io.Writer
}

func (e writes) Encode(b *s3writer.Batch) error {
	for r := range b.All() {
		e.take()
		if _, err := io.WriteString(e.w, r.Get("id")+"\n"); err != nil {
			return err
		}
	}
	return nil
}

func (e writes) Write(p []byte) (int, error) {
	e.take()
	return e.w.Write(p)
}

func (e writes) Close() error {
	e.take()
	return nil
}

// Functions of one table are called one at a time, whatever stands between them.
func TestFunctionsTakeTurns(t *testing.T) {
	const rows = 60_000
	var in, want strings.Builder
	in.WriteString("id,name\n")
	for i := range rows {
		fmt.Fprintf(&in, "%d,some name\n", i)
		fmt.Fprintf(&want, "%d\n", i)
		if i%50 == 0 {
			in.WriteString("bad\n")
		}
	}
	hash := s3writer.Hash([]byte("k"), "name") // what is before it is another stage
	for name, end := range map[string]func(*turns) s3writer.Processor{
		"EncoderFunc": func(u *turns) s3writer.Processor {
			return s3writer.EncoderFunc("", func(w io.Writer, _ []s3writer.Column) (s3writer.Encoder, error) { return writes{u, w}, nil })
		},
		"WriterFunc": func(u *turns) s3writer.Processor {
			return s3writer.Chain(s3writer.Select("id"), s3writer.FormatCSV(s3writer.CSV{NoHeader: true}),
				s3writer.WriterFunc("", func(w io.Writer) (io.WriteCloser, error) { return writes{u, w}, nil }))
		},
		"EncoderFunc of a split": func(u *turns) s3writer.Processor {
			return s3writer.Chain(s3writer.SplitRows(rows),
				s3writer.EncoderFunc("", func(w io.Writer, _ []s3writer.Column) (s3writer.Encoder, error) { return writes{u, w}, nil }))
		},
	} {
		t.Run(name, func(t *testing.T) {
			var u turns
			srv := newServer(t)
			table := csv("t.csv", in.String(),
				s3writer.Filter(func(s3writer.Record) bool { u.take(); return true }), hash,
				s3writer.Derive("more", func(s3writer.Record) (s3writer.Value, error) { u.take(); return s3writer.Text("x"), nil }), hash,
				s3writer.RecordFunc(func([]s3writer.Column) (s3writer.RecordStep, error) {
					return s3writer.RecordStep{Row: func(r s3writer.Record, out *s3writer.Emitter) error {
						u.take()
						for i := range r.Len() {
							out.Copy(r, i)
						}
						out.EndRow()
						return nil
					}}, nil
				}), hash, end(&u))
			table.OnBadRow = func(s3writer.BadRow) error { u.take(); return nil }
			report := write(t, newWriter(t, srv), table)
			if u.overlaps > 0 || u.running != 0 {
				t.Errorf("%d of %d calls came while another one was running", u.overlaps, u.calls)
			}
			wantObject(t, srv, report.Tables[0].Objects[0].Key, want.String())
		})
	}
}

// A function that sleeps in a bubble of testing/synctest, whose time passes only when
// everybody waits, is waited for: nobody looks for a turn for ever.
func TestFunctionSleepsInABubble(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	const rows = 100_000
	var in strings.Builder
	in.WriteString("id,name\n")
	for i := range rows {
		fmt.Fprintf(&in, "%d,some name\n", i)
	}
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		w := mustNew(t, s3writer.WithDryRun())
		table := csv("a.csv", in.String())
		table.Processors = []s3writer.Processor{s3writer.Filter(func(s3writer.Record) bool {
			if calls++; calls%1000 == 0 {
				time.Sleep(time.Millisecond) // of the bubble's clock
			}
			return true
		})}
		began := time.Now()
		if _, err := w.Write(t.Context(), table); err != nil {
			t.Fatal(err)
		}
		if passed := time.Since(began); calls != rows || passed < rows/1000*time.Millisecond {
			t.Errorf("%d calls in %v", calls, passed)
		}
	})
}
