package s3writer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/seed149ec23d/s3writer/internal/upload"
)

// Stage does all that [Writer.Write] does but the last step: it runs the chains
// and uploads every object, of which nothing is visible. [Writer.Commit] makes
// them visible, in this process or another one; [Writer.Abort] removes them.
// Small objects go up as multipart uploads of one part: three requests each
// rather than one.
//
// What it returns is never nil: it has the tables that were staged, and the
// error is that of those that failed, joined. With [WithAllOrNothing] one table
// that fails leaves none.
func (w *Writer) Stage(ctx context.Context, tables ...Table) (*Staged, error) {
	start := time.Now()
	ctx, stop := upload.Ending(ctx)
	defer stop()
	ds, err := w.prepare(ctx, tables)
	if err != nil {
		return w.staged(nil, false), err
	}
	w.deliver(ctx, ds, stageAll)
	s := w.staged(ds, false)
	for _, d := range ds {
		s.orphans = append(s.orphans, d.orphans...)
	}
	s.took = time.Since(start)
	return s, joined(ds)
}

// stageAll sends what finished tables have in memory. If one has failed, all are
// given up.
func stageAll(ctx context.Context, ds ...*delivery) {
	for _, d := range ds {
		d.check(ctx)
	}
	if culprit(ds) == nil {
		each(ds, func(d *delivery, o *object) error {
			if d.w.opts.dryRun {
				return nil
			}
			return o.pending.Stage(ctx)
		})
	}
	for _, d := range ds {
		if d.report.Err == nil && d.commitErr != nil {
			d.fail(ctx, d.commitErr)
		}
	}
	if first := culprit(ds); first != nil {
		settle(ctx, first, false, ds...)
	}
	for _, d := range ds {
		for _, o := range d.objects {
			if o.unsettled() {
				d.orphaned(o.pending.Leftover())
			}
		}
		d.done()
	}
}

// each calls f for the unsettled objects of ds, many at once, and keeps each
// table's first error.
func each(ds []*delivery, f func(*delivery, *object) error) {
	objects := newCrew(committers)
	defer objects.end()
	for _, d := range ds {
		for _, o := range d.objects {
			if !o.unsettled() {
				continue
			}
			objects.await()
			objects.do(func() {
				if err := f(d, o); err != nil {
					d.refused(&uploadError{d, d.objectError(o.Key, err)})
				}
			})
		}
	}
}

// staged makes a document of what ds came to, or only of the objects that are
// left to be committed.
func (w *Writer) staged(ds []*delivery, left bool) *Staged {
	s := &Staged{created: time.Now().UTC().Truncate(time.Second)}
	var engine *upload.Engine
	for _, d := range ds {
		if d.engine != nil {
			engine = d.engine
		}
		t := stagedTable{report: d.report, table: Table{ObjectInput: d.table.ObjectInput}}
		t.report.Objects = nil
		for _, o := range d.objects {
			if left && !o.unsettled() {
				continue
			}
			t.report.Objects = append(t.report.Objects, o.Object)
			t.objects = append(t.objects, o.staged())
		}
		if len(t.objects) > 0 || !left {
			s.tables = append(s.tables, t)
		}
	}
	s.target = w.target(engine)
	s.warnings = warnings(ds)
	return s
}

// staged is the object as a document has it.
func (o *object) staged() (s stagedObject) {
	if o.pending == nil {
		return s
	}
	if s.Staged, s.uploaded = o.pending.Staged(); !s.uploaded {
		s.pending = o.pending
	}
	return s
}

// target is where this Writer's objects go. engine is nil if nothing has gone
// there yet.
func (w *Writer) target(engine *upload.Engine) target {
	t := target{Bucket: w.bucket, Owner: w.opts.bucketOwner, DryRun: w.opts.dryRun}
	if w.conn != nil {
		t.Endpoint = redactURL(w.conn.endpoint)
	}
	if engine != nil {
		t.Region = engine.Region()
		if given := engine.GivenRegion(); given != t.Region {
			t.Given = given
		}
	}
	return t
}

// Commit makes visible what [Writer.Stage] has staged, or what [Report].Pending
// was left with, by this Writer or another one with the same bucket, endpoint
// and region, in this process or another. It asks every upload first whether it
// is still there, one request each, and commits nothing if one is gone. Tables
// are then committed as Write commits them: each for itself, or all or none with
// [WithAllOrNothing] as far as S3 allows.
//
// The report is never nil. What could not be committed is not given up: it is in
// its Pending, unless a document is not for this Writer at all, and then
// nothing was tried. An object whose upload is gone, as it is if the document was
// committed before, is Unknown; it is in the Pending too, so that no second try commits
// a part, and so that it can be aborted if a server was wrong about it. Uploads that Stage could not clean up are in the
// documents' reports, not in this one. Where objects were staged with a customer-provided key (SSE-C),
// the committing Writer's [WithObjectInput] must set the same key: documents have
// no secrets.
func (w *Writer) Commit(ctx context.Context, staged ...*Staged) (*Report, error) {
	start := time.Now()
	report := &Report{}
	ctx, stop := upload.Ending(ctx)
	defer stop()
	err := w.commit(ctx, staged, report)
	report.Duration = time.Since(start)
	return report, err
}

