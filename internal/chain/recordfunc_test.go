package chain_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed149ec23d/s3writer/internal/chain"
	"github.com/seed149ec23d/s3writer/internal/record"
)

// each is a RecordFunc of a Row function that keeps the columns.
func each(row func(record.Record, *chain.Emitter) error) chain.Step {
	return chain.RecordFunc(func([]record.Column) (chain.RecordStep, error) { return chain.RecordStep{Row: row}, nil })
}

// repeat hands on every row of two columns n times.
func repeat(n int) chain.Step {
	return each(func(r record.Record, out *chain.Emitter) error {
		for range n {
			out.Copy(r, 0)
			out.Copy(r, 1)
			out.EndRow()
		}
		return nil
	})
}

// TestRecordFuncErrors is about functions that break their word.
func TestRecordFuncErrors(t *testing.T) {
	opens := func(rs chain.RecordStep, err error) chain.Step {
		return chain.RecordFunc(func([]record.Column) (chain.RecordStep, error) { return rs, err })
	}
	nothing := func(record.Record, *chain.Emitter) error { return nil }
	at2 := func(f func(record.Record, *chain.Emitter) error) chain.Step {
		return each(func(r record.Record, out *chain.Emitter) error {
			if r.Get("id") != "2" {
				return nil
			}
			return f(r, out)
		})
	}
	for _, test := range []struct {
		name string
		step chain.Step
		want string
	}{
		{"open fails", opens(chain.RecordStep{}, errBroken), "it is broken"},
		{"open panics", chain.RecordFunc(func([]record.Column) (chain.RecordStep, error) { panic("boom") }), "panic: boom"},
		{"no Row", opens(chain.RecordStep{}, nil), "the opened RecordStep has no Row function"},
		{"Row fails", at2(func(record.Record, *chain.Emitter) error { return errBroken }), "row 2: it is broken"},
		{"Row panics", at2(func(record.Record, *chain.Emitter) error { panic("boom") }), "row 2: panic: boom"},
		{"Row panics with an error", at2(func(record.Record, *chain.Emitter) error { panic(errBroken) }), "row 2: panic: it is broken"},
		{"too many fields", at2(func(_ record.Record, out *chain.Emitter) error {
			out.Text("a")
			out.Null()
			out.Value(record.TextValue("c"))
			return nil
		}), "row 2: a field too many: the step's rows have 2 columns"},
		{"too few fields", at2(func(_ record.Record, out *chain.Emitter) error { out.Text("a"); out.EndRow(); return nil }),
			"row 2: EndRow after 1 fields, but the step's rows have 2 columns"},
		{"no EndRow", at2(func(_ record.Record, out *chain.Emitter) error { out.Text("a"); out.Text("b"); return nil }),
			"row 2: 2 fields were emitted without EndRow"},
		{"EndRow alone", at2(func(_ record.Record, out *chain.Emitter) error { out.EndRow(); return nil }),
			"row 2: EndRow after 0 fields, but the step's rows have 2 columns"},
		{"a column that is not there", at2(func(r record.Record, out *chain.Emitter) error { r.Get("x"); return nil }),
			`row 2: no column "x": there are id, name`},
		{"a field that is not there", at2(func(r record.Record, out *chain.Emitter) error { out.Copy(r, 2); return nil }),
			"row 2: panic: runtime error: index out of range [2] with length 2"},
		{"End fails", opens(chain.RecordStep{Row: nothing, End: func(*chain.Emitter) error { return errBroken }}, nil), "it is broken"},
		{"End panics", opens(chain.RecordStep{Row: nothing, End: func(*chain.Emitter) error { panic("boom") }}, nil), "panic: boom"},
		{"End without EndRow", opens(chain.RecordStep{Row: nothing, End: func(out *chain.Emitter) error { out.Null(); return nil }}, nil),
			"1 fields were emitted without EndRow"},
	} {
		for _, behind := range []bool{false, true} {
			for _, concurrent := range []bool{false, true} {
				t.Run(fmt.Sprint(test.name, behind, concurrent), func(t *testing.T) {
					steps := []chain.Step{test.step}
					if concurrent {
						steps[0] = test.step.Concurrent()
					}
					number := 1
					if behind { // another stage before and behind it
						steps = []chain.Step{chain.Limit(100), chain.Select([]string{"id", "name"}), steps[0], chain.Limit(100)}
						number = 3
					}
					j := job{in: "id,name\n1,a\n2,b\n3,c\n"}
					_, err := j.run(t, steps...)
					wantError(t, err, fmt.Sprintf("step %d RecordFunc: %s", number, test.want))
					if strings.HasSuffix(test.name, "Row") || strings.HasPrefix(test.name, "open") {
						if j.object.finished+j.object.aborted != 0 && strings.HasPrefix(test.name, "open") {
							t.Error("an object was opened for a step that was not")
						}
						return
					}
					j.object.wantEnd(t, true)
				})
			}
		}
	}
}

