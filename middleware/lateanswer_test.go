package middleware_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/middleware"
)

// oneLease is a Lease for all keys that a test can take away from its holder, as time does.
type oneLease struct{ free chan struct{} }

func newOneLease() *oneLease {
	l := &oneLease{make(chan struct{}, 1)}
	l.free <- struct{}{}
	return l
}

func (l *oneLease) Acquire(ctx context.Context, _ string) (func(), error) {
	select {
	case <-l.free:
		return sync.OnceFunc(l.end), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *oneLease) end() {
	select {
	case l.free <- struct{}{}:
	default: // it ended before
	}
}

// rotation is a server that rotates refresh tokens, on a wire, and the processes of an
// application. A refresh token that comes twice is what the tests look for.
type rotation struct {
	t       *testing.T
	gate    func()        // comes before the answer; nil: nothing does
	takes   time.Duration // of the server's time
	seconds int           // that an access token lives, from when it was asked for
	mu      sync.Mutex
	used    map[string]int
	store   *memStore // nil: cookies
	lease   *oneLease
	pages   []http.Handler
	cookies string
}

func newRotation(t *testing.T, processes int, stored bool) *rotation {
	t.Helper()
	s := &rotation{t: t, used: map[string]int{}, lease: newOneLease(), seconds: 3600}
	config := middleware.Config{CookieKeys: [][]byte{randomKey()}, Logger: slog.New(slog.DiscardHandler)}
	if stored {
		s.store = new(memStore)
		config.Store, config.Lease = s.store, s.lease
	}
	for i := range processes {
		client, err := acpclient.New(acpclient.Config{
			Issuer: wireIssuer, ClientID: "c", RedirectURL: site + "/callback", Transport: wire(s.answer), Logger: config.Logger,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close(t.Context()) })
		auth, err := middleware.New(client, config)
		if err != nil {
			t.Fatal(err)
		}
		s.pages = append(s.pages, auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			token, err := middleware.SessionFromContext(r.Context()).AccessToken(r.Context())
			if err != nil {
				auth.WriteError(w, r, err)
				return
			}
			fmt.Fprint(w, token)
		})))
		if i > 0 {
			continue
		}
		now := time.Now()
		cookies, err := auth.SessionCookies(&acpclient.Tokens{Token: &oauth2.Token{
			AccessToken: "a", TokenType: "Bearer", RefreshToken: "r", Expiry: now.Add(-time.Second),
		}}, now.Add(-time.Hour), now)
		if err != nil {
			t.Fatal(err)
		}
		s.cookies = cookiePairs(cookies)
	}
	return s
}

func (s *rotation) answer(r *http.Request, form url.Values) (int, string, error) {
	token := form.Get("refresh_token")
	s.mu.Lock()
	s.used[token]++
	reused := s.used[token] > 1
	s.mu.Unlock()
	if s.gate != nil {
		s.gate()
	}
	select {
	case <-time.After(s.takes):
	case <-r.Context().Done():
		return 0, "", r.Context().Err() // nobody hears the answer
	}
	if reused {
		return 400, `{"error":"invalid_grant"}`, nil
	}
	return 200, fmt.Sprintf(`{"access_token":"access-of-%s","token_type":"bearer","expires_in":%d,"refresh_token":"next-of-%[1]s"}`, token, s.seconds), nil
}

// ask wants an answer of a process after a time.
func (s *rotation) ask(process, status int, body string, after time.Duration) {
	s.t.Helper()
	start := time.Now()
	w := serve(s.pages[process], request("GET", site+"/token", s.cookies))
	if took := time.Since(start); w.Code != status || !strings.Contains(w.Body.String(), body) || took != after {
		s.t.Errorf("process %d answered %d %q after %s, want %d %q after %s", process, w.Code, w.Body, took, status, body, after)
	}
	if wait := w.Header().Get("Retry-After"); (wait != "") != (status == 503) {
		s.t.Errorf("Retry-After of %d: %q", w.Code, wait)
	}
	if s.store == nil && w.Code == 200 && sets(w.Header(), sessionPrefix) {
		s.cookies = cookiesSet(w.Header())
	}
}

