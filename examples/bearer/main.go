// Command bearer is the smallest API that takes access tokens. Its protection is the seven
// lines that the README shows.
package main

import (
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"os"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/middleware"
)

func main() {
	log.Fatal(http.ListenAndServe("127.0.0.1:8081", api()))
}

func api() http.Handler {
	verifier, err1 := acpclient.NewVerifier(acpclient.VerifierConfig{Issuer: os.Getenv("ISSUER"), Audience: os.Getenv("AUDIENCE")})
	read, err2 := middleware.RequireBearer(verifier, &middleware.BearerOptions{Scopes: []string{"things.read"}})
	if err := errors.Join(err1, err2); err != nil {
		log.Fatal(err)
	}
	http.Handle("GET /things", read(http.HandlerFunc(things)))
	return http.DefaultServeMux
}

func things(w http.ResponseWriter, r *http.Request) {
	user := middleware.AccessTokenFromContext(r.Context())
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"owner": user.Subject, "things": []string{"a teapot"}})
}
