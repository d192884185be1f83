package main

import (
	"context"
	"database/sql"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
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
	keyed  int                    // the input has one column more, of so many values, to partition by
	file   bool                   // the input is a file too
	size   func(base int64) int64 // of one table, from -size
	tables int                    // at once
	once   bool                   // it takes minutes, and its figure is one of memory
	work   work
	goals  []goal

	contestants []contestant // ours first, then the rival that counts
}

// work tells what must arrive.
type work string

const (
	workCopy   work = "copy"   // what was read
	workSelect work = "select" // the rows and columns asked for, the same bytes from every contestant
	workGzip   work = "gzip"   // the same, compressed as each one does
	workRename work = "rename" // the rows and columns asked for, under other names, the same bytes from every contestant
	workScan   work = "scan"   // nothing: the lengths of all fields are summed
	workJSON   work = "json"   // all rows as JSON Lines

	// In files, quoted as each one does:
	workRows      work = "rows"      // the rows and columns asked for
	workPartition work = "partition" // all rows, each in the folder of its key

	workSpill work = "spill" // all rows, in a compressed object of each key

	workOwn work = "own" // all rows, in whatever form each contestant gives them
)

type contestant struct {
	name    string
	ours    bool
	tuned   bool   // not at its defaults: no goal is measured against it, unless the goal says so
	bare    bool   // no rival, but the ceiling: it does less than what is asked for
	foreign bool   // its memory is not on this process's Go heap
	command string // that must be installed; "" if none
	procs   int    // GOMAXPROCS if not the comparison's
	times   int64  // as much input; 0 as 1
	pair    bool   // in two processes at once, each of which does all the work

	// prepare, if set, does what comes before the work and is not measured.
	prepare func(*site) error
	run     func(context.Context, *site) error
}

// missing tells why the contestant cannot take part.
func (c contestant) missing() error {
	if c.command == "" {
		return nil
	}
	_, err := exec.LookPath(c.command)
	return err
}

// procsOf returns a contestant's GOMAXPROCS.
func (c *comparison) procsOf(who contestant) int {
	if who.procs > 0 {
		return who.procs
	}
	return c.procs
}

// filed tells whether the input is wanted as a file.
func (c *comparison) filed() bool { return c.file || c.sink == sinkFiles }

// load returns the comparison's input from a dataset.
func (c *comparison) load(d dataset, dir string, size int64) (*input, error) {
	if c.keyed > 0 {
		d.key, d.values = partitionKey, c.keyed
	}
	return loadInput(d, dir, size)
}

// sinkKind is where the bytes go.
type sinkKind string

const (
	sinkDiscard sinkKind = "discard"     // nowhere: io.Discard, or a client that only drains
	sinkNull    sinkKind = "null S3"     // through the SDK into a RoundTripper that drains
	sinkFiles   sinkKind = "local files" // a folder; the input is a file too

	// Over loopback to a process that drains:
	sinkTLS     sinkKind = "null S3, TLS"
	sinkHTTP    sinkKind = "null S3, http"
	sinkDistant sinkKind = "distant S3"          // over TLS, with S3's latency and rate per connection
	sinkStorm   sinkKind = "distant S3, a storm" // that asks most requests to slow down, for a while
)

// remote tells whether the sink is in the server process.
func (k sinkKind) remote() bool {
	switch k {
	case sinkTLS, sinkHTTP, sinkDistant, sinkStorm:
		return true
	}
	return false
}

// site is where a contestant works: its input and the sink it delivers to.
type site struct {
	in       *input
	tables   int
	sink     sinkKind
	discard  *discard
	stub     *stubClient
	null     *nullS3
	endpoint endpoint
	folder   folder // of sinkFiles

	memory  *memory // of the bare loop
	remains *input  // what the chain makes of the input, of who asks for it in prepare
	duckDB  *sql.DB // of who opens it in prepare
}

// newSite returns a contestant's site. dir is an empty folder for sinkFiles.
func newSite(c *comparison, who contestant, in *input, e endpoint, dir string) *site {
	s := &site{in: in.times(who.times), tables: c.tables, sink: c.sink, discard: new(discard), stub: new(stubClient), null: new(nullS3), endpoint: e}
	if c.sink == sinkFiles {
		s.folder = folder(dir)
		s.stub.keep = s.folder.store
	}
	return s
}

// sent returns the bytes that arrived at a sink in this process, and the rows
// as far as they can be told: those in files.
func (s *site) sent() (size, rows int64, err error) {
	if s.sink == sinkFiles {
		return s.folder.count()
	}
	return s.discard.n.Load() + s.stub.received.Load() + s.null.received.Load(), 0, nil
}

// s3 returns the SDK's client for the site's sink, with the SDK's defaults.
func (s *site) s3() *s3.Client {
	if s.sink == sinkNull {
		return s.null.client()
	}
	return s.remoteS3(nil)
}

// remoteS3 returns the SDK's client for an endpoint; nil for its own transport.
func (s *site) remoteS3(client *http.Client, more ...func(*s3.Options)) *s3.Client {
	o := s3.Options{
		Region:       region,
		Credentials:  credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
		BaseEndpoint: aws.String(s.endpoint.URL),
		UsePathStyle: true,
	}
	if client != nil {
		o.HTTPClient = client
	}
	return s3.New(o, more...)
}

// manyConnections returns a client that keeps as many connections as our own
// Writer does.
func manyConnections() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.ForceAttemptHTTP2 = false
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, maxConnections
	return &http.Client{Transport: t}
}

const maxConnections = 64

func (e endpoint) host() string {
	u, err := url.Parse(e.URL)
	if err != nil {
		return e.URL
	}
	return u.Host
}

func (e endpoint) secure() bool { return strings.HasPrefix(e.URL, "https:") }

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
