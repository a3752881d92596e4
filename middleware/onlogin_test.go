package middleware_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/middleware"
)

// OnLogin has the last word about a login, before anything is written.
func TestOnLogin(t *testing.T) {
	refusal := errors.New("alice is barred")
	for _, row := range []struct {
		name    string
		onLogin func(*http.Request, *middleware.Session, *acpclient.Tokens) error
		status  int
		reason  string
	}{
		{"nil", nil, 303, ""},
		{"accepts", func(*http.Request, *middleware.Session, *acpclient.Tokens) error { return nil }, 303, ""},
		{"refuses", func(*http.Request, *middleware.Session, *acpclient.Tokens) error { return refusal }, 403, "on_login"},
		{"refuses with an error of ours", func(*http.Request, *middleware.Session, *acpclient.Tokens) error { return acpclient.ErrUnavailable }, 403, "on_login"},
		{"panics", func(*http.Request, *middleware.Session, *acpclient.Tokens) error { panic("secret\n\x1b[2J detail") }, 500, "on_login_panic"}, // CF-03
		{"panics with an error", func(*http.Request, *middleware.Session, *acpclient.Tokens) error { panic(refusal) }, 500, "on_login_panic"},
		{"panics by itself", func(_ *http.Request, s *middleware.Session, _ *acpclient.Tokens) error {
			return []error{nil}[len(s.Subject)]
		}, 500, "on_login_panic"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var failed error
			a := newApp(t, func(s *setup) {
				s.config.OnLogin = row.onLogin
				s.config.OnError = func(w http.ResponseWriter, _ *http.Request, f *middleware.Failure) {
					failed = f.Err
					w.WriteHeader(f.Status)
				}
			})
			now := time.Now()
			before, err := a.auth.SessionCookies(tokensOf(100), now, now) // a user who is signed in already
			if err != nil {
				t.Fatal(err)
			}
			p := a.callback(a.browser, "/other")
			w := a.serve(request("GET", p.Next.String(), a.cookieHeader()+"; "+cookiePairs(before)))
			if w.Code != row.status || sets(w.Header(), sessionPrefix) != (row.status == 303) || !deletes(w.Header(), txPrefix) {
				t.Errorf("%d, %q", w.Code, w.Header().Values("Set-Cookie"))
			}
			isPrivate(t, w.Header())
			// NS: a login that was refused leaves the session of before alone.
			if code, _, _ := a.get("/profile", cookiePairs(before)); (code == 200) != (row.status != 303) || row.status != 303 && deletes(w.Header(), sessionPrefix+"=") {
				t.Errorf("the session of before: %d", code)
			}
			if row.reason == "" {
				return
			}
			if row.name == "refuses" && !errors.Is(failed, refusal) || failed == nil || strings.ContainsAny(failed.Error(), "\n\x1b") || !strings.Contains(a.logs.String(), "reason="+row.reason) || strings.Contains(a.logs.String(), "\x1b") {
				t.Errorf("OnError got %v; the log says\n%s", failed, a.logs)
			}
			// The code is used, so a second try asks nobody.
			if w := a.serve(request("GET", p.Next.String(), a.cookieHeader())); w.Code != 400 || a.server.Count(acptest.TokenEndpoint) != 1 {
				t.Errorf("again: %d, %d token requests", w.Code, a.server.Count(acptest.TokenEndpoint))
			}
		})
	}
}

