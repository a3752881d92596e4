package middleware_test

import (
	"context"
	"errors"
	"net/http"
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

// A thousand requests of one session on three replicas, in the moment in which its token has
// expired: one refresh with a lease, and never a token that comes twice without. The server answers
// a key that it knows as before, and ends what comes twice under another.
func TestStoredRefreshOnce(t *testing.T) { // RF-01 RF-02 RL-13
	for name, lease := range map[string]middleware.Lease{"with a lease": &testLease{}, "without": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				asked, keys := 0, map[string]bool{}
				config := middleware.Config{Store: &memStore{}, Lease: lease, CookieKeys: [][]byte{randomKey()}}
				replicas := make([]*middleware.Authenticator, 3)
				for i := range replicas {
					replicas[i] = onWireConfig(t, config, func(r *http.Request, form url.Values) (int, string, error) {
						mu.Lock()
						asked++
						keys[r.Header.Get("X-Idempotency-Key")] = true
						good := len(keys) == 1 && form.Get("refresh_token") == "r"
						mu.Unlock()
						time.Sleep(50 * time.Millisecond)
						if !good {
							return 400, `{"error":"invalid_grant"}`, nil
						}
						return 200, `{"access_token":"new","token_type":"bearer","expires_in":3600,"refresh_token":"next"}`, nil
					})
				}
				now := time.Now()
				tokens := &acpclient.Tokens{Token: &oauth2.Token{AccessToken: "old", RefreshToken: "r", Expiry: now.Add(-time.Second)}}
				cookies, err := replicas[0].SessionCookies(tokens, now.Add(-5*time.Minute), now)
				if err != nil {
					t.Fatal(err)
				}
				var wg sync.WaitGroup
				for i := range 999 {
					auth := replicas[i%3]
					wg.Go(func() {
						w := serve(auth.RequireSession(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
							if token, err := middleware.SessionFromContext(r.Context()).AccessToken(r.Context()); token != "new" {
								t.Errorf("RL-13: %q, %v", token, err)
							}
						})), request("GET", site+"/", cookiePairs(cookies)))
						if w.Code != 200 {
							t.Errorf("RL-13: %d", w.Code)
						}
					})
				}
				wg.Wait()
				if asked != 1 && lease != nil || asked < 1 || asked > 3 || len(keys) != 1 {
					t.Errorf("RF-02: %d refreshes with %d keys", asked, len(keys))
				}
				if g, _ := replicas[2].StoredGeneration(request("GET", site+"/", cookiePairs(cookies))); g != 1 {
					t.Errorf("RF-02: generation %d is stored", g)
				}
			})
		})
	}
}

// Two replicas hold one refresh token in the same moment, without a lease: a server with
// idempotency keys gives both the same answer.
func TestStoredRefreshReplayed(t *testing.T) { // RF-02 RF-04
	c := newCluster(t, 2, nil)
	held := c.signIn()
	c.clock.advance(6 * time.Minute)
	release := c.server.Hold(acptest.TokenEndpoint)
	tokens := make([]string, 2)
	var wg sync.WaitGroup
	for i, r := range c.replicas {
		wg.Go(func() { _, tokens[i], _ = r.get("/token", held) })
	}
	if err := c.server.Wait(t.Context(), acptest.TokenEndpoint, 3); err != nil {
		t.Fatal(err)
	}
	release()
	wg.Wait()
	if tokens[0] != tokens[1] || subjectOf(tokens[0]) != "alice" {
		t.Errorf("RF-02: two tokens, or none: %v", tokens[0] == tokens[1])
	}
	c.clock.advance(6 * time.Minute)
	for _, r := range c.replicas {
		if code, _, _ := r.get("/token", held); code != 200 {
			t.Errorf("RF-02: the next refresh: %d", code)
		}
	}
}

