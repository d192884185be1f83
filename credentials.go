package s3writer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"

	"github.com/seed149ec23d/s3writer/internal/chain"
	"github.com/seed149ec23d/s3writer/internal/upload"
)

// StaticCredentials returns the provider of one access key, with the session
// token that belongs to it or "". An empty access key ID or secret is an error,
// never a reason to fall back to the default chain.
//
// What it returns prints as "StaticCredentials(redacted)" wherever it stands: with
// every verb of fmt, in slog, in JSON, inside other values.
func StaticCredentials(accessKeyID, secretAccessKey, sessionToken string) aws.CredentialsProvider {
	return &staticCredentials{value: func() aws.Credentials {
		return aws.Credentials{
			AccessKeyID:     accessKeyID,
			SecretAccessKey: secretAccessKey,
			SessionToken:    sessionToken,
			Source:          "StaticCredentials",
		}
	}}
}

// staticCredentials keeps its keys in a closure: fmt and the dumpers of test
// libraries read unexported fields by reflection (fmt follows pointers too when the
// verb does not fit them, as %s), and never ask the methods below.
type staticCredentials struct{ value func() aws.Credentials }

const redactedStatic = "StaticCredentials(redacted)"

func (s *staticCredentials) Retrieve(context.Context) (aws.Credentials, error) {
	if err := errors.Join(s.check()...); err != nil {
		return aws.Credentials{}, &credentialsError{text: err.Error(), cause: err}
	}
	return s.value(), nil
}

// check reports what can be seen of the keys without a network.
func (s *staticCredentials) check() []error {
	c := s.value()
	var errs []error
	complain := func(text string) { errs = append(errs, errors.New("StaticCredentials: "+text)) }
	for _, v := range []struct{ name, value string }{
		{"access key ID", c.AccessKeyID}, {"secret access key", c.SecretAccessKey}, {"session token", c.SessionToken},
	} {
		if strings.TrimSpace(v.value) != v.value {
			complain("the " + v.name + " has white space at its ends")
		}
	}
	if c.AccessKeyID == "" {
		complain("the access key ID is empty (the default chain is used only when no credentials are given)")
	}
	if c.SecretAccessKey == "" {
		complain("the secret access key is empty (the default chain is used only when no credentials are given)")
	}
	if awsKeyID.MatchString(c.SecretAccessKey) && !awsKeyID.MatchString(c.AccessKeyID) {
		complain("the secret access key looks like an access key ID: are the two swapped?")
	}
	if awsKeyID.MatchString(c.AccessKeyID) && strings.HasPrefix(c.AccessKeyID, "ASIA") && c.SessionToken == "" {
		complain("the access key ID begins with ASIA, so it is temporary, and its session token is missing")
	}
	return errs
}

var awsKeyID = regexp.MustCompile(`^A(KIA|SIA)[A-Z0-9]{16}$`)

func (s *staticCredentials) String() string               { return redactedStatic }
func (s *staticCredentials) GoString() string             { return "s3writer." + redactedStatic }
func (s *staticCredentials) LogValue() slog.Value         { return slog.StringValue(redactedStatic) }
func (s *staticCredentials) MarshalText() ([]byte, error) { return []byte(redactedStatic), nil }
func (s *staticCredentials) Format(f fmt.State, verb rune) {
	formatRedacted(f, verb, redactedStatic)
}

// formatRedacted answers every verb: a verb fmt does not know would make it print
// the value by reflection.
func formatRedacted(f fmt.State, verb rune, text string) {
	if verb == 'v' && f.Flag('#') {
		text = "s3writer." + text
	}
	fmt.Fprint(f, text)
}

// AssumeRole provides the sessions of a role, which STS gives to whoever the role
// trusts: usually a role that a bucket's owner made for us, named by account and
// role name, and guarded by an external ID.
//
// A Writer keeps the session and asks for the next one before it ends, in the
// middle of an upload too. Used without a Writer it belongs in an
// [aws.CredentialsCache]: each Retrieve asks STS.
//
// It prints without its Base, also in slog and JSON. fmt does not ask the methods of
// values in unexported fields, so there only a Base made by [StaticCredentials] is hidden.
type AssumeRole struct {
	// RoleARN names the role in full. It excludes AccountID and RoleName.
	RoleARN string
	// AccountID (12 digits) and RoleName (with its path, if it has one: "path/name")
	// name the role without an ARN; its partition is that of Region.
	AccountID, RoleName string
	// ExternalID is what the role's trust policy asks for in sts:ExternalId. It is no secret.
	ExternalID string
	// SessionName appears in the logs of the role's owner; default "s3writer".
	SessionName string
	// Duration of a session, 15 minutes to 12 hours and at most what the role allows;
	// default 1 hour, which is also the most where Base is itself a role.
	Duration time.Duration
	// Base provides the credentials that assume the role; default: the SDK's default
	// chain, which is loaded only then.
	Base aws.CredentialsProvider
	// Region and Endpoint of STS, never the bucket's. Region's default is AWS_REGION,
	// AWS_DEFAULT_REGION or, with the default chain, the profile's, as far as these are in the
	// partition of RoleARN; else us-east-1 (cn-north-1, us-gov-west-1).
	Region, Endpoint string
	// HTTPClient sends the requests to STS; default: one of our own, without idle connections afterwards.
	HTTPClient aws.HTTPClient
	// SessionPolicy is an IAM policy in JSON that narrows the session further, as
	// SessionPolicyARNs do, which are at most ten managed policies of the role's account.
	SessionPolicy     string
	SessionPolicyARNs []string
	// SourceIdentity stays with the session through further roles; the trust policy must allow sts:SetSourceIdentity.
	SourceIdentity string
	// Tags of the session, at most 50; the trust policy must allow sts:TagSession.
	Tags map[string]string
}

