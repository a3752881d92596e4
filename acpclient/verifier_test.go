package acpclient_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// BR-12: a Verifier that would take any audience cannot be made.
func TestNewVerifierRefuses(t *testing.T) {
	good := acpclient.VerifierConfig{Issuer: "https://as.example/t/w", Audience: "https://api.example"}
	if _, err := acpclient.NewVerifier(good); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		edit func(*acpclient.VerifierConfig)
		says string
	}{
		{"BR-12 no audience", func(c *acpclient.VerifierConfig) { c.Audience = "" }, "Audience"},
		{"CF-01 the zero value", func(c *acpclient.VerifierConfig) { *c = acpclient.VerifierConfig{} }, "Issuer"},
		{"no issuer", func(c *acpclient.VerifierConfig) { c.Issuer = "" }, "Issuer"},
		{"http issuer", func(c *acpclient.VerifierConfig) { c.Issuer = "http://as.example" }, "Issuer"},
		{"issuer with a query", func(c *acpclient.VerifierConfig) { c.Issuer += "?x" }, "Issuer"},
		{"issuer with a fragment", func(c *acpclient.VerifierConfig) { c.Issuer += "#x" }, "Issuer"},
		{"expected issuer of another scheme", func(c *acpclient.VerifierConfig) { c.ExpectedIssuer = "ftp://as.example" }, "ExpectedIssuer"},
		{"alg none", func(c *acpclient.VerifierConfig) { c.Algs = []string{"none"} }, "Algs"},
		{"alg HS256", func(c *acpclient.VerifierConfig) { c.Algs = []string{"RS256", "HS256"} }, "Algs"},
		{"negative leeway", func(c *acpclient.VerifierConfig) { c.Leeway = -1 }, "Leeway"},
		{"leeway over 5 min", func(c *acpclient.VerifierConfig) { c.Leeway = 5*time.Minute + 1 }, "Leeway"},
		{"negative size", func(c *acpclient.VerifierConfig) { c.MaxTokenSize = -1 }, "MaxTokenSize"},
		{"stale over 24 h", func(c *acpclient.VerifierConfig) { c.MaxStale = 25 * time.Hour }, "MaxStale"},
		{"unknown mode", func(c *acpclient.VerifierConfig) { c.Mode = "JWT" }, "Mode"},
		{"introspection without a registration", func(c *acpclient.VerifierConfig) { c.Mode = "introspection" }, "ClientID, Auth"},
		{"auto without a registration", func(c *acpclient.VerifierConfig) { c.Mode = "auto" }, "ClientID, Auth"},
		{"auto without Auth", func(c *acpclient.VerifierConfig) { c.Mode, c.ClientID = "auto", "api" }, "ClientID, Auth"},
		{"auto without ClientID", func(c *acpclient.VerifierConfig) { c.Mode, c.Auth = "auto", acpclient.Secret("s") }, "ClientID, Auth"},
		{"an empty secret", func(c *acpclient.VerifierConfig) { c.Mode, c.ClientID, c.Auth = "auto", "api", acpclient.Secret("") }, "secret is empty"},
		{"a ClientID with a line break", func(c *acpclient.VerifierConfig) { c.ClientID = "a\n" }, "ClientID"},
		{"CF-07 Auth and Introspector", func(c *acpclient.VerifierConfig) {
			c.Mode, c.ClientID, c.Auth, c.Introspector = "auto", "api", acpclient.Secret("s"), tokenSource(nil)
		}, "Introspector"},
		{"CF-07 RFC9068 and introspection", func(c *acpclient.VerifierConfig) {
			c.Mode, c.Introspector, c.RFC9068 = "introspection", tokenSource(nil), true
		}, "RFC9068"},
		{"negative TTL", func(c *acpclient.VerifierConfig) { c.IntrospectionTTL = new(-time.Second) }, "IntrospectionTTL"},
		{"TTL over 5 min", func(c *acpclient.VerifierConfig) { c.IntrospectionTTL = new(5*time.Minute + 1) }, "IntrospectionTTL"},
		{"negative cache", func(c *acpclient.VerifierConfig) { c.CacheSize = new(-1) }, "CacheSize"},
		{"a cache over a million", func(c *acpclient.VerifierConfig) { c.CacheSize = new(1_000_001) }, "CacheSize"},
	} {
		t.Run(row.name, func(t *testing.T) {
			config := good
			row.edit(&config)
			v, err := acpclient.NewVerifier(config)
			if err == nil || v != nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("%v, want a mistake of %s", err, row.says)
			}
		})
	}
	good.Mode, good.Introspector, good.RFC9068, good.IntrospectionTTL, good.CacheSize = "auto", tokenSource(nil), true, new(5*time.Minute), new(1_000_000)
	if _, err := acpclient.NewVerifier(good); err != nil {
		t.Error(err)
	}
	_, err := acpclient.NewVerifier(acpclient.VerifierConfig{Leeway: -1, Algs: []string{"x"}})
	for _, field := range []string{"Issuer", "Audience", "Leeway", "Algs"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("not every mistake at once: %s is missing in %v", field, err)
		}
	}
}