// The same at a server that refuses what was used, and remembers no key. Who is refused first looks
// whether the other one has newer tokens, once more after a while, and loses no session by it.
func TestStoredRefreshLoser(t *testing.T) { // RF-04 RF-08
	for name, late := range map[string]bool{"stored at once": false, "stored while the loser waits": true} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 2, nil)
			held := c.signIn()
			winner, loser := c.replicas[0], c.replicas[1]
			c.clock.advance(6 * time.Minute)
			// The winner's answer is not stored before the loser has read the old one.
			stored := make(chan struct{})
			arrived := make(chan struct{})
			c.store.set(func(_ context.Context, op, token string) error {
				if op == "commit" && strings.HasPrefix(token, "acp:s.") {
					close(arrived)
					<-stored
				}
				return nil
			})
			won := make(chan string)
			go func() { _, token, _ := winner.get("/token", held); won <- token }()
			<-arrived
			var want string
			win := func() { // once the winner has answered, its tokens are stored
				c.store.set(nil)
				close(stored)
				want = <-won
			}
			c.server.OnTokenResponse(func(r *acptest.Response) {
				r.Status, r.Body = 400, []byte(`{"error":"invalid_grant"}`)
				if !late {
					win()
				}
			})
			loser.auth.SetSleep(func(time.Duration) {
				if late {
					win()
				}
			})
			code, token, h := loser.get("/token", held)
			c.server.OnTokenResponse(nil)
			if code != 200 || token != want || deletes(h, sessionPrefix+"=") {
				t.Errorf("RF-04: the loser got %d, the winner's token %v\n%s", code, token == want, c.logs)
			}
			c.alive("RF-04", held, true)
		})
	}
}

// A refusal is the end: on every replica, after one token request of each, and nobody is sent in circles.
func TestStoredRefreshRefused(t *testing.T) { // RF-08
	for name, lease := range map[string]middleware.Lease{"with a lease": &testLease{}, "without": nil} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 2, func(s *setup) { s.config.Lease = lease })
			held := c.signIn()
			c.clock.advance(6 * time.Minute)
			c.server.RevokeTokens()
			code, h := c.replicas[0].fetch("/token", held)
			if code != 401 || !deletes(h, sessionPrefix+"=") {
				t.Errorf("RF-08: %d", code)
			}
			c.alive("RF-08", held, false)
			if n := c.server.Count(acptest.TokenEndpoint); n != 2 {
				t.Errorf("RF-08: %d token requests", n)
			}
			if strings.Contains(c.store.dump(), "acp:s.") {
				t.Error("RF-08: the record stays")
			}
			if p := c.browser.Navigate(site + "/token"); p.Status() != 200 || subjectOf(p.Body()) != "alice" {
				t.Errorf("RF-08: the next login: %d", p.Status())
			}
		})
	}
}

// Ahead of its end the token serves, and nobody waits: not for the server, not for the store, not for a lease.
func TestStoredRefreshAhead(t *testing.T) { // RF-09
	lease := &testLease{}
	c := newCluster(t, 1, func(s *setup) { s.config.Lease = lease })
	held := c.signIn()
	r := c.replicas[0]
	_, first, _ := r.get("/token", held)
	c.clock.advance(4*time.Minute + 45*time.Second)
	release := c.server.Hold(acptest.TokenEndpoint)
	for range 3 {
		if code, token, _ := r.get("/token", held); code != 200 || token != first {
			t.Errorf("RF-09: %d, the old token %v", code, token == first)
		}
	}
	if err := c.server.Wait(t.Context(), acptest.TokenEndpoint, 2); err != nil {
		t.Fatal(err)
	}
	release()
	if err := r.auth.Close(t.Context()); err != nil { // waits for the refresh
		t.Fatal(err)
	}
	if code, token, _ := r.get("/token", held); code != 200 || token == first || r.generation(held) != 1 {
		t.Errorf("RF-09: after the refresh %d, the old token %v, generation %d", code, token == first, r.generation(held))
	}
}

// Not for a moment.
func TestStoredRefreshHoldsNobody(t *testing.T) { // RF-09
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		auth := onWireWith(t, &memStore{}, func(r *http.Request, form url.Values) (int, string, error) {
			<-gate
			return newTokens(r, form)
		})
		now := time.Now()
		tokens := &acpclient.Tokens{Token: &oauth2.Token{AccessToken: "old", RefreshToken: "r", Expiry: now.Add(15 * time.Second)}}
		cookies, err := auth.SessionCookies(tokens, now.Add(-5*time.Minute), now)
		if err != nil {
			t.Fatal(err)
		}
		get := func() (token string) {
			serve(auth.RequireSession(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				token, _ = middleware.SessionFromContext(r.Context()).AccessToken(r.Context())
			})), request("GET", site+"/", cookiePairs(cookies)))
			return token
		}
		for range 3 {
			if token := get(); token != "old" || time.Since(now) != 0 {
				t.Errorf("RF-09: %q after %s", token, time.Since(now))
			}
		}
		if n := auth.Flights(); n != 1 {
			t.Errorf("RF-09: %d refreshes", n)
		}
		close(gate)
		synctest.Wait()
		if token := get(); token != "new" {
			t.Errorf("RF-09: %q", token)
		}
	})
}

