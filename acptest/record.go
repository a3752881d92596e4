package acptest

import (
	"context"
	"crypto/x509"
	"maps"
	"net/http"
	"net/url"
	"slices"
)

// Endpoint names a place of the server that requests come in at.
type Endpoint string

// The endpoints.
const (
	MetadataEndpoint   Endpoint = "metadata"   // both documents, OpenID Connect's and RFC 8414's
	JWKSEndpoint       Endpoint = "jwks"       // /.well-known/jwks.json
	AuthorizeEndpoint  Endpoint = "authorize"  // /oauth2/authorize
	PAREndpoint        Endpoint = "par"        // /par, for pushed authorization requests
	TokenEndpoint      Endpoint = "token"      // /oauth2/token
	IntrospectEndpoint Endpoint = "introspect" // /oauth2/introspect
	RevokeEndpoint     Endpoint = "revoke"     // /oauth2/revoke
	UserInfoEndpoint   Endpoint = "userinfo"   // /userinfo
	LogoutEndpoint     Endpoint = "logout"     // /oidc/logout
	SignInEndpoint     Endpoint = "signin"     // the pages of Options.Interactive
	OtherEndpoint      Endpoint = "other"      // every path that is not served
)

// Request is what came in.
type Request struct {
	Method string
	Path   string      // with the issuer's
	Query  url.Values  // what could be parsed
	Form   url.Values  // of a form-encoded body, without the query; nil for other bodies
	Header http.Header // a copy
	Body   []byte      // cut at 1 MiB

	// Certificate is the one that the client presented, or nil.
	Certificate *x509.Certificate

	boundTo string // thumbprint of the key of a good DPoP proof
}

// Count returns how many requests came to an endpoint so far.
func (s *Server) Count(e Endpoint) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests[e])
}

// Requests returns what came to an endpoint so far, oldest first.
func (s *Server) Requests(e Endpoint) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests[e])
}

// Wait blocks until at least n requests have come to an endpoint. It returns the context's error
// when that ends first.
func (s *Server) Wait(ctx context.Context, e Endpoint, n int) error {
	for {
		s.mu.Lock()
		count, changed := len(s.requests[e]), s.changed
		s.mu.Unlock()
		if count >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Hold keeps requests to an endpoint waiting, after they were counted, until release is called.
// With Wait, a test knows that a request is in flight. release may be called more than once.
func (s *Server) Hold(e Endpoint) (release func()) {
	ctx, cancel := context.WithCancel(s.ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gates[e] = ctx.Done()
	return cancel
}

func (s *Server) record(e Endpoint, r Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[e] = append(s.requests[e], r)
	close(s.changed)
	s.changed = make(chan struct{})
}

// requestOf copies what may be kept of a request whose body was read.
func requestOf(r *http.Request, body []byte) Request {
	query, _ := url.ParseQuery(r.URL.RawQuery)
	req := Request{Method: r.Method, Path: r.URL.Path, Query: query, Header: maps.Clone(r.Header), Body: body}
	if mediaType(r.Header) == "application/x-www-form-urlencoded" {
		req.Form, _ = url.ParseQuery(string(body))
	}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		req.Certificate = r.TLS.PeerCertificates[0]
	}
	return req
}
