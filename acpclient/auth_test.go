package acpclient_test

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

func newSigner(t testing.TB, alg string) crypto.Signer {
	t.Helper()
	if alg == "RS256" {
		return rsaSigner()
	}
	return acptest.NewKey(alg).Signer()
}

// rsaSigner takes its time, so there is one.
var rsaSigner = sync.OnceValue(func() crypto.Signer { return acptest.NewKey("RS256").Signer() })

// opaque hides the type of a key, as an HSM does.
type opaque struct{ key crypto.Signer }

func (o opaque) Public() crypto.PublicKey { return o.key.Public() }

func (o opaque) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return o.key.Sign(rand, digest, opts)
}

// everyEndpoint logs in, refreshes and revokes: all that asks for the client's credentials.
func everyEndpoint(t *testing.T, r *rig) []acptest.Request {
	t.Helper()
	tokens := r.login()
	fresh, err := r.client.Refresh(t.Context(), tokens)
	if err != nil {
		t.Fatal("Refresh:", err)
	}
	r.tokenSecrets(fresh)
	if err := r.client.Revoke(t.Context(), fresh); err != nil {
		t.Fatal("Revoke:", err)
	}
	r.asked(acptest.TokenEndpoint, 2) // nothing is tried out
	r.asked(acptest.RevokeEndpoint, 1)
	return append(r.Requests(acptest.TokenEndpoint), r.Requests(acptest.RevokeEndpoint)...)
}

func TestClientSecrets(t *testing.T) {
	const id, odd = "a:b", "p%+ &é:/"
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("a%3Ab:p%25%2B+%26%C3%A9%3A%2F"))
	rows := []struct {
		name   string
		client acptest.Client
		auth   acpclient.ClientAuth
		header string
		secret string // in the body
	}{
		{"TX-26 basic", acptest.Client{ID: id, Secret: odd}, acpclient.SecretBasic(odd), basic, ""},
		{"TX-26 basic by metadata", acptest.Client{ID: id, Secret: odd}, acpclient.Secret(odd), basic, ""},
		{"TX-28 post by metadata", acptest.Client{ID: id, Secret: odd, AuthMethod: acptest.AuthPost}, acpclient.Secret(odd), "", odd},
		{"post", acptest.Client{ID: id, Secret: odd, AuthMethod: acptest.AuthPost}, acpclient.SecretPost(odd), "", odd},
		{"TX-29 public", acptest.Client{ID: id, AuthMethod: acptest.AuthNone}, nil, "", ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, &acptest.Options{Client: row.client}, func(c *acpclient.Config) { c.Auth = row.auth })
			for _, req := range everyEndpoint(t, r) {
				if got := req.Header.Get("Authorization"); got != row.header {
					t.Errorf("%s: Authorization %q, want %q", req.Path, got, row.header)
				}
				// TX-27: never in both places.
				if got := req.Form.Get("client_secret"); got != row.secret || req.Form.Has("client_secret") != (row.secret != "") {
					t.Errorf("%s: client_secret %q, want %q", req.Path, got, row.secret)
				}
				if got := req.Form.Get("client_id"); row.header == "" && got != id {
					t.Errorf("%s: client_id %q", req.Path, got)
				}
			}
		})
	}
}

