package acptest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
)

// startMTLS serves the same paths on a second port, where nobody comes in without a certificate.
func (s *Server) startMTLS() {
	s.mtls = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.mtls.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.mtls.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	s.mtls.StartTLS()
}

// mtlsAliased are the endpoints that have an alias at ACP, by their names in the metadata.
var mtlsAliased = map[string]Endpoint{
	"token_endpoint": TokenEndpoint, "revocation_endpoint": RevokeEndpoint, "introspection_endpoint": IntrospectEndpoint,
	"pushed_authorization_request_endpoint": PAREndpoint, "userinfo_endpoint": UserInfoEndpoint,
}

// describeMTLS adds what a workspace says of its second host (RFC 8705 5).
func (s *Server) describeMTLS(metadata map[string]any) {
	if s.mtls == nil {
		return
	}
	aliases := map[string]any{}
	for name, e := range mtlsAliased {
		aliases[name] = s.mtls.URL + s.path + paths[e]
	}
	metadata["mtls_endpoint_aliases"], metadata["mtls_issuer"] = aliases, s.mtls.URL+s.path
}

// certificateFault judges a client's certificate (RFC 8705 2.1, 2.2); "" means that it is right.
func (s *Server) certificateFault(c Client, got *x509.Certificate) string {
	if c.AuthMethod == AuthSelfSignedTLS {
		if !bytes.Equal(got.Raw, c.Certificate.Raw) {
			return "the certificate is not the registered one"
		}
		return ""
	}
	roots := x509.NewCertPool()
	roots.AddCert(c.CertificateCA)
	_, err := got.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: s.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	switch {
	case err != nil:
		return "the certificate does not verify under the registered authority"
	case !bytes.Equal(got.RawSubject, c.Certificate.RawSubject):
		return "the certificate has another subject than the registered one"
	}
	return ""
}
