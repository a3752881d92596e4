package middleware_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/acp-go/acp/middleware"
)

// The server ends, in a frame, exactly the session that it names (LO-09 by the front channel;
// bug museum 14: and revokes nothing).
func TestFrontchannelLogout(t *testing.T) {
	for _, row := range []struct {
		name   string
		method string
		edit   func(query url.Values)
		raw    string // in place of the query
		status int
		ends   bool
	}{
		{"its session", "GET", func(url.Values) {}, "", 200, true},
		{"LO-11 another issuer", "GET", func(q url.Values) { q.Set("iss", "https://evil.example") }, "", 400, false},
		{"LO-11 an issuer with a slash", "GET", func(q url.Values) { q.Set("iss", q.Get("iss")+"/") }, "", 400, false},
		{"no issuer", "GET", func(q url.Values) { q.Del("iss") }, "", 400, false},
		{"no sid, as everybody could send it", "GET", func(q url.Values) { q.Del("sid") }, "", 400, false},
		{"an empty sid", "GET", func(q url.Values) { q.Set("sid", "") }, "", 400, false},
		{"another sid", "GET", func(q url.Values) { q.Set("sid", "guessed") }, "", 200, false},
		{"CB-10 sid twice", "GET", func(q url.Values) { q.Add("sid", q.Get("sid")) }, "", 400, false},
		{"CB-18 a semicolon", "GET", nil, "iss=x;sid=y", 400, false},
		{"LO-19 POST", "POST", func(url.Values) {}, "", 405, false},
		{"CB-35 HEAD", "HEAD", func(url.Values) {}, "", 405, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := newApp(t, func(s *setup) { s.config.Store = &memStore{} })
			a.login()
			var id struct {
				SID string `json:"sid"`
			}
			a.inHandlerClaims(t, &id)
			query := url.Values{"iss": {a.server.Issuer}, "sid": {id.SID}}
			raw := row.raw
			if row.edit != nil {
				row.edit(query)
				raw = query.Encode()
			}
			held, alive := a.cookieHeader(), len(a.server.ActiveRefreshTokens())
			w := serve(http.HandlerFunc(a.auth.FrontchannelLogout), request(row.method, site+"/frontchannel-logout?"+raw, ""))
			if w.Code != row.status || len(w.Header().Values("Set-Cookie")) != 0 {
				t.Errorf("%d %v", w.Code, w.Header())
			}
			isPrivate(t, w.Header())
			if code, _, _ := a.get("/profile", held); (code == 303) != row.ends {
				t.Errorf("afterwards: %d", code)
			}
			if n := len(a.server.ActiveRefreshTokens()); n != alive {
				t.Errorf("%d refresh tokens, %d before", n, alive)
			}
		})
	}
}

// LO-22: without a Store it says so.
func TestFrontchannelLogoutNeedsAStore(t *testing.T) {
	a := newApp(t, nil)
	w := serve(http.HandlerFunc(a.auth.FrontchannelLogout), request("GET", site+"/x?iss=a&sid=b", ""))
	if w.Code != 501 {
		t.Errorf("%d", w.Code)
	}
}

// LO-21: the server learns that the Store is down.
func TestFrontchannelLogoutWhileTheStoreIsDown(t *testing.T) {
	store := &memStore{}
	a := newApp(t, func(s *setup) { s.config.Store = store })
	store.set(func(context.Context, string, string) error { return errStoreDown })
	w := serve(http.HandlerFunc(a.auth.FrontchannelLogout), request("GET", site+"/x?iss="+url.QueryEscape(a.server.Issuer)+"&sid=b", ""))
	if w.Code != 503 || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "down") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// inHandlerClaims reads the claims of the signed-in user.
func (a *app) inHandlerClaims(t *testing.T, v any) {
	t.Helper()
	w := a.inHandler(func(_ http.ResponseWriter, _ *http.Request, s *middleware.Session) {
		if err := s.Claims(v); err != nil {
			t.Error(err)
		}
	})
	if w.Code != 200 {
		t.Fatalf("%d", w.Code)
	}
}
