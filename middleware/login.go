package middleware

import (
	"net/http"

	"github.com/acp-go/acp/acpclient"
)

// Login sends the browser to the authorization server. It takes one parameter,
// return_to, a path of this application to come back to; anything else in the query is
// ignored. Only a navigation starts a login: everything else is answered 401.
//
// It waits for the server's metadata where that is not known yet, 5 s at most, and as long for
// its answer where the request is pushed (RFC 9126).
func (a *Authenticator) Login(w http.ResponseWriter, r *http.Request) {
	if !isNavigation(r) {
		a.refuse(w, r, &problem{status: http.StatusUnauthorized, reason: "not_a_navigation"})
		return
	}
	if !a.knowsIssuer(r) {
		a.fail(w, r, &problem{status: http.StatusBadRequest, reason: "issuer_mismatch", detail: "a login at another issuer was asked for"})
		return
	}
	options := *a.config.Authorize
	options.ReturnTo = a.returnPath(r)
	a.leave(w, r, &options, &StepUp{})
}

// leave sends the browser to the authorization server, to come back with what is needed.
func (a *Authenticator) leave(w http.ResponseWriter, r *http.Request, o *acpclient.AuthorizeOptions, need *StepUp) {
	if a.refresher.isClosed() {
		a.fail(w, r, acpclient.ErrClosed)
		return
	}
	location, flow, err := a.client.Authorize(r.Context(), o)
	if err == nil {
		err = a.beginTransaction(w, r, flow, need)
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	redirect(w, location)
}

// knowsIssuer judges a login that a third party starts (OIDC Core 4): `iss`, where it is
// sent, names our server. Its other parameters are ignored like any.
func (a *Authenticator) knowsIssuer(r *http.Request) bool {
	for _, iss := range r.URL.Query()["iss"] {
		if iss != a.issuer && iss != a.expectedIssuer {
			return false
		}
	}
	return true
}
