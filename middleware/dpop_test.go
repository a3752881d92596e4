package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/middleware"
)

// proven is an API that takes DPoP, a client's key, and a token that is bound to it.
type proven struct {
	*api
	key   *acptest.Key
	token string
}

func newProven(t *testing.T, d *middleware.DPoPOptions, o *middleware.BearerOptions) *proven {
	t.Helper()
	if o == nil {
		o = &middleware.BearerOptions{}
	}
	o.DPoP, o.Resource = d, audience
	p := &proven{api: newAPI(t, o, nil), key: acptest.NewKey("ES256")}
	p.token = p.bound(p.key, nil)
	p.secrets = append(p.secrets, strings.Split(p.token, ".")...)
	return p
}

func (p *proven) bound(k *acptest.Key, claims map[string]any) string {
	all := map[string]any{"cnf": map[string]any{"jkt": k.Thumbprint()}}
	for name, value := range claims {
		all[name] = value
	}
	return p.server.AccessToken(all)
}

// proof is a good one for GET /things.
func (p *proven) proof(claims map[string]any) string {
	proof := p.key.Proof("GET", audience+"/things", p.token, claims)
	p.secrets = append(p.secrets, strings.Split(proof, ".")[1:]...)
	return proof
}

// show sends a request with these headers.
func (p *proven) show(authorization string, proofs ...string) answer {
	p.t.Helper()
	return p.send("GET", "/things", []string{authorization}, nil, func(r *http.Request) { r.Header["Dpop"] = proofs })
}

