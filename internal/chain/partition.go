package chain

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
	"unsafe"

	"github.com/seed149ec23d/s3writer/internal/record"
)

// group is the rows of a batch that belong in one partition.
type group struct {
	batch  *record.Batch
	append func(dst []byte, rows []int32) ([]byte, error)
	key    string // of the partition: its values, each with its length before it
	rows   []int32
	to     *partition // once it is known
}

// packing is the memory of a job's groups and pieces, which is the job's next time
// too: where most rows have a partition of their own, fresh memory for each block
// would be five times as much as the block, and more heap than all else until it
// is collected.
type packing struct {
	groups []group
	pieces []piece
	rows   []int32
	keys   []byte
}

// reset lets go of the rows of the block before.
func (p *packing) reset() {
	clear(p.groups)
	clear(p.pieces[:cap(p.pieces)])
	p.groups, p.pieces, p.rows, p.keys = p.groups[:0], p.pieces[:0], p.rows[:0], p.keys[:0]
}

// grouper sorts the rows of batches by partition. It is one goroutine's.
type grouper struct {
	slots   []int32 // hash table of the groups of a batch, from 1
	keys    []byte
	ends    []int32 // of each group's key in keys
	sums    []uint64
	counts  []int32
	groupOf []int32
	scratch []byte
}

var (
	groupers = sync.Pool{New: func() any { return new(grouper) }}
	keySeed  = maphash.MakeSeed()
)

// group adds the groups of b to p, in the order of their first rows.
func (g *grouper) group(b *record.Batch, p *packing) {
	n := b.Len()
	if n == 0 {
		return
	}
	if b.Partition == nil {
		rows := b.Selection
		if rows == nil {
			rows = firstRows(b, b.NewSelection(), n)
		}
		p.groups = append(p.groups, group{batch: b, rows: rows})
		return
	}
	g.reset(n)
	for i := range n {
		g.add(b, b.Row(i))
	}
	g.sorted(b, p)
}

func (g *grouper) reset(n int) {
	size := 16
	for size < 2*n {
		size *= 2
	}
	if cap(g.slots) < size {
		g.slots = make([]int32, size)
	}
	g.slots = g.slots[:size]
	clear(g.slots)
	g.keys, g.ends, g.sums = g.keys[:0], g.ends[:0], g.sums[:0]
	g.counts, g.groupOf = g.counts[:0], g.groupOf[:0]
}

// add finds the group of a row.
func (g *grouper) add(b *record.Batch, row int) {
	start := len(g.keys)
	for i := range b.Partition {
		var s string
		s, _, g.scratch = b.Partition[i].Text(row, g.scratch)
		g.keys = binary.AppendUvarint(g.keys, uint64(len(s)))
		g.keys = append(g.keys, s...)
	}
	key := g.keys[start:]
	sum := maphash.Bytes(keySeed, key)
	mask := uint64(len(g.slots) - 1)
	at := sum & mask
	for ; g.slots[at] != 0; at = (at + 1) & mask {
		i := g.slots[at] - 1
		if g.sums[i] == sum && string(g.key(i)) == string(key) {
			g.keys = g.keys[:start]
			g.counts[i]++
			g.groupOf = append(g.groupOf, i)
			return
		}
	}
	i := int32(len(g.ends))
	g.slots[at] = i + 1
	g.ends, g.sums = append(g.ends, int32(len(g.keys))), append(g.sums, sum)
	g.counts, g.groupOf = append(g.counts, 1), append(g.groupOf, i)
}

func (g *grouper) key(i int32) []byte {
	from := int32(0)
	if i > 0 {
		from = g.ends[i-1]
	}
	return g.keys[from:g.ends[i]]
}

// sorted adds the groups with their rows to p: they outlive the grouper's turn.
func (g *grouper) sorted(b *record.Batch, p *packing) {
	begin := len(p.keys)
	p.keys = append(p.keys, g.keys...)
	keys := unsafe.String(unsafe.SliceData(p.keys[begin:]), len(g.keys))
	first := len(p.rows)
	p.rows = slices.Grow(p.rows, len(g.groupOf))[:first+len(g.groupOf)]
	rows := p.rows[first:]
	before := len(p.groups)
	at, from := int32(0), int32(0)
	for i, end := range g.ends {
		p.groups = append(p.groups, group{batch: b, key: keys[from:end], rows: rows[at : at : at+g.counts[i]]})
		at, from = at+g.counts[i], end
	}
	groups := p.groups[before:]
	for i, k := range g.groupOf {
		groups[k].rows = append(groups[k].rows, int32(b.Row(i)))
	}
}

