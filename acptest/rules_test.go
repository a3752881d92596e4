package acptest_test

import (
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acptest"
)

func basicOf(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}

// Each row breaks one rule; the server must name it, fail the test once, and stay
// silent when it was told to tolerate the rule.
func TestEachBreachFailsTheTest(t *testing.T) {
	authorize := func(edit func(url.Values)) func(*client) {
		return func(c *client) {
			params := c.params()
			edit(params)
			c.get(c.s.URL(acptest.AuthorizeEndpoint)+"?"+params.Encode(), nil)
		}
	}
	token := func(edit func(c *client, v url.Values, h http.Header)) func(*client) {
		return func(c *client) {
			v, h := c.tokenForm(c.authorize(c.params()).Get("code")), c.basic()
			edit(c, v, h)
			c.token(v, h)
		}
	}
	logout := func(v url.Values) func(*client) {
		return func(c *client) { c.get(c.s.URL(acptest.LogoutEndpoint)+"?"+v.Encode(), nil) }
	}
	rows := []struct {
		name string
		rule acptest.Rule
		text string // a part of the message
		do   func(*client)
	}{
		{"AZ-03 no state", acptest.RuleState, "RFC 9700 2.1", authorize(func(v url.Values) { v.Del("state") })},
		{"AZ-10 no nonce", acptest.RuleNonce, "OpenID Connect Core 15.5.2", authorize(func(v url.Values) { v.Del("nonce") })},
		{"AZ-06 no challenge", acptest.RulePKCE, "RFC 7636 4.3", authorize(func(v url.Values) { v.Del("code_challenge"); v.Del("code_challenge_method") })},
		{"AZ-07 plain", acptest.RulePKCE, "RFC 7636 4.2", authorize(func(v url.Values) { v.Set("code_challenge_method", "plain") })},
		{"AZ-07 no method is plain", acptest.RulePKCE, "plain (no method given)", authorize(func(v url.Values) { v.Del("code_challenge_method") })},
		{"AZ-08 malformed challenge", acptest.RulePKCE, "SHA-256", authorize(func(v url.Values) { v.Set("code_challenge", strings.Repeat("+", 43)) })},
		{"AZ-01 response type", acptest.RuleResponseType, "RFC 9700 2.1.2", authorize(func(v url.Values) { v.Set("response_type", "token") })},
		{"AZ-02 short state", acptest.RuleEntropy, "RFC 6749 10.10", authorize(func(v url.Values) { v.Set("state", "xyz") })},
		{"AZ-10 state is nonce", acptest.RuleEntropy, "the same value", authorize(func(v url.Values) { v.Set("state", v.Get("nonce")) })},
		{"AZ-09 state again", acptest.RuleEntropy, "an earlier, different", func(c *client) {
			first, second := c.params(), c.params()
			second.Set("state", first.Get("state"))
			c.authorize(first)
			c.authorize(second)
		}},
		{"LG-10 code in the Referer", acptest.RuleSecretInURL, "RFC 9700 4.2", func(c *client) {
			c.get(c.s.URL(acptest.LogoutEndpoint), http.Header{"Referer": {redirect + "?code=x&state=y"}})
		}},
		{"AZ-15 duplicate parameter", acptest.RuleDuplicate, "RFC 6749 3.1", authorize(func(v url.Values) { v.Add("client_id", "evil") })},
		{"no client_id", acptest.RuleClientID, "RFC 6749 4.1.1", authorize(func(v url.Values) { v.Del("client_id") })},
		{"foreign redirect URI", acptest.RuleRedirectURI, "RFC 6749 3.1.2.3", authorize(func(v url.Values) { v.Set("redirect_uri", "http://app.example/callback") })},
		{"AZ-34 scope character", acptest.RuleRequest, "RFC 6749 3.3", authorize(func(v url.Values) { v.Set("scope", `openid "x`) })},
		{"AZ-34 max_age", acptest.RuleRequest, "max_age", authorize(func(v url.Values) { v.Set("max_age", "-1") })},
		{"AZ-34 details of no type", acptest.RuleRequest, "authorization_details", authorize(func(v url.Values) { v.Set("authorization_details", `[{"iban":"x"}]`) })},
		{"AZ-34 details in no array", acptest.RuleRequest, "authorization_details", authorize(func(v url.Values) { v.Set("authorization_details", `{"type":"x"}`) })},
		{"AZ-34 prompt", acptest.RuleRequest, "prompt", authorize(func(v url.Values) { v.Set("prompt", "none login") })},
		{"secret in the authorize URL", acptest.RuleSecretInURL, "RFC 6749 2.3.1", authorize(func(v url.Values) { v.Set("client_secret", "x") })},
		{"TX-31 redirect URI differs", acptest.RuleRedirectURI, "RFC 6749 4.1.3", token(func(_ *client, v url.Values, _ http.Header) { v.Set("redirect_uri", redirect+"/") })},
		{"redirect URI missing", acptest.RuleRedirectURI, "RFC 6749 4.1.3", token(func(_ *client, v url.Values, _ http.Header) { v.Del("redirect_uri") })},
		{"no verifier", acptest.RulePKCE, "RFC 7636 4.5", token(func(_ *client, v url.Values, _ http.Header) { v.Del("code_verifier") })},
		{"AZ-08 short verifier", acptest.RulePKCE, "RFC 7636 4.1", token(func(_ *client, v url.Values, _ http.Header) { v.Set("code_verifier", "short") })},
		{"TX-27 secret twice", acptest.RuleClientAuth, "RFC 6749 2.3", token(func(c *client, v url.Values, _ http.Header) {
			v.Set("client_id", c.s.ClientID)
			v.Set("client_secret", c.s.ClientSecret)
		})},
		{"other method", acptest.RuleClientAuth, "registered for client_secret_basic", token(func(c *client, v url.Values, h http.Header) {
			h.Del("Authorization")
			v.Set("client_id", c.s.ClientID)
			v.Set("client_secret", c.s.ClientSecret)
		})},
		{"TX-29 empty secret", acptest.RuleClientAuth, "empty client_secret", func(c *client) {
			c.s.Register(acptest.Client{ID: "p", AuthMethod: acptest.AuthPost, Secret: "s"})
			c.token(url.Values{"grant_type": {"client_credentials"}, "client_id": {"p"}, "client_secret": {""}}, form())
		}},
		{"TX-26 not form-encoded", acptest.RuleClientAuth, "not form-encoded", func(c *client) {
			c.s.Register(acptest.Client{ID: "a b", Secret: "s"})
			h := form()
			h.Set("Authorization", basicOf("a b", "s"))
			c.token(url.Values{"grant_type": {"client_credentials"}}, h)
		}},
		{"two clients", acptest.RuleClientAuth, "in its body", token(func(_ *client, v url.Values, _ http.Header) { v.Set("client_id", "other") })},
		{"broken Basic", acptest.RuleClientAuth, "not one Basic", token(func(_ *client, _ url.Values, h http.Header) { h.Set("Authorization", "Basic !") })},
		{"TX-29 nobody", acptest.RuleClientID, "RFC 6749 3.2.1", token(func(_ *client, _ url.Values, h http.Header) { h.Del("Authorization") })},
		{"token duplicate", acptest.RuleDuplicate, "RFC 6749 3.2", token(func(_ *client, v url.Values, _ http.Header) { v.Add("grant_type", "refresh_token") })},
		{"token content type", acptest.RuleContentType, "application/json", token(func(_ *client, _ url.Values, h http.Header) { h.Set("Content-Type", "application/json") })},
		{"token GET", acptest.RuleMethod, "must be a POST", func(c *client) { c.get(c.s.URL(acptest.TokenEndpoint), nil) }},
		{"idempotency key", acptest.RuleIdempotency, "32 to 255", token(func(_ *client, _ url.Values, h http.Header) { h.Set("X-Idempotency-Key", "short") })},
		{"verifier in the URL", acptest.RuleSecretInURL, "code_verifier", func(c *client) {
			c.send("POST", c.s.URL(acptest.TokenEndpoint)+"?code_verifier=x", "grant_type=client_credentials", c.basic())
		}},
		{"TX-01 code twice", acptest.RuleCodeReplay, "RFC 6749 4.1.2", func(c *client) {
			v := c.tokenForm(c.authorize(c.params()).Get("code"))
			c.token(v, c.basic())
			c.token(v, c.basic())
		}},
		{"TX-01 code twice, after a 500", acptest.RuleCodeReplay, "RFC 6749 4.1.2", func(c *client) {
			c.s.Handle(acptest.TokenEndpoint, acptest.Answer(500, "text/plain", "down"))
			v := c.tokenForm(c.authorize(c.params()).Get("code"))
			c.token(v, c.basic())
			c.token(v, c.basic())
		}},
		{"RF-04 refresh token twice", acptest.RuleRefreshReuse, "RFC 9700 4.14.2", func(c *client) {
			token := text(c.login().json, "refresh_token")
			c.refresh(token)
			c.refresh(token)
		}},
		{"TX-39 bearer in the query", acptest.RuleBearerInQuery, "RFC 6750 2.3", func(c *client) { c.get(c.s.URL(acptest.UserInfoEndpoint)+"?access_token=x", nil) }},
		{"LO-02 logout of nobody", acptest.RuleLogout, "without id_token_hint", logout(url.Values{"post_logout_redirect_uri": {"https://app.example/"}})},
		{"logout hint", acptest.RuleLogout, "not an ID token", logout(url.Values{"id_token_hint": {"x"}})},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			rec := &recorder{TB: t}
			c := &client{t: t, s: acptest.NewServer(rec, nil)}
			row.do(c)
			if len(rec.failures) != 1 || !strings.Contains(rec.text(), row.text) || !strings.Contains(rec.text(), string(row.rule)) {
				t.Errorf("the test failed with %q, want one failure with %q", rec.failures, row.text)
			}
			got := c.s.Breaches()
			if len(got) != 1 || got[0].Rule != row.rule || got[0].Tolerated {
				t.Errorf("breaches %+v, want one of rule %q", got, row.rule)
			}

			for _, tolerate := range [][]acptest.Rule{{row.rule}, nil} {
				rec := &recorder{TB: t}
				c := &client{t: t, s: acptest.NewServer(rec, nil)}
				c.s.Tolerate(tolerate...)
				row.do(c)
				if got := c.s.Breaches(); len(rec.failures) != 0 || len(got) != 1 || !got[0].Tolerated {
					t.Errorf("Tolerate(%v): failures %q, breaches %+v", tolerate, rec.failures, got)
				}
			}
		})
	}
}

