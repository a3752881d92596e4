package middleware

import (
	"context"
	"errors"
	"fmt"
)

// EndSessions ends all sessions of a user, in every process, but for one: except is the
// session of the request that asks for it, nil for none. It needs a Store, and gives
// errors.ErrUnsupported without. An except that is over spares nothing: that is ErrSessionEnded. The error
// of a Store that does not answer matches acpclient.ErrUnavailable, and the sessions then go on. The
// sessions at the authorization server, and the refresh tokens, are not touched.
func (a *Authenticator) EndSessions(ctx context.Context, issuer, subject string, except *Session) error {
	if a.shelf == nil {
		return fmt.Errorf("middleware: EndSessions needs a Store: %w", errors.ErrUnsupported)
	}
	if subject == "" {
		return errors.New("middleware: EndSessions: no subject")
	}
	now := a.now()
	m, k := mark{at: now}, markOf("sub", issuer, subject)
	token := markToken(k)
	if except != nil {
		if except.live == nil || except.live.auth != a {
			return errors.New("middleware: EndSessions: except is no session of this Authenticator")
		}
		r, err := a.shelf.get(ctx, except.live.current())
		if err != nil {
			return err
		}
		if r == nil || a.memory.hasEnded(r) {
			return errEnded
		}
		m.except, token = r.id, othersToken(k)
	}
	return a.shelf.mark(ctx, token, m, now.Add(a.config.AbsoluteTimeout))
}