// Attacks on the claims of an access token, each made by a server that signs it. The
// API is "https://api.example".
func TestVerifierClaims(t *testing.T) {
	l := newLab(t, acptest.Options{Audience: "https://api.example", Client: acptest.Client{ID: "cid"}}, nil)
	v := l.newVerifier(nil)
	iss := l.server.Issuer
	for _, row := range []struct {
		name   string
		claims map[string]any // nil takes a claim away
		reason string
	}{
		{"ACP's own token", nil, ""},

		{"BR-12 another API", map[string]any{"aud": "https://other.example"}, "audience"},
		{"BR-12 no audience", map[string]any{"aud": nil}, "audience"},
		{"BR-12 null", map[string]any{"aud": raw("null")}, "audience"},
		{"BR-12 none", map[string]any{"aud": []string{}}, "audience"},
		{"BR-12 only the client", map[string]any{"aud": []string{"cid"}}, "audience"},
		{"BR-12 a number", map[string]any{"aud": 7}, "audience"},
		{"BR-13 a prefix of ours", map[string]any{"aud": "https://api.exampl"}, "audience"},
		{"BR-13 ours is a prefix", map[string]any{"aud": "https://api.example.evil"}, "audience"},
		{"BR-13 a slash more", map[string]any{"aud": "https://api.example/"}, "audience"},
		{"BR-13 a suffix of ours", map[string]any{"aud": "api.example"}, "audience"},
		{"BR-13 upper case", map[string]any{"aud": "HTTPS://API.EXAMPLE"}, "audience"},
		{"BR-13 ours and more in one string", map[string]any{"aud": "https://api.example https://other.example"}, "audience"},
		{"BR-13 ours among others", map[string]any{"aud": []string{"a", "https://api.example"}}, ""},
		{"BR-13 ours among what is no string", map[string]any{"aud": []any{1, "https://api.example"}}, "audience"},
		{"BR-13 ours under AUD", map[string]any{"aud": "other", "AUD": "https://api.example"}, "audience"},
		{"BR-13 ours, another under AUD", map[string]any{"aud": "https://api.example", "AUD": "other"}, ""},

		{"BR-15 no iss", map[string]any{"iss": nil}, "issuer"},
		{"BR-15 another iss", map[string]any{"iss": "https://evil.example"}, "issuer"},
		{"BR-15 iss with a slash", map[string]any{"iss": iss + "/"}, "issuer"},
		{"BR-15 iss a list", map[string]any{"iss": []string{iss}}, "issuer"},
		{"BR-15 no sub", map[string]any{"sub": nil}, "subject"},
		{"BR-15 sub empty", map[string]any{"sub": ""}, "subject"},
		{"BR-15 sub a number", map[string]any{"sub": 7}, "subject"},
		{"BR-15 no exp", map[string]any{"exp": nil}, "token_malformed"},
		{"BR-15 exp a string", map[string]any{"exp": "9999999999"}, "token_malformed"},
		{"BR-15 no client_id, no iat, no jti: ACP's have no client_id", map[string]any{"iat": nil, "jti": nil}, ""},
		{"BR-15 client_id a number", map[string]any{"client_id": 7}, "token_malformed"},

		{"BR-11 just within the leeway", map[string]any{"exp": l.clock.unix(-29)}, ""},
		{"BR-11 expired", map[string]any{"exp": l.clock.unix(-30)}, "expired"},
		{"ID-19 exp 1e300", map[string]any{"exp": raw("1e300")}, "token_malformed"},
		{"ID-20 nbf 2^63-1", map[string]any{"nbf": raw("9223372036854775807")}, "token_malformed"},
		{"ID-21 nbf at the leeway", map[string]any{"nbf": l.clock.unix(30)}, ""},
		{"ID-21 nbf beyond", map[string]any{"nbf": l.clock.unix(31)}, "not_yet_valid"},
		{"iat at the leeway", map[string]any{"iat": l.clock.unix(30)}, ""},
		{"iat in the future", map[string]any{"iat": l.clock.unix(31)}, "issued_at"},
		{"iat a year old", map[string]any{"iat": l.clock.unix(-365 * 86400)}, ""},

		{"ID-43 BR-43 nonce", map[string]any{"nonce": "n"}, "token_use"},
		{"ID-43 BR-43 nonce null", map[string]any{"nonce": raw("null")}, "token_use"},
		{"ID-43 at_hash", map[string]any{"at_hash": "x"}, "token_use"},
		{"ID-43 c_hash", map[string]any{"c_hash": "x"}, "token_use"},
		{"BR-17 a logout token", map[string]any{"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}}, "token_use"},
		{"BR-16 NONCE is another claim", map[string]any{"NONCE": "n"}, ""},

		{"DP-01 bound by DPoP", map[string]any{"cnf": map[string]any{"jkt": "x"}}, "bound"},
		{"DP-01 bound by mTLS", map[string]any{"cnf": map[string]any{"x5t#S256": "x"}}, "bound"},
		{"DP-01 bound by something unknown", map[string]any{"cnf": map[string]any{}}, "bound"},
		{"DP-01 cnf null", map[string]any{"cnf": raw("null")}, "bound"},

		{"BR-19 scope a number", map[string]any{"scope": 7}, "token_malformed"},
		{"BR-19 scp an object", map[string]any{"scp": map[string]any{"admin": true}}, "token_malformed"},
		{"BR-19 scp holds a number", map[string]any{"scp": []any{"a", 1}}, "token_malformed"},
	} {
		t.Run(row.name, func(t *testing.T) {
			token := l.server.AccessToken(row.claims)
			access, err := v.Verify(t.Context(), token)
			wantInvalidToken(t, token, err, row.reason)
			switch {
			case err != nil && access != nil:
				t.Error("an error, and a token with it")
			case err == nil && (access.Subject != "alice" || access.Issuer != iss || access.Expiry.IsZero() || !slices.Contains(access.Audience, "https://api.example")):
				t.Errorf("%+v", access)
			}
		})
	}
}

// BR-19: a scope is a whole word in its own case, whichever claim holds it.
func TestVerifierScopes(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	v := l.newVerifier(nil)
	for _, row := range []struct {
		name       string
		scp, scope any
		want       []string
	}{
		{"scp an array", []string{"things.read", "admin"}, nil, []string{"things.read", "admin"}},
		{"scp a string", "things.read admin", nil, []string{"things.read", "admin"}},
		{"scope a string", nil, "things.read admin", []string{"things.read", "admin"}},
		{"scope an array", nil, []string{"things.read"}, []string{"things.read"}},
		{"both", []string{"a", "b"}, "b c", []string{"a", "b", "c"}},
		{"neither", nil, nil, nil},
		{"null", raw("null"), raw("null"), nil},
		{"empty", []string{}, "", nil},
		{"spaces", nil, "  a   b ", []string{"a", "b"}},
		{"twice", []string{"a", "a"}, "a", []string{"a"}},
		{"an element with a space is no scope of two", []string{"a b"}, nil, []string{"a b"}},
		{"commas do not divide", nil, "a,b", []string{"a,b"}},
		{"only a space divides", nil, "a\tb\u00a0c", []string{"a\tb\u00a0c"}},
	} {
		t.Run("BR-19 "+row.name, func(t *testing.T) {
			access, err := v.Verify(t.Context(), l.server.AccessToken(map[string]any{"scp": row.scp, "scope": row.scope}))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(access.Scopes, row.want) || (access.Scopes == nil) != (row.want == nil) {
				t.Errorf("%q, want %q", access.Scopes, row.want)
			}
		})
	}
	access, err := v.Verify(t.Context(), l.server.AccessToken(map[string]any{"scp": []string{"admin:read", "readonly", "Write"}}))
	if err != nil {
		t.Fatal(err)
	}
	for scope, want := range map[string]bool{
		"admin:read": true, "admin": false, "read": false, "readonly": true, "only": false, "write": false, "Write": true, "": false, "admin:read readonly": false,
	} {
		if access.HasScope(scope) != want {
			t.Errorf("BR-19: HasScope(%q) is %v", scope, !want)
		}
	}
}

// What a good token says, with and without what ACP leaves out.
func TestVerifierAccessToken(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	v := l.newVerifier(nil)
	access, err := v.Verify(t.Context(), l.server.AccessToken(map[string]any{"client_id": "cid", "tid": "acme", "TID": "evil"}))
	if err != nil {
		t.Fatal(err)
	}
	if access.ClientID != "cid" || !access.IssuedAt.Equal(l.clock.now()) || !access.Expiry.Equal(l.clock.now().Add(time.Hour)) || len(access.Audience) != 2 {
		t.Errorf("%+v", access)
	}
	var own struct {
		Tenant string `json:"tid"`
	}
	if err := access.Claims(&own); err != nil || own.Tenant != "acme" {
		t.Errorf("%+v, %v", own, err)
	}
	if access, err = v.Verify(t.Context(), l.server.AccessToken(map[string]any{"iat": nil})); err != nil || access.ClientID != "" || !access.IssuedAt.IsZero() {
		t.Errorf("%+v, %v", access, err)
	}
}

// ID-43, BR-17: what else the same server signs is no access token.
func TestVerifierOtherTokens(t *testing.T) {
	l := newLab(t, acptest.Options{RefreshTokens: true}, nil)
	v := l.newVerifier(func(c *acpclient.VerifierConfig) { c.Audience = l.server.ClientID }) // the worst case
	tokens, err := l.login(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct{ token, reason string }{
		"the access token":        {tokens.AccessToken, ""},
		"ID-43 the ID token":      {tokens.IDToken, "token_use"},
		"BR-17 the refresh token": {tokens.RefreshToken, "token_malformed"},
		"BR-17 a logout token": {l.server.Sign(map[string]any{"typ": "logout+jwt"}, map[string]any{
			"iss": l.server.Issuer, "aud": l.server.ClientID, "sub": "alice", "iat": l.clock.unix(0), "exp": l.clock.unix(60)}), "token_use"},
		"nothing":    {"", "token_malformed"},
		"two dots":   {"..", "token_malformed"},
		"BR-10 long": {strings.Repeat("a", 16<<10+1), "token_malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := v.Verify(t.Context(), row.token)
			wantInvalidToken(t, row.token, err, row.reason)
		})
	}
}

// BR-38, BR-39: keys belong to one issuer, and a token cannot choose another.
func TestVerifierIssuersAreApart(t *testing.T) {
	a, b := newLab(t, acptest.Options{}, nil), newLab(t, acptest.Options{}, nil)
	va, vb := a.newVerifier(nil), b.newVerifier(func(c *acpclient.VerifierConfig) { c.Audience = a.server.Audience })
	claims := map[string]any{"iss": b.server.Issuer}
	token := a.server.AccessToken(claims)
	_, err := va.Verify(t.Context(), token)
	wantInvalidToken(t, token, err, "issuer") // A's key, B's name, at A
	_, err = vb.Verify(t.Context(), token)
	wantInvalidToken(t, token, err, "key_not_found") // and at B
	a.server.OnAccessToken(func(h, _ map[string]any) { h["kid"] = b.server.Key().ID })
	token = a.server.AccessToken(claims)
	_, err = vb.Verify(t.Context(), token)
	wantInvalidToken(t, token, err, "signature") // BR-39, under the id of B's key
	a.server.OnAccessToken(nil)

	var visits atomic.Int32
	evil := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visits.Add(1) }))
	defer evil.Close()
	for _, iss := range []string{evil.URL, evil.URL + "/acme/demo"} {
		token = a.server.AccessToken(map[string]any{"iss": iss})
		_, err = va.Verify(t.Context(), token)
		wantInvalidToken(t, token, err, "issuer")
	}
	if visits.Load() != 0 {
		t.Errorf("BR-38: %d requests to an issuer that is not configured", visits.Load())
	}
}

