package s3writertest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"

	"github.com/seed149ec23d/s3writer/s3writertest"
)

const roleARN = "arn:aws:iam::123456789012:role/s3-writer"

// newRoleServer has a user who may nothing but assume a role, which may deliver.
func newRoleServer(t *testing.T) *s3writertest.Server {
	s := newServer(t)
	s.AddKey("AKIABASE", "secret")
	s.AddRole(s3writertest.Role{
		ARN: roleARN, ExternalID: "project-42", Trusted: []string{"AKIABASE"}, MaxDuration: 2 * time.Hour,
		Allow: []s3writertest.Allow{s3writertest.LeastPrivilege(bucket)},
	})
	return s
}

func stsClient(s *s3writertest.Server, accessKeyID, secret, token string) *sts.Client {
	return sts.NewFromConfig(s.Config(), func(o *sts.Options) {
		o.RetryMaxAttempts = 1
		o.Credentials = credentials.NewStaticCredentialsProvider(accessKeyID, secret, token)
	})
}

func assume(c *sts.Client, change ...func(*sts.AssumeRoleInput)) (*types.Credentials, error) {
	in := &sts.AssumeRoleInput{
		RoleArn: aws.String(roleARN), RoleSessionName: aws.String("delivery"), ExternalId: aws.String("project-42"),
	}
	for _, f := range change {
		f(in)
	}
	out, err := c.AssumeRole(context.Background(), in)
	if err != nil {
		return nil, err
	}
	return out.Credentials, nil
}

func inSession(c *types.Credentials) func(*s3.Options) {
	return as(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
}

func TestAssumeRole(t *testing.T) {
	s := newRoleServer(t)
	session, err := assume(stsClient(s, "AKIABASE", "secret", ""), func(in *sts.AssumeRoleInput) {
		in.DurationSeconds = aws.Int32(900)
		in.SourceIdentity = aws.String("alice")
		in.Tags = []types.Tag{{Key: aws.String("team"), Value: aws.String("data")}}
	})
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(*session.Expiration); left < 14*time.Minute || left > 15*time.Minute {
		t.Errorf("session of 900 s ends in %v", left)
	}
	if err := put(client(s, inSession(session))); err != nil {
		t.Error(err)
	}
	_, err = client(s, inSession(session)).GetObject(context.Background(), &s3.GetObjectInput{
		Bucket: aws.String(bucket), Key: aws.String("k"),
	})
	wantError(t, err, 403, "AccessDenied")
	if want := "User: arn:aws:sts::123456789012:assumed-role/s3-writer/delivery is not authorized"; !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q in it", err, want)
	}
	form := s.Requests()[0].Form
	for name, want := range map[string]string{
		"RoleArn": roleARN, "RoleSessionName": "delivery", "ExternalId": "project-42", "DurationSeconds": "900",
		"SourceIdentity": "alice", "Tags.member.1.Key": "team", "Tags.member.1.Value": "data",
	} {
		if got := form.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestAssumeRoleRefusals(t *testing.T) {
	denied := "is not authorized to perform: sts:AssumeRole on resource: " + roleARN
	tests := []struct {
		name   string
		client func(*s3writertest.Server) *sts.Client
		input  func(*sts.AssumeRoleInput)
		status int
		code   string
		text   string
	}{
		{name: "wrong external ID", input: func(in *sts.AssumeRoleInput) { in.ExternalId = aws.String("project-43") },
			status: 403, code: "AccessDenied", text: "User: arn:aws:iam::123456789012:user/AKIABASE " + denied},
		{name: "no external ID", input: func(in *sts.AssumeRoleInput) { in.ExternalId = nil }, status: 403, code: "AccessDenied", text: denied},
		{name: "unknown role", input: func(in *sts.AssumeRoleInput) { in.RoleArn = aws.String(roleARN + "2") },
			status: 403, code: "AccessDenied", text: denied + "2"},
		{name: "not trusted", client: func(s *s3writertest.Server) *sts.Client {
			s.AddKey("AKIASTRANGER", "secret")
			return stsClient(s, "AKIASTRANGER", "secret", "")
		}, status: 403, code: "AccessDenied", text: denied},
		{name: "malformed ARN", input: func(in *sts.AssumeRoleInput) { in.RoleArn = aws.String("arn:aws:iam::12:role/name") },
			status: 400, code: "ValidationError"},
		{name: "malformed session name", input: func(in *sts.AssumeRoleInput) { in.RoleSessionName = aws.String("a b") },
			status: 400, code: "ValidationError"},
		{name: "too short", input: func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(899) },
			status: 400, code: "ValidationError", text: "greater than or equal to 900"},
		{name: "too long", input: func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(7201) },
			status: 400, code: "ValidationError", text: "exceeds the MaxSessionDuration set for this role"},
		{name: "malformed policy", input: func(in *sts.AssumeRoleInput) { in.Policy = aws.String(`{"Version":"nope"}`) },
			status: 400, code: "MalformedPolicyDocument"},
		{name: "wrong secret", client: func(s *s3writertest.Server) *sts.Client {
			return stsClient(s, "AKIABASE", "other", "")
		}, status: 403, code: "SignatureDoesNotMatch"},
		{name: "unknown key", client: func(s *s3writertest.Server) *sts.Client {
			return stsClient(s, "AKIANOBODY", "secret", "")
		}, status: 403, code: "InvalidClientTokenId"},
		{name: "skewed clock", client: func(s *s3writertest.Server) *sts.Client {
			shift(time.Hour)(s)
			return stsClient(s, "AKIABASE", "secret", "")
		}, status: 403, code: "SignatureDoesNotMatch", text: "Signature expired"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newRoleServer(t)
			c := stsClient(s, "AKIABASE", "secret", "")
			if test.client != nil {
				c = test.client(s)
			}
			input := test.input
			if input == nil {
				input = func(*sts.AssumeRoleInput) {}
			}
			_, err := assume(c, input)
			wantError(t, err, test.status, test.code)
			if !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %v, want %q in it", err, test.text)
			}
		})
	}
}

