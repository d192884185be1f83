package s3writer

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed149ec23d/s3writer/internal/chain"
	"github.com/seed149ec23d/s3writer/internal/upload"
)

// delivery is one table of one Write.
type delivery struct {
	w       *Writer
	number  int // of the table in its Write, from 1
	table   Table
	keys    keys
	program *chain.Program
	input   chain.Input
	begun   time.Time
	counts  chain.Counts
	sent    atomic.Int64 // bytes acknowledged

	engine    *upload.Engine
	admission *upload.Admission
	cancel    context.CancelCauseFunc // ends the table alone
	caller    context.Context         // of Write: when it ends, nobody waits any more

	mu      sync.Mutex // objects may be finished several at once
	objects []*object  // finished, in the order of their keys once the run has ended
	filling map[*objectSink]struct{}
	left    bool // the run was abandoned: what it still does is nobody's business
	opened  atomic.Int64
	orphans []Orphan

	warned    []string
	commitErr error        // of the first object that could not be committed
	doubts    atomic.Int64 // objects whose commit has an outcome that nobody knows

	report TableReport
	ended  atomic.Bool
	told   atomic.Int64 // when progress was last told, in Unix milliseconds

	progressErr error // of the first time that telling has failed; the Writer's progress lock has it
}

// plan checks a table's form; what is wrong is in its report.
func (w *Writer) plan(number int, t Table) *delivery {
	d := &delivery{w: w, number: number, table: t, begun: time.Now(), cancel: func(error) {}}
	d.report.Key = t.Key
	var errs []error
	complain := func(err error) {
		if err != nil {
			errs = append(errs, d.error(err))
		}
	}
	var steps []chain.Step
	for _, p := range slices.Concat(t.Processors, w.opts.processors) {
		steps = append(steps, p.list()...)
	}
	program, formErrs := chain.Compile(steps)
	for _, err := range formErrs {
		complain(err)
	}
	d.program = program
	var err error
	d.input, err = d.table.input()
	complain(err)
	if d.input.Source.Records != nil {
		complain(program.ForRecords())
	}
	// A long chain has many blocks on their way: fewer at once, if they would
	// take too much of the memory.
	for d.input.Parallel = w.parallel(); d.input.Parallel > 1; d.input.Parallel-- {
		budget := w.budget()
		s := program.Share(d.input.Parallel, budget)
		if s.Bytes-s.Waiting-s.Partitions <= w.opts.memory/2 && s.Bytes+int64(s.Objects)*budget.Object <= w.opts.memory {
			break
		}
	}
	d.input.Spill, d.input.Accepts = w.opts.spill, d.accepts
	complain(d.setKey())
	d.report.Err = errors.Join(errs...)
	return d
}

// setKey makes the keys of the table's objects.
func (d *delivery) setKey() error {
	if err := checkTableKey(d.table.Key); err != nil {
		return err
	}
	d.keys = newKeys(d.w.opts.prefix, d.table.Key, d.program)
	first := d.keys.of(&chain.Object{Number: 1})
	d.input.Text = namesCSV(first, d.program)
	key := d.keys.of(&chain.Object{Path: d.program.Folders(), Number: 1})
	if warning := suspectKey(key); warning != "" {
		d.w.opts.logger.Warn("s3writer: suspect key", "key", key, "reason", warning)
		d.warned = append(d.warned, fmt.Sprintf("key %q: %s", key, warning))
	}
	return checkKey(first)
}

// name is how messages call the table.
func (d *delivery) name() string {
	if d.report.Key == "" {
		return fmt.Sprintf("table %d", d.number)
	}
	return fmt.Sprintf("table %q", d.report.Key)
}

