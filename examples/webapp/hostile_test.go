package main

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/acp-go/acp/examples/internal/serve"
)

var reference = regexp.MustCompile(`Reference <code>([A-Z2-7]{12})</code>|"reference":"([A-Z2-7]{12})"`)

// TestHostileServer lets the server be wrong in one point after the other, and judges all
// that comes out of the program: the answer, its headers, its page and its log.
func TestHostileServer(t *testing.T) {
	const asJSON = "application/json"
	claim := func(name string, value any) fault {
		return fault{claims: func(c map[string]any) { c[name] = value }}
	}
	member := func(name string, value any) fault {
		return fault{response: func(m map[string]any) { m[name] = value }}
	}
	header := func(name jose.HeaderKey, value any) fault {
		return fault{header: map[jose.HeaderKey]any{name: value}}
	}
	h := startHostile(t)
	app := h.startApp(t)
	if p := h.signIn(newAgent(t), app); p.StatusCode != http.StatusSeeOther || p.Header.Get("Location") != "/profile" {
		t.Fatalf("an honest answer: status %d\n%s", p.StatusCode, app.log)
	}
	lengths := map[int]int{}
	for name, row := range map[string]struct {
		fault  fault
		status int
	}{
		"TX-01 500":                    {fault{token: says(500, "text/html", "<script>")}, 503},
		"429":                          {fault{token: says(429, asJSON, `{}`)}, 503},
		"TX-02 invalid_grant":          {fault{token: says(400, asJSON, `{"error":"invalid_grant"}`)}, 400},
		"invalid_client":               {fault{token: says(401, asJSON, `{"error":"invalid_client","error_description":"a\nb\u001b[2J"}`)}, 502},
		"temporarily_unavailable":      {fault{token: says(400, asJSON, `{"error":"temporarily_unavailable"}`)}, 503},
		"TX-03 reset":                  {fault{token: hangUp}, 503},
		"TX-06 2 MiB":                  {fault{token: says(200, asJSON, strings.Repeat(" ", 2<<20))}, 502},
		"TX-07 307":                    {fault{token: says(307, asJSON, "")}, 502},
		"TX-08 302":                    {fault{token: says(302, asJSON, "")}, 502},
		"TX-10 HTML":                   {fault{token: says(200, "text/html", "{}")}, 502},
		"TX-15 no access token":        {fault{token: says(200, asJSON, `{"token_type":"Bearer"}`)}, 502},
		"TX-15 access token with CRLF": {member("access_token", "a\r\nb"), 502},
		"TX-16 no token_type":          {fault{response: func(m map[string]any) { delete(m, "token_type") }}, 502},
		"TX-17 mac":                    {member("token_type", "mac"), 502},
		"TX-20 no ID token":            {fault{response: func(m map[string]any) { delete(m, "id_token") }}, 502},
		"TX-24 error in a 200":         {fault{token: says(200, asJSON, `{"error":"invalid_grant"}`)}, 400},
		"ID-01 alg none":               {member("id_token", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0."), 502},
		"ID-06 iss with a slash":       {fault{claims: func(c map[string]any) { c["iss"] = c["iss"].(string) + "/" }}, 502},
		"ID-11 another audience":       {claim("aud", []string{"web", "evil"}), 502},
		"ID-12 azp":                    {claim("azp", "evil"), 502},
		"ID-13 sub empty":              {claim("sub", ""), 502},
		"ID-17 exp a string":           {claim("exp", "9999999999"), 502},
		"ID-20 nbf overflows":          {claim("nbf", 1e300), 502},
		"ID-24 iat of last week":       {claim("iat", time.Now().Add(-7*24*time.Hour).Unix()), 502},
		"ID-25 nonce":                  {claim("nonce", "another"), 502},
		"ID-28 at_hash":                {claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"), 502},
		"ID-33 typ at+jwt":             {header("typ", "at+jwt"), 502},
		"ID-34 events":                 {claim("events", map[string]any{}), 502},
		"ID-35 b64":                    {header("b64", false), 502},
		"ID-36 jku":                    {fault{forged: true, header: map[jose.HeaderKey]any{"jku": h.URL + "/evil"}}, 502},
		"ID-37 kid unknown":            {header("kid", "../../1"), 502},
		"forged":                       {fault{forged: true}, 502},
	} {
		t.Run(name, func(t *testing.T) {
			h.set(row.fault)
			a := newAgent(t)
			before := h.tokens.Load()
			p := h.signIn(a, app)
			if p.StatusCode != row.status {
				t.Fatalf("status %d, want %d\n%s", p.StatusCode, row.status, app.log)
			}
			if n := h.tokens.Load() - before; n != 1 {
				t.Errorf("%d token requests", n)
			}
			if length := cmp.Or(lengths[p.StatusCode], len(p.text)); length != len(p.text) {
				t.Errorf("a page of %d bytes beside one of %d", len(p.text), length)
			}
			lengths[p.StatusCode] = len(p.text)
			wantHeaders(t, p)
			wantLogged(t, app, p)
			for _, cookie := range p.Cookies() {
				if cookie.MaxAge >= 0 {
					t.Errorf("cookie %s", cookie.Name)
				}
			}
			if me := a.fetch(app.base + "/api/me"); me.StatusCode != http.StatusUnauthorized {
				t.Errorf("/api/me: status %d", me.StatusCode)
			}
		})
	}
	h.wantNoMarks(t, app)
}

// LG-01: nothing of a login, good or bad, is in the log.
func (h *hostile) wantNoMarks(t *testing.T, app *app) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	log := app.log.String()
	for _, mark := range h.marks {
		if strings.Contains(log, mark) {
			t.Errorf("%s is in the log", mark)
		}
	}
	if len(h.marks) == 0 || strings.ContainsRune(log, 0x1b) {
		t.Error("no marks, or an escape sequence in the log")
	}
}

// wantHeaders demands what every answer has, redirects and errors included.
func wantHeaders(t *testing.T, p answer) {
	t.Helper()
	for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"} {
		if got := p.Header.Get(name); got != want {
			t.Errorf("status %d: %s: %q", p.StatusCode, name, got)
		}
	}
	if html := strings.HasPrefix(p.Header.Get("Content-Type"), "text/html"); html && !strings.Contains(p.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("status %d: a page with the policy %q", p.StatusCode, p.Header.Get("Content-Security-Policy"))
	}
	again := p.StatusCode == http.StatusServiceUnavailable || p.StatusCode == http.StatusGatewayTimeout
	if (p.Header.Get("Retry-After") != "") != again {
		t.Errorf("status %d: Retry-After %q", p.StatusCode, p.Header.Get("Retry-After"))
	}
}

// wantLogged demands one line under the reference that the answer shows.
func wantLogged(t *testing.T, app *app, p answer) {
	t.Helper()
	found := reference.FindStringSubmatch(p.text)
	if found == nil {
		t.Fatalf("status %d without a reference:\n%s", p.StatusCode, p.text)
	}
	if n := strings.Count(app.log.String(), "reference="+found[1]+found[2]); n != 1 {
		t.Errorf("%d lines in the log under the answer's reference", n)
	}
}

// TestHostileMetadata: each row is a program of its own, which then recovers by itself.
func TestHostileMetadata(t *testing.T) {
	member := func(name string, value any) fault {
		return fault{metadata: func(m map[string]any) { m[name] = value }}
	}
	for name, f := range map[string]fault{
		"JW-01 issuer":            member("issuer", "https://evil.example"),
		"JW-02 issuer in capital": {metadata: func(m map[string]any) { m["ISSUER"] = m["issuer"]; delete(m, "issuer") }},
		"JW-03 http":              member("token_endpoint", "http://acp.example/token"),
		"JW-03 0.0.0.0":           member("jwks_uri", "http://0.0.0.0/keys"),
		"AZ-35 javascript":        member("authorization_endpoint", "javascript:alert(1)"),
		"AZ-15 client_id": {metadata: func(m map[string]any) {
			m["authorization_endpoint"] = m["authorization_endpoint"].(string) + "?client_id=evil"
		}},
		"AZ-31 PAR demanded": member("require_pushed_authorization_requests", true),
		"no token endpoint":  member("token_endpoint", nil),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startHostile(t)
			app := h.startApp(t)
			h.set(f)
			a := newAgent(t)
			p := a.step(app.base + "/login?return_to=/profile")
			if p.StatusCode != http.StatusBadGateway || len(p.Cookies()) > 0 || strings.Contains(p.text, "evil") {
				t.Errorf("status %d, %d cookies\n%s", p.StatusCode, len(p.Cookies()), p.text)
			}
			wantHeaders(t, p)
			wantLogged(t, app, p)
			if p := a.step(app.base + "/healthz"); p.StatusCode != http.StatusOK {
				t.Errorf("/healthz: status %d", p.StatusCode)
			}
		})
	}
}