// Algs narrows, and all of them work.
func TestVerifierAlgs(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	for _, k := range keyOfEachAlg() {
		l.server.AddKey(k)
	}
	for _, k := range keyOfEachAlg() {
		t.Run(k.Alg, func(t *testing.T) {
			l.server.SetKey(k)
			token := l.server.AccessToken(nil)
			if _, err := l.newVerifier(nil).Verify(t.Context(), token); err != nil {
				t.Error(err)
			}
			other := "RS256"
			if k.Alg == other {
				other = "PS256"
			}
			_, err := l.newVerifier(func(c *acpclient.VerifierConfig) { c.Algs = []string{other} }).Verify(t.Context(), token)
			wantInvalidToken(t, token, err, "alg")
		})
	}
}

// BR-24, CF-02: without keys nothing is known of a token, and that is what the error says.
func TestVerifierCannotJudge(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	for _, e := range []acptest.Endpoint{acptest.MetadataEndpoint, acptest.JWKSEndpoint} {
		l.server.Handle(e, acptest.Answer(503, "text/plain", "no"))
		v := l.newVerifier(nil)
		for i, token := range []string{l.server.AccessToken(nil), l.server.AccessToken(map[string]any{"exp": 1})} {
			access, err := v.Verify(t.Context(), token)
			if access != nil || !errors.Is(err, acpclient.ErrUnavailable) || errors.Is(err, acpclient.ErrInvalidToken) || acpclient.RetryAfter(err) <= 0 {
				t.Errorf("BR-24 %s, token %d: %v, retry after %v", e, i, err, acpclient.RetryAfter(err))
			}
		}
		// What needs no key is known all the same.
		_, err := v.Verify(t.Context(), "not.a.token")
		wantInvalidToken(t, "", err, "token_malformed")
		l.server.Handle(e, nil)
	}
}

// The leeway is a setting.
func TestVerifierLeeway(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	for leeway, edge := range map[time.Duration]int64{0: 30, time.Second: 1, 5 * time.Minute: 300} {
		v := l.newVerifier(func(c *acpclient.VerifierConfig) { c.Leeway = leeway })
		for exp, reason := range map[int64]string{1 - edge: "", -edge: "expired"} {
			token := l.server.AccessToken(map[string]any{"exp": l.clock.unix(exp)})
			_, err := v.Verify(t.Context(), token)
			t.Run(fmt.Sprintf("ID-18 %v, exp %d", leeway, exp), func(t *testing.T) { wantInvalidToken(t, token, err, reason) })
		}
	}
}
