package chain_test

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/seed149ec23d/s3writer/internal/chain"
	"github.com/seed149ec23d/s3writer/internal/record"
)

// onCores calls f often, on one core and on several: whoever wins a race, the
// answer has to be the same.
func onCores(t *testing.T, times int, f func(t *testing.T)) {
	for _, procs := range []int{1, 2, 8} {
		t.Run(fmt.Sprint(procs, " cores"), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			for i := 0; i < times && !t.Failed(); i++ {
				f(t)
			}
		})
	}
}

func all(record.Record) bool { return true }

// limits are chains with a Limit of n somewhere: before, behind and between
// stages, and behind another one that takes more.
func limits(n int64) map[string][]chain.Step {
	id, same := []string{"id"}, chain.Filter(all)
	return map[string][]chain.Step{
		"first":                                {chain.Limit(n)},
		"behind a Filter":                      {same, chain.Limit(n), same},
		"in a later stage":                     {same, chain.Select(id), chain.Limit(n), chain.RowNumber("n"), chain.Select(id)},
		"behind a larger":                      {chain.Limit(n + 40), same, chain.Limit(n)},
		"before a larger":                      {chain.Limit(n), same, chain.Limit(n + 40)},
		"a stage behind one":                   {chain.Limit(n + 40), chain.Select(id), chain.Limit(n)},
		"behind a callback that is concurrent": {same.Concurrent(), chain.Limit(n), chain.JSONLines(), chain.Gzip(1)},
	}
}

// TestLimitAndWhatIsWrong with the source: what is wrong behind the last row
// that is taken never matters, what is wrong before it always does, and always
// in the same words.
func TestLimitAndWhatIsWrong(t *testing.T) {
	const rows = 200
	for _, width := range []int{4, 4 << 10} { // one block, and several
		row := func(i int) string { return fmt.Sprintf("%d,%s\n", i, strings.Repeat("x", width)) }
		var in strings.Builder
		in.WriteString("id,x\n")
		for i := 1; i <= rows; i++ {
			in.WriteString(row(i))
		}
		behind := func(n int) string { // the text behind row n
			var s strings.Builder
			s.WriteString("id,x\n")
			for i := 1; i <= n; i++ {
				s.WriteString(row(i))
			}
			return s.String()
		}
		for _, n := range []int{1, 63} {
			badRow := func(at int) string {
				before := behind(at - 1)
				return before + "bad\n" + in.String()[len(before)+len(row(at)):]
			}
			for _, test := range []struct {
				name   string
				reader func() io.Reader
				want   string // "" is success
			}{
				{"bad row behind it", func() io.Reader { return strings.NewReader(badRow(n + 1)) }, ""},
				{"bad row far behind it", func() io.Reader { return strings.NewReader(badRow(n + 39)) }, ""},
				{"bad row", func() io.Reader { return strings.NewReader(badRow(n)) },
					fmt.Sprintf("row %d: row has 1 field, header has 2", n)},
				{"source fails behind it", func() io.Reader { return io.MultiReader(strings.NewReader(behind(n)), broken{}) }, ""},
				{"source fails in the row behind it", func() io.Reader {
					return io.MultiReader(strings.NewReader(behind(n)+"half"), broken{})
				}, ""},
				{"source fails in the last row", func() io.Reader {
					whole := behind(n)
					return io.MultiReader(strings.NewReader(whole[:len(whole)-1]), broken{})
				}, "source: it is broken"},
			} {
				for where, steps := range limits(int64(n)) {
					t.Run(fmt.Sprintf("%s, %s, %d of %d bytes", test.name, where, n, width), func(t *testing.T) {
						times := 67 // on each number of cores
						if width > 4 || n == 1 {
							times = 4
						}
						onCores(t, times, func(t *testing.T) {
							j := job{reader: test.reader(), parallel: 2}
							_, err := j.run(t, steps...)
							wantError(t, err, test.want)
							if w := j.counts.RowsWritten.Load(); err == nil && w != int64(n) {
								t.Errorf("%d rows were written, want %d", w, n)
							}
						})
					})
				}
			}
		}
	}
}

// model is what becomes of the rows of a table whose every 97th row is bad.
type model struct {
	rows  int64
	steps []chain.Step
	taken func(row int64) (rows int) // how many rows one becomes
	limit int64                      // of the rows taken; 0: none
}

func (m model) counts() (read, written, filtered, rejected int64) {
	for i := int64(1); i <= m.rows; i++ {
		read++
		switch n := int64(m.taken(i)); {
		case i%97 == 0:
			rejected++
		case n == 0:
			filtered++
		default:
			written += n
		}
		if m.limit > 0 && written >= m.limit {
			return read, m.limit, filtered, rejected
		}
	}
	return read, written, filtered, rejected
}

