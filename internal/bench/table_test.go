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
	return r
}

func TestGoals(t *testing.T) {
	c := &comparison{contestants: []contestant{{name: "ours", ours: true}, {name: "slow"}, {name: "fast"}, {name: "ours, small", ours: true}}}
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