// In its last second it may be over before it is there: the new one is waited for, and the old one
// only sent where that does not come.
func TestStoredRefreshInTheLastSecond(t *testing.T) { // RF-09
	for name, row := range map[string]struct {
		left, answer, took time.Duration
		want               string
	}{
		"more than a second left":   {1001 * time.Millisecond, 300 * time.Millisecond, 0, "old"},
		"a second left":             {time.Second, 300 * time.Millisecond, 300 * time.Millisecond, "new"},
		"over when the new comes":   {200 * time.Millisecond, 1500 * time.Millisecond, 1500 * time.Millisecond, "new"},
		"over long before it comes": {500 * time.Millisecond, 5 * time.Second, 5 * time.Second, "new"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				auth := onWireWith(t, &memStore{}, func(r *http.Request, form url.Values) (int, string, error) {
					time.Sleep(row.answer)
					return newTokens(r, form)
				})
				now := time.Now()
				tokens := &acpclient.Tokens{Token: &oauth2.Token{AccessToken: "old", RefreshToken: "r", Expiry: now.Add(row.left)}}
				cookies, err := auth.SessionCookies(tokens, now.Add(-5*time.Minute), now)
				if err != nil {
					t.Fatal(err)
				}
				var token string
				serve(auth.RequireSession(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					token, _ = middleware.SessionFromContext(r.Context()).AccessToken(r.Context())
				})), request("GET", site+"/", cookiePairs(cookies)))
				if took := time.Since(now); token != row.want || took != row.took {
					t.Errorf("RF-09: %q after %s", token, took)
				}
				auth.Close(t.Context())
			})
		})
	}
}

// The server is in trouble: before the token's end nobody sees it, afterwards 503, and the session stays.
func TestStoredRefreshFails(t *testing.T) { // RF-09 RF-10 RL-07
	for name, answer := range map[string]http.HandlerFunc{
		"500": acptest.Answer(500, "text/plain", "oops"), "503": acptest.Answer(503, "text/plain", ""), "reset": acptest.Reset(),
		"HTML": acptest.Answer(200, "text/html", "<p>maintenance"), "invalid_client": acptest.Answer(401, "application/json", `{"error":"invalid_client"}`),
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 2, nil)
			held := c.signIn()
			c.clock.advance(4*time.Minute + 45*time.Second)
			c.server.Handle(acptest.TokenEndpoint, answer)
			for _, r := range c.replicas {
				if code, _, h := r.get("/token", held); code != 200 || deletes(h, sessionPrefix+"=") {
					t.Errorf("RF-09: %d", code)
				}
			}
			c.clock.advance(5 * time.Minute)
			for _, r := range c.replicas {
				code, _, h := r.get("/token", held)
				if code != 503 && code != 502 || deletes(h, sessionPrefix+"=") {
					t.Errorf("RF-10: %d", code)
				}
			}
			c.alive("RF-10: who the user is", held, true)
			c.server.Handle(acptest.TokenEndpoint, nil)
			c.clock.advance(5 * time.Second)
			for _, r := range c.replicas {
				if code, _, _ := r.get("/token", held); code != 200 {
					t.Errorf("RL-07: after the outage: %d", code)
				}
			}
			if n := len(c.server.ActiveRefreshTokens()); n != 1 {
				t.Errorf("RL-07: %d refresh tokens are alive", n)
			}
		})
	}
}

