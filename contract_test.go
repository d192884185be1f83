package s3writer_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed149ec23d/s3writer"
)

// The public contract, as a program outside sees it: what does not compile here
// breaks somebody. testdata/api.txt says that nothing is missing; this, that it
// can be used as it is meant to be.

var (
	_ func(context.Context, string, ...s3writer.Option) (*s3writer.Writer, error)          = s3writer.New
	_ func(*s3writer.Writer, context.Context, ...s3writer.Table) (*s3writer.Report, error) = (*s3writer.Writer).Write
	_ func(*s3writer.Writer)                                                               = (*s3writer.Writer).CloseIdleConnections
	_ func(aws.CredentialsProvider) s3writer.Option                                        = s3writer.WithCredentials
	_ func(string) s3writer.Option                                                         = s3writer.WithRegion
	_ func(string) s3writer.Option                                                         = s3writer.WithEndpoint
	_ func(aws.Config) s3writer.Option                                                     = s3writer.WithAWSConfig
	_ func(s3writer.Client) s3writer.Option                                                = s3writer.WithClient
	_ func(string) s3writer.Option                                                         = s3writer.WithPrefix
	_ func(...s3writer.Processor) s3writer.Option                                          = s3writer.WithProcessors
	_ func(func(*s3.CreateMultipartUploadInput)) s3writer.Option                           = s3writer.WithObjectInput
	_ func(int64) s3writer.Option                                                          = s3writer.WithMemory
	_ func(bool) s3writer.Option                                                           = s3writer.WithPayloadSigning
	_ func(int64) s3writer.Option                                                          = s3writer.WithPartSize
	_ func(int) s3writer.Option                                                            = s3writer.WithConcurrency
	_ func() s3writer.Option                                                               = s3writer.WithNoOverwrite
	_ func(string) s3writer.Option                                                         = s3writer.WithBucketOwner
	_ func() s3writer.Option                                                               = s3writer.WithAllOrNothing
	_ func() s3writer.Option                                                               = s3writer.WithDryRun
	_ func(*slog.Logger) s3writer.Option                                                   = s3writer.WithLogger
	_ func(func(s3writer.Progress)) s3writer.Option                                        = s3writer.WithProgress
	_ func(accessKeyID, secretAccessKey, sessionToken string) aws.CredentialsProvider      = s3writer.StaticCredentials
)

// Tables and their sources.
var (
	_ func(string, io.Reader, ...s3writer.Processor) s3writer.Table                = s3writer.NewTable
	_ func(fs.FS, string) *s3writer.Source                                         = s3writer.File
	_ func(*sql.Rows) *s3writer.Source                                             = s3writer.Rows
	_ func([]string, iter.Seq2[[]string, error]) *s3writer.Source                  = s3writer.Records
	_ func([]s3writer.Column, iter.Seq2[[]s3writer.Value, error]) *s3writer.Source = s3writer.Values
	_ func(func(context.Context) (io.ReadCloser, error)) *s3writer.Source          = s3writer.SourceFunc
	_ func(string) s3writer.Value                                                  = s3writer.Text
	_ func(s3writer.Value) string                                                  = s3writer.Value.String
	_ func(s3writer.Value) bool                                                    = s3writer.Value.IsNull
	_ func(s3writer.Record, string) string                                         = s3writer.Record.Get
	_ func(s3writer.Record, string) s3writer.Value                                 = s3writer.Record.Value
	_ func(s3writer.Record, int) s3writer.Value                                    = s3writer.Record.Field
	_ func(s3writer.Record) int                                                    = s3writer.Record.Len
	_ func(*s3writer.Batch) []s3writer.Column                                      = (*s3writer.Batch).Columns
	_ func(*s3writer.Batch) int                                                    = (*s3writer.Batch).Len
	_ func(*s3writer.Batch) iter.Seq[s3writer.Record]                              = (*s3writer.Batch).All
	_ func(*s3writer.Emitter, string)                                              = (*s3writer.Emitter).Text
	_ func(*s3writer.Emitter)                                                      = (*s3writer.Emitter).Null
	_ func(*s3writer.Emitter, s3writer.Value)                                      = (*s3writer.Emitter).Value
	_ func(*s3writer.Emitter, s3writer.Record, int)                                = (*s3writer.Emitter).Copy
	_ func(*s3writer.Emitter)                                                      = (*s3writer.Emitter).EndRow
)

