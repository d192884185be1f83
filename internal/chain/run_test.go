package chain_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"go.uber.org/goleak"

	"github.com/seed149ec23d/s3writer/internal/chain"
	"github.com/seed149ec23d/s3writer/internal/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errBroken = errors.New("it is broken")

// object is an object in memory: what a chain writes to.
type object struct {
	text              bytes.Buffer
	finished, aborted int
	writes            int
	failAt            int // the write that fails, from 1; 0: none
	finishErr         error
	discard           bool // text stays empty
}

func (o *object) Write(p []byte) (int, error) {
	if o.writes++; o.writes == o.failAt {
		return 0, errBroken
	}
	if o.finished+o.aborted > 0 {
		return 0, errors.New("written to after its end")
	}
	if o.discard {
		return len(p), nil
	}
	return o.text.Write(p)
}

func (o *object) Finish() error { o.finished++; return o.finishErr }
func (o *object) Abort()        { o.aborted++ }

// wantEnd fails the test unless the object has come to exactly one end, the
// right one.
func (o *object) wantEnd(t testing.TB, failed bool) {
	t.Helper()
	finished, aborted := 1, 0
	if failed {
		finished, aborted = 0, 1
	}
	if o.finished != finished || o.aborted != aborted {
		t.Errorf("the object was finished %d times and aborted %d times, want %d and %d", o.finished, o.aborted, finished, aborted)
	}
}

// job is one run of a chain.
type job struct {
	in       string
	reader   io.Reader // instead of in
	closer   io.Closer // of reader
	records  chain.RecordSource
	dialect  record.Dialect
	columns  []string
	onBadRow func(record.BadRow) error
	parallel int // 0: 2
	object   *object
	counts   chain.Counts
	ctx      context.Context
}

// run compiles the steps and runs them.
func (j *job) run(t testing.TB, steps ...chain.Step) (string, error) {
	t.Helper()
	p, errs := chain.Compile(steps)
	if errs != nil {
		t.Fatalf("Compile: %v", errors.Join(errs...))
	}
	if j.reader == nil {
		j.reader = strings.NewReader(j.in)
	}
	if j.object == nil {
		j.object = &object{}
	}
	if j.ctx == nil {
		j.ctx = t.Context()
	}
	in := chain.Input{
		Source:  chain.Source{Records: j.records},
		Dialect: j.dialect.Resolve(), Columns: j.columns, OnBadRow: j.onBadRow,
		Decode: j.onBadRow != nil, Parallel: max(j.parallel, 1),
	}
	if j.parallel == 0 {
		in.Parallel = 2
	}
	if j.records == nil {
		in.Source.Open = func(context.Context) (io.Reader, io.Closer, error) { return j.reader, j.closer, nil }
	}
	err := p.Run(j.ctx, in, &j.counts, func(*chain.Object) (chain.ByteSink, error) { return j.object, nil })
	if j.object.finished+j.object.aborted > 1 {
		t.Errorf("the object was finished %d times and aborted %d times", j.object.finished, j.object.aborted)
	}
	if err == nil {
		j.object.wantEnd(t, false)
	}
	return j.object.text.String(), err
}

// wantError fails the test unless err says want.
func wantError(t testing.TB, err error, want string) {
	t.Helper()
	got := ""
	if err != nil {
		got = err.Error()
	}
	if got != want {
		t.Errorf("error:\n got %s\nwant %s", got, want)
	}
}

// everyWay calls f with each way to read text: in pieces of every size, on one
// core and on four.
func everyWay(t *testing.T, text string, f func(t *testing.T, reader io.Reader, parallel int)) {
	t.Helper()
	readers := []struct {
		name string
		of   func(io.Reader) io.Reader
	}{
		{"at once", func(r io.Reader) io.Reader { return r }},
		{"in pieces", func(r io.Reader) io.Reader {
			if len(text) < 1000 {
				return iotest.OneByteReader(r)
			}
			return pieces{r, 997}
		}},
		{"in halves", iotest.HalfReader},
		{"end with the last byte", iotest.DataErrReader},
	}
	for _, procs := range []int{1, 4} {
		for _, parallel := range []int{1, 4} {
			for _, r := range readers {
				t.Run(fmt.Sprintf("%s, %d cores, %d blocks", r.name, procs, parallel), func(t *testing.T) {
					defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
					f(t, r.of(strings.NewReader(text)), parallel)
				})
			}
		}
	}
}

