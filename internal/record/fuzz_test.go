package record

import (
	"encoding/csv"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// samples are the inputs every fuzz target starts from, and all that a plain
// go test runs.
var samples = []string{
	"", "\n", "a", "a\n", "a,b\n1,2\n", "a,b\n1,2", "a,b\r\n1,2\r\n\r\n", "a,b\n\n1,2\n\n\n3,4",
	"a,b\n\"1\",\"2\"\n\"x\"\"y\",\"\"\n,\n\"\",\"\"\"\"\n",
	"a,b\n\"x\ny\",\"z,\r\n\"\n1,\"\n\",\n",
	"a,b\n1,\"2\n3,4\n5,\"6\"x\n7,8\n", "a,b\nx\"y,1\n2,3\n\"4\"\n5,6,7\n8\n9,0",
	"a,b\n\"x\"\r\n", "a,b\n1,\"2\"", "a,b\n\"x\"\r,1\n2,3\n", "a,b\nx\r,y\r\r\n1,\r", "\"\n", "a,\"\n\n\n\n1,2\n",
	"\ufeffa,b\n1,2\n", "\xff\xfea\x00", "#c\na;b\n#d,e\n1;\\N\n\\;;\\\\\n", "'a','b'\n'1''2',\\'\n",
	"a\tb\nNULL\t\\N\n\\\t\t\"\\\"\"\n", "a,b\n\xff\x00,\xef\xbb\xbf\n", "a|b\n 1| 2 \n\\\n|\\\r\n",
	"a,b,c,d,e,f,g,h\n1,2018-11-16,8002756,Wall-E,Dog,\"Mixed Breed, Medium (up to 44 lbs fully grown)\",Mix,98108\n" +
		"2,2018-11-11,S124529,Andre,Dog,\"Terrier, Jack Russell\",\"Dachshund, Standard Wire Haired\",98117\n" +
		"3,2018-11-21,903793,Mac,Dog,\"Retriever, Labrador\",,98136\n4,2018-11-23,824666,Melb,Cat,Domestic Shorthair,,98117\n",
	"a,b\n" + strings.Repeat("\"\"\"\",\"x\"\"\"\n", 30), "a,b\n" + strings.Repeat("1,\"x\ny\"\r\n", 30),
	"a,b\n" + strings.Repeat("x", 61) + ",\"" + strings.Repeat("y", 62) + "\"\r\n1,2\n",
	strings.Repeat(",", 130) + "\n" + strings.Repeat(",", 130) + "\n", strings.Repeat("\n", 130) + "x\n",
	"a,b\n1,\"" + strings.Repeat("2\n", 70) + "3,4\n", "a\n" + strings.Repeat("\"", 200) + "\n",
}

// dialectFrom makes a dialect out of the bits of n; ok is false if it is none.
func dialectFrom(n uint64) (d Dialect, ok bool) {
	take := func(most uint64) uint64 {
		v := n % most
		n /= most
		return v
	}
	d.Comma = ",,;\t|\xa7"[take(6)]
	d.Quote = "\"\"'|"[take(4)]
	d.Escape = "\x00\x00\\\"!"[take(5)]
	d.Comment = "\x00\x00#a"[take(4)]
	d.Null = []string{"", "", "\\N", "NULL", "1", "\\\\", "\ufeff", "\""}[take(8)]
	d.NoQuote = take(4) == 3
	d.LazyQuotes = take(4) == 3
	d.QuoteAll = take(4) == 3
	d.CRLF = take(2) == 1
	d.BOM = take(2) == 1
	d.NoHeader = take(2) == 1
	d.NullAsEmpty = take(4) == 3
	d.Ragged = Ragged(take(4))
	d.MaxRow = []int{0, 0, 0, 1, 7, 20, 64, 100}[take(8)]
	return d, d.Validate() == nil
}

// seedDialects spread over the bits of dialectFrom.
func seedDialects(yield func(uint64)) {
	yield(0)
	x := uint64(1)
	for range 12 {
		x = x*6364136223846793005 + 1442695040888963407
		yield(x >> 20)
	}
}

// FuzzOracle compares with encoding/csv where both speak the same dialect.
func FuzzOracle(f *testing.F) {
	for _, s := range samples {
		f.Add(s, byte(0))
		f.Add(s, byte(3))
		f.Add(s, byte(13))
	}
	f.Fuzz(func(t *testing.T, in string, mode byte) {
		d := Dialect{NoHeader: true, LazyQuotes: mode&1 != 0}
		if mode&2 != 0 {
			d.Comment = '#'
		}
		d.Comma = ",;\t|"[mode>>2&3]
		if strings.HasSuffix(in, "\r") || beginsLikeMark(in) || strings.Contains(in, null) {
			return // encoding/csv drops a final CR, and knows no BOM; null is what NULL reads as here
		}
		want, wantErr := oracle(in, d)
		p := reading{d: d, block: 1 + int(mode)}.parse(strings.NewReader(in))
		if p.err != nil {
			t.Fatal(p.err)
		}
		got := p.rows
		if len(p.bad) > 0 && wantErr == nil {
			t.Fatalf("bad row %q: %v, fine for encoding/csv: %q", p.bad[0].Raw, p.bad[0].Err, want)
		}
		if len(p.bad) == 0 && wantErr != nil {
			t.Fatalf("encoding/csv: %v; got %q", wantErr, got)
		}
		if len(p.bad) == 1 && len(want) == 0 {
			return // the width of ours is that of the first good row
		}
		if got = likeOracle(got); !(len(got) == 0 && len(want) == 0) && !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v\n got %q\nwant %q", d, got, want)
		}
	})
}

