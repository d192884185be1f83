package processortest

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// object is what was delivered.
type object struct {
	key  string
	body []byte
}

// bucket is a client of a bucket in memory.
type bucket struct {
	mu      sync.Mutex
	objects map[string][]byte
	uploads map[string]map[int32][]byte
}

func newBucket() *bucket {
	return &bucket{objects: map[string][]byte{}, uploads: map[string]map[int32][]byte{}}
}

// all are the objects by their keys, in order.
func (b *bucket) all() []object {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []object
	for _, key := range slices.Sorted(maps.Keys(b.objects)) {
		out = append(out, object{key, b.objects[key]})
	}
	return out
}

// below are the objects in a folder, by their keys in it.
func below(all []object, folder string) []object {
	var out []object
	for _, o := range all {
		if key, ok := strings.CutPrefix(o.key, folder+"/"); ok {
			out = append(out, object{key, o.body})
		}
	}
	return out
}

var etag = aws.String(`"1"`)

func (b *bucket) PutObject(ctx context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	body, err := bodyOf(ctx, in.Body)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.objects[*in.Key] = body
	return &s3.PutObjectOutput{ETag: etag}, nil
}

// bodyOf reads the body of a request; an empty one may be nil.
func bodyOf(ctx context.Context, r io.Reader) ([]byte, error) {
	if r == nil {
		return nil, ctx.Err()
	}
	body, err := io.ReadAll(r)
	if err == nil {
		err = ctx.Err()
	}
	return body, err
}

func (b *bucket) CreateMultipartUpload(_ context.Context, in *s3.CreateMultipartUploadInput, _ ...func(*s3.Options)) (*s3.CreateMultipartUploadOutput, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := fmt.Sprintf("%s %d", *in.Key, len(b.uploads))
	b.uploads[id] = map[int32][]byte{}
	return &s3.CreateMultipartUploadOutput{UploadId: &id}, nil
}

func (b *bucket) UploadPart(ctx context.Context, in *s3.UploadPartInput, _ ...func(*s3.Options)) (*s3.UploadPartOutput, error) {
	body, err := bodyOf(ctx, in.Body)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.uploads[*in.UploadId][*in.PartNumber] = body
	return &s3.UploadPartOutput{ETag: etag}, nil
}

func (b *bucket) CompleteMultipartUpload(_ context.Context, in *s3.CompleteMultipartUploadInput, _ ...func(*s3.Options)) (*s3.CompleteMultipartUploadOutput, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	parts := b.uploads[*in.UploadId]
	var body []byte
	for _, number := range slices.Sorted(maps.Keys(parts)) {
		body = append(body, parts[number]...)
	}
	b.objects[*in.Key] = body
	return &s3.CompleteMultipartUploadOutput{ETag: etag}, nil
}

func (b *bucket) AbortMultipartUpload(context.Context, *s3.AbortMultipartUploadInput, ...func(*s3.Options)) (*s3.AbortMultipartUploadOutput, error) {
	return &s3.AbortMultipartUploadOutput{}, nil
}

func (b *bucket) GetBucketLocation(context.Context, *s3.GetBucketLocationInput, ...func(*s3.Options)) (*s3.GetBucketLocationOutput, error) {
	return &s3.GetBucketLocationOutput{}, nil
}

func (b *bucket) HeadBucket(context.Context, *s3.HeadBucketInput, ...func(*s3.Options)) (*s3.HeadBucketOutput, error) {
	return &s3.HeadBucketOutput{}, nil
}
