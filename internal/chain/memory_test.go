package chain_test

import (
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/seed149ec23d/s3writer/internal/chain"
	"github.com/seed149ec23d/s3writer/internal/record"
)

// manyRows is a source that repeats a row.
type manyRows struct {
	row  string
	at   int // in the row
	left int // rows
}

func (m *manyRows) Read(p []byte) (n int, err error) {
	for n < len(p) && m.left > 0 {
		k := copy(p[n:], m.row[m.at:])
		n += k
		if m.at += k; m.at == len(m.row) {
			m.at, m.left = 0, m.left-1
		}
	}
	if n == 0 {
		err = io.EOF
	}
	return n, err
}

// poolsForget is set where how much is allocated says nothing.
var poolsForget bool

// The memory of rows is used again when they are written, or left out: a table
// of any length is no work for the collector.
func TestMemoryIsReused(t *testing.T) {
	const size = 48 << 20
	all := func(record.Record) bool { return true }
	none := func(r record.Record) bool { return r.Get("col_1") == "" }
	value := func(r record.Record) (record.Value, error) { return record.TextValue("v"), nil }
	row := strings.Repeat("some text,", 11) + "end\n"
	for _, test := range []struct {
		name  string
		steps []chain.Step
	}{
		{"filter, select", []chain.Step{chain.Filter(all), chain.Select([]string{"col_3", "col_5"})}},
		{"none left", []chain.Step{chain.Filter(none)}},
		{"none left, in parallel", []chain.Step{chain.Filter(none).Concurrent()}},
		{"derive", []chain.Step{chain.Derive("more", value), chain.Select([]string{"col_1", "more"})}},
		{"derive in parallel", []chain.Step{chain.Derive("more", value).Concurrent()}},
		{"rows emitted", []chain.Step{each(func(r record.Record, e *chain.Emitter) error {
			if r.Row%100 == 0 {
				for i := range r.Len() {
					e.Copy(r, i)
				}
				e.EndRow()
			}
			return nil
		})}},
		{"dedupe", []chain.Step{chain.Dedupe(nil)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			j := job{reader: &manyRows{row: row, left: size / len(row)}, dialect: record.Dialect{NoHeader: true}, object: &object{discard: true}}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if _, err := j.run(t, test.steps...); err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			if n := int64(after.TotalAlloc - before.TotalAlloc); n > size*3/4 && !poolsForget {
				t.Errorf("%d MiB were allocated for a table of %d MiB", n>>20, size>>20)
			}
		})
	}
}