func TestDPoP(t *testing.T) {
	p := newProven(t, &middleware.DPoPOptions{}, &middleware.BearerOptions{Scopes: []string{"things.read"}})
	p.token = p.bound(p.key, map[string]any{"scp": []string{"things.read"}})
	unbound, poor := p.server.AccessToken(map[string]any{"scp": []string{"things.read"}}), p.bound(p.key, nil)
	certificate := p.server.AccessToken(map[string]any{"cnf": map[string]any{"x5t#S256": "x"}})
	both := p.server.AccessToken(map[string]any{"cnf": map[string]any{"jkt": p.key.Thumbprint(), "x5t#S256": "x"}})
	expired := p.bound(p.key, map[string]any{"exp": 1})
	other := acptest.NewKey("ES256")
	address := audience + "/things"
	used := p.proof(nil)
	if got := p.show("DPoP "+p.token, used); got.status != 200 || got.body != "alice " || got.header.Get("DPoP-Nonce") != "" {
		t.Fatalf("%d %s %s", got.status, got.body, got.challenge)
	}
	for _, row := range []struct {
		name          string
		authorization string
		proofs        []string
		status        int
		scheme        string // with which the challenge starts
		code, reason  string
	}{
		{"good", "DPoP " + p.token, []string{p.proof(nil)}, 200, "", "-", ""},
		{"the scheme in lower case", "dpop " + p.token, []string{p.proof(nil)}, 200, "", "-", ""},
		{"the scheme in upper case, and spaces", "DPOP   " + p.token, []string{p.proof(nil)}, 200, "", "-", ""},
		{"an unbound token as Bearer", "Bearer " + unbound, nil, 200, "", "-", ""},
		{"an unbound token as Bearer, with a proof for nothing", "Bearer " + unbound, []string{"x"}, 200, "", "-", ""},

		{"DP-01 a bound token as Bearer", "Bearer " + p.token, nil, 401, "DPoP", "invalid_token", "bound"},
		{"DP-01 as Bearer, with a good proof", "Bearer " + p.token, []string{p.proof(nil)}, 401, "DPoP", "invalid_token", "bound"},
		{"DP-01 no proof", "DPoP " + p.token, nil, 401, "DPoP", "invalid_dpop_proof", "proof_missing"},
		{"DP-02 an unbound token", "DPoP " + unbound, []string{p.key.Proof("GET", address, unbound, nil)}, 401, "DPoP", "invalid_token", "unbound"},
		{"DP-02 a token that is bound to a certificate", "DPoP " + certificate, []string{p.key.Proof("GET", address, certificate, nil)}, 401, "DPoP", "invalid_token", "unbound"},
		{"MT-02 a token that is bound to a certificate, too", "DPoP " + both, []string{p.key.Proof("GET", address, both, nil)}, 401, "DPoP", "invalid_token", "bound"},
		{"DP-03 two headers", "DPoP " + p.token, []string{p.proof(nil), p.proof(nil)}, 401, "DPoP", "invalid_dpop_proof", "proof_missing"},
		{"DP-03 two in one", "DPoP " + p.token, []string{p.proof(nil) + ", " + p.proof(nil)}, 401, "DPoP", "invalid_dpop_proof", "proof_malformed"},
		{"DP-04 another typ", "DPoP " + p.token, []string{p.key.Sign(map[string]any{"jwk": p.key.ProofHeader()["jwk"]}, nil)}, 401, "DPoP", "invalid_dpop_proof", "proof_typ"},
		{"DP-07 another signature", "DPoP " + p.token, []string{other.Sign(p.key.ProofHeader(), map[string]any{"jti": "x"})}, 401, "DPoP", "invalid_dpop_proof", "proof_signature"},
		{"DP-08 another method", "DPoP " + p.token, []string{p.proof(map[string]any{"htm": "POST"})}, 401, "DPoP", "invalid_dpop_proof", "proof_htm"},
		{"DP-09 another path", "DPoP " + p.token, []string{p.proof(map[string]any{"htu": audience})}, 401, "DPoP", "invalid_dpop_proof", "proof_htu"},
		{"DP-09 the address of the listener", "DPoP " + p.token, []string{p.proof(map[string]any{"htu": p.url + "/things"})}, 401, "DPoP", "invalid_dpop_proof", "proof_htu"},
		{"DP-11 for another token", "DPoP " + p.token, []string{p.key.Proof("GET", address, unbound, nil)}, 401, "DPoP", "invalid_dpop_proof", "proof_ath"},
		{"DP-12 another key", "DPoP " + p.token, []string{other.Proof("GET", address, p.token, nil)}, 401, "DPoP", "invalid_token", "bound"},
		{"DP-13 an old one", "DPoP " + p.token, []string{p.proof(map[string]any{"iat": time.Now().Unix() - 100})}, 401, "DPoP", "invalid_dpop_proof", "proof_iat"},
		{"DP-15 the same once more", "DPoP " + p.token, []string{used}, 401, "DPoP", "invalid_dpop_proof", "proof_replayed"},
		{"DP-16 no jti", "DPoP " + p.token, []string{p.proof(map[string]any{"jti": nil})}, 401, "DPoP", "invalid_dpop_proof", "proof_jti"},
		{"BR-11 an expired token", "DPoP " + expired, []string{p.key.Proof("GET", address, expired, nil)}, 401, "DPoP", "invalid_token", "expired"},
		{"BR-20 a scope is missing", "DPoP " + poor, []string{p.key.Proof("GET", address, poor, nil)}, 403, "DPoP", "insufficient_scope", "scope"},
		{"an expired token as Bearer", "Bearer " + expired, nil, 401, "Bearer", "invalid_token", "expired"},
		{"no token", "DPoP", []string{p.proof(nil)}, 400, "DPoP", "invalid_request", "malformed_authorization"},
		{"two words", "DPoP a b", nil, 400, "DPoP", "invalid_request", "malformed_authorization"},
		{"both schemes in one", "DPoP " + p.token + ", Bearer " + unbound, []string{p.proof(nil)}, 400, "DPoP", "invalid_request", "malformed_authorization"},
		{"another scheme", "DPoPX " + p.token, nil, 401, "Bearer", "", "auth_scheme"},
		{"16 KiB and more", "DPoP " + strings.Repeat("a", 17<<10), nil, 401, "DPoP", "invalid_token", "token_malformed"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := p.show(row.authorization, row.proofs...)
			if got.status != row.status || got.code() != row.code || (got.served == 1) != (row.status == 200) {
				t.Errorf("%d %q, served %d", got.status, got.challenge, got.served)
			}
			if row.status == 200 {
				return
			}
			if !strings.HasPrefix(got.challenge, row.scheme+" ") && got.challenge != row.scheme {
				t.Errorf("challenge %q", got.challenge)
			}
			if !strings.Contains(got.challenge, `algs="ES256 PS256 EdDSA"`) {
				t.Errorf("no algs in %q", got.challenge)
			}
			if !strings.Contains(p.logs.String(), "reference="+reference.FindStringSubmatch(got.body)[1]+fmt.Sprint(" status=", row.status, " reason=", row.reason)) {
				t.Errorf("the log does not say %s\n%s", row.reason, p.logs)
			}
		})
	}
	for name, got := range map[string]answer{
		"two headers":          p.send("GET", "/things", []string{"DPoP " + p.token, "Bearer " + unbound}, nil, func(r *http.Request) { r.Header["Dpop"] = []string{p.proof(nil)} }),
		"and one in the query": p.send("GET", "/things?access_token=x", []string{"DPoP " + p.token}, nil, func(r *http.Request) { r.Header["Dpop"] = []string{p.proof(nil)} }),
	} {
		if got.status != 400 || got.served != 0 {
			t.Errorf("%s: %d", name, got.status)
		}
	}
	if got := p.send("GET", "/things", nil, nil, nil); got.status != 401 || got.challenge !=
		`Bearer resource_metadata="https://api.example/.well-known/oauth-protected-resource", DPoP resource_metadata="https://api.example/.well-known/oauth-protected-resource", algs="ES256 PS256 EdDSA"` {
		t.Errorf("BR-01: %d %q", got.status, got.challenge)
	}
	if got := p.send("GET", "/things?a=b", []string{"DPoP " + p.token}, nil, func(r *http.Request) { r.Header["Dpop"] = []string{p.proof(nil)} }); got.status != 200 {
		t.Errorf("DP-09, a query: %d %q", got.status, got.challenge)
	}
}

