// Package upload delivers streams of unknown length to S3 objects: bounded in
// memory across all streams of an [Engine], and exact about what is committed.
//
// A stream goes through three hands. [Engine.Open] gives a [Stream], which
// takes bytes and sends parts. [Stream.Finish] turns it into a [Pending]: all
// bytes are safe, nothing is visible. [Pending.Commit] makes the object
// visible, [Pending.Abort] removes what was sent.
package upload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Client is what the engine needs of S3. *s3.Client is one.
type Client interface {
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	CreateMultipartUpload(context.Context, *s3.CreateMultipartUploadInput, ...func(*s3.Options)) (*s3.CreateMultipartUploadOutput, error)
	UploadPart(context.Context, *s3.UploadPartInput, ...func(*s3.Options)) (*s3.UploadPartOutput, error)
	CompleteMultipartUpload(context.Context, *s3.CompleteMultipartUploadInput, ...func(*s3.Options)) (*s3.CompleteMultipartUploadOutput, error)
	AbortMultipartUpload(context.Context, *s3.AbortMultipartUploadInput, ...func(*s3.Options)) (*s3.AbortMultipartUploadOutput, error)
	GetBucketLocation(context.Context, *s3.GetBucketLocationInput, ...func(*s3.Options)) (*s3.GetBucketLocationOutput, error)
	HeadBucket(context.Context, *s3.HeadBucketInput, ...func(*s3.Options)) (*s3.HeadBucketOutput, error)
}

// Config is what an Engine is made of. Its values are taken as validated.
type Config struct {
	Client      Client
	Wire        *Wire        // what Client sends with; nil: nobody knows, so it has to send everything itself
	Bucket      string       // a name, an alias or an access point's ARN
	Endpoint    bool         // not AWS: a server that rejects checksum headers gets none from then on
	Region      string       // the bucket's, as far as it is known
	Profile     Profile      // of the server
	Owner       string       // the account that must own the bucket; "": any
	Memory      int64        // bytes, for all streams together; Shared brings its own
	Shared      *Shared      // with other engines; nil: nothing
	PartSize    int64        // > 0: equal parts of this size; 0: parts grow with the object
	Concurrency int          // > 0: upper bound of the requests in flight; 0: found by trying
	NoOverwrite bool         // an object that exists is never replaced
	SignPayload *bool        // nil: signed over http, and over https where the profile says so or no checksum is sent
	DryRun      bool         // nothing is sent; sizes and checksums are still counted
	Refresh     func()       // drops cached credentials after the server called them expired; may be nil
	Logger      *slog.Logger // required

	// Miniature, in tests, makes parts and pauses this many times smaller,
	// for an engine that shares nothing.
	Miniature int
}

// Engine sends objects to one bucket. It is safe for concurrent use, and owns
// no goroutine while no stream is open.
type Engine struct {
	cfg    Config
	limits limits
	pace   pace
	shared *Shared
	pool   *pool // the shared one
	slots  *limiter
	signer *v4.Signer // of requests that were prepared

	common    sync.Map               // settings of objects that differ in nothing but their key, by Content-Type
	region    atomic.Pointer[string] // where the bucket is, once an answer has corrected the client's region
	plain     atomic.Bool            // no checksum headers are sent
	rejection atomic.Pointer[string] // of checksum headers, in the words of a warning
	skewed    atomic.Bool            // the clock is wrong, by what only the client knows
	refreshMu sync.Mutex
	refreshes int64 // how often Refresh was called
	counters  counters
	answer    atomic.Int64 // the shortest time that an answer took, in nanoseconds
}

// New makes an Engine. It does no I/O.
func New(cfg Config) *Engine {
	l, p := cfg.Profile.limits(), defaultPace
	if n := cfg.Miniature; n > 0 {
		l, p = l.divided(int64(n)), p.divided(time.Duration(n))
	}
	return newEngine(cfg, l, p)
}

func newEngine(cfg Config, l limits, p pace) *Engine {
	shared := cfg.Shared
	if shared == nil {
		shared = alone(cfg.Memory, l)
	}
	cfg.Memory = shared.memory
	e := &Engine{
		cfg:    cfg,
		limits: l,
		pace:   p,
		shared: shared,
		pool:   shared.pool,
		slots:  newLimiter(cfg.Concurrency),
		signer: newSigner(),
	}
	e.slots.pauses = p.pauses
	e.plain.Store(cfg.Profile.NoChecksum)
	return e
}

// Admission is the right of one table to hold open streams: each has enough
// memory set aside to make progress whatever all others do.
type Admission struct {
	engine   *Engine
	accounts []*account // one for each stream that may be open at once

	mu       sync.Mutex
	idle     []*account
	waiting  []*Pending // finished objects of this table that hold their body in memory
	released bool
}

