package acpclient_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	josejson "github.com/go-jose/go-jose/v4/json"
	"golang.org/x/oauth2"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// raw is a claim, byte for byte.
func raw(s string) json.RawMessage { return json.RawMessage(s) }

// gone takes a claim away.
type gone struct{}

// claim edits one member; two members that differ in case need two.
type claim map[string]any

func (c claim) edit(claims map[string]any) {
	for name, value := range c {
		if _, ok := value.(gone); ok {
			delete(claims, name)
			continue
		}
		claims[name] = value
	}
}

// Attacks on the claims of an ID token, each made by a server that signs it. The client
// is "cid"; it trusts the audience "https://api.example" beside itself.
func TestIDTokenClaims(t *testing.T) {
	l := newLab(t, acptest.Options{Client: acptest.Client{ID: "cid"}}, func(c *acpclient.Config) {
		c.TrustedAudiences = []string{"https://api.example"}
	})
	iss := l.server.Issuer
	many := slices.Repeat([]string{"cid"}, 10_000)
	for _, row := range []struct {
		name   string
		claims claim
		reason string
	}{
		{"an honest token", claim{}, ""},

		{"ID-06 another host", claim{"iss": "https://evil.example/acme/demo"}, "issuer"},
		{"ID-06 slash added", claim{"iss": iss + "/"}, "issuer"},
		{"ID-06 upper case", claim{"iss": strings.ToUpper(iss)}, "issuer"},
		{"ID-06 another port", claim{"iss": "http://127.0.0.1:443/acme/demo"}, "issuer"},
		{"ID-06 another name of the host", claim{"iss": strings.Replace(iss, "127.0.0.1", "localhost", 1)}, "issuer"},
		{"ID-06 punycode twin", claim{"iss": "https://xn--e1awd7f.example"}, "issuer"},
		{"ID-06 another workspace", claim{"iss": strings.Replace(iss, "demo", "system", 1)}, "issuer"},
		{"ID-06 a path too many", claim{"iss": iss + "/../demo"}, "issuer"},
		{"ID-06 missing", claim{"iss": gone{}}, "issuer"},
		{"ID-06 empty", claim{"iss": ""}, "issuer"},
		{"ID-06 null", claim{"iss": nil}, "issuer"},
		{"ID-06 an array", claim{"iss": []string{iss}}, "issuer"},
		{"ID-06 ISS right, iss wrong", claim{"iss": "https://evil.example", "ISS": iss}, "issuer"},
		{"ID-08 a template that was filled in", claim{"iss": strings.Replace(iss, "acme", "tenant-of-mallory", 1), "tid": "tenant-of-mallory"}, "issuer"},

		{"ID-09 missing", claim{"aud": gone{}}, "audience"},
		{"ID-09 null", claim{"aud": nil}, "audience"},
		{"ID-09 empty", claim{"aud": ""}, "audience"},
		{"ID-09 no element", claim{"aud": []string{}}, "audience"},
		{"ID-09 a number", claim{"aud": 7}, "audience"},
		{"ID-09 an object", claim{"aud": map[string]any{"cid": 1}}, "audience"},
		{"ID-09 null inside", claim{"aud": []any{nil}}, "audience"},
		{"ID-09 null beside us", claim{"aud": []any{"cid", nil}}, "audience"},
		{"ID-09 a number beside us", claim{"aud": []any{1, "cid"}}, "audience"},
		{"ID-09 nested", claim{"aud": []any{[]any{"cid"}}}, "audience"},
		{"ID-09 101 elements", claim{"aud": many[:101], "azp": "cid"}, "audience"},
		{"ID-09 another client", claim{"aud": "other"}, "audience"},
		{"ID-09 our prefix", claim{"aud": "ci"}, "audience"},
		{"ID-09 we are its prefix", claim{"aud": "cid2"}, "audience"},
		{"ID-09 upper case", claim{"aud": "CID"}, "audience"},
		{"ID-09 a list in a string", claim{"aud": "cid other"}, "audience"},
		{"ID-10 an array of one", claim{"aud": []string{"cid"}}, ""},
		{"ID-15 aud other, AUD us", claim{"aud": "other", "AUD": "cid"}, "audience"},
		{"ID-15 aud us, AUD other", claim{"aud": "cid", "AUD": "other"}, ""},
		{"ID-15 aud us, Aud other", claim{"aud": "cid", "Aud": []string{"other"}}, ""},
		{"ID-15 only AUD", claim{"aud": gone{}, "AUD": "cid"}, "audience"},

		{"ID-11 evil beside us, no azp", claim{"aud": []string{"cid", "evil"}}, "authorized_party"},
		{"ID-11 evil beside us, azp us", claim{"aud": []string{"cid", "evil"}, "azp": "cid"}, "audience"},
		{"ID-11 evil beside us, azp evil", claim{"aud": []string{"cid", "evil"}, "azp": "evil"}, "authorized_party"},
		{"ID-11 trusted beside us, azp us", claim{"aud": []string{"https://api.example", "cid"}, "azp": "cid"}, ""},
		{"ID-11 trusted beside us, no azp", claim{"aud": []string{"cid", "https://api.example"}}, "authorized_party"},
		{"ID-11 trusted and evil beside us", claim{"aud": []string{"cid", "https://api.example", "evil"}, "azp": "cid"}, "audience"},
		{"ID-11 trusted without us", claim{"aud": []string{"https://api.example"}, "azp": "cid"}, "audience"},
		{"ID-11 an empty string beside us", claim{"aud": []string{"cid", ""}, "azp": "cid"}, "audience"},
		{"ID-12 azp another client", claim{"azp": "other"}, "authorized_party"},
		{"ID-12 azp us", claim{"azp": "cid"}, ""},
		{"ID-12 azp empty", claim{"azp": ""}, "authorized_party"},
		{"ID-12 azp null", claim{"azp": nil}, "authorized_party"},
		{"ID-12 azp an array", claim{"azp": []string{"cid"}}, "authorized_party"},
		{"ID-12 AZP another client", claim{"AZP": "other"}, ""},

		{"ID-13 missing", claim{"sub": gone{}}, "subject"},
		{"ID-13 empty", claim{"sub": ""}, "subject"},
		{"ID-13 null", claim{"sub": nil}, "subject"},
		{"ID-13 a number", claim{"sub": 7}, "subject"},
		{"ID-13 an array", claim{"sub": []string{"alice"}}, "subject"},
		{"ID-13 255 bytes", claim{"sub": strings.Repeat("a", 255)}, ""},
		{"ID-13 256 bytes", claim{"sub": strings.Repeat("a", 256)}, "subject"},
		{"ID-13 not ASCII", claim{"sub": "älice"}, "subject"},
		{"ID-13 NUL inside", claim{"sub": "ali\x00ce"}, "subject"},
		{"ID-13 a lone surrogate", claim{"sub": raw(`"a\ud800"`)}, "token_malformed"},
		{"ID-13 only SUB", claim{"sub": gone{}, "SUB": "alice"}, "subject"},

		{"ID-17 missing", claim{"exp": gone{}}, "token_malformed"},
		{"ID-17 null", claim{"exp": nil}, "token_malformed"},
		{"ID-17 empty", claim{"exp": ""}, "token_malformed"},
		{"ID-17 true", claim{"exp": true}, "token_malformed"},
		{"ID-17 a string", claim{"exp": "9999999999"}, "token_malformed"},
		{"ID-17 an array", claim{"exp": []int{1}}, "token_malformed"},
		{"ID-17 only EXP", claim{"exp": gone{}, "EXP": l.clock.unix(60)}, "token_malformed"},

		{"ID-18 exp now", claim{"exp": l.clock.unix(0)}, ""},
		{"ID-18 exp a second ago", claim{"exp": l.clock.unix(-1)}, ""},
		{"ID-18 exp just within the leeway", claim{"exp": l.clock.unix(-59)}, ""},
		{"ID-18 exp at the leeway", claim{"exp": l.clock.unix(-60)}, "expired"},
		{"ID-18 exp beyond the leeway", claim{"exp": l.clock.unix(-61)}, "expired"},
		{"ID-18 a fraction is rounded down", claim{"exp": raw(fmt.Sprintf("%d.999", l.clock.unix(-60)))}, "expired"},

		{"ID-19 1e300", claim{"exp": raw("1e300")}, "token_malformed"},
		{"ID-19 2^63-1", claim{"exp": raw("9223372036854775807")}, "token_malformed"},
		{"ID-19 2^63", claim{"exp": raw("9223372036854775808")}, "token_malformed"},
		{"ID-19 2^64", claim{"exp": raw("18446744073709551616")}, "token_malformed"},
		{"ID-19 1e19", claim{"exp": raw("1e19")}, "token_malformed"},
		{"ID-19 1E400", claim{"exp": raw("1E400")}, "token_malformed"},
		{"ID-19 the year 10000", claim{"exp": raw("253402300800")}, "token_malformed"},
		{"ID-19 the end of 9999", claim{"exp": raw("253402300799")}, ""},
		{"ID-19 -1", claim{"exp": raw("-1")}, "token_malformed"},
		{"ID-19 -1e300", claim{"exp": raw("-1e300")}, "token_malformed"},
		{"ID-19 0", claim{"exp": raw("0")}, "expired"},
		{"ID-19 -0.0", claim{"exp": raw("-0.0")}, "expired"},
		{"ID-19 1.5", claim{"exp": raw("1.5")}, "expired"},
		{"ID-19 1.9e9", claim{"exp": raw("1.9e9")}, ""},
		{"ID-19 0.19E+10", claim{"exp": raw("0.19E+10")}, ""},

		{"ID-20 nbf 2^63-1", claim{"nbf": raw("9223372036854775807")}, "token_malformed"},
		{"ID-20 nbf 1e300", claim{"nbf": raw("1e300")}, "token_malformed"},
		{"ID-20 nbf a string", claim{"nbf": "x"}, "token_malformed"},
		{"ID-20 nbf null", claim{"nbf": nil}, "token_malformed"},
		{"ID-20 nbf tomorrow", claim{"nbf": l.clock.unix(86400)}, "not_yet_valid"},
		{"ID-20 nbf missing", claim{"nbf": gone{}}, ""},
		{"ID-21 nbf at the leeway", claim{"nbf": l.clock.unix(60)}, ""},
		{"ID-21 nbf beyond the leeway", claim{"nbf": l.clock.unix(61)}, "not_yet_valid"},

		{"ID-22 iat missing", claim{"iat": gone{}}, "issued_at"},
		{"ID-22 iat null", claim{"iat": nil}, "token_malformed"},
		{"ID-22 iat a string", claim{"iat": fmt.Sprint(l.clock.unix(0))}, "token_malformed"},
		{"ID-22 iat at the leeway", claim{"iat": l.clock.unix(60)}, ""},
		{"ID-22 iat in the future", claim{"iat": l.clock.unix(61)}, "issued_at"},
		{"ID-24 iat a week old", claim{"iat": l.clock.unix(-7 * 86400)}, "issued_at"},
		{"ID-24 iat 11 min old, the leeway included", claim{"iat": l.clock.unix(-660)}, ""},
		{"ID-24 iat a second older", claim{"iat": l.clock.unix(-661)}, "issued_at"},

		{"ID-25 nonce missing", claim{"nonce": gone{}}, "nonce"},
		{"ID-25 nonce wrong", claim{"nonce": "AAAAAAAAAAAAAAAAAAAAAAAAAA"}, "nonce"},
		{"ID-25 nonce empty", claim{"nonce": ""}, "nonce"},
		{"ID-25 nonce null", claim{"nonce": nil}, "nonce"},
		{"ID-25 nonce a number", claim{"nonce": 7}, "nonce"},
		{"ID-25 nonce an array", claim{"nonce": []string{"x"}}, "nonce"},

		{"ID-34 events", claim{"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}}, "token_use"},
		{"ID-34 events null", claim{"events": nil}, "token_use"},

		{"ID-31 auth_time missing, and nothing was asked", claim{"auth_time": gone{}}, ""},
		{"ID-31 auth_time a string", claim{"auth_time": "x"}, "auth_time"},
		{"ID-31 auth_time in the future", claim{"auth_time": l.clock.unix(61)}, "auth_time"},

		{"ID-45 odd e-mail addresses say nothing of who it is", claim{"email": "a@b@c.com", "email_verified": "false"}, ""},
		{"ID-45 fullwidth", claim{"email": "admin＠example.com", "email_verified": false}, ""},

		{"TX-40 distributed claims are not followed", claim{
			"_claim_names":   map[string]any{"email": "src"},
			"_claim_sources": map[string]any{"src": map[string]any{"endpoint": "http://169.254.169.254/"}},
		}, ""},
		{"unknown claims of any type", claim{"at_HASH": 1, "x": []any{nil, map[string]any{}}}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			l.server.OnIDToken(func(_, c map[string]any) { row.claims.edit(c) })
			tokens, err := l.login(nil)
			wantInvalidToken(t, "", err, row.reason)
			if err != nil {
				if tokens != nil {
					t.Error("an error, and tokens with it")
				}
				return
			}
			var who struct {
				Iss string `json:"iss"`
				Sub string `json:"sub"`
			}
			if err := tokens.Claims(&who); err != nil || who.Iss != iss || who.Sub == "" {
				t.Errorf("claims %+v, %v", who, err)
			}
		})
	}
	if n := l.count(acptest.MetadataEndpoint); n != 1 {
		t.Errorf("%d fetches of the metadata", n)
	}
}

// ID-16: two readers could take different ones of two members.
func TestIDTokenDuplicateMembers(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	for _, row := range []struct{ name, add, reason string }{
		{"nothing", ``, ""},
		{"sub", `"sub":"admin",`, "token_malformed"},
		{"iss", `"iss":"https://evil.example",`, "token_malformed"},
		{"exp", `"exp":4102444800,`, "token_malformed"},
		{"aud, escaped", `"\u0061ud":"cid",`, "token_malformed"},
		{"inside another member", `"x":[{"y":{"z":1,"z":2}}],`, "token_malformed"},
		{"SUB is another name", `"SUB":"admin",`, ""},
	} {
		t.Run("ID-16 "+row.name, func(t *testing.T) {
			l.server.MintIDToken(func(h, c map[string]any) string {
				token := l.server.Sign(h, c)
				p := strings.Split(token, ".")
				return l.server.Key().SignRaw(dec(p[0]), strings.Replace(dec(p[1]), "{", "{"+row.add, 1))
			})
			_, err := l.login(nil)
			wantInvalidToken(t, "", err, row.reason)
		})
	}
	// ID-13: go's own reader would make one subject of these two.
	l.server.MintIDToken(func(h, c map[string]any) string {
		p := strings.Split(l.server.Sign(h, c), ".")
		return l.server.Key().SignRaw(dec(p[0]), strings.Replace(dec(p[1]), `"alice"`, "\"ali\xffce\"", 1))
	})
	_, err := l.login(nil)
	wantInvalidToken(t, "", err, "token_malformed")
}

// The closed lists of types, for ID tokens and access tokens.
func TestTokenTypes(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	v := l.newVerifier(nil)
	for _, row := range []struct {
		typ                  any // nil leaves it out
		idToken, accessToken string
	}{
		{nil, "", ""},
		{"JWT", "", ""},
		{"jwt", "", ""},
		{"application/jwt", "", ""},
		{"APPLICATION/JWT", "", ""},
		{"at+jwt", "token_use", ""}, // ID-33, BR-16 with the profile off
		{"AT+JWT", "token_use", ""},
		{"application/at+jwt", "token_use", ""},
		{"Application/AT+jwt", "token_use", ""},
		{"logout+jwt", "token_use", "token_use"}, // ID-33, BR-17
		{"dpop+jwt", "token_use", "token_use"},
		{"secevent+jwt", "token_use", "token_use"},
		{"token-introspection+jwt", "token_use", "token_use"},
		{"client-authentication+jwt", "token_use", "token_use"},
		{"oauth-authz-req+jwt", "token_use", "token_use"},
		{"JOSE", "token_use", "token_use"},
		{"JWT ", "token_use", "token_use"},
		{"application/application/jwt", "token_use", "token_use"},
		{"", "token_malformed", "token_malformed"},
		{"application/", "token_malformed", "token_malformed"},
		{"text/jwt", "token_use", "token_use"},
		{7, "token_malformed", "token_malformed"},
		{raw("null"), "token_malformed", "token_malformed"},
	} {
		t.Run(fmt.Sprintf("ID-33 BR-16 BR-17 %v", row.typ), func(t *testing.T) {
			edit := func(h, _ map[string]any) {
				h["typ"] = row.typ
				if row.typ == nil {
					delete(h, "typ")
				}
			}
			l.server.OnIDToken(edit)
			_, err := l.login(nil)
			wantInvalidToken(t, "", err, row.idToken)
			l.server.OnAccessToken(edit)
			token := l.server.AccessToken(nil)
			_, err = v.Verify(t.Context(), token)
			wantInvalidToken(t, token, err, row.accessToken)
		})
	}
}

// ID-25 and ID-27: the nonce is this login's, to the letter.
func TestIDTokenNonceOfAnotherLogin(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	flow, callback := l.authorize(nil)
	other, _ := l.authorize(nil)
	for name, nonce := range map[string]string{
		"ID-27 another login's": other.Nonce, "ID-25 in another case": strings.ToLower(flow.Nonce),
		"ID-25 its prefix": flow.Nonce[:25], "ID-25 and more": flow.Nonce + "A", "ID-25 the state": flow.State,
		"ID-25 the verifier": flow.Verifier,
	} {
		t.Run(name, func(t *testing.T) {
			l.server.OnIDToken(func(_, c map[string]any) { c["nonce"] = nonce })
			_, err := l.login(nil)
			wantInvalidToken(t, "", err, "nonce")
		})
	}
	l.server.OnIDToken(func(_, c map[string]any) { c["nonce"] = flow.Nonce })
	if _, err := l.client.Exchange(t.Context(), flow, callback); err != nil {
		t.Error(err)
	}
}

// ID-26: a refresh sends no nonce, so a token with one must be the login's.
func TestIDTokenNonceNotSent(t *testing.T) {
	l := newLab(t, acptest.Options{RefreshTokens: true}, nil)
	tokens, err := l.login(nil)
	if err != nil {
		t.Fatal(err)
	}
	bare := &acpclient.Tokens{Token: &oauth2.Token{RefreshToken: tokens.RefreshToken}}
	l.server.OnIDToken(func(_, c map[string]any) { c["nonce"] = "somebody's" })
	_, err = l.client.Refresh(t.Context(), bare)
	wantInvalidToken(t, "", err, "nonce")
}

// ID-28, ID-29, ID-30: the hashes that bind an ID token to what came with it.
func TestIDTokenHashes(t *testing.T) {
	l := newLab(t, acptest.Options{AtHash: true}, nil)
	l.server.OnMetadata(func(m map[string]any) { delete(m, "id_token_signing_alg_values_supported") })
	for _, k := range keyOfEachAlg() {
		l.server.AddKey(k)
	}
	for _, k := range keyOfEachAlg() {
		l.server.SetKey(k)
		hash := func(value string) string { return acptest.HalfHash(k.Alg, value) }
		other := "ES256"
		if len(hash("")) == len(acptest.HalfHash("ES256", "")) {
			other = "ES384"
		}
		for _, row := range []struct {
			name   string
			edit   func(c map[string]any, code, state string)
			reason string
		}{
			{"ID-28 right", func(map[string]any, string, string) {}, ""},
			{"ID-29 no at_hash", func(c map[string]any, _, _ string) { delete(c, "at_hash") }, ""},
			{"ID-28 of another token", func(c map[string]any, _, _ string) { c["at_hash"] = hash("another") }, "at_hash"},
			{"ID-28 empty", func(c map[string]any, _, _ string) { c["at_hash"] = "" }, "at_hash"},
			{"ID-28 cut short", func(c map[string]any, _, _ string) { c["at_hash"] = c["at_hash"].(string)[:10] }, "at_hash"},
			{"ID-28 padded", func(c map[string]any, _, _ string) { c["at_hash"] = c["at_hash"].(string) + "=" }, "at_hash"},
			{"ID-28 a number", func(c map[string]any, _, _ string) { c["at_hash"] = 7 }, "at_hash"},
			{"ID-28 null", func(c map[string]any, _, _ string) { c["at_hash"] = nil }, "at_hash"},
			{"ID-30 c_hash right", func(c map[string]any, code, _ string) { c["c_hash"] = hash(code) }, ""},
			{"ID-30 c_hash of another code", func(c map[string]any, code, _ string) { c["c_hash"] = hash(code + "x") }, "c_hash"},
			{"ID-30 c_hash of another family", func(c map[string]any, code, _ string) { c["c_hash"] = acptest.HalfHash(other, code) }, "c_hash"},
			{"ID-30 c_hash an array", func(c map[string]any, code, _ string) { c["c_hash"] = []string{hash(code)} }, "c_hash"},
			{"ID-30 s_hash right", func(c map[string]any, _, state string) { c["s_hash"] = hash(state) }, ""},
			{"ID-30 s_hash of another state", func(c map[string]any, _, state string) { c["s_hash"] = hash(state + "x") }, "c_hash"},
		} {
			t.Run(k.Alg+" "+row.name, func(t *testing.T) {
				flow, callback := l.authorize(nil)
				l.server.OnIDToken(func(_, c map[string]any) { row.edit(c, callback.Get("code"), flow.State) })
				_, err := l.client.Exchange(t.Context(), flow, callback)
				wantInvalidToken(t, "", err, row.reason)
			})
		}
	}
}

// ID-31: max_age is a promise that auth_time proves.
func TestIDTokenMaxAge(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	for _, row := range []struct {
		name     string
		maxAge   time.Duration
		authTime any
		reason   string
	}{
		{"now", 300 * time.Second, l.clock.unix(0), ""},
		{"missing", 300 * time.Second, gone{}, "auth_time"},
		{"null", 300 * time.Second, nil, "auth_time"},
		{"a string", 300 * time.Second, fmt.Sprint(l.clock.unix(0)), "auth_time"},
		{"1e300", 300 * time.Second, raw("1e300"), "auth_time"},
		{"too old by the leeway", 300 * time.Second, l.clock.unix(-360), ""},
		{"a second older", 300 * time.Second, l.clock.unix(-361), "auth_time"},
		{"in the future by the leeway", 300 * time.Second, l.clock.unix(60), ""},
		{"a second later", 300 * time.Second, l.clock.unix(61), "auth_time"},
		{"zero asks for now", 0, l.clock.unix(-60), ""},
		{"zero, a second older", 0, l.clock.unix(-61), "auth_time"},
		{"zero, missing", 0, gone{}, "auth_time"},
	} {
		t.Run("ID-31 "+row.name, func(t *testing.T) {
			l.server.OnIDToken(func(_, c map[string]any) { claim{"auth_time": row.authTime}.edit(c) })
			_, err := l.login(&acpclient.AuthorizeOptions{MaxAge: &row.maxAge})
			wantInvalidToken(t, "", err, row.reason)
		})
	}
}

// The leeway is a setting.
func TestIDTokenLeeway(t *testing.T) {
	l := newLab(t, acptest.Options{}, func(c *acpclient.Config) { c.Leeway = 5 * time.Minute })
	for exp, reason := range map[int64]string{-299: "", -300: "expired"} { // ID-18
		l.server.OnIDToken(func(_, c map[string]any) { c["exp"] = l.clock.unix(exp) })
		_, err := l.login(nil)
		wantInvalidToken(t, "", err, reason)
	}
	for nbf, reason := range map[int64]string{300: "", 301: "not_yet_valid"} { // ID-21
		l.server.OnIDToken(func(_, c map[string]any) { c["nbf"] = l.clock.unix(nbf) })
		_, err := l.login(nil)
		wantInvalidToken(t, "", err, reason)
	}
}

// ID-03: HMAC needs a secret that is one.
func TestHMACNeedsASecret(t *testing.T) {
	for name, edit := range map[string]func(*acpclient.Config){
		"ID-03 no secret":                   func(c *acpclient.Config) { c.Auth = nil },
		"ID-03 an empty secret":             func(c *acpclient.Config) { c.Auth = acpclient.Secret("") },
		"ID-03 31 bytes":                    func(c *acpclient.Config) { c.Auth = acpclient.Secret(strings.Repeat("s", 31)) },
		"ID-03 a key in place of a secret":  func(c *acpclient.Config) { c.Auth = acpclient.PrivateKeyJWT{Key: acptest.NewKey("ES256").Signer()} },
		"ID-04 beside an asymmetric one":    func(c *acpclient.Config) { c.IDTokenAlgs = []string{"HS256", "RS256"} },
		"ID-04 two of them":                 func(c *acpclient.Config) { c.IDTokenAlgs = []string{"HS256", "HS512"} },
		"ID-01 none":                        func(c *acpclient.Config) { c.IDTokenAlgs = []string{"none"} },
		"ID-01 an empty name":               func(c *acpclient.Config) { c.IDTokenAlgs = []string{""} },
		"ID-01 hs256, which is not a name":  func(c *acpclient.Config) { c.IDTokenAlgs = []string{"hs256"} },
		"ID-44 ES256K, which is not a name": func(c *acpclient.Config) { c.IDTokenAlgs = []string{"ES256K"} },
	} {
		t.Run(name, func(t *testing.T) {
			config := acpclient.Config{
				Issuer: "https://as.example", ClientID: "cid", Auth: acpclient.Secret(strings.Repeat("s", 32)),
				IDTokenAlgs: []string{"HS256"},
			}
			if _, err := acpclient.New(config); err != nil {
				t.Fatal(err)
			}
			edit(&config)
			if c, err := acpclient.New(config); err == nil || c != nil {
				t.Errorf("accepted: %v", err)
			}
		})
	}
}

// ID-04: who registered HMAC takes nothing else, who did not never takes it.
func TestHMACIsRegistered(t *testing.T) {
	for _, alg := range []string{"HS256", "HS384", "HS512"} {
		l := newLab(t, acptest.Options{Client: acptest.Client{IDTokenAlg: alg}}, func(c *acpclient.Config) { c.IDTokenAlgs = []string{alg} })
		if _, err := l.login(nil); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		l.server.MintIDToken(func(_, c map[string]any) string { return l.server.Sign(nil, c) })
		_, err := l.login(nil)
		wantInvalidToken(t, "", err, "alg")
		other := map[string]string{"HS256": "HS384", "HS384": "HS512", "HS512": "HS256"}[alg]
		l.server.MintIDToken(func(_, c map[string]any) string {
			return acptest.SignHMAC([]byte(l.server.ClientSecret), map[string]any{"alg": other}, c)
		})
		_, err = l.login(nil)
		wantInvalidToken(t, "", err, "alg")
		for _, secret := range []string{"", "another secret of more than 32 bytes", l.server.ClientSecret + "x"} {
			l.server.MintIDToken(func(_, c map[string]any) string {
				return acptest.SignHMAC([]byte(secret), map[string]any{"alg": alg}, c)
			})
			_, err = l.login(nil)
			wantInvalidToken(t, "", err, "signature")
		}
		if n := l.count(acptest.JWKSEndpoint); n != 0 {
			t.Errorf("%s: %d fetches of keys that are not needed", alg, n)
		}
	}
	l := newLab(t, acptest.Options{}, nil)
	l.server.MintIDToken(func(_, c map[string]any) string {
		return acptest.SignHMAC([]byte(l.server.ClientSecret), nil, c)
	})
	_, err := l.login(nil)
	wantInvalidToken(t, "", err, "alg")
}

// IDTokenAlgs narrows what the server names.
func TestIDTokenAlgsNarrow(t *testing.T) {
	l := newLab(t, acptest.Options{}, func(c *acpclient.Config) { c.IDTokenAlgs = []string{"RS256", "PS256"} })
	_, err := l.login(nil)
	wantInvalidToken(t, "", err, "alg")
	if n := l.count(acptest.MetadataEndpoint) + l.count(acptest.JWKSEndpoint); n != 1 {
		t.Errorf("%d fetches, want that of the metadata", n)
	}
}

// ID-07: another iss is taken only where it is configured, and then no other.
func TestExpectedIssuer(t *testing.T) {
	const custom = "https://login.acme.example"
	l := newLab(t, acptest.Options{}, func(c *acpclient.Config) { c.ExpectedIssuer = custom })
	for _, row := range []struct{ iss, reason string }{
		{custom, ""}, {l.server.Issuer, "issuer"}, {custom + "/", "issuer"}, {"", "issuer"}, {"https://evil.example", "issuer"},
	} {
		l.server.OnIDToken(func(_, c map[string]any) { c["iss"] = row.iss })
		_, err := l.login(nil)
		wantInvalidToken(t, "", err, row.reason)
	}
	// The same at an API.
	v := l.newVerifier(func(c *acpclient.VerifierConfig) { c.ExpectedIssuer = custom })
	for iss, reason := range map[string]string{custom: "", l.server.Issuer: "issuer"} {
		token := l.server.AccessToken(map[string]any{"iss": iss})
		_, err := v.Verify(t.Context(), token)
		wantInvalidToken(t, token, err, reason)
	}
}

// The server's answers change its kind of key at run time: one fetch finds that out, and
// a flood of wrong algorithms causes no flood of fetches.
func TestIDTokenAlgChangesAtRunTime(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	name := func(alg string) {
		l.server.OnMetadata(func(m map[string]any) { m["id_token_signing_alg_values_supported"] = []string{alg} })
	}
	name("ES256")
	if _, err := l.login(nil); err != nil {
		t.Fatal(err)
	}
	next := acptest.NewKey("ES384")
	l.server.AddKey(next)
	l.server.SetKey(next)
	name("ES384")
	for range 3 {
		if _, err := l.login(nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := l.count(acptest.MetadataEndpoint); n != 2 {
		t.Errorf("%d fetches of the metadata, want 2", n)
	}
	stranger := acptest.NewKey("EdDSA")
	l.server.MintIDToken(func(_, c map[string]any) string { return stranger.Sign(nil, c) })
	flood := func() {
		for range 20 {
			_, err := l.login(nil)
			wantInvalidToken(t, "", err, "alg")
		}
	}
	flood()
	if n := l.count(acptest.MetadataEndpoint); n != 2 {
		t.Errorf("%d fetches of the metadata within the cool-down, want 2", n)
	}
	l.clock.advance(31 * time.Second)
	flood()
	if n := l.count(acptest.MetadataEndpoint); n != 3 {
		t.Errorf("%d fetches of the metadata after the cool-down, want 3", n)
	}
	// A server that no longer names any narrows nothing.
	l.clock.advance(31 * time.Second)
	l.server.OnMetadata(func(m map[string]any) { delete(m, "id_token_signing_alg_values_supported") })
	last := acptest.NewKey("ES512")
	l.server.AddKey(last)
	l.server.SetKey(last)
	l.server.MintIDToken(nil)
	if _, err := l.login(nil); err != nil {
		t.Error(err)
	}
}

// A refused ID token loses nothing but this login: the error says what it is, and the
// code was sent once.
func TestIDTokenRefusedOnce(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	l.server.OnIDToken(func(_, c map[string]any) { c["aud"] = "other" })
	_, err := l.login(nil)
	if !errors.Is(err, acpclient.ErrInvalidToken) || errors.Is(err, acpclient.ErrUnavailable) {
		t.Errorf("the error is %v", err)
	}
	if n := l.count(acptest.TokenEndpoint); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
}

// What the strict reader takes, a reader of exact names takes, with the same values; and
// no payload makes a judge panic.
func FuzzClaims(f *testing.F) {
	for _, seed := range []string{
		`{"iss":"i","sub":"s","aud":"a","exp":1}`,
		`{"iss":"i","sub":"s","aud":["a","b"],"exp":1.9e9,"iat":1,"nonce":"n"}`,
		`{"aud":"other","AUD":"cid"}`,
		`{"sub":"a","sub":"b"}`,
		`{"iss":"i","sub":"\u0073","aud":[],"exp":253402300799}`,
		`{"iss":"i","sub":"s","aud":"a","exp":-0.0}`,
		`{"iss":"i","sub":"s","aud":"a","exp":1e300}`,
		`{"iss":"i","sub":"s","aud":"a","exp":123456789.123456789e1}`,
		`{"events":{},"cnf":null,"at_hash":[]}`,
		`{"iss":"https://as.example","sub":"s","aud":"cid","exp":1772366400,"iat":1772366400,"nonce":"n","auth_time":1772366400,"azp":"cid","scp":["a"],"scope":"a b"}`,
		`[]`, ``, `{"a":`,
	} {
		f.Add([]byte(seed))
	}
	now := newHandClock().now
	c, err := acpclient.New(acpclient.Config{Issuer: "https://as.example", ClientID: "cid"})
	if err != nil {
		f.Fatal(err)
	}
	c.SetClock(now)
	v, err := acpclient.NewVerifier(acpclient.VerifierConfig{Issuer: "https://as.example", Audience: "cid"})
	if err != nil {
		f.Fatal(err)
	}
	v.SetClock(now)
	f.Fuzz(func(t *testing.T, payload []byte) {
		acpclient.JudgeClaims(c, v, payload)
		ours, ok := acpclient.ReadClaims(payload)
		if !ok {
			return
		}
		var theirs map[string]any
		if err := josejson.Unmarshal(payload, &theirs); err != nil {
			t.Fatalf("we take what go-jose refuses: %q: %v", payload, err)
		}
		var aud []string
		switch a := theirs["aud"].(type) {
		case string:
			aud = []string{a}
		case []any:
			for _, s := range a {
				aud = append(aud, s.(string))
			}
		}
		exp, _ := theirs["exp"].(float64)
		if theirs["iss"] != ours.Iss || theirs["sub"] != ours.Sub || !slices.Equal(aud, ours.Aud) {
			t.Errorf("%q: %+v, go-jose reads %v", payload, ours, maps.Clone(theirs))
		}
		// A float64 may round up to the next second.
		if d := exp - float64(ours.Exp.Unix()); d < 0 || d > 1 {
			t.Errorf("%q: exp %d, go-jose reads %v", payload, ours.Exp.Unix(), exp)
		}
	})
}
