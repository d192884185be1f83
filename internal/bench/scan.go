package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"io"

	"github.com/seed149ec23d/s3writer/internal/record"
)

// scanBlock is the size of the blocks that the library cuts a source into.
const scanBlock = 512 << 10

// ourScan asks for the text of every field and adds up the lengths.
func ourScan(_ context.Context, s *site) error {
	scanner := record.NewScanner(s.in.open(), record.Dialect{}.Resolve(), nil, scanBlock)
	header, err := scanner.Header()
	if err != nil {
		return err
	}
	var total int
	for _, column := range header.Columns {
		total += len(column.Name)
	}
	var scratch []byte
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
		for row := range batch.Rows {
			for _, column := range batch.Refs {
				var text string
				text, _, scratch = column.Text(row, scratch)
				total += len(text)
			}
		}
		batch.Release()
	}
}

// rivalScan does the same.
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
