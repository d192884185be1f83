package s3writer_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/klauspost/compress/gzip"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/processortest"
)

type values = []s3writer.Value

// perRow is a model of a processor that makes a row of every row.
func perRow(columns []string, row func(number int, in values) values) processortest.Want {
	return rowsWant(columns, func(number int, in values) []values { return []values{row(number, in)} })
}

// rowsWant is a model of a processor that makes rows of every row.
func rowsWant(columns []string, rows func(number int, in values) []values) processortest.Want {
	return processortest.Rows(func(in processortest.Table) processortest.Table {
		out := processortest.Table{Columns: columns}
		for i, row := range in.Rows {
			out.Rows = append(out.Rows, rows(i+1, row)...)
		}
		return out
	})
}

func number(n int) s3writer.Value { return s3writer.Text(strconv.Itoa(n)) }

const (
	anyUsers = "id,name,note\n" // rows are made up
	orders   = "id,amount,paid\n1,9.90,true\n2,,false\n3,-0.5,\n"
)

// contracts are the processors that keep the contract: the built-in ones, and those that the examples show.
var contracts = []struct {
	name string
	p    s3writer.Processor
	in   string
	want []processortest.Want
}{
	{"Select", s3writer.Select("note", "id"), anyUsers, []processortest.Want{
		perRow([]string{"note", "id"}, func(_ int, in values) values { return values{in[2], in[0]} })}},
	{"Drop", s3writer.Drop("name"), anyUsers, []processortest.Want{
		perRow([]string{"id", "note"}, func(_ int, in values) values { return values{in[0], in[2]} })}},
	{"Rename", s3writer.Rename("id", "name", "name", "id"), anyUsers, []processortest.Want{
		perRow([]string{"name", "id", "note"}, func(_ int, in values) values { return in })}},
	{"Filter", s3writer.Filter(noNote), anyUsers, []processortest.Want{noNoteRows}},
	{"Concurrent", s3writer.Concurrent(s3writer.Filter(noNote)), anyUsers, []processortest.Want{noNoteRows}},
	{"Derive", s3writer.Derive("size", size), anyUsers, []processortest.Want{
		perRow([]string{"id", "name", "note", "size"}, func(_ int, in values) values {
			return append(in[:3:3], number(len(in[2].String())))
		})}},
	{"Derive of a column that is there", s3writer.Concurrent(s3writer.Derive("name", size)), anyUsers, []processortest.Want{
		perRow([]string{"id", "name", "note"}, func(_ int, in values) values {
			return values{in[0], number(len(in[2].String())), in[2]}
		})}},
	{"Typed", s3writer.Chain(s3writer.Typed("amount", s3writer.DecimalType), s3writer.Typed("paid", s3writer.BoolType)), orders, nil},
	{"RecordFunc", perTag, "id,tags\n1,red big\n2,blue\n", []processortest.Want{
		processortest.Objects("id,tags\n1,red\n1,big\n2,blue\n"),
		rowsWant([]string{"id", "tags"}, func(_ int, in values) (out []values) {
			for _, tag := range strings.Split(in[1].String(), " ") {
				out = append(out, values{in[0], s3writer.Text(tag)})
			}
			return out
		})}},
	{"RecordFunc with an end", perCountry, "country,amount\nCZ,2\nCZ,3\nDE,5\n", []processortest.Want{
		processortest.Objects("country,total\nCZ,5\nDE,5\n"),
		processortest.Rows(sums)}},
	{"AddColumn", s3writer.AddColumn("source", "shop, \"1\""), anyUsers, []processortest.Want{
		perRow([]string{"id", "name", "note", "source"}, func(_ int, in values) values {
			return append(in[:3:3], s3writer.Text("shop, \"1\""))
		})}},
	{"Limit", s3writer.Limit(2), "", []processortest.Want{firstRows(2)}},
	{"Limit behind the first block", s3writer.Limit(12_345), "", []processortest.Want{firstRows(12_345)}},
	{"RowNumber", s3writer.RowNumber("number"), anyUsers, []processortest.Want{
		perRow([]string{"id", "name", "note", "number"}, func(n int, in values) values { return append(in[:3:3], number(n)) })}},
	{"Hash", s3writer.Hash([]byte("key"), "note"), anyUsers, []processortest.Want{
		perRow([]string{"id", "name", "note"}, func(_ int, in values) values { return values{in[0], in[1], hashed(in[2])} })}},
	{"Trim", s3writer.Trim("note"), anyUsers, []processortest.Want{
		perRow([]string{"id", "name", "note"}, func(_ int, in values) values { return values{in[0], in[1], trimmed(in[2])} })}},
	{"Redact", s3writer.Redact("note"), anyUsers, []processortest.Want{
		perRow([]string{"id", "name", "note"}, func(_ int, in values) values { return values{in[0], in[1], {}} })}},
	{"Dedupe", s3writer.Dedupe("id"), "id,name\n1,Ada\n2,Grace\n1,Barbara\n", []processortest.Want{
		processortest.Objects("id,name\n1,Ada\n2,Grace\n"), processortest.Rows(firstOfEach)}},
	{"Dedupe of whole rows", s3writer.Dedupe(), "", []processortest.Want{processortest.Rows(distinct)}},
	{"Chain of nothing", s3writer.Chain(), "", nil},
	{"Chain from end to end", s3writer.Chain(s3writer.Decompress(), s3writer.Select("id"), s3writer.JSONLines(), s3writer.Gzip()), anyUsers, nil},
	{"Named", s3writer.Named("numbers", s3writer.RowNumber("number")), anyUsers, nil},
	{"SplitRows", s3writer.Chain(s3writer.Limit(4), s3writer.SplitRows(3)), "id,name\n1,Ada\n2,Grace\n3,Barbara\n4,Edsger\n", []processortest.Want{
		processortest.Objects("id,name\n1,Ada\n2,Grace\n3,Barbara\n", "id,name\n4,Edsger\n"), firstRows(4)}},
	{"SplitRows of any table", s3writer.SplitRows(1_000), "", nil},
	{"SplitRows and Gzip", s3writer.Chain(s3writer.SplitRows(1_000), s3writer.Gzip()), "", nil},
	{"SplitSize", s3writer.SplitSize(64 << 10), "", nil},
	{"SplitSize and Zstd", s3writer.Chain(s3writer.SplitSize(16<<10), s3writer.Zstd()), anyUsers, nil},
	{"PartitionBy", s3writer.PartitionBy("country"), "id,country\n1,CZ\n2,DE\n3,CZ\n", []processortest.Want{
		processortest.Objects("id\n1\n3\n", "id\n2\n"), byCountry}},
	{"PartitionBy and SplitRows", s3writer.Chain(s3writer.PartitionBy("country"), s3writer.SplitRows(700), s3writer.JSONLines()), "id,country\n1,CZ\n2,DE\n3,CZ\n",
		[]processortest.Want{byCountry}},
	{"Dedupe where NULLs repeat", s3writer.Dedupe("note"), anyUsers, []processortest.Want{processortest.Rows(firstOfNote)}},
	{"FormatCSV", s3writer.FormatCSV(s3writer.CSV{}), "", nil},
	{"FormatCSV in the dialect of Hive", s3writer.FormatCSV(hive), "id,note\n1,a b\n2,\n", []processortest.Want{
		processortest.Dialect(hive), processortest.Objects("1\ta b\n2\t\\N\n"), processortest.RowPreserving()}},
	{"FormatCSV with all quotes", s3writer.FormatCSV(quoted), "", []processortest.Want{processortest.Dialect(quoted)}},
	{"JSONLines", s3writer.JSONLines(), "", nil},
	{"EncoderFunc", asXML, "id,name\n7,Ada & co\n8,Grace\n", []processortest.Want{
		processortest.Parse(parseXML),
		processortest.Objects("<rows>\n<row><id>7</id><name>Ada &amp; co</name></row>\n<row><id>8</id><name>Grace</name></row>\n</rows>\n"),
		processortest.RowPreserving()}},
	{"Gzip", s3writer.Gzip(), "", nil},
	{"GzipLevel", s3writer.GzipLevel(1), "", nil},
	{"Zstd", s3writer.Zstd(), "", nil},
	{"WriterFunc", encrypted, "", []processortest.Want{processortest.Undo(decrypt)}},
	{"Gzip and WriterFunc", s3writer.Chain(s3writer.Gzip(), inverted), "", []processortest.Want{processortest.Undo(invert)}},
	{"ReaderFunc", s3writer.ReaderFunc(func(r io.Reader) (io.Reader, error) { return lowerReader{r}, nil }), "id,name\n7,ADA\n8,GRACE\n", []processortest.Want{
		perRow([]string{"id", "name"}, func(_ int, in values) values {
			return values{in[0], s3writer.Text(strings.ToLower(in[1].String()))}
		})}},
	{"FromCharset and ToCharset", s3writer.Chain(s3writer.FromCharset("latin2"), s3writer.ToCharset("latin2")),
		"id,name\n1,\xf8\n", []processortest.Want{processortest.Objects("id,name\n1,\xf8\n")}},
	{"ToCharset", s3writer.ToCharset("utf-16le"), "", []processortest.Want{processortest.Undo(fromUTF16)}},
	{"ToCharsetLossy and Gzip", s3writer.Chain(s3writer.ToCharsetLossy("windows-1252"), s3writer.Gzip()), "id,name\n1,Ada\n", nil},
	{"FromCharset", s3writer.FromCharset("utf-16le"), "", []processortest.Want{processortest.Source(toUTF16)}},
	{"FromCharsetLossy", s3writer.FromCharsetLossy("utf-16le"), anyUsers, []processortest.Want{processortest.Source(toUTF16)}},
	{"Decompress of what is not compressed", s3writer.Decompress(), "", nil},
	{"Decompress", s3writer.Decompress(), "", []processortest.Want{processortest.Source(gzipped)}},
}

