//go:build !purego

package record

// fillSSE2 is what fill does, 16 bytes at a time.
//
//go:noescape
func fillSSE2(m *bitmap, text *[stripe]byte, p *pattern)

func (m *bitmap) fill(text *[stripe]byte, p *pattern) { fillSSE2(m, text, p) }
