package middleware_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acptest"
)

type sessionInfo struct {
	Issuer  string `json:"iss"`
	Subject string `json:"sub"`
	Expires int64  `json:"expires_in"`
	Idle    int64  `json:"idle_expires_in"`
}

// A page may ask all night how long the session lasts: it ends all the same, where sessions live in cookies
// and where they live in a Store.
func TestSessionInfoNeverSlides(t *testing.T) { // SE-17 LG-13
	for _, stored := range []bool{false, true} {
		t.Run(map[bool]string{false: "cookies", true: "store"}[stored], func(t *testing.T) {
			c := newCluster(t, 2, func(s *setup) {
				if !stored {
					s.config.Store = nil
				}
			})
			held := c.signIn()
			_, access, _ := c.replicas[0].get("/token", held)
			writes := c.store.count("commit") + c.store.count("add") + c.store.count("delete")
			tokens := c.server.Count(acptest.TokenEndpoint)
			ask := func(i int) (int, sessionInfo) {
				t.Helper()
				w := serve(http.HandlerFunc(c.replicas[i%2].auth.SessionInfo), request("GET", site+"/session", held))
				var info sessionInfo
				if w.Code == 200 {
					if err := json.Unmarshal(w.Body.Bytes(), &info); err != nil || w.Header().Get("Content-Type") != "application/json" {
						t.Errorf("%v: %s", err, w.Body)
					}
					isPrivate(t, w.Header())
				}
				if w.Header().Get("Set-Cookie") != "" || !strings.Contains(w.Header().Get("Vary"), "Cookie") {
					t.Errorf("%d, Set-Cookie %q, Vary %q", w.Code, w.Header().Values("Set-Cookie"), w.Header().Get("Vary"))
				}
				for _, secret := range append(c.server.ActiveRefreshTokens(), access) {
					if strings.Contains(w.Body.String(), secret) {
						t.Error("LG-13: it tells a token")
					}
				}
				return w.Code, info
			}
			for i := range 8 {
				code, info := ask(i)
				hours := int64(i) * 3600
				if code != 200 || info.Subject != "alice" || info.Issuer != c.server.Issuer ||
					info.Expires > 24*3600-hours || info.Expires < 24*3600-hours-60 || info.Idle > 8*3600-hours || info.Idle < 8*3600-hours-60 {
					t.Errorf("after %d h: %d %+v", i, code, info)
				}
				c.clock.advance(time.Hour)
			}
			if code, _ := ask(0); code != 401 {
				t.Errorf("SE-17: after eight hours without use: %d", code)
			}
			if n := c.store.count("commit") + c.store.count("add") + c.store.count("delete"); n != writes || c.server.Count(acptest.TokenEndpoint) != tokens {
				t.Errorf("%d writes, %d token requests", n-writes, c.server.Count(acptest.TokenEndpoint)-tokens)
			}
		})
	}
}

// Use prolongs what the handler says, and the absolute end comes first at the end of the day.
func TestSessionInfoAfterUse(t *testing.T) {
	c := newCluster(t, 1, nil)
	held := c.signIn()
	for range 4 {
		c.clock.advance(5 * time.Hour)
		_, _, h := c.replicas[0].get("/profile", held)
		held = cookiesSet(h)
	}
	w := serve(http.HandlerFunc(c.replicas[0].auth.SessionInfo), request("GET", site+"/session", held))
	var info sessionInfo
	if err := json.Unmarshal(w.Body.Bytes(), &info); err != nil || info.Idle != info.Expires || info.Expires > 4*3600 || info.Expires < 4*3600-60 {
		t.Errorf("%v %s", err, w.Body)
	}
}

func TestSessionInfoAnswers(t *testing.T) {
	c := newCluster(t, 1, nil)
	held := c.signIn()
	info := http.HandlerFunc(c.replicas[0].auth.SessionInfo)
	for _, method := range []string{"POST", "HEAD", "PUT", "DELETE", "OPTIONS"} {
		if w := serve(info, request(method, site+"/session", held)); w.Code != 405 || w.Header().Get("Allow") != "GET" {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
	for name, cookies := range map[string]string{"none": "", "garbage": sessionPrefix + "=1.x"} {
		w := serve(info, request("GET", site+"/session", cookies)) // a navigation, too: it is for programs
		if w.Code != 401 || w.Header().Get("Location") != "" || !strings.Contains(w.Header().Get("Content-Type"), "problem+json") {
			t.Errorf("%s: %d", name, w.Code)
		}
		isPrivate(t, w.Header())
	}
	c.store.down()
	w := serve(info, request("GET", site+"/session", held))
	unavailable(t, "a store that is down", w.Code, w.Header())
	c.store.set(nil)
	c.replicas[0].logout(held)
	if w := serve(info, request("GET", site+"/session", held)); w.Code != 401 {
		t.Errorf("after the logout: %d", w.Code)
	}
}
