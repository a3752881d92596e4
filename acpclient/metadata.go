package acpclient

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/acp-go/acp/internal/strictjson"
)

// Metadata is what the authorization server says of itself (OpenID Connect Discovery 3,
// RFC 8414 2), after judgement: the issuer is the configured one, and every URL is https,
// or http on loopback where the issuer is on loopback itself. "" and nil mean "not named".
// A client with a certificate sees the addresses of mtls_endpoint_aliases (RFC 8705 5).
// Claims has the members that no check depends on.
type Metadata struct {
	Issuer                string
	AuthorizationEndpoint string
	TokenEndpoint         string
	JWKSURI               string
	UserInfoEndpoint      string
	IntrospectionEndpoint string
	RevocationEndpoint    string
	EndSessionEndpoint    string

	PushedAuthorizationRequestEndpoint string // RFC 9126 5

	TokenEndpointAuthMethodsSupported []string
	IDTokenSigningAlgValuesSupported  []string

	// IntrospectionEndpointAuthMethodsSupported is nil where the token endpoint's methods hold.
	IntrospectionEndpointAuthMethodsSupported []string
	// IntrospectionSigningAlgValuesSupported is not nil where answers may be signed (RFC 9701 7).
	IntrospectionSigningAlgValuesSupported []string

	// AuthorizationResponseIssParameterSupported makes `iss` mandatory at the callback (RFC 9207).
	AuthorizationResponseIssParameterSupported bool

	// RequirePushedAuthorizationRequests is true where the server takes no plain
	// authorization request (RFC 9126 5).
	RequirePushedAuthorizationRequests bool

	// Of request objects (RFC 9101 10.5, OpenID Connect Discovery 3): see judgeRequestObject. A nil
	// list is a silent server.
	requireSignedRequestObject, requestParameterSupported    bool
	requestObjectAlgs                                        []string
	requestObjectEncryptionAlgs, requestObjectEncryptionEncs []string
	responseModes                                            []string // response_modes_supported
	authorizationSigningAlgs                                 []string // authorization_signing_alg_values_supported (JARM 4)
	userInfoSigningAlgs                                      []string // userinfo_signing_alg_values_supported

	// id_token_encryption_alg_values_supported and its kin.
	idTokenEncryptionAlgs, userInfoEncryptionAlgs, authorizationEncryptionAlgs []string

	raw []byte
}

// Claims decodes the whole document into v, like json.Unmarshal but with exact names: for
// members that have no field here.
func (m *Metadata) Claims(v any) error { return decode(string(m.raw), v) }

// parseMetadata judges a document of the issuer, which may also go by other names. Its
// errors are invalidResponse("metadata", ...), or "issuer" for a document of another.
func parseMetadata(body []byte, issuer *url.URL, names ...string) (*Metadata, error) {
	doc, err := strictjson.Parse(string(body))
	if err != nil {
		return nil, invalidResponse("metadata", clean(err.Error()))
	}
	m := &Metadata{raw: slices.Clone(body), requestParameterSupported: true}
	for name, dst := range map[string]*string{
		"issuer": &m.Issuer, "authorization_endpoint": &m.AuthorizationEndpoint, "token_endpoint": &m.TokenEndpoint,
		"jwks_uri": &m.JWKSURI, "userinfo_endpoint": &m.UserInfoEndpoint, "introspection_endpoint": &m.IntrospectionEndpoint,
		"revocation_endpoint": &m.RevocationEndpoint, "end_session_endpoint": &m.EndSessionEndpoint,
		"pushed_authorization_request_endpoint": &m.PushedAuthorizationRequestEndpoint,
	} {
		v, ok := doc.Value(name)
		if !ok || v.IsNull() {
			continue
		}
		s, ok := v.String()
		if !ok {
			return nil, invalidResponse("metadata", name+" is not a string")
		}
		*dst = s
		if name == "issuer" || s == "" {
			continue
		}
		if err := checkEndpoint(s, issuer); err != nil {
			return nil, invalidResponse("metadata", name+": "+err.Error())
		}
	}
	for name, dst := range map[string]*[]string{
		"token_endpoint_auth_methods_supported": &m.TokenEndpointAuthMethodsSupported,
		"id_token_signing_alg_values_supported": &m.IDTokenSigningAlgValuesSupported,

		"introspection_endpoint_auth_methods_supported":  &m.IntrospectionEndpointAuthMethodsSupported,
		"introspection_signing_alg_values_supported":     &m.IntrospectionSigningAlgValuesSupported,
		"request_object_signing_alg_values_supported":    &m.requestObjectAlgs,
		"request_object_encryption_alg_values_supported": &m.requestObjectEncryptionAlgs,
		"request_object_encryption_enc_values_supported": &m.requestObjectEncryptionEncs,

		"response_modes_supported":                   &m.responseModes,
		"authorization_signing_alg_values_supported": &m.authorizationSigningAlgs,
		"userinfo_signing_alg_values_supported":      &m.userInfoSigningAlgs,

		"id_token_encryption_alg_values_supported":      &m.idTokenEncryptionAlgs,
		"userinfo_encryption_alg_values_supported":      &m.userInfoEncryptionAlgs,
		"authorization_encryption_alg_values_supported": &m.authorizationEncryptionAlgs,
	} {
		v, ok := doc.Value(name)
		if !ok || v.IsNull() {
			continue
		}
		list, ok := v.Strings()
		if !ok {
			return nil, invalidResponse("metadata", name+" is not a list of strings")
		}
		*dst = list
	}
	for name, dst := range map[string]*bool{
		"authorization_response_iss_parameter_supported": &m.AuthorizationResponseIssParameterSupported,
		"require_pushed_authorization_requests":          &m.RequirePushedAuthorizationRequests,
		"require_signed_request_object":                  &m.requireSignedRequestObject,
		"request_parameter_supported":                    &m.requestParameterSupported,
	} {
		v, ok := doc.Value(name)
		if !ok || v.IsNull() {
			continue
		}
		if *dst, ok = v.Bool(); !ok {
			return nil, invalidResponse("metadata", name+" is not a boolean")
		}
	}
	// OpenID Connect Discovery 4.3, RFC 8414 3.3: compared byte for byte.
	if !slices.Contains(names, m.Issuer) {
		detail := fmt.Sprintf("metadata is of issuer %.200q, not of %q", m.Issuer, names[0])
		// Which of ACP's two names its tokens carry, the configuration must say.
		if v, _ := doc.Value("mtls_issuer"); v.IsString() {
			if s, _ := v.String(); s == names[0] {
				detail += ", which it names as its mtls_issuer: is the former the ExpectedIssuer?"
			}
		}
		return nil, invalidResponse("issuer", detail)
	}
	return m, nil
}

