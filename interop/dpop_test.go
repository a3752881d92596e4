package interop_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
)

// financial is oidc-provider over TLS, the keys of its clients, and one client for each way to authenticate.
type financial struct {
	issuer     string
	trusted    *x509.CertPool
	server     *process
	ec         *ecdsa.PrivateKey
	rsa        *rsa.PrivateKey
	selfSigned tls.Certificate
	auths      []financialAuth
}

// financialAuth is a way to authenticate, which is the client's id, too.
type financialAuth struct {
	name   string
	auth   acpclient.ClientAuth
	mutual bool
}

// startFinancial starts the server with the settings, which may be nil; register completes each client.
func startFinancial(t *testing.T, settings map[string]any, register func(financialAuth, map[string]any)) *financial {
	t.Helper()
	f := &financial{ec: newEC(t)}
	var err error
	if f.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	authority := issue(t, "authority", nil)
	issued := issue(t, "client.example", &authority)
	f.selfSigned = issue(t, "client.example", nil)
	chain := publicJWK(t, f.selfSigned.Leaf.PublicKey)
	chain["x5c"] = []string{base64.StdEncoding.EncodeToString(f.selfSigned.Certificate[0])}
	secret := strings.Repeat(rand.Text(), 3)
	f.auths = []financialAuth{
		{"none", nil, false},
		{"client_secret_basic", acpclient.SecretBasic(secret), false},
		{"client_secret_jwt", acpclient.SecretJWT{Secret: secret}, false},
		{"private_key_jwt", acpclient.PrivateKeyJWT{Key: f.rsa, Alg: "PS256"}, false},
		{"tls_client_auth", acpclient.MutualTLS{Certificate: issued}, true},
		{"self_signed_tls_client_auth", acpclient.MutualTLS{Certificate: f.selfSigned}, true},
	}
	var clients []map[string]any
	for _, a := range f.auths {
		c := map[string]any{
			"client_id": a.name, "token_endpoint_auth_method": a.name, "redirect_uris": []string{"https://app.example/callback"},
			"grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"}, "id_token_signed_response_alg": "ES256",
			"jwks": map[string]any{"keys": []any{publicJWK(t, f.ec.Public()), publicJWK(t, f.rsa.Public()), chain}},
		}
		switch a.name {
		case "client_secret_basic", "client_secret_jwt":
			c["client_secret"] = secret
		case "tls_client_auth":
			c["tls_client_auth_san_dns"] = "client.example"
		}
		register(a, c)
		clients = append(clients, c)
	}
	clientCA, _ := pemOf(t, authority)
	config := map[string]any{"clients": clients, "clientCA": clientCA}
	for name, value := range settings {
		config[name] = value
	}
	f.issuer, f.trusted, f.server = startSecure(t, config)
	return f
}

// bindsToKey and bindsToCertificate have the server refuse requests for tokens that could not be bound.
func bindsToKey(_ financialAuth, c map[string]any) { c["dpop_bound_access_tokens"] = true }

func bindsToCertificate(a financialAuth, c map[string]any) {
	c["tls_client_certificate_bound_access_tokens"] = a.mutual
}

// auth is that of a client.
func (f *financial) auth(name string) acpclient.ClientAuth {
	for _, a := range f.auths {
		if a.name == name {
			return a.auth
		}
	}
	return nil
}

// config is that of a client; key is its DPoP key, or nil.
func (f *financial) config(t *testing.T, name string, key crypto.Signer) acpclient.Config {
	c := acpclient.Config{
		Issuer: f.issuer, ClientID: name, Auth: f.auth(name), RedirectURL: "https://app.example/callback", RootCAs: f.trusted,
		Scopes: []string{"openid", "offline_access"}, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if key != nil {
		c.DPoP = &acpclient.DPoP{Key: key}
	}
	return c
}

// open makes a Client that nobody has used yet: it knows no nonce.
func (f *financial) open(t *testing.T, c acpclient.Config) *acpclient.Client {
	t.Helper()
	client, err := acpclient.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(t.Context()) })
	return client
}

// callback is what a browser brings back from the server.
func (f *financial) callback(t *testing.T, client *acpclient.Client, o *acpclient.AuthorizeOptions) (*acpclient.Flow, map[string][]string) {
	t.Helper()
	address, flow, err := client.Authorize(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	browser := newAgent(t, "https://app.example/callback")
	browser.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: f.trusted}, DisableKeepAlives: true}
	return flow, browser.passServer(address, true)
}

