package middleware_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/middleware"
)

// subjectOf reads an access token that is a JWT.
func subjectOf(token string) string {
	var claims struct {
		Subject string `json:"sub"`
	}
	if parts := strings.Split(token, "."); len(parts) == 3 {
		payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
		_ = json.Unmarshal(payload, &claims)
	}
	return claims.Subject
}

// Many users at once, from the login over refreshes to the logout: each is served as who
// they are, with a token of their own.
func TestManyUsersAtOnce(t *testing.T) { // RL-16 SE-35
	const users = 48
	a := newApp(t, func(s *setup) { s.server.AccessTokenTTL = 5 * time.Minute })
	var number atomic.Int64
	a.server.OnAuthorize(func(z *acptest.Authorization) { z.User = acptest.User{Subject: fmt.Sprint("user-", number.Add(1))} })
	held, names := make([]string, users), make([]string, users)
	each := func(f func(i int)) {
		var wg sync.WaitGroup
		for i := range users {
			wg.Go(func() { f(i) })
		}
		wg.Wait()
	}
	each(func(i int) {
		b := a.server.Browser()
		b.Mount(site, a.handler)
		names[i] = b.Navigate(site + "/profile").Body()
		for _, c := range b.Cookies(site + "/") {
			held[i] += c.Name + "=" + c.Value + "; "
		}
	})
	distinct := map[string]bool{}
	for _, name := range names {
		distinct[name] = strings.HasPrefix(name, "user-")
	}
	if len(distinct) != users {
		t.Fatalf("RL-16: %d users after %d logins: %v", len(distinct), users, names)
	}
	for range 2 {
		a.clock.advance(6 * time.Minute) // every token is stale now
		each(func(i int) {
			var inner sync.WaitGroup
			for n := range 6 {
				inner.Go(func() {
					if n%2 == 0 {
						if _, body, _ := a.get("/profile", held[i]); body != names[i] {
							t.Errorf("RL-16: %s was served as %q", names[i], body)
						}
						return
					}
					if code, token, _ := a.get("/token", held[i]); subjectOf(token) != names[i] {
						t.Errorf("RL-16: %s got %d and the token of %q", names[i], code, subjectOf(token))
					}
				})
			}
			inner.Wait()
		})
	}
	if n := a.server.Count(acptest.TokenEndpoint); n != 3*users {
		t.Errorf("RL-16: %d token requests, want a login and two refreshes for each of %d users", n, users)
	}
	each(func(i int) {
		if i%2 == 0 {
			a.serve(request("POST", site+"/logout", held[i]))
		}
	})
	each(func(i int) {
		if code, _, _ := a.get("/profile", held[i]); code == 200 != (i%2 == 1) {
			t.Errorf("RL-16: %s after the logouts: %d", names[i], code)
		}
	})
}

