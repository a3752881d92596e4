package middleware

import (
	"encoding/base64"
	"errors"
	"slices"

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

// seal gives text that open accepts under the same name alone.
func (s *sealer) seal(name string, plain []byte) (string, error) {
	// securecookie encrypts in place what NopEncoder hands it.
	sealed, err := s.codecs[0].Encode(name, slices.Clone(plain))
	if err != nil {
		return "", errSeal // securecookie's text is not needed: only the random source can fail
	}
	return sealed, nil
}

// open returns what was sealed, and whether the newest key did it.
func (s *sealer) open(name, sealed string) (plain []byte, newest, ok bool) {
	// A second spelling of the same bytes would be a second valid cookie.
	raw, err := base64.URLEncoding.DecodeString(sealed)
	if err != nil || base64.URLEncoding.EncodeToString(raw) != sealed {
		return nil, false, false
	}
	for i, codec := range s.codecs {
		if codec.Decode(name, sealed, &plain) == nil {
			return plain, i == 0, true
		}
	}
	return nil, false, false
}
