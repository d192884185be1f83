package s3writer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

// sent is a document as another process gets it.
func sent(t testing.TB, s *s3writer.Staged) *s3writer.Staged {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var got s3writer.Staged
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	again, err := json.Marshal(&got)
	if err != nil || string(again) != string(text) {
		t.Errorf("a document changes when it is read:\n%s\n%s (%v)", text, again, err)
	}
	return &got
}

func stage(t testing.TB, w *s3writer.Writer, tables ...s3writer.Table) *s3writer.Staged {
	t.Helper()
	s, err := w.Stage(t.Context(), tables...)
	if err != nil {
		t.Fatalf("Stage: %v", err)
	}
	return s
}

// wantInvisible fails the test if any object can be seen, or a different number
// of uploads is open.
func wantInvisible(t testing.TB, srv *s3writertest.Server, uploads int) {
	t.Helper()
	s3writertest.AssertNoPartial(t, srv, bucket, nil)
	if n := len(srv.Uploads(bucket)); n != uploads {
		t.Errorf("%d uploads are open, want %d", n, uploads)
	}
}

// threeTables have objects of every kind: none, one put, several parts, many.
func threeTables() (tables []s3writer.Table, want map[string]string) {
	tables = []s3writer.Table{
		csv("empty.csv", ""), csv("small.csv", pattern(small)), csv("large.csv", pattern(large)),
		csv("parts.csv", "id,k\n1,a\n2,b\n3,a\n", s3writer.PartitionBy("k")),
	}
	return tables, map[string]string{"empty.csv": "", "small.csv": pattern(small), "large.csv": pattern(large),
		"k=a/parts-00001.csv": "id\n1\n3\n", "k=b/parts-00001.csv": "id\n2\n"}
}

// TestStage leaves everything uploaded and nothing visible, until a Writer of
// another process commits the document.
func TestStage(t *testing.T) {
	srv := newServer(t)
	tables, want := threeTables()
	s := stage(t, newWriter(t, srv), tables...)
	wantInvisible(t, srv, len(want))
	if n := srv.Count("PutObject"); n != 0 {
		t.Errorf("%d objects were put", n)
	}
	staged := s.Report()
	report, err := newWriter(t, srv).Commit(t.Context(), sent(t, s))
	if err != nil {
		t.Fatal(err)
	}
	s3writertest.AssertNoPartial(t, srv, bucket, want)
	for key, body := range want {
		wantObject(t, srv, key, body)
	}
	s3writertest.AssertNoOrphans(t, srv, bucket)
	if report.Pending != nil || len(report.Tables) != len(tables) {
		t.Errorf("reported %+v", report)
	}
	for i, table := range report.Tables {
		before := staged.Tables[i]
		if table.Err != nil || table.Key != before.Key || table.RowsRead != before.RowsRead || table.RowsWritten != before.RowsWritten ||
			table.BytesRead != before.BytesRead || len(table.Objects) != len(before.Objects) {
			t.Errorf("staged %+v, committed %+v", before, table)
		}
		for j, o := range table.Objects {
			b := before.Objects[j]
			if b.State != s3writer.Pending || o.State != s3writer.Committed || o.ETag == "" {
				t.Errorf("%s is %v after Stage and %v after Commit, ETag %q", o.Key, b.State, o.State, o.ETag)
			}
			o.State, o.ETag, o.VersionID = b.State, b.ETag, b.VersionID
			if !reflect.DeepEqual(o, b) {
				t.Errorf("staged %+v, committed %+v", b, o)
			}
		}
	}
}

// TestManyStageOneCommits commits documents of several Writers at once.
func TestManyStageOneCommits(t *testing.T) {
	srv := newServer(t)
	var documents []*s3writer.Staged
	for i := range 3 {
		s := stage(t, newWriter(t, srv), csv(fmt.Sprintf("%d.csv", i), pattern(small)))
		documents = append(documents, sent(t, s), nil)
	}
	if _, err := newWriter(t, srv, s3writer.WithAllOrNothing()).Commit(t.Context(), documents...); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		wantObject(t, srv, fmt.Sprintf("%d.csv", i), pattern(small))
	}
	s3writertest.AssertNoOrphans(t, srv, bucket)
}

