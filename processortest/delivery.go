package processortest

import (
	"cmp"
	"context"
	"errors"
	"io"
	"runtime/pprof"
	"slices"
	"sync"

	"github.com/seed149ec23d/s3writer"
)

// delivery is one way to bring a table through the processor.
type delivery struct {
	name          string                      // how it is delivered
	chunks        []int                       // sizes of the reads of the source, in turn; nil: as much as is asked for
	last          bool                        // the source's last bytes come with io.EOF
	before        func() []s3writer.Processor // steps in front of the one that is tested
	behind        func() []s3writer.Processor
	values        bool  // the source is values, not bytes
	failRead      int   // the source fails after as many bytes; 0: it does not
	failure       error // with this; nil: errSource
	failWrite     int   // the sink fails after as many bytes
	failClose     bool
	cancel        bool   // the context ends where the source would fail
	bare          bool   // nothing of ours stands behind the processor
	beside        *input // another table that is delivered at the same time
	besideObjects []object
}

// Failures that the kit makes.
var (
	errSource = errors.New("the source of the test failed")
	errSink   = errors.New("the writer below, which the test made, failed")
)

// deliver brings one input through the processor, and looks at how it is ended.
func (c *contract) deliver(in input, d *delivery) ([]object, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b, watch := newBucket(), &watch{}
	w, err := newWriter(s3writer.WithClient(b))
	if err != nil {
		return nil, err
	}
	tables := []s3writer.Table{c.table("one/table.csv", in, d, watch, cancel)}
	if d.beside != nil {
		tables = append(tables, c.table("two/table.csv", *d.beside, d, watch, cancel))
		takeTurns(watch.sources)
	}
	pprof.Do(ctx, pprof.Labels(label, c.id), func(ctx context.Context) {
		_, err = w.Write(ctx, tables...)
	})
	if broken := watch.ended(d.cancel); broken != nil {
		return nil, broken
	}
	d.besideObjects = below(b.all(), "two")
	return below(b.all(), "one"), err
}

func newWriter(o ...s3writer.Option) (*s3writer.Writer, error) {
	return s3writer.New(context.Background(), "processortest", o...)
}

// dryRun takes a table through its chain and delivers nothing.
func dryRun(t s3writer.Table) error {
	w, err := newWriter(s3writer.WithDryRun())
	if err == nil {
		_, err = w.Write(context.Background(), t)
	}
	return err
}

// table is an input on its way through the processor and its neighbours.
func (c *contract) table(key string, in input, d *delivery, w *watch, cancel func()) s3writer.Table {
	var steps []s3writer.Processor
	if d.before != nil {
		steps = append(steps, d.before()...)
	}
	steps = append(steps, c.p)
	if d.behind != nil {
		steps = append(steps, d.behind()...)
	}
	if !d.bare {
		steps = append(steps, w.sink(d))
	}
	if d.values {
		return s3writer.NewTable(key, valuesOf(in.Table), steps...)
	}
	s := &source{watch: w, text: in.csv, chunks: d.chunks, last: d.last}
	if d.failRead > 0 && d.cancel {
		s.stopAt, s.stop = d.failRead-1, func() error { cancel(); return nil }
	} else if d.failRead > 0 {
		s.stopAt, s.stop = d.failRead-1, func() error { return cmp.Or(d.failure, errSource) }
	}
	w.sources = append(w.sources, s)
	return s3writer.NewTable(key, s3writer.SourceFunc(s.open), steps...)
}

func valuesOf(t Table) *s3writer.Source {
	columns := make([]s3writer.Column, len(t.Columns))
	for i, name := range t.Columns {
		columns[i].Name = name
	}
	return s3writer.Values(columns, func(yield func([]s3writer.Value, error) bool) {
		for _, row := range t.Rows {
			if !yield(row, nil) {
				return
			}
		}
	})
}

// watch sees how sources and sinks are treated.
type watch struct {
	mu      sync.Mutex
	broken  error // the first promise that is not kept
	sources []*source
	sinks   []*sink
}

func (w *watch) breaks(promise, what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken == nil {
		w.broken = broken(promise, "%s", what)
	}
}

