package middleware

import (
	"net/http"
	"time"
)

// postLogoutTime is what a browser may need at the server, where the user may be asked.
const postLogoutTime = 10 * time.Minute

// PostLogout stands before the page at Config.PostLogoutRedirectURL, which anybody can link to:
// next serves the browser alone that came from a logout of this application, once. Logout gave it
// a random `state`, also in a cookie of 10 minutes, and the server gives that back (OpenID
// Connect RP-Initiated Logout 1.0 2 and 3). Every other request for the page is sent to
// Config.DefaultPath, and changes nothing.
//
// It takes GET alone, and answers 405 otherwise; 404 where it stands before DefaultPath itself,
// which it cannot redirect to. A nil next answers 404. It is optional: without it a logout ends
// at the same page.
func (a *Authenticator) PostLogout(next http.Handler) http.Handler {
	next = orNotFound(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodGet || isPrefetch(r): // it would use the state up
			a.fail(w, r, methodNotAllowed(http.MethodGet))
		case a.cameFromLogout(r):
			a.cookies.remove(w.Header(), a.cookies.logout)
			w.Header().Set("Cache-Control", "no-store")
			next.ServeHTTP(w, withoutIdentity(r))
		case r.URL.RequestURI() == a.config.DefaultPath:
			a.fail(w, r, &problem{status: http.StatusNotFound, reason: "not_found", detail: "PostLogout stands before DefaultPath"})
		default:
			redirect(w, a.config.DefaultPath)
		}
	})
}

func (a *Authenticator) cameFromLogout(r *http.Request) bool {
	query, err := parseCallback(r.URL.RawQuery, maxCallbackQuery)
	if err != nil || len(query["state"]) != 1 || query["state"][0] == "" {
		return false
	}
	for i, c := range r.CookiesNamed(a.cookies.logout) {
		if i < maxCopies && sameSecret(c.Value, query["state"][0]) {
			return true
		}
	}
	return false
}
