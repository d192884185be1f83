package chain_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed149ec23d/s3writer/internal/chain"
	"github.com/seed149ec23d/s3writer/internal/record"
)

// slowReader has a row, and then a Read that goes on for a while after the context has
// ended, or until Close.
type slowReader struct {
	ctx   context.Context
	after time.Duration // 0: until Close

	mu      sync.Mutex
	reads   int
	reading bool
	closed  chan struct{}
	broken  bool // closed while a Read was going on
}

func (r *slowReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	r.reads++
	first := r.reads == 1
	r.reading = true
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.reading = false
	}()
	if first {
		return copy(p, "id\n1\n"), nil
	}
	<-r.ctx.Done()
	if r.after == 0 {
		<-r.closed
		return 0, io.ErrClosedPipe
	}
	time.Sleep(r.after) // of the bubble's clock
	return 0, io.EOF
}

func (r *slowReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = r.broken || r.reading
	close(r.closed)
	return nil
}

// TestCloseWaitsForRead, which may use what Close frees, but not for one that only Close ends.
func TestCloseWaitsForRead(t *testing.T) {
	for _, test := range []struct {
		name   string
		after  time.Duration
		broken bool
	}{
		{"ends soon", 40 * time.Millisecond, false},
		{"ends when closed", 0, true},
	} {
		for name, steps := range map[string][]chain.Step{"copy": nil, "decode": {chain.Select([]string{"id"})}} {
			t.Run(test.name+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					r := &slowReader{ctx: ctx, after: test.after, closed: make(chan struct{})}
					time.AfterFunc(time.Second, cancel)
					j := job{reader: r, closer: r, ctx: ctx}
					if _, err := j.run(t, steps...); !errors.Is(err, context.Canceled) {
						t.Errorf("got %v, want context.Canceled", err)
					}
					<-r.closed
					if r.broken != test.broken {
						t.Errorf("closed while it was read: %v, want %v", r.broken, test.broken)
					}
				})
			})
		}
	}
}

// process is a source as one of os/exec is: Close waits for what ends with the context.
type process struct {
	io.Reader
	ctx context.Context
}

func (p process) Close() error {
	<-p.ctx.Done()
	return nil
}

// TestCloseMayWaitForTheContext that the source was opened with, whatever has ended the run.
func TestCloseMayWaitForTheContext(t *testing.T) {
	for name, steps := range map[string][]chain.Step{
		"no such column": {chain.Select([]string{"nope"})},
		"Limit":          {chain.Select([]string{"id"}), chain.Limit(1)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, errs := chain.Compile(steps)
				if errs != nil {
					t.Fatal(errs)
				}
				in := chain.Input{Dialect: record.Dialect{}.Resolve(), Parallel: 2}
				in.Source.Open = func(ctx context.Context) (io.Reader, io.Closer, error) {
					p := process{strings.NewReader("id\n" + strings.Repeat("1\n", 1<<20)), ctx}
					return p, p, nil
				}
				err := p.Run(t.Context(), in, &chain.Counts{}, func(*chain.Object) (chain.ByteSink, error) { return &object{discard: true}, nil })
				if (err == nil) != (name == "Limit") {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}
