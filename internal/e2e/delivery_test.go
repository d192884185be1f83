package e2e

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/seed149ec23d/s3writer"
)

// delivery is one test's place in the bucket: a prefix of its own, and the network to it.
type delivery struct {
	*testing.T
	to     *target
	prefix string
	wire   *wire
}

func deliverTo(t *testing.T, to *target) *delivery {
	return &delivery{T: t, to: to, prefix: to.prefix + path.Base(t.Name()) + "/", wire: &wire{base: to.newRoundTripper()}}
}

// writer returns a Writer below the delivery's prefix; these options beat the target's.
func (d *delivery) writer(opts ...s3writer.Option) *s3writer.Writer {
	d.Helper()
	cfg := d.to.awsConfig.Copy()
	cfg.HTTPClient = &http.Client{Transport: d.wire}
	all := []s3writer.Option{s3writer.WithAWSConfig(cfg), s3writer.WithPrefix(d.prefix)}
	if d.to.region != "" {
		all = append(all, s3writer.WithRegion(d.to.region))
	}
	if d.to.endpoint != "" {
		all = append(all, s3writer.WithEndpoint(d.to.endpoint))
	}
	if d.to.credentials != nil {
		all = append(all, s3writer.WithCredentials(d.to.credentials))
	}
	w, err := s3writer.New(d.Context(), d.to.bucket, append(all, opts...)...)
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(w.CloseIdleConnections)
	return w
}

// write delivers tables that must all arrive.
func (d *delivery) write(w *s3writer.Writer, tables ...s3writer.Table) *s3writer.Report {
	d.Helper()
	report, err := w.Write(d.Context(), tables...)
	if err != nil {
		d.Fatal(err)
	}
	return report
}

// patience is how long one delivery may take that needs a second: a bound on what a fault can cost.
const patience = time.Minute

