package e2e

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	_ "github.com/duckdb/duckdb-go/v2"

	"github.com/seed149ec23d/s3writer"
)

// duckDB is the independent reader: it shares no line of code with what wrote.
type duckDB struct {
	*testing.T
	db *sql.DB
}

func openDuckDB(t *testing.T) *duckDB {
	t.Helper()
	db, err := sql.Open("duckdb", "") // in memory
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return &duckDB{t, db}
}

// in returns d for a subtest.
func (d *duckDB) in(t *testing.T) *duckDB { return &duckDB{t, d.db} }

// row is one row, NULL and the empty string apart.
type row []sql.NullString

func (r row) String() string {
	fields := make([]string, len(r))
	for i, f := range r {
		if fields[i] = "NULL"; f.Valid {
			fields[i] = fmt.Sprintf("%.200q", f.String)
		}
	}
	return strings.Join(fields, ", ")
}

// query returns the names of the columns and the rows.
func (d *duckDB) query(text string) ([]string, []row, error) {
	rows, err := d.db.QueryContext(d.Context(), text)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, nil, err
	}
	var all []row
	into := make([]any, len(columns))
	for rows.Next() {
		r := make(row, len(columns))
		for i := range r {
			into[i] = &r[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, nil, err
		}
		all = append(all, r)
	}
	return columns, all, rows.Err()
}

// mustQuery returns the rows of a query that must not fail.
func (d *duckDB) mustQuery(text string) ([]string, []row) {
	d.Helper()
	columns, rows, err := d.query(text)
	if err != nil {
		d.Fatalf("%.2000s: %v", text, err)
	}
	return columns, rows
}

// options are named arguments of read_csv and read_json, in SQL.
type options []string

func (o options) String() string { return strings.Join(o, ", ") }

// literal is s as SQL has it. A backslash is an ordinary character there.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// list is the SQL list of files.
func list(files ...string) string {
	literals := make([]string, len(files))
	for i, f := range files {
		literals[i] = literal(f)
	}
	return "[" + strings.Join(literals, ", ") + "]"
}

// varchars declares columns, all of them text.
func varchars(columns []string) string {
	declared := make([]string, len(columns))
	for i, c := range columns {
		declared[i] = literal(c) + ": 'VARCHAR'"
	}
	return "columns = {" + strings.Join(declared, ", ") + "}"
}

// csvOptions say in DuckDB's words what the dialect says, so that nothing is left to guess.
func csvOptions(c s3writer.CSV) options {
	comma, quote, escape := c.Comma, string(rune(c.Quote)), string(rune(c.Escape))
	if comma == 0 {
		comma = ','
	}
	if c.Quote == 0 {
		quote = `"`
	}
	if c.NoQuote {
		quote = ""
	}
	if c.Escape == 0 {
		escape = quote // doubled
	}
	o := options{
		"auto_detect = false", "all_varchar = true", "allow_quoted_nulls = false",
		"delim = " + literal(string(rune(comma))), "quote = " + literal(quote), "escape = " + literal(escape),
		"nullstr = " + literal(c.Null), fmt.Sprintf("header = %t", !c.NoHeader),
		"max_line_size = 4194304", // the default, 2,000,000 bytes, is less than the longest field here
	}
	if c.CRLF {
		o = append(o, `new_line = '\r\n'`)
	} else {
		o = append(o, `new_line = '\n'`)
	}
	if c.Comment != 0 {
		o = append(o, "comment = "+literal(string(rune(c.Comment))))
	}
	if c.Escape != 0 && (c.NoQuote || c.Null != "") {
		// Its strict mode wants escapes inside quotes alone, and none in the word for NULL.
		o = append(o, "strict_mode = false")
	}
	return o
}

// readCSV reads files in the order they are given in.
func readCSV(o options, columns []string, files ...string) string {
	if columns != nil {
		o = append(slices.Clip(o), varchars(columns))
	}
	return fmt.Sprintf("FROM read_csv(%s, %v)", list(files...), o)
}

// readJSON reads JSON Lines.
func readJSON(columns []string, file string) string {
	return fmt.Sprintf("FROM read_json(%s, format = 'newline_delimited', maximum_object_size = 4194304, %s)",
		literal(file), varchars(columns))
}

// difference returns the first one between two tables, nil if there is none.
func difference(got, want []row) error {
	for i := range min(len(got), len(want)) {
		if !slices.Equal(got[i], want[i]) {
			return fmt.Errorf("row %d:\ngot  %v\nwant %v", i+1, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("%d rows, want %d", len(got), len(want))
	}
	return nil
}
