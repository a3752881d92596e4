package acpclient

import (
	"crypto"
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Profile is a set of demands beyond the protocol's own, all of them at once: FAPI2Security or
// FAPI2MessageSigning. "" demands nothing.
type Profile string

const (
	// FAPI2Security is the FAPI 2.0 Security Profile: pushed authorization requests, `iss` in the
	// answer, PrivateKeyJWT or MutualTLS, access tokens that are bound to a key or a certificate
	// of the client, JWTs signed with PS256, ES256 or EdDSA alone, and https everywhere.
	FAPI2Security Profile = "fapi2-security"

	// FAPI2MessageSigning is FAPI2Security, with authorization requests and their answers
	// signed (FAPI 2.0 Message Signing).
	FAPI2MessageSigning Profile = "fapi2-message-signing"
)

// fapi2Algs are those of FAPI 2.0 Security Profile 5.4.1, whose EdDSA is Ed25519's, as here.
var fapi2Algs = []string{"PS256", "ES256", "EdDSA"}

// Sections without a name are those of the FAPI 2.0 Security Profile.

func (p Profile) check() error {
	switch p {
	case "", FAPI2Security, FAPI2MessageSigning:
		return nil
	}
	return mistake("Profile", "%q is none of FAPI2Security and FAPI2MessageSigning", string(p))
}

// signs reports whether what passes through the browser is signed.
func (p Profile) signs() bool { return p == FAPI2MessageSigning }

// demands collects what contradicts a profile.
type demands struct {
	profile Profile
	errs    []error
}

func (d *demands) contradicted(field, format string, args ...any) {
	d.errs = append(d.errs, mistake(field, format+" (Profile %s)", append(args, d.profile)...))
}

// checkProfile reports every setting that contradicts the profile.
func (c *Config) checkProfile() error {
	if err := c.Profile.check(); err != nil || c.Profile == "" {
		return err
	}
	d := &demands{profile: c.Profile}
	d.server(c.Issuer, c.Transport)
	if u, err := url.Parse(c.RedirectURL); err == nil && u.Scheme != "https" { // 5.3.2.2 demands both of the server
		d.contradicted("RedirectURL", "must be there, and https on loopback, too")
	}
	d.authentication(c.Auth, c.Issuer, c.ExpectedIssuer)
	switch { // 5.3.3.1 (1)
	case c.DPoP != nil:
		d.algs("DPoP", fapi2Alg(c.DPoP.Key, ""))
	case c.certificate() == nil:
		d.contradicted("DPoP", "is nil, and so is Certificate, and Auth is not MutualTLS, so that access tokens are bound to nothing")
	}
	d.algs("IDTokenAlgs", c.IDTokenAlgs...)
	if r := c.RequestObject; r != nil {
		d.algs("RequestObject", fapi2Alg(r.Key, r.Alg))
		if !isOneOf(r.Audience, c.Issuer, c.ExpectedIssuer) { // FAPI 2.0 Message Signing 5.3.2
			d.contradicted("RequestObject", "Audience must be the issuer, or empty")
		}
	} else if c.Profile.signs() {
		d.contradicted("RequestObject", "is nil, so that requests would not be signed")
	}
	if mode := c.ResponseMode; c.Profile.signs() && mode != "" && !isJWTMode(mode) {
		d.contradicted("ResponseMode", "must be jwt, query.jwt or form_post.jwt: the answers of %s are not signed", mode)
	}
	return errors.Join(d.errs...)
}

// server obeys 5.2.1.
func (d *demands) server(issuer string, transport http.RoundTripper) {
	if u, err := url.Parse(issuer); err == nil && u.Scheme == "http" {
		d.contradicted("Issuer", "must be https on loopback, too")
	}
	own, _ := transport.(*http.Transport)
	if own == nil || own.TLSClientConfig == nil {
		return
	}
	switch config := own.TLSClientConfig; {
	case config.InsecureSkipVerify && config.VerifyConnection == nil && config.VerifyPeerCertificate == nil:
		d.contradicted("Transport", "verifies no certificate")
	case config.MinVersion != 0 && config.MinVersion < tls.VersionTLS12:
		d.contradicted("Transport", "takes TLS before 1.2")
	}
}

// authentication obeys 5.3.3.1 (2) and (5).
func (d *demands) authentication(auth ClientAuth, issuers ...string) {
	switch auth := auth.(type) {
	case PrivateKeyJWT:
		d.algs("Auth", fapi2Alg(auth.Key, auth.Alg))
		if !isOneOf(auth.Audience, issuers...) {
			d.contradicted("Auth", "PrivateKeyJWT.Audience must be the issuer, or empty")
		}
	case MutualTLS:
	case nil:
		d.contradicted("Auth", "is nil, and must be PrivateKeyJWT or MutualTLS")
	default:
		d.contradicted("Auth", "must be PrivateKeyJWT or MutualTLS, and not a client secret")
	}
}

// algs obeys 5.4.1. One that is "" was reported already.
func (d *demands) algs(field string, algs ...string) {
	for _, alg := range algs {
		if alg != "" && !slices.Contains(fapi2Algs, alg) {
			d.contradicted(field, "%s is none of %s", alg, strings.Join(fapi2Algs, ", "))
		}
	}
}

// isOneOf holds for "", too, in whose place the issuer is taken.
func isOneOf(s string, values ...string) bool { return s == "" || slices.Contains(values, s) }

// fapi2Alg is what a key signs with: PS256 where the choice of an RSA key is ours. It is ""
// where key and algorithm do not fit.
func fapi2Alg(key crypto.Signer, alg string) string {
	chosen, err := signingAlg("", key, alg)
	switch {
	case err != nil:
		return ""
	case alg == "" && chosen == "RS256":
		return "PS256"
	}
	return string(chosen)
}

// underProfile is a checked configuration, with what the profile demands where nothing was set.
func (c Config) underProfile() Config {
	if c.Profile == "" {
		return c
	}
	c.RequirePushedAuthorizationRequests = true // 5.3.3.2 (2)
	if c.IDTokenAlgs == nil {
		c.IDTokenAlgs = fapi2Algs
	}
	c.Auth = authUnderProfile(c.Auth)
	if c.RequestObject != nil {
		r := *c.RequestObject
		r.Alg = fapi2Alg(r.Key, r.Alg)
		c.RequestObject = &r
	}
	c.ResponseMode = c.responseMode()
	return c
}

// responseMode is the profile's where none was set (FAPI 2.0 Message Signing 5.4.2).
func (c *Config) responseMode() string {
	if c.ResponseMode == "" && c.Profile.signs() {
		return "jwt"
	}
	return c.ResponseMode
}

// authUnderProfile chooses the algorithm where nobody did.
func authUnderProfile(auth ClientAuth) ClientAuth {
	if p, ok := auth.(PrivateKeyJWT); ok {
		p.Alg = fapi2Alg(p.Key, p.Alg)
		return p
	}
	return auth
}

// judgeProfile reports everything that the profile demands and the server does not offer.
func (c *Client) judgeProfile(m *Metadata) error {
	if c.config.Profile == "" {
		return nil
	}
	var says struct {
		ChallengeMethods []string `json:"code_challenge_methods_supported"`
		AssertionAlgs    []string `json:"token_endpoint_auth_signing_alg_values_supported"`
		ProofAlgs        []string `json:"dpop_signing_alg_values_supported"`
		BindsToCert      bool     `json:"tls_client_certificate_bound_access_tokens"`
	}
	if err := m.Claims(&says); err != nil {
		return invalidResponse("metadata", clean(err.Error()))
	}
	var lacks []string
	demand := func(met bool, lack string) {
		if !met {
			lacks = append(lacks, lack)
		}
	}
	signed := isJWTMode(c.config.ResponseMode) // whose answers name their issuer anyhow
	demand(m.PushedAuthorizationRequestEndpoint != "", "no pushed_authorization_request_endpoint")
	demand(signed || m.AuthorizationResponseIssParameterSupported, "authorization_response_iss_parameter_supported is not true")
	demand(slices.Contains(says.ChallengeMethods, "S256"), "code_challenge_methods_supported does not name S256")
	switch auth := c.config.Auth.(type) {
	case PrivateKeyJWT:
		demand(slices.Contains(m.TokenEndpointAuthMethodsSupported, "private_key_jwt"), "token_endpoint_auth_methods_supported does not name private_key_jwt")
		demand(says.AssertionAlgs == nil || slices.Contains(says.AssertionAlgs, auth.Alg), "token_endpoint_auth_signing_alg_values_supported does not name "+auth.Alg)
	case MutualTLS:
		demand(share(m.TokenEndpointAuthMethodsSupported, []string{"tls_client_auth", "self_signed_tls_client_auth"}),
			"token_endpoint_auth_methods_supported names neither tls_client_auth nor self_signed_tls_client_auth")
	}
	demand(says.BindsToCert || c.config.DPoP != nil, "tls_client_certificate_bound_access_tokens is not true")
	if c.config.DPoP != nil { // RFC 9449 5.1
		alg := fapi2Alg(c.config.DPoP.Key, "")
		demand(slices.Contains(says.ProofAlgs, alg), "dpop_signing_alg_values_supported does not name "+alg)
	}
	algs := strings.Join(c.config.IDTokenAlgs, ", ")
	demand(m.IDTokenSigningAlgValuesSupported == nil || share(m.IDTokenSigningAlgValuesSupported, c.config.IDTokenAlgs),
		"id_token_signing_alg_values_supported names none of "+algs)
	if signed {
		demand(slices.Contains(m.responseModes, c.config.ResponseMode), "response_modes_supported does not name "+c.config.ResponseMode)
		demand(m.authorizationSigningAlgs == nil || share(m.authorizationSigningAlgs, c.config.IDTokenAlgs),
			"authorization_signing_alg_values_supported names none of "+algs)
	}
	if lacks == nil {
		return nil
	}
	return invalidResponse("metadata", "Profile "+string(c.config.Profile)+" is set, and of the server "+strings.Join(lacks, "; "))
}

// share reports whether two lists have an element in common.
func share(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}
