package middleware_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/middleware"
)

// wire is an authorization server without a network, for a bubble of synctest: there
// what waits can be counted, and ten seconds take no time. It answers the metadata, and
// leaves the token endpoint to the test.
type wire func(*http.Request, url.Values) (status int, body string, err error)

const wireIssuer = "https://acp.example/t/w"

func (f wire) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body := http.StatusOK, fmt.Sprintf(`{"issuer":%q,"authorization_endpoint":"%[2]s/authorize","token_endpoint":"%[2]s/token","jwks_uri":"%[2]s/jwks"}`,
		wireIssuer, wireIssuer)
	if r.URL.Path == "/t/w/token" {
		sent, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		form, err := url.ParseQuery(string(sent))
		if err != nil {
			return nil, err
		}
		if status, body, err = f(r, form); err != nil {
			return nil, err
		}
	}
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(bytes.NewBufferString(body)), ContentLength: int64(len(body)), Request: r,
	}, nil
}

// onWire is an application whose server is f.
func onWire(t *testing.T, f wire) *middleware.Authenticator {
	t.Helper()
	return onWireConfig(t, middleware.Config{}, f)
}

func onWireConfig(t testing.TB, config middleware.Config, f wire) *middleware.Authenticator {
	t.Helper()
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.CookieKeys == nil {
		config.CookieKeys = [][]byte{randomKey()}
	}
	client, err := acpclient.New(acpclient.Config{Issuer: wireIssuer, ClientID: "c", RedirectURL: site + "/callback", Transport: f, Logger: config.Logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(t.Context()) })
	auth, err := middleware.New(client, config)
	if err != nil {
		t.Fatal(err)
	}
	return auth
}

// Thousands of sessions expire in one moment: 32 token requests are under way at each
// time, everybody gets a token of their own, and no refresh token is lost or used twice.
func TestHerd(t *testing.T) { // RL-14 RF-15
	const sessions, most = 1000, 32
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		inFlight, highest, used := 0, 0, map[string]int{}
		gate := make(chan struct{})
		auth := onWire(t, func(r *http.Request, form url.Values) (int, string, error) {
			token := form.Get("refresh_token")
			mu.Lock()
			inFlight++
			highest = max(highest, inFlight)
			used[token]++
			open := gate
			mu.Unlock()
			<-open
			mu.Lock()
			inFlight--
			mu.Unlock()
			return 200, fmt.Sprintf(`{"access_token":"access-of-%s","token_type":"bearer","expires_in":3600,"refresh_token":"next-of-%s"}`, token, token), nil
		})
		page := auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			token, err := middleware.SessionFromContext(r.Context()).AccessToken(r.Context())
			if err != nil {
				auth.WriteError(w, r, err)
				return
			}
			fmt.Fprint(w, token)
		}))
		now := time.Now()
		held := make([]string, sessions)
		for i := range held {
			tokens := &acpclient.Tokens{Token: &oauth2.Token{
				AccessToken: "a", TokenType: "Bearer", RefreshToken: fmt.Sprint("r", i), Expiry: now.Add(-time.Second),
			}}
			cookies, err := auth.SessionCookies(tokens, now.Add(-time.Hour), now)
			if err != nil {
				t.Fatal(err)
			}
			held[i] = cookiePairs(cookies)
		}
		for round := range 2 {
			prefix := strings.Repeat("next-of-", round)
			answers := make([]*httptest.ResponseRecorder, sessions)
			var wg sync.WaitGroup
			for i := range sessions {
				wg.Go(func() { answers[i] = serve(page, request("GET", site+"/token", held[i])) })
			}
			for range 20 {
				synctest.Wait() // everybody waits: for the server, or for a place
				mu.Lock()
				if inFlight != most || highest != most {
					t.Errorf("RL-14: %d token requests at once, at most %d; want %d", inFlight, highest, most)
				}
				mu.Unlock()
				gate <- struct{}{} // one answer makes room for one request
			}
			mu.Lock()
			close(gate)
			mu.Unlock()
			wg.Wait()
			for i, w := range answers {
				if want := fmt.Sprint("access-of-", prefix, "r", i); w.Code != 200 || w.Body.String() != want {
					t.Fatalf("RL-14: session %d got %d %q, want %q", i, w.Code, w.Body, want)
				}
				held[i] = cookiesSet(w.Header())
			}
			if len(used) != (round+1)*sessions || highest != most {
				t.Errorf("RL-14: %d refresh tokens were used, with up to %d at once", len(used), highest)
			}
			for token, n := range used {
				if n != 1 {
					t.Errorf("RL-14: %s was used %d times", token, n)
				}
			}
			auth.SetClock(func() time.Time { return now.Add(2 * time.Hour) })
			gate = make(chan struct{})
		}
	})
}

