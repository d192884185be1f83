package chain_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/seed149ec23d/s3writer/internal/chain"
	"github.com/seed149ec23d/s3writer/internal/record"
)

// TestShortRows behind steps that add to them: a block of the shortest rows is
// worked on in pieces, and none of them is lost, whatever stands behind.
func TestShortRows(t *testing.T) {
	const rows = 3 * chain.BlockSize / 2
	in := "n\n" + strings.Repeat("1\n", rows)
	id := []string{"n"}
	same := chain.Filter(all)
	for _, test := range []struct {
		name             string
		steps            []chain.Step
		header, row, end string
	}{
		{"AddColumn", []chain.Step{chain.AddColumn("v", "x")}, "n,v\n", "1,x\n", ""},
		{"Select", []chain.Step{chain.Select(id)}, "n\n", "1\n", ""},
		{"Typed", []chain.Step{chain.Typed("n", record.Int64), chain.JSONLines()}, "", `{"n":1}` + "\n", ""},
		{"concurrent Filter", []chain.Step{same.Concurrent()}, "n\n", "1\n", ""},
		{"Filter behind Select", []chain.Step{chain.Select(id), same}, "n\n", "1\n", ""},
		{"Select behind Filter", []chain.Step{same, chain.Select(id)}, "n\n", "1\n", ""},
		{"two stages", []chain.Step{chain.Select(id), same, chain.AddColumn("v", "x"), same, chain.Select(id)}, "n\n", "1\n", ""},
		{"encoder", []chain.Step{chain.AddColumn("v", "x"), new(encoder).step()}, "", "1\n", "end\n"},
	} {
		for _, parallel := range []int{1, 4} {
			t.Run(fmt.Sprintf("%s, %d blocks", test.name, parallel), func(t *testing.T) {
				j := job{in: in, parallel: parallel}
				got, err := j.run(t, test.steps...)
				if err != nil {
					t.Fatal(err)
				}
				if want := test.header + strings.Repeat(test.row, rows) + test.end; got != want {
					t.Errorf("%d bytes came out, want %d", len(got), len(want))
				}
				if read, written := j.counts.RowsRead.Load(), j.counts.RowsWritten.Load(); read != rows || written != rows {
					t.Errorf("%d rows were read and %d written, want %d", read, written, rows)
				}
			})
		}
	}
}

// TestEmitterBehindALimit is told to stop soon after the Limit behind it has
// all the rows it takes, however many more its function would emit.
func TestEmitterBehindALimit(t *testing.T) {
	const (
		many   = 2_000_000
		enough = 20 * chain.BlockSize / 8 // what may be on its way when the Limit is reached
	)
	id := []string{"id"}
	for _, test := range []struct {
		name   string
		behind []chain.Step
		want   string // of the rows 0 to 9
	}{
		{"at once", []chain.Step{chain.Limit(10)}, "id\n%s"},
		{"behind a Filter", []chain.Step{chain.Filter(all), chain.Limit(10)}, "id\n%s"},
		{"in the next stage", []chain.Step{chain.Select(id), chain.Limit(10)}, "id\n%s"},
		{"with an end behind it", []chain.Step{chain.Limit(10), chain.RecordFunc(func([]record.Column) (chain.RecordStep, error) {
			return chain.RecordStep{
				Row: func(r record.Record, out *chain.Emitter) error { out.Copy(r, 0); out.EndRow(); return nil },
				End: func(out *chain.Emitter) error { out.Text("end"); out.EndRow(); return nil },
			}, nil
		})}, "id\n%send\n"},
	} {
		for _, at := range []string{"Row", "End"} {
			t.Run(test.name+", from "+at, func(t *testing.T) {
				var emitted atomic.Int64
				emit := func(out *chain.Emitter) error {
					for i := range many {
						emitted.Add(1)
						out.Text(fmt.Sprint(i))
						out.EndRow()
					}
					return nil
				}
				step := chain.RecordFunc(func([]record.Column) (chain.RecordStep, error) {
					s := chain.RecordStep{Row: func(_ record.Record, out *chain.Emitter) error { return emit(out) }}
					if at == "End" {
						s = chain.RecordStep{Row: func(record.Record, *chain.Emitter) error { return nil }, End: emit}
					}
					return s, nil
				})
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				j := job{in: "id\nx\n"}
				got, err := j.run(t, append([]chain.Step{step}, test.behind...)...)
				runtime.ReadMemStats(&after)
				if want := fmt.Sprintf(test.want, "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n"); err != nil || got != want {
					t.Errorf("got %q, %v, want %q", got, err, want)
				}
				if n := emitted.Load(); n > enough {
					t.Errorf("%d rows were emitted, want at most %d", n, enough)
				}
				if grown := int64(after.Sys) - int64(before.Sys); grown > 256<<20 {
					t.Errorf("the process grew by %d MiB", grown>>20)
				}
			})
		}
	}
}