// The store fails after the server has rotated the refresh token: this process serves the new
// tokens, tries to store them, and nobody sends the used one again.
func TestCommitFailsAfterRotation(t *testing.T) { // RF-07
	for name, fault := range map[string]func(op, token string) error{
		"everything": func(string, string) error { return errStoreDown },
		"read-only":  func(op, _ string) error { return map[string]error{"commit": errStoreDown, "delete": errStoreDown}[op] },
		"the check": func(op, token string) error {
			if op == "find" && strings.HasPrefix(token, "acp:e.") {
				return errStoreDown
			}
			return nil
		},
		"panics": func(op, _ string) error {
			if op == "commit" {
				panic("the driver")
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 2, nil)
			held := c.signIn()
			r := c.replicas[0]
			ticks, tried := make(chan struct{}), make(chan struct{}, 100)
			r.auth.SetSleep(func(time.Duration) { tried <- struct{}{}; <-ticks })
			c.clock.advance(6 * time.Minute)
			release := c.server.Hold(acptest.TokenEndpoint)
			served := make(chan string)
			go func() { _, token, _ := r.get("/token", held); served <- token }()
			if err := c.server.Wait(t.Context(), acptest.TokenEndpoint, 2); err != nil {
				t.Fatal(err)
			}
			c.store.set(func(_ context.Context, op, token string) error { return fault(op, token) })
			release()
			token := <-served
			if subjectOf(token) != "alice" || !strings.Contains(c.logs.String(), "not in the store yet") {
				t.Fatalf("RF-07: %q\n%s", token, c.logs)
			}
			<-tried // once, in vain
			ticks <- struct{}{}
			<-tried
			if name == "read-only" {
				for range 3 {
					if code, again, _ := r.get("/token", held); code != 200 || again != token {
						t.Errorf("RF-07: served out of memory: %d, the same token %v", code, again == token)
					}
				}
				if g := r.generation(held); g != 0 {
					t.Errorf("RF-07: generation %d is stored", g)
				}
			}
			if n := r.auth.Saving(); n != 1 {
				t.Errorf("RF-07: %d savers", n)
			}
			c.store.set(nil)
			close(ticks)
			if err := r.auth.Close(t.Context()); err != nil { // RL-21: waits until it is stored
				t.Fatal(err)
			}
			if g := r.generation(held); g != 1 || r.auth.Saving() != 0 {
				t.Errorf("RF-07: generation %d is stored, %d savers", g, r.auth.Saving())
			}
			if code, again, _ := c.replicas[1].get("/token", held); code != 200 || again != token {
				t.Errorf("RF-07: the other replica: %d, the same token %v", code, again == token)
			}
			c.clock.advance(6 * time.Minute)
			if code, _, _ := c.replicas[1].get("/token", held); code != 200 {
				t.Errorf("RF-07: the next refresh: %d", code)
			}
		})
	}
}

// The store went back to older tokens, as after a failover that lost the last writes: who knows the newer
// ones puts them back.
func TestStoreGoesBack(t *testing.T) { // RF-07 RL-24
	c := newCluster(t, 2, nil)
	held := c.signIn()
	r := c.replicas[0]
	key := r.auth.RecordToken(request("GET", site+"/", held))
	c.store.mu.Lock()
	old := c.store.values[key]
	c.store.mu.Unlock()
	c.clock.advance(6 * time.Minute)
	_, token, _ := r.get("/token", held)
	c.store.mu.Lock()
	c.store.values[key] = old
	c.store.mu.Unlock()
	if code, again, _ := r.get("/token", held); code != 200 || again != token {
		t.Errorf("RL-24: %d, the same token %v", code, again == token)
	}
	if err := r.auth.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if g := r.generation(held); g != 1 {
		t.Errorf("RL-24: generation %d is stored", g)
	}
	if code, again, _ := c.replicas[1].get("/token", held); code != 200 || again != token {
		t.Errorf("RL-24: the other replica: %d, the same token %v", code, again == token)
	}
}

