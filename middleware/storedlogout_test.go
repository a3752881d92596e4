package middleware_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acptest"
)

// A logout: only from a page of ours, in the store before anything else, then at the server.
func TestStoredLogout(t *testing.T) { // LO-01 LO-02 SE-19
	c := newCluster(t, 2, func(s *setup) { s.config.PostLogoutRedirectURL = site + "/bye" })
	held := c.signIn()
	for name, row := range map[string]struct {
		method string
		header http.Header
		status int
	}{
		"LO-01 an image":       {"GET", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Dest": {"image"}}, 405},
		"LO-01 a link of ours": {"GET", http.Header{"Sec-Fetch-Site": {"same-origin"}}, 405},
		"LO-01 HEAD":           {"HEAD", nil, 405},
		"LO-01 a foreign form": {"POST", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}}, 403},
		"LO-01 a sibling":      {"POST", http.Header{"Sec-Fetch-Site": {"same-site"}, "Origin": {"https://www.app.example"}}, 403},
		"LO-01 a sandbox":      {"POST", http.Header{"Origin": {"null"}}, 403},
		"LO-01 two origins":    {"POST", http.Header{"Origin": {site, site}}, 403},
	} {
		r := request(row.method, site+"/logout", held)
		for k, v := range row.header {
			r.Header[k] = v
		}
		if w := c.serve(r); w.Code != row.status || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	c.alive("LO-01", held, true)
	revoked := false
	c.server.OnResponse(acptest.RevokeEndpoint, func(*acptest.Response) {
		revoked = !strings.Contains(c.store.dump(), "acp:s.") && strings.Contains(c.store.dump(), "acp:e.")
	})
	code, h := c.replicas[1].logout(held)
	to, err := url.Parse(h.Get("Location"))
	if err != nil || code != 303 || !deletes(h, sessionPrefix+"=") || to.Query().Get("id_token_hint") == "" || to.Query().Get("post_logout_redirect_uri") != site+"/bye" {
		t.Errorf("LO-02: %d to %s", code, to)
	}
	if !revoked || len(c.server.ActiveRefreshTokens()) != 0 {
		t.Error("LO-02 LO-08: the token was revoked before the store knew, or never")
	}
	c.alive("SE-19", held, false)
	if code, h := c.replicas[0].logout(held); code != 303 || h.Get("Location") != "/" {
		t.Errorf("a second logout: %d to %q", code, h.Get("Location"))
	}
}

// What fails at a logout keeps nobody signed in: the cookies go in any case, what the store did not
// take is said, and made up for.
func TestStoredLogoutFails(t *testing.T) { // LO-03 LO-08
	only := func(op, prefix string) func(context.Context, string, string) error {
		return func(_ context.Context, o, token string) error {
			if o == op && strings.HasPrefix(token, prefix) {
				return errStoreDown
			}
			return nil
		}
	}
	for name, row := range map[string]struct {
		store  func(context.Context, string, string) error
		server func(*acptest.Server)
		status int
	}{
		"the store":                 {func(context.Context, string, string) error { return errStoreDown }, nil, 503},
		"the tombstone":             {only("commit", "acp:e."), nil, 503},
		"the delete":                {only("delete", "acp:s."), nil, 503},
		"the read":                  {only("find", "acp:m."), nil, 303},
		"the server":                {nil, func(s *acptest.Server) { s.SetUnreachable(true) }, 303},
		"LO-08 a 500":               {nil, func(s *acptest.Server) { s.Handle(acptest.RevokeEndpoint, acptest.Answer(500, "text/plain", "")) }, 303},
		"LO-08 a 503":               {nil, func(s *acptest.Server) { s.Handle(acptest.RevokeEndpoint, acptest.Answer(503, "text/plain", "")) }, 303},
		"LO-08 a reset":             {nil, func(s *acptest.Server) { s.Handle(acptest.RevokeEndpoint, acptest.Reset()) }, 303},
		"the store, and the server": {only("", ""), func(s *acptest.Server) { s.SetUnreachable(true) }, 303},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 2, nil)
			held := c.signIn()
			if row.server != nil {
				row.server(c.server)
			}
			c.store.set(row.store)
			code, h := c.replicas[0].logout(held)
			if code != row.status || !deletes(h, sessionPrefix+"=") || code == 503 && h.Get("Retry-After") == "" {
				t.Errorf("LO-03: %d, %q", code, h.Values("Set-Cookie"))
			}
			c.store.set(nil)
			if code, _, _ := c.replicas[0].get("/profile", held); code != 303 {
				t.Errorf("LO-03: this replica goes on: %d", code)
			}
			if err := c.replicas[0].auth.Close(t.Context()); err != nil { // it need not wait for its next try
				t.Error(err)
			}
			c.alive("LO-03: when all is well again", held, false)
			if code, _ := c.replicas[0].logout(held); code != 303 {
				t.Errorf("LO-03: again: %d", code)
			}
		})
	}
}

