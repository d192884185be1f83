package s3writer_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/text/encoding/japanese"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

// contents are the objects of the bucket, decompressed.
func contents(srv *s3writertest.Server) map[string]string {
	all := map[string]string{}
	for _, key := range srv.Keys(bucket) {
		body, _ := srv.Get(bucket, key)
		all[key] = decompressed(key, string(body))
	}
	return all
}

// joinedRows is the rows of the objects below a folder, in the order of their
// keys, with the header that each must have.
func joinedRows(t *testing.T, objects map[string]string, folder, header string) string {
	t.Helper()
	var keys []string
	for key := range objects {
		if strings.HasPrefix(key, folder) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	var all strings.Builder
	for _, key := range keys {
		rows, ok := strings.CutPrefix(objects[key], header)
		if !ok {
			t.Errorf("object %q begins with %.40q, not with its header", key, objects[key])
		}
		all.WriteString(rows)
	}
	return all.String()
}

// numbered is n rows of an id, a country and a note of chance length.
func numbered(n, countries int) (text string, byCountry map[string]string, notes string) {
	random := rand.New(rand.NewPCG(1, 2))
	var all, rest strings.Builder
	byCountry = map[string]string{}
	parts := map[string]*strings.Builder{}
	all.WriteString("id,country,note\n")
	for i := range n {
		country := fmt.Sprintf("c%03d", random.IntN(countries))
		note := strings.Repeat("x", random.IntN(90))
		if i%7 == 0 {
			note = `"a, ""b""` + note + `"`
		}
		fmt.Fprintf(&all, "%d,%s,%s\n", i, country, note)
		fmt.Fprintf(&rest, "%d,%s\n", i, note)
		if parts[country] == nil {
			parts[country] = &strings.Builder{}
		}
		fmt.Fprintf(parts[country], "%d,%s\n", i, note)
	}
	for c, b := range parts {
		byCountry[c] = b.String()
	}
	return all.String(), byCountry, rest.String()
}

func TestSplitRowsGivesEachObjectThatMany(t *testing.T) {
	for _, rows := range []int{0, 1, 9, 10, 11, 1000, 30_000} {
		for _, n := range []int64{1, 7, 10, 64, 1000} {
			if int64(rows)/n <= 1000 {
				t.Run(fmt.Sprint(rows, " by ", n), func(t *testing.T) { splitRows(t, rows, n) })
			}
		}
	}
}

func splitRows(t *testing.T, rows int, n int64) {
	var in strings.Builder
	in.WriteString("id\n")
	for i := range rows {
		fmt.Fprintln(&in, i)
	}
	srv := newServer(t)
	report := write(t, newWriter(t, srv), csv("t.csv", in.String(), s3writer.SplitRows(n)))
	objects := report.Tables[0].Objects
	if want := max(1, (rows+int(n)-1)/int(n)); len(objects) != want {
		t.Fatalf("%d objects, want %d", len(objects), want)
	}
	for i, o := range objects {
		if want := fmt.Sprintf("t-%05d.csv", i+1); o.Key != want {
			t.Errorf("object %d is %q, want %q", i, o.Key, want)
		}
		if want := min(n, int64(rows)-int64(i)*n); o.Rows != want || o.State != s3writer.Committed {
			t.Errorf("object %q has %d rows and is %v, want %d", o.Key, o.Rows, o.State, want)
		}
	}
	if got := joinedRows(t, contents(srv), "t-", "id\n"); "id\n"+got != in.String() {
		t.Error("the objects are not the table")
	}
}

// Objects are as large as they may be, and no larger, whatever compresses them.
func TestSplitSizeIsABound(t *testing.T) {
	text, _, rest := numbered(8_000, 5)
	noise := make([]byte, 150_000)
	random := rand.New(rand.NewPCG(3, 4))
	for i := range noise {
		noise[i] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"[random.IntN(64)]
		if i%60 == 59 {
			noise[i] = '\n'
		}
	}
	accents := strings.Repeat(strings.Repeat("é", 60)+"\n", 1500) // two bytes, and three in EUC-JP
	eucJP, err := japanese.EUCJP.NewEncoder().String(accents)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		in    string
		want  string
		steps []s3writer.Processor
		head  string
	}{
		{"csv", text, rest, []s3writer.Processor{s3writer.Drop("country")}, "id,note\n"},
		{"gzip", text, rest, []s3writer.Processor{s3writer.Drop("country"), s3writer.Gzip()}, "id,note\n"},
		{"zstd", text, rest, []s3writer.Processor{s3writer.Drop("country"), s3writer.Zstd()}, "id,note\n"},
		{"charset", "x\n" + accents, eucJP, []s3writer.Processor{s3writer.ToCharset("euc-jp")}, "x\n"},
		{"gzip of noise", "x\n" + string(noise), string(noise), []s3writer.Processor{s3writer.GzipLevel(1)}, "x\n"},
		{"zstd of noise", "x\n" + string(noise), string(noise), []s3writer.Processor{s3writer.Zstd()}, "x\n"},
	} {
		for _, size := range []int64{400, 5_000, 50_000} {
			t.Run(fmt.Sprintf("%s/%d", test.name, size), func(t *testing.T) {
				srv := newServer(t)
				steps := append([]s3writer.Processor{s3writer.SplitSize(size)}, test.steps...)
				report := write(t, newWriter(t, srv), csv("t.csv", test.in, steps...))
				objects := report.Tables[0].Objects
				var stored, rows int64
				for i, o := range objects {
					stored, rows = stored+o.Size, rows+o.Rows
					if o.Size > size {
						t.Errorf("object %q has %d bytes and %d rows", o.Key, o.Size, o.Rows)
					}
					if i+1 < len(objects) && size >= 5000 && o.Size < size*9/10 {
						t.Errorf("object %q has only %d bytes", o.Key, o.Size)
					}
				}
				if rows != report.Tables[0].RowsWritten {
					t.Errorf("the objects have %d rows of %d", rows, report.Tables[0].RowsWritten)
				}
				if got := joinedRows(t, contents(srv), "t-", test.head); got != test.want {
					t.Errorf("%d objects are not the table", len(objects))
				}
			})
		}
	}
}

