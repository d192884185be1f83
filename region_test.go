package s3writer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"go.uber.org/goleak"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

// dotted is a bucket whose name goes into the path at AWS too, because of its
// dot: that is where the server looks for it.
const dotted = "writer.sample"

// newAmazon starts a server that answers whatever is sent to AWS.
func newAmazon(t *testing.T, region string) *s3writertest.Server {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	srv := s3writertest.NewServer(dotted)
	t.Cleanup(func() {
		srv.Close()
		goleak.VerifyNone(t, leaks)
	})
	srv.SetRegion(dotted, region)
	return srv
}

// asAWS is a configuration without an endpoint, and without a region.
func asAWS(srv *s3writertest.Server) aws.Config {
	id, secret := srv.Credentials()
	return aws.Config{Credentials: credentials.NewStaticCredentialsProvider(id, secret, ""), HTTPClient: amazon{srv}}
}

// amazon takes requests to AWS's hosts to the server. Their signatures cover
// the host, which stays in the header.
type amazon struct{ srv *s3writertest.Server }

func (a amazon) Do(r *http.Request) (*http.Response, error) {
	to, err := url.Parse(a.srv.URL)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Host = r.URL.Host
	r.URL.Scheme, r.URL.Host = to.Scheme, to.Host
	return a.srv.Client().Transport.RoundTrip(r)
}

// ofOld gives eu-west-1 the name that it had first, as AWS does for buckets of
// that time.
type ofOld struct{ amazon }

func (o ofOld) Do(r *http.Request) (*http.Response, error) {
	answer, err := o.amazon.Do(r)
	if err != nil || !r.URL.Query().Has("location") {
		return answer, err
	}
	body, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	body = bytes.ReplaceAll(body, []byte("eu-west-1"), []byte("EU"))
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return answer, err
}

func newDotted(t *testing.T, opts ...s3writer.Option) *s3writer.Writer {
	t.Helper()
	w, err := s3writer.New(t.Context(), dotted, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.CloseIdleConnections)
	return w
}

// asked are the requests of the server, with the region each was signed for.
func asked(srv *s3writertest.Server) []string {
	var ops []string
	for _, r := range srv.Requests() {
		ops = append(ops, r.Op+" "+r.Region)
	}
	return ops
}

func wantAsked(t *testing.T, srv *s3writertest.Server, want ...string) {
	t.Helper()
	if got := asked(srv); !slices.Equal(got, want) {
		t.Errorf("the requests are %q, want %q", got, want)
	}
}

// TestRegion finds out where the bucket is, or is told, or is told wrongly.
func TestRegion(t *testing.T) {
	const frankfurt = "eu-central-1"
	onlyPut := s3writertest.Allow{Actions: []string{"s3:PutObject"}, Resources: []string{"*"}}
	for _, test := range []struct {
		name, region string
		server       func(*s3writertest.Server)
		opts         func(*s3writertest.Server) []s3writer.Option
		want         []string // requests of the first Write
	}{
		{name: "discovered", region: frankfurt, want: []string{"GetBucketLocation us-east-1", "PutObject eu-central-1"}},
		{name: "discovered without a value", region: "us-east-1", want: []string{"GetBucketLocation us-east-1", "PutObject us-east-1"}},
		{name: "discovered as EU", region: "eu-west-1",
			opts: func(srv *s3writertest.Server) []s3writer.Option {
				cfg := asAWS(srv)
				cfg.HTTPClient = ofOld{amazon{srv}}
				return []s3writer.Option{s3writer.WithAWSConfig(cfg)}
			}, want: []string{"GetBucketLocation us-east-1", "PutObject eu-west-1"}},
		{name: "GetBucketLocation denied", region: frankfurt,
			server: func(srv *s3writertest.Server) { srv.AddKey(userID, userSecret, onlyPut) },
			opts:   func(*s3writertest.Server) []s3writer.Option { return []s3writer.Option{user(userSecret)} },
			want:   []string{"GetBucketLocation us-east-1", "HeadBucket us-east-1", "PutObject eu-central-1"}},
		{name: "WithRegion", region: frankfurt,
			opts: func(*s3writertest.Server) []s3writer.Option { return []s3writer.Option{s3writer.WithRegion(frankfurt)} },
			want: []string{"PutObject eu-central-1"}},
		{name: "WithRegion, wrongly", region: frankfurt,
			opts: func(*s3writertest.Server) []s3writer.Option {
				return []s3writer.Option{s3writer.WithRegion("us-west-2")}
			},
			want: []string{"PutObject us-west-2", "PutObject eu-central-1"}},
		{name: "WithRegion, wrongly and redirected", region: frankfurt,
			server: func(srv *s3writertest.Server) { srv.SetRedirect(true) },
			opts: func(*s3writertest.Server) []s3writer.Option {
				return []s3writer.Option{s3writer.WithRegion("us-west-2")}
			},
			want: []string{"PutObject us-west-2", "PutObject eu-central-1"}},
		{name: "region of WithAWSConfig", region: frankfurt,
			opts: func(srv *s3writertest.Server) []s3writer.Option {
				cfg := asAWS(srv)
				cfg.Region = frankfurt
				return []s3writer.Option{s3writer.WithAWSConfig(cfg)}
			}, want: []string{"PutObject eu-central-1"}},
		{name: "WithClient", region: frankfurt,
			opts: func(srv *s3writertest.Server) []s3writer.Option {
				cfg := asAWS(srv)
				cfg.Region = frankfurt
				return []s3writer.Option{s3writer.WithClient(s3.NewFromConfig(cfg))}
			}, want: []string{"PutObject eu-central-1"}},
		{name: "WithClient, somebody's own", region: "us-east-1",
			opts: func(srv *s3writertest.Server) []s3writer.Option {
				cfg := asAWS(srv)
				cfg.Region = "us-east-1"
				return []s3writer.Option{s3writer.WithClient(struct{ s3writer.Client }{s3.NewFromConfig(cfg)})}
			}, want: []string{"PutObject us-east-1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("AWS_REGION", "ap-south-2") // where the program runs, not where the bucket is
			srv := newAmazon(t, test.region)
			if test.server != nil {
				test.server(srv)
			}
			var opts []s3writer.Option
			if test.name[:10] != "WithClient" {
				opts = append(opts, s3writer.WithAWSConfig(asAWS(srv)))
			}
			if test.opts != nil {
				opts = append(opts, test.opts(srv)...)
			}
			w := newDotted(t, opts...)
			write(t, w, csv("t.csv", "id\n"))
			wantAsked(t, srv, test.want...)
			srv.Reset()
			write(t, w, csv("t.csv", "id\n"))
			wantAsked(t, srv, test.want[len(test.want)-1]) // once per Writer
			srv.Reset()
			write(t, w, csv("t.csv", pattern(large)))
			for _, r := range srv.Requests() {
				if r.Region != test.region {
					t.Errorf("%s was signed for %s", r.Op, r.Region)
				}
			}
		})
	}
}

