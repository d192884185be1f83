package s3writer_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed149ec23d/s3writer"
)

// anywhere is every S3 at once: it takes what is sent to any host, and notes it.
type anywhere struct {
	mu   sync.Mutex
	sent []*http.Request
	size []int64
}

func (a *anywhere) Do(r *http.Request) (*http.Response, error) {
	var n int64
	if r.Body != nil {
		var err error
		if n, err = io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sent, a.size = append(a.sent, r), append(a.size, n)
	answer := ""
	switch a.operation(r) {
	case "CreateMultipartUpload":
		answer = "<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>"
	case "CompleteMultipartUpload":
		answer = "<CompleteMultipartUploadResult><ETag>&quot;e-2&quot;</ETag></CompleteMultipartUploadResult>"
	case "GetBucketLocation":
		answer = "<LocationConstraint>eu-north-1</LocationConstraint>"
	}
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Etag": {`"e"`}}, Body: io.NopCloser(strings.NewReader(answer)), ContentLength: int64(len(answer)),
	}, nil
}

func (*anywhere) operation(r *http.Request) string {
	query := r.URL.Query()
	switch {
	case query.Has("location"):
		return "GetBucketLocation"
	case query.Has("uploads"):
		return "CreateMultipartUpload"
	case query.Has("partNumber"):
		return "UploadPart"
	case query.Has("uploadId") && r.Method == http.MethodDelete:
		return "AbortMultipartUpload"
	case query.Has("uploadId"):
		return "CompleteMultipartUpload"
	}
	return "PutObject"
}

// of are the requests of an operation, in the order in which they ended.
func (a *anywhere) of(op string) (requests []*http.Request) {
	for _, r := range a.sent {
		if a.operation(r) == op {
			requests = append(requests, r)
		}
	}
	return requests
}

// parts are the sizes of the parts that were sent, largest first.
func (a *anywhere) parts() (sizes []int64) {
	for i, r := range a.sent {
		if a.operation(r) == "UploadPart" {
			sizes = append(sizes, a.size[i]>>20)
		}
	}
	slices.Sort(sizes)
	slices.Reverse(sizes)
	return sizes
}

// config is one for clients whose requests go to a.
func (a *anywhere) config() aws.Config {
	return aws.Config{HTTPClient: a, Credentials: credentials.NewStaticCredentialsProvider(userID, userSecret, "")}
}

// wire is what is seen of an endpoint's profile in its requests.
type wire struct {
	host, path string // of a PutObject
	region     string // it was signed for
	checksum   bool
	signed     bool   // the payload
	extras     string // what the SDK adds for AWS
	parts      string
}

const (
	amazonExtras = "signed Accept-Encoding, x-id"
	none         = ""
)

const unsignedPayload = "UNSIGNED-PAYLOAD"

func (a *anywhere) wire() wire {
	put := a.of("PutObject")[0]
	by := put.Header.Get("Authorization")
	_, scope, _ := strings.Cut(by, "Credential=")
	w := wire{
		host: put.URL.Host, path: put.URL.Path, region: strings.Split(scope, "/")[2],
		checksum: strings.Contains(by, "x-amz-checksum-crc64nvme"),
		signed:   put.Header.Get("X-Amz-Content-Sha256") != unsignedPayload,
		parts:    strings.Trim(fmt.Sprint(a.parts()), "[]"),
	}
	if put.Header.Get("Accept-Encoding") != "" && strings.Contains(by, "accept-encoding") {
		w.extras += "signed Accept-Encoding, "
	}
	if put.URL.Query().Get("x-id") == "PutObject" {
		w.extras += "x-id"
	}
	return w
}

