package main

import (
	"context"
	"net/http"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// newGoOIDCJudge is the ID token verifier of go-oidc, which many an API uses for access
// tokens. It would take an ID token for one.
func newGoOIDCJudge(ctx context.Context, s *server, _ time.Duration) (*judge, error) {
	transport := newTransport()
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, &http.Client{Transport: transport}), s.issuer)
	if err != nil {
		return nil, err
	}
	verifier := provider.Verifier(&oidc.Config{ClientID: apiAudience})
	return &judge{
		title: goOIDCTitle,
		verify: func(ctx context.Context, token string) (string, error) {
			t, err := verifier.Verify(ctx, token)
			if err != nil {
				return "", err
			}
			var c struct {
				Scopes []string `json:"scp"`
			}
			if err := t.Claims(&c); err != nil {
				return "", err
			}
			return t.Subject, granted(c.Scopes)
		},
		close: transport.CloseIdleConnections,
	}, nil
}

// newGoOIDCHandlerJudge is the same behind a handler, which the SDK has, too.
func newGoOIDCHandlerJudge(ctx context.Context, s *server, keyAge time.Duration) (*judge, error) {
	j, err := newGoOIDCJudge(ctx, s, keyAge)
	if err != nil {
		return nil, err
	}
	return behindHandler("go-oidc, handler by hand", j), nil
}
