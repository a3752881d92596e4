package middleware_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

func TestLogin(t *testing.T) {
	a := newApp(t, nil)
	p := a.browser.Navigate(site + "/profile?x=1")
	if p.Body() != "alice" || p.URL().RequestURI() != "/profile?x=1" {
		t.Fatalf("ended with %d at %s: %s\n%s", p.Status(), p.URL(), p.Body(), a.logs)
	}
	for _, s := range p.Steps {
		if len(s.Dropped) > 0 {
			t.Errorf("the browser dropped %v", s.Dropped)
		}
		if s.URL.Host == "app.example" && s.Status/100 == 3 {
			isPrivate(t, s.ResponseHeader) // AZ-18 CB-30
			if s.Status != http.StatusFound && s.Status != http.StatusSeeOther {
				t.Errorf("AZ-18: a redirect with %d", s.Status)
			}
		}
	}
	if got := a.server.Count(acptest.TokenEndpoint); got != 1 {
		t.Errorf("%d token requests", got)
	}
	if left := a.cookies(txPrefix); len(left) != 0 {
		t.Errorf("CB-31: the transaction cookie is still there: %v", left)
	}
	if h := p.Last().ResponseHeader; h.Get("Cache-Control") != "no-store" || h.Get("Vary") != "Cookie" {
		t.Errorf("SE-24: protected page with %v", h)
	}
}

// What arrives from outside never changes the authorize request.
func TestLoginIgnoresItsQuery(t *testing.T) {
	a := newApp(t, nil)
	rows := []string{
		"state=attacker", // AZ-04
		"scope=admin&prompt=none&acr_values=x&redirect_uri=https%3A%2F%2Fevil.example", // AZ-17
		"client_id=evil&nonce=n&code_challenge=c&response_type=token",
		"target_link_uri=//evil.example&return_to=//evil.example", // AZ-38
	}
	plain := a.serve(request("GET", site+"/login", "")).Header().Get("Location")
	for _, query := range rows {
		t.Run(query, func(t *testing.T) {
			w := a.serve(request("GET", site+"/login?"+query, ""))
			u, err := url.Parse(w.Header().Get("Location"))
			if err != nil || w.Code != http.StatusSeeOther {
				t.Fatalf("%d %v", w.Code, err)
			}
			want, _ := url.Parse(plain)
			got, expected := u.Query(), want.Query()
			for _, v := range []string{"state", "nonce", "code_challenge"} {
				if len(got[v]) != 1 || got.Get(v) == expected.Get(v) || len(got.Get(v)) < 22 {
					t.Errorf("AZ-09: %s is %v", v, got[v])
				}
				got.Del(v)
				expected.Del(v)
			}
			if got.Encode() != expected.Encode() {
				t.Errorf("got %v\nwant %v", got, expected)
			}
			if strings.Contains(u.String(), "evil") {
				t.Errorf("AZ-29: the query reached the server: %s", u)
			}
		})
	}
	t.Run("AZ-38 unknown iss", func(t *testing.T) {
		if w := a.serve(request("GET", site+"/login?iss=https%3A%2F%2Fevil.example", "")); w.Code != 400 || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
		if w := a.serve(request("GET", site+"/login?iss="+url.QueryEscape(a.server.Issuer), "")); w.Code != 303 {
			t.Errorf("our own issuer: %d", w.Code)
		}
	})
	t.Run("AZ-29 the return path stays here", func(t *testing.T) {
		w := a.serve(request("GET", site+"/login?return_to=%2Fsecret-path", ""))
		if strings.Contains(w.Header().Get("Location"), "secret-path") {
			t.Error(w.Header().Get("Location"))
		}
	})
}

func TestForwardedHeadersChangeNothing(t *testing.T) {
	a := newApp(t, nil)
	for name, header := range map[string]http.Header{ // AZ-11 PX-03 PX-06 RD-15
		"host":   {"X-Forwarded-Host": {"evil.example"}, "Forwarded": {"host=evil.example;proto=http"}},
		"proto":  {"X-Forwarded-Proto": {"http"}, "X-Forwarded-Prefix": {"//evil.example"}},
		"uri":    {"X-Forwarded-Uri": {"/public"}, "X-Original-Url": {"/public"}, "X-Rewrite-Url": {"/public"}},
		"method": {"X-Http-Method-Override": {"OPTIONS"}}, // PX-08
		"agent":  {"User-Agent": {"GoogleHC/1.0"}},        // PX-04
	} {
		t.Run(name, func(t *testing.T) {
			r := request("GET", site+"/profile", "")
			r.Header = header.Clone()
			w := a.serve(r)
			if w.Code != 303 || w.Header().Get("Location") != "/login?return_to=%2Fprofile" {
				t.Errorf("protected: %d %s", w.Code, w.Header().Get("Location"))
			}
			r = request("GET", site+"/login", "")
			r.Header, r.Host = header.Clone(), "evil.example"
			w = a.serve(r)
			u, _ := url.Parse(w.Header().Get("Location"))
			if got := u.Query().Get("redirect_uri"); got != site+"/callback" {
				t.Errorf("redirect_uri %q", got)
			}
			if c := w.Header().Get("Set-Cookie"); !strings.HasPrefix(c, "__Host-") || !strings.Contains(c, "; Secure") {
				t.Errorf("cookie %q", c)
			}
		})
	}
	if a.served.Load() != 0 {
		t.Error("a protected handler was called")
	}
}

