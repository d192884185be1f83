package s3writertest_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"go.uber.org/goleak"

	"github.com/seed149ec23d/s3writer/s3writertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const bucket = "writer-sample"

func newServer(t *testing.T) *s3writertest.Server {
	t.Helper()
	s := s3writertest.NewServer(bucket)
	t.Cleanup(s.Close)
	return s
}

func client(s *s3writertest.Server, optFns ...func(*s3.Options)) *s3.Client {
	return s3.NewFromConfig(s.Config(), append([]func(*s3.Options){func(o *s3.Options) {
		o.UsePathStyle = true
		o.RetryMaxAttempts = 1
	}}, optFns...)...)
}

// retryAtOnce allows a second attempt, and takes no time before it.
func retryAtOnce(o *s3.Options) {
	o.RetryMaxAttempts = 2
	o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
		o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
	})
}

func TestPutGet(t *testing.T) {
	for _, start := range []func(...string) *s3writertest.Server{s3writertest.NewServer, s3writertest.NewTLSServer} {
		s := start(bucket)
		defer s.Close()
		ctx, c := context.Background(), client(s)
		_, err := c.PutObject(ctx, &s3.PutObjectInput{
			Bucket: aws.String(bucket), Key: aws.String("a/b c+č&=.csv"), Body: bytes.NewReader([]byte("id\n1\n")),
			ContentType: aws.String("text/csv"), Metadata: map[string]string{"nonce": "x"},
		})
		if err != nil {
			t.Fatal(err)
		}
		o, ok := s.Object(bucket, "a/b c+č&=.csv")
		if !ok || string(o.Body) != "id\n1\n" || o.ContentType != "text/csv" || o.Metadata["nonce"] != "x" {
			t.Errorf("got %+v, %v", o, ok)
		}
	}
}

// wantError checks what an SDK client was refused with.
func wantError(t *testing.T, err error, status int, code string) {
	t.Helper()
	var api smithy.APIError
	var response *smithyhttp.ResponseError
	if !errors.As(err, &api) || !errors.As(err, &response) {
		t.Fatalf("got %v, want %d %s", err, status, code)
	}
	if api.ErrorCode() != code || response.HTTPStatusCode() != status {
		t.Errorf("got %d %s (%s), want %d %s", response.HTTPStatusCode(), api.ErrorCode(), api.ErrorMessage(), status, code)
	}
}
