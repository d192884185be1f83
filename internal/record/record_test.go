package record

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

func TestRecord(t *testing.T) {
	r := Record{Batch: batchOf(t, "id,name,city\n1,,3\n", Dialect{})}
	if got := r.Get("id"); got != "1" {
		t.Errorf("id is %q", got)
	}
	if v := r.Value("name"); !v.IsNull() || v.String() != "" {
		t.Errorf("an empty field is %+v", v)
	}
	if v := r.Field(2); v.IsNull() || v.String() != "3" || r.Len() != 3 {
		t.Errorf("field 2 of %d is %+v", r.Len(), v)
	}
}

func TestWrongNamesPanic(t *testing.T) {
	r := Record{Batch: batchOf(t, "id,country,x,x\n1,CZ,2,3\n", Dialect{})}
	for name, want := range map[string]string{
		"contry": `no column "contry": there are id, country, x, x`,
		"x":      `columns 3 and 4 are both called "x"`,
	} {
		func() {
			defer func() {
				err, _ := recover().(error)
				var wrong *ColumnError
				if !errors.As(err, &wrong) || err.Error() != want {
					t.Errorf("recovered %v, want %s", err, want)
				}
			}()
			r.Get(name)
		}()
	}
}

// Names of one length share a place in the batch's memory of names.
func TestNamesOfOneLength(t *testing.T) {
	b := batchOf(t, "a,b,c\n1,2,3\n", Dialect{})
	r := Record{Batch: b}
	for range 3 {
		if got := r.Get("a") + r.Get("b") + r.Get("c"); got != "123" {
			t.Fatalf("got %s", got)
		}
	}
	pick(b, 2, 0)
	if got := r.Get("a") + r.Get("c"); got != "13" {
		t.Errorf("after Rebind: got %s", got)
	}
}

func TestBuilder(t *testing.T) {
	build := NewBuilder(2)
	for range 2 { // a builder starts anew after each batch
		var want parsed
		for i := range 100 {
			build.Text("x")
			row := []string{"x", null}
			switch i % 3 {
			case 0:
				build.NULL()
			case 1:
				build.Value(Value{})
			default:
				build.Bytes([]byte("y"))
				row[1] = "y"
			}
			build.EndRow()
			want.rows = append(want.rows, row)
		}
		if build.Rows() != 100 {
			t.Errorf("%d rows", build.Rows())
		}
		b := build.Batch(textColumns([]string{"a", "b"}, true))
		var got parsed
		got.add(b)
		if !reflect.DeepEqual(got.rows, want.rows) {
			t.Errorf("got %q", got.rows)
		}
		if got.numbers[99] != 100 || got.offsets[0] != -1 {
			t.Errorf("numbers %v, offsets %v", got.numbers, got.offsets)
		}
	}
}

// The bitmaps of this machine are those of the portable code, for any bytes.
func TestFillIsPortable(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var text [stripe]byte
		for i := range text {
			text[i] = ",\"\n\r\x00\x7f\x80\xac\xa2\x8ax"[random.IntN(11)]
		}
		p := Dialect{}.Resolve().pattern()
		var got, want bitmap
		got.fill(&text, &p)
		want.fillWords(&text, &p)
		if got != want {
			t.Fatal("fill and fillWords differ")
		}
		for i, c := range text {
			separator := want.separators[i/64]>>(i%64)&1 == 1
			quote := want.quotes[i/64]>>(i%64)&1 == 1
			if separator != (c == ',' || c == '\n') || quote != (c == '"') {
				t.Fatalf("byte %d, %q: separator %v, quote %v", i, c, separator, quote)
			}
		}
	}
}

// Copies of a batch share its memory, but never what NewRefs gives.
func TestNewRefsAreNobodyElses(t *testing.T) {
	s := NewScanner(strings.NewReader("a,b\n1,2\n"), new(Dialect).Resolve(), nil, 1<<10)
	block, err := s.Next()
	if err != nil {
		t.Fatal(err)
	}
	b, _ := s.Decode(block)
	copied := *b
	given := map[*Ref]bool{&b.Refs[0]: true, &b.Refs[1]: true}
	for range 2 * inlineRefs {
		for _, from := range []*Batch{b, &copied, b.View()} {
			refs := from.NewRefs(2)
			if len(refs) != 2 || cap(refs) != 2 {
				t.Fatalf("NewRefs(2) has length %d and capacity %d", len(refs), cap(refs))
			}
			for i := range refs {
				if given[&refs[i]] {
					t.Fatal("NewRefs gave the same memory twice")
				}
				given[&refs[i]] = true
			}
		}
	}
	if got := b.Value(0, 1).String(); got != "2" {
		t.Errorf("the batch reads %q, want 2", got)
	}
}

// TestUnknownColumn shows the names there are such that they can be told apart, whatever
// stood where a header was expected.
func TestUnknownColumn(t *testing.T) {
	for _, tt := range []struct {
		names []string
		want  string
	}{
		{nil, "there are no columns"},
		{[]string{"id", "měsíc", "unit price"}, "there are id, měsíc, unit price"},
		{[]string{"id, b", " c ", "", `"d"`}, `there are "id, b", " c ", "", "\"d\""`},
		{[]string{"a\nb", "\x1b[31mred", "\xff"}, `there are "a\nb", "\x1b[31mred", "\xff"`},
		{[]string{strings.Repeat("x", 100)}, "there are " + strings.Repeat("x", 64) + "…"},
		{[]string{"\x1f\x8b\b"}, `there are "\x1f\x8b\b"; the source looks like gzip: put Decompress first`},
		{[]string{"\x28\xb5\x2f\xfd"}, `there are "(\xb5/\xfd"; the source looks like zstd: put Decompress first`},
	} {
		_, err := textColumns(tt.names, true).Lookup("x")
		if want := `no column "x": ` + tt.want; err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}
