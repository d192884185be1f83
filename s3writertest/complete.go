package s3writertest

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// completion is a CompleteMultipartUpload that succeeded, kept so that it can be repeated.
type completion struct {
	bucket, key string
	parts       []listedPart
	header      http.Header
	etag        string
}

// listedPart is a part as the client's list names it.
type listedPart struct {
	PartNumber int
	ETag       string

	ChecksumCRC32, ChecksumCRC32C, ChecksumCRC64NVME, ChecksumSHA1, ChecksumSHA256 string
}

func (p listedPart) checksum(a *algorithm) string {
	return map[string]string{
		"CRC32": p.ChecksumCRC32, "CRC32C": p.ChecksumCRC32C, "CRC64NVME": p.ChecksumCRC64NVME,
		"SHA1": p.ChecksumSHA1, "SHA256": p.ChecksumSHA256,
	}[a.name]
}

// hasChecksumBeside tells whether the list names a checksum of another kind than a; nil: of any kind.
func (p listedPart) hasChecksumBeside(a *algorithm) bool {
	return slices.ContainsFunc(algorithms, func(other *algorithm) bool { return other != a && p.checksum(other) != "" })
}

func (c *call) completeMultipartUpload() error {
	parts, err := c.listedParts()
	if err != nil {
		return err
	}
	done, err := c.s.uploads.complete(c, parts)
	if err != nil {
		return err
	}
	c.echo(done.header)
	content := text("Location", c.s.URL+c.r.URL.EscapedPath()) + text("Bucket", c.bucket) + text("Key", c.key) +
		text("ETag", done.etag)
	for _, a := range algorithms {
		if sum := done.header.Get(a.header()); sum != "" {
			content += text("Checksum"+a.name, sum) + text("ChecksumType", done.header.Get(checksumPrefix+"Type"))
		}
	}
	c.writeXML(http.StatusOK, xml.Header+element("CompleteMultipartUploadResult", content))
	return nil
}

func (c *call) listedParts() ([]listedPart, error) {
	// The checksum header is the object's here, not the body's.
	header := c.r.Header
	c.r.Header = http.Header{"X-Amz-Content-Sha256": header.Values("X-Amz-Content-Sha256")}
	p, err := c.readPayload(true)
	c.r.Header = header
	if err != nil {
		return nil, err
	}
	var request struct {
		XMLName xml.Name     `xml:"CompleteMultipartUpload"`
		Part    []listedPart `xml:"Part"`
	}
	if xml.Unmarshal(p.data, &request) != nil || len(request.Part) == 0 || len(request.Part) > maxParts {
		return nil, malformedXML()
	}
	return request.Part, nil
}

// complete makes the object visible, in one step with the checks: of two that complete one upload at the
// same moment the second finds the first's work.
func (us *uploads) complete(c *call, listed []listedPart) (*completion, error) {
	us.mu.Lock()
	defer us.mu.Unlock()
	minPartSize, idempotent := c.s.settings.multipart()
	if done := us.completed[c.query.Get("uploadId")]; idempotent && done != nil &&
		done.bucket == c.bucket && done.key == c.key && slices.Equal(done.parts, listed) {
		return done, nil
	}
	u, err := us.find(c)
	if err != nil {
		return nil, err
	}
	if err := u.checkParts(listed, minPartSize); err != nil {
		return nil, err
	}
	o := u.object(listed)
	if err := u.checkObject(o, c.r.Header); err != nil {
		return nil, err
	}
	if err := c.s.store.put(c.bucket, o, c.precondition); err != nil {
		return nil, err
	}
	done := &completion{u.bucket, u.key, listed, o.header, o.etag}
	delete(us.open, u.id)
	us.completed[u.id] = done
	return done, nil
}

func (u *upload) checkParts(listed []listedPart, minPartSize int64) error {
	for i, l := range listed {
		if i > 0 && l.PartNumber <= listed[i-1].PartNumber {
			return errorf(http.StatusBadRequest, "InvalidPartOrder", "The list of parts was not in ascending order. "+
				"Parts must be ordered by part number.").with("UploadId", u.id)
		}
	}
	for i, l := range listed {
		p, ok := u.parts[l.PartNumber]
		if !ok || strings.Trim(l.ETag, `"`) != strings.Trim(p.etag(), `"`) || l.hasChecksumBeside(u.algorithm) {
			return u.invalidPart(l)
		}
		if err := u.checkPartChecksum(l, p); err != nil {
			return err
		}
		if i < len(listed)-1 && p.size < minPartSize {
			return errorf(http.StatusBadRequest, "EntityTooSmall",
				"Your proposed upload is smaller than the minimum allowed size").
				with("ProposedSize", strconv.FormatInt(p.size, 10)).
				with("MinSizeAllowed", strconv.FormatInt(minPartSize, 10)).
				with("PartNumber", strconv.Itoa(l.PartNumber)).with("ETag", strings.Trim(p.etag(), `"`))
		}
	}
	return nil
}

