package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/seed149ec23d/s3writer"
)

// folder is where a contestant leaves its files.
type folder string

// filePart is the size of the parts that become a file: each one's place must be
// known when it comes.
const filePart = 8 * mib

// store writes a part of an object, or all of it, to where it belongs in a file.
func (f folder) store(key string, part int32, body io.Reader) error {
	path := filepath.Join(string(f), filepath.FromSlash(key))
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(path), 0o777); err == nil {
			file, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666)
		}
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(io.NewOffsetWriter(file, int64(max(part-1, 0))*filePart), body)
	return errors.Join(err, file.Close())
}

// count returns the bytes of all files, and the lines, but for each one's header.
func (f folder) count() (size, rows int64, err error) {
	err = filepath.WalkDir(string(f), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n, lines, err := countFile(path)
		size, rows = size+n, rows+lines-1
		return err
	})
	return size, rows, err
}

func countFile(path string) (size, lines int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	for {
		n, err := f.Read(buf)
		size += int64(n)
		lines += int64(bytes.Count(buf[:n], newline))
		if err == io.EOF {
			return size, lines, nil
		}
		if err != nil {
			return size, lines, err
		}
	}
}

// source returns the input's file as a source.
func (in *input) source() io.Reader {
	if in.file == "" {
		return in.open()
	}
	dir, name := filepath.Split(in.file)
	return s3writer.File(os.DirFS(dir), name)
}
