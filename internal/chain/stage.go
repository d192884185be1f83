package chain

import (
	"context"
	"errors"
	"sync"

	"github.com/seed149ec23d/s3writer/internal/record"
)

// job is a block of the source, or what a step made of it, on its way through
// the pipeline. One goroutine at a time has it.
type job struct {
	block   record.Block
	batches []*record.Batch
	bad     []record.BadRow
	rows    int64 // of the source, bad ones included
	out     []byte
	buf     *[]byte // where out came from
	err     error
	ready   chan struct{}
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// buffer gives the job a buffer for its output.
func (j *job) buffer() []byte {
	j.buf = buffers.Get().(*[]byte)
	return (*j.buf)[:0]
}

// release gives back what the job holds.
func (j *job) release() {
	if j.buf != nil && cap(j.out) <= 8*BlockSize {
		*j.buf = j.out[:0]
		buffers.Put(j.buf)
	}
	j.out, j.buf, j.batches = nil, nil, nil
}

// queue carries jobs from one stage to the next, in order. The receiver closes
// stop when it needs no more.
type queue struct {
	jobs chan *job
	stop chan struct{}
}

func newQueue(n int) *queue {
	return &queue{jobs: make(chan *job, n), stop: make(chan struct{})}
}

// stage works on the jobs of its queue: parallel steps in a goroutine per job,
// then, in order, its ordered steps. What leaves goes to the next stage, or,
// from the last one, to the object.
type stage struct {
	run      *run
	in       *queue
	schema   *record.Schema // of what leaves
	parallel []bound
	ordered  []bound
	numbers  bool // the first stage counts the source's rows
	next     *stage

	// Of the last stage:
	encode  appender // nil: write does it
	encoder *numbered
	write   func(*job) error
}

// submit hands a job to the stage and starts its parallel work.
func (st *stage) submit(j *job, decode func(*job)) error {
	j.ready = make(chan struct{})
	select {
	case st.in.jobs <- j:
	case <-st.in.stop:
		return errStopped
	case <-st.run.ctx.Done():
		return context.Cause(st.run.ctx)
	}
	if decode == nil && len(st.parallel) == 0 && st.encode == nil {
		close(j.ready)
		return nil
	}
	st.run.busy.Add(1)
	go func() {
		defer st.run.busy.Done()
		defer close(j.ready)
		if decode != nil {
			decode(j)
		}
		j.err = st.work(j)
	}()
	return nil
}

// work is what a job's own goroutine does.
func (st *stage) work(j *job) error {
	if len(st.parallel) > 0 {
		in := j.batches
		j.batches = nil
		for _, b := range in {
			err := pass(st.parallel, b, func(b *record.Batch) error {
				j.batches = append(j.batches, b)
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	if st.encode != nil && len(st.ordered) == 0 {
		return st.encodeJob(j)
	}
	return nil
}

func (st *stage) encodeJob(j *job) error {
	j.out = j.buffer()
	for _, b := range j.batches {
		var err error
		if j.out, err = st.encode(j.out, b); err != nil {
			return st.run.encoderError(b, err)
		}
	}
	return nil
}

// pass takes a batch through steps. Nothing is handed on if no row is left.
func pass(steps []bound, b *record.Batch, out func(*record.Batch) error) error {
	for i, t := range steps {
		if b.Len() == 0 {
			return nil
		}
		if t.emit != nil {
			return t.step.error(t.emit(b, func(b *record.Batch) error { return pass(steps[i+1:], b, out) }))
		}
		if err := t.apply(b); err != nil {
			return t.step.error(err)
		}
	}
	if b.Len() == 0 {
		return nil
	}
	return out(b)
}

// loop takes the jobs of the stage in order until there are no more, or no
// more are needed.
func (st *stage) loop() error {
	err := st.jobs()
	close(st.in.stop)
	if err == nil {
		err = st.ends()
	}
	if st.next != nil {
		close(st.next.in.jobs)
	}
	if errors.Is(err, errStopped) {
		return nil
	}
	return err
}

func (st *stage) jobs() error {
	var rows int64 // of the source, before the job
	for !st.done() {
		j, err := st.run.receive(st.in)
		if j == nil || err != nil {
			return err
		}
		if st.numbers {
			st.number(j, rows)
			rows += j.rows
		}
		if err := st.job(j); err != nil {
			return err
		}
	}
	return nil
}

// number makes the row numbers of a job, which begin at 1, those of the source.
func (st *stage) number(j *job, before int64) {
	for _, b := range j.batches {
		b.First += before
	}
	for i := range j.bad {
		j.bad[i].Row += before
	}
	var e *Error
	if errors.As(j.err, &e) && e.Row > 0 {
		e.Row += before
	}
	st.run.counts.RowsRead.Add(j.rows)
}

// job does the ordered part of a job.
func (st *stage) job(j *job) error {
	if st.run.in.OnBadRow != nil {
		if err := st.badRows(j.bad); err != nil {
			return err
		}
	}
	if j.err != nil {
		return j.err
	}
	if err := st.inOrder(j); err != nil {
		return err
	}
	if len(j.bad) > 0 && st.run.in.OnBadRow == nil {
		return badRow(j.bad[0].Row, j.bad[0])
	}
	return nil
}

func (st *stage) badRows(bad []record.BadRow) error {
	for _, b := range bad {
		_, err := protect(func() (struct{}, error) { return struct{}{}, st.run.in.OnBadRow(b) })
		if err != nil {
			return rejected(b.Row, err)
		}
		st.run.counts.RowsRejected.Add(1)
	}
	return nil
}

func (st *stage) inOrder(j *job) error {
	if st.next == nil {
		return st.finish(j)
	}
	for _, b := range j.batches {
		if err := pass(st.ordered, b, st.handOn); err != nil {
			return err
		}
	}
	return nil
}

// handOn gives a batch to the next stage.
func (st *stage) handOn(b *record.Batch) error {
	return st.next.submit(&job{batches: []*record.Batch{b}}, nil)
}

// finish writes what a job has become; only the last stage does.
func (st *stage) finish(j *job) error {
	if err := st.write(j); err != nil {
		return err
	}
	for _, b := range j.batches {
		st.run.counts.RowsWritten.Add(int64(b.Len()))
		if st.encode != nil {
			b.Release()
		}
	}
	j.release()
	return nil
}

func (st *stage) done() bool {
	for _, t := range st.ordered {
		if t.done.Load() {
			return true
		}
	}
	return false
}

// ends runs the ends of the steps, in order, each through those behind it.
func (st *stage) ends() error {
	steps := append(append([]bound(nil), st.parallel...), st.ordered...)
	for i, t := range steps {
		if t.end == nil {
			continue
		}
		err := t.end(func(b *record.Batch) error { return pass(steps[i+1:], b, st.handEnd) })
		if err != nil {
			return t.step.error(err)
		}
	}
	return nil
}

// handEnd hands on what a step made at its end.
func (st *stage) handEnd(b *record.Batch) error {
	if st.next != nil {
		return st.handOn(b)
	}
	j := &job{batches: []*record.Batch{b}}
	if st.encode != nil {
		if err := st.encodeJob(j); err != nil {
			return err
		}
	}
	return st.finish(j)
}
