package middleware_test

import (
	"context"
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

	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/middleware"
)

// hang waits for the end of the call's context, as a driver does whose server is silent.
func hang(ctx context.Context, _, _ string) error { <-ctx.Done(); return ctx.Err() }

// Whatever is wrong with the store: who has a cookie, or a callback, gets 503 and may come
// again, the others are served as always, and nobody is signed out.
func TestStoreOutage(t *testing.T) { // SE-27 RL-22
	const secret = "redis://default:hunter2hunter2@10.0.0.7:6379/0"
	for name, fault := range map[string]error{
		"SE-27 refused":   errors.New("dial tcp 10.0.0.7:6379: connect: connection refused"),
		"SE-27 timeout":   context.DeadlineExceeded,
		"SE-27 auth":      errors.New("WRONGPASS invalid username-password pair"),
		"SE-30 URL":       errors.New("cannot use " + secret + ": no route"),
		"SE-30 DSN":       errors.New("mysql root:hunter2hunter2@tcp(db)/x; host=db user=x password=hunter2hunter2 sslmode=off"),
		"RL-24 WRONGTYPE": errors.New("WRONGTYPE Operation against a key holding the wrong kind of value"),
		"RL-24 failover":  errors.New("READONLY You can't write against a read only replica."),
		"canceled":        context.Canceled,
		"closed":          errors.New("redis: client is closed\nsecond line \x1b[2J"),
	} {
		t.Run(name, func(t *testing.T) {
			var failures []string
			c := newCluster(t, 2, func(s *setup) {
				s.config.Development = true
			})
			held := c.signIn()
			begun := c.callback(c.browser.Tab(), "/login?return_to=/other")
			exchanges, served := c.server.Count(acptest.TokenEndpoint), c.served.Load()
			c.store.set(func(context.Context, string, string) error { return fault })
			for round := range 8 { // so many that the breaker opens, too
				r := c.replicas[0]
				for _, path := range []string{"/profile", "/public", "/token"} {
					code, body, h := r.get(path, held)
					unavailable(t, path, code, h)
					failures = append(failures, body)
				}
				code, h := r.fetch("/profile", held)
				unavailable(t, "a fetch", code, h)
				w := serve(r.handler, request("GET", begun.Next.String(), c.cookieHeader()))
				unavailable(t, "a callback", w.Code, w.Header())
				if code, _, h := r.get("/profile", ""); code != 303 || h.Get("Location") == "" {
					t.Errorf("without a cookie: %d", code)
				}
				if code, _ := r.fetch("/profile", ""); code != 401 {
					t.Errorf("a fetch without a cookie: %d", code)
				}
				if code, _, _ := r.get("/profile", sessionPrefix+"=1.garbage"); code != 303 {
					t.Errorf("a cookie that is none: %d", code)
				}
				if code, _, _ := r.get("/", held); code != 200 {
					t.Errorf("a public page: %d", code)
				}
				if code, _, h := r.get("/login", held); code != 303 || !sets(h, txPrefix) {
					t.Errorf("round %d, a login: %d", round, code)
				}
				if w := serve(r.handler, request("GET", site+"/callback?code=x&state=y", "")); w.Code != 400 {
					t.Errorf("a forged callback: %d", w.Code)
				}
			}
			if c.served.Load() != served || c.server.Count(acptest.TokenEndpoint) != exchanges {
				t.Errorf("NH: %d handlers, %d exchanges", c.served.Load()-served, c.server.Count(acptest.TokenEndpoint)-exchanges)
			}
			for _, body := range failures {
				if strings.Contains(body, "10.0.0.7") || strings.Contains(body, "hunter2") || strings.Contains(body, "WRONG") {
					t.Errorf("SE-30: an answer holds %s", body)
				}
			}
			if log := c.logs.String(); strings.Contains(log, "hunter2") || strings.Contains(log, "\x1b") || !strings.Contains(log, "reason=store") {
				t.Errorf("SE-30: the log:\n%.2000s", log)
			}
			c.store.set(nil)
			c.clock.advance(time.Second)
			c.alive("after the outage", held, true)
			if p := begun.Follow(); p.Body() != "alice" || p.URL().Path != "/other" || c.server.Count(acptest.TokenEndpoint) != exchanges+1 {
				t.Errorf("the same callback after the outage: %d %s\n%s", p.Status(), p.Body(), c.logs)
			}
		})
	}
}

