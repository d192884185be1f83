package s3writer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed149ec23d/s3writer"
)

// manyTables are tiny tables below a folder.
func manyTables(folder string, n int) []s3writer.Table {
	tables := make([]s3writer.Table, n)
	for i := range tables {
		tables[i] = csv(fmt.Sprintf("%s/%03d.csv", folder, i), fmt.Sprintf("id\n%d\n", i))
	}
	return tables
}

// TestAllOrNothingOfMany holds more tables than the memory admits at once: the
// objects that wait are sent early, long after their tables have run.
func TestAllOrNothingOfMany(t *testing.T) {
	for _, test := range []struct {
		name   string
		tables int
		opts   []s3writer.Option
	}{
		{"little memory", 200, []s3writer.Option{s3writer.WithMemory(16 << 20)}},
		{"default memory", 150, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			w := newWriter(t, srv, append(test.opts, s3writer.WithAllOrNothing())...)
			write(t, w, manyTables("a", test.tables)...)
			if n := len(srv.Keys(bucket)); n != test.tables {
				t.Errorf("%d objects, want %d", n, test.tables)
			}
			wantObject(t, srv, "a/007.csv", "id\n7\n")
		})
	}
	t.Run("several Writes at once", func(t *testing.T) {
		srv := newServer(t)
		w := newWriter(t, srv, s3writer.WithMemory(16<<20), s3writer.WithAllOrNothing())
		var wait sync.WaitGroup
		for _, folder := range []string{"a", "b", "c"} {
			wait.Go(func() {
				if _, err := w.Write(t.Context(), manyTables(folder, 60)...); err != nil {
					t.Errorf("%s: %v", folder, err)
				}
			})
		}
		wait.Wait()
		if n := len(srv.Keys(bucket)); n != 180 {
			t.Errorf("%d objects, want 180", n)
		}
	})
	t.Run("one fails", func(t *testing.T) {
		srv := newServer(t)
		w := newWriter(t, srv, s3writer.WithMemory(16<<20), s3writer.WithAllOrNothing())
		tables := manyTables("a", 200)
		tables[190] = s3writer.NewTable("bad.csv", failing("id\n", errBroken))
		report, err := w.Write(t.Context(), tables...)
		wantText(t, err, `s3writer: table "bad.csv": source: the line is broken`)
		wantAccounted(t, srv, report)
	})
}

// TestAllOrNothingTellsTheEndOnce of each table, also of one that never ran.
func TestAllOrNothingTellsTheEndOnce(t *testing.T) {
	srv := newServer(t)
	ends := map[string]int{}
	w := newWriter(t, srv, s3writer.WithAllOrNothing(), s3writer.WithProgress(func(p s3writer.Progress) {
		if p.Done {
			ends[p.Table]++
		}
	}))
	_, err := w.Write(t.Context(), csv("a.csv", "id\n"), s3writer.NewTable("b.csv", nil))
	wantText(t, err, `s3writer: table "b.csv": Source is nil`)
	if ends["a.csv"] != 1 || ends["b.csv"] != 1 {
		t.Errorf("ends told: %v, want one of each table", ends)
	}
}

// slowClient takes 50 seconds for every object, one at a time.
type slowClient struct {
	s3writer.Client
	first func() // called with the first object
	once  sync.Once
}

func (c *slowClient) PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	c.once.Do(c.first)
	time.Sleep(50 * time.Second) // of a bubble's clock
	return &s3.PutObjectOutput{ETag: aws.String(`"etag"`)}, nil
}

// hungClient answers once, after that only when it is told to end.
type hungClient struct {
	s3writer.Client
	first func() // called with the first object
	once  sync.Once
}

func (c *hungClient) PutObject(ctx context.Context, _ *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	first := false
	c.once.Do(func() { first = true; c.first() })
	if !first {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	time.Sleep(80 * time.Second) // of a bubble's clock
	return &s3.PutObjectOutput{ETag: aws.String(`"etag"`)}, nil
}

// TestCommitsEndTwoMinutesAfterTheirContext also where the last one is begun late.
func TestCommitsEndTwoMinutesAfterTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w := mustNew(t, s3writer.WithClient(&hungClient{first: cancel}), s3writer.WithAllOrNothing(), s3writer.WithConcurrency(1))
		began := time.Now()
		_, err := w.Write(ctx, manyTables("a", 2)...)
		if took := time.Since(began); took != 2*time.Minute {
			t.Errorf("Write ended %v after its context", took)
		}
		if !errors.Is(err, s3writer.ErrCommitUnknown) {
			t.Errorf("got %v", err)
		}
	})
}

