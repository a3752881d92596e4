package middleware_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/middleware"
)

// Cookies that were seen before are judged as those that were not.
func TestRememberedCookiesAreJudged(t *testing.T) { // SE-17 SE-18 SE-19 SE-07
	for _, stored := range []bool{false, true} {
		for name, end := range map[string]func(a *app, held string){
			"SE-17 idle":         func(a *app, _ string) { a.clock.advance(8*time.Hour + time.Second) },
			"SE-17 absolute":     func(a *app, _ string) { a.clock.advance(25 * time.Hour) },
			"SE-18 a clock back": func(a *app, _ string) { a.clock.advance(-6 * time.Minute) },
			"SE-19 a logout": func(a *app, held string) {
				if w := a.serve(request("POST", site+"/logout", held)); w.Code != 303 {
					t.Errorf("logout: %d", w.Code)
				}
			},
			"a longer session": func(a *app, held string) {
				a.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					r.Header.Set("Cookie", held+"; "+sessionPrefix+".5=x")
					a.routes(a.auth).ServeHTTP(w, r)
				})
			},
			"another login": func(a *app, held string) { a.browser.Navigate(site + "/login?return_to=/profile") },
		} {
			a := newApp(t, func(s *setup) {
				if stored {
					s.config.Store = &memStore{}
				}
			})
			a.login()
			held := a.cookieHeader()
			for range 2 {
				if code, body, _ := a.get("/profile", held); code != 200 || body != "alice" {
					t.Fatalf("%s: %d before", name, code)
				}
			}
			if n, _ := a.auth.Opened(); n == 0 {
				t.Fatalf("%s: nothing is remembered", name)
			}
			end(a, held)
			if code, _, _ := a.get("/profile", held); code != 303 {
				t.Errorf("%s, stored %v: %d", name, stored, code)
			}
		}
	}
	// The Store is asked each time.
	store := &memStore{}
	a := newApp(t, func(s *setup) { s.config.Store = store })
	a.login()
	held := a.cookieHeader()
	a.get("/profile", held)
	store.down()
	if code, _, _ := a.get("/profile", held); code != 503 {
		t.Errorf("SE-27: %d while the store is down", code)
	}
}

// An old key's cookie is renewed as often as it comes.
func TestRememberedCookiesOfAnOldKey(t *testing.T) { // SE-07
	a := newApp(t, nil)
	a.login()
	held := a.cookieHeader()
	a.config.CookieKeys = [][]byte{randomKey(), a.key}
	a.restart()
	for i := range 3 {
		if code, _, h := a.get("/profile", held); code != 200 || !sets(h, sessionPrefix) {
			t.Errorf("SE-07: request %d: %d, %q", i, code, h["Set-Cookie"])
		}
	}
}

// What a handler does to its Session, another request does not see.
func TestRememberedSessionIsEachRequestsOwn(t *testing.T) { // SE-35
	auth := newFuzzApp(t)
	held := cookiePairs(of(t, auth, "alice", 100, time.Now()))
	h := auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := middleware.SessionFromContext(r.Context())
		var claims map[string]any
		if err := s.Claims(&claims); err != nil || s.Subject != "alice" || claims["sub"] != "alice" {
			t.Errorf("%s, %v, %v", s.Subject, claims["sub"], err)
		}
		s.Subject, s.Issuer, s.ExpiresAt, claims["sub"] = "mallory", "evil", time.Time{}, "mallory"
	}))
	for range 3 {
		serve(h, request("GET", site+"/", held))
	}
}

