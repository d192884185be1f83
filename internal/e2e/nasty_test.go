package e2e

import (
	"bytes"
	"database/sql"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/seed149ec23d/s3writer"
)

// nastyTable is one that careless writers and readers of CSV spoil.
type nastyTable struct {
	name    string
	columns []string
	rows    []row
}

func text(s string) sql.NullString { return sql.NullString{String: s, Valid: true} }

func null() sql.NullString { return sql.NullString{} }

func texts(fields ...string) row {
	r := make(row, len(fields))
	for i, f := range fields {
		r[i] = text(f)
	}
	return r
}

// eachPlace puts every word first, in the middle, last and everywhere in a row of three.
func eachPlace(name string, words ...string) nastyTable {
	table := nastyTable{name: name, columns: []string{"a", "b", "c"}}
	for _, w := range words {
		table.rows = append(table.rows, texts(w, "x", "y"), texts("x", w, "y"), texts("x", "y", w), texts(w, w, w))
	}
	return table
}

func nastyTables() []nastyTable {
	return []nastyTable{
		eachPlace("plain", "a", "1.5", "true", "2026-03-01"),
		eachPlace("quotes", `"`, `""`, `"""`, `a"b`, `"a"`, `a"`, `"a`, `'`, `''`, `a'b`, `'a'`, `","`, `","""`),
		eachPlace("delimiters", ",", ";", "\t", "|", "a,b;c\td|e", ",,", "a,", ",a"),
		eachPlace("line ends", "\n", "\r\n", "\n\n", "a\nb", "a\r\nb", "\na", "a\n", "\r\n\r\n", "a\r\n", "\"\n\""),
		eachPlace("carriage returns", "\r", "a\rb", "\ra", "a\r", "\r\r", "\n\r"),
		eachPlace("blanks", " ", "  ", " a", "a ", "  a  ", "\ta", "a\t", "\u00a0", "\u3000a\u3000", "\v", "\f"),
		eachPlace("backslashes", `\`, `\\`, `a\`, `\a`, `\"`, `\,`, `\n`, `C:\temp\`, `\\\`),
		eachPlace("unicode", "příliš žluťoučký kůň", "日本語", "👩‍👩‍👧‍👦", "e\u0301", "\u2028\u2029\u0085", "שלום", "\U0010ffff", "x\ufeffy"),
		eachPlace("control characters", "\x01", "\x07\x08", "\x1b[0m", "\x1f", "\x7f"),
		eachPlace("zero bytes", "\x00", "a\x00b", "\x00\x00"),
		eachPlace("words for NULL", `\N`, "NULL", "null", "None", "nan", "NaN", "NA", "-", `"\N"`, `\\N`),
		eachPlace("comments", "#", "#a", "--", "//", "a#b"),
		eachPlace("injections", "=1+1", "@a", "+1", "-1", "0x1f", "1e5", "0012", "1_000"),
		emptyAndNull(),
		{"one column", []string{"a"}, []row{{text("")}, {null()}, {text("x")}, {null()}, {null()}, {text("")}, {text("")}, {null()}}},
		{"one column of text", []string{"a"}, []row{texts(" "), texts("x"), texts("y,z"), texts("0")}},
		{"names", []string{`a,b`, `c"d`, `'`, " e ", "f;g\th|i", "řádek", "select", "A", "0", `back\slash`, "null"},
			[]row{texts("1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11")}},
		{"names of two lines", []string{"a\nb", "c\r\nd", "e"}, []row{texts("1", "2", "3")}},
		wide(),
		long(),
		{"no rows", []string{"a", "b"}, nil},
		tame(),
		many(),
	}
}

// emptyAndNull has every row of three fields that are NULL, empty or neither.
func emptyAndNull() nastyTable {
	table := nastyTable{name: "empty and NULL", columns: []string{"a", "b", "c"}}
	values := []sql.NullString{null(), text(""), text("x")}
	for i := range 27 {
		table.rows = append(table.rows, row{values[i/9], values[i/3%3], values[i%3]})
	}
	return table
}

func wide() nastyTable {
	table := nastyTable{name: "wide", rows: make([]row, 3)}
	for i := range 500 {
		table.columns = append(table.columns, fmt.Sprintf("column %d", i))
		table.rows[0] = append(table.rows[0], text(fmt.Sprint(i)))
		table.rows[1] = append(table.rows[1], null())
		table.rows[2] = append(table.rows[2], text(strings.Repeat(" x", i%4)+"x"))
	}
	return table
}

// long has fields of more than a MiB: of nothing special, and of nearly nothing else.
func long() nastyTable {
	return nastyTable{"very long fields", []string{"a", "b"}, []row{
		texts("before", "x"),
		{text(strings.Repeat("0123456789abcdef", 80_000)), null()},
		{null(), text(strings.Repeat("\"'\\,;\t|\r\n \u00e9", 60_000))},
		texts("after", "y"),
	}}
}

// many has rows for several blocks, in which lines and rows are not the same.
func many() nastyTable {
	fields := []sql.NullString{
		text("plain"), null(), text(""), text("a, b"), text("line\nbreak"), text(`say "yes"`), text("it's"), text("crlf\r\nbreak"),
		text(" blanks "), text(`\N`), text("tab\tsemicolon;pipe|"), text("řádek 👍"), text(`back\slash`),
	}
	table := nastyTable{name: "50,000 rows", columns: []string{"id", "a", "b", "c", "d"}}
	for i := range 50_000 {
		at := func(step int) sql.NullString { return fields[i*step%len(fields)] }
		table.rows = append(table.rows, row{
			text(fmt.Sprint(i)), at(1), at(5), text(strings.Repeat(at(3).String, i%7)), at(8),
		})
	}
	return table
}

// tame has rows for several blocks that every dialect can carry.
func tame() nastyTable {
	table := nastyTable{name: "20,000 tame rows", columns: []string{"id", "a", "b"}}
	for i := range 20_000 {
		last := null()
		if i%3 > 0 {
			last = text("last")
		}
		table.rows = append(table.rows, row{text(fmt.Sprint(i)), text(strings.Repeat("x y ", i%29) + "z"), last})
	}
	return table
}

// values gives the records as they are, without any CSV before the one that is written.
func (n nastyTable) values() io.Reader {
	columns := make([]s3writer.Column, len(n.columns))
	for i, name := range n.columns {
		columns[i].Name = name
	}
	return s3writer.Values(columns, iter.Seq2[[]s3writer.Value, error](func(yield func([]s3writer.Value, error) bool) {
		record := make([]s3writer.Value, len(columns))
		for _, r := range n.rows {
			for i, f := range r {
				if record[i] = (s3writer.Value{}); f.Valid {
					record[i] = s3writer.Text(f.String)
				}
			}
			if !yield(record, nil) {
				return
			}
		}
	}))
}

// csv gives the table as CSV of RFC 4180, written here, with as few quotes as can be.
func (n nastyTable) csv() io.Reader {
	var b bytes.Buffer
	line := func(r row) {
		for i, f := range r {
			if i > 0 {
				b.WriteByte(',')
			}
			if f.Valid && (f.String == "" || strings.ContainsAny(f.String, ",\"\r\n")) {
				f.String = `"` + strings.ReplaceAll(f.String, `"`, `""`) + `"`
			}
			b.WriteString(f.String)
		}
		b.WriteByte('\n')
	}
	line(texts(n.columns...))
	for _, r := range n.rows {
		line(r)
	}
	return &b
}
