package s3writer_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

// chains are one of every way that bytes can take: as they are, through a
// writer, through each kind of record step and encoder.
var chains = []struct {
	name       string
	processors []s3writer.Processor
	key        string // of the object
	records    bool   // rows are looked at
}{
	{"copy", nil, "t.csv", false},
	{"gzip", []s3writer.Processor{s3writer.Gzip()}, "t.csv.gz", false},
	{"filter", []s3writer.Processor{s3writer.Filter(func(s3writer.Record) bool { return true })}, "t.csv", true},
	{"select", []s3writer.Processor{s3writer.Select("name")}, "t.csv", true},
	{"csv", []s3writer.Processor{s3writer.FormatCSV(s3writer.CSV{})}, "t.csv", true},
	{"jsonlines", []s3writer.Processor{s3writer.JSONLines()}, "t.jsonl", true},
	{"encoder", []s3writer.Processor{s3writer.EncoderFunc("txt", newLines)}, "t.txt", true},
	{"select, jsonlines, gzip", []s3writer.Processor{s3writer.Select("id", "name"), s3writer.JSONLines(), s3writer.Gzip()}, "t.jsonl.gz", true},
}

// lines is an Encoder that writes the fields of a record one after the other.
type lines struct{ w io.Writer }

func newLines(w io.Writer, _ []s3writer.Column) (s3writer.Encoder, error) { return lines{w}, nil }

func (l lines) Encode(b *s3writer.Batch) error {
	for r := range b.All() {
		for i := range r.Len() {
			if _, err := io.WriteString(l.w, r.Field(i).String()+"|"); err != nil {
				return err
			}
		}
		if _, err := io.WriteString(l.w, "\n"); err != nil {
			return err
		}
	}
	return nil
}

func (l lines) Close() error { return nil }

