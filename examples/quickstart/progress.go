package main

import (
	"io"
	"os"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/seed149ec23d/s3writer"
)

// bars are a progress bar for each table. Where the output is no terminal
// there are none.
type bars struct {
	all     *mpb.Progress
	byTable map[string]*mpb.Bar
	sizes   map[string]int64
}

func newBars(w io.Writer, tables []table) *bars {
	b := &bars{byTable: map[string]*mpb.Bar{}, sizes: map[string]int64{}}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return b
	}
	b.all = mpb.New(mpb.WithOutput(f), mpb.WithWidth(40))
	for _, t := range tables {
		b.sizes[t.Key] = t.size
		b.byTable[t.Key] = b.all.AddBar(t.size,
			mpb.PrependDecorators(decor.Name(t.Key, decor.WCSyncSpaceR)),
			mpb.AppendDecorators(
				decor.Percentage(decor.WCSyncSpace),
				decor.Current(decor.SizeB1024(0), "% .1f", decor.WCSyncSpace),
				decor.AverageSpeed(decor.SizeB1000(0), "% .0f", decor.WCSyncSpace),
			),
		)
	}
	return b
}

// show is called by the Writer, one call at a time.
func (b *bars) show(p s3writer.Progress) {
	bar := b.byTable[p.Table]
	if bar == nil {
		return
	}
	bar.SetCurrent(p.BytesRead)
	switch {
	case p.Done && p.BytesRead >= b.sizes[p.Table]:
		bar.SetTotal(p.BytesRead, true)
	case p.Done:
		bar.Abort(false)
	}
}

// wait leaves the bars as they are at the end.
func (b *bars) wait() {
	if b.all == nil {
		return
	}
	for _, bar := range b.byTable {
		bar.Abort(false) // no effect on those that are complete
	}
	b.all.Wait()
}
