package record

import (
	"errors"
	"fmt"
	"strings"
)

// Ragged decides what becomes of a row with too few or too many fields.
type Ragged uint8

// What a ragged row does.
const (
	RaggedError   Ragged = iota // it is a bad row
	RaggedPad                   // too few: NULLs are added; too many: bad
	RaggedTrim                  // too many: the last ones go; too few: bad
	RaggedPadTrim               // both
)

func (r Ragged) pads() bool  { return r == RaggedPad || r == RaggedPadTrim }
func (r Ragged) trims() bool { return r == RaggedTrim || r == RaggedPadTrim }

// Dialect is how CSV is read and written. The zero Dialect is RFC 4180: see
// the package s3writer's CSV, whose fields these are.
//
// What scans, decodes and encodes wants a dialect that [Dialect.Resolve] made.
type Dialect struct {
	Comma, Quote, Escape byte
	NoQuote              bool
	NoHeader             bool
	CRLF                 bool
	BOM                  bool
	QuoteAll             bool
	LazyQuotes           bool
	NullAsEmpty          bool
	Comment              byte
	Null                 string
	Ragged               Ragged
	SkipLines            int
	MaxRow               int
}

const (
	defaultMaxRow = 16 << 20
	// largestMaxRow keeps the offsets in a block far below 1<<31.
	largestMaxRow = 1 << 30
)

// Resolve returns d with the defaults filled in.
func (d Dialect) Resolve() *Dialect {
	if d.Comma == 0 {
		d.Comma = ','
	}
	if d.Quote == 0 {
		d.Quote = '"'
	}
	if d.MaxRow == 0 {
		d.MaxRow = defaultMaxRow
	}
	return &d
}

// Validate returns every reason why d cannot be used, joined.
func (d Dialect) Validate() error {
	r := d.Resolve()
	complaints := append(r.byteComplaints(), r.nullComplaints()...)
	if r.NoQuote && r.QuoteAll {
		complaints = append(complaints, errors.New("NoQuote and QuoteAll exclude each other"))
	}
	if r.Ragged > RaggedPadTrim {
		complaints = append(complaints, fmt.Errorf("unknown Ragged %d", r.Ragged))
	}
	if r.SkipLines < 0 {
		complaints = append(complaints, fmt.Errorf("SkipLines is negative: %d", r.SkipLines))
	}
	if r.MaxRow < 0 {
		complaints = append(complaints, fmt.Errorf("MaxRow is negative: %d", r.MaxRow))
	}
	if r.MaxRow > largestMaxRow {
		complaints = append(complaints, fmt.Errorf("MaxRow is %d, more than %d", r.MaxRow, largestMaxRow))
	}
	return errors.Join(complaints...)
}

// byteComplaints looks at the bytes that have a meaning: none may end a line,
// and no two may be the same.
func (d *Dialect) byteComplaints() (complaints []error) {
	type special struct {
		name string
		c    byte
	}
	specials := []special{{"Comma", d.Comma}}
	if !d.NoQuote {
		specials = append(specials, special{"Quote", d.Quote})
	}
	if d.Escape != 0 {
		specials = append(specials, special{"Escape", d.Escape})
	}
	if d.Comment != 0 {
		specials = append(specials, special{"Comment", d.Comment})
	}
	for i, s := range specials {
		if s.c == '\n' || s.c == '\r' {
			complaints = append(complaints, fmt.Errorf("%s is %q, which ends a line", s.name, s.c))
		}
		for _, t := range specials[:i] {
			if s.c == t.c {
				complaints = append(complaints, fmt.Errorf("%s and %s are both %q", t.name, s.name, s.c))
			}
		}
	}
	return complaints
}

func (d *Dialect) nullComplaints() (complaints []error) {
	complain := func(what string) {
		complaints = append(complaints, fmt.Errorf("%s %q %s", "Null", d.Null, what))
	}
	if strings.IndexByte(d.Null, d.Comma) >= 0 {
		complain("contains the comma")
	}
	if !d.NoQuote && strings.IndexByte(d.Null, d.Quote) >= 0 {
		complain("contains the quote")
	}
	if strings.ContainsAny(d.Null, "\r\n") {
		complain("contains a line end")
	}
	if d.Comment != 0 && d.Null != "" && d.Null[0] == d.Comment {
		complain("begins like a comment")
	}
	if d.danglingEscape(d.Null) {
		complain("ends in an escape without a byte behind it")
	}
	return complaints
}

// danglingEscape tells whether s ends in an Escape that escapes nothing in s.
func (d *Dialect) danglingEscape(s string) bool {
	if d.Escape == 0 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] == d.Escape {
			if i++; i == len(s) {
				return true
			}
		}
	}
	return false
}

// value returns the value of a raw field.
func (d *Dialect) value(raw string) Value {
	if !d.quoted(raw) && raw == d.Null {
		return Value{}
	}
	return TextValue(d.text(raw))
}

// verbatim tells, for most fields that need no second look, that they do not.
func (d *Dialect) verbatim(raw string) bool {
	return d.Escape == 0 && len(raw) != 0 && raw[0] != d.Quote && len(raw) != len(d.Null)
}

// quoted tells whether a raw field begins with the quote.
func (d *Dialect) quoted(raw string) bool {
	return len(raw) > 0 && raw[0] == d.Quote && !d.NoQuote
}

// text returns the text of a raw field, whatever Null is.
func (d *Dialect) text(raw string) string {
	if inner, ok := d.inner(raw); ok {
		return inner
	}
	return string(d.appendText(make([]byte, 0, len(raw)), raw))
}

// inner returns the text of a raw field if it stands there as one piece.
func (d *Dialect) inner(raw string) (string, bool) {
	if d.quoted(raw) {
		last := len(raw) - 1
		if last < 1 || raw[last] != d.Quote {
			return "", false // only with LazyQuotes, at the end of the source
		}
		raw = raw[1:last]
		if strings.IndexByte(raw, d.Quote) >= 0 {
			return "", false
		}
	}
	return raw, d.Escape == 0 || strings.IndexByte(raw, d.Escape) < 0
}

// appendText appends the text of a raw field.
func (d *Dialect) appendText(dst []byte, raw string) []byte {
	quoted := d.quoted(raw)
	if quoted {
		raw = raw[1:]
	}
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case d.Escape != 0 && c == d.Escape && i+1 < len(raw):
			i++
			c = raw[i]
		case quoted && c == d.Quote:
			if i+1 == len(raw) {
				return dst // the closing one
			}
			if raw[i+1] == d.Quote {
				i++
			}
		}
		dst = append(dst, c)
	}
	return dst
}
