package s3writer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

// The examples deliver to a server in their own process; for AWS leave
// WithEndpoint and WithAWSConfig out.

var ctx = context.Background()

// deliver writes tables into an empty bucket, and shows what is in it then.
func deliver(tables ...s3writer.Table) {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	w, err := s3writer.New(ctx, "writer-sample", s3writer.WithAWSConfig(srv.Config()))
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := w.Write(ctx, tables...); err != nil {
		fmt.Println(err)
	}
	show(srv)
}

// show prints every object of the bucket: its key and its content, decompressed.
func show(srv *s3writertest.Server) {
	for _, key := range srv.Keys("writer-sample") {
		body, _ := srv.Get("writer-sample", key)
		fmt.Printf("-- %s --\n%s", key, decompressed(key, string(body)))
	}
}

func decompressed(key, body string) string {
	var r io.Reader = strings.NewReader(body)
	switch {
	case strings.HasSuffix(key, ".gz"):
		r, _ = gzip.NewReader(r)
	case strings.HasSuffix(key, ".zst"):
		r, _ = zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Two tables go through a chain of processors each.
func Example() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	id, secret := srv.Credentials()

	w, err := s3writer.New(ctx, "writer-sample",
		s3writer.WithCredentials(s3writer.StaticCredentials(id, secret, "")),
		s3writer.WithEndpoint(srv.URL),
		s3writer.WithPrefix("exports/"))
	if err != nil {
		fmt.Println(err)
		return
	}
	orders := strings.NewReader("id,country,amount\n1,CZ,9.90\n2,DE,5.00\n")
	users := strings.NewReader("id,name\n7,Ada\n")
	_, err = w.Write(ctx,
		s3writer.NewTable("orders.csv", orders, s3writer.Select("id", "amount"), s3writer.Gzip()),
		s3writer.NewTable("users.csv", users))
	fmt.Println("error:", err)
	show(srv)
	// Output:
	// error: <nil>
	// -- exports/orders.csv.gz --
	// id,amount
	// 1,9.90
	// 2,5.00
	// -- exports/users.csv --
	// id,name
	// 7,Ada
}

// New uses no network: it checks all options at once and names every complaint.
func ExampleNew() {
	_, err := s3writer.New(ctx, "s3://writer-sample/exports",
		s3writer.WithCredentials(s3writer.StaticCredentials("AKIAIOSFODNN7EXAMPLE", "", "")),
		s3writer.WithMemory(1<<20))
	fmt.Println(err)
	// Output:
	// s3writer: bucket "s3://writer-sample/exports" is a URL; give the bucket's name alone: "writer-sample" (the rest of the path goes into WithPrefix)
	// WithCredentials: StaticCredentials: the secret access key is empty (the default chain is used only when no credentials are given)
	// WithMemory: 1048576 bytes; at least 16777216 (16 MiB) are needed
}

// Any number of tables go at once. One that fails does not stop the others, and
// nothing of it becomes visible.
func ExampleWriter_Write() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	w, _ := s3writer.New(ctx, "writer-sample", s3writer.WithAWSConfig(srv.Config()))

	var tables []s3writer.Table
	for _, country := range []string{"at", "cz", "de"} {
		rows := strings.NewReader("id,country\n1," + country + "\n2," + country + "\n")
		tables = append(tables, s3writer.NewTable(country+".csv", rows, s3writer.Select("id")))
	}
	tables[1].Processors = []s3writer.Processor{s3writer.Select("amount")}

	report, err := w.Write(ctx, tables...)
	for _, t := range report.Tables {
		fmt.Println(t.Key, t.RowsRead, "rows", len(t.Objects), "objects, error:", t.Err)
	}
	fmt.Println(err)
	fmt.Println(srv.Keys("writer-sample"))
	// Output:
	// at.csv 2 rows 1 objects, error: <nil>
	// cz.csv 0 rows 0 objects, error: s3writer: table "cz.csv": step 1 Select: no column "amount": there are id, country
	// de.csv 2 rows 1 objects, error: <nil>
	// s3writer: table "cz.csv": step 1 Select: no column "amount": there are id, country
	// [at.csv de.csv]
}