func oracle(in string, d Dialect) (rows [][]string, err error) {
	r := csv.NewReader(strings.NewReader(in))
	r.Comma, r.LazyQuotes, r.Comment = rune(d.Comma), d.LazyQuotes, rune(d.Comment)
	for {
		row, err := r.Read()
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return rows, err
		}
		rows = append(rows, row)
	}
}

// likeOracle takes from rows what encoding/csv does not tell: NULL, one-column
// empty lines, CRLF in quotes.
func likeOracle(rows [][]string) [][]string {
	var list [][]string
	for _, row := range rows {
		if len(row) == 1 && row[0] == null {
			continue
		}
		for i, f := range row {
			if f == null {
				row[i] = ""
			}
			row[i] = strings.ReplaceAll(row[i], "\r\n", "\n")
		}
		list = append(list, row)
	}
	return list
}

// FuzzChunks reads in all kinds of pieces, by the fast ways and row by row: the
// records, their numbers and offsets, and the bad rows have to be the same.
func FuzzChunks(f *testing.F) {
	for _, s := range samples {
		seedDialects(func(n uint64) { f.Add(s, n, uint16(n%61)) })
	}
	f.Fuzz(func(t *testing.T, in string, n uint64, block uint16) {
		d, ok := dialectFrom(n)
		if !ok {
			return
		}
		if n%5 == 0 {
			d.SkipLines = int(n % 3)
		}
		want := reading{d: d, block: len(in) + 1<<10, exact: true, slow: true}.parse(strings.NewReader(in))
		for _, exact := range []bool{true, false} {
			r := reading{d: d, block: 1 + int(block)%(1+2*len(in)), exact: exact}
			comparePasses(t, r, r.parse(iotest.OneByteReader(strings.NewReader(in))), want)
			comparePasses(t, r, r.parse(iotest.DataErrReader(strings.NewReader(in))), want)
			r.block = 1 + int(block)%5
			comparePasses(t, r, r.parse(iotest.HalfReader(strings.NewReader(in))), want)
			r.block = 1 << 16
			comparePasses(t, r, r.parse(strings.NewReader(in)), want)
		}
	})
}

