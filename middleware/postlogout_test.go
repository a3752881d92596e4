package middleware_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/acp-go/acp/acptest"
)

const logoutCookie = "__Host-acp_logout"

// bye is an application whose page at /bye is for those who signed out; shown counts its views.
func newBye(t *testing.T, edit func(*setup)) (a *app, shown *int) {
	t.Helper()
	a = newApp(t, func(s *setup) {
		s.config.PostLogoutRedirectURL = site + "/bye"
		if edit != nil {
			edit(s)
		}
	})
	shown = new(int)
	page := a.auth.PostLogout(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		*shown++
		fmt.Fprint(w, "goodbye")
	}))
	inner := a.handler
	a.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bye" {
			page.ServeHTTP(w, r)
			return
		}
		inner.ServeHTTP(w, r)
	})
	return a, shown
}

// A logout ends at the application's page, once, by way of the server.
func TestPostLogout(t *testing.T) { // LO-02 SE-21
	a, shown := newBye(t, nil)
	a.login()
	p := a.browser.PostFrom(site+"/profile", site+"/logout", nil)
	if p.Body() != "goodbye" || p.URL().Path != "/bye" || len(p.URL().Query().Get("state")) < 26 || *shown != 1 {
		t.Fatalf("LO-02: %d %s at %s\n%s", p.Status(), p.Body(), p.URL(), a.logs)
	}
	if at := a.server.Count(acptest.LogoutEndpoint); at != 1 {
		t.Errorf("LO-02: %d requests to end the session", at)
	}
	var given, taken string
	for _, step := range p.Steps {
		for _, line := range step.ResponseHeader.Values("Set-Cookie") {
			if value, ok := strings.CutPrefix(line, logoutCookie+"="); ok {
				given, taken = taken, value
			}
		}
	}
	state := p.URL().Query().Get("state")
	if given != state+"; Path=/; Max-Age=600; HttpOnly; Secure; SameSite=Lax" ||
		taken != "; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; HttpOnly; Secure; SameSite=Lax" {
		t.Errorf("SE-21: given %q, taken %q", given, taken)
	}
	if p.Steps[len(p.Steps)-1].ResponseHeader.Get("Cache-Control") != "no-store" {
		t.Error("the page is kept")
	}
	if again := a.browser.Navigate(p.URL().String()); again.Body() != "home" || *shown != 1 {
		t.Errorf("a reload: %s", again.Body())
	}
	if first := state; a.signOut().Query().Get("state") == first {
		t.Error("one state for two logouts")
	}
}

