package acpclient_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	josejson "github.com/go-jose/go-jose/v4/json"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// logout mints a logout token whose claims, and header members that start with "header ",
// are edited, and has it judged.
func (l *lab) logout(c *acpclient.Client, edit claim) (*acpclient.LogoutToken, string, error) {
	l.t.Helper()
	l.server.OnLogoutToken(func(h, claims map[string]any) {
		for name, value := range edit {
			if in, ok := strings.CutPrefix(name, "header "); ok {
				claim{in: value}.edit(h)
				continue
			}
			claim{name: value}.edit(claims)
		}
	})
	token := l.server.LogoutToken(nil)
	got, err := c.VerifyLogoutToken(l.t.Context(), token)
	if (got == nil) == (err == nil) {
		l.t.Errorf("%+v with the error %v", got, err)
	}
	return got, token, err
}

func TestLogoutTokenFields(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	want := acpclient.LogoutToken{
		Issuer: l.server.Issuer, Subject: "alice", SessionID: "s1", ID: "j1",
		IssuedAt: time.Unix(l.clock.unix(-1), 0), Expiry: time.Unix(l.clock.unix(90), 0),
	}
	both := claim{"sid": "s1", "jti": "j1", "iat": l.clock.unix(-1), "exp": l.clock.unix(90)}
	got, token, err := l.logout(l.client, both)
	if err != nil || *got != want {
		t.Fatalf("%+v, %v", got, err)
	}
	// LO-15: whether it is a replay, the caller's store knows.
	if again, err := l.client.VerifyLogoutToken(t.Context(), token); err != nil || *again != want {
		t.Errorf("a second time: %+v, %v", again, err)
	}
	onlySid := maps.Clone(both)
	onlySid["sub"] = gone{}
	want.Subject = ""
	if got, _, err := l.logout(l.client, onlySid); err != nil || *got != want {
		t.Errorf("sid alone: %+v, %v", got, err)
	}
	onlySub := maps.Clone(both)
	onlySub["sid"] = gone{}
	want.Subject, want.SessionID = "alice", ""
	if got, _, err := l.logout(l.client, onlySub); err != nil || *got != want {
		t.Errorf("sub alone: %+v, %v", got, err)
	}
}

