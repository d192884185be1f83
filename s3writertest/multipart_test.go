package s3writertest_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/crc64nvme"

	"github.com/seed149ec23d/s3writer/s3writertest"
)

func crc(body string) string {
	b := binary.BigEndian.AppendUint64(nil, crc64nvme.Checksum([]byte(body)))
	return base64.StdEncoding.EncodeToString(b)
}

// delivery is a multipart upload as the library makes it; the tests break it in one place each.
type delivery struct {
	create   s3.CreateMultipartUploadInput
	parts    []s3.UploadPartInput
	complete s3.CompleteMultipartUploadInput
}

const partSize = 1 << 10

func bodies() []string {
	return []string{strings.Repeat("a", partSize), strings.Repeat("b", partSize), "tail"}
}

// newDelivery is three parts with CRC-64/NVME checksums, which a server with a part size of 1 KiB takes.
func newDelivery(key string) *delivery {
	d := &delivery{create: s3.CreateMultipartUploadInput{
		Bucket: aws.String(bucket), Key: aws.String(key),
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc64nvme, ChecksumType: types.ChecksumTypeFullObject,
	}}
	for i, body := range bodies() {
		d.parts = append(d.parts, s3.UploadPartInput{
			Bucket: aws.String(bucket), Key: aws.String(key), PartNumber: aws.Int32(int32(i + 1)),
			Body: strings.NewReader(body), ChecksumCRC64NVME: aws.String(crc(body)),
		})
	}
	whole := strings.Join(bodies(), "")
	d.complete = s3.CompleteMultipartUploadInput{
		Bucket: aws.String(bucket), Key: aws.String(key), MultipartUpload: &types.CompletedMultipartUpload{},
		ChecksumCRC64NVME: aws.String(crc(whole)), ChecksumType: types.ChecksumTypeFullObject,
		MpuObjectSize: aws.Int64(int64(len(whole))),
	}
	return d
}

// upload does all but the last request, and fills in what that needs.
func (d *delivery) upload(c *s3.Client) error {
	ctx := context.Background()
	created, err := c.CreateMultipartUpload(ctx, &d.create)
	if err != nil {
		return err
	}
	d.complete.UploadId = created.UploadId
	for _, in := range d.parts {
		in.UploadId = created.UploadId
		out, err := c.UploadPart(ctx, &in)
		if err != nil {
			return err
		}
		d.complete.MultipartUpload.Parts = append(d.complete.MultipartUpload.Parts, types.CompletedPart{
			PartNumber: in.PartNumber, ETag: out.ETag, ChecksumCRC32: out.ChecksumCRC32,
			ChecksumCRC64NVME: out.ChecksumCRC64NVME, ChecksumSHA256: out.ChecksumSHA256,
		})
	}
	return nil
}

func (d *delivery) finish(c *s3.Client) (*s3.CompleteMultipartUploadOutput, error) {
	return c.CompleteMultipartUpload(context.Background(), &d.complete)
}

func newSmallPartServer(t *testing.T) *s3writertest.Server {
	t.Helper()
	s := newServer(t)
	s.SetMinPartSize(partSize)
	return s
}

func TestMultipart(t *testing.T) {
	s := newSmallPartServer(t)
	c := client(s)
	d := newDelivery("big.csv")
	d.create.ContentType = aws.String("text/csv")
	if err := d.upload(c); err != nil {
		t.Fatal(err)
	}
	if got := s.Uploads(bucket); len(got) != 1 || got[0].Key != "big.csv" || got[0].Parts != 3 || got[0].Size != 2*partSize+4 {
		t.Errorf("open uploads: %+v", got)
	}
	if keys := s.Keys(bucket); len(keys) != 0 {
		t.Errorf("visible before it is complete: %q", keys)
	}
	done, err := d.finish(c)
	if err != nil {
		t.Fatal(err)
	}
	whole := strings.Join(bodies(), "")
	if etag := aws.ToString(done.ETag); !strings.HasSuffix(etag, `-3"`) || aws.ToString(done.ChecksumCRC64NVME) != crc(whole) {
		t.Errorf("completed with ETag %s, CRC %s", etag, aws.ToString(done.ChecksumCRC64NVME))
	}
	o, _ := s.Object(bucket, "big.csv")
	if string(o.Body) != whole || !slices.Equal(o.Parts, []int64{partSize, partSize, 4}) || o.CRC64NVME != crc(whole) || o.ContentType != "text/csv" {
		t.Errorf("object of %d bytes in parts %v, CRC %s, %s", o.Size, o.Parts, o.CRC64NVME, o.ContentType)
	}
	s3writertest.AssertNoOrphans(t, s, bucket)
	s3writertest.AssertNoPartial(t, s, bucket, map[string]string{"big.csv": whole})

	again, err := d.finish(c)
	if err != nil || aws.ToString(again.ETag) != aws.ToString(done.ETag) {
		t.Errorf("a repeated Complete: %v", err)
	}
	s.SetIdempotentComplete(false)
	_, err = d.finish(c)
	wantError(t, err, 404, "NoSuchUpload")
}

