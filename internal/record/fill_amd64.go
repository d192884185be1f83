//go:build !purego

package record

// fillSSE2 is what fill does, 16 bytes at a time.
//
//go:noescape
func fillSSE2(m *bitmap, text *[stripe]byte, p *pattern)

// fillAVX2 does it 32 bytes at a time.
//
//go:noescape
func fillAVX2(m *bitmap, text *[stripe]byte, p *pattern)

// positionsBMI does what positionsGo does.
//
//go:noescape
func positionsBMI(off *uint32, words *uint64, n int, behind uint32) (count int)

func cpuid(leaf, sub uint32) (a, b, c, d uint32)
func xgetbv() uint32

// modern tells whether the processor has AVX2, BMI1 and POPCNT, and the system
// keeps the registers of AVX.
var modern = hasAVX2()

func hasAVX2() bool {
	if most, _, _, _ := cpuid(0, 0); most < 7 {
		return false
	}
	const popcnt, osxsave, avx = 1 << 23, 1 << 27, 1 << 28
	if _, _, c, _ := cpuid(1, 0); c&popcnt == 0 || c&osxsave == 0 || c&avx == 0 || xgetbv()&6 != 6 {
		return false
	}
	const bmi1, avx2 = 1 << 3, 1 << 5
	_, b, _, _ := cpuid(7, 0)
	return b&bmi1 != 0 && b&avx2 != 0
}

func (m *bitmap) fill(text *[stripe]byte, p *pattern) {
	if modern {
		fillAVX2(m, text, p)
		return
	}
	fillSSE2(m, text, p)
}

// positions does what positionsGo does.
func positions(off []uint32, words []uint64, behind uint32) int {
	if modern {
		return positionsBMI(&off[0], &words[0], len(words), behind)
	}
	return positionsGo(off, words, behind)
}