func TestRowLargerThanAnObject(t *testing.T) {
	srv := newServer(t)
	write(t, newWriter(t, srv), csv("t.csv", "id\n1\n"+strings.Repeat("2", 500)+"\n3\n", s3writer.SplitSize(50)))
	wantObject(t, srv, "t-00001.csv", "id\n1\n")
	wantObject(t, srv, "t-00002.csv", "id\n"+strings.Repeat("2", 500)+"\n")
	wantObject(t, srv, "t-00003.csv", "id\n3\n")
}

// Whatever the memory and the chain, each value's rows are there, in order.
func TestPartitionsAreComplete(t *testing.T) {
	text, byCountry, _ := numbered(60_000, 300)
	lines := s3writer.EncoderFunc("txt", func(w io.Writer, columns []s3writer.Column) (s3writer.Encoder, error) {
		_, err := io.WriteString(w, "id,note\n")
		return plainLines{w}, err
	})
	for _, test := range []struct {
		name   string
		steps  []s3writer.Processor
		opts   []s3writer.Option
		single bool // one object for each value
	}{
		{"memory enough", nil, nil, true},
		{"gzip", []s3writer.Processor{s3writer.Gzip()}, nil, true},
		{"zstd", []s3writer.Processor{s3writer.Zstd()}, nil, true},
		{"little memory", nil, []s3writer.Option{s3writer.WithMemory(16 << 20)}, false},
		{"little memory, gzip", []s3writer.Processor{s3writer.Gzip()}, []s3writer.Option{s3writer.WithMemory(16 << 20)}, false},
		{"spilled", nil, []s3writer.Option{s3writer.WithMemory(16 << 20), s3writer.WithSpill(t.TempDir())}, true},
		{"spilled, gzip", []s3writer.Processor{s3writer.Gzip()}, []s3writer.Option{s3writer.WithMemory(16 << 20), s3writer.WithSpill(t.TempDir())}, true},
		{"rows", []s3writer.Processor{s3writer.SplitRows(50)}, nil, false},
		{"size", []s3writer.Processor{s3writer.SplitSize(2000)}, nil, false},
		{"rows, size, gzip", []s3writer.Processor{s3writer.SplitRows(90), s3writer.SplitSize(2000), s3writer.Gzip()}, nil, false},
		{"rows, spilled", []s3writer.Processor{s3writer.SplitRows(150), s3writer.Zstd()}, []s3writer.Option{s3writer.WithMemory(16 << 20), s3writer.WithSpill(t.TempDir())}, false},
		{"encoder", []s3writer.Processor{lines}, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			srv.SetMinPartSize(0)
			steps := append([]s3writer.Processor{s3writer.PartitionBy("country")}, test.steps...)
			report := write(t, newWriter(t, srv, test.opts...), csv("f/t.csv", text, steps...))
			objects := contents(srv)
			for country, want := range byCountry {
				if got := joinedRows(t, objects, "f/country="+country+"/", "id,note\n"); got != want {
					t.Fatalf("partition %s: %d bytes, want %d", country, len(got), len(want))
				}
			}
			if test.single && len(objects) != len(byCountry) {
				t.Errorf("%d objects for %d values", len(objects), len(byCountry))
			}
			if n := len(report.Tables[0].Objects); n != len(objects) {
				t.Errorf("the report has %d objects of %d", n, len(objects))
			}
			s3writertest.AssertNoOrphans(t, srv, bucket)
		})
	}
}

