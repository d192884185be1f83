package s3writer_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"go/scanner"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/seed149ec23d/s3writer"
)

// promptly is how soon a cancelled Write has to return.
const promptly = time.Second

// blocked is a source whose Read blocks behind its text until it is let go.
type blocked struct {
	text    *strings.Reader
	reading chan struct{} // closed when Read blocks
	release chan struct{}
	ended   chan struct{} // closed when the blocked Read has returned
	once    sync.Once
}

func newBlocked(text string) *blocked {
	return &blocked{text: strings.NewReader(text),
		reading: make(chan struct{}), release: make(chan struct{}), ended: make(chan struct{})}
}

func (b *blocked) Read(p []byte) (int, error) {
	if n, err := b.text.Read(p); err == nil {
		return n, nil
	}
	b.once.Do(func() { close(b.reading) })
	<-b.release
	defer close(b.ended)
	return copy(p, "late"), nil
}

// TestBlockedRead cancels a Write whose source is stuck in Read, on every way
// through the library: it returns at once, and the goroutine goes when Read
// returns.
func TestBlockedRead(t *testing.T) {
	for _, chain := range chains {
		for _, size := range []int{0, 9 << 20} {
			if size > 0 && chain.name != "copy" && chain.name != "filter" {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d bytes", chain.name, size), func(t *testing.T) {
				srv := newServer(t)
				src := newBlocked("id,name\n" + strings.Repeat("1,"+strings.Repeat("a", 4093)+"\n", size>>12))
				w := newWriter(t, srv)
				ctx, cancel := context.WithCancelCause(t.Context())
				var cancelled time.Time
				go func() {
					<-src.reading
					cancelled = time.Now()
					cancel(errors.New("the user has gone"))
				}()
				report, err := w.Write(ctx, s3writer.NewTable("t.csv", src, chain.processors...))
				if took := time.Since(cancelled); took > promptly {
					t.Errorf("Write returned %v after it was cancelled", took)
				}
				wantText(t, err, `s3writer: table "t.csv": context canceled: the user has gone`)
				if !errors.Is(err, context.Canceled) {
					t.Error("errors.Is does not find context.Canceled")
				}
				wantAccounted(t, srv, report)
				close(src.release)
				<-src.ended // newServer looks for the goroutine
			})
		}
	}
}

// TestStuckSourcesTakeNobodysMemory cancels Writes whose sources never return, more
// than the budget has buffers for: those who come after have all of it.
func TestStuckSourcesTakeNobodysMemory(t *testing.T) {
	srv := newServer(t)
	w := newWriter(t, srv, s3writer.WithMemory(16<<20))
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	over := make(chan struct{})
	defer close(over)
	for i := range 64 {
		ctx, cancel := context.WithCancel(ctx)
		_, err := w.Write(ctx, s3writer.NewTable("stuck.csv", io.MultiReader(strings.NewReader(pattern(small)), readerFunc(func([]byte) (int, error) {
			cancel()
			<-over
			return 0, io.EOF
		}))))
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("Write %d: %v", i+1, err)
		}
	}
	_, err := w.Write(ctx, csv("t.csv", pattern(large)))
	wantText(t, err, "")
}

