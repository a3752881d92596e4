package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/acp-go/acp/examples/internal/apptest"
	"github.com/acp-go/acp/examples/internal/serve"
	"github.com/acp-go/acp/examples/localacp"
)

func TestMain(m *testing.M) { apptest.Main(m, main) }

func TestWithoutConfiguration(t *testing.T) {
	app := startApp(t)
	a := newAgent(t)
	if p := a.open(app.base + "/"); p.StatusCode != http.StatusOK || !strings.Contains(p.text, "This page is public") {
		t.Fatalf("/: status %d\n%s", p.StatusCode, p.text)
	}
	consent := a.submit(a.open(app.base+"/profile"), "username", "alice", "password", "wonderland", "action", "login")
	if !strings.Contains(consent.text, "See your things") {
		t.Errorf("the consent page does not name what the API is for:\n%s", consent.text)
	}
	p := a.submit(consent, "action", "allow")
	if p.StatusCode != http.StatusOK || p.Request.URL.String() != app.base+"/profile" {
		t.Fatalf("after signing in: status %d at %s\n%s", p.StatusCode, p.Request.URL, p.text)
	}
	for _, want := range []string{`<code id="subject">alice</code>`, "Alice Liddell", `href="/api/call"`} {
		if !strings.Contains(p.text, want) {
			t.Errorf("the profile lacks %s", want)
		}
	}
	if csp := p.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "script-src") {
		t.Errorf("policy %s", csp)
	}
	if p := a.fetch(app.base + "/api/me"); p.StatusCode != http.StatusOK || strings.TrimSpace(p.text) != `{"sub":"alice"}` {
		t.Errorf("/api/me: status %d, %s", p.StatusCode, p.text)
	}
	called := callAPI(t, a, app)
	if called.Status != http.StatusOK || !strings.Contains(called.Body, `"sub":"alice"`) || !strings.Contains(called.Body, "things.read") {
		t.Errorf("/api/call: %+v", called)
	}
	if p := a.open(app.base + "/"); !strings.Contains(p.text, "Welcome back, Alice Liddell") {
		t.Errorf("the public page does not know the user:\n%s", p.text)
	}

	if p := a.step(app.base + "/logout"); p.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET /logout: status %d", p.StatusCode)
	}
	if p := a.do(http.MethodPost, app.base+"/logout", nil, map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}); p.StatusCode != http.StatusForbidden {
		t.Errorf("logout from elsewhere: status %d", p.StatusCode)
	}
	if p := a.submit(a.open(app.base + "/")); p.StatusCode != http.StatusOK || p.Request.URL.Path != "/signed-out" || p.Request.URL.Host != strings.TrimPrefix(app.base, "http://") || !strings.Contains(p.text, "You are signed out") {
		t.Errorf("logout: status %d at %s\n%s", p.StatusCode, p.Request.URL, p.text)
	} else if again := a.open(p.Request.URL.String()); again.Request.URL.Path != "/" || strings.Contains(again.text, "You are signed out") {
		t.Errorf("the address of the last page of a logout, by itself: %s\n%s", again.Request.URL, again.text)
	}
	if p := a.fetch(app.base + "/api/me"); p.StatusCode != http.StatusUnauthorized {
		t.Errorf("/api/me after logout: status %d", p.StatusCode)
	}
	if p := a.open(app.base + "/profile"); !strings.Contains(p.text, `name="password"`) {
		t.Errorf("the authorization server still knows the user:\n%s", p.text)
	}
}

type callResult struct {
	Status int
	Body   string
}

func callAPI(t *testing.T, a *agent, app *app) callResult {
	t.Helper()
	p := a.fetch(app.base + "/api/call")
	var result callResult
	if p.StatusCode != http.StatusOK || json.Unmarshal([]byte(p.text), &result) != nil {
		t.Fatalf("/api/call: status %d, %s", p.StatusCode, p.text)
	}
	return result
}

