package main

import (
	"log/slog"
	"net/http"

	"github.com/acp-go/acp/middleware"
)

// apiCaller calls the API on behalf of the signed-in user.
type apiCaller struct {
	config config
	auth   *middleware.Authenticator
	log    *slog.Logger
	client *http.Client
}

func newAPICaller(c config, auth *middleware.Authenticator, log *slog.Logger) *apiCaller {
	return &apiCaller{config: c, auth: auth, log: log, client: c.BearerClient()}
}

// call asks the API with the user's access token, which is refreshed first when
// it has expired, and shows what the API answered.
func (a *apiCaller) call(w http.ResponseWriter, r *http.Request) {
	token, err := middleware.SessionFromContext(r.Context()).AccessToken(r.Context())
	if err != nil {
		a.auth.WriteError(w, r, err) // says whether to sign in again or to come back later
		return
	}
	a.config.ShowAPI(w, r, a.client, token, a.log)
}
