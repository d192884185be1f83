package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

// dialect is one that is written; DuckDB is told which. What cannot be is listed, and held to be so: a table that is
// carried or read after all fails the test as well.
type dialect struct {
	name    string
	csv     s3writer.CSV
	refused map[string]string // by table: what the Writer says of it, for the dialect cannot carry it
	unread  map[string]string // by table: what DuckDB says of it, or makes of it
}

var dialects = []dialect{
	{name: "comma", csv: s3writer.CSV{}},
	{name: "semicolon", csv: s3writer.CSV{Comma: ';'}},
	{name: "tab", csv: s3writer.CSV{Comma: '\t'}},
	{name: "pipe", csv: s3writer.CSV{Comma: '|'}},
	{name: "control character", csv: s3writer.CSV{Comma: 1}},
	{name: "single quotes", csv: s3writer.CSV{Quote: '\''}},
	{name: "CRLF", csv: s3writer.CSV{CRLF: true}},
	{name: "every field quoted", csv: s3writer.CSV{QuoteAll: true}},
	{name: "no header", csv: s3writer.CSV{NoHeader: true}},
	{name: "word for NULL", csv: s3writer.CSV{Null: `\N`}},
	{name: "other word for NULL", csv: s3writer.CSV{Null: "NULL", QuoteAll: true}},
	{name: "escapes", csv: s3writer.CSV{Escape: '\\'}},
	{name: "escapes, word for NULL", csv: s3writer.CSV{Escape: '\\', Null: `\N`}},
	{name: "escapes, single quotes, semicolon, CRLF", csv: s3writer.CSV{Escape: '\\', Quote: '\'', Comma: ';', CRLF: true}},
	{name: "NULL as empty", csv: s3writer.CSV{NullAsEmpty: true}},
	{name: "all at once", csv: s3writer.CSV{
		Comma: '|', Quote: '\'', CRLF: true, BOM: true, QuoteAll: true, Null: "nil", NoHeader: true,
	}},
	{
		name: "byte order mark", csv: s3writer.CSV{BOM: true},
		unread: map[string]string{
			// It does not see that the header row begins with a quote if that stands behind a byte order mark, and
			// takes the first line of a name for the row.
			"names of two lines": `got  "b\"", "c\r\nd", "e"`,
		},
	},
	{
		name: "comments", csv: s3writer.CSV{Comment: '#'},
		unread: map[string]string{
			// Its comments begin anywhere in a row, those of CSV.Comment with a row.
			"comments": "Expected Number of Columns: 3 Found: 2",
		},
	},
	{
		name: "no quotes", csv: s3writer.CSV{NoQuote: true, Comma: '\t'},
		refused: map[string]string{
			"delimiters":         `comma '\t' in a field without quotes`,
			"line ends":          "line end in a field without quotes",
			"carriage returns":   "line end in a field without quotes",
			"blanks":             `comma '\t' in a field without quotes`,
			"empty and NULL":     "the empty string reads as NULL without quotes",
			"one column":         "the empty string reads as NULL without quotes",
			"names":              `column 5, "f;g\th|i": comma '\t' in a field without quotes`,
			"names of two lines": "line end in a field without quotes",
			"very long fields":   "in a field without quotes",
			"50,000 rows":        "the empty string reads as NULL without quotes",
		},
	},
	{
		name: "no quotes, word for NULL", csv: s3writer.CSV{NoQuote: true, Comma: 1, Null: `\N`},
		refused: map[string]string{
			"line ends":          "line end in a field without quotes",
			"carriage returns":   "line end in a field without quotes",
			"control characters": `comma '\x01' in a field without quotes`,
			"words for NULL":     "text reads as NULL without quotes",
			"names of two lines": "line end in a field without quotes",
			"very long fields":   "line end in a field without quotes",
			"50,000 rows":        "line end in a field without quotes",
		},
		unread: emptyLineIsNull,
	},
	{
		name: "no quotes, escapes", csv: s3writer.CSV{NoQuote: true, Comma: '\t', Escape: '\\', Null: `\N`},
		unread: emptyLineIsNull,
	},
}

// emptyLineIsNull is what DuckDB makes of a single column's empty string that cannot be quoted: an empty line is NULL
// to it, whatever the word for NULL is.
var emptyLineIsNull = map[string]string{"one column": "row 1:\ngot  NULL\nwant \"\""}

// codec is a way to an object: from where, through which compression, and the command that tells whether it is whole.
type codec struct {
	name       string
	source     func(nastyTable) io.Reader
	processors []s3writer.Processor
	test       []string
}

var codecs = []codec{
	{"plain", nastyTable.values, nil, nil},
	{"plain, from CSV", nastyTable.csv, nil, nil},
	{"gzip", nastyTable.values, []s3writer.Processor{s3writer.Gzip()}, []string{"gzip", "-t"}},
	{"zstd, from CSV", nastyTable.csv, []s3writer.Processor{s3writer.Zstd()}, []string{"zstd", "-q", "-t"}},
}

