package localacp

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"

	"github.com/go-jose/go-jose/v4"
	"github.com/luikyv/go-oidc/pkg/goidc"
	"github.com/luikyv/go-oidc/pkg/provider"
)

// fapi2Algs are those of FAPI 2.0 Security Profile 5.4.1.
var fapi2Algs = []goidc.SignatureAlgorithm{jose.PS256, jose.ES256, jose.EdDSA}

// fapi2CodeOptions are what a workspace of FAPI 2.0 adds to the authorization code grant.
func (s *Server) fapi2CodeOptions() []provider.AuthCodeGrantOption {
	return []provider.AuthCodeGrantOption{
		provider.WithPAR(s.store, provider.WithPARRequired(), provider.WithPAREndpoint("/par"), provider.WithPARLifetime(60)),
		provider.WithJAR(fapi2Algs),
		provider.WithJARM([]goidc.SignatureAlgorithm{goidc.SignatureAlgorithm(s.options.Alg)}),
	}
}

// fapi2Options are what it adds besides. Certificates are shown on a port of their own, so that
// no browser asks its user for one.
func (s *Server) fapi2Options() []provider.Option {
	return []provider.Option{
		provider.WithPrivateKeyJWTAuthn(fapi2Algs...),
		provider.WithSelfSignedTLSAuthn(),
		provider.WithMTLS(provider.MTLSConfig{
			Host: "https://" + s.mtls.Addr().String() + s.path,
			ClientCert: func(ctx context.Context) (*x509.Certificate, error) {
				if c := noteOf(ctx).certificate; c != nil {
					return c, nil
				}
				return nil, errors.New("no client certificate")
			},
		}, provider.WithMTLSTokenBinding()),
		provider.WithDPoP(fapi2Algs),
		provider.WithTokenBindingRequired(),
	}
}

// certificateKey is the key of a certificate that is known by its thumbprint.
func certificateKey(c *x509.Certificate) jose.JSONWebKey {
	sum := sha256.Sum256(c.Raw)
	return jose.JSONWebKey{Key: c.PublicKey, KeyID: thumbprint(c.PublicKey), CertificateThumbprintSHA256: sum[:], Use: "sig"}
}

// confirmation is the cnf of a token that is bound (RFC 8705 3.1, RFC 9449 6.1); nil for another.
func confirmation(token *goidc.Token) map[string]any {
	switch {
	case token.JWKThumbprint != "":
		return map[string]any{"jkt": token.JWKThumbprint}
	case token.CertThumbprint != "":
		return map[string]any{"x5t#S256": token.CertThumbprint}
	}
	return nil
}

// SessionByPushedAuthReqID finds a pushed request once.
func (s *store) SessionByPushedAuthReqID(ctx context.Context, id string) (*goidc.AuthnSession, error) {
	session, ok := s.pushed.find(id)
	if !ok {
		return nil, goidc.ErrNotFound
	}
	s.pushed.remove(id)
	return s.Session(ctx, session)
}
