package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// regionAnswer is one answer of S3: status, error code and message or location, header.
type regionAnswer struct {
	status                  int
	code, message, location string
	header                  string
}

func (a regionAnswer) write(w http.ResponseWriter, head bool) {
	if a.header != "" {
		w.Header().Set("X-Amz-Bucket-Region", a.header)
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(a.status)
	switch {
	case head:
	case a.status == http.StatusOK:
		fmt.Fprintf(w, `<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">%s</LocationConstraint>`, a.location)
	default:
		fmt.Fprintf(w, `<Error><Code>%s</Code><Message>%s</Message><RequestId>4442587FB7D0A2F9</RequestId></Error>`, a.code, a.message)
	}
}

// regionClient returns a client of a server that answers GetBucketLocation and HeadBucket so.
func regionClient(t *testing.T, location, head regionAnswer) *s3.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("X-Amz-Expected-Bucket-Owner"); got != "111122223333" {
			t.Errorf("%s: expected bucket owner %q, want the one given", r.Method, got)
		}
		switch {
		case r.Method == http.MethodGet && r.URL.Query().Has("location"):
			location.write(w, false)
		case r.Method == http.MethodHead && head.status != 0:
			head.write(w, true)
		default:
			t.Errorf("unexpected %s %s", r.Method, r.URL)
		}
	}))
	t.Cleanup(server.Close)
	return s3.New(s3.Options{
		Region:       "us-east-1",
		BaseEndpoint: &server.URL,
		UsePathStyle: true,
		HTTPClient:   server.Client(),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIA", SecretAccessKey: "secret"}, nil
		}),
	})
}

// discoverRegion asks as the engine of a Writer does.
func discoverRegion(ctx context.Context, c *s3.Client, owner string) (string, error) {
	return DiscoverRegion(ctx, Config{Client: c, Bucket: "writer-sample", Owner: owner, Logger: quiet()})
}

func TestDiscoverRegion(t *testing.T) {
	denied := regionAnswer{status: 403, code: "AccessDenied", message: "Access Denied"}
	for _, test := range []struct {
		name           string
		location, head regionAnswer
		want           string
	}{
		{"no location is us-east-1", regionAnswer{status: 200}, regionAnswer{}, "us-east-1"},
		{"EU is eu-west-1", regionAnswer{status: 200, location: "EU"}, regionAnswer{}, "eu-west-1"},
		{"location", regionAnswer{status: 200, location: "ap-southeast-2"}, regionAnswer{}, "ap-southeast-2"},
		{"denied, named in the header", regionAnswer{403, "AccessDenied", "Access Denied", "", "eu-central-1"}, regionAnswer{}, "eu-central-1"},
		{"malformed, named in the header", regionAnswer{400, "AuthorizationHeaderMalformed", "wrong", "", "eu-north-1"}, regionAnswer{}, "eu-north-1"},
		{"malformed, named in the message", regionAnswer{400, "AuthorizationHeaderMalformed",
			"The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'", "", ""}, regionAnswer{}, "eu-west-1"},
		{"denied, head 200", denied, regionAnswer{status: 200, header: "eu-west-2"}, "eu-west-2"},
		{"denied, head 301", denied, regionAnswer{status: 301, header: "eu-west-3"}, "eu-west-3"},
		{"denied, head 400", denied, regionAnswer{status: 400, header: "sa-east-1"}, "sa-east-1"},
		{"denied, head 403", denied, regionAnswer{status: 403, header: "ca-central-1"}, "ca-central-1"},
		{"not implemented, head 200", regionAnswer{status: 405, code: "MethodNotAllowed"}, regionAnswer{status: 200, header: "us-west-2"}, "us-west-2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := regionClient(t, test.location, test.head)
			got, err := discoverRegion(t.Context(), c, "111122223333")
			if err != nil || got != test.want {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

func TestDiscoverRegionErrors(t *testing.T) {
	denied := regionAnswer{status: 403, code: "AccessDenied", message: "Access Denied"}
	for _, test := range []struct {
		name           string
		location, head regionAnswer
		want, code     string
	}{
		{"no such bucket", regionAnswer{status: 404, code: "NoSuchBucket", message: "The specified bucket does not exist"}, regionAnswer{},
			`region of bucket "writer-sample": no such bucket: "writer-sample" (AWS says: NoSuchBucket: `, "NoSuchBucket"},
		{"denied, head 404", denied, regionAnswer{status: 404},
			`region of bucket "writer-sample": no such bucket: "writer-sample" (AWS says: NotFound)`, "NotFound"},
		{"unknown key", regionAnswer{403, "InvalidAccessKeyId", "unknown", "", "us-east-1"}, regionAnswer{},
			`region of bucket "writer-sample": credentials refused: the access key ID is not known (AWS says: InvalidAccessKeyId`, "InvalidAccessKeyId"},
		{"wrong secret", regionAnswer{403, "SignatureDoesNotMatch", "wrong", "", "us-east-1"}, regionAnswer{},
			`region of bucket "writer-sample": credentials refused: the secret access key is not that of the access key ID (AWS says: SignatureDoesNotMatch`, "SignatureDoesNotMatch"},
		{"named nowhere", denied, regionAnswer{status: 403},
			`region of bucket "writer-sample" is not to be found: set WithRegion, or allow s3:GetBucketLocation on the bucket: access denied: s3:GetBucketLocation on arn:aws:s3:::writer-sample: `, "AccessDenied"},
		{"head without header", denied, regionAnswer{status: 200}, "; the answer to HeadBucket names no region", "AccessDenied"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := regionClient(t, test.location, test.head)
			region, err := discoverRegion(t.Context(), c, "111122223333")
			if err == nil || region != "" || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got  %q, %v\nwant an error with %q", region, err, test.want)
			}
			if got := discoveryCode(err); got != test.code {
				t.Errorf("error code %q, want %q", got, test.code)
			}
		})
	}
}

// regionTransport is an HTTP client made of a function.
type regionTransport func(*http.Request) (*http.Response, error)

func (f regionTransport) Do(r *http.Request) (*http.Response, error) { return f(r) }

func TestDiscoverRegionWithoutNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests []string
		unplugged := errors.New("network is unreachable")
		c := s3.New(s3.Options{
			Region:      "us-east-1",
			Retryer:     aws.NopRetryer{},
			Credentials: aws.AnonymousCredentials{},
			HTTPClient: regionTransport(func(r *http.Request) (*http.Response, error) {
				requests = append(requests, r.Method)
				return nil, unplugged
			}),
		})
		_, err := discoverRegion(t.Context(), c, "")
		if !errors.Is(err, unplugged) {
			t.Errorf("error %v, want the network's", err)
		}
		if got, want := strings.Join(requests, " "), strings.Repeat("GET ", defaultPace.attempts); got+" " != want {
			t.Errorf("requests %s, want %s: repeated, and not asked in another way", got, want)
		}
	})
}

