package s3writer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

// hang is a place where a delivery stands still: it tells that it was reached,
// and goes on when the test is over.
type hang struct {
	reached chan struct{}
	over    <-chan struct{}
}

func (h *hang) wait() {
	select {
	case h.reached <- struct{}{}:
	default: // it was reached before
	}
	<-h.over
}

type writeCloser struct {
	io.Writer
	close func() error
}

func (w writeCloser) Close() error { return w.close() }

type stuckEncoder struct {
	encode, close func()
}

func (e stuckEncoder) Encode(*s3writer.Batch) error { e.encode(); return nil }
func (e stuckEncoder) Close() error                 { e.close(); return nil }

// TestCancelReturnsAtOnce cancels a Write wherever it can stand still but in a
// commit: it returns within 250 ms, in the median, and nothing is visible.
func TestCancelReturnsAtOnce(t *testing.T) {
	const runs, limit = 5, 250 * time.Millisecond
	nothing := func() {}
	rows := "id\n" + strings.Repeat("1234567\n", 1<<20)
	source := func(f func(*hang) io.Reader) func(*hang, *s3writertest.Server) s3writer.Table {
		return func(h *hang, _ *s3writertest.Server) s3writer.Table { return s3writer.NewTable("t.csv", f(h)) }
	}
	step := func(f func(*hang) s3writer.Processor) func(*hang, *s3writertest.Server) s3writer.Table {
		return func(h *hang, _ *s3writertest.Server) s3writer.Table { return csv("t.csv", rows, f(h)) }
	}
	server := func(op string, n int) func(*hang, *s3writertest.Server) s3writer.Table {
		return func(h *hang, srv *s3writertest.Server) s3writer.Table {
			srv.Fail(s3writertest.Fault{Op: op, N: n, Times: 1 << 30, Hang: h.over, Hook: func(*http.Request) {
				select {
				case h.reached <- struct{}{}:
				default:
				}
			}})
			return csv("t.csv", pattern(20<<20))
		}
	}
	stuck := func(h *hang) io.Reader { return readerFunc(func([]byte) (int, error) { h.wait(); return 0, io.EOF }) }
	for _, test := range []struct {
		name  string
		table func(*hang, *s3writertest.Server) s3writer.Table
	}{
		{"a source that is copied", source(stuck)},
		{"a source, half way", source(func(h *hang) io.Reader { return io.MultiReader(strings.NewReader(pattern(large)), stuck(h)) })},
		{"a source that does not open", source(func(h *hang) io.Reader {
			return s3writer.SourceFunc(func(context.Context) (io.ReadCloser, error) { h.wait(); return nil, errBroken })
		})},
		{"a source of records", source(func(h *hang) io.Reader {
			return s3writer.Records([]string{"id"}, func(yield func([]string, error) bool) { h.wait() })
		})},
		{"a source that is decoded", func(h *hang, _ *s3writertest.Server) s3writer.Table {
			return s3writer.NewTable("t.csv", io.MultiReader(strings.NewReader(rows), stuck(h)), s3writer.RowNumber("n"))
		}},
		{"Filter", step(func(h *hang) s3writer.Processor {
			return s3writer.Filter(func(s3writer.Record) bool { h.wait(); return true })
		})},
		{"Concurrent", step(func(h *hang) s3writer.Processor {
			return s3writer.Concurrent(s3writer.Filter(func(s3writer.Record) bool { h.wait(); return true }))
		})},
		{"RecordFunc as it opens", step(func(h *hang) s3writer.Processor {
			return s3writer.RecordFunc(func([]s3writer.Column) (s3writer.RecordStep, error) { h.wait(); return s3writer.RecordStep{}, nil })
		})},
		{"RecordFunc's End", step(func(h *hang) s3writer.Processor {
			return s3writer.RecordFunc(func([]s3writer.Column) (s3writer.RecordStep, error) {
				return s3writer.RecordStep{Row: func(s3writer.Record, *s3writer.Emitter) error { return nil },
					End: func(*s3writer.Emitter) error { h.wait(); return nil }}, nil
			})
		})},
		{"ReaderFunc", step(func(h *hang) s3writer.Processor {
			return s3writer.ReaderFunc(func(io.Reader) (io.Reader, error) { return stuck(h), nil })
		})},
		{"WriterFunc", step(func(h *hang) s3writer.Processor {
			return s3writer.WriterFunc("", func(w io.Writer) (io.WriteCloser, error) {
				return writeCloser{writerFunc(func(p []byte) (int, error) { h.wait(); return len(p), nil }), func() error { return nil }}, nil
			})
		})},
		{"WriterFunc's Close", step(func(h *hang) s3writer.Processor {
			return s3writer.WriterFunc("", func(w io.Writer) (io.WriteCloser, error) {
				return writeCloser{w, func() error { h.wait(); return nil }}, nil
			})
		})},
		{"EncoderFunc", step(func(h *hang) s3writer.Processor {
			return s3writer.EncoderFunc("", func(io.Writer, []s3writer.Column) (s3writer.Encoder, error) {
				return stuckEncoder{h.wait, nothing}, nil
			})
		})},
		{"EncoderFunc's Close", step(func(h *hang) s3writer.Processor {
			return s3writer.EncoderFunc("", func(io.Writer, []s3writer.Column) (s3writer.Encoder, error) {
				return stuckEncoder{nothing, h.wait}, nil
			})
		})},
		{"partitions", func(h *hang, _ *s3writertest.Server) s3writer.Table {
			return csv("t.csv", "id,k\n1,a\n2,b\n", s3writer.PartitionBy("k"), s3writer.Filter(func(r s3writer.Record) bool { h.wait(); return true }))
		}},
		{"Accept", func(h *hang, _ *s3writertest.Server) s3writer.Table {
			table := csv("t.csv", rows)
			table.Accept = func(s3writer.TableReport) error { h.wait(); return nil }
			return table
		}},
		{"ObjectInput", func(h *hang, _ *s3writertest.Server) s3writer.Table {
			table := csv("t.csv", pattern(large))
			table.ObjectInput = func(*s3.CreateMultipartUploadInput) { h.wait() }
			return table
		}},
		{"CreateMultipartUpload", server("CreateMultipartUpload", 1)},
		{"UploadPart", server("UploadPart", 1)},
		{"a later UploadPart", server("UploadPart", 2)},
		{"everything behind CreateMultipartUpload", func(h *hang, srv *s3writertest.Server) s3writer.Table {
			server("AbortMultipartUpload", 1)(&hang{make(chan struct{}, 1), h.over}, srv)
			return server("UploadPart", 1)(h, srv)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var took []time.Duration
			for range runs {
				took = append(took, cancelled(t, test.table))
			}
			slices.Sort(took)
			if took[runs/2] > limit {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// cancelled cancels a Write once it stands still, and returns how long it went on.
func cancelled(t *testing.T, table func(*hang, *s3writertest.Server) s3writer.Table) time.Duration {
	srv := s3writertest.NewServer(bucket)
	defer srv.Close()
	over := make(chan struct{})
	defer close(over)
	h := &hang{make(chan struct{}, 1), over}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := newWriter(t, srv)
	type result struct {
		report *s3writer.Report
		err    error
		at     time.Time
	}
	done := make(chan result, 1)
	tables := []s3writer.Table{table(h, srv)}
	go func() {
		report, err := w.Write(ctx, tables...)
		done <- result{report, err, time.Now()}
	}()
	select {
	case <-h.reached:
	case r := <-done:
		t.Fatalf("it did not stand still: %v", r.err)
	}
	begin := time.Now()
	cancel()
	r := <-done
	if !errors.Is(r.err, context.Canceled) || !strings.HasPrefix(r.err.Error(), `s3writer: table "t.csv": `) {
		t.Errorf("got %v, want context.Canceled", r.err)
	}
	wantAccounted(t, srv, r.report)
	if len(r.report.Tables) != 1 || fmt.Sprint(r.report.Tables[0].Err) != fmt.Sprint(r.err) {
		t.Errorf("reported %+v", r.report)
	}
	return r.at.Sub(begin)
}

// TestCancelEndsAllAborts cancels what has much to clean up, of a server that does
// not answer: the time for that is one for all of it.
func TestCancelEndsAllAborts(t *testing.T) {
	limit := 250 * time.Millisecond
	if raceEnabled {
		limit *= 2
	}
	const objects = 700 // more than are aborted at once
	rows := "id\n" + strings.Repeat("1234567\n", objects)
	for _, test := range []struct {
		name string
		op   string // the first request that hangs, besides all aborts
		run  func(context.Context, *s3writer.Writer, *s3writer.Staged) error
	}{
		{"Abort", "AbortMultipartUpload", func(ctx context.Context, w *s3writer.Writer, s *s3writer.Staged) error {
			return w.Abort(ctx, s)
		}},
		{"Stage", "UploadPart", func(ctx context.Context, w *s3writer.Writer, _ *s3writer.Staged) error {
			_, err := w.Stage(ctx, csv("again.csv", rows, s3writer.SplitRows(1)))
			return err
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var took []time.Duration
			for range 3 {
				srv := newServer(t)
				w := newWriter(t, srv)
				var s *s3writer.Staged
				if test.op == "AbortMultipartUpload" {
					s = stage(t, w, csv("t.csv", rows, s3writer.SplitRows(1)))
				}
				over := make(chan struct{})
				ctx, cancel := context.WithCancel(t.Context())
				began := make(chan time.Time, 1)
				reached := sync.OnceFunc(func() { began <- time.Now(); cancel() })
				srv.Fail(s3writertest.Fault{Op: test.op, Hang: over, Hook: func(*http.Request) { reached() }})
				srv.Fail(s3writertest.Fault{Op: "AbortMultipartUpload", Hang: over})
				if err := test.run(ctx, w, s); !errors.Is(err, context.Canceled) {
					t.Errorf("got %v, want context.Canceled", err)
				}
				took = append(took, time.Since(<-began))
				close(over)
				w.CloseIdleConnections() // those too that are being made yet: they would be the next server's leak
			}
			if best := slices.Min(took); best > limit {
				t.Errorf("it took %v", took)
			}
		})
	}
}
