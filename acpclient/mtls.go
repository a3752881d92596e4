package acpclient

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"

	"github.com/acp-go/acp/internal/strictjson"
)

// MutualTLS authenticates with a client certificate (RFC 8705 2): tls_client_auth when an
// authority issued it, self_signed_tls_client_auth when the server knows the very
// certificate. It is presented to the authorization server (and to an https proxy in
// between that asks for one), and to the APIs that Client.HTTPClient calls. Requests go to the addresses of the metadata's
// mtls_endpoint_aliases where there are some. Config.Transport, if set, is an
// *http.Transport without a client certificate: it is copied, not changed.
type MutualTLS struct {
	sealed

	// Certificate is the certificate, with the chain to send, and its key, which may live in an
	// HSM. RSA of 2048 bits or more. Required, unless GetClientCertificate is set.
	Certificate tls.Certificate

	// GetClientCertificate gives the certificate for each new connection, in the place of
	// Certificate: one that rotates is read again here, and used without a restart. Connections that
	// are open keep theirs, for 90 s at most without use. Its error is ErrUnavailable
	// to the caller of the Client; so is a certificate without key. It is as in tls.Config.
	GetClientCertificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)
}

func (m MutualTLS) check() error { return m.checkField("Auth") }

// checkField reports what is wrong in a setting of this name.
func (m MutualTLS) checkField(field string) error {
	switch {
	case m.GetClientCertificate != nil:
		if len(m.Certificate.Certificate) > 0 || m.Certificate.PrivateKey != nil {
			return mistake(field, "MutualTLS has both Certificate and GetClientCertificate")
		}
		return nil
	case len(m.Certificate.Certificate) == 0:
		return mistake(field, "MutualTLS.Certificate is empty")
	}
	if err := usableCertificate(&m.Certificate); err != nil {
		return mistake(field, "MutualTLS.Certificate %w", err)
	}
	return nil
}

// ofAuth is the certificate of a way to authenticate; nil where that brings none.
func ofAuth(a ClientAuth) *MutualTLS {
	if m, ok := a.(MutualTLS); ok {
		return &m
	}
	return nil
}

// certificate is the one that is presented; nil for none.
func (c *Config) certificate() *MutualTLS {
	if c.Certificate != nil {
		return c.Certificate
	}
	return ofAuth(c.Auth)
}

// checkCertificate reports a mistake of Certificate.
func (c *Config) checkCertificate() error {
	switch {
	case c.Certificate == nil:
		return nil
	case ofAuth(c.Auth) != nil:
		return mistake("Certificate", "is set beside an Auth that is MutualTLS, which has its own")
	}
	return c.Certificate.checkField("Certificate")
}

// usableCertificate demands a key that can sign, and fits.
func usableCertificate(c *tls.Certificate) error {
	if c == nil || len(c.Certificate) == 0 {
		return errors.New("is empty") // crypto/tls would go on without one
	}
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		return errors.New("cannot be parsed")
	}
	signer, ok := c.PrivateKey.(crypto.Signer)
	if !ok {
		return errors.New("has no PrivateKey")
	}
	own, err := x509.MarshalPKIXPublicKey(publicOf(signer))
	if err != nil || !bytes.Equal(own, leaf.RawSubjectPublicKeyInfo) {
		return errors.New("is not that of its PrivateKey")
	}
	if key, ok := leaf.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < minRSABits {
		return fmt.Errorf("has an RSA key of fewer than %d bits", minRSABits)
	}
	return nil
}

// authenticate names the client: the certificate is the connection's (RFC 8705 2).
func (m MutualTLS) authenticate(c *credentials) error {
	c.set("client_id", c.clientID)
	return nil
}

// getClientCertificate is a tls.Config's, which presents what it has whatever the server's list of
// authorities says: a self-signed certificate is on none.
type getClientCertificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)

func (m *MutualTLS) get() getClientCertificate {
	return func(info *tls.CertificateRequestInfo) (c *tls.Certificate, err error) {
		defer func() { // on a goroutine of net/http's, where a panic would end the program
			if p := recover(); p != nil {
				c, err = nil, errors.New("no client certificate: panic: "+panicText(p))
			}
		}()
		if c = &m.Certificate; m.GetClientCertificate != nil {
			if c, err = m.GetClientCertificate(info); err != nil {
				return nil, fmt.Errorf("no client certificate: %w", err)
			}
			if err := usableCertificate(c); err != nil {
				return nil, fmt.Errorf("the client certificate %w", err)
			}
		}
		copied := *c
		copied.PrivateKey = guardedSigner{c.PrivateKey.(crypto.Signer)}
		return &copied, nil
	}
}

// guardedSigner makes an error of a panic in somebody's key, there as well.
type guardedSigner struct{ crypto.Signer }