// TestCauseOfAnyType ends a Write for a reason that == panics on.
func TestCauseOfAnyType(t *testing.T) {
	type wrapped struct{ error }
	list := scanner.ErrorList{{Msg: "the user has gone"}}
	for _, cause := range []error{list, wrapped{list}} {
		for _, opts := range [][]s3writer.Option{nil, {s3writer.WithAllOrNothing()}} {
			srv := newServer(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			src := newBlocked("id\n1\n")
			go func() { <-src.reading; cancel(cause) }()
			_, err := newWriter(t, srv, opts...).Write(ctx, s3writer.NewTable("t.csv", src, s3writer.Select("id")))
			wantText(t, err, `s3writer: table "t.csv": context canceled: the user has gone`)
			if !errors.Is(err, context.Canceled) {
				t.Error("errors.Is does not find context.Canceled")
			}
			close(src.release)
			<-src.ended
		}
	}
}

// TestBlockedClosableRead is about sources that a Close unblocks.
func TestBlockedClosableRead(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain.name, func(t *testing.T) {
			srv := newServer(t)
			r, pipe := io.Pipe()
			closed := make(chan struct{})
			src := s3writer.SourceFunc(func(context.Context) (io.ReadCloser, error) {
				return closer{r, func() error { defer close(closed); return r.Close() }}, nil
			})
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				_, _ = io.WriteString(pipe, "id,name\n1,a\n") // returns when it was read
				cancel()
			}()
			_, err := newWriter(t, srv).Write(ctx, s3writer.NewTable("t.csv", src, chain.processors...))
			wantText(t, err, `s3writer: table "t.csv": context canceled`)
			<-closed
			wantNothing(t, srv)
		})
	}
}

type closer struct {
	io.Reader
	close func() error
}

func (c closer) Close() error { return c.close() }

// TestSourcesAreClosed counts how often what opens itself is closed.
func TestSourcesAreClosed(t *testing.T) {
	for _, test := range []struct {
		name     string
		in       io.Reader
		closeErr error
		chain    []s3writer.Processor
		accept   func(s3writer.TableReport) error
		want     string
	}{
		{name: "copied", in: strings.NewReader("id\n1\n")},
		{name: "through steps", in: strings.NewReader("id\n1\n"), chain: []s3writer.Processor{s3writer.Select("id"), s3writer.Gzip()}},
		{name: "not read to its end", in: strings.NewReader("id\n" + strings.Repeat("1\n", 1<<20)), chain: []s3writer.Processor{s3writer.Limit(1)}},
		{name: "failed", in: failing("id\n", errBroken), want: `source: the line is broken`},
		{name: "failed through steps", in: failing("id\n", errBroken), chain: []s3writer.Processor{s3writer.Select("id")},
			want: `source: the line is broken`},
		{name: "a step failed", in: strings.NewReader("id\n1\n"), chain: []s3writer.Processor{s3writer.Select("x")},
			want: `step 1 Select: no column "x": there are id`},
		{name: "a reader failed", in: strings.NewReader("id\n1\n"),
			chain: []s3writer.Processor{s3writer.ReaderFunc(func(io.Reader) (io.Reader, error) { return nil, errBroken })},
			want:  `step 1 ReaderFunc: the line is broken`},
		{name: "panicked", in: readerFunc(func([]byte) (int, error) { panic("boom") }), want: `source: panic: boom`},
		{name: "not accepted", in: strings.NewReader("id\n1\n"),
			accept: func(s3writer.TableReport) error { return errBroken }, want: `refused by Accept: the line is broken`},
		{name: "Close fails", in: strings.NewReader("id\n1\n"), closeErr: errBroken, want: `source: Close: the line is broken`},
		{name: "Close fails behind steps", in: strings.NewReader("id\n1\n"), closeErr: errBroken,
			chain: []s3writer.Processor{s3writer.Select("id"), s3writer.SplitRows(1)}, want: `source: Close: the line is broken`},
		{name: "Close fails behind a copy of much", in: strings.NewReader(pattern(large)), closeErr: errBroken, want: `source: Close: the line is broken`},
		{name: "Close panics", in: strings.NewReader("id\n1\n"), closeErr: errPanics, want: `source: Close: panic: boom`},
		{name: "Close fails behind a Limit", in: strings.NewReader("id\n1\n"), closeErr: errBroken, chain: []s3writer.Processor{s3writer.Limit(1)}},
		{name: "Close fails behind a Limit that is not reached", in: strings.NewReader("id\n1\n"), closeErr: errBroken,
			chain: []s3writer.Processor{s3writer.Limit(2)}, want: `source: Close: the line is broken`},
		{name: "Close fails behind a failure", in: failing("id\n", errBroken), closeErr: errors.New("this too"), want: `source: the line is broken`},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			o := &opened{Reader: test.in, closeErr: test.closeErr}
			table := s3writer.NewTable("t.csv", o.source(), test.chain...)
			table.Accept = test.accept
			type key struct{}
			ctx := context.WithValue(t.Context(), key{}, "mine")
			_, err := newWriter(t, srv).Write(ctx, table)
			if test.want != "" {
				test.want = `s3writer: table "t.csv": ` + test.want
			}
			wantText(t, err, test.want)
			if test.want != "" {
				wantNothing(t, srv)
			}
			if o.opens != 1 || o.closes != 1 {
				t.Errorf("opened %d times and closed %d times, want once each", o.opens, o.closes)
			}
			if o.ctx == nil || o.ctx.Value(key{}) != "mine" {
				t.Error("the source was not opened with the context of Write")
			}
		})
	}
}

