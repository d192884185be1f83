package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

// target is where the tables go.
type target struct {
	bucket  string
	where   string // in words
	options []s3writer.Option
	client  func(context.Context) (*s3.Client, error) // to read back
	close   func()
}

func (c *command) target() *target {
	if c.bucket == "" {
		return embedded()
	}
	return c.real()
}

// embedded is a bucket of a server in this process.
func embedded() *target {
	const bucket = "writer-sample"
	srv := s3writertest.NewServer(bucket)
	id, secret := srv.Credentials()
	return &target{
		bucket: bucket,
		where:  fmt.Sprintf("delivering into bucket %q of an S3 server in this process, %s, which keeps it in memory", bucket, srv.URL),
		options: []s3writer.Option{
			s3writer.WithEndpoint(srv.URL),
			s3writer.WithCredentials(s3writer.StaticCredentials(id, secret, "")),
		},
		client: func(context.Context) (*s3.Client, error) {
			return s3.NewFromConfig(srv.Config(), func(o *s3.Options) { o.UsePathStyle = true }), nil
		},
		close: srv.Close,
	}
}

// real is the bucket of the command line.
func (c *command) real() *target {
	t := &target{
		bucket: c.bucket,
		where:  fmt.Sprintf("delivering into bucket %q", c.bucket),
		client: c.readClient,
		close:  func() {},
	}
	if c.endpoint != "" {
		t.where += " at " + c.endpoint
		t.options = append(t.options, s3writer.WithEndpoint(c.endpoint))
	}
	if c.region != "" {
		t.options = append(t.options, s3writer.WithRegion(c.region))
	}
	if c.role != "" {
		t.where += " as " + c.role
		t.options = append(t.options, s3writer.WithCredentials(c.assumeRole()))
	}
	return t
}

func (c *command) assumeRole() s3writer.AssumeRole {
	return s3writer.AssumeRole{RoleARN: c.role, ExternalID: c.externalID}
}

// readClient is a client of the SDK for the same bucket.
func (c *command) readClient(ctx context.Context) (*s3.Client, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	if c.role != "" {
		cfg.Credentials = aws.NewCredentialsCache(c.assumeRole())
	}
	cfg.Region = "us-east-1"
	if c.region != "" {
		cfg.Region = c.region
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		if c.endpoint != "" {
			o.BaseEndpoint, o.UsePathStyle = &c.endpoint, true
		}
	})
	if c.region != "" || c.endpoint != "" {
		return client, nil
	}
	location, err := client.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: &c.bucket})
	if err != nil {
		return nil, errors.Join(errors.New("the bucket's region is not known, give -region to read back"), err)
	}
	o := client.Options()
	if location.LocationConstraint != "" { // none: us-east-1
		o.Region = string(location.LocationConstraint)
	}
	return s3.New(o), nil
}
