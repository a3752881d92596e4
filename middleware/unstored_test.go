package middleware_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/acp-go/acp/middleware"
)

// outage is two processes of an application whose Store goes away, in a bubble.
type outage struct {
	t     *testing.T
	store *memStore
	logs  *logBuffer
	auths [2]*middleware.Authenticator
}

func newOutage(t *testing.T, absolute time.Duration) *outage {
	t.Helper()
	o := &outage{t: t, store: &memStore{}, logs: &logBuffer{}}
	config := middleware.Config{
		Store: o.store, CookieKeys: [][]byte{randomKey()}, Logger: o.logs.logger(), AbsoluteTimeout: absolute, IdleTimeout: absolute,
	}
	for i := range o.auths {
		o.auths[i] = onWireConfig(t, config, func(*http.Request, url.Values) (int, string, error) { return 500, "", nil })
	}
	return o
}

func (o *outage) signIn() (cookies string) {
	o.t.Helper()
	now := time.Now()
	held, err := o.auths[0].SessionCookies(tokensOf(20), now, now)
	if err != nil {
		o.t.Fatal(err)
	}
	return cookiePairs(held)
}

// get is the answer of a process to a page view.
func (o *outage) get(process int, cookies string) int {
	page := o.auths[process].RequireSession(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	return serve(page, request("GET", site+"/", cookies)).Code
}

// logout wants 503, and the cookie gone.
func (o *outage) logout(process int, cookies string) {
	o.t.Helper()
	w := serve(http.HandlerFunc(o.auths[process].Logout), request("POST", site+"/logout", cookies))
	if w.Code != 503 || w.Header().Get("Retry-After") == "" || !deletes(w.Header(), sessionPrefix+"=") {
		o.t.Errorf("LO-03: %d, %q", w.Code, w.Header().Values("Set-Cookie"))
	}
}

const madeUp = "the store has the ends of sessions that it did not take before"

// A logout that the store did not take is made up for by the process that answered 503, however long the outage:
// a stolen copy of the cookie then serves nowhere.
func TestLogoutOutlivesOutage(t *testing.T) { // LO-03 SE-19
	only := func(op, prefix string) func(context.Context, string, string) error {
		return func(_ context.Context, o, token string) error {
			if o == op && strings.HasPrefix(token, prefix) {
				return errStoreDown
			}
			return nil
		}
	}
	for name, row := range map[string]struct {
		fault func(context.Context, string, string) error
		lasts time.Duration
	}{
		"refused, for a moment":   {func(context.Context, string, string) error { return errStoreDown }, 500 * time.Millisecond},
		"refused, for an hour":    {func(context.Context, string, string) error { return errStoreDown }, time.Hour},
		"silent, for ten minutes": {hang, 10 * time.Minute},
		"panics":                  {func(context.Context, string, string) error { panic("broken") }, time.Minute},
		"no tombstone":            {only("commit", "acp:e."), time.Minute},
		"no delete":               {only("delete", "acp:s."), time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOutage(t, 24*time.Hour)
				first, second, other := o.signIn(), o.signIn(), o.signIn()
				o.store.set(row.fault)
				o.logout(0, first)
				time.Sleep(row.lasts / 2)
				o.logout(0, second)
				time.Sleep(row.lasts / 2)
				if !strings.Contains(name, "no ") && strings.Contains(o.logs.String(), madeUp) {
					t.Error("LO-03: made up for, while the store is down")
				}
				asked := o.store.count("commit")
				if most := 20 + int(row.lasts/(30*time.Second)); asked > most {
					t.Errorf("LO-03: %d writes in an outage of %s", asked, row.lasts)
				}
				o.store.set(nil)
				time.Sleep(31 * time.Second)
				synctest.Wait()
				for _, held := range []string{first, second} {
					if code := o.get(1, held); code != 303 {
						t.Errorf("LO-03: a copy at the other process, after the outage: %d", code)
					}
				}
				for i := range o.auths {
					if code := o.get(i, other); code != 200 {
						t.Errorf("LO-03: another session at process %d: %d", i, code)
					}
				}
				if n := strings.Count(o.logs.String(), madeUp); n != 1 {
					t.Errorf("LO-03: %d log lines\n%s", n, o.logs)
				}
				if n := strings.Count(o.store.dump(), "acp:s."); n != 1 {
					t.Errorf("LO-03: %d records are left", n)
				}
				if o.auths[0].Trying() {
					t.Error("RL-20: it goes on, with nothing to do")
				}
				asked = o.store.count("commit")
				time.Sleep(time.Hour)
				if o.store.count("commit") != asked {
					t.Error("LO-03: it goes on after it was made up for")
				}
			})
		})
	}
}

