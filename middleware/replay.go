package middleware

import "net/http"

// replay answers a callback that this process has used, without asking the server again.
// starter says that this browser still holds the login's cookie.
func (a *Authenticator) replay(w http.ResponseWriter, r *http.Request, p *presented, state string, starter bool, before *outcome) {
	returnTo, rec, err := before.wait(r.Context())
	var f found
	if err == nil && returnTo != "" {
		f, err = a.find(r.Context(), p)
	}
	switch {
	case err != nil:
		a.failAgain(w, r, state, err)
	case f.rec != nil:
		redirect(w, returnTo)
	case rec != nil && starter:
		// A reload while the first one was under way: the browser dropped that one's answer.
		if _, err := a.writeSession(w.Header(), p.held(), rec, a.now()); err != nil {
			a.fail(w, r, err)
			return
		}
		redirect(w, returnTo)
	default:
		a.fail(w, r, errReplayed)
	}
}

var errReplayed = invalidCallback("state_replayed", "this callback was used before")

// replayElsewhere answers a callback that this process cannot finish: where another one has, and
// the browser has a session, like replay. Nobody without a session makes it ask the Store.
func (a *Authenticator) replayElsewhere(w http.ResponseWriter, r *http.Request, p *presented, state string, refusal error) {
	if a.shelf == nil {
		a.fail(w, r, refusal)
		return
	}
	returnTo := ""
	f, err := a.find(r.Context(), p)
	if err == nil && f.rec != nil {
		returnTo, err = a.shelf.returnOf(r.Context(), state)
	}
	switch {
	case err != nil:
		a.fail(w, r, err)
	case returnTo != "":
		redirect(w, returnTo)
	default:
		a.fail(w, r, refusal)
	}
}