// plainLines writes id and note as CSV of its own.
type plainLines struct{ w io.Writer }

func (p plainLines) Encode(b *s3writer.Batch) error {
	for r := range b.All() {
		note := r.Get("note")
		if strings.ContainsAny(note, `,"`) {
			note = `"` + strings.ReplaceAll(note, `"`, `""`) + `"`
		}
		if _, err := fmt.Fprintf(p.w, "%s,%s\n", r.Get("id"), note); err != nil {
			return err
		}
	}
	return nil
}

func (p plainLines) Close() error { return nil }

// The same objects come out whatever the number of cores.
func TestDivisionIsDeterministic(t *testing.T) {
	text, _, _ := numbered(40_000, 100)
	for _, steps := range [][]s3writer.Processor{
		{s3writer.PartitionBy("country"), s3writer.Gzip()},
		{s3writer.SplitSize(50_000), s3writer.Gzip()},
		{s3writer.SplitSize(50_000), s3writer.Zstd()},
		{s3writer.PartitionBy("country"), s3writer.SplitRows(77), s3writer.SplitSize(3000), s3writer.JSONLines(), s3writer.Gzip()},
	} {
		var want map[string]string
		for _, procs := range []int{1, 2, 8} {
			t.Run(fmt.Sprint(steps, procs), func(t *testing.T) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
				srv := newServer(t)
				write(t, newWriter(t, srv), csv("t.csv", text, steps...))
				got := map[string]string{}
				for _, key := range srv.Keys(bucket) {
					body, _ := srv.Get(bucket, key)
					got[key] = string(body)
				}
				if want == nil {
					want = got
				}
				if !maps.Equal(got, want) {
					t.Errorf("%d objects that are not the %d of one core", len(got), len(want))
				}
			})
		}
	}
}

func TestPartitionPaths(t *testing.T) {
	for _, test := range []struct{ name, value, want string }{
		{"plain", "CZ", "a=CZ"},
		{"NULL", "", "a=__HIVE_DEFAULT_PARTITION__"},
		{"empty", `""`, "a=__HIVE_DEFAULT_PARTITION__"},
		{"escaped", `"a b/c=d:e%f*'""?\{[]^}#~,` + "\x01\t\x7f\"", `a=a b%2Fc%3Dd%3Ae%25f%2A%27%22%3F%5C%7B%5B%5D%5E}%23~,%01%09%7F`},
		{"not ASCII", "Žluťoučký", "a=Žluťoučký"},
		{"line end", "\"x\ny\"", "a=x%0Ay"},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			write(t, newWriter(t, srv), csv("t.csv", "a,b\n"+test.value+",1\n", s3writer.PartitionBy("a")))
			wantObject(t, srv, test.want+"/t-00001.csv", "b\n1\n")
		})
	}
}

