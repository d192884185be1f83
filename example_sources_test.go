package s3writer_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing/fstest"
	"time"

	"github.com/seed149ec23d/s3writer"
)

// Any reader is a source of CSV.
func ExampleNewTable() {
	body := strings.NewReader("id,amount\n1,9.90\n")
	deliver(s3writer.NewTable("2026/orders.csv", body))
	// Output:
	// -- 2026/orders.csv --
	// id,amount
	// 1,9.90
}

// A file is opened when its table's turn comes, and closed at every ending.
func ExampleFile() {
	data := fstest.MapFS{"orders.csv": {Data: []byte("id\n1\n")}} // os.DirFS("/data")
	deliver(
		s3writer.NewTable("orders.csv", s3writer.File(data, "orders.csv")),
		s3writer.NewTable("users.csv", s3writer.File(data, "users.csv")))
	// Output:
	// s3writer: table "users.csv": source: open users.csv: file does not exist
	// -- orders.csv --
	// id
	// 1
}

// A download that begins when its table's turn comes, and ends with the context.
func ExampleSourceFunc() {
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "id,amount\n1,9.90\n")
	}))
	defer shop.Close()

	download := s3writer.SourceFunc(func(ctx context.Context) (io.ReadCloser, error) {
		req, err := http.NewRequestWithContext(ctx, "GET", shop.URL, nil)
		if err != nil {
			return nil, err
		}
		answer, err := shop.Client().Do(req)
		if err != nil {
			return nil, err
		}
		if answer.StatusCode != http.StatusOK {
			return nil, errors.Join(errors.New(answer.Status), answer.Body.Close())
		}
		return answer.Body, nil
	})
	deliver(s3writer.NewTable("orders.csv", download, s3writer.Select("id")))
	// Output:
	// -- orders.csv --
	// id
	// 1
}

// A query's result. NULL is kept, and types where the format has them.
func ExampleRows() {
	db := sql.OpenDB(shop{}) // sql.Open("pgx", url)
	defer db.Close()

	rows, err := db.QueryContext(ctx, "SELECT id, ordered, note FROM orders")
	if err != nil {
		fmt.Println(err)
		return
	}
	deliver(s3writer.NewTable("orders.csv", s3writer.Rows(rows), s3writer.JSONLines()))
	// Output:
	// -- orders.jsonl --
	// {"id":1,"ordered":"2026-10-01T12:30:00.000000Z","note":"fragile"}
	// {"id":2,"ordered":"2026-10-02T08:00:00.000000Z","note":null}
}

// Records that the program makes itself.
func ExampleRecords() {
	users := s3writer.Records([]string{"id", "name"}, func(yield func([]string, error) bool) {
		for i, name := range []string{"Ada", "Grace"} {
			if !yield([]string{fmt.Sprint(i), name}, nil) {
				return
			}
		}
	})
	deliver(s3writer.NewTable("users.csv", users))
	// Output:
	// -- users.csv --
	// id,name
	// 0,Ada
	// 1,Grace
}

// With NULL and types.
func ExampleValues() {
	columns := []s3writer.Column{{Name: "day", Type: s3writer.DateType}, {Name: "visits", Type: s3writer.Int64Type}}
	visits := s3writer.Values(columns, func(yield func([]s3writer.Value, error) bool) {
		day := time.Date(2026, 2, 28, 0, 0, 0, 0, time.UTC)
		for _, n := range []s3writer.Value{s3writer.Text("12"), {}} {
			if !yield([]s3writer.Value{s3writer.Text(day.Format(time.DateOnly)), n}, nil) {
				return
			}
			day = day.AddDate(0, 0, 1)
		}
	})
	deliver(s3writer.NewTable("visits.csv", visits, s3writer.JSONLines()))
	// Output:
	// -- visits.jsonl --
	// {"day":"2026-02-28","visits":12}
	// {"day":"2026-03-01","visits":null}
}

// The empty text is not NULL.
func ExampleText() {
	var null s3writer.Value
	fmt.Printf("%q %t\n", s3writer.Text(""), s3writer.Text("").IsNull())
	fmt.Printf("%q %t\n", null, null.IsNull())
	// Output:
	// "" false
	// "" true
}

// A source whose values are delimited by tabs, with quotes that mean nothing.
func ExampleCSV() {
	t := s3writer.NewTable("users.tsv", strings.NewReader("id\theight\n7\t5'4\"\n"), s3writer.Select("height", "id"))
	t.CSV = s3writer.CSV{Comma: '\t', NoQuote: true}
	deliver(t)
	// Output:
	// -- users.tsv --
	// height	id
	// 5'4"	7
}

// A source without a header row.
func ExampleTable_columns() {
	t := s3writer.NewTable("users.csv", strings.NewReader("7,Ada\n8,Grace\n"),
		s3writer.FormatCSV(s3writer.CSV{})) // with a header row
	t.Columns = []string{"id", "name"}
	deliver(t)
	// Output:
	// -- users.csv --
	// id,name
	// 7,Ada
	// 8,Grace
}

// Rows with too few fields get NULLs, of rows with too many the last go.
func ExampleRagged() {
	t := s3writer.NewTable("users.csv", strings.NewReader("id,name,note\n7,Ada\n8,Grace,ok,more\n"))
	t.CSV.Ragged = s3writer.RaggedPadTrim
	deliver(t)
	// Output:
	// -- users.csv --
	// id,name,note
	// 7,Ada,
	// 8,Grace,ok
}

// Bad rows are put aside. Without OnBadRow the first one fails the table.
func ExampleTable_onBadRow() {
	t := s3writer.NewTable("users.csv", strings.NewReader("id,name\n7,Ada\n8\n9,Grace\n"))
	t.OnBadRow = func(b s3writer.BadRow) error {
		fmt.Printf("row %d at byte %d, %q: %v\n", b.Row, b.Offset, b.Raw, b.Err)
		return nil // left out; an error would fail the table
	}
	deliver(t)
	// Output:
	// row 2 at byte 14, "8": row has 1 field, header has 2
	// -- users.csv --
	// id,name
	// 7,Ada
	// 9,Grace
}

// The last word before anything becomes visible: here, as many rows as promised.
func ExampleTable_accept() {
	t := s3writer.NewTable("users.csv", strings.NewReader("id,name\n7,Ada\n"))
	t.Accept = func(r s3writer.TableReport) error {
		if r.RowsRead != 2 {
			return fmt.Errorf("%d rows; 2 were promised", r.RowsRead)
		}
		return nil
	}
	deliver(t)
	// Output:
	// s3writer: table "users.csv": refused by Accept: 1 rows; 2 were promised
}
