package upload

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// DiscoverRegion asks S3 for the bucket's region: GetBucketLocation, else the region
// that an answer to HeadBucket names in a header, which needs no permission. Both are
// requests like any other of an Engine with this Config, as patient and as bounded.
//
// The client may be of any region of the bucket's partition. China and GovCloud are partitions of
// their own: keys of one are unknown in the others, so there the client's region must
// be one of the partition (cn-north-1, us-gov-west-1), or the bucket's region be given.
func DiscoverRegion(ctx context.Context, cfg Config) (string, error) {
	return New(cfg).discoverRegion(ctx)
}

func (e *Engine) discoverRegion(ctx context.Context) (string, error) {
	bucket := e.cfg.Bucket
	region, locationErr := e.bucketLocation(ctx)
	if locationErr == nil {
		return region, nil
	}
	if endsDiscovery(locationErr) {
		return "", discoveryEnded(bucket, locationErr)
	}
	region, headErr := e.bucketHeader(ctx)
	switch {
	case region != "":
		return region, nil
	case headErr != nil && endsDiscovery(headErr):
		return "", discoveryEnded(bucket, headErr)
	case headErr == nil:
		headErr = errors.New("the answer to HeadBucket names no region")
	default:
		headErr = Explain(opHeadBucket, bucketARN(bucket), headErr)
	}
	return "", fmt.Errorf("region of bucket %q is not to be found: set WithRegion, or allow s3:GetBucketLocation on the bucket: %w; %w",
		bucket, explainLocation(bucket, locationErr), headErr)
}

// bucketLocation takes the region from a refusal too, if that names it.
func (e *Engine) bucketLocation(ctx context.Context) (region string, err error) {
	in := &s3.GetBucketLocationInput{Bucket: &e.cfg.Bucket, ExpectedBucketOwner: expectedOwner(e.cfg.Owner)}
	_, err = e.do(ctx, &request{name: opLocation, unexplained: true, send: func(ctx context.Context, a attempt) error {
		out, err := e.cfg.Client.GetBucketLocation(ctx, in, a.options()...)
		if err == nil {
			region = regionAt(out.LocationConstraint)
		} else if region = RegionOf(err); region != "" && !endsDiscovery(err) {
			return nil
		}
		return err
	}})
	return region, err
}

func regionAt(location types.BucketLocationConstraint) string {
	switch location {
	case "":
		return "us-east-1"
	case types.BucketLocationConstraintEu:
		return "eu-west-1"
	}
	return string(location)
}

func (e *Engine) bucketHeader(ctx context.Context) (region string, err error) {
	in := &s3.HeadBucketInput{Bucket: &e.cfg.Bucket, ExpectedBucketOwner: expectedOwner(e.cfg.Owner)}
	_, err = e.do(ctx, &request{name: opHeadBucket, unexplained: true, send: func(ctx context.Context, a attempt) error {
		out, err := e.cfg.Client.HeadBucket(ctx, in, a.options()...)
		if err == nil {
			region = aws.ToString(out.BucketRegion)
		} else if region = RegionOf(err); region != "" {
			return nil
		}
		return err
	}})
	return region, err
}

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
// the answer was to ask less, the bucket does not exist, or S3 does not know who asks.
func endsDiscovery(err error) bool {
	if s3Answer(err) == nil || refusal(&request{}, statusOf(err), discoveryCode(err)) == throttle {
		return true
	}
	switch discoveryCode(err) {
	case "NoSuchBucket", "NotFound", "InvalidAccessKeyId", "SignatureDoesNotMatch":
		return true
	}
	return false
}

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
