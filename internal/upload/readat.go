package upload

import (
	"io"
)

// parallelReads is how many parts of one stream are read at once: enough to
// keep a distant file system busy, few enough for a disk.
const parallelReads = 4

// ReadRange reads the n bytes of r from off on, at least one, several parts at
// once, straight into pages. It is for a stream that has taken nothing yet, and
// makes it one of known size. When it returns, nothing reads r any more, unless
// a ReadAt is stuck when the stream ends: as with ReadFrom, the page it may
// still write to is not used again before it has returned.
func (s *Stream) ReadRange(r io.ReaderAt, off, n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	turns := make(chan struct{}, parallelReads)
	err := s.readParts(r, off, n, turns)
	for range cap(turns) { // until nothing is read any more
		turns <- struct{}{}
	}
	if err == nil {
		err = s.err()
	}
	return err
}

func (s *Stream) readParts(r io.ReaderAt, off, n int64, turns chan struct{}) error {
	if err := s.err(); err != nil {
		return err
	}
	if s.ended {
		return errEnded
	}
	s.object.Size = n
	if err := s.plan(); err != nil {
		s.fail(err)
		return err
	}
	for s.size < n {
		if err := s.beginRead(turns); err != nil {
			return err
		}
		span := &span{r: r, off: off + s.size, n: s.target}
		s.size += span.n
		if s.schedule.parts == 0 && s.size == n { // all of it: a single put
			return s.readOnly(span)
		}
		s.readAndSend(span, n-s.size, turns)
	}
	return nil
}

// beginRead begins a part and gives it its memory as soon as there are turns to
// read and requests to send with.
func (s *Stream) beginRead(turns chan struct{}) error {
	select {
	case turns <- struct{}{}: // and back: who begins the read takes it
		<-turns
	case <-s.ctx.Done():
		return cause(s.ctx)
	}
	if err := s.begin(); err != nil {
		return err
	}
	s.target = min(s.target, s.object.Size-s.size)
	return s.gather()
}

// gather takes the memory for a part before it is read. When memory is scarce,
// the part becomes a smaller one that may be sent as it is.
func (s *Stream) gather() error {
	p, pool := s.part, s.engine.pool
	for have := int64(0); have < s.target; have += p.page {
		page, ok := pool.take(s.account)
		if !ok && s.schedule.equal == 0 && have >= s.schedule.minPart {
			s.target = have
			return nil
		}
		if !ok {
			var err error
			if page, err = pool.wait(s.ctx, s.account); err != nil {
				return err
			}
		}
		p.pages = append(p.pages, page)
	}
	return nil
}

// readOnly reads the only part, which waits for the commit.
func (s *Stream) readOnly(from *span) error {
	err := s.load(s.part, from)
	if err != nil {
		s.fail(err)
	}
	return err
}

// readAndSend hands the part over to a goroutine of its own. after is how many
// bytes of the object follow it.
func (s *Stream) readAndSend(from *span, after int64, turns chan struct{}) {
	p := s.part
	s.part = nil
	s.schedule.begin(from.n)
	s.engine.pool.unclaim(s.account)
	arrived := s.depart(p)
	turns <- struct{}{} // there is one: only this goroutine takes them
	s.sending.Go(func() {
		defer arrived()
		defer s.recovered()
		if !s.readPart(p, from, after, turns) || s.engine.cfg.DryRun {
			return
		}
		if err := s.upload(p, arrived); err != nil {
			s.refused(err)
		}
	})
}

// readPart reads a part and puts it in the queue of those to be sent. It says
// whether it is there.
func (s *Stream) readPart(p *part, from *span, after int64, turns chan struct{}) bool {
	defer func() { <-turns }()
	if err := s.load(p, from); err != nil {
		s.fail(err)
		return false
	}
	s.partsMu.Lock()
	s.crc ^= combine(p.crc, 0, after) // of all parts, in whatever order, that is the whole's
	s.partsMu.Unlock()
	if s.engine.cfg.DryRun {
		return true
	}
	s.opening.Do(s.open)
	return s.backlog.enter(s.ctx) == nil
}

// load fills a part's pages.
func (s *Stream) load(p *part, from *span) error {
	src := newSource(from)
	defer src.stop()
	for i, page := range p.pages {
		if err := s.err(); err != nil {
			return err
		}
		b := page[:min(p.page, from.n-p.size)]
		got, ok := src.read(s.ctx.Done(), b)
		switch {
		case !ok:
			s.strand(src, p, i)
			return cause(s.ctx)
		case got.n == len(b) && (got.err == nil || got.err == io.EOF):
		case got.err == io.EOF:
			return io.ErrUnexpectedEOF
		default:
			return got.err
		}
		p.extend(b)
	}
	return nil
}

// span reads n bytes of r from off on.
type span struct {
	r      io.ReaderAt
	off, n int64
	done   int64
}

func (s *span) Read(p []byte) (int, error) {
	n, err := s.r.ReadAt(p, s.off+s.done)
	s.done += int64(n)
	return n, err
}
