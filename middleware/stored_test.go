package middleware_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acptest"
)

// A session is one on every replica, from the login over a refresh to the logout.
func TestStoredSession(t *testing.T) {
	c := newCluster(t, 3, nil)
	held := c.signIn()
	c.alive("after the login", held, true)
	if strings.Contains(held, ";") || len(held) > 400 {
		t.Errorf("the cookie: %d bytes", len(held))
	}
	c.clock.advance(6 * time.Minute)
	tokens := map[string]bool{}
	for _, r := range c.replicas {
		code, token, _ := r.get("/token", held)
		if code != 200 || subjectOf(token) != "alice" {
			t.Errorf("%d %q", code, token)
		}
		tokens[token] = true
	}
	if len(tokens) != 1 || c.server.Count(acptest.TokenEndpoint) != 2 {
		t.Errorf("RF-02: %d tokens after %d token requests", len(tokens), c.server.Count(acptest.TokenEndpoint))
	}
	code, h := c.replicas[1].logout(held)
	if code != 303 || !deletes(h, sessionPrefix+"=") {
		t.Errorf("LO-02: %d", code)
	}
	c.alive("SE-19: a copy of the cookie after the logout", held, false)
}

// What is stolen from the store opens nothing, and what is stolen from a browser holds nothing.
func TestStoreDump(t *testing.T) { // SE-15 SE-16
	c := newCluster(t, 2, nil)
	held := c.signIn()
	c.clock.advance(6 * time.Minute)
	c.replicas[0].get("/token", held)
	begun := c.callback(c.browser.Tab(), "/login?return_to=/other%3Fsecret-path")
	begun.Follow()
	held = c.cookieHeader()
	auth, req := c.replicas[0].auth, request("GET", site+"/", held)
	dump := c.store.dump()
	id := auth.TicketID(req)
	secrets := map[string]string{
		"the id": string(id), "the id in base64url": base64.RawURLEncoding.EncodeToString(id), "the id in base64": base64.StdEncoding.EncodeToString(id), "the id in hex": hex.EncodeToString(id),
		"the user": "alice", "the issuer": c.server.Issuer, "the client": c.server.ClientID, "the return path": "secret-path", "the state": begun.Next.Query().Get("state"),
		"the cookie": strings.TrimPrefix(held, sessionPrefix+"=1."),
	}
	for _, r := range c.server.ActiveRefreshTokens() {
		secrets["a refresh token"] = r
	}
	_, secrets["the access token"], _ = c.replicas[0].get("/token", held)
	decoded := decodedValues(dump)
	for what, secret := range secrets {
		if secret == "" || strings.Contains(dump, secret) || strings.Contains(decoded, secret) {
			t.Errorf("SE-16: the store holds %s (%d bytes)", what, len(secret))
		}
		if what != "the cookie" && strings.Contains(held, secret) {
			t.Errorf("SE-16: the cookie holds %s", what)
		}
	}
	for line := range strings.Lines(dump) {
		token, _, _ := strings.Cut(line, " = ")
		if !strings.HasPrefix(token, "acp:") || len(token) > 43 {
			t.Errorf("a token that the tables of scs do not take: %s", token)
		}
	}
	// Everything that the store shows, tried as a cookie.
	before := c.served.Load()
	for line := range strings.Lines(dump) {
		token, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " = ")
		for _, try := range []string{token, strings.TrimPrefix(token, "acp:s."), value, "1." + value, "1." + token} {
			if code, _, h := c.replicas[0].get("/profile", sessionPrefix+"="+try); code != 303 || sets(h, sessionPrefix) {
				t.Errorf("SE-16: %.40q is taken for a cookie: %d", try, code)
			}
		}
	}
	if c.served.Load() != before {
		t.Error("SE-16: a handler was called")
	}
	c.alive("the session itself", held, true)
}

// decodedValues are the values of a dump without their base64.
func decodedValues(dump string) string {
	var b strings.Builder
	for line := range strings.Lines(dump) {
		_, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " = ")
		raw, _ := base64.URLEncoding.DecodeString(value)
		b.Write(raw)
	}
	return b.String()
}

