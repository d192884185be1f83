package chain

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"testing"

	"github.com/seed149ec23d/s3writer/internal/record"
)

// discard is an object that goes nowhere.
type discard struct{ n int64 }

func (d *discard) Write(p []byte) (int, error) { d.n += int64(len(p)); return len(p), nil }
func (d *discard) Finish() error               { return nil }
func (d *discard) Abort()                      {}

// pets makes CSV of the shape of a city's pet licences: eight columns, some
// quoted fields with commas, some empty.
func pets(size int) []byte {
	var b bytes.Buffer
	b.WriteString("rownames,license_issue_date,license_number,animal_name,species,primary_breed,secondary_breed,zip_code\n")
	species := []string{"Dog", "Cat", "Dog", "Goat"}
	breeds := []string{`"Mixed Breed, Medium (up to 44 lbs fully grown)",Mix`, `"Terrier, Jack Russell","Dachshund, Standard Wire Haired"`,
		`"Retriever, Labrador",`, `Domestic Shorthair,`}
	for i := 1; b.Len() < size; i++ {
		fmt.Fprintf(&b, "%d,2018-%02d-%02d,%06d,Name%d,%s,%s,98%03d\n", i, i%12+1, i%28+1, i*7919%1000000, i%977, species[i%4], breeds[i*31%4], i%200)
	}
	return b.Bytes()
}

func BenchmarkFilterSelect(b *testing.B) {
	data := pets(16 << 20)
	keep := Filter(func(r record.Record) bool { return r.Get("species") == "Dog" })
	columns := Select([]string{"license_number", "animal_name", "primary_breed"})
	for _, bm := range []struct {
		name  string
		steps []Step
	}{
		{"csv", []Step{keep, columns}},
		{"gzip", []Step{keep, columns, Gzip(-1)}},
		{"zstd", []Step{keep, columns, Zstd()}},
		{"jsonl", []Step{keep, columns, JSONLines()}},
		{"decode", []Step{FormatCSV(record.Dialect{})}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			p, errs := Compile(bm.steps)
			if errs != nil {
				b.Fatal(errs)
			}
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				in := Input{
					Source: Source{Open: func(context.Context) (io.Reader, io.Closer, error) {
						return bytes.NewReader(data), nil, nil
					}},
					Dialect:  record.Dialect{}.Resolve(),
					Parallel: runtime.GOMAXPROCS(0),
				}
				var counts Counts
				err := p.Run(b.Context(), in, &counts, func(*Object) (ByteSink, error) { return &discard{}, nil })
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