// TestEveryAnswer asks for what the application itself answers.
func TestEveryAnswer(t *testing.T) {
	h := startHostile(t)
	app := h.startApp(t)
	user, stranger := newAgent(t), newAgent(t)
	if p := h.signIn(user, app); p.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d\n%s", p.StatusCode, app.log)
	}
	for _, row := range []struct {
		method, path   string
		user, stranger int
	}{
		{"GET", "/", 200, 200},
		{"GET", "/healthz", 200, 200},
		{"GET", "/profile", 200, 303},
		{"GET", "/api/me", 200, 303},
		{"GET", "/api/call", 200, 303},
		{"HEAD", "/profile", 200, 401},    // AZ-21
		{"OPTIONS", "/profile", 405, 401}, // AZ-21
		{"POST", "/profile", 405, 401},    // AZ-20
		{"PUT", "/api/me", 405, 401},      // AZ-20
		{"PATCH", "/api/call", 405, 401},  // AZ-20
		{"DELETE", "/profile", 405, 401},  // AZ-20
		{"POST", "/", 405, 405},
		{"POST", "/healthz", 405, 405},
		{"GET", "/logout", 405, 405}, // LO-01
		{"GET", "/backchannel-logout", 405, 405},
		{"POST", "/backchannel-logout", 501, 501}, // LO-22
		{"GET", "/nothing", 404, 404},
		{"GET", "/profile/", 404, 404},
		{"GET", "//profile", 404, 404},          // PX-01
		{"GET", "/public/../profile", 404, 404}, // PX-01
		{"GET", "//callback?code=a", 404, 404},  // CB-42
		{"GET", "/./callback?code=a", 404, 404}, // CB-42
		{"GET", "/callback/?code=a", 404, 404},  // CB-42
		{"GET", "/%63allback?code=a", 404, 404}, // CB-42
		{"GET", "/callback?code=a&state=", 400, 400},
	} {
		for _, who := range []struct {
			*agent
			name string
			want int
		}{{user, "user", row.user}, {stranger, "stranger", row.stranger}} {
			t.Run(who.name+" "+row.method+" "+row.path, func(t *testing.T) {
				who.step(app.base + "/healthz") // to follow no redirect from here on
				p := who.do(row.method, app.base+row.path, nil, navigation)
				if p.StatusCode != who.want {
					t.Errorf("status %d, want %d", p.StatusCode, who.want)
				}
				if location := p.Header.Get("Location"); location != "" && !strings.HasPrefix(location, "/login?return_to=") {
					t.Errorf("Location: %s", location)
				}
				if p.StatusCode == http.StatusMethodNotAllowed && p.Header.Get("Allow") == "" {
					t.Error("405 without Allow")
				}
				wantHeaders(t, p)
			})
		}
	}
}

