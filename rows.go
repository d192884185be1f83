package s3writer

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

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
//	text             verbatim
//
// Where a driver has text for a number or a boolean, it must be one. Dates and
// timestamps that a driver has as text stay as they are: drivers differ in
// their form, and [Typed] checks it. Any other value, and bytes that are
// not UTF-8 in a column of another type, fail with their row, their column and
// their Go type. The rows are closed at every ending; they can be read once, by
// one table.
func Rows(rows *sql.Rows) *Source {
	s := &Source{records: func() chain.RecordSource { return &sqlRows{rows: rows} }}
	if rows != nil {
		s.once = rows
	}
	return s
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

// databaseTypes are the words that the common databases call their types by.
var databaseTypes = map[string]record.Type{
	"BOOL": record.Bool, "BOOLEAN": record.Bool,

	"INT": record.Int64, "INTEGER": record.Int64, "BIGINT": record.Int64, "SMALLINT": record.Int64,
	"MEDIUMINT": record.Int64, "TINYINT": record.Int64, "INT2": record.Int64, "INT4": record.Int64, "INT8": record.Int64,
	"INT16": record.Int64, "INT32": record.Int64, "INT64": record.Int64, "UINT8": record.Int64, "UINT16": record.Int64,
	"UINT32": record.Int64, "UINTEGER": record.Int64, "USMALLINT": record.Int64, "UTINYINT": record.Int64,
	"SERIAL": record.Int64, "BIGSERIAL": record.Int64, "SMALLSERIAL": record.Int64,

	// These hold more than an int64 does.
	"UBIGINT": record.Decimal, "UINT64": record.Decimal, "HUGEINT": record.Decimal, "UHUGEINT": record.Decimal,
	"DECIMAL": record.Decimal, "DEC": record.Decimal, "NUMERIC": record.Decimal, "BIGNUMERIC": record.Decimal,
	"NUMBER": record.Decimal,

	"FLOAT": record.Float64, "FLOAT4": record.Float64, "FLOAT8": record.Float64, "FLOAT32": record.Float64,
	"FLOAT64": record.Float64, "DOUBLE": record.Float64, "REAL": record.Float64,
	"BINARY_FLOAT": record.Float64, "BINARY_DOUBLE": record.Float64,

	"DATE": record.Date, "DATE32": record.Date,
	"TIMESTAMP": record.Timestamp, "TIMESTAMPTZ": record.Timestamp, "TIMESTAMP_NTZ": record.Timestamp,
	"TIMESTAMP_LTZ": record.Timestamp, "TIMESTAMP_TZ": record.Timestamp, "DATETIME": record.Timestamp,
	"DATETIME2": record.Timestamp, "DATETIME64": record.Timestamp, "SMALLDATETIME": record.Timestamp,
	"DATETIMEOFFSET": record.Timestamp,

	"BLOB": record.Bytes, "TINYBLOB": record.Bytes, "MEDIUMBLOB": record.Bytes, "LONGBLOB": record.Bytes,
	"BINARY": record.Bytes, "VARBINARY": record.Bytes, "BYTEA": record.Bytes, "BYTES": record.Bytes,
	"RAW": record.Bytes, "IMAGE": record.Bytes,
}

// typeWords splits the name of a type, such as "DECIMAL(10,2)".
func typeWords(name string) []string {
	return strings.FieldsFunc(name, func(r rune) bool {
		return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
}

// namedType tells a type by the first word of its name that says more than how
// long or how signed it is. The words behind it are its details: of a container
// the first word is not known.
func namedType(name string) record.Type {
	if strings.HasSuffix(name, "]") { // an array: INTEGER[]
		return record.Text
	}
	words := typeWords(name)
	for _, word := range words {
		switch word {
		case "UNSIGNED", "SIGNED", "LONG", "NULLABLE":
			continue
		case "BIGINT", "INT8":
			if slices.Contains(words, "UNSIGNED") {
				return record.Decimal
			}
		}
		return databaseTypes[word] // else text
	}
	return record.Text
}

// columnType tells a column's type by its name in the database, else by the
// Go type that the driver scans it to.
func columnType(database string, scan reflect.Type) record.Type {
	if database != "" {
		return namedType(strings.ToUpper(database))
	}
	if scan == nil {
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
// leaves a choice.
func (s *sqlRows) add(b *record.Builder, t record.Type, v any) error {
	if v == nil {
		b.NULL()
		return nil
	}
	var err error
	if s.buf, err = appendValue(s.buf[:0], t, v); err != nil {
		return err
	}
	if !natural(t, v) {
		if err := t.Check(string(s.buf)); err != nil {
			return err
		}
	}
	b.Bytes(s.buf)
	return nil
}

// natural tells whether a rendered value need not be checked: it is a number or
// a boolean by its Go type, or its column's type is left to the driver.
func natural(t record.Type, v any) (ok bool) {
	switch t {
	case record.Bool:
		_, ok = v.(bool)
	case record.Int64:
		_, ok = v.(int64)
	case record.Float64, record.Decimal:
		if _, ok = v.(int64); !ok {
			_, ok = v.(float64)
		}
	default:
		ok = true
	}
	return ok
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
		if t == record.Bytes {
			return base64.StdEncoding.AppendEncode(dst, []byte(v)), nil
		}
		return append(dst, v...), nil
	case []byte:
		if t == record.Bytes {
			return base64.StdEncoding.AppendEncode(dst, v), nil
		}
		if !utf8.Valid(v) {
			return nil, errors.New("a value of Go type []byte is not UTF-8, and the column is of no binary type: cast it in the query")
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
