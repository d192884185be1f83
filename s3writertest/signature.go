package s3writertest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	maxSkew    = 15 * time.Minute
	timeFormat = "20060102T150405Z"
)

// authorization is a parsed Authorization header of Signature Version 4.
type authorization struct {
	accessKeyID, date, region, service string
	signedHeaders                      []string
	signature                          string
}

func parseAuthorization(header string) (authorization, bool) {
	var a authorization
	fields, ok := strings.CutPrefix(header, "AWS4-HMAC-SHA256 ")
	if !ok {
		return a, false
	}
	for field := range strings.SplitSeq(fields, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		switch name {
		case "Credential":
			scope := strings.Split(value, "/")
			if len(scope) != 5 || scope[4] != "aws4_request" {
				return a, false
			}
			a.accessKeyID, a.date, a.region, a.service = scope[0], scope[1], scope[2], scope[3]
		case "SignedHeaders":
			a.signedHeaders = strings.Split(value, ";")
		case "Signature":
			a.signature = value
		}
	}
	return a, a.accessKeyID != "" && a.signature != ""
}

// signedBy is for the log: who claims to have signed the request, and for which region.
func signedBy(r *http.Request) (accessKeyID, region string) {
	a, _ := parseAuthorization(r.Header.Get("Authorization"))
	return a.accessKeyID, a.region
}

// authenticate finds the caller of a request to S3, or why it is nobody.
func (c *call) authenticate(bucketExists bool) error {
	header := c.r.Header.Get("Authorization")
	if header == "" {
		return errorf(http.StatusForbidden, "AccessDenied", "Access Denied")
	}
	a, ok := parseAuthorization(header)
	if !ok || a.service != "s3" {
		return errorf(http.StatusBadRequest, "AuthorizationHeaderMalformed", "The authorization header is malformed.")
	}
	id, ok := c.s.identities.find(a.accessKeyID)
	if !ok {
		return errorf(http.StatusForbidden, "InvalidAccessKeyId",
			"The AWS Access Key Id you provided does not exist in our records.").with("AWSAccessKeyId", a.accessKeyID)
	}
	if err := c.checkSkew(); err != nil {
		return err
	}
	if err := c.checkToken(id); err != nil {
		return err
	}
	if bucketExists {
		if err := c.checkRegion(a.region); err != nil {
			return err
		}
	}
	if err := c.checkSigned(a); err != nil {
		return err
	}
	payloadHash, err := c.payloadHash()
	if err != nil {
		return err
	}
	if !a.signs(c.r, id.secret, payloadHash) {
		return errorf(http.StatusForbidden, "SignatureDoesNotMatch", "The request signature we calculated does not "+
			"match the signature you provided. Check your key and signing method.").with("AWSAccessKeyId", a.accessKeyID)
	}
	c.caller = &id
	return nil
}

func (c *call) checkSkew() error {
	now := c.s.now().UTC()
	signed, err := time.Parse(timeFormat, c.r.Header.Get("X-Amz-Date"))
	if err != nil {
		return errorf(http.StatusForbidden, "AccessDenied",
			"AWS authentication requires a valid Date or x-amz-date header")
	}
	if now.Sub(signed).Abs() <= maxSkew {
		return nil
	}
	return errorf(http.StatusForbidden, "RequestTimeTooSkewed",
		"The difference between the request time and the current time is too large.").
		with("RequestTime", signed.Format(timeFormat)).
		with("ServerTime", now.Format(time.RFC3339)).
		with("MaxAllowedSkewMilliseconds", fmt.Sprint(maxSkew.Milliseconds()))
}

func (c *call) checkToken(id identity) error {
	token := c.r.Header.Get("X-Amz-Security-Token")
	switch {
	case token == "" && id.token != "":
		return errorf(http.StatusForbidden, "InvalidAccessKeyId",
			"The AWS Access Key Id you provided does not exist in our records.").with("AWSAccessKeyId", id.accessKeyID)
	case token != id.token:
		return errorf(http.StatusBadRequest, "InvalidToken", "The provided token is malformed or otherwise invalid.").
			with("Token-0", token)
	case id.hasExpired(c.s.now()):
		return errorf(http.StatusBadRequest, "ExpiredToken", "The provided token has expired.").with("Token-0", token)
	}
	return nil
}

func (id *identity) hasExpired(now time.Time) bool {
	return id.expired || !id.expires.IsZero() && !now.Before(id.expires)
}