// By printf %s Eva | openssl dgst -sha256 -hmac key, and of nothing.
const (
	hashOfEva     = "f7d3e4cd0183190e8009b013b13e52df4dfefd2ea1a876ffdc5f1a5eaaac336d"
	hashOfNothing = "5d5d139563c95b5967b9bd9a8c9b233a9dedb45072794cd232dc1b74832607d0"
)

// pieces is a reader of at most n bytes at a time.
type pieces struct {
	io.Reader
	n int
}

func (r pieces) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(len(p), r.n)]) }

// TestSteps runs each built-in step over little data.
func TestSteps(t *testing.T) {
	const people = "id,name,country\n1,Eva,CZ\n2,\"Li, Wei\",CN\n3,,\"\"\n4,\"say \"\"hi\"\"\",DE\n"
	odd := func(r record.Record) bool { return r.Get("id") == "1" || r.Get("id") == "3" }
	for _, test := range []struct {
		name  string
		in    string
		steps []chain.Step
		want  string
	}{
		{"none", people, nil, people},
		{"Select", people, []chain.Step{chain.Select([]string{"country", "id"})}, "country,id\nCZ,1\nCN,2\n\"\",3\nDE,4\n"},
		{"Select all", people, []chain.Step{chain.Select([]string{"id", "name", "country"})}, people},
		{"Drop", people, []chain.Step{chain.Drop([]string{"id", "country"})}, "name\nEva\n\"Li, Wei\"\n\n\"say \"\"hi\"\"\"\n"},
		{"Rename, swapped", people, []chain.Step{chain.Rename([]string{"id", "name", "name", "id"})},
			"name,id,country\n" + people[len("id,name,country\n"):]},
		{"Filter", people, []chain.Step{chain.Filter(odd)}, "id,name,country\n1,Eva,CZ\n3,,\"\"\n"},
		{"Filter to nothing", people, []chain.Step{chain.Filter(func(record.Record) bool { return false })}, "id,name,country\n"},
		{"Derive", people, []chain.Step{chain.Derive("both", func(r record.Record) (record.Value, error) {
			if r.Value("name").IsNull() {
				return record.Value{}, nil
			}
			return record.TextValue(r.Get("country") + "/" + r.Get("name")), nil
		}), chain.Drop([]string{"name", "country"})}, "id,both\n1,CZ/Eva\n2,\"CN/Li, Wei\"\n3,\n4,\"DE/say \"\"hi\"\"\"\n"},
		{"Derive in place", people, []chain.Step{chain.Derive("name", func(r record.Record) (record.Value, error) {
			return record.TextValue(strings.ToUpper(r.Get("name"))), nil
		}), chain.Select([]string{"name", "id"})}, "name,id\nEVA,1\n\"LI, WEI\",2\n\"\",3\n\"SAY \"\"HI\"\"\",4\n"},
		{"Derive behind Filter", people, []chain.Step{chain.Filter(odd), chain.Derive("x", func(r record.Record) (record.Value, error) {
			return record.TextValue("<" + r.Get("id") + ">"), nil
		}), chain.Select([]string{"x"})}, "x\n<1>\n<3>\n"},
		{"Typed", people, []chain.Step{chain.Typed("id", record.Int64), chain.JSONLines()},
			`{"id":1,"name":"Eva","country":"CZ"}` + "\n" + `{"id":2,"name":"Li, Wei","country":"CN"}` + "\n" +
				`{"id":3,"name":null,"country":""}` + "\n" + `{"id":4,"name":"say \"hi\"","country":"DE"}` + "\n"},
		{"AddColumn", people, []chain.Step{chain.AddColumn("source", "a,b"), chain.Select([]string{"id", "source"})},
			"id,source\n1,\"a,b\"\n2,\"a,b\"\n3,\"a,b\"\n4,\"a,b\"\n"},
		{"AddColumn of nothing", people, []chain.Step{chain.Select([]string{"id"}), chain.AddColumn("e", "")},
			"id,e\n1,\"\"\n2,\"\"\n3,\"\"\n4,\"\"\n"},
		{"Limit", people, []chain.Step{chain.Limit(2), chain.Select([]string{"id"})}, "id\n1\n2\n"},
		{"Limit 0", people, []chain.Step{chain.Limit(0)}, "id,name,country\n"},
		{"Limit beyond", people, []chain.Step{chain.Limit(9), chain.Select([]string{"id"})}, "id\n1\n2\n3\n4\n"},
		{"Limit behind Filter", people, []chain.Step{chain.Filter(odd), chain.Limit(1), chain.Select([]string{"id"})}, "id\n1\n"},
		{"RowNumber", people, []chain.Step{chain.Filter(odd), chain.RowNumber("n"), chain.Select([]string{"n", "id"})}, "n,id\n1,1\n2,3\n"},
		{"Hash", "id,name\n1,Eva\n2,\n3,\"\"\n4,Eva\n", []chain.Step{chain.Hash([]byte("key"), []string{"name"})},
			"id,name\n1," + hashOfEva + "\n2,\n3," + hashOfNothing + "\n4," + hashOfEva + "\n"},
		{"FormatCSV", people, []chain.Step{chain.FormatCSV(record.Dialect{Comma: ';', CRLF: true, QuoteAll: true, NoHeader: true})},
			"\"1\";\"Eva\";\"CZ\"\r\n\"2\";\"Li, Wei\";\"CN\"\r\n\"3\";;\"\"\r\n\"4\";\"say \"\"hi\"\"\";\"DE\"\r\n"},
		{"JSONLines of nothing", "id\n", []chain.Step{chain.JSONLines()}, ""},
		{"RecordFunc", people, []chain.Step{chain.RecordFunc(func([]record.Column) (chain.RecordStep, error) {
			return chain.RecordStep{Columns: []record.Column{{Name: "twice"}}, Row: func(r record.Record, out *chain.Emitter) error {
				if !odd(r) {
					return nil
				}
				for range 2 {
					out.Copy(r, 1)
					out.EndRow()
				}
				return nil
			}}, nil
		})}, "twice\nEva\nEva\n\n\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			everyWay(t, test.in, func(t *testing.T, reader io.Reader, parallel int) {
				j := job{reader: reader, parallel: parallel}
				got, err := j.run(t, test.steps...)
				if err != nil || got != test.want {
					t.Errorf("got %v and\n%s\nwant\n%s", err, got, test.want)
				}
			})
		})
	}
}