func (w *Writer) commit(ctx context.Context, staged []*Staged, report *Report) error {
	staged, err := w.mine(staged)
	if err != nil {
		return fmt.Errorf("s3writer: commit: %w", err)
	}
	if err := distinctObjects(staged); err != nil {
		return fmt.Errorf("s3writer: commit: %w", err)
	}
	ds, _, err := w.adopt(ctx, staged)
	if unconnected := (*connectError)(nil); errors.As(err, &unconnected) {
		report.Pending = together(staged)
	}
	if err != nil {
		return fmt.Errorf("s3writer: commit: %w", err)
	}
	if len(ds) == 0 {
		return fmt.Errorf("s3writer: commit: %w", ErrNothingToWrite)
	}
	defer w.gather(report, ds)
	if w.opts.dryRun {
		for _, d := range ds {
			d.list()
			d.done()
		}
		return nil
	}
	each(ds, func(_ *delivery, o *object) error { return o.alive(ctx) })
	for _, d := range ds {
		if d.report.Err == nil && d.commitErr != nil {
			d.fail(ctx, d.commitErr)
		}
	}
	groups := [][]*delivery{ds}
	if culprit(ds) == nil && !w.opts.allOrNothing {
		groups = slices.Collect(slices.Chunk(ds, 1))
	}
	var wait sync.WaitGroup
	for _, group := range groups {
		wait.Go(func() { commitAll(ctx, true, group...) })
	}
	wait.Wait()
	return joined(ds)
}

// Abort removes what [Writer.Stage] has staged and what it could not clean up.
// Objects that are committed stay. The error joins what could not be removed.
func (w *Writer) Abort(ctx context.Context, staged ...*Staged) error {
	ctx, stop := upload.Ending(ctx)
	defer stop()
	staged, err := w.mine(staged)
	if err != nil {
		return fmt.Errorf("s3writer: abort: %w", err)
	}
	ds, engine, err := w.adopt(ctx, staged)
	if err != nil {
		return fmt.Errorf("s3writer: abort: %w", err)
	}
	if w.opts.dryRun {
		return nil
	}
	all := slices.Clone(ds)
	for _, s := range staged {
		all = append(all, w.adoptOrphans(ctx, engine, s))
	}
	each(all, func(d *delivery, o *object) error { o.abort(d); return nil })
	var errs []error
	for _, d := range all {
		for _, o := range d.orphans {
			e := d.objectError(o.Key, o.Err)
			e.UploadID = o.UploadID
			errs = append(errs, e)
		}
	}
	for _, d := range ds {
		d.done()
	}
	return errors.Join(errs...)
}

// mine are the documents that there are, if all of them are for this Writer, as far
// as that can be said without a network.
func (w *Writer) mine(staged []*Staged) ([]*Staged, error) {
	staged = slices.DeleteFunc(slices.Clone(staged), func(s *Staged) bool { return s == nil })
	return staged, w.target(nil).acceptAll(staged)
}

func (t target) acceptAll(staged []*Staged) error {
	for i, s := range staged {
		if s.created.IsZero() {
			return fmt.Errorf("staged document %d is empty: neither Stage nor Pending gives one, and JSON's null is none", i+1)
		}
		if err := t.accepts(s.target); err != nil {
			return fmt.Errorf("staged document %d, of %s: %w", i+1, s.created.Format(time.RFC3339), err)
		}
	}
	return nil
}

// together makes one document of several for the same target.
func together(staged []*Staged) *Staged {
	if len(staged) == 1 {
		return staged[0]
	}
	all := *staged[0]
	for _, s := range staged[1:] {
		all.tables = append(slices.Clip(all.tables), s.tables...)
		all.orphans = append(slices.Clip(all.orphans), s.orphans...)
		all.warnings = append(slices.Clip(all.warnings), s.warnings...)
	}
	return &all
}

// connectError is why nothing was tried.
type connectError struct{ error }

func (e *connectError) Unwrap() error { return e.error }

