package acpclient_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// BR-15, BR-16: the types of a token, and what RFC 9068 demands beside them.
func TestAccessTokenProfiles(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	lax, strict := l.newVerifier(nil), l.newVerifier(func(c *acpclient.VerifierConfig) { c.RFC9068 = true })
	type members map[string]any // nil takes a member away
	full := members{"client_id": "cid"}
	with := func(name string, value any) members { return members{"client_id": "cid", name: value} }
	for _, row := range []struct {
		name           string
		header, claims members
		lax, strict    string
	}{
		{"BR-16 no typ", members{"typ": nil}, full, "", "token_use"},
		{"BR-16 JWT", members{"typ": "JWT"}, full, "", "token_use"},
		{"BR-16 jwt", members{"typ": "jwt"}, full, "", "token_use"},
		{"BR-16 application/jwt", members{"typ": "application/jwt"}, full, "", "token_use"},
		{"BR-16 at+jwt", members{"typ": "at+jwt"}, full, "", ""},
		{"BR-16 AT+JWT", members{"typ": "AT+JWT"}, full, "", ""},
		{"BR-16 application/at+jwt", members{"typ": "application/at+jwt"}, full, "", ""},
		{"BR-16 Application/At+JWT", members{"typ": "Application/At+JWT"}, full, "", ""},
		{"BR-16 application/application/at+jwt", members{"typ": "application/application/at+jwt"}, full, "token_use", "token_use"},
		{"BR-16 at+jwt and a space", members{"typ": "at+jwt "}, full, "token_use", "token_use"},
		{"BR-17 dpop+jwt", members{"typ": "dpop+jwt"}, full, "token_use", "token_use"},
		{"BR-17 logout+jwt", members{"typ": "logout+jwt"}, full, "token_use", "token_use"},
		{"BR-17 client-authentication+jwt", members{"typ": "client-authentication+jwt"}, full, "token_use", "token_use"},
		{"BR-17 oauth-authz-req+jwt", members{"typ": "oauth-authz-req+jwt"}, full, "token_use", "token_use"},
		{"BR-17 token-introspection+jwt", members{"typ": "token-introspection+jwt"}, full, "token_use", "token_use"},
		{"BR-17 secevent+jwt", members{"typ": "secevent+jwt"}, full, "token_use", "token_use"},
		{"BR-16 empty", members{"typ": ""}, full, "token_malformed", "token_malformed"},
		{"BR-16 application/ alone", members{"typ": "application/"}, full, "token_malformed", "token_malformed"},
		{"BR-16 null", members{"typ": raw("null")}, full, "token_malformed", "token_malformed"},
		{"BR-16 a list", members{"typ": []string{"at+jwt"}}, full, "token_malformed", "token_malformed"},
		{"BR-16 under TYP", members{"typ": "JWT", "TYP": "at+jwt"}, full, "", "token_use"},

		{"BR-15 no iss", members{"typ": "at+jwt"}, with("iss", nil), "issuer", "issuer"},
		{"BR-15 no sub", members{"typ": "at+jwt"}, with("sub", nil), "subject", "subject"},
		{"ID-13 sub of 255 bytes", members{"typ": "at+jwt"}, with("sub", strings.Repeat("a", 255)), "", ""},
		{"ID-13 sub of 256 bytes", members{"typ": "at+jwt"}, with("sub", strings.Repeat("a", 256)), "subject", "subject"},
		{"ID-13 sub not ASCII", members{"typ": "at+jwt"}, with("sub", "älice"), "subject", "subject"},
		{"ID-13 NUL inside sub", members{"typ": "at+jwt"}, with("sub", "ali\x00ce"), "subject", "subject"},
		{"ID-13 sub with a line break", members{"typ": "at+jwt"}, with("sub", "alice\nadmin"), "subject", "subject"},
		{"BR-15 no client_id", members{"typ": "at+jwt"}, nil, "", "token_malformed"},
		{"BR-15 client_id empty", members{"typ": "at+jwt"}, with("client_id", ""), "", "token_malformed"},
		{"BR-15 client_id null", members{"typ": "at+jwt"}, with("client_id", raw("null")), "token_malformed", "token_malformed"},
		{"BR-15 no iat", members{"typ": "at+jwt"}, with("iat", nil), "", "token_malformed"},
		{"BR-15 no jti", members{"typ": "at+jwt"}, with("jti", nil), "", "token_malformed"},
		{"BR-15 jti empty", members{"typ": "at+jwt"}, with("jti", ""), "", "token_malformed"},
		{"BR-15 jti a number", members{"typ": "at+jwt"}, with("jti", 7), "", "token_malformed"},
		{"BR-15 no exp", members{"typ": "at+jwt"}, with("exp", nil), "token_malformed", "token_malformed"},
		{"BR-15 no aud", members{"typ": "at+jwt"}, with("aud", nil), "audience", "audience"},
		{"BR-16 an ID token with that typ", members{"typ": "at+jwt"}, with("nonce", "n"), "token_use", "token_use"},
	} {
		t.Run(row.name, func(t *testing.T) {
			l.server.OnAccessToken(func(header, _ map[string]any) {
				maps.Copy(header, row.header)
				maps.DeleteFunc(header, func(_ string, v any) bool { return v == nil })
			})
			token := l.server.AccessToken(row.claims)
			for range 2 { // the second time it may be remembered
				_, err := lax.Verify(t.Context(), token)
				wantInvalidToken(t, token, err, row.lax)
				_, err = strict.Verify(t.Context(), token)
				wantInvalidToken(t, token, err, row.strict)
			}
		})
	}
}

