package middleware

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/acp-go/acp/acpclient"
)

const (
	maxLogoutForm = 64 << 10
	logoutMemory  = 10 * time.Minute // for which a logout token's jti is remembered
)

// BackchannelLogout is where the authorization server ends sessions itself (OpenID Connect
// Back-Channel Logout 1.0): those of the `sid` that its logout token names, or all of its
// user. A session that is created afterwards lives. It answers 200, 400 for a bad or repeated
// token, and 503 while the Store or the server's keys do not answer, so that the server tries again.
//
// Sealed cookies cannot be found by a server: without a Store it answers 501, which is better than
// a 200 that does nothing.
func (a *Authenticator) BackchannelLogout(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method != http.MethodPost:
		a.fail(w, r, methodNotAllowed(http.MethodPost))
		return
	case a.shelf == nil:
		a.fail(w, r, &problem{status: http.StatusNotImplemented, reason: "no_store"})
		return
	}
	token, err := logoutTokenOf(w, r)
	if err == nil {
		err = a.endByServer(r, token)
	}
	if err != nil {
		a.refuseLogout(w, r, err)
		return
	}
	private(w.Header())
	w.WriteHeader(http.StatusOK)
}

// logoutTokenOf reads the one parameter, from the one place where it may be (2.5).
func logoutTokenOf(w http.ResponseWriter, r *http.Request) (string, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return "", &problem{status: http.StatusUnsupportedMediaType, reason: "media_type"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxLogoutForm))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return "", &problem{status: http.StatusRequestEntityTooLarge, reason: "too_large"}
	}
	form, bad := url.ParseQuery(string(body))
	tokens := form["logout_token"]
	if err != nil || bad != nil || len(tokens) != 1 || tokens[0] == "" || r.URL.Query().Has("logout_token") {
		return "", &problem{status: http.StatusBadRequest, reason: "logout_token", detail: "not one logout_token in the form"}
	}
	return tokens[0], nil
}

// endByServer judges a logout token and leaves its mark. A token that comes again marks the time
// at which it came first: a server whose answer was lost is sure of its logout, and a
// repetition ends no session of after the first one.
func (a *Authenticator) endByServer(r *http.Request, token string) error {
	now := a.now()
	t, err := a.client.VerifyLogoutToken(r.Context(), token)
	if err != nil {
		return err
	}
	ctx, until := context.WithoutCancel(r.Context()), now.Add(logoutMemory)
	at, err := a.shelf.firstSeen(ctx, onceToken("received", t.Issuer, t.ID), now, until)
	if err != nil {
		return err
	}
	k := markOf("sub", t.Issuer, t.Subject)
	if t.SessionID != "" {
		k = markOf("sid", t.Issuer, t.SessionID)
	}
	if err := a.shelf.mark(ctx, markToken(k), mark{at: at}, at.Add(a.config.AbsoluteTimeout)); err != nil {
		return err
	}
	added, err := a.shelf.storage.Add(ctx, onceToken("jti", t.Issuer, t.ID), until)
	if err == nil && !added { // 2.6 (8)
		err = &problem{status: http.StatusBadRequest, reason: "logout_replayed", detail: "this logout token came before", kind: acpclient.ErrInvalidToken}
	}
	return err
}

// refuseLogout answers as 2.8 has it: the server learns no more than that it failed.
func (a *Authenticator) refuseLogout(w http.ResponseWriter, r *http.Request, err error) {
	f := newFailure(err)
	if errors.Is(err, acpclient.ErrInvalidToken) {
		f.Status, f.RetryAfter = http.StatusBadRequest, 0
	} else if f.Status == http.StatusBadGateway {
		f.Status, f.RetryAfter = http.StatusServiceUnavailable, defaultRetryAfter
	}
	logFailure(a.config.Logger, r, f)
	f.setHeaders(w.Header())
	if f.Status == http.StatusBadRequest {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(f.Status)
		io.WriteString(w, `{"error":"invalid_request"}`)
		return
	}
	writeProblem(w, f)
}
