package s3writer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"go.uber.org/goleak"

	"github.com/seed149ec23d/s3writer/s3writertest"
)

const (
	testKey    = "AKIAIOSFODNN7EXAMPLE"
	testSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	testToken  = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeo"
)

func TestStaticCredentials(t *testing.T) {
	got, err := StaticCredentials(testKey, testSecret, testToken).Retrieve(t.Context())
	if err != nil || got.AccessKeyID != testKey || got.SecretAccessKey != testSecret || got.SessionToken != testToken || got.CanExpire {
		t.Errorf("got other keys than given, or %v", err)
	}
}

func TestStaticCredentialsForm(t *testing.T) {
	for _, test := range []struct {
		name               string
		key, secret, token string
		want               string
	}{
		{"both empty", "", "", "",
			"credentials: StaticCredentials: the access key ID is empty (the default chain is used only when no credentials are given)\n" +
				"StaticCredentials: the secret access key is empty (the default chain is used only when no credentials are given)"},
		{"no secret", testKey, "", "",
			"credentials: StaticCredentials: the secret access key is empty (the default chain is used only when no credentials are given)"},
		{"line end", testKey, testSecret + "\n", "",
			"credentials: StaticCredentials: the secret access key has white space at its ends"},
		{"swapped", testSecret, testKey, "",
			"credentials: StaticCredentials: the secret access key looks like an access key ID: are the two swapped?"},
		{"temporary", "ASIAIOSFODNN7EXAMPLE", testSecret, "",
			"credentials: StaticCredentials: the access key ID begins with ASIA, so it is temporary, and its session token is missing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := StaticCredentials(test.key, test.secret, test.token)
			if len(checkCredentials(p)) == 0 {
				t.Error("not found before Retrieve")
			}
			_, err := p.Retrieve(t.Context())
			if err == nil || err.Error() != test.want || !errors.Is(err, ErrCredentials) {
				t.Errorf("got  %v\nwant %v", err, test.want)
			}
		})
	}
}

func TestCheckCredentials(t *testing.T) {
	var none *AssumeRole
	for _, test := range []struct {
		name string
		p    aws.CredentialsProvider
		want string
	}{
		{"nil", nil, "the credentials provider is nil (<nil>)"},
		{"nil pointer", none, "the credentials provider is nil (*s3writer.AssumeRole)"},
		{"nil function", aws.CredentialsProviderFunc(nil), "the credentials provider is nil (aws.CredentialsProviderFunc)"},
		{"empty of the SDK", credentials.NewStaticCredentialsProvider(testKey, "", ""),
			"credentials.StaticCredentialsProvider: the access key ID or the secret access key is empty"},
		{"empty role", &AssumeRole{}, "AssumeRole names no role: set RoleARN, or AccountID and RoleName"},
		{"empty base", AssumeRole{AccountID: "123456789012", RoleName: "w", Base: StaticCredentials(testKey, "", "")},
			"AssumeRole.Base: StaticCredentials: the secret access key is empty (the default chain is used only when no credentials are given)"},
		{"of the SDK", credentials.NewStaticCredentialsProvider(testKey, testSecret, ""), ""},
		{"ours", StaticCredentials(testKey, testSecret, ""), ""},
		{"anonymous", aws.AnonymousCredentials{}, ""},
	} {
		got := ""
		if err := errors.Join(checkCredentials(test.p)...); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s:\ngot  %s\nwant %s", test.name, got, test.want)
		}
	}
}

