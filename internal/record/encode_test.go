package record

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// batchOf scans in as one batch.
func batchOf(t testing.TB, in string, d Dialect) *Batch {
	t.Helper()
	s := NewScanner(strings.NewReader(in), d.Resolve(), nil, 1<<20)
	if _, err := s.Header(); err != nil {
		t.Fatal(err)
	}
	block, err := s.Next()
	if err != nil {
		t.Fatal(err)
	}
	b, bad := s.Decode(block)
	if len(bad) > 0 {
		t.Fatal(bad[0].Err)
	}
	return b
}

// plainBatch builds a batch of plain values, as [table] writes them.
func plainBatch(rows [][]string) *Batch {
	build := NewBuilder(len(rows[0]))
	for _, row := range rows {
		for _, f := range row {
			if f == null {
				build.NULL()
			} else {
				build.Text(f)
			}
		}
		build.EndRow()
	}
	columns := make([]Column, len(rows[0]))
	for i := range columns {
		columns[i].Name = string(rune('a' + i))
	}
	return build.Batch(NewSchema(columns, true))
}

// pick gives b other columns.
func pick(b *Batch, cols ...int) *Batch {
	columns := make([]Column, len(cols))
	refs := make([]Ref, len(cols))
	for i, c := range cols {
		columns[i], refs[i] = b.Schema.Columns[c], b.Refs[c]
	}
	b.Rebind(NewSchema(columns, b.Schema.Header), refs)
	return b
}