// What waits for the store is given up when the session ends, by this process or another, or with all
// that the store held; nothing is brought back.
func TestSavingEndsWithTheSession(t *testing.T) { // RF-07 RF-19 SE-29
	readOnly := func(_ context.Context, op, token string) error {
		if op == "commit" && strings.HasPrefix(token, "acp:s.") {
			return errStoreDown
		}
		return nil
	}
	for name, row := range map[string]struct {
		end   func(c *cluster, held string)
		saved bool
	}{
		"here":      {func(c *cluster, held string) { c.replicas[0].logout(held) }, false},
		"elsewhere": {func(c *cluster, held string) { c.replicas[1].logout(held) }, false},
		"flushed":   {func(c *cluster, _ string) { c.store.clear() }, false},
		"here, and the store does not hear of it": {func(c *cluster, held string) {
			c.store.down()
			if code, _ := c.replicas[0].logout(held); code != 503 {
				c.t.Errorf("LO-03: %d", code)
			}
		}, false},
		"not at all": {func(*cluster, string) {}, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 2, nil)
			held := c.signIn()
			r := c.replicas[0]
			tick, tried := make(chan struct{}), make(chan struct{}, 100)
			r.auth.SetSleep(func(time.Duration) { tried <- struct{}{}; <-tick })
			c.clock.advance(6 * time.Minute)
			c.store.set(readOnly)
			if code, _, _ := r.get("/token", held); code != 200 {
				t.Fatal(code)
			}
			<-tried // once, in vain
			row.end(c, held)
			c.store.set(nil)
			close(tick)
			if err := r.auth.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if g := c.replicas[1].generation(held); (g == 1) != row.saved {
				t.Errorf("RF-19: generation %d is stored", g)
			}
			if stored := strings.Contains(c.store.dump(), "acp:s."); stored != row.saved {
				t.Errorf("RF-19: a record is stored: %v", stored)
			}
			if code, _, _ := r.get("/profile", held); code == 200 != row.saved {
				t.Errorf("RF-19: %d", code)
			}
		})
	}
}

// One response moves the time of use while another, elsewhere, brings new tokens: neither is lost, in
// whichever order they reach the browser.
func TestStoredCrossingResponses(t *testing.T) { // SE-22
	c := newCluster(t, 2, nil)
	held := c.signIn()
	c.clock.advance(6*time.Hour + 30*time.Minute)
	release := c.server.Hold(acptest.TokenEndpoint)
	refreshed := make(chan string)
	go func() { _, token, _ := c.replicas[0].get("/token", held); refreshed <- token }()
	if err := c.server.Wait(t.Context(), acptest.TokenEndpoint, 2); err != nil {
		t.Fatal(err)
	}
	_, _, h := c.replicas[1].get("/profile", held)
	touched := cookiesSet(h)
	release()
	token := <-refreshed
	for i, cookies := range []string{held, touched} {
		for _, r := range c.replicas {
			if code, got, _ := r.get("/token", cookies); code != 200 || got != token {
				t.Errorf("SE-22: cookie %d: %d, the newest token %v", i, code, got == token)
			}
		}
	}
	c.clock.advance(2 * time.Hour)
	c.alive("SE-22: the use counts", touched, true)
}

// The session ends elsewhere while a handler runs that has it already: it gets no token, and the server
// is not asked.
func TestEndBeforeTheRefresh(t *testing.T) { // RF-19
	c := newCluster(t, 2, nil)
	held := c.signIn()
	c.clock.advance(6 * time.Minute)
	auth := c.replicas[0].auth
	var failure error
	serve(auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.replicas[1].logout(held)
		_, failure = middleware.SessionFromContext(r.Context()).AccessToken(r.Context())
	})), request("GET", site+"/", held))
	if !errors.Is(failure, middleware.ErrSessionEnded) || c.server.Count(acptest.TokenEndpoint) != 1 {
		t.Errorf("RF-19: %v after %d token requests", failure, c.server.Count(acptest.TokenEndpoint))
	}
}

// A replica dies between the server's answer and the store: another one asks again, and gets the same answer.
func TestReplicaDiesBeforeCommit(t *testing.T) { // RF-03 RF-07
	lease := &testLease{}
	c := newCluster(t, 2, func(s *setup) { s.config.Lease = lease })
	held := c.signIn()
	c.clock.advance(6 * time.Minute)
	dying, died := make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	c.store.set(func(_ context.Context, op, token string) error {
		if op == "commit" && strings.HasPrefix(token, "acp:s.") && once.CompareAndSwap(false, true) {
			close(dying)
			<-died
			return errStoreDown
		}
		return nil
	})
	lost := make(chan int)
	go func() { code, _, _ := c.replicas[0].get("/token", held); lost <- code }()
	<-dying
	waits := make(chan int)
	go func() { code, _, _ := c.replicas[1].get("/token", held); waits <- code }()
	lease.expire() // nobody prolongs it
	if code := <-waits; code != 200 || c.replicas[1].generation(held) != 1 {
		t.Errorf("RF-03: the other replica: %d, generation %d", code, c.replicas[1].generation(held))
	}
	if n := c.server.Count(acptest.TokenEndpoint); n != 3 || len(c.server.ActiveRefreshTokens()) != 1 {
		t.Errorf("RF-03: %d token requests, %d refresh tokens", n, len(c.server.ActiveRefreshTokens()))
	}
	close(died)
	<-lost
}

