package s3writer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// commit makes the table's object visible, unless something failed before.
// It tells whether it did, or may have.
func (d *delivery) commit(ctx context.Context) (committed bool) {
	if d.report.Err != nil || d.pending == nil {
		return false
	}
	if d.w.opts.dryRun {
		d.abort(ctx)
		return false
	}
	if ctx.Err() != nil {
		d.abort(ctx)
		d.fail(ctx, context.Cause(ctx))
		return false
	}
	o := &d.report.Objects[0]
	result, err := d.pending.Commit(ctx)
	if err == nil {
		o.ETag, o.VersionID, o.State = result.ETag, result.VersionID, Committed
		d.settled()
		return true
	}
	failed := &uploadError{d, d.objectError(err)}
	o.Err = failed.err
	if errors.Is(err, ErrCommitUnknown) {
		o.State = Unknown
		d.settled() // never aborted: it may be what was committed
	}
	d.abort(ctx)
	d.fail(ctx, failed)
	return o.State == Unknown
}

// settled lets go of an object that is not to be aborted, and reports what lies
// beside it.
func (d *delivery) settled() {
	d.orphan(d.pending.Leftover())
	d.pending = nil
}

// commitTime is how long commits that have begun may go on after their context
// has ended.
const commitTime = 2 * time.Minute

// commitAll makes all objects visible, if every table was delivered whole.
// What cancels ctx from then on does not leave half of them behind.
func commitAll(ctx context.Context, ds []*delivery) {
	for _, d := range ds {
		d.check(ctx)
	}
	ctx, cancel := outlasting(ctx, commitTime)
	defer cancel()
	var failed atomic.Pointer[delivery]
	failed.Store(culprit(ds))
	whole := failed.Load() == nil
	var wait sync.WaitGroup
	var visible atomic.Int64
	for _, d := range ds {
		wait.Go(func() {
			if first := failed.Load(); first != nil {
				d.giveUp(ctx, first)
				return
			}
			if d.commit(ctx) {
				visible.Add(1)
			}
			if d.report.Err != nil {
				failed.CompareAndSwap(nil, d)
			}
		})
	}
	wait.Wait()
	for _, d := range ds {
		others := visible.Load()
		if d.unknown() {
			others--
		}
		if d.report.Err != nil && whole && others > 0 {
			d.partial()
		}
		d.done()
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

// check finds what has gone wrong since the table was finished.
func (d *delivery) check(ctx context.Context) {
	if d.report.Err != nil || d.pending == nil {
		return
	}
	err := d.pending.Reclaim()
	if err != nil {
		err = &uploadError{d, d.objectError(err)}
	} else {
		err = context.Cause(ctx)
	}
	if err != nil {
		d.abort(ctx)
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

// giveUp is the end of a table that was whole, but another one was not.
func (d *delivery) giveUp(ctx context.Context, first *delivery) {
	d.abort(ctx)
	if d.report.Err != nil {
		return
	}
	d.report.Err = d.error(failedSibling(first))
	for i := range d.report.Objects {
		d.report.Objects[i].Err = d.report.Err
	}
}

// unknown tells whether nobody knows what became of the table's object.
func (d *delivery) unknown() bool {
	return slices.ContainsFunc(d.report.Objects, func(o Object) bool { return o.State == Unknown })
}

// partial marks a table that did not become visible while others did.
func (d *delivery) partial() {
	if e, ok := d.report.Err.(*Error); ok {
		partial := *e
		partial.Err = fmt.Errorf("%w: %w", ErrPartialCommit, e.Err)
		d.report.Err = &partial
	}
}