// Attacks on the claims of a logout token, each made by a server that signs it. The client
// is "cid"; it trusts the audience "https://api.example" beside itself.
func TestLogoutTokenClaims(t *testing.T) {
	l := newLab(t, acptest.Options{Client: acptest.Client{ID: "cid"}}, func(c *acpclient.Config) {
		c.TrustedAudiences = []string{"https://api.example"}
	})
	iss := l.server.Issuer
	for _, row := range []struct {
		name   string
		claims claim
		reason string
	}{
		{"an honest token", claim{}, ""},
		{"with claims that nobody knows", claim{"trace_id": "x", "y": []any{nil}, "toe": 7, "NONCE": "n", "Events": 1}, ""},

		{"LO-11 iss another host", claim{"iss": "https://evil.example/acme/demo"}, "issuer"},
		{"LO-11 iss slash added", claim{"iss": iss + "/"}, "issuer"},
		{"LO-11 iss upper case", claim{"iss": strings.ToUpper(iss)}, "issuer"},
		{"LO-11 iss missing", claim{"iss": gone{}}, "issuer"},
		{"LO-11 iss null", claim{"iss": nil}, "issuer"},
		{"LO-11 iss an array", claim{"iss": []string{iss}}, "issuer"},
		{"LO-11 only ISS", claim{"iss": gone{}, "ISS": iss}, "issuer"},
		{"LO-11 aud another client", claim{"aud": "other"}, "audience"},
		{"LO-11 aud missing", claim{"aud": gone{}}, "audience"},
		{"LO-11 aud null", claim{"aud": nil}, "audience"},
		{"LO-11 aud empty", claim{"aud": []string{}}, "audience"},
		{"LO-11 aud without us", claim{"aud": []string{"other", "https://api.example"}}, "audience"},
		{"LO-11 aud our prefix", claim{"aud": "ci"}, "audience"},
		{"LO-11 aud upper case", claim{"aud": "CID"}, "audience"},
		{"LO-11 aud with a number", claim{"aud": []any{"cid", 1}}, "audience"},
		{"LO-11 only AUD", claim{"aud": gone{}, "AUD": "cid"}, "audience"},
		{"LO-11 evil beside us", claim{"aud": []string{"cid", "evil"}}, "audience"},
		{"LO-11 evil beside us, azp us", claim{"aud": []string{"cid", "evil"}, "azp": "cid"}, "audience"},
		{"LO-11 an array of one", claim{"aud": []string{"cid"}}, ""},
		{"LO-11 trusted beside us", claim{"aud": []string{"https://api.example", "cid"}}, ""},
		{"LO-11 azp another client", claim{"azp": "other"}, "authorized_party"},
		{"LO-11 azp null", claim{"azp": nil}, "authorized_party"},
		{"LO-11 azp us", claim{"azp": "cid"}, ""},

		{"LO-12 events missing", claim{"events": gone{}}, "events"},
		{"LO-12 events null", claim{"events": nil}, "events"},
		{"LO-12 events a string", claim{"events": logoutEvent}, "events"},
		{"LO-12 events an array", claim{"events": []string{logoutEvent}}, "events"},
		{"LO-12 events in an array", claim{"events": []any{map[string]any{logoutEvent: map[string]any{}}}}, "events"},
		{"LO-12 events empty", claim{"events": map[string]any{}}, "events"},
		{"LO-12 only EVENTS", claim{"events": gone{}, "EVENTS": map[string]any{logoutEvent: map[string]any{}}}, "events"},
		{"LO-12 another event", claim{"events": map[string]any{"http://schemas.openid.net/event/frontchannel-logout": map[string]any{}}}, "events"},
		{"LO-12 https", claim{"events": map[string]any{"https://schemas.openid.net/event/backchannel-logout": map[string]any{}}}, "events"},
		{"LO-12 slash added", claim{"events": map[string]any{logoutEvent + "/": map[string]any{}}}, "events"},
		{"LO-12 upper case", claim{"events": map[string]any{strings.ToUpper(logoutEvent): map[string]any{}}}, "events"},
		{"LO-12 one level too deep", claim{"events": map[string]any{"x": map[string]any{logoutEvent: map[string]any{}}}}, "events"},
		{"LO-12 the event null", claim{"events": map[string]any{logoutEvent: nil}}, "events"},
		{"LO-12 the event a string", claim{"events": map[string]any{logoutEvent: "{}"}}, "events"},
		{"LO-12 the event an array", claim{"events": map[string]any{logoutEvent: []any{}}}, "events"},
		{"LO-12 the event true", claim{"events": map[string]any{logoutEvent: true}}, "events"},
		{"LO-12 the event a number", claim{"events": map[string]any{logoutEvent: 0}}, "events"},
		{"LO-12 the event twice", claim{"events": raw(`{"` + logoutEvent + `":null,"` + logoutEvent + `":{}}`)}, "token_malformed"},
		{"LO-12 the event with members", claim{"events": map[string]any{logoutEvent: map[string]any{"reason": "x"}}}, ""},
		{"LO-12 the event beside another", claim{"events": map[string]any{logoutEvent: map[string]any{}, "urn:x": nil}}, ""},
		{"LO-12 the event beside its twin", claim{"events": raw(`{"` + logoutEvent + `":{},"` + strings.ToUpper(logoutEvent) + `":null}`)}, ""},
		{"LO-12 the event escaped", claim{"events": raw(`{"http:\/\/schemas.openid.net\/event\/backchannel\u002dlogout": { } }`)}, ""},

		{"LO-13 nonce", claim{"nonce": "n"}, "token_use"},
		{"LO-13 nonce empty", claim{"nonce": ""}, "token_use"},
		{"LO-13 nonce null", claim{"nonce": nil}, "token_use"},
		{"LO-13 nonce false", claim{"nonce": false}, "token_use"},
		{"LO-18 at_hash", claim{"at_hash": "x"}, "token_use"},
		{"LO-18 c_hash null", claim{"c_hash": nil}, "token_use"},

		{"LO-15 jti missing", claim{"jti": gone{}}, "jti"},
		{"LO-15 jti empty", claim{"jti": ""}, "jti"},
		{"LO-15 jti null", claim{"jti": nil}, "jti"},
		{"LO-15 jti a number", claim{"jti": 7}, "jti"},
		{"LO-15 jti an array", claim{"jti": []string{"j"}}, "jti"},
		{"LO-15 only JTI", claim{"jti": gone{}, "JTI": "j"}, "jti"},
		{"LO-15 jti of 256 bytes", claim{"jti": strings.Repeat("j", 256)}, ""},
		{"LO-15 jti of 257 bytes", claim{"jti": strings.Repeat("j", 257)}, "jti"},
		{"LO-15 jti of any characters", claim{"jti": "ä\x00/\n"}, ""},

		{"LO-16 iat missing", claim{"iat": gone{}}, "issued_at"},
		{"LO-16 iat null", claim{"iat": nil}, "token_malformed"},
		{"LO-16 iat a string", claim{"iat": fmt.Sprint(l.clock.unix(0))}, "token_malformed"},
		{"LO-16 only IAT", claim{"iat": gone{}, "IAT": l.clock.unix(0)}, "issued_at"},
		{"LO-16 iat 5 min ago", claim{"iat": l.clock.unix(-300)}, ""},
		{"LO-16 iat a second older", claim{"iat": l.clock.unix(-301)}, "issued_at"},
		{"LO-16 iat a year ago", claim{"iat": l.clock.unix(-365 * 86400)}, "issued_at"},
		{"LO-16 iat 0", claim{"iat": 0}, "issued_at"},
		{"LO-16 iat ahead by the leeway", claim{"iat": l.clock.unix(60)}, ""},
		{"LO-16 iat a second later", claim{"iat": l.clock.unix(61)}, "issued_at"},
		{"LO-16 iat in a year", claim{"iat": l.clock.unix(365 * 86400)}, "issued_at"},
		{"LO-16 exp missing", claim{"exp": gone{}}, "token_malformed"},
		{"LO-16 exp null", claim{"exp": nil}, "token_malformed"},
		{"LO-16 exp a string", claim{"exp": "9999999999"}, "token_malformed"},
		{"LO-16 only EXP", claim{"exp": gone{}, "EXP": l.clock.unix(60)}, "token_malformed"},
		{"LO-16 exp within the leeway", claim{"exp": l.clock.unix(-59)}, ""},
		{"LO-16 exp at the leeway", claim{"exp": l.clock.unix(-60)}, "expired"},
		{"LO-16 exp a year ago", claim{"exp": l.clock.unix(-365 * 86400)}, "expired"},
		{"LO-16 exp 1e300", claim{"exp": raw("1e300")}, "token_malformed"},
		{"LO-16 exp 1.9e9", claim{"exp": raw("1.9e9")}, ""},
		{"LO-16 nbf tomorrow", claim{"nbf": l.clock.unix(86400)}, "not_yet_valid"},

		{"LO-18 neither sub nor sid", claim{"sub": gone{}}, "subject"},
		{"LO-18 only SUB and SID", claim{"sub": gone{}, "SUB": "alice", "SID": "s"}, "subject"},
		{"LO-18 sub empty", claim{"sub": ""}, "subject"},
		{"LO-18 sub null", claim{"sub": nil}, "subject"},
		{"LO-18 sub a number", claim{"sub": 7}, "subject"},
		{"LO-18 sub empty beside a sid", claim{"sub": "", "sid": "s"}, "subject"},
		{"LO-18 sub null beside a sid", claim{"sub": nil, "sid": "s"}, "subject"},
		{"LO-18 sub of 256 bytes", claim{"sub": strings.Repeat("a", 256)}, "subject"},
		{"LO-18 sid empty", claim{"sid": ""}, "sid"},
		{"LO-18 sid null", claim{"sid": nil}, "sid"},
		{"LO-18 sid a number", claim{"sid": 7}, "sid"},
		{"LO-18 sid an array", claim{"sid": []string{"s"}}, "sid"},
		{"LO-18 sid empty without sub", claim{"sub": gone{}, "sid": ""}, "sid"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, token, err := l.logout(l.client, row.claims)
			wantInvalidToken(t, token, err, row.reason)
		})
	}
}

