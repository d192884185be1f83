package s3writer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed149ec23d/s3writer/s3writertest"
)

const (
	hashKey = "pepper-that-nobody-knows"
	roleARN = "arn:aws:iam::123456789012:role/s3-writer"
)

// secretServer has a key with the secret testSecret, and a role that it may
// assume.
func secretServer(t *testing.T) *s3writertest.Server {
	t.Helper()
	srv := s3writertest.NewServer("writer-sample")
	t.Cleanup(srv.Close)
	srv.AddKey(testKey, testSecret, s3writertest.LeastPrivilege("writer-sample"))
	srv.AddRole(s3writertest.Role{ARN: roleARN, ExternalID: "project-42", Trusted: []string{testKey},
		Allow: []s3writertest.Allow{s3writertest.LeastPrivilege("writer-sample")}})
	return srv
}

// wantNoSecret fails the test if a secret is seen in v, printed in any way, bare
// or inside other values, exported or not.
func wantNoSecret(t *testing.T, name string, v any, secrets ...string) {
	t.Helper()
	type exported struct{ P any }
	type hidden struct{ p any }
	for where, v := range map[string]any{
		"bare": v, "pointer": &v, "slice": []any{v}, "map": map[string]any{"k": v}, "nested": map[string][]any{"k": {v}},
		"field": exported{v}, "pointer to field": &exported{v},
		"hidden field": hidden{v}, "pointer to hidden field": &hidden{v}, "hidden slice": []hidden{{v}},
	} {
		for how, text := range printed(t, v) {
			for _, secret := range secrets {
				for _, form := range []string{secret, fmt.Sprintf("%q", secret), fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), fmt.Sprint([]byte(secret))} {
					if secret != "" && strings.Contains(text, form) {
						t.Errorf("%s, %s, %s shows a secret: %s", name, where, how, text)
					}
				}
			}
		}
	}
}

func TestWriterHidesSecrets(t *testing.T) {
	srv := secretServer(t)
	static := StaticCredentials(testKey, testSecret, "")
	role := AssumeRole{RoleARN: roleARN, ExternalID: "project-42", Base: static, Endpoint: srv.URL}
	cfg := srv.Config()
	cfg.Credentials = static

	for name, opts := range map[string][]Option{
		"static": {WithCredentials(static), WithEndpoint(srv.URL)},
		"role":   {WithCredentials(role), WithEndpoint(srv.URL)},
		"cache":  {WithCredentials(aws.NewCredentialsCache(role)), WithEndpoint(srv.URL)},
		"config": {WithAWSConfig(cfg)},
		"client": {WithClient(s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }))},
	} {
		t.Run(name, func(t *testing.T) {
			opts := append(opts, WithPrefix("exports/"), WithProcessors(Hash([]byte(hashKey), "id")))
			secrets := []string{testSecret, testKey, hashKey}
			// Options are functions; what they fill is what can be printed.
			wantNoSecret(t, "options", newOptions(opts), secrets...)

			w, err := New(t.Context(), "writer-sample", opts...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(w.CloseIdleConnections)
			wantNoSecret(t, "Writer before Write", w, secrets...)
			// So would reflection see it, without its methods. After a Write its
			// transport is at work, and must not be looked at.
			wantNoSecret(t, "fields of the Writer", (*fields)(w), secrets...)
			wantNoSecret(t, "its connection", w.conn, secrets...)
			report, err := w.Write(t.Context(), NewTable("orders.csv", strings.NewReader("id\n1\n")))
			if err != nil {
				t.Fatal(err)
			}
			secrets = append(secrets, sessionSecrets(t, w)...)
			wantNoSecret(t, "Writer after Write", w, secrets...)
			wantNoSecret(t, "its options", w.opts, secrets...)
			wantNoSecret(t, "Report", report, secrets...)
		})
	}
}

// fields is a Writer without methods.
type fields Writer

// sessionSecrets are those that the Writer's cache holds after a Write.
func sessionSecrets(t *testing.T, w *Writer) []string {
	t.Helper()
	session, err := w.conn.client.(*s3.Client).Options().Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return []string{session.SecretAccessKey, session.SessionToken}
}