// DP-01, MT-02: a bound token is refused, or told as such where the caller asked for it.
func TestConfirmation(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	v, bound := l.newVerifier(nil), l.newVerifier(func(c *acpclient.VerifierConfig) { c.InsecureAcceptBound = true })
	for _, row := range []struct {
		name, cnf string
		want      *acpclient.Confirmation // nil: refused by both
	}{
		{"DP-01 jkt", `{"jkt":"k"}`, &acpclient.Confirmation{JKT: "k"}},
		{"MT-02 x5t#S256", `{"x5t#S256":"c"}`, &acpclient.Confirmation{X5tS256: "c"}},
		{"MT-02 both", `{"jkt":"k","x5t#S256":"c"}`, &acpclient.Confirmation{JKT: "k", X5tS256: "c"}},
		{"MT-02 one and something unknown", `{"jkt":"k","x":1}`, &acpclient.Confirmation{JKT: "k"}},
		{"MT-02 null", `null`, nil},
		{"MT-02 empty", `{}`, nil},
		{"MT-02 a string", `"k"`, nil},
		{"MT-02 a list", `[{"jkt":"k"}]`, nil},
		{"MT-02 false", `false`, nil},
		{"MT-02 only something unknown", `{"kid":"k"}`, nil},
		{"MT-02 a jwk", `{"jwk":{"kty":"OKP"}}`, nil},
		{"MT-02 JKT is another member", `{"JKT":"k"}`, nil},
		{"MT-02 jkt empty", `{"jkt":""}`, nil},
		{"MT-02 jkt null", `{"jkt":null}`, nil},
		{"MT-02 jkt a number", `{"jkt":7}`, nil},
		{"MT-02 one good, one not", `{"jkt":"k","x5t#S256":7}`, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			token := l.server.AccessToken(map[string]any{"cnf": raw(row.cnf)})
			for range 2 {
				_, err := v.Verify(t.Context(), token)
				wantInvalidToken(t, token, err, "bound")
				a, err := bound.Verify(t.Context(), token)
				if row.want == nil {
					wantInvalidToken(t, token, err, "bound")
				} else if err != nil || a.Confirmation == nil || *a.Confirmation != *row.want {
					t.Errorf("%+v, %v", a, err)
				}
			}
		})
	}
	if a, err := bound.Verify(t.Context(), l.server.AccessToken(nil)); err != nil || a.Confirmation != nil {
		t.Errorf("an unbound token: %+v, %v", a, err)
	}
}

