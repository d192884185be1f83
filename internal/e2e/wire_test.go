package e2e

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
)

// wire is the network between a Writer and S3. It notes who asked for what, and tells a test when.
type wire struct {
	base   http.RoundTripper
	before func(operation string) *http.Response // may answer in the server's place; nil: the server does
	after  func(operation string)                // has been answered

	mu    sync.Mutex
	calls []call
}

type call struct{ operation, accessKey string }

var signedBy = regexp.MustCompile(`Credential=([^/]+)/`)

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	c := call{operation: operationOf(req)}
	if m := signedBy.FindStringSubmatch(req.Header.Get("Authorization")); m != nil {
		c.accessKey = m[1]
	}
	w.mu.Lock()
	w.calls = append(w.calls, c)
	w.mu.Unlock()

	if w.before != nil {
		if resp := w.before(c.operation); resp != nil {
			resp.Request = req
			if req.Body != nil {
				_ = req.Body.Close()
			}
			return resp, nil
		}
	}
	resp, err := w.base.RoundTrip(req)
	if err == nil && w.after != nil {
		w.after(c.operation)
	}
	return resp, err
}

// count returns how many requests there were for an operation.
func (w *wire) count(operation string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, c := range w.calls {
		if c.operation == operation {
			n++
		}
	}
	return n
}

// signers returns how many different access keys signed the requests.
func (w *wire) signers() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	keys := map[string]bool{}
	for _, c := range w.calls {
		keys[c.accessKey] = true
	}
	return len(keys)
}

func operationOf(req *http.Request) string {
	query := req.URL.Query()
	switch {
	case query.Has("location"):
		return "GetBucketLocation"
	case req.Method == http.MethodPost && query.Has("uploads"):
		return "CreateMultipartUpload"
	case req.Method == http.MethodPost && query.Has("uploadId"):
		return "CompleteMultipartUpload"
	case req.Method == http.MethodDelete && query.Has("uploadId"):
		return "AbortMultipartUpload"
	case req.Method == http.MethodPut && query.Has("partNumber"):
		return "UploadPart"
	case req.Method == http.MethodPut:
		return "PutObject"
	case req.Method == http.MethodPost:
		return "AssumeRole" // STS has one path, and the action in the body
	default:
		return req.Method + " " + req.URL.Path
	}
}

// refusal is S3's answer with an error code.
func refusal(status int, code, message string) *http.Response {
	body := `<?xml version="1.0" encoding="UTF-8"?><Error><Code>` + code + `</Code><Message>` + message + `</Message></Error>`
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{"Content-Type": {"application/xml"}, "X-Amz-Request-Id": {"E2E"}},
		Body:          io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body)),
	}
}