// TX-28: the configuration goes before the metadata, and the metadata before the default.
func TestSecretByMetadata(t *testing.T) {
	rows := []struct {
		name    string
		methods any
		auth    acpclient.ClientAuth
		post    bool
	}{
		{"TX-28 silent", nil, acpclient.Secret("s3cret-canary"), false},
		{"TX-28 both", []string{"client_secret_post", "client_secret_basic"}, acpclient.Secret("s3cret-canary"), false},
		{"TX-28 post alone", []string{"client_secret_post"}, acpclient.Secret("s3cret-canary"), true},
		{"TX-28 neither", []string{"private_key_jwt"}, acpclient.Secret("s3cret-canary"), false},
		{"TX-28 post alone, basic configured", []string{"client_secret_post"}, acpclient.SecretBasic("s3cret-canary"), false},
		{"TX-28 basic alone, post configured", []string{"client_secret_basic"}, acpclient.SecretPost("s3cret-canary"), true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, &acptest.Options{Tolerate: []acptest.Rule{acptest.RuleClientAuth}}, func(c *acpclient.Config) { c.Auth = row.auth })
			r.secret("client secret", "s3cret-canary")
			r.OnMetadata(func(m map[string]any) {
				if m["token_endpoint_auth_methods_supported"] = row.methods; row.methods == nil {
					delete(m, "token_endpoint_auth_methods_supported")
				}
			})
			flow, callback := r.callback(nil)
			_, err := r.client.Exchange(t.Context(), flow, callback) // it is the wrong secret
			r.fails(err, nil, "provider_error:invalid_client")
			r.asked(acptest.TokenEndpoint, 1)
			req := r.Requests(acptest.TokenEndpoint)[0]
			if post := req.Form.Has("client_secret"); post != row.post || (req.Header.Get("Authorization") == "") != row.post {
				t.Errorf("secret in the body: %t, want %t", post, row.post)
			}
		})
	}
}

func TestPrivateKeyJWT(t *testing.T) {
	rows := []struct{ name, key, alg, want string }{
		{"TX-30 RS256 by default", "RS256", "", "RS256"},
		{"TX-30 PS256", "RS256", "PS256", "PS256"},
		{"TX-30 PS512", "RS256", "PS512", "PS512"},
		{"TX-30 ES256", "ES256", "", "ES256"},
		{"TX-30 ES384", "ES384", "", "ES384"},
		{"TX-30 ES512", "ES512", "ES512", "ES512"},
		{"TX-30 EdDSA", "EdDSA", "", "EdDSA"},
	}
	for _, row := range rows {
		for _, hidden := range []bool{false, true} {
			name := row.name
			if hidden {
				name += " in an HSM"
			}
			t.Run(name, func(t *testing.T) {
				key := newSigner(t, row.key)
				registered := acptest.Client{ID: "app", Key: key.Public()}
				if hidden {
					key = opaque{key}
				}
				r := newRig(t, &acptest.Options{Client: registered}, func(c *acpclient.Config) {
					c.Auth = acpclient.PrivateKeyJWT{Key: key, KeyID: "kid-1", Alg: row.alg}
				})
				ids := map[string]bool{}
				for _, req := range everyEndpoint(t, r) {
					if req.Form.Has("client_secret") || req.Header.Get("Authorization") != "" {
						t.Errorf("%s: a secret beside the assertion", req.Path)
					}
					header, claims := openJWT(t, req.Form.Get("client_assertion"))
					if header["alg"] != row.want || header["typ"] != "client-authentication+jwt" || header["kid"] != "kid-1" || header["jwk"] != nil {
						t.Errorf("header %v", header)
					}
					if claims["aud"] != r.Issuer || claims["iss"] != "app" || claims["sub"] != "app" {
						t.Errorf("claims %v", claims)
					}
					if life := time.Duration(claims["exp"].(float64)-claims["iat"].(float64)) * time.Second; life <= 0 || life > 5*time.Minute {
						t.Errorf("lifetime %s", life)
					}
					ids[claims["jti"].(string)] = true
				}
				if len(ids) != 3 {
					t.Errorf("%d different jti in 3 requests", len(ids))
				}
			})
		}
	}
}

