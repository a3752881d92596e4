package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"net/url"

	"github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/oauth2"
)

type nonceKey struct{}

// newZitadel is zitadel/oidc without its handlers, because those seal cookies, which no other
// candidate does here. The nonce reaches its verifier through the context, as WithNonce
// has it. It reads the claims while it verifies.
func newZitadel(ctx context.Context, s *server) (candidate, error) {
	transport := newTransport()
	party, err := rp.NewRelyingPartyOIDC(ctx, s.issuer, clientID, clientSecret, redirectURL, scopes,
		rp.WithHTTPClient(&http.Client{Transport: transport}),
		rp.WithAuthStyle(oauth2.AuthStyleInHeader),
		rp.WithSigningAlgsFromDiscovery(),
		rp.WithVerifierOpts(rp.WithNonce(func(ctx context.Context) string {
			nonce, _ := ctx.Value(nonceKey{}).(string)
			return nonce
		})),
	)
	if err != nil {
		return nil, err
	}
	return &contender[byHandLogin]{server: s, library: library[byHandLogin]{
		title: "zitadel/oidc",
		authorize: func(context.Context) (string, byHandLogin, error) {
			l := byHandLogin{state: rand.Text(), nonce: rand.Text(), verifier: oauth2.GenerateVerifier()}
			return rp.AuthURL(l.state, party, rp.AuthURLOpt(rp.WithURLParam("nonce", l.nonce)),
				rp.WithCodeChallenge(oidc.NewSHACodeChallenge(l.verifier))), l, nil
		},
		callback: func(ctx context.Context, l byHandLogin, query url.Values) (u user, err error) {
			if subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(l.state)) != 1 {
				return u, errState
			}
			tokens, err := rp.CodeExchange[*oidc.IDTokenClaims](context.WithValue(ctx, nonceKey{}, l.nonce),
				query.Get("code"), party, rp.WithCodeVerifier(l.verifier))
			if err != nil {
				return u, err
			}
			return user{Subject: tokens.IDTokenClaims.Subject, Email: tokens.IDTokenClaims.Email}, nil
		},
		done: transport.CloseIdleConnections,
	}}, nil
}
