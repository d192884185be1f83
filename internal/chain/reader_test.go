package chain_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"github.com/seed149ec23d/s3writer/internal/chain"
	"github.com/seed149ec23d/s3writer/internal/record"
)

func gzipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zstandard(t testing.TB, text string) string {
	t.Helper()
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	return string(z.EncodeAll([]byte(text), nil))
}

// Of printf 'id,name\n1,a\n' | bzip2.
const bzip2Table = "QlpoOTFBWSZTWci74usAAATZAAAQAAQgACYjIAAxBkxBAek0IELnw14u5IpwoSGRd8XW"

// TestDecompress tells formats by their first bytes.
func TestDecompress(t *testing.T) {
	const table = "id,name\n1,a\n"
	bz, err := base64.StdEncoding.DecodeString(bzip2Table)
	if err != nil {
		t.Fatal(err)
	}
	z, s := gzipped(t, table), zstandard(t, table)
	for _, test := range []struct{ name, in, want, err string }{
		{"plain", table, table, ""},
		{"nothing", "", "", ""},
		{"two bytes", "i\n", "i\n", ""},
		{"gzip", z, table, ""},
		{"gzip of nothing", gzipped(t, ""), "", ""},
		{"several gzip members", z + gzipped(t, "2,b\n"), table + "2,b\n", ""},
		{"zstd", s, table, ""},
		{"several zstd frames", s + zstandard(t, "2,b\n"), table + "2,b\n", ""},
		{"bzip2", string(bz), table, ""},
		{"several bzip2 streams", string(bz) + string(bz), table + table, ""},
		{"bzip2 of nothing", "BZh9\x17\x72\x45\x38\x50\x90\x00\x00\x00\x00", "", ""},
		{"a header row that begins as bzip2 does", "BZhNr,b\nCZ,1\n", "BZhNr,b\nCZ,1\n", ""},
		{"and with its level", "BZh9,name\n1,a\n", "BZh9,name\n1,a\n", ""},
		{"a frame to be skipped, then zstd", "\x5f\x2a\x4d\x18\x04\x00\x00\x00abcd" + s, table, ""},
		{"zstd in gzip", gzipped(t, s), s, ""},
		{"gzip in gzip", gzipped(t, z), z, ""},
		{"gzip, cut", z[:len(z)-4], "", "step 1 Decompress: gzip: unexpected EOF"},
		{"gzip, cut in its header", z[:6], "", "step 1 Decompress: gzip: unexpected EOF"},
		{"gzip, damaged", z[:len(z)-6] + "x" + z[len(z)-5:], "", "step 1 Decompress: gzip: invalid checksum"},
		{"gzip with something behind", z + "something else", "", "step 1 Decompress: gzip: invalid header"},
		{"zstd, cut", s[:len(s)-2], "", "step 1 Decompress: zstd: unexpected EOF"},
		{"zstd with something behind", s + "something else", "", "step 1 Decompress: zstd: invalid input: magic number mismatch"},
		{"bzip2 with something behind", string(bz) + "something else", "", "step 1 Decompress: bzip2: bzip2 data invalid: bad magic value in continuation file"},
		{"bzip2, cut in its beginning", string(bz[:8]), "", "step 1 Decompress: bzip2: unexpected EOF"},
		{"bzip2, cut", string(bz[:20]), "", "step 1 Decompress: bzip2: unexpected EOF"},
	} {
		for _, records := range []bool{false, true} {
			t.Run(fmt.Sprint(test.name, " ", records), func(t *testing.T) {
				steps := []chain.Step{chain.Decompress()}
				if records {
					steps = append(steps, chain.FormatCSV(record.Dialect{}))
					if strings.HasSuffix(test.name, " in gzip") {
						return
					}
				}
				for _, reader := range []io.Reader{strings.NewReader(test.in), iotest.OneByteReader(strings.NewReader(test.in))} {
					j := job{reader: reader}
					got, err := j.run(t, steps...)
					wantError(t, err, test.err)
					if err == nil && got != test.want {
						t.Errorf("got %q, want %q", got, test.want)
					}
					if err == nil && j.counts.BytesRead.Load() != int64(len(test.in)) {
						t.Errorf("%d bytes were read of %d", j.counts.BytesRead.Load(), len(test.in))
					}
				}
			})
		}
	}
	t.Run("source fails", func(t *testing.T) {
		for _, in := range []string{"", "i", z[:12], s[:8], string(bz[:8]), table} {
			j := job{reader: io.MultiReader(strings.NewReader(in), broken{})}
			_, err := j.run(t, chain.Decompress())
			if !errors.Is(err, errBroken) || !strings.Contains(err.Error(), "source: it is broken") {
				t.Errorf("behind %d bytes: %v", len(in), err)
			}
		}
	})
}

