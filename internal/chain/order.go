package chain

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// order lets jobs pass one after the other, by their numbers: 0, 1, 2, ….
type order struct {
	now    atomic.Int64 // whose turn it is
	spins  bool         // there is another processor for whoever is to pass
	vain   atomic.Int32 // turns in a row that were spun for in vain
	asleep atomic.Int32 // how many are in sleepers

	mu       sync.Mutex
	sleepers []sleeper
	spare    []chan struct{}
}

// sleeper waits for its turn.
type sleeper struct {
	number int64
	wake   chan struct{}
}

const (
	// spinLoads is how often one looks for its turn before it lets others run, of
	// whom the sinks have some, and spinTime how long it does both before it goes to
	// sleep; spinYields where no time passes, as in a bubble of testing/synctest.
	//
	// To wake a goroutine takes many microseconds in a virtual machine, in which
	// a turn is long over; and one that is woken goes on beside who woke it, far from the
	// caches with its block. With sleep alone, two cores are hardly faster than one; with a
	// tenth of this time, which a turn that the system interrupts takes, they lose a tenth.
	spinLoads  = 1 << 10
	spinTime   = time.Millisecond
	spinYields = 1 << 13
	// vainSpins in a row are enough to go to sleep at once, restSpins times: whoever is
	// waited for takes longer.
	vainSpins, restSpins = 4, 16
)

// await waits for the turn of number n. It returns false if the context ends first.
func (o *order) await(ctx context.Context, n int64) bool {
	if o.now.Load() != n && !o.spin(ctx, n) && !o.sleep(ctx, n) {
		return false
	}
	return ctx.Err() == nil
}

// spin waits a moment, if n is the next one.
func (o *order) spin(ctx context.Context, n int64) bool {
	if !o.spins || o.now.Load() < n-1 {
		return false
	}
	vain := o.vain.Load()
	switch {
	case vain >= vainSpins+restSpins:
		vain = vainSpins - 1 // once more
	case vain >= vainSpins:
		o.vain.Store(vain + 1)
		return false
	}
	began := time.Now()
	for range spinYields {
		for range spinLoads {
			if o.now.Load() == n {
				o.vain.Store(0)
				return true
			}
		}
		runtime.Gosched()
		if ctx.Err() != nil || time.Since(began) > spinTime {
			break
		}
	}
	o.vain.Store(vain + 1)
	return false
}

// sleep waits however long it takes.
func (o *order) sleep(ctx context.Context, n int64) bool {
	o.mu.Lock()
	var wake chan struct{}
	if last := len(o.spare) - 1; last >= 0 {
		wake, o.spare = o.spare[last], o.spare[:last]
	} else {
		wake = make(chan struct{}, 1)
	}
	o.sleepers = append(o.sleepers, sleeper{n, wake})
	o.asleep.Add(1)
	// Either pass sees that there is a sleeper or this sees that it has passed.
	if o.now.Load() == n {
		o.rouse(n)
	}
	o.mu.Unlock()
	select {
	case <-wake:
	case <-ctx.Done():
		return false
	}
	o.mu.Lock()
	o.spare = append(o.spare, wake)
	o.mu.Unlock()
	return true
}

// pass ends the turn of who calls it.
func (o *order) pass() {
	n := o.now.Add(1)
	if o.asleep.Load() == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rouse(n)
}

// rouse wakes the sleeper with number n, if there is one.
func (o *order) rouse(n int64) {
	i := slices.IndexFunc(o.sleepers, func(s sleeper) bool { return s.number == n })
	if i < 0 {
		return
	}
	o.sleepers[i].wake <- struct{}{}
	o.sleepers = slices.Delete(o.sleepers, i, i+1)
	o.asleep.Add(-1)
}
