package processortest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"unicode/utf8"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/internal/chain"
	"github.com/seed149ec23d/s3writer/internal/record"
)

// check is the whole Test. What a broken promise is called depends on the order: the reasons come before what
// follows of them.
func (c *contract) check() error {
	c.id = newID()
	var err error
	if c.form, err = formOf(c.p); err != nil {
		return broken("form", "no chain can be made of it: %w", err)
	}
	inputs, err := c.inputs()
	if err != nil {
		return err
	}
	for i := range inputs {
		if c.source != nil {
			if inputs[i].csv, err = c.source(inputs[i].csv); err != nil {
				return fmt.Errorf("input %q: Source: %w", inputs[i].name, err)
			}
		}
	}
	for i, in := range inputs {
		if err := c.checkInput(in, i == len(inputs)-1); err != nil {
			return fmt.Errorf("%w [input: %s]", err, in.name)
		}
	}
	if err := c.checkNothing(); err != nil {
		return fmt.Errorf("%w [input: no bytes at all]", err)
	}
	return nil
}

// checkInput delivers one table in every way; the long one in those where length matters.
func (c *contract) checkInput(in input, long bool) error {
	alone := &delivery{name: "read at once", bare: true}
	bare, err := c.good(in, alone)
	if err != nil {
		return err
	}
	// The writer that watches is a step like others: a split by size may end
	// objects elsewhere in front of it.
	watched := &delivery{name: "in front of a WriterFunc"}
	want, err := c.good(in, watched)
	if err != nil {
		return err
	}
	if err := c.checkSame(in, bare, want, long); err != nil {
		return err
	}
	got, err := c.read(bare)
	if err != nil {
		return by(alone, err)
	}
	if err := c.checkRows(in, bare, got); err != nil {
		return by(alone, err)
	}
	if err := c.checkRowsSame(want, bare, got); err != nil {
		return by(watched, err)
	}
	if !in.alone {
		if err := c.checkNeighbours(in, want, got, long); err != nil {
			return err
		}
	}
	if !long {
		return c.goroutines()
	}
	return c.checkFailures(in, want)
}

func by(d *delivery, err error) error {
	return fmt.Errorf("%w [delivered: %s]", err, d.name)
}

// good delivers what must not fail.
func (c *contract) good(in input, d *delivery) ([]object, error) {
	objects, err := c.deliver(in, d)
	if err != nil {
		return nil, by(d, named(err))
	}
	return objects, nil
}

// named says which promise an error breaks that nobody has asked for.
func named(err error) error {
	var panicked *chain.PanicError
	var ours *s3writer.Error
	switch {
	case errors.Is(err, record.ErrKept):
		return broken("kept record", "a Record or Batch is used after the call it was given to: %w", err)
	case errors.As(err, &panicked):
		return broken("no panic", "%w", err)
	case errors.As(err, &ours):
		return broken("no error", "a good table fails: %w", err)
	}
	return err
}

// checkRows compares what was delivered with what is expected.
func (c *contract) checkRows(in input, objects []object, got Table) error {
	if in.objects != nil {
		var contents []string
		for _, o := range objects {
			_, body, err := c.content(o)
			if err != nil {
				return err
			}
			contents = append(contents, string(body))
		}
		if err := compareObjects(objects, contents, in.objects); err != nil {
			return err
		}
	}
	if c.model == nil {
		return nil
	}
	comparable, want := c.model(in.Table, got)
	if c.exact {
		comparable = got
	}
	return compare(comparable, want)
}

func compareObjects(objects []object, got, want []string) error {
	if len(got) != len(want) {
		return broken("objects", "there are %d, expected %d: %.500q", len(got), len(want), got)
	}
	for i := range want {
		if got[i] != want[i] {
			return broken("objects", "%q is %.500q, expected %.500q", objects[i].key, got[i], want[i])
		}
	}
	return nil
}

// same compares two deliveries of one table.
func (c *contract) same(got, want []object) error {
	if c.varying {
		return c.alike(got, want)
	}
	if len(got) != len(want) {
		return fmt.Errorf("%d objects instead of %d", len(got), len(want))
	}
	for i := range want {
		switch {
		case got[i].key != want[i].key:
			return fmt.Errorf("object %q instead of %q", got[i].key, want[i].key)
		case !bytes.Equal(got[i].body, want[i].body):
			return fmt.Errorf("object %q differs at byte %d: %d bytes instead of %d", got[i].key, differAt(got[i].body, want[i].body), len(got[i].body), len(want[i].body))
		}
	}
	return nil
}

