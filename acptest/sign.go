package acptest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // SHA-256 for crypto.Hash
	_ "crypto/sha512" // SHA-384 and SHA-512 for crypto.Hash
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
)

// Sign makes a compact JWS with the key that signs now. The header gets alg, kid and
// typ "JWT" where the argument has no such member; a nil value leaves the member out.
// Values may be json.RawMessage or json.Number, to control each byte.
func (s *Server) Sign(header, claims map[string]any) string {
	return s.Key().Sign(header, claims)
}

// Sign makes a compact JWS with this key, as Server.Sign does. The signature is always
// made with the key's own algorithm, whatever `alg` says, so that a test can lie.
func (k *Key) Sign(header, claims map[string]any) string {
	return k.SignRaw(encode(k.header(header)), encode(claims))
}

// SignRaw signs a header and a payload that need not be JSON, or may hold a member twice.
func (k *Key) SignRaw(header, payload string) string {
	return Compact(header, payload, func(input []byte) []byte {
		sig, err := sign(k.Alg, k.signer, input)
		if err != nil {
			panic("acptest: " + err.Error())
		}
		return sig
	})
}

func (k *Key) header(header map[string]any) map[string]any {
	h := map[string]any{"alg": k.Alg, "kid": k.ID, "typ": "JWT"}
	maps.Copy(h, header)
	maps.DeleteFunc(h, func(_ string, v any) bool { return v == nil })
	return h
}

// Unsigned makes a JWS with an empty signature. The header gets alg "none" and typ
// "JWT" where the argument has no such member; a nil value leaves the member out.
func Unsigned(header, claims map[string]any) string {
	h := map[string]any{"alg": "none", "typ": "JWT"}
	maps.Copy(h, header)
	maps.DeleteFunc(h, func(_ string, v any) bool { return v == nil })
	return Compact(encode(h), encode(claims), nil)
}

// SignHMAC makes a JWS under a shared secret, which may be a public key in whatever
// encoding an attacker would try. `alg` is HS256 where the header does not say HS384
// or HS512.
func SignHMAC(secret []byte, header, claims map[string]any) string {
	h := map[string]any{"alg": "HS256", "typ": "JWT"}
	maps.Copy(h, header)
	maps.DeleteFunc(h, func(_ string, v any) bool { return v == nil })
	hash := crypto.SHA256
	switch h["alg"] {
	case "HS384":
		hash = crypto.SHA384
	case "HS512":
		hash = crypto.SHA512
	}
	return Compact(encode(h), encode(claims), func(input []byte) []byte {
		mac := hmac.New(hash.New, secret)
		mac.Write(input)
		return mac.Sum(nil)
	})
}

// Compact joins the three parts of a JWS. sign gets the signing input of RFC 7515 5.1;
// nil leaves the signature empty.
func Compact(header, payload string, sign func(input []byte) []byte) string {
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	if sign == nil {
		return input + "."
	}
	return input + "." + b64(sign([]byte(input)))
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic("acptest: cannot encode as JSON: " + err.Error())
	}
	return string(b)
}

func hashOf(alg string) crypto.Hash {
	switch {
	case strings.HasSuffix(alg, "384"):
		return crypto.SHA384
	case strings.HasSuffix(alg, "512"), alg == "EdDSA":
		return crypto.SHA512
	}
	return crypto.SHA256
}

// HalfHash is the value of at_hash and c_hash: the left half of the hash that the
// algorithm of the ID token uses (OpenID Connect Core 3.1.3.6).
func HalfHash(alg, value string) string {
	h := hashOf(alg).New()
	h.Write([]byte(value))
	sum := h.Sum(nil)
	return b64(sum[:len(sum)/2])
}

func sign(alg string, key crypto.Signer, input []byte) ([]byte, error) {
	if alg == "EdDSA" {
		return key.Sign(rand.Reader, input, crypto.Hash(0))
	}
	hash := hashOf(alg)
	h := hash.New()
	h.Write(input)
	digest := h.Sum(nil)
	switch alg[:2] {
	case "PS":
		return key.Sign(rand.Reader, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash})
	case "RS":
		return key.Sign(rand.Reader, digest, hash)
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s needs an *ecdsa.PrivateKey, not %T", alg, key)
	}
	r, s, err := ecdsa.Sign(rand.Reader, ec, digest)
	if err != nil {
		return nil, err
	}
	size := (ec.Params().BitSize + 7) / 8 // RFC 7518 3.4: two integers of fixed length
	sig := make([]byte, 2*size)
	r.FillBytes(sig[:size])
	s.FillBytes(sig[size:])
	return sig, nil
}

// verify reads a compact JWS and checks its signature under one key.
func verify(token string, key crypto.PublicKey) (header, claims map[string]any, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, nil, errors.New("it is not a compact JWS")
	}
	raw := make([][]byte, 3)
	for i, part := range parts {
		if raw[i], err = base64.RawURLEncoding.Strict().DecodeString(part); err != nil {
			return nil, nil, errors.New("a part is not base64url")
		}
	}
	if json.Unmarshal(raw[0], &header) != nil || json.Unmarshal(raw[1], &claims) != nil {
		return nil, nil, errors.New("header or payload is not a JSON object")
	}
	alg, _ := header["alg"].(string)
	if !verifySignature(alg, key, []byte(parts[0]+"."+parts[1]), raw[2]) {
		return header, claims, fmt.Errorf("its signature (alg %q) does not verify under the registered key", alg)
	}
	return header, claims, nil
}

// sharedKey is a secret in the place of a public key.
type sharedKey string

func verifySignature(alg string, key crypto.PublicKey, input, sig []byte) bool {
	hash := hashOf(alg)
	h := hash.New()
	h.Write(input)
	digest := h.Sum(nil)
	switch key := key.(type) {
	case sharedKey:
		mac := hmac.New(hash.New, []byte(key))
		mac.Write(input)
		return slices.Contains([]string{"HS256", "HS384", "HS512"}, alg) && hmac.Equal(mac.Sum(nil), sig)
	case *rsa.PublicKey:
		if strings.HasPrefix(alg, "PS") {
			return rsa.VerifyPSS(key, hash, digest, sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
		return strings.HasPrefix(alg, "RS") && rsa.VerifyPKCS1v15(key, hash, digest, sig) == nil
	case *ecdsa.PublicKey:
		size := (key.Params().BitSize + 7) / 8
		if !strings.HasPrefix(alg, "ES") || len(sig) != 2*size {
			return false
		}
		return ecdsa.Verify(key, digest, new(big.Int).SetBytes(sig[:size]), new(big.Int).SetBytes(sig[size:]))
	case ed25519.PublicKey:
		return alg == "EdDSA" && ed25519.Verify(key, input, sig)
	}
	return false
}
