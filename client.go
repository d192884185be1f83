package s3writer

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"github.com/seed149ec23d/s3writer/internal/upload"
)

// Client is what a [Writer] calls of S3; *s3.Client is one. Most users do not
// need it. Its methods are called by several goroutines at once. If it has a
// HeadObject too, a commit whose answer was lost can be looked for.
type Client interface {
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	CreateMultipartUpload(context.Context, *s3.CreateMultipartUploadInput, ...func(*s3.Options)) (*s3.CreateMultipartUploadOutput, error)
	UploadPart(context.Context, *s3.UploadPartInput, ...func(*s3.Options)) (*s3.UploadPartOutput, error)
	CompleteMultipartUpload(context.Context, *s3.CompleteMultipartUploadInput, ...func(*s3.Options)) (*s3.CompleteMultipartUploadOutput, error)
	AbortMultipartUpload(context.Context, *s3.AbortMultipartUploadInput, ...func(*s3.Options)) (*s3.AbortMultipartUploadOutput, error)
	GetBucketLocation(context.Context, *s3.GetBucketLocationInput, ...func(*s3.Options)) (*s3.GetBucketLocationOutput, error)
	HeadBucket(context.Context, *s3.HeadBucketInput, ...func(*s3.Options)) (*s3.HeadBucketOutput, error)
}

// connection is how a Writer reaches its bucket.
type connection struct {
	client   Client
	endpoint string         // a server's that is not AWS; "": AWS
	profile  upload.Profile // of the server
	region   string         // "" until it is found out
	wire     *upload.Wire   // what client sends with; nil: somebody else's, who may have changed how
	refresh  func()         // drops credentials that a server called expired; may be nil
	idle     *http.Client   // ours or the pool's, to close idle connections; nil: somebody else's
}

// connect makes the client that the options describe. It does no I/O on a
// network; the default chain may read files.
func (o *options) connect(ctx context.Context) (*connection, error) {
	if o.client != nil {
		return o.ownClient(), nil
	}
	cfg, err := o.config(ctx)
	if err != nil {
		return nil, err
	}
	c := &connection{region: o.region}
	if c.region == "" && o.awsConfig != nil {
		c.region = cfg.Region
	}
	if o.awsConfig == nil || cfg.HTTPClient == nil {
		cfg.HTTPClient = c.transport(o, cfg.HTTPClient)
	}
	cfg.Region = c.region
	if cfg.Logger == nil {
		cfg.Logger = o.sdkLogger()
	}
	if cfg.Credentials != nil {
		cache := cached(cfg.Credentials)
		cfg.Credentials = keyed{cache, o.ambient()}
		c.refresh = cache.Invalidate
	}
	c.client = s3.NewFromConfig(cfg, func(so *s3.Options) { o.address(so, c) })
	if o.awsConfig == nil && cfg.Credentials != nil {
		c.wire = &upload.Wire{HTTP: cfg.HTTPClient, Credentials: cfg.Credentials}
	}
	return c, nil
}

// ownClient takes a client as it is.
func (o *options) ownClient() *connection {
	c := &connection{client: o.client, region: "us-east-1", profile: profileOf(nil)}
	if own, ok := o.client.(interface{ Options() s3.Options }); ok {
		so := own.Options()
		c.region = so.Region
		c.serverAt(so.BaseEndpoint)
		if cache, ok := so.Credentials.(*aws.CredentialsCache); ok {
			c.refresh = cache.Invalidate
		}
	}
	return c
}

// ambient tells whether nobody brought credentials.
func (o *options) ambient() bool {
	return o.credentials == nil && (o.awsConfig == nil || o.awsConfig.Credentials == nil)
}

// config is the configuration of the SDK. The ambient one is loaded only where
// nobody brought credentials, and beside one that was brought it has only those:
// without any the SDK would not sign.
func (o *options) config(ctx context.Context) (aws.Config, error) {
	var cfg aws.Config
	if o.awsConfig != nil {
		cfg = o.awsConfig.Copy()
	}
	if o.credentials != nil {
		cfg.Credentials = o.credentials
	}
	if cfg.Credentials != nil {
		return cfg, nil
	}
	ambient, err := config.LoadDefaultConfig(ctx, config.WithLogger(o.sdkLogger()))
	if err != nil {
		return cfg, fmt.Errorf("%w: loading the SDK's default configuration: %w", ErrCredentials, err)
	}
	if o.awsConfig == nil {
		return ambient, nil
	}
	cfg.Credentials = ambient.Credentials
	return cfg, nil
}

