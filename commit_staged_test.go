package s3writer_test

import (
	"context"
	"errors"
	"net/http"
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
