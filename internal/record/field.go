package record

import (
	"errors"
	"fmt"
)

// fieldEncoder writes fields of one dialect such that they read as what they were.
type fieldEncoder struct {
	d         *Dialect
	lineEnd   string
	width     int
	special   [256]bool // cannot stand in a field without quotes
	header    bool      // names are never NULL
	guardMark bool      // what is written may be the beginning of an object
	scratch   []byte
}

func newFieldEncoder(d *Dialect, width int) fieldEncoder {
	e := fieldEncoder{d: d, width: width, lineEnd: d.lineEnd()}
	e.special['\n'] = true
	e.special['\r'] = true
	e.special[d.Comma] = true
	if !d.NoQuote {
		e.special[d.Quote] = true
	}
	if d.Escape != 0 {
		e.special[d.Escape] = true
	}
	return e
}

// null writes NULL in a column.
func (e *fieldEncoder) null(dst []byte, col int) ([]byte, error) {
	d := e.d
	switch {
	case d.NullAsEmpty && (d.QuoteAll || e.width == 1 && !d.NoQuote):
		return append(dst, d.Quote, d.Quote), nil
	case d.NullAsEmpty:
		return dst, nil
	case col == 0 && e.guardMark && beginsLikeMark(d.Null):
		return dst, fmt.Errorf("NULL is written %q, which reads as a byte order mark", d.Null)
	}
	return append(dst, d.Null...), nil
}

// text writes text in a column.
func (e *fieldEncoder) text(dst []byte, s string, col int) ([]byte, error) {
	switch {
	case e.d.NoQuote && e.d.Escape != 0:
		return e.escaped(dst, s, col)
	case e.d.NoQuote:
		return e.bare(dst, s, col)
	case e.d.QuoteAll || e.needsQuotes(s, col):
		return e.quoted(dst, s), nil
	}
	return append(dst, s...), nil
}

// keeps tells whether a raw field of the same dialect reads the same in a column.
func (e *fieldEncoder) keeps(raw string, col int) bool {
	if raw == "" {
		return e.width > 1 || e.d.Null == "" && !e.d.NullAsEmpty || e.d.NoQuote
	}
	if e.d.quoted(raw) {
		return true
	}
	if col == e.width-1 && raw[len(raw)-1] == '\r' {
		return false
	}
	return col > 0 || !e.misleads(raw)
}

// misleads tells whether a row that begins with s reads as something else.
func (e *fieldEncoder) misleads(s string) bool {
	if s == "" {
		return false
	}
	return e.d.Comment != 0 && s[0] == e.d.Comment || e.guardMark && beginsLikeMark(s)
}

func (e *fieldEncoder) needsQuotes(s string, col int) bool {
	if s == "" {
		return e.width == 1 || e.nullish(s)
	}
	// Some readers drop the blanks before a field.
	if s[0] == ' ' || s[0] == '\t' || e.nullish(s) || col == 0 && e.misleads(s) {
		return true
	}
	return e.indexSpecial(s) >= 0
}

// nullish tells whether s without quotes reads as NULL.
func (e *fieldEncoder) nullish(s string) bool {
	if e.header || s == "" && e.d.NullAsEmpty {
		return false
	}
	return s == e.d.Null
}

func (e *fieldEncoder) indexSpecial(s string) int {
	for i := 0; i < len(s); i++ {
		if e.special[s[i]] {
			return i
		}
	}
	return -1
}

// quoted writes s in quotes.
func (e *fieldEncoder) quoted(dst []byte, s string) []byte {
	d := e.d
	before := d.Quote
	if d.Escape != 0 {
		before = d.Escape
	}
	dst = append(dst, d.Quote)
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == d.Quote || c == before {
			dst = append(dst, before)
		}
		dst = append(dst, s[i])
	}
	return append(dst, d.Quote)
}

// bare writes s in a dialect that has neither quotes nor escapes.
func (e *fieldEncoder) bare(dst []byte, s string, col int) ([]byte, error) {
	switch i := e.indexSpecial(s); {
	case i >= 0 && s[i] == e.d.Comma:
		return dst, fmt.Errorf("comma %q in a field without quotes: %s", e.d.Comma, excerpt(s))
	case i >= 0:
		return dst, fmt.Errorf("line end in a field without quotes: %s", excerpt(s))
	}
	if err := e.confusion(s, col); err != nil {
		return dst, err
	}
	return append(dst, s...), nil
}

// confusion returns why s cannot be told from something else without quotes.
func (e *fieldEncoder) confusion(s string, col int) error {
	switch {
	case e.header && e.width == 1 && s == "":
		return errors.New("an empty name reads as an empty line without quotes")
	case e.nullish(s) && s == "":
		return errors.New("the empty string reads as NULL without quotes: set Null, or NullAsEmpty to write both alike")
	case e.nullish(s):
		return fmt.Errorf("text reads as NULL without quotes: %s", excerpt(s))
	case col == 0 && e.misleads(s):
		return fmt.Errorf("the row reads as a comment or a byte order mark without quotes: %s", excerpt(s))
	}
	return nil
}

// escaped writes s in a dialect that has escapes but no quotes.
func (e *fieldEncoder) escaped(dst []byte, s string, col int) ([]byte, error) {
	if s == "" {
		return dst, e.confusion(s, col)
	}
	begin := len(dst)
	for i := 0; i < len(s); i++ {
		if e.special[s[i]] || i == 0 && col == 0 && e.misleads(s) {
			dst = append(dst, e.d.Escape)
		}
		dst = append(dst, s[i])
	}
	if !e.nullish(string(dst[begin:])) {
		return dst, nil
	}
	return e.allEscaped(dst[:begin], s)
}

// allEscaped writes s, which with the fewest escapes reads as NULL, with the most.
func (e *fieldEncoder) allEscaped(dst []byte, s string) ([]byte, error) {
	begin := len(dst)
	for i := 0; i < len(s); i++ {
		dst = append(dst, e.d.Escape, s[i])
	}
	if string(dst[begin:]) == e.d.Null {
		return dst, fmt.Errorf("text reads as NULL however it is escaped: %s", excerpt(s))
	}
	return dst, nil
}
