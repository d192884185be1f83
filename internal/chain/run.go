package chain

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed149ec23d/s3writer/internal/record"
)

// BlockSize is how many bytes of a source are decoded at a time. It is large
// enough for what is done once for a block to cost nothing and small enough for many
// tables at once.
const BlockSize = 256 << 10

// Input is what a run reads, and how.
type Input struct {
	Source   Source
	Dialect  *record.Dialect           // normalised; of a source of bytes
	Columns  []string                  // set: no header row, and these are the columns
	OnBadRow func(record.BadRow) error // nil: a bad row ends the run
	Decode   bool                      // rows are asked for, even if no step needs them
	Text     bool                      // bytes that nobody decodes must be text all the same: not in UTF-16
	Parallel int                       // blocks worked on at once, at least 1

	// Of a program that divides the table among objects:
	Share   Share
	Spill   string              // folder for rows of partitions; "": they go into more objects
	Accepts func(*Object) error // asked before the first object of a partition; may be nil
	Failed  func(error)         // told of what ends the run, so that objects being finished end too; may be nil
}

// Counts is what a run has done so far. It may be read while the run goes on.
type Counts struct {
	RowsRead, RowsWritten, RowsFiltered, RowsRejected, BytesRead atomic.Int64
}

// sinkError is a failure below the chain: no step's fault.
type sinkError struct{ error }

func (e sinkError) Unwrap() error { return e.error }

func fromBelow(err error) bool {
	var below sinkError
	return errors.As(err, &below)
}

// bottom marks the errors of the object's own sink.
type bottom struct {
	ByteSink
	size int64 // bytes written
}

func (b *bottom) Write(p []byte) (int, error) {
	n, err := b.ByteSink.Write(p)
	b.size += int64(n)
	if err != nil {
		err = sinkError{err}
	}
	return n, err
}

func (b *bottom) Finish() error {
	if err := b.ByteSink.Finish(); err != nil {
		return sinkError{err}
	}
	return nil
}

// stepSink gives the errors of a writer its place in the chain, and the object's.
type stepSink struct {
	ByteSink
	step   *numbered
	object *Object
	next   ByteSink
}

// flush makes the writer store what it holds back, if it can.
func (s *stepSink) flush() (ok bool, err error) {
	f, ok := s.ByteSink.(interface{ flush() (bool, error) })
	if !ok {
		return false, nil
	}
	ok, err = f.flush()
	return ok, s.mark(err)
}

func (s *stepSink) Write(p []byte) (int, error) {
	n, err := s.ByteSink.Write(p)
	return n, s.mark(err)
}

func (s *stepSink) Finish() error { return s.mark(s.ByteSink.Finish()) }

func (s *stepSink) mark(err error) error {
	if err == nil || fromBelow(err) {
		return err
	}
	return s.object.error(s.step.error(err))
}

// error gives err the place of the object, where there are several.
func (o *Object) error(err error) error {
	if e, ok := err.(*Error); ok && o.Number > 0 && e.Object == nil {
		own := *e
		own.Object = o
		return &own
	}
	return err
}

// Run reads in to its end and writes what leaves the chain to the sinks that
// open opens, from one goroutine at a time. When it returns, the sinks have been
// finished or aborted, and nothing reads the source any more, unless the context ended
// while a Read was blocked: that Read's goroutine goes on alone. Where it is a
// step's function that does not return after the context has ended, or for long
// after a failure, Run returns an [AbandonedError], and the sinks are the caller's to
// abort.
func (p *Program) Run(caller context.Context, in Input, counts *Counts, open func(*Object) (ByteSink, error)) error {
	ctx, cancel := context.WithCancelCause(caller)
	defer cancel(nil)
	r := &run{Program: p, in: in, counts: counts, open: open, ctx: ctx, cancel: cancel, turn: newTurn(), finished: make(chan error, 1)}
	// In a goroutine of its own, so that a callback that ends its goroutine ends
	// nobody else's.
	done := make(chan error, 1)
	go func() {
		err := errGoexit
		defer func() { done <- err }()
		err = r.run()
	}()
	err, abandoned := r.await(caller, done)
	if below, ok := err.(sinkError); ok {
		err = below.error
	}
	if abandoned {
		return &AbandonedError{err}
	}
	return err
}

// await waits for the run, but not long after its failure, and not much longer than
// its caller waits.
func (r *run) await(caller context.Context, done <-chan error) (err error, abandoned bool) {
	select {
	case err := <-done:
		return err, false
	case <-r.ctx.Done():
	}
	failed := time.NewTimer(leaveFailedAfter)
	defer failed.Stop()
	select {
	case err := <-done:
		return err, false
	case <-failed.C:
		return Cause(r.ctx), true
	case <-caller.Done():
	}
	left := time.NewTimer(leaveAfter)
	defer left.Stop()
	select {
	case err := <-done:
		return err, false
	case <-left.C:
		return Cause(r.ctx), true
	}
}

