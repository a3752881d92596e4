package middleware_test

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/middleware"
)

const site = "https://app.example"

// app is an application behind the middleware, at an origin that only its browser knows.
type app struct {
	t       *testing.T
	server  *acptest.Server
	client  *acpclient.Client
	auth    *middleware.Authenticator
	browser *acptest.Browser
	handler http.Handler
	key     []byte
	config  middleware.Config
	logs    *logBuffer
	clock   *clock
	served  atomic.Int64 // calls of protected handlers
	origin  string
}

// setup is what a test may change before the application starts.
type setup struct {
	server acptest.Options
	client acpclient.Config
	config middleware.Config
	origin string
}

func newApp(t *testing.T, edit func(*setup)) *app {
	t.Helper()
	s := setup{origin: site}
	key := randomKey()
	a := &app{t: t, key: key, logs: &logBuffer{}, clock: &clock{}}
	s.client = acpclient.Config{Scopes: []string{"openid", "profile", "offline_access"}}
	s.config = middleware.Config{CookieKeys: [][]byte{key}}
	if edit != nil {
		edit(&s)
	}
	a.origin = s.origin
	a.server = acptest.NewServer(t, &s.server)
	s.client.Issuer, s.client.ClientID = a.server.Issuer, a.server.ClientID
	if a.server.ClientSecret != "" {
		s.client.Auth = acpclient.Secret(a.server.ClientSecret)
	}
	if s.client.RedirectURL == "" {
		s.client.RedirectURL = s.origin + "/callback"
	}
	s.client.Transport = &aging{cmp.Or[http.RoundTripper](s.client.Transport, http.DefaultTransport), a.clock, a.server.URL(acptest.TokenEndpoint)}
	s.client.Logger = a.logs.logger()
	s.config.Logger = a.logs.logger()
	var err error
	if a.client, err = acpclient.New(s.client); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.client.Close(t.Context()) })
	a.config = s.config
	a.restart()
	a.browser = a.server.Browser()
	a.browser.Mount(a.origin, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }))
	t.Cleanup(func() {
		if !t.Failed() {
			a.noSecrets()
		}
	})
	return a
}

// restart is a new process with the same configuration.
func (a *app) restart() {
	a.t.Helper()
	var err error
	if a.auth, err = middleware.New(a.client, a.config); err != nil {
		a.t.Fatal(err)
	}
	a.auth.SetClock(a.clock.now)
	a.handler = a.routes(a.auth)
}

func (a *app) routes(auth *middleware.Authenticator) http.Handler {
	who := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.served.Add(1)
		s := middleware.SessionFromContext(r.Context())
		if s == nil {
			fmt.Fprint(w, "nobody")
			return
		}
		fmt.Fprint(w, s.Subject)
	})
	mux := http.NewServeMux()
	mux.Handle("/profile", auth.RequireSession(who))
	mux.Handle("/other", auth.RequireSession(who))
	mux.Handle("/public", auth.LoadSession(who))
	mux.Handle("/token", auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := middleware.SessionFromContext(r.Context()).AccessToken(r.Context())
		if err != nil {
			auth.WriteError(w, r, err)
			return
		}
		fmt.Fprint(w, token)
	})))
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "home") })
	return auth.Handler(mux)
}

func (a *app) login() {
	a.t.Helper()
	if p := a.browser.Navigate(a.origin + "/profile"); p.Body() != "alice" || p.URL().Path != "/profile" {
		a.t.Fatalf("the login ended with %d at %s: %s\n%s", p.Status(), p.URL().Path, p.Body(), a.logs)
	}
}

// callback walks a login up to the callback, which is not opened yet.
func (a *app) callback(b *acptest.Browser, start string) *acptest.Page {
	a.t.Helper()
	p := b.NavigateUntil(a.origin+start, func(u *url.URL) bool { return u.Path == "/callback" })
	if p.Next == nil {
		a.t.Fatalf("no callback: %d %s\n%s", p.Status(), p.Body(), a.logs)
	}
	return p
}

// cookies are what the browser would send to a path of the application.
func (a *app) cookies(prefix string) []acptest.StoredCookie {
	var out []acptest.StoredCookie
	for _, c := range a.browser.Cookies(a.origin + "/") {
		if strings.HasPrefix(c.Name, prefix) {
			out = append(out, c)
		}
	}
	return out
}

