package s3writer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed149ec23d/s3writer/internal/chain"
	"github.com/seed149ec23d/s3writer/internal/upload"
)

// delivery is one table of one Write.
type delivery struct {
	w       *Writer
	number  int // of the table in its Write, from 1
	table   Table
	key     string // of its object
	program *chain.Program
	input   chain.Input
	begun   time.Time
	counts  chain.Counts
	sent    atomic.Int64 // bytes acknowledged

	engine    *upload.Engine
	admission *upload.Admission
	cancel    context.CancelCauseFunc // ends the table alone
	pending   *upload.Pending         // finished, not yet visible

	report  TableReport
	orphans []Orphan
	told    atomic.Int64 // when progress was last told, in Unix milliseconds
}

// plan checks a table's form; what is wrong is in its report.
func (w *Writer) plan(number int, t Table) *delivery {
	d := &delivery{w: w, number: number, table: t, begun: time.Now(), cancel: func(error) {}}
	d.report.Key = t.Key
	var errs []error
	complain := func(err error) {
		if err != nil {
			errs = append(errs, d.error(err))
		}
	}
	var steps []chain.Step
	for _, p := range slices.Concat(t.Processors, w.opts.processors) {
		steps = append(steps, p.list()...)
	}
	program, formErrs := chain.Compile(steps)
	for _, err := range formErrs {
		complain(err)
	}
	d.program = program
	var err error
	d.input, err = d.table.input()
	complain(err)
	if d.input.Source.Records != nil {
		complain(program.ForRecords())
	}
	d.input.Parallel = w.parallel()
	complain(d.setKey())
	d.report.Err = errors.Join(errs...)
	return d
}

// setKey makes the key of the table's object.
func (d *delivery) setKey() error {
	if err := checkTableKey(d.table.Key); err != nil {
		return err
	}
	exts, encoded := d.program.Extensions()
	d.key = joinKey(d.w.opts.prefix, objectKey(d.table.Key, exts, encoded))
	if warning := suspectKey(d.key); warning != "" {
		d.w.opts.logger.Warn("s3writer: suspect key", "key", d.key, "reason", warning)
	}
	return checkKey(d.key)
}

// name is how messages call the table.
func (d *delivery) name() string {
	if d.report.Key == "" {
		return fmt.Sprintf("table %d", d.number)
	}
	return fmt.Sprintf("table %q", d.report.Key)
}

// admit waits for the table's turn and tells whether it has come. failed is why
// there is no engine.
func (d *delivery) admit(ctx context.Context, engine *upload.Engine, failed error) bool {
	if d.report.Err != nil {
		return false
	}
	if failed != nil {
		d.fail(ctx, failed)
		return false
	}
	admission, err := engine.Admit(ctx, d.program.Memory(d.input.Parallel))
	if err != nil {
		d.fail(ctx, err)
		return false
	}
	d.engine, d.admission = engine, admission
	return true
}

// start gives the table a context of its own. It lasts until done: an object
// that waits for the other tables may still have to be sent under it.
func (d *delivery) start(ctx context.Context) context.Context {
	ctx, d.cancel = context.WithCancelCause(ctx)
	return ctx
}

// run takes the table from its source to a pending object.
func (d *delivery) run(ctx context.Context) {
	defer d.admission.Release()
	err := d.program.Run(ctx, d.input, &d.counts, func() (sink chain.ByteSink, err error) {
		defer recovered("ObjectInput", &err)
		return &objectSink{d: d, stream: d.engine.Open(ctx, d.admission, d.object())}, nil
	})
	d.count()
	if err == nil {
		err = d.accept()
	}
	if err != nil {
		d.abort(ctx)
		d.fail(ctx, err)
	} else if d.w.opts.allOrNothing {
		d.pending.Hold() // it waits for the others, and its memory may be wanted
	}
}

// object is how the engine is told to make the table's object.
func (d *delivery) object() upload.Object {
	o := upload.Object{Key: d.key, Size: -1, ContentType: contentType(d.key), Sent: func(n int64) {
		d.sent.Add(n)
		d.tell(false)
	}}
	// The source may be standing still, and the run with it.
	o.Failed = func(err error) { d.cancel(&uploadError{d, d.objectError(err)}) }
	changes := slices.Clone(d.w.opts.objectInput)
	if d.table.ObjectInput != nil {
		changes = append(changes, d.table.ObjectInput)
	}
	if len(changes) > 0 {
		o.Input = func(in *s3.CreateMultipartUploadInput) {
			for _, change := range changes {
				change(in)
			}
		}
	}
	return o
}

