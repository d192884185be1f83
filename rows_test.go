package s3writer_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/seed149ec23d/s3writer"
)

// answer is a database whose every query has one answer, typed as named.
type answer struct {
	columns, types []string
	rows           [][]driver.Value
	at             int
	closing        chan struct{} // waited for by Close; nil: not
}

func (a *answer) Connect(context.Context) (driver.Conn, error) { return answering{a}, nil }
func (a *answer) Driver() driver.Driver                        { return nil }

// answering is a connection to it.
type answering struct{ *answer }

func (answering) Prepare(string) (driver.Stmt, error) { return nil, driver.ErrSkip }
func (answering) Close() error                        { return nil }
func (answering) Begin() (driver.Tx, error)           { return nil, driver.ErrSkip }

func (a answering) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return &answered{a.answer}, nil
}

// answered are its rows.
type answered struct{ *answer }

func (a *answered) Columns() []string                       { return a.columns }
func (a *answered) ColumnTypeDatabaseTypeName(i int) string { return a.types[i] }

func (a *answered) Close() error {
	if a.closing != nil {
		<-a.closing
	}
	return nil
}

func (a *answered) Next(dest []driver.Value) error {
	if a.at == len(a.rows) {
		return io.EOF
	}
	copy(dest, a.rows[a.at])
	a.at++
	return nil
}

// query returns the rows of a database.
func query(t *testing.T, a *answer) *sql.Rows {
	t.Helper()
	db := sql.OpenDB(a)
	t.Cleanup(func() { db.Close() })
	// Not the test's context: its end would close the rows in the Writer's place.
	rows, err := db.QueryContext(context.Background(), "SELECT")
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestRowsOfTypes writes one value of each type of the common databases. What
// JSON has no quotes around is of a typed column.
func TestRowsOfTypes(t *testing.T) {
	day := time.Date(2026, 1, 2, 15, 4, 5, 678000, time.FixedZone("", 3600))
	for _, test := range []struct {
		name  string // of the type
		value driver.Value
		want  string
	}{
		{"BOOLEAN", true, `true`},
		{"BOOL", int64(1), `true`},
		{"BOOL", []byte("false"), `false`},
		{"INT", int64(-1), `-1`},
		{"int unsigned", []byte("4294967295"), `4294967295`},
		{"UNSIGNED BIGINT", []byte("18446744073709551615"), `18446744073709551615`},
		{"BIGINT", "12", `12`},
		{"TINYINT(1)", int64(7), `7`},
		{"Nullable(Int64)", int64(7), `7`},
		{"INT4RANGE", []byte("[1,5)"), `"[1,5)"`},
		{"_INT4", []byte("{1,2}"), `"{1,2}"`},
		{"INTEGER[]", "[1, 2]", `"[1, 2]"`},
		{"INTERVAL DAY TO SECOND", "1 02:03:04", `"1 02:03:04"`},
		{"DOUBLE PRECISION", 0.1, `0.1`},
		{"FLOAT8", []byte("1.5e+20"), `1.5e+20`},
		{"DECIMAL(10,2)", []byte("7.50"), `7.50`},
		{"NUMERIC", "12345678901234567890.12", `12345678901234567890.12`},
		{"NUMBERED", "1", `"1"`},
		{"TIMESTAMP WITH TIME ZONE", day, `"2026-01-02T14:04:05.000678Z"`},
		{"DATETIME", []byte("0000-00-00 00:00:00"), `"0000-00-00 00:00:00"`},
		{"DATE", day, `"2026-01-02"`},
		{"DATE", "2 January", `"2 January"`},
		{"DATERANGE", "[2026-01-01,2026-02-01)", `"[2026-01-01,2026-02-01)"`},
		{"BYTEA", []byte{0, 255}, `"AP8="`},
		{"LONG RAW", []byte{}, `""`},
		{"VARBINARY(8)", "ab", `"YWI="`},
		{"BITMAP", []byte("ü"), `"ü"`},
		{"VARCHAR(10)", []byte("a"), `"a"`},
		{"", []byte("a"), `"a"`},
		{"INT", nil, `null`},
	} {
		t.Run(strings.TrimSpace(test.name), func(t *testing.T) {
			srv := newServer(t)
			rows := query(t, &answer{columns: []string{"v"}, types: []string{test.name}, rows: [][]driver.Value{{test.value}}})
			write(t, newWriter(t, srv), s3writer.NewTable("t", s3writer.Rows(rows), s3writer.JSONLines()))
			wantObject(t, srv, "t.jsonl", `{"v":`+test.want+"}\n")
		})
	}
}

// TestBadRowsOfQueries are those with a value that is not of its column's type.
func TestBadRowsOfQueries(t *testing.T) {
	for _, test := range []struct {
		name  string // of the type
		value driver.Value
		want  string
	}{
		{"VARCHAR", []byte{0xff}, `a value of Go type []byte is not UTF-8, and the column is of no binary type: cast it in the query`},
		{"UNIQUEIDENTIFIER", []byte{0xff}, `a value of Go type []byte is not UTF-8, and the column is of no binary type: cast it in the query`},
		{"INTEGER", "abc", `"abc" is not an int64`},
		{"INTEGER", 1.5, `"1.5" is not an int64`},
		{"BOOLEAN", int64(2), `"2" is not a bool: true or false`},
		{"BOOLEAN", "t", `"t" is not a bool: true or false`},
		{"NUMERIC", []byte("NaN"), `"NaN" is not a decimal number`},
		{"REAL", []byte("1,5"), `"1,5" is not a float64`},
		{"REAL", time.Time{}, `"0001-01-01T00:00:00.000000Z" is not a float64`},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			rows := query(t, &answer{columns: []string{"id", "v"}, types: []string{"INT", test.name},
				rows: [][]driver.Value{{int64(1), nil}, {int64(2), test.value}}})
			_, err := newWriter(t, srv).Write(t.Context(), s3writer.NewTable("t.csv", s3writer.Rows(rows)))
			wantText(t, err, `s3writer: table "t.csv": row 2: column "v": `+test.want)
			wantNothing(t, srv)
		})
	}
}

