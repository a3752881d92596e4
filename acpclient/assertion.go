package acpclient

import (
	"crypto"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

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
	// 2.0 and current ACP want; older ACP versions want the token endpoint's URL, and a workspace
	// that binds tokens to certificates may want its mtls_issuer.
	Audience string
}

func (p PrivateKeyJWT) check() error {
	if _, err := signingAlg("PrivateKeyJWT", p.Key, p.Alg); err != nil {
		return mistake("Auth", "%w", err)
	}
	return nil
}

func (p PrivateKeyJWT) authenticate(c *credentials) error {
	key, err := signingKey("PrivateKeyJWT", p.Key, p.KeyID, p.Alg)
	if err != nil {
		return err
	}
	return c.assert(key, p.Audience)
}

// SecretJWT authenticates with an assertion under the client secret (client_secret_jwt,
// OIDC Core 9): a fresh one for each attempt, valid for one minute. The secret itself is not
// sent. A server that keeps only hashes of secrets cannot take it.
type SecretJWT struct {
	sealed

	// Secret is the client secret, of 32 bytes or more for HS256, 48 for HS384, 64 for
	// HS512 (RFC 7518 3.2). Required.
	Secret string

	// Alg is HS256, the same as "" and all that ACP takes, HS384 or HS512.
	Alg string

	// Audience is as PrivateKeyJWT.Audience.
	Audience string
}

func (s SecretJWT) check() error {
	switch alg := s.alg(); {
	case !slices.Contains([]string{"HS256", "HS384", "HS512"}, alg):
		return mistake("Auth", "SecretJWT.Alg %q is none of HS256, HS384 and HS512", s.Alg)
	case s.Secret == "":
		return mistake("Auth", "SecretJWT.Secret is empty")
	case len(s.Secret) < hmacSize(alg):
		return mistake("Auth", "SecretJWT.Secret is shorter than the %d bytes that %s needs", hmacSize(alg), alg)
	}
	return nil
}

func (s SecretJWT) alg() string { return firstOf(s.Alg, "HS256") }

func (s SecretJWT) authenticate(c *credentials) error {
	return c.assert(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(s.alg()), Key: []byte(s.Secret)}, s.Audience)
}

const assertionLifetime = time.Minute

// assert adds a client assertion (RFC 7523 2.2 and 3). An audience of "" is the issuer.
func (c *credentials) assert(key jose.SigningKey, audience string) error {
	// RFC 7523bis: the explicit type keeps the assertion from passing as another token.
	assertion, err := signJWT(key, "client-authentication+jwt", map[string]any{
		"iss": c.clientID, "sub": c.clientID, "aud": firstOf(audience, c.issuer), "jti": rand.Text(),
		"iat": c.now.Unix(), "exp": c.now.Add(assertionLifetime).Unix(),
	})
	if err != nil {
		return fmt.Errorf("acpclient: client assertion: %w", err)
	}
	c.secrets = append(c.secrets, assertion)
	c.set("client_id", c.clientID)
	c.set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	c.set("client_assertion", assertion)
	return nil
}
