package record

import (
	"bytes"
	"encoding/csv"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// randomRows returns a source of many stripes with everything a field can be,
// written by encoding/csv.
func randomRows(t testing.TB, crlf bool) string {
	t.Helper()
	random := rand.New(rand.NewPCG(3, 4))
	pieces := []string{"", "x", "1", ",", "\"", "\n", " y", "é", "plain text", strings.Repeat("long ", 20)}
	var b strings.Builder
	w := csv.NewWriter(&b)
	w.UseCRLF = crlf
	row := []string{"a", "b", "c", "d"}
	for range 5000 {
		if err := w.Write(row); err != nil {
			t.Fatal(err)
		}
		for i := range row {
			row[i] = "v" + pieces[random.IntN(len(pieces))] + pieces[random.IntN(len(pieces))]
		}
	}
	w.Flush()
	return b.String()
}

// All ways through a large source lead to the same rows.
func TestLargeSource(t *testing.T) {
	for _, crlf := range []bool{false, true} {
		in := randomRows(t, crlf)
		want := reading{block: len(in) + 1, slow: true}.parse(strings.NewReader(in))
		if len(want.rows) != 4999 || len(want.bad) > 0 {
			t.Fatalf("%d rows, bad %+v", len(want.rows), want.bad)
		}
		for _, r := range []reading{
			{block: 5000}, {block: 5000, exact: true}, {block: 1 << 17}, {block: 1 << 17, exact: true},
			{block: len(in) + 1, d: Dialect{MaxRow: 1 << 16}}, // fewer bytes than a block
		} {
			comparePasses(t, r, r.parse(strings.NewReader(in)), want)
		}
	}
}

// Blocks are decoded in any order, by many at once, while the next is cut.
func TestDecodeConcurrently(t *testing.T) {
	in := randomRows(t, false) + "x,\"y\n" // the last row is bad
	s := NewScanner(strings.NewReader(in), Dialect{}.Resolve(), nil, 10000)
	s.Exact(true)
	var good, bad atomic.Int64
	var decoding sync.WaitGroup
	for block := range blocksIn(t, s) {
		decoding.Go(func() {
			b, rejected := s.Decode(block)
			good.Add(int64(b.Rows))
			bad.Add(int64(len(rejected)))
			b.Release()
		})
	}
	decoding.Wait()
	if good.Load() != 4999 || bad.Load() != 1 {
		t.Errorf("%d good rows, %d bad ones", good.Load(), bad.Load())
	}
}

// What is written does not depend on the room there is to write.
func TestAppendIntoRoom(t *testing.T) {
	for _, cols := range [][]int{{0, 1, 2, 3}, {2, 0}, {3, 1, 2}, {1}} {
		b := pick(batchOf(t, randomRows(t, false), Dialect{}), cols...)
		for i := range b.Rows {
			if i%3 > 0 {
				b.Selection = append(b.Selection, int32(i))
			}
		}
		d := Dialect{}.Resolve()
		want, err := d.Append(nil, b)
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.Append(make([]byte, 1, 2<<20), b)
		if err != nil || !bytes.Equal(got[1:], want) {
			t.Errorf("columns %v: other bytes in a large buffer, error %v", cols, err)
		}
		roundTrip(t, b, *d)
		roundTrip(t, b, *Dialect{Comma: '\t', CRLF: true}.Resolve())
	}
}

// A mixture of raw and plain columns keeps each where it belongs.
func TestAppendMixed(t *testing.T) {
	b := batchOf(t, "a,b,c\n1,\"2,\",3\n4,5,\n", Dialect{})
	derived := plainBatch([][]string{{"x,y"}, {null}})
	refs := []Ref{b.Refs[0], b.Refs[1], derived.Refs[0], b.Refs[2]}
	b.Rebind(textColumns([]string{"a", "b", "d", "c"}, true), refs)
	got, err := Dialect{}.Resolve().Append(nil, b)
	if want := "1,\"2,\",\"x,y\",3\n4,5,,\n"; err != nil || string(got) != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}