// Two readers could take different ones of two members, or read past an escaped name.
func TestLogoutTokenMembers(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	parts := strings.Split(l.server.LogoutToken(nil), ".")
	for _, row := range []struct{ name, add, reason string }{
		{"nothing", ``, ""},
		{"LO-12 events twice", `"events":null,`, "token_malformed"},
		{"LO-13 nonce escaped", `"n\u006fnce":null,`, "token_use"},
		{"LO-15 jti twice", `"jti":"another",`, "token_malformed"},
		{"LO-18 sub twice", `"sub":"bob",`, "token_malformed"},
		{"LO-18 sid escaped, twice", `"sid":"s","s\u0069d":"t",`, "token_malformed"},
	} {
		t.Run(row.name, func(t *testing.T) {
			token := l.server.Key().SignRaw(dec(parts[0]), strings.Replace(dec(parts[1]), "{", "{"+row.add, 1))
			_, err := l.client.VerifyLogoutToken(t.Context(), token)
			wantInvalidToken(t, token, err, row.reason)
		})
	}
}

// The closed list of types, and the setting that opens it by two.
func TestLogoutTokenTypes(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	lax := l.newClient(func(c *acpclient.Config) { c.InsecureUntypedLogoutTokens = true })
	for _, row := range []struct {
		typ         any
		strict, lax string
	}{
		{"logout+jwt", "", ""},
		{"LOGOUT+JWT", "", ""},
		{"application/logout+jwt", "", ""},
		{"Application/Logout+Jwt", "", ""},
		{gone{}, "token_use", ""},
		{"JWT", "token_use", ""},
		{"jwt", "token_use", ""},
		{"application/jwt", "token_use", ""},
		{"at+jwt", "token_use", "token_use"},
		{"application/at+jwt", "token_use", "token_use"},
		{"secevent+jwt", "token_use", "token_use"},
		{"dpop+jwt", "token_use", "token_use"},
		{"logout+jwt ", "token_use", "token_use"},
		{"logout", "token_use", "token_use"},
		{"text/logout+jwt", "token_use", "token_use"},
		{"application/application/logout+jwt", "token_use", "token_use"},
		{"", "token_malformed", "token_malformed"},
		{"application/", "token_malformed", "token_malformed"},
		{nil, "token_malformed", "token_malformed"},
		{7, "token_malformed", "token_malformed"},
		{[]string{"logout+jwt"}, "token_malformed", "token_malformed"},
	} {
		t.Run(fmt.Sprintf("LO-17 %v", row.typ), func(t *testing.T) {
			_, token, err := l.logout(l.client, claim{"header typ": row.typ})
			wantInvalidToken(t, token, err, row.strict)
			_, token, err = l.logout(lax, claim{"header typ": row.typ})
			wantInvalidToken(t, token, err, row.lax)
		})
	}
	// LO-17: only the type is optional then.
	for reason, edit := range map[string]claim{"events": {"events": gone{}}, "token_use": {"nonce": nil}, "jti": {"jti": gone{}}} {
		edit["header typ"] = gone{}
		_, token, err := l.logout(lax, edit)
		wantInvalidToken(t, token, err, reason)
	}
}

