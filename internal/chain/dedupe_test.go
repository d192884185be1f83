package chain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/seed149ec23d/s3writer/internal/record"
)

// sink is an object in memory.
type sink struct{ bytes.Buffer }

func (*sink) Finish() error { return nil }
func (*sink) Abort()        {}

// deduped is what becomes of a table.
func deduped(t testing.TB, in string, counts *Counts, steps ...Step) (string, error) {
	t.Helper()
	p, errs := Compile(steps)
	if errs != nil {
		t.Fatal(errors.Join(errs...))
	}
	var out sink
	err := p.Run(t.Context(), Input{
		Source: Source{Open: func(context.Context) (io.Reader, io.Closer, error) {
			return strings.NewReader(in), nil, nil
		}},
		Dialect:  record.Dialect{}.Resolve(),
		Parallel: 2,
	}, counts, func(*Object) (ByteSink, error) { return &out, nil })
	return out.String(), err
}

// TestDedupe keeps the first record of each key.
func TestDedupe(t *testing.T) {
	for _, test := range []struct {
		name, in string
		columns  []string
		want     string
		filtered int64
	}{
		{"no duplicates", "id\n1\n2\n", nil, "id\n1\n2\n", 0},
		{"whole rows", "id,n\n1,a\n1,b\n1,a\n", nil, "id,n\n1,a\n1,b\n", 1},
		{"the first wins", "id,n\n1,a\n2,b\n1,c\n3,d\n2,e\n", []string{"id"}, "id,n\n1,a\n2,b\n3,d\n", 2},
		{"the first is the duplicate of none", "id\n1\n1\n1\n", nil, "id\n1\n", 2},
		{"several columns", "a,b,c\nx,y,1\nxy,,2\nx,y,3\n", []string{"a", "b"}, "a,b,c\nx,y,1\nxy,,2\n", 1},
		{"values keep their borders", "a,b\nab,c\na,bc\n\"a,b\",c\na,\"b,c\"\n", nil, "a,b\nab,c\na,bc\n\"a,b\",c\na,\"b,c\"\n", 0},
		{"NULL is a key, and not the empty string", "id,n\n,1\n\"\",2\n,3\n\"\",4\n", []string{"id"}, "id,n\n,1\n\"\",2\n", 2},
		{"quotes do not matter", "id,n\n\"1\",a\n1,b\n", []string{"id"}, "id,n\n\"1\",a\n", 1},
		{"case does", "id\na\nA\n", nil, "id\na\nA\n", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			var counts Counts
			got, err := deduped(t, test.in, &counts, Dedupe(test.columns))
			if err != nil || got != test.want {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
			if n := counts.RowsFiltered.Load(); n != test.filtered {
				t.Errorf("%d rows were filtered, want %d", n, test.filtered)
			}
		})
	}
}

// TestDedupeOverBlocks remembers over batches, in the order of the source, and
// numbers only what is left; so does a Limit behind it.
func TestDedupeOverBlocks(t *testing.T) {
	var in, want strings.Builder
	in.WriteString("id,n\n")
	want.WriteString("id,n,row\n")
	const rows, keys = 120_000, 40_000
	for i := range rows {
		fmt.Fprintf(&in, "k%d,%d\n", i*7%keys, i)
		if i < keys {
			fmt.Fprintf(&want, "k%d,%d,%d\n", i*7%keys, i, i+1)
		}
	}
	var counts Counts
	got, err := deduped(t, in.String(), &counts, Dedupe([]string{"id"}), RowNumber("row"))
	if err != nil || got != want.String() {
		t.Errorf("got %d bytes, %v, want %d", len(got), err, want.Len())
	}
	if n := counts.RowsFiltered.Load(); n != rows-keys {
		t.Errorf("%d rows were filtered, want %d", n, rows-keys)
	}
	got, err = deduped(t, "id\n1\n1\n2\n3\n", &counts, Dedupe(nil), Limit(2))
	if err != nil || got != "id\n1\n2\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestDedupeOfTooMany fails in words at the key that is one too many, not at
// the duplicates before it.
func TestDedupeOfTooMany(t *testing.T) {
	_, err := deduped(t, "id\n1\n2\n2\n3\n1\n4\n5\n", new(Counts), dedupe(nil, 3))
	want := "step 1 Dedupe: row 6: this is one more than 3 distinct keys, for which there is no memory; " +
		"leave duplicates out where the rows come from (SELECT DISTINCT), or deliver the table in parts"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if got, err := deduped(t, "id\n1\n2\n2\n3\n1\n", new(Counts), dedupe(nil, 3)); err != nil || got != "id\n1\n2\n3\n" {
		t.Errorf("three keys: %q, %v", got, err)
	}
}

// TestDedupeStartsAnew in every run.
func TestDedupeStartsAnew(t *testing.T) {
	step := Dedupe(nil)
	for range 2 {
		if got, err := deduped(t, "id\n1\n", new(Counts), step); err != nil || got != "id\n1\n" {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

// TestKeySet holds as many keys as are promised in the memory that is promised:
// the share of both that falls to a few of its buckets.
func TestKeySet(t *testing.T) {
	const part = 16
	var s keySet
	next := func(r *rand.Rand) fingerprint {
		return fingerprint{r.Uint32() / part, r.Uint32(), r.Uint32()}
	}
	first, again := rand.New(rand.NewPCG(1, 2)), rand.New(rand.NewPCG(1, 2))
	for i := range mostKeys / part {
		if !s.add(next(first)) {
			t.Fatalf("key %d is taken for another", i)
		}
	}
	for i := range mostKeys / part {
		if s.add(next(again)) {
			t.Fatalf("key %d is forgotten", i)
		}
	}
	size := 0
	for i := range s.buckets {
		size += len(s.buckets[i].slots) * fingerprintSize
	}
	if s.keys != mostKeys/part || size > keySetState/part || keySetState > 64<<20 {
		t.Errorf("%d keys take %d bytes; %d bytes are promised for %d", s.keys, size, keySetState, mostKeys)
	}
}

// TestKeySetOfZero is about the fingerprint that stands for an empty slot.
func TestKeySetOfZero(t *testing.T) {
	var s keySet
	if !s.add(fingerprint{}) || s.add(fingerprint{}) || !s.add(fingerprint{0, 1, 0}) {
		t.Error("the zero fingerprint is not remembered")
	}
}
