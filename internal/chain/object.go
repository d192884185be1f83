package chain

// object is one that a divider fills.
type object struct {
	Object
	d  *divider
	of *partition
	id int // the order in which objects began

	// Before it is open:
	rows    text  // that wait
	spilled bool  // more of them wait on disk, before those
	size    int64 // bytes of both, and of what the object begins with

	// Once it is open:
	sink   ByteSink
	enc    *encoding
	bottom *bottom
	base   int64 // bytes stored when that was last certain
	since  int64 // bytes given to the sink since
}

// open opens the object's sink and writes what it begins with.
func (o *object) open() error {
	d := o.d
	sink, bottom, err := d.run.openSink(&o.Object)
	if err != nil {
		return err
	}
	o.sink, o.bottom, o.enc = sink, bottom, d.enc
	if o.enc == nil {
		o.enc, err = d.run.openEncoding(o, d.schema)
	}
	if err == nil && len(o.enc.start) > 0 {
		err = o.write(o.enc.start)
	}
	if err != nil {
		sink.Abort()
		o.sink = nil
	}
	return err
}

// Write gives bytes to the sink.
func (o *object) Write(p []byte) (int, error) {
	o.since += int64(len(p))
	return o.sink.Write(p)
}

func (o *object) write(p []byte) error {
	_, err := o.Write(p)
	return err
}

// complete writes the rest and finishes the object; if that fails, panics or
// ends its goroutine, the object is aborted.
func (o *object) complete(rest func() error) error {
	filled := false
	defer func() {
		if !filled && o.sink != nil {
			o.abort()
		}
	}()
	if rest != nil {
		if err := rest(); err != nil {
			return err
		}
	}
	filled = true
	return o.finish()
}

// finish ends the object. It is complete then, or aborted.
func (o *object) finish() error {
	if err := o.enc.close(o.d.run, nil); err != nil {
		o.sink.Abort()
		return err
	}
	return o.sink.Finish()
}

// abort gives the object up.
func (o *object) abort() {
	_ = o.enc.close(o.d.run, errAborted)
	o.sink.Abort()
}

// fits tells whether the object stays within its size with n bytes more. What a
// codec makes of them nobody knows before; where the worst would be too much,
// and that may be far from true, the codec is asked.
func (d *divider) fits(o *object, n int64) (bool, error) {
	most := d.run.division.size
	if o.sink == nil {
		if d.run.worst(o.size+n) <= most {
			return true, nil
		}
		if len(d.run.writers) == 0 || o.spilled || o.rows.size < most/worthSettling {
			return false, nil
		}
		if err := d.open(o); err != nil {
			return false, err
		}
	}
	if o.base+d.run.worst(o.since+n) <= most {
		return true, nil
	}
	if o.since < most/worthSettling {
		return false, nil
	}
	certain, err := o.settle()
	return err == nil && certain && o.base+d.run.worst(o.since+n) <= most, err
}

// settle makes all that was written reach the store, if all writers can.
func (o *object) settle() (certain bool, err error) {
	for sink := o.sink; ; {
		step, ok := sink.(*stepSink)
		if !ok {
			break
		}
		certain, err := step.flush()
		if !certain || err != nil {
			return false, err
		}
		sink = step.next
	}
	o.base, o.since = o.bottom.size, 0
	return true, nil
}
