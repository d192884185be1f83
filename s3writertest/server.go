package s3writertest

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/johannesboyne/gofakes3"
)

// Defaults of a new [Server].
const (
	DefaultRegion      = "us-east-1"
	DefaultOwner       = "123456789012" // the account that owns every bucket, key and role
	DefaultMinPartSize = 5 << 20

	defaultAccessKeyID     = "AKIAS3WRITERTEST0001"
	defaultSecretAccessKey = "s3writertest/the+default/secret+of+tests"
)

// Server is an S3 and an STS on a loopback port. It is safe for concurrent use.
type Server struct {
	// URL is the base of both services, http://127.0.0.1:port without a trailing slash.
	URL string

	http   *httptest.Server
	closed chan struct{}
	close  sync.Once
	ids    atomic.Int64 // request IDs

	settings   settings
	identities identities
	store      *store
	reads      http.Handler // gofakes3 on store: what neither writes objects nor needs AWS's strictness
	uploads    uploads
	faults     faults
	log        requestLog
}

// settings are what the Set methods change, under one lock.
type settings struct {
	mu          sync.RWMutex
	now         func() time.Time
	regions     map[string]string // by bucket; absent: DefaultRegion
	owners      map[string]string // by bucket; absent: DefaultOwner
	redirect    bool
	minPartSize int64
	oneComplete bool
	discard     bool
}

// NewServer starts a server over plain http with one empty bucket per name.
// Like [httptest.NewServer] it panics if no loopback port can be had.
func NewServer(buckets ...string) *Server {
	s := newServer(buckets)
	s.http.Start()
	s.URL = s.http.URL
	return s
}

// NewTLSServer is [NewServer] over https. Only the client of [Server.Client] trusts its certificate.
func NewTLSServer(buckets ...string) *Server {
	s := newServer(buckets)
	s.http.StartTLS()
	s.URL = s.http.URL
	return s
}

func newServer(buckets []string) *Server {
	s := &Server{closed: make(chan struct{})}
	s.settings = settings{
		now:         time.Now,
		regions:     map[string]string{},
		owners:      map[string]string{},
		minPartSize: DefaultMinPartSize,
	}
	s.store = newStore(s.now)
	for _, bucket := range buckets {
		_ = s.store.CreateBucket(bucket) // the only error is a name given twice
	}
	s.reads = gofakes3.New(s.store, gofakes3.WithTimeSkewLimit(0)).Server()
	s.AddKey(defaultAccessKeyID, defaultSecretAccessKey, Allow{Actions: []string{"*"}, Resources: []string{"*"}})
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0) // TLS handshakes that a test refuses on purpose
	return s
}

// Close lets every hanging [Fault] go, waits for the requests in flight, and stops the server.
// What was stored and logged can still be read.
func (s *Server) Close() {
	s.close.Do(func() { close(s.closed) })
	s.http.Close()
}

// Client returns a client that trusts the server's certificate. [Server.Close] closes its idle connections.
func (s *Server) Client() *http.Client { return s.http.Client() }

// Credentials returns a key that is allowed everything.
func (s *Server) Credentials() (accessKeyID, secretAccessKey string) {
	return defaultAccessKeyID, defaultSecretAccessKey
}

// Config returns an SDK configuration for the key of [Server.Credentials]: endpoint, region, client.
// Buckets are addressed by path, which an s3.Client has to be told: s3.Options.UsePathStyle.
func (s *Server) Config() aws.Config {
	return aws.Config{
		Region:       DefaultRegion,
		BaseEndpoint: aws.String(s.URL),
		HTTPClient:   s.Client(),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: defaultAccessKeyID, SecretAccessKey: defaultSecretAccessKey}, nil
		}),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired, // no aws-chunked bodies over https
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
	}
}

// SetTime makes now the server's clock: for the age of sessions, the skew of requests, and Last-Modified.
func (s *Server) SetTime(now func() time.Time) {
	s.settings.mu.Lock()
	defer s.settings.mu.Unlock()
	s.settings.now = now
}

// SetRegion moves a bucket to another region. A request signed for any other one is then refused with
// 400 AuthorizationHeaderMalformed, which names the right one; only GetBucketLocation is still answered in
// us-east-1, as AWS does.
func (s *Server) SetRegion(bucket, region string) {
	s.settings.mu.Lock()
	defer s.settings.mu.Unlock()
	s.settings.regions[bucket] = region
}

// SetRedirect makes requests signed for a wrong region end in 301 PermanentRedirect instead of
// 400 AuthorizationHeaderMalformed. AWS uses both.
func (s *Server) SetRedirect(redirect bool) {
	s.settings.mu.Lock()
	defer s.settings.mu.Unlock()
	s.settings.redirect = redirect
}

// SetOwner gives a bucket to another account. A request that expects a different one
// (x-amz-expected-bucket-owner) is refused.
func (s *Server) SetOwner(bucket, accountID string) {
	s.settings.mu.Lock()
	defer s.settings.mu.Unlock()
	s.settings.owners[bucket] = accountID
}

// SetMinPartSize lowers the least size of a part that is not the last, [DefaultMinPartSize], so that
// a test of many parts needs few bytes.
func (s *Server) SetMinPartSize(bytes int64) {
	s.settings.mu.Lock()
	defer s.settings.mu.Unlock()
	s.settings.minPartSize = bytes
}

// SetIdempotentComplete says how a CompleteMultipartUpload is answered that repeats one that succeeded:
// with the same success as AWS does (true, the default), or with 404 NoSuchUpload as MinIO does.
func (s *Server) SetIdempotentComplete(idempotent bool) {
	s.settings.mu.Lock()
	defer s.settings.mu.Unlock()
	s.settings.oneComplete = !idempotent
}

// SetDiscard makes the server verify bodies and forget them: objects keep their size and checksums, but
// no content. It is meant for measuring a client, whose memory and speed are then its own.
func (s *Server) SetDiscard(discard bool) {
	s.settings.mu.Lock()
	defer s.settings.mu.Unlock()
	s.settings.discard = discard
}

func (s *Server) now() time.Time {
	s.settings.mu.RLock()
	defer s.settings.mu.RUnlock()
	return s.settings.now()
}

func (s *settings) region(bucket string) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if region, ok := s.regions[bucket]; ok {
		return region
	}
	return DefaultRegion
}

func (s *settings) owner(bucket string) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if owner, ok := s.owners[bucket]; ok {
		return owner
	}
	return DefaultOwner
}

func (s *settings) redirects() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.redirect
}

func (s *settings) discards() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.discard
}

// multipart returns what CompleteMultipartUpload depends on.
func (s *settings) multipart() (minPartSize int64, idempotent bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.minPartSize, !s.oneComplete
}
