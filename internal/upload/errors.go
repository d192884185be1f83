package upload

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// The kinds of failure that callers act on.
var (
	ErrAccessDenied  = errors.New("access denied")
	ErrCredentials   = errors.New("credentials refused")
	ErrNoSuchBucket  = errors.New("no such bucket")
	ErrExists        = errors.New("object exists already")
	ErrCommitUnknown = errors.New("outcome of the commit is unknown")
)

var (
	errNoETag   = errors.New("the answer is a success without an ETag")
	errChecksum = errors.New("the server's checksum differs from ours")
	errNoID     = errors.New("the answer is a success without an upload ID")
	errStalled  = errors.New("the request made no progress")
	errAborted  = errors.New("upload aborted")
	errUnnamed  = errors.New("an answer to CreateMultipartUpload was lost: an upload may be open whose ID nobody knows")
	errEnded    = errors.New("stream has ended")
)

// failure is an error in the words of this package; the cause and the kind are
// found by errors.Is and errors.As.
type failure struct {
	text  string
	kind  error // one of the exported ones, or nil
	cause error
}

func (f *failure) Error() string { return f.text }

func (f *failure) Unwrap() []error {
	if f.kind == nil {
		return []error{f.cause}
	}
	return []error{f.kind, f.cause}
}

// UnknownCommit is the error of a commit that may or may not have happened:
// what to look for in the bucket. It is an ErrCommitUnknown.
type UnknownCommit struct {
	Bucket, Key string
	UploadID    string // "" for a single put
	Size        int64
	CRC64NVME   string
	Err         error // the last answer
}

func (u *UnknownCommit) Error() string {
	upload := ""
	if u.UploadID != "" {
		upload = ", upload ID " + u.UploadID
	}
	return fmt.Sprintf("%v: s3://%s/%s may be there (%d bytes, CRC-64/NVME %s%s): %v",
		ErrCommitUnknown, u.Bucket, u.Key, u.Size, u.CRC64NVME, upload, u.Err)
}

// Unwrap gives ErrCommitUnknown and the last answer.
func (u *UnknownCommit) Unwrap() []error { return []error{ErrCommitUnknown, u.Err} }

// Explain says what an error of S3 or STS means for a request that needs action
// on resource: which permission to look at, or what is wrong with the
// credentials. It keeps the server's code, message and request ID. An error
// that is already explained is returned as it is.
func Explain(action, resource string, err error) error {
	if err == nil {
		return nil
	}
	if known := explained(err); known != nil {
		return known
	}
	if serviceOf(err) == sts && !strings.HasPrefix(action, "sts:") {
		action, resource = "sts:AssumeRole", "the role"
	}
	kind := kindOf(err)
	return &failure{text: explanation(kind, action, resource, err), kind: kind, cause: err}
}

// explained finds an explanation inside the SDK's wrapping, which adds nothing.
func explained(err error) error {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	var u *UnknownCommit
	if errors.As(err, &u) {
		return u
	}
	for _, kind := range []error{ErrAccessDenied, ErrCredentials, ErrNoSuchBucket, ErrExists, ErrCommitUnknown} {
		if errors.Is(err, kind) {
			return innermost(err, kind)
		}
	}
	return nil
}

// innermost takes off what is wrapped around the error that knows its kind.
func innermost(err, kind error) error {
	for {
		below := errors.Unwrap(err)
		if below == nil || below == kind || !errors.Is(below, kind) {
			return err
		}
		err = below
	}
}

func explanation(kind error, action, resource string, err error) string {
	says := answerText(err)
	switch kind {
	case ErrAccessDenied:
		return fmt.Sprintf("access denied: %s on %s: check %s (%s)", action, resource, whatToCheck(action), says)
	case ErrCredentials:
		return fmt.Sprintf("credentials refused: %s (%s)", credentialFault(err), says)
	case ErrNoSuchBucket:
		return fmt.Sprintf("no such bucket: %q (%s)", bucketOf(resource), says)
	case ErrExists:
		return fmt.Sprintf("object exists already: %s (%s)", resource, says)
	}
	return fmt.Sprintf("%s on %s: %s", action, resource, says)
}