// An id that a client chose is never adopted, sealed by nobody or naming nothing; it makes no
// store call, or stores nothing.
func TestChosenIDs(t *testing.T) { // SE-15
	c := newCluster(t, 1, nil)
	held := c.signIn()
	auth := c.replicas[0].auth
	ticket := auth.Ticket(request("GET", site+"/", held))
	changed := func(i int) string {
		b := bytes.Clone(ticket)
		b[i] ^= 1
		return auth.SealSession(b)
	}
	for name, row := range map[string]struct {
		value string
		finds bool
	}{
		"SE-15 chosen":                 {"AAAA", false},
		"SE-15 chosen, with a number":  {"1." + strings.Repeat("A", 300), false},
		"SE-15 the id alone":           {"1." + base64.URLEncoding.EncodeToString(auth.TicketID(request("GET", site+"/", held))), false},
		"SE-15 sealed, another id":     {changed(1), true},
		"SE-15 sealed, another key":    {changed(40), true},
		"SE-28 an older version":       {changed(0), false},
		"SE-28 a newer version":        {auth.SealSession(append([]byte{2}, ticket[1:]...)), false},
		"SE-28 truncated":              {auth.SealSession(ticket[:len(ticket)-1]), false},
		"SE-28 longer":                 {auth.SealSession(append(bytes.Clone(ticket), 0)), false},
		"SE-06 a session of a cookie":  {cookieOnly(t, c.app), false},
		"SE-28 empty":                  {auth.SealSession(nil), false},
		"SE-12 ten kilobytes of nulls": {auth.SealSession(make([]byte, 2000)), false},
	} {
		t.Run(name, func(t *testing.T) {
			finds, stored := c.store.count("find"), c.store.dump()
			code, body, h := c.replicas[0].get("/profile", sessionPrefix+"="+row.value)
			if code != 303 || sets(h, sessionPrefix) || !deletes(h, sessionPrefix+"=") {
				t.Errorf("%d %q %q", code, body, h.Values("Set-Cookie"))
			}
			if c.store.dump() != stored || c.store.count("find") != finds != row.finds {
				t.Errorf("%d store reads", c.store.count("find")-finds)
			}
		})
	}
}

// cookieOnly is the cookie of the same application when it had no Store yet.
func cookieOnly(t *testing.T, a *app) string {
	config := a.config
	config.Store = nil
	before := a.config
	a.config = config
	a.restart()
	now := time.Now()
	cookies, err := a.auth.SessionCookies(tokensOf(20), now, now)
	a.config = before
	if err != nil || len(cookies) != 1 {
		t.Fatalf("%d cookies, %v", len(cookies), err)
	}
	return cookies[0].Value
}

// A ticket belongs to one registration and one cookie name, and is no transaction.
func TestTicketIsBound(t *testing.T) { // SE-06
	c := newCluster(t, 1, nil)
	held := c.signIn()
	_, value, _ := strings.Cut(held, "=")
	other := newCluster(t, 1, func(s *setup) { s.config.CookieKeys = [][]byte{c.key}; s.config.Store = c.store })
	if code, _, _ := other.replicas[0].get("/profile", held); code != 303 {
		t.Errorf("SE-06: another client's application: %d", code)
	}
	named := c.config
	named.CookieName = "other"
	c.config = named
	r := c.start()
	if code, _, _ := r.get("/profile", "__Host-other_session="+value); code != 303 {
		t.Errorf("SE-06: another name: %d", code)
	}
	for _, name := range []string{txPrefix + strings.Repeat("A", 22), sessionPrefix + ".1", "acp_session"} {
		if code, _, _ := c.replicas[0].get("/profile", name+"="+value); code != 303 {
			t.Errorf("SE-06: as %s: %d", name, code)
		}
	}
}

