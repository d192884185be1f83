package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// goal is a figure to reach. It judges the first contestant, which is ours.
type goal struct {
	text  string
	judge func(*result) (figure string, reached bool)
}

// ratioOf asks to be at least so many times as fast as the second contestant.
func ratioOf(least float64) goal {
	return goal{fmt.Sprintf("≥ %g×", least), func(r *result) (string, bool) {
		ratio := r.speedup(1)
		return fmt.Sprintf("%.1f×", ratio), ratio >= least
	}}
}

// noSlowerAndSmaller asks to be no slower than the fastest rival, with a smaller
// peak heap than that one's.
var noSlowerAndSmaller = goal{"no slower than the fastest, smaller peak", func(r *result) (string, bool) {
	best := 0
	for i, c := range r.comparison.contestants {
		if !c.ours && (best == 0 || r.elapsed(i) < r.elapsed(best)) {
			best = i
		}
	}
	ratio, ours, theirs := r.speedup(best), r.peak(0), r.peak(best)
	return fmt.Sprintf("%.2f× of %s; %.0f MiB to its %.0f", ratio, r.comparison.contestants[best].name, ours/mib, theirs/mib),
		ratio >= 1 && ours < theirs
}}

// peakWithin asks for a peak heap of at most so many bytes.
func peakWithin(most float64) goal {
	return goal{fmt.Sprintf("≤ %.0f MiB", most/mib), func(r *result) (string, bool) {
		return fmt.Sprintf("%.0f MiB", r.peak(0)/mib), r.peak(0) <= most
	}}
}

func (r *result) elapsed(i int) float64 {
	return median(r.values(i, func(o outcome) float64 { return o.Elapsed.Seconds() }))
}

// speedup tells how many times as fast as contestant i ours is.
func (r *result) speedup(i int) float64 { return r.elapsed(i) / r.elapsed(0) }

// peak returns the highest peak heap of all repetitions.
func (r *result) peak(i int) float64 {
	return slices.Max(r.values(i, func(o outcome) float64 { return float64(o.PeakHeap) }))
}

// values returns f of every outcome of a contestant, ascending.
func (r *result) values(i int, f func(outcome) float64) []float64 {
	v := make([]float64, len(r.outcomes[i]))
	for k, o := range r.outcomes[i] {
		v[k] = f(o)
	}
	slices.Sort(v)
	return v
}

// median returns the middle of sorted values.
func median(v []float64) float64 {
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// markdown returns the figures in one table and what they are made of in one
// table for each comparison.
func markdown(results []*result, n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s, %s.\n\nMade by `%s`: medians of %d runs of each contestant, min–max in brackets.\n\n",
		machine(), runtime.Version(), time.Now().Format("2 January 2006"), command(), n)
	b.WriteString("| work | input | to reach | reached | |\n|---|---|--:|--:|---|\n")
	for _, r := range results {
		figure, reached := r.comparison.goal.judge(r)
		verdict := "**missed**"
		if reached {
			verdict = "ok"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.comparison.title, r.describeInput(), r.comparison.goal.text, figure, verdict)
	}
	for _, r := range results {
		r.details(&b)
	}
	return b.String()
}

func (r *result) describeInput() string {
	size := fmt.Sprintf("%s, %.0f MiB", r.input.name(), float64(r.input.size)/mib)
	if r.comparison.tables > 1 {
		return fmt.Sprintf("%d × %s", r.comparison.tables, size)
	}
	return size
}

func (r *result) details(b *strings.Builder) {
	fmt.Fprintf(b, "\n### %s\n\n%s; sink: %s.\n\n", r.comparison.title, r.describeInput(), r.comparison.sink)
	b.WriteString("| | MB/s | time, ours = 1 | CPU s | peak heap MiB | heap held MiB | peak RSS MiB | thousand allocations | allocated MiB | GCs | sent MB |\n")
	b.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for i, c := range r.comparison.contestants {
		speeds := r.values(i, r.speed)
		mid := func(f func(outcome) float64) float64 { return median(r.values(i, f)) }
		highest := func(f func(outcome) int64) float64 {
			return slices.Max(r.values(i, func(o outcome) float64 { return float64(f(o)) })) / mib
		}
		fmt.Fprintf(b, "| %s | %.0f (%.0f–%.0f) | %.2f | %.2f | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f | %.1f |\n",
			c.name, median(speeds), speeds[0], speeds[len(speeds)-1], r.speedup(i),
			mid(func(o outcome) float64 { return o.CPU.Seconds() }),
			highest(func(o outcome) int64 { return o.PeakHeap }),
			highest(func(o outcome) int64 { return o.PeakTotal }),
			highest(func(o outcome) int64 { return o.PeakRSS }),
			mid(func(o outcome) float64 { return float64(o.Allocs) / 1000 }),
			mid(func(o outcome) float64 { return float64(o.AllocBytes) })/mib,
			mid(func(o outcome) float64 { return float64(o.GCs) }),
			mid(func(o outcome) float64 { return float64(o.Sent) })/1e6)
	}
}

func machine() string {
	model := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d cores, %s/%s", model, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
}

// command returns the command line that was typed, near enough to type it again.
func command() string {
	return strings.Join(append([]string{"go run ."}, os.Args[1:]...), " ")
}

const (
	tableBegin = "<!-- table -->\n"
	tableEnd   = "<!-- /table -->\n"
)

// insert replaces what stands between the markers of a file.
func insert(file, table string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(text, []byte(tableBegin))
	_, after, end := bytes.Cut(rest, []byte(tableEnd))
	if !ok || !end {
		return fmt.Errorf("%s: no lines %q and %q to write between", file, strings.TrimSpace(tableBegin), strings.TrimSpace(tableEnd))
	}
	return os.WriteFile(file, slices.Concat(before, []byte(tableBegin+"\n"+table+"\n"+tableEnd), after), 0o666)
}