// zeros is 4 MiB of zeros, compressed as well as can be.
func zeros(t testing.TB, compress func(io.Writer) io.WriteCloser) string {
	t.Helper()
	var b bytes.Buffer
	z := compress(&b)
	if _, err := z.Write(make([]byte, 4<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func bestGzip(w io.Writer) io.WriteCloser {
	z, _ := gzip.NewWriterLevel(w, gzip.BestCompression)
	return z
}

func smallZstd(w io.Writer) io.WriteCloser {
	z, _ := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	return z
}

// TestDecompressionBomb stops at little more than what any source may become.
func TestDecompressionBomb(t *testing.T) {
	for format, in := range map[string]string{
		"gzip": strings.Repeat(zeros(t, bestGzip), 25),
		"zstd": strings.Repeat(zeros(t, smallZstd), 25),
	} {
		t.Run(format, func(t *testing.T) {
			var o counting
			err := decompress(t, in, &o)
			if err == nil {
				t.Fatalf("%d bytes became %d without a complaint", len(in), o.n)
			}
			want := regexp.MustCompile(`^step 1 Decompress: ` + format + `: \d+ bytes became \d+, more than 1000 times as many, ` +
				`as only a decompression bomb does; if it is none, decompress it in a ReaderFunc$`)
			if !want.MatchString(err.Error()) {
				t.Errorf("got %v", err)
			}
			if o.n < 64<<20-chain.BlockSize || o.n > 65<<20 {
				t.Errorf("%d bytes came out before it failed", o.n)
			}
		})
	}
}

// TestNoDecompressionBomb lets tables pass that compress very well, and small
// ones however well they do.
func TestNoDecompressionBomb(t *testing.T) {
	var rows strings.Builder
	for i := 0; rows.Len() < 1<<20; i++ {
		fmt.Fprintf(&rows, "%d%s\n", i, strings.Repeat(",", 400))
	}
	well := gzipped(t, rows.String())
	for name, test := range map[string]struct {
		in   string
		want int64
	}{
		"a sparse table":   {strings.Repeat(well, 70), 70 * int64(rows.Len())},
		"zeros, but small": {strings.Repeat(zeros(t, smallZstd), 16), 64 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			var o counting
			if err := decompress(t, test.in, &o); err != nil || o.n != test.want {
				t.Errorf("%d bytes became %d, want %d: %v", len(test.in), o.n, test.want, err)
			}
		})
	}
}

// counting is an object whose bytes nobody keeps.
type counting struct{ n int64 }

func (o *counting) Write(p []byte) (int, error) { o.n += int64(len(p)); return len(p), nil }
func (o *counting) Finish() error               { return nil }
func (o *counting) Abort()                      {}

// decompress runs a chain of one step.
func decompress(t testing.TB, in string, o chain.ByteSink) error {
	t.Helper()
	p, errs := chain.Compile([]chain.Step{chain.Decompress()})
	if errs != nil {
		t.Fatal(errors.Join(errs...))
	}
	return p.Run(t.Context(), chain.Input{
		Source: chain.Source{Open: func(context.Context) (io.Reader, io.Closer, error) {
			return strings.NewReader(in), nil, nil
		}},
		Dialect: record.Dialect{}.Resolve(), Parallel: 1,
	}, new(chain.Counts), func(*chain.Object) (chain.ByteSink, error) { return o, nil })
}

// TestReaderFunc wraps the source once per table; its errors say where.
func TestReaderFunc(t *testing.T) {
	upper := func(r io.Reader) (io.Reader, error) {
		b, err := io.ReadAll(r)
		return bytes.NewReader(bytes.ToUpper(b)), err
	}
	returns := func(r io.Reader, err error) func(io.Reader) (io.Reader, error) {
		return func(io.Reader) (io.Reader, error) { return r, err }
	}
	for _, test := range []struct {
		name      string
		wrap      func(io.Reader) (io.Reader, error)
		want, err string
	}{
		{"all at once", upper, "ID\nA\n", ""},
		{"as it is", func(r io.Reader) (io.Reader, error) { return r, nil }, "id\na\n", ""},
		{"fails", returns(nil, errBroken), "", "step 1 ReaderFunc: it is broken"},
		{"panics", func(io.Reader) (io.Reader, error) { panic("boom") }, "", "step 1 ReaderFunc: panic: boom"},
		{"returns nothing", returns(nil, nil), "", "step 1 ReaderFunc: opened no reader"},
		{"Read fails", returns(broken{}, nil), "", "step 1 ReaderFunc: it is broken"},
		{"Read panics", returns(reader(func([]byte) (int, error) { panic("boom") }), nil), "", "step 1 ReaderFunc: panic: boom"},
		{"Read counts below zero", returns(reader(func([]byte) (int, error) { return -1, nil }), nil), "",
			"step 1 ReaderFunc: the reader returned a count of -1 for a buffer of N bytes"},
		{"Read returns nothing for ever", returns(reader(func([]byte) (int, error) { return 0, nil }), nil), "",
			"step 1 ReaderFunc: multiple Read calls return no data or error"},
	} {
		for _, records := range []bool{false, true} {
			t.Run(fmt.Sprint(test.name, " ", records), func(t *testing.T) {
				steps := []chain.Step{chain.ReaderFunc(test.wrap)}
				if records {
					steps = append(steps, chain.FormatCSV(record.Dialect{}))
				}
				j := job{in: "id\na\n"}
				got, err := j.run(t, steps...)
				if err != nil {
					err = errors.New(strings.NewReplacer("65536", "N", "262144", "N").Replace(err.Error()))
				}
				wantError(t, err, test.err)
				if err == nil && got != test.want {
					t.Errorf("got %q, want %q", got, test.want)
				}
			})
		}
	}
}

type reader func([]byte) (int, error)

func (r reader) Read(p []byte) (int, error) { return r(p) }

// TestReadersNest from the source on.
func TestReadersNest(t *testing.T) {
	prefix := func(s string) chain.Step {
		return chain.ReaderFunc(func(r io.Reader) (io.Reader, error) { return io.MultiReader(strings.NewReader(s), r), nil })
	}
	j := job{in: "id\n"}
	got, err := j.run(t, prefix("a"), prefix("b"), chain.FormatCSV(record.Dialect{}))
	if err != nil || got != "baid\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestCancelledRun leaves nothing behind but a Read that is stuck, on every way
// through a chain.
func TestCancelledRun(t *testing.T) {
	for name, steps := range map[string][]chain.Step{
		"copy":    {inPieces(1 << 20)},
		"gzip":    {chain.Gzip(1)},
		"records": {chain.Filter(func(record.Record) bool { return true }), chain.RowNumber("n"), chain.Select([]string{"id"}), chain.Gzip(1)},
	} {
		for _, blocks := range []int{0, 20} {
			t.Run(fmt.Sprint(name, " ", blocks), func(t *testing.T) {
				leaks := goleak.IgnoreCurrent()
				reading, release := make(chan struct{}), make(chan struct{})
				ctx, cancel := context.WithCancel(t.Context())
				j := job{ctx: ctx, reader: io.MultiReader(
					strings.NewReader("id\n"+strings.Repeat("1\n", blocks*chain.BlockSize/2)),
					reader(func([]byte) (int, error) { close(reading); <-release; return 0, io.EOF }))}
				cancelled := make(chan time.Time, 1)
				go func() { <-reading; cancelled <- time.Now(); cancel() }()
				_, err := j.run(t, steps...)
				if !errors.Is(err, context.Canceled) {
					t.Errorf("got %v, want context.Canceled", err)
				}
				if took := time.Since(<-cancelled); took > 5*time.Second {
					t.Errorf("it took %v", took)
				}
				if j.object.finished > 0 {
					t.Error("the object was finished")
				}
				close(release)
				goleak.VerifyNone(t, leaks)
			})
		}
	}
}

// TestNothingIsReadAfterTheEnd by a reader that a run has left to itself.
func TestNothingIsReadAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reading, release := make(chan struct{}), make(chan struct{})
		reads := 0
		ctx, cancel := context.WithCancel(t.Context())
		j := job{ctx: ctx, reader: reader(func(p []byte) (int, error) {
			if reads++; reads == 1 {
				close(reading)
				<-release
			}
			return copy(p, "1\n"), nil
		})}
		go func() { <-reading; cancel() }()
		_, err := j.run(t, chain.ReaderFunc(func(r io.Reader) (io.Reader, error) {
			return reader(func(p []byte) (int, error) { return io.ReadFull(r, p) }), nil
		}), chain.Select([]string{"1"}))
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		close(release)
		synctest.Wait()
		if reads != 1 {
			t.Errorf("the source was read %d times, %d of them after the run had ended", reads, reads-1)
		}
	})
}

