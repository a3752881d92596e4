package acpclient_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// token takes one from the source, which must give one.
func (r *rig) token(source oauth2.TokenSource) *oauth2.Token {
	r.t.Helper()
	token, err := source.Token()
	if err != nil {
		r.t.Fatal("Token:", err)
	}
	r.secret("access token", token.AccessToken)
	return token
}

// RF-16: the margin is a minute, or a fifth of a short life; no refresh on each use.
func TestTokenSourceMargin(t *testing.T) {
	for name, row := range map[string]struct{ life, fresh, stale time.Duration }{
		"RF-16 an hour":   {time.Hour, 58*time.Minute + 50*time.Second, 59*time.Minute + time.Second},
		"RF-16 5 seconds": {5 * time.Second, 2500 * time.Millisecond, 4100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, &acptest.Options{AccessTokenTTL: row.life}, nil)
			tokens := r.login()
			source := r.client.TokenSource(t.Context(), tokens, nil)
			for range 10 {
				r.token(source)
			}
			r.advance(row.fresh)
			if r.token(source).AccessToken != tokens.AccessToken {
				t.Errorf("replaced after %s", row.fresh)
			}
			r.asked(acptest.TokenEndpoint, 1)
			r.advance(row.stale - row.fresh)
			if r.token(source).AccessToken == tokens.AccessToken {
				t.Errorf("not replaced after %s", row.stale)
			}
			for range 10 {
				r.token(source)
			}
			r.asked(acptest.TokenEndpoint, 2)
		})
	}
}

// RF-17: a clock that jumps costs one refresh at most.
func TestTokenSourceClockJumps(t *testing.T) {
	r := newRig(t, nil, nil)
	source := r.client.TokenSource(t.Context(), r.login(), nil)
	for _, jump := range []time.Duration{time.Hour, -time.Hour, time.Hour, -2 * time.Hour} {
		r.advance(jump)
		for range 5 {
			r.token(source)
		}
	}
	r.asked(acptest.TokenEndpoint, 2)
}

// TX-22: a token that was born expired is refreshed before use, not used for ever.
func TestTokenSourceBornExpired(t *testing.T) {
	r := newRig(t, nil, nil)
	r.brings(map[string]any{"expires_in": 0})
	tokens := r.login()
	r.brings(nil)
	if r.token(r.client.TokenSource(t.Context(), tokens, nil)).AccessToken == tokens.AccessToken {
		t.Error("the expired token is used")
	}
	r.asked(acptest.TokenEndpoint, 2)
}

// RF-01: 100 who want a token at once share one refresh, and see it only when it is stored.
func TestTokenSourceIsShared(t *testing.T) {
	r := newRig(t, nil, nil)
	old := r.login()
	var mu sync.Mutex
	stored := ""
	source := r.client.TokenSource(t.Context(), old, func(_ context.Context, fresh *acpclient.Tokens) error {
		mu.Lock()
		defer mu.Unlock()
		stored = fresh.AccessToken
		return nil
	})
	r.advance(2 * time.Hour)
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			token, err := source.Token()
			mu.Lock()
			defer mu.Unlock()
			if err != nil || token.AccessToken != stored || token.AccessToken == old.AccessToken {
				t.Errorf("error %v, or a token that was not stored", err)
			}
		})
	}
	all.Wait()
	r.asked(acptest.TokenEndpoint, 2)
}

// RF-07: while the tokens cannot be stored nobody gets them, and nothing is refreshed
// again; the same tokens are stored in the end.
func TestTokenSourceSaveFails(t *testing.T) {
	r := newRig(t, nil, nil)
	down := errors.New("the store is down")
	var failing error = down
	var offered []string
	source := r.client.TokenSource(t.Context(), r.login(), func(_ context.Context, fresh *acpclient.Tokens) error {
		offered = append(offered, fresh.RefreshToken)
		return failing
	})
	r.advance(2 * time.Hour)
	for range 3 {
		token, err := source.Token()
		if !errors.Is(err, down) || token != nil {
			t.Errorf("Token gives %v", err)
		}
	}
	failing = nil
	r.token(source)
	r.token(source)
	if len(offered) != 4 || offered[0] != offered[3] || offered[0] == "" {
		t.Errorf("%d tries to save", len(offered))
	}
	r.asked(acptest.TokenEndpoint, 2)
}

