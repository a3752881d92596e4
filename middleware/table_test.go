package middleware_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/middleware"
)

// finished is the answer to a callback that was edited on its way.
type finished struct {
	status   int
	header   http.Header
	body     string
	attempts int // requests that the token endpoint saw
}

// finish walks a login to its callback and sends that with an edited query and method.
func (a *app) finish(method string, edit func(q url.Values) string) finished {
	a.t.Helper()
	p := a.callback(a.browser, "/profile")
	before := a.server.Count(acptest.TokenEndpoint)
	w := a.serve(request(method, site+"/callback?"+edit(p.Next.Query()), a.cookieHeader()))
	return finished{w.Code, w.Header(), w.Body.String(), a.server.Count(acptest.TokenEndpoint) - before}
}

// sets reports whether an answer gives the browser a session.
func sets(h http.Header, name string) bool {
	for _, line := range h.Values("Set-Cookie") {
		if strings.HasPrefix(line, name) && !strings.Contains(line, "Max-Age=0") {
			return true
		}
	}
	return false
}

// What the browser brings, and nothing of it reaches the token endpoint.
func TestCallbackRefusals(t *testing.T) {
	change := func(name string, f func(string) string) func(url.Values) string {
		return func(q url.Values) string { q.Set(name, f(q.Get(name))); return q.Encode() }
	}
	add := func(more string) func(url.Values) string {
		return func(q url.Values) string { return q.Encode() + more }
	}
	drop := func(name string) func(url.Values) string {
		return func(q url.Values) string { q.Del(name); return q.Encode() }
	}
	rows := []struct {
		name   string
		edit   func(url.Values) string
		status int
	}{
		{"CB-01 no state", drop("state"), 400},
		{"CB-02 another state", change("state", func(string) string { return "AAAAAAAAAAAAAAAAAAAAAAAAAA" }), 400},
		{"CB-03 state one byte short", change("state", func(s string) string { return s[:len(s)-1] }), 400},
		{"CB-03 state in lower case", change("state", strings.ToLower), 400},
		{"CB-03 state with a space", change("state", func(s string) string { return s + " " }), 400},
		{"CB-10 two codes", add("&code=x"), 400},
		{"CB-10 two states", add("&state=x"), 400},
		{"CB-10 two iss", add("&iss=a&iss=b"), 400},
		{"CB-10 two errors", add("&error=a&error=b"), 400},
		{"CB-11 code and error", add("&error=server_error"), 503},
		{"CB-12 no code", drop("code"), 400},
		{"CB-12 empty code", change("code", func(string) string { return "" }), 400},
		{"CB-17 code of 1 MiB", change("code", func(string) string { return strings.Repeat("a", 1<<20) }), 400},
		{"CB-17 20 000 parameters", add(strings.Repeat("&a=1", 20_000)), 400},
		{"CB-17 only ampersands", func(url.Values) string { return strings.Repeat("&", 100) }, 400},
		{"CB-18 a semicolon", add(";code=x"), 400},
		{"CB-19 another iss", add("&iss=https%3A%2F%2Fevil.example"), 400},
		{"CB-21 another iss on an error", func(q url.Values) string {
			return "error=access_denied&state=" + q.Get("state") + "&iss=https%3A%2F%2Fevil.example"
		}, 400},
		{"CB-37 an ID token in the query", add("&id_token=x"), 400},
		{"CB-37 an access token in the query", add("&access_token=x"), 400},
		{"CB-38 a JARM response", add("&response=x"), 400},
		{"CB-40 NUL in the state", change("state", func(s string) string { return s + "\x00" }), 400},
		{"CB-40 invalid UTF-8", change("state", func(s string) string { return s + "\xff" }), 400},
		{"CB-40 bad escape", add("&x=%zz"), 400},
		{"CB-24 refused", func(q url.Values) string { return "error=access_denied&state=" + q.Get("state") }, 403},
		{"CB-24 ACP's rejected", func(q url.Values) string {
			return "error=Rejected&error_cause=consent_rejected&state=" + q.Get("state")
		}, 403},
		{"CB-29 login_required", func(q url.Values) string { return "error=login_required&state=" + q.Get("state") }, 401},
		{"CB-29 account_selection_required", func(q url.Values) string { return "error=account_selection_required&state=" + q.Get("state") }, 401},
		{"CB-29 temporarily_unavailable", func(q url.Values) string { return "error=temporarily_unavailable&state=" + q.Get("state") }, 503},
		{"CB-28 an error that is none", func(q url.Values) string { return "error=%22%3Cscript%3E&state=" + q.Get("state") }, 502},
		{"CB-25 script in the description", func(q url.Values) string {
			return "error=invalid_scope&error_description=%3Cscript%3Ealert(1)%3C%2Fscript%3E&error_uri=javascript:alert(1)&state=" + q.Get("state") // CB-27
		}, 502},
		{"CB-26 control characters in the description", func(q url.Values) string {
			return "error=invalid_scope&error_description=a%0d%0aSet-Cookie:%20x%1b%5b2J&state=" + q.Get("state")
		}, 502},
	}
	lengths := map[int]int{}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			a := newApp(t, nil)
			got := a.finish("GET", row.edit)
			if got.status != row.status || got.attempts != 0 || sets(got.header, sessionPrefix) {
				t.Fatalf("%d with %d token requests, session %v; want %d and none\n%s", got.status, got.attempts, sets(got.header, sessionPrefix), row.status, a.logs)
			}
			isPrivate(t, got.header)
			if got.header.Get("Location") != "" || strings.Contains(got.body, "script") || strings.Contains(got.body, "javascript") {
				t.Errorf("CB-25 CB-27: %v\n%s", got.header, got.body)
			}
			if csp := got.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
				t.Errorf("LG-07: policy %q", csp)
			}
			if row.status == 503 && got.header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			if known, ok := lengths[row.status]; ok && known != len(got.body) {
				t.Errorf("LG-09: pages of status %d have %d and %d bytes", row.status, known, len(got.body))
			}
			lengths[row.status] = len(got.body)
			if n := strings.Count(a.logs.String(), "reference="); n != 1 {
				t.Errorf("LG-06: %d log lines with a reference\n%s", n, a.logs)
			}
		})
	}
}