func TestMultipartRefusals(t *testing.T) {
	parts := func(d *delivery) []types.CompletedPart { return d.complete.MultipartUpload.Parts }
	tests := []struct {
		name    string
		before  func(*s3writertest.Server, *delivery) // breaks the upload
		between func(*delivery)                       // breaks CompleteMultipartUpload
		status  int
		code    string
	}{
		{name: "part number 10001", before: func(_ *s3writertest.Server, d *delivery) {
			d.parts[0].PartNumber = aws.Int32(10001)
		}, status: 400, code: "InvalidArgument"},
		{name: "part with a wrong checksum", before: func(_ *s3writertest.Server, d *delivery) {
			d.parts[1].ChecksumCRC64NVME = aws.String(crc("something else"))
		}, status: 400, code: "BadDigest"},
		{name: "part with another kind of checksum", before: func(_ *s3writertest.Server, d *delivery) {
			d.parts[1].ChecksumCRC64NVME = nil
			d.parts[1].ChecksumCRC32 = aws.String("AAAAAA==")
		}, status: 400, code: "InvalidRequest"},
		{name: "part without a checksum", before: func(_ *s3writertest.Server, d *delivery) {
			d.parts[1].ChecksumCRC64NVME = nil
		}, status: 400, code: "InvalidRequest"},
		{name: "unknown checksum algorithm", before: func(_ *s3writertest.Server, d *delivery) {
			d.create.ChecksumAlgorithm = "ADLER"
		}, status: 400, code: "InvalidRequest"},
		{name: "full object with SHA-256", before: func(_ *s3writertest.Server, d *delivery) {
			d.create.ChecksumAlgorithm = types.ChecksumAlgorithmSha256
		}, status: 400, code: "InvalidRequest"},
		{name: "composite with CRC-64/NVME", before: func(_ *s3writertest.Server, d *delivery) {
			d.create.ChecksumType = types.ChecksumTypeComposite
		}, status: 400, code: "InvalidRequest"},
		{name: "type without algorithm", before: func(_ *s3writertest.Server, d *delivery) {
			d.create.ChecksumAlgorithm = ""
		}, status: 400, code: "InvalidRequest"},
		{name: "part below the least size", before: func(s *s3writertest.Server, _ *delivery) {
			s.SetMinPartSize(partSize + 1)
		}, status: 400, code: "EntityTooSmall"},
		{name: "object exists", before: func(s *s3writertest.Server, d *delivery) {
			s.Put(bucket, "k", []byte("old"))
			d.complete.IfNoneMatch = aws.String("*")
		}, status: 412, code: "PreconditionFailed"},
		{name: "part that was not uploaded", between: func(d *delivery) {
			parts(d)[2].PartNumber = aws.Int32(4)
		}, status: 400, code: "InvalidPart"},
		{name: "wrong ETag", between: func(d *delivery) {
			parts(d)[0].ETag = parts(d)[1].ETag
		}, status: 400, code: "InvalidPart"},
		{name: "wrong listed checksum", between: func(d *delivery) {
			parts(d)[0].ChecksumCRC64NVME = parts(d)[1].ChecksumCRC64NVME
		}, status: 400, code: "InvalidPart"},
		{name: "listed checksum of another kind", between: func(d *delivery) {
			parts(d)[0].ChecksumCRC32 = aws.String("AAAAAA==")
		}, status: 400, code: "InvalidPart"},
		{name: "no listed checksum", between: func(d *delivery) {
			parts(d)[0].ChecksumCRC64NVME = nil
		}, status: 400, code: "InvalidRequest"},
		{name: "descending order", between: func(d *delivery) {
			slices.Reverse(parts(d))
		}, status: 400, code: "InvalidPartOrder"},
		{name: "a part listed twice", between: func(d *delivery) {
			d.complete.MultipartUpload.Parts = append(parts(d), parts(d)[2])
		}, status: 400, code: "InvalidPartOrder"},
		{name: "no parts", between: func(d *delivery) {
			d.complete.MultipartUpload.Parts = nil
		}, status: 400, code: "MalformedXML"},
		{name: "wrong checksum of the object", between: func(d *delivery) {
			d.complete.ChecksumCRC64NVME = aws.String(crc("something else"))
		}, status: 400, code: "BadDigest"},
		{name: "wrong checksum type", between: func(d *delivery) {
			d.complete.ChecksumType = types.ChecksumTypeComposite
		}, status: 400, code: "InvalidRequest"},
		{name: "wrong size of the object", between: func(d *delivery) {
			d.complete.MpuObjectSize = aws.Int64(1)
		}, status: 400, code: "InvalidRequest"},
		{name: "unknown upload", between: func(d *delivery) {
			d.complete.UploadId = aws.String("nobody")
		}, status: 404, code: "NoSuchUpload"},
		{name: "upload of another key", between: func(d *delivery) {
			d.complete.Key = aws.String("other")
		}, status: 404, code: "NoSuchUpload"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSmallPartServer(t)
			c := client(s)
			d := newDelivery("k")
			if test.before != nil {
				test.before(s, d)
			}
			err := d.upload(c)
			if err == nil {
				if test.between != nil {
					test.between(d)
				}
				_, err = d.finish(c)
			}
			wantError(t, err, test.status, test.code)
			s3writertest.AssertNoPartial(t, s, bucket, map[string]string{"k": "old"})
			if open := s.Uploads(bucket); len(open) > 1 || test.between != nil && len(open) != 1 {
				t.Errorf("a refused request ended the upload: %+v", open)
			}
		})
	}
}