// TestNoSecretIsPrinted prints everything that holds a secret, wherever it can stand.
func TestNoSecretIsPrinted(t *testing.T) {
	static := StaticCredentials(testKey, testSecret, testToken)
	ofSDK := credentials.NewStaticCredentialsProvider(testKey, testSecret, testToken)
	role := AssumeRole{RoleARN: "arn:aws:iam::123456789012:role/w", ExternalID: "project-42", Base: ofSDK,
		Endpoint: "https://user:" + testSecret + "@sts.example.com/?t=" + testToken, Tags: map[string]string{"team": "data"}}
	ours := role
	ours.Base, ours.Endpoint = static, ""
	_, failure := AssumeRole{RoleARN: ours.RoleARN, Base: static, HTTPClient: answering(403, "SignatureDoesNotMatch",
		"The request signature we calculated does not match.\n\nThe Canonical String for this request should have been\n'POST\nx-amz-security-token:"+testToken+"'")}.Retrieve(t.Context())
	if failure == nil {
		t.Fatal("no error of a role")
	}

	for name, v := range map[string]any{
		"static": static, "role": role, "role pointer": &role, "role on ours": ours,
		"cache": cached(static), "cached role": cached(role), "error": failure, "endpoint error": role.validate(),
	} {
		type exported struct{ P any }
		values := map[string]any{
			"bare": v, "pointer": &v, "slice": []any{v}, "map": map[string]any{"k": v},
			"struct": exported{v}, "struct pointer": &exported{v},
		}
		if name != "role" && name != "role pointer" { // their Base is the SDK's, with methods nobody asks
			type hidden struct{ p any }
			values["hidden"], values["hidden pointer"], values["hidden slice"] = hidden{v}, &hidden{v}, []hidden{{v}}
		}
		for where, v := range values {
			for verb, text := range printed(t, v) {
				for _, secret := range []string{testSecret, testToken, testKey, testSecret[:12], fmt.Sprintf("%x", testSecret)} {
					if strings.Contains(text, secret) {
						t.Errorf("%s, %s, %s shows %s", name, where, verb, text)
					}
				}
			}
		}
	}
}

// printed returns v in every way of printing it.
func printed(t *testing.T, v any) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10v", "%T"} {
		out[verb] = fmt.Sprintf(verb, v)
	}
	if text, err := json.Marshal(v); err == nil {
		out["JSON"] = string(text)
	}
	var text, document bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Info("m", "v", v, slog.Group("g", "v", v))
	slog.New(slog.NewJSONHandler(&document, nil)).Info("m", "v", v, slog.Group("g", "v", v))
	out["slog text"], out["slog JSON"] = text.String(), document.String()
	return out
}

func TestCredentialsPrintWhatIsKnown(t *testing.T) {
	static := StaticCredentials(testKey, testSecret, "")
	role := AssumeRole{AccountID: "123456789012", RoleName: "w", ExternalID: "project-42", Duration: time.Hour, Base: static, HTTPClient: http.DefaultClient}
	marshal := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}
	for _, test := range []struct{ got, want string }{
		{fmt.Sprintf("%v", static), `StaticCredentials(redacted)`},
		{fmt.Sprintf("%#v", static), `s3writer.StaticCredentials(redacted)`},
		{marshal(static), `"StaticCredentials(redacted)"`},
		{fmt.Sprintf("%+v", role), `AssumeRole{AccountID:"123456789012", RoleName:"w", ExternalID:"project-42", Duration:1h0m0s, Base:"redacted"}`},
		{fmt.Sprintf("%#v", &role), `s3writer.AssumeRole{AccountID:"123456789012", RoleName:"w", ExternalID:"project-42", Duration:1h0m0s, Base:"redacted"}`},
		{marshal(role), `{"AccountID":"123456789012","Base":"redacted","Duration":3600000000000,"ExternalID":"project-42","RoleName":"w"}`},
	} {
		if test.got != test.want {
			t.Errorf("got  %s\nwant %s", test.got, test.want)
		}
	}
}

