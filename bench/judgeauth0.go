package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/auth0/go-jwt-middleware/v2/jwks"
	"github.com/auth0/go-jwt-middleware/v2/validator"
)

// auth0Claims check the scope where auth0's documentation has it.
type auth0Claims struct {
	Scopes []string `json:"scp"`
}

func (c *auth0Claims) Validate(context.Context) error { return granted(c.Scopes) }

// newAuth0Judge is the validator of auth0/go-jwt-middleware, with its caching provider
// and the five minutes of its documentation.
func newAuth0Judge(_ context.Context, s *server, keyAge time.Duration) (*judge, error) {
	transport := newTransport()
	issuer, err := url.Parse(s.issuer)
	if err != nil {
		return nil, err
	}
	if keyAge == 0 {
		keyAge = 5 * time.Minute
	}
	keys := jwks.NewCachingProvider(issuer, keyAge, jwks.WithCustomClient(&http.Client{Transport: transport}))
	v, err := validator.New(keys.KeyFunc, validator.SignatureAlgorithm(s.alg), s.issuer, []string{apiAudience},
		validator.WithCustomClaims(func() validator.CustomClaims { return &auth0Claims{} }))
	if err != nil {
		return nil, err
	}
	return &judge{
		title: "auth0 go-jwt-middleware",
		verify: func(ctx context.Context, token string) (string, error) {
			claims, err := v.ValidateToken(ctx, token)
			if err != nil {
				return "", err
			}
			c, ok := claims.(*validator.ValidatedClaims)
			if !ok {
				return "", errors.New("not validated claims")
			}
			return c.RegisteredClaims.Subject, nil
		},
		close: transport.CloseIdleConnections,
	}, nil
}
