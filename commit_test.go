package s3writer_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

const (
	small = 10      // a single put
	large = 9 << 20 // two parts
)

// TestCommitFails is about the request that makes an object visible. Small
// objects have it in PutObject, large ones in CompleteMultipartUpload.
func TestCommitFails(t *testing.T) {
	type fault = s3writertest.Fault
	for _, test := range []struct {
		name    string
		faults  []fault
		want    string // OPERATION, of OBJECT; "" is success
		is      error
		state   s3writer.State
		visible bool // whole, though the error says something else
	}{
		{name: "denied", faults: []fault{{Status: http.StatusForbidden}},
			want: `access denied: s3:PutObject on arn:aws:s3:::writer-sample/*: check the identity's policy, the bucket's policy, ` +
				`its owner, and kms:GenerateDataKey (AWS says: AccessDenied: Access Denied, request ID X)`,
			is: s3writer.ErrAccessDenied, state: s3writer.Pending},
		{name: "empty success, then a true one", faults: []fault{{N: 1, Empty: true}}, state: s3writer.Committed},
		{name: "error in a success, then a true one", faults: []fault{{N: 1, ErrorIn200: true, Code: "InternalError"}}, state: s3writer.Committed},
		{name: "blank success, then a true one", faults: []fault{{N: 1, Blank: true}}, state: s3writer.Committed},
		{name: "slow down, then a true one", faults: []fault{{N: 1, Status: http.StatusServiceUnavailable}}, state: s3writer.Committed},
		{name: "lost before it was done", faults: []fault{{N: 1, Cut: true}}, state: s3writer.Committed},
		{name: "lost in the middle", faults: []fault{{N: 1, When: s3writertest.During}}, state: s3writer.Committed},
		{name: "lost after it was done", faults: []fault{{N: 1, When: s3writertest.After, Cut: true}}, state: s3writer.Committed},
		{name: "answer cut", faults: []fault{{N: 1, When: s3writertest.After, CutAnswer: true}}, state: s3writer.Committed},
		{name: "success without an ETag", faults: []fault{{N: 1, When: s3writertest.After, StripETag: true}}, state: s3writer.Committed},
		{name: "lost, then denied", faults: []fault{{N: 1, When: s3writertest.After, Cut: true}, {N: 2, Times: 1, Status: http.StatusForbidden}},
			want: `outcome of the commit is unknown: s3://writer-sample/OBJECT may be there (SIZE): access denied: s3:PutObject on ` +
				`arn:aws:s3:::writer-sample/*: check the identity's policy, the bucket's policy, its owner, and kms:GenerateDataKey ` +
				`(AWS says: AccessDenied: Access Denied, request ID X)`,
			is: s3writer.ErrCommitUnknown, state: s3writer.Unknown, visible: true},
		{name: "lost and not done, then denied", faults: []fault{{N: 1, Cut: true}, {N: 2, Times: 1, Status: http.StatusForbidden}},
			want: `outcome of the commit is unknown: s3://writer-sample/OBJECT may be there (SIZE): access denied: s3:PutObject on ` +
				`arn:aws:s3:::writer-sample/*: check the identity's policy, the bucket's policy, its owner, and kms:GenerateDataKey ` +
				`(AWS says: AccessDenied: Access Denied, request ID X)`,
			is: s3writer.ErrCommitUnknown, state: s3writer.Unknown},
	} {
		for _, size := range []int{small, large} {
			t.Run(fmt.Sprint(test.name, " ", size), func(t *testing.T) {
				srv := newServer(t)
				op, bytes, parts := "PutObject", `10 bytes, CRC-64/NVME CRC`, 1
				if size == large {
					op, bytes, parts = "CompleteMultipartUpload", `9437184 bytes, CRC-64/NVME CRC, upload ID X`, 2
				}
				for _, f := range test.faults {
					f.Op = op
					srv.Fail(f)
				}
				body := pattern(size)
				srv.AddKey(userID, userSecret, s3writertest.Allow{ // who may not look what is there
					Actions: []string{"s3:PutObject", "s3:AbortMultipartUpload"}, Resources: []string{"*"}})
				report, err := newWriter(t, srv, user(userSecret)).Write(t.Context(), csv("t.csv", body))
				want := test.want
				if want != "" {
					want = `s3writer: table "t.csv": ` + strings.NewReplacer("OBJECT", "t.csv", "SIZE", bytes, "OPERATION", op).Replace(want)
				}
				o := report.Tables[0].Objects[0]
				if err != nil {
					err = errorString(strings.ReplaceAll(text(err), o.CRC64NVME, "CRC"))
				}
				wantText(t, err, want)
				if err := report.Tables[0].Err; test.is != nil && (!errors.Is(err, test.is) || !errors.Is(o.Err, test.is)) {
					t.Errorf("errors.Is does not find %v in %v or in %v", test.is, err, o.Err)
				}
				if o.State != test.state || o.Parts != parts || (o.ETag != "") != (test.state == s3writer.Committed) {
					t.Errorf("the object is reported as %+v, want it %v", o, test.state)
				}
				switch {
				case test.state == s3writer.Committed, test.visible:
					wantObject(t, srv, "t.csv", body)
				default:
					s3writertest.AssertNoPartial(t, srv, bucket, nil)
				}
				unknownUpload(t, srv, report, test.state == s3writer.Unknown && !test.visible && size == large)
			})
		}
	}
}