// The sessions of one moment do not become stale in one moment.
func TestJitter(t *testing.T) { // RF-15
	issued := time.UnixMilli(recordMillis)
	for _, lifetime := range []time.Duration{time.Hour, 2 * time.Minute, 20 * time.Second} {
		tokens := &acpclient.Tokens{Token: &oauth2.Token{AccessToken: "a", RefreshToken: "r", Expiry: issued.Add(lifetime)}}
		window := min(time.Minute, lifetime/5)
		moments := map[time.Duration]int{}
		first, last := lifetime, time.Duration(0)
		for b := range 256 {
			at := lifetime - window
			for !middleware.Stale(tokens, issued, issued.Add(at), 0, byte(b)) {
				at += window / 200
			}
			moments[at]++
			first, last = min(first, at), max(last, at)
		}
		if spread := last - first; spread < window/10 || first < lifetime-window || last >= lifetime {
			t.Errorf("RF-15: tokens of %s are stale after %s to %s: a spread of %s in a window of %s", lifetime, first, last, spread, window)
		}
		for at, n := range moments {
			if n > 256/10 {
				t.Errorf("RF-15: %d of 256 sessions are stale after exactly %s", n, at)
			}
		}
	}
}

// A token endpoint that fails, or does not answer, is asked once; the user is told in 10 s
// at the latest, on a page that starts again only when it is asked to.
func TestExchangeFails(t *testing.T) { // RL-06
	for name, row := range map[string]struct {
		answer func(*http.Request) (int, string, error)
		status int
		after  time.Duration
	}{
		"500":     {func(*http.Request) (int, string, error) { return 500, "oops", nil }, 503, 0},
		"refused": {func(*http.Request) (int, string, error) { return 0, "", io.ErrUnexpectedEOF }, 503, 0},
		"silence": {func(r *http.Request) (int, string, error) { <-r.Context().Done(); return 0, "", r.Context().Err() }, 504, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				auth := onWire(t, func(r *http.Request, _ url.Values) (int, string, error) { asked++; return row.answer(r) })
				h := auth.Handler(nil)
				w := serve(h, request("GET", site+"/login?return_to=/other", ""))
				to, err := url.Parse(w.Header().Get("Location"))
				if err != nil || w.Code != http.StatusSeeOther {
					t.Fatalf("%d, %v", w.Code, err)
				}
				callback := "/callback?code=x&state=" + to.Query().Get("state")
				tx := cookiesSet(w.Header())
				start := time.Now()
				w = serve(h, request("GET", site+callback, tx))
				if took := time.Since(start); w.Code != row.status || asked != 1 || took != row.after {
					t.Errorf("RL-06: %d after %s and %d token requests", w.Code, took, asked)
				}
				page := w.Body.String()
				if w.Header().Get("Retry-After") == "" || w.Header().Get("Location") != "" || sets(w.Header(), sessionPrefix) ||
					!strings.Contains(page, `<a href="/login">`) || strings.Contains(strings.ToLower(page), "refresh") || strings.Contains(page, "<script") {
					t.Errorf("RL-06: %v\n%s", w.Header(), page)
				}
				if w = serve(h, request("GET", site+callback, tx)); w.Code != 400 || asked != 1 {
					t.Errorf("RL-06: again %d, %d token requests", w.Code, asked)
				}
			})
		})
	}
}