// TestCountsAtAnyBorder of blocks and reads: what the report says is the
// table's and the chain's doing alone.
func TestCountsAtAnyBorder(t *testing.T) {
	id := []string{"id"}
	third := func(i int64) int { return min(1, int(i%3)) }
	every := func(int64) int { return 1 }
	keep := chain.Filter(func(r record.Record) bool {
		s := r.Get("id")
		digits := 0
		for _, c := range []byte(s) {
			digits += int(c - '0')
		}
		return digits%3 != 0
	})
	explode := each(func(r record.Record, out *chain.Emitter) error {
		for range len(r.Get("id")) - 1 {
			out.Copy(r, 0)
			out.EndRow()
		}
		return nil
	})
	even := func(i int64) int { return int(1-i%2) * 3 } // three of one row, and none of the next
	three := each(func(r record.Record, out *chain.Emitter) error {
		if s := r.Get("id"); (s[len(s)-1]-'0')%2 == 0 {
			for range 3 {
				out.Copy(r, 0)
				out.EndRow()
			}
		}
		return nil
	})
	tables := map[int64]string{}
	var models []model
	for _, rows := range []int64{3, 2_000, 100_000} {
		models = append(models,
			model{rows, nil, every, 0},
			model{rows, []chain.Step{keep}, third, 0},
			model{rows, []chain.Step{keep.Concurrent(), chain.RowNumber("n"), chain.Select(id), keep}, third, 0},
			model{rows, []chain.Step{explode}, func(i int64) int { return len(fmt.Sprint(i)) - 1 }, 0})
		for _, n := range []int64{1, 50, 44_000} {
			models = append(models,
				model{rows, []chain.Step{chain.Limit(n)}, every, n},
				model{rows, []chain.Step{chain.Limit(2 * n), chain.Limit(n)}, every, n},
				model{rows, []chain.Step{chain.Limit(2 * n), chain.Select(id), chain.Limit(n)}, every, n},
				model{rows, []chain.Step{keep, chain.Limit(n)}, third, n},
				model{rows, []chain.Step{keep, chain.Select(id), chain.Limit(n), chain.JSONLines()}, third, n},
				model{rows, []chain.Step{keep.Concurrent(), chain.Select(id), chain.Limit(n)}, third, n},
				model{rows, []chain.Step{three, chain.Limit(n)}, even, n},
				model{rows, []chain.Step{three.Concurrent(), chain.Select(id), chain.Limit(n), chain.Limit(2 * n)}, even, n})
		}
	}
	readers := map[string]int{"bytes": 1, "sevens": 7, "64 KiB": 64 << 10}
	for _, m := range models {
		in, ok := tables[m.rows]
		if !ok {
			var text strings.Builder
			text.WriteString("id\n")
			for i := int64(1); i <= m.rows; i++ {
				if i%97 == 0 {
					text.WriteString("1,2\n")
				} else {
					fmt.Fprintf(&text, "%d\n", i)
				}
			}
			in = text.String()
			tables[m.rows] = in
		}
		var want [4]int64
		want[0], want[1], want[2], want[3] = m.counts()
		for name, n := range readers {
			if m.rows == 100_000 && n < 1000 && len(m.steps) != 1 {
				continue // a million reads
			}
			t.Run(fmt.Sprint(m.rows, " rows, ", name, ", ", m.steps), func(t *testing.T) {
				for _, parallel := range []int{1, 4} {
					var told int64
					j := job{reader: pieces{strings.NewReader(in), n}, parallel: parallel,
						onBadRow: func(record.BadRow) error { told++; return nil }}
					if _, err := j.run(t, m.steps...); err != nil {
						t.Fatal(err)
					}
					c := &j.counts
					got := [4]int64{c.RowsRead.Load(), c.RowsWritten.Load(), c.RowsFiltered.Load(), c.RowsRejected.Load()}
					if got != want {
						t.Errorf("%d blocks at once: rows read, written, filtered and rejected are %v, want %v", parallel, got, want)
					}
					if told != want[3] {
						t.Errorf("%d blocks at once: OnBadRow was asked about %d rows, want %d", parallel, told, want[3])
					}
				}
			})
		}
	}
}