// unknownUpload fails the test unless uploads are open just where nobody knows
// whether an object is made of them, and the error names them.
func unknownUpload(t *testing.T, srv *s3writertest.Server, report *s3writer.Report, want bool) {
	t.Helper()
	open := srv.Uploads(bucket)
	if !want {
		s3writertest.AssertNoOrphans(t, srv, bucket)
		return
	}
	if len(open) != 1 {
		t.Fatalf("%d uploads are open: one whose commit is unknown must not be aborted", len(open))
	}
	var e *s3writer.Error
	if !errors.As(report.Tables[0].Err, &e) || e.UploadID != open[0].UploadID || e.Object != "t.csv" {
		t.Errorf("the error does not name the upload: %#v", e)
	}
	if o := report.Orphans; len(o) != 1 || o[0].UploadID != open[0].UploadID {
		t.Errorf("the report names %+v, want the upload", o)
	}
}

// TestAllOrNothing fails one table of four before the first commit: none
// becomes visible, and only that one's error is returned.
func TestAllOrNothing(t *testing.T) {
	for _, test := range []struct {
		name  string
		table func() s3writer.Table
		want  string
	}{
		{"form", func() s3writer.Table { return csv("bad.csv", "id\n1\n", s3writer.Gzip(), s3writer.Select("id")) },
			`step 2 Select: needs records, but Gzip before it leaves none; put Select first`},
		{"source", func() s3writer.Table { return s3writer.NewTable("bad.csv", failing(pattern(large), errBroken)) },
			`source: the line is broken`},
		{"step", func() s3writer.Table { return csv("bad.csv", "id\n1\n", s3writer.Select("x")) },
			`step 1 Select: no column "x": there are id`},
		{"accept", func() s3writer.Table {
			table := csv("bad.csv", "id\n1\n")
			table.Accept = func(s3writer.TableReport) error { return errBroken }
			return table
		}, `refused by Accept: the line is broken`},
	} {
		for at := range 4 {
			t.Run(fmt.Sprint(test.name, " ", at), func(t *testing.T) {
				srv := newServer(t)
				var tables []s3writer.Table
				for i := range 4 {
					if i == at {
						tables = append(tables, test.table())
						continue
					}
					size := small
					if i%2 == 0 {
						size = large
					}
					tables = append(tables, csv(fmt.Sprintf("%d.csv", i), pattern(size)))
				}
				report, err := newWriter(t, srv, s3writer.WithAllOrNothing()).Write(t.Context(), tables...)
				wantText(t, err, `s3writer: table "bad.csv": `+test.want)
				if errors.Is(err, s3writer.ErrPartialCommit) {
					t.Error("it is called a partial commit")
				}
				for i, r := range report.Tables {
					if i != at {
						wantText(t, r.Err, fmt.Sprintf(
							`s3writer: table "%d.csv": not delivered: table "bad.csv" failed, and WithAllOrNothing was given`, i))
					}
					for _, o := range r.Objects {
						if o.State != s3writer.Pending || o.Err == nil {
							t.Errorf("table %d: object %+v", i, o)
						}
					}
				}
				wantAccounted(t, srv, report)
			})
		}
	}
	t.Run("all whole", func(t *testing.T) {
		srv := newServer(t)
		report := write(t, newWriter(t, srv, s3writer.WithAllOrNothing()), csv("a.csv", pattern(small)), csv("b.csv", pattern(large)))
		wantObject(t, srv, "a.csv", pattern(small))
		wantObject(t, srv, "b.csv", pattern(large))
		for _, r := range report.Tables {
			if r.Err != nil || r.Objects[0].State != s3writer.Committed {
				t.Errorf("reported %+v", r)
			}
		}
	})
	t.Run("several failures", func(t *testing.T) {
		srv := newServer(t)
		_, err := newWriter(t, srv, s3writer.WithAllOrNothing()).Write(t.Context(),
			csv("a.csv", "id\n", s3writer.Select()), csv("b.csv", "id\n"), csv("c.csv", "id\n", s3writer.Drop()))
		wantText(t, err, `s3writer: table "a.csv": step 1 Select: takes at least one column`+"\n"+
			`s3writer: table "c.csv": step 1 Drop: takes at least one column`)
		wantNothing(t, srv)
	})
}

