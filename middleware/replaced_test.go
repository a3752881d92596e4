package middleware_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// A login that one user began is not finished in the browser of another, signed in or not.
func TestLoginOfAnotherBrowser(t *testing.T) { // AZ-37
	a := newApp(t, nil)
	a.login()
	begun := a.callback(a.browser, "/login?return_to=/other") // by alice, who is signed in
	a.server.SetUser(acptest.User{Subject: "bob"})
	bob := a.server.Browser()
	bob.Mount(site, a.handler)
	tokens := a.server.Count(acptest.TokenEndpoint)
	for _, signedIn := range []bool{false, true} {
		if signedIn {
			if p := bob.Navigate(site + "/profile"); p.Body() != "bob" {
				t.Fatalf("bob's own login: %d %s", p.Status(), p.Body())
			}
			bob.NavigateUntil(site+"/login", func(u *url.URL) bool { return u.Path == "/callback" }) // one of his own is under way
			tokens++
		}
		p := bob.NavigateFrom("https://evil.example/", begun.Next.String())
		if p.Status() != 400 || len(p.Steps) != 1 || sets(p.Last().ResponseHeader, sessionPrefix) || deletes(p.Last().ResponseHeader, sessionPrefix+"=") {
			t.Errorf("AZ-37 signed in %v: %d %v", signedIn, p.Status(), p.Last().SetCookies)
		}
		if n := a.server.Count(acptest.TokenEndpoint); n != tokens {
			t.Errorf("AZ-37 signed in %v: %d token requests, want %d", signedIn, n, tokens)
		}
	}
	if p := bob.Navigate(site + "/profile"); p.Body() != "bob" || len(p.Steps) != 1 {
		t.Errorf("AZ-37: bob is now %q after %d steps", p.Body(), len(p.Steps))
	}
	if p := begun.Follow(); p.Body() != "alice" || p.URL().Path != "/other" {
		t.Errorf("AZ-37: alice's own browser: %d %s", p.Status(), p.Body())
	}
}

// A cookie that is no session any more is taken away by the answer that says so.
func TestDeadSessionIsCleared(t *testing.T) { // SE-20
	for name, kill := range map[string]func(a *app, held string) string{
		"garbage":   func(*app, string) string { return sessionPrefix + "=1.AAAA" },
		"two parts": func(_ *app, held string) string { return held + "; " + sessionPrefix + ".1=x" },
		"too old":   func(a *app, held string) string { a.clock.advance(9 * time.Hour); return held },
		"other key": func(a *app, held string) string {
			a.config.CookieKeys = [][]byte{randomKey()}
			a.restart()
			return held
		},
		"logged out": func(a *app, held string) string { a.serve(request("POST", site+"/logout", held)); return held },
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, nil)
			a.login()
			held := kill(a, a.cookieHeader())
			served := a.served.Load()
			for _, row := range []struct {
				path, mode string
				status     int
			}{{"/profile", "navigate", 303}, {"/profile", "cors", 401}, {"/public", "navigate", 200}} {
				r := request("GET", site+row.path, held)
				r.Header.Set("Sec-Fetch-Mode", row.mode)
				w := a.serve(r)
				if w.Code != row.status || sets(w.Header(), sessionPrefix) {
					t.Errorf("SE-20 %s %s: %d", row.path, row.mode, w.Code)
				}
				for pair := range strings.SplitSeq(held, "; ") {
					if name, _, _ := strings.Cut(pair, "="); !deletes(w.Header(), name+"=") {
						t.Errorf("SE-20 %s %s: %s stays", row.path, row.mode, name)
					}
				}
			}
			if n := a.served.Load() - served; n != 1 {
				t.Errorf("SE-20: %d handlers were called, want that of /public", n)
			}
		})
	}
}

// A login that is only begun takes nothing away: any site can begin one. One
// that ends replaces the session, all cookies of a longer one included.
func TestNewLoginReplacesSession(t *testing.T) { // SE-20 SE-09
	for _, mode := range []string{"query", "form_post"} {
		t.Run(mode, func(t *testing.T) {
			a := newApp(t, func(s *setup) {
				s.client.ResponseMode = mode
				s.config.Authorize = &acpclient.AuthorizeOptions{Prompt: []string{"login"}}
			})
			now := time.Now()
			long, err := a.auth.SessionCookies(tokensOf(6000), now, now)
			if err != nil || len(long) < 4 {
				t.Fatalf("%d cookies, %v", len(long), err)
			}
			for _, c := range long {
				if dropped := a.browser.SetCookie(site, c.String()+"; Path=/; Secure; HttpOnly; SameSite=Lax"); dropped != "" {
					t.Fatal(dropped)
				}
			}
			a.callback(a.browser, "/login?return_to=/profile")
			if len(a.cookies(sessionPrefix)) != len(long) {
				t.Error("SE-20: a login that was only begun touched the session")
			}
			if p := a.browser.Tab().Navigate(site + "/public"); p.Body() != "alice" {
				t.Errorf("SE-20: the session during a login: %q", p.Body())
			}
			a.server.SetUser(acptest.User{Subject: "bob"})
			begun := a.callback(a.browser, "/login?return_to=/profile")
			asked := a.server.Count(acptest.AuthorizeEndpoint)
			if p := begun.Follow(); p.Body() != "bob" || a.server.Count(acptest.AuthorizeEndpoint) != asked {
				t.Errorf("SE-20: ended as %q, after %d more authorize requests", p.Body(), a.server.Count(acptest.AuthorizeEndpoint)-asked)
			}
			if left := a.cookies(sessionPrefix); len(left) != 1 {
				t.Errorf("SE-09: %d session cookies are left", len(left))
			}
			if code, body, _ := a.get("/profile", cookiePairs(long)); code == 200 {
				t.Errorf("CB-33: the session of before still serves %q", body)
			}
		})
	}
}

// Two logins that began without a session leave one session, the later.
func TestTwoTabsLeaveOneSession(t *testing.T) { // CB-33
	a := newApp(t, nil)
	first, second := a.callback(a.browser, "/profile"), a.callback(a.browser.Tab(), "/other")
	first.Follow()
	held := a.cookieHeader()
	if p := second.Follow(); p.Body() != "alice" || a.cookieHeader() == held {
		t.Fatalf("%d %s", p.Status(), p.Body())
	}
	if code, _, _ := a.get("/profile", held); code != 303 {
		t.Errorf("CB-33: the first session still serves: %d", code)
	}
}

// What the login was asked to return to survives a callback that is posted.
func TestReturnToOverFormPost(t *testing.T) {
	a := newApp(t, func(s *setup) { s.client.ResponseMode = "form_post" })
	for to, want := range map[string]string{
		"/other?x=1&y=%2F#part": "/other?x=1&y=%2F#part", "//evil.example": "/", "/callback": "/", "": "/",
	} {
		p := a.browser.Navigate(site + "/login?return_to=" + url.QueryEscape(to))
		callback := p.Steps[len(p.Steps)-2]
		if callback.Method != "POST" || callback.URL.Path != "/callback" || callback.Status != http.StatusSeeOther ||
			callback.ResponseHeader.Get("Location") != want || p.Last().Method != "GET" || p.Status() != 200 {
			t.Errorf("%q: %s, then %s with %d", to, callback, p.Last(), p.Status())
		}
		isPrivate(t, callback.ResponseHeader)
		for _, s := range p.Steps {
			if strings.Contains(s.URL.RawQuery+string(s.Body), url.QueryEscape("evil.example")) && s.URL.Path != "/login" {
				t.Errorf("AZ-29: %s", s)
			}
		}
	}
}
