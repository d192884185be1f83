package chain

import (
	"strings"
	"testing"
)

// TestWorstOfCharsets is a bound for every character, alone and among others: by
// it SplitSize keeps its own.
func TestWorstOfCharsets(t *testing.T) {
	for _, name := range []string{"utf-8", "utf-16", "utf-16le", "windows-1250", "x-user-defined",
		"gbk", "gb18030", "big5", "euc-jp", "iso-2022-jp", "shift_jis", "euc-kr"} {
		c, err := findCharset(name)
		if err != nil {
			t.Fatal(err)
		}
		worst := c.worst(false)
		e := c.NewEncoder()
		for r := rune(1); r < 0x10000; r++ {
			if c.excludes(r) {
				continue
			}
			for _, text := range []string{strings.Repeat(string(r), 20), strings.Repeat(string(r)+"a", 20)} {
				out, err := e.String(text)
				if err != nil {
					break // it is not in the charset
				}
				if n := int64(len(text)); int64(len(out)) > worst(n) {
					t.Fatalf("%s: %q of %d bytes becomes %d, more than %d", name, text, n, len(out), worst(n))
				}
			}
		}
	}
}
