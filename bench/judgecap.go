package main

import (
	"context"
	"net/http"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/hashicorp/cap/jwt"
)

// newCapJudge is the validator of hashicorp/cap.
func newCapJudge(ctx context.Context, s *server, _ time.Duration) (*judge, error) {
	transport := newTransport()
	keys, err := jwt.NewJSONWebKeySet(oidc.ClientContext(ctx, &http.Client{Transport: transport}), s.issuer+"/jwks", "")
	if err != nil {
		return nil, err
	}
	v, err := jwt.NewValidator(keys)
	if err != nil {
		return nil, err
	}
	expected := jwt.Expected{Issuer: s.issuer, Audiences: []string{apiAudience}, SigningAlgorithms: []jwt.Alg{jwt.Alg(s.alg)}}
	return &judge{
		title: "hashicorp/cap",
		verify: func(ctx context.Context, token string) (string, error) {
			claims, err := v.Validate(ctx, token, expected)
			if err != nil {
				return "", err
			}
			list, _ := claims["scp"].([]any)
			subject, _ := claims["sub"].(string)
			return subject, grantedAny(list)
		},
		close: transport.CloseIdleConnections,
	}, nil
}
