package middleware_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/middleware"
)

// postLogoutToken is what the server sends.
func postLogoutToken(h http.Handler, token string) *httptest.ResponseRecorder {
	return postForm(h, site+"/backchannel-logout", url.Values{"logout_token": {token}}.Encode())
}

func postForm(h http.Handler, target, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", target, strings.NewReader(body))
	r.RequestURI = r.URL.RequestURI()
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return serve(h, r)
}

// sids gives each session at the server a number.
func (c *cluster) sids() {
	var n atomic.Int64
	c.server.OnIDToken(func(_, claims map[string]any) {
		if claims["nonce"] != nil { // a login's
			claims["sid"] = fmt.Sprint("sid-", n.Add(1))
		}
	})
}

// Whom a logout token ends: the sessions of its sid, or all of its user, on every replica, and no others.
func TestBackchannelLogout(t *testing.T) { // LO-09
	for name, row := range map[string]struct {
		claims map[string]any
		ends   string // of the sessions 1 and 2 of alice, and 3 of bob
	}{
		"LO-09 sub":                       {map[string]any{"sub": "alice"}, "12"},
		"LO-09 sid":                       {map[string]any{"sub": nil, "sid": "sid-1"}, "1"},
		"LO-09 sub and sid":               {map[string]any{"sub": "alice", "sid": "sid-2"}, "2"},
		"LO-09 another user's sub":        {map[string]any{"sub": "bob"}, "3"},
		"LO-09 nobody's sid":              {map[string]any{"sub": "alice", "sid": "sid-9"}, ""},
		"LO-09 nobody's sub":              {map[string]any{"sub": "carol"}, ""},
		"LO-09 a sub that is a sid":       {map[string]any{"sub": "sid-1"}, ""},
		"LO-09 a sid that is a sub":       {map[string]any{"sub": nil, "sid": "alice"}, ""},
		"LO-11 another issuer":            {map[string]any{"iss": "https://evil.example"}, ""},
		"LO-11 another client":            {map[string]any{"aud": "other"}, ""},
		"LO-12 no event":                  {map[string]any{"events": nil}, ""},
		"LO-12 null":                      {map[string]any{"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": nil}}, ""},
		"LO-13 nonce":                     {map[string]any{"nonce": ""}, ""},
		"LO-15 no jti":                    {map[string]any{"jti": nil}, ""},
		"LO-16 no iat":                    {map[string]any{"iat": nil}, ""},
		"LO-16 a year old":                {map[string]any{"iat": time.Now().AddDate(-1, 0, 0).Unix(), "exp": time.Now().Add(time.Hour).Unix()}, ""},
		"LO-16 a year ahead":              {map[string]any{"iat": time.Now().AddDate(1, 0, 0).Unix(), "exp": time.Now().AddDate(2, 0, 0).Unix()}, ""},
		"LO-16 expired":                   {map[string]any{"iat": time.Now().Add(-4 * time.Minute).Unix(), "exp": time.Now().Add(-2 * time.Minute).Unix()}, ""},
		"LO-09 neither sub nor sid":       {map[string]any{"sub": nil}, ""},
		"LO-09 sid null, with a good sub": {map[string]any{"sid": 7}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 2, nil)
			c.sids()
			held := []string{c.signIn(), c.signIn()}
			c.server.SetUser(acptest.User{Subject: "bob"})
			c.browser.ClearCookies()
			c.browser.Navigate(site + "/profile")
			held = append(held, c.cookieHeader())
			res := c.server.BackchannelLogout(c.replicas[0].handler, site+"/backchannel-logout", row.claims)
			good := row.ends != "" || strings.Contains(name, "nobody") || strings.Contains(name, " that is a ")
			isPrivate(t, res.Header)
			var body bytes.Buffer
			body.ReadFrom(res.Body)
			if good && (res.StatusCode != 200 || body.Len() != 0) ||
				!good && (res.StatusCode != 400 || body.String() != `{"error":"invalid_request"}` || res.Header.Get("Content-Type") != "application/json") {
				t.Errorf("%s %q", res.Status, body.String())
			}
			for i, cookies := range held {
				c.alive(fmt.Sprint("session ", i+1), cookies, !strings.Contains(row.ends, fmt.Sprint(i+1)))
			}
			if !good && strings.Contains(c.store.dump(), "acp:m.") {
				t.Error("a refused token left a mark")
			}
		})
	}
}

