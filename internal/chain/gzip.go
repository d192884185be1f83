package chain

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/flate"
)

// Gzip compresses objects at a level of compress/gzip: one ordinary member
// without a name or a time stamp.
func Gzip(level int) Step {
	step := Step{name: "Gzip", kind: writerStep, ext: ".gz", compressor: true}
	if level != flate.DefaultCompression {
		step.name, step.args = "GzipLevel", fmt.Sprint(level)
	}
	if level < flate.HuffmanOnly || level > flate.BestCompression {
		step.err = fmt.Errorf("the level is %d; levels are those of compress/gzip, 1 (fastest) to 9 (smallest), 0, -1 and -2", level)
		return step
	}
	compressors := &flatePools[level-flate.HuffmanOnly]
	step.state = func(parallel int) int64 { return int64(parallel+1) * (gzipBlock + gzipBlock/2) }
	// Blocks that do not compress are stored, with 5 bytes for each 64 KiB.
	step.worst = func(n int64) int64 { return n + n>>10 + 64 }
	step.openBytes = func(next ByteSink, parallel int) (ByteSink, error) {
		return &gzipSink{next: next, level: level, ahead: parallel, compressors: compressors}, nil
	}
	return step
}

const (
	// gzipBlock is what one deflate block is made of: with less, too much time
	// goes into the dictionary of each. The borders are fixed by the object's
	// bytes alone, so these never depend on who compressed what when.
	gzipBlock  = 1 << 20
	gzipWindow = 32 << 10 // deflate's: what a block may refer back to
)

// flatePools keep compressors by level: 1.2 MB each at the default level, so
// an object holds one only while a block of it is being compressed.
var flatePools [flate.BestCompression - flate.HuffmanOnly + 1]sync.Pool

// flateSlots bound the compressors in use, in all objects together: more than
// there are cores would only cost memory.
var flateSlots = make(chan struct{}, runtime.NumCPU())

var gzipBlocks = sync.Pool{New: func() any {
	return &deflateBlock{in: make([]byte, 0, gzipWindow+gzipBlock)}
}}

// deflateBlock is a block on its way through a compressor.
type deflateBlock struct {
	in   []byte // the dictionary, then the block's own bytes
	dict int    // length of the dictionary
	last bool
	out  bytes.Buffer
	err  error
	done chan struct{}

	// begun is set by who compresses it. It is this use's of the block alone: whoever
	// is late finds the block's next.
	begun *atomic.Bool
}

// compress deflates the block. Each ends with an empty stored block, so that
// the next begins on a byte border; the last one ends the stream.
func (b *deflateBlock) compress(level int, pool *sync.Pool) {
	defer close(b.done)
	flateSlots <- struct{}{}
	defer func() { <-flateSlots }()
	w, _ := pool.Get().(*flate.Writer)
	dict, data := b.in[:b.dict], b.in[b.dict:]
	b.out.Reset()
	if w == nil {
		if w, b.err = flate.NewWriterDict(&b.out, level, dict); b.err != nil {
			return
		}
	} else {
		w.ResetDict(&b.out, dict)
	}
	if _, b.err = w.Write(data); b.err != nil {
		return
	}
	if b.last {
		b.err = w.Close()
	} else {
		b.err = w.Flush()
	}
	pool.Put(w)
}

// gzipSink cuts an object's bytes into blocks, has them compressed in parallel
// and writes them in order.
type gzipSink struct {
	next        ByteSink
	level       int
	ahead       int // blocks compressed at once
	compressors *sync.Pool

	// later, if set, has somebody compress a block whom nobody waits for; if that comes
	// to nothing, who needs the block does it.
	later func(compress func())

	cur     *deflateBlock
	queue   []*deflateBlock // being compressed, oldest first
	crc     uint32
	size    uint32
	started bool
}