func TestAuthenticationMethods(t *testing.T) {
	key := acptest.NewKey("ES256")
	rows := []struct {
		name   string
		client acptest.Client
		fill   func(s *acptest.Server, v url.Values, h http.Header)
	}{
		{"TX-26 basic, odd characters", acptest.Client{ID: "a:b c", Secret: "p%+ &é:/"}, func(_ *acptest.Server, _ url.Values, h http.Header) {
			h.Set("Authorization", basicOf("a%3Ab+c", "p%25%2B+%26%C3%A9%3A%2F"))
		}},
		{"post", acptest.Client{ID: "p", Secret: "s", AuthMethod: acptest.AuthPost}, func(_ *acptest.Server, v url.Values, _ http.Header) {
			v.Set("client_id", "p")
			v.Set("client_secret", "s")
		}},
		{"private_key_jwt", acptest.Client{ID: "j", Key: key.Public()}, func(s *acptest.Server, v url.Values, _ http.Header) {
			assert(v, key.Sign(nil, assertion(s, "j")))
		}},
		{"client_secret_jwt", acptest.Client{ID: "s", AuthMethod: acptest.AuthSecretJWT, Secret: sharedSecret}, func(s *acptest.Server, v url.Values, _ http.Header) {
			assert(v, acptest.SignHMAC([]byte(sharedSecret), nil, assertion(s, "s")))
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			c := newClient(t, &acptest.Options{Client: row.client})
			v, h := url.Values{"grant_type": {"client_credentials"}}, form()
			row.fill(c.s, v, h)
			if a := c.token(v, h); a.status != 200 {
				t.Errorf("%d %s", a.status, a.body)
			}
			method := row.client.AuthMethod
			if method == "" {
				method = acptest.AuthBasic
				if row.client.Key != nil {
					method = acptest.AuthPrivateKeyJWT
				}
			}
			meta := c.get(c.s.URL(acptest.MetadataEndpoint), nil)
			if methods, _ := meta.json["token_endpoint_auth_methods_supported"].([]any); !slices.Equal(methods, []any{method}) {
				t.Errorf("methods %v, want %s", methods, method)
			}
		})
	}
	t.Run("public", func(t *testing.T) {
		c := newClient(t, &acptest.Options{Client: acptest.Client{AuthMethod: acptest.AuthNone}})
		v := c.tokenForm(c.authorize(c.params()).Get("code"))
		v.Set("client_id", c.s.ClientID)
		if a := c.token(v, form()); a.status != 200 || c.s.ClientSecret != "" {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("wrong secret", func(t *testing.T) {
		c := newClient(t, nil)
		h := form()
		h.Set("Authorization", basicOf(c.s.ClientID, "wrong"))
		if a := c.token(url.Values{"grant_type": {"client_credentials"}}, h); a.status != 401 || len(c.s.Breaches()) != 0 {
			t.Errorf("%d %s %v", a.status, a.body, c.s.Breaches())
		}
	})
}

const sharedSecret = "thirty-two bytes are just enough"

func assertion(s *acptest.Server, id string) map[string]any {
	now := time.Now().Unix()
	return map[string]any{"iss": id, "sub": id, "aud": s.Issuer, "iat": now, "exp": now + 60, "jti": acptest.NewKey("ES256").ID}
}

func assert(v url.Values, token string) {
	v.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	v.Set("client_assertion", token)
}

// TX-30: every fault of a client assertion is refused and named.
func TestAssertionFaults(t *testing.T) {
	key, other := acptest.NewKey("ES256"), acptest.NewKey("ES256")
	now := time.Now().Unix()
	rows := []struct {
		name, text string
		header     map[string]any
		claims     map[string]any // nil value: left out
		with       *acptest.Key
	}{
		{"signature", "does not verify", nil, nil, other},
		{"typ", "typ", map[string]any{"typ": "at+jwt"}, nil, key},
		{"sub", "iss and sub", nil, map[string]any{"sub": "x"}, key},
		{"aud elsewhere", "aud must be", nil, map[string]any{"aud": "https://evil.example"}, key},
		{"aud array", "aud must be", nil, map[string]any{"aud": []string{"x"}}, key},
		{"exp missing", "exp is missing", nil, map[string]any{"exp": nil}, key},
		{"exp past", "expired", nil, map[string]any{"exp": now - 60}, key},
		{"exp far", "more than 5 minutes", nil, map[string]any{"exp": now + 600}, key},
		{"iat missing", "iat is missing", nil, map[string]any{"iat": nil}, key},
		{"iat ahead", "in the future", nil, map[string]any{"iat": now + 60}, key},
		{"jti missing", "jti is missing", nil, map[string]any{"jti": nil}, key},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			rec := &recorder{TB: t}
			c := &client{t: t, s: acptest.NewServer(rec, &acptest.Options{Client: acptest.Client{ID: "j", Key: key.Public()}})}
			claims := assertion(c.s, "j")
			maps.Copy(claims, row.claims)
			maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
			v := url.Values{"grant_type": {"client_credentials"}}
			assert(v, row.with.Sign(row.header, claims))
			a := c.token(v, form())
			if a.status != 401 || len(rec.failures) != 1 || !strings.Contains(rec.text(), row.text) || !strings.Contains(rec.text(), "RFC 7523") {
				t.Errorf("%d, failures %q", a.status, rec.failures)
			}
		})
	}
	t.Run("jti twice", func(t *testing.T) {
		rec := &recorder{TB: t}
		c := &client{t: t, s: acptest.NewServer(rec, &acptest.Options{Client: acptest.Client{ID: "j", Key: key.Public()}})}
		v := url.Values{"grant_type": {"client_credentials"}}
		assert(v, key.Sign(map[string]any{"typ": "client-authentication+jwt"}, assertion(c.s, "j")))
		if a := c.token(v, form()); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		if a := c.token(v, form()); a.status != 401 || !strings.Contains(rec.text(), "jti was used before") {
			t.Errorf("%d, failures %q", a.status, rec.failures)
		}
	})
	t.Run("TX-43 other audience by registration", func(t *testing.T) {
		c := newClient(t, nil)
		c.s.Register(acptest.Client{ID: "j", Key: key.Public(), AssertionAudience: c.s.URL(acptest.TokenEndpoint)})
		claims := assertion(c.s, "j")
		claims["aud"] = c.s.URL(acptest.TokenEndpoint)
		v := url.Values{"grant_type": {"client_credentials"}}
		assert(v, key.Sign(nil, claims))
		if a := c.token(v, form()); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

// An assertion under a secret is of the registered method, by the registered secret and algorithm.
func TestSecretAssertionFaults(t *testing.T) {
	key := acptest.NewKey("RS256")
	private := acptest.Client{ID: "s", Key: key.Public()}
	shared := acptest.Client{ID: "s", AuthMethod: acptest.AuthSecretJWT, Secret: sharedSecret, AssertionAlg: "HS256"}
	rows := []struct {
		name   string
		client acptest.Client
		make   func(claims map[string]any) string
		rule   acptest.Rule
		text   string
	}{
		{"another secret", shared, func(c map[string]any) string { return acptest.SignHMAC([]byte("another"), nil, c) }, acptest.RuleAssertion, "does not verify"},
		{"no secret", shared, func(c map[string]any) string { return acptest.SignHMAC(nil, nil, c) }, acptest.RuleAssertion, "does not verify"},
		{"another algorithm", shared, func(c map[string]any) string {
			return acptest.SignHMAC([]byte(sharedSecret), map[string]any{"alg": "HS512"}, c)
		}, acptest.RuleAssertion, "the registered one, HS256"},
		{"a made-up algorithm", shared, func(c map[string]any) string {
			return acptest.SignHMAC([]byte(sharedSecret), map[string]any{"alg": "HS"}, c)
		}, acptest.RuleAssertion, "does not verify"},
		{"aud elsewhere", shared, func(c map[string]any) string {
			c["aud"] = "https://evil.example"
			return acptest.SignHMAC([]byte(sharedSecret), nil, c)
		}, acptest.RuleAssertion, "aud must be"},
		{"expired", shared, func(c map[string]any) string {
			c["exp"] = time.Now().Unix() - 60
			return acptest.SignHMAC([]byte(sharedSecret), nil, c)
		}, acptest.RuleAssertion, "expired"},
		{"a key in place of the secret", shared, func(c map[string]any) string { return key.Sign(nil, c) }, acptest.RuleClientAuth, "private_key_jwt"},
		{"a secret in place of the key", private, func(c map[string]any) string { return acptest.SignHMAC(nil, nil, c) }, acptest.RuleClientAuth, "client_secret_jwt"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			rec := &recorder{TB: t}
			c := &client{t: t, s: acptest.NewServer(rec, &acptest.Options{Client: row.client})}
			v := url.Values{"grant_type": {"client_credentials"}}
			assert(v, row.make(assertion(c.s, "s")))
			a := c.token(v, form())
			if b := c.s.Breaches(); a.status != 401 || len(b) != 1 || b[0].Rule != row.rule || !strings.Contains(b[0].Text, row.text) {
				t.Errorf("%d, breaches %v", a.status, b)
			}
		})
	}
	t.Run("jti twice", func(t *testing.T) {
		rec := &recorder{TB: t}
		c := &client{t: t, s: acptest.NewServer(rec, &acptest.Options{Client: shared})}
		v := url.Values{"grant_type": {"client_credentials"}}
		assert(v, acptest.SignHMAC([]byte(sharedSecret), nil, assertion(c.s, "s")))
		if a := c.token(v, form()); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		if a := c.token(v, form()); a.status != 401 || !strings.Contains(rec.text(), "jti was used before") {
			t.Errorf("%d, failures %q", a.status, rec.failures)
		}
	})
}

func TestAfterCloseNothingFails(t *testing.T) {
	rec := &recorder{TB: t}
	s := acptest.NewServer(rec, nil)
	s.Close()
	if _, err := s.HTTPClient().Get(s.URL(acptest.TokenEndpoint)); err == nil {
		t.Error("a closed server answers")
	}
	if len(rec.failures) != 0 {
		t.Error(rec.failures)
	}
}
