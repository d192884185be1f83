package s3writertest

import (
	"bytes"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// When is the moment a [Fault] strikes.
type When int

const (
	Before When = iota // nothing is done; the body is read and thrown away
	During             // half of the body was read; nothing is done
	After              // the request was carried out; its answer is lost or replaced
)

// Fault makes requests fail. What happens to a request it strikes, at the moment of When:
//
//  1. Hook is called.
//  2. Hang is waited for.
//  3. The connection is cut if Cut is set, or if a During says nothing of an answer and does not hang.
//  4. Otherwise Status, Code, Message, Empty, Blank and ErrorIn200 make an answer of their own.
//  5. Otherwise the request is carried out, if it was not yet, and its true answer is altered:
//     StripETag, WrongETag, WrongChecksum, Header, CutAnswer.
//
// A Fault with nothing but a place and a moment is a 500 InternalError; with When During it cuts.
type Fault struct {
	Op    string // the action's name, as in [Request]; empty: any
	Key   string // empty: any
	N     int    // the first request to strike, counted from 1 and from the call of Fail; 0: every one
	Times int    // how many in a row; default 1, or all of them if N is 0
	When  When

	Hook func(*http.Request) // called when the fault strikes; a Hook alone only watches
	Hang <-chan struct{}     // wait until it is closed, the server is, or the client leaves (seen only once its body was read)

	Cut bool // close the connection without an answer

	Status        int         // answer this; default by Code
	Code, Message string      // in an error document; default by Status
	Header        http.Header // beside the usual ones, Retry-After for example
	Empty         bool        // 200 without a body and without an ETag
	Blank         bool        // 200 with white space for a body, as a proxy leaves it that gave up on the server
	ErrorIn200    bool        // 200, white space, and an error document, as CompleteMultipartUpload may answer

	StripETag     bool // the true answer without its ETag
	WrongETag     bool // with an ETag of something else
	WrongChecksum bool // with checksums of something else
	CutAnswer     bool // the true status, half of the body, and no more
}

// Fail arms a fault. Of several that fit a request the one armed first strikes; all of them count it.
func (s *Server) Fail(f Fault) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.armed = append(s.faults.armed, &armedFault{Fault: f})
}

// ClearFaults disarms all faults.
func (s *Server) ClearFaults() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.armed = nil
}

type faults struct {
	mu    sync.Mutex
	armed []*armedFault
}

type armedFault struct {
	Fault
	seen int
}

// strike counts a request and returns the fault that strikes it, if one does.
func (fs *faults) strike(op, key string) *Fault {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	var first *Fault
	for _, f := range fs.armed {
		if f.Op != "" && f.Op != op || f.Key != "" && f.Key != key {
			continue
		}
		f.seen++
		if first == nil && f.due() {
			first = &f.Fault
		}
	}
	return first
}

func (f *armedFault) due() bool {
	if f.N == 0 && f.Times == 0 {
		return true
	}
	n := f.seen - max(f.N, 1)
	return n >= 0 && n < max(f.Times, 1)
}

// fail puts a request through a fault.
func (c *call) fail(f *Fault) {
	c.log.faulted()
	var truth *httptest.ResponseRecorder
	switch f.When {
	case During:
		c.readHalf()
	case After:
		truth = c.record()
	}
	if f.Hook != nil {
		f.Hook(c.r)
	}
	if !c.hang(f.Hang) {
		c.cut()
		return
	}
	switch {
	case f.cuts():
		c.cut()
	case f.answers():
		c.answerFault(f)
	default:
		if truth == nil {
			truth = c.record()
		}
		c.send(truth, f)
	}
}

func (f *Fault) cuts() bool {
	return f.Cut || f.When == During && f.Hang == nil && !f.answers() && !f.alters()
}

func (f *Fault) answers() bool {
	named := f.Status != 0 || f.Code != "" || f.Empty || f.Blank || f.ErrorIn200
	nothing := !f.Cut && f.Hook == nil && f.Hang == nil && f.When != During && !f.alters()
	return named || nothing
}

func (f *Fault) alters() bool {
	return f.StripETag || f.WrongETag || f.WrongChecksum || f.CutAnswer || f.Status == 0 && f.Code == "" && f.Header != nil
}

// readHalf leaves the connection with half of the body read. What was read is put back, in case it goes on.
func (c *call) readHalf() {
	half, _ := io.ReadAll(io.LimitReader(c.r.Body, c.r.ContentLength/2))
	c.r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(half), c.r.Body), c.r.Body}
}

// hang returns false if the client left or the server is closed before the channel is.
func (c *call) hang(until <-chan struct{}) bool {
	if until == nil {
		return true
	}
	select {
	case <-until:
		return true
	case <-c.r.Context().Done():
	case <-c.s.closed:
	}
	return false
}

