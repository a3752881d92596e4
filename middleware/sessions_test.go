package middleware_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/acp-go/acp/acptest"
)

func readCloser(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }

func (a *app) get(path, cookies string) (int, string, http.Header) {
	w := a.serve(request("GET", site+path, cookies))
	return w.Code, w.Body.String(), w.Header()
}

func TestSessionCookie(t *testing.T) { // SE-01
	a := newApp(t, nil)
	a.login()
	found := 0
	for _, s := range a.browser.Log() {
		for _, line := range s.SetCookies {
			if !strings.HasPrefix(line, sessionPrefix) {
				continue
			}
			found++
			for _, want := range []string{"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} {
				if !strings.Contains(line, want) {
					t.Errorf("SE-01: no %s", want)
				}
			}
			if strings.Contains(line, "Domain") || len(line) > 4096 {
				t.Errorf("SE-01 SE-08: a domain, or %d bytes", len(line))
			}
		}
	}
	if found == 0 {
		t.Error("no session cookie")
	}
}

func TestSessionTimeouts(t *testing.T) { // SE-17
	a := newApp(t, nil)
	a.login()
	held := a.cookieHeader()
	a.clock.advance(8*time.Hour - time.Minute)
	if code, _, _ := a.get("/profile", held); code != 200 {
		t.Errorf("just before the idle timeout: %d", code)
	}
	a.clock.advance(2 * time.Minute)
	if code, _, _ := a.get("/profile", held); code != 303 {
		t.Errorf("after the idle timeout: %d", code)
	}
	b := newApp(t, nil)
	b.login()
	for range 4 {
		b.clock.advance(5 * time.Hour)
		if p := b.browser.Navigate(site + "/profile"); p.Body() != "alice" {
			t.Fatalf("a session in use ended: %d", p.Status())
		}
	}
	b.clock.advance(5 * time.Hour)
	if code, _, _ := b.get("/profile", b.cookieHeader()); code != 303 {
		t.Errorf("after the absolute timeout: %d", code)
	}
}

func TestSessionTampering(t *testing.T) {
	a := newApp(t, func(s *setup) { s.server.AtHash = true })
	a.login()
	cookies := a.cookies(sessionPrefix)
	name, value := cookies[0].Name, cookies[0].Value
	for i := 0; i < len(value); i += 61 {
		b := []byte(value)
		b[i] ^= 1
		if code, _, h := a.get("/profile", name+"="+string(b)); code != 303 || sets(h, sessionPrefix) {
			t.Fatalf("SE-09: byte %d flipped: %d", i, code)
		}
	}
	huge := "2000000000." + value
	if code, _, h := a.get("/profile", name+"="+huge); code != 303 || len(fmt.Sprint(h)) > 8<<10 { // SE-10
		t.Errorf("SE-10: %d with %d bytes of headers", code, len(fmt.Sprint(h)))
	}
	if code, body, _ := a.get("/profile", name+"=garbage; "+name+"="+value); code == 200 && body != "alice" { // SE-13
		t.Errorf("SE-13: %d %q", code, body)
	}
	many := strings.Repeat(name+"=x; ", 500) // SE-12
	if code, _, _ := a.get("/profile", many); code != 303 {
		t.Errorf("SE-12: %d", code)
	}
}

func TestKeyRotation(t *testing.T) { // SE-07
	a := newApp(t, nil)
	a.login()
	a.config.CookieKeys = [][]byte{randomKey(), a.key}
	a.restart()
	if p := a.browser.Navigate(site + "/profile"); p.Body() != "alice" || len(p.Steps) != 1 {
		t.Errorf("the old key: %d after %d steps", p.Status(), len(p.Steps))
	}
	a.config.CookieKeys = [][]byte{randomKey()}
	a.restart()
	if code, _, _ := a.get("/profile", a.cookieHeader()); code != 303 {
		t.Errorf("without the old key: %d", code)
	}
}

func TestFixation(t *testing.T) { // CB-33
	a := newApp(t, nil)
	a.login()
	before := a.cookieHeader()
	a.server.SetUser(acptest.User{Subject: "bob"})
	if p := a.browser.Navigate(site + "/login?return_to=/profile"); p.Body() != "bob" {
		t.Fatalf("%d %s", p.Status(), p.Body())
	}
	if a.cookieHeader() == before {
		t.Error("CB-33: the cookie stayed")
	}
	if code, body, _ := a.get("/profile", before); code == 200 {
		t.Errorf("CB-33: the session of before still serves %q", body)
	}
}

