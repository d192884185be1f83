package chain

import (
	"bufio"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// ReaderFunc passes the source's bytes through somebody's own reader.
func ReaderFunc(wrap func(io.Reader) (io.Reader, error)) Step {
	step := Step{name: "ReaderFunc", args: "func", kind: readerStep}
	if wrap == nil {
		step.err = errors.New("the function is nil")
	}
	step.wrap = func(r io.Reader) (io.Reader, error) {
		wrapped, err := wrap(r)
		if err == nil && wrapped == nil {
			err = errors.New("opened no reader")
		}
		return wrapped, err
	}
	return step
}

// Decompress reads gzip, zstd and bzip2, told by their first bytes; anything
// else passes as it is.
func Decompress() Step {
	return Step{name: "Decompress", kind: readerStep, wrap: decompress}
}

func decompress(r io.Reader) (io.Reader, error) {
	in := newReadAhead(r)
	magic, err := in.buffer.Peek(longestMagic)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case hasPrefix(magic, "\x1f\x8b"):
		z, err := gzip.NewReader(in.buffer)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		return &decompressed{r: z, format: "gzip", in: in}, nil
	case isZstd(magic):
		// Concurrency 1 decodes in the goroutine that reads: nothing to close.
		z, err := zstd.NewReader(in.buffer, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		return &decompressed{r: z, format: "zstd", in: in}, nil
	case isBzip2(magic):
		return &decompressed{r: bzip2.NewReader(in.buffer), format: "bzip2", in: in}, nil
	}
	return in.buffer, nil
}

// longestMagic is how many bytes tell bzip2.
const longestMagic = 10

// isZstd tells a frame, or one to be skipped before it, as pzstd writes.
func isZstd(p []byte) bool {
	return hasPrefix(p, "\x28\xb5\x2f\xfd") || len(p) >= 4 && p[0]&0xf0 == 0x50 && hasPrefix(p[1:], "\x2a\x4d\x18")
}

// isBzip2 tells a stream by what follows its head, a block or the end: the head
// alone is letters, which a header row may begin with. One that is cut short is a
// stream all the same.
func isBzip2(p []byte) bool {
	if len(p) <= 4 || !hasPrefix(p, "BZh") || p[3] < '1' || p[3] > '9' {
		return false
	}
	const block, end = "\x31\x41\x59\x26\x53\x59", "\x17\x72\x45\x38\x50\x90"
	return hasPrefix(p[4:], block[:len(p)-4]) || hasPrefix(p[4:], end[:len(p)-4])
}

func hasPrefix(p []byte, prefix string) bool {
	return len(p) >= len(prefix) && string(p[:len(prefix)]) == prefix
}

// readAhead is a buffer that knows how much has been taken out of it.
// Decompressors are fast with a bufio.Reader and with nothing around one.
type readAhead struct {
	src    io.Reader
	read   int64
	buffer *bufio.Reader
}

func newReadAhead(src io.Reader) *readAhead {
	a := &readAhead{src: src}
	a.buffer = bufio.NewReaderSize(a, 64<<10)
	return a
}

// Read is the buffer's.
func (a *readAhead) Read(p []byte) (int, error) {
	n, err := a.src.Read(p)
	a.read += int64(n)
	return n, err
}

func (a *readAhead) taken() int64 { return a.read - int64(a.buffer.Buffered()) }

const (
	// bombRatio is just below what deflate can do at most, 1032; tables of
	// nothing but separators come near it, others stay below a few hundred.
	bombRatio = 1000
	// bombFloor is how much may come out whatever went in.
	bombFloor = 64 << 20
)

// decompressed says in its errors what was being decompressed, and reads no
// bombs: small sources that become endless ones.
type decompressed struct {
	r      io.Reader
	format string
	in     *readAhead
	out    int64
}

func (d *decompressed) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	d.out += int64(n)
	if in := d.in.taken(); d.out > bombFloor && d.out/bombRatio > in {
		return 0, fmt.Errorf("%s: %d bytes became %d, more than %d times as many, as only a decompression bomb does; "+
			"if it is none, decompress it in a ReaderFunc", d.format, in, d.out, bombRatio)
	}
	if err != nil && err != io.EOF && !strings.HasPrefix(err.Error(), d.format+": ") {
		err = fmt.Errorf("%s: %w", d.format, err)
	}
	return n, err
}