// objectSink is an upload as the chain writes it.
type objectSink struct {
	d      *delivery
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

func (s *objectSink) Finish() error {
	p, err := s.stream.Finish()
	if err != nil {
		s.Abort()
		return s.failed(err)
	}
	s.d.pending = p
	return nil
}

func (s *objectSink) Abort() { s.d.orphan(s.stream.Abort()) }

func (s *objectSink) failed(err error) error {
	if err == nil {
		return nil
	}
	return &uploadError{s.d, s.d.objectError(err)}
}

func (d *delivery) orphan(o *upload.Orphan) {
	if o != nil {
		d.orphans = append(d.orphans, Orphan{Key: o.Key, UploadID: o.UploadID, Err: o.Err})
	}
}

// count fills the report with what the run has counted.
func (d *delivery) count() {
	r, c := &d.report, &d.counts
	r.BytesRead = c.BytesRead.Load()
	r.RowsRead, r.RowsWritten = c.RowsRead.Load(), c.RowsWritten.Load()
	r.RowsFiltered, r.RowsRejected = c.RowsFiltered.Load(), c.RowsRejected.Load()
	if !d.countsRows() {
		r.RowsRead, r.RowsWritten, r.RowsFiltered, r.RowsRejected = -1, -1, -1, -1
	}
	if p := d.pending; p != nil {
		r.Objects = []Object{{Key: p.Key, Size: p.Size, Rows: r.RowsWritten, Parts: p.Parts, CRC64NVME: p.CRC64NVME}}
	}
}

func (d *delivery) countsRows() bool {
	return d.program.NeedsRecords() || d.input.Decode || d.input.Source.Records != nil
}

// accept asks the table's owner.
func (d *delivery) accept() (err error) {
	if d.table.Accept == nil {
		return nil
	}
	defer recovered("Accept", &err)
	report := d.report
	report.Objects = slices.Clone(report.Objects) // it is the callback's to keep
	report.Duration = time.Since(d.begun)
	if err := d.table.Accept(report); err != nil {
		return fmt.Errorf("refused by Accept: %w", err)
	}
	return nil
}

// recovered makes an error of a panic in the function that a table's owner gave.
func recovered(name string, err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%s: %w", name, &chain.PanicError{Value: p, Stack: debug.Stack()})
	}
}

// fail gives the table its error. Where the end of its context is the reason,
// the error says why it ended.
func (d *delivery) fail(ctx context.Context, err error) {
	d.report.Err = d.reason(ctx, err)
	for i := range d.report.Objects {
		if o := &d.report.Objects[i]; o.State != Committed && o.Err == nil {
			o.Err = d.report.Err
		}
	}
}

// reason finds the table's error.
func (d *delivery) reason(ctx context.Context, err error) *Error {
	why := context.Cause(ctx)
	if sent, ok := why.(*uploadError); ok && sent.of == d {
		return sent.err
	}
	if sibling, ok := why.(*siblingError); ok && sibling.of != d {
		return d.error(sibling)
	}
	var sent *uploadError
	if errors.As(err, &sent) && sent.of == d {
		return sent.err
	}
	var panicked *chain.PanicError
	if ctx.Err() != nil && same(err, why) && !errors.Is(err, ctx.Err()) && !errors.As(err, &panicked) {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return d.error(err)
}

// same tells whether two errors are one. == panics on errors such as slices,
// and a caller may cancel a context with any.
func same(a, b error) bool {
	if reflect.TypeOf(a) != reflect.TypeOf(b) {
		return false
	}
	if reflect.ValueOf(a).Comparable() {
		return a == b
	}
	return reflect.DeepEqual(a, b)
}

// abort removes what is not visible yet.
func (d *delivery) abort(ctx context.Context) {
	if d.pending == nil {
		return
	}
	d.orphan(d.pending.Abort(ctx))
	d.pending = nil
}

// done ends the table's report.
func (d *delivery) done() {
	d.cancel(nil)
	if d.admission == nil {
		d.table.discard()
	}
	d.report.Duration = time.Since(d.begun)
	d.tell(true)
}

// tellEvery is how often progress is told of one table.
const tellEvery = 100 * time.Millisecond

// tell calls the progress function if it is time to.
func (d *delivery) tell(done bool) {
	f := d.w.opts.progress
	if f == nil {
		return
	}
	now := time.Now().UnixMilli()
	last := d.told.Load()
	if !done && (now-last < tellEvery.Milliseconds() || !d.told.CompareAndSwap(last, now)) {
		return
	}
	if err := d.w.tell(f, func() Progress { return d.progress(done) }); err != nil {
		d.cancel(err)
	}
}

// tell calls f with what now returns under the lock: what is told never goes back.
func (w *Writer) tell(f func(Progress), now func() Progress) (err error) {
	w.progress.Lock()
	defer w.progress.Unlock()
	defer recovered("WithProgress", &err)
	f(now())
	return nil
}

func (d *delivery) progress(done bool) Progress {
	p := Progress{Table: d.report.Key, Done: done, RowsRead: -1,
		BytesRead: d.counts.BytesRead.Load(), BytesSent: d.sent.Load()}
	if d.admission != nil {
		p.Objects = 1
	}
	if d.countsRows() {
		p.RowsRead = d.counts.RowsRead.Load()
	}
	return p
}