// Two responses of one session cross: one brings the refreshed tokens, the other, written
// before, arrives later with the old ones. The newest tokens win.
func TestCrossingResponses(t *testing.T) { // SE-22
	a := newApp(t, func(s *setup) { s.server.AccessTokenTTL = 5 * time.Minute })
	a.login()
	held := a.cookieHeader()
	a.clock.advance(time.Hour) // past a tenth of the idle timeout, so that each response writes the session
	release := a.server.Hold(acptest.TokenEndpoint)
	type answer struct {
		token  string
		header http.Header
	}
	refreshing := make(chan answer)
	go func() { _, token, h := a.get("/token", held); refreshing <- answer{token, h} }()
	if err := a.server.Wait(t.Context(), acptest.TokenEndpoint, 2); err != nil {
		t.Fatal(err)
	}
	_, _, plain := a.get("/profile", held) // "app data": the time of the last use
	release()
	refreshed := <-refreshing
	late := request("GET", site+"/", cookiesSet(plain))
	if generation, ok := a.auth.GenerationOf(late); !ok || generation != 0 {
		t.Fatalf("the late response has generation %d, %v", generation, ok)
	}
	if generation, ok := a.auth.GenerationOf(request("GET", site+"/", cookiesSet(refreshed.header))); !ok || generation != 1 {
		t.Fatalf("the refreshed response has generation %d, %v", generation, ok)
	}
	for _, cookies := range []string{cookiesSet(plain), cookiesSet(refreshed.header), held} {
		code, token, h := a.get("/token", cookies)
		if code != 200 || token != refreshed.token {
			t.Errorf("SE-22: %d, the refreshed token %v", code, token == refreshed.token)
		}
		if next := cookiesSet(h); next != "" {
			if generation, ok := a.auth.GenerationOf(request("GET", site+"/", next)); !ok || generation != 1 {
				t.Errorf("SE-22: the browser is given generation %d", generation)
			}
		} else if cookies != cookiesSet(refreshed.header) {
			t.Error("SE-22: the browser keeps the old tokens")
		}
	}
	// The other update is not lost either: the use an hour after the login counts.
	a.clock.advance(7*time.Hour + 30*time.Minute)
	if code, _, _ := a.get("/profile", cookiesSet(refreshed.header)); code != 200 {
		t.Errorf("SE-22: eight and a half hours after the login, %d", code)
	}
	if n := len(a.server.ActiveRefreshTokens()); n != 1 || a.server.Count(acptest.TokenEndpoint) != 2 {
		t.Errorf("SE-22: %d refresh tokens are alive after %d token requests", n, a.server.Count(acptest.TokenEndpoint))
	}
}

// inRefresh runs f in a bubble of synctest while the refresh of a session waits for the
// server: get asks for the session's access token, release lets the server answer.
func inRefresh(t *testing.T, f func(t *testing.T, auth *middleware.Authenticator, get func() *httptest.ResponseRecorder, release func())) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		auth := onWire(t, func(*http.Request, url.Values) (int, string, error) {
			<-gate
			return 200, `{"access_token":"new","token_type":"bearer","expires_in":86400,"refresh_token":"next"}`, nil
		})
		now := time.Now()
		tokens := &acpclient.Tokens{Token: &oauth2.Token{AccessToken: "old", RefreshToken: "r", Expiry: now.Add(-time.Second)}}
		cookies, err := auth.SessionCookies(tokens, now, now)
		if err != nil {
			t.Fatal(err)
		}
		page := auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			token, err := middleware.SessionFromContext(r.Context()).AccessToken(r.Context())
			if err != nil {
				auth.WriteError(w, r, err)
				return
			}
			fmt.Fprint(w, token)
		}))
		get := func() *httptest.ResponseRecorder {
			return serve(page, request("GET", site+"/token", cookiePairs(cookies)))
		}
		f(t, auth, get, func() { close(gate) })
	})
}

// A request that joins the refresh of an earlier one keeps its own, later time of use.
func TestLateUseIsKept(t *testing.T) { // SE-22
	inRefresh(t, func(t *testing.T, auth *middleware.Authenticator, get func() *httptest.ResponseRecorder, release func()) {
		now := time.Now()
		at := func(d time.Duration) { auth.SetClock(func() time.Time { return now.Add(d) }) }
		var early, late *httptest.ResponseRecorder
		var wg sync.WaitGroup
		wg.Go(func() { early = get() })
		synctest.Wait()
		at(2 * time.Hour)
		wg.Go(func() { late = get() })
		synctest.Wait()
		release()
		wg.Wait()
		if early.Body.String() != "new" || late.Body.String() != "new" {
			t.Fatalf("%q, %q", early.Body, late.Body)
		}
		at(9 * time.Hour)
		if !auth.HasSession(request("GET", site+"/", cookiesSet(late.Header()))) {
			t.Error("SE-22: the session ended seven hours after its last use")
		}
	})
}

