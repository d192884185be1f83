package s3writer_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

const (
	userID     = "AKIAIOSFODNN7EXAMPLE"
	userSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	roleARN    = "arn:aws:iam::123456789012:role/s3-writer"
	externalID = "project-42"
)

func user(secret string) s3writer.Option {
	return s3writer.WithCredentials(s3writer.StaticCredentials(userID, secret, ""))
}

// assume is the role, as a customer's form would have it.
func assume(srv *s3writertest.Server, role, external string) s3writer.Option {
	id, secret := srv.Credentials()
	return s3writer.WithCredentials(s3writer.AssumeRole{
		AccountID: "123456789012", RoleName: role, ExternalID: external,
		Base: s3writer.StaticCredentials(id, secret, ""), Endpoint: srv.URL, Region: "us-east-1",
	})
}

// addRole lets the server's own key assume the role, which may do what a
// delivery needs.
func addRole(srv *s3writertest.Server, allow ...s3writertest.Allow) {
	if allow == nil {
		allow = []s3writertest.Allow{s3writertest.LeastPrivilege(bucket)}
	}
	srv.AddRole(s3writertest.Role{ARN: roleARN, ExternalID: externalID, Allow: allow})
}

// TestRefusals is about what a server says no to. Each says what to look at,
// in the server's own words too, and nothing is left behind. Small tables meet
// it in PutObject, large ones in CreateMultipartUpload.
func TestRefusals(t *testing.T) {
	for _, test := range []struct {
		name   string
		server func(*s3writertest.Server)
		opts   func(*s3writertest.Server) []s3writer.Option
		is     error
		want   string // CREATE stands for the operation's name
	}{
		{"wrong secret", func(srv *s3writertest.Server) { srv.AddKey(userID, userSecret, s3writertest.LeastPrivilege(bucket)) },
			func(*s3writertest.Server) []s3writer.Option { return []s3writer.Option{user("not/the/secret")} },
			s3writer.ErrCredentials, `s3writer: table "t.csv": credentials refused: the secret access key is not that of the access key ID ` +
				`(AWS says: SignatureDoesNotMatch: The request signature we calculated does not match the signature you provided. Check your key and signing method., request ID X)`},
		{"unknown key", nil,
			func(*s3writertest.Server) []s3writer.Option { return []s3writer.Option{user(userSecret)} },
			s3writer.ErrCredentials, `s3writer: table "t.csv": credentials refused: the access key ID is not known ` +
				`(AWS says: InvalidAccessKeyId: The AWS Access Key Id you provided does not exist in our records., request ID X)`},
		{"denied", func(srv *s3writertest.Server) {
			srv.AddKey(userID, userSecret, s3writertest.Allow{Actions: []string{"s3:GetObject"}, Resources: []string{"*"}})
		}, func(*s3writertest.Server) []s3writer.Option { return []s3writer.Option{user(userSecret)} },
			s3writer.ErrAccessDenied, `s3writer: table "t.csv": access denied: s3:PutObject on arn:aws:s3:::writer-sample/*` +
				`: check the identity's policy, the bucket's policy, its owner, and kms:GenerateDataKey` +
				` (AWS says: AccessDenied: User: arn:aws:iam::123456789012:user/AKIAIOSFODNN7EXAMPLE is not authorized to perform: s3:PutObject on resource: "arn:aws:s3:::writer-sample/t.csv" ` +
				`because no identity-based policy allows the s3:PutObject action, request ID X)`},
		{"denied below another prefix", func(srv *s3writertest.Server) {
			srv.AddKey(userID, userSecret, s3writertest.Allow{Actions: []string{"s3:PutObject"}, Resources: []string{"arn:aws:s3:::writer-sample/in/*"}})
		}, func(*s3writertest.Server) []s3writer.Option {
			return []s3writer.Option{user(userSecret), s3writer.WithPrefix("exports")}
		}, s3writer.ErrAccessDenied, `s3writer: table "t.csv": object "exports/t.csv": access denied: s3:PutObject on arn:aws:s3:::writer-sample/exports/*` +
			`: check the identity's policy, the bucket's policy, its owner, and kms:GenerateDataKey` +
			` (AWS says: AccessDenied: User: arn:aws:iam::123456789012:user/AKIAIOSFODNN7EXAMPLE is not authorized to perform: s3:PutObject on resource: "arn:aws:s3:::writer-sample/exports/t.csv" ` +
			`because no identity-based policy allows the s3:PutObject action, request ID X)`},
		{"unknown role", func(srv *s3writertest.Server) { addRole(srv) },
			func(srv *s3writertest.Server) []s3writer.Option {
				return []s3writer.Option{assume(srv, "no-such-role", externalID)}
			}, s3writer.ErrCredentials, `s3writer: table "t.csv": credentials: sts:AssumeRole on arn:aws:iam::123456789012:role/no-such-role: access denied: ` +
				`check that the role exists, that its trust policy names arn:aws:iam::123456789012:user/AKIAS3WRITERTEST0001 as principal, ` +
				`and that its sts:ExternalId is the one given, "project-42" ` +
				`(AWS says: AccessDenied: User: arn:aws:iam::123456789012:user/AKIAS3WRITERTEST0001 is not authorized to perform: ` +
				`sts:AssumeRole on resource: arn:aws:iam::123456789012:role/no-such-role, request ID X)`},
		{"wrong external ID", func(srv *s3writertest.Server) { addRole(srv) },
			func(srv *s3writertest.Server) []s3writer.Option {
				return []s3writer.Option{assume(srv, "s3-writer", "project-43")}
			}, s3writer.ErrCredentials, `s3writer: table "t.csv": credentials: sts:AssumeRole on arn:aws:iam::123456789012:role/s3-writer: access denied: ` +
				`check that the role exists, that its trust policy names arn:aws:iam::123456789012:user/AKIAS3WRITERTEST0001 as principal, ` +
				`and that its sts:ExternalId is the one given, "project-43" ` +
				`(AWS says: AccessDenied: User: arn:aws:iam::123456789012:user/AKIAS3WRITERTEST0001 is not authorized to perform: ` +
				`sts:AssumeRole on resource: arn:aws:iam::123456789012:role/s3-writer, request ID X)`},
		{"no external ID", func(srv *s3writertest.Server) { addRole(srv) },
			func(srv *s3writertest.Server) []s3writer.Option {
				return []s3writer.Option{assume(srv, "s3-writer", "")}
			}, s3writer.ErrCredentials, `s3writer: table "t.csv": credentials: sts:AssumeRole on arn:aws:iam::123456789012:role/s3-writer: access denied: ` +
				`check that the role exists, that its trust policy names arn:aws:iam::123456789012:user/AKIAS3WRITERTEST0001 as principal, ` +
				`and that it asks for no sts:ExternalId, as none is given ` +
				`(AWS says: AccessDenied: User: arn:aws:iam::123456789012:user/AKIAS3WRITERTEST0001 is not authorized to perform: ` +
				`sts:AssumeRole on resource: arn:aws:iam::123456789012:role/s3-writer, request ID X)`},
		{"role that may not write", func(srv *s3writertest.Server) {
			addRole(srv, s3writertest.Allow{Actions: []string{"s3:GetBucketLocation"}, Resources: []string{"*"}})
		}, func(srv *s3writertest.Server) []s3writer.Option {
			return []s3writer.Option{assume(srv, "s3-writer", externalID)}
		}, s3writer.ErrAccessDenied, `s3writer: table "t.csv": access denied: s3:PutObject on arn:aws:s3:::writer-sample/*` +
			`: check the identity's policy, the bucket's policy, its owner, and kms:GenerateDataKey` +
			` (AWS says: AccessDenied: User: arn:aws:sts::123456789012:assumed-role/s3-writer/s3writer is not authorized to perform: s3:PutObject on resource: "arn:aws:s3:::writer-sample/t.csv" ` +
			`because no identity-based policy allows the s3:PutObject action, request ID X)`},
		{"another owner", nil, func(*s3writertest.Server) []s3writer.Option {
			return []s3writer.Option{s3writer.WithBucketOwner("999999999999")}
		}, s3writer.ErrAccessDenied, `s3writer: table "t.csv": access denied: s3:PutObject on arn:aws:s3:::writer-sample/*` +
			`: check the identity's policy, the bucket's policy, its owner, and kms:GenerateDataKey (AWS says: AccessDenied: Access Denied, request ID X)`},
		{"object of a KMS key", func(srv *s3writertest.Server) {
			srv.Fail(s3writertest.Fault{Status: http.StatusBadRequest, Code: "KMS.DisabledException", Message: "The key is disabled."})
		}, nil, nil, `s3writer: table "t.csv": OPERATION of s3://writer-sample/t.csv: AWS says: KMS.DisabledException: The key is disabled., request ID X`},
	} {
		for _, size := range []string{"small", "large"} {
			t.Run(test.name+"/"+size, func(t *testing.T) {
				srv := newServer(t)
				if test.server != nil {
					test.server(srv)
				}
				var opts []s3writer.Option
				if test.opts != nil {
					opts = test.opts(srv)
				}
				in := "id\n"
				op := "PutObject"
				if size == "large" {
					in += strings.Repeat("x", 9<<20)
					op = "CreateMultipartUpload"
				}
				report, err := newWriter(t, srv, opts...).Write(t.Context(), csv("t.csv", in))
				wantText(t, err, strings.ReplaceAll(test.want, "OPERATION", op))
				if test.is != nil && !errors.Is(err, test.is) {
					t.Errorf("errors.Is does not find %v", test.is)
				}
				var refusal smithy.APIError
				if !errors.As(err, &refusal) {
					t.Error("errors.As does not find the answer of the server")
				}
				if strings.Contains(err.Error(), userSecret) {
					t.Error("the secret is in the error")
				}
				if report.Tables[0].Err == nil || len(report.Orphans) != 0 {
					t.Errorf("report %+v", report)
				}
				wantNothing(t, srv)
			})
		}
	}
}

