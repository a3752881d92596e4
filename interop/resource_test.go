package interop_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// resource is an API that knows nothing about the SDK: the authorization server's own
// userinfo endpoint decides whether a token is good when it comes first. Then it serves for its
// lifetime, and some seconds for its way here on a busy machine.
type resource struct {
	*httptest.Server
	issuer   string // set before the first request
	lifetime time.Duration

	mu     sync.Mutex
	tokens []string // the good ones, in the order of their first use
	known  map[string]answered
}

// answered is what the server said about a token, and when.
type answered struct {
	body  string
	first time.Time
}

func startResource(t *testing.T, lifetime time.Duration) *resource {
	t.Helper()
	api := &resource{lifetime: lifetime, known: map[string]answered{}}
	api.Server = httptest.NewServer(http.HandlerFunc(api.serve))
	t.Cleanup(api.Close)
	return api
}

func (api *resource) serve(w http.ResponseWriter, r *http.Request) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" || len(r.Header.Values("Authorization")) != 1 {
		http.Error(w, "no bearer token", http.StatusUnauthorized)
		return
	}
	api.mu.Lock()
	known, isKnown := api.known[token]
	api.mu.Unlock()
	switch {
	case !isKnown:
		status, body, err := api.userInfo(r.Context(), token)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		if status != http.StatusOK {
			http.Error(w, "the authorization server refused the token", http.StatusUnauthorized)
			return
		}
		known = api.learn(token, body)
	case time.Since(known.first) > api.lifetime+5*time.Second:
		http.Error(w, "the token has expired", http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(known.body))
}

func (api *resource) learn(token, body string) answered {
	api.mu.Lock()
	defer api.mu.Unlock()
	if known, isKnown := api.known[token]; isKnown {
		return known
	}
	api.tokens = append(api.tokens, token)
	api.known[token] = answered{body, time.Now()}
	return api.known[token]
}

func (api *resource) userInfo(ctx context.Context, token string) (int, string, error) {
	_, body, err := fetch(ctx, http.MethodGet, api.issuer+"/.well-known/openid-configuration", nil)
	if err != nil {
		return 0, "", err
	}
	var metadata struct {
		UserinfoEndpoint string `json:"userinfo_endpoint"`
	}
	if err := json.Unmarshal([]byte(body), &metadata); err != nil {
		return 0, "", err
	}
	return fetch(ctx, http.MethodGet, metadata.UserinfoEndpoint, http.Header{"Authorization": {"Bearer " + token}})
}

// used are the good tokens that have come in so far.
func (api *resource) used() []string {
	api.mu.Lock()
	defer api.mu.Unlock()
	return slices.Clone(api.tokens)
}
