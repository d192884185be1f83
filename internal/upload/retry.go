package upload

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// request is one request to S3, sent until it has a final answer.
type request struct {
	name     string // of the operation
	key      string
	body     *part // may be nil
	attempts int   // 0: as many as usual
	careful  bool  // an object that exists is not replaced
	commits  bool  // makes the object visible: once it may have, only an answer ends it

	unexplained bool // who sends it puts its error into words

	// caller ends the request too, as long as it cannot have been carried
	// out. It may be nil.
	caller context.Context

	begun func()
	taken func() // called when the server has all of the body, before another request gets the place
	late  func() // called when the server has had the request for as long as one nearby needs not
	send  func(context.Context, attempt) error

	region string        // that the last try was signed for
	waited time.Duration // for a place among the requests of others, before the last try
	began  time.Time     // the last try
	wish   time.Duration // of the server, before the next one
}

// attempt is what one try is sent with.
type attempt struct {
	used
	engine *Engine
	body   *body // may be nil

	// Instead of the client's own; may be nil:
	http        aws.HTTPClient
	credentials aws.CredentialsProvider
}

// options are those of the attempt's call of the SDK's, which goes a hundred functions
// deep: there is room for them on the stack then. By itself the stack would grow in
// steps, at each of which all its frames are moved: that was 15 % of the time that
// thousands of small objects took.
func (a *attempt) options() []func(*s3.Options) {
	growStack()
	opts := a.engine.options(a.body != nil, a.used)
	if a.http != nil {
		opts = append(opts, func(o *s3.Options) { o.HTTPClient = a.http })
	}
	if a.credentials != nil {
		opts = append(opts, func(o *s3.Options) { o.Credentials = a.credentials })
	}
	return opts
}

// growStack takes about as much of the stack as such a call.
//
//go:noinline
func growStack() {
	var room [20 << 10]byte
	use(&room)
}

// use keeps room on the stack of its caller.
//
//go:noinline
func use(*[20 << 10]byte) {}

// do sends r until it has a final answer. lost says that one of the tries has
// no answer we know: it may have been carried out.
func (e *Engine) do(ctx context.Context, r *request) (lost bool, err error) {
	if err := e.acquire(ctx, r); err != nil {
		return false, err
	}
	if r.begun != nil {
		r.begun()
	}
	return e.doInSlot(ctx, r)
}

// doInSlot is do for a request that already has its place among those in flight.
func (e *Engine) doInSlot(ctx context.Context, r *request) (lost bool, err error) {
	tried := tries{began: time.Now()}
	for {
		used := settingsOf(e)
		r.region = cmp.Or(used.region, e.cfg.Region)
		took, err := e.try(ctx, r, used)
		v := classify(r, err)
		lost = lost || v.lost
		r.wish = v.after
		if err == nil && r.taken != nil {
			r.taken()
		}
		e.release(v.result(), r.sample(took))
		if err == nil {
			return lost, nil
		}
		if v.class == throttle {
			e.counters.throttles.Add(1)
		}
		wait := ctx
		if r.caller != nil && !lost {
			wait = r.caller
		}
		again, pause := e.again(wait, r, &tried, used, v, err, lost)
		if !again {
			return lost, e.explain(wait, r, err)
		}
		e.counters.retries.Add(1)
		if sleep(wait, pause) != nil || e.acquire(wait, r) != nil {
			return lost, e.explain(wait, r, err)
		}
		if ctx.Err() != nil { // wait was the caller's, which has more time
			e.release(answered, sample{})
			return lost, e.explain(ctx, r, err)
		}
	}
}

// used is what the engine had learned when an attempt was sent.
type used struct {
	checksums bool
	region    string
	refreshes int64
}

func settingsOf(e *Engine) used {
	return used{checksums: e.checksums(), region: e.regionNow(), refreshes: e.refreshed()}
}

// sample is what the limiter learns of r. It counts r as in flight while that
// waits for others, so this is part of how long r took.
func (r *request) sample(took time.Duration) sample {
	s := sample{begun: r.began, wish: r.wish}
	if r.body != nil && took > 0 {
		s.bytes, s.took = r.body.size, took+r.waited
	}
	return s
}

