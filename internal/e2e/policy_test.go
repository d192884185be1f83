package e2e

import (
	"bytes"
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

// leastPolicy is the policy that the bucket's owner is asked for: all that a delivery needs.
const leastPolicy = `{"Version":"2012-10-17","Statement":[{"Sid":"BucketWrite","Effect":"Allow",` +
	`"Action":["s3:PutObject","s3:GetBucketLocation"],` +
	`"Resource":["arn:aws:s3:::writer-sample/*","arn:aws:s3:::writer-sample"]}]}`

// testPolicyIsExact shows that the rest of the suite means something: its user may do what the policy says, and
// nothing else.
func testPolicyIsExact(t *testing.T, to *target) {
	ctx := t.Context()
	client := to.server.Client(to.keys)
	bucket, key := aws.String(to.bucket), aws.String("the-policy-is-exact/probe")

	upload, err := client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	for call, do := range map[string]func() error{
		"PutObject": func() error {
			_, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: bytes.NewReader([]byte("probe"))})
			return err
		},
		"GetBucketLocation": func() error {
			_, err := client.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: bucket})
			return err
		},
	} {
		if err := do(); err != nil {
			t.Errorf("%s: %v", call, err)
		}
	}
	for call, do := range map[string]func() error{
		"GetObject": func() error {
			_, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key})
			return err
		},
		"HeadObject": func() error {
			_, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: key})
			return err
		},
		"HeadBucket": func() error {
			_, err := client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: bucket})
			return err
		},
		"ListObjectsV2": func() error {
			_, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket})
			return err
		},
		"DeleteObject": func() error {
			_, err := client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: key})
			return err
		},
		"ListParts": func() error {
			_, err := client.ListParts(ctx, &s3.ListPartsInput{Bucket: bucket, Key: key, UploadId: upload.UploadId})
			return err
		},
		"AbortMultipartUpload": func() error {
			_, err := client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
				Bucket: bucket, Key: key, UploadId: upload.UploadId})
			return err
		},
	} {
		if err := do(); !denied(err) {
			t.Errorf("%s: got %v, want it to be denied", call, err)
		}
	}
	abortUploads(ctx, t, to, *key)
}

func denied(err error) bool {
	var refused smithy.APIError
	if !errors.As(err, &refused) {
		return false
	}
	// An answer to HEAD has no body: its code is made of the status.
	return refused.ErrorCode() == "AccessDenied" || refused.ErrorCode() == "Forbidden"
}