func TestNoSuchBucket(t *testing.T) {
	srv := newServer(t)
	w, err := s3writer.New(t.Context(), "no-such-bucket", s3writer.WithEndpoint(srv.URL), keys(srv))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.CloseIdleConnections)
	for _, in := range []string{"id\n", strings.Repeat("x", 9<<20)} {
		_, err = w.Write(t.Context(), csv("t.csv", in))
		wantText(t, err, `s3writer: table "t.csv": no such bucket: "no-such-bucket" `+
			`(AWS says: NoSuchBucket: The specified bucket does not exist, request ID X)`)
		if !errors.Is(err, s3writer.ErrNoSuchBucket) {
			t.Error("errors.Is does not find ErrNoSuchBucket")
		}
	}
	wantNothing(t, srv)
}

// TestBadEndpoint is about endpoints that are URLs and nothing else.
func TestBadEndpoint(t *testing.T) {
	for _, test := range []struct {
		name, want string
		endpoint   func(*testing.T, *s3writertest.Server) string
	}{
		{"no TLS there", `s3writer: table "t.csv": PutObject of s3://writer-sample/t.csv: ` +
			`Put "https://HOST/writer-sample/t.csv": http: server gave HTTP response to HTTPS client`,
			func(_ *testing.T, srv *s3writertest.Server) string {
				return strings.Replace(srv.URL, "http", "https", 1)
			}},
		{"unknown authority", `s3writer: table "t.csv": PutObject of s3://writer-sample/t.csv: ` +
			`Put "https://HOST/writer-sample/t.csv": tls: failed to verify certificate: x509: certificate signed by unknown authority`,
			func(t *testing.T, _ *s3writertest.Server) string {
				srv := s3writertest.NewTLSServer(bucket)
				t.Cleanup(srv.Close)
				return srv.URL
			}},
		{"nobody listens", `s3writer: table "t.csv": PutObject of s3://writer-sample/t.csv: context canceled; ` +
			`before that, Put "http://HOST/writer-sample/t.csv": dial tcp HOST: connect: connection refused`,
			func(*testing.T, *s3writertest.Server) string {
				gone := s3writertest.NewServer()
				gone.Close()
				return gone.URL
			}},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			// The first retry ends it: ten would take as many seconds.
			w := newWriter(t, srv, s3writer.WithEndpoint(test.endpoint(t, srv)), s3writer.WithLogger(slog.New(onLog{cancel})))
			_, err := w.Write(ctx, csv("t.csv", "id\n"))
			wantText(t, err, test.want)
			if errors.Is(err, s3writer.ErrCommitUnknown) {
				t.Error("the outcome is called unknown, though nothing can have been written")
			}
			wantNothing(t, srv)
		})
	}
}

// onLog is a slog.Handler that calls a function for whatever is logged.
type onLog struct{ f func() }

func (onLog) Enabled(context.Context, slog.Level) bool    { return true }
func (h onLog) Handle(context.Context, slog.Record) error { h.f(); return nil }
func (h onLog) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h onLog) WithGroup(string) slog.Handler             { return h }

// TestWrongClock needs no correction: the SDK learns the server's clock from
// its answers.
func TestWrongClock(t *testing.T) {
	srv := newServer(t)
	srv.SetTime(func() time.Time { return time.Now().Add(-time.Hour) })
	write(t, newWriter(t, srv), csv("t.csv", "id\n"))
	wantObject(t, srv, "t.csv", "id\n")
}
