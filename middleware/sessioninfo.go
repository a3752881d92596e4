package middleware

import (
	"encoding/json"
	"net/http"
	"time"
)

// SessionInfo answers who the user is, and for how long, to a page that asks from time to
// time: as JSON, with "iss", "sub", and in whole seconds "expires_in", the time until the
// session ends at the latest, and "idle_expires_in", the time until it ends without use. To ask is no use:
// it prolongs nothing. Without a session it answers 401, to other methods than GET 405.
// It never tells a token.
func (a *Authenticator) SessionInfo(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		a.fail(w, r, methodNotAllowed(http.MethodGet))
		return
	}
	w.Header().Add("Vary", "Cookie")
	p := a.cookies.read(r)
	ticket, _, ok := a.join(p)
	f, err := a.find(r.Context(), p)
	switch {
	case err != nil:
		a.fail(w, r, err)
		return
	case f.rec == nil || !ok:
		a.refuse(w, r, &problem{status: http.StatusUnauthorized, reason: "no_session"})
		return
	}
	now, s := a.now(), a.newSession(f.rec)
	body, _ := json.Marshal(struct { // cannot fail
		Issuer      string `json:"iss"`
		Subject     string `json:"sub"`
		Expires     int64  `json:"expires_in"`
		IdleExpires int64  `json:"idle_expires_in"`
	}{s.Issuer, s.Subject, int64(s.ExpiresAt.Sub(now) / time.Second), int64(a.end(ticket).Sub(now) / time.Second)})
	private(w.Header())
	w.Header().Set("Content-Type", "application/json")
	w.Write(body)
}