// TestOneSourceTwice gives two tables of one Write the same source: the second
// would find it empty.
func TestOneSourceTwice(t *testing.T) {
	answered := &answer{columns: []string{"v"}, types: []string{"INT"}}
	for _, test := range []struct {
		name string
		src  func() (first, second io.Reader)
		want bool // an error
	}{
		{"reader", func() (a, b io.Reader) { r := strings.NewReader("id\n1\n"); return r, r }, true},
		{"rows", func() (a, b io.Reader) { r := s3writer.Rows(query(t, answered)); return r, r }, true},
		{"two sources of the same rows", func() (a, b io.Reader) {
			rows := query(t, answered)
			return s3writer.Rows(rows), s3writer.Rows(rows)
		}, true},
		{"two readers", func() (a, b io.Reader) { return strings.NewReader("id\n"), strings.NewReader("id\n") }, false},
		{"two readers of no size", func() (a, b io.Reader) { return &nothing{}, &nothing{} }, false},
		{"records", func() (a, b io.Reader) {
			r := s3writer.Records([]string{"id"}, records([]string{"1"}))
			return r, r
		}, false},
		{"a source that opens", func() (a, b io.Reader) {
			r := s3writer.SourceFunc(func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("id\n")), nil })
			return r, r
		}, false},
		{"values", func() (a, b io.Reader) {
			r := readerFunc(func([]byte) (int, error) { return 0, io.EOF })
			return r, r
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			first, second := test.src() // before the server, which looks for new goroutines
			srv := newServer(t)
			_, err := newWriter(t, srv).Write(t.Context(),
				s3writer.NewTable("a.csv", first), csv("b.csv", "id\n"), s3writer.NewTable("c.csv", second))
			want := ""
			if test.want {
				const both = `tables 1 ("a.csv") and 3 ("c.csv") of this Write have the same source, which can be read only once`
				want = `s3writer: table "a.csv": ` + both + "\n" + `s3writer: table "c.csv": ` + both
			}
			wantText(t, err, want)
			wantObject(t, srv, "b.csv", "id\n")
			if n := len(srv.Keys(bucket)); test.want != (n == 1) {
				t.Errorf("%d objects: %q", n, srv.Keys(bucket))
			}
		})
	}
}

// nothing is an empty reader of no size: its pointers need not differ.
type nothing struct{}

func (*nothing) Read([]byte) (int, error) { return 0, io.EOF }

// TestRowsNeverRead are closed, and waited for no longer than a moment once the
// caller has gone.
func TestRowsNeverRead(t *testing.T) {
	srv := newServer(t)
	a := &answer{columns: []string{"a"}, types: []string{"TEXT"}, closing: make(chan struct{})}
	rows := query(t, a)
	defer close(a.closing)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ended := make(chan error)
	go func() {
		_, err := newWriter(t, srv).Write(ctx, s3writer.NewTable("t.csv", s3writer.Rows(rows)))
		ended <- err
	}()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	case <-time.After(time.Second):
		t.Error("Write waits for Close")
		a.closing <- struct{}{}
		<-ended
	}
}