// login goes all the way with one Client. api may be "".
func (f *financial) login(t *testing.T, client *acpclient.Client, api string) *acpclient.Tokens {
	t.Helper()
	o := &acpclient.AuthorizeOptions{}
	if api != "" {
		o.Resources, o.Scopes = []string{api}, []string{"openid", "offline_access", "things.read"}
	}
	flow, callback := f.callback(t, client, o)
	tokens, err := client.Exchange(t.Context(), flow, callback)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// seen are the requests since n of them had come.
func (f *financial) seen(t *testing.T, n int) []seenRequest {
	t.Helper()
	return seenBySecure(t, f.issuer, f.trusted)[n:]
}

func newEC(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// A whole login whose tokens are bound to a key, at a server that wants its nonces in each proof: with each way to
// authenticate and form of request. First each step is that of another process, which knows no nonce yet, then one does all.
func TestSecureDPoP(t *testing.T) {
	t.Parallel()
	f := startFinancial(t, map[string]any{"requireNonce": true}, bindsToKey)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := []crypto.Signer{newEC(t), ed, f.rsa}
	requests := []struct {
		name string
		edit func(*acpclient.Config)
	}{
		{"plain", func(*acpclient.Config) {}},
		{"PAR", func(c *acpclient.Config) { c.RequirePushedAuthorizationRequests = true }},
		{"JAR, JARM", func(c *acpclient.Config) {
			c.RequestObject, c.ResponseMode = &acpclient.RequestObject{Key: f.ec}, "query.jwt"
		}},
		{"PAR and JAR, encrypted", func(c *acpclient.Config) {
			c.RequirePushedAuthorizationRequests = true
			c.RequestObject = &acpclient.RequestObject{Key: f.rsa, Alg: "PS256", EncryptionAlg: "ECDH-ES+A256KW", EncryptionEnc: "A256GCM"}
		}},
	}
	for i, a := range f.auths {
		for j, req := range requests {
			t.Run(a.name+" "+req.name, func(t *testing.T) {
				config := f.config(t, a.name, keys[(i+j)%len(keys)])
				req.edit(&config)
				n := len(f.seen(t, 0))
				apart := func() *acpclient.Client { return f.open(t, config) }
				once := apart()
				together := func() *acpclient.Client { return once }
				for _, process := range []func() *acpclient.Client{apart, together} {
					flow, callback := f.callback(t, process(), nil)
					tokens, err := process().Exchange(t.Context(), flow, callback)
					if err != nil {
						t.Fatal(err)
					}
					if tokens, err = process().Refresh(t.Context(), tokens); err != nil {
						t.Fatalf("RF-18 %v", err)
					}
					if tokens.TokenType != "DPoP" {
						t.Errorf("TX-19 a token of the type %q", tokens.TokenType)
					}
					if err := process().UserInfo(t.Context(), tokens, new(any)); err != nil {
						t.Error(err)
					}
					if err := process().Revoke(t.Context(), tokens); err != nil {
						t.Error(err)
					}
				}
				own, got := backChannelOf(f.seen(t, n))
				want := "/oauth2/token 400, /oauth2/token 200, /oauth2/token 400, /oauth2/token 200, /userinfo 401, /userinfo 200, /oauth2/revoke 200, "
				if config.RequirePushedAuthorizationRequests {
					want = "/par 400, /par 201, " + want + "/par 400, /par 201, /oauth2/token 200, "
				} else {
					want += "/oauth2/token 400, /oauth2/token 200, "
				}
				if want += "/oauth2/token 200, /userinfo 200, /oauth2/revoke 200"; got != want {
					t.Errorf("DP-18, DP-19 the requests are\n%s; want\n%s", got, want)
				}
				wantFresh(t, own)
				for _, s := range own {
					if s.Mutual != a.mutual || s.Certificate != a.mutual {
						t.Errorf("MT-06 %+v", s)
					}
					if (s.Path == "/userinfo") != (s.Scheme == "DPoP") || (s.Proof == "") != (s.Path == "/oauth2/revoke") {
						t.Errorf("DP-01 %+v", s)
					}
				}
			})
		}
	}
}

// The server judges: codes, refresh tokens and access tokens are good for their key alone. That it refuses them shows that
// they were bound.
func TestSecureDPoPImpostors(t *testing.T) {
	t.Parallel()
	f := startFinancial(t, nil, bindsToKey)
	own, other := newEC(t), newEC(t)
	for name, edit := range map[string]func(*acpclient.Config){
		"plain": func(*acpclient.Config) {},
		"PAR":   func(c *acpclient.Config) { c.RequirePushedAuthorizationRequests = true },
		"JAR":   func(c *acpclient.Config) { c.RequestObject = &acpclient.RequestObject{Key: f.ec} },
	} {
		t.Run("DP-21 a code, "+name, func(t *testing.T) {
			config := f.config(t, "private_key_jwt", own)
			edit(&config)
			flow, callback := f.callback(t, f.open(t, config), nil)
			flow.DPoPKey = "" // else the Client itself would refuse
			config.DPoP = &acpclient.DPoP{Key: other}
			if _, err := f.open(t, config).Exchange(t.Context(), flow, callback); errorCode(err) != "invalid_grant" {
				t.Errorf("%v", err)
			}
		})
	}
	thief := f.open(t, f.config(t, "none", other))
	tokens := f.login(t, f.open(t, f.config(t, "none", own)), "")
	if err := thief.UserInfo(t.Context(), tokens, new(any)); errorCode(err) != "invalid_token" {
		t.Errorf("DP-12 userinfo: %v", err)
	}
	bearer := *tokens
	bearer.Token = new(*tokens.Token)
	bearer.TokenType = "Bearer"
	if err := thief.UserInfo(t.Context(), &bearer, new(any)); errorCode(err) != "invalid_token" {
		t.Errorf("DP-01 userinfo: %v", err)
	}
	if _, err := thief.Refresh(t.Context(), tokens); errorCode(err) != "invalid_grant" {
		t.Errorf("RF-18 %v", err)
	}
}
