package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
)

// newHandlerLog writes lines that nobody reads: a refusal costs them all the same.
func newHandlerLog() *slog.Logger { return slog.New(slog.NewJSONHandler(io.Discard, nil)) }

type subjectKey struct{}

// behindHandler is a judge as the API's own code would use it, in the least that is right:
// the token is read from the header, who sent it stands in the context, and a refusal is an
// answer with a challenge, and a line for the log.
func behindHandler(title string, j *judge) *judge {
	log := newHandlerLog()
	protect := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			subject, err := "", errScope
			if strings.EqualFold(scheme, "Bearer") {
				subject, err = j.verify(r.Context(), token)
			}
			if err != nil {
				log.LogAttrs(r.Context(), slog.LevelInfo, "request refused", slog.Int("status", http.StatusUnauthorized),
					slog.String("error", err.Error()), slog.String("method", r.Method), slog.String("path", r.URL.EscapedPath()))
				w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
				http.Error(w, `{"title":"Unauthorized","status":401}`, http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), subjectKey{}, subject)))
		})
	}
	api := protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(*answer).subject, _ = r.Context().Value(subjectKey{}).(string)
	}))
	return &judge{title: title, batch: requestsTo(api), close: j.close}
}

// requestsTo makes a batch of requests, one a token, to a handler that tells the answer
// who the user is.
func requestsTo(api http.Handler) func(context.Context, []string) (func(int) (string, error), error) {
	return func(ctx context.Context, tokens []string) (func(int) (string, error), error) {
		requests := make([]*http.Request, len(tokens))
		for i, token := range tokens {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, apiAudience+"/things", nil)
			if err != nil {
				return nil, err
			}
			r.Header.Set("Authorization", "Bearer "+token)
			requests[i] = r
		}
		w := &answer{header: http.Header{}}
		return func(i int) (string, error) {
			clear(w.header)
			w.status, w.subject = 0, ""
			api.ServeHTTP(w, requests[i])
			if w.status != 0 {
				return "", fmt.Errorf("status %d", w.status)
			}
			return w.subject, nil
		}, nil
	}
}

// answer is a http.ResponseWriter that costs next to nothing. A status means a refusal.
type answer struct {
	header  http.Header
	status  int
	subject string
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) Write(b []byte) (int, error) { return len(b), nil }
func (a *answer) WriteHeader(status int)      { a.status = status }