func TestWithoutSession(t *testing.T) {
	app := startApp(t)
	a := newAgent(t)
	for _, path := range []string{"/profile", "/api/me", "/api/call"} {
		if p := a.step(app.base + path); p.StatusCode != http.StatusFound && p.StatusCode != http.StatusSeeOther {
			t.Errorf("navigation to %s: status %d", path, p.StatusCode)
		}
		if p := a.fetch(app.base + path); p.StatusCode != http.StatusUnauthorized || p.Header.Get("Location") != "" {
			t.Errorf("fetch of %s: status %d", path, p.StatusCode)
		}
	}
	for path, status := range map[string]int{"/healthz": 200, "/": 200, "/nothing": 404, "/callback": 400} {
		if p := a.step(app.base + path); p.StatusCode != status {
			t.Errorf("%s: status %d, not %d", path, p.StatusCode, status)
		}
	}
	if p := a.do(http.MethodPost, app.base+"/backchannel-logout", url.Values{"logout_token": {"x"}}, map[string]string{"Content-Type": "application/x-www-form-urlencoded"}); p.StatusCode != http.StatusNotImplemented {
		t.Errorf("back-channel logout: status %d", p.StatusCode)
	}
	if p := a.do(http.MethodPost, app.base+"/callback", nil, map[string]string{"Content-Type": "application/x-www-form-urlencoded"}); p.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST /callback with response mode query: status %d", p.StatusCode)
	}
	if p := a.step(app.base + "/nothing"); !strings.Contains(p.text, "There is nothing at this address") || !strings.Contains(p.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("/nothing: %v\n%s", p.Header, p.text)
	}
	p := a.step(app.base + "/login?return_to=/api/me")
	if location := p.Header.Get("Location"); !strings.HasPrefix(location, app.issuer+"/oauth2/authorize?") {
		t.Errorf("/login: status %d to %q", p.StatusCode, location)
	}
}

func TestRefusal(t *testing.T) {
	app := startApp(t)
	a := newAgent(t)
	if p := a.submit(a.open(app.base+"/profile"), "action", "cancel"); p.StatusCode != http.StatusForbidden {
		t.Errorf("status %d\n%s", p.StatusCode, p.text)
	}
	if p := a.fetch(app.base + "/api/me"); p.StatusCode != http.StatusUnauthorized {
		t.Errorf("/api/me: status %d", p.StatusCode)
	}
}

// startACP starts a server for a client whose redirect URL is known beforehand.
func startACP(t *testing.T, client localacp.Client, lifetime time.Duration) *localacp.Server {
	t.Helper()
	client.ID = "web"
	server, err := localacp.Start(localacp.Options{Clients: []localacp.Client{client}, AccessTokenLifetime: lifetime})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// proxy ends TLS in front of the program, which listens on plain http.
func proxy(t *testing.T) (server *httptest.Server, aim func(target string)) {
	t.Helper()
	var target atomic.Pointer[url.URL]
	server = httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target.Load())
		r.Out.Host = r.In.Host
	}})
	t.Cleanup(server.Close)
	return server, func(address string) {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		target.Store(u)
	}
}

