package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{3}, 3},
		{[]float64{1, 2}, 1.5},
		{[]float64{1, 2, 9}, 2},
		{[]float64{1, 2, 4, 9}, 3},
	} {
		if got := median(test.values); got != test.want {
			t.Errorf("median(%v) = %v, want %v", test.values, got, test.want)
		}
	}
}

// resultOf returns a result with one outcome per contestant, of these times and
// peak heaps in MiB.
func resultOf(c *comparison, seconds, peaks []float64) *result {
	r := &result{comparison: c, input: &input{dataset: datasets[0], size: 1e6}}
	for i := range seconds {
		u := usage{Elapsed: time.Duration(seconds[i] * float64(time.Second)), PeakHeap: int64(peaks[i] * mib)}
		r.outcomes = append(r.outcomes, []outcome{{usage: u, Sent: 1}})
	}
	r.missing = make([]error, len(seconds))
	return r
}

func TestGoals(t *testing.T) {
	c := &comparison{tables: 1, contestants: []contestant{{name: "ours", ours: true}, {name: "slow"}, {name: "fast"}, {name: "ours, small", ours: true}}}
	for _, test := range []struct {
		name           string
		goal           goal
		seconds, peaks []float64
		figure         string
		reached        bool
	}{
		{"ratio reached", ratioOf(4), []float64{1, 4, 2, 1}, []float64{1, 1, 1, 1}, "4.0×", true},
		{"ratio missed", ratioOf(4), []float64{1, 3.9, 5, 1}, []float64{1, 1, 1, 1}, "3.9×", false},
		{"faster and smaller", noSlowerAndSmaller, []float64{1, 4, 2, 0.1}, []float64{20, 9, 30, 1}, "2.00× of fast; 20 MiB to its 30", true},
		{"faster and larger", noSlowerAndSmaller, []float64{1, 4, 2, 1}, []float64{40, 90, 30, 1}, "2.00× of fast; 40 MiB to its 30", false},
		{"slower", noSlowerAndSmaller, []float64{4, 4, 2, 1}, []float64{20, 9, 30, 1}, "0.50× of fast; 20 MiB to its 30", false},
		{"ratio to a name", ratioTo("fast", 1), []float64{1, 4, 0.9, 1}, []float64{1, 1, 1, 1}, "0.90×", false},
		{"scaling", scaling("ours, small", 1.8), []float64{1, 4, 2, 0.5}, []float64{1, 1, 1, 1}, "2.00×", true},
		{"scaling missed", scaling("ours, small", 1.8), []float64{1, 4, 2, 0.8}, []float64{1, 1, 1, 1}, "1.25×", false},
		{"peak reached", peakWithin(96 * mib), []float64{1, 1, 1, 1}, []float64{96, 200, 200, 1}, "96 MiB", true},
		{"peak missed", peakWithin(96 * mib), []float64{1, 1, 1, 1}, []float64{97, 20, 20, 1}, "97 MiB", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			figure, reached := test.goal.judge(resultOf(c, test.seconds, test.peaks))
			if figure != test.figure || reached != test.reached {
				t.Errorf("got %q, %v; want %q, %v", figure, reached, test.figure, test.reached)
			}
		})
	}
}

// TestTunedRivalsAreNamedAndNotCounted is for rivals that are not at their defaults.
func TestTunedRivalsAreNamedAndNotCounted(t *testing.T) {
	c := &comparison{contestants: []contestant{{name: "ours", ours: true}, {name: "plain"}, {name: "tuned", tuned: true}}}
	for _, test := range []struct {
		name    string
		goal    goal
		seconds []float64
		figure  string
		reached bool
	}{
		{"faster", noSlowerAndSmaller, []float64{1, 2, 0.8}, "2.00× of plain; 1 MiB to its 2; 0.80× of tuned", true},
		{"slower", noSlowerAndSmaller, []float64{1, 2, 1.5}, "2.00× of plain; 1 MiB to its 2", true},
		{"nearer than the ratio", ratioOf(4), []float64{1, 5, 3}, "5.0×; 3.0× of tuned", true},
		{"as far", ratioOf(4), []float64{1, 3, 4}, "3.0×", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			figure, reached := test.goal.judge(resultOf(c, test.seconds, []float64{1, 2, 2}))
			if figure != test.figure || reached != test.reached {
				t.Errorf("got %q, %v; want %q, %v", figure, reached, test.figure, test.reached)
			}
		})
	}
}

