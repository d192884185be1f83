package s3writer_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/crc64nvme"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/internal/upload"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

// heap is how many bytes of objects are on the heap, dead ones included, and of pages beside it.
func heap() uint64 {
	pages, _ := upload.OffHeap()
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64() + uint64(pages)
}

// heapPeak runs f and returns by how much the heap has grown at most, and what
// it was before.
func heapPeak(f func()) (peak, before uint64) {
	runtime.GC()
	before = heap()
	peak = before
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			peak = max(peak, heap())
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	defer func() { // also after a failure of f
		close(stop)
		<-stopped
		peak -= before
	}()
	f()
	return
}

// TestBudgetUnderExpansion is about small tables that become large ones: what
// a step makes of a block must not be in memory all at once.
func TestBudgetUnderExpansion(t *testing.T) {
	const (
		rows   = 600_000
		memory = 16 << 20
	)
	value := strings.Repeat("v", 400)
	mac := hmac.New(sha256.New, []byte("key"))
	mac.Write([]byte("1"))
	in := "n\n" + strings.Repeat("1\n", rows)
	for _, test := range []struct {
		name             string
		step             s3writer.Processor
		key, header, row string
	}{
		{"AddColumn", s3writer.AddColumn("v", value), "t.csv", "n,v\n", "1," + value + "\n"},
		{"Hash", s3writer.Hash([]byte("key"), "n"), "t.csv", "n\n", hex.EncodeToString(mac.Sum(nil)) + "\n"},
		{"JSONLines", s3writer.JSONLines(), "t.jsonl", "", `{"n":"1"}` + "\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			srv.SetDiscard(true)
			w := newWriter(t, srv, s3writer.WithMemory(memory))
			var report *s3writer.Report
			grown, before := heapPeak(func() { report = write(t, w, csv("t.csv", in, test.step)) })
			// The garbage collector lets what was there before grow by itself.
			if grown > memory+48<<20+before {
				t.Errorf("the heap grew by %d MiB, want at most the budget, %d MiB, and 48 MiB", grown>>20, memory>>20)
			}
			crc := crc64nvme.Update(0, []byte(test.header))
			block := []byte(strings.Repeat(test.row, 1000))
			for range rows / 1000 {
				crc = crc64nvme.Update(crc, block)
			}
			want := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, crc))
			o, ok := srv.Object(bucket, test.key)
			if size := int64(len(test.header) + rows*len(test.row)); !ok || o.Size != size || o.CRC64NVME != want {
				t.Errorf("the object has %d bytes with the checksum %s, want %d with %s", o.Size, o.CRC64NVME, size, want)
			}
			if r := report.Tables[0]; r.RowsRead != rows || r.RowsWritten != rows {
				t.Errorf("reported %+v", r)
			}
		})
	}
}

// TestManyStages fit the default memory; with too little of it the error says
// how much is needed.
func TestManyStages(t *testing.T) {
	var steps []s3writer.Processor
	for i := range 30 {
		steps = append(steps,
			s3writer.Filter(func(r s3writer.Record) bool { return r.Get("id") != fmt.Sprint(i) }), s3writer.Select("name", "id"))
	}
	var in, want strings.Builder
	in.WriteString("id,name\n")
	want.WriteString("name,id\n")
	for i := range 20_000 {
		fmt.Fprintf(&in, "%d,name %d\n", i, i)
		if i >= 30 {
			fmt.Fprintf(&want, "name %d,%d\n", i, i)
		}
	}
	for _, procs := range []int{1, 2, 16} {
		t.Run(fmt.Sprint(procs, " cores"), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			srv := newServer(t)
			r := write(t, newWriter(t, srv), csv("t.csv", in.String(), steps...)).Tables[0]
			wantObject(t, srv, "t.csv", want.String())
			if r.RowsRead != 20_000 || r.RowsWritten != 19_970 || r.RowsFiltered != 30 {
				t.Errorf("reported %+v", r)
			}
		})
	}
	t.Run("too little memory", func(t *testing.T) {
		srv := newServer(t)
		w := newWriter(t, srv, s3writer.WithMemory(16<<20))
		_, err := w.Write(t.Context(), s3writer.NewTable("t.csv", untouchable{t}, steps...))
		const want = "needs 52.5 MiB for its blocks, codecs and open objects (1), but the memory budget is 16.0 MiB: raise WithMemory"
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error that says %s", err, want)
		}
		wantNothing(t, srv)
	})
}

