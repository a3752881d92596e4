package middleware_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/middleware"
)

// counting is a verifier with an identity, which counts.
type counting struct {
	subject string
	calls   int
}

func (c *counting) Verify(context.Context, string) (*acpclient.AccessToken, error) {
	c.calls++
	return &acpclient.AccessToken{Subject: c.subject, Scopes: []string{"a"}}, nil
}

// BR-42, BR-43: protectors inside of each other.
func TestBearerNested(t *testing.T) {
	logger := (&logBuffer{}).logger()
	one, two := &counting{subject: "one"}, &counting{subject: "two"}
	plain, optional := &middleware.BearerOptions{Logger: logger}, &middleware.BearerOptions{Logger: logger, Optional: true}
	withB := &middleware.BearerOptions{Logger: logger, Scopes: []string{"b"}}
	swap := func(header string) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r = r.Clone(r.Context())
				if r.Header.Del("Authorization"); header != "" {
					r.Header.Set("Authorization", header)
				}
				next.ServeHTTP(w, r)
			})
		}
	}
	called := 0
	uncomparable := verifierFunc(func(context.Context, string) (*acpclient.AccessToken, error) {
		called++
		return &acpclient.AccessToken{Subject: "func"}, nil
	})
	for _, row := range []struct {
		name     string
		chain    []func(http.Handler) http.Handler // outermost first
		status   int
		body     string
		one, two int // calls
	}{
		{"BR-43 the same verifier", []func(http.Handler) http.Handler{protect(t, one, plain), protect(t, one, plain)}, 200, "- one", 1, 0},
		{"BR-43 each asks for its scopes", []func(http.Handler) http.Handler{protect(t, one, plain), protect(t, one, withB)}, 403, "", 1, 0},
		{"BR-43 another token", []func(http.Handler) http.Handler{protect(t, one, plain), swap("Bearer other"), protect(t, one, plain)}, 200, "- one", 2, 0},
		{"BR-42 another verifier", []func(http.Handler) http.Handler{protect(t, one, plain), protect(t, two, plain)}, 200, "- two", 1, 1},
		{"BR-42 the first one again, inside of another", []func(http.Handler) http.Handler{protect(t, one, plain), protect(t, two, plain), protect(t, one, plain)}, 200, "- one", 2, 1},
		{"BR-42 the token is gone", []func(http.Handler) http.Handler{protect(t, one, plain), swap(""), protect(t, one, plain)}, 401, "", 1, 0},
		{"BR-42 the token is gone, and optional", []func(http.Handler) http.Handler{protect(t, one, plain), swap(""), protect(t, two, optional)}, 200, "- -", 1, 0},
		{"BR-42 optional outside", []func(http.Handler) http.Handler{protect(t, one, optional), protect(t, one, plain)}, 200, "- one", 1, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			one.calls, two.calls = 0, 0
			var h http.Handler = shows
			for i := len(row.chain) - 1; i >= 0; i-- {
				h = row.chain[i](h)
			}
			w := serve(h, bearer("t"))
			if w.Code != row.status || w.Code == 200 && w.Body.String() != row.body || one.calls != row.one || two.calls != row.two {
				t.Errorf("%d %s, %d and %d calls", w.Code, w.Body, one.calls, two.calls)
			}
		})
	}
	if w := serve(protect(t, uncomparable, plain)(protect(t, uncomparable, plain)(shows)), bearer("t")); w.Code != 200 || w.Body.String() != "- func" || called != 2 {
		t.Errorf("a verifier that cannot be compared: %d %s, %d calls", w.Code, w.Body, called)
	}
	if same := protect(t, uncomparable, plain); serve(same(same(shows)), bearer("t")).Code != 200 || called != 3 {
		t.Errorf("BR-43 the same protector twice: %d calls", called-2)
	}
}

// BR-43: a panic of the handler is the handler's.
func TestBearerHandlerPanics(t *testing.T) {
	h := protect(t, &counting{}, nil)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("the handler's own") }))
	defer func() {
		if v := recover(); v != "the handler's own" {
			t.Errorf("recovered %v", v)
		}
	}()
	serve(h, bearer("t"))
}

func TestBearerNilHandler(t *testing.T) {
	if w := serve(protect(t, &counting{}, nil)(nil), bearer("t")); w.Code != 404 {
		t.Errorf("%d", w.Code)
	}
}

// SE-35: each request sees its own caller. The ids are the tokens themselves.
func TestBearerCallersAreNotMixed(t *testing.T) {
	echo := verifierFunc(func(_ context.Context, token string) (*acpclient.AccessToken, error) {
		return &acpclient.AccessToken{Subject: token}, nil
	})
	h := protect(t, echo, &middleware.BearerOptions{Logger: slog.New(slog.DiscardHandler)})(shows)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 250 {
				id := fmt.Sprintf("%d.%d", i, j)
				if w := serve(h, bearer(id)); w.Body.String() != "- "+id {
					t.Errorf("%s is served as %s", id, w.Body)
				}
			}
		})
	}
	wg.Wait()
}