// Retrieve asks STS for a new session of the role.
func (r AssumeRole) Retrieve(ctx context.Context) (aws.Credentials, error) {
	if err := r.validate(); err != nil {
		return aws.Credentials{}, &credentialsError{text: err.Error(), cause: err}
	}
	cfg, err := r.config(ctx)
	if err != nil {
		return aws.Credentials{}, r.failed(ctx, r.roleARN(r.stsRegion("")), "base credentials", err)
	}
	arn := r.roleARN(cfg.Region)
	base, err := cfg.Credentials.Retrieve(ctx)
	if err == nil && !base.HasKeys() {
		err = errors.New("they are empty")
	}
	if err != nil {
		return aws.Credentials{}, r.failed(ctx, arn, "base credentials", err)
	}
	cfg.Credentials = StaticCredentials(base.AccessKeyID, base.SecretAccessKey, base.SessionToken)

	if r.HTTPClient == nil {
		own := stsHTTPClient(cfg)
		defer own.CloseIdleConnections()
		cfg.HTTPClient = own
	}
	client := sts.NewFromConfig(cfg, func(o *sts.Options) {
		if r.Endpoint != "" {
			o.BaseEndpoint = &r.Endpoint
		}
	})
	session, err := stscreds.NewAssumeRoleProvider(client, arn, r.request).Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, r.refused(ctx, arn, cfg.Region, err)
	}
	return session, nil
}

// ProviderSources tells the SDK, and an AssumeRole that has this one as its Base,
// that the credentials are a role's.
func (r AssumeRole) ProviderSources() []aws.CredentialSource {
	return []aws.CredentialSource{aws.CredentialSourceCode, aws.CredentialSourceSTSAssumeRole}
}

// config returns who asks STS, and where. Nothing ambient is loaded if Base is given.
func (r AssumeRole) config(ctx context.Context) (aws.Config, error) {
	cfg := aws.Config{Credentials: r.Base}
	if r.Base == nil {
		var err error
		if cfg, err = config.LoadDefaultConfig(ctx); err != nil {
			return cfg, err
		}
		if cfg.Credentials == nil {
			return cfg, errors.New("the default chain has none")
		}
	}
	cfg.Region = r.stsRegion(cfg.Region)
	if r.HTTPClient != nil {
		cfg.HTTPClient = r.HTTPClient
	}
	return cfg, nil
}

