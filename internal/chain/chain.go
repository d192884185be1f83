// Package chain compiles a list of steps into a program and runs it: bytes or
// records are pulled from a source, and bytes are pushed into objects.
//
// Readers stand before the decoder, record steps behind it, then an encoder,
// then writers of bytes. The package knows records and nothing of S3: the
// objects it writes to are opened by a func.
package chain

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/seed149ec23d/s3writer/internal/record"
)

// kind is where in a chain a step stands.
type kind uint8

const (
	noStep      kind = iota // of the zero Step
	readerStep              // bytes of the source to bytes
	recordStep              // records to records
	encoderStep             // records to bytes
	writerStep              // bytes of an object to bytes
)

// Step is one link of a chain: a description, opened anew for every table or
// object. It is immutable and safe for concurrent use.
type Step struct {
	name string // what errors call it
	args string // for String, without the parentheses
	err  error  // what was wrong with its arguments
	kind kind

	ext        string // extension of what an encoder or a writer leaves, with its dot
	compressor bool
	charset    string                   // of what a writer leaves, which takes UTF-8; "": any
	ordered    bool                     // batches have to come one by one, in order
	concurrent bool                     // but the caller vouches that they need not
	callback   bool                     // calls somebody's function with records
	adds       bool                     // makes fields that are not in the source's text
	emits      bool                     // makes rows of its own
	division   division                 // how it divides rows among objects
	plain      bool                     // an encoder whose output is hardly larger than its input
	by         []string                 // columns that it partitions by
	state      func(parallel int) int64 // bytes of memory that is held while it is open; may be nil
	worst      func(n int64) int64      // the most that a writer makes of n bytes; nil: not known, taken for n

	wrap        func(io.Reader) (io.Reader, error)
	open        func(*record.Schema) (*transform, error)
	openEncoder openEncoder
	openBytes   func(next ByteSink, parallel int) (ByteSink, error)
}

// Name returns what errors call the step.
func (s Step) Name() string { return s.name }

// String returns the step as its constructor was called.
func (s Step) String() string {
	if s.kind == noStep {
		return "(no processor)"
	}
	return s.name + "(" + s.args + ")"
}

// WithName returns s under another name.
func (s Step) WithName(name string) Step {
	if name == "" {
		s.err = errors.Join(errors.New("was given an empty name by Named"), s.err)
		return s
	}
	s.name = name
	return s
}

// Concurrent returns s with its function called by several goroutines at once.
// A step without a function that takes records stays as it is.
func (s Step) Concurrent() Step {
	s.concurrent = s.callback
	return s
}

// Program is a chain whose form is right.
type Program struct {
	readers []numbered
	records []numbered
	encoder *numbered // nil: CSV as the source has it
	writers []numbered

	division division
	by       []string // columns of the partitions
}

// numbered is a step and its number in the chain, from 1.
type numbered struct {
	Step
	number int
}

// Compile checks the form of a chain: readers before records before the
// encoder before writers. Its errors are an [*Error] for every complaint.
func Compile(steps []Step) (p *Program, errs []error) {
	p = &Program{}
	var last *numbered // the step that decides what may follow
	for i, s := range steps {
		n := numbered{s, i + 1}
		if err := p.add(&n, last); err != nil {
			errs = append(errs, n.error(err))
			continue
		}
		last = &n
	}
	return p, errs
}