// LO-18: tokens of other kinds, real ones.
func TestLogoutTokenOfAnotherKind(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	lax := l.newClient(func(c *acpclient.Config) { c.InsecureUntypedLogoutTokens = true })
	now := map[string]any{"iat": l.clock.unix(0)}
	for name, row := range map[string]struct{ token, lax string }{
		"an ID token":              {l.server.IDToken(map[string]any{"nonce": "n"}), "token_use"},
		"an ID token with no mark": {l.server.IDToken(now), "events"},
		"an access token":          {l.server.AccessToken(nil), "events"},
	} {
		t.Run("LO-18 "+name, func(t *testing.T) {
			_, err := l.client.VerifyLogoutToken(t.Context(), row.token)
			wantInvalidToken(t, row.token, err, "token_use")
			_, err = lax.VerifyLogoutToken(t.Context(), row.token)
			wantInvalidToken(t, row.token, err, row.lax)
		})
	}
	// And a logout token is nothing else.
	logout := l.server.LogoutToken(nil)
	l.server.MintIDToken(func(_, _ map[string]any) string { return logout })
	_, err := l.login(nil)
	wantInvalidToken(t, logout, err, "token_use")
	_, err = l.newVerifier(func(c *acpclient.VerifierConfig) { c.Audience = l.server.ClientID }).Verify(t.Context(), logout)
	wantInvalidToken(t, logout, err, "token_use")
}

