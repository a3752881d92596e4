package localacp

import (
	"bytes"
	_ "embed"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"unicode/utf8"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"github.com/acp-go/acp/examples/internal/ui"
)

//go:embed pages.html
var pageSource string

// postScript sends the form of the form_post page at once. The page has a
// button for browsers without scripts.
const postScript = "document.forms[0].submit()"

var pages = template.Must(template.New("pages").Funcs(template.FuncMap{
	"style":  ui.Style,
	"script": func() template.JS { return postScript },
	"initial": func(name string) string {
		r, _ := utf8.DecodeRuneInString(name)
		return string(r)
	},
}).Parse(pageSource))

type loginPage struct {
	Client, Action, Hint string
	Wrong                bool
	Users                []User
}

type consentPage struct {
	Client, Action, Target string
	User                   User
	Scopes                 []Scope
}

func (s *Server) showLogin(w http.ResponseWriter, page loginPage, login *goidc.AuthnSession) (goidc.Status, error) {
	return goidc.StatusPending, show(w, http.StatusOK, "login", page, "", login.RedirectURI)
}

func (s *Server) showConsent(w http.ResponseWriter, page consentPage, login *goidc.AuthnSession) (goidc.Status, error) {
	return goidc.StatusPending, show(w, http.StatusOK, "consent", page, "", login.RedirectURI)
}

func (s *Server) showSignOut(w http.ResponseWriter, action string, user User, session *goidc.LogoutSession) {
	_ = show(w, http.StatusOK, "signout", struct { // show has answered with its error
		Action string
		User   User
	}{action, user}, "", session.PostLogoutRedirectURI)
}

// formPostPage posts the parameters to the client (OAuth 2.0 Form Post Response Mode).
func (s *Server) formPostPage(w http.ResponseWriter, target *url.URL, added url.Values) {
	// The redirect URI's own query stays in its URL; the library has merged both.
	own := *target
	params := url.Values{}
	keep := url.Values{}
	for name, values := range added {
		if responseParameters[name] {
			params[name] = values
		} else {
			keep[name] = values
		}
	}
	own.RawQuery = keep.Encode()
	_ = show(w, http.StatusOK, "formpost", struct { // show has answered with its error
		Action string
		Params url.Values
	}{own.String(), params}, postScript, own.String())
}

var responseParameters = map[string]bool{
	"code": true, "state": true, "iss": true, "error": true, "error_description": true,
	"error_uri": true, "error_cause": true, "trace_id": true,
}

func (s *Server) errorPage(w http.ResponseWriter, r *http.Request, status int, text string) {
	_ = show(w, status, "error", struct{ Text, Trace string }{text, noteOf(r.Context()).trace}, "") // show has answered
}

func (s *Server) messagePage(w http.ResponseWriter, status int, title, text string) {
	_ = show(w, status, "message", struct{ Title, Text string }{title, text}, "") // show has answered
}

func show(w http.ResponseWriter, status int, name string, data any, script string, formTargets ...string) error {
	var body bytes.Buffer
	if err := pages.ExecuteTemplate(&body, name, data); err != nil {
		http.Error(w, "the page cannot be shown", http.StatusInternalServerError)
		return err
	}
	ui.Secure(w.Header(), script, formTargets...)
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // the browser is gone
	return nil
}

func errorOf(err error) (goidc.Error, bool) {
	var refusal goidc.Error
	return refusal, errors.As(err, &refusal)
}
