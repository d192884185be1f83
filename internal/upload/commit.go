package upload

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// State is what is known of an object.
type State int

// An object is pending until its commit has an answer. A commit without one
// leaves it unknown.
const (
	StatePending State = iota
	StateCommitted
	StateUnknown
)

func (s State) String() string {
	return [...]string{"pending", "committed", "unknown"}[s]
}

// Result is what the server said of a commit.
type Result struct {
	ETag, VersionID string
	CRC64NVME       string // ours; the server's is the same if it has one
	State           State
}

// Pending is an object of which every byte is safe and none is visible: all
// parts are in the bucket, or the whole body is in memory. It ends with Commit
// or Abort; Retain takes the body out of the engine's pages, which are in use until one
// of the three. Its methods may be called from any goroutine.
type Pending struct {
	Key       string
	Size      int64
	Parts     int    // of the multipart upload; 1 for a single put
	CRC64NVME string // of the whole object, base64

	engine   *Engine
	account  *account
	settings *settings
	sent     func(int64)
	began    time.Time       // before any of it was sent
	ctx      context.Context // the table's: what is done before the commit ends with it
	caller   context.Context // whoever waits: when it ends, cleaning up has to be quick
	held     atomic.Int64    // bytes of memory
	place    *list.Element   // among those that may be sent for their memory; the pool's lock has it

	mu    sync.Mutex
	body  *part // held in memory, nil otherwise
	small bool  // body is in memory of its own, not in pages
	id    string
	lost  bool     // an answer to Create never came
	left  []Orphan // of Stages that failed, by their IDs
	parts []types.CompletedPart
	state State
	ended bool

	doubtful bool   // a commit was sent before, and its outcome is not known
	doubt    error  // which one that was
	owned    bool   // the body's memory is not the pool's any more
	done     Result // of the commit

	elsewhere bool  // the bytes are, in some other process: the doubt is all there is
	reclaimed bool  // it is not sent for want of memory any more
	err       error // why it cannot be committed any more
}

// pending is the finished stream. kept is the body if no part was sent.
func (s *Stream) pending(kept *part) *Pending {
	p := &Pending{
		Key:       s.object.Key,
		Size:      s.size,
		Parts:     max(1, s.schedule.parts),
		CRC64NVME: encodeCRC(s.crc),
		engine:    s.engine,
		account:   s.account,
		settings:  s.settings,
		sent:      s.object.Sent,
		began:     s.began,
		ctx:       s.parent,
		caller:    s.caller(),
		body:      kept,
		id:        s.id,
		lost:      s.lost,
		parts:     s.parts,
	}
	slices.SortFunc(p.parts, func(a, b types.CompletedPart) int { return int(*a.PartNumber - *b.PartNumber) })
	p.keep()
	return p
}

// keep puts a small body into memory of its own size: thousands of small
// objects that wait for one commit must not hold a page each.
func (p *Pending) keep() {
	if p.body == nil {
		return
	}
	pool := p.engine.pool
	if p.engine.cfg.DryRun {
		pool.give(p.account, p.body.pages...)
		p.body = nil
		return
	}
	p.held.Store(int64(len(p.body.pages)) * pool.page)
	if len(p.body.pages) == 1 && p.body.size <= pool.page/2 {
		page := p.body.pages[0]
		p.body.pages = [][]byte{slices.Clone(page[:p.body.size])}
		p.small, p.body.own = true, true
		p.held.Store(p.body.size)
		pool.compact(p.account, page, p.body.size)
	}
}

// Held is how many bytes of memory the object holds until its commit.
func (p *Pending) Held() int64 { return p.held.Load() }

// Hold says that the commit may be long in coming. From then on the engine may
// Stage the object when others need its memory; without it, whoever finished
// the object must commit or abort it without waiting for other objects.
func (p *Pending) Hold() {
	if p.Held() > 0 {
		p.engine.pool.hold(p)
	}
}

// Reclaim takes the object back from those who may Stage it, and says why it
// can no longer be committed, if that was tried and has failed. It comes before
// the first of several commits.
func (p *Pending) Reclaim() error {
	defer p.lock()()
	p.reclaimed = true
	return p.err
}

// lock keeps the object from being sent on behalf of others, for good.
func (p *Pending) lock() (unlock func()) {
	p.mu.Lock()
	return func() {
		p.engine.pool.unhold(p)
		p.mu.Unlock()
	}
}

