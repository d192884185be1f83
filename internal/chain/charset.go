package chain

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	xencoding "golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	xtransform "golang.org/x/text/transform"
)

// replacement stands for what cannot be decoded. Decoders of x/text write it
// instead of failing.
const replacement = "\uFFFD"

// charset is a character encoding of the WHATWG's list.
type charset struct {
	name string // as the list has it
	xencoding.Encoding

	// replacement is U+FFFD in the charset; nil if it is not in it. Where a
	// decoder writes one for other bytes, these are no character.
	replacement []byte
	unicode     bool // has all of Unicode
	mark        bool // what is written begins with a byte order mark
	stateful    bool // escape sequences say what the bytes behind them mean
}

// findCharset finds a charset by any of its names.
func findCharset(name string) (charset, error) {
	e, err := htmlindex.Get(name)
	if err != nil {
		return charset{}, fmt.Errorf("there is no charset %q; the names are those of "+
			"https://encoding.spec.whatwg.org/#names-and-labels, such as %q or %q", name, "windows-1250", "utf-16le")
	}
	c := charset{Encoding: e}
	if c.name, err = htmlindex.Name(e); err != nil || c.name == "replacement" {
		return charset{}, fmt.Errorf("the charset %q is one that the WHATWG has given up; nothing decodes it", name)
	}
	c.unicode = c.name == "utf-8" || c.name == "gb18030" || strings.HasPrefix(c.name, "utf-16")
	if c.unicode {
		if c.replacement, err = e.NewEncoder().Bytes([]byte(replacement)); err != nil {
			return charset{}, err
		}
	}
	// The names of a byte order promise no mark; "utf-16" does, as iconv and
	// RFC 2781 have it.
	c.mark = strings.EqualFold(strings.TrimSpace(name), "utf-16")
	c.stateful = c.name == "iso-2022-jp"
	return c, nil
}

// excludes tells of a character that would be written and not be read again.
func (c *charset) excludes(r rune) bool {
	switch c.name {
	case "iso-2022-jp": // bytes that begin escape sequences
		return r == 0x0e || r == 0x0f || r == 0x1b
	case "gb18030": // private use: the two directions of x/text differ
		return r >= 0xe000 && r <= 0xf8ff
	}
	return !c.unicode && r == utf8.RuneError
}

// FromCharset reads a source in another charset. What cannot be decoded is an
// error, or if lossy U+FFFD.
func FromCharset(name string, lossy bool) Step {
	step := Step{name: "FromCharset", args: quoted([]string{name}), kind: readerStep}
	if lossy {
		step.name = "FromCharsetLossy"
	}
	var c charset
	c, step.err = findCharset(name)
	step.wrap = func(r io.Reader) (io.Reader, error) { return newDecodingReader(r, c, lossy) }
	return step
}

const (
	decodingBlock = 32 << 10
	mostUTF8      = 3 // bytes of UTF-8 that one byte can become
)

// decodingReader makes UTF-8 of a source in another charset.
type decodingReader struct {
	src     io.Reader
	charset charset
	lossy   bool
	decoder xtransform.Transformer

	block  []byte
	in     []byte // of block: read and not decoded yet
	offset int64  // of in[0] in the source
	eof    bool
	out    []byte // decoded and not read yet
	text   []byte // where out is
	err    error  // behind out
}

// marks are byte order marks and the charsets that they tell.
var marks = []struct{ mark, name string }{
	{"\xef\xbb\xbf", "utf-8"}, {"\xff\xfe", "utf-16le"}, {"\xfe\xff", "utf-16be"},
}

// newDecodingReader looks for a byte order mark, which knows better than c.
func newDecodingReader(r io.Reader, c charset, lossy bool) (io.Reader, error) {
	src := bufio.NewReaderSize(r, decodingBlock)
	head, err := src.Peek(len(marks[0].mark))
	d := &decodingReader{src: src, charset: c, lossy: lossy}
	if err != nil && !errors.Is(err, io.EOF) {
		d.err = err
	}
	for _, m := range marks {
		if !bytes.HasPrefix(head, []byte(m.mark)) {
			continue
		}
		if d.charset, err = findCharset(m.name); err != nil {
			return nil, err
		}
		n, err := src.Discard(len(m.mark))
		if d.offset = int64(n); err != nil {
			return nil, err
		}
		break
	}
	d.decoder = d.charset.NewDecoder().Transformer
	d.block = make([]byte, decodingBlock)
	d.text = make([]byte, mostUTF8*decodingBlock+utf8.UTFMax)
	return d, nil
}

