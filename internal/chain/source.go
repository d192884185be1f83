package chain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
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

// source is what a run reads. Whoever is in a Read is not waited for: one that blocks must
// not keep the run from ending.
type source struct {
	run     *run
	scanner *record.Scanner
	schema  *record.Schema
	raw     io.Reader // of a source of bytes, as it was opened

	// Blocks are read one at a time, by any of the readers.
	turns   atomic.Int64 // that readers have asked for
	reading order
	readers int
	spent   bool

	mu     sync.Mutex
	closer io.Closer
	closed bool
}

func newSource(r *run) *source { return &source{run: r} }

func (s *source) records() bool { return s.run.in.Source.Records != nil }

// alone runs f in a goroutine of its own and waits for it, or for the run's
// end, whatever comes first. The panics of whatever is being read become
// errors here.
func alone[T any](s *source, f func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	s.run.busy.enter()
	go func() {
		r := result{err: errGoexit}
		defer func() {
			s.run.busy.leave() // before anybody who waits for the result ends the run
			done <- r
		}()
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

// start starts to feed the first stage.
func (s *source) start(first *stage) {
	if s.records() {
		s.run.start(func() { s.feedRecords(first) })
		return
	}
	s.reading.spins = first.order.spins
	s.addReader(first)
}

// readers is how many goroutines at most read blocks: one for each core, and two where
// there is but one, since the source may be waited for. With one more, each is woken far from
// where it slept, and two cores are slower than one.
func readers(parallel int) int { return max(2, parallel) }

// addReader starts a goroutine that reads blocks and takes each through the chain. There
// is another one to read on meanwhile, and so on.
func (s *source) addReader(first *stage) {
	s.readers++
	s.run.start(func() {
		for {
			j := s.read(first)
			if j == nil {
				return
			}
			if !j.last {
				s.decode(j)
			}
			s.run.follow(first, j)
		}
	})
}

// read waits for its turn to read, and reads a block. It returns nil if there are no
// more, or if no more are needed.
func (s *source) read(first *stage) (j *job) {
	turn := s.turns.Add(1) - 1
	if !s.reading.await(s.run.ctx, turn) {
		return nil
	}
	defer s.reading.pass()
	if s.spent || first.over.Load() {
		return nil
	}
	j = s.run.newJob()
	first.place(j)
	err := errGoexit
	defer func() {
		if err == errGoexit { // of a Read: there is nobody but this goroutine, as long as it ends
			s.last(j, err)
			s.run.follow(first, j)
		}
	}()
	if j.block, err = s.nextBlock(); err != nil {
		s.last(j, err)
	} else if s.readers < readers(s.run.in.Parallel) && s.turns.Load() == turn+1 {
		s.addReader(first)
	}
	return j
}

func (s *source) nextBlock() (record.Block, error) {
	if len(s.schema.Columns) == 0 {
		return record.Block{}, io.EOF
	}
	return s.scanner.Next()
}

// last makes j the end of the source.
func (s *source) last(j *job, err error) {
	s.spent, j.last = true, true
	if err != io.EOF && !errors.Is(err, errStopped) {
		j.err = sourceError(err)
	}
}

// decode makes the batch of a block.
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

func (s *source) feedRecords(first *stage) {
	err := errGoexit
	defer func() {
		j := s.run.newJob()
		s.last(j, err)
		first.place(j)
		s.run.follow(first, j)
	}()
	if _, err = protect(func() (struct{}, error) { return struct{}{}, s.eachRecord(first) }); err == nil {
		err = io.EOF
	}
}

func (s *source) eachRecord(first *stage) error {
	b := record.NewBuilder(len(s.schema.Columns))
	send := func() error {
		if first.over.Load() {
			return errStopped
		}
		n := int64(b.Rows())
		j := s.run.jobOf(b.Batch(s.schema))
		j.rows = n
		first.place(j)
		return first.detach(j)
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

// copyBlocks sends the source's bytes as they are, in pieces, and closes the channel.
func (s *source) copyBlocks(r io.Reader, out chan<- *job) {
	s.run.start(func() {
		err := errGoexit
		defer func() {
			if err != nil {
				_ = s.run.send(out, &job{err: sourceError(err)})
			}
			close(out)
		}()
		_, err = protect(func() (struct{}, error) { return struct{}{}, s.eachBlock(r, out) })
	})
}

func (s *source) eachBlock(r io.Reader, out chan<- *job) error {
	for {
		j := s.run.newJob()
		buf := j.buffer()
		if cap(buf) < BlockSize {
			buf = make([]byte, BlockSize)
		}
		n, err := readBlock(r, buf[:BlockSize])
		j.out = buf[:n]
		if n > 0 {
			if err := s.run.send(out, j); err != nil {
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
	s.run.cancel(nil) // Close may wait for what was opened with the context
	if idle := s.run.busy.end(); idle != nil {
		timer := time.NewTimer(abandonAfter)
		defer timer.Stop()
		select {
		case <-idle:
		case <-timer.C:
		}
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
