package chain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/seed149ec23d/s3writer/internal/record"
)

// Source is where a run reads from: bytes or records, one of the two.
type Source struct {
	// Open opens a source of bytes. The io.Closer may be nil; it is closed
	// once, when nothing is read any more or to unblock a Read.
	Open  func(context.Context) (io.Reader, io.Closer, error)
	Fresh bool // what Open opens is read from its first byte on

	Records RecordSource
}

// RecordSource is a source that has records already.
type RecordSource interface {
	// Columns opens the source.
	Columns(context.Context) ([]record.Column, error)
	// Each appends every record to b, and calls row after each.
	Each(b *record.Builder, row func() error) error
	// Close is called once, if Columns was.
	Close() error
}

// source reads in a goroutine of its own: a Read that blocks must not keep
// the run from ending.
type source struct {
	run     *run
	scanner *record.Scanner
	schema  *record.Schema
	raw     io.Reader // of a source of bytes, as it was opened

	mu     sync.Mutex
	closer io.Closer
	closed bool
}

func newSource(r *run) *source { return &source{run: r} }

func (s *source) records() bool { return s.run.in.Source.Records != nil }

// alone runs f in the source's goroutine and waits for it, or for the run's
// end, whatever comes first. The panics of whatever is being read become
// errors here.
func alone[T any](s *source, f func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	s.run.busy.Add(1)
	go func() {
		defer s.run.busy.Done()
		r := result{err: errGoexit}
		defer func() { done <- r }()
		r.v, r.err = protect(f)
	}()
	select {
	case r := <-done:
		return r.v, r.err
	case <-s.run.ctx.Done():
		var zero T
		return zero, Cause(s.run.ctx)
	}
}

// open opens a source of bytes and the readers above it.
func (s *source) open() (io.Reader, error) {
	return alone(s, func() (io.Reader, error) { return s.openBytes() })
}

func (s *source) openBytes() (io.Reader, error) {
	r, err := protect(func() (io.Reader, error) {
		r, closer, err := s.run.in.Source.Open(s.run.ctx)
		if err == nil {
			s.keep(closer)
			s.raw = r
			err = spent(r)
		}
		return r, err
	})
	if err != nil {
		return nil, sourceError(err)
	}
	r = &counted{careful{r: r}, s}
	for i := range s.run.readers {
		step := &s.run.readers[i]
		above, err := protect(func() (io.Reader, error) { return step.wrap(r) })
		if err != nil {
			return nil, step.error(err)
		}
		r = &stepReader{careful{r: above}, step}
	}
	return r, nil
}

// spent tells a reader that stands at the end of what it has: another table has read it,
// or who wrote it did not go back. Nobody wants the empty object that would become of it.
func spent(r io.Reader) error {
	seeker, ok := r.(io.Seeker)
	if !ok || overrides(r) {
		return nil
	}
	at, err := seeker.Seek(0, io.SeekCurrent)
	if err != nil || at == 0 {
		return nil
	}
	if size, ok := sizeOf(r)(); ok && size > 0 && at >= size {
		return fmt.Errorf("the reader stands at the end of its %d bytes: go back to where they begin, or give another", size)
	}
	return nil
}

// keep remembers what has to be closed.
func (s *source) keep(c io.Closer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed && c != nil {
		_ = c.Close() // opened after the run had ended
		return
	}
	s.closer = c
}

// header opens the source and finds its columns.
func (s *source) header() (*record.Schema, error) {
	return alone(s, func() (*record.Schema, error) {
		if s.records() {
			return s.recordHeader()
		}
		r, err := s.openBytes()
		if err != nil {
			return nil, err
		}
		s.scanner = record.NewScanner(r, s.run.in.Dialect, s.run.in.Columns, BlockSize)
		s.scanner.Exact(s.run.in.OnBadRow != nil)
		s.schema, err = s.scanner.Header()
		if errors.Is(err, record.ErrNoHeader) {
			s.schema, err = record.NewSchema(nil, false), nil
		}
		return s.schema, sourceError(err)
	})
}

func (s *source) recordHeader() (*record.Schema, error) {
	src := s.run.in.Source.Records
	s.keep(src)
	columns, err := src.Columns(s.run.ctx)
	if err == nil && len(columns) == 0 {
		err = errors.New("has no columns")
	}
	if err != nil {
		return nil, sourceError(err)
	}
	s.schema = record.NewSchema(columns, true)
	return s.schema, nil
}

// decodeBlocks starts to feed the first stage.
func (s *source) decodeBlocks(first *stage) {
	s.feed(first.in, func() error {
		if s.records() {
			return s.feedRecords(first)
		}
		return s.feedBlocks(first)
	})
}

// feed runs f in the source's goroutine and then closes the queue.
func (s *source) feed(out *queue, f func() error) {
	s.run.busy.Add(1)
	go func() {
		defer s.run.busy.Done()
		err := errGoexit
		defer func() { out.end(s.run.ctx, sourceError(err)) }()
		_, err = protect(func() (struct{}, error) { return struct{}{}, f() })
	}()
}

func (s *source) feedBlocks(first *stage) error {
	if len(s.schema.Columns) == 0 {
		return nil
	}
	decode := s.decode
	for {
		block, err := s.scanner.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		j := s.run.newJob()
		j.block = block
		if err := first.submit(j, decode); err != nil {
			return err
		}
		// The block is decoded here, while the caches have it, and whoever is
		// idle reads on. Else the scheduler would keep the new goroutine for this
		// thread for a while, and the idle ones would wait that while.
		runtime.Gosched()
	}
}