// Keys come and go as with cookies alone: what a browser used in between does not depend on the
// old key, whenever its tokens were stored.
func TestStoredKeyRotation(t *testing.T) { // SE-07 RL-33
	c := newCluster(t, 1, nil)
	held := c.signIn()
	newer := randomKey()
	c.config.CookieKeys = [][]byte{c.key, newer} // first everybody knows it
	second := c.start()
	c.config.CookieKeys = [][]byte{newer, c.key}
	third := c.start()
	code, body, h := third.get("/profile", held)
	rewritten := cookiesSet(h)
	if code != 200 || body != "alice" || rewritten == "" {
		t.Fatalf("SE-07: the old key: %d, %q", code, h.Values("Set-Cookie"))
	}
	for name, r := range map[string]*replica{"before": second, "after": third} {
		if code, _, h := r.get("/profile", rewritten); code != 200 || deletes(h, sessionPrefix+"=") {
			t.Errorf("RL-33: the new key at a process of %s: %d", name, code)
		}
	}
	c.config.CookieKeys = [][]byte{newer}
	last := c.start()
	if code, _, _ := last.get("/token", rewritten); code != 200 {
		t.Errorf("SE-07: without the old key, rewritten: %d", code)
	}
	if code, _, h := last.get("/profile", held); code != 303 || !deletes(h, sessionPrefix+"=") {
		t.Errorf("SE-07: without the old key: %d", code)
	}
	c.replicas = c.replicas[:3]
	c.alive("SE-07: at the others", held, true)
}

// Tossed cookies: the good one is found, two good ones of different sessions are none, and many
// cost nothing.
func TestTossedTickets(t *testing.T) { // SE-13 SE-12
	c := newCluster(t, 1, nil)
	alice := c.signIn()
	c.server.SetUser(acptest.User{Subject: "mallory"})
	c.browser.ClearCookies()
	c.browser.Navigate(site + "/profile")
	mallory := c.cookieHeader()
	garbage := sessionPrefix + "=garbage"
	r := c.replicas[0]
	for name, row := range map[string]struct {
		cookies []string
		want    string
	}{
		"SE-13 garbage first":         {[]string{garbage, alice}, "alice"},
		"SE-13 garbage last":          {[]string{alice, garbage}, "alice"},
		"SE-13 two sessions":          {[]string{mallory, alice}, ""},
		"SE-13 two sessions, reverse": {[]string{alice, mallory}, ""},
		"SE-13 twice":                 {[]string{alice, alice}, "alice"},
		"SE-12 500 copies":            {slices.Repeat([]string{garbage}, 500), ""},
		"SE-12 3000 others":           {append(slices.Repeat([]string{"x=y"}, 2900), alice), "alice"},
	} {
		t.Run(name, func(t *testing.T) {
			finds := c.store.count("find")
			code, body, _ := r.get("/profile", strings.Join(row.cookies, "; "))
			if row.want == "" && code != 303 || row.want != "" && body != row.want {
				t.Errorf("%d %q", code, body)
			}
			if n := c.store.count("find") - finds; n > 5 {
				t.Errorf("SE-12: %d store reads", n)
			}
		})
	}
	// Of two copies of one session the later use counts.
	c.clock.advance(7 * time.Hour)
	_, _, h := r.get("/profile", alice)
	touched := cookiesSet(h)
	c.clock.advance(2 * time.Hour)
	for _, both := range []string{alice + "; " + touched, touched + "; " + alice} {
		if code, _, _ := r.get("/profile", both); code != 200 {
			t.Errorf("SE-13: an old and a new copy: %d", code)
		}
	}
}