// TestRegionOfARefusal is where the next try goes, whatever the refusal says, unless
// that is where it came from.
func TestRegionOfARefusal(t *testing.T) {
	const frankfurt = "eu-central-1"
	refusal := s3writertest.Fault{Op: "PutObject", Status: http.StatusBadRequest, Header: http.Header{"X-Amz-Bucket-Region": {frankfurt}}}
	once := refusal
	once.N = 1
	for _, test := range []struct {
		name, region string
		fault        s3writertest.Fault
		want         []string
	}{
		{"another", "us-west-2", once, []string{"PutObject us-west-2", "PutObject eu-central-1"}},
		{"another, for ever", "us-west-2", refusal, []string{"PutObject us-west-2", "PutObject eu-central-1"}},
		{"the same", frankfurt, refusal, []string{"PutObject eu-central-1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newAmazon(t, frankfurt)
			srv.Fail(test.fault)
			w := newDotted(t, s3writer.WithAWSConfig(asAWS(srv)), s3writer.WithRegion(test.region))
			_, err := w.Write(t.Context(), csv("t.csv", "id\n"))
			if (err == nil) != (test.fault.N == 1) {
				t.Errorf("got %v", err)
			}
			wantAsked(t, srv, test.want...)
		})
	}
}

// TestRegionOnce is asked for by many Writes at once.
func TestRegionOnce(t *testing.T) {
	srv := newAmazon(t, "eu-central-1")
	w := newDotted(t, s3writer.WithAWSConfig(asAWS(srv)))
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			if _, err := w.Write(t.Context(), csv(string(rune('a'+i)), "id\n"), csv(string(rune('A'+i)), "id\n")); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if n := srv.Count("GetBucketLocation"); n != 1 {
		t.Errorf("the region was asked for %d times, want once", n)
	}
	if n := len(srv.Keys(dotted)); n != 16 {
		t.Errorf("%d objects, want 16", n)
	}
}

