package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// byteSize is a number of bytes that is read and printed with a unit.
type byteSize int64

var units = []struct {
	name  string
	bytes float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// Set reads a size such as "64MiB".
func (b *byteSize) Set(s string) error {
	number, factor := s, 1.0
	for _, u := range units {
		if n, ok := strings.CutSuffix(s, u.name); ok {
			number, factor = n, u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(n*factor >= 1 && n*factor < math.MaxInt64) {
		return fmt.Errorf("a size looks like 64MiB or 2GB")
	}
	*b = byteSize(n * factor)
	return nil
}

func (b byteSize) String() string {
	n, i := float64(b)/units[0].bytes, 0
	for n >= 1024 && i < 3 {
		n /= 1024
		i++
	}
	if b < 1024 {
		return fmt.Sprintf("%d B", int64(b))
	}
	return fmt.Sprintf("%.1f %s", n, units[i].name)
}

// columnList is names with commas between them.
type columnList []string

func (c *columnList) Set(s string) error {
	*c = strings.Split(s, ",")
	return nil
}

func (c *columnList) String() string { return strings.Join(*c, ",") }

// comma is a field delimiter; 0: the default.
type comma byte

func (c *comma) Set(s string) error {
	if s == `\t` {
		s = "\t"
	}
	if len(s) != 1 {
		return fmt.Errorf(`one byte, such as ";" or "\t"`)
	}
	*c = comma(s[0])
	return nil
}

func (c *comma) String() string {
	if *c == 0 {
		return ""
	}
	return string(*c)
}
