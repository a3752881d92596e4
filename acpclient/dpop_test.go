package acpclient_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/oauth2"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// withKey is a client whose tokens are bound to a key.
func withKey(k *acptest.Key) func(*acpclient.Config) {
	return func(c *acpclient.Config) { c.DPoP = &acpclient.DPoP{Key: k.Signer()} }
}

// proofClaims reads the claims of the proof of a request.
func proofClaims(t *testing.T, h http.Header) map[string]any {
	t.Helper()
	parts := strings.Split(h.Get("DPoP"), ".")
	if len(parts) != 3 || len(h.Values("DPoP")) != 1 {
		t.Fatalf("no proof in %v", h)
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims map[string]any
	if err != nil || json.Unmarshal(b, &claims) != nil {
		t.Fatal(err)
	}
	return claims
}

// tokens logs in.
func (l *lab) tokens() *acpclient.Tokens {
	l.t.Helper()
	flow, callback := l.authorize(nil)
	tokens, err := l.client.Exchange(l.t.Context(), flow, callback)
	if err != nil {
		l.t.Fatal(err)
	}
	return tokens
}

// A login, a refresh, userinfo and a call of an API, with keys of each kind. acptest judges the proofs of the first three.
func TestDPoP(t *testing.T) {
	for _, alg := range []string{"ES256", "ES384", "EdDSA", "PS256"} {
		t.Run(alg, func(t *testing.T) {
			key := acptest.NewKey(alg)
			l := newLab(t, acptest.Options{RefreshTokens: true, Client: acptest.Client{DPoPBound: true}}, withKey(key))
			address, flow, err := l.client.Authorize(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			u, _ := url.Parse(address)
			if got := u.Query()["dpop_jkt"]; len(got) != 1 || got[0] != key.Thumbprint() || flow.DPoPKey != got[0] {
				t.Errorf("DP-21: dpop_jkt %q, in the flow %q", got, flow.DPoPKey)
			}
			tokens, err := l.client.Exchange(t.Context(), flow, l.visit(address))
			if err != nil || tokens.TokenType != "DPoP" {
				t.Fatalf("%v, %v", tokens, err)
			}
			fresh, err := l.client.Refresh(t.Context(), tokens)
			if err != nil || fresh.TokenType != "DPoP" {
				t.Fatalf("%v, %v", fresh, err)
			}
			var user map[string]any
			if err := l.client.UserInfo(t.Context(), fresh, &user); err != nil || user["sub"] != "alice" {
				t.Errorf("%v, %v", user, err)
			}
			proofs, err := acpclient.NewProofVerifier(acpclient.ProofConfig{Algs: []string{alg}})
			if err != nil {
				t.Fatal(err)
			}
			proofs.SetClock(l.clock.now)
			api := httptest.NewServer(nil)
			defer api.Close()
			api.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "DPoP ")
				err := proofs.Verify(r.Context(), r.Header.Get("DPoP"), acpclient.ProofRequest{
					Method: r.Method, URL: api.URL + r.URL.EscapedPath(), AccessToken: token, Thumbprint: key.Thumbprint(),
				})
				if !ok || err != nil || token != fresh.AccessToken {
					t.Errorf("%s: %v", r.URL, err)
				}
				if r.URL.Path == "/moved" {
					http.Redirect(w, r, "/a/../b%2Fc?x=y", http.StatusTemporaryRedirect)
				}
			})
			client := l.client.HTTPClient(oauth2.StaticTokenSource(fresh.Token))
			for method, path := range map[string]string{"GET": "", "POST": "/moved?a=b#c", "PUT": "/%7Euser/%C3%A4"} {
				r, err := http.NewRequest(method, api.URL+path, strings.NewReader("body"))
				if err != nil {
					t.Fatal(err)
				}
				if res, err := client.Do(r); err != nil || res.StatusCode != 200 {
					t.Errorf("%s %s: %v, %v", method, path, res, err)
				}
			}
		})
	}
}

