package record

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSpectrum reads the acid test of CSV, where it is there.
func TestSpectrum(t *testing.T) {
	const folder = "../../../shared/data/csv-spectrum"
	files, err := filepath.Glob(folder + "/json/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			source, err := os.ReadFile(folder + "/csvs/" + name + ".csv")
			if err != nil {
				t.Fatal(err)
			}
			if name == "location_coordinates" { // its JSON is of something else
				checkCoordinates(t, string(source))
				return
			}
			meaning, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want []map[string]string
			if err := json.Unmarshal(meaning, &want); err != nil {
				t.Fatal(err)
			}
			in := string(source)
			if strings.HasSuffix(name, "_crlf") && !strings.Contains(in, "\r") { // lost on the way here
				in = strings.ReplaceAll(in, "\n", "\r\n")
			}
			checkMeaning(t, batchOf(t, in, Dialect{}), want)
		})
	}
}

func checkMeaning(t *testing.T, b *Batch, want []map[string]string) {
	t.Helper()
	if b.Len() != len(want) {
		t.Fatalf("%d rows, want %d", b.Len(), len(want))
	}
	for r := range b.Records() {
		for name, value := range want[r.Row] {
			if r.Get(name) != value {
				t.Errorf("row %d, %s: got %q, want %q", r.Row+1, name, r.Get(name), value)
			}
		}
	}
}

// checkCoordinates reads quotes that stand for minutes and seconds.
func checkCoordinates(t *testing.T, source string) {
	t.Helper()
	p := reading{}.parse(strings.NewReader(source))
	if len(p.bad) != 1 || !strings.HasPrefix(p.bad[0].Err.Error(), "quote in an unquoted field: ") {
		t.Errorf("bad rows %+v", p.bad)
	}
	r := Record{Batch: batchOf(t, source, Dialect{LazyQuotes: true})}
	if got := r.Get("Location Coordinates"); !strings.HasSuffix(got, `'17.9"W`) {
		t.Errorf("got %q", got)
	}
}