// TestErrorsOfSteps keep what callbacks returned.
func TestErrorsOfSteps(t *testing.T) {
	j := job{in: "id\n1\n"}
	_, err := j.run(t, each(func(record.Record, *chain.Emitter) error { return fmt.Errorf("row is odd: %w", errBroken) }))
	var e *chain.Error
	if !errors.Is(err, errBroken) || !errors.As(err, &e) || e.Step != 1 || e.Processor != "RecordFunc" || e.Row != 1 || e.Offset != 3 {
		t.Errorf("got %#v", err)
	}
	j = job{in: "id\n1\n"}
	_, err = j.run(t, each(func(record.Record, *chain.Emitter) error { panic(errBroken) }))
	var p *chain.PanicError
	if !errors.Is(err, errBroken) || !errors.As(err, &p) || len(p.Stack) == 0 {
		t.Errorf("got %#v, want a panic with its stack", err)
	}
}

// TestExplode makes 100,000 records of each of three, and End more.
func TestExplode(t *testing.T) {
	const many = 100_000
	step := chain.RecordFunc(func(columns []record.Column) (chain.RecordStep, error) {
		columns[0].Name = "changed" // its own copy
		rows := 0
		return chain.RecordStep{
			Columns: []record.Column{{Name: "id"}, {Name: "n"}},
			Row: func(r record.Record, out *chain.Emitter) error {
				for n := range many {
					out.Copy(r, 0)
					out.Text(fmt.Sprint(n))
					out.EndRow()
					rows++
				}
				return nil
			},
			End: func(out *chain.Emitter) error {
				for range 2 {
					out.Null()
					out.Text(fmt.Sprint(rows))
					out.EndRow()
				}
				return nil
			},
		}, nil
	})
	var want strings.Builder
	want.WriteString("n,id\n")
	for _, id := range []string{"a", "b", "c"} {
		for n := range many {
			fmt.Fprintf(&want, "%d,%s\n", n, id)
		}
	}
	fmt.Fprintf(&want, "%d,\n%d,\n", 3*many, 3*many)
	for _, concurrent := range []bool{false, true} {
		s := step
		if concurrent {
			s = s.Concurrent()
		}
		j := job{in: "id\na\nb\nc\n"}
		got, err := j.run(t, s, chain.Select([]string{"n", "id"}))
		if err != nil || got != want.String() {
			t.Errorf("got %d bytes, %v, want %d", len(got), err, want.Len())
		}
		if r, w := j.counts.RowsRead.Load(), j.counts.RowsWritten.Load(); r != 3 || w != 3*many+2 {
			t.Errorf("%d rows read and %d written", r, w)
		}
	}
}

// TestExplodeInBatches hands on what it has emitted while it goes on: memory
// does not grow with what one row becomes.
func TestExplodeInBatches(t *testing.T) {
	step := each(func(r record.Record, out *chain.Emitter) error {
		for range 50_000 {
			out.Text("a hundred bytes, or not many fewer, so that a block is full of them soon: this is one record of many")
			out.EndRow()
		}
		return nil
	})
	var e batchEncoder
	j := job{in: "id\n1\n"}
	_, err := j.run(t, step, chain.EncoderFunc("", func(io.Writer, []record.Column) (chain.Encoder, error) { return &e, nil }))
	if err != nil || e.rows != 50_000 || e.largest > 2*chain.BlockSize/100+1 {
		t.Errorf("%v; %d rows, up to %d in one batch", err, e.rows, e.largest)
	}
}

// batchEncoder counts rows and the most in one batch.
type batchEncoder struct{ rows, largest int }

func (e *batchEncoder) Encode(b *record.Batch) error {
	e.rows += b.Len()
	e.largest = max(e.largest, b.Len())
	return nil
}

func (e *batchEncoder) Close() error { return nil }

