package middleware_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/middleware"
)

// everything is a step of the browser as one text: address, headers and bodies of both ways.
func everything(s *acptest.Step) string {
	var b strings.Builder
	fmt.Fprintln(&b, s.Method, s.URL)
	s.Header.Write(&b)
	b.Write(s.Body)
	s.ResponseHeader.Write(&b)
	b.Write(s.ResponseBody)
	return b.String()
}

// walk takes the browser through everything that the middleware answers: a login, calls
// of an API, a refresh, refusals, a second login, a logout.
func (a *app) walk() {
	a.t.Helper()
	b := a.browser
	a.login()
	b.Navigate(site + "/login?return_to=/other")
	b.Fetch("GET", site+"/profile", nil)
	b.Fetch("POST", site+"/profile", nil)
	a.clock.advance(6 * time.Minute)
	b.Navigate(site + "/api")
	b.Navigate(site + "/api")
	for _, path := range []string{"/callback", "/callback?state=a&code=b", "/login?iss=x", "/logout", "/backchannel-logout", "/nowhere"} {
		b.Navigate(site + path)
		b.Fetch("GET", site+path, nil)
	}
	b.PostFrom("https://evil.example/", site+"/logout", nil)
	b.PostFrom(site+"/", site+"/backchannel-logout", nil)
	begun := a.callback(b.Tab(), "/login")
	a.server.OnTokenResponse(func(r *acptest.Response) { r.Status = 500 })
	begun.Follow()
	a.server.OnTokenResponse(nil)
	b.PostFrom(site+"/profile", site+"/logout", nil)
	b.Fetch("GET", site+"/profile", nil)
	b.Navigate(site + "/profile")
}

// withAPI serves /api, which calls an API with the user's token and shows the answer.
func (a *app) withAPI(api string) {
	next := a.handler
	mux := http.NewServeMux()
	mux.Handle("/", next)
	mux.Handle("/api", a.auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req, _ := http.NewRequestWithContext(r.Context(), "GET", api, nil)
		res, err := middleware.SessionFromContext(r.Context()).HTTPClient().Do(req)
		if err != nil {
			a.auth.WriteError(w, r, err)
			return
		}
		defer res.Body.Close()
		io.Copy(w, res.Body)
	})))
	a.handler = mux
}

// Whatever passes between browser and application or server, no token is in it. The one
// exception is the hint of a logout, which is the ID token (RP-Initiated Logout 2).
func TestNoTokenReachesTheBrowser(t *testing.T) { // RF-20
	for _, mode := range []string{"query", "form_post"} {
		t.Run(mode, func(t *testing.T) {
			a := newApp(t, func(s *setup) { s.client.ResponseMode, s.server.AccessTokenTTL = mode, 5*time.Minute })
			var mu sync.Mutex
			tokens := map[string][]string{}
			a.server.OnTokens(func(m map[string]any) {
				mu.Lock()
				defer mu.Unlock()
				for _, kind := range []string{"access_token", "refresh_token", "id_token"} {
					if token, _ := m[kind].(string); token != "" {
						tokens[kind] = append(tokens[kind], token)
					}
				}
			})
			authorizations := 0
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ey") {
					authorizations++
				}
				fmt.Fprint(w, "things")
			}))
			defer api.Close()
			a.withAPI(api.URL)
			a.walk()
			mu.Lock()
			defer mu.Unlock()
			if authorizations != 2 || len(tokens["refresh_token"]) < 4 || len(tokens["access_token"]) < 4 || len(tokens["id_token"]) < 3 {
				t.Fatalf("%d calls of the API, tokens %d", authorizations, len(tokens["refresh_token"]))
			}
			hints := 0
			for _, s := range a.browser.Log() {
				text := everything(s)
				if location, err := url.Parse(s.ResponseHeader.Get("Location")); err == nil && location.Query().Has("id_token_hint") {
					hints++
					text = strings.ReplaceAll(text, location.Query().Get("id_token_hint"), "")
				}
				if s.URL.Query().Has("id_token_hint") {
					text = strings.ReplaceAll(text, s.URL.Query().Get("id_token_hint"), "")
				}
				for kind, all := range tokens {
					for _, token := range all {
						parts := strings.Split(token, ".")
						if strings.Contains(text, token) || strings.Contains(text, parts[min(1, len(parts)-1)]) {
							t.Errorf("RF-20: an %s passes through the browser: %s", kind, s)
						}
					}
				}
			}
			if hints != 1 {
				t.Errorf("RF-20: %d answers with a hint, want that of the logout", hints)
			}
		})
	}
}

