package middleware_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/middleware"
)

// forged are names under which applications look for what a proxy says of the user.
var forged = []string{
	"X-Forwarded-User", "x-forwarded-email", "X-Forwarded-Groups", "X-Forwarded-Preferred-Username", "X-Forwarded-Access-Token",
	"X-Auth-Request-User", "X-Auth-Request-Email", "X-Auth-Request-Groups", "X-Auth-Request-Preferred-Username", "X-Auth-Request-Access-Token",
	"X_Auth_User", "X-Auth-User", "X_FORWARDED_USER", "X-Forwarded_User", "x_Auth-Request_Email", "X.Forwarded.User",
	"X-Remote-User", "X-Remote-Group", "Remote-User", "REMOTE_USER", "Remote-Groups", "Remote-Email", "Remote-Name",
	"X-User", "X-User-Id", "X-User-Email", "X-Email", "X-Roles", "X-WebAuth-User", "X-Authenticated-User", "X-Authenticated-Userid", "X-Userinfo",
	"X-Consumer-Username", "OIDC_CLAIM_sub", "Oidc-Claim-Email", "OIDC_CLAIM_" + strings.Repeat("x", 100),
}

// innocent are names that say nothing of a user.
var innocent = []string{
	"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-Ip", "X-Request-Id", "X-Requested-With", "X-Auth-Token", "X-Api-Key",
	"X-Username-Hint", "X-Forwarded-User-Agent", "User-Agent", "Origin", "Oidc", "Oidc-Claim-", "X", "Remote", "From", "Accept", "Cookie",
	"X-Forwarded-Userx", "Traceparent", "X-" + strings.Repeat("User", 20),
}

// BR-40: on every path, whoever protects it, and whether anybody does.
func TestIdentityHeaders(t *testing.T) {
	a := newApp(t, nil)
	a.login()
	cookies := a.cookieHeader()
	headers := func(seen *[]string) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			for name := range r.Header {
				*seen = append(*seen, name)
			}
		})
	}
	verifier := verifies(&acpclient.AccessToken{Subject: "alice"})
	either, err := a.auth.RequireSessionOrBearer(verifier, nil)
	if err != nil {
		t.Fatal(err)
	}
	outer := protect(t, verifier, nil)
	for name, wrap := range map[string]func(http.Handler) http.Handler{
		"StripIdentityHeaders":       middleware.StripIdentityHeaders,
		"RequireBearer":              protect(t, verifier, nil),
		"RequireBearer twice":        func(h http.Handler) http.Handler { return outer(outer(h)) },
		"RequireBearer, optional":    protect(t, verifier, &middleware.BearerOptions{Optional: true}),
		"RequireSession":             a.auth.RequireSession,
		"LoadSession":                a.auth.LoadSession,
		"RequireSessionOrBearer":     either,
		"a public path of Handler":   a.auth.Handler,
		"RequireSession within Load": func(h http.Handler) http.Handler { return a.auth.LoadSession(a.auth.RequireSession(h)) },
	} {
		t.Run("BR-40 "+name, func(t *testing.T) {
			for _, credentials := range []string{"token", "session", "none"} {
				var seen []string
				r := httptest.NewRequest("GET", site+"/things", nil)
				switch credentials {
				case "token":
					r.Header.Set("Authorization", "Bearer t")
				case "session":
					r.Header.Set("Cookie", cookies)
				}
				for _, h := range slices.Concat(forged, innocent) {
					r.Header[h] = append(r.Header[h], "mallory")
				}
				r.Header["Cookie"] = []string{cookies}
				if credentials != "session" {
					r.Header["Cookie"] = []string{"a=b"}
				}
				before := len(r.Header)
				serve(wrap(headers(&seen)), r)
				if len(r.Header) != before {
					t.Errorf("%s: the request of others was changed", credentials)
				}
				if seen == nil {
					continue // refused
				}
				for _, h := range forged {
					if slices.Contains(seen, h) {
						t.Errorf("%s: the handler sees %s", credentials, h)
					}
				}
				for _, h := range innocent {
					if !slices.Contains(seen, h) {
						t.Errorf("%s: %s is gone", credentials, h)
					}
				}
			}
		})
	}
	if w := serve(middleware.StripIdentityHeaders(nil), httptest.NewRequest("GET", "/", nil)); w.Code != 404 {
		t.Errorf("a nil handler: %d", w.Code)
	}
}

// BR-40 over the wire, where net/http has put the names into their canonical form.
func TestIdentityHeadersOverHTTP(t *testing.T) {
	s := httptest.NewServer(middleware.StripIdentityHeaders(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, values := range r.Header {
			for _, v := range values {
				fmt.Fprintln(w, name, v)
			}
		}
	})))
	defer s.Close()
	r, _ := http.NewRequest("GET", s.URL, nil)
	for _, name := range forged {
		r.Header[name] = []string{"mallory", "mallory"}
	}
	r.Header["X-Request-Id"] = []string{"innocent"}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var b strings.Builder
	if err := res.Write(&b); err != nil || strings.Contains(b.String(), "mallory") || !strings.Contains(b.String(), "X-Request-Id innocent") {
		t.Errorf("BR-40: %v %s", err, b.String())
	}
}
