package upload

import (
	"crypto/tls"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Transport is an HTTP transport for an engine with this Concurrency.
//
// It keeps as many connections per host as there are requests in flight, and
// opens no more: the default of a few that are kept makes every burst of small objects a burst of TLS handshakes.
// HTTP/2 would put all parts on one connection. There is no limit on how long
// an answer may take: Complete may legally think for minutes.
func Transport(concurrency int) *http.Transport {
	conns := mostLimit
	if concurrency > 0 {
		conns = concurrency
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialPlain,
		TLSHandshakeTimeout:   handshakeTimeout,                                                                                  // through a proxy; else it is ours
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(1024)}, // a session per host
		Protocols:             &protocols,
		DisableCompression:    true,
		MaxIdleConnsPerHost:   conns,
		MaxConnsPerHost:       conns,
		WriteBufferSize:       8 << 10,         // a small object goes out with its headers
		IdleConnTimeout:       4 * time.Second, // S3 drops idle connections after about five
		ExpectContinueTimeout: time.Second,
	}
	t.DialTLSContext = dialTLS(t)
	return t
}

// HTTPClient is a client on t that hands redirects back: net/http would turn a
// redirected PUT into a GET, and the engine wants the region they name.
func HTTPClient(t http.RoundTripper) *http.Client {
	own := lending{RoundTripper: t, hosts: new(hosts)}
	if t, ok := t.(*http.Transport); ok {
		beyond := t.Clone()
		beyond.MaxConnsPerHost, beyond.DisableKeepAlives = abortLimit, true
		beyond.DialTLSContext = dialTLS(beyond)
		own.beyond = beyond
		own.hosts.proxy = t.Proxy
	}
	return &http.Client{
		Transport:     own,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// WireOptions sets up a client for an engine: one attempt per call, and no
// checksums but the engine's own. endpoint says that the server is not AWS.
func WireOptions(endpoint bool) func(*s3.Options) {
	return func(o *s3.Options) {
		o.Retryer = aws.NopRetryer{}
		o.RetryMaxAttempts = 1
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		o.DisableLogOutputChecksumValidationSkipped = true
		if endpoint {
			// Proxies in front of other servers often never answer
			// "Expect: 100-continue", and every part waits for nothing.
			o.ContinueHeaderThresholdBytes = -1
		}
	}
}