// admit waits for the table's turn and tells whether it has come. failed is why
// there is no engine.
func (d *delivery) admit(ctx context.Context, engine *upload.Engine, failed error) bool {
	if d.report.Err != nil {
		return false
	}
	if failed != nil {
		d.fail(ctx, failed)
		return false
	}
	d.input.Share = d.program.Share(d.input.Parallel, d.w.budget())
	admission, err := engine.AdmitStreams(ctx, d.input.Share.Objects, d.input.Share.Bytes)
	if err != nil {
		d.fail(ctx, err)
		return false
	}
	d.engine, d.admission = engine, admission
	return true
}

// start gives the table a context of its own. It lasts until done: an object
// that waits for the other tables may still have to be sent under it.
func (d *delivery) start(ctx context.Context) context.Context {
	ctx, d.cancel = context.WithCancelCause(ctx)
	return ctx
}

// run takes the table from its source to pending objects.
func (d *delivery) run(ctx context.Context) {
	defer d.admission.Release()
	objects, stop := context.WithCancelCause(ctx) // as long as the table, unless it fails
	input := d.input
	input.Failed = stop
	err := d.program.Run(ctx, input, &d.counts, func(o *chain.Object) (chain.ByteSink, error) { return d.open(objects, o) })
	if abandoned, ok := err.(*chain.AbandonedError); ok {
		err = abandoned.Err
		d.leave()
	}
	d.count()
	if err == nil {
		err = d.accept(ctx)
	}
	if err != nil {
		d.fail(ctx, err)
		settle(ctx, nil, false, d)
	} else if d.w.opts.allOrNothing {
		for _, o := range d.objects {
			o.pending.Hold() // it waits for the others, and its memory may be wanted
		}
	}
}

// count fills the report with what the run has counted.
func (d *delivery) count() {
	r, c := &d.report, &d.counts
	r.BytesRead = c.BytesRead.Load()
	r.RowsRead, r.RowsWritten = c.RowsRead.Load(), c.RowsWritten.Load()
	r.RowsFiltered, r.RowsRejected = c.RowsFiltered.Load(), c.RowsRejected.Load()
	if !d.countsRows() {
		r.RowsRead, r.RowsWritten, r.RowsFiltered, r.RowsRejected = -1, -1, -1, -1
	}
	d.sortObjects()
	for _, o := range d.objects {
		if !d.countsRows() {
			o.Rows = -1
		}
	}
	d.list()
	d.warnSmall()
}

// smallObjects is the mean size of objects that readers become slow with: each
// costs them a request or more.
const smallObjects = 1 << 20

// warnSmall warns of partitions that are too fine for the table.
func (d *delivery) warnSmall() {
	n := int64(len(d.objects))
	if n < 2 || !d.program.Partitions() {
		return
	}
	var size int64
	for _, o := range d.objects {
		size += o.Size
	}
	if size/n < smallObjects {
		const reason = "readers slow down on objects under 1 MiB; partition by something coarser, or give WithMemory more or WithSpill a folder"
		d.w.opts.logger.Warn("s3writer: many small objects", "table", d.report.Key, "objects", n, "mean", size/n, "reason", reason)
		d.warned = append(d.warned, fmt.Sprintf("%s: %d objects of %d bytes on average: %s", d.name(), n, size/n, reason))
	}
}

// warnings are those of a Write, each once.
func warnings(ds []*delivery) (all []string) {
	seen := map[string]bool{}
	for _, d := range ds {
		said := d.warned
		if d.engine != nil {
			said = append(d.engine.Warnings(), said...)
		}
		for _, warning := range said {
			if !seen[warning] {
				seen[warning] = true
				all = append(all, warning)
			}
		}
	}
	return all
}

func (d *delivery) countsRows() bool {
	if d.program == nil { // it was staged before
		return d.report.RowsRead >= 0
	}
	return d.program.NeedsRecords() || d.input.Decode || d.input.Source.Records != nil
}