// TestSourcesOfOthers are closed by whoever opened them.
func TestSourcesOfOthers(t *testing.T) {
	srv := newServer(t)
	for _, chain := range chains {
		r := closer{strings.NewReader("id,name\n1,a\n"), func() error {
			t.Errorf("%s: a plain reader was closed", chain.name)
			return nil
		}}
		write(t, newWriter(t, srv), s3writer.NewTable("t.csv", r, chain.processors...))
	}
}

// TestSourceIsNotOpened is about tables whose turn never comes.
func TestSourceIsNotOpened(t *testing.T) {
	srv := newServer(t)
	o := &opened{Reader: strings.NewReader("id\n")}
	w := newWriter(t, srv, s3writer.WithAllOrNothing())
	_, err := w.Write(t.Context(), s3writer.NewTable("a.csv", nil), s3writer.NewTable("b.csv", o.source()))
	wantText(t, err, `s3writer: table "a.csv": Source is nil`)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = w.Write(ctx, s3writer.NewTable("b.csv", o.source()))
	wantText(t, err, `s3writer: table "b.csv": context canceled`)
	if o.opens != 0 {
		t.Errorf("the source was opened %d times, want never", o.opens)
	}
	if n := srv.Count(""); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

// TestSources delivers from each kind.
func TestSources(t *testing.T) {
	fsys := fstest.MapFS{"in/t.csv": {Data: []byte("id,name\n1,a\n")}}
	values := []s3writer.Column{{Name: "n", Type: s3writer.Int64Type}, {Name: "s"}}
	for _, test := range []struct {
		name string
		src  io.Reader
		p    []s3writer.Processor
		key  string
		want string
	}{
		{"File", s3writer.File(fsys, "in/t.csv"), nil, "t.csv", "id,name\n1,a\n"},
		{"File, decoded", s3writer.File(fsys, "in/t.csv"), []s3writer.Processor{s3writer.Select("name")}, "t.csv", "name\na\n"},
		{"Records", s3writer.Records([]string{"id", "name"}, records([]string{"1", ""}, []string{"2", "a,b"})), nil,
			"t.csv", "id,name\n1,\"\"\n2,\"a,b\"\n"},
		{"no Records", s3writer.Records([]string{"id", "name"}, records[string]()), nil, "t.csv", "id,name\n"},
		{"Values", s3writer.Values(values, records([]s3writer.Value{s3writer.Text("1"), {}}, []s3writer.Value{{}, s3writer.Text("")})),
			[]s3writer.Processor{s3writer.JSONLines()}, "t.jsonl", "{\"n\":1,\"s\":null}\n{\"n\":null,\"s\":\"\"}\n"},
		{"many Records", s3writer.Records([]string{"id"}, func(yield func([]string, error) bool) {
			for range 10_000 {
				if !yield([]string{"1"}, nil) {
					return
				}
			}
		}), nil, "t.csv", "id\n" + strings.Repeat("1\n", 10_000)},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			write(t, newWriter(t, srv), s3writer.NewTable("t.csv", test.src, test.p...))
			wantObject(t, srv, test.key, test.want)
		})
	}
}