// Whoever links to the page shows nobody anything, and takes nothing away.
func TestPostLogoutAttacks(t *testing.T) { // LO-02 LO-04
	for name, row := range map[string]struct {
		edit   func(r *http.Request, state string)
		status int
	}{
		"no state":         {func(r *http.Request, _ string) { r.URL.RawQuery = "" }, 303},
		"an empty one":     {func(r *http.Request, _ string) { r.URL.RawQuery = "state=" }, 303},
		"another state":    {func(r *http.Request, _ string) { r.URL.RawQuery = "state=evil" }, 303},
		"twice":            {func(r *http.Request, s string) { r.URL.RawQuery += "&state=" + s }, 303},
		"in lower case":    {func(r *http.Request, s string) { r.URL.RawQuery = "state=" + strings.ToLower(s) }, 303},
		"a prefix":         {func(r *http.Request, s string) { r.URL.RawQuery = "state=" + s[:25] }, 303},
		"a semicolon":      {func(r *http.Request, s string) { r.URL.RawQuery += ";x=y" }, 303},
		"too long":         {func(r *http.Request, _ string) { r.URL.RawQuery += "&x=" + strings.Repeat("x", 20<<10) }, 303},
		"another browser":  {func(r *http.Request, _ string) { r.Header.Del("Cookie") }, 303},
		"an empty cookie":  {func(r *http.Request, _ string) { r.Header.Set("Cookie", logoutCookie+"="); r.URL.RawQuery = "state=" }, 303},
		"another's cookie": {func(r *http.Request, s string) { r.Header.Set("Cookie", "acp_logout="+s) }, 303},
		"five copies": {func(r *http.Request, s string) {
			r.Header.Set("Cookie", strings.Repeat(logoutCookie+"=evil; ", 4)+logoutCookie+"="+s)
		}, 303},
		"where to": {func(r *http.Request, _ string) {
			r.URL.RawQuery = "state=evil&return_to=//evil.example&redirect=https://evil.example"
		}, 303},
		"HEAD":       {func(r *http.Request, _ string) { r.Method = "HEAD" }, 405},
		"POST":       {func(r *http.Request, _ string) { r.Method = "POST" }, 405},
		"a prefetch": {func(r *http.Request, _ string) { r.Header.Set("Sec-Purpose", "prefetch;prerender") }, 405},
	} {
		t.Run(name, func(t *testing.T) {
			a, shown := newBye(t, nil)
			back := a.signOut()
			state := back.Query().Get("state")
			r := request("GET", back.String(), a.cookieHeader())
			row.edit(r, state)
			w := serve(a.handler, r)
			if w.Code != row.status || *shown != 0 || w.Header().Get("Set-Cookie") != "" {
				t.Errorf("%d, shown %d times, %q", w.Code, *shown, w.Header().Values("Set-Cookie"))
			}
			if row.status == 303 && (w.Header().Get("Location") != "/" || w.Body.Len() != 0) || strings.Contains(fmt.Sprint(w.Header(), w.Body), "evil") {
				t.Errorf("LO-04: %v %s", w.Header(), w.Body)
			}
			isPrivate(t, w.Header())
			if p := a.browser.Navigate(back.String()); p.Body() != "goodbye" || *shown != 1 {
				t.Errorf("the genuine one afterwards: %d %s", p.Status(), p.Body())
			}
		})
	}
}

// signOut stops the browser when it comes back.
func (a *app) signOut() *url.URL {
	a.t.Helper()
	inner := a.handler
	var back *url.URL
	a.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bye" {
			back = r.URL
			return
		}
		inner.ServeHTTP(w, r)
	})
	a.login()
	a.browser.PostFrom(site+"/profile", site+"/logout", nil)
	if a.handler = inner; back == nil || back.Query().Get("state") == "" {
		a.t.Fatalf("the browser came back to %v\n%s", back, a.logs)
	}
	back.Scheme, back.Host = "https", "app.example"
	return back
}

// Before the default page itself it leads nobody in circles.
func TestPostLogoutAtDefaultPath(t *testing.T) {
	a, _ := newBye(t, func(s *setup) { s.config.DefaultPath = "/bye" })
	if p := a.browser.Navigate(site + "/bye?state=evil"); p.Status() != 404 || len(p.Steps) != 2 {
		t.Errorf("%d after %d steps", p.Status(), len(p.Steps))
	}
	a.login()
	if p := a.browser.PostFrom(site+"/profile", site+"/logout", nil); p.Body() != "goodbye" {
		t.Errorf("%d %s", p.Status(), p.Body())
	}
}

// Where the browser does not come back there is no cookie, and without the handler the logout is as good.
func TestLogoutStateIsOptional(t *testing.T) { // LO-07
	for name, row := range map[string]struct {
		edit func(*setup)
		set  bool
	}{
		"without the handler":        {func(s *setup) { s.config.PostLogoutRedirectURL = site + "/public" }, true},
		"it stays at the server":     {nil, false},
		"LO-07 a server without any": {func(s *setup) { s.config.PostLogoutRedirectURL = site + "/public" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, row.edit)
			if strings.HasPrefix(name, "LO-07") {
				a.server.OnMetadata(func(m map[string]any) { delete(m, "end_session_endpoint") })
			}
			a.login()
			p := a.browser.PostFrom(site+"/profile", site+"/logout", nil)
			if sets(p.Steps[0].ResponseHeader, logoutCookie+"=") != row.set || row.set && (p.Body() != "nobody" || p.URL().Path != "/public") {
				t.Errorf("%d %s at %s", p.Status(), p.Body(), p.URL())
			}
		})
	}
}
