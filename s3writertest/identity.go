package s3writertest

import (
	"fmt"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

// Allow is what a key or role may do: actions on resources, as in a statement of an IAM policy.
// The wildcards * and ? stand in both. A list that is empty allows nothing.
type Allow struct {
	Actions   []string // s3:PutObject, s3:*, *
	Resources []string // arn:aws:s3:::writer-sample, arn:aws:s3:::writer-sample/exports/*, *
}

// LeastPrivilege is what a delivery into a bucket needs: s3:PutObject and s3:GetBucketLocation, no more.
func LeastPrivilege(bucket string) Allow {
	arn := "arn:aws:s3:::" + bucket
	return Allow{
		Actions:   []string{"s3:PutObject", "s3:GetBucketLocation"},
		Resources: []string{arn, arn + "/*"},
	}
}

// Role is what AssumeRole, answered at the server's URL, can be asked for.
type Role struct {
	ARN         string        // arn:aws:iam::123456789012:role/name
	ExternalID  string        // empty: none is asked for
	Trusted     []string      // access key IDs that may assume it; empty: all
	MaxDuration time.Duration // of a session; default one hour
	Allow       []Allow
}

// AddKey adds a long-term access key, or replaces one. Without allow it is known, and allowed nothing.
func (s *Server) AddKey(accessKeyID, secretAccessKey string, allow ...Allow) {
	s.identities.add(&identity{
		accessKeyID: accessKeyID,
		secret:      secretAccessKey,
		arn:         fmt.Sprintf("arn:aws:iam::%s:user/%s", DefaultOwner, accessKeyID),
		allow:       allow,
	})
}

// AddRole adds a role, or replaces the one of the same ARN. Sessions that exist keep what they were given.
func (s *Server) AddRole(r Role) {
	if r.MaxDuration == 0 {
		r.MaxDuration = time.Hour
	}
	s.identities.mu.Lock()
	defer s.identities.mu.Unlock()
	if s.identities.roles == nil {
		s.identities.roles = map[string]Role{}
	}
	s.identities.roles[r.ARN] = r
}

// ExpireSessions ends every session that AssumeRole gave out: its requests are refused with
// 400 ExpiredToken. Later sessions work.
func (s *Server) ExpireSessions() {
	s.identities.mu.Lock()
	defer s.identities.mu.Unlock()
	for _, id := range s.identities.keys {
		if id.token != "" {
			id.expired = true
		}
	}
}

type identities struct {
	mu    sync.RWMutex
	keys  map[string]*identity // by access key ID
	roles map[string]Role      // by ARN
}

// identity is an access key and who uses it. A session has a token, an end, and perhaps a policy of its own.
type identity struct {
	accessKeyID, secret, token string
	arn                        string
	allow                      []Allow
	session                    *sessionPolicy
	expires                    time.Time
	expired                    bool
}

func (ids *identities) add(id *identity) {
	ids.mu.Lock()
	defer ids.mu.Unlock()
	if ids.keys == nil {
		ids.keys = map[string]*identity{}
	}
	ids.keys[id.accessKeyID] = id
}

// find returns a copy, which ExpireSessions does not change under the reader.
func (ids *identities) find(accessKeyID string) (identity, bool) {
	ids.mu.RLock()
	defer ids.mu.RUnlock()
	if id := ids.keys[accessKeyID]; id != nil {
		return *id, true
	}
	return identity{}, false
}

func (ids *identities) role(arn string) (Role, bool) {
	ids.mu.RLock()
	defer ids.mu.RUnlock()
	r, ok := ids.roles[arn]
	return r, ok
}

// authorize checks every permission the operation needs.
func (c *call) authorize() error {
	for _, permission := range c.op.permissions {
		if err := c.caller.mayDo(permission, c.resource()); err != nil {
			return err
		}
	}
	return nil
}

// may tells whether the caller has a permission the operation itself does not need.
func (c *call) may(action, resource string) bool { return c.caller.mayDo(action, resource) == nil }

func (c *call) resource() string {
	switch {
	case c.bucket == "":
		return "*"
	case c.key == "":
		return bucketARN(c.bucket)
	}
	return bucketARN(c.bucket) + "/" + c.key
}

func bucketARN(bucket string) string { return "arn:aws:s3:::" + bucket }

func (id *identity) mayDo(action, resource string) error {
	because := ""
	switch {
	case !allowed(id.allow, action, resource):
		because = "identity-based"
	case id.session != nil && !id.session.allows(action, resource):
		because = "session"
	default:
		return nil
	}
	return errorf(http.StatusForbidden, "AccessDenied",
		"User: %s is not authorized to perform: %s on resource: %q because no %s policy allows the %s action",
		id.arn, action, resource, because, action)
}

func allowed(allow []Allow, action, resource string) bool {
	for _, a := range allow {
		if matchesAction(a.Actions, action) && matchesAny(a.Resources, resource) {
			return true
		}
	}
	return false
}

// matchesAction ignores case, as IAM does for actions and not for resources.
func matchesAction(patterns []string, action string) bool {
	for _, p := range patterns {
		if matches(strings.ToLower(p), strings.ToLower(action)) {
			return true
		}
	}
	return false
}

func matchesAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if matches(p, name) {
			return true
		}
	}
	return false
}

// quoted takes from path.Match all that IAM's patterns do not have: * crosses slashes there, and
// brackets and backslashes stand for themselves.
var quoted = strings.NewReplacer("/", "\x00", `\`, `\\`, "[", `\[`)

func matches(pattern, name string) bool {
	ok, err := path.Match(quoted.Replace(pattern), strings.ReplaceAll(name, "/", "\x00"))
	return err == nil && ok
}