// ended tells whether everything that was opened had exactly one ending.
func (w *watch) ended(cancelled bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sources {
		s.mu.Lock()
		opens, closes, late := s.opens, s.closes, s.late
		s.mu.Unlock()
		switch {
		case opens != closes || opens > 1:
			return broken("one ending", "the source was opened %d times and closed %d times", opens, closes)
		case late > 1 && !cancelled: // one Read may be under way, or about to begin, when the source is closed
			return broken("one ending", "the source was read after it was closed")
		}
	}
	for _, s := range w.sinks {
		if s.closes != 1 {
			return broken("one ending", "the writer below was closed %d times", s.closes)
		}
	}
	return w.broken
}

// source is a source of bytes that comes in chunks, fails where it is to fail, and sees how it is read.
type source struct {
	watch  *watch
	text   []byte
	chunks []int
	last   bool
	stop   func() error
	stopAt int
	turn   *turn

	mu      sync.Mutex
	at      int
	reads   int
	reading bool
	late    int // reads that began after the end
	opens   int
	closes  int
}

func (s *source) open(context.Context) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opens++
	s.turn.begin(s)
	return s, nil
}

func (s *source) Read(p []byte) (int, error) {
	s.mu.Lock()
	switch {
	case s.reading:
		s.watch.breaks("one call at a time", "two Reads of the source at once")
	case s.closes > 0:
		s.late++
	}
	s.reading = true
	s.mu.Unlock()
	s.turn.wait(s)
	n, err := s.next(p)
	s.mu.Lock()
	s.reading = false
	s.mu.Unlock()
	return n, err
}

func (s *source) next(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	size := len(p)
	if s.chunks != nil {
		size = min(size, s.chunks[s.reads%len(s.chunks)])
		s.reads++
	}
	rest := s.text[s.at:]
	if s.stop != nil && s.at >= s.stopAt {
		if err := s.stop(); err != nil {
			return 0, err
		}
	} else if s.stop != nil {
		rest = s.text[s.at:s.stopAt]
	}
	n := copy(p[:size], rest)
	s.at += n
	if n == 0 || s.last && s.at == len(s.text) && s.stop == nil {
		return n, io.EOF
	}
	return n, nil
}

func (s *source) Close() error {
	s.mu.Lock()
	s.closes++
	s.mu.Unlock()
	s.turn.end(s)
	return nil
}

// turn lets two sources be read by turns, while both are open.
type turn struct {
	mu   sync.Mutex
	next sync.Cond
	open []*source
	of   *source
}

func takeTurns(sources []*source) {
	t := &turn{}
	t.next.L = &t.mu
	for _, s := range sources {
		s.turn = t
	}
}

func (t *turn) begin(s *source) {
	if t != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.open = append(t.open, s)
		t.of = s
		t.next.Broadcast()
	}
}

func (t *turn) wait(s *source) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.open) == 2 && t.of != s && slices.Contains(t.open, s) {
		t.next.Wait()
	}
	for _, other := range t.open {
		if other != s {
			t.of = other
		}
	}
	t.next.Broadcast()
}

func (t *turn) end(s *source) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open = slices.DeleteFunc(t.open, func(o *source) bool { return o == s })
	t.next.Broadcast()
}

// sink is a step behind the processor, which sees how it is written to and ended.
func (w *watch) sink(d *delivery) s3writer.Processor {
	return s3writer.WriterFunc("", func(below io.Writer) (io.WriteCloser, error) {
		s := &sink{watch: w, below: below, failAt: d.failWrite - 1, failClose: d.failClose}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.sinks = append(w.sinks, s)
		return s, nil
	})
}

type sink struct {
	watch     *watch
	below     io.Writer
	failAt    int // -1: never
	failClose bool

	mu      sync.Mutex
	writing bool
	written int
	closes  int
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	switch {
	case s.writing:
		s.watch.breaks("one call at a time", "two Writes below the processor at once")
	case s.closes > 0:
		s.watch.breaks("one ending", "the processor writes after its end")
	}
	s.writing = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.writing = false
		s.mu.Unlock()
	}()
	if s.failAt >= 0 && s.written+len(p) > s.failAt {
		return 0, errSink
	}
	n, err := s.below.Write(p)
	s.written += n
	return n, err
}

func (s *sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closes++
	if s.failClose {
		return errSink
	}
	return nil
}
