package s3writer_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/seed149ec23d/s3writer"
)

func passReader(r io.Reader) (io.Reader, error) { return r, nil }

func passWriter(w io.Writer) (io.WriteCloser, error) { return nopCloser{w}, nil }

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// TestForm is about chains that cannot work: they are refused before a byte
// moves, with every complaint named.
func TestForm(t *testing.T) {
	pass := func(s3writer.Record) bool { return true }
	for _, test := range []struct {
		name   string
		chain  []s3writer.Processor
		writer []s3writer.Processor // of WithProcessors
		want   []string             // one complaint each, without what stands before
	}{
		{"record step behind a compressor", []s3writer.Processor{s3writer.Gzip(), s3writer.Select("id")}, nil,
			[]string{`step 2 Select: needs records, but Gzip before it leaves none; put Select first`}},
		{"record step behind an encoder", []s3writer.Processor{s3writer.JSONLines(), s3writer.Filter(pass)}, nil,
			[]string{`step 2 Filter: needs records, but JSONLines before it leaves none; put Filter first`}},
		{"record step behind a WriterFunc", []s3writer.Processor{s3writer.WriterFunc("", passWriter), s3writer.Limit(1)}, nil,
			[]string{`step 2 Limit: needs records, but WriterFunc before it leaves none; put Limit first`}},
		{"encoder behind a compressor", []s3writer.Processor{s3writer.Zstd(), s3writer.JSONLines()}, nil,
			[]string{`step 2 JSONLines: needs records, but Zstd before it leaves none; put JSONLines first`}},
		{"second encoder", []s3writer.Processor{s3writer.JSONLines(), s3writer.FormatCSV(s3writer.CSV{})}, nil,
			[]string{`step 2 FormatCSV: writes the object, but JSONLines before it has written it already; leave one of them out`}},
		{"second compressor", []s3writer.Processor{s3writer.Gzip(), s3writer.Zstd()}, nil,
			[]string{`step 2 Zstd: compresses what Gzip before it has compressed already; leave one of them out`}},
		{"second compressor behind a WriterFunc", []s3writer.Processor{s3writer.GzipLevel(9), s3writer.WriterFunc("", passWriter), s3writer.Gzip()}, nil,
			[]string{`step 3 Gzip: compresses what GzipLevel before it has compressed already; leave one of them out`}},
		{"second compressor of the Writer", []s3writer.Processor{s3writer.Gzip()}, []s3writer.Processor{s3writer.Gzip()},
			[]string{`step 2 Gzip: compresses what Gzip before it has compressed already; leave one of them out`}},
		{"reader behind a record step", []s3writer.Processor{s3writer.Select("id"), s3writer.Decompress()}, nil,
			[]string{`step 2 Decompress: reads the source's bytes, but Select before it has already taken them; put Decompress first`}},
		{"reader behind an encoder", []s3writer.Processor{s3writer.JSONLines(), s3writer.ReaderFunc(passReader)}, nil,
			[]string{`step 2 ReaderFunc: reads the source's bytes, but JSONLines before it has already taken them; put ReaderFunc first`}},
		{"reader behind a compressor", []s3writer.Processor{s3writer.Gzip(), s3writer.Decompress()}, nil,
			[]string{`step 2 Decompress: reads the source's bytes, but Gzip before it has already taken them; put Decompress first`}},
		{"the zero Processor", []s3writer.Processor{{}}, nil,
			[]string{`step 1: the zero Processor does nothing; make one with a constructor such as Select`}},
		{"odd Rename", []s3writer.Processor{s3writer.Rename("a", "b", "c")}, nil,
			[]string{`step 1 Rename: takes pairs of an old and a new name, but got 3 names`}},
		{"Rename of nothing", []s3writer.Processor{s3writer.Rename()}, nil,
			[]string{`step 1 Rename: takes at least one pair of names`}},
		{"Rename to nothing", []s3writer.Processor{s3writer.Rename("a", "")}, nil,
			[]string{`step 1 Rename: the new name of column "a" is empty`}},
		{"Select of nothing", []s3writer.Processor{s3writer.Select()}, nil,
			[]string{`step 1 Select: takes at least one column`}},
		{"Select of a column twice", []s3writer.Processor{s3writer.Select("a", "b", "a")}, nil,
			[]string{`step 1 Select: names column "a" twice`}},
		{"Drop of nothing", []s3writer.Processor{s3writer.Drop()}, nil,
			[]string{`step 1 Drop: takes at least one column`}},
		{"level too high", []s3writer.Processor{s3writer.GzipLevel(10)}, nil,
			[]string{`step 1 GzipLevel: the level is 10; levels are those of compress/gzip, 1 (fastest) to 9 (smallest), 0, -1 and -2`}},
		{"level too low", []s3writer.Processor{s3writer.GzipLevel(-3)}, nil,
			[]string{`step 1 GzipLevel: the level is -3; levels are those of compress/gzip, 1 (fastest) to 9 (smallest), 0, -1 and -2`}},
		{"FormatCSV with what is for sources", []s3writer.Processor{s3writer.FormatCSV(s3writer.CSV{SkipLines: 2, MaxRow: 5})}, nil,
			[]string{"step 1 FormatCSV: SkipLines is 2, but nothing stands before the header row of an object; it is for sources only\n" +
				"MaxRow is 5, but rows are written however long they are; it is for sources only"}},
		{"PartitionBy without a name", []s3writer.Processor{s3writer.PartitionBy("a", "")}, nil,
			[]string{"step 1 PartitionBy: the name of column 2 is empty; it would be that of a folder"}},
		{"negative Limit", []s3writer.Processor{s3writer.Limit(-1)}, nil,
			[]string{`step 1 Limit: the limit is -1; it cannot be negative`}},
		{"Hash without a key", []s3writer.Processor{s3writer.Hash(nil, "a")}, nil,
			[]string{`step 1 Hash: the key is empty: unkeyed hashes of names or numbers are found by trying them all`}},
		{"Hash of nothing", []s3writer.Processor{s3writer.Hash([]byte("k"))}, nil,
			[]string{`step 1 Hash: takes at least one column`}},
		{"nil functions", []s3writer.Processor{
			s3writer.ReaderFunc(nil), s3writer.Filter(nil), s3writer.Derive("a", nil), s3writer.RecordFunc(nil),
			s3writer.EncoderFunc("x", nil), s3writer.WriterFunc("y", nil)}, nil,
			[]string{
				`step 1 ReaderFunc: the function is nil`, `step 2 Filter: the function is nil`, `step 3 Derive: the function is nil`,
				`step 4 RecordFunc: the function is nil`, `step 5 EncoderFunc: the function is nil`, `step 6 WriterFunc: the function is nil`}},
		{"columns without a name", []s3writer.Processor{
			s3writer.AddColumn("", "x"), s3writer.RowNumber(""),
			s3writer.Derive("", func(s3writer.Record) (s3writer.Value, error) { return s3writer.Value{}, nil })}, nil,
			[]string{
				`step 1 AddColumn: the column's name is empty`, `step 2 RowNumber: the column's name is empty`,
				`step 3 Derive: the column's name is empty`}},
		{"extensions", []s3writer.Processor{s3writer.EncoderFunc("a/b", newLines), s3writer.WriterFunc("a b", passWriter)}, nil,
			[]string{
				`step 1 EncoderFunc: the extension is "a/b"; it must be a plain suffix such as "parquet"`,
				`step 2 WriterFunc: the extension is "a b"; it must be a plain suffix such as "parquet"`}},
		{"dialect of FormatCSV", []s3writer.Processor{s3writer.FormatCSV(s3writer.CSV{Comma: '"'})}, nil,
			[]string{`step 1 FormatCSV: Comma and Quote are both '"'`}},
		{"several, through Chain and Named", []s3writer.Processor{
			s3writer.Named("tidy", s3writer.Chain(s3writer.Rename("a"), s3writer.Gzip())), s3writer.Named("pick", s3writer.Select("id"))}, nil,
			[]string{
				`step 1 tidy/Rename: takes pairs of an old and a new name, but got 1 names`,
				`step 3 pick: needs records, but tidy/Gzip before it leaves none; put pick first`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			w := newWriter(t, srv, s3writer.WithProcessors(test.writer...))
			report, err := w.Write(t.Context(), s3writer.NewTable("t.csv", untouchable{t}, test.chain...))
			for i, want := range test.want {
				test.want[i] = `s3writer: table "t.csv": ` + want
			}
			wantText(t, err, strings.Join(test.want, "\n"))
			wantText(t, report.Tables[0].Err, strings.Join(test.want, "\n"))
			if n := srv.Count(""); n != 0 {
				t.Errorf("%d requests were sent, want none", n)
			}
			wantNothing(t, srv)
		})
	}
}

