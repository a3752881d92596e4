// Package site is the pages that the example applications share: a public one, and the profile of
// whoever is signed in.
package site

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/acp-go/acp/examples/internal/serve"
	"github.com/acp-go/acp/examples/internal/ui"
	"github.com/acp-go/acp/middleware"
)

//go:embed pages.html
var pageSource string

var pages = template.Must(template.New("pages").Funcs(template.FuncMap{
	"style": ui.Style,
	"initial": func(name string) string {
		r, _ := utf8.DecodeRuneInString(name)
		return string(r)
	},
	"clock": func(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") },
}).Parse(pageSource))

// visitor is what the pages know about the user; nil when nobody is signed in.
type visitor struct {
	Subject, Issuer string
	Name, Email     string
	Since, Until    time.Time
}

func visitorOf(r *http.Request) *visitor {
	session := middleware.SessionFromContext(r.Context())
	if session == nil {
		return nil
	}
	v := &visitor{Subject: session.Subject, Issuer: session.Issuer, Since: session.CreatedAt, Until: session.ExpiresAt}
	var claims struct {
		Name  string `json:"name"`
		Email string `json:"email"`
	}
	if session.Claims(&claims) == nil { // without openid there are no claims
		v.Name, v.Email = claims.Name, claims.Email
	}
	if v.Name == "" {
		v.Name = v.Subject
	}
	return v
}

// AfterLogout is where the authorization server sends the browser after a logout.
const AfterLogout = "/signed-out"

// Goodbye is for who comes from there.
func Goodbye(w http.ResponseWriter, _ *http.Request) { show(w, http.StatusOK, "goodbye", nil) }

// Home is for everybody.
func Home(w http.ResponseWriter, r *http.Request) { show(w, http.StatusOK, "home", visitorOf(r)) }

// Profile is for signed-in users: RequireSession stands before it.
func Profile(w http.ResponseWriter, r *http.Request) {
	show(w, http.StatusOK, "profile", visitorOf(r))
}

// Nothing is at every other address.
func Nothing(w http.ResponseWriter, r *http.Request) {
	show(w, http.StatusNotFound, "nothing", visitorOf(r))
}

func show(w http.ResponseWriter, status int, name string, v *visitor) {
	var body bytes.Buffer
	if err := pages.ExecuteTemplate(&body, name, v); err != nil {
		http.Error(w, "the page cannot be shown", http.StatusInternalServerError)
		return
	}
	// The sign-out form ends at the authorization server, wherever that leads to.
	ui.Secure(w.Header(), "", ui.Anywhere)
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // the browser is gone
}

// Me tells a script of the pages who is signed in.
func Me(w http.ResponseWriter, r *http.Request) {
	session := middleware.SessionFromContext(r.Context())
	serve.JSON(w, http.StatusOK, map[string]string{"sub": session.Subject})
}
