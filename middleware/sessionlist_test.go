package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/middleware"
)

// listed are the ids of a user's sessions, which every replica lists alike.
func (c *cluster) listed(subject string) (ids []string) {
	c.t.Helper()
	for i, r := range c.replicas {
		entries, err := r.auth.Sessions(c.t.Context(), c.server.Issuer, subject)
		if err != nil {
			c.t.Fatal(err)
		}
		var here []string
		for j, e := range entries {
			if here = append(here, e.ID); j > 0 && e.CreatedAt.After(entries[j-1].CreatedAt) {
				c.t.Error("the newest is not first")
			}
		}
		if i > 0 && fmt.Sprint(here) != fmt.Sprint(ids) {
			c.t.Errorf("replica %d lists %v, another %v", i, here, ids)
		}
		ids = here
	}
	return ids
}

// signInAs is a login of a user, a second after the one before.
func (c *cluster) signInAs(subject string) (cookies, id string) {
	c.t.Helper()
	c.clock.advance(time.Second)
	c.server.SetUser(acptest.User{Subject: subject})
	c.browser.ClearCookies()
	if p := c.browser.Navigate(site + "/profile"); p.Body() != subject {
		c.t.Fatalf("%d %s\n%s", p.Status(), p.Body(), c.logs)
	}
	cookies = c.cookieHeader()
	return cookies, c.replicas[0].sessionIn(c.t, cookies).ID()
}

func (c *cluster) wantListed(what, subject string, want ...string) {
	c.t.Helper()
	if got := c.listed(subject); fmt.Sprint(got) != fmt.Sprint(want) {
		c.t.Errorf("%s: %s has %v, want %v", what, subject, got, want)
	}
}

// However a session ends, it is not listed any more, at whatever replica, and the others are.
func TestSessions(t *testing.T) { // LO-02 LO-09 LO-24 SE-17 SE-19
	for name, end := range map[string]func(c *cluster, held, id string){
		"its logout": func(c *cluster, held, _ string) { c.replicas[1].logout(held) },
		"EndSession": func(c *cluster, _, id string) {
			if err := c.replicas[1].auth.EndSession(c.t.Context(), c.server.Issuer, "alice", id); err != nil {
				c.t.Error(err)
			}
		},
		"LO-09 back-channel": func(c *cluster, held, _ string) {
			var id struct {
				SID string `json:"sid"`
			}
			if err := c.replicas[0].sessionIn(c.t, held).Claims(&id); err != nil || id.SID == "" {
				c.t.Fatal(err, "no sid")
			}
			if w := postLogoutToken(c.handler, c.server.LogoutToken(map[string]any{"sid": id.SID})); w.Code != 200 {
				c.t.Error(w.Code)
			}
		},
		"a login that takes its place": func(c *cluster, held, _ string) {
			c.browser.ClearCookies()
			begun := c.callback(c.browser, "/login?return_to=/other")
			tx := c.cookieHeader()
			if w := serve(c.handler, request("GET", begun.Next.String(), held+"; "+tx)); w.Code != 303 {
				c.t.Error(w.Code)
			} else {
				c.replicas[0].logout(cookiesSet(w.Header()))
			}
		},
		"its record is lost": func(c *cluster, held, _ string) {
			delete(c.store.values, c.replicas[0].auth.RecordToken(request("GET", site+"/", held)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 2, nil)
			c.wantListed("nobody", "alice")
			first, one := c.signInAs("alice")
			ended, two := c.signInAs("alice")
			third, three := c.signInAs("alice")
			bobs, bob := c.signInAs("bob")
			c.server.SetUser(acptest.User{})
			c.wantListed("before", "alice", three, two, one)
			c.wantListed("before", "bob", bob)
			end(c, ended, two)
			c.wantListed("after", "alice", three, one)
			c.wantListed("after", "bob", bob)
			c.alive("the one that ended", ended, false)
			for _, held := range []string{first, third, bobs} {
				c.alive("another one", held, true)
			}
		})
	}
	// All at once, or all others, or by their age.
	c := newCluster(t, 2, nil)
	held, one := c.signInAs("alice")
	c.signInAs("alice")
	if err := c.replicas[0].auth.EndSessions(t.Context(), c.server.Issuer, "alice", c.replicas[0].sessionIn(t, held)); err != nil {
		t.Fatal(err)
	}
	c.wantListed("all others ended", "alice", one)
	_, two := c.signInAs("alice")
	c.wantListed("and a login afterwards", "alice", two, one)
	if err := c.replicas[0].auth.EndSessions(t.Context(), c.server.Issuer, "alice", nil); err != nil {
		t.Fatal(err)
	}
	c.wantListed("all ended", "alice")
	c.clock.advance(time.Second)
	_, three := c.signInAs("alice")
	c.clock.advance(24*time.Hour - time.Second)
	c.wantListed("SE-17 a second before its absolute end", "alice", three)
	c.clock.advance(time.Second)
	c.wantListed("SE-17 its absolute end", "alice")
}

