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

// TestCheckKnowsHowMuchEachReads: contestants may read the input several times.
func TestCheckKnowsHowMuchEachReads(t *testing.T) {
	in, err := stretch([]byte("a\n1\n2\n"), 102)
	if err != nil {
		t.Fatal(err)
	}
	c := &comparison{work: workCopy, tables: 1, contestants: []contestant{{name: "once"}, {name: "4 times", times: 4}}}
	r := &result{comparison: c, input: in}
	for i, sent := range []int64{102, 408} {
		if err := r.check(i, outcome{Sent: sent}); err != nil {
			t.Error(err)
		}
		if err := r.check(1-i, outcome{Sent: sent}); err == nil {
			t.Errorf("%d bytes of contestant %d are no error", sent, 1-i)
		}
		if speed := r.speed(i, outcome{usage: usage{Elapsed: time.Second}}); speed != float64(sent)/1e6 {
			t.Errorf("%d bytes a second are %v MB/s", sent, speed)
		}
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
