package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/middleware"
)

// What the verifier says decides between the token's fault and ours.
func TestBearerVerifierAnswers(t *testing.T) {
	const raw = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
	unavailable := func(t *testing.T) error {
		a := newAPI(t, nil, nil)
		token := a.server.AccessToken(nil)
		a.server.SetUnreachable(true)
		_, err := a.verifier.Verify(t.Context(), token)
		if !errors.Is(err, acpclient.ErrUnavailable) {
			t.Fatal(err)
		}
		return err
	}
	for _, row := range []struct {
		name     string
		verifier middleware.TokenVerifier
		status   int
		code     string
		reason   string
	}{
		{"invalid, with no reason", refuses(acpclient.ErrInvalidToken), 401, "invalid_token", "token_refused"},
		{"invalid, wrapped", refuses(fmt.Errorf("no: %w", acpclient.ErrInvalidToken)), 401, "invalid_token", "token_refused"},
		{"BR-24 unavailable", refuses(unavailable(t)), 503, "-", "unavailable"},
		{"BR-24 unavailable and invalid", refuses(errors.Join(acpclient.ErrInvalidToken, unavailable(t))), 503, "-", "unavailable"},
		{"BR-24 a deadline", refuses(context.DeadlineExceeded), 503, "-", "timeout"},
		{"BR-24 the caller left", refuses(context.Canceled), 503, "-", "canceled"},
		{"BR-24 closed", refuses(acpclient.ErrClosed), 503, "-", "closed"},
		{"BR-28 the server refused the question", refuses(&acpclient.Error{Code: "invalid_client", StatusCode: 401}), 503, "-", "provider_error:invalid_client"},
		{"BR-28 no answer that the protocol knows", refuses(acpclient.ErrInvalidResponse), 503, "-", "internal"},
		{"CF-03 an error of unknown kind", refuses(errors.New("boom")), 500, "-", "internal"},
		{"CF-03 neither token nor error", refuses(nil), 500, "-", "verifier"},
		{"CF-03 a panic", verifierFunc(func(context.Context, string) (*acpclient.AccessToken, error) { panic("boom") }), 500, "-", "verifier"},
		{"CF-03 a panic with what cannot be compared", verifierFunc(func(context.Context, string) (*acpclient.AccessToken, error) { panic([]int{1}) }), 500, "-", "verifier"},
		{"CF-03 a token and an error", verifierFunc(func(context.Context, string) (*acpclient.AccessToken, error) {
			return &acpclient.AccessToken{Subject: "x"}, errors.New("no")
		}), 500, "-", "internal"},
		{"DP-01 bound, whatever the verifier says", verifies(&acpclient.AccessToken{Confirmation: &acpclient.Confirmation{JKT: "x"}}), 401, "invalid_token", "bound"},
		{"MT-02 bound by nothing known", verifies(&acpclient.AccessToken{Confirmation: &acpclient.Confirmation{}}), 401, "invalid_token", "bound"},
		{"LG-01 an error that quotes the token", refuses(fmt.Errorf("cannot parse %q", raw)), 500, "-", "internal"},
		{"LG-01 an error that quotes a part of it", refuses(errors.New("bad claims " + strings.Split(raw, ".")[1])), 500, "-", "internal"},
		{"LG-03 an error with a URL", refuses(&url.Error{Op: "Post", URL: "https://as.example/?token=" + raw, Err: errors.New("token=" + raw)}), 500, "-", "internal"},
		{"LG-01 a panic that quotes the token", verifierFunc(func(_ context.Context, token string) (*acpclient.AccessToken, error) { panic("x " + token) }), 500, "-", "verifier"},
	} {
		t.Run(row.name, func(t *testing.T) {
			logs, served := &logBuffer{}, 0
			h := protect(t, row.verifier, &middleware.BearerOptions{Logger: logs.logger(), Resource: audience})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
			w := serve(h, bearer(raw))
			got := answer{status: w.Code, challenge: w.Header().Get("WWW-Authenticate")}
			if got.status != row.status || got.code() != row.code || served != 0 {
				t.Errorf("%d %q, served %d", got.status, got.challenge, served)
			}
			if after := w.Header().Get("Retry-After"); (after != "") != (row.status == 503) || after == "0" {
				t.Errorf("Retry-After %q", after)
			}
			isPrivate(t, w.Header())
			id := reference.FindStringSubmatch(w.Body.String())
			if id == nil || strings.Count(logs.String(), "\n") != 1 || !strings.Contains(logs.String(), "reference="+id[1]) ||
				!strings.Contains(logs.String(), "reason="+row.reason+" ") {
				t.Errorf("LG-09: %s\n%s", w.Body, logs)
			}
			if row.name == "CF-03 neither token nor error" != strings.Contains(logs.String(), "neither a token nor an error") {
				t.Errorf("the log says %s", logs)
			}
			for _, part := range append(strings.Split(raw, "."), "as.example") {
				if strings.Contains(logs.String(), part) {
					t.Errorf("LG-01: the log holds %s\n%s", part, logs)
				}
			}
		})
	}
	t.Run("LG-01 a token of short parts", func(t *testing.T) {
		logs := &logBuffer{}
		h := protect(t, refuses(errors.New("bad token ab.cd.ef.gh")), &middleware.BearerOptions{Logger: logs.logger()})(shows)
		if serve(h, bearer("ab.cd.ef.gh")); strings.Contains(logs.String(), "ab.cd") || !strings.Contains(logs.String(), "bad token") {
			t.Errorf("%s", logs)
		}
	})
	t.Run("BR-10 nobody looks at a token that is too long", func(t *testing.T) {
		v := &counting{}
		h := protect(t, v, &middleware.BearerOptions{Logger: (&logBuffer{}).logger()})(shows)
		longest := strings.Repeat("a", middleware.MaxBearerToken)
		if w := serve(h, bearer(longest)); w.Code != 200 || v.calls != 1 {
			t.Errorf("16 KiB: %d, %d calls", w.Code, v.calls)
		}
		if w := serve(h, bearer(longest+"a")); w.Code != 401 || v.calls != 1 {
			t.Errorf("a byte more: %d, %d calls", w.Code, v.calls)
		}
	})
	t.Run("RL-26 an abort is net/http's", func(t *testing.T) {
		defer func() {
			if v := recover(); v != http.ErrAbortHandler {
				t.Errorf("recovered %v", v)
			}
		}()
		serve(protect(t, verifierFunc(func(context.Context, string) (*acpclient.AccessToken, error) { panic(http.ErrAbortHandler) }), nil)(shows), bearer("t"))
	})
	t.Run("CF-03 MatchScope panics", func(t *testing.T) {
		o := &middleware.BearerOptions{Scopes: []string{"a"}, MatchScope: func(string, string) bool { panic("boom") }, Logger: (&logBuffer{}).logger()}
		if w := serve(protect(t, verifies(&acpclient.AccessToken{Scopes: []string{"a"}}), o)(shows), bearer("t")); w.Code != 500 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

// BR-24, CF-02: a token cannot be judged while there are no keys; known keys serve on.
func TestBearerWithoutServer(t *testing.T) {
	a := newAPI(t, nil, nil)
	token := a.server.AccessToken(nil)
	a.server.SetUnreachable(true)
	if got := a.get(token); got.status != 503 || got.challenge != "" || got.header.Get("Retry-After") == "" || got.served != 0 {
		t.Errorf("%d %q, Retry-After %q", got.status, got.challenge, got.header.Get("Retry-After"))
	}
	if got := a.send("GET", "/", nil, nil, nil); got.status != 401 {
		t.Errorf("without a token: %d", got.status)
	}
	b := newAPI(t, nil, nil)
	good := b.server.AccessToken(nil)
	if got := b.get(good); got.status != 200 {
		t.Fatalf("%d", got.status)
	}
	b.server.SetUnreachable(true)
	if got := b.get(good); got.status != 200 { // RL-02
		t.Errorf("with known keys: %d", got.status)
	}
}