func TestAppendRaw(t *testing.T) {
	tests := []struct {
		name   string
		in     string
		source Dialect
		cols   []int
		rows   []int32
		d      Dialect
		want   string
	}{
		{"as it is", "a,b\n1,\"x\"\n,\"\"\n", Dialect{}, []int{0, 1}, nil, Dialect{}, "1,\"x\"\n,\"\"\n"},
		{"no final newline", "a,b\n1,2", Dialect{}, []int{0, 1}, nil, Dialect{}, "1,2\n"},
		{"selection", "a,b\n1,2\n3,4\n5,6\n7,8\n", Dialect{}, []int{0, 1}, []int32{0, 2, 3}, Dialect{}, "1,2\n5,6\n7,8\n"},
		{"nothing selected", "a,b\n1,2\n", Dialect{}, []int{0, 1}, []int32{}, Dialect{}, ""},
		{"empty lines go", "a,b\n1,2\n\n3,4\n", Dialect{}, []int{0, 1}, nil, Dialect{}, "1,2\n3,4\n"},
		{"CRLF to LF", "a,b\r\n1,2\r\n3,4\r\n", Dialect{}, []int{0, 1}, nil, Dialect{}, "1,2\n3,4\n"},
		{"CRLF stays", "a,b\r\n1,2\r\n\r\n3,4\r\n", Dialect{}, []int{0, 1}, nil, Dialect{CRLF: true}, "1,2\r\n3,4\r\n"},
		{"LF to CRLF", "a,b\n1,2\n\n3,4\n", Dialect{}, []int{0, 1}, nil, Dialect{CRLF: true}, "1,2\r\n3,4\r\n"},
		{"mixed line ends", "a,b\n1,2\r\n3,4\n5,6\r\n", Dialect{}, []int{0, 1}, nil, Dialect{CRLF: true}, "1,2\r\n3,4\r\n5,6\r\n"},
		{"columns", "a,b,c,d\n1,2,\"3,\",4\n", Dialect{}, []int{3, 1, 2}, nil, Dialect{}, "4,2,\"3,\"\n"},
		{"one column", "a,b\n1,2\n,\"\"\n", Dialect{}, []int{0}, nil, Dialect{}, "1\n\n"},
		{"one column, empty string", "a,b\n1,2\n,\"\"\n", Dialect{}, []int{1}, nil, Dialect{}, "2\n\"\"\n"},
		{"one column with Null", "a,b\n\\N,\n", Dialect{Null: "\\N"}, []int{1}, nil, Dialect{Null: "\\N"}, "\"\"\n"},
		{"CR moved to the end", "a,b\nx\r,y\n", Dialect{}, []int{1, 0}, nil, Dialect{}, "y,\"x\r\"\n"},
		{"CR at the end", "a,b\nx,y\r\r\n", Dialect{}, []int{0, 1}, nil, Dialect{}, "x,\"y\r\"\n"},
		{"comment moved to the front", "a,b\nx,#y\n", Dialect{}, []int{1, 0}, nil, Dialect{Comment: '#'}, "\"#y\",x\n"},
		{"comment in place", "a,b\n1,2\n#x,#y\n", Dialect{}, []int{0, 1}, nil, Dialect{Comment: '#'}, "1,2\n\"#x\",#y\n"},
		{"BOM moved to the front", "a,b\nx,\ufeffy\n", Dialect{}, []int{1}, nil, Dialect{NoHeader: true}, "\"\ufeffy\"\n"},
		{"BOM behind a header", "a,b\nx,\ufeffy\n", Dialect{}, []int{1}, nil, Dialect{}, "\ufeffy\n"},
		{"another comma", "a;b\n1,5;2\n", Dialect{Comma: ';'}, []int{0, 1}, nil, Dialect{}, "\"1,5\",2\n"},
		{"another comma, nothing to quote", "a;b\n1;\"2\"\n", Dialect{Comma: ';'}, []int{0, 1}, nil, Dialect{}, "1,\"2\"\n"},
		{"another quote", "a,b\n'x''y',\"\n", Dialect{Quote: '\''}, []int{0, 1}, nil, Dialect{}, "x'y,\"\"\"\"\n"},
		{"another Null", "a,b\n,\"\"\n\\N,1\n", Dialect{}, []int{0, 1}, nil, Dialect{Null: "\\N"}, "\\N,\n\"\\N\",1\n"},
		{"Null to empty", "a,b\n\\N,\n", Dialect{Null: "\\N"}, []int{0, 1}, nil, Dialect{}, ",\"\"\n"},
		{"escapes to doubled quotes", "a,b\n\\,x,\"\\\"y\"\n", Dialect{Escape: '\\'}, []int{0, 1}, nil, Dialect{}, "\",x\",\"\"\"y\"\n"},
		{"doubled quotes to escapes", "a,b\n\"x\"\"\",\\y\n", Dialect{}, []int{0, 1}, nil, Dialect{Escape: '\\'}, "\"x\\\"\",\"\\\\y\"\n"},
		{"quotes everywhere", "a,b\n1,\"x\"\n,\"\"\n", Dialect{}, []int{0, 1}, nil, Dialect{QuoteAll: true}, "\"1\",\"x\"\n,\"\"\n"},
		{"padded", "a,b\n1\n1,2\n", Dialect{Ragged: RaggedPad}, []int{0, 1}, nil, Dialect{}, "1,\n1,2\n"},
		{"trimmed", "a,b\n1,2,3\n", Dialect{Ragged: RaggedTrim}, []int{0, 1}, nil, Dialect{}, "1,2\n"},
		{"lazy quotes become strict", "a,b\nx\"y,\"a\"b\"\n", Dialect{LazyQuotes: true}, []int{0, 1}, nil, Dialect{}, "\"x\"\"y\",\"a\"\"b\"\n"},
		{"to no quotes", "a,b\n\"x\",\"\"\n", Dialect{}, []int{0, 1}, nil, Dialect{NoQuote: true, Null: "-"}, "x,\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := pick(batchOf(t, test.in, test.source), test.cols...)
			b.Selection = test.rows
			got, err := test.d.Resolve().Append(nil, b)
			if err != nil || string(got) != test.want {
				t.Errorf("\n got %q, %v\nwant %q", got, err, test.want)
			}
		})
	}
}