// hiveNull is the value of NULL and of the empty string in a path, as Hive has it.
const hiveNull = "__HIVE_DEFAULT_PARTITION__"

// newPartition makes a partition of a group's key. Its error has a column.
func newPartition(columns []string, key string) (*partition, error) {
	p := &partition{}
	var path strings.Builder
	for _, column := range columns {
		n, width := binary.Uvarint(unsafe.Slice(unsafe.StringData(key), len(key)))
		value := strings.Clone(key[width : width+int(n)])
		key = key[width+int(n):]
		switch {
		case value == "":
			value = hiveNull
		case value == hiveNull:
			return nil, &record.FieldError{Column: column, Err: fmt.Errorf("the value is %q, which is how readers know NULL", value)}
		case !utf8.ValidString(value):
			return nil, &record.FieldError{Column: column, Err: fmt.Errorf("the value %.40q is not valid UTF-8, and cannot be part of a key", value)}
		}
		p.values = append(p.values, value)
		appendEscaped(&path, column)
		path.WriteByte('=')
		appendEscaped(&path, value)
		path.WriteByte('/')
	}
	p.path = path.String()
	return p, nil
}

// Folders is the path of a partition, as far as it is known before there are
// values; "" without partitions.
func (p *Program) Folders() string {
	var path strings.Builder
	for _, column := range p.by {
		appendEscaped(&path, column)
		path.WriteString("=…/")
	}
	return path.String()
}

// appendEscaped writes s as Hive escapes names and values in paths
// (FileUtils.escapePathName).
func appendEscaped(b *strings.Builder, s string) {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c == 0x7f || strings.IndexByte("\"#%'*/:=?\\{[]^", c) >= 0:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		default:
			b.WriteByte(c)
		}
	}
}

// partition finds the partition of a group, or makes it.
// rows are those it is found by.
func (d *divider) partition(g *group, rows []int32) (*partition, error) {
	if p := d.partitions[g.key]; p != nil {
		return p, nil
	}
	p, err := newPartition(d.by, g.key)
	if err == nil && d.run.in.Accepts != nil {
		if err = d.run.in.Accepts(&Object{Partition: p.values, Path: p.path, Number: 1}); err != nil && len(d.by) > 0 {
			err = &record.FieldError{Column: d.by[len(d.by)-1], Err: err}
		}
	}
	if fe := (*record.FieldError)(nil); errors.As(err, &fe) {
		return nil, d.step().error(rowError(g.batch, int(rows[0]), fe.Column, fe.Err))
	}
	if err != nil {
		return nil, err
	}
	if err := d.charge(partitionBytes, g, rows); err != nil {
		return nil, err
	}
	d.partitions[strings.Clone(g.key)] = p
	d.order = append(d.order, p)
	return p, nil
}

const (
	partitionBytes = 512     // that a partition takes beside its rows
	objectBytes    = 1 << 10 // and each of its objects, until the table is committed; measured
)

// charge accounts for what a partition or an object takes for good. The rows that
// it begins with are where an error is.
func (d *divider) charge(n int64, g *group, rows []int32) error {
	share := d.run.in.Share
	if d.overhead += n; d.waiting == nil || d.overhead <= share.Partitions {
		return nil
	}
	// Rows that wait make room, up to three quarters of theirs.
	if over := d.overhead - share.Partitions; over <= share.Waiting*3/4 {
		d.waiting.limit(share.Waiting - over)
		return nil
	}
	err := fmt.Errorf("%d objects of %d combinations of values are more than the memory is enough for; "+
		"give WithSpill a folder, raise WithMemory, or partition by something coarser", d.objects, len(d.order))
	if d.spill != nil || d.objects <= len(d.order) {
		err = fmt.Errorf("%d combinations of values are more than the memory is enough for; "+
			"raise WithMemory, or partition by something coarser", len(d.order))
	}
	return d.step().error(rowError(g.batch, int(rows[0]), "", err))
}

// step is the PartitionBy of the chain.
func (d *divider) step() *numbered {
	for i := range d.run.records {
		if s := &d.run.records[i]; s.division.partition {
			return s
		}
	}
	return &numbered{}
}