func (g guardedSigner) Sign(random io.Reader, digest []byte, o crypto.SignerOpts) (signature []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("the client certificate's key: panic: " + panicText(p))
		}
	}()
	return g.Signer.Sign(random, digest, o)
}

// checkCertifiable reports why a transport of the caller's cannot present a certificate.
func checkCertifiable(t http.RoundTripper) error {
	if t == nil {
		return nil
	}
	own, ok := t.(*http.Transport)
	switch {
	case !ok || own == nil:
		return mistake("Transport", "is a %T, to which MutualTLS cannot add its certificate: it must be an *http.Transport", t)
	//lint:ignore SA1019 where it is still set, net/http obeys it
	case own.DialTLSContext != nil, own.DialTLS != nil:
		return mistake("Transport", "makes its TLS connections itself, and would not present the certificate of MutualTLS")
	case own.TLSClientConfig == nil:
		return nil
	case len(own.TLSClientConfig.Certificates) > 0, own.TLSClientConfig.GetClientCertificate != nil:
		return mistake("Transport", "has a client certificate of its own, beside that of MutualTLS")
	}
	return nil
}

// certified presents the client's certificate to the authorization server, and to nobody
// else: a key set may well be on a third party's host.
type certified struct {
	plain, with http.RoundTripper
	issuerHost  string
	hosts       atomic.Pointer[map[string]bool] // of the endpoints where the client authenticates, or shows its tokens
}

func newCertified(plain *http.Transport, m *MutualTLS, issuer *url.URL) *certified {
	return &certified{plain: plain, with: m.on(plain), issuerHost: issuer.Host}
}

// on is a copy of a checked transport, which presents the certificate.
func (m *MutualTLS) on(plain *http.Transport) *http.Transport {
	with := plain.Clone()
	if with.TLSClientConfig == nil {
		with.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	with.TLSClientConfig.GetClientCertificate = m.get()
	with.TLSClientConfig.ClientSessionCache = nil // a session that is resumed is that of an earlier certificate, or of none
	if with.TLSNextProto == nil && slices.Contains(with.TLSClientConfig.NextProtos, "h2") {
		with.ForceAttemptHTTP2 = true // as the original, which offers it by itself
	}
	return with
}

// RoundTrip picks by the host and its port.
func (c *certified) RoundTrip(req *http.Request) (*http.Response, error) {
	hosts := c.hosts.Load()
	if host := req.URL.Host; host == c.issuerHost || hosts != nil && (*hosts)[host] {
		return c.with.RoundTrip(req)
	}
	return c.plain.RoundTrip(req)
}

// CloseIdleConnections closes those of both.
func (c *certified) CloseIdleConnections() {
	closeIdle(c.plain)
	closeIdle(c.with)
}

// backChannelEndpoints are those where the client authenticates, or shows its tokens, by their names.
func (m *Metadata) backChannelEndpoints() map[string]*string {
	return map[string]*string{
		"token_endpoint": &m.TokenEndpoint, "userinfo_endpoint": &m.UserInfoEndpoint,
		"introspection_endpoint": &m.IntrospectionEndpoint, "revocation_endpoint": &m.RevocationEndpoint,
		"pushed_authorization_request_endpoint": &m.PushedAuthorizationRequestEndpoint,
	}
}

// useAliases puts the mtls_endpoint_aliases in the place of the endpoints (RFC 8705 5), for
// a client that has a certificate. What is wrong with one is an error, never a reason to
// use the other address.
func (m *Metadata) useAliases(issuer *url.URL) error {
	doc, err := strictjson.Parse(string(m.raw))
	if err != nil {
		return invalidResponse("metadata", clean(err.Error()))
	}
	aliases := strictjson.Object{}
	if v, ok := doc.Value("mtls_endpoint_aliases"); ok && !v.IsNull() {
		if aliases, ok = v.Object(); !ok {
			return invalidResponse("metadata", "mtls_endpoint_aliases is not an object")
		}
	}
	for name, dst := range m.backChannelEndpoints() {
		if v, ok := aliases.Value(name); ok && !v.IsNull() {
			alias, _ := v.String()
			if err := checkEndpoint(alias, issuer); err != nil {
				return invalidResponse("metadata", "mtls_endpoint_aliases: "+name+": "+err.Error())
			}
			*dst = alias
		}
		if u, err := url.Parse(*dst); *dst != "" && (err != nil || u.Scheme != "https") {
			return invalidResponse("metadata", name+": is not https, where no certificate can be presented")
		}
	}
	return nil
}

// allow notes where the certificate is presented.
func (c *certified) allow(m *Metadata) {
	hosts := map[string]bool{}
	for _, endpoint := range m.backChannelEndpoints() {
		if u, err := url.Parse(*endpoint); err == nil && u.Host != "" {
			hosts[u.Host] = true
		}
	}
	c.hosts.Store(&hosts)
}
