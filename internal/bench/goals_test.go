package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

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

// TestRatiosAreThoseOfRounds on a machine that is not as fast in all of them.
func TestRatiosAreThoseOfRounds(t *testing.T) {
	c := &comparison{tables: 1, contestants: []contestant{{name: "ours", ours: true}, {name: "rival"}, {name: "ours, twice", ours: true, times: 2}}}
	r := resultOf(c, []float64{1, 4, 4}, []float64{1, 1, 1})
	for _, round := range [][]float64{{2, 4, 4}, {2, 8, 8}} {
		for i, o := range resultOf(c, round, []float64{1, 1, 1}).outcomes {
			r.outcomes[i] = append(r.outcomes[i], o...)
		}
	}
	for _, test := range []struct {
		goal   goal
		figure string
	}{
		{ratioTo("rival", 4), "4.0×"},
		{variantTo("ours, twice", "rival", 2), "2.0×"},
		{scaling("ours, twice", 0.5), "0.50×"},
		{sameTimePerByte(3), "300 %"},
	} {
		if figure, reached := test.goal.judge(r); figure != test.figure || !reached {
			t.Errorf("%s: got %q, %v; want %q", test.goal.text, figure, reached, test.figure)
		}
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

// TestGoalsHaveContestants: every goal can be judged where all have run, and its
// figure is a number.
func TestGoalsHaveContestants(t *testing.T) {
	in, err := stretch([]byte("a\n1\n2\n"), 1e6)
	if err != nil {
		t.Fatal(err)
	}
	in.dataset = datasets[0]
	for _, c := range comparisons {
		ones := slices.Repeat([]float64{1}, len(c.contestants))
		r := resultOf(c, ones, ones)
		r.input = in
		for i := range r.outcomes {
			r.outcomes[i][0].PeakRSS = 1
		}
		for _, g := range c.goals {
			if figure, _ := g.judge(r); strings.Contains(figure, "NaN") || strings.Contains(figure, "Inf") {
				t.Errorf("%s: %s: %s", c.name, g.text, figure)
			}
		}
	}
}

// TestGoalsOfUploads is about the kinds of contestants: rivals at their
// defaults, tuned ones, the bare loop, and others of ours.
func TestGoalsOfUploads(t *testing.T) {
	c := &comparison{tables: 1, contestants: []contestant{
		{name: "ours", ours: true}, {name: "slow"}, {name: "fast"}, {name: "tuned", tuned: true},
		{name: "variant", ours: true}, {name: "ceiling", bare: true},
	}}
	for _, test := range []struct {
		name           string
		goal           goal
		seconds, peaks []float64
		figure         string
		reached        bool
	}{
		{"the bare loop is no rival", noSlowerAndSmaller, []float64{2, 4, 2, 4, 4, 1}, []float64{1, 2, 2, 2, 2, 1}, "1.00× of fast; 1 MiB to its 2", true},
		{"near the ceiling", ratioTo("ceiling", 0.95), []float64{1, 2, 2, 2, 2, 0.96}, ones(6), "0.96×", true},
		{"far from the ceiling", ratioTo("ceiling", 0.95), []float64{1, 2, 2, 2, 2, 0.94}, ones(6), "0.94×", false},
		{"a tuned rival as the goal is named once", ratioTo("tuned", 3), []float64{1, 9, 9, 2, 1, 1}, ones(6), "2.0×", false},
		{"faster than each", ratioToEach(3), []float64{1, 9, 3, 1, 1, 1}, ones(6), "3.0× of fast", true},
		{"not faster than one", ratioToEach(3), []float64{1, 9, 2.5, 1, 1, 1}, ones(6), "2.5× of fast", false},
		{"a variant is faster", variantToEach("variant", 2), []float64{2, 9, 2, 9, 1, 1}, ones(6), "2.0× of fast", true},
		{"a variant is not", variantToEach("variant", 2), []float64{1, 9, 2, 9, 1.25, 1}, ones(6), "1.6× of fast", false},
		{"a variant near the ceiling", variantTo("variant", "ceiling", 0.85), []float64{9, 9, 9, 9, 1, 0.9}, ones(6), "0.90×", true},
		{"a variant far from it", variantTo("variant", "ceiling", 0.85), []float64{1, 9, 9, 9, 2, 1}, ones(6), "0.50×", false},
		{"no slower than tuned, and smaller", noSlowerThan("", isTuned, 1), []float64{1, 0.1, 0.1, 1, 1, 1}, []float64{4, 1, 1, 5, 1, 1},
			"1.00× of tuned; 4 MiB to 5 of tuned", true},
		{"no slower than tuned, and as large", noSlowerThan("", isTuned, 1), ones(6), []float64{5, 9, 9, 5, 9, 9}, "1.00× of tuned; 5 MiB to 5 of tuned", false},
		{"slower than tuned", noSlowerThan("", isTuned, 1), []float64{2, 9, 9, 1, 9, 9}, []float64{1, 9, 9, 9, 9, 9}, "0.50× of tuned; 1 MiB to 9 of tuned", false},
		{"below a third of the smallest", noSlowerThan("", anyRival, 1./3), []float64{1, 2, 3, 4, 1, 1}, []float64{2, 7, 9, 9, 1, 1},
			"2.00× of slow; 2 MiB to 7 of slow", true},
		{"above a third of the smallest", noSlowerThan("", anyRival, 1./3), []float64{1, 2, 3, 4, 1, 1}, []float64{3, 8, 9, 7, 1, 1},
			"2.00× of slow; 3 MiB to 7 of tuned", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			figure, reached := test.goal.judge(resultOf(c, test.seconds, test.peaks))
			if figure != test.figure || reached != test.reached {
				t.Errorf("got %q, %v; want %q, %v", figure, reached, test.figure, test.reached)
			}
		})
	}
}

func ones(n int) []float64 { return slices.Repeat([]float64{1}, n) }

func TestCPUIsComparedWithTheLeastOfTheRivals(t *testing.T) {
	c := &comparison{tables: 1, contestants: []contestant{{name: "ours", ours: true}, {name: "one"}, {name: "two"}, {name: "ceiling", bare: true}}}
	for _, test := range []struct {
		cpu     []time.Duration
		figure  string
		reached bool
	}{
		{[]time.Duration{2, 3, 2, 1}, "2.00 s; 2.00 s of two", true},
		{[]time.Duration{3, 2, 4, 1}, "3.00 s; 2.00 s of one", false},
	} {
		r := resultOf(c, ones(4), ones(4))
		for i, cpu := range test.cpu {
			r.outcomes[i][0].CPU = cpu * time.Second
		}
		if figure, reached := noMoreCPU.judge(r); figure != test.figure || reached != test.reached {
			t.Errorf("got %q, %v; want %q, %v", figure, reached, test.figure, test.reached)
		}
	}
}

// TestGrowthIsJudgedByteForByte, and its memory as it is.
func TestGrowthIsJudgedByteForByte(t *testing.T) {
	c := &comparison{tables: 1, contestants: []contestant{{name: "1", ours: true}, {name: "4", ours: true, times: 4}, {name: "16", ours: true, times: 16}}}
	for _, test := range []struct {
		name                string
		seconds, peaks, rss []float64
		time, memory        string
		inTime, inMemory    bool
	}{
		{"even", []float64{1, 4.4, 16}, []float64{100, 105, 101}, []float64{50, 50, 50}, "10 %", "5 %, 0 %", true, true},
		{"slower and larger", []float64{1, 4, 20}, []float64{100, 105, 150}, []float64{50, 50, 50}, "25 %", "50 %, 0 %", false, false},
		{"slower at first, and larger in RSS alone", []float64{1, 3, 12}, []float64{100, 100, 100}, []float64{50, 50, 60}, "33 %", "0 %, 20 %", false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := resultOf(c, test.seconds, test.peaks)
			for i, rss := range test.rss {
				r.outcomes[i][0].PeakRSS = int64(rss * mib)
			}
			if figure, reached := sameTimePerByte(0.15).judge(r); figure != test.time || reached != test.inTime {
				t.Errorf("time: got %q, %v; want %q, %v", figure, reached, test.time, test.inTime)
			}
			if figure, reached := sameMemory(0.1).judge(r); figure != test.memory || reached != test.inMemory {
				t.Errorf("memory: got %q, %v; want %q, %v", figure, reached, test.memory, test.inMemory)
			}
		})
	}
}

func TestCalmerIsRefusedLessAndNoSlower(t *testing.T) {
	c := &comparison{tables: 1, contestants: []contestant{{name: "ours", ours: true}, {name: "fixed"}}}
	for _, test := range []struct {
		refused [2]int64
		seconds []float64
		figure  string
		reached bool
	}{
		{[2]int64{100, 300}, []float64{1, 1}, "100 to 300; 1.00×", true},
		{[2]int64{101, 300}, []float64{1, 1}, "101 to 300; 1.00×", false},
		{[2]int64{10, 300}, []float64{2, 1}, "10 to 300; 0.50×", false},
	} {
		r := resultOf(c, test.seconds, ones(2))
		for i, n := range test.refused {
			r.outcomes[i][0].Refused = n
		}
		if figure, reached := calmer("fixed", 1./3).judge(r); figure != test.figure || reached != test.reached {
			t.Errorf("got %q, %v; want %q, %v", figure, reached, test.figure, test.reached)
		}
	}
}
