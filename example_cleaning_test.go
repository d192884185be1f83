package s3writer_test

import (
	"fmt"
	"strings"

	"github.com/seed149ec23d/s3writer"
)

// A file from an old spreadsheet. A byte order mark would win over the name.
func ExampleFromCharset() {
	deliver(s3writer.NewTable("cities.csv",
		strings.NewReader("id,city\n1,Plze\xf2\n2,\x8eilina\n"),
		s3writer.FromCharset("windows-1250")))
	// Output:
	// -- cities.csv --
	// id,city
	// 1,Plzeň
	// 2,Žilina
}

// FromCharset would fail at the byte that windows-1252 does not define.
func ExampleFromCharsetLossy() {
	deliver(s3writer.NewTable("cities.csv",
		strings.NewReader("id,city\n1,K\xf6ln\n2,\x81\n"),
		s3writer.FromCharsetLossy("windows-1252")))
	// Output:
	// -- cities.csv --
	// id,city
	// 1,Köln
	// 2,�
}

// What a spreadsheet on Windows opens with a double click.
func ExampleToCharset() {
	deliver(s3writer.NewTable("cities.csv",
		strings.NewReader("id,city\n1,Plzeň\n"),
		s3writer.FormatCSV(s3writer.CSV{Comma: ';', CRLF: true}),
		s3writer.ToCharset("windows-1250"),
		s3writer.WriterFunc("", quoteObject)))
	// Output:
	// -- cities.csv --
	// "id;city\r\n1;Plze\xf2\r\n"
}

// ToCharset would fail, and say where the sign is.
func ExampleToCharsetLossy() {
	deliver(s3writer.NewTable("prices.csv",
		strings.NewReader("id,price\n1,5 €\n"),
		s3writer.ToCharsetLossy("iso-8859-2")))
	// Output:
	// -- prices.csv --
	// id,price
	// 1,5 ?
}

// Values of nothing but white space become empty strings, NULL stays NULL.
func ExampleTrim() {
	deliver(s3writer.NewTable("users.csv",
		strings.NewReader("id,name,city\n1, Ada ,\" London\"\n2,  ,\n"),
		s3writer.Trim("name", "city")))
	// Output:
	// -- users.csv --
	// id,name,city
	// 1,Ada,London
	// 2,"",
}

// The columns stay, for readers that expect them.
func ExampleRedact() {
	deliver(s3writer.NewTable("users.csv",
		strings.NewReader("id,name,password\n7,Ada,secret\n"),
		s3writer.Redact("password"),
		s3writer.JSONLines()))
	// Output:
	// -- users.jsonl --
	// {"id":"7","name":"Ada","password":null}
}

// The first record of each key stays.
func ExampleDedupe() {
	deliver(s3writer.NewTable("users.csv",
		strings.NewReader("id,name\n7,Ada\n8,Grace\n7,Ada Lovelace\n"),
		s3writer.Dedupe("id")))
	// Output:
	// -- users.csv --
	// id,name
	// 7,Ada
	// 8,Grace
}

// Compression and charset are told in the order in which they were applied,
// the last one first.
func ExampleDecompress_charset() {
	deliver(s3writer.NewTable("cities.csv",
		strings.NewReader(gzipText("id,city\n1,Plze\xf2\n")),
		s3writer.Decompress(), s3writer.FromCharset("windows-1250")))
	// Output:
	// -- cities.csv --
	// id,city
	// 1,Plzeň
}

// Cleaning, one step after the other: two values of one key are equal only
// once they are trimmed.
func Example_cleaning() {
	clean := s3writer.Chain(
		s3writer.Trim(),
		s3writer.Dedupe("email"),
		s3writer.Redact("note"),
	)
	fmt.Println(clean)
	deliver(s3writer.NewTable("users.csv",
		strings.NewReader("email,note\nada@example.com ,x\nada@example.com,y\n"), clean))
	// Output:
	// Chain(Trim(), Dedupe("email"), Redact("note"))
	// -- users.csv --
	// email,note
	// ada@example.com,
}