// A program starts while its store is down, and heals without a restart.
func TestStoreDownAtBoot(t *testing.T) { // SE-27
	store := &memStore{}
	store.down()
	c := newCluster(t, 2, func(s *setup) { s.config.Store = store })
	if code, _, _ := c.replicas[0].get("/profile", ""); code != 303 {
		t.Errorf("without a cookie: %d", code)
	}
	p := c.browser.Navigate(site + "/profile")
	if p.Status() != 503 || c.server.Count(acptest.TokenEndpoint) != 0 {
		t.Errorf("a login: %d, %d exchanges", p.Status(), c.server.Count(acptest.TokenEndpoint))
	}
	store.set(nil)
	again := c.browser.Navigate(p.URL().String()) // the user presses reload
	if again.Body() != "alice" || again.URL().Path != "/profile" {
		t.Errorf("the callback again: %d %s\n%s", again.Status(), again.Body(), c.logs)
	}
}

// The store fails in the middle of a login: whatever was spent is told, and no half session is left.
func TestStoreFailsDuringLogin(t *testing.T) { // SE-27
	for name, row := range map[string]struct {
		op, prefix string
		status     int
		again      int
	}{
		"the state":   {"add", "acp:o.", 503, 303},
		"the session": {"commit", "acp:s.", 503, 400},
		"tombstone":   {"find", "acp:e.", 503, 400},
		"the way":     {"commit", "acp:o.", 303, 303}, // what it costs is a 400 for a reload elsewhere
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 1, nil)
			begun := c.callback(c.browser, "/login?return_to=/other")
			cookies := c.cookieHeader()
			c.store.set(func(_ context.Context, op, token string) error {
				if op == row.op && strings.HasPrefix(token, row.prefix) {
					return errStoreDown
				}
				return nil
			})
			w := serve(c.replicas[0].handler, request("GET", begun.Next.String(), cookies))
			if w.Code != row.status || sets(w.Header(), sessionPrefix) != (row.status == 303) {
				t.Errorf("%d", w.Code)
			}
			c.store.set(nil)
			again := serve(c.replicas[0].handler, request("GET", begun.Next.String(), cookies+"; "+cookiesSet(w.Header())))
			if again.Code != row.again {
				t.Errorf("again: %d, want %d", again.Code, row.again)
			}
			if row.status == 503 && row.again == 400 {
				if err := c.server.Wait(t.Context(), acptest.RevokeEndpoint, 1); err != nil {
					t.Error("the tokens that nobody will use are not revoked")
				}
			}
		})
	}
}

// A callback that comes twice while the store cannot say whether it was used: both may come again.
func TestCallbackTwiceDuringOutage(t *testing.T) { // SE-27 CB-04
	c := newCluster(t, 1, nil)
	r := c.replicas[0]
	begun := c.callback(c.browser, "/login?return_to=/other")
	cookies := c.cookieHeader()
	arrived, gate := make(chan struct{}), make(chan struct{})
	c.store.set(func(_ context.Context, op, _ string) error {
		if op == "add" {
			close(arrived)
			<-gate
			return errStoreDown
		}
		return nil
	})
	answers := make(chan *httptest.ResponseRecorder, 2)
	try := func() { answers <- serve(r.handler, request("GET", begun.Next.String(), cookies)) }
	go try()
	<-arrived
	go try()
	if err := r.auth.WaitForReplay(t.Context(), begun.Next.Query().Get("state")); err != nil {
		t.Fatal(err)
	}
	close(gate)
	for range 2 {
		w := <-answers
		unavailable(t, "SE-27", w.Code, w.Header())
	}
	c.store.set(nil)
	if p := begun.Follow(); p.Body() != "alice" || p.URL().Path != "/other" {
		t.Errorf("SE-27: afterwards %d", p.Status())
	}
}