// TestUnusualInput is about input that is no mistake, though it looks like one.
func TestUnusualInput(t *testing.T) {
	for _, test := range []struct {
		name, in string
		want     map[string]string // by chain; what differs from in, unzipped
	}{
		{"empty", "", map[string]string{
			"filter": `s3writer: table "t.csv": step 1 Filter: the source is empty: there is no header row to take the columns from`,
			"select": `s3writer: table "t.csv": step 1 Select: the source is empty: there is no header row to take the columns from`,
			"select, jsonlines, gzip": `s3writer: table "t.csv": step 1 Select: the source is empty: ` +
				`there is no header row to take the columns from`}},
		{"header only", "id,name\n", map[string]string{
			"select": "name\n", "jsonlines": "", "encoder": "", "select, jsonlines, gzip": ""}},
		{"no final newline", "id,name\n1,a\n2,b", map[string]string{
			"filter": "id,name\n1,a\n2,b\n", "select": "name\na\nb\n", "csv": "id,name\n1,a\n2,b\n",
			"jsonlines": `{"id":"1","name":"a"}` + "\n" + `{"id":"2","name":"b"}` + "\n", "encoder": "1|a|\n2|b|\n",
			"select, jsonlines, gzip": `{"id":"1","name":"a"}` + "\n" + `{"id":"2","name":"b"}` + "\n"}},
		{"header without a newline", "id,name", map[string]string{
			"filter": "id,name\n", "select": "name\n", "csv": "id,name\n", "jsonlines": "", "encoder": "", "select, jsonlines, gzip": ""}},
		{"NUL bytes", "id,name\n1,a\x00b\n", map[string]string{
			"select": "name\na\x00b\n", "jsonlines": `{"id":"1","name":"a\u0000b"}` + "\n", "encoder": "1|a\x00b|\n",
			"select, jsonlines, gzip": `{"id":"1","name":"a\u0000b"}` + "\n"}},
		{"byte order mark", "\xef\xbb\xbfid,name\n1,a\n", map[string]string{
			"filter": "id,name\n1,a\n", "select": "name\na\n", "csv": "id,name\n1,a\n",
			"jsonlines": `{"id":"1","name":"a"}` + "\n", "encoder": "1|a|\n", "select, jsonlines, gzip": `{"id":"1","name":"a"}` + "\n"}},
		{"invalid UTF-8", "id,name\n1,a\n2,b\xff\xc0\n", map[string]string{
			"select": "name\na\nb\xff\xc0\n", "encoder": "1|a|\n2|b\xff\xc0|\n",
			"jsonlines":               `s3writer: table "t.csv": step 1 JSONLines: row 2 (byte 12): column "name": not valid UTF-8: "b\xff\xc0"`,
			"select, jsonlines, gzip": `s3writer: table "t.csv": step 2 JSONLines: row 2 (byte 12): column "name": not valid UTF-8: "b\xff\xc0"`}},
	} {
		for _, chain := range chains {
			t.Run(test.name+"/"+chain.name, func(t *testing.T) {
				srv := newServer(t)
				want, ok := test.want[chain.name]
				if !ok {
					want = test.in
				}
				_, err := newWriter(t, srv).Write(t.Context(), csv("t.csv", test.in, chain.processors...))
				if strings.HasPrefix(want, "s3writer: ") {
					wantText(t, err, want)
					wantNothing(t, srv)
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				wantStored(t, srv, chain.key, want)
			})
		}
	}
}

// TestEmptyWithoutHeader is a table of no rows, whatever its columns would be.
func TestEmptyWithoutHeader(t *testing.T) {
	total := s3writer.RecordFunc(func([]s3writer.Column) (s3writer.RecordStep, error) {
		return s3writer.RecordStep{
			Columns: []s3writer.Column{{Name: "total"}},
			Row:     func(s3writer.Record, *s3writer.Emitter) error { return nil },
			End:     func(out *s3writer.Emitter) error { out.Text("0"); out.EndRow(); return nil },
		}, nil
	})
	all := func(s3writer.Record) bool { return true }
	value := func(r s3writer.Record) (s3writer.Value, error) { return r.Value("col_1"), nil }
	for _, test := range []struct {
		name  string
		steps []s3writer.Processor
		want  string
	}{
		{"none", nil, ""},
		{"Filter", []s3writer.Processor{s3writer.Filter(all), s3writer.Limit(1)}, ""},
		{"Select", []s3writer.Processor{s3writer.Select("col_1"), s3writer.Hash([]byte("k"), "col_1")}, ""},
		{"Drop", []s3writer.Processor{s3writer.Drop("col_1"), s3writer.Rename("col_2", "id"), s3writer.Typed("id", s3writer.Int64Type)}, ""},
		{"all columns", []s3writer.Processor{s3writer.Trim(), s3writer.Dedupe()}, ""},
		{"added columns", []s3writer.Processor{s3writer.RowNumber("n"), s3writer.AddColumn("x", "y"), s3writer.Derive("z", value), s3writer.Select("col_1", "z")}, ""},
		{"a header", []s3writer.Processor{s3writer.AddColumn("x", "y"), s3writer.FormatCSV(s3writer.CSV{})}, ""},
		{"SplitRows", []s3writer.Processor{s3writer.Select("col_1"), s3writer.SplitRows(1)}, ""},
		{"RecordFunc", []s3writer.Processor{s3writer.Select("col_1"), total, s3writer.Filter(all)}, "0\n"},
		{"RecordFunc's columns", []s3writer.Processor{total, s3writer.Select("col_1")},
			`s3writer: table "t.csv": step 2 Select: no column "col_1": there are total`},
		{"PartitionBy", []s3writer.Processor{s3writer.PartitionBy("col_1")}, "no object"},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			table := csv("t.csv", "", test.steps...)
			table.CSV = s3writer.CSV{NoHeader: true}
			_, err := newWriter(t, srv).Write(t.Context(), table)
			if strings.HasPrefix(test.want, "s3writer: ") {
				wantText(t, err, test.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			keys := srv.Keys(bucket)
			if test.want == "no object" && len(keys) == 0 {
				return
			}
			if len(keys) != 1 {
				t.Fatalf("objects %q", keys)
			}
			wantObject(t, srv, keys[0], test.want)
		})
	}
}

// wantStored is wantObject for an object that may be compressed.
func wantStored(t testing.TB, srv *s3writertest.Server, key, want string) {
	t.Helper()
	body, _ := srv.Get(bucket, key)
	if strings.HasSuffix(key, ".gz") {
		body = []byte(gunzip(t, body))
	}
	if string(body) != want {
		t.Errorf("object %q: got %q, want %q", key, body, want)
	}
}

// TestBadRows is about rows that are not well formed: whatever looks at rows
// refuses them, whatever copies bytes does not look.
func TestBadRows(t *testing.T) {
	for _, test := range []struct {
		name string
		csv  s3writer.CSV
		in   string
		want string
	}{
		{"too few fields", s3writer.CSV{}, "id,name\n1,a\n2\n3,c\n",
			`row 2 (byte 12): row has 1 field, header has 2`},
		{"too many fields", s3writer.CSV{}, "id,name\n1,a\n2,b,x\n3,c\n",
			`row 2 (byte 12): row has 3 fields, header has 2`},
		{"unterminated quote", s3writer.CSV{}, "id,name\n1,a\n2,\"b\n3,c\n",
			`row 2 (byte 12): unterminated quote: "\"b" (column 2, "name")`},
		{"quote in a bare field", s3writer.CSV{}, "id,name\n1,a\n2,b\"b\n3,c\n",
			`row 2 (byte 12): quote in an unquoted field: "b\"b" (column 2, "name")`},
		{"text after a quote", s3writer.CSV{}, "id,name\n1,a\n2,\"b\"b\n3,c\n",
			`row 2 (byte 12): text after a closing quote: "\"b\"b" (column 2, "name")`},
		{"over-long row", s3writer.CSV{MaxRow: 20}, "id,name\n1,a\n2," + strings.Repeat("b", 19) + "\n3,c\n",
			`row 2 (byte 12): row longer than 20 bytes`},
		{"over-long row without an end", s3writer.CSV{MaxRow: 20}, "id,name\n1,a\n2," + strings.Repeat("b", 1<<20),
			`row 2 (byte 12): row longer than 20 bytes`},
		{"over-long header", s3writer.CSV{MaxRow: 6}, "id,name\n1,a\n",
			`source: header row: row longer than 6 bytes`},
		{"unterminated quote in the header", s3writer.CSV{}, "id,\"name\n1,a\n",
			`source: header row: unterminated quote: "\"name" (column 2)`},
		{"nothing after the escape", s3writer.CSV{Escape: '\\'}, "id,name\n1,a\\",
			`row 1 (byte 8): nothing after the escape: "a\\" (column 2, "name")`},
		{"short row without a header", s3writer.CSV{NoHeader: true}, "1,a\n2\n",
			`row 2 (byte 4): row has 1 field, first row has 2`},
		{"short row that is not padded", s3writer.CSV{Ragged: s3writer.RaggedTrim}, "id,name\n1,a,x\n2\n",
			`row 2 (byte 14): row has 1 field, header has 2`},
		{"long row that is not trimmed", s3writer.CSV{Ragged: s3writer.RaggedPad}, "id,name\n1\n2,b,x\n",
			`row 2 (byte 10): row has 3 fields, header has 2`},
		{"byte order mark of UTF-16", s3writer.CSV{}, "\xff\xfei\x00d\x00\n\x00",
			`source: the source begins with a UTF-16 byte order mark: convert it to UTF-8 first, as FromCharset("utf-16") does`},
		{"byte order mark of UTF-32", s3writer.CSV{}, "\x00\x00\xfe\xff\x00\x00\x00i",
			`source: the source begins with a UTF-32 byte order mark: convert it to UTF-8 first`},
	} {
		for _, chain := range chains {
			if !chain.records || test.csv.NoHeader && strings.HasPrefix(chain.name, "select") {
				continue
			}
			t.Run(test.name+"/"+chain.name, func(t *testing.T) {
				srv := newServer(t)
				table := csv("t.csv", test.in, chain.processors...)
				table.CSV = test.csv
				_, err := newWriter(t, srv).Write(t.Context(), table)
				wantText(t, err, `s3writer: table "t.csv": `+test.want)
				wantNothing(t, srv)
			})
		}
		if test.csv != (s3writer.CSV{}) || strings.HasPrefix(test.name, "byte order mark") {
			continue
		}
		t.Run(test.name+"/copied", func(t *testing.T) {
			srv := newServer(t)
			write(t, newWriter(t, srv), csv("t.csv", test.in))
			wantObject(t, srv, "t.csv", test.in)
		})
	}
}

// TestBadRowFarBehind finds a row with the right number behind many blocks.
func TestBadRowFarBehind(t *testing.T) {
	const good = 20_000
	row := "1," + strings.Repeat("a", 47) + "\n"
	in := "id,name\n" + strings.Repeat(row, good) + "2\n" + strings.Repeat(row, good)
	for _, chain := range chains {
		if !chain.records {
			continue
		}
		t.Run(chain.name, func(t *testing.T) {
			srv := newServer(t)
			_, err := newWriter(t, srv).Write(t.Context(), csv("t.csv", in, chain.processors...))
			wantText(t, err, fmt.Sprintf(`s3writer: table "t.csv": row %d (byte %d): row has 1 field, header has 2`, good+1, 8+50*good))
			wantNothing(t, srv)
		})
	}
}

// TestUnknownColumn names a column that is not there, in every processor that
// can name one.
func TestUnknownColumn(t *testing.T) {
	const known = `no column "nmae": there are id, name`
	for _, test := range []struct {
		name string
		p    s3writer.Processor
		want string
	}{
		{"Select", s3writer.Select("id", "nmae"), `step 1 Select: ` + known},
		{"Drop", s3writer.Drop("nmae"), `step 1 Drop: ` + known},
		{"Rename", s3writer.Rename("nmae", "n"), `step 1 Rename: ` + known},
		{"Typed", s3writer.Typed("nmae", s3writer.Int64Type), `step 1 Typed: ` + known},
		{"Hash", s3writer.Hash([]byte("key"), "nmae"), `step 1 Hash: ` + known},
		{"Filter", s3writer.Filter(func(r s3writer.Record) bool { return r.Get("nmae") != "" }),
			`step 1 Filter: row 1 (byte 8): ` + known},
		{"Filter, Value", s3writer.Filter(func(r s3writer.Record) bool { return r.Value("nmae").IsNull() }),
			`step 1 Filter: row 1 (byte 8): ` + known},
		{"Derive", s3writer.Derive("n", func(r s3writer.Record) (s3writer.Value, error) { return r.Value("nmae"), nil }),
			`step 1 Derive: row 1 (byte 8): ` + known},
		{"RecordFunc", s3writer.RecordFunc(func([]s3writer.Column) (s3writer.RecordStep, error) {
			return s3writer.RecordStep{Row: func(r s3writer.Record, _ *s3writer.Emitter) error { r.Get("nmae"); return nil }}, nil
		}), `step 1 RecordFunc: row 1 (byte 8): ` + known},
		{"behind Select", s3writer.Chain(s3writer.Select("id"), s3writer.Drop("name")),
			`step 2 Drop: no column "name": there are id`},
		{"Named", s3writer.Named("pick", s3writer.Select("nmae")), `step 1 pick: ` + known},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			_, err := newWriter(t, srv).Write(t.Context(), csv("t.csv", "id,name\n1,a\n", test.p))
			wantText(t, err, `s3writer: table "t.csv": `+test.want)
			wantNothing(t, srv)
		})
	}
}