// TX-30: an assertion under the secret, and never the secret itself.
func TestSecretJWT(t *testing.T) {
	secret := strings.Repeat("secret-canary-", 5) // 70 bytes
	rows := []struct{ name, alg, want string }{
		{"TX-30 HS256 by default", "", "HS256"},
		{"TX-30 HS256", "HS256", "HS256"},
		{"TX-30 HS384", "HS384", "HS384"},
		{"TX-30 HS512", "HS512", "HS512"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			registered := acptest.Client{ID: "app", AuthMethod: acptest.AuthSecretJWT, Secret: secret, AssertionAlg: row.want}
			r := newRig(t, &acptest.Options{Client: registered, RequirePAR: true}, func(c *acpclient.Config) {
				c.Auth = acpclient.SecretJWT{Secret: secret, Alg: row.alg}
			})
			ids := map[string]bool{}
			for _, req := range append(everyEndpoint(t, r), r.Requests(acptest.PAREndpoint)...) {
				if req.Form.Has("client_secret") || req.Header.Get("Authorization") != "" || strings.Contains(string(req.Body), "secret-canary") {
					t.Errorf("TX-27 %s: the secret beside the assertion", req.Path)
				}
				header, claims := openJWT(t, req.Form.Get("client_assertion"))
				if header["alg"] != row.want || header["typ"] != "client-authentication+jwt" || header["kid"] != nil || header["jwk"] != nil {
					t.Errorf("header %v", header)
				}
				if claims["aud"] != r.Issuer || claims["iss"] != "app" || claims["sub"] != "app" || claims["exp"].(float64)-claims["iat"].(float64) != 60 {
					t.Errorf("claims %v", claims)
				}
				ids[claims["jti"].(string)] = true
			}
			if len(ids) != 4 {
				t.Errorf("%d different jti in 4 requests", len(ids))
			}
		})
	}
}