// LO-10: what is not signed by the server's key with an algorithm that it names.
func TestLogoutTokenSignature(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	l.server.OnMetadata(func(m map[string]any) { m["id_token_signing_alg_values_supported"] = []string{"ES256", "RS256"} })
	honest := l.server.LogoutToken(nil)
	parts := strings.Split(honest, ".")
	var claims map[string]any
	if err := json.Unmarshal([]byte(dec(parts[1])), &claims); err != nil {
		t.Fatal(err)
	}
	typ := map[string]any{"typ": "logout+jwt"}
	kid := l.server.Key().ID
	stranger, unnamed := acptest.NewKey("ES256"), acptest.NewKey("EdDSA")
	l.server.AddKey(unnamed)
	public, err := json.Marshal(l.server.Key().JWK())
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ name, token, reason string }{
		{"honest", honest, ""},
		{"none", acptest.Unsigned(typ, claims), "alg"},
		{"None", acptest.Unsigned(map[string]any{"typ": "logout+jwt", "alg": "None"}, claims), "alg"},
		{"none with the signature", enc(`{"alg":"none","typ":"logout+jwt"}`) + "." + parts[1] + "." + parts[2], "alg"},
		{"HS256 with the client secret", acptest.SignHMAC([]byte(l.server.ClientSecret), typ, claims), "alg"},
		{"HS256 with the public key", acptest.SignHMAC(public, typ, claims), "alg"},
		{"an algorithm that the server does not name", unnamed.Sign(typ, claims), "alg"},
		{"another key's", stranger.Sign(typ, claims), "key_not_found"},
		{"another key's under a known kid", stranger.Sign(map[string]any{"typ": "logout+jwt", "kid": kid}, claims), "signature"},
		{"with its own key", stranger.Sign(map[string]any{"typ": "logout+jwt", "kid": kid, "jwk": stranger.JWK()}, claims), "signature"},
		{"cut off", parts[0] + "." + parts[1] + ".", "signature"},
		{"of another payload", parts[0] + "." + enc(strings.Replace(dec(parts[1]), "alice", "admin", 1)) + "." + parts[2], "signature"},
		{"of another alg's name", enc(strings.Replace(dec(parts[0]), "ES256", "RS256", 1)) + "." + parts[1] + "." + parts[2], "key_not_found"},
		{"a line break at the end", honest + "\n", "token_malformed"},
		{"a space in front", " " + honest, "token_malformed"},
		{"in JSON serialization", fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2]), "token_malformed"},
		{"five parts", honest + ".AA.AA", "token_malformed"},
		{"critical extensions", l.server.Sign(map[string]any{"typ": "logout+jwt", "crit": []string{"x"}, "x": 1}, claims), "token_malformed"},
		{"typ twice", l.server.Key().SignRaw(`{"alg":"ES256","kid":"`+kid+`","typ":"at+jwt","typ":"logout+jwt"}`, dec(parts[1])), "token_malformed"},
		{"a payload that is no object", l.server.Key().SignRaw(dec(parts[0]), `["x"]`), "token_malformed"},
		{"too long", l.server.Sign(typ, with(claims, "pad", strings.Repeat("x", 16<<10))), "token_malformed"},
		{"nothing", "", "token_malformed"},
	} {
		t.Run("LO-10 "+row.name, func(t *testing.T) {
			got, err := l.client.VerifyLogoutToken(t.Context(), row.token)
			wantInvalidToken(t, row.token, err, row.reason)
			if (got == nil) == (err == nil) {
				t.Errorf("%+v with the error %v", got, err)
			}
		})
	}
}

