package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/klauspost/pgzip"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// rivalBuffer is the size of the rivals' bufio buffers. The 4 KiB that
// encoding/csv takes by itself would make a write to an io.Pipe of each.
const rivalBuffer = 64 << 10

// filterSelectCSV is the chain in terms of encoding/csv. The kept columns are
// called names.
func filterSelectCSV(dst io.Writer, src io.Reader, d dataset, names []string) error {
	r := csv.NewReader(bufio.NewReaderSize(src, rivalBuffer))
	r.ReuseRecord = true
	header, err := r.Read()
	if err != nil {
		return err
	}
	filter := slices.Index(header, d.filter)
	keep := make([]int, len(d.keep))
	for i, column := range d.keep {
		keep[i] = slices.Index(header, column)
	}
	if filter < 0 || slices.Contains(keep, -1) {
		return fmt.Errorf("%s: not the columns expected: %q", d.file, header)
	}

	w := csv.NewWriter(bufio.NewWriterSize(dst, rivalBuffer))
	if err := w.Write(names); err != nil {
		return err
	}
	out := make([]string, len(keep))
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			w.Flush()
			return w.Error()
		}
		if err != nil {
			return err
		}
		if record[filter] != d.value {
			continue
		}
		for i, column := range keep {
			out[i] = record[column]
		}
		if err := w.Write(out); err != nil {
			return err
		}
	}
}

func rivalFilterSelect(_ context.Context, s *site) error {
	return filterSelectCSV(s.discard, s.in.open(), s.in.dataset, s.in.dataset.keep)
}

func rivalFilterSelectRename(_ context.Context, s *site) error {
	return filterSelectCSV(s.discard, s.in.open(), s.in.dataset, s.in.dataset.names)
}

// compressor is a gzip writer: the standard library's, or klauspost's parallel one.
type compressor func(io.Writer) io.WriteCloser

func stdGzip(w io.Writer) io.WriteCloser      { return gzip.NewWriter(w) }
func parallelGzip(w io.Writer) io.WriteCloser { return pgzip.NewWriter(w) }

// prepareRemains makes what is left to compress.
func prepareRemains(s *site) (err error) {
	s.remains, err = s.in.remaining()
	return err
}

// rivalGzipAlone compresses what others have to filter first.
func rivalGzipAlone(_ context.Context, s *site) error {
	z := parallelGzip(s.discard)
	if _, err := io.CopyBuffer(z, s.remains.open(), make([]byte, rivalBuffer)); err != nil {
		return err
	}
	return z.Close()
}

// rivalChain runs the chain, compressed or not, in a goroutine and uploads the
// other end of its pipe.
func rivalChain(compress compressor, upload uploader) func(context.Context, *site) error {
	return func(ctx context.Context, s *site) error {
		pr, pw := io.Pipe()
		go func() { pw.CloseWithError(compressedCSV(pw, s, compress)) }()
		err := upload(ctx, s)("table.csv", pr)
		pr.CloseWithError(err) // ends the chain if the upload ended first
		return err
	}
}

func compressedCSV(dst io.Writer, s *site, compress compressor) error {
	if compress == nil {
		return filterSelectCSV(dst, s.in.open(), s.in.dataset, s.in.dataset.keep)
	}
	buffered := bufio.NewWriterSize(dst, rivalBuffer)
	z := compress(buffered)
	if err := filterSelectCSV(z, s.in.open(), s.in.dataset, s.in.dataset.keep); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return buffered.Flush()
}

// uploader makes a rival's uploader for a site: a function that uploads a body
// of unknown length.
type uploader func(context.Context, *site) func(key string, body io.Reader) error

// rivalCopy uploads the site's tables, all at once.
func rivalCopy(upload uploader) func(context.Context, *site) error {
	return func(ctx context.Context, s *site) error {
		put := upload(ctx, s)
		failed := make(chan error)
		for i := range s.tables {
			go func() { failed <- put(fmt.Sprintf("table-%02d.csv", i), s.in.open()) }()
		}
		var errs []error
		for range s.tables {
			errs = append(errs, <-failed)
		}
		return errors.Join(errs...)
	}
}

