package upload

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Stream takes the bytes of one object and sends them in parts. Its methods are
// for one goroutine, but for Abort. It ends with Finish or Abort.
type Stream struct {
	engine    *Engine
	admission *Admission
	account   *account
	object    Object
	settings  *settings
	began     time.Time
	parent    context.Context
	ctx       context.Context
	cancel    context.CancelCauseFunc

	mu       sync.Mutex // held while the stream works: Abort waits for it
	schedule *schedule
	part     *part // the one being filled, may be nil
	target   int64 // its size
	size     int64
	crc      uint64
	ended    bool
	orphans  []Orphan

	sending sync.WaitGroup
	backlog *backlog
	opening sync.Once
	created chan struct{} // closed when Create has ended; made by opening
	id      string        // valid after created
	lost    bool          // an answer to Create never came
	partsMu sync.Mutex
	parts   []types.CompletedPart
}

// Orphan is what an upload has left in the bucket: parts that nobody sees and
// somebody pays for. A lifecycle rule for incomplete uploads removes them.
type Orphan struct {
	Key, UploadID string // no ID: the answer that named it was lost
	Terms
	Err error // why it could not be removed
}

func (s *settings) orphan(id string, err error) Orphan {
	return Orphan{Key: s.key, UploadID: id, Terms: s.terms(), Err: err}
}

// Open begins an object. Cancelling ctx, which is the table's, ends everything
// that is done for it. A wrong object shows in the first Write or in Finish.
func (e *Engine) Open(ctx context.Context, a *Admission, o Object) *Stream {
	near, _ := e.earlyParts()
	s := &Stream{engine: e, admission: a, object: o, began: time.Now(), parent: ctx, backlog: newBacklog(near)}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	if err := s.prepare(); err != nil {
		s.fail(err)
	}
	return s
}

func (s *Stream) prepare() (err error) {
	if s.account, err = s.admission.enter(); err != nil {
		s.ended = true
		return err
	}
	if s.settings, err = s.engine.settings(s.object); err != nil {
		return err
	}
	return s.plan()
}

// plan decides how large parts are.
func (s *Stream) plan() (err error) {
	cfg := &s.engine.cfg
	if s.schedule, err = newSchedule(s.engine.limits, cfg.PartSize, s.object.Size, cfg.Memory); err != nil {
		return err
	}
	s.schedule.sure = min(s.schedule.most, s.engine.pool.sure(s.admission.accounts))
	return nil
}

// fail ends the stream's work at once; the first failure is the one reported.
func (s *Stream) fail(err error) { s.cancel(&fatalError{err}) }

func (s *Stream) err() error {
	if s.ctx.Err() == nil {
		return nil
	}
	return cause(s.ctx)
}

// Size is the number of bytes taken so far.
func (s *Stream) Size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size
}

// Write copies p into pages. It waits for memory and for the requests in
// flight, and fails as soon as a part has failed or the context is done.
func (s *Stream) Write(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(p) > 0 {
		room, err := s.room()
		if err != nil {
			return n, err
		}
		c := copy(room, p)
		s.take(room[:c])
		n += c
		p = p[c:]
	}
	if s.ctx.Err() != nil {
		return n, cause(s.ctx)
	}
	return n, nil
}

// room returns memory for the bytes that follow, at least one byte.
func (s *Stream) room() ([]byte, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	if s.ended {
		return nil, errEnded
	}
	if known := s.object.Size; known > 0 && s.size >= known {
		err := fmt.Errorf("%s: the source has more than the %d bytes it said it had", s.engine.object(s.object.Key), known)
		s.fail(err)
		return nil, err
	}
	if s.part != nil && s.part.size >= s.target {
		if err := s.send(); err != nil {
			return nil, err
		}
	}
	if s.part == nil {
		if err := s.begin(); err != nil {
			return nil, err
		}
	}
	if len(s.part.room()) == 0 {
		if err := s.addPage(); err != nil {
			return nil, err
		}
	}
	room := s.part.room()
	most := min(int64(len(room)), s.target-s.part.size)
	if known := s.object.Size; known > 0 {
		most = min(most, known-s.size)
	}
	return room[:most], nil
}

