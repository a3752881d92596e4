package middleware_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/middleware"
)

// A session or a token, and never both. "carol" holds the token, "alice" the session.
func TestRequireSessionOrBearer(t *testing.T) {
	a := newApp(t, func(s *setup) { s.server.Audience = audience })
	a.login()
	cookies := a.cookieHeader()
	verifier, err := acpclient.NewVerifier(acpclient.VerifierConfig{Issuer: a.server.Issuer, Audience: audience, Logger: a.logs.logger()})
	if err != nil {
		t.Fatal(err)
	}
	defer verifier.Close(t.Context())
	good := a.server.AccessToken(map[string]any{"sub": "carol", "scp": []string{"things.read"}})
	weak := a.server.AccessToken(map[string]any{"sub": "carol"})
	expired := a.server.AccessToken(map[string]any{"exp": 1})
	o := middleware.BearerOptions{Scopes: []string{"things.read"}, Resource: audience}
	either := func(t *testing.T, optional bool) http.Handler {
		o := o
		o.Optional = optional
		protector, err := a.auth.RequireSessionOrBearer(verifier, &o)
		if err != nil {
			t.Fatal(err)
		}
		return protector(shows)
	}
	required, optional := either(t, false), either(t, true)
	const metadata = `resource_metadata="https://api.example/.well-known/oauth-protected-resource"`
	for _, row := range []struct {
		name          string
		handler       http.Handler
		cookies       string
		authorization []string
		query         string
		status        int
		body          string // of 200
		code          string // of the challenge
	}{
		{"a session", required, cookies, nil, "", 200, "alice -", "-"},
		{"a token", required, "", []string{"Bearer " + good}, "", 200, "- carol", "-"},
		{"neither, and no navigation", required, "", nil, "", 401, "", ""},
		{"both", required, cookies, []string{"Bearer " + good}, "", 400, "", "invalid_request"},
		{"a session and a bad token", required, cookies, []string{"Bearer " + expired}, "", 400, "", "invalid_request"},
		{"a session and a malformed header", required, cookies, []string{"Bearer"}, "", 400, "", "invalid_request"},
		{"a session and two headers", required, cookies, []string{"Bearer " + good, "Bearer " + good}, "", 400, "", "invalid_request"},
		{"DP-02 a session and DPoP", required, cookies, []string{"DPoP " + good}, "", 400, "", "invalid_request"},
		{"DP-02 DPoP", required, "", []string{"DPoP " + good}, "", 401, "", ""},
		{"a session behind a proxy's Basic", required, cookies, []string{"Basic YTpi"}, "", 200, "alice -", "-"},
		{"BR-04 Basic alone", required, "", []string{"Basic YTpi"}, "", 401, "", ""},
		{"BR-08 a session, and a token in the query", required, cookies, nil, "access_token=" + good, 200, "alice -", "-"},
		{"BR-08 a token in the query", required, "", nil, "access_token=" + good, 401, "", ""},
		{"BR-07 a token in two places", required, "", []string{"Bearer " + good}, "access_token=x", 400, "", "invalid_request"},
		{"a token, and cookies that are no session", required, "__Host-acp_session=1.x; a=b", []string{"Bearer " + good}, "", 200, "- carol", "-"},
		{"BR-11 an expired token", required, "", []string{"Bearer " + expired}, "", 401, "", "invalid_token"},
		{"BR-18 a token without the scope", required, "", []string{"Bearer " + weak}, "", 403, "", "insufficient_scope"},

		{"BR-44 optional: neither", optional, "", nil, "", 200, "- -", "-"},
		{"BR-44 optional: a session", optional, cookies, nil, "", 200, "alice -", "-"},
		{"BR-44 optional: a token", optional, "", []string{"Bearer " + good}, "", 200, "- carol", "-"},
		{"BR-44 optional: an expired token", optional, "", []string{"Bearer " + expired}, "", 401, "", "invalid_token"},
		{"BR-44 optional: DPoP", optional, "", []string{"DPoP " + good}, "", 401, "", ""},
		{"BR-44 optional: malformed", optional, "", []string{"Bearer"}, "", 400, "", "invalid_request"},
		{"optional: both", optional, cookies, []string{"Bearer " + good}, "", 400, "", "invalid_request"},
		{"optional: a proxy's Basic", optional, "", []string{"Basic YTpi"}, "", 200, "- -", "-"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := request("GET", site+"/things?"+row.query, row.cookies)
			r.Header.Set("Sec-Fetch-Mode", "cors")
			if row.authorization != nil {
				r.Header["Authorization"] = row.authorization
			}
			w := serve(row.handler, r)
			got := answer{status: w.Code, challenge: w.Header().Get("WWW-Authenticate")}
			if got.status != row.status || got.code() != row.code || row.status == 200 && w.Body.String() != row.body {
				t.Errorf("%d %q %s", got.status, got.challenge, w.Body)
			}
			if !strings.Contains(strings.Join(w.Header().Values("Vary"), ","), "Authorization") {
				t.Errorf("Vary %q", w.Header().Values("Vary"))
			}
			if row.status != 200 {
				isPrivate(t, w.Header())
				if !strings.Contains(got.challenge, metadata) {
					t.Errorf("BR-22: %q", got.challenge)
				}
			}
			if row.authorization != nil && sets(w.Header(), sessionPrefix) {
				t.Error("an answer to a token writes the session's cookies")
			}
		})
	}
	t.Run("a navigation goes to the login", func(t *testing.T) {
		if w := serve(required, request("GET", site+"/things", "")); w.Code != 303 || !strings.HasPrefix(w.Header().Get("Location"), "/login") || w.Header().Get("WWW-Authenticate") != "" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
		r := request("GET", site+"/things", "")
		r.Header.Set("Authorization", "Bearer "+expired)
		if w := serve(required, r); w.Code != 401 {
			t.Errorf("with a bad token: %d", w.Code)
		}
	})
	t.Run("SE-26 a WebSocket from elsewhere", func(t *testing.T) {
		r := request("GET", site+"/things", cookies)
		r.Header.Set("Upgrade", "websocket")
		r.Header.Set("Origin", "https://evil.example")
		if w := serve(required, r); w.Code != 403 {
			t.Errorf("%d", w.Code)
		}
	})
	t.Run("a session in the context", func(t *testing.T) {
		r := acptest.WithUser(request("GET", site+"/things", ""), "bob", nil)
		if w := serve(required, r); w.Code != 200 || w.Body.String() != "bob -" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if w := serve(required, acptest.WithBearer(r, good)); w.Code != 400 {
			t.Errorf("and a token: %d", w.Code)
		}
	})
	t.Run("BR-42 the session of another Authenticator is hidden", func(t *testing.T) {
		other := newApp(t, nil)
		other.login()
		r := request("GET", site+"/things", other.cookieHeader())
		if w := serve(other.auth.LoadSession(required), acptest.WithBearer(r, good)); w.Body.String() != "- carol" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
	t.Run("BR-42 a stale token is hidden", func(t *testing.T) {
		drop := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r = r.Clone(r.Context())
			r.Header.Del("Authorization")
			required.ServeHTTP(w, r)
		})
		outer := protect(t, verifier, nil)(drop)
		if w := serve(outer, acptest.WithBearer(request("GET", site+"/things", cookies), good)); w.Body.String() != "alice -" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

// Refusals of tokens are the application's to write, too, and say what they are.
func TestRequireSessionOrBearerOnError(t *testing.T) {
	var failure *middleware.Failure
	a := newApp(t, func(s *setup) {
		s.config.OnError = func(w http.ResponseWriter, _ *http.Request, f *middleware.Failure) {
			failure = f
			w.WriteHeader(f.Status)
			fmt.Fprint(w, "mine")
		}
	})
	protector, err := a.auth.RequireSessionOrBearer(refuses(acpclient.ErrInvalidToken), nil)
	if err != nil {
		t.Fatal(err)
	}
	w := serve(protector(shows), bearer("t"))
	isPrivate(t, w.Header())
	if w.Code != 401 || w.Body.String() != "mine" || !errors.Is(failure.Err, acpclient.ErrInvalidToken) || parameter(w.Header().Get("WWW-Authenticate"), "error") != "invalid_token" {
		t.Errorf("%d %s %v", w.Code, w.Body, failure)
	}
	if !strings.Contains(a.logs.String(), "reference="+failure.Reference) {
		t.Errorf("not logged: %s", a.logs)
	}
	for _, v := range []middleware.TokenVerifier{nil, (*acpclient.Verifier)(nil)} {
		if protector, err := a.auth.RequireSessionOrBearer(v, nil); err == nil || protector != nil {
			t.Error("CF-01: a nil verifier was accepted")
		}
	}
	var own logBuffer
	protector, err = a.auth.RequireSessionOrBearer(refuses(acpclient.ErrInvalidToken), &middleware.BearerOptions{Logger: own.logger()})
	if err != nil {
		t.Fatal(err)
	}
	if serve(protector(nil), bearer("t")); strings.Count(own.String(), "reference=") != 1 {
		t.Errorf("the options' own logger has %q", own.String())
	}
	if w := serve(protector(nil), httptest.NewRequest("POST", "/", nil)); w.Code != 401 || w.Header().Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("no credentials: %d %v", w.Code, w.Header())
	}
}
