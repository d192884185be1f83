package chain

import (
	"slices"
	"sync"

	"github.com/seed149ec23d/s3writer/internal/record"
)

// job is a block of the source, or what a step made of it, on its way through
// the pipeline. One goroutine at a time has it.
type job struct {
	block   record.Block
	batches []*record.Batch
	windows []*record.Batch // more of them, that the stage works on in order
	bad     []record.BadRow
	rows    int64 // of the source, bad ones included
	out     []byte
	encoded int     // batches that out and what was written before have
	rowsOut int     // and rows of the next one
	buf     *[]byte // where out came from

	// Of a table that is divided among objects:
	groups []group // not encoded yet
	pieces []piece // what out is made of
	packed bool
	pack   packing // what these are made of
	err    error

	number int64 // its place in the stage's order
	last   bool  // nothing comes behind it: the end, or err
	worked bool  // what needs no order is done

	// Memory that a job has once and for all:
	one   [1]*record.Batch // batches, where there is but one
	part  record.Batch     // of a batch that is encoded in parts
	first []int32          // 0, 1, 2, …: a part is some of these rows
}

// freeJobs is a run's jobs that are done.
type freeJobs struct {
	mu   sync.Mutex
	jobs []*job
}

// newJob returns a job of nothing.
func (r *run) newJob() *job {
	f := &r.free
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.jobs); n > 0 {
		j := f.jobs[n-1]
		f.jobs = f.jobs[:n-1]
		return j
	}
	return new(job)
}

// jobOf returns a job of one batch.
func (r *run) jobOf(b *record.Batch) *job {
	j := r.newJob()
	j.batches = append(j.one[:0], b)
	return j
}

// freeJob takes a job that nobody has any more. One that failed, or that nobody
// received, is just left.
func (r *run) freeJob(j *job) {
	j.release()
	j.pack.reset()
	*j = job{first: j.first, pack: j.pack}
	f := &r.free
	f.mu.Lock()
	defer f.mu.Unlock()
	f.jobs = append(f.jobs, j)
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// buffer gives the job a buffer for its output.
func (j *job) buffer() []byte {
	j.buf = buffers.Get().(*[]byte)
	return (*j.buf)[:0]
}

// recycle gives back the job's buffer.
func (j *job) recycle() {
	if j.buf != nil && cap(j.out) <= 2*maxOut {
		*j.buf = j.out[:0]
		buffers.Put(j.buf)
	}
	j.out, j.buf = nil, nil
}

// release gives back what the job holds.
func (j *job) release() {
	j.recycle()
	j.batches, j.windows = nil, nil
	j.groups, j.pieces = nil, nil
}

// allRows returns the numbers below n, to be read only.
func (j *job) allRows(n int) []int32 {
	j.first = slices.Grow(j.first, max(0, n-len(j.first)))
	for row := len(j.first); row < n; row++ {
		j.first = append(j.first, int32(row))
	}
	return j.first[:n:n]
}