// Stage sends a body held in memory as a multipart upload of one part, even an
// empty one. It does nothing for an object whose parts are in the bucket.
func (p *Pending) Stage(ctx context.Context) error {
	defer p.lock()()
	return p.stage(ctx)
}

func (p *Pending) stage(ctx context.Context) error {
	if p.ended || p.err != nil || p.body == nil || p.engine.cfg.DryRun {
		return p.err
	}
	id, lost, err := p.engine.create(ctx, p.settings, nil)
	p.lost = p.lost || lost
	if err != nil {
		return err
	}
	p.body.number = 1
	done, err := p.engine.sendPart(ctx, p.settings, id, p.body, nil, nil)
	if err != nil {
		caller := p.caller
		if caller.Err() != nil { // it was another Write's
			caller = ctx
		}
		p.left = append(p.left, p.engine.discard(caller, p.settings, id, false)...) // the body is still here
		return err
	}
	p.id, p.parts = id, []types.CompletedPart{done}
	p.report()
	p.forget()
	return nil
}

// relieve stages the object on behalf of one who waits for memory under ctx. A
// failure of the object's own is kept for its commit, and the memory is free.
func (p *Pending) relieve(ctx context.Context) {
	if !p.mu.TryLock() {
		return // its memory is free soon
	}
	defer p.mu.Unlock()
	if p.reclaimed {
		return
	}
	defer func() {
		if v := recover(); v != nil { // in the client
			p.err = fmt.Errorf("%s: panic while sending: %v", p.engine.object(p.Key), v)
			p.forget()
		}
	}()
	own, cancel := context.WithCancelCause(p.ctx)
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() { cancel(errNotNeeded) })
	defer stop()
	err := p.stage(own)
	switch {
	case err == nil:
	case errors.Is(err, errNotNeeded):
		p.engine.pool.hold(p)
	default:
		p.err = err
		p.forget()
	}
}

var errNotNeeded = errors.New("nobody waits for the memory any more")

// forget gives the body's memory back.
func (p *Pending) forget() {
	switch {
	case p.body == nil, p.owned:
	case p.small:
		p.engine.pool.drop(p.account, p.body.size)
	default:
		p.engine.pool.give(p.account, p.body.pages...)
	}
	p.body = nil
	p.held.Store(0)
}

func (p *Pending) report() {
	if p.sent != nil && p.body != nil {
		p.sent(p.body.size)
	}
}

// Commit makes the object visible. Only an answer with an ETag is a success.
// Once the first request is on its way a cancelled context does not stop it:
// what has no answer is asked again, and is ErrCommitUnknown in the end; the
// body stays in memory until Retain or Abort. After any other error the object
// is still pending. One that is begun after the end noted in ctx has what is left
// of the time that a commit may take.
func (p *Pending) Commit(ctx context.Context) (Result, error) {
	defer p.lock()()
	switch {
	case p.err != nil:
		return p.result(), p.err
	case p.ended && p.state == StateCommitted:
		return p.done, nil
	case p.ended:
		return p.result(), errEnded
	case p.elsewhere:
		return p.unknown(errElsewhere)
	case p.engine.cfg.DryRun:
		p.ended, p.state = true, StateCommitted
		return p.result(), nil
	}
	return p.commit(ctx)
}

func (p *Pending) result() Result { return Result{CRC64NVME: p.CRC64NVME, State: p.state} }

