package s3writer_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

var (
	schedules = flag.Int("schedules", 10_000, "how many random `deliveries` TestRandomFaults makes")
	seed      = flag.Uint64("seed", 0, "the one `schedule` to make; 0: all")
)

// kinds are all ways in which a request can fail. over is closed when the
// delivery has ended.
func kinds(over <-chan struct{}) map[string]s3writertest.Fault {
	soon := make(chan struct{})
	time.AfterFunc(5*time.Millisecond, func() { close(soon) })
	return map[string]s3writertest.Fault{
		"denied":                        {Status: http.StatusForbidden},
		"reset before it was done":      {Cut: true},
		"reset after it was done":       {Cut: true, When: s3writertest.After},
		"reset in the body":             {When: s3writertest.During},
		"answer cut":                    {When: s3writertest.After, CutAnswer: true},
		"500":                           {Status: http.StatusInternalServerError},
		"500 after it was done":         {Status: http.StatusInternalServerError, When: s3writertest.After},
		"503":                           {Status: http.StatusServiceUnavailable},
		"error in a 200":                {ErrorIn200: true, Code: "InternalError"},
		"error in a 200 after all":      {ErrorIn200: true, Code: "InternalError", When: s3writertest.After},
		"empty 200":                     {Empty: true},
		"empty 200 after it was done":   {Empty: true, When: s3writertest.After},
		"blank 200":                     {Blank: true},
		"slow":                          {Hang: soon},
		"hung":                          {Hang: over},
		"hung after it was done":        {Hang: over, When: s3writertest.After},
		"wrong ETag":                    {WrongETag: true, When: s3writertest.After},
		"no ETag":                       {StripETag: true, When: s3writertest.After},
		"wrong checksum":                {WrongChecksum: true, When: s3writertest.After},
		"conflict":                      {Status: http.StatusConflict, Code: "OperationAborted"},
		"expired session":               {Code: "ExpiredToken"},
		"upload gone, says the server":  {Code: "NoSuchUpload"},
		"precondition, says the server": {Code: "PreconditionFailed"},
	}
}

// schedule is a delivery and what goes wrong in it.
type schedule struct {
	tables   []string // kinds of them
	together bool     // WithAllOrNothing
	careful  bool     // WithNoOverwrite
	staged   bool     // Stage, then Commit by another Writer
	finish   string   // what is done with what is pending
	faults   []s3writertest.Fault
	names    []string // of the faults
	cancel   int      // the request that cancels the delivery; 0: none
	resent   bool     // the server takes a second Complete for the first
}

func (s schedule) String() string {
	return fmt.Sprintf("tables %v, together %v, careful %v, staged %v, then %s, cancelled at request %d, Complete twice %v: %s",
		s.tables, s.together, s.careful, s.staged, s.finish, s.cancel, s.resent, strings.Join(s.names, "; "))
}

const miniature = 128 // parts of 64 KiB

// partitioned are tables of two partitions: of a put each, and of several parts
// each.
var partitioned = map[string]func() partitions{
	"partitions": sync.OnceValue(func() partitions { return newPartitions(2) }),
	"wide":       sync.OnceValue(func() partitions { return newPartitions(20_000) }),
}

type partitions struct {
	whole string
	parts map[string]string
}

func newPartitions(rows int) partitions {
	p := partitions{whole: "id,k\n", parts: map[string]string{}}
	for _, k := range []string{"a", "b"} {
		var in, part strings.Builder
		for id := range rows {
			fmt.Fprintf(&in, "%d,%s\n", id, k)
			fmt.Fprintf(&part, "%d\n", id)
		}
		p.whole += in.String()
		p.parts[k] = "id\n" + part.String()
	}
	return p
}