// RF-09, RF-10, RL-07: an outage is no error while the token serves, and no flood.
func TestTokenSourceOutage(t *testing.T) {
	r := newRig(t, nil, nil)
	tokens := r.login()
	source := r.client.TokenSource(t.Context(), tokens, nil)
	answers(503, "")(r)
	r.advance(59*time.Minute + 30*time.Second) // stale, not expired
	for range 10 {
		if r.token(source).AccessToken != tokens.AccessToken {
			t.Error("another token")
		}
	}
	r.asked(acptest.TokenEndpoint, 2) // the back-off
	r.advance(31 * time.Second)
	_, err := source.Token()
	r.fails(err, acpclient.ErrUnavailable, "provider_error:invalid_response")
	r.asked(acptest.TokenEndpoint, 3)
	_, err = source.Token()
	r.fails(err, acpclient.ErrUnavailable, "provider_error:invalid_response")
	if wait := acpclient.RetryAfter(err); wait <= 0 || wait > 3*time.Second {
		t.Errorf("wait %s", wait)
	}
	r.asked(acptest.TokenEndpoint, 3)
	r.Handle(acptest.TokenEndpoint, nil)
	r.advance(3 * time.Second)
	if r.token(source).AccessToken == tokens.AccessToken {
		t.Error("the expired token")
	}
}

// RF-11: a source waits as long as the server asks.
func TestTokenSourceHonoursRetryAfter(t *testing.T) {
	r := newRig(t, nil, nil)
	source := r.client.TokenSource(t.Context(), r.login(), nil)
	r.OnTokenResponse(func(res *acptest.Response) {
		res.Status = http.StatusTooManyRequests
		res.Header.Set("Retry-After", "30")
	})
	r.Tolerate(acptest.RuleRefreshReuse)
	r.advance(2 * time.Hour)
	for range 28 {
		if _, err := source.Token(); err == nil {
			t.Fatal("a token")
		}
		r.advance(time.Second)
	}
	r.asked(acptest.TokenEndpoint, 2)
}

// The end of the context that the source was made with does not end the source.
func TestTokenSourceOutlivesItsContext(t *testing.T) {
	r := newRig(t, nil, nil)
	ctx, cancel := context.WithCancel(t.Context())
	source := r.client.TokenSource(ctx, r.login(), nil)
	cancel()
	r.advance(2 * time.Hour)
	r.token(source)
}

// The caller may change the token that it got.
func TestTokenSourceGivesCopies(t *testing.T) {
	r := newRig(t, nil, nil)
	tokens := r.login()
	source := r.client.TokenSource(t.Context(), tokens, nil)
	r.token(source).AccessToken = "changed"
	if r.token(source).AccessToken != tokens.AccessToken {
		t.Error("the change reaches others")
	}
}

func TestHTTPClient(t *testing.T) {
	r := newRig(t, nil, nil)
	tokens := r.login()
	var mu sync.Mutex
	seen := map[string][]string{} // Authorization by "host path"
	target := map[string]string{} // path to Location
	serve := func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen[req.Host+" "+req.URL.Path] = append(seen[req.Host+" "+req.URL.Path], req.Header.Get("Authorization"))
		if strings.Contains(req.URL.String(), tokens.AccessToken) {
			t.Error("the token is in the URL")
		}
		if to := target[req.URL.Path]; to != "" {
			http.Redirect(w, req, to, http.StatusTemporaryRedirect)
		}
	}
	api, evil := httptest.NewServer(http.HandlerFunc(serve)), httptest.NewServer(http.HandlerFunc(serve))
	defer api.Close()
	defer evil.Close()
	apiHost, evilHost := strings.TrimPrefix(api.URL, "http://"), strings.TrimPrefix(evil.URL, "http://")
	target["/away"] = evil.URL + "/x"
	target["/alias"] = strings.Replace(api.URL, "127.0.0.1", "localhost", 1) + "/x"
	target["/tls"] = strings.Replace(api.URL, "http:", "https:", 1) + "/x"
	target["/home"] = "/there"
	target["/hop"] = "/away"
	target["/loop"] = "/loop"
	client := r.client.HTTPClient(r.client.TokenSource(t.Context(), tokens, nil))
	defer client.CloseIdleConnections()
	for path, want := range map[string]int{"/there": 200, "/home": 200, "/away": 307, "/alias": 307, "/tls": 307, "/hop": 307, "/loop": 307} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, api.URL+path, strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Basic left-over")
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: status %d, want %d", path, res.StatusCode, want)
		}
		if got := req.Header.Get("Authorization"); got != "Basic left-over" {
			t.Errorf("the caller's request was changed: %q", got)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for where, headers := range seen {
		if !strings.HasPrefix(where, apiHost) {
			t.Errorf("%s was reached (the other host is %s)", where, evilHost)
		}
		for _, h := range headers {
			if h != "Bearer "+tokens.AccessToken {
				t.Errorf("%s got %.20q", where, h)
			}
		}
	}
	if len(seen[apiHost+" /there"]) != 2 || len(seen[apiHost+" /loop"]) > 10 {
		t.Errorf("requests: %d, %d", len(seen[apiHost+" /there"]), len(seen[apiHost+" /loop"]))
	}
	if client.Timeout <= 0 { // RL-29
		t.Error("no timeout")
	}
}

