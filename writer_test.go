package s3writer_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

// TestWriteGoesOn fails two tables of four: the others are delivered, and the
// report has all of them in the order they were given.
func TestWriteGoesOn(t *testing.T) {
	srv := newServer(t)
	report, err := newWriter(t, srv).Write(t.Context(),
		csv("a.csv", "id\n1\n", s3writer.Select("x")),
		csv("b.csv", "id\n1\n2\n", s3writer.Select("id")),
		s3writer.NewTable("c.csv", failing("id\n1\n", errBroken)),
		csv("d.csv", "id\n1\n"),
	)
	wantText(t, err, `s3writer: table "a.csv": step 1 Select: no column "x": there are id`+"\n"+
		`s3writer: table "c.csv": source: the line is broken`)
	if !errors.Is(err, errBroken) {
		t.Error("errors.Is does not find the reader's error")
	}
	var e *s3writer.Error
	if !errors.As(err, &e) || e.Table != "a.csv" || e.Step != 1 || e.Processor != "Select" || e.Offset != -1 {
		t.Errorf("errors.As finds %#v, want the first table's", e)
	}
	s3writertest.AssertNoPartial(t, srv, bucket, map[string]string{"b.csv": "id\n1\n2\n", "d.csv": "id\n1\n"})
	s3writertest.AssertNoOrphans(t, srv, bucket)
	wantObject(t, srv, "b.csv", "id\n1\n2\n")
	wantObject(t, srv, "d.csv", "id\n1\n")
	for i, want := range []struct {
		key    string
		failed bool
	}{{"a.csv", true}, {"b.csv", false}, {"c.csv", true}, {"d.csv", false}} {
		r := report.Tables[i]
		if r.Key != want.key || (r.Err != nil) != want.failed || r.Duration <= 0 {
			t.Errorf("table %d of the report is %q with error %v after %v", i, r.Key, r.Err, r.Duration)
		}
	}
	if report.Duration <= 0 {
		t.Error("the report has no duration")
	}
}

// TestCounts are what every row became.
func TestCounts(t *testing.T) {
	in := "id,name\n1,a\n2,b\n\n3\n4,d\n5,e\n"
	twice := s3writer.RecordFunc(func([]s3writer.Column) (s3writer.RecordStep, error) {
		return s3writer.RecordStep{Row: func(r s3writer.Record, out *s3writer.Emitter) error {
			for range 2 {
				out.Copy(r, 0)
				out.Copy(r, 1)
				out.EndRow()
			}
			return nil
		}}, nil
	})
	odd := s3writer.Filter(func(r s3writer.Record) bool { return r.Get("id") != "2" })
	for _, test := range []struct {
		name                              string
		p                                 []s3writer.Processor
		read, written, filtered, rejected int64
		object                            string
	}{
		{"decoded", nil, 5, 4, 0, 1, "id,name\n1,a\n2,b\n4,d\n5,e\n"},
		{"filtered", []s3writer.Processor{odd}, 5, 3, 1, 1, "id,name\n1,a\n4,d\n5,e\n"},
		{"filtered twice", []s3writer.Processor{odd, s3writer.Limit(2)}, 4, 2, 1, 1, "id,name\n1,a\n4,d\n"},
		{"exploded", []s3writer.Processor{twice}, 5, 8, 0, 1, "id,name\n1,a\n1,a\n2,b\n2,b\n4,d\n4,d\n5,e\n5,e\n"},
		{"encoded", []s3writer.Processor{s3writer.EncoderFunc("csv", newLines)}, 5, 4, 0, 1, "1|a|\n2|b|\n4|d|\n5|e|\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			table := csv("t.csv", in, test.p...)
			var bad []s3writer.BadRow
			table.OnBadRow = func(b s3writer.BadRow) error { bad = append(bad, b); return nil }
			var accepted s3writer.TableReport
			table.Accept = func(r s3writer.TableReport) error { accepted = r; return nil }
			report := write(t, newWriter(t, srv), table)
			wantObject(t, srv, "t.csv", test.object)
			r := report.Tables[0]
			got := []int64{r.RowsRead, r.RowsWritten, r.RowsFiltered, r.RowsRejected, r.BytesRead}
			want := []int64{test.read, test.written, test.filtered, test.rejected, int64(len(in))}
			if !slices.Equal(got, want) {
				t.Errorf("rows read, written, filtered, rejected and bytes are %v, want %v", got, want)
			}
			if accepted.RowsWritten != test.written || len(accepted.Objects) != 1 || accepted.Objects[0].State != s3writer.Pending {
				t.Errorf("Accept was asked about %+v", accepted)
			}
			o := r.Objects[0]
			stored, _ := srv.Object(bucket, "t.csv")
			if o.Key != "t.csv" || o.Size != stored.Size || o.Rows != test.written || strings.Trim(o.ETag, `"`) != stored.ETag ||
				o.CRC64NVME != stored.CRC64NVME || o.State != s3writer.Committed || o.Err != nil || o.Parts != 1 {
				t.Errorf("the object is reported as %+v, and stored as %+v", o, stored)
			}
			if len(bad) != 1 || bad[0].Row != 3 || bad[0].Offset != 17 || string(bad[0].Raw) != "3" ||
				bad[0].Err.Error() != "row has 1 field, header has 2" {
				t.Errorf("OnBadRow was asked about %+v", bad)
			}
		})
	}
	t.Run("copied", func(t *testing.T) {
		srv := newServer(t)
		r := write(t, newWriter(t, srv), csv("t.csv", in)).Tables[0]
		if r.RowsRead != -1 || r.RowsWritten != -1 || r.RowsFiltered != -1 || r.RowsRejected != -1 || r.Objects[0].Rows != -1 || r.BytesRead != int64(len(in)) {
			t.Errorf("rows that nobody looked at are counted: %+v", r)
		}
	})
}

