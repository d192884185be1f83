package record

import "sync"

// pool keeps slices of one type for the next who needs one.
type pool[T any] struct {
	full  sync.Pool // of *[]T
	empty sync.Pool // of the *[]T whose slices are in use
}

// take returns an empty slice with room for n.
func (p *pool[T]) take(n int) []T {
	if box, ok := p.full.Get().(*[]T); ok {
		s := (*box)[:0]
		*box = nil
		p.empty.Put(box)
		if cap(s) >= n {
			return s
		}
	}
	return make([]T, 0, n)
}

// give takes back what take returned.
func (p *pool[T]) give(s []T) {
	box, ok := p.empty.Get().(*[]T)
	if !ok {
		box = new([]T)
	}
	*box = s
	p.full.Put(box)
}
