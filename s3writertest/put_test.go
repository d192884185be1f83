package s3writertest_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/seed149ec23d/s3writer/s3writertest"
)

func TestPutChecks(t *testing.T) {
	sum := md5.Sum([]byte("hello"))
	right, wrong := base64.StdEncoding.EncodeToString(sum[:]), base64.StdEncoding.EncodeToString(make([]byte, 16))
	tests := []struct {
		name   string
		change func(*s3.PutObjectInput)
		status int
		code   string
	}{
		{"right MD5", func(in *s3.PutObjectInput) { in.ContentMD5 = &right }, 200, ""},
		{"wrong MD5", func(in *s3.PutObjectInput) { in.ContentMD5 = &wrong }, 400, "BadDigest"},
		{"malformed MD5", func(in *s3.PutObjectInput) { in.ContentMD5 = aws.String("short") }, 400, "InvalidDigest"},
		{"right CRC64NVME", func(in *s3.PutObjectInput) { in.ChecksumCRC64NVME = aws.String(crc("hello")) }, 200, ""},
		{"wrong CRC64NVME", func(in *s3.PutObjectInput) { in.ChecksumCRC64NVME = aws.String(crc("")) }, 400, "BadDigest"},
		{"wrong CRC32", func(in *s3.PutObjectInput) { in.ChecksumCRC32 = aws.String("AAAAAA==") }, 400, "BadDigest"},
		{"wrong CRC32C", func(in *s3.PutObjectInput) { in.ChecksumCRC32C = aws.String("AAAAAA==") }, 400, "BadDigest"},
		{"wrong SHA1", func(in *s3.PutObjectInput) {
			in.ChecksumSHA1 = aws.String(base64.StdEncoding.EncodeToString(make([]byte, 20)))
		}, 400, "BadDigest"},
		{"wrong SHA256", func(in *s3.PutObjectInput) {
			in.ChecksumSHA256 = aws.String(base64.StdEncoding.EncodeToString(make([]byte, 32)))
		}, 400, "BadDigest"},
		{"malformed CRC32", func(in *s3.PutObjectInput) { in.ChecksumCRC32 = aws.String("?") }, 400, "InvalidRequest"},
		{"two checksums", func(in *s3.PutObjectInput) {
			in.ChecksumCRC32, in.ChecksumCRC32C = aws.String("NhCmhg=="), aws.String("mnG7TA==")
		}, 400, "InvalidRequest"},
		{"object exists", func(in *s3.PutObjectInput) { in.Key = aws.String("old"); in.IfNoneMatch = aws.String("*") },
			412, "PreconditionFailed"},
		{"object is another", func(in *s3.PutObjectInput) { in.Key = aws.String("old"); in.IfMatch = aws.String("x") },
			412, "PreconditionFailed"},
		{"object is gone", func(in *s3.PutObjectInput) { in.IfMatch = aws.String("x") }, 404, "NoSuchKey"},
		{"long key", func(in *s3.PutObjectInput) { in.Key = aws.String(strings.Repeat("k", 1025)) }, 400, "KeyTooLongError"},
		{"much metadata", func(in *s3.PutObjectInput) {
			in.Metadata = map[string]string{"m": strings.Repeat("x", 2048)}
		}, 400, "MetadataTooLarge"},
		{"storage class", func(in *s3.PutObjectInput) { in.StorageClass = "ATTIC" }, 400, "InvalidStorageClass"},
		{"encryption", func(in *s3.PutObjectInput) { in.ServerSideEncryption = "ROT13" }, 400, "InvalidArgument"},
		{"ACL", func(in *s3.PutObjectInput) { in.ACL = "everybody" }, 400, "InvalidArgument"},
		{"customer key over http", func(in *s3.PutObjectInput) { in.SSECustomerKeyMD5 = &right }, 400, "InvalidRequest"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(t)
			s.Put(bucket, "old", []byte("old"))
			err := put(client(s), test.change)
			if test.code == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, test.status, test.code)
			s3writertest.AssertNoPartial(t, s, bucket, map[string]string{"old": "old"})
		})
	}
}

