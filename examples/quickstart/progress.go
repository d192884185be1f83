package main

import (
	"io"
	"os"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/seed149ec23d/s3writer"
)

// maxBars is how many tables have a bar each; more share one.
const maxBars = 12

// bars show how far the tables are. Where the output is no terminal there are
// none.
type bars struct {
	all    *mpb.Progress // nil: no terminal
	tables map[string]*tableBar
}

type tableBar struct {
	bar  *mpb.Bar
	read int64
}

func newBars(w io.Writer, tables []table) *bars {
	b := &bars{tables: map[string]*tableBar{}}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return b
	}
	b.all = mpb.New(mpb.WithOutput(f), mpb.WithWidth(40))
	if len(tables) <= maxBars {
		for _, t := range tables {
			b.tables[t.Key] = &tableBar{bar: b.add(t.Key, t.size)}
		}
		return b
	}
	var size int64
	for _, t := range tables {
		size += t.size
	}
	shared := b.add("all tables", size)
	for _, t := range tables {
		b.tables[t.Key] = &tableBar{bar: shared}
	}
	return b
}

func (b *bars) add(name string, size int64) *mpb.Bar {
	return b.all.AddBar(size,
		mpb.PrependDecorators(decor.Name(name, decor.WCSyncSpaceR)),
		mpb.AppendDecorators(
			decor.Percentage(decor.WCSyncSpace),
			decor.Current(decor.SizeB1024(0), "% .1f", decor.WCSyncSpace),
			decor.AverageSpeed(decor.SizeB1000(0), "% .0f", decor.WCSyncSpace),
		),
	)
}

// show is called by the Writer, one call at a time.
func (b *bars) show(p s3writer.Progress) {
	if t := b.tables[p.Table]; t != nil {
		t.bar.IncrInt64(p.BytesRead - t.read)
		t.read = p.BytesRead
	}
}

// wait leaves the bars as they are at the end.
func (b *bars) wait() {
	if b.all == nil {
		return
	}
	for _, t := range b.tables {
		t.bar.Abort(false) // no effect on those that are complete
	}
	b.all.Wait()
}
