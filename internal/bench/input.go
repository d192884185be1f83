package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// dataset is a CSV file and the work that is done on it: rows are kept where
// the filter column has the filter value, and then the selected columns.
type dataset struct {
	file   string
	filter string // column
	value  string
	keep   []string // columns, in order
	names  []string // that renaming gives the kept columns
	key    string   // of the column that is added; "" for none
	values int      // of that column
	make   func(rows int) []byte
}

var datasets = []dataset{
	{
		file:   "seattle-pets.csv",
		filter: "species",
		value:  "Dog",
		keep:   []string{"license_number", "animal_name", "species", "primary_breed", "zip_code"},
		names:  []string{"license", "name", "species", "breed", "zip"},
		make:   generatePets,
	},
	{
		file:   "nyc-vehicle-thefts.csv",
		filter: "location_type",
		value:  "street",
		keep:   []string{"uid", "date_single", "longitude", "latitude"},
		names:  []string{"id", "at", "lon", "lat"},
		make:   generateThefts,
	},
}

// generatedRows is about as many as the real files have.
const generatedRows = 50_000

// input is a CSV table of a given size: one header, then the rows of a file over
// and over again. It is held once, however long it is and however many read it.
type input struct {
	dataset   dataset
	generated bool
	header    []byte
	rows      []byte
	size      int64
	file      string // where all of it stands, if something asked for a file
}

// loadInput reads the dataset from dir, or generates one like it if it is not
// there, and stretches it to the last whole row within size.
func loadInput(d dataset, dir string, size int64) (*input, error) {
	text, err := os.ReadFile(filepath.Join(dir, d.file))
	generated := os.IsNotExist(err) || dir == ""
	switch {
	case generated:
		text = d.make(generatedRows)
	case err != nil:
		return nil, err
	}
	if d.key != "" {
		text = addKey(text, d.key, d.values)
	}
	in, err := stretch(text, size)
	if err != nil {
		return nil, &fs.PathError{Op: "repeat", Path: d.file, Err: err}
	}
	in.dataset, in.generated = d, generated
	return in, nil
}

// stretch needs a text without line ends inside quotes, as both files are.
func stretch(text []byte, size int64) (*input, error) {
	end := bytes.IndexByte(text, '\n') + 1
	header, rows := text[:end], text[end:]
	if end == 0 || len(rows) == 0 || rows[len(rows)-1] != '\n' {
		return nil, fmt.Errorf("not a header and rows that each end in a newline")
	}
	if size < int64(len(header)) {
		return nil, fmt.Errorf("%d bytes do not hold the header", size)
	}
	in := &input{header: header, rows: rows}
	in.end(size)
	return in, nil
}

// end ends the input with the last whole row within size.
func (in *input) end(size int64) {
	header, n := int64(len(in.header)), int64(len(in.rows))
	body := size - header
	last := bytes.LastIndexByte(in.rows[:body%n], '\n') + 1
	in.size = header + body/n*n + int64(last)
}

// times returns an input of the same rows that is n times as long.
func (in *input) times(n int64) *input {
	if n <= 1 {
		return in
	}
	long := *in
	long.end(n * in.size)
	return &long
}

// count returns the number of rows.
func (in *input) count() int64 {
	whole, rest := in.repetitions()
	return whole*int64(bytes.Count(in.rows, newline)) + int64(bytes.Count(in.rows[:rest], newline))
}

// repetitions tells how often the rows are there as a whole, and how many bytes
// of them once more at the end.
func (in *input) repetitions() (whole, rest int64) {
	body, n := in.size-int64(len(in.header)), int64(len(in.rows))
	return body / n, body % n
}

var newline = []byte{'\n'}

// write makes a file of the whole input.
func (in *input) write(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	in.file = path
	_, err = io.Copy(f, in.open())
	return errors.Join(err, f.Close())
}

// remaining returns what the chain leaves of the input, which is an input too.
func (in *input) remaining() (*input, error) {
	filtered := func(rows []byte) (header, kept []byte, err error) {
		var b bytes.Buffer
		text := io.MultiReader(bytes.NewReader(in.header), bytes.NewReader(rows))
		if err := filterSelectCSV(&b, text, in.dataset, in.dataset.keep); err != nil {
			return nil, nil, err
		}
		end := bytes.IndexByte(b.Bytes(), '\n') + 1
		return b.Bytes()[:end], b.Bytes()[end:], nil
	}
	whole, rest := in.repetitions()
	header, rows, err := filtered(in.rows)
	if err != nil {
		return nil, err
	}
	_, last, err := filtered(in.rows[:rest])
	if err != nil {
		return nil, err
	}
	size := int64(len(header)) + whole*int64(len(rows)) + int64(len(last))
	return &input{dataset: in.dataset, generated: in.generated, header: header, rows: rows, size: size}, nil
}

// name tells which text it is.
func (in *input) name() string {
	if in.generated {
		return in.dataset.file + " (generated)"
	}
	return in.dataset.file
}

// open returns a new reader of the whole input. It can do nothing but Read, so
// nobody learns the length before the end.
func (in *input) open() io.Reader {
	return &stretched{in: in, left: in.size, next: in.header}
}

type stretched struct {
	in   *input
	left int64
	next []byte
}

func (s *stretched) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	if len(s.next) == 0 {
		s.next = s.in.rows
	}
	n := copy(p, s.next[:min(int64(len(s.next)), s.left)])
	s.next = s.next[n:]
	s.left -= int64(n)
	return n, nil
}
