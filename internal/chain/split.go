package chain

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/seed149ec23d/s3writer/internal/record"
)

// division is how the rows of a table are divided among objects.
type division struct {
	partition bool  // by the values of columns
	rows      int64 // > 0: at most so many in one object
	size      int64 // > 0: and so many bytes as stored
}

func (d division) divides() bool { return d != division{} }

// SplitRows gives each object at most n records.
func SplitRows(n int64) Step {
	step := Step{name: "SplitRows", args: strconv.FormatInt(n, 10), kind: recordStep, division: division{rows: n}}
	if n < 1 {
		step.err = fmt.Errorf("the number of records is %d; an object has at least one", n)
	}
	return step
}

// SplitSize gives each object at most n bytes as stored.
func SplitSize(n int64) Step {
	step := Step{name: "SplitSize", args: strconv.FormatInt(n, 10), kind: recordStep, division: division{size: n}}
	if n < 1 {
		step.err = fmt.Errorf("the size is %d bytes; it must be positive", n)
	}
	return step
}

// PartitionBy takes columns out of the records and gives each combination of
// their values objects of its own.
func PartitionBy(columns []string) Step {
	step := Step{name: "PartitionBy", args: quoted(columns), kind: recordStep, err: distinct(columns),
		division: division{partition: true}, by: columns}
	if i := slices.Index(columns, ""); i >= 0 {
		step.err = errors.Join(step.err, fmt.Errorf("the name of column %d is empty; it would be that of a folder", i+1))
	}
	step.open = func(s *record.Schema) (*transform, error) {
		by, err := lookup(s, columns)
		if err != nil {
			return nil, err
		}
		var keep []int
		named := make(map[int]bool, len(by))
		for _, c := range by {
			named[c] = true
		}
		for c := range s.Columns {
			if !named[c] {
				keep = append(keep, c)
			}
		}
		if len(keep) == 0 {
			return nil, errors.New("no column would be left in the objects")
		}
		t := project(s, keep)
		rest := t.apply
		t.apply = func(b *record.Batch) error {
			b.Partition = make([]record.Ref, len(by))
			for i, c := range by {
				b.Partition[i] = b.Refs[c]
			}
			return rest(b)
		}
		t.partition = columns
		return t, nil
	}
	return step
}

// divide notes how a step divides, or says why it cannot.
func (p *Program) divide(n *numbered) error {
	d := &p.division
	switch {
	case n.division.partition && d.partition:
		return errors.New("the records are partitioned already; name all columns in one PartitionBy")
	case n.division.partition && d.divides():
		return fmt.Errorf("has to come before the records are split; put %s first", n.name)
	case n.division.rows > 0 && d.rows > 0, n.division.size > 0 && d.size > 0:
		return errors.New("is there twice; leave one of them out")
	}
	if n.division.partition {
		d.partition, p.by = true, n.by
	}
	d.rows = max(d.rows, n.division.rows)
	d.size = max(d.size, n.division.size)
	return nil
}

// Divides tells whether the chain may make several objects of a table.
func (p *Program) Divides() bool { return p.division.divides() }

// Partitions tells whether it does so by the values of columns.
func (p *Program) Partitions() bool { return p.division.partition }

// worst is the most that n bytes can be stored as, if somebody's own writers do
// not make more of them.
func (p *Program) worst(n int64) int64 {
	for i := range p.writers {
		if f := p.writers[i].worst; f != nil {
			n = f(n)
		}
	}
	return n
}

// doors tells whether objects are written by somebody's own functions, which
// are called one at a time.
func (p *Program) doors() bool {
	for i := range p.writers {
		if p.writers[i].callback {
			return true
		}
	}
	return p.encoder != nil && p.encoder.callback
}
