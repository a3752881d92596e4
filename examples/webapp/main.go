// Command webapp is a web application whose users sign in at Cloudentity ACP.
//
// Without any configuration it brings its own ACP-shaped server and API:
//
//	go run ./examples/webapp
//
// and prints where to look. With ACP_ISSUER it uses that server; config.go lists
// the variables. The part that matters to a reader is the function login below.
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

// login is all that signing in takes: a client of the authorization server, and
// an authenticator around the application's own handlers.
func login(c config, log *slog.Logger) (*acpclient.Client, *middleware.Authenticator, error) {
	client, err := acpclient.New(acpclient.Config{
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

// routes is the application: public pages, pages for signed-in users, and around
// both the authenticator, which serves /login, the callback, /logout and
// /backchannel-logout itself.
func routes(c config, auth *middleware.Authenticator, log *slog.Logger) http.Handler {
	public := http.NewServeMux()
	public.HandleFunc("GET /{$}", site.Home)
	public.HandleFunc("GET /healthz", serve.Health)
	users := http.NewServeMux()
	users.HandleFunc("GET /profile", site.Profile)
	users.HandleFunc("GET /api/me", site.Me)
	users.HandleFunc("GET /api/call", c.API(newAPICaller(c, auth, log).call))

	// Without a method: a stranger gets 401 for any, and only users learn which there are.
	mux := http.NewServeMux()
	mux.Handle("/profile", auth.RequireSession(users))
	mux.Handle("/api/me", auth.RequireSession(users))
	mux.Handle("/api/call", auth.RequireSession(users))
	mux.Handle(site.AfterLogout, auth.PostLogout(http.HandlerFunc(site.Goodbye)))
	mux.Handle("/healthz", public)
	mux.Handle("/{$}", auth.LoadSession(public))
	mux.Handle("/", auth.LoadSession(http.HandlerFunc(site.Nothing)))
	return serve.Exactly(auth.Handler(mux))
}