func TestAssumeRoleRequest(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-west-1")
	t.Setenv("AWS_ENDPOINT_URL", "http://ambient.invalid")
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()) // reading a folder fails: nothing ambient may be loaded
	base := StaticCredentials(testKey, testSecret, "")
	for _, test := range []struct {
		name string
		role AssumeRole
		url  string
		want url.Values
	}{
		{"least", AssumeRole{AccountID: "123456789012", RoleName: "s3-writer"}, "https://sts.eu-west-1.amazonaws.com/", url.Values{
			"RoleArn": {"arn:aws:iam::123456789012:role/s3-writer"}, "RoleSessionName": {"s3writer"}, "DurationSeconds": {"3600"}}},
		{"China", AssumeRole{AccountID: "123456789012", RoleName: "team/w", Region: "cn-northwest-1"}, "https://sts.cn-northwest-1.amazonaws.com.cn/", url.Values{
			"RoleArn": {"arn:aws-cn:iam::123456789012:role/team/w"}, "RoleSessionName": {"s3writer"}, "DurationSeconds": {"3600"}}},
		{"China by ARN", AssumeRole{RoleARN: "arn:aws-cn:iam::123456789012:role/w"}, "https://sts.cn-north-1.amazonaws.com.cn/", url.Values{
			"RoleArn": {"arn:aws-cn:iam::123456789012:role/w"}, "RoleSessionName": {"s3writer"}, "DurationSeconds": {"3600"}}},
		{"GovCloud by ARN", AssumeRole{RoleARN: "arn:aws-us-gov:iam::123456789012:role/w"}, "https://sts.us-gov-west-1.amazonaws.com/", url.Values{
			"RoleArn": {"arn:aws-us-gov:iam::123456789012:role/w"}, "RoleSessionName": {"s3writer"}, "DurationSeconds": {"3600"}}},
		{"endpoint", AssumeRole{RoleARN: "arn:minio:iam:::role/w", Endpoint: "http://localhost:9000"}, "http://localhost:9000/", url.Values{
			"RoleArn": {"arn:minio:iam:::role/w"}, "RoleSessionName": {"s3writer"}, "DurationSeconds": {"3600"}}},
		{"everything", AssumeRole{
			RoleARN: "arn:aws:iam::123456789012:role/w", ExternalID: "project-42", SessionName: "nightly", Duration: 15 * time.Minute,
			SessionPolicy: `{"Version":"2012-10-17"}`, SessionPolicyARNs: []string{"arn:aws:iam::123456789012:policy/a", "arn:aws:iam::aws:policy/b"},
			SourceIdentity: "alice", Tags: map[string]string{"team": "data", "cost center": ""}, Region: "us-west-2",
		}, "https://sts.us-west-2.amazonaws.com/", url.Values{
			"RoleArn": {"arn:aws:iam::123456789012:role/w"}, "RoleSessionName": {"nightly"}, "DurationSeconds": {"900"},
			"ExternalId": {"project-42"}, "Policy": {`{"Version":"2012-10-17"}`},
			"PolicyArns.member.1.arn": {"arn:aws:iam::123456789012:policy/a"}, "PolicyArns.member.2.arn": {"arn:aws:iam::aws:policy/b"},
			"SourceIdentity":    {"alice"},
			"Tags.member.1.Key": {"cost center"}, "Tags.member.1.Value": {""}, "Tags.member.2.Key": {"team"}, "Tags.member.2.Value": {"data"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var form url.Values
			var at string
			test.role.Base = base
			test.role.HTTPClient = transport(func(w http.ResponseWriter, r *http.Request) {
				r.ParseForm()
				form, at = r.PostForm, r.URL.String()
				writeSession(w, "ASIASESSION", time.Now().Add(time.Hour))
			})
			got, err := test.role.Retrieve(t.Context())
			if err != nil || got.AccessKeyID != "ASIASESSION" || !got.CanExpire {
				t.Fatalf("got %s, %v; want the session's keys", got.AccessKeyID, err)
			}
			test.want["Action"], test.want["Version"] = []string{"AssumeRole"}, []string{"2011-06-15"}
			if at != test.url {
				t.Errorf("sent to %s, want %s", at, test.url)
			}
			if !maps.EqualFunc(form, test.want, slices.Equal) {
				t.Errorf("form\ngot  %v\nwant %v", form, test.want)
			}
		})
	}
}