// Close returns after the refresh that is under way, and not before.
func TestCloseWaits(t *testing.T) { // RL-21
	inRefresh(t, func(t *testing.T, auth *middleware.Authenticator, get func() *httptest.ResponseRecorder, release func()) {
		var wg sync.WaitGroup
		var served *httptest.ResponseRecorder
		wg.Go(func() { served = get() })
		synctest.Wait()
		var closed atomic.Bool
		var err error
		wg.Go(func() { err = auth.Close(t.Context()); closed.Store(true) })
		synctest.Wait()
		if closed.Load() {
			t.Error("RL-21: Close did not wait")
		}
		release()
		wg.Wait()
		if err != nil || served.Body.String() != "new" || !sets(served.Header(), sessionPrefix) {
			t.Errorf("RL-21: Close: %v; the refresh under way: %d %q", err, served.Code, served.Body)
		}
	})
}

// Close during a refresh: it waits as long as its context allows, the refresh is kept
// whole, and what comes afterwards is told so.
func TestCloseDuringRefresh(t *testing.T) { // RL-21
	a := newApp(t, func(s *setup) { s.server.AccessTokenTTL = 5 * time.Minute })
	a.login()
	held := a.cookieHeader()
	begun := a.callback(a.browser.Tab(), "/login?return_to=/other")
	a.clock.advance(6 * time.Minute)
	tokens := a.server.Count(acptest.TokenEndpoint)
	release := a.server.Hold(acptest.TokenEndpoint)
	refreshing := make(chan http.Header)
	go func() { _, _, h := a.get("/token", held); refreshing <- h }()
	if err := a.server.Wait(t.Context(), acptest.TokenEndpoint, tokens+1); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 {
		if err := a.auth.Close(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("RL-21: Close with a context that has ended: %v", err)
		}
	}
	// Closed, though the refresh goes on.
	if w := a.serve(request("GET", site+"/login", "")); w.Code != 503 || w.Header().Get("Set-Cookie") != "" || w.Header().Get("Retry-After") == "" {
		t.Errorf("RL-21: a login: %d", w.Code)
	}
	if p := begun.Follow(); p.Status() != 503 || a.server.Count(acptest.TokenEndpoint) != tokens+1 {
		t.Errorf("RL-21: a callback: %d, %d token requests", p.Status(), a.server.Count(acptest.TokenEndpoint))
	}
	if code, body, _ := a.get("/profile", held); code != 200 || body != "alice" {
		t.Errorf("RL-21: a known session: %d %q", code, body)
	}
	waits := make(chan error)
	go func() { waits <- a.auth.Close(t.Context()) }()
	release()
	h := <-refreshing
	if err := <-waits; err != nil {
		t.Errorf("RL-21: Close after the refresh: %v", err)
	}
	// The refreshed tokens went into the browser before anything was lost.
	next := cookiesSet(h)
	if generation, ok := a.auth.GenerationOf(request("GET", site+"/", next)); !ok || generation != 1 {
		t.Errorf("RL-21: the refresh left generation %d", generation)
	}
	if code, _, _ := a.get("/token", next); code != 200 {
		t.Errorf("RL-21: a token that serves: %d", code)
	}
	a.clock.advance(6 * time.Minute)
	code, _, h := a.get("/token", next)
	if code != 503 || deletes(h, sessionPrefix+"=") || h.Get("Retry-After") == "" || a.server.Count(acptest.TokenEndpoint) != tokens+1 {
		t.Errorf("RL-21: a refresh after Close: %d, %d token requests", code, a.server.Count(acptest.TokenEndpoint))
	}
	if err := a.auth.Close(t.Context()); err != nil {
		t.Errorf("RL-21: a third Close: %v", err)
	}
	a.restart() // the next process goes on from the cookie
	if code, _, _ := a.get("/token", next); code != 200 {
		t.Errorf("RL-21: after the restart: %d\n%s", code, a.logs)
	}
}
