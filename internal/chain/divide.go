package chain

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/seed149ec23d/s3writer/internal/record"
)

// Object is one of the objects that a run makes.
type Object struct {
	Partition []string // the values of the columns of PartitionBy, as the key has them before it escapes them
	Path      string   // made of them, with a slash behind; "" without PartitionBy
	Number    int      // among the objects of its partition, from 1; 0: the table's only one
	Rows      int64    // filled in before the object's sink is finished
}

// divider sends the rows of a table to the objects they belong in. What goes
// where depends on the rows and their order alone, never on who was faster.
//
// Jobs group and encode their rows before their turn; the divider takes the pieces
// in order. Without partitions they go straight into the
// object. The rows of partitions wait in memory until there are enough of them,
// or no more: an open object costs a part and a codec, and there may be ten
// thousand values.
type divider struct {
	run      *run
	schema   *record.Schema
	by       []string  // columns that rows are partitioned by
	enc      *encoding // nil: each object opens its own
	parallel bool      // objects may be closed several at once

	partitions map[string]*partition
	order      []*partition // as they first appeared
	overhead   int64        // bytes that the partitions themselves and all objects take
	objects    int          // begun so far
	waiting    *chunks      // of rows that wait
	held       int64        // bytes of it that no closing object has
	spill      *spill       // where they go when it is full; nil: into objects

	slots   chan struct{} // one for each object that may be open
	kept    []*object     // open, the one written to last at the end
	closing sync.WaitGroup
	closed  atomic.Int64 // objects that were finished
}

// partition is one combination of values, or all there is.
type partition struct {
	values []string
	path   string
	number int // of its last object
	object *object
}

const (
	// lookedAt is how many rows are encoded at a time where an object may end
	// between any two.
	lookedAt = 64
	// worthKeeping is how many bytes of a partition make its object stay open
	// when memory is short. With less, more objects would be open than there
	// is room for.
	worthKeeping = 1 << 20
	// worthSettling is the share of the largest size that has to be uncertain
	// before a codec is made to say what it comes to.
	worthSettling = 32
)

func (r *run) newDivider(s *record.Schema) (*divider, error) {
	d := &divider{run: r, schema: s, partitions: map[string]*partition{}, slots: make(chan struct{}, r.in.Share.Objects)}
	for _, st := range r.stages {
		for _, t := range slices.Concat(st.parallel, st.ordered) {
			if t.partition != nil {
				d.by = t.partition
			}
		}
	}
	d.parallel = !r.doors()
	if d.by != nil {
		d.waiting = newChunks(r.in.Share.Waiting)
		if r.in.Spill != "" {
			d.spill = newSpill(r.in.Spill)
		}
	}
	if r.encoder != nil && r.encoder.callback {
		return d, nil
	}
	var err error
	d.enc, err = r.openEncoding(nil, s)
	return d, err
}

// piece is rows of one group, encoded.
type piece struct {
	group *group
	rows  []int32
	end   int // in the job's output; where it begins, the piece before ends
}

// pack is the divider's part of what needs no order.
func (d *divider) pack(j *job) error {
	g := groupers.Get().(*grouper)
	defer groupers.Put(g)
	for _, b := range j.batches {
		before := len(j.pack.groups)
		g.group(b, &j.pack)
		if groups := j.pack.groups[before:]; d.enc != nil && len(groups) > 0 {
			appender := d.enc.rows(b)
			for i := range groups {
				groups[i].append = appender
			}
		}
	}
	j.groups, j.pieces = j.pack.groups, j.pack.pieces
	j.out, j.packed = j.buffer(), true
	return d.encode(j)
}

// encode makes pieces of the job's groups until its buffer is full.
func (d *divider) encode(j *job) error {
	for len(j.groups) > 0 && len(j.out) < maxOut {
		g := &j.groups[0]
		n := len(g.rows)
		if n > lookedAt && (d.run.division.rows > 0 || d.run.division.size > 0 || !d.run.lean(g.batch)) {
			n = lookedAt
		}
		rows := g.rows[:n]
		if d.enc != nil {
			var err error
			if j.out, err = g.append(j.out, rows); err != nil {
				return d.run.encoderError(g.batch, err)
			}
		}
		j.pieces = append(j.pieces, piece{g, rows, len(j.out)})
		if g.rows = g.rows[n:]; len(g.rows) == 0 {
			j.groups = j.groups[1:]
		}
	}
	j.pack.pieces = j.pieces[:0]
	return nil
}

// write takes the rows of a job to their objects.
func (d *divider) write(j *job) error {
	if !j.packed { // a batch that was made in this turn
		if err := d.pack(j); err != nil {
			return err
		}
	}
	for {
		from := 0
		for i := range j.pieces {
			p := &j.pieces[i]
			if p.group.to == nil {
				var err error
				if p.group.to, err = d.partition(p.group, p.rows); err != nil {
					return err
				}
			}
			err := d.deliver(p.group.to, p.group, p.rows, j.out[from:p.end])
			if err != nil {
				return err
			}
			from = p.end
		}
		if len(j.groups) == 0 {
			return nil
		}
		j.recycle()
		j.pieces, j.out = j.pieces[:0], j.buffer()
		if err := d.encode(j); err != nil {
			return err
		}
	}
}

