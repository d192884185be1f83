package s3writer_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed149ec23d/s3writer"
)

// textError has no Unwrap: only its text panics.
type textError struct{ text string }

func (e *textError) Error() string { return e.text }

// unsound are errors that panic when they are looked at, as a nil pointer that
// became an error does, and what they are called.
var unsound = map[string]error{
	"(*fs.PathError)(nil)":            (*fs.PathError)(nil),
	"(*s3writer.Error)(nil)":          (*s3writer.Error)(nil),
	"(*s3writer_test.textError)(nil)": (*textError)(nil),
	"*s3writer_test.wrapped":          &wrapped{(*fs.PathError)(nil)},
}

type wrapped struct{ err error }

func (w *wrapped) Error() string { return "wrapped" }
func (w *wrapped) Unwrap() error { return w.err }

// refuser is an encoder and a writer that fail.
type refuser struct{ err error }

func (r refuser) Encode(*s3writer.Batch) error { return r.err }
func (r refuser) Write([]byte) (int, error)    { return 0, r.err }
func (r refuser) Close() error                 { return nil }

// unsoundTables are tables whose functions return err.
func unsoundTables(err error) map[string]s3writer.Table {
	source := func(src io.Reader, steps ...s3writer.Processor) s3writer.Table {
		return s3writer.NewTable("t.csv", src, steps...)
	}
	step := func(p s3writer.Processor) s3writer.Table { return csv("t.csv", "id\n1\n", p) }
	opens := func(s s3writer.RecordStep, err error) s3writer.Table {
		return step(s3writer.RecordFunc(func([]s3writer.Column) (s3writer.RecordStep, error) { return s, err }))
	}
	nothing := func(s3writer.Record, *s3writer.Emitter) error { return nil }
	accept, badRow := step(s3writer.Select("id")), csv("t.csv", "id\n1,2\n")
	accept.Accept = func(s3writer.TableReport) error { return err }
	badRow.OnBadRow = func(s3writer.BadRow) error { return err }
	return map[string]s3writer.Table{
		"Read":          source(failing("id\n", err)),
		"Read, records": source(failing("id\n", err), s3writer.Select("id")),
		"SourceFunc":    source(s3writer.SourceFunc(func(context.Context) (io.ReadCloser, error) { return nil, err })),
		"Records":       source(s3writer.Records([]string{"id"}, func(yield func([]string, error) bool) { yield(nil, err) })),
		"ReaderFunc":    step(s3writer.ReaderFunc(func(io.Reader) (io.Reader, error) { return failing("id\n", err), nil })),
		"RecordFunc":    opens(s3writer.RecordStep{}, err),
		"Row":           opens(s3writer.RecordStep{Row: func(s3writer.Record, *s3writer.Emitter) error { return err }}, nil),
		"End":           opens(s3writer.RecordStep{Row: nothing, End: func(*s3writer.Emitter) error { return err }}, nil),
		"Derive":        step(s3writer.Derive("n", func(s3writer.Record) (s3writer.Value, error) { return s3writer.Value{}, err })),
		"panic":         step(s3writer.Filter(func(s3writer.Record) bool { panic(err) })),
		"EncoderFunc":   step(s3writer.EncoderFunc("x", func(io.Writer, []s3writer.Column) (s3writer.Encoder, error) { return refuser{err}, nil })),
		"WriterFunc":    step(s3writer.WriterFunc("x", func(io.Writer) (io.WriteCloser, error) { return refuser{err}, nil })),
		"Accept":        accept,
		"OnBadRow":      badRow,
	}
}

// An error that panics when it is looked at is one that says so.
func TestUnsoundErrors(t *testing.T) {
	for name, bad := range unsound {
		for function, table := range unsoundTables(bad) {
			t.Run(function+" "+name, func(t *testing.T) {
				srv := newServer(t)
				_, err := newWriter(t, srv).Write(t.Context(), table)
				wantUnsound(t, err, name)
				wantNothing(t, srv)
			})
		}
		t.Run("cancelled "+name, func(t *testing.T) {
			srv := newServer(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			report, err := newWriter(t, srv).Write(ctx, s3writer.NewTable("t.csv", readerFunc(func(p []byte) (int, error) {
				cancel(bad)
				return copy(p, "id\n"), nil
			})))
			wantUnsound(t, err, name)
			wantAccounted(t, srv, report)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%v is no context.Canceled", err)
			}
		})
		t.Run("cancelled before "+name, func(t *testing.T) {
			srv := newServer(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(bad)
			_, err := newWriter(t, srv).Write(ctx, csv("t.csv", "id\n"))
			wantUnsound(t, err, name)
		})
		t.Run("credentials "+name, func(t *testing.T) {
			srv := newServer(t)
			_, err := mustNew(t, s3writer.WithEndpoint(srv.URL), s3writer.WithCredentials(aws.CredentialsProviderFunc(
				func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, bad }))).Write(t.Context(), csv("t.csv", "id\n"))
			wantUnsound(t, err, name)
		})
		t.Run("client "+name, func(t *testing.T) {
			_, err := mustNew(t, s3writer.WithClient(unsoundClient{err: bad})).Write(t.Context(), csv("t.csv", "id\n"))
			if err == nil || err.Error() == "" {
				t.Errorf("got %v", err)
			}
		})
	}
}

type unsoundClient struct {
	s3writer.Client
	err error
}

func (c unsoundClient) PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	return nil, c.err
}

func wantUnsound(t *testing.T, err error, name string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "panics when it is read: "+name) {
		t.Errorf("got %v, want %s", err, name)
	}
	if errors.Is(err, s3writer.ErrExists) {
		t.Error("it is another error")
	}
}
