// Package pkce makes and checks the two halves of Proof Key for Code Exchange
// (RFC 7636): a secret verifier, and the S256 challenge that is shown instead of it.
// The method "plain" does not exist here.
package pkce

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
)

// Method is the only code_challenge_method that this package speaks.
const Method = "S256"

// ErrVerifier is what Check answers for a verifier that RFC 7636 4.1 does not allow.
var ErrVerifier = errors.New("pkce: a verifier has 43 to 128 characters of A-Z a-z 0-9 - . _ ~")

// NewVerifier returns a fresh verifier: 43 characters that hold 256 bits from
// crypto/rand. It never fails; the program ends where the system has no randomness.
func NewVerifier() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Check returns nil for a verifier of the form of RFC 7636 4.1, else ErrVerifier. It
// says nothing about its randomness.
func Check(verifier string) error {
	if len(verifier) < 43 || len(verifier) > 128 {
		return ErrVerifier
	}
	for i := range len(verifier) {
		switch c := verifier[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '.', c == '_', c == '~':
		default:
			return ErrVerifier
		}
	}
	return nil
}

// Challenge is the S256 code_challenge of a verifier: 43 characters (RFC 7636 4.2).
func Challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Match reports, in constant time, whether the challenge belongs to the verifier, and
// the verifier has the form of RFC 7636 (section 4.6). Servers and tests use it.
func Match(verifier, challenge string) bool {
	return Check(verifier) == nil && subtle.ConstantTimeCompare([]byte(Challenge(verifier)), []byte(challenge)) == 1
}
