package middleware_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acptest"
)

// said is what a client sees of an answer.
type said struct {
	status         int
	location, body string
}

// ask sends a request line and headers as they are written.
func ask(t *testing.T, server *httptest.Server, line, headers string) said {
	t.Helper()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(c, "%s HTTP/1.1\r\n%sConnection: close\r\n\r\n", line, headers)
	method, _, _ := strings.Cut(line, " ")
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return said{res.StatusCode, res.Header.Get("Location"), string(body)}
}

// Every spelling of an address, as bytes on a real connection. The middleware has no rules
// of its own about paths: RequireSession stands around the handler that the mux chose, so
// nothing but exactly /public is public.
func TestSpellingsOfAPath(t *testing.T) { // PX-01 PX-02 PX-07 PX-09
	a := newApp(t, nil)
	a.login()
	admin := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "admin") })
	public := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "public") })
	mux, open := http.NewServeMux(), http.NewServeMux()
	mux.Handle("/public", a.auth.LoadSession(public))
	mux.Handle("/", a.auth.RequireSession(admin))
	open.Handle("/public", public)
	open.Handle("/", admin)
	bare := httptest.NewServer(open)
	defer bare.Close()
	withMux := httptest.NewServer(a.auth.Handler(mux))
	defer withMux.Close()
	wholly := httptest.NewServer(a.auth.Handler(a.auth.RequireSession(admin)))
	defer wholly.Close()
	const host = "Host: app.example\r\n"
	cookie := "Cookie: " + a.cookieHeader() + "\r\n"
	for _, row := range []struct {
		id, line, headers string
		reachable         bool // with a session
	}{
		{"PX-01", "GET /public/../admin", host, true},
		{"PX-01", "GET /public%2f..%2fadmin", host, true},
		{"PX-01", "GET /public/%2e%2e/admin", host, true},
		{"PX-01", "GET //admin", host, true},
		{"PX-01", "GET //public", host, true},
		{"PX-01", "GET /public;/admin", host, true},
		{"PX-01", "GET /public/", host, true},
		{"PX-01", "GET /public%00", host, true},
		{"PX-01", "GET /PUBLIC", host, true},
		{"PX-01", "GET /ADMIN", host, true},
		{"PX-01", "GET /admin\\..\\public", host, true},
		{"PX-02", "GET /admin?x=/public", host, true},
		{"PX-02", "GET /admin?/public", host, true},
		{"PX-02", "GET /admin#/public", host, true},
		{"PX-02", "GET /admin%23/public", host, true},
		{"PX-02", "GET /admin%3f/public", host, true},
		{"PX-07", "GET /publicity", host, true},
		{"PX-07", "GET /x/public", host, true},
		{"PX-07", "GET /x-public-x", host, true},
		{"PX-07", "GET /login/public", host, true},
		{"PX-09", "GET http://app.example/admin", host, true},
		{"PX-09", "GET http://evil.example/admin", host, true},
		{"PX-09", "GET https://app.example/admin?x=/public", host, true},
		{"PX-09", "CONNECT /admin", host, true},
		{"PX-09", "CONNECT app.example:443", host, true},
		{"PX-09", "OPTIONS /admin", host, true},
		{"PX-09", "HEAD /admin", host, true},
		{"PX-09", "PROPFIND /admin", host, true},
		{"PX-09", "GET *", host, true},
		{"PX-09", "OPTIONS *", host, false},
		{"PX-09", "GET admin", host, false},
		{"PX-09", "GET /admin", "Host: user@app.example\r\n", false},
		{"PX-09", "GET /admin", "Host: app.example\r\nHost: evil.example\r\n", false},
		{"PX-09", "GET http://user@app.example/admin", host, true},
	} {
		t.Run(row.id+" "+row.line, func(t *testing.T) {
			// net/http answers OPTIONS * itself, with 200 and nothing.
			for name, server := range map[string]*httptest.Server{"a mux": withMux, "one handler": wholly} {
				got := ask(t, server, row.line, row.headers)
				if got.body == "admin" || got.body == "public" || got.status == 200 && row.line != "OPTIONS *" {
					t.Errorf("%s: %+v without a session", name, got)
				}
				if strings.Contains(got.location, "evil.example") || strings.HasPrefix(got.location, "//") {
					t.Errorf("%s: sent to %q", name, got.location)
				}
			}
			// The control: it was the session that was missing, and the mux's choice stands.
			got := ask(t, wholly, row.line, row.headers+cookie)
			if reached := got.status == 200 && row.line != "OPTIONS *"; reached != row.reachable {
				t.Errorf("one handler: with a session %+v", got)
			}
			if got, want := ask(t, withMux, row.line, row.headers+cookie), ask(t, bare, row.line, row.headers); got != want {
				t.Errorf("a mux: with a session %+v, without the middleware %+v", got, want)
			}
		})
	}
	for _, line := range []string{"GET /public", "GET /public?x=/admin", "GET http://app.example/public"} {
		if got := ask(t, withMux, line, host); got.body != "public" {
			t.Errorf("%s: %+v", line, got)
		}
	}
	for line, want := range map[string]string{ // the way back is a path, whatever form the request had
		"GET http://evil.example/admin?x=1": "/login?return_to=%2Fadmin%3Fx%3D1", "GET //admin": "/login", "GET *": "/login",
	} {
		if got := ask(t, wholly, line, host); got.status != http.StatusSeeOther || got.location != want {
			t.Errorf("PX-09 %s: %+v", line, got)
		}
	}
}

