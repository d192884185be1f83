package e2e

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/seed149ec23d/s3writer"
)

var errSource = errors.New("the cursor was closed")

func testBucketOwner(t *testing.T, to *target) {
	d := deliverTo(t, to)
	table := sample(10, 1000)
	var delivered []string
	if to.owner != "" {
		d.write(d.writer(s3writer.WithBucketOwner(to.owner)), s3writer.NewTable("right.csv", bytes.NewReader(table)))
		d.want("right.csv", table)
		delivered = append(delivered, "right.csv")
	}
	if !to.checksOwner {
		return
	}
	_, err := d.writer(s3writer.WithBucketOwner("999999999999")).Write(t.Context(),
		s3writer.NewTable("wrong.csv", bytes.NewReader(table)),
		s3writer.NewTable("wrong-large.csv", ofUnknownLength(sample(11, 17*mib))))
	if !errors.Is(err, s3writer.ErrAccessDenied) {
		t.Errorf("wrong owner: got %v, want access denied", err)
	}
	d.wantKeys(delivered...)
}

func testNoOverwrite(t *testing.T, to *target) {
	d := deliverTo(t, to)
	first := sample(12, 1000)
	w := d.writer(s3writer.WithNoOverwrite())
	d.write(w, s3writer.NewTable("orders.csv", bytes.NewReader(first)))

	_, err := w.Write(t.Context(), s3writer.NewTable("orders.csv", bytes.NewReader(sample(13, 2000))))
	if !errors.Is(err, s3writer.ErrExists) {
		t.Errorf("second delivery: got %v, want ErrExists", err)
	}
	mustContain(t, err, "orders.csv")
	d.want("orders.csv", first)
}

func testNoOverwriteMultipart(t *testing.T, to *target) {
	d := deliverTo(t, to)
	first := sample(14, 17*mib)
	w := d.writer(s3writer.WithNoOverwrite())
	d.write(w, s3writer.NewTable("orders.csv", ofUnknownLength(first)))

	report, err := w.Write(t.Context(), s3writer.NewTable("orders.csv", ofUnknownLength(sample(15, 18*mib))))
	if !errors.Is(err, s3writer.ErrExists) {
		t.Errorf("second delivery: got %v, want ErrExists", err)
	}
	d.want("orders.csv", first)
	d.wantOrphans(report, "orders.csv")
}

func testAllOrNothing(t *testing.T, to *target) {
	d := deliverTo(t, to)
	report, err := d.writer(s3writer.WithAllOrNothing()).Write(t.Context(),
		s3writer.NewTable("small.csv", bytes.NewReader(sample(16, 1000))),
		s3writer.NewTable("large.csv", ofUnknownLength(sample(17, 17*mib))),
		s3writer.NewTable("failing.csv", failingHalfWay(sample(18, 1000))))
	if !errors.Is(err, errSource) {
		t.Errorf("got %v, want the source's error", err)
	}
	d.wantKeys()
	d.wantOrphans(report, "small.csv", "large.csv", "failing.csv")
}

func testOneTableFails(t *testing.T, to *target) {
	d := deliverTo(t, to)
	table := sample(19, 1000)
	report, err := d.writer().Write(t.Context(),
		s3writer.NewTable("good.csv", bytes.NewReader(table)),
		s3writer.NewTable("failing.csv", failingHalfWay(sample(20, 1000))))
	if !errors.Is(err, errSource) {
		t.Errorf("got %v, want the source's error", err)
	}
	mustContain(t, err, `table "failing.csv"`)
	d.wantKeys("good.csv")
	d.want("good.csv", table)
	if report.Tables[0].Err != nil || !errors.Is(report.Tables[1].Err, errSource) {
		t.Errorf("reported %v and %v", report.Tables[0].Err, report.Tables[1].Err)
	}
}

// failingHalfWay is a source that fails after its first half, without waiting for anything.
func failingHalfWay(table []byte) *gate {
	g := newGate(table, errSource)
	close(g.open)
	return g
}

func testCancel(t *testing.T, to *target) {
	d := deliverTo(t, to)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	source := newGate(sample(21, 26*mib), nil) // stays closed while Write runs: a Read that blocks
	defer close(source.open)
	report, err := d.interrupt(ctx, d.writer(), s3writer.NewTable("orders.csv", source), cancel)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	d.wantKeys()
	d.wantOrphans(report, "orders.csv")
}

func testSourceFails(t *testing.T, to *target) {
	d := deliverTo(t, to)
	source := newGate(sample(22, 26*mib), errSource)
	table := s3writer.NewTable("orders.csv", source, s3writer.Select("id", "name", "amount"))
	report, err := d.interrupt(t.Context(), d.writer(), table, func() { close(source.open) })
	if !errors.Is(err, errSource) {
		t.Errorf("got %v, want the source's error", err)
	}
	mustContain(t, err, `table "orders.csv"`, errSource.Error())
	d.wantKeys()
	d.wantOrphans(report, "orders.csv")
}

func testProcessorFails(t *testing.T, to *target) {
	d := deliverTo(t, to)
	var uploading atomic.Bool
	source := newGate(sample(23, 26*mib), nil)
	bad := errors.New("no exchange rate")
	table := s3writer.NewTable("orders.csv", source,
		s3writer.Derive("eur", func(r s3writer.Record) (s3writer.Value, error) {
			if uploading.Load() {
				return s3writer.Value{}, bad
			}
			return s3writer.Text(r.Get("amount")), nil
		}))
	report, err := d.interrupt(t.Context(), d.writer(), table, func() {
		uploading.Store(true)
		close(source.open)
	})
	var where *s3writer.Error
	if !errors.Is(err, bad) || !errors.As(err, &where) {
		t.Fatalf("got %v, want the callback's error in an *Error", err)
	}
	if where.Table != "orders.csv" || where.Step != 1 || where.Row == 0 {
		t.Errorf("the Error is of table %q, step %d, row %d", where.Table, where.Step, where.Row)
	}
	d.wantKeys()
	d.wantOrphans(report, "orders.csv")
}

