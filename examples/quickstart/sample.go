package main

import (
	"context"
	"io"
	"math/rand/v2"
	"strconv"

	"github.com/seed149ec23d/s3writer"
)

// sample is three tables of size bytes together, each with a chain of its own.
func sample(size int64) []table {
	live := func(r s3writer.Record) bool { return r.Get("status") != "cancelled" }
	secret := []byte("a key of your own: whoever has it can test guesses")
	return []table{
		generated("orders.csv", size/2, ordersHeader, appendOrder,
			s3writer.Named("Filter not cancelled", s3writer.Filter(live)),
			s3writer.Select("id", "customer", "country", "amount", "note"),
			s3writer.Gzip()),
		generated("customers.csv", size/4, customersHeader, appendCustomer,
			s3writer.Drop("phone"),
			s3writer.Hash(secret, "email"),
			s3writer.Rename("since", "customer_since"),
			s3writer.Gzip()),
		generated("events.csv", size/4, eventsHeader, appendEvent,
			s3writer.Typed("customer", s3writer.Int64Type),
			s3writer.Typed("value", s3writer.Float64Type),
			s3writer.RowNumber("row"),
			s3writer.JSONLines(),
			s3writer.Zstd()),
	}
}

func generated(key string, size int64, header string, row appendRow, processors ...s3writer.Processor) table {
	open := func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(newGenerator(size, header, row)), nil
	}
	return table{s3writer.NewTable(key, s3writer.SourceFunc(open), processors...), size, "the generator"}
}

// appendRow appends row number n of a table, with its line end.
type appendRow func(dst []byte, n int64, random *rand.Rand) []byte

// generator makes the same CSV in every run, row by row, until size bytes are
// reached.
type generator struct {
	row     appendRow
	random  *rand.Rand
	n, left int64
	rows    []byte // made and not yet read
	buffer  []byte
}

func newGenerator(size int64, header string, row appendRow) *generator {
	return &generator{row: row, random: rand.New(rand.NewPCG(1, 2)), left: size - int64(len(header)), rows: []byte(header)}
}

func (g *generator) Read(p []byte) (int, error) {
	if len(g.rows) == 0 {
		g.fill()
	}
	if len(g.rows) == 0 {
		return 0, io.EOF
	}
	n := copy(p, g.rows)
	g.rows = g.rows[n:]
	return n, nil
}

func (g *generator) fill() {
	rows := g.buffer[:0]
	for g.left > 0 && len(rows) < 64<<10 {
		g.n++
		before := len(rows)
		rows = g.row(rows, g.n, g.random)
		g.left -= int64(len(rows) - before)
	}
	g.rows, g.buffer = rows, rows
}

const (
	ordersHeader    = "id,customer,country,status,amount,currency,note,created\n"
	customersHeader = "id,name,email,country,phone,since\n"
	eventsHeader    = "event,customer,kind,value,at\n"
)

var (
	countries = []string{"CZ", "DE", "AT", "SK", "PL", "FR"}
	statuses  = []string{"paid", "paid", "sent", "cancelled"}
	notes     = []string{"", "gift", `"call first, then deliver"`, `"marked ""fragile"""`, "leave at the door"}
	first     = []string{"Anna", "Jakub", "Marie", "Petr", "Sofie", "Tomáš", "Zoë", "Émile"}
	last      = []string{"Novák", "Müller", "Dvořák", "Moreau", "Kowalski", "Huber"}
	kinds     = []string{"view", "view", "click", "add_to_cart", "purchase"}
)

func appendOrder(b []byte, n int64, random *rand.Rand) []byte {
	b = append(strconv.AppendInt(b, n, 10), ',')
	b = append(strconv.AppendInt(b, 1+random.Int64N(250_000), 10), ',')
	b = append(append(b, pick(random, countries)...), ',')
	b = append(append(b, pick(random, statuses)...), ',')
	b = append(appendCents(b, random.Int64N(50_000)), ",EUR,"...)
	b = append(append(b, pick(random, notes)...), ',')
	return append(appendTime(b, random), '\n')
}

func appendCustomer(b []byte, n int64, random *rand.Rand) []byte {
	b = append(strconv.AppendInt(b, n, 10), ',')
	b = append(append(b, pick(random, first)...), ' ')
	b = append(append(b, pick(random, last)...), ",customer"...)
	b = append(strconv.AppendInt(b, n, 10), "@example.com,"...)
	b = append(append(b, pick(random, countries)...), ",+420 "...)
	b = append(strconv.AppendInt(b, 600_000_000+random.Int64N(200_000_000), 10), ',')
	return append(appendTime(b, random)[:len(b)+len("2026-01-02")], '\n')
}

func appendEvent(b []byte, n int64, random *rand.Rand) []byte {
	b = append(strconv.AppendUint(append(b, 'e'), random.Uint64(), 36), ',')
	b = append(strconv.AppendInt(b, 1+random.Int64N(250_000), 10), ',')
	b = append(append(b, pick(random, kinds)...), ',')
	if n%3 == 0 { // an empty field is NULL
		b = appendCents(b, random.Int64N(10_000))
	}
	return append(appendTime(append(b, ','), random), '\n')
}

func pick(random *rand.Rand, of []string) string { return of[random.IntN(len(of))] }

func appendCents(b []byte, cents int64) []byte {
	b = append(strconv.AppendInt(b, cents/100, 10), '.')
	return appendTwo(b, cents%100)
}

// appendTime appends a moment of 2026, such as 2026-01-02T15:04:05Z.
func appendTime(b []byte, random *rand.Rand) []byte {
	r := random.Uint64()
	part := func(limit uint64) int64 {
		n := r % limit
		r /= limit
		return int64(n)
	}
	b = appendTwo(append(b, "2026-"...), 1+part(12))
	b = appendTwo(append(b, '-'), 1+part(28))
	b = appendTwo(append(b, 'T'), part(24))
	b = appendTwo(append(b, ':'), part(60))
	b = appendTwo(append(b, ':'), part(60))
	return append(b, 'Z')
}

func appendTwo(b []byte, n int64) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }
