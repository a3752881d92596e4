package acpclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/oauth2"
)

// Refresh redeems the refresh token. The result is complete: a refresh token or an ID
// token that the answer lacks is taken over from t, which is not changed. A new ID token is
// verified and must name the same issuer, subject and sign-in (OIDC Core 12.2); while the keys cannot
// be fetched its claims are held against the same rules, and t's ID token stays; so it does where no key
// decrypts the new one.
//
// The answer may have ended t's refresh token, so store the result before it is used. A request that
// was given up may have ended it, too: ctx's deadline holds where it has one, however late, and 10 s otherwise.
// Errors are those of Exchange; an *Error with Code "invalid_grant" means that the
// session at the server is over. Without a refresh token nothing is sent, and the error
// says so.
func (c *Client) Refresh(ctx context.Context, t *Tokens) (*Tokens, error) {
	if t == nil || t.Token == nil || t.RefreshToken == "" {
		return nil, fmt.Errorf("acpclient: refresh: no refresh token")
	}
	end, err := c.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	m, err := c.meta.value(ctx)
	if err != nil {
		return nil, err
	}
	var r tokenResponse
	fresh, err := c.retrieve(ctx, m, &r, refreshTimeout(ctx), []string{t.RefreshToken}, func(ctx context.Context) (*oauth2.Token, error) {
		return c.oauth2Config(m).TokenSource(ctx, &oauth2.Token{RefreshToken: t.RefreshToken}).Token()
	})
	if err != nil {
		return nil, err
	}
	next := &Tokens{Token: fresh, IDToken: t.IDToken, Scopes: granted(r.scope, t.Scopes)}
	if r.idToken == "" {
		return next, nil
	}
	// The old refresh token may be dead by now: whatever time the request took, the new one
	// is not lost for want of keys.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	idToken, err := c.decrypted(r.idToken, encryptedIDToken)
	switch {
	case err == errDecryption: // so it is for want of ours, wherever they live
		c.log.Warn("acp: the ID token of a refresh cannot be decrypted, the one before stays")
		return next, nil
	case err != nil:
		return nil, err
	}
	switch err := c.verifyRefreshed(ctx, m, t, idToken, fresh.AccessToken); {
	case err == nil:
		next.IDToken, r.extra["id_token"] = idToken, idToken
	case !errors.Is(err, ErrUnavailable):
		return nil, err
	default:
		c.log.Warn("acp: the ID token of a refresh cannot be verified now, the one before stays", "reason", Reason(err), "error", err.Error())
	}
	return next, nil
}

// refreshTimeout is how long the answer is waited for.
func refreshTimeout(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return time.Until(deadline)
	}
	return tokenTimeout
}

// verifyRefreshed holds a new ID token against the one of the login.
func (c *Client) verifyRefreshed(ctx context.Context, m *Metadata, t *Tokens, raw, accessToken string) error {
	rules := idTokenRules{accessToken: accessToken}
	before, err := parseJWS(t.IDToken, max(c.config.MaxTokenSize, len(t.IDToken)))
	if t.IDToken != "" {
		if err == nil {
			err = before.readClaims()
		}
		if err != nil {
			return err
		}
		rules.nonce, _, _ = before.text("nonce")
	}
	now, err := c.verifyIDToken(ctx, m, raw, rules)
	unverified := err
	if errors.Is(err, ErrUnavailable) {
		// It came from the token endpoint itself, over TLS (OIDC Core 3.1.3.7 (6)): nothing of
		// it is believed, but what it contradicts is.
		if now, err = parseJWS(raw, c.config.MaxTokenSize); err == nil {
			err = now.readClaims()
		}
		if err == nil {
			err = c.judgeIDToken(now, rules)
		}
	}
	if err != nil || t.IDToken == "" {
		return cmp.Or(err, unverified)
	}
	for _, name := range []string{"iss", "sub"} {
		was, _, _ := before.text(name)
		if is, _, _ := now.text(name); is != was {
			return invalidToken("subject", "the refresh names another "+name)
		}
	}
	was, hadAuthTime, _ := before.date("auth_time")
	if is, has, _ := now.date("auth_time"); has && hadAuthTime && !is.Equal(was) {
		return invalidToken("auth_time", "the refresh names another auth_time")
	}
	audBefore, _ := before.audience()
	audNow, _ := now.audience()
	if !slices.Contains(audNow, c.config.ClientID) || len(audBefore) == 0 {
		return invalidToken("audience", "the refresh names another aud")
	}
	return unverified
}
