package main

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/middleware"
)

// newHandlerJudge is this SDK's handler, whole: it reads the header, verifies the token,
// asks for the scope and puts the token into the context; a refusal is an answer with its
// challenge, and a line for the log.
func newHandlerJudge(ctx context.Context, s *server, _ time.Duration) (*judge, error) {
	v, err := acpclient.NewVerifier(acpclient.VerifierConfig{
		Issuer: s.issuer, Audience: apiAudience, CacheSize: &cacheSize, Transport: newTransport(),
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	protect, err := middleware.RequireBearer(v, &middleware.BearerOptions{Scopes: []string{apiScope}, Logger: newHandlerLog()})
	if err != nil {
		return nil, err
	}
	api := protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(*answer).subject = middleware.AccessTokenFromContext(r.Context()).Subject
	}))
	return &judge{title: "this SDK: RequireBearer", batch: requestsTo(api), close: func() { v.Close(ctx) }}, nil
}
