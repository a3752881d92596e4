package middleware_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/acp-go/acp/acptest"
)

// The server's clock may be off by a minute, and not by five.
func TestSkewOfTheServer(t *testing.T) { // RL-27
	for _, row := range []struct {
		claim  string
		off    time.Duration // from now
		status int
	}{
		{"iat", 55 * time.Second, 303}, {"iat", 5 * time.Minute, 502},
		{"iat", -55 * time.Second, 303},
		{"exp", -30 * time.Second, 303}, {"exp", -5 * time.Minute, 502},
		{"nbf", 55 * time.Second, 303}, {"nbf", 5 * time.Minute, 502},
	} {
		t.Run(fmt.Sprint(row.claim, " ", row.off), func(t *testing.T) {
			a := newApp(t, nil)
			a.server.OnIDToken(func(_, claims map[string]any) {
				claims[row.claim] = time.Now().Add(row.off).Unix()
				if row.claim == "exp" {
					claims["iat"] = time.Now().Add(row.off - time.Minute).Unix()
				}
			})
			p := a.callback(a.browser, "/profile")
			w := a.serve(request("GET", p.Next.String(), a.cookieHeader()))
			if w.Code != row.status || sets(w.Header(), sessionPrefix) != (row.status == 303) {
				t.Errorf("RL-27: %d, want %d\n%s", w.Code, row.status, a.logs)
			}
		})
	}
}

// So may the clock of another process that sealed the session.
func TestSkewOfAnotherProcess(t *testing.T) { // RL-27
	a := newApp(t, nil)
	now := time.Now()
	a.auth.SetClock(func() time.Time { return now })
	for ahead, serves := range map[time.Duration]bool{
		-time.Minute: true, time.Minute: true, 5*time.Minute - time.Second: true, 5*time.Minute + time.Second: false, time.Hour: false,
	} {
		for _, seenAhead := range []bool{true, false} { // by the clock of one process, or of two
			created, seen := now.Add(ahead), now.Add(ahead)
			if seenAhead {
				created = now.Add(min(0, ahead))
			}
			cookies, err := a.auth.SessionCookies(tokensOf(100), created, seen)
			if err != nil {
				t.Fatal(err)
			}
			if code, _, _ := a.get("/profile", cookiePairs(cookies)); (code == 200) != serves {
				t.Errorf("RL-27: a session %s ahead: %d", ahead, code)
			}
		}
	}
}

// The wall clock is set while the program runs: one refresh or one login later all is
// well, and nothing goes round.
func TestClockIsSet(t *testing.T) { // RL-27 RF-17
	for step, want := range map[time.Duration]struct{ logins, tokens int }{
		time.Hour:        {0, 1}, // the new token, too, has expired when it comes: it serves all the same
		-4 * time.Minute: {0, 0},
		-time.Hour:       {1, 1}, // a session of the future is none
	} {
		t.Run(step.String(), func(t *testing.T) {
			a := newApp(t, func(s *setup) { s.server.AccessTokenTTL = 50 * time.Minute })
			a.login()
			set := time.Now().Add(step)
			a.auth.SetClock(func() time.Time { return set })
			logins, tokens := a.server.Count(acptest.AuthorizeEndpoint), a.server.Count(acptest.TokenEndpoint)
			for range 10 {
				for _, path := range []string{"/profile", "/token"} {
					if p := a.browser.Navigate(site + path); p.Status() != 200 || path == "/profile" && p.Body() != "alice" {
						t.Fatalf("RL-27: %d %s\n%s", p.Status(), p.Body(), a.logs)
					}
				}
			}
			logins, tokens = a.server.Count(acptest.AuthorizeEndpoint)-logins, a.server.Count(acptest.TokenEndpoint)-tokens
			if logins != want.logins || tokens != want.tokens {
				t.Errorf("RL-27: %d logins and %d token requests, want %v", logins, tokens, want)
			}
		})
	}
}