func records[T any](rows ...[]T) func(func([]T, error) bool) {
	return func(yield func([]T, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	}
}

// TestBadRecords is about sources of records that break their word.
func TestBadRecords(t *testing.T) {
	number := []s3writer.Column{{Name: "n", Type: s3writer.Int64Type}}
	for _, test := range []struct {
		name string
		src  io.Reader
		want string
	}{
		{"no columns", s3writer.Records(nil, records[string]()), `source: has no columns`},
		{"no sequence", s3writer.Records([]string{"id"}, nil), `source: the sequence is nil`},
		{"too few fields", s3writer.Records([]string{"id", "name"}, records([]string{"1", "a"}, []string{"2"})),
			`row 2: the record has 1 fields, there are 2 columns`},
		{"too many fields", s3writer.Records([]string{"id"}, records([]string{"1", "a"})),
			`row 1: the record has 2 fields, there are 1 columns`},
		{"an error", s3writer.Records([]string{"id"}, func(yield func([]string, error) bool) {
			_ = yield([]string{"1"}, nil) && yield(nil, errBroken)
		}), `row 2: the line is broken`},
		{"a panic", s3writer.Records([]string{"id"}, func(func([]string, error) bool) { panic("boom") }), `source: panic: boom`},
		{"a value of another type", s3writer.Values(number, records([]s3writer.Value{s3writer.Text("1")}, []s3writer.Value{s3writer.Text("x")})),
			`row 2: column "n": "x" is not an int64`},
		{"column names", s3writer.Records([]string{"id", "id"}, records([]string{"1", "2"})), `columns 1 and 2 are both called "id"`},
		{"no rows", s3writer.Rows(nil), `source: the rows are nil`},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			_, err := newWriter(t, srv).Write(t.Context(), s3writer.NewTable("t.csv", test.src))
			wantText(t, err, `s3writer: table "t.csv": `+test.want)
			wantNothing(t, srv)
		})
	}
}

// TestRecordsFailFarBehind counts rows over many batches.
func TestRecordsFailFarBehind(t *testing.T) {
	srv := newServer(t)
	const good = 20_000
	src := s3writer.Records([]string{"id"}, func(yield func([]string, error) bool) {
		for range good {
			if !yield([]string{"1"}, nil) {
				return
			}
		}
		yield(nil, errBroken)
	})
	_, err := newWriter(t, srv).Write(t.Context(), s3writer.NewTable("t.csv", src, s3writer.Select("id")))
	wantText(t, err, fmt.Sprintf(`s3writer: table "t.csv": row %d: the line is broken`, good+1))
	wantNothing(t, srv)
}

