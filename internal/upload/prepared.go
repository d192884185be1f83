package upload

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/encoding/httpbinding"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// The requests that carry an object's bytes, PutObject and UploadPart, are all
// alike: only the key or the part's number, the length, the checksum, the date
// and the signature differ. So the SDK prepares the first of a kind, and the
// others are made of that one and signed by the SDK's signer. Whatever is no plain
// success is given to the SDK to read, so an error is the same on both ways.
//
// 10,000 tables of 4 KiB take two thirds of the processor time that they took through
// the SDK's forty layers, and leave half of the garbage; of a part of a large object a
// third is left.

// Wire is what a Client sends with.
type Wire struct {
	HTTP        aws.HTTPClient
	Credentials aws.CredentialsProvider
}

// prepared is a request as the SDK has made it, without what differs.
type prepared struct {
	method          string
	scheme, host    string
	folder, rawPath string // of the URL, up to the key
	query           url.Values
	names, values   []string // of headers
	region, service string   // it is signed for
	hashed          bool     // the signature covers the body
	checksum        bool
}

// kind tells requests apart that are not alike.
type kind struct {
	op        string
	checksums bool
	region    string
	large     bool // enough to ask whether it may be sent
	careful   bool // an object that exists is not replaced
}

// continueAt is from how many bytes on the SDK expects 100-continue.
const continueAt = 2 << 20

// templates are the requests that were prepared for one CreateMultipartUploadInput.
type templates struct {
	kinds  sync.Map // kind to *prepared
	shared bool     // by many objects
}

// preparing is a request on its way through the SDK: the first of its kind.
type preparing struct {
	templates *templates
	kind      kind
	key       string
	http      aws.HTTPClient
	made      *prepared
}

// prepare returns the request that was prepared for a kind. Without one, it returns
// what has to be told how the SDK's is answered, nil if that is of no use to others.
func (e *Engine) prepare(s *settings, op string, p *part, a attempt) (*prepared, *preparing) {
	if e.cfg.Wire == nil || e.skewed.Load() || p.size == 0 || op == opPut && !s.templates.shared {
		return nil, nil
	}
	k := kind{op, a.checksums, a.region, p.size >= continueAt, op == opPut && s.noOverwrite}
	if made, ok := s.templates.kinds.Load(k); ok {
		return made.(*prepared), nil
	}
	return nil, &preparing{templates: s.templates, kind: k, key: s.key, http: e.cfg.Wire.HTTP}
}

// Do notes what is sent.
func (p *preparing) Do(req *http.Request) (*http.Response, error) {
	p.made = newPrepared(req, p.key)
	return p.http.Do(req)
}

// newPrepared takes what others have in common with a request; nil if that cannot be
// told, or the request is not signed as a whole.
func newPrepared(req *http.Request, key string) *prepared {
	header := req.Header.Clone()
	p := &prepared{method: req.Method, scheme: req.URL.Scheme, host: req.URL.Host, query: req.URL.Query()}
	var named, escaped, scoped bool
	p.folder, named = strings.CutSuffix(req.URL.Path, key)
	p.rawPath, escaped = strings.CutSuffix(req.URL.EscapedPath(), httpbinding.EscapePath(key, false))
	p.region, p.service, scoped = scopeOf(header.Get("Authorization"))
	switch {
	case !named, !escaped, !scoped, req.Host != "" && req.Host != req.URL.Host:
		return nil
	case header.Get(sha256Header) == "", header.Get("X-Amz-Trailer") != "":
		return nil
	case header.Get("X-Amzn-Trace-Id") != "": // Lambda's, of each invocation its own
		return nil
	}
	p.hashed = header.Get(sha256Header) != unsignedPayload
	p.checksum = header.Get(crcHeader) != ""
	for _, differs := range []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token", "Content-Length", sha256Header, crcHeader, invocationHeader} {
		header.Del(differs)
	}
	p.query.Del("partNumber")
	p.query.Del("uploadId")
	for name, values := range header {
		if len(values) != 1 {
			return nil
		}
		p.names, p.values = append(p.names, name), append(p.values, values[0])
	}
	return p
}

// scopeOf finds what a request was signed for: AWS4-HMAC-SHA256
// Credential=ID/date/region/service/aws4_request, SignedHeaders=…
func scopeOf(authorization string) (region, service string, ok bool) {
	credential, _, ok := strings.Cut(authorization, "/aws4_request,")
	scope := strings.Split(credential, "/")
	if n := len(scope); ok && n >= 4 && strings.HasPrefix(credential, "AWS4-HMAC-SHA256 ") {
		return scope[n-2], scope[n-1], true
	}
	return "", "", false
}

const (
	sha256Header     = "X-Amz-Content-Sha256"
	crcHeader        = "X-Amz-Checksum-Crc64nvme"
	invocationHeader = "Amz-Sdk-Invocation-Id"
	unsignedPayload  = "UNSIGNED-PAYLOAD"
)

