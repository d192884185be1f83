package s3writertest

import (
	"encoding/json"
	"fmt"
)

// sessionPolicy is the policy document of an AssumeRole: a session may do what its role and this allow.
// Conditions are refused rather than ignored.
type sessionPolicy struct {
	Version   string
	Statement oneOrMore[statement]
}

type statement struct {
	Sid       string
	Effect    string
	Action    oneOrMore[string]
	Resource  oneOrMore[string]
	Condition json.RawMessage
}

// oneOrMore is a list that JSON policies may write as its only element.
type oneOrMore[T any] []T

func (l *oneOrMore[T]) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '[' {
		return json.Unmarshal(data, (*[]T)(l))
	}
	*l = make([]T, 1)
	return json.Unmarshal(data, &(*l)[0])
}

func parseSessionPolicy(document string) (*sessionPolicy, error) {
	p := new(sessionPolicy)
	if err := json.Unmarshal([]byte(document), p); err != nil {
		return nil, err
	}
	if p.Version != "2012-10-17" && p.Version != "2008-10-17" {
		return nil, fmt.Errorf("version %q", p.Version)
	}
	for i, st := range p.Statement {
		switch {
		case st.Effect != "Allow" && st.Effect != "Deny":
			return nil, fmt.Errorf("statement %d: effect %q", i+1, st.Effect)
		case len(st.Action) == 0 || len(st.Resource) == 0:
			return nil, fmt.Errorf("statement %d: no action or no resource", i+1)
		case st.Condition != nil:
			return nil, fmt.Errorf("statement %d: conditions are not supported here", i+1)
		}
	}
	return p, nil
}

func (p *sessionPolicy) allows(action, resource string) bool {
	allowed := false
	for _, st := range p.Statement {
		if !matchesAction(st.Action, action) || !matchesAny(st.Resource, resource) {
			continue
		}
		if st.Effect == "Deny" {
			return false
		}
		allowed = true
	}
	return allowed
}
