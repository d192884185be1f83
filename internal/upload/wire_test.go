package upload

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed149ec23d/s3writer/s3writertest"
)

var schedules = flag.Int("schedules", 400, "random schedules of faults to run")

const testBucket = "writer-sample"

// wired are limits for real requests, and a pace for hung ones.
var (
	wiredLimits = limits{page: 1 << 10, pages: 5, minPart: 4 << 10, basePart: 8 << 10, maxPart: 1 << 20, round: 1 << 10, maxParts: 100, growth: 1400}
	wiredPace   = pace{
		base: 100 * time.Microsecond, cap: 2 * time.Millisecond, attempts: 6, throttled: 20 * time.Millisecond,
		stall: 100 * time.Millisecond, commitGrace: 250 * time.Millisecond, abortGrace: time.Second, hurry: 200 * time.Millisecond, pauses: pauses{time.Millisecond, 10 * time.Millisecond},
	}
)

// wired makes an engine whose requests go over a real connection to srv.
func wired(t testing.TB, srv *s3writertest.Server, change ...func(*Config)) *Engine {
	srv.SetMinPartSize(wiredLimits.minPart)
	aws := srv.Config()
	transport := Transport(16)
	if h, ok := aws.HTTPClient.(*http.Client); ok {
		if inner, ok := h.Transport.(*http.Transport); ok && inner.TLSClientConfig != nil {
			transport.TLSClientConfig.RootCAs = inner.TLSClientConfig.RootCAs
		}
	}
	t.Cleanup(transport.CloseIdleConnections)
	aws.HTTPClient = HTTPClient(transport)
	client := s3.NewFromConfig(aws, WireOptions(true), func(o *s3.Options) { o.UsePathStyle = true })
	cfg := Config{Client: client, Bucket: testBucket, Endpoint: true, Memory: 256 << 10, Concurrency: 4, Logger: quiet()}
	for _, f := range change {
		f(&cfg)
	}
	return newEngine(cfg, wiredLimits, wiredPace)
}

// Over https bodies are not signed, over http they are, unless told otherwise;
// the checksum is a signed header, and never a trailer.
func TestOnTheWire(t *testing.T) {
	yes, no := true, false
	for _, scheme := range []string{"http", "https"} {
		for name, signed := range map[string]*bool{"default": nil, "signed": &yes, "unsigned": &no} {
			t.Run(scheme+"/"+name, func(t *testing.T) {
				start := s3writertest.NewServer
				if scheme == "https" {
					start = s3writertest.NewTLSServer
				}
				srv := start(testBucket)
				defer srv.Close()
				e := wired(t, srv, func(c *Config) { c.SignPayload = signed })
				for _, size := range []int{0, 10, 50_000} {
					key := fmt.Sprint("dir/ä +", size)
					body := data(size)
					res, err := deliver(t.Context(), e, key, body)
					if err != nil || res.ETag == "" {
						t.Fatalf("%+v, %v", res, err)
					}
					if got, _ := srv.Get(testBucket, key); !bytes.Equal(got, body) {
						t.Errorf("%d bytes arrived, not %d", len(got), size)
					}
				}
				hashes := scheme == "http" && signed == nil || signed == &yes
				for _, r := range srv.Requests() {
					h := r.Header
					if h.Get("X-Amz-Trailer") != "" || strings.Contains(h.Get("Content-Encoding"), "aws-chunked") {
						t.Errorf("%s: a trailer", r.Op)
					}
					if r.Op != opPut && r.Op != opPart {
						continue
					}
					if h.Get("X-Amz-Checksum-Crc64nvme") == "" || !strings.Contains(h.Get("Authorization"), "x-amz-checksum-crc64nvme") {
						t.Errorf("%s: no signed checksum header: %v", r.Op, h)
					}
					if unsigned := h.Get("X-Amz-Content-Sha256") == "UNSIGNED-PAYLOAD"; unsigned == hashes {
						t.Errorf("%s of %d bytes: X-Amz-Content-Sha256 is %s", r.Op, r.Size, h.Get("X-Amz-Content-Sha256"))
					}
				}
				atRest(t, e)
			})
		}
	}
}

