package main

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/minio/minio-go/v7"

	"github.com/seed149ec23d/s3writer"
)

const (
	mib    = 1 << 20
	budget = 64 * mib // of the comparisons of memory
)

func same(base int64) int64    { return base }
func half(base int64) int64    { return base / 2 }
func quarter(base int64) int64 { return base / 4 }
func large(base int64) int64   { return 40 * base }
func fourfold(base int64) int64 {
	return 4 * base
}

// millionRows is enough for more than a million rows of either dataset: what a
// run allocates once must not count for a few rows alone.
func millionRows(base int64) int64 { return max(base, 160*mib) }

// small is one object of one request.
func small(int64) int64 { return 4 << 10 }

// Contestants that goals name.
const (
	bare     = "net/http, bare loop"
	unsigned = "s3writer, payload not signed"
)

var comparisons = []*comparison{
	{
		name: "filter-select", title: "filter + select, CSV to CSV, one core",
		work: workSelect, sink: sinkDiscard, procs: 1, inputs: 2, size: same, tables: 1, goals: []goal{ratioOf(4)},
		contestants: []contestant{
			{name: "s3writer", ours: true, run: ourFilterSelect},
			{name: "encoding/csv", run: rivalFilterSelect},
		},
	},
	{
		name: "filter-select-upload", title: "filter + select, uploaded, two cores",
		work: workSelect, sink: sinkNull, procs: 2, inputs: 2, size: same, tables: 1, goals: []goal{ratioOf(5)},
		contestants: []contestant{
			{name: "s3writer", ours: true, run: ourFilterSelect},
			{name: "encoding/csv, manager", run: rivalChain(nil, withManager)},
			{name: "encoding/csv, transfermanager", run: rivalChain(nil, withTransferManager)},
		},
	},
	{
		name: "filter-select-gzip", title: "filter + select + gzip, uploaded, two cores",
		work: workGzip, sink: sinkNull, procs: 2, inputs: 2, size: same, tables: 1, goals: []goal{ratioOf(6)},
		contestants: []contestant{
			{name: "s3writer", ours: true, run: ourFilterSelectGzip()},
			{name: "encoding/csv, compress/gzip, manager", run: rivalChain(stdGzip, withManager)},
			{name: "encoding/csv, pgzip, manager", run: rivalChain(parallelGzip, withManager)},
		},
	},
	{
		name: "copy", title: "plain copy of unknown length, over TLS, two cores",
		work: workCopy, sink: sinkTLS, procs: 2, inputs: 1, size: fourfold, tables: 1,
		goals: []goal{noSlowerAndSmaller, ratioTo(bare, 0.95), noMoreCPU},
		contestants: []contestant{
			{name: "s3writer", ours: true, run: ourCopy()},
			{name: "manager", run: rivalCopy(withManager)},
			{name: "transfermanager", run: rivalCopy(withTransferManager)},
			{name: "minio-go", run: rivalCopy(withMinIO(minio.PutObjectOptions{}))},
			{name: "minio-go, 4 × 16 MiB", tuned: true, run: rivalCopy(withMinIO(minIOParallel))},
			{name: "s3writer, 32 MiB budget", ours: true, run: ourCopy(s3writer.WithMemory(32 * mib))},
			{name: bare, bare: true, prepare: prepareMemory, run: bareLoop},
		},
	},
	{
		name: "copy-http", title: "plain copy of unknown length, over http, two cores",
		work: workCopy, sink: sinkHTTP, procs: 2, inputs: 1, size: fourfold, tables: 1,
		goals: []goal{ratioToEach(1), variantToEach(unsigned, 2), variantTo(unsigned, bare, 0.85)},
		contestants: []contestant{
			{name: "s3writer", ours: true, run: ourCopy()},
			{name: "manager", run: rivalCopy(withManager)},
			{name: "transfermanager", run: rivalCopy(withTransferManager)},
			{name: "minio-go", run: rivalCopy(withMinIO(minio.PutObjectOptions{}))},
			{name: "minio-go, 4 × 16 MiB", tuned: true, run: rivalCopy(withMinIO(minIOParallel))},
			{name: unsigned, ours: true, run: ourCopy(s3writer.WithPayloadSigning(false))},
			{name: bare, bare: true, prepare: prepareMemory, run: bareLoop},
		},
	},
	{
		name: "copy-distant", title: "plain copy of unknown length, to a distant S3, two cores",
		work: workCopy, sink: sinkDistant, procs: 2, inputs: 1, size: fourfold, tables: 1,
		goals: []goal{ratioToEach(3), noSlowerThan("no slower than any tuned, peak below theirs", isTuned, 1), peakWithin(256 * mib)},
		contestants: []contestant{
			{name: "s3writer", ours: true, run: ourCopy()},
			{name: "manager", run: rivalCopy(withManager)},
			{name: "transfermanager", run: rivalCopy(withTransferManager)},
			{name: "minio-go", run: rivalCopy(withMinIO(minio.PutObjectOptions{}))},
			{name: "manager, 32 × 8 MiB", tuned: true, run: rivalCopy(withManagerTuned)},
			{name: "transfermanager, 32 × 8 MiB", tuned: true, run: rivalCopy(withTransferManagerTuned)},
			{name: "minio-go, 32 × 8 MiB", tuned: true, run: rivalCopy(withMinIOTuned)},
		},
	},
	{
		name: "small-tables", title: "10,000 tables of 4 KiB, to a distant S3, two cores",
		work: workCopy, sink: sinkDistant, procs: 2, inputs: 1, size: small, tables: 10_000,
		goals: []goal{ratioTo("PutObject by 64 goroutines", 3), ratioTo("PutObject by 64 goroutines, 64 connections kept", 1)},
		contestants: []contestant{
			{name: "s3writer", ours: true, run: ourCopy()},
			{name: "PutObject by 64 goroutines", run: rivalPool(64, (*site).s3)},
			{name: "PutObject by 64 goroutines, 64 connections kept", tuned: true, run: rivalPool(64, func(s *site) *s3.Client {
				return s.remoteS3(manyConnections())
			})},
		},
	},
	{
		name: "copy-file", title: "plain copy of a file, to a distant S3, two cores",
		work: workCopy, sink: sinkDistant, procs: 2, inputs: 1, file: true, size: fourfold, tables: 1, goals: []goal{ratioOf(3)},
		contestants: []contestant{
			{name: "s3writer", ours: true, run: ourCopyOfFile},
			{name: "manager, which reads at offsets", run: rivalFile(withManager)},
		},
	},
	{
		name: "growth", title: "plain copy of unknown length, once, 4 and 16 times the input, over http, unsigned, two cores",
		work: workCopy, sink: sinkHTTP, procs: 2, inputs: 1, size: fourfold, tables: 1,
		goals: []goal{sameTimePerByte(0.15), sameMemory(0.1)},
		contestants: []contestant{
			{name: "s3writer", ours: true, times: 1, run: ourCopy(s3writer.WithPayloadSigning(false))},
			{name: "s3writer, 4 times the input", ours: true, times: 4, run: ourCopy(s3writer.WithPayloadSigning(false))},
			{name: "s3writer, 16 times the input", ours: true, times: 16, run: ourCopy(s3writer.WithPayloadSigning(false))},
		},
	},
	{
		name: "storm", title: "3,000 tables of 4 KiB, to a distant S3 in a storm of 503s, two cores",
		work: workCopy, sink: sinkStorm, procs: 2, inputs: 1, size: small, tables: 3000,
		goals: []goal{calmer("PutObject by 64 goroutines, retried", 1./3)}, // WithConcurrency is a bound, and slows down below it
		contestants: []contestant{
			{name: "s3writer", ours: true, run: ourCopy()},
			{name: "s3writer, WithConcurrency(64)", ours: true, run: ourCopy(s3writer.WithConcurrency(64))},
			{name: "PutObject by 64 goroutines, retried", tuned: true, run: rivalPool(64, func(s *site) *s3.Client {
				return s.remoteS3(manyConnections(), persistent)
			})},
		},
	},
	{
		name: "memory-copy", title: fmt.Sprintf("64 tables at once, plain copy, over TLS, %d MiB budget", budget/mib),
		work: workCopy, sink: sinkTLS, procs: 2, inputs: 1, size: quarter, tables: 64,
		goals: []goal{peakWithin(budget + 32*mib), noSlowerThan("no slower than any, peak below a third of the smallest", anyRival, 1./3)},
		contestants: []contestant{
			{name: "s3writer", ours: true, run: ourCopy(s3writer.WithMemory(budget))},
			{name: "manager", run: rivalCopy(withManager)},
			{name: "transfermanager", run: rivalCopy(withTransferManager)},
			{name: "minio-go, 4 × 16 MiB", tuned: true, run: rivalCopy(withMinIO(minIOParallel))},
		},
	},
	{
		name: "memory-gzip", title: fmt.Sprintf("64 tables at once, filter + select + gzip, over TLS, %d MiB budget", budget/mib),
		work: workGzip, sink: sinkTLS, procs: 2, inputs: 1, size: quarter, tables: 64, goals: []goal{peakWithin(budget + 64*mib)},
		contestants: []contestant{
			{name: "s3writer", ours: true, run: ourFilterSelectGzip(s3writer.WithMemory(budget))},
		},
	},
	{
		name: "scan", title: "scan to fields, one core",
		work: workScan, sink: sinkDiscard, procs: 1, inputs: 2, size: same, tables: 1, goals: []goal{ratioOf(6)},
		contestants: []contestant{
			{name: "s3writer", ours: true, run: ourScan(boundLengths)},
			{name: "encoding/csv", run: rivalScan},
			{name: "s3writer, a call for each field", ours: true, run: ourScan(textLengths)},
		},
	},
	{
		name: "filter-select-rename", title: "filter + select + rename, CSV to CSV, one core",
		work: workRename, sink: sinkDiscard, procs: 1, inputs: 2, size: fourfold, tables: 1,
		goals: []goal{ratioOf(5), scaling("s3writer, two cores", 1.8), scaling("s3writer, Concurrent, two cores", 1.8)},
		contestants: []contestant{
			{name: "s3writer", ours: true, run: ourFilterSelectRename},
			{name: "encoding/csv", run: rivalFilterSelectRename},
			{name: "s3writer, two cores", ours: true, procs: 2, run: ourFilterSelectRename},
			{name: "s3writer, Concurrent, two cores", ours: true, procs: 2, run: ourConcurrentFilter},
			{name: "s3writer, two processes", ours: true, pair: true, run: ourFilterSelectRename},
		},
	},
	{
		name: "jsonl", title: "CSV to JSON Lines, one core",
		work: workJSON, sink: sinkDiscard, procs: 1, inputs: 2, size: half, tables: 1, goals: []goal{ratioOf(6)},
		contestants: []contestant{
			{name: "s3writer", ours: true, run: ourJSONLines},
			{name: "encoding/csv, encoding/json, maps", run: rivalJSONLines(mapEncoder)},
			{name: "encoding/csv, encoding/json, structs", tuned: true, run: rivalJSONLines(structEncoder)},
		},
	},
	{
		name: "gzip-pgzip", title: "filter + select + gzip, two cores",
		work: workGzip, sink: sinkDiscard, procs: 2, inputs: 2, size: fourfold, tables: 1,
		goals: []goal{ratioTo("pgzip alone, on what the chain leaves", 0.85)},
		contestants: []contestant{
			{name: "s3writer", ours: true, run: ourFilterSelectGzip()},
			{name: "pgzip alone, on what the chain leaves", prepare: prepareRemains, run: rivalGzipAlone},
		},
	},
	{
		name: "partition", title: fmt.Sprintf("partition by %s values, file to files, two cores", thousands(partitionValues)),
		work: workPartition, sink: sinkFiles, procs: 2, inputs: 1, keyed: partitionValues, size: same, tables: 1,
		goals: []goal{ratioTo("DuckDB", 1)},
		contestants: []contestant{
			{name: "s3writer", ours: true, run: ourPartition(false)},
			{name: "DuckDB", foreign: true, prepare: openDuckDB, run: duckDBPartition},
			{name: "s3writer, WithSpill", ours: true, run: ourPartition(true)},
		},
	},
	{
		name: "spill", title: fmt.Sprintf("partition by %s values + gzip, WithSpill, %d MiB budget, once, two cores", thousands(spillValues), budget/mib),
		work: workSpill, sink: sinkDiscard, procs: 2, inputs: 1, keyed: spillValues, size: large, tables: 1, once: true,
		goals: []goal{rssWithin(budget + 64*mib)},
		contestants: []contestant{
			{name: "s3writer", ours: true, run: ourSpilledPartition},
		},
	},
	{
		name: "filter-select-duckdb", title: "filter + select, CSV file to CSV file, two cores",
		work: workRows, sink: sinkFiles, procs: 2, inputs: 2, size: same, tables: 1,
		goals: []goal{ratioTo("DuckDB", 1), ratioTo("Miller", 5)},
		contestants: []contestant{
			{name: "s3writer", ours: true, run: ourFilterSelectFile},
			{name: "DuckDB", foreign: true, prepare: openDuckDB, run: duckDBFilterSelect},
			{name: "Miller", foreign: true, command: "mlr", run: millerFilterSelect},
		},
	},
	{
		name: "allocations", title: "allocations in built-in steps, CSV to CSV or JSON Lines, one core",
		work: workOwn, sink: sinkDiscard, procs: 1, inputs: 1, size: millionRows, tables: 1,
		goals:       []goal{allocationsUnder(2000)},
		contestants: builtInChains,
	},
}

// minIOParallel is how minio-go uploads parts of an unknown length in parallel;
// by default it takes one buffer of 528 MiB.
var minIOParallel = minio.PutObjectOptions{ConcurrentStreamParts: true, NumThreads: 4, PartSize: 16 * mib}

// What rivals are tuned to where many connections matter: the memory that a
// Writer has by default, in parts of its size, each on a connection of its own.
const (
	tunedPart  = 8 * mib
	tunedParts = 32
)

var withMinIOTuned = withMinIOOver(manyConnections(),
	minio.PutObjectOptions{ConcurrentStreamParts: true, NumThreads: tunedParts, PartSize: tunedPart})
