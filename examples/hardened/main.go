// Command hardened is the web application of examples/webapp as a client of FAPI 2.0. It
// brings along its authorization server and its API, all over TLS, with keys and certificates that
// it makes at its start and throws away at its end:
//
//	go run ./examples/hardened
//
// and prints where to look. The part that matters to a reader is the function login.
package main

import (
	"crypto"
	"crypto/x509"
	"io"
	"log/slog"
	"net/http"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/examples/internal/serve"
	"github.com/acp-go/acp/examples/internal/site"
	"github.com/acp-go/acp/middleware"
)

func main() { serve.Main(run) }

// config is what embed makes.
type config struct {
	issuer, clientID         string
	key, dpopKey             crypto.Signer
	redirectURL, afterLogout string
	scopes                   []string
	cookieKeys               [][]byte
	apiURL                   string
	rootCAs                  *x509.CertPool
}

// login is that of examples/webapp, but for its first two lines: instead of a client
// secret there are a profile and two keys.
func login(c config, log *slog.Logger) (*acpclient.Client, *middleware.Authenticator, error) {
	client, err := acpclient.New(acpclient.Config{
		Profile: acpclient.FAPI2Security,
		Auth:    acpclient.PrivateKeyJWT{Key: c.key}, DPoP: &acpclient.DPoP{Key: c.dpopKey},
		Issuer: c.issuer, ClientID: c.clientID, RedirectURL: c.redirectURL,
		Scopes: c.scopes, RootCAs: c.rootCAs, Logger: log,
	})
	if err != nil {
		return nil, nil, err
	}
	auth, err := middleware.New(client, middleware.Config{
		CookieKeys: c.cookieKeys, PostLogoutRedirectURL: c.afterLogout, Development: true, Logger: log,
	})
	return client, auth, err
}

// routes are those of examples/webapp.
func routes(c config, auth *middleware.Authenticator) http.Handler {
	protected := func(h http.HandlerFunc) http.Handler { return auth.RequireSession(h) }
	mux := http.NewServeMux()
	mux.Handle("/profile", protected(site.Profile))
	mux.Handle("/api/me", protected(site.Me))
	mux.Handle("/api/call", protected(func(w http.ResponseWriter, r *http.Request) { call(w, r, c.apiURL) }))
	mux.Handle(site.AfterLogout, auth.PostLogout(http.HandlerFunc(site.Goodbye)))
	mux.HandleFunc("/healthz", serve.Health)
	mux.Handle("/{$}", auth.LoadSession(http.HandlerFunc(site.Home)))
	mux.Handle("/", auth.LoadSession(http.HandlerFunc(site.Nothing)))
	return serve.Exactly(auth.Handler(mux))
}

// call asks the API as the user. The client proves that it has the token's key, which is no
// matter of the application's.
func call(w http.ResponseWriter, r *http.Request, apiURL string) {
	request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, apiURL, nil)
	if err != nil {
		http.Error(w, "the API has no address", http.StatusInternalServerError)
		return
	}
	response, err := middleware.SessionFromContext(r.Context()).HTTPClient().Do(request)
	if err != nil {
		http.Error(w, "the API cannot be reached", http.StatusBadGateway)
		return
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		http.Error(w, "the API did not finish its answer", http.StatusBadGateway)
		return
	}
	serve.JSON(w, http.StatusOK, struct {
		Status int    `json:"status"`
		Body   string `json:"body"`
	}{response.StatusCode, string(body)})
}
