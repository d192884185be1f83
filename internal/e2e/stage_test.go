package e2e

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/seed149ec23d/s3writer"
)

// testStage stages in one Writer and commits in another, which has nothing but
// the document.
func testStage(t *testing.T, to *target) {
	d := deliverTo(t, to)
	small, large := sample(40, 1000), sample(41, 17*mib)
	staged, err := d.writer().Stage(t.Context(),
		s3writer.NewTable("small.csv", bytes.NewReader(small)),
		s3writer.NewTable("large.csv", ofUnknownLength(large)),
		s3writer.NewTable("empty.csv", strings.NewReader("")))
	if err != nil {
		t.Fatal(err)
	}
	d.wantKeys()
	document, err := json.Marshal(staged)
	if err != nil {
		t.Fatal(err)
	}
	received := new(s3writer.Staged)
	if err := json.Unmarshal(document, received); err != nil {
		t.Fatal(err)
	}
	report, err := d.writer().Commit(t.Context(), received)
	if err != nil || report.Pending != nil {
		t.Fatalf("commit: %v, reported %+v", err, report)
	}
	d.want("small.csv", small)
	d.want("large.csv", large)
	d.want("empty.csv", nil)
}

// testAbortStaged commits nothing when an upload is gone, and then removes the
// rest, where the server lets who has begun an upload abort it.
func testAbortStaged(t *testing.T, to *target) {
	d := deliverTo(t, to)
	w := d.writer()
	stage := func(key string) *s3writer.Staged {
		staged, err := w.Stage(t.Context(), s3writer.NewTable(key, bytes.NewReader(sample(42, 1000))))
		if err != nil {
			t.Fatal(err)
		}
		return staged
	}
	kept, committed := stage("kept.csv"), stage("committed.csv")
	if _, err := w.Commit(t.Context(), committed); err != nil {
		t.Fatal(err)
	}
	report, err := w.Commit(t.Context(), kept, committed)
	mustContain(t, err, "committed.csv", "the staged upload is gone")
	if report.Pending == nil {
		t.Error("nothing is pending")
	}
	d.wantKeys("committed.csv")
	if err := w.Abort(t.Context(), kept); err != nil {
		mustContain(t, err, "s3:AbortMultipartUpload", "kept.csv")
	} else if _, err := w.Commit(t.Context(), kept); err == nil {
		t.Error("what was aborted could be committed")
	}
	d.wantKeys("committed.csv")
}
