package acpclient

import (
	"slices"
	"strings"
	"time"

	"github.com/acp-go/acp/internal/strictjson"
)

// claims are the members of a JWT's payload, or of an introspection answer, read the
// same way for every kind of token.
type claims strictjson.Object

func (c claims) value(name string) (strictjson.Value, bool) { return strictjson.Object(c).Value(name) }

func (c claims) has(name string) bool {
	_, ok := c.value(name)
	return ok
}

// text returns a claim that must be a string where it is there.
func (c claims) text(name string) (s string, present bool, err error) {
	v, ok := c.value(name)
	if !ok {
		return "", false, nil
	}
	if s, ok = v.String(); !ok {
		return "", true, invalidToken("token_malformed", name+" is not a string")
	}
	return s, true, nil
}

// date returns a NumericDate (RFC 7519 2) where it is there.
func (c claims) date(name string) (at time.Time, present bool, err error) {
	v, ok := c.value(name)
	if !ok {
		return time.Time{}, false, nil
	}
	if at, err = v.NumericDate(); err != nil {
		return time.Time{}, true, invalidToken("token_malformed", name+": "+err.Error())
	}
	return at, true, nil
}

const (
	maxAudiences = 100
	maxScopes    = 1000
)

// audience is the `aud` claim as a list: a string, or an array of strings.
func (c claims) audience() ([]string, error) { return c.appendAudience(nil) }

func (c claims) appendAudience(list []string) ([]string, error) {
	v, _ := c.value("aud")
	if s, ok := v.String(); ok && s != "" {
		return append(list, s), nil
	}
	before := len(list)
	list, ok := v.AppendStrings(list)
	if n := len(list) - before; !ok || n == 0 || n > maxAudiences {
		return list[:before], invalidToken("audience", "aud is missing or malformed")
	}
	return list, nil
}

// validity is what the times of a token say.
type validity struct {
	issuedAt  time.Time // zero where the token does not say
	notBefore time.Time // of nbf and iat the later one; zero where the token says neither
	expiry    time.Time // zero where the token does not say
}

// validity reads exp, which all JWTs must have, nbf and iat, and judges them.
func (c claims) validity(now time.Time, leeway time.Duration, needsExp bool) (v validity, err error) {
	var ok bool
	v.expiry, ok, err = c.date("exp")
	switch {
	case err != nil:
		return v, err
	case !ok && needsExp:
		return v, invalidToken("token_malformed", "no exp")
	case ok && !now.Before(v.expiry.Add(leeway)): // RFC 7519 4.1.4
		return v, errExpired
	}
	if v.notBefore, _, err = c.date("nbf"); err != nil {
		return v, err
	}
	latest := now.Add(leeway)
	if v.notBefore.After(latest) { // RFC 7519 4.1.5
		return v, errNotYetValid
	}
	if v.issuedAt, _, err = c.date("iat"); err != nil {
		return v, err
	}
	if v.issuedAt.After(latest) {
		return v, invalidToken("issued_at", "iat is in the future")
	}
	if v.issuedAt.After(v.notBefore) {
		v.notBefore = v.issuedAt
	}
	return v, nil
}

var (
	errExpired     = invalidToken("expired", "exp is over")
	errNotYetValid = invalidToken("not_yet_valid", "nbf is in the future")
)

// subject is required in ID tokens and access tokens, and identifies one user without doubt
// (OIDC Core 2, RFC 9068 2.2).
func (c claims) subject() (string, error) {
	sub, _, err := c.text("sub")
	if err != nil || !validSubject(sub) {
		return "", invalidToken("subject", "sub is missing or malformed")
	}
	return sub, nil
}

func validSubject(sub string) bool { return len(sub) <= 255 && printable(sub) }

// appendScopes reads ACP's `scp`, an array or a string, and the standard `scope` string
// (RFC 9068 2.2.3); a token may hold both. An empty string is no scope, and none comes twice.
func (c claims) appendScopes(list []string) ([]string, error) {
	begin := len(list)
	for _, name := range [...]string{"scp", "scope"} {
		v, ok := c.value(name)
		if !ok || v.IsNull() {
			continue
		}
		known := len(list)
		if s, isString := v.String(); isString {
			list = slices.AppendSeq(list, strings.SplitSeq(s, " ")) // RFC 6749 3.3: no other white space
		} else if list, ok = v.AppendStrings(list); !ok {
			return list, invalidToken("token_malformed", name+" is neither a string nor a list of strings")
		}
		if len(list)-known > maxScopes { // each is compared with all others
			return list, invalidToken("token_malformed", name+" has too many scopes")
		}
		for _, scope := range list[known:] {
			if scope != "" && !slices.Contains(list[begin:known], scope) {
				list[known] = scope
				known++
			}
		}
		list = list[:known]
	}
	return list, nil
}
