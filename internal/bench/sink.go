package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

const (
	bucket    = "bench"
	region    = "us-east-1"
	accessKey = "AKIAIOSFODNN7EXAMPLE"
	secretKey = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

	// etag is the answer to every body: nothing is hashed here.
	etag = `"0123456789abcdef0123456789abcdef"`
)

// nullS3 is an S3 that drains what it is sent, counts it and says yes. It is an
// http.RoundTripper for a client in the same process and an http.Handler for
// one in another.
type nullS3 struct {
	received atomic.Int64 // bytes of objects, without the framing of aws-chunked

	// keep, if set, is given the bodies instead of nobody.
	keep func(r *http.Request, body io.Reader) error

	// As a handler:
	delay time.Duration // before each answer
	storm *storm        // refuses requests; may be nil
}

// account returns what came since it was last called. The next request is the
// first one of another storm.
func (s *nullS3) account() account {
	a := account{Bytes: s.received.Swap(0)}
	if s.storm != nil {
		a.Refused = s.storm.end()
	}
	return a
}

// answer drains the request's body and returns the answer's headers and body.
func (s *nullS3) answer(r *http.Request) (http.Header, string, error) {
	if err := s.drain(r); err != nil {
		return nil, "", err
	}
	h := http.Header{"Content-Type": {"application/xml"}}
	query := r.URL.Query()
	switch {
	case query.Has("location"):
		return h, "<LocationConstraint/>", nil
	case r.Method == http.MethodPost && query.Has("uploads"):
		return h, fmt.Sprintf("<InitiateMultipartUploadResult><Bucket>%s</Bucket><Key>%s</Key><UploadId>upload</UploadId></InitiateMultipartUploadResult>", bucket, r.URL.Path), nil
	case r.Method == http.MethodPost:
		return h, fmt.Sprintf("<CompleteMultipartUploadResult><Bucket>%s</Bucket><Key>%s</Key><ETag>%s</ETag>%s</CompleteMultipartUploadResult>",
			bucket, r.URL.Path, etag, completedChecksum(r.Header)), nil
	case r.Method == http.MethodPut:
		h.Set("ETag", etag)
		for name, values := range r.Header {
			if strings.HasPrefix(name, "X-Amz-Checksum-") {
				h[name] = values
			}
		}
	}
	return h, "", nil
}

func completedChecksum(h http.Header) string {
	const name = "X-Amz-Checksum-Crc64nvme"
	if sum := h.Get(name); sum != "" {
		return fmt.Sprintf("<ChecksumCRC64NVME>%s</ChecksumCRC64NVME><ChecksumType>FULL_OBJECT</ChecksumType>", sum)
	}
	return ""
}

func (s *nullS3) drain(r *http.Request) error {
	if r.Body == nil {
		return nil
	}
	defer r.Body.Close()
	if r.Method == http.MethodPut && s.keep != nil {
		return s.keep(r, r.Body)
	}
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil || r.Method != http.MethodPut {
		return err
	}
	if decoded, err := strconv.ParseInt(r.Header.Get("X-Amz-Decoded-Content-Length"), 10, 64); err == nil {
		n = decoded
	}
	s.received.Add(n)
	return nil
}

func (s *nullS3) RoundTrip(r *http.Request) (*http.Response, error) {
	h, body, err := s.answer(r)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusOK, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}, nil
}

func (s *nullS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.storm != nil && !s.storm.admits(time.Now()) {
		time.Sleep(s.delay)
		slowDown(w)
		return
	}
	h, body, err := s.answer(r)
	time.Sleep(s.delay)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for name, values := range h {
		w.Header()[name] = values
	}
	io.WriteString(w, body)
}

// client returns the SDK's own client in front of s, without a network. To the
// SDK it is an https endpoint, so its defaults are those of AWS.
func (s *nullS3) client() *s3.Client {
	return s3.New(s3.Options{
		Region:      region,
		Credentials: credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
		HTTPClient:  &http.Client{Transport: s},
	})
}

// stubClient is a null S3 without the SDK: it reads the bodies and says yes.
// It is what stands for the sink where the figure is about the chain alone.
type stubClient struct {
	received atomic.Int64
	keep     func(key string, part int32, body io.Reader) error
}

func (c *stubClient) drain(key string, part int32, body io.Reader) error {
	if body == nil {
		body = bytes.NewReader(nil)
	}
	if c.keep != nil {
		return c.keep(key, part, body)
	}
	n, err := io.Copy(io.Discard, body)
	c.received.Add(n)
	return err
}

func (c *stubClient) PutObject(_ context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	err := c.drain(*in.Key, 0, in.Body)
	return &s3.PutObjectOutput{ETag: aws.String(etag), ChecksumCRC64NVME: in.ChecksumCRC64NVME}, err
}

func (c *stubClient) CreateMultipartUpload(_ context.Context, in *s3.CreateMultipartUploadInput, _ ...func(*s3.Options)) (*s3.CreateMultipartUploadOutput, error) {
	return &s3.CreateMultipartUploadOutput{Bucket: in.Bucket, Key: in.Key, UploadId: aws.String("upload")}, nil
}

func (c *stubClient) UploadPart(_ context.Context, in *s3.UploadPartInput, _ ...func(*s3.Options)) (*s3.UploadPartOutput, error) {
	err := c.drain(*in.Key, *in.PartNumber, in.Body)
	return &s3.UploadPartOutput{ETag: aws.String(etag), ChecksumCRC64NVME: in.ChecksumCRC64NVME}, err
}

func (c *stubClient) CompleteMultipartUpload(_ context.Context, in *s3.CompleteMultipartUploadInput, _ ...func(*s3.Options)) (*s3.CompleteMultipartUploadOutput, error) {
	return &s3.CompleteMultipartUploadOutput{
		Bucket: in.Bucket, Key: in.Key, ETag: aws.String(etag),
		ChecksumCRC64NVME: in.ChecksumCRC64NVME, ChecksumType: in.ChecksumType,
	}, nil
}

func (c *stubClient) AbortMultipartUpload(context.Context, *s3.AbortMultipartUploadInput, ...func(*s3.Options)) (*s3.AbortMultipartUploadOutput, error) {
	return &s3.AbortMultipartUploadOutput{}, nil
}

func (c *stubClient) GetBucketLocation(context.Context, *s3.GetBucketLocationInput, ...func(*s3.Options)) (*s3.GetBucketLocationOutput, error) {
	return &s3.GetBucketLocationOutput{}, nil
}

func (c *stubClient) HeadBucket(context.Context, *s3.HeadBucketInput, ...func(*s3.Options)) (*s3.HeadBucketOutput, error) {
	return &s3.HeadBucketOutput{BucketRegion: aws.String(region)}, nil
}