func TestWriterPrintsItsBucket(t *testing.T) {
	w, err := New(t.Context(), "writer-sample", WithDryRun(), WithPrefix("exports/"))
	if err != nil {
		t.Fatal(err)
	}
	bare, err := New(t.Context(), "writer-sample", WithDryRun())
	if err != nil {
		t.Fatal(err)
	}
	var none *Writer
	for _, test := range []struct{ got, want string }{
		{fmt.Sprintf("%v", w), `Writer{bucket: "writer-sample", prefix: "exports/"}`},
		{fmt.Sprintf("%+v", w), `Writer{bucket: "writer-sample", prefix: "exports/"}`},
		{fmt.Sprintf("%#v", w), `s3writer.Writer{bucket: "writer-sample", prefix: "exports/"}`},
		{fmt.Sprintf("%d", w), `Writer{bucket: "writer-sample", prefix: "exports/"}`},
		{w.GoString(), `s3writer.Writer{bucket: "writer-sample", prefix: "exports/"}`},
		{w.LogValue().String(), `Writer{bucket: "writer-sample", prefix: "exports/"}`},
		{bare.String(), `Writer{bucket: "writer-sample"}`},
		{none.String(), `Writer(nil)`},
		{new(Writer).String(), `Writer{bucket: ""}`},
	} {
		if test.got != test.want {
			t.Errorf("got  %s\nwant %s", test.got, test.want)
		}
	}
}

func TestProcessorHidesItsKey(t *testing.T) {
	hash := Hash([]byte(hashKey), "email")
	table := NewTable("users.csv", strings.NewReader("id\n"), hash, Named("pseudonyms", hash))
	w, err := New(t.Context(), "writer-sample", WithDryRun(), WithProcessors(hash))
	if err != nil {
		t.Fatal(err)
	}
	report, missing := w.Write(t.Context(), table) // there is no such column
	if missing == nil {
		t.Fatal("no error of Hash")
	}
	for name, v := range map[string]any{
		"Hash": hash, "pointer": &hash, "Named": Named("pseudonyms", hash), "Chain": Chain(Gzip(), hash),
		"Concurrent": Concurrent(hash), "Table": table, "pointer to Table": &table, "Writer": w,
		"Report": report, "error": missing,
	} {
		wantNoSecret(t, name, v, hashKey)
	}

	for _, test := range []struct{ got, want string }{
		{fmt.Sprintf("%v", hash), `Hash(key, "email")`},
		{fmt.Sprintf("%#v", hash), `s3writer.Hash(key, "email")`},
		{fmt.Sprintf("%v", &hash), `Hash(key, "email")`},
		{fmt.Sprintf("%d", []Processor{hash, Gzip()}), `[Hash(key, "email") Gzip()]`},
		{hash.LogValue().String(), `Hash(key, "email")`},
		{Processor{}.String(), `Chain()`},
	} {
		if test.got != test.want {
			t.Errorf("got  %s\nwant %s", test.got, test.want)
		}
	}
}

// A source holds what it closes over, such as a URL with a signature in it.
func TestSourceHidesWhatItOpens(t *testing.T) {
	url := "https://example.com/orders.csv?X-Amz-Signature=" + testToken
	source := SourceFunc(func(context.Context) (io.ReadCloser, error) { return nil, errors.New("GET " + url) })
	table := NewTable("orders.csv", source)
	for name, v := range map[string]any{"Source": source, "Table": table, "pointer to Table": &table} {
		wantNoSecret(t, name, v, testToken)
	}
}

