package s3writer_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

// A commit that cannot begin gives back what it was given.
func TestCommitThatCannotBeginKeepsWhatIsStaged(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		name string
		ctx  context.Context
		fail func(*s3writertest.Server)
		want error
	}{
		{"cancelled", cancelled, func(*s3writertest.Server) {}, context.Canceled},
		{"no region", t.Context(), func(srv *s3writertest.Server) {
			srv.Fail(s3writertest.Fault{Op: "GetBucketLocation", Status: http.StatusForbidden})
			srv.Fail(s3writertest.Fault{Op: "HeadBucket", Status: http.StatusBadRequest})
		}, nil},
	} {
		for _, connected := range []bool{false, true} {
			if connected && test.want == nil {
				continue // it knows the region
			}
			t.Run(test.name, func(t *testing.T) {
				srv := newAmazon(t, "eu-central-1")
				w := newDotted(t, s3writer.WithAWSConfig(asAWS(srv)))
				one, two := stage(t, w, csv("one.csv", "id\n1\n")), stage(t, w, csv("two.csv", "id\n2\n"))
				if !connected {
					w = newDotted(t, s3writer.WithAWSConfig(asAWS(srv)))
				}
				test.fail(srv)
				report, err := w.Commit(test.ctx, one, nil, two)
				if err == nil || !errors.Is(err, test.want) && test.want != nil || report.Pending == nil {
					t.Fatalf("Pending is %v: %v", report.Pending, err)
				}
				srv.ClearFaults()
				report, err = w.Commit(t.Context(), sent(t, report.Pending))
				if err != nil || len(report.Tables) != 2 {
					t.Errorf("%d tables: %v", len(report.Tables), err)
				}
			})
		}
	}
}

// A Writer of the same options commits and aborts what was staged in a region that
// the server has named, and the other way round.
func TestTwinCommitsWhatWasStagedElsewhere(t *testing.T) {
	for _, test := range []struct {
		name           string
		stages, commit []s3writer.Option
	}{
		{"neither knows", nil, nil},
		{"who commits knows", nil, []s3writer.Option{s3writer.WithRegion("eu-central-1")}},
		{"who stages knows", []s3writer.Option{s3writer.WithRegion("eu-central-1")}, []s3writer.Option{s3writer.WithRegion("eu-central-1")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			srv.SetRegion(bucket, "eu-central-1")
			w := newWriter(t, srv, test.stages...)
			s, other := stage(t, w, csv("t.csv", "id\n1\n")), stage(t, w, csv("other.csv", "id\n1\n"))
			if _, err := newWriter(t, srv, test.commit...).Commit(t.Context(), sent(t, s)); err != nil {
				t.Error(err)
			}
			wantObject(t, srv, "t.csv", "id\n1\n")
			if err := newWriter(t, srv, test.commit...).Abort(t.Context(), sent(t, other)); err != nil {
				t.Error(err)
			}
			if open := srv.Uploads(bucket); len(open) > 0 {
				t.Errorf("open uploads: %v", open)
			}
		})
	}
}

// A table that came to no object is delivered by a commit as by Write.
func TestCommitOfATableWithoutObjects(t *testing.T) {
	srv := newServer(t)
	w := newWriter(t, srv)
	s := stage(t, w, csv("parts.csv", "id,k\n", s3writer.PartitionBy("k")))
	report, err := w.Commit(t.Context(), sent(t, s))
	if err != nil || len(report.Tables) != 1 || report.Tables[0].Key != "parts.csv" || report.Pending != nil {
		t.Errorf("%+v: %v", report, err)
	}
	if err := w.Abort(t.Context(), s); err != nil {
		t.Error(err)
	}
}

// half is a Writer that has committed ok.csv and not bad.csv, whose bytes it has.
func half(t *testing.T, srv *s3writertest.Server, faults ...s3writertest.Fault) (*s3writer.Writer, *s3writer.Report) {
	t.Helper()
	committed := make(chan struct{})
	srv.Fail(s3writertest.Fault{Op: "PutObject", Key: "ok.csv", When: s3writertest.After, Hook: sendHook(committed), Header: http.Header{"X-Test": {"1"}}})
	srv.Fail(s3writertest.Fault{Op: "PutObject", Key: "bad.csv", Hang: committed, Status: http.StatusForbidden})
	for _, f := range faults {
		srv.Fail(f)
	}
	w := newWriter(t, srv, s3writer.WithAllOrNothing())
	report, err := w.Write(t.Context(), csv("bad.csv", pattern(small)), csv("ok.csv", pattern(small)))
	if !errors.Is(err, s3writer.ErrPartialCommit) || report.Pending == nil {
		t.Fatalf("Pending is %v: %v", report.Pending, err)
	}
	return w, report
}

