package middleware_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/middleware"
)

// plainStore has the three methods alone.
type plainStore struct{ m *memStore }

func (p plainStore) Find(token string) ([]byte, bool, error) { return p.m.Find(token) }
func (p plainStore) Commit(token string, b []byte, expiry time.Time) error {
	return p.m.Commit(token, b, expiry)
}
func (p plainStore) Delete(token string) error { return p.m.Delete(token) }

// contextStore has contexts, and no Add.
type contextStore struct{ plainStore }

func (c contextStore) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	return c.m.FindCtx(ctx, token)
}
func (c contextStore) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	return c.m.CommitCtx(ctx, token, b, expiry)
}
func (c contextStore) DeleteCtx(ctx context.Context, token string) error {
	return c.m.DeleteCtx(ctx, token)
}

// halfStore has one of the three contexts: it is called without any.
type halfStore struct{ plainStore }

func (h halfStore) FindCtx(context.Context, string) ([]byte, bool, error) {
	return nil, false, errors.New("called by halves")
}

// forgetful gives out memory of its own, over which it writes with its next call for the same token.
type forgetful struct {
	plainStore
	mu  *sync.Mutex
	out map[string][]byte
}

func (f forgetful) Find(token string) ([]byte, bool, error) {
	b, found, err := f.m.Find(token)
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.out[token] {
		f.out[token][i] = 'x'
	}
	f.out[token] = b
	return b, found, err
}

// refuseAll is a verifier of tokens.
type refuseAll struct{}

func (refuseAll) Verify(context.Context, string) (*acpclient.AccessToken, error) {
	return nil, acpclient.ErrInvalidToken
}

// onWireWith is an application with a Store whose server is f.
func onWireWith(t testing.TB, store middleware.Store, f wire) *middleware.Authenticator {
	t.Helper()
	return onWireConfig(t, middleware.Config{Store: store}, f)
}

// Stores of every shape serve: login, refresh, logout, back-channel logout, twice each.
func TestShapesOfStores(t *testing.T) {
	for name, shape := range map[string]func(*memStore) middleware.Store{
		"all methods":       func(m *memStore) middleware.Store { return m },
		"without contexts":  func(m *memStore) middleware.Store { return plainStore{m} },
		"without Add":       func(m *memStore) middleware.Store { return contextStore{plainStore{m}} },
		"half the contexts": func(m *memStore) middleware.Store { return halfStore{plainStore{m}} },
		"reuses its memory": func(m *memStore) middleware.Store {
			return forgetful{plainStore{m}, &sync.Mutex{}, map[string][]byte{}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 2, func(s *setup) { s.config.Store = shape(&memStore{}) })
			held := c.signIn()
			c.alive("signed in", held, true)
			c.clock.advance(6 * time.Minute)
			for _, r := range c.replicas {
				if code, _, _ := r.get("/token", held); code != 200 {
					t.Errorf("a refresh: %d", code)
				}
			}
			// A callback is used once, on every replica.
			begun := c.callback(c.browser.Tab(), "/login?return_to=/other")
			tx := c.cookieHeader()
			w := serve(c.replicas[0].handler, request("GET", begun.Next.String(), tx))
			if w.Code != 303 || serve(c.replicas[1].handler, request("GET", begun.Next.String(), withoutSession(tx))).Code != 400 {
				t.Errorf("a callback: %d", w.Code)
			}
			held = cookiesSet(w.Header())
			token := c.server.LogoutToken(nil)
			if w := postLogoutToken(c.replicas[0].handler, token); w.Code != 200 {
				t.Errorf("a back-channel logout: %d", w.Code)
			}
			if w := postLogoutToken(c.replicas[1].handler, token); w.Code != 400 {
				t.Errorf("its repetition: %d", w.Code)
			}
			c.alive("logged out", held, false)
		})
	}
}

// withoutSession is a Cookie header without the session.
func withoutSession(cookies string) string {
	var kept []string
	for pair := range strings.SplitSeq(cookies, "; ") {
		if !strings.HasPrefix(pair, sessionPrefix) {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "; ")
}

// A store that panics is a store that is down.
func TestStorePanics(t *testing.T) {
	for name, wrap := range map[string]func(*memStore) middleware.Store{
		"with contexts": func(m *memStore) middleware.Store { return m }, "without": func(m *memStore) middleware.Store { return plainStore{m} },
	} {
		t.Run(name, func(t *testing.T) {
			store := &memStore{}
			c := newCluster(t, 1, func(s *setup) { s.config.Store = wrap(store) })
			held := c.signIn()
			for _, prefix := range []string{"acp:s.", "acp:e.", "acp:m."} {
				store.set(func(_ context.Context, _, token string) error {
					if strings.HasPrefix(token, prefix) {
						panic("hunter2\n\x1b[2J password=hunter2")
					}
					return nil
				})
				code, body, h := c.replicas[0].get("/profile", held)
				unavailable(t, prefix, code, h)
				if strings.Contains(body, "hunter2") || strings.Contains(c.logs.String(), "\x1b") || strings.Contains(c.logs.String(), "password=hunter2") {
					t.Errorf("%s\n%s", body, c.logs)
				}
			}
			store.set(nil)
			c.alive("afterwards", held, true)
		})
	}
}

// A Store and a Lease that are nil pointers, and what else cannot be meant, are told at the start.
func TestStoreMistakes(t *testing.T) { // CF-01
	client, err := acpclient.New(acpclient.Config{Issuer: wireIssuer, ClientID: "c", RedirectURL: site + "/callback", Transport: unreachable{}})
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		config middleware.Config
		want   string
	}{
		"a nil pointer":       {middleware.Config{Store: (*memStore)(nil)}, "Config.Store: is a nil pointer"},
		"a nil lease":         {middleware.Config{Store: &memStore{}, Lease: (*testLease)(nil)}, "Config.Lease: is a nil pointer"},
		"a lease alone":       {middleware.Config{Lease: &testLease{}}, "Config.Lease: needs a Store"},
		"a nil func of lease": {middleware.Config{Store: &memStore{}, Lease: leaseFunc(nil)}, "Config.Lease: is a nil pointer"},
	} {
		row.config.CookieKeys = [][]byte{randomKey()}
		if auth, err := middleware.New(client, row.config); err == nil || auth != nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A write that was given up reaches the store all the same, after the session has ended: it stays ended.
func TestLateWrite(t *testing.T) { // LO-24 RF-19
	c := newCluster(t, 2, nil)
	held := c.signIn()
	r := c.replicas[0]
	token := r.auth.RecordToken(request("GET", site+"/", held))
	c.store.mu.Lock()
	old := c.store.values[token]
	c.store.mu.Unlock()
	if code, _ := r.logout(held); code != 303 {
		t.Fatal(code)
	}
	if err := c.store.Commit(token, old.b, old.expiry); err != nil {
		t.Fatal(err)
	}
	c.alive("a late write", held, false)
	// The same with a session that another login replaced.
	held = c.signIn()
	token = r.auth.RecordToken(request("GET", site+"/", held))
	c.store.mu.Lock()
	old = c.store.values[token]
	c.store.mu.Unlock()
	if p := c.browser.Navigate(site + "/login?return_to=/profile"); p.Body() != "alice" {
		t.Fatal(p.Status())
	}
	if err := c.store.Commit(token, old.b, old.expiry); err != nil {
		t.Fatal(err)
	}
	c.alive("the session of before a login", held, false)
}
