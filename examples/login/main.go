// Command login is the smallest web application that logs its users in. Its login is
// the twelve lines that the README shows.
package main

import (
	"encoding/base64"
	"fmt"
	"html"
	"log"
	"net/http"
	"os"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/middleware"
)

func main() {
	cookieKey, err := base64.StdEncoding.DecodeString(os.Getenv("COOKIE_KEY"))
	if err != nil {
		log.Fatal("COOKIE_KEY: ", err)
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", application(cookieKey)))
}

func application(cookieKey []byte) http.Handler {
	client, err := acpclient.New(acpclient.Config{
		Issuer: os.Getenv("ISSUER"), ClientID: os.Getenv("CLIENT_ID"), Auth: acpclient.Secret(os.Getenv("CLIENT_SECRET")),
		RedirectURL: "http://127.0.0.1:8080/callback", Scopes: []string{"openid", "profile"}})
	if err != nil {
		log.Fatal(err)
	}
	auth, err := middleware.New(client, middleware.Config{CookieKeys: [][]byte{cookieKey}})
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("/profile", auth.RequireSession(http.HandlerFunc(profile)))
	return auth.Handler(http.DefaultServeMux)
}

func profile(w http.ResponseWriter, r *http.Request) {
	user := middleware.SessionFromContext(r.Context())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, `<p>Hello, %s.</p><form method="post" action="/logout"><button>Sign out</button></form>`, html.EscapeString(user.Subject))
}