func TestPartitionRefusals(t *testing.T) {
	by := s3writer.PartitionBy
	emit := s3writer.RecordFunc(func([]s3writer.Column) (s3writer.RecordStep, error) {
		return s3writer.RecordStep{Row: func(s3writer.Record, *s3writer.Emitter) error { return nil }}, nil
	})
	for _, test := range []struct {
		name  string
		in    string
		steps []s3writer.Processor
		want  string
	}{
		{"Hive's word", "a,b\n1,1\n__HIVE_DEFAULT_PARTITION__,2\n", []s3writer.Processor{by("a")},
			`step 1 PartitionBy: row 2 (byte 8): column "a": the value is "__HIVE_DEFAULT_PARTITION__"`},
		{"key too long", "a,b\n1,1\n" + strings.Repeat("%", 400) + ",2\n", []s3writer.Processor{by("a")},
			`step 1 PartitionBy: row 2 (byte 8): column "a": the key has`},
		{"not UTF-8", "a,b\n1,1\n\xff,2\n", []s3writer.Processor{by("a")}, `row 2 (byte 8): column "a": the value`},
		{"all columns", "a,b\n1,1\n", []s3writer.Processor{by("b", "a")}, "step 1 PartitionBy: no column would be left"},
		{"unknown", "a,b\n1,1\n", []s3writer.Processor{by("c")}, `step 1 PartitionBy: no column "c"`},
		{"none", "a,b\n1,1\n", []s3writer.Processor{by()}, "takes at least one column"},
		{"the column has left", "a,b\n1,1\n", []s3writer.Processor{by("a"), s3writer.Select("a")}, `step 2 Select: no column "a"`},
		{"twice", "a,b\n1,1\n", []s3writer.Processor{by("a"), by("b")}, "step 2 PartitionBy: the records are partitioned already"},
		{"behind SplitRows", "a,b\n1,1\n", []s3writer.Processor{s3writer.SplitRows(1), by("a")}, "put PartitionBy first"},
		{"RecordFunc", "a,b\n1,1\n", []s3writer.Processor{by("a"), emit}, "put RecordFunc before PartitionBy"},
		{"SplitRows twice", "a,b\n1,1\n", []s3writer.Processor{s3writer.SplitRows(1), s3writer.SplitRows(2)}, "step 2 SplitRows: is there twice"},
		{"SplitRows(0)", "a,b\n1,1\n", []s3writer.Processor{s3writer.SplitRows(0)}, "step 1 SplitRows: the number of records is 0"},
		{"SplitSize(-1)", "a,b\n1,1\n", []s3writer.Processor{s3writer.SplitSize(-1)}, "step 1 SplitSize: the size is -1"},
		{"behind Gzip", "a,b\n1,1\n", []s3writer.Processor{s3writer.Gzip(), s3writer.SplitRows(1)}, "put SplitRows first"},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			_, err := newWriter(t, srv).Write(t.Context(), csv("t.csv", test.in, test.steps...))
			wantMention(t, err, test.want)
			wantNothing(t, srv)
		})
	}
}

func TestKeysOfDividedTables(t *testing.T) {
	one := s3writer.SplitRows(1)
	by := s3writer.PartitionBy("a")
	const text = "a,b\nx,1\n"
	for _, test := range []struct {
		name   string
		tables []s3writer.Table
		want   string // "": all is well
	}{
		{"other stems", []s3writer.Table{csv("t.csv", text, one), csv("u.csv", text, one)}, ""},
		{"other formats", []s3writer.Table{csv("t.csv", text, one), csv("t.csv", text, one, s3writer.Gzip())}, ""},
		{"split twice", []s3writer.Table{csv("t.csv", text, one), csv("t.csv", text, one)}, "make the same object"},
		{"a number by hand", []s3writer.Table{csv("t-00007.csv", text), csv("t.csv", text, one)}, "make the same object"},
		{"a number by hand, behind", []s3writer.Table{csv("t.csv", text, one), csv("t-00007.csv", text)}, "make the same object"},
		{"no number", []s3writer.Table{csv("t.csv", text, one), csv("t-x.csv", text)}, ""},
		{"partitioned in one folder", []s3writer.Table{csv("f/t.csv", text, by), csv("f/u.csv", text, by)}, "are partitioned in the same folder"},
		{"partitioned in two", []s3writer.Table{csv("f/t.csv", text, by), csv("g/t.csv", text, by)}, ""},
		{"a partition by hand", []s3writer.Table{csv("f/t.csv", text, by), csv("f/a=x/t-00001.csv", text)}, "make the same object"},
		{"split inside a partition", []s3writer.Table{csv("f/a=x/t.csv", text, one), csv("f/t.csv", text, by)}, "make the same object"},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			_, err := newWriter(t, srv).Write(t.Context(), test.tables...)
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantMention(t, err, test.want)
			wantNothing(t, srv)
		})
	}
}

