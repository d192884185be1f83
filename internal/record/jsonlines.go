package record

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// JSONLines writes records as one JSON object per line. It is safe for
// concurrent use.
type JSONLines struct {
	keys  []string // with what stands before and behind: {"id":
	types []Type
	err   error
}

// NewJSONLines returns the encoder of records with the columns of s. A name that
// is no UTF-8 makes every Append fail.
func NewJSONLines(s *Schema) *JSONLines {
	j := &JSONLines{keys: make([]string, len(s.Columns)), types: make([]Type, len(s.Columns))}
	before := byte('{')
	for i, c := range s.Columns {
		key := append([]byte(nil), before, '"')
		key, ok := appendJSONText(key, c.Name)
		if !ok && j.err == nil {
			j.err = fmt.Errorf("the name of column %d is not valid UTF-8: %s", i+1, excerpt(c.Name))
		}
		j.keys[i] = string(append(key, '"', ':'))
		j.types[i] = c.Type
		before = ','
	}
	return j
}

// Append appends the selected rows of b: typed columns as numbers and booleans,
// others as strings, NULL as null. An error is a [*FieldError].
func (j *JSONLines) Append(dst []byte, b *Batch) ([]byte, error) {
	if j.err != nil && b.Len() > 0 {
		return dst, &FieldError{Row: b.Row(0), Err: j.err}
	}
	var scratch []byte
	for i, n := 0, b.Len(); i < n; i++ {
		row := b.Row(i)
		for col, ref := range b.Refs {
			dst = append(dst, j.keys[col]...)
			var s string
			var null bool
			s, null, scratch = ref.Vector.text(row, ref.Field, scratch)
			if null {
				dst = append(dst, "null"...)
				continue
			}
			var err error
			if dst, err = appendJSON(dst, s, j.types[col]); err != nil {
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

func appendJSON(dst []byte, s string, t Type) ([]byte, error) {
	switch t {
	case Int64, Float64, Decimal:
		if !isJSONNumber(s) {
			return dst, fmt.Errorf("%s of type %v is not a JSON number", excerpt(s), t)
		}
		return append(dst, s...), nil
	case Bool:
		if s != "true" && s != "false" {
			return dst, fmt.Errorf("%s of type bool is neither true nor false", excerpt(s))
		}
		return append(dst, s...), nil
	}
	dst = append(dst, '"')
	dst, ok := appendJSONText(dst, s)
	if !ok {
		return dst, errNotUTF8(s)
	}
	return append(dst, '"'), nil
}

func errNotUTF8(s string) error {
	return errors.New("not valid UTF-8: " + excerpt(s))
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
