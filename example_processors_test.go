package s3writer_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/seed149ec23d/s3writer"
)

func ExampleSelect() {
	deliver(s3writer.NewTable("orders.csv",
		strings.NewReader("id,country,amount\n1,CZ,9.90\n"),
		s3writer.Select("amount", "id")))
	// Output:
	// -- orders.csv --
	// amount,id
	// 9.90,1
}

func ExampleDrop() {
	deliver(s3writer.NewTable("users.csv",
		strings.NewReader("id,name,password\n7,Ada,secret\n"),
		s3writer.Drop("password")))
	// Output:
	// -- users.csv --
	// id,name
	// 7,Ada
}

func ExampleRename() {
	deliver(s3writer.NewTable("users.csv",
		strings.NewReader("Kundennummer,Name\n7,Ada\n"),
		s3writer.Rename("Kundennummer", "id", "Name", "name")))
	// Output:
	// -- users.csv --
	// id,name
	// 7,Ada
}

func ExampleFilter() {
	deliver(s3writer.NewTable("orders.csv",
		strings.NewReader("id,country\n1,CZ\n2,DE\n3,\n"),
		s3writer.Filter(func(r s3writer.Record) bool { return r.Get("country") == "CZ" })))
	// Output:
	// -- orders.csv --
	// id,country
	// 1,CZ
}

// Without Concurrent the function would be called by one goroutine at a time.
func ExampleConcurrent() {
	small := func(r s3writer.Record) bool { return len(r.Get("amount")) < 3 }
	deliver(s3writer.NewTable("orders.csv",
		strings.NewReader("id,amount\n1,10\n2,999\n3,7\n"),
		s3writer.Concurrent(s3writer.Filter(small))))
	// Output:
	// -- orders.csv --
	// id,amount
	// 1,10
	// 3,7
}

// A column of that name would be replaced.
func ExampleDerive() {
	deliver(s3writer.NewTable("orders.csv",
		strings.NewReader("id,net\n1,100\n2,\n"),
		s3writer.Derive("gross", func(r s3writer.Record) (s3writer.Value, error) {
			if r.Value("net").IsNull() {
				return s3writer.Value{}, nil // NULL
			}
			net, err := strconv.Atoi(r.Get("net"))
			return s3writer.Text(strconv.Itoa(net * 121 / 100)), err
		})))
	// Output:
	// -- orders.csv --
	// id,net,gross
	// 1,100,121
	// 2,,
}

// Types matter where the format has them.
func ExampleTyped() {
	deliver(s3writer.NewTable("orders.csv",
		strings.NewReader("id,amount,paid\n1,9.90,true\n"),
		s3writer.Typed("amount", s3writer.DecimalType),
		s3writer.Typed("paid", s3writer.BoolType),
		s3writer.JSONLines()))
	// Output:
	// -- orders.jsonl --
	// {"id":"1","amount":9.90,"paid":true}
}

func ExampleAddColumn() {
	deliver(s3writer.NewTable("orders.csv",
		strings.NewReader("id\n1\n2\n"),
		s3writer.AddColumn("source", "shop")))
	// Output:
	// -- orders.csv --
	// id,source
	// 1,shop
	// 2,shop
}

func ExampleRowNumber() {
	deliver(s3writer.NewTable("users.csv",
		strings.NewReader("name\nAda\nGrace\n"),
		s3writer.RowNumber("number")))
	// Output:
	// -- users.csv --
	// name,number
	// Ada,1
	// Grace,2
}

// Hashed columns can still be joined on; NULL stays NULL.
func ExampleHash() {
	key := []byte("a key that nobody else has")
	deliver(s3writer.NewTable("users.csv",
		strings.NewReader("id,email\n7,ada@example.com\n8,\n"),
		s3writer.Hash(key, "email")))
	// Output:
	// -- users.csv --
	// id,email
	// 7,fc490395ee63c18394d7c85e3d5928dcf387640e9728aadc277976c46780e78d
	// 8,
}

