// Command bench measures s3writer beside its rivals: the same work on the same
// input in turn, each contestant in a process of its own. It prints a Markdown
// table, losses included.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

type settings struct {
	run     *regexp.Regexp
	n       int
	size    int64 // bytes
	data    string
	profile string
	log     io.Writer
}

func main() {
	if text := os.Getenv(taskVariable); text != "" {
		exitOn(perform(text))
		return
	}
	pattern := flag.String("run", "", "run only comparisons whose name/input matches this `regexp`")
	n := flag.Int("n", 5, "repetitions of each contestant")
	size := flag.Int64("size", 256, "`MiB` of input; copies and what compares two cores with one take four times as much, each of many tables a quarter, JSON Lines half")
	data := flag.String("data", "../../../shared/data", "`folder` of the real CSV files; input is generated where they are not")
	out := flag.String("out", "", "write the table into this `file`, between its markers")
	profile := flag.String("profile", "", "write each contestant's profiles of CPU and allocations into this `folder`")
	flag.Parse()

	re, err := regexp.Compile(*pattern)
	exitOn(err)
	results, err := runAll(settings{run: re, n: *n, size: *size * mib, data: *data, profile: *profile, log: os.Stderr})
	exitOn(err)
	report := markdown(results, *n)
	fmt.Print(report)
	if *out != "" {
		exitOn(insert(*out, report))
	}
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// result is a comparison on one input: the outcomes of each contestant.
type result struct {
	comparison *comparison
	input      *input
	outcomes   [][]outcome // by contestant; none of one that is missing
	missing    []error     // by contestant: why it cannot take part
}

// find returns the contestant called name.
func (r *result) find(name string) int {
	return slices.IndexFunc(r.comparison.contestants, func(c contestant) bool { return c.name == name })
}

func runAll(s settings) ([]*result, error) {
	server, err := startServer()
	if err != nil {
		return nil, err
	}
	defer server.stop()
	dir, err := os.MkdirTemp("", "s3writer-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var results []*result
	for _, c := range comparisons {
		for d := range c.inputs {
			if !s.run.MatchString(c.name + "/" + datasets[d].file) {
				continue
			}
			r, err := newResult(c, d, s, dir)
			if err != nil {
				return nil, err
			}
			if err := r.repeat(s, d, server, dir); err != nil {
				return nil, err
			}
			results = append(results, r)
		}
	}
	return results, nil
}

// newResult prepares a comparison: its input, in a file of dir if that is wanted,
// and who takes part.
func newResult(c *comparison, dataset int, s settings, dir string) (*result, error) {
	in, err := c.load(datasets[dataset], s.data, c.size(s.size))
	if err != nil {
		return nil, err
	}
	if c.filed() {
		if err := in.write(filepath.Join(dir, "input.csv")); err != nil {
			return nil, err
		}
	}
	r := &result{
		comparison: c, input: in,
		outcomes: make([][]outcome, len(c.contestants)),
		missing:  make([]error, len(c.contestants)),
	}
	for i, who := range c.contestants {
		r.missing[i] = who.missing()
	}
	return r, nil
}

// repeat runs the contestants n times, every other time in the opposite order.
func (r *result) repeat(s settings, dataset int, server *serverProcess, dir string) error {
	var order []int
	for i, err := range r.missing {
		if err == nil {
			order = append(order, i)
			continue
		}
		fmt.Fprintf(s.log, "%s, %s: %s is missing: %v\n", r.comparison.name, r.input.name(), r.comparison.contestants[i].name, err)
	}
	n := s.n
	if r.comparison.once {
		n = 1
	}
	for range n {
		for _, i := range order {
			o, err := r.once(s, dataset, i, server, dir)
			if err != nil {
				return err
			}
			if err := r.check(i, o); err != nil {
				return err
			}
			r.outcomes[i] = append(r.outcomes[i], o)
			fmt.Fprintf(s.log, "%s, %s: %-38s %8s MB/s %6.2f s CPU, peak heap %5.0f MiB\n",
				r.comparison.name, r.input.name(), r.comparison.contestants[i].name, megabytes(r.speed(i, o)), o.CPU.Seconds(), float64(o.PeakHeap)/mib)
		}
		slices.Reverse(order)
	}
	return nil
}

func (r *result) once(s settings, dataset, contestant int, server *serverProcess, dir string) (outcome, error) {
	c := r.comparison
	out, err := os.MkdirTemp(dir, "out-")
	if err != nil {
		return outcome{}, err
	}
	defer os.RemoveAll(out)
	run := runProcess
	if c.contestants[contestant].pair {
		run = runPair
	}
	o, err := run(task{
		Role: roleContestant, Comparison: c.name, Contestant: c.contestants[contestant].name,
		Dataset: dataset, Data: s.data, Size: c.size(s.size), Endpoint: server.endpoints[c.sink], Profile: s.profile,
		File: r.input.file, Folder: out,
	}, c.procsOf(c.contestants[contestant]))
	if err != nil || !c.sink.remote() {
		return o, err
	}
	a, err := server.account(c.sink)
	o.Sent, o.Refused = a.Bytes, a.Refused
	return o, err
}

// check makes sure that a contestant has done its work: a fast run that sent
// too little is no result.
func (r *result) check(contestant int, o outcome) error {
	want := max(o.Sent, 1)
	switch r.comparison.work {
	case workCopy:
		want = r.bytes(contestant)
	case workSelect, workRename, workScan:
		want = r.first(o).Sent
	case workRows, workPartition:
		if rows := r.first(o).Rows; o.Rows != rows {
			return fmt.Errorf("%s, %s: %s wrote %d rows, not %d", r.comparison.name, r.input.name(),
				r.comparison.contestants[contestant].name, o.Rows, rows)
		}
	}
	if o.Sent != want {
		return fmt.Errorf("%s, %s: %s sent %d bytes, not %d", r.comparison.name, r.input.name(),
			r.comparison.contestants[contestant].name, o.Sent, want)
	}
	return nil
}

// first returns the first outcome there is, o if that is it.
func (r *result) first(o outcome) outcome {
	for _, outcomes := range r.outcomes {
		if len(outcomes) > 0 {
			return outcomes[0]
		}
	}
	return o
}

// bytes returns how much contestant i reads in one repetition.
func (r *result) bytes(i int) int64 {
	return r.input.times(r.comparison.contestants[i].times).size * int64(r.comparison.tables)
}

// speed returns contestant i's MB of input a second.
func (r *result) speed(i int, o outcome) float64 {
	return float64(r.bytes(i)) / 1e6 / o.Elapsed.Seconds()
}