func (d *decodingReader) Read(p []byte) (int, error) {
	for len(d.out) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		d.fill()
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}

// fill reads and decodes a block.
func (d *decodingReader) fill() {
	n := copy(d.block, d.in)
	if !d.eof {
		k, err := d.src.Read(d.block[n:])
		n += k
		if err == io.EOF {
			d.eof = true
		} else {
			d.err = err
		}
	}
	d.in = d.block[:n]
	if n > 0 {
		d.decode()
	}
	if d.eof && len(d.in) == 0 && d.err == nil {
		d.err = io.EOF
	}
}

// decode decodes the characters that are whole.
func (d *decodingReader) decode() {
	if !d.charset.stateful {
		nDst, nSrc, _ := d.decoder.Transform(d.text, d.in, d.eof)
		if !bytes.Contains(d.text[:nDst], []byte(replacement)) {
			d.out = d.text[:nDst]
			d.take(nSrc)
			return
		}
	}
	d.decodeEach()
}

func (d *decodingReader) take(n int) {
	d.in = d.in[n:]
	d.offset += int64(n)
}

// decodeEach decodes character by character: that tells where in the source
// each of them is.
func (d *decodingReader) decodeEach() {
	d.out = d.text[:0]
	for len(d.in) > 0 {
		text, n := d.character()
		if n == 0 {
			return
		}
		if bytes.Contains(text, []byte(replacement)) && !d.hasReplacement() && !d.lossy {
			d.err = d.undecodable(n)
			return
		}
		d.out = append(d.out, text...)
		d.take(n)
	}
}

// character decodes the next character, or what is none, of as few bytes as
// tell. n is 0 if more have to be read.
func (d *decodingReader) character() (text []byte, n int) {
	var dst [4 * utf8.UTFMax]byte
	for size := 1; size <= len(d.in); size++ {
		nDst, nSrc, _ := d.decoder.Transform(dst[:], d.in[:size], d.eof && size == len(d.in))
		if nSrc > 0 {
			return dst[:nDst], nSrc
		}
	}
	return nil, 0
}

// hasReplacement tells whether U+FFFD itself stands in the source.
func (d *decodingReader) hasReplacement() bool {
	return d.charset.replacement != nil && bytes.HasPrefix(d.in, d.charset.replacement)
}

// undecodable is the error of the next n bytes.
func (d *decodingReader) undecodable(n int) error {
	what := fmt.Sprintf("%#x is no character of %s", d.in[:n], d.charset.name)
	if _, whole, err := d.decoder.Transform(make([]byte, 4*utf8.UTFMax), d.in[:n], false); whole == 0 && err == xtransform.ErrShortSrc {
		what = fmt.Sprintf("the source ends in the middle of a character of %s", d.charset.name)
	}
	return &Error{Offset: d.offset, Err: fmt.Errorf("byte %d: %s", d.offset, what)}
}

// ToCharset writes objects in another charset. A character that it lacks is an
// error, or if lossy a question mark.
func ToCharset(name string, lossy bool) Step {
	step := Step{name: "ToCharset", args: quoted([]string{name}), kind: writerStep,
		state: func(int) int64 { return encodingBlock }}
	if lossy {
		step.name = "ToCharsetLossy"
	}
	var c charset
	c, step.err = findCharset(name)
	if step.charset = c.name; c.mark {
		step.charset = "utf-16" // RFC 2781: the mark tells the byte order
	}
	step.worst = c.worst(lossy)
	step.openBytes = func(next ByteSink, _ int) (ByteSink, error) {
		return &encodingSink{next: next, charset: c, lossy: lossy,
			encoder: c.NewEncoder().Transformer, out: make([]byte, encodingBlock)}, nil
	}
	return step
}

const encodingBlock = 64 << 10

// worst returns the most that n bytes of UTF-8 can become. What stands for a
// byte that is no UTF-8 is longer than what other bytes become.
func (c *charset) worst(lossy bool) func(n int64) int64 {
	times, of := int64(1), int64(1)
	switch {
	case c.name == "iso-2022-jp": // escape sequences, and one at the end
		times = 3
	case c.name == "euc-jp": // JIS X 0212, of what has two bytes in UTF-8
		times, of = 3, 2
	case strings.HasPrefix(c.name, "utf-16"):
		times = 2
	case c.unicode && lossy:
		times = int64(len(c.replacement))
	case c.name == "gb18030":
		times = 2
	}
	return func(n int64) int64 { return n/of*times + n%of*times + 8 }
}

