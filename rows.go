package s3writer

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/seed149ec23d/s3writer/internal/chain"
	"github.com/seed149ec23d/s3writer/internal/record"
)

// Rows is the source of a query's result. NULL is kept, column types follow
// the driver's, and values are rendered so:
//
//	bool             true or false
//	integers         decimal
//	floats           shortest decimal that reads back the same, no exponent
//	decimals         verbatim
//	timestamps       RFC 3339, UTC, microseconds: 2006-01-02T15:04:05.000000Z
//	dates            2006-01-02
//	bytes            base64, of columns of a binary type
//
// Any other value fails with its row, its column and its Go type. The rows are
// closed at every ending; they can be read once.
func Rows(rows *sql.Rows) *Source {
	return &Source{records: func() chain.RecordSource { return &sqlRows{rows: rows} }}
}

type sqlRows struct {
	rows    *sql.Rows
	columns []record.Column
	buf     []byte
}

func (s *sqlRows) Columns(context.Context) ([]record.Column, error) {
	if s.rows == nil {
		return nil, errors.New("the rows are nil")
	}
	types, err := s.rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	s.columns = make([]record.Column, len(types))
	for i, t := range types {
		s.columns[i] = record.Column{Name: t.Name(), Type: columnType(t.DatabaseTypeName(), t.ScanType())}
	}
	return s.columns, nil
}

// databaseTypes are the words that begin the names of the common databases'
// types. The first that fits counts.
var databaseTypes = []struct {
	prefix string
	t      record.Type
}{
	{"BOOL", record.Bool},
	{"INTERVAL", record.Text},
	{"INT", record.Int64}, {"BIGINT", record.Int64}, {"SMALLINT", record.Int64}, {"TINYINT", record.Int64},
	{"MEDIUMINT", record.Int64}, {"SERIAL", record.Int64}, {"BIGSERIAL", record.Int64}, {"UNSIGNED", record.Int64},
	{"FLOAT", record.Float64}, {"DOUBLE", record.Float64}, {"REAL", record.Float64},
	{"DECIMAL", record.Decimal}, {"NUMERIC", record.Decimal}, {"NUMBER", record.Decimal}, {"MONEY", record.Text},
	{"TIMESTAMP", record.Timestamp}, {"DATETIME", record.Timestamp}, {"SMALLDATETIME", record.Timestamp},
	{"DATE", record.Date},
	{"BLOB", record.Bytes}, {"BINARY", record.Bytes}, {"VARBINARY", record.Bytes}, {"BYTEA", record.Bytes},
	{"LONGBLOB", record.Bytes}, {"MEDIUMBLOB", record.Bytes}, {"TINYBLOB", record.Bytes}, {"RAW", record.Bytes},
	{"LONG RAW", record.Bytes}, {"IMAGE", record.Bytes}, {"BYTES", record.Bytes},
}

// columnType tells a column's type by its name in the database, else by the
// Go type that the driver scans it to.
func columnType(database string, scan reflect.Type) record.Type {
	name := strings.ToUpper(database)
	for _, d := range databaseTypes {
		if strings.HasPrefix(name, d.prefix) {
			return d.t
		}
	}
	if name != "" || scan == nil {
		return record.Text
	}
	switch scan.Kind() {
	case reflect.Bool:
		return record.Bool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return record.Int64
	case reflect.Float32, reflect.Float64:
		return record.Float64
	}
	if scan == reflect.TypeFor[time.Time]() {
		return record.Timestamp
	}
	return record.Text
}

func (s *sqlRows) Each(b *record.Builder, row func() error) error {
	values := make([]any, len(s.columns))
	targets := make([]any, len(s.columns))
	for i := range values {
		targets[i] = &values[i]
	}
	var number int64
	for s.rows.Next() {
		number++
		if err := s.rows.Scan(targets...); err != nil {
			return &chain.Error{Row: number, Offset: -1, Err: err}
		}
		for i, v := range values {
			if err := s.add(b, s.columns[i].Type, v); err != nil {
				return &chain.Error{Row: number, Offset: -1, Column: s.columns[i].Name, Err: err}
			}
		}
		b.EndRow()
		if err := row(); err != nil {
			return err
		}
	}
	return s.rows.Err()
}

// add renders one value. The column's type decides where the driver's value
// leaves a choice. Text stays as the driver has it, whatever the column's type:
// dates and times are text in some drivers.
func (s *sqlRows) add(b *record.Builder, t record.Type, v any) error {
	if v == nil {
		b.NULL()
		return nil
	}
	var err error
	if s.buf, err = appendValue(s.buf[:0], t, v); err != nil {
		return err
	}
	b.Bytes(s.buf)
	return nil
}

func appendValue(dst []byte, t record.Type, v any) ([]byte, error) {
	switch v := v.(type) {
	case bool:
		return strconv.AppendBool(dst, v), nil
	case int64:
		if t == record.Bool && (v == 0 || v == 1) {
			return strconv.AppendBool(dst, v == 1), nil // MySQL and SQLite have no booleans
		}
		return strconv.AppendInt(dst, v, 10), nil
	case uint64:
		return strconv.AppendUint(dst, v, 10), nil
	case float64:
		return appendFloat(dst, v, 64)
	case float32:
		return appendFloat(dst, float64(v), 32)
	case time.Time:
		return appendTime(dst, t, v), nil
	case string:
		return append(dst, v...), nil
	case []byte:
		if t == record.Bytes {
			return base64.StdEncoding.AppendEncode(dst, v), nil
		}
		return append(dst, v...), nil
	}
	switch r := reflect.ValueOf(v); {
	case r.CanInt():
		return strconv.AppendInt(dst, r.Int(), 10), nil
	case r.CanUint():
		return strconv.AppendUint(dst, r.Uint(), 10), nil
	}
	return nil, fmt.Errorf("a value of Go type %T has no rendering: cast it in the query", v)
}

func appendFloat(dst []byte, v float64, bits int) ([]byte, error) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil, fmt.Errorf("%v is not a finite number: replace it in the query", v)
	}
	return strconv.AppendFloat(dst, v, 'f', -1, bits), nil
}

func appendTime(dst []byte, t record.Type, v time.Time) []byte {
	if t == record.Date {
		return v.AppendFormat(dst, time.DateOnly)
	}
	return v.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000Z")
}

func (s *sqlRows) Close() error {
	if s.rows == nil {
		return nil
	}
	return s.rows.Close()
}