// BR-19: a dynamic scope is taken where the API asks for one, and nowhere else.
func TestDynamicScope(t *testing.T) {
	for _, row := range []struct {
		granted, wanted string
		want            bool
	}{
		{"accounts.read.own", "accounts.read.*", true},
		{"accounts.read.own.all", "accounts.read.*", true},
		{"accounts.read:own", "accounts.read:*", true},
		{"accounts.read.*", "accounts.read.*", true},
		{"accounts.read", "accounts.read", true},
		{"accounts.read", "accounts.read.*", false},
		{"accounts.read.", "accounts.read.*", false},
		{"accounts.readall", "accounts.read.*", false},
		{"accounts.read.own", "accounts.read", false},
		{"accounts.read.*", "accounts.read.own", false}, // a granted star stands for nothing
		{"accounts.*", "accounts.read.*", false},
		{"Accounts.read.own", "accounts.read.*", false},
		{"xaccounts.read.own", "accounts.read.*", false},
		{"accounts.read.own", "*", false},
		{"*", "*", true},
		{"accounts.read.own", "accounts*", false}, // no separator
		{"accounts*", "accounts*", true},
		{"accounts.read.own", "accounts.*.own", false}, // not at the end
		{"accounts.read.own", "accounts.read.**", false},
		{"", "accounts.*", false},
		{"", "", true},
		{".own", ".*", true},
	} {
		if got := acpclient.DynamicScope(row.granted, row.wanted); got != row.want {
			t.Errorf("BR-19: DynamicScope(%q, %q) is %v", row.granted, row.wanted, got)
		}
	}
}

// What a JWT says of who signed in, and where: of the right type, or not at all.
func TestAccessTokenDescribes(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	v := l.newVerifier(nil)
	type members map[string]any
	for _, row := range []struct {
		name   string
		claims members
		want   string
		tells  string
	}{
		{"ACP's own", nil, "", "acme demo  [] -"},
		{"all", members{"acr": "1", "amr": []string{"pwd", "otp"}, "auth_time": 1.7e9}, "", "acme demo 1 [pwd otp] 1700000000"},
		{"none", members{"tid": nil, "aid": nil, "acr": nil, "amr": nil, "auth_time": nil}, "", "   [] -"},
		{"null", members{"tid": raw("null"), "aid": raw("null"), "acr": raw("null"), "amr": raw("null"), "auth_time": raw("null")}, "", "   [] -"},
		{"a fraction", members{"auth_time": raw("1700000000.9")}, "", "acme demo  [] 1700000000"},
		{"BR-27 claims named as the answer's are no tenant", members{"tenant_id": "evil", "server_id": "evil"}, "", "acme demo  [] -"},
		{"BR-27 not even alone", members{"tid": nil, "aid": nil, "tenant_id": "evil", "server_id": 7}, "", "   [] -"},
		{"TID is another claim", members{"TID": "evil", "ACR": "2"}, "", "acme demo  [] -"},
		{"tid a number", members{"tid": 7}, "token_malformed", ""},
		{"aid a list", members{"aid": []string{"demo"}}, "token_malformed", ""},
		{"acr a number", members{"acr": 1}, "token_malformed", ""},
		{"acr true", members{"acr": true}, "token_malformed", ""},
		{"amr a string", members{"amr": "pwd"}, "token_malformed", ""},
		{"amr holds a number", members{"amr": []any{"pwd", 1}}, "token_malformed", ""},
		{"auth_time a string", members{"auth_time": "1700000000"}, "token_malformed", ""},
		{"auth_time negative", members{"auth_time": -1}, "token_malformed", ""},
		{"auth_time beyond the year 9999", members{"auth_time": raw("253402300800")}, "token_malformed", ""},
		{"auth_time 1e300", members{"auth_time": raw("1e300")}, "token_malformed", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			token := l.server.AccessToken(row.claims)
			a, err := v.Verify(t.Context(), token)
			wantInvalidToken(t, token, err, row.want)
			if err != nil {
				return
			}
			at := "-"
			if !a.AuthTime.IsZero() {
				at = fmt.Sprint(a.AuthTime.Unix())
			}
			if got := fmt.Sprintf("%s %s %s %v %s", a.Tenant, a.Workspace, a.ACR, a.AMR, at); got != row.tells {
				t.Errorf("%q, want %q", got, row.tells)
			}
		})
	}
}