// TestRecordSource is closed once, whatever happens.
func TestRecordSource(t *testing.T) {
	for _, test := range []struct {
		name string
		s    rows
		step chain.Step
		want string
	}{
		{"whole", rows{n: 10_000}, chain.Select([]string{"id"}), ""},
		{"none", rows{}, chain.Select([]string{"id"}), ""},
		{"does not open", rows{columnsErr: errBroken}, chain.Select([]string{"id"}), "source: it is broken"},
		{"fails", rows{n: 10, err: errBroken}, chain.Select([]string{"id"}), "source: it is broken"},
		{"panics", rows{n: 10, panics: true}, chain.Select([]string{"id"}), "source: panic: boom"},
		{"a step does not open", rows{n: 10}, chain.Select([]string{"x"}), `step 1 Select: no column "x": there are id`},
		{"a step fails", rows{n: 10}, chain.Typed("id", record.Bool), `step 1 Typed: row 1: column "id": "x" is not a bool: true or false`},
		{"a step fails far behind", rows{n: 9000}, each(func(r record.Record, _ *chain.Emitter) error {
			if r.Batch.Number(r.Row) == 8999 {
				return errBroken
			}
			return nil
		}), `step 1 RecordFunc: row 8999: it is broken`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := test.s
			j := job{records: &s}
			_, err := j.run(t, test.step)
			wantError(t, err, test.want)
			if s.closed != 1 {
				t.Errorf("it was closed %d times", s.closed)
			}
		})
	}
}

// rows is a source of n records.
type rows struct {
	n          int
	columnsErr error
	err        error
	panics     bool
	closed     int
}

func (s *rows) Columns(context.Context) ([]record.Column, error) {
	return []record.Column{{Name: "id"}}, s.columnsErr
}

func (s *rows) Each(b *record.Builder, row func() error) error {
	for range s.n {
		b.Text("x")
		b.EndRow()
		if err := row(); err != nil {
			return err
		}
	}
	if s.panics {
		panic("boom")
	}
	return s.err
}

func (s *rows) Close() error { s.closed++; return nil }
