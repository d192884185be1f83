package s3writer_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

// Most requests that carry bytes are made of the first one that the SDK has
// prepared. The tests here set them beside the SDK's own, which a Writer
// WithAWSConfig sends, since somebody's configuration may change how.

// sdkAndPrepared are two Writers that must not differ on the wire.
func sdkAndPrepared(t *testing.T, srv *s3writertest.Server, opts ...s3writer.Option) map[string]*s3writer.Writer {
	opts = append(opts, s3writer.WithConcurrency(1), s3writer.WithMiniature(64))
	sdk := append(slices.Clone(opts), s3writer.WithAWSConfig(srv.Config()))
	return map[string]*s3writer.Writer{"sdk": mustNew(t, sdk...), "prepared": newWriter(t, srv, append(opts, s3writer.WithRegion(s3writertest.DefaultRegion))...)}
}

// deliverSome sends small objects and some of several parts, with keys of all kinds.
func deliverSome(t *testing.T, w *s3writer.Writer) {
	large := strings.Repeat("a line of text\n", 30_000)
	for _, key := range []string{"first.csv", "second.csv", "a b+c/ü=&%,;:@$!'()*~.csv"} {
		write(t, w, csv(key, "id\n1\n"), csv("large "+key, large))
	}
}

func TestPreparedRequestsAreTheSDKs(t *testing.T) {
	encrypted := func(in *s3.CreateMultipartUploadInput) {
		in.Metadata = map[string]string{"origin": "a  b"}
		in.Tagging = new(string)
		*in.Tagging = "a=b&c=d"
	}
	tests := map[string][]s3writer.Option{
		"plain":        nil,
		"bucket owner": {s3writer.WithBucketOwner("123456789012"), s3writer.WithPrefix("pre fix/")},
		"no overwrite": {s3writer.WithNoOverwrite()},
		"object input": {s3writer.WithObjectInput(encrypted)},
		"unsigned":     {s3writer.WithPayloadSigning(false)},
		"signed":       {s3writer.WithPayloadSigning(true)},
	}
	for name, opts := range tests {
		t.Run(name, func(t *testing.T) {
			var seen [2][]string
			for i, kind := range []string{"sdk", "prepared"} {
				srv := newServer(t)
				srv.SetMinPartSize(1)
				srv.SetOwner(bucket, "123456789012")
				deliverSome(t, sdkAndPrepared(t, srv, opts...)[kind])
				for _, r := range srv.Requests() {
					seen[i] = append(seen[i], onTheWire(r))
				}
			}
			slices.Sort(seen[0])
			slices.Sort(seen[1])
			if len(seen[0]) < 20 || !slices.Equal(seen[0], seen[1]) {
				for i, line := range seen[0] {
					if i < len(seen[1]) && line != seen[1][i] {
						t.Fatalf("the SDK sends\n%s\nand we\n%s", line, seen[1][i])
					}
				}
				t.Fatalf("the SDK sends %d requests, we %d", len(seen[0]), len(seen[1]))
			}
		})
	}
}

var signature = regexp.MustCompile(`Signature=[0-9a-f]{64}$`)

// onTheWire is all of a request but what differs each time: names, dates, the user agent of
// the SDK's defaults.
func onTheWire(r s3writertest.Request) string {
	h := r.Header.Clone()
	for _, name := range []string{"Amz-Sdk-Invocation-Id", "X-Amz-Date", "User-Agent"} {
		if h.Get(name) == "" {
			return "no " + name
		}
		h.Del(name)
	}
	h.Del("Accept-Encoding") // of an HTTP client that decompresses
	h.Set("Authorization", signature.ReplaceAllString(h.Get("Authorization"), ""))
	query := r.Query
	if query.Has("uploadId") {
		query.Set("uploadId", "an upload")
	}
	return fmt.Sprint(r.Method, " ", r.Bucket, "/", r.Key, "?", query.Encode(), " ", r.Size, " ", r.Status, " ", h)
}

// What is refused is the same error, to the letter.
func TestPreparedRequestsFailAsTheSDKs(t *testing.T) {
	id := regexp.MustCompile(`(?i)request id[: ]+[0-9a-z]+|127\.0\.0\.1:\d+`)
	tests := map[string]s3writertest.Fault{
		"denied":           {Status: http.StatusForbidden, Code: "AccessDenied"},
		"no such bucket":   {Code: "NoSuchBucket"},
		"no document":      {Status: http.StatusMethodNotAllowed},
		"redirect":         {Status: http.StatusTemporaryRedirect},
		"not implemented":  {Status: http.StatusNotImplemented, Message: "A header you provided implies functionality that is not implemented"},
		"the bucket moved": {Status: http.StatusMovedPermanently, Header: http.Header{"X-Amz-Bucket-Region": {"eu-west-3"}}},
	}
	for name, fault := range tests {
		for _, op := range []string{"PutObject", "UploadPart"} {
			t.Run(name+"/"+op, func(t *testing.T) {
				var texts [2]string
				var requests [2]int
				for i, kind := range []string{"sdk", "prepared"} {
					srv := newServer(t)
					srv.SetMinPartSize(1)
					w := sdkAndPrepared(t, srv)[kind]
					deliverSome(t, w)
					srv.Reset()
					fault.Op = op
					srv.Fail(fault)
					text := "id\n1\n"
					if op == "UploadPart" {
						text = strings.Repeat(text, 100_000)
					}
					_, err := w.Write(t.Context(), csv("t.csv", text))
					texts[i], requests[i] = id.ReplaceAllString(fmt.Sprint(err), "…"), srv.Count(op)
				}
				if op == "UploadPart" {
					requests = [2]int{} // some more may be on their way when the first is refused
				}
				if texts[0] != texts[1] || requests[0] != requests[1] {
					t.Errorf("%d requests of the SDK and\n%s\n%d of ours and\n%s", requests[0], texts[0], requests[1], texts[1])
				}
			})
		}
	}
}

// A clock that is wrong is corrected by the SDK's client, which learns by how much.
func TestPreparedRequestsHaveTheServersTime(t *testing.T) {
	srv := newServer(t)
	w := newWriter(t, srv)
	write(t, w, csv("a.csv", "id\n"), csv("b.csv", "id\n"))
	srv.SetTime(func() time.Time { return time.Now().Add(time.Hour) })
	write(t, w, csv("c.csv", "id\n"))
	refused := len(srv.Requests())
	write(t, w, csv("d.csv", "id\n"), csv("e.csv", "id\n"))
	for _, r := range srv.Requests()[refused:] {
		if r.Err != "" {
			t.Errorf("%s is refused once the time is known: %s", r.Key, r.Err)
		}
	}
}

// Parts that have to be sent again, on their way to a server that asks to slow down,
// are still what was written.
func TestPreparedRequestsCarryWhatWasWritten(t *testing.T) {
	srv := newServer(t)
	srv.SetMinPartSize(1)
	w := sdkAndPrepared(t, srv)["prepared"]
	body := bytes.Repeat([]byte("0123456789abcdef\n"), 80_000)
	for _, fault := range []s3writertest.Fault{{N: 3, Times: 2, Status: http.StatusServiceUnavailable}, {N: 6, Cut: true}, {N: 7, When: s3writertest.During}, {N: 8, Empty: true}} {
		fault.Op = "UploadPart"
		srv.Fail(fault)
	}
	write(t, w, s3writer.NewTable("t.csv", io.MultiReader(bytes.NewReader(body))))
	wantObject(t, srv, "t.csv", string(body))
}
