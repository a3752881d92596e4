package middleware_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/acp-go/acp/middleware"
)

// BR-22: the document is where the challenge says, and says who we are.
func TestProtectedResource(t *testing.T) {
	const bare = "/.well-known/oauth-protected-resource"
	for _, row := range []struct{ resource, metadata, path string }{
		{"https://api.example", "https://api.example" + bare, bare},
		{"https://api.example/", "https://api.example" + bare, bare},
		{"https://api.example:8443/v1", "https://api.example:8443" + bare + "/v1", bare + "/v1"},
		{"https://api.example/v1/", "https://api.example" + bare + "/v1/", bare + "/v1/"},
		{"https://api.example/a%20b/c", "https://api.example" + bare + "/a%20b/c", bare + "/a%20b/c"},
		{"http://127.0.0.1:8080/x", "http://127.0.0.1:8080" + bare + "/x", bare + "/x"},
	} {
		t.Run("BR-22 "+row.resource, func(t *testing.T) {
			h, err := middleware.ProtectedResource(middleware.ResourceMetadata{Resource: row.resource})
			if err != nil {
				t.Fatal(err)
			}
			mux := http.NewServeMux()
			mux.Handle("/", protect(t, verifies(nil), &middleware.BearerOptions{Resource: row.resource, Logger: (&logBuffer{}).logger()})(nil))
			mux.Handle(bare, h)
			mux.Handle(bare+"/", h)
			challenge := serve(mux, httptest.NewRequest("GET", "/things", nil)).Header().Get("WWW-Authenticate")
			if got := parameter(challenge, "resource_metadata"); got != row.metadata {
				t.Errorf("the challenge names %s", got)
			}
			for _, at := range []string{bare, row.path} {
				w := serve(mux, httptest.NewRequest("GET", at, nil))
				var document struct{ Resource string }
				if err := json.Unmarshal(w.Body.Bytes(), &document); err != nil || w.Code != 200 || document.Resource != row.resource {
					t.Errorf("%s: %d %s %v", at, w.Code, w.Body, err)
				}
			}
			for _, at := range []string{bare + "/other", bare + "/v1/more", bare + "/V1", bare + "/%76%31", bare + "/x/", row.path + "//"} {
				if at == row.path {
					continue
				}
				r := httptest.NewRequest("GET", at, nil)
				if w := serve(h, r); w.Code != 404 {
					t.Errorf("%s: %d", at, w.Code)
				} else {
					isPrivate(t, w.Header())
				}
			}
		})
	}
}

func TestProtectedResourceDocument(t *testing.T) {
	m := middleware.ResourceMetadata{
		Resource: "https://api.example/v1", AuthorizationServers: []string{"https://as.example/t/w"}, ScopesSupported: []string{"a", "b"},
		ResourceName: "Things <&>", ResourceDocumentation: "https://docs.example/things",
	}
	h, err := middleware.ProtectedResource(m)
	if err != nil {
		t.Fatal(err)
	}
	m.AuthorizationServers[0], m.ScopesSupported[0] = "https://evil.example", "x" // CF-06
	s := httptest.NewServer(h)
	defer s.Close()
	url := s.URL + "/.well-known/oauth-protected-resource/v1"
	for _, method := range []string{"GET", "HEAD"} {
		r, _ := http.NewRequest(method, url, nil)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		isPrivate(t, res.Header)
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/json" || res.ContentLength <= 0 {
			t.Errorf("%s: %d %v", method, res.StatusCode, res.Header)
		}
		if method == "HEAD" {
			continue
		}
		var got map[string]any
		if err := json.NewDecoder(res.Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{
			"resource": "https://api.example/v1", "authorization_servers": []any{"https://as.example/t/w"}, "scopes_supported": []any{"a", "b"},
			"resource_name": "Things <&>", "resource_documentation": "https://docs.example/things", "bearer_methods_supported": []any{"header"},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%v", got)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "TRACE"} {
		r, _ := http.NewRequest(method, url, nil)
		r.Header.Set("X-HTTP-Method-Override", "GET") // PX-08
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		isPrivate(t, res.Header)
		if res.StatusCode != 405 || res.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d, Allow %q", method, res.StatusCode, res.Header.Get("Allow"))
		}
	}
}

func TestProtectedResourceMistakes(t *testing.T) {
	for _, row := range []struct {
		name string
		m    middleware.ResourceMetadata
		says string
	}{
		{"CF-01 the zero value", middleware.ResourceMetadata{}, "Resource"},
		{"BR-22 http", middleware.ResourceMetadata{Resource: "http://api.example"}, "Resource"},
		{"BR-22 a query", middleware.ResourceMetadata{Resource: "https://api.example?x"}, "Resource"},
		{"BR-22 an encoded dot", middleware.ResourceMetadata{Resource: "https://api.example/%2e%2e/b"}, "Resource"},
		{"an http issuer", middleware.ResourceMetadata{Resource: audience, AuthorizationServers: []string{"http://as.example"}}, "AuthorizationServers"},
		{"an issuer with a query", middleware.ResourceMetadata{Resource: audience, AuthorizationServers: []string{"https://as.example?x"}}, "AuthorizationServers"},
		{"two scopes in one", middleware.ResourceMetadata{Resource: audience, ScopesSupported: []string{"a b"}}, "ScopesSupported"},
		{"a scope twice", middleware.ResourceMetadata{Resource: audience, ScopesSupported: []string{"a", "a"}}, "ScopesSupported"},
		{"a script", middleware.ResourceMetadata{Resource: audience, ResourceDocumentation: "javascript:alert(1)"}, "ResourceDocumentation"},
	} {
		if h, err := middleware.ProtectedResource(row.m); err == nil || h != nil || !strings.Contains(err.Error(), "ResourceMetadata."+row.says) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
	_, err := middleware.ProtectedResource(middleware.ResourceMetadata{AuthorizationServers: []string{""}, ScopesSupported: []string{""}})
	for _, says := range []string{"Resource:", "AuthorizationServers", "ScopesSupported"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("CF-07: not every mistake at once: %s is missing in %v", says, err)
		}
	}
}