// checkEndpoint judges a URL from metadata, so that a server cannot send us elsewhere
// than to a public https address, or to where the issuer itself is (RFC 9700 2.6).
func checkEndpoint(raw string, issuer *url.URL) error {
	u, err := checkURL(raw)
	if err != nil {
		return err
	}
	if literal, err := netip.ParseAddr(strings.Trim(u.Hostname(), "[]")); err == nil {
		own, _ := netip.ParseAddr(strings.Trim(issuer.Hostname(), "[]"))
		if issuer.Hostname() == "localhost" {
			own = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
		if c := addrClass(literal); c != classPublic && c != addrClass(own) {
			return fmt.Errorf("a %s address, which the issuer's is not", c)
		}
	}
	if u.Hostname() == "localhost" && !isLoopback(issuer.Hostname()) {
		return fmt.Errorf("a loopback address, which the issuer's is not")
	}
	return nil
}

// checkURL judges an absolute URL of a server: https, or http on loopback.
func checkURL(raw string) (*url.URL, error) {
	for i := range len(raw) {
		if raw[i] <= 0x20 || raw[i] >= 0x7f {
			return nil, fmt.Errorf("not a URL")
		}
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Opaque != "" || u.Hostname() == "":
		return nil, fmt.Errorf("not an absolute URL")
	case u.User != nil:
		return nil, fmt.Errorf("has user information")
	case strings.Contains(raw, "#"):
		return nil, fmt.Errorf("has a fragment")
	case u.Scheme == "http" && isLoopback(u.Hostname()), u.Scheme == "https":
		return u, nil
	}
	return nil, fmt.Errorf("is not https (http is for loopback only)")
}

// isLoopback is true for localhost, 127.0.0.0/8 and ::1, and never for 0.0.0.0.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

// class groups addresses by who can reach them.
type class string

const (
	classPublic    class = "public"
	classLoopback  class = "loopback"
	classPrivate   class = "private"
	classLinkLocal class = "link-local"
	classNone      class = "unusable"
)

func addrClass(a netip.Addr) class {
	a = a.Unmap()
	if translated.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	switch {
	case !a.IsValid():
		return classPublic
	case a.IsLoopback():
		return classLoopback
	case a.IsPrivate(), sharedSpace.Contains(a):
		return classPrivate
	case a.IsLinkLocalUnicast(), a.IsLinkLocalMulticast():
		return classLinkLocal
	case a.IsUnspecified(), a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return classNone
	}
	return classPublic
}

// translated addresses stand for the IPv4 address in their last four bytes (RFC 6052 2.1).
var translated = netip.MustParsePrefix("64:ff9b::/96")

// sharedSpace is the carrier-grade NAT range (RFC 6598).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")