// DP-18, DP-19: a nonce that is asked for, at the authorization server.
func TestDPoPNonce(t *testing.T) {
	assertions := acptest.NewKey("ES256")
	l := newLab(t, acptest.Options{RefreshTokens: true, DPoPNonces: true, Client: acptest.Client{Key: assertions.Public()}}, func(c *acpclient.Config) {
		withKey(acptest.NewKey("ES256"))(c)
		c.Auth = &acpclient.PrivateKeyJWT{Key: assertions.Signer()}
	})
	tokens := l.tokens()
	sent := l.server.Requests(acptest.TokenEndpoint)
	if len(sent) != 2 {
		t.Fatalf("DP-18: %d token requests", len(sent))
	}
	first, second := proofClaims(t, sent[0].Header), proofClaims(t, sent[1].Header)
	if first["nonce"] != nil || second["nonce"] == nil || first["jti"] == second["jti"] {
		t.Errorf("DP-18: the proofs %v and %v", first, second)
	}
	for _, name := range []string{"client_assertion"} {
		if len(sent[1].Form[name]) != 1 || sent[0].Form.Get(name) == sent[1].Form.Get(name) {
			t.Errorf("DP-18: the second request has the %s %q", name, sent[1].Form[name])
		}
	}
	if sent[0].Form.Get("code") != sent[1].Form.Get("code") || len(sent[1].Form) != len(sent[0].Form) {
		t.Errorf("DP-18: %v and %v", sent[0].Form, sent[1].Form)
	}
	if sent[0].Header.Get("X-Idempotency-Key") == sent[1].Header.Get("X-Idempotency-Key") {
		t.Error("DP-18: one idempotency key, under which the server may answer as before")
	}
	// DP-19: the nonce of an answer serves for the next request, and for each endpoint of the origin.
	fresh, err := l.client.Refresh(t.Context(), tokens)
	if err != nil || l.server.Count(acptest.TokenEndpoint) != 3 {
		t.Fatalf("DP-19: %v, %d token requests", err, l.server.Count(acptest.TokenEndpoint))
	}
	var user struct{}
	if err := l.client.UserInfo(t.Context(), fresh, &user); err != nil || l.server.Count(acptest.UserInfoEndpoint) != 1 {
		t.Errorf("DP-19: %v, %d userinfo requests", err, l.server.Count(acptest.UserInfoEndpoint))
	}
	l.server.RotateNonce()
	if err := l.client.UserInfo(t.Context(), fresh, &user); err != nil || l.server.Count(acptest.UserInfoEndpoint) != 3 {
		t.Errorf("DP-18: %v, %d userinfo requests", err, l.server.Count(acptest.UserInfoEndpoint))
	}
	if _, err := l.client.Refresh(t.Context(), fresh); err != nil || l.server.Count(acptest.TokenEndpoint) != 4 {
		t.Errorf("DP-19: %v, %d token requests", err, l.server.Count(acptest.TokenEndpoint))
	}
}

// DP-18, DP-19: a pushed request has a proof, too, and one retry.
func TestDPoPPushed(t *testing.T) {
	assertions, key := acptest.NewKey("ES256"), acptest.NewKey("ES256")
	l := newLab(t, acptest.Options{RequirePAR: true, DPoPNonces: true, Client: acptest.Client{Key: assertions.Public()}}, func(c *acpclient.Config) {
		withKey(key)(c)
		c.Auth = &acpclient.PrivateKeyJWT{Key: assertions.Signer()}
	})
	if tokens := l.tokens(); tokens.TokenType != "DPoP" {
		t.Errorf("token type %q", tokens.TokenType)
	}
	sent := l.server.Requests(acptest.PAREndpoint)
	if len(sent) != 2 || l.server.Count(acptest.TokenEndpoint) != 1 {
		t.Fatalf("DP-18: %d pushed requests, %d token requests", len(sent), l.server.Count(acptest.TokenEndpoint))
	}
	first, second := proofClaims(t, sent[0].Header), proofClaims(t, sent[1].Header)
	if first["nonce"] != nil || second["nonce"] == nil || first["jti"] == second["jti"] || second["ath"] != nil || second["htm"] != "POST" {
		t.Errorf("DP-18: the proofs %v and %v", first, second)
	}
	if sent[0].Form.Get("client_assertion") == sent[1].Form.Get("client_assertion") || sent[1].Form.Get("dpop_jkt") != key.Thumbprint() {
		t.Errorf("DP-18, DP-21: the second request is %v", sent[1].Form)
	}
}