// TestErrorsHideSecrets fails in every place where credentials are used.
func TestErrorsHideSecrets(t *testing.T) {
	for name, test := range map[string]struct {
		credentials func(srv *s3writertest.Server) aws.CredentialsProvider
		fault       s3writertest.Fault
		want        error
	}{
		"wrong secret": {
			credentials: func(*s3writertest.Server) aws.CredentialsProvider {
				return StaticCredentials(testKey, testSecret+"x", "")
			},
			want: ErrCredentials},
		"unknown key": {
			credentials: func(*s3writertest.Server) aws.CredentialsProvider {
				return StaticCredentials("AKIAUNKNOWN", testSecret, "")
			},
			want: ErrCredentials},
		"wrong token": {
			credentials: func(*s3writertest.Server) aws.CredentialsProvider {
				return StaticCredentials(testKey, testSecret, testToken)
			},
			want: ErrCredentials},
		"base of a role": {
			credentials: func(srv *s3writertest.Server) aws.CredentialsProvider {
				return AssumeRole{RoleARN: roleARN, ExternalID: "project-42", Base: StaticCredentials(testKey, testSecret+"x", ""), Endpoint: srv.URL}
			},
			want: ErrCredentials},
		"denied": {
			credentials: func(*s3writertest.Server) aws.CredentialsProvider { return StaticCredentials(testKey, testSecret, "") },
			fault:       s3writertest.Fault{Op: "PutObject", Status: 403},
			want:        ErrAccessDenied},
		"denied role": {
			credentials: func(srv *s3writertest.Server) aws.CredentialsProvider {
				return AssumeRole{RoleARN: roleARN, ExternalID: "project-42", Base: StaticCredentials(testKey, testSecret, ""), Endpoint: srv.URL}
			},
			fault: s3writertest.Fault{Op: "PutObject", Status: 403},
			want:  ErrAccessDenied},
	} {
		t.Run(name, func(t *testing.T) {
			srv := secretServer(t)
			if test.fault.Op != "" {
				srv.Fail(test.fault)
			}
			var log strings.Builder
			w, err := New(t.Context(), "writer-sample", WithCredentials(test.credentials(srv)), WithEndpoint(srv.URL),
				WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(w.CloseIdleConnections)
			report, err := w.Write(t.Context(), NewTable("orders.csv", strings.NewReader("id\n1\n")))
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			secrets := []string{testSecret, testToken}
			for _, r := range srv.Requests() {
				secrets = append(secrets, r.Header.Get("X-Amz-Security-Token"))
			}
			for _, e := range causes(err) {
				wantNoSecret(t, fmt.Sprintf("%T", e), e, secrets...)
			}
			wantNoSecret(t, "Report", report, secrets...)
			wantNoSecret(t, "log", log.String(), secrets...)
			wantNoSecret(t, "Writer", w, secrets...)
		})
	}
}

// TestAnswersHideSecrets is refused by servers that say what they have computed a
// signature of, the session token with it.
func TestAnswersHideSecrets(t *testing.T) {
	const opening = "The request signature we calculated does not match."
	for _, rest := range []string{
		"\n\nThe Canonical String for this request should have been\n'PUT\nx-amz-security-token:",
		" The Canonical String for this request should have been 'PUT x-amz-security-token:",
		" the canonical request was: PUT x-amz-security-token:",
		" The String-to-Sign should have been 'AWS4-HMAC-SHA256 ",
		" The string to sign was AWS4-HMAC-SHA256 ",
	} {
		for _, fault := range []s3writertest.Fault{
			{Op: "CreateMultipartUpload", Code: "SignatureDoesNotMatch", Status: 403},
			{Op: "UploadPart", Code: "SignatureDoesNotMatch", Status: 403},
			{Op: "UploadPart", Code: "InternalError", Status: 500, Times: 1},  // tried again
			{Op: "UploadPart", Code: "NotImplemented", Status: 501, Times: 1}, // and without checksums
			{Op: "AbortMultipartUpload", Code: "SignatureDoesNotMatch", Status: 403},
		} {
			srv := s3writertest.NewServer("writer-sample")
			t.Cleanup(srv.Close)
			fault.Message = opening + rest + testToken + "'"
			if fault.Times > 0 {
				fault.N = 1
			}
			srv.Fail(fault)
			if fault.Op == "AbortMultipartUpload" {
				srv.Fail(s3writertest.Fault{Op: "UploadPart", Status: 403})
			}
			var log strings.Builder
			w, err := New(t.Context(), "writer-sample", WithAWSConfig(srv.Config()), WithEndpoint(srv.URL),
				WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(w.CloseIdleConnections)
			staged, err := w.Stage(t.Context(), NewTable("orders.csv", strings.NewReader("id\n1\n")))
			document, failed := json.Marshal(staged)
			if failed != nil {
				t.Fatal(failed)
			}
			said := fmt.Sprint(err, string(document), log.String())
			if strings.Contains(said, testToken) || !strings.Contains(said, opening) {
				t.Errorf("%s, %s, %q: %s", fault.Op, fault.Code, rest, said)
			}
		}
	}
}

// causes are an error and everything that it wraps.
func causes(err error) []error {
	all := []error{err}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if cause := e.Unwrap(); cause != nil {
			all = append(all, causes(cause)...)
		}
	case interface{ Unwrap() []error }:
		for _, cause := range e.Unwrap() {
			all = append(all, causes(cause)...)
		}
	}
	return all
}

// Complaints of New quote what is wrong, and no secret with it.
func TestComplaintsHideSecrets(t *testing.T) {
	for name, opts := range map[string][]Option{
		"white space": {WithCredentials(StaticCredentials(testKey, testSecret+"\n", testToken))},
		"swapped":     {WithCredentials(StaticCredentials(testSecret, testKey, testToken))},
		"base":        {WithCredentials(AssumeRole{RoleARN: roleARN, Base: StaticCredentials("", testSecret, testToken)})},
		"endpoint":    {WithEndpoint("https://" + testKey + ":" + testSecret + "@minio.example.com")},
		"bad URL":     {WithEndpoint("https://" + testKey + ":" + testSecret + "@minio.example.com:port")},
		"STS": {WithCredentials(AssumeRole{RoleARN: roleARN, Base: StaticCredentials(testKey, testSecret, ""),
			Endpoint: "https://x:" + testSecret + "@sts.example.com/?token=" + testToken})},
		"query": {WithEndpoint("https://minio.example.com/?X-Amz-Security-Token=" + testToken)},
	} {
		_, err := New(t.Context(), "writer-sample", opts...)
		if err == nil {
			t.Errorf("%s: no complaint", name)
			continue
		}
		wantNoSecret(t, name, err, testSecret, testToken)
	}
}