// The customer's own access key. It needs s3:PutObject and s3:GetBucketLocation,
// no more.
func ExampleStaticCredentials() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	srv.AddKey("AKIACUSTOMER", "the-secret", s3writertest.LeastPrivilege("writer-sample"))

	keys := s3writer.StaticCredentials("AKIACUSTOMER", "the-secret", "")
	w, _ := s3writer.New(ctx, "writer-sample",
		s3writer.WithCredentials(keys),
		s3writer.WithEndpoint(srv.URL))
	_, err := w.Write(ctx, s3writer.NewTable("orders.csv", strings.NewReader("id\n1\n")))
	fmt.Println(keys, err, srv.Keys("writer-sample"))
	// Output:
	// StaticCredentials(redacted) <nil> [orders.csv]
}

// The role that a customer created for us, in the customer's own account. The
// external ID is what its trust policy asks for.
func ExampleAssumeRole() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	srv.AddKey("AKIAOURS", "our-secret")
	srv.AddRole(s3writertest.Role{
		ARN: "arn:aws:iam::123456789012:role/s3-writer", ExternalID: "project-42", Trusted: []string{"AKIAOURS"},
		Allow: []s3writertest.Allow{s3writertest.LeastPrivilege("writer-sample")}})

	role := s3writer.AssumeRole{
		AccountID: "123456789012", RoleName: "s3-writer", ExternalID: "project-42",
		Base:     s3writer.StaticCredentials("AKIAOURS", "our-secret", ""), // leave out for the SDK's default chain
		Endpoint: srv.URL,                                                  // leave out for AWS
	}
	w, _ := s3writer.New(ctx, "writer-sample", s3writer.WithCredentials(role), s3writer.WithEndpoint(srv.URL))
	_, err := w.Write(ctx, s3writer.NewTable("orders.csv", strings.NewReader("id\n1\n")))
	fmt.Println(err, srv.Keys("writer-sample"))
	// Output:
	// <nil> [orders.csv]
}

// Without one slash too many or too few.
func ExampleWithPrefix() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	w, _ := s3writer.New(ctx, "writer-sample", s3writer.WithAWSConfig(srv.Config()), s3writer.WithPrefix("exports/2026"))

	report, err := w.Write(ctx, s3writer.NewTable("orders.csv", strings.NewReader("id\n1\n")))
	fmt.Println(report.Tables[0].Key, "is", report.Tables[0].Objects[0].Key, err)
	// Output:
	// orders.csv is exports/2026/orders.csv <nil>
}

// MinIO, Ceph, R2 and others.
func ExampleWithEndpoint() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	id, secret := srv.Credentials()

	w, _ := s3writer.New(ctx, "writer-sample",
		s3writer.WithEndpoint(srv.URL), // "https://minio.example.com:9000"
		s3writer.WithCredentials(s3writer.StaticCredentials(id, secret, "")))
	_, err := w.Write(ctx, s3writer.NewTable("orders.csv", strings.NewReader("id\n1\n")))
	fmt.Println(err, srv.Keys("writer-sample"))
	// Output:
	// <nil> [orders.csv]
}

// The more specific option wins over the configuration.
func ExampleWithAWSConfig() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	srv.AddKey("AKIACUSTOMER", "the-secret", s3writertest.LeastPrivilege("writer-sample"))

	cfg := srv.Config() // config.LoadDefaultConfig(ctx) and what you change of it
	w, _ := s3writer.New(ctx, "writer-sample",
		s3writer.WithAWSConfig(cfg),
		s3writer.WithCredentials(s3writer.StaticCredentials("AKIACUSTOMER", "the-secret", "")))
	_, err := w.Write(ctx, s3writer.NewTable("orders.csv", strings.NewReader("id\n1\n")))
	fmt.Println(err, srv.Requests()[0].AccessKeyID)
	// Output:
	// <nil> AKIACUSTOMER
}

// A client that the program has already.
func ExampleWithClient() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	client := s3.NewFromConfig(srv.Config(), func(o *s3.Options) { o.UsePathStyle = true })

	w, _ := s3writer.New(ctx, "writer-sample", s3writer.WithClient(client))
	_, err := w.Write(ctx, s3writer.NewTable("orders.csv", strings.NewReader("id\n1\n")))
	fmt.Println(err, srv.Keys("writer-sample"))
	// Output:
	// <nil> [orders.csv]
}

