package acpclient

import (
	"context"
	"time"
)

// LogoutToken says whose sessions the server ended (OpenID Connect Back-Channel Logout 1.0
// 2.4). Subject or SessionID is there, or both.
type LogoutToken struct {
	Issuer string // the expected one

	// Subject is the user, as in the ID tokens. "" where the token names none.
	Subject string

	// SessionID is `sid`, as in the ID tokens of that session. "" means every session of
	// Subject.
	SessionID string

	// ID is `jti`, 1 to 256 bytes of any characters. A token that passes once passes
	// again: see VerifyLogoutToken.
	ID string

	IssuedAt time.Time // by the server's clock, in seconds
	Expiry   time.Time // by the server's clock, in seconds
}

const (
	// maxLogoutTokenAge bounds, with the leeway, how long a replay must be remembered.
	maxLogoutTokenAge = 5 * time.Minute
	maxTokenID        = 256 // bytes
	logoutEvent       = "http://schemas.openid.net/event/backchannel-logout"
)

// VerifyLogoutToken judges what came as `logout_token` at the back-channel logout URI: that
// it is a logout token at all, for this client, from the server, and no older than 5 min. It
// waits for metadata and keys only where they are not known yet.
//
// It does not see that a token comes a second time. Whoever calls it keeps ID, with the
// issuer, for 10 min, in a place that all replicas share, and refuses what is there: no token
// passes for longer.
//
// The error is ErrInvalidToken, or ErrUnavailable or ErrInvalidResponse when the token cannot
// be judged now, which says nothing about the token.
func (c *Client) VerifyLogoutToken(ctx context.Context, token string) (*LogoutToken, error) {
	end, err := c.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	if token, err = c.decrypted(token, encryptedIDToken); err != nil {
		return nil, err
	}
	t, err := c.admit(token)
	if err != nil {
		return nil, err
	}
	// Before the signature: what is not even called a logout token costs nothing.
	if err := c.judgeLogoutType(t.typ); err != nil {
		return nil, err
	}
	m, err := c.meta.value(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.authenticate(ctx, m, t, (*Metadata).idTokenAlgs); err != nil {
		return nil, err
	}
	logout, err := c.judgeLogoutToken(t)
	if err != nil {
		return nil, err
	}
	verifier := c.secondOpinion(t, "iss", "aud", "sub", "sid", "iat", "exp", "jti", "events", "nonce")
	if _, err := verifier.VerifyLogout(ctx, token); err != nil {
		return nil, invalidToken("token_malformed", clean(err.Error()))
	}
	return logout, nil
}

// judgeLogoutType holds the closed list of types (RFC 8725 3.11, Back-Channel Logout 1.0 2.4).
func (c *Client) judgeLogoutType(typ string) error {
	switch {
	case typ == "logout+jwt", c.config.InsecureUntypedLogoutTokens && (typ == "" || typ == "jwt"):
		return nil
	}
	return invalidToken("token_use", "typ is not a logout token's")
}

// judgeLogoutToken applies the rules of Back-Channel Logout 1.0 2.4 and 2.6 to verified claims.
func (c *Client) judgeLogoutToken(t *jws) (*LogoutToken, error) {
	// The mark is the member, whatever its value.
	for _, mark := range [...]string{"nonce", "at_hash", "c_hash"} {
		if t.has(mark) {
			return nil, invalidToken("token_use", "an ID token")
		}
	}
	if err := judgeEvents(t); err != nil {
		return nil, err
	}
	if err := c.judgeParties(t, false); err != nil { // 2.4 knows no azp
		return nil, err
	}
	l := &LogoutToken{Issuer: c.expected}
	if err := l.whose(t); err != nil {
		return nil, err
	}
	now := c.now()
	times, err := t.validity(now, c.config.Leeway, true)
	switch {
	case err != nil:
		return nil, err
	case now.Sub(times.issuedAt) > maxLogoutTokenAge: // a missing one is the year 1
		return nil, invalidToken("issued_at", "iat is missing, or too long ago")
	}
	l.IssuedAt, l.Expiry = times.issuedAt, times.expiry
	if l.ID, _, _ = t.text("jti"); l.ID == "" || len(l.ID) > maxTokenID {
		return nil, invalidToken("jti", "jti is missing or malformed")
	}
	return l, nil
}

// judgeEvents wants the one event that makes a JWT a logout token; others may stand beside it
// (RFC 8417 2.2).
func judgeEvents(t *jws) error {
	v, _ := t.value("events")
	events, _ := v.Object()
	if event, _ := events.Value(logoutEvent); !event.IsObject() {
		return invalidToken("events", "events does not hold a back-channel logout")
	}
	return nil
}

// whose reads sub and sid: what is there must be good, also where the other would do.
func (l *LogoutToken) whose(t *jws) (err error) {
	hasSub := t.has("sub")
	if hasSub {
		if l.Subject, err = t.subject(); err != nil {
			return err
		}
	}
	var hasSid bool
	l.SessionID, hasSid, _ = t.text("sid")
	switch {
	case hasSid && l.SessionID == "":
		return invalidToken("sid", "sid is not a string, or empty")
	case !hasSub && !hasSid:
		return invalidToken("subject", "neither sub nor sid")
	}
	return nil
}
