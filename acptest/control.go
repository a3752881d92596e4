package acptest

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Register adds a client, or replaces the one with the same id, and returns it with its defaults filled in.
func (s *Server) Register(c Client) Client {
	c.ID = cmp.Or(c.ID, "client-"+random()[:16])
	if c.AuthMethod == "" {
		c.AuthMethod = AuthBasic
		if c.Key != nil {
			c.AuthMethod = AuthPrivateKeyJWT
		}
	}
	switch c.AuthMethod {
	case AuthBasic, AuthPost, AuthSecretJWT:
		c.Secret = cmp.Or(c.Secret, random()+random())
	case AuthPrivateKeyJWT:
		if c.Key == nil {
			s.t.Fatalf("acptest: client %q uses private_key_jwt and needs a Key", c.ID)
		}
	case AuthTLS, AuthSelfSignedTLS:
		if c.Certificate == nil || c.AuthMethod == AuthTLS && c.CertificateCA == nil {
			s.t.Fatalf("acptest: client %q uses %s and needs a Certificate (and CertificateCA, with tls_client_auth)", c.ID, c.AuthMethod)
		}
	case AuthNone:
	default:
		s.t.Fatalf("acptest: client %q has an unknown AuthMethod %q", c.ID, c.AuthMethod)
	}
	c.AssertionAudience = cmp.Or(c.AssertionAudience, s.Issuer)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[c.ID] = c
	return c
}

// SetUser signs in somebody else from now on.
func (s *Server) SetUser(u User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.user = u.withDefaults()
}

// Deny answers authorize requests with this error from now on: "rejected", which is how ACP's consent
// pages refuse, "access_denied", "login_required", or any other. "" approves again.
func (s *Server) Deny(code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deny = code
}

// SetAccessTokenTTL changes the lifetime of access tokens, and `expires_in`, from now on.
func (s *Server) SetAccessTokenTTL(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accessTTL = d
}

// SetUnreachable cuts every connection without an answer from now on, or ends that. Requests are counted all
// the same.
func (s *Server) SetUnreachable(unreachable bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unreachable = unreachable
}

// allowedURI says whether a URI passes a client's list; an empty list takes https, and http on
// loopback.
func allowedURI(list []string, uri string) bool {
	if list != nil {
		return slices.Contains(list, uri)
	}
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" || u.User != nil || strings.Contains(uri, "#") {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname())
}