func TestCompositeChecksum(t *testing.T) {
	s := newSmallPartServer(t)
	c := client(s)
	d := newDelivery("k")
	d.create.ChecksumAlgorithm, d.create.ChecksumType = types.ChecksumAlgorithmSha256, types.ChecksumTypeComposite
	for i := range d.parts {
		d.parts[i].ChecksumCRC64NVME = nil
		d.parts[i].ChecksumAlgorithm = types.ChecksumAlgorithmSha256
	}
	d.complete.ChecksumCRC64NVME, d.complete.ChecksumType = nil, types.ChecksumTypeComposite
	if err := d.upload(c); err != nil {
		t.Fatal(err)
	}
	done, err := d.finish(c)
	if err != nil || !strings.HasSuffix(aws.ToString(done.ChecksumSHA256), "-3") {
		t.Errorf("composite checksum %v, %v", aws.ToString(done.ChecksumSHA256), err)
	}
}

// The SDK's own defaults: no algorithm named on Create, CRC-32 on the parts, none in the list.
func TestDefaultChecksums(t *testing.T) {
	s := newSmallPartServer(t)
	c := client(s, func(o *s3.Options) { o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenSupported })
	d := newDelivery("k")
	d.create.ChecksumAlgorithm, d.create.ChecksumType = "", ""
	d.complete.ChecksumCRC64NVME, d.complete.ChecksumType = nil, ""
	for i := range d.parts {
		d.parts[i].ChecksumCRC64NVME = nil
	}
	if err := d.upload(c); err != nil {
		t.Fatal(err)
	}
	for i := range d.complete.MultipartUpload.Parts {
		d.complete.MultipartUpload.Parts[i].ChecksumCRC32 = nil
	}
	if _, err := d.finish(c); err != nil {
		t.Fatal(err)
	}
}

func TestFullObjectCRC32(t *testing.T) {
	s := newSmallPartServer(t)
	c := client(s)
	d := newDelivery("k")
	d.create.ChecksumAlgorithm = types.ChecksumAlgorithmCrc32
	for i := range d.parts {
		d.parts[i].ChecksumCRC64NVME = nil
		d.parts[i].ChecksumAlgorithm = types.ChecksumAlgorithmCrc32
	}
	d.complete.ChecksumCRC64NVME = nil
	if err := d.upload(c); err != nil {
		t.Fatal(err)
	}
	done, err := d.finish(c)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.GetObject(context.Background(), &s3.GetObjectInput{
		Bucket: aws.String(bucket), Key: aws.String("k"), ChecksumMode: types.ChecksumModeEnabled,
	})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(got.Body) // the SDK compares the checksum
	if err != nil || string(body) != strings.Join(bodies(), "") || aws.ToString(got.ChecksumCRC32) != aws.ToString(done.ChecksumCRC32) {
		t.Errorf("read back %d bytes, CRC %q: %v", len(body), aws.ToString(got.ChecksumCRC32), err)
	}
}

func TestCustomerKeyOnEveryPart(t *testing.T) {
	s := s3writertest.NewTLSServer(bucket)
	defer s.Close()
	s.SetMinPartSize(partSize)
	c := client(s)
	key, sum := []byte(strings.Repeat("k", 32)), md5.Sum([]byte(strings.Repeat("k", 32)))
	algorithm := aws.String("AES256")
	encoded, encodedSum := aws.String(base64.StdEncoding.EncodeToString(key)), aws.String(base64.StdEncoding.EncodeToString(sum[:]))

	d := newDelivery("k")
	d.create.SSECustomerAlgorithm, d.create.SSECustomerKey, d.create.SSECustomerKeyMD5 = algorithm, encoded, encodedSum
	wantError(t, d.upload(c), 400, "InvalidRequest")

	for i := range d.parts {
		p := &d.parts[i]
		p.SSECustomerAlgorithm, p.SSECustomerKey, p.SSECustomerKeyMD5 = algorithm, encoded, encodedSum
		p.Body = strings.NewReader(bodies()[i])
	}
	if err := d.upload(c); err != nil {
		t.Fatal(err)
	}
	_, err := d.finish(c)
	wantError(t, err, 400, "InvalidRequest")
	d.complete.SSECustomerAlgorithm, d.complete.SSECustomerKey, d.complete.SSECustomerKeyMD5 = algorithm, encoded, encodedSum
	if _, err := d.finish(c); err != nil {
		t.Fatal(err)
	}
}

