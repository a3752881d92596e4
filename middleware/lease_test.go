package middleware_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/middleware"
)

// testLease is a Lease as good as a whole cluster's, with faults.
type testLease struct {
	mu    sync.Mutex
	held  map[string]chan struct{} // closed when it is given back
	fault func(ctx context.Context) error
}

func (l *testLease) set(fault func(context.Context) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = fault
}

func (l *testLease) Acquire(ctx context.Context, key string) (func(), error) {
	l.mu.Lock()
	fault := l.fault
	l.mu.Unlock()
	if fault != nil {
		if err := fault(ctx); err != nil {
			return nil, err
		}
	}
	for {
		mine := make(chan struct{})
		before := l.take(key, mine)
		if before == nil {
			return sync.OnceFunc(func() { l.end(key, mine) }), nil
		}
		select {
		case <-before:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take returns what to wait for, nil when the key is taken.
func (l *testLease) take(key string, mine chan struct{}) chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if before, busy := l.held[key]; busy {
		return before
	}
	if l.held == nil {
		l.held = map[string]chan struct{}{}
	}
	l.held[key] = mine
	return nil
}

func (l *testLease) end(key string, mine chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[key] == mine {
		delete(l.held, key)
		close(mine)
	}
}

// expire ends every lease, as time does for a holder that died.
func (l *testLease) expire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, mine := range l.held {
		delete(l.held, key)
		close(mine)
	}
}

// leaseFunc is a Lease that is a function.
type leaseFunc func(ctx context.Context, key string) (func(), error)

func (f leaseFunc) Acquire(ctx context.Context, key string) (func(), error) { return f(ctx, key) }

// inStoredRefresh runs f in a bubble of synctest: get asks for the access token of a stored
// session, which has expired; answer is the token endpoint.
func inStoredRefresh(t *testing.T, lease middleware.Lease, answer wire, f func(t *testing.T, store *memStore, get func() *httptest.ResponseRecorder, auth *middleware.Authenticator)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store := &memStore{}
		auth := onWireConfig(t, middleware.Config{Store: store, Lease: lease}, answer)
		now := time.Now()
		tokens := &acpclient.Tokens{Token: &oauth2.Token{AccessToken: "old", RefreshToken: "r", Expiry: now.Add(-time.Second)}}
		cookies, err := auth.SessionCookies(tokens, now, now)
		if err != nil {
			t.Fatal(err)
		}
		page := auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			token, err := middleware.SessionFromContext(r.Context()).AccessToken(r.Context())
			if err != nil {
				auth.WriteError(w, r, err)
				return
			}
			w.Write([]byte(token))
		}))
		f(t, store, func() *httptest.ResponseRecorder { return serve(page, request("GET", site+"/", cookiePairs(cookies))) }, auth)
		synctest.Wait()
	})
}

func newTokens(*http.Request, url.Values) (int, string, error) {
	return 200, `{"access_token":"new","token_type":"bearer","expires_in":86400,"refresh_token":"next"}`, nil
}

// Leases that do not work: nobody refreshes without one, since that could end the session at the server; who waits is
// told in time, the session stays, and it heals.
func TestBrokenLeases(t *testing.T) { // RF-03
	var silent chan struct{} // of the bubble
	for name, row := range map[string]struct {
		acquire leaseFunc
		status  int
		within  time.Duration
	}{
		"fails":             {func(context.Context, string) (func(), error) { return nil, errors.New("redis://u:hunter2@h is down") }, 503, 0},
		"panics":            {func(context.Context, string) (func(), error) { panic("hunter2") }, 503, 0},
		"hangs":             {func(ctx context.Context, _ string) (func(), error) { <-ctx.Done(); return nil, ctx.Err() }, 503, 10 * time.Second},
		"hangs for good":    {func(context.Context, string) (func(), error) { <-silent; return func() {}, nil }, 503, 10 * time.Second},
		"gives no release":  {func(context.Context, string) (func(), error) { return nil, nil }, 200, 0},
		"panics at the end": {func(context.Context, string) (func(), error) { return func() { panic("release") }, nil }, 200, 0},
		"hangs at the end":  {func(context.Context, string) (func(), error) { return func() { <-silent }, nil }, 200, 0},
	} {
		t.Run(name, func(t *testing.T) {
			sent := 0
			var mended atomic.Bool
			lease := leaseFunc(func(ctx context.Context, key string) (func(), error) {
				if mended.Load() {
					return func() {}, nil
				}
				return row.acquire(ctx, key)
			})
			inStoredRefresh(t, lease, func(r *http.Request, form url.Values) (int, string, error) { sent++; return newTokens(r, form) },
				func(t *testing.T, _ *memStore, get func() *httptest.ResponseRecorder, auth *middleware.Authenticator) {
					silent = make(chan struct{})
					start := time.Now()
					w := get()
					if took := time.Since(start); w.Code != row.status || took != row.within || strings.Contains(w.Body.String(), "hunter2") || deletes(w.Header(), sessionPrefix+"=") {
						t.Errorf("RF-03: %d after %s: %s", w.Code, took, w.Body)
					}
					if want := map[int]int{200: 1}[row.status]; sent != want {
						t.Errorf("RF-03: %d token requests", sent)
					}
					mended.Store(true)
					close(silent)
					synctest.Wait()
					time.Sleep(time.Second)
					if w := get(); w.Code != 200 || w.Body.String() != "new" || sent != 1 {
						t.Errorf("RF-03: afterwards %d %q, %d token requests", w.Code, w.Body, sent)
					}
					if err := auth.Close(t.Context()); err != nil {
						t.Errorf("RF-03: Close: %v", err)
					}
				})
		})
	}
}