// TestAssumeRoleDefaultChain uses the library's HTTP client, and the default chain: who assumes the role,
// and where, comes from the environment.
func TestAssumeRoleDefaultChain(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent()) // no connection to STS stays open
	var authorization string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorization = r.Header.Get("Authorization")
		writeSession(w, "ASIASESSION", time.Now().Add(time.Hour))
	}))
	defer server.Close()
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAAMBIENT")
	t.Setenv("AWS_SECRET_ACCESS_KEY", testSecret)
	t.Setenv("AWS_REGION", "eu-west-1")
	t.Setenv("AWS_ENDPOINT_URL_STS", server.URL)

	_, err := AssumeRole{AccountID: "123456789012", RoleName: "w"}.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(authorization, "Credential=AKIAAMBIENT/") || !strings.Contains(authorization, "/eu-west-1/sts/") {
		t.Errorf("signed as %.90s, want the default chain's key and region", authorization)
	}
}

func TestAssumeRoleErrors(t *testing.T) {
	const role = "credentials: sts:AssumeRole on arn:aws:iam::123456789012:role/w: "
	denied := "User: arn:aws:iam::111122223333:user/delivery is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::123456789012:role/w"
	for _, test := range []struct {
		name, code, message string
		change              func(*AssumeRole)
		want                string
	}{
		{"denied", "AccessDenied", denied, func(r *AssumeRole) { r.ExternalID = "project-42" },
			"access denied: check that the role exists, that its trust policy names arn:aws:iam::111122223333:user/delivery as principal, " +
				`and that its sts:ExternalId is the one given, "project-42" (AWS says: AccessDenied: ` + denied + ", request ID 6f9d5c1e)"},
		{"denied without external ID", "AccessDenied", "no", func(r *AssumeRole) { r.Tags, r.SourceIdentity = map[string]string{"a": "b"}, "alice" },
			"access denied: check that the role exists, that its trust policy names the base credentials' identity as principal, " +
				"that it allows sts:TagSession, that it allows sts:SetSourceIdentity, and that it asks for no sts:ExternalId, as none is given " +
				"(AWS says: AccessDenied: no, request ID 6f9d5c1e)"},
		{"unknown key", "InvalidClientTokenId", "The security token included in the request is invalid.", nil,
			"the base credentials are wrong: STS in us-east-1 does not know their access key ID or session token " +
				"(AWS says: InvalidClientTokenId: The security token included in the request is invalid., request ID 6f9d5c1e)"},
		{"wrong secret", "SignatureDoesNotMatch", "The request signature we calculated does not match.\n\nThe Canonical String …", nil,
			"the base credentials are wrong: check their secret access key, and this machine's clock " +
				"(AWS says: SignatureDoesNotMatch: The request signature we calculated does not match., request ID 6f9d5c1e)"},
		{"clock", "SignatureDoesNotMatch", "Signature expired: 20260101T000000Z is now earlier than 20260102T000000Z", nil,
			"check this machine's clock (AWS says: SignatureDoesNotMatch: Signature expired: 20260101T000000Z is now earlier than 20260102T000000Z, request ID 6f9d5c1e)"},
		{"expired", "ExpiredToken", "The security token included in the request is expired", nil,
			"the base credentials have expired (AWS says: ExpiredToken: The security token included in the request is expired, request ID 6f9d5c1e)"},
		{"region", "RegionDisabledException", "STS is not activated in this region", func(r *AssumeRole) { r.Region = "af-south-1" },
			"STS is not active in af-south-1 for the base credentials' account: activate it there, or set AssumeRole.Region " +
				"(AWS says: RegionDisabledException: STS is not activated in this region, request ID 6f9d5c1e)"},
		{"too long", "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.", nil,
			"check AssumeRole's fields, and its Duration against what the role allows " +
				"(AWS says: ValidationError: The requested DurationSeconds exceeds the MaxSessionDuration set for this role., request ID 6f9d5c1e)"},
		{"policy", "MalformedPolicyDocument", "Syntax errors in policy.", nil,
			"check AssumeRole.SessionPolicy (AWS says: MalformedPolicyDocument: Syntax errors in policy., request ID 6f9d5c1e)"},
		{"other", "Whatever", "Nobody knows.", nil, "refused (AWS says: Whatever: Nobody knows., request ID 6f9d5c1e)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := AssumeRole{RoleARN: "arn:aws:iam::123456789012:role/w", Region: "us-east-1",
				Base: StaticCredentials(testKey, testSecret, ""), HTTPClient: answering(403, test.code, test.message)}
			if test.change != nil {
				test.change(&r)
			}
			_, err := r.Retrieve(t.Context())
			if err == nil || err.Error() != role+test.want {
				t.Fatalf("got  %v\nwant %v", err, role+test.want)
			}
			if _, ok := errors.AsType[smithy.APIError](err); !ok || !errors.Is(err, ErrCredentials) {
				t.Errorf("%v: want ErrCredentials, and AWS's own error", err)
			}
		})
	}
}

func TestAssumeRoleWithoutAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unplugged := errors.New("network is unreachable")
		_, err := AssumeRole{RoleARN: "arn:aws:iam::123456789012:role/w", Region: "us-east-1", Base: StaticCredentials(testKey, testSecret, ""),
			HTTPClient: doer(func(*http.Request) (*http.Response, error) { return nil, unplugged })}.Retrieve(t.Context())
		want := "credentials: sts:AssumeRole on arn:aws:iam::123456789012:role/w: no answer from STS in region us-east-1: check the network, and AssumeRole.Region: "
		if err == nil || !strings.HasPrefix(err.Error(), want) || !errors.Is(err, unplugged) || !errors.Is(err, ErrCredentials) {
			t.Errorf("got  %v\nwant %v…", err, want)
		}
	})
}

func TestAssumeRoleCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := AssumeRole{RoleARN: "arn:aws:iam::123456789012:role/w", Base: StaticCredentials(testKey, testSecret, ""),
		HTTPClient: doer(func(*http.Request) (*http.Response, error) { cancel(); return nil, ctx.Err() })}.Retrieve(ctx)
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrCredentials) {
		t.Errorf("%v: want the context's error, which is not the credentials'", err)
	}
}

func TestAssumeRoleBaseFails(t *testing.T) {
	inner := AssumeRole{RoleARN: "arn:aws:iam::111122223333:role/base", Region: "us-east-1", Base: StaticCredentials(testKey, testSecret, ""),
		HTTPClient: answering(403, "InvalidClientTokenId", "invalid")}
	for _, test := range []struct {
		name string
		base aws.CredentialsProvider
		want string
	}{
		{"a role", inner, "sts:AssumeRole on arn:aws:iam::111122223333:role/base: the base credentials are wrong: STS in us-east-1 does not know " +
			"their access key ID or session token (AWS says: InvalidClientTokenId: invalid, request ID 6f9d5c1e)"},
		{"a function", aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, errors.New("vault sealed") }), "vault sealed"},
		{"empty", aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, nil }), "they are empty"},
	} {
		_, err := AssumeRole{RoleARN: "arn:aws:iam::123456789012:role/w", Base: test.base}.Retrieve(t.Context())
		want := "credentials: sts:AssumeRole on arn:aws:iam::123456789012:role/w: base credentials: " + test.want
		if err == nil || err.Error() != want || !errors.Is(err, ErrCredentials) {
			t.Errorf("%s:\ngot  %v\nwant %v", test.name, err, want)
		}
	}
}