func (g *gzipSink) Write(p []byte) (int, error) {
	total := len(p)
	g.crc = crc32.Update(g.crc, crc32.IEEETable, p)
	g.size += uint32(total)
	for len(p) > 0 {
		if g.cur == nil {
			g.cur = newBlock(nil)
		}
		b := g.cur
		n := copy(b.in[len(b.in):b.dict+gzipBlock], p)
		b.in = b.in[:len(b.in)+n]
		p = p[n:]
		// A full block waits for the byte behind it: only then is it not the last.
		if len(b.in) == b.dict+gzipBlock && len(p) > 0 {
			if err := g.cut(); err != nil {
				return total - len(p), err
			}
		}
	}
	return total, nil
}

// newBlock returns an empty block whose dictionary is the end of text.
func newBlock(text []byte) *deflateBlock {
	b := gzipBlocks.Get().(*deflateBlock)
	dict := text[max(0, len(text)-gzipWindow):]
	b.in = append(b.in[:0], dict...)
	b.dict, b.last, b.err = len(dict), false, nil
	b.done = make(chan struct{})
	b.begun = new(atomic.Bool)
	return b
}

// cut sends the current block off to be compressed and begins the next one.
func (g *gzipSink) cut() error {
	b := g.cur
	g.cur = newBlock(b.in)
	return g.send(b)
}

func (g *gzipSink) send(b *deflateBlock) error {
	g.queue = append(g.queue, b)
	compress := g.compress(b)
	if g.later != nil {
		g.later(compress)
	} else {
		go compress()
	}
	if len(g.queue) <= g.ahead {
		return nil
	}
	return g.writeOldest()
}

// writeOldest waits for the oldest block and writes it.
func (g *gzipSink) writeOldest() error {
	b := g.queue[0]
	g.queue = g.queue[1:]
	g.wait(b)
	err := b.err
	if err == nil {
		err = g.writeDown(b.out.Bytes())
	}
	gzipBlocks.Put(b)
	return err
}

// compress returns what compresses a block, unless somebody has begun to.
func (g *gzipSink) compress(b *deflateBlock) func() {
	begun := b.begun
	return func() {
		if !begun.Swap(true) {
			b.compress(g.level, g.compressors)
		}
	}
}

// wait returns when a block is compressed.
func (g *gzipSink) wait(b *deflateBlock) {
	g.compress(b)()
	<-b.done
}

func (g *gzipSink) writeDown(p []byte) error {
	if !g.started {
		g.started = true
		// RFC 1952: deflate, no flags, no time, no extra flags, OS unknown.
		if _, err := g.next.Write([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}); err != nil {
			return err
		}
	}
	_, err := g.next.Write(p)
	return err
}

// flush compresses and stores all that was written.
func (g *gzipSink) flush() (ok bool, err error) {
	if b := g.cur; b != nil && len(b.in) > b.dict {
		if err := g.cut(); err != nil {
			return true, err
		}
	}
	return true, g.drain()
}

// drain waits for the blocks that are being compressed, and writes them.
func (g *gzipSink) drain() error {
	for len(g.queue) > 0 {
		if err := g.writeOldest(); err != nil {
			return err
		}
	}
	return nil
}

func (g *gzipSink) Finish() error {
	if err := g.end(); err != nil {
		g.Abort()
		return err
	}
	return g.next.Finish()
}

func (g *gzipSink) end() error {
	b := g.cur
	if b == nil {
		b = newBlock(nil)
	}
	b.last, g.cur, g.later = true, nil, nil
	if err := g.send(b); err != nil {
		return err
	}
	if err := g.drain(); err != nil {
		return err
	}
	var trailer [8]byte
	binary.LittleEndian.PutUint32(trailer[:4], g.crc)
	binary.LittleEndian.PutUint32(trailer[4:], g.size)
	return g.writeDown(trailer[:])
}

func (g *gzipSink) Abort() {
	if g.cur != nil {
		gzipBlocks.Put(g.cur)
		g.cur = nil
	}
	for _, b := range g.queue {
		g.wait(b)
		gzipBlocks.Put(b)
	}
	g.queue = nil
	g.next.Abort()
}
