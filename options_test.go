package s3writer_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed149ec23d/s3writer"
)

// goodKeys keep New from asking for the machine's own.
func goodKeys() s3writer.Option {
	return s3writer.WithCredentials(s3writer.StaticCredentials(userID, userSecret, ""))
}

// TestBadOptions is about options that cannot work: New names option and
// value, without a network.
func TestBadOptions(t *testing.T) {
	for _, test := range []struct {
		name string
		opts []s3writer.Option
		want []string
	}{
		{"nil option", []s3writer.Option{goodKeys(), nil}, []string{`option 2 is nil`}},
		{"region", []s3writer.Option{goodKeys(), s3writer.WithRegion("EU (Frankfurt)")},
			[]string{`WithRegion: "EU (Frankfurt)" is not a region; one looks like "eu-central-1"`}},
		{"empty region", []s3writer.Option{goodKeys(), s3writer.WithRegion("")},
			[]string{`WithRegion: "" is not a region; one looks like "eu-central-1"`}},
		{"endpoint without a scheme", []s3writer.Option{goodKeys(), s3writer.WithEndpoint("minio:9000")},
			[]string{`WithEndpoint: "minio:9000"; a URL such as "https://minio.example.com:9000" is needed`}},
		{"prefix with a control character of C1", []s3writer.Option{goodKeys(), s3writer.WithPrefix("a\u009f/b")},
			[]string{`WithPrefix: the key "a\u009f/b" has a control character`}},
		{"endpoint of another scheme", []s3writer.Option{goodKeys(), s3writer.WithEndpoint("s3://minio")},
			[]string{`WithEndpoint: "s3://minio"; a URL such as "https://minio.example.com:9000" is needed`}},
		{"empty endpoint", []s3writer.Option{goodKeys(), s3writer.WithEndpoint("")},
			[]string{`WithEndpoint: ""; a URL such as "https://minio.example.com:9000" is needed`}},
		{"endpoint with a port beyond all", []s3writer.Option{goodKeys(), s3writer.WithEndpoint("https://minio:65536")},
			[]string{`WithEndpoint: "https://minio:65536"; a port is 1 to 65535`}},
		{"endpoint with a path", []s3writer.Option{goodKeys(), s3writer.WithEndpoint("https://minio/bucket")},
			[]string{`WithEndpoint: "https://minio/bucket"; only scheme, host and port belong there`}},
		{"endpoint with a query", []s3writer.Option{goodKeys(), s3writer.WithEndpoint("https://minio?key=secret")},
			[]string{`WithEndpoint: "https://minio"; only scheme, host and port belong there`}},
		{"endpoint with keys", []s3writer.Option{goodKeys(), s3writer.WithEndpoint("https://id:secret@minio")},
			[]string{`WithEndpoint: the URL has a user name in it; keys go into WithCredentials`}},
		{"endpoint that is no URL", []s3writer.Option{goodKeys(), s3writer.WithEndpoint("https://id:secret@mi nio:x")},
			[]string{`WithEndpoint: "https://redacted@mi nio:x" is not a URL`}},
		{"owner", []s3writer.Option{goodKeys(), s3writer.WithBucketOwner("1234")},
			[]string{`WithBucketOwner: "1234" is not an account ID of 12 digits`}},
		{"prefix", []s3writer.Option{goodKeys(), s3writer.WithPrefix("a/../b/")},
			[]string{`WithPrefix: the key "a/../b" has a segment "..", which many tools resolve away`}},
		{"long prefix", []s3writer.Option{goodKeys(), s3writer.WithPrefix(strings.Repeat("p", 1025))},
			[]string{`WithPrefix: the key has 1025 bytes; S3 allows 1024: "pppppppppppppppppppppppppppppppppppppppp"…`}},
		{"memory", []s3writer.Option{goodKeys(), s3writer.WithMemory(1 << 20)},
			[]string{`WithMemory: 1048576 bytes; at least 16777216 (16 MiB) are needed`}},
		{"negative memory", []s3writer.Option{goodKeys(), s3writer.WithMemory(-1)},
			[]string{`WithMemory: -1 bytes; at least 16777216 (16 MiB) are needed`}},
		{"small parts", []s3writer.Option{goodKeys(), s3writer.WithPartSize(1 << 20)},
			[]string{`WithPartSize: 1048576 bytes; S3 takes parts of 5 MiB to 5 GiB`}},
		{"huge parts", []s3writer.Option{goodKeys(), s3writer.WithPartSize(6 << 30)},
			[]string{`WithPartSize: 6442450944 bytes; S3 takes parts of 5 MiB to 5 GiB`}},
		{"parts beyond memory", []s3writer.Option{goodKeys(), s3writer.WithPartSize(200 << 20)},
			[]string{`WithPartSize: 209715200 bytes is more than half of the memory, which is 268435456; raise WithMemory`}},
		{"no concurrency", []s3writer.Option{goodKeys(), s3writer.WithConcurrency(0)},
			[]string{`WithConcurrency: 0 requests; 1 to 4096 are possible`}},
		{"too much concurrency", []s3writer.Option{goodKeys(), s3writer.WithConcurrency(5000)},
			[]string{`WithConcurrency: 5000 requests; 1 to 4096 are possible`}},
		{"nil pool", []s3writer.Option{goodKeys(), s3writer.WithPool(nil)}, []string{`WithPool: the pool is nil`}},
		{"pool of nothing", []s3writer.Option{goodKeys(), s3writer.WithPool(new(s3writer.Pool))},
			[]string{`NewPool: 0 bytes of memory; at least 16777216 (16 MiB) are needed`}},
		{"pool of wrong values", []s3writer.Option{goodKeys(), s3writer.WithPool(s3writer.NewPool(-5, -6))}, []string{
			`NewPool: -5 bytes of memory; at least 16777216 (16 MiB) are needed`,
			`NewPool: -6 requests; 1 to 4096 are possible, and 0 for as many as the servers take`}},
		{"pool of too many requests", []s3writer.Option{goodKeys(), s3writer.WithPool(s3writer.NewPool(16<<20, 4097))},
			[]string{`NewPool: 4097 requests; 1 to 4096 are possible, and 0 for as many as the servers take`}},
		{"pool and memory", []s3writer.Option{goodKeys(), s3writer.WithPool(s3writer.NewPool(16<<20, 0)), s3writer.WithMemory(1)},
			[]string{`WithMemory: the Pool of WithPool brings its own; leave one of the two out`}},
		{"parts beyond the pool", []s3writer.Option{goodKeys(), s3writer.WithPartSize(9 << 20), s3writer.WithPool(s3writer.NewPool(16<<20, 0))},
			[]string{`WithPartSize: 9437184 bytes is more than half of the memory, which is 16777216; raise the memory of NewPool`}},
		{"pool and no concurrency", []s3writer.Option{goodKeys(), s3writer.WithConcurrency(0), s3writer.WithPool(s3writer.NewPool(16<<20, 8))},
			[]string{`WithConcurrency: 0 requests; 1 to 4096 are possible`}},
		{"processors", []s3writer.Option{goodKeys(), s3writer.WithProcessors(s3writer.Gzip(), s3writer.Zstd()), s3writer.WithProcessors(s3writer.GzipLevel(77))}, []string{
			`WithProcessors: step 2 Zstd: compresses what Gzip before it has compressed already; leave one of them out`,
			`WithProcessors: step 3 GzipLevel: the level is 77; levels are those of compress/gzip, 1 (fastest) to 9 (smallest), 0, -1 and -2`}},
		{"the zero Processor", []s3writer.Option{goodKeys(), s3writer.WithProcessors(s3writer.Processor{})},
			[]string{`WithProcessors: step 1: the zero Processor does nothing; make one with a constructor such as Select`}},
		{"nil credentials", []s3writer.Option{s3writer.WithCredentials(nil)}, []string{`WithCredentials: the provider is nil`}},
		{"empty credentials", []s3writer.Option{s3writer.WithCredentials(s3writer.StaticCredentials("", "", ""))}, []string{
			`WithCredentials: StaticCredentials: the access key ID is empty (the default chain is used only when no credentials are given)`,
			`WithCredentials: StaticCredentials: the secret access key is empty (the default chain is used only when no credentials are given)`}},
		{"role without a name", []s3writer.Option{s3writer.WithCredentials(s3writer.AssumeRole{AccountID: "123456789012"})},
			[]string{`WithCredentials: AssumeRole.RoleName "": want 1 to 64 letters, digits or +=,.@_-, behind its path if it has one (path/name)`}},
		{"role of a bad account", []s3writer.Option{s3writer.WithCredentials(s3writer.AssumeRole{AccountID: "1234", RoleName: "a b", ExternalID: "x", Duration: 1})}, []string{
			`WithCredentials: AssumeRole.AccountID "1234": want 12 digits without dashes; where it was kept as a number its leading zeros are lost`,
			`WithCredentials: AssumeRole.RoleName "a b": want 1 to 64 letters, digits or +=,.@_-, behind its path if it has one (path/name)`,
			`WithCredentials: AssumeRole.ExternalID "x": want 2 to 1224 letters, digits or +=,.@:/_-`,
			`WithCredentials: AssumeRole.Duration 1ns: want 15m0s to 12h0m0s`}},
		{"nil functions", []s3writer.Option{goodKeys(), s3writer.WithObjectInput(nil), s3writer.WithProgress(nil), s3writer.WithLogger(nil)}, []string{
			`WithObjectInput: the function is nil`,
			`WithProgress: the function is nil`,
			`WithLogger: the logger is nil`}},
		{"nil client", []s3writer.Option{s3writer.WithClient(nil)}, []string{`WithClient: the client is nil`}},
		{"nil client of a type", []s3writer.Option{s3writer.WithClient((*s3.Client)(nil))}, []string{`WithClient: the client is nil`}},
		{"client and more", []s3writer.Option{
			s3writer.WithClient(s3.New(s3.Options{Region: "us-east-1"})), goodKeys(), s3writer.WithRegion("us-east-1"),
			s3writer.WithEndpoint("http://localhost:9000"), s3writer.WithAWSConfig(aws.Config{})}, []string{
			`WithCredentials: the client of WithClient brings its own; leave one of the two out`,
			`WithRegion: the client of WithClient brings its own; leave one of the two out`,
			`WithEndpoint: the client of WithClient brings its own; leave one of the two out`,
			`WithAWSConfig: the client of WithClient brings its own; leave one of the two out`}},
		{"many", []s3writer.Option{
			s3writer.WithCredentials(s3writer.StaticCredentials(userID, "", "")), s3writer.WithRegion("?"), s3writer.WithEndpoint("?"),
			s3writer.WithMemory(1), s3writer.WithPartSize(1), s3writer.WithConcurrency(-1), s3writer.WithProgress(nil)}, []string{
			`WithProgress: the function is nil`,
			`WithCredentials: StaticCredentials: the secret access key is empty (the default chain is used only when no credentials are given)`,
			`WithRegion: "?" is not a region; one looks like "eu-central-1"`,
			`WithEndpoint: ""; a URL such as "https://minio.example.com:9000" is needed`,
			`WithMemory: 1 bytes; at least 16777216 (16 MiB) are needed`,
			`WithPartSize: 1 bytes; S3 takes parts of 5 MiB to 5 GiB`,
			`WithConcurrency: -1 requests; 1 to 4096 are possible`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, err := s3writer.New(t.Context(), bucket, test.opts...)
			if w != nil {
				t.Error("New returned a Writer")
			}
			wantText(t, err, `s3writer: `+strings.Join(test.want, "\n"))
		})
	}
}

