package acptest

import (
	"crypto/sha256"
	"crypto/subtle"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// token answers POST /oauth2/token.
func (s *Server) token(r Request) *Response {
	if refusal := refusePost(r); refusal != nil {
		return refusal
	}
	client, refusal := s.authenticate(TokenEndpoint, r)
	if refusal != nil {
		return refusal
	}
	if r.boundTo, refusal = s.proof(TokenEndpoint, r, ""); refusal != nil {
		return s.offerNonce(refusal)
	}
	return s.offerNonce(s.idempotent(TokenEndpoint, client, r, func() *Response {
		switch grantType := r.Form.Get("grant_type"); grantType {
		case "authorization_code":
			return s.exchange(client, r)
		case "refresh_token":
			return s.refresh(client, r)
		case "client_credentials":
			if client.AuthMethod == AuthNone {
				return oauthError(http.StatusBadRequest, "unauthorized_client", "a public client cannot use this grant", "unauthorized_client")
			}
			g := &grant{clientID: client.ID, user: User{Subject: client.ID}, resources: r.Form["resource"]}
			if refusal := s.bind(client, g, r, true); refusal != nil {
				return refusal
			}
			return s.tokens(client, g, splitScope(r.Form.Get("scope")), false)
		case "":
			return oauthError(http.StatusBadRequest, "invalid_request", "grant_type is missing", "invalid_request")
		default:
			return oauthError(http.StatusBadRequest, "unsupported_grant_type", "this server does not know the grant", "unsupported_grant_type")
		}
	}))
}

// refusePost refuses what inspectPost has judged.
func refusePost(r Request) *Response {
	switch {
	case r.Method != http.MethodPost:
		res := genericError(http.StatusMethodNotAllowed, "method_not_allowed", "only POST is allowed")
		res.Header.Set("Allow", "POST")
		return res
	case r.Form == nil:
		return oauthError(http.StatusBadRequest, "invalid_request", "the body must be form encoded", "invalid_content_type")
	case len(repeated(string(r.Body))) > 0:
		return oauthError(http.StatusBadRequest, "invalid_request", "a parameter is repeated", "duplicate_parameter")
	}
	return nil
}

// idempotent answers the same key of the same client within a minute from memory, as ACP does.
func (s *Server) idempotent(e Endpoint, c Client, r Request, answer func() *Response) *Response {
	key := r.Header.Get("X-Idempotency-Key")
	if len(key) < 32 || len(key) > 255 {
		return answer()
	}
	key = string(e) + " " + c.ID + " " + key
	s.mu.Lock()
	memory := s.state.replays[key]
	if memory == nil || s.now().Sub(memory.at) > time.Minute {
		memory = &replay{at: s.now()}
		s.state.replays[key] = memory
	}
	s.mu.Unlock()
	first := false
	memory.once.Do(func() { // a second request waits for the first
		first = true
		memory.response = *answer()
	})
	res := memory.response
	res.Header = maps.Clone(res.Header)
	res.Body = slices.Clone(res.Body)
	if !first {
		res.Header.Set("X-Idempotent-Replayed", "true")
	}
	return &res
}

func invalidGrant(description, cause string) *Response {
	return oauthError(http.StatusBadRequest, "invalid_grant", description, cause)
}

// exchange takes a code (RFC 6749 4.1.3).
func (s *Server) exchange(client Client, r Request) *Response {
	value := r.Form.Get("code")
	if value == "" {
		return oauthError(http.StatusBadRequest, "invalid_request", "code is missing", "invalid_request")
	}
	s.mu.Lock()
	c, known := s.state.codes[value]
	var found code
	if known {
		found = *c
		if found.used {
			c.grant.revoked = true // RFC 6749 4.1.2: tokens of a code that comes twice are revoked
		}
		c.used = true
	}
	s.mu.Unlock()
	switch {
	case !known, found.grant.clientID != client.ID:
		return invalidGrant("the code is not one of this client's", "invalid_code")
	case found.used:
		return invalidGrant("the code was used before", "code_reused")
	case !s.now().Before(found.expiry):
		return invalidGrant("the code has expired", "code_expired")
	}
	if sent := r.Form.Get("redirect_uri"); sent != found.redirectURI {
		s.breach(RuleRedirectURI, "RFC 6749 4.1.3", "redirect_uri is %q at the token endpoint and was %q in the authorize request", sent, found.redirectURI)
		return invalidGrant("redirect_uri differs from the authorize request's", "invalid_redirect_uri")
	}
	if refusal := s.checkVerifier(found.challenge, r.Form.Get("code_verifier"), r.Form.Has("code_verifier")); refusal != nil {
		return refusal
	}
	if refusal := s.bind(client, found.grant, r, true); refusal != nil {
		return refusal
	}
	return s.tokens(client, found.grant, found.grant.scopes, true)
}

func (s *Server) checkVerifier(challenge, verifier string, sent bool) *Response {
	switch {
	case challenge == "" && !sent:
		return nil // judged at the authorize request
	case challenge == "":
		s.breach(RulePKCE, "RFC 9700 4.8.2", "a code_verifier is sent for an authorize request without code_challenge")
	case verifier == "":
		s.breach(RulePKCE, "RFC 7636 4.5", "the token request has no code_verifier")
	case len(verifier) < 43 || len(verifier) > 128 || !unreserved(verifier):
		s.breach(RulePKCE, "RFC 7636 4.1", "code_verifier is not 43 to 128 unreserved characters")
	default:
		sum := sha256.Sum256([]byte(verifier))
		if subtle.ConstantTimeCompare([]byte(b64(sum[:])), []byte(challenge)) == 1 {
			return nil
		}
	}
	return invalidGrant("code_verifier does not fit code_challenge", "invalid_pkce")
}

// refresh takes a refresh token (RFC 6749 6).
func (s *Server) refresh(client Client, r Request) *Response {
	value := r.Form.Get("refresh_token")
	if value == "" {
		return oauthError(http.StatusBadRequest, "invalid_request", "refresh_token is missing", "invalid_request")
	}
	wanted := splitScope(r.Form.Get("scope"))
	s.mu.Lock()
	t, known := s.state.refreshes[value]
	mine := known && t.grant.clientID == client.ID
	var reused, dead, wider bool
	if mine {
		reused = t.used
		dead = t.grant.revoked || !s.now().Before(t.expiry)
		wider = slices.ContainsFunc(wanted, func(scope string) bool { return !slices.Contains(t.grant.scopes, scope) })
		switch {
		case reused: // RFC 9700 4.14.2: the whole family ends
			t.grant.revoked = true
		case !dead && !wider && !s.opts.NoRotation:
			t.used = true
		}
	}
	s.mu.Unlock()
	switch {
	case !mine:
		return invalidGrant("the refresh token is not one of this client's", "invalid_refresh_token")
	case reused:
		s.breach(RuleRefreshReuse, "RFC 9700 4.14.2, RFC 6749 6", "the client sends a refresh token that was replaced by a newer one")
		return invalidGrant("the refresh token was used before", "refresh_token_reused")
	case dead:
		return invalidGrant("the refresh token is expired or revoked", "invalid_refresh_token")
	case wider:
		return oauthError(http.StatusBadRequest, "invalid_scope", "scope exceeds what was granted", "invalid_scope")
	}
	if refusal := s.bind(client, t.grant, r, false); refusal != nil {
		return refusal
	}
	if len(wanted) == 0 {
		wanted = t.grant.scopes
	}
	return s.tokens(client, t.grant, wanted, false)
}

// tokens answers with tokens for scopes out of a grant. first says that a code was exchanged.
func (s *Server) tokens(client Client, g *grant, scopes []string, first bool) *Response {
	s.mu.Lock()
	ttl, hook, boundTo := s.accessTTL, s.hooks.tokens, g.boundTo
	s.mu.Unlock()
	access := s.issueAccessToken(client, g, scopes, ttl, boundTo)
	body := map[string]any{
		"access_token": access,
		"token_type":   "bearer",
		"expires_in":   int64(ttl / time.Second),
		"scope":        strings.Join(scopes, " "),
	}
	if boundTo != "" {
		body["token_type"] = "DPoP"
	}
	if g.id != "" {
		body["grant_id"] = g.id
	}
	if g.details != nil {
		body["authorization_details"] = g.details
	}
	if slices.Contains(scopes, "openid") {
		body["id_token"] = s.issueIDToken(client, g, access, first)
	}
	if g.refreshTokens && (first || !s.opts.NoRotation) {
		value := random()
		s.mu.Lock()
		s.state.refreshes[value] = &refreshToken{grant: g, expiry: s.now().Add(s.opts.RefreshTokenTTL)}
		s.mu.Unlock()
		body["refresh_token"] = value
	}
	res := jsonResponse(http.StatusOK, edited(hook, body))
	res.Header.Set("Pragma", "no-cache")
	return res
}
