package middleware

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/acp-go/acp/acpclient"
)

// ClientCertificate says where the TLS certificate of a client is found, for tokens that are
// bound to one (RFC 8705 3). It is a plain value, which is copied. The zero value is the connection
// itself: tls.Config.ClientAuth must then ask for a certificate, tls.RequestClientCert at least.
// The certificate is compared with the token's, and not verified: its owner was the authorization server's question.
type ClientCertificate struct {
	// Header is the name of a header in which a proxy that ends TLS puts the certificate. The
	// proxy must take away what clients send under this name. "" looks at the connection.
	Header string

	// Format is how the header is written: "rfc9440" (the same as "") for Client-Cert, "xfcc" for Envoy's
	// X-Forwarded-Client-Cert with Hash or Cert, "pem" for URL-encoded PEM, as nginx gives it with
	// $ssl_client_escaped_cert.
	Format string

	// Proxies are the addresses whose requests the header is believed of: from all others it is
	// ignored. Required with Header.
	Proxies []netip.Prefix
}

// maxCertHeader is how long a header with a certificate may be, in bytes.
const maxCertHeader = 16 << 10

// check returns the mistakes of the options.
func (c *ClientCertificate) check() error {
	if c == nil {
		return nil
	}
	var errs []error
	bad := func(field, text string) {
		errs = append(errs, errors.New("BearerOptions.ClientCertificate."+field+": "+text))
	}
	if c.Header == "" && (c.Format != "" || len(c.Proxies) > 0) {
		bad("Header", "is needed with Format or Proxies")
	}
	if strings.ContainsFunc(c.Header, func(r rune) bool { return !isTokenRune(r) }) {
		bad("Header", "is no name of a header")
	}
	switch c.Format {
	case "", "rfc9440", "xfcc", "pem":
	default:
		bad("Format", "is none of rfc9440, xfcc and pem")
	}
	if c.Header != "" && len(c.Proxies) == 0 {
		bad("Proxies", "is empty: anybody could send the header")
	}
	for _, p := range c.Proxies {
		if !p.IsValid() {
			bad("Proxies", "holds a prefix that is not valid")
		}
	}
	return errors.Join(errs...)
}

func (c *ClientCertificate) clone() *ClientCertificate {
	if c == nil {
		return nil
	}
	copied := *c
	copied.Header = http.CanonicalHeaderKey(c.Header)
	copied.Proxies = slices.Clone(c.Proxies)
	return &copied
}

// proveCertificate holds the certificate of a request against a token that came as Bearer.
func (p *protector) proveCertificate(r *http.Request, a *acpclient.AccessToken) error {
	if a.Confirmation == nil {
		return nil
	}
	if a.Confirmation.JKT != "" { // RFC 9449 7.2
		return &problem{status: http.StatusUnauthorized, reason: "bound", detail: "a token that is bound to a DPoP key came as Bearer", challenge: p.challenges.bound}
	}
	return p.sameCertificate(r, a.Confirmation.X5tS256)
}

// sameCertificate compares hashes (RFC 8705 3.1).
func (p *protector) sameCertificate(r *http.Request, want string) error {
	if p.options.ClientCertificate == nil {
		return p.unproven("bound", "the token is bound to a certificate, and nobody looks at one here")
	}
	sum, err := p.options.ClientCertificate.hash(r)
	switch {
	case err != nil:
		return &problem{status: http.StatusBadRequest, reason: "client_certificate", detail: clean(err.Error()), challenge: p.challenges.request}
	case sum == nil:
		return p.unproven("bound", "the token is bound to a certificate, and none was shown")
	case !sameSecret(base64.RawURLEncoding.EncodeToString(sum), want):
		return p.unproven("bound", "the token is bound to another certificate")
	}
	return nil
}

