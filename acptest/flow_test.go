package acptest_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acptest"
)

func TestWholeFlow(t *testing.T) {
	c := newClient(t, &acptest.Options{IssParameter: true})
	s := c.s
	if !strings.HasPrefix(s.Issuer, "http://127.0.0.1:") || !strings.HasSuffix(s.Issuer, "/acme/demo") {
		t.Errorf("issuer %q", s.Issuer)
	}
	meta := c.get(s.Issuer+"/.well-known/openid-configuration", nil)
	if meta.json["issuer"] != s.Issuer || meta.json["token_endpoint"] != s.Issuer+"/oauth2/token" ||
		meta.json["authorization_response_iss_parameter_supported"] != true {
		t.Errorf("metadata %s", meta.body)
	}
	if meta.header.Get("X-Trace-Id") == "" {
		t.Error("no x-trace-id")
	}

	params := c.params()
	back := c.authorize(params)
	if back.Get("state") != params.Get("state") || back.Get("iss") != s.Issuer || back.Get("code") == "" {
		t.Errorf("callback %v", back)
	}
	tokens := c.token(c.tokenForm(back.Get("code")), c.basic())
	if tokens.status != 200 || tokens.json["token_type"] != "bearer" || tokens.json["expires_in"] != 3600.0 || text(tokens.json, "grant_id") == "" {
		t.Fatalf("tokens %d %s", tokens.status, tokens.body)
	}
	if tokens.header.Get("Cache-Control") != "no-store" {
		t.Error("tokens may be cached")
	}
	_, access := payload(t, text(tokens.json, "access_token"))
	if access["scope"] != nil || access["client_id"] != nil || access["tid"] != "acme" || access["aid"] != "demo" {
		t.Errorf("access token is not ACP's: %v", access)
	}
	if aud, _ := access["aud"].([]any); !slices.Equal(aud, []any{s.ClientID, s.Audience}) {
		t.Errorf("aud %v", access["aud"])
	}
	header, id := payload(t, text(tokens.json, "id_token"))
	if header["alg"] != "ES256" || header["kid"] != s.Key().ID || id["nonce"] != params.Get("nonce") || id["aud"] != s.ClientID ||
		id["sub"] != "alice" || id["name"] != "alice" || id["email"] != nil {
		t.Errorf("ID token %v %v", header, id)
	}

	user := c.get(s.URL(acptest.UserInfoEndpoint), http.Header{"Authorization": {"Bearer " + text(tokens.json, "access_token")}})
	if user.status != 200 || user.json["sub"] != "alice" || user.json["email"] != nil {
		t.Errorf("userinfo %d %s", user.status, user.body)
	}
	c.introspects(text(tokens.json, "access_token"), true, "access_token")
	c.introspects(text(tokens.json, "refresh_token"), true, "refresh_token")
	c.introspects("unknown", false, "")

	again := c.refresh(text(tokens.json, "refresh_token"))
	if again.status != 200 || text(again.json, "refresh_token") == "" || again.json["refresh_token"] == tokens.json["refresh_token"] {
		t.Fatalf("refresh %d %s", again.status, again.body)
	}
	if _, id := payload(t, text(again.json, "id_token")); id["nonce"] != nil {
		t.Error("the refreshed ID token has a nonce")
	}
	revoked := c.send("POST", s.URL(acptest.RevokeEndpoint), url.Values{"token": {text(again.json, "refresh_token")}}.Encode(), c.basic())
	if revoked.status != 200 || len(revoked.body) != 0 {
		t.Errorf("revocation %d %s", revoked.status, revoked.body)
	}
	c.introspects(text(again.json, "access_token"), false, "")
	out := c.get(s.URL(acptest.LogoutEndpoint)+"?"+url.Values{
		"id_token_hint": {text(again.json, "id_token")}, "post_logout_redirect_uri": {"https://app.example/"}, "state": {"x y"},
	}.Encode(), nil)
	if out.status != 302 || out.header.Get("Location") != "https://app.example/?state=x+y" {
		t.Errorf("logout %d %v", out.status, out.header)
	}
	if n := s.Count(acptest.TokenEndpoint); n != 2 {
		t.Errorf("%d token requests were counted", n)
	}
	if got := s.Requests(acptest.TokenEndpoint)[1].Form.Get("grant_type"); got != "refresh_token" {
		t.Errorf("recorded grant_type %q", got)
	}
	if len(s.Breaches()) != 0 {
		t.Errorf("breaches %v", s.Breaches())
	}
}

