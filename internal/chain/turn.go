package chain

import (
	"context"

	"github.com/seed149ec23d/s3writer/internal/record"
)

// turn is what whoever calls one of the table's functions holds meanwhile. Several
// stages are at work at once, but functions are called one at a time within one
// table: they may share what they like. It is taken once for a batch, and never held
// while the next stage is waited for, which may want it.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// inTurn runs f, which calls somebody's functions, when nobody else does.
func (r *run) inTurn(f func() error) error {
	select {
	case r.turn <- struct{}{}:
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	}
	defer func() { <-r.turn }()
	if r.ctx.Err() != nil { // select may choose either
		return context.Cause(r.ctx)
	}
	return f()
}

// givingWay returns out for a function that is called in turn: others may be
// called until it returns.
func (r *run) givingWay(out func(*record.Batch) error) func(*record.Batch) error {
	return func(b *record.Batch) error {
		<-r.turn
		defer func() { r.turn <- struct{}{} }()
		return out(b)
	}
}

// takeTurns makes the functions of a step be called in turn.
func (r *run) takeTurns(t *transform) {
	if apply := t.apply; apply != nil {
		t.apply = func(b *record.Batch) error {
			return r.inTurn(func() error { return apply(b) })
		}
	}
	if emit := t.emit; emit != nil {
		t.emit = func(b *record.Batch, out func(*record.Batch) error) error {
			return r.inTurn(func() error { return emit(b, r.givingWay(out)) })
		}
	}
	if end := t.end; end != nil {
		t.end = func(out func(*record.Batch) error) error {
			return r.inTurn(func() error { return end(r.givingWay(out)) })
		}
	}
}
