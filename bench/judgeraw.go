package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"
)

var errSignature = errors.New("the signature is bad")

// newRawJudge is no library: it is the signature check alone, of bytes that are decoded
// and with a key that is parsed. Nobody who looks at a token can do with less.
func newRawJudge(s *server) *judge {
	return &judge{
		title: "signature check alone",
		batch: func(_ context.Context, tokens []string) (func(int) (string, error), error) {
			inputs, signatures := make([][]byte, len(tokens)), make([][]byte, len(tokens))
			for i, token := range tokens {
				var err error
				if inputs[i], signatures[i], err = cutToken(s.alg, token); err != nil {
					return nil, err
				}
			}
			key := s.current.public.Key
			return func(i int) (string, error) {
				if !checkSignature(key, inputs[i], signatures[i]) {
					return "", errSignature
				}
				return theUser.Subject, nil
			}, nil
		},
	}
}

// cutToken returns the signed bytes and the signature, in the form in which the standard
// library reads it.
func cutToken(alg, token string) (input, signature []byte, err error) {
	i := strings.LastIndexByte(token, '.')
	if signature, err = base64.RawURLEncoding.DecodeString(token[i+1:]); err != nil {
		return nil, nil, err
	}
	if alg == "ES256" {
		signature, err = asn1.Marshal(struct{ R, S *big.Int }{
			new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]),
		})
	}
	return []byte(token[:i]), signature, err
}

func checkSignature(key any, input, signature []byte) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		digest := sha256.Sum256(input)
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) == nil
	case *ecdsa.PublicKey:
		digest := sha256.Sum256(input)
		return ecdsa.VerifyASN1(key, digest[:], signature)
	case ed25519.PublicKey:
		return ed25519.Verify(key, input, signature)
	}
	return false
}

// newMemoryJudge knows the tokens of its batch by their hash. Nobody who remembers
// tokens, and keeps none of them, can do with less.
func newMemoryJudge() *judge {
	return &judge{
		title: "SHA-256 and a map",
		batch: func(_ context.Context, tokens []string) (func(int) (string, error), error) {
			texts := make([][]byte, len(tokens))
			known := make(map[[sha256.Size]byte]string, len(tokens))
			for i, token := range tokens {
				texts[i] = []byte(token)
				known[sha256.Sum256(texts[i])] = theUser.Subject
			}
			return func(i int) (string, error) {
				subject, ok := known[sha256.Sum256(texts[i])]
				if !ok {
					return "", errSignature
				}
				return subject, nil
			}, nil
		},
	}
}
