package processortest

import (
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/seed149ec23d/s3writer"
)

// compression is a format that a key's extension promises.
type compression struct {
	ext, magic string
	open       func(io.Reader) (io.Reader, error)
}

var compressions = []compression{
	{".gz", "\x1f\x8b", func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
	{".zst", "\x28\xb5\x2f\xfd", func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r, zstd.WithDecoderConcurrency(1)) }},
	{".bz2", "BZh", func(r io.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil }},
}

// content is an object as it was before Undo's counterpart and a compression, and its key without the extensions of
// those.
func (c *contract) content(o object) (key string, body []byte, err error) {
	key, body = o.key, o.body
	if c.undo != nil {
		if body, err = readAll(body, c.undo); err != nil {
			return key, nil, fmt.Errorf("Undo: %w", err)
		}
	}
	for i := 0; i < len(compressions); i++ {
		z := compressions[i]
		ext := strings.HasSuffix(key, z.ext) || c.undo != nil && strings.Contains(path.Base(key), z.ext+".")
		magic := bytes.HasPrefix(body, []byte(z.magic))
		switch {
		case ext && !magic:
			return key, nil, broken("extension", "the key is %q, but the object begins with % x", key, body[:min(4, len(body))])
		case magic && !ext && z.ext != ".bz2" && c.parse == nil:
			return key, nil, broken("extension", "the object begins as %s does, but its key is %q", z.ext, key)
		case ext:
			key = strings.Replace(key, z.ext, "", 1)
			if body, err = readAll(body, z.open); err != nil {
				return key, nil, fmt.Errorf("reading %s: %w", z.ext, err)
			}
			i = -1 // what was compressed may be compressed, too
		}
	}
	return key, body, nil
}

func readAll(p []byte, open func(io.Reader) (io.Reader, error)) ([]byte, error) {
	r, err := open(bytes.NewReader(p))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// readObject reads one object back.
func (c *contract) readObject(o object) (Table, error) {
	key, body, err := c.content(o)
	switch {
	case err != nil:
		return Table{}, err
	case c.parse != nil:
		return c.parse(body)
	case path.Ext(key) == ".jsonl":
		return parseJSONLines(body)
	case path.Ext(key) != ".csv" && c.undo == nil:
		return Table{}, fmt.Errorf("it is neither CSV nor JSON Lines: say with Parse or Undo how it is read")
	}
	return parseCSV(body, c.dialect)
}

// read reads the objects of a table back.
func (c *contract) read(objects []object) (Table, error) {
	var all Table
	for _, o := range objects {
		t, err := c.readObject(o)
		if err != nil {
			return all, c.unreadable(o, err)
		}
		if all.Columns == nil {
			all.Columns = t.Columns
		}
		all.Rows = append(all.Rows, t.Rows...)
	}
	return all, nil
}

// unreadable finds out whether an object that cannot be read ends twice.
func (c *contract) unreadable(o object, err error) error {
	var said *promiseError
	if errors.As(err, &said) {
		return err
	}
	const longest = 4 << 10
	for n := 1; n <= min(longest, len(o.body)/2); n++ {
		once, tail := o.body[:len(o.body)-n], o.body[len(o.body)-n:]
		if !bytes.HasSuffix(once, tail) {
			continue
		}
		if _, shorter := c.readObject(object{o.key, once}); shorter == nil {
			return broken("one ending", "object %q ends twice, in %.100q: it cannot be read back (%w)", o.key, tail, err)
		}
	}
	return broken("reading back", "object %q: %w", o.key, err)
}

// parseCSV reads CSV as the library does.
func parseCSV(text []byte, d s3writer.CSV) (Table, error) {
	var t Table
	if len(text) == 0 {
		return t, nil
	}
	collect := s3writer.RecordFunc(func(columns []s3writer.Column) (s3writer.RecordStep, error) {
		if !d.NoHeader {
			t.Columns = []string{}
			for _, c := range columns {
				t.Columns = append(t.Columns, c.Name)
			}
		}
		return s3writer.RecordStep{Row: func(r s3writer.Record, _ *s3writer.Emitter) error {
			row := make([]s3writer.Value, r.Len())
			for i := range row {
				row[i] = r.Field(i)
			}
			t.Rows = append(t.Rows, row)
			return nil
		}}, nil
	})
	table := s3writer.NewTable("table.csv", bytes.NewReader(text), collect)
	table.CSV = d
	return t, dryRun(table)
}

// parseJSONLines reads an object per line, whose members are the columns in order.
func parseJSONLines(text []byte) (Table, error) {
	var t Table
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	for n := 1; ; n++ {
		names, row, err := jsonRow(d)
		if errors.Is(err, io.EOF) && names == nil {
			return t, nil
		}
		if err != nil {
			return t, fmt.Errorf("line %d: %w", n, err)
		}
		if t.Columns == nil {
			t.Columns = names
		}
		t.Rows = append(t.Rows, row)
	}
}

func jsonRow(d *json.Decoder) (names []string, row []s3writer.Value, err error) {
	if _, err := d.Token(); err != nil {
		return nil, nil, err
	}
	names = []string{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return names, nil, err
		}
		value, err := d.Token()
		if err != nil {
			return names, nil, err
		}
		var v s3writer.Value
		if value != nil {
			v = s3writer.Text(fmt.Sprint(value))
		}
		names, row = append(names, fmt.Sprint(name)), append(row, v)
	}
	_, err = d.Token()
	return names, row, err
}