// LO-10: who registered HMAC takes nothing else.
func TestLogoutTokenHMAC(t *testing.T) {
	for _, alg := range []string{"HS256", "HS384", "HS512"} {
		l := newLab(t, acptest.Options{Client: acptest.Client{IDTokenAlg: alg}}, func(c *acpclient.Config) { c.IDTokenAlgs = []string{alg} })
		token := l.server.LogoutToken(nil)
		if got, err := l.client.VerifyLogoutToken(t.Context(), token); err != nil || got.Subject != "alice" {
			t.Errorf("%s: %+v, %v", alg, got, err)
		}
		payload := dec(strings.Split(token, ".")[1])
		header := fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":"logout+jwt"}`, "ES256", l.server.Key().ID)
		asymmetric := l.server.Key().SignRaw(header, payload)
		_, err := l.client.VerifyLogoutToken(t.Context(), asymmetric)
		wantInvalidToken(t, asymmetric, err, "alg")
		for _, secret := range []string{"", l.server.ClientSecret + "x"} {
			forged := acptest.SignHMAC([]byte(secret), map[string]any{"alg": alg, "typ": "logout+jwt"}, map[string]any{"sub": "alice"})
			_, err := l.client.VerifyLogoutToken(t.Context(), forged)
			wantInvalidToken(t, forged, err, "signature")
		}
		if n := l.count(acptest.JWKSEndpoint); n != 0 {
			t.Errorf("%s: %d fetches of keys that are not needed", alg, n)
		}
	}
}

// LO-16: a replay must be remembered for 10 min at most, whatever the leeway.
func TestLogoutTokenLeeway(t *testing.T) {
	l := newLab(t, acptest.Options{}, func(c *acpclient.Config) { c.Leeway = 5 * time.Minute })
	for _, row := range []struct {
		claims claim
		reason string
	}{
		{claim{"exp": l.clock.unix(-299)}, ""},
		{claim{"exp": l.clock.unix(-300)}, "expired"},
		{claim{"iat": l.clock.unix(300)}, ""},
		{claim{"iat": l.clock.unix(301)}, "issued_at"},
		{claim{"iat": l.clock.unix(-300), "exp": l.clock.unix(-299)}, ""},
		{claim{"iat": l.clock.unix(-301)}, "issued_at"},
	} {
		_, token, err := l.logout(l.client, row.claims)
		wantInvalidToken(t, token, err, row.reason)
	}
	_, token, err := l.logout(l.client, claim{"iat": l.clock.unix(300), "exp": raw("253402300799")})
	if err != nil {
		t.Fatal(err)
	}
	l.clock.advance(10 * time.Minute)
	if _, err := l.client.VerifyLogoutToken(t.Context(), token); err != nil {
		t.Error(err)
	}
	l.clock.advance(1)
	_, err = l.client.VerifyLogoutToken(t.Context(), token)
	wantInvalidToken(t, token, err, "issued_at")
}

// LO-11: another iss is taken only where it is configured, and then no other.
func TestLogoutTokenExpectedIssuer(t *testing.T) {
	const custom = "https://login.acme.example"
	l := newLab(t, acptest.Options{}, func(c *acpclient.Config) { c.ExpectedIssuer = custom })
	got, _, err := l.logout(l.client, claim{"iss": custom})
	if err != nil || got.Issuer != custom {
		t.Errorf("%+v, %v", got, err)
	}
	_, token, err := l.logout(l.client, nil)
	wantInvalidToken(t, token, err, "issuer")
}

// LO-20: a flood of forgeries costs the server one fetch of keys, and one for the unknown
// ids within a cool-down; what is not even typed as a logout token costs none.
func TestLogoutTokenFlood(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	idToken := l.server.IDToken(nil)
	stranger := acptest.NewKey("ES256")
	for n := range 100 {
		for _, token := range []string{idToken, "x.y.z", acptest.Unsigned(map[string]any{"typ": "logout+jwt"}, map[string]any{"n": n})} {
			if _, err := l.client.VerifyLogoutToken(t.Context(), token); !errors.Is(err, acpclient.ErrInvalidToken) {
				t.Fatal(err)
			}
		}
	}
	if n := l.count(acptest.MetadataEndpoint) + l.count(acptest.JWKSEndpoint); n != 0 {
		t.Errorf("%d requests for what no key can make good", n)
	}
	flood := func() {
		for n := range 100 {
			unknown := stranger.Sign(map[string]any{"typ": "logout+jwt", "kid": fmt.Sprint(n)}, map[string]any{"n": n})
			_, err := l.client.VerifyLogoutToken(t.Context(), unknown)
			wantInvalidToken(t, unknown, err, "key_not_found")
			forged := stranger.Sign(map[string]any{"typ": "logout+jwt", "kid": l.server.Key().ID}, map[string]any{"n": n})
			_, err = l.client.VerifyLogoutToken(t.Context(), forged)
			wantInvalidToken(t, forged, err, "signature")
		}
	}
	flood()
	if m, k := l.count(acptest.MetadataEndpoint), l.count(acptest.JWKSEndpoint); m != 1 || k > 2 {
		t.Errorf("%d fetches of metadata, %d of keys", m, k)
	}
	l.clock.advance(31 * time.Second)
	before := l.count(acptest.JWKSEndpoint)
	flood()
	if k := l.count(acptest.JWKSEndpoint) - before; k > 1 {
		t.Errorf("%d fetches of keys within the next cool-down", k)
	}
	if _, _, err := l.logout(l.client, nil); err != nil {
		t.Errorf("the honest token after the flood: %v", err)
	}
}

