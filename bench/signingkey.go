package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// signingKey is a key of the server, published or not.
type signingKey struct {
	public jose.JSONWebKey
	signer jose.Signer
}

func newSigningKey(alg, id string) (*signingKey, error) {
	var key crypto.Signer
	var err error
	switch alg {
	case "RS256":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = fmt.Errorf("no key for %s", alg)
	}
	if err != nil {
		return nil, err
	}
	k := &signingKey{public: jose.JSONWebKey{Key: key.Public(), KeyID: id, Use: "sig", Algorithm: alg}}
	k.signer, err = jose.NewSigner(jose.SigningKey{
		Algorithm: jose.SignatureAlgorithm(alg), Key: jose.JSONWebKey{Key: key, KeyID: id},
	}, (&jose.SignerOptions{}).WithType("JWT"))
	return k, err
}

func (k *signingKey) sign(claims map[string]any) (string, error) {
	return jwt.Signed(k.signer).Claims(claims).Serialize()
}

// publish makes these keys the server's key set.
func (s *server) publish(keys ...*signingKey) error {
	var set jose.JSONWebKeySet
	for _, k := range keys {
		set.Keys = append(set.Keys, k.public)
	}
	document, err := json.Marshal(set)
	s.mu.Lock()
	s.jwks = document
	s.mu.Unlock()
	return err
}

// serveKeys sets what the key set's answer says of its age, and how long it takes.
func (s *server) serveKeys(age, latency time.Duration) {
	s.mu.Lock()
	s.keyAge, s.latency = age, latency
	s.mu.Unlock()
}

func (s *server) keySet(w http.ResponseWriter, r *http.Request) {
	s.keyFetches.Add(1)
	s.mu.Lock()
	document, age, latency := s.jwks, s.keyAge, s.latency
	s.mu.Unlock()
	if latency > 0 {
		select {
		case <-time.After(latency):
		case <-r.Context().Done():
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "max-age="+strconv.Itoa(int(age/time.Second)))
	w.Write(document)
}
