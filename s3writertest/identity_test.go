package s3writertest_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/seed149ec23d/s3writer/s3writertest"
)

func as(accessKeyID, secret, token string) func(*s3.Options) {
	return func(o *s3.Options) {
		o.Credentials = credentials.NewStaticCredentialsProvider(accessKeyID, secret, token)
	}
}

func put(c *s3.Client, change ...func(*s3.PutObjectInput)) error {
	in := &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("k"), Body: bytes.NewReader([]byte("hello"))}
	for _, f := range change {
		f(in)
	}
	_, err := c.PutObject(context.Background(), in)
	return err
}

func TestAuthentication(t *testing.T) {
	const id, secret = "AKIAWRITER", "writer-secret"
	tests := []struct {
		name   string
		server func(*s3writertest.Server)
		client func(*s3.Options)
		status int
		code   string
		text   string // of the message
	}{
		{name: "wrong secret", client: as(id, "other", ""), status: 403, code: "SignatureDoesNotMatch"},
		{name: "unknown key", client: as("AKIANOBODY", secret, ""), status: 403, code: "InvalidAccessKeyId"},
		{name: "made-up token", client: as(id, secret, "token"), status: 400, code: "InvalidToken"},
		{name: "anonymous", client: func(o *s3.Options) { o.Credentials = aws.AnonymousCredentials{} }, status: 403, code: "AccessDenied"},
		{name: "clock ahead", server: shift(20 * time.Minute), status: 403, code: "RequestTimeTooSkewed"},
		{name: "clock behind", server: shift(-20 * time.Minute), status: 403, code: "RequestTimeTooSkewed"},
		{name: "region of another bucket", server: func(s *s3writertest.Server) { s.SetRegion(bucket, "eu-west-1") },
			status: 400, code: "AuthorizationHeaderMalformed", text: "the region 'us-east-1' is wrong; expecting 'eu-west-1'"},
		{name: "redirect", server: func(s *s3writertest.Server) { s.SetRegion(bucket, "eu-west-1"); s.SetRedirect(true) },
			status: 301, code: "PermanentRedirect"},
		{name: "unsigned header", client: header("X-Amz-Storage-Class", "STANDARD"), status: 403, code: "AccessDenied",
			text: "headers present in the request which were not signed"},
		{name: "changed header", client: header("Content-Type", "text/changed"), status: 403, code: "SignatureDoesNotMatch"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(t)
			s.AddKey(id, secret, s3writertest.LeastPrivilege(bucket))
			c := client(s, as(id, secret, ""))
			if err := put(c, func(in *s3.PutObjectInput) { in.Key = aws.String("before"); in.ContentType = aws.String("text/csv") }); err != nil {
				t.Fatal(err)
			}
			if test.server != nil {
				test.server(s)
			}
			if test.client != nil {
				c = client(s, as(id, secret, ""), test.client)
			}
			err := put(c, func(in *s3.PutObjectInput) { in.ContentType = aws.String("text/csv") })
			wantError(t, err, test.status, test.code)
			if !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %v, want %q in it", err, test.text)
			}
			if _, stored := s.Get(bucket, "k"); stored {
				t.Error("a refused object was stored")
			}
		})
	}
}

// shift moves the server's clock away from the client's.
func shift(d time.Duration) func(*s3writertest.Server) {
	return func(s *s3writertest.Server) { s.SetTime(func() time.Time { return time.Now().Add(d) }) }
}

// header changes a header when the request is signed already.
func header(name, value string) func(*s3.Options) {
	return afterSigning(func(r *smithyhttp.Request) { r.Header.Set(name, value) })
}

func afterSigning(change func(*smithyhttp.Request)) func(*s3.Options) {
	return s3.WithAPIOptions(func(stack *middleware.Stack) error {
		return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("AfterSigning",
			func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
				middleware.FinalizeOutput, middleware.Metadata, error) {
				change(in.Request.(*smithyhttp.Request))
				return next.HandleFinalize(ctx, in)
			}), "Signing", middleware.After)
	})
}