// Who the user is stands in the record, as the ID token said it.
func TestSessionNamesTheUser(t *testing.T) {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	auth := newFuzzApp(t)
	for _, row := range []struct{ name, idToken, issuer, subject string }{
		{"both", "e30." + part(`{"iss":"https://op.example","sub":"alice"}`) + ".x", "https://op.example", "alice"},
		{"no ID token", "", "https://acp.invalid/t/w", ""},
		{"no issuer", "e30." + part(`{"sub":"alice"}`) + ".x", "https://acp.invalid/t/w", "alice"},
		{"an issuer that is no text", "e30." + part(`{"sub":"alice","iss":5}`) + ".x", "https://acp.invalid/t/w", ""},
		{"another case", "e30." + part(`{"Iss":"x","SUB":"alice"}`) + ".x", "https://acp.invalid/t/w", ""},
		{"no JWT", "opaque", "https://acp.invalid/t/w", ""},
	} {
		tokens := &acpclient.Tokens{Token: &oauth2.Token{AccessToken: "a"}, IDToken: row.idToken}
		cookies, err := auth.SessionCookies(tokens, time.Now(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		h := auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := middleware.SessionFromContext(r.Context())
			fmt.Fprintf(w, "%s %s", s.Issuer, s.Subject)
		}))
		for _, sight := range []string{"first", "second"} {
			if got := serve(h, request("GET", site+"/", cookiePairs(cookies))).Body.String(); got != row.issuer+" "+row.subject {
				t.Errorf("%s, %s sight: %q", row.name, sight, got)
			}
		}
	}
}

// Applications that share a key share no memory.
func TestRememberedCookiesAreOneApplications(t *testing.T) { // SE-06
	key := randomKey()
	build := func(issuer, clientID string) *middleware.Authenticator {
		client, err := acpclient.New(acpclient.Config{Issuer: issuer, ClientID: clientID, RedirectURL: site + "/callback", Transport: unreachable{}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close(t.Context()) })
		auth, err := middleware.New(client, middleware.Config{CookieKeys: [][]byte{key}, Logger: (&logBuffer{}).logger()})
		if err != nil {
			t.Fatal(err)
		}
		return auth
	}
	const issuer = "https://acp.invalid/t/w"
	apps := []*middleware.Authenticator{build(issuer, "shop"), build(issuer, "back-office"), build(issuer+"/2", "shop")}
	var held []string
	for i, auth := range apps {
		held = append(held, cookiePairs(of(t, auth, fmt.Sprint("user", i), 100, time.Now())))
	}
	var wg sync.WaitGroup
	for i, auth := range apps {
		read := reads(auth)
		wg.Go(func() {
			for range 200 {
				for j, cookies := range held {
					want := ""
					if i == j {
						want = fmt.Sprint("user", i)
					}
					if got := read(cookies); got != want {
						t.Errorf("SE-06: application %d takes %d's cookies for %q's", i, j, got)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

// Each request sees its own user and that user's tokens, while others come for the first
// time, come again, and mix what they have.
func TestRememberedCookiesCrossNoTalk(t *testing.T) { // SE-35 SE-13
	auth, now := newFuzzApp(t), time.Now()
	const users = 300
	held := make([][]*http.Cookie, users)
	for i := range held {
		held[i] = of(t, auth, fmt.Sprint("user", i), 3000+i, now)
	}
	h := auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := middleware.SessionFromContext(r.Context())
		token, err := s.AccessToken(r.Context())
		whose, _, _ := strings.Cut(strings.TrimPrefix(token, "of "), " ")
		fmt.Fprintf(w, "%s %s %v", s.Subject, whose, err)
	}))
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for step := range 500 {
				i := (step*7 + worker*31) % users
				user := fmt.Sprint("user", i)
				want := user + " " + user + " <nil>"
				if w := serve(h, request("GET", site+"/", cookiePairs(held[i]))); w.Body.String() != want {
					t.Errorf("SE-35: %s was served as %q", user, w.Body)
					return
				}
				last := len(held[i]) - 1
				mixed := with(held[i], step%(last+1), held[(i+1)%users][step%(last+1)].Value)
				if w := serve(h, request("GET", site+"/", cookiePairs(mixed))); w.Code != http.StatusSeeOther {
					t.Errorf("SE-13: mixed cookies were served as %q", w.Body)
					return
				}
			}
		})
	}
	wg.Wait()
}
