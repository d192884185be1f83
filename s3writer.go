// Package s3writer delivers tables into Amazon S3: CSV from files, streams and
// databases, through a chain of processors, into a bucket that is often
// somebody else's, with no more rights than s3:PutObject and
// s3:GetBucketLocation. Objects are complete or invisible, and memory does not
// grow with the data.
//
//	w, err := s3writer.New(ctx, "writer-sample",
//		s3writer.WithCredentials(s3writer.AssumeRole{
//			AccountID: "123456789012", RoleName: "s3-writer", ExternalID: "project-42"}),
//		s3writer.WithPrefix("exports/"),
//	)
//	...
//	report, err := w.Write(ctx,
//		s3writer.NewTable("orders.csv", file, s3writer.Select("id", "amount"), s3writer.Gzip()),
//		s3writer.NewTable("users.csv", s3writer.Rows(rows)),
//	)
//
// A table is read once and written once, however many steps there are:
//
//	            Table                                                          Writer
//	┌─────────────────────────────────────────────────────────────────┐ ┌──────────────────┐
//	Source            records, in batches              bytes, per object   parts      objects
//	io.Reader ─pull─▶ decode ─▶ Select ─▶ Filter ─▶ … ───▶ encode ─▶ Gzip ─▶ ▢▢▢ ─▶ orders.csv.gz
//	(ReaderFunc)                                                  (WriterFunc)
//
// # Credentials
//
// [StaticCredentials] are a customer's keys. [AssumeRole] assumes a role that
// the customer created for us, with an external ID, and is refreshed while a
// long upload runs. Without [WithCredentials] the SDK's default chain decides.
// Nothing secret is ever printed, logged or put into an error.
//
// # Sources
//
// Any io.Reader is a source of CSV bytes. [File], [SourceFunc], [Rows],
// [Records] and [Values] open themselves when their table's turn comes and are
// closed at every ending. [CSV] describes dialects. A chain without a step on
// records copies bytes as they are; without any step, files are read at
// offsets: see [Table].
//
// # Processors
//
// On the source: [Decompress], [FromCharset], [ReaderFunc]. On records:
// [Select], [Drop], [Rename], [Filter], [Derive], [Typed], [AddColumn],
// [RowNumber], [Hash], [Redact], [Trim], [Dedupe], [Limit], [RecordFunc]. Among
// objects: [PartitionBy], [SplitRows], [SplitSize]. At the end: [FormatCSV],
// [JSONLines], [EncoderFunc], [ToCharset], [Gzip], [GzipLevel], [Zstd],
// [WriterFunc]. [Chain], [Named] and [Concurrent] combine them. Built-in steps
// use all cores; functions are called in row order, one call at a time within
// one table.
//
// # Errors
//
// Every failure of a table is an [*Error] that says where: table, step, row,
// column, object. Write goes on with the other tables and joins the errors, unless
// two of the tables have one key: then none is begun. Use
// errors.As for the first, errors.Is for the kinds, such as [ErrAccessDenied],
// and the [Report] for each table. The complaints of [New], about options, and
// [ErrNothingToWrite] are of no table.
//
// Until an object is committed, nothing of it is visible, whatever happens:
// a failure, a cancelled context, a killed process. Committing is a single
// request per object, and a table of several objects commits none before all
// are complete; one that then fails makes the table's error
// [ErrPartialCommit], and what is left is in the report's Pending, for
// [Writer.Commit] or [Writer.Abort]. A failure before leaves nothing but, at
// worst, an invisible multipart upload, which the report lists as an [Orphan] if
// it could not be aborted.
//
// What may be better next time is sent again, up to ten times, after random pauses
// that grow to five seconds, and for at least a minute while the server asks to
// slow down. A Retry-After is respected, up to five minutes. A request
// without progress for a minute is sent anew on another connection.
//
// [Writer.Stage] stops before the commit, so that many processes can upload and
// one place makes it all visible.
//
// # Memory and concurrency
//
// A [Writer] is safe for concurrent use and shares one budget, [WithMemory],
// among all tables it is writing. Tables start in the order given, as many at
// once as the budget lets make progress, and at most 384 unless
// [WithConcurrency] is more: a table must not wait for what a later one
// provides. Parts are sent while the source is read. The Writers of many
// customers share one budget, the requests and the connections by a [Pool].
//
// # Compatibility
//
// Before version 1 the API may change; CHANGELOG.md says where and why. An
// object's bytes are the same on every machine and in every run for one
// version of the library, not from version to version.
package s3writer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/seed149ec23d/s3writer/internal/chain"
	"github.com/seed149ec23d/s3writer/internal/upload"
)