// TestOnBadRow decides about each bad row.
func TestOnBadRow(t *testing.T) {
	for _, test := range []struct {
		name string
		f    func(s3writer.BadRow) error
		want string
	}{
		{"refuses", func(b s3writer.BadRow) error {
			if b.Row == 4 {
				return errBroken
			}
			return nil
		}, `s3writer: table "t.csv": row 4 (byte 18): OnBadRow: the line is broken`},
		{"panics", func(s3writer.BadRow) error { panic("boom") }, `s3writer: table "t.csv": row 2 (byte 12): OnBadRow: panic: boom`},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			table := csv("t.csv", "id,name\n1,a\n2\n3,c\n4,d,x\n5,e\n")
			table.OnBadRow = test.f
			_, err := newWriter(t, srv).Write(t.Context(), table)
			wantText(t, err, test.want)
			wantNothing(t, srv)
		})
	}
}

// TestAccept has the last word before anything becomes visible.
func TestAccept(t *testing.T) {
	for _, test := range []struct {
		name string
		f    func(s3writer.TableReport) error
		want string
	}{
		{"refuses", func(r s3writer.TableReport) error { return fmt.Errorf("only %d rows", r.RowsWritten) },
			`s3writer: table "t.csv": refused by Accept: only 9 rows`},
		{"panics", func(s3writer.TableReport) error { panic("boom") }, `s3writer: table "t.csv": Accept: panic: boom`},
	} {
		for _, width := range []int{1, 1 << 20} {
			t.Run(fmt.Sprint(test.name, " ", width), func(t *testing.T) {
				srv := newServer(t)
				table := csv("t.csv", "id\n"+strings.Repeat(strings.Repeat("x", width)+"\n", 9))
				table.Accept = test.f
				report, err := newWriter(t, srv).Write(t.Context(), table)
				wantText(t, err, test.want)
				if o := report.Tables[0].Objects; len(o) != 1 || o[0].State != s3writer.Pending || o[0].Err == nil {
					t.Errorf("the objects are reported as %+v", o)
				}
				wantNothing(t, srv)
			})
		}
	}
	t.Run("is not asked about what failed", func(t *testing.T) {
		srv := newServer(t)
		table := s3writer.NewTable("t.csv", failing("id\n", errBroken))
		table.Accept = func(s3writer.TableReport) error { t.Error("Accept was called"); return nil }
		_, err := newWriter(t, srv).Write(t.Context(), table)
		wantText(t, err, `s3writer: table "t.csv": source: the line is broken`)
	})
}

