package acpclient

import (
	"slices"
	"strings"
	"time"
)

// AccessToken is what a verified access token says.
type AccessToken struct {
	Issuer   string
	Subject  string    // of client_credentials tokens: the client itself
	ClientID string    // "" where the token does not say
	Audience []string  // at least one, VerifierConfig.Audience among them
	Scopes   []string  // nil for none
	Expiry   time.Time // never zero
	IssuedAt time.Time // zero where the token does not say

	payload []byte
}

// HasScope reports whether the token was granted the scope, exactly as written.
func (a *AccessToken) HasScope(scope string) bool { return slices.Contains(a.Scopes, scope) }

// Claims decodes all claims into v, like json.Unmarshal but with exact names: a field
// without a tag takes the claim that is written like the field.
func (a *AccessToken) Claims(v any) error { return decode(a.payload, v) }

// scopes reads ACP's `scp`, an array or a string, and the standard `scope` string
// (RFC 9068 2.2.3); a token may hold both.
func scopes(t *jws) ([]string, error) {
	var all []string
	for _, name := range []string{"scp", "scope"} {
		v, ok := t.claims.Value(name)
		if !ok || v.IsNull() {
			continue
		}
		list, ok := v.Strings()
		if s, isString := v.String(); isString {
			list, ok = strings.Split(s, " "), true // RFC 6749 3.3: no other white space
		}
		if !ok {
			return nil, invalidToken("token_malformed", name+" is neither a string nor a list of strings")
		}
		for _, s := range list {
			if s != "" && !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	return all, nil
}
