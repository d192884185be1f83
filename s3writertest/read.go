package s3writertest

import (
	"bytes"
	"encoding/xml"
	"io"
	"net/http"
	"strings"
)

// read leaves the request to gofakes3.
func (c *call) read() error {
	c.s.reads.ServeHTTP(c.w, c.r)
	return nil
}

// getBucketLocation answers as AWS does: us-east-1 has no name.
func (c *call) getBucketLocation() error {
	region := c.s.settings.region(c.bucket)
	if region == DefaultRegion {
		region = ""
	}
	c.writeXML(http.StatusOK, xml.Header+text("LocationConstraint", region))
	return nil
}

func (c *call) headBucket() error {
	c.w.WriteHeader(http.StatusOK)
	return nil
}

// getObject answers GET and HEAD. A key that is not there is a secret to those who may not list the bucket.
func (c *call) getObject() error {
	o := c.s.store.object(c.bucket, c.key)
	switch {
	case o == nil && !c.may("s3:ListBucket", bucketARN(c.bucket)):
		return errorf(http.StatusForbidden, "AccessDenied", "Access Denied")
	case o == nil:
		return noSuchKey(c.key)
	case o.size > 0 && o.segments == nil && c.r.Method == http.MethodGet:
		return errorf(http.StatusForbidden, "InvalidObjectState", "The server discards bodies: Server.SetDiscard")
	}
	match, noneMatch := c.r.Header.Get("If-Match"), c.r.Header.Get("If-None-Match")
	if noneMatch != "" && noneMatch == o.etag {
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	if match != "" && match != o.etag {
		return c.precondition(o)
	}
	w := &objectWriter{ResponseWriter: c.w, c: c, o: o}
	c.s.reads.ServeHTTP(w, c.r)
	if !w.started { // a HEAD, or an empty object
		w.WriteHeader(http.StatusOK)
	}
	return nil
}

// objectWriter corrects what gofakes3 says of an object: the ETag, which it takes for an MD5, and checksums,
// which belong in the answer only if they are asked for and only to the whole object.
type objectWriter struct {
	http.ResponseWriter
	c       *call
	o       *object
	started bool
}

func (w *objectWriter) WriteHeader(status int) {
	w.started = true
	header := w.Header()
	header.Del("X-Amz-Acl")
	header.Del("X-Amz-Tagging")
	if status < 300 {
		header.Set("ETag", w.o.etag)
	}
	if w.c.r.Header.Get("X-Amz-Checksum-Mode") != "ENABLED" || status != http.StatusOK {
		for name := range header {
			if strings.HasPrefix(name, checksumPrefix) {
				header.Del(name)
			}
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *objectWriter) Write(p []byte) (int, error) {
	if !w.started {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// deleteObjects asks for the permission key by key and leaves the allowed ones to gofakes3.
func (c *call) deleteObjects() error {
	p, err := c.readPayload(true)
	if err != nil {
		return err
	}
	var request struct {
		Object []struct{ Key string }
	}
	if err := xml.Unmarshal(p.data, &request); err != nil || len(request.Object) == 0 || len(request.Object) > 1000 {
		return malformedXML()
	}
	for _, o := range request.Object {
		if err := c.caller.mayDo("s3:DeleteObject", bucketARN(c.bucket)+"/"+o.Key); err != nil {
			return err
		}
	}
	c.r.Body = io.NopCloser(bytes.NewReader(p.data))
	return c.read()
}

func malformedXML() *apiError {
	return errorf(http.StatusBadRequest, "MalformedXML",
		"The XML you provided was not well-formed or did not validate against our published schema")
}
