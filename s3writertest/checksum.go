package s3writertest

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"net/http"
	"strings"

	"github.com/minio/crc64nvme"
)

// algorithm is one of S3's additional checksums. Those with a polynomial can be combined from
// the parts' checksums to the full object's.
type algorithm struct {
	name       string // CRC64NVME, as in the header's and the XML elements' names
	size       int
	new        func() hash.Hash
	polynomial uint64 // reflected; 0: not a CRC
}

const checksumPrefix = "X-Amz-Checksum-"

var (
	crc64NVME  = &algorithm{"CRC64NVME", 8, func() hash.Hash { return crc64nvme.New() }, crc64nvme.NVME}
	algorithms = []*algorithm{
		crc64NVME,
		{"CRC32", 4, func() hash.Hash { return crc32.NewIEEE() }, crc32.IEEE},
		{"CRC32C", 4, func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) }, crc32.Castagnoli},
		{"SHA1", sha1.Size, sha1.New, 0},
		{"SHA256", sha256.Size, sha256.New, 0},
	}
)

func algorithmNamed(name string) *algorithm {
	for _, a := range algorithms {
		if strings.EqualFold(a.name, name) {
			return a
		}
	}
	return nil
}

func (a *algorithm) header() string { return http.CanonicalHeaderKey(checksumPrefix + a.name) }

// requestChecksum finds the one checksum a request may carry in its header. Without one the algorithm is nil.
func requestChecksum(header http.Header) (a *algorithm, sum []byte, err error) {
	for _, candidate := range algorithms {
		value := header.Get(candidate.header())
		if value == "" {
			continue
		}
		if a != nil {
			return nil, nil, invalidRequest("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
		}
		a = candidate
		if sum, err = base64.StdEncoding.DecodeString(value); err != nil || len(sum) != a.size {
			return nil, nil, invalidRequest("Value for %s header is invalid.", strings.ToLower(a.header()))
		}
	}
	if named := header.Get("X-Amz-Sdk-Checksum-Algorithm"); a == nil && named != "" {
		return nil, nil, invalidRequest("x-amz-sdk-checksum-algorithm specified, but no corresponding " +
			"x-amz-checksum-* or x-amz-trailer headers were found.")
	}
	return a, sum, nil
}

func encodeCRC(crc uint64) string { return base64.StdEncoding.EncodeToString(appendUint64(nil, crc)) }

func appendUint64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

// combine computes the CRC of a text followed by another of n bytes from the CRCs of both: that of the first,
// moved over by 8n zero bits, plus that of the second.
func (a *algorithm) combine(first, second uint64, n int64) uint64 {
	return a.multiply(first, a.power(uint64(n)*8)) ^ second
}

// power is x to the n modulo the polynomial. Bits are reflected: the highest stands for 1, the next for x.
func (a *algorithm) power(n uint64) uint64 {
	one := uint64(1) << (8*a.size - 1)
	result, square := one, one>>1
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			result = a.multiply(result, square)
		}
		square = a.multiply(square, square)
	}
	return result
}

func (a *algorithm) multiply(x, y uint64) uint64 {
	var product uint64
	for bit := uint64(1) << (8*a.size - 1); bit > 0; bit >>= 1 {
		if x&bit != 0 {
			product ^= y
		}
		carry := y & 1
		y >>= 1
		if carry == 1 {
			y ^= a.polynomial
		}
	}
	return product
}

// number reads a CRC of either width.
func (a *algorithm) number(sum []byte) uint64 {
	if a.size == 4 {
		return uint64(binary.BigEndian.Uint32(sum))
	}
	return binary.BigEndian.Uint64(sum)
}

func (a *algorithm) encode(number uint64) string {
	b := appendUint64(nil, number)
	return base64.StdEncoding.EncodeToString(b[8-a.size:])
}