// The server ended it, which a refused refresh tells.
func TestSessionsRefused(t *testing.T) { // RF-08
	c := newCluster(t, 2, nil)
	held, _ := c.signInAs("alice")
	c.clock.advance(6 * time.Minute)
	c.server.RevokeTokens()
	c.replicas[0].fetch("/token", held)
	c.wantListed("RF-08", "alice")
}

// What an id may not do: end the session of another user, or open one.
func TestEndSessionAttacks(t *testing.T) { // SE-15
	c := newCluster(t, 2, nil)
	alices, alice := c.signInAs("alice")
	bobs, bob := c.signInAs("bob")
	auth := c.replicas[0].auth
	for name, row := range map[string]struct{ issuer, subject, id string }{
		"another user's":      {c.server.Issuer, "alice", bob},
		"a user of elsewhere": {"https://other.example", "bob", bob},
		"nobody's":            {c.server.Issuer, "alice", "AAAAAAAAAAAAAAAAAAAAAA"},
		"empty":               {c.server.Issuer, "alice", ""},
		"another spelling":    {c.server.Issuer, "bob", bob + "="},
		"a prefix":            {c.server.Issuer, "bob", bob[:21]},
		"all":                 {c.server.Issuer, "bob", "*"},
	} {
		if err := auth.EndSession(t.Context(), row.issuer, row.subject, row.id); !errors.Is(err, middleware.ErrSessionEnded) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c.alive("alice's", alices, true)
	c.alive("bob's", bobs, true)
	for _, cookie := range []string{alice, "1." + alice} {
		c.alive("SE-15 an id as a cookie", sessionPrefix+"="+cookie, false)
	}
	// Places that change their owners in the store name nobody's sessions.
	var tokens []string
	c.store.each("acp:u.", func(token string, v memValue) memValue { tokens = append(tokens, token); return v })
	c.store.mu.Lock()
	c.store.values[tokens[0]], c.store.values[tokens[1]] = c.store.values[tokens[1]], c.store.values[tokens[0]]
	c.store.mu.Unlock()
	c.wantListed("SE-28 swapped", "alice")
	c.wantListed("SE-28 swapped", "bob")
	for name, b := range map[string]string{"SE-28 empty": "", "SE-28 text": "OK", "SE-28 a mark": "\x01"} {
		c.store.each("acp:u.", func(_ string, v memValue) memValue { v.b = []byte(b); return v })
		c.wantListed(name, "alice")
	}
	// Nor does it go on after its end, in an outage.
	carols, carol := c.signInAs("carol")
	c.store.down()
	if err := auth.EndSession(t.Context(), c.server.Issuer, "carol", carol); !errors.Is(err, acpclient.ErrUnavailable) {
		t.Errorf("LO-03: %v", err)
	}
	if _, err := auth.Sessions(t.Context(), c.server.Issuer, "carol"); !errors.Is(err, acpclient.ErrUnavailable) {
		t.Errorf("SE-27: %v", err)
	}
	c.store.set(nil)
	c.alive("after nothing but errors", carols, true)
	c.store.set(func(_ context.Context, op, _ string) error {
		if op == "commit" {
			return errStoreDown
		}
		return nil
	})
	c.replicas[0].logout(carols)
	c.store.set(nil)
	if entries, err := auth.Sessions(t.Context(), c.server.Issuer, "carol"); err != nil || len(entries) != 0 {
		t.Errorf("LO-03: an end that the store did not take is listed: %v %v", entries, err)
	}
}

// A user has a bounded number of places: those of sessions that are over are taken first, then the oldest.
func TestPlacesAreBounded(t *testing.T) { // RL-18
	c := newCluster(t, 1, nil)
	places := func() int { return strings.Count(c.store.dump(), "acp:u.") }
	var cookies, ids []string
	signIn := func() {
		held, id := c.signInAs("alice")
		cookies, ids = append(cookies, held), append([]string{id}, ids...)
	}
	for range middleware.RosterSize {
		signIn()
	}
	c.wantListed("as many as there are places", "alice", ids...)
	signIn()
	c.wantListed("one more", "alice", ids[:middleware.RosterSize]...)
	for _, held := range cookies {
		c.alive("RL-18: listed or not", held, true)
	}
	delete(c.store.values, c.replicas[0].auth.RecordToken(request("GET", site+"/", cookies[5])))
	before := ids[:middleware.RosterSize]
	gone := len(ids) - 1 - 5
	signIn()
	want := append([]string{ids[0]}, before[:gone]...)
	c.wantListed("the place of one that is over", "alice", append(want, before[gone+1:]...)...)
	if n := places(); n != middleware.RosterSize {
		t.Errorf("RL-18: %d places", n)
	}
	for _, held := range cookies {
		c.replicas[0].logout(held)
	}
	if c.wantListed("nobody", "alice"); places() != 0 {
		t.Errorf("RL-18: %d places are left", places())
	}
}

// Those who log in at the same moment take different places.
func TestPlacesInParallel(t *testing.T) {
	c := newCluster(t, 2, nil)
	const logins = 12
	var wg sync.WaitGroup
	for i := range logins {
		b := c.server.Browser()
		b.Mount(site, c.replicas[i%2].handler)
		wg.Go(func() {
			if p := b.Navigate(site + "/profile"); p.Body() != "alice" {
				t.Errorf("%d %s", p.Status(), p.Body())
			}
		})
	}
	wg.Wait()
	if n := len(c.listed("alice")); n != logins {
		t.Errorf("%d of %d logins are listed", n, logins)
	}
	for token, v := range c.store.values {
		if len(token) > 43 {
			t.Errorf("%s has %d characters", token, len(token))
		}
		if until := c.clock.now().Add(24 * time.Hour); strings.HasPrefix(token, "acp:u.") && (v.expiry.After(until) || v.expiry.Before(until.Add(-time.Minute))) {
			t.Errorf("SE-31: a place ends at %s", v.expiry)
		}
	}
}

// Of two that see the same last place empty one gets it, and keeps it.
func TestLastPlace(t *testing.T) {
	c := newCluster(t, 1, nil)
	for range middleware.RosterSize - 1 {
		c.signInAs("alice")
	}
	c.browser.ClearCookies()
	begun := c.callback(c.browser, "/login?return_to=/other")
	tx, first := c.cookieHeader(), ""
	var once sync.Once
	c.store.set(func(_ context.Context, op, token string) error {
		if op != "find" && strings.HasPrefix(token, "acp:u.") {
			once.Do(func() {
				c.store.set(nil)
				_, first = c.signInAs("alice")
			})
		}
		return nil
	})
	w := serve(c.handler, request("GET", begun.Next.String(), tx))
	if ids := c.listed("alice"); w.Code != 303 || len(ids) != middleware.RosterSize || !slices.Contains(ids, first) {
		t.Errorf("%d: %v, without %s", w.Code, ids, first)
	}
	c.alive("the one that came second", cookiesSet(w.Header()), true)
}

// A store without Add, whose writes are looked at afterwards.
func TestPlacesWithoutAdd(t *testing.T) {
	c := newCluster(t, 2, func(s *setup) { s.config.Store = plainStore{&memStore{}} })
	_, one := c.signInAs("alice")
	held, two := c.signInAs("alice")
	c.wantListed("without Add", "alice", two, one)
	c.replicas[1].logout(held)
	c.wantListed("without Add", "alice", one)
}

// A place is worth no login: whatever the store does of it, the login succeeds, and soon.
func TestLoginWithoutPlace(t *testing.T) { // RL-23
	for name, fault := range map[string]func(ctx context.Context, op, token string) error{
		"find":   func(_ context.Context, op, _ string) error { return map[string]error{"find": errStoreDown}[op] },
		"add":    func(_ context.Context, op, _ string) error { return map[string]error{"add": errStoreDown}[op] },
		"commit": func(_ context.Context, op, _ string) error { return map[string]error{"commit": errStoreDown}[op] },
		"panics": func(context.Context, string, string) error { panic("broken") },
		"silent": hang,
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 1, nil)
			begun := c.callback(c.browser, "/login?return_to=/other")
			c.store.set(func(ctx context.Context, op, token string) error {
				if strings.HasPrefix(token, "acp:u.") {
					return fault(ctx, op, token)
				}
				return nil
			})
			const timeout = 4 * time.Second
			c.replicas[0].auth.SetStoreTimeout(timeout)
			start := time.Now()
			w := serve(c.handler, request("GET", begun.Next.String(), c.cookieHeader()))
			if took := time.Since(start); w.Code != 303 || took >= timeout {
				t.Errorf("RL-23: %d after %s", w.Code, took)
			}
			held := cookiesSet(w.Header())
			c.alive("without a place", held, true)
			if code, _ := c.replicas[0].logout(held); code != 303 {
				t.Errorf("RL-23: a logout: %d", code)
			}
			c.store.set(nil)
			c.wantListed("without a place", "alice")
		})
	}
}

