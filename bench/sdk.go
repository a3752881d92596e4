package main

import (
	"context"
	"net/url"

	"github.com/acp-go/acp/acpclient"
)

// newSDK is this SDK as its documentation says. It does more than the others: the
// callback's issuer (RFC 9207), duplicate parameters, strict JSON, azp, iat, auth_time, at_hash.
func newSDK(ctx context.Context, s *server) (candidate, error) {
	client, err := acpclient.New(acpclient.Config{
		Issuer: s.issuer, ClientID: clientID, Auth: acpclient.Secret(clientSecret),
		RedirectURL: redirectURL, Scopes: scopes, Transport: newTransport(),
	})
	if err != nil {
		return nil, err
	}
	return &contender[*acpclient.Flow]{server: s, library: library[*acpclient.Flow]{
		title: "this SDK",
		authorize: func(ctx context.Context) (string, *acpclient.Flow, error) {
			return client.Authorize(ctx, nil)
		},
		callback: func(ctx context.Context, flow *acpclient.Flow, query url.Values) (u user, err error) {
			tokens, err := client.Exchange(ctx, flow, query)
			if err != nil {
				return u, err
			}
			return u, tokens.Claims(&u)
		},
		done: func() { client.Close(ctx) },
	}}, client.Ready(ctx)
}