// A browser that leaves while the store is asked leaves no state that is half used.
func TestBrowserLeavesDuringCallback(t *testing.T) { // RL-25
	c := newCluster(t, 1, nil)
	begun := c.callback(c.browser, "/login?return_to=/other")
	ctx, leave := context.WithCancel(t.Context())
	c.store.set(func(ctx context.Context, op, _ string) error {
		leave()
		return ctx.Err()
	})
	w := serve(c.replicas[0].handler, request("GET", begun.Next.String(), c.cookieHeader()).WithContext(ctx))
	if w.Code != 303 || !sets(w.Header(), sessionPrefix) {
		t.Errorf("RL-25: %d\n%s", w.Code, c.logs)
	}
}

// After ten failures nobody waits for the store, but for one request a second.
func TestStoreBreaker(t *testing.T) { // RL-22
	synctest.Test(t, func(t *testing.T) {
		store := &memStore{}
		auth := onWireWith(t, store, func(*http.Request, url.Values) (int, string, error) { return 500, "", nil })
		now := time.Now()
		cookies, err := auth.SessionCookies(tokensOf(20), now, now)
		if err != nil {
			t.Fatal(err)
		}
		held := cookiePairs(cookies)
		page := auth.RequireSession(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		get := func() (code int, took time.Duration) {
			start := time.Now()
			return serve(page, request("GET", site+"/", held)).Code, time.Since(start)
		}
		store.set(hang)
		for i := range 10 {
			if code, took := get(); code != 503 || took != 2*time.Second {
				t.Fatalf("RL-23: failure %d: %d after %s", i, code, took)
			}
		}
		for range 3 {
			asked := store.count("find")
			for range 50 {
				if code, took := get(); code != 503 || took != 0 {
					t.Fatalf("RL-22: the breaker is closed: %d after %s", code, took)
				}
			}
			if store.count("find") != asked {
				t.Error("RL-22: the store was asked")
			}
			time.Sleep(time.Second)
			var wg sync.WaitGroup
			waited := make([]time.Duration, 20)
			for i := range waited {
				wg.Go(func() { _, waited[i] = get() })
			}
			wg.Wait()
			probes := 0
			for _, took := range waited {
				if took > 0 {
					probes++
				}
			}
			if n := store.count("find") - asked; probes != 1 || n > 5 {
				t.Errorf("RL-22: %d probes, %d store reads", probes, n)
			}
		}
		store.set(nil)
		if code, _ := get(); code != 503 {
			t.Errorf("RL-22: %d within the pause", code)
		}
		time.Sleep(time.Second)
		for i := range 20 {
			if code, took := get(); code != 200 || took != 0 {
				t.Errorf("RL-22: request %d after the outage: %d", i, code)
			}
		}
		// A clock that was set back an hour prolongs nothing.
		store.down()
		for range 11 {
			get()
		}
		store.set(nil)
		auth.SetClock(func() time.Time { return time.Now().Add(-2 * time.Minute) })
		if code, _ := get(); code != 200 {
			t.Errorf("RL-22: after the clock was set back: %d", code)
		}
	})
}

// A slow store, whose driver looks at its context or does not, or knows none: each request is
// answered in time, and what waits is bounded. What never ends would end the bubble with an error.
func TestSlowStore(t *testing.T) { // RL-23
	for name, row := range map[string]struct {
		wrap   func(*memStore) middleware.Store
		heeds  bool  // the end of a call's context
		remain int64 // calls that go on when everybody was answered
	}{
		"with contexts":    {func(m *memStore) middleware.Store { return m }, true, 0},
		"ignores contexts": {func(m *memStore) middleware.Store { return m }, false, 256},
		"without contexts": {func(m *memStore) middleware.Store { return plainStore{m} }, false, 256},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &memStore{}
				auth := onWireWith(t, row.wrap(store), func(*http.Request, url.Values) (int, string, error) { return 500, "", nil })
				now := time.Now()
				cookies, err := auth.SessionCookies(tokensOf(20), now, now)
				if err != nil {
					t.Fatal(err)
				}
				page := auth.RequireSession(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
				gate := make(chan struct{})
				var underWay atomic.Int64
				store.set(func(ctx context.Context, _, token string) error {
					if strings.HasPrefix(token, "acp:s.") { // once in a call, beside its marks
						if underWay.Add(1) == 257 {
							t.Error("RL-23: more than 256 calls at once")
						}
						defer underWay.Add(-1)
					}
					if row.heeds {
						return hang(ctx, "", "")
					}
					<-gate
					return nil
				})
				const requests = 800
				start := time.Now()
				var wg sync.WaitGroup
				for range requests {
					wg.Go(func() {
						code := serve(page, request("GET", site+"/", cookiePairs(cookies))).Code
						if took := time.Since(start); code != 503 || took > 2*time.Second+50*time.Millisecond {
							t.Errorf("RL-23: %d after %s", code, took)
						}
					})
				}
				wg.Wait()
				synctest.Wait()
				if n := underWay.Load(); n != row.remain {
					t.Errorf("RL-23: %d calls go on, want %d", n, row.remain)
				}
				close(gate)
				synctest.Wait()
				if n := underWay.Load(); n != 0 {
					t.Errorf("RL-23: %d calls are left", n)
				}
				store.set(nil)
				time.Sleep(time.Second)
				if code := serve(page, request("GET", site+"/", cookiePairs(cookies))).Code; code != 200 {
					t.Errorf("RL-23: afterwards %d", code)
				}
			})
		})
	}
}

