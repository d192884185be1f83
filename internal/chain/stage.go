package chain

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"github.com/seed149ec23d/s3writer/internal/record"
)

// stage is steps that blocks go through one behind the other: those that need no order
// in whatever goroutine has a block, its ordered ones when that block's turn has come.
// The same goroutine goes on with what leaves, in the next stage, or, from the last one,
// to the object. So a block stays where the caches have it.
type stage struct {
	run      *run
	schema   *record.Schema // of what leaves
	parallel []bound
	ordered  []bound
	limits   []*transform    // those of ordered that may need no more
	numbers  bool            // the first stage counts the source's rows
	judges   bool            // asks what is to become of bad rows; those before it pass them on
	bad      []record.BadRow // that it has not asked about yet
	seen     int64           // the number of the last row that has come here
	next     *stage
	handedOn func(*record.Batch) error // handOn

	placed int64         // jobs that there have been; of who makes them, one at a time
	room   chan struct{} // holds one for each job with a goroutine that was started for it
	order  order
	over   atomic.Bool // no more is needed, or there was a failure
	made   *job        // in this turn, for the next stage
	aside  func()      // to be done when the turn is over

	// Of the last stage:
	encode appender         // nil: write does it
	pack   func(*job) error // in its place where there are several objects
	write  func(*job) error // when it returns, the job's batches are nobody's any more
}

func (r *run) newStage() *stage {
	st := &stage{run: r, room: make(chan struct{}, r.in.Parallel)}
	st.order.spins = r.in.Parallel > 1
	return st
}

// follow takes a job through a stage, and what becomes of it through those behind.
func (r *run) follow(st *stage, j *job) {
	for ; j != nil; st = st.next {
		if !j.worked {
			st.prepare(j)
		}
		j = st.take(j)
	}
}

// prepare does what needs no order. If a function of somebody's ends the goroutine, that
// is the job's error, which another one takes to its turn.
func (st *stage) prepare(j *job) {
	if len(j.batches) == 0 {
		return
	}
	j.err, j.worked = errGoexit, true
	returned := false
	defer func() {
		if !returned {
			st.run.start(func() { st.run.follow(st, j) })
		}
	}()
	j.err = st.work(j)
	returned = true
}

// take does what is ordered, in the job's turn. It returns the last job that this has
// made for the next stage, if there is one. If a function ends the goroutine, the run has
// failed.
func (st *stage) take(j *job) (made *job) {
	r := st.run
	if !st.order.await(r.ctx, j.number) {
		return nil
	}
	if !r.enter() { // nobody needs more, nor may those before wait for room here
		st.over.Store(true)
		st.order.pass()
		return nil
	}
	returned := false
	defer func() {
		if !returned {
			r.fail(errGoexit)
		}
		r.leave()
	}()
	if !st.over.Load() {
		st.inTurn(j)
	}
	returned = true
	made, st.made = st.made, nil
	aside := st.aside
	st.aside = nil
	st.order.pass()
	if aside != nil {
		aside()
	}
	return made
}

// later has f done by whose turn it is, behind that.
func (st *stage) later(f func()) {
	if st.aside != nil {
		go f()
		return
	}
	st.aside = f
}

// place gives a job the next place in the stage.
func (st *stage) place(j *job) {
	j.number = st.placed
	st.placed++
}

// detach has a goroutine of its own follow a job that has its place, once there is room.
func (st *stage) detach(j *job) error {
	select {
	case st.room <- struct{}{}:
	case <-st.run.ctx.Done():
		return Cause(st.run.ctx)
	}
	st.run.start(func() {
		defer func() { <-st.room }()
		st.run.follow(st, j)
	})
	return nil
}

const (
	// maxWindows is how many windows of a block are worked on before its turn.
	// Blocks of very short rows have more; the rest is done in order, so that what
	// steps make of them is never there all at once.
	maxWindows = 2
	// maxOut is how much of it is encoded before its turn, for the same reason:
	// a column added, or keys of JSON, can make much of a small block.
	maxOut = 4 * BlockSize
)

