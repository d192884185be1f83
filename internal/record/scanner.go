package record

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unsafe"
)

// ErrNoHeader is what [Scanner.Header] returns for a source that has no bytes
// where a header row is expected.
var ErrNoHeader = errors.New("no header row: the source is empty")

// firstBlock is the size of the first block, so that a small table does not
// take the memory of a large one.
const firstBlock = 64 << 10

// Block is a run of whole records as they stand in the source.
type Block struct {
	Text   string
	Offset int64 // of Text[0] in the source
	Last   bool  // the source is known to end behind Text

	marks    []mark
	unquoted bool // Text is known to have no quote

	memory *memory // that Text stands in
}

// mark is a bad row that was found while looking for the end of a block.
type mark struct {
	at, next int
	err      error
}

// Scanner cuts CSV into blocks, one after the other, and decodes them into
// batches, in any order.
type Scanner struct {
	src     io.Reader
	d       *Dialect
	columns []string
	size    int
	exact   bool

	schema    *Schema
	headerErr error
	rows      rowReader // of the goroutine that calls Next

	memory  *memory // that buf stands in
	buf     []byte  // what is read and in no block yet
	offset  int64   // of buf[0] in the source
	srcErr  error   // io.EOF included
	discard bool    // up to the next line end: the rest of a bad row

	unquoted bool // the buffer that was cut had no quote
}

// NewScanner returns a scanner of src in the dialect d, which is resolved. With
// columns, the source has no header row and these are its columns. Blocks have
// about blockSize bytes, more where one row is longer.
func NewScanner(src io.Reader, d *Dialect, columns []string, blockSize int) *Scanner {
	blockSize = max(blockSize, 1)
	return &Scanner{
		src: src, d: d, columns: columns, size: blockSize,
		rows: rowReader{d: d, class: d.classes()},
	}
}

// Exact makes the scanner go on behind bad rows: [Scanner.Decode] then returns
// all of them, not only the first. It is called before anything is read.
func (s *Scanner) Exact(on bool) { s.exact = on }

// Header returns the columns: those of the header row, those given to
// [NewScanner], or col_1, col_2, … as many as the first row has.
func (s *Scanner) Header() (*Schema, error) {
	if s.schema == nil && s.headerErr == nil {
		s.schema, s.headerErr = s.header()
	}
	return s.schema, s.headerErr
}

// Next returns the next block, or io.EOF. Next is called by one goroutine at a
// time.
func (s *Scanner) Next() (Block, error) {
	if _, err := s.Header(); err != nil {
		if err == ErrNoHeader {
			err = io.EOF
		}
		return Block{}, err
	}
	if err := s.discardLine(); err != nil {
		return Block{}, err
	}
	for size := s.size; ; size = s.larger(size) {
		s.fill(size)
		if n, marks := s.cut(); n > 0 {
			return s.take(n, marks), nil
		}
		if s.srcErr != nil && (s.srcErr != io.EOF || len(s.buf) == 0) {
			return Block{}, s.srcErr
		}
	}
}

// larger returns the size to try when no record ends in size bytes. The longest
// row and its line end always suffice.
func (s *Scanner) larger(size int) int {
	return max(size, min(2*size, s.d.MaxRow+2))
}

// take makes a block of the first n bytes.
func (s *Scanner) take(n int, marks []mark) Block {
	b := Block{
		Text:   unsafe.String(unsafe.SliceData(s.buf), n),
		Offset: s.offset,
		Last:   s.srcErr == io.EOF && n == len(s.buf),
		marks:  marks,

		unquoted: s.unquoted,

		memory: s.memory,
	}
	s.memory.claims.Add(1)
	s.skip(n)
	return b
}

// skip leaves the first n bytes behind.
func (s *Scanner) skip(n int) {
	s.buf = s.buf[n:]
	s.offset += int64(n)
}

// fill reads until size bytes are there or the source ends. What is there moves
// to other memory unless it has room: bytes before it may be in a block.
func (s *Scanner) fill(size int) {
	if s.srcErr != nil || len(s.buf) >= size {
		return
	}
	if cap(s.buf) < size {
		m := takeMemory(size, s.size)
		s.buf = append(m.bytes[:0], s.buf...)
		s.memory.release()
		s.memory = m
	}
	for empty := 0; len(s.buf) < size && s.srcErr == nil; {
		n, err := s.src.Read(s.buf[len(s.buf):size])
		if n < 0 || n > size-len(s.buf) {
			s.srcErr = fmt.Errorf("the source's Read returned %d for a buffer of %d bytes", n, size-len(s.buf))
			return
		}
		s.buf = s.buf[:len(s.buf)+n]
		s.srcErr = err
		if empty++; n > 0 {
			empty = 0
		}
		if empty == 100 && err == nil {
			s.srcErr = io.ErrNoProgress
		}
	}
}

// discardLine drops the rest of a bad row's line, if there is one to drop.
func (s *Scanner) discardLine() error {
	for s.discard {
		if k := strings.IndexByte(s.text(), '\n'); k >= 0 {
			s.discard = false
			s.skip(k + 1)
			break
		}
		s.skip(len(s.buf))
		if s.srcErr != nil {
			return s.srcErr
		}
		s.fill(s.size)
	}
	return nil
}

// text is what is buffered. It is for looking only: the bytes change hands with
// the block.
func (s *Scanner) text() string {
	return unsafe.String(unsafe.SliceData(s.buf), len(s.buf))
}
