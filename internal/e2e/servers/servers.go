// Package servers starts real S3 servers on loopback, each a process of its own that ends with the test.
package servers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Keys are a user's access keys.
type Keys struct{ AccessKeyID, SecretAccessKey string }

// Retrieve implements [aws.CredentialsProvider].
func (k Keys) Retrieve(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, Source: "e2e"}, nil
}

// root is allowed everything on a server that listens on loopback for the length of one test. Its name has the form
// of an account ID, because VersityGW takes the name of a bucket's owner for that.
var root = Keys{"111122223333", "e2e-root-secret"}

// Server is a running S3 server.
type Server struct {
	Endpoint string         // URL of S3, and of STS where the server has one
	Region   string         // the only one that it accepts in a signature
	CA       *x509.CertPool // who signed the server's certificate; nil over http
	CAFile   string         // the same, as PEM

	addUser    func(t testing.TB, name, policy string) Keys
	removeUser func(t testing.TB, name string)
}

// Owner is the account that owns every bucket.
func (s *Server) Owner() string { return root.AccessKeyID }

// AddUser makes a user who has the rights of this policy document and no others.
func (s *Server) AddUser(t testing.TB, name, policy string) Keys {
	t.Helper()
	return s.addUser(t, name, policy)
}

// RemoveUser takes a user's keys and sessions away, at once.
func (s *Server) RemoveUser(t testing.TB, name string) {
	t.Helper()
	s.removeUser(t, name)
}

// CreateBucket makes a bucket in the server's region.
func (s *Server) CreateBucket(t testing.TB, bucket string) {
	t.Helper()
	in := &s3.CreateBucketInput{Bucket: &bucket}
	if s.Region != "us-east-1" { // which may not be named
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{
			LocationConstraint: types.BucketLocationConstraint(s.Region),
		}
	}
	if _, err := s.Root().CreateBucket(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

// HTTPClient returns a client that trusts the server's certificate.
func (s *Server) HTTPClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: s.CA}
	return &http.Client{Transport: transport}
}

// Client returns an S3 client that signs with these credentials.
func (s *Server) Client(credentials aws.CredentialsProvider) *s3.Client {
	return s3.New(s3.Options{
		Region:                     s.Region,
		BaseEndpoint:               aws.String(s.Endpoint),
		UsePathStyle:               true,
		Credentials:                credentials,
		HTTPClient:                 s.HTTPClient(),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
	})
}

// Root returns an S3 client that may do everything.
func (s *Server) Root() *s3.Client { return s.Client(root) }