// TestPartialCommit fails a commit after others have succeeded: what is
// visible and what is not is in the report.
func TestPartialCommit(t *testing.T) {
	srv := newServer(t)
	// bad.csv is refused only once ok.csv is committed.
	committed := make(chan struct{})
	srv.Fail(s3writertest.Fault{Op: "PutObject", Key: "ok.csv", When: s3writertest.After, Hook: sendHook(committed), Header: http.Header{"X-Test": {"1"}}})
	srv.Fail(s3writertest.Fault{Op: "CompleteMultipartUpload", Key: "bad.csv", Hang: committed, Status: http.StatusForbidden})
	report, err := newWriter(t, srv, s3writer.WithAllOrNothing()).Write(t.Context(), csv("bad.csv", pattern(large)), csv("ok.csv", pattern(small)))
	wantText(t, err, `s3writer: table "bad.csv": only part of the objects became visible: access denied: s3:PutObject on `+
		`arn:aws:s3:::writer-sample/*: check the identity's policy, the bucket's policy, its owner, and kms:GenerateDataKey `+
		`(AWS says: AccessDenied: Access Denied, request ID X)`)
	if !errors.Is(err, s3writer.ErrPartialCommit) || !errors.Is(err, s3writer.ErrAccessDenied) {
		t.Error("errors.Is does not find ErrPartialCommit and ErrAccessDenied")
	}
	bad, ok := report.Tables[0], report.Tables[1]
	if ok.Err != nil || ok.Objects[0].State != s3writer.Committed || ok.Objects[0].Err != nil {
		t.Errorf("the table that is visible is reported as %+v", ok)
	}
	if bad.Err == nil || bad.Objects[0].State != s3writer.Pending || bad.Objects[0].Err == nil {
		t.Errorf("the table that is not visible is reported as %+v", bad)
	}
	s3writertest.AssertNoPartial(t, srv, bucket, map[string]string{"ok.csv": pattern(small)})
	wantObject(t, srv, "ok.csv", pattern(small))
	if open := srv.Uploads(bucket); len(open) != 1 || report.Pending == nil || len(report.Orphans) != 0 {
		t.Errorf("%d uploads are open; pending is %v, orphans %v", len(open), report.Pending, report.Orphans)
	}
}

// TestCommitFailsAlone is no partial commit: nothing else became visible.
func TestCommitFailsAlone(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault []s3writertest.Fault
		state s3writer.State
		is    error
	}{
		{"denied", []s3writertest.Fault{{Op: "PutObject", Status: http.StatusForbidden}}, s3writer.Pending, s3writer.ErrAccessDenied},
		{"unknown", []s3writertest.Fault{{Op: "PutObject", N: 1, Cut: true}, {Op: "PutObject", N: 2, Status: http.StatusForbidden}},
			s3writer.Unknown, s3writer.ErrCommitUnknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			for _, f := range test.fault {
				srv.Fail(f)
			}
			report, err := newWriter(t, srv, s3writer.WithAllOrNothing()).Write(t.Context(), csv("t.csv", "id\n"))
			if !errors.Is(err, test.is) || errors.Is(err, s3writer.ErrPartialCommit) {
				t.Errorf("got %v, want an error that is %v and no partial commit", err, test.is)
			}
			if o := report.Tables[0].Objects[0]; o.State != test.state {
				t.Errorf("reported %+v", o)
			}
			wantNothing(t, srv)
		})
	}
}

