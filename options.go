package s3writer

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed149ec23d/s3writer/internal/chain"
	"github.com/seed149ec23d/s3writer/internal/upload"
)

// Option changes a [Writer]. Without any, New makes a good one: the SDK's
// default credentials, the bucket's region found out, 256 MiB of memory. All
// options are checked together by New, without a network, and every complaint
// is named.
type Option func(*options)

// options is what the Options of a Writer say.
type options struct {
	credentials aws.CredentialsProvider
	region      string
	endpoint    string
	awsConfig   *aws.Config
	client      Client
	profile     upload.Profile // of the server

	prefix      string
	processors  []Processor
	objectInput []func(*s3.CreateMultipartUploadInput)

	memory      int64 // the pool's, if there is one
	pool        *Pool
	partSize    int64
	concurrency int
	signPayload *bool

	noOverwrite  bool
	bucketOwner  string
	allOrNothing bool
	dryRun       bool
	spill        string

	logger   *slog.Logger
	progress func(Progress)

	miniature int // of tests: parts and pauses are this many times smaller

	given      map[string]bool // options that were used
	complaints []error         // of options that could tell at once
}

const (
	defaultMemory = 256 << 20
	minMemory     = 16 << 20
	minPartSize   = 5 << 20
	maxPartSize   = 5 << 30
	maxRequests   = 4096
)

func newOptions(opts []Option) *options {
	o := &options{memory: defaultMemory, given: map[string]bool{}, logger: slog.New(slog.DiscardHandler)}
	for i, opt := range opts {
		if opt == nil {
			o.complaints = append(o.complaints, fmt.Errorf("option %d is nil", i+1))
			continue
		}
		opt(o)
	}
	if o.pool != nil {
		o.memory = o.pool.memory
	}
	return o
}

// set notes that an option was given.
func (o *options) set(name string) { o.given[name] = true }

// WithCredentials sets who delivers: [StaticCredentials], an [AssumeRole], or
// any provider of the AWS SDK. Default: the SDK's default chain (environment,
// shared files, container, instance). With credentials given, nothing ambient
// is loaded; empty ones are an error, never a fall-back. The Writer keeps what
// p provides until shortly before it expires.
func WithCredentials(p aws.CredentialsProvider) Option {
	return func(o *options) { o.set("WithCredentials"); o.credentials = p }
}

// WithRegion sets the bucket's region, such as "eu-central-1". Default: found
// out once per Writer, by GetBucketLocation or the answer to HeadBucket; with
// an endpoint that is not of AWS, us-east-1. AWS_REGION is not asked: it says where the program
// runs, not where the bucket is.
func WithRegion(region string) Option {
	return func(o *options) { o.set("WithRegion"); o.region = region }
}

// WithEndpoint sends requests to another server that speaks S3 (MinIO, Ceph,
// R2 …): a URL such as "https://minio.example.com:9000". The bucket goes into
// the path; "https://{bucket}.s3.example.com" puts it into the host instead.
// What large providers want is known by their host names: addressing, equal
// parts, payloads that are signed, no checksum headers. Any other server gets
// CRC-64/NVME headers until it rejects one, which the [Report] then says. Hosts
// of AWS itself (VPC, FIPS, dual-stack, accelerated) are treated as AWS.
func WithEndpoint(endpoint string) Option {
	return func(o *options) { o.set("WithEndpoint"); o.endpoint = endpoint }
}

// WithAWSConfig brings a configuration of your own, for what there is no
// option for: HTTP client, FIPS or dual-stack endpoints, middleware. The more
// specific options beat it. Its region counts as the bucket's. Where it has no
// credentials, and [WithCredentials] is not given, the SDK's default chain provides
// them, and nothing else; for unsigned requests it must have aws.AnonymousCredentials.
func WithAWSConfig(cfg aws.Config) Option {
	return func(o *options) { o.set("WithAWSConfig"); o.awsConfig = &cfg }
}

// WithClient brings a client of your own, such as an *s3.Client. It excludes
// [WithCredentials], [WithRegion], [WithEndpoint] and [WithAWSConfig]. Retries
// remain the Writer's: it asks the client for one attempt per call.
func WithClient(c Client) Option {
	return func(o *options) { o.set("WithClient"); o.client = c }
}

// WithPrefix puts every object below prefix. Prefix and key are joined with
// exactly one slash: it is a folder, whether it ends in a slash or not.
func WithPrefix(prefix string) Option {
	return func(o *options) { o.set("WithPrefix"); o.prefix = prefix }
}