// cut resets the connection: the client sees an error, never an end.
func (c *call) cut() {
	c.log.leave()
	conn, _, err := http.NewResponseController(c.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	raw := conn
	if inner, ok := conn.(interface{ NetConn() net.Conn }); ok { // under TLS
		raw = inner.NetConn()
	}
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = raw.Close()
}

// record carries the request out and keeps its answer.
func (c *call) record() *httptest.ResponseRecorder {
	w := c.w
	truth := httptest.NewRecorder()
	for name, values := range w.Header() {
		truth.Header()[name] = values
	}
	c.w = truth
	c.perform()
	c.w = w
	return truth
}

func (c *call) answerFault(f *Fault) {
	_, _ = io.Copy(io.Discard, c.r.Body)
	for name, values := range f.Header {
		c.w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	e := f.error()
	switch {
	case f.Empty:
		c.w.Header().Set("Content-Length", "0")
		c.w.WriteHeader(http.StatusOK)
	case f.Blank:
		c.writeXML(http.StatusOK, blanks)
	case f.ErrorIn200:
		c.log.refused(e.code)
		c.writeXML(http.StatusOK, blanks+c.errorDocument(e))
	default:
		c.refuse(e)
	}
}

const blanks = "   \n   \n"

var statusCodes = []struct {
	status int
	code   string
}{
	{http.StatusInternalServerError, "InternalError"}, // the first is the default
	{http.StatusServiceUnavailable, "SlowDown"},
	{http.StatusServiceUnavailable, "ServiceUnavailable"},
	{http.StatusServiceUnavailable, "Throttling"},
	{http.StatusForbidden, "AccessDenied"},
	{http.StatusForbidden, "RequestTimeTooSkewed"},
	{http.StatusForbidden, "SignatureDoesNotMatch"},
	{http.StatusForbidden, "InvalidAccessKeyId"},
	{http.StatusNotFound, "NoSuchKey"},
	{http.StatusNotFound, "NoSuchBucket"},
	{http.StatusNotFound, "NoSuchUpload"},
	{http.StatusConflict, "OperationAborted"},
	{http.StatusConflict, "ConditionalRequestConflict"},
	{http.StatusPreconditionFailed, "PreconditionFailed"},
	{http.StatusMovedPermanently, "PermanentRedirect"},
	{http.StatusTemporaryRedirect, "TemporaryRedirect"},
	{http.StatusNotImplemented, "NotImplemented"},
	{http.StatusTooManyRequests, "TooManyRequests"},
	{http.StatusBadRequest, "InvalidRequest"}, // and every code that is not listed
}

var messages = map[string]string{
	"InternalError":              "We encountered an internal error. Please try again.",
	"SlowDown":                   "Please reduce your request rate.",
	"ServiceUnavailable":         "Service is unable to handle request.",
	"AccessDenied":               "Access Denied",
	"NoSuchKey":                  "The specified key does not exist.",
	"NoSuchBucket":               "The specified bucket does not exist",
	"NoSuchUpload":               "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.",
	"OperationAborted":           "A conflicting conditional operation is currently in progress against this resource. Please try again.",
	"ConditionalRequestConflict": "The conditional request cannot succeed due to a conflicting operation against this resource.",
	"PreconditionFailed":         "At least one of the pre-conditions you specified did not hold",
	"NotImplemented":             "A header you provided implies functionality that is not implemented.",
	"ExpiredToken":               "The provided token has expired.",
	"RequestTimeout":             "Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed.",
}

// error fills in what the fault leaves open.
func (f *Fault) error() *apiError {
	status, code := f.Status, f.Code
	for _, known := range statusCodes {
		if status == 0 && code == known.code {
			status = known.status
		}
	}
	if status == 0 {
		status = http.StatusBadRequest
		if code == "" {
			status = http.StatusInternalServerError
		}
	}
	for _, known := range statusCodes {
		if code == "" && status == known.status {
			code = known.code
		}
	}
	if code == "" {
		code = strings.ReplaceAll(http.StatusText(status), " ", "")
	}
	message := f.Message
	if message == "" {
		message = messages[code]
	}
	return errorf(status, code, "%s", message)
}

// send answers with the truth as far as the fault lets it.
func (c *call) send(truth *httptest.ResponseRecorder, f *Fault) {
	header, body := c.w.Header(), truth.Body.Bytes()
	for name, values := range truth.Header() {
		header[name] = values
	}
	for name, values := range f.Header {
		header[http.CanonicalHeaderKey(name)] = values
	}
	if f.StripETag || f.WrongETag {
		body = f.alterETag(header, body)
	}
	if f.WrongChecksum {
		body = alterChecksums(header, body)
	}
	if len(body) > 0 {
		header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	c.w.WriteHeader(truth.Code)
	if !f.CutAnswer {
		_, _ = c.w.Write(body)
		return
	}
	_, _ = c.w.Write(body[:len(body)/2])
	_ = http.NewResponseController(c.w).Flush()
	panic(http.ErrAbortHandler)
}

var etagElement = regexp.MustCompile(`<ETag>[^<]*</ETag>`)

func (f *Fault) alterETag(header http.Header, body []byte) []byte {
	wrong := `"00000000000000000000000000000bad"`
	if header.Get("ETag") != "" {
		header.Set("ETag", wrong)
	}
	replacement := text("ETag", wrong)
	if f.StripETag {
		header.Del("ETag")
		replacement = ""
	}
	return etagElement.ReplaceAll(body, []byte(replacement))
}

// alterChecksums replaces each checksum by one of the right length.
func alterChecksums(header http.Header, body []byte) []byte {
	for _, a := range algorithms {
		if sum := header.Get(a.header()); sum != "" {
			header.Set(a.header(), wrongChecksum(a))
		}
		body = regexp.MustCompile(`(<Checksum`+a.name+`>)[^<]*`).ReplaceAll(body, []byte("${1}"+wrongChecksum(a)))
	}
	return body
}

func wrongChecksum(a *algorithm) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xBA}, a.size))
}