// TestCancelled cancels in each phase of a delivery: it ends at once, nothing
// becomes visible, and what is left is reported.
func TestCancelled(t *testing.T) {
	for _, test := range []struct {
		name, op string
		size     int
	}{
		{"as an upload is opened", "CreateMultipartUpload", large},
		{"as a part is sent", "UploadPart", large},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			srv.Fail(s3writertest.Fault{Op: test.op, N: 1, Hook: func(*http.Request) { cancel() }, Hang: t.Context().Done()})
			report, err := newWriter(t, srv).Write(ctx, csv("a.csv", pattern(test.size)), csv("b.csv", pattern(test.size)))
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want context.Canceled", err)
			}
			for i, key := range []string{"a.csv", "b.csv"} {
				if r := report.Tables[i]; !errors.Is(r.Err, context.Canceled) || !strings.HasPrefix(r.Err.Error(), `s3writer: table "`+key+`": `) {
					t.Errorf("table %q: %v", key, r.Err)
				}
			}
			wantAccounted(t, srv, report)
		})
	}
	t.Run("before it begins", func(t *testing.T) {
		srv := newServer(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := newWriter(t, srv).Write(ctx, s3writer.NewTable("t.csv", untouchable{t}))
		wantText(t, err, `s3writer: table "t.csv": context canceled`)
		wantNothing(t, srv)
	})
	t.Run("in a callback", func(t *testing.T) {
		srv := newServer(t)
		ctx, cancel := context.WithCancel(t.Context())
		_, err := newWriter(t, srv).Write(ctx, csv("t.csv", "id\n1\n", s3writer.Filter(func(s3writer.Record) bool { cancel(); return true })))
		wantText(t, err, `s3writer: table "t.csv": context canceled`)
		wantNothing(t, srv)
	})
	t.Run("in Accept", func(t *testing.T) {
		srv := newServer(t)
		ctx, cancel := context.WithCancel(t.Context())
		table := csv("t.csv", "id\n"+strings.Repeat(strings.Repeat("x", 1<<20-1)+"\n", 9))
		table.Accept = func(s3writer.TableReport) error { cancel(); return nil }
		_, err := newWriter(t, srv).Write(ctx, table)
		wantText(t, err, `s3writer: table "t.csv": context canceled`)
		wantNothing(t, srv)
	})
	for _, op := range []string{"PutObject", "CompleteMultipartUpload"} {
		t.Run("too late, in "+op, func(t *testing.T) {
			srv := newServer(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			srv.Fail(s3writertest.Fault{Op: op, N: 1, Hook: func(*http.Request) { cancel() }, Status: http.StatusBadGateway})
			size := small
			if op == "CompleteMultipartUpload" {
				size = large
			}
			report, err := newWriter(t, srv).Write(ctx, csv("t.csv", pattern(size)))
			if err != nil || report.Tables[0].Objects[0].State != s3writer.Committed {
				t.Errorf("a commit that had begun was not finished: %v, %+v", err, report.Tables[0])
			}
			wantObject(t, srv, "t.csv", pattern(size))
		})
	}
}

// TestUploadFails fails requests before the commit.
func TestUploadFails(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault s3writertest.Fault
		want  string
	}{
		{"create denied", s3writertest.Fault{Op: "CreateMultipartUpload", Status: http.StatusForbidden},
			`access denied: s3:PutObject on arn:aws:s3:::writer-sample/*: check the identity's policy, the bucket's policy, ` +
				`its owner, and kms:GenerateDataKey (AWS says: AccessDenied: Access Denied, request ID X)`},
		{"part denied", s3writertest.Fault{Op: "UploadPart", N: 2, Status: http.StatusForbidden},
			`access denied: s3:PutObject on arn:aws:s3:::writer-sample/*: check the identity's policy, the bucket's policy, ` +
				`its owner, and kms:GenerateDataKey (AWS says: AccessDenied: Access Denied, request ID X)`},
		{"upload gone", s3writertest.Fault{Op: "UploadPart", N: 1, Code: "NoSuchUpload"},
			`UploadPart of s3://writer-sample/t.csv: AWS says: NoSuchUpload: The specified upload does not exist. ` +
				`The upload ID may be invalid, or the upload may have been aborted or completed., request ID X`},
		{"part fails once", s3writertest.Fault{Op: "UploadPart", N: 1, Status: http.StatusInternalServerError}, ``},
		{"part lost", s3writertest.Fault{Op: "UploadPart", N: 2, When: s3writertest.During}, ``},
		{"part answered wrongly", s3writertest.Fault{Op: "UploadPart", N: 1, When: s3writertest.After, WrongChecksum: true}, ``},
		{"part without an ETag", s3writertest.Fault{Op: "UploadPart", N: 1, When: s3writertest.After, StripETag: true}, ``},
		{"create fails once", s3writertest.Fault{Op: "CreateMultipartUpload", N: 1, Status: http.StatusServiceUnavailable}, ``},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			srv.Fail(test.fault)
			body := pattern(20 << 20)
			_, err := newWriter(t, srv).Write(t.Context(), csv("t.csv", body))
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				wantObject(t, srv, "t.csv", body)
				s3writertest.AssertNoOrphans(t, srv, bucket)
				return
			}
			wantText(t, err, `s3writer: table "t.csv": `+test.want)
			wantNothing(t, srv)
		})
	}
}