// TestColumnNames is about header rows whose names are not fit for steps.
func TestColumnNames(t *testing.T) {
	for _, test := range []struct {
		name, in string
		p        []s3writer.Processor
		want     string // an error, or the object
	}{
		{"twice", "id,name,id\n1,a,b\n", []s3writer.Processor{s3writer.Limit(9)},
			`s3writer: table "t.csv": columns 1 and 3 are both called "id"`},
		{"twice, to JSON", "id,name,id\n1,a,b\n", []s3writer.Processor{s3writer.JSONLines()},
			`s3writer: table "t.csv": step 1 JSONLines: columns 1 and 3 are both called "id"`},
		{"twice, to an encoder", "id,name,id\n1,a,b\n", []s3writer.Processor{s3writer.EncoderFunc("", newLines)},
			`s3writer: table "t.csv": step 1 EncoderFunc: columns 1 and 3 are both called "id"`},
		{"twice, and selected", "id,name,id\n1,a,b\n", []s3writer.Processor{s3writer.Select("id")},
			`s3writer: table "t.csv": step 1 Select: columns 1 and 3 are both called "id"`},
		{"twice, and asked for", "id,name,id\n1,a,b\n", []s3writer.Processor{
			s3writer.Filter(func(r s3writer.Record) bool { return r.Get("id") != "" }), s3writer.Drop("id")},
			`s3writer: table "t.csv": step 1 Filter: row 1 (byte 11): columns 1 and 3 are both called "id"`},
		{"twice, and dropped", "id,name,id\n1,a,b\n", []s3writer.Processor{s3writer.Drop("id")}, "name\na\n"},
		{"twice, one of them renamed away", "id,name,id\n1,a,b\n", []s3writer.Processor{s3writer.Select("name")}, "name\na\n"},
		{"made equal by Rename", "id,name\n1,a\n", []s3writer.Processor{s3writer.Rename("id", "name")},
			`s3writer: table "t.csv": step 1 Rename: columns 1 and 2 are both called "name"`},
		{"swapped by Rename", "id,name\n1,a\n", []s3writer.Processor{s3writer.Rename("id", "name", "name", "id")}, "name,id\n1,a\n"},
		{"twice, and another renamed", "id,name,id\n1,a,b\n", []s3writer.Processor{s3writer.Rename("name", "n"), s3writer.Drop("id")}, "n\na\n"},
		{"not UTF-8, to JSON", "id,\xff\n1,a\n", []s3writer.Processor{s3writer.JSONLines()},
			`s3writer: table "t.csv": step 1 JSONLines: the name of column 2 is not valid UTF-8: "\xff"`},
		{"made twice by a RecordFunc", "id\n1\n", []s3writer.Processor{makes("a", "a"), s3writer.Limit(9)},
			`s3writer: table "t.csv": step 1 RecordFunc: the opened RecordStep's columns: columns 1 and 2 are both called "a"`},
		{"made without a name", "id\n1\n", []s3writer.Processor{s3writer.Limit(9), makes("")},
			`s3writer: table "t.csv": step 2 RecordFunc: the opened RecordStep's columns: column 1 has no name`},
		{"none made", "id\n1\n", []s3writer.Processor{makes()},
			`s3writer: table "t.csv": step 1 RecordFunc: the opened RecordStep's columns: there are none; leave Columns nil for those that came in`},
		{"empty", "id,,x\n1,a,b\n", []s3writer.Processor{s3writer.Limit(9)},
			`s3writer: table "t.csv": column 2 has no name`},
		{"empty, and left out", "id,,x\n1,a,b\n", []s3writer.Processor{s3writer.Select("x")}, "x\nb\n"},
		{"added twice", "id\n1\n", []s3writer.Processor{s3writer.AddColumn("id", "x")},
			`s3writer: table "t.csv": step 1 AddColumn: there is a column "id" already; Derive replaces one`},
		{"numbered twice", "id\n1\n", []s3writer.Processor{s3writer.RowNumber("id")},
			`s3writer: table "t.csv": step 1 RowNumber: there is a column "id" already; Derive replaces one`},
		{"all dropped", "id\n1\n", []s3writer.Processor{s3writer.Drop("id")},
			`s3writer: table "t.csv": step 1 Drop: no column would be left`},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			_, err := newWriter(t, srv).Write(t.Context(), csv("t.csv", test.in, test.p...))
			if !strings.HasPrefix(test.want, "s3writer: ") {
				if err != nil {
					t.Fatal(err)
				}
				wantObject(t, srv, "t.csv", test.want)
				return
			}
			wantText(t, err, test.want)
			wantNothing(t, srv)
		})
	}
}