// accept asks the table's owner.
func (d *delivery) accept(ctx context.Context) error {
	if d.table.Accept == nil {
		return nil
	}
	report := d.report
	report.Objects = slices.Clone(report.Objects) // it is the callback's to keep
	report.Duration = time.Since(d.begun)
	// In a goroutine of its own: one that it ends must not be the table's.
	done := make(chan error, 1)
	go func() {
		err := errors.New("a function ended its goroutine: runtime.Goexit, as the FailNow of package testing does, cannot be used in Accept")
		defer func() { done <- err }()
		defer recovered("Accept", &err)
		if err = chain.Sound(d.table.Accept(report)); err != nil {
			err = fmt.Errorf("refused by Accept: %w", err)
		}
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return chain.Cause(ctx)
	}
}

// recovered makes an error of a panic in the function that a table's owner gave.
func recovered(name string, err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%s: %w", name, chain.Panicked(p))
	}
}

// fail gives the table its error. Where the end of its context is the reason,
// the error says why it ended.
func (d *delivery) fail(ctx context.Context, err error) {
	d.report.Err = d.reason(ctx, err)
}

// reason finds the table's error.
func (d *delivery) reason(ctx context.Context, err error) *Error {
	why := chain.Cause(ctx)
	if sent, ok := why.(*uploadError); ok && sent.of == d {
		return sent.err
	}
	if sibling, ok := why.(*siblingError); ok && sibling.of != d {
		return d.error(sibling)
	}
	var sent *uploadError
	if errors.As(err, &sent) && sent.of == d {
		return sent.err
	}
	var panicked *chain.PanicError
	if ctx.Err() != nil && same(err, why) && !errors.Is(err, ctx.Err()) && !errors.As(err, &panicked) {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return d.error(err)
}

// same tells whether two errors are one. == panics on errors such as slices,
// and a caller may cancel a context with any.
func same(a, b error) bool {
	if reflect.TypeOf(a) != reflect.TypeOf(b) {
		return false
	}
	if reflect.ValueOf(a).Comparable() {
		return a == b
	}
	return reflect.DeepEqual(a, b)
}

// done ends the table's report.
func (d *delivery) done() {
	d.cancel(nil)
	if d.admission == nil {
		d.table.discard(d.caller)
	}
	d.report.Duration = time.Since(d.begun)
	d.tell(true) // what is still sent of it, another Commit tells
	d.w.progress.Lock()
	defer d.w.progress.Unlock()
	if d.report.Err == nil && d.progressErr != nil { // it was too late to stop the table
		d.report.Err = d.error(d.progressErr)
	}
}

// tellEvery is how often progress is told of one table.
const tellEvery = 100 * time.Millisecond

// tell calls the progress function if it is time to.
func (d *delivery) tell(done bool) {
	f := d.w.opts.progress
	if f == nil {
		return
	}
	now := time.Now().UnixMilli()
	last := d.told.Load()
	if !done && (now-last < tellEvery.Milliseconds() || !d.told.CompareAndSwap(last, now)) {
		return
	}
	if err := d.tellNow(f, done); err != nil {
		d.cancel(err)
	}
}

// tellNow calls f with what is true under the lock, so that what is told never goes
// back, and nothing follows the end.
func (d *delivery) tellNow(f func(Progress), done bool) (err error) {
	d.w.progress.Lock()
	defer d.w.progress.Unlock()
	if d.ended.Load() || !done && d.abandoned() {
		return nil
	}
	d.ended.Store(done)
	defer func() {
		if d.progressErr == nil {
			d.progressErr = err
		}
	}()
	defer recovered("WithProgress", &err)
	f(d.progress(done))
	return nil
}

func (d *delivery) progress(done bool) Progress {
	p := Progress{Table: d.report.Key, Done: done, RowsRead: -1,
		BytesRead: d.counts.BytesRead.Load(), BytesSent: d.sent.Load()}
	p.Objects = int(d.opened.Load())
	if d.countsRows() {
		p.RowsRead = d.counts.RowsRead.Load()
	}
	return p
}