// try sends r once, and says how long that took from the body's first byte on.
// A try without progress is given up: the next one gets a connection of its own.
func (e *Engine) try(ctx context.Context, r *request, u used) (took time.Duration, err error) {
	e.counters.requests.Add(1)
	if r.name == opCreate {
		// Its answer names what has to be aborted: a cancelled context gives
		// it a moment more.
		var stop func()
		ctx, stop = outliving(ctx, e.hurry)
		defer stop()
	}
	ctx = context.WithValue(ctx, callerKey{}, ctx)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(e.pace.stall, func() { cancel(errStalled) })
	defer watch.Stop()
	var w *wire
	a := attempt{used: u, engine: e}
	if r.body != nil {
		a.body = &body{part: r.body, progress: func() { watch.Reset(e.pace.stall) }}
		if !r.body.own {
			ctx, w = lend(ctx, a.body)
		}
	}
	r.began = time.Now()
	var connected atomic.Int64 // after so long; somebody's client may take other requests first, which outlive this one
	trace := httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(int64(time.Since(r.began))) }}
	if r.name == opAbort && (e.slots.crowded() || e.shared.places.crowded()) {
		ctx = context.WithValue(ctx, beyondKey{}, true)
	}
	if r.late != nil {
		late := time.AfterFunc(far, r.late)
		defer late.Stop()
		trace.GetConn = func(string) { late.Stop() } // making one says nothing
		trace.WroteRequest = func(httptrace.WroteRequestInfo) { late.Reset(far) }
	}
	if r.commits {
		// S3 begins its answer and sends white space while it makes a large
		// object of its parts: that is no stall.
		trace.GotFirstResponseByte = func() { watch.Reset(e.pace.commitGrace) }
	}
	err = r.sendSafely(httptrace.WithClientTrace(ctx, &trace), a)
	if err == nil && (r.body == nil || r.body.size <= tiny) {
		e.answeredIn(time.Since(r.began) - time.Duration(connected.Load()))
	}
	if ended := time.Now(); r.body != nil {
		if w != nil {
			w.end()
		}
		switch {
		case r.body.own: // net/http may have it still
			took = ended.Sub(r.began) - time.Duration(connected.Load())
		case !a.body.began.IsZero():
			took = ended.Sub(a.body.began)
		}
	}
	if err != nil && context.Cause(ctx) == errStalled {
		err = errStalled
	}
	return took, err
}

// callerKey is where a request's context has the one that it was made of.
type callerKey struct{}

// Aside returns a context for requests that one of an engine's takes first, such as
// those for its credentials: it ends with ctx, but nothing that watches that request
// watches them.
func Aside(ctx context.Context) context.Context {
	if caller, ok := ctx.Value(callerKey{}).(context.Context); ok {
		return aside{ctx, caller}
	}
	return ctx
}

// aside has the values of another context.
type aside struct {
	context.Context
	values context.Context
}

func (a aside) Value(key any) any { return a.values.Value(key) }

// sendSafely makes a panic of the client, or of what the caller has put into it,
// an error: it may be in a goroutine of ours.
func (r *request) sendSafely(ctx context.Context, a attempt) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{v}
		}
	}()
	if err = r.send(ctx, a); err != nil {
		look(err)
	}
	return err
}

// panicError is a panic in the client: what it has sent before nobody knows.
type panicError struct{ value any }

func (e *panicError) Error() string { return fmt.Sprintf("panic while sending: %v", e.value) }

// tiny is how large a body may be to take no time of its own.
const tiny = 64 << 10

// answeredIn keeps the shortest time that an answer took.
func (e *Engine) answeredIn(took time.Duration) {
	for {
		least := e.answer.Load()
		if least != 0 && least <= int64(took) {
			return
		}
		if e.answer.CompareAndSwap(least, int64(took)) {
			e.slots.answered(took)
			return
		}
	}
}

// hurry is how long an answer is waited for when nobody wants to wait any more:
// long enough for a server that is alive, as far away as it is.
func (e *Engine) hurry() time.Duration {
	least := time.Duration(e.answer.Load())
	return max(e.pace.hurry, min(5*least, 10*e.pace.hurry))
}

// tries counts what a request has been through.
type tries struct {
	began                     time.Time
	failed, expired, adjusted int
	plain                     bool // the next one is without checksum headers, to see whether these are the problem
}

