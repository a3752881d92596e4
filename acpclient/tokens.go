package acpclient

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// Tokens is what a login or a refresh brought. It survives JSON whole, secrets
// included, so that it can be stored; printed or logged, it shows nothing.
type Tokens struct {
	hidden

	// Token holds the access token, the refresh token ("" without one) and the expiry.
	// A zero Expiry is an unknown one, not "never"; ExpiresIn is the lifetime in
	// seconds at the time of issue.
	*oauth2.Token

	// IDToken is the verified ID token in compact form, decrypted (an id_token_hint must be, OIDC
	// Core 3.1.2.1), "" without "openid". After a refresh that brought none it is the one of the
	// login.
	IDToken string `json:"id_token,omitempty"`

	// Scopes are the granted ones: what the server said, else what was asked for.
	Scopes []string `json:"scopes,omitempty"`
}

// Claims decodes the ID token's claims into v, like json.Unmarshal but with exact names: a
// field Email without the tag `json:"email"` stays empty. It does not verify again: Exchange
// and Refresh did. Without an ID token the error matches errors.ErrUnsupported.
func (t *Tokens) Claims(v any) error {
	if t == nil || t.IDToken == "" {
		return fmt.Errorf("acpclient: no ID token: %w", errors.ErrUnsupported)
	}
	_, rest, _ := strings.Cut(t.IDToken, ".")
	part, _, _ := strings.Cut(rest, ".")
	payload, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return invalidToken("token_malformed", "the payload is not base64url")
	}
	return decode(string(payload), v)
}

// refreshMargin is how long before its end a token counts as stale: early enough for a
// call to finish, and never so early that a short-lived token is refreshed each time.
const refreshMargin = time.Minute

// stale reports whether the access token should be refreshed before it is used.
func (t *Tokens) stale(now time.Time) bool {
	if t.Expiry.IsZero() {
		return false
	}
	margin := refreshMargin
	if t.ExpiresIn > 0 {
		margin = min(margin, time.Duration(t.ExpiresIn)*time.Second/5)
	}
	return !now.Add(margin).Before(t.Expiry)
}

// expired reports whether the access token's time is over.
func (t *Tokens) expired(now time.Time) bool {
	return !t.Expiry.IsZero() && !now.Before(t.Expiry)
}