// stsHTTPClient returns a client with the SDK's settings (and the default chain's
// certificates) whose connections can be closed: a session is asked for once an hour.
func stsHTTPClient(cfg aws.Config) *http.Client {
	settings, ok := cfg.HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		settings = awshttp.NewBuildableClient()
	}
	return &http.Client{
		Transport:     settings.GetTransport(),
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (r AssumeRole) request(o *stscreds.AssumeRoleOptions) {
	o.RoleSessionName = r.sessionName()
	o.Duration = r.duration()
	o.ExternalID = given(r.ExternalID)
	o.Policy = given(r.SessionPolicy)
	o.SourceIdentity = given(r.SourceIdentity)
	for _, arn := range r.SessionPolicyARNs {
		o.PolicyARNs = append(o.PolicyARNs, types.PolicyDescriptorType{Arn: &arn})
	}
	for _, key := range slices.Sorted(maps.Keys(r.Tags)) {
		o.Tags = append(o.Tags, types.Tag{Key: &key, Value: aws.String(r.Tags[key])})
	}
}

func given(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// failed describes an attempt that ended before STS answered. A cancelled context is
// not the credentials' fault.
func (r AssumeRole) failed(ctx context.Context, arn, what string, err error) error {
	text := err.Error()
	var inner *credentialsError
	if errors.As(err, &inner) {
		text = inner.text
	}
	text = fmt.Sprintf("sts:AssumeRole on %s: %s: %s", arn, what, text)
	return &credentialsError{text: text, cause: err, cancelled: ctx.Err() != nil}
}

// refused describes an answer of STS, or that none came, by what to look at.
func (r AssumeRole) refused(ctx context.Context, arn, region string, err error) error {
	var answer smithy.APIError
	if ctx.Err() != nil || !errors.As(err, &answer) {
		return r.failed(ctx, arn, "no answer from STS in "+r.place(region), err)
	}
	text := fmt.Sprintf("sts:AssumeRole on %s: %s (AWS says: %s", arn, r.advice(answer, region), upload.Said(answer))
	var identified interface{ ServiceRequestID() string }
	if errors.As(err, &identified) && identified.ServiceRequestID() != "" {
		text += ", request ID " + identified.ServiceRequestID()
	}
	return &credentialsError{text: text + ")", cause: err}
}

func (r AssumeRole) place(region string) string {
	if r.Endpoint != "" {
		return redactURL(r.Endpoint)
	}
	return "region " + region + ": check the network, and AssumeRole.Region"
}

// advice says what to look at when STS answers with an error.
func (r AssumeRole) advice(answer smithy.APIError, region string) string {
	switch answer.ErrorCode() {
	case "AccessDenied", "AccessDeniedException":
		return r.deniedAdvice(answer.ErrorMessage())
	case "InvalidClientTokenId", "InvalidAccessKeyId", "UnrecognizedClientException", "MissingAuthenticationToken":
		return "the base credentials are wrong: STS in " + region + " does not know their access key ID or session token"
	case "SignatureDoesNotMatch", "IncompleteSignature":
		if strings.HasPrefix(answer.ErrorMessage(), "Signature ") { // "expired" or "not yet current"
			return "check this machine's clock"
		}
		return "the base credentials are wrong: check their secret access key, and this machine's clock"
	case "ExpiredToken", "ExpiredTokenException":
		return "the base credentials have expired"
	case "RequestExpired", "RequestTimeTooSkewed":
		return "check this machine's clock"
	case "RegionDisabled", "RegionDisabledException":
		return "STS is not active in " + region + " for the base credentials' account: activate it there, or set AssumeRole.Region"
	case "MalformedPolicyDocument", "MalformedPolicyDocumentException":
		return "check AssumeRole.SessionPolicy"
	case "PackedPolicyTooLarge", "PackedPolicyTooLargeException":
		return "shorten AssumeRole.SessionPolicy, SessionPolicyARNs and Tags"
	case "ValidationError":
		return "check AssumeRole's fields, and its Duration against what the role allows"
	default:
		return "refused"
	}
}

var stsPrincipal = regexp.MustCompile(`\bUser: (arn:\S+) is not authorized`)

// deniedAdvice names all that must fit: STS gives one answer for a role that does not
// exist, one that does not trust us, and a wrong external ID.
func (r AssumeRole) deniedAdvice(message string) string {
	who := "the base credentials' identity"
	if m := stsPrincipal.FindStringSubmatch(message); m != nil {
		who = m[1]
	}
	conditions := []string{"the role exists", "its trust policy names " + who + " as principal"}
	if len(r.Tags) > 0 {
		conditions = append(conditions, "it allows sts:TagSession")
	}
	if r.SourceIdentity != "" {
		conditions = append(conditions, "it allows sts:SetSourceIdentity")
	}
	external := "it asks for no sts:ExternalId, as none is given"
	if r.ExternalID != "" {
		external = fmt.Sprintf("its sts:ExternalId is the one given, %q", r.ExternalID)
	}
	return "access denied: check that " + strings.Join(conditions, ", that ") + ", and that " + external
}

// credentialsError is an [ErrCredentials] with its cause; cancelled: only the cause.
type credentialsError struct {
	text      string
	cause     error
	cancelled bool
}

func (e *credentialsError) Error() string { return "credentials: " + e.text }

func (e *credentialsError) Unwrap() []error {
	if e.cancelled {
		return []error{e.cause}
	}
	return []error{ErrCredentials, e.cause}
}

// checkCredentials reports what can be seen of a given provider without a network.
func checkCredentials(p aws.CredentialsProvider) []error {
	if v := reflect.ValueOf(p); !v.IsValid() || (v.Kind() == reflect.Pointer || v.Kind() == reflect.Func) && v.IsNil() {
		return []error{fmt.Errorf("the credentials provider is nil (%T)", p)}
	}
	switch p := p.(type) {
	case interface{ check() []error }:
		return p.check()
	case credentials.StaticCredentialsProvider:
		return checkKeys(p)
	case *credentials.StaticCredentialsProvider:
		return checkKeys(*p)
	}
	return nil
}

func checkKeys(p credentials.StaticCredentialsProvider) []error {
	if p.Value.HasKeys() {
		return nil
	}
	return []error{errors.New("credentials.StaticCredentialsProvider: the access key ID or the secret access key is empty")}
}

// isRole reports whether p's credentials are those of a role, through any caches.
func isRole(p aws.CredentialsProvider) bool {
	source, ok := p.(aws.CredentialProviderSource)
	return ok && slices.ContainsFunc(source.ProviderSources(), func(s aws.CredentialSource) bool {
		return s == aws.CredentialSourceSTSAssumeRole || s == aws.CredentialSourceSTSAssumeRoleWebID
	})
}

const (
	expiryWindow   = 5 * time.Minute
	refreshTimeout = time.Minute
	refreshAgain   = 30 * time.Second
)

// cached returns the cache of p's credentials, safe for concurrent use. It refreshes them
// at use, from five minutes (at most a fifth of the session) before they end, and goes on with
// the old ones while they last if that fails. A cache is returned as it is.
func cached(p aws.CredentialsProvider) *aws.CredentialsCache {
	if c, ok := p.(*aws.CredentialsCache); ok {
		return c
	}
	window := func(o *aws.CredentialsCacheOptions) {
		o.ExpiryWindow = expiryWindow
		o.ExpiryWindowJitterFrac = 0.2
	}
	switch p.(type) {
	case aws.HandleFailRefreshCredentialsCacheStrategy, aws.AdjustExpiresByCredentialsCacheStrategy:
		return aws.NewCredentialsCache(p, window) // it knows best, as the provider of EC2 roles does
	}
	return aws.NewCredentialsCache(&refreshing{provider: func() aws.CredentialsProvider { return p }}, window)
}

// keyed is a cache, perhaps one that was given, whose empty credentials are an error:
// the SDK would sign with them.
type keyed struct {
	*aws.CredentialsCache
	ambient bool // it is the SDK's default chain
}

func (k keyed) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := k.CredentialsCache.Retrieve(upload.Aside(ctx))
	switch {
	case err == nil && !c.HasKeys():
		return c, errNoKeys
	case err != nil && k.ambient && ctx.Err() == nil:
		err = fmt.Errorf("%w: give WithCredentials, or what the SDK's default chain looks for, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", err)
	}
	return c, err
}

var errNoKeys = errors.New("the credentials provider returned no keys")

// refreshing tells a CredentialsCache when and how to refresh a provider's credentials.
type refreshing struct {
	provider func() aws.CredentialsProvider // a closure, as in staticCredentials

	mu      sync.Mutex
	expires time.Time // of the last credentials; the cache knows an earlier time
}

func (r *refreshing) Retrieve(ctx context.Context) (aws.Credentials, error) {
	// The cache detaches ctx from its caller, so without a limit one lost answer
	// would hold up every later request.
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	c, err := r.retrieve(ctx)
	if err == nil && !c.HasKeys() {
		return c, errNoKeys
	}
	if err == nil && c.CanExpire {
		r.mu.Lock()
		r.expires = c.Expires
		r.mu.Unlock()
	}
	return c, err
}

// retrieve makes an error of the provider's panic, or of an error that panics, which
// would be in the cache's own goroutine.
func (r *refreshing) retrieve(ctx context.Context) (c aws.Credentials, err error) {
	defer recovered("the credentials provider", &err)
	c, err = r.provider().Retrieve(ctx)
	return c, chain.Sound(err)
}

// AdjustExpiresBy shortens the window (by is negative) for short sessions, keeping its jitter.
func (r *refreshing) AdjustExpiresBy(c aws.Credentials, by time.Duration) (aws.Credentials, error) {
	left := max(time.Until(c.Expires), 0)
	if left/5 < expiryWindow {
		by = time.Duration(float64(by) / float64(expiryWindow) * float64(left/5))
	}
	c.Expires = c.Expires.Add(by)
	return c, nil
}

// HandleFailToRefresh goes on with the old credentials while they last. There are none
// after the cache was told that the service no longer takes them.
func (r *refreshing) HandleFailToRefresh(_ context.Context, old aws.Credentials, err error) (aws.Credentials, error) {
	r.mu.Lock()
	left := time.Until(r.expires)
	r.mu.Unlock()
	if !old.HasKeys() || left <= 0 {
		return aws.Credentials{}, err
	}
	old.Expires = time.Now().Add(min(refreshAgain, left/2))
	return old, nil
}

// IsCredentialsProvider lets the SDK see through to the provider, as it must for anonymous requests.
func (r *refreshing) IsCredentialsProvider(target aws.CredentialsProvider) bool {
	return aws.IsCredentialsProvider(r.provider(), target)
}

// ProviderSources passes on where the provider's credentials come from.
func (r *refreshing) ProviderSources() []aws.CredentialSource {
	if source, ok := r.provider().(aws.CredentialProviderSource); ok {
		return source.ProviderSources()
	}
	return nil
}
