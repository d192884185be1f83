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