// request makes the one that sends b to key. id is the upload's, "" for none.
func (p *prepared) request(ctx context.Context, key, id string, b *body) (req *http.Request, hash string) {
	own := [3]string{unsignedPayload, encodeCRC(b.part.crc), invocation()}
	if p.hashed {
		own[0] = b.part.sha256()
	}
	values := make([]string, 0, len(p.values)+len(own))
	values = append(append(values, p.values...), own[:]...)
	header := make(http.Header, len(values)+4) // and what the signature adds
	for i, name := range p.names {
		header[name] = values[i : i+1 : i+1]
	}
	for i, name := range [3]string{sha256Header, crcHeader, invocationHeader} {
		if name != crcHeader || p.checksum {
			k := len(p.values) + i
			header[name] = values[k : k+1 : k+1]
		}
	}
	query := p.query
	if id != "" {
		query = maps.Clone(query)
		query["partNumber"], query["uploadId"] = []string{strconv.Itoa(int(b.part.number))}, []string{id}
	}
	req = (&http.Request{
		Method: p.method,
		URL: &url.URL{
			Scheme: p.scheme, Host: p.host, RawQuery: query.Encode(),
			Path: p.folder + key, RawPath: p.rawPath + httpbinding.EscapePath(key, false),
		},
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(b.reader()), ContentLength: b.part.size,
	}).WithContext(ctx)
	return req, own[0]
}

// reader returns what net/http may read for as long as it likes. Of memory that it
// knows it writes the headers and the bytes at once.
func (b *body) reader() io.Reader {
	if b.part.own {
		return bytes.NewReader(b.part.at(0))
	}
	return b
}

// invocation is a random name for one attempt, as the SDK gives each call.
func invocation() string {
	a, b := rand.Uint64(), rand.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>48&0x3fff|0x8000, b&(1<<48-1))
}

// sha256 is the hash of the part's bytes, in hex.
func (p *part) sha256() string {
	h := sha256.New()
	for off := int64(0); off < p.size; {
		b := p.at(off)
		h.Write(b)
		off += int64(len(b))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// newSigner makes one for an engine, of one provider of credentials: it remembers what it has
// derived from a secret by the access key ID alone.
func newSigner() *v4.Signer {
	return v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }) // S3 has paths signed as they are
}

// send sends a part of an upload, or without one the object's only part, in a request
// that was prepared, or by sdk, which is the call of the SDK for it.
func (e *Engine) send(ctx context.Context, s *settings, id string, p *part, a attempt, sdk func(context.Context, attempt) (answer, error)) (answer, error) {
	op := opPart
	if id == "" {
		op = opPut
	}
	prepared, first := e.prepare(s, op, p, a)
	if prepared != nil {
		return e.sendPrepared(ctx, prepared, s.key, id, a, sdk)
	}
	if first == nil {
		return sdk(ctx, a)
	}
	a.http = first
	got, err := sdk(ctx, a)
	if err == nil && first.made != nil {
		first.templates.kinds.Store(first.kind, first.made)
	}
	return got, err
}

// sendPrepared sends p. Whatever is no plain success is read by sdk, which is given it
// as the answer to its own call.
func (e *Engine) sendPrepared(ctx context.Context, p *prepared, key, id string, a attempt, sdk func(context.Context, attempt) (answer, error)) (answer, error) {
	credentials, err := e.cfg.Wire.Credentials.Retrieve(ctx)
	// The SDK's call, if there is one, need not ask again: the answer might be another.
	a.credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return credentials, err })
	if err != nil {
		return sdk(ctx, a) // which says so
	}
	req, hash := p.request(ctx, key, id, a.body)
	if err := e.signer.SignHTTP(ctx, credentials, req, hash, p.service, p.region, time.Now()); err != nil {
		return sdk(ctx, a)
	}
	res, failed := e.cfg.Wire.HTTP.Do(req)
	if failed != nil {
		return answer{}, unanswered(ctx, id, failed)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusOK && bodyless(res) {
		return answer{
			etag: res.Header.Get("ETag"), versionID: res.Header.Get("X-Amz-Version-Id"),
			crc64nvme: res.Header.Get(crcHeader), checksumType: types.ChecksumType(res.Header.Get("X-Amz-Checksum-Type")),
		}, nil
	}
	replay := &replay{answer: res}
	a.body = &body{part: a.body.part, progress: a.body.progress}
	a.http = replay
	got, err := sdk(context.WithoutCancel(ctx), a) // reading the answer ends with ctx, which is the request's
	if !replay.taken {
		return answer{}, unanswered(ctx, id, fmt.Errorf("the answer with status %d could not be read: %w", res.StatusCode, err))
	}
	if code, _ := codeOf(err); code == "RequestTimeTooSkewed" {
		e.skewed.Store(true) // the SDK's client has learned by how much
	}
	return got, err
}

// unanswered is the error of a request without an answer, in the SDK's words.
func unanswered(ctx context.Context, id string, err error) error {
	op := opPut
	if id != "" {
		op = opPart
	}
	if err = error(&smithyhttp.RequestSendError{Err: err}); ctx.Err() != nil {
		err = &smithy.CanceledError{Err: ctx.Err()}
	}
	return &smithy.OperationError{ServiceID: s3.ServiceID, OperationName: op, Err: err}
}

// bodyless tells whether an answer has no body. One whose length is not known is
// looked at, and stays whole.
func bodyless(res *http.Response) bool {
	if res.ContentLength >= 0 {
		return res.ContentLength == 0
	}
	var first [1]byte
	n, err := io.ReadFull(res.Body, first[:])
	if n == 0 && err == io.EOF {
		return true
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(first[:n]), res.Body), res.Body}
	return false
}

// replay is an HTTP client that has the answer already.
type replay struct {
	answer *http.Response
	taken  bool
}

func (r *replay) Do(req *http.Request) (*http.Response, error) {
	r.taken = true
	r.answer.Request = req
	return r.answer, nil
}