// Nothing is visible of a table that fails at its end, and the disk is clean.
func TestDividedTableFailsWhole(t *testing.T) {
	text, _, _ := numbered(60_000, 300)
	boom := errors.New("boom")
	for _, steps := range [][]s3writer.Processor{
		{s3writer.SplitRows(1000)},
		{s3writer.SplitSize(100_000), s3writer.Gzip()},
		{s3writer.PartitionBy("country"), s3writer.Gzip()},
	} {
		for _, opts := range [][]s3writer.Option{nil, {s3writer.WithMemory(16 << 20)}, {s3writer.WithMemory(16 << 20), s3writer.WithSpill(t.TempDir())}} {
			t.Run(fmt.Sprint(steps, len(opts)), func(t *testing.T) {
				srv := newServer(t)
				src := io.MultiReader(strings.NewReader(text), endsWith{boom})
				_, err := newWriter(t, srv, opts...).Write(t.Context(), s3writer.NewTable("t.csv", src, steps...))
				if !errors.Is(err, boom) {
					t.Errorf("got %v", err)
				}
				wantNothing(t, srv)
			})
		}
	}
}

type endsWith struct{ err error }

func (f endsWith) Read([]byte) (int, error) { return 0, f.err }

// A refused object in the middle of the commit is a partial one, with the state
// of every object.
func TestDividedTableCommitsInPart(t *testing.T) {
	srv := newServer(t)
	srv.Fail(s3writertest.Fault{Op: "PutObject", Key: "t-00003.csv", Status: 403, Code: "AccessDenied"})
	report, err := newWriter(t, srv, s3writer.WithConcurrency(1)).Write(t.Context(), csv("t.csv", "id\n1\n2\n3\n4\n5\n", s3writer.SplitRows(1)))
	if !errors.Is(err, s3writer.ErrPartialCommit) || !errors.Is(err, s3writer.ErrAccessDenied) {
		t.Fatalf("got %v", err)
	}
	for _, o := range report.Tables[0].Objects {
		_, visible := srv.Get(bucket, o.Key)
		if visible != (o.State == s3writer.Committed) || visible != (o.Err == nil) {
			t.Errorf("object %q: visible %v, but %v, %v", o.Key, visible, o.State, o.Err)
		}
	}
}

func TestSpillLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	left := dir + "/s3writer-spill-123"
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(left, old, old); err != nil {
		t.Fatal(err)
	}
	text, _, _ := numbered(120_000, 300)
	srv := newServer(t)
	w := newWriter(t, srv, s3writer.WithMemory(16<<20), s3writer.WithSpill(dir))
	wantEmpty := func() {
		t.Helper()
		if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
			t.Errorf("left: %v, %v", files, err)
		}
	}
	write(t, w, csv("small.csv", "id\n1\n")) // which needs no file
	wantEmpty()
	write(t, w, csv("t.csv", text, s3writer.PartitionBy("country")))
	wantEmpty()
}

// Readers skip folders of some names, and those that a column gives them too.
func TestSuspectFolders(t *testing.T) {
	for column, want := range map[string]string{
		"k":  "",
		"_k": `key "x/_k=…/t-00001.csv": readers such as Spark and Athena skip segments like "_k=…"`,
		".k": `key "x/.k=…/t-00001.csv": readers such as Spark and Athena skip segments like ".k=…"`,
	} {
		srv := newServer(t)
		report := write(t, newWriter(t, srv), csv("x/t.csv", "a,"+column+"\n1,2\n", s3writer.PartitionBy(column)))
		if got := strings.Join(report.Warnings, "\n"); got != want {
			t.Errorf("warned %q, want %q", got, want)
		}
	}
}

func TestManySmallObjectsAreWarnedOf(t *testing.T) {
	var log bytes.Buffer
	srv := newServer(t)
	write(t, newWriter(t, srv, s3writer.WithLogger(slog.New(slog.NewTextHandler(&log, nil)))),
		csv("t.csv", "a,b\n1,1\n2,2\n", s3writer.PartitionBy("a")))
	if !strings.Contains(log.String(), "many small objects") {
		t.Errorf("logged: %s", &log)
	}
}

func TestPartitionedTableWithoutRowsHasNoObject(t *testing.T) {
	srv := newServer(t)
	report := write(t, newWriter(t, srv), csv("t.csv", "a,b\n", s3writer.PartitionBy("a")))
	if len(report.Tables[0].Objects) != 0 || len(srv.Keys(bucket)) != 0 {
		t.Errorf("objects: %v", srv.Keys(bucket))
	}
}

