package middleware

import (
	"context"
	"net/http"

	"github.com/acp-go/acp/acpclient"
)

// contextKey is known to nobody else, so that nobody else can say who the user is.
type contextKey struct{}

// inContext remembers who looked: another Authenticator's session is not ours.
type inContext struct {
	auth    *Authenticator // nil for ContextWithTokens
	session *Session       // nil: looked, and found none
}

func withSession(ctx context.Context, a *Authenticator, s *Session) context.Context {
	return context.WithValue(ctx, contextKey{}, inContext{a, s})
}

// sessionIn returns what this Authenticator, or a test, has put into the context.
func (a *Authenticator) sessionIn(ctx context.Context) (s *Session, known bool) {
	v, ok := ctx.Value(contextKey{}).(inContext)
	if !ok || v.auth != nil && v.auth != a {
		return nil, false
	}
	if v.session != nil && v.auth != nil && a.memory.hasEnded(v.session.live.current()) {
		return nil, true // logged out by this very request
	}
	return v.session, true
}

// SessionFromContext is the session that the innermost RequireSession or LoadSession
// found, or nil. It is valid until the handler returns.
func SessionFromContext(ctx context.Context) *Session {
	v, _ := ctx.Value(contextKey{}).(inContext)
	return v.session
}

// ContextWithTokens is for tests of handlers: it puts a session that holds these tokens
// into a context, without any cookie, and every RequireSession lets it pass. The tokens are
// believed, and never refreshed. nil tokens give ctx back.
func ContextWithTokens(ctx context.Context, t *acpclient.Tokens) context.Context {
	if t == nil || t.Token == nil {
		return ctx
	}
	now := wallClock()
	rec := newRecord(t, now)
	return withSession(ctx, nil, &Session{
		Issuer: rec.issuer, Subject: rec.subject,
		CreatedAt: now, ExpiresAt: now.Add(defaultAbsolute), live: &liveSession{rec: rec},
	})
}

// tokenKey is known to nobody else, as contextKey.
type tokenKey struct{}

// tokenContext is a context of its own, and not one of context.WithValue, to cost one
// allocation. Each protector adds its own, which hides those outside of it.
type tokenContext struct {
	context.Context
	token      *acpclient.AccessToken // nil: the innermost protector served without one
	raw        string                 // what the verifier judged
	verifiedBy any                    // protector.identity
	proven     bool                   // the sender showed the key that the token is bound to
}

func (c *tokenContext) Value(key any) any {
	if key == (tokenKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// AccessTokenFromContext is the verified token that the innermost RequireBearer or
// RequireSessionOrBearer found, or nil. Several requests may share it: do not change it.
func AccessTokenFromContext(ctx context.Context) *acpclient.AccessToken {
	if c, ok := ctx.Value(tokenKey{}).(*tokenContext); ok {
		return c.token
	}
	return nil
}

// withoutToken hides the token of a protector further out.
func withoutToken(r *http.Request) *http.Request {
	if AccessTokenFromContext(r.Context()) == nil {
		return r
	}
	return r.WithContext(&tokenContext{Context: r.Context()})
}