// TestAbortStaged removes what was staged, and says what it could not remove.
func TestAbortStaged(t *testing.T) {
	for _, denied := range []bool{false, true} {
		t.Run(fmt.Sprint("denied ", denied), func(t *testing.T) {
			srv := newServer(t)
			w := newWriter(t, srv)
			tables, want := threeTables()
			s := stage(t, w, tables...)
			if denied {
				srv.Fail(s3writertest.Fault{Op: "AbortMultipartUpload", Key: "large.csv", Status: http.StatusForbidden})
			}
			err := w.Abort(t.Context(), sent(t, s))
			if !denied {
				if err != nil {
					t.Error(err)
				}
				wantNothing(t, srv)
				if err := w.Abort(t.Context(), s); err != nil {
					t.Errorf("the second time: %v", err)
				}
				return
			}
			wantText(t, err, `s3writer: table "large.csv": access denied: s3:AbortMultipartUpload on arn:aws:s3:::writer-sample/*: `+
				`check the identity's policy, the bucket's policy, and its owner (AWS says: AccessDenied: Access Denied, request ID X)`)
			var e *s3writer.Error
			open := srv.Uploads(bucket)
			if len(open) != 1 || !errors.As(err, &e) || e.UploadID != open[0].UploadID || e.Object != "large.csv" {
				t.Errorf("%d of %d uploads are open; the error is %#v", len(open), len(want), e)
			}
		})
	}
}

// TestStageFails stages the tables that are all right, or none.
func TestStageFails(t *testing.T) {
	for _, test := range []struct {
		name  string
		table s3writer.Table
		fault s3writertest.Fault
		want  string
	}{
		{"in its form", csv("bad.csv", "id\n", s3writer.Drop()), s3writertest.Fault{Op: "none"}, `step 1 Drop: takes at least one column`},
		{"as it is read", s3writer.NewTable("bad.csv", failing(pattern(large), errBroken)), s3writertest.Fault{Op: "none"},
			`source: the line is broken`},
		{"as it is sent", csv("bad.csv", pattern(small)), s3writertest.Fault{Op: "UploadPart", Key: "bad.csv", Code: "NoSuchUpload"},
			`UploadPart of s3://writer-sample/bad.csv: AWS says: NoSuchUpload: The specified upload does not exist. ` +
				`The upload ID may be invalid, or the upload may have been aborted or completed., request ID X`},
	} {
		for _, together := range []bool{false, true} {
			t.Run(fmt.Sprint(test.name, " together ", together), func(t *testing.T) {
				srv := newServer(t)
				srv.Fail(test.fault)
				var opts []s3writer.Option
				if together {
					opts = append(opts, s3writer.WithAllOrNothing())
				}
				if text, ok := test.table.Source.(*strings.Reader); ok {
					text.Seek(0, 0)
				} else {
					test.table.Source = failing(pattern(large), errBroken)
				}
				w := newWriter(t, srv, opts...)
				s, err := w.Stage(t.Context(), csv("good.csv", pattern(small)), test.table)
				wantText(t, err, `s3writer: table "bad.csv": `+test.want)
				r := s.Report()
				if len(r.Tables) != 2 || text(r.Tables[1].Err) != text(err) || (r.Tables[0].Err != nil) != together {
					t.Fatalf("reported %+v", r)
				}
				if r := sent(t, s).Report(); text(r.Tables[1].Err) != text(err) {
					t.Errorf("the document has the error %v", r.Tables[1].Err)
				}
				report, err := w.Commit(t.Context(), sent(t, s))
				if together {
					wantText(t, err, "s3writer: commit: nothing to write: no table was given")
					wantNothing(t, srv)
					return
				}
				if err != nil || len(report.Tables) != 1 {
					t.Errorf("committed %+v: %v", report, err)
				}
				s3writertest.AssertNoPartial(t, srv, bucket, map[string]string{"good.csv": pattern(small)})
				s3writertest.AssertNoOrphans(t, srv, bucket)
			})
		}
	}
}

