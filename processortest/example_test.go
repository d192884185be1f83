package processortest_test

import (
	"fmt"
	"strings"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/processortest"
)

// A step of one's own, and a simple description of what it does to rows.
func ExampleTest() {
	perTag := s3writer.RecordFunc(func([]s3writer.Column) (s3writer.RecordStep, error) {
		return s3writer.RecordStep{Row: func(r s3writer.Record, out *s3writer.Emitter) error {
			for tag := range strings.SplitSeq(r.Get("tags"), " ") {
				out.Copy(r, 0)
				out.Text(tag)
				out.EndRow()
			}
			return nil
		}}, nil
	})
	model := func(in processortest.Table) processortest.Table {
		out := processortest.Table{Columns: in.Columns}
		for _, row := range in.Rows {
			for _, tag := range strings.Split(row[1].String(), " ") {
				out.Rows = append(out.Rows, []s3writer.Value{row[0], s3writer.Text(tag)})
			}
		}
		return out
	}
	fmt.Println(processortest.Test(perTag, "id,tags\n1,red big\n2,blue\n", processortest.Rows(model)))
	// Output:
	// <nil>
}

// The count is one for all tables, but belongs to each: RecordFunc opens a step per table.
func ExampleTest_broken() {
	rows := 0
	first := s3writer.Filter(func(s3writer.Record) bool {
		rows++
		return rows <= 100
	})
	fmt.Println(processortest.Test(first, "id\n1\n2\n"))
	// Output:
	// processortest: Filter(func): state: the same table becomes something else: object "table.csv" differs at byte 3: 3 bytes instead of 43 [delivered: once more; what one table leaves behind must not reach the next] [input: 20000 rows of the given ones]
}
