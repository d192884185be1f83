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
	macs := &sync.Pool{New: func() any { return hmac.New(sha256.New, secret) }}
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
			v := hashed(b, cols, macs)
			refs := append([]record.Ref(nil), b.Refs...)
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

// hashed makes the vector of the hashes of some columns.
func hashed(b *record.Batch, cols []int, macs *sync.Pool) *record.Vector {
	mac := macs.Get().(hash.Hash)
	defer macs.Put(mac)
	out := record.NewBuilder(len(cols))
	out.Reserve(b.Rows, b.Len()*len(cols)*2*sha256.Size)
	var sum [sha256.Size]byte
	var text [2 * sha256.Size]byte
	var in []byte
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
			in = append(in[:0], v.String()...)
			mac.Reset()
			mac.Write(in)
			hex.Encode(text[:], mac.Sum(sum[:0]))
			out.Bytes(text[:])
		}
		out.EndRow()
	}
	return out.Vector()
}