// A logout, here or elsewhere, while a refresh is under way: nothing brings the session back, and the
// tokens that came late are revoked.
func TestLogoutDuringStoredRefresh(t *testing.T) { // RF-19 SE-19 LO-08
	for name, end := range map[string]func(c *cluster, held string){
		"here":         func(c *cluster, held string) { c.replicas[0].logout(held) },
		"elsewhere":    func(c *cluster, held string) { c.replicas[1].logout(held) },
		"back-channel": func(c *cluster, _ string) { postLogoutToken(c.replicas[1].handler, c.server.LogoutToken(nil)) },
		"all sessions": func(c *cluster, _ string) {
			if err := c.replicas[1].auth.EndSessions(context.Background(), c.server.Issuer, "alice", nil); err != nil {
				c.t.Error(err)
			}
		},
		"another login": func(c *cluster, held string) {
			begun := c.callback(c.browser, "/login?return_to=/other")
			serve(c.replicas[1].handler, request("GET", begun.Next.String(), c.cookieHeader()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 2, nil)
			held := c.signIn()
			c.clock.advance(6 * time.Minute)
			gate, arrived := make(chan struct{}), make(chan struct{})
			var once sync.Once
			c.server.OnTokenResponse(func(*acptest.Response) {
				first := false
				once.Do(func() { first = true })
				if first {
					close(arrived)
					<-gate
				}
			})
			late := make(chan http.Header, 1)
			go func() { _, _, h := c.replicas[0].get("/token", held); late <- h }()
			<-arrived
			end(c, held)
			close(gate)
			if h := <-late; sets(h, sessionPrefix) {
				t.Error("RF-19: the late refresh set a cookie")
			}
			if err := c.replicas[0].auth.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.alive("RF-19", held, false)
			if n := len(c.server.ActiveRefreshTokens()); n != map[bool]int{true: 1}[name == "another login"] || strings.Contains(name, "where") && strings.Contains(c.store.dump(), "acp:s.") {
				t.Errorf("LO-08: %d refresh tokens are alive", n)
			}
			for i, r := range c.replicas {
				if code, _ := r.fetch("/token", held); code != 401 {
					t.Errorf("RF-19: replica %d gives a token: %d", i, code)
				}
			}
		})
	}
}

// Clocks that jump, or differ by seconds between replicas, make no refresh loop and end no session.
func TestStoredRefreshAndClocks(t *testing.T) { // RF-17 RL-27
	for name, jumps := range map[string][]time.Duration{
		"an hour ahead": {time.Hour}, "an hour back": {2 * time.Minute, -time.Hour}, "to and fro": {time.Hour, -time.Hour, time.Hour, -time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 2, nil)
			held := c.signIn()
			for _, d := range jumps {
				c.clock.advance(d)
				before := c.server.Count(acptest.TokenEndpoint)
				for i := range 20 {
					code, _, h := c.replicas[i%2].get("/token", held)
					if d > 0 && code != 200 || deletes(h, sessionPrefix+"=") && d > 0 {
						t.Errorf("RF-17: %d after %s", code, d)
					}
				}
				if n := c.server.Count(acptest.TokenEndpoint) - before; n > 2 {
					t.Errorf("RF-17: %d refreshes after %s", n, d)
				}
			}
			c.clock.ahead.Store(0)
			c.alive("RF-17", held, true)
		})
	}
	c := newCluster(t, 3, func(s *setup) { s.config.Lease = &testLease{} })
	held := c.signIn()
	for i, d := range []time.Duration{-5 * time.Second, 0, 5 * time.Second} {
		c.replicas[i].clock = &clock{}
		c.replicas[i].clock.advance(d)
	}
	for round := range 5 {
		before := c.server.Count(acptest.TokenEndpoint)
		for i := range 30 {
			if code, _, _ := c.replicas[i%3].get("/token", held); code != 200 {
				t.Errorf("RL-27: round %d, replica %d: %d", round, i%3, code)
			}
		}
		if n := c.server.Count(acptest.TokenEndpoint) - before; round > 0 && n != 1 {
			t.Errorf("RL-27: %d refreshes in round %d", n, round)
		}
		for _, r := range c.replicas {
			r.clock.advance(6 * time.Minute)
		}
		c.server.SetAccessTokenTTL(6 * time.Minute * time.Duration(round+2)) // the server's clock stands
	}
}

