package chain

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// ByteSink takes the bytes of one object, from one goroutine at a time. Exactly one of
// Finish and Abort is called, last. Finish releases everything below it even
// when it fails.
type ByteSink interface {
	io.Writer
	Finish() error
	Abort()
}

// extension checks an extension and gives it its dot; "" stays empty.
func extension(ext string) (string, error) {
	name := strings.TrimPrefix(ext, ".")
	if strings.ContainsAny(name, "/\\ \t\r\n") {
		return "", fmt.Errorf("the extension is %q; it must be a plain suffix such as %q", ext, "parquet")
	}
	if name == "" {
		return "", nil
	}
	return "." + name, nil
}

// WriterFunc passes an object's bytes through somebody's own writer.
func WriterFunc(ext string, wrap func(io.Writer) (io.WriteCloser, error)) Step {
	step := Step{name: "WriterFunc", args: fmt.Sprintf("%q, func", ext), kind: writerStep, callback: true}
	step.ext, step.err = extension(ext)
	if wrap == nil {
		step.err = errors.New("the function is nil")
	}
	step.openBytes = func(next ByteSink, _ int) (ByteSink, error) {
		return openWriter(next, wrap)
	}
	return step
}

// openWriter makes a sink of a writer that is closed at its end.
func openWriter(next ByteSink, wrap func(io.Writer) (io.WriteCloser, error)) (ByteSink, error) {
	s := &writerSink{next: next, door: door{w: next}}
	w, err := protect(func() (io.WriteCloser, error) { return wrap(&s.door) })
	if err == nil && w == nil {
		err = errors.New("opened no writer")
	}
	if err != nil {
		return nil, err
	}
	s.w = w
	return s, nil
}

// writerSink is somebody's io.WriteCloser as a sink.
type writerSink struct {
	w    io.WriteCloser
	door door
	next ByteSink
}

// door is what somebody's writer or encoder writes to. Once shut, when the
// object is given up, what a Close still writes goes nowhere.
type door struct {
	w    io.Writer
	shut bool
}

var errAborted = errors.New("the object was given up")

func (d *door) Write(p []byte) (int, error) {
	if d.shut {
		return 0, errAborted
	}
	return d.w.Write(p)
}

func (s *writerSink) Write(p []byte) (int, error) {
	n, err := protect(func() (int, error) { return s.w.Write(p) })
	switch {
	case err != nil:
		return min(max(n, 0), len(p)), err
	case n < 0 || n > len(p):
		return 0, fmt.Errorf("the writer returned a count of %d for %d bytes", n, len(p))
	case n < len(p):
		return n, io.ErrShortWrite
	}
	return n, nil
}

// flush stores what the writer holds back, if it can.
func (s *writerSink) flush() (ok bool, err error) {
	f, ok := s.w.(interface{ Flush() error })
	if !ok {
		return false, nil
	}
	_, err = protect(func() (struct{}, error) { return struct{}{}, f.Flush() })
	return true, err
}

func (s *writerSink) Finish() error {
	if err := closeWriter(s.w); err != nil {
		s.door.shut = true
		s.next.Abort()
		return err
	}
	return s.next.Finish()
}

// Abort closes the writer so that it can let go of what it holds; what it
// writes then goes nowhere.
func (s *writerSink) Abort() {
	s.door.shut = true
	_ = closeWriter(s.w)
	s.next.Abort()
}

func closeWriter(c io.Closer) error {
	_, err := protect(func() (struct{}, error) { return struct{}{}, c.Close() })
	return err
}

// zstdState is what an open zstd encoder of the default level and our window
// holds, measured.
const zstdState = 4 << 20

// Zstd compresses objects with zstd at its default level, as one frame with a
// checksum of its content.
func Zstd() Step {
	step := Step{name: "Zstd", kind: writerStep, ext: ".zst", compressor: true,
		state: func(int) int64 { return zstdState },
		worst: func(n int64) int64 { return n + n>>12 + 64 }} // blocks of 128 KiB, 3 bytes before each
	step.openBytes = func(next ByteSink, _ int) (ByteSink, error) {
		return openWriter(next, newZstdWriter)
	}
	return step
}

// zstdWriters keep encoders: making one costs as much as compressing a megabyte.
var zstdWriters sync.Pool

// zstdWriter is an encoder that goes back to the others when it is closed.
type zstdWriter struct{ *zstd.Encoder }

// newZstdWriter writes one frame, because common readers stop after the first; a
// window of 1 MiB keeps an encoder small. The encoder works in the goroutine
// that writes, beside those that decode and encode.
func newZstdWriter(w io.Writer) (io.WriteCloser, error) {
	if z, ok := zstdWriters.Get().(*zstdWriter); ok {
		z.Reset(w)
		return z, nil
	}
	enc, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, err
	}
	return &zstdWriter{enc}, nil
}

func (z *zstdWriter) Close() error {
	err := z.Encoder.Close()
	z.Reset(nil)
	zstdWriters.Put(z)
	return err
}
