// Command hardened is the web application of examples/webapp as a client of FAPI 2.0.
//
// Without any configuration it brings along its authorization server and its API, all over TLS, with keys
// and certificates that it makes at its start and throws away at its end:
//
//	go run ./examples/hardened
//
// and prints where to look. With ACP_ISSUER it uses that server; config.go lists the variables. The part that
// matters to a reader is the function login.
package main

import (
	"log/slog"
	"net/http"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/examples/internal/serve"
	"github.com/acp-go/acp/examples/internal/site"
	"github.com/acp-go/acp/middleware"
)

func main() { serve.Main(run) }

// login is that of examples/webapp, but for its first line: there are a profile, and keys.
func login(c config, log *slog.Logger) (*acpclient.Client, *middleware.Authenticator, error) {
	client, err := acpclient.New(acpclient.Config{
		Profile: c.profile, DPoP: c.dpop, Certificate: c.certificate, RequestObject: c.requestObject,
		Issuer: c.Issuer, ClientID: c.ClientID, Auth: c.auth, RedirectURL: c.RedirectURL,
		Scopes: c.Scopes, ResponseMode: c.ResponseMode, RootCAs: c.RootCAs, Logger: log,
	})
	if err != nil {
		return nil, nil, err
	}
	auth, err := middleware.New(client, middleware.Config{
		CookieKeys: c.CookieKeys, Store: c.Store, Lease: c.Lease, PostLogoutRedirectURL: c.AfterLogout,
		Development: c.Development, Logger: log,
	})
	return client, auth, err
}

// routes are those of examples/webapp.
func routes(c config, auth *middleware.Authenticator, log *slog.Logger) http.Handler {
	protected := func(h http.HandlerFunc) http.Handler { return auth.RequireSession(h) }
	mux := http.NewServeMux()
	mux.Handle("/profile", protected(site.Profile))
	mux.Handle("/api/me", protected(site.Me))
	mux.Handle("/api/call", protected(c.API(caller(c, auth, log))))
	mux.Handle(site.AfterLogout, auth.PostLogout(http.HandlerFunc(site.Goodbye)))
	mux.HandleFunc("/healthz", serve.Health)
	mux.Handle("/{$}", auth.LoadSession(http.HandlerFunc(site.Home)))
	mux.Handle("/", auth.LoadSession(http.HandlerFunc(site.Nothing)))
	return serve.Exactly(auth.Handler(mux))
}

// caller asks the API as the user. That the client has the key or the certificate of the token is proven by HTTPClient.
func caller(c config, auth *middleware.Authenticator, log *slog.Logger) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		session := middleware.SessionFromContext(r.Context())
		if _, err := session.AccessToken(r.Context()); err != nil {
			auth.WriteError(w, r, err)
			return
		}
		c.ShowAPI(w, r, session.HTTPClient(), "", log)
	}
}