// A response that was under way when its session ended, and that would have moved its time of use,
// takes no newer session's place in the browser.
func TestLateTouch(t *testing.T) { // LO-24 SE-19
	for name, end := range map[string]func(c *cluster, held string){
		"a logout":     func(c *cluster, held string) { c.replicas[1].logout(held) },
		"back-channel": func(c *cluster, _ string) { postLogoutToken(c.replicas[1].handler, c.server.LogoutToken(nil)) },
		"a new login": func(c *cluster, _ string) {
			c.handler = c.replicas[1].handler
			if p := c.browser.Navigate(site + "/login?return_to=/profile"); p.Body() != "alice" {
				c.t.Error(p.Status())
			}
		},
		"a store that went away": func(c *cluster, _ string) { c.store.down() },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 2, nil)
			held := c.signIn()
			c.clock.advance(2 * time.Minute)
			slow := c.replicas[0].auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				end(c, held)
				w.Write([]byte("late"))
			}))
			w := httptest.NewRecorder()
			slow.ServeHTTP(w, request("GET", site+"/", held))
			if w.Body.String() != "late" || w.Header().Get("Set-Cookie") != "" {
				t.Errorf("museum 34: %q", w.Header().Values("Set-Cookie"))
			}
		})
	}
	// And a session that goes on is moved, by whichever replica.
	c := newCluster(t, 2, nil)
	held := c.signIn()
	c.clock.advance(7 * time.Hour)
	_, _, h := c.replicas[1].get("/profile", held)
	c.clock.advance(7 * time.Hour)
	code, _, again := c.replicas[0].get("/profile", cookiesSet(h))
	if code != 200 || !sets(again, sessionPrefix) {
		t.Errorf("a session in use: %d", code)
	}
	if _, _, h := c.replicas[1].get("/profile", cookiesSet(again)); sets(h, sessionPrefix) {
		t.Error("each request writes the cookie")
	}
	if n := c.store.count("commit"); n != 3 {
		t.Errorf("%d writes for a login and its use", n)
	}
}

// A login takes the session of before away, in the store, too: that of the cookie, and that of the
// transaction where the cookie does not come (form_post).
func TestStoredLoginReplaces(t *testing.T) { // CB-33
	for _, mode := range []string{"query", "form_post"} {
		t.Run(mode, func(t *testing.T) {
			c := newCluster(t, 2, func(s *setup) { s.client.ResponseMode = mode })
			first := c.signIn()
			c.server.SetUser(acptest.User{Subject: "bob"})
			if p := c.browser.Navigate(site + "/login?return_to=/profile"); p.Body() != "bob" {
				t.Fatalf("%d %s", p.Status(), p.Body())
			}
			c.alive("CB-33: the session of before", first, false)
			c.alive("the new one", c.cookieHeader(), true)
		})
	}
}

// Not even where the store does not take its end.
func TestLoginReplacesInOutage(t *testing.T) { // CB-33 LO-03
	c := newCluster(t, 2, nil)
	first := c.signIn()
	c.store.set(func(_ context.Context, op, token string) error {
		if op == "commit" && strings.HasPrefix(token, "acp:e.") {
			return errStoreDown
		}
		return nil
	})
	if p := c.browser.Navigate(site + "/login?return_to=/profile"); p.Body() != "alice" {
		t.Fatalf("%d %s", p.Status(), p.Body())
	}
	c.store.set(nil)
	for _, r := range c.replicas {
		if err := r.auth.Close(t.Context()); err != nil { // it need not wait for its next try
			t.Error(err)
		}
	}
	c.alive("CB-33: the session of before", first, false)
	c.alive("the new one", c.cookieHeader(), true)
}

// The same callback again, after it was used: on every replica, with the session, to where the login led, without it
// 400; and after a login that failed, 400 in any case.
func TestStoredReplay(t *testing.T) { // CB-04
	for _, keeps := range []bool{true, false} {
		c := newCluster(t, 3, nil)
		begun := c.callback(c.browser, "/login?return_to=/other%3Fx%3D1")
		tx := c.cookieHeader()
		begun.Follow()
		held := c.cookieHeader()
		if keeps {
			held += "; " + tx // a client that does not delete cookies
		}
		for range 2 {
			for i, r := range c.replicas {
				code, _, h := r.get(begun.Next.RequestURI(), held)
				if code != 303 || h.Get("Location") != "/other?x=1" {
					t.Errorf("CB-04: replica %d: %d to %q", i, code, h.Get("Location"))
				}
				if code, _, h := r.get(begun.Next.RequestURI(), withoutSession(held)); code != 400 || sets(h, sessionPrefix) {
					t.Errorf("CB-04: replica %d, without the session: %d", i, code)
				}
				if code, _, _ := r.get("/callback?code=x&state=forged", held); code != 400 {
					t.Errorf("CB-01: replica %d, another state: %d", i, code)
				}
			}
		}
		if n := c.server.Count(acptest.TokenEndpoint); n != 1 {
			t.Errorf("CB-04: %d token requests", n)
		}
		c.alive("CB-04", held, true)
	}
	c := newCluster(t, 2, nil)
	held := c.signIn()
	begun := c.callback(c.browser, "/login?return_to=/other")
	tx := c.cookieHeader()
	c.server.OnTokenResponse(func(r *acptest.Response) { r.Status = 500 })
	for i := range 4 {
		if code, _, _ := c.replicas[i%2].get(begun.Next.RequestURI(), tx); code != 503 && i == 0 || code != 400 && i > 0 {
			t.Errorf("CB-04: a failed login, %d: %d", i, code)
		}
	}
	c.alive("the session of before", held, true)
}