func TestRoleChaining(t *testing.T) {
	s := newServer(t)
	s.AddRole(s3writertest.Role{ARN: roleARN, MaxDuration: 2 * time.Hour})
	id, secret := s.Credentials()
	first, err := assume(stsClient(s, id, secret, ""))
	if err != nil {
		t.Fatal(err)
	}
	chained := stsClient(s, *first.AccessKeyId, *first.SecretAccessKey, *first.SessionToken)
	if _, err := assume(chained); err != nil {
		t.Error(err)
	}
	_, err = assume(chained, func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(3601) })
	wantError(t, err, 400, "ValidationError")
	who, err := chained.GetCallerIdentity(context.Background(), &sts.GetCallerIdentityInput{})
	if err != nil || aws.ToString(who.Arn) != "arn:aws:sts::123456789012:assumed-role/s3-writer/delivery" {
		t.Errorf("caller %v, %v", who, err)
	}
}

func TestSessionToken(t *testing.T) {
	s := newRoleServer(t)
	base := stsClient(s, "AKIABASE", "secret", "")
	session, err := assume(base)
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, put(client(s, as(*session.AccessKeyId, *session.SecretAccessKey, ""))), 403, "InvalidAccessKeyId")
	wantError(t, put(client(s, as(*session.AccessKeyId, *session.SecretAccessKey, "changed"))), 400, "InvalidToken")

	s.ExpireSessions()
	wantError(t, put(client(s, inSession(session))), 400, "ExpiredToken")
	next, err := assume(base)
	if err != nil {
		t.Fatal(err)
	}
	if err := put(client(s, inSession(next))); err != nil {
		t.Errorf("a session after ExpireSessions: %v", err)
	}
}

func TestSessionEnds(t *testing.T) {
	s := newRoleServer(t)
	session, err := assume(stsClient(s, "AKIABASE", "secret", ""), func(in *sts.AssumeRoleInput) {
		in.DurationSeconds = aws.Int32(900)
	})
	if err != nil {
		t.Fatal(err)
	}
	shift(14 * time.Minute)(s)
	if err := put(client(s, inSession(session))); err != nil {
		t.Errorf("after 14 minutes: %v", err)
	}
	later := time.Now().Add(15*time.Minute + time.Second)
	s.SetTime(func() time.Time { return later })
	err = put(client(s, inSession(session), retryAtOnce)) // the first attempt sets the client's clock
	wantError(t, err, 400, "ExpiredToken")
}

func TestSessionPolicy(t *testing.T) {
	s := newServer(t)
	s.AddRole(s3writertest.Role{ARN: roleARN, Allow: []s3writertest.Allow{{Actions: []string{"s3:*"}, Resources: []string{"*"}}}})
	id, secret := s.Credentials()
	session, err := assume(stsClient(s, id, secret, ""), func(in *sts.AssumeRoleInput) {
		in.Policy = aws.String(`{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::writer-sample/*"},
			{"Effect":"Deny","Action":["s3:*"],"Resource":["arn:aws:s3:::writer-sample/secret/*"]}]}`)
	})
	if err != nil {
		t.Fatal(err)
	}
	c := client(s, inSession(session))
	if err := put(c); err != nil {
		t.Error(err)
	}
	wantError(t, put(c, func(in *s3.PutObjectInput) { in.Key = aws.String("secret/k") }), 403, "AccessDenied")
	_, err = c.GetBucketLocation(context.Background(), &s3.GetBucketLocationInput{Bucket: aws.String(bucket)})
	wantError(t, err, 403, "AccessDenied")
	if !strings.Contains(err.Error(), "because no session policy allows the s3:GetBucketLocation action") {
		t.Error(err)
	}
}

// The SDK's own provider and cache, as programs use them.
func TestProvider(t *testing.T) {
	s := newRoleServer(t)
	provider := aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(stsClient(s, "AKIABASE", "secret", ""), roleARN,
		func(o *stscreds.AssumeRoleOptions) { o.ExternalID = aws.String("project-42") }))
	c := client(s, func(o *s3.Options) { o.Credentials = provider })
	for range 2 {
		if err := put(c); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Count("AssumeRole"); n != 1 {
		t.Errorf("%d sessions for two puts", n)
	}
}

func TestUnknownSTSAction(t *testing.T) {
	s := newRoleServer(t)
	_, err := stsClient(s, "AKIABASE", "secret", "").GetSessionToken(context.Background(), &sts.GetSessionTokenInput{})
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != "InvalidAction" {
		t.Error(err)
	}
}
