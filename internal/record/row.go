package record

import (
	"fmt"
	"strings"
)

// BadRow is a row that cannot be read: its quotes are wrong, it has another
// number of fields than the header, or it is too long.
type BadRow struct {
	Row    int64  // number within the block, from 1; bad rows count
	Offset int64  // where it begins in the source
	Raw    string // its first line, or all of a well-formed row; at most MaxRow bytes
	Err    error
}

// class is what a byte means outside of quotes.
type class uint8

const (
	ordinary class = iota
	comma
	lineFeed
	quote
	escape
)

// classes returns the meaning of every byte.
func (d *Dialect) classes() *[256]class {
	var t [256]class
	t[d.Comma] = comma
	t['\n'] = lineFeed
	if !d.NoQuote {
		t[d.Quote] = quote
	}
	if d.Escape != 0 {
		t[d.Escape] = escape
	}
	return &t
}

// rowKind is what stands at a position of the text.
type rowKind uint8

const (
	rowGood rowKind = iota // a well-formed row; its fields have not been counted
	rowNone                // an empty line or a comment
	rowBad
	rowMore // the text ends before it
)

// row is what [rowReader.read] found.
type row struct {
	kind  rowKind
	next  int    // where the following row begins: behind its line if it is bad
	fault string // what is wrong, in words
	at    int    // where that was noticed
	open  bool   // a bad row whose line goes on behind this text
}

// rowReader reads rows byte by byte, in every dialect. It is what decides
// whether a row is good; the fast ways in bitmap.go only know when there is
// nothing to decide.
//
// The verdict on a row depends on nothing but the bytes from its beginning on:
// not on blocks, not on the rows before.
type rowReader struct {
	d     *Dialect
	class *[256]class
	width int // columns, 0 while unknown

	// bounds has, of the last row read, the start of each field and the end
	// of the last one plus one.
	bounds []uint32
}

// read reads the row at text[pos:]. Unless eof, the source goes on behind text.
func (p *rowReader) read(text string, pos int, eof bool) row {
	p.bounds = append(p.bounds[:0], uint32(pos))
	var r row
	switch {
	case p.d.Comment != 0 && text[pos] == p.d.Comment:
		r = p.comment(text, pos, eof)
	case p.width != 1 && emptyLine(text, pos) > 0:
		return row{kind: rowNone, next: pos + emptyLine(text, pos)}
	default:
		r = p.fields(text, pos, eof)
	}
	r = p.limit(r, text, pos)
	if r.kind == rowBad {
		return p.endLine(r, text, pos, eof)
	}
	return r
}

// emptyLine returns the length of the empty line at text[pos:], or 0.
func emptyLine(text string, pos int) int {
	switch {
	case text[pos] == '\n':
		return 1
	case text[pos] == '\r' && pos+1 < len(text) && text[pos+1] == '\n':
		return 2
	}
	return 0
}

func (p *rowReader) comment(text string, pos int, eof bool) row {
	end := strings.IndexByte(text[pos:], '\n')
	if end < 0 {
		if !eof {
			return row{kind: rowMore}
		}
		return row{kind: rowNone, next: len(text), at: len(text)}
	}
	return row{kind: rowNone, next: pos + end + 1, at: pos + end}
}

// fields reads the fields of a row one after the other.
func (p *rowReader) fields(text string, i int, eof bool) row {
	for {
		var r row
		var done bool
		if i < len(text) && p.class[text[i]] == quote {
			i, r, done = p.quoted(text, i+1, eof)
		} else {
			i, r, done = p.unquoted(text, i, eof)
		}
		if done {
			return r
		}
	}
}

// unquoted reads a field without quotes and returns where the next one begins,
// or the row if that ends here.
func (p *rowReader) unquoted(text string, i int, eof bool) (int, row, bool) {
	free := i // a CR before it is escaped, hence data
	for i < len(text) {
		switch p.class[text[i]] {
		case ordinary:
			i++
		case comma:
			p.bound(i)
			return i + 1, row{}, false
		case lineFeed:
			end := i
			if end > free && text[end-1] == '\r' {
				end--
			}
			return 0, p.good(end, i+1), true
		case quote:
			if !p.d.LazyQuotes {
				return 0, row{kind: rowBad, fault: faultBareQuote, at: i}, true
			}
			i++
		case escape:
			if i+1 == len(text) {
				return 0, p.cut(faultEscape, i, eof), true
			}
			i += 2
			free = i
		}
	}
	if !eof {
		return 0, row{kind: rowMore}, true
	}
	return 0, p.good(i, i), true
}