// TestGzipOnManyCores makes the same bytes, in as little memory as there may be.
func TestGzipOnManyCores(t *testing.T) {
	in := pattern(12 << 20)
	var want []byte
	for _, test := range []struct {
		procs  int
		memory int64
	}{{1, 16 << 20}, {64, 16 << 20}, {64, 512 << 20}} {
		t.Run(fmt.Sprintf("%d cores, %d MiB", test.procs, test.memory>>20), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(test.procs))
			srv := newServer(t)
			write(t, newWriter(t, srv, s3writer.WithMemory(test.memory)), csv("t.csv", in, s3writer.GzipLevel(1)))
			got, _ := srv.Get(bucket, "t.csv.gz")
			if want == nil {
				want = got
				if gunzip(t, got) != in {
					t.Error("what comes out is not what went in")
				}
			}
			if string(got) != string(want) {
				t.Errorf("%d bytes differ from the %d of one core", len(got), len(want))
			}
		})
	}
}

// exits ends the goroutine that calls it, as the FailNow of a test does.
type exits struct{ write, close bool }

func (e exits) Read([]byte) (int, error)          { runtime.Goexit(); return 0, nil }
func (e exits) Encode(*s3writer.Batch) error      { return e.at(e.write) }
func (e exits) Write(p []byte) (n int, err error) { return len(p), e.at(e.write) }
func (e exits) Close() error                      { return e.at(e.close) }

func (e exits) at(here bool) error {
	if here {
		runtime.Goexit()
	}
	return nil
}

// TestGoexit in any callback fails its table, and nothing else: no Write waits
// for ever, and none says that all is well.
func TestGoexit(t *testing.T) {
	type step = s3writer.RecordStep
	recordFunc := func(s step) s3writer.Processor {
		return s3writer.RecordFunc(func([]s3writer.Column) (step, error) { return s, nil })
	}
	writer := func(e exits) s3writer.Processor {
		return s3writer.WriterFunc("", func(io.Writer) (io.WriteCloser, error) { return e, nil })
	}
	encoder := func(e exits) s3writer.Processor {
		return s3writer.EncoderFunc("", func(io.Writer, []s3writer.Column) (s3writer.Encoder, error) { return e, nil })
	}
	filter := s3writer.Filter(func(s3writer.Record) bool { runtime.Goexit(); return true })
	chain := func(p ...s3writer.Processor) func() s3writer.Table {
		return func() s3writer.Table { return csv("t.csv", "id\n1\nx,y\n2\n", p...) }
	}
	for _, test := range []struct {
		name  string
		table func() s3writer.Table
	}{
		{"Filter", chain(filter)},
		{"concurrent Filter", chain(s3writer.Concurrent(filter))},
		{"Derive", chain(s3writer.Derive("x", func(s3writer.Record) (s3writer.Value, error) {
			runtime.Goexit()
			return s3writer.Value{}, nil
		}))},
		{"RecordFunc", chain(s3writer.RecordFunc(func([]s3writer.Column) (step, error) { runtime.Goexit(); return step{}, nil }))},
		{"Row", chain(recordFunc(step{Row: func(s3writer.Record, *s3writer.Emitter) error { runtime.Goexit(); return nil }}))},
		{"End", chain(s3writer.Limit(1), recordFunc(step{
			Row: func(s3writer.Record, *s3writer.Emitter) error { return nil },
			End: func(*s3writer.Emitter) error { runtime.Goexit(); return nil }}))},
		{"ReaderFunc", chain(s3writer.ReaderFunc(func(io.Reader) (io.Reader, error) { runtime.Goexit(); return nil, nil }))},
		{"Read of a ReaderFunc", chain(s3writer.ReaderFunc(func(io.Reader) (io.Reader, error) { return exits{}, nil }))},
		{"Read of a ReaderFunc, compressed", chain(s3writer.ReaderFunc(func(io.Reader) (io.Reader, error) { return exits{}, nil }), s3writer.Gzip())},
		{"Read of a ReaderFunc, decoded", chain(s3writer.ReaderFunc(func(io.Reader) (io.Reader, error) { return exits{}, nil }), filter)},
		{"WriterFunc", chain(s3writer.WriterFunc("", func(io.Writer) (io.WriteCloser, error) { runtime.Goexit(); return nil, nil }))},
		{"Write", chain(writer(exits{write: true}))},
		{"Write, decoded", chain(s3writer.Limit(1), writer(exits{write: true}))},
		{"Close of a writer", chain(writer(exits{close: true}))},
		{"Close of a writer, decoded", chain(s3writer.Limit(1), writer(exits{close: true}))},
		{"Close of a writer that is given up", chain(s3writer.Select("id"), writer(exits{close: true}))},
		{"EncoderFunc", chain(s3writer.EncoderFunc("", func(io.Writer, []s3writer.Column) (s3writer.Encoder, error) {
			runtime.Goexit()
			return nil, nil
		}))},
		{"Encode", chain(s3writer.Limit(1), encoder(exits{write: true}))},
		{"Close of an encoder", chain(s3writer.Limit(1), encoder(exits{close: true}))},
		{"Close of an encoder that is given up", chain(encoder(exits{close: true}))},
		{"source", func() s3writer.Table { return s3writer.NewTable("t.csv", exits{}) }},
		{"source, decoded", func() s3writer.Table { return s3writer.NewTable("t.csv", exits{}, s3writer.Select("id")) }},
		{"source behind rows", func() s3writer.Table {
			return s3writer.NewTable("t.csv", io.MultiReader(strings.NewReader("id\n1\n"), exits{}), s3writer.Select("id"))
		}},
		{"SourceFunc", func() s3writer.Table {
			return s3writer.NewTable("t.csv", s3writer.SourceFunc(func(context.Context) (io.ReadCloser, error) {
				runtime.Goexit()
				return nil, nil
			}))
		}},
		{"Records", func() s3writer.Table {
			return s3writer.NewTable("t.csv", s3writer.Records([]string{"id"}, func(func([]string, error) bool) { runtime.Goexit() }))
		}},
		{"OnBadRow", func() s3writer.Table {
			table := chain()()
			table.OnBadRow = func(s3writer.BadRow) error { runtime.Goexit(); return nil }
			return table
		}},
		{"Accept", func() s3writer.Table {
			table := csv("t.csv", "id\n1\n")
			table.Accept = func(s3writer.TableReport) error { runtime.Goexit(); return nil }
			return table
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			report, err := newWriter(t, srv).Write(t.Context(), test.table(), csv("other.csv", "id\n"))
			var e *s3writer.Error
			if !errors.As(err, &e) || e.Table != "t.csv" {
				t.Errorf("got %v, want an error of the table", err)
			}
			if r := report.Tables; r[0].Err == nil || r[1].Err != nil {
				t.Errorf("reported %v and %v, want the failure of the first table alone", r[0].Err, r[1].Err)
			}
			s3writertest.AssertNoPartial(t, srv, bucket, map[string]string{"other.csv": "id\n"})
			wantObject(t, srv, "other.csv", "id\n")
			s3writertest.AssertNoOrphans(t, srv, bucket)
		})
	}
}

