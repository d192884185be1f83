package e2e

import (
	"crypto/rand"
	"net/http"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/internal/e2e/servers"
)

const (
	bucket      = "writer-sample" // of the loopback servers
	otherBucket = "writer-other"  // is there too, and is not the user's
)

// traits are what the servers differ in, as far as the suite shows it.
type traits struct {
	checksOwner  bool   // refuses a request that expects another bucket owner
	storageClass string // one that it keeps and that is not the default; empty: there is none
	encrypts     bool   // with a key of the server's
	deniesAbort  bool   // to a user who has the least policy
	noSuchBucket error  // what a bucket that is not there is called
}

var (
	versityGWTraits = traits{
		checksOwner: true, deniesAbort: true, noSuchBucket: s3writer.ErrNoSuchBucket,
	}
	minIOTraits = traits{
		storageClass: "REDUCED_REDUNDANCY", encrypts: true, deniesAbort: true, noSuchBucket: s3writer.ErrAccessDenied,
	}
)

// target is a bucket that the suite delivers to.
type target struct {
	traits
	bucket, prefix  string
	region          string
	endpoint        string // empty: AWS
	owner           string // empty: not known
	credentials     aws.CredentialsProvider
	awsConfig       aws.Config
	newRoundTripper func() http.RoundTripper
	reader          *s3.Client // the suite's own eyes: may list, read and delete

	server *servers.Server // nil: not ours
	keys   servers.Keys
}

func loopback(server *servers.Server, keys servers.Keys, traits traits) *target {
	return &target{
		traits:          traits,
		bucket:          bucket,
		region:          server.Region,
		endpoint:        server.Endpoint,
		owner:           server.Owner(),
		credentials:     s3writer.StaticCredentials(keys.AccessKeyID, keys.SecretAccessKey, ""),
		newRoundTripper: func() http.RoundTripper { return server.HTTPClient().Transport },
		reader:          server.Root(),
		server:          server,
		keys:            keys,
	}
}

func fromEnvironment(t *testing.T) *target {
	t.Helper()
	name := os.Getenv("S3WRITER_E2E_BUCKET")
	if name == "" {
		t.Skip("S3WRITER_E2E_BUCKET names no bucket")
	}
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	to := &target{
		bucket:          name,
		prefix:          "s3writer-e2e-" + rand.Text() + "/",
		region:          os.Getenv("S3WRITER_E2E_REGION"),
		endpoint:        os.Getenv("S3WRITER_E2E_ENDPOINT"),
		awsConfig:       cfg,
		newRoundTripper: func() http.RoundTripper { return http.DefaultTransport.(*http.Transport).Clone() },
	}
	if to.endpoint == "" {
		to.traits = traits{checksOwner: true, storageClass: "STANDARD_IA", encrypts: true}
	}
	if role := os.Getenv("S3WRITER_E2E_ROLE"); role != "" {
		to.credentials = s3writer.AssumeRole{RoleARN: role, ExternalID: os.Getenv("S3WRITER_E2E_EXTERNAL_ID")}
	}
	if to.region == "" {
		to.region = regionOf(t, cfg, name)
	}
	to.reader = s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.Region = to.region
		if to.endpoint != "" {
			o.BaseEndpoint, o.UsePathStyle = &to.endpoint, true
		}
	})
	t.Cleanup(func() { removeAll(t, to) })
	return to
}

func regionOf(t *testing.T, cfg aws.Config, bucket string) string {
	t.Helper()
	client := s3.NewFromConfig(cfg, func(o *s3.Options) { o.Region = "us-east-1" })
	out, err := client.GetBucketLocation(t.Context(), &s3.GetBucketLocationInput{Bucket: &bucket})
	if err != nil {
		t.Fatalf("S3WRITER_E2E_REGION is not set, and: %v", err)
	}
	switch region := string(out.LocationConstraint); region {
	case "":
		return "us-east-1"
	case "EU":
		return "eu-west-1"
	default:
		return region
	}
}
