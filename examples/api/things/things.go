// Package things is the example API: a few routes, and what each asks of a token.
package things

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/acp-go/acp/examples/internal/serve"
	"github.com/acp-go/acp/middleware"
)

// Scopes are those that the API knows.
var Scopes = []string{"things.read", "things.write"}

// ACR and MaxAge are the sign-in that GET /transfer asks for: with a second factor, and no
// longer ago than that.
const (
	ACR    = "urn:acp:mfa"
	MaxAge = 300 * time.Second
)

// Options describe the API to its callers. The zero value says nothing.
type Options struct {
	Resource string       // the API's identifier (RFC 9728); "": no metadata
	Issuers  []string     // whose tokens it takes, for the metadata
	Logger   *slog.Logger // takes a line for each refusal; nil is slog.Default()

	DPoP *middleware.DPoPOptions // takes bound tokens, too (RFC 9449); nil refuses them
}

// New returns the API's handler:
//
//	GET  /things    needs the scope things.read
//	POST /things    needs the scope things.write
//	GET  /transfer  needs a strong and fresh sign-in (RFC 9470)
//	GET  /healthz   and the metadata of RFC 9728 need no token
//
// The verifier may be one of several issuers (acpclient.Issuers).
func New(verifier middleware.TokenVerifier, o Options) (http.Handler, error) {
	require := func(needs middleware.BearerOptions) (func(http.Handler) http.Handler, error) {
		needs.Resource, needs.Logger, needs.DPoP = o.Resource, o.Logger, o.DPoP
		return middleware.RequireBearer(verifier, &needs)
	}
	read, err1 := require(middleware.BearerOptions{Scopes: []string{"things.read"}})
	write, err2 := require(middleware.BearerOptions{Scopes: []string{"things.write"}})
	transfer, err3 := require(middleware.BearerOptions{ACRValues: []string{ACR}, MaxAge: new(MaxAge)})
	metadata, err4 := metadata(o)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /things", read(http.HandlerFunc(caller)))
	mux.Handle("POST /things", withForm(write(http.HandlerFunc(caller))))
	mux.Handle("GET /transfer", transfer(http.HandlerFunc(caller)))
	mux.HandleFunc("GET /healthz", serve.Health)
	mux.Handle("/.well-known/oauth-protected-resource", metadata)
	mux.Handle("/.well-known/oauth-protected-resource/", metadata)
	return serve.Exactly(mux), nil
}

// withForm reads a form before the protector looks, which then sees a second token in it,
// beside the one in the header (RFC 6750 2).
func withForm(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		_ = r.ParseForm() // nobody here needs what cannot be read
		next.ServeHTTP(w, r)
	})
}

func metadata(o Options) (http.Handler, error) {
	if o.Resource == "" {
		return http.NotFoundHandler(), nil
	}
	return middleware.ProtectedResource(middleware.ResourceMetadata{
		Resource: o.Resource, AuthorizationServers: o.Issuers, ScopesSupported: Scopes, ResourceName: "Example API",
	})
}

// caller answers with whom the token names. A protector stands before it.
func caller(w http.ResponseWriter, r *http.Request) {
	token := middleware.AccessTokenFromContext(r.Context())
	serve.JSON(w, http.StatusOK, struct {
		Subject  string   `json:"sub"`
		ClientID string   `json:"client_id"`
		Scopes   []string `json:"scopes"`
	}{token.Subject, token.ClientID, append([]string{}, token.Scopes...)}) // [] for none, never null
}
