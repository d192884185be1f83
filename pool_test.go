package s3writer_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

// idleTime is how long a connection is kept that nobody uses.
const idleTime = 4 * time.Second

// mostConnections is how many may have been opened since a moment where that
// many may be open at once: on a slow machine some have been idle for too long.
func mostConnections(atOnce int, since time.Time) int {
	return atOnce * (1 + int(time.Since(since)/idleTime))
}

// front stands before a server and counts the connections to it.
type front struct {
	net.Listener
	url         string
	accepted    atomic.Int64
	connections sync.WaitGroup
}

func newFront(t *testing.T, srv *s3writertest.Server) *front {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{Listener: l, url: "http://" + l.Addr().String()}
	f.connections.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.accepted.Add(1)
			f.connections.Go(func() { f.pass(c, strings.TrimPrefix(srv.URL, "http://")) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		f.connections.Wait()
	})
	return f
}

// pass passes on what both sides say until the client has left.
func (f *front) pass(client net.Conn, address string) {
	server, err := net.Dial("tcp", address)
	if err != nil {
		client.Close()
		return
	}
	var answers sync.WaitGroup
	answers.Go(func() {
		io.Copy(client, server)
		client.Close()
	})
	io.Copy(server, client)
	server.Close()
	answers.Wait()
}