// Admit waits, in the order of the calls, until the budget has room for one
// more open stream and for extra bytes of state that the caller keeps beside it.
func (e *Engine) Admit(ctx context.Context, extra int64) (*Admission, error) {
	return e.AdmitStreams(ctx, 1, extra)
}

// AdmitStreams is Admit for a table that keeps several streams open at once.
func (e *Engine) AdmitStreams(ctx context.Context, streams int, extra int64) (*Admission, error) {
	reserve := int64(streams) * e.reserve()
	if need := reserve + extra; need > e.cfg.Memory || reserve > e.pool.budget {
		setting := "WithMemory"
		if e.cfg.Shared != nil {
			setting = "the memory of NewPool"
		}
		return nil, fmt.Errorf("the table needs %s for its blocks, codecs and open objects (%d), but the memory budget is %s: raise %s, or use fewer steps",
			byteCount(need), streams, byteCount(e.cfg.Memory), setting)
	}
	accounts, err := e.pool.admit(ctx, streams, e.reserve(), extra)
	if err != nil {
		return nil, err
	}
	return &Admission{engine: e, accounts: accounts, idle: slices.Clone(accounts)}, nil
}

// Reserve is what one open stream needs to be able to send its next part, of an
// engine with this PartSize.
func Reserve(partSize int64) int64 { return s3Limits.reserve(partSize) }

func (e *Engine) reserve() int64 { return e.limits.reserve(e.cfg.PartSize) }

func (l limits) reserve(partSize int64) int64 {
	if partSize > 0 {
		return roundUp(partSize, l.page)
	}
	return roundUp(l.minPart, l.page) + l.page
}

// Release gives the reservation back. Bodies that wait for their commit keep
// what they hold. Releasing twice is allowed.
func (a *Admission) Release() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.released {
		return
	}
	a.released = true
	a.waiting, a.idle = nil, nil // whoever keeps the admission keeps nothing else
	a.engine.pool.release(a.accounts)
}

// enter takes a place for one more open stream. What the table has finished
// before evidently waits for the table's end, so it may be sent under pressure.
func (a *Admission) enter() (*account, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.released:
		return nil, errors.New("stream opened on a released admission")
	case len(a.idle) == 0:
		return nil, fmt.Errorf("more than %d streams open on one admission", len(a.accounts))
	}
	for _, p := range a.waiting {
		p.Hold()
	}
	a.waiting = nil
	last := len(a.idle) - 1
	place := a.idle[last]
	a.idle = a.idle[:last]
	return place, nil
}

// leave gives a stream's place back. p is what has become of it, nil if nothing has.
func (a *Admission) leave(place *account, p *Pending) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.released {
		return
	}
	a.idle = append(a.idle, place)
	if p != nil && p.Held() > 0 {
		a.waiting = append(a.waiting, p)
	}
}

// Stats is a snapshot of an Engine at work. Its memory is that of all it shares
// the budget with, its requests are its own.
type Stats struct {
	Charged  int64 // bytes of the budget that are reserved or in use
	Peak     int64 // the most Charged has ever been
	Pages    int64 // bytes in pages that hold data
	Idle     int64 // bytes in pages kept for reuse
	InFlight int   // requests
	Limit    int   // requests that may be in flight now
	Requests int64
	Retries  int64
	Throttle int64 // answers that asked to slow down
	Plain    bool  // no checksum headers are sent
}

type counters struct{ requests, retries, throttles atomic.Int64 }

// Stats returns what the engine uses now and has used so far.
func (e *Engine) Stats() Stats {
	s := Stats{
		Requests: e.counters.requests.Load(),
		Retries:  e.counters.retries.Load(),
		Throttle: e.counters.throttles.Load(),
		Plain:    e.plain.Load(),
	}
	e.pool.stats(&s)
	s.InFlight, s.Limit = e.slots.stats()
	return s
}

// checksums says whether requests carry CRC-64/NVME headers.
func (e *Engine) checksums() bool { return !e.plain.Load() }

// Warnings say what deliveries have to go on without.
func (e *Engine) Warnings() []string {
	if w := e.rejection.Load(); w != nil {
		return []string{*w}
	}
	return nil
}

// options are the client options of one attempt. The engine retries itself and
// sends checksums itself, whatever the client's own settings are.
func (e *Engine) options(withBody bool, u used) []func(*s3.Options) {
	opts := []func(*s3.Options){func(o *s3.Options) {
		o.Retryer = aws.NopRetryer{}
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		if u.region != "" {
			o.Region = u.region
		}
	}}
	if withBody {
		if sign := e.signing(u.checksums); sign != nil {
			opts = append(opts, sign)
		}
	}
	if e.cfg.Endpoint {
		opts = append(opts, bare)
	}
	return opts
}