// DP-10: where clients reach the API is configured, and nobody tells it by a header.
func TestDPoPBehindProxy(t *testing.T) {
	for _, row := range []struct {
		name, base, htu string
		edit            func(*http.Request)
		status          int
	}{
		{"DP-10 the origin of Resource", "", "https://api.example/things", nil, 200},
		{"DP-10 an origin", "https://public.example:8443", "https://public.example:8443/things", nil, 200},
		{"DP-10 a trailing slash", "https://public.example/", "https://public.example/things", nil, 200},
		{"DP-10 a prefix that is taken off", "https://public.example/v1", "https://public.example/v1/things", nil, 200},
		{"DP-10 without the prefix", "https://public.example/v1", "https://public.example/things", nil, 401},
		{"DP-10 X-Forwarded-Host", "https://public.example", "https://evil.example/things", forwarded, 401},
		{"DP-10 X-Forwarded-Host changes nothing", "https://public.example", "https://public.example/things", forwarded, 200},
		{"DP-10 Host", "https://public.example", "https://evil.example/things", func(r *http.Request) { r.Host = "evil.example" }, 401},
		{"DP-10 Host changes nothing", "https://public.example", "https://public.example/things", func(r *http.Request) { r.Host = "evil.example" }, 200},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newProven(t, &middleware.DPoPOptions{BaseURL: row.base}, nil)
			got := p.send("GET", "/things", []string{"DPoP " + p.token}, nil, func(r *http.Request) {
				r.Header["Dpop"] = []string{p.key.Proof("GET", row.htu, p.token, nil)}
				if row.edit != nil {
					row.edit(r)
				}
			})
			if got.status != row.status {
				t.Errorf("%d %q", got.status, got.challenge)
			}
		})
	}
}

func forwarded(r *http.Request) {
	r.Header.Set("X-Forwarded-Host", "evil.example, public.example")
	r.Header.Set("Forwarded", "host=evil.example;proto=https")
	r.Header.Set("X-Forwarded-Proto", "https")
	r.Header.Set("X-Forwarded-Prefix", "/")
}

// DP-17: the first answer brings the nonce that the next request needs.
func TestDPoPNonce(t *testing.T) {
	p := newProven(t, &middleware.DPoPOptions{RequireNonce: true}, nil)
	first := p.show("DPoP "+p.token, p.proof(nil))
	nonce := first.header.Get("DPoP-Nonce")
	if first.status != 401 || first.code() != "use_dpop_nonce" || nonce == "" || first.header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(first.challenge, "DPoP ") {
		t.Fatalf("%d %q %v", first.status, first.challenge, first.header)
	}
	proof := p.proof(map[string]any{"nonce": nonce})
	if got := p.show("DPoP "+p.token, proof); got.status != 200 || got.header.Get("DPoP-Nonce") == "" {
		t.Errorf("%d %q", got.status, got.challenge)
	}
	if got := p.show("DPoP "+p.token, proof); got.status != 401 || got.code() != "invalid_dpop_proof" { // DP-15
		t.Errorf("%d %q", got.status, got.challenge)
	}
	if got := p.show("DPoP "+p.token, p.proof(map[string]any{"nonce": nonce + "x"})); got.code() != "use_dpop_nonce" {
		t.Errorf("%d %q", got.status, got.challenge)
	}
	if got := p.get(p.server.AccessToken(nil)); got.status != 200 || got.header.Get("DPoP-Nonce") != "" {
		t.Errorf("Bearer: %d %v", got.status, got.header)
	}
}