// The leader's client leaves: the refresh goes on for the others, is stored, and is not sent again.
func TestStoredRefreshLeaderLeaves(t *testing.T) { // RL-25 RF-01
	c := newCluster(t, 1, nil)
	held := c.signIn()
	r := c.replicas[0]
	c.clock.advance(6 * time.Minute)
	release := c.server.Hold(acptest.TokenEndpoint)
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan int)
	go func() { left <- serve(r.handler, request("GET", site+"/token", held).WithContext(ctx)).Code }()
	if err := c.server.Wait(t.Context(), acptest.TokenEndpoint, 2); err != nil {
		t.Fatal(err)
	}
	follower := make(chan int)
	go func() { code, _, _ := r.get("/token", held); follower <- code }()
	leave()
	if code := <-left; code != 503 {
		t.Errorf("RL-25: the leader: %d", code)
	}
	release()
	if code := <-follower; code != 200 || c.server.Count(acptest.TokenEndpoint) != 2 || r.generation(held) != 1 {
		t.Errorf("RL-25: the follower: %d after %d token requests", code, c.server.Count(acptest.TokenEndpoint))
	}
}

// Close waits until what is under way is stored, as long as it may; afterwards nothing starts, and
// sessions are served.
func TestStoredClose(t *testing.T) { // RL-21
	c := newCluster(t, 2, nil)
	held := c.signIn()
	r := c.replicas[0]
	c.clock.advance(4*time.Minute + 45*time.Second)
	release := c.server.Hold(acptest.TokenEndpoint)
	r.get("/token", held) // starts the refresh, and does not wait for it
	if err := c.server.Wait(t.Context(), acptest.TokenEndpoint, 2); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.auth.Close(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("RL-21: %v", err)
	}
	release()
	for range 2 {
		if err := r.auth.Close(t.Context()); err != nil || r.generation(held) != 1 {
			t.Errorf("RL-21: %v, generation %d", err, r.generation(held))
		}
	}
	c.clock.advance(6 * time.Minute)
	code, _, h := r.get("/token", held)
	if code != 503 || h.Get("Retry-After") == "" || deletes(h, sessionPrefix+"=") {
		t.Errorf("RL-21: a refresh after Close: %d", code)
	}
	if code, _, _ := r.get("/profile", held); code != 200 {
		t.Errorf("RL-21: %d", code)
	}
	if code, _, _ := c.replicas[1].get("/token", held); code != 200 {
		t.Errorf("RL-21: the next process: %d", code)
	}
}

// A browser's many tabs over many lifetimes of tokens, while replicas come and go and the server is
// slow or loses answers: no refresh token is used twice, and nobody is signed out.
func TestStoredSoak(t *testing.T) { // RL-15 RL-33
	lease := &testLease{}
	c := newCluster(t, 3, func(s *setup) { s.config.Lease = lease })
	held := c.signIn()
	var lost atomic.Int64
	c.server.OnTokenResponse(func(r *acptest.Response) {
		if lost.Add(1)%5 == 0 {
			r.Status, r.Body = 503, nil // the answer is lost on its way; the retry gets it again
		}
	})
	for round := range 20 {
		c.clock.advance(5*time.Minute + time.Duration(round)*time.Second)
		if round%6 == 5 {
			c.replicas = append(c.replicas[1:], c.start())
			c.replicas = c.replicas[:3]
		}
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				code, body, h := c.replicas[i%3].get("/token", held)
				if code != 200 && code != 503 || code == 200 && subjectOf(body) != "alice" || deletes(h, sessionPrefix+"=") {
					t.Errorf("RL-15: %d in round %d", code, round)
				}
			})
		}
		wg.Wait()
		c.alive("RL-15", held, true)
	}
	c.server.OnTokenResponse(nil)
	c.clock.advance(10 * time.Second)
	if code, _, _ := c.replicas[0].get("/token", held); code != 200 {
		t.Errorf("RL-15: at the end %d\n%s", code, c.logs)
	}
}
