package main

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

type keyfuncClaims struct {
	jwt.RegisteredClaims
	Scopes []string `json:"scp"`
}

// newKeyfuncJudge is golang-jwt with keyfunc, as both document it. The parser is told what
// it must look for, which it does not by itself.
func newKeyfuncJudge(ctx context.Context, s *server, keyAge time.Duration) (*judge, error) {
	transport := newTransport()
	ctx, cancel := context.WithCancel(ctx)
	keys, err := keyfunc.NewDefaultOverrideCtx(ctx, []string{s.issuer + "/jwks"}, keyfunc.Override{
		Client: &http.Client{Transport: transport}, RefreshInterval: keyAge,
		RefreshErrorHandlerFunc: func(string) func(context.Context, error) {
			return func(_ context.Context, err error) { slog.Debug("keyfunc", "error", err) }
		},
	})
	if err != nil {
		cancel()
		return nil, err
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{s.alg}), jwt.WithIssuer(s.issuer),
		jwt.WithAudience(apiAudience), jwt.WithExpirationRequired())
	return &judge{
		title: "golang-jwt and keyfunc",
		verify: func(ctx context.Context, token string) (string, error) {
			var c keyfuncClaims
			if _, err := parser.ParseWithClaims(token, &c, keys.KeyfuncCtx(ctx)); err != nil {
				return "", err
			}
			return c.Subject, granted(c.Scopes)
		},
		close: func() {
			cancel()
			transport.CloseIdleConnections()
		},
	}, nil
}