// TestOddForms are an error in words before the source is read, or do what
// they seem to do.
func TestOddForms(t *testing.T) {
	limit, pick := s3writer.Limit(1), s3writer.Select("id")
	for _, test := range []struct {
		name string
		p    s3writer.Processor
		want string // an error, or the object
	}{
		{"Named nothing", s3writer.Named("", limit), `step 1 Limit: was given an empty name by Named`},
		{"Named nothing, not valid either", s3writer.Named("", s3writer.Limit(-1)),
			"step 1 Limit: was given an empty name by Named\nthe limit is -1; it cannot be negative"},
		{"Chain named nothing", s3writer.Named("", s3writer.Chain(limit, pick)),
			"step 1 Limit: was given an empty name by Named\nstep 2 Select: was given an empty name by Named"},
		{"the zero Processor, named", s3writer.Named("x", s3writer.Processor{}),
			`step 1 x: the zero Processor does nothing; make one with a constructor such as Select`},
		{"the zero Processor, concurrent", s3writer.Concurrent(s3writer.Processor{}),
			`step 1: the zero Processor does nothing; make one with a constructor such as Select`},
		{"the zero Processor in a Chain of Chains", s3writer.Chain(limit, s3writer.Chain(s3writer.Processor{})),
			`step 2: the zero Processor does nothing; make one with a constructor such as Select`},
		{"Chain of nothing", s3writer.Chain(), "id,name\n1,a\n2,b\n"},
		{"Chain of nothing, named", s3writer.Named("x", s3writer.Concurrent(s3writer.Chain())), "id,name\n1,a\n2,b\n"},
		{"Chain of Chains", s3writer.Chain(s3writer.Chain(), s3writer.Chain(limit, s3writer.Chain(pick))), "id\n1\n"},
		{"Rename of a column twice", s3writer.Rename("id", "a", "id", "b"), `step 1 Rename: renames column "id" twice`},
		{"unknown type", s3writer.Typed("id", 99), `step 1 Typed: there is no type 99`},
		{"nil functions in a Chain", s3writer.Chain(s3writer.Concurrent(s3writer.Filter(nil)), s3writer.Named("d", s3writer.Derive("", nil))),
			"step 1 Filter: the function is nil\nstep 2 d: the column's name is empty"},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			if strings.HasSuffix(test.want, "\n") {
				write(t, newWriter(t, srv), csv("t.csv", "id,name\n1,a\n2,b\n", test.p))
				wantObject(t, srv, "t.csv", test.want)
				return
			}
			_, err := newWriter(t, srv).Write(t.Context(), s3writer.NewTable("t.csv", untouchable{t}, test.p))
			wantText(t, err, `s3writer: table "t.csv": `+strings.ReplaceAll(test.want, "\nstep", "\n"+`s3writer: table "t.csv": step`))
			if n := srv.Count(""); n != 0 {
				t.Errorf("%d requests were sent, want none", n)
			}
		})
	}
}