// An upload that was opened to keep an object, and could not be removed, is reported.
func TestKeepingAnObjectReportsItsUpload(t *testing.T) {
	srv := newServer(t)
	_, report := half(t, srv,
		s3writertest.Fault{Op: "UploadPart", Key: "bad.csv", Status: http.StatusForbidden},
		s3writertest.Fault{Op: "AbortMultipartUpload", Status: http.StatusForbidden})
	if open := srv.Uploads(bucket); len(open) != 1 || len(report.Orphans) != 1 || report.Orphans[0].UploadID != open[0].UploadID {
		t.Errorf("open uploads %v, orphans %v", open, report.Orphans)
	}
}

// A second commit of what was in memory says what the first one came to.
func TestCommitAgainOfWhatWasInMemory(t *testing.T) {
	srv := newServer(t)
	w, first := half(t, srv, s3writertest.Fault{Op: "CreateMultipartUpload", Key: "bad.csv", Status: http.StatusForbidden})
	srv.ClearFaults()
	var tags []string
	for range 2 {
		report, err := w.Commit(t.Context(), first.Pending)
		if err != nil {
			t.Fatal(err)
		}
		o := report.Tables[0].Objects[0]
		if tags = append(tags, o.ETag); o.State != s3writer.Committed || report.Pending != nil || o.ETag == "" || o.ETag != tags[0] {
			t.Errorf("%+v", o)
		}
	}
}

// unknown is a Writer whose commit of t.csv has an outcome that nobody knows.
func unknown(t *testing.T, srv *s3writertest.Server, opts ...s3writer.Option) (*s3writer.Writer, *s3writer.Report) {
	t.Helper()
	srv.Fail(s3writertest.Fault{Op: "CompleteMultipartUpload", N: 1, Cut: true})
	srv.Fail(s3writertest.Fault{Op: "CompleteMultipartUpload", N: 2, Times: 1, Status: http.StatusForbidden})
	srv.Fail(s3writertest.Fault{Op: "HeadObject", Status: http.StatusForbidden})
	w := newWriter(t, srv, opts...)
	report, err := w.Write(t.Context(), csv("t.csv", pattern(large)))
	if !errors.Is(err, s3writer.ErrCommitUnknown) || report.Pending == nil || len(report.Orphans) != 1 {
		t.Fatalf("%+v: %v", report, err)
	}
	return w, report
}

// What turns out to be somebody else's object is not in doubt any more.
func TestDoubtEndsWithCertainty(t *testing.T) {
	srv := newServer(t)
	w, report := unknown(t, srv, s3writer.WithNoOverwrite())
	srv.Put(bucket, "t.csv", []byte("somebody else's"))
	srv.ClearFaults()
	report, err := w.Commit(t.Context(), report.Pending)
	if !errors.Is(err, s3writer.ErrExists) || errors.Is(err, s3writer.ErrCommitUnknown) || len(report.Orphans) > 0 {
		t.Fatalf("orphans %v: %v", report.Orphans, err)
	}
	for where, r := range map[string]*s3writer.Report{"report": report, "Pending": report.Pending.Report(), "JSON": sent(t, report.Pending).Report()} {
		if o := r.Tables[0].Objects[0]; o.State != s3writer.Pending {
			t.Errorf("%s: %v", where, o.State)
		}
	}
}

// An object in doubt stays an orphan while commits that fail elsewhere leave it alone.
func TestDoubtLastsUntilTheNextCommit(t *testing.T) {
	srv := newServer(t)
	w, report := unknown(t, srv)
	other := stage(t, w, csv("other.csv", "id\n"))
	for _, pending := range []*s3writer.Staged{report.Pending, sent(t, report.Pending)} {
		srv.Fail(s3writertest.Fault{Op: "UploadPart", Code: "NoSuchUpload"})
		report, err := w.Commit(t.Context(), pending, other)
		if err == nil || len(report.Orphans) != 1 || report.Orphans[0].Key != "t.csv" || report.Orphans[0].Err == nil {
			t.Errorf("orphans %v: %v", report.Orphans, err)
		}
	}
}

// Each object keeps the care that it was staged with.
func TestCareIsOfEachObject(t *testing.T) {
	srv := newServer(t)
	srv.Put(bucket, "plain.csv", []byte("old"))
	srv.Put(bucket, "careful.csv", []byte("old"))
	careful := stage(t, newWriter(t, srv, s3writer.WithNoOverwrite()), csv("careful.csv", "id\n"))
	w := newWriter(t, srv)
	plain := stage(t, w, csv("plain.csv", "id\n"))
	srv.Fail(s3writertest.Fault{Op: "UploadPart", Status: http.StatusForbidden}) // they are not asked for
	report, err := w.Commit(t.Context(), careful, plain)
	if err == nil || report.Pending == nil {
		t.Fatalf("got %v", err)
	}
	srv.ClearFaults()
	if _, err = w.Commit(t.Context(), sent(t, report.Pending)); !errors.Is(err, s3writer.ErrExists) {
		t.Errorf("got %v", err)
	}
	wantObject(t, srv, "careful.csv", "old")
	wantObject(t, srv, "plain.csv", "id\n")
}

