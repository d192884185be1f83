package chain

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"sync"

	"github.com/seed149ec23d/s3writer/internal/record"
)

// Hash replaces the values of columns by their HMAC-SHA-256 under key, in hex.
// NULL stays NULL.
func Hash(key []byte, columns []string) Step {
	step := Step{name: "Hash", args: "key, " + quoted(columns), kind: recordStep, adds: true, err: distinct(columns)}
	if len(key) == 0 {
		step.err = errors.Join(errors.New("the key is empty: unkeyed hashes of names or numbers are found by trying them all"), step.err)
		return step
	}
	secret := append([]byte(nil), key...)
	hashers := &sync.Pool{New: func() any { return &hasher{mac: hmac.New(sha256.New, secret)} }}
	step.open = func(s *record.Schema) (*transform, error) {
		cols, err := lookup(s, columns)
		if err != nil {
			return nil, err
		}
		changed := append([]record.Column(nil), s.Columns...)
		for _, c := range cols {
			changed[c].Type = record.Text
		}
		t := retype(s, changed)
		rebind := t.apply
		t.apply = func(b *record.Batch) error {
			v := hashed(b, cols, hashers)
			refs := b.NewRefs(len(b.Refs))
			copy(refs, b.Refs)
			for i, c := range cols {
				refs[c] = record.Ref{Vector: v, Field: i}
			}
			b.Refs = refs
			return rebind(b)
		}
		return t, nil
	}
	return step
}

// hasher is what one goroutine at a time makes hashes with.
type hasher struct {
	mac  hash.Hash
	in   []byte
	sum  [sha256.Size]byte
	text [2 * sha256.Size]byte
}

// hash returns the hash of s, which is good until the next one.
func (h *hasher) hash(s string) []byte {
	h.in = append(h.in[:0], s...)
	h.mac.Reset()
	h.mac.Write(h.in)
	hex.Encode(h.text[:], h.mac.Sum(h.sum[:0]))
	return h.text[:]
}

// hashed makes the vector of the hashes of some columns.
func hashed(b *record.Batch, cols []int, hashers *sync.Pool) *record.Vector {
	h := hashers.Get().(*hasher)
	defer hashers.Put(h)
	out := record.NewBuilder(len(cols))
	out.Reserve(b.Rows, b.Len()*len(cols)*2*sha256.Size)
	selected := 0
	for row := range b.Rows {
		if selected >= b.Len() || b.Row(selected) != row {
			for range cols {
				out.NULL()
			}
			out.EndRow()
			continue
		}
		selected++
		for _, c := range cols {
			v := b.Value(row, c)
			if v.IsNull() {
				out.NULL()
				continue
			}
			out.Bytes(h.hash(v.String()))
		}
		out.EndRow()
	}
	return out.VectorOf(b)
}
