package acpclient

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// Decryption says what the server encrypts to this client, as it is registered there, and how
// that is opened. What is encrypted must be a signed JWT in a JWE in compact form (RFC 7519
// 11.2), and neither takes the other's place: what should be encrypted and is not is refused,
// as is the reverse. Content is A128GCM, A256GCM, A128CBC-HS256 or A256CBC-HS512, never
// compressed. Printed or logged, it shows nothing.
type Decryption struct {
	sealed

	// Keys open what was encrypted to their public halves, up to four of them, so that a
	// new one can be published before the old one is taken away. Required.
	Keys []DecryptionKey

	// IDToken: the client is registered with id_token_encrypted_response_alg, which holds for
	// logout tokens, too (Back-Channel Logout 1.0 2.4).
	IDToken bool

	// UserInfo: with userinfo_encrypted_response_alg and userinfo_signed_response_alg.
	UserInfo bool

	// AuthorizationResponse: with authorization_encrypted_response_alg. It needs a JWT
	// response mode.
	AuthorizationResponse bool
}

// DecryptionKey is a private key for encrypted tokens. Printed or logged, it shows nothing.
type DecryptionKey struct {
	sealed

	// Key is an RSA key of 2048 to 8192 bits, an *rsa.PrivateKey or a crypto.Decrypter that
	// lives elsewhere, in an HSM for example, and takes rsa.OAEPOptions; or an
	// *ecdsa.PrivateKey on P-256, P-384 or P-521. Required.
	Key crypto.PrivateKey

	// KeyID is the `kid` under which the server knows the key. A token that names another
	// one is not for this key. "" takes tokens with any and with none.
	KeyID string

	// Alg is the one algorithm that the key is for: RSA-OAEP-256, or ECDH-ES, ECDH-ES+A128KW
	// or ECDH-ES+A256KW. "" means all of these that fit its type.
	Alg string
}

// maxDecryptionKeys bounds what a forged token costs.
const maxDecryptionKeys = 4

// What is decrypted, and nothing else. RSA1_5 is an oracle (RFC 8725 3.2), RSA-OAEP hashes with
// SHA-1, and "dir", AES key wrap and PBES2 need a shared secret.
var (
	rsaDecryption  = []jose.KeyAlgorithm{jose.RSA_OAEP_256}
	ecdhDecryption = []jose.KeyAlgorithm{jose.ECDH_ES, jose.ECDH_ES_A128KW, jose.ECDH_ES_A256KW}
)

// check reports every mistake.
func (d *Decryption) check(responseMode string) error {
	if d == nil {
		return nil
	}
	var errs []error
	if len(d.Keys) == 0 || len(d.Keys) > maxDecryptionKeys {
		errs = append(errs, mistake("Decryption.Keys", "%d keys, not 1 to %d", len(d.Keys), maxDecryptionKeys))
	}
	for i := range d.Keys {
		if _, err := d.Keys[i].algs(); err != nil {
			errs = append(errs, fmt.Errorf("Decryption.Keys[%d].%w", i, err))
		}
	}
	switch {
	case d.AuthorizationResponse && !isJWTMode(responseMode):
		errs = append(errs, mistake("Decryption.AuthorizationResponse", "needs a JWT mode in ResponseMode"))
	case !d.IDToken && !d.UserInfo && !d.AuthorizationResponse:
		errs = append(errs, mistake("Decryption", "names nothing that is encrypted"))
	}
	return errors.Join(errs...)
}

// judge wants the server to offer an algorithm of ours for what it is to encrypt, where it says
// which it has.
func (d *Decryption) judge(m *Metadata) error {
	if d == nil {
		return nil
	}
	for _, kind := range []struct {
		wanted  bool
		field   string
		offered []string
	}{
		{d.IDToken, "IDToken", m.idTokenEncryptionAlgs},
		{d.UserInfo, "UserInfo", m.userInfoEncryptionAlgs},
		{d.AuthorizationResponse, "AuthorizationResponse", m.authorizationEncryptionAlgs},
	} {
		if kind.wanted && kind.offered != nil && !slices.ContainsFunc(kind.offered, d.has) {
			return invalidResponse("metadata", "the server offers no encryption that the keys of Config.Decryption."+kind.field+" have")
		}
	}
	return nil
}

