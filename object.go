package s3writer

import (
	"context"
	"io"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed149ec23d/s3writer/internal/chain"
	"github.com/seed149ec23d/s3writer/internal/upload"
)

// object is an object that is safe and not visible, until it is committed.
type object struct {
	Object
	pending *upload.Pending // nil: settled, whatever that came to
}

func (o *object) unsettled() bool { return o.pending != nil }

// alive asks whether the upload of a staged object is still there. If it is not, the
// object may be: who has committed it may have ended before telling.
func (o *object) alive(ctx context.Context) error {
	err := o.pending.Alive(ctx)
	if upload.Gone(err) {
		o.State, err = Unknown, goneError{err}
	}
	return err
}

// goneError is an ErrCommitUnknown in the words of what it wraps.
type goneError struct{ error }

func (e goneError) Unwrap() []error { return []error{ErrCommitUnknown, e.error} }

// abort removes what is not visible yet.
func (o *object) abort(d *delivery) {
	left := o.pending.Abort(d.caller)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.addOrphans(left)
	o.pending = nil
}

// settled lets go of an object that is committed, and reports what lies beside it.
func (o *object) settled(d *delivery) {
	d.orphaned(o.pending.Leftover())
	o.pending = nil
}

// retain keeps an object for another commit. The error says why that has to have its
// bytes in memory.
func (o *object) retain(ctx context.Context, d *delivery) error {
	err := o.pending.Retain(ctx)
	d.orphaned(o.pending.Leftover())
	return err
}

// open opens one of the table's objects. Several goroutines may.
func (d *delivery) open(ctx context.Context, o *chain.Object) (sink chain.ByteSink, err error) {
	defer recovered("ObjectInput", &err)
	key := d.keys.of(o)
	if err := checkKey(key); err != nil {
		return nil, d.objectError(key, err)
	}
	d.opened.Add(1)
	s := &objectSink{d: d, key: key, object: o, stream: d.engine.Open(ctx, d.admission, d.object(key))}
	if !d.fills(s) {
		s.stream.Abort()
		return nil, chain.Cause(ctx)
	}
	return s, nil
}

// fills notes that an object is being filled, unless the run was abandoned.
func (d *delivery) fills(s *objectSink) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left {
		return false
	}
	if d.filling == nil {
		d.filling = map[*objectSink]struct{}{}
	}
	d.filling[s] = struct{}{}
	return true
}

// leave leaves a run to itself, whose goroutine is stuck in somebody's function,
// and gives up the objects that it was filling.
func (d *delivery) leave() {
	d.mu.Lock()
	filling := d.filling
	d.filling, d.left = nil, true
	d.mu.Unlock()
	var wait sync.WaitGroup
	for s := range filling {
		wait.Go(func() {
			left := s.stream.Abort()
			d.mu.Lock()
			defer d.mu.Unlock()
			d.addOrphans(left)
		})
	}
	wait.Wait()
}

func (d *delivery) abandoned() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.left
}

// accepts says what is wrong with the key of a partition's objects.
func (d *delivery) accepts(o *chain.Object) error { return checkKey(d.keys.of(o)) }

// object is how the engine is told to make an object.
func (d *delivery) object(key string) upload.Object {
	o := upload.Object{Key: key, Size: -1, Caller: d.caller, ContentType: contentType(key, d.program.Charset()), Sent: func(n int64) {
		d.sent.Add(n)
		d.tell(false)
	}}
	// The source may be standing still, and the run with it.
	o.Failed = func(err error) { d.cancel(&uploadError{d, d.objectError(key, err)}) }
	o.Input = d.objectInput()
	return o
}

// objectInput is what the Writer and the table's owner change of how an object
// is made; nil: nothing.
func (d *delivery) objectInput() func(*s3.CreateMultipartUploadInput) {
	changes := slices.Clone(d.w.opts.objectInput)
	if d.table.ObjectInput != nil {
		changes = append(changes, d.table.ObjectInput)
	}
	if len(changes) == 0 {
		return nil
	}
	return func(in *s3.CreateMultipartUploadInput) {
		for _, change := range changes {
			change(in)
		}
	}
}

// objectSink is an upload as the chain writes it.
type objectSink struct {
	d      *delivery
	key    string
	object *chain.Object
	stream *upload.Stream
}

func (s *objectSink) Write(p []byte) (int, error) {
	n, err := s.stream.Write(p)
	s.d.tell(false)
	return n, s.failed(err)
}

// ReadFrom reads a source straight into parts.
func (s *objectSink) ReadFrom(r io.Reader) (int64, error) {
	n, err := s.stream.ReadFrom(r)
	if chain.IsSource(err) {
		return n, err
	}
	return n, s.failed(err)
}

// ReadRange reads a source at offsets, straight into parts.
func (s *objectSink) ReadRange(r io.ReaderAt, off, n int64) error {
	err := s.stream.ReadRange(r, off, n)
	if chain.IsSource(err) {
		return err
	}
	return s.failed(err)
}

func (s *objectSink) Finish() error {
	p, err := s.stream.Finish()
	if err != nil {
		s.Abort()
		return s.failed(err)
	}
	s.d.finished(s, &object{pending: p, Object: Object{
		Key: p.Key, Size: p.Size, Rows: s.object.Rows, Parts: p.Parts, CRC64NVME: p.CRC64NVME,
		Partition: s.object.Partition,
	}})
	return nil
}

func (s *objectSink) Abort() {
	left := s.stream.Abort()
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if !s.d.left {
		delete(s.d.filling, s)
		s.d.addOrphans(left)
	}
}

func (s *objectSink) failed(err error) error {
	if err == nil {
		return nil
	}
	return &uploadError{s.d, s.d.objectError(s.key, err)}
}

func (d *delivery) finished(s *objectSink, o *object) {
	if !d.has(s, o) { // the table has its report
		o.pending.Abort(d.caller)
	}
}

// has adds a finished object to the table's, unless the run was abandoned.
func (d *delivery) has(s *objectSink, o *object) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left {
		return false
	}
	delete(d.filling, s)
	if len(d.filling) == 0 {
		d.filling = nil // the last one, of most tables, and there may be very many of these
	}
	d.objects = append(d.objects, o)
	return true
}

func (d *delivery) orphaned(left []upload.Orphan) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.left {
		d.addOrphans(left)
	}
}

func (d *delivery) addOrphans(left []upload.Orphan) {
	for _, o := range left {
		d.orphans = append(d.orphans, Orphan{Key: o.Key, UploadID: o.UploadID, Err: o.Err, terms: o.Terms})
	}
}
