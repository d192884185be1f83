package s3writertest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	minSession     = 15 * time.Minute
	chainedSession = time.Hour // the most for a role assumed by a role
	stsNamespace   = "https://sts.amazonaws.com/doc/2011-06-15/"
)

var (
	roleARN     = regexp.MustCompile(`^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+$`)
	sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
)

func (c *call) stsAction() string {
	form, _ := url.ParseQuery(string(c.form))
	if action := form.Get("Action"); action != "" {
		return action
	}
	return "Unknown"
}

func (c *call) serveSTS() error {
	if err := c.authenticateSTS(); err != nil {
		return err
	}
	form, err := url.ParseQuery(string(c.form))
	if err != nil {
		return validationError("the body is not a form: %v", err)
	}
	switch form.Get("Action") {
	case "AssumeRole":
		return c.assumeRole(form)
	case "GetCallerIdentity":
		return c.getCallerIdentity()
	}
	return errorf(http.StatusBadRequest, "InvalidAction",
		"Could not find operation %s for version %s", form.Get("Action"), form.Get("Version"))
}

func validationError(format string, args ...any) *apiError {
	return errorf(http.StatusBadRequest, "ValidationError", format, args...)
}

// authenticateSTS is authenticate with STS's codes and texts, which are not S3's.
func (c *call) authenticateSTS() error {
	a, ok := parseAuthorization(c.r.Header.Get("Authorization"))
	if !ok {
		return errorf(http.StatusForbidden, "MissingAuthenticationToken", "Request is missing Authentication Token")
	}
	if a.service != "sts" {
		return errorf(http.StatusForbidden, "SignatureDoesNotMatch", "Credential should be scoped to correct service: 'sts'. ")
	}
	id, ok := c.s.identities.find(a.accessKeyID)
	if !ok || c.r.Header.Get("X-Amz-Security-Token") != id.token {
		return errorf(http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid.")
	}
	now := c.s.now()
	if id.hasExpired(now) {
		return errorf(http.StatusForbidden, "ExpiredToken", "The security token included in the request is expired")
	}
	signed, err := time.Parse(timeFormat, c.r.Header.Get("X-Amz-Date"))
	if err != nil || now.Sub(signed).Abs() > maxSkew {
		return errorf(http.StatusForbidden, "SignatureDoesNotMatch", "Signature expired: %s is not within 15 min. of %s",
			c.r.Header.Get("X-Amz-Date"), now.UTC().Format(timeFormat))
	}
	sum := sha256.Sum256(c.form)
	if !a.signs(c.r, id.secret, hex.EncodeToString(sum[:])) {
		return errorf(http.StatusForbidden, "SignatureDoesNotMatch", "The request signature we calculated does not "+
			"match the signature you provided. Check your AWS Secret Access Key and signing method. "+
			"Consult the service documentation for details.")
	}
	c.caller = &id
	return nil
}

// assumeRole gives out a session. An unknown role, a caller who is not trusted and a wrong external ID
// are refused with the same words, so that nobody learns which it was.
func (c *call) assumeRole(form url.Values) error {
	arn, name := form.Get("RoleArn"), form.Get("RoleSessionName")
	switch {
	case !roleARN.MatchString(arn):
		return validationError("%s is invalid", arn)
	case !sessionName.MatchString(name):
		return validationError("1 validation error detected: Value '%s' at 'roleSessionName' failed to satisfy "+
			"constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*", name)
	}
	role, known := c.s.identities.role(arn)
	trusted := len(role.Trusted) == 0 || slices.Contains(role.Trusted, c.caller.accessKeyID)
	if !known || !trusted || role.ExternalID != "" && form.Get("ExternalId") != role.ExternalID {
		return errorf(http.StatusForbidden, "AccessDenied",
			"User: %s is not authorized to perform: sts:AssumeRole on resource: %s", c.caller.arn, arn)
	}
	duration, err := c.sessionDuration(form.Get("DurationSeconds"), role)
	if err != nil {
		return err
	}
	var policy *sessionPolicy
	if document := form.Get("Policy"); document != "" {
		if policy, err = parseSessionPolicy(document); err != nil {
			return errorf(http.StatusBadRequest, "MalformedPolicyDocument", "The policy is not valid: %v", err)
		}
	}
	session := c.s.newSession(role, name, duration, policy)
	c.writeXML(http.StatusOK, assumeRoleResult(session, form, c.id))
	return nil
}

func (c *call) sessionDuration(seconds string, role Role) (time.Duration, error) {
	if seconds == "" {
		return min(time.Hour, role.MaxDuration), nil
	}
	n, err := strconv.Atoi(seconds)
	duration := time.Duration(n) * time.Second
	switch {
	case err != nil:
		return 0, validationError("Value '%s' at 'durationSeconds' is not an integer", seconds)
	case duration < minSession:
		return 0, validationError("1 validation error detected: Value '%s' at 'durationSeconds' failed to satisfy "+
			"constraint: Member must have value greater than or equal to %d", seconds, int(minSession.Seconds()))
	case duration > role.MaxDuration:
		return 0, validationError("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	case c.caller.token != "" && duration > chainedSession:
		return 0, validationError("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	}
	return duration, nil
}

func (s *Server) newSession(role Role, name string, duration time.Duration, policy *sessionPolicy) *identity {
	arn := strings.Replace(role.ARN, ":iam:", ":sts:", 1)
	arn = strings.Replace(arn, ":role/", ":assumed-role/", 1) + "/" + name
	session := &identity{
		accessKeyID: "ASIA" + rand.Text()[:16],
		secret:      rand.Text() + rand.Text()[:14],
		token:       "s3writertest." + rand.Text() + rand.Text(),
		arn:         arn,
		allow:       role.Allow,
		session:     policy,
		expires:     s.now().Add(duration).Truncate(time.Second),
	}
	s.identities.add(session)
	return session
}

func assumeRoleResult(session *identity, form url.Values, requestID string) string {
	content := element("AssumedRoleUser",
		text("AssumedRoleId", "AROA"+session.accessKeyID[4:]+":"+form.Get("RoleSessionName"))+text("Arn", session.arn)) +
		element("Credentials", text("AccessKeyId", session.accessKeyID)+text("SecretAccessKey", session.secret)+
			text("SessionToken", session.token)+text("Expiration", session.expires.UTC().Format(time.RFC3339)))
	if identity := form.Get("SourceIdentity"); identity != "" {
		content += text("SourceIdentity", identity)
	}
	return stsDocument("AssumeRole", content, requestID)
}

func (c *call) getCallerIdentity() error {
	content := text("Arn", c.caller.arn) + text("UserId", c.caller.accessKeyID) + text("Account", DefaultOwner)
	c.writeXML(http.StatusOK, stsDocument("GetCallerIdentity", content, c.id))
	return nil
}

func stsDocument(action, content, requestID string) string {
	return xml.Header + fmt.Sprintf("<%sResponse xmlns=%q>", action, stsNamespace) +
		element(action+"Result", content) +
		element("ResponseMetadata", text("RequestId", requestID)) + fmt.Sprintf("</%sResponse>", action)
}
