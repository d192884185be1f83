package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestJSONLines(t *testing.T) {
	tests := []struct {
		name  string
		in    string
		d     Dialect
		types []Type
		want  string
	}{
		{"text", "a,b\n1,x\n", Dialect{}, nil, `{"a":"1","b":"x"}`},
		{"NULL and empty", "a,b\n,\"\"\n", Dialect{}, nil, `{"a":null,"b":""}`},
		{"padded", "a,b\n1\n", Dialect{Ragged: RaggedPad}, nil, `{"a":"1","b":null}`},
		{"types", "a,b,c,d,e,f,g\n1,-1.5e3,10.00,true,2024-02-29,2024-02-29T00:00:00Z,AA==\n", Dialect{},
			[]Type{Int64, Float64, Decimal, Bool, Date, Timestamp, Bytes},
			`{"a":1,"b":-1.5e3,"c":10.00,"d":true,"e":"2024-02-29","f":"2024-02-29T00:00:00Z","g":"AA=="}`},
		{"typed NULL", "a,b\n,\n", Dialect{}, []Type{Int64, Bool}, `{"a":null,"b":null}`},
		{"escapes", "a\n\"\"\"\\\b\f\n\r\t\x00\x1f\x7f/\"\n", Dialect{}, nil, `{"a":"\"\\\b\f\n\r\t\u0000\u001f` + "\x7f" + `/"}`},
		{"nothing for HTML", "a\n<&>\u2028é😀\n", Dialect{}, nil, "{\"a\":\"<&>\u2028é😀\"}"},
		{"doubled quotes", "a\n\"x\"\"y\"\n", Dialect{}, nil, `{"a":"x\"y"}`},
		{"names", "\"a\"\"b\",é\n1,2\n", Dialect{}, nil, `{"a\"b":"1","é":"2"}`},
		{"long", "a\n" + strings.Repeat("x", 99) + "\n", Dialect{}, nil, `{"a":"` + strings.Repeat("x", 99) + `"}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := batchOf(t, test.in, test.d)
			for i, typ := range test.types {
				b.Schema.Columns[i].Type = typ
			}
			got, err := NewJSONLines(b.Schema).Append(nil, b)
			if err != nil || string(got) != test.want+"\n" {
				t.Errorf("\n got %s %v\nwant %s", got, err, test.want)
			}
			if !json.Valid(got) {
				t.Error("not valid JSON")
			}
		})
	}
}

func TestJSONLinesErrors(t *testing.T) {
	tests := []struct {
		name, value string
		typ         Type
		want        string
	}{
		{"invalid UTF-8", "x\xffy", Text, `column "a": not valid UTF-8: "x\xffy"`},
		{"half a rune at the end", "xé"[:2], Text, `column "a": not valid UTF-8: "x\xc3"`},
		{"leading zero", "007", Int64, `column "a": "007" of type int64 is not a JSON number`},
		{"plus", "+1", Decimal, `column "a": "+1" of type decimal is not a JSON number`},
		{"no digit before the point", ".5", Float64, `column "a": ".5" of type float64 is not a JSON number`},
		{"NaN", "NaN", Float64, `column "a": "NaN" of type float64 is not a JSON number`},
		{"bool", "1", Bool, `column "a": "1" of type bool is neither true nor false`},
		{"empty", "", Int64, `column "a": "" of type int64 is not a JSON number`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := plainBatch([][]string{{null}, {test.value}})
			b.Schema.Columns[0].Type = test.typ
			_, err := NewJSONLines(b.Schema).Append(nil, b)
			var fieldErr *FieldError
			if !errors.As(err, &fieldErr) || fieldErr.Row != 1 || err.Error() != test.want {
				t.Errorf("got %v\nwant %s", err, test.want)
			}
		})
	}
	b := pick(batchOf(t, "a\n1\n", Dialect{}))
	if got, err := NewJSONLines(b.Schema).Append(nil, b); err != nil || string(got) != "{}\n" {
		t.Errorf("a row of no columns: %s, %v", got, err)
	}
	b = batchOf(t, "a,\xff\n1,2\n", Dialect{})
	if _, err := NewJSONLines(b.Schema).Append(nil, b); err == nil || err.Error() != `the name of column 2 is not valid UTF-8: "\xff"` {
		t.Errorf("got %v", err)
	}
}

func FuzzJSONText(f *testing.F) {
	for _, s := range samples {
		f.Add(s)
	}
	f.Add("é\x7f\x80")
	f.Fuzz(func(t *testing.T, s string) {
		b := plainBatch([][]string{{s, null}})
		got, err := NewJSONLines(b.Schema).Append(nil, b)
		if !utf8.ValidString(s) {
			if err == nil {
				t.Fatalf("%q was written as %s", s, got)
			}
			return
		}
		var back map[string]any
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(got, &back); err != nil || bytes.Count(got, []byte("\n")) != 1 {
			t.Fatalf("%q: %s: %v", s, got, err)
		}
		if want := map[string]any{"a": s, "b": nil}; !reflect.DeepEqual(back, want) {
			t.Fatalf("got %q, want %q", back, want)
		}
	})
}

func FuzzJSONNumber(f *testing.F) {
	for _, s := range []string{"0", "-0", "1.5", "1e5", "1E+05", "-12.34e-5", "", "-", "01", "1.", ".1", "1e", "+1", "0x1", "1_0", "Infinity", " 1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var n json.Number
		want := json.Unmarshal([]byte(s), &n) == nil && string(n) == s
		if got := isJSONNumber(s); got != want {
			t.Errorf("isJSONNumber(%q) = %v", s, got)
		}
		if want && Decimal.Check(s) != nil {
			t.Errorf("%q is a JSON number, but no decimal", s)
		}
	})
}
