package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// byHandLogin is what careful code keeps with the browser.
type byHandLogin struct {
	state, nonce, verifier string
}

var (
	errState     = errors.New("the state is another login's")
	errNonce     = errors.New("the nonce is another login's")
	errNoIDToken = errors.New("no ID token")
)

// newByHand is x/oauth2 and go-oidc, put together as both document it: an auth style that
// is not tried out, one verifier for all logins, state and nonce compared, and no check
// beyond those that go-oidc makes by itself.
func newByHand(ctx context.Context, s *server) (candidate, error) {
	transport := newTransport()
	client := &http.Client{Transport: transport}
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, client), s.issuer)
	if err != nil {
		return nil, err
	}
	endpoint := provider.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	config := &oauth2.Config{
		ClientID: clientID, ClientSecret: clientSecret, Endpoint: endpoint, RedirectURL: redirectURL, Scopes: scopes,
	}
	verifier := provider.Verifier(&oidc.Config{ClientID: clientID})
	return &contender[byHandLogin]{server: s, library: library[byHandLogin]{
		title: "x/oauth2 and go-oidc by hand",
		authorize: func(context.Context) (string, byHandLogin, error) {
			l := byHandLogin{state: rand.Text(), nonce: rand.Text(), verifier: oauth2.GenerateVerifier()}
			return config.AuthCodeURL(l.state, oidc.Nonce(l.nonce), oauth2.S256ChallengeOption(l.verifier)), l, nil
		},
		callback: func(ctx context.Context, l byHandLogin, query url.Values) (u user, err error) {
			if subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(l.state)) != 1 {
				return u, errState
			}
			ctx = oidc.ClientContext(ctx, client)
			token, err := config.Exchange(ctx, query.Get("code"), oauth2.VerifierOption(l.verifier))
			if err != nil {
				return u, err
			}
			raw, ok := token.Extra("id_token").(string)
			if !ok {
				return u, errNoIDToken
			}
			idToken, err := verifier.Verify(ctx, raw)
			if err != nil {
				return u, err
			}
			if subtle.ConstantTimeCompare([]byte(idToken.Nonce), []byte(l.nonce)) != 1 {
				return u, errNonce
			}
			return u, idToken.Claims(&u)
		},
		done: transport.CloseIdleConnections,
	}}, nil
}
