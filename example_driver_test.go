package s3writer_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"time"
)

// shop is a database of one query's result, for ExampleRows.
type shop struct{}

func (s shop) Connect(context.Context) (driver.Conn, error) { return shopConn{}, nil }
func (s shop) Driver() driver.Driver                        { return s }
func (s shop) Open(string) (driver.Conn, error)             { return shopConn{}, nil }

type shopConn struct{}

func (shopConn) Prepare(string) (driver.Stmt, error) { return nil, errors.ErrUnsupported }
func (shopConn) Begin() (driver.Tx, error)           { return nil, errors.ErrUnsupported }
func (shopConn) Close() error                        { return nil }

func (shopConn) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return &shopRows{rows: [][]driver.Value{
		{int64(1), time.Date(2026, 10, 1, 14, 30, 0, 0, time.FixedZone("CEST", 7200)), "fragile"},
		{int64(2), time.Date(2026, 10, 2, 8, 0, 0, 0, time.UTC), nil},
	}}, nil
}

type shopRows struct{ rows [][]driver.Value }

func (*shopRows) Columns() []string { return []string{"id", "ordered", "note"} }
func (*shopRows) ColumnTypeDatabaseTypeName(i int) string {
	return []string{"BIGINT", "TIMESTAMPTZ", "TEXT"}[i]
}
func (*shopRows) Close() error { return nil }

func (r *shopRows) Next(dest []driver.Value) error {
	if len(r.rows) == 0 {
		return io.EOF
	}
	copy(dest, r.rows[0])
	r.rows = r.rows[1:]
	return nil
}
