package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/acp-go/acp/acptest"
)

func TestBearer(t *testing.T) {
	server := acptest.NewServer(t, nil)
	t.Setenv("ISSUER", server.Issuer)
	t.Setenv("AUDIENCE", server.Audience)
	handler := api()
	for name, row := range map[string]struct {
		token  string
		status int
		want   string
	}{
		"with the scope":       {server.AccessToken(map[string]any{"scp": "things.read"}), 200, `"owner":"alice"`},
		"BR-18 without":        {server.AccessToken(nil), 403, ""},
		"BR-12 of another API": {server.AccessToken(map[string]any{"scp": "things.read", "aud": "x"}), 401, ""},
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, acptest.WithBearer(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/things", nil), row.token))
		if w.Code != row.status || !strings.Contains(w.Body.String(), row.want) {
			t.Errorf("%s: status %d, %s", name, w.Code, w.Body)
		}
	}
}