// TestDuckDBReadsCSV reads every table in every dialect and compression, and sees exactly what was written.
func TestDuckDBReadsCSV(t *testing.T) {
	t.Parallel()
	db, tables := openDuckDB(t), nastyTables()
	for _, dialect := range dialects {
		t.Run(dialect.name, func(t *testing.T) {
			for _, codec := range codecs {
				t.Run(codec.name, func(t *testing.T) {
					f := newFolder(t)
					for _, table := range tables {
						t.Run(table.name, func(t *testing.T) { dialect.check(db.in(t), f, codec, table) })
					}
					f.wantWhole(t, codec)
				})
			}
		})
	}
}

func (d dialect) check(db *duckDB, f *folder, c codec, table nastyTable) {
	processors := append([]s3writer.Processor{s3writer.FormatCSV(d.csv)}, c.processors...)
	file, err := f.deliver(db.T, table, c, processors...)
	if refusal, ok := d.refused[table.name]; ok {
		mustContain(db.T, err, refusal)
		return
	}
	if err != nil {
		db.Fatal(err)
	}
	problem := d.read(db, file, table)
	if unread, ok := d.unread[table.name]; ok {
		mustContain(db.T, problem, unread)
	} else if problem != nil {
		db.Fatalf("%.1000v", problem)
	}
}

// read returns how what DuckDB reads differs from the table.
func (d dialect) read(db *duckDB, file string, table nastyTable) error {
	_, got, err := db.query(readCSV(csvOptions(d.csv), table.columns, file))
	if err != nil {
		return err
	}
	want := table.rows
	if d.csv.NullAsEmpty {
		got, want = nullsAsEmpty(got), nullsAsEmpty(want)
	}
	if err := difference(got, want); err != nil || d.csv.NoHeader {
		return err
	}
	return d.readNames(db, file, table)
}

// readNames reads the header row as if it were data.
func (d dialect) readNames(db *duckDB, file string, table nastyTable) error {
	headless := d.csv
	headless.NoHeader = true
	_, got, err := db.query(readCSV(csvOptions(headless), table.columns, file) + " LIMIT 1")
	if err != nil {
		return err
	}
	return difference(got, []row{texts(table.columns...)})
}

// nullsAsEmpty is for the dialect that writes both alike by consent.
func nullsAsEmpty(rows []row) []row {
	alike := make([]row, len(rows))
	for i, r := range rows {
		for _, f := range r {
			alike[i] = append(alike[i], text(f.String))
		}
	}
	return alike
}

// TestDuckDBReadsJSONLines reads every table as JSON: there is none that JSON cannot carry.
func TestDuckDBReadsJSONLines(t *testing.T) {
	t.Parallel()
	db, tables := openDuckDB(t), nastyTables()
	for _, codec := range codecs {
		t.Run(codec.name, func(t *testing.T) {
			f := newFolder(t)
			for _, table := range tables {
				t.Run(table.name, func(t *testing.T) {
					processors := append([]s3writer.Processor{s3writer.JSONLines()}, codec.processors...)
					file, err := f.deliver(t, table, codec, processors...)
					if err != nil {
						t.Fatal(err)
					}
					_, got := db.in(t).mustQuery(readJSON(table.columns, file))
					if err := difference(got, table.rows); err != nil {
						t.Fatalf("%.1000v", err)
					}
				})
			}
			f.wantWhole(t, codec)
		})
	}
}

// folder is a bucket whose objects are laid down as files.
type folder struct {
	server *s3writertest.Server
	writer *s3writer.Writer
	path   string
	files  []string
}

func newFolder(t *testing.T) *folder {
	t.Helper()
	server := s3writertest.NewServer("warehouse")
	t.Cleanup(server.Close)
	return &folder{server: server, writer: writerTo(t, server), path: t.TempDir()}
}

// deliver returns the file that holds what became of the table.
func (f *folder) deliver(t *testing.T, table nastyTable, c codec, processors ...s3writer.Processor) (string, error) {
	t.Helper()
	key := fmt.Sprintf("table %d.csv", len(f.files))
	report, err := f.writer.Write(t.Context(), s3writer.NewTable(key, c.source(table), processors...))
	if err != nil {
		return "", err
	}
	return f.lay(t, report.Tables[0].Objects[0].Key), nil
}

// lay copies an object to the file of the same name.
func (f *folder) lay(t *testing.T, key string) string {
	t.Helper()
	body, ok := f.server.Get("warehouse", key)
	if !ok {
		t.Fatalf("%s is not there; there are %q", key, f.server.Keys("warehouse"))
	}
	file := filepath.Join(f.path, filepath.FromSlash(key))
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	f.files = append(f.files, file)
	return file
}