// quoted reads the rest of a field from behind its opening quote.
func (p *rowReader) quoted(text string, i int, eof bool) (int, row, bool) {
	for {
		i = p.nextQuote(text, i)
		switch {
		case i >= len(text):
			return 0, p.unterminated(text, eof), true
		case p.class[text[i]] == escape:
			if i+1 == len(text) {
				return 0, p.cut(faultEscape, i, eof), true
			}
			i += 2
			continue
		case i+1 == len(text):
			if !eof {
				return 0, row{kind: rowMore}, true
			}
			return 0, p.good(i+1, i+1), true
		}
		i++ // behind the quote
		switch p.class[text[i]] {
		case quote:
			i++
			continue
		case comma:
			p.bound(i)
			return i + 1, row{}, false
		case lineFeed:
			return 0, p.good(i, i+1), true
		}
		if text[i] == '\r' {
			if i+1 == len(text) && !eof {
				return 0, row{kind: rowMore}, true
			}
			if emptyLine(text, i) == 2 {
				return 0, p.good(i, i+2), true
			}
		}
		if !p.d.LazyQuotes {
			return 0, row{kind: rowBad, fault: faultAfterQuote, at: i}, true
		}
	}
}

// nextQuote returns the position of the next quote or escape, or the end.
func (p *rowReader) nextQuote(text string, i int) int {
	if p.d.Escape == 0 {
		if k := strings.IndexByte(text[i:], p.d.Quote); k >= 0 {
			return i + k
		}
		return len(text)
	}
	for i < len(text) && p.class[text[i]] < quote {
		i++
	}
	return i
}

func (p *rowReader) unterminated(text string, eof bool) row {
	if p.d.LazyQuotes && eof {
		return p.good(len(text), len(text))
	}
	return p.cut(faultUnterminated, len(text), eof)
}

// cut is the row that is bad if the source ends here, unfinished if it does not.
func (p *rowReader) cut(fault string, at int, eof bool) row {
	if !eof {
		return row{kind: rowMore}
	}
	return row{kind: rowBad, fault: fault, at: at}
}

func (p *rowReader) bound(separator int) {
	p.bounds = append(p.bounds, uint32(separator+1))
}

func (p *rowReader) good(end, next int) row {
	p.bound(end)
	return row{kind: rowGood, next: next, at: end}
}

// limit makes a row bad that is longer than MaxRow. Two bytes more than MaxRow
// are enough to know it, as a line end has no more.
func (p *rowReader) limit(r row, text string, pos int) row {
	end, long := r.at, p.d.MaxRow
	switch r.kind {
	case rowMore:
		end, long = len(text), p.d.MaxRow+1
	case rowBad:
		if r.fault != faultUnterminated {
			long--
		}
	case rowNone:
		if end > pos && text[end-1] == '\r' {
			end--
		}
	}
	if end-pos > long {
		return row{kind: rowBad, fault: faultTooLong, at: pos}
	}
	return r
}

// endLine ends a bad row with the line it begins in: what a stray quote seemed
// to embrace are rows of their own.
func (p *rowReader) endLine(r row, text string, pos int, eof bool) row {
	if k := strings.IndexByte(text[pos:], '\n'); k >= 0 {
		r.next = pos + k + 1
		return r
	}
	if !eof && len(text)-pos < p.d.MaxRow+2 {
		return row{kind: rowMore}
	}
	r.next, r.open = len(text), !eof
	return r
}

const (
	faultBareQuote    = "quote in an unquoted field"
	faultAfterQuote   = "text after a closing quote"
	faultUnterminated = "unterminated quote"
	faultEscape       = "nothing after the escape"
	faultTooLong      = "row longer than"
)

// raw returns the bytes of a row without its line end.
func (p *rowReader) raw(text string, pos, next int) string {
	s := text[pos:next]
	if n := len(s); n > 0 && s[n-1] == '\n' {
		s = s[:n-1]
		if n > 1 && s[n-2] == '\r' {
			s = s[:n-2]
		}
	}
	return s[:min(len(s), p.d.MaxRow)]
}

// explain puts the fault of a row at text[pos:] into words, with what was found
// and where.
func (p *rowReader) explain(r row, text string, pos int, schema *Schema) error {
	if r.fault == faultTooLong {
		return fmt.Errorf("row longer than %d bytes", p.d.MaxRow)
	}
	field := len(p.bounds) - 1
	found := p.found(r, text, pos, int(p.bounds[field]))
	return fmt.Errorf("%s: %s (%s)", r.fault, excerpt(found), columnName(schema, field))
}

// found returns the faulty field that begins at start, as far as its line is
// known to be there whatever the size of blocks is.
func (p *rowReader) found(r row, text string, pos, start int) string {
	end := min(len(text), pos+p.d.MaxRow)
	if r.fault == faultBareQuote || r.fault == faultAfterQuote {
		if start >= r.next {
			end = r.at + 1
		}
		if k := strings.IndexByte(text[r.at:end], p.d.Comma); k >= 0 {
			end = r.at + k
		}
	}
	field, _, _ := strings.Cut(text[start:end], "\n")
	return strings.TrimSuffix(field, "\r")
}

// excerpt quotes s, or as much of it as fits a line.
func excerpt(s string) string {
	const most = 40
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return fmt.Sprintf("%q", s)
}

func columnName(schema *Schema, field int) string {
	if schema == nil || field >= len(schema.Columns) {
		return fmt.Sprintf("column %d", field+1)
	}
	return fmt.Sprintf("column %d, %q", field+1, schema.Columns[field].Name)
}