func TestBadBuckets(t *testing.T) {
	for _, test := range []struct{ bucket, endpoint, want string }{
		{"", "", `the bucket's name is empty`},
		{"s3://writer-sample", "",
			`bucket "s3://writer-sample" is a URL; give the bucket's name alone: "writer-sample" (the rest of the path goes into WithPrefix)`},
		{"s3://writer-sample/exports/", "",
			`bucket "s3://writer-sample/exports/" is a URL; give the bucket's name alone: "writer-sample" (the rest of the path goes into WithPrefix)`},
		{"https://writer-sample.s3.amazonaws.com/exports", "",
			`bucket "https://writer-sample.s3.amazonaws.com/exports" is a URL; give the bucket's name alone (a path goes into WithPrefix)`},
		{"s3://id:se/cret@writer-sample/exports", "",
			`bucket "s3://redacted@writer-sample/exports" is a URL; give the bucket's name alone: "writer-sample" (the rest of the path goes into WithPrefix)`},
		{"https://id:secret@minio/writer-sample?X-Amz-Signature=secret", "",
			`bucket "https://redacted@minio/writer-sample" is a URL; give the bucket's name alone (a path goes into WithPrefix)`},
		{"id:secret@writer-sample", "", `bucket "redacted@writer-sample": names have 3 to 63 lower-case letters, digits, dots and hyphens, and are no IP address`},
		{"writer-sample?versions", "", `bucket "writer-sample": names have 3 to 63 lower-case letters, digits, dots and hyphens, and are no IP address`},
		{"writer-sample/exports", "",
			`bucket "writer-sample/exports" has a path; give the bucket's name alone: "writer-sample" (the rest goes into WithPrefix)`},
		{"arn:aws:s3:::writer-sample", "",
			`bucket "arn:aws:s3:::writer-sample" is not the ARN of an access point; for a bucket give its name alone`},
		{"arn:aws:s3::123456789012:accesspoint:mfzwi23gnjvgw.mrap", "",
			`bucket "arn:aws:s3::123456789012:accesspoint:mfzwi23gnjvgw.mrap" is a multi-region access point, which is not supported yet`},
		{"writer--usw2-az1--x-s3", "", `bucket "writer--usw2-az1--x-s3" is an S3 Express directory bucket, which is not supported yet`},
		{"reports--usw2-az1--xa-s3", "", `bucket "reports--usw2-az1--xa-s3" is an access point of an S3 Express directory bucket, which is not supported yet`},
		{"mfzwi23gnjvgw.mrap", "", `bucket "mfzwi23gnjvgw.mrap" is a multi-region access point, which is not supported yet`},
		{"arn:aws:s3express:us-east-1:123456789012:bucket/writer--use1-az4--x-s3", "",
			`bucket "arn:aws:s3express:us-east-1:123456789012:bucket/writer--use1-az4--x-s3" is of S3 Express, which is not supported yet`},
		{"Writer-Sample", "", `bucket "Writer-Sample": names have 3 to 63 lower-case letters, digits, dots and hyphens, and are no IP address`},
		{"ab", "", `bucket "ab": names have 3 to 63 lower-case letters, digits, dots and hyphens, and are no IP address`},
		{strings.Repeat("b", 64), "", `bucket "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb": names have 3 to 63 lower-case letters, digits, dots and hyphens, and are no IP address`},
		{"192.168.0.1", "", `bucket "192.168.0.1": names have 3 to 63 lower-case letters, digits, dots and hyphens, and are no IP address`},
		{"a..b", "", `bucket "a..b": names have 3 to 63 lower-case letters, digits, dots and hyphens, and are no IP address`},
		{"-writer", "", `bucket "-writer": names have 3 to 63 lower-case letters, digits, dots and hyphens, and are no IP address`},
		{"writer sample", "http://localhost:9000",
			`bucket "writer sample": names have 3 to 63 lower-case letters, digits, dots and hyphens, and are no IP address`},
		{"", "http://localhost:9000", `the bucket's name is empty`},
	} {
		t.Run(test.bucket, func(t *testing.T) {
			opts := []s3writer.Option{goodKeys()}
			if test.endpoint != "" {
				opts = append(opts, s3writer.WithEndpoint(test.endpoint))
			}
			_, err := s3writer.New(t.Context(), test.bucket, opts...)
			wantText(t, err, `s3writer: `+test.want)
		})
	}
	for _, good := range []string{
		"writer-sample", "w.s", "123", "arn:aws:s3:eu-west-1:123456789012:accesspoint/reports",
		"reports-abcdefghijklmnopqrstuvwxyz12-s3alias",
	} {
		w, err := s3writer.New(t.Context(), good, goodKeys())
		if err != nil {
			t.Errorf("bucket %q: %v", good, err)
			continue
		}
		w.CloseIdleConnections()
	}
	// Servers of other makes have kept older names.
	elsewhere := aws.Config{BaseEndpoint: aws.String("http://localhost:9000")}
	for name, opts := range map[string][]s3writer.Option{
		"endpoint":      {goodKeys(), s3writer.WithEndpoint("http://localhost:9000")},
		"configuration": {goodKeys(), s3writer.WithAWSConfig(elsewhere)},
		"client":        {s3writer.WithClient(s3.NewFromConfig(elsewhere))},
	} {
		w, err := s3writer.New(t.Context(), "Old_Bucket", opts...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		w.CloseIdleConnections()
	}
}