func TestClientsBehindProxy(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edPublic, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecDER, err := x509.MarshalECPrivateKey(ecKey)
	if err != nil {
		t.Fatal(err)
	}
	const jwt = "ACP_CLIENT_AUTH=private_key_jwt"
	for name, row := range map[string]struct {
		client  localacp.Client
		environ []string
	}{
		"secret by metadata": {localacp.Client{Secret: "s:e%c ret"}, []string{"ACP_CLIENT_SECRET=s:e%c ret"}},
		"secret, basic":      {localacp.Client{Secret: "secret"}, []string{"ACP_CLIENT_SECRET=secret", "ACP_CLIENT_AUTH=client_secret_basic"}},
		"secret, post":       {localacp.Client{Secret: "secret", AuthMethod: "client_secret_post"}, []string{"ACP_CLIENT_SECRET=secret", "ACP_CLIENT_AUTH=client_secret_post"}},
		"public":             {localacp.Client{}, nil},
		"key, PKCS 1":        {localacp.Client{PublicKey: rsaKey.Public()}, []string{jwt, "ACP_CLIENT_KEY=" + apptest.PEM(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey))}},
		"key, SEC 1":         {localacp.Client{PublicKey: ecKey.Public()}, []string{jwt, "ACP_CLIENT_KEY=" + apptest.PEM(t, "EC PRIVATE KEY", ecDER)}},
		"key, PKCS 8":        {localacp.Client{PublicKey: edPublic}, []string{jwt, "ACP_CLIENT_KEY=" + apptest.KeyFile(t, edKey)}},
		"form_post":          {localacp.Client{}, []string{"ACP_RESPONSE_MODE=form_post"}},
	} {
		t.Run(name, func(t *testing.T) {
			front, aim := proxy(t)
			row.client.RedirectURLs = []string{front.URL + "/callback"}
			acp := startACP(t, row.client, 0)
			app := startApp(t, settings(append(row.environ, "ACP_ISSUER="+acp.Issuer, "ACP_REDIRECT_URL="+front.URL+"/callback")...)...)
			aim(app.base)
			a := newAgent(t, front.Client().Transport)
			p := a.signIn(front.URL + "/profile")
			if name == "form_post" { // a browser runs the page's script
				p = a.submit(p)
			}
			if p.StatusCode != http.StatusOK || !strings.Contains(p.text, "alice") {
				t.Fatalf("status %d at %s\n%s\n%s", p.StatusCode, p.Request.URL, p.text, app.log)
			}
			for _, cookie := range a.client.Jar.Cookies(p.Request.URL) {
				if !strings.HasPrefix(cookie.Name, "__Host-") {
					t.Errorf("cookie %s", cookie.Name)
				}
			}
		})
	}
}

func TestCallRefreshesAndShowsTheAPI(t *testing.T) {
	var mu sync.Mutex
	tokens := map[string]bool{}
	respond := func(w http.ResponseWriter) { _, _ = io.WriteString(w, "hello") }
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		tokens[r.Header.Get("Authorization")] = true
		respond(w)
	}))
	t.Cleanup(api.Close)
	answerWith := func(f func(http.ResponseWriter)) {
		mu.Lock()
		defer mu.Unlock()
		respond = f
	}
	ca := apptest.PEM(t, "CERTIFICATE", api.Certificate().Raw)

	front, aim := proxy(t)
	// Access tokens live for one second.
	acp := startACP(t, localacp.Client{Secret: "secret", RedirectURLs: []string{front.URL + "/callback"}}, time.Second)
	app := startApp(t, settings("ACP_ISSUER="+acp.Issuer, "ACP_REDIRECT_URL="+front.URL+"/callback", "ACP_CLIENT_SECRET=secret",
		"ACP_SCOPES=openid profile offline_access", "ACP_API_URL="+api.URL+"/x", "ACP_ROOT_CA="+ca)...)
	aim(app.base)
	a := newAgent(t, front.Client().Transport)
	a.signIn(front.URL + "/profile")
	app.base = front.URL

	eventually(t, func() bool {
		if called := callAPI(t, a, app); called.Status != http.StatusOK || called.Body != "hello" {
			t.Fatalf("%+v", called)
		}
		mu.Lock()
		defer mu.Unlock()
		return len(tokens) == 2
	})
	for header := range tokens {
		if !strings.HasPrefix(header, "Bearer ey") {
			t.Errorf("Authorization: %.12s…", header)
		}
	}
	answerWith(func(w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot); _, _ = io.WriteString(w, "é\"") })
	if called := callAPI(t, a, app); called.Status != http.StatusTeapot || called.Body != "é\"" {
		t.Errorf("%+v", called)
	}
	answerWith(func(w http.ResponseWriter) {
		w.Header().Set("Location", "https://evil.example/")
		w.WriteHeader(http.StatusFound)
	})
	if called := callAPI(t, a, app); called.Status != http.StatusFound {
		t.Errorf("a redirect of the API: %+v", called)
	}
	answerWith(func(w http.ResponseWriter) { _, _ = io.WriteString(w, strings.Repeat("x", 64<<10+1)) })
	if p := a.fetch(app.base + "/api/call"); p.StatusCode != http.StatusBadGateway || p.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("an answer too long: status %d, %s", p.StatusCode, p.text)
	}
	answerWith(func(http.ResponseWriter) { panic(http.ErrAbortHandler) })
	if p := a.fetch(app.base + "/api/call"); p.StatusCode != http.StatusBadGateway || strings.Contains(p.text, api.URL) {
		t.Errorf("the API hangs up: status %d, %s", p.StatusCode, p.text)
	}
	answerWith(func(w http.ResponseWriter) { _, _ = io.WriteString(w, "hello") })
	if err := acp.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		p := a.fetch(app.base + "/api/call") // good as long as the last token is
		if p.StatusCode != http.StatusOK && (p.StatusCode != http.StatusServiceUnavailable || p.Header.Get("Retry-After") == "") {
			t.Fatalf("the authorization server is down: status %d, %s", p.StatusCode, p.text)
		}
		return p.StatusCode == http.StatusServiceUnavailable
	})
	if p := a.fetch(app.base + "/api/me"); p.StatusCode != http.StatusOK {
		t.Errorf("the session went with the authorization server: status %d", p.StatusCode)
	}
}

