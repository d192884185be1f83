package upload

import (
	"bytes"
	"fmt"
	"io"
	"testing"
)

// The engine's own cost, with a server that takes everything at once.
func BenchmarkStream(b *testing.B) {
	const size = 256 << 20
	source := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	feeds := map[string]func(*Stream) error{
		"ReadFrom": func(s *Stream) error {
			_, err := s.ReadFrom(&endless{source, size})
			return err
		},
	}
	for _, piece := range []int{4 << 10, 64 << 10} {
		feeds[fmt.Sprintf("Write%dk", piece>>10)] = func(s *Stream) error {
			for left := size; left > 0; left -= piece {
				if _, err := s.Write(source[:piece]); err != nil {
					return err
				}
			}
			return nil
		}
	}
	for name, feed := range feeds {
		b.Run(name, func(b *testing.B) {
			e := New(Config{Client: &sink{}, Bucket: "b", Memory: 256 << 20, Logger: quiet()})
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				benchObject(b, e, feed)
			}
			b.ReportMetric(float64(e.Stats().Peak)/(1<<20), "peak-MiB")
		})
	}
}

// Small objects: what one costs without a network.
func BenchmarkSmallObject(b *testing.B) {
	e := New(Config{Client: &sink{}, Bucket: "b", Memory: 256 << 20, Logger: quiet()})
	body := data(4096)
	b.ReportAllocs()
	for b.Loop() {
		benchObject(b, e, func(s *Stream) error { _, err := s.Write(body); return err })
	}
}

func benchObject(b *testing.B, e *Engine, feed func(*Stream) error) {
	a, err := e.Admit(b.Context(), 0)
	if err != nil {
		b.Fatal(err)
	}
	defer a.Release()
	s := e.Open(b.Context(), a, Object{Key: "k"})
	if err := feed(s); err != nil {
		b.Fatal(err)
	}
	p, err := s.Finish()
	if err != nil {
		b.Fatal(err)
	}
	if _, err := p.Commit(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// endless repeats a block of bytes.
type endless struct {
	block []byte
	left  int
}

func (r *endless) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), r.left)], r.block)
	r.left -= n
	return n, nil
}
