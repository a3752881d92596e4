package acptest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math/big"
)

// Key is a signing key with the members that a key set shows for it.
type Key struct {
	// ID is the `kid`, a long decimal number as ACP's are.
	ID string

	// Alg is the one algorithm that the key is for.
	Alg string

	signer crypto.Signer
}

// NewKey makes a key for a signature algorithm of Options.Alg. It panics on another.
func NewKey(alg string) *Key {
	signer, err := generate(alg)
	if err != nil {
		panic("acptest: " + err.Error())
	}
	id, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic("acptest: " + err.Error())
	}
	return &Key{ID: id.String(), Alg: alg, signer: signer}
}

var algorithms = []string{"ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA"}

func generate(alg string) (crypto.Signer, error) {
	switch alg {
	case "ES256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512":
		return rsa.GenerateKey(rand.Reader, 2048)
	case "EdDSA":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("no such signature algorithm: %q", alg)
}

// KeyFrom wraps a key that the test made, for instance one that is too small. The
// algorithm must fit the key. JWK shows it, and Sign signs with it.
func KeyFrom(id, alg string, signer crypto.Signer) *Key {
	return &Key{ID: id, Alg: alg, signer: signer}
}

// Signer returns the private key.
func (k *Key) Signer() crypto.Signer { return k.signer }

// Public returns the public key.
func (k *Key) Public() crypto.PublicKey { return k.signer.Public() }

// JWK returns the public key as a fresh map of the members of RFC 7517, with kid, use
// and alg. The caller may edit it.
func (k *Key) JWK() map[string]any {
	jwk := publicJWK(k.Public())
	jwk["kid"], jwk["use"], jwk["alg"] = k.ID, "sig", k.Alg
	return jwk
}

func publicJWK(key crypto.PublicKey) map[string]any {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		point, err := key.Bytes() // 4, x, y
		if err != nil {
			panic("acptest: " + err.Error())
		}
		size := (len(point) - 1) / 2
		return map[string]any{
			"kty": "EC", "crv": key.Params().Name,
			"x": b64(point[1 : 1+size]), "y": b64(point[1+size:]),
		}
	case *rsa.PublicKey:
		return map[string]any{
			"kty": "RSA", "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes()),
		}
	case ed25519.PublicKey:
		return map[string]any{"kty": "OKP", "crv": "Ed25519", "x": b64(key)}
	}
	panic(fmt.Sprintf("acptest: a key of type %T has no JWK form here", key))
}

// Key returns the key that signs now.
func (s *Server) Key() *Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.key
}

// RotateKey makes a key of the same algorithm, publishes it, and signs with it from
// now on. The earlier keys stay published.
func (s *Server) RotateKey() *Key {
	k := NewKey(s.Key().Alg)
	s.AddKey(k)
	s.SetKey(k)
	return k
}

// AddKey publishes a further key, without signing with it.
func (s *Server) AddKey(k *Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.published = append(s.published, k.JWK())
}

// SetKey signs with k from now on. It does not publish k: AddKey does.
func (s *Server) SetKey(k *Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key = k
}

// RemoveKey takes every key with this id out of the key set, as a revocation does. If it
// is the key that signs, it goes on signing.
func (s *Server) RemoveKey(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.published[:0:0]
	for _, jwk := range s.published {
		if jwk["kid"] != id {
			kept = append(kept, jwk)
		}
	}
	s.published = kept
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// random returns 43 URL-safe characters that carry 256 bits.
func random() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return b64(b)
}
