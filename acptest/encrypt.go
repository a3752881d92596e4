package acptest

import (
	"crypto"

	"github.com/go-jose/go-jose/v4"
)

// What the metadata offers.
var (
	encryptionAlgs = []string{"RSA-OAEP", "RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW"}
	encryptionEncs = []string{"A128CBC-HS256", "A256CBC-HS512", "A128GCM", "A256GCM"}
)

// Encryption is what a client is registered to get encrypted. Tokens that a test mints itself are
// not encrypted: Encrypt does that.
type Encryption struct {
	// Key is the client's public key, RSA or ECDSA.
	Key crypto.PublicKey

	// KeyID is the `kid` of the header. "" sends none.
	KeyID string

	// Alg and Enc are the algorithms. "" means RSA-OAEP-256, or ECDH-ES, by the type of the key, and
	// A128CBC-HS256.
	Alg, Enc string

	// IDToken encrypts ID tokens and logout tokens, UserInfo the answers of userinfo, which are signed
	// then, too, and AuthorizationResponse what JARM signs.
	IDToken, UserInfo, AuthorizationResponse bool
}

// Encrypt makes a compact JWE. The header gets `cty` "JWT" where the argument has no such member;
// a nil value leaves the member out. "zip" compresses. Key may also be a shared secret, a []byte,
// for algorithms that a client must refuse. It panics where key and algorithms do not fit.
func (e Encryption) Encrypt(payload string, header map[string]any) string {
	options := &jose.EncrypterOptions{ExtraHeaders: map[jose.HeaderKey]any{"cty": "JWT"}}
	for name, value := range header {
		switch {
		case value == nil:
			delete(options.ExtraHeaders, jose.HeaderKey(name))
		case name == "zip":
			options.Compression = jose.DEFLATE
		default:
			options.ExtraHeaders[jose.HeaderKey(name)] = value
		}
	}
	alg, enc := jose.KeyAlgorithm(e.Alg), jose.ContentEncryption(e.Enc)
	if alg == "" {
		alg = jose.ECDH_ES
		if publicJWK(e.Key)["kty"] == "RSA" {
			alg = jose.RSA_OAEP_256
		}
	}
	if enc == "" {
		enc = jose.A128CBC_HS256
	}
	encrypter, err := jose.NewEncrypter(enc, jose.Recipient{Algorithm: alg, Key: e.Key, KeyID: e.KeyID}, options)
	if err != nil {
		panic("acptest: " + err.Error())
	}
	jwe, err := encrypter.Encrypt([]byte(payload))
	if err != nil {
		panic("acptest: " + err.Error())
	}
	token, err := jwe.CompactSerialize()
	if err != nil {
		panic("acptest: " + err.Error())
	}
	return token
}

// sealed encrypts a token of ours where that is wanted.
func (e *Encryption) sealed(token string, wanted bool) string {
	if !wanted {
		return token
	}
	return e.Encrypt(token, nil)
}
