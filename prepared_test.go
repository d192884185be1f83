package s3writer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
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

// TestPreparedRequestsOfOneKeyID are signed with the secret of their own Writer: two servers
// may have a user of the same name.
func TestPreparedRequestsOfOneKeyID(t *testing.T) {
	all := s3writertest.Allow{Actions: []string{"s3:*"}, Resources: []string{"*"}}
	srvs := []*s3writertest.Server{newServer(t), newServer(t)}
	var writers []*s3writer.Writer
	for i, srv := range srvs {
		secret := fmt.Sprint("secret of ", i)
		srv.SetMinPartSize(1)
		srv.AddKey("admin", secret, all)
		writers = append(writers, mustNew(t, s3writer.WithEndpoint(srv.URL), s3writer.WithMiniature(64),
			s3writer.WithCredentials(s3writer.StaticCredentials("admin", secret, ""))))
	}
	for _, w := range append(writers, writers...) {
		deliverSome(t, w)
	}
}

// TestPreparedRequestsOfLambda name the invocation that they are of.
func TestPreparedRequestsOfLambda(t *testing.T) {
	srv := newServer(t)
	t.Setenv("AWS_LAMBDA_FUNCTION_NAME", "f")
	w := newWriter(t, srv)
	for _, id := range []string{"Root=1-a", "Root=1-b", "Root=1-c"} {
		t.Setenv("_X_AMZN_TRACE_ID", id)
		srv.Reset()
		write(t, w, csv("t.csv", "id\n"))
		if got := srv.Requests()[0].Header.Get("X-Amzn-Trace-Id"); got != id {
			t.Errorf("the request is of %q, want %q", got, id)
		}
	}
}

// fickleProvider has credentials that end at once, so that every request asks for them,
// and none any more when it is gone: it says so, or hangs.
type fickleProvider struct {
	id, secret string
	hangs      bool
	gone       atomic.Bool
	asked      atomic.Int64
}

var errGone = errors.New("the role is gone")

func (p *fickleProvider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	p.asked.Add(1)
	if p.gone.Load() && p.hangs {
		<-ctx.Done()
		return aws.Credentials{}, ctx.Err()
	}
	if p.gone.Load() {
		return aws.Credentials{}, errGone
	}
	return aws.Credentials{AccessKeyID: p.id, SecretAccessKey: p.secret, CanExpire: true, Expires: time.Now()}, nil
}

// fickle are two Writers, of the SDK's requests and of prepared ones, on their way to
// losing their credentials.
func fickle(t *testing.T, srv *s3writertest.Server, hangs bool) map[string]struct {
	*s3writer.Writer
	*fickleProvider
} {
	id, secret := srv.Credentials()
	both := map[string]struct {
		*s3writer.Writer
		*fickleProvider
	}{}
	for _, kind := range []string{"sdk", "prepared"} {
		p := &fickleProvider{id: id, secret: secret, hangs: hangs}
		opts := []s3writer.Option{s3writer.WithCredentials(p), s3writer.WithConcurrency(1), s3writer.WithRegion(s3writertest.DefaultRegion)}
		if kind == "sdk" {
			cfg := srv.Config()
			cfg.Credentials = nil
			opts = append(opts, s3writer.WithAWSConfig(cfg))
		} else {
			opts = append(opts, s3writer.WithEndpoint(srv.URL))
		}
		w := mustNew(t, opts...)
		write(t, w, csv("first.csv", "id\n"))
		both[kind] = struct {
			*s3writer.Writer
			*fickleProvider
		}{w, p}
	}
	return both
}

// TestPreparedRequestIsReadWithItsOwnCredentials: what S3 has refused is refused,
// whatever becomes of the credentials meanwhile.
func TestPreparedRequestIsReadWithItsOwnCredentials(t *testing.T) {
	for _, hangs := range []bool{false, true} {
		srv := newServer(t)
		for kind, w := range fickle(t, srv, hangs) {
			t.Run(fmt.Sprint(kind, " hangs ", hangs), func(t *testing.T) {
				srv.Reset()
				srv.Fail(s3writertest.Fault{Op: "PutObject", Status: http.StatusForbidden, Code: "AccessDenied", Hook: func(*http.Request) { w.gone.Store(true) }})
				_, err := w.Write(t.Context(), csv("second.csv", "id\n"))
				if !errors.Is(err, s3writer.ErrAccessDenied) || errors.Is(err, s3writer.ErrCommitUnknown) {
					t.Errorf("got %v", err)
				}
				srv.ClearFaults()
			})
		}
	}
}

// TestPreparedRequestAsksForCredentialsOnce also where there are none.
func TestPreparedRequestAsksForCredentialsOnce(t *testing.T) {
	srv := newServer(t)
	var asked [2]int64
	var texts [2]string
	both := fickle(t, srv, false)
	for i, kind := range []string{"sdk", "prepared"} {
		w := both[kind]
		w.gone.Store(true)
		before := w.asked.Load()
		_, err := w.Write(t.Context(), csv("second.csv", "id\n"))
		if !errors.Is(err, errGone) {
			t.Errorf("%s: got %v", kind, err)
		}
		asked[i], texts[i] = w.asked.Load()-before, fmt.Sprint(err)
	}
	if asked[0] != asked[1] || texts[0] != texts[1] {
		t.Errorf("the SDK asks %d times:\n%s\nand we %d times:\n%s", asked[0], texts[0], asked[1], texts[1])
	}
}

// TestStallAfterNewCredentials is noticed: the answer with these is not that to the request.
func TestStallAfterNewCredentials(t *testing.T) {
	srv := newServer(t)
	const role = "arn:aws:iam::123456789012:role/r"
	srv.AddRole(s3writertest.Role{ARN: role, Allow: []s3writertest.Allow{s3writertest.LeastPrivilege(bucket)}})
	id, secret := srv.Credentials()
	w := mustNew(t, s3writer.WithEndpoint(srv.URL), s3writer.WithMiniature(64), s3writer.WithCredentials(
		s3writer.AssumeRole{RoleARN: role, Endpoint: srv.URL, Base: s3writer.StaticCredentials(id, secret, "")}))
	write(t, w, csv("first.csv", "id\n"))
	srv.ExpireSessions()
	hung := make(chan struct{})
	defer close(hung)
	srv.Fail(s3writertest.Fault{Op: "PutObject", N: 2, Times: 1, Hang: hung}) // the try that follows on ExpiredToken
	began := time.Now()
	write(t, w, csv("second.csv", "id\n"))
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("the hung request was replaced after %v", took)
	}
}
