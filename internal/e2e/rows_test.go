package e2e

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

const ordersSQL = `
CREATE TABLE orders (
	id INTEGER, paid BOOLEAN, weight REAL, price TEXT, created TIMESTAMP, shipped DATE, label BLOB, note TEXT
);
INSERT INTO orders VALUES
	(9223372036854775807, TRUE, 0.1, '12345678901234567890.1200', '2026-03-01 12:30:45.123456+02:00', '2026-03-01', x'00ff', 'a, "b"'),
	(-1, FALSE, 1e21, '7.50', '2026-03-01 12:30:45', '0099-12-31', x'', ''),
	(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);`

// TestRowsOfSQLite delivers what a real database/sql driver returns, with its types and its NULLs.
func TestRowsOfSQLite(t *testing.T) {
	db := openSQLite(t, ordersSQL)
	server := s3writertest.NewServer("warehouse")
	t.Cleanup(server.Close)
	w := writerTo(t, server)

	_, err := w.Write(t.Context(),
		s3writer.NewTable("orders.csv", s3writer.Rows(query(t, db, "SELECT * FROM orders"))),
		s3writer.NewTable("typed.csv", s3writer.Rows(query(t, db, "SELECT id, paid, weight, note FROM orders")), s3writer.JSONLines()),
		s3writer.NewTable("none.csv", s3writer.Rows(query(t, db, "SELECT id, note FROM orders WHERE id = 0"))),
	)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string][]string{
		"orders.csv": {
			"id,paid,weight,price,created,shipped,label,note",
			`9223372036854775807,true,0.1,12345678901234567890.1200,2026-03-01T10:30:45.123456Z,2026-03-01,AP8=,"a, ""b"""`,
			`-1,false,1000000000000000000000,7.50,2026-03-01T12:30:45.000000Z,0099-12-31,"",""`,
			",,,,,,,",
		},
		"typed.jsonl": {
			`{"id":9223372036854775807,"paid":true,"weight":0.1,"note":"a, \"b\""}`,
			`{"id":-1,"paid":false,"weight":1000000000000000000000,"note":""}`,
			`{"id":null,"paid":null,"weight":null,"note":null}`,
		},
		"none.csv": {"id,note"},
	} {
		got, ok := server.Get("warehouse", key)
		if !ok {
			t.Errorf("%s is not there; there are %q", key, server.Keys("warehouse"))
		}
		if want := strings.Join(want, "\n") + "\n"; string(got) != want {
			t.Errorf("%s:\ngot\n%swant\n%s", key, got, want)
		}
	}
}

// TestRowsOfSQLiteFailing ends a query with an error after its first row: nothing of the table is visible.
func TestRowsOfSQLiteFailing(t *testing.T) {
	db := openSQLite(t, "CREATE TABLE numbers (n INTEGER); INSERT INTO numbers VALUES (1), (-9223372036854775808);")
	server := s3writertest.NewServer("warehouse")
	t.Cleanup(server.Close)

	_, err := writerTo(t, server).Write(t.Context(),
		s3writer.NewTable("numbers.csv", s3writer.Rows(query(t, db, "SELECT abs(n) AS n FROM numbers"))))
	mustContain(t, err, `table "numbers.csv"`, "integer overflow")
	if keys := server.Keys("warehouse"); len(keys) != 0 {
		t.Errorf("visible objects: %q", keys)
	}
}

func openSQLite(t *testing.T, schema string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+t.TempDir()+"/test.db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if open := db.Stats().InUse; open != 0 {
			t.Errorf("%d queries were left open", open)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := db.ExecContext(t.Context(), schema); err != nil {
		t.Fatal(err)
	}
	return db
}

func query(t *testing.T, db *sql.DB, text string) *sql.Rows {
	t.Helper()
	// Not the test's context: its end would close the rows in the Writer's place.
	rows, err := db.QueryContext(context.Background(), text)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func writerTo(t *testing.T, server *s3writertest.Server) *s3writer.Writer {
	t.Helper()
	id, secret := server.Credentials()
	w, err := s3writer.New(t.Context(), "warehouse", s3writer.WithEndpoint(server.URL),
		s3writer.WithCredentials(s3writer.StaticCredentials(id, secret, "")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.CloseIdleConnections)
	return w
}
