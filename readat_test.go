package s3writer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/seed149ec23d/s3writer"
)

const part = 8 << 20 // bytes of a part of a small file

// TestFiles delivers files of every kind, from where they stand.
func TestFiles(t *testing.T) {
	for _, test := range []struct {
		size, parts int
	}{{0, 1}, {1, 1}, {part - 1, 1}, {part, 1}, {part + 1, 2}, {2*part + part/4, 3}} {
		for _, skip := range []int{0, 5} {
			if skip > 0 && test.size != 1 && test.size != part+1 {
				continue
			}
			text := pattern(skip + test.size)
			path := filepath.Join(t.TempDir(), "t.csv")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			open := func() *os.File {
				f, err := os.Open(path)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { f.Close() })
				if _, err := f.Seek(int64(skip), io.SeekStart); err != nil {
					t.Fatal(err)
				}
				return f
			}
			sources := map[string]io.Reader{
				"os.File":        open(),
				"bytes.Reader":   bytes.NewReader([]byte(text)),
				"strings.Reader": strings.NewReader(text),
				"SectionReader":  io.NewSectionReader(strings.NewReader("before"+text+"behind"), 6, int64(len(text))),
				"SourceFunc":     s3writer.SourceFunc(func(context.Context) (io.ReadCloser, error) { return open(), nil }),
			}
			if skip == 0 {
				sources["File"] = s3writer.File(os.DirFS(filepath.Dir(path)), "t.csv")
			}
			for name, src := range sources {
				t.Run(fmt.Sprintf("%s/%d+%d bytes", name, skip, test.size), func(t *testing.T) {
					seeker, ok := src.(io.Seeker)
					if ok {
						if _, err := seeker.Seek(int64(skip), io.SeekStart); err != nil {
							t.Fatal(err)
						}
					}
					srv := newServer(t)
					r := write(t, newWriter(t, srv), s3writer.NewTable("t.csv", src)).Tables[0]
					wantObject(t, srv, "t.csv", text[skip:])
					if o := r.Objects[0]; r.BytesRead != int64(test.size) || o.Size != int64(test.size) || o.Parts != test.parts || r.RowsRead != -1 {
						t.Errorf("reported %+v", r)
					}
					if puts := srv.Count("PutObject"); (puts == 1) != (test.parts == 1) {
						t.Errorf("%d single puts, %d parts", puts, srv.Count("UploadPart"))
					}
					if ok {
						if at, err := seeker.Seek(0, io.SeekCurrent); err != nil || at != int64(len(text)) {
							t.Errorf("the reader stands at %d, %v, want its end", at, err)
						}
					}
				})
			}
		}
	}
}

// atFile is a file that is made of functions.
type atFile struct {
	fs.FileInfo
	size   func() int64
	readAt func(p []byte, off int64) (int, error)
	read   func(p []byte) (int, error) // nil: it must not be called
	seek   func(offset int64, whence int) (int64, error)
	mode   fs.FileMode
}

func newAtFile(text string) *atFile {
	return &atFile{
		size:   func() int64 { return int64(len(text)) },
		readAt: strings.NewReader(text).ReadAt,
		read:   func([]byte) (int, error) { return 0, errors.New("read in sequence") },
		seek:   strings.NewReader(text).Seek,
	}
}

func (f *atFile) Stat() (fs.FileInfo, error)                   { return f, nil }
func (f *atFile) Size() int64                                  { return f.size() }
func (f *atFile) Mode() fs.FileMode                            { return f.mode }
func (f *atFile) ReadAt(p []byte, off int64) (int, error)      { return f.readAt(p, off) }
func (f *atFile) Read(p []byte) (int, error)                   { return f.read(p) }
func (f *atFile) Seek(offset int64, whence int) (int64, error) { return f.seek(offset, whence) }
func (f *atFile) Close() error                                 { return nil }

// unseekable is an fs.File that cannot tell where it stands.
type unseekable struct{ f *atFile }

func (u unseekable) Stat() (fs.FileInfo, error)              { return u.f, nil }
func (u unseekable) ReadAt(p []byte, off int64) (int, error) { return u.f.readAt(p, off) }
func (u unseekable) Read(p []byte) (int, error)              { return u.f.read(p) }
func (u unseekable) Close() error                            { return nil }