// tablesOf makes the tables of a schedule, and the objects that each comes to.
func (s schedule) tablesOf() (tables []s3writer.Table, want []map[string]string) {
	for i, kind := range s.tables {
		key, body := fmt.Sprintf("%d-%s.csv", i, kind), ""
		var steps []s3writer.Processor
		objects := map[string]string{}
		switch kind {
		case "empty":
		case "small":
			body = pattern(100)
		case "large":
			body = pattern(150 << 10)
		case "partitions", "wide":
			in := partitioned[kind]()
			for k, part := range in.parts {
				objects[fmt.Sprintf("dir%d/k=%s/t-00001.csv", i, k)] = part
			}
			key, body, steps = fmt.Sprintf("dir%d/t.csv", i), in.whole, []s3writer.Processor{s3writer.PartitionBy("k")}
		}
		if steps == nil {
			objects[key] = body
		}
		tables, want = append(tables, csv(key, body, steps...)), append(want, objects)
	}
	return tables, want
}

// run makes the delivery and returns what does not hold.
func (s schedule) run(over chan struct{}) (broken []string) {
	complain := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }
	srv := s3writertest.NewServer(bucket)
	defer srv.Close()
	defer func() {
		if over != nil {
			close(over)
		}
	}()
	srv.SetMinPartSize(1)
	srv.SetIdempotentComplete(s.resent)
	for _, f := range s.faults {
		srv.Fail(f)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if s.cancel > 0 {
		srv.Fail(s3writertest.Fault{N: s.cancel, Hook: func(*http.Request) { cancel() }})
	}
	newWriter := func() *s3writer.Writer {
		opts := []s3writer.Option{s3writer.WithEndpoint(srv.URL), keys(srv), s3writer.WithMiniature(miniature), s3writer.WithPayloadSigning(false)}
		if s.together {
			opts = append(opts, s3writer.WithAllOrNothing())
		}
		if s.careful {
			opts = append(opts, s3writer.WithNoOverwrite())
		}
		w, err := s3writer.New(ctx, bucket, opts...)
		if err != nil {
			panic(err)
		}
		return w
	}
	w := newWriter()
	defer func() { w.CloseIdleConnections() }()
	tables, want := s.tablesOf()
	var report *s3writer.Report
	var err error
	var orphans []s3writer.Orphan
	if s.staged {
		staged, stageErr := w.Stage(ctx, tables...)
		report = staged.Report()
		if keys := srv.Keys(bucket); len(keys) > 0 {
			complain("%q are visible after Stage", keys)
		}
		var committed *s3writer.Report
		document, _ := json.Marshal(staged)
		staged = new(s3writer.Staged)
		if err := json.Unmarshal(document, staged); err != nil {
			complain("%v in %s", err, document)
			return broken
		}
		w.CloseIdleConnections()
		w = newWriter()
		committed, err = w.Commit(context.WithoutCancel(ctx), staged)
		if errors.Is(err, s3writer.ErrNothingToWrite) {
			err = nil
		}
		for _, r := range committed.Tables {
			i := slices.IndexFunc(report.Tables, func(t s3writer.TableReport) bool { return t.Key == r.Key })
			report.Tables[i] = r
		}
		report.Orphans, report.Pending = append(report.Orphans, committed.Orphans...), committed.Pending
		err = errors.Join(stageErr, err)
	} else {
		report, err = w.Write(ctx, tables...)
	}
	orphans = report.Orphans
	visible := map[string]string{}
	for _, key := range srv.Keys(bucket) {
		body, _ := srv.Get(bucket, key)
		visible[key] = string(body)
	}
	failed := false
	for i, r := range report.Tables {
		failed = failed || r.Err != nil
		s.check(i, r, want[i], visible, report, complain)
	}
	if failed != (err != nil) {
		complain("Write returned %v", err)
	}
	if s.together && failed && !errors.Is(err, s3writer.ErrPartialCommit) && !errors.Is(err, s3writer.ErrCommitUnknown) && len(visible) > 0 {
		complain("%d objects are visible after %v", len(visible), err)
	}
	for key, body := range visible {
		if !slices.ContainsFunc(want, func(objects map[string]string) bool { whole, ok := objects[key]; return ok && whole == body }) {
			complain("%q is visible with %d bytes", key, len(body))
		}
	}
	// What is pending is finished, once nothing goes wrong any more.
	srv.ClearFaults()
	if over != nil {
		close(over)
		over = nil
	}
	if report.Pending != nil {
		left := report.Pending.Report().Tables
		if s.finish == "abort" {
			if err := w.Abort(context.Background(), report.Pending); err != nil {
				complain("Abort of what was pending: %v", err)
			}
		} else {
			finished, err := w.Commit(context.Background(), report.Pending)
			orphans = append(orphans, finished.Orphans...)
			switch {
			case err == nil:
			case strings.Contains(s.String(), "wrong ETag") && strings.Contains(err.Error(), "InvalidPart"):
				left = nil // parts that nobody can name; what was pending is still
				if err := w.Abort(context.Background(), finished.Pending); err != nil {
					complain("Abort of what cannot be committed: %v", err)
				}
			default:
				complain("Commit of what was pending: %v", err)
			}
			for _, t := range left {
				for _, o := range t.Objects {
					body, ok := srv.Get(bucket, o.Key)
					if !ok || !slices.ContainsFunc(want, func(objects map[string]string) bool { return objects[o.Key] == string(body) }) {
						complain("pending %q was committed: there %v, %d bytes", o.Key, ok, len(body))
					}
				}
			}
		}
	}
	for _, u := range srv.Uploads(bucket) {
		if !slices.ContainsFunc(orphans, func(o s3writer.Orphan) bool {
			return o.UploadID == u.UploadID || o.UploadID == "" && o.Key == u.Key // of lost answers there may be several
		}) {
			complain("an upload of %q is open, and in no report: orphans are %v", u.Key, orphans)
		}
	}
	return broken
}

