package s3writer_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/seed149ec23d/s3writer"
)

// TestConfigWithoutCredentials signs with those of the default chain; all else is
// the configuration's own.
func TestConfigWithoutCredentials(t *testing.T) {
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAAMBIENT")
	t.Setenv("AWS_SECRET_ACCESS_KEY", userSecret)
	t.Setenv("AWS_REGION", "ap-south-2")
	t.Setenv("AWS_ENDPOINT_URL", "http://ambient.example.com")
	for _, test := range []struct {
		name  string
		given aws.CredentialsProvider
		opts  []s3writer.Option
		want  string // in Authorization
	}{
		{"none", nil, nil, "Credential=AKIAAMBIENT/"},
		{"its own", credentials.NewStaticCredentialsProvider("AKIAOWN", userSecret, ""), nil, "Credential=AKIAOWN/"},
		{"WithCredentials", nil, []s3writer.Option{user(userSecret)}, "Credential=" + userID + "/"},
		{"anonymous", aws.AnonymousCredentials{}, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := &anywhere{}
			cfg := aws.Config{HTTPClient: a, Region: "eu-west-1", Credentials: test.given}
			write(t, mustNew(t, append(test.opts, s3writer.WithAWSConfig(cfg))...), csv("t.csv", "id\n"))
			for _, r := range a.sent {
				by := r.Header.Get("Authorization")
				if r.URL.Host != "writer-sample.s3.eu-west-1.amazonaws.com" || !strings.Contains(by, test.want) || (by == "") != (test.want == "") {
					t.Errorf("%s was signed %q", r.URL, by)
				}
			}
		})
	}
}

// TestEmptyCredentialsInACache are an error as without the cache, which is told when
// its credentials have expired.
func TestEmptyCredentialsInACache(t *testing.T) {
	empty := aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: userID}, nil
	}))
	for name, opts := range map[string]func(*anywhere) []s3writer.Option{
		"WithCredentials": func(a *anywhere) []s3writer.Option {
			return []s3writer.Option{s3writer.WithAWSConfig(aws.Config{HTTPClient: a}), s3writer.WithCredentials(empty)}
		},
		"WithAWSConfig": func(a *anywhere) []s3writer.Option {
			return []s3writer.Option{s3writer.WithAWSConfig(aws.Config{HTTPClient: a, Region: "eu-west-1", Credentials: empty})}
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := &anywhere{}
			_, err := mustNew(t, opts(a)...).Write(t.Context(), csv("t.csv", "id\n"))
			if !errors.Is(err, s3writer.ErrCredentials) || !strings.Contains(err.Error(), "returned no keys") {
				t.Errorf("got %v", err)
			}
			if len(a.sent) > 0 {
				t.Errorf("%d requests were sent", len(a.sent))
			}
		})
	}
}
