package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed149ec23d/s3writer/s3writertest"
)

const (
	keyID  = "AKIAQUICKSTART000001"
	secret = "quickstart's secret"
)

// quickstart runs the program and returns what it printed.
func quickstart(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out, screen bytes.Buffer
	err := run(t.Context(), args, &out, &screen)
	if screen.Len() > 0 {
		t.Errorf("where there is no terminal it shows %q", screen.String())
	}
	return out.String(), err
}

// bucket starts a server with a bucket, and makes the AWS environment that of
// a key that may do what allow says.
func bucket(t *testing.T, allow ...s3writertest.Allow) *s3writertest.Server {
	t.Helper()
	srv := s3writertest.NewServer("writer-sample")
	t.Cleanup(srv.Close)
	srv.AddKey(keyID, secret, allow...)
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": keyID, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": "",
		"AWS_PROFILE": "", "AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none,
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL_STS": srv.URL, "AWS_ENDPOINT_URL": "",
	} {
		t.Setenv(name, value)
	}
	return srv
}

func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if strings.HasSuffix(name, ".gz") {
		var b strings.Builder
		z := gzip.NewWriter(&b)
		io.WriteString(z, content)
		z.Close()
		content = b.String()
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func contains(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("no %q in:\n%s", w, text)
		}
	}
}

func TestSample(t *testing.T) {
	out, err := quickstart(t, "-size", "3MiB")
	if err != nil {
		t.Fatal(err)
	}
	contains(t, out, "delivered 3.0 MiB",
		"quickstart/orders.csv.gz: ", "id,customer,country,amount,note\n",
		"quickstart/customers.csv.gz: ", "id,name,email,country,customer_since\n",
		"quickstart/events.jsonl.zst: ", `,"row":2}`)
	if n := strings.Count(out, "as reported"); n != 3 {
		t.Errorf("%d objects arrived as reported, want 3:\n%s", n, out)
	}
}

func TestFiles(t *testing.T) {
	out, err := quickstart(t, "-select", "amount,id",
		file(t, "orders.csv", "id,note,amount\n1,\"a\nb\",9.90\n2,,3\n"),
		file(t, "old.tsv.gz", "id\tamount\n7\t\"1,5\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	contains(t, out,
		"quickstart/orders.csv.gz: ", " 2 rows", "  amount,id,row_number\n  9.90,1,1\n  3,2,2\n",
		"quickstart/old.tsv.gz: ", " 1 rows", "  amount\tid\trow_number\n  \"1,5\"\t7\t1\n")
}

func TestOwnBucket(t *testing.T) {
	srv := bucket(t, s3writertest.Allow{Actions: []string{"s3:*"}, Resources: []string{"*"}})
	out, err := quickstart(t, "-bucket", "writer-sample", "-endpoint", srv.URL, "-prefix", "mine/", file(t, "t.csv", "id\n1\n"))
	if err != nil {
		t.Fatal(err)
	}
	contains(t, out, `bucket "writer-sample" at `+srv.URL, "mine/t.csv.gz: ", "as reported", "  id,row_number\n  1,1\n")
}

func TestReadBackDenied(t *testing.T) {
	srv := bucket(t, s3writertest.LeastPrivilege("writer-sample"))
	out, err := quickstart(t, "-bucket", "writer-sample", "-endpoint", srv.URL, file(t, "t.csv", "id\n1\n"))
	if err != nil {
		t.Fatal(err)
	}
	contains(t, out, "quickstart/t.csv.gz: ", "not read back: these credentials may write and not read")
	if _, ok := srv.Get("writer-sample", "quickstart/t.csv.gz"); !ok {
		t.Error("the object is not there")
	}
}

func TestRole(t *testing.T) {
	srv := bucket(t)
	role := s3writertest.Role{
		ARN: "arn:aws:iam::123456789012:role/s3-writer", ExternalID: "project-42",
		Trusted: []string{keyID}, Allow: []s3writertest.Allow{s3writertest.LeastPrivilege("writer-sample")},
	}
	srv.AddRole(role)
	args := func(externalID string) []string {
		return []string{"-bucket", "writer-sample", "-endpoint", srv.URL, "-role", role.ARN,
			"-external-id", externalID, file(t, "t.csv", "id\n1\n")}
	}
	if _, err := quickstart(t, args("project-43")...); err == nil || !strings.Contains(err.Error(), `"project-43"`) {
		t.Errorf("a wrong external ID: %v", err)
	}
	out, err := quickstart(t, args("project-42")...)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, out, "as "+role.ARN, "quickstart/t.csv.gz: ")
}

