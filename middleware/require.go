package middleware

import (
	"net/http"
)

// RequireSession serves next only with a session, which SessionFromContext then gives.
// Without one a navigation is sent to the login and will come back, and everything else is
// answered 401. A WebSocket handshake from another origin is refused with 403. A nil next answers 404.
//
// It asks nobody: a session is served while the authorization server is down. The answer
// is kept out of caches by `Cache-Control: no-store`, which next may replace. Inside
// another RequireSession or LoadSession of the same Authenticator the session is not read again.
func (a *Authenticator) RequireSession(next http.Handler) http.Handler {
	return a.requireSession(orNotFound(next), "")
}

// requireSession sends this challenge to whoever has no session and opens no page.
func (a *Authenticator) requireSession(next http.Handler, challenge string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.with(w, r, func(w http.ResponseWriter, r *http.Request, s *Session) {
			switch {
			case s != nil && isWebSocket(r) && !a.sameOrigin(r):
				a.fail(w, r, &problem{status: http.StatusForbidden, reason: "cross_origin", detail: "a WebSocket from another origin"})
			case s != nil:
				next.ServeHTTP(w, r)
			case isNavigation(r):
				redirect(w, a.loginURL(r))
			default:
				a.refuse(w, r, &problem{status: http.StatusUnauthorized, reason: "no_session", challenge: challenge})
			}
		})
	})
}

// LoadSession serves next in any case, and gives it the session where there is one. It
// never redirects. A WebSocket handshake from another origin is served without session. A
// nil next answers 404.
func (a *Authenticator) LoadSession(next http.Handler) http.Handler {
	next = orNotFound(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.with(w, r, func(w http.ResponseWriter, r *http.Request, s *Session) {
			if s != nil && isWebSocket(r) && !a.sameOrigin(r) {
				r = r.WithContext(withSession(r.Context(), a, nil))
			}
			next.ServeHTTP(w, r)
		})
	})
}

// with finds the session of a request, in the context or in the cookies, for as long as
// serve runs.
func (a *Authenticator) with(w http.ResponseWriter, r *http.Request, serve func(http.ResponseWriter, *http.Request, *Session)) {
	r = withoutIdentity(r)
	if s, known := a.sessionIn(r.Context()); known {
		serve(w, r, s)
		return
	}
	h := w.Header()
	h.Add("Vary", "Cookie")
	s, err := a.load(w, r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if s != nil {
		h.Set("Cache-Control", "no-store")
		w = &sessionWriter{w, s.live}
		defer s.live.commit(h) // where nothing was written
	}
	serve(w, r.WithContext(withSession(r.Context(), a, s)), s)
}

// RequireSessionOrBearer returns a protector for handlers that browsers and programs call
// alike: a request with a token is judged as RequireBearer does it, any other as
// RequireSession does it (or LoadSession, with Optional), and one with both is refused with
// 400, since nobody can tell for whom it speaks. SessionFromContext or AccessTokenFromContext
// gives what was found, and the other one nil.
//
// The scopes, ACRValues and MaxAge of the options are asked of tokens alone. Refusals go
// through Config.OnError where it is set. An Authorization header of a scheme that
// holds no token, like the Basic of a proxy in front, is ignored. Options and error are those of RequireBearer.
func (a *Authenticator) RequireSessionOrBearer(verifier TokenVerifier, o *BearerOptions) (func(http.Handler) http.Handler, error) {
	var options BearerOptions
	if o != nil {
		options = *o
	}
	if options.Logger == nil {
		options.Logger = a.config.Logger
	}
	p, err := newProtector(verifier, &options)
	if err != nil {
		return nil, err
	}
	p.refuse = func(w http.ResponseWriter, r *http.Request, err error) {
		f := newFailure(err)
		logFailure(p.options.Logger, r, f)
		a.write(w, r, f, false)
	}
	return func(next http.Handler) http.Handler {
		next = orNotFound(next)
		bySession := a.requireSession(next, p.challenges.plain)
		if p.options.Optional {
			bySession = a.LoadSession(next)
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Add("Vary", "Authorization")
			c := readCredentials(r)
			if c.kind == noCredentials || c.kind == inQuery || c.kind == otherScheme {
				bySession.ServeHTTP(w, withoutToken(r))
				return
			}
			switch session, err := a.hasSession(r); {
			case err != nil:
				p.refuse(w, r, err)
			case session:
				p.refuse(w, r, &problem{
					status: http.StatusBadRequest, reason: "ambiguous_credentials", detail: "a session and a token in one request", challenge: p.challenges.request,
				})
			default:
				p.serve(w, a.withoutSession(r), c, next)
			}
		})
	}, nil
}

// hasSession looks without touching the browser's cookies. Its error is the Store's.
func (a *Authenticator) hasSession(r *http.Request) (bool, error) {
	if s, known := a.sessionIn(r.Context()); known {
		return s != nil, nil
	}
	f, err := a.find(r.Context(), a.cookies.read(r))
	return f.rec != nil, err
}

// withoutSession hides the session that another Authenticator found.
func (a *Authenticator) withoutSession(r *http.Request) *http.Request {
	if SessionFromContext(r.Context()) == nil {
		return r
	}
	return r.WithContext(withSession(r.Context(), a, nil))
}