// encodingSink writes UTF-8 in another charset.
type encodingSink struct {
	next    ByteSink
	charset charset
	lossy   bool
	encoder xtransform.Transformer
	out     []byte

	rest    []byte // the beginning of a character
	begun   bool
	offset  int64 // of the next character, in UTF-8
	newline int64 // line feeds before it
}

func (s *encodingSink) Write(p []byte) (int, error) {
	total := len(p)
	for len(s.rest) > 0 && len(p) > 0 {
		s.rest, p = append(s.rest, p[0]), p[1:]
		left, err := s.encode(s.rest, false)
		if err != nil {
			return 0, err
		}
		s.rest = s.rest[:copy(s.rest, left)]
	}
	left, err := s.encode(p, false)
	if err != nil {
		return 0, err
	}
	s.rest = append(s.rest, left...)
	return total, nil
}

// flush has nothing to do: all but half a character is written already.
func (s *encodingSink) flush() (ok bool, err error) { return len(s.rest) == 0, nil }

func (s *encodingSink) Finish() error {
	_, err := s.encode(s.rest, true)
	if err == nil {
		_, err = s.transform(nil, true)
	}
	if err != nil {
		s.next.Abort()
		return err
	}
	return s.next.Finish()
}

func (s *encodingSink) Abort() { s.next.Abort() }

// encode writes the characters of p; what is left may be the beginning of one,
// unless p is the last.
func (s *encodingSink) encode(p []byte, last bool) (left []byte, err error) {
	for len(p) > 0 && (last || utf8.FullRune(p)) {
		if !s.begun {
			s.begun = true
			if p, err = s.begin(p); err != nil {
				return nil, err
			}
		}
		n, err := s.transform(p[:s.plain(p)], false)
		if err != nil {
			return nil, err
		}
		s.take(p[:n])
		p = p[n:]
		if len(p) == 0 || !last && !utf8.FullRune(p) {
			break
		}
		if p, err = s.replace(p); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// begin writes a byte order mark if there is to be one, and takes the one of p
// where it is not text.
func (s *encodingSink) begin(p []byte) ([]byte, error) {
	const mark = "\uFEFF"
	if bytes.HasPrefix(p, []byte(mark)) && (s.charset.mark || !s.charset.unicode) {
		s.take(p[:len(mark)])
		p = p[len(mark):]
	}
	if !s.charset.mark {
		return p, nil
	}
	_, err := s.transform([]byte(mark), false)
	return p, err
}

// plain returns how many bytes of p are UTF-8 that may be in the charset.
func (s *encodingSink) plain(p []byte) int {
	for i := 0; i < len(p); {
		r, size := rune(p[i]), 1
		if r >= utf8.RuneSelf {
			if r, size = utf8.DecodeRune(p[i:]); r == utf8.RuneError && size == 1 {
				return i
			}
		}
		if (r >= utf8.RuneSelf || s.charset.stateful) && s.charset.excludes(r) {
			return i
		}
		i += size
	}
	return len(p)
}

// transform writes p as far as the charset has its characters.
func (s *encodingSink) transform(p []byte, last bool) (n int, err error) {
	for {
		nDst, nSrc, refused := s.encoder.Transform(s.out, p[n:], last)
		n += nSrc
		if nDst > 0 {
			if _, err := s.next.Write(s.out[:nDst]); err != nil {
				return n, err
			}
		}
		if refused != xtransform.ErrShortDst {
			return n, nil
		}
	}
}

func (s *encodingSink) take(p []byte) {
	s.offset += int64(len(p))
	s.newline += int64(bytes.Count(p, []byte{'\n'}))
}

// replace writes something else for the first character of p, which cannot be
// written, or says that it cannot.
func (s *encodingSink) replace(p []byte) ([]byte, error) {
	r, size := utf8.DecodeRune(p)
	if !s.lossy {
		what := fmt.Sprintf("the character %#U is not in %s", r, s.charset.name)
		if r == utf8.RuneError && size == 1 {
			what = fmt.Sprintf("%#02x is not UTF-8; FromCharset decodes a source in another charset", p[0])
		}
		return nil, fmt.Errorf("line %d of the object, byte %d in UTF-8: %s", s.newline+1, s.offset, what)
	}
	instead := "?"
	if s.charset.unicode && r == utf8.RuneError {
		instead = replacement
	}
	if _, err := s.transform([]byte(instead), false); err != nil {
		return nil, err
	}
	s.take(p[:size])
	return p[size:], nil
}