// What OnLogin is given: the callback's request, the user, tokens that serve already.
func TestOnLoginArguments(t *testing.T) {
	var seen string
	var a *app
	a = newApp(t, func(s *setup) {
		s.server.AccessTokenTTL = 3 * time.Second
		s.config.OnLogin = func(r *http.Request, s *middleware.Session, tokens *acpclient.Tokens) error {
			a.clock.advance(10 * time.Second) // so that the access token is refreshed here
			var claims struct {
				Name string `json:"name"`
			}
			token, err := s.AccessToken(r.Context())
			if err != nil {
				return err
			}
			seen = fmt.Sprint(r.URL.Path, " ", s.Subject, " ", s.ExpiresAt.Sub(s.CreatedAt), " ", s.Claims(&claims), " ", claims.Name != "", " ",
				tokens.IDToken != "", " ", token != "", " ", middleware.SessionFromContext(r.Context()) == nil)
			return nil
		}
	})
	p := a.callback(a.browser, "/profile")
	w := a.serve(request("GET", p.Next.String(), a.cookieHeader()))
	held := cookiesSet(w.Header())
	if want := "/callback alice 24h0m0s <nil> true true true true"; seen != want {
		t.Errorf("got  %s\nwant %s", seen, want)
	}
	// The session holds what the refresh brought, not the refresh token that it used up.
	if generation, ok := a.auth.GenerationOf(request("GET", site+"/", held)); !ok || generation != 1 || a.server.Count(acptest.TokenEndpoint) != 2 {
		t.Errorf("the cookie is of generation %d, after %d token requests", generation, a.server.Count(acptest.TokenEndpoint))
	}
	a.restart() // another process, which knows the cookie alone
	a.clock.advance(time.Minute)
	if code, _, _ := a.get("/token", held); code != 200 {
		t.Errorf("the next refresh: %d\n%s", code, a.logs)
	}
}

// A panic of the application is the application's: it passes through as it is.
func TestPanicsPassThrough(t *testing.T) { // RL-26
	a := newApp(t, nil)
	a.login()
	for _, value := range []any{"broken", http.ErrAbortHandler, errors.New("x")} {
		breaks := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(value) })
		onError := newApp(t, func(s *setup) {
			s.config.OnError = func(http.ResponseWriter, *http.Request, *middleware.Failure) { panic(value) }
		})
		for name, h := range map[string]http.Handler{
			"RequireSession": a.auth.RequireSession(breaks), "LoadSession": a.auth.LoadSession(breaks), "Handler": a.auth.Handler(breaks),
			"OnError": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { onError.auth.WriteError(w, r, errors.New("y")) }),
		} {
			func() {
				defer func() {
					if got := recover(); got != value {
						t.Errorf("RL-26 %s: %v became %v", name, value, got)
					}
				}()
				h.ServeHTTP(httptest.NewRecorder(), request("GET", site+"/x", a.cookieHeader()))
			}()
		}
	}
	aborts := newApp(t, func(s *setup) { s.config.OnLogin = hook(func() { panic(http.ErrAbortHandler) }) })
	p := aborts.callback(aborts.browser, "/profile")
	defer func() {
		if got := recover(); got != http.ErrAbortHandler {
			t.Errorf("RL-26: http.ErrAbortHandler in OnLogin became %v", got)
		}
		// Whoever comes to the same callback afterwards does not wait for ever.
		if w := aborts.serve(request("GET", p.Next.String(), aborts.cookieHeader())); w.Code != 400 {
			t.Errorf("RL-26: the callback again: %d", w.Code)
		}
	}()
	aborts.serve(request("GET", p.Next.String(), aborts.cookieHeader()))
}

// A transport that panics costs one refresh, and not the program.
func TestTransportPanics(t *testing.T) { // RL-26
	var broken breakable
	a := newApp(t, func(s *setup) {
		s.server.AccessTokenTTL, s.client.Transport = 5*time.Minute, &broken
	})
	a.login()
	a.clock.advance(10 * time.Minute)
	broken.panics.Store(true)
	if code, _, h := a.get("/token", a.cookieHeader()); code != 500 || deletes(h, sessionPrefix+"=") {
		t.Errorf("RL-26: %d", code)
	}
	broken.panics.Store(false)
	a.clock.advance(3 * time.Second)
	if code, _, _ := a.get("/token", a.cookieHeader()); code != 200 {
		t.Errorf("RL-26: afterwards %d\n%s", code, a.logs)
	}
}
