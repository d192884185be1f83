package record

import (
	"encoding/binary"
	"errors"
	"strings"
	"sync"
	"unsafe"
)

// ErrKept is what reading a record or a batch panics with after the call it was
// given to: the step behind has changed it by then, or its memory is another's.
var ErrKept = errors.New("the record was kept beyond the call it was given to: copy the values that you need later")

// View returns what somebody's function may see of b: the same records, until
// EndView. The strings of its records have memory of their own.
func (b *Batch) View() *Batch {
	v := *b
	v.decoded, v.room = nil, nil
	clear(v.cache[:])
	if b.decoded != nil {
		v.keeper = keepers.Get().(*keeper)
	}
	return &v
}

// EndView makes what is kept of a view fail in words rather than read as
// something else.
func (b *Batch) EndView() {
	b.Rebind(ended, b.Refs)
	if k := b.keeper; k != nil {
		if cap(k.scratch) > maxScratch {
			k.scratch = nil
		}
		b.keeper = nil
		keepers.Put(k)
	}
}

var ended = NewSchema(nil, false)

// noColumn is the panic for a name that is not one column's.
func (b *Batch) noColumn(name string) *ColumnError {
	if b.Schema == ended {
		return &ColumnError{ErrKept}
	}
	_, err := b.Schema.Lookup(name)
	return &ColumnError{err}
}

// keeper copies strings into memory that is never used again: a view's text is,
// and its strings stay valid for ever. It is one view's at a time.
type keeper struct {
	chunk   []byte
	used    int
	scratch []byte
	known   [knownTexts]knownText
}

// Many columns that steps look at have few values, over and over: those that were
// copied last are found again rather than copied. On 256 MiB, a Filter then makes 14 MB
// less of garbage; where fresh memory is dear, that is a fifth of all its time.
const knownTexts = 64

// knownText is a short text: as two words, and the copy of it.
type knownText struct {
	low, high uint64
	text      string
}

var keepers = sync.Pool{New: func() any { return new(keeper) }}

// keptChunk is what one kept string keeps in memory: as much as the allocator
// has in store.
const keptChunk = 32 << 10

// keep returns a copy of s.
func (k *keeper) keep(s string) string {
	n := len(s)
	if n > len(k.chunk)-k.used {
		if n > keptChunk/8 {
			return strings.Clone(s)
		}
		k.chunk, k.used = fresh(keptChunk), 0
	}
	p := k.chunk[k.used : k.used+n]
	k.used += n
	copy(p, s)
	return unsafe.String(unsafe.SliceData(p), n)
}

// shortText is copied at once even if less is needed, as copyChunk does.
const shortText = 16

// short keeps the first n bytes of s, which is as long as a short text may be.
func (k *keeper) short(s string, n int) string {
	p := unsafe.Slice(unsafe.StringData(s), shortText)
	low, high := binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:])
	low &= lowBytes[min(n, 8)]
	high &= lowBytes[max(n, 8)-8]
	at := &k.known[(low*0x9e3779b97f4a7c15^high*0xc2b2ae3d27d4eb4f)>>58]
	if at.low != low || at.high != high || len(at.text) != n {
		*at = knownText{low, high, k.copyShort(s, n)}
	}
	return at.text
}

// copyShort copies more than is needed, where there is room.
func (k *keeper) copyShort(s string, n int) string {
	if k.used+shortText > len(k.chunk) {
		k.chunk, k.used = fresh(keptChunk), 0
	}
	p := (*[shortText]byte)(k.chunk[k.used:])
	copy(p[:], s[:shortText])
	k.used += n
	return unsafe.String(&p[0], n)
}

// lowBytes are masks of the first 0 to 8 bytes of a word.
var lowBytes = [9]uint64{0, 1<<8 - 1, 1<<16 - 1, 1<<24 - 1, 1<<32 - 1, 1<<40 - 1, 1<<48 - 1, 1<<56 - 1, 1<<64 - 1}

// value returns the value of a field whose text will be overwritten.
func (k *keeper) value(ref Ref, row int) Value {
	v := ref.Vector
	if raw, ok := v.raw(row, ref.Field); ok && v.Dialect.verbatim(raw) {
		lo := int(v.Off[row*v.Stride+ref.Field])
		if len(raw) <= shortText && lo+shortText <= len(v.Text) {
			return TextValue(k.short(v.Text[lo:lo+shortText], len(raw)))
		}
		return TextValue(k.keep(raw))
	}
	s, null, scratch := ref.Vector.text(row, ref.Field, k.scratch)
	k.scratch = scratch
	if null {
		return Value{}
	}
	return TextValue(k.keep(s))
}
