package upload

import (
	"errors"
	"io"
	"time"

	"github.com/minio/crc64nvme"
)

// part is a run of bytes in pages, and their checksum.
type part struct {
	number int32
	pages  [][]byte
	size   int64
	crc    uint64
	page   int64 // bytes in a page
	own    bool  // all in one piece of memory that is nobody else's afterwards
}

// room is the unused end of the last page.
func (p *part) room() []byte {
	if used := p.size - int64(len(p.pages)-1)*p.page; len(p.pages) > 0 {
		return p.pages[len(p.pages)-1][used:]
	}
	return nil
}

// extend counts b, which lies at the start of the room, as part of the body.
func (p *part) extend(b []byte) {
	p.size += int64(len(b))
	p.crc = crc64nvme.Update(p.crc, b)
}

// at returns the bytes from off to the end of a page.
func (p *part) at(off int64) []byte {
	i := off / p.page
	end := min(p.page, p.size-i*p.page)
	return p.pages[i][off-i*p.page : end]
}

// intact says whether the bytes are still those that were counted.
func (p *part) intact() bool {
	var crc uint64
	for off := int64(0); off < p.size; {
		b := p.at(off)
		crc = crc64nvme.Update(crc, b)
		off += int64(len(b))
	}
	return crc == p.crc
}

// body reads a part from the start, for one attempt.
type body struct {
	part     *part
	off      int64
	progress func() // called when bytes were read
	began    time.Time
}

func (b *body) Len() int { return int(b.part.size - b.off) }

// start notes when the first byte is read.
func (b *body) start() {
	if b.began.IsZero() {
		b.began = time.Now()
	}
}

func (b *body) Read(p []byte) (int, error) {
	b.start()
	n, err := b.ReadAt(p, b.off)
	b.off += int64(n)
	b.progress()
	if n > 0 {
		err = nil
	}
	return n, err
}

func (b *body) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) && off < b.part.size {
		c := copy(p[n:], b.part.at(off))
		n += c
		off += int64(c)
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (b *body) WriteTo(w io.Writer) (n int64, err error) {
	for b.off < b.part.size {
		c, err := w.Write(b.part.at(b.off))
		n += int64(c)
		b.off += int64(c)
		b.progress()
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func (b *body) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.off
	case io.SeekEnd:
		offset += b.part.size
	}
	if offset < 0 || offset > b.part.size {
		return b.off, errors.New("seek outside of the part")
	}
	b.off = offset
	return offset, nil
}
