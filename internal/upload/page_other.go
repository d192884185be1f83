//go:build !linux

package upload

// newPage makes a page.
func newPage(n int64) []byte { return make([]byte, n) }