// What a stranger does wrong first.
func TestMistakes(t *testing.T) {
	srv := bucket(t, s3writertest.LeastPrivilege("writer-sample"))
	orders := file(t, "orders.csv", "id,amount\n1,9.90\n")
	to := func(bucket string) []string { return []string{"-bucket", bucket, "-endpoint", srv.URL, orders} }
	for _, test := range []struct {
		name string
		args []string
		want []string
	}{
		{"missing file", []string{orders, "nofile.csv", "none.csv"}, []string{"nofile.csv", "none.csv", "no such file"}},
		{"folder", []string{t.TempDir()}, []string{"is not a file"}},
		{"no such column", []string{"-select", "id,amout", orders}, []string{`table "orders.csv": step 2 Select: no column "amout"`, "id, amount"}},
		{"bucket as URL", to("s3://writer-sample/exports"), []string{`"s3://writer-sample/exports" is a URL`, `"writer-sample"`, "WithPrefix"}},
		{"no such bucket", to("writer-simple"), []string{"writer-simple"}},
		{"endpoint without scheme", []string{"-bucket", "b-b", "-endpoint", "localhost:9000", orders}, []string{"WithEndpoint", "https://"}},
		{"endpoint without bucket", []string{"-endpoint", srv.URL}, []string{"-bucket"}},
		{"external ID without role", []string{"-external-id", "42"}, []string{"-role"}},
		{"size", []string{"-size", "many"}, []string{"-size", "64MiB"}},
		{"unknown flag", []string{"-buckt", "x"}, []string{"-buckt"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := quickstart(t, test.args...)
			if err == nil {
				t.Fatal("no error")
			}
			contains(t, err.Error(), test.want...)
		})
	}
	t.Run("wrong secret", func(t *testing.T) {
		t.Setenv("AWS_SECRET_ACCESS_KEY", "somebody else's secret")
		_, err := quickstart(t, to("writer-sample")...)
		if err == nil {
			t.Fatal("no error")
		}
		contains(t, err.Error(), "SignatureDoesNotMatch", "set AWS_ACCESS_KEY_ID")
		if strings.Contains(err.Error(), "somebody") {
			t.Errorf("the secret is in the error: %v", err)
		}
	})
	if keys := srv.Keys("writer-sample"); len(keys) > 0 {
		t.Errorf("%q are visible", keys)
	}
}

func TestInterrupt(t *testing.T) {
	srv := bucket(t, s3writertest.LeastPrivilege("writer-sample"))
	ctx, cancel := context.WithCancel(t.Context())
	var screen bytes.Buffer
	out := writerFunc(func(p []byte) (int, error) { // the first it hears is what is about to be delivered
		cancel()
		return len(p), nil
	})
	err := run(ctx, []string{"-bucket", "writer-sample", "-endpoint", srv.URL}, out, &screen)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of a cancelled context", err)
	}
	s3writertest.AssertNoPartial(t, srv, "writer-sample", nil)
	s3writertest.AssertNoOrphans(t, srv, "writer-sample")
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestGenerator(t *testing.T) {
	for _, size := range []int64{1, 1000, 1 << 20} {
		a, _ := io.ReadAll(newGenerator(size, ordersHeader, appendOrder))
		b, _ := io.ReadAll(newGenerator(size, ordersHeader, appendOrder))
		if !bytes.Equal(a, b) {
			t.Errorf("size %d: two runs differ", size)
		}
		if n := int64(len(a)); n < size || n > size+int64(len(ordersHeader))+200 || a[n-1] != '\n' {
			t.Errorf("size %d: %d bytes", size, n)
		}
	}
}

func TestByteSize(t *testing.T) {
	for text, want := range map[string]int64{
		"1": 1, "1024": 1024, "8MiB": 8 << 20, "1.5 GiB": 3 << 29, "2GB": 2e9, "10B": 10,
	} {
		var b byteSize
		if err := b.Set(text); err != nil || int64(b) != want {
			t.Errorf("%q is %d (%v), want %d", text, int64(b), err, want)
		}
	}
	for _, text := range []string{"", "0", "-1", "MiB", "NaN", "1e30", "5 apples"} {
		if err := new(byteSize).Set(text); err == nil {
			t.Errorf("%q is a size", text)
		}
	}
	if got := fmt.Sprint(byteSize(3), byteSize(1536), byteSize(64<<20)); got != "3 B 1.5 KiB 64.0 MiB" {
		t.Error(got)
	}
}
