package main

import (
	"context"
	"fmt"
	"os"

	"github.com/seed149ec23d/s3writer"
)

// deliver writes the site's tables through a Writer.
func deliver(ctx context.Context, s *site, opts []s3writer.Option, processors ...s3writer.Processor) error {
	w, err := s3writer.New(ctx, bucket, append(s.options(), opts...)...)
	if err != nil {
		return err
	}
	tables := make([]s3writer.Table, s.tables)
	for i := range tables {
		tables[i] = s3writer.NewTable(fmt.Sprintf("table-%02d.csv", i), s.in.source(), processors...)
	}
	_, err = w.Write(ctx, tables...)
	return err
}

// options lead to the site's sink.
func (s *site) options() []s3writer.Option {
	switch s.sink {
	case sinkDiscard, sinkFiles:
		return []s3writer.Option{s3writer.WithClient(s.stub)}
	case sinkNull:
		return []s3writer.Option{s3writer.WithClient(s.null.client())}
	default:
		return []s3writer.Option{
			s3writer.WithEndpoint(s.endpoint.URL),
			s3writer.WithRegion(region),
			s3writer.WithCredentials(s3writer.StaticCredentials(accessKey, secretKey, "")),
		}
	}
}

func filterSelect(d dataset) []s3writer.Processor {
	return []s3writer.Processor{
		s3writer.Filter(func(r s3writer.Record) bool { return r.Get(d.filter) == d.value }),
		s3writer.Select(d.keep...),
	}
}

func ourFilterSelect(ctx context.Context, s *site) error {
	return deliver(ctx, s, nil, filterSelect(s.in.dataset)...)
}

func ourFilterSelectGzip(opts ...s3writer.Option) func(context.Context, *site) error {
	return func(ctx context.Context, s *site) error {
		return deliver(ctx, s, opts, append(filterSelect(s.in.dataset), s3writer.Gzip())...)
	}
}

func ourCopy(opts ...s3writer.Option) func(context.Context, *site) error {
	return func(ctx context.Context, s *site) error {
		return deliver(ctx, s, opts)
	}
}

// ourCopyOfFile gives the Writer the file itself.
func ourCopyOfFile(ctx context.Context, s *site) error {
	f, err := os.Open(s.in.file)
	if err != nil {
		return err
	}
	defer f.Close()
	w, err := s3writer.New(ctx, bucket, s.options()...)
	if err != nil {
		return err
	}
	_, err = w.Write(ctx, s3writer.NewTable("table.csv", f))
	return err
}

func ourFilterSelectRename(ctx context.Context, s *site) error {
	return filterSelectRename(ctx, s, filterSelect(s.in.dataset))
}

// ourConcurrentFilter says that the filter's function may be called for several rows at once.
func ourConcurrentFilter(ctx context.Context, s *site) error {
	steps := filterSelect(s.in.dataset)
	steps[0] = s3writer.Concurrent(steps[0])
	return filterSelectRename(ctx, s, steps)
}

func filterSelectRename(ctx context.Context, s *site, steps []s3writer.Processor) error {
	d := s.in.dataset
	var oldnew []string
	for i, column := range d.keep {
		if d.names[i] != column {
			oldnew = append(oldnew, column, d.names[i])
		}
	}
	return deliver(ctx, s, nil, append(steps, s3writer.Rename(oldnew...))...)
}

func ourJSONLines(ctx context.Context, s *site) error {
	return deliver(ctx, s, nil, s3writer.JSONLines())
}

// ourFilterSelectFile leaves a file: parts of one size have a place in it.
func ourFilterSelectFile(ctx context.Context, s *site) error {
	return deliver(ctx, s, []s3writer.Option{s3writer.WithPartSize(filePart)}, filterSelect(s.in.dataset)...)
}

func ourPartition(spill bool) func(context.Context, *site) error {
	return func(ctx context.Context, s *site) error {
		opts := []s3writer.Option{s3writer.WithPartSize(filePart)}
		if spill {
			opts = append(opts, s3writer.WithSpill(string(s.folder)))
		}
		return deliver(ctx, s, opts, s3writer.PartitionBy(s.in.dataset.key))
	}
}

// ourSpilledPartition has more values than objects may be open at once.
func ourSpilledPartition(ctx context.Context, s *site) error {
	dir, err := os.MkdirTemp("", "s3writer-bench-spill-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	opts := []s3writer.Option{s3writer.WithSpill(dir), s3writer.WithMemory(budget)}
	return deliver(ctx, s, opts, s3writer.PartitionBy(s.in.dataset.key), s3writer.Gzip())
}

// builtInChains are chains of built-in steps alone: none calls a function for a
// row, so none has a reason to allocate for one.
var builtInChains = []contestant{
	builtIn("Select, Rename", func(d dataset) []s3writer.Processor {
		return []s3writer.Processor{s3writer.Select(d.keep...), s3writer.Rename(d.keep[0], d.names[0])}
	}),
	builtIn("Drop, AddColumn, RowNumber, Limit", func(d dataset) []s3writer.Processor {
		return []s3writer.Processor{
			s3writer.Drop(d.keep[0]), s3writer.AddColumn("source", "bench"), s3writer.RowNumber("number"), s3writer.Limit(1 << 40),
		}
	}),
	builtIn("Hash", func(d dataset) []s3writer.Processor {
		return []s3writer.Processor{s3writer.Hash([]byte("a key of no secrecy"), d.keep[0])}
	}),
	builtIn("Select, FormatCSV with QuoteAll", func(d dataset) []s3writer.Processor {
		return []s3writer.Processor{s3writer.Select(d.keep...), s3writer.FormatCSV(s3writer.CSV{QuoteAll: true})}
	}),
	builtIn("Typed, JSONLines", func(dataset) []s3writer.Processor {
		return []s3writer.Processor{s3writer.Typed("rownames", s3writer.Int64Type), s3writer.JSONLines()}
	}),
}

func builtIn(name string, chain func(dataset) []s3writer.Processor) contestant {
	return contestant{name: name, ours: true, run: func(ctx context.Context, s *site) error {
		return deliver(ctx, s, nil, chain(s.in.dataset)...)
	}}
}
