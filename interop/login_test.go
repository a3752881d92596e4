package interop_test

import (
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// environment is one authorization server, one application and one API, all running.
type environment struct {
	kind serverKind
	app  *webapp
	api  *resource
}

func startEnvironment(t *testing.T, kind serverKind, auth, appHost, responseMode string, lifetime time.Duration) *environment {
	t.Helper()
	c := newClient(t, auth, "http://"+net.JoinHostPort(appHost, freePort(t)))
	c.ResponseMode = responseMode
	api := startResource(t, lifetime)
	api.issuer = kind.start(t, "0", lifetime, c)
	return &environment{kind: kind, api: api, app: startWebapp(t, api.issuer, api.URL, c)}
}

// accessTokenLifetime is short enough to wait for its end, and long enough that a server
// which counts in whole seconds does not end a token before its client expects it.
const accessTokenLifetime = 12 * time.Second

func TestBrowser(t *testing.T) {
	for _, kind := range servers {
		for _, auth := range clientKinds {
			t.Run(kind.name+"/"+auth, func(t *testing.T) {
				t.Parallel()
				e := startEnvironment(t, kind, auth, kind.appHost, "", accessTokenLifetime)
				e.scenarios(t)
			})
		}
	}
}

// The transaction cookie of form_post is SameSite=None, which browsers accept on secure
// origins only. They count both names of loopback as such, also over http.
func TestBrowserFormPost(t *testing.T) {
	for _, kind := range servers {
		for _, host := range []string{"127.0.0.1", "localhost"} {
			t.Run(kind.name+"/"+host, func(t *testing.T) {
				t.Parallel()
				e := startEnvironment(t, kind, "client_secret_basic", host, "form_post", accessTokenLifetime)
				t.Run("signs in", e.signsIn)
				t.Run("refuses once", e.refusesOnce)
				t.Run("two tabs", e.twoTabs)
			})
		}
	}
}

func (e *environment) scenarios(t *testing.T) {
	t.Run("signs in", e.signsIn)
	t.Run("refuses once", e.refusesOnce)
	t.Run("two tabs", e.twoTabs)
	t.Run("back to the callback", e.backToCallback)
	t.Run("fetch", e.fetches)
	t.Run("signs out", e.signsOut)
	t.Run("refreshes", e.refreshes)
}

func (e *environment) signsIn(t *testing.T) {
	p := e.newProfile(t)
	p.open("/")
	if v := p.waitFor("the public page", p.atApp); v.Status != 200 {
		t.Fatalf("the public page: %s", v)
	}
	e.picture(p, "app-home")
	if seen := p.signIn(); !seen.login || !seen.consent {
		t.Errorf("login page seen: %t, consent page seen: %t; want both", seen.login, seen.consent)
	}
	e.picture(p, "app-profile")
	p.open("/")
	p.waitFor("the public page", p.atApp)
	e.picture(p, "app-home-signed-in")

	cookies := p.cookies()
	if len(cookies) == 0 {
		t.Error("signed in without a cookie")
	}
	for _, c := range cookies {
		if !c.HTTPOnly || c.Path != "/" || c.SameSite != network.CookieSameSiteLax {
			t.Errorf("cookie %s after the login: HttpOnly %t, Path %s, SameSite %s; want true, /, Lax",
				c.Name, c.HTTPOnly, c.Path, c.SameSite)
		}
	}
}

func (e *environment) refusesOnce(t *testing.T) {
	p := e.newProfile(t)
	p.open("/profile")
	v, seen := p.passServer(answers{deny: true})
	if !seen.consent || v.Status != http.StatusForbidden {
		t.Fatalf("after the refusal: consent page seen: %t, %s; want status 403", seen.consent, v)
	}
	e.picture(p, "app-refused")
	p.open("/")
	if got := p.fetch("/api/me", 1)[0]; got.Status != http.StatusUnauthorized {
		t.Errorf("/api/me after the refusal: %+v; want 401", got)
	}
	if seen := p.signIn(); !seen.consent {
		t.Error("no consent page at the second try, although nobody consented")
	}
}

func (e *environment) twoTabs(t *testing.T) {
	one := e.newProfile(t)
	two := one.newTab()
	atServer := func(v view) bool { return v.Login }
	one.open("/login?return_to=" + url.QueryEscape("/profile?tab=1"))
	one.waitFor("the login page in tab 1", atServer)
	two.open("/login?return_to=" + url.QueryEscape("/profile?tab=2"))
	two.waitFor("the login page in tab 2", atServer)
	for i, p := range []*tab{one, two} {
		v, _ := p.passServer(answers{})
		p.wantProfile(v)
		if want := e.app.origin + "/profile?tab=" + strconv.Itoa(i+1); v.URL != want {
			t.Errorf("tab %d ended at %s, want %s", i+1, v.URL, want)
		}
	}
	one.open("/profile")
	one.wantProfile(one.waitFor("tab 1 after both logins", one.atApp))
}

// The browser goes back to the callback's URL, as after a press on "back" or from its
// list of visited pages: it lands in the application, and stays signed in.
func (e *environment) backToCallback(t *testing.T) {
	p := e.newProfile(t)
	callback := make(chan string, 10)
	err := chromedp.Listen(p.ctx, func(event any) {
		request, ok := event.(*network.EventRequestWillBeSent)
		if ok && strings.HasPrefix(request.Request.URL, e.app.client.RedirectURL+"?") {
			callback <- request.Request.URL
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	p.signIn()
	visited := <-callback

	history, err := chromedp.Run(p.ctx, chromedp.NavigationEntries())
	if err != nil {
		t.Fatal(err)
	}
	entry := page.NavigationEntry{ID: -1}
	for _, old := range history.Entries {
		if strings.HasPrefix(old.URL, e.app.client.RedirectURL) {
			entry = *old
		}
	}
	if entry.ID >= 0 { // the callback answered with a page of its own
		p.do("going back", chromedp.NavigateToHistoryEntry(entry.ID))
	} else {
		p.open(strings.TrimPrefix(visited, e.app.origin))
	}
	v := p.waitFor("landing in the application", func(v view) bool {
		return p.atApp(v) && !strings.HasPrefix(v.URL, e.app.client.RedirectURL)
	})
	p.wantProfile(v)
	p.open("/profile")
	p.wantProfile(p.waitFor("the protected page", p.atApp))

	// The same URL in a browser that did not begin the login is refused.
	other := e.newProfile(t)
	other.open(strings.TrimPrefix(visited, e.app.origin))
	if v := other.waitFor("the callback in another browser", other.atApp); v.Status != http.StatusBadRequest {
		t.Errorf("the callback in another browser: %s; want status 400", v)
	}
	e.picture(other, "app-bad-callback")
}

func (e *environment) fetches(t *testing.T) {
	p := e.newProfile(t)
	p.open("/")
	p.waitFor("the public page", p.atApp)
	for _, path := range []string{"/api/me", "/api/call", "/profile"} {
		if got := p.fetch(path, 1)[0]; got.Status != http.StatusUnauthorized || got.Redirected {
			t.Errorf("fetch of %s without a session: %+v; want 401", path, got)
		}
	}
	if cookies := p.cookies(); len(cookies) != 0 {
		t.Errorf("a fetch without a session set the cookie %s", cookies[0].Name)
	}
	p.signIn()
	got := p.fetch("/api/me", 1)[0]
	var me struct{ Sub string }
	if err := json.Unmarshal([]byte(got.Body), &me); err != nil || got.Status != http.StatusOK || me.Sub != "alice" {
		t.Errorf("/api/me with a session: %+v (%v); want 200 and alice", got, err)
	}
}

func (e *environment) signsOut(t *testing.T) {
	p := e.newProfile(t)
	p.signIn()

	p.open("/logout")
	if v := p.waitFor("the answer to GET /logout", p.atApp); v.Status != http.StatusMethodNotAllowed {
		t.Errorf("logout by GET: %s; want status 405", v)
	}
	p.open("/profile")
	p.wantProfile(p.waitFor("the protected page after GET /logout", p.atApp))

	p.click(`form[action$="/logout"] [type=submit], form[action$="/logout"] button`)
	signedOut := p.waitFor("the end of the logout", func(v view) bool {
		if v.End && !v.Acted {
			e.picture(p, "server-logout")
			p.click(e.kind.endSession)
			return false
		}
		return !v.Acted && !v.End && v.Status == http.StatusOK
	})
	t.Logf("the logout ended at %s", signedOut)
	e.picture(p, "after-logout")

	p.open("/profile")
	p.waitFor("the login page, asked for again", func(v view) bool { return v.Login })
	p.open("/")
	p.waitFor("the public page", p.atApp)
	if got := p.fetch("/api/me", 1)[0]; got.Status != http.StatusUnauthorized {
		t.Errorf("/api/me after the logout: %+v; want 401", got)
	}
	p.signIn()
}

// The access token ends every few seconds; nobody notices. The servers rotate strictly:
// one refresh token sent twice would end the session.
func (e *environment) refreshes(t *testing.T) {
	p := e.newProfile(t)
	p.signIn()
	before := len(e.api.used())
	want := func(got fetched) {
		t.Helper()
		var answer struct {
			Status int
			Body   string
		}
		err := json.Unmarshal([]byte(got.Body), &answer)
		if err != nil || got.Status != http.StatusOK || answer.Status != http.StatusOK || !strings.Contains(answer.Body, `"alice"`) {
			t.Fatalf("/api/call: %+v (%v); want 200 around the API's 200 with alice", got, err)
		}
	}
	for tokens := before + 1; tokens <= before+3; tokens++ {
		eventually(t, "the API seeing another access token", func() (bool, string) {
			for _, got := range p.fetch("/api/call", 5) {
				want(got)
			}
			return len(e.api.used()) >= tokens, "no new token"
		})
	}
	p.open("/profile")
	p.wantProfile(p.waitFor("the protected page after three access tokens", p.atApp))
	for _, token := range e.api.used() {
		if strings.Contains(e.app.stderr.String(), token) {
			t.Error("the webapp logged an access token")
		}
	}
}

func TestServerDownAtStart(t *testing.T) {
	for _, kind := range servers {
		t.Run(kind.name, func(t *testing.T) {
			port := freePort(t)
			c := newClient(t, "client_secret_basic", "http://"+net.JoinHostPort(kind.appHost, freePort(t)))
			api := startResource(t, time.Hour)
			// Started once to learn its issuer, and stopped: down for now.
			t.Run("before", func(t *testing.T) { api.issuer = kind.start(t, port, time.Hour, c) })
			e := &environment{kind: kind, api: api, app: startWebapp(t, api.issuer, api.URL, c)}

			p := e.newProfile(t)
			p.open("/")
			p.waitFor("the public page", p.atApp)
			if got := p.fetch("/api/me", 1)[0]; got.Status != http.StatusUnauthorized {
				t.Errorf("/api/me while the server is down: %+v; want 401", got)
			}
			p.open("/profile")
			if v := p.waitFor("the answer while the server is down", p.atApp); v.Status != http.StatusServiceUnavailable {
				t.Errorf("the protected page while the server is down: %s; want status 503", v)
			}
			e.picture(p, "app-unavailable")

			if issuer := kind.start(t, port, time.Hour, c); issuer != api.issuer {
				t.Fatalf("the server came back as %s, was %s", issuer, api.issuer)
			}
			eventually(t, "the login page, now that the server is up", func() (bool, string) {
				p.open("/profile")
				v, err := p.look()
				if err != nil {
					return false, err.Error()
				}
				return v.Login, v.String()
			})
			v, _ := p.passServer(answers{})
			p.wantProfile(v)
		})
	}
}