// work is what needs no order.
func (st *stage) work(j *job) error {
	if len(st.parallel) > 0 {
		in := j.batches
		if len(in) > maxWindows {
			in, j.windows = in[:maxWindows], in[maxWindows:]
		}
		var err error
		if j.batches, err = passAll(st.parallel, in); err != nil {
			return err
		}
	}
	switch {
	case st.pack != nil:
		return st.pack(j)
	case st.encode != nil:
		return st.encodeJob(j)
	}
	return nil
}

// passAll takes batches through steps and returns what comes out, in the memory
// of in unless a step hands on others.
func passAll(steps []bound, in []*record.Batch) (out []*record.Batch, err error) {
	emits := slices.ContainsFunc(steps, func(t bound) bool { return t.emit != nil })
	if !emits {
		out = in[:0]
		for _, b := range in {
			if err := apply(steps, b); err != nil {
				return out, err
			}
			if b.Len() > 0 {
				out = append(out, b)
			} else {
				b.Release()
			}
		}
		return out, nil
	}
	for _, b := range in {
		err := pass(steps, b, func(b *record.Batch) error {
			out = append(out, b)
			return nil
		})
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// apply takes a batch through steps none of which hands on others, as long as
// there are rows left.
func apply(steps []bound, b *record.Batch) error {
	for i := range steps {
		if b.Len() == 0 {
			return nil
		}
		if err := steps[i].apply(b); err != nil {
			return steps[i].step.error(err)
		}
	}
	return nil
}

// encodeJob encodes as many of a job's batches as its buffer may hold.
func (st *stage) encodeJob(j *job) error {
	j.out = j.buffer()
	for j.encoded < len(j.batches) && len(j.out) < maxOut {
		b := j.batches[j.encoded]
		if err := st.encodeRows(j, b); err != nil {
			return st.run.encoderError(b, err)
		}
		if j.rowsOut == b.Len() {
			j.encoded, j.rowsOut = j.encoded+1, 0
		}
	}
	return nil
}

// encodeRows encodes the rows of b from j.rowsOut on, until j.out is full, and
// leaves there the row to go on with.
func (st *stage) encodeRows(j *job, b *record.Batch) (err error) {
	n := b.Len()
	if j.rowsOut == 0 && st.run.lean(b) {
		j.out, err = st.encode(j.out, b)
		j.rowsOut = n
		return err
	}
	rows := b.Selection
	if rows == nil {
		rows = j.allRows(n)
	}
	j.part = *b
	for step := 64; j.rowsOut < n && len(j.out) < maxOut; {
		before := len(j.out)
		j.part.Selection = rows[j.rowsOut:min(j.rowsOut+step, n)]
		if j.out, err = st.encode(j.out, &j.part); err != nil {
			return err
		}
		j.rowsOut += len(j.part.Selection)
		step = max(1, step*BlockSize/max(1, len(j.out)-before))
	}
	return nil
}

// lean tells whether a batch comes out hardly larger than it came in: fields of
// the source's text, as CSV.
func (r *run) lean(b *record.Batch) bool {
	if r.encoder != nil && !r.encoder.plain {
		return false
	}
	for _, ref := range b.Refs {
		if ref.Vector != b.Source {
			return false
		}
	}
	return true
}

// pass takes a batch through steps. Nothing is handed on if no row is left.
func pass(steps []bound, b *record.Batch, out func(*record.Batch) error) error {
	for i, t := range steps {
		if b.Len() == 0 {
			break
		}
		if t.emit != nil {
			return emit(t, steps[i+1:], b, out)
		}
		if err := t.apply(b); err != nil {
			return t.step.error(err)
		}
	}
	if b.Len() == 0 {
		b.Release()
		return nil
	}
	return out(b)
}

// emit takes what a step hands on through those behind it.
func emit(t bound, behind []bound, b *record.Batch, out func(*record.Batch) error) error {
	return t.step.error(t.emit(b, func(b *record.Batch) error {
		if err := pass(behind, b, out); err != nil {
			return err
		}
		if stopped(behind) {
			return errStopped // one row may become millions
		}
		return nil
	}))
}

// inTurn does what is ordered, and ends the stage when there are no more jobs, or no
// more are needed. A failure goes to the next stage, behind what was there before:
// whoever needs no more by then never sees it.
func (st *stage) inTurn(j *job) {
	var err error
	switch {
	case st.done():
	case !j.last:
		st.see(j)
		if err = st.job(j); err != nil {
			break
		}
		st.run.freeJob(j)
		if !st.done() {
			return
		}
	default:
		if err = j.err; err == nil {
			err = st.askUpTo(math.MaxInt64)
		}
	}
	st.over.Store(true)
	if err == nil {
		err = st.ends()
	}
	if st.next == nil {
		st.run.finish(err)
		return
	}
	if errors.Is(err, errStopped) {
		return // the next stage is over
	}
	end := st.run.newJob()
	end.last, end.err = true, err
	_ = st.hand(end)
}

// hand gives the next stage a job. Who makes one goes on with it when the turn is over;
// of several, with the last.
func (st *stage) hand(j *job) error {
	if st.next.over.Load() {
		return errStopped
	}
	if made := st.made; made != nil {
		st.made = nil
		if err := st.next.detach(made); err != nil {
			return err
		}
	}
	st.next.place(j)
	st.made = j
	return nil
}

// see notes how far a job goes.
func (st *stage) see(j *job) {
	if st.numbers {
		st.number(j, st.seen)
		st.seen += j.rows
	} else if n := len(j.batches); n > 0 {
		b := j.batches[n-1]
		st.seen = max(st.seen, b.Number(b.Row(b.Len()-1)))
	}
}

// number makes the row numbers of a job, which begin at 1, those of the source.
func (st *stage) number(j *job, before int64) {
	for _, b := range j.batches {
		b.First += before
	}
	for _, b := range j.windows {
		b.First += before
	}
	for i := range j.bad {
		j.bad[i].Row += before
	}
	if e, ok := j.err.(*Error); ok && e.Row > 0 && j.rows > 0 {
		e.Row += before
	}
	st.run.counts.RowsRead.Add(j.rows)
}

// job does the ordered part of a job. What is wrong behind the last row that
// anybody needs is nobody's business.
func (st *stage) job(j *job) error {
	if j.err != nil {
		return j.err
	}
	if err := st.takeBad(j.bad); err != nil {
		return err
	}
	end := st.inOrder(j)
	if end != nil && !errors.Is(end, errStopped) {
		return end
	}
	if st.done() {
		return st.askUpTo(math.MaxInt64)
	}
	if err := st.askUpTo(st.seen); err != nil {
		return err
	}
	return end
}

// judge is the stage that asks what is to become of bad rows: the last one that
// may turn out not to need them.
func (r *run) judge() *stage {
	for _, st := range slices.Backward(r.stages) {
		if len(st.limits) > 0 {
			return st
		}
	}
	return r.stages[0]
}

// takeBad keeps bad rows until it is known whether anybody needs them, or gives
// them to the stage behind, before the rows that they stood among.
func (st *stage) takeBad(bad []record.BadRow) error {
	if len(bad) == 0 {
		return nil
	}
	if st.judges {
		st.bad = append(st.bad, bad...)
		return nil
	}
	j := st.run.newJob()
	j.bad = bad
	return st.hand(j)
}

// askUpTo asks about the bad rows up to the given one, and about none behind the
// last row that a Limit takes.
func (st *stage) askUpTo(row int64) error {
	if len(st.bad) == 0 {
		return nil
	}
	if last, limited := st.run.limit(); limited {
		row = min(row, last)
	}
	for len(st.bad) > 0 && st.bad[0].Row <= row {
		if err := st.run.badRow(st.bad[0]); err != nil {
			return err
		}
		st.bad = st.bad[1:]
	}
	return nil
}

// limit returns the number of the last row that the Limits let pass, once one of
// them is done.
func (r *run) limit() (last int64, limited bool) { return lastOf(r.limits) }

// lastOf is the least of the last rows of the steps that are done.
func lastOf(limits []*transform) (last int64, limited bool) {
	for _, t := range limits {
		if t.done.Load() && (!limited || t.last.Load() < last) {
			last, limited = t.last.Load(), true
		}
	}
	return last, limited
}

// badRow asks what is to become of a row that is not well formed.
func (r *run) badRow(bad record.BadRow) error {
	if r.in.OnBadRow == nil {
		return &Error{Row: bad.Row, Offset: bad.Offset, Err: bad.Err}
	}
	err := r.inTurn(func() error {
		_, err := protect(func() (struct{}, error) { return struct{}{}, r.in.OnBadRow(bad) })
		return err
	})
	if err != nil {
		return &Error{Row: bad.Row, Offset: bad.Offset, Err: fmt.Errorf("OnBadRow: %w", err)}
	}
	r.counts.RowsRejected.Add(1)
	return nil
}

func (st *stage) inOrder(j *job) error {
	windows := j.windows // a job that was written is released
	if err := st.handOnAll(j); err != nil {
		return err
	}
	for _, b := range windows {
		err := pass(st.parallel, b, func(b *record.Batch) error {
			return st.handOnAll(st.run.jobOf(b))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// handOnAll takes a job's batches through the ordered steps, or writes them.
func (st *stage) handOnAll(j *job) error {
	if st.next == nil {
		return st.finish(j)
	}
	for _, b := range j.batches {
		if err := pass(st.ordered, b, st.handedOn); err != nil {
			return err
		}
	}
	return nil
}

// handOn gives a batch to the next stage.
func (st *stage) handOn(b *record.Batch) error {
	return st.hand(st.run.jobOf(b))
}

// finish writes what a job has become; only the last stage does.
func (st *stage) finish(j *job) error {
	if err := st.writeJob(j); err != nil {
		return err
	}
	for _, b := range j.batches {
		st.run.counts.RowsWritten.Add(int64(b.Len()))
		b.Release()
	}
	j.release()
	return nil
}

// writeJob writes what is encoded, and encodes and writes what is not yet.
func (st *stage) writeJob(j *job) error {
	if st.encode == nil {
		return st.write(j)
	}
	for {
		if err := st.write(j); err != nil {
			return err
		}
		if j.encoded == len(j.batches) {
			return nil
		}
		j.recycle()
		if err := st.encodeJob(j); err != nil {
			return err
		}
	}
}

func (st *stage) done() bool {
	_, limited := st.limit()
	return limited
}

// limit returns the number of the last row that the stage's steps need, if
// they need no more.
func (st *stage) limit() (last int64, limited bool) { return lastOf(st.limits) }

// stopped tells whether one of the steps needs no more.
func stopped(steps []bound) bool {
	return slices.ContainsFunc(steps, func(t bound) bool { return t.done.Load() })
}

// ends runs the ends of the steps, in order, each through those behind it.
// None is run in front of a step that needs no more.
func (st *stage) ends() error {
	steps := slices.Concat(st.parallel, st.ordered)
	for i, t := range steps {
		if t.end == nil || stopped(steps[i:]) {
			continue
		}
		err := t.end(func(b *record.Batch) error {
			err := pass(steps[i+1:], b, func(b *record.Batch) error {
				if st.next != nil {
					return st.handOn(b)
				}
				return st.finish(st.run.jobOf(b))
			})
			if err == nil && stopped(steps[i+1:]) {
				err = errStopped
			}
			return err
		})
		if err != nil && !(errors.Is(err, errStopped) && stopped(steps[i+1:])) {
			return t.step.error(err)
		}
	}
	return nil
}