// makes is a step whose records have the given columns.
func makes(names ...string) s3writer.Processor {
	columns := []s3writer.Column{}
	for _, name := range names {
		columns = append(columns, s3writer.Column{Name: name})
	}
	return s3writer.RecordFunc(func([]s3writer.Column) (s3writer.RecordStep, error) {
		return s3writer.RecordStep{Columns: columns, Row: func(s3writer.Record, *s3writer.Emitter) error { return nil }}, nil
	})
}

// TestUnknownType is refused wherever columns are named with one.
func TestUnknownType(t *testing.T) {
	columns := []s3writer.Column{{Name: "id", Type: 99}}
	step := s3writer.RecordFunc(func([]s3writer.Column) (s3writer.RecordStep, error) {
		return s3writer.RecordStep{Columns: columns, Row: func(s3writer.Record, *s3writer.Emitter) error { return nil }}, nil
	})
	srv := newServer(t)
	w := newWriter(t, srv)
	_, err := w.Write(t.Context(), s3writer.NewTable("t.csv", s3writer.Values(columns, func(func([]s3writer.Value, error) bool) {})))
	wantText(t, err, `s3writer: table "t.csv": Source: column "id": there is no type 99`)
	_, err = w.Write(t.Context(), csv("t.csv", "id\n1\n", step))
	wantText(t, err, `s3writer: table "t.csv": step 1 RecordFunc: the opened RecordStep's columns: column "id": there is no type 99`)
	wantNothing(t, srv)
}