// Processors.
var (
	_ func(...string) s3writer.Processor                                                            = s3writer.Select
	_ func(...string) s3writer.Processor                                                            = s3writer.Drop
	_ func(...string) s3writer.Processor                                                            = s3writer.Rename
	_ func(func(s3writer.Record) bool) s3writer.Processor                                           = s3writer.Filter
	_ func(string, func(s3writer.Record) (s3writer.Value, error)) s3writer.Processor                = s3writer.Derive
	_ func(string, s3writer.Type) s3writer.Processor                                                = s3writer.Typed
	_ func(func([]s3writer.Column) (s3writer.RecordStep, error)) s3writer.Processor                 = s3writer.RecordFunc
	_ func(name, value string) s3writer.Processor                                                   = s3writer.AddColumn
	_ func(int64) s3writer.Processor                                                                = s3writer.Limit
	_ func(...s3writer.Processor) s3writer.Processor                                                = s3writer.Chain
	_ func(string) s3writer.Processor                                                               = s3writer.RowNumber
	_ func([]byte, ...string) s3writer.Processor                                                    = s3writer.Hash
	_ func(s3writer.CSV) s3writer.Processor                                                         = s3writer.FormatCSV
	_ func() s3writer.Processor                                                                     = s3writer.JSONLines
	_ func() s3writer.Processor                                                                     = s3writer.Gzip
	_ func(int) s3writer.Processor                                                                  = s3writer.GzipLevel
	_ func() s3writer.Processor                                                                     = s3writer.Zstd
	_ func() s3writer.Processor                                                                     = s3writer.Decompress
	_ func(func(io.Reader) (io.Reader, error)) s3writer.Processor                                   = s3writer.ReaderFunc
	_ func(string, func(io.Writer) (io.WriteCloser, error)) s3writer.Processor                      = s3writer.WriterFunc
	_ func(string, func(io.Writer, []s3writer.Column) (s3writer.Encoder, error)) s3writer.Processor = s3writer.EncoderFunc
	_ func(string, s3writer.Processor) s3writer.Processor                                           = s3writer.Named
	_ func(s3writer.Processor) s3writer.Processor                                                   = s3writer.Concurrent
)

// Interfaces, as they are implemented and as they are asked for.
var (
	_ aws.CredentialsProvider = s3writer.AssumeRole{}
	_ s3writer.Client         = (*s3.Client)(nil)
	_ io.Reader               = (*s3writer.Source)(nil)
	_ error                   = (*s3writer.Error)(nil)
	_ fmt.Stringer            = s3writer.Processor{}
	_ s3writer.Encoder        = interface {
		Encode(*s3writer.Batch) error
		Close() error
	}(nil)
)

// Values that errors.Is finds, and the constants.
var (
	_ = []error{s3writer.ErrAccessDenied, s3writer.ErrCredentials, s3writer.ErrNoSuchBucket, s3writer.ErrExists,
		s3writer.ErrPartialCommit, s3writer.ErrCommitUnknown, s3writer.ErrNothingToWrite}
	_ = []s3writer.State{s3writer.Committed, s3writer.Pending, s3writer.Unknown}
	_ = []s3writer.Type{s3writer.TextType, s3writer.BoolType, s3writer.Int64Type, s3writer.Float64Type,
		s3writer.DecimalType, s3writer.DateType, s3writer.TimestampType, s3writer.BytesType}
	_ = []s3writer.Ragged{s3writer.RaggedError, s3writer.RaggedPad, s3writer.RaggedTrim, s3writer.RaggedPadTrim}
)

// Structs, field by field.
var (
	_ = s3writer.AssumeRole{
		RoleARN: "", AccountID: "", RoleName: "", ExternalID: "", SessionName: "", Duration: time.Duration(0),
		Base: aws.CredentialsProvider(nil), Region: "", Endpoint: "", HTTPClient: aws.HTTPClient(nil),
		SessionPolicy: "", SessionPolicyARNs: []string(nil), SourceIdentity: "", Tags: map[string]string(nil),
	}
	_ = s3writer.Table{
		Key: "", Source: io.Reader(nil), Columns: []string(nil), CSV: s3writer.CSV{}, Processors: []s3writer.Processor(nil),
		ObjectInput: (func(*s3.CreateMultipartUploadInput))(nil),
		OnBadRow:    (func(s3writer.BadRow) error)(nil),
		Accept:      (func(s3writer.TableReport) error)(nil),
	}
	_ = s3writer.CSV{
		Comma: byte(0), Quote: byte(0), Escape: byte(0), NoQuote: false, NoHeader: false, CRLF: false, BOM: false,
		QuoteAll: false, LazyQuotes: false, NullAsEmpty: false, Comment: byte(0), Null: "", Ragged: s3writer.RaggedError,
		SkipLines: int(0), MaxRow: int(0),
	}
	_ = s3writer.BadRow{Row: int64(0), Offset: int64(0), Raw: []byte(nil), Err: error(nil)}
	_ = s3writer.Column{Name: "", Type: s3writer.TextType}
	_ = s3writer.RecordStep{
		Columns: []s3writer.Column(nil),
		Row:     (func(s3writer.Record, *s3writer.Emitter) error)(nil),
		End:     (func(*s3writer.Emitter) error)(nil),
	}
	_ = s3writer.Report{Tables: []s3writer.TableReport(nil), Orphans: []s3writer.Orphan(nil), Duration: time.Duration(0)}
	_ = s3writer.TableReport{
		Key: "", RowsRead: int64(0), RowsWritten: int64(0), RowsFiltered: int64(0), RowsRejected: int64(0),
		BytesRead: int64(0), Objects: []s3writer.Object(nil), Duration: time.Duration(0), Err: error(nil),
	}
	_ = s3writer.Object{
		Key: "", Size: int64(0), Rows: int64(0), ETag: "", VersionID: "", CRC64NVME: "", Parts: int(0),
		Partition: []string(nil), State: s3writer.Committed, Err: error(nil),
	}
	_ = s3writer.Orphan{Key: "", UploadID: "", Err: error(nil)}
	_ = s3writer.Progress{Table: "", Objects: int(0), RowsRead: int64(0), BytesRead: int64(0), BytesSent: int64(0), Done: false}
	_ = s3writer.Error{
		Table: "", Step: int(0), Processor: "", Object: "", UploadID: "", Row: int64(0), Offset: int64(0), Column: "", Err: error(nil),
	}
)