// TestPutOrMultipart is about sizes: one request for what fits a first part,
// growing parts for what does not, whatever pieces the source comes in.
func TestPutOrMultipart(t *testing.T) {
	for _, test := range []struct {
		size  int
		parts []int64
		opts  []s3writer.Option
	}{
		{0, nil, nil},
		{1, nil, nil},
		{8<<20 - 1, nil, nil},
		{8 << 20, nil, nil},
		{8<<20 + 1, []int64{8 << 20, 1}, nil},
		{20 << 20, []int64{8 << 20, 8 << 20, 4 << 20}, nil},
		{12 << 20, []int64{5 << 20, 5 << 20, 2 << 20}, []s3writer.Option{s3writer.WithPartSize(5 << 20)}},
		{10 << 20, []int64{5 << 20, 5 << 20}, []s3writer.Option{s3writer.WithPartSize(5 << 20)}},
	} {
		for _, known := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d bytes, %v", test.size, known), func(t *testing.T) {
				srv := newServer(t)
				body := pattern(test.size)
				var src io.Reader = strings.NewReader(body)
				if !known {
					src = io.MultiReader(src) // neither a WriterTo nor of a known length
				}
				report := write(t, newWriter(t, srv, test.opts...), s3writer.NewTable("t.csv", src))
				wantObject(t, srv, "t.csv", body)
				stored, _ := srv.Object(bucket, "t.csv")
				if !slices.Equal(stored.Parts, test.parts) {
					t.Errorf("the parts are %v, want %v", stored.Parts, test.parts)
				}
				requests := map[string]int{"PutObject": 1}
				if test.parts != nil {
					requests = map[string]int{"CreateMultipartUpload": 1, "UploadPart": len(test.parts), "CompleteMultipartUpload": 1}
				}
				for op, want := range requests {
					if got := srv.Count(op); got != want {
						t.Errorf("%d requests are %s, want %d", got, op, want)
					}
				}
				if n := srv.Count(""); n != max(1, len(test.parts)+2*min(1, len(test.parts))) {
					t.Errorf("%d requests were sent", n)
				}
				o := report.Tables[0].Objects[0]
				if o.Parts != max(1, len(test.parts)) || o.Size != int64(test.size) || o.CRC64NVME != stored.CRC64NVME {
					t.Errorf("reported %+v", o)
				}
				s3writertest.AssertNoOrphans(t, srv, bucket)
			})
		}
	}
}

// pattern returns n bytes, at most 20 MiB, that repeat nowhere near a part's size.
func pattern(n int) string { return patterned()[:n] }

var patterned = sync.OnceValue(func() string {
	b := make([]byte, 0, 20<<20)
	for i := uint64(0); len(b)+8 <= cap(b); i++ {
		b = binary.LittleEndian.AppendUint64(b, i*0x9e3779b97f4a7c15)
	}
	return string(b)
})

func TestNoOverwrite(t *testing.T) {
	for _, size := range []int{10, 9 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			srv := newServer(t)
			srv.Put(bucket, "t.csv", []byte("theirs"))
			w := newWriter(t, srv, s3writer.WithNoOverwrite())
			body := pattern(size)
			report, err := w.Write(t.Context(), csv("t.csv", body), csv("u.csv", body))
			wantText(t, err, `s3writer: table "t.csv": object exists already: s3://writer-sample/t.csv `+
				`(AWS says: PreconditionFailed: At least one of the pre-conditions you specified did not hold, request ID X)`)
			if !errors.Is(err, s3writer.ErrExists) {
				t.Error("errors.Is does not find ErrExists")
			}
			wantObject(t, srv, "t.csv", "theirs")
			wantObject(t, srv, "u.csv", body)
			s3writertest.AssertNoOrphans(t, srv, bucket)
			if o := report.Tables[0].Objects[0]; o.State != s3writer.Pending || o.Err == nil {
				t.Errorf("reported %+v", o)
			}
			write(t, newWriter(t, srv), csv("t.csv", body))
			wantObject(t, srv, "t.csv", body)
		})
	}
}

// TestDryRun runs everything and sends nothing.
func TestDryRun(t *testing.T) {
	srv := newServer(t)
	body := pattern(9 << 20)
	w := mustNew(t, s3writer.WithDryRun(), s3writer.WithEndpoint(srv.URL), s3writer.WithPrefix("exports"),
		s3writer.WithCredentials(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			t.Error("credentials were asked for")
			return aws.Credentials{}, errBroken
		})))
	report, err := w.Write(t.Context(),
		csv("a.csv", "id,name\n1,a\n2,b\n", s3writer.Select("name"), s3writer.Limit(1)),
		csv("b.csv", body), csv("c.csv", "id\n", s3writer.Select("x")))
	wantText(t, err, `s3writer: table "c.csv": step 1 Select: no column "x": there are id`)
	if n := srv.Count(""); n != 0 {
		t.Errorf("%d requests were sent, want none", n)
	}
	want := []s3writer.Object{
		{Key: "exports/a.csv", Size: 7, Rows: 1, Parts: 1},
		{Key: "exports/b.csv", Size: 9 << 20, Rows: -1, Parts: 2},
	}
	for i, want := range want {
		r := report.Tables[i]
		if len(r.Objects) != 1 || r.Err != nil {
			t.Fatalf("table %d: %+v", i, r)
		}
		got := r.Objects[0]
		if got.Key != want.Key || got.Size != want.Size || got.Rows != want.Rows || got.State != s3writer.Pending || got.Err != nil || got.Parts != want.Parts {
			t.Errorf("reported %+v, want %+v", got, want)
		}
		if got.CRC64NVME == "" || got.ETag != "" {
			t.Errorf("checksum %q, ETag %q", got.CRC64NVME, got.ETag)
		}
	}
	wantNothing(t, srv)
}