// Times of a ticket that no clock of ours wrote.
func TestStoredTimes(t *testing.T) { // SE-18 SE-17
	c := newCluster(t, 1, nil)
	r := c.replicas[0]
	now := time.Now()
	for name, row := range map[string]struct {
		created, seen time.Time
		want          int
	}{
		"SE-18 within the skew":      {now.Add(4 * time.Minute), now.Add(4 * time.Minute), 200},
		"SE-18 beyond it":            {now.Add(6 * time.Minute), now.Add(6 * time.Minute), 303},
		"SE-18 seen beyond it":       {now, now.Add(6 * time.Minute), 303},
		"SE-18 seen before created":  {now, now.Add(-time.Minute), 303},
		"SE-18 the year 2106":        {time.Unix(1<<32, 0), time.Unix(1<<32, 0), 303},
		"SE-17 idle, just before":    {now.Add(-9 * time.Hour), now.Add(-8*time.Hour + time.Minute), 200},
		"SE-17 idle, after":          {now.Add(-9 * time.Hour), now.Add(-8*time.Hour - time.Second), 303},
		"SE-17 absolute, in use":     {now.Add(-24*time.Hour + time.Minute), now, 200},
		"SE-17 absolute, in use too": {now.Add(-24*time.Hour - time.Second), now, 303},
	} {
		t.Run(name, func(t *testing.T) {
			cookies, err := r.auth.SessionCookies(tokensOf(20), row.created, row.seen)
			if err != nil {
				t.Fatal(err)
			}
			if code, _, _ := r.get("/profile", cookiePairs(cookies)); code != row.want {
				t.Errorf("%d, want %d", code, row.want)
			}
		})
	}
}

// The store is told when to forget, always: a session at its absolute end, whatever is
// refreshed in between, and everything else at some time.
func TestStoreExpiry(t *testing.T) { // SE-31
	c := newCluster(t, 1, func(s *setup) { s.config.AbsoluteTimeout = 12 * time.Hour })
	start := c.clock.now()
	held := c.signIn()
	end := start.Add(12 * time.Hour)
	near := func(what string, got, want time.Time) {
		t.Helper()
		if d := got.Sub(want).Abs(); d > 5*time.Second {
			t.Errorf("SE-31: %s until %s, want %s", what, got, want)
		}
	}
	session := func(when string) {
		n := 0
		c.store.each("acp:s.", func(_ string, v memValue) memValue { n++; near("a session "+when, v.expiry, end); return v })
		if n != 1 {
			t.Errorf("SE-31: %d sessions %s", n, when)
		}
	}
	session("after the login")
	c.clock.advance(7 * time.Hour)
	c.replicas[0].get("/token", held)
	session("after a refresh")
	c.store.each("acp:o.", func(_ string, v memValue) memValue { near("a state", v.expiry, start.Add(15*time.Minute)); return v })
	c.replicas[0].logout(held)
	c.store.each("acp:e.", func(_ string, v memValue) memValue { near("a tombstone", v.expiry, end); return v })
	now := c.clock.now()
	c.server.BackchannelLogout(c.handler, site+"/backchannel-logout", nil)
	c.store.each("acp:m.", func(_ string, v memValue) memValue { near("a mark", v.expiry, now.Add(12*time.Hour)); return v })
	kinds := map[string]bool{}
	c.store.each("", func(token string, v memValue) memValue {
		kinds[token[:6]] = true
		if v.expiry.IsZero() || !v.expiry.After(start) {
			t.Errorf("SE-31: %s until %s", token, v.expiry)
		}
		return v
	})
	if fmt.Sprint(len(kinds), kinds["acp:s."]) != "3 false" {
		t.Errorf("SE-31: the store holds %v", kinds)
	}
}

// The record opens with the very key that is in its cookie: who has the store, and the keys of all cookies, but not
// this one, reads nothing.
func TestRecordKeyIsInTheCookie(t *testing.T) { // SE-16
	c := newCluster(t, 1, nil)
	r := c.replicas[0]
	plain := r.auth.Ticket(request("GET", site+"/", c.signIn()))
	const id, key = 1, 33 // where they begin, after the version
	for at, want := range map[int]int{-1: 200, id: 303, key - 1: 303, key: 303, key + 16: 303, key + 31: 303} {
		forged := bytes.Clone(plain)
		if at >= 0 {
			forged[at] ^= 1
		}
		if code, _, _ := r.get("/profile", sessionPrefix+"="+r.auth.SealSession(forged)); code != want {
			t.Errorf("SE-16: byte %d of the ticket changed: %d, want %d", at, code, want)
		}
	}
}