func TestWireRefusals(t *testing.T) {
	srv := s3writertest.NewServer(testBucket)
	defer srv.Close()
	srv.AddKey("WEAK", "secret", s3writertest.Allow{Actions: []string{"s3:GetBucketLocation"}, Resources: []string{"*"}})
	id, _ := srv.Credentials()
	tests := map[string]struct {
		id, secret, bucket string
		kind               error
		text               string
	}{
		"denied":       {"WEAK", "secret", testBucket, ErrAccessDenied, "access denied: s3:PutObject on arn:aws:s3:::writer-sample/exports/*: check the identity's policy"},
		"wrong secret": {id, "wrong", testBucket, ErrCredentials, "credentials refused: the secret access key is not that of the access key ID (AWS says: SignatureDoesNotMatch"},
		"unknown key":  {"NOBODY", "secret", testBucket, ErrCredentials, "credentials refused: the access key ID is not known (AWS says: InvalidAccessKeyId"},
		"no bucket":    {"", "", "elsewhere", ErrNoSuchBucket, `no such bucket: "elsewhere" (AWS says: NoSuchBucket`},
	}
	for name, tt := range tests {
		for _, size := range []int{10, 50_000} {
			t.Run(fmt.Sprint(name, size), func(t *testing.T) {
				e := wired(t, srv, func(c *Config) {
					c.Bucket = tt.bucket
					if tt.id != "" {
						client := c.Client.(*s3.Client)
						o := client.Options()
						o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
							return aws.Credentials{AccessKeyID: tt.id, SecretAccessKey: tt.secret}, nil
						})
						c.Client = s3.New(o)
					}
				})
				_, err := deliver(t.Context(), e, "exports/k", data(size))
				if !errors.Is(err, tt.kind) || !strings.HasPrefix(err.Error(), tt.text) || !strings.Contains(err.Error(), "request ID ") {
					t.Errorf("got %v\nwant %s…", err, tt.text)
				}
				s3writertest.AssertNoPartial(t, srv, testBucket, nil)
				s3writertest.AssertNoOrphans(t, srv, testBucket)
				atRest(t, e)
			})
		}
	}
}

func TestWireRegion(t *testing.T) {
	srv := s3writertest.NewServer(testBucket)
	defer srv.Close()
	srv.SetRegion(testBucket, "eu-west-3")
	e := wired(t, srv)
	for _, size := range []int{10, 50_000} {
		if _, err := deliver(t.Context(), e, "k", data(size)); err != nil {
			t.Error(err)
		}
	}
	if e.regionNow() != "eu-west-3" || e.Stats().Retries != 1 {
		t.Errorf("region %q after %d retries", e.regionNow(), e.Stats().Retries)
	}
}

// faults are the ways in which any request can fail.
var faults = map[string]s3writertest.Fault{
	"refused":             {Cut: true},
	"reset in the body":   {When: s3writertest.During, Cut: true},
	"answer lost":         {When: s3writertest.After, Cut: true},
	"answer cut":          {When: s3writertest.After, CutAnswer: true},
	"500":                 {Status: 500, Code: "InternalError"},
	"500 after":           {When: s3writertest.After, Status: 500, Code: "InternalError"},
	"503":                 {Status: 503, Code: "SlowDown"},
	"503 after, by proxy": {When: s3writertest.After, Status: 503, Empty: false, Code: "ServiceUnavailable"},
	"error in 200":        {ErrorIn200: true, Code: "InternalError"},
	"error in 200 after":  {When: s3writertest.After, ErrorIn200: true, Code: "InternalError"},
	"empty 200":           {Empty: true},
	"empty 200 after":     {When: s3writertest.After, Empty: true},
	"blank 200":           {Blank: true},
	"blank 200 after":     {When: s3writertest.After, Blank: true},
	"no ETag":             {StripETag: true},
	"wrong ETag":          {WrongETag: true},
	"wrong checksum":      {WrongChecksum: true},
	"denied":              {Status: 403, Code: "AccessDenied"},
	"expired":             {Status: 400, Code: "ExpiredToken"},
	"upload gone":         {Status: 404, Code: "NoSuchUpload"},
	"hung":                {Hang: make(chan struct{})},
	"hung after":          {When: s3writertest.After, Hang: make(chan struct{})},
}

