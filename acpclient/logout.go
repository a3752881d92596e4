package acpclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Revoke ends the refresh token at the server or, where there is none, the access token
// (RFC 7009). It takes 2 s at most. A server without the endpoint gives
// errors.ErrUnsupported; other errors are *Error, ErrUnavailable or ErrInvalidResponse.
func (c *Client) Revoke(ctx context.Context, t *Tokens) error {
	if t == nil || t.Token == nil {
		return errors.New("acpclient: revoke: no tokens")
	}
	end, err := c.begin()
	if err != nil {
		return err
	}
	defer end()
	ctx, cancel := context.WithTimeout(ctx, revokeTimeout) // the wait for the metadata included
	defer cancel()
	m, err := c.meta.value(ctx)
	if err != nil {
		return err
	}
	if m.RevocationEndpoint == "" {
		return fmt.Errorf("acpclient: no revocation_endpoint: %w", errors.ErrUnsupported)
	}
	token, hint := t.AccessToken, "access_token"
	if t.RefreshToken != "" {
		token, hint = t.RefreshToken, "refresh_token"
	}
	form := url.Values{"token": {token}, "token_type_hint": {hint}}
	_, err = c.back.post(ctx, m.RevocationEndpoint, nil, form, &call{
		timeout: revokeTimeout, authenticated: true, methods: m.TokenEndpointAuthMethodsSupported, secrets: []string{token},
		judge: func(a *answer) ([]byte, error) {
			if a.status != http.StatusOK && a.status != http.StatusNoContent {
				return nil, a.failed()
			}
			return nil, nil
		},
	})
	return err
}

// LogoutOptions shape a logout at the server. nil is the zero value.
type LogoutOptions struct {
	// PostLogoutRedirectURL is where the server sends the browser afterwards. It must be
	// registered. "" leaves the browser at the server.
	PostLogoutRedirectURL string

	// State comes back at PostLogoutRedirectURL. "" sends none.
	State string
}

// maxLogoutURL keeps the URL within what servers and proxies take.
const maxLogoutURL = 4 << 10

// LogoutURL is where to send the browser to end its session at the server, too
// (OpenID Connect RP-Initiated Logout 2). The ID token goes along as a hint, but not in
// a URL of more than 4 KiB. nil tokens, or tokens without ID token, send none. A server without the
// endpoint gives errors.ErrUnsupported, one whose endpoint already has a parameter of ours
// ErrInvalidResponse; other errors are those of Metadata.
func (c *Client) LogoutURL(ctx context.Context, t *Tokens, o *LogoutOptions) (string, error) {
	m, err := c.meta.value(ctx)
	if err != nil {
		return "", err
	}
	if m.EndSessionEndpoint == "" {
		return "", fmt.Errorf("acpclient: no end_session_endpoint: %w", errors.ErrUnsupported)
	}
	query := url.Values{"client_id": {c.config.ClientID}}
	if o != nil && o.PostLogoutRedirectURL != "" {
		query.Set("post_logout_redirect_uri", o.PostLogoutRedirectURL)
		if o.State != "" {
			query.Set("state", o.State)
		}
	}
	separator := "?"
	if _, own, ok := strings.Cut(m.EndSessionEndpoint, "?"); ok {
		separator = "&"
		// No parameter is sent twice: which of the two counts would be the server's guess.
		values, err := url.ParseQuery(own)
		if err != nil {
			return "", invalidResponse("metadata", "end_session_endpoint has a malformed query")
		}
		for _, name := range []string{"client_id", "id_token_hint", "post_logout_redirect_uri", "state"} {
			if values.Has(name) {
				return "", invalidResponse("metadata", "end_session_endpoint already has the parameter "+name)
			}
		}
	}
	address := m.EndSessionEndpoint + separator + query.Encode()
	if t != nil && t.IDToken != "" {
		if hint := "&id_token_hint=" + url.QueryEscape(t.IDToken); len(address)+len(hint) <= maxLogoutURL {
			address += hint
		}
	}
	return address, nil
}
