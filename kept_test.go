package s3writer_test

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/seed149ec23d/s3writer"
)

// kept is the strings that somebody's function was given for each row.
type kept struct {
	mu   sync.Mutex
	rows [][]string
}

func (k *kept) record(r s3writer.Record) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rows = append(k.rows, []string{r.Get("id"), r.Value("name").String(), r.Field(2).String()})
}

// keptRows is enough for many blocks of a source.
const keptRows = 60_000

func keptRow(i int) []string {
	return []string{fmt.Sprint(i), fmt.Sprintf("name of %d", i), fmt.Sprintf("the \"%d\"", i)}
}

// table has keptRows rows, and behind every hundredth one that is bad.
func (k *kept) table(p ...s3writer.Processor) s3writer.Table {
	var text strings.Builder
	text.WriteString("id,name,note,group\n")
	for i := range keptRows {
		row := keptRow(i)
		fmt.Fprintf(&text, "%s,\"%s\",\"%s\",%d\n", row[0], row[1], strings.ReplaceAll(row[2], `"`, `""`), i%7)
		if i%100 == 99 {
			fmt.Fprintf(&text, "bad %d\n", i)
		}
	}
	t := csv("kept.csv", text.String(), p...)
	t.OnBadRow = func(s3writer.BadRow) error { return nil }
	return t
}

// keeper is an encoder that keeps what it is given.
type keeper struct{ k *kept }

func (e keeper) Encode(b *s3writer.Batch) error {
	for r := range b.All() {
		e.k.record(r)
	}
	return nil
}

func (e keeper) Close() error { return nil }

// Strings from a Record stay valid for ever: the memory of the rows is used
// again as soon as they are written.
func TestKeptStrings(t *testing.T) {
	filter := func(k *kept) s3writer.Processor {
		return s3writer.Filter(func(r s3writer.Record) bool { k.record(r); return len(k.rows)%3 > 0 })
	}
	derive := func(k *kept) s3writer.Processor {
		return s3writer.Derive("more", func(r s3writer.Record) (s3writer.Value, error) {
			k.record(r)
			return r.Value("name"), nil
		})
	}
	recordFunc := func(k *kept) s3writer.Processor {
		return s3writer.RecordFunc(func([]s3writer.Column) (s3writer.RecordStep, error) {
			return s3writer.RecordStep{Row: func(r s3writer.Record, out *s3writer.Emitter) error {
				k.record(r)
				for i := range r.Len() {
					out.Copy(r, i)
				}
				out.EndRow()
				return nil
			}}, nil
		})
	}
	encoder := func(k *kept) s3writer.Processor {
		return s3writer.EncoderFunc("", func(io.Writer, []s3writer.Column) (s3writer.Encoder, error) { return keeper{k}, nil })
	}
	for _, test := range []struct {
		name  string
		steps func(*kept) []s3writer.Processor
	}{
		{"Filter", func(k *kept) []s3writer.Processor { return []s3writer.Processor{filter(k)} }},
		{"Derive", func(k *kept) []s3writer.Processor { return []s3writer.Processor{derive(k)} }},
		{"RecordFunc", func(k *kept) []s3writer.Processor { return []s3writer.Processor{recordFunc(k)} }},
		{"Concurrent Derive", func(k *kept) []s3writer.Processor {
			return []s3writer.Processor{s3writer.Concurrent(derive(k)), s3writer.Select("id")}
		}},
		{"Concurrent RecordFunc", func(k *kept) []s3writer.Processor {
			return []s3writer.Processor{s3writer.Concurrent(recordFunc(k)), s3writer.Gzip()}
		}},
		{"EncoderFunc", func(k *kept) []s3writer.Processor { return []s3writer.Processor{encoder(k)} }},
		{"EncoderFunc behind other steps", func(k *kept) []s3writer.Processor {
			return []s3writer.Processor{s3writer.Trim("name"), s3writer.RowNumber("number"), encoder(k)}
		}},
		{"EncoderFunc of partitions", func(k *kept) []s3writer.Processor {
			return []s3writer.Processor{s3writer.PartitionBy("group"), encoder(k)}
		}},
		{"Filter before a split", func(k *kept) []s3writer.Processor {
			return []s3writer.Processor{filter(k), s3writer.SplitRows(10_000)}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var k kept
			write(t, newWriter(t, newServer(t)), k.table(test.steps(&k)...))
			for _, row := range k.rows {
				var i int
				if _, err := fmt.Sscan(row[0], &i); err != nil || fmt.Sprint(row) != fmt.Sprint(keptRow(i)) {
					t.Fatalf("a row has become %q", row)
				}
			}
			if len(k.rows) != keptRows {
				t.Errorf("%d rows were kept, want %d", len(k.rows), keptRows)
			}
		})
	}
}

// What OnBadRow is given stays what it was, as does what Emitter.Value is given
// a row later.
func TestKeptBadRows(t *testing.T) {
	var k kept
	var bad []s3writer.BadRow
	var last s3writer.Value
	table := k.table(s3writer.RecordFunc(func(columns []s3writer.Column) (s3writer.RecordStep, error) {
		return s3writer.RecordStep{
			Columns: columns[:2],
			Row: func(r s3writer.Record, out *s3writer.Emitter) error {
				out.Copy(r, 0)
				out.Value(last)
				out.EndRow()
				last = r.Value("name")
				return nil
			},
		}, nil
	}))
	table.OnBadRow = func(b s3writer.BadRow) error { bad = append(bad, b); return nil }
	srv := newServer(t)
	write(t, newWriter(t, srv), table)

	var want strings.Builder
	want.WriteString("id,name\n0,\n")
	for i := 1; i < keptRows; i++ {
		fmt.Fprintf(&want, "%d,name of %d\n", i, i-1)
	}
	wantObject(t, srv, "kept.csv", want.String())
	for n, b := range bad {
		if want := fmt.Sprintf("bad %d", 100*n+99); string(b.Raw) != want || b.Err.Error() != "row has 1 field, header has 4" {
			t.Fatalf("bad row %d has become %q, %v", n+1, b.Raw, b.Err)
		}
	}
	if len(bad) != keptRows/100 {
		t.Errorf("%d bad rows", len(bad))
	}
}

// What a kept Emitter takes would be in no object.
func TestKeptEmitter(t *testing.T) {
	var k kept
	var first *s3writer.Emitter
	use := map[string]func(){
		"Text":   func() { first.Text("x") },
		"Null":   func() { first.Null() },
		"Value":  func() { first.Value(s3writer.Text("x")) },
		"EndRow": func() { first.EndRow() },
	}
	for name, f := range use {
		t.Run(name, func(t *testing.T) {
			first = nil
			table := k.table(s3writer.RecordFunc(func([]s3writer.Column) (s3writer.RecordStep, error) {
				return s3writer.RecordStep{Row: func(r s3writer.Record, out *s3writer.Emitter) error {
					switch {
					case first == nil:
						first = out
					case first != out:
						f()
					}
					return nil
				}}, nil
			}))
			srv := newServer(t)
			_, err := newWriter(t, srv).Write(t.Context(), table)
			const want = "the Emitter was kept beyond the call it was given to: use the one that comes with each call"
			if err == nil || !strings.HasSuffix(err.Error(), want) || !strings.Contains(err.Error(), "step 1 RecordFunc: row ") {
				t.Errorf("got %v, want %q", err, want)
			}
			wantNothing(t, srv)
		})
	}
}
