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
	if r.input.size < mib {
		size = fmt.Sprintf("%s, %.0f KiB", r.input.name(), float64(r.input.size)/1024)
	}
	if r.comparison.tables > 1 {
		return fmt.Sprintf("%s × %s", thousands(r.comparison.tables), size)
	}
	return size
}

func (r *result) details(b *strings.Builder) {
	fmt.Fprintf(b, "\n### %s\n\n%s; sink: %s.\n\n", r.comparison.title, r.describeInput(), r.comparison.sink)
	refused := func(cell string) string { // one column more, where requests are refused
		if r.comparison.sink != sinkStorm {
			return ""
		}
		return cell + "|"
	}
	b.WriteString("| | MB/s | time, ours = 1 | CPU s | peak heap MiB | heap held MiB | peak RSS MiB | thousand allocations | allocated MiB | GCs | sent MB |" + refused(" refused ") + "\n")
	b.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|" + refused("--:") + "\n")
	for i, c := range r.comparison.contestants {
		if err := r.missing[i]; err != nil {
			fmt.Fprintf(b, "| %s | not measured: %v | | | | | | | | | |%s\n", c.name, err, refused(" "))
			continue
		}
		speeds := r.values(i, func(o outcome) float64 { return r.speed(i, o) })
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
		fmt.Fprintf(b, "| %s | %s (%s–%s) | %.2f | %.2f | %s | %s | %.0f | %s | %s | %s | %.1f |%s\n",
			c.name, megabytes(median(speeds)), megabytes(speeds[0]), megabytes(speeds[len(speeds)-1]), r.speedup(i),
			r.cpu(i),
			ofHeap("%.0f", highest(func(o outcome) int64 { return o.PeakHeap })),
			ofHeap("%.0f", highest(func(o outcome) int64 { return o.PeakTotal })),
			highest(func(o outcome) int64 { return o.PeakRSS }),
			ofHeap("%.1f", mid(func(o outcome) float64 { return float64(o.Allocs) / 1000 })),
			ofHeap("%.0f", mid(func(o outcome) float64 { return float64(o.AllocBytes) })/mib),
			ofHeap("%.0f", mid(func(o outcome) float64 { return float64(o.GCs) })),
			mid(func(o outcome) float64 { return float64(o.Sent) })/1e6, refused(fmt.Sprintf(" %.0f ", r.refused(i))))
	}
}

// megabytes writes MB/s, those of many small tables to more places.
func megabytes(v float64) string {
	if v < 20 {
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.0f", v)
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
