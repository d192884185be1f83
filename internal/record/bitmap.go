package record

import (
	"encoding/binary"
	"math/bits"
	"strings"
	"unicode/utf8"
)

// The fast way through text: 64 bytes become two words with a bit for each
// separator (comma or line feed) and each quote, and a few operations on these
// tell what is within quotes and whether every quote stands where one may
// stand. Where anything is odd, [rowReader] decides.

const (
	repeat   = 0x0101010101010101 // times a byte: eight of it
	lowBits  = 0x7f * repeat
	highBits = 0x80 * repeat
	// gather times a word of only high bits has them side by side on top.
	gather = 0x0002040810204081
	// stripe is how many bytes are mapped at once: they stay in the first cache.
	stripe = 4096
)

// mappable tells whether quotes alone say what is data in text, as they do
// where there are no escapes and comments, and whether they are ASCII.
func (d *Dialect) mappable(text string) bool {
	return d.Comma < utf8.RuneSelf && (d.NoQuote || d.Quote < utf8.RuneSelf) &&
		(d.Escape == 0 || strings.IndexByte(text, d.Escape) < 0) &&
		(d.Comment == 0 || strings.IndexByte(text, d.Comment) < 0)
}

// bitmap has a bit for each byte of a stripe of text.
type bitmap struct {
	separators, quotes [stripe / 8]byte
}

// pattern is what a bitmap is filled with, each byte eight times. It holds the
// constants as well, since the compiler would load those anew for each word,
// which is half as fast.
type pattern struct {
	comma, quote, lineFeed uint64
	low, high, gather      uint64
}

func (d *Dialect) pattern() pattern {
	return pattern{
		comma: uint64(d.Comma) * repeat, quote: uint64(d.Quote) * repeat, lineFeed: '\n' * repeat,
		low: lowBits, high: highBits, gather: gather,
	}
}

// fillWords maps text, eight bytes at a time: high-(w^c) has the high bit of
// just those bytes of w that are c, as long as w is ASCII. It is what fill does
// where nothing faster is known.
func (m *bitmap) fillWords(text *[stripe]byte, p *pattern) {
	comma, quote, lineFeed := p.comma, p.quote, p.lineFeed
	low, high, gather := p.low, p.high, p.gather
	for i := range m.separators {
		w := binary.LittleEndian.Uint64(text[i*8 : i*8+8])
		bits, ascii := w&low, ^w&high
		separator := ((high - (bits ^ comma)) | (high - (bits ^ lineFeed))) & ascii
		m.separators[i] = byte(separator * gather >> 56)
		m.quotes[i] = byte(((high - (bits ^ quote)) & ascii) * gather >> 56)
	}
}

// separatorScan finds the separators outside of quotes, 64 bytes at a time.
type separatorScan struct {
	text    []byte
	pattern pattern
	quoting uint64 // all ones if there are quotes

	pos   int    // of the 64 bytes
	found uint64 // their separators
	odd   bool   // a quote stands where none may stand

	next      int
	inside    uint64 // all ones: within quotes at next
	separator uint64 // 1: the byte before next is a separator
	closing   uint64 // 1: the byte before next is a closing quote
	bitmap    bitmap
}

func newSeparatorScan(text []byte, d *Dialect) *separatorScan {
	s := &separatorScan{text: text, pattern: d.pattern(), quoting: ^uint64(0), separator: 1}
	if d.NoQuote {
		s.quoting = 0
	}
	return s
}

// scan goes to the next 64 bytes. It returns false at the end of the text and
// at the first odd quote.
func (s *separatorScan) scan() bool {
	if s.next >= len(s.text) {
		s.odd = s.odd || s.inside != 0
		return false
	}
	s.pos = s.next
	s.next += 64
	i := s.pos % stripe / 8
	if i == 0 {
		s.fill()
	}
	separators := binary.LittleEndian.Uint64(s.bitmap.separators[i : i+8])
	quotes := binary.LittleEndian.Uint64(s.bitmap.quotes[i:i+8]) & s.quoting

	in := quotes ^ quotes<<1 // becomes the parity of the quotes up to each bit
	in ^= in << 2
	in ^= in << 4
	in ^= in << 8
	in ^= in << 16
	in ^= in << 32
	in ^= s.inside
	s.inside = uint64(int64(in) >> 63)

	s.found = separators &^ in
	opening, closing := quotes&in, quotes&^in
	behind := closing<<1 | s.closing
	stray := opening &^ (s.found<<1 | s.separator | behind)
	follow := behind &^ (s.found | quotes)
	s.separator, s.closing = s.found>>63, closing>>63
	s.odd = stray != 0 || follow != 0 && !s.lineEnds(follow)
	return !s.odd
}

// fill maps the stripe at s.pos. The last one is filled up with zeros.
func (s *separatorScan) fill() {
	text := s.text[s.pos:]
	if len(text) >= stripe {
		s.bitmap.fill((*[stripe]byte)(text), &s.pattern)
		return
	}
	var last [stripe]byte
	copy(last[:], text)
	s.bitmap.fill(&last, &s.pattern)
}

// lineEnds tells whether what follows on closing quotes, and is no separator,
// is CRLF or the end of the text.
func (s *separatorScan) lineEnds(follow uint64) bool {
	for ; follow != 0; follow &= follow - 1 {
		i := s.pos + bits.TrailingZeros64(follow)
		if i < len(s.text) && (s.text[i] != '\r' || i+1 == len(s.text) || s.text[i+1] != '\n') {
			return false
		}
	}
	return true
}
