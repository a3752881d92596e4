package middleware_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/middleware"
)

// CB-04, TX-33: the browser reloads the callback while the first one is under way, and drops
// its answer. The code is sent once, and the user is signed in.
func TestReloadDuringTheCallback(t *testing.T) {
	for _, row := range []struct {
		name    string
		cookies func(a *app) string
		status  int
	}{
		{"the same browser", (*app).cookieHeader, 303},
		{"CB-02 another one, with the URL alone", func(*app) string { return "" }, 400},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := newApp(t, nil)
			p := a.callback(a.browser, "/other")
			release := a.server.Hold(acptest.TokenEndpoint)
			ctx, leave := context.WithCancel(t.Context())
			first := make(chan struct{})
			go func() {
				defer close(first)
				a.serve(request("GET", p.Next.String(), a.cookieHeader()).WithContext(ctx))
			}()
			if err := a.server.Wait(t.Context(), acptest.TokenEndpoint, 1); err != nil {
				t.Fatal(err)
			}
			second := make(chan *httptest.ResponseRecorder)
			go func() { second <- a.serve(request("GET", p.Next.String(), row.cookies(a))) }()
			if err := a.auth.WaitForReplay(t.Context(), p.Next.Query().Get("state")); err != nil {
				t.Fatal(err)
			}
			leave()
			release()
			w := <-second
			<-first
			if w.Code != row.status || sets(w.Header(), sessionPrefix+"=") != (row.status == 303) || a.server.Count(acptest.TokenEndpoint) != 1 {
				t.Errorf("%d, session %v, %d token requests", w.Code, sets(w.Header(), sessionPrefix+"="), a.server.Count(acptest.TokenEndpoint))
			}
			// Who comes later, with the cookie that it kept, gets nothing.
			if w := a.serve(request("GET", p.Next.String(), a.cookieHeader())); w.Code != 400 || sets(w.Header(), sessionPrefix) {
				t.Errorf("CB-04 afterwards: %d", w.Code)
			}
		})
	}
}

// RF-19, SE-19: a refresh that fails because of the logout does not take the logout back,
// neither for a cookie that another process refreshed meanwhile.
func TestLateRefusalDoesNotUndoTheLogout(t *testing.T) {
	a := newApp(t, func(s *setup) { s.server.AccessTokenTTL = 5 * time.Minute })
	a.login()
	held := a.cookieHeader()
	elsewhere := a.auth.WithGeneration(request("GET", site+"/", held), 7)
	a.clock.advance(10 * time.Minute)
	a.server.Tolerate(acptest.RuleRefreshReuse)
	release := a.server.Hold(acptest.TokenEndpoint)
	late := make(chan struct{})
	go func() { defer close(late); a.get("/token", held) }()
	if err := a.server.Wait(t.Context(), acptest.TokenEndpoint, 2); err != nil {
		t.Fatal(err)
	}
	a.serve(request("POST", site+"/logout", held)) // revokes the refresh token that is under way
	release()
	<-late
	for name, cookies := range map[string]string{"the cookie of before": held, "a later generation": cookiePairs(elsewhere)} {
		if code, body, _ := a.get("/profile", cookies); code != 303 {
			t.Errorf("%s: %d %q", name, code, body)
		}
	}
}

// Tokens that nobody will use do not stay alive at the server.
func TestRefusedLoginsAreRevoked(t *testing.T) {
	a := newApp(t, func(s *setup) {
		s.config.OnLogin = func(*http.Request, *middleware.Session, *acpclient.Tokens) error { return acpclient.ErrAccessDenied }
	})
	if p := a.browser.Navigate(site + "/profile"); p.Status() != 403 {
		t.Fatalf("%d", p.Status())
	}
	if err := a.auth.Close(t.Context()); err != nil { // which waits for what is under way
		t.Fatal(err)
	}
	if left := a.server.ActiveRefreshTokens(); len(left) != 0 {
		t.Errorf("%d refresh tokens are alive", len(left))
	}
}

// CF-01, AZ-34: options that no login could be started with stop the program.
func TestAuthorizeOptionsAreChecked(t *testing.T) {
	a := newApp(t, nil)
	config := a.config
	config.Authorize = &acpclient.AuthorizeOptions{Prompt: []string{"none", "login"}}
	if _, err := middleware.New(a.client, config); err == nil {
		t.Error("accepted")
	}
}

// AZ-38: an empty issuer is another one.
func TestLoginAtNoIssuer(t *testing.T) {
	a := newApp(t, nil)
	if w := a.serve(request("GET", site+"/login?iss=", "")); w.Code != 400 {
		t.Errorf("%d", w.Code)
	}
}
