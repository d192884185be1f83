package s3writer_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

// old makes the server one of the time before CRC-64/NVME: it passes over
// checksums, or refuses them in the requests of one operation.
type old struct {
	srv     *s3writertest.Server
	refuses string // an operation
	answer  func(*http.Request) *http.Response
}

func (o old) Do(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	op := (*anywhere)(nil).operation(r)
	names := func(name string) bool { return strings.Contains(strings.ToLower(name), "checksum") }
	mentioned := op == "CompleteMultipartUpload" && names(string(body))
	for name := range r.Header {
		mentioned = mentioned || strings.HasPrefix(name, "X-Amz-Checksum")
	}
	if mentioned && op == o.refuses {
		return o.answer(r), nil
	}
	r = r.Clone(r.Context())
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Amz-Checksum") || name == "X-Amz-Mp-Object-Size" || name == "Authorization" {
			r.Header.Del(name)
		}
	}
	if op == "CompleteMultipartUpload" {
		body = regexp.MustCompile(`<Checksum[^/]*</Checksum\w+>`).ReplaceAll(body, nil)
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header.Set("Content-Length", fmt.Sprint(len(body)))
	r.Header.Set("X-Amz-Content-Sha256", unsignedPayload)
	id, secret := o.srv.Credentials()
	keys := aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}
	signer := v4.NewSigner(func(so *v4.SignerOptions) { so.DisableURIPathEscaping = true })
	if err := signer.SignHTTP(r.Context(), keys, r, unsignedPayload, "s3", s3writertest.DefaultRegion, time.Now()); err != nil {
		return nil, err
	}
	return o.srv.Client().Transport.RoundTrip(r)
}

func refusing(status int, code, message string) func(*http.Request) *http.Response {
	return func(r *http.Request) *http.Response {
		text := "<Error><Code>" + code + "</Code><Message>" + message + "</Message></Error>"
		return &http.Response{StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
			Header: http.Header{"X-Amz-Request-Id": {"OLD"}}, Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text))}
	}
}

// TestDowngrade delivers to servers that refuse our checksum, each somewhere
// else and in other words. The Report says so, of every Write.
func TestDowngrade(t *testing.T) {
	notImplemented := refusing(501, "NotImplemented", "A header you provided implies functionality that is not implemented")
	malformed := refusing(400, "MalformedXML", "The XML you provided was not well-formed")
	unsupported := refusing(400, "InvalidArgument", "Unsupported header 'x-amz-checksum-crc64nvme'")
	const warning = "the server rejects CRC-64/NVME checksums; objects are sent without (AWS says: "
	for _, test := range []struct {
		op     string
		answer func(*http.Request) *http.Response
		says   string
	}{
		{"PutObject", notImplemented, "NotImplemented: A header you provided implies functionality that is not implemented, HTTP status 501 Not Implemented, request ID OLD)"},
		{"PutObject", unsupported, "InvalidArgument: Unsupported header 'x-amz-checksum-crc64nvme', request ID OLD)"},
		{"CreateMultipartUpload", notImplemented, "NotImplemented: A header you provided implies functionality that is not implemented, HTTP status 501 Not Implemented, request ID OLD)"},
		{"UploadPart", unsupported, "InvalidArgument: Unsupported header 'x-amz-checksum-crc64nvme', request ID OLD)"},
		{"CompleteMultipartUpload", malformed, "MalformedXML: The XML you provided was not well-formed, request ID OLD)"},
		{"", nil, ""},
	} {
		t.Run(test.op+" "+strings.SplitN(test.says, ":", 2)[0], func(t *testing.T) {
			srv := newServer(t)
			id, secret := srv.Credentials()
			cfg := aws.Config{Credentials: credentials.NewStaticCredentialsProvider(id, secret, ""),
				HTTPClient: old{srv, test.op, test.answer}}
			w := newWriter(t, srv, s3writer.WithAWSConfig(cfg))
			var want []string
			if test.op != "" {
				want = []string{warning + test.says}
			}
			body := pattern(20 << 20)
			for _, name := range []string{"during", "after"} {
				report := write(t, w, csv("t.csv", body), csv("s.csv", "id\n1\n"), csv("u.csv", "id\n2\n"))
				if !slices.Equal(report.Warnings, want) {
					t.Errorf("%s:\n got %q\nwant %q", name, report.Warnings, want)
				}
				wantObject(t, srv, "t.csv", body)
				wantObject(t, srv, "s.csv", "id\n1\n")
			}
			s3writertest.AssertNoOrphans(t, srv, bucket)
		})
	}
}