// WithProcessors runs p after each table's own processors. Steps are numbered
// through. Given several times, the processors add up. [New] checks their form;
// a Write, that they fit behind each table's own.
func WithProcessors(p ...Processor) Option {
	return func(o *options) { o.set("WithProcessors"); o.processors = append(o.processors, p...) }
}

// WithObjectInput changes how every object is created: encryption, storage
// class, tags, ACL, metadata, Content-Type and so on (see CreateMultipartUpload
// in the S3 API; single puts get the same). f may be called by several
// goroutines at once. It may not set bucket, key or checksums. Tags need the
// permission s3:PutObjectTagging, ACLs s3:PutObjectAcl, SSE-KMS
// kms:GenerateDataKey and kms:Decrypt. Given several times, all are called.
func WithObjectInput(f func(*s3.CreateMultipartUploadInput)) Option {
	return func(o *options) {
		o.set("WithObjectInput")
		if f == nil {
			o.complaints = append(o.complaints, errors.New("WithObjectInput: the function is nil"))
			return
		}
		o.objectInput = append(o.objectInput, f)
	}
}

// WithMemory bounds the memory for all tables of the Writer together: parts
// that wait or are sent, batches of records, codecs. Default 256 MiB, at least
// 16 MiB. Objects of unknown length can reach 3,000 times the budget, because
// parts grow up to half of it; partitions that are open at the same time share
// that reach. What callbacks keep is their own; so is the buffer, of at most 256
// KiB, of a Read that does not return when its Write is cancelled. On Linux the
// bodies stand beside Go's heap, in pages that [runtime/debug.SetMemoryLimit] does not know of:
// such a limit (GOMEMLIMIT) is best set to what the program may take less this budget.
// The system's buffers of connections are beside it too: on Linux, of those that the Writer makes,
// some 100 KiB for each, beyond what is on its way; else as much as the system gives them.
// [WithPool] is for several Writers.
func WithMemory(bytes int64) Option {
	return func(o *options) { o.set("WithMemory"); o.memory = bytes }
}

// WithPayloadSigning says whether bodies are signed (SHA-256, about 1.8 GB/s
// per core) or only their checksum header is. Default: signed over http; not
// signed over https, where TLS and the signed CRC-64/NVME protect them, unless
// the server takes no such checksum or is known to insist on signed payloads.
func WithPayloadSigning(signed bool) Option {
	return func(o *options) { o.set("WithPayloadSigning"); o.signPayload = &signed }
}

// WithPartSize sends parts of exactly this many bytes, all but the last, as
// some servers (Cloudflare R2) want: 5 MiB to 5 GiB, at most half the memory.
// Objects are then limited to 10,000 parts. Default: 8 MiB, growing with the
// object; with an endpoint of R2 16 MiB, or a quarter of a memory under 64 MiB.
func WithPartSize(bytes int64) Option {
	return func(o *options) { o.set("WithPartSize"); o.partSize = bytes }
}

// WithConcurrency bounds the requests in flight, 1 to 4096. Default: as many
// as the server takes, found out by trying, and at most 384. Up to 8 that
// remove what a delivery has left may be beyond it, and wait for nobody's parts.
func WithConcurrency(requests int) Option {
	return func(o *options) { o.set("WithConcurrency"); o.concurrency = requests }
}

// WithNoOverwrite makes an object that exists an error, [ErrExists], and never
// replaces it (If-None-Match: * on PutObject and CompleteMultipartUpload). Where
// the answer to a commit was lost and the next one says that the object exists,
// an upload that is still open tells that it is somebody else's; else it is
// [ErrCommitUnknown], unless a HeadObject, if that is allowed, finds these very
// bytes, sent since then.
func WithNoOverwrite() Option {
	return func(o *options) { o.set("WithNoOverwrite"); o.noOverwrite = true }
}

// WithBucketOwner makes every request fail unless the account (12 digits) owns
// the bucket: a bucket name that was given up can belong to a stranger.
func WithBucketOwner(accountID string) Option {
	return func(o *options) { o.set("WithBucketOwner"); o.bucketOwner = accountID }
}

// WithAllOrNothing makes no table of a Write visible unless all of them are
// delivered whole. Objects then appear one by one, within moments: S3 has no
// transaction over keys.
func WithAllOrNothing() Option {
	return func(o *options) { o.set("WithAllOrNothing"); o.allOrNothing = true }
}

// WithSpill lets the rows of [PartitionBy] wait in a file in dir when their share
// of the memory is full, instead of making more objects: each combination of
// values gets one object, however unsorted the table is, unless [SplitRows] or
// [SplitSize] ask for more. The file grows to the size of the table before
// compression; it has no name where the system allows that, and is gone when
// the table ends, or the process. What a process that was killed has left with a
// name goes when the next Write begins. Default: no file.
func WithSpill(dir string) Option {
	return func(o *options) { o.set("WithSpill"); o.spill = dir }
}