// again decides whether another try makes sense, and after which pause.
func (e *Engine) again(ctx context.Context, r *request, t *tries, u used, v verdict, err error, lost bool) (bool, time.Duration) {
	if ctx.Err() != nil {
		return false, 0
	}
	const most = 2 // corrections of a kind; more would be a circle
	switch v.class {
	case fatal:
		return false, 0
	case misplaced:
		t.adjusted++
		return t.adjusted <= most && e.relocate(u.region, v.region), 0
	case unchecked:
		if t.plain { // the answer is the same without them
			e.exonerate()
			return false, 0
		}
		t.adjusted++
		t.plain = t.adjusted <= most && e.downgrade(u.checksums, err)
		return t.plain, 0
	case expired:
		t.expired++
		if t.expired > most {
			return false, 0
		}
		e.refresh(u.refreshes)
		return true, 0
	case damaged:
		if r.body != nil && !r.body.intact() {
			e.cfg.Logger.Error("a buffered part has changed in memory", "object", e.object(r.key))
			return false, 0
		}
	}
	t.failed++
	attempts := r.attempts
	if attempts == 0 {
		attempts = e.pace.attempts
	}
	if t.failed >= attempts && !(r.commits && lost) && !(v.class == throttle && time.Since(t.began) < e.pace.throttled) {
		return false, 0
	}
	pause := e.pace.backoff(t.failed, v.after)
	if v.class == throttle { // the limiter makes everybody wait
		pause = e.pace.backoff(min(t.failed, throttleDoublings), v.after)
	}
	e.cfg.Logger.Debug("retrying", "request", r.name, "object", e.object(r.key), "tries", t.failed, "pause", pause, "error", answerText(err))
	return true, pause
}

// throttleDoublings is how often a request's own pause is doubled for a server
// that wants all of them to be fewer.
const throttleDoublings = 4

