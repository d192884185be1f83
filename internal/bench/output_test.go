package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// TestContestantsDoTheSame runs every contestant on a small input and compares
// what arrived with what had to.
func TestContestantsDoTheSame(t *testing.T) {
	for _, c := range comparisons {
		for d := range c.inputs {
			in, err := c.load(datasets[d], "", testSize(c))
			if err != nil {
				t.Fatal(err)
			}
			if c.filed() {
				if err := in.write(filepath.Join(t.TempDir(), "input.csv")); err != nil {
					t.Fatal(err)
				}
			}
			small := *c
			small.tables = min(c.tables, 2)
			want := expected(t, c.work, in)
			for _, who := range c.contestants {
				t.Run(fmt.Sprintf("%s/%s/%s", c.name, in.dataset.file, who.name), func(t *testing.T) {
					if err := who.missing(); err != nil {
						t.Fatal(err)
					}
					s, arrived := deliveries(t, &small, in, who)
					if c.work == workScan {
						if got := s.discard.n.Load(); got != fieldBytes(want) {
							t.Errorf("the fields have %d bytes, want %d", got, fieldBytes(want))
						}
						return
					}
					if c.work == workCopy {
						if len(arrived) != small.tables {
							t.Errorf("%d tables arrived, want %d", len(arrived), small.tables)
						}
						compareBytes(t, c.work, s.in, arrived)
						return
					}
					tables := tablesOf(t, c.work, in, arrived)
					if len(tables) != small.tables {
						t.Fatalf("%d tables arrived, want %d", len(tables), small.tables)
					}
					for key, got := range tables {
						if !slices.EqualFunc(got, want, slices.Equal) {
							t.Errorf("table %s: %d rows differ from the %d expected", key, len(got), len(want))
						}
					}
					if c.work == workSelect || c.work == workRename {
						compareBytes(t, c.work, in, arrived)
					}
				})
			}
		}
	}
}

// testSize is small for what writes a thousand files, or that others wrote.
func testSize(c *comparison) int64 {
	switch {
	case c.work == workJSON, c.work == workPartition, c.work == workSpill, c.work == workOwn:
		return 2 * mib
	case c.tables > 1000:
		return c.size(0)
	case c.contestants[len(c.contestants)-1].times > 1:
		return 1 * mib
	}
	return 12 * mib
}

// table is the rows of a table, its header the first.
type table [][]string

// expected returns what must arrive.
func expected(t *testing.T, w work, in *input) table {
	t.Helper()
	switch w {
	case workSelect, workGzip, workRename, workRows:
		return rowsOf(t, expectedBytes(t, w, in))
	case workOwn:
		rows := make(table, in.count()+1) // only their number is known
		return rows
	}
	rows := rowsOf(t, expectedBytes(t, w, in))
	if w == workPartition || w == workSpill {
		rows.sort()
	}
	return rows
}

