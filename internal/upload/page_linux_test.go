//go:build !race

package upload

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
)

// usedPages is how many bytes of pages are in use.
func usedPages() int64 {
	_, used := OffHeap()
	return used
}

// Pages never overlap, and their memory goes back to the system, but for a little.
func TestPagesGiveTheirMemoryBack(t *testing.T) {
	const page = 256 << 10
	perSlab := slabSize / page
	before := usedPages()
	for round := range 3 {
		var pages [][]byte
		for i := range 5*perSlab + 1 {
			p := newPage(page)
			if len(p) != page || cap(p) != page {
				t.Fatalf("page of %d bytes, room for %d", len(p), cap(p))
			}
			p[0], p[page-1] = byte(i), byte(i)
			pages = append(pages, p)
		}
		for i, p := range pages {
			if p[0] != byte(i) || p[page-1] != byte(i) {
				t.Fatalf("round %d: page %d is another one's too", round, i)
			}
		}
		if held, used := OffHeap(); used != before+int64(len(pages))*page || held < used || held > used+(idleSlabs+1)*slabSize {
			t.Errorf("round %d: %d bytes are in use, %d held, with %d pages taken", round, used, held, len(pages))
		}
		rand.Shuffle(len(pages), func(i, j int) { pages[i], pages[j] = pages[j], pages[i] })
		for _, p := range pages {
			freePage(p)
		}
		if held, used := OffHeap(); used != before || held > before+idleSlabs*slabSize {
			t.Errorf("round %d: %d bytes are in use, %d held, with all pages freed", round, used, held)
		}
	}
}

// Pages of other sizes are the garbage collector's.
func TestPagesOfOtherSizes(t *testing.T) {
	before := usedPages()
	for _, n := range []int64{1, 16, 300 << 10} {
		p := newPage(n)
		if int64(len(p)) != n {
			t.Errorf("page of %d bytes, want %d", len(p), n)
		}
		freePage(p)
	}
	if used := usedPages(); used != before {
		t.Errorf("%d bytes of pages are in use, %d before", used, before)
	}
}

// The page of a Read that is stuck is in use until that has returned, and no longer.
func TestStuckReadFreesItsPage(t *testing.T) {
	e := New(Config{Client: newBucket(), Bucket: "b", Memory: 16 << 20})
	inside, let := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	a := admit(t, e)
	before := usedPages()
	s := e.Open(ctx, a, Object{Key: "stuck"})
	go func() { <-inside; cancel() }()
	src := readerFunc(func([]byte) (int, error) { close(inside); <-let; return 0, errors.New("too late") })
	if _, err := s.ReadFrom(src); !errors.Is(err, context.Canceled) {
		t.Fatalf("ReadFrom: %v", err)
	}
	s.Abort()
	a.Release()
	if used := usedPages(); used != before+e.limits.page {
		t.Errorf("%d bytes of pages are in use, want those of one page more than %d", used, before)
	}
	close(let)
	for usedPages() != before {
		if t.Context().Err() != nil {
			t.Fatal("the page is in use for good")
		}
		yield()
	}
}
