package middleware

import (
	"encoding/base64"
	"errors"
	"strings"

	"github.com/gorilla/securecookie"
)

// sealer encrypts and authenticates under one purpose's keys. What it seals carries its
// own times and version: securecookie's are not looked at.
type sealer struct {
	codecs []*securecookie.SecureCookie // newest key first
}

var errSeal = errors.New("middleware: sealing failed")

func newSealer(secrets [][]byte, purpose, issuer, clientID string) (*sealer, error) {
	s := &sealer{}
	for _, secret := range secrets {
		hash, block, err := derive(secret, purpose, issuer, clientID)
		if err != nil {
			return nil, err
		}
		// Without a maximum of its own: the whole is cut into cookies afterwards.
		codec := securecookie.New(hash, block).SetSerializer(securecookie.NopEncoder{}).MaxLength(0).MaxAge(0)
		s.codecs = append(s.codecs, codec)
	}
	return s, nil
}

// seal gives text that open accepts under the same name alone. plain is used up.
func (s *sealer) seal(name string, plain []byte) (string, error) {
	sealed, err := s.codecs[0].Encode(name, plain) // encrypts in place what NopEncoder hands it
	if err != nil {
		return "", errSeal // securecookie's text is not needed: only the random source can fail
	}
	return sealed, nil
}

// sealedSize is the length of what seal gives for so many bytes: time | iv, ciphertext | MAC,
// in base64 twice.
func sealedSize(plain int) int {
	encoded := base64.URLEncoding.EncodedLen
	return encoded(len("1700000000|") + encoded(16+plain) + len("|") + 32)
}

// open returns what was sealed, and whether the newest key did it.
func (s *sealer) open(name, sealed string) (plain []byte, newest, ok bool) {
	if !canonical(sealed) {
		return nil, false, false
	}
	for i, codec := range s.codecs {
		if codec.Decode(name, sealed, &plain) == nil {
			return plain, i == 0, true
		}
	}
	return nil, false, false
}

// canonical refuses what securecookie would decode to the same bytes as another text: a
// second spelling would be a second valid cookie. It skips line breaks, and does not look at
// the bits of the last character that stand for nothing.
func canonical(sealed string) bool {
	const quantum = 4
	if len(sealed) < quantum || strings.IndexByte(sealed, '\n') >= 0 || strings.IndexByte(sealed, '\r') >= 0 {
		return false
	}
	var last [quantum]byte
	_, err := base64.URLEncoding.Strict().Decode(last[:], []byte(sealed[len(sealed)-quantum:]))
	return err == nil
}
