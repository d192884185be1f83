package record

import (
	"bytes"
	"io"
)

// cut finds the end of the last whole record in the buffer, and the bad rows
// before it as far as Decode could not find them. It returns 0 if no record is
// known to end.
func (s *Scanner) cut() (int, []mark) {
	eof := s.srcErr == io.EOF
	s.unquoted = false
	if !s.d.mappable(s.text()) {
		return s.cutExactly(eof)
	}
	n := len(s.buf)
	if !eof {
		n = s.lastLine()
	}
	sure := s.exact || s.d.LazyQuotes
	switch {
	case sure && (n == 0 || n > s.d.MaxRow || !s.wellFormed(s.buf[:n])):
		return s.cutExactly(eof)
	case n == 0 && !eof:
		// A stray quote must not collect MaxRow bytes behind it.
		return s.cutFirst()
	}
	return n, nil
}

// wellFormed tells whether text has quotes only where they may stand.
func (s *Scanner) wellFormed(text []byte) bool {
	scan := newSeparatorScan(text, s.d, !s.d.NoQuote)
	for words, _ := scan.scan(); words != nil; words, _ = scan.scan() {
	}
	return !scan.odd
}

// lastLine returns the position behind the last line end outside of quotes,
// which are the places with an even number of quotes before. That holds as
// long as no row is malformed; then Decode finds that one first.
func (s *Scanner) lastLine() int {
	quotes := []byte{s.d.Quote}
	odd := 0
	if !s.d.NoQuote {
		n := bytes.Count(s.buf, quotes)
		s.unquoted, odd = n == 0, n&1
	}
	for end := len(s.buf); ; {
		k := bytes.LastIndexByte(s.buf[:end], '\n')
		if k < 0 {
			return 0
		}
		if !s.d.NoQuote {
			odd ^= bytes.Count(s.buf[k:end], quotes) & 1
		}
		if odd == 0 {
			return k + 1
		}
		end = k
	}
}

// cutExactly reads row by row.
func (s *Scanner) cutExactly(eof bool) (int, []mark) {
	var marks []mark
	pos := 0
	for pos < len(s.buf) {
		r := s.rows.read(s.text(), pos, eof)
		if r.kind == rowMore {
			break
		}
		if r.kind == rowBad {
			marks = append(marks, s.mark(r, pos))
		}
		pos = r.next
	}
	return pos, marks
}

// cutFirst cuts behind the first row if that is a bad one.
func (s *Scanner) cutFirst() (int, []mark) {
	if len(s.buf) == 0 {
		return 0, nil
	}
	r := s.rows.read(s.text(), 0, false)
	if r.kind != rowBad {
		return 0, nil
	}
	return r.next, []mark{s.mark(r, 0)}
}

func (s *Scanner) mark(r row, pos int) mark {
	s.discard = r.open
	return mark{at: pos, next: r.next, err: s.rows.explain(r, s.text(), pos, s.schema)}
}