// deliver adds rows and what they are encoded to, and begins objects as often
// as it takes.
func (d *divider) deliver(p *partition, g *group, rows []int32, encoded []byte) error {
	if err := d.room(len(encoded)); err != nil {
		return err
	}
	if p.object == nil {
		if err := d.charge(objectBytes, g, rows); err != nil {
			return err
		}
	}
	o := d.objectOf(p)
	left := len(rows)
	if most := d.run.division.rows; most > 0 {
		left = int(min(int64(left), most-o.Rows))
	}
	fits := left == len(rows)
	if fits && d.run.division.size > 0 {
		var err error
		if fits, err = d.fits(o, int64(len(encoded))); err != nil {
			return err
		}
		if !fits {
			left = len(rows) / 2
		}
	}
	switch {
	case fits, len(rows) == 1 && o.Rows == 0: // a row larger than an object may be is an object
		return d.put(o, g, rows, encoded)
	case left == 0:
		if err := d.end(p); err != nil {
			return err
		}
		return d.deliver(p, g, rows, encoded)
	}
	for _, part := range [][]int32{rows[:left], rows[left:]} {
		var out []byte
		if d.enc != nil {
			var err error
			if out, err = g.append(nil, part); err != nil {
				return d.run.encoderError(g.batch, err)
			}
		}
		if err := d.deliver(p, g, part, out); err != nil {
			return err
		}
	}
	return nil
}

// objectOf returns the object that the next row of a partition belongs in.
func (d *divider) objectOf(p *partition) *object {
	if p.object == nil {
		p.number++
		d.objects++
		p.object = &object{
			Object: Object{Partition: p.values, Path: p.path, Number: p.number},
			d:      d, of: p, id: d.objects,
		}
		if d.enc != nil {
			p.object.size = int64(len(d.enc.start))
		}
	}
	return p.object
}

// put adds rows to an object.
func (d *divider) put(o *object, g *group, rows []int32, encoded []byte) error {
	o.Rows += int64(len(rows))
	if o.sink == nil && (d.by == nil || d.enc == nil) {
		if err := d.open(o); err != nil {
			return err
		}
	}
	switch {
	case o.sink == nil:
		return d.wait(o, encoded)
	case d.enc != nil:
		d.used(o)
		_, err := o.Write(encoded)
		return err
	}
	d.used(o)
	b := *g.batch
	b.Selection = rows
	if err := o.enc.encode(&b); err != nil {
		return d.run.encoderError(g.batch, err)
	}
	return nil
}

// large tells whether rows are too much to wait: they would not leave room for
// others.
func (d *divider) large(n int) bool { return int64(n) > d.waiting.max/16 }

// room makes room for n bytes of rows that may have to wait.
func (d *divider) room(n int) error {
	if d.waiting == nil || d.enc == nil || d.held+int64(n) <= d.waiting.max*7/8 {
		return nil
	}
	return d.relieve()
}

// wait keeps encoded rows until the object has enough of them.
func (d *divider) wait(o *object, encoded []byte) error {
	switch {
	case !d.large(len(encoded)):
		taken, err := o.rows.append(d.run.ctx, d.waiting, encoded)
		d.held += taken
		o.size += int64(len(encoded))
		return err
	case d.spill == nil:
		if err := d.open(o); err != nil {
			return err
		}
		return o.write(encoded)
	}
	if err := d.spillAll([]*object{o}); err != nil { // what is before them
		return err
	}
	o.spilled, o.size = true, o.size+int64(len(encoded))
	err := d.spill.write(o.id, int64(len(encoded)), func(f func([]byte) error) error { return f(encoded) })
	if err != nil {
		return d.step().error(err)
	}
	d.spill.seal()
	return nil
}

