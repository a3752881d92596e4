package acpclient

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"io"
	"slices"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
	"github.com/go-jose/go-jose/v4/jwt"
)

// signingAlg is the algorithm that a key of ours signs with, or why the two do not fit. name
// is of the type whose fields they are.
func signingAlg(name string, key crypto.Signer, alg string) (jose.SignatureAlgorithm, error) {
	if key == nil {
		return "", mistake(name+".Key", "is nil")
	}
	var fits []jose.SignatureAlgorithm
	public := publicOf(key)
	switch pub := public.(type) {
	case *rsa.PublicKey:
		if pub.N == nil || pub.N.BitLen() < minRSABits {
			return "", mistake(name+".Key", "is an RSA key of fewer than %d bits", minRSABits)
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
		return "", mistake(name+".Key", "is empty, or of a type that cannot sign: %T", key)
	case alg == "":
		return fits[0], nil
	case !slices.Contains(fits, jose.SignatureAlgorithm(alg)):
		return "", mistake(name+".Alg", "%q does not fit a key of type %T", alg, public)
	}
	return jose.SignatureAlgorithm(alg), nil
}

// publicOf is the public half of a key, and nil for an empty key, whose method panics: a nil *rsa.PrivateKey
// is a mistake in the configuration like any.
func publicOf(key interface{ Public() crypto.PublicKey }) (public crypto.PublicKey) {
	defer func() { _ = recover() }()
	return key.Public()
}

// signingKey is a key as go-jose takes it. id and alg may be "".
func signingKey(name string, key crypto.Signer, id, alg string) (jose.SigningKey, error) {
	chosen, err := signingAlg(name, key, alg)
	if err != nil {
		return jose.SigningKey{}, err
	}
	return jose.SigningKey{
		Algorithm: chosen,
		Key:       jose.JSONWebKey{Key: cryptosigner.Opaque(exactSalt{key}), KeyID: id},
	}, nil
}

// signJWT makes a compact JWS of this `typ`.
func signJWT(key jose.SigningKey, typ jose.ContentType, claims map[string]any) (string, error) {
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType(typ))
	if err != nil {
		return "", err
	}
	return jwt.Signed(signer).Claims(claims).Serialize()
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