func TestPayloadHash(t *testing.T) {
	s := newServer(t)
	flipped := afterSigning(func(r *smithyhttp.Request) {
		changed, _ := r.SetStream(strings.NewReader("hellO"))
		*r = *changed
	})
	wantError(t, put(client(s, flipped)), 400, "XAmzContentSHA256Mismatch")

	unsigned := func(o *s3.Options) {
		o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
	}
	if err := put(client(s, unsigned)); err != nil {
		t.Errorf("UNSIGNED-PAYLOAD: %v", err)
	}
	sum := func(in *s3.PutObjectInput) { in.ChecksumCRC64NVME = aws.String(crc("hello")) }
	wantError(t, put(client(s, unsigned, flipped), sum), 400, "BadDigest")
}

func TestStreamingBodyRefused(t *testing.T) {
	s := s3writertest.NewTLSServer(bucket)
	defer s.Close()
	err := put(client(s, func(o *s3.Options) { o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenSupported }))
	wantError(t, err, 501, "NotImplemented")
	if !strings.Contains(err.Error(), "WhenRequired") {
		t.Errorf("%v does not say what to do", err)
	}
}

// LeastPrivilege on every operation a client may try, named or not.
func TestPermissions(t *testing.T) {
	ctx := context.Background()
	b, k, id := aws.String(bucket), aws.String("k"), aws.String("id")
	tests := []struct {
		op     string
		call   func(*s3.Client) error
		denied string // the action; empty: allowed
	}{
		{op: "PutObject", call: func(c *s3.Client) error { return put(c) }},
		{op: "PutObject if it is not there", call: func(c *s3.Client) error {
			return put(c, func(in *s3.PutObjectInput) { in.IfNoneMatch = aws.String("*"); in.Key = aws.String("new") })
		}},
		{op: "PutObject with tags", denied: "s3:PutObjectTagging", call: func(c *s3.Client) error {
			return put(c, func(in *s3.PutObjectInput) { in.Tagging = aws.String("a=b") })
		}},
		{op: "PutObject with an ACL", denied: "s3:PutObjectAcl", call: func(c *s3.Client) error {
			return put(c, func(in *s3.PutObjectInput) { in.ACL = "private" })
		}},
		{op: "PutObject with a grant", denied: "s3:PutObjectAcl", call: func(c *s3.Client) error {
			return put(c, func(in *s3.PutObjectInput) { in.GrantFullControl = id })
		}},
		{op: "PutObject with a grant of its ACL", denied: "s3:PutObjectAcl", call: func(c *s3.Client) error {
			return put(c, func(in *s3.PutObjectInput) { in.GrantReadACP = id })
		}},
		{op: "PutObject elsewhere", denied: "s3:PutObject", call: func(c *s3.Client) error {
			return put(c, func(in *s3.PutObjectInput) { in.Bucket = aws.String("other") })
		}},
		{op: "multipart upload", call: func(c *s3.Client) error {
			d := newDelivery("k")
			if err := d.upload(c); err != nil {
				return err
			}
			_, err := d.finish(c)
			return err
		}},
		{op: "GetBucketLocation", call: func(c *s3.Client) error {
			_, err := c.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: b})
			return err
		}},
		{op: "AbortMultipartUpload", denied: "s3:AbortMultipartUpload", call: func(c *s3.Client) error {
			_, err := c.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: b, Key: k, UploadId: id})
			return err
		}},
		{op: "ListParts", denied: "s3:ListMultipartUploadParts", call: func(c *s3.Client) error {
			_, err := c.ListParts(ctx, &s3.ListPartsInput{Bucket: b, Key: k, UploadId: id})
			return err
		}},
		{op: "ListMultipartUploads", denied: "s3:ListBucketMultipartUploads", call: func(c *s3.Client) error {
			_, err := c.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: b})
			return err
		}},
		{op: "ListObjectsV2", denied: "s3:ListBucket", call: func(c *s3.Client) error {
			_, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: b})
			return err
		}},
		{op: "GetObject", denied: "s3:GetObject", call: func(c *s3.Client) error {
			_, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: b, Key: k})
			return err
		}},
		{op: "DeleteObject", denied: "s3:DeleteObject", call: func(c *s3.Client) error {
			_, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: b, Key: k})
			return err
		}},
		{op: "CreateBucket", denied: "s3:CreateBucket", call: func(c *s3.Client) error {
			_, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("mine")})
			return err
		}},
		{op: "ListBuckets", denied: "s3:ListAllMyBuckets", call: func(c *s3.Client) error {
			_, err := c.ListBuckets(ctx, &s3.ListBucketsInput{})
			return err
		}},
	}
	s := s3writertest.NewServer(bucket, "other")
	defer s.Close()
	s.SetMinPartSize(partSize)
	s.AddKey("AKIALEAST", "secret", s3writertest.LeastPrivilege(bucket))
	c := client(s, as("AKIALEAST", "secret", ""))
	for _, test := range tests {
		t.Run(test.op, func(t *testing.T) {
			err := test.call(c)
			if test.denied == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, 403, "AccessDenied")
			want := "User: arn:aws:iam::123456789012:user/AKIALEAST is not authorized to perform: " + test.denied
			if !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q in it", err, want)
			}
		})
	}
}

