package middleware_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/middleware"
)

// api is a server that remembers what came in.
type upstream struct {
	*httptest.Server
	seen []*http.Request
}

func newUpstream(t *testing.T, answer http.HandlerFunc) *upstream {
	a := &upstream{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.seen = append(a.seen, r)
		answer(w, r)
	}))
	t.Cleanup(a.Close)
	return a
}

// inHandler runs f as the handler of a signed-in user's request.
func (a *app) inHandler(f func(w http.ResponseWriter, r *http.Request, s *middleware.Session)) *httptest.ResponseRecorder {
	return serve(a.auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f(w, r, middleware.SessionFromContext(r.Context()))
	})), request("GET", site+"/x", a.cookieHeader()))
}

// The user's token goes to the origin that was asked, in one header, and no further.
func TestHTTPClient(t *testing.T) {
	a := newApp(t, func(s *setup) { s.server.AccessTokenTTL = 5 * time.Minute })
	a.login()
	other := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "stolen") })
	var mine *upstream
	mine = newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, other.URL+"/take", http.StatusTemporaryRedirect)
		case "/away-by-name":
			http.Redirect(w, r, strings.Replace(mine.URL, "127.0.0.1", "localhost", 1)+"/take", http.StatusFound)
		case "/away-relative":
			w.Header().Set("Location", "//"+strings.TrimPrefix(other.URL, "http://")+"/take")
			w.WriteHeader(http.StatusFound)
		case "/near-and-away":
			http.Redirect(w, r, "/away", http.StatusFound)
		case "/near":
			http.Redirect(w, r, "/things?x=1", http.StatusFound)
		case "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		default:
			fmt.Fprint(w, "things")
		}
	})
	bearer := func(r *http.Request) string { return strings.Join(r.Header["Authorization"], "|") }
	want := ""
	a.inHandler(func(_ http.ResponseWriter, r *http.Request, s *middleware.Session) {
		token, err := s.AccessToken(r.Context())
		if want = "Bearer " + token; err != nil || len(token) < 20 {
			t.Errorf("%q, %v", token, err)
		}
	})
	for _, row := range []struct {
		path     string
		status   int
		body     string
		requests int
	}{
		{"/things", 200, "things", 1},
		{"/near", 200, "things", 2},
		{"/away", 307, "", 1},
		{"/away-by-name", 302, "", 1},
		{"/away-relative", 302, "", 1},
		{"/near-and-away", 307, "", 2},
		{"/round", 302, "", 10},
	} {
		mine.seen = nil
		a.inHandler(func(_ http.ResponseWriter, r *http.Request, s *middleware.Session) {
			out, _ := http.NewRequestWithContext(r.Context(), "GET", mine.URL+row.path, nil)
			out.Header.Set("Authorization", "Basic bWFsbG9yeTp4")
			res, err := s.HTTPClient().Do(out)
			if err != nil {
				t.Errorf("%s: %v", row.path, err)
				return
			}
			defer res.Body.Close()
			body, _ := io.ReadAll(res.Body)
			if res.StatusCode != row.status || row.body != "" && string(body) != row.body || len(mine.seen) != row.requests {
				t.Errorf("%s: %d %q after %d requests", row.path, res.StatusCode, body, len(mine.seen))
			}
			if got := bearer(out); got != "Basic bWFsbG9yeTp4" {
				t.Errorf("%s: the caller's request was changed", row.path)
			}
		})
		for _, r := range mine.seen {
			if bearer(r) != want || strings.Contains(r.RequestURI, "ey") || len(r.Header["Cookie"]) != 0 || strings.Contains(r.Referer(), "ey") {
				t.Errorf("%s: %s with %v", row.path, r.RequestURI, r.Header)
			}
		}
	}
	if len(other.seen) != 0 {
		t.Errorf("the other origin was asked: %v", other.seen[0].Header)
	}
}