// The first rows, to look at.
func ExampleLimit() {
	deliver(s3writer.NewTable("users.csv",
		strings.NewReader("id,name\n7,Ada\n8,Grace\n9,Barbara\n"),
		s3writer.Limit(2)))
	// Output:
	// -- users.csv --
	// id,name
	// 7,Ada
	// 8,Grace
}

// Sums of consecutive rows. State belongs to what open opens: one per table.
func ExampleRecordFunc() {
	perCountry := s3writer.RecordFunc(func([]s3writer.Column) (s3writer.RecordStep, error) {
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
	deliver(s3writer.NewTable("totals.csv", strings.NewReader("country,amount\nCZ,2\nCZ,3\nDE,5\n"), perCountry))
	// Output:
	// -- totals.csv --
	// country,total
	// CZ,5
	// DE,5
}

// One row becomes several; the other fields are copied as they are.
func ExampleEmitter_Copy() {
	perTag := s3writer.RecordFunc(func([]s3writer.Column) (s3writer.RecordStep, error) {
		return s3writer.RecordStep{Row: func(r s3writer.Record, out *s3writer.Emitter) error {
			for tag := range strings.SplitSeq(r.Get("tags"), " ") {
				out.Copy(r, 0)
				out.Text(tag)
				out.EndRow()
			}
			return nil
		}}, nil
	})
	deliver(s3writer.NewTable("tags.csv", strings.NewReader("id,tags\n1,red big\n2,blue\n"), perTag))
	// Output:
	// -- tags.csv --
	// id,tags
	// 1,red
	// 1,big
	// 2,blue
}

// The steps of a chain count one by one, here and in errors.
func ExampleChain() {
	tidy := s3writer.Chain(s3writer.Drop("password"), s3writer.RowNumber("number"))
	fmt.Println(tidy)
	deliver(s3writer.NewTable("users.csv", strings.NewReader("name,password\nAda,secret\n"), tidy))
	// Output:
	// Chain(Drop("password"), RowNumber("number"))
	// -- users.csv --
	// name,number
	// Ada,1
}

// Errors call the step by its name.
func ExampleNamed() {
	adults := s3writer.Named("adults only", s3writer.Filter(func(r s3writer.Record) bool { return r.Get("age") >= "18" }))
	deliver(s3writer.NewTable("users.csv", strings.NewReader("name\nAda\n"), adults))
	// Output:
	// s3writer: table "users.csv": step 1 adults only: row 1 (byte 5): no column "age": there are name
}

// From the dialect of a spreadsheet to that of Hive. Without FormatCSV the
// dialect of the source is kept.
func ExampleFormatCSV() {
	t := s3writer.NewTable("users.tsv", strings.NewReader("id;note\n7;\"a;b\"\n8;\n"),
		s3writer.FormatCSV(s3writer.CSV{Comma: '\t', NoHeader: true, Null: `\N`}))
	t.CSV = s3writer.CSV{Comma: ';'}
	deliver(t)
	// Output:
	// -- users.tsv --
	// 7	a;b
	// 8	\N
}

func ExampleJSONLines() {
	deliver(s3writer.NewTable("users.csv",
		strings.NewReader("id,name,note\n7,Ada,\n8,\"Grace \"\"Amazing\"\"\",\"\"\n"),
		s3writer.JSONLines()))
	// Output:
	// -- users.jsonl --
	// {"id":"7","name":"Ada","note":null}
	// {"id":"8","name":"Grace \"Amazing\"","note":""}
}

// A chain without a step on records compresses the bytes as they are.
func ExampleGzip() {
	deliver(s3writer.NewTable("orders.csv", strings.NewReader("id\n1\n"), s3writer.Gzip()))
	// Output:
	// -- orders.csv.gz --
	// id
	// 1
}

// Smaller objects for more time.
func ExampleGzipLevel() {
	deliver(s3writer.NewTable("orders.csv", strings.NewReader("id\n1\n"), s3writer.GzipLevel(9)))
	// Output:
	// -- orders.csv.gz --
	// id
	// 1
}

func ExampleZstd() {
	deliver(s3writer.NewTable("orders.csv", strings.NewReader("id\n1\n"), s3writer.Zstd()))
	// Output:
	// -- orders.csv.zst --
	// id
	// 1
}

// The source is gzip, zstd or bzip2, or none of them.
func ExampleDecompress() {
	var compressed bytes.Buffer
	zw := gzip.NewWriter(&compressed)
	io.WriteString(zw, "id,amount\n1,9.90\n")
	zw.Close()

	deliver(s3writer.NewTable("orders.csv", &compressed, s3writer.Decompress(), s3writer.Select("id")))
	// Output:
	// -- orders.csv --
	// id
	// 1
}

// A reader of your own in front of the decoder, here for a source of upper case.
func ExampleReaderFunc() {
	lower := s3writer.ReaderFunc(func(r io.Reader) (io.Reader, error) { return lowerReader{r}, nil })
	deliver(s3writer.NewTable("users.csv", strings.NewReader("ID,NAME\n7,ADA\n"), lower, s3writer.Select("name")))
	// Output:
	// -- users.csv --
	// name
	// ada
}

type lowerReader struct{ r io.Reader }

func (l lowerReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	copy(p, bytes.ToLower(p[:n]))
	return n, err
}

// A writer of your own at the end, the place of an encryption such as
// filippo.io/age: func(w io.Writer) (io.WriteCloser, error) { return age.Encrypt(w, recipient) }.
func ExampleWriterFunc() {
	encrypted := s3writer.WriterFunc(".rot13", func(w io.Writer) (io.WriteCloser, error) { return &rot13{w}, nil })
	deliver(s3writer.NewTable("users.csv", strings.NewReader("id,name\n7,Ada\n"), s3writer.Select("name"), encrypted))
	// Output:
	// -- users.csv.rot13 --
	// anzr
	// Nqn
}

type rot13 struct{ w io.Writer }

// Write works on bytes: a Write may end in the middle of a character.
func (r *rot13) Write(p []byte) (int, error) {
	out := bytes.Clone(p)
	for i, c := range out {
		switch {
		case 'a' <= c && c <= 'z':
			out[i] = 'a' + (c-'a'+13)%26
		case 'A' <= c && c <= 'Z':
			out[i] = 'A' + (c-'A'+13)%26
		}
	}
	return r.w.Write(out)
}

func (r *rot13) Close() error { return nil }

// A format of your own. The key's extension becomes .xml.
func ExampleEncoderFunc() {
	asXML := s3writer.EncoderFunc(".xml", func(w io.Writer, _ []s3writer.Column) (s3writer.Encoder, error) {
		_, err := io.WriteString(w, "<rows>\n")
		return xmlEncoder{w}, err
	})
	deliver(s3writer.NewTable("users.csv", strings.NewReader("id,name\n7,Ada & co\n"), asXML))
	// Output:
	// -- users.xml --
	// <rows>
	// <row><id>7</id><name>Ada &amp; co</name></row>
	// </rows>
}

type xmlEncoder struct{ w io.Writer }

func (e xmlEncoder) Encode(b *s3writer.Batch) error {
	var out bytes.Buffer
	for r := range b.All() {
		out.WriteString("<row>")
		for i, c := range b.Columns() {
			fmt.Fprintf(&out, "<%s>", c.Name)
			xml.EscapeText(&out, []byte(r.Field(i).String()))
			fmt.Fprintf(&out, "</%s>", c.Name)
		}
		out.WriteString("</row>\n")
	}
	_, err := e.w.Write(out.Bytes())
	return err
}

func (e xmlEncoder) Close() error {
	_, err := io.WriteString(e.w, "</rows>\n")
	return err
}

// A function's error fails the row, and with it the table.
func ExampleDerive_error() {
	deliver(s3writer.NewTable("orders.csv",
		strings.NewReader("id,net\n1,100\n2,free\n"),
		s3writer.Derive("cents", func(r s3writer.Record) (s3writer.Value, error) {
			if _, err := strconv.Atoi(r.Get("net")); err != nil {
				return s3writer.Value{}, errors.New("net is not a number")
			}
			return s3writer.Text(r.Get("net") + "00"), nil
		})))
	// Output:
	// s3writer: table "orders.csv": step 1 Derive: row 2 (byte 13): column "cents": net is not a number
}
