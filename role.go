package s3writer

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// partitions of AWS: what their regions begin with, and where their STS is by default.
var partitions = []struct{ name, prefix, region string }{
	{"aws-cn", "cn-", "cn-north-1"},
	{"aws-us-gov", "us-gov-", "us-gov-west-1"},
	{"aws-eusc", "eusc-", "eusc-de-east-1"},
	{"aws-iso", "us-iso-", "us-iso-east-1"},
	{"aws-iso-b", "us-isob-", "us-isob-east-1"},
	{"aws-iso-e", "eu-isoe-", "eu-isoe-west-1"},
	{"aws-iso-f", "us-isof-", "us-isof-south-1"},
	{"aws", "", "us-east-1"},
}

func partitionOf(region string) string {
	for _, p := range partitions {
		if strings.HasPrefix(region, p.prefix) {
			return p.name
		}
	}
	return "aws"
}

func stsRegionOf(partition string) string {
	for _, p := range partitions {
		if p.name == partition {
			return p.region
		}
	}
	return "us-east-1"
}

// roleARN returns the role in full; without RoleARN its partition is the region's.
func (r AssumeRole) roleARN(region string) string {
	if r.RoleARN != "" {
		return r.RoleARN
	}
	return "arn:" + partitionOf(region) + ":iam::" + r.AccountID + ":role/" + r.RoleName
}

// stsRegion returns the region of STS: one that is given, else an ambient one, of which
// another partition's is no use: its STS does not know the role.
func (r AssumeRole) stsRegion(profile string) string {
	if r.Region != "" {
		return r.Region
	}
	partition := arnPartition(r.RoleARN)
	for _, region := range []string{os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), profile} {
		if region != "" && (partition == "" || partition == partitionOf(region)) {
			return region
		}
	}
	return stsRegionOf(partition)
}

func arnPartition(arn string) string {
	if parts := strings.SplitN(arn, ":", 3); len(parts) == 3 {
		return parts[1]
	}
	return ""
}

func (r AssumeRole) sessionName() string {
	if r.SessionName == "" {
		return "s3writer"
	}
	return r.SessionName
}

func (r AssumeRole) duration() time.Duration {
	if r.Duration == 0 {
		return time.Hour
	}
	return r.Duration
}

// validate checks the form of all fields without a network; its errors are joined.
func (r AssumeRole) validate() error { return errors.Join(r.check()...) }

// check lists what is wrong with the form of the fields: field, value, what is wanted.
func (r AssumeRole) check() []error {
	c := &roleCheck{}
	c.role(r)
	c.session(r)
	c.service(r)
	if r.Base != nil {
		for _, err := range checkCredentials(r.Base) {
			c.errs = append(c.errs, fmt.Errorf("AssumeRole.Base: %w", err))
		}
		if isRole(r.Base) && r.Duration > time.Hour {
			c.wrong("Duration", r.Duration, "at most 1h0m0s where Base is itself a role (role chaining)")
		}
	}
	return c.errs
}

// The limits are those of STS's API reference for AssumeRole and of IAM's quotas.
var (
	accountForm     = regexp.MustCompile(`^[0-9]{12}$`)
	roleForm        = regexp.MustCompile(`^(?:[!-.0-~]+/)*[\w+=,.@-]{1,64}$`)
	roleARNForm     = regexp.MustCompile(`^arn:aws(?:-[a-z]+)*:iam::[0-9]{12}:role/(.+)$`)
	anyARNForm      = regexp.MustCompile(`^arn:[!-9;-~]+:[!-9;-~]*:[!-9;-~]*:[!-9;-~]*:[!-~]+$`)
	policyARNForm   = regexp.MustCompile(`^arn:[!-9;-~]+:iam::(?:[0-9]{12}|aws)?:policy/[!-~]+$`)
	externalIDForm  = regexp.MustCompile(`^[\w+=,.@:/-]+$`)
	sessionNameForm = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
	stsRegionForm   = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	tagForm         = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
)

// roleCheck gathers the complaints about an AssumeRole.
type roleCheck struct{ errs []error }