// hash is the SHA-256 of the client's certificate; nil where the request has none.
func (c *ClientCertificate) hash(r *http.Request) ([]byte, error) {
	if c.Header == "" {
		if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
			return nil, nil
		}
		return hashOf(r.TLS.PeerCertificates[0].Raw), nil
	}
	values := r.Header[c.Header]
	if len(values) == 0 || !c.trusts(r.RemoteAddr) { // RFC 9440 3
		return nil, nil
	}
	if len(values) > 1 || len(values[0]) > maxCertHeader {
		return nil, fmt.Errorf("%s is there twice, or too long", c.Header)
	}
	switch c.Format {
	case "xfcc":
		return hashOfXFCC(values[0])
	case "pem":
		return hashOfPEM(values[0])
	}
	// RFC 9440 2.2: a byte sequence of RFC 8941 3.3.5.
	text, ok := strings.CutPrefix(strings.Trim(values[0], " "), ":")
	text, ok2 := strings.CutSuffix(text, ":")
	der, err := base64.StdEncoding.Strict().DecodeString(text)
	if !ok || !ok2 || err != nil || len(der) == 0 || strings.ContainsAny(text, "\r\n") {
		return nil, fmt.Errorf("%s is no byte sequence", c.Header)
	}
	return hashOf(der), nil
}

// trusts tells whether the peer is one of the proxies.
func (c *ClientCertificate) trusts(remote string) bool {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	address := peer.Addr().Unmap().WithZone("")
	return slices.ContainsFunc(c.Proxies, func(p netip.Prefix) bool { return p.Contains(address) })
}

func hashOf(der []byte) []byte {
	sum := sha256.Sum256(der)
	return sum[:]
}

// hashOfPEM takes the first certificate of URL-encoded PEM: the leaf.
func hashOfPEM(text string) ([]byte, error) {
	plain, err := url.PathUnescape(text)
	if err != nil {
		return nil, errors.New("the certificate is not URL-encoded")
	}
	block, _ := pem.Decode([]byte(plain))
	if block == nil || block.Type != "CERTIFICATE" || len(block.Bytes) == 0 {
		return nil, errors.New("the certificate is not PEM")
	}
	return hashOf(block.Bytes), nil
}

// hashOfXFCC reads Envoy's header: elements with commas between, one for each proxy, each of key=value with semicolons
// between. More than one element does not say whose the token is.
func hashOfXFCC(text string) ([]byte, error) {
	var sum []byte
	for rest := text; rest != ""; {
		var key, value string
		var end byte
		var ok bool
		if key, value, rest, end, ok = pairOfXFCC(rest); !ok {
			return nil, errors.New("the header is not of Envoy's form")
		}
		if end == ',' {
			return nil, errors.New("the header has more than one element")
		}
		var found []byte
		var err error
		switch {
		case strings.EqualFold(key, "Hash"):
			if found, err = hex.DecodeString(value); err != nil || len(found) != sha256.Size {
				return nil, errors.New("the header's Hash is no SHA-256")
			}
		case strings.EqualFold(key, "Cert"):
			if found, err = hashOfPEM(value); err != nil {
				return nil, err
			}
		default:
			continue
		}
		if sum != nil && !slices.Equal(sum, found) {
			return nil, errors.New("the header's Hash and Cert name two certificates")
		}
		sum = found
	}
	if sum == nil {
		return nil, errors.New("the header has neither Hash nor Cert")
	}
	return sum, nil
}

// pairOfXFCC cuts one key=value off, and tells what ended it: a semicolon, a comma, or 0. A value may be quoted, with \" inside.
func pairOfXFCC(s string) (key, value, rest string, end byte, ok bool) {
	key, s, ok = strings.Cut(s, "=")
	if key = strings.Trim(key, " "); !ok || key == "" || strings.ContainsAny(key, `",;`) {
		return "", "", "", 0, false
	}
	var b strings.Builder
	i, quoted := 0, strings.HasPrefix(s, `"`)
	if quoted {
		for i = 1; i < len(s) && s[i] != '"'; i++ {
			if s[i] == '\\' && i+1 < len(s) {
				i++
			}
			b.WriteByte(s[i])
		}
		if i == len(s) {
			return "", "", "", 0, false
		}
		i++
	} else {
		for ; i < len(s) && s[i] != ';' && s[i] != ','; i++ {
			b.WriteByte(s[i])
		}
	}
	switch {
	case i == len(s):
		return key, b.String(), "", 0, true
	case s[i] == ';' || s[i] == ',':
		return key, b.String(), s[i+1:], s[i], true
	}
	return "", "", "", 0, false
}