// What cannot be judged now is not called bad, and what is bad is so without the server.
func TestLogoutTokenWithoutServer(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	token, idToken := l.server.LogoutToken(nil), l.server.IDToken(nil)
	l.server.SetUnreachable(true)
	if _, err := l.client.VerifyLogoutToken(t.Context(), token); !errors.Is(err, acpclient.ErrUnavailable) || errors.Is(err, acpclient.ErrInvalidToken) {
		t.Errorf("unreachable: %v", err)
	}
	_, err := l.client.VerifyLogoutToken(t.Context(), idToken)
	wantInvalidToken(t, idToken, err, "token_use")
	l.server.SetUnreachable(false)
	l.clock.advance(time.Minute)
	if _, err := l.client.VerifyLogoutToken(t.Context(), token); err != nil {
		t.Errorf("reachable again: %v", err)
	}
	l.server.SetUnreachable(true)
	if _, err := l.client.VerifyLogoutToken(t.Context(), token); err != nil {
		t.Errorf("with known keys: %v", err)
	}
}

// RL-21: Close waits for a logout under way, and nothing is judged afterwards.
func TestLogoutTokenClose(t *testing.T) {
	l := newLab(t, acptest.Options{}, nil)
	token := l.server.LogoutToken(nil)
	release := l.server.Hold(acptest.JWKSEndpoint)
	defer release()
	judged := make(chan error, 1)
	go func() {
		_, err := l.client.VerifyLogoutToken(t.Context(), token)
		judged <- err
	}()
	if err := l.server.Wait(t.Context(), acptest.JWKSEndpoint, 1); err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.client.Close(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("Close whose time is over: %v", err)
	}
	release()
	if err := <-judged; err != nil {
		t.Errorf("the logout under way: %v", err)
	}
	for _, token := range []string{token, "x.y.z"} {
		if _, err := l.client.VerifyLogoutToken(t.Context(), token); !errors.Is(err, acpclient.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}

// asIs is an oidc.KeySet that takes any signature.
type asIs []byte

func (p asIs) VerifySignature(context.Context, string) ([]byte, error) { return p, nil }

// What go-oidc refuses we refuse, but where it takes the name of one member for another's; what
// we take, it and a reader of exact names read the same way.
func FuzzLogoutToken(f *testing.F) {
	const iat = 1772366400 // the clock of newHandClock
	event := `"events":{"` + logoutEvent + `":{}}`
	for _, seed := range []string{
		`{"iss":"https://as.example","aud":"cid","iat":1772366400,"exp":1772366520,"jti":"j","sub":"alice",` + event + `}`,
		`{"iss":"https://as.example","aud":["cid"],"iat":1772366400,"exp":1.77236652e9,"jti":"j","sid":"s",` + event + `}`,
		`{"iss":"https://as.example","aud":["cid","api"],"iat":1772366400.5,"exp":1772366520,"jti":"j","sub":"a","sid":"s",` + event + `}`,
		`{"iss":"https://as.example","aud":"cid","iat":1772366400,"exp":1772366520,"jti":"j","sub":"alice","nonce":null,` + event + `}`,
		`{"iss":"https://as.example","aud":"cid","iat":1772366400,"exp":1772366520,"jti":"j","sub":"alice","events":{"` + logoutEvent + `":null}}`,
		`{"iss":"https://as.example","aud":"cid","iat":1772366400,"exp":1772366520,"jti":"j","sub":"alice","events":{"` + logoutEvent + `":"x"}}`,
		`{"iss":"https://as.example","aud":"cid","iat":1772366400,"exp":1772366520,"jti":"j","Sub":7,"sid":"s",` + event + `}`,
		`{"iss":"https://as.example","aud":"cid","exp":1772366520,"jti":"j","sub":"alice",` + event + `}`,
		`{"iss":"https://as.example","aud":"cid","iat":1,"exp":1772366520,"jti":"","sub":"alice",` + event + `}`,
		`{"iss":"https://as.example","aud":"cid","iat":1772366400,"jti":"j","sub":"alice",` + event + `}`,
		`{"iss":"https://as.example","aud":"evil","azp":"cid","iat":1772366400,"exp":1,"jti":"j","sub":"",` + event + `}`,
		`{"iss":"https://evil.example","aud":"cid","iat":1772366400,"exp":1772366520,"jti":"j","sub":"alice","sub":"bob",` + event + `}`,
		`{"events":[]}`, `[]`, ``,
	} {
		f.Add([]byte(seed))
	}
	clock := newHandClock()
	c, err := acpclient.New(acpclient.Config{
		Issuer: "https://as.example", ClientID: "cid", TrustedAudiences: []string{"api"}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		f.Fatal(err)
	}
	c.SetClock(clock.now)
	f.Fuzz(func(t *testing.T, payload []byte) {
		ours, err := acpclient.JudgeLogoutToken(c, payload)
		if err != nil {
			if ours != nil || !errors.Is(err, acpclient.ErrInvalidToken) || acpclient.Reason(err) == "" {
				t.Errorf("%q: %+v, %v", payload, ours, err)
			}
			return
		}
		var exact map[string]any
		if err := josejson.Unmarshal(payload, &exact); err != nil {
			t.Fatalf("we take what go-jose refuses: %q: %v", payload, err)
		}
		events, _ := exact["events"].(map[string]any)
		_, isObject := events[logoutEvent].(map[string]any)
		_, hasNonce := exact["nonce"]
		sub, _ := exact["sub"].(string)
		sid, _ := exact["sid"].(string)
		at := ours.IssuedAt.Unix()
		switch {
		case !isObject, hasNonce, sub == "" && sid == "", at < iat-300, at > iat+60, ours.Expiry.Unix() <= iat-60:
			t.Fatalf("taken: %q", payload)
		case exact["iss"] != ours.Issuer, sub != ours.Subject, sid != ours.SessionID, exact["jti"] != ours.ID, len(ours.ID) > 256, ours.ID == "":
			t.Fatalf("%q: %+v, go-jose reads %v", payload, ours, exact)
		}
		if foldedNames(exact) || foldedNames(events) {
			return
		}
		verifier := oidc.NewVerifier("https://as.example", asIs(payload), &oidc.Config{
			ClientID: "cid", SupportedSigningAlgs: []string{"ES256"}, Now: func() time.Time { return clock.now().Add(-time.Minute) },
		})
		theirs, err := verifier.VerifyLogout(t.Context(), enc(`{"alg":"ES256"}`)+"."+enc(string(payload))+"."+enc(strings.Repeat("s", 64)))
		if err != nil {
			t.Fatalf("we take what go-oidc refuses: %q: %v", payload, err)
		}
		// A float64 may round up to the next second.
		later := theirs.Expiry.Sub(ours.Expiry)
		if theirs.Subject != ours.Subject || theirs.SessionID != ours.SessionID || theirs.TokenID != ours.ID || later < 0 || later > time.Second {
			t.Errorf("%q: %+v, go-oidc reads %+v", payload, ours, theirs)
		}
	})
}

// foldedNames tells whether a reader that folds case would find more of its members.
func foldedNames(members map[string]any) bool {
	known := []string{"iss", "sub", "aud", "exp", "iat", "jti", "events", "sid", "nonce", logoutEvent}
	for name := range members {
		if !slices.Contains(known, name) && slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, name) }) {
			return true
		}
	}
	return false
}
