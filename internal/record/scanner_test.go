package record

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// null stands for NULL in the tables of these tests.
const null = "\x00NULL"

// parsed is everything a scanner says about a source.
type parsed struct {
	header  []string
	rows    [][]string
	numbers []int64
	offsets []int64
	bad     []BadRow
	err     error
}

// reading is how a test reads.
type reading struct {
	d       Dialect
	columns []string
	block   int
	exact   bool
	slow    bool // row by row, whatever the dialect
}

func (r reading) parse(src io.Reader) parsed {
	if r.block == 0 {
		r.block = 1 << 16
	}
	s := NewScanner(src, r.d.Resolve(), r.columns, r.block)
	s.Exact(r.exact)
	schema, err := s.Header()
	if err != nil {
		return parsed{err: err}
	}
	p := parsed{header: names(schema)}
	first := int64(1)
	for {
		block, err := s.Next()
		if err == io.EOF {
			return p
		}
		if err != nil {
			p.err = err
			return p
		}
		b, bad := r.decode(s, block)
		b.First = first
		p.add(b)
		for _, row := range bad {
			row.Row += first - 1
			p.bad = append(p.bad, row)
		}
		if len(bad) > 0 && !r.exact {
			return p
		}
		first += int64(b.Rows + len(bad))
		b.Release()
	}
}

func (r reading) decode(s *Scanner, block Block) (*Batch, []BadRow) {
	if !r.slow {
		return s.Decode(block)
	}
	d := newDecoder(s, block)
	d.decode()
	return d.batch(), d.bad
}

func (p *parsed) add(b *Batch) {
	for r := range b.Records() {
		p.rows = append(p.rows, fields(r))
		p.numbers = append(p.numbers, b.Number(r.Row))
		p.offsets = append(p.offsets, b.RowOffset(r.Row))
	}
}

func fields(r Record) []string {
	row := make([]string, r.Len())
	for i := range row {
		row[i] = null
		if v := r.Field(i); !v.IsNull() {
			row[i] = strings.Clone(v.String())
		}
	}
	return row
}

func names(s *Schema) []string {
	list := make([]string, len(s.Columns))
	for i, c := range s.Columns {
		list[i] = c.Name
	}
	return list
}

// table is rows written with | between fields, a line each; NULL is ∅.
func table(s string) [][]string {
	if s == "" {
		return nil
	}
	var rows [][]string
	for _, line := range strings.Split(s, "\n") {
		row := strings.Split(line, "|")
		for i, f := range row {
			if f == "∅" {
				row[i] = null
			}
			row[i] = strings.NewReplacer("␊", "\n", "␍", "\r", "¦", "|").Replace(row[i])
		}
		rows = append(rows, row)
	}
	return rows
}