func (e *Engine) regionNow() string {
	if r := e.region.Load(); r != nil {
		return *r
	}
	return ""
}

// Region is the bucket's, "" if nobody knows.
func (e *Engine) Region() string {
	if named := e.regionNow(); named != "" {
		return named
	}
	return e.cfg.Region
}

// GivenRegion is the region that the engine was made with.
func (e *Engine) GivenRegion() string { return e.cfg.Region }

// relocate makes all further requests go to the region an answer has named,
// and says whether that is a change for a request that was sent to used.
func (e *Engine) relocate(used, named string) bool {
	if named == "" || named == used {
		return false
	}
	now := e.region.Load()
	if now == nil && e.region.CompareAndSwap(nil, &named) {
		e.cfg.Logger.Warn("bucket is in another region", "bucket", e.cfg.Bucket, "region", named)
		return true
	}
	return e.regionNow() != used
}

// refresh drops the credentials that a request saw refused as expired, once
// for all requests that were signed with them.
func (e *Engine) refresh(seen int64) {
	e.refreshMu.Lock()
	defer e.refreshMu.Unlock()
	if e.refreshes != seen {
		return
	}
	e.refreshes++
	if e.cfg.Refresh != nil {
		e.cfg.Refresh()
	}
}

func (e *Engine) refreshed() int64 {
	e.refreshMu.Lock()
	defer e.refreshMu.Unlock()
	return e.refreshes
}

// downgrade stops sending checksum headers, and says whether that is news to a
// request that was sent with them.
func (e *Engine) downgrade(sentChecksums bool, why error) bool {
	if !e.cfg.Endpoint || !sentChecksums {
		return false
	}
	if e.plain.CompareAndSwap(false, true) {
		warning := "the server rejects CRC-64/NVME checksums; objects are sent without (" + answerText(why) + ")"
		e.rejection.Store(&warning)
		e.cfg.Logger.Warn("server rejects CRC-64/NVME checksums; going on without", "bucket", e.cfg.Bucket, "error", answerText(why))
	}
	return true
}

// exonerate sends checksum headers again: it was something else that the server does
// not know, such as If-None-Match.
func (e *Engine) exonerate() {
	e.rejection.Store(nil)
	if e.plain.CompareAndSwap(true, false) {
		e.cfg.Logger.Warn("server does not reject CRC-64/NVME checksums after all; going on with them", "bucket", e.cfg.Bucket)
	}
}

// resource is the ARN of an object, for messages.
func (e *Engine) resource(key string) string {
	if strings.HasPrefix(e.cfg.Bucket, "arn:") {
		return e.cfg.Bucket + "/object/" + key
	}
	partition := "aws"
	switch region := e.Region(); {
	case strings.HasPrefix(region, "cn-"):
		partition = "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		partition = "aws-us-gov"
	}
	return "arn:" + partition + ":s3:::" + e.cfg.Bucket + "/" + key
}

// object names an object for messages.
func (e *Engine) object(key string) string { return "s3://" + e.cfg.Bucket + "/" + key }

// pace is how patient the engine is; tests are less so.
type pace struct {
	base, cap   time.Duration // of the back-off
	attempts    int           // of one request
	throttled   time.Duration // how long a server may ask to slow down, however often
	wish        time.Duration // how long a Retry-After may make its request wait
	stall       time.Duration // how long a request may go without progress
	commitGrace time.Duration // how long a commit that has begun may take
	abortGrace  time.Duration
	hurry       time.Duration // how long answers are waited for when nobody wants them any more, of a server that is near
	pauses      pauses
}

var defaultPace = pace{
	base:        100 * time.Millisecond,
	cap:         5 * time.Second,
	attempts:    10,
	throttled:   time.Minute,
	wish:        5 * time.Minute,
	stall:       time.Minute,
	commitGrace: 2 * time.Minute,
	abortGrace:  30 * time.Second,
	hurry:       200 * time.Millisecond,
	pauses:      pauses{first: 25 * time.Millisecond, most: time.Second},
}

func (p pace) divided(n time.Duration) pace {
	for _, d := range []*time.Duration{&p.base, &p.cap, &p.throttled, &p.wish, &p.stall, &p.hurry, &p.pauses.first, &p.pauses.most} {
		*d /= n
	}
	// A machine that tests much at once is slow.
	p.commitGrace, p.abortGrace = p.commitGrace/max(1, n/8), p.abortGrace/max(1, n/8)
	return p
}

func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }

func byteCount(n int64) string {
	switch {
	case n >= 1<<40:
		return fmt.Sprintf("%.1f TiB", float64(n)/(1<<40))
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d bytes", n)
}