// A server that does not keep to RFC 9449, and a client that does not speak it.
func TestDPoPRefused(t *testing.T) {
	key := acptest.NewKey("ES256")
	wants := func(nonce func(int64) []string) http.HandlerFunc {
		var n atomic.Int64
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Dpop-Nonce"] = nonce(n.Add(1))
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(400)
			fmt.Fprint(w, `{"error":"use_dpop_nonce"}`)
		}
	}
	tokenType := func(s string) func(*acptest.Server) {
		return func(server *acptest.Server) { server.OnTokens(func(m map[string]any) { m["token_type"] = s }) }
	}
	for _, row := range []struct {
		name   string
		edit   func(*acpclient.Config)
		server func(*acptest.Server)
		calls  int
		want   error
		reason string // of *acpclient.Error its code
	}{
		{"DP-18 another nonce each time", withKey(key), func(s *acptest.Server) {
			s.Handle(acptest.TokenEndpoint, wants(func(n int64) []string { return []string{fmt.Sprint("nonce", n)} }))
		}, 2, nil, "use_dpop_nonce"},
		{"DP-18 the same nonce each time", withKey(key), func(s *acptest.Server) {
			s.Handle(acptest.TokenEndpoint, wants(func(int64) []string { return []string{"nonce"} }))
		}, 2, nil, "use_dpop_nonce"},
		{"DP-18 no nonce", withKey(key), func(s *acptest.Server) {
			s.Handle(acptest.TokenEndpoint, wants(func(int64) []string { return nil }))
		}, 1, nil, "use_dpop_nonce"},
		{"DP-18 two nonces", withKey(key), func(s *acptest.Server) {
			s.Handle(acptest.TokenEndpoint, wants(func(int64) []string { return []string{"a", "b"} }))
		}, 1, nil, "use_dpop_nonce"},
		{"DP-18 a nonce of 2 KiB", withKey(key), func(s *acptest.Server) {
			s.Handle(acptest.TokenEndpoint, wants(func(int64) []string { return []string{strings.Repeat("n", 2048)} }))
		}, 1, nil, "use_dpop_nonce"},
		{"DP-20 DPoP is off", nil, func(s *acptest.Server) {
			s.Handle(acptest.TokenEndpoint, wants(func(int64) []string { return []string{"nonce"} }))
		}, 1, nil, "use_dpop_nonce"},
		{"another error with a nonce", withKey(key), func(s *acptest.Server) {
			s.Handle(acptest.TokenEndpoint, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("DPoP-Nonce", "nonce")
				acptest.Answer(400, "application/json", `{"error":"invalid_grant"}`)(w, r)
			})
		}, 1, nil, "invalid_grant"},
		{"TX-17 a bearer token for a proof", withKey(key), tokenType("Bearer"), 1, acpclient.ErrInvalidResponse, "token_type"},
		{"TX-16 no token_type for a proof", withKey(key), tokenType(""), 1, acpclient.ErrInvalidResponse, "token_type"},
		{"TX-17 a bound token without a proof", nil, tokenType("DPoP"), 1, acpclient.ErrInvalidResponse, "token_type"},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := newLab(t, acptest.Options{Tolerate: []acptest.Rule{acptest.RuleCodeReplay}}, row.edit)
			row.server(l.server)
			flow, callback := l.authorize(nil)
			_, err := l.client.Exchange(t.Context(), flow, callback)
			refused, _ := errors.AsType[*acpclient.Error](err)
			if row.want == nil && (refused == nil || refused.Code != row.reason) || row.want != nil && (!errors.Is(err, row.want) || acpclient.Reason(err) != row.reason) {
				t.Errorf("%v, want %v %s", err, row.want, row.reason)
			}
			if n := l.server.Count(acptest.TokenEndpoint); n != row.calls {
				t.Errorf("%d token requests, want %d", n, row.calls)
			}
			if row.edit == nil && l.server.Requests(acptest.TokenEndpoint)[0].Header.Get("DPoP") != "" {
				t.Error("a proof without a key")
			}
		})
	}
}