// Every request of a delivery of three objects fails once in every way. What is
// reported is what is in the bucket, and nothing is left that is not reported.
func TestEveryRequestFailsOnce(t *testing.T) {
	srv := s3writertest.NewServer(testBucket)
	defer srv.Close()
	for name, fault := range faults {
		for _, op := range []string{opPut, opCreate, opPart, opComplete, opAbort} {
			for n := 1; n <= 3; n++ {
				for _, times := range []int{1, 1000} {
					if times > 1 && (n > 1 || fault.Hang != nil && op != opAbort) || testing.Short() && (n > 1 || times > 1 || fault.Hang != nil) {
						continue
					}
					t.Run(fmt.Sprintf("%s/%s/%d/%d", name, op, n, times), func(t *testing.T) {
						f := fault
						f.Op, f.N, f.Times = op, n, times
						srv.Fail(f)
						if op == opAbort {
							srv.Fail(s3writertest.Fault{Op: opPart, N: 3, Status: 403, Code: "AccessDenied"})
						}
						trial{t, srv, wired(t, srv, func(c *Config) { c.Endpoint = false })}.run()
					})
				}
			}
		}
	}
}

// Faults at random, several in one delivery, from a seed that can be run again.
func TestRandomFaults(t *testing.T) {
	srv := s3writertest.NewServer(testBucket)
	defer srv.Close()
	var names []string
	for name, f := range faults {
		if f.Hang == nil {
			names = append(names, name)
		}
	}
	runs := *schedules
	if testing.Short() {
		runs = 50
	}
	ops := []string{opPut, opCreate, opPart, opComplete, opAbort, ""}
	for seed := range uint64(runs) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			srv.SetIdempotentComplete(rng.IntN(2) == 0)
			for range 1 + rng.IntN(6) {
				f := faults[names[rng.IntN(len(names))]]
				f.Op, f.N, f.Times = ops[rng.IntN(len(ops))], 1+rng.IntN(8), 1+rng.IntN(3)
				srv.Fail(f)
			}
			trial{t, srv, wired(t, srv, func(c *Config) { c.NoOverwrite = rng.IntN(2) == 0 })}.run()
		})
	}
}

// trial is a delivery under faults, and the questions afterwards.
type trial struct {
	*testing.T
	srv    *s3writertest.Server
	engine *Engine
}

func (t trial) run() {
	defer t.clear()
	want := map[string]string{"small": string(data(100)), "empty": "", "large": string(data(40_000)), "staged": string(data(300))}
	var mu sync.Mutex
	left := map[string]bool{} // upload IDs of orphans; "" if one has none
	var wg sync.WaitGroup
	for key, body := range want {
		wg.Go(func() {
			res, orphans, err := t.deliver(key, body)
			mu.Lock()
			defer mu.Unlock()
			for _, o := range orphans {
				left[o.UploadID] = true
			}
			t.judge(key, body, res, err)
		})
	}
	wg.Wait()
	s3writertest.AssertNoPartial(t, t.srv, testBucket, want)
	for _, u := range t.srv.Uploads(testBucket) {
		if !left[u.UploadID] && !left[""] && !t.deceived(u.UploadID) {
			t.Errorf("upload %s of %q is left and not reported", u.UploadID, u.Key)
		}
	}
	atRest(t.T, t.engine)
}