// begin starts the next part, or fails at the last one's end: there is more,
// and leaving it out would be a truncated object.
func (s *Stream) begin() error {
	if s.schedule.full() {
		err := fmt.Errorf("%s: %w", s.engine.object(s.object.Key), s.schedule.overflow())
		s.fail(err)
		return err
	}
	if err := s.backlog.await(s.ctx); err != nil {
		return err
	}
	s.target = s.schedule.size()
	if s.schedule.sparing() {
		if err := s.whole(); err != nil {
			return err
		}
	}
	s.part = &part{number: int32(s.schedule.parts + 1), page: s.engine.limits.page}
	if s.schedule.parts > 0 { // the first one may be all there is
		s.part.pages = make([][]byte, 0, roundUp(s.target, s.part.page)/s.part.page)
	}
	return nil
}

// whole waits until the part can be filled to its end.
func (s *Stream) whole() error {
	alone := len(s.admission.accounts) == 1 // others of the table, idle until their turn, must not wait for this one
	if n := s.schedule.need(); alone && s.target > s.schedule.sure {
		if err := s.engine.pool.expand(s.ctx, s.account, n); err != nil {
			return err
		}
		s.schedule.sure = n
	}
	promised, err := s.claim(s.target)
	s.target = min(s.target, max(promised, s.schedule.minPart))
	return err
}

// claim has memory for a whole part promised.
func (s *Stream) claim(n int64) (int64, error) {
	if len(s.admission.accounts) > 1 {
		return s.engine.pool.claimShare(s.ctx, s.admission.accounts, s.account, n)
	}
	return s.engine.pool.claim(s.ctx, s.account, n)
}

// take counts b, which is at the start of the room, as written.
func (s *Stream) take(b []byte) {
	s.part.extend(b)
	s.size += int64(len(b))
	if s.part.size == s.target && s.schedule.parts > 0 {
		// A first part waits: if nothing follows, it is a single put.
		if err := s.send(); err != nil {
			s.fail(err)
		}
	}
}

// addPage gives the part one more page. When memory is scarce, a part that may
// be sent as it is goes first, and the page begins the next one.
func (s *Stream) addPage() error {
	pool := s.engine.pool
	page, ok := pool.take(s.account)
	if !ok && s.schedule.equal == 0 && s.part.size >= s.schedule.minPart {
		if err := s.send(); err != nil {
			return err
		}
		if err := s.begin(); err != nil {
			return err
		}
	}
	if !ok {
		var err error
		if page, err = pool.wait(s.ctx, s.account); err != nil {
			return err
		}
	}
	s.part.pages = append(s.part.pages, page)
	return nil
}

// send hands the part over to a goroutine of its own, and opens the upload
// before the first one.
func (s *Stream) send() error {
	p := s.part
	s.part = nil
	s.schedule.begin(p.size)
	s.crc = combine(s.crc, p.crc, p.size)
	s.engine.pool.unclaim(s.account)
	if s.engine.cfg.DryRun {
		s.give(p)
		return nil
	}
	s.opening.Do(s.open)
	if err := s.backlog.enter(s.ctx); err != nil {
		s.give(p)
		return err
	}
	arrived := s.depart(p)
	s.sending.Go(func() {
		defer arrived()
		defer s.recovered()
		if err := s.upload(p, arrived); err != nil {
			s.refused(err)
		}
	})
	return nil
}

// depart notes that p is being sent, until the function that it returns is called.
func (s *Stream) depart(p *part) (arrived func()) {
	s.engine.pool.depart(s.account)
	return sync.OnceFunc(func() { s.engine.pool.arrive(s.account, p.pages) })
}

func (s *Stream) give(p *part) {
	s.engine.pool.give(s.account, p.pages...)
	p.pages = nil
}

// open creates the upload while the next parts are being filled.
func (s *Stream) open() {
	s.created = make(chan struct{})
	s.sending.Go(func() {
		defer close(s.created)
		defer s.recovered()
		defer s.backlog.settle(queuedParts)
		_, most := s.engine.earlyParts()
		id, lost, err := s.engine.create(s.ctx, s.settings, func() { s.backlog.widen(most) })
		s.id, s.lost = id, lost
		if err != nil {
			s.refused(err)
		}
	})
}

