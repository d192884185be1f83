//go:build !amd64 || purego

package record

func (m *bitmap) fill(text *[stripe]byte, p *pattern) { m.fillWords(text, p) }