// DP-21: without its key a code or a token is good for nothing, and nothing is sent.
func TestDPoPKeyLost(t *testing.T) {
	l := newLab(t, acptest.Options{}, withKey(acptest.NewKey("ES256")))
	tokens := l.tokens()
	flow, callback := l.authorize(nil)
	before := l.server.Count(acptest.TokenEndpoint)
	for name, edit := range map[string]func(*acpclient.Config){"no key": nil, "another key": withKey(acptest.NewKey("ES256"))} {
		_, err := l.newClient(edit).Exchange(t.Context(), flow, callback)
		if !errors.Is(err, acpclient.ErrInvalidCallback) || acpclient.Reason(err) != "dpop_key" || l.server.Count(acptest.TokenEndpoint) != before {
			t.Errorf("DP-21, %s: %v, %d token requests", name, err, l.server.Count(acptest.TokenEndpoint)-before)
		}
	}
	keyless := l.newClient(nil)
	if err := keyless.UserInfo(t.Context(), tokens, new(struct{})); err == nil || l.server.Count(acptest.UserInfoEndpoint) != 0 {
		t.Errorf("DP-21, userinfo: %v", err)
	}
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("DP-21: the API was called") }))
	defer api.Close()
	if _, err := keyless.HTTPClient(oauth2.StaticTokenSource(tokens.Token)).Get(api.URL); err == nil || !strings.Contains(err.Error(), "Config.DPoP") {
		t.Errorf("DP-21, an API: %v", err)
	}
	plain, err := l.newClient(nil).Exchange(t.Context(), flow, callback)
	if plain != nil || err == nil {
		t.Error("DP-21: a bearer token")
	}
	if got, err := l.client.Exchange(t.Context(), flow, callback); err != nil || got.TokenType != "DPoP" {
		t.Errorf("with the key: %v", err)
	}
}

// What an API asks of its client.
func TestDPoPResource(t *testing.T) {
	l := newLab(t, acptest.Options{}, withKey(acptest.NewKey("ES256")))
	token := &oauth2.Token{AccessToken: "token", TokenType: "DPoP"}
	for _, row := range []struct {
		name      string
		challenge []string
		nonce     func(int64) string
		body      func() io.Reader
		status    int // of the first answers; the third is 200
		calls     int64
	}{
		{"DP-18 a nonce", []string{`DPoP error="use_dpop_nonce"`}, always, nil, 401, 2},
		{"DP-18 the scheme in lower case", []string{`dpop error="use_dpop_nonce", algs="ES256"`}, always, nil, 401, 2},
		{"DP-18 beside Bearer, in one", []string{`Bearer realm="a", DPOP ERROR="use_dpop_nonce"`}, always, nil, 401, 2},
		{"DP-18 beside Bearer", []string{`Bearer`, `DPoP algs="ES256", error=use_dpop_nonce`}, always, nil, 401, 2},
		{"DP-18 a body that can be had again", []string{`DPoP error="use_dpop_nonce"`}, always, func() io.Reader { return strings.NewReader("body") }, 401, 2},
		{"DP-18 a body that is gone", []string{`DPoP error="use_dpop_nonce"`}, always, func() io.Reader { return io.MultiReader(strings.NewReader("body")) }, 401, 1},
		{"DP-18 once more", []string{`DPoP error="use_dpop_nonce"`}, func(n int64) string { return fmt.Sprint(n) }, nil, 401, 2},
		{"DP-18 no nonce", []string{`DPoP error="use_dpop_nonce"`}, func(int64) string { return "" }, nil, 401, 1},
		{"another error", []string{`DPoP error="invalid_token"`}, always, nil, 401, 1},
		{"another scheme", []string{`XDPoP error="use_dpop_nonce"`}, always, nil, 401, 1},
		{"another status", []string{`DPoP error="use_dpop_nonce"`}, always, nil, 403, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			var calls atomic.Int64
			var nonces, ids []any
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n := calls.Add(1)
				claims := proofClaims(t, r.Header)
				nonces, ids = append(nonces, claims["nonce"]), append(ids, claims["jti"])
				if body, _ := io.ReadAll(r.Body); row.body != nil && string(body) != "body" {
					t.Errorf("call %d has the body %q", n, body)
				}
				if nonce := row.nonce(n); nonce != "" {
					w.Header().Set("DPoP-Nonce", nonce)
				}
				if n < 2 || row.nonce(1) != row.nonce(2) && n < 3 {
					w.Header()["Www-Authenticate"] = row.challenge
					w.WriteHeader(row.status)
				}
			}))
			defer api.Close()
			var body io.Reader
			if row.body != nil {
				body = row.body()
			}
			r, err := http.NewRequest("POST", api.URL, body)
			if err != nil {
				t.Fatal(err)
			}
			res, err := l.client.HTTPClient(oauth2.StaticTokenSource(token)).Do(r)
			if err != nil || calls.Load() != row.calls {
				t.Fatalf("%d calls, %v", calls.Load(), err)
			}
			res.Body.Close()
			if row.calls == 2 && (nonces[0] != nil || nonces[1] != row.nonce(1) || ids[0] == ids[1]) {
				t.Errorf("nonces %v, ids %v", nonces, ids)
			}
		})
	}
	// DP-18: a refusal with the nonce that the proof had is final.
	stubborn := int64(0)
	deaf := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		atomic.AddInt64(&stubborn, 1)
		w.Header().Set("DPoP-Nonce", "nonce")
		w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce"`)
		w.WriteHeader(401)
	}))
	defer deaf.Close()
	for i, want := range []int64{2, 3} {
		res, err := l.client.HTTPClient(oauth2.StaticTokenSource(token)).Get(deaf.URL)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if n := atomic.LoadInt64(&stubborn); n != want || res.StatusCode != 401 {
			t.Errorf("DP-18: %d requests after call %d, status %d", n, i+1, res.StatusCode)
		}
	}
	// DP-19: each origin has its own, whoever asks first.
	seen := map[string]any{}
	var mu sync.Mutex
	origin := func(nonce string) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			seen[r.Host] = proofClaims(t, r.Header)["nonce"]
			mu.Unlock()
			w.Header().Set("DPoP-Nonce", nonce)
		}))
		t.Cleanup(s.Close)
		return s
	}
	one, two := origin("one"), origin("two")
	client := l.client.HTTPClient(oauth2.StaticTokenSource(token))
	for range 2 {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				res, err := client.Get([]string{one.URL, two.URL}[i%2] + "/path")
				if err != nil {
					t.Error(err)
					return
				}
				res.Body.Close()
			})
		}
		wg.Wait()
	}
	if seen[one.Listener.Addr().String()] != "one" || seen[two.Listener.Addr().String()] != "two" {
		t.Errorf("DP-19: %v", seen)
	}
	// A bearer token of before stays one.
	plain := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer token" || r.Header.Get("DPoP") != "" {
			t.Errorf("%v", r.Header)
		}
	}))
	defer plain.Close()
	if _, err := l.client.HTTPClient(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "token"})).Get(plain.URL); err != nil {
		t.Error(err)
	}
}