// checkRegion refuses a signature for a region that is not the bucket's, and says which is.
func (c *call) checkRegion(signed string) error {
	region := c.s.settings.region(c.bucket)
	if signed == region || signed == DefaultRegion && c.op.name == "GetBucketLocation" {
		return nil
	}
	err := errorf(http.StatusBadRequest, "AuthorizationHeaderMalformed",
		"The authorization header is malformed; the region '%s' is wrong; expecting '%s'", signed, region).
		with("Region", region)
	if c.s.settings.redirects() {
		err = errorf(http.StatusMovedPermanently, "PermanentRedirect", "The bucket you are attempting to access must be "+
			"addressed using the specified endpoint. Please send all future requests to this endpoint.").
			with("Endpoint", fmt.Sprintf("s3.%s.amazonaws.com", region)).with("Bucket", c.bucket)
	}
	return err.withHeader("X-Amz-Bucket-Region", region)
}

// checkSigned refuses what a signature has to cover and does not: the host, and every x-amz- header.
func (c *call) checkSigned(a authorization) error {
	var unsigned []string
	if !slices.Contains(a.signedHeaders, "host") {
		unsigned = append(unsigned, "host")
	}
	for name := range c.r.Header {
		name = strings.ToLower(name)
		if strings.HasPrefix(name, "x-amz-") && !slices.Contains(a.signedHeaders, name) {
			unsigned = append(unsigned, name)
		}
	}
	if unsigned == nil {
		return nil
	}
	slices.Sort(unsigned)
	return errorf(http.StatusForbidden, "AccessDenied",
		"There were headers present in the request which were not signed").
		with("HeadersNotSigned", strings.Join(unsigned, ", "))
}

// payloadHash is what the signature says of the body: its SHA-256, still to be compared, or that it is unsigned.
func (c *call) payloadHash() (string, error) {
	hash := c.r.Header.Get("X-Amz-Content-Sha256")
	switch {
	case hash == "":
		return "", invalidRequest("Missing required header for this request: x-amz-content-sha256")
	case strings.HasPrefix(hash, "STREAMING-"):
		return "", errorf(http.StatusNotImplemented, "NotImplemented",
			"s3writertest takes no aws-chunked bodies (x-amz-content-sha256: %s); set the client's "+
				"RequestChecksumCalculation to WhenRequired", hash)
	case hash == "UNSIGNED-PAYLOAD":
		return hash, nil
	}
	if b, err := hex.DecodeString(hash); err != nil || len(b) != sha256.Size {
		return "", invalidArgument("x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, " +
			"or a valid sha256 value.")
	}
	return hash, nil
}

// signs computes the signature once more from the request as it came.
func (a authorization) signs(r *http.Request, secret, payloadHash string) bool {
	canonical := strings.Join([]string{
		r.Method, canonicalPath(r), canonicalQuery(r), a.canonicalHeaders(r),
		strings.Join(a.signedHeaders, ";"), payloadHash,
	}, "\n")
	scope := strings.Join([]string{a.date, a.region, a.service, "aws4_request"}, "/")
	sum := sha256.Sum256([]byte(canonical))
	key := []byte("AWS4" + secret)
	for step := range strings.SplitSeq(scope, "/") {
		key = hmacSHA256(key, step)
	}
	stringToSign := "AWS4-HMAC-SHA256\n" + r.Header.Get("X-Amz-Date") + "\n" + scope + "\n" + hex.EncodeToString(sum[:])
	want := hex.EncodeToString(hmacSHA256(key, stringToSign))
	return hmac.Equal([]byte(want), []byte(a.signature))
}

func hmacSHA256(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	return h.Sum(nil)
}

// canonicalPath decodes and encodes again, so that a client's taste in escaping does not matter.
func canonicalPath(r *http.Request) string {
	if r.URL.Path == "" {
		return "/"
	}
	return awsEscape(r.URL.Path, true)
}

func canonicalQuery(r *http.Request) string {
	var pairs []string
	for name, values := range r.URL.Query() {
		for _, value := range values {
			pairs = append(pairs, awsEscape(name, false)+"="+awsEscape(value, false))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

// awsEscape is RFC 3986 with nothing but the unreserved characters left as they are.
func awsEscape(s string, keepSlash bool) string {
	s = strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
	if keepSlash {
		s = strings.ReplaceAll(s, "%2F", "/")
	}
	return s
}

func (a authorization) canonicalHeaders(r *http.Request) string {
	var b strings.Builder
	for _, name := range a.signedHeaders {
		values := slices.Clone(r.Header.Values(name))
		switch {
		case name == "host":
			values = []string{r.Host}
		case name == "content-length" && len(values) == 0:
			values = []string{fmt.Sprint(r.ContentLength)}
		}
		for i, v := range values {
			values[i] = strings.Join(strings.Fields(v), " ")
		}
		b.WriteString(name + ":" + strings.Join(values, ",") + "\n")
	}
	return b.String()
}
