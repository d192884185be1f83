package record

import (
	"errors"
	"fmt"
	"strconv"
)

// Check returns an error unless s is a value of type t. It allocates nothing
// for one that is.
func (t Type) Check(s string) error {
	ok := true
	switch t {
	case Bool:
		ok = s == "true" || s == "false"
	case Int64:
		return checkInt64(s)
	case Float64:
		return checkFloat64(s)
	case Decimal:
		ok = isDecimal(s)
	case Date:
		ok = len(s) == len("2006-01-02") && isDate(s)
	case Timestamp:
		ok = isTimestamp(s)
	case Bytes:
		ok = isBase64(s)
	}
	if !ok {
		return fmt.Errorf("%s is not %s", excerpt(s), typeForms[t])
	}
	return nil
}

// typeForms says what a value of a type looks like.
var typeForms = [...]string{
	Text:      "text",
	Bool:      "a bool: true or false",
	Int64:     "an int64",
	Float64:   "a float64",
	Decimal:   "a decimal number",
	Date:      "a date: YYYY-MM-DD",
	Timestamp: "a timestamp: RFC 3339, as 2006-01-02T15:04:05Z",
	Bytes:     "base64",
}

func checkInt64(s string) error {
	n := unsigned(s)
	if n != "" && digits(n) == len(n) {
		if len(n) <= 18 {
			return nil
		}
		if _, err := strconv.ParseInt(s, 10, 64); err == nil {
			return nil
		}
		return fmt.Errorf("%s is out of the range of int64", excerpt(s))
	}
	return fmt.Errorf("%s is not %s", excerpt(s), typeForms[Int64])
}

// checkFloat64 wants a finite number: there is no NaN in JSON or SQL.
func checkFloat64(s string) error {
	if !isDecimal(s) {
		return fmt.Errorf("%s is not %s", excerpt(s), typeForms[Float64])
	}
	if len(s) < 300 && digits(unsigned(s)) == len(unsigned(s)) {
		return nil
	}
	if _, err := strconv.ParseFloat(s, 64); errors.Is(err, strconv.ErrRange) {
		return fmt.Errorf("%s is out of the range of float64", excerpt(s))
	}
	return nil
}

// unsigned returns s without its sign.
func unsigned(s string) string {
	if s != "" && (s[0] == '-' || s[0] == '+') {
		return s[1:]
	}
	return s
}

// isDecimal tells whether s is a number in decimal notation, with or without
// a point and an exponent.
func isDecimal(s string) bool {
	s = unsigned(s)
	n := digits(s)
	s = s[n:]
	if s != "" && s[0] == '.' {
		fraction := digits(s[1:])
		n += fraction
		s = s[1+fraction:]
	}
	return n > 0 && (s == "" || isExponent(s))
}

// isDate tells whether s, of ten bytes or more, begins with a day of the
// calendar, as 2006-01-02.
func isDate(s string) bool {
	if s[4] != '-' || s[7] != '-' {
		return false
	}
	year, month, day := number(s[:4]), number(s[5:7]), number(s[8:10])
	return year >= 0 && month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month)
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// number returns the value of s, which has only digits, or -1.
func number(s string) int {
	n := 0
	for i := 0; i < len(s); i++ {
		c := s[i] - '0'
		if c > 9 {
			return -1
		}
		n = 10*n + int(c)
	}
	return n
}

// isTimestamp tells whether s is a time of RFC 3339.
func isTimestamp(s string) bool {
	if len(s) < len("2006-01-02T15:04:05Z") || !isDate(s) || s[10] != 'T' || !isClock(s[11:19]) {
		return false
	}
	s = s[19:]
	if s[0] == '.' {
		n := digits(s[1:])
		if n == 0 {
			return false
		}
		s = s[1+n:]
	}
	return s == "Z" || isOffset(s)
}

func isClock(s string) bool {
	return s[2] == ':' && s[5] == ':' &&
		within(s[:2], 23) && within(s[3:5], 59) && within(s[6:8], 59)
}

func isOffset(s string) bool {
	return len(s) == len("+00:00") && (s[0] == '+' || s[0] == '-') && s[3] == ':' &&
		within(s[1:3], 23) && within(s[4:6], 59)
}

func within(s string, most int) bool {
	n := number(s)
	return n >= 0 && n <= most
}

// isBase64 tells whether s is base64 in the standard alphabet, padded.
func isBase64(s string) bool {
	if len(s)%4 != 0 {
		return false
	}
	n := len(s)
	for n > 0 && n > len(s)-2 && s[n-1] == '=' {
		n--
	}
	for i := 0; i < n; i++ {
		c := s[i]
		if c|0x20 < 'a' || c|0x20 > 'z' {
			if (c < '0' || c > '9') && c != '+' && c != '/' {
				return false
			}
		}
	}
	return true
}