// untouchable is a source that must not be read.
type untouchable struct{ t *testing.T }

func (u untouchable) Read([]byte) (int, error) {
	u.t.Error("the source was read")
	return 0, io.EOF
}

// TestFormOfTables is about tables that cannot work whatever their chain is.
func TestFormOfTables(t *testing.T) {
	records := s3writer.Records([]string{"id"}, nil)
	for _, test := range []struct {
		name  string
		table s3writer.Table
		want  string
	}{
		{"no key", s3writer.Table{Source: untouchable{t}}, `s3writer: table 1: the key is empty`},
		{"neither", s3writer.Table{}, "s3writer: table 1: Source is nil\ns3writer: table 1: the key is empty"},
		{"no source", s3writer.Table{Key: "t.csv"}, `s3writer: table "t.csv": Source is nil`},
		{"dialect", s3writer.Table{Key: "t.csv", Source: untouchable{t}, CSV: s3writer.CSV{Comma: '\n', MaxRow: -1}},
			`s3writer: table "t.csv": CSV: Comma is '\n', which ends a line` + "\n" + `MaxRow is negative: -1`},
		{"empty columns", s3writer.Table{Key: "t.csv", Source: untouchable{t}, Columns: []string{}},
			`s3writer: table "t.csv": Columns is empty but not nil: name the columns, or leave it nil for a header row`},
		{"columns of records", s3writer.Table{Key: "t.csv", Source: records, Columns: []string{"x"}},
			`s3writer: table "t.csv": the source has records of its own: Columns and CSV are for bytes`},
		{"dialect of records", s3writer.Table{Key: "t.csv", Source: records, CSV: s3writer.CSV{Comma: ';'}},
			`s3writer: table "t.csv": the source has records of its own: Columns and CSV are for bytes`},
		{"readers of records", s3writer.Table{Key: "t.csv", Source: records, Processors: []s3writer.Processor{s3writer.Decompress()}},
			`s3writer: table "t.csv": step 1 Decompress: reads the source's bytes, but the source has records`},
		{"all at once", s3writer.Table{Key: "a/../b", Processors: []s3writer.Processor{s3writer.Limit(-1)}},
			`s3writer: table "a/../b": step 1 Limit: the limit is -1; it cannot be negative` + "\n" +
				`s3writer: table "a/../b": Source is nil` + "\n" +
				`s3writer: table "a/../b": the key "a/../b" has a segment "..", which many tools resolve away`},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			_, err := newWriter(t, srv).Write(t.Context(), test.table)
			wantText(t, err, test.want)
			if n := srv.Count(""); n != 0 {
				t.Errorf("%d requests were sent, want none", n)
			}
			wantNothing(t, srv)
		})
	}
}