// TestNavigations: AZ-19 AZ-20 AZ-21, at a protected page and at the login itself.
func TestNavigations(t *testing.T) {
	a := newApp(t, nil)
	rows := []struct {
		name, method string
		header       map[string]string
		navigation   bool
	}{
		{"a browser", "GET", map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": "text/html"}, true},
		{"a service worker", "GET", map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "empty"}, true},
		{"an older browser", "GET", map[string]string{"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}, true},
		{"a plain client", "GET", nil, true},
		{"curl", "GET", map[string]string{"Accept": "*/*"}, true},
		{"a web view", "GET", map[string]string{"Sec-Fetch-Mode": "navigate", "X-Requested-With": "com.example.app"}, true},
		{"AZ-19 fetch", "GET", map[string]string{"Sec-Fetch-Mode": "cors", "Accept": "text/html"}, false},
		{"AZ-19 same-origin fetch", "GET", map[string]string{"Sec-Fetch-Mode": "same-origin", "Sec-Fetch-Dest": "empty"}, false},
		{"AZ-19 image", "GET", map[string]string{"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, false},
		{"AZ-19 XHR", "GET", map[string]string{"X-Requested-With": "XMLHttpRequest", "Accept": "*/*"}, false},
		{"AZ-19 JSON", "GET", map[string]string{"Accept": "application/json"}, false},
		{"AZ-19 JSON and anything", "GET", map[string]string{"Accept": "application/json, text/plain, */*"}, false},
		{"event stream", "GET", map[string]string{"Accept": "text/event-stream"}, false},
		{"a frame", "GET", map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, false},
		{"a prefetch", "GET", map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Purpose": "prefetch;prerender"}, false},
		{"an older prefetch", "GET", map[string]string{"Purpose": "prefetch"}, false},
		{"a websocket", "GET", map[string]string{"Sec-Fetch-Mode": "websocket", "Upgrade": "websocket", "Connection": "Upgrade"}, false},
		{"AZ-20", "POST", map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, false},
		{"AZ-20", "PUT", nil, false},
		{"AZ-20", "PATCH", nil, false},
		{"AZ-20", "DELETE", nil, false},
		{"AZ-21", "HEAD", nil, false},
		{"AZ-21 preflight", "OPTIONS", map[string]string{"Access-Control-Request-Method": "GET", "Origin": "https://evil.example"}, false},
		{"PX-08 override", "POST", map[string]string{"X-HTTP-Method-Override": "GET"}, false},
	}
	for _, row := range rows {
		t.Run(row.name+" "+row.method, func(t *testing.T) {
			for _, path := range []string{"/profile", "/login"} {
				r := request(row.method, site+path, "")
				for k, v := range row.header {
					r.Header.Set(k, v)
				}
				w := a.serve(r)
				h := w.Header()
				isPrivate(t, h)
				if row.navigation {
					if w.Code != http.StatusSeeOther || h.Get("Location") == "" {
						t.Errorf("%s: %d", path, w.Code)
					}
					continue
				}
				if w.Code != http.StatusUnauthorized || h.Get("Location") != "" || h.Get("Set-Cookie") != "" ||
					h.Get("Content-Type") != "application/problem+json" {
					t.Errorf("%s: %d %v", path, w.Code, h)
				}
			}
		})
	}
	if a.served.Load() != 0 {
		t.Error("a protected handler was called")
	}
}

func TestTransactionCookie(t *testing.T) {
	rows := []struct {
		name, origin, mode, want string
	}{
		{"AZ-22", site, "", "__Host-acp_tx_*; Path=/; Max-Age=600; HttpOnly; Secure; SameSite=Lax"},
		{"form_post", site, "form_post", "__Host-acp_tx_*; Path=/; Max-Age=600; HttpOnly; Secure; SameSite=None"},
		{"loopback", "http://127.0.0.1:8080", "", "acp_tx_*; Path=/; Max-Age=600; HttpOnly; SameSite=Lax"},
		{"loopback form_post", "http://localhost:8080", "form_post", "acp_tx_*; Path=/; Max-Age=600; HttpOnly; Secure; SameSite=None"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			a := newApp(t, func(s *setup) { s.origin, s.client.ResponseMode = row.origin, row.mode })
			w := a.serve(request("GET", row.origin+"/login", ""))
			lines := w.Header().Values("Set-Cookie")
			if len(lines) != 1 {
				t.Fatalf("%v", lines)
			}
			pair, attributes, _ := strings.Cut(lines[0], ";")
			name, _, _ := strings.Cut(pair, "=")
			prefix := strings.TrimSuffix(name, name[len(name)-22:])
			if got := prefix + "*;" + attributes; got != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
			if dropped := a.browser.SetCookie(row.origin+"/login", lines[0]); dropped != "" {
				t.Errorf("a browser drops it: %s", dropped)
			}
			// AZ-27: nothing of the flow is readable, not even after decoding it twice.
			u, _ := url.Parse(w.Header().Get("Location"))
			for _, v := range []string{"state", "nonce"} {
				if everyReading(pair, u.Query().Get(v)) {
					t.Errorf("AZ-27: the %s can be read", v)
				}
			}
			// CB-31 SE-21: the deletion has the same attributes.
			state := u.Query().Get("state")
			w = a.serve(request("GET", row.origin+"/callback?error=access_denied&state="+state, pair))
			want := name + "=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0;" + strings.TrimPrefix(attributes, " Path=/; Max-Age=600;")
			if got := w.Header().Get("Set-Cookie"); got != want || w.Code != 403 {
				t.Errorf("%d\ngot  %s\nwant %s", w.Code, got, want)
			}
		})
	}
}

func TestTwoTabs(t *testing.T) { // AZ-24 AZ-09
	a := newApp(t, nil)
	first := a.callback(a.browser, "/profile?tab=1")
	second := a.callback(a.browser.Tab(), "/other?tab=2")
	if p := first.Follow(); p.Body() != "alice" || p.URL().RequestURI() != "/profile?tab=1" {
		t.Errorf("tab 1: %d %s", p.Status(), p.URL())
	}
	if p := second.Follow(); p.Body() != "alice" || p.URL().RequestURI() != "/other?tab=2" {
		t.Errorf("tab 2: %d %s", p.Status(), p.URL())
	}
}

func TestManyUnfinishedLogins(t *testing.T) { // AZ-25, museum 37
	for name, returnTo := range map[string]string{
		"short": "/profile",
		"long":  "/" + strings.Repeat("&", 1023),
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, nil)
			var last *acptest.Page
			for range 50 {
				last = a.callback(a.browser, "/login?return_to="+url.QueryEscape(returnTo))
				live := a.cookies(txPrefix)
				size := 0
				for _, c := range live {
					size += len(c.Name) + len(c.Value)
				}
				if len(live) == 0 || len(live) > 5 || size > 4<<10 {
					t.Fatalf("%d unfinished logins, %d bytes", len(live), size)
				}
			}
			want := returnTo
			if p := last.Follow(); p.Status() == 0 || p.URL().RequestURI() != want && p.Steps[len(p.Steps)-2].ResponseHeader.Get("Location") != want {
				t.Errorf("the last login ended with %d at %s", p.Status(), p.URL())
			}
		})
	}
}

func TestLongReturnTo(t *testing.T) { // AZ-28 RD-12
	a := newApp(t, nil)
	p := a.browser.Navigate(site + "/login?return_to=/" + strings.Repeat("a", 8<<10))
	if p.Status() != 200 || p.URL().Path != "/" {
		t.Errorf("ended with %d at %s", p.Status(), p.URL())
	}
	for _, s := range p.Steps {
		for _, line := range s.SetCookies {
			if pair, _, _ := strings.Cut(line, ";"); len(pair) > 4096 {
				t.Errorf("a cookie of %d bytes", len(pair))
			}
		}
	}
}

func TestLoginOptions(t *testing.T) {
	options := &acpclient.AuthorizeOptions{
		ReturnTo: "https://evil.example", Prompt: []string{"login"}, Scopes: []string{"openid"}, Extra: url.Values{"tenant": {"x"}},
		MaxAge: new(time.Minute), AuthorizationDetails: []byte(`[{"type":"a"}]`),
	}
	a := newApp(t, func(s *setup) { s.config.Authorize = options })
	options.AuthorizationDetails[10] = 'x'
	options.Prompt[0], options.Scopes[0], options.Extra["tenant"][0], *options.MaxAge = "none", "bad", "bad", 0 // CF-06
	u, _ := url.Parse(a.serve(request("GET", site+"/login", "")).Header().Get("Location"))
	q := u.Query()
	if q.Get("prompt") != "login" || q.Get("scope") != "openid" || q.Get("tenant") != "x" || q.Get("max_age") != "60" || q.Get("authorization_details") != `[{"type":"a"}]` {
		t.Errorf("%v", q)
	}
	if p := a.browser.Navigate(site + "/login"); p.URL().Path != "/" || p.Status() != 200 {
		t.Errorf("ended at %s", p.URL())
	}
}

// AZ-35, and the row of section 8: a server that names no usable endpoint.
func TestLoginWithBadMetadata(t *testing.T) {
	for _, endpoint := range []any{"http://as.example/authorize", "javascript:alert(1)", "data:text/html,x", nil, "http://0.0.0.0/a"} {
		a := newApp(t, nil)
		a.server.OnMetadata(func(m map[string]any) { m["authorization_endpoint"] = endpoint })
		w := a.serve(request("GET", site+"/login", ""))
		if w.Code != http.StatusBadGateway || w.Header().Get("Location") != "" || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%v: %d %v", endpoint, w.Code, w.Header())
		}
	}
}