// TestBlockedRecords cancels a Write whose sequence is stuck.
func TestBlockedRecords(t *testing.T) {
	srv := newServer(t)
	reading, release, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	src := s3writer.Records([]string{"id"}, func(yield func([]string, error) bool) {
		defer close(ended)
		close(reading)
		<-release
		for yield([]string{"1"}, nil) {
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-reading; cancel() }()
	start := time.Now()
	_, err := newWriter(t, srv).Write(ctx, s3writer.NewTable("t.csv", src))
	if took := time.Since(start); took > promptly {
		t.Errorf("Write took %v", took)
	}
	wantText(t, err, `s3writer: table "t.csv": context canceled`)
	wantNothing(t, srv)
	close(release)
	<-ended
}

// TestRowsAreClosed is about the rows of a query, which are open before Write
// is called: they are closed whatever becomes of their table.
func TestRowsAreClosed(t *testing.T) {
	for _, test := range []struct {
		name   string
		tables func(*s3writer.Source) []s3writer.Table
		ctx    func(context.Context) context.Context
		opts   []s3writer.Option
	}{
		{name: "delivered", tables: func(s *s3writer.Source) []s3writer.Table { return []s3writer.Table{s3writer.NewTable("t.csv", s)} }},
		{name: "limited", tables: func(s *s3writer.Source) []s3writer.Table {
			return []s3writer.Table{s3writer.NewTable("t.csv", s, s3writer.Limit(1))}
		}},
		{name: "dry run", opts: []s3writer.Option{s3writer.WithDryRun()}, tables: func(s *s3writer.Source) []s3writer.Table {
			return []s3writer.Table{s3writer.NewTable("t.csv", s)}
		}},
		{name: "a step failed", tables: func(s *s3writer.Source) []s3writer.Table {
			return []s3writer.Table{s3writer.NewTable("t.csv", s, s3writer.Select("x"))}
		}},
		{name: "bad form", tables: func(s *s3writer.Source) []s3writer.Table {
			return []s3writer.Table{s3writer.NewTable("t.csv", s, s3writer.Gzip(), s3writer.Gzip())}
		}},
		{name: "bad key", tables: func(s *s3writer.Source) []s3writer.Table { return []s3writer.Table{s3writer.NewTable("", s)} }},
		{name: "two of one key", tables: func(s *s3writer.Source) []s3writer.Table {
			return []s3writer.Table{s3writer.NewTable("t.csv", s), csv("u.csv", ""), csv("u.csv", "")}
		}},
		{name: "another failed", opts: []s3writer.Option{s3writer.WithAllOrNothing()}, tables: func(s *s3writer.Source) []s3writer.Table {
			return []s3writer.Table{csv("", "id\n"), s3writer.NewTable("t.csv", s)}
		}},
		{name: "cancelled", tables: func(s *s3writer.Source) []s3writer.Table { return []s3writer.Table{s3writer.NewTable("t.csv", s)} },
			ctx: func(ctx context.Context) context.Context {
				ctx, cancel := context.WithCancel(ctx)
				cancel()
				return ctx
			}},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			connector := &rowsConnector{}
			db := sql.OpenDB(connector)
			defer db.Close()
			rows, err := db.Query("SELECT")
			if err != nil {
				t.Fatal(err)
			}
			ctx := t.Context()
			if test.ctx != nil {
				ctx = test.ctx(ctx)
			}
			_, err = newWriter(t, srv, test.opts...).Write(ctx, test.tables(s3writer.Rows(rows))...)
			if n := connector.closed.Load(); n != 1 {
				t.Errorf("the rows were closed %d times, want once; Write: %v", n, err)
			}
			if err := rows.Err(); err == nil && rows.Next() {
				t.Error("the rows are still open")
			}
		})
	}
}

// rowsConnector is a database of one query, which returns three rows of one
// column.
type rowsConnector struct{ closed atomic.Int32 }

func (c *rowsConnector) Connect(context.Context) (driver.Conn, error) { return rowsConn{c}, nil }
func (c *rowsConnector) Driver() driver.Driver                        { return nil }

type rowsConn struct{ c *rowsConnector }

func (rowsConn) Prepare(string) (driver.Stmt, error) { return nil, driver.ErrSkip }
func (rowsConn) Close() error                        { return nil }
func (rowsConn) Begin() (driver.Tx, error)           { return nil, driver.ErrSkip }

func (c rowsConn) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return &queryRows{c: c.c, left: 3}, nil
}

type queryRows struct {
	c    *rowsConnector
	left int
}

func (r *queryRows) Columns() []string { return []string{"id"} }

func (r *queryRows) Close() error {
	r.c.closed.Add(1)
	return nil
}

func (r *queryRows) Next(dest []driver.Value) error {
	if r.left == 0 {
		return io.EOF
	}
	r.left--
	dest[0] = int64(r.left)
	return nil
}

