package record

import (
	"errors"
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
