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
	magic, err := in.buffer.Peek(4)
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
	case hasPrefix(magic, "\x28\xb5\x2f\xfd"):
		// Concurrency 1 decodes in the goroutine that reads: nothing to close.
		z, err := zstd.NewReader(in.buffer, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		return &decompressed{r: z, format: "zstd", in: in}, nil
	case hasPrefix(magic, "BZh"):
		return &decompressed{r: bzip2.NewReader(in.buffer), format: "bzip2", in: in}, nil
	}
	return in.buffer, nil
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