// AbandonedError is that of a run whose context has ended, and which has not: a
// function of a step does not return. What it wraps is why the context has ended.
type AbandonedError struct{ Err error }

func (e *AbandonedError) Error() string { return e.Err.Error() }
func (e *AbandonedError) Unwrap() error { return e.Err }

// run is one table on its way through a program.
type run struct {
	*Program
	in     Input
	counts *Counts
	open   func(*Object) (ByteSink, error)
	ctx    context.Context
	cancel context.CancelCauseFunc

	stages []*stage
	limits []*transform // of all stages
	turn   turn

	free freeJobs
	busy busy // everything that may be in somebody's code when the run ends

	mu       sync.Mutex
	left     bool           // no more turns
	turns    sync.WaitGroup // those being taken
	finished chan error     // receives once, from the last stage
}

// start runs f in a goroutine of its own, which may be in somebody's code.
func (r *run) start(f func()) {
	r.busy.enter()
	go func() {
		defer r.busy.leave()
		f()
	}()
}

// enter says that a turn is being taken, unless the run has ended.
func (r *run) enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.left {
		r.turns.Add(1)
	}
	return !r.left
}

func (r *run) leave() { r.turns.Done() }

// finish says that the last stage is over.
func (r *run) finish(err error) { r.finished <- err }

// finishing waits for that, and for the turns that have begun.
func (r *run) finishing() (err error) {
	select {
	case err = <-r.finished:
	case <-r.ctx.Done():
		err = Cause(r.ctx)
	}
	if err != nil {
		r.fail(err)
	}
	r.mu.Lock()
	r.left = true
	r.mu.Unlock()
	r.turns.Wait()
	return err
}

func (r *run) run() (err error) {
	src := newSource(r)
	defer func() {
		if _, limited := r.limit(); err == nil && !limited {
			err = src.end()
		}
		// What failed first is the reason; the rest are its echoes.
		if cause := Cause(r.ctx); cause != nil && err != nil {
			err = cause
		}
		src.close()
	}()
	if r.NeedsRecords() || r.in.Decode || src.records() {
		return r.decode(src)
	}
	return r.copy(src)
}

// fail ends the run; the first failure counts.
func (r *run) fail(err error) {
	r.cancel(err)
	if r.in.Failed != nil {
		r.in.Failed(err)
	}
}

// copy passes the source's bytes on as they are.
func (r *run) copy(src *source) error {
	reader, err := src.open()
	if err != nil {
		return err
	}
	sink, _, err := r.openSink(&Object{})
	if err != nil {
		return err
	}
	return fill(sink, func() error { return r.copyTo(sink, src, reader) })
}

// fill finishes a sink that f has filled; if f fails, panics or ends its
// goroutine, the sink is aborted.
func fill(sink ByteSink, f func() error) error {
	filled := false
	defer func() {
		if !filled {
			sink.Abort()
		}
	}()
	if err := f(); err != nil {
		return err
	}
	filled = true
	return sink.Finish()
}

func (r *run) copyTo(sink ByteSink, src *source, reader io.Reader) error {
	// The object's own sink reads straight into its parts.
	if b, ok := sink.(*bottom); ok {
		if rr, ok := b.ByteSink.(rangeReader); ok && src.mayBeFile() {
			f, err := alone(src, src.file)
			if err != nil {
				return sourceError(err)
			}
			if f != nil {
				return r.copyFile(src, f, rr)
			}
		}
	}
	if r.in.Text {
		text, err := alone(src, func() (io.Reader, error) { return asText(reader) })
		if err != nil {
			return sourceError(err)
		}
		reader = text // not before: a cancelled run leaves the function to itself
	}
	if b, ok := sink.(*bottom); ok {
		if rf, ok := b.ByteSink.(io.ReaderFrom); ok {
			_, err := rf.ReadFrom(reader)
			return err
		}
	}
	out := make(chan *job, r.in.Parallel)
	src.copyBlocks(reader, out)
	for {
		j, err := r.receive(out)
		if j == nil || err != nil {
			return err
		}
		if j.err != nil {
			return j.err
		}
		_, err = sink.Write(j.out)
		r.freeJob(j)
		if err != nil {
			return err
		}
	}
}

// openSink opens an object and the writers above it.
func (r *run) openSink(o *Object) (ByteSink, *bottom, error) {
	b, err := r.open(o)
	if err != nil {
		return nil, nil, err
	}
	store := &bottom{ByteSink: b}
	var sink ByteSink = store
	for i := len(r.writers) - 1; i >= 0; i-- {
		w := &r.writers[i]
		above, err := w.openBytes(sink, r.in.Parallel)
		if err != nil {
			sink.Abort()
			return nil, nil, o.error(w.error(err))
		}
		sink = &stepSink{above, w, o, sink}
	}
	return sink, store, nil
}

