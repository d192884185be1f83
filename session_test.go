package s3writer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

// TestRole delivers through a customer's role, for any number of Writes with
// one session.
func TestRole(t *testing.T) {
	srv := newServer(t)
	addRole(srv)
	w := newWriter(t, srv, assume(srv, "s3-writer", externalID))
	write(t, w, csv("a.csv", pattern(large)), csv("b.csv", "id\n"))
	write(t, w, csv("c.csv", "id\n"))
	wantObject(t, srv, "a.csv", pattern(large))
	if n := srv.Count("AssumeRole"); n != 1 {
		t.Errorf("the role was assumed %d times, want once", n)
	}
	for _, r := range srv.Requests() {
		if r.Op == "AssumeRole" {
			if r.Form.Get("ExternalId") != externalID || r.Form.Get("RoleSessionName") != "s3writer" || r.Form.Get("RoleArn") != roleARN {
				t.Errorf("the role was asked for with %v", r.Form)
			}
			continue
		}
		if !strings.HasPrefix(r.AccessKeyID, "ASIA") {
			t.Errorf("%s was signed by %s, not by the session", r.Op, r.AccessKeyID)
		}
	}
}

// TestSessionExpires in the middle of an upload, wherever that is: the role is
// assumed again, once for all requests, and nothing is sent twice but what was
// refused.
func TestSessionExpires(t *testing.T) {
	const parts = 3
	for _, test := range []struct {
		name string
		at   int64 // bytes of the source read before
	}{
		{"before the upload is opened", 1},
		{"between parts", 17 << 20},
		{"before the commit", parts << 23},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			addRole(srv)
			w := newWriter(t, srv, assume(srv, "s3-writer", externalID))
			write(t, w, csv("first.csv", "id\n"))
			var read int64
			expired := false
			body := strings.Repeat(pattern(8<<20), parts)
			src := strings.NewReader(body)
			report := write(t, w, s3writer.NewTable("t.csv", readerFunc(func(p []byte) (int, error) {
				n, err := src.Read(p)
				if read += int64(n); !expired && read >= test.at {
					expired = true
					srv.ExpireSessions()
				}
				return n, err
			})))
			wantObject(t, srv, "t.csv", body)
			s3writertest.AssertNoOrphans(t, srv, bucket)
			if n := srv.Count("AssumeRole"); n != 2 {
				t.Errorf("the role was assumed %d times, want twice", n)
			}
			refused := 0
			for _, r := range srv.Requests() {
				if r.Err == "ExpiredToken" {
					refused++
				}
			}
			if refused == 0 {
				t.Error("no request was refused: the test has missed the session")
			}
			if n, want := srv.Count("UploadPart")+srv.Count("CompleteMultipartUpload")+srv.Count("CreateMultipartUpload"), parts+2+refused; n != want {
				t.Errorf("%d requests for %d parts, %d of them refused; want %d", n, report.Tables[0].Objects[0].Parts, refused, want)
			}
		})
	}
}

// TestSessionExpiresBeforeTheRegion is known: it is asked for again with the next
// session, as any request is, and if all have expired, the same Writer finds it later.
func TestSessionExpiresBeforeTheRegion(t *testing.T) {
	for _, test := range []struct {
		name    string
		expired int // sessions in a row
	}{{"once", 1}, {"twice", 2}, {"too often", 3}} {
		t.Run(test.name, func(t *testing.T) {
			srv := newAmazon(t, "eu-central-1")
			srv.Fail(s3writertest.Fault{Op: "GetBucketLocation", N: 1, Times: test.expired, Code: "ExpiredToken"})
			srv.Fail(s3writertest.Fault{Op: "HeadBucket", Status: http.StatusForbidden})
			id, secret := srv.Credentials()
			sessions := &sessionsOf{key: aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}}
			w := newDotted(t, s3writer.WithAWSConfig(asAWS(srv)), s3writer.WithCredentials(sessions))
			_, err := w.Write(t.Context(), csv("a.csv", "id\n"))
			if in := test.expired <= 2; in != (err == nil) || !in && !errors.Is(err, s3writer.ErrCredentials) {
				t.Errorf("got %v", err)
			}
			if n := sessions.asked.Load(); n != int64(min(test.expired+1, 3)) {
				t.Errorf("%d sessions were asked for", n)
			}
			if _, err := w.Write(t.Context(), csv("b.csv", "id\n")); err != nil {
				t.Error(err)
			}
		})
	}
}

// sessionsOf counts how often its key was asked for.
type sessionsOf struct {
	key   aws.Credentials
	asked atomic.Int64
}

