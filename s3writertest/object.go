package s3writertest

import (
	"encoding/hex"
	"net/http"
	"slices"

	"github.com/minio/crc64nvme"
)

// Object is a stored object.
type Object struct {
	Body        []byte // nil if the server discards bodies
	Size        int64
	ContentType string
	Metadata    map[string]string // user metadata by lower-case name without x-amz-meta-
	Header      http.Header       // everything that was stored with it: the headers above, storage class, tagging, …
	ETag        string            // without quotes
	CRC64NVME   string            // of the whole object, in base64, whether the client sent it or not
	Parts       []int64           // sizes of the parts it was uploaded in; nil for a PutObject
}

// Get returns an object's content.
func (s *Server) Get(bucket, key string) ([]byte, bool) {
	o := s.store.object(bucket, key)
	if o == nil {
		return nil, false
	}
	return o.bytes(), true
}

// Object returns an object with all that was stored with it.
func (s *Server) Object(bucket, key string) (Object, bool) {
	o := s.store.object(bucket, key)
	if o == nil {
		return Object{}, false
	}
	return Object{
		Body:        o.bytes(),
		Size:        o.size,
		ContentType: o.header.Get("Content-Type"),
		Metadata:    metadata(o.header),
		Header:      o.header.Clone(),
		ETag:        o.etag[1 : len(o.etag)-1],
		CRC64NVME:   encodeCRC(o.crc),
		Parts:       slices.Clone(o.parts),
	}, true
}

// Keys returns the keys of a bucket's objects, sorted.
func (s *Server) Keys(bucket string) []string { return s.store.keys(bucket) }

// Put stores an object without a request. The bucket is made if it is not there.
func (s *Server) Put(bucket, key string, body []byte) {
	_ = s.store.CreateBucket(bucket) // the only error is that it is there
	p := payload{data: slices.Clone(body), size: int64(len(body)), crc: crc64nvme.Checksum(body)}
	_ = s.store.put(bucket, p.object(key, http.Header{}), func(*object) error { return nil })
}

// object makes an object of a single body.
func (p payload) object(key string, header http.Header) *object {
	o := &object{key: key, size: p.size, header: header, etag: p.etag(), crc: p.crc}
	if p.data != nil {
		o.segments = [][]byte{p.data}
	}
	return o
}

// etag is not the body's MD5, which would cost more than everything else the server does: an ETag is
// opaque, and AWS's is no MD5 either once an object is encrypted with a key.
func (p payload) etag() string {
	tag := appendUint64(nil, p.crc)
	tag = appendUint64(tag, ^uint64(p.size))
	return `"` + hex.EncodeToString(tag) + `"`
}