func TestSecretJWTRefuses(t *testing.T) {
	canary := strings.Repeat("canary--", 8)
	for name, row := range map[string]struct {
		auth acpclient.ClientAuth
		says string
	}{
		"CF-01 zero":           {acpclient.SecretJWT{}, "SecretJWT.Secret is empty"},
		"CF-01 nil":            {(*acpclient.SecretJWT)(nil), "SecretJWT.Secret is empty"},
		"CF-01 31 bytes":       {acpclient.SecretJWT{Secret: canary[:31]}, "SecretJWT.Secret is shorter than the 32 bytes that HS256 needs"},
		"CF-01 47 bytes":       {acpclient.SecretJWT{Secret: canary[:47], Alg: "HS384"}, "48"},
		"CF-01 63 bytes":       {acpclient.SecretJWT{Secret: canary[:63], Alg: "HS512"}, "64"},
		"CF-01 asymmetric alg": {acpclient.SecretJWT{Secret: canary, Alg: "RS256"}, "SecretJWT.Alg"},
		"CF-01 none":           {acpclient.SecretJWT{Secret: canary, Alg: "none"}, "SecretJWT.Alg"},
	} {
		_, err := acpclient.New(acpclient.Config{Issuer: "https://as.example", ClientID: "app", Auth: row.auth})
		if err == nil || !strings.Contains(err.Error(), "Auth: ") || !strings.Contains(err.Error(), row.says) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for alg, size := range map[string]int{"": 32, "HS384": 48, "HS512": 64} {
		if _, err := acpclient.New(acpclient.Config{Issuer: "https://as.example", ClientID: "app", Auth: &acpclient.SecretJWT{Secret: canary[:size], Alg: alg}}); err != nil {
			t.Errorf("%q: %v", alg, err)
		}
	}
}

// The secret of assertions is that of HS256 ID tokens, too (OIDC Core 10.1).
func TestSecretJWTWithSharedIDTokens(t *testing.T) {
	secret := strings.Repeat("s3cret-canary-", 3)
	r := newRig(t, &acptest.Options{Client: acptest.Client{AuthMethod: acptest.AuthSecretJWT, Secret: secret, IDTokenAlg: "HS256"}}, func(c *acpclient.Config) {
		c.Auth, c.IDTokenAlgs = acpclient.SecretJWT{Secret: secret}, []string{"HS256"}
	})
	if tokens := r.login(); tokens.IDToken == "" {
		t.Error("no ID token")
	}
}

func openJWT(t *testing.T, token string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts", len(parts))
	}
	for i, into := range []*map[string]any{&header, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, into); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

// TX-43: older ACP versions want the token endpoint's URL.
func TestAssertionAudience(t *testing.T) {
	key := newSigner(t, "ES256")
	audience := "https://old.example/oauth2/token"
	r := newRig(t, &acptest.Options{Client: acptest.Client{Key: key.Public(), AssertionAudience: audience}}, func(c *acpclient.Config) {
		c.Auth = acpclient.PrivateKeyJWT{Key: key, Audience: audience}
	})
	everyEndpoint(t, r)
}

func TestPrivateKeyJWTRefuses(t *testing.T) {
	for name, auth := range map[string]acpclient.PrivateKeyJWT{
		"HMAC":                 {Key: newSigner(t, "RS256"), Alg: "HS256"},
		"none":                 {Key: newSigner(t, "RS256"), Alg: "none"},
		"ES256 on P-384":       {Key: newSigner(t, "ES384"), Alg: "ES256"},
		"RS256 with EC":        {Key: newSigner(t, "ES256"), Alg: "RS256"},
		"EdDSA with RSA":       {Key: newSigner(t, "RS256"), Alg: "EdDSA"},
		"a key without a type": {Key: opaque{strange{}}},
	} {
		if _, err := acpclient.New(acpclient.Config{Issuer: "https://as.example", ClientID: "app", Auth: auth}); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

type strange struct{ crypto.Signer }

func (strange) Public() crypto.PublicKey { return "strange" }

// A key that fails to sign sends nothing, and its error tells nothing about the request.
func TestBrokenHSM(t *testing.T) {
	key := newSigner(t, "ES256")
	r := newRig(t, &acptest.Options{Client: acptest.Client{Key: key.Public()}}, func(c *acpclient.Config) {
		c.Auth = acpclient.PrivateKeyJWT{Key: broken{key}}
	})
	flow, callback := r.callback(nil)
	if _, err := r.client.Exchange(t.Context(), flow, callback); err == nil {
		t.Error("no error")
	} else {
		r.clean("the error", err.Error())
	}
	r.asked(acptest.TokenEndpoint, 0)
}

type broken struct{ crypto.Signer }

func (broken) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, io.ErrUnexpectedEOF
}

// The same refresh has the same idempotency key, so that ACP answers it from memory: an
// answer that was lost on its way is not lost for good.
func TestLostAnswer(t *testing.T) {
	key := newSigner(t, "ES256")
	for name, client := range map[string]acptest.Client{"secret": {}, "private_key_jwt": {Key: key.Public()}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, &acptest.Options{Client: client}, func(c *acpclient.Config) {
				if client.Key != nil {
					c.Auth = acpclient.PrivateKeyJWT{Key: key}
				}
			})
			tokens := r.login()
			r.Handle(acptest.TokenEndpoint, func(_ http.ResponseWriter, req *http.Request) {
				r.Serve(acptest.TokenEndpoint, httptest.NewRecorder(), req)
				panic(http.ErrAbortHandler)
			})
			_, err := r.client.Refresh(t.Context(), tokens)
			r.fails(err, acpclient.ErrUnavailable, "unavailable")
			r.Handle(acptest.TokenEndpoint, nil)
			fresh, err := r.client.Refresh(t.Context(), tokens)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.client.Refresh(t.Context(), fresh); err != nil {
				t.Fatal(err)
			}
			r.asked(acptest.TokenEndpoint, 4)
			var keys []string
			for _, req := range r.Requests(acptest.TokenEndpoint) {
				keys = append(keys, req.Header.Get("X-Idempotency-Key"))
			}
			if keys[1] != keys[2] || keys[0] == keys[1] || keys[2] == keys[3] || len(keys[1]) != 64 {
				t.Errorf("idempotency keys %q", keys)
			}
		})
	}
}