func TestCallbackMethods(t *testing.T) {
	same := func(q url.Values) string { return q.Encode() }
	for _, method := range []string{"HEAD", "POST", "PUT", "OPTIONS"} { // CB-35
		a := newApp(t, nil)
		if got := a.finish(method, same); got.status != 405 || got.attempts != 0 || got.header.Get("Allow") == "" {
			t.Errorf("%s: %d, %d token requests, Allow %q", method, got.status, got.attempts, got.header.Get("Allow"))
		}
	}
	a := newApp(t, nil)
	p := a.callback(a.browser, "/profile")
	r := request("GET", p.Next.String(), a.cookieHeader())
	r.Header.Set("Sec-Purpose", "prefetch;prerender")
	if w := a.serve(r); w.Code != 405 || a.server.Count(acptest.TokenEndpoint) != 0 {
		t.Errorf("CB-35 prefetch: %d, %d token requests", w.Code, a.server.Count(acptest.TokenEndpoint))
	}
	if end := p.Follow(); end.Body() != "alice" {
		t.Errorf("after the prefetch the login itself: %d %s", end.Status(), end.Body())
	}
	for _, path := range []string{"//callback", "/callback/", "/callback;x", "/%63allback", "/./callback"} { // CB-42
		w := a.serve(request("GET", site+path+"?code=a&state=b", ""))
		if w.Code != 404 || w.Header().Get("Location") != "" || a.server.Count(acptest.TokenEndpoint) != 1 {
			t.Errorf("CB-42 %s: %d to %q", path, w.Code, w.Header().Get("Location"))
		}
	}
}

