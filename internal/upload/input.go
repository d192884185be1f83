package upload

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Object is what a Stream becomes.
type Object struct {
	Key  string
	Size int64 // > 0: must come to this many bytes; else unknown
	// ContentType is set before Input is called, which has the last word.
	ContentType string
	// Input sets what the object has beside its bytes: encryption, storage class,
	// tags, ACL, metadata. It may not set bucket, key or checksums. It may be nil.
	Input func(*s3.CreateMultipartUploadInput)
	// Caller is the context of whoever waits for the object: when it ends, cleaning
	// up has to be quick. Default: the stream's own.
	Caller context.Context
	// Sent is told of bytes that the server has taken; several calls may run at
	// once. It may be nil.
	Sent func(n int64)
	// Failed is called once, from any goroutine, with what ended the upload
	// while the stream was still being filled; may be nil.
	Failed func(error)
}

// settings are an object's, as all its requests need them. Objects that differ
// in nothing but their key share their input, whose key is not set, and the requests
// that were prepared for it.
type settings struct {
	*s3.CreateMultipartUploadInput
	key         string
	noOverwrite bool
	templates   *templates
}

func (e *Engine) settings(o Object) (s *settings, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("object input of %q panicked: %v", o.Key, p)
		}
	}()
	if o.Input == nil {
		if common, ok := e.common.Load(o.ContentType); ok {
			own := *common.(*settings)
			own.key = o.Key
			return &own, nil
		}
	}
	in := new(s3.CreateMultipartUploadInput)
	s = &settings{CreateMultipartUploadInput: in, key: o.Key, noOverwrite: e.cfg.NoOverwrite, templates: &templates{shared: o.Input == nil}}
	if o.ContentType != "" {
		in.ContentType = aws.String(o.ContentType)
	}
	if e.cfg.Owner != "" {
		in.ExpectedBucketOwner = aws.String(e.cfg.Owner)
	}
	if o.Input != nil {
		o.Input(in)
	}
	if err := unsettable(in); err != nil {
		return nil, err
	}
	in.Bucket = aws.String(e.cfg.Bucket)
	if o.Input == nil {
		common := *s // s is the object's own
		e.common.Store(o.ContentType, &common)
	}
	return s, nil
}

// unsettable refuses what the engine alone decides.
func unsettable(in *s3.CreateMultipartUploadInput) error {
	var fields []string
	if in.Bucket != nil {
		fields = append(fields, "Bucket")
	}
	if in.Key != nil {
		fields = append(fields, "Key")
	}
	if in.ChecksumAlgorithm != "" {
		fields = append(fields, "ChecksumAlgorithm")
	}
	if in.ChecksumType != "" {
		fields = append(fields, "ChecksumType")
	}
	if fields == nil {
		return nil
	}
	return errors.New("object input may not set " + strings.Join(fields, ", "))
}

func (s *settings) createInput(checksums bool) *s3.CreateMultipartUploadInput {
	in := *s.CreateMultipartUploadInput
	in.Key = &s.key
	if checksums {
		// Only here: on a request with a body it would make the SDK compute one itself.
		in.ChecksumAlgorithm = types.ChecksumAlgorithmCrc64nvme
		in.ChecksumType = types.ChecksumTypeFullObject
	}
	return &in
}

func (s *settings) partInput(id string, p *part, a attempt) *s3.UploadPartInput {
	in := &s3.UploadPartInput{
		Bucket:               s.Bucket,
		Key:                  &s.key,
		UploadId:             &id,
		PartNumber:           &p.number,
		ContentLength:        &p.size,
		ExpectedBucketOwner:  s.ExpectedBucketOwner,
		RequestPayer:         s.RequestPayer,
		SSECustomerAlgorithm: s.SSECustomerAlgorithm,
		SSECustomerKey:       s.SSECustomerKey,
		SSECustomerKeyMD5:    s.SSECustomerKeyMD5,
	}
	if p.size > 0 {
		in.Body = a.body
	}
	if a.checksums {
		in.ChecksumCRC64NVME = aws.String(encodeCRC(p.crc))
	}
	return in
}

