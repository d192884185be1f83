package upload

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"
)

// emptyReads is how many reads of nothing in a row are taken for a source that
// is stuck, as bufio has it.
const emptyReads = 100

// readGrace is how long a cancelled stream waits for a Read to return: most
// sources are not stuck, and then nothing is left behind.
const readGrace = 10 * time.Millisecond

// ReadFrom reads r to its end, straight into pages. A Read that blocks does not
// stop cancellation: ReadFrom returns at once, and the page that Read may still
// write to is not used again.
func (s *Stream) ReadFrom(r io.Reader) (n int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	src := newSource(r)
	defer src.stop()
	for {
		room, probe, err := s.roomOrProbe()
		if err != nil {
			return n, err
		}
		got, ok := src.read(s.ctx.Done(), room)
		if !ok {
			if probe { // its byte is in no page
				src.left <- nil
			} else {
				s.strand(src, s.part, len(s.part.pages)-1)
			}
			return n, cause(s.ctx)
		}
		if probe && got.n > 0 {
			probed := room
			if room, err = s.room(); err != nil {
				return n, err
			}
			copy(room, probed)
		}
		if got.n > 0 {
			s.take(room[:got.n])
			n += int64(got.n)
		}
		switch {
		case got.err == io.EOF:
			return n, s.err()
		case got.err != nil:
			s.fail(got.err)
			return n, got.err
		}
	}
}

// roomOrProbe is room, or one byte outside of the object where it matters
// whether any follow: at the end of the first part, which may be the whole
// object, and where no more may follow.
func (s *Stream) roomOrProbe() (room []byte, probe bool, err error) {
	if s.err() == nil && !s.ended && s.atBorder() {
		return make([]byte, 1), true, nil
	}
	room, err = s.room()
	return room, false, err
}

func (s *Stream) atBorder() bool {
	switch known := s.object.Size; {
	case known > 0 && s.size >= known:
		return true
	case s.part == nil:
		return s.schedule.full()
	}
	return s.schedule.parts == 0 && s.part.size == s.target
}

// strand leaves the page that a stuck Read may write to, one of p's, to that Read,
// which may never return: nobody else is to wait for its memory.
func (s *Stream) strand(src *source, p *part, page int) {
	s.engine.pool.cede(s.account, p.pages[page:page+1])
	src.left <- p.pages[page]
	p.pages = slices.Delete(p.pages, page, page+1)
}

// source reads in a goroutine of its own, one buffer at a time.
type source struct {
	r   io.Reader
	ask chan []byte
	got chan read

	left chan []byte // receives the page of a Read that nobody waits for

	state atomic.Int32
	ended chan struct{}
}

type read struct {
	n   int
	err error
}

// The states of a source that was asked to read.
const (
	reading   int32 = iota
	delivered       // the result is on its way
	abandoned       // nobody waits for the result
)

func newSource(r io.Reader) *source {
	src := &source{r: r, ask: make(chan []byte), got: make(chan read, 1), left: make(chan []byte, 1), ended: make(chan struct{})}
	go src.run()
	return src
}

// read fills b, unless done comes first: then b belongs to the goroutine that
// is stuck in Read, which is sent the page that it is in, and frees it.
func (src *source) read(done <-chan struct{}, b []byte) (read, bool) {
	src.state.Store(reading)
	src.ask <- b
	select {
	case got := <-src.got:
		return got, true
	case <-done:
	}
	grace := time.NewTimer(readGrace)
	defer grace.Stop()
	select {
	case got := <-src.got:
		return got, true
	case <-grace.C:
	}
	if src.state.CompareAndSwap(reading, abandoned) {
		return read{}, false
	}
	return <-src.got, true
}

// stop ends the goroutine, or leaves it to the Read that holds it.
func (src *source) stop() {
	close(src.ask)
	if src.state.Load() != abandoned {
		<-src.ended
	}
}

func (src *source) run() {
	defer close(src.ended)
	for b := range src.ask {
		src.fill(b)
	}
}

// fill reads until b is full or the source ends. The result is delivered in any
// case: a callback may panic, or end the goroutine.
func (src *source) fill(b []byte) {
	done := read{err: errors.New("source ended its goroutine in Read")}
	defer func() {
		if p := recover(); p != nil {
			done.err = fmt.Errorf("source panicked in Read: %v", p)
		}
		if src.state.CompareAndSwap(reading, delivered) {
			src.got <- done
		} else {
			freePage(<-src.left)
		}
	}()
	n, err := src.readFull(b)
	done = read{n, err}
}

func (src *source) readFull(b []byte) (n int, err error) {
	for empty := 0; n < len(b) && src.state.Load() != abandoned; {
		c, err := src.r.Read(b[n:])
		if c < 0 || c > len(b)-n {
			return n, fmt.Errorf("source returned a count of %d from a Read of %d bytes", c, len(b)-n)
		}
		n += c
		if err != nil {
			return n, err
		}
		if empty++; c > 0 {
			empty = 0
		}
		if empty == emptyReads {
			return n, io.ErrNoProgress
		}
	}
	return n, nil
}