func (c *client) introspects(token string, active bool, kind string) {
	c.t.Helper()
	a := c.send("POST", c.s.URL(acptest.IntrospectEndpoint), url.Values{"token": {token}}.Encode(), c.basic())
	if a.status != 200 || a.json["active"] != active || text(a.json, "token_type") != kind {
		c.t.Errorf("introspection %d %s, want active %v as %q", a.status, a.body, active, kind)
	}
}

func TestShapes(t *testing.T) {
	t.Run("root issuer", func(t *testing.T) {
		c := newClient(t, &acptest.Options{RootIssuer: true})
		if a := c.get(c.s.Issuer+"/.well-known/openid-configuration", nil); a.json["issuer"] != c.s.Issuer || strings.Count(c.s.Issuer, "/") != 2 {
			t.Errorf("%s: %s", c.s.Issuer, a.body)
		}
	})
	t.Run("RFC 8414 only", func(t *testing.T) {
		c := newClient(t, &acptest.Options{OAuthMetadataOnly: true, Tenant: "a", Workspace: "b"})
		if a := c.get(c.s.Issuer+"/.well-known/openid-configuration", nil); a.status != 404 {
			t.Errorf("OpenID Connect's document: %d", a.status)
		}
		base := strings.TrimSuffix(c.s.Issuer, "/a/b")
		if a := c.get(base+"/.well-known/oauth-authorization-server/a/b", nil); a.json["issuer"] != c.s.Issuer {
			t.Errorf("%d %s", a.status, a.body)
		}
		if c.s.URL(acptest.MetadataEndpoint) != base+"/.well-known/oauth-authorization-server/a/b" {
			t.Error(c.s.URL(acptest.MetadataEndpoint))
		}
	})
	t.Run("TLS", func(t *testing.T) {
		c := newClient(t, &acptest.Options{TLS: true})
		c.login()
		if !strings.HasPrefix(c.s.Issuer, "https://") || c.s.RootCAs() == nil {
			t.Error(c.s.Issuer)
		}
	})
	t.Run("without openid", func(t *testing.T) {
		c := newClient(t, nil)
		params := c.params()
		params.Set("scope", "things.read")
		params.Del("nonce")
		a := c.token(c.tokenForm(c.authorize(params).Get("code")), c.basic())
		if a.status != 200 || a.json["id_token"] != nil || a.json["refresh_token"] != nil || a.json["scope"] != "things.read" {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("registered redirect URI left out", func(t *testing.T) {
		c := newClient(t, &acptest.Options{Client: acptest.Client{RedirectURIs: []string{redirect}}})
		params := c.params()
		params.Del("redirect_uri")
		v := c.tokenForm(c.authorize(params).Get("code"))
		v.Del("redirect_uri")
		if a := c.token(v, c.basic()); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("opaque tokens, at_hash, refresh by option, resource", func(t *testing.T) {
		c := newClient(t, &acptest.Options{OpaqueTokens: true, AtHash: true, RefreshTokens: true})
		params := c.params()
		params.Set("scope", "openid")
		params["resource"] = []string{"https://api.example/a", "https://api.example/b"}
		a := c.token(c.tokenForm(c.authorize(params).Get("code")), c.basic())
		access := text(a.json, "access_token")
		if strings.Contains(access, ".") || text(a.json, "refresh_token") == "" {
			t.Errorf("%s", a.body)
		}
		if _, id := payload(t, text(a.json, "id_token")); id["at_hash"] != acptest.HalfHash("ES256", access) {
			t.Errorf("at_hash %v", id["at_hash"])
		}
		i := c.send("POST", c.s.URL(acptest.IntrospectEndpoint), url.Values{"token": {access}}.Encode(), c.basic())
		if aud, _ := i.json["aud"].([]any); len(aud) != 4 || aud[3] != "https://api.example/b" {
			t.Errorf("%s", i.body)
		}
	})
	t.Run("client credentials", func(t *testing.T) {
		c := newClient(t, nil)
		a := c.token(url.Values{"grant_type": {"client_credentials"}, "scope": {"a b"}}, c.basic())
		if _, claims := payload(t, text(a.json, "access_token")); claims["sub"] != c.s.ClientID || a.json["scope"] != "a b" {
			t.Errorf("%s", a.body)
		}
	})
	t.Run("form_post", func(t *testing.T) {
		c := newClient(t, nil)
		params := c.params()
		params.Set("response_mode", "form_post")
		a := c.get(c.s.URL(acptest.AuthorizeEndpoint)+"?"+params.Encode(), nil)
		if a.status != 200 || !strings.Contains(string(a.body), `action="`+redirect+`"`) || !strings.Contains(string(a.body), params.Get("state")) {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("signed userinfo and HS256", func(t *testing.T) {
		c := newClient(t, &acptest.Options{Client: acptest.Client{SignedUserInfo: true, IDTokenAlg: "HS256"}})
		tokens := c.login()
		if header, _ := payload(t, text(tokens.json, "id_token")); header["alg"] != "HS256" {
			t.Errorf("header %v", header)
		}
		a := c.get(c.s.URL(acptest.UserInfoEndpoint), http.Header{"Authorization": {"Bearer " + text(tokens.json, "access_token")}})
		if _, claims := payload(t, string(a.body)); a.header.Get("Content-Type") != "application/jwt" || claims["iss"] != c.s.Issuer || claims["sub"] != "alice" {
			t.Errorf("%v %v", a.header, claims)
		}
	})
	t.Run("lifetime and user", func(t *testing.T) {
		now := time.Unix(2e9, 0)
		c := newClient(t, &acptest.Options{Now: func() time.Time { return now }})
		c.s.SetAccessTokenTTL(90 * time.Second)
		c.s.SetUser(acptest.User{Subject: "bob", Claims: map[string]any{"email": "b@example.com", "group": "x"}})
		tokens := c.login()
		_, id := payload(t, text(tokens.json, "id_token"))
		if tokens.json["expires_in"] != 90.0 || id["sub"] != "bob" || id["email"] != nil || id["group"] != "x" || id["iat"] != 2e9 {
			t.Errorf("%s %v", tokens.body, id)
		}
		now = now.Add(91 * time.Second)
		c.introspects(text(tokens.json, "access_token"), false, "")
	})
}

func TestDenied(t *testing.T) {
	c := newClient(t, &acptest.Options{IssParameter: true})
	c.s.Deny("rejected")
	back := c.authorize(c.params())
	if back.Get("error") != "rejected" || back.Get("error_cause") != "consent_rejected" || back.Has("code") || back.Get("iss") != c.s.Issuer || back.Get("trace_id") == "" {
		t.Errorf("callback %v", back)
	}
	c.s.Deny("")
	c.s.OnAuthorize(func(a *acptest.Authorization) {
		if a.Params.Get("login_hint") == "carol" {
			a.User = acptest.User{Subject: "carol"}
			a.Scopes = []string{"openid"}
			return
		}
		a.Error, a.ErrorHint = "login_required", "no session"
	})
	if back := c.authorize(c.params()); back.Get("error") != "login_required" || back.Get("error_hint") != "no session" {
		t.Errorf("callback %v", back)
	}
	params := c.params()
	params.Set("login_hint", "carol")
	a := c.token(c.tokenForm(c.authorize(params).Get("code")), c.basic())
	if _, id := payload(t, text(a.json, "id_token")); id["sub"] != "carol" || a.json["scope"] != "openid" {
		t.Errorf("%s", a.body)
	}
}

func TestIdempotencyKey(t *testing.T) {
	now := time.Now()
	c := newClient(t, &acptest.Options{Now: func() time.Time { return now }})
	v := c.tokenForm(c.authorize(c.params()).Get("code"))
	header := c.basic()
	header.Set("X-Idempotency-Key", strings.Repeat("k", 32))
	c.s.Tolerate(acptest.RuleCodeReplay)
	first, second := c.token(v, header), c.token(v, header)
	if first.status != 200 || string(first.body) != string(second.body) || second.header.Get("X-Idempotent-Replayed") != "true" ||
		first.header.Get("X-Idempotent-Replayed") != "" {
		t.Errorf("%d %d %v", first.status, second.status, second.header)
	}
	now = now.Add(61 * time.Second)
	if third := c.token(v, header); third.status != 400 || third.json["cause"] != "code_reused" {
		t.Errorf("%d %s", third.status, third.body)
	}
}

func TestReuseEndsTheFamily(t *testing.T) {
	c := newClient(t, nil)
	c.s.Tolerate(acptest.RuleRefreshReuse)
	old := text(c.login().json, "refresh_token")
	fresh := c.refresh(old)
	if got := c.s.ActiveRefreshTokens(); len(got) != 1 || got[0] != fresh.json["refresh_token"] {
		t.Errorf("active: %v", got)
	}
	if a := c.refresh(old); a.status != 400 || a.json["error"] != "invalid_grant" || a.json["cause"] != "refresh_token_reused" {
		t.Errorf("reuse: %d %s", a.status, a.body)
	}
	if a := c.refresh(text(fresh.json, "refresh_token")); a.status != 400 {
		t.Errorf("the family lives on: %d", a.status)
	}
	c.introspects(text(fresh.json, "access_token"), false, "")
}

func TestRefreshVariants(t *testing.T) {
	t.Run("no rotation", func(t *testing.T) {
		c := newClient(t, &acptest.Options{NoRotation: true})
		token := text(c.login().json, "refresh_token")
		for range 2 {
			if a := c.refresh(token); a.status != 200 || a.json["refresh_token"] != nil {
				t.Errorf("%d %s", a.status, a.body)
			}
		}
	})
	t.Run("scope", func(t *testing.T) {
		c := newClient(t, nil)
		token := text(c.login().json, "refresh_token")
		v := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}, "scope": {"openid admin"}}
		if a := c.token(v, c.basic()); a.json["error"] != "invalid_scope" {
			t.Errorf("%s", a.body)
		}
		v.Set("scope", "profile")
		if a := c.token(v, c.basic()); a.json["scope"] != "profile" || a.json["id_token"] != nil {
			t.Errorf("%s", a.body)
		}
	})
	t.Run("other client", func(t *testing.T) {
		c := newClient(t, nil)
		token := text(c.login().json, "refresh_token")
		other := c.s.Register(acptest.Client{AuthMethod: acptest.AuthNone})
		v := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {other.ID}}
		if a := c.token(v, form()); a.json["error"] != "invalid_grant" {
			t.Errorf("%s", a.body)
		}
	})
	t.Run("revoked", func(t *testing.T) {
		c := newClient(t, nil)
		token := text(c.login().json, "refresh_token")
		c.s.RevokeTokens()
		if a := c.refresh(token); a.json["error"] != "invalid_grant" {
			t.Errorf("%s", a.body)
		}
	})
}

func TestGrantRefusals(t *testing.T) {
	now := time.Now()
	c := newClient(t, &acptest.Options{Now: func() time.Time { return now }})
	c.s.Tolerate(acptest.RuleCodeReplay)
	code := c.authorize(c.params()).Get("code")
	v := c.tokenForm(code)
	v.Set("code_verifier", verifierOf(c.n)+"x")
	if a := c.token(v, c.basic()); a.json["cause"] != "invalid_pkce" {
		t.Errorf("wrong verifier: %s", a.body)
	}
	if a := c.token(c.tokenForm(code), c.basic()); a.json["cause"] != "code_reused" {
		t.Errorf("the code outlives a wrong verifier: %s", a.body)
	}
	v = c.tokenForm(c.authorize(c.params()).Get("code"))
	now = now.Add(11 * time.Minute)
	if a := c.token(v, c.basic()); a.json["cause"] != "code_expired" {
		t.Errorf("expired: %s", a.body)
	}
	if a := c.token(c.tokenForm("unknown"), c.basic()); a.json["error"] != "invalid_grant" || a.json["status_code"] != 400.0 {
		t.Errorf("unknown: %s", a.body)
	}
	header := form()
	header.Set("Authorization", "Basic Zm9vOmJhcg==")
	if a := c.token(c.tokenForm("unknown"), header); a.status != 401 || a.json["error"] != "invalid_client" || !strings.HasPrefix(a.header.Get("Www-Authenticate"), "Basic") {
		t.Errorf("unknown client: %d %s", a.status, a.body)
	}
	if a := c.token(url.Values{"grant_type": {"password"}}, c.basic()); a.json["error"] != "unsupported_grant_type" {
		t.Errorf("password: %s", a.body)
	}
	if a := c.get(c.s.URL(acptest.UserInfoEndpoint), http.Header{"Authorization": {"Bearer x"}}); a.status != 401 || a.json["error_code"] != "invalid_access_token" ||
		a.header.Get("Www-Authenticate") != `Bearer error="invalid_token"` {
		t.Errorf("userinfo: %d %s", a.status, a.body)
	}
}