// check compares a table's report with what is visible.
func (s schedule) check(i int, r s3writer.TableReport, want, visible map[string]string, report *s3writer.Report, complain func(string, ...any)) {
	committed, unknown := 0, 0
	for _, o := range r.Objects {
		body, there := visible[o.Key]
		switch o.State {
		case s3writer.Committed:
			committed++
			if !there || body != want[o.Key] || o.ETag == "" || o.Size != int64(len(body)) || o.Err != nil {
				complain("table %d: object %+v is there %v with %d bytes", i, o, there, len(body))
			}
		case s3writer.Unknown:
			unknown++
			if !errors.Is(o.Err, s3writer.ErrCommitUnknown) {
				complain("table %d: object %+v", i, o)
			}
		default:
			if there {
				complain("table %d: object %q is pending and visible", i, o.Key)
			}
		}
	}
	if r.Err == nil {
		if committed != len(want) {
			complain("table %d: %d of %d objects are committed, and there is no error", i, committed, len(want))
		}
		return
	}
	var e *s3writer.Error
	if !errors.As(r.Err, &e) || e.Table != r.Key || !strings.HasPrefix(r.Err.Error(), fmt.Sprintf("s3writer: table %q: ", r.Key)) {
		complain("table %d: the error does not name it: %v", i, r.Err)
	}
	if committed == 0 && unknown == 0 {
		return
	}
	if report.Pending == nil {
		complain("table %d: %d objects are committed, %d in doubt, and nothing is pending: %v", i, committed, unknown, r.Err)
	}
	if committed > 0 && !errors.Is(r.Err, s3writer.ErrPartialCommit) || unknown > 0 && !errors.Is(r.Err, s3writer.ErrCommitUnknown) && !s.together && committed == 0 {
		complain("table %d: %d objects are committed, %d in doubt: %v", i, committed, unknown, r.Err)
	}
}

