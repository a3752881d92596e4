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
	"path"
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
func routes(c config, auth *middleware.Authenticator, log *slog.Logger) http.Handler {
	public := http.NewServeMux()
	public.HandleFunc("GET /{$}", home)
	public.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	users := http.NewServeMux()
	users.HandleFunc("GET /profile", profile)
	users.HandleFunc("GET /api/me", me)
	users.HandleFunc("GET /api/call", newAPICaller(c, auth, log).call)

	// Without a method: a stranger gets 401 for any, and only users learn which there are.
	mux := http.NewServeMux()
	mux.Handle("/profile", auth.RequireSession(users))
	mux.Handle("/api/me", auth.RequireSession(users))
	mux.Handle("/api/call", auth.RequireSession(users))
	mux.Handle("/healthz", public)
	mux.Handle("/{$}", auth.LoadSession(public))
	mux.Handle("/", auth.LoadSession(http.HandlerFunc(nothing)))
	return exactly(auth.Handler(mux))
}

// exactly gives each answer the headers of private, and refuses the paths that a ServeMux
// would redirect to a cleaner one, query and all.
func exactly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		private(w.Header())
		if !isClean(r.URL.Path) {
			http.NotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isClean holds for a path without dot segments and empty ones.
func isClean(p string) bool {
	clean := path.Clean(p)
	return p == clean || p == clean+"/" && clean != "/"
}

// private keeps an answer out of caches and out of the Referer header.
func private(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
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
	private(w.Header())
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the browser is gone
}