// WithDryRun runs the chains and reports the objects they make, but sends
// nothing and asks no server. Credentials are not used.
func WithDryRun() Option {
	return func(o *options) { o.set("WithDryRun"); o.dryRun = true }
}

// WithLogger sets where the Writer logs: retries, warnings about keys, slow
// downs. Default: nowhere. Secrets are never logged.
func WithLogger(l *slog.Logger) Option {
	return func(o *options) {
		o.set("WithLogger")
		if l == nil {
			o.complaints = append(o.complaints, errors.New("WithLogger: the logger is nil"))
			return
		}
		o.logger = l
	}
}

// WithProgress calls f as tables advance: at most ten times a second per
// table, and once at its end with Done set. One call at a time per Writer; f
// should return soon: tables wait for it, and a Write does not end before it
// has returned.
func WithProgress(f func(Progress)) Option {
	return func(o *options) {
		o.set("WithProgress")
		if f == nil {
			o.complaints = append(o.complaints, errors.New("WithProgress: the function is nil"))
			return
		}
		o.progress = f
	}
}

// validate returns every complaint about the options, joined.
func (o *options) validate(bucket string) error {
	errs := o.complaints
	complain := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	complain(checkBucket(bucket, o.elsewhere()))
	errs = append(errs, o.checkIdentity()...)
	if o.given["WithRegion"] && !regionForm.MatchString(o.region) {
		complain(fmt.Errorf("WithRegion: %q is not a region; one looks like %q", o.region, "eu-central-1"))
	}
	if o.given["WithEndpoint"] {
		complain(checkEndpoint(o.endpoint))
	}
	if o.given["WithBucketOwner"] && !accountForm.MatchString(o.bucketOwner) {
		complain(fmt.Errorf("WithBucketOwner: %q is not an account ID of 12 digits", o.bucketOwner))
	}
	if strings.Trim(o.prefix, "/") != "" {
		if err := checkKey(strings.TrimRight(o.prefix, "/")); err != nil {
			complain(fmt.Errorf("WithPrefix: %w", err))
		}
	}
	if o.given["WithSpill"] {
		if info, err := os.Stat(o.spill); err != nil {
			complain(fmt.Errorf("WithSpill: %w", err))
		} else if !info.IsDir() {
			complain(fmt.Errorf("WithSpill: %q is not a folder", o.spill))
		}
	}
	errs = append(errs, o.checkProcessors()...)
	errs = append(errs, o.checkSizes()...)
	return errors.Join(errs...)
}

// elsewhere tells whether the bucket may be on a server that is not AWS.
func (o *options) elsewhere() bool {
	return o.endpoint != "" || o.client != nil || o.awsConfig != nil && o.awsConfig.BaseEndpoint != nil
}

// checkProcessors checks the form of the Writer's own chain: no table's
// processors before it can make it right.
func (o *options) checkProcessors() (errs []error) {
	_, formErrs := chain.Compile(Chain(o.processors...).steps)
	for _, err := range formErrs {
		errs = append(errs, fmt.Errorf("WithProcessors: %w", err))
	}
	return errs
}

// checkIdentity checks who sends where from.
func (o *options) checkIdentity() (errs []error) {
	if o.given["WithClient"] {
		if v := reflect.ValueOf(o.client); o.client == nil || v.Kind() == reflect.Pointer && v.IsNil() {
			errs = append(errs, errors.New("WithClient: the client is nil"))
		}
		for _, name := range []string{"WithCredentials", "WithRegion", "WithEndpoint", "WithAWSConfig"} {
			if o.given[name] {
				errs = append(errs, fmt.Errorf("%s: the client of WithClient brings its own; leave one of the two out", name))
			}
		}
	}
	if !o.given["WithCredentials"] {
		return errs
	}
	if o.credentials == nil {
		return append(errs, errors.New("WithCredentials: the provider is nil"))
	}
	for _, err := range checkCredentials(o.credentials) {
		errs = append(errs, fmt.Errorf("WithCredentials: %w", err))
	}
	return errs
}