// TestProfiles delivers to hosts that want requests of their own kind.
func TestProfiles(t *testing.T) {
	const inPath, inHost = "/writer-sample/t.csv", "/t.csv"
	for _, test := range []struct {
		endpoint string
		opts     []s3writer.Option
		want     wire
	}{
		{"https://minio.example.com:9000", nil,
			wire{"minio.example.com:9000", inPath, "us-east-1", true, false, none, "8 8 8 6"}},
		{"https://{bucket}.minio.example.com", nil,
			wire{"writer-sample.minio.example.com", inHost, "us-east-1", true, false, none, "8 8 8 6"}},
		{"https://s3.eu-central-1.amazonaws.com", nil,
			wire{"writer-sample.s3.eu-central-1.amazonaws.com", inHost, "eu-central-1", true, false, amazonExtras, "8 8 8 6"}},
		{"https://s3.eu-central-1.amazonaws.com", []s3writer.Option{s3writer.WithRegion("eu-west-1")},
			wire{"writer-sample.s3.eu-central-1.amazonaws.com", inHost, "eu-west-1", true, false, amazonExtras, "8 8 8 6"}},
		{"https://s3-accelerate.amazonaws.com", nil,
			wire{"writer-sample.s3-accelerate.amazonaws.com", inHost, "eu-north-1", true, false, amazonExtras, "8 8 8 6"}},
		{"https://bucket.vpce-1a2b.s3.us-west-2.vpce.amazonaws.com", nil,
			wire{"writer-sample.bucket.vpce-1a2b.s3.us-west-2.vpce.amazonaws.com", inHost, "us-west-2", true, false, amazonExtras, "8 8 8 6"}},
		{"https://acc.r2.cloudflarestorage.com", nil,
			wire{"acc.r2.cloudflarestorage.com", inPath, "us-east-1", false, true, none, "16 14"}},
		{"https://acc.r2.cloudflarestorage.com", []s3writer.Option{s3writer.WithMemory(32 << 20)},
			wire{"acc.r2.cloudflarestorage.com", inPath, "us-east-1", false, true, none, "8 8 8 6"}},
		{"https://acc.r2.cloudflarestorage.com", []s3writer.Option{s3writer.WithMemory(16 << 20)},
			wire{"acc.r2.cloudflarestorage.com", inPath, "us-east-1", false, true, none, "5 5 5 5 5 5"}},
		{"https://acc.r2.cloudflarestorage.com", []s3writer.Option{s3writer.WithPartSize(12 << 20), s3writer.WithPayloadSigning(false)},
			wire{"acc.r2.cloudflarestorage.com", inPath, "us-east-1", false, false, none, "12 12 6"}},
		{"https://storage.googleapis.com", nil,
			wire{"storage.googleapis.com", inPath, "us-east-1", false, true, none, "8 8 8 6"}},
		{"https://{bucket}.storage.googleapis.com", nil,
			wire{"writer-sample.storage.googleapis.com", inHost, "us-east-1", false, true, none, "8 8 8 6"}},
		{"https://s3.fr-par.scw.cloud", nil,
			wire{"s3.fr-par.scw.cloud", inPath, "us-east-1", true, true, none, "8 8 8 6"}},
		{"https://oss-cn-hangzhou.aliyuncs.com", nil,
			wire{"writer-sample.oss-cn-hangzhou.aliyuncs.com", inHost, "us-east-1", false, true, none, "8 8 8 6"}},
		{"https://gateway.storjshare.io", []s3writer.Option{s3writer.WithMemory(48 << 20)},
			wire{"gateway.storjshare.io", inPath, "us-east-1", true, false, none, "24 6"}},
	} {
		for _, by := range []string{"WithEndpoint", "WithAWSConfig"} {
			if by == "WithAWSConfig" && strings.Contains(test.endpoint, "{bucket}") {
				continue
			}
			t.Run(by+" "+test.endpoint, func(t *testing.T) {
				a := &anywhere{}
				cfg := a.config()
				opts := test.opts
				if by == "WithAWSConfig" {
					cfg.BaseEndpoint = &test.endpoint
				} else {
					opts = append(opts, s3writer.WithEndpoint(test.endpoint))
				}
				deliverBoth(t, append(opts, s3writer.WithAWSConfig(cfg))...)
				if got := a.wire(); got != test.want {
					t.Errorf("on the wire:\n got %+v\nwant %+v", got, test.want)
				}
			})
		}
	}
}

// TestProfileOfClient holds for what can be said in each request; where the
// requests go remains the client's.
func TestProfileOfClient(t *testing.T) {
	a := &anywhere{}
	cfg := a.config()
	cfg.Region = "auto"
	client := s3.NewFromConfig(cfg, func(o *s3.Options) { o.BaseEndpoint = aws.String("https://acc.r2.cloudflarestorage.com") })
	deliverBoth(t, s3writer.WithClient(client))
	want := wire{"writer-sample.acc.r2.cloudflarestorage.com", "/t.csv", "auto", false, true, none, "16 14"}
	if got := a.wire(); got != want {
		t.Errorf("on the wire:\n got %+v\nwant %+v", got, want)
	}
}

// deliverBoth delivers a small table and one of 30 MiB.
func deliverBoth(t *testing.T, opts ...s3writer.Option) {
	t.Helper()
	w := mustNew(t, opts...)
	report := write(t, w, csv("t.csv", "id\n1\n"), s3writer.NewTable("large.csv", io.LimitReader(zeros{}, 30<<20)))
	if report.Warnings != nil {
		t.Errorf("warnings %q", report.Warnings)
	}
}

// TestAccessPoint addresses the bucket by the ARN of an access point.
func TestAccessPoint(t *testing.T) {
	const arn = "arn:aws:s3:eu-central-1:123456789012:accesspoint/exports"
	for _, test := range []struct{ name, endpoint, host string }{
		{"public", "", "exports-123456789012.s3-accesspoint.eu-central-1.amazonaws.com"},
		{"in a VPC", "https://accesspoint.vpce-1a2b.s3.eu-central-1.vpce.amazonaws.com",
			"exports-123456789012.accesspoint.vpce-1a2b.s3.eu-central-1.vpce.amazonaws.com"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := &anywhere{}
			opts := []s3writer.Option{s3writer.WithAWSConfig(a.config())}
			if test.endpoint != "" {
				opts = append(opts, s3writer.WithEndpoint(test.endpoint))
			}
			w, err := s3writer.New(context.Background(), arn, opts...)
			if err != nil {
				t.Fatal(err)
			}
			body := bytes.Repeat([]byte("x"), large)
			if _, err := w.Write(t.Context(), csv("t.csv", "id\n1\n"), s3writer.NewTable("large.csv", bytes.NewReader(body))); err != nil {
				t.Fatal(err)
			}
			for _, r := range a.sent {
				by := r.Header.Get("Authorization")
				if r.URL.Host != test.host || !strings.Contains(by, "/eu-central-1/s3/") || strings.HasPrefix(r.URL.Path, "/writer") {
					t.Errorf("%s went to %s%s, signed %s", a.operation(r), r.URL.Host, r.URL.Path, by)
				}
			}
			if n := len(a.sent); n != 1+1+2+1 {
				t.Errorf("%d requests, want 5", n)
			}
		})
	}
}