func TestScan(t *testing.T) {
	columns := []string{"a", "b"}
	tests := []struct {
		name string
		in   string
		r    reading
		want string // header first
	}{
		{"simple", "a,b\n1,2\n", reading{}, "a|b\n1|2"},
		{"no final newline", "a,b\n1,2", reading{}, "a|b\n1|2"},
		{"final comma", "a,b\n1,", reading{}, "a|b\n1|∅"},
		{"header only", "a,b\n", reading{}, "a|b"},
		{"header only, no newline", "a,b", reading{}, "a|b"},
		{"NULL and the empty string", "a,b\n,\"\"\n", reading{}, "a|b\n∅|"},
		{"CRLF", "a,b\r\n1,2\r\n", reading{}, "a|b\n1|2"},
		{"CRLF behind a quote", "a,b\r\n1,\"2\"\r\n", reading{}, "a|b\n1|2"},
		{"CRLF in quotes stays", "a,b\r\n\"x\r\ny\",2\r\n", reading{}, "a|b\nx␍␊y|2"},
		{"a lone CR is data", "a,b\nx\ry,z\r\r\n", reading{}, "a|b\nx␍y|z␍"},
		{"CR at the end is data", "a,b\nx,y\r", reading{}, "a|b\nx|y␍"},
		{"doubled quotes", "a,b\n\"x\"\"y\",\"\"\"\"\n", reading{}, "a|b\nx\"y|\""},
		{"comma and newline in quotes", "a,b\n\"x,y\",\"z\nz\"\n", reading{}, "a|b\nx,y|z␊z"},
		{"quoted header", "\"a\",\"b,\n\"\n1,2\n", reading{}, "a|b,␊\n1|2"},
		{"empty name", ",b\n1,2\n", reading{}, "|b\n1|2"},
		{"empty lines between", "\n\na,b\n\n1,2\n\r\n3,4\n\n", reading{}, "a|b\n1|2\n3|4"},
		{"empty lines are NULL in one column", "a\n\n1\n\r\n", reading{}, "a\n∅\n1\n∅"},
		{"an empty line with another NULL", "a\n\n\\N\n", reading{d: Dialect{Null: "\\N"}}, "a\n\n∅"},
		{"BOM", "\ufeffa,b\n1,2\n", reading{}, "a|b\n1|2"},
		{"BOM before a quote", "\ufeff\"a\",b\n1,2\n", reading{}, "a|b\n1|2"},
		{"a second BOM is data", "\ufeff\ufeffa,b\n", reading{}, "\ufeffa|b"},
		{"NUL and bad UTF-8", "a,b\n\x00x,\xff\n", reading{}, "a|b\n\x00x|\xff"},
		{"semicolon", "a;b\n1,5;2\n", reading{d: Dialect{Comma: ';'}}, "a|b\n1,5|2"},
		{"apostrophe", "a,b\n'x,''y','\"'\n", reading{d: Dialect{Quote: '\''}}, "a|b\nx,'y|\""},
		{"no quote", "a\tb\n\"x\t\"\n", reading{d: Dialect{Comma: '\t', NoQuote: true}}, "a|b\n\"x|\""},
		{"escape", "a,b\n\\,x,\"y\\\"z\"\n", reading{d: Dialect{Escape: '\\'}}, "a|b\n,x|y\"z"},
		{"escape of a line end", "a,b\n1\\\n2,3\\\r\n", reading{d: Dialect{Escape: '\\'}}, "a|b\n1␊2|3␍"},
		{"escape and doubled quotes", "a,b\n\"x\"\"y\\\\\",2\n", reading{d: Dialect{Escape: '\\'}}, "a|b\nx\"y\\|2"},
		{"escape of nothing special", "a,b\n\\x,\"\\y\"\n", reading{d: Dialect{Escape: '\\'}}, "a|b\nx|y"},
		{"escape with \\N", "a,b\n\\N,\\\\N\n\"\\N\",\n", reading{d: Dialect{Escape: '\\', Null: "\\N"}}, "a|b\n∅|\\N\nN|"},
		{"escape without quotes", "a\tb\nx\\\ty\t\"\n", reading{d: Dialect{Comma: '\t', Escape: '\\', NoQuote: true}}, "a|b\nx\ty|\""},
		{"Null", "a,b\nNA,\n\"NA\",\"\"\n", reading{d: Dialect{Null: "NA"}}, "a|b\n∅|\nNA|"},
		{"the header has no NULL", "NA,b\nNA,1\n", reading{d: Dialect{Null: "NA"}}, "NA|b\n∅|1"},
		{"comments", "#x\na,b\n#1,\"2\n3,#4\n\"#5\",6\n#", reading{d: Dialect{Comment: '#'}}, "a|b\n3|#4\n#5|6"},
		{"lazy quotes", "a,b\nx\"y,\"a\"b\"\n", reading{d: Dialect{LazyQuotes: true}}, "a|b\nx\"y|a\"b"},
		{"lazy, but all is well", "a,b\n\"x\",\"y\"\"\n\"\n", reading{d: Dialect{LazyQuotes: true}}, "a|b\nx|y\"␊"},
		{"lazy, an odd number of quotes", "a,b\nx\"y,z\nv,w\n", reading{d: Dialect{LazyQuotes: true}}, "a|b\nx\"y|z\nv|w"},
		{"lazy to the end", "a,b\n1,\"x,\ny\n", reading{d: Dialect{LazyQuotes: true}}, "a|b\n1|x,␊y␊"},
		{"skipped lines are physical", "\ufeff\"x\ny\"\na,b\n1,2\n", reading{d: Dialect{SkipLines: 2}}, "a|b\n1|2"},
		{"columns given", "1,2\n", reading{columns: columns}, "a|b\n1|2"},
		{"columns given, empty source", "", reading{columns: columns}, "a|b"},
		{"no header", "1,2,3\n4,5,6\n", reading{d: Dialect{NoHeader: true}}, "col_1|col_2|col_3\n1|2|3\n4|5|6"},
		{"no header, empty line first", "\n1,2\n", reading{d: Dialect{NoHeader: true}}, "col_1|col_2\n1|2"},
		{"no header, one column, NULL first", "\n\n1\n", reading{d: Dialect{NoHeader: true}}, "col_1\n∅\n∅\n1"},
		{"no header, only NULL", "\n\n", reading{d: Dialect{NoHeader: true}}, "col_1\n∅\n∅"},
		{"pad", "a,b,c\n1\n1,2,3\n\"4\",5\r\n", reading{d: Dialect{Ragged: RaggedPad}}, "a|b|c\n1|∅|∅\n1|2|3\n4|5|∅"},
		{"trim", "a,b\n1,2,3\n4,5\n6,7,\n", reading{d: Dialect{Ragged: RaggedTrim}}, "a|b\n1|2\n4|5\n6|7"},
		{"pad and trim", "a,b\n1\n1,2,3\n", reading{d: Dialect{Ragged: RaggedPadTrim}}, "a|b\n1|∅\n1|2"},
		{"as long as MaxRow", "a,b\n123,567\r\n", reading{d: Dialect{MaxRow: 7}}, "a|b\n123|567"},
		{"long fields", "a,b\n" + strings.Repeat("x", 200) + ",\"" + strings.Repeat("y\n", 200) + "\"\n", reading{},
			"a|b\n" + strings.Repeat("x", 200) + "|" + strings.Repeat("y␊", 200)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want := table(test.want)
			if len(test.in) == 0 {
				want = table(test.want)[:1]
			}
			for _, block := range []int{1, 2, 3, 7, 64, 1 << 16} {
				test.r.block = block
				for _, exact := range []bool{false, true} {
					test.r.exact = exact
					p := test.r.parse(strings.NewReader(test.in))
					if p.err != nil || len(p.bad) > 0 {
						t.Fatalf("block %d: error %v, bad rows %v", block, p.err, p.bad)
					}
					if got := append([][]string{p.header}, p.rows...); !reflect.DeepEqual(got, want) {
						t.Fatalf("block %d, exact %v:\n got %q\nwant %q", block, exact, got, want)
					}
				}
			}
		})
	}
}

