package e2e

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/internal/e2e/servers"
)

// assumeRoleSuite delivers as a role, through MinIO's STS: it gives a session with the rights of the user who asks,
// whatever the role, so the user who asks is the one with the least policy.
func assumeRoleSuite(t *testing.T, server *servers.Server) {
	keys := server.AddUser(t, "assumer", leastPolicy)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *session)
	}{
		{"delivers", testRoleDelivers},
		{"session refreshed half way", testRoleRefreshes},
		{"session expired half way", testRoleExpires},
		{"session policy narrows", testRoleNarrowed},
		{"wrong secret of the base", testRoleWrongBase},
		{"base removed half way", testRoleBaseRemoved},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, newSession(t, server, keys)) })
	}
}

// session is a delivery as a role.
type session struct {
	*delivery
	role s3writer.AssumeRole
	sts  *wire
}

func newSession(t *testing.T, server *servers.Server, keys servers.Keys) *session {
	to := loopback(server, keys, minIOTraits)
	sts := &wire{base: server.HTTPClient().Transport}
	return &session{
		delivery: deliverTo(t, to),
		sts:      sts,
		role: s3writer.AssumeRole{
			AccountID:  "123456789012",
			RoleName:   "s3-writer",
			ExternalID: "project-42",
			Duration:   15 * time.Minute,
			Base:       s3writer.StaticCredentials(keys.AccessKeyID, keys.SecretAccessKey, ""),
			Region:     server.Region,
			Endpoint:   server.Endpoint,
			HTTPClient: &http.Client{Transport: sts},
		},
	}
}

func testRoleDelivers(t *testing.T, s *session) {
	table := sample(30, 20*mib)
	report := s.write(s.writer(s3writer.WithCredentials(s.role)), s3writer.NewTable("orders.csv", ofUnknownLength(table)))

	s.want("orders.csv", table)
	s.wantReported(report.Tables[0].Objects[0])
	if n := s.sts.count("AssumeRole"); n != 1 {
		t.Errorf("the role was assumed %d times for one short delivery", n)
	}
	for _, call := range s.wire.calls {
		if call.accessKey == s.to.keys.AccessKeyID {
			t.Errorf("%s is signed by the base's keys, not by the session's", call.operation)
		}
	}
}

// overSoon is a role whose sessions are over as soon as they are there, so that every request needs a new one.
type overSoon struct{ s3writer.AssumeRole }

func (o overSoon) Retrieve(ctx context.Context) (aws.Credentials, error) {
	credentials, err := o.AssumeRole.Retrieve(ctx)
	credentials.CanExpire, credentials.Expires = true, time.Now()
	return credentials, err
}

func testRoleRefreshes(t *testing.T, s *session) {
	table := sample(31, 20*mib)
	report := s.write(s.writer(s3writer.WithCredentials(overSoon{s.role})), s3writer.NewTable("orders.csv", ofUnknownLength(table)))

	s.want("orders.csv", table)
	s.wantReported(report.Tables[0].Objects[0])
	if n := s.sts.count("AssumeRole"); n < 2 {
		t.Errorf("the role was assumed %d times, want a new session in the middle", n)
	}
	if n := s.wire.signers(); n < 2 {
		t.Errorf("one upload was signed by %d sessions, want several", n)
	}
}

// testRoleExpires has S3 say that the session is over, before its time: MinIO does not tell an expired session from
// an unknown one, so the answer is made here, as AWS gives it. What follows is MinIO's.
func testRoleExpires(t *testing.T, s *session) {
	first := ""
	s.wire.before = func(operation string) *http.Response {
		s.wire.mu.Lock()
		defer s.wire.mu.Unlock()
		signer := s.wire.calls[len(s.wire.calls)-1].accessKey
		if first == "" {
			first = signer
		}
		if operation == "UploadPart" && signer == first {
			return refusal(http.StatusBadRequest, "ExpiredToken", "The provided token has expired.")
		}
		return nil
	}
	table := sample(32, 20*mib)
	report := s.write(s.writer(s3writer.WithCredentials(s.role)), s3writer.NewTable("orders.csv", ofUnknownLength(table)))

	s.want("orders.csv", table)
	s.wantReported(report.Tables[0].Objects[0])
	if n := s.sts.count("AssumeRole"); n != 2 {
		t.Errorf("the role was assumed %d times, want once more than before the end of the session", n)
	}
}

func testRoleNarrowed(t *testing.T, s *session) {
	s.role.SessionPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:PutObject",` +
		`"Resource":"arn:aws:s3:::writer-sample/elsewhere/*"}]}`
	s.wantRefused(s.writer(s3writer.WithCredentials(s.role)), s3writer.ErrAccessDenied, s.to.keys.SecretAccessKey)
}

func testRoleWrongBase(t *testing.T, s *session) {
	const secret = "not-the-secret-of-this-user"
	s.role.Base = s3writer.StaticCredentials(s.to.keys.AccessKeyID, secret, "")
	_, err := s.writer(s3writer.WithCredentials(s.role)).Write(t.Context(),
		s3writer.NewTable("orders.csv", ofUnknownLength(sample(33, 1000))))
	// MinIO's STS says AccessDenied where AWS says SignatureDoesNotMatch.
	if !errors.Is(err, s3writer.ErrCredentials) && !errors.Is(err, s3writer.ErrAccessDenied) {
		t.Errorf("got %v, want that the role could not be assumed", err)
	}
	mustContain(t, err, "arn:aws:iam::123456789012:role/s3-writer")
	mustNotContain(t, err, secret)
	s.wantKeys()
}

// testRoleBaseRemoved takes the keys of the one who assumed the role away in the middle: MinIO ends the rights of the
// session too, and then the session.
func testRoleBaseRemoved(t *testing.T, s *session) {
	keys := s.to.server.AddUser(t, "leaving-assumer", leastPolicy)
	s.role.Base = s3writer.StaticCredentials(keys.AccessKeyID, keys.SecretAccessKey, "")
	source := newGate(sample(34, 26*mib), nil)
	w := s.writer(s3writer.WithCredentials(s.role))
	_, err := s.interrupt(t.Context(), w, s3writer.NewTable("orders.csv", source), func() {
		s.to.server.RemoveUser(t, "leaving-assumer")
		close(source.open)
	})
	if !errors.Is(err, s3writer.ErrCredentials) && !errors.Is(err, s3writer.ErrAccessDenied) {
		t.Errorf("got %v, want that the session is refused", err)
	}
	mustNotContain(t, err, keys.SecretAccessKey)
	s.wantKeys()
}