// With the region given, nobody has to be asked for it.
func ExampleWithRegion() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	srv.SetRegion("writer-sample", "eu-central-1")
	id, secret := srv.Credentials()

	w, _ := s3writer.New(ctx, "writer-sample",
		s3writer.WithRegion("eu-central-1"),
		s3writer.WithEndpoint(srv.URL),
		s3writer.WithCredentials(s3writer.StaticCredentials(id, secret, "")))
	_, err := w.Write(ctx, s3writer.NewTable("orders.csv", strings.NewReader("id\n1\n")))
	for _, r := range srv.Requests() {
		fmt.Println(r.Op, r.Region, err)
	}
	// Output:
	// PutObject eu-central-1 <nil>
}

// What every table goes through, after its own steps.
func ExampleWithProcessors() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	w, _ := s3writer.New(ctx, "writer-sample", s3writer.WithAWSConfig(srv.Config()),
		s3writer.WithProcessors(s3writer.AddColumn("delivered", "2026-10-01"), s3writer.Gzip()))

	w.Write(ctx,
		s3writer.NewTable("orders.csv", strings.NewReader("id,amount\n1,9.90\n"), s3writer.Select("id")),
		s3writer.NewTable("users.csv", strings.NewReader("id\n7\n")))
	show(srv)
	// Output:
	// -- orders.csv.gz --
	// id,delivered
	// 1,2026-10-01
	// -- users.csv.gz --
	// id,delivered
	// 7,2026-10-01
}

// Encryption, storage class and metadata of every object.
func ExampleWithObjectInput() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	w, _ := s3writer.New(ctx, "writer-sample", s3writer.WithAWSConfig(srv.Config()),
		s3writer.WithObjectInput(func(in *s3.CreateMultipartUploadInput) {
			in.ServerSideEncryption = types.ServerSideEncryptionAes256
			in.StorageClass = types.StorageClassStandardIa
			in.Metadata = map[string]string{"producer": "nightly"}
		}))
	if _, err := w.Write(ctx, s3writer.NewTable("orders.csv", strings.NewReader("id\n1\n"))); err != nil {
		fmt.Println(err)
	}

	o, _ := srv.Object("writer-sample", "orders.csv")
	fmt.Println(o.ContentType)
	fmt.Println(o.Header.Get("x-amz-server-side-encryption"), o.Header.Get("x-amz-storage-class"), o.Metadata)
	// Output:
	// text/csv; charset=utf-8
	// AES256 STANDARD_IA map[producer:nightly]
}

// What is different for one table.
func ExampleTable_objectInput() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	w, _ := s3writer.New(ctx, "writer-sample", s3writer.WithAWSConfig(srv.Config()))

	t := s3writer.NewTable("orders.csv", strings.NewReader("id\n1\n"))
	t.ObjectInput = func(in *s3.CreateMultipartUploadInput) {
		disposition := `attachment; filename="orders of March.csv"`
		in.ContentDisposition = &disposition
	}
	w.Write(ctx, t)

	o, _ := srv.Object("writer-sample", "orders.csv")
	fmt.Println(o.Header.Get("Content-Disposition"))
	// Output:
	// attachment; filename="orders of March.csv"
}

// An object that is there already is never replaced.
func ExampleWithNoOverwrite() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	srv.Put("writer-sample", "orders.csv", []byte("id\nyesterday's\n"))

	w, _ := s3writer.New(ctx, "writer-sample", s3writer.WithAWSConfig(srv.Config()), s3writer.WithNoOverwrite())
	_, err := w.Write(ctx, s3writer.NewTable("orders.csv", strings.NewReader("id\n1\n")))
	fmt.Println("exists:", errors.Is(err, s3writer.ErrExists))
	show(srv)
	// Output:
	// exists: true
	// -- orders.csv --
	// id
	// yesterday's
}

// All tables, or none.
func ExampleWithAllOrNothing() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	w, _ := s3writer.New(ctx, "writer-sample", s3writer.WithAWSConfig(srv.Config()), s3writer.WithAllOrNothing())

	_, err := w.Write(ctx,
		s3writer.NewTable("orders.csv", strings.NewReader("id,user\n1,7\n")),
		s3writer.NewTable("users.csv", strings.NewReader("id,name\n7\n"), s3writer.Select("id")))
	fmt.Println(err)
	fmt.Println(len(srv.Keys("writer-sample")), "objects")
	// Output:
	// s3writer: table "users.csv": row 1 (byte 8): row has 1 field, header has 2
	// 0 objects
}

