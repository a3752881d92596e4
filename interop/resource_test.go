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
)

// resource is an API that knows nothing about the SDK: the authorization server's own
// userinfo endpoint decides whether a token is good at this moment.
type resource struct {
	*httptest.Server
	issuer string // set before the first request

	mu     sync.Mutex
	tokens []string // the good ones, in the order of their first use
}

func startResource(t *testing.T) *resource {
	t.Helper()
	api := new(resource)
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
	status, body, err := api.userInfo(r.Context(), token)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	if status != http.StatusOK {
		http.Error(w, "the authorization server refused the token", http.StatusUnauthorized)
		return
	}
	api.mu.Lock()
	defer api.mu.Unlock()
	if !slices.Contains(api.tokens, token) {
		api.tokens = append(api.tokens, token)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(body))
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
