package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/minio/minio-go/v7"

	"github.com/seed149ec23d/s3writer"
)

// comparison is a piece of work that several contestants do, each in turn.
type comparison struct {
	name  string // for -run
	title string
	sink  sinkKind
	procs int // GOMAXPROCS

	// inputs tells how many of the datasets are tried: 1 where the text does
	// not matter.
	inputs int
	size   func(base int64) int64 // of one table, from -size
	tables int                    // at once
	work   work
	goal   goal

	contestants []contestant // ours first, then the rival that counts
}

// work tells what must arrive.
type work string

const (
	workCopy   work = "copy"   // what was read
	workSelect work = "select" // the rows and columns asked for, the same bytes from every contestant
	workGzip   work = "gzip"   // the same, compressed as each one does
)

type contestant struct {
	name string
	ours bool
	run  func(context.Context, *site) error
}

// sinkKind is where the bytes go.
type sinkKind string

const (
	sinkDiscard sinkKind = "discard"      // nowhere: io.Discard, or a client that only drains
	sinkNull    sinkKind = "null S3"      // through the SDK into a RoundTripper that drains
	sinkTLS     sinkKind = "null S3, TLS" // over loopback to a process that drains
)

// site is where a contestant works: its input and the sink it delivers to.
type site struct {
	in       *input
	tables   int
	sink     sinkKind
	discard  *discard
	stub     *stubClient
	null     *nullS3
	endpoint endpoint
}

func newSite(c *comparison, in *input, e endpoint) *site {
	return &site{in: in, tables: c.tables, sink: c.sink, discard: new(discard), stub: new(stubClient), null: new(nullS3), endpoint: e}
}

// sent returns the bytes that arrived at a sink in this process.
func (s *site) sent() int64 {
	return s.discard.n.Load() + s.stub.received.Load() + s.null.received.Load()
}

// s3 returns the SDK's client for the site's sink, with the SDK's defaults.
func (s *site) s3() *s3.Client {
	if s.sink == sinkNull {
		return s.null.client()
	}
	return s3.New(s3.Options{
		Region:       region,
		Credentials:  credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
		BaseEndpoint: aws.String(s.endpoint.URL),
		UsePathStyle: true,
	})
}

func (e endpoint) host() string {
	u, err := url.Parse(e.URL)
	if err != nil {
		return e.URL
	}
	return u.Host
}

// discard counts what is written to it.
type discard struct {
	n    atomic.Int64
	keep io.Writer
}

func (d *discard) Write(p []byte) (int, error) {
	d.n.Add(int64(len(p)))
	if d.keep != nil {
		return d.keep.Write(p)
	}
	return len(p), nil
}

const (
	mib    = 1 << 20
	budget = 64 * mib // of the comparisons of memory
)

func same(base int64) int64    { return base }
func quarter(base int64) int64 { return base / 4 }
func fourfold(base int64) int64 {
	return 4 * base
}

var comparisons = []*comparison{
	{
		name: "filter-select", title: "filter + select, CSV to CSV, one core",
		work: workSelect, sink: sinkDiscard, procs: 1, inputs: 2, size: same, tables: 1, goal: ratioOf(4),
		contestants: []contestant{
			{name: "s3writer", ours: true, run: ourFilterSelect},
			{name: "encoding/csv", run: rivalFilterSelect},
		},
	},
	{
		name: "filter-select-upload", title: "filter + select, uploaded, two cores",
		work: workSelect, sink: sinkNull, procs: 2, inputs: 2, size: same, tables: 1, goal: ratioOf(5),
		contestants: []contestant{
			{name: "s3writer", ours: true, run: ourFilterSelect},
			{name: "encoding/csv, manager", run: rivalChain(nil, withManager)},
			{name: "encoding/csv, transfermanager", run: rivalChain(nil, withTransferManager)},
		},
	},
	{
		name: "filter-select-gzip", title: "filter + select + gzip, uploaded, two cores",
		work: workGzip, sink: sinkNull, procs: 2, inputs: 2, size: same, tables: 1, goal: ratioOf(6),
		contestants: []contestant{
			{name: "s3writer", ours: true, run: ourFilterSelectGzip()},
			{name: "encoding/csv, compress/gzip, manager", run: rivalChain(stdGzip, withManager)},
			{name: "encoding/csv, pgzip, manager", run: rivalChain(parallelGzip, withManager)},
		},
	},
	{
		name: "copy", title: "plain copy of unknown length, over TLS, two cores",
		work: workCopy, sink: sinkTLS, procs: 2, inputs: 1, size: fourfold, tables: 1, goal: noSlowerAndSmaller,
		contestants: []contestant{
			{name: "s3writer", ours: true, run: ourCopy()},
			{name: "manager", run: rivalCopy(withManager)},
			{name: "transfermanager", run: rivalCopy(withTransferManager)},
			{name: "minio-go", run: rivalCopy(withMinIO(minio.PutObjectOptions{}))},
			{name: "minio-go, 4 × 16 MiB", run: rivalCopy(withMinIO(minIOParallel))},
			{name: "s3writer, 32 MiB budget", ours: true, run: ourCopy(s3writer.WithMemory(32 * mib))},
		},
	},
	{
		name: "memory-copy", title: fmt.Sprintf("64 tables at once, plain copy, over TLS, %d MiB budget", budget/mib),
		work: workCopy, sink: sinkTLS, procs: 2, inputs: 1, size: quarter, tables: 64, goal: peakWithin(budget + 32*mib),
		contestants: []contestant{
			{name: "s3writer", ours: true, run: ourCopy(s3writer.WithMemory(budget))},
			{name: "manager", run: rivalCopy(withManager)},
			{name: "transfermanager", run: rivalCopy(withTransferManager)},
			{name: "minio-go, 4 × 16 MiB", run: rivalCopy(withMinIO(minIOParallel))},
		},
	},
	{
		name: "memory-gzip", title: fmt.Sprintf("64 tables at once, filter + select + gzip, over TLS, %d MiB budget", budget/mib),
		work: workGzip, sink: sinkTLS, procs: 2, inputs: 1, size: quarter, tables: 64, goal: peakWithin(budget + 64*mib),
		contestants: []contestant{
			{name: "s3writer", ours: true, run: ourFilterSelectGzip(s3writer.WithMemory(budget))},
		},
	},
}

// minIOParallel is how minio-go uploads parts of an unknown length in parallel;
// by default it takes one buffer of 528 MiB.
var minIOParallel = minio.PutObjectOptions{ConcurrentStreamParts: true, NumThreads: 4, PartSize: 16 * mib}