// wantMention fails the test unless the error says so.
func wantMention(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want an error with %q", err, want)
	}
}

// Rows that are larger than what may wait in memory go where they belong at once.
func TestPartitionsOfHugeRows(t *testing.T) {
	for _, opts := range [][]s3writer.Option{nil, {s3writer.WithSpill(t.TempDir())}} {
		for _, size := range []int{1 << 20, 10 << 20} {
			t.Run(fmt.Sprint(len(opts), size), func(t *testing.T) {
				srv := newServer(t)
				var in strings.Builder
				in.WriteString("a,b\n")
				for i := range 4 {
					fmt.Fprintf(&in, "%d,%s\n", i%2, strings.Repeat("x", size))
				}
				write(t, newWriter(t, srv, append(opts, s3writer.WithMemory(16<<20))...), csv("t.csv", in.String(), s3writer.PartitionBy("a")))
				for _, folder := range []string{"a=0/", "a=1/"} {
					if got := joinedRows(t, contents(srv), folder, "b\n"); len(got) != 2*(size+1) {
						t.Errorf("partition %s has %d bytes, want %d", folder, len(got), 2*(size+1))
					}
				}
			})
		}
	}
}

// A function that ends its goroutine costs the table, never an object.
func TestObjectInputThatEndsItsGoroutine(t *testing.T) {
	text, _, _ := numbered(10_000, 30)
	for _, step := range []s3writer.Processor{s3writer.PartitionBy("country"), s3writer.SplitRows(500)} {
		t.Run(step.String(), func(t *testing.T) {
			srv := newServer(t)
			var calls atomic.Int32
			table := csv("t.csv", text, step)
			table.ObjectInput = func(*s3.CreateMultipartUploadInput) {
				if calls.Add(1) == 3 {
					runtime.Goexit()
				}
			}
			_, err := newWriter(t, srv).Write(t.Context(), table)
			wantMention(t, err, "runtime.Goexit")
			wantNothing(t, srv)
		})
	}
}

// A table that fails does not wait for the objects that are being finished.
func TestDividedTableFailsWhileServerHangs(t *testing.T) {
	boom := errors.New("boom")
	srv := newServer(t)
	never, hung := make(chan struct{}), make(chan struct{}, 100)
	defer close(never)
	srv.Fail(s3writertest.Fault{Op: "UploadPart", Hang: never, Hook: func(*http.Request) { hung <- struct{}{} }})
	src := io.MultiReader(strings.NewReader("id\n"+strings.Repeat(strings.Repeat("x", 1023)+"\n", 13<<10)),
		readerFunc(func([]byte) (int, error) { <-hung; return 0, boom }))
	_, err := newWriter(t, srv).Write(t.Context(), s3writer.NewTable("t.csv", src, s3writer.SplitSize(12<<20)))
	if !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
}

// Every object is in memory until it is committed: there are as many as the
// budget is enough for, and then words that help.
func TestTooManyObjects(t *testing.T) {
	const values, rows = 5_000, 120_000
	var text strings.Builder
	text.WriteString("id,k,text\n")
	for i := range rows {
		fmt.Fprintf(&text, "%d,v%d,%s\n", i, i*7919%values, strings.Repeat("some text ", 20))
	}
	table := func() s3writer.Table { return csv("t.csv", text.String(), s3writer.PartitionBy("k")) }
	dry, memory := s3writer.WithDryRun(), s3writer.WithMemory(20<<20)
	srv := newServer(t)

	_, err := newWriter(t, srv, dry, memory).Write(t.Context(), table())
	var e *s3writer.Error
	if !errors.As(err, &e) || e.Processor != "PartitionBy" || e.Row == 0 ||
		!strings.HasSuffix(err.Error(), " objects of 5000 combinations of values are more than the memory is enough for; "+
			"give WithSpill a folder, raise WithMemory, or partition by something coarser") {
		t.Errorf("got %v", err)
	}

	// What it says helps.
	for _, opts := range [][]s3writer.Option{{memory, s3writer.WithSpill(t.TempDir())}, {s3writer.WithMemory(128 << 20)}} {
		report := write(t, newWriter(t, srv, append(opts, dry)...), table())
		if r := report.Tables[0]; r.RowsWritten != rows || len(r.Objects) < values {
			t.Errorf("%d rows in %d objects", r.RowsWritten, len(r.Objects))
		}
	}
}