// A bucket of this name that belongs to somebody else gets nothing.
func ExampleWithBucketOwner() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	srv.SetOwner("writer-sample", "999999999999")

	w, _ := s3writer.New(ctx, "writer-sample", s3writer.WithAWSConfig(srv.Config()), s3writer.WithBucketOwner("123456789012"))
	_, err := w.Write(ctx, s3writer.NewTable("orders.csv", strings.NewReader("id\n1\n")))
	fmt.Println("denied:", errors.Is(err, s3writer.ErrAccessDenied), len(srv.Keys("writer-sample")), "objects")
	// Output:
	// denied: true 0 objects
}

// What would be written, without a request to anybody.
func ExampleWithDryRun() {
	w, _ := s3writer.New(ctx, "writer-sample", s3writer.WithDryRun(), s3writer.WithPrefix("exports"))

	report, err := w.Write(ctx, s3writer.NewTable("orders.csv",
		strings.NewReader("id,country\n1,CZ\n2,DE\n3,CZ\n"),
		s3writer.Filter(func(r s3writer.Record) bool { return r.Get("country") == "CZ" })))
	fmt.Println(err)
	for _, o := range report.Tables[0].Objects {
		fmt.Println(o.Key, o.Rows, "rows,", o.Size, "bytes,", o.State)
	}
	// Output:
	// <nil>
	// exports/orders.csv 2 rows, 21 bytes, pending
}

// One line per table that has ended; a progress bar would use the other calls too.
func ExampleWithProgress() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	w, _ := s3writer.New(ctx, "writer-sample", s3writer.WithAWSConfig(srv.Config()),
		s3writer.WithProgress(func(p s3writer.Progress) {
			if p.Done {
				fmt.Println(p.Table, p.RowsRead, "rows:", p.BytesRead, "bytes read,", p.BytesSent, "sent")
			}
		}))

	w.Write(ctx, s3writer.NewTable("orders.csv", strings.NewReader("id,amount\n1,9.90\n2,5.00\n"), s3writer.Drop("amount")))
	// Output:
	// orders.csv 2 rows: 24 bytes read, 7 sent
}

// Retries and warnings go to a log, secrets never do.
func ExampleWithLogger() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	untimed := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
	w, _ := s3writer.New(ctx, "writer-sample", s3writer.WithAWSConfig(srv.Config()),
		s3writer.WithLogger(slog.New(slog.NewTextHandler(os.Stdout, untimed))))

	w.Write(ctx, s3writer.NewTable("_orders.csv", strings.NewReader("id\n1\n")))
	// Output:
	// level=WARN msg="s3writer: suspect key" key=_orders.csv reason="readers such as Spark and Athena skip segments like \"_orders.csv\""
}

// For a machine with little memory, or tables of a few TiB.
func ExampleWithMemory() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	w, _ := s3writer.New(ctx, "writer-sample", s3writer.WithAWSConfig(srv.Config()),
		s3writer.WithMemory(32<<20), s3writer.WithConcurrency(2))

	unknownLength := io.LimitReader(zeros{}, 64<<20)
	report, err := w.Write(ctx, s3writer.NewTable("zeros.bin", unknownLength))
	fmt.Println(report.Tables[0].Objects[0].Size>>20, "MiB", err)
	// Output:
	// 64 MiB <nil>
}

// zeros is an endless reader.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Cloudflare R2 wants all parts but the last of one size.
func ExampleWithPartSize() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	w, _ := s3writer.New(ctx, "writer-sample", s3writer.WithAWSConfig(srv.Config()), s3writer.WithPartSize(5<<20))

	w.Write(ctx, s3writer.NewTable("zeros.bin", io.LimitReader(zeros{}, 12<<20)))
	o, _ := srv.Object("writer-sample", "zeros.bin")
	for _, size := range o.Parts {
		fmt.Println(size>>20, "MiB")
	}
	// Output:
	// 5 MiB
	// 5 MiB
	// 2 MiB
}

// One request at a time, whatever the server could take.
func ExampleWithConcurrency() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	w, _ := s3writer.New(ctx, "writer-sample", s3writer.WithAWSConfig(srv.Config()), s3writer.WithConcurrency(1))

	w.Write(ctx,
		s3writer.NewTable("a.csv", strings.NewReader("id\n1\n")),
		s3writer.NewTable("b.csv", strings.NewReader("id\n2\n")),
		s3writer.NewTable("c.csv", strings.NewReader("id\n3\n")))
	fmt.Println(srv.Count("PutObject"), "requests,", srv.MaxInFlight(""), "at once")
	// Output:
	// 3 requests, 1 at once
}