func TestAllowPatterns(t *testing.T) {
	tests := []struct {
		allow  s3writertest.Allow
		passes bool
	}{
		{s3writertest.Allow{Actions: []string{"*"}, Resources: []string{"*"}}, true},
		{s3writertest.Allow{Actions: []string{"s3:Put*"}, Resources: []string{"arn:aws:s3:::writer-*"}}, true},
		{s3writertest.Allow{Actions: []string{"S3:PUTOBJECT"}, Resources: []string{"arn:aws:s3:::writer-sample/?"}}, true},
		{s3writertest.Allow{Actions: []string{"s3:PutObject"}, Resources: []string{"arn:aws:s3:::writer-sample"}}, false},
		{s3writertest.Allow{Actions: []string{"s3:PutObject"}, Resources: []string{"arn:aws:s3:::writer-sample/[k]"}}, false},
		{s3writertest.Allow{Actions: []string{"s3:GetObject"}, Resources: []string{"*"}}, false},
		{s3writertest.Allow{Actions: []string{"s3:PutObject"}}, false},
		{s3writertest.Allow{}, false},
	}
	for _, test := range tests {
		s := newServer(t)
		s.AddKey("AKIATEST", "secret", test.allow)
		if err := put(client(s, as("AKIATEST", "secret", ""))); (err == nil) != test.passes {
			t.Errorf("%+v: %v", test.allow, err)
		}
	}
}

func TestRegionDiscovery(t *testing.T) {
	s := newServer(t)
	ctx, c := context.Background(), client(s)
	for region, want := range map[string]string{"us-east-1": "", "eu-west-1": "eu-west-1"} {
		s.SetRegion(bucket, region)
		out, err := c.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: aws.String(bucket)})
		if err != nil || string(out.LocationConstraint) != want {
			t.Errorf("location of a bucket in %s: %q, %v", region, out.LocationConstraint, err)
		}
		for _, credentials := range []aws.CredentialsProvider{nil, aws.AnonymousCredentials{}} {
			c := client(s, func(o *s3.Options) {
				if credentials != nil {
					o.Credentials = credentials
				}
			})
			_, err := c.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String(bucket)})
			if region == "us-east-1" && credentials == nil {
				if err != nil {
					t.Error(err)
				}
				continue
			}
			var response *smithyhttp.ResponseError
			if !errors.As(err, &response) || response.Response.Header.Get("X-Amz-Bucket-Region") != region {
				t.Errorf("HeadBucket in %s: %v", region, err)
			}
		}
	}
}

func TestBuckets(t *testing.T) {
	s := newServer(t)
	c := client(s)
	wantError(t, put(c, func(in *s3.PutObjectInput) { in.Bucket = aws.String("nowhere") }), 404, "NoSuchBucket")

	owned := func(account string) func(*s3.PutObjectInput) {
		return func(in *s3.PutObjectInput) { in.ExpectedBucketOwner = aws.String(account) }
	}
	if err := put(c, owned(s3writertest.DefaultOwner)); err != nil {
		t.Error(err)
	}
	wantError(t, put(c, owned("210987654321")), 403, "AccessDenied")
	wantError(t, put(c, owned("nobody")), 400, "InvalidBucketOwnerAWSAccountID")
	s.SetOwner(bucket, "210987654321")
	if err := put(c, owned("210987654321")); err != nil {
		t.Error(err)
	}
}

func TestClockSkewIsCorrected(t *testing.T) {
	s := newServer(t)
	shift(20 * time.Minute)(s)
	c := client(s, retryAtOnce)
	if err := put(c); err != nil {
		var api smithy.APIError
		errors.As(err, &api)
		t.Errorf("the server's Date did not set the client right: %v", err)
	}
	if got := s.Requests()[0]; got.Err != "RequestTimeTooSkewed" || got.Status != http.StatusForbidden {
		t.Errorf("first attempt: %+v", got)
	}
}