func (u *upload) checkPartChecksum(l listedPart, p payload) error {
	if u.algorithm == nil {
		return nil
	}
	switch l.checksum(u.algorithm) {
	case base64.StdEncoding.EncodeToString(p.sum):
		return nil
	case "":
		return invalidRequest("The upload was created using a %s checksum. The complete request must include the checksum "+
			"for each part. It was missing for part %d in the request.", strings.ToLower(u.algorithm.name), l.PartNumber)
	}
	return u.invalidPart(l)
}

func (u *upload) invalidPart(l listedPart) *apiError {
	return errorf(http.StatusBadRequest, "InvalidPart", "One or more of the specified parts could not be found.  "+
		"The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.").
		with("UploadId", u.id).with("PartNumber", strconv.Itoa(l.PartNumber)).with("ETag", strings.Trim(l.ETag, `"`))
}

// object puts the listed parts together, without copying them.
func (u *upload) object(listed []listedPart) *object {
	o := &object{key: u.key, header: u.header.Clone()}
	tags := md5.New()
	for i, l := range listed {
		p := u.parts[l.PartNumber]
		if p.data != nil {
			o.segments = append(o.segments, p.data)
		}
		if i == 0 {
			o.crc = p.crc
		} else {
			o.crc = crc64NVME.combine(o.crc, p.crc, p.size)
		}
		o.parts = append(o.parts, p.size)
		o.size += p.size
		tag, _ := hex.DecodeString(strings.Trim(p.etag(), `"`))
		tags.Write(tag)
	}
	o.etag = fmt.Sprintf(`"%x-%d"`, tags.Sum(nil), len(listed))
	u.addChecksum(o, listed)
	return o
}

// addChecksum gives the object the checksum its upload asked for; AWS adds its own where none was.
func (u *upload) addChecksum(o *object, listed []listedPart) {
	switch {
	case u.algorithm == nil:
		o.header.Set(crc64NVME.header(), encodeCRC(o.crc))
		o.header.Set(checksumPrefix+"Type", "FULL_OBJECT")
		return
	case u.fullObject:
		o.header.Set(u.algorithm.header(), u.combined(listed))
	default:
		o.header.Set(u.algorithm.header(), u.composite(listed))
	}
	o.header.Set(checksumPrefix+"Type", u.checksumType())
}

func (u *upload) combined(listed []listedPart) string {
	var crc uint64
	for i, l := range listed {
		p := u.parts[l.PartNumber]
		if i == 0 {
			crc = u.algorithm.number(p.sum)
		} else {
			crc = u.algorithm.combine(crc, u.algorithm.number(p.sum), p.size)
		}
	}
	return u.algorithm.encode(crc)
}

func (u *upload) composite(listed []listedPart) string {
	sums := u.algorithm.new()
	for _, l := range listed {
		sums.Write(u.parts[l.PartNumber].sum)
	}
	return fmt.Sprintf("%s-%d", base64.StdEncoding.EncodeToString(sums.Sum(nil)), len(listed))
}

// checkObject compares the whole with what CompleteMultipartUpload's headers say of it.
func (u *upload) checkObject(o *object, header http.Header) error {
	if size := header.Get("X-Amz-Mp-Object-Size"); size != "" && size != strconv.FormatInt(o.size, 10) {
		return invalidRequest("The provided 'x-amz-mp-object-size' header value %s does not match what was computed: %d",
			size, o.size)
	}
	if kind := header.Get(checksumPrefix + "Type"); kind != "" && kind != o.header.Get(checksumPrefix+"Type") {
		return invalidRequest("The upload was created using the %s checksum mode. The complete request must use the same "+
			"checksum mode.", o.header.Get(checksumPrefix+"Type"))
	}
	for _, a := range algorithms {
		want, is := header.Get(a.header()), o.header.Get(a.header())
		if want != "" && want != is && want != strings.Split(is, "-")[0] {
			return badDigest(strings.ToLower(a.name))
		}
	}
	if u.algorithm != nil {
		return u.checkEncryption(header)
	}
	return nil
}