func TestAbort(t *testing.T) {
	s := newSmallPartServer(t)
	c := client(s)
	d := newDelivery("k")
	if err := d.upload(c); err != nil {
		t.Fatal(err)
	}
	abort := &s3.AbortMultipartUploadInput{Bucket: aws.String(bucket), Key: aws.String("k"), UploadId: d.complete.UploadId}
	if _, err := c.AbortMultipartUpload(context.Background(), abort); err != nil {
		t.Fatal(err)
	}
	s3writertest.AssertNoOrphans(t, s, bucket)
	_, err := d.finish(c)
	wantError(t, err, 404, "NoSuchUpload")
	_, err = c.AbortMultipartUpload(context.Background(), abort)
	wantError(t, err, 404, "NoSuchUpload")
}

// A deliberately wrong digest tells whether an upload lives, without changing it.
func TestWrongDigestProbesUpload(t *testing.T) {
	s := newSmallPartServer(t)
	c := client(s)
	d := newDelivery("k")
	if err := d.upload(c); err != nil {
		t.Fatal(err)
	}
	probe := s3.UploadPartInput{
		Bucket: aws.String(bucket), Key: aws.String("k"), UploadId: d.complete.UploadId, PartNumber: aws.Int32(1),
		Body: bytes.NewReader([]byte("x")), ChecksumCRC64NVME: aws.String(crc("y")),
	}
	_, err := c.UploadPart(context.Background(), &probe)
	wantError(t, err, 400, "BadDigest")
	probe.UploadId = aws.String("gone")
	_, err = c.UploadPart(context.Background(), &probe)
	wantError(t, err, 404, "NoSuchUpload")
	if _, err := d.finish(c); err != nil {
		t.Errorf("after the probe: %v", err)
	}
}

func TestListings(t *testing.T) {
	s := newSmallPartServer(t)
	c := client(s)
	d := newDelivery("in/progress")
	if err := d.upload(c); err != nil {
		t.Fatal(err)
	}
	uploads, err := c.ListMultipartUploads(context.Background(), &s3.ListMultipartUploadsInput{Bucket: aws.String(bucket)})
	if err != nil || len(uploads.Uploads) != 1 || aws.ToString(uploads.Uploads[0].Key) != "in/progress" {
		t.Errorf("uploads %+v: %v", uploads, err)
	}
	parts, err := c.ListParts(context.Background(), &s3.ListPartsInput{
		Bucket: aws.String(bucket), Key: aws.String("in/progress"), UploadId: d.complete.UploadId,
	})
	if err != nil || len(parts.Parts) != 3 || aws.ToInt64(parts.Parts[2].Size) != 4 {
		t.Errorf("parts %+v: %v", parts, err)
	}
}

func TestConcurrentParts(t *testing.T) {
	s := newSmallPartServer(t)
	c := client(s)
	created, err := c.CreateMultipartUpload(context.Background(), &s3.CreateMultipartUploadInput{
		Bucket: aws.String(bucket), Key: aws.String("k"),
	})
	if err != nil {
		t.Fatal(err)
	}
	const n = 20
	list := make([]types.CompletedPart, n)
	errs := make(chan error, n)
	for i := range n {
		go func() {
			body := strings.Repeat(fmt.Sprint(i%10), partSize)
			out, err := c.UploadPart(context.Background(), &s3.UploadPartInput{
				Bucket: aws.String(bucket), Key: aws.String("k"), UploadId: created.UploadId,
				PartNumber: aws.Int32(int32(i + 1)), Body: strings.NewReader(body),
			})
			if err == nil {
				list[i] = types.CompletedPart{PartNumber: aws.Int32(int32(i + 1)), ETag: out.ETag}
			}
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	_, err = c.CompleteMultipartUpload(context.Background(), &s3.CompleteMultipartUploadInput{
		Bucket: aws.String(bucket), Key: aws.String("k"), UploadId: created.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: list},
	})
	if err != nil {
		t.Fatal(err)
	}
	if o, _ := s.Object(bucket, "k"); o.CRC64NVME != crc(string(o.Body)) || len(o.Parts) != n {
		t.Errorf("combined CRC %s of %d parts, want %s", o.CRC64NVME, len(o.Parts), crc(string(o.Body)))
	}
}