func (s *sessionsOf) Retrieve(context.Context) (aws.Credentials, error) {
	s.asked.Add(1)
	return s.key, nil
}

// TestSessionExpiresForGood: a role that can no longer be assumed ends the
// delivery.
func TestSessionExpiresForGood(t *testing.T) {
	srv := newServer(t)
	addRole(srv)
	w := newWriter(t, srv, assume(srv, "s3-writer", externalID))
	src := io.MultiReader(strings.NewReader(pattern(large)), readerFunc(func([]byte) (int, error) {
		srv.AddRole(s3writertest.Role{ARN: roleARN, ExternalID: "another"})
		srv.ExpireSessions()
		return 0, io.EOF
	}))
	report, err := w.Write(t.Context(), s3writer.NewTable("t.csv", src))
	if !errors.Is(err, s3writer.ErrCredentials) {
		t.Errorf("got %v, want ErrCredentials", err)
	}
	if !strings.HasPrefix(text(err), `s3writer: table "t.csv": credentials: sts:AssumeRole on `+roleARN+`: access denied: check that the role exists`) {
		t.Errorf("got %s", text(err))
	}
	if len(report.Orphans) != len(srv.Uploads(bucket)) {
		t.Errorf("%d uploads are open, reported are %+v", len(srv.Uploads(bucket)), report.Orphans)
	}
	s3writertest.AssertNoPartial(t, srv, bucket, nil)
}

// TestProviderOfOthers is asked once for many requests, and again when what it
// gave is refused as expired.
func TestProviderOfOthers(t *testing.T) {
	for name, as := range map[string]func(aws.CredentialsProvider) aws.CredentialsProvider{
		"bare":       func(p aws.CredentialsProvider) aws.CredentialsProvider { return p },
		"in a cache": func(p aws.CredentialsProvider) aws.CredentialsProvider { return aws.NewCredentialsCache(p) },
	} {
		t.Run(name, func(t *testing.T) {
			srv := newServer(t)
			srv.AddKey(userID, userSecret, s3writertest.LeastPrivilege(bucket))
			sessions := &sessionsOf{key: aws.Credentials{AccessKeyID: userID, SecretAccessKey: userSecret}}
			w := newWriter(t, srv, s3writer.WithCredentials(as(sessions)))
			write(t, w, csv("a.csv", "id\n"), csv("b.csv", "id\n"))
			if n := sessions.asked.Load(); n != 1 {
				t.Errorf("asked %d times, want once", n)
			}
			srv.Fail(s3writertest.Fault{Op: "PutObject", N: 1, Code: "ExpiredToken"})
			write(t, w, csv("c.csv", "id\n"))
			if n := sessions.asked.Load(); n != 2 {
				t.Errorf("asked %d times after a refusal, want twice", n)
			}
		})
	}
}

// TestSTSOutOfReach is what is said when the caller waits no longer: for which role,
// and that it is about credentials.
func TestSTSOutOfReach(t *testing.T) {
	gone := s3writertest.NewServer()
	gone.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	retrying := slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		cancel(context.DeadlineExceeded)
		return len(p), nil
	}), &slog.HandlerOptions{Level: slog.LevelDebug})
	role := s3writer.AssumeRole{RoleARN: roleARN, Base: s3writer.StaticCredentials(userID, userSecret, ""), Endpoint: gone.URL}
	w := newWriter(t, newServer(t), s3writer.WithCredentials(role), s3writer.WithLogger(slog.New(retrying)))
	_, err := w.Write(ctx, csv("t.csv", "id\n"))
	if !errors.Is(err, s3writer.ErrCredentials) || !errors.Is(err, context.Canceled) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(text(err), "before that, credentials: sts:AssumeRole on "+roleARN+": no answer from STS in http://HOST") {
		t.Errorf("got %s", text(err))
	}
}

// TestProviderFails is no reason to try anything ambient.
func TestProviderFails(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAAMBIENT000000000")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "ambient")
	srv := newServer(t)
	for _, test := range []struct {
		name string
		p    aws.CredentialsProviderFunc
		want string
	}{
		{"fails", func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, errBroken },
			`the line is broken`},
		{"returns nothing", func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, nil },
			`the credentials provider returned no keys`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := newWriter(t, srv, s3writer.WithCredentials(test.p)).Write(t.Context(), csv("t.csv", "id\n"))
			wantText(t, err, `s3writer: table "t.csv": credentials refused: none could be had `+
				`(get identity: get credentials: failed to refresh cached credentials, `+test.want+`)`)
			if !errors.Is(err, s3writer.ErrCredentials) {
				t.Error("errors.Is does not find ErrCredentials")
			}
			for _, r := range srv.Requests() {
				t.Errorf("%s was sent, signed by %q", r.Op, r.AccessKeyID)
			}
		})
	}
}