// TestAPIFailures: an API that fails is told apart by the log alone.
func TestAPIFailures(t *testing.T) {
	h := startHostile(t)
	app := h.startApp(t)
	a := newAgent(t)
	if p := h.signIn(a, app); p.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d\n%s", p.StatusCode, app.log)
	}
	length := 0
	for name, api := range map[string]http.HandlerFunc{
		"reset":    hangUp,
		"too long": says(200, "text/plain", strings.Repeat("x", 64<<10+1)),
		"cut short": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "x")
		},
	} {
		t.Run(name, func(t *testing.T) {
			h.set(fault{api: api})
			p := a.fetch(app.base + "/api/call")
			if p.StatusCode != http.StatusBadGateway || cmp.Or(length, len(p.text)) != len(p.text) {
				t.Errorf("status %d, %d bytes: %s", p.StatusCode, len(p.text), p.text)
			}
			length = len(p.text)
			wantHeaders(t, p)
			wantLogged(t, app, p)
		})
	}
	h.set(fault{})
	if p := a.fetch(app.base + "/api/call"); p.StatusCode != http.StatusOK {
		t.Errorf("the session or its token went with the API: status %d", p.StatusCode)
	}
	if strings.Contains(app.log.String(), h.URL+"/api") {
		t.Error("the API's URL is in the log")
	}
	h.wantNoMarks(t, app)
}

// TestEndWhileARefreshHangs: a server that does not answer cannot make the end unclean.
func TestEndWhileARefreshHangs(t *testing.T) {
	t.Parallel()
	h := startHostile(t)
	app := h.startApp(t, "ACP_SCOPES=openid offline_access")
	h.set(fault{response: func(m map[string]any) { m["expires_in"] = 0 }})
	a := newAgent(t)
	if p := h.signIn(a, app); p.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d\n%s", p.StatusCode, app.log)
	}
	asked, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	h.set(fault{token: func(http.ResponseWriter, *http.Request) {
		close(asked)
		<-release
	}})
	// The caller leaves as soon as the server is asked, the refresh goes on.
	var gone sync.WaitGroup
	defer gone.Wait()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, app.base+"/api/call", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, cookie := range a.client.Jar.Cookies(r.URL) {
		r.AddCookie(cookie)
	}
	gone.Go(func() {
		if response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r); err == nil {
			response.Body.Close()
		}
	})
	<-asked
	leave()
	begin := time.Now()
	if status := app.stop(); status != serve.OK {
		t.Errorf("exit status %d\n%s", status, app.log)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}