func (s *rotation) end() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.used) != 1 || s.used["r"] != 1 {
		s.t.Errorf("the refresh tokens were used so often: %v", s.used)
	}
}

// A server that is asleep answers what it was asked, when it wakes up. Its callers do not
// wait for it, but the answer is kept: the session goes on.
func TestLateAnswer(t *testing.T) { // RL-15 RL-07 RF-10
	for _, stored := range []bool{false, true} {
		for _, asleep := range []time.Duration{11 * time.Second, 20 * time.Second, 44 * time.Second} {
			t.Run(fmt.Sprintf("stored %v, asleep for %v", stored, asleep), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					processes := map[bool]int{false: 1, true: 3}[stored]
					s := newRotation(t, processes, stored)
					s.takes = asleep
					woken := time.Now().Add(asleep)
					var all sync.WaitGroup
					for process := range processes {
						all.Go(func() { s.ask(process, 503, "", 10*time.Second) })
					}
					all.Wait()
					<-time.After(time.Until(woken) + time.Millisecond)
					for process := range processes {
						s.ask(process, 200, "access-of-r", 0)
					}
					s.end()
				})
			})
		}
	}
}

// A token that has expired when it comes serves nobody: the next one is asked for at once.
func TestLateAndExpired(t *testing.T) { // RL-15 RF-16
	for _, stored := range []bool{false, true} {
		t.Run(fmt.Sprintf("stored %v", stored), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newRotation(t, 1, stored)
				s.seconds, s.takes = 5, 8*time.Second
				s.gate = func() {
					if len(s.used) > 1 {
						s.takes = 0
					}
				}
				s.ask(0, 200, "access-of-next-of-r", 8*time.Second)
				s.ask(0, 200, "access-of-next-of-r", 0)
				if fmt.Sprint(s.used) != "map[next-of-r:1 r:1]" {
					t.Errorf("the refresh tokens were used so often: %v", s.used)
				}
			})
		})
	}
}

// An answer that never comes is waited for until it is sure that ACP still replays it.
func TestNoAnswer(t *testing.T) { // RF-10
	synctest.Test(t, func(t *testing.T) {
		s := newRotation(t, 1, false)
		s.takes = time.Hour
		start := time.Now()
		s.ask(0, 503, "", 10*time.Second)
		<-time.After(45*time.Second - time.Since(start) + 1500*time.Millisecond)
		s.ask(0, 503, "", 10*time.Second)
		<-time.After(time.Minute)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.used["r"] != 2 {
			t.Errorf("asked %d times in %s, want twice", s.used["r"], time.Since(start))
		}
	})
}

// While new tokens are not in the Store nobody else may refresh: the old ones are there.
func TestLeaseUntilStored(t *testing.T) { // RF-07 RL-15
	synctest.Test(t, func(t *testing.T) {
		s := newRotation(t, 2, true)
		s.store.set(func(_ context.Context, op, _ string) error {
			if op == "commit" {
				return errStoreDown
			}
			return nil
		})
		s.ask(0, 200, "access-of-r", 0)
		var other sync.WaitGroup
		other.Go(func() { s.ask(1, 200, "access-of-r", 6*time.Second) })
		<-time.After(5500 * time.Millisecond)
		s.store.set(nil)
		other.Wait()
		s.end()
	})
}

// A lease may end in an outage, before its holder could store what it has.
func TestLeaseLostInOutage(t *testing.T) { // RF-07 RL-15 RL-22
	synctest.Test(t, func(t *testing.T) {
		s := newRotation(t, 2, true)
		s.gate = func() { s.store.down() }
		s.ask(0, 200, "access-of-r", 0)
		<-time.After(4300 * time.Millisecond)
		s.ask(1, 503, "", 0)
		s.lease.end()
		s.store.set(nil)
		s.ask(1, 503, "", 0)
		<-time.After(4 * time.Second)
		s.ask(1, 200, "access-of-r", 0)
		s.end()
	})
}
