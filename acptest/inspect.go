package acptest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// secretParameters may never stand in a URL.
var secretParameters = []string{"client_secret", "client_assertion", "code_verifier", "refresh_token", "token", "password"}

// inspect judges what can be judged of a request before it is answered, so also when the test answers
// the endpoint itself.
func (s *Server) inspect(e Endpoint, rawQuery string, r Request) {
	for _, name := range repeated(rawQuery) {
		s.breach(RuleDuplicate, "RFC 6749 3.1", "the %s request sends %q twice in its query", e, name)
	}
	if r.Form != nil {
		for _, name := range repeated(string(r.Body)) {
			s.breach(RuleDuplicate, "RFC 6749 3.2", "the %s request sends %q twice in its body", e, name)
		}
	}
	for _, name := range secretParameters {
		if r.Query.Has(name) {
			s.breach(RuleSecretInURL, "RFC 6749 2.3.1, RFC 9700 4.3", "the %s request carries %q in its URL", e, name)
		}
	}
	if r.Query.Has("access_token") {
		s.breach(RuleBearerInQuery, "RFC 6750 2.3, RFC 9700 4.3.2", "the %s request carries an access token in its URL", e)
	}
	if referer, err := url.Parse(r.Header.Get("Referer")); err == nil && referer.Query().Has("code") && referer.Query().Has("state") {
		s.breach(RuleSecretInURL, "RFC 9700 4.2", "the %s request carries the callback's code and state in its Referer", e)
	}
	switch e {
	case PAREndpoint, TokenEndpoint, IntrospectEndpoint, RevokeEndpoint:
		s.inspectPost(e, r)
	}
}

func (s *Server) inspectPost(e Endpoint, r Request) {
	if r.Method != http.MethodPost {
		s.breach(RuleMethod, "RFC 6749 3.2", "the %s request is a %s, it must be a POST", e, r.Method)
		return
	}
	if r.Form == nil {
		s.breach(RuleContentType, "RFC 6749 3.2, appendix B",
			"the %s request has Content-Type %q, it must be application/x-www-form-urlencoded", e, r.Header.Get("Content-Type"))
		return
	}
	if e == TokenEndpoint && r.Query.Has("code") {
		s.breach(RuleSecretInURL, "RFC 6749 3.2", "the token request carries the code in its URL")
	}
	key := r.Header.Get("X-Idempotency-Key")
	if r.Header["X-Idempotency-Key"] != nil && (len(key) < 32 || len(key) > 255) {
		s.breach(RuleIdempotency, "ACP API", "the %s request has an X-Idempotency-Key of %d characters, 32 to 255 are allowed", e, len(key))
	}
	if code := r.Form.Get("code"); e == TokenEndpoint && code != "" && s.seenBefore("code", code) {
		s.breach(RuleCodeReplay, "RFC 6749 4.1.2", "the client sends an authorization code a second time")
	}
}

// seenBefore remembers a value.
func (s *Server) seenBefore(kind, value string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := kind + " " + value
	seen := s.state.seen[k]
	s.state.seen[k] = true
	return seen
}