// decode makes records of the source, passes them through the steps and
// encodes them.
func (r *run) decode(src *source) error {
	schema, err := src.header()
	if err != nil {
		return err
	}
	if err := r.openSteps(schema); err != nil {
		return err
	}
	if r.Divides() {
		return r.divide(src)
	}
	only := &Object{}
	sink, _, err := r.openSink(only)
	if err != nil {
		return err
	}
	return fill(sink, func() error {
		err := r.pump(src, sink)
		only.Rows = r.counts.RowsWritten.Load()
		return err
	})
}

// divide is pump for a table of several objects.
func (r *run) divide(src *source) error {
	last := r.stages[len(r.stages)-1]
	d, err := r.newDivider(last.schema)
	if err != nil {
		return err
	}
	defer d.discard()
	last.pack, last.write = d.pack, d.write
	if err := r.work(src); err != nil {
		return err
	}
	if err := d.finish(); err != nil {
		r.fail(err)
		return err
	}
	return nil
}

// bound is a transform and the step it is of.
type bound struct {
	*transform
	step *numbered
}

// openSteps opens the record steps and sorts them into stages: parallel steps
// run with what comes before them, steps that need order begin a new stage
// behind them.
func (r *run) openSteps(s *record.Schema) error {
	known := len(s.Columns) > 0 || len(r.records) == 0
	if !known && !r.in.Dialect.NoHeader {
		first := &r.records[0]
		return first.error(errors.New("the source is empty: there is no header row to take the columns from"))
	}
	cur := r.newStage()
	cur.schema = s
	r.stages = append(r.stages, cur)
	for i := range r.records {
		step := &r.records[i]
		t, err := step.openFor(s, known)
		if err != nil {
			return step.error(err)
		}
		if t.schema == nil {
			t.schema = s
		}
		known = known || step.emits && len(t.schema.Columns) > 0
		s = t.schema
		parallel := !step.ordered || step.concurrent
		if parallel && len(cur.ordered) > 0 {
			cur = r.newStage()
			r.stages = append(r.stages, cur)
		}
		if step.callback && !parallel {
			r.takeTurns(t)
		}
		if parallel {
			cur.parallel = append(cur.parallel, bound{t, step})
		} else {
			cur.ordered = append(cur.ordered, bound{t, step})
		}
		if t.limits {
			cur.limits, r.limits = append(cur.limits, t), append(r.limits, t)
		}
		cur.schema = s
	}
	if len(cur.ordered) > 0 {
		last := r.newStage()
		last.schema = s
		r.stages = append(r.stages, last)
	}
	if !known { // what was added is not all there is
		r.stages[len(r.stages)-1].schema = record.NewSchema(nil, false)
	}
	r.stages[0].numbers = true
	r.judge().judges = true
	for i, st := range r.stages[:len(r.stages)-1] {
		st.next, st.handedOn = r.stages[i+1], st.handOn
	}
	return nil
}

// openFor opens a step behind what leaves columns of s. Where these are not known,
// for want of a header row and of any row, one that names columns has nothing to do.
func (n *numbered) openFor(s *record.Schema, known bool) (*transform, error) {
	t, err := n.open(s)
	var unknown *record.UnknownColumnError
	if known || !errors.As(err, &unknown) {
		return t, err
	}
	t = &transform{apply: func(*record.Batch) error { return nil }}
	if n.division.partition {
		t.partition = []string{} // of no values
	}
	return t, nil
}

// inFlight is how many jobs there can be in so many stages: each reader has one, and each
// stage behind the first as many that have a goroutine of their own; and one in the making.
func inFlight(stages, parallel int) int { return readers(parallel) + (stages-1)*parallel + 1 }

// pump opens the encoder of a table's only object and fills that.
func (r *run) pump(src *source, sink ByteSink) error {
	last := r.stages[len(r.stages)-1]
	enc, err := r.openEncoding(sink, last.schema)
	if err != nil {
		return err
	}
	last.write = enc.writer(r, sink)
	last.encode = enc.append
	if !r.doors() { // else somebody's code writes to it, when and where it likes
		for above, ok := sink.(*stepSink); ok; above, ok = above.next.(*stepSink) {
			if g, ok := above.ByteSink.(*gzipSink); ok {
				g.later = last.later
			}
		}
	}
	if err := r.writeStart(sink, enc); err != nil {
		return err
	}
	err = r.work(src)
	if closed := enc.close(r, err); err == nil {
		err = closed
	}
	return err
}

