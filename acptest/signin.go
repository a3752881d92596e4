package acptest

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sessionCookie keeps a user signed in at the server. Its name has no prefix, so that
// it also works over http.
const sessionCookie = "acptest_sso"

type session struct {
	user     User
	authTime time.Time
}

// pendingSignIn is an authorize request that waits for the user.
type pendingSignIn struct {
	a        *Authorization
	signedIn bool
}

// interact answers an authorize request with the pages of Options.Interactive.
func (s *Server) interact(a *Authorization, r Request) *Response {
	prompts := splitScope(a.Params.Get("prompt"))
	s.mu.Lock()
	current, signedIn := s.state.sessions[cookieOf(r, sessionCookie)]
	s.mu.Unlock()
	if age, err := strconv.Atoi(a.Params.Get("max_age")); err == nil && s.now().Sub(current.authTime) > time.Duration(age)*time.Second {
		signedIn = false
	}
	if slices.Contains(prompts, "login") {
		signedIn = false
	}
	if slices.Contains(prompts, "none") {
		switch {
		case !signedIn:
			a.denied("login_required")
		default:
			a.User, a.AuthTime = current.user, current.authTime
		}
		return s.decide(a, http.StatusFound)
	}
	p := &pendingSignIn{a: a, signedIn: signedIn}
	if signedIn {
		a.User, a.AuthTime = current.user, current.authTime
	}
	return s.nextPage(random(), p)
}

// nextPage shows what is still to be asked, or sends the browser back.
func (s *Server) nextPage(id string, p *pendingSignIn) *Response {
	s.mu.Lock()
	s.state.pending[id] = p
	s.mu.Unlock()
	switch {
	case !p.signedIn:
		return s.page(id, "Sign in", `<label>User <input name="username" autofocus></label> <button name="action" value="signin">Sign in</button>`)
	case len(p.a.Scopes) > 0: // ACP asks nothing when there is no scope to grant
		return s.page(id, "Allow access", fmt.Sprintf(`<p>%s asks for: %s</p>
<button name="action" value="accept">Allow</button> <button name="action" value="reject">Refuse</button>`,
			html.EscapeString(p.a.ClientID), html.EscapeString(strings.Join(p.a.Scopes, ", "))))
	}
	s.mu.Lock()
	delete(s.state.pending, id)
	s.mu.Unlock()
	return s.decide(p.a, http.StatusSeeOther)
}

func (s *Server) page(id, title, fields string) *Response {
	body := fmt.Sprintf(`<!DOCTYPE html><html><head><title>%s</title></head><body><h1>%s</h1>
<form method="post" action="%s"><input type="hidden" name="transaction" value="%s">%s</form></body></html>
`, title, title, html.EscapeString(s.URL(SignInEndpoint)), id, fields)
	res := response(http.StatusOK, "text/html; charset=utf-8", []byte(body))
	res.Header.Set("Cache-Control", "no-store")
	return res
}

// signIn takes the forms of both pages.
func (s *Server) signIn(r Request) *Response {
	id := r.Form.Get("transaction")
	s.mu.Lock()
	p, ok := s.state.pending[id]
	delete(s.state.pending, id)
	s.mu.Unlock()
	if r.Method != http.MethodPost || !ok {
		return errorPage(http.StatusBadRequest, "invalid_request", "this page is no longer valid")
	}
	switch r.Form.Get("action") {
	case "signin":
		return s.signedIn(id, p, r.Form.Get("username"))
	case "accept":
		return s.decide(p.a, http.StatusSeeOther)
	case "reject":
		p.a.denied("rejected")
		return s.callback(p.a, http.StatusSeeOther)
	}
	return errorPage(http.StatusBadRequest, "invalid_request", "unknown action")
}

func (s *Server) signedIn(id string, p *pendingSignIn, name string) *Response {
	i := slices.IndexFunc(s.opts.Users, func(u User) bool { return u.withDefaults().Subject == name })
	if i < 0 {
		return s.nextPage(id, p) // asks again
	}
	p.signedIn, p.a.User, p.a.AuthTime = true, s.opts.Users[i].withDefaults(), s.now()
	value := random()
	s.mu.Lock()
	s.state.sessions[value] = session{user: p.a.User, authTime: p.a.AuthTime}
	s.mu.Unlock()
	res := s.nextPage(id, p)
	cookie := http.Cookie{Name: sessionCookie, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: s.opts.TLS}
	res.Header.Add("Set-Cookie", cookie.String())
	return res
}

func cookieOf(r Request, name string) string {
	req := http.Request{Header: r.Header}
	c, err := req.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// logout answers /oidc/logout (OpenID Connect RP-Initiated Logout 2).
func (s *Server) logout(r Request) *Response {
	v := r.Query
	switch r.Method {
	case http.MethodGet:
	case http.MethodPost:
		v = r.Form
	default:
		return genericError(http.StatusMethodNotAllowed, "method_not_allowed", "logout is GET or POST")
	}
	clientID := v.Get("client_id")
	if hint := v.Get("id_token_hint"); hint != "" {
		s.mu.Lock()
		audience, ok := s.state.idTokens[hint] // it may have expired
		s.mu.Unlock()
		if !ok {
			s.breach(RuleLogout, "OpenID Connect RP-Initiated Logout 2", "id_token_hint is not an ID token of this server")
			return errorPage(http.StatusBadRequest, "invalid_request", "id_token_hint is not ours")
		}
		if clientID != "" && clientID != audience {
			s.breach(RuleLogout, "OpenID Connect RP-Initiated Logout 2", "client_id and the audience of id_token_hint differ")
			return errorPage(http.StatusBadRequest, "invalid_request", "client_id does not fit id_token_hint")
		}
		clientID = audience
	}
	target := v.Get("post_logout_redirect_uri")
	s.mu.Lock()
	client, known := s.clients[clientID]
	delete(s.state.sessions, cookieOf(r, sessionCookie))
	s.mu.Unlock()
	if target == "" {
		return response(http.StatusOK, "text/html; charset=utf-8",
			[]byte("<!DOCTYPE html><html><head><title>Signed out</title></head><body><h1>Signed out</h1></body></html>\n"))
	}
	if !known {
		s.breach(RuleLogout, "OpenID Connect RP-Initiated Logout 2",
			"post_logout_redirect_uri without id_token_hint or client_id: the server cannot know whose URI it is")
		return errorPage(http.StatusBadRequest, "invalid_request", "the client is unknown")
	}
	if !allowedURI(client.PostLogoutRedirectURIs, target) {
		s.breach(RuleLogout, "OpenID Connect RP-Initiated Logout 3", "post_logout_redirect_uri %q is not registered for client %q", target, client.ID)
		return errorPage(http.StatusBadRequest, "invalid_request", "post_logout_redirect_uri is not registered")
	}
	if state := v.Get("state"); state != "" {
		separator := "?"
		if strings.Contains(target, "?") {
			separator = "&"
		}
		target += separator + url.Values{"state": {state}}.Encode()
	}
	res := response(http.StatusFound, "", nil)
	res.Header.Set("Location", target)
	return res
}
