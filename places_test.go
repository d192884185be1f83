package s3writer_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/seed149ec23d/s3writer"
)

// TestErrorsNameTheirPlace holds every failure of every processor: what an
// Error says of where it was, and in what words.
func TestErrorsNameTheirPlace(t *testing.T) {
	boom := errors.New("boom")
	one := func(p ...s3writer.Processor) []s3writer.Processor { return p }
	emits := func(row func(s3writer.Record, *s3writer.Emitter) error, end func(*s3writer.Emitter) error) s3writer.Processor {
		return s3writer.RecordFunc(func([]s3writer.Column) (s3writer.RecordStep, error) {
			return s3writer.RecordStep{Row: row, End: end}, nil
		})
	}
	pass := func(r s3writer.Record, out *s3writer.Emitter) error {
		for i := range r.Len() {
			out.Copy(r, i)
		}
		out.EndRow()
		return nil
	}
	second := func(r s3writer.Record) bool { return r.Get("id") == "2" }
	const in = "id,name\n1,a\n2,b\n" // row 2 begins at byte 12
	type place struct {
		step        int
		processor   string
		row, offset int64
		column      string
	}
	nowhere := func(step int, processor string) place { return place{step, processor, 0, -1, ""} }
	for _, test := range []struct {
		name  string
		in    string
		steps []s3writer.Processor
		want  place
		text  string // the whole error behind `s3writer: table "t.csv": `
	}{
		{"Select", in, one(s3writer.Select("id", "nane")), place{1, "Select", 0, -1, "nane"}, `step 1 Select: no column "nane": there are id, name`},
		{"Drop", in, one(s3writer.Drop("x")), place{1, "Drop", 0, -1, "x"}, `step 1 Drop: no column "x": there are id, name`},
		{"Drop of all", in, one(s3writer.Drop("id", "name")), nowhere(1, "Drop"), `step 1 Drop: no column would be left`},
		{"Rename", in, one(s3writer.Limit(1), s3writer.Rename("x", "y")), place{2, "Rename", 0, -1, "x"}, `step 2 Rename: no column "x": there are id, name`},
		{"Rename of an odd number", in, one(s3writer.Rename("x")), nowhere(1, "Rename"), `step 1 Rename: takes pairs of an old and a new name, but got 1 names`},
		{"AddColumn", in, one(s3writer.AddColumn("id", "")), nowhere(1, "AddColumn"), `step 1 AddColumn: there is a column "id" already; Derive replaces one`},
		{"RowNumber", in, one(s3writer.RowNumber("id")), nowhere(1, "RowNumber"), `step 1 RowNumber: there is a column "id" already; Derive replaces one`},
		{"Hash", in, one(s3writer.Hash([]byte("k"), "x")), place{1, "Hash", 0, -1, "x"}, `step 1 Hash: no column "x": there are id, name`},
		{"Limit", in, one(s3writer.Limit(-1)), nowhere(1, "Limit"), `step 1 Limit: the limit is -1; it cannot be negative`},
		{"Typed", in, one(s3writer.Typed("name", s3writer.Int64Type)), place{1, "Typed", 1, 8, "name"}, `step 1 Typed: row 1 (byte 8): column "name": "a" is not an int64`},
		{"Filter that panics", in, one(s3writer.Filter(func(r s3writer.Record) bool {
			if second(r) {
				panic("boom")
			}
			return true
		})), place{1, "Filter", 2, 12, ""}, `step 1 Filter: row 2 (byte 12): panic: boom`},
		{"Filter by a column that is not there", in, one(s3writer.Filter(func(r s3writer.Record) bool { return r.Get("x") == "" })),
			place{1, "Filter", 1, 8, "x"}, `step 1 Filter: row 1 (byte 8): no column "x": there are id, name`},
		{"Derive", in, one(s3writer.Derive("d", func(r s3writer.Record) (s3writer.Value, error) {
			if second(r) {
				return s3writer.Value{}, boom
			}
			return s3writer.Text("x"), nil
		})), place{1, "Derive", 2, 12, "d"}, `step 1 Derive: row 2 (byte 12): column "d": boom`},
		{"RecordFunc", in, one(emits(func(r s3writer.Record, out *s3writer.Emitter) error {
			if second(r) {
				return boom
			}
			return pass(r, out)
		}, nil)), place{1, "RecordFunc", 2, 12, ""}, `step 1 RecordFunc: row 2 (byte 12): boom`},
		{"RecordFunc's End", in, one(emits(pass, func(*s3writer.Emitter) error { return boom })), nowhere(1, "RecordFunc"), `step 1 RecordFunc: boom`},
		{"RecordFunc's opening", in, one(s3writer.RecordFunc(func([]s3writer.Column) (s3writer.RecordStep, error) { return s3writer.RecordStep{}, boom })),
			nowhere(1, "RecordFunc"), `step 1 RecordFunc: boom`},
		{"behind a RecordFunc", in, one(emits(pass, nil), s3writer.Typed("name", s3writer.BoolType)), place{2, "Typed", 1, 8, "name"},
			`step 2 Typed: row 1 (byte 8): column "name": "a" is not a bool: true or false`},
		{"PartitionBy", in, one(s3writer.PartitionBy("x")), place{1, "PartitionBy", 0, -1, "x"}, `step 1 PartitionBy: no column "x": there are id, name`},
		{"PartitionBy Hive's NULL", in + "3,__HIVE_DEFAULT_PARTITION__\n", one(s3writer.PartitionBy("name")), place{1, "PartitionBy", 3, 16, "name"},
			`step 1 PartitionBy: row 3 (byte 16): column "name": the value is "__HIVE_DEFAULT_PARTITION__", which is how readers know NULL`},
		{"SplitRows", in, one(s3writer.SplitRows(0)), nowhere(1, "SplitRows"), `step 1 SplitRows: the number of records is 0; an object has at least one`},
		{"SplitSize", in, one(s3writer.SplitSize(0)), nowhere(1, "SplitSize"), `step 1 SplitSize: the size is 0 bytes; it must be positive`},
		{"FormatCSV", in + "3,\"x,y\"\n", one(s3writer.FormatCSV(s3writer.CSV{NoQuote: true})), place{1, "FormatCSV", 3, 16, "name"},
			`step 1 FormatCSV: row 3 (byte 16): column "name": `},
		{"JSONLines", in + "3,\xff\n", one(s3writer.JSONLines()), place{1, "JSONLines", 3, 16, "name"}, `step 1 JSONLines: row 3 (byte 16): column "name": not valid UTF-8`},
		{"EncoderFunc", in, one(s3writer.EncoderFunc("x", func(io.Writer, []s3writer.Column) (s3writer.Encoder, error) {
			return encoder{func(*s3writer.Batch) error { return boom }, nil}, nil
		})), nowhere(1, "EncoderFunc"), `step 1 EncoderFunc: boom`},
		{"EncoderFunc at a row", in, one(s3writer.EncoderFunc("x", func(io.Writer, []s3writer.Column) (s3writer.Encoder, error) {
			return encoder{func(b *s3writer.Batch) error {
				for r := range b.All() {
					if second(r) {
						return boom
					}
				}
				return nil
			}, nil}, nil
		})), place{1, "EncoderFunc", 2, 12, ""}, `step 1 EncoderFunc: row 2 (byte 12): boom`},
		{"EncoderFunc by a column that is not there", in, one(s3writer.EncoderFunc("x", func(io.Writer, []s3writer.Column) (s3writer.Encoder, error) {
			return encoder{func(b *s3writer.Batch) error {
				for r := range b.All() {
					r.Get("x")
				}
				return nil
			}, nil}, nil
		})), place{1, "EncoderFunc", 1, 8, "x"}, `step 1 EncoderFunc: row 1 (byte 8): no column "x": there are id, name`},
		{"EncoderFunc behind all rows", in, one(s3writer.EncoderFunc("x", func(io.Writer, []s3writer.Column) (s3writer.Encoder, error) {
			return encoder{func(b *s3writer.Batch) error {
				for range b.All() {
				}
				return boom
			}, nil}, nil
		})), nowhere(1, "EncoderFunc"), `step 1 EncoderFunc: boom`},
		{"EncoderFunc's end", in, one(s3writer.EncoderFunc("x", func(io.Writer, []s3writer.Column) (s3writer.Encoder, error) {
			return encoder{func(*s3writer.Batch) error { return nil }, boom}, nil
		})), nowhere(1, "EncoderFunc"), `step 1 EncoderFunc: boom`},
		{"Gzip", in, one(s3writer.GzipLevel(17)), nowhere(1, "GzipLevel"), `step 1 GzipLevel: the level is 17; `},
		{"WriterFunc", in, one(s3writer.WriterFunc("x", func(io.Writer) (io.WriteCloser, error) { return nil, boom })), nowhere(1, "WriterFunc"), `step 1 WriterFunc: boom`},
		{"ReaderFunc", in, one(s3writer.ReaderFunc(func(io.Reader) (io.Reader, error) { return nil, boom })), nowhere(1, "ReaderFunc"), `step 1 ReaderFunc: boom`},
		{"ReaderFunc's reader", in, one(s3writer.ReaderFunc(func(r io.Reader) (io.Reader, error) { return io.MultiReader(r, endsWith{boom}), nil })),
			nowhere(1, "ReaderFunc"), `step 1 ReaderFunc: boom`},
		{"Decompress", "\x1f\x8b\x08\x00garbage", one(s3writer.Decompress()), nowhere(1, "Decompress"), `step 1 Decompress: gzip: `},
		{"FromCharset", "id,name\n1,\x81\n", one(s3writer.FromCharset("windows-1252")), place{1, "FromCharset", 0, 10, ""}, `step 1 FromCharset: byte 10: 0x81 is no character of windows-1252`},
		{"FromCharset of no charset", in, one(s3writer.FromCharset("x")), nowhere(1, "FromCharset"), `step 1 FromCharset: `},
		{"ToCharset", in + "3,\u20ac\n", one(s3writer.ToCharset("latin2")), nowhere(1, "ToCharset"), `step 1 ToCharset: line 4 of the object, byte 18 in UTF-8: the character U+20AC '€' is not in iso-8859-2`},
		{"ToCharset of no charset", in, one(s3writer.ToCharset("x")), nowhere(1, "ToCharset"), `step 1 ToCharset: `},
		{"Trim", in, one(s3writer.Trim("x")), place{1, "Trim", 0, -1, "x"}, `step 1 Trim: no column "x": there are id, name`},
		{"Redact", in, one(s3writer.Redact("x")), place{1, "Redact", 0, -1, "x"}, `step 1 Redact: no column "x": there are id, name`},
		{"Dedupe", in, one(s3writer.Dedupe("x")), place{1, "Dedupe", 0, -1, "x"}, `step 1 Dedupe: no column "x": there are id, name`},
		{"no step: a bad row", in + "3,\"x\n", one(s3writer.Limit(9)), place{0, "", 3, 16, ""}, `row 3 (byte 16): `},
		{"no step: a short row", in + "3\n", one(s3writer.Limit(9)), place{0, "", 3, 16, ""}, `row 3 (byte 16): `},
		{"no step: the object cannot carry it", "a,a\n1,2\n", one(s3writer.Limit(9)), nowhere(0, ""), `columns 1 and 2 are both called "a"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			_, err := newWriter(t, srv).Write(t.Context(), csv("t.csv", test.in, test.steps...))
			var e *s3writer.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v", err)
			}
			if got := (place{e.Step, e.Processor, e.Row, e.Offset, e.Column}); got != test.want || e.Table != "t.csv" {
				t.Errorf("table %q, place %+v, want %+v", e.Table, got, test.want)
			}
			if want := `s3writer: table "t.csv": ` + test.text; !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got  %v\nwant %v", err, want)
			}
			wantNothing(t, srv)
		})
	}
}

// TestErrorsNameTheirObject where a table has several: the one that a writer failed in.
func TestErrorsNameTheirObject(t *testing.T) {
	boom := errors.New("boom")
	const in = "id,k\n1,a\n\u20ac,b\n3,c\n"
	writer := func(w func(io.Writer) (io.WriteCloser, error)) s3writer.Processor { return s3writer.WriterFunc("", w) }
	n := 0
	for _, test := range []struct {
		name string
		step s3writer.Processor
		want string // behind the object
	}{
		{"ToCharset", s3writer.ToCharset("latin2"), "line 2 of the object, byte 3 in UTF-8: the character U+20AC '€' is not in iso-8859-2"},
		{"WriterFunc", writer(func(w io.Writer) (io.WriteCloser, error) {
			if n++; n == 2 {
				return nil, boom
			}
			return endsIn{w, nil}, nil
		}), "boom"},
		{"WriterFunc", writer(func(w io.Writer) (io.WriteCloser, error) {
			if n++; n == 2 {
				return endsIn{w, boom}, nil
			}
			return endsIn{w, nil}, nil
		}), "boom"},
	} {
		n = 0
		srv := newServer(t)
		_, err := newWriter(t, srv).Write(t.Context(), csv("t.csv", in, s3writer.PartitionBy("k"), test.step))
		var e *s3writer.Error
		if !errors.As(err, &e) || e.Object != "k=b/t-00001.csv" {
			t.Errorf("the object is not named in %#v", e)
		}
		wantText(t, err, `s3writer: table "t.csv": step 2 `+test.name+`: object "k=b/t-00001.csv": `+test.want)
		wantNothing(t, srv)
	}
}

// endsIn is a writer with a given ending.
type endsIn struct {
	io.Writer
	err error
}

func (w endsIn) Close() error { return w.err }

// encoder is an Encoder with given endings.
type encoder struct {
	encode func(*s3writer.Batch) error
	end    error
}

func (e encoder) Encode(b *s3writer.Batch) error { return e.encode(b) }

func (e encoder) Close() error { return e.end }