// TestSourceIsAReader reads a Source without a Writer.
func TestSourceIsAReader(t *testing.T) {
	o := &opened{Reader: strings.NewReader("id\n1\n")}
	src := o.source()
	body, err := io.ReadAll(src)
	if err != nil || string(body) != "id\n1\n" || o.closes != 1 {
		t.Errorf("got %q, %v, closed %d times", body, err, o.closes)
	}
	if n, err := src.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("behind the end: %d, %v", n, err)
	}
	_, err = s3writer.Records([]string{"id"}, records[string]()).Read(nil)
	wantText(t, err, `s3writer: the source has records, not bytes: give it to a Table`)
	_, err = s3writer.SourceFunc(func(context.Context) (io.ReadCloser, error) { return nil, errBroken }).Read(nil)
	wantText(t, err, `the line is broken`)
}

// TestStringsStayValid keeps what callbacks got.
func TestStringsStayValid(t *testing.T) {
	srv := newServer(t)
	var in strings.Builder
	in.WriteString("id,name\n")
	var want []string
	for i := range 50_000 {
		name := fmt.Sprintf("n%06d", i)
		want = append(want, name)
		fmt.Fprintf(&in, "%d,\"%s\"\n", i, name)
	}
	var got []string
	write(t, newWriter(t, srv), csv("t.csv", in.String(), s3writer.Filter(func(r s3writer.Record) bool {
		got = append(got, r.Get("name"))
		return false
	})))
	if !slices.Equal(got, want) {
		t.Error("strings that were kept have changed")
	}
}

// TestSpentReader makes no empty object of a reader that was read before, or that was
// written and is not back at its beginning.
func TestSpentReader(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	if _, err := file.WriteString("id\n1\n"); err != nil {
		t.Fatal(err)
	}
	read := strings.NewReader("id\n1\n")
	io.Copy(io.Discard, read)
	for name, src := range map[string]io.Reader{"file": file, "reader": read, "section": io.NewSectionReader(strings.NewReader("id\n1\n"), 0, 5)} {
		for _, p := range [][]s3writer.Processor{nil, {s3writer.Gzip()}, {s3writer.Select("id")}} {
			t.Run(fmt.Sprint(name, p), func(t *testing.T) {
				srv := newServer(t)
				w := newWriter(t, srv)
				if name == "section" { // is read by a table of its own
					src = io.NewSectionReader(strings.NewReader("id\n1\n"), 0, 5)
					write(t, w, s3writer.NewTable("first.csv", src))
				}
				before := len(srv.Keys(bucket))
				_, err := w.Write(t.Context(), s3writer.NewTable("t.csv", src, p...))
				wantText(t, err, `s3writer: table "t.csv": source: the reader stands at the end of its 5 bytes: go back to where they begin, or give another`)
				if n := len(srv.Keys(bucket)); n != before {
					t.Errorf("%d objects, want %d", n, before)
				}
			})
		}
	}
	if _, err := file.Seek(3, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	srv := newServer(t)
	write(t, newWriter(t, srv), s3writer.NewTable("rest.csv", file), csv("empty.csv", ""))
	wantObject(t, srv, "rest.csv", "1\n")
	wantObject(t, srv, "empty.csv", "")
}

// TestSequenceThatGoesOn behind its end is told so, and why it was to end.
func TestSequenceThatGoesOn(t *testing.T) {
	srv := newServer(t)
	for _, test := range []struct {
		name string
		seq  iter.Seq2[[]string, error]
		want string
	}{
		{"error", func(yield func([]string, error) bool) {
			yield(nil, errBroken)
			yield([]string{"1"}, nil)
		}, "row 1: the line is broken"},
		{"fields", func(yield func([]string, error) bool) {
			yield([]string{"1"}, nil)
			yield([]string{"1", "2"}, nil)
			yield([]string{"1"}, nil)
		}, "row 2: the record has 2 fields, there are 1 columns"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := newWriter(t, srv).Write(t.Context(), s3writer.NewTable("t.csv", s3writer.Records([]string{"id"}, test.seq)))
			wantText(t, err, `s3writer: table "t.csv": `+test.want+"; and then the sequence, which has to return when yield returns false, panicked: "+
				"runtime error: range function continued iteration after function for loop body returned false")
		})
	}
}
