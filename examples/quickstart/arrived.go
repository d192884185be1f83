package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/klauspost/compress/zstd"
	"github.com/minio/crc64nvme"

	"github.com/seed149ec23d/s3writer"
)

// readBack reads every object of the report and shows it.
func readBack(ctx context.Context, w io.Writer, t *target, report *s3writer.Report) error {
	client, err := t.client(ctx)
	if err != nil {
		return err
	}
	for _, table := range report.Tables {
		for _, o := range table.Objects {
			body, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(t.bucket), Key: aws.String(o.Key)})
			if denied(err) {
				fmt.Fprintf(w, "%s: %s, %d rows, CRC-64/NVME %s\n  not read back: these credentials may write and not read, which is all a delivery needs\n",
					o.Key, byteSize(o.Size), o.Rows, o.CRC64NVME)
				continue
			}
			if err != nil {
				return err
			}
			got, err := read(body.Body, o.Key)
			body.Body.Close()
			if err != nil {
				return fmt.Errorf("reading back %s: %w", o.Key, err)
			}
			if err := got.show(w, o); err != nil {
				return err
			}
		}
	}
	return nil
}

func denied(err error) bool {
	var answer smithy.APIError
	return errors.As(err, &answer) && answer.ErrorCode() == "AccessDenied"
}

// arrived is what an object turned out to be.
type arrived struct {
	size, rows int64
	checksum   string // CRC-64/NVME of what is stored, as S3 writes it
	head       []string
}

const headLines = 3

// read reads an object to its end, decompressed by its extension.
func read(body io.Reader, key string) (*arrived, error) {
	a := &arrived{}
	crc := crc64nvme.New()
	counted := io.TeeReader(body, io.MultiWriter(crc, (*byteCount)(&a.size)))
	lines, err := decompress(counted, path.Ext(key))
	if err != nil {
		return nil, err
	}
	if err := a.count(lines, strings.Contains(path.Base(key), ".jsonl")); err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, counted); err != nil {
		return nil, err
	}
	a.checksum = base64.StdEncoding.EncodeToString(crc.Sum(nil))
	return a, nil
}

func decompress(r io.Reader, ext string) (io.Reader, error) {
	switch ext {
	case ".gz":
		return gzip.NewReader(r)
	case ".zst":
		return zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
	}
	return r, nil
}

// count counts the rows and keeps the first lines. A line end inside quotes is
// no end of a row of CSV; JSON Lines has none.
func (a *arrived) count(r io.Reader, jsonLines bool) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	quotes := 0
	for {
		line, err := lines.ReadSlice('\n')
		if len(a.head) < headLines && len(line) > 0 {
			a.head = append(a.head, fmt.Sprintf("%.110s", bytes.TrimRight(line, "\r\n")))
		}
		quotes += bytes.Count(line, []byte{'"'})
		if err == nil && (jsonLines || quotes%2 == 0) {
			a.rows++
		}
		switch err {
		case nil, bufio.ErrBufferFull:
		case io.EOF:
			if !jsonLines {
				a.rows-- // the header
			}
			return nil
		default:
			return err
		}
	}
}

// show prints an object, and fails if it is not what the report says.
func (a *arrived) show(w io.Writer, o s3writer.Object) error {
	if a.size != o.Size || a.rows != o.Rows || a.checksum != o.CRC64NVME {
		return fmt.Errorf("%s arrived with %d bytes, %d rows, CRC-64/NVME %s; the report says %d, %d, %s",
			o.Key, a.size, a.rows, a.checksum, o.Size, o.Rows, o.CRC64NVME)
	}
	fmt.Fprintf(w, "%s: %s, %d rows, CRC-64/NVME %s as reported\n", o.Key, byteSize(a.size), a.rows, a.checksum)
	for _, line := range a.head {
		fmt.Fprintf(w, "  %s\n", line)
	}
	return nil
}

// byteCount counts what is written to it.
type byteCount int64

func (c *byteCount) Write(p []byte) (int, error) {
	*c += byteCount(len(p))
	return len(p), nil
}