// TestNoDowngrade of AWS, whose checksums are a promise, and of what another
// header is to blame for.
func TestNoDowngrade(t *testing.T) {
	srv := newAmazon(t, "eu-central-1")
	cfg := asAWS(srv)
	cfg.Region = "eu-central-1"
	srv.Fail(s3writertest.Fault{Op: "PutObject", Code: "NotImplemented", Status: 501})
	w := newDotted(t, s3writer.WithAWSConfig(cfg))
	report, err := w.Write(context.Background(), csv("t.csv", "id\n1\n"))
	if err == nil || report.Warnings != nil || len(srv.Keys(dotted)) != 0 {
		t.Errorf("AWS: %v, warnings %q", err, report.Warnings)
	}

	other := newServer(t)
	other.Fail(s3writertest.Fault{Op: "PutObject", Code: "NotImplemented", Status: 501, Message: "x-amz-tagging is not implemented"})
	report, err = newWriter(t, other).Write(context.Background(), csv("t.csv", "id\n1\n"))
	if err == nil || report.Warnings != nil || other.Count("PutObject") != 1 {
		t.Errorf("another header: %v, warnings %q", err, report.Warnings)
	}
}

// TestDowngradeInVain is undone: the server knows checksums, but not If-None-Match, and does
// not say which of them it means.
func TestDowngradeInVain(t *testing.T) {
	srv := newServer(t)
	srv.Fail(s3writertest.Fault{Op: "PutObject", Code: "NotImplemented", Status: 501, Message: "A header you provided implies functionality that is not implemented"})
	w := newWriter(t, srv, s3writer.WithNoOverwrite())
	report, err := w.Write(t.Context(), csv("t.csv", "id\n1\n"))
	if err == nil || !strings.Contains(err.Error(), "NotImplemented") || report.Warnings != nil || srv.Count("PutObject") != 2 {
		t.Errorf("%d requests, warnings %q: %v", srv.Count("PutObject"), report.Warnings, err)
	}
	srv.ClearFaults()
	srv.Reset()
	write(t, w, csv("t.csv", "id\n1\n"))
	if r := srv.Requests()[0]; r.Header.Get("X-Amz-Checksum-Crc64nvme") == "" {
		t.Errorf("%s is sent without its checksum", r.Op)
	}
}

// TestWarnings are in the Report, each once.
func TestWarnings(t *testing.T) {
	srv := newServer(t)
	w := newWriter(t, srv, s3writer.WithPrefix("_in"))
	report := write(t, w, csv("a.csv", "id\n"),
		csv("t.csv", "id,c\n1,x\n2,y\n", s3writer.PartitionBy("c")))
	want := []string{
		`key "_in/a.csv": readers such as Spark and Athena skip segments like "_in"`,
		`key "_in/c=…/t-00001.csv": readers such as Spark and Athena skip segments like "_in"`,
		`table "t.csv": 2 objects of 5 bytes on average: readers slow down on objects under 1 MiB; partition by something coarser, or give WithMemory more or WithSpill a folder`,
	}
	if !slices.Equal(report.Warnings, want) {
		t.Errorf("warnings:\n got %q\nwant %q", report.Warnings, want)
	}
	staged, err := w.Stage(t.Context(), csv("a.csv", "id\n"))
	if err != nil {
		t.Fatal(err)
	}
	document, err := staged.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var read s3writer.Staged
	if err := read.UnmarshalJSON(document); err != nil {
		t.Fatal(err)
	}
	if got := read.Report().Warnings; !slices.Equal(got, want[:1]) {
		t.Errorf("warnings %q in the document, want %q", got, want[:1])
	}
	if _, err := w.Commit(t.Context(), &read); err != nil {
		t.Fatal(err)
	}
	if report := write(t, newWriter(t, srv), csv("t.csv", "id\n")); report.Warnings != nil {
		t.Errorf("warnings %q of a good delivery", report.Warnings)
	}
}