// A document that was committed before, by somebody who did not live to tell, cannot be
// committed again; whether its objects are there is not known.
func TestCommitOfWhatIsGone(t *testing.T) {
	srv := newServer(t)
	w := newWriter(t, srv)
	first, other := stage(t, w, csv("a.csv", "id\n"), csv("b.csv", pattern(large))), stage(t, w, csv("c.csv", "id\n"))
	doc := sent(t, first)
	if _, err := w.Commit(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	report, err := newWriter(t, srv).Commit(t.Context(), doc)
	if !errors.Is(err, s3writer.ErrCommitUnknown) || !strings.Contains(err.Error(), "the staged upload is gone: it was committed or aborted before") {
		t.Errorf("got %v", err)
	}
	if report.Pending == nil || len(report.Orphans) > 0 {
		t.Errorf("Pending is %v, orphans %v", report.Pending, report.Orphans)
	}
	for _, table := range report.Tables {
		if o := table.Objects[0]; o.State != s3writer.Unknown || o.Err == nil {
			t.Errorf("%s is %v: %v", o.Key, o.State, o.Err)
		}
	}
	report, err = w.Commit(t.Context(), doc, other)
	for range 2 { // and never a part
		if err == nil || report.Pending == nil || report.Tables[2].Objects[0].State != s3writer.Pending {
			t.Fatalf("%+v: %v", report, err)
		}
		report, err = w.Commit(t.Context(), sent(t, report.Pending))
	}
	if err := w.Abort(t.Context(), report.Pending); err != nil {
		t.Error(err)
	}
	if open := srv.Uploads(bucket); len(open) > 0 || len(srv.Keys(bucket)) != 2 {
		t.Errorf("open uploads %v, objects %q", open, srv.Keys(bucket))
	}
}

// Two objects that may be there, and none that is, are in doubt and not a part.
func TestTwoInDoubtAreNoPartialCommit(t *testing.T) {
	srv := newServer(t)
	var both sync.WaitGroup
	both.Add(2)
	for _, key := range []string{"a.csv", "b.csv"} {
		srv.Fail(s3writertest.Fault{Op: "PutObject", Key: key, N: 1, Cut: true, Hook: func(*http.Request) { both.Done(); both.Wait() }})
		srv.Fail(s3writertest.Fault{Op: "PutObject", Key: key, N: 2, Times: 1, Status: http.StatusForbidden})
	}
	_, err := newWriter(t, srv, s3writer.WithAllOrNothing()).Write(t.Context(), csv("a.csv", "id\n1\n"), csv("b.csv", "id\n2\n"))
	if !errors.Is(err, s3writer.ErrCommitUnknown) || errors.Is(err, s3writer.ErrPartialCommit) {
		t.Errorf("got %v", err)
	}
}

// Abort removes two uploads of one object, and tells progress of tables alone.
func TestAbortOfTwoUploadsOfOneObject(t *testing.T) {
	srv := newServer(t)
	w := newWriter(t, srv, s3writer.WithProgress(func(p s3writer.Progress) {
		if p.Table == "" {
			t.Errorf("told of %+v", p)
		}
	}))
	one, two := stage(t, w, csv("t.csv", "id\n1\n")), stage(t, w, csv("t.csv", "id\n2\n"))
	if err := w.Abort(t.Context(), one, two); err != nil {
		t.Error(err)
	}
	if open := srv.Uploads(bucket); len(open) > 0 {
		t.Errorf("open uploads: %v", open)
	}
}

// Abort says what nobody can remove.
func TestAbortNamesWhatHasNoUploadID(t *testing.T) {
	srv := newServer(t)
	srv.Fail(s3writertest.Fault{Op: "CreateMultipartUpload", N: 1, Cut: true, When: s3writertest.After})
	srv.Fail(s3writertest.Fault{Op: "UploadPart", Status: http.StatusForbidden})
	w := newWriter(t, srv)
	s, err := w.Stage(t.Context(), csv("t.csv", "id\n1\n"))
	if err == nil {
		t.Fatal("it was staged")
	}
	srv.ClearFaults()
	if err := w.Abort(t.Context(), s); len(srv.Uploads(bucket)) != 1 || err == nil || !strings.Contains(err.Error(), "whose ID nobody knows") {
		t.Errorf("%d uploads are open: %v", len(srv.Uploads(bucket)), err)
	}
}

func TestStagedFromNull(t *testing.T) {
	s := stage(t, newWriter(t, newServer(t)), csv("t.csv", "id\n"))
	if err := json.Unmarshal([]byte("null"), s); err != nil || len(s.Report().Tables) != 1 {
		t.Errorf("%+v: %v", s.Report(), err)
	}
}