// TestCountsOfSums of steps that make rows at their end, behind all of the source,
// before a Limit and behind one.
func TestCountsOfSums(t *testing.T) {
	sum := chain.RecordFunc(func([]record.Column) (chain.RecordStep, error) {
		rows := 0
		return chain.RecordStep{
			Row: func(record.Record, *chain.Emitter) error { rows++; return nil },
			End: func(out *chain.Emitter) error {
				for range 3 {
					out.Text(fmt.Sprint(rows))
					out.EndRow()
				}
				return nil
			},
		}, nil
	})
	id := chain.Select([]string{"id"})
	for _, test := range []struct {
		steps []chain.Step
		want  [4]int64 // rows read, written, filtered, rejected
	}{
		{[]chain.Step{sum}, [4]int64{9, 3, 8, 1}},
		{[]chain.Step{sum, chain.Limit(1)}, [4]int64{9, 1, 8, 1}},
		{[]chain.Step{sum, id, chain.Limit(1)}, [4]int64{9, 1, 8, 1}},
		{[]chain.Step{sum, chain.Limit(4)}, [4]int64{9, 3, 8, 1}},
		{[]chain.Step{chain.Limit(5), sum}, [4]int64{6, 3, 5, 1}},
		{[]chain.Step{chain.Limit(5), id, sum, chain.Limit(2)}, [4]int64{6, 2, 5, 1}},
		{[]chain.Step{chain.Limit(0), sum}, [4]int64{0, 3, 0, 0}},
	} {
		j := job{in: "id\n1\n2\n3\nbad,row\n5\n6\n7\n8\n9\n", onBadRow: func(record.BadRow) error { return nil }}
		if _, err := j.run(t, test.steps...); err != nil {
			t.Fatal(err)
		}
		c := &j.counts
		if got := [4]int64{c.RowsRead.Load(), c.RowsWritten.Load(), c.RowsFiltered.Load(), c.RowsRejected.Load()}; got != test.want {
			t.Errorf("%v: rows read, written, filtered and rejected are %v, want %v", test.steps, got, test.want)
		}
	}
}

// TestEncoderThatFailed is closed once, and what it writes then reaches nobody.
func TestEncoderThatFailed(t *testing.T) {
	const rows = chain.BlockSize
	big := "id\n" + strings.Repeat("1\n", rows) // two blocks
	for _, test := range []struct {
		name    string
		fails   bool // the source does
		encoder encoder
		object  object
		before  []chain.Step
		want    string
	}{
		{name: "encode", encoder: encoder{failAt: rows - 1, err: errBroken}, want: "step 1 EncoderFunc: row 262143: it is broken"},
		{name: "encode panics", encoder: encoder{failAt: 1, panics: "encode"}, want: "step 1 EncoderFunc: row 1: panic: boom"},
		{name: "source", fails: true, want: "source: it is broken"},
		{name: "step", before: []chain.Step{each(func(r record.Record, _ *chain.Emitter) error { return errBroken })},
			want: "step 1 RecordFunc: row 1: it is broken"},
		{name: "first write", object: object{failAt: 1}, want: "it is broken"},
		{name: "later write", object: object{failAt: rows / 2}, want: "it is broken"},
		{name: "close", encoder: encoder{closeErr: errBroken}, want: "step 1 EncoderFunc: it is broken"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e, o := test.encoder, test.object
			j := job{in: big, object: &o}
			if test.fails {
				j.reader = io.MultiReader(strings.NewReader(big), broken{})
			}
			got, err := j.run(t, append(slices.Clone(test.before), e.step())...)
			wantError(t, err, test.want)
			if e.close != 1 {
				t.Errorf("the encoder was closed %d times, want once", e.close)
			}
			o.wantEnd(t, true)
			// Only where Close itself fails was it called in good faith.
			if closed := strings.Contains(got, "end\n"); closed != (test.encoder.closeErr != nil) {
				t.Errorf("what Close wrote reached the object: %v", closed)
			}
			writes := o.writes
			if _, err := io.WriteString(e.w, "late"); err == nil && test.encoder.closeErr == nil || o.writes != writes && test.encoder.closeErr == nil {
				t.Errorf("a write after the end is answered with %v, and %d writes reached the object", err, o.writes-writes)
			}
		})
	}
	t.Run("encode ends its goroutine", func(t *testing.T) {
		closed := make(chan struct{}, 2)
		step := chain.EncoderFunc("", func(w io.Writer, _ []record.Column) (chain.Encoder, error) {
			return goexitEncoder{w, closed}, nil
		})
		j := job{in: big}
		got, err := j.run(t, step)
		if err == nil || !strings.Contains(err.Error(), "runtime.Goexit") {
			t.Errorf("got %v", err)
		}
		j.object.wantEnd(t, true)
		if len(closed) != 1 || got != "" {
			t.Errorf("the encoder was closed %d times, and %q was written", len(closed), got)
		}
	})
}

