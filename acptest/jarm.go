package acptest

import (
	"net/url"
	"strings"
	"time"
)

// responseModes are those that the server offers.
var responseModes = []string{"query", "form_post", "query.jwt", "form_post.jwt", "jwt"}

// transport is what a response mode does with the parameters (JARM 2.3): whether they go into a
// JWT, and whether they, or it, go into a form.
func transport(mode string) (signed, form bool) {
	base, signed := strings.CutSuffix(mode, ".jwt")
	return signed || mode == "jwt", base == "form_post"
}

// signedResponse puts the parameters of a callback into a JWT (JARM 2.1).
func (s *Server) signedResponse(clientID string, v url.Values) string {
	claims := map[string]any{"iss": s.Issuer, "aud": clientID, "exp": s.now().Add(10 * time.Minute).Unix()}
	for name := range v {
		claims[name] = v.Get(name)
	}
	s.mu.Lock()
	client := s.clients[clientID]
	key, edit, mint := s.key, s.hooks.jarm, s.hooks.mintJARM
	s.mu.Unlock()
	header := key.header(nil)
	if edit != nil {
		edit(header, claims)
	}
	if mint != nil {
		return mint(header, claims)
	}
	token := key.SignRaw(encode(header), encode(claims))
	return client.Encryption.sealed(token, client.Encryption.AuthorizationResponse)
}
