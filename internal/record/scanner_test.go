package record

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// NULL in the tables of these tests.
const null = "\x00NULL"

// parsed is everything a scanner says about a source.
type parsed struct {
	header  []string
	rows    [][]string
	numbers []int64
	offsets []int64
	bad     []BadRow
	err     error
}

func parse(src io.Reader, d Dialect, columns []string, blockSize int, exact bool) parsed {
	s := NewScanner(src, d.Resolve(), columns, blockSize)
	s.Exact(exact)
	var p parsed
	schema, err := s.Header()
	if err != nil {
		return parsed{err: err}
	}
	for _, c := range schema.Columns {
		p.header = append(p.header, c.Name)
	}
	first := int64(1)
	for {
		block, err := s.Next()
		if err == io.EOF {
			return p
		}
		if err != nil {
			p.err = err
			return p
		}
		b, bad := s.Decode(block)
		b.First = first
		p.add(b)
		for i := range bad {
			bad[i].Row += first - 1
		}
		p.bad = append(p.bad, bad...)
		if len(bad) > 0 && !exact {
			return p
		}
		first += int64(b.Rows + len(bad))
		b.Release()
	}
}

func (p *parsed) add(b *Batch) {
	for r := range b.Records() {
		var fields []string
		for i := range r.Len() {
			if v := r.Field(i); v.IsNull() {
				fields = append(fields, null)
			} else {
				fields = append(fields, v.String())
			}
		}
		p.rows = append(p.rows, fields)
		p.numbers = append(p.numbers, b.Number(r.Row))
		p.offsets = append(p.offsets, b.RowOffset(r.Row))
	}
}

func TestSmoke(t *testing.T) {
	p := parse(iotest.OneByteReader(strings.NewReader("a,b\n1,\n\"x\"\"y\",\"\"\n5\" pipe,2\nz,9\n")), Dialect{}, nil, 4, true)
	t.Logf("%q %q %v %+v", p.header, p.rows, p.err, p.bad)
}