// wantWhole asks the command that everybody has whether the files are what their names say.
func (f *folder) wantWhole(t *testing.T, c codec) {
	t.Helper()
	if c.test == nil {
		return
	}
	command, err := exec.LookPath(c.test[0])
	if err != nil {
		t.Fatalf("the %s command is needed: apt-get install %[1]s, or brew install %[1]s: %v", c.test[0], err)
	}
	if len(f.files) == 0 {
		t.Fatal("there are no files")
	}
	said, err := exec.CommandContext(t.Context(), command, append(c.test[1:], f.files...)...).CombinedOutput()
	if err != nil {
		t.Errorf("%s of %d files: %v\n%s", strings.Join(c.test, " "), len(f.files), err, said)
	}
}

// orders is a table as a user has it, NULL and the empty string in it.
var orders = nastyTable{"orders", []string{"id", "name", "note"}, []row{
	{text("7"), text(""), null()},
	{text("8"), null(), text("two\nlines")},
	{text("9"), text(`\N`), text(`say "yes", \ or no`)},
}}

// TestDuckDBDefaults holds what READERS.md says is lost by a reader who asks DuckDB for nothing.
func TestDuckDBDefaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		table     nastyTable
		processor s3writer.Processor
		columns   []string
		want      []row
	}{
		{
			"the empty string becomes NULL", orders, s3writer.FormatCSV(s3writer.CSV{}), orders.columns,
			[]row{{text("7"), null(), null()}, orders.rows[1], orders.rows[2]},
		},
		{
			"a word for NULL is text", orders, s3writer.FormatCSV(s3writer.CSV{Null: `\N`}), orders.columns,
			[]row{{text("7"), null(), text(`\N`)}, {text("8"), text(`\N`), text("two\nlines")}, orders.rows[2]},
		},
		{
			"text that looks like a date becomes one",
			nastyTable{"dates", []string{"code", "day"}, []row{texts("007", "2026-03-01")}},
			s3writer.FormatCSV(s3writer.CSV{}), []string{"code", "day"},
			[]row{texts("007", "2026-03-01T00:00:00Z")}, // as database/sql renders a time
		},
		{
			"a quoted name behind a byte order mark spoils the header",
			nastyTable{"names", []string{"a,b", "c"}, []row{texts("1", "2")}},
			s3writer.FormatCSV(s3writer.CSV{BOM: true}), []string{`"a,b",c`},
			[]row{texts("1,2")},
		},
		{
			"JSON Lines keep the empty string", orders, s3writer.JSONLines(), orders.columns, orders.rows,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			db, f := openDuckDB(t), newFolder(t)
			file, err := f.deliver(t, test.table, codecs[0], test.processor)
			if err != nil {
				t.Fatal(err)
			}
			columns, got := db.mustQuery("FROM " + literal(file))
			if fmt.Sprintf("%q", columns) != fmt.Sprintf("%q", test.columns) {
				t.Errorf("columns %q, want %q", columns, test.columns)
			}
			if err := difference(got, test.want); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestDuckDBRefuses holds the other limits that READERS.md names.
func TestDuckDBRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, field, want string }{
		{"text that is not UTF-8", "caf\xe9", "not utf-8 encoded"},
		{"a field beyond its longest line", strings.Repeat("x", 2_000_001), "Maximum line size of 2000000 bytes exceeded"},
	} {
		t.Run(test.name, func(t *testing.T) {
			db, f := openDuckDB(t), newFolder(t)
			table := nastyTable{"refused", []string{"a", "b"}, []row{texts("x", test.field), texts("y", "z")}}
			file, err := f.deliver(t, table, codecs[0])
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = db.query("FROM read_csv(" + literal(file) + ", " + varchars(table.columns) +
				", auto_detect = false, header = true, delim = ',', quote = '\"', escape = '\"')")
			mustContain(t, err, test.want)
		})
	}
}

// TestReadersDocumentForDuckDB runs what READERS.md has users paste.
func TestReadersDocumentForDuckDB(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../../READERS.md")
	if err != nil {
		t.Fatal(err)
	}
	const from = "s3://writer-sample/exports/orders.csv.gz"
	_, section, _ := strings.Cut(string(document), "## DuckDB")
	_, section, _ = strings.Cut(section, "```sql\n")
	statement, _, _ := strings.Cut(section, "```")
	if !strings.Contains(statement, from) {
		t.Fatalf("the document's statement does not read %s: %q", from, statement)
	}
	db, f := openDuckDB(t), newFolder(t)
	file, err := f.deliver(t, orders, codecs[2], s3writer.FormatCSV(s3writer.CSV{}), s3writer.Gzip())
	if err != nil {
		t.Fatal(err)
	}
	db.mustQuery(strings.ReplaceAll(statement, from, strings.ReplaceAll(file, "'", "''")))
	columns, got := db.mustQuery("FROM orders")
	if fmt.Sprint(columns) != fmt.Sprint(orders.columns) {
		t.Errorf("columns %q, want %q", columns, orders.columns)
	}
	if err := difference(got, orders.rows); err != nil {
		t.Error(err)
	}
}
