package s3writer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/seed149ec23d/s3writer/internal/chain"
	"github.com/seed149ec23d/s3writer/internal/upload"
)

const (
	// beginTime is for how long after the end of their context further commits may
	// be begun, once one of them has. The engine ends them all at two minutes: each
	// has half a minute at least.
	beginTime = 90 * time.Second
	// committers is how many objects of a Write become visible at once, as far
	// as the engine allows.
	committers = 256
)

// commitAll makes all objects of all tables visible, if every table was
// delivered whole. Where there are several, what cancels ctx once the first is
// on its way does not leave half of them behind. What cannot be committed is
// given up, unless something is visible or kept says that it is to be kept.
func commitAll(ctx context.Context, kept bool, ds ...*delivery) {
	for _, d := range ds {
		d.check(ctx)
	}
	c := &commits{}
	c.failed.Store(culprit(ds))
	whole := c.failed.Load() == nil
	if whole {
		c.run(ctx, ds)
	}
	first, visible := c.failed.Load(), c.visible.Load()
	settle(ctx, first, kept || visible > 0, ds...)
	for _, d := range ds {
		if whole && d.report.Err != nil && (c.certain.Load() > 0 || visible > 0 && d.doubts.Load() == 0) {
			d.partial()
		}
		d.done()
	}
}

// commits are those of one Write or table.
type commits struct {
	failed  atomic.Pointer[delivery] // the first that did
	visible atomic.Int64             // objects that are, or may be
	certain atomic.Int64             // those that are
}

// run commits objects until one fails.
func (c *commits) run(ctx context.Context, ds []*delivery) {
	n := 0
	for _, d := range ds {
		n += len(d.objects)
	}
	if n > 1 {
		var cancel context.CancelFunc
		ctx, cancel = outlasting(ctx, beginTime)
		defer cancel()
	}
	if n == 1 && len(ds) == 1 {
		c.object(ctx, ds[0], ds[0].objects[0])
		return
	}
	objects := newCrew(committers)
	defer objects.end()
	for _, d := range ds {
		for _, o := range d.objects {
			objects.await()
			if c.failed.Load() != nil {
				return
			}
			objects.do(func() { c.object(ctx, d, o) })
		}
	}
}

// object makes one object visible, unless something failed before.
func (c *commits) object(ctx context.Context, d *delivery, o *object) {
	if d.w.opts.dryRun || o.pending == nil || c.failed.Load() != nil {
		return
	}
	result, err := o.pending.Commit(ctx)
	if err == nil {
		o.ETag, o.VersionID, o.State = result.ETag, result.VersionID, Committed
		o.settled(d)
		c.visible.Add(1)
		c.certain.Add(1)
		return
	}
	failed := &uploadError{d, d.objectError(o.Key, err)}
	o.Err = failed.err
	if errors.Is(err, ErrCommitUnknown) {
		o.State = Unknown
		c.visible.Add(1)
		d.doubts.Add(1)
	} else if !o.pending.Doubtful() {
		o.State = Pending
	}
	d.refused(failed)
	if !o.pending.Elsewhere() { // no commit of it would be better: the others need not wait for that
		c.failed.CompareAndSwap(nil, d)
	}
}

// refused keeps the first failure of a commit, or the first that leaves an
// object in doubt: that must not go unsaid.
func (d *delivery) refused(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.commitErr == nil || errors.Is(err, ErrCommitUnknown) && !errors.Is(d.commitErr, ErrCommitUnknown) {
		d.commitErr = err
	}
}

// settle ends tables: what is not committed is given up, or kept for another
// commit. first is the table whose failure is the reason for that, if there is
// one.
func settle(ctx context.Context, first *delivery, kept bool, ds ...*delivery) {
	left := make([]bool, len(ds))
	for i, d := range ds {
		left[i] = slices.ContainsFunc(d.objects, (*object).unsettled)
	}
	if slices.Contains(left, true) {
		endAll(ctx, kept, ds)
	}
	for i, d := range ds {
		switch {
		case d.report.Err != nil:
		case d.commitErr != nil:
			d.fail(ctx, d.commitErr)
		case first != nil && left[i]:
			d.fail(ctx, failedSibling(first))
		}
		d.list()
	}
}

// endAll gives up or keeps what is not committed.
func endAll(ctx context.Context, kept bool, ds []*delivery) {
	retention, giveUp := context.WithCancel(ctx)
	defer giveUp()
	each(ds, func(d *delivery, o *object) error {
		if !kept {
			o.abort(d)
		} else if err := o.retain(retention, d); upload.IsOutage(err) {
			giveUp() // each of the others would find out as slowly
		}
		return nil
	})
}

// list fills the report with the objects as they are now.
func (d *delivery) list() {
	d.report.Objects = slices.Grow([]Object(nil), len(d.objects)) // there may be very many
	for _, o := range d.objects {
		if o.State != Committed && o.Err == nil {
			o.Err = d.report.Err
		}
		d.report.Objects = append(d.report.Objects, o.Object)
	}
}

// outlasting returns a context that ends a while after ctx does.
func outlasting(ctx context.Context, while time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(while)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel(fmt.Errorf("the commit had not begun %v later", while))
		case <-longer.Done():
		}
	})
	return longer, func() {
		stop()
		cancel(nil)
	}
}

// check finds what has gone wrong since the table's objects were finished.
func (d *delivery) check(ctx context.Context) {
	if d.report.Err != nil {
		return
	}
	var err error
	for _, o := range d.objects {
		if o.pending == nil {
			continue
		}
		if refused := o.pending.Reclaim(); refused != nil && err == nil {
			err = &uploadError{d, d.objectError(o.Key, refused)}
		}
	}
	if err == nil && !d.w.opts.dryRun {
		err = chain.Cause(ctx)
	}
	if err != nil {
		d.fail(ctx, err)
	}
}

// culprit is the table whose failure is the reason for the others', nil if all
// are whole.
func culprit(ds []*delivery) *delivery {
	var failed *delivery
	for _, d := range ds {
		switch {
		case d.report.Err == nil:
		case !isSibling(d.report.Err):
			return d
		case failed == nil:
			failed = d
		}
	}
	return failed
}

// partial marks a table that did not become visible, or not all of it, while
// others did.
func (d *delivery) partial() {
	if e, ok := d.report.Err.(*Error); ok {
		partial := *e
		partial.Err = fmt.Errorf("%w: %w", ErrPartialCommit, e.Err)
		for i := range d.report.Objects {
			if o := &d.report.Objects[i]; o.Err == d.report.Err {
				o.Err = &partial
			}
		}
		d.report.Err = &partial
	}
}

// sortObjects puts the table's objects in the order of their keys: which was
// finished first is chance.
func (d *delivery) sortObjects() {
	slices.SortFunc(d.objects, func(a, b *object) int { return compareKeys(a.Key, b.Key) })
}
