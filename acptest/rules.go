package acptest

import (
	"fmt"
	"slices"
)

// Rule names something that a client must not do. The server fails the test when the client
// does it all the same, unless it was told to tolerate the rule.
type Rule string

// The rules, and where they are written.
const (
	RuleState         Rule = "state"           // an authorize request has a state (RFC 9700 2.1)
	RuleNonce         Rule = "nonce"           // with openid it has a nonce (RFC 9700 2.1.1, OpenID Connect Core 15.5.2)
	RulePKCE          Rule = "pkce"            // it has an S256 challenge, and the token request the verifier (RFC 7636 4, RFC 9700 2.1.1)
	RuleEntropy       Rule = "entropy"         // state, nonce and challenge are long, and new for each request (RFC 6749 10.10)
	RuleRequest       Rule = "request"         // parameters are well formed (RFC 6749 3.3, OpenID Connect Core 3.1.2.1)
	RuleResponseType  Rule = "response_type"   // response_type is "code" (RFC 9700 2.1.2)
	RuleClientID      Rule = "client_id"       // a request says whose it is (RFC 6749 3.2.1, 4.1.1)
	RuleRedirectURI   Rule = "redirect_uri"    // it is the registered one, and the same at the token endpoint (RFC 6749 4.1.3)
	RuleDuplicate     Rule = "duplicate"       // no parameter is sent twice (RFC 6749 3.1, 3.2)
	RulePAR           Rule = "par"             // a pushed request is whole, and its URL carries a reference alone (RFC 9126 2.1, 4)
	RuleRequestObject Rule = "request_object"  // it is right, short-lived and new, and holds the whole request (RFC 9101 4, 5)
	RuleMethod        Rule = "method"          // PAR, token, introspection and revocation requests are POST (RFC 6749 3.2)
	RuleContentType   Rule = "content_type"    // and form encoded (RFC 6749 3.2, appendix B)
	RuleClientAuth    Rule = "client_auth"     // one method of authentication, the registered one (RFC 6749 2.3)
	RuleAssertion     Rule = "assertion"       // a client assertion is right, short-lived and new (RFC 7523 3)
	RuleSecretInURL   Rule = "secret_in_url"   // no secret stands in a URL (RFC 6749 2.3.1, RFC 9700 4.2.4)
	RuleBearerInQuery Rule = "bearer_in_query" // no access token stands in a URL (RFC 6750 2.3, RFC 9700 4.3.2)
	RuleCodeReplay    Rule = "code_replay"     // a code is sent once (RFC 6749 4.1.2)
	RuleRefreshReuse  Rule = "refresh_reuse"   // a refresh token that was replaced is not sent again (RFC 9700 4.14.2)
	RuleIdempotency   Rule = "idempotency"     // X-Idempotency-Key has 32 to 255 characters (ACP)
	RuleProof         Rule = "proof"           // a DPoP proof is right and new, and a bound token comes with one (RFC 9449 4.3, 7)
	RuleLogout        Rule = "logout"          // a logout request says whose session ends (OpenID Connect RP-Initiated Logout 2)
)

// Breach is one breaking of a rule by the client.
type Breach struct {
	Rule      Rule
	Text      string // what happened, with the section that forbids it
	Tolerated bool   // the test was told not to fail
}

// Tolerate lets the client break these rules without failing the test, from now on.
// Without arguments it tolerates everything. Breaches still lists what happened, and the server
// still refuses what a real one refuses.
func (s *Server) Tolerate(rules ...Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(rules) == 0 {
		s.tolerateAll = true
	}
	s.tolerated = append(s.tolerated, rules...)
}

// Breaches returns what the client did wrong so far, tolerated or not.
func (s *Server) Breaches() []Breach {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.breaches)
}

// breach records that the client broke a rule, and fails the test unless it is tolerated.
func (s *Server) breach(rule Rule, section, format string, args ...any) {
	text := section + ": " + fmt.Sprintf(format, args...)
	s.mu.Lock()
	tolerated := s.tolerateAll || slices.Contains(s.tolerated, rule)
	s.breaches = append(s.breaches, Breach{Rule: rule, Text: text, Tolerated: tolerated})
	s.mu.Unlock()
	if !tolerated && s.ctx.Err() == nil { // a closed server belongs to a test that may be over
		s.t.Errorf("acptest: the client breaks the protocol: %s (rule %q)", text, rule)
	}
}