// TestEnds emit through all steps behind, each of which may emit at its own
// end.
func TestEnds(t *testing.T) {
	count := func(name string) chain.Step {
		return chain.RecordFunc(func([]record.Column) (chain.RecordStep, error) {
			rows := 0
			return chain.RecordStep{
				Row: func(r record.Record, out *chain.Emitter) error { rows++; out.Copy(r, 0); out.EndRow(); return nil },
				End: func(out *chain.Emitter) error { out.Text(fmt.Sprint(name, rows)); out.EndRow(); return nil },
			}, nil
		})
	}
	for name, between := range map[string][]chain.Step{
		"at once":                {},
		"a parallel step":        {chain.Rename([]string{"id", "key"})},
		"a parallel step, Limit": {chain.Rename([]string{"id", "key"}), chain.Limit(100)},
	} {
		t.Run(name, func(t *testing.T) {
			steps := append([]chain.Step{count("a")}, between...)
			steps = append(append(steps, count("b")), between...)
			if len(between) > 0 {
				steps[len(steps)-len(between)] = chain.Rename([]string{"key", "k2"})
			}
			j := job{in: "id\n1\n2\n"}
			got, err := j.run(t, steps...)
			_, rows, _ := strings.Cut(got, "\n")
			if want := "1\n2\na2\nb3\n"; err != nil || rows != want {
				t.Errorf("got %q, %v, want %q", rows, err, want)
			}
		})
	}
}

// TestEndIsNotCalled for a table that fails.
func TestEndIsNotCalled(t *testing.T) {
	step := chain.RecordFunc(func([]record.Column) (chain.RecordStep, error) {
		return chain.RecordStep{
			Row: func(record.Record, *chain.Emitter) error { return nil },
			End: func(*chain.Emitter) error { t.Error("End was called"); return nil },
		}, nil
	})
	for _, steps := range [][]chain.Step{{step}, {step, chain.Select([]string{"id"})}} {
		j := job{reader: io.MultiReader(strings.NewReader("id\n1\n"), broken{})}
		_, err := j.run(t, steps...)
		wantError(t, err, "source: it is broken")
	}
}

// TestRowNumbers of errors are the source's: over blocks, behind filters,
// explosions and bad rows, and with the row's place in the source.
func TestRowNumbers(t *testing.T) {
	const rows, width = 12_000, 100 // more than four blocks
	in := func(bad int) string {
		var b strings.Builder
		b.WriteString("id,n\n")
		for i := 1; i <= rows; i++ {
			n := fmt.Sprint(i % 10)
			if i == bad {
				n = "x"
			}
			fmt.Fprintf(&b, "%0*d,%s\n", width-3, i, n)
		}
		return b.String()
	}
	keep := chain.Filter(func(r record.Record) bool { return r.Get("n") == "x" || r.Value("n").String() != "3" })
	double := repeat(2)
	number := chain.Typed("n", record.Int64)
	for _, bad := range []int{1, 2, 2622, 6000, 9999, rows} {
		place := fmt.Sprintf(`row %d: column "n": "x" is not an int64`, bad)
		text := in(bad)
		for _, test := range []struct {
			name  string
			steps []chain.Step
			want  string
		}{
			{"alone", []chain.Step{number}, "step 1 Typed: " + place},
			{"behind Select", []chain.Step{chain.Select([]string{"n"}), number}, "step 2 Typed: " + place},
			{"behind Filter", []chain.Step{keep, number}, "step 2 Typed: " + place},
			{"behind a concurrent Filter", []chain.Step{keep.Concurrent(), number}, "step 2 Typed: " + place},
			{"behind RowNumber", []chain.Step{keep, chain.RowNumber("row"), number}, "step 3 Typed: " + place},
			{"behind RecordFunc", []chain.Step{keep, double, number}, "step 3 Typed: " + place},
			{"behind a concurrent RecordFunc", []chain.Step{double.Concurrent(), number}, "step 2 Typed: " + place},
			{"behind two of them", []chain.Step{double, double.Concurrent(), number}, "step 3 Typed: " + place},
			{"in an encoder", []chain.Step{
				chain.Filter(func(r record.Record) bool { return r.Get("n") == "x" }),
				chain.Derive("n", func(record.Record) (record.Value, error) { return record.TextValue("\xff"), nil }),
				chain.JSONLines()}, fmt.Sprintf(`step 3 JSONLines: row %d: column "n": not valid UTF-8: "\xff"`, bad)},
		} {
			for _, parallel := range []int{1, 4} {
				t.Run(fmt.Sprint(test.name, " ", bad, " ", parallel), func(t *testing.T) {
					j := job{in: text, parallel: parallel}
					_, err := j.run(t, test.steps...)
					wantError(t, err, test.want)
					var e *chain.Error
					if !errors.As(err, &e) || e.Offset != int64(5+width*(bad-1)) {
						t.Errorf("the offset is not %d, but in %#v", 5+width*(bad-1), err)
					}
				})
			}
		}
	}
}