func TestHTTPClientRefreshes(t *testing.T) {
	a := newApp(t, func(s *setup) { s.server.AccessTokenTTL = 5 * time.Minute })
	a.login()
	things := newUpstream(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get("Authorization")) })
	call := func(path string, body io.Reader) (w *httptest.ResponseRecorder, err error) {
		w = a.inHandler(func(w http.ResponseWriter, r *http.Request, s *middleware.Session) {
			var res *http.Response
			if res, err = s.HTTPClient().Post(things.URL+path, "text/plain", body); err != nil {
				a.auth.WriteError(w, r, err)
				return
			}
			defer res.Body.Close()
			io.Copy(w, res.Body)
		})
		return w, err
	}
	first, _ := call("/", nil)
	a.clock.advance(10 * time.Minute)
	second, err := call("/", nil)
	if err != nil || !strings.HasPrefix(second.Body.String(), "Bearer ey") || first.Body.String() == second.Body.String() || !sets(second.Header(), sessionPrefix) {
		t.Errorf("an expired token: %v, the same %v, cookie %v", err, first.Body.String() == second.Body.String(), sets(second.Header(), sessionPrefix))
	}
	// The API is not asked without a token, the body is closed, and WriteError knows what to do.
	a.clock.advance(10 * time.Minute)
	a.server.SetUnreachable(true)
	asked := len(things.seen)
	body := &closable{Reader: strings.NewReader("x")}
	w, err := call("/?secret=1", body)
	if !errors.Is(err, acpclient.ErrUnavailable) || w.Code != 503 || w.Header().Get("Retry-After") == "" || !body.closed {
		t.Errorf("server down: %d, %v, body closed %v", w.Code, err, body.closed)
	}
	a.server.SetUnreachable(false)
	a.server.RevokeTokens()
	a.clock.advance(3 * time.Second)
	w, err = call("/", nil)
	if !errors.Is(err, middleware.ErrSessionEnded) || w.Code != 303 || w.Header().Get("Location") != "/login?return_to=%2Fx" || !deletes(w.Header(), sessionPrefix+"=") {
		t.Errorf("revoked: %d to %q, %v", w.Code, w.Header().Get("Location"), err)
	}
	if _, ok := errors.AsType[*url.Error](err); !ok || len(things.seen) != asked {
		t.Errorf("%T; the API was asked %d times more", err, len(things.seen)-asked)
	}
	if strings.Contains(a.logs.String(), "secret=1") {
		t.Error("the log holds the query")
	}
	_, err = (*middleware.Session)(nil).HTTPClient().Get(things.URL)
	if !errors.Is(err, middleware.ErrSessionEnded) {
		t.Errorf("no session: %v", err)
	}
}

type closable struct {
	io.Reader
	closed bool
}

func (c *closable) Close() error { c.closed = true; return nil }

// A handler's test needs no login: tokens in the context are a session everywhere.
func TestContextWithTokens(t *testing.T) {
	a := newApp(t, nil)
	id := a.server.IDToken(map[string]any{"sub": "carol", "name": "Carol"})
	tokens := &acpclient.Tokens{Token: &oauth2.Token{AccessToken: "access", TokenType: "bearer", Expiry: time.Now().Add(time.Hour)}, IDToken: id}
	things := newUpstream(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get("Authorization")) })
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := middleware.SessionFromContext(r.Context())
		var claims map[string]any
		token, err := s.AccessToken(r.Context())
		res, callErr := s.HTTPClient().Get(things.URL)
		if callErr == nil {
			res.Body.Close()
		}
		fmt.Fprint(w, s.Subject, " ", s.Issuer == a.server.Issuer, " ", s.Claims(&claims), " ", claims["name"], " ", token, " ", err, " ",
			s.ExpiresAt.After(time.Now()), " ", callErr)
	})
	other := newApp(t, nil)
	for name, h := range map[string]http.Handler{
		"RequireSession": a.auth.RequireSession(page), "LoadSession": a.auth.LoadSession(page), "none": page,
		"two applications": other.auth.RequireSession(a.auth.RequireSession(page)),
	} {
		r := request("GET", site+"/x", "")
		w := serve(h, r.WithContext(middleware.ContextWithTokens(r.Context(), tokens)))
		if want := "carol true <nil> Carol access <nil> true <nil>"; w.Body.String() != want || w.Code != 200 || len(w.Header()["Set-Cookie"]) != 0 {
			t.Errorf("%s: %d %q, cookies %q", name, w.Code, w.Body, w.Header()["Set-Cookie"])
		}
	}
	if len(things.seen) != 4 || things.seen[0].Header.Get("Authorization") != "Bearer access" {
		t.Errorf("the API was asked %d times", len(things.seen))
	}
	for name, none := range map[string]*acpclient.Tokens{"nil": nil, "empty": {}} {
		ctx := t.Context()
		if got := middleware.ContextWithTokens(ctx, none); got != ctx || middleware.SessionFromContext(got) != nil {
			t.Errorf("%s tokens make a session", name)
		}
	}
	expired := *tokens
	expired.Token = &oauth2.Token{AccessToken: "old", RefreshToken: "r", Expiry: time.Now().Add(-time.Second)}
	s := middleware.SessionFromContext(middleware.ContextWithTokens(t.Context(), &expired))
	if token, err := s.AccessToken(t.Context()); token != "" || !errors.Is(err, middleware.ErrSessionEnded) || s.Subject != "carol" {
		t.Errorf("expired: %q, %v", token, err)
	}
	if n := a.server.Count(acptest.TokenEndpoint); n != 0 {
		t.Errorf("%d token requests", n)
	}
	// Nothing that comes with a request stands for it: without the context there is no session.
	r := request("GET", site+"/profile", "")
	r.Header.Set("Authorization", "Bearer access")
	if w := a.serve(r); w.Code != 303 {
		t.Errorf("without the context: %d", w.Code)
	}
}