func TestBadRows(t *testing.T) {
	tests := []struct {
		name string
		in   string
		r    reading
		want string // the good rows
		bad  []string
	}{
		{"quote in an unquoted field", "id,size\n1,5\" pipe,x\n2,b\n", reading{}, "2|b",
			[]string{`1 @8 "1,5\" pipe,x": quote in an unquoted field: "5\" pipe" (column 2, "size")`}},
		{"text behind a quote", "a,b\n1,\"x\"y\n2,b\n", reading{}, "2|b",
			[]string{`1 @4 "1,\"x\"y": text after a closing quote: "\"x\"y" (column 2, "b")`}},
		{"a blank behind a quote", "a,b\n\"x\" ,y\n", reading{}, "",
			[]string{`1 @4 "\"x\" ,y": text after a closing quote: "\"x\" " (column 1, "a")`}},
		{"CR behind a quote", "a,b\n1,\"x\"\ry\n", reading{}, "",
			[]string{`1 @4 "1,\"x\"\ry": text after a closing quote: "\"x\"\ry" (column 2, "b")`}},
		{"unterminated quote", "a,b\n1,\"x\n2,y\n3,z\n", reading{}, "2|y\n3|z",
			[]string{`1 @4 "1,\"x": unterminated quote: "\"x" (column 2, "b")`}},
		{"unterminated quote at the end", "a,b\n1,2\n3,\"", reading{}, "1|2",
			[]string{`2 @8 "3,\"": unterminated quote: "\"" (column 2, "b")`}},
		{"a stray quote embraces rows", "a,b\n1,\"x\n2,y\n3,\"z\"\n", reading{}, "2|y\n3|z",
			[]string{`1 @4 "1,\"x": text after a closing quote: "\"x" (column 2, "b")`}},
		{"an error on a later line", "a,b\n\"x\ny\",p\"q,r\n3,z\n", reading{}, "3|z", []string{
			`1 @4 "\"x": quote in an unquoted field: "p\"" (column 2, "b")`,
			`2 @7 "y\",p\"q,r": quote in an unquoted field: "y\"" (column 1, "a")`}},
		{"too few fields", "a,b,c\n1,2\n", reading{}, "",
			[]string{`1 @6 "1,2": row has 2 fields, header has 3`}},
		{"too few fields at the end", "a,b\n1,2\n3", reading{}, "1|2",
			[]string{`2 @8 "3": row has 1 field, header has 2`}},
		{"short rows side by side", "a,b\n1\n2\n", reading{}, "", []string{
			`1 @4 "1": row has 1 field, header has 2`, `2 @6 "2": row has 1 field, header has 2`}},
		{"a line feed for a comma", "a,b\n1\n2,3,4\n\"5\n\",6\n", reading{}, "5␊|6", []string{
			`1 @4 "1": row has 1 field, header has 2`, `2 @6 "2,3,4": row has 3 fields, header has 2`}},
		{"too many fields", "a\n1,2\n3\n", reading{}, "3",
			[]string{`1 @2 "1,2": row has 2 fields, header has 1`}},
		{"one field", "1\n", reading{columns: []string{"a", "b"}}, "",
			[]string{`1 @0 "1": row has 1 field, columns given are 2`}},
		{"ragged without a header", "1,2\r\n3\r\n", reading{d: Dialect{NoHeader: true}}, "1|2",
			[]string{`2 @5 "3": row has 1 field, first row has 2`}},
		{"pad does not trim", "a,b\n1\n1,2,3\n", reading{d: Dialect{Ragged: RaggedPad}}, "1|∅",
			[]string{`2 @6 "1,2,3": row has 3 fields, header has 2`}},
		{"trim does not pad", "a,b\n1\n1,2,3\n", reading{d: Dialect{Ragged: RaggedTrim}}, "1|2",
			[]string{`1 @4 "1": row has 1 field, header has 2`}},
		{"ragged over two lines", "a,b\n\"1\n2\"\n3,4\n", reading{}, "3|4",
			[]string{`1 @4 "\"1\n2\"": row has 1 field, header has 2`}},
		{"too long", "a,b\n1,234567\n3,4\n", reading{d: Dialect{MaxRow: 6}}, "3|4",
			[]string{`1 @4 "1,2345": row longer than 6 bytes`}},
		{"far too long", "a,b\n" + strings.Repeat("x", 99) + "\n3,4\n", reading{d: Dialect{MaxRow: 6}}, "3|4",
			[]string{`1 @4 "xxxxxx": row longer than 6 bytes`}},
		{"too long at the end", "a,b\n3,4\n" + strings.Repeat("x", 99), reading{d: Dialect{MaxRow: 6}}, "3|4",
			[]string{`2 @8 "xxxxxx": row longer than 6 bytes`}},
		{"too long in quotes", "a,b\n\"x\n3,4\n5,6\",7\n", reading{d: Dialect{MaxRow: 8}}, "3|4", []string{
			`1 @4 "\"x": row longer than 8 bytes`,
			`3 @11 "5,6\",7": quote in an unquoted field: "6\"" (column 2, "b")`}},
		{"long comment", "a,b\n#234567\n3,4\n", reading{d: Dialect{MaxRow: 6, Comment: '#'}}, "3|4",
			[]string{`1 @4 "#23456": row longer than 6 bytes`}},
		{"escape at the end", "a,b\n1,2\\", reading{d: Dialect{Escape: '\\'}}, "",
			[]string{`1 @4 "1,2\\": nothing after the escape: "2\\" (column 2, "b")`}},
		{"a long excerpt is cut", "a,b\n1," + strings.Repeat("x", 50) + "\"\n", reading{}, "",
			[]string{`1 @4 "1,` + strings.Repeat("x", 50) + `\"": quote in an unquoted field: "` + strings.Repeat("x", 40) + `"… (column 2, "b")`}},
		{"no header, first row bad", "x\"\n1,2\n", reading{d: Dialect{NoHeader: true}}, "1|2",
			[]string{`1 @0 "x\"": quote in an unquoted field: "x\"" (column 1, "col_1")`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, block := range []int{1, 2, 3, 5, 8, 64, 1 << 16} {
				r := test.r
				r.block = block
				r.exact = true
				p := r.parse(strings.NewReader(test.in))
				if p.err != nil {
					t.Fatal(p.err)
				}
				if want := table(test.want); !reflect.DeepEqual(p.rows, want) {
					t.Errorf("block %d: good rows\n got %q\nwant %q", block, p.rows, want)
				}
				if got := badTexts(p.bad); !reflect.DeepEqual(got, test.bad) {
					t.Errorf("block %d: bad rows\n got %q\nwant %q", block, got, test.bad)
				}
				r.exact = false
				p = r.parse(strings.NewReader(test.in))
				if got := badTexts(p.bad); !reflect.DeepEqual(got, test.bad[:1]) {
					t.Errorf("block %d: first bad row\n got %q\nwant %q", block, got, test.bad[:1])
				}
			}
		})
	}
}

