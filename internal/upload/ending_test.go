package upload

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// However many uploads are to be removed, one after the other, and however late
// that begins: who is cancelled waits once.
func TestCleaningUpHasOneDeadline(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer time.Duration // of a healthy server; 0: it hangs
		late   time.Duration // until the first Abort
		noted  bool
		want   time.Duration
		left   int // uploads
	}{
		{name: "hung", noted: true, want: 200 * time.Millisecond, left: 5},
		{name: "hung, and late", late: 150 * time.Millisecond, noted: true, want: 200 * time.Millisecond, left: 5},
		{name: "hung, and too late", late: time.Second, noted: true, want: time.Second, left: 5},
		{name: "hung, and nobody has noted the end", want: 5 * 200 * time.Millisecond, left: 5},
		{name: "quick", answer: time.Millisecond, noted: true, want: 5 * time.Millisecond},
		{name: "slow", answer: 75 * time.Millisecond, noted: true, want: 375 * time.Millisecond},
		{name: "too slow", answer: 110 * time.Millisecond, late: 200 * time.Millisecond, noted: true, want: 550 * time.Millisecond, left: 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBucket()
				e := newEngine(Config{Client: b, Bucket: "b", Memory: 4096, Logger: quiet()}, small, defaultPace)
				b.onRequest = func(ctx context.Context, op string) error {
					answer := time.After(test.answer)
					if test.answer == 0 && op == opAbort {
						answer = nil
					}
					select {
					case <-answer:
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if test.noted {
					var stop func()
					ctx, stop = Ending(ctx)
					defer stop()
				}
				var staged []*Pending
				for i := range 5 {
					p, err := finish(ctx, e, fmt.Sprint(i), data(10))
					if err != nil {
						t.Fatal(err)
					}
					if err := p.Stage(ctx); err != nil {
						t.Fatal(err)
					}
					staged = append(staged, p)
				}
				began := time.Now()
				cancel()
				time.Sleep(test.late)
				left := 0
				for _, p := range staged {
					left += len(p.Abort(ctx))
				}
				if took := time.Since(began); took != test.want || left != test.left || len(b.open()) != left {
					t.Errorf("%v after the end, %d uploads are left; want %v and %d", took, left, test.want, test.left)
				}
			})
		})
	}
}

// A context that nobody ends is not kept from being forgotten, and one that has
// ended before counts from its note.
func TestEndingCountsFromTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		noted, stop := Ending(ctx)
		defer stop()
		time.Sleep(time.Hour)
		if got := left(noted, time.Second); got != time.Second {
			t.Errorf("%v are left before the end", got)
		}
		cancel()
		time.Sleep(300 * time.Millisecond)
		below, done := context.WithCancel(context.WithoutCancel(noted))
		defer done()
		if got := left(below, time.Second); got != 700*time.Millisecond {
			t.Errorf("%v are left", got)
		}
		again, stopAgain := Ending(ctx)
		defer stopAgain()
		if got := left(again, time.Second); got != time.Second {
			t.Errorf("%v are left of what begins with the end", got)
		}
	})
}

// One Write's end is not that of the next one, which cleans up what it kept.
func TestRetainedObjectIsCleanedUpInItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		b.before = func(op string, n int) error {
			if op == opPart {
				return refused(403, "AccessDenied")
			}
			return nil
		}
		b.onRequest = func(ctx context.Context, op string) error { return sleep(ctx, time.Second) }
		e := newEngine(Config{Client: b, Bucket: "b", Memory: 4096, Logger: quiet()}, small, defaultPace)
		ctx, cancel := context.WithCancel(t.Context())
		noted, stop := Ending(ctx)
		defer stop()
		p, err := finish(noted, e, "k", data(10))
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		time.Sleep(time.Minute)
		p.Retain(t.Context())
		if left := p.Leftover(); len(left) > 0 || len(b.open()) > 0 {
			t.Errorf("left: %v", left)
		}
		p.Abort(t.Context())
	})
}
