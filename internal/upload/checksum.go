package upload

import (
	"encoding/base64"
	"encoding/binary"

	"github.com/minio/crc64nvme"
)

// powers holds x^(2^k) modulo the polynomial, bits reflected as the checksum
// itself has them.
var powers = func() (t [64]uint64) {
	t[0] = 1 << 62
	for k := 1; k < len(t); k++ {
		t[k] = multiply(t[k-1], t[k-1])
	}
	return t
}()

// multiply returns a·b modulo the polynomial.
func multiply(a, b uint64) (product uint64) {
	for ; a != 0; a <<= 1 {
		if a>>63 == 1 {
			product ^= b
		}
		if b&1 == 1 {
			b = b>>1 ^ crc64nvme.NVME
		} else {
			b >>= 1
		}
	}
	return product
}

// combine returns the checksum of A followed by B from the checksums of both
// and the length of B.
func combine(a, b uint64, lenB int64) uint64 {
	for k := 3; lenB > 0; k, lenB = k+1, lenB>>1 { // from x^8: a byte
		if lenB&1 == 1 {
			a = multiply(powers[k], a)
		}
	}
	return a ^ b
}

// encodeCRC is a checksum as headers and XML carry it.
func encodeCRC(crc uint64) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, crc))
}
