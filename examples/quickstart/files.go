package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed149ec23d/s3writer"
)

// table is a table and what the screen needs to know of it.
type table struct {
	s3writer.Table
	size   int64  // of the source, at least; for the progress bar
	origin string // of the source
}

func s3writerTables(tables []table) []s3writer.Table {
	var ts []s3writer.Table
	for _, t := range tables {
		ts = append(ts, t.Table)
	}
	return ts
}

// tables are the files named, or the sample.
func (c *command) tables() ([]table, error) {
	if len(c.files) == 0 {
		return sample(int64(c.size)), nil
	}
	var tables []table
	var errs []error
	for _, name := range c.files {
		t, err := c.fileTable(name)
		tables = append(tables, t)
		errs = append(errs, err)
	}
	return tables, errors.Join(errs...)
}

// fileTable delivers a CSV file, whatever its columns are.
func (c *command) fileTable(name string) (table, error) {
	path, err := filepath.Abs(name) // "go -C" changes the folder: an error should say which it was
	if err != nil {
		return table{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return table{}, err
	}
	if !info.Mode().IsRegular() {
		return table{}, fmt.Errorf("%s is not a file: name CSV files, or none for the sample", path)
	}
	folder, base := filepath.Split(path)
	t := s3writer.NewTable(key(base), s3writer.File(os.DirFS(folder), base), s3writer.Decompress())
	t.CSV.Comma = byte(c.comma)
	if c.comma == 0 && filepath.Ext(t.Key) == ".tsv" {
		t.CSV.Comma = '\t'
	}
	if c.columns != nil {
		t.Processors = append(t.Processors, s3writer.Select(c.columns...))
	}
	t.Processors = append(t.Processors, s3writer.RowNumber("row_number"), s3writer.Gzip())
	return table{Table: t, size: info.Size(), origin: path}, nil
}

// key is the name of a file without the compression that Decompress undoes.
func key(base string) string {
	for _, ext := range []string{".gz", ".zst", ".bz2"} {
		base = strings.TrimSuffix(base, ext)
	}
	return base
}
