package record

import "errors"

// ErrKept is what reading a record or a batch panics with after the call it was
// given to: the step behind has changed it by then, or its memory is another's.
var ErrKept = errors.New("the record was kept beyond the call it was given to: copy the values that you need later")

// View returns what somebody's function may see of b: the same records, until
// EndView.
func (b *Batch) View() *Batch {
	v := *b
	return &v
}

// EndView makes what is kept of a view fail in words rather than read as
// something else.
func (b *Batch) EndView() { b.Rebind(ended, b.Refs) }

var ended = NewSchema(nil, false)

// noColumn is the panic for a name that is not one column's.
func (b *Batch) noColumn(name string) *ColumnError {
	if b.Schema == ended {
		return &ColumnError{ErrKept}
	}
	_, err := b.Schema.Lookup(name)
	return &ColumnError{err}
}
