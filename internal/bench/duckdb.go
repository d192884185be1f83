package main

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	_ "github.com/duckdb/duckdb-go/v2"
)

// openDuckDB opens a database in memory that works on as many cores as Go does.
func openDuckDB(s *site) error {
	db, err := sql.Open("duckdb", fmt.Sprintf("?threads=%d", runtime.GOMAXPROCS(0)))
	if err != nil {
		return err
	}
	s.duckDB = db
	return db.Ping()
}

func duckDBFilterSelect(ctx context.Context, s *site) error {
	d := s.in.dataset
	columns := make([]string, len(d.keep))
	for i, column := range d.keep {
		columns[i] = identifier(column)
	}
	return s.duckDBCopy(ctx, fmt.Sprintf("COPY (SELECT %s FROM %s WHERE %s = %s) TO %s (FORMAT csv, HEADER)",
		strings.Join(columns, ", "), s.duckDBTable(), identifier(d.filter), literal(d.value),
		literal(filepath.Join(string(s.folder), "table.csv"))))
}

func duckDBPartition(ctx context.Context, s *site) error {
	return s.duckDBCopy(ctx, fmt.Sprintf("COPY (SELECT * FROM %s) TO %s (FORMAT csv, HEADER, PARTITION_BY (%s))",
		s.duckDBTable(), literal(filepath.Join(string(s.folder), "table")), identifier(s.in.dataset.key)))
}

// duckDBTable is the input, all text, in SQL.
func (s *site) duckDBTable() string {
	return fmt.Sprintf("read_csv(%s, all_varchar = true)", literal(s.in.file))
}

// duckDBCopy runs a statement and closes the database.
func (s *site) duckDBCopy(ctx context.Context, statement string) error {
	if _, err := s.duckDB.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return s.duckDB.Close()
}

// literal is s as SQL has it.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// identifier is a name as SQL has it.
func identifier(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
