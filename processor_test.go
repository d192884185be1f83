package s3writer_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed149ec23d/s3writer"
)

// TestStepsAreNumbered through Chain, Named and the Writer's own processors.
func TestStepsAreNumbered(t *testing.T) {
	fails := s3writer.Filter(func(s3writer.Record) bool { panic("boom") })
	pass := s3writer.Filter(func(s3writer.Record) bool { return true })
	for _, test := range []struct {
		name   string
		table  []s3writer.Processor
		writer []s3writer.Processor
		want   string
	}{
		{"alone", []s3writer.Processor{fails}, nil, "step 1 Filter: row 1 (byte 3): panic: boom"},
		{"third", []s3writer.Processor{pass, s3writer.Limit(9), fails}, nil, "step 3 Filter: row 1 (byte 3): panic: boom"},
		{"in a Chain", []s3writer.Processor{pass, s3writer.Chain(s3writer.Limit(9), fails)}, nil, "step 3 Filter: row 1 (byte 3): panic: boom"},
		{"behind a Chain", []s3writer.Processor{s3writer.Chain(pass, s3writer.Chain(pass, pass)), fails}, nil,
			"step 4 Filter: row 1 (byte 3): panic: boom"},
		{"Named", []s3writer.Processor{pass, s3writer.Named("only good ones", fails)}, nil, "step 2 only good ones: row 1 (byte 3): panic: boom"},
		{"Named Chain", []s3writer.Processor{s3writer.Named("tidy", s3writer.Chain(pass, fails))}, nil,
			"step 2 tidy/Filter: row 1 (byte 3): panic: boom"},
		{"Named twice", []s3writer.Processor{s3writer.Named("all", s3writer.Chain(pass, s3writer.Named("good", fails)))}, nil,
			"step 2 all/good: row 1 (byte 3): panic: boom"},
		{"Concurrent", []s3writer.Processor{pass, s3writer.Concurrent(fails)}, nil, "step 2 Filter: row 1 (byte 3): panic: boom"},
		{"Named Concurrent Chain", []s3writer.Processor{s3writer.Named("n", s3writer.Concurrent(s3writer.Chain(pass, fails)))}, nil,
			"step 2 n/Filter: row 1 (byte 3): panic: boom"},
		{"the Writer's", []s3writer.Processor{pass, pass}, []s3writer.Processor{pass, fails}, "step 4 Filter: row 1 (byte 3): panic: boom"},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			w := newWriter(t, srv, s3writer.WithProcessors(test.writer...))
			_, err := w.Write(t.Context(), csv("t.csv", "id\n1\n", test.table...))
			wantText(t, err, `s3writer: table "t.csv": `+test.want)
			wantNothing(t, srv)
		})
	}
}

// TestProcessorString is the processor as it was made.
func TestProcessorString(t *testing.T) {
	for _, test := range []struct {
		p    s3writer.Processor
		want string
	}{
		{s3writer.Select("id", "amount"), `Select("id", "amount")`},
		{s3writer.Chain(s3writer.Gzip()), `Gzip()`},
		{s3writer.Chain(s3writer.Limit(3), s3writer.Gzip()), `Chain(Limit(3), Gzip())`},
		{s3writer.Hash([]byte("secret"), "id"), `Hash(key, "id")`},
	} {
		if got := fmt.Sprint(test.p); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
		if s := fmt.Sprintf("%+v", test.p); strings.Contains(s, "secret") {
			t.Errorf("a secret is in %s", s)
		}
	}
}

// TestWriterProcessors run after the table's own, for every table.
func TestWriterProcessors(t *testing.T) {
	srv := newServer(t)
	w := newWriter(t, srv, s3writer.WithProcessors(s3writer.RowNumber("n")), s3writer.WithProcessors(s3writer.JSONLines()))
	write(t, w, csv("a.csv", "id\n1\n2\n", s3writer.Filter(func(r s3writer.Record) bool { return r.Get("id") == "2" })), csv("b.csv", "x\ny\n"))
	wantObject(t, srv, "a.jsonl", `{"id":"2","n":1}`+"\n")
	wantObject(t, srv, "b.jsonl", `{"x":"y","n":1}`+"\n")
}

// TestRecord is what callbacks see.
func TestRecord(t *testing.T) {
	srv := newServer(t)
	rows := 0
	write(t, newWriter(t, srv), csv("t.csv", "id,name,note\n1,,\"\"\n", s3writer.Filter(func(r s3writer.Record) bool {
		rows++
		if r.Len() != 3 || r.Get("id") != "1" || r.Field(0).String() != "1" {
			t.Errorf("the record is %v with %d fields", r.Get("id"), r.Len())
		}
		if name, note := r.Value("name"), r.Field(2); !name.IsNull() || name.String() != "" || note.IsNull() || note.String() != "" {
			t.Errorf("NULL is %+v, the empty string %+v", name, note)
		}
		return true
	})))
	if rows != 1 {
		t.Errorf("%d rows", rows)
	}
	wantObject(t, srv, "t.csv", "id,name,note\n1,,\"\"\n")
}