func badTexts(bad []BadRow) []string {
	var list []string
	for _, b := range bad {
		list = append(list, fmt.Sprintf("%d @%d %q: %v", b.Row, b.Offset, b.Raw, b.Err))
	}
	return list
}

func TestNumbersAndOffsets(t *testing.T) {
	const in = "a,b\n\n1,2\nbad\n3,4\n"
	for _, block := range []int{1, 4, 100} {
		p := reading{exact: true, block: block}.parse(strings.NewReader(in))
		if want := []int64{1, 3}; !slices.Equal(p.numbers, want) {
			t.Errorf("block %d: numbers %v, want %v", block, p.numbers, want)
		}
		if want := []int64{5, 13}; !slices.Equal(p.offsets, want) {
			t.Errorf("block %d: offsets %v, want %v", block, p.offsets, want)
		}
	}
}

func TestHeaderErrors(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name string
		in   io.Reader
		d    Dialect
		want string
	}{
		{"empty", strings.NewReader(""), Dialect{}, ErrNoHeader.Error()},
		{"only a BOM", strings.NewReader("\ufeff"), Dialect{}, ErrNoHeader.Error()},
		{"only empty lines", strings.NewReader("\n\r\n"), Dialect{}, ErrNoHeader.Error()},
		{"all lines skipped", strings.NewReader("a,b\n1,2"), Dialect{SkipLines: 9}, ErrNoHeader.Error()},
		{"UTF-16", strings.NewReader("\xff\xfea\x00"), Dialect{}, `the source begins with a UTF-16 byte order mark: convert it to UTF-8 first, as FromCharset("utf-16") does`},
		{"UTF-16, big-endian", strings.NewReader("\xfe\xff\x00a"), Dialect{}, `the source begins with a UTF-16 byte order mark: convert it to UTF-8 first, as FromCharset("utf-16") does`},
		{"UTF-32", strings.NewReader("\xff\xfe\x00\x00a\x00\x00\x00"), Dialect{}, "the source begins with a UTF-32 byte order mark: convert it to UTF-8 first"},
		{"malformed", strings.NewReader("a,b\"c\n"), Dialect{}, `header row: quote in an unquoted field: "b\"c" (column 2)`},
		{"unterminated", strings.NewReader("a,\"b\n1,2\n"), Dialect{}, `header row: unterminated quote: "\"b" (column 2)`},
		{"too long", strings.NewReader("abc,def\n"), Dialect{MaxRow: 3}, `header row: row longer than 3 bytes`},
		{"source fails in skipped lines", iotest.ErrReader(broken), Dialect{SkipLines: 1}, "broken"},
		{"source fails without a header", iotest.ErrReader(broken), Dialect{NoHeader: true}, "broken"},
		{"source fails", iotest.ErrReader(broken), Dialect{}, "broken"},
		{"source ends early", iotest.ErrReader(io.ErrUnexpectedEOF), Dialect{}, "unexpected EOF"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := NewScanner(test.in, test.d.Resolve(), nil, 8)
			_, err := s.Header()
			if err == nil || err.Error() != test.want {
				t.Fatalf("Header: %v, want %s", err, test.want)
			}
			_, next := s.Next()
			if errors.Is(err, ErrNoHeader) && next != io.EOF || !errors.Is(err, ErrNoHeader) && next != err {
				t.Errorf("Next after %v: %v", err, next)
			}
		})
	}
}

