package middleware

import (
	"context"
	"errors"
	"fmt"
)

// EndSessions ends all sessions of a user, in every process, but for one: except is the
// session of the request that asks for it, nil for none. It needs a Store, and gives
// errors.ErrUnsupported without. The error of a Store that does not answer matches
// acpclient.ErrUnavailable, and the sessions then go on. The sessions at the authorization server, and
// the refresh tokens, are not touched.
func (a *Authenticator) EndSessions(ctx context.Context, issuer, subject string, except *Session) error {
	if a.shelf == nil {
		return fmt.Errorf("middleware: EndSessions needs a Store: %w", errors.ErrUnsupported)
	}
	if subject == "" {
		return errors.New("middleware: EndSessions: no subject")
	}
	now := a.now()
	m := mark{at: now}
	if except != nil && except.live != nil {
		m.except = except.live.current().id
	}
	return a.shelf.mark(ctx, markOf("sub", issuer, subject), m, now.Add(a.config.AbsoluteTimeout))
}