func TestAllocationsAreThoseOfTheWorstChain(t *testing.T) {
	c := &comparison{tables: 1, contestants: []contestant{{name: "one"}, {name: "two"}}}
	in, err := stretch([]byte("a\n1\n2\n"), 2+2*500_000) // half a million rows
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		allocs  [2]int64
		figure  string
		reached bool
	}{
		{[2]int64{500, 999}, "1998 at most: two", true},
		{[2]int64{1000, 600}, "2000 at most: one", false},
	} {
		r := resultOf(c, []float64{1, 1}, []float64{1, 1})
		r.input = in
		for i, n := range test.allocs {
			r.outcomes[i][0].Allocs = n
		}
		if figure, reached := allocationsUnder(2000).judge(r); figure != test.figure || reached != test.reached {
			t.Errorf("got %q, %v; want %q, %v", figure, reached, test.figure, test.reached)
		}
	}
}

// TestWhatIsMissingIsSaid: a rival that is not installed is not passed over in silence.
func TestWhatIsMissingIsSaid(t *testing.T) {
	c := &comparison{title: "work", tables: 1, goals: []goal{ratioTo("Miller", 5)}, contestants: []contestant{
		{name: "ours", ours: true}, {name: "Miller", command: "s3writer-no-such-command"},
	}}
	r := resultOf(c, []float64{1}, []float64{1})
	r.outcomes = append(r.outcomes, nil)
	r.missing = []error{nil, c.contestants[1].missing()}
	text := markdown([]*result{r}, 1)
	for _, want := range []string{
		`| ≥ 5× Miller | exec: "s3writer-no-such-command": executable file not found in $PATH | **not measured** |`,
		`| Miller | not measured: exec: "s3writer-no-such-command": executable file not found in $PATH |`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

// TestGoalsNameContestants: a goal about a name that nobody has would judge nothing.
func TestGoalsNameContestants(t *testing.T) {
	for _, c := range comparisons {
		r := &result{comparison: c}
		for _, g := range c.goals {
			if g.rival != "" && r.find(g.rival) < 0 {
				t.Errorf("%s: no contestant %q", c.name, g.rival)
			}
		}
		if r.find(c.contestants[0].name) != 0 || !c.contestants[0].ours {
			t.Errorf("%s: %q is not ours alone", c.name, c.contestants[0].name)
		}
	}
}

func TestCheckRefusesWhatSentTooLittle(t *testing.T) {
	c := &comparison{name: "copy", work: workCopy, tables: 2, contestants: []contestant{{name: "ours"}}}
	r := &result{comparison: c, input: &input{dataset: datasets[0], size: 100}}
	if err := r.check(0, outcome{Sent: 200}); err != nil {
		t.Error(err)
	}
	const want = "copy, seattle-pets.csv: ours sent 199 bytes, not 200"
	if err := r.check(0, outcome{Sent: 199}); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestCheckRefusesRowsThatAreMissing(t *testing.T) {
	c := &comparison{name: "partition", work: workPartition, tables: 1, contestants: []contestant{{name: "ours"}, {name: "DuckDB"}}}
	r := &result{comparison: c, input: &input{dataset: datasets[0], size: 100}, outcomes: [][]outcome{{{Sent: 99, Rows: 7}}, nil}}
	if err := r.check(1, outcome{Sent: 90, Rows: 7}); err != nil {
		t.Error(err)
	}
	const want = "partition, seattle-pets.csv: DuckDB wrote 6 rows, not 7"
	if err := r.check(1, outcome{Sent: 99, Rows: 6}); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestInsertReplacesBetweenTheMarkers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "README.md")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("before\n" + tableBegin + "old\n" + tableEnd + "after\n")
	for range 2 {
		if err := insert(file, "new\n"); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := "before\n" + tableBegin + "\nnew\n\n" + tableEnd + "after\n"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	write("no markers")
	if err := insert(file, "new\n"); err == nil || !strings.Contains(err.Error(), "README.md: no lines") {
		t.Errorf("without markers: %v", err)
	}
}