func differAt(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// alike compares what two deliveries are read back as.
func (c *contract) alike(got, want []object) error {
	w, err := c.read(want)
	if err != nil {
		return err
	}
	g, err := c.read(got)
	if err != nil {
		return err
	}
	return compare(g, w)
}

// checkSame asks for the same objects in every way that a table can come: those that are there without a step of ours,
// and those with one.
func (c *contract) checkSame(in input, bare, watched []object, long bool) error {
	again := func(promise string, d *delivery) error {
		want := watched
		if d.bare {
			want = bare
		}
		got, err := c.good(in, d)
		if err != nil {
			return err
		}
		if err := c.same(got, want); err != nil {
			return by(d, broken(promise, "the same table becomes something else: %w", err))
		}
		return nil
	}
	if err := again("state", &delivery{name: "once more; what one table leaves behind must not reach the next", bare: true}); err != nil {
		return err
	}
	for _, d := range chunkings(len(in.csv)) {
		if err := again("chunking", d); err != nil {
			return err
		}
	}
	if !long {
		return nil
	}
	if err := onCores(func(n int) error {
		return again("parallelism", &delivery{name: fmt.Sprintf("with GOMAXPROCS=%d", n), bare: true})
	}); err != nil {
		return err
	}
	return c.checkBeside(in, watched)
}

func chunkings(size int) []*delivery {
	smallest := &delivery{name: "byte by byte", chunks: []int{1}}
	if size > 64<<10 { // that would take longer than all the rest
		smallest = &delivery{name: "in chunks of 251 bytes", chunks: []int{251}}
	}
	return []*delivery{
		smallest,
		{name: "in chunks of odd sizes", chunks: []int{1, 2, 3, 5, 7, 11, 4093, 13, 65537}, last: true},
		{name: "the last bytes with io.EOF", last: true},
	}
}

var cores sync.Mutex

// onCores calls f with one processor and with several.
func onCores(f func(n int) error) error {
	cores.Lock()
	defer cores.Unlock()
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	for _, n := range []int{1, 4} {
		runtime.GOMAXPROCS(n)
		if err := f(n); err != nil {
			return err
		}
	}
	return nil
}

// checkBeside delivers two tables at the same time.
func (c *contract) checkBeside(in input, want []object) error {
	other := in
	other.Table = in.rotated(7)
	other.csv = other.Table.csv("\n")
	if c.source != nil {
		var err error
		if other.csv, err = c.source(other.csv); err != nil {
			return err
		}
	}
	otherWant, err := c.good(other, &delivery{name: "its rows rotated"})
	if err != nil {
		return err
	}
	d := &delivery{name: "beside another table", chunks: []int{32 << 10}, beside: &other}
	got, err := c.good(in, d)
	if err != nil {
		return err
	}
	err = c.same(got, want)
	if err == nil {
		err = c.same(d.besideObjects, otherWant)
	}
	if err != nil {
		return by(d, broken("state", "two tables disturb each other: %w", err))
	}
	return nil
}

// checkNeighbours puts other steps in front of the processor and behind it.
func (c *contract) checkNeighbours(in input, want []object, got Table, long bool) error {
	for _, n := range c.neighbours(in.Table) {
		if long && !n.long {
			continue
		}
		from := in
		if n.doubled {
			from.Table = in.doubled()
			from.csv = from.Table.csv("\n")
		}
		objects, err := c.good(from, &n.delivery)
		if err != nil {
			return err
		}
		reader := *c
		if n.plain {
			reader.dialect, reader.parse = s3writer.CSV{}, nil
		}
		if err := reader.checkRowsSame(objects, want, got); err != nil {
			return by(&n.delivery, err)
		}
	}
	return nil
}

// checkRowsSame asks whether objects are want, or at least have the rows of it.
func (c *contract) checkRowsSame(objects, want []object, rows Table) error {
	if c.same(objects, want) == nil {
		return nil
	}
	got, err := c.read(objects)
	if err == nil {
		err = compare(unnamed(got, rows))
	}
	if err != nil {
		return broken("neighbours", "the table becomes something else: %w", err)
	}
	return nil
}

// unnamed leaves the names of columns away where one of two tables has none.
func unnamed(a, b Table) (Table, Table) {
	if a.Columns == nil || b.Columns == nil {
		a.Columns, b.Columns = nil, nil
	}
	return a, b
}

// neighbour is a delivery with other steps, which leave the rows as they are.
type neighbour struct {
	delivery
	doubled bool // the source has every row twice, and the step in front leaves one
	plain   bool // the object is of a built-in format
	long    bool // for long tables too
}

func (c *contract) neighbours(t Table) []neighbour {
	steps := func(f ...func() s3writer.Processor) func() []s3writer.Processor {
		return func() (all []s3writer.Processor) {
			for _, f := range f {
				all = append(all, f())
			}
			return all
		}
	}
	out := []neighbour{{delivery: delivery{name: "behind a ReaderFunc", before: steps(sameBytes)}}}
	if c.form.takes {
		out = append(out,
			neighbour{delivery: delivery{name: "behind a Filter", before: steps(all)}},
			neighbour{delivery: delivery{name: "behind a Filter that leaves every other row", before: steps(everyOtherSelected)}, doubled: true, long: true},
			neighbour{delivery: delivery{name: "behind a RecordFunc that leaves every other row", before: steps(everyOther)}, doubled: true})
		if !c.form.reads && len(t.Columns) > 0 {
			out = append(out, neighbour{delivery: delivery{name: "from Values", values: true}, long: true})
		}
	}
	if c.form.leaves {
		out = append(out,
			neighbour{delivery: delivery{name: "in front of a Filter", behind: steps(all)}},
			neighbour{delivery: delivery{name: "in front of Limit, which takes all", behind: steps(func() s3writer.Processor { return s3writer.Limit(1 << 40) })}})
		if valid(t) {
			out = append(out, neighbour{delivery: delivery{name: "in front of JSONLines", behind: steps(s3writer.JSONLines)}, plain: true})
		}
	}
	if c.form.writes {
		out = append(out, neighbour{delivery: delivery{name: "behind a WriterFunc that writes little at a time", before: steps(littleAtATime)}, long: true})
	}
	if !c.form.compresses && c.undo == nil {
		out = append(out,
			neighbour{delivery: delivery{name: "in front of Gzip", behind: steps(s3writer.Gzip)}},
			neighbour{delivery: delivery{name: "in front of Zstd", behind: steps(s3writer.Zstd)}})
	}
	return out
}

func valid(t Table) bool {
	for _, row := range t.Rows {
		for _, v := range row {
			if !utf8.ValidString(v.String()) {
				return false
			}
		}
	}
	return true
}

// checkFailures lets the source, the object and the context fail.
func (c *contract) checkFailures(in input, want []object) error {
	read, stored := len(in.csv), 0
	for _, o := range want {
		stored = max(stored, len(o.body))
	}
	for _, f := range []struct {
		promise string
		cause   error
		delivery
		always bool // the processor cannot do without what fails
	}{
		{"failing source", errSource, delivery{name: "the source fails at its first byte", failRead: 1}, true},
		{"failing source", errSource, delivery{name: "the source fails in the middle", failRead: read/2 + 1}, false},
		{"failing source", errSource, delivery{name: "the source fails in the middle, in small chunks", failRead: read/2 + 1, chunks: []int{4093}}, false},
		{"failing source", errSource, delivery{name: "the source fails at its end", failRead: read + 1}, c.form.reads},
		{"failing source", io.ErrUnexpectedEOF, delivery{name: "the source is cut: io.ErrUnexpectedEOF", failRead: read/2 + 1, failure: io.ErrUnexpectedEOF}, false},
		{"failing writer", errSink, delivery{name: "the writer below fails at its first byte", failWrite: 1}, true},
		{"failing writer", errSink, delivery{name: "the writer below fails in the middle", failWrite: stored/2 + 1}, true},
		{"failing writer", errSink, delivery{name: "the writer below fails at its end", failClose: true}, true},
		{"cancelled context", context.Canceled, delivery{name: "the context ends in the middle", failRead: read/2 + 1, cancel: true}, false},
	} {
		if f.failWrite > 0 && stored == 0 {
			continue
		}
		got, err := c.deliver(in, &f.delivery)
		switch {
		case errors.Is(err, f.cause) && len(got) == 0:
		case err == nil && !f.always && c.same(got, want) == nil: // a Limit needs no more
		case err == nil:
			return by(&f.delivery, broken(f.promise, "the error is swallowed, and the table is delivered as if it were whole"))
		case !errors.Is(err, f.cause):
			return by(&f.delivery, broken(f.promise, "the error that comes out is not the one that went in (errors.Is): %w", named(err)))
		default:
			return by(&f.delivery, broken(f.promise, "%d objects are visible although the table failed", len(got)))
		}
		if err := c.goroutines(); err != nil {
			return by(&f.delivery, err)
		}
	}
	return nil
}

// checkNothing delivers a source without a byte, which may be an error.
func (c *contract) checkNothing() error {
	d := &delivery{name: "read at once"}
	_, err := c.deliver(input{}, d)
	var panicked *chain.PanicError
	if errors.Is(err, record.ErrKept) || errors.As(err, &panicked) {
		return by(d, named(err))
	}
	var ours *s3writer.Error
	if err != nil && !errors.As(err, &ours) {
		return by(d, err)
	}
	return c.goroutines()
}
