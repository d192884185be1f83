package record_test

import (
	"strings"
	"testing"

	"github.com/seed149ec23d/s3writer/internal/record"
)

// A quote within quotes is seen wherever in the words and stripes of the text it
// stands, and the field beside it that has none is read alike.
func TestQuoteWithinQuotesAnywhere(t *testing.T) {
	for before := range 4096 + 130 {
		if before > 130 && before < 4096-130 {
			continue
		}
		text := "a,b,c\n" + strings.Repeat("x", before) + `,"p""q","r,s"` + "\n"
		s := record.NewScanner(strings.NewReader(text), record.Dialect{}.Resolve(), nil, 1<<16)
		block, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		b, bad := s.Decode(block)
		if len(bad) > 0 || b.Rows != 1 {
			t.Fatalf("%d bytes before: %d rows, bad: %v", before, b.Rows, bad)
		}
		if p, r := b.Value(0, 1).String(), b.Value(0, 2).String(); p != `p"q` || r != "r,s" {
			t.Fatalf("%d bytes before: read %q and %q", before, p, r)
		}
		var scratch []byte
		if p, _, _ := b.Refs[1].Text(0, scratch); p != `p"q` {
			t.Fatalf("%d bytes before: text %q", before, p)
		}
		b.Release()
	}
}

// Rows with quotes within quotes are told from those without, however many there are
// of each, in the block and in the windows that are cut of it.
func TestQuotesWithinQuotesOfRows(t *testing.T) {
	for _, tt := range []struct{ rows, every int }{{1, 1}, {100, 7}, {5000, 97}, {5000, 2}, {40_000, 997}, {40_000, 3}} {
		var text strings.Builder
		text.WriteString("a,b\n")
		want := make([]string, tt.rows)
		for row := range tt.rows {
			text.WriteString(`"x",`)
			if want[row] = "y"; row%tt.every == 0 {
				want[row] = `y"z`
			}
			text.WriteString(`"` + strings.ReplaceAll(want[row], `"`, `""`) + `"` + "\n")
		}
		s := record.NewScanner(strings.NewReader(text.String()), record.Dialect{}.Resolve(), nil, text.Len())
		block, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		b, _ := s.Decode(block)
		if b.Rows != tt.rows {
			t.Fatalf("%d rows, want %d", b.Rows, tt.rows)
		}
		for from := 0; from < tt.rows; from += 3000 {
			w := b.Window(from, min(from+3000, tt.rows))
			for row := range w.Rows {
				if inWindow, inBlock := w.Value(row, 1).String(), b.Value(from+row, 1).String(); inWindow != want[from+row] || inBlock != inWindow {
					t.Fatalf("row %d of %d: %q in its window, %q in the block, want %q", from+row, tt.rows, inWindow, inBlock, want[from+row])
				}
			}
			w.Release()
		}
		b.Release()
	}
}