func TestCallbackReplay(t *testing.T) {
	a := newApp(t, nil)
	p := a.callback(a.browser, "/other")
	stolen := a.cookieHeader()
	end := p.Follow()
	if end.URL().Path != "/other" || end.Body() != "alice" {
		t.Fatalf("%d at %s", end.Status(), end.URL())
	}
	if w := a.serve(request("GET", p.Next.String(), stolen)); w.Code != 400 { // CB-04
		t.Errorf("CB-04: a kept cookie: %d", w.Code)
	}
	if w := a.serve(request("GET", p.Next.String(), a.cookieHeader())); w.Code != 303 || w.Header().Get("Location") != "/other" {
		t.Errorf("CB-04: back onto the callback: %d to %q", w.Code, w.Header().Get("Location"))
	}
	if n := a.server.Count(acptest.TokenEndpoint); n != 1 {
		t.Errorf("CB-04: %d token requests", n)
	}
}

func TestCallbackExpired(t *testing.T) {
	a := newApp(t, nil)
	p := a.callback(a.browser, "/profile")
	a.clock.advance(601 * time.Second)
	if end := p.Follow(); end.Status() != 400 || a.server.Count(acptest.TokenEndpoint) != 0 {
		t.Errorf("CB-06: %d, %d token requests", end.Status(), a.server.Count(acptest.TokenEndpoint))
	}
}

// A transaction is one browser's, one application's and one key's.
func TestForeignTransactions(t *testing.T) {
	a := newApp(t, nil)
	p := a.callback(a.browser, "/profile")
	tx := a.cookies(txPrefix)
	if len(tx) != 1 {
		t.Fatalf("%d transaction cookies", len(tx))
	}
	name, value := tx[0].Name, tx[0].Value
	send := func(cookie string) int { return a.serve(request("GET", p.Next.String(), cookie)).Code }
	for i := 0; i < len(value); i += 7 { // CB-07
		b := []byte(value)
		b[i] ^= 1
		if code := send(name + "=" + string(b)); code != 400 {
			t.Fatalf("CB-07: byte %d flipped: %d", i, code)
		}
	}
	other := newApp(t, nil)
	q := other.callback(other.browser, "/profile")
	if w := a.serve(request("GET", q.Next.String(), other.cookieHeader())); w.Code != 400 { // CB-08 AZ-26
		t.Errorf("CB-08: another application's transaction: %d", w.Code)
	}
	if code := send(sessionPrefix + "=" + value); code != 400 { // CB-09
		t.Errorf("CB-09: a transaction as a session: %d", code)
	}
	if w := a.serve(request("GET", site+"/profile", sessionPrefix+"="+value)); w.Code != 303 {
		t.Errorf("CB-09: a transaction opened the profile: %d", w.Code)
	}
	if n := a.server.Count(acptest.TokenEndpoint) + other.server.Count(acptest.TokenEndpoint); n != 0 {
		t.Errorf("%d token requests", n)
	}
}

// The server's answers at the token endpoint, and what the browser is told.
func TestTokenEndpointAnswers(t *testing.T) {
	answer := func(status int, kind, body string) func(*acptest.Response) {
		return func(r *acptest.Response) {
			r.Status, r.Body = status, []byte(body)
			r.Header = http.Header{"Content-Type": {kind}}
		}
	}
	for _, row := range []struct {
		name   string
		edit   func(*acptest.Response)
		status int
	}{
		{"TX-01 500", answer(500, "text/plain", "oops"), 503},
		{"TX-02 invalid_grant", answer(400, "application/json", `{"error":"invalid_grant"}`), 400},
		{"429", answer(429, "text/plain", "Too many requests"), 503},
		{"invalid_client", answer(401, "application/json", `{"error":"invalid_client"}`), 502},
		{"TX-08 a redirect", answer(302, "text/plain", ""), 502},
		{"TX-10 HTML", answer(200, "text/html", `{"access_token":"a","token_type":"bearer"}`), 502},
		{"TX-16 no token_type", answer(200, "application/json", `{"access_token":"a"}`), 502},
		{"TX-17 mac", answer(200, "application/json", `{"access_token":"a","token_type":"mac"}`), 502},
		{"TX-20 no ID token", answer(200, "application/json", `{"access_token":"a","token_type":"bearer"}`), 502},
		{"TX-06 too large", answer(200, "application/json", `{"a":"`+strings.Repeat("x", 2<<20)+`"}`), 502},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := newApp(t, nil)
			a.server.OnTokenResponse(row.edit)
			got := a.finish("GET", func(q url.Values) string { return q.Encode() })
			if got.status != row.status || got.attempts != 1 || sets(got.header, sessionPrefix) {
				t.Errorf("%d with %d token requests, want %d and 1\n%s", got.status, got.attempts, row.status, a.logs)
			}
			if len(a.cookies(txPrefix)) == 0 || !deletes(got.header, txPrefix) {
				t.Errorf("CB-31: the transaction cookie is not deleted: %q", got.header.Values("Set-Cookie"))
			}
		})
	}
	a := newApp(t, nil)
	p := a.callback(a.browser, "/profile")
	a.server.SetUnreachable(true)
	if w := a.serve(request("GET", p.Next.String(), a.cookieHeader())); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("TX-03 unreachable: %d", w.Code)
	}
}