// A proof serves once, in all protectors of a request and in all processes of an API.
func TestDPoPReplay(t *testing.T) {
	p := newProven(t, &middleware.DPoPOptions{}, nil)
	protector := func(o middleware.BearerOptions) func(http.Handler) http.Handler {
		o.Logger = slog.New(slog.DiscardHandler)
		return protect(t, p.verifier, &o)
	}
	request := func(proof string) *http.Request {
		r := httptest.NewRequest("GET", audience+"/things", nil)
		r.Header["Authorization"], r.Header["Dpop"] = []string{"DPoP " + p.token}, []string{proof}
		return r
	}
	serve := func(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	d := &middleware.DPoPOptions{BaseURL: audience}
	outer, inner := protector(middleware.BearerOptions{DPoP: d}), protector(middleware.BearerOptions{DPoP: d, Scopes: []string{"openid"}})
	if w := serve(outer(inner(shows)), request(p.proof(nil))); w.Code != 200 || w.Body.String() != "- alice" {
		t.Errorf("two protectors: %d %v", w.Code, w.Header())
	}
	strict := protector(middleware.BearerOptions{DPoP: d, Scopes: []string{"admin"}})
	if w := serve(outer(strict(shows)), request(p.proof(nil))); w.Code != 403 || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "DPoP ") {
		t.Errorf("an inner one that needs more: %d %v", w.Code, w.Header())
	}
	// What the outer one has proven is this token, and no other.
	swap := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", "DPoP "+p.bound(acptest.NewKey("ES256"), nil))
		inner(shows).ServeHTTP(w, r)
	})
	if w := serve(outer(swap), request(p.proof(nil))); w.Code != 401 {
		t.Errorf("DP-12, another token further in: %d", w.Code)
	}
	asBearer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+p.bound(p.key, map[string]any{"jti": "2"}))
		inner(shows).ServeHTTP(w, r)
	})
	if w := serve(outer(asBearer), request(p.proof(nil))); w.Code != 401 {
		t.Errorf("DP-01, another one as Bearer further in: %d", w.Code)
	}

	store := &addingStore{}
	d = &middleware.DPoPOptions{BaseURL: audience, Store: store}
	here, there := protector(middleware.BearerOptions{DPoP: d})(shows), protector(middleware.BearerOptions{DPoP: d})(shows)
	proof := p.proof(nil)
	if w := serve(here, request(proof)); w.Code != 200 {
		t.Errorf("a store: %d", w.Code)
	}
	if w := serve(there, request(proof)); w.Code != 401 {
		t.Errorf("DP-15, at another replica: %d", w.Code)
	}
	for token, expiry := range store.seen {
		if left := time.Until(expiry); len(token) > 43 || left < 70*time.Second || left > 90*time.Second {
			t.Errorf("stored %q for %v", token, left)
		}
	}
	store.down = errors.New("down")
	if w := serve(here, request(p.proof(nil))); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("the store is down: %d", w.Code)
	}
	if w := serve(here, request(p.proof(map[string]any{"htm": "PUT"}))); w.Code != 401 {
		t.Errorf("the store is down, and the proof bad: %d", w.Code)
	}
}

// addingStore has nothing but Add.
type addingStore struct {
	middleware.Store
	mu   sync.Mutex
	seen map[string]time.Time
	down error
}

func (s *addingStore) Add(_ context.Context, token string, expiry time.Time) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return false, s.down
	}
	if _, known := s.seen[token]; known {
		return false, nil
	}
	if s.seen == nil {
		s.seen = map[string]time.Time{}
	}
	s.seen[token] = expiry
	return true, nil
}