// Writer delivers tables into one bucket. It is safe for concurrent use;
// between calls it owns nothing but idle connections.
type Writer struct {
	bucket string
	opts   *options
	conn   *connection // nil for a dry run

	connecting chan struct{} // of capacity 1: a lock that a context can stop waiting for
	engine     *upload.Engine

	progress sync.Mutex // one call of the progress function at a time
}

// New returns a Writer into bucket: its name, its alias, or an access point's
// ARN. It checks all options and names every complaint; it uses no network,
// though the SDK's default chain may read files.
func New(ctx context.Context, bucket string, opts ...Option) (*Writer, error) {
	o := newOptions(opts)
	if err := o.validate(bucket); err != nil {
		return nil, fmt.Errorf("s3writer: %w", err)
	}
	w := &Writer{bucket: bucket, opts: o, connecting: make(chan struct{}, 1)}
	if o.dryRun {
		o.suit(o.server())
		return w, nil
	}
	conn, err := o.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("s3writer: %w", err)
	}
	o.suit(conn.profile)
	w.conn = conn
	return w, nil
}

// CloseIdleConnections closes the connections that no request is using. They
// close by themselves a few seconds after the last request. With [WithPool]
// these are the connections of all Writers of the pool.
func (w *Writer) CloseIdleConnections() {
	if w.conn != nil && w.conn.idle != nil {
		w.conn.idle.CloseIdleConnections()
	}
}

// Write delivers tables, several at once, and reports on each. It goes on with
// the other tables when one fails, and joins their errors; with
// [WithAllOrNothing] the first failure ends them all. The report is never nil.
//
// When Write returns, every object is committed, or nothing of it is visible;
// if neither is certain, the error is an [ErrCommitUnknown]. Where some objects
// of what belongs together are visible, what is not is in the report's Pending.
//
// A cancelled context ends Write within a quarter of a second, or a few of the
// server's answer times if it is far away, wherever the source, a step's function
// or the server stands still; a function that does not return keeps its
// goroutine, and nothing else. Only that of [WithProgress] is waited for. Commits that have begun are
// finished, for at most two minutes.
func (w *Writer) Write(ctx context.Context, tables ...Table) (*Report, error) {
	start := time.Now()
	report := &Report{}
	ctx, stop := upload.Ending(ctx)
	defer stop()
	err := w.write(ctx, tables, report)
	report.Duration = time.Since(start)
	return report, err
}

func (w *Writer) write(ctx context.Context, tables []Table, report *Report) error {
	ds, err := w.prepare(ctx, tables)
	if err != nil {
		return err
	}
	w.deliver(ctx, ds, func(ctx context.Context, ds ...*delivery) { commitAll(ctx, false, ds...) })
	w.gather(report, ds)
	return joined(ds)
}

// prepare checks the tables' form, each for itself and against the others; what
// is wrong is in their reports.
func (w *Writer) prepare(ctx context.Context, tables []Table) ([]*delivery, error) {
	if len(tables) == 0 {
		return nil, fmt.Errorf("s3writer: %w", ErrNothingToWrite)
	}
	ds := make([]*delivery, len(tables))
	for i := range tables {
		ds[i] = w.plan(i+1, tables[i])
		ds[i].caller = ctx
	}
	distinctSources(ds)
	distinctKeys(ds)
	return ds, nil
}

// gather makes the report of tables that have ended.
func (w *Writer) gather(report *Report, ds []*delivery) {
	left := false
	for _, d := range ds {
		report.Tables = append(report.Tables, d.report)
		report.Orphans = append(report.Orphans, d.orphans...)
		left = left || slices.ContainsFunc(d.objects, (*object).unsettled)
	}
	report.Warnings = warnings(ds)
	if left {
		report.Pending = w.staged(ds, true)
	}
}

// distinctSources fails the tables that share a source: the first to read it
// would leave nothing for the others.
func distinctSources(ds []*delivery) {
	first := map[any]int{}
	for i, d := range ds {
		source := d.table.once()
		if source == nil {
			continue
		}
		j, seen := first[source]
		if !seen {
			first[source] = i
			continue
		}
		err := fmt.Errorf("tables %d (%q) and %d (%q) of this Write have the same source, which can be read only once",
			j+1, ds[j].report.Key, i+1, d.report.Key)
		for _, d := range []*delivery{ds[j], d} {
			d.report.Err = errors.Join(d.report.Err, d.error(err))
		}
	}
}

