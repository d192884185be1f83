package s3writer_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/internal/upload"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

// Nothing may be left when all tests have run: no goroutine, and no page in use.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if _, used := upload.OffHeap(); used > 0 {
			fmt.Fprintf(os.Stderr, "%d bytes of pages are still in use\n", used)
			code = 1
		}
		os.Exit(code)
	}))
}

// bucket is where everything in these tests goes.
const bucket = "writer-sample"

// newServer starts a server with an empty bucket. When the test ends, no
// goroutine may be left of what it has started.
func newServer(t testing.TB) *s3writertest.Server {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	srv := s3writertest.NewServer(bucket)
	t.Cleanup(func() {
		srv.Close()
		goleak.VerifyNone(t, leaks)
	})
	return srv
}

// keys are the server's own credentials.
func keys(srv *s3writertest.Server) s3writer.Option {
	id, secret := srv.Credentials()
	return s3writer.WithCredentials(s3writer.StaticCredentials(id, secret, ""))
}

// newWriter returns a Writer into the server's bucket, with the server's own
// credentials unless opts bring others.
func newWriter(t testing.TB, srv *s3writertest.Server, opts ...s3writer.Option) *s3writer.Writer {
	t.Helper()
	opts = append([]s3writer.Option{s3writer.WithEndpoint(srv.URL), keys(srv)}, opts...)
	return mustNew(t, opts...)
}

func mustNew(t testing.TB, opts ...s3writer.Option) *s3writer.Writer {
	t.Helper()
	w, err := s3writer.New(t.Context(), bucket, opts...)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(w.CloseIdleConnections)
	return w
}

// csv is a table of CSV text.
func csv(key, text string, p ...s3writer.Processor) s3writer.Table {
	return s3writer.NewTable(key, strings.NewReader(text), p...)
}

// write delivers tables that are all right.
func write(t testing.TB, w *s3writer.Writer, tables ...s3writer.Table) *s3writer.Report {
	t.Helper()
	report, err := w.Write(t.Context(), tables...)
	if err != nil {
		t.Fatalf("Write: %v", err)
	}
	return report
}

// wantObject fails the test unless the object is there, byte for byte.
func wantObject(t testing.TB, srv *s3writertest.Server, key, want string) {
	t.Helper()
	body, ok := srv.Get(bucket, key)
	switch {
	case !ok:
		t.Errorf("object %q is not there; there are %q", key, srv.Keys(bucket))
	case string(body) != want:
		t.Errorf("object %q: got %d bytes %.200q, want %d bytes %.200q", key, len(body), body, len(want), want)
	}
}

// wantNothing fails the test if anything is visible, or left behind.
func wantNothing(t testing.TB, srv *s3writertest.Server) {
	t.Helper()
	s3writertest.AssertNoPartial(t, srv, bucket, nil)
	s3writertest.AssertNoOrphans(t, srv, bucket)
}

// wantAccounted fails the test if anything is visible, or left behind without
// being in the report: a cancelled request may have opened an upload whose ID
// nobody knows.
func wantAccounted(t testing.TB, srv *s3writertest.Server, report *s3writer.Report) {
	t.Helper()
	s3writertest.AssertNoPartial(t, srv, bucket, nil)
	if open := srv.Uploads(bucket); len(open) > len(report.Orphans) {
		t.Errorf("%d uploads are open, %d of them in the report", len(open), len(report.Orphans))
	}
}

var (
	requestID = regexp.MustCompile(`request ID [0-9A-F]+`)
	uploadID  = regexp.MustCompile(`upload ID [A-Z0-9]{26}`)
	address   = regexp.MustCompile(`127\.0\.0\.1:\d+(->127\.0\.0\.1:\d+)?`)
)

// text is what an error says, without what differs from run to run.
func text(err error) string {
	if err == nil {
		return ""
	}
	s := requestID.ReplaceAllString(err.Error(), "request ID X")
	s = uploadID.ReplaceAllString(s, "upload ID X")
	return address.ReplaceAllString(s, "HOST")
}

// wantText fails the test unless err says want.
func wantText(t testing.TB, err error, want string) {
	t.Helper()
	if got := text(err); got != want {
		t.Errorf("error:\n got %s\nwant %s", got, want)
	}
}

// failing is a reader of text that then fails.
func failing(text string, err error) io.Reader {
	return io.MultiReader(strings.NewReader(text), readerFunc(func([]byte) (int, error) { return 0, err }))
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

var errBroken = errors.New("the line is broken")

// opened is a source that opens a reader and counts how often it is closed.
type opened struct {
	io.Reader
	opens, closes int
	ctx           context.Context
	closeErr      error
}

func (o *opened) source() *s3writer.Source {
	return s3writer.SourceFunc(func(ctx context.Context) (io.ReadCloser, error) {
		o.opens++
		o.ctx = ctx
		return o, nil
	})
}

func (o *opened) Close() error {
	o.closes++
	if o.closeErr == errPanics {
		panic("boom")
	}
	return o.closeErr
}

var errPanics = errors.New("panic instead")

func gunzip(t testing.TB, p []byte) string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(p))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

// sendHook is the hook of a fault that tells when it strikes first.
func sendHook(struck chan<- struct{}) func(*http.Request) {
	var once sync.Once
	return func(*http.Request) { once.Do(func() { close(struck) }) }
}
