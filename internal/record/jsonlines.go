package record

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
	"unsafe"
)

// JSONLines writes records as one JSON object per line. It is safe for
// concurrent use.
type JSONLines struct {
	members []member
	err     error
}

// member is what is the same of a column in every object.
type member struct {
	key    string // with what stands before and behind: {"id":
	quoted string // key and the quote that begins a string
	typ    Type
	text   bool // written as a string
}

// NewJSONLines returns the encoder of records with the columns of s. A name that
// is no UTF-8 makes every Append fail.
func NewJSONLines(s *Schema) *JSONLines {
	j := &JSONLines{members: make([]member, len(s.Columns))}
	before := byte('{')
	for i, c := range s.Columns {
		key, ok := appendJSONText([]byte{before, '"'}, c.Name)
		if !ok && j.err == nil {
			j.err = fmt.Errorf("the name of column %d is not valid UTF-8: %s", i+1, excerpt(c.Name))
		}
		quoted := string(append(key, `":"`...))
		j.members[i] = member{
			key: quoted[:len(quoted)-1], quoted: quoted,
			typ: c.Type, text: c.Type > Decimal || c.Type == Text,
		}
		before = ','
	}
	return j
}

// Err is why every Append fails: what is wrong with the names of the columns.
func (j *JSONLines) Err() error { return j.err }

// Append appends the selected rows of b: typed columns as numbers and booleans,
// others as strings, NULL as null. An error is a [*FieldError].
func (j *JSONLines) Append(dst []byte, b *Batch) ([]byte, error) {
	if j.err != nil && b.Len() > 0 {
		return dst, &FieldError{Row: b.Row(0), Err: j.err}
	}
	scratch := scratches.take(0)
	defer func() { giveScratch(scratch) }()
	var err error
	for i, n := 0, b.Len(); i < n; i++ {
		row := b.Row(i)
		for col := range b.Refs {
			ref := &b.Refs[col]
			m := &j.members[col]
			var s string
			var null bool
			s, null, scratch = ref.Vector.text(row, ref.Field, scratch)
			if m.text && !null && plainJSON(s) { // nearly all there is
				dst = append(append(append(dst, m.quoted...), s...), '"')
				continue
			}
			if dst, err = m.append(dst, s, null); err != nil {
				return dst, &FieldError{Row: row, Column: b.Schema.Columns[col].Name, Err: err}
			}
		}
		if len(b.Refs) == 0 {
			dst = append(dst, '{')
		}
		dst = append(dst, '}', '\n')
	}
	return dst, nil
}

// Appender returns an Append for some of the physical rows of b at a time.
func (j *JSONLines) Appender(b *Batch) func(dst []byte, rows []int32) ([]byte, error) {
	return appendRows(b, j.Append)
}

// append writes key and value of one field.
func (m *member) append(dst []byte, s string, null bool) ([]byte, error) {
	switch {
	case null:
		return append(append(dst, m.key...), "null"...), nil
	case !m.text:
		if err := m.check(s); err != nil {
			return dst, err
		}
		return append(append(dst, m.key...), s...), nil
	}
	dst, ok := appendJSONText(append(dst, m.quoted...), s)
	if !ok {
		return dst, fmt.Errorf("not valid UTF-8: %s", excerpt(s))
	}
	return append(dst, '"'), nil
}

// check returns an error if s cannot stand in JSON as it is.
func (m *member) check(s string) error {
	if m.typ == Bool {
		if s != "true" && s != "false" {
			return fmt.Errorf("%s of type bool is neither true nor false", excerpt(s))
		}
		return nil
	}
	if !isJSONNumber(s) {
		return fmt.Errorf("%s of type %v is not a JSON number", excerpt(s), m.typ)
	}
	return nil
}

// isJSONNumber tells whether s is a number by RFC 8259.
func isJSONNumber(s string) bool {
	if s != "" && s[0] == '-' {
		s = s[1:]
	}
	n := digits(s)
	if n == 0 || n > 1 && s[0] == '0' {
		return false
	}
	if s = s[n:]; s != "" && s[0] == '.' {
		if n = digits(s[1:]); n == 0 {
			return false
		}
		s = s[1+n:]
	}
	return s == "" || isExponent(s)
}

// isExponent tells whether s is e, a sign or none, and digits.
func isExponent(s string) bool {
	if s == "" || s[0]|0x20 != 'e' {
		return false
	}
	s = s[1:]
	if s != "" && (s[0] == '+' || s[0] == '-') {
		s = s[1:]
	}
	return s != "" && digits(s) == len(s)
}

// digits returns how many decimal digits s begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && s[n]-'0' <= 9 {
		n++
	}
	return n
}

const hexDigits = "0123456789abcdef"

// jsonClass tells what to do with a byte in a JSON string: 0 copies it, 'u'
// writes it as \u00XX, 'x' looks at the whole rune, and others follow a backslash.
var jsonClass = func() (t [256]byte) {
	for c := range 0x20 {
		t[c] = 'u'
	}
	for c := utf8.RuneSelf; c < 256; c++ {
		t[c] = 'x'
	}
	t['\b'], t['\f'], t['\n'], t['\r'], t['\t'] = 'b', 'f', 'n', 'r', 't'
	t['"'], t['\\'] = '"', '\\'
	return t
}()

// plainJSON tells whether s is ASCII without anything to escape, eight bytes at
// a time.
func plainJSON(s string) bool {
	if len(s) < 8 {
		for i := 0; i < len(s); i++ {
			if jsonClass[s[i]] != 0 {
				return false
			}
		}
		return true
	}
	p := unsafe.Slice(unsafe.StringData(s), len(s))
	odd := oddJSON(binary.LittleEndian.Uint64(p[len(p)-8:]))
	for ; len(p) > 8; p = p[8:] {
		odd |= oddJSON(binary.LittleEndian.Uint64(p))
	}
	return odd&highBits == 0
}

// oddJSON sets the high bit of each byte of w that is not plain.
func oddJSON(w uint64) uint64 {
	low := w & lowBits
	quote := highBits - (low ^ '"'*repeat)
	backslash := highBits - (low ^ '\\'*repeat)
	control := ^(low + (0x80-' ')*repeat)
	return w | quote | backslash | control
}

// appendJSONText appends s as it stands between the quotes of a JSON string;
// it reports false if s is not valid UTF-8.
func appendJSONText(dst []byte, s string) ([]byte, bool) {
	done, valid := 0, false
	for i := 0; i < len(s); i++ {
		class := jsonClass[s[i]]
		switch class {
		case 0:
			continue
		case 'x':
			if !valid && !utf8.ValidString(s[i:]) {
				return dst, false
			}
			valid = true
			continue
		}
		dst = append(dst, s[done:i]...)
		if class == 'u' {
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[s[i]>>4], hexDigits[s[i]&15])
		} else {
			dst = append(dst, '\\', class)
		}
		done = i + 1
	}
	return append(dst, s[done:]...), true
}
