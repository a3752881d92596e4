package middleware_test

import (
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
