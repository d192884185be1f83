package upload

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// RegionClient is what DiscoverRegion asks of S3; *s3.Client has it.
type RegionClient interface {
	GetBucketLocation(context.Context, *s3.GetBucketLocationInput, ...func(*s3.Options)) (*s3.GetBucketLocationOutput, error)
	HeadBucket(context.Context, *s3.HeadBucketInput, ...func(*s3.Options)) (*s3.HeadBucketOutput, error)
}

// DiscoverRegion asks S3 for the bucket's region: GetBucketLocation, else the region
// that an answer to HeadBucket names in a header, which needs no permission. An owner,
// if given, is the account that the bucket must belong to.
//
// The client may be of any region of the bucket's partition. China and GovCloud are partitions of
// their own: keys of one are unknown in the others, so there the client's region must
// be one of the partition (cn-north-1, us-gov-west-1), or the bucket's region be given.
func DiscoverRegion(ctx context.Context, c RegionClient, bucket, owner string) (string, error) {
	region, locationErr := bucketLocation(ctx, c, bucket, owner)
	if locationErr == nil {
		return region, nil
	}
	if endsDiscovery(locationErr) {
		return "", discoveryEnded(bucket, locationErr)
	}
	if region := RegionOf(locationErr); region != "" {
		return region, nil
	}
	region, headErr := bucketHeader(ctx, c, bucket, owner)
	switch {
	case region != "":
		return region, nil
	case headErr != nil && endsDiscovery(headErr):
		return "", discoveryEnded(bucket, headErr)
	case headErr == nil:
		headErr = errors.New("the answer to HeadBucket names no region")
	default:
		headErr = Explain("HeadBucket", bucketARN(bucket), headErr)
	}
	return "", fmt.Errorf("region of bucket %q is not to be found: set WithRegion, or allow s3:GetBucketLocation on the bucket: %w; %w",
		bucket, explainLocation(bucket, locationErr), headErr)
}

func bucketLocation(ctx context.Context, c RegionClient, bucket, owner string) (string, error) {
	out, err := c.GetBucketLocation(ctx,
		&s3.GetBucketLocationInput{Bucket: &bucket, ExpectedBucketOwner: expectedOwner(owner)}, withSDKRetries)
	if err != nil {
		return "", err
	}
	switch location := string(out.LocationConstraint); location {
	case "":
		return "us-east-1", nil
	case "EU":
		return "eu-west-1", nil
	default:
		return location, nil
	}
}

func bucketHeader(ctx context.Context, c RegionClient, bucket, owner string) (string, error) {
	out, err := c.HeadBucket(ctx,
		&s3.HeadBucketInput{Bucket: &bucket, ExpectedBucketOwner: expectedOwner(owner)}, withSDKRetries)
	if err != nil {
		return RegionOf(err), err
	}
	return aws.ToString(out.BucketRegion), nil
}

// withSDKRetries leaves retries to the SDK: the engine's own belong to its uploads, which begin later.
func withSDKRetries(o *s3.Options) { o.Retryer = retry.NewStandard() }

func expectedOwner(account string) *string {
	if account == "" {
		return nil
	}
	return &account
}

func discoveryEnded(bucket string, err error) error {
	explained := explainLocation(bucket, err)
	if discoveryCode(err) == "InvalidAccessKeyId" {
		return fmt.Errorf("region of bucket %q: %w; in China and GovCloud, where keys of their own are known, set WithRegion", bucket, explained)
	}
	return fmt.Errorf("region of bucket %q: %w", bucket, explained)
}

func explainLocation(bucket string, err error) error {
	return Explain("s3:GetBucketLocation", bucketARN(bucket), err)
}

func bucketARN(bucket string) string { return "arn:aws:s3:::" + bucket }

// endsDiscovery reports whether asking S3 again, in another way, is of no use: no answer came,
// the bucket does not exist, or S3 does not know who asks.
func endsDiscovery(err error) bool {
	if s3Answer(err) == nil {
		return true
	}
	switch discoveryCode(err) {
	case "NoSuchBucket", "NotFound", "InvalidAccessKeyId", "SignatureDoesNotMatch":
		return true
	}
	return false
}

// Expired reports whether S3 no longer takes the credentials of a request: with others it is worth another try.
func Expired(err error) bool { return s3Answer(err) != nil && isExpired(discoveryCode(err)) }

func discoveryCode(err error) string {
	if refusal, ok := errors.AsType[smithy.APIError](err); ok {
		return refusal.ErrorCode()
	}
	return ""
}

var (
	expectedRegion = regexp.MustCompile(`expecting ['"]([^'"]*)['"]`)
	regionName     = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
)

// RegionOf returns the region that an error answer of S3 names as the bucket's, or "".
// Answers to requests sent to the right region name it too.
func RegionOf(err error) string {
	answer := s3Answer(err)
	if answer == nil {
		return ""
	}
	if region := answer.Header.Get("X-Amz-Bucket-Region"); regionName.MatchString(region) {
		return region
	}
	refusal, ok := errors.AsType[smithy.APIError](err)
	if !ok || refusal.ErrorCode() != "AuthorizationHeaderMalformed" {
		return ""
	}
	if m := expectedRegion.FindStringSubmatch(refusal.ErrorMessage()); m != nil && regionName.MatchString(m[1]) {
		return m[1]
	}
	return ""
}

// s3Answer returns the HTTP answer in err, nil if there is none. One of another service is none:
// STS answers while an S3 request is being signed.
func s3Answer(err error) *http.Response {
	var op *smithy.OperationError
	for cause := err; errors.As(cause, &op); cause = op.Err {
		if op.Service() != s3.ServiceID {
			return nil
		}
	}
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &answer) || answer.Response == nil || answer.Response.Response == nil || answer.HTTPStatusCode() == 0 {
		return nil
	}
	return answer.Response.Response
}