// sdkLogger passes the SDK's own warnings on; its default is standard error.
func (o *options) sdkLogger() logging.Logger {
	return logging.LoggerFunc(func(class logging.Classification, format string, v ...any) {
		level := slog.LevelDebug
		if class == logging.Warn {
			level = slog.LevelWarn
		}
		o.logger.Log(context.Background(), level, "AWS SDK: "+fmt.Sprintf(format, v...))
	})
}

// transport makes the HTTP client, or takes the pool's, with the certificate authorities of the
// ambient one (AWS_CA_BUNDLE).
func (c *connection) transport(o *options, ambient aws.HTTPClient) *http.Client {
	var roots *x509.CertPool
	if b, ok := ambient.(*awshttp.BuildableClient); ok {
		if tls := b.GetTransport().TLSClientConfig; tls != nil {
			roots = tls.RootCAs
		}
	}
	if o.pool != nil {
		c.idle = o.pool.shared.HTTPClient(roots)
	} else {
		own := upload.Transport(o.concurrency)
		own.TLSClientConfig.RootCAs = roots
		c.idle = upload.HTTPClient(own)
	}
	return c.idle
}

// profileOf is what is known of the server at an endpoint; nil is AWS.
func profileOf(endpoint *string) upload.Profile {
	if endpoint == nil {
		return upload.Profile{AWS: true}
	}
	u, err := url.Parse(*endpoint)
	if err != nil {
		return upload.Profile{}
	}
	return upload.ProfileOf(u.Hostname())
}

// serverAt takes note of whose server a client has for an endpoint.
func (c *connection) serverAt(endpoint *string) {
	if c.profile = profileOf(endpoint); !c.profile.AWS {
		c.endpoint = strings.TrimRight(*endpoint, "/")
	}
}

// server is the profile of the server that the options name, for Writers that
// connect to none.
func (o *options) server() upload.Profile {
	switch {
	case o.client != nil:
		return o.ownClient().profile
	case o.endpoint != "":
		return profileOf(aws.String(o.baseURL()))
	case o.awsConfig != nil:
		return profileOf(o.awsConfig.BaseEndpoint)
	}
	return profileOf(nil)
}

// suit sets what the server wants and no option has decided.
func (o *options) suit(server upload.Profile) {
	o.profile = server
	if server.PartSize > 0 && !o.given["WithPartSize"] {
		o.partSize = min(server.PartSize, max(minPartSize, o.memory/4))
	}
}

// baseURL is the endpoint without the mark of virtual-host addressing.
func (o *options) baseURL() string {
	return strings.TrimRight(strings.Replace(o.endpoint, "://"+bucketHost, "://", 1), "/")
}

// address points the client at the bucket.
func (o *options) address(so *s3.Options, c *connection) {
	if o.endpoint != "" {
		so.BaseEndpoint = aws.String(o.baseURL())
	}
	c.serverAt(so.BaseEndpoint)
	if so.BaseEndpoint != nil {
		so.UsePathStyle = !c.profile.VirtualHost && !strings.Contains(o.endpoint, "://"+bucketHost)
	}
	switch {
	case c.region != "":
	case c.profile.AWS:
		c.region = c.profile.Region
	default:
		c.region = "us-east-1"
	}
	if so.Region == "" {
		// Until the bucket's region is known; us-east-1 knows where every
		// bucket of its partition is.
		so.Region = "us-east-1"
		if c.region != "" {
			so.Region = c.region
		}
	}
	so.UseARNRegion = true
	upload.WireOptions(!c.profile.AWS)(so)
}

// locate finds out the bucket's region, where that takes asking.
func (c *connection) locate(ctx context.Context, cfg upload.Config) error {
	if c.region != "" {
		return nil
	}
	if m := accessPointForm.FindStringSubmatch(cfg.Bucket); m != nil {
		c.region = m[2]
	} else {
		region, err := upload.DiscoverRegion(ctx, cfg)
		if err != nil {
			return err
		}
		c.region = region
	}
	if own, ok := c.client.(*s3.Client); ok {
		so := own.Options()
		so.Region = c.region
		c.client = s3.New(so)
	}
	return nil
}