// interrupt delivers one table and, when its first part has arrived, runs what comes between.
func (d *delivery) interrupt(ctx context.Context, w *s3writer.Writer, table s3writer.Table, between func()) (*s3writer.Report, error) {
	d.Helper()
	uploading, once := make(chan struct{}), sync.Once{}
	d.wire.after = func(operation string) {
		if operation == "UploadPart" {
			once.Do(func() { close(uploading) })
		}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var report *s3writer.Report
	var err error
	written := make(chan struct{})
	go func() {
		defer close(written)
		report, err = w.Write(ctx, table)
	}()
	select {
	case <-uploading:
		between()
		<-written
	case <-written:
		d.Fatalf("ended before a part had arrived: %v", err)
	}
	return report, err
}

// want checks that an object is there, byte for byte.
func (d *delivery) want(key string, content []byte) {
	d.Helper()
	got := d.read(key)
	if bytes.Equal(got, content) {
		return
	}
	at := 0
	for at < min(len(got), len(content)) && got[at] == content[at] {
		at++
	}
	d.Errorf("object %s: got %d bytes, want %d; they differ from byte %d: %.60q, want %.60q",
		key, len(got), len(content), at, got[at:], content[at:])
}

func (d *delivery) read(key string) []byte {
	d.Helper()
	out, err := d.to.reader.GetObject(d.Context(), &s3.GetObjectInput{Bucket: &d.to.bucket, Key: aws.String(d.prefix + key)})
	if err != nil {
		d.Fatal(err)
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	if err != nil {
		d.Fatal(err)
	}
	return body
}

func (d *delivery) head(key string) *s3.HeadObjectOutput {
	d.Helper()
	out, err := d.to.reader.HeadObject(d.Context(), &s3.HeadObjectInput{
		Bucket: &d.to.bucket, Key: aws.String(d.prefix + key), ChecksumMode: types.ChecksumModeEnabled,
	})
	if err != nil {
		d.Fatal(err)
	}
	return out
}

// wantReported checks what the Report says of an object against what the server says of it.
func (d *delivery) wantReported(object s3writer.Object) {
	d.Helper()
	key, ok := strings.CutPrefix(object.Key, d.prefix)
	if !ok {
		d.Fatalf("object %q is not below %q", object.Key, d.prefix)
	}
	head := d.head(key)
	if object.State != s3writer.Committed {
		d.Errorf("%s: state %v, want Committed", key, object.State)
	}
	if got := aws.ToInt64(head.ContentLength); got != object.Size {
		d.Errorf("%s: %d bytes at the server, %d reported", key, got, object.Size)
	}
	if got := strings.Trim(aws.ToString(head.ETag), `"`); got != strings.Trim(object.ETag, `"`) {
		d.Errorf("%s: ETag %s at the server, %s reported", key, got, object.ETag)
	}
	if got := aws.ToString(head.ChecksumCRC64NVME); got == "" || got != object.CRC64NVME {
		d.Errorf("%s: CRC64NVME %q at the server, %q reported", key, got, object.CRC64NVME)
	}
	if head.ChecksumType != types.ChecksumTypeFullObject {
		d.Errorf("%s: checksum of type %q, want that of the full object", key, head.ChecksumType)
	}
}

// wantKeys checks which objects are visible below the prefix.
func (d *delivery) wantKeys(keys ...string) {
	d.Helper()
	var got []string
	for object := range objects(d.Context(), d.T, d.to, d.prefix) {
		got = append(got, strings.TrimPrefix(object, d.prefix))
	}
	slices.Sort(keys)
	if !slices.Equal(got, keys) {
		d.Errorf("visible objects: %q, want %q", got, keys)
	}
}

// wantOrphans checks that the uploads which stayed open for these keys are the Report's orphans, and removes them:
// they are there where the user may not abort, and nowhere else.
func (d *delivery) wantOrphans(report *s3writer.Report, keys ...string) {
	d.Helper()
	if report == nil {
		d.Fatal("no Report")
	}
	open := map[string]bool{}
	for _, key := range keys {
		for _, upload := range openUploads(d.Context(), d.T, d.to, d.prefix+key) {
			open[*upload.Key+" "+*upload.UploadId] = true
		}
	}
	if len(open) > 0 && !d.to.deniesAbort {
		d.Errorf("uploads that could have been aborted are open: %v", open)
	}
	if d.to.deniesAbort && d.wire.count("CreateMultipartUpload") > 0 && len(report.Orphans) == 0 {
		d.Error("the server denies the abort, and the Report has no orphan")
	}
	for _, orphan := range report.Orphans {
		id := orphan.Key + " " + orphan.UploadID
		if !open[id] {
			d.Errorf("reported as an orphan, and is none: %s", id)
		}
		if !errors.Is(orphan.Err, s3writer.ErrAccessDenied) {
			d.Errorf("orphan %s: %v, want that the abort was denied", id, orphan.Err)
		}
		delete(open, id)
	}
	if len(open) > 0 {
		d.Errorf("orphans that the Report does not name: %v", open)
	}
	for _, key := range keys {
		abortUploads(d.Context(), d.T, d.to, d.prefix+key)
	}
}

// objects yields the keys below a prefix, sorted.
func objects(ctx context.Context, t *testing.T, to *target, prefix string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		pages := s3.NewListObjectsV2Paginator(to.reader, &s3.ListObjectsV2Input{Bucket: &to.bucket, Prefix: &prefix})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, object := range page.Contents {
				if !yield(*object.Key) {
					return
				}
			}
		}
	}
}

// openUploads returns the multipart uploads below a prefix. MinIO finds them by the whole key only.
func openUploads(ctx context.Context, t *testing.T, to *target, prefix string) []types.MultipartUpload {
	t.Helper()
	out, err := to.reader.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: &to.bucket, Prefix: &prefix})
	if err != nil {
		t.Fatal(err)
	}
	return out.Uploads
}

func abortUploads(ctx context.Context, t *testing.T, to *target, prefix string) {
	t.Helper()
	for _, upload := range openUploads(ctx, t, to, prefix) {
		_, err := to.reader.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
			Bucket: &to.bucket, Key: upload.Key, UploadId: upload.UploadId})
		if err != nil {
			t.Error(err)
		}
	}
}

// removeAll leaves nothing of the suite in a bucket that is not ours.
func removeAll(t *testing.T, to *target) {
	ctx := context.WithoutCancel(t.Context()) // which has ended when the test's cleanup runs
	abortUploads(ctx, t, to, to.prefix)
	for key := range objects(ctx, t, to, to.prefix) {
		if _, err := to.reader.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &to.bucket, Key: &key}); err != nil {
			t.Error(err)
		}
	}
}
