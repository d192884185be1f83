package s3writertest

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// call is one request on its way through the server.
type call struct {
	s           *Server
	w           http.ResponseWriter
	r           *http.Request
	op          operation
	bucket, key string
	query       url.Values
	form        []byte // body of a request to STS
	id          string
	log         *logged
	caller      *identity
}

// serve is the server's handler.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	c := s.newCall(w, r)
	defer c.log.leave()
	if f := s.faults.strike(c.op.name, c.key); f != nil {
		c.fail(f)
		return
	}
	c.perform()
}

func (s *Server) newCall(w http.ResponseWriter, r *http.Request) *call {
	c := &call{s: s, r: r, query: r.URL.Query(), id: fmt.Sprintf("%016X", s.ids.Add(1))}
	c.bucket, c.key, _ = strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if r.Method == http.MethodPost && r.URL.Path == "/" {
		c.form, _ = io.ReadAll(io.LimitReader(r.Body, 1<<20)) // a cut body fails its signature
	}
	c.op = c.operation()
	c.log = s.log.begin(c)
	r.Body = c.log.counting(r.Body)
	c.w = c.log.watching(w)
	c.w.Header().Set("X-Amz-Request-Id", c.id)
	c.w.Header().Set("X-Amz-Id-2", "s3writertest/"+c.id)
	c.w.Header().Set("Server", "AmazonS3")
	c.w.Header().Set("Date", s.now().UTC().Format(http.TimeFormat)) // clients correct their clock by it
	return c
}

// perform carries the request out and answers it.
func (c *call) perform() {
	if err := c.answer(); err != nil {
		c.refuse(err)
	}
}

func (c *call) answer() error {
	if c.form != nil {
		return c.serveSTS()
	}
	if c.op.serve == nil {
		return errorf(http.StatusNotImplemented, "NotImplemented",
			"A header you provided implies functionality that is not implemented: %s %s", c.r.Method, c.r.URL.RequestURI())
	}
	if err := c.admit(); err != nil {
		return err
	}
	return c.op.serve(c)
}

// admit decides in AWS's order whether the caller may do this at all: who is it, is there such a bucket,
// does the expected account own it, is the action allowed.
func (c *call) admit() error {
	exists, _ := c.s.store.BucketExists(c.bucket)
	if exists && c.op.name == "HeadBucket" {
		c.w.Header().Set("X-Amz-Bucket-Region", c.s.settings.region(c.bucket)) // whatever the answer
	}
	if err := c.authenticate(exists); err != nil {
		return err
	}
	if c.bucket == "" || c.op.name == "CreateBucket" {
		return c.authorize()
	}
	if !exists {
		return noSuchBucket(c.bucket)
	}
	if err := c.checkOwner(); err != nil {
		return err
	}
	if len(c.key) > 1024 {
		return errorf(http.StatusBadRequest, "KeyTooLongError", "Your key is too long").
			with("Size", strconv.Itoa(len(c.key))).with("MaxSizeAllowed", "1024")
	}
	return c.authorize()
}

func (c *call) checkOwner() error {
	expected := c.r.Header.Get("X-Amz-Expected-Bucket-Owner")
	switch {
	case expected == "" || expected == c.s.settings.owner(c.bucket):
		return nil
	case len(expected) != 12 || strings.Trim(expected, "0123456789") != "":
		return errorf(http.StatusBadRequest, "InvalidBucketOwnerAWSAccountID",
			"The value of the expected bucket owner parameter must be an AWS Account ID... [%s]", expected)
	}
	return errorf(http.StatusForbidden, "AccessDenied", "Access Denied")
}
