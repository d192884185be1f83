package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"io"

	"github.com/seed149ec23d/s3writer/internal/chain"
	"github.com/seed149ec23d/s3writer/internal/record"
)

// ourScan adds up the lengths of all fields, which lengths finds in a batch.
func ourScan(lengths func(*record.Batch) int) func(context.Context, *site) error {
	return func(_ context.Context, s *site) error {
		scanner := record.NewScanner(s.in.open(), record.Dialect{}.Resolve(), nil, chain.BlockSize)
		header, err := scanner.Header()
		if err != nil {
			return err
		}
		var total int
		for _, column := range header.Columns {
			total += len(column.Name)
		}
		for {
			block, err := scanner.Next()
			if err == io.EOF {
				s.discard.n.Store(int64(total))
				return nil
			}
			if err != nil {
				return err
			}
			batch, bad := scanner.Decode(block)
			if len(bad) > 0 {
				return bad[0].Err
			}
			total += lengths(batch)
			batch.Release()
		}
	}
}

// boundLengths finds where the text of each field begins and ends, as the library's
// own steps do.
func boundLengths(batch *record.Batch) (total int) {
	v := batch.Source
	var scratch []byte
	for row := range batch.Rows {
		bounds := v.Off[row*v.Stride:][:v.Fields+1]
		if v.Whole(row) {
			total += wholeLengths(v.Text, bounds, v.Gap, v.Dialect.Quote)
			continue
		}
		for col, next := range bounds[1:] {
			var field string
			field, scratch = v.Unquote(row, v.Text[bounds[col]:next-v.Gap], scratch)
			total += len(field)
		}
	}
	return total
}

// wholeLengths is boundLengths for a row without doubled quotes.
func wholeLengths(text string, bounds []uint32, gap uint32, quote byte) (total int) {
	last := uint32(len(text) - 1) // an empty field may begin behind it: a separator is there then, no quote
	begin := bounds[0]
	for _, next := range bounds[1:] {
		// Nobody can foresee which fields have quotes: no branch on that.
		var quotes uint32
		if text[min(begin, last)] == quote {
			quotes = 1
		}
		total += int(next - gap - begin - 2*quotes)
		begin = next
	}
	return total
}

// textLengths asks for the text of every field.
func textLengths(batch *record.Batch) (total int) {
	var text string
	var scratch []byte
	for row := range batch.Rows {
		for _, column := range batch.Refs {
			text, _, scratch = column.Text(row, scratch)
			total += len(text)
		}
	}
	return total
}

// rivalScan does the same with encoding/csv.
func rivalScan(_ context.Context, s *site) error {
	r := csv.NewReader(bufio.NewReaderSize(s.in.open(), rivalBuffer))
	r.ReuseRecord = true
	var total int
	for {
		fields, err := r.Read()
		if err == io.EOF {
			s.discard.n.Store(int64(total))
			return nil
		}
		if err != nil {
			return err
		}
		for _, text := range fields {
			total += len(text)
		}
	}
}
