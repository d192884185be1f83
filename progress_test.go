package s3writer_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

// TestProgress never goes back, never runs twice at once, and ends every
// table once, whatever becomes of it.
func TestProgress(t *testing.T) {
	srv := newServer(t)
	var running atomic.Int32
	last := map[string]s3writer.Progress{}
	w := newWriter(t, srv, s3writer.WithProgress(func(p s3writer.Progress) {
		if running.Add(1) != 1 {
			t.Error("two calls at once")
		}
		defer running.Add(-1)
		before := last[p.Table]
		if before.Done {
			t.Errorf("table %q was told of after its end", p.Table)
		}
		if before.Table != "" && p.RowsRead < before.RowsRead {
			t.Errorf("table %q went back from %d rows to %d", p.Table, before.RowsRead, p.RowsRead)
		}
		if p.BytesRead < before.BytesRead || p.BytesSent < before.BytesSent || p.Objects < before.Objects {
			t.Errorf("table %q went back from %+v to %+v", p.Table, before, p)
		}
		last[p.Table] = p
	}))
	row := strings.Repeat("x", 1<<10) + "\n"
	tables := []s3writer.Table{
		csv("form.csv", "id\n", s3writer.Select()),
		s3writer.NewTable("source.csv", failing("id\n1\n", errBroken), s3writer.Select("id")),
		csv("copied.csv", pattern(20<<20)),
		csv("rows.csv", "id\n"+strings.Repeat(row, 10<<10), s3writer.Filter(func(s3writer.Record) bool { return true })),
	}
	for i := range 8 {
		tables = append(tables, csv(fmt.Sprintf("%d.csv", i), "id\n1\n", s3writer.Select("id")))
	}
	report, err := w.Write(t.Context(), tables...)
	if err == nil {
		t.Error("no table failed")
	}
	for _, r := range report.Tables {
		p := last[r.Key]
		if !p.Done {
			t.Errorf("the end of table %q was not told", r.Key)
		}
		if r.Key == "form.csv" {
			continue
		}
		if p.BytesRead != r.BytesRead || p.RowsRead != r.RowsRead || p.Objects != 1 {
			t.Errorf("table %q ended with %+v, reported is %+v", r.Key, p, r)
		}
		if r.Err == nil && p.BytesSent != r.Objects[0].Size {
			t.Errorf("table %q ended with %d bytes sent of %d", r.Key, p.BytesSent, r.Objects[0].Size)
		}
	}
}

// TestProgressPanics ends the table that was told of.
func TestProgressPanics(t *testing.T) {
	srv := newServer(t)
	var once sync.Once
	w := newWriter(t, srv, s3writer.WithProgress(func(p s3writer.Progress) {
		once.Do(func() { panic("boom") })
	}))
	_, err := w.Write(t.Context(), csv("t.csv", "id\n1\n", s3writer.Select("id")))
	wantText(t, err, `s3writer: table "t.csv": WithProgress: panic: boom`)
	wantNothing(t, srv)
}

// TestLogger is told of retries and of keys that readers skip.
func TestLogger(t *testing.T) {
	srv := newServer(t)
	var logged bytes.Buffer
	w := newWriter(t, srv, s3writer.WithLogger(slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{
		Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "pause" {
				return slog.Attr{}
			}
			return a
		},
	}))))
	srv.Fail(s3writertest.Fault{Op: "PutObject", N: 1, Status: http.StatusServiceUnavailable})
	write(t, w, csv("_hidden/t.csv", "id\n"))
	wantObject(t, srv, "_hidden/t.csv", "id\n")
	want := `level=WARN msg="s3writer: suspect key" key=_hidden/t.csv reason="readers such as Spark and Athena skip segments like \"_hidden\""
level=DEBUG msg=retrying request=PutObject object=s3://writer-sample/_hidden/t.csv tries=1 error="AWS says: SlowDown: Please reduce`
	if got := logged.String(); !strings.HasPrefix(got, want) {
		t.Errorf("logged:\n got %s\nwant %s", got, want)
	}
}

// TestManyTables start in order, as many as the memory lets make progress, and
// all of them end.
func TestManyTables(t *testing.T) {
	srv := newServer(t)
	w := newWriter(t, srv, s3writer.WithMemory(16<<20))
	var mu sync.Mutex
	var order []int
	var tables []s3writer.Table
	for i := range 200 {
		started := false
		in := strings.NewReader("id,name\n1,a\n")
		tables = append(tables, s3writer.NewTable(fmt.Sprintf("%d.csv", i), readerFunc(func(p []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			if !started {
				started = true
				order = append(order, i)
			}
			return in.Read(p)
		}), s3writer.Select("name"), s3writer.Gzip()))
	}
	tables[100] = s3writer.NewTable("100.csv", failing("id,name\n", errBroken), s3writer.Select("name"))
	_, err := w.Write(t.Context(), tables...)
	wantText(t, err, `s3writer: table "100.csv": source: the line is broken`)
	if n := len(srv.Keys(bucket)); n != 199 {
		t.Errorf("%d objects, want 199", n)
	}
	// Neighbours may run at once, the last before the first may not.
	if len(order) != 199 {
		t.Fatalf("%d sources were read", len(order))
	}
	for at, i := range order {
		if at-i > 64 || i-at > 64 {
			t.Errorf("table %d was the %d. to be read", i, at+1)
		}
	}
}

// TestBudget holds for tables whose sources are stuck: the others go on as far
// as the memory goes, and cancellation reaches those that wait.
func TestBudget(t *testing.T) {
	srv := newServer(t)
	w := newWriter(t, srv, s3writer.WithMemory(16<<20), s3writer.WithConcurrency(4))
	big := pattern(20 << 20)
	var tables []s3writer.Table
	for i := range 6 {
		tables = append(tables, s3writer.NewTable(fmt.Sprintf("%d.csv", i), io.MultiReader(strings.NewReader(big))))
	}
	write(t, w, tables...)
	for i := range 6 {
		wantObject(t, srv, fmt.Sprintf("%d.csv", i), big)
	}
	if n := srv.MaxInFlight(""); n > 4 {
		t.Errorf("%d requests were in flight at once, want at most 4", n)
	}
}

// TestProgressPanicsTooLate to stop the table: that is its error all the same, and
// what is committed stays so.
func TestProgressPanicsTooLate(t *testing.T) {
	for name, at := range map[string]func(s3writer.Progress) bool{
		"sent": func(p s3writer.Progress) bool { return p.BytesSent > 0 },
		"done": func(p s3writer.Progress) bool { return p.Done },
	} {
		t.Run(name, func(t *testing.T) {
			srv := newServer(t)
			w := newWriter(t, srv, s3writer.WithProgress(func(p s3writer.Progress) {
				if p.Table == "t.csv" && at(p) {
					panic("boom")
				}
			}))
			report, err := w.Write(t.Context(), csv("t.csv", "id\n1\n", s3writer.Select("id")), csv("other.csv", "id\n"))
			wantText(t, err, `s3writer: table "t.csv": WithProgress: panic: boom`)
			table := report.Tables[0]
			if table.Err == nil || table.Objects[0].State != s3writer.Committed || table.Objects[0].Err != nil || report.Tables[1].Err != nil || report.Pending != nil {
				t.Errorf("reported %+v", report)
			}
			wantObject(t, srv, "t.csv", "id\n1\n")
		})
	}
}
