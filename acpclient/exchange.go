package acpclient

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// Exchange finishes a login: it judges the callback's parameters against the flow,
// redeems the code with the verifier, and verifies the ID token. The code is sent once.
//
// callback holds the query's parameters, or the form's with form_post, as
// url.ParseQuery gives them; an error of url.ParseQuery means a callback to refuse.
//
// Errors: ErrInvalidCallback when the callback is not the answer to the flow, and then
// the token endpoint was not asked; *Error when the server refused, at the callback
// (StatusCode 0) or at the token endpoint; ErrInvalidResponse and ErrInvalidToken when its answer
// is no good; ErrUnavailable when there is none.
func (c *Client) Exchange(ctx context.Context, flow *Flow, callback url.Values) (*Tokens, error) {
	end, err := c.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	m, err := c.meta.value(ctx)
	if err != nil {
		// What can be judged without the metadata is judged all the same.
		if _, judged := c.judgeCallback(ctx, &Metadata{}, flow, callback); errors.Is(judged, ErrInvalidCallback) {
			return nil, judged
		}
		return nil, err
	}
	code, err := c.judgeCallback(ctx, m, flow, callback)
	if err != nil {
		return nil, err
	}
	if err := c.sameKey(flow); err != nil {
		return nil, err
	}
	var r tokenResponse
	t, err := c.retrieve(ctx, m, &r, tokenTimeout, []string{code, flow.Verifier}, func(ctx context.Context) (*oauth2.Token, error) {
		return c.oauth2Config(m).Exchange(ctx, code, oauth2.VerifierOption(flow.Verifier))
	})
	if err != nil {
		return nil, err
	}
	tokens := &Tokens{Token: t, Scopes: granted(r.scope, flow.Scopes)}
	if r.idToken == "" {
		if slices.Contains(flow.Scopes, "openid") { // OIDC Core 3.1.3.3
			return nil, invalidResponse("id_token_missing", "openid was asked for, and no ID token came")
		}
		return tokens, nil
	}
	if tokens.IDToken, err = c.decrypted(r.idToken, encryptedIDToken); err != nil {
		return nil, err
	}
	if _, err := c.verifyIDToken(ctx, m, tokens.IDToken, idTokenRules{
		nonce: flow.Nonce, nonceRequired: true, maxAge: flow.MaxAge,
		accessToken: t.AccessToken, code: code, state: flow.State,
	}); err != nil {
		return nil, err
	}
	r.extra["id_token"] = tokens.IDToken
	return tokens, nil
}

// retrieve lets x/oauth2 speak to the token endpoint, through the back channel: this is
// the one place that puts a client into a context. The first of the secrets is what the
// grant redeems.
func (c *Client) retrieve(ctx context.Context, m *Metadata, r *tokenResponse, timeout time.Duration, secrets []string, ask func(context.Context) (*oauth2.Token, error)) (*oauth2.Token, error) {
	if m.TokenEndpoint == "" {
		return nil, invalidResponse("metadata", "no token_endpoint")
	}
	asked := c.now()
	r.bound = c.back.dpop != nil
	ctx = context.WithValue(ctx, callKey{}, &call{
		timeout: timeout, authenticated: true, proof: true, methods: m.TokenEndpointAuthMethodsSupported,
		secrets: secrets, idempotency: secrets[0], judge: r.judgeToken,
	})
	t, err := ask(context.WithValue(ctx, oauth2.HTTPClient, c.back.client))
	if err != nil {
		return nil, unwrapURLError(err)
	}
	t = t.WithExtra(r.extra)
	t.TokenType = r.tokenType()
	t.Expiry, t.ExpiresIn = time.Time{}, 0
	if r.hasExpiry {
		t.ExpiresIn = r.expiresIn
		t.Expiry = asked.Add(time.Duration(r.expiresIn) * time.Second)
	} else if exp, ok := jwtExpiry(t.AccessToken); ok {
		t.Expiry, t.ExpiresIn = exp, max(0, int64(exp.Sub(asked)/time.Second))
	}
	return t, nil
}

// unwrapURLError takes off what net/http put around our error, URL and all.
func unwrapURLError(err error) error {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		return unavailable(u, 0)
	}
	return err
}

// granted are the scopes of the answer or, where it is silent, those asked for
// (RFC 6749 5.1).
func granted(scope string, asked []string) []string {
	if scope == "" {
		return slices.Clone(asked)
	}
	return strings.Fields(scope)
}
