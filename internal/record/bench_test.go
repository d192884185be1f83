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

// Real input of 100 bytes a row, where it is there: with and without quotes.
const (
	petsFile   = "../../../shared/data/seattle-pets.csv"
	theftsFile = "../../../shared/data/nyc-vehicle-thefts.csv"
)

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
			strings.Repeat("Momo", i%4), species, breeds[int(uint32(i)*2654435761>>8)%len(breeds)], i%200)
	}
	return b.Bytes()
})

// petBlocks are the blocks of pets, cut once.
func petBlocks(b *testing.B) (*Scanner, []Block) { return blocksOf(b, pets()) }

func blocksOf(b *testing.B, text []byte) (*Scanner, []Block) {
	b.Helper()
	s := NewScanner(bytes.NewReader(text), Dialect{}.Resolve(), nil, 512<<10)
	var blocks []Block
	for block := range blocksIn(b, s) {
		block.memory = nil // it is decoded more than once
		blocks = append(blocks, block)
	}
	return s, blocks
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
	for name, text := range map[string][]byte{"pets": pets(), "thefts": thefts()} {
		b.Run(name, func(b *testing.B) {
			s, blocks := blocksOf(b, text)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				for _, block := range blocks {
					batch, _ := s.Decode(block)
					batch.Release()
				}
			}
		})
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

// thefts returns a header and some megabytes of rows without a single quote.
var thefts = sync.OnceValue(func() []byte {
	if data, err := os.ReadFile(theftsFile); err == nil {
		return data
	}
	kinds := []string{"street,street", "parking lot,other", "residence,residence"}
	var b bytes.Buffer
	b.WriteString("rownames,uid,date_single,date_start,date_end,longitude,latitude,location_type,location_category,census_block\n")
	for i := range 35746 {
		day := fmt.Sprintf("2014-%02d-%02d %02d:%02d", i%12+1, i%28+1, i%24, i%60)
		fmt.Fprintf(&b, "%d,%d,%s,%s,%s,-73.%d,40.%d,%s,36081044%07d\n", i+1, 12386084+7*i, day, day, day,
			i*7919%1000000, i*104729%1000000, kinds[int(uint32(i)*2654435761>>8)%len(kinds)], 3021005+i)
	}
	return b.Bytes()
})

// BenchmarkGet asks for a column of every row, as a filter does.
func BenchmarkGet(b *testing.B) {
	s, blocks := petBlocks(b)
	var batches []*Batch
	for _, block := range blocks {
		batch, _ := s.Decode(block)
		batches = append(batches, batch)
	}
	for name, view := range map[string]bool{"text": false, "copy": true} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(pets())))
			for b.Loop() {
				for _, batch := range batches {
					v := batch
					if view {
						v = batch.View()
					}
					for i := range v.Rows {
						if (Record{v, i}).Get("species") == "" {
							b.Fatal("no species")
						}
					}
					if view {
						v.EndView()
					}
				}
			}
		})
	}
}

// BenchmarkFilterSelect is filter and select from a reader to bytes, on text
// with and without quotes.
func BenchmarkFilterSelect(b *testing.B) {
	for _, in := range []struct {
		name          string
		text          []byte
		column, value string
		keep          []int
	}{
		{"pets", pets(), "species", "Dog", []int{2, 3, 4, 5, 7}},
		{"thefts", thefts(), "location_type", "street", []int{1, 2, 5, 6}},
	} {
		b.Run(in.name, func(b *testing.B) {
			b.SetBytes(int64(len(in.text)))
			b.ReportAllocs()
			for b.Loop() {
				filterSelect(b, in.text, in.column, in.value, in.keep)
			}
		})
	}
}

func filterSelect(b *testing.B, text []byte, column, value string, keep []int) {
	b.Helper()
	s := NewScanner(bytes.NewReader(text), Dialect{}.Resolve(), nil, 512<<10)
	schema, err := s.Header()
	if err != nil {
		b.Fatal(err)
	}
	columns := make([]Column, len(keep))
	for i, col := range keep {
		columns[i] = schema.Columns[col]
	}
	selected := NewSchema(columns, true)
	out := make([]byte, 0, 1<<20)
	for block := range blocksIn(b, s) {
		batch, _ := s.Decode(block)
		selection := make([]int32, 0, batch.Rows)
		for i := range batch.Rows {
			if (Record{batch, i}).Get(column) == value {
				selection = append(selection, int32(i))
			}
		}
		batch.Selection = selection
		refs := make([]Ref, len(keep))
		for i, col := range keep {
			refs[i] = batch.Refs[col]
		}
		batch.Rebind(selected, refs)
		if out, err = s.d.Append(out[:0], batch); err != nil {
			b.Fatal(err)
		}
		batch.Release()
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