// TestEveryFault makes a delivery once for every request of it and every way in
// which that can fail.
func TestEveryFault(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	type request struct {
		op string
		n  int
	}
	for _, staged := range []bool{false, true} {
		if staged && raceEnabled {
			break // the race detector takes ten times as long
		}
		base := schedule{tables: []string{"small", "large", "partitions", "wide"}, staged: staged, resent: true}
		var requests []request
		for op, n := range base.count(t) {
			for n := range n {
				requests = append(requests, request{op, n + 1})
			}
		}
		if len(requests) < 15 {
			t.Fatalf("the delivery has only the requests %v", requests)
		}
		var wait sync.WaitGroup
		slots := make(chan struct{}, 8*runtime.GOMAXPROCS(0))
		for _, r := range requests {
			for name := range kinds(nil) {
				for _, times := range []int{1, 100} {
					if times > 1 && (raceEnabled || strings.HasPrefix(name, "hung") && r.n > 1) {
						continue // it takes long, and is the same for all
					}
					slots <- struct{}{}
					wait.Go(func() {
						defer func() { <-slots }()
						over := make(chan struct{})
						f := kinds(over)[name]
						f.Op, f.N, f.Times = r.op, r.n, times
						s := base
						s.faults, s.names = []s3writertest.Fault{f}, []string{fmt.Sprintf("%s %d, %d times: %s", r.op, r.n, times, name)}
						s.together = times == 100 // and the other way round
						for _, what := range s.run(over) {
							t.Errorf("%v:\n%s", s, what)
						}
					})
				}
			}
		}
		wait.Wait()
	}
	goleak.VerifyNone(t, leaks)
}

// count makes the delivery without a fault, and returns how many requests of
// each operation it has.
func (s schedule) count(t *testing.T) map[string]int {
	srv := s3writertest.NewServer(bucket)
	defer srv.Close()
	srv.SetMinPartSize(1)
	w := newWriter(t, srv, s3writer.WithMiniature(miniature))
	tables, _ := s.tablesOf()
	if s.staged {
		if _, err := w.Commit(t.Context(), stage(t, w, tables...)); err != nil {
			t.Fatal(err)
		}
	} else {
		write(t, w, tables...)
	}
	n := map[string]int{}
	for _, r := range srv.Requests() {
		n[r.Op]++
	}
	return n
}

// random is a schedule that a seed decides.
func random(seed uint64, over <-chan struct{}) (s schedule) {
	r := rand.New(rand.NewPCG(seed, 0))
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	for range 1 + r.IntN(4) {
		s.tables = append(s.tables, pick("empty", "small", "small", "large", "partitions", "partitions", "wide"))
	}
	s.together, s.careful, s.staged, s.resent = r.IntN(2) == 0, r.IntN(3) == 0, r.IntN(3) == 0, r.IntN(4) > 0
	s.finish = pick("commit", "commit", "abort")
	ways := kinds(over)
	var names []string
	for name := range ways {
		names = append(names, name)
	}
	slices.Sort(names)
	for range r.IntN(4) {
		name := pick(names...)
		f := ways[name]
		f.Op = pick("PutObject", "CompleteMultipartUpload", "CreateMultipartUpload", "UploadPart", "AbortMultipartUpload", "")
		lie := f.Code == "NoSuchUpload" || (f.Empty || f.Blank) && f.When == s3writertest.Before
		if lie && (f.Op == "" || f.Op == "AbortMultipartUpload") {
			f.Op = "UploadPart" // an abort believes it
		}
		f.N, f.Times = 1+r.IntN(6), 1
		if r.IntN(4) == 0 {
			f.Times = 1 + r.IntN(30)
		}
		s.faults = append(s.faults, f)
		s.names = append(s.names, fmt.Sprintf("%s %d, %d times: %s", f.Op, f.N, f.Times, name))
	}
	if r.IntN(5) == 0 {
		s.cancel = 1 + r.IntN(20)
	}
	return s
}

// TestRandomFaults makes thousands of deliveries in which several things go
// wrong. What it complains about has a seed, to be made again with -seed.
func TestRandomFaults(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	n := *schedules
	if raceEnabled {
		n /= 50
	}
	var next atomic.Uint64
	var wait sync.WaitGroup
	for range 16 * runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for {
				at := next.Add(1)
				if at > uint64(n) || *seed != 0 && at > 1 || t.Failed() && at > 100 {
					return
				}
				if *seed != 0 {
					at = *seed
				}
				over := make(chan struct{})
				s := random(at, over)
				for _, what := range s.run(over) {
					t.Errorf("seed %d: %v:\n%s", at, s, what)
				}
			}
		})
	}
	wait.Wait()
	goleak.VerifyNone(t, leaks)
}