// relieve makes room: rows that wait go to the disk, or else into objects, those
// of the largest first. The memory is free when those objects are closed.
func (d *divider) relieve() error {
	var largest []*object
	for _, p := range d.order {
		if o := p.object; o != nil && o.rows.size > 0 {
			largest = append(largest, o)
		}
	}
	if d.spill != nil {
		return d.spillAll(append(largest, d.spill.ended...))
	}
	slices.SortStableFunc(largest, func(a, b *object) int { return cmp.Compare(b.rows.size, a.rows.size) })
	for _, o := range largest {
		if d.held <= d.waiting.max*13/16 {
			break
		}
		var err error
		if o.size >= worthKeeping && cap(d.slots) > 1 {
			err = d.open(o)
		} else {
			err = d.end(o.of)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// spillAll writes all rows that wait to the disk.
func (d *divider) spillAll(objects []*object) error {
	slices.SortFunc(objects, func(a, b *object) int { return cmp.Compare(a.id, b.id) })
	for _, o := range objects {
		if o.rows.size == 0 {
			continue
		}
		err := d.spill.write(o.id, o.rows.size, func(f func([]byte) error) error { return o.rows.each(d.waiting, f) })
		if err != nil {
			return d.step().error(err)
		}
		o.spilled = true
		d.release(o)
	}
	d.spill.seal()
	return nil
}

// release gives back the memory of rows that no longer wait.
func (d *divider) release(o *object) {
	d.held -= o.rows.memory(d.waiting)
	o.rows.release(d.waiting)
}

// open opens an object's sink and writes what waits for it.
func (d *divider) open(o *object) error {
	if err := d.slot(); err != nil {
		return err
	}
	if err := o.open(); err != nil {
		<-d.slots
		return err
	}
	d.kept = append(d.kept, o)
	if o.rows.size == 0 {
		return nil
	}
	err := o.rows.each(d.waiting, o.write)
	d.release(o)
	return err
}

// slot waits until one more object may be open, and closes one if it must.
func (d *divider) slot() error {
	select {
	case d.slots <- struct{}{}:
		return nil
	default:
	}
	if len(d.kept) == cap(d.slots) {
		if err := d.end(d.kept[0].of); err != nil {
			return err
		}
	}
	select {
	case d.slots <- struct{}{}:
		return nil
	case <-d.run.ctx.Done():
		return Cause(d.run.ctx)
	}
}

// used notes that an open object is written to.
func (d *divider) used(o *object) {
	if n := len(d.kept); d.kept[n-1] != o {
		i := slices.Index(d.kept, o)
		copy(d.kept[i:], d.kept[i+1:])
		d.kept[n-1] = o
	}
}

// end ends the object of a partition. The next row begins another one.
func (d *divider) end(p *partition) error {
	o := p.object
	p.object = nil
	switch {
	case o == nil:
		return nil
	case o.spilled: // the rest of it is read when all are
		d.spill.ended = append(d.spill.ended, o)
		return nil
	case o.sink != nil:
		i := slices.Index(d.kept, o)
		d.kept = slices.Delete(d.kept, i, i+1)
		return d.close(o, nil)
	}
	if err := d.slot(); err != nil {
		return err
	}
	d.held -= o.rows.memory(d.waiting)
	return d.close(o, func() error {
		defer o.rows.release(d.waiting)
		if err := o.open(); err != nil {
			return err
		}
		return o.rows.each(d.waiting, o.write)
	})
}

// close finishes an object that has a slot, after rest has written what is still
// to be written, beside the others if it may. A failure ends the run.
func (d *divider) close(o *object, rest func() error) error {
	closed := func() error {
		defer func() { <-d.slots }()
		_, err := protect(func() (struct{}, error) { return struct{}{}, o.complete(rest) })
		if err == nil {
			d.closed.Add(1)
		}
		return err
	}
	if !d.parallel {
		return closed()
	}
	d.closing.Go(func() {
		err := errGoexit
		defer func() {
			if err != nil {
				d.run.fail(err)
			}
		}()
		err = closed()
	})
	return nil
}

// finish ends all objects. A table without rows is an object all the same,
// unless it is partitioned.
func (d *divider) finish() error {
	if d.objects == 0 && d.by == nil {
		p, err := d.partition(&group{}, nil)
		if err != nil {
			return err
		}
		if err := d.open(d.objectOf(p)); err != nil {
			return err
		}
	}
	for _, p := range d.order {
		if err := d.end(p); err != nil {
			return err
		}
	}
	if d.spill != nil {
		if err := d.endSpilled(); err != nil {
			return err
		}
	}
	d.closing.Wait()
	if err := Cause(d.run.ctx); err != nil {
		return err
	}
	if n := d.closed.Load(); n != int64(d.objects) { // whatever may have gone wrong: no object is forgotten
		return fmt.Errorf("only %d of %d objects were finished", n, d.objects)
	}
	return nil
}

// endSpilled ends the objects that have rows on the disk.
func (d *divider) endSpilled() error {
	ended := d.spill.ended
	if len(ended) == 0 {
		return nil
	}
	if err := d.spillAll(ended); err != nil { // their memory is needed for reading
		return err
	}
	d.waiting.drain()
	slices.SortFunc(ended, func(a, b *object) int { return cmp.Compare(a.id, b.id) })
	if err := d.spill.rewind(d.waiting.max / 2); err != nil {
		return d.step().error(err)
	}
	for i, o := range ended {
		ended[i] = nil // an object that is finished has nobody
		if err := d.slot(); err != nil {
			return err
		}
		d.kept = append(d.kept, o)
		if err := o.open(); err != nil {
			return err
		}
		if err := d.spill.read(o.id, o.write); err != nil {
			return d.step().error(err)
		}
		d.kept = d.kept[:len(d.kept)-1]
		if err := d.close(o, nil); err != nil {
			return err
		}
	}
	return nil
}

// discard gives up what is still open, after a failure.
func (d *divider) discard() {
	d.closing.Wait()
	for _, o := range d.kept {
		if o.sink != nil {
			o.abort()
		}
	}
	if d.spill != nil {
		d.spill.close()
	}
}
