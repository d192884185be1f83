package chain

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"

	"github.com/seed149ec23d/s3writer/internal/record"
)

// mostKeys is how many distinct keys a Dedupe remembers: as many as keySetState
// holds.
const mostKeys = 4_000_000

// Dedupe keeps the first record of each key: the values of columns, or of all
// columns if none is named.
func Dedupe(columns []string) Step { return dedupe(columns, mostKeys) }

func dedupe(columns []string, most int) Step {
	step := Step{name: "Dedupe", args: quoted(columns), kind: recordStep, ordered: true,
		err: distinctIfAny(columns), state: func(int) int64 { return keySetState }}
	step.open = func(s *record.Schema) (*transform, error) {
		cols, err := lookupOrAll(s, columns)
		if err != nil {
			return nil, err
		}
		t := &transform{}
		d := &deduper{cols: cols, most: most, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
		t.apply = func(b *record.Batch) error {
			before := b.Len()
			if err := d.apply(b); err != nil {
				return err
			}
			t.filtered.Add(int64(before - b.Len()))
			return nil
		}
		return t, nil
	}
	return step
}

// deduper remembers the keys of one table, as hashes.
type deduper struct {
	cols  []int
	most  int
	seeds [2]maphash.Seed
	seen  keySet
	key   []byte
}

// apply leaves the rows of b whose keys are new.
func (d *deduper) apply(b *record.Batch) error {
	var selection []int32 // nil as long as all are new
	n := b.Len()
	for i := range n {
		row := b.Row(i)
		isNew := d.seen.add(d.fingerprint(b, row))
		if d.seen.keys > d.most {
			return rowError(b, row, "", fmt.Errorf("this is one more than %d distinct keys, for which there is no memory; "+
				"leave duplicates out where the rows come from (SELECT DISTINCT), or deliver the table in parts", d.most))
		}
		switch {
		case isNew && selection != nil:
			selection = append(selection, int32(row))
		case !isNew && selection == nil:
			selection = firstRows(b, b.NewSelection(), i)
		}
	}
	if selection != nil {
		b.Selection = selection
	}
	return nil
}

// fingerprint hashes the key of a row: its values, each with its length, so
// that no two keys are the same bytes.
func (d *deduper) fingerprint(b *record.Batch, row int) fingerprint {
	key := d.key[:0]
	for _, c := range d.cols {
		v := b.Value(row, c)
		if v.IsNull() {
			key = append(key, 0)
			continue
		}
		key = binary.AppendUvarint(key, uint64(len(v.String()))+1)
		key = append(key, v.String()...)
	}
	d.key = key
	first, second := maphash.Bytes(d.seeds[0], key), maphash.Bytes(d.seeds[1], key)
	return fingerprint{uint32(first), uint32(first >> 32), uint32(second)}
}

// fingerprint stands for a key: 96 bits of two hashes under random seeds. That
// any two of n keys share one has the odds n²/2 to 2^96.
type fingerprint [3]uint32

const (
	fingerprintSize = 12
	bucketBits      = 8
	// largestBucket is where buckets stop to double: mostKeys fill three
	// quarters of them.
	largestBucket = 21845
	// keySetState is the memory of a full keySet.
	keySetState = largestBucket * fingerprintSize << bucketBits
)

// keySet is a set of fingerprints: hash tables with open addressing, many small
// ones, so that none costs much memory while it grows.
type keySet struct {
	buckets [1 << bucketBits]bucket
	keys    int
}

// bucket is one hash table. The zero fingerprint is an empty slot.
type bucket struct {
	slots []fingerprint
	keys  int
}

// add tells whether f was not in the set yet.
func (s *keySet) add(f fingerprint) bool {
	if f == (fingerprint{}) {
		f[0] = 1
	}
	seg := &s.buckets[f[0]>>(32-bucketBits)]
	if 4*seg.keys >= 3*len(seg.slots) {
		seg.grow()
	}
	if !seg.add(f) {
		return false
	}
	s.keys++
	return true
}

func (s *bucket) grow() {
	old := s.slots
	s.keys = 0
	s.slots = make([]fingerprint, s.larger(len(old)))
	for _, f := range old {
		if f != (fingerprint{}) {
			s.add(f)
		}
	}
}

// larger returns the size after the given one: halves of the largest, halved
// again and again.
func (s *bucket) larger(size int) int {
	n := largestBucket
	for n/2 > max(size, largestBucket>>10) {
		n /= 2
	}
	if n <= size {
		n = 2 * size
	}
	return n
}

func (s *bucket) add(f fingerprint) bool {
	n := len(s.slots)
	for i := int(uint64(f[1]) * uint64(n) >> 32); ; {
		switch s.slots[i] {
		case f:
			return false
		case fingerprint{}:
			s.slots[i] = f
			s.keys++
			return true
		}
		if i++; i == n {
			i = 0
		}
	}
}