// TestAssumeRoleOnServer goes over the wire, with the library's own HTTP client: signed requests,
// a trust policy, an external ID, and a session that S3 takes.
func TestAssumeRoleOnServer(t *testing.T) {
	server := s3writertest.NewServer("writer-sample")
	defer server.Close()
	const arn = "arn:aws:iam::123456789012:role/team/w"
	server.AddKey(testKey, testSecret)
	server.AddKey("AKIASTRANGER00000000", testSecret)
	server.AddRole(s3writertest.Role{ARN: arn, ExternalID: "project-42", Trusted: []string{testKey},
		Allow: []s3writertest.Allow{s3writertest.LeastPrivilege("writer-sample")}})

	for _, test := range []struct {
		name   string
		change func(*AssumeRole)
		want   string
	}{
		{"trusted", func(*AssumeRole) {}, ""},
		{"wrong external ID", func(r *AssumeRole) { r.ExternalID = "project-43" }, `access denied: check that the role exists, ` +
			`that its trust policy names arn:aws:iam::123456789012:user/AKIAIOSFODNN7EXAMPLE as principal, and that its sts:ExternalId is the one given, "project-43" (AWS says: AccessDenied: `},
		{"no external ID", func(r *AssumeRole) { r.ExternalID = "" }, "access denied: "},
		{"unknown role", func(r *AssumeRole) { r.RoleName = "w" }, "access denied: "},
		{"not trusted", func(r *AssumeRole) { r.Base = StaticCredentials("AKIASTRANGER00000000", testSecret, "") }, "access denied: "},
		{"unknown key", func(r *AssumeRole) { r.Base = StaticCredentials("AKIANOBODY0000000000", testSecret, "") }, "the base credentials are wrong: STS in "},
		{"wrong secret", func(r *AssumeRole) { r.Base = StaticCredentials(testKey, "not"+testSecret, "") }, "the base credentials are wrong: check their secret access key"},
		{"too long", func(r *AssumeRole) { r.Duration = 2 * time.Hour }, "check AssumeRole's fields, and its Duration "},
	} {
		t.Run(test.name, func(t *testing.T) {
			role := AssumeRole{AccountID: "123456789012", RoleName: "team/w", ExternalID: "project-42", Region: "us-east-1",
				Endpoint: server.URL, Base: StaticCredentials(testKey, testSecret, "")}
			test.change(&role)
			_, err := s3.New(s3.Options{Region: "us-east-1", BaseEndpoint: &server.URL, UsePathStyle: true,
				HTTPClient: server.Client(), Credentials: cached(role)}).
				PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("writer-sample"), Key: aws.String("orders.csv"), Body: strings.NewReader("id\n")})
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			want := "credentials: sts:AssumeRole on " + role.roleARN("us-east-1") + ": " + test.want
			if err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, ErrCredentials) {
				t.Errorf("got  %v\nwant %v…", err, want)
			}
		})
	}
}

// doer is an HTTP client made of a function.
type doer func(*http.Request) (*http.Response, error)

func (f doer) Do(r *http.Request) (*http.Response, error) { return f(r) }

// transport is an HTTP client whose server is a handler in this process, without a network.
func transport(h http.HandlerFunc) aws.HTTPClient {
	return doer(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		h(w, r)
		return w.Result(), nil
	})
}