func whatToCheck(action string) string {
	switch {
	case strings.HasPrefix(action, "sts:"):
		return "the role's trust policy, its external ID, and the right of the base identity to " + action
	case action == "s3:PutObject":
		return "the identity's policy, the bucket's policy, its owner, and kms:GenerateDataKey"
	}
	return "the identity's policy, the bucket's policy, and its owner"
}

// bucketOf is the bucket in an object's or a bucket's ARN.
func bucketOf(resource string) string {
	if _, name, ok := strings.Cut(resource, ":s3:::"); ok {
		resource, _, _ = strings.Cut(name, "/")
	}
	return resource
}

// answerText is the server's own words, or the cause without the SDK's layers
// of wrapping where no server has spoken.
func answerText(err error) string {
	if elsewhere(err) {
		var op *smithy.OperationError
		errors.As(err, &op)
		return op.Err.Error()
	}
	code, message := codeOf(err)
	status := statusOf(err)
	if code == "" && status == 0 {
		return networkText(err)
	}
	var words []string
	if code != "" {
		words = append(words, said(code, message))
	}
	if status != 0 && (code == "" || status/100 != 4) {
		words = append(words, fmt.Sprintf("HTTP status %d %s", status, http.StatusText(status)))
	}
	if id := requestID(err); id != "" {
		words = append(words, "request ID "+id)
	}
	text := "AWS says: " + strings.Join(words, ", ")
	if status/100 == 2 { // an answer that could not be read
		text += ": " + networkText(err)
	}
	return text
}

// canonical is where a server begins to say what it has computed its signature of:
// the request's headers, with the session token.
var canonical = regexp.MustCompile(`(?i)the (canonical (string|request)|string[- ]to[- ]sign)|\n`)

// Said is an answer's code and its message, without secrets.
func Said(answer smithy.APIError) string { return said(answer.ErrorCode(), answer.ErrorMessage()) }

func said(code, message string) string {
	message = strings.TrimSpace(message)
	if cut := canonical.FindStringIndex(message); cut != nil {
		message = strings.TrimSpace(message[:cut[0]])
	}
	return strings.TrimSuffix(code+": "+message, ": ")
}

func networkText(err error) string {
	var sent *smithyhttp.RequestSendError
	if errors.As(err, &sent) {
		return sent.Err.Error()
	}
	var canceled *smithy.CanceledError
	if errors.As(err, &canceled) {
		return canceled.Err.Error()
	}
	var malformed *smithy.DeserializationError
	if errors.As(err, &malformed) {
		return malformed.Error()
	}
	var op *smithy.OperationError
	if errors.As(err, &op) {
		return op.Err.Error()
	}
	return err.Error()
}

func kindOf(err error) error {
	code, _ := codeOf(err)
	status := statusOf(err)
	switch {
	case isCredentialCode(code), elsewhere(err):
		return ErrCredentials
	case code == "NoSuchBucket", code == "NotFound": // the answer to HeadBucket has no words of its own
		return ErrNoSuchBucket
	case code == "PreconditionFailed", status == http.StatusPreconditionFailed:
		return ErrExists
	case status == http.StatusForbidden, status == http.StatusUnauthorized, strings.HasPrefix(code, "AccessDenied"),
		code == "AllAccessDisabled", code == "AccountProblem", code == "Forbidden":
		return ErrAccessDenied
	case status == 0 && code == "" && isUnsigned(err):
		if !isNetwork(err) {
			return ErrCredentials
		}
	}
	return nil
}

// isUnsigned tells whether a request had no credentials to be signed with.
func isUnsigned(err error) bool { return strings.Contains(err.Error(), "get identity: ") }