// The bound of what one token may cost: each scope is compared with all others.
func TestScopesAreBounded(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	v := l.newVerifier(func(c *acpclient.VerifierConfig) { c.MaxTokenSize = 64 << 10 })
	var scopes []string
	for n := range 1001 {
		scopes = append(scopes, fmt.Sprint(n))
	}
	for _, claims := range []map[string]any{{"scp": scopes}, {"scp": strings.Join(scopes, " ")}, {"scp": "a", "scope": strings.Join(scopes, " ")}} {
		token := l.server.AccessToken(claims)
		_, err := v.Verify(t.Context(), token)
		wantInvalidToken(t, token, err, "token_malformed")
	}
	a, err := v.Verify(t.Context(), l.server.AccessToken(map[string]any{"scp": scopes[:1000], "scope": strings.Join(scopes[:1000], " ")}))
	if err != nil || !slices.Equal(a.Scopes, scopes[:1000]) {
		t.Errorf("1000 scopes: %v", err)
	}
}

// ID-18, RL-27: the boundaries of the times, on first sight and for a remembered token.
func TestTimesOfARememberedToken(t *testing.T) {
	const s = time.Second
	type moment struct {
		wait time.Duration
		want string
	}
	for _, row := range []struct {
		name     string
		exp, nbf int64 // seconds from now
		iat      int64
		leeway   time.Duration
		later    []moment
	}{
		{name: "exp", exp: 60, later: []moment{{90*s - 1, ""}, {1, "expired"}, {-1, ""}, {1, "expired"}}},
		{name: "exp, 1 s", exp: 60, leeway: s, later: []moment{{61*s - 1, ""}, {1, "expired"}}},
		{name: "exp, 5 min", exp: 60, leeway: 5 * time.Minute, later: []moment{{360*s - 1, ""}, {1, "expired"}}},
		{name: "a clock that steps back before nbf", exp: 600, nbf: 30, iat: -600, later: []moment{{-1, "not_yet_valid"}, {1, ""}, {-s, "not_yet_valid"}, {s, ""}}},
		{name: "a clock that steps back before iat", exp: 600, nbf: -600, iat: 30, later: []moment{{-1, "issued_at"}, {1, ""}, {-s, "issued_at"}, {s, ""}}},
		{name: "a clock that steps forth and back", exp: 60, later: []moment{{time.Hour, "expired"}, {-time.Hour, ""}}},
	} {
		t.Run("RL-27 "+row.name, func(t *testing.T) {
			l := newLab(t, acptest.Options{}, nil)
			v := l.newVerifier(func(c *acpclient.VerifierConfig) { c.Leeway = row.leeway })
			fresh := l.newVerifier(func(c *acpclient.VerifierConfig) { c.Leeway, c.CacheSize = row.leeway, new(0) })
			token := l.server.AccessToken(map[string]any{"exp": l.clock.unix(row.exp), "nbf": l.clock.unix(row.nbf), "iat": l.clock.unix(row.iat)})
			first, err := v.Verify(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := v.Verify(t.Context(), token); again != first {
				t.Fatalf("it was not remembered: %v", err)
			}
			for n, m := range row.later {
				l.clock.advance(m.wait)
				a, err := v.Verify(t.Context(), token)
				wantInvalidToken(t, token, err, m.want)
				if n == 0 && err == nil && a != first {
					t.Error("forgotten before it is over")
				}
				_, err = fresh.Verify(t.Context(), token) // ID-18: first sight comes to the same
				wantInvalidToken(t, token, err, m.want)
			}
		})
	}
}

// The memory of headers is filled by good tokens alone, and a full one starts anew.
func TestHeaderMemo(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	v := l.newVerifier(nil)
	other := acptest.NewKey("ES256")
	server := l.server.Key()
	claims := map[string]any{"iss": l.server.Issuer, "sub": "alice", "aud": l.server.Audience, "exp": l.clock.unix(600)}
	bad := map[string]string{
		"key_not_found":   other.Sign(nil, claims),
		"signature":       other.Sign(map[string]any{"kid": server.ID}, claims),
		"token_use":       server.Sign(map[string]any{"typ": "logout+jwt"}, claims),
		"expired":         server.Sign(map[string]any{"x": 1}, with(claims, "exp", 1)),
		"audience":        server.Sign(map[string]any{"x": 2}, with(claims, "aud", "other")),
		"alg":             acptest.SignHMAC([]byte("s"), nil, claims),
		"token_malformed": server.Sign(map[string]any{"crit": []string{"x"}}, claims),
	}
	for n := range 2 {
		for reason, token := range bad {
			_, err := v.Verify(t.Context(), token)
			wantInvalidToken(t, token, err, reason)
		}
		if got := acpclient.KnownHeaders(v); got != n {
			t.Errorf("%d headers, want %d", got, n)
		}
		if _, err := v.Verify(t.Context(), server.Sign(nil, claims)); err != nil {
			t.Fatal(err)
		}
	}
	// The good header with another key's signature, or another's claims.
	token := other.Sign(map[string]any{"kid": server.ID}, with(claims, "sub", "bob"))
	_, err := v.Verify(t.Context(), token)
	wantInvalidToken(t, token, err, "signature")
	// The good header in front of what is none of it.
	good := server.Sign(nil, claims)
	header, _, _ := strings.Cut(good, ".")
	for _, rest := range []string{"", ".", ".e30", ".e30.", ".e30.AA", ".e30.AA.", "..", ".!.AA"} {
		if _, err := v.Verify(t.Context(), header+rest); acpclient.Reason(err) == "" {
			t.Errorf("%q: %v", rest, err)
		}
	}
	// 65 different headers: each is judged right, also when it comes again.
	for range 2 {
		for n := range 65 {
			if _, err := v.Verify(t.Context(), server.Sign(map[string]any{"n": n}, with(claims, "n", n))); err != nil {
				t.Fatal(err)
			}
			if got := acpclient.KnownHeaders(v); got < 1 || got > 64 {
				t.Fatalf("%d headers", got)
			}
		}
	}
	token = other.Sign(map[string]any{"n": 64, "kid": server.ID}, claims)
	_, err = v.Verify(t.Context(), token)
	wantInvalidToken(t, token, err, "signature")
	// Algs is not outwitted by a header that another Verifier knows.
	narrow := l.newVerifier(func(c *acpclient.VerifierConfig) { c.Algs = []string{"EdDSA"} })
	_, err = narrow.Verify(t.Context(), good)
	wantInvalidToken(t, good, err, "alg")
}

// with is the claims with one replaced.
func with(claims map[string]any, name string, value any) map[string]any {
	c := maps.Clone(claims)
	c[name] = value
	return c
}

// BR-19, CF-06: what the caller does with its configuration afterwards has no effect.
func TestVerifierConfigIsCopied(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	algs, ttl, size := []string{"ES256"}, time.Minute, 10
	v := l.newVerifier(func(c *acpclient.VerifierConfig) {
		c.Algs, c.IntrospectionTTL, c.CacheSize = algs, &ttl, &size
	})
	algs[0], ttl, size = "RS256", 0, 0
	token := l.server.AccessToken(nil)
	first, err := v.Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := v.Verify(t.Context(), token); again != first {
		t.Error("CF-06: CacheSize changed afterwards")
	}
}
