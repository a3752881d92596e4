package localacp_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/examples/localacp"
)

func TestDiscovery(t *testing.T) {
	server := start(t, localacp.Options{Tenant: "acme", Workspace: "shop"})
	if !strings.HasSuffix(server.Issuer, "/acme/shop") {
		t.Errorf("issuer %s", server.Issuer)
	}
	status, metadata := object(t, newBrowser(t).get(server.Issuer+"/.well-known/openid-configuration"))
	if status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	for name, path := range map[string]string{
		"issuer":                 "",
		"authorization_endpoint": "/oauth2/authorize",
		"token_endpoint":         "/oauth2/token",
		"introspection_endpoint": "/oauth2/introspect",
		"revocation_endpoint":    "/oauth2/revoke",
		"userinfo_endpoint":      "/userinfo",
		"end_session_endpoint":   "/oidc/logout",
		"jwks_uri":               "/.well-known/jwks.json",
	} {
		if got := metadata.text(name); got != server.Issuer+path {
			t.Errorf("%s is %s", name, got)
		}
	}
	if got := fmt.Sprint(metadata["code_challenge_methods_supported"]); got != "[S256]" {
		t.Errorf("challenge methods %s", got)
	}
	status, keys := object(t, newBrowser(t).get(metadata.text("jwks_uri")))
	if list, _ := keys["keys"].([]any); status != http.StatusOK || len(list) != 1 {
		t.Errorf("keys: status %d, %v", status, keys)
	} else if key := members(list[0].(map[string]any)); key.text("alg") != "ES256" || key["d"] != nil {
		t.Errorf("key %v", key)
	}
}

// TestAccessToken holds tokens that nobody signed in for against the SDK's verifier.
func TestAccessToken(t *testing.T) {
	server := start(t, localacp.Options{})
	verifier, err := acpclient.NewVerifier(acpclient.VerifierConfig{Issuer: server.Issuer, Audience: server.Audience})
	if err != nil {
		t.Fatal(err)
	}
	defer verifier.Close(t.Context())
	long := time.Now().Add(-time.Hour).Truncate(time.Second)
	for name, row := range map[string]struct {
		grant    localacp.Grant
		authTime time.Time
		amr      string
	}{
		"plain":  {localacp.Grant{Username: "bob", ClientID: "curl"}, time.Now().Truncate(time.Second), "[pwd]"},
		"strong": {localacp.Grant{Username: "bob", ClientID: "curl", Scopes: []string{"things.read"}, ACR: "urn:acp:mfa", AuthTime: long}, long, "[pwd otp]"},
	} {
		token, err := server.AccessToken(row.grant)
		if err != nil {
			t.Fatal(err)
		}
		a, err := verifier.Verify(t.Context(), token)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if a.Subject != "bob" || fmt.Sprint(a.Audience) != "[curl "+server.Audience+"]" || fmt.Sprint(a.Scopes) != fmt.Sprint(row.grant.Scopes) ||
			a.ACR != row.grant.ACR || a.AuthTime.Sub(row.authTime).Abs() > time.Minute || fmt.Sprint(a.AMR) != row.amr || a.Workspace != "bank" {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

func TestWholeFlow(t *testing.T) {
	for _, alg := range []string{"ES256", "RS256", "PS256"} {
		t.Run(alg, func(t *testing.T) {
			server := start(t, localacp.Options{Alg: alg, Tenant: "demo", Workspace: "bank"})
			b := newBrowser(t)
			status, tokens := b.token(server, codeForm(b.code(authorizeURL(server))))
			if status != http.StatusOK {
				t.Fatalf("status %d: %v", status, tokens)
			}
			if tokens.text("token_type") != "bearer" || tokens["expires_in"] != 3600.0 {
				t.Errorf("token response %v", tokens)
			}

			access := tokens.text("access_token")
			if header := part(t, access, 0); header.text("typ") != "JWT" || header.text("alg") != alg || header.text("kid") == "" {
				t.Errorf("header %v", header)
			}
			claims := part(t, access, 1)
			for name, want := range map[string]any{
				"iss": server.Issuer, "sub": "alice", "tid": "demo", "aid": "bank", "st": "public",
				"aud":   []any{"web", server.Audience},
				"scp":   []any{"openid", "profile", "offline_access", "accounts.read"},
				"scope": nil, "client_id": nil, "grant_id": nil, "nonce": nil,
			} {
				if !reflect.DeepEqual(claims[name], want) {
					t.Errorf("access token: %s is %v, not %v", name, claims[name], want)
				}
			}
			id := part(t, tokens.text("id_token"), 1)
			if id["nonce"] != "n0nce" || id["aud"] != "web" || id["sub"] != "alice" || id["name"] != "Alice Liddell" || id["email"] != nil {
				t.Errorf("ID token %v", id)
			}

			bearer := func(token string) page {
				r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, server.Issuer+"/userinfo", nil)
				r.Header.Set("Authorization", "Bearer "+token)
				return b.do(r)
			}
			if status, info := object(t, bearer(access)); status != http.StatusOK || info["sub"] != "alice" || info["name"] != "Alice Liddell" {
				t.Errorf("userinfo: status %d, %v", status, info)
			}
			if p := bearer(access[:len(access)-3] + "AAA"); p.StatusCode != http.StatusUnauthorized || p.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("userinfo with a forged token: status %d", p.StatusCode)
			}

			ask := func(token string) members {
				status, answer := object(t, b.post(server.Issuer+"/oauth2/introspect", url.Values{"token": {token}},
					func(r *http.Request) { r.SetBasicAuth("web", "s3cret") }))
				if status != http.StatusOK {
					t.Fatalf("introspection: status %d, %v", status, answer)
				}
				return answer
			}
			if info := ask(access); info["active"] != true || info.text("token_type") != "access_token" ||
				info.text("scope") != "openid profile offline_access accounts.read" || info.text("tenant_id") != "demo" {
				t.Errorf("introspection %v", info)
			}
			if info := ask(tokens.text("refresh_token")); info["active"] != true || info.text("token_type") != "refresh_token" {
				t.Errorf("introspection of the refresh token %v", info)
			}

			refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.text("refresh_token")}}
			status, next := b.token(server, refresh)
			if status != http.StatusOK || next.text("refresh_token") == tokens.text("refresh_token") || next.text("refresh_token") == "" {
				t.Fatalf("refresh: status %d, %v", status, next)
			}
			if status, again := b.token(server, refresh); status != http.StatusBadRequest || again.text("error") != "invalid_grant" {
				t.Errorf("the old refresh token: status %d, %v", status, again)
			}

			if p := b.post(server.Issuer+"/oauth2/revoke", url.Values{"token": {next.text("refresh_token")}},
				func(r *http.Request) { r.SetBasicAuth("web", "s3cret") }); p.StatusCode != http.StatusOK {
				t.Errorf("revocation: status %d, %s", p.StatusCode, p.text)
			}
			if info := ask(next.text("access_token")); info["active"] != false {
				t.Errorf("introspection after revocation %v", info)
			}
		})
	}
}

