package s3writer

import (
	"testing"

	"github.com/seed149ec23d/s3writer/internal/chain"
	"github.com/seed149ec23d/s3writer/internal/record"
)

// TestRecordStepAllocatesNothing per row beside what its function does.
func TestRecordStepAllocatesNothing(t *testing.T) {
	rows := 0
	step := RecordStep{Row: func(Record, *Emitter) error { rows++; return nil }}.internal()
	out := new(chain.Emitter)
	if n := testing.AllocsPerRun(100, func() { _ = step.Row(record.Record{}, out) }); n != 0 {
		t.Errorf("%v allocations for a row, want none", n)
	}
	if rows == 0 {
		t.Error("the function was not called")
	}
}
