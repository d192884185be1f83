//go:build !purego

package record

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// All that amd64 has does what the portable code does, on any bits.
func TestFillAMD64IsPortable(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	p := Dialect{}.Resolve().pattern()
	for range 50 {
		var text [stripe]byte
		for i := range text {
			text[i] = ",\"\n\r\x00\x7f\x80\xac\xa2\x8ax"[random.IntN(11)]
		}
		var sse2, avx2, want bitmap
		want.fillWords(&text, &p)
		if fillSSE2(&sse2, &text, &p); sse2 != want {
			t.Fatal("fillSSE2 and fillWords differ")
		}
		if !modern {
			continue
		}
		if fillAVX2(&avx2, &text, &p); avx2 != want {
			t.Fatal("fillAVX2 and fillWords differ")
		}
	}
}

func TestPositionsArePortable(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 500 {
		words := make([]uint64, 1+random.IntN(stripe/64))
		for i := range words {
			words[i] = random.Uint64()
			for range random.IntN(8) {
				words[i] &= random.Uint64()
			}
			if random.IntN(10) == 0 {
				words[i] = ^uint64(0)
			}
		}
		room := 64*len(words) + 8
		const guard = 0xfeed
		got, want := make([]uint32, room+1), make([]uint32, room)
		got[room] = guard
		n, m := positions(got[:room], words, 17), positionsGo(want, words, 17)
		if n != m || !slices.Equal(got[:n], want[:m]) {
			t.Fatalf("positions and positionsGo differ: %d and %d", n, m)
		}
		if got[room] != guard {
			t.Fatal("positions wrote behind the room it has")
		}
	}
}