func (c *roleCheck) wrong(field string, value any, want string) {
	verb := "AssumeRole.%s %v: want %s"
	if _, ok := value.(string); ok {
		verb = "AssumeRole.%s %q: want %s"
	}
	c.errs = append(c.errs, fmt.Errorf(verb, field, value, want))
}

func (c *roleCheck) role(r AssumeRole) {
	switch {
	case r.RoleARN != "":
		if r.AccountID != "" || r.RoleName != "" {
			c.errs = append(c.errs, errors.New("AssumeRole.RoleARN is given together with AccountID or RoleName: want one or the other"))
		}
		c.arn(r)
	case r.AccountID == "" && r.RoleName == "":
		c.errs = append(c.errs, errors.New("AssumeRole names no role: set RoleARN, or AccountID and RoleName"))
	default:
		c.accountAndName(r)
	}
}

// arn checks RoleARN. Servers other than AWS have ARNs of their own.
func (c *roleCheck) arn(r AssumeRole) {
	m := roleARNForm.FindStringSubmatch(r.RoleARN)
	switch {
	case m != nil && roleForm.MatchString(m[1]):
	case r.Endpoint != "" && anyARNForm.MatchString(r.RoleARN):
	case strings.Contains(r.RoleARN, ":assumed-role/"):
		c.wrong("RoleARN", r.RoleARN, "the role (arn:aws:iam::<account>:role/<name>), not a session of it")
	default:
		c.wrong("RoleARN", r.RoleARN, "arn:<partition>:iam::<account of 12 digits>:role/<name>")
	}
}

func (c *roleCheck) accountAndName(r AssumeRole) {
	if !accountForm.MatchString(r.AccountID) {
		c.wrong("AccountID", r.AccountID, "12 digits without dashes; where it was kept as a number its leading zeros are lost")
	}
	switch {
	case strings.HasPrefix(r.RoleName, "arn:"):
		c.wrong("RoleName", r.RoleName, "a name; an ARN belongs in RoleARN")
	case !roleForm.MatchString(r.RoleName) || len(r.RoleName) > 512:
		c.wrong("RoleName", r.RoleName, "1 to 64 letters, digits or +=,.@_-, behind its path if it has one (path/name)")
	}
}

func (c *roleCheck) session(r AssumeRole) {
	if n := len(r.ExternalID); n > 0 && (n < 2 || n > 1224 || !externalIDForm.MatchString(r.ExternalID)) {
		c.wrong("ExternalID", r.ExternalID, "2 to 1224 letters, digits or +=,.@:/_-")
	}
	if r.SessionName != "" && !sessionNameForm.MatchString(r.SessionName) {
		c.wrong("SessionName", r.SessionName, "2 to 64 letters, digits or +=,.@_-")
	}
	if r.SourceIdentity != "" && (!sessionNameForm.MatchString(r.SourceIdentity) || strings.HasPrefix(r.SourceIdentity, "aws:")) {
		c.wrong("SourceIdentity", r.SourceIdentity, "2 to 64 letters, digits or +=,.@_-")
	}
	if d := r.duration(); d < 15*time.Minute || d > 12*time.Hour {
		c.wrong("Duration", d, "15m0s to 12h0m0s")
	}
	c.policies(r)
	c.tags(r.Tags)
}

func (c *roleCheck) policies(r AssumeRole) {
	var object map[string]json.RawMessage
	if n := utf8.RuneCountInString(r.SessionPolicy); n > 2048 {
		c.wrong("SessionPolicy", n, "at most 2048 characters")
	} else if n > 0 && json.Unmarshal([]byte(r.SessionPolicy), &object) != nil {
		c.wrong("SessionPolicy", r.SessionPolicy, "an IAM policy in JSON")
	}
	if len(r.SessionPolicyARNs) > 10 {
		c.wrong("SessionPolicyARNs", len(r.SessionPolicyARNs), "at most 10")
	}
	for _, arn := range r.SessionPolicyARNs {
		if !policyARNForm.MatchString(arn) {
			c.wrong("SessionPolicyARNs", arn, "arn:<partition>:iam::<account, or aws>:policy/<name>")
		}
	}
}