// TestRowNumbersBehindBadRows count those too.
func TestRowNumbersBehindBadRows(t *testing.T) {
	var b strings.Builder
	b.WriteString("id,n\n")
	var want []int64
	for i := int64(1); i <= 100_000; i++ {
		if i%1000 == 7 {
			want = append(want, i)
			b.WriteString("short\n")
			continue
		}
		if i == 90_001 {
			b.WriteString("00001,x\n")
			continue
		}
		b.WriteString("00001,1\n")
	}
	for _, parallel := range []int{1, 4} {
		var got []int64
		j := job{in: b.String(), parallel: parallel, onBadRow: func(r record.BadRow) error {
			got = append(got, r.Row)
			return nil
		}}
		_, err := j.run(t, chain.Filter(func(r record.Record) bool { return true }), chain.Typed("n", record.Int64))
		wantError(t, err, `step 2 Typed: row 90001: column "n": "x" is not an int64`)
		var e *chain.Error
		if errors.As(err, &e); e.Offset != int64(strings.Index(b.String(), "00001,x")) {
			t.Errorf("the offset is %d", e.Offset)
		}
		if len(got) < 80 || !slices.Equal(got, want[:len(got)]) {
			t.Errorf("OnBadRow was told of %d rows: %v", len(got), got)
		}
	}
}

// TestOrder calls callbacks in row order, one at a time.
func TestOrder(t *testing.T) {
	const rows = 100_000
	var in strings.Builder
	in.WriteString("id\n")
	for i := range rows {
		fmt.Fprintf(&in, "%08d\n", i)
	}
	var running atomic.Int32
	next := 0
	check := func(r record.Record) bool {
		if running.Add(1) != 1 {
			t.Error("two calls at once")
		}
		defer running.Add(-1)
		if want := fmt.Sprintf("%08d", next); r.Get("id") != want {
			t.Fatalf("called with row %s, want %s", r.Get("id"), want)
		}
		next++
		return next%3 != 0
	}
	j := job{in: in.String(), parallel: 4}
	if _, err := j.run(t, chain.Select([]string{"id"}), chain.Filter(check), chain.AddColumn("x", "y")); err != nil || next != rows {
		t.Errorf("called %d times, %v", next, err)
	}
}