// eventually asks again and again, for what only the clock brings about.
func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for deadline := time.After(time.Minute); !holds(); {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatal("it never came about")
		}
	}
}

func TestCallWithoutAPI(t *testing.T) {
	front, aim := proxy(t)
	acp := startACP(t, localacp.Client{RedirectURLs: []string{front.URL + "/callback"}}, 0)
	app := startApp(t, settings("ACP_ISSUER="+acp.Issuer, "ACP_REDIRECT_URL="+front.URL+"/callback")...)
	aim(app.base)
	a := newAgent(t, front.Client().Transport)
	a.signIn(front.URL + "/profile")
	if p := a.fetch(front.URL + "/api/call"); p.StatusCode != http.StatusNotFound || !strings.Contains(p.text, "ACP_API_URL") {
		t.Errorf("status %d, %s", p.StatusCode, p.text)
	}
}

func TestStartsWhileTheServerIsDown(t *testing.T) {
	// A port on which nobody listens, and that nobody is given.
	app := startApp(t, settings("ACP_ISSUER=http://127.0.0.1:1/demo/bank")...)
	a := newAgent(t)
	if p := a.step(app.base + "/healthz"); p.StatusCode != http.StatusOK {
		t.Errorf("/healthz: status %d", p.StatusCode)
	}
	if p := a.step(app.base + "/"); p.StatusCode != http.StatusOK {
		t.Errorf("/: status %d", p.StatusCode)
	}
	if p := a.fetch(app.base + "/api/me"); p.StatusCode != http.StatusUnauthorized {
		t.Errorf("/api/me: status %d", p.StatusCode)
	}
	p := a.step(app.base + "/login")
	if p.StatusCode != http.StatusServiceUnavailable || p.Header.Get("Retry-After") == "" {
		t.Errorf("/login: status %d", p.StatusCode)
	}
	if strings.Contains(p.text, "connection refused") {
		t.Errorf("development details on a real server's page:\n%s", p.text)
	}
}

func TestEndsWhenIdle(t *testing.T) {
	apptest.EndsWhenIdle(t, func(t *testing.T, base string) {
		if p := newAgent(t).step(base + "/healthz"); p.StatusCode != http.StatusOK {
			t.Errorf("/healthz: status %d", p.StatusCode)
		}
	})
}

func TestWrongSettingEndsTheProcess(t *testing.T) {
	apptest.EndsWith(t, serve.Misspelled, "ACP_CLIENT_ID=x")
}