// backoff is a pause of full jitter. The server's own wish is a minimum, within reason.
func (p pace) backoff(failed int, wish time.Duration) time.Duration {
	top := p.cap
	if shift := failed - 1; shift < 16 {
		top = min(p.cap, p.base<<shift)
	}
	return min(wish, p.wish) + rand.N(top)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type class int

const (
	fatal     class = iota // final
	transient              // worth another try
	throttle               // the same, and everybody slows down
	damaged                // bytes arrived differently
	expired                // needs new credentials
	misplaced              // needs another region
	unchecked              // needs to do without checksum headers
)

// verdict is what an answer, or the lack of one, means for a request.
type verdict struct {
	class  class
	ok     bool
	lost   bool // the request may have been carried out
	after  time.Duration
	region string
}

func (v verdict) result() result {
	switch {
	case v.ok:
		return succeeded
	case v.class == throttle:
		return throttled
	}
	return answered
}

func classify(r *request, err error) verdict {
	var panicked *panicError
	if errors.As(err, &panicked) {
		return verdict{class: fatal, lost: true}
	}
	switch {
	case err == nil:
		return verdict{ok: true}
	case errors.Is(err, errStalled), errors.Is(err, errNoETag), errors.Is(err, errNoID):
		return verdict{class: transient, lost: true}
	case errors.Is(err, errChecksum):
		return verdict{class: damaged, lost: true}
	case beforeSending(err):
		return verdict{class: unsent(err)}
	}
	code, message := codeOf(err)
	status := statusOf(err)
	if status == 0 && code == "" {
		return verdict{class: transient, lost: true} // it was sent and got no answer
	}
	v := verdict{class: refusal(r, status, code), after: retryAfter(err)}
	if region := RegionOf(err); region != "" && region != r.region && isMisplaced(status, code) {
		return verdict{class: misplaced, region: region}
	}
	if namesChecksum(r, status, code, message) {
		return verdict{class: unchecked}
	}
	// A server error may come from a proxy that gave up waiting, and a success
	// that cannot be read is one nevertheless.
	v.lost = status >= 500 && status != http.StatusNotImplemented || status/100 == 2 || status == 0 && v.class != fatal
	if code == "SlowDown" || r.name == opCreate && strings.HasPrefix(code, "SlowDown") {
		// S3 itself has said no: not every throttled commit is unknown, nor every
		// throttled table's upload an orphan. The other codes of this name are
		// MinIO's, of disks that did not all take an object.
		v.lost = false
	}
	return v
}

// refusal judges an answer by what it says.
func refusal(r *request, status int, code string) class {
	switch code {
	case "SlowDown", "SlowDownRead", "SlowDownWrite", "ServiceUnavailable", "Throttling", "ThrottlingException",
		"ThrottledException", "RequestThrottled", "RequestThrottledException", "TooManyRequests", "TooManyRequestsException",
		"RequestLimitExceeded", "BandwidthLimitExceeded", "LimitExceededException", "PriorRequestNotComplete", "EC2ThrottledException":
		return throttle
	case "InternalError", "InternalFailure", "RequestTimeout", "RequestTimeoutException", "RequestTimeTooSkewed",
		"OperationAborted", "RequestCanceled", "IncompleteBody":
		return transient
	case "BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch":
		return damaged
	case "ConditionalRequestConflict":
		if r.name == opPut {
			return transient
		}
		return fatal // a multipart upload has to be sent again from its start
	}
	switch {
	case isExpired(code):
		return expired
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		return throttle
	case status == http.StatusRequestTimeout, status/100 == 2:
		return transient
	case status == http.StatusNotImplemented, status == http.StatusHTTPVersionNotSupported:
		return fatal
	case status >= 500:
		return transient
	}
	return fatal
}

// isMisplaced says whether an answer that names another region may be because of that.
func isMisplaced(status int, code string) bool {
	switch code {
	case "AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect", "IllegalLocationConstraintException":
		return true
	}
	return status == http.StatusMovedPermanently || status == http.StatusTemporaryRedirect || status == http.StatusPermanentRedirect ||
		status == http.StatusBadRequest
}

// namesChecksum recognises a server that stumbles over our checksum headers.
func namesChecksum(r *request, status int, code, message string) bool {
	names := strings.Contains(strings.ToLower(message), "checksum")
	switch {
	case code == "NotImplemented", status == http.StatusNotImplemented:
		// The generic message names no header; a message that names another one is about that.
		return names || !strings.Contains(strings.ToLower(message), "x-amz-")
	case code == "MalformedXML":
		return r.name == opComplete
	case code == "BadDigest", code == "XAmzContentChecksumMismatch":
		return false
	}
	return names && status == http.StatusBadRequest
}

// beforeSending says that the request never left: its credentials could not be
// had, or no connection could be made.
func beforeSending(err error) bool {
	var dial *net.OpError
	if errors.As(err, &dial) && (dial.Op == "dial" || dial.Op == "proxyconnect") {
		return true
	}
	var dns *net.DNSError
	if errors.As(err, &dns) || isCertificate(err) || isScheme(err) {
		return true
	}
	if service := serviceOf(err); service != "" && service != s3.ServiceID {
		return true // the request to S3 was not signed yet
	}
	var op *smithy.OperationError
	if !errors.As(err, &op) {
		return false
	}
	var sent *smithyhttp.RequestSendError
	var canceled *smithy.CanceledError
	var answered *smithyhttp.ResponseError
	var read *smithy.DeserializationError
	return !errors.As(err, &sent) && !errors.As(err, &canceled) && !errors.As(err, &answered) && !errors.As(err, &read)
}

// unsent judges a request that never left.
func unsent(err error) class {
	code, _ := codeOf(err)
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound, isCertificate(err), isScheme(err):
		return fatal
	case code != "" && statusOf(err) != 0 && !elsewhere(err): // STS has answered
		return refusal(&request{}, statusOf(err), code)
	case isNetwork(err):
		return transient
	}
	return fatal
}

func isNetwork(err error) bool {
	var timeout net.Error
	var sent *smithyhttp.RequestSendError
	return errors.As(err, &timeout) || errors.As(err, &sent)
}

func isCertificate(err error) bool {
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	return errors.As(err, &verification) || errors.As(err, &authority)
}

// isScheme tells the endpoints that do not speak what their URL says.
func isScheme(err error) bool {
	return strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") ||
		strings.Contains(err.Error(), "unsupported protocol scheme")
}

func retryAfter(err error) time.Duration {
	wish := headerOf(err).Get("Retry-After")
	if seconds, err := strconv.Atoi(wish); err == nil && seconds > 0 {
		return time.Duration(min(seconds, 3600)) * time.Second
	}
	if at, err := http.ParseTime(wish); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}