func TestTokenRequestsRefused(t *testing.T) {
	server := start(t, localacp.Options{Clients: []localacp.Client{
		{ID: "web", Secret: "s3cret", RedirectURLs: []string{redirectURL}},
		{ID: "post", Secret: "s3cret", AuthMethod: "client_secret_post", RedirectURLs: []string{redirectURL}},
	}})
	for name, edit := range map[string]struct {
		form    func(url.Values)
		request func(*http.Request)
		status  int
		code    string
	}{
		"wrong verifier":   {form: func(v url.Values) { v.Set("code_verifier", strings.Repeat("x", 43)) }, status: 400, code: "invalid_grant"},
		"no verifier":      {form: func(v url.Values) { v.Del("code_verifier") }, status: 400, code: "invalid_grant"},
		"other redirect":   {form: func(v url.Values) { v.Set("redirect_uri", redirectURL+"2") }, status: 400, code: "invalid_grant"},
		"unknown code":     {form: func(v url.Values) { v.Set("code", "nothing") }, status: 400, code: "invalid_grant"},
		"wrong secret":     {request: func(r *http.Request) { r.SetBasicAuth("web", "wrong") }, status: 401, code: "invalid_client"},
		"no client":        {request: func(*http.Request) {}, status: 401, code: "invalid_client"},
		"another client":   {form: func(v url.Values) { v.Set("client_id", "post"); v.Set("client_secret", "s3cret") }, request: func(*http.Request) {}, status: 400, code: "invalid_grant"},
		"method of others": {form: func(v url.Values) { v.Set("client_id", "web"); v.Set("client_secret", "s3cret") }, request: func(*http.Request) {}, status: 401, code: "invalid_client"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBrowser(t)
			form := codeForm(b.code(authorizeURL(server)))
			if edit.form != nil {
				edit.form(form)
			}
			var edits []func(*http.Request)
			if edit.request != nil {
				edits = append(edits, edit.request)
			}
			status, answer := b.token(server, form, edits...)
			if status != edit.status || answer.text("error") != edit.code {
				t.Fatalf("status %d, %v", status, answer)
			}
			if answer["status_code"] != float64(status) || answer.text("cause") == "" || answer.text("error_hint") == "" {
				t.Errorf("the error lacks ACP's members: %v", answer)
			}
			if answer["access_token"] != nil {
				t.Error("tokens with an error")
			}
		})
	}
}

