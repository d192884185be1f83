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
	rival string // which must have run; "" if that is the second contestant, or none
	judge func(*result) (figure string, reached bool)
}

// ratioOf asks to be at least so many times as fast as the second contestant.
// Tuned rivals that are nearer than that are named.
func ratioOf(least float64) goal {
	return goal{text: fmt.Sprintf("≥ %g×", least), judge: func(r *result) (string, bool) {
		ratio := r.speedup(1)
		return times(ratio, least) + r.tunedWithin(least), ratio >= least
	}}
}

// ratioTo asks the same about the rival called name.
func ratioTo(name string, least float64) goal {
	return goal{text: fmt.Sprintf("≥ %g× %s", least, name), rival: name, judge: func(r *result) (string, bool) {
		ratio := r.speedup(r.find(name))
		return times(ratio, least) + r.tunedWithin(least), ratio >= least
	}}
}

// scaling asks the contestant called name, ours with more cores, to be at least
// so many times as fast as the first.
func scaling(name string, least float64) goal {
	return goal{text: fmt.Sprintf("%s ≥ %g× of one", name, least), rival: name, judge: func(r *result) (string, bool) {
		ratio := 1 / r.speedup(r.find(name))
		return times(ratio, least), ratio >= least
	}}
}

// allocationsUnder asks all contestants for fewer allocations in a million rows.
func allocationsUnder(limit float64) goal {
	return goal{text: fmt.Sprintf("< %.0f in a million rows", limit), judge: func(r *result) (string, bool) {
		worst, most := 0, 0.0
		for i := range r.comparison.contestants {
			if n := r.allocations(i); n > most {
				worst, most = i, n
			}
		}
		return fmt.Sprintf("%.0f at most: %s", most, r.comparison.contestants[worst].name), most < limit
	}}
}

// times returns a ratio, near one to more places.
func times(ratio, least float64) string {
	if least < 2 {
		return fmt.Sprintf("%.2f×", ratio)
	}
	return fmt.Sprintf("%.1f×", ratio)
}

// tunedWithin names the tuned rivals that ours is not least times as fast as.
func (r *result) tunedWithin(least float64) (text string) {
	for i, c := range r.comparison.contestants {
		if c.tuned && r.speedup(i) < least {
			text += fmt.Sprintf("; %s of %s", times(r.speedup(i), r.speedup(i)), c.name)
		}
	}
	return text
}

// noSlowerAndSmaller asks to be no slower than the fastest rival at its
// defaults, with a smaller peak heap than that one's. A tuned rival that is
// faster than ours is named.
var noSlowerAndSmaller = goal{text: "no slower than the fastest, smaller peak", judge: func(r *result) (string, bool) {
	best := 0
	for i, c := range r.comparison.contestants {
		if !c.ours && !c.tuned && (best == 0 || r.elapsed(i) < r.elapsed(best)) {
			best = i
		}
	}
	ratio, ours, theirs := r.speedup(best), r.peak(0), r.peak(best)
	return fmt.Sprintf("%.2f× of %s; %.0f MiB to its %.0f", ratio, r.comparison.contestants[best].name, ours/mib, theirs/mib) + r.tunedWithin(1),
		ratio >= 1 && ours < theirs
}}

// peakWithin asks for a peak heap of at most so many bytes.
func peakWithin(most float64) goal {
	return goal{text: fmt.Sprintf("≤ %.0f MiB", most/mib), judge: func(r *result) (string, bool) {
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

// allocations returns how many a million rows took.
func (r *result) allocations(i int) float64 {
	n := median(r.values(i, func(o outcome) float64 { return float64(o.Allocs) }))
	return n / (float64(r.input.count()*int64(r.comparison.tables)) / 1e6)
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
		for _, g := range r.comparison.goals {
			figure, verdict := r.judge(g)
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.comparison.title, r.describeInput(), g.text, figure, verdict)
		}
	}
	for _, r := range results {
		r.details(&b)
	}
	return b.String()
}

// judge tells how near a goal is.
func (r *result) judge(g goal) (figure, verdict string) {
	if g.rival != "" {
		if err := r.missing[r.find(g.rival)]; err != nil {
			return err.Error(), "**not measured**"
		}
	}
	figure, reached := g.judge(r)
	if !reached {
		return figure, "**missed**"
	}
	return figure, "ok"
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
		if err := r.missing[i]; err != nil {
			fmt.Fprintf(b, "| %s | not measured: %v | | | | | | | | | |\n", c.name, err)
			continue
		}
		speeds := r.values(i, r.speed)
		mid := func(f func(outcome) float64) float64 { return median(r.values(i, f)) }
		highest := func(f func(outcome) int64) float64 {
			return slices.Max(r.values(i, func(o outcome) float64 { return float64(f(o)) })) / mib
		}
		ofHeap := func(format string, v float64) string {
			if c.foreign {
				return "–"
			}
			return fmt.Sprintf(format, v)
		}
		fmt.Fprintf(b, "| %s | %.0f (%.0f–%.0f) | %.2f | %.2f | %s | %s | %.0f | %s | %s | %s | %.1f |\n",
			c.name, median(speeds), speeds[0], speeds[len(speeds)-1], r.speedup(i),
			mid(func(o outcome) float64 { return o.CPU.Seconds() }),
			ofHeap("%.0f", highest(func(o outcome) int64 { return o.PeakHeap })),
			ofHeap("%.0f", highest(func(o outcome) int64 { return o.PeakTotal })),
			highest(func(o outcome) int64 { return o.PeakRSS }),
			ofHeap("%.1f", mid(func(o outcome) float64 { return float64(o.Allocs) / 1000 })),
			ofHeap("%.0f", mid(func(o outcome) float64 { return float64(o.AllocBytes) })/mib),
			ofHeap("%.0f", mid(func(o outcome) float64 { return float64(o.GCs) })),
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

// thousands writes n with a comma before the last three digits.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
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