func TestAppendPlain(t *testing.T) {
	tests := []struct {
		name string
		in   string
		d    Dialect
		want string
	}{
		{"simple", "1|x y\n2|é", Dialect{}, "1,x y\n2,é\n"},
		{"NULL and empty", "∅|", Dialect{}, ",\"\"\n"},
		{"special bytes", "a,b|c\"d\ne␊f|g␍h", Dialect{}, "\"a,b\",\"c\"\"d\"\n\"e\nf\",\"g\rh\"\n"},
		{"blanks in front", " a|b ", Dialect{}, "\" a\",b \n"},
		{"Null", "∅|\nNA|xNA", Dialect{Null: "NA"}, "NA,\n\"NA\",xNA\n"},
		{"one column", "∅\n\nx", Dialect{}, "\n\"\"\nx\n"},
		{"one column with Null", "∅\n", Dialect{Null: "NA"}, "NA\n\"\"\n"},
		{"NULL as empty", "∅|", Dialect{NullAsEmpty: true}, ",\n"},
		{"NULL as empty, one column", "∅\n", Dialect{NullAsEmpty: true}, "\"\"\n\"\"\n"},
		{"NULL as empty, quoted", "∅|", Dialect{NullAsEmpty: true, QuoteAll: true}, "\"\",\"\"\n"},
		{"NULL as empty without quotes", "∅|", Dialect{NullAsEmpty: true, NoQuote: true}, ",\n"},
		{"quotes everywhere", "∅|\nx|1", Dialect{QuoteAll: true}, ",\"\"\n\"x\",\"1\"\n"},
		{"escape", "a\"b|c\\d", Dialect{Escape: '\\'}, "\"a\\\"b\",\"c\\\\d\"\n"},
		{"escape without quotes", "a,b|c␊d␍", Dialect{Escape: '\\', NoQuote: true}, "a\\,b,c\\\nd\\\r\n"},
		{"escaped Null", "NA|∅", Dialect{Escape: '\\', NoQuote: true, Null: "NA"}, "\\N\\A,NA\n"},
		{"escaped Null with an escape", "\\N|∅\nN|x", Dialect{Escape: '\\', NoQuote: true, Null: "\\N"}, "\\\\N,\\N\nN,x\n"},
		{"comment", "#a|#b", Dialect{Comment: '#'}, "\"#a\",#b\n"},
		{"comment without quotes", "#a|#b", Dialect{Comment: '#', NoQuote: true, Escape: '\\'}, "\\#a,#b\n"},
		{"BOM", "\ufeffa|\ufeffb", Dialect{NoHeader: true}, "\"\ufeffa\",\ufeffb\n"},
		{"UTF-16 BOM", "\xff\xfe|b", Dialect{NoHeader: true}, "\"\xff\xfe\",b\n"},
		{"BOM behind a BOM", "\ufeffa|b", Dialect{NoHeader: true, BOM: true}, "\ufeffa,b\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.d.Resolve().Append(nil, plainBatch(table(test.in)))
			if err != nil || string(got) != test.want {
				t.Errorf("\n got %q, %v\nwant %q", got, err, test.want)
			}
		})
	}
}