// deletes reports whether a cookie is deleted with the attributes it was set with (SE-21).
func deletes(h http.Header, name string) bool {
	for _, line := range h.Values("Set-Cookie") {
		if strings.HasPrefix(line, name) && strings.Contains(line, "Max-Age=0") && strings.Contains(line, "Path=/") &&
			strings.Contains(line, "Secure") && strings.Contains(line, "HttpOnly") && strings.Contains(line, "SameSite=") {
			return true
		}
	}
	return false
}

func TestFormPost(t *testing.T) {
	form := func(s *setup) { s.client.ResponseMode = "form_post" }
	a := newApp(t, form)
	a.login()
	if n := a.server.Count(acptest.TokenEndpoint); n != 1 {
		t.Errorf("%d token requests", n)
	}
	for _, row := range []struct {
		name, kind, query, body string
		status                  int
	}{
		{"CB-13 mixed", "application/x-www-form-urlencoded", "?state=a", "code=x", 400},
		{"CB-15 multipart", "multipart/form-data; boundary=x", "", "--x--", 415},
		{"CB-15 text", "text/plain", "", "code=x&state=y", 415},
		{"CB-15 JSON", "application/json", "", "{}", 415},
		{"CB-16 too large", "application/x-www-form-urlencoded", "", "code=" + strings.Repeat("a", 10<<20), 413},
		{"CB-10 twice", "application/x-www-form-urlencoded", "", "state=a&state=b&code=c", 400},
	} {
		r := request("POST", site+"/callback"+row.query, "")
		r.Header.Set("Content-Type", row.kind)
		r.Body = readCloser(row.body)
		if w := a.serve(r); w.Code != row.status {
			t.Errorf("%s: %d, want %d", row.name, w.Code, row.status)
		}
	}
	if n := a.server.Count(acptest.TokenEndpoint); n != 1 {
		t.Errorf("%d token requests after the attacks", n)
	}
}

func TestConfigMistakes(t *testing.T) { // CF-01 SE-03
	a := newApp(t, nil)
	zero, text := make([]byte, 32), []byte("0123456789abcdef0123456789abcdef")
	for name, keys := range map[string][][]byte{
		"none": nil, "empty": {{}}, "1 byte": {{1}}, "31 bytes": {randomKey()[:31]}, "33 bytes": {append(randomKey(), 1)},
		"all zero": {zero}, "text": {text}, "second one bad": {randomKey(), zero},
	} {
		if auth, err := middleware.New(a.client, middleware.Config{CookieKeys: keys}); err == nil || auth != nil {
			t.Errorf("SE-03 %s: accepted", name)
		}
	}
	if _, err := middleware.New(nil, middleware.Config{CookieKeys: [][]byte{randomKey()}}); err == nil {
		t.Error("CF-01: a nil client was accepted")
	}
	_, err := middleware.New(a.client, middleware.Config{CookieKeys: [][]byte{zero}, LoginPath: "x", IdleTimeout: -1})
	for _, field := range []string{"CookieKeys", "LoginPath", "IdleTimeout"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("CF-07: the error does not name %s: %v", field, err)
		}
	}
}