// TestDiscoverRegionPatiently: the region was asked for three times within a second or two,
// which no storm of 503s ends in, and a request that got no answer was waited for for ever.
func TestDiscoverRegionPatiently(t *testing.T) {
	location := regionAnswer{status: 200, location: "eu-west-1"}
	storm := regionAnswer{status: 503, code: "SlowDown", message: "Please reduce your request rate."}
	for _, test := range []struct {
		name        string
		answer      func(n int, since time.Duration) *regionAnswer // nil: never
		retryAfter  string
		least, most time.Duration
	}{
		{"a storm of 30 s", func(_ int, since time.Duration) *regionAnswer {
			if since < 30*time.Second {
				return &storm
			}
			return &location
		}, "", 30 * time.Second, 40 * time.Second},
		{"no answer to the first", func(n int, _ time.Duration) *regionAnswer {
			if n == 1 {
				return nil
			}
			return &location
		}, "", time.Minute, time.Minute + time.Second},
		{"Retry-After", func(n int, _ time.Duration) *regionAnswer {
			if n == 1 {
				return &storm
			}
			return &location
		}, "20", 20 * time.Second, 21 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, n := time.Now(), 0
				c := s3.New(s3.Options{
					Region:      "us-east-1",
					Credentials: aws.AnonymousCredentials{},
					HTTPClient: regionTransport(func(r *http.Request) (*http.Response, error) {
						n++
						answer := test.answer(n, time.Since(began))
						if answer == nil {
							<-r.Context().Done()
							return nil, r.Context().Err()
						}
						w := httptest.NewRecorder()
						w.Header().Set("Retry-After", test.retryAfter)
						answer.write(w, r.Method == http.MethodHead)
						return w.Result(), nil
					}),
				})
				region, err := discoverRegion(t.Context(), c, "")
				if err != nil || region != "eu-west-1" {
					t.Errorf("got %q, %v; want eu-west-1", region, err)
				}
				if took := time.Since(began); took < test.least || took > test.most {
					t.Errorf("it took %v and %d requests, want %v to %v", took, n, test.least, test.most)
				}
			})
		})
	}
}

func TestDiscoverRegionCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := s3.New(s3.Options{
		Region:      "us-east-1",
		Credentials: aws.AnonymousCredentials{},
		HTTPClient: regionTransport(func(r *http.Request) (*http.Response, error) {
			cancel()
			return nil, r.Context().Err()
		}),
	})
	if _, err := discoverRegion(ctx, c, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

func TestRegionOf(t *testing.T) {
	answer := func(service string, header string, cause error) error {
		r := &http.Response{StatusCode: 301, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(""))}
		r.Header.Set("X-Amz-Bucket-Region", header)
		return &smithy.OperationError{ServiceID: service, OperationName: "PutObject",
			Err: &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: r}, Err: cause}}
	}
	quoted := &smithy.GenericAPIError{Code: "AuthorizationHeaderMalformed", Message: `the region "us-east-1" is wrong; expecting "eu-west-1"`}
	moved := &smithy.GenericAPIError{Code: "PermanentRedirect", Message: "expecting 'eu-west-1'"}
	malformed := &smithy.GenericAPIError{Code: "AuthorizationHeaderMalformed", Message: "the region 'us-east-1' is wrong; expecting 'eu-west-1'"}
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"nil", nil, ""},
		{"no answer", errors.New("broken pipe"), ""},
		{"header", answer("S3", "eu-west-2", moved), "eu-west-2"},
		{"wrapped", fmt.Errorf("part 3: %w", errors.Join(answer("S3", "eu-west-2", moved))), "eu-west-2"},
		{"message of another code", answer("S3", "", moved), ""},
		{"message", answer("S3", "", malformed), "eu-west-1"},
		{"message of a server with other quotes", answer("S3", "", quoted), "eu-west-1"},
		{"header before message", answer("S3", "eu-west-2", malformed), "eu-west-2"},
		{"no region's name", answer("S3", "evil.example.com/", moved), ""},
		{"answer of STS", answer("STS", "eu-west-2", moved), ""},
		{"answer of STS within S3", &smithy.OperationError{ServiceID: "S3", OperationName: "PutObject", Err: answer("STS", "eu-west-2", moved)}, ""},
	} {
		if got := RegionOf(test.err); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}