// TestLeastPrivilege does everything that needs no further right.
func TestLeastPrivilege(t *testing.T) {
	srv := newServer(t)
	srv.AddKey(userID, userSecret, s3writertest.LeastPrivilege(bucket))
	w := newWriter(t, srv, user(userSecret), s3writer.WithPrefix("exports/"), s3writer.WithNoOverwrite(),
		s3writer.WithBucketOwner(s3writertest.DefaultOwner), s3writer.WithAllOrNothing())
	body := pattern(17 << 20)
	report := write(t, w, csv("a.csv", "id\n1\n", s3writer.Select("id"), s3writer.Gzip()), csv("b.csv", body), csv("c.csv", ""))
	if len(report.Orphans) != 0 {
		t.Errorf("orphans: %+v", report.Orphans)
	}
	wantObject(t, srv, "exports/b.csv", body)
	wantObject(t, srv, "exports/c.csv", "")
	for _, r := range srv.Requests() {
		if r.Err != "" || r.Header.Get("X-Amz-Expected-Bucket-Owner") != s3writertest.DefaultOwner {
			t.Errorf("%s of %q: %d %s, for owner %q", r.Op, r.Key, r.Status, r.Err, r.Header.Get("X-Amz-Expected-Bucket-Owner"))
		}
	}
}

// TestDeniedAbort keeps the reason why an upload was given up, and reports
// what it has left behind.
func TestDeniedAbort(t *testing.T) {
	srv := newServer(t)
	srv.AddKey(userID, userSecret, s3writertest.LeastPrivilege(bucket))
	sent := make(chan struct{})
	srv.Fail(s3writertest.Fault{Op: "UploadPart", N: 1, When: s3writertest.After, Hook: sendHook(sent), Header: map[string][]string{"X-Test": {"1"}}})
	src := io.MultiReader(strings.NewReader(pattern(9<<20)), readerFunc(func([]byte) (int, error) {
		<-sent
		return 0, errBroken
	}))
	report, err := newWriter(t, srv, user(userSecret)).Write(t.Context(), s3writer.NewTable("t.csv", src))
	wantText(t, err, `s3writer: table "t.csv": source: the line is broken`)
	s3writertest.AssertNoPartial(t, srv, bucket, nil)
	open := srv.Uploads(bucket)
	if len(open) != 1 || len(report.Orphans) != 1 {
		t.Fatalf("%d uploads are open, %d reported", len(open), len(report.Orphans))
	}
	o := report.Orphans[0]
	if o.Key != "t.csv" || o.UploadID != open[0].UploadID || !errors.Is(o.Err, s3writer.ErrAccessDenied) {
		t.Errorf("the orphan is reported as %+v, and is %+v", o, open[0])
	}
	wantText(t, o.Err, `access denied: s3:AbortMultipartUpload on arn:aws:s3:::writer-sample/*: check the identity's policy, `+
		`the bucket's policy, and its owner (AWS says: AccessDenied: User: arn:aws:iam::123456789012:user/AKIAIOSFODNN7EXAMPLE `+
		`is not authorized to perform: s3:AbortMultipartUpload on resource: "arn:aws:s3:::writer-sample/t.csv" `+
		`because no identity-based policy allows the s3:AbortMultipartUpload action, request ID X)`)
}

// TestManyWrites shares one Writer among many goroutines.
func TestManyWrites(t *testing.T) {
	srv := newServer(t)
	w := newWriter(t, srv, s3writer.WithMemory(64<<20))
	shared := s3writer.Chain(
		s3writer.Filter(func(r s3writer.Record) bool { return r.Get("id") != "2" }), s3writer.Hash([]byte("k"), "name"), s3writer.Gzip())
	want := map[string]string{}
	var mu sync.Mutex
	var wait sync.WaitGroup
	for i := range 16 {
		wait.Go(func() {
			var tables []s3writer.Table
			for j := range 8 {
				key := fmt.Sprintf("%02d/%d.csv", i, j)
				if j%2 == 0 {
					tables = append(tables, csv(key, "id,name\n1,a\n2,b\n", shared))
					continue
				}
				body := pattern(1000 * i * j)
				if i == 0 && j == 7 {
					body = pattern(20 << 20)
				}
				mu.Lock()
				want[key] = body
				mu.Unlock()
				tables = append(tables, csv(key, body))
			}
			if _, err := w.Write(t.Context(), tables...); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if n := len(srv.Keys(bucket)); n != 16*8 {
		t.Errorf("%d objects, want %d", n, 16*8)
	}
	for key, body := range want {
		wantObject(t, srv, key, body)
	}
	if got, _ := srv.Get(bucket, "03/0.csv.gz"); !strings.HasPrefix(gunzip(t, got), "id,name\n1,") {
		t.Errorf("a compressed object is %q", gunzip(t, got))
	}
	s3writertest.AssertNoOrphans(t, srv, bucket)
}