// sized has a Size and no Stat.
type sized struct{ f *atFile }

func (s sized) Size() int64                                  { return s.f.size() }
func (s sized) ReadAt(p []byte, off int64) (int, error)      { return s.f.readAt(p, off) }
func (s sized) Read(p []byte) (int, error)                   { return s.f.read(p) }
func (s sized) Seek(offset int64, whence int) (int64, error) { return s.f.seek(offset, whence) }

type openFS func(name string) (fs.File, error)

func (f openFS) Open(name string) (fs.File, error) { return f(name) }

// TestReadAtOnce waits in the ReadAt of one part for that of another.
func TestReadAtOnce(t *testing.T) {
	text := pattern(2*part + 1)
	for _, test := range []struct {
		name string
		src  func(*atFile) io.Reader
	}{
		{"plain", func(f *atFile) io.Reader { return f }},
		{"with a Size", func(f *atFile) io.Reader { return sized{f} }},
		{"from SourceFunc", func(f *atFile) io.Reader {
			return s3writer.SourceFunc(func(context.Context) (io.ReadCloser, error) { return f, nil })
		}},
		{"from File", func(f *atFile) io.Reader {
			return s3writer.File(openFS(func(string) (fs.File, error) { return f, nil }), "t.csv")
		}},
		{"from File, without Seek", func(f *atFile) io.Reader {
			return s3writer.File(openFS(func(string) (fs.File, error) { return unseekable{f}, nil }), "t.csv")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			f := newAtFile(text)
			var inside atomic.Int32
			two := make(chan struct{})
			f.readAt = func(p []byte, off int64) (int, error) {
				if off < 2*part && off%part == 0 && len(p) > 4 { // not a look at the first bytes
					if inside.Add(1) == 2 {
						close(two)
					}
					select {
					case <-two:
					case <-t.Context().Done():
						return 0, t.Context().Err()
					}
				}
				return strings.NewReader(text).ReadAt(p, off)
			}
			write(t, newWriter(t, srv), s3writer.NewTable("t.csv", test.src(f)))
			wantObject(t, srv, "t.csv", text)
		})
	}
}

// decrypting has a Read of its own beside the file's ReadAt.
type decrypting struct {
	*os.File
	plain io.Reader
}

func (d decrypting) Read(p []byte) (int, error) { return d.plain.Read(p) }