// TestSlowCommits take as long as they need; only when their context has ended
// is there an end to it.
func TestSlowCommits(t *testing.T) {
	for _, test := range []struct {
		name   string
		cancel bool
		want   int // objects committed
	}{
		{"not cancelled", false, 8},
		{"cancelled as they begin", true, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				client := &slowClient{first: func() {
					if test.cancel {
						cancel()
					}
				}}
				w := mustNew(t, s3writer.WithClient(client), s3writer.WithAllOrNothing(), s3writer.WithConcurrency(1))
				report, err := w.Write(ctx, manyTables("a", 8)...)
				committed := 0
				for _, r := range report.Tables {
					if r.Objects[0].State == s3writer.Committed {
						committed++
					}
				}
				if committed != test.want {
					t.Errorf("%d objects were committed, want %d: %v", committed, test.want, err)
				}
				if partial := errors.Is(err, s3writer.ErrPartialCommit); partial != test.cancel {
					t.Errorf("got %v", err)
				}
				if err != nil && !strings.Contains(err.Error(), "context canceled: the commit had not begun 1m30s later") {
					t.Errorf("the error does not say why: %v", err)
				}
			})
		})
	}
}

// deadClient takes one object; then nobody can connect any more.
type deadClient struct {
	s3writer.Client
	objects atomic.Int64
	tried   sync.Map // keys of uploads that were to be begun
}

var errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}

func (c *deadClient) PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	if c.objects.Add(1) > 1 {
		return nil, errRefused
	}
	return &s3.PutObjectOutput{ETag: aws.String(`"etag"`)}, nil
}

func (c *deadClient) CreateMultipartUpload(_ context.Context, in *s3.CreateMultipartUploadInput, _ ...func(*s3.Options)) (*s3.CreateMultipartUploadOutput, error) {
	c.tried.Store(*in.Key, true)
	return nil, errRefused
}

// TestOutageInACommit is not waited for by each of the objects that are kept for another one.
func TestOutageInACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, atOnce = 2000, 256
		client := &deadClient{}
		w := mustNew(t, s3writer.WithClient(client), s3writer.WithAllOrNothing(), s3writer.WithConcurrency(4))
		began := time.Now()
		report, err := w.Write(t.Context(), manyTables("a", n)...)
		if !errors.Is(err, s3writer.ErrPartialCommit) || report.Pending == nil {
			t.Fatalf("got %v, pending %v", err, report.Pending)
		}
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("Write took %v", took)
		}
		tried := 0
		client.tried.Range(func(any, any) bool { tried++; return true })
		if tried == 0 || tried > atOnce {
			t.Errorf("%d objects were tried, want no more than are at once", tried)
		}
		client.objects.Store(-n) // it is there again
		if _, err := w.Commit(t.Context(), report.Pending); err != nil {
			t.Error(err)
		}
	})
}

// distantClient is an S3 whose answers to aborts take a while.
type distantClient struct {
	s3writer.Client
	away time.Duration
}

func (distantClient) CreateMultipartUpload(_ context.Context, in *s3.CreateMultipartUploadInput, _ ...func(*s3.Options)) (*s3.CreateMultipartUploadOutput, error) {
	return &s3.CreateMultipartUploadOutput{UploadId: in.Key}, nil
}

func (distantClient) UploadPart(context.Context, *s3.UploadPartInput, ...func(*s3.Options)) (*s3.UploadPartOutput, error) {
	return &s3.UploadPartOutput{ETag: aws.String(`"part"`)}, nil
}

func (c distantClient) AbortMultipartUpload(ctx context.Context, _ *s3.AbortMultipartUploadInput, _ ...func(*s3.Options)) (*s3.AbortMultipartUploadOutput, error) {
	select {
	case <-time.After(c.away):
		return &s3.AbortMultipartUploadOutput{}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// However many tables are given up together, the time after the end of the context is
// enough to remove what they have sent.
func TestAllOrNothingGivesUpAllTablesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 12
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w := mustNew(t, s3writer.WithClient(distantClient{away: 60 * time.Millisecond}), s3writer.WithAllOrNothing())
		var uploaded sync.WaitGroup
		uploaded.Add(n)
		var began time.Time
		tables := []s3writer.Table{s3writer.NewTable("last.csv", readerFunc(func([]byte) (int, error) {
			uploaded.Wait()
			began = time.Now()
			cancel()
			return 0, io.EOF
		}))}
		for i := range n {
			table := csv(fmt.Sprintf("t%02d.csv", i), "id\n"+strings.Repeat("1234567\n", large/8))
			table.Accept = func(s3writer.TableReport) error { uploaded.Done(); return nil }
			tables = append(tables, table)
		}
		report, err := w.Write(ctx, tables...)
		if took := time.Since(began); took > 250*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		if !errors.Is(err, context.Canceled) || len(report.Orphans) > 0 {
			t.Errorf("%d orphans: %v", len(report.Orphans), err)
		}
	})
}
