package s3writertest

import (
	"crypto/rand"
	"encoding/xml"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const maxParts = 10_000

// Upload is a multipart upload that was neither completed nor aborted.
type Upload struct {
	Key      string
	UploadID string
	Parts    int   // uploaded so far
	Size     int64 // of these parts together
}

// Uploads returns the open multipart uploads of a bucket, oldest first.
func (s *Server) Uploads(bucket string) []Upload {
	s.uploads.mu.Lock()
	defer s.uploads.mu.Unlock()
	var open []Upload
	for _, u := range s.uploads.ordered(bucket) {
		o := Upload{Key: u.key, UploadID: u.id, Parts: len(u.parts)}
		for _, p := range u.parts {
			o.Size += p.size
		}
		open = append(open, o)
	}
	return open
}

// uploads are the open multipart uploads and those that were completed. Its lock is held for moments only,
// never while a body is read or hashed, so parts come in side by side.
type uploads struct {
	mu        sync.Mutex
	open      map[string]*upload     // by ID
	completed map[string]*completion // by ID
}

type upload struct {
	id, bucket, key string
	started         time.Time
	order           int64
	header          http.Header // what the object will have
	algorithm       *algorithm  // named by CreateMultipartUpload; nil: none
	fullObject      bool        // the object's checksum is that of its bytes, not of its parts' checksums
	parts           map[int]payload
}

func (us *uploads) ordered(bucket string) []*upload {
	var list []*upload
	for _, u := range us.open {
		if u.bucket == bucket {
			list = append(list, u)
		}
	}
	slices.SortFunc(list, func(a, b *upload) int { return int(a.order - b.order) })
	return list
}

// find returns an open upload. Its maps are read and written under the lock only.
func (us *uploads) find(c *call) (*upload, error) {
	u := us.open[c.query.Get("uploadId")]
	if u == nil || u.bucket != c.bucket || u.key != c.key {
		return nil, errorf(http.StatusNotFound, "NoSuchUpload", "The specified upload does not exist. "+
			"The upload ID may be invalid, or the upload may have been aborted or completed.").
			with("UploadId", c.query.Get("uploadId"))
	}
	return u, nil
}

func (c *call) createMultipartUpload() error {
	header, err := c.objectHeader()
	if err != nil {
		return err
	}
	u := &upload{
		id: rand.Text(), bucket: c.bucket, key: c.key, started: c.s.now(), header: header, parts: map[int]payload{},
	}
	if err := u.setChecksum(c.r.Header); err != nil {
		return err
	}
	c.s.uploads.add(u)
	c.echo(header)
	if u.algorithm != nil {
		c.w.Header().Set(checksumPrefix+"Algorithm", u.algorithm.name)
		c.w.Header().Set(checksumPrefix+"Type", u.checksumType())
	}
	c.writeXML(http.StatusOK, xml.Header+element("InitiateMultipartUploadResult",
		text("Bucket", c.bucket)+text("Key", c.key)+text("UploadId", u.id)))
	return nil
}

func (us *uploads) add(u *upload) {
	us.mu.Lock()
	defer us.mu.Unlock()
	if us.open == nil {
		us.open, us.completed = map[string]*upload{}, map[string]*completion{}
	}
	u.order = int64(len(us.open) + len(us.completed))
	us.open[u.id] = u
}

// setChecksum reads which checksum the parts will carry, and which the object will have.
func (u *upload) setChecksum(header http.Header) error {
	name, kind := header.Get(checksumPrefix+"Algorithm"), header.Get(checksumPrefix+"Type")
	if name == "" {
		if kind != "" {
			return invalidRequest("The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
		}
		return nil
	}
	if u.algorithm = algorithmNamed(name); u.algorithm == nil {
		return invalidRequest("Checksum algorithm provided is unsupported. Please try again with any of the valid types: " +
			"[CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
	}
	u.fullObject = kind == "FULL_OBJECT" || kind == "" && u.algorithm == crc64NVME
	switch {
	case kind != "" && kind != "FULL_OBJECT" && kind != "COMPOSITE":
		return invalidRequest("Value for x-amz-checksum-type header is invalid.")
	case u.fullObject && u.algorithm.polynomial == 0, !u.fullObject && u.algorithm == crc64NVME:
		return invalidRequest("The %s checksum type cannot be used with the %s checksum algorithm.",
			u.checksumType(), strings.ToLower(u.algorithm.name))
	}
	return nil
}

func (u *upload) checksumType() string {
	if u.fullObject {
		return "FULL_OBJECT"
	}
	return "COMPOSITE"
}

// uploadPart looks for the upload twice: before the body is read, so that its refusal comes first, and
// after, because an abort may have overtaken the body.
func (c *call) uploadPart() error {
	number, err := c.partNumber()
	if err != nil {
		return err
	}
	if err := c.checkUpload(); err != nil {
		return err
	}
	p, err := c.readPayload(!c.s.settings.discards())
	if err != nil {
		return err
	}
	if err := c.s.uploads.addPart(c, number, p); err != nil {
		return err
	}
	c.w.Header().Set("ETag", p.etag())
	if p.sent != nil {
		c.w.Header().Set(p.sent.header(), c.r.Header.Get(p.sent.header()))
	}
	c.w.WriteHeader(http.StatusOK)
	return nil
}

func (c *call) partNumber() (int, error) {
	number, err := strconv.Atoi(c.query.Get("partNumber"))
	if err != nil || number < 1 || number > maxParts {
		return 0, invalidArgument("Part number must be an integer between 1 and %d, inclusive", maxParts).
			with("ArgumentName", "partNumber").with("ArgumentValue", c.query.Get("partNumber"))
	}
	return number, nil
}

// checkUpload checks what a part's headers have to repeat of its upload: the checksum and SSE-C's key.
func (c *call) checkUpload() error {
	sent, _, err := requestChecksum(c.r.Header)
	if err != nil {
		return err
	}
	c.s.uploads.mu.Lock()
	defer c.s.uploads.mu.Unlock()
	u, err := c.s.uploads.find(c)
	if err != nil {
		return err
	}
	if u.algorithm != nil && sent != u.algorithm {
		actual := "null"
		if sent != nil {
			actual = strings.ToLower(sent.name)
		}
		return invalidRequest("Checksum Type mismatch occurred, expected checksum Type: %s, actual checksum Type: %s",
			strings.ToLower(u.algorithm.name), actual)
	}
	return u.checkEncryption(c.r.Header)
}

func (u *upload) checkEncryption(header http.Header) error {
	if u.header.Get(customerKey+"-Md5") == header.Get(customerKey+"-Md5") {
		return nil
	}
	return invalidRequest("The multipart upload initiate requested encryption. " +
		"Subsequent part requests must include the appropriate encryption parameters.")
}

func (us *uploads) addPart(c *call, number int, p payload) error {
	us.mu.Lock()
	defer us.mu.Unlock()
	u, err := us.find(c)
	if err != nil {
		return err
	}
	u.parts[number] = p
	return nil
}

func (c *call) abortMultipartUpload() error {
	c.s.uploads.mu.Lock()
	defer c.s.uploads.mu.Unlock()
	u, err := c.s.uploads.find(c)
	if err != nil {
		return err
	}
	delete(c.s.uploads.open, u.id)
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (c *call) listMultipartUploads() error {
	c.s.uploads.mu.Lock()
	defer c.s.uploads.mu.Unlock()
	content := text("Bucket", c.bucket) + text("IsTruncated", "false")
	for _, u := range c.s.uploads.ordered(c.bucket) {
		if strings.HasPrefix(u.key, c.query.Get("prefix")) {
			content += element("Upload", text("Key", u.key)+text("UploadId", u.id)+
				text("Initiated", u.started.UTC().Format(time.RFC3339)))
		}
	}
	c.writeXML(http.StatusOK, xml.Header+element("ListMultipartUploadsResult", content))
	return nil
}

func (c *call) listParts() error {
	c.s.uploads.mu.Lock()
	defer c.s.uploads.mu.Unlock()
	u, err := c.s.uploads.find(c)
	if err != nil {
		return err
	}
	content := text("Bucket", c.bucket) + text("Key", c.key) + text("UploadId", u.id) + text("IsTruncated", "false")
	for _, number := range slices.Sorted(maps.Keys(u.parts)) {
		p := u.parts[number]
		content += element("Part", text("PartNumber", strconv.Itoa(number))+text("ETag", p.etag())+
			text("Size", strconv.FormatInt(p.size, 10)))
	}
	c.writeXML(http.StatusOK, xml.Header+element("ListPartsResult", content))
	return nil
}
