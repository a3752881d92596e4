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
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/middleware"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// login is all that signing in takes: a client of the authorization server, and
// an authenticator around the application's own handlers.
func login(c config, log *slog.Logger) (*acpclient.Client, *middleware.Authenticator, error) {
	client, err := acpclient.New(acpclient.Config{
		Issuer: c.issuer, ClientID: c.clientID, Auth: c.auth, RedirectURL: c.redirectURL,
		Scopes: c.scopes, ResponseMode: c.responseMode, RootCAs: c.rootCAs, Logger: log,
	})
	if err != nil {
		return nil, nil, err
	}
	auth, err := middleware.New(client, middleware.Config{
		CookieKeys: c.cookieKeys, PostLogoutRedirectURL: c.afterLogout,
		Development: c.development, Logger: log,
	})
	return client, auth, err
}

// routes is the application: public pages, pages for signed-in users, and around
// both the authenticator, which serves /login, the callback, /logout and
// /backchannel-logout itself.
func routes(c config, auth *middleware.Authenticator) http.Handler {
	api := newAPICaller(c, auth)
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", auth.LoadSession(http.HandlerFunc(home)))
	mux.Handle("GET /", auth.LoadSession(http.HandlerFunc(nothing)))
	mux.Handle("GET /profile", auth.RequireSession(http.HandlerFunc(profile)))
	mux.Handle("GET /api/me", auth.RequireSession(http.HandlerFunc(me)))
	mux.Handle("GET /api/call", auth.RequireSession(http.HandlerFunc(api.call)))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	return auth.Handler(mux)
}

// me tells a script of the page who is signed in.
func me(w http.ResponseWriter, r *http.Request) {
	session := middleware.SessionFromContext(r.Context())
	writeJSON(w, http.StatusOK, map[string]string{"sub": session.Subject})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	write(w, "application/json", status, v)
}

func write(w http.ResponseWriter, contentType string, status int, v any) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the browser is gone
}