func (c *roleCheck) tags(tags map[string]string) {
	if len(tags) > 50 {
		c.wrong("Tags", len(tags), "at most 50")
	}
	keys := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		value := tags[key]
		n, lower := utf8.RuneCountInString(key), strings.ToLower(key)
		if n < 1 || n > 128 || !tagForm.MatchString(key) || strings.HasPrefix(lower, "aws:") {
			c.wrong("Tags", key, "a key of 1 to 128 letters, digits, spaces or _.:/=+-@ that does not begin with aws:")
		}
		if utf8.RuneCountInString(value) > 256 || !tagForm.MatchString(value) {
			c.wrong(fmt.Sprintf("Tags[%q]", key), value, "at most 256 letters, digits, spaces or _.:/=+-@")
		}
		if other, ok := keys[lower]; ok {
			c.wrong("Tags", key, fmt.Sprintf("keys that differ in more than case, and there is %q", other))
		}
		keys[lower] = key
	}
}

func (c *roleCheck) service(r AssumeRole) {
	if r.Region != "" && !stsRegionForm.MatchString(r.Region) {
		c.wrong("Region", r.Region, "a region's name such as us-east-1")
	} else if p := arnPartition(r.RoleARN); r.Region != "" && r.Endpoint == "" && p != "" && p != partitionOf(r.Region) {
		c.wrong("Region", r.Region, fmt.Sprintf("one of RoleARN's partition, %s, such as %s", p, stsRegionOf(p)))
	}
	if r.Endpoint != "" && !isEndpoint(r.Endpoint) {
		c.wrong("Endpoint", redactURL(r.Endpoint), "a URL such as https://sts.example.com, without user, query and fragment")
	}
}

func isEndpoint(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && hasPort(u) &&
		u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

// redactURL hides what stands before an @ and in a query, whether or not s can be parsed.
func redactURL(s string) string {
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		scheme, _, found := strings.Cut(s[:at], "://")
		if found {
			scheme += "://"
		} else {
			scheme = ""
		}
		s = scheme + "redacted" + s[at:]
	}
	s, _, _ = strings.Cut(s, "?")
	return s
}

// attrs lists the fields that are set. Base and HTTPClient may hold secrets.
func (r AssumeRole) attrs() []slog.Attr {
	all := []slog.Attr{
		slog.String("RoleARN", r.RoleARN),
		slog.String("AccountID", r.AccountID),
		slog.String("RoleName", r.RoleName),
		slog.String("ExternalID", r.ExternalID),
		slog.String("SessionName", r.SessionName),
		slog.Duration("Duration", r.Duration),
		slog.String("Region", r.Region),
		slog.String("Endpoint", redactURL(r.Endpoint)),
		slog.String("SessionPolicy", r.SessionPolicy),
		slog.Any("SessionPolicyARNs", r.SessionPolicyARNs),
		slog.String("SourceIdentity", r.SourceIdentity),
		slog.Any("Tags", r.Tags),
	}
	if r.Base != nil {
		all = append(all, slog.String("Base", "redacted"))
	}
	return slices.DeleteFunc(all, func(a slog.Attr) bool { return reflect.ValueOf(a.Value.Any()).IsZero() })
}

// String returns the fields that are set, without Base and HTTPClient.
func (r AssumeRole) String() string {
	var fields []string
	for _, a := range r.attrs() {
		verb := "%s:%v"
		if a.Value.Kind() == slog.KindString {
			verb = "%s:%q"
		}
		fields = append(fields, fmt.Sprintf(verb, a.Key, a.Value.Any()))
	}
	return "AssumeRole{" + strings.Join(fields, ", ") + "}"
}

// GoString is String with the package's name.
func (r AssumeRole) GoString() string { return "s3writer." + r.String() }

// Format prints String, whatever the verb.
func (r AssumeRole) Format(f fmt.State, verb rune) { formatRedacted(f, verb, r.String()) }

// LogValue is the group of the fields that are set, without Base and HTTPClient.
func (r AssumeRole) LogValue() slog.Value { return slog.GroupValue(r.attrs()...) }

// MarshalJSON writes the fields that are set, without Base and HTTPClient.
func (r AssumeRole) MarshalJSON() ([]byte, error) {
	fields := map[string]any{}
	for _, a := range r.attrs() {
		fields[a.Key] = a.Value.Any()
	}
	return json.Marshal(fields)
}
