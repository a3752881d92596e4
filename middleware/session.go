package middleware

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/acp-go/acp/acpclient"
)

// maxSkew is how far in the future a time may be that another process wrote.
const maxSkew = 5 * time.Minute

// Session is a user who is signed in, for the time of one request. Printed or logged, it
// shows no token.
type Session struct {
	// Issuer and Subject name the user; only both together do. They come from the ID
	// token. Without one (no "openid" scope) Subject is "".
	Issuer, Subject string

	// CreatedAt is the time of the login, ExpiresAt when the session ends at the latest.
	CreatedAt, ExpiresAt time.Time

	live *liveSession
}

// liveSession is what the copies of a Session share.
type liveSession struct {
	auth *Authenticator // nil for ContextWithTokens

	mu     sync.Mutex
	rec    *record // replaced, never changed
	held   chunkSet
	open   bool // whether the response's header can still be changed
	change change
}

// change is what the browser's cookies need when the header is written.
type change int

const (
	unchanged change = iota
	renewed
	cleared
)

// newRecord is a session that starts now. Its id is new, always: nothing of a session
// before the login lives on.
func newRecord(t *acpclient.Tokens, now time.Time) *record {
	now = now.Truncate(time.Millisecond)
	r := &record{created: now, seen: now, issued: now}
	r.hold(t)
	rand.Read(r.id[:]) // never fails
	return r
}

func (a *Authenticator) newSession(r *record) *Session {
	both := &struct {
		Session
		shared liveSession
	}{shared: liveSession{auth: a, rec: r}}
	both.Session = Session{
		Issuer: cmp.Or(r.issuer, a.issuer), Subject: r.subject,
		CreatedAt: r.created, ExpiresAt: r.created.Add(a.config.AbsoluteTimeout),
		live: &both.shared,
	}
	return &both.Session
}

// touchStep is how exactly the last use of a session is known: not each request may write
// its cookies.
func (a *Authenticator) touchStep() time.Duration { return min(a.config.IdleTimeout/10, time.Minute) }

// end is when a session ends if it is not used again.
func (a *Authenticator) end(r *record) time.Time {
	idle, absolute := r.seen.Add(a.config.IdleTimeout), r.created.Add(a.config.AbsoluteTimeout)
	if idle.Before(absolute) {
		return idle
	}
	return absolute
}

// found is what a request's cookies say.
type found struct {
	rec   *record // nil: no session
	stale bool    // the browser should get a newer cookie
}

// find judges the cookies of a request. It asks nobody but the Store, whose error it
// returns.
func (a *Authenticator) find(ctx context.Context, p *presented) (found, error) {
	r, newestKey, ok := a.join(p)
	if !ok {
		return found{}, nil
	}
	now := a.now()
	latest := now.Add(maxSkew)
	if r.created.After(latest) || r.seen.After(latest) || r.seen.Before(r.created) ||
		!now.Before(a.end(r)) {
		return found{}, nil
	}
	if a.shelf != nil {
		var err error
		if r, err = a.shelf.get(ctx, r); err != nil || r == nil {
			return found{}, err
		}
	}
	if a.memory.hasEnded(r) {
		return found{}, nil
	}
	known := a.memory.newest(r)
	if a.shelf != nil && known != r {
		a.refresher.save(known, func() {}) // the Store has lost it, or did not get it yet
	}
	f := found{rec: known, stale: known != r && a.shelf == nil || !newestKey}
	if now.Sub(r.seen) > a.touchStep() {
		moved := *known
		moved.seen = now.Truncate(time.Millisecond)
		f.rec, f.stale = &moved, true
	}
	return f, nil
}

// load is find for a request that will be served: it brings the browser's cookies up to
// date, and deletes what is no session.
func (a *Authenticator) load(w http.ResponseWriter, r *http.Request) (*Session, error) {
	p := a.cookies.read(r)
	f, err := a.find(r.Context(), p)
	if err != nil {
		return nil, err
	}
	if f.rec == nil {
		a.clearSession(w.Header(), p.held())
		return nil, nil
	}
	s := a.newSession(f.rec)
	s.live.held, s.live.open = p.held(), true
	if f.stale {
		s.live.change = renewed
	}
	return s, nil
}

func (l *liveSession) current() *record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rec
}

// adopt takes over newer tokens. The response brings them to the browser while that is
// possible; afterwards they are in this process's memory, and the next response does.
func (l *liveSession) adopt(r *record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.generation <= l.rec.generation {
		return
	}
	next := *r
	if l.rec.seen.After(next.seen) {
		next.seen = l.rec.seen
	}
	l.rec = &next
	if l.auth.shelf == nil { // in a Store they are where they belong
		l.change = renewed
	}
}

// clear takes the session's cookies away, while that is possible.
func (l *liveSession) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.change = cleared
}

// commit writes the cookies into a header that is about to be sent, once. Where newer
// tokens no longer fit, the older ones stay in the browser, and the newer in this process's memory.
func (l *liveSession) commit(h http.Header) {
	l.mu.Lock()
	open, change, rec := l.open, l.change, l.rec
	l.open = false
	l.mu.Unlock()
	a := l.auth
	switch {
	case !open || a.cookies.decided(h): // a login or a logout in this very request knows better
	case change == cleared:
		a.clearSession(h, l.held|1)
	case change == renewed && !a.hasEnded(rec):
		if _, err := a.writeSession(h, l.held, rec, a.now()); err != nil {
			a.config.Logger.Warn("acp: the session's cookies were not renewed", "reason", reasonOf(err), "error", logText(err))
		}
	}
}

// hasEnded asks, late in a request, whether its cookie would take the place of a newer one. A
// Store that does not answer is no reason to write.
func (a *Authenticator) hasEnded(r *record) bool {
	if a.shelf == nil || a.memory.hasEnded(r) {
		return a.memory.hasEnded(r)
	}
	ended, err := a.shelf.hasEnded(context.Background(), r) // who asked may have left; the cookie goes all the same
	return ended || err != nil
}

// Claims decodes the ID token's claims into v, like json.Unmarshal but with exact names: a
// field Email without the tag `json:"email"` stays empty. Without an ID token the error
// matches errors.ErrUnsupported.
func (s *Session) Claims(v any) error {
	return s.tokens().Claims(v)
}

func (s *Session) tokens() *acpclient.Tokens {
	if s == nil || s.live == nil {
		return nil
	}
	return s.live.current().tokens()
}

// Format prints no more than String, whatever the verb.
func (s Session) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// String names the user and nothing else.
func (s Session) String() string {
	return fmt.Sprintf("middleware.Session(%s %s)", clean(s.Subject), clean(s.Issuer))
}

// GoString is String.
func (s Session) GoString() string { return s.String() }

// LogValue names the user and nothing else.
func (s Session) LogValue() slog.Value {
	return slog.GroupValue(slog.String("iss", clean(s.Issuer)), slog.String("sub", clean(s.Subject)))
}

// MarshalJSON gives the exported fields.
func (s Session) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{"iss": s.Issuer, "sub": s.Subject, "created_at": s.CreatedAt, "expires_at": s.ExpiresAt})
}

const redacted = "[redacted]"

// Format prints nothing of a configuration, whose keys are secret.
func (c Config) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.String()) }

// String hides the configuration.
func (Config) String() string { return "middleware.Config(" + redacted + ")" }

// GoString hides the configuration.
func (c Config) GoString() string { return c.String() }

// LogValue hides the configuration.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalJSON hides the configuration.
func (c Config) MarshalJSON() ([]byte, error) { return json.Marshal(c.String()) }