const (
	sessionPrefix = "__Host-acp_session"
	txPrefix      = "__Host-acp_tx_"
)

// request is what a browser that navigates sends, with these cookies.
func request(method, target, cookies string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.RequestURI = r.URL.RequestURI()
	if cookies != "" {
		r.Header.Set("Cookie", cookies)
	}
	return r
}

// cookieHeader is the Cookie header that the browser would send.
func (a *app) cookieHeader() string {
	var pairs []string
	for _, c := range a.browser.Cookies(a.origin + "/") {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	return strings.Join(pairs, "; ")
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func (a *app) serve(r *http.Request) *httptest.ResponseRecorder { return serve(a.handler, r) }

func randomKey() []byte {
	k := make([]byte, 32)
	rand.Read(k)
	return k
}

// clock runs with the real one, at a distance.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// aging lets tokens end by the application's clock, which the client does not know: what was
// refreshed would have expired before.
type aging struct {
	next          http.RoundTripper
	clock         *clock
	tokenEndpoint string
}

var lifetime = regexp.MustCompile(`"expires_in": *([0-9]{1,9})\b`)

func (a *aging) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := a.next.RoundTrip(r)
	if err != nil || r.URL.String() != a.tokenEndpoint || res.ContentLength < 0 {
		return res, err
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if found := lifetime.FindSubmatchIndex(body); found != nil {
		seconds, _ := strconv.Atoi(string(body[found[2]:found[3]]))
		seconds += int(time.Duration(a.clock.ahead.Load()) / time.Second)
		body = slices.Concat(body[:found[2]], strconv.AppendInt(nil, int64(seconds), 10), body[found[3]:])
	}
	res.Body.Close()
	res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return res, nil
}

// logBuffer keeps what is logged.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// noSecrets looks through the whole log for what passed between browser, application
// and server (LG-01).
func (a *app) noSecrets() {
	a.t.Helper()
	log := a.logs.String()
	secrets := map[string]string{"client secret": a.server.ClientSecret, "cookie key": string(a.key)}
	for _, s := range a.browser.Log() {
		for _, name := range []string{"code", "state", "nonce", "code_challenge", "id_token_hint", "response"} {
			secrets[name+" "+s.URL.Path] = s.URL.Query().Get(name)
		}
		for _, line := range s.SetCookies {
			value, _, _ := strings.Cut(line, ";")
			_, value, _ = strings.Cut(value, "=")
			secrets["cookie "+line] = value
		}
	}
	for _, r := range a.server.Requests(acptest.TokenEndpoint) {
		for _, name := range []string{"code", "code_verifier", "refresh_token", "client_secret"} {
			secrets[name] = r.Form.Get(name)
		}
	}
	for name, value := range secrets {
		if len(value) > 7 && strings.Contains(log, value) {
			a.t.Errorf("LG-01: the log holds a %s", name)
		}
	}
}

// isPrivate checks the headers of every answer that we write.
func isPrivate(t *testing.T, h http.Header) {
	t.Helper()
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// hook is an OnLogin that accepts every user after f.
func hook(f func()) func(*http.Request, *middleware.Session, *acpclient.Tokens) error {
	return func(*http.Request, *middleware.Session, *acpclient.Tokens) error { f(); return nil }
}

// newFuzzApp is an Authenticator whose server is never reached.
func newFuzzApp(tb testing.TB) *middleware.Authenticator {
	logger := slog.New(slog.DiscardHandler)
	client, err := acpclient.New(acpclient.Config{
		Issuer: "https://acp.invalid/t/w", ClientID: "c", RedirectURL: site + "/callback", ResponseMode: "form_post", Logger: logger,
		Transport: unreachable{},
	})
	if err != nil {
		tb.Fatal(err)
	}
	auth, err := middleware.New(client, middleware.Config{CookieKeys: [][]byte{randomKey()}, Logger: logger})
	if err != nil {
		tb.Fatal(err)
	}
	return auth
}

type unreachable struct{}

func (unreachable) RoundTrip(*http.Request) (*http.Response, error) {
	panic("the server was asked")
}

// breakable is a transport that panics when it is told to.
type breakable struct{ panics atomic.Bool }

func (b *breakable) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.panics.Load() {
		panic("the transport is broken")
	}
	return http.DefaultTransport.RoundTrip(r)
}