// Many requests at once are no outage: they wait for their turn.
func TestCrowdAtTheStore(t *testing.T) { // RL-23 RL-13
	synctest.Test(t, func(t *testing.T) {
		store := &memStore{}
		auth := onWireWith(t, plainStore{store}, func(*http.Request, url.Values) (int, string, error) { return 500, "", nil })
		now := time.Now()
		cookies, err := auth.SessionCookies(tokensOf(20), now, now)
		if err != nil {
			t.Fatal(err)
		}
		store.set(func(context.Context, string, string) error { time.Sleep(10 * time.Millisecond); return nil })
		page := auth.RequireSession(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		var wg sync.WaitGroup
		for range 1500 {
			wg.Go(func() {
				if code := serve(page, request("GET", site+"/", cookiePairs(cookies))).Code; code != 200 {
					t.Errorf("RL-23: %d", code)
				}
			})
		}
		wg.Wait()
	})
}

// A client that leaves fails nobody else, and is no failure of the store.
func TestClientLeavesTheStore(t *testing.T) { // RL-25
	synctest.Test(t, func(t *testing.T) {
		store := &memStore{}
		auth := onWireWith(t, store, func(*http.Request, url.Values) (int, string, error) { return 500, "", nil })
		now := time.Now()
		cookies, err := auth.SessionCookies(tokensOf(20), now, now)
		if err != nil {
			t.Fatal(err)
		}
		page := auth.RequireSession(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		store.set(hang)
		for range 30 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			w := serve(page, request("GET", site+"/", cookiePairs(cookies)).WithContext(ctx))
			if cancel(); w.Code == 200 || w.Header().Get("Set-Cookie") != "" {
				t.Errorf("RL-25: %d", w.Code)
			}
		}
		store.set(nil)
		if w := serve(page, request("GET", site+"/", cookiePairs(cookies))); w.Code != 200 {
			t.Errorf("RL-25: the next client: %d", w.Code)
		}
	})
}

// Two tenants share a process and a store's address, and one of them is down.
func TestTenantsAreApart(t *testing.T) { // RL-31
	a, b := newCluster(t, 1, nil), newCluster(t, 1, nil)
	alice, bob := a.signIn(), b.signIn()
	a.store.down()
	a.server.SetUnreachable(true)
	a.clock.advance(6 * time.Minute)
	b.clock.advance(6 * time.Minute)
	for range 30 {
		if code, _, _ := a.replicas[0].get("/token", alice); code != 503 {
			t.Errorf("RL-31: the tenant that is down: %d", code)
		}
		if code, _, _ := b.replicas[0].get("/token", bob); code != 200 {
			t.Errorf("RL-31: the other tenant: %d", code)
		}
	}
}

// A token and a session in one request, while nobody can tell about the session.
func TestEitherWhileStoreIsDown(t *testing.T) { // SE-27
	c := newCluster(t, 1, nil)
	held := c.signIn()
	auth := c.replicas[0].auth
	protect, err := auth.RequireSessionOrBearer(refuseAll{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "served") }))
	r := request("GET", site+"/", held)
	r.Header.Set("Authorization", "Bearer x")
	if w := serve(h, r); w.Code != 400 {
		t.Errorf("both: %d", w.Code)
	}
	c.store.down()
	if w := serve(h, r); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("both, while the store is down: %d", w.Code)
	}
}
