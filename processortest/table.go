package processortest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/seed149ec23d/s3writer"
)

// Table is the rows of a table. Every row has a value for every column.
type Table struct {
	Columns []string
	Rows    [][]s3writer.Value
}

// csv is the table as RFC 4180 has it: NULL is the empty field, "" the empty string.
func (t Table) csv(lineEnd string) []byte {
	var b bytes.Buffer
	for i, name := range t.Columns {
		writeField(&b, i, s3writer.Text(name))
	}
	b.WriteString(lineEnd)
	for _, row := range t.Rows {
		for i, v := range row {
			writeField(&b, i, v)
		}
		b.WriteString(lineEnd)
	}
	return b.Bytes()
}

func writeField(b *bytes.Buffer, i int, v s3writer.Value) {
	if i > 0 {
		b.WriteByte(',')
	}
	s := v.String()
	if !v.IsNull() && (s == "" || strings.ContainsAny(s, "\",\r\n")) {
		s = `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	b.WriteString(s)
}

// doubled has every row twice.
func (t Table) doubled() Table {
	out := Table{Columns: t.Columns}
	for _, row := range t.Rows {
		out.Rows = append(out.Rows, row, row)
	}
	return out
}

// rotated begins with row n.
func (t Table) rotated(n int) Table {
	n = min(n, len(t.Rows))
	return Table{t.Columns, append(t.Rows[n:len(t.Rows):len(t.Rows)], t.Rows[:n]...)}
}

// project leaves the columns at these positions.
func (t Table) project(columns []int) Table {
	out := Table{Rows: make([][]s3writer.Value, len(t.Rows))}
	for _, c := range columns {
		out.Columns = append(out.Columns, t.Columns[c])
	}
	for i, row := range t.Rows {
		for _, c := range columns {
			out.Rows[i] = append(out.Rows[i], row[c])
		}
	}
	return out
}

// preserved compares what in and got have in common: the columns of one name, else, where got has no names, those of
// one position.
func preserved(in, got Table) (Table, Table) {
	if got.Columns == nil {
		if len(got.Rows) > 0 && len(got.Rows[0]) != len(in.Columns) {
			return got.project(nil), in.project(nil)
		}
		return got, Table{Rows: in.Rows}
	}
	var a, b []int
	for i, name := range got.Columns {
		for j, before := range in.Columns {
			if name == before {
				a, b = append(a, i), append(b, j)
			}
		}
	}
	return got.project(a), in.project(b)
}

// compare says in which way got is not want.
func compare(got, want Table) error {
	if got.Columns != nil && want.Columns != nil && fmt.Sprintf("%q", got.Columns) != fmt.Sprintf("%q", want.Columns) {
		return broken("columns", "they are %.500q, expected %.500q", got.Columns, want.Columns)
	}
	if slices.EqualFunc(got.Rows, want.Rows, slices.Equal) {
		return nil
	}
	at := -1 // the first row that differs
	left := map[string]int{}
	for i := range max(len(got.Rows), len(want.Rows)) {
		var g, w string
		if i < len(got.Rows) {
			g = text(got.Rows[i])
			left[g]--
		}
		if i < len(want.Rows) {
			w = text(want.Rows[i])
			left[w]++
		}
		if at < 0 && (g != w || i >= len(got.Rows) || i >= len(want.Rows)) {
			at = i
		}
	}
	lost, extra := 0, 0
	for _, n := range left {
		lost += max(0, n)
		extra += max(0, -n)
	}
	switch {
	case lost == 0 && extra == 0:
		return broken("order", "rows leave in another order than they came: row %d of %d is %.200s, expected %.200s", at+1, len(want.Rows), text(got.Rows[at]), text(want.Rows[at]))
	case extra == 0:
		return broken("rows", "%d of %d rows are lost; the first difference is at row %d, expected %.200s", lost, len(want.Rows), at+1, text(want.Rows[at]))
	case lost == 0:
		return broken("rows", "%d rows more than the expected %d; the first difference is at row %d: %.200s", extra, len(want.Rows), at+1, text(got.Rows[at]))
	case at < len(got.Rows) && at < len(want.Rows):
		return broken("rows", "%d rows, expected %d; row %d is %.200s, expected %.200s", len(got.Rows), len(want.Rows), at+1, text(got.Rows[at]), text(want.Rows[at]))
	default:
		return broken("rows", "%d rows, expected %d; they differ from row %d on", len(got.Rows), len(want.Rows), at+1)
	}
}

// text is a row in an error.
func text(row []s3writer.Value) string {
	fields := make([]string, len(row))
	for i, v := range row {
		if fields[i] = "NULL"; !v.IsNull() {
			fields[i] = fmt.Sprintf("%q", v)
		}
	}
	return "(" + strings.Join(fields, ", ") + ")"
}