// TestReadInSequence is about what could be read at offsets, but must not.
func TestReadInSequence(t *testing.T) {
	text := pattern(part + 1)
	path := filepath.Join(t.TempDir(), "t.csv")
	if err := os.WriteFile(path, []byte(strings.Repeat("x", len(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	cipher, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer cipher.Close()
	unmovable := func(offset int64, whence int) (int64, error) { return 0, errBroken }
	unending := func(offset int64, whence int) (int64, error) {
		if whence == io.SeekCurrent {
			return 0, nil
		}
		return 0, errBroken
	}
	for _, test := range []struct {
		name string
		src  func(f *atFile) io.Reader
	}{
		{"Seek fails", func(f *atFile) io.Reader { f.seek = unmovable; return f }},
		{"Seek to the end fails", func(f *atFile) io.Reader { f.seek = unending; return f }},
		{"without Seek", func(f *atFile) io.Reader { return unseekable{f} }},
		{"SourceFunc without Seek", func(f *atFile) io.Reader {
			return s3writer.SourceFunc(func(context.Context) (io.ReadCloser, error) { return unseekable{f}, nil })
		}},
		{"pipe", func(f *atFile) io.Reader { f.mode = fs.ModeNamedPipe; return f }},
		{"device", func(f *atFile) io.Reader { f.mode = fs.ModeDevice; return f }},
		{"no size, as in /proc", func(f *atFile) io.Reader { f.size = func() int64 { return 0 }; return f }},
		{"Read of its own", func(f *atFile) io.Reader { return decrypting{cipher, readerFunc(f.read)} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			f := newAtFile(text)
			f.read = strings.NewReader(text).Read
			f.readAt = func([]byte, int64) (int, error) { return 0, errors.New("read at an offset") }
			r := write(t, newWriter(t, srv), s3writer.NewTable("t.csv", test.src(f))).Tables[0]
			wantObject(t, srv, "t.csv", text)
			if r.BytesRead != int64(len(text)) {
				t.Errorf("%d bytes were read, want %d", r.BytesRead, len(text))
			}
		})
	}
	t.Run("os.Pipe", func(t *testing.T) {
		srv := newServer(t)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		go func() { _, _ = io.WriteString(w, text); w.Close() }()
		write(t, newWriter(t, srv), s3writer.NewTable("t.csv", r))
		wantObject(t, srv, "t.csv", text)
	})
	t.Run("directory", func(t *testing.T) {
		srv := newServer(t)
		_, err := newWriter(t, srv).Write(t.Context(), s3writer.NewTable("t.csv", s3writer.File(os.DirFS("/"), ".")))
		wantText(t, err, `s3writer: table "t.csv": source: read /.: is a directory`)
		wantNothing(t, srv)
	})
}

// TestFilesThroughSteps are read in sequence.
func TestFilesThroughSteps(t *testing.T) {
	text := "id,name\n" + strings.Repeat("1,"+strings.Repeat("a", 61)+"\n", part>>6)
	for _, chain := range chains {
		t.Run(chain.name, func(t *testing.T) {
			srv := newServer(t)
			path := filepath.Join(t.TempDir(), "t.csv")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			w := newWriter(t, srv)
			write(t, w, s3writer.NewTable("t.csv", s3writer.File(os.DirFS(filepath.Dir(path)), "t.csv"), chain.processors...))
			got, _ := srv.Get(bucket, chain.key)
			write(t, w, s3writer.NewTable("t.csv", struct{ io.Reader }{strings.NewReader(text)}, chain.processors...))
			wantObject(t, srv, chain.key, string(got))
		})
	}
	t.Run("ReaderFunc", func(t *testing.T) {
		srv := newServer(t)
		shout := s3writer.ReaderFunc(func(r io.Reader) (io.Reader, error) {
			return readerFunc(func(p []byte) (int, error) {
				n, err := r.Read(p)
				return copy(p, bytes.ToUpper(p[:n])), err
			}), nil
		})
		write(t, newWriter(t, srv), s3writer.NewTable("t.csv", strings.NewReader(text), shout))
		wantObject(t, srv, "t.csv", strings.ToUpper(text))
	})
	t.Run("SplitRows", func(t *testing.T) {
		srv := newServer(t)
		write(t, newWriter(t, srv), s3writer.NewTable("t.csv", strings.NewReader("id\n1\n2\n3\n"), s3writer.SplitRows(2)))
		wantObject(t, srv, "t-00001.csv", "id\n1\n2\n")
		wantObject(t, srv, "t-00002.csv", "id\n3\n")
	})
}

// TestFileChanges is about files that are not what they were when they were
// opened: nothing of them becomes visible.
func TestFileChanges(t *testing.T) {
	for _, size := range []int{100, 2*part + 100} {
		text := pattern(size)
		shrunk := func(p []byte, off int64) (int, error) { return strings.NewReader(text[:size-10]).ReadAt(p, off) }
		grown := func(p []byte, off int64) (int, error) { return strings.NewReader(text+"more").ReadAt(p, off) }
		// then is the size at the second question, behind the reading.
		then := func(n int) func() int64 {
			var asked atomic.Int32
			return func() int64 {
				if asked.Add(1) == 1 {
					return int64(size)
				}
				return int64(n)
			}
		}
		same := func() int64 { return int64(size) }
		for _, test := range []struct {
			name   string
			size   func() int64
			readAt func([]byte, int64) (int, error)
			now    string
		}{
			{"shrunk", then(size - 10), shrunk, fmt.Sprint(size - 10)},
			{"shrunk, and says it did not", same, shrunk, fmt.Sprint("at most ", size-10)},
			{"shrunk behind the reading", then(size - 10), strings.NewReader(text).ReadAt, fmt.Sprint(size - 10)},
			{"grown", then(size + 4), grown, fmt.Sprint(size + 4)},
			{"grown, and says it did not", same, grown, fmt.Sprint("at least ", size+1)},
		} {
			t.Run(fmt.Sprint(test.name, " ", size), func(t *testing.T) {
				srv := newServer(t)
				f := newAtFile(text)
				f.size, f.readAt = test.size, test.readAt
				_, err := newWriter(t, srv).Write(t.Context(), s3writer.NewTable("t.csv", f))
				wantText(t, err, fmt.Sprintf(`s3writer: table "t.csv": source: changed while it was read: it had %d bytes, now it has %s`, size, test.now))
				wantNothing(t, srv)
			})
		}
	}
	for _, test := range []struct {
		name   string
		change func(*os.File) error
		now    int
	}{
		{"os.File grows", func(f *os.File) error { _, err := f.WriteAt([]byte("more"), 2*part); return err }, 2*part + 4},
		{"os.File shrinks", func(f *os.File) error { return f.Truncate(part + 1) }, part + 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			f, err := os.Create(filepath.Join(t.TempDir(), "t.csv"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteAt([]byte(pattern(2*part)), 0); err != nil {
				t.Fatal(err)
			}
			src := &changing{File: f, change: sync.OnceValue(func() error { return test.change(f) })}
			_, err = newWriter(t, srv).Write(t.Context(), s3writer.NewTable("t", src))
			wantText(t, err, fmt.Sprintf(`s3writer: table "t": source: changed while it was read: it had %d bytes, now it has %d`, 2*part, test.now))
			wantNothing(t, srv)
		})
	}
}

// changing is a file that changes when it is read.
type changing struct {
	*os.File
	change func() error
}

func (c *changing) ReadAt(p []byte, off int64) (int, error) {
	if err := c.change(); err != nil {
		return 0, err
	}
	return c.File.ReadAt(p, off)
}

// TestFileFails fails the ReadAt of every part, in every manner.
func TestFileFails(t *testing.T) {
	whole := pattern(2*part + 1)
	for name, test := range map[string]struct {
		f    func(p []byte) (int, error)
		want string
	}{
		"error":          {func([]byte) (int, error) { return 0, errBroken }, "source: the line is broken"},
		"unexpected EOF": {func([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }, "source: unexpected EOF"},
		"panic":          {func([]byte) (int, error) { panic("boom") }, "source: panic: boom"},
		"Goexit":         {func([]byte) (int, error) { runtime.Goexit(); return 0, nil }, `source ended its goroutine in Read`},
		"too many":       {func(p []byte) (int, error) { return len(p) + 1, nil }, "source: ReadAt returned a count of "},
		"nothing":        {func([]byte) (int, error) { return 0, nil }, "source: multiple Read calls return no data or error"},
	} {
		for at := int64(0); at <= 2*part; at += part {
			t.Run(fmt.Sprint(name, " at ", at), func(t *testing.T) {
				srv := newServer(t)
				f := newAtFile(whole)
				f.readAt = func(p []byte, off int64) (int, error) {
					if off == at {
						return test.f(p)
					}
					return strings.NewReader(whole).ReadAt(p, off)
				}
				_, err := newWriter(t, srv).Write(t.Context(), s3writer.NewTable("t", f))
				if err == nil || !strings.HasPrefix(text(err), `s3writer: table "t": `+test.want) {
					t.Errorf("error %v, want %s", err, test.want)
				}
				wantNothing(t, srv)
			})
		}
	}
}

// TestBlockedReadAt cancels a Write whose file is stuck in ReadAt.
func TestBlockedReadAt(t *testing.T) {
	for _, size := range []int{100, 2*part + 1} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			srv := newServer(t)
			f := newAtFile(pattern(size))
			release := make(chan struct{})
			var inside sync.WaitGroup
			reading := make(chan struct{}, 100)
			f.readAt = func(p []byte, off int64) (int, error) {
				inside.Add(1)
				defer inside.Done()
				reading <- struct{}{}
				<-release
				return len(p), nil
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			var cancelled time.Time
			go func() {
				<-reading
				cancelled = time.Now()
				cancel(errors.New("the user has gone"))
			}()
			report, err := newWriter(t, srv).Write(ctx, s3writer.NewTable("t", f))
			if took := time.Since(cancelled); took > promptly {
				t.Errorf("Write returned %v after it was cancelled", took)
			}
			wantText(t, err, `s3writer: table "t": context canceled: the user has gone`)
			wantAccounted(t, srv, report)
			close(release)
			inside.Wait() // newServer looks for the goroutines
		})
	}
}

// TestFileThatWillNotFit is refused before it is read.
func TestFileThatWillNotFit(t *testing.T) {
	srv := newServer(t)
	f := newAtFile("")
	f.size = func() int64 { return 49 << 40 }
	f.readAt = func([]byte, int64) (int, error) { return 0, errors.New("it was read") }
	_, err := newWriter(t, srv).Write(t.Context(), s3writer.NewTable("t", f))
	wantText(t, err, `s3writer: table "t": an object of 49.0 TiB does not fit into 10000 parts of at most 128.0 MiB (1.2 TiB): give the engine more memory, or split the table`)
	if n := srv.Count(""); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

// TestSectionToTheEnd has math.MaxInt64 for a size, as is the custom for a section of
// all that follows: it is read as a stream, not refused as too large.
func TestSectionToTheEnd(t *testing.T) {
	srv := newServer(t)
	section := io.NewSectionReader(strings.NewReader("xx"+pattern(small)), 2, math.MaxInt64)
	write(t, newWriter(t, srv), s3writer.NewTable("t.csv", section))
	wantObject(t, srv, "t.csv", pattern(small))
}

// TestCopiesInUTF16 are refused where CSV text is meant, and nowhere else.
func TestCopiesInUTF16(t *testing.T) {
	const in = "\xff\xfei\x00d\x00\n\x00"
	gzip := []s3writer.Processor{s3writer.Gzip()}
	for _, test := range []struct {
		key, in string
		p       []s3writer.Processor
		refused bool
	}{
		{"t.csv", in, nil, true},
		{"t.CSV", in, nil, true},
		{"t.tsv", "\xfe\xff\x00i", nil, true},
		{"t.csv", in, gzip, true},
		{"t.csv.gz", in, gzip, true},
		{"t.csv.gz", in, nil, false},
		{"t.bin", in, nil, false},
		{"t", in, nil, false},
		{"t.txt", in, nil, false},
		{"t.csv", "\xff", nil, false},
		{"t.csv", "id\n", nil, false},
		{"t.csv", "\xef\xbb\xbfid\n", nil, false},
		{"t.csv", "", nil, false},
	} {
		for name, src := range map[string]io.Reader{
			"at offsets":   io.NewSectionReader(strings.NewReader("abc"+test.in), 3, int64(len(test.in))),
			"in sequence":  iotest.DataErrReader(strings.NewReader(test.in)),
			"byte by byte": iotest.OneByteReader(strings.NewReader(test.in)),
		} {
			t.Run(fmt.Sprintf("%s/%d steps/%.4x/%s", test.key, len(test.p), test.in, name), func(t *testing.T) {
				srv := newServer(t)
				report, err := newWriter(t, srv).Write(t.Context(), s3writer.NewTable(test.key, src, test.p...))
				if test.refused {
					wantText(t, err, fmt.Sprintf(`s3writer: table %q: source: the source begins with a UTF-16 byte order mark: convert it to UTF-8 first, as FromCharset("utf-16") does`, test.key))
					wantNothing(t, srv)
					return
				}
				wantText(t, err, "")
				wantObject(t, srv, test.key, test.in)
				if n := report.Tables[0].BytesRead; n != int64(len(test.in)) {
					t.Errorf("%d bytes were read, want %d", n, len(test.in))
				}
			})
		}
	}
	t.Run("FromCharset", func(t *testing.T) {
		srv := newServer(t)
		write(t, newWriter(t, srv), csv("t.csv", in, s3writer.FromCharset("utf-16le")))
		wantObject(t, srv, "t.csv", "id\n")
	})
	t.Run("cut in the mark", func(t *testing.T) {
		srv := newServer(t)
		_, err := newWriter(t, srv).Write(t.Context(), s3writer.NewTable("t.csv", failing("id", io.ErrUnexpectedEOF)))
		wantText(t, err, `s3writer: table "t.csv": source: unexpected EOF`)
		wantNothing(t, srv)
	})
}