// The answers have the headers that they need, and none that speaks of the inside.
func TestNoFurtherHeaders(t *testing.T) { // LG-11
	allowed := []string{
		"Allow", "Cache-Control", "Content-Length", "Content-Security-Policy", "Content-Type", "Location", "Referrer-Policy",
		"Retry-After", "Set-Cookie", "Vary", "X-Content-Type-Options",
	}
	for _, development := range []bool{false, true} {
		a := newApp(t, func(s *setup) { s.config.Development = development })
		api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Server-Timing", "x") }))
		defer api.Close()
		a.withAPI(api.URL)
		a.walk()
		statuses := map[int]bool{}
		for _, s := range a.browser.Log() {
			if s.URL.Host != "app.example" {
				continue
			}
			statuses[s.Status] = true
			for name := range s.ResponseHeader {
				if !slices.Contains(allowed, name) {
					t.Errorf("LG-11: %s: %s", s, name)
				}
			}
		}
		for _, want := range []int{200, 303, 400, 401, 403, 404, 405, 501, 503} {
			if !statuses[want] {
				t.Errorf("LG-11: no answer with %d was looked at", want)
			}
		}
	}
}

// The handler behind gets the request as it came, but for headers in which others would
// tell it who the user is (BR-40): identity is in the context alone.
func TestRequestIsPassedOnUnchanged(t *testing.T) { // LG-12
	a := newApp(t, nil)
	a.login()
	var got *http.Request
	look := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r })
	for name, h := range map[string]http.Handler{
		"RequireSession": a.auth.RequireSession(look), "LoadSession": a.auth.LoadSession(look),
		"Handler": a.auth.Handler(look), "all": a.auth.Handler(a.auth.LoadSession(a.auth.RequireSession(look))),
	} {
		r := request("POST", site+"/a/../b?x=1&return_to=/y", a.cookieHeader())
		r.Header.Set("X-Custom", "mallory")
		want, address := maps.Collect(maps.All(r.Header.Clone())), r.URL.String()
		if name != "Handler" { // which passes public paths on: StripIdentityHeaders is for those
			for _, header := range []string{"X-Forwarded-User", "X-Forwarded-Access-Token", "X-Auth-Request-User"} {
				r.Header.Set(header, "mallory")
			}
		}
		got = nil
		serve(h, r)
		if got == nil || !maps.EqualFunc(got.Header, want, slices.Equal) || got.URL.String() != address || got.RequestURI != "/a/../b?x=1&return_to=/y" {
			t.Fatalf("LG-12 %s: %v", name, got)
		}
		if s := middleware.SessionFromContext(got.Context()); name != "Handler" && (s == nil || s.Subject != "alice") {
			t.Errorf("LG-12 %s: the session is %v", name, s)
		}
	}
}

// Nothing is served but the four paths, and nothing is registered elsewhere.
func TestNoFurtherEndpoints(t *testing.T) { // LG-13
	a := newApp(t, nil)
	a.login()
	h := a.auth.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	for _, path := range []string{
		"/", "/debug/pprof/", "/debug/vars", "/metrics", "/session", "/userinfo", "/me", "/token", "/refresh", "/auth", "/healthz",
		"/.well-known/openid-configuration", "/.well-known/jwks.json", "/.pomerium/jwt", "/oauth2/userinfo", "/oauth2/auth",
		"/login/info", "/callback/debug", "/logout/session", "/backchannel-logout/",
	} {
		r := request("GET", site+path, a.cookieHeader())
		if w := serve(h, r); w.Code != http.StatusTeapot || len(w.Header()) != 0 {
			t.Errorf("LG-13 %s: answered with %d", path, w.Code)
		}
		if _, pattern := http.DefaultServeMux.Handler(r); pattern != "" {
			t.Errorf("LG-13 %s: registered on http.DefaultServeMux", path)
		}
	}
}