// decode makes the batch of a block, in the job's own goroutine.
func (s *source) decode(j *job) {
	b, bad := s.scanner.Decode(j.block)
	j.rows = int64(b.Rows + len(bad))
	j.batches, j.bad = windows(j.one[:0], b), bad
	j.block = record.Block{}
}

// windowRows is how many rows steps and encoders get at once: blocks have more
// where rows are shorter than eight bytes.
const windowRows = BlockSize / 8

// windows cuts a batch that was just decoded into batches of windowRows, which
// it appends to cut.
func windows(cut []*record.Batch, b *record.Batch) []*record.Batch {
	if b.Rows <= windowRows {
		return append(cut, b)
	}
	for from := 0; from < b.Rows; from += windowRows {
		cut = append(cut, b.Window(from, min(from+windowRows, b.Rows)))
	}
	b.Release()
	return cut
}

// batchRows bounds the batches of sources that have records, whose rows may be
// small.
const batchRows = 4096

func (s *source) feedRecords(first *stage) error {
	b := record.NewBuilder(len(s.schema.Columns))
	send := func() error {
		n := int64(b.Rows())
		batch := b.Batch(s.schema)
		j := s.run.jobOf(batch)
		j.rows = n
		return first.submit(j, nil)
	}
	err := s.run.in.Source.Records.Each(b, func() error {
		if b.Size() >= BlockSize || b.Rows() >= batchRows {
			return send()
		}
		return nil
	})
	if err != nil {
		return err
	}
	if b.Rows() == 0 {
		return nil
	}
	return send()
}

// copyBlocks feeds a queue with the source's bytes as they are.
func (s *source) copyBlocks(r io.Reader, out *queue) {
	s.feed(out, func() error {
		for {
			j := s.run.newJob()
			j.ready = closed
			buf := j.buffer()
			if cap(buf) < BlockSize {
				buf = make([]byte, BlockSize)
			}
			n, err := readBlock(r, buf[:BlockSize])
			j.out = buf[:n]
			if n > 0 {
				if err := out.send(s.run.ctx, j); err != nil {
					return err
				}
			}
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
		}
	})
}

// readBlock is io.ReadFull for readers of any manners.
func readBlock(r io.Reader, p []byte) (n int, err error) {
	for empty := 0; n < len(p) && err == nil; {
		var k int
		k, err = r.Read(p[n:])
		n += k
		if k > 0 {
			empty = 0
		} else if empty++; empty == emptyReads && err == nil {
			err = io.ErrNoProgress
		}
	}
	return n, err
}

// close ends the reading. If a Read is still blocked after a moment, closing
// what we opened ourselves is what unblocks it; a plain reader's goroutine is
// left to its Read.
func (s *source) close() {
	s.run.cancel(nil)
	idle := make(chan struct{})
	go func() {
		s.run.busy.Wait()
		close(idle)
	}()
	timer := time.NewTimer(abandonAfter)
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
	}
	_ = s.closeOnce()
}

// end closes a source that was read to its end. Some say only then that this was
// none: processes, and downloads that are checked.
func (s *source) end() error {
	if err := s.closeOnce(); err != nil {
		return sourceError(fmt.Errorf("Close: %w", err))
	}
	return nil
}

func (s *source) closeOnce() error {
	s.mu.Lock()
	closer := s.closer
	s.closer, s.closed = nil, true
	s.mu.Unlock()
	if closer == nil {
		return nil
	}
	return closeWriter(closer)
}

// ended tells whether close has gone by.
func (s *source) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// emptyReads is how many reads of nothing in a row are taken for a reader that
// is stuck, as bufio has it.
const emptyReads = 100

// careful calls a reader that may be of any manners.
type careful struct {
	r     io.Reader
	empty int // reads of nothing in a row
}

func (c *careful) Read(p []byte) (int, error) {
	n, err := protect(func() (int, error) { return c.r.Read(p) })
	if n < 0 || n > len(p) {
		return 0, fmt.Errorf("the reader returned a count of %d for a buffer of %d bytes", n, len(p))
	}
	if c.empty++; n > 0 {
		c.empty = 0
	}
	if c.empty >= emptyReads && err == nil {
		err = io.ErrNoProgress
	}
	return n, err
}

// counted counts the source's bytes, and makes whatever the source does wrong
// an error of the source. What is closed it does not read: a reader above it that
// was slow to end may go on by itself.
type counted struct {
	careful
	source *source
}

func (c *counted) Read(p []byte) (int, error) {
	if c.source.ended() {
		return 0, errStopped
	}
	n, err := c.careful.Read(p)
	c.source.run.counts.BytesRead.Add(int64(n))
	if err != nil && err != io.EOF {
		err = errSource{err}
	}
	return n, err
}

// stepReader gives the errors of a reader its place in the chain.
type stepReader struct {
	careful
	step *numbered
}

func (s *stepReader) Read(p []byte) (int, error) {
	n, err := s.careful.Read(p)
	if err != nil && err != io.EOF && !IsSource(err) {
		err = s.step.error(err)
	}
	return n, err
}

// errSource marks what the source itself did wrong.
type errSource struct{ error }

func (e errSource) Unwrap() error { return e.error }
func (e errSource) Error() string { return "source: " + e.error.Error() }

// IsSource tells the failures of a source from those of what reads it.
func IsSource(err error) bool {
	var e errSource
	return errors.As(err, &e)
}

func sourceError(err error) error {
	var e *Error
	switch {
	case err == nil, IsSource(err), errors.As(err, &e), errors.Is(err, errStopped):
		return err
	}
	return errSource{err}
}
