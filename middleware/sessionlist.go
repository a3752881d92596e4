package middleware

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"
)

// SessionEntry is a session in a user's list of them.
type SessionEntry struct {
	// ID is what EndSession takes, and what Session.ID gives for the session of a request. It is of
	// no use as a cookie.
	ID string

	// CreatedAt is the time of the login.
	CreatedAt time.Time
}

// Sessions lists the sessions of a user, newest first: those that can still be used, at whatever
// process they began. One that is merely idle is listed until its absolute end, because the time
// of its last use is in its cookie. The list holds the 16 newest; where a Store has no Add, one
// of two logins in the same moment may be missing. Nothing is missed by EndSessions.
//
// It needs a Store, and gives errors.ErrUnsupported without. The error of a Store that does not
// answer matches acpclient.ErrUnavailable. An empty subject is a mistake: it names nobody. A user
// without sessions has the list nil.
func (a *Authenticator) Sessions(ctx context.Context, issuer, subject string) ([]SessionEntry, error) {
	places, err := a.placesOf(ctx, "Sessions", issuer, subject)
	if err == nil {
		err = a.roster.forget(ctx, places)
	}
	if err != nil {
		return nil, err
	}
	var entries []SessionEntry
	for _, p := range places {
		if p.rec == nil {
			continue
		}
		if upTo, _ := a.memory.ended.get(p.rec.id); upTo == everyGeneration {
			continue // and the Store does not know yet
		}
		e := SessionEntry{ID: p.rec.id.String(), CreatedAt: p.rec.created}
		if !slices.Contains(entries, e) {
			entries = append(entries, e)
		}
	}
	slices.SortFunc(entries, func(x, y SessionEntry) int { return y.CreatedAt.Compare(x.CreatedAt) })
	return entries, nil
}

// EndSession ends one session of a user, in every process: the one that Sessions lists with this
// ID. An ID that is no session of this user gives ErrSessionEnded, and ends nothing. Like
// EndSessions it needs a Store, and touches neither the session at the authorization server nor
// the refresh token. Its other errors are those of Sessions, and then the session goes on.
func (a *Authenticator) EndSession(ctx context.Context, issuer, subject, id string) error {
	places, err := a.placesOf(ctx, "EndSession", issuer, subject)
	if err != nil {
		return err
	}
	for _, p := range places {
		if p.rec == nil || p.rec.id.String() != id {
			continue
		}
		if err := a.shelf.end(ctx, p.rec); err != nil {
			return err
		}
		a.refresher.end(p.rec, everyGeneration)
		a.roster.remove(ctx, p.rec)
		return nil
	}
	return errEnded
}

func (a *Authenticator) placesOf(ctx context.Context, what, issuer, subject string) ([]place, error) {
	switch {
	case a.shelf == nil:
		return nil, fmt.Errorf("middleware: %s needs a Store: %w", what, errors.ErrUnsupported)
	case subject == "":
		return nil, fmt.Errorf("middleware: %s: no subject", what)
	}
	return a.roster.places(ctx, markOf("sub", issuer, subject))
}

// ID names the session, as Authenticator.Sessions lists it, from its login to its end. It is no
// secret, and of no use as a cookie. "" for a session that ContextWithTokens made.
func (s *Session) ID() string {
	if s == nil || s.live == nil || s.live.auth == nil {
		return ""
	}
	return s.live.current().id.String()
}

func (id sessionID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }
