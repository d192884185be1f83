package record

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestCheck(t *testing.T) {
	tests := []struct {
		typ  Type
		good []string
		bad  []string
	}{
		{Text, []string{"", "anything", "\xff"}, nil},
		{Bool, []string{"true", "false"}, []string{"", "True", "1", "yes"}},
		{Int64, []string{"0", "-1", "+1", "007", "9223372036854775807", "-9223372036854775808", "00000000000000000000001"},
			[]string{"", "-", "1.0", "1e3", " 1", "9223372036854775808", "-9223372036854775809", "0x1", "1_0"}},
		{Float64, []string{"0", "-1.5", "1e308", "1.", ".5", "4.9e-324", "1e-999", "12345678901234567890"},
			[]string{"", ".", "NaN", "Inf", "-Infinity", "1e309", "1e", "0x1p3", "1_0", "1.5.2", strings.Repeat("9", 400)}},
		{Decimal, []string{"0", "-1.50", "12345678901234567890.123456789", "1E+5"}, []string{"", "-", "1,5", "NaN", "1e"}},
		{Date, []string{"2024-02-29", "0000-01-01", "9999-12-31", "2000-02-29"},
			[]string{"", "2023-02-29", "1900-02-29", "2024-04-31", "2024-13-01", "2024-00-01", "2024-01-00", "2024-1-01", "20240101", "2024-01-01 ", "2024-01-01T00:00:00Z", "202a-01-01"}},
		{Timestamp, []string{"2024-02-29T23:59:59Z", "2024-02-29T23:59:59.123456789Z", "2024-02-29T00:00:00+01:00", "2024-02-29T00:00:00.5-12:30"},
			[]string{"", "2024-02-29", "2024-02-29 00:00:00Z", "2024-02-29T24:00:00Z", "2024-02-29T00:60:00Z", "2024-02-29T00:00:60Z",
				"2024-02-29T00:00:00", "2024-02-29T00:00:00.Z", "2024-02-29T00:00:00.1", "2024-02-29T00:00:00+0100", "2024-02-29T00:00:00+24:00", "2024-02-29T00:00:00Zx", "2024-02-30T00:00:00Z"}},
		{Bytes, []string{"", "AA==", "AAA=", "AAAA", "+/9z"}, []string{"A", "AA", "AAA", "AA=A", "A===", "====", "AA-_", "AAAA\n", "AA==AA=="}},
	}
	for _, test := range tests {
		for _, s := range test.good {
			if err := test.typ.Check(s); err != nil {
				t.Errorf("%v: %v", test.typ, err)
			}
			if n := testing.AllocsPerRun(5, func() { _ = test.typ.Check(s) }); n != 0 {
				t.Errorf("%v: checking %q allocates", test.typ, s)
			}
		}
		for _, s := range test.bad {
			if test.typ.Check(s) == nil {
				t.Errorf("%v: %q passes", test.typ, s)
			}
		}
	}
}

func TestCheckText(t *testing.T) {
	tests := []struct {
		typ     Type
		s, want string
	}{
		{Int64, "x", `"x" is not an int64`},
		{Int64, "9223372036854775808", `"9223372036854775808" is out of the range of int64`},
		{Float64, "1e999", `"1e999" is out of the range of float64`},
		{Date, "1.2.2024", `"1.2.2024" is not a date: YYYY-MM-DD`},
		{Bool, strings.Repeat("x", 41), `"` + strings.Repeat("x", 40) + `"… is not a bool: true or false`},
	}
	for _, test := range tests {
		if err := test.typ.Check(test.s); err == nil || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

// FuzzCheck compares with the standard library, which takes a little more.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{"1", "1e400", "9223372036854775808", "2024-02-30", "2024-02-29T23:59:59.5+01:00", "AAA=", "-.5", "0x1p-2", "1_000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, intErr := strconv.ParseInt(s, 10, 64)
		if got := Int64.Check(s) == nil; got != (intErr == nil) {
			t.Errorf("int64 %q: %v", s, got)
		}
		x, floatErr := strconv.ParseFloat(s, 64)
		fine := floatErr == nil && !math.IsNaN(x) && !math.IsInf(x, 0) && !strings.ContainsAny(s, "xX_")
		if got := Float64.Check(s) == nil; got != fine {
			t.Errorf("float64 %q: %v", s, got)
		}
		_, dateErr := time.Parse(time.DateOnly, s)
		if got := Date.Check(s) == nil; got != (dateErr == nil) {
			t.Errorf("date %q: %v", s, got)
		}
		_, timeErr := time.Parse(time.RFC3339, s)
		if got := Timestamp.Check(s) == nil; got && timeErr != nil {
			t.Errorf("timestamp %q: %v", s, timeErr)
		}
		_, bytesErr := base64.StdEncoding.DecodeString(s)
		if got := Bytes.Check(s) == nil; got != (bytesErr == nil && !strings.ContainsAny(s, "\r\n")) {
			t.Errorf("base64 %q: %v", s, got)
		}
	})
}