// A session or a bound token, and never both.
func TestDPoPOrSession(t *testing.T) {
	a := newApp(t, func(s *setup) { s.server.Audience = audience })
	a.login()
	verifier, err := acpclient.NewVerifier(acpclient.VerifierConfig{Issuer: a.server.Issuer, Audience: audience, Logger: a.logs.logger()})
	if err != nil {
		t.Fatal(err)
	}
	defer verifier.Close(t.Context())
	protector, err := a.auth.RequireSessionOrBearer(verifier, &middleware.BearerOptions{Resource: audience, DPoP: &middleware.DPoPOptions{RequireNonce: true}})
	if err != nil {
		t.Fatal(err)
	}
	key := acptest.NewKey("ES256")
	token := a.server.AccessToken(map[string]any{"sub": "carol", "cnf": map[string]any{"jkt": key.Thumbprint()}})
	nonce := ""
	for _, row := range []struct {
		name, cookies string
		status        int
		body          string
	}{
		{"DP-17 without a nonce", "", 401, ""},
		{"with it", "", 200, "- carol"},
		{"and a session", a.cookieHeader(), 400, ""},
	} {
		r := request("GET", audience+"/things", row.cookies)
		r.Header["Authorization"] = []string{"DPoP " + token}
		r.Header["Dpop"] = []string{key.Proof("GET", audience+"/things", token, map[string]any{"nonce": nonce})}
		w := serve(protector(shows), r)
		if w.Code != row.status || row.status == 200 && w.Body.String() != row.body {
			t.Errorf("%s: %d %s %v", row.name, w.Code, w.Body, w.Header())
		}
		if n := w.Header().Get("DPoP-Nonce"); n != "" {
			nonce = n
		}
	}
}

// A verifier of others is asked as far as it can answer.
func TestDPoPVerifiers(t *testing.T) {
	key := acptest.NewKey("ES256")
	o := &middleware.BearerOptions{DPoP: &middleware.DPoPOptions{BaseURL: "https://api.example"}, Logger: slog.New(slog.DiscardHandler)}
	for _, row := range []struct {
		name     string
		verifier middleware.TokenVerifier
		status   int
	}{
		{"that gives bound tokens", verifies(&acpclient.AccessToken{Confirmation: &acpclient.Confirmation{JKT: key.Thumbprint()}}), 200},
		{"DP-12 of another key", verifies(&acpclient.AccessToken{Confirmation: &acpclient.Confirmation{JKT: "x"}}), 401},
		{"DP-02 that forgets the binding", verifies(&acpclient.AccessToken{}), 401},
		{"MT-02 bound in two ways", verifies(&acpclient.AccessToken{Confirmation: &acpclient.Confirmation{JKT: key.Thumbprint(), X5tS256: "x"}}), 401},
		{"without an answer", verifies(nil), 500},
		{"that is down", refuses(acpclient.ErrUnavailable), 503},
		{"that panics", verifierFunc(func(context.Context, string) (*acpclient.AccessToken, error) { panic("x") }), 500},
	} {
		r := httptest.NewRequest("GET", "https://api.example/", nil)
		r.Header["Authorization"], r.Header["Dpop"] = []string{"DPoP token"}, []string{key.Proof("GET", "https://api.example/", "token", nil)}
		w := httptest.NewRecorder()
		protect(t, row.verifier, o)(shows).ServeHTTP(w, r)
		if w.Code != row.status {
			t.Errorf("%s: %d %s", row.name, w.Code, w.Header().Get("WWW-Authenticate"))
		}
	}
}

func TestDPoPOptions(t *testing.T) {
	for name, row := range map[string]struct {
		o    middleware.BearerOptions
		want string
	}{
		"no address":        {middleware.BearerOptions{DPoP: &middleware.DPoPOptions{}}, "BearerOptions.DPoP.BaseURL"},
		"plain http":        {middleware.BearerOptions{DPoP: &middleware.DPoPOptions{BaseURL: "http://api.example"}}, "BearerOptions.DPoP.BaseURL"},
		"a query":           {middleware.BearerOptions{DPoP: &middleware.DPoPOptions{BaseURL: "https://api.example/?a"}}, "BearerOptions.DPoP.BaseURL"},
		"no URL":            {middleware.BearerOptions{DPoP: &middleware.DPoPOptions{BaseURL: "api.example"}}, "BearerOptions.DPoP.BaseURL"},
		"a symmetric alg":   {middleware.BearerOptions{Resource: audience, DPoP: &middleware.DPoPOptions{Algs: []string{"HS256"}}}, "Algs"},
		"a long life":       {middleware.BearerOptions{Resource: audience, DPoP: &middleware.DPoPOptions{MaxAge: time.Hour}}, "MaxAge"},
		"a short nonce key": {middleware.BearerOptions{Resource: audience, DPoP: &middleware.DPoPOptions{RequireNonce: true, NonceKeys: [][]byte{{1}}}}, "NonceKeys"},
	} {
		_, err := middleware.RequireBearer(verifies(nil), &row.o)
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := middleware.RequireBearer(nil, &middleware.BearerOptions{Realm: "ä", DPoP: &middleware.DPoPOptions{MaxAge: -1}})
	for _, part := range []string{"verifier", "Realm", "BaseURL", "MaxAge"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s is not named in %v", part, err)
		}
	}
}