// One refresh for all who want the token at once, and the same token for all.
func TestOneRefresh(t *testing.T) { // RF-01 RL-13 RL-25
	a := newApp(t, func(s *setup) { s.server.AccessTokenTTL = 5 * time.Minute })
	a.login()
	held := a.cookieHeader()
	a.clock.advance(10 * time.Minute)
	release := a.server.Hold(acptest.TokenEndpoint)
	var wg sync.WaitGroup
	tokens := make([]string, 50)
	for i := range tokens {
		wg.Go(func() { _, tokens[i], _ = a.get("/token", held) })
	}
	if err := a.server.Wait(t.Context(), acptest.TokenEndpoint, 2); err != nil {
		t.Fatal(err)
	}
	// Who the user is never waits for it.
	if code, body, _ := a.get("/profile", held); code != 200 || body != "alice" {
		t.Errorf("identity during a refresh: %d %q", code, body)
	}
	release()
	wg.Wait()
	for i, token := range tokens {
		if token == "" || token != tokens[0] {
			t.Fatalf("request %d got another token", i)
		}
	}
	if n := a.server.Count(acptest.TokenEndpoint); n != 2 {
		t.Errorf("RF-01: %d token requests, want the login's and one refresh", n)
	}
	// RF-04: the slow tab's cookie of before the refresh is served with the newest token.
	if _, token, h := a.get("/token", held); token != tokens[0] || !sets(h, sessionPrefix) {
		t.Errorf("the old cookie: the same token %v, rewritten %v", token == tokens[0], sets(h, sessionPrefix))
	}
}

func TestRefreshWhileServerIsDown(t *testing.T) { // RF-10 RL-01 RL-07
	a := newApp(t, func(s *setup) { s.server.AccessTokenTTL = 5 * time.Minute })
	a.login()
	a.clock.advance(10 * time.Minute)
	a.server.SetUnreachable(true)
	code, _, h := a.get("/token", a.cookieHeader())
	if code != 503 || h.Get("Retry-After") == "" || deletes(h, sessionPrefix+"=") {
		t.Errorf("RF-10: %d, Retry-After %q", code, h.Get("Retry-After"))
	}
	if code, body, _ := a.get("/profile", a.cookieHeader()); code != 200 || body != "alice" {
		t.Errorf("RL-01: identity while the server is down: %d", code)
	}
	a.server.SetUnreachable(false)
	a.clock.advance(3 * time.Second)
	if code, _, _ := a.get("/token", a.cookieHeader()); code != 200 {
		t.Errorf("RL-07: after the outage: %d\n%s", code, a.logs)
	}
}

func TestRefreshRefused(t *testing.T) { // RF-08
	a := newApp(t, func(s *setup) { s.server.AccessTokenTTL = 5 * time.Minute })
	a.login()
	held := a.cookieHeader()
	a.clock.advance(10 * time.Minute)
	a.server.RevokeTokens()
	r := request("GET", site+"/token", held)
	r.Header.Set("Sec-Fetch-Mode", "cors")
	if w := a.serve(r); w.Code != 401 || !deletes(w.Header(), sessionPrefix+"=") {
		t.Errorf("RF-08: %d, %q", w.Code, w.Header().Values("Set-Cookie"))
	}
	if code, _, _ := a.get("/profile", held); code != 303 {
		t.Errorf("RF-08: the session goes on: %d", code)
	}
	if n := a.server.Count(acptest.TokenEndpoint); n != 2 {
		t.Errorf("RF-08: %d token requests", n)
	}
}

func TestRefreshNamesAnother(t *testing.T) { // RF-12
	a := newApp(t, func(s *setup) { s.server.AccessTokenTTL = 5 * time.Minute })
	a.login()
	held := a.cookieHeader()
	a.clock.advance(10 * time.Minute)
	a.server.OnIDToken(func(_, claims map[string]any) { claims["sub"] = "mallory" })
	a.get("/token", held)
	if code, _, _ := a.get("/profile", held); code != 303 {
		t.Errorf("RF-12: the session goes on: %d", code)
	}
}