// For a server that insists on signed payloads over https too.
func ExampleWithPayloadSigning() {
	srv := s3writertest.NewTLSServer("writer-sample")
	defer srv.Close()
	for _, opts := range [][]s3writer.Option{nil, {s3writer.WithPayloadSigning(true)}} {
		w, _ := s3writer.New(ctx, "writer-sample", append(opts, s3writer.WithAWSConfig(srv.Config()))...)
		w.Write(ctx, s3writer.NewTable("orders.csv", strings.NewReader("id\n1\n")))
	}
	for _, r := range srv.Requests() {
		fmt.Printf("%.16s\n", r.Header.Get("x-amz-content-sha256"))
	}
	// Output:
	// UNSIGNED-PAYLOAD
	// 7cde7fb64fd82bd1
}

// Where and why a delivery failed.
func ExampleError() {
	w, _ := s3writer.New(ctx, "writer-sample", s3writer.WithDryRun())
	_, err := w.Write(ctx, s3writer.NewTable("orders.csv",
		strings.NewReader("id,amount\n1,9.90\n2,many\n"),
		s3writer.Typed("amount", s3writer.DecimalType)))

	fmt.Println(err)
	var e *s3writer.Error
	if errors.As(err, &e) {
		fmt.Println(e.Table, e.Step, e.Processor, e.Row, e.Offset, e.Column)
	}
	// Output:
	// s3writer: table "orders.csv": step 1 Typed: row 2 (byte 17): column "amount": "many" is not a decimal number
	// orders.csv 1 Typed 2 17 amount
}

// The kinds of failure that a program can act on.
func ExampleError_accessDenied() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	srv.AddKey("AKIACUSTOMER", "the-secret") // allowed nothing

	for _, secret := range []string{"the-secret", "another"} {
		w, _ := s3writer.New(ctx, "writer-sample", s3writer.WithEndpoint(srv.URL),
			s3writer.WithCredentials(s3writer.StaticCredentials("AKIACUSTOMER", secret, "")))
		_, err := w.Write(ctx, s3writer.NewTable("orders.csv", strings.NewReader("id\n1\n")))
		switch {
		case errors.Is(err, s3writer.ErrAccessDenied):
			fmt.Println("ask the bucket's owner for s3:PutObject")
		case errors.Is(err, s3writer.ErrCredentials):
			fmt.Println("ask for another key")
		default:
			fmt.Println(err)
		}
	}
	// Output:
	// ask the bucket's owner for s3:PutObject
	// ask for another key
}

// An upload that failed, and whose abort was refused too.
func ExampleOrphan() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	srv.Fail(s3writertest.Fault{Op: "UploadPart", Status: 403})
	srv.Fail(s3writertest.Fault{Op: "AbortMultipartUpload", Status: 403})
	w, _ := s3writer.New(ctx, "writer-sample", s3writer.WithAWSConfig(srv.Config()))

	report, err := w.Write(ctx, s3writer.NewTable("zeros.bin", io.LimitReader(zeros{}, 20<<20)))
	fmt.Println("denied:", errors.Is(err, s3writer.ErrAccessDenied))
	for _, o := range report.Orphans {
		fmt.Println("left over:", o.Key, o.UploadID == srv.Uploads("writer-sample")[0].UploadID)
	}
	// Output:
	// denied: true
	// left over: zeros.bin true
}

// A cancelled context ends a delivery; nothing of it becomes visible, and
// nothing is left behind.
func ExampleWriter_Write_cancelled() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	w, _ := s3writer.New(ctx, "writer-sample", s3writer.WithAWSConfig(srv.Config()),
		s3writer.WithProgress(func(p s3writer.Progress) {
			if p.BytesSent > 0 {
				cancel(errors.New("the night is over"))
			}
		}))

	_, err := w.Write(ctx, s3writer.NewTable("zeros.bin", zeros{})) // endless
	fmt.Println(err)
	fmt.Println(len(srv.Keys("writer-sample")), "objects,", len(srv.Uploads("writer-sample")), "uploads")
	// Output:
	// s3writer: table "zeros.bin": context canceled: the night is over
	// 0 objects, 0 uploads
}
