package chain_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/seed149ec23d/s3writer/internal/chain"
)

// block is how much is compressed at a time.
const block = 256 << 10

// texts are data of every kind, n bytes each.
var texts = map[string]func(n int) string{
	"rows": func(n int) string { return strings.Repeat("2026-01-02,Seattle,Dog,Labrador\n", n/32+1)[:n] },
	"random": func(n int) string {
		r := rand.New(rand.NewPCG(1, uint64(n)))
		b := make([]byte, n+8)
		for i := 0; i < n; i += 8 {
			binary.LittleEndian.PutUint64(b[i:], r.Uint64())
		}
		return string(b[:n])
	},
	"zeros": func(n int) string { return strings.Repeat("\x00", n) },
}

// inPieces is a step whose writes are of at most n bytes.
func inPieces(n int) chain.Step {
	return chain.WriterFunc("", func(w io.Writer) (io.WriteCloser, error) { return &splitter{w, n}, nil })
}

type splitter struct {
	w io.Writer
	n int
}

func (s *splitter) Write(p []byte) (int, error) {
	for at := 0; at < len(p); at += s.n {
		if n, err := s.w.Write(p[at:min(at+s.n, len(p))]); err != nil {
			return at + n, err
		}
	}
	return len(p), nil
}

func (s *splitter) Close() error { return nil }

// TestGzip is one ordinary member for data of every size, the same bytes
// however it comes and on however many cores.
func TestGzip(t *testing.T) {
	for _, size := range []int{0, 1, 100, block - 1, block, block + 1, 3*block + 7} {
		for kind, text := range texts {
			t.Run(fmt.Sprint(size, " ", kind), func(t *testing.T) {
				in := text(size)
				want := ""
				for _, procs := range []int{1, 4} {
					for _, n := range []int{1, 1000, 1 << 20} {
						if n == 1 && size > 1000 {
							n = 101
						}
						func() {
							defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
							j := job{in: in}
							got, err := j.run(t, inPieces(n), chain.Gzip(-1))
							if err != nil {
								t.Fatal(err)
							}
							if want == "" {
								want = got
							}
							if got != want {
								t.Errorf("writes of %d bytes on %d cores: %d bytes come out that differ from %d", n, procs, len(got), len(want))
							}
						}()
					}
				}
				wantMember(t, want, in)
			})
		}
	}
}

// wantMember fails the test unless p is one gzip member of want, without a
// name and a time, and nothing behind it.
func wantMember(t testing.TB, p, want string) {
	t.Helper()
	source := strings.NewReader(p)
	z, err := gzip.NewReader(source)
	if err != nil {
		t.Fatal(err)
	}
	z.Multistream(false)
	got, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%d bytes come out again, which are not the %d that went in", len(got), len(want))
	}
	if !z.ModTime.IsZero() || z.Name != "" || z.Comment != "" || z.Extra != nil || z.OS != 255 {
		t.Errorf("the header has %+v", z.Header)
	}
	if source.Len() != 0 {
		t.Errorf("%d bytes stand behind the member", source.Len())
	}
}

// TestGzipLevels reads all of them back; higher ones are not larger.
func TestGzipLevels(t *testing.T) {
	for level := -2; level <= 9; level++ {
		t.Run(fmt.Sprint(level), func(t *testing.T) {
			for kind, text := range texts {
				in := text(2*block + 100)
				j := job{in: in}
				got, err := j.run(t, chain.Gzip(level))
				if err != nil {
					t.Fatal(err)
				}
				wantMember(t, got, in)
				if kind == "rows" && (level > 0 || level == -1) && len(got) > len(in)/2 {
					t.Errorf("%d bytes of rows are %d compressed", len(in), len(got))
				}
				if len(got) > len(in)+len(in)/100+100 {
					t.Errorf("%s of %d bytes are %d compressed", kind, len(in), len(got))
				}
			}
		})
	}
}

