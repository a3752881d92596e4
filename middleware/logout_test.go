package middleware_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/acp-go/acp/acptest"
)

// Where a logout leads is the configuration's to say: nothing that the request brings is read.
func TestLogoutIgnoresItsParameters(t *testing.T) { // LO-04
	parameters := url.Values{
		"post_logout_redirect_uri": {"https://evil.example/"}, "return_to": {"/other"}, "state": {"evil"},
		"id_token_hint": {"evil"}, "client_id": {"evil"}, "logout_hint": {"evil"}, "redirect": {"//evil.example"},
	}
	for name, configured := range map[string]string{"configured": site + "/bye", "none": ""} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, func(s *setup) { s.config.PostLogoutRedirectURL = configured })
			a.login()
			p := a.browser.PostFrom(site+"/profile", site+"/logout?"+parameters.Encode(), parameters)
			location := p.Steps[0].ResponseHeader.Get("Location")
			to, err := url.Parse(location)
			if err != nil || p.Steps[0].Status != http.StatusSeeOther || !strings.HasPrefix(location, a.server.URL(acptest.LogoutEndpoint)+"?") {
				t.Fatalf("LO-04: %d to %q", p.Steps[0].Status, location)
			}
			q := to.Query()
			if strings.Contains(location, "evil") || q.Get("post_logout_redirect_uri") != configured || q.Has("post_logout_redirect_uri") != (configured != "") ||
				q.Has("state") != (configured != "") || q.Get("client_id") != a.server.ClientID || strings.Count(q.Get("id_token_hint"), ".") != 2 {
				t.Errorf("LO-04: to %s", location)
			}
			// Without a session there is nothing to end at the server.
			p = a.browser.PostFrom(site+"/profile", site+"/logout?"+parameters.Encode(), parameters)
			if got := p.Steps[0].ResponseHeader.Get("Location"); got != "/" {
				t.Errorf("LO-04: without a session to %q", got)
			}
		})
	}
}

// An ID token that makes too long a URL stays at home, and the logout works without it.
func TestLogoutWithLargeIDToken(t *testing.T) { // LO-06
	a := newApp(t, nil)
	groups := make([]any, 200)
	for i := range groups {
		groups[i] = strings.Repeat("g", 24)
	}
	a.server.OnIDToken(func(_, claims map[string]any) { claims["groups"] = groups })
	a.login()
	held := a.cookieHeader()
	p := a.browser.PostFrom(site+"/profile", site+"/logout", nil)
	location := p.Steps[0].ResponseHeader.Get("Location")
	to, err := url.Parse(location)
	if err != nil || len(location) > 4<<10 || to.Query().Has("id_token_hint") || to.Query().Get("client_id") != a.server.ClientID {
		t.Errorf("LO-06: %d bytes: %.300s", len(location), location)
	}
	if n := a.server.Count(acptest.LogoutEndpoint); n != 1 || p.Status() >= 400 {
		t.Errorf("LO-06: %d logout requests, the last answered %d", n, p.Status())
	}
	if code, _, _ := a.get("/profile", held); code != 303 || len(a.cookies(sessionPrefix)) != 0 {
		t.Errorf("LO-06: the session goes on: %d", code)
	}
}

// A server without logout: the session ends here, and the ID token goes nowhere.
func TestLogoutWithoutEndSessionEndpoint(t *testing.T) { // LO-07
	a := newApp(t, func(s *setup) { s.config.DefaultPath = "/public" })
	var idToken string
	a.server.OnMetadata(func(m map[string]any) { delete(m, "end_session_endpoint") })
	a.server.OnTokens(func(m map[string]any) { idToken, _ = m["id_token"].(string) })
	a.login()
	held, before := a.cookieHeader(), len(a.browser.Log())
	p := a.browser.PostFrom(site+"/profile", site+"/logout", nil)
	if p.URL().Path != "/public" || p.Body() != "nobody" || len(a.cookies(sessionPrefix)) != 0 {
		t.Errorf("LO-07: ended at %s as %q", p.URL(), p.Body())
	}
	if code, _, _ := a.get("/profile", held); code != 303 {
		t.Errorf("LO-07: the session goes on: %d", code)
	}
	for _, s := range a.browser.Log()[before:] {
		if text := everything(s); strings.Contains(text, idToken) || s.URL.Host != "app.example" {
			t.Errorf("LO-07: %s", s)
		}
	}
	if a.server.Count(acptest.LogoutEndpoint) != 0 || a.server.Count(acptest.OtherEndpoint) != 0 {
		t.Error("LO-07: the server's logout was asked all the same")
	}
	for _, r := range a.server.Requests(acptest.RevokeEndpoint) {
		if strings.Contains(string(r.Body), idToken) {
			t.Error("LO-07: the ID token went to the revocation endpoint")
		}
	}
	if strings.Contains(a.logs.String(), "goes on") {
		t.Errorf("LO-07: a warning about nothing: %s", a.logs)
	}
}
