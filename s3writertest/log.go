package s3writertest

import (
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
)

// Request is one request as the server saw it.
type Request struct {
	Op          string // the action's name: PutObject, UploadPart, AssumeRole, …; Unknown if the server has no such action
	Method      string
	Bucket, Key string
	UploadID    string
	PartNumber  int // 0 if it is not about a part
	Header      http.Header
	Query       url.Values
	Form        url.Values // a request to STS: RoleArn, RoleSessionName, ExternalId, DurationSeconds, …
	Size        int64      // bytes of the body that were read
	AccessKeyID string     // who signed it, proven or not; empty if nobody did
	Region      string     // the region it was signed for
	Status      int        // 0: not answered, because it still runs or was cut off
	Err         string     // the code of the error it was answered with, AccessDenied for example
	Faulted     bool       // a [Fault] struck it
}

// Requests returns every request so far, in order of arrival.
func (s *Server) Requests() []Request {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	requests := make([]Request, len(s.log.entries))
	for i, e := range s.log.entries {
		requests[i] = *e
	}
	return requests
}

// Count returns the number of requests of an operation so far; of all operations if op is empty.
func (s *Server) Count(op string) int {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	n := 0
	for _, e := range s.log.entries {
		if op == "" || e.Op == op {
			n++
		}
	}
	return n
}

// MaxInFlight returns how many requests of an operation were served at the same moment at most;
// of all operations together if op is empty.
func (s *Server) MaxInFlight(op string) int {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.log.peak[op]
}

// Reset forgets the requests logged so far. Objects, uploads, keys and faults stay.
func (s *Server) Reset() {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.entries, s.log.peak = nil, nil
}

type requestLog struct {
	mu       sync.Mutex
	entries  []*Request
	inFlight map[string]int // by operation, and by "" for all
	peak     map[string]int
}

// logged is the log's view of one request.
type logged struct {
	log  *requestLog
	e    *Request
	left bool
}

func (l *requestLog) begin(c *call) *logged {
	e := &Request{
		Op: c.op.name, Method: c.r.Method, Bucket: c.bucket, Key: c.key,
		UploadID: c.query.Get("uploadId"), Header: c.r.Header.Clone(), Query: c.query, Size: int64(len(c.form)),
	}
	e.PartNumber, _ = strconv.Atoi(c.query.Get("partNumber"))
	if c.form != nil {
		e.Form, _ = url.ParseQuery(string(c.form))
	}
	e.AccessKeyID, e.Region = signedBy(c.r)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, e)
	l.count(e.Op, 1)
	l.count("", 1)
	return &logged{log: l, e: e}
}

func (l *requestLog) count(op string, n int) {
	if l.inFlight == nil {
		l.inFlight = map[string]int{}
	}
	if l.peak == nil {
		l.peak = map[string]int{}
	}
	l.inFlight[op] += n
	l.peak[op] = max(l.peak[op], l.inFlight[op])
}

func (l *logged) update(change func(*Request)) {
	l.log.mu.Lock()
	defer l.log.mu.Unlock()
	change(l.e)
}

func (l *logged) refused(code string) { l.update(func(e *Request) { e.Err = code }) }
func (l *logged) faulted()            { l.update(func(e *Request) { e.Faulted = true }) }

// leave ends the request's time in flight: before its answer starts, or else the client's next request
// would seem to run beside it.
func (l *logged) leave() { l.answered(0) }

func (l *logged) answered(status int) {
	l.log.mu.Lock()
	defer l.log.mu.Unlock()
	if l.left {
		return
	}
	l.left = true
	l.e.Status = status
	l.log.count(l.e.Op, -1)
	l.log.count("", -1)
}

// counting counts the bytes of a body as they are read.
func (l *logged) counting(body io.ReadCloser) io.ReadCloser { return &countingBody{body, l} }

type countingBody struct {
	io.ReadCloser
	log *logged
}

func (b *countingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.log.update(func(e *Request) { e.Size += int64(n) })
	}
	return n, err
}

// watching notes the status before the first byte of the answer leaves, so that whoever has the answer
// finds it in the log.
func (l *logged) watching(w http.ResponseWriter) http.ResponseWriter { return &watchingWriter{w, l} }

type watchingWriter struct {
	http.ResponseWriter
	log *logged
}

func (w *watchingWriter) WriteHeader(status int) {
	w.log.answered(status)
	w.ResponseWriter.WriteHeader(status)
}

func (w *watchingWriter) Write(p []byte) (int, error) {
	w.log.answered(http.StatusOK)
	return w.ResponseWriter.Write(p)
}

// Unwrap lets an http.ResponseController flush and hijack.
func (w *watchingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