// expectedBytes returns the CSV that must arrive.
func expectedBytes(t *testing.T, w work, in *input) []byte {
	t.Helper()
	var b bytes.Buffer
	var err error
	switch w {
	case workSelect, workGzip, workRows:
		err = filterSelectCSV(&b, in.open(), in.dataset, in.dataset.keep)
	case workRename:
		err = filterSelectCSV(&b, in.open(), in.dataset, in.dataset.names)
	default:
		_, err = b.ReadFrom(in.open())
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// compareBytes compares where the rows alone are not enough.
func compareBytes(t *testing.T, w work, in *input, arrived map[string][]byte) {
	t.Helper()
	want := expectedBytes(t, w, in)
	for key, got := range arrived {
		if !bytes.Equal(got, want) {
			t.Errorf("object %s: %d bytes differ from the %d expected", key, len(got), len(want))
		}
	}
}

func rowsOf(t *testing.T, text []byte) table {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// sort brings the rows behind the header into an order.
func (rows table) sort() { slices.SortFunc(rows[1:], slices.Compare) }

func fieldBytes(rows table) (n int64) {
	for _, row := range rows {
		for _, field := range row {
			n += int64(len(field))
		}
	}
	return n
}

// tablesOf reads what arrived, whatever form the work gave it.
func tablesOf(t *testing.T, w work, in *input, arrived map[string][]byte) map[string]table {
	t.Helper()
	if w == workPartition || w == workSpill {
		if w == workSpill {
			for key, text := range arrived {
				arrived[key] = decompressed(t, text)
			}
		}
		return map[string]table{"table": gathered(t, in, arrived)}
	}
	tables := make(map[string]table)
	for key, text := range arrived {
		switch w {
		case workGzip:
			tables[key] = rowsOf(t, decompressed(t, text))
		case workJSON:
			tables[key] = objectsOf(t, in, text)
		case workOwn:
			lines := bytes.Count(text, newline)
			if text[0] == '{' {
				lines++ // there is no header
			}
			tables[key] = make(table, lines)
		default:
			tables[key] = rowsOf(t, text)
		}
	}
	return tables
}

func decompressed(t *testing.T, p []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(p))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// objectsOf reads JSON Lines. NULL and the empty string are one, since most
// programs do not tell them apart.
func objectsOf(t *testing.T, in *input, text []byte) table {
	t.Helper()
	header := rowsOf(t, in.header)[0]
	rows := table{header}
	for line := range bytes.Lines(text) {
		var object map[string]*string
		if err := json.Unmarshal(line, &object); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		row := make([]string, len(header))
		for i, name := range header {
			if v := object[name]; v != nil {
				row[i] = *v
			}
		}
		if len(object) != len(header) {
			t.Fatalf("%s: %d fields, want %d", line, len(object), len(header))
		}
		rows = append(rows, row)
	}
	return rows
}

// gathered puts the files of all folders together again, sorted.
func gathered(t *testing.T, in *input, files map[string][]byte) table {
	t.Helper()
	header := rowsOf(t, in.header)[0]
	rows := table{header}
	for path, text := range files {
		_, value, ok := strings.Cut(filepath.Base(filepath.Dir(path)), in.dataset.key+"=")
		if !ok {
			t.Fatalf("%s is in no folder of a value", path)
		}
		part := rowsOf(t, text)
		if !slices.Equal(part[0], header[:len(header)-1]) {
			t.Fatalf("%s: columns %q", path, part[0])
		}
		for _, row := range part[1:] {
			rows = append(rows, append(row, value))
		}
	}
	rows.sort()
	return rows
}

// deliveries runs a contestant and returns the objects that arrived, by key, or
// the files by path.
func deliveries(t *testing.T, c *comparison, in *input, who contestant) (*site, map[string][]byte) {
	t.Helper()
	testServer.calm(c.sink)
	s := newSite(c, who, in, testServer.endpoints[c.sink], t.TempDir())
	if who.prepare != nil {
		if err := who.prepare(s); err != nil {
			t.Fatal(err)
		}
	}
	if c.sink == sinkFiles {
		if err := who.run(context.Background(), s); err != nil {
			t.Fatal(err)
		}
		return s, s.folder.files(t)
	}
	var got objects
	var written bytes.Buffer
	s.discard.keep = &written
	s.stub.keep = got.add
	s.null.keep = got.addRequest
	testServer.keep.Store(&got)
	defer testServer.keep.Store(nil)
	if err := who.run(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	if written.Len() > 0 {
		return s, map[string][]byte{"": written.Bytes()}
	}
	return s, got.whole()
}

// files returns the files of a folder and checks that they are counted right.
func (f folder) files(t *testing.T) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	var size, rows int64
	err := filepath.WalkDir(string(f), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files[path], err = os.ReadFile(path)
			size += int64(len(files[path]))
			rows += int64(bytes.Count(files[path], newline)) - 1
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if n, lines, err := f.count(); n != size || lines != rows || err != nil {
		t.Errorf("counted %d bytes, %d rows, %v; want %d, %d", n, lines, err, size, rows)
	}
	return files
}

// objects collects the bodies that a null S3 is sent.
type objects struct {
	mu    sync.Mutex
	parts map[string]map[int32][]byte // by key and part number; 0 is a single put
}

func (o *objects) add(key string, part int32, body io.Reader) error {
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.parts == nil {
		o.parts = make(map[string]map[int32][]byte)
	}
	if o.parts[key] == nil {
		o.parts[key] = make(map[int32][]byte)
	}
	o.parts[key][part] = text
	return nil
}

func (o *objects) addRequest(r *http.Request, body io.Reader) error {
	part, _ := strconv.ParseInt(r.URL.Query().Get("partNumber"), 10, 32)
	if strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		body = &chunked{r: bufio.NewReader(body)}
	}
	return o.add(r.URL.Path, int32(part), body)
}

func (o *objects) whole() map[string][]byte {
	whole := make(map[string][]byte)
	for key, parts := range o.parts {
		for _, number := range slices.Sorted(maps.Keys(parts)) {
			whole[key] = append(whole[key], parts[number]...)
		}
	}
	return whole
}

// receive hands the bodies to the running test, or drains them.
func (s *testServerState) receive(r *http.Request, body io.Reader) error {
	if o := s.keep.Load(); o != nil {
		return o.addRequest(r, body)
	}
	_, err := io.Copy(io.Discard, body)
	return err
}

// chunked reads the content of an aws-chunked body.
type chunked struct {
	r    *bufio.Reader
	left int64
	end  bool
}

func (c *chunked) Read(p []byte) (int, error) {
	if c.end {
		return 0, io.EOF
	}
	if c.left == 0 {
		if err := c.next(); err != nil || c.end {
			return 0, err
		}
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	if c.left == 0 && err == nil {
		_, err = c.r.Discard(len("\r\n"))
	}
	return n, err
}

// next reads the line before a chunk; after the last one, the trailer too.
func (c *chunked) next() error {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return err
	}
	size, _, _ := strings.Cut(strings.TrimSpace(line), ";")
	if c.left, err = strconv.ParseInt(size, 16, 64); err != nil {
		return err
	}
	if c.left == 0 {
		c.end = true
		_, err = io.Copy(io.Discard, c.r)
	}
	return err
}

// TestProcesses run a contestant alone and two of them at once: each does all the work.
func TestProcesses(t *testing.T) {
	work := task{Role: roleContestant, Comparison: "filter-select-rename", Contestant: "s3writer", Data: t.TempDir(), Size: mib}
	alone, err := runProcess(work, 1)
	if err != nil {
		t.Fatal(err)
	}
	work.Contestant = "s3writer, two processes"
	pair, err := runPair(work, 1)
	if err != nil {
		t.Fatal(err)
	}
	if alone.Sent == 0 || pair.Sent != alone.Sent || pair.Elapsed <= 0 || pair.CPU <= 0 {
		t.Errorf("alone %+v, of two %+v", alone, pair)
	}
	work.Contestant = "nobody"
	if _, err := runProcess(work, 1); err == nil {
		t.Error("nobody has done it")
	}
	if _, err := runPair(work, 1); err == nil {
		t.Error("two of nobody have done it")
	}
}
