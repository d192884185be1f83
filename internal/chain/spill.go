package chain

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// spill keeps rows of objects in a file, in segments: each time the memory was
// full, what waited of every object, in the order of their numbers. Reading them
// is a merge: no index is needed, and the disk is read in large pieces.
type spill struct {
	dir   string
	file  *os.File
	named bool // the file has a name still, where the system needs one
	out   *bufio.Writer
	size  int64 // of the segments before and the one being written
	from  int64 // where that one begins

	segments []*segment
	ended    []*object // that have rows here, and get no more
}

// segment is what was written at once: runs of a number of an object, a length
// and as many bytes.
type segment struct {
	from, to int64
	in       *bufio.Reader
	id       int // of the next run, 0 at the end
	left     int64
}

const (
	spillPattern = "s3writer-spill-*"
	spillBuffer  = 256 << 10 // to write
	mergeBuffer  = 64 << 10  // at most, for each segment that is read
)

func newSpill(dir string) *spill { return &spill{dir: dir} }

// create makes the file. Where the system allows it, the file has no name from
// then on: whatever ends the process removes it. Elsewhere it is removed when it
// is closed.
func (s *spill) create() error {
	f, err := os.CreateTemp(s.dir, spillPattern)
	if err != nil {
		return fmt.Errorf("rows cannot wait on disk: %w", err)
	}
	s.file, s.named = f, os.Remove(f.Name()) != nil
	s.out = bufio.NewWriterSize(f, spillBuffer)
	return nil
}

// RemoveSpills removes what processes that were killed have left in a folder. A
// file that is used has no name, or the system keeps it from being removed.
func RemoveSpills(dir string) {
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		if is, _ := filepath.Match(spillPattern, f.Name()); !is {
			continue
		}
		if info, err := f.Info(); err == nil && time.Since(info.ModTime()) > time.Second {
			_ = os.Remove(filepath.Join(dir, f.Name()))
		}
	}
}

// write adds a run of n bytes of an object, which each gives to its argument.
func (s *spill) write(id int, n int64, each func(func([]byte) error) error) error {
	if s.file == nil {
		if err := s.create(); err != nil {
			return err
		}
	}
	var head [2 * binary.MaxVarintLen64]byte
	k := binary.PutUvarint(head[:], uint64(id))
	k += binary.PutUvarint(head[k:], uint64(n))
	_, err := s.out.Write(head[:k])
	if err == nil {
		err = each(func(p []byte) error {
			_, err := s.out.Write(p)
			return err
		})
	}
	s.size += int64(k) + n
	return s.failed(err)
}

// seal ends a segment.
func (s *spill) seal() {
	if s.size > s.from {
		s.segments = append(s.segments, &segment{from: s.from, to: s.size})
		s.from = s.size
	}
}

func (s *spill) failed(err error) error {
	if err != nil {
		return fmt.Errorf("rows that wait on disk, in %s: %w", s.dir, err)
	}
	return nil
}

// rewind makes all segments ready to be read, where so many bytes of memory have
// become free.
func (s *spill) rewind(memory int64) error {
	if s.file == nil {
		return nil
	}
	if err := s.out.Flush(); err != nil {
		return s.failed(err)
	}
	s.out = nil
	buffer := int(max(4<<10, min(mergeBuffer, memory/4/int64(len(s.segments)))))
	for _, g := range s.segments {
		g.in = bufio.NewReaderSize(io.NewSectionReader(s.file, g.from, g.to-g.from), buffer)
		if err := g.next(); err != nil {
			return s.failed(err)
		}
	}
	return nil
}

// next reads the head of a run.
func (g *segment) next() error {
	id, err := binary.ReadUvarint(g.in)
	if err == io.EOF {
		g.id = 0
		return nil
	}
	if err != nil {
		return err
	}
	n, err := binary.ReadUvarint(g.in)
	g.id, g.left = int(id), int64(n)
	return err
}

// read calls f with the bytes of an object. Objects are read in the order of
// their numbers.
func (s *spill) read(id int, f func([]byte) error) error {
	for _, g := range s.segments {
		if g.id != id {
			continue
		}
		for g.left > 0 {
			p, err := g.in.Peek(int(min(g.left, int64(g.in.Size()))))
			if err != nil {
				return s.failed(err)
			}
			if err := f(p); err != nil {
				return err
			}
			g.left -= int64(len(p))
			_, _ = g.in.Discard(len(p))
		}
		if err := g.next(); err != nil {
			return s.failed(err)
		}
	}
	return nil
}

// close removes the file.
func (s *spill) close() {
	if s.file == nil {
		return
	}
	_ = s.file.Close()
	if s.named {
		_ = os.Remove(s.file.Name())
	}
	s.file = nil
}
