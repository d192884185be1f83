package upload

import (
	"context"
	"sync/atomic"
	"time"
)

// ending notes when a context has ended.
type ending struct {
	ctx context.Context
	at  atomic.Pointer[time.Time]
}

type endingKey struct{}

// Ending returns ctx with a note of when it ends. What still goes on for a moment
// after that, under this context or one made of it, has one deadline that counts
// from there, however much of it there is and however late it begins. Without the
// note each of them counts from where it sees the end. stop lets go of ctx.
func Ending(ctx context.Context) (noted context.Context, stop func()) {
	e := &ending{ctx: ctx}
	forget := context.AfterFunc(ctx, e.note)
	return context.WithValue(ctx, endingKey{}, e), func() { forget() }
}

func (e *ending) note() {
	now := time.Now()
	e.at.CompareAndSwap(nil, &now)
}

// since is how long ago the noted context has ended; 0: it has not.
func (e *ending) since() time.Duration {
	if e.at.Load() == nil {
		if e.ctx.Err() == nil {
			return 0
		}
		e.note()
	}
	return time.Since(*e.at.Load())
}

// left is what is left of a while after the end that is noted in ctx: all of it
// if that has not come, or is not noted.
func left(ctx context.Context, while time.Duration) time.Duration {
	if e, ok := ctx.Value(endingKey{}).(*ending); ok {
		return max(0, while-e.since())
	}
	return while
}

// outliving returns a context that ends some time after ctx.
func outliving(ctx context.Context, while func() time.Duration) (context.Context, func()) {
	longer, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	end := func() {
		more := left(ctx, while())
		if more == 0 {
			cancel(cause(ctx))
			return
		}
		timer := time.AfterFunc(more, func() { cancel(cause(ctx)) })
		context.AfterFunc(longer, func() { timer.Stop() })
	}
	stop := func() bool { return true }
	if ctx.Err() != nil {
		end()
	} else {
		stop = context.AfterFunc(ctx, end)
	}
	return longer, func() {
		stop()
		cancel(nil)
	}
}