func comparePasses(t *testing.T, r reading, got, want parsed) {
	t.Helper()
	if len(want.bad) > 0 && !r.exact {
		n := int(want.bad[0].Row) - 1
		want.rows, want.numbers, want.offsets = want.rows[:n], want.numbers[:n], want.offsets[:n]
		want.bad = want.bad[:1]
		if n == 0 {
			want.rows, want.numbers, want.offsets = nil, nil, nil
		}
	}
	if g, w := badTexts(got.bad), badTexts(want.bad); !reflect.DeepEqual(g, w) {
		t.Fatalf("%+v:\n got bad %q\nwant bad %q", r, g, w)
	}
	if got.bad, want.bad = nil, nil; !reflect.DeepEqual(errorText(got.err), errorText(want.err)) {
		t.Fatalf("%+v:\n got error %v\nwant error %v", r, got.err, want.err)
	}
	if got.err, want.err = nil, nil; !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v:\n got %q %q %v %v\nwant %q %q %v %v", r, got.header, got.rows, got.numbers, got.offsets, want.header, want.rows, want.numbers, want.offsets)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// FuzzRoundTrip reads in one dialect, writes in another and reads that again.
func FuzzRoundTrip(f *testing.F) {
	for _, s := range samples {
		seedDialects(func(n uint64) {
			f.Add(s, n, n>>1, byte(n>>3))
			f.Add(s, n, n, byte(n>>3))
			f.Add(s, uint64(0), n, byte(n>>3))
		})
	}
	f.Fuzz(func(t *testing.T, in string, from, to uint64, shape byte) {
		source, ok := dialectFrom(from)
		d, ok2 := dialectFrom(to)
		if !ok || !ok2 {
			return
		}
		d.MaxRow = 0
		s := NewScanner(strings.NewReader(in), source.Resolve(), nil, 1<<16)
		s.Exact(true)
		if _, err := s.Header(); err != nil {
			return
		}
		block, err := s.Next()
		if err != nil {
			return
		}
		b, _ := s.Decode(block)
		if b.Rows == 0 {
			return
		}
		roundTrip(t, reshape(b, shape), *d.Resolve())
	})
}

// reshape moves the columns, leaves rows out, and replaces raw fields by plain ones.
func reshape(b *Batch, shape byte) *Batch {
	width := len(b.Refs)
	cols := make([]int, 0, width)
	for i := range width {
		cols = append(cols, (i+int(shape))%width)
	}
	if shape&4 != 0 {
		cols = cols[:1+int(shape)%width]
	}
	b = pick(b, cols...)
	if shape&8 != 0 {
		b.Selection = []int32{}
		for i := range b.Rows {
			if shape>>(4+i%3)&1 == 0 {
				b.Selection = append(b.Selection, int32(i))
			}
		}
	}
	if shape&128 == 0 {
		return b
	}
	build := NewBuilder(len(b.Refs))
	for r := range b.Records() {
		for i := range r.Len() {
			build.Value(r.Field(i))
		}
		build.EndRow()
	}
	return build.Batch(b.Schema)
}

func roundTrip(t *testing.T, b *Batch, d Dialect) {
	t.Helper()
	var want parsed
	want.add(b)
	out, err := d.AppendHeader(nil, b.Schema)
	if err == nil {
		out, err = d.Append(out, b)
	}
	if err != nil {
		if !d.NoQuote && !strings.Contains(err.Error(), "which reads as a byte order mark") {
			t.Fatalf("%+v: %v", d, err)
		}
		return
	}
	r := reading{d: d}
	if d.NoHeader {
		r.columns = names(b.Schema)
	}
	p := r.parse(strings.NewReader(string(out)))
	if p.err != nil || len(p.bad) > 0 {
		t.Fatalf("%+v: %q: error %v, bad rows %+v", d, out, p.err, p.bad)
	}
	if !reflect.DeepEqual(p.header, names(b.Schema)) {
		t.Fatalf("%+v: %q: header %q, want %q", d, out, p.header, names(b.Schema))
	}
	if d.NullAsEmpty {
		blurNull(p.rows)
		blurNull(want.rows)
	}
	if !(len(p.rows) == 0 && len(want.rows) == 0) && !reflect.DeepEqual(p.rows, want.rows) {
		t.Fatalf("%+v: %q\n got %q\nwant %q", d, out, p.rows, want.rows)
	}
}

func blurNull(rows [][]string) {
	for _, row := range rows {
		for i, f := range row {
			if f == null {
				row[i] = ""
			}
		}
	}
}
