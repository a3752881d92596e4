package acptest

import (
	"encoding/json"
	"net/http"
	"net/url"
)

// hooks are the edits that a test asked for. All are called without a lock held, so they
// may call the server.
type hooks struct {
	authorize     func(*Authorization)
	callback      func(url.Values)
	metadata      func(map[string]any)
	jwks          func(map[string]any)
	idToken       func(header, claims map[string]any)
	accessToken   func(header, claims map[string]any)
	logoutToken   func(header, claims map[string]any)
	mintIDToken   func(header, claims map[string]any) string
	mintAccess    func(header, claims map[string]any) string
	jarm          func(header, claims map[string]any)
	mintJARM      func(header, claims map[string]any) string
	tokens        func(map[string]any)
	userInfo      func(map[string]any)
	introspection func(map[string]any)
	response      map[Endpoint]func(*Response)
	override      map[Endpoint]http.HandlerFunc
}

// Response is an answer that is about to be sent. A hook may change each part.
type Response struct {
	Status int
	Header http.Header
	Body   []byte // sent as it is; Content-Length follows it

	// Request is what is being answered, for hooks that answer one request differently.
	Request Request
}

// JSON decodes the body, for hooks that change one member. It returns nil when the body is not a JSON
// object.
func (r *Response) JSON() map[string]any {
	var m map[string]any
	if json.Unmarshal(r.Body, &m) != nil {
		return nil
	}
	return m
}

// SetJSON replaces the body, and leaves status and header alone.
func (r *Response) SetJSON(v any) { r.Body = []byte(encode(v)) }

func (s *Server) set(change func(*hooks)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.hooks)
}

// Each of the following replaces the hook that was there; nil takes it away.

// OnAuthorize is called for each valid authorize request before it is answered. It may change the user,
// the scopes that are granted, or answer with an error.
func (s *Server) OnAuthorize(f func(*Authorization)) { s.set(func(h *hooks) { h.authorize = f }) }

// OnCallback edits the parameters that go to the redirect URI, success or error. For what url.Values
// cannot say, edit the Location header with OnResponse(AuthorizeEndpoint, ...).
func (s *Server) OnCallback(f func(url.Values)) { s.set(func(h *hooks) { h.callback = f }) }

// OnJARM edits header and claims of signed authorization responses before they are signed, success or
// error: the parameters of the callback are among the claims. OnCallback then sees `response` alone.
func (s *Server) OnJARM(f func(header, claims map[string]any)) { s.set(func(h *hooks) { h.jarm = f }) }

// MintJARM makes the whole signed authorization response itself.
func (s *Server) MintJARM(f func(header, claims map[string]any) string) {
	s.set(func(h *hooks) { h.mintJARM = f })
}

// OnMetadata edits the metadata document.
func (s *Server) OnMetadata(f func(map[string]any)) { s.set(func(h *hooks) { h.metadata = f }) }

// OnJWKS edits the key set. Its member "keys" is a []any of map[string]any.
func (s *Server) OnJWKS(f func(map[string]any)) { s.set(func(h *hooks) { h.jwks = f }) }

// OnIDToken edits header and claims of ID tokens before they are signed. The signature
// is always made with the server's key and its algorithm, whatever the header says.
func (s *Server) OnIDToken(f func(header, claims map[string]any)) {
	s.set(func(h *hooks) { h.idToken = f })
}

// OnAccessToken edits header and claims of JWT access tokens before they are signed.
func (s *Server) OnAccessToken(f func(header, claims map[string]any)) {
	s.set(func(h *hooks) { h.accessToken = f })
}

// OnLogoutToken edits header and claims of logout tokens before they are signed.
func (s *Server) OnLogoutToken(f func(header, claims map[string]any)) {
	s.set(func(h *hooks) { h.logoutToken = f })
}

// MintIDToken makes the whole ID token itself, from the header and claims that the
// server would have signed: with another key, without a signature, under a secret.
func (s *Server) MintIDToken(f func(header, claims map[string]any) string) {
	s.set(func(h *hooks) { h.mintIDToken = f })
}

// MintAccessToken makes the whole access token itself.
func (s *Server) MintAccessToken(f func(header, claims map[string]any) string) {
	s.set(func(h *hooks) { h.mintAccess = f })
}

// OnTokens edits the members of a successful token answer.
func (s *Server) OnTokens(f func(map[string]any)) { s.set(func(h *hooks) { h.tokens = f }) }

// OnTokenResponse edits each answer of the token endpoint, down to the bytes.
func (s *Server) OnTokenResponse(f func(*Response)) { s.OnResponse(TokenEndpoint, f) }

// OnUserInfo edits the claims of a userinfo answer, before they are signed where
// the client asked for that.
func (s *Server) OnUserInfo(f func(map[string]any)) { s.set(func(h *hooks) { h.userInfo = f }) }

// OnIntrospection edits the members of an introspection answer.
func (s *Server) OnIntrospection(f func(map[string]any)) {
	s.set(func(h *hooks) { h.introspection = f })
}

// OnResponse edits each answer of an endpoint, after all other hooks.
func (s *Server) OnResponse(e Endpoint, f func(*Response)) {
	s.set(func(h *hooks) { h.response[e] = f })
}

// Handle answers an endpoint in place of the server: see Hang, Reset, Endless and
// RedirectTo. Requests are counted and judged as always, and r.Body can be read again. f may call Serve.
func (s *Server) Handle(e Endpoint, f http.HandlerFunc) {
	s.set(func(h *hooks) { h.override[e] = f })
}

// edited applies an optional hook and returns its argument.
func edited(f func(map[string]any), m map[string]any) map[string]any {
	if f != nil {
		f(m)
	}
	return m
}
