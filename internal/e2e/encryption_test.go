package e2e

import (
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/internal/e2e/servers"
)

// TestEncryption delivers with keys of the customer's over TLS, and with a key of the server's KMS: as single puts,
// in parts, and staged.
func TestEncryption(t *testing.T) {
	server := servers.MinIOTLS(t)
	server.CreateBucket(t, bucket)
	// AWS asks for kms:GenerateDataKey and kms:Decrypt besides. MinIO has no such actions: its KMS serves whoever
	// may put the object.
	to := loopback(server, server.AddUser(t, "deliverer", leastPolicy), minIOTraits)

	t.Run("SSE-C", func(t *testing.T) { testCustomerKey(t, to) })
	t.Run("KMS", func(t *testing.T) { testKMS(t, to) })
	t.Run("AWS_CA_BUNDLE", func(t *testing.T) { testCABundle(t, to) })
}

// tablesOf are tables that go up in each of the ways there are.
func tablesOf() (map[string][]byte, []s3writer.Table) {
	contents := map[string][]byte{"empty.csv": {}, "small.csv": sample(60, 1000), "large.csv": sample(61, 17*mib)}
	var tables []s3writer.Table
	for key, content := range contents {
		tables = append(tables, s3writer.NewTable(key, ofUnknownLength(content)))
	}
	return contents, tables
}

func testCustomerKey(t *testing.T, to *target) {
	var raw [32]byte
	_, _ = rand.Read(raw[:])
	sum := md5.Sum(raw[:])
	algorithm, key, keySum := aws.String("AES256"), base64.StdEncoding.EncodeToString(raw[:]), base64.StdEncoding.EncodeToString(sum[:])
	encrypted := s3writer.WithObjectInput(func(in *s3.CreateMultipartUploadInput) {
		in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = algorithm, &key, &keySum
	})
	for _, staged := range []bool{false, true} {
		t.Run(fmt.Sprint("staged ", staged), func(t *testing.T) {
			d := deliverTo(t, to)
			contents, tables := tablesOf()
			w := d.writer(encrypted)
			var report *s3writer.Report
			if staged {
				report = d.stageAndCommit(w, tables)
			} else {
				report = d.write(w, tables...)
			}
			if said := fmt.Sprintf("%+v %#v", report, w); strings.Contains(said, key) {
				t.Error("the key is in the report or the Writer")
			}
			for name, want := range contents {
				at := aws.String(d.prefix + name)
				if _, err := to.reader.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &to.bucket, Key: at}); err == nil {
					t.Errorf("%s can be read without the key", name)
				}
				out, err := to.reader.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &to.bucket, Key: at,
					SSECustomerAlgorithm: algorithm, SSECustomerKey: &key, SSECustomerKeyMD5: &keySum})
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				got, err := io.ReadAll(out.Body)
				_ = out.Body.Close()
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: %d bytes, %v; want %d", name, len(got), err, len(want))
				}
			}
		})
	}
}

func (d *delivery) stageAndCommit(w *s3writer.Writer, tables []s3writer.Table) *s3writer.Report {
	d.Helper()
	staged, err := w.Stage(d.Context(), tables...)
	if err != nil {
		d.Fatal(err)
	}
	report, err := w.Commit(d.Context(), staged)
	if err != nil {
		d.Fatal(err)
	}
	return report
}

func testKMS(t *testing.T, to *target) {
	d := deliverTo(t, to)
	contents, tables := tablesOf()
	d.write(d.writer(s3writer.WithObjectInput(func(in *s3.CreateMultipartUploadInput) {
		in.ServerSideEncryption, in.SSEKMSKeyId = types.ServerSideEncryptionAwsKms, aws.String(servers.KMSKey)
	})), tables...)
	for name, content := range contents {
		d.want(name, content)
		head := d.head(name)
		if id := aws.ToString(head.SSEKMSKeyId); head.ServerSideEncryption != types.ServerSideEncryptionAwsKms || !strings.HasSuffix(id, servers.KMSKey) {
			t.Errorf("%s: encryption %q with key %q", name, head.ServerSideEncryption, id)
		}
	}
}

// testCABundle trusts the server's authority by way of the environment, as the SDK's default configuration does.
func testCABundle(t *testing.T, to *target) {
	t.Setenv("AWS_CA_BUNDLE", to.server.CAFile)
	t.Setenv("AWS_ACCESS_KEY_ID", to.keys.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", to.keys.SecretAccessKey)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	w, err := s3writer.New(t.Context(), to.bucket, s3writer.WithEndpoint(to.endpoint), s3writer.WithRegion(to.region))
	if err != nil {
		t.Fatal(err)
	}
	defer w.CloseIdleConnections()
	if _, err := w.Write(t.Context(), s3writer.NewTable("by-bundle.csv", strings.NewReader("id\n1\n"))); err != nil {
		t.Error(err)
	}
}
