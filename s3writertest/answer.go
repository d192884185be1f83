package s3writertest

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// apiError is a refusal in AWS's words.
type apiError struct {
	status        int
	code, message string
	fields        []field
	header        http.Header
}

// field is an element of an error document beside code and message.
type field struct{ name, value string }

func (e *apiError) Error() string { return fmt.Sprintf("%d %s: %s", e.status, e.code, e.message) }

func errorf(status int, code, format string, args ...any) *apiError {
	return &apiError{status: status, code: code, message: fmt.Sprintf(format, args...), header: http.Header{}}
}

func (e *apiError) with(name, value string) *apiError {
	e.fields = append(e.fields, field{name, value})
	return e
}

func (e *apiError) withHeader(name, value string) *apiError {
	e.header.Set(name, value)
	return e
}

func noSuchBucket(bucket string) *apiError {
	return errorf(http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist").with("BucketName", bucket)
}

func noSuchKey(key string) *apiError {
	return errorf(http.StatusNotFound, "NoSuchKey", "The specified key does not exist.").with("Key", key)
}

func invalidRequest(format string, args ...any) *apiError {
	return errorf(http.StatusBadRequest, "InvalidRequest", format, args...)
}

func invalidArgument(format string, args ...any) *apiError {
	return errorf(http.StatusBadRequest, "InvalidArgument", format, args...)
}

// refuse answers with an error document. The body is read to its end first: an answer to a client that is
// still writing is lost now and then, when the connection is closed under it.
func (c *call) refuse(err error) {
	e, ok := err.(*apiError)
	if !ok {
		e = errorf(http.StatusInternalServerError, "InternalError", "%v", err)
	}
	_, _ = io.Copy(io.Discard, c.r.Body)
	for name, values := range e.header {
		c.w.Header()[name] = values
	}
	c.log.refused(e.code)
	c.writeXML(e.status, c.errorDocument(e))
}

func (c *call) writeXML(status int, document string) {
	c.w.Header().Set("Content-Type", "application/xml")
	c.w.Header().Set("Content-Length", fmt.Sprint(len(document)))
	c.w.WriteHeader(status)
	if c.r.Method != http.MethodHead {
		_, _ = io.WriteString(c.w, document)
	}
}

func (c *call) errorDocument(e *apiError) string {
	if c.form != nil {
		kind := "Sender"
		if e.status >= 500 {
			kind = "Receiver"
		}
		return xml.Header + element("ErrorResponse",
			element("Error", text("Type", kind)+text("Code", e.code)+text("Message", e.message))+text("RequestId", c.id))
	}
	content := text("Code", e.code) + text("Message", e.message)
	for _, f := range e.fields {
		content += text(f.name, f.value)
	}
	return xml.Header + element("Error", content+text("Resource", c.r.URL.Path)+text("RequestId", c.id)+
		text("HostId", c.w.Header().Get("X-Amz-Id-2")))
}

// element and text write the few small documents of S3 and STS: encoding/xml would want a type for each.
func element(name, content string) string { return "<" + name + ">" + content + "</" + name + ">" }

func text(name, value string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(value))
	return element(name, b.String())
}
