package record

import (
	"fmt"
	"io"
	"strings"
)

// byteOrderMark is what a source in UTF-8 may begin with.
const byteOrderMark = "\xef\xbb\xbf"

// foreignMarks are the byte order marks of other encodings, longest first.
var foreignMarks = []struct{ mark, encoding string }{
	{"\xff\xfe\x00\x00", "UTF-32"},
	{"\x00\x00\xfe\xff", "UTF-32"},
	{"\xff\xfe", "UTF-16"},
	{"\xfe\xff", "UTF-16"},
}

// beginsLikeMark tells whether a source that begins with s would be taken for
// one that begins with a byte order mark.
func beginsLikeMark(s string) bool {
	if strings.HasPrefix(s, byteOrderMark) {
		return true
	}
	for _, f := range foreignMarks {
		if strings.HasPrefix(s, f.mark) {
			return true
		}
	}
	return false
}

// header reads what stands before the first record.
func (s *Scanner) header() (*Schema, error) {
	s.fill(max(min(s.size, firstBlock), len("\xff\xfe\x00\x00")))
	if err := s.skipMark(); err != nil {
		return nil, err
	}
	if err := s.skipLines(); err != nil {
		return nil, err
	}
	var schema *Schema
	var err error
	switch {
	case s.columns != nil:
		schema = textColumns(s.columns, false)
	case s.d.NoHeader:
		schema, err = s.numberedColumns()
	default:
		schema, err = s.headerRow()
	}
	if err != nil {
		return nil, err
	}
	s.rows.width = len(schema.Columns)
	return schema, nil
}

func textColumns(names []string, header bool) *Schema {
	columns := make([]Column, len(names))
	for i, name := range names {
		columns[i].Name = name
	}
	return NewSchema(columns, header)
}

func (s *Scanner) skipMark() error {
	if strings.HasPrefix(s.text(), byteOrderMark) {
		s.skip(len(byteOrderMark))
		return nil
	}
	return CheckMark(s.text())
}

// CheckMark refuses a source that begins with a byte order mark of another
// encoding than UTF-8.
func CheckMark(begin string) error {
	for _, f := range foreignMarks {
		if strings.HasPrefix(begin, f.mark) {
			advice := ""
			if f.encoding == "UTF-16" {
				advice = `, as FromCharset("utf-16") does`
			}
			return fmt.Errorf("the source begins with a %s byte order mark: convert it to UTF-8 first%s", f.encoding, advice)
		}
	}
	return nil
}

// skipLines drops SkipLines physical lines.
func (s *Scanner) skipLines() error {
	for range s.d.SkipLines {
		s.discard = true
		if err := s.discardLine(); err != nil && err != io.EOF {
			return err
		}
	}
	return nil
}

// headerRow reads the header row. Empty lines and comments before it are none.
func (s *Scanner) headerRow() (*Schema, error) {
	r, err := s.rowAt(0)
	for err == nil && r.kind == rowNone {
		s.skip(r.next)
		r, err = s.rowAt(0)
	}
	switch {
	case err == io.EOF:
		return nil, ErrNoHeader
	case err != nil:
		return nil, err
	case r.kind == rowBad:
		return nil, fmt.Errorf("header row: %w", s.rows.explain(r, s.text(), 0, nil))
	}
	bounds := s.rows.bounds
	names := make([]string, len(bounds)-1)
	for i := range names {
		raw := s.text()[bounds[i] : bounds[i+1]-1]
		names[i] = strings.Clone(s.d.text(raw))
	}
	s.skip(r.next)
	return textColumns(names, true), nil
}

// numberedColumns names the columns of a source without a header row: as many
// as the first good row has. Everything stays where it is.
func (s *Scanner) numberedColumns() (*Schema, error) {
	width := 0
	for pos := 0; width == 0; {
		r, err := s.rowAt(pos)
		switch {
		case err != nil && err != io.EOF:
			return nil, err
		case err == io.EOF && pos == 0:
			return NewSchema(nil, false), nil
		case err == io.EOF, r.open, pos > s.d.MaxRow:
			width = 1 // nothing but empty lines and bad rows
		case r.kind == rowGood:
			width = len(s.rows.bounds) - 1
		default:
			pos = r.next
		}
	}
	columns := make([]Column, width)
	for i := range columns {
		columns[i].Name = fmt.Sprintf("col_%d", i+1)
	}
	return NewSchema(columns, false), nil
}

// rowAt reads the row at s.buf[pos:], and reads on until it is all there. It
// returns io.EOF where the source ends.
func (s *Scanner) rowAt(pos int) (row, error) {
	for {
		if pos < len(s.buf) {
			r := s.rows.read(s.text(), pos, s.srcErr == io.EOF)
			if r.kind != rowMore {
				return r, nil
			}
		}
		if s.srcErr != nil {
			return row{}, s.srcErr
		}
		s.fill(max(2*len(s.buf), min(s.size, firstBlock)))
	}
}
