package s3writertest

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"io"
	"net/http"

	"github.com/minio/crc64nvme"
)

const (
	maxPayload = 5 << 30
	readSize   = 256 << 10 // a chunk is hashed while the cache still holds it
)

// payload is a body that was read to its end and found to be what its headers say.
type payload struct {
	data []byte // nil if the server discards
	size int64
	crc  uint64     // CRC-64/NVME, always
	sent *algorithm // the checksum the client sent; nil: none
	sum  []byte     // and its value
}

// digest is one promise about the body: a hash and the value it must have.
type digest struct {
	hash.Hash
	want    []byte
	refusal *apiError
}

// readPayload reads and verifies the body. Nothing is stored before it returns, so a body that is cut or
// changed on the way leaves nothing.
func (c *call) readPayload(keep bool) (payload, error) {
	p := payload{size: c.r.ContentLength}
	switch {
	case p.size < 0:
		return p, errorf(http.StatusLengthRequired, "MissingContentLength", "You must provide the Content-Length HTTP header.")
	case p.size > maxPayload:
		return p, errorf(http.StatusBadRequest, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
	}
	digests, err := c.digests(&p)
	if err != nil {
		return p, err
	}
	if err := p.read(c.r.Body, digests, keep); err != nil {
		return p, errorf(http.StatusBadRequest, "IncompleteBody",
			"You did not provide the number of bytes specified by the Content-Length HTTP header")
	}
	for _, d := range digests {
		if subtle.ConstantTimeCompare(d.Sum(nil), d.want) == 0 {
			return p, d.refusal
		}
	}
	if p.sent == crc64NVME && p.crc != p.sent.number(p.sum) {
		return p, badDigest(p.sent.name)
	}
	return p, nil
}

func (c *call) digests(p *payload) (digests []digest, err error) {
	if want, err := hex.DecodeString(c.r.Header.Get("X-Amz-Content-Sha256")); err == nil {
		digests = append(digests, digest{sha256.New(), want, errorf(http.StatusBadRequest, "XAmzContentSHA256Mismatch",
			"The provided 'x-amz-content-sha256' header does not match what was computed.")})
	}
	if value := c.r.Header.Get("Content-Md5"); value != "" {
		want, err := base64.StdEncoding.DecodeString(value)
		if err != nil || len(want) != md5.Size {
			return nil, errorf(http.StatusBadRequest, "InvalidDigest", "The Content-MD5 you specified was invalid.")
		}
		digests = append(digests, digest{md5.New(), want, badDigest("Content-MD5")})
	}
	if p.sent, p.sum, err = requestChecksum(c.r.Header); err != nil {
		return nil, err
	}
	if p.sent != nil && p.sent != crc64NVME { // which is computed in any case
		digests = append(digests, digest{p.sent.new(), p.sum, badDigest(p.sent.name)})
	}
	return digests, nil
}

func badDigest(name string) *apiError {
	if name == "Content-MD5" {
		return errorf(http.StatusBadRequest, "BadDigest", "The Content-MD5 you specified did not match what we received.")
	}
	return errorf(http.StatusBadRequest, "BadDigest", "The %s you specified did not match the calculated checksum.", name)
}

func (p *payload) read(body io.Reader, digests []digest, keep bool) error {
	crc := crc64nvme.New()
	buffer := make([]byte, min(p.size, readSize))
	if keep {
		buffer = make([]byte, p.size)
		p.data = buffer
	}
	for done := int64(0); done < p.size; {
		chunk := buffer[:min(p.size-done, readSize)]
		if keep {
			chunk = buffer[done:min(p.size, done+readSize)]
		}
		n, err := io.ReadFull(body, chunk)
		if err != nil {
			return err
		}
		done += int64(n)
		_, _ = crc.Write(chunk)
		for _, d := range digests {
			_, _ = d.Write(chunk)
		}
	}
	p.crc = crc.Sum64()
	return nil
}
