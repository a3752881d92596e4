package acptest

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// bearer finds the one access token of a request's Authorization header.
func bearer(r Request) string {
	h := r.Header.Values("Authorization")
	if len(h) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(h[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

// active returns a token that is neither expired nor revoked.
func (s *Server) active(token string) *accessToken {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.state.accesses[token]
	if t == nil || t.revoked || t.grant != nil && t.grant.revoked {
		return nil
	}
	if !t.expiry.IsZero() && !s.now().Before(t.expiry) {
		return nil
	}
	return t
}

// userInfo answers GET /userinfo (OpenID Connect Core 5.3).
func (s *Server) userInfo(r Request) *Response {
	if r.Method != http.MethodGet {
		res := genericError(http.StatusMethodNotAllowed, "method_not_allowed", "userinfo is GET")
		res.Header.Set("Allow", "GET")
		return res
	}
	token, refusal := s.shown(UserInfoEndpoint, r)
	if refusal != nil {
		return refusal
	}
	t := s.active(token)
	if t == nil {
		res := jsonResponse(http.StatusUnauthorized, map[string]any{
			"error": "the access token is missing, expired or unknown", "error_code": "invalid_access_token",
			"status_code": http.StatusUnauthorized, "details": nil,
		})
		res.Header.Set("Www-Authenticate", "Bearer")
		if bearer(r) != "" {
			res.Header.Set("Www-Authenticate", `Bearer error="invalid_token"`)
		}
		return res
	}
	s.mu.Lock()
	g := &grant{user: s.user, scopes: []string{"profile", "email"}}
	if t.grant != nil {
		g = t.grant
	}
	clientID, _ := t.claims["client_id"].(string)
	client, hook := s.clients[clientID], s.hooks.userInfo
	s.mu.Unlock()
	claims := userClaims(g)
	claims["sub"], claims["tid"], claims["aid"], claims["idp"] = t.claims["sub"], s.opts.Tenant, s.opts.Workspace, "demo"
	if e := client.Encryption; client.SignedUserInfo || e.UserInfo {
		claims["iss"], claims["aud"] = s.Issuer, client.ID
		token := e.sealed(s.Sign(nil, edited(hook, claims)), e.UserInfo)
		res := response(http.StatusOK, "application/jwt", []byte(token))
		res.Header.Set("Cache-Control", "no-store")
		return res
	}
	return jsonResponse(http.StatusOK, edited(hook, claims))
}

// caller checks who calls introspection or revocation: a client, or the bearer of an
// access token, as ACP allows.
func (s *Server) caller(e Endpoint, r Request) (Client, *Response) {
	if refusal := refusePost(r); refusal != nil {
		return Client{}, refusal
	}
	token := bearer(r)
	if token == "" {
		return s.authenticate(e, r)
	}
	if t := s.active(token); t != nil {
		id, _ := t.claims["client_id"].(string)
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.clients[id], nil
	}
	res := genericError(http.StatusUnauthorized, "invalid_token", "the access token is not valid")
	res.Header.Set("Www-Authenticate", `Bearer error="invalid_token"`)
	return Client{}, res
}

// introspect answers POST /oauth2/introspect (RFC 7662), with ACP's names of the members.
func (s *Server) introspect(r Request) *Response {
	if _, refusal := s.caller(IntrospectEndpoint, r); refusal != nil {
		return refusal
	}
	value := r.Form.Get("token")
	if value == "" {
		return genericError(http.StatusBadRequest, "invalid_request", "token is missing")
	}
	body := map[string]any{"active": false}
	if t := s.active(value); t != nil {
		for _, name := range []string{"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_id", "acr", "amr", "auth_time", "idp", "cnf", "st"} {
			if v, ok := t.claims[name]; ok {
				body[name] = v
			}
		}
		body["active"], body["token_type"] = true, "access_token"
		body["tenant_id"], body["server_id"] = t.claims["tid"], t.claims["aid"]
		if scopes, ok := t.claims["scp"].([]string); ok {
			body["scope"] = strings.Join(scopes, " ")
		}
	} else if t := s.activeRefresh(value); t != nil { // a refresh token is active too: callers must look at token_type
		body = map[string]any{
			"active": true, "token_type": "refresh_token", "client_id": t.grant.clientID, "sub": t.grant.user.Subject,
			"scope": strings.Join(t.grant.scopes, " "), "exp": t.expiry.Unix(), "iss": s.Issuer, "aud": []string{t.grant.clientID},
		}
	}
	s.mu.Lock()
	hook := s.hooks.introspection
	s.mu.Unlock()
	return jsonResponse(http.StatusOK, edited(hook, body))
}

func (s *Server) activeRefresh(value string) *refreshToken {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.state.refreshes[value]
	if t == nil || t.used || t.grant.revoked || !s.now().Before(t.expiry) {
		return nil
	}
	return t
}

// revoke answers POST /oauth2/revoke (RFC 7009). A refresh token takes its grant with it.
func (s *Server) revoke(r Request) *Response {
	client, refusal := s.caller(RevokeEndpoint, r)
	if refusal != nil {
		return refusal
	}
	value := r.Form.Get("token")
	if value == "" {
		return genericError(http.StatusBadRequest, "invalid_request", "token is missing")
	}
	return s.idempotent(RevokeEndpoint, client, r, func() *Response {
		s.mu.Lock()
		defer s.mu.Unlock()
		if t := s.state.refreshes[value]; t != nil && t.grant.clientID == client.ID {
			t.grant.revoked = true
		}
		if t := s.state.accesses[value]; t != nil && t.claims["client_id"] == client.ID {
			t.revoked = true
		}
		return response(http.StatusOK, "", nil) // RFC 7009 2.2: also for an unknown token
	})
}

// RevokeTokens ends every token and code that was issued so far, as an administrator would.
func (s *Server) RevokeTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.state.codes {
		c.grant.revoked = true
		c.expiry = time.Time{}
	}
	for _, t := range s.state.refreshes {
		t.grant.revoked = true
	}
	for _, t := range s.state.accesses {
		t.revoked = true
	}
}

// ActiveRefreshTokens returns the refresh tokens that would still be taken, sorted. A test that rotates
// expects one for each session.
func (s *Server) ActiveRefreshTokens() []string {
	var values []string
	s.mu.Lock()
	for value, t := range s.state.refreshes {
		if !t.used && !t.grant.revoked && s.now().Before(t.expiry) {
			values = append(values, value)
		}
	}
	s.mu.Unlock()
	slices.Sort(values)
	return values
}