// TestEveryWayAlike runs long chains over many blocks: what comes out does not
// depend on pieces, cores or blocks.
func TestEveryWayAlike(t *testing.T) {
	var in strings.Builder
	in.WriteString("id,name,note\n")
	for i := range 12_000 {
		fmt.Fprintf(&in, "%d,name %d,\"a \"\"quoted\"\" note,\nof two lines %d\"\n", i, i%97, i)
	}
	keep := chain.Filter(func(r record.Record) bool { return !strings.HasSuffix(r.Get("id"), "3") })
	derive := chain.Derive("len", func(r record.Record) (record.Value, error) {
		return record.TextValue(fmt.Sprint(len(r.Get("note")))), nil
	})
	for _, test := range []struct {
		name  string
		steps []chain.Step
	}{
		{"parallel steps", []chain.Step{chain.Select([]string{"note", "id"}), chain.Rename([]string{"id", "n"})}},
		{"ordered steps", []chain.Step{keep, chain.RowNumber("row"), derive}},
		{"between each other", []chain.Step{
			chain.Hash([]byte("k"), []string{"name"}), keep, chain.Select([]string{"id", "name", "note"}), derive, chain.Drop([]string{"note"}),
			chain.RowNumber("row"), chain.Typed("len", record.Int64), chain.Limit(9_000)}},
		{"concurrent callbacks", []chain.Step{keep.Concurrent(), derive.Concurrent(), chain.JSONLines()}},
		{"compressed", []chain.Step{keep, chain.JSONLines(), chain.Gzip(6)}},
		{"copied and compressed", []chain.Step{chain.Gzip(1)}},
		{"zstd", []chain.Step{keep, chain.Zstd()}},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := ""
			everyWay(t, in.String(), func(t *testing.T, reader io.Reader, parallel int) {
				j := job{reader: reader, parallel: parallel}
				got, err := j.run(t, test.steps...)
				if err != nil {
					t.Fatal(err)
				}
				if want == "" {
					want = got
				}
				if got != want {
					t.Errorf("%d bytes came out that differ from the %d of the first way", len(got), len(want))
				}
			})
		})
	}
}