// isCredentialCode lists the refusals of who asks, rather than of what is asked.
func isCredentialCode(code string) bool {
	switch code {
	case "InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException", "InvalidUserID.NotFound",
		"SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature", "AuthFailure", "NotSignedUp",
		"InvalidToken", "InvalidSecurity", "TokenRefreshRequired", "MissingAuthenticationToken",
		"RequestTimeTooSkewed":
		return true
	}
	return isExpired(code)
}

func isExpired(code string) bool {
	switch code {
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired":
		return true
	}
	return false
}

func credentialFault(err error) string {
	code, _ := codeOf(err)
	switch {
	case elsewhere(err):
		return "none could be had"
	case isExpired(code):
		return "the session has expired and could not be refreshed"
	case code == "RequestTimeTooSkewed":
		return "the clock of this machine differs too much from the server's"
	case code == "InvalidAccessKeyId", code == "InvalidClientTokenId", code == "UnrecognizedClientException":
		return "the access key ID is not known"
	case code == "SignatureDoesNotMatch", code == "InvalidSignatureException":
		return "the secret access key is not that of the access key ID"
	case code == "InvalidToken":
		return "the session token is not valid"
	case code == "":
		return "none could be had"
	}
	return "check the access key ID, the secret access key and the session token"
}

// codeOf is the code and the message of an answer. An error status without a
// body has neither.
func codeOf(err error) (code, message string) {
	var refusal smithy.APIError
	if !errors.As(err, &refusal) {
		return "", ""
	}
	code, message = refusal.ErrorCode(), refusal.ErrorMessage()
	if code == "UnknownError" {
		code = ""
	}
	return code, message
}

func statusOf(err error) int {
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) && answer.Response != nil && answer.Response.Response != nil {
		return answer.HTTPStatusCode()
	}
	return 0
}

// IsOutage tells whether an error is the server's own, whatever it is asked: it does
// not answer, or not as it should.
func IsOutage(err error) bool {
	code, _ := codeOf(err)
	status := statusOf(err)
	return err != nil && (status == 0 && code == "" || status >= 500)
}

func headerOf(err error) http.Header {
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) && answer.Response != nil && answer.Response.Response != nil {
		return answer.Response.Header
	}
	return nil
}

func requestID(err error) string {
	var answer interface{ ServiceRequestID() string }
	if errors.As(err, &answer) && answer.ServiceRequestID() != "" {
		return answer.ServiceRequestID()
	}
	return headerOf(err).Get("X-Amz-Request-Id")
}

// serviceOf is the service that was called last: signing a request to S3 may
// have called STS.
func serviceOf(err error) (service string) {
	var op *smithy.OperationError
	for e := err; errors.As(e, &op); e = op.Err {
		service = op.Service()
	}
	return service
}

// elsewhere tells whether it was neither S3 nor STS that has answered, or has not: what the
// credentials were to come from, such as the metadata service of a machine.
func elsewhere(err error) bool {
	service := serviceOf(err)
	return service != "" && service != s3.ServiceID && service != sts
}

// sts is the SDK's name of it.
const sts = "STS"

// look panics if an error does, as a nil pointer of an error's type: then it panics
// where that is expected.
func look(err error) {
	var nowhere *fatalError // so that all of it is looked at
	_, _, _ = err.Error(), errors.Is(err, errUnseen), errors.As(err, &nowhere)
}

var errUnseen = errors.New("an error that nobody returns")

// cause says why ctx is done, in an error that is ctx.Err() too.
func cause(ctx context.Context) (because error) {
	err, why := ctx.Err(), context.Cause(ctx)
	defer func() {
		if recover() != nil {
			because = fmt.Errorf("%w: cancelled with an error that panics when it is read: %T", err, why)
		}
	}()
	if why != nil {
		look(why)
	}
	var fatal *fatalError
	switch {
	case errors.As(why, &fatal):
		return fatal.error
	case why == nil || errors.Is(why, err):
		return why
	}
	return fmt.Errorf("%w: %w", err, why)
}

// fatalError is the cause of a stream's context when one of its own requests or
// its source has failed: the context is cancelled, yet nobody cancelled it.
type fatalError struct{ error }