func (t trial) deliver(key, body string) (Result, []Orphan, error) {
	a, err := t.engine.Admit(t.Context(), 0)
	if err != nil {
		return Result{}, nil, err
	}
	defer a.Release()
	s := t.engine.Open(t.Context(), a, Object{Key: key})
	if _, err := io.Copy(s, strings.NewReader(body)); err != nil {
		return Result{}, s.Abort(), err
	}
	p, err := s.Finish()
	if err != nil {
		return Result{}, s.Abort(), err
	}
	if key == "staged" {
		if err := p.Stage(t.Context()); err != nil {
			return Result{}, p.Abort(t.Context()), err
		}
	}
	res, err := p.Commit(t.Context())
	if err != nil {
		return res, p.Abort(t.Context()), err
	}
	return res, p.Leftover(), nil
}

// deceived says that an abort was answered as if it had been carried out.
func (t trial) deceived(id string) bool {
	return slices.ContainsFunc(t.srv.Requests(), func(r s3writertest.Request) bool {
		return r.Op == opAbort && r.UploadID == id && r.Faulted && (r.Status == http.StatusOK || r.Err == "NoSuchUpload")
	})
}

// judge holds what was reported of an object against what is there.
func (t trial) judge(key, body string, res Result, err error) {
	got, visible := t.srv.Get(testBucket, key)
	unknown := errors.Is(err, ErrCommitUnknown)
	switch {
	case err == nil && (!visible || string(got) != body):
		t.Errorf("%s: reported as committed, and visible is %v", key, visible)
	case err == nil && (res.State != StateCommitted || res.ETag == ""):
		t.Errorf("%s: committed with %+v", key, res)
	case unknown != (res.State == StateUnknown):
		t.Errorf("%s: %+v, %v", key, res, err)
	case err != nil && !unknown && visible:
		t.Errorf("%s: visible, though %v", key, err)
	case err != nil && !strings.Contains(err.Error(), key) && !errors.Is(err, ErrAccessDenied) && !errors.Is(err, ErrCredentials):
		t.Errorf("error does not name %s: %v", key, err)
	}
}

// clear makes the server forget the trial.
func (t trial) clear() {
	t.srv.ClearFaults()
	client := s3.New(t.engine.cfg.Client.(*s3.Client).Options(), func(o *s3.Options) { o.Retryer, o.RetryMaxAttempts = retry.NewStandard(), 5 })
	for _, u := range t.srv.Uploads(testBucket) {
		client.AbortMultipartUpload(t.Context(), &s3.AbortMultipartUploadInput{Bucket: aws.String(testBucket), Key: &u.Key, UploadId: &u.UploadID})
	}
	for _, key := range t.srv.Keys(testBucket) {
		if _, err := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(testBucket), Key: &key}); err != nil {
			t.Fatal(err)
		}
	}
	t.srv.SetIdempotentComplete(true)
	t.srv.Reset()
}

// Three thousand small objects use the connections that are there.
func TestConnectionsAreReused(t *testing.T) {
	var opened, now, most atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		io.Copy(io.Discard, r.Body)
		w.Header().Set("ETag", `"x"`)
		now.Add(-1)
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	srv.StartTLS()
	defer srv.Close()
	transport := Transport(32)
	transport.IdleConnTimeout = time.Minute // however slow this machine is
	transport.TLSClientConfig = srv.Client().Transport.(*http.Transport).TLSClientConfig
	transport.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	defer transport.CloseIdleConnections()
	client := s3.New(s3.Options{
		BaseEndpoint: aws.String(srv.URL), Region: "us-east-1", UsePathStyle: true, HTTPClient: HTTPClient(transport),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
		}),
	}, WireOptions(true))
	e := New(Config{Client: client, Bucket: "b", Memory: 64 << 20, Concurrency: 32, Logger: quiet()})
	var wg sync.WaitGroup
	tables := 3000
	if testing.Short() {
		tables = 500
	}
	for i := range tables {
		wg.Go(func() {
			p, err := finish(t.Context(), e, fmt.Sprint(i), data(4096))
			if err == nil {
				_, err = p.Commit(t.Context())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if opened.Load() > 32 || most.Load() > 32 {
		t.Errorf("%d connections, %d requests at once", opened.Load(), most.Load())
	}
	atRest(t, e)
}
