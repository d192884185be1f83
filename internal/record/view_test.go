package record

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A filter kept the record before, to compare with: at the end of every batch
// it read what the next steps had made of it.
func TestKeptRecords(t *testing.T) {
	b := NewBuilder(1)
	b.Text("Ada")
	b.EndRow()
	batch := b.Batch(NewSchema([]Column{{Name: "name"}}, true))
	view := batch.View()
	kept := Record{Batch: view, Row: 0}
	text := kept.Get("name")
	view.EndView()

	for name, read := range map[string]func(){
		"Get":   func() { kept.Get("name") },
		"Field": func() { kept.Field(0) },
		"Records": func() {
			for r := range view.Records() {
				r.Field(0)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if err, _ := recover().(error); !errors.Is(err, ErrKept) {
					t.Errorf("panic with %v, not with ErrKept", err)
				}
			}()
			read()
		})
	}
	if got := (Record{Batch: batch}).Get("name"); text != "Ada" || got != "Ada" {
		t.Errorf("the string is %q and the batch has %q; both are to stay", text, got)
	}
}

// Short texts are found again rather than copied: those that look alike are told
// apart, and all of them stay what they were.
func TestKeptTextsAreTheirOwn(t *testing.T) {
	alike := []string{"a", "a\x00", "\x00a", "\x00", "ab", "abcdefgh", "abcdefgh\x00", "abcdefghi", "abcdefghabcdefgh", "abcdefghabcdefg", "abcdefghabcdefgi", "abcdefghabcdefghi"}
	var text strings.Builder
	text.WriteString("x,y\n")
	want := slices.Clone(alike)
	for i := range 20_000 {
		if i >= len(alike) {
			want = append(want, alike[i%len(alike)]+strconv.Itoa(i*7919%(1+i%1000)))
		}
		text.WriteString(want[i] + ",the rest of the row\n")
	}
	s := NewScanner(strings.NewReader(text.String()), Dialect{}.Resolve(), nil, 8<<10)
	var got []string
	for block := range blocksIn(t, s) {
		b, _ := s.Decode(block)
		view := b.View()
		for r := range view.Records() {
			got = append(got, r.Get("x"))
		}
		view.EndView()
		b.Release()
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d texts are not the %d that were written", len(got), len(want))
	}
}