// add puts a step in its place, or says why it cannot stand behind last.
func (p *Program) add(n, last *numbered) error {
	switch {
	case n.kind == noStep:
		return errors.New("the zero Processor does nothing; make one with a constructor such as Select")
	case n.err != nil:
		return n.err
	}
	before := kind(0)
	if last != nil {
		before = last.kind
	}
	switch n.kind {
	case readerStep:
		if before > readerStep {
			return fmt.Errorf("reads the source's bytes, but %s before it has already taken them; put %s first", last.name, n.name)
		}
		p.readers = append(p.readers, *n)
	case recordStep:
		if before > recordStep {
			return needsRecords(n, last)
		}
		if n.emits && p.division.partition {
			return fmt.Errorf("makes records of its own, which belong to no partition; put %s before PartitionBy", n.name)
		}
		if n.division.divides() {
			if err := p.divide(n); err != nil {
				return err
			}
		}
		if n.open != nil {
			p.records = append(p.records, *n)
		}
	case encoderStep:
		if p.encoder != nil {
			return fmt.Errorf("writes the object, but %s before it has written it already; leave one of them out", p.encoder.name)
		}
		if before > recordStep {
			return needsRecords(n, last)
		}
		p.encoder = n
	case writerStep:
		first := p.compressorBefore()
		switch {
		case n.compressor && first != nil:
			return fmt.Errorf("compresses what %s before it has compressed already; leave one of them out", first.name)
		case n.charset != "" && first != nil:
			return fmt.Errorf("needs text, but %s before it leaves none; put %s first", first.name, n.name)
		case n.charset != "" && p.Charset() != "":
			return fmt.Errorf("needs UTF-8, but what is before it leaves %s; leave one of them out", p.Charset())
		}
		p.writers = append(p.writers, *n)
	}
	return nil
}

func (p *Program) compressorBefore() *numbered {
	for i := range p.writers {
		if p.writers[i].compressor {
			return &p.writers[i]
		}
	}
	return nil
}

// Charset returns the charset of the objects, as Content-Type has it; "" is
// UTF-8, or whatever an encoder leaves.
func (p *Program) Charset() string {
	for i := range p.writers {
		if c := p.writers[i].charset; c != "" {
			return c
		}
	}
	return ""
}

func needsRecords(n, last *numbered) error {
	return fmt.Errorf("needs records, but %s before it leaves none; put %s first", last.name, n.name)
}

// NeedsRecords tells whether the chain has to decode the source.
func (p *Program) NeedsRecords() bool {
	return len(p.records) > 0 || p.encoder != nil || p.Divides()
}

// ForRecords returns what is wrong with the chain for a source that has records.
func (p *Program) ForRecords() error {
	if len(p.readers) == 0 {
		return nil
	}
	return p.readers[0].error(errors.New("reads the source's bytes, but the source has records"))
}

// Extensions returns what the encoder and the writers add to a key, in order;
// encoded tells whether the first is an encoder's, which replaces the
// extension of the key rather than following it.
func (p *Program) Extensions() (exts []string, encoded bool) {
	if p.encoder != nil && p.encoder.ext != "" {
		exts, encoded = append(exts, p.encoder.ext), true
	}
	for _, w := range p.writers {
		if w.ext != "" {
			exts = append(exts, w.ext)
		}
	}
	return exts, encoded
}

// Budget is what there is of memory, all tables together, and what an open
// object takes of it besides its codec.
type Budget struct{ Memory, Object int64 }

// Share is what a run has of the memory besides the pages of its objects.
type Share struct {
	Bytes   int64 // in all
	Objects int   // that may be open at once, or being closed
	Waiting int64 // of Bytes: rows that wait for their partition's object

	Partitions int64 // of Bytes: the partitions themselves, and their finished objects
}

// Share returns what a run of the program needs: batches in flight, the state
// of codecs, rows that wait.
func (p *Program) Share(parallel int, b Budget) Share {
	if !p.Divides() {
		return Share{Bytes: p.flow(parallel) + p.codecState(parallel), Objects: 1}
	}
	// A sixth of the memory for open objects, two fifths for rows that wait, a third
	// for what partitions and finished objects take until they are committed.
	// How many objects there will be depends on both: they do not on the cores.
	most, codec := 2, p.codecState(1)
	if p.Partitions() {
		most = 8
	}
	s := Share{Objects: max(1, min(most, int(b.Memory/6/(b.Object+codec))))}
	s.Bytes = p.flow(parallel) + int64(s.Objects)*p.codecState(parallel)
	if p.Partitions() {
		left := b.Memory - p.flow(1) - int64(s.Objects)*(b.Object+codec)
		s.Partitions = max(1<<19, min(b.Memory/3, left*2/5))
		s.Waiting = max(1<<20, min(b.Memory*2/5, left-s.Partitions))
		s.Bytes += s.Waiting + s.Partitions
	}
	return s
}