// TestConcurrent calls a callback from several goroutines at once, and records
// leave in order all the same.
func TestConcurrent(t *testing.T) {
	const rows = 100_000
	var in strings.Builder
	in.WriteString("id\n")
	for i := range rows {
		fmt.Fprintf(&in, "%08d\n", i)
	}
	first, second := make(chan struct{}), make(chan struct{})
	meet := func(r record.Record) { // the first block waits for the second
		switch r.Get("id") {
		case "00000000":
			close(first)
			select {
			case <-second:
			case <-time.After(10 * time.Second):
				t.Error("no second call has come while the first one runs")
			}
		case "00050000": // far behind the first block
			<-first
			close(second)
		}
	}
	for name, step := range map[string]chain.Step{
		"Filter": chain.Filter(func(r record.Record) bool { meet(r); return true }),
		"Derive": chain.Derive("id", func(r record.Record) (record.Value, error) { meet(r); return r.Value("id"), nil }),
		"RecordFunc": each(func(r record.Record, out *chain.Emitter) error {
			meet(r)
			out.Copy(r, 0)
			out.EndRow()
			return nil
		}),
	} {
		t.Run(name, func(t *testing.T) {
			first, second = make(chan struct{}), make(chan struct{})
			j := job{in: in.String(), parallel: 4}
			got, err := j.run(t, step.Concurrent())
			if err != nil || got != in.String() {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
		})
	}
}

// TestLimitStops reading a source that has no end.
func TestLimitStops(t *testing.T) {
	endless := func() io.Reader {
		header := strings.NewReader("id,name\n")
		return io.MultiReader(header, rowsForEver{})
	}
	for _, n := range []int64{0, 1, 100_000} {
		for name, steps := range map[string][]chain.Step{
			"first":               {chain.Limit(n), chain.Select([]string{"id"})},
			"behind a Filter":     {chain.Filter(func(record.Record) bool { return true }), chain.Limit(n), chain.Gzip(1)},
			"between stages":      {chain.RowNumber("n"), chain.Select([]string{"id"}), chain.Limit(n), chain.Select([]string{"id"}), chain.RowNumber("n")},
			"behind a RecordFunc": {repeat(1), chain.Limit(n)},
		} {
			t.Run(fmt.Sprint(name, " ", n), func(t *testing.T) {
				defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
				j := job{reader: endless(), parallel: 4}
				if _, err := j.run(t, steps...); err != nil {
					t.Fatal(err)
				}
				if w := j.counts.RowsWritten.Load(); w != n {
					t.Errorf("%d rows were written, want %d", w, n)
				}
				if read := j.counts.BytesRead.Load(); read > 8*n+40*chain.BlockSize {
					t.Errorf("%d bytes were read for %d rows", read, n)
				}
			})
		}
	}
	t.Run("records", func(t *testing.T) {
		closed := 0
		j := job{records: endlessRecords{&closed}}
		got, err := j.run(t, chain.Limit(2))
		if err != nil || got != "id\nx\nx\n" || closed != 1 {
			t.Errorf("got %q, %v, closed %d times", got, err, closed)
		}
	})
}

// rowsForEver is a reader of rows without an end.
type rowsForEver struct{}

func (rowsForEver) Read(p []byte) (int, error) {
	const row = "1234,ab\n"
	n := 0
	for n+len(row) <= len(p) {
		n += copy(p[n:], row)
	}
	if n == 0 {
		return copy(p, "\n"), nil
	}
	return n, nil
}

type endlessRecords struct{ closed *int }

func (endlessRecords) Columns(context.Context) ([]record.Column, error) {
	return []record.Column{{Name: "id"}}, nil
}

func (endlessRecords) Each(b *record.Builder, row func() error) error {
	for {
		b.Text("x")
		b.EndRow()
		if err := row(); err != nil {
			return err
		}
	}
}

func (e endlessRecords) Close() error { *e.closed++; return nil }

// TestRecoverInRow keeps the failure of a step behind: a function that recovers
// from whatever its row does to it must not make rows vanish.
func TestRecoverInRow(t *testing.T) {
	const rows, bad = 500, 20
	var in strings.Builder
	in.WriteString("id,n\n")
	for i := range rows {
		n := "1"
		if i == bad {
			n = "x"
		}
		fmt.Fprintf(&in, "%d,%s\n", i, n)
	}
	for name, end := range map[string]func() error{
		"returns nil":      func() error { return nil },
		"returns an error": func() error { return errBroken },
		"panics again":     func() error { panic(errBroken) },
	} {
		for _, at := range []string{"Row", "End"} {
			for _, concurrent := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s %s, concurrent: %v", at, name, concurrent), func(t *testing.T) {
					calls := 0
					emit := func(out *chain.Emitter, v string) (err error) {
						calls++
						for range 1000 { // enough of them are handed on in the middle
							func() {
								defer func() {
									if recover() != nil {
										err = end()
									}
								}()
								out.Text(strings.Repeat("text", 1000))
								out.Text(v)
								out.EndRow()
							}()
						}
						return err
					}
					rs := chain.RecordStep{Row: func(r record.Record, out *chain.Emitter) error {
						if r.Get("n") == "x" {
							return emit(out, "x")
						}
						return nil
					}}
					if at == "End" {
						rs.Row = func(record.Record, *chain.Emitter) error { return nil }
						rs.End = func(out *chain.Emitter) error { return emit(out, "x") }
					}
					step := chain.RecordFunc(func([]record.Column) (chain.RecordStep, error) { return rs, nil })
					refused := false // once: what comes later is all right
					behind := chain.Filter(func(r record.Record) bool {
						if !refused {
							refused = true
							panic("boom")
						}
						return true
					})
					if concurrent {
						step, behind = step.Concurrent(), behind.Concurrent()
					}
					j := job{in: in.String()}
					_, err := j.run(t, step, behind)
					wantText := "step 2 Filter: panic: boom"
					if at == "Row" {
						wantText = fmt.Sprintf("step 2 Filter: row %d: panic: boom", bad+1)
					}
					wantError(t, err, wantText)
					if calls != 1 {
						t.Errorf("%d calls", calls)
					}
					j.object.wantEnd(t, true)
				})
			}
		}
	}
}
