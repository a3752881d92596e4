package acpclient

import (
	"context"
	"crypto"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// RequestObject signs authorization requests (RFC 9101, JAR), so that the server knows that
// no parameter was changed on its way through the browser. Each is new, and good for five minutes.
type RequestObject struct {
	sealed

	// Key signs, as PrivateKeyJWT.Key, and may be the same. Required.
	Key crypto.Signer

	// KeyID is the `kid` under which the server knows the key. "" sends none.
	KeyID string

	// Alg is as PrivateKeyJWT.Alg. ACP takes RS256, ES256 and PS256.
	Alg string

	// Audience is the `aud`, a single string. "" means the issuer.
	Audience string

	// EncryptionAlg encrypts the signed object to the server's key, so that the browser does not
	// see it either: RSA-OAEP or RSA-OAEP-256, which ACP takes, or ECDH-ES, with +A128KW, +A192KW or
	// +A256KW or alone. "" does not encrypt.
	EncryptionAlg string

	// EncryptionEnc is A128CBC-HS256, the same as "", A192CBC-HS384, A256CBC-HS512, A128GCM,
	// A192GCM or A256GCM. ACP takes A128CBC-HS256 and A256GCM.
	EncryptionEnc string
}

const requestObjectLifetime = 5 * time.Minute

func (r *RequestObject) check() error {
	_, err := signingAlg("RequestObject", r.Key, r.Alg)
	return errors.Join(err, r.checkEncryption())
}

// judgeRequestObject compares the setting with what the server says of request objects.
func (c *Client) judgeRequestObject(m *Metadata) error {
	r := c.config.RequestObject
	if r == nil {
		if m.requireSignedRequestObject {
			return invalidResponse("metadata", "the server demands signed request objects, and RequestObject is not set")
		}
		return nil
	}
	alg, err := signingAlg("RequestObject", r.Key, r.Alg)
	switch {
	case err != nil:
		return err
	case !m.requestParameterSupported && !c.pushes(m): // to a pushed one it can say no itself
		return invalidResponse("metadata", "RequestObject is set, and the server says that it takes none")
	case m.requestObjectAlgs != nil && !slices.Contains(m.requestObjectAlgs, string(alg)):
		return invalidResponse("metadata", fmt.Sprintf("the server takes no request objects by RequestObject.Alg %s", alg))
	case r.EncryptionAlg != "" && m.requestObjectEncryptionAlgs != nil && !slices.Contains(m.requestObjectEncryptionAlgs, r.EncryptionAlg):
		return invalidResponse("metadata", "the server takes no request objects by RequestObject.EncryptionAlg "+r.EncryptionAlg)
	case r.EncryptionAlg != "" && m.requestObjectEncryptionEncs != nil && !slices.Contains(m.requestObjectEncryptionEncs, r.enc()):
		return invalidResponse("metadata", "the server takes no request objects by RequestObject.EncryptionEnc "+r.enc())
	case r.EncryptionAlg != "" && m.JWKSURI == "":
		return invalidResponse("metadata", "no jwks_uri, which RequestObject.EncryptionAlg needs")
	}
	return nil
}

// inObject is an authorization request whose parameters are all in a request object: what
// stands outside would not be signed (RFC 9101 5).
func (c *Client) inObject(ctx context.Context, request url.Values) (url.Values, error) {
	r := c.config.RequestObject
	key, err := signingKey("RequestObject", r.Key, r.KeyID, r.Alg)
	if err != nil {
		return nil, err
	}
	claims := map[string]any{}
	for name, values := range request {
		switch name {
		case "claims", "authorization_details": // OIDC Core 6.1, RFC 9396 3: as JSON
			claims[name] = json.RawMessage(values[0])
		case "max_age":
			if claims[name], err = strconv.ParseInt(values[0], 10, 64); err != nil {
				return nil, err
			}
		default:
			claims[name] = values[0]
			if len(values) > 1 { // resource (RFC 8707 2)
				claims[name] = values
			}
		}
	}
	now := c.now()
	claims["iss"], claims["aud"], claims["jti"] = c.config.ClientID, firstOf(r.Audience, c.config.Issuer), rand.Text()
	claims["iat"], claims["nbf"], claims["exp"] = now.Unix(), now.Unix(), now.Add(requestObjectLifetime).Unix()
	// RFC 9101 10.8: the explicit type keeps it from passing as another token.
	object, err := signJWT(key, "oauth-authz-req+jwt", claims)
	if err != nil {
		return nil, fmt.Errorf("acpclient: request object: %w", err)
	}
	if r.EncryptionAlg != "" {
		if object, err = c.encrypted(ctx, object); err != nil {
			return nil, err
		}
	}
	return url.Values{"client_id": {c.config.ClientID}, "request": {object}}, nil
}