// distinctKeys fails all tables if two of them can make one object: which of the
// two is meant nobody can tell.
func distinctKeys(ds []*delivery) {
	first := map[string]int{}
	var several []int // tables of more than one object
	var twice *siblingError
	clash := func(j, i int, what string) {
		d := ds[i]
		d.report.Err = errors.Join(d.report.Err, d.objectError(d.keys.first(),
			fmt.Errorf("tables %d (%q) and %d (%q) of this Write %s; nothing was written",
				j+1, ds[j].report.Key, i+1, d.report.Key, what)))
		twice = &siblingError{d, fmt.Sprintf("two tables of the same Write %s, %q", what, d.keys.first())}
	}
	for i, d := range ds {
		if d.keys == (keys{}) {
			continue
		}
		key := d.keys.first()
		if j, seen := first[key]; seen {
			clash(j, i, "make the same object")
			continue
		}
		first[key] = i
		for _, j := range several {
			if what := d.keys.clash(ds[j].keys); what != "" {
				clash(j, i, what)
			}
		}
		if !d.keys.divided {
			continue
		}
		for j := range i {
			if !ds[j].keys.divided && ds[j].keys != (keys{}) {
				if what := ds[j].keys.clash(d.keys); what != "" {
					clash(j, i, what)
				}
			}
		}
		several = append(several, i)
	}
	for _, d := range ds {
		if twice != nil && d.report.Err == nil {
			d.report.Err = d.error(twice)
		}
	}
}

// deliver runs the tables, each as soon as there is memory for it. end decides
// what becomes of their objects: of each table's own, or of all at once where
// they stand or fall together.
func (w *Writer) deliver(ctx context.Context, ds []*delivery, end func(context.Context, ...*delivery)) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if bad := culprit(ds); bad != nil && w.opts.allOrNothing {
		stop(failedSibling(bad))
	}
	ended := func(ctx context.Context, d *delivery) {
		switch {
		case !w.opts.allOrNothing:
			end(ctx, d)
		case d.report.Err != nil:
			stop(failedSibling(d))
		}
	}
	if w.opts.spill != "" {
		chain.RemoveSpills(w.opts.spill) // rows of customers: whether this Write needs the folder or not
	}
	engine, err := w.engineFor(ctx, ds)
	tables := newCrew(max(mostTables, w.opts.concurrency))
	for _, d := range ds {
		tables.await()
		if !d.admit(ctx, engine, err) {
			tables.do(func() { ended(ctx, d) })
			continue
		}
		ctx := d.start(ctx)
		tables.do(func() {
			d.run(ctx)
			ended(ctx, d)
		})
	}
	tables.end()
	if w.opts.allOrNothing {
		end(ctx, ds...)
	}
}

// engineFor returns the engine, nil if there is no table left to run.
func (w *Writer) engineFor(ctx context.Context, ds []*delivery) (*upload.Engine, error) {
	if !slices.ContainsFunc(ds, func(d *delivery) bool { return d.report.Err == nil }) {
		return nil, nil
	}
	return w.connected(ctx)
}

// connected returns the engine. The first call finds out where the bucket is;
// others wait for it, but no longer than their context lasts.
func (w *Writer) connected(ctx context.Context) (*upload.Engine, error) {
	if ctx.Err() != nil {
		return nil, chain.Cause(ctx)
	}
	select {
	case w.connecting <- struct{}{}:
		defer func() { <-w.connecting }()
	case <-ctx.Done():
		return nil, chain.Cause(ctx)
	}
	if w.engine != nil {
		return w.engine, nil
	}
	cfg := upload.Config{
		Bucket: w.bucket, Owner: w.opts.bucketOwner, Profile: w.opts.profile, Endpoint: !w.opts.profile.AWS,
		Memory: w.opts.memory, PartSize: w.opts.partSize, Concurrency: w.opts.concurrency,
		NoOverwrite: w.opts.noOverwrite, SignPayload: w.opts.signPayload,
		DryRun: w.opts.dryRun, Logger: w.opts.logger, Miniature: w.opts.miniature,
	}
	if w.opts.pool != nil {
		cfg.Shared = w.opts.pool.shared
	}
	if w.conn != nil {
		cfg.Client, cfg.Wire, cfg.Refresh = w.conn.client, w.conn.wire, w.conn.refresh
		if err := w.conn.locate(ctx, cfg); err != nil {
			return nil, err
		}
		cfg.Client, cfg.Region = w.conn.client, w.conn.region // the client is now one of the region
	}
	w.engine = upload.New(cfg)
	return w.engine, nil
}

// parallel is how many blocks of one table are worked on at once: all cores,
// as far as the budget goes.
func (w *Writer) parallel() int {
	return max(1, min(runtime.GOMAXPROCS(0), int(w.opts.memory>>24)))
}

// budget is what tables share.
func (w *Writer) budget() chain.Budget {
	return chain.Budget{Memory: w.opts.memory, Object: upload.Reserve(w.opts.partSize)}
}

// joined is the error of a Write.
func joined(ds []*delivery) error {
	var errs []error
	for _, d := range ds {
		if err := d.report.Err; err != nil && !isSibling(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