func TestEmptySourceWithoutHeader(t *testing.T) {
	p := reading{d: Dialect{NoHeader: true}}.parse(strings.NewReader(""))
	if p.err != nil || len(p.header) != 0 || len(p.rows) != 0 {
		t.Errorf("got %+v", p)
	}
}

// scriptReader answers Reads one after the other, then with err.
type scriptReader struct {
	answers  []string
	err      error
	together bool // the error comes with the last answer
}

func (r *scriptReader) Read(p []byte) (int, error) {
	if len(r.answers) == 0 {
		return 0, r.err
	}
	n := copy(p, r.answers[0])
	if r.answers[0] = r.answers[0][n:]; r.answers[0] == "" {
		r.answers = r.answers[1:]
	}
	if len(r.answers) == 0 && r.together {
		return n, r.err
	}
	return n, nil
}

func TestSources(t *testing.T) {
	broken := errors.New("broken")
	empties := make([]string, 99)
	tests := []struct {
		name string
		src  io.Reader
		rows int
		want error
	}{
		{"EOF with the last bytes", &scriptReader{[]string{"a,b\n1,2\n3,", "4"}, io.EOF, true}, 2, nil},
		{"an error behind whole rows", &scriptReader{[]string{"a,b\n1,2\n3,", "4"}, broken, false}, 1, broken},
		{"an error with the last bytes", &scriptReader{[]string{"a,b\n1,2\n3,4\n"}, broken, true}, 2, broken},
		{"io.ErrUnexpectedEOF is an error", &scriptReader{[]string{"a,b\n1,2\n"}, io.ErrUnexpectedEOF, true}, 1, io.ErrUnexpectedEOF},
		{"99 empty reads", &scriptReader{slices.Concat([]string{"a,b\n"}, empties, []string{"1,2"}, empties), io.EOF, false}, 1, nil},
		{"empty reads for ever", &scriptReader{[]string{"a,b\n1,2\n"}, nil, false}, 1, io.ErrNoProgress},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := reading{}.parse(test.src)
			if len(p.rows) != test.rows || p.err != test.want {
				t.Errorf("%d rows, error %v; want %d, %v", len(p.rows), p.err, test.rows, test.want)
			}
		})
	}
}