func TestCodeWorksOnce(t *testing.T) {
	server := start(t, localacp.Options{})
	b := newBrowser(t)
	form := codeForm(b.code(authorizeURL(server)))
	_, first := b.token(server, form)
	if status, second := b.token(server, form); status != http.StatusBadRequest || second.text("error") != "invalid_grant" {
		t.Errorf("the second time: status %d, %v", status, second)
	}
	// RFC 6749 4.1.2: what the first use brought is revoked.
	status, after := b.token(server, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.text("refresh_token")}})
	if status != http.StatusBadRequest {
		t.Errorf("the refresh token still works: %v", after)
	}
}

func TestIdempotencyKey(t *testing.T) {
	server := start(t, localacp.Options{})
	b := newBrowser(t)
	form := codeForm(b.code(authorizeURL(server)))
	send := func(key string) page {
		return b.post(server.Issuer+"/oauth2/token", form, func(r *http.Request) {
			r.SetBasicAuth("web", "s3cret")
			r.Header.Set("X-Idempotency-Key", key)
		})
	}
	key := strings.Repeat("k", 32)
	first, second := send(key), send(key)
	if first.StatusCode != http.StatusOK || first.text != second.text || second.Header.Get("X-Idempotent-Replayed") != "true" {
		t.Errorf("replay: %d, then %d %v", first.StatusCode, second.StatusCode, second.Header)
	}
	if first.Header.Get("X-Idempotent-Replayed") != "" {
		t.Error("the first answer says that it is a replay")
	}
	if third := send(strings.Repeat("l", 32)); third.StatusCode != http.StatusBadRequest {
		t.Errorf("another key: status %d", third.StatusCode)
	}
}

func TestClientAssertion(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		key crypto.Signer
		alg jose.SignatureAlgorithm
		kid string
	}{
		{rsaKey, jose.RS256, ""}, {rsaKey, jose.PS256, ""}, {ecKey, jose.ES256, "my-key"}, {edKey, jose.EdDSA, ""},
	} {
		t.Run(string(row.alg), func(t *testing.T) {
			server := start(t, localacp.Options{Clients: []localacp.Client{{
				ID: "web", PublicKey: row.key.Public(), KeyID: row.kid, RedirectURLs: []string{redirectURL},
			}}})
			opts := (&jose.SignerOptions{}).WithType("JWT")
			if row.kid != "" {
				opts = opts.WithHeader("kid", row.kid)
			}
			signer, err := jose.NewSigner(jose.SigningKey{Algorithm: row.alg, Key: row.key}, opts)
			if err != nil {
				t.Fatal(err)
			}
			now := time.Now()
			assertion, err := jwt.Signed(signer).Claims(jwt.Claims{
				Issuer: "web", Subject: "web", Audience: jwt.Audience{server.Issuer}, ID: rand.Text(),
				IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Minute)),
			}).Serialize()
			if err != nil {
				t.Fatal(err)
			}
			b := newBrowser(t)
			send := func() (int, members) {
				form := codeForm(b.code(authorizeURL(server, "prompt", "login")))
				form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
				form.Set("client_assertion", assertion)
				return b.token(server, form, func(*http.Request) {})
			}
			if status, answer := send(); status != http.StatusOK {
				t.Fatalf("status %d, %v", status, answer)
			}
			if status, answer := send(); status != http.StatusUnauthorized || answer.text("error") != "invalid_client" {
				t.Errorf("a replayed assertion: status %d, %v", status, answer)
			}
		})
	}
}

func TestOptionMistakesAreAllReported(t *testing.T) {
	_, err := localacp.Start(localacp.Options{
		Tenant: "a/b", Alg: "none",
		Clients: []localacp.Client{{ID: "x"}, {ID: "y", AuthMethod: "private_key_jwt", RedirectURLs: []string{redirectURL}}},
	})
	for _, want := range []string{`"a/b"`, `"none"`, `"x"`, `"y"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
	if _, err := localacp.Start(localacp.Options{Addr: "0.0.0.0:0"}); err == nil {
		t.Error("it listens to the world")
	}
}
