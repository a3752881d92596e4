package middleware_test

import (
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/middleware"
)

func ExampleRequireBearer() {
	verifier, err := acpclient.NewVerifier(acpclient.VerifierConfig{Issuer: "https://acme.example/acme/demo", Audience: "https://api.example"})
	if err != nil {
		log.Fatal(err)
	}
	read, err := middleware.RequireBearer(verifier, &middleware.BearerOptions{
		Scopes: []string{"things.read"}, Resource: "https://api.example", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	metadata, err := middleware.ProtectedResource(middleware.ResourceMetadata{
		Resource: "https://api.example", AuthorizationServers: []string{"https://acme.example/acme/demo"},
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /things", read(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "hello ", middleware.AccessTokenFromContext(r.Context()).Subject)
	})))
	mux.Handle("/.well-known/oauth-protected-resource", metadata)

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/things", nil))
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))

	w = httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/.well-known/oauth-protected-resource", nil))
	fmt.Println(w.Code, w.Body)
	// Output:
	// 401 Bearer resource_metadata="https://api.example/.well-known/oauth-protected-resource"
	// 200 {"resource":"https://api.example","authorization_servers":["https://acme.example/acme/demo"],"bearer_methods_supported":["header"]}
}

// A page where users see their sessions, and end the others one by one.
func ExampleAuthenticator_Sessions() {
	var auth *middleware.Authenticator // of middleware.New, with a Store

	list := func(w http.ResponseWriter, r *http.Request) {
		user := middleware.SessionFromContext(r.Context())
		sessions, err := auth.Sessions(r.Context(), user.Issuer, user.Subject)
		if err != nil {
			auth.WriteError(w, r, err)
			return
		}
		for _, s := range sessions {
			fmt.Fprintln(w, s.ID, s.CreatedAt, "this one:", s.ID == user.ID())
		}
	}
	end := func(w http.ResponseWriter, r *http.Request) {
		user := middleware.SessionFromContext(r.Context())
		// An id that is not one of this user's ends nothing.
		err := auth.EndSession(r.Context(), user.Issuer, user.Subject, r.PostFormValue("id"))
		if err != nil && !errors.Is(err, middleware.ErrSessionEnded) {
			auth.WriteError(w, r, err)
			return
		}
		http.Redirect(w, r, "/sessions", http.StatusSeeOther)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sessions", list)
	mux.HandleFunc("POST /sessions", end)
	protected := http.NewCrossOriginProtection().Handler(auth.RequireSession(mux))
	http.Handle("/sessions", protected)
}