// A lease that comes when nobody waits for it any more is given back.
func TestLateLease(t *testing.T) { // RF-03
	var released, acquired int
	var gate chan struct{}
	lease := leaseFunc(func(context.Context, string) (func(), error) {
		acquired++
		<-gate
		return func() { released++ }, nil
	})
	inStoredRefresh(t, lease, newTokens, func(t *testing.T, _ *memStore, get func() *httptest.ResponseRecorder, _ *middleware.Authenticator) {
		gate = make(chan struct{})
		if w := get(); w.Code != 503 {
			t.Errorf("%d", w.Code)
		}
		close(gate)
		synctest.Wait()
		if acquired != 1 || released != 1 {
			t.Errorf("RF-03: %d leases were taken, %d given back", acquired, released)
		}
		time.Sleep(time.Second)
		if w := get(); w.Code != 200 {
			t.Errorf("%d", w.Code)
		}
		synctest.Wait()
		if acquired != 2 || released != 2 {
			t.Errorf("RF-03: %d leases were taken, %d given back", acquired, released)
		}
	})
}

// The lease was lost, since the holder stood still: it finds what the next one has stored, or asks like
// it and gets the same answer.
func TestLostLease(t *testing.T) { // RF-02 RF-03
	lease := &testLease{}
	c := newCluster(t, 2, func(s *setup) { s.config.Lease = lease })
	held := c.signIn()
	c.clock.advance(6 * time.Minute)
	stands, goes := make(chan struct{}), make(chan struct{})
	var once sync.Once
	c.replicas[0].auth.SetSleep(func(time.Duration) {})
	lease.set(func(context.Context) error { return nil })
	c.store.set(func(_ context.Context, op, token string) error {
		if op == "commit" && strings.HasPrefix(token, "acp:s.") {
			first := false
			once.Do(func() { first = true })
			if first {
				close(stands)
				<-goes
			}
		}
		return nil
	})
	first := make(chan string)
	go func() { _, token, _ := c.replicas[0].get("/token", held); first <- token }()
	<-stands
	lease.expire()
	code, second, _ := c.replicas[1].get("/token", held)
	close(goes)
	if got := <-first; code != 200 || got != second {
		t.Errorf("RF-03: %d, one token %v", code, got == second)
	}
	c.alive("RF-03", held, true)
	if n := len(c.server.ActiveRefreshTokens()); n != 1 {
		t.Errorf("RF-03: %d refresh tokens are alive", n)
	}
}

// The token request has all of its time, however long the lease was waited for: an answer that is
// cut off is a refresh token that is used up.
func TestLeaseTakesNoTime(t *testing.T) { // RF-03
	lease := leaseFunc(func(context.Context, string) (func(), error) { time.Sleep(9 * time.Second); return func() {}, nil })
	slow := func(r *http.Request, form url.Values) (int, string, error) {
		select {
		case <-time.After(5 * time.Second):
			return newTokens(r, form)
		case <-r.Context().Done():
			return 0, "", r.Context().Err()
		}
	}
	inStoredRefresh(t, lease, slow, func(t *testing.T, _ *memStore, get func() *httptest.ResponseRecorder, _ *middleware.Authenticator) {
		start := time.Now()
		if w := get(); w.Code != 503 || time.Since(start) != 10*time.Second || w.Header().Get("Retry-After") == "" {
			t.Errorf("RF-03: %d after %s", w.Code, time.Since(start))
		}
		if w := get(); w.Code != 200 || w.Body.String() != "new" || time.Since(start) != 14*time.Second {
			t.Errorf("RF-03: %d %q after %s", w.Code, w.Body, time.Since(start))
		}
	})
}
