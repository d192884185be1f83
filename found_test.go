package s3writer_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

// TestLostCommit is made visible, and its answer lost; the server has forgotten
// the upload, or finds the object there already. Who may read objects looks;
// who may not, or finds something else, is told that it is unknown.
func TestLostCommit(t *testing.T) {
	type fault = s3writertest.Fault
	writes := []string{"s3:PutObject", "s3:GetBucketLocation"}
	reads := append(slices.Clip(writes), "s3:GetObject")
	lost := fault{N: 1, When: s3writertest.After, Cut: true}
	for _, test := range []struct {
		name    string
		allow   []string
		faults  []fault
		sizes   []int
		opts    []s3writer.Option
		between func(*s3writertest.Server) // the commit and the look
		found   bool
	}{
		{name: "may read", allow: reads, faults: []fault{lost}, sizes: []int{large}, found: true},
		{name: "may not read", allow: writes, faults: []fault{lost}, sizes: []int{large}},
		{name: "no overwrite, may read", allow: reads, faults: []fault{lost}, sizes: []int{small, large},
			opts: []s3writer.Option{s3writer.WithNoOverwrite()}, found: true},
		{name: "no overwrite, may not read", allow: writes, faults: []fault{lost}, sizes: []int{small, large},
			opts: []s3writer.Option{s3writer.WithNoOverwrite()}},
		{name: "denied from then on", allow: reads, faults: []fault{lost, {N: 2, Times: 1, Status: http.StatusForbidden}},
			sizes: []int{small, large}, found: true},
		{name: "answered without checksums", allow: reads, faults: []fault{lost,
			{Op: "HeadObject", Header: http.Header{"X-Amz-Checksum-Crc64nvme": {""}}}}, sizes: []int{large}, found: true},
		{name: "answered without checksums, with another ETag", allow: reads, faults: []fault{lost,
			{Op: "HeadObject", WrongETag: true, Header: http.Header{"X-Amz-Checksum-Crc64nvme": {""}}}}, sizes: []int{large}},
		{name: "not there any more", allow: append(reads, "s3:ListBucket"), faults: []fault{lost,
			{Op: "HeadObject", Status: http.StatusNotFound, Code: "NoSuchKey"}}, sizes: []int{large}},
		{name: "answered by another object", allow: reads, faults: []fault{lost}, sizes: []int{large},
			between: func(srv *s3writertest.Server) { srv.Put(bucket, "t.csv", []byte("another")) }},
		{name: "answered by another of the same size", allow: reads, faults: []fault{lost}, sizes: []int{large},
			between: func(srv *s3writertest.Server) { srv.Put(bucket, "t.csv", make([]byte, large)) }},
		{name: "slow to look", allow: reads, faults: []fault{lost, {Op: "HeadObject", Times: 2, Status: http.StatusServiceUnavailable}},
			sizes: []int{large}, found: true},
		{name: "never a look", allow: reads, faults: []fault{lost, {Op: "HeadObject", Status: http.StatusInternalServerError}}, sizes: []int{large}},
	} {
		for _, size := range test.sizes {
			t.Run(fmt.Sprint(test.name, " ", size), func(t *testing.T) {
				srv := newServer(t)
				srv.SetIdempotentComplete(false)
				srv.AddKey(userID, userSecret, s3writertest.Allow{Actions: test.allow, Resources: []string{"*"}})
				op := "PutObject"
				if size == large {
					op = "CompleteMultipartUpload"
				}
				for _, f := range test.faults {
					if f.Op == "" {
						f.Op = op
					}
					srv.Fail(f)
				}
				if test.between != nil {
					srv.Fail(fault{Op: op, N: 2, Hook: func(*http.Request) { test.between(srv) }})
				}
				report, err := newWriter(t, srv, append(test.opts, user(userSecret))...).Write(t.Context(), csv("t.csv", pattern(size)))
				o := report.Tables[0].Objects[0]
				if looks := srv.Count("HeadObject"); looks < 1 || looks > 3 {
					t.Errorf("%d HeadObject requests, want 1 to 3", looks)
				}
				s3writertest.AssertNoOrphans(t, srv, bucket)
				if test.found {
					there, _ := srv.Object(bucket, "t.csv")
					if err != nil || o.State != s3writer.Committed || o.ETag != `"`+there.ETag+`"` || report.Orphans != nil {
						t.Errorf("got %v, %+v, orphans %v; want it committed as %q", err, o, report.Orphans, there.ETag)
					}
					return
				}
				if !errors.Is(err, s3writer.ErrCommitUnknown) || o.State != s3writer.Unknown {
					t.Errorf("got %v, %+v; want it unknown", err, o)
				}
				var where *s3writer.Error
				if errors.As(err, &where); where == nil || where.Object != "t.csv" || (where.UploadID != "") != (size == large) {
					t.Errorf("the error is of %+v", where)
				}
				if srv.Count("AbortMultipartUpload") > 0 {
					t.Error("aborted, though it may be committed")
				}
			})
		}
	}
}

// TestLostCommitOfOlderContent finds yesterday's object, which is the same: that
// today's has been committed is not known.
func TestLostCommitOfOlderContent(t *testing.T) {
	for _, size := range []int{small, large} {
		srv := newServer(t)
		srv.SetTime(func() time.Time { return time.Now().Add(-10 * time.Minute) })
		write(t, newWriter(t, srv), csv("t.csv", pattern(size)))
		srv.SetTime(time.Now)
		for _, op := range []string{"PutObject", "CompleteMultipartUpload"} {
			srv.Fail(s3writertest.Fault{Op: op, N: 1, Cut: true})
			srv.Fail(s3writertest.Fault{Op: op, N: 2, Times: 1, Status: http.StatusForbidden})
		}
		_, err := newWriter(t, srv).Write(t.Context(), csv("t.csv", pattern(size)))
		if !errors.Is(err, s3writer.ErrCommitUnknown) || srv.Count("HeadObject") != 1 {
			t.Errorf("%d bytes: %v after %d looks", size, err, srv.Count("HeadObject"))
		}
	}
}

// TestNobodyLooks where every answer came.
func TestNobodyLooks(t *testing.T) {
	srv := newServer(t)
	srv.Put(bucket, "there.csv", []byte("x"))
	w := newWriter(t, srv, s3writer.WithNoOverwrite())
	if _, err := w.Write(t.Context(), csv("there.csv", pattern(small)), csv("a.csv", pattern(small)), csv("b.csv", pattern(large))); !errors.Is(err, s3writer.ErrExists) {
		t.Errorf("got %v", err)
	}
	for _, r := range srv.Requests() {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			t.Errorf("%s was asked for", r.Op)
		}
	}
}