func TestPutEchoesChecksum(t *testing.T) {
	s := newServer(t)
	for _, sent := range []*string{aws.String(crc("hello")), nil} { // AWS adds its own
		out, err := client(s).PutObject(context.Background(), &s3.PutObjectInput{
			Bucket: aws.String(bucket), Key: aws.String("k"), Body: strings.NewReader("hello"), ChecksumCRC64NVME: sent,
			ServerSideEncryption: types.ServerSideEncryptionAes256,
		})
		if err != nil || aws.ToString(out.ChecksumCRC64NVME) != crc("hello") || out.ServerSideEncryption != types.ServerSideEncryptionAes256 {
			t.Errorf("got %+v, %v", out, err)
		}
	}
}

// One of many writers who want the key to be free wins.
func TestIfNoneMatchIsAtomic(t *testing.T) {
	s := newServer(t)
	c := client(s)
	const n = 20
	errs := make(chan error, n)
	for range n {
		go func() { errs <- put(c, func(in *s3.PutObjectInput) { in.IfNoneMatch = aws.String("*") }) }()
	}
	won := 0
	for range n {
		if <-errs == nil {
			won++
		}
	}
	if won != 1 {
		t.Errorf("%d writers won", won)
	}
}

func TestCutBodyLeavesNothing(t *testing.T) {
	s := newServer(t)
	for name, length := range map[string]int64{"cut": 10, "without a length": -1} {
		body := io.MultiReader(strings.NewReader("hello"), iotest.ErrReader(io.ErrUnexpectedEOF))
		if length < 0 {
			body = strings.NewReader("hello")
		}
		r, err := http.NewRequest(http.MethodPut, s.URL+"/"+bucket+"/k", body)
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = length
		r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
		creds, _ := s.Config().Credentials.Retrieve(context.Background())
		err = v4.NewSigner().SignHTTP(context.Background(), creds, r, "UNSIGNED-PAYLOAD", "s3", "us-east-1", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		response, err := s.Client().Do(r)
		if err == nil {
			response.Body.Close()
			if response.StatusCode != http.StatusLengthRequired {
				t.Errorf("%s: %s", name, response.Status)
			}
		}
		s.Client().CloseIdleConnections()
	}
	s3writertest.AssertNoPartial(t, s, bucket, nil)
}

// Keys come back as they went, whatever is in them.
func TestKeys(t *testing.T) {
	keys := []string{
		"country=CZ/orders.csv", "a b", "a+b", "100%", "a%2Fb", "!-_.*'()", "&$@=;:,?#", "{}^[]`<>~|\"", "žluť", "😀",
		`a\b`, "/abs", "a//b", "dir/", "./a", "a/../b", "..", "tab\there", strings.Repeat("k", 1024),
	}
	for _, key := range keys {
		t.Run(key[:min(len(key), 30)], func(t *testing.T) {
			s := newServer(t)
			c := client(s)
			if err := put(c, func(in *s3.PutObjectInput) { in.Key = aws.String(key) }); err != nil {
				t.Fatal(err)
			}
			got, err := c.GetObject(context.Background(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(got.Body)
			if string(body) != "hello" || !slices.Equal(s.Keys(bucket), []string{key}) {
				t.Errorf("body %q, keys %q", body, s.Keys(bucket))
			}
		})
	}
}

func TestHeadersComeBack(t *testing.T) {
	s := newServer(t)
	c := client(s)
	err := put(c, func(in *s3.PutObjectInput) {
		in.ContentType, in.ContentEncoding = aws.String("text/csv"), aws.String("gzip")
		in.ContentDisposition, in.ContentLanguage = aws.String("attachment"), aws.String("cs")
		in.CacheControl, in.StorageClass = aws.String("no-cache"), types.StorageClassStandardIa
		in.Tagging, in.Metadata = aws.String("a=b"), map[string]string{"Nonce": "42"}
	})
	if err != nil {
		t.Fatal(err)
	}
	h, err := c.HeadObject(context.Background(), &s3.HeadObjectInput{
		Bucket: aws.String(bucket), Key: aws.String("k"), ChecksumMode: types.ChecksumModeEnabled,
	})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintln(aws.ToInt64(h.ContentLength), *h.ContentType, *h.ContentEncoding, *h.ContentDisposition,
		*h.ContentLanguage, *h.CacheControl, h.StorageClass, h.Metadata, *h.ChecksumCRC64NVME == crc("hello"))
	if want := "5 text/csv gzip attachment cs no-cache STANDARD_IA map[nonce:42] true\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	o, _ := s.Object(bucket, "k")
	if *h.ETag != `"`+o.ETag+`"` {
		t.Errorf("HEAD has the ETag %s, not %q", *h.ETag, o.ETag)
	}
	if o.Header.Get("X-Amz-Tagging") != "a=b" || !maps.Equal(o.Metadata, map[string]string{"nonce": "42"}) {
		t.Errorf("stored %v", o.Header)
	}
}

func TestReads(t *testing.T) {
	s := newServer(t)
	ctx, c := context.Background(), client(s)
	for _, key := range []string{"a/1", "a/2", "b/1", "c"} {
		s.Put(bucket, key, []byte("0123456789"))
	}
	get, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("c"), Range: aws.String("bytes=2-4")})
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(get.Body); string(body) != "234" {
		t.Errorf("range: %q", body)
	}
	var keys, prefixes []string
	pages := s3.NewListObjectsV2Paginator(c, &s3.ListObjectsV2Input{
		Bucket: aws.String(bucket), Delimiter: aws.String("/"), MaxKeys: aws.Int32(1),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			keys = append(keys, *o.Key)
		}
		for _, p := range page.CommonPrefixes {
			prefixes = append(prefixes, *p.Prefix)
		}
	}
	if !slices.Equal(keys, []string{"c"}) || !slices.Equal(prefixes, []string{"a/", "b/"}) {
		t.Errorf("keys %q, prefixes %q", keys, prefixes)
	}
	if _, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String("c")}); err != nil {
		t.Error(err)
	}
	_, err = c.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: aws.String(bucket), Delete: &types.Delete{
		Objects: []types.ObjectIdentifier{{Key: aws.String("a/1")}, {Key: aws.String("a/2")}},
	}})
	if err != nil {
		t.Error(err)
	}
	if got := s.Keys(bucket); !slices.Equal(got, []string{"b/1"}) {
		t.Errorf("left after deletes: %q", got)
	}
	_, err = c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("c")})
	wantError(t, err, 404, "NoSuchKey")
	s.AddKey("AKIAREADER", "secret", s3writertest.Allow{Actions: []string{"s3:GetObject"}, Resources: []string{"*"}})
	_, err = client(s, as("AKIAREADER", "secret", "")).GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("c")})
	wantError(t, err, 403, "AccessDenied") // who may not list may not learn what is missing
	_, err = c.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: aws.String(bucket), Key: aws.String("b/1")})
	wantError(t, err, 501, "NotImplemented")
	if _, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("another")}); err != nil {
		t.Error(err)
	}
	if list, err := c.ListBuckets(ctx, &s3.ListBucketsInput{}); err != nil || len(list.Buckets) != 2 {
		t.Errorf("buckets %+v, %v", list, err)
	}
	if _, err := c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String("another")}); err != nil {
		t.Error(err)
	}
}

func TestDiscard(t *testing.T) {
	s := newServer(t)
	s.SetDiscard(true)
	c := client(s)
	body := bytes.Repeat([]byte("x"), 1<<20)
	sum := aws.String(crc(string(body)))
	err := put(c, func(in *s3.PutObjectInput) { in.Body, in.ChecksumCRC64NVME = bytes.NewReader(body), sum })
	if err != nil {
		t.Fatal(err)
	}
	o, ok := s.Object(bucket, "k")
	if !ok || o.Body != nil || o.Size != 1<<20 || o.CRC64NVME != *sum {
		t.Errorf("%d bytes, size %d, CRC %s", len(o.Body), o.Size, o.CRC64NVME)
	}
	_, err = c.GetObject(context.Background(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("k")})
	wantError(t, err, 403, "InvalidObjectState")
}