type goexitEncoder struct {
	w      io.Writer
	closed chan<- struct{}
}

func (goexitEncoder) Encode(*record.Batch) error { runtime.Goexit(); return nil }

func (e goexitEncoder) Close() error {
	e.closed <- struct{}{}
	_, err := io.WriteString(e.w, "end\n")
	return err
}

// miscounting returns a count and an error of its own choice.
type miscounting struct {
	count func(n int) int
	err   error
}

func (w miscounting) Write(p []byte) (int, error) { return w.count(len(p)), w.err }
func (miscounting) Close() error                  { return nil }

// TestWriterThatMiscounts is an error in words, and hides no other.
func TestWriterThatMiscounts(t *testing.T) {
	above := func(n int) int { return n + 1 }
	below := func(int) int { return -1 }
	for _, test := range []struct {
		name string
		w    miscounting
		want string
	}{
		{"too many", miscounting{above, nil}, "the writer returned a count of 6 for 5 bytes"},
		{"negative", miscounting{below, nil}, "the writer returned a count of -1 for 5 bytes"},
		{"too many, with an error", miscounting{above, errBroken}, "it is broken"},
		{"negative, with an error", miscounting{below, errBroken}, "it is broken"},
		{"none", miscounting{func(int) int { return 0 }, nil}, "short write"},
	} {
		for name, before := range map[string][]chain.Step{
			"copied":     nil,
			"compressed": {inPieces(5)},
			"decoded":    {chain.Limit(5)},
		} {
			t.Run(test.name+", "+name, func(t *testing.T) {
				j := job{in: "id\n1\n"}
				if name == "decoded" {
					j.in = "abcd\n"
				}
				step := chain.WriterFunc("", func(io.Writer) (io.WriteCloser, error) { return test.w, nil })
				_, err := j.run(t, append(slices.Clone(before), step)...)
				wantError(t, err, fmt.Sprintf("step %d WriterFunc: %s", len(before)+1, test.want))
				if test.w.err != nil && !errors.Is(err, errBroken) {
					t.Errorf("%v hides what the writer said", err)
				}
				j.object.wantEnd(t, true)
			})
		}
	}
}

// TestLimitWaitsForNoSource that has nothing more to say, wherever in the chain it is.
func TestLimitWaitsForNoSource(t *testing.T) {
	const n = 5
	rows := "id,x\n" + strings.Repeat("1,x\n", chain.BlockSize)
	for where, steps := range limits(n) {
		t.Run(where, func(t *testing.T) {
			hung := make(chan struct{})
			defer close(hung)
			j := job{parallel: 2, reader: io.MultiReader(strings.NewReader(rows),
				reader(func([]byte) (int, error) { <-hung; return 0, io.EOF }))}
			if _, err := j.run(t, steps...); err != nil {
				t.Fatal(err)
			}
			if w := j.counts.RowsWritten.Load(); w != n {
				t.Errorf("%d rows were written, want %d", w, n)
			}
		})
	}
}

// TestLimitEndsWhatIsBeforeIt where one turn makes more than the stages behind it have
// room for, and nobody takes any more of it.
func TestLimitEndsWhatIsBeforeIt(t *testing.T) {
	id := []string{"id"}
	in := "id,x\n" + strings.Repeat("1,abcdefghijklm\n", 4*chain.BlockSize/16)
	for range 40 {
		calls := 0
		slow := chain.Filter(func(record.Record) bool {
			if calls++; calls%(1<<10) == 0 {
				for range 100 {
					runtime.Gosched()
				}
			}
			return true
		})
		j := job{in: in, parallel: 2}
		if _, err := j.run(t, repeat(50), chain.Select(id), slow, chain.Select(id), chain.Limit(10), chain.Select(id)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGoexitBehindALimit is nobody's business, as any failure there.
func TestGoexitBehindALimit(t *testing.T) {
	in := "id\n" + strings.Repeat("1\n", chain.BlockSize/2) + strings.Repeat("2\n", chain.BlockSize/2)
	onCores(t, 20, func(t *testing.T) {
		exits := chain.Filter(func(r record.Record) bool {
			if r.Get("id") == "2" {
				runtime.Goexit()
			}
			return true
		})
		j := job{in: in, parallel: 2}
		if _, err := j.run(t, exits.Concurrent(), chain.Limit(10)); err != nil {
			t.Error(err)
		}
	})
}