// adopt makes deliveries of staged tables that have objects to commit, or never had
// any.
func (w *Writer) adopt(ctx context.Context, staged []*Staged) (ds []*delivery, engine *upload.Engine, err error) {
	if len(staged) == 0 {
		return nil, nil, nil
	}
	if engine, err = w.connected(ctx); err != nil {
		return nil, nil, &connectError{err}
	}
	if err := w.target(engine).acceptAll(staged); err != nil {
		return nil, nil, err
	}
	for i, s := range staged {
		for _, t := range s.tables {
			nothing := len(t.objects) == 0 && t.report.Err == nil
			if !nothing && !slices.ContainsFunc(t.objects, stagedObject.there) && !s.target.DryRun {
				continue
			}
			d, err := w.adoptTable(ctx, engine, len(ds)+1, t)
			if err != nil {
				for _, d := range ds {
					d.cancel(err)
				}
				return nil, nil, fmt.Errorf("staged document %d: %w", i+1, err)
			}
			ds = append(ds, d)
		}
	}
	return ds, engine, nil
}

// distinctObjects finds two uploads of one object: one of them would replace the
// other.
func distinctObjects(staged []*Staged) error {
	seen := map[string]bool{}
	for i, s := range staged {
		for _, t := range s.tables {
			for j, o := range t.objects {
				key := t.report.Objects[j].Key
				if o.there() && seen[key] {
					return fmt.Errorf("staged document %d: object %q was staged twice", i+1, key)
				}
				seen[key] = seen[key] || o.there()
			}
		}
	}
	return nil
}

// there tells whether there is something to commit or to abort.
func (o stagedObject) there() bool { return o.uploaded || o.pending != nil }

// known sets what others than the Writer that has the object can know of it, if that
// is anything.
func (o *stagedObject) known() bool {
	if o.pending != nil {
		o.Staged, o.uploaded = o.pending.InDoubt()
	}
	return o.uploaded
}

// accepts says why a document cannot be committed here.
func (t target) accepts(doc target) error {
	differs := func(what, theirs, ours string) error {
		if theirs == ours || theirs == "" && what != "endpoint" {
			return nil
		}
		return fmt.Errorf("it was staged for %s %q, and this Writer's is %q", what, theirs, ours)
	}
	if doc.DryRun && !t.DryRun {
		return errors.New("it was staged by a dry run, which uploads nothing")
	}
	err := errors.Join(differs("bucket", doc.Bucket, t.Bucket), differs("endpoint", doc.Endpoint, t.Endpoint), differs("bucket owner", doc.Owner, t.Owner))
	if t.Region == "" || slices.ContainsFunc(doc.regions(), func(r string) bool { return slices.Contains(t.regions(), r) }) {
		return err
	}
	return errors.Join(err, differs("region", doc.Region, t.Region))
}

// regions are those that the bucket is taken to be in: two Writers of the same
// options may know of one only before a server has corrected it.
func (t target) regions() []string {
	if t.Given == "" {
		return []string{t.Region}
	}
	return []string{t.Region, t.Given}
}

func (w *Writer) adoptTable(ctx context.Context, engine *upload.Engine, number int, t stagedTable) (*delivery, error) {
	d := &delivery{w: w, number: number, begun: time.Now(), table: t.table, report: t.report, engine: engine, caller: ctx}
	d.report.Err = nil
	for i, so := range t.objects {
		o := &object{Object: t.report.Objects[i]}
		o.Err = nil
		switch {
		case so.pending != nil && !so.pending.Of(engine) && !so.known():
			return nil, d.objectError(o.Key, errors.New("its bytes are in the memory of another Writer, which alone can commit or abort it"))
		case so.pending != nil && so.pending.Of(engine):
			o.pending = so.pending
		case so.uploaded: // not so of a dry run
			var err error
			if o.pending, err = engine.Adopt(ctx, upload.Object{Input: d.objectInput()}, so.Staged); err != nil {
				return nil, d.objectError(o.Key, err)
			}
		}
		d.objects = append(d.objects, o)
	}
	d.start(ctx)
	return d, nil
}

// adoptOrphans makes a delivery of what could not be cleaned up.
func (w *Writer) adoptOrphans(ctx context.Context, engine *upload.Engine, s *Staged) *delivery {
	d := &delivery{w: w, begun: time.Now(), engine: engine, caller: ctx, cancel: func(error) {}}
	for _, o := range s.orphans {
		if o.UploadID == "" { // nobody can
			d.orphans = append(d.orphans, o)
			continue
		}
		p, err := engine.Adopt(ctx, upload.Object{Input: d.objectInput()}, upload.Staged{Key: o.Key, UploadID: o.UploadID, Terms: o.terms})
		if err != nil {
			o.Err = err
			d.orphans = append(d.orphans, o)
			continue
		}
		d.objects = append(d.objects, &object{Object: Object{Key: o.Key}, pending: p})
	}
	return d
}