// A TLS proxy stands in front: the callback comes over plain http, is served, and the
// cookies are as the redirect URL says.
func TestCallbackBehindTLSProxy(t *testing.T) { // CB-36
	for _, mode := range []string{"query", "form_post"} {
		t.Run(mode, func(t *testing.T) {
			a := newApp(t, func(s *setup) { s.client.ResponseMode = mode })
			plain := httptest.NewServer(a.handler)
			defer plain.Close()
			client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			send := func(method, path, body, cookies string) *http.Response {
				t.Helper()
				r, err := http.NewRequestWithContext(t.Context(), method, plain.URL+path, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				r.Host = "app.example"
				r.Header.Set("Cookie", cookies)
				r.Header.Set("X-Forwarded-Proto", "http") // CB-36: the connection's word, and that of headers, are not asked for
				if body != "" {
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				}
				res, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				return res
			}
			res := send("GET", "/login?return_to=/profile", "", "")
			tx := cookiesSet(res.Header)
			b := a.server.Browser()
			p := b.NavigateUntil(res.Header.Get("Location"), func(u *url.URL) bool { return u.Host == "app.example" })
			if mode == "query" {
				res = send("GET", p.Next.RequestURI(), "", tx)
			} else {
				fields := url.Values{}
				for _, name := range []string{"code", "state"} {
					_, rest, _ := strings.Cut(p.Body(), `name="`+name+`" value="`)
					value, _, _ := strings.Cut(rest, `"`)
					fields.Set(name, value)
				}
				res = send("POST", "/callback", fields.Encode(), tx)
			}
			if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/profile" {
				t.Fatalf("CB-36: %d to %q\n%s", res.StatusCode, res.Header.Get("Location"), a.logs)
			}
			for _, line := range res.Header.Values("Set-Cookie") {
				if !strings.HasPrefix(line, "__Host-") || !strings.Contains(line, "; Secure") {
					t.Errorf("CB-36: %s", line)
				}
			}
			if res := send("GET", "/profile", "", cookiesSet(res.Header)); res.StatusCode != 200 {
				t.Errorf("CB-36: the session over the proxy: %d", res.StatusCode)
			}
			if a.server.Count(acptest.TokenEndpoint) != 1 {
				t.Errorf("CB-36: %d token requests", a.server.Count(acptest.TokenEndpoint))
			}
		})
	}
}

// cookiesSet is the Cookie header of a browser that got this answer and nothing before.
func cookiesSet(h http.Header) string {
	var pairs []string
	for _, line := range h.Values("Set-Cookie") {
		if pair, _, _ := strings.Cut(line, ";"); !strings.Contains(line, "Max-Age=0") {
			pairs = append(pairs, pair)
		}
	}
	return strings.Join(pairs, "; ")
}
