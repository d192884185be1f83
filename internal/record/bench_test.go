package record

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
)

// petsFile is real input of 100 bytes a row, where it is there.
const petsFile = "../../../shared/data/seattle-pets.csv"

// pets returns a header and some megabytes of rows like it.
var pets = sync.OnceValue(func() []byte {
	if data, err := os.ReadFile(petsFile); err == nil {
		return data
	}
	breeds := []string{
		`"Mixed Breed, Medium (up to 44 lbs fully grown)",Mix`, `"Terrier, Jack Russell","Dachshund, Standard Wire Haired"`,
		`"Retriever, Labrador",`, `Domestic Shorthair,`, `Domestic Shorthair,Mix`, `"Terrier, Boston",`,
	}
	var b bytes.Buffer
	b.WriteString("rownames,license_issue_date,license_number,animal_name,species,primary_breed,secondary_breed,zip_code\n")
	for i := range 52519 {
		species := "Dog"
		if i%3 == 0 {
			species = "Cat"
		}
		fmt.Fprintf(&b, "%d,2018-%02d-%02d,S%06d,%s,%s,%s,98%03d\n", i+1, i%12+1, i%28+1, i*7919%1000000,
			strings.Repeat("Momo", i%4), species, breeds[i*2654435761>>8%len(breeds)], i%200)
	}
	return b.Bytes()
})

// petBlocks are the blocks of pets, cut once.
func petBlocks(b *testing.B) (*Scanner, []Block) {
	b.Helper()
	s := NewScanner(bytes.NewReader(pets()), Dialect{}.Resolve(), nil, 512<<10)
	var blocks []Block
	for {
		block, err := s.Next()
		if err == io.EOF {
			return s, blocks
		}
		if err != nil {
			b.Fatal(err)
		}
		blocks = append(blocks, block)
	}
}

func BenchmarkNext(b *testing.B) {
	b.SetBytes(int64(len(pets())))
	for _, exact := range []bool{false, true} {
		b.Run(fmt.Sprintf("exact=%v", exact), func(b *testing.B) {
			b.SetBytes(int64(len(pets())))
			for b.Loop() {
				s := NewScanner(bytes.NewReader(pets()), Dialect{}.Resolve(), nil, 512<<10)
				s.Exact(exact)
				for {
					if _, err := s.Next(); err == io.EOF {
						break
					}
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	s, blocks := petBlocks(b)
	b.SetBytes(int64(len(pets())))
	b.ReportAllocs()
	for b.Loop() {
		for _, block := range blocks {
			batch, _ := s.Decode(block)
			batch.Release()
		}
	}
}

func BenchmarkDecodeSlow(b *testing.B) {
	s, blocks := petBlocks(b)
	b.SetBytes(int64(len(pets())))
	for b.Loop() {
		for _, block := range blocks {
			d := newDecoder(s, block)
			d.decode()
			d.batch().Release()
		}
	}
}

// BenchmarkSelect is filter and select from block to block: 3 of 8 columns of
// the rows that are dogs.
func BenchmarkSelect(b *testing.B) {
	s, blocks := petBlocks(b)
	schema, _ := s.Header()
	columns := []Column{schema.Columns[2], schema.Columns[5], schema.Columns[7]}
	out := make([]byte, 0, 1<<20)
	b.SetBytes(int64(len(pets())))
	b.ReportAllocs()
	for b.Loop() {
		for _, block := range blocks {
			batch, _ := s.Decode(block)
			selection := make([]int32, 0, batch.Rows)
			for r := range batch.Records() {
				if r.Get("species") == "Dog" {
					selection = append(selection, int32(r.Row))
				}
			}
			batch.Selection = selection
			batch.Rebind(NewSchema(columns, true), []Ref{batch.Refs[2], batch.Refs[5], batch.Refs[7]})
			var err error
			if out, err = s.d.Append(out[:0], batch); err != nil {
				b.Fatal(err)
			}
			batch.Release()
		}
	}
}

// BenchmarkSelectRival is the same with encoding/csv.
func BenchmarkSelectRival(b *testing.B) {
	b.SetBytes(int64(len(pets())))
	for b.Loop() {
		r := csv.NewReader(bytes.NewReader(pets()))
		r.ReuseRecord = true
		w := csv.NewWriter(io.Discard)
		for {
			row, err := r.Read()
			if err == io.EOF {
				break
			}
			if row[4] == "Dog" {
				w.Write([]string{row[2], row[5], row[7]})
			}
		}
		w.Flush()
	}
}

// benchmarkAppend encodes the decoded blocks.
func benchmarkAppend(b *testing.B, appendTo func([]byte, *Batch) ([]byte, error)) {
	s, blocks := petBlocks(b)
	var batches []*Batch
	for _, block := range blocks {
		batch, _ := s.Decode(block)
		batches = append(batches, batch)
	}
	out := make([]byte, 0, 4<<20)
	b.SetBytes(int64(len(pets())))
	b.ReportAllocs()
	for b.Loop() {
		for _, batch := range batches {
			var err error
			if out, err = appendTo(out[:0], batch); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	benchmarkAppend(b, Dialect{}.Resolve().Append)
}

func BenchmarkAppendOtherComma(b *testing.B) {
	benchmarkAppend(b, Dialect{Comma: ';'}.Resolve().Append)
}

func BenchmarkAppendQuoteAll(b *testing.B) {
	benchmarkAppend(b, Dialect{QuoteAll: true}.Resolve().Append)
}

func BenchmarkJSONLines(b *testing.B) {
	s, _ := petBlocks(b)
	schema, _ := s.Header()
	benchmarkAppend(b, NewJSONLines(schema).Append)
}
