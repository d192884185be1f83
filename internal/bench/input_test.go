package main

import (
	"bytes"
	"encoding/csv"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestStretchEndsWithAWholeRow(t *testing.T) {
	const text = "a,b\n1,2\n33,44\n"
	for size := int64(len("a,b\n")); size < 60; size++ {
		in, err := stretch([]byte(text), size)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(iotest.OneByteReader(in.open()))
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(got)) != in.size || in.size > size || in.size <= size-int64(len("33,44\n")) {
			t.Fatalf("size %d: read %d bytes, input says %d", size, len(got), in.size)
		}
		if !bytes.HasPrefix(got, []byte("a,b\n")) || got[len(got)-1] != '\n' || bytes.Count(got, []byte("a,b\n")) != 1 {
			t.Fatalf("size %d: not one header and whole rows: %q", size, got)
		}
	}
}

func TestStretchRefusesWhatItWouldTear(t *testing.T) {
	for _, text := range []string{"", "a,b", "a,b\n", "a,b\n1,2"} {
		if _, err := stretch([]byte(text), 100); err == nil {
			t.Errorf("stretch(%q) is no error", text)
		}
	}
}

// TestRemainingIsWhatTheChainLeaves at sizes that end within a repetition, and
// at its border.
func TestRemainingIsWhatTheChainLeaves(t *testing.T) {
	for _, size := range []int64{1 * mib, 3 * mib, 9 * mib} {
		for _, d := range datasets {
			in, err := loadInput(d, "", size)
			if err != nil {
				t.Fatal(err)
			}
			left, err := in.remaining()
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(left.open())
			if err != nil {
				t.Fatal(err)
			}
			if want := expectedBytes(t, workSelect, in); !bytes.Equal(got, want) {
				t.Errorf("%s, %d bytes: %d bytes differ from the %d expected", d.file, size, len(got), len(want))
			}
		}
	}
}

// TestAddKey adds a thousand values, in no order, and changes nothing else.
func TestAddKey(t *testing.T) {
	d := datasets[0]
	d.key, d.values = partitionKey, partitionValues
	in, err := loadInput(d, "", 3*mib)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := loadInput(datasets[0], "", 3*mib)
	if err != nil {
		t.Fatal(err)
	}
	keyed, before := rowsOf(t, append(in.header, in.rows...)), rowsOf(t, append(plain.header, plain.rows...))
	values := make(map[string]bool)
	for i, row := range keyed {
		last := len(row) - 1
		if !slices.Equal(row[:last], before[i]) {
			t.Fatalf("row %d: %q of %q", i, row, before[i])
		}
		if i > 0 {
			values[row[last]] = true
		}
	}
	sorted := slices.IsSortedFunc(keyed[1:], func(a, b []string) int { return strings.Compare(a[len(a)-1], b[len(b)-1]) })
	if keyed[0][8] != partitionKey || len(values) != partitionValues || sorted {
		t.Errorf("column %q, %d values, sorted: %v", keyed[0][8], len(values), sorted)
	}
	text, err := io.ReadAll(in.open())
	if err != nil {
		t.Fatal(err)
	}
	if got := int64(bytes.Count(text, newline)) - 1; got != in.count() {
		t.Errorf("%d rows, count says %d", got, in.count())
	}
}

// TestGeneratedInput holds the generated tables to the shape of the real ones.
func TestGeneratedInput(t *testing.T) {
	kept := []float64{0.67, 0.76}
	for i, d := range datasets {
		text := d.make(generatedRows)
		if !bytes.Equal(text, d.make(generatedRows)) {
			t.Errorf("%s: generated differently the second time", d.file)
		}
		rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, column := range append([]string{d.filter}, d.keep...) {
			if !slices.Contains(rows[0], column) {
				t.Errorf("%s: no column %q", d.file, column)
			}
		}
		filter, n := slices.Index(rows[0], d.filter), 0
		for _, row := range rows[1:] {
			if row[filter] == d.value {
				n++
			}
		}
		if share := float64(n) / generatedRows; share < kept[i]-0.02 || share > kept[i]+0.02 {
			t.Errorf("%s: the filter keeps %.2f of the rows, want %.2f", d.file, share, kept[i])
		}
	}
}

// TestTimesIsAsLongAsThatAndWhole to a row.
func TestTimesIsAsLongAsThatAndWhole(t *testing.T) {
	in, err := stretch([]byte("a,b\n1,2\n33,44\n"), 40)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int64{0, 1, 4, 16} {
		long := in.times(n)
		got, err := io.ReadAll(long.open())
		if err != nil {
			t.Fatal(err)
		}
		want := max(n, 1) * in.size
		if size := int64(len(got)); size != long.size || size > want || size <= want-int64(len("33,44\n")) || got[size-1] != '\n' {
			t.Errorf("%d times %d bytes: read %d, the input says %d", n, in.size, size, long.size)
		}
	}
}

// TestMemoryHasEveryPart of an input whose parts begin anywhere in its rows.
func TestMemoryHasEveryPart(t *testing.T) {
	in, err := loadInput(datasets[0], "", 5*barePart+12345)
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	for m, off := newMemory(in), int64(0); off < in.size; off += barePart {
		got = append(got, m.part(off)...)
	}
	if want, _ := io.ReadAll(in.open()); !bytes.Equal(got, want) {
		t.Errorf("the parts are %d bytes that differ from the input's %d", len(got), len(want))
	}
}
