package s3writer_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/seed149ec23d/s3writer"
)

// TestPrefix joins with exactly one slash.
func TestPrefix(t *testing.T) {
	for _, test := range []struct{ prefix, key, want string }{
		{"", "t.csv", "t.csv"},
		{"exports", "t.csv", "exports/t.csv"},
		{"exports/", "t.csv", "exports/t.csv"},
		{"exports//", "//t.csv", "exports/t.csv"},
		{"a/b", "c/t.csv", "a/b/c/t.csv"},
		{"year=2026/", "t.csv", "year=2026/t.csv"},
		{"/", "t.csv", "t.csv"},
		{"", "/t.csv", "/t.csv"},
	} {
		t.Run(test.prefix+"+"+test.key, func(t *testing.T) {
			srv := newServer(t)
			report := write(t, newWriter(t, srv, s3writer.WithPrefix(test.prefix)), csv(test.key, "id\n"))
			wantObject(t, srv, test.want, "id\n")
			if r := report.Tables[0]; r.Key != test.key || r.Objects[0].Key != test.want {
				t.Errorf("reported as table %q, object %q", r.Key, r.Objects[0].Key)
			}
		})
	}
}

// TestKeysAndTypes is about what steps make of a key, and the key of the
// Content-Type.
func TestKeysAndTypes(t *testing.T) {
	none := s3writer.WriterFunc("", passWriter)
	for _, test := range []struct {
		key         string
		p           []s3writer.Processor
		want, ctype string
	}{
		{"t.csv", nil, "t.csv", "text/csv; charset=utf-8"},
		{"t.tsv", nil, "t.tsv", "text/tab-separated-values; charset=utf-8"},
		{"t.TXT", nil, "t.TXT", "text/plain; charset=utf-8"},
		{"t", nil, "t", "application/octet-stream"},
		{"t.csv", []s3writer.Processor{s3writer.Gzip()}, "t.csv.gz", "application/gzip"},
		{"t.csv.gz", []s3writer.Processor{s3writer.Gzip()}, "t.csv.gz", "application/gzip"},
		{"t.csv", []s3writer.Processor{s3writer.Zstd()}, "t.csv.zst", "application/zstd"},
		{"t.csv", []s3writer.Processor{s3writer.JSONLines()}, "t.jsonl", "application/x-ndjson"},
		{"t.csv", []s3writer.Processor{s3writer.JSONLines(), s3writer.Gzip()}, "t.jsonl.gz", "application/gzip"},
		{"t.csv.gz", []s3writer.Processor{s3writer.JSONLines()}, "t.jsonl", "application/x-ndjson"},
		{"t.jsonl", []s3writer.Processor{s3writer.JSONLines(), s3writer.Gzip()}, "t.jsonl.gz", "application/gzip"},
		{"t.jsonl.gz", []s3writer.Processor{s3writer.JSONLines(), s3writer.Gzip()}, "t.jsonl.gz", "application/gzip"},
		{"v1.2/t", []s3writer.Processor{s3writer.JSONLines()}, "v1.2/t.jsonl", "application/x-ndjson"},
		{"a/.csv", []s3writer.Processor{s3writer.JSONLines()}, "a/.csv.jsonl", "application/x-ndjson"},
		{"t.csv", []s3writer.Processor{s3writer.FormatCSV(s3writer.CSV{Comma: '\t'})}, "t.csv", "text/csv; charset=utf-8"},
		{"t.csv", []s3writer.Processor{s3writer.EncoderFunc("parquet", newLines)}, "t.parquet", "application/vnd.apache.parquet"},
		{"t.csv", []s3writer.Processor{s3writer.EncoderFunc(".x", newLines)}, "t.x", "application/octet-stream"},
		{"t.csv", []s3writer.Processor{s3writer.EncoderFunc("", newLines)}, "t.csv", "text/csv; charset=utf-8"},
		{"t.csv", []s3writer.Processor{none}, "t.csv", "text/csv; charset=utf-8"},
		{"t.csv", []s3writer.Processor{s3writer.Gzip(), s3writer.WriterFunc("age", passWriter)}, "t.csv.gz.age", "application/octet-stream"},
	} {
		t.Run(test.want, func(t *testing.T) {
			srv := newServer(t)
			write(t, newWriter(t, srv), csv(test.key, "id\n1\n", test.p...))
			o, ok := srv.Object(bucket, test.want)
			if !ok || o.ContentType != test.ctype {
				t.Errorf("there are %q; Content-Type %q, want %q", srv.Keys(bucket), o.ContentType, test.ctype)
			}
			if e := o.Header.Get("Content-Encoding"); e != "" {
				t.Errorf("Content-Encoding %q", e)
			}
		})
	}
}

// TestObjectInput sets what an object has beside its bytes, in single puts and
// multipart uploads alike: the Writer's first, then the table's.
func TestObjectInput(t *testing.T) {
	for _, size := range []int{10, 9 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			srv := newServer(t)
			w := newWriter(t, srv,
				s3writer.WithObjectInput(func(in *s3.CreateMultipartUploadInput) {
					in.StorageClass = types.StorageClassStandardIa
					in.Metadata = map[string]string{"team": "one"}
					in.Tagging = aws.String("a=b")
				}),
				s3writer.WithObjectInput(func(in *s3.CreateMultipartUploadInput) { in.Metadata["run"] = "7" }))
			table := csv("t.csv", pattern(size))
			table.ObjectInput = func(in *s3.CreateMultipartUploadInput) {
				if got := aws.ToString(in.ContentType); got != "text/csv; charset=utf-8" {
					t.Errorf("the function sees Content-Type %q", got)
				}
				in.Metadata["team"] = "two"
				in.ContentType = aws.String("text/plain")
			}
			write(t, w, table)
			o, _ := srv.Object(bucket, "t.csv")
			if o.ContentType != "text/plain" || o.Metadata["team"] != "two" || o.Metadata["run"] != "7" ||
				o.Header.Get("X-Amz-Storage-Class") != "STANDARD_IA" || o.Header.Get("X-Amz-Tagging") != "a=b" {
				t.Errorf("stored with %v and %v", o.Header, o.Metadata)
			}
		})
	}
}

func TestBadObjectInput(t *testing.T) {
	for _, test := range []struct {
		name string
		f    func(*s3.CreateMultipartUploadInput)
		want string
	}{
		{"bucket", func(in *s3.CreateMultipartUploadInput) { in.Bucket = aws.String("other") }, `object input may not set Bucket`},
		{"key", func(in *s3.CreateMultipartUploadInput) { in.Key = aws.String("other") }, `object input may not set Key`},
		{"checksums", func(in *s3.CreateMultipartUploadInput) {
			in.ChecksumAlgorithm, in.ChecksumType = types.ChecksumAlgorithmCrc32, types.ChecksumTypeComposite
		}, `object input may not set ChecksumAlgorithm, ChecksumType`},
		{"panics", func(*s3.CreateMultipartUploadInput) { panic("boom") }, `object input of "t.csv" panicked: boom`},
	} {
		for _, size := range []int{0, 10, 9 << 20} {
			t.Run(fmt.Sprint(test.name, " ", size), func(t *testing.T) {
				srv := newServer(t)
				table := csv("t.csv", pattern(size))
				table.ObjectInput = test.f
				_, err := newWriter(t, srv).Write(t.Context(), table)
				wantText(t, err, `s3writer: table "t.csv": `+test.want)
				wantNothing(t, srv)
				if n := srv.Count(""); n != 0 {
					t.Errorf("%d requests were sent", n)
				}
			})
		}
	}
}