// Nobody tries beyond the session's own end.
func TestUnstoredEndsExpire(t *testing.T) { // LO-03 RL-18
	synctest.Test(t, func(t *testing.T) {
		o := newOutage(t, 10*time.Minute)
		held := o.signIn()
		o.store.down()
		o.logout(0, held)
		time.Sleep(11 * time.Minute)
		asked := o.store.count("commit")
		if n := o.auths[0].Unstored(); n != 0 || o.auths[0].Trying() {
			t.Errorf("RL-18: %d ends remembered, it goes on: %v", n, o.auths[0].Trying())
		}
		o.store.set(nil)
		time.Sleep(time.Hour)
		if o.store.count("commit") != asked || strings.Contains(o.store.dump(), "acp:e.") || strings.Contains(o.logs.String(), madeUp) {
			t.Error("LO-03: a tombstone for a session that is over")
		}
	})
}

// What is remembered is bounded: of the logouts of a long outage, and of one that comes twice.
func TestUnstoredEndsAreBounded(t *testing.T) { // LO-03 RL-18
	synctest.Test(t, func(t *testing.T) {
		o := newOutage(t, 24*time.Hour)
		held := o.signIn()
		o.store.down()
		for range 30 {
			o.logout(0, held)
		}
		if n := o.auths[0].Unstored(); n != 1 {
			t.Errorf("RL-18: %d ends of one session", n)
		}
		o.auths[0].FillUnstored(middleware.MaxUnstored + 10)
		if n := o.auths[0].Unstored(); n != middleware.MaxUnstored {
			t.Errorf("RL-18: %d ends", n)
		}
		if !strings.Contains(o.logs.String(), "does not learn of the end of a session") {
			t.Error("LO-03: an end that is not remembered is not told")
		}
		o.store.set(nil)
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if n := o.auths[0].Unstored(); n != 0 || o.get(1, held) != 303 {
			t.Errorf("LO-03: %d are left", n)
		}
	})
}

// Close tries once more, within its time, and nothing goes on afterwards.
func TestCloseStoresEnds(t *testing.T) { // LO-03 RL-21
	for name, row := range map[string]struct {
		failures int                                         // of other requests, in a row
		fault    func(context.Context, string, string) error // when Close comes
		took     time.Duration
		alive    bool // at the other process
	}{
		"the store is back":                {0, nil, 0, false},
		"it is back, and still left alone": {20, nil, 900 * time.Millisecond, false},
		"it refuses":                       {0, func(context.Context, string, string) error { return errStoreDown }, 0, true},
		"it is silent":                     {0, hang, time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOutage(t, 24*time.Hour)
				held := o.signIn()
				o.store.down()
				o.logout(0, held)
				for range row.failures {
					o.get(0, held)
				}
				time.Sleep(100 * time.Millisecond)
				o.store.set(row.fault)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				err := o.auths[0].Close(ctx)
				if took := time.Since(start); took != row.took || err != nil {
					t.Errorf("RL-21: Close took %s: %v", took, err)
				}
				synctest.Wait()
				if told := strings.Contains(o.logs.String(), "the store did not learn of the ends"); told != row.alive {
					t.Errorf("LO-03: told: %v", told)
				}
				o.store.set(nil)
				time.Sleep(time.Minute)
				if code := o.get(1, held); code == 200 != row.alive {
					t.Errorf("LO-03: the other process: %d", code)
				}
				if err := o.auths[0].Close(t.Context()); err != nil {
					t.Errorf("RL-21: again: %v", err)
				}
			})
		})
	}
}