func (o *options) checkSizes() (errs []error) {
	if o.pool != nil {
		errs = append(errs, o.pool.check()...)
		if o.given["WithMemory"] {
			errs = append(errs, errors.New("WithMemory: the Pool of WithPool brings its own; leave one of the two out"))
		}
	} else if o.memory < minMemory {
		errs = append(errs, fmt.Errorf("WithMemory: %d bytes; at least %d (16 MiB) are needed", o.memory, minMemory))
	}
	if o.given["WithPartSize"] {
		switch {
		case o.partSize < minPartSize || o.partSize > maxPartSize:
			errs = append(errs, fmt.Errorf("WithPartSize: %d bytes; S3 takes parts of 5 MiB to 5 GiB", o.partSize))
		case o.partSize > o.memory/2:
			setting := "WithMemory"
			if o.pool != nil {
				setting = "the memory of NewPool"
			}
			errs = append(errs, fmt.Errorf("WithPartSize: %d bytes is more than half of the memory, which is %d; raise %s", o.partSize, o.memory, setting))
		}
	}
	if o.given["WithConcurrency"] && (o.concurrency < 1 || o.concurrency > maxRequests) {
		errs = append(errs, fmt.Errorf("WithConcurrency: %d requests; 1 to %d are possible", o.concurrency, maxRequests))
	}
	return errs
}

var (
	regionForm = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	bucketForm = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	// Servers of other makes keep names that AWS stopped allowing in 2018.
	looseBucketForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$`)
	accessPointForm = regexp.MustCompile(`^arn:(aws|aws-cn|aws-us-gov):s3:([a-z0-9-]+):([0-9]{12}):accesspoint[/:][a-z0-9-]{3,50}$`)
)

// checkBucket says what is wrong with a bucket's name, as far as it can be told
// from its form (S3 user guide, "Bucket naming rules").
func checkBucket(bucket string, loose bool) error {
	shown := redactURL(bucket) // it may be a URL with a password
	switch {
	case bucket == "":
		return errors.New("the bucket's name is empty")
	case strings.Contains(bucket, "://"):
		scheme, name, _ := strings.Cut(shown, "://")
		name, _, _ = strings.Cut(strings.TrimPrefix(name, "redacted@"), "/")
		if !strings.HasPrefix(scheme, "s3") { // the host is not the name
			return fmt.Errorf("bucket %q is a URL; give the bucket's name alone (a path goes into WithPrefix)", shown)
		}
		return fmt.Errorf("bucket %q is a URL; give the bucket's name alone: %q (the rest of the path goes into WithPrefix)", shown, name)
	case strings.HasSuffix(bucket, ".mrap"): // an ARN or an alias
		return fmt.Errorf("bucket %q is a multi-region access point, which is not supported yet", bucket)
	case strings.HasPrefix(bucket, "arn:") && strings.Contains(bucket, ":s3express:"):
		return fmt.Errorf("bucket %q is of S3 Express, which is not supported yet", bucket)
	case strings.HasPrefix(bucket, "arn:"):
		if !accessPointForm.MatchString(bucket) {
			return fmt.Errorf("bucket %q is not the ARN of an access point; for a bucket give its name alone", bucket)
		}
		return nil
	case strings.HasSuffix(bucket, "--x-s3"):
		return fmt.Errorf("bucket %q is an S3 Express directory bucket, which is not supported yet", bucket)
	case strings.HasSuffix(bucket, "--xa-s3"):
		return fmt.Errorf("bucket %q is an access point of an S3 Express directory bucket, which is not supported yet", bucket)
	case strings.ContainsAny(bucket, "/"):
		name, _, _ := strings.Cut(shown, "/")
		return fmt.Errorf("bucket %q has a path; give the bucket's name alone: %q (the rest goes into WithPrefix)", shown, name)
	case loose && looseBucketForm.MatchString(bucket):
		return nil
	}
	if _, err := netip.ParseAddr(bucket); err == nil || !bucketForm.MatchString(bucket) || strings.Contains(bucket, "..") {
		return fmt.Errorf("bucket %q: names have 3 to 63 lower-case letters, digits, dots and hyphens, and are no IP address", shown)
	}
	return nil
}

// hasPort tells whether the port of a URL is one, if it has any.
func hasPort(u *url.URL) bool {
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return u.Port() == "" || err == nil && n > 0
}

// bucketHost is how an endpoint asks for virtual-host addressing.
const bucketHost = "{bucket}."

func checkEndpoint(endpoint string) error {
	u, err := url.Parse(strings.Replace(endpoint, "://"+bucketHost, "://", 1))
	switch {
	case err != nil:
		return fmt.Errorf("WithEndpoint: %q is not a URL", redactURL(endpoint))
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("WithEndpoint: %q; a URL such as %q is needed", redactURL(endpoint), "https://minio.example.com:9000")
	case !hasPort(u):
		return fmt.Errorf("WithEndpoint: %q; a port is 1 to 65535", redactURL(endpoint))
	case u.User != nil:
		return errors.New("WithEndpoint: the URL has a user name in it; keys go into WithCredentials")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("WithEndpoint: %q; only scheme, host and port belong there", redactURL(endpoint))
	}
	return nil
}
