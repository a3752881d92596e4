package middleware

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"

	"github.com/acp-go/acp/acpclient"
)

// Logout ends the session: here at once, then at the authorization server, where the browser is
// sent. It takes POST alone, from a page of this application, and answers 405 or 403 otherwise;
// the session then stays. The refresh token is revoked. None of what the server fails to do keeps
// the user signed in here. It waits for the server, 4 s at most. Where the Store does not answer
// it answers 503: the browser is signed out, and this process goes on telling the Store, until
// Close, so that no other process serves the session.
func (a *Authenticator) Logout(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		a.fail(w, r, methodNotAllowed(http.MethodPost))
		return
	}
	if !a.fromOurPage(r) {
		a.fail(w, r, &problem{status: http.StatusForbidden, reason: "cross_origin", detail: "a logout from another site"})
		return
	}
	p := a.cookies.read(r)
	a.clearSession(w.Header(), p.held())
	for _, tx := range p.txs {
		a.cookies.remove(w.Header(), a.cookies.tx+tx.id)
	}
	f, err := a.find(r.Context(), p)
	rec := f.rec
	if ticket, _, ok := a.join(p); ok && err != nil {
		rec = ticket // known by its cookie alone: it can be ended all the same
	}
	if rec != nil {
		ending, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 2*storeTimeout)
		defer cancel()
		newest := a.refresher.end(rec, everyGeneration)
		if a.shelf != nil {
			err = a.endStored(ending, rec)
		}
		rec = newest
	}
	if err != nil {
		// This process serves the session no more, and the browser lost it; another process may,
		// until the store knows.
		a.fail(w, r, err)
		return
	}
	location := a.config.DefaultPath
	if rec != nil {
		location = a.endAtServer(w.Header(), r, rec.tokens())
	}
	redirect(w, location)
}

// fromOurPage asks for the browser's own word, Sec-Fetch-Site, and looks at Origin, too. A
// page with the policy no-referrer sends the origin "null", as any sandboxed frame does: the
// form that signs out stands on a page with the policy same-origin.
func (a *Authenticator) fromOurPage(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return a.sameOrigin(r)
	}
	return false
}

// endAtServer revokes the tokens, and returns where the browser ends its session at the
// server. A browser that leaves does not stop it.
func (a *Authenticator) endAtServer(h http.Header, r *http.Request, t *acpclient.Tokens) string {
	ctx := context.WithoutCancel(r.Context())
	revoke, cancel := context.WithTimeout(ctx, revokeTimeout)
	defer cancel()
	if err := a.client.Revoke(revoke, t); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		a.logoutWarning(r, "acp: logout: the refresh token was not revoked", err)
	}
	find, cancel := context.WithTimeout(ctx, revokeTimeout)
	defer cancel()
	o := &acpclient.LogoutOptions{PostLogoutRedirectURL: a.config.PostLogoutRedirectURL}
	if o.PostLogoutRedirectURL != "" {
		o.State = rand.Text()
	}
	location, err := a.client.LogoutURL(find, t, o)
	if err != nil {
		if !errors.Is(err, errors.ErrUnsupported) {
			a.logoutWarning(r, "acp: logout: the session at the server goes on", err)
		}
		return a.config.DefaultPath
	}
	if o.State != "" {
		a.cookies.set(h, a.cookies.logout, o.State, postLogoutTime) // for PostLogout
	}
	return location
}

func (a *Authenticator) logoutWarning(r *http.Request, message string, err error) {
	a.config.Logger.LogAttrs(r.Context(), slog.LevelWarn, message,
		slog.String("reason", clean(reasonOf(err))), slog.String("error", logText(err)))
}
