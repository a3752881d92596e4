package middleware

import (
	"net/http"

	"github.com/acp-go/acp/acpclient"
)

// FrontchannelLogout is where the authorization server sends the browser, in a frame of
// its own page, to end a session (OpenID Connect Front-Channel Logout 1.0 3): register its
// address with session_required. It ends the sessions of the `sid` in the query, which only who has
// seen an ID token of that session knows, and nothing else: no cookie reaches such a frame, and no
// token is revoked, because nobody proves to be the server. Where the server offers it,
// BackchannelLogout is better.
//
// It needs a Store, and answers 501 without. It is not among the paths of Handler.
func (a *Authenticator) FrontchannelLogout(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method != http.MethodGet || isPrefetch(r):
		a.fail(w, r, methodNotAllowed(http.MethodGet))
		return
	case a.shelf == nil:
		a.fail(w, r, &problem{status: http.StatusNotImplemented, reason: "no_store"})
		return
	}
	query, err := parseCallback(r.URL.RawQuery, maxCallbackQuery)
	if err == nil {
		iss, sid := query["iss"], query["sid"]
		switch {
		case len(iss) != 1 || len(sid) != 1 || sid[0] == "":
			err = invalidLogout("not one iss and one sid in the query")
		case iss[0] != a.expectedIssuer:
			err = invalidLogout("another issuer's session")
		default:
			now := a.now()
			err = a.shelf.mark(r.Context(), markToken(markOf("sid", iss[0], sid[0])), mark{at: now}, now.Add(a.config.AbsoluteTimeout))
		}
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	private(w.Header())
	w.WriteHeader(http.StatusOK)
}

func invalidLogout(detail string) error {
	return &problem{status: http.StatusBadRequest, reason: "logout_token", detail: detail, kind: acpclient.ErrInvalidToken}
}
