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
	br := bufio.NewReaderSize(r, 64<<10)
	magic, err := br.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case hasPrefix(magic, "\x1f\x8b"):
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		return named{z, "gzip"}, nil
	case hasPrefix(magic, "\x28\xb5\x2f\xfd"):
		// Concurrency 1 decodes in the goroutine that reads: nothing to close.
		z, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		return named{z, "zstd"}, nil
	case hasPrefix(magic, "BZh"):
		return named{bzip2.NewReader(br), "bzip2"}, nil
	}
	return br, nil
}

func hasPrefix(p []byte, prefix string) bool {
	return len(p) >= len(prefix) && string(p[:len(prefix)]) == prefix
}

// named says in its errors what was being decompressed.
type named struct {
	io.Reader
	format string
}

func (n named) Read(p []byte) (int, error) {
	k, err := n.Reader.Read(p)
	if err != nil && err != io.EOF && !strings.HasPrefix(err.Error(), n.format+": ") {
		err = fmt.Errorf("%s: %w", n.format, err)
	}
	return k, err
}