// TestPoolOfTwoHundredWriters delivers for two hundred customers at once, in
// the memory, the requests and the connections of one Pool.
func TestPoolOfTwoHundredWriters(t *testing.T) {
	const (
		servers, customers = 4, 50 // of each
		memory             = 64 << 20
		requests           = 12
	)
	pool := s3writer.NewPool(memory, requests)
	type customer struct {
		srv    *s3writertest.Server
		bucket string
		w      *s3writer.Writer
		last   int // size of its last table
	}
	var all []customer
	var fronts []*front
	var srvs []*s3writertest.Server
	for i := range servers {
		var buckets []string
		for j := range customers {
			buckets = append(buckets, fmt.Sprintf("customer-%d-%d", i, j))
		}
		srv := s3writertest.NewServer(buckets...)
		t.Cleanup(srv.Close)
		f := newFront(t, srv)
		srvs, fronts = append(srvs, srv), append(fronts, f)
		for j, b := range buckets {
			w, err := s3writer.New(t.Context(), b, s3writer.WithEndpoint(f.url), keys(srv), s3writer.WithPool(pool))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(w.CloseIdleConnections)
			last := 10_000
			if j%25 == 0 {
				last = 12 << 20 // in two parts
			}
			all = append(all, customer{srv, b, w, last})
		}
	}
	tables := func(last int) (bodies map[string]string) {
		return map[string]string{"a.csv": "id\n1\n", "b.csv": pattern(300_000), "c.csv": pattern(last)}
	}
	began := time.Now()
	var wg sync.WaitGroup
	for _, c := range all {
		wg.Go(func() {
			var list []s3writer.Table
			for key, body := range tables(c.last) {
				list = append(list, csv(key, body))
			}
			if _, err := c.w.Write(t.Context(), list...); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, c := range all {
		for key, want := range tables(c.last) {
			if got, _ := c.srv.Get(c.bucket, key); string(got) != want {
				t.Errorf("%s of %s: %d bytes, want %d, or they differ", key, c.bucket, len(got), len(want))
			}
		}
	}
	for i, f := range fronts {
		inFlight, accepted, most := srvs[i].MaxInFlight(""), int(f.accepted.Load()), mostConnections(requests, began)
		if inFlight > requests || accepted == 0 || accepted > most {
			t.Errorf("server %d had %d requests in flight, want at most %d, and %d connections, want at most %d", i, inFlight, requests, accepted, most)
		}
		if parts := srvs[i].Count("UploadPart"); parts < customers/25 {
			t.Errorf("server %d got %d parts", i, parts)
		}
	}
	all[0].w.CloseIdleConnections()
	for _, f := range fronts {
		f.Close()
		f.connections.Wait() // no connection of any Writer is left
	}
}

// TestPoolWithClients shares memory and requests where each Writer has a client
// of its own.
func TestPoolWithClients(t *testing.T) {
	srv := newServer(t)
	pool := s3writer.NewPool(64<<20, 1)
	var wg sync.WaitGroup
	for i := range 4 {
		client := s3.NewFromConfig(srv.Config(), func(o *s3.Options) { o.UsePathStyle = true })
		w := mustNew(t, s3writer.WithClient(client), s3writer.WithPool(pool), s3writer.WithConcurrency(8))
		var tables []s3writer.Table
		for j := range 50 {
			tables = append(tables, csv(fmt.Sprintf("%d/%d.csv", i, j), "id\n1\n"))
		}
		tables = append(tables, csv(fmt.Sprintf("%d/large.csv", i), pattern(12<<20)))
		wg.Go(func() {
			if _, err := w.Write(t.Context(), tables...); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(srv.Keys(bucket)); n != 4*51 {
		t.Errorf("%d objects arrived, want %d", n, 4*51)
	}
	if n := srv.MaxInFlight(""); n != 1 {
		t.Errorf("%d requests were in flight at once, want 1", n)
	}
}

// TestPoolIsTheBudget of tables and parts, which say so.
func TestPoolIsTheBudget(t *testing.T) {
	srv := newServer(t)
	pool := s3writer.WithPool(s3writer.NewPool(16<<20, 0))
	var steps []s3writer.Processor
	for range 30 {
		steps = append(steps, s3writer.Filter(func(s3writer.Record) bool { return true }), s3writer.Select("id"))
	}
	_, err := newWriter(t, srv, pool).Write(t.Context(), s3writer.NewTable("t.csv", untouchable{t}, steps...))
	if err == nil || !strings.Contains(err.Error(), "but the memory budget is 16.0 MiB: raise the memory of NewPool") {
		t.Errorf("got %v", err)
	}
	r := write(t, newWriter(t, srv, pool, s3writer.WithPartSize(5<<20)), csv("t.csv", pattern(12<<20)))
	if parts := r.Tables[0].Objects[0].Parts; parts != 3 {
		t.Errorf("%d parts, want 3", parts)
	}
	wantObject(t, srv, "t.csv", pattern(12<<20))
}

// discard is a bucket that counts bytes and keeps none.
type discard struct {
	s3writer.Client
	mu    sync.Mutex
	sizes map[string]int64 // of objects that are complete
	parts map[string]int64 // bytes of those that are not, by key
}

var discardID = aws.String("discarded")

func (d *discard) add(sizes map[string]int64, key string, body io.Reader) error {
	n, err := io.Copy(io.Discard, body)
	d.mu.Lock()
	defer d.mu.Unlock()
	sizes[key] += n
	return err
}

func (d *discard) PutObject(_ context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	return &s3.PutObjectOutput{ETag: discardID}, d.add(d.sizes, *in.Key, in.Body)
}

func (d *discard) CreateMultipartUpload(context.Context, *s3.CreateMultipartUploadInput, ...func(*s3.Options)) (*s3.CreateMultipartUploadOutput, error) {
	return &s3.CreateMultipartUploadOutput{UploadId: discardID}, nil
}

func (d *discard) UploadPart(_ context.Context, in *s3.UploadPartInput, _ ...func(*s3.Options)) (*s3.UploadPartOutput, error) {
	return &s3.UploadPartOutput{ETag: discardID}, d.add(d.parts, *in.Key, in.Body)
}

func (d *discard) CompleteMultipartUpload(_ context.Context, in *s3.CompleteMultipartUploadInput, _ ...func(*s3.Options)) (*s3.CompleteMultipartUploadOutput, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sizes[*in.Key] = d.parts[*in.Key]
	return &s3.CompleteMultipartUploadOutput{ETag: discardID}, nil
}

func (d *discard) AbortMultipartUpload(context.Context, *s3.AbortMultipartUploadInput, ...func(*s3.Options)) (*s3.AbortMultipartUploadOutput, error) {
	return nil, errors.New("nothing should be aborted")
}

// TestThousandTablesIn64MiB delivers 10 GiB in tables of 1 to 20 MiB, all with
// one Write, and by the Writers of one Pool.
func TestThousandTablesIn64MiB(t *testing.T) {
	const memory = 64 << 20
	count := 1000
	if testing.Short() {
		count = 100
	}
	for _, test := range []struct {
		name    string
		writers int
		share   s3writer.Option
	}{
		{"one Writer", 1, s3writer.WithMemory(memory)},
		{"ten Writers", 10, s3writer.WithPool(s3writer.NewPool(memory, 0))},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := &discard{sizes: map[string]int64{}, parts: map[string]int64{}}
			size := func(i int) int64 { return int64(1+i%20) << 20 }
			grown, _ := heapPeak(func() {
				var wg sync.WaitGroup
				for i := range test.writers {
					w := mustNew(t, s3writer.WithClient(d), test.share)
					var tables []s3writer.Table
					for j := i; j < count; j += test.writers {
						body := io.LimitReader(zeros{}, size(j))
						tables = append(tables, s3writer.NewTable(fmt.Sprint(j, ".bin"), body))
					}
					wg.Go(func() {
						if _, err := w.Write(t.Context(), tables...); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
			})
			for i := range count {
				if got := d.sizes[fmt.Sprint(i, ".bin")]; got != size(i) {
					t.Errorf("table %d: %d bytes arrived, want %d", i, got, size(i))
				}
			}
			if grown > memory+32<<20 {
				t.Errorf("the heap grew by %d MiB, want at most the budget, %d MiB, and 32 MiB", grown>>20, memory>>20)
			}
		})
	}
}

// newTLSBucket starts a server over TLS that takes every object. Only the
// default chain of this test trusts it.
func newTLSBucket(t *testing.T) *tlsBucket {
	t.Helper()
	b := &tlsBucket{}
	b.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		b.objects.Add(1)
		if r.TLS.DidResume {
			b.resumed.Add(1)
		}
		w.Header().Set("ETag", `"x"`)
	}))
	b.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			b.opened.Add(1)
		}
	}
	b.StartTLS()
	t.Cleanup(b.Close)
	authority := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_CA_BUNDLE": authority, "AWS_ACCESS_KEY_ID": userID, "AWS_SECRET_ACCESS_KEY": userSecret, "AWS_SESSION_TOKEN": "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
	return b
}

type tlsBucket struct {
	*httptest.Server
	opened  atomic.Int64 // connections
	objects atomic.Int64
	resumed atomic.Int64 // objects that came over a connection that resumed a TLS session
}

// TestSmallTablesOpenFewConnections opens no more than there are requests in flight.
func TestSmallTablesOpenFewConnections(t *testing.T) {
	for _, test := range []struct {
		name            string
		writers, tables int
		share           s3writer.Option
		most            int
	}{
		{"as many as the server takes", 1, 3000, s3writer.WithMemory(64 << 20), 64},
		{"eight", 1, 1000, s3writer.WithConcurrency(8), 8},
		{"twelve of a Pool", 5, 1000, s3writer.WithPool(s3writer.NewPool(64<<20, 12)), 12},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newTLSBucket(t)
			began := time.Now()
			var wg sync.WaitGroup
			for i := range test.writers {
				w := mustNew(t, test.share, s3writer.WithEndpoint(srv.URL))
				var tables []s3writer.Table
				for j := i; j < test.tables; j += test.writers {
					tables = append(tables, csv(fmt.Sprint(j, ".csv"), "id\n1\n"))
				}
				wg.Go(func() {
					if _, err := w.Write(t.Context(), tables...); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if n := srv.objects.Load(); n != int64(test.tables) {
				t.Errorf("%d objects arrived, want %d", n, test.tables)
			}
			if n, most := int(srv.opened.Load()), mostConnections(test.most, began); n > most {
				t.Errorf("%d connections were opened, want at most %d", n, most)
			}
		})
	}
}

// TestTLSSessionsAreResumed by the connections that follow those that were
// closed, and by the other Writers of a Pool.
func TestTLSSessionsAreResumed(t *testing.T) {
	for _, test := range []struct {
		name string
		opts []s3writer.Option
	}{
		{"one Writer", nil},
		{"a Pool", []s3writer.Option{s3writer.WithPool(s3writer.NewPool(64<<20, 0))}},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newTLSBucket(t)
			first := mustNew(t, append(test.opts, s3writer.WithEndpoint(srv.URL))...)
			second := first
			if test.opts != nil {
				second = mustNew(t, append(test.opts, s3writer.WithEndpoint(srv.URL))...)
			}
			write(t, first, csv("a.csv", "id\n"))
			write(t, second, csv("b.csv", "id\n"))
			if opened, resumed := srv.opened.Load(), srv.resumed.Load(); opened != 1 || resumed != 0 {
				t.Errorf("two tables, one after the other, opened %d connections, and %d resumed a session", opened, resumed)
			}
			second.CloseIdleConnections()
			write(t, first, csv("c.csv", "id\n"))
			second.CloseIdleConnections()
			write(t, second, csv("d.csv", "id\n"))
			if opened, resumed := srv.opened.Load(), srv.resumed.Load(); opened != 3 || resumed != 2 {
				t.Errorf("closing the connections twice left %d opened, of which %d resumed; want 3 and 2", opened, resumed)
			}
		})
	}
}

// TestAbortHasAConnection though all of them have long parts of others to send.
func TestAbortHasAConnection(t *testing.T) {
	srv := newServer(t)
	w := newWriter(t, srv, s3writer.WithConcurrency(1), s3writer.WithRegion(s3writertest.DefaultRegion))
	unwanted := stage(t, w, csv("unwanted.csv", "id\n"))
	held, let := make(chan struct{}), make(chan struct{})
	srv.Fail(s3writertest.Fault{Op: "PutObject", N: 1, Hang: let, Header: http.Header{"X-Held": {"1"}}, Hook: func(*http.Request) { close(held) }})
	done := make(chan error)
	go func() {
		_, err := w.Write(t.Context(), csv("long.csv", "id\n1\n"))
		done <- err
	}()
	<-held
	if err := w.Abort(t.Context(), unwanted); err != nil {
		t.Error(err)
	}
	if open := srv.Uploads(bucket); len(open) != 0 {
		t.Errorf("still open: %v", open)
	}
	close(let)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