// TestStageOrphans has each upload that nobody can remove once, though the table is
// given up after it was staged.
func TestStageOrphans(t *testing.T) {
	for _, together := range []bool{false, true} {
		srv := newServer(t)
		srv.Fail(s3writertest.Fault{Op: "CreateMultipartUpload", Key: "good.csv", N: 1, When: s3writertest.After, Cut: true})
		srv.Fail(s3writertest.Fault{Op: "UploadPart", Key: "bad.csv", Code: "NoSuchUpload"})
		var opts []s3writer.Option
		if together {
			opts = append(opts, s3writer.WithAllOrNothing())
		}
		s, err := newWriter(t, srv, opts...).Stage(t.Context(), csv("good.csv", pattern(small)), csv("bad.csv", pattern(small)))
		if err == nil {
			t.Fatal("staged what has failed")
		}
		if o := s.Report().Orphans; len(o) != 1 || o[0].Key != "good.csv" || o[0].UploadID != "" {
			t.Errorf("together %v: orphans %+v", together, o)
		}
	}
}

// TestCommitWhenOneIsGone commits nothing, also of other documents.
func TestCommitWhenOneIsGone(t *testing.T) {
	srv := newServer(t)
	w := newWriter(t, srv)
	a := stage(t, w, csv("a.csv", pattern(small)), csv("b.csv", pattern(large)))
	b := stage(t, w, csv("c.csv", pattern(small)))
	if err := w.Abort(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	report, err := w.Commit(t.Context(), a, b)
	wantText(t, err, `s3writer: table "c.csv": the staged upload is gone: it was committed or aborted before, or a lifecycle rule has removed it `+
		`(AWS says: NoSuchUpload: The specified upload does not exist. The upload ID may be invalid, or the upload may have been `+
		`aborted or completed., request ID X, upload ID X)`)
	wantInvisible(t, srv, 2)
	if report.Pending == nil || len(report.Pending.Report().Tables) != 3 {
		t.Fatalf("reported %+v", report)
	}
	if _, err := w.Commit(t.Context(), a); err != nil {
		t.Errorf("what is still there: %v", err)
	}
	_, err = w.Commit(t.Context(), a)
	if err == nil || !strings.Contains(err.Error(), "it was committed or aborted before") {
		t.Errorf("the second commit: %v", err)
	}
	wantObject(t, srv, "b.csv", pattern(large))
}

// TestCommitAtTheSameEndpoint however that is written.
func TestCommitAtTheSameEndpoint(t *testing.T) {
	srv := newServer(t)
	id, secret := srv.Credentials()
	staged := stage(t, newWriter(t, srv), csv("t.csv", pattern(small)))
	w, err := s3writer.New(t.Context(), bucket, s3writer.WithEndpoint(srv.URL+"/"), s3writer.WithCredentials(s3writer.StaticCredentials(id, secret, "")))
	if err != nil {
		t.Fatal(err)
	}
	defer w.CloseIdleConnections()
	if _, err := w.Commit(t.Context(), staged); err != nil {
		t.Error(err)
	}
	wantObject(t, srv, "t.csv", pattern(small))
}

// TestCommitRefusesDocuments that are not for this Writer.
func TestCommitRefusesDocuments(t *testing.T) {
	srv := newServer(t)
	valid, err := json.Marshal(stage(t, newWriter(t, srv), csv("t.csv", pattern(small))))
	if err != nil {
		t.Fatal(err)
	}
	twice := func(text string) []string { return []string{text, text} }
	replaced := func(old, new string) []string {
		if !strings.Contains(string(valid), old) {
			t.Fatalf("no %s in %s", old, valid)
		}
		return []string{strings.Replace(string(valid), old, new, 1)}
	}
	for _, test := range []struct {
		name string
		docs []string
		want string
	}{
		{"another bucket", replaced(`"bucket":"writer-sample"`, `"bucket":"other"`), `it was staged for bucket "other", and this Writer's is "writer-sample"`},
		{"another endpoint", replaced(srv.URL, "https://s3.example.com"), `it was staged for endpoint "https://s3.example.com", and this Writer's is "http://HOST"`},
		{"another region", replaced(`"region":"us-east-1"`, `"region":"eu-west-1"`), `it was staged for region "eu-west-1", and this Writer's is "us-east-1"`},
		{"another owner", replaced(`"bucket":`, `"owner":"123456789012","bucket":`), `it was staged for bucket owner "123456789012", and this Writer's is ""`},
		{"dry run", replaced(`"bucket":`, `"dryRun":true,"bucket":`), `it was staged by a dry run, which uploads nothing`},
		{"twice", twice(string(valid)), `object "t.csv" was staged twice`},
		{"none", nil, `nothing to write: no table was given`},
		{"null", []string{"null"}, `staged document 1 is empty: neither Stage nor Pending gives one, and JSON's null is none`},
	} {
		t.Run(test.name, func(t *testing.T) {
			var docs []*s3writer.Staged
			for _, text := range test.docs {
				s := new(s3writer.Staged)
				if err := json.Unmarshal([]byte(text), s); err != nil {
					t.Fatal(err)
				}
				docs = append(docs, s)
			}
			report, err := newWriter(t, srv).Commit(t.Context(), docs...)
			if report == nil || err == nil || !strings.HasPrefix(err.Error(), "s3writer: commit: ") || !strings.HasSuffix(text(err), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
			wantInvisible(t, srv, 1)
		})
	}
	for _, test := range []struct{ name, old, new, want string }{
		{"version", `"version":1`, `"version":2`, `s3writer: the staged document has version 2; this version of the library reads 1 to 1`},
		{"no document", `"version":1`, `"x":1`, `s3writer: this is no staged document: it has no version`},
		{"no JSON", `"version"`, `version`, `invalid character 'v' looking for beginning of object key string`},
		{"no upload ID", `"uploadId"`, `"x"`, `s3writer: the staged document is damaged: object "t.csv": it has no upload ID`},
		{"no parts", `"parts"`, `"x"`, `s3writer: the staged document is damaged: object "t.csv": it has no parts`},
		{"another part", `"number":1`, `"number":2`, `s3writer: the staged document is damaged: object "t.csv": part 1 has number 2`},
		{"a part less", `"partCount":1`, `"partCount":2`, `s3writer: the staged document is damaged: object "t.csv": it has 1 parts, and should have 2`},
		{"no key that there is", `"key":"t.csv","size"`, `"key":"../t.csv","size"`, `s3writer: the staged document is damaged: object "../t.csv": `},
	} {
		t.Run("damaged: "+test.name, func(t *testing.T) {
			err := json.Unmarshal([]byte(replaced(test.old, test.new)[0]), new(s3writer.Staged))
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// TestPending finishes a commit that failed half way, in this process or in
// another one, or gives it up.
func TestPending(t *testing.T) {
	for _, size := range []int{small, large} {
		for _, ending := range []string{"commit", "commit elsewhere", "abort"} {
			t.Run(fmt.Sprint(ending, " ", size), func(t *testing.T) {
				srv := newServer(t)
				op := "PutObject"
				if size == large {
					op = "CompleteMultipartUpload"
				}
				committed := make(chan struct{})
				srv.Fail(s3writertest.Fault{Op: "PutObject", Key: "ok.csv", When: s3writertest.After, Hook: sendHook(committed), Header: http.Header{"X-Test": {"1"}}})
				srv.Fail(s3writertest.Fault{Op: op, Key: "bad.csv", N: 1, Hang: committed, Status: http.StatusForbidden})
				w := newWriter(t, srv, s3writer.WithAllOrNothing())
				report, err := w.Write(t.Context(), csv("bad.csv", pattern(size)), csv("ok.csv", pattern(small)))
				if !errors.Is(err, s3writer.ErrPartialCommit) || report.Pending == nil {
					t.Fatalf("got %v, pending %v", err, report.Pending)
				}
				left := report.Pending.Report()
				if len(left.Tables) != 1 || left.Tables[0].Key != "bad.csv" || len(left.Tables[0].Objects) != 1 {
					t.Fatalf("pending is %+v", left)
				}
				wantObject(t, srv, "ok.csv", pattern(small))
				pending := report.Pending
				switch ending {
				case "abort":
					if err := w.Abort(t.Context(), pending); err != nil {
						t.Error(err)
					}
					s3writertest.AssertNoPartial(t, srv, bucket, map[string]string{"ok.csv": pattern(small)})
				case "commit elsewhere":
					pending, w = sent(t, pending), newWriter(t, srv)
					fallthrough
				default:
					report, err := w.Commit(t.Context(), pending)
					if err != nil || report.Pending != nil || report.Tables[0].Objects[0].State != s3writer.Committed {
						t.Errorf("reported %+v: %v", report, err)
					}
					wantObject(t, srv, "bad.csv", pattern(size))
				}
				s3writertest.AssertNoOrphans(t, srv, bucket)
			})
		}
	}
}

// TestPendingInDoubt is an object whose PutObject has lost its answer among others
// that were to be committed with it: once, they could not cross processes for its
// sake. It stays in doubt for others, and is sent again by its own Writer.
func TestPendingInDoubt(t *testing.T) {
	for _, where := range []string{"JSON", "another Writer", "another, all or nothing", "its own"} {
		t.Run(where, func(t *testing.T) {
			srv := newServer(t)
			lost := make(chan struct{})
			srv.Fail(s3writertest.Fault{Op: "PutObject", Key: "lost.csv", N: 1, When: s3writertest.After, Cut: true})
			srv.Fail(s3writertest.Fault{Op: "PutObject", Key: "lost.csv", N: 2, Status: http.StatusForbidden, Hook: sendHook(lost)})
			srv.Fail(s3writertest.Fault{Op: "HeadObject", Status: http.StatusForbidden})
			srv.Fail(s3writertest.Fault{Op: "PutObject", Key: "a.csv", Hang: lost, Status: http.StatusForbidden})
			srv.Fail(s3writertest.Fault{Op: "PutObject", Key: "z.csv", Hang: lost, Status: http.StatusForbidden})
			w := newWriter(t, srv, s3writer.WithAllOrNothing(), s3writer.WithConcurrency(8))
			report, err := w.Write(t.Context(), csv("a.csv", pattern(small)), csv("lost.csv", pattern(small)), csv("z.csv", pattern(small)))
			if !errors.Is(err, s3writer.ErrCommitUnknown) || report.Pending == nil {
				t.Fatalf("got %v, pending %v", err, report.Pending)
			}
			srv.ClearFaults()
			srv.Reset()
			pending := report.Pending
			switch where {
			case "JSON":
				pending = sent(t, sent(t, pending))
				w = newWriter(t, srv)
			case "another Writer":
				w = newWriter(t, srv)
			case "another, all or nothing":
				w = newWriter(t, srv, s3writer.WithAllOrNothing())
			}
			report, err = w.Commit(t.Context(), pending)
			states := fmt.Sprint(report.Tables[0].Objects[0].State, report.Tables[1].Objects[0].State, report.Tables[2].Objects[0].State)
			if where == "its own" {
				if err != nil || states != "committed committed committed" || srv.Count("PutObject") != 1 {
					t.Errorf("got %v, %s", err, states)
				}
				return
			}
			if !errors.Is(err, s3writer.ErrCommitUnknown) || states != "committed unknown committed" {
				t.Errorf("got %v, %s", err, states)
			}
			if want := "s3://writer-sample/lost.csv may be there (10 bytes, "; !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "only the process that sent it had the bytes") {
				t.Errorf("got %v, want %s", err, want)
			}
			wantObject(t, srv, "a.csv", pattern(small))
			wantObject(t, srv, "z.csv", pattern(small))
			if report.Pending == nil || len(report.Pending.Report().Tables) != 1 {
				t.Fatalf("pending is %+v", report.Pending)
			}
			if err := w.Abort(t.Context(), sent(t, report.Pending)); err != nil {
				t.Error(err)
			}
			wantObject(t, srv, "lost.csv", pattern(small))
			s3writertest.AssertNoOrphans(t, srv, bucket)
		})
	}
}

// TestPendingInMemory is what no server took: it is committed by the Writer
// that has it, or aborted, but cannot travel.
func TestPendingInMemory(t *testing.T) {
	srv := newServer(t)
	committed := make(chan struct{})
	srv.Fail(s3writertest.Fault{Op: "PutObject", Key: "ok.csv", When: s3writertest.After, Hook: sendHook(committed), Header: http.Header{"X-Test": {"1"}}})
	srv.Fail(s3writertest.Fault{Op: "PutObject", Key: "bad.csv", Hang: committed, Status: http.StatusForbidden})
	srv.Fail(s3writertest.Fault{Op: "CreateMultipartUpload", Key: "bad.csv", Status: http.StatusForbidden})
	w := newWriter(t, srv, s3writer.WithAllOrNothing())
	report, err := w.Write(t.Context(), csv("bad.csv", pattern(small)), csv("ok.csv", pattern(small)))
	if !errors.Is(err, s3writer.ErrPartialCommit) || report.Pending == nil {
		t.Fatalf("got %v, pending %v", err, report.Pending)
	}
	_, err = json.Marshal(report.Pending)
	if want := `object "bad.csv" could not be uploaded and is in the memory of this process: commit or abort it here`; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	_, err = newWriter(t, srv).Commit(t.Context(), report.Pending)
	wantText(t, err, `s3writer: commit: staged document 1: s3writer: table "bad.csv": its bytes are in the memory of another Writer, which alone can commit or abort it`)
	again, err := w.Commit(t.Context(), report.Pending)
	if !errors.Is(err, s3writer.ErrAccessDenied) || again.Pending == nil {
		t.Errorf("as long as it is refused: %v, pending %v", err, again.Pending)
	}
	srv.ClearFaults()
	if _, err := w.Commit(t.Context(), again.Pending); err != nil {
		t.Error(err)
	}
	wantObject(t, srv, "bad.csv", pattern(small))
	s3writertest.AssertNoOrphans(t, srv, bucket)
}

// TestTermsTravel: who pays, and whose the bucket must be, are said by every request for
// an object, and were forgotten by the document and by what could not be cleaned up.
func TestTermsTravel(t *testing.T) {
	for _, elsewhere := range []bool{false, true} {
		t.Run(fmt.Sprint("elsewhere ", elsewhere), func(t *testing.T) {
			srv := newServer(t)
			table := csv("ok.csv", pattern(small))
			table.ObjectInput = func(in *s3.CreateMultipartUploadInput) {
				in.RequestPayer, in.ExpectedBucketOwner = types.RequestPayerRequester, aws.String(s3writertest.DefaultOwner)
			}
			orphan := table
			orphan.Key, orphan.Source = "orphan.csv", strings.NewReader(pattern(small))
			srv.Fail(s3writertest.Fault{Op: "UploadPart", Key: "orphan.csv", Status: http.StatusForbidden})
			srv.Fail(s3writertest.Fault{Op: "AbortMultipartUpload", Key: "orphan.csv", Status: http.StatusForbidden})
			w := newWriter(t, srv)
			staged, err := w.Stage(t.Context(), table, orphan)
			if err == nil || len(staged.Report().Orphans) != 1 {
				t.Fatalf("staged with %v, orphans %v", err, staged.Report().Orphans)
			}
			srv.ClearFaults()
			if elsewhere {
				staged, w = sent(t, staged), newWriter(t, srv)
			}
			if _, err := w.Commit(t.Context(), staged); err != nil {
				t.Error(err)
			}
			if err := w.Abort(t.Context(), staged); err != nil {
				t.Error(err)
			}
			ops := map[string]bool{}
			for _, r := range srv.Requests() {
				ops[r.Op] = true
				payer, owner := r.Header.Get("X-Amz-Request-Payer"), r.Header.Get("X-Amz-Expected-Bucket-Owner")
				if payer != "requester" || owner != s3writertest.DefaultOwner {
					t.Errorf("%s of %s is paid by %q, in a bucket of %q", r.Op, r.Key, payer, owner)
				}
			}
			if !ops["CompleteMultipartUpload"] || !ops["AbortMultipartUpload"] {
				t.Errorf("the requests are %v", ops)
			}
			s3writertest.AssertNoOrphans(t, srv, bucket)
		})
	}
}

// TestPendingUnknown settles what nobody knew.
func TestPendingUnknown(t *testing.T) {
	for _, size := range []int{small, large} {
		for _, done := range []bool{false, true} {
			t.Run(fmt.Sprint(size, " done ", done), func(t *testing.T) {
				srv := newServer(t)
				op := "PutObject"
				if size == large {
					op = "CompleteMultipartUpload"
				}
				when := s3writertest.Before
				if done {
					when = s3writertest.After
				}
				srv.Fail(s3writertest.Fault{Op: op, N: 1, When: when, Cut: true})
				srv.Fail(s3writertest.Fault{Op: op, N: 2, Times: 1, Status: http.StatusForbidden})
				srv.Fail(s3writertest.Fault{Op: "HeadObject", Status: http.StatusForbidden}) // nor may anybody look
				w := newWriter(t, srv)
				report, err := w.Write(t.Context(), csv("t.csv", pattern(size)))
				if !errors.Is(err, s3writer.ErrCommitUnknown) || report.Pending == nil {
					t.Fatalf("got %v, pending %v", err, report.Pending)
				}
				if o := report.Pending.Report().Tables[0].Objects[0]; o.State != s3writer.Unknown {
					t.Errorf("pending is %+v", o)
				}
				report, err = w.Commit(t.Context(), report.Pending)
				if err != nil || report.Tables[0].Objects[0].State != s3writer.Committed || report.Pending != nil {
					t.Errorf("reported %+v: %v", report, err)
				}
				wantObject(t, srv, "t.csv", pattern(size))
				s3writertest.AssertNoOrphans(t, srv, bucket)
			})
		}
	}
}

// TestStagedSecrets keeps the customer's key out of the document, and finds it
// again in the Writer that commits.
func TestStagedSecrets(t *testing.T) {
	const key, md5 = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "KYvwGXoFFJ42a2u2GDWhwQ=="
	encrypted := func(in *s3.CreateMultipartUploadInput) {
		in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = aws.String("AES256"), aws.String(key), aws.String(md5)
		in.RequestPayer = types.RequestPayerRequester
	}
	for _, elsewhere := range []bool{false, true} {
		t.Run(fmt.Sprint("elsewhere ", elsewhere), func(t *testing.T) {
			srv := s3writertest.NewTLSServer(bucket)
			t.Cleanup(srv.Close)
			table := csv("t.csv", pattern(large))
			table.ObjectInput = encrypted
			tls := s3writer.WithAWSConfig(srv.Config())
			w := mustNew(t, tls)
			s := stage(t, w, table)
			document, err := json.Marshal(s)
			if err != nil || strings.Contains(string(document), key) || strings.Contains(fmt.Sprintf("%+v %#v", s, s), key) {
				t.Errorf("the key is in the document: %s %v", document, err)
			}
			if elsewhere {
				s, w = sent(t, s), mustNew(t, tls, s3writer.WithObjectInput(encrypted))
			}
			srv.Reset()
			if _, err := w.Commit(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if n := len(srv.Requests()); n != 2 {
				t.Errorf("%d requests, want one that asks and one that commits", n)
			}
			for _, r := range srv.Requests() {
				if r.Header.Get("X-Amz-Server-Side-Encryption-Customer-Key") != key || r.Header.Get("X-Amz-Request-Payer") != "requester" {
					t.Errorf("%s has the headers %v", r.Op, r.Header)
				}
			}
			wantObject(t, srv, "t.csv", pattern(large))
		})
	}
}

// TestStageDry uploads nothing and commits nothing.
func TestStageDry(t *testing.T) {
	srv := newServer(t)
	w := newWriter(t, srv, s3writer.WithDryRun())
	s := sent(t, stage(t, w, csv("t.csv", pattern(small))))
	report, err := w.Commit(t.Context(), s)
	if err != nil || len(report.Tables) != 1 || report.Tables[0].Objects[0].State != s3writer.Pending || report.Pending != nil {
		t.Errorf("reported %+v: %v", report, err)
	}
	if err := w.Abort(t.Context(), s); err != nil {
		t.Error(err)
	}
	if n := len(srv.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// TestStageCancelled leaves nothing behind.
func TestStageCancelled(t *testing.T) {
	for _, op := range []string{"CreateMultipartUpload", "UploadPart"} {
		t.Run(op, func(t *testing.T) {
			srv := newServer(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			srv.Fail(s3writertest.Fault{Op: op, N: 1, Hook: func(*http.Request) { cancel() }, Hang: t.Context().Done()})
			s, err := newWriter(t, srv).Stage(ctx, csv("a.csv", pattern(small)))
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want context.Canceled", err)
			}
			wantAccounted(t, srv, s.Report())
		})
	}
}

// TestStageKeepsNoMemory stages more than the budget, again and again, before
// anything is committed.
func TestStageKeepsNoMemory(t *testing.T) {
	srv := newServer(t)
	w := newWriter(t, srv, s3writer.WithMemory(16<<20))
	var staged []*s3writer.Staged
	for i := range 6 {
		staged = append(staged, stage(t, w, csv(fmt.Sprintf("%d.csv", i), pattern(4<<20))))
	}
	report, err := w.Commit(t.Context(), staged...)
	if err != nil || len(report.Tables) != 6 {
		t.Errorf("reported %+v: %v", report, err)
	}
	if n := len(srv.Keys(bucket)); n != 6 {
		t.Errorf("%d objects", n)
	}
}

// TestCommitKeepsItsCare keeps what a document asks for through a Writer that
// does not, and tells of what it cannot do.
func TestCommitKeepsItsCare(t *testing.T) {
	t.Run("no overwrite", func(t *testing.T) {
		srv := newServer(t)
		doc := sent(t, stage(t, newWriter(t, srv, s3writer.WithNoOverwrite()), csv("a.csv", "id\nours\n")))
		srv.Fail(s3writertest.Fault{Op: "CompleteMultipartUpload", N: 1, Status: http.StatusForbidden})
		report, err := newWriter(t, srv).Commit(t.Context(), doc)
		if err == nil || report.Pending == nil {
			t.Fatalf("got %v, pending %v", err, report.Pending)
		}
		write(t, newWriter(t, srv), csv("a.csv", "id\ntheirs\n"))
		if _, err := newWriter(t, srv).Commit(t.Context(), sent(t, report.Pending)); !errors.Is(err, s3writer.ErrExists) {
			t.Errorf("got %v, want ErrExists", err)
		}
		wantObject(t, srv, "a.csv", "id\ntheirs\n")
	})
	t.Run("an ObjectInput that fails", func(t *testing.T) {
		srv := newServer(t)
		doc := sent(t, stage(t, newWriter(t, srv), csv("a.csv", "id\n")))
		w := newWriter(t, srv, s3writer.WithObjectInput(func(*s3.CreateMultipartUploadInput) { panic("no key") }))
		if err := w.Abort(t.Context(), doc); err == nil || !strings.Contains(err.Error(), "no key") {
			t.Errorf("Abort: %v, with an upload that is open", err)
		}
		wantInvisible(t, srv, 1)
	})
	t.Run("the report is the caller's", func(t *testing.T) {
		srv := newServer(t)
		s := stage(t, newWriter(t, srv), csv("t.csv", "id,k\n1,a\n2,b\n3,b\n", s3writer.PartitionBy("k")))
		slices.Reverse(s.Report().Tables[0].Objects)
		if _, err := newWriter(t, srv).Commit(t.Context(), sent(t, s)); err != nil {
			t.Error(err)
		}
		wantObject(t, srv, "k=b/t-00001.csv", "id\n2\n3\n")
	})
	t.Run("another document's upload is gone", func(t *testing.T) {
		srv := newServer(t)
		w := newWriter(t, srv)
		a, b := stage(t, w, csv("a.csv", "id\n")), stage(t, w, csv("b.csv", "id\n"))
		if err := w.Abort(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		report, _ := w.Commit(t.Context(), a, b)
		wantText(t, report.Tables[1].Err, `s3writer: table "b.csv": not delivered: table "a.csv" cannot be committed, and then nothing is`)
	})
}

// panicking is a client that panics where an object would become visible.
type panicking struct{ s3writer.Client }

func (panicking) PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	panic("the line is dead")
}

func (panicking) CompleteMultipartUpload(context.Context, *s3.CompleteMultipartUploadInput, ...func(*s3.Options)) (*s3.CompleteMultipartUploadOutput, error) {
	panic("the line is dead")
}

// TestPanicInCommit makes what panics in a client an error, also where it is a
// goroutine of ours that calls it.
func TestPanicInCommit(t *testing.T) {
	srv := newServer(t)
	w := mustNew(t, s3writer.WithClient(panicking{s3.NewFromConfig(srv.Config(), func(o *s3.Options) { o.UsePathStyle = true })}))
	for _, size := range []int{small, large} {
		_, err := w.Write(t.Context(), csv("a.csv", pattern(size)))
		if err == nil || !strings.HasPrefix(err.Error(), `s3writer: table "a.csv": `) || !strings.Contains(err.Error(), "the line is dead") {
			t.Errorf("got %v", err)
		}
	}
	s3writertest.AssertNoPartial(t, srv, bucket, nil)
}

// TestStagedByValue is JSON too.
func TestStagedByValue(t *testing.T) {
	s := stage(t, newWriter(t, newServer(t)), csv("a.csv", "id\n"))
	text, err := json.Marshal(struct{ Doc s3writer.Staged }{*s})
	if err != nil || !strings.Contains(string(text), "uploadId") {
		t.Errorf("%s %v", text, err)
	}
}
