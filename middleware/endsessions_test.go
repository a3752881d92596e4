package middleware_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/middleware"
)

// sessionIn gives the session of a request at a replica.
func (r *replica) sessionIn(t *testing.T, cookies string) *middleware.Session {
	t.Helper()
	var s *middleware.Session
	serve(r.auth.LoadSession(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		s = middleware.SessionFromContext(q.Context())
	})), request("GET", site+"/", cookies))
	if s == nil {
		t.Fatal("no session")
	}
	return s
}

// A user ends all sessions, or all but the one that asks, and nobody else's; the next login is good.
func TestEndSessions(t *testing.T) {
	for _, but := range []bool{false, true} {
		c := newCluster(t, 2, nil)
		first, second := c.signIn(), c.signIn()
		c.server.SetUser(acptest.User{Subject: "bob"})
		c.browser.ClearCookies()
		c.browser.Navigate(site + "/profile")
		bob := c.cookieHeader()
		c.server.SetUser(acptest.User{})
		var except *middleware.Session
		if but {
			except = c.replicas[0].sessionIn(t, second)
		}
		for range 2 {
			if err := c.replicas[0].auth.EndSessions(t.Context(), c.server.Issuer, "alice", except); err != nil {
				t.Fatal(err)
			}
		}
		c.alive("the first", first, false)
		c.alive("the one that asked", second, but)
		c.alive("another user's", bob, true)
		c.clock.advance(time.Millisecond)
		third := c.signIn()
		c.alive("the next", third, true)
		c.alive("the one that asked, after the next login", second, but)
		c.clock.advance(6 * time.Minute)
		if code, _ := c.replicas[1].fetch("/token", second); code == 200 != but {
			t.Errorf("a refresh of the one that asked: %d", code)
		}
		if err := c.replicas[1].auth.EndSessions(t.Context(), c.server.Issuer, "alice", nil); err != nil {
			t.Fatal(err)
		}
		c.alive("the one that was spared, after all ended", second, false)
		c.alive("the next, after all ended", third, false)
	}
}

// A session that was ended cannot be spared afterwards by a request of its own that was under way, whoever
// ended it, and whichever word is stored last.
func TestLateExcept(t *testing.T) { // LO-24
	for name, end := range map[string]func(c *cluster, other, held string) error{
		"all sessions": func(c *cluster, _, _ string) error {
			return c.replicas[1].auth.EndSessions(context.Background(), c.server.Issuer, "alice", nil)
		},
		"the server": func(c *cluster, _, _ string) error {
			postLogoutToken(c.replicas[1].handler, c.server.LogoutToken(nil))
			return nil
		},
		"another session": func(c *cluster, other, _ string) error {
			return c.replicas[1].auth.EndSessions(context.Background(), c.server.Issuer, "alice", c.replicas[1].sessionIn(c.t, other))
		},
		"its own logout": func(c *cluster, _, held string) error { c.replicas[1].logout(held); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 2, nil)
			other, held := c.signIn(), c.signIn()
			thief := c.replicas[0].sessionIn(t, held)
			if err := end(c, other, held); err != nil {
				t.Fatal(err)
			}
			c.clock.advance(time.Second)
			if err := c.replicas[0].auth.EndSessions(t.Context(), c.server.Issuer, "alice", thief); !errors.Is(err, middleware.ErrSessionEnded) {
				t.Errorf("%v", err)
			}
			c.alive("the session that came too late", held, false)
			if name == "another session" || name == "its own logout" {
				c.alive("the other one", other, true)
			}
		})
	}
	// Even when the two cross: the word that ends all is stored while the other is on its way.
	for _, op := range []string{"find", "commit"} {
		c := newCluster(t, 2, nil)
		held := c.signIn()
		thief := c.replicas[0].sessionIn(t, held)
		crossed := false
		c.store.set(func(_ context.Context, o, token string) error {
			if o == op && strings.HasPrefix(token, "acp:x.") && !crossed {
				crossed = true
				c.store.mu.Lock()
				c.store.fault = nil
				c.store.mu.Unlock()
				if err := c.replicas[1].auth.EndSessions(context.Background(), c.server.Issuer, "alice", nil); err != nil {
					t.Error(err)
				}
			}
			return nil
		})
		err := c.replicas[0].auth.EndSessions(t.Context(), c.server.Issuer, "alice", thief)
		if c.store.set(nil); err != nil && !errors.Is(err, middleware.ErrSessionEnded) || !crossed {
			t.Errorf("%s: %v", op, err)
		}
		c.alive("crossed at "+op, held, false)
	}
}

func TestEndSessionsMistakes(t *testing.T) {
	c, other := newCluster(t, 1, nil), newCluster(t, 1, nil)
	held, foreign := c.signIn(), other.signIn()
	auth := c.replicas[0].auth
	if err := auth.EndSessions(t.Context(), c.server.Issuer, "", nil); err == nil {
		t.Error("no subject: no error")
	}
	for name, except := range map[string]*middleware.Session{
		"zero": {}, "another application's": other.replicas[0].sessionIn(t, foreign),
		"a test's": middleware.SessionFromContext(acptest.WithUser(request("GET", site, ""), "alice", nil).Context()),
	} {
		if err := auth.EndSessions(t.Context(), c.server.Issuer, "alice", except); err == nil {
			t.Errorf("except %s: no error", name)
		}
	}
	c.store.down()
	for _, except := range []*middleware.Session{nil} {
		if err := auth.EndSessions(t.Context(), c.server.Issuer, "alice", except); !errors.Is(err, acpclient.ErrUnavailable) {
			t.Errorf("a store that is down: %v", err)
		}
	}
	c.store.set(nil)
	c.alive("after nothing but errors", held, true)
	plain := newApp(t, nil)
	if err := plain.auth.EndSessions(t.Context(), plain.server.Issuer, "alice", nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("without a Store: %v", err)
	}
}
