package chain

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"

	"github.com/seed149ec23d/s3writer/internal/record"
)

// rangeReader is a sink that reads a source at offsets, several at once.
type rangeReader interface {
	ReadRange(r io.ReaderAt, off, n int64) error
}

// file is a source of bytes that can be read at offsets and knows where it
// ends. It may be read by several goroutines at once.
type file struct {
	at         io.ReaderAt
	size       func() (n int64, ok bool)
	start, end int64
	run        *run
}

// mayBeFile says whether it is worth asking for the source as a file.
func (s *source) mayBeFile() bool {
	_, ok := s.raw.(io.ReaderAt)
	return ok && len(s.run.readers) == 0 && !overrides(s.raw)
}

// file returns what is read as a file, from where the reader stands, and leaves
// the reader at its end. It is nil for all that has to be read in sequence: also
// what seems to be empty, as files do that are made up while they are read.
func (s *source) file() (*file, error) {
	f := &file{at: s.raw.(io.ReaderAt), size: sizeOf(s.raw), run: s.run}
	var ok bool
	if f.end, ok = f.size(); !ok {
		return nil, nil
	}
	seeker, ok := s.raw.(io.Seeker)
	switch {
	case ok:
		var err error
		if f.start, err = seeker.Seek(0, io.SeekCurrent); err != nil {
			return nil, nil
		}
	case !s.run.in.Source.Fresh:
		return nil, nil
	}
	if f.start < 0 || f.start >= f.end {
		return nil, nil
	}
	if seeker != nil {
		if _, err := seeker.Seek(f.end, io.SeekStart); err != nil {
			return nil, nil
		}
	}
	if s.run.in.Text {
		return f, f.checkMark()
	}
	return f, nil
}

// largestObject is what S3 can hold. A section of more is one up to the end, wherever
// that may be: its size is math.MaxInt64 by custom.
const largestObject = 10_000 * 5 << 30

// sizeOf returns what asks r for its size now. Only regular files know theirs.
func sizeOf(r any) func() (int64, bool) {
	switch r := r.(type) {
	case interface{ Stat() (fs.FileInfo, error) }:
		return func() (int64, bool) {
			info, err := r.Stat()
			if err != nil || info == nil || !info.Mode().IsRegular() {
				return 0, false
			}
			return info.Size(), true
		}
	case interface{ Size() int64 }:
		return func() (int64, bool) {
			n := r.Size()
			return n, n <= largestObject
		}
	}
	return func() (int64, bool) { return 0, false }
}

// copyFile passes a file on as it is.
func (r *run) copyFile(src *source, f *file, sink rangeReader) error {
	if err := sink.ReadRange(f, f.start, f.end-f.start); err != nil {
		return err
	}
	_, err := alone(src, func() (struct{}, error) { return struct{}{}, f.unchanged() })
	return sourceError(err)
}

// checkMark is asText for a file.
func (f *file) checkMark() error {
	head := make([]byte, min(longestMark, f.end-f.start))
	n, err := f.read(head, f.start)
	if err != nil {
		return err
	}
	return record.CheckMark(string(head[:n]))
}

const longestMark = 4 // bytes

// asText returns a reader of what r has, unless that begins as text in UTF-16
// or UTF-32 does: nothing would tell those who read the object.
func asText(r io.Reader) (io.Reader, error) {
	head := make([]byte, longestMark)
	n, err := readBlock(r, head)
	if err != nil && err != io.EOF {
		return nil, err
	}
	head = head[:n]
	if err := record.CheckMark(string(head)); err != nil {
		return nil, err
	}
	if err == io.EOF {
		return bytes.NewReader(head), nil
	}
	return io.MultiReader(bytes.NewReader(head), r), nil
}

// ReadAt is that of a file which ends where it did at first: that there is less
// is an error.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.read(p, off)
	f.run.counts.BytesRead.Add(int64(n))
	return n, err
}

func (f *file) read(p []byte, off int64) (int, error) {
	n, err := protect(func() (int, error) { return f.at.ReadAt(p, off) })
	if n < 0 || n > len(p) {
		return 0, errSource{fmt.Errorf("ReadAt returned a count of %d for a buffer of %d bytes", n, len(p))}
	}
	switch {
	case err == io.EOF && n < len(p):
		err = f.shorter(off + int64(n))
	case err == io.EOF:
		err = nil
	case err == nil && n == 0:
		err = io.ErrNoProgress
	}
	if err != nil {
		return n, errSource{err}
	}
	return n, nil
}

// shorter is the error of a file of which a ReadAt has seen the end too early.
func (f *file) shorter(end int64) error {
	if now, ok := f.size(); ok && now < f.end {
		return f.changed("", now)
	}
	return f.changed("at most ", end)
}

// unchanged says whether the file still ends where it did.
func (f *file) unchanged() error {
	if now, ok := f.size(); ok && now != f.end {
		return f.changed("", now)
	}
	if n, _ := f.at.ReadAt(make([]byte, 1), f.end); n > 0 {
		return f.changed("at least ", f.end+1)
	}
	return nil
}

func (f *file) changed(about string, now int64) error {
	return fmt.Errorf("changed while it was read: it had %d bytes, now it has %s%d", f.end, about, now)
}