// rivalFile uploads the input's file, of which a rival may read several places
// at once.
func rivalFile(upload uploader) func(context.Context, *site) error {
	return func(ctx context.Context, s *site) error {
		f, err := os.Open(s.in.file)
		if err != nil {
			return err
		}
		defer f.Close()
		return upload(ctx, s)("table.csv", f)
	}
}

// rivalPool uploads the site's tables with one PutObject each, from so many
// goroutines.
func rivalPool(goroutines int, client func(*site) *s3.Client) func(context.Context, *site) error {
	return func(ctx context.Context, s *site) error {
		c := client(s)
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		numbers := make(chan int)
		var wait sync.WaitGroup
		for range goroutines {
			wait.Go(func() {
				for i := range numbers {
					if err := putTable(ctx, c, fmt.Sprintf("table-%02d.csv", i), s.in.open()); err != nil {
						cancel(err)
					}
				}
			})
		}
		for i := range s.tables {
			numbers <- i
		}
		close(numbers)
		wait.Wait()
		return context.Cause(ctx)
	}
}

// putTable reads the whole table first: PutObject wants to know the length.
func putTable(ctx context.Context, c *s3.Client, key string, table io.Reader) error {
	body, err := io.ReadAll(table)
	if err != nil {
		return err
	}
	_, err = c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: bytes.NewReader(body)})
	return err
}

// persistent retries until it works, with pauses of at most a second: the
// SDK's three attempts do not outlast a storm.
func persistent(o *s3.Options) {
	o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.MaxBackoff, o.RateLimiter = 1000, time.Second, ratelimit.None
	})
}

// withManagerTuned has as many connections as ours and the same memory.
func withManagerTuned(ctx context.Context, s *site) func(string, io.Reader) error {
	//lint:ignore SA1019 as below
	u := manager.NewUploader(s.remoteS3(manyConnections()), func(u *manager.Uploader) {
		u.PartSize, u.Concurrency = tunedPart, tunedParts
	})
	return func(key string, body io.Reader) error {
		//lint:ignore SA1019 as below
		_, err := u.Upload(ctx, &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: body})
		return err
	}
}

// withTransferManagerTuned has them too.
func withTransferManagerTuned(ctx context.Context, s *site) func(string, io.Reader) error {
	c := transfermanager.New(s.remoteS3(manyConnections()), func(o *transfermanager.Options) {
		o.PartSizeBytes, o.Concurrency = tunedPart, tunedParts
	})
	return func(key string, body io.Reader) error {
		_, err := c.UploadObject(ctx, &transfermanager.UploadObjectInput{Bucket: aws.String(bucket), Key: &key, Body: body})
		return err
	}
}

func withManager(ctx context.Context, s *site) func(string, io.Reader) error {
	//lint:ignore SA1019 deprecated, and still what most programs upload with
	u := manager.NewUploader(s.s3())
	return func(key string, body io.Reader) error {
		//lint:ignore SA1019 as above
		_, err := u.Upload(ctx, &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: body})
		return err
	}
}

func withTransferManager(ctx context.Context, s *site) func(string, io.Reader) error {
	c := transfermanager.New(s.s3())
	return func(key string, body io.Reader) error {
		_, err := c.UploadObject(ctx, &transfermanager.UploadObjectInput{Bucket: aws.String(bucket), Key: &key, Body: body})
		return err
	}
}

func withMinIO(opts minio.PutObjectOptions) uploader {
	return withMinIOOver(nil, opts)
}

// withMinIOOver takes nil for minio-go's own transport.
func withMinIOOver(client *http.Client, opts minio.PutObjectOptions) uploader {
	return func(ctx context.Context, s *site) func(string, io.Reader) error {
		o := &minio.Options{Creds: credentials.NewStaticV4(accessKey, secretKey, ""), Region: region, Secure: s.endpoint.secure()}
		if client != nil {
			o.Transport = client.Transport
		}
		c, err := minio.New(s.endpoint.host(), o)
		return func(key string, body io.Reader) error {
			if err != nil {
				return err
			}
			_, err := c.PutObject(ctx, bucket, key, body, -1, opts)
			return err
		}
	}
}