func always(int64) string { return "nonce" }

// The refresh token of a public client is bound to its key.
func TestDPoPPublicClient(t *testing.T) {
	key := acptest.NewKey("ES256")
	l := newLab(t, acptest.Options{RefreshTokens: true, Client: acptest.Client{AuthMethod: acptest.AuthNone}}, func(c *acpclient.Config) {
		withKey(key)(c)
		c.Auth = nil
	})
	tokens, err := l.client.Refresh(t.Context(), l.tokens())
	if err != nil {
		t.Fatal(err)
	}
	other := l.newClient(func(c *acpclient.Config) { withKey(acptest.NewKey("ES256"))(c); c.Auth = nil })
	_, err = other.Refresh(t.Context(), tokens)
	if refused, _ := errors.AsType[*acpclient.Error](err); refused == nil || refused.Code != "invalid_grant" {
		t.Errorf("DP-21: %v", err)
	}
}

func TestDPoPConfig(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]*acpclient.DPoP{"no key": {}, "RSA 1024": {Key: small}} {
		_, err := acpclient.New(acpclient.Config{Issuer: "https://acp.example", ClientID: "c", DPoP: d})
		if err == nil || !strings.Contains(err.Error(), "DPoP: ") {
			t.Errorf("DP-06, %s: %v", name, err)
		}
	}
	// DP-22: a configuration shows no key.
	key := acptest.NewKey("EdDSA")
	config := acpclient.Config{Issuer: "https://acp.example", ClientID: "c", DPoP: &acpclient.DPoP{Key: key.Signer()}}
	c, err := acpclient.New(config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	b, err := json.Marshal(config.DPoP)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v", config.DPoP, *config.DPoP, config.DPoP), string(b)} {
		if strings.ReplaceAll(strings.ReplaceAll(text, "[redacted]", ""), `""`, "") != "" && strings.TrimSpace(strings.ReplaceAll(text, "[redacted]", "")) != "" {
			t.Errorf("DP-22: %s", text)
		}
	}
	if c.Config().DPoP != nil {
		t.Error("DP-22: Client.Config shows the key")
	}
}