// work starts the stages and the source, and waits for the last of the rows.
func (r *run) work(src *source) error {
	if last := r.stages[len(r.stages)-1]; r.doors() {
		write := last.write
		last.write = func(j *job) error {
			return r.inTurn(func() error { return write(j) })
		}
	}
	src.start(r.stages[0])
	err := r.finishing()
	r.countFiltered()
	if err == nil {
		err = Cause(r.ctx)
	}
	return err
}

func (r *run) openEncoding(sink io.Writer, s *record.Schema) (*encoding, error) {
	dialect := r.in.Dialect
	if r.encoder == nil {
		return sourceCSV(sink, s, dialect)
	}
	enc, err := r.encoder.openEncoder(sink, s, dialect)
	if err != nil {
		return nil, r.encoder.error(err)
	}
	return enc, nil
}

func (r *run) writeStart(sink ByteSink, enc *encoding) error {
	if len(enc.start) == 0 {
		return nil
	}
	_, err := sink.Write(enc.start)
	return err
}

// countFiltered sums up what the steps have left out. Behind the last row that
// a Limit takes, how far the steps before it got is chance, and not counted:
// whatever came up to there and not through them was left out.
func (r *run) countFiltered() {
	c := r.counts
	var filtered int64
	limit := r.limiting()
	for _, st := range r.stages {
		for _, t := range slices.Concat(st.parallel, st.ordered) {
			filtered += t.filtered.Load()
			if t.transform == limit {
				c.RowsRead.Store(limit.last.Load())
				filtered = limit.last.Load() - c.RowsRejected.Load() - limit.passed
			}
		}
	}
	c.RowsFiltered.Store(filtered)
}

// limiting returns the Limit that has taken all its rows first, as the source has
// them; nil if that is none, or none before the source's end.
func (r *run) limiting() (limit *transform) {
	last, _ := r.limit()
	for _, t := range r.limits {
		if t.done.Load() && t.last.Load() == last && last < atTheEnd {
			limit = t
		}
	}
	return limit
}

// writer returns what the last stage does with the jobs that come out of it.
func (e *encoding) writer(r *run, sink ByteSink) func(*job) error {
	if e.encoder == nil {
		return func(j *job) error {
			if len(j.out) == 0 {
				return nil
			}
			_, err := sink.Write(j.out)
			return err
		}
	}
	return func(j *job) error {
		for _, b := range j.batches {
			if err := e.encode(b); err != nil {
				return r.encoderError(b, err)
			}
		}
		return nil
	}
}

func (r *run) encoderError(b *record.Batch, err error) error {
	if fromBelow(err) {
		return err
	}
	// Only an error of this batch itself, not one within somebody's error.
	if fe, ok := err.(*record.FieldError); ok && b != nil {
		err = rowError(b, fe.Row, fe.Column, fe.Err)
	}
	if r.encoder == nil {
		return err
	}
	return r.encoder.error(err)
}

// encode gives somebody's encoder a batch.
func (e *encoding) encode(b *record.Batch) error {
	view := b.View()
	defer view.EndView()
	_, err := protect(func() (struct{}, error) { return struct{}{}, e.encoder.Encode(view) })
	if row, ok := view.At(); ok && err != nil && !fromBelow(err) {
		return rowError(b, row, "", err)
	}
	return err
}

// close ends somebody's encoder, also after a failure, so that it can let go
// of what it holds.
func (e *encoding) close(r *run, failed error) error {
	if e.encoder == nil {
		return nil
	}
	e.door.shut = failed != nil
	err := closeWriter(e.encoder)
	if failed != nil || err == nil {
		return nil
	}
	return r.encoderError(nil, err)
}

// receive takes the next job; nil at the end.
func (r *run) receive(in <-chan *job) (*job, error) {
	select {
	case j, ok := <-in:
		if !ok {
			return nil, Cause(r.ctx) // a source that failed ends its queue too
		}
		return j, nil
	case <-r.ctx.Done():
	}
	return nil, Cause(r.ctx)
}

func (r *run) send(out chan<- *job, j *job) error {
	select {
	case out <- j:
		return nil
	case <-r.ctx.Done():
		return Cause(r.ctx)
	}
}

const (
	// abandonAfter is how long a run that ends waits for a blocked Read.
	abandonAfter = 50 * time.Millisecond
	// leaveAfter is how long a run is waited for when its caller's context has ended.
	leaveAfter = 3 * abandonAfter
	// leaveFailedAfter is how long one is that has failed: nobody is in a hurry, and
	// what has not returned yet is most likely slow.
	leaveFailedAfter = 2 * time.Second
)

// errStopped tells a sender that nobody needs more.
var errStopped = errors.New("chain: stopped")

// errGoexit is the error of a callback that neither returned nor panicked.
var errGoexit = errors.New("a function ended its goroutine: runtime.Goexit, as the FailNow of package testing does, cannot be used here")