func TestLogoutSticks(t *testing.T) { // LO-01 LO-02 RF-19 SE-19
	a := newApp(t, func(s *setup) { s.server.AccessTokenTTL = 5 * time.Minute })
	a.login()
	held := a.cookieHeader()
	for name, set := range map[string]func(http.Header){
		"another site":     func(h http.Header) { h.Set("Sec-Fetch-Site", "cross-site") },
		"a sibling":        func(h http.Header) { h.Set("Sec-Fetch-Site", "same-site") },
		"a foreign origin": func(h http.Header) { h.Set("Origin", "https://evil.example") },
		"a null origin":    func(h http.Header) { h.Set("Origin", "null") },
		"a null origin, vouched for": func(h http.Header) {
			h.Set("Origin", "null")
			h.Set("Sec-Fetch-Site", "same-origin")
		},
		"a foreign localhost": func(h http.Header) { h.Set("Origin", "https://app.example.evil.example") },
	} {
		r := request("POST", site+"/logout", held)
		set(r.Header)
		if w := a.serve(r); w.Code != 403 {
			t.Errorf("SE-25 %s: %d", name, w.Code)
		}
	}
	if w := a.serve(request("GET", site+"/logout", held)); w.Code != 405 { // LO-01
		t.Errorf("LO-01: %d", w.Code)
	}
	if code, _, _ := a.get("/profile", held); code != 200 {
		t.Fatalf("the session did not survive the attacks: %d", code)
	}
	a.clock.advance(10 * time.Minute)
	release := a.server.Hold(acptest.TokenEndpoint)
	late := make(chan http.Header)
	go func() { _, _, h := a.get("/token", held); late <- h }()
	if err := a.server.Wait(t.Context(), acptest.TokenEndpoint, 2); err != nil {
		t.Fatal(err)
	}
	w := a.serve(request("POST", site+"/logout", held))
	to, err := url.Parse(w.Header().Get("Location"))
	if err != nil || w.Code != 303 || to.Query().Get("id_token_hint") == "" || !deletes(w.Header(), sessionPrefix+"=") {
		t.Errorf("LO-02: %d to %s", w.Code, to)
	}
	release()
	if h := <-late; sets(h, sessionPrefix) {
		t.Error("RF-19: the late refresh set a session cookie")
	}
	if code, _, _ := a.get("/profile", held); code != 303 {
		t.Errorf("SE-19: the old cookie after the logout: %d", code)
	}
	if n := a.server.Count(acptest.RevokeEndpoint); n == 0 {
		t.Error("LO-08: nothing was revoked")
	}
}

func TestLogoutWhileServerIsDown(t *testing.T) { // LO-03
	a := newApp(t, nil)
	a.login()
	held := a.cookieHeader()
	a.server.SetUnreachable(true)
	if w := a.serve(request("POST", site+"/logout", held)); w.Code != 303 || !deletes(w.Header(), sessionPrefix+"=") {
		t.Errorf("%d", w.Code)
	}
	if code, _, _ := a.get("/profile", held); code != 303 {
		t.Errorf("the session goes on: %d", code)
	}
}

func TestBackchannelLogoutWithoutStore(t *testing.T) { // LO-22
	a := newApp(t, nil)
	if w := a.serve(request("POST", site+"/backchannel-logout", "")); w.Code != 501 {
		t.Errorf("POST: %d", w.Code)
	}
	if w := a.serve(request("GET", site+"/backchannel-logout", "")); w.Code != 405 { // LO-19
		t.Errorf("GET: %d", w.Code)
	}
}

func TestParallelUsers(t *testing.T) { // SE-35
	a := newApp(t, nil)
	users := map[string]string{}
	for _, name := range []string{"alice", "bob", "carol"} {
		a.server.SetUser(acptest.User{Subject: name})
		a.browser.ClearCookies()
		a.browser.Navigate(site + "/profile")
		users[name] = a.cookieHeader()
	}
	var wg sync.WaitGroup
	for name, held := range users {
		for range 4 {
			wg.Go(func() {
				for range 200 {
					if _, body, _ := a.get("/profile", held); body != name {
						t.Errorf("SE-35: %s was served as %q", name, body)
						return
					}
				}
			})
		}
	}
	wg.Wait()
}