// What is no logout token of this server at all, and what is not sent as one. None of it asks the store.
func TestBackchannelRefusals(t *testing.T) {
	c := newCluster(t, 1, nil)
	held := c.signIn()
	token := c.server.LogoutToken(nil)
	parts := strings.Split(token, ".")
	header, claims := map[string]any{"typ": "logout+jwt"}, claimsOf(t, token)
	form := "application/x-www-form-urlencoded"
	for name, row := range map[string]struct {
		method, query, kind, body string
		status                    int
	}{
		"LO-10 alg none":                           {"POST", "", form, "logout_token=" + acptest.Unsigned(header, claims), 400},
		"LO-10 HS256 by the secret":                {"POST", "", form, "logout_token=" + acptest.SignHMAC([]byte(c.server.ClientSecret), header, claims), 400},
		"LO-10 a stranger's key":                   {"POST", "", form, "logout_token=" + acptest.NewKey("ES256").Sign(header, claims), 400},
		"LO-10 no signature":                       {"POST", "", form, "logout_token=" + parts[0] + "." + parts[1] + ".", 400},
		"LO-17 at+jwt":                             {"POST", "", form, "logout_token=" + c.server.Sign(map[string]any{"typ": "at+jwt"}, claims), 400},
		"LO-17 JWT":                                {"POST", "", form, "logout_token=" + c.server.Sign(map[string]any{"typ": "JWT"}, claims), 400},
		"LO-18 an ID token":                        {"POST", "", form, "logout_token=" + c.server.IDToken(nil), 400},
		"LO-18 an access token":                    {"POST", "", form, "logout_token=" + c.server.AccessToken(nil), 400},
		"LO-18 a logout token of ours as ID token": {"POST", "", form, "id_token=" + token, 400},
		"LO-19 GET":                                {"GET", "?logout_token=" + token, "", "", 405},
		"LO-19 HEAD":                               {"HEAD", "", "", "", 405},
		"LO-19 PUT":                                {"PUT", "", form, "logout_token=" + token, 405},
		"LO-19 OPTIONS":                            {"OPTIONS", "", "", "", 405},
		"LO-19 JSON":                               {"POST", "", "application/json", `{"logout_token":"` + token + `"}`, 415},
		"LO-19 multipart":                          {"POST", "", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"logout_token\"\r\n\r\n" + token + "\r\n--x--\r\n", 415},
		"LO-19 text":                               {"POST", "", "text/plain", "logout_token=" + token, 415},
		"LO-19 no type":                            {"POST", "", "", "logout_token=" + token, 415},
		"LO-19 a JWT":                              {"POST", "", "application/logout+jwt", token, 415},
		"LO-19 twice":                              {"POST", "", form, "logout_token=" + token + "&logout_token=" + token, 400},
		"LO-19 in the query":                       {"POST", "?logout_token=" + token, form, "", 400},
		"LO-19 in both":                            {"POST", "?logout_token=" + token, form, "logout_token=" + token, 400},
		"LO-19 a megabyte":                         {"POST", "", form, "logout_token=" + strings.Repeat("A", 1<<20), 413},
		"LO-19 30 KiB":                             {"POST", "", form, "logout_token=" + strings.Repeat("A", 30<<10), 400},
		"LO-19 nothing":                            {"POST", "", form, "", 400},
		"LO-19 empty":                              {"POST", "", form, "logout_token=", 400},
		"LO-19 a semicolon":                        {"POST", "", form, "logout_token=" + token + ";x=y", 400},
		"LO-19 bad escapes":                        {"POST", "", form, "logout_token=%zz", 400},
	} {
		t.Run(name, func(t *testing.T) {
			before := c.store.dump()
			asked := c.store.count("find") + c.store.count("add") + c.store.count("commit")
			r := httptest.NewRequest(row.method, site+"/backchannel-logout"+row.query, strings.NewReader(row.body))
			r.RequestURI = r.URL.RequestURI()
			if row.kind != "" {
				r.Header.Set("Content-Type", row.kind)
			}
			w := c.serve(r)
			if w.Code != row.status || strings.Contains(w.Body.String(), "alice") || w.Header().Get("Set-Cookie") != "" {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			isPrivate(t, w.Header())
			if c.store.dump() != before || c.store.count("find")+c.store.count("add")+c.store.count("commit") != asked {
				t.Error("LO-20: the store was asked")
			}
		})
	}
	c.alive("after all of it", held, true)
	if w := postLogoutToken(c.handler, token); w.Code != 200 {
		t.Errorf("the token itself: %d", w.Code)
	}
	c.alive("after the token", held, false)
}

func claimsOf(t *testing.T, token string) map[string]any {
	t.Helper()
	payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// A flood of forged tokens costs neither the store nor the server anything.
func TestBackchannelFlood(t *testing.T) { // LO-20
	c := newCluster(t, 1, nil)
	held := c.signIn()
	stranger := acptest.NewKey("ES256")
	token := stranger.Sign(map[string]any{"typ": "logout+jwt", "kid": c.server.Key().ID}, claimsOf(t, c.server.LogoutToken(nil)))
	head, signature := token[:len(token)-8], token[len(token)-8:]
	asked := c.store.count("find") + c.store.count("add") + c.store.count("commit") + c.store.count("delete")
	unsigned := acptest.Unsigned(map[string]any{"typ": "logout+jwt"}, claimsOf(t, token))
	for i := range 10_000 {
		forged := unsigned
		if i%20 == 0 {
			forged = head + fmt.Sprintf("%04x", i) + signature[4:]
		}
		if w := postLogoutToken(c.handler, forged); w.Code != 400 {
			t.Fatalf("LO-20: %d", w.Code)
		}
	}
	if n := c.store.count("find") + c.store.count("add") + c.store.count("commit") + c.store.count("delete") - asked; n != 0 {
		t.Errorf("LO-20: %d store calls", n)
	}
	if n := c.server.Count(acptest.JWKSEndpoint); n > 2 {
		t.Errorf("LO-20: %d fetches of keys", n)
	}
	c.alive("LO-20", held, true)
}

// A token ends what it ends once: its repetition, on any replica, at once or later, in the same moment
// or not, harms no session of after it.
func TestBackchannelReplay(t *testing.T) { // LO-15
	for name, store := range map[string]func(*memStore) middleware.Store{
		"with Add": func(m *memStore) middleware.Store { return m }, "without": func(m *memStore) middleware.Store { return plainStore{m} },
	} {
		t.Run(name, func(t *testing.T) {
			m := &memStore{}
			c := newCluster(t, 3, func(s *setup) { s.config.Store = store(m) })
			before := c.signIn()
			token := c.server.LogoutToken(nil)
			var good atomic.Int64
			var wg sync.WaitGroup
			for i := range 9 {
				wg.Go(func() {
					switch w := postLogoutToken(c.replicas[i%3].handler, token); w.Code {
					case 200:
						good.Add(1)
					case 400:
					default:
						t.Errorf("LO-15: %d", w.Code)
					}
				})
			}
			wg.Wait()
			if n := good.Load(); n < 1 || n > 1 && name == "with Add" {
				t.Errorf("LO-15: %d were good", n)
			}
			c.alive("LO-15: the session of before", before, false)
			c.clock.advance(time.Millisecond)
			after := c.signIn()
			for _, later := range []time.Duration{0, time.Second, 4 * time.Minute} {
				c.clock.advance(later)
				for _, r := range c.replicas {
					if w := postLogoutToken(r.handler, token); w.Code != 400 {
						t.Errorf("LO-15: again after %s: %d", later, w.Code)
					}
				}
				c.alive("LO-15: the session of after", after, true)
			}
		})
	}
}

// Two tokens of one jti, of another user: the second is a replay.
func TestBackchannelSameID(t *testing.T) { // LO-15
	c := newCluster(t, 1, nil)
	held := c.signIn()
	if w := postLogoutToken(c.handler, c.server.LogoutToken(map[string]any{"jti": "one", "sub": "bob"})); w.Code != 200 {
		t.Fatal(w.Code)
	}
	if w := postLogoutToken(c.handler, c.server.LogoutToken(map[string]any{"jti": "one"})); w.Code != 400 {
		t.Errorf("LO-15: %d", w.Code)
	}
	if w := postLogoutToken(c.handler, c.server.LogoutToken(map[string]any{"jti": "two"})); w.Code != 200 {
		t.Errorf("LO-15: %d", w.Code)
	}
	c.alive("LO-15", held, false)
}

// The store fails at any step, or loses its answer: the server is told to come again, the same token then
// works, and ends nothing that began in between.
func TestBackchannelStoreDown(t *testing.T) { // LO-21
	for name, row := range map[string]struct {
		fails func(op, token string) bool
		done  bool // what failed was done all the same: its answer was lost
	}{
		"everything":              {func(string, string) bool { return true }, false},
		"every write":             {func(op, _ string) bool { return op != "find" }, false},
		"the mark":                {func(op, token string) bool { return op == "commit" && strings.HasPrefix(token, "acp:m.") }, false},
		"the mark's answer":       {func(op, token string) bool { return op == "commit" && strings.HasPrefix(token, "acp:m.") }, true},
		"the jti":                 {func(op, _ string) bool { return op == "add" }, false},
		"the time of the receipt": {func(op, token string) bool { return op == "commit" && strings.HasPrefix(token, "acp:o.") }, false},
		"its answer":              {func(op, token string) bool { return op == "commit" && strings.HasPrefix(token, "acp:o.") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 2, nil)
			before := c.signIn()
			token := c.server.LogoutToken(nil)
			c.store.set(func(ctx context.Context, op, token string) error {
				if !row.fails(op, token) {
					return nil
				}
				if row.done {
					c.store.mu.Lock()
					defer c.store.mu.Unlock()
					c.store.lost = true
					return nil
				}
				return errStoreDown
			})
			w := postLogoutToken(c.replicas[0].handler, token)
			unavailable(t, "LO-21", w.Code, w.Header())
			c.store.set(nil)
			c.clock.advance(time.Second)
			if w = postLogoutToken(c.replicas[1].handler, token); w.Code != 200 {
				t.Errorf("LO-21: the same token afterwards: %d %s\n%s", w.Code, w.Body, c.logs)
			}
			c.alive("LO-21", before, false)
		})
	}
}

// The answer of the last step is lost: the logout holds, and its repetition ends no session of after it.
func TestBackchannelAnswerLost(t *testing.T) { // LO-21 LO-15
	c := newCluster(t, 2, nil)
	before := c.signIn()
	token := c.server.LogoutToken(nil)
	c.store.set(func(_ context.Context, op, _ string) error {
		if op == "add" {
			c.store.mu.Lock()
			defer c.store.mu.Unlock()
			c.store.lost = true
		}
		return nil
	})
	w := postLogoutToken(c.replicas[0].handler, token)
	unavailable(t, "LO-21", w.Code, w.Header())
	c.store.set(nil)
	c.alive("LO-21", before, false)
	c.clock.advance(time.Millisecond)
	after := c.signIn()
	c.clock.advance(time.Second)
	if w := postLogoutToken(c.replicas[1].handler, token); w.Code != 400 {
		t.Errorf("LO-15: %d", w.Code)
	}
	c.alive("LO-15: a session of in between", after, true)
}

// A server that hangs up is no reason to stop half-way.
func TestBackchannelServerLeaves(t *testing.T) { // LO-21
	c := newCluster(t, 1, nil)
	held := c.signIn()
	ctx, leave := context.WithCancel(t.Context())
	c.store.set(func(_ context.Context, op, token string) error { leave(); return nil })
	r := httptest.NewRequest("POST", site+"/backchannel-logout", strings.NewReader("logout_token="+c.server.LogoutToken(nil))).WithContext(ctx)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if w := c.serve(r); w.Code != 200 {
		t.Errorf("LO-21: %d", w.Code)
	}
	c.alive("LO-21", held, false)
}

// The server's keys cannot be had: it is told to come again.
func TestBackchannelWithoutKeys(t *testing.T) { // LO-21
	c := newCluster(t, 1, nil)
	token := c.server.LogoutToken(nil)
	c.server.Handle(acptest.JWKSEndpoint, acptest.Answer(500, "text/plain", ""))
	w := postLogoutToken(c.handler, token)
	unavailable(t, "LO-21", w.Code, w.Header())
	c.server.Handle(acptest.JWKSEndpoint, acptest.Answer(200, "text/html", "<p>"))
}

// Sessions of before, of the same millisecond, of after, and of a login that is under way.
func TestBackchannelOrder(t *testing.T) { // LO-24
	base := time.Now().Truncate(time.Second)
	for name, row := range map[string]struct {
		session, logout time.Duration
		alive           bool
	}{
		"a second before":       {-time.Second, 0, false},
		"a millisecond before":  {-time.Millisecond, 0, false},
		"the same millisecond":  {200 * time.Microsecond, 700 * time.Microsecond, false},
		"the same, in reverse":  {700 * time.Microsecond, 200 * time.Microsecond, false},
		"a millisecond after":   {time.Millisecond, 0, true},
		"within one second":     {900 * time.Millisecond, 800 * time.Millisecond, true}, // iat is the same
		"a minute after":        {time.Minute, 0, true},
		"seconds of skew ahead": {3 * time.Second, 0, true},
	} {
		t.Run("LO-24 "+name, func(t *testing.T) {
			c := newCluster(t, 2, nil)
			c.replicas[0].auth.SetClock(func() time.Time { return base.Add(row.session) })
			c.replicas[1].auth.SetClock(func() time.Time { return base.Add(row.logout) })
			c.handler = c.replicas[0].handler
			held := c.signIn()
			if w := postLogoutToken(c.replicas[1].handler, c.server.LogoutToken(nil)); w.Code != 200 {
				t.Fatal(w.Code)
			}
			c.alive(name, held, row.alive)
		})
	}
	// A login whose code is being redeemed when the logout comes: who is first by our clock, wins.
	for _, first := range []bool{true, false} {
		t.Run(fmt.Sprint("LO-24 during a login, the session first ", first), func(t *testing.T) {
			c := newCluster(t, 2, nil)
			begun := c.callback(c.browser, "/profile")
			gate, arrived := make(chan struct{}), make(chan struct{})
			stop := func() { close(arrived); <-gate }
			if first { // its time is taken, and it is about to be stored
				c.store.set(func(_ context.Context, op, token string) error {
					if op == "commit" && strings.HasPrefix(token, "acp:s.") {
						stop()
					}
					return nil
				})
			} else {
				c.server.OnTokenResponse(func(*acptest.Response) { stop() })
			}
			finished := make(chan *acptest.Page)
			go func() { finished <- begun.Follow() }()
			<-arrived
			c.clock.advance(time.Second)
			if w := postLogoutToken(c.replicas[1].handler, c.server.LogoutToken(nil)); w.Code != 200 {
				t.Error(w.Code)
			}
			c.clock.advance(time.Second)
			c.store.set(nil)
			close(gate)
			<-finished
			if !first {
				c.alive("a session of after", c.cookieHeader(), true)
				return
			}
			for _, step := range c.browser.Log() {
				if step.URL.Path == "/callback" && step.Status == 303 {
					held := cookiesSet(step.ResponseHeader)
					c.alive("a session of before", held[strings.Index(held, sessionPrefix):], false)
					return
				}
			}
			t.Error("the login did not end")
		})
	}
}

// A new login brings back none of the sessions that were logged out (museum 39), nor does the logout of
// one session at the server end those of a later one.
func TestLoginRevivesNothing(t *testing.T) { // LO-09
	c := newCluster(t, 2, nil)
	c.sids()
	first, second := c.signIn(), c.signIn()
	postLogoutToken(c.handler, c.server.LogoutToken(nil))
	c.clock.advance(time.Millisecond)
	third := c.signIn()
	c.alive("the first", first, false)
	c.alive("the second", second, false)
	c.alive("the third", third, true)
	c.clock.advance(time.Hour)
	postLogoutToken(c.handler, c.server.LogoutToken(map[string]any{"sub": nil, "sid": "sid-1"}))
	c.alive("the third, after a logout of another", third, true)
	c.alive("the first", first, false)
	// An older word does not take a newer one back.
	old := c.clock.ahead.Load()
	postLogoutToken(c.handler, c.server.LogoutToken(nil))
	c.clock.ahead.Store(old - int64(2*time.Hour))
	postLogoutToken(c.handler, c.server.LogoutToken(nil))
	c.clock.ahead.Store(old)
	c.alive("the third, after a logout by a slow clock", third, false)
}