// TestContracts holds every processor to its contract.
func TestContracts(t *testing.T) {
	for _, tt := range contracts {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if err := processortest.Test(tt.p, tt.in, tt.want...); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestContractsAreComplete asks that no built-in processor is forgotten.
func TestContractsAreComplete(t *testing.T) {
	var held strings.Builder
	for _, tt := range contracts {
		held.WriteString(tt.name + " ")
	}
	for _, typ := range parsePackage(t, ".").doc.Types {
		if typ.Name != "Processor" {
			continue
		}
		for _, f := range typ.Funcs {
			if !slices.Contains(strings.Fields(held.String()), f.Name) {
				t.Errorf("no contract names %s", f.Name)
			}
		}
	}
}

// firstOfNote is the first row of each note.
func firstOfNote(in processortest.Table) processortest.Table {
	out := processortest.Table{Columns: in.Columns}
	seen := map[s3writer.Value]bool{}
	for _, row := range in.Rows {
		if !seen[row[2]] {
			seen[row[2]] = true
			out.Rows = append(out.Rows, row)
		}
	}
	return out
}

func noNote(r s3writer.Record) bool { return r.Get("note") == "" }

var noNoteRows = rowsWant([]string{"id", "name", "note"}, func(_ int, in values) []values {
	if in[2].String() != "" {
		return nil
	}
	return []values{in}
})

func size(r s3writer.Record) (s3writer.Value, error) { return number(len(r.Get("note"))), nil }

func firstRows(n int) processortest.Want {
	return processortest.Rows(func(in processortest.Table) processortest.Table {
		return processortest.Table{Columns: in.Columns, Rows: in.Rows[:min(n, len(in.Rows))]}
	})
}

func hashed(v s3writer.Value) s3writer.Value {
	if v.IsNull() {
		return v
	}
	mac := hmac.New(sha256.New, []byte("key"))
	io.WriteString(mac, v.String())
	return s3writer.Text(hex.EncodeToString(mac.Sum(nil)))
}

func trimmed(v s3writer.Value) s3writer.Value {
	if v.IsNull() {
		return v
	}
	return s3writer.Text(strings.TrimSpace(v.String()))
}

// firstOfEach has the first row of each value of the first column.
func firstOfEach(in processortest.Table) processortest.Table {
	return firstBy(in, func(row values) any { return row[0] })
}

func distinct(in processortest.Table) processortest.Table {
	return firstBy(in, func(row values) any { return fmt.Sprintf("%#v", row) })
}

func firstBy(in processortest.Table, key func(values) any) processortest.Table {
	out := processortest.Table{Columns: in.Columns}
	seen := map[any]bool{}
	for _, row := range in.Rows {
		if k := key(row); !seen[k] {
			seen[k] = true
			out.Rows = append(out.Rows, row)
		}
	}
	return out
}

func toUTF16(text []byte) (out []byte, err error) {
	for _, unit := range utf16.Encode([]rune(string(text))) {
		out = binary.LittleEndian.AppendUint16(out, unit)
	}
	return out, nil
}

func fromUTF16(r io.Reader) (io.Reader, error) {
	body, err := io.ReadAll(r)
	if len(body)%2 != 0 {
		return nil, errors.New("an odd number of bytes")
	}
	units := make([]uint16, len(body)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(body[2*i:])
	}
	return strings.NewReader(string(utf16.Decode(units))), err
}

var perTag = s3writer.RecordFunc(func([]s3writer.Column) (s3writer.RecordStep, error) {
	return s3writer.RecordStep{Row: func(r s3writer.Record, out *s3writer.Emitter) error {
		for tag := range strings.SplitSeq(r.Get("tags"), " ") {
			out.Copy(r, 0)
			out.Text(tag)
			out.EndRow()
		}
		return nil
	}}, nil
})

var perCountry = s3writer.RecordFunc(func([]s3writer.Column) (s3writer.RecordStep, error) {
	country, sum := "", 0
	total := func(out *s3writer.Emitter) error {
		if country != "" {
			out.Text(country)
			out.Text(strconv.Itoa(sum))
			out.EndRow()
		}
		sum = 0
		return nil
	}
	return s3writer.RecordStep{
		Columns: []s3writer.Column{{Name: "country"}, {Name: "total", Type: s3writer.Int64Type}},
		Row: func(r s3writer.Record, out *s3writer.Emitter) error {
			if r.Get("country") != country {
				total(out)
			}
			country = r.Get("country")
			n, err := strconv.Atoi(r.Get("amount"))
			sum += n
			return err
		},
		End: total,
	}, nil
})

func sums(in processortest.Table) processortest.Table {
	out := processortest.Table{Columns: []string{"country", "total"}}
	sum := 0
	for i, row := range in.Rows {
		n, _ := strconv.Atoi(row[1].String())
		sum += n
		if i+1 == len(in.Rows) || in.Rows[i+1][0] != row[0] {
			out.Rows = append(out.Rows, values{row[0], number(sum)})
			sum = 0
		}
	}
	return out
}

// byCountry is the rows by their second column, which leaves.
var byCountry = processortest.Rows(func(in processortest.Table) processortest.Table {
	out := processortest.Table{Columns: []string{"id"}}
	rows := slices.Clone(in.Rows)
	slices.SortStableFunc(rows, func(a, b values) int { return strings.Compare(a[1].String(), b[1].String()) })
	for _, row := range rows {
		out.Rows = append(out.Rows, row[:1])
	}
	return out
})

var (
	hive   = s3writer.CSV{Comma: '\t', NoHeader: true, Null: `\N`}
	quoted = s3writer.CSV{Comma: ';', QuoteAll: true, CRLF: true}
)

var asXML = s3writer.EncoderFunc(".xml", func(w io.Writer, _ []s3writer.Column) (s3writer.Encoder, error) {
	_, err := io.WriteString(w, "<rows>\n")
	return xmlEncoder{w}, err
})

func parseXML(object []byte) (processortest.Table, error) {
	var rows struct {
		Row []struct {
			Field []struct {
				XMLName xml.Name
				Text    string `xml:",chardata"`
			} `xml:",any"`
		} `xml:"row"`
	}
	var t processortest.Table
	d := xml.NewDecoder(bytes.NewReader(object))
	if err := d.Decode(&rows); err != nil {
		return t, err
	}
	if rest := object[d.InputOffset():]; len(bytes.TrimSpace(rest)) > 0 {
		return t, errors.New("there is more behind </rows>")
	}
	for _, r := range rows.Row {
		t.Columns = nil
		var row values
		for _, f := range r.Field {
			t.Columns = append(t.Columns, f.XMLName.Local)
			row = append(row, s3writer.Text(f.Text))
		}
		t.Rows = append(t.Rows, row)
	}
	return t, nil
}

var encrypted = s3writer.WriterFunc(".rot13", func(w io.Writer) (io.WriteCloser, error) { return &rot13{w}, nil })

func decrypt(r io.Reader) (io.Reader, error) {
	var plain bytes.Buffer
	_, err := io.Copy(&rot13{&plain}, r)
	return &plain, err
}

// inverted is an encryption of any bytes.
var inverted = s3writer.WriterFunc(".inv", func(w io.Writer) (io.WriteCloser, error) { return &inverter{w}, nil })

type inverter struct{ w io.Writer }

func (i *inverter) Write(p []byte) (int, error) {
	q := bytes.Clone(p)
	for k := range q {
		q[k] ^= 0xff
	}
	return i.w.Write(q)
}

func (i *inverter) Close() error { return nil }

func invert(r io.Reader) (io.Reader, error) {
	var plain bytes.Buffer
	_, err := io.Copy(&inverter{&plain}, r)
	return &plain, err
}

func gzipped(text []byte) ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(text)
	err := z.Close()
	return out.Bytes(), err
}