func TestLoginWhileServerIsDown(t *testing.T) { // CF-02 RL-05
	a := newApp(t, nil)
	a.server.Handle(acptest.MetadataEndpoint, acptest.Reset())
	p := a.browser.Navigate(site + "/profile")
	if p.Status() != 503 || p.Last().ResponseHeader.Get("Retry-After") == "" || len(a.cookies(txPrefix)) != 0 {
		t.Errorf("%d %v", p.Status(), p.Last().ResponseHeader)
	}
	if w := a.browser.Fetch("GET", site+"/profile", nil); w.Status != 401 {
		t.Errorf("fetch: %d", w.Status)
	}
	if a.served.Load() != 0 {
		t.Error("a protected handler was called")
	}
}

// everyReading looks for a value in a text, and in what base64 makes of it, twice.
func everyReading(text, value string) bool {
	for range 3 {
		if strings.Contains(text, value) {
			return true
		}
		_, text, _ = strings.Cut(text, "=")
		raw, _ := base64.URLEncoding.DecodeString(text)
		text = string(raw)
	}
	return false
}

// Without the scope openid there is no ID token: the login is good all the same, and names nobody.
func TestLoginWithoutOpenID(t *testing.T) {
	for _, stored := range []bool{false, true} {
		a := newApp(t, func(s *setup) {
			s.client.Scopes = []string{"things.read", "offline_access"}
			if stored {
				s.config.Store = &memStore{}
			}
		})
		if p := a.browser.Navigate(site + "/profile"); p.Status() != 200 || p.Body() != "" || p.URL().Path != "/profile" {
			t.Fatalf("%d %s\n%s", p.Status(), p.Body(), a.logs)
		}
		if p := a.browser.Navigate(site + "/token"); p.Status() != 200 || p.Body() == "" {
			t.Errorf("its access token: %d", p.Status())
		}
	}
}