// Without a token nothing is sent, and the body is closed.
func TestHTTPClientWithoutToken(t *testing.T) {
	r := newRig(t, nil, nil)
	reached := false
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer api.Close()
	body := &closing{Reader: strings.NewReader("x")}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, api.URL+"/?q=1", body)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.client.HTTPClient(r.client.TokenSource(t.Context(), nil, nil)).Do(req)
	if err == nil || reached || !body.closed {
		t.Errorf("error %v, reached: %t, closed: %t", err, reached, body.closed)
	}
}

type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error {
	c.closed = true
	return nil
}

// RF-08, RF-16: whatever the server says, it is not asked for each call.
func TestTokenSourceDoesNotFlood(t *testing.T) {
	for _, row := range []struct {
		name  string
		set   func(*rig)
		asked int // of 20 calls, after the login's one
	}{
		{"RF-08 the grant is dead", func(r *rig) { r.RevokeTokens() }, 1},
		{"invalid_client, which counts towards ACP's lock-out", answers(401, `{"error":"invalid_client"}`), 1},
		{"malformed", answers(200, `{}`), 1},
		{"TX-22 each new token is born expired", func(r *rig) { r.brings(map[string]any{"expires_in": 0}) }, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			source := r.client.TokenSource(t.Context(), r.login(), nil)
			r.advance(2 * time.Hour)
			row.set(r)
			for range 20 {
				source.Token()
			}
			r.asked(acptest.TokenEndpoint, 1+row.asked)
			r.advance(2 * time.Second)
			source.Token()
			again := 1
			if strings.HasPrefix(row.name, "RF-08") {
				again = 0
			}
			r.asked(acptest.TokenEndpoint, 1+row.asked+again)
		})
	}
}

// RF-16: without expires_in the lifetime is that of the JWT, and so is the margin.
func TestTokenSourceMarginOfAJWT(t *testing.T) {
	r := newRig(t, nil, nil)
	r.SetAccessTokenTTL(30 * time.Second)
	r.brings(map[string]any{"expires_in": nil})
	source := r.client.TokenSource(t.Context(), r.login(), nil)
	for range 20 {
		r.token(source)
	}
	r.asked(acptest.TokenEndpoint, 1)
	r.advance(25 * time.Second)
	r.token(source)
	r.asked(acptest.TokenEndpoint, 2)
}

// A client for each request is as good as one for all: they share their connections.
func TestHTTPClientsShareConnections(t *testing.T) {
	r := newRig(t, nil, nil)
	source := r.client.TokenSource(t.Context(), r.login(), nil)
	var mu sync.Mutex
	opened := 0
	api := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	api.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		if s == http.StateNew {
			opened++
		}
	}
	api.Start()
	defer api.Close()
	for range 20 {
		res, err := r.client.HTTPClient(source).Get(api.URL)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	if opened != 1 {
		t.Errorf("%d connections, want 1", opened)
	}
}

// RFC 6750 5.3: a token is not sent in the clear.
func TestHTTPClientRefusesPlainHTTP(t *testing.T) {
	r := newRig(t, nil, nil)
	_, err := r.client.HTTPClient(r.client.TokenSource(t.Context(), r.login(), nil)).Get("http://api.example/")
	if err == nil || !strings.Contains(err.Error(), "not sent over http") {
		t.Errorf("%v", err)
	}
}
