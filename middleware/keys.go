package middleware

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
)

const (
	keySize = 32
	maxKeys = 16 // each is tried against each bad cookie
)

// The purposes that keys are derived for: what is sealed for one can never be read as another.
const (
	purposeSession     = "session"
	purposeTransaction = "transaction"
	purposeTicket      = "ticket"
	purposePlace       = "place"
)

// checkKeys reports every key that is not 32 random bytes.
func checkKeys(keys [][]byte) []error {
	var errs []error
	if len(keys) == 0 {
		errs = append(errs, fmt.Errorf("Config.CookieKeys: is empty: make a key with `openssl rand -base64 32`"))
	}
	if len(keys) > maxKeys {
		errs = append(errs, fmt.Errorf("Config.CookieKeys: holds more than %d keys", maxKeys))
	}
	for i, k := range keys {
		if problem := checkKey(k); problem != "" {
			errs = append(errs, fmt.Errorf("Config.CookieKeys[%d]: %s", i, problem))
			continue
		}
		for j := range i {
			if bytes.Equal(k, keys[j]) {
				errs = append(errs, fmt.Errorf("Config.CookieKeys[%d]: is the same key as CookieKeys[%d]", i, j))
			}
		}
	}
	return errs
}

// checkKey refuses what nobody's random generator gives. A counting sequence is what
// examples in documentations use, ours included.
func checkKey(k []byte) string {
	if encoded(k) {
		return "is text: decode it first"
	}
	if len(k) != keySize {
		return fmt.Sprintf("has %d bytes, not %d", len(k), keySize)
	}
	text, counting, distinct := true, true, [256]bool{}
	for i, b := range k {
		text = text && b >= 0x20 && b < 0x7f
		counting = counting && b == k[0]+byte(i)*(k[1]-k[0])
		distinct[b] = true
	}
	different := 0
	for _, seen := range distinct {
		if seen {
			different++
		}
	}
	switch {
	case counting:
		return "is an example, or all its bytes are equal"
	case text:
		return "is text: decode it first, or make a random key"
	case different < 8:
		return "is not random"
	}
	return ""
}

// encoded holds for 32 bytes as `openssl rand` prints them, in base64 or hex.
func encoded(k []byte) bool {
	text := strings.TrimRight(string(k), "=\r\n")
	for _, decode := range []func(string) ([]byte, error){
		base64.RawStdEncoding.DecodeString, base64.RawURLEncoding.DecodeString, hex.DecodeString,
	} {
		if raw, err := decode(text); err == nil && len(raw) == keySize {
			return true
		}
	}
	return false
}

// derive makes the two keys that securecookie takes (RFC 5869). They are bound to the
// registration, so that another application with the same secret reads nothing.
func derive(secret []byte, purpose, issuer, clientID string) (hash, block []byte, err error) {
	info := fmt.Sprintf("acp-go middleware v1|%s|%d|%s|%d|%s", purpose, len(issuer), issuer, len(clientID), clientID)
	key, err := hkdf.Key(sha256.New, secret, nil, info, 2*keySize)
	if err != nil {
		return nil, nil, err
	}
	return key[:keySize], key[keySize:], nil
}