// What was sealed under an older key is read, and under one that is gone it is an empty place.
func TestPlacesAndKeys(t *testing.T) { // SE-07 RL-33
	c := newCluster(t, 1, nil)
	_, one := c.signInAs("alice")
	older := c.config.CookieKeys
	c.config.CookieKeys = [][]byte{randomKey(), older[0]}
	c.start()
	c.balance()
	c.wantListed("SE-07: an older key", "alice", one)
	c.config.CookieKeys = c.config.CookieKeys[:1]
	c.replicas = nil
	c.start()
	c.balance()
	c.wantListed("SE-07: the key is gone", "alice")
	_, two := c.signInAs("alice")
	c.wantListed("SE-07: the next login", "alice", two)
}

// Who has no name has no list, and without a Store there is none.
func TestSessionsMistakes(t *testing.T) {
	c := newCluster(t, 1, func(s *setup) { s.client.Scopes = []string{"profile"} })
	if p := c.browser.Navigate(site + "/profile"); p.Status() != 200 || strings.Contains(c.store.dump(), "acp:u.") {
		t.Errorf("without openid: %d\n%s", p.Status(), c.logs)
	}
	plain := newApp(t, nil)
	for _, auth := range []*middleware.Authenticator{c.replicas[0].auth, plain.auth} {
		entries, err := auth.Sessions(t.Context(), c.server.Issuer, "")
		if again := auth.EndSession(t.Context(), c.server.Issuer, "", ""); err == nil || again == nil || entries != nil {
			t.Errorf("no subject: %v, %v", err, again)
		}
	}
	if _, err := plain.auth.Sessions(t.Context(), plain.server.Issuer, "alice"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("without a Store: %v", err)
	}
	if err := plain.auth.EndSession(t.Context(), plain.server.Issuer, "alice", "x"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("without a Store: %v", err)
	}
	var none *middleware.Session
	made := middleware.SessionFromContext(acptest.WithUser(request("GET", site, ""), "alice", nil).Context())
	if none.ID() != "" || made.ID() != "" {
		t.Error("an id of no session")
	}
}

// The id is that of the session through its refreshes, and a new one with each login.
func TestSessionID(t *testing.T) {
	c := newCluster(t, 2, nil)
	held, id := c.signInAs("alice")
	c.clock.advance(6 * time.Minute)
	if code, _ := c.replicas[0].fetch("/token", held); code != 200 {
		t.Fatal(code)
	}
	if again := c.replicas[1].sessionIn(t, held).ID(); again != id || len(id) != 22 {
		t.Errorf("%q, after a refresh %q", id, again)
	}
	if _, other := c.signInAs("alice"); other == id {
		t.Error("one id for two sessions")
	}
}
