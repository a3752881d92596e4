package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/acp-go/acp/examples/internal/serve"
)

// hostile is an authorization server that gives one wrong answer. It shares no code with
// acptest and localacp, so that their reading of the protocol is not the only one.
type hostile struct {
	*httptest.Server
	key, other *rsa.PrivateKey

	mu     sync.Mutex
	fault  fault
	nonce  string // of the last login
	marks  []string
	tokens atomic.Int32 // requests at the token endpoint
}

// fault changes the honest answers; nil changes nothing.
type fault struct {
	metadata func(map[string]any)
	keys     http.HandlerFunc
	token    http.HandlerFunc
	response func(map[string]any) // the token endpoint's JSON
	claims   func(map[string]any)
	header   map[jose.HeaderKey]any
	forged   bool // signed with a key that is not the server's
	api      http.HandlerFunc
}

func startHostile(t *testing.T) *hostile {
	t.Helper()
	h := &hostile{}
	var err error
	for _, key := range []**rsa.PrivateKey{&h.key, &h.other} {
		if *key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			t.Fatal(err)
		}
	}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

// mark is text that must be neither logged nor shown.
func (h *hostile) mark(prefix string) string {
	s := prefix + rand.Text()
	h.marks = append(h.marks, s)
	return s
}

func (h *hostile) set(f fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fault = f
}

func (h *hostile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	honest, lie := http.HandlerFunc(http.NotFound), http.HandlerFunc(nil)
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		honest = h.metadata
	case "/keys":
		honest, lie = h.keys, h.fault.keys
	case "/token":
		h.tokens.Add(1)
		honest, lie = h.token, h.fault.token
	case "/api":
		honest, lie = func(http.ResponseWriter, *http.Request) {}, h.fault.api
	}
	if lie != nil {
		honest = lie
	}
	honest(w, r)
}

func (h *hostile) metadata(w http.ResponseWriter, _ *http.Request) {
	m := map[string]any{
		"issuer": h.URL, "authorization_endpoint": h.URL + "/authorize", "token_endpoint": h.URL + "/token", "jwks_uri": h.URL + "/keys",
	}
	if h.fault.metadata != nil {
		h.fault.metadata(m)
	}
	serve.JSON(w, http.StatusOK, m)
}

func (h *hostile) keys(w http.ResponseWriter, _ *http.Request) {
	serve.JSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: h.key.Public(), KeyID: "1", Algorithm: "RS256", Use: "sig"}}})
}

func (h *hostile) token(w http.ResponseWriter, _ *http.Request) {
	access := h.mark("AT-")
	sum := sha256.Sum256([]byte(access))
	now := time.Now().Unix()
	claims := map[string]any{
		"iss": h.URL, "sub": "alice", "aud": "web", "exp": now + 300, "iat": now, "nonce": h.nonce,
		"at_hash": base64.RawURLEncoding.EncodeToString(sum[:16]),
	}
	if h.fault.claims != nil {
		h.fault.claims(claims)
	}
	response := map[string]any{
		"access_token": access, "token_type": "Bearer", "expires_in": 300, "refresh_token": h.mark("RT-"), "id_token": h.sign(claims),
	}
	if h.fault.response != nil {
		h.fault.response(response)
	}
	serve.JSON(w, http.StatusOK, response)
}

func (h *hostile) sign(claims map[string]any) string {
	key := h.key
	if h.fault.forged {
		key = h.other
	}
	options := &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{"kid": "1"}}
	maps.Copy(options.ExtraHeaders, h.fault.header)
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, options)
	if err != nil {
		panic(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		panic(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	h.marks = append(h.marks, token)
	return token
}

// signIn is a login whose callback the server answers as told.
func (h *hostile) signIn(a *agent, app *app) answer {
	a.t.Helper()
	p := a.step(app.base + "/login?return_to=/profile")
	to, err := url.Parse(p.Header.Get("Location"))
	if err != nil || p.StatusCode != http.StatusSeeOther {
		return p
	}
	h.mu.Lock()
	state, code := to.Query().Get("state"), h.mark("code-")
	h.nonce = to.Query().Get("nonce")
	h.marks = append(h.marks, state, h.nonce)
	h.mu.Unlock()
	return a.step(app.base + "/callback?" + url.Values{"code": {code}, "state": {state}}.Encode())
}

func (h *hostile) startApp(t *testing.T, changes ...string) *app {
	t.Helper()
	secret := h.mark("secret-")
	return startApp(t, settings(append([]string{"ACP_ISSUER=" + h.URL, "ACP_CLIENT_SECRET=" + secret, "ACP_API_URL=" + h.URL + "/api"}, changes...)...)...)
}

// says answers with a status and a body.
func says(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
