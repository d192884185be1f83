package record

import (
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	tests := []struct {
		name string
		d    Dialect
		want []string
	}{
		{"zero", Dialect{}, nil},
		{"everything at once", Dialect{
			Comma: '\t', Quote: '\'', Escape: '\\', Comment: '#', Null: "\\N", CRLF: true, BOM: true, NoHeader: true,
			LazyQuotes: true, QuoteAll: true, Ragged: RaggedPadTrim, SkipLines: 3, MaxRow: 1,
		}, nil},
		{"a quote in Null without quotes", Dialect{NoQuote: true, Null: "\""}, nil},
		{"an unused Quote may be the comma", Dialect{NoQuote: true, Quote: ','}, nil},
		{"line ends", Dialect{Comma: '\n', Quote: '\r', Escape: '\n', Comment: '\r'}, []string{
			`Comma is '\n', which ends a line`, `Quote is '\r', which ends a line`,
			`Escape is '\n', which ends a line`, `Comma and Escape are both '\n'`,
			`Comment is '\r', which ends a line`, `Quote and Comment are both '\r'`}},
		{"the default comma as quote", Dialect{Quote: ','}, []string{`Comma and Quote are both ','`}},
		{"the default quote as escape", Dialect{Escape: '"'}, []string{`Quote and Escape are both '"'`}},
		{"comment like the comma", Dialect{Comma: '#', Comment: '#'}, []string{`Comma and Comment are both '#'`}},
		{"Null with everything", Dialect{Null: "#,\"\n\\", Escape: '\\', Comment: '#'}, []string{
			`Null "#,\"\n\\" contains the comma`, `Null "#,\"\n\\" contains the quote`,
			`Null "#,\"\n\\" contains a line end`, `Null "#,\"\n\\" begins like a comment`,
			`Null "#,\"\n\\" ends in an escape without a byte behind it`}},
		{"Null of two escapes", Dialect{Null: "\\\\", Escape: '\\'}, nil},
		{"quotes and none", Dialect{NoQuote: true, QuoteAll: true}, []string{"NoQuote and QuoteAll exclude each other"}},
		{"numbers", Dialect{Ragged: 9, SkipLines: -1, MaxRow: -2}, []string{
			"unknown Ragged 9", "SkipLines is negative: -1", "MaxRow is negative: -2"}},
		{"too large", Dialect{MaxRow: 1<<30 + 1}, []string{"MaxRow is 1073741825, more than 1073741824"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := ""
			if err := test.d.Validate(); err != nil {
				got = err.Error()
			}
			if want := strings.Join(test.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestValueIsOnePiece(t *testing.T) {
	d := Dialect{}.Resolve()
	for _, raw := range []string{"plain", `"quoted, plain"`, `""`} {
		if n := testing.AllocsPerRun(10, func() { d.value(raw) }); n != 0 {
			t.Errorf("the value of %s allocates", raw)
		}
	}
}
