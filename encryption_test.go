package s3writer_test

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

// customerKey is SSE-C's: the server keeps none of it.
var customerKey = base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))

func withCustomerKey(in *s3.CreateMultipartUploadInput) {
	raw, _ := base64.StdEncoding.DecodeString(customerKey)
	sum := md5.Sum(raw)
	in.SSECustomerAlgorithm, in.SSECustomerKey = aws.String("AES256"), &customerKey
	in.SSECustomerKeyMD5 = aws.String(base64.StdEncoding.EncodeToString(sum[:]))
}

// operations are those of a delivery with a small object, a large one, one that
// fails, and one whose commit is lost.
var operations = []string{"PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload", "HeadObject"}

// TestHeadersOfEachRequest carries what an object is created with to every later
// request that needs it, and to no other.
func TestHeadersOfEachRequest(t *testing.T) {
	created := []string{"PutObject", "CreateMultipartUpload"}
	notAborting := []string{"PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "HeadObject"}
	const sse = "X-Amz-Server-Side-Encryption"
	for _, test := range []struct {
		name   string
		opts   []s3writer.Option
		header string
		value  string // "": any
		on     []string
	}{
		{"SSE-C, algorithm", []s3writer.Option{s3writer.WithObjectInput(withCustomerKey)}, sse + "-Customer-Algorithm", "AES256", notAborting},
		{"SSE-C, key", []s3writer.Option{s3writer.WithObjectInput(withCustomerKey)}, sse + "-Customer-Key", customerKey, notAborting},
		{"SSE-C, sum", []s3writer.Option{s3writer.WithObjectInput(withCustomerKey)}, sse + "-Customer-Key-Md5", "", notAborting},
		{"KMS, algorithm", []s3writer.Option{kms}, sse, "aws:kms", created},
		{"KMS, key", []s3writer.Option{kms}, sse + "-Aws-Kms-Key-Id", "arn:aws:kms:eu-central-1:123456789012:key/k", created},
		{"KMS, context", []s3writer.Option{kms}, sse + "-Context", "e30=", created},
		{"KMS, bucket key", []s3writer.Option{kms}, sse + "-Bucket-Key-Enabled", "true", created},
		{"requester pays", []s3writer.Option{s3writer.WithObjectInput(func(in *s3.CreateMultipartUploadInput) {
			in.RequestPayer = types.RequestPayerRequester
		})}, "X-Amz-Request-Payer", "requester", operations},
		{"bucket owner", []s3writer.Option{s3writer.WithBucketOwner(s3writertest.DefaultOwner)},
			"X-Amz-Expected-Bucket-Owner", s3writertest.DefaultOwner, operations},
		{"no overwrite", []s3writer.Option{s3writer.WithNoOverwrite()}, "If-None-Match", "*", []string{"PutObject", "CompleteMultipartUpload"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := s3writertest.NewTLSServer(bucket)
			defer srv.Close()
			var log bytes.Buffer
			opts := append(test.opts, s3writer.WithAWSConfig(srv.Config()), s3writer.WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
			w := mustNew(t, opts...)
			report := write(t, w, csv("small.csv", pattern(small)), csv("large.csv", pattern(large)))
			srv.Fail(s3writertest.Fault{Op: "UploadPart", N: 1, Status: http.StatusForbidden})
			failed, err := w.Write(t.Context(), csv("fails.csv", pattern(large)))
			if err == nil {
				t.Error("the table with the refused part was delivered")
			}
			srv.Fail(s3writertest.Fault{Op: "CompleteMultipartUpload", N: 1, When: s3writertest.After, Cut: true})
			srv.Fail(s3writertest.Fault{Op: "CompleteMultipartUpload", N: 2, Times: 1, Status: http.StatusForbidden})
			unknown, lost := w.Write(t.Context(), csv("lost.csv", pattern(large)))

			seen := map[string]bool{}
			for _, r := range srv.Requests() {
				seen[r.Op] = true
				value, has := r.Header.Get(test.header), r.Header.Get(test.header) != ""
				want := false
				for _, op := range test.on {
					want = want || op == r.Op
				}
				if has != want || want && test.value != "" && value != test.value {
					t.Errorf("%s has %s: %q", r.Op, test.header, value)
				}
			}
			for _, op := range operations {
				if !seen[op] {
					t.Errorf("no %s was sent", op)
				}
			}
			for _, said := range []string{fmt.Sprintf("%+v %#v", report, report), fmt.Sprintf("%+v %v", failed, err),
				fmt.Sprintf("%+v %v", unknown, lost), fmt.Sprintf("%+v %#v", w, w), log.String()} {
				if strings.Contains(said, customerKey) || strings.Contains(said, "0123456789abcdef") {
					t.Errorf("the key is in %s", said)
				}
			}
		})
	}
}

var kms = s3writer.WithObjectInput(func(in *s3.CreateMultipartUploadInput) {
	in.ServerSideEncryption, in.BucketKeyEnabled = types.ServerSideEncryptionAwsKms, aws.Bool(true)
	in.SSEKMSKeyId, in.SSEKMSEncryptionContext = aws.String("arn:aws:kms:eu-central-1:123456789012:key/k"), aws.String("e30=")
})

// TestCustomerKeyIsNoPartOfErrors, whatever the server says.
func TestCustomerKeyIsNoPartOfErrors(t *testing.T) {
	for _, size := range []int{small, large} {
		for _, op := range []string{"PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"} {
			srv := s3writertest.NewTLSServer(bucket)
			srv.Fail(s3writertest.Fault{Op: op, Status: http.StatusForbidden})
			w := mustNew(t, s3writer.WithAWSConfig(srv.Config()), s3writer.WithObjectInput(withCustomerKey))
			report, err := w.Write(t.Context(), csv("t.csv", pattern(size)))
			if said := fmt.Sprintf("%v %+v %#v %+v", err, err, err, report); strings.Contains(said, customerKey) {
				t.Errorf("%s: the key is in %s", op, said)
			}
			srv.Close()
		}
	}
}
