package middleware_test

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// What a store gives back that is not what was stored there: nobody is let in by it, nobody
// gets another's session, nothing crashes, and the user signs in again.
func TestHostileStoreValues(t *testing.T) { // SE-28 SE-29 RL-24
	for name, spoil := range map[string]func(own, other []byte) []byte{
		"SE-28 another user's": func(_, other []byte) []byte { return other },
		"SE-28 truncated":      func(own, _ []byte) []byte { return own[:len(own)-1] },
		"SE-28 cut in half":    func(own, _ []byte) []byte { return own[:len(own)/2] },
		"SE-28 empty":          func(_, _ []byte) []byte { return nil },
		"SE-28 a bit":          func(own, _ []byte) []byte { b := bytes.Clone(own); b[len(b)/2] ^= 1; return b },
		"SE-28 longer":         func(own, _ []byte) []byte { return append(bytes.Clone(own), 'A') },
		"SE-28 twice":          func(own, _ []byte) []byte { return append(bytes.Clone(own), own...) },
		"SE-28 other software": func(_, _ []byte) []byte { return []byte(`{"user":"mallory"}`) },
		"SE-28 a megabyte":     func(_, _ []byte) []byte { return bytes.Repeat([]byte("A"), 1<<20) },
		"SE-28 a tombstone":    func(_, _ []byte) []byte { return []byte{1} },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 2, nil)
			other := c.signIn()
			r := c.replicas[0]
			otherToken := r.auth.RecordToken(request("GET", site+"/", other))
			held := c.signIn()
			token := r.auth.RecordToken(request("GET", site+"/", held))
			if token == otherToken {
				t.Fatal("one record for two sessions")
			}
			c.store.mu.Lock()
			own := c.store.values[token]
			c.store.values[token] = memValue{spoil(own.b, c.store.values[otherToken].b), own.expiry}
			c.store.mu.Unlock()
			served := c.served.Load()
			for _, r := range c.replicas {
				code, body, h := r.get("/profile", held)
				if code != 303 || sets(h, sessionPrefix) || !deletes(h, sessionPrefix+"=") {
					t.Errorf("%d %q", code, body)
				}
				if code, _ := r.fetch("/token", held); code != 401 {
					t.Errorf("a fetch: %d", code)
				}
			}
			if c.served.Load() != served {
				t.Error("NH: a handler was called")
			}
			c.alive("the other session", other, true)
			if held = c.signIn(); strings.Contains(c.logs.String(), "panic") {
				t.Error(c.logs)
			}
			c.alive("the next login", held, true)
		})
	}
}

// Two values that change their places are two sessions less, and no session more.
func TestSwappedStoreValues(t *testing.T) { // SE-28
	c := newCluster(t, 1, nil)
	r := c.replicas[0]
	first, second := c.signIn(), c.signIn()
	one, two := r.auth.RecordToken(request("GET", site+"/", first)), r.auth.RecordToken(request("GET", site+"/", second))
	c.store.mu.Lock()
	c.store.values[one], c.store.values[two] = c.store.values[two], c.store.values[one]
	c.store.mu.Unlock()
	c.alive("the first", first, false)
	c.alive("the second", second, false)
}

// Marks that cannot be read, or that a later version wrote longer.
func TestHostileMarks(t *testing.T) { // SE-28
	for name, row := range map[string]struct {
		edit  func([]byte) []byte
		alive bool
	}{
		"as it is":                   {func(b []byte) []byte { return b }, false},
		"longer, by a later version": {func(b []byte) []byte { return append(bytes.Clone(b), 1, 2, 3) }, false},
		"empty":                      {func([]byte) []byte { return nil }, true},
		"cut":                        {func(b []byte) []byte { return b[:3] }, true},
		"year 10000":                 {func(b []byte) []byte { return append(bytes.Repeat([]byte{255}, 8), b...) }, true},
		"text":                       {func([]byte) []byte { return []byte("OK") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 1, nil)
			held := c.signIn()
			if res := c.server.BackchannelLogout(c.handler, site+"/backchannel-logout", nil); res.StatusCode != 200 {
				t.Fatal(res.Status)
			}
			c.store.each("acp:m.", func(_ string, v memValue) memValue { v.b = row.edit(v.b); return v })
			c.alive(name, held, row.alive)
		})
	}
}

// The store forgot everything: its users sign in again, and that works.
func TestFlushedStore(t *testing.T) { // SE-29 RL-24
	c := newCluster(t, 2, nil)
	held := c.signIn()
	c.clock.advance(6 * time.Minute)
	for _, r := range c.replicas {
		r.get("/token", held) // so that both remember its tokens
	}
	c.store.clear()
	for i, r := range c.replicas {
		code, _, h := r.get("/profile", held)
		if code != 303 || !deletes(h, sessionPrefix+"=") {
			t.Errorf("SE-29: replica %d: %d", i, code)
		}
		if code, _ := r.fetch("/token", held); code != 401 {
			t.Errorf("SE-29: replica %d, a fetch: %d", i, code)
		}
	}
	if c.store.dump() != "" {
		t.Errorf("SE-29: something came back: %s", c.store.dump())
	}
	if p := c.browser.Navigate(site + "/profile"); p.Body() != "alice" {
		t.Errorf("SE-29: %d %s", p.Status(), p.Body())
	}
}