// TestBadKeys is about keys that S3 or what reads from it would stumble over.
func TestBadKeys(t *testing.T) {
	long := strings.Repeat("k", 1025)
	for _, test := range []struct{ name, prefix, key, want string }{
		{"empty", "", "", `s3writer: table 1: the key is empty`},
		{"empty below a prefix", "exports/", "", `s3writer: table 1: the key is empty`},
		{"control character", "", "a\nb.csv", `s3writer: table "a\nb.csv": the key "a\nb.csv" has a control character`},
		{"DEL", "", "a\x7fb.csv", `s3writer: table "a\x7fb.csv": the key "a\x7fb.csv" has a control character`},
		{"C1", "", "a\u0085b.csv", `s3writer: table "a\u0085b.csv": the key "a\u0085b.csv" has a control character`},
		{"dots", "", "../b.csv", `s3writer: table "../b.csv": the key "../b.csv" has a segment "..", which many tools resolve away`},
		{"a dot", "", "a/./b.csv", `s3writer: table "a/./b.csv": the key "a/./b.csv" has a segment ".", which many tools resolve away`},
		{"invalid UTF-8", "", "a\xff.csv", `s3writer: table "a\xff.csv": the key "a\xff.csv" is not valid UTF-8`},
		{"too long", "", long, `s3writer: table "` + long + `": the key has 1025 bytes; S3 allows 1024: "` + long[:40] + `"…`},
		{"too long with its prefix", "exports", long[:1017], `s3writer: table "` + long[:1017] + `": the key has 1025 bytes; S3 allows 1024: "exports/` + long[:32] + `"…`},
		{"folder", "", "a/b/", `s3writer: table "a/b/": the key "a/b/" ends in a slash: it names a folder, not an object`},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			w := newWriter(t, srv, s3writer.WithPrefix(test.prefix))
			_, err := w.Write(t.Context(), s3writer.NewTable(test.key, untouchable{t}))
			wantText(t, err, test.want)
			if n := srv.Count(""); n != 0 {
				t.Errorf("%d requests were sent, want none", n)
			}
		})
	}
	t.Run("the longest", func(t *testing.T) {
		srv := newServer(t)
		write(t, newWriter(t, srv), csv(long[:1024], "id\n"))
		wantObject(t, srv, long[:1024], "id\n")
	})
}

