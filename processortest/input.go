package processortest

import (
	"fmt"
	"strings"

	"github.com/seed149ec23d/s3writer"
)

// input is one table that is delivered.
type input struct {
	name string
	Table
	csv     []byte
	objects []string // expected; nil: not known
	alone   bool     // other steps beside the processor would show nothing new
}

const (
	manyRows = 20_000
	// manyBytes is as much as several blocks of the library's decoder.
	manyBytes = 600 << 10
)

// inputs are the tables of a Test. The last one is the long one.
func (c *contract) inputs() ([]input, error) {
	var all []input
	add := func(name string, t Table) {
		all = append(all, input{name: name, Table: t, csv: t.csv("\n")})
	}
	if c.in == "" {
		if c.objects != nil {
			return nil, fmt.Errorf("Objects says what a table becomes, but no table was given")
		}
		c.sample.Columns = []string{"id", "name", "note"}
		add("one column", madeUp([]string{"only"}, 40, nasty))
		add("sixty columns", madeUp(numbered(60), 40, nasty))
	} else {
		t, err := parseCSV([]byte(c.in), s3writer.CSV{})
		if err != nil {
			return nil, fmt.Errorf("the table to test with cannot be read: %w", err)
		}
		c.sample = t
		all = append(all, input{name: "the given table", Table: t, csv: []byte(c.in), objects: c.objects})
	}
	columns := c.sample.Columns
	add("no rows", Table{Columns: columns})
	if rows := c.sample.Rows; len(rows) > 0 {
		add("one row", Table{columns, rows[:1]})
		add("CRLF", c.sample)
		all[len(all)-1].csv = c.sample.csv("\r\n")
		add(fmt.Sprintf("%d rows of the given ones", manyRows), repeated(c.sample))
		return all, nil
	}
	add("one row", madeUp(columns, 1, plain))
	add("plain rows", madeUp(columns, 10, plain))
	add("CRLF", madeUp(columns, 60, nasty))
	all[len(all)-1].csv = all[len(all)-1].Table.csv("\r\n")
	add("long fields", madeUp(columns, 5, long))
	for i := len(all) - 3; i < len(all); i++ {
		all[i].alone = true
	}
	add("quotes, NULLs and line ends", madeUp(columns, 200, nasty))
	add(fmt.Sprintf("%d rows", manyRows), madeUp(columns, manyRows, plain))
	return all, nil
}

func numbered(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("c%d", i+1)
	}
	return names
}

// repeated has the rows of t again and again.
func repeated(t Table) Table {
	out := Table{Columns: t.Columns}
	of := len(t.csv("\n")) // hardly more than the rows
	for size := 0; len(out.Rows) < manyRows || size < manyBytes && len(out.Rows) < 5*manyRows; size += of {
		out.Rows = append(out.Rows, t.Rows...)
	}
	return out
}

func madeUp(columns []string, rows int, value func(row, column int) s3writer.Value) Table {
	t := Table{Columns: columns}
	for r := range rows {
		row := make([]s3writer.Value, len(columns))
		for c := range columns {
			row[c] = value(r, c)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// plain values make 20,000 rows of a column longer than [manyBytes].
func plain(row, column int) s3writer.Value {
	return s3writer.Text(fmt.Sprintf("the value of row %06d, column %02d", row+1, column+1)[3:])
}

var nastyValues = []string{
	`say "%d"`, "a,b;c|d\t%d", "two\nlines %d", "CR\r\nLF %d", "\r%d", " %d ", "příliš žluťoučký kůň %d", "数%d字", "🐎%d",
	`"%d`, `\%d\`, `\N`, "NULL", "#%d", "'%d'", "00%d.50", "=1+%d", "\u00a0%d\u2028", "\x00%d", "%d",
}

// nasty values are those that formats have trouble with. Rows differ by their numbers.
func nasty(row, column int) s3writer.Value {
	switch i := row*7 + column*3; i % (len(nastyValues) + 2) {
	case 0:
		return s3writer.Value{}
	case 1:
		return s3writer.Text("")
	default:
		return s3writer.Text(strings.ReplaceAll(nastyValues[i%len(nastyValues)], "%d", fmt.Sprint(row)))
	}
}

// long values are longer than a block, in the first column, with quotes and line ends in every other row.
func long(row, column int) s3writer.Value {
	if column > 0 {
		return nasty(row, column)
	}
	piece := "a long field "
	if row%2 == 1 {
		piece = "a \"long\"\nfield "
	}
	return s3writer.Text(fmt.Sprint(row) + strings.Repeat(piece, 300<<10/len(piece)))
}
