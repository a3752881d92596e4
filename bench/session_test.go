package main

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// The keepers are comparable only when each of them gives back what it was given, and
// refuses what was not sealed, or is over.
func TestKeepers(t *testing.T) {
	s, err := newServer("ES256")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	s.tokenSize = tokenSize
	all, err := makeKeepers(t.Context(), s, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range all {
		t.Cleanup(k.shut)
		t.Run(k.name(), func(t *testing.T) {
			read, err := k.reader()
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range []int{0, 1, 0, 0} {
				if err := read(i); err != nil {
					t.Errorf("session %d: %v", i, err)
				}
			}
			for name, edit := range map[string]func(string) string{
				"no cookies":     func(string) string { return "x=y" },
				"another number": func(c string) string { return strings.Replace(c, "=2.", "=1.", 1) },
				"a byte changed": func(c string) string {
					_, value, _ := strings.Cut(c, "=")
					return strings.Replace(c, value[20:22], "xx", 1)
				},
				"another's second": func(c string) string {
					name, second, ok := strings.Cut(c, "; ")
					if !ok {
						return ""
					}
					_, others, _ := strings.Cut(k.cookies[1], "; ")
					return name + "; " + strings.Replace(second, second[20:], others[20:], 1)
				},
			} {
				bad := edit(k.cookies[0])
				if bad == k.cookies[0] {
					continue // nothing that this keeper has
				}
				tried := k
				tried.cookies = []string{bad}
				read, err := tried.reader()
				if err != nil {
					t.Fatal(err)
				}
				// A token of gorilla's is a session of its own.
				if read(0) == nil && !(name == "another's second" && strings.HasPrefix(k.title, "gorilla")) {
					t.Errorf("%s: a session", name)
				}
			}
		})
	}
	if len(all[0].cookies[0]) < 4000 || strings.Count(all[0].cookies[0], ";") != 1 {
		t.Errorf("a session of %d bytes", len(all[0].cookies[0]))
	}
}

// What is kept is the same everywhere, whole.
func TestKeepersKeepAll(t *testing.T) {
	g := &grant{
		Issuer: "https://op.example", Subject: theUser.Subject, AccessToken: strings.Repeat("a", tokenSize), RefreshToken: strings.Repeat("r", tokenSize),
		IDToken: strings.Repeat("i", tokenSize), Expiry: time.Now().Add(time.Hour), Created: time.Now(), Seen: time.Now(),
	}
	proxy, err := newOAuth2ProxyKeeper()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []*keeper{newGorillaKeeper(), newSCSKeeper(), proxy, newByHandKeeper()} {
		t.Run(k.title, func(t *testing.T) {
			if k.close != nil {
				t.Cleanup(k.close)
			}
			cookies, err := k.keep(t.Context(), g)
			if err != nil {
				t.Fatal(err)
			}
			got := &grant{}
			h, err := k.serve(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if g, err := k.tokens(r); err == nil {
					*got = *g
				}
			}))
			if err != nil {
				t.Fatal(err)
			}
			h.ServeHTTP(&answer{header: http.Header{}}, navigation("https://app.example/", cookies))
			if !got.whole(g) {
				t.Errorf("%+v", got)
			}
			old := *g
			old.Seen, old.Created = old.Seen.Add(-idleTimeout), old.Created.Add(-absoluteTimeout)
			if old.live(time.Now()) || (&grant{}).live(time.Now()) || !g.live(time.Now()) {
				t.Error("a session that is over")
			}
		})
	}
}

// whole tells whether all of a grant came back.
func (g *grant) whole(from *grant) bool {
	return g.Subject == from.Subject && g.Issuer == from.Issuer && g.AccessToken == from.AccessToken &&
		g.RefreshToken == from.RefreshToken && g.IDToken == from.IDToken
}