// repeated names the parameters that occur more than once. `resource` and
// `audience` may (RFC 8707 2, RFC 8693 2.1).
func repeated(encoded string) []string {
	values, err := url.ParseQuery(encoded)
	if err != nil && len(values) == 0 {
		return nil
	}
	var names []string
	for name, v := range values {
		if len(v) > 1 && name != "resource" && name != "audience" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// inspectAuthorize judges an authorize request of a known client. The text of what makes the request
// unanswerable comes back, "" if nothing does.
func (s *Server) inspectAuthorize(q url.Values, openid bool) (refusal string) {
	if q.Get("state") == "" {
		s.breach(RuleState, "RFC 9700 2.1, RFC 6749 10.12", "the authorize request has no state")
	}
	if openid && q.Get("nonce") == "" {
		s.breach(RuleNonce, "RFC 9700 2.1.1, OpenID Connect Core 15.5.2", "the authorize request asks for openid and has no nonce")
	}
	challenge, method := q.Get("code_challenge"), q.Get("code_challenge_method")
	switch {
	case challenge == "":
		s.breach(RulePKCE, "RFC 9700 2.1.1, RFC 7636 4.3", "the authorize request has no code_challenge")
	case method != "S256":
		s.breach(RulePKCE, "RFC 7636 4.2, RFC 9700 2.1.1", "code_challenge_method is %q, it must be S256", orPlain(method))
		refusal = "only the code_challenge_method S256 is allowed"
	case len(challenge) != 43 || !unreserved(challenge):
		s.breach(RulePKCE, "RFC 7636 4.2", "the code_challenge is not the base64url form of a SHA-256 hash")
		refusal = "code_challenge is malformed"
	}
	s.inspectEntropy(q)
	for c := range scopeErrors(q.Get("scope")) {
		s.breach(RuleRequest, "RFC 6749 3.3", "scope contains the character %q", c)
		refusal = "scope is malformed"
	}
	if q.Has("max_age") {
		if _, err := strconv.ParseUint(q.Get("max_age"), 10, 32); err != nil {
			s.breach(RuleRequest, "OpenID Connect Core 3.1.2.1", "max_age is %q, it must be a number of seconds", q.Get("max_age"))
			refusal = "max_age is malformed"
		}
	}
	if prompts := splitScope(q.Get("prompt")); len(prompts) > 1 && slices.Contains(prompts, "none") {
		s.breach(RuleRequest, "OpenID Connect Core 3.1.2.1", "prompt is %q: none cannot stand with another value", q.Get("prompt"))
		refusal = "prompt is contradictory"
	}
	if q.Has("authorization_details") && !wellTyped(q.Get("authorization_details")) {
		s.breach(RuleRequest, "RFC 9396 2", "authorization_details is not an array of objects, each with a type")
		refusal = "authorization_details is malformed"
	}
	return refusal
}

// wellTyped holds for what authorization_details must be (RFC 9396 2).
func wellTyped(details string) bool {
	type typed struct {
		Type string `json:"type"`
	}
	var list []typed
	return json.Unmarshal([]byte(details), &list) == nil && len(list) > 0 && !slices.Contains(list, typed{})
}

func orPlain(method string) string {
	if method == "" {
		return "plain (no method given)"
	}
	return method
}

// inspectEntropy finds values that are short, or that were used for another request.
func (s *Server) inspectEntropy(q url.Values) {
	const short = 22 // 128 bits in base64url
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		value := q.Get(name)
		if value == "" {
			continue
		}
		if len(value) < short {
			s.breach(RuleEntropy, "RFC 6749 10.10", "%s has %d characters: fewer than %d cannot carry 128 bits", name, len(value), short)
		}
		s.mu.Lock()
		first, seen := s.state.requests[name+" "+value]
		if !seen {
			s.state.requests[name+" "+value] = q.Encode()
		}
		s.mu.Unlock()
		if seen && first != q.Encode() { // the same address again is a reload
			s.breach(RuleEntropy, "RFC 9700 4.7, RFC 7636 7.1", "%s has the value of an earlier, different authorize request", name)
		}
	}
	if state := q.Get("state"); state != "" && state == q.Get("nonce") {
		s.breach(RuleEntropy, "OpenID Connect Core 15.5.2", "state and nonce are the same value")
	}
}

// scopeErrors yields the characters that RFC 6749 3.3 does not allow.
func scopeErrors(scope string) map[rune]bool {
	bad := map[rune]bool{}
	for _, c := range scope {
		if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			bad[c] = true
		}
	}
	return bad
}

// unreserved holds the characters of RFC 7636 4.1.
func unreserved(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '.', c == '_', c == '~':
		default:
			return false
		}
	}
	return true
}
