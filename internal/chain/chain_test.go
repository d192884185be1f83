package chain_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/seed149ec23d/s3writer/internal/chain"
	"github.com/seed149ec23d/s3writer/internal/record"
)

var budget = chain.Budget{Memory: 256 << 20, Object: 6 << 20}

func pass(w io.Writer) (io.WriteCloser, error) { return closing{w, ""}, nil }

// TestCompile names every complaint, each with its step.
func TestCompile(t *testing.T) {
	_, errs := chain.Compile([]chain.Step{
		chain.Select(nil), chain.Gzip(1), chain.Limit(-1), {}, chain.Decompress(), chain.Zstd(),
		chain.Select([]string{"id"}).WithName("pick"), chain.JSONLines(), chain.WriterFunc("x", pass),
	})
	want := []string{
		"step 1 Select: takes at least one column",
		"step 3 Limit: the limit is -1; it cannot be negative",
		"step 4: the zero Processor does nothing; make one with a constructor such as Select",
		"step 5 Decompress: reads the source's bytes, but GzipLevel before it has already taken them; put Decompress first",
		"step 6 Zstd: compresses what GzipLevel before it has compressed already; leave one of them out",
		"step 7 pick: needs records, but GzipLevel before it leaves none; put pick first",
		"step 8 JSONLines: needs records, but GzipLevel before it leaves none; put JSONLines first",
	}
	if got := strings.Split(fmt.Sprint(errors.Join(errs...)), "\n"); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for i, err := range errs {
		var e *chain.Error
		if !errors.As(err, &e) || e.Step == 0 || e.Offset != -1 || e.Row != 0 {
			t.Errorf("complaint %d is %#v", i+1, err)
		}
	}
}

// TestTwoEncoders are one too many, in whatever order.
func TestTwoEncoders(t *testing.T) {
	for _, steps := range [][]chain.Step{
		{chain.JSONLines(), chain.FormatCSV(record.Dialect{})},
		{chain.FormatCSV(record.Dialect{}), chain.JSONLines()},
		{chain.JSONLines(), chain.Gzip(-1), chain.JSONLines()},
	} {
		_, errs := chain.Compile(steps)
		first, last := steps[0].Name(), steps[len(steps)-1].Name()
		wantError(t, errors.Join(errs...), fmt.Sprintf("step %d %s: writes the object, but %s before it has written it already; leave one of them out", len(steps), last, first))
	}
}

// TestProgram is what a compiled chain says of itself.
func TestProgram(t *testing.T) {
	encoder := chain.EncoderFunc(".parquet", func(io.Writer, []record.Column) (chain.Encoder, error) { return nil, nil })
	for _, test := range []struct {
		steps   []chain.Step
		exts    string
		encoded bool
		records bool
	}{
		{nil, "[]", false, false},
		{[]chain.Step{chain.Decompress()}, "[]", false, false},
		{[]chain.Step{chain.Gzip(9)}, "[.gz]", false, false},
		{[]chain.Step{chain.Select([]string{"id"})}, "[]", false, true},
		{[]chain.Step{chain.FormatCSV(record.Dialect{})}, "[]", false, true},
		{[]chain.Step{chain.JSONLines(), chain.Gzip(-1)}, "[.jsonl .gz]", true, true},
		{[]chain.Step{encoder, chain.WriterFunc("", pass), chain.WriterFunc("age", pass)}, "[.parquet .age]", true, true},
		{[]chain.Step{chain.Zstd()}, "[.zst]", false, false},
	} {
		p, errs := chain.Compile(test.steps)
		if errs != nil {
			t.Fatal(errs)
		}
		exts, encoded := p.Extensions()
		if fmt.Sprint(exts) != test.exts || encoded != test.encoded || p.NeedsRecords() != test.records {
			t.Errorf("%v: extensions %v, encoded %v, records %v", test.steps, exts, encoded, p.NeedsRecords())
		}
		if test.steps != nil && (test.records || exts != nil) && p.Share(2, budget).Bytes <= 0 {
			t.Errorf("%v: memory %d", test.steps, p.Share(2, budget).Bytes)
		}
		if err := p.ForRecords(); (err != nil) != (len(test.steps) > 0 && test.steps[0].Name() == "Decompress") {
			t.Errorf("%v: ForRecords says %v", test.steps, err)
		}
	}
	one, _ := chain.Compile([]chain.Step{chain.Select([]string{"id"})})
	if one.Share(1, budget).Bytes >= one.Share(8, budget).Bytes {
		t.Errorf("memory does not grow with the blocks in flight: %d and %d", one.Share(1, budget).Bytes, one.Share(8, budget).Bytes)
	}
}

// TestStepString is the step as its constructor was called; secrets are not in it.
func TestStepString(t *testing.T) {
	for _, test := range []struct {
		step chain.Step
		want string
	}{
		{chain.Select([]string{"id", "a\"b"}), `Select("id", "a\"b")`},
		{chain.Drop([]string{"id"}), `Drop("id")`},
		{chain.Rename([]string{"a", "b"}), `Rename("a", "b")`},
		{chain.Hash([]byte("secret"), []string{"id"}), `Hash(key, "id")`},
		{chain.Typed("id", record.Int64), `Typed("id", int64)`},
		{chain.Limit(7), `Limit(7)`},
		{chain.Gzip(-1), `Gzip()`},
		{chain.Gzip(9), `GzipLevel(9)`},
		{chain.Zstd(), `Zstd()`},
		{chain.JSONLines(), `JSONLines()`},
		{chain.FormatCSV(record.Dialect{}), `FormatCSV(CSV)`},
		{chain.Filter(nil), `Filter(func)`},
		{chain.AddColumn("a", "b"), `AddColumn("a", "b")`},
		{chain.RowNumber("n"), `RowNumber("n")`},
		{chain.Derive("n", nil), `Derive("n")`},
		{chain.RecordFunc(nil), `RecordFunc(func)`},
		{chain.ReaderFunc(nil), `ReaderFunc(func)`},
		{chain.WriterFunc("x", nil), `WriterFunc("x", func)`},
		{chain.EncoderFunc("x", nil), `EncoderFunc("x", func)`},
		{chain.Step{}, `(no processor)`},
	} {
		if got := test.step.String(); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}

// TestErrorText reads from large to small and leaves out what is not known.
func TestErrorText(t *testing.T) {
	for _, test := range []struct {
		err  chain.Error
		want string
	}{
		{chain.Error{Err: errBroken}, "it is broken"},
		{chain.Error{Step: 2, Processor: "Filter", Row: 3, Column: "id", Err: errBroken}, `step 2 Filter: row 3: column "id": it is broken`},
		{chain.Error{Row: 3, Err: errBroken}, "row 3: it is broken"},
		{chain.Error{Step: 1, Err: errBroken}, "step 1: it is broken"},
	} {
		wantError(t, &test.err, test.want)
		if !errors.Is(&test.err, errBroken) {
			t.Error("errors.Is does not find the cause")
		}
	}
}

// TestConcurrentOfOthers leaves steps without a function on records as they are.
func TestConcurrentOfOthers(t *testing.T) {
	j := job{in: "id\n1\n2\n3\n"}
	got, err := j.run(t, chain.Limit(2).Concurrent(), chain.RowNumber("n").Concurrent(), chain.Gzip(1).Concurrent())
	if err != nil {
		t.Fatal(err)
	}
	wantMember(t, got, "id,n\n1,1\n2,2\n")
}
