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
	next = orNotFound(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.with(w, r, func(r *http.Request, s *Session) {
			switch {
			case s != nil && isWebSocket(r) && !a.sameOrigin(r):
				a.fail(w, r, &problem{status: http.StatusForbidden, reason: "cross_origin", detail: "a WebSocket from another origin"})
			case s != nil:
				next.ServeHTTP(w, r)
			case isNavigation(r):
				redirect(w, a.loginURL(r))
			default:
				a.refuse(w, r, &problem{status: http.StatusUnauthorized, reason: "no_session"})
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
		a.with(w, r, func(r *http.Request, s *Session) {
			if s != nil && isWebSocket(r) && !a.sameOrigin(r) {
				r = r.WithContext(withSession(r.Context(), a, nil))
			}
			next.ServeHTTP(w, r)
		})
	})
}

// with finds the session of a request, in the context or in the cookies, for as long as
// serve runs.
func (a *Authenticator) with(w http.ResponseWriter, r *http.Request, serve func(*http.Request, *Session)) {
	if s, known := a.sessionIn(r.Context()); known {
		serve(r, s)
		return
	}
	s := a.load(w, r)
	h := w.Header()
	h.Add("Vary", "Cookie")
	if s != nil {
		h.Set("Cache-Control", "no-store")
		defer s.live.detach()
	}
	serve(r.WithContext(withSession(r.Context(), a, s)), s)
}
