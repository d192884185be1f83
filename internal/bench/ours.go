package main

import (
	"context"
	"fmt"

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
		tables[i] = s3writer.NewTable(fmt.Sprintf("table-%02d.csv", i), s.in.open(), processors...)
	}
	_, err = w.Write(ctx, tables...)
	return err
}

// options lead to the site's sink.
func (s *site) options() []s3writer.Option {
	switch s.sink {
	case sinkDiscard:
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