// has tells whether a key is for the algorithm.
func (d *Decryption) has(alg string) bool {
	return slices.ContainsFunc(d.Keys, func(k DecryptionKey) bool {
		algs, err := k.algs()
		return err == nil && slices.Contains(algs, jose.KeyAlgorithm(alg))
	})
}

// clone is a copy that later changes of the caller's do not reach.
func (d *Decryption) clone() *Decryption {
	if d == nil {
		return nil
	}
	c := *d
	c.Keys = slices.Clone(d.Keys)
	return &c
}

// algs are those that the key may be used with, or why there is none.
func (k *DecryptionKey) algs() (fits []jose.KeyAlgorithm, err error) {
	switch key := k.Key.(type) {
	case nil:
		return nil, mistake("Key", "is nil")
	case *ecdsa.PrivateKey:
		if key == nil {
			return nil, mistake("Key", "is nil")
		}
		if _, err := key.Bytes(); err != nil || !slices.Contains([]elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()}, key.Curve) {
			return nil, mistake("Key", "is empty, or on another curve than P-256, P-384 and P-521")
		}
		fits = ecdhDecryption
	case *rsa.PrivateKey:
		if key == nil {
			return nil, mistake("Key", "is nil")
		}
		fits, err = rsaDecryption, checkRSA(&key.PublicKey)
	case crypto.Decrypter:
		public, ok := publicOf(key).(*rsa.PublicKey)
		if !ok {
			return nil, mistake("Key", "is empty, or of a type that cannot decrypt: %T", key)
		}
		fits, err = rsaDecryption, checkRSA(public)
	default:
		return nil, mistake("Key", "has the type %T, which cannot decrypt", k.Key)
	}
	switch {
	case err != nil:
		return nil, err
	case len(k.KeyID) > maxKid:
		return nil, mistake("KeyID", "is longer than %d bytes", maxKid)
	case k.Alg == "":
		return fits, nil
	case !slices.Contains(fits, jose.KeyAlgorithm(k.Alg)):
		return nil, mistake("Alg", "%q is not supported with a key of type %T", k.Alg, k.Key)
	}
	return []jose.KeyAlgorithm{jose.KeyAlgorithm(k.Alg)}, nil
}

func checkRSA(public *rsa.PublicKey) error {
	if public.N == nil {
		return mistake("Key", "is empty")
	}
	switch bits := public.N.BitLen(); {
	case bits < minRSABits || bits > maxRSABits:
		return mistake("Key", "has %d bits, not %d to %d", bits, minRSABits, maxRSABits)
	case weakRSA(public.N):
		return mistake("Key", "has the ROCA fingerprint")
	}
	return nil
}

// fits tells whether the key may open a JWE with this header.
func (k *DecryptionKey) fits(h *jweHeader) bool {
	algs, err := k.algs()
	return err == nil && slices.Contains(algs, h.alg) && (!h.hasKid || k.KeyID == "" || k.KeyID == h.kid)
}

// decrypter is the key as go-jose takes it.
func (k *DecryptionKey) decrypter() any {
	if key, ok := k.Key.(*ecdsa.PrivateKey); ok {
		return key
	}
	return oaep{k.Key.(crypto.Decrypter)}
}

// oaep decrypts with RSA-OAEP-256, the only algorithm that comes here.
type oaep struct{ crypto.Decrypter }

// DecryptKey implements jose.OpaqueKeyDecrypter.
func (o oaep) DecryptKey(encryptedKey []byte, _ jose.Header) (cek []byte, err error) {
	defer func() { // a refresh has other tokens to keep
		if recover() != nil {
			cek, err = nil, errDecryption
		}
	}()
	// RFC 8017 7.1.2: as long as the modulus. crypto/rsa takes one whose leading zeros are left out.
	if public, ok := o.Public().(*rsa.PublicKey); !ok || len(encryptedKey) != public.Size() {
		return nil, rsa.ErrDecryption
	}
	return o.Decrypt(rand.Reader, encryptedKey, &rsa.OAEPOptions{Hash: crypto.SHA256})
}
