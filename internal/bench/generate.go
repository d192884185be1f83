package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"
)

// The generated tables have the real files' columns, row lengths, share of
// quoted and empty fields and share of rows that the filter keeps.

func generatePets(rows int) []byte {
	r := rand.New(rand.NewPCG(2018, 11))
	names := words(r, 8000)
	dogs := []string{`"Retriever, Labrador"`, `"Chihuahua, Short Coat"`, `Poodle`, `"Terrier, Jack Russell"`, `German Shepherd`,
		`"Mixed Breed, Medium (up to 44 lbs fully grown)"`, `Beagle`, `"Dachshund, Standard Wire Haired"`}
	cats := []string{`Domestic Shorthair`, `American Shorthair`, `"Domestic Medium Hair"`, `Siamese`, `Maine Coon`}

	var b bytes.Buffer
	b.WriteString("rownames,license_issue_date,license_number,animal_name,species,primary_breed,secondary_breed,zip_code\n")
	for i := range rows {
		species, breeds := "Dog", dogs
		if r.IntN(100) >= 67 {
			species, breeds = "Cat", cats
		}
		second := ""
		if r.IntN(100) < 40 {
			second = breeds[r.IntN(len(breeds))]
		}
		issued := time.Date(2016, 1, 1+r.IntN(1400), 0, 0, 0, 0, time.UTC)
		fmt.Fprintf(&b, "%d,%s,%d,%s,%s,%s,%s,98%03d\n", i+1, issued.Format(time.DateOnly), 100_000+r.IntN(8_000_000),
			names[r.IntN(len(names))], species, breeds[r.IntN(len(breeds))], second, 101+r.IntN(99))
	}
	return b.Bytes()
}

func generateThefts(rows int) []byte {
	r := rand.New(rand.NewPCG(2014, 1))
	types := []string{"residence", "vehicle parking", "office", "other", "other retail"}

	var b bytes.Buffer
	b.WriteString("rownames,uid,date_single,date_start,date_end,longitude,latitude,location_type,location_category,census_block\n")
	at := time.Date(2014, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range rows {
		at = at.Add(time.Duration(1+r.IntN(180)) * time.Minute)
		where := "street"
		if r.IntN(100) >= 76 {
			where = types[r.IntN(len(types))]
		}
		const minute = "2006-01-02 15:04"
		fmt.Fprintf(&b, "%d,%d,%s,%s,%s,%.6f,%.6f,%s,%s,36%03d1%09d\n", i+1, 12_386_000+9*i, at.Format(minute),
			at.Add(-time.Duration(r.IntN(600))*time.Minute).Format(minute), at.Add(time.Duration(r.IntN(600))*time.Minute).Format(minute),
			-74.05+r.Float64()*0.3, 40.55+r.Float64()*0.35, where, where, 5+r.IntN(80), r.IntN(1_000_000_000))
	}
	return b.Bytes()
}

// How many values the added column has, in no order.
const (
	partitionValues = 1000
	spillValues     = 10_000
)

const partitionKey = "k"

// addKey adds a last column of so many values to a table.
func addKey(text []byte, name string, values int) []byte {
	r := rand.New(rand.NewPCG(1000, 7))
	var b bytes.Buffer
	for line := range bytes.Lines(text) {
		b.Write(bytes.TrimSuffix(line, newline))
		if b.Len() < len(line) {
			fmt.Fprintf(&b, ",%s\n", name)
			continue
		}
		fmt.Fprintf(&b, ",v%03d\n", r.IntN(values))
	}
	return b.Bytes()
}

func words(r *rand.Rand, n int) []string {
	const syllables = "balucymadorikentapolisushevinoregafu"
	list := make([]string, n)
	for i := range list {
		var w []byte
		for range 2 + r.IntN(3) {
			k := r.IntN(len(syllables)/2) * 2
			w = append(w, syllables[k:k+2]...)
		}
		w[0] -= 'a' - 'A'
		list[i] = string(w)
	}
	return list
}
