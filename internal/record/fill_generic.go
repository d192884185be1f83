//go:build !amd64 || purego

package record

func (m *bitmap) fill(text *[stripe]byte, p *pattern) { m.fillWords(text, p) }

// positions does what positionsGo does.
func positions(off []uint32, words []uint64, behind uint32) int {
	return positionsGo(off, words, behind)
}