func TestAppendErrors(t *testing.T) {
	tests := []struct {
		name string
		in   string
		d    Dialect
		want string
	}{
		{"comma", "x|y\n1|a,b", Dialect{NoQuote: true}, `column "b": comma ',' in a field without quotes: "a,b"`},
		{"line feed", "x|y\na␊b|1", Dialect{NoQuote: true}, `column "a": line end in a field without quotes: "a\nb"`},
		{"carriage return", "x|y\n1|a␍", Dialect{NoQuote: true}, `column "b": line end in a field without quotes: "a\r"`},
		{"empty string", "x|y\n1|", Dialect{NoQuote: true}, `column "b": the empty string reads as NULL without quotes: set Null, or NullAsEmpty to write both alike`},
		{"empty string, escapes", "x|y\n1|", Dialect{NoQuote: true, Escape: '\\'}, `column "b": the empty string reads as NULL without quotes: set Null, or NullAsEmpty to write both alike`},
		{"Null", "x|y\n1|NA", Dialect{NoQuote: true, Null: "NA"}, `column "b": text reads as NULL without quotes: "NA"`},
		{"Null of escapes", "x|y\n1|\\", Dialect{NoQuote: true, Escape: '\\', Null: "\\\\"}, `column "b": text reads as NULL however it is escaped: "\\"`},
		{"comment", "x|y\n#1|2", Dialect{NoQuote: true, Comment: '#'}, `column "a": the row reads as a comment or a byte order mark without quotes: "#1"`},
		{"BOM", "x|y\n\ufeff1|2", Dialect{NoQuote: true, NoHeader: true}, `column "a": the row reads as a comment or a byte order mark without quotes: "\ufeff1"`},
		{"NULL like a BOM", "x|y\n∅|2", Dialect{Null: "\ufeff", NoHeader: true}, `column "a": NULL is written "\ufeff", which reads as a byte order mark`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := test.d.Resolve().Append(nil, plainBatch(table(test.in)))
			var fieldErr *FieldError
			if !errors.As(err, &fieldErr) || fieldErr.Row != 1 || err.Error() != test.want {
				t.Errorf("got %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestAppendNoColumns(t *testing.T) {
	b := pick(batchOf(t, "a\n1\n", Dialect{}))
	if _, err := (Dialect{}).Resolve().Append(nil, b); err == nil {
		t.Error("rows of no columns were written")
	}
}

func TestAppendHeader(t *testing.T) {
	tests := []struct {
		name  string
		names []string
		d     Dialect
		want  string
	}{
		{"simple", []string{"a", "b c"}, Dialect{}, "a,b c\n"},
		{"CRLF", []string{"a", "b"}, Dialect{CRLF: true}, "a,b\r\n"},
		{"BOM", []string{"a", "b"}, Dialect{BOM: true}, "\ufeffa,b\n"},
		{"none", []string{"a", "b"}, Dialect{NoHeader: true}, ""},
		{"only a BOM", []string{"a", "b"}, Dialect{NoHeader: true, BOM: true}, "\ufeff"},
		{"special bytes", []string{"a,b", "c\"d", "e\nf", "#g"}, Dialect{Comment: '#'}, "\"a,b\",\"c\"\"d\",\"e\nf\",#g\n"},
		{"comment", []string{"#a", "#b"}, Dialect{Comment: '#'}, "\"#a\",#b\n"},
		{"a name like a BOM", []string{"\ufeffa", "b"}, Dialect{}, "\"\ufeffa\",b\n"},
		{"a name like Null", []string{"NA", "b"}, Dialect{Null: "NA"}, "NA,b\n"},
		{"an empty name", []string{"", "b"}, Dialect{}, ",b\n"},
		{"only an empty name", []string{""}, Dialect{}, "\"\"\n"},
		{"quotes everywhere", []string{"a", ""}, Dialect{QuoteAll: true}, "\"a\",\"\"\n"},
		{"no columns", nil, Dialect{}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := test.d.Resolve()
			got, err := d.AppendHeader(nil, textColumns(test.names, true))
			if err != nil || string(got) != test.want {
				t.Fatalf("got %q, %v; want %q", got, err, test.want)
			}
			if d.NoHeader || len(test.names) == 0 {
				return
			}
			p := reading{d: test.d}.parse(strings.NewReader(string(got)))
			if p.err != nil || !reflect.DeepEqual(p.header, test.names) {
				t.Errorf("reads as %q, %v", p.header, p.err)
			}
		})
	}
	_, err := Dialect{NoQuote: true}.Resolve().AppendHeader(nil, textColumns([]string{"id", "a,b"}, true))
	if want := `header row: column 2, "a,b": comma ',' in a field without quotes: "a,b"`; err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}
