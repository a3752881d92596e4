package main

import (
	"context"
	"net/url"
	"time"

	"github.com/hashicorp/cap/oidc"
)

// newCap is hashicorp/cap as its package documentation has it: one Request a login, with PKCE.
// Exchange compares the state and verifies the ID token. Its random values are its own.
func newCap(_ context.Context, s *server) (candidate, error) {
	transport := newTransport()
	config, err := oidc.NewConfig(s.issuer, clientID, clientSecret, []oidc.Alg{oidc.Alg(s.alg)},
		[]string{redirectURL}, oidc.WithScopes(scopes[1:]...), // it adds openid by itself
		oidc.WithRoundTripper(transport))
	if err != nil {
		return nil, err
	}
	provider, err := oidc.NewProvider(config)
	if err != nil {
		return nil, err
	}
	return &contender[*oidc.Req]{server: s, library: library[*oidc.Req]{
		title: "hashicorp/cap",
		authorize: func(ctx context.Context) (string, *oidc.Req, error) {
			verifier, err := oidc.NewCodeVerifier()
			if err != nil {
				return "", nil, err
			}
			req, err := oidc.NewRequest(10*time.Minute, redirectURL, oidc.WithPKCE(verifier))
			if err != nil {
				return "", nil, err
			}
			authURL, err := provider.AuthURL(ctx, req)
			return authURL, req, err
		},
		callback: func(ctx context.Context, req *oidc.Req, query url.Values) (u user, err error) {
			token, err := provider.Exchange(ctx, req, query.Get("state"), query.Get("code"))
			if err != nil {
				return u, err
			}
			return u, token.IDToken().Claims(&u)
		},
		done: provider.Done,
	}}, nil
}
