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
	separators, quotes [stripe / 64]uint64
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
		var separators, quotes uint64
		for k := 0; k < 64; k += 8 {
			w := binary.LittleEndian.Uint64(text[i*64+k : i*64+k+8])
			bits, ascii := w&low, ^w&high
			separator := ((high - (bits ^ comma)) | (high - (bits ^ lineFeed))) & ascii
			separators |= separator * gather >> 56 << k
			quotes |= ((high - (bits ^ quote)) & ascii) * gather >> 56 << k
		}
		m.separators[i], m.quotes[i] = separators, quotes
	}
}

// separatorScan finds the separators outside of quotes, a stripe at a time.
type separatorScan struct {
	text    []byte
	pattern pattern
	quoting bool // there may be quotes

	next int  // where the next stripe begins
	odd  bool // a quote stands where none may stand

	doubles doubles // quotes within quotes, two of them in the text

	inside    uint64 // all ones: within quotes at next
	separator uint64 // 1: the byte before next is a separator
	closing   uint64 // 1: the byte before next is a closing quote
	bitmap    bitmap
}

// doubles are the positions of the first few doubled quotes of a text.
type doubles struct {
	at [64]uint32
	n  int // how many there are, more than in at if it has not all of them
}

func (d *doubles) add(bitsOf uint64, pos int) {
	for ; bitsOf != 0; bitsOf &= bitsOf - 1 {
		if d.n < len(d.at) {
			d.at[d.n] = uint32(pos + bits.TrailingZeros64(bitsOf))
		}
		d.n++
	}
}

// all returns the positions, if they are known.
func (d *doubles) all() (at []uint32, known bool) {
	if d.n > len(d.at) {
		return nil, false
	}
	return d.at[:d.n], true
}

func newSeparatorScan(text []byte, d *Dialect, quoting bool) *separatorScan {
	return &separatorScan{text: text, pattern: d.pattern(), quoting: quoting, separator: 1}
}

// scan goes to the next stripe and returns its separators and where it begins.
// There are none at the end of the text and at the first odd quote.
func (s *separatorScan) scan() (separators []uint64, pos int) {
	if s.next >= len(s.text) || s.odd {
		s.odd = s.odd || s.inside != 0
		return nil, 0
	}
	pos = s.next
	s.next += stripe
	words := (min(len(s.text)-pos, stripe) + 63) / 64
	s.fill(pos)
	if s.quoting && !s.dropQuoted(pos, words) {
		return nil, 0
	}
	return s.bitmap.separators[:words], pos
}

// dropQuoted leaves only those separators of the stripe at pos that are
// outside of quotes.
func (s *separatorScan) dropQuoted(pos, words int) bool {
	inside, separator, closed := s.inside, s.separator, s.closing
	for i := range s.bitmap.separators[:words] {
		quotes := s.bitmap.quotes[i]
		in := quotes ^ quotes<<1 // becomes the parity of the quotes up to each bit
		in ^= in << 2
		in ^= in << 4
		in ^= in << 8
		in ^= in << 16
		in ^= in << 32
		in ^= inside
		inside = uint64(int64(in) >> 63)

		found := s.bitmap.separators[i] &^ in
		opening, closing := quotes&in, quotes&^in
		behind := closing<<1 | closed
		if within := opening & behind; within != 0 {
			s.doubles.add(within, pos+i*64)
		}
		stray := opening &^ (found<<1 | separator | behind)
		follow := behind &^ (found | quotes)
		separator, closed = found>>63, closing>>63
		if stray != 0 || follow != 0 && !s.lineEnds(pos+i*64, follow) {
			s.odd = true
			return false
		}
		s.bitmap.separators[i] = found
	}
	s.inside, s.separator, s.closing = inside, separator, closed
	return true
}

// fill maps the stripe at pos. The last one is filled up with zeros.
func (s *separatorScan) fill(pos int) {
	text := s.text[pos:]
	if len(text) >= stripe {
		s.bitmap.fill((*[stripe]byte)(text), &s.pattern)
		return
	}
	var last [stripe]byte
	copy(last[:], text)
	s.bitmap.fill(&last, &s.pattern)
}

// lineEnds tells whether what follows on closing quotes, and is no separator,
// is CRLF or the end of the text. The bits of follow begin at pos.
func (s *separatorScan) lineEnds(pos int, follow uint64) bool {
	for ; follow != 0; follow &= follow - 1 {
		i := pos + bits.TrailingZeros64(follow)
		if i < len(s.text) && (s.text[i] != '\r' || i+1 == len(s.text) || s.text[i+1] != '\n') {
			return false
		}
	}
	return true
}
