package acpclient

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
	"github.com/go-jose/go-jose/v4/jwt"
)

// ClientAuth is how a confidential client proves itself at the token endpoint and at
// every other endpoint that asks for it. Values come from Secret, SecretBasic,
// SecretPost and PrivateKeyJWT; nil is a public client. The one method that was chosen
// is sent once and never tried out, because failed attempts count towards ACP's lock-out.
type ClientAuth interface {
	// check reports a mistake that can be known without the network.
	check() error
	// authenticate adds the credentials to a request that is about to leave.
	authenticate(*credentials) error
}

// credentials is a request in the making, as its ClientAuth sees it.
type credentials struct {
	clientID string
	issuer   string      // audience of assertions
	methods  []string    // token_endpoint_auth_methods_supported; nil when the server is silent
	header   http.Header // of the request
	form     url.Values  // parameters to add to the request's own; nil for none
	secrets  []string    // among what was added
	now      time.Time
}

func (c *credentials) set(name, value string) {
	if c.form == nil {
		c.form = url.Values{}
	}
	c.form.Set(name, value)
}

type secretStyle int

const (
	styleByMetadata secretStyle = iota
	styleBasic
	stylePost
)

type clientSecret struct {
	sealed
	value string
	style secretStyle
}

// Secret authenticates with a client secret: client_secret_basic, or client_secret_post
// where the server's metadata offers only that. "" is refused by New.
func Secret(value string) ClientAuth { return clientSecret{value: value, style: styleByMetadata} }

// SecretBasic authenticates with client_secret_basic, whatever the metadata says.
func SecretBasic(value string) ClientAuth { return clientSecret{value: value, style: styleBasic} }

// SecretPost authenticates with client_secret_post, whatever the metadata says.
func SecretPost(value string) ClientAuth { return clientSecret{value: value, style: stylePost} }

func (s clientSecret) check() error {
	if s.value == "" {
		return mistake("Auth", "the client secret is empty (nil is a public client)")
	}
	return nil
}

func (s clientSecret) authenticate(c *credentials) error {
	c.secrets = append(c.secrets, s.value)
	post := s.style == stylePost || s.style == styleByMetadata &&
		!slices.Contains(c.methods, "client_secret_basic") && slices.Contains(c.methods, "client_secret_post")
	if post {
		c.set("client_id", c.clientID)
		c.set("client_secret", s.value)
		return nil
	}
	// RFC 6749 2.3.1: both halves are form-urlencoded before base64.
	r := http.Request{Header: c.header}
	r.SetBasicAuth(url.QueryEscape(c.clientID), url.QueryEscape(s.value))
	return nil
}

// PrivateKeyJWT authenticates with a signed assertion (RFC 7523, OIDC Core 9): a fresh
// one for each attempt, valid for one minute.
type PrivateKeyJWT struct {
	sealed

	// Key signs. RSA of 2048 bits or more, ECDSA on P-256, P-384 or P-521, or Ed25519; it may
	// live in an HSM. Required.
	Key crypto.Signer

	// KeyID is the `kid` under which the server knows the key. "" sends none.
	KeyID string

	// Alg is RS256, RS384, RS512, PS256 .., ES256 .., or EdDSA. "" means RS256, the curve's
	// ES algorithm, or EdDSA, by the type of the key.
	Alg string

	// Audience is the assertion's `aud`, a single string. "" means the issuer, which FAPI
	// 2.0 and current ACP want; older ACP versions want the token endpoint's URL.
	Audience string
}

const assertionLifetime = time.Minute

// settled is a ClientAuth that later changes of the caller's do not reach.
func settled(a ClientAuth) ClientAuth {
	if p, ok := a.(*PrivateKeyJWT); ok {
		if p == nil {
			return PrivateKeyJWT{} // whose check says what is missing
		}
		return *p
	}
	return a
}

func (p PrivateKeyJWT) check() error {
	_, err := p.alg()
	return err
}

// alg is the algorithm to sign with, or why the key and the algorithm do not fit.
func (p PrivateKeyJWT) alg() (jose.SignatureAlgorithm, error) {
	if p.Key == nil {
		return "", mistake("Auth", "PrivateKeyJWT.Key is nil")
	}
	var fits []jose.SignatureAlgorithm
	switch pub := p.Key.Public().(type) {
	case *rsa.PublicKey:
		if pub.N.BitLen() < 2048 {
			return "", mistake("Auth", "the RSA key of PrivateKeyJWT is shorter than 2048 bits")
		}
		fits = []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.RS384, jose.RS512, jose.PS384, jose.PS512}
	case *ecdsa.PublicKey:
		switch pub.Curve {
		case elliptic.P256():
			fits = []jose.SignatureAlgorithm{jose.ES256}
		case elliptic.P384():
			fits = []jose.SignatureAlgorithm{jose.ES384}
		case elliptic.P521():
			fits = []jose.SignatureAlgorithm{jose.ES512}
		}
	case ed25519.PublicKey:
		fits = []jose.SignatureAlgorithm{jose.EdDSA}
	}
	switch {
	case len(fits) == 0:
		return "", mistake("Auth", "PrivateKeyJWT cannot sign with a key of type %T", p.Key.Public())
	case p.Alg == "":
		return fits[0], nil
	case !slices.Contains(fits, jose.SignatureAlgorithm(p.Alg)):
		return "", mistake("Auth", "PrivateKeyJWT.Alg %q does not fit a key of type %T", p.Alg, p.Key.Public())
	}
	return jose.SignatureAlgorithm(p.Alg), nil
}

func (p PrivateKeyJWT) authenticate(c *credentials) error {
	alg, err := p.alg()
	if err != nil {
		return err
	}
	// RFC 7523bis: the explicit type keeps the assertion from passing as another token.
	opts := (&jose.SignerOptions{}).WithType("client-authentication+jwt")
	signer, err := jose.NewSigner(jose.SigningKey{
		Algorithm: alg,
		Key:       jose.JSONWebKey{Key: cryptosigner.Opaque(exactSalt{p.Key}), KeyID: p.KeyID},
	}, opts)
	if err != nil {
		return fmt.Errorf("acpclient: client assertion: %w", err)
	}
	audience := p.Audience
	if audience == "" {
		audience = c.issuer
	}
	assertion, err := jwt.Signed(signer).Claims(map[string]any{
		"iss": c.clientID, "sub": c.clientID, "aud": audience, "jti": rand.Text(),
		"iat": c.now.Unix(), "exp": c.now.Add(assertionLifetime).Unix(),
	}).Serialize()
	if err != nil {
		return fmt.Errorf("acpclient: client assertion: %w", err)
	}
	c.secrets = append(c.secrets, assertion)
	c.set("client_id", c.clientID)
	c.set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	c.set("client_assertion", assertion)
	return nil
}

// exactSalt makes PSS salts as long as the hash (RFC 7518 3.5), where go-jose's signer
// takes the longest that fits.
type exactSalt struct{ crypto.Signer }

func (s exactSalt) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if _, ok := opts.(*rsa.PSSOptions); ok {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: opts.HashFunc()}
	}
	return s.Signer.Sign(random, digest, opts)
}