// gate is a source that tells when it is read, and ends when it is opened.
type gate struct {
	read, open chan struct{}
	once       sync.Once
}

func newGate() *gate { return &gate{read: make(chan struct{}), open: make(chan struct{})} }

func (g *gate) Read([]byte) (int, error) {
	g.once.Do(func() { close(g.read) })
	<-g.open
	return 0, io.EOF
}

// TestAllOrNothingInNeed cancels, or fails, while an object that waits for its
// siblings is being sent because another Write needs its memory.
func TestAllOrNothingInNeed(t *testing.T) {
	const held = 7 << 20 // twice, so that the fourth table that is open has no room beside them
	for _, test := range []struct {
		name  string
		fault s3writertest.Fault         // of the part that makes room
		then  func(cancel, other func()) // as the part is being sent
		after func(cancel func())        // as the last source ends
		whole bool                       // all objects, not none
		is    error
	}{
		{name: "it is sent", whole: true},
		{name: "its own context ends", then: func(cancel, _ func()) { cancel() }, is: context.Canceled},
		{name: "its own context ends with its last source", after: func(cancel func()) { cancel() }, is: context.Canceled},
		{name: "the other's context ends", then: func(_, other func()) { other() }, whole: true},
		{name: "both contexts end", then: func(cancel, other func()) { other(); cancel() }, is: context.Canceled},
		{name: "it is refused", fault: s3writertest.Fault{Status: http.StatusForbidden}, is: s3writer.ErrAccessDenied},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			w := newWriter(t, srv, s3writer.WithMemory(48<<20), s3writer.WithAllOrNothing())
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			otherCtx, other := context.WithCancel(t.Context())
			defer other()
			struck, going := make(chan struct{}), make(chan struct{})
			fault := test.fault
			fault.Op, fault.Key, fault.N, fault.Hook, fault.Hang = "UploadPart", "", 1, sendHook(struck), going
			if fault.Status == 0 {
				fault.Header = http.Header{"X-Test": {"1"}}
			}
			srv.Fail(fault)

			waiting := newGate()
			var report *s3writer.Report
			var err error
			var wait sync.WaitGroup
			wait.Go(func() {
				report, err = w.Write(ctx, csv("held.csv", pattern(held)), csv("held too.csv", pattern(held)), csv("small.csv", "id\n1\n"), s3writer.NewTable("waiting.csv", waiting))
			})
			<-waiting.read
			var otherErr error
			var needy []s3writer.Table // more than there is memory for
			var gates []*gate
			for i := range 6 {
				gates = append(gates, newGate())
				needy = append(needy, s3writer.NewTable(fmt.Sprintf("other/%d.csv", i), gates[i]))
			}
			wait.Go(func() { _, otherErr = w.Write(otherCtx, needy...) })
			<-struck
			if test.then != nil {
				test.then(cancel, other)
			}
			if test.after != nil {
				test.after(cancel)
			}
			close(waiting.open)
			for _, g := range gates {
				close(g.open)
			}
			close(going)
			wait.Wait()

			if !errors.Is(err, test.is) || test.is == nil && err != nil || errors.Is(err, s3writer.ErrPartialCommit) {
				t.Errorf("got %v, want %v and no partial commit", err, test.is)
			}
			visible := 0
			for i, want := range []string{pattern(held), pattern(held), "id\n1\n", ""} {
				r := report.Tables[i]
				if body, ok := srv.Get(bucket, r.Key); ok && string(body) == want {
					visible++
				} else if ok {
					t.Errorf("%q is there with %d bytes, want %d", r.Key, len(body), len(want))
				}
				if (r.Err == nil) != test.whole {
					t.Errorf("%q: reported %v", r.Key, r.Err)
				}
			}
			if test.whole && visible != 4 || !test.whole && visible != 0 {
				t.Errorf("%d of 4 objects are visible", visible)
			}
			if otherErr != nil && otherCtx.Err() == nil {
				t.Errorf("the other Write: %v", otherErr)
			}
		})
	}
}

// TestUnboundedMemory is what a budget beyond all memory means.
func TestUnboundedMemory(t *testing.T) {
	srv := newServer(t)
	w := newWriter(t, srv, s3writer.WithMemory(1<<61))
	write(t, w, csv("t.csv", pattern(large)), csv("u.csv", pattern(small), s3writer.Gzip()))
	wantObject(t, srv, "t.csv", pattern(large))
}