// TestOneKeyTwice gives two tables of one Write the same object.
func TestOneKeyTwice(t *testing.T) {
	for _, test := range []struct {
		name   string
		tables []s3writer.Table
		want   string
	}{
		{"same key", []s3writer.Table{
			s3writer.NewTable("t.csv", untouchable{t}), s3writer.NewTable("u.csv", untouchable{t}), s3writer.NewTable("t.csv", untouchable{t})},
			`s3writer: table "t.csv": tables 1 ("t.csv") and 3 ("t.csv") of this Write make the same object; nothing was written`},
		{"same by its extension", []s3writer.Table{
			s3writer.NewTable("t.csv", untouchable{t}, s3writer.Gzip()), s3writer.NewTable("u.csv", untouchable{t}),
			s3writer.NewTable("t.csv.gz", untouchable{t})},
			`s3writer: table "t.csv.gz": tables 1 ("t.csv") and 3 ("t.csv.gz") of this Write make the same object; nothing was written`},
		{"same by slashes", []s3writer.Table{
			s3writer.NewTable("/t.csv", untouchable{t}), s3writer.NewTable("u.csv", untouchable{t}), s3writer.NewTable("t.csv", untouchable{t})},
			`s3writer: table "t.csv": object "exports/t.csv": tables 1 ("/t.csv") and 3 ("t.csv") of this Write make the same object; nothing was written`},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			var done []string
			opts := []s3writer.Option{s3writer.WithProgress(func(p s3writer.Progress) {
				if p.Done {
					done = append(done, p.Table)
				}
			})}
			if strings.Contains(test.want, "exports/") {
				opts = append(opts, s3writer.WithPrefix("exports/"))
			}
			report, err := newWriter(t, srv, opts...).Write(t.Context(), test.tables...)
			wantText(t, err, test.want)
			var e *s3writer.Error
			if !errors.As(err, &e) || e.Table != test.tables[2].Key {
				t.Errorf("the error is %#v, want an *Error of table %q", err, test.tables[2].Key)
			}
			for i, r := range report.Tables {
				if r.Err == nil {
					t.Errorf("table %d, %q: no error is reported, and nothing was written", i+1, r.Key)
				}
			}
			if len(done) != 3 {
				t.Errorf("progress told the end of %q, want all three tables", done)
			}
			if n := srv.Count(""); n != 0 {
				t.Errorf("%d requests were sent, want none", n)
			}
			wantNothing(t, srv)
		})
	}
}

func TestNothingToWrite(t *testing.T) {
	srv := newServer(t)
	report, err := newWriter(t, srv).Write(t.Context())
	wantText(t, err, `s3writer: nothing to write: no table was given`)
	if !errors.Is(err, s3writer.ErrNothingToWrite) || report == nil {
		t.Errorf("got %v and report %v, want ErrNothingToWrite and an empty report", err, report)
	}
}
