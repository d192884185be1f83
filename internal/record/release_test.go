package record

import (
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"strings"
	"testing"
)

// numberedRows returns n rows that tell which they are, of very different
// lengths, with everything that a field can need.
func numberedRows(n int) (text string, rows [][]string) {
	var b strings.Builder
	b.WriteString("a,b\n")
	for i := range n {
		value := fmt.Sprintf("%d%s", i, strings.Repeat("-", i%97*(i%13)))
		number := fmt.Sprint(i) + strings.Repeat("x", i/10%40)
		fmt.Fprintf(&b, "%s,\"%s\"\"\"\n", number, value)
		rows = append(rows, []string{number, value + `"`})
	}
	return b.String(), rows
}

// The memory of a block is the next one's, unless somebody has it still: the
// scanner, whose next block begins in it, or a batch.
func TestReleaseInAnyOrder(t *testing.T) {
	text, want := numberedRows(3000)
	for _, size := range []int{1, 50, 1000, 4096, 1 << 17} {
		for most := range 5 {
			random := rand.New(rand.NewPCG(1, uint64(most)))
			s := NewScanner(strings.NewReader(text), Dialect{}.Resolve(), nil, size)
			var held []*Batch
			row := 1 // the first of held
			check := func(b *Batch) {
				for r := range b.Records() {
					got, want := fields(r), want[b.Number(r.Row)-1]
					if got[0] != want[0] || got[1] != want[1] {
						t.Fatalf("blocks of %d bytes, %d held: got %q, want %q", size, most, got, want)
					}
				}
				b.Release()
			}
			for block := range blocksIn(t, s) {
				b, _ := s.Decode(block)
				b.First = int64(row)
				row += b.Rows
				if held = append(held, b); len(held) > most {
					i := random.IntN(len(held))
					check(held[i])
					held = append(held[:i], held[i+1:]...)
				}
			}
			for _, b := range held {
				check(b)
			}
			if row != len(want)+1 {
				t.Errorf("blocks of %d bytes: %d rows, want %d", size, row-1, len(want))
			}
		}
	}
}

// blocksIn are what is left to be read of s.
func blocksIn(t testing.TB, s *Scanner) iter.Seq[Block] {
	return func(yield func(Block) bool) {
		t.Helper()
		for {
			block, err := s.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !yield(block) {
				return
			}
		}
	}
}

// What is handed on in parts is released part by part.
func TestReleaseOfParts(t *testing.T) {
	text, _ := numberedRows(9)
	s := NewScanner(strings.NewReader(text), Dialect{}.Resolve(), nil, 1<<10)
	block, err := s.Next()
	if err != nil {
		t.Fatal(err)
	}
	b, _ := s.Decode(block)
	first, second, last := b.Window(0, 4), b.Window(4, 8), b.Part([]int32{8})
	whole := first.decoded
	b.Release()
	b.Release() // of no effect
	for _, test := range []struct {
		b    *Batch
		want string
	}{{second, "4 5 6 7"}, {last, "8"}, {first, "0 1 2 3"}} {
		if whole.vector.Off == nil {
			t.Fatal("the memory was given back too early")
		}
		var got []string
		for r := range test.b.Records() {
			got = append(got, strings.Clone(r.Get("a")))
		}
		if s := strings.Join(got, " "); s != test.want {
			t.Errorf("got rows %s, want %s", s, test.want)
		}
		test.b.Release()
	}
	if whole.vector.Off != nil || whole.claims.Load() != 0 {
		t.Error("the memory was not given back")
	}
}

// Strings of a view outlive the batch, whatever they were in the text; those of
// the batch itself do not.
func TestViewKeepsText(t *testing.T) {
	text, want := numberedRows(2000)
	s := NewScanner(strings.NewReader(text), Dialect{}.Resolve(), nil, 1000)
	var kept [][]string
	for block := range blocksIn(t, s) {
		b, _ := s.Decode(block)
		view := b.View()
		for r := range view.Records() {
			kept = append(kept, []string{r.Get("a"), r.Field(1).String()})
		}
		view.EndView()
		b.Release()
	}
	for i, row := range kept {
		if row[0] != want[i][0] || row[1] != want[i][1] {
			t.Fatalf("row %d has become %q, want %q", i+1, row, want[i])
		}
	}
	if len(kept) != len(want) {
		t.Errorf("%d rows, want %d", len(kept), len(want))
	}
}

// Bad rows outlive the batch they were found with.
func TestBadRowsKeepText(t *testing.T) {
	var text strings.Builder
	text.WriteString("a,b\n")
	for i := range 2000 {
		fmt.Fprintf(&text, "%d,x\nbad %d\n", i, i)
	}
	s := NewScanner(strings.NewReader(text.String()), Dialect{}.Resolve(), nil, 500)
	s.Exact(true)
	var bad []BadRow
	for block := range blocksIn(t, s) {
		b, rows := s.Decode(block)
		bad = append(bad, rows...)
		b.Release()
	}
	for i, row := range bad {
		if want := fmt.Sprintf("bad %d", i); row.Raw != want {
			t.Fatalf("row %d has become %q, want %q", i+1, row.Raw, want)
		}
	}
	if len(bad) != 2000 {
		t.Errorf("%d bad rows", len(bad))
	}
}

// Selections are made in the memory of the one before, or in memory that comes
// back with the batch.
func TestNewSelection(t *testing.T) {
	text, _ := numberedRows(100)
	b := batchOf(t, text, Dialect{})
	for _, divisor := range []int{2, 3, 5} {
		rows := b.NewSelection()
		if len(rows) != 0 || cap(rows) < b.Len() {
			t.Fatalf("a selection of length %d and capacity %d for %d rows", len(rows), cap(rows), b.Len())
		}
		for i, n := 0, b.Len(); i < n; i++ {
			if row := b.Row(i); row%divisor == 0 {
				rows = append(rows, int32(row))
			}
		}
		b.Selection = rows
	}
	if got := fmt.Sprint(b.Selection); got != "[0 30 60 90]" {
		t.Errorf("got rows %s", got)
	}
	if part := b.Part([]int32{30}); part.room != nil || part.Len() != 1 {
		t.Error("a part has the room of the batch")
	}
	b.Release()
	if b.Selection != nil {
		t.Error("the selection is still there")
	}
}
