package main

import (
	"context"
	"net/http"
	"time"

	"github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

type zitadelClaims struct {
	oidc.TokenClaims
	Scopes []string `json:"scp"`
}

// newZitadelJudge is zitadel/oidc's verifier of access tokens with its remote key set. The
// audience is the caller's to check.
func newZitadelJudge(_ context.Context, s *server, _ time.Duration) (*judge, error) {
	transport := newTransport()
	verifier := op.NewAccessTokenVerifier(s.issuer, rp.NewRemoteKeySet(&http.Client{Transport: transport}, s.issuer+"/jwks"),
		op.WithSupportedAccessTokenSigningAlgorithms(s.alg))
	return &judge{
		title: "zitadel/oidc",
		verify: func(ctx context.Context, token string) (string, error) {
			c, err := op.VerifyAccessToken[*zitadelClaims](ctx, token, verifier)
			if err != nil {
				return "", err
			}
			if err := oidc.CheckAudience(c, apiAudience); err != nil {
				return "", err
			}
			return c.Subject, granted(c.Scopes)
		},
		close: transport.CloseIdleConnections,
	}, nil
}