// TestColumnNamesWithoutHeader are held to the same, where no object shows them.
func TestColumnNamesWithoutHeader(t *testing.T) {
	for _, test := range []struct {
		name    string
		columns []string
		p       []s3writer.Processor
		want    string
	}{
		{"twice", []string{"id", "name", "id"}, nil, `s3writer: table "t.csv": columns 1 and 3 are both called "id"`},
		{"empty", []string{"id", "", "x"}, []s3writer.Processor{s3writer.Limit(9)}, `s3writer: table "t.csv": column 2 has no name`},
		{"split", []string{"id", "", "x"}, []s3writer.Processor{s3writer.SplitRows(1)}, `s3writer: table "t.csv": column 2 has no name`},
		{"formatted", []string{"id", "name", "id"}, []s3writer.Processor{s3writer.FormatCSV(s3writer.CSV{NoHeader: true})},
			`s3writer: table "t.csv": step 1 FormatCSV: columns 1 and 3 are both called "id"`},
		{"dropped", []string{"id", "name", "id"}, []s3writer.Processor{s3writer.Drop("id")}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			table := csv("t.csv", "1,a,b\n", test.p...)
			table.Columns = test.columns
			_, err := newWriter(t, srv).Write(t.Context(), table)
			wantText(t, err, test.want)
			if test.want != "" {
				wantNothing(t, srv)
			}
		})
	}
}