// testExpiredSession has S3 say in the middle of an upload that the session is over: the Writer gets credentials
// anew and goes on.
func testExpiredSession(t *testing.T, to *target) {
	d := deliverTo(t, to)
	var told atomic.Bool
	d.wire.before = func(operation string) *http.Response {
		if operation == "UploadPart" && told.CompareAndSwap(false, true) {
			return refusal(http.StatusBadRequest, "ExpiredToken", "The provided token has expired.")
		}
		return nil
	}
	table := sample(24, 20*mib)
	report := d.write(d.writer(), s3writer.NewTable("orders.csv", ofUnknownLength(table)))

	d.want("orders.csv", table)
	d.wantReported(report.Tables[0].Objects[0])
}

func testUnknownKey(t *testing.T, to *target) {
	d := deliverTo(t, to)
	const secret = "not-the-secret-of-anyone"
	w := d.writer(s3writer.WithCredentials(s3writer.StaticCredentials("AKIAUNKNOWNUNKNOWN00", secret, "")))
	d.wantRefused(w, s3writer.ErrCredentials, secret)
}

// testRefusedAtStandstill has the upload refused while the next Read of the source takes for ever, as a slow query's
// may: Write does not wait for it.
func testRefusedAtStandstill(t *testing.T, to *target) {
	for name, processors := range map[string][]s3writer.Processor{
		"copy": nil, "chain": {s3writer.Select("id", "name", "amount")},
	} {
		t.Run(name, func(t *testing.T) {
			d := deliverTo(t, to)
			source := newGate(sample(37, 26*mib), nil)
			defer close(source.open)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			w := d.writer(s3writer.WithCredentials(s3writer.StaticCredentials("AKIAUNKNOWNUNKNOWN00", "nobody-s", "")))
			_, err := w.Write(ctx, s3writer.NewTable("orders.csv", source, processors...))
			if !errors.Is(err, s3writer.ErrCredentials) || ctx.Err() != nil {
				t.Errorf("got %v, want ErrCredentials at once", err)
			}
		})
	}
}

func testWrongSecret(t *testing.T, to *target) {
	d := deliverTo(t, to)
	const secret = "not-the-secret-of-this-user"
	w := d.writer(s3writer.WithCredentials(s3writer.StaticCredentials(to.keys.AccessKeyID, secret, "")))
	d.wantRefused(w, s3writer.ErrCredentials, secret)
}

func testDeniedBucket(t *testing.T, to *target) {
	denied := *to
	denied.bucket = otherBucket
	d := deliverTo(t, &denied)
	err := d.wantRefused(d.writer(), s3writer.ErrAccessDenied, to.keys.SecretAccessKey)
	mustContain(t, err, "s3:PutObject", "arn:aws:s3:::"+otherBucket+"/"+d.prefix)
}

func testMissingBucket(t *testing.T, to *target) {
	missing := *to
	missing.bucket = "writer-missing"
	d := deliverTo(t, &missing)
	_, err := d.writer().Write(t.Context(), s3writer.NewTable("orders.csv", bytes.NewReader(sample(25, 1000))))
	if !errors.Is(err, to.noSuchBucket) {
		t.Errorf("got %v, want %v", err, to.noSuchBucket)
	}
	mustContain(t, err, "writer-missing")
}

// wantRefused checks that small and large tables are refused alike, that nothing is there afterwards, and that the
// errors do not give the secret away.
func (d *delivery) wantRefused(w *s3writer.Writer, want error, secret string) error {
	d.Helper()
	report, err := w.Write(d.Context(),
		s3writer.NewTable("small.csv", bytes.NewReader(sample(26, 1000))),
		s3writer.NewTable("large.csv", ofUnknownLength(sample(27, 17*mib))))
	if !errors.Is(err, want) {
		d.Errorf("got %v, want %v", err, want)
	}
	if report == nil || len(report.Tables) != 2 {
		d.Fatalf("the Report is %v", report)
	}
	for _, table := range report.Tables {
		if !errors.Is(table.Err, want) {
			d.Errorf("table %s: got %v, want %v", table.Key, table.Err, want)
		}
	}
	mustNotContain(d.T, err, secret)
	d.wantKeys()
	return err
}

// testKeysRemoved takes the user's keys away in the middle of an upload.
func testKeysRemoved(t *testing.T, to *target) {
	leaving := *to
	leaving.keys = to.server.AddUser(t, "leaver", leastPolicy)
	leaving.credentials = s3writer.StaticCredentials(leaving.keys.AccessKeyID, leaving.keys.SecretAccessKey, "")
	d := deliverTo(t, &leaving)
	source := newGate(sample(28, 26*mib), nil)
	report, err := d.interrupt(t.Context(), d.writer(), s3writer.NewTable("orders.csv", source), func() {
		to.server.RemoveUser(t, "leaver")
		close(source.open)
	})
	if !errors.Is(err, s3writer.ErrCredentials) {
		t.Errorf("got %v, want ErrCredentials", err)
	}
	mustNotContain(t, err, leaving.keys.SecretAccessKey)
	d.wantKeys()
	if len(report.Orphans) != 1 || report.Orphans[0].UploadID == "" {
		t.Errorf("orphans: %+v, want the upload that nobody may abort now", report.Orphans)
	}
}