func answering(status int, code, message string) aws.HTTPClient {
	return transport(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amzn-Requestid", "6f9d5c1e")
		w.WriteHeader(status)
		fmt.Fprintf(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>`+
			`<Code>%s</Code><Message>%s</Message></Error><RequestId>6f9d5c1e</RequestId></ErrorResponse>`, code, message)
	})
}

func writeSession(w http.ResponseWriter, key string, expires time.Time) {
	fmt.Fprintf(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>`+
		`<AssumedRoleUser><AssumedRoleId>ARO:s</AssumedRoleId><Arn>arn:aws:sts::123456789012:assumed-role/w/s</Arn></AssumedRoleUser>`+
		`<Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>`+
		`<Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`, key, expires.UTC().Format(time.RFC3339))
}

// sessions provides numbered credentials that end after a time of their own, or fails.
type sessions struct {
	mu    sync.Mutex
	lasts time.Duration
	fails error
	given int
	asked int
}

func (s *sessions) Retrieve(context.Context) (aws.Credentials, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.fails != nil {
		return aws.Credentials{}, s.fails
	}
	s.given++
	return aws.Credentials{AccessKeyID: fmt.Sprint("session-", s.given), SecretAccessKey: "s", CanExpire: true, Expires: time.Now().Add(s.lasts)}, nil
}

func TestCachedRefreshesBeforeTheEnd(t *testing.T) {
	for _, test := range []struct{ lasts, keeps, refreshes time.Duration }{
		{time.Hour, 54 * time.Minute, 57 * time.Minute},                                      // 5 minutes before the end, less the jitter
		{15 * time.Minute, 11*time.Minute + 59*time.Second, 12*time.Minute + 37*time.Second}, // a fifth of the session
	} {
		synctest.Test(t, func(t *testing.T) {
			p := &sessions{lasts: test.lasts}
			c := cached(p)
			expectSession(t, c, "session-1")
			time.Sleep(test.keeps) // of the bubble's clock
			expectSession(t, c, "session-1")
			time.Sleep(test.refreshes - test.keeps) // of the bubble's clock
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() { expectSession(t, c, "session-2") })
			}
			all.Wait()
			if p.asked != 2 {
				t.Errorf("asked %d times, want 2", p.asked)
			}
		})
	}
}

func TestCachedGoesOnWhileTheSessionLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &sessions{lasts: time.Hour}
		c := cached(p)
		expectSession(t, c, "session-1")
		p.fails = errors.New("STS is away")
		time.Sleep(57 * time.Minute) // of the bubble's clock
		expectSession(t, c, "session-1")
		expectSession(t, c, "session-1")
		if p.asked != 2 {
			t.Errorf("asked %d times, want 2: not at every use", p.asked)
		}
		time.Sleep(refreshAgain) // of the bubble's clock
		expectSession(t, c, "session-1")
		if p.asked != 3 {
			t.Errorf("asked %d times, want 3: again after %v", p.asked, refreshAgain)
		}
		time.Sleep(3 * time.Minute) // of the bubble's clock
		if _, err := c.Retrieve(t.Context()); !errors.Is(err, p.fails) {
			t.Errorf("error %v after the session's end, want %v", err, p.fails)
		}
		p.fails = nil
		expectSession(t, c, "session-2")

		p.fails = errors.New("STS is away again")
		c.Invalidate() // as the engine does when S3 no longer takes the session
		if _, err := c.Retrieve(t.Context()); !errors.Is(err, p.fails) {
			t.Errorf("error %v after Invalidate, want %v", err, p.fails)
		}
	})
}

func expectSession(t *testing.T, c *aws.CredentialsCache, want string) {
	t.Helper()
	got, err := c.Retrieve(t.Context())
	if err != nil || got.AccessKeyID != want {
		t.Errorf("got %s, %v; want %s", got.AccessKeyID, err, want)
	}
}

func TestCachedGivesUpOnASilentProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cached(aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
			<-ctx.Done()
			return aws.Credentials{}, ctx.Err()
		}))
		start := time.Now()
		if _, err := c.Retrieve(t.Context()); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != refreshTimeout {
			t.Errorf("error %v after %v, want %v after %v", err, time.Since(start), context.DeadlineExceeded, refreshTimeout)
		}
	})
}

func TestCachedIsTransparent(t *testing.T) {
	c := aws.NewCredentialsCache(aws.AnonymousCredentials{})
	if cached(c) != c {
		t.Error("a cache was wrapped again")
	}
	if !aws.IsCredentialsProvider(cached(aws.AnonymousCredentials{}), (*aws.AnonymousCredentials)(nil)) {
		t.Error("anonymous credentials are not recognised through the cache")
	}
	if !isRole(cached(AssumeRole{})) || isRole(cached(StaticCredentials(testKey, testSecret, ""))) {
		t.Error("roles are not recognised through the cache")
	}
}