// bufferSizes are the library's own affair.
var bufferSizes = regexp.MustCompile(`(count of |buffer of )\d+`)

type errorString string

func (e errorString) Error() string { return string(e) }

// TestBadReader is about sources that fail, each on every way through the
// library, after a first part has been sent as well as at once.
func TestBadReader(t *testing.T) {
	small := "id,name\n1,a\n"
	large := "id,name\n" + strings.Repeat("1,"+strings.Repeat("a", 4093)+"\n", 9<<8) // 9 MiB: a part is on its way
	var nilFile *os.File
	var nilSource *s3writer.Source
	for _, test := range []struct {
		name string
		src  func(text string) io.Reader
		want string
	}{
		{"fails", func(text string) io.Reader { return failing(text, errBroken) }, `source: the line is broken`},
		{"ends too early", func(text string) io.Reader { return failing(text, io.ErrUnexpectedEOF) }, `source: unexpected EOF`},
		{"returns nothing for ever", func(text string) io.Reader { return failing(text, nil) },
			`source: multiple Read calls return no data or error`},
		{"returns bytes and an error", func(text string) io.Reader {
			r := strings.NewReader(text)
			return readerFunc(func(p []byte) (int, error) {
				n, _ := r.Read(p)
				if r.Len() == 0 {
					return n, errBroken
				}
				return n, nil
			})
		}, `source: the line is broken`},
		{"counts below zero", func(text string) io.Reader {
			return io.MultiReader(strings.NewReader(text), readerFunc(func(p []byte) (int, error) { return -1, nil }))
		}, `source: the reader returned a count of -1 for a buffer of N bytes`},
		{"counts too many", func(text string) io.Reader {
			return io.MultiReader(strings.NewReader(text), readerFunc(func(p []byte) (int, error) { return len(p) + 1, nil }))
		}, `source: the reader returned a count of N for a buffer of N bytes`},
		{"panics", func(text string) io.Reader {
			return io.MultiReader(strings.NewReader(text), readerFunc(func([]byte) (int, error) { panic("boom") }))
		}, `source: panic: boom`},
		{"does not open", func(string) io.Reader {
			return s3writer.SourceFunc(func(context.Context) (io.ReadCloser, error) { return nil, errBroken })
		}, `source: the line is broken`},
		{"opens nothing", func(string) io.Reader {
			return s3writer.SourceFunc(func(context.Context) (io.ReadCloser, error) { return nil, nil })
		}, `source: the source opened nothing`},
		{"panics as it opens", func(string) io.Reader {
			return s3writer.SourceFunc(func(context.Context) (io.ReadCloser, error) { panic("boom") })
		}, `source: panic: boom`},
		{"is a file that is not there", func(string) io.Reader { return s3writer.File(fstest.MapFS{}, "missing.csv") },
			`source: open missing.csv: file does not exist`},
		{"is of no file system", func(string) io.Reader { return s3writer.File(nil, "missing.csv") },
			`source: open missing.csv: the file system is nil`},
		{"has no function", func(string) io.Reader { return s3writer.SourceFunc(nil) },
			`source: the source has nothing to open; make one with File, Rows, Records, Values or SourceFunc`},
		{"is the zero Source", func(string) io.Reader { return new(s3writer.Source) },
			`source: the source has nothing to open; make one with File, Rows, Records, Values or SourceFunc`},
		{"is nil", func(string) io.Reader { return nil }, `Source is nil`},
		{"is a nil file", func(string) io.Reader { return nilFile }, `Source is nil`},
		{"is a nil Source", func(string) io.Reader { return nilSource }, `Source is nil`},
	} {
		for _, chain := range chains {
			for _, text := range []string{"", small, large} {
				if text == large && !slices.Contains([]string{"copy", "filter"}, chain.name) {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/%d bytes", test.name, chain.name, len(text)), func(t *testing.T) {
					srv := newServer(t)
					_, err := newWriter(t, srv).Write(t.Context(), s3writer.NewTable("t.csv", test.src(text), chain.processors...))
					if err != nil {
						err = errorString(bufferSizes.ReplaceAllString(err.Error(), "${1}N"))
					}
					wantText(t, err, `s3writer: table "t.csv": `+test.want)
					wantNothing(t, srv)
				})
			}
		}
	}
}
