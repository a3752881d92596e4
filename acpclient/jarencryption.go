package acpclient

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/acp-go/acp/internal/strictjson"
)

// What request objects can be encrypted by, which is more than what is taken. RSA1_5 is not
// among them (RFC 8725 3.2).
var (
	objectKeyAlgs = []string{"RSA-OAEP", "RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A192KW", "ECDH-ES+A256KW"}
	objectEncs    = []string{"A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512", "A128GCM", "A192GCM", "A256GCM"}
)

// checkEncryption reports what is wrong with the algorithms.
func (r *RequestObject) checkEncryption() error {
	switch {
	case r.EncryptionAlg == "" && r.EncryptionEnc != "":
		return mistake("RequestObject.EncryptionEnc", "is set without EncryptionAlg")
	case r.EncryptionAlg != "" && !slices.Contains(objectKeyAlgs, r.EncryptionAlg):
		return mistake("RequestObject.EncryptionAlg", "%q is not supported", r.EncryptionAlg)
	case r.EncryptionAlg != "" && !slices.Contains(objectEncs, r.enc()):
		return mistake("RequestObject.EncryptionEnc", "%q is not supported", r.EncryptionEnc)
	}
	return nil
}

// enc is the default of OpenID Connect Registration 2 where none is set.
func (r *RequestObject) enc() string { return firstOf(r.EncryptionEnc, "A128CBC-HS256") }

// newEncryption is the key of the server's that request objects are encrypted to.
func (c *Client) newEncryption() *lazy[*key] {
	alg := c.config.RequestObject.EncryptionAlg
	return &lazy[*key]{
		fetch: func(ctx context.Context) (k *key, err error) {
			defer c.rescue(&err)
			m, err := c.meta.value(ctx)
			if err != nil {
				return nil, err
			}
			body, err := c.back.get(ctx, m.JWKSURI, nil, document)
			if err != nil {
				return nil, err
			}
			return encryptionKeyFor(body, alg)
		},
		fresh: metadataFresh, timeout: fetchTimeout, now: func() time.Time { return c.now() }, jitter: rand.Float64,
	}
}

// encryptionKey waits for a fetch where the last one was 15 min ago: to a key that the server has no more,
// the first login after a quiet night would be encrypted in vain. A server that does not answer leaves the key known before.
func (c *Client) encryptionKey(ctx context.Context) (*key, error) {
	return c.encryption.again(ctx, metadataFresh)
}

// encryptionKeyFor is the first key of a set that says that it is for encryption, and fits.
func encryptionKeyFor(body []byte, alg string) (*key, error) {
	list, err := keyList(body)
	if err != nil {
		return nil, invalidResponse("metadata", err.Error())
	}
	for _, raw := range list {
		o, ok := raw.Object()
		if use, _, _ := text(o, "use"); !ok || use != "enc" { // RFC 7517 4.2
			continue
		}
		if k, err := parseEncryptionKey(o, alg); err == nil {
			return k, nil
		}
	}
	return nil, invalidResponse("metadata", "the server's key set has no key that RequestObject.EncryptionAlg "+alg+" fits")
}

func parseEncryptionKey(o strictjson.Object, alg string) (k *key, err error) {
	k = &key{}
	if k.kty, _, err = text(o, "kty"); err != nil {
		return nil, err
	}
	if k.kid, k.hasKid, err = text(o, "kid"); err != nil {
		return nil, err
	}
	switch only, bound, err := text(o, "alg"); {
	case err != nil:
		return nil, err
	case len(k.kid) > maxKid:
		return nil, errors.New("kid too long")
	case bound && only != alg:
		return nil, errors.New("for another algorithm")
	}
	rsa := alg == "RSA-OAEP" || alg == "RSA-OAEP-256"
	switch {
	case rsa && k.kty == "RSA":
		err = k.parseRSA(o)
	case !rsa && k.kty == "EC":
		err = k.parseEC(o)
	default:
		err = errors.New("of another type")
	}
	return k, err
}

// encrypted wraps a signed request object (RFC 9101 4, RFC 7519 A.2).
func (c *Client) encrypted(ctx context.Context, object string) (string, error) {
	k, err := c.encryptionKey(ctx)
	if err != nil {
		return "", err
	}
	r := c.config.RequestObject
	encrypter, err := jose.NewEncrypter(jose.ContentEncryption(r.enc()),
		jose.Recipient{Algorithm: jose.KeyAlgorithm(r.EncryptionAlg), Key: k.public, KeyID: k.kid},
		(&jose.EncrypterOptions{}).WithContentType("JWT"))
	if err != nil {
		return "", fmt.Errorf("acpclient: request object: %w", err)
	}
	jwe, err := encrypter.Encrypt([]byte(object))
	if err != nil {
		return "", fmt.Errorf("acpclient: request object: %w", err)
	}
	return jwe.CompactSerialize()
}