// refused is fail for what was sent in the background: whoever fills the
// stream may be waiting for something else, and is told.
func (s *Stream) refused(err error) {
	first := s.ctx.Err() == nil
	s.fail(err)
	if first && s.object.Failed != nil {
		s.object.Failed(err)
	}
}

// recovered makes a panic in the client or in Sent the failure of this object:
// in a goroutine of ours nobody else could.
func (s *Stream) recovered() {
	if p := recover(); p != nil {
		s.fail(fmt.Errorf("%s: panic while sending: %v", s.engine.object(s.object.Key), p))
	}
}

func (s *Stream) upload(p *part, taken func()) error {
	begun := sync.OnceFunc(s.backlog.leave)
	defer begun()
	<-s.created // ends soon when the context does
	if s.id == "" {
		return nil // open has failed, and has said so
	}
	done, err := s.engine.sendPart(s.ctx, s.settings, s.id, p, begun, taken)
	if err != nil {
		return err
	}
	s.partsMu.Lock()
	s.parts = append(s.parts, done)
	s.partsMu.Unlock()
	if s.object.Sent != nil {
		s.object.Sent(p.size)
	}
	return nil
}

// Finish sends the rest and waits for the parts in flight. Then the object is
// complete and safe, but not visible. An error has aborted the stream.
func (s *Stream) Finish() (*Pending, error) {
	p, err := s.finish()
	if err != nil {
		s.fail(err)
		s.Abort()
	}
	return p, err
}

func (s *Stream) finish() (*Pending, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.err(); err != nil {
		return nil, err
	}
	if s.ended {
		return nil, errEnded
	}
	if known := s.object.Size; known > 0 && s.size != known {
		return nil, fmt.Errorf("%s: the source has %d bytes, not the %d it said it had", s.engine.object(s.object.Key), s.size, known)
	}
	if s.part == nil && s.schedule.parts == 0 {
		s.part = &part{number: 1, page: s.engine.limits.page}
	}
	var kept *part
	switch {
	case s.part == nil:
	case s.schedule.parts == 0:
		kept = s.part
		s.crc = kept.crc
	case s.part.size == 0: // the source ended at a border
		s.give(s.part)
	default:
		if err := s.send(); err != nil {
			return nil, err
		}
	}
	s.sending.Wait()
	if err := s.err(); err != nil {
		return nil, err
	}
	s.ended = true
	s.part = nil
	s.settle()
	p := s.pending(kept)
	s.admission.leave(s.account, p)
	return p, nil
}

// settle gives back what only a stream that is being filled has.
func (s *Stream) settle() {
	s.engine.pool.settle(s.account)
	s.fail(errEnded)
}

// Abort ends the stream and removes what it has sent. It waits for the parts in
// flight; it may be called at any time, more than once, and after Finish, when
// it does nothing. It returns what could not be removed.
func (s *Stream) Abort() []Orphan {
	s.fail(errAborted)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return s.orphans
	}
	s.ended = true
	s.sending.Wait()
	if s.part != nil {
		s.give(s.part)
		s.part = nil
	}
	s.settle()
	s.admission.leave(s.account, nil)
	s.orphans = s.engine.discard(s.caller(), s.settings, s.id, s.lost)
	return s.orphans
}

// caller is whose end means that nobody waits any more.
func (s *Stream) caller() context.Context {
	if s.object.Caller != nil {
		return s.object.Caller
	}
	return s.parent
}

// discard removes an upload and says what it could not remove: the upload, and one
// that has no name, if an answer to Create was lost.
func (e *Engine) discard(ctx context.Context, s *settings, id string, lost bool) (left []Orphan) {
	if id != "" {
		if err := e.abortUpload(ctx, s, id); err != nil {
			left = append(left, s.orphan(id, err))
		}
	}
	if lost {
		left = append(left, s.orphan("", errUnnamed))
	}
	return left
}
