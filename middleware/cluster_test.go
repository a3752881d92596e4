package middleware_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/acp-go/acp/middleware"
)

// cluster is several processes of one application with one Store, at one server that
// rotates refresh tokens and ends the session of one that comes twice.
type cluster struct {
	*app
	store    *memStore
	replicas []*replica
	next     atomic.Int64
}

type replica struct {
	auth    *middleware.Authenticator
	handler http.Handler
	clock   *clock
}

// newCluster has a proxy in front that takes the replicas by turns. Their clocks are one, and
// they do not pause. A store that answers is given the time that a busy machine takes.
func newCluster(t *testing.T, n int, edit func(*setup)) *cluster {
	t.Helper()
	c := &cluster{store: &memStore{}}
	c.app = newApp(t, func(s *setup) {
		s.server.AccessTokenTTL = 5 * time.Minute
		s.config.Store = c.store
		if edit != nil {
			edit(s)
		}
	})
	for range n {
		c.start()
	}
	c.balance()
	return c
}

// start adds a replica.
func (c *cluster) start() *replica {
	c.t.Helper()
	config := c.config
	auth, err := middleware.New(c.client, config)
	if err != nil {
		c.t.Fatal(err)
	}
	r := &replica{auth: auth, clock: c.clock}
	auth.SetClock(func() time.Time { return r.clock.now() })
	auth.SetSleep(func(time.Duration) {})
	if config.Store != nil {
		auth.SetStoreTimeout(time.Minute)
	}
	r.handler = c.routes(auth)
	c.replicas = append(c.replicas, r)
	c.t.Cleanup(func() { auth.Close(c.t.Context()) })
	return r
}

func (c *cluster) balance() {
	c.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.replicas[int(c.next.Add(1))%len(c.replicas)].handler.ServeHTTP(w, r)
	})
}

// signIn is a login, and the cookies that it leaves.
func (c *cluster) signIn() string {
	c.t.Helper()
	c.browser.ClearCookies()
	c.login()
	return c.cookieHeader()
}

func (r *replica) get(path, cookies string) (int, string, http.Header) {
	w := serve(r.handler, request("GET", site+path, cookies))
	return w.Code, w.Body.String(), w.Header()
}

// fetch is a request of a page's script.
func (r *replica) fetch(path, cookies string) (int, http.Header) {
	q := request("GET", site+path, cookies)
	q.Header.Set("Sec-Fetch-Mode", "cors")
	w := serve(r.handler, q)
	return w.Code, w.Header()
}

func (r *replica) logout(cookies string) (int, http.Header) {
	w := serve(r.handler, request("POST", site+"/logout", cookies))
	return w.Code, w.Header()
}

// generation is that of the session in the Store.
func (r *replica) generation(cookies string) uint64 {
	g, _ := r.auth.StoredGeneration(request("GET", site+"/", cookies))
	return g
}

// alive checks that every replica serves a session, or that none does.
func (c *cluster) alive(what, cookies string, want bool) {
	c.t.Helper()
	for i, r := range c.replicas {
		if code, _, _ := r.get("/profile", cookies); code == 200 != want || code != 200 && code != 303 {
			c.t.Errorf("%s: replica %d answers %d, alive: %v", what, i, code, want)
		}
	}
}

// unavailable checks the answer of a time in which nobody can tell.
func unavailable(t *testing.T, what string, code int, h http.Header) {
	t.Helper()
	if code != 503 || h.Get("Retry-After") == "" || h.Get("Set-Cookie") != "" {
		t.Errorf("%s: %d, Retry-After %q, Set-Cookie %q", what, code, h.Get("Retry-After"), h.Values("Set-Cookie"))
	}
	isPrivate(t, h)
}

// dump is all that a store holds, as who steals it reads it.
func (m *memStore) dump() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	for _, token := range slices.Sorted(maps.Keys(m.values)) {
		fmt.Fprintf(&b, "%s = %s\n", token, m.values[token].b)
	}
	return b.String()
}

// each runs over what is stored under tokens that start with a prefix.
func (m *memStore) each(prefix string, f func(token string, v memValue) memValue) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for token, v := range m.values {
		if strings.HasPrefix(token, prefix) {
			m.values[token] = f(token, v)
		}
	}
}

func (m *memStore) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.values)
}