type lyingReader struct{ n int }

func (r lyingReader) Read(p []byte) (int, error) { return len(p) + r.n, nil }

func TestReaderThatLies(t *testing.T) {
	for _, n := range []int{1, -1 << 30} {
		p := reading{}.parse(lyingReader{n})
		if p.err == nil || !strings.Contains(p.err.Error(), "the source's Read returned") {
			t.Errorf("error %v", p.err)
		}
	}
}

// A quote that is never closed must not make the scanner collect what follows.
func TestStrayQuoteStaysSmall(t *testing.T) {
	in := "a,b\nx\"y,1\n" + strings.Repeat("1,2\n", 1<<16)
	s := NewScanner(strings.NewReader(in), Dialect{}.Resolve(), nil, 1<<10)
	block, err := s.Next()
	if err != nil || len(block.Text) > 1<<12 {
		t.Fatalf("first block has %d bytes, error %v", len(block.Text), err)
	}
	if _, bad := s.Decode(block); len(bad) != 1 || bad[0].Raw != "x\"y,1" {
		t.Errorf("bad rows %+v", bad)
	}
}

func TestBlockMemoryIsFresh(t *testing.T) {
	s := NewScanner(strings.NewReader("a\n"+strings.Repeat("x\n", 1000)), Dialect{}.Resolve(), nil, 16)
	var texts, copies []string
	for {
		b, err := s.Next()
		if err == io.EOF {
			break
		}
		texts, copies = append(texts, b.Text), append(copies, strings.Clone(b.Text))
	}
	if !slices.Equal(texts, copies) {
		t.Error("the text of a block changed after it was handed out")
	}
}