func (s *settings) completeInput(id string, parts []types.CompletedPart, size int64, crc string, checksums bool) *s3.CompleteMultipartUploadInput {
	in := &s3.CompleteMultipartUploadInput{
		Bucket:               s.Bucket,
		Key:                  &s.key,
		UploadId:             &id,
		MultipartUpload:      &types.CompletedMultipartUpload{Parts: parts},
		ExpectedBucketOwner:  s.ExpectedBucketOwner,
		RequestPayer:         s.RequestPayer,
		SSECustomerAlgorithm: s.SSECustomerAlgorithm,
		SSECustomerKey:       s.SSECustomerKey,
		SSECustomerKeyMD5:    s.SSECustomerKeyMD5,
	}
	if s.noOverwrite {
		in.IfNoneMatch = aws.String("*")
	}
	if checksums {
		in.MpuObjectSize = &size
		if size > 0 { // MinIO cannot combine the checksums of no bytes
			in.ChecksumCRC64NVME = &crc
			in.ChecksumType = types.ChecksumTypeFullObject
		}
		return in
	}
	in.MultipartUpload.Parts = make([]types.CompletedPart, len(parts))
	for i, p := range parts {
		in.MultipartUpload.Parts[i] = types.CompletedPart{PartNumber: p.PartNumber, ETag: p.ETag}
	}
	return in
}

func (s *settings) abortInput(id string) *s3.AbortMultipartUploadInput {
	return &s3.AbortMultipartUploadInput{
		Bucket:              s.Bucket,
		Key:                 &s.key,
		UploadId:            &id,
		ExpectedBucketOwner: s.ExpectedBucketOwner,
		RequestPayer:        s.RequestPayer,
	}
}

func (s *settings) headInput(checksums bool) *s3.HeadObjectInput {
	in := &s3.HeadObjectInput{
		Bucket:               s.Bucket,
		Key:                  &s.key,
		ExpectedBucketOwner:  s.ExpectedBucketOwner,
		RequestPayer:         s.RequestPayer,
		SSECustomerAlgorithm: s.SSECustomerAlgorithm,
		SSECustomerKey:       s.SSECustomerKey,
		SSECustomerKeyMD5:    s.SSECustomerKeyMD5,
	}
	if checksums {
		in.ChecksumMode = types.ChecksumModeEnabled
	}
	return in
}

func (s *settings) putInput(p *part, a attempt) *s3.PutObjectInput {
	c := s.CreateMultipartUploadInput
	in := &s3.PutObjectInput{
		Bucket:                           c.Bucket,
		Key:                              &s.key,
		ContentLength:                    &p.size,
		ACL:                              c.ACL,
		BucketKeyEnabled:                 c.BucketKeyEnabled,
		CacheControl:                     c.CacheControl,
		ContentDisposition:               c.ContentDisposition,
		ContentEncoding:                  c.ContentEncoding,
		ContentLanguage:                  c.ContentLanguage,
		ContentType:                      c.ContentType,
		ExpectedBucketOwner:              c.ExpectedBucketOwner,
		Expires:                          c.Expires,
		GrantFullControl:                 c.GrantFullControl,
		GrantRead:                        c.GrantRead,
		GrantReadACP:                     c.GrantReadACP,
		GrantWriteACP:                    c.GrantWriteACP,
		Metadata:                         c.Metadata,
		ObjectLockEventHold:              c.ObjectLockEventHold,
		ObjectLockEventHoldDurationDays:  c.ObjectLockEventHoldDurationDays,
		ObjectLockEventHoldDurationYears: c.ObjectLockEventHoldDurationYears,
		ObjectLockLegalHoldStatus:        c.ObjectLockLegalHoldStatus,
		ObjectLockMode:                   c.ObjectLockMode,
		ObjectLockRetainUntilDate:        c.ObjectLockRetainUntilDate,
		RequestPayer:                     c.RequestPayer,
		SSECustomerAlgorithm:             c.SSECustomerAlgorithm,
		SSECustomerKey:                   c.SSECustomerKey,
		SSECustomerKeyMD5:                c.SSECustomerKeyMD5,
		SSEKMSEncryptionContext:          c.SSEKMSEncryptionContext,
		SSEKMSKeyId:                      c.SSEKMSKeyId,
		ServerSideEncryption:             c.ServerSideEncryption,
		StorageClass:                     c.StorageClass,
		Tagging:                          c.Tagging,
		WebsiteRedirectLocation:          c.WebsiteRedirectLocation,
	}
	if p.size > 0 {
		in.Body = a.body
	}
	if s.noOverwrite {
		in.IfNoneMatch = aws.String("*")
	}
	if a.checksums {
		in.ChecksumCRC64NVME = aws.String(encodeCRC(p.crc))
	}
	return in
}
