package acptest

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// accessClaims are the claims of an access token as ACP makes them: `scp` in place of
// `scope`, and neither client_id nor azp.
func (s *Server) accessClaims(clientID, subject string, scopes []string, ttl time.Duration) map[string]any {
	now := s.now()
	if scopes == nil {
		scopes = []string{}
	}
	return map[string]any{
		"iss": s.Issuer, "sub": subject, "aud": []string{clientID, s.Audience},
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(ttl).Unix(), "jti": random()[:22],
		"scp": scopes, "tid": s.opts.Tenant, "aid": s.opts.Workspace,
		"idp": "", "amr": []string{}, "st": "public",
	}
}

func (s *Server) issueAccessToken(client Client, g *grant, scopes []string, ttl time.Duration, boundTo string) string {
	claims := s.accessClaims(client.ID, g.user.Subject, scopes, ttl)
	claims["aud"] = append(claims["aud"].([]string), g.resources...)
	if len(g.amr) > 0 {
		claims["amr"] = g.amr
	}
	if boundTo != "" {
		claims["cnf"] = map[string]any{"jkt": boundTo}
	}
	if g.acr != "" {
		claims["acr"] = g.acr
	}
	if !g.authTime.IsZero() {
		claims["auth_time"] = g.authTime.Unix()
	}
	return s.mintAccessToken(client.ID, claims, g)
}

// mintAccessToken makes the token that the hooks want, and remembers it.
func (s *Server) mintAccessToken(clientID string, claims map[string]any, owner *grant) string {
	s.mu.Lock()
	key, edit, mint := s.key, s.hooks.accessToken, s.hooks.mintAccess
	s.mu.Unlock()
	header := key.header(nil)
	if edit != nil {
		edit(header, claims)
	}
	token := ""
	switch {
	case mint != nil:
		token = mint(header, claims)
	case s.opts.OpaqueTokens:
		token = random()
	default:
		token = key.SignRaw(encode(header), encode(claims))
	}
	known := maps.Clone(claims)
	known["client_id"] = clientID
	var expiry time.Time
	if exp, ok := claims["exp"].(int64); ok {
		expiry = time.Unix(exp, 0)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.accesses[token] = &accessToken{grant: owner, claims: known, expiry: expiry}
	return token
}

// AccessToken makes an access token for the main client and the user, for Server.Audience, with the scopes
// "openid". The argument adds claims or replaces them; a nil value takes one away. The
// token passes introspection and userinfo.
func (s *Server) AccessToken(claims map[string]any) string {
	s.mu.Lock()
	user, ttl := s.user, s.accessTTL
	s.mu.Unlock()
	all := s.accessClaims(s.ClientID, user.Subject, []string{"openid"}, ttl)
	override(all, claims)
	return s.mintAccessToken(s.ClientID, all, nil)
}

// IDToken makes an ID token for the main client and the user. The argument adds claims
// or replaces them (a nonce, say); a nil value takes one away.
func (s *Server) IDToken(claims map[string]any) string {
	s.mu.Lock()
	user, client := s.user, s.clients[s.ClientID]
	s.mu.Unlock()
	now := s.now()
	g := &grant{clientID: client.ID, user: user, scopes: []string{"openid", "profile", "email"}, authTime: now, requestedAt: now, amr: []string{"pwd"}, sid: random()[:22]}
	all := s.idClaims(client, g, false)
	override(all, claims)
	return s.mintIDToken(client, all)
}

func override(all, claims map[string]any) {
	maps.Copy(all, claims)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
}

func (s *Server) idClaims(client Client, g *grant, first bool) map[string]any {
	now := s.now()
	claims := userClaims(g)
	maps.Copy(claims, map[string]any{
		"iss": s.Issuer, "sub": g.user.Subject, "aud": client.ID,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": random()[:22],
		"auth_time": g.authTime.Unix(), "rat": g.requestedAt.Unix(), "amr": g.amr, "sid": g.sid,
		"tid": s.opts.Tenant, "aid": s.opts.Workspace, "idp": "demo", "st": "public", "scp": g.scopes,
	})
	if g.acr != "" {
		claims["acr"] = g.acr
	}
	if first && g.nonce != "" { // OpenID Connect Core 12.2: a refreshed ID token should have none
		claims["nonce"] = g.nonce
	}
	return claims
}

func (s *Server) issueIDToken(client Client, g *grant, access string, first bool) string {
	claims := s.idClaims(client, g, first)
	if s.opts.AtHash {
		alg := s.Key().Alg
		if client.IDTokenAlg != "" {
			alg = client.IDTokenAlg
		}
		claims["at_hash"] = HalfHash(alg, access)
	}
	return s.mintIDToken(client, claims)
}

func (s *Server) mintIDToken(client Client, claims map[string]any) string {
	s.mu.Lock()
	key, edit, mint := s.key, s.hooks.idToken, s.hooks.mintIDToken
	s.mu.Unlock()
	token := client.issue(key, "JWT", claims, edit, mint)
	s.mu.Lock()
	s.state.idTokens[token] = client.ID // an id_token_hint is not encrypted (OpenID Connect Core 3.1.2.1)
	s.mu.Unlock()
	return client.Encryption.sealed(token, client.Encryption.IDToken && mint == nil)
}

// issue signs a token as the client registered it, after the hooks.
func (c *Client) issue(key *Key, typ string, claims map[string]any, edit func(header, claims map[string]any), mint func(header, claims map[string]any) string) string {
	header := key.header(map[string]any{"typ": typ})
	symmetric := strings.HasPrefix(c.IDTokenAlg, "HS")
	if symmetric {
		header = map[string]any{"alg": c.IDTokenAlg, "typ": typ}
	}
	if edit != nil {
		edit(header, claims)
	}
	switch {
	case mint != nil:
		return mint(header, claims)
	case symmetric:
		return SignHMAC([]byte(c.Secret), header, claims)
	}
	return key.SignRaw(encode(header), encode(claims))
}

// userClaims are the user's claims that the granted scopes open.
func userClaims(g *grant) map[string]any {
	claims := map[string]any{}
	for name, value := range g.user.Claims {
		if scope, tied := scopeOf[name]; !tied || slices.Contains(g.scopes, scope) {
			claims[name] = value
		}
	}
	return claims
}