// TestNoRegion ends every table, and the next Write asks again.
func TestNoRegion(t *testing.T) {
	for _, test := range []struct {
		name   string
		server func(*s3writertest.Server)
		opts   []s3writer.Option
		bucket string
		want   string
		is     error
	}{
		{"no such bucket", nil, nil, "no.such.bucket",
			`region of bucket "no.such.bucket": no such bucket: "no.such.bucket" (AWS says: NoSuchBucket: The specified bucket does not exist, request ID X)`, s3writer.ErrNoSuchBucket},
		{"unknown key", nil, []s3writer.Option{user(userSecret)}, dotted,
			`region of bucket "writer.sample": credentials refused: the access key ID is not known (AWS says: InvalidAccessKeyId: ` +
				`The AWS Access Key Id you provided does not exist in our records., request ID X); in China and GovCloud, where keys of their own are known, set WithRegion`, s3writer.ErrCredentials},
		{"wrong secret", func(srv *s3writertest.Server) {
			srv.AddKey(userID, "another/secret", s3writertest.LeastPrivilege(dotted))
		},
			[]s3writer.Option{user(userSecret)}, dotted,
			`region of bucket "writer.sample": credentials refused: the secret access key is not that of the access key ID (AWS says: SignatureDoesNotMatch: ` +
				`The request signature we calculated does not match the signature you provided. Check your key and signing method., request ID X)`, s3writer.ErrCredentials},
		{"no answer names it", func(srv *s3writertest.Server) {
			srv.Fail(s3writertest.Fault{Op: "GetBucketLocation", Times: 2, Status: http.StatusForbidden})
			srv.Fail(s3writertest.Fault{Op: "HeadBucket", Times: 2, Code: "BadRequest"})
		}, nil, dotted,
			`region of bucket "writer.sample" is not to be found: set WithRegion, or allow s3:GetBucketLocation on the bucket: ` +
				`access denied: s3:GetBucketLocation on arn:aws:s3:::writer.sample: check the identity's policy, the bucket's policy, and its owner ` +
				`(AWS says: AccessDenied: Access Denied, request ID X); HeadBucket on arn:aws:s3:::writer.sample: AWS says: BadRequest: Bad Request, request ID X`, s3writer.ErrAccessDenied},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newAmazon(t, "eu-central-1")
			if test.server != nil {
				test.server(srv)
			}
			w, err := s3writer.New(t.Context(), test.bucket, append([]s3writer.Option{s3writer.WithAWSConfig(asAWS(srv))}, test.opts...)...)
			if err != nil {
				t.Fatal(err)
			}
			report, err := w.Write(t.Context(), s3writer.NewTable("a.csv", untouchable{t}), s3writer.NewTable("b.csv", untouchable{t}))
			wantText(t, err, `s3writer: table "a.csv": `+test.want+"\n"+`s3writer: table "b.csv": `+test.want)
			if !errors.Is(report.Tables[1].Err, test.is) {
				t.Errorf("errors.Is does not find %v", test.is)
			}
			n := srv.Count("GetBucketLocation")
			if n == 0 {
				t.Error("the region was not asked for")
			}
			_, _ = w.Write(t.Context(), csv("a.csv", "id\n"))
			if srv.Count("GetBucketLocation") <= n {
				t.Error("the next Write did not ask again")
			}
		})
	}
}

// TestRegionOfBadForm is not asked for: nothing would be sent there.
func TestRegionOfBadForm(t *testing.T) {
	srv := newAmazon(t, "eu-central-1")
	_, err := newDotted(t, s3writer.WithAWSConfig(asAWS(srv))).Write(t.Context(), s3writer.NewTable("t.csv", nil))
	wantText(t, err, `s3writer: table "t.csv": Source is nil`)
	wantAsked(t, srv)
}

// TestRegionCancelled ends the search with its context.
func TestRegionCancelled(t *testing.T) {
	srv := newAmazon(t, "eu-central-1")
	ctx, cancel := context.WithCancel(t.Context())
	srv.Fail(s3writertest.Fault{Op: "GetBucketLocation", Hook: func(*http.Request) { cancel() }, Hang: t.Context().Done()})
	_, err := newDotted(t, s3writer.WithAWSConfig(asAWS(srv))).Write(ctx, s3writer.NewTable("t.csv", untouchable{t}))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	wantText(t, err, `s3writer: table "t.csv": region of bucket "writer.sample": s3:GetBucketLocation on arn:aws:s3:::writer.sample: context canceled`)
}

// TestRegionOfOthers is found out by another Write: waiting for it can be
// cancelled too.
func TestRegionOfOthers(t *testing.T) {
	srv := newAmazon(t, "eu-central-1")
	asking, answer := make(chan struct{}), make(chan struct{})
	srv.Fail(s3writertest.Fault{Op: "GetBucketLocation", N: 1, Hook: sendHook(asking), Hang: answer, Header: http.Header{"X-Test": {"1"}}})
	w := newDotted(t, s3writer.WithAWSConfig(asAWS(srv)))
	first := make(chan error)
	go func() {
		_, err := w.Write(t.Context(), csv("a.csv", "id\n"))
		first <- err
	}()
	<-asking
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := w.Write(ctx, s3writer.NewTable("b.csv", untouchable{t}))
	wantText(t, err, `s3writer: table "b.csv": context canceled`)
	close(answer)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

// TestEndpointNeedsNoRegion: servers of other makes are where their URL says.
func TestEndpointNeedsNoRegion(t *testing.T) {
	srv := newServer(t)
	write(t, newWriter(t, srv), csv("t.csv", "id\n"))
	wantAsked(t, srv, "PutObject us-east-1")
	srv.SetRegion(bucket, "eu-central-1")
	srv.Reset()
	w := newWriter(t, srv)
	write(t, w, csv("t.csv", "id\n"))
	write(t, w, csv("t.csv", "id\n"))
	wantAsked(t, srv, "PutObject us-east-1", "PutObject eu-central-1", "PutObject eu-central-1")
}