// TestDefaultChain is asked only where nobody gives credentials.
func TestDefaultChain(t *testing.T) {
	srv := newServer(t)
	srv.AddKey(userID, userSecret, s3writertest.LeastPrivilege(bucket))
	t.Setenv("AWS_ACCESS_KEY_ID", userID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", userSecret)
	t.Setenv("AWS_SESSION_TOKEN", "")
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	w := mustNew(t, s3writer.WithEndpoint(srv.URL))
	write(t, w, csv("t.csv", "id\n"))
	wantObject(t, srv, "t.csv", "id\n")
	if r := srv.Requests()[0]; r.AccessKeyID != userID {
		t.Errorf("signed by %q", r.AccessKeyID)
	}
}

// TestNoSecretInErrors makes every error there is with keys in it.
func TestNoSecretInErrors(t *testing.T) {
	srv := newServer(t)
	srv.AddKey(userID, "another/secret")
	var logged bytes.Buffer
	w := newWriter(t, srv, user(userSecret), s3writer.WithLogger(slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	_, err := w.Write(t.Context(), csv("t.csv", "id\n"), csv("u.csv", pattern(large)))
	for _, s := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err), fmt.Sprintf("%+v %#v", w, w), logged.String()} {
		if strings.Contains(s, userSecret) {
			t.Errorf("the secret is in %.300s", s)
		}
	}
}

// TestClockSkew delivers from a machine whose clock is wrong by more than AWS
// accepts: the server's answer tells the time.
func TestClockSkew(t *testing.T) {
	for _, skew := range []time.Duration{-time.Hour, 20 * time.Minute} {
		t.Run(skew.String(), func(t *testing.T) {
			srv := newServer(t)
			srv.SetTime(func() time.Time { return time.Now().Add(skew) })
			write(t, newWriter(t, srv), csv("small.csv", pattern(small)), csv("large.csv", pattern(large)))
			wantObject(t, srv, "small.csv", pattern(small))
			wantObject(t, srv, "large.csv", pattern(large))
			s3writertest.AssertNoOrphans(t, srv, bucket)
		})
	}
}

// TestPanickingCredentials end what needs them, not the process.
func TestPanickingCredentials(t *testing.T) {
	srv := newServer(t)
	broken := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { panic("vault") })
	for name, p := range map[string]aws.CredentialsProvider{
		"own":       broken,
		"of a role": s3writer.AssumeRole{RoleARN: "arn:aws:iam::123456789012:role/w", Base: broken, Region: "us-east-1"},
	} {
		w, err := s3writer.New(t.Context(), bucket, s3writer.WithEndpoint(srv.URL), s3writer.WithCredentials(p))
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.Write(t.Context(), csv("t.csv", "id\n"))
		if err == nil || !strings.Contains(err.Error(), "the credentials provider: panic: vault") {
			t.Errorf("%s: got %v", name, err)
		}
		w.CloseIdleConnections()
	}
	wantNothing(t, srv)
}

// TestNoAmbientCredentials says so, whatever the machine answers that might have had some: that
// is not what S3 has answered.
func TestNoAmbientCredentials(t *testing.T) {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ROLE_ARN",
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_EC2_METADATA_DISABLED"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	for _, status := range []int{http.StatusNotFound, http.StatusForbidden} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			srv := newServer(t)
			machine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPut {
					w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
					io.WriteString(w, "token")
					return
				}
				w.WriteHeader(status)
			}))
			t.Cleanup(machine.Close)
			t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", machine.URL)
			w := mustNew(t, s3writer.WithEndpoint(srv.URL))
			_, err := w.Write(t.Context(), csv("t.csv", "id\n"))
			if !errors.Is(err, s3writer.ErrCredentials) || errors.Is(err, s3writer.ErrAccessDenied) || len(srv.Requests()) > 0 {
				t.Errorf("%d requests, got %v", len(srv.Requests()), err)
			}
			for _, words := range []string{`table "t.csv": credentials refused: none could be had (get identity: `, "ec2imds",
				"give WithCredentials, or what the SDK's default chain looks for, such as AWS_ACCESS_KEY_ID"} {
				if !strings.Contains(fmt.Sprint(err), words) {
					t.Errorf("got %v\nwithout %q", err, words)
				}
			}
			if strings.Contains(fmt.Sprint(err), "AWS says") {
				t.Errorf("S3 has said nothing: %v", err)
			}
		})
	}
}
