// Quickstart delivers CSV tables into a bucket, reads the objects back and
// shows what arrived.
//
//	go run ./quickstart                                a sample, into an S3 server of its own
//	go run ./quickstart orders.csv users.csv           your files, into the same
//	go run ./quickstart -bucket NAME orders.csv        your files, into your bucket, with the AWS credentials you have
//
// The sample passes a chain made for it (sample.go); files get one that works
// for any CSV: decompress, -select, number the rows, compress.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/seed149ec23d/s3writer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "interrupted: nothing is visible but what is listed as committed")
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var c command
	if err := c.parse(args, stderr); err != nil {
		return err
	}
	tables, err := c.tables()
	if err != nil {
		return err
	}
	t := c.target()
	defer t.close()

	bars := newBars(stderr, tables)
	w, err := s3writer.New(ctx, t.bucket, append(t.options,
		s3writer.WithPrefix(c.prefix),
		s3writer.WithProgress(bars.show),
	)...)
	if err != nil {
		return err
	}
	describe(stdout, t, c.prefix, tables)
	report, err := w.Write(ctx, s3writerTables(tables)...)
	bars.wait()
	if err != nil {
		listCommitted(stdout, report)
		return c.advise(err)
	}
	summarize(stdout, report)
	return readBack(ctx, stdout, t, report)
}

// command is what the command line says.
type command struct {
	bucket, endpoint, region, prefix string
	role, externalID                 string
	size                             byteSize
	columns                          columnList
	comma                            comma
	files                            []string
}

func (c *command) parse(args []string, stderr io.Writer) error {
	c.size = 256 << 20
	f := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	f.SetOutput(io.Discard) // main prints the error
	f.StringVar(&c.bucket, "bucket", "", "deliver into this `bucket`, with the AWS SDK's default credentials; default: an S3 server in this process")
	f.StringVar(&c.endpoint, "endpoint", "", "the bucket is at this `URL` and not at AWS (MinIO, Ceph, R2 ...)")
	f.StringVar(&c.region, "region", "", "the bucket's `region`; default: looked up")
	f.StringVar(&c.prefix, "prefix", "quickstart", "put the objects below this `prefix`")
	f.StringVar(&c.role, "role", "", "assume the role of this `ARN`")
	f.StringVar(&c.externalID, "external-id", "", "the `ID` that the role's trust policy asks for")
	f.Var(&c.size, "size", "make a sample of this many `bytes`, such as 64MiB or 2GB, if no files are named")
	f.Var(&c.columns, "select", "keep these `columns` of the files, as in id,amount")
	f.Var(&c.comma, "comma", "the files' field delimiter, one `byte`; default: a comma, a tab in .tsv")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			usage(f, stderr)
		}
		return err
	}
	c.files = f.Args()
	switch {
	case c.bucket == "" && (c.endpoint != "" || c.region != "" || c.role != ""):
		return errors.New("-endpoint, -region and -role say how to reach a bucket: name it with -bucket")
	case c.role == "" && c.externalID != "":
		return errors.New("-external-id belongs to a role: name it with -role")
	case len(c.files) == 0 && (c.columns != nil || c.comma != 0):
		return errors.New("-select and -comma are for files: name some")
	}
	return nil
}

func usage(f *flag.FlagSet, w io.Writer) {
	fmt.Fprint(w, "usage: quickstart [flags] [file.csv ...]\n\n"+
		"Delivers CSV files, or a sample, into a bucket and shows what arrived.\n\n")
	f.SetOutput(w)
	f.PrintDefaults()
}

func describe(w io.Writer, t *target, prefix string, tables []table) {
	fmt.Fprintf(w, "%s\n\n", t.where)
	for _, t := range tables {
		fmt.Fprintf(w, "%s: %s from %s\n", t.Key, byteSize(t.size), t.origin)
		for i, p := range t.Processors {
			fmt.Fprintf(w, "  %d %v\n", i+1, p)
		}
	}
	fmt.Fprintln(w)
}

func summarize(w io.Writer, report *s3writer.Report) {
	var read, rows, stored int64
	for _, t := range report.Tables {
		read += t.BytesRead
		rows += t.RowsRead
		for _, o := range t.Objects {
			stored += o.Size
		}
	}
	rate := float64(read) / 1e6 / report.Duration.Seconds()
	fmt.Fprintf(w, "delivered %s, %d rows, in %v: %.0f MB/s; %s stored\n\n",
		byteSize(read), rows, report.Duration.Round(time.Millisecond), rate, byteSize(stored))
}

// advise says what a stranger can do about the commonest refusal.
func (c *command) advise(err error) error {
	if c.role == "" && errors.Is(err, s3writer.ErrCredentials) {
		return fmt.Errorf("%w\nset AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or assume a role with -role", err)
	}
	return err
}

// listCommitted shows what arrived although something failed.
func listCommitted(w io.Writer, report *s3writer.Report) {
	for _, t := range report.Tables {
		for _, o := range t.Objects {
			if o.State == s3writer.Committed {
				fmt.Fprintf(w, "committed: %s, %s\n", o.Key, byteSize(o.Size))
			}
		}
	}
	for _, o := range report.Orphans {
		fmt.Fprintf(w, "left behind: upload %s of %s: %v\n", o.UploadID, o.Key, o.Err)
	}
}
