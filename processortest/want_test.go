package processortest_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/processortest"
)

// Test says what is wrong with its arguments, and does not blame the processor.
func TestArguments(t *testing.T) {
	for name, tt := range map[string]struct {
		in   string
		want []processortest.Want
		says string
	}{
		"nil Rows":                     {want: []processortest.Want{processortest.Rows(nil)}, says: "the function of a Want is nil"},
		"nil Undo":                     {want: []processortest.Want{processortest.Undo(nil)}, says: "the function of a Want is nil"},
		"nil Parse":                    {want: []processortest.Want{processortest.Parse(nil)}, says: "the function of a Want is nil"},
		"nil Source":                   {want: []processortest.Want{processortest.Source(nil)}, says: "the function of a Want is nil"},
		"zero Want":                    {want: make([]processortest.Want, 1), says: "the zero Want wants nothing"},
		"Objects of no table":          {want: []processortest.Want{processortest.Objects("")}, says: "no table was given"},
		"a table that cannot be read":  {in: "a,b\n1\n", says: "the table to test with cannot be read: "},
		"a source that cannot be made": {want: []processortest.Want{processortest.Source(func([]byte) ([]byte, error) { return nil, errors.New("no") })}, says: `Source: no`},
	} {
		t.Run(name, func(t *testing.T) {
			err := processortest.Test(s3writer.Gzip(), tt.in, tt.want...)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %s", err, tt.says)
			}
		})
	}
}

// What is expected decides: the same step is right or wrong.
func TestWants(t *testing.T) {
	const in = "id,name\n1,Ada\n2,Grace\n"
	first := s3writer.Limit(1)
	firstRow := processortest.Rows(func(in processortest.Table) processortest.Table {
		return processortest.Table{Columns: in.Columns, Rows: in.Rows[:min(1, len(in.Rows))]}
	})
	for name, tt := range map[string]struct {
		p    s3writer.Processor
		want []processortest.Want
		says string // "" for nil
	}{
		"rows are kept by default":    {p: first, says: "rows: 1 of 2 rows are lost"},
		"RowPreserving":               {p: first, want: []processortest.Want{processortest.RowPreserving()}, says: "rows: 1 of 2 rows are lost"},
		"Rows":                        {p: first, want: []processortest.Want{firstRow}},
		"Rows of other columns":       {p: s3writer.Chain(first, s3writer.Drop("id")), want: []processortest.Want{firstRow}, says: `columns: they are ["name"], expected ["id" "name"]`},
		"Objects":                     {p: first, want: []processortest.Want{processortest.Objects("id,name\n1,Ada\n")}},
		"other Objects":               {p: first, want: []processortest.Want{processortest.Objects("id,name\n")}, says: `objects: "table.csv" is "id,name\n1,Ada\n", expected "id,name\n"`},
		"more Objects":                {p: s3writer.Chain(s3writer.Limit(2), s3writer.SplitRows(1)), want: []processortest.Want{processortest.Objects("id,name\n1,Ada\n")}, says: `objects: there are 2, expected 1`},
		"a format nobody can read":    {p: lines(func(e *lineEncoder, b *s3writer.Batch) { e.add(b) }), says: `say with Parse or Undo how it is read`},
		"a time in the object":        {p: stamped(), says: "state: "},
		"a time in the object, named": {p: stamped(), want: []processortest.Want{processortest.Varying()}},
		"Varying, and a row is lost":  {p: s3writer.Chain(first, stamped()), want: []processortest.Want{processortest.Varying()}, says: "rows: 1 of 2 rows are lost"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := processortest.Test(tt.p, in, tt.want...)
			if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("got %v, want %s", err, tt.says)
			}
		})
	}
}