// TestGzipFinds what stands before a block's border, as one stream does.
func TestGzipFindsBeforeTheBorder(t *testing.T) {
	half := texts["random"](16 << 10)
	in := texts["zeros"](block-len(half)) + half + half
	j := job{in: in}
	got, err := j.run(t, chain.Gzip(-1))
	if err != nil {
		t.Fatal(err)
	}
	wantMember(t, got, in)
	if len(got) > len(half)+len(half)/4 {
		t.Errorf("what stands before the border was not found behind it: %d bytes", len(got))
	}
}

// TestCompressorsFail at each write of the object.
func TestCompressorsFail(t *testing.T) {
	in := texts["random"](3*block + 7)
	for _, step := range []chain.Step{chain.Gzip(1), chain.Zstd()} {
		whole := job{in: in}
		if _, err := whole.run(t, step); err != nil {
			t.Fatal(err)
		}
		for at := 1; at <= whole.object.writes; at++ {
			j := job{in: in, object: &object{failAt: at}}
			_, err := j.run(t, step)
			wantError(t, err, "it is broken")
			j.object.wantEnd(t, true)
		}
		j := job{in: in, object: &object{finishErr: errBroken}}
		_, err := j.run(t, step)
		wantError(t, err, "it is broken")
		j.object.wantEnd(t, false) // it was finished, and says itself what became of it

		j = job{reader: io.MultiReader(strings.NewReader(in), broken{})}
		_, err = j.run(t, step)
		wantError(t, err, "source: it is broken")
		j.object.wantEnd(t, true)
	}
}

// broken is a reader that fails.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }

// TestZstd is one frame with a checksum, the same bytes however the data comes.
func TestZstd(t *testing.T) {
	for _, size := range []int{0, 1, 100, 128 << 10, block, 5*block + 7} {
		for kind, text := range texts {
			t.Run(fmt.Sprint(size, " ", kind), func(t *testing.T) {
				in := text(size)
				want := ""
				for _, n := range []int{101, 4096, 1 << 20} {
					j := job{in: in}
					got, err := j.run(t, inPieces(n), chain.Zstd())
					if err != nil {
						t.Fatal(err)
					}
					if want == "" {
						want = got
					}
					if got != want {
						t.Errorf("writes of %d bytes: %d bytes come out that differ from %d", n, len(got), len(want))
					}
				}
				wantFrame(t, []byte(want), in)
			})
		}
	}
}

// wantFrame fails the test unless p is one zstd frame of want, with a
// checksum, and nothing behind it.
func wantFrame(t testing.TB, p []byte, want string) {
	t.Helper()
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	got, err := z.DecodeAll(p, nil)
	if err != nil || string(got) != want {
		t.Errorf("%d bytes come out again, %v, which are not the %d that went in", len(got), err, len(want))
	}
	var h zstd.Header
	if err := h.Decode(p); err != nil || !h.HasCheckSum {
		t.Fatalf("the header is %+v, %v", h, err)
	}
	rest := p[h.HeaderSize:]
	for last := false; !last; {
		head := uint32(rest[0]) | uint32(rest[1])<<8 | uint32(rest[2])<<16
		last = head&1 == 1
		size := int(head >> 3)
		if head>>1&3 == 1 { // one byte, repeated
			size = 1
		}
		rest = rest[3+size:]
	}
	if len(rest) != 4 {
		t.Errorf("%d bytes stand behind the frame's blocks, want a checksum of 4", len(rest))
	}
}

// TestGzipOfManyObjects at once share compressors.
func TestGzipOfManyObjects(t *testing.T) {
	in := texts["rows"](2*block + 100)
	var want bytes.Buffer
	z, _ := gzip.NewWriterLevel(&want, 6)
	_, _ = io.WriteString(z, in)
	_ = z.Close()
	done := make(chan string)
	const objects = 16
	for range objects {
		go func() {
			j := job{in: in}
			got, err := j.run(t, chain.Gzip(-1))
			if err != nil {
				t.Error(err)
			}
			done <- got
		}()
	}
	first := <-done
	for range objects - 1 {
		if got := <-done; got != first {
			t.Error("two objects of the same data differ")
		}
	}
	wantMember(t, first, in)
	if len(first) > 2*want.Len() {
		t.Errorf("compress/gzip makes %d bytes, this %d", want.Len(), len(first))
	}
}
