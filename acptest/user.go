package acptest

import (
	"net/http"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/middleware"
	"golang.org/x/oauth2"
)

// UserIssuer is the issuer of the users that WithUser signs in.
const UserIssuer = "https://acptest.example/acme/demo"

// WithUser returns a request on which this user is signed in, for tests of handlers behind
// middleware.RequireSession or LoadSession: no server, no cookie. claims are added to those of the
// ID token (iss, sub, aud, exp, iat, auth_time), or replace them; a nil value takes
// one away. The access token is the string "test-access-token", good for an hour.
func WithUser(r *http.Request, subject string, claims map[string]any) *http.Request {
	now := time.Now()
	all := map[string]any{
		"iss": UserIssuer, "sub": subject, "aud": "test-client",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "auth_time": now.Unix(),
	}
	override(all, claims)
	tokens := &acpclient.Tokens{
		Token:   &oauth2.Token{AccessToken: "test-access-token", TokenType: "bearer", Expiry: now.Add(time.Hour)},
		IDToken: NewKey("ES256").Sign(nil, all),
		Scopes:  []string{"openid"},
	}
	return r.WithContext(middleware.ContextWithTokens(r.Context(), tokens))
}

// WithBearer returns a copy of a request that carries an access token, and no other credentials.
func WithBearer(r *http.Request, token string) *http.Request {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

// SignIn signs a user in at an application through the real flow: a new browser opens the address, which is
// the application's login or a page that leads there, is sent to the server, and comes back. app answers the
// origin of the address without a network; nil means that the application really listens there. The test
// fails when the flow does not pass this server, or ends anywhere but on a good page of the
// application. The user stays the server's user, as after SetUser; the zero value is alice.
func (s *Server) SignIn(app http.Handler, address string, user User) (*Browser, *Page) {
	s.t.Helper()
	b := s.Browser()
	home := origin(b.parse(address))
	if app != nil {
		b.Mount(home, app)
	}
	s.SetUser(user)
	page := b.Navigate(address)
	passed := false
	for _, step := range page.Steps {
		passed = passed || origin(step.URL) == s.http.URL && step.URL.Path == s.path+paths[AuthorizeEndpoint]
	}
	switch {
	case !passed:
		s.t.Errorf("acptest: %s does not lead to the authorize endpoint, it ends with %v", address, page.Last())
	case origin(page.URL()) != home || page.Status() >= 400:
		s.t.Errorf("acptest: the login ends with %v, and not on a good page of %s", page.Last(), home)
	}
	return b, page
}