// flow is what the blocks and batches on their way take, and what steps remember.
// Memory of blocks that waits for the next ones was there before: it is never
// more than that of the blocks that were on their way at once.
func (p *Program) flow(parallel int) (n int64) {
	switch {
	case p.NeedsRecords():
		const block = 2 // text, field bounds and rows selected
		stages, each, jobs := int64(p.stages()), int64(parallel+2), int64(inFlight(p.stages(), parallel))
		// A little in each stage, or all of them where they are encoded.
		n = max(stages*each*block+each*p.expansion(), jobs*(block+p.expansion())) * BlockSize
	case len(p.writers) > 0:
		n = int64(parallel+2) * BlockSize
	}
	for _, s := range p.records {
		if s.state != nil {
			n += s.state(parallel)
		}
	}
	return n
}

// codecState is what the encoder and the writers of one object hold.
func (p *Program) codecState(parallel int) (n int64) {
	steps := p.writers
	if p.encoder != nil {
		steps = append([]numbered{*p.encoder}, steps...)
	}
	for _, s := range steps {
		if s.state != nil {
			n += s.state(parallel)
		}
	}
	return n
}

// stages is how many stages the record steps make: see openSteps.
func (p *Program) stages() int {
	n, ordered := 1, false
	for _, s := range p.records {
		if s.ordered && !s.concurrent {
			ordered = true
		} else if ordered {
			n, ordered = n+1, false
		}
	}
	if ordered {
		n++
	}
	return n
}

// expansion is how many blocks a block can become on its way to bytes.
func (p *Program) expansion() int64 {
	if p.encoder != nil && !p.encoder.plain {
		return maxOut / BlockSize
	}
	for _, s := range p.records {
		if s.adds {
			return maxOut / BlockSize
		}
	}
	return 1
}

// Error says where in a chain something failed. Fields that are not known are
// zero, an Offset that is not known is -1.
type Error struct {
	Step      int
	Processor string
	Row       int64
	Offset    int64
	Column    string
	Object    *Object // of several, that was being written
	Err       error
}

func (e *Error) Error() string {
	var b strings.Builder
	switch {
	case e.Processor != "":
		fmt.Fprintf(&b, "step %d %s: ", e.Step, e.Processor)
	case e.Step > 0: // the zero step has no name
		fmt.Fprintf(&b, "step %d: ", e.Step)
	}
	if e.Row > 0 {
		fmt.Fprintf(&b, "row %d: ", e.Row)
	}
	if e.Column != "" {
		fmt.Fprintf(&b, "column %q: ", e.Column)
	}
	return b.String() + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// error gives err the place of the step. Where err knows a place already, only
// what it does not know is filled in.
func (n *numbered) error(err error) error {
	if err == nil {
		return nil
	}
	// Only an error of this chain itself: one that somebody's function returns
	// may have the error of another chain within.
	if e, ok := err.(*Error); ok {
		if e.Step == 0 {
			own := *e // it may be why the run has ended, which is no fault of this step
			own.Step, own.Processor = n.number, n.name
			return &own
		}
		return err
	}
	return &Error{Step: n.number, Processor: n.name, Offset: -1, Err: err}
}

// rowError gives err the place of a physical row of b, unless it has one: that
// of a step behind, which a RecordFunc hands its rows on to.
func rowError(b *record.Batch, row int, column string, err error) error {
	switch e := err.(type) {
	case *Error:
		return err
	case *record.FieldError:
		row, column, err = e.Row, e.Column, e.Err
	}
	return &Error{Row: b.Number(row), Offset: b.RowOffset(row), Column: column, Err: err}
}

// quoted returns the arguments of a constructor for String.
func quoted(args []string) string {
	q := make([]string, len(args))
	for i, a := range args {
		q[i] = fmt.Sprintf("%q", a)
	}
	return strings.Join(q, ", ")
}