func (p *Pending) commit(ctx context.Context) (Result, error) {
	var res Result
	r := &request{name: opComplete, key: p.Key, commits: true, careful: p.settings.noOverwrite, caller: ctx, send: func(ctx context.Context, a attempt) (err error) {
		res, err = p.complete(ctx, a)
		return err
	}}
	if p.body != nil {
		r.name, r.body = opPut, p.body
		r.send = func(ctx context.Context, a attempt) (err error) {
			res, err = p.put(ctx, a)
			return err
		}
	}
	if err := p.engine.acquire(ctx, r); err != nil { // the last moment that a cancelled context stops it
		return p.result(), p.engine.explain(ctx, r, err)
	}
	until := left(ctx, p.engine.pace.commitGrace)
	end := time.Now().Add(until)
	ctx = context.WithoutCancel(ctx)
	resends, stop := context.WithTimeout(ctx, p.engine.resendTime(until))
	defer stop()
	lost, err := p.engine.doInSlot(resends, r)
	lost = lost || p.doubtful
	if lost && err != nil {
		grace, cancel := context.WithDeadline(ctx, end)
		defer cancel()
		gone := isGone(err)
		if errors.Is(err, ErrExists) && p.id != "" {
			probed := p.probe(grace, true)
			if probed == nil {
				// Ours is not complete, so what exists is somebody else's.
				p.doubtful = false
				return p.result(), err
			}
			gone = errors.Is(probed, errGone)
		}
		if found, ok := p.find(grace, gone); ok {
			res, err = found, nil
		}
	}
	switch {
	case err == nil:
		p.ended, p.state = true, StateCommitted
		p.report()
		p.forget()
		res.State, res.CRC64NVME = p.state, p.CRC64NVME
		p.done = res
		return res, nil
	case lost:
		return p.unknown(err)
	}
	return p.result(), err
}

// unknown ends a commit whose outcome is.
func (p *Pending) unknown(err error) (Result, error) {
	p.ended, p.state = true, StateUnknown
	p.err = &UnknownCommit{Bucket: p.engine.cfg.Bucket, Key: p.Key, UploadID: p.id, Size: p.Size, CRC64NVME: p.CRC64NVME, Err: err}
	return p.result(), p.err
}

func isGone(err error) bool {
	code, _ := codeOf(err)
	return code == "NoSuchUpload"
}

func (p *Pending) put(ctx context.Context, a attempt) (Result, error) {
	got, err := p.engine.send(ctx, p.settings, "", p.body, a, func(ctx context.Context, a attempt) (answer, error) {
		out, err := p.engine.cfg.Client.PutObject(ctx, p.settings.putInput(p.body, a), a.options()...)
		if err != nil {
			return answer{}, err
		}
		return answer{aws.ToString(out.ETag), aws.ToString(out.VersionId), aws.ToString(out.ChecksumCRC64NVME), out.ChecksumType}, nil
	})
	return p.taken(got, err)
}

func (p *Pending) complete(ctx context.Context, a attempt) (Result, error) {
	in := p.settings.completeInput(p.id, p.parts, p.Size, p.CRC64NVME, a.checksums)
	out, err := p.engine.cfg.Client.CompleteMultipartUpload(ctx, in, a.options()...)
	if err != nil {
		return Result{}, err
	}
	return p.taken(answer{aws.ToString(out.ETag), aws.ToString(out.VersionId), aws.ToString(out.ChecksumCRC64NVME), out.ChecksumType}, nil)
}

// taken is the result of an answer, if that is a success.
func (p *Pending) taken(a answer, err error) (Result, error) {
	if err == nil {
		err = a.check(p.CRC64NVME)
	}
	if err != nil {
		return Result{}, err
	}
	return Result{ETag: a.etag, VersionID: a.versionID}, nil
}

// Abort removes what was sent. It may be called more than once, and leaves a
// committed object alone. It returns what is left in the bucket. The upload of a commit whose outcome is unknown stays: the object may be
// made of it.
func (p *Pending) Abort(ctx context.Context) []Orphan {
	defer p.lock()()
	if p.ended {
		p.forget()
		return p.leftover()
	}
	p.ended = true
	p.forget()
	ids := []string{p.id}
	for _, o := range p.left {
		ids = append(ids, o.UploadID)
	}
	p.left = nil
	for _, id := range ids {
		p.left = append(p.left, p.engine.discard(ctx, p.settings, id, false)...)
	}
	return p.leftover()
}

// Doubtful says that the object may be visible.
func (p *Pending) Doubtful() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state == StateUnknown || p.doubtful && p.state != StateCommitted
}

// Leftover is what the object has left in the bucket beside itself: an upload
// whose ID was in an answer that was lost, and those that could not be aborted.
func (p *Pending) Leftover() []Orphan {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leftover()
}

func (p *Pending) leftover() []Orphan {
	left := slices.Clone(p.left)
	switch {
	case p.id == "":
	case p.state == StateUnknown:
		left = append(left, p.settings.orphan(p.id, p.err))
	case p.doubtful && !p.ended:
		left = append(left, p.settings.orphan(p.id, p.doubt))
	}
	if p.lost {
		left = append(left, p.settings.orphan("", errUnnamed))
	}
	return left
}