// AZ-31: a request that cannot be pushed ends in our own page, and leaves no trace in the browser.
func TestLoginThatCannotBePushed(t *testing.T) {
	for _, row := range []struct {
		name   string
		answer http.HandlerFunc
		status int
	}{
		{"AZ-31 400", acptest.Answer(400, "application/json", `{"error":"invalid_request"}`), http.StatusBadGateway},
		{"AZ-31 401", acptest.Answer(401, "application/json", `{"error":"invalid_client"}`), http.StatusBadGateway},
		{"AZ-31 403 that looks like the user's no", acptest.Answer(403, "application/json", `{"error":"access_denied"}`), http.StatusBadGateway},
		{"AZ-31 no answer of PAR", acptest.Answer(201, "text/html", `hello`), http.StatusBadGateway},
		{"AZ-31 500", acptest.Answer(500, "text/plain", ""), http.StatusServiceUnavailable},
		{"AZ-31 429", acptest.Answer(429, "text/plain", ""), http.StatusServiceUnavailable},
		{"AZ-31 reset", acptest.Reset(), http.StatusServiceUnavailable},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := newApp(t, func(s *setup) { s.server.RequirePAR = true })
			a.server.Handle(acptest.PAREndpoint, row.answer)
			p := a.browser.Navigate(site + "/profile")
			if p.Status() != row.status || len(a.cookies(txPrefix)) != 0 || a.server.Count(acptest.AuthorizeEndpoint) != 0 || a.server.Count(acptest.PAREndpoint) != 1 {
				t.Errorf("%d, %d pushed, %d at the authorize endpoint", p.Status(), a.server.Count(acptest.PAREndpoint), a.server.Count(acptest.AuthorizeEndpoint))
			}
			if retry := p.Last().ResponseHeader.Get("Retry-After"); (retry != "") != (row.status == http.StatusServiceUnavailable) {
				t.Errorf("Retry-After %q", retry)
			}
			a.server.Handle(acptest.PAREndpoint, nil)
			if p := a.browser.Navigate(site + "/profile"); p.Body() != "alice" {
				t.Errorf("the next login: %d %s", p.Status(), p.Body())
			}
		})
	}
}
