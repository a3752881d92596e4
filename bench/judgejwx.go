package main

import (
	"context"
	"net/http"
	"time"

	"github.com/lestrrat-go/httprc/v3"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jwt"
)

// newJWXJudge is lestrrat's jwt with keys from a jwk.Cache.
func newJWXJudge(ctx context.Context, s *server, keyAge time.Duration) (*judge, error) {
	transport := newTransport()
	ctx, cancel := context.WithCancel(ctx)
	cache, err := jwk.NewCache(ctx, httprc.NewClient())
	if err != nil {
		cancel()
		return nil, err
	}
	keySet := s.issuer + "/jwks"
	options := []jwk.RegisterOption{jwk.WithHTTPClient(&http.Client{Transport: transport})}
	if keyAge > 0 {
		options = append(options, jwk.WithHttprcResourceOption(httprc.WithConstantInterval(keyAge)),
			jwk.WithHttprcResourceOption(httprc.WithMinInterval(keyAge)))
	}
	err = cache.Register(ctx, keySet, options...)
	var keys jwk.CachedSet
	if err == nil {
		keys, err = cache.CachedSet(keySet)
	}
	if err != nil {
		cancel()
		return nil, err
	}
	judgeBy := []jwt.ParseOption{jwt.WithKeySet(keys), jwt.WithValidate(true), jwt.WithIssuer(s.issuer),
		jwt.WithAudience(apiAudience), jwt.WithRequiredClaim(jwt.ExpirationKey)}
	return &judge{
		title: "lestrrat jwx",
		verify: func(_ context.Context, token string) (string, error) {
			t, err := jwt.ParseString(token, judgeBy...)
			if err != nil {
				return "", err
			}
			var list []any
			if err := t.Get("scp", &list); err != nil {
				return "", err
			}
			subject, _ := t.Subject()
			return subject, grantedAny(list)
		},
		close: func() {
			cache.Shutdown(ctx)
			cancel()
			transport.CloseIdleConnections()
		},
	}, nil
}

// grantedAny is granted for libraries whose claims are of any type.
func grantedAny(list []any) error {
	for _, scope := range list {
		if scope == apiScope {
			return nil
		}
	}
	return errScope
}
