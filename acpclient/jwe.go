package acpclient

import (
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/acp-go/acp/internal/strictjson"
)

// contentEncryption is a row of RFC 7518 5.1: the lengths of IV and tag in bytes.
type contentEncryption struct {
	enc     jose.ContentEncryption
	iv, tag int
}

var contentEncryptions = []contentEncryption{
	{jose.A128GCM, 12, 16}, {jose.A256GCM, 12, 16}, {jose.A128CBC_HS256, 16, 16}, {jose.A256CBC_HS512, 16, 32},
}

// jweHeader is what is taken from the header of a JWE.
type jweHeader struct {
	alg    jose.KeyAlgorithm
	enc    contentEncryption
	kid    string
	hasKid bool
}

var (
	errNotJWE = invalidToken("token_malformed", "not a JWE in compact form")

	// One error for all that a key finds out, so that nobody learns from it how far a forged
	// token came (RFC 7516 11.5).
	errDecryption = invalidToken("decryption", "the token cannot be decrypted")
)

// decrypted is the signed JWT in a token that is registered to be encrypted, or the token
// itself where it is not. It looks at no token to find out which (RFC 8725 3.12). Nothing of
// the result is verified: whoever knows the public key could have made it.
func (c *Client) decrypted(raw string, registered func(*Decryption) bool) (string, error) {
	d := c.config.Decryption
	if d == nil || !registered(d) {
		return raw, nil
	}
	if len(raw) > c.config.MaxTokenSize {
		return "", errTooLong
	}
	h, err := readJWE(raw)
	if err != nil {
		return "", err
	}
	jwe, err := jose.ParseEncryptedCompact(raw, []jose.KeyAlgorithm{h.alg}, []jose.ContentEncryption{h.enc.enc})
	if err != nil {
		return "", errDecryption
	}
	for i := range d.Keys {
		if !d.Keys[i].fits(h) {
			continue
		}
		if inner, err := jwe.Decrypt(d.Keys[i].decrypter()); err == nil {
			return string(inner), nil
		}
	}
	return "", errDecryption
}

func encryptedIDToken(d *Decryption) bool  { return d.IDToken }
func encryptedUserInfo(d *Decryption) bool { return d.UserInfo }
func encryptedResponse(d *Decryption) bool { return d.AuthorizationResponse }

// readJWE judges the form of a JWE, and all that needs no key.
func readJWE(raw string) (*jweHeader, error) {
	parts := strings.SplitN(raw, ".", 6) // RFC 7516 7.1
	if len(parts) != 5 {
		return nil, errNotJWE
	}
	var decoded [5][]byte
	for i, part := range parts {
		var err error
		if decoded[i], err = decodeCanonical(nil, []byte(part)); err != nil {
			return nil, err
		}
	}
	h, err := readJWEHeader(string(decoded[0]))
	if err != nil {
		return nil, err
	}
	// go-jose moves bytes of a longer tag into the text.
	if len(decoded[2]) != h.enc.iv || len(decoded[4]) != h.enc.tag || len(decoded[3]) == 0 {
		return nil, errNotJWE
	}
	if (len(decoded[1]) == 0) != (h.alg == jose.ECDH_ES) { // RFC 7516 5.2 (10)
		return nil, errNotJWE
	}
	return h, nil
}

func readJWEHeader(text string) (*jweHeader, error) {
	members, err := strictjson.Parse(text)
	if err != nil {
		return nil, invalidToken("token_malformed", "header: "+err.Error())
	}
	h := &jweHeader{}
	alg, _ := members.Value("alg")
	enc, _ := members.Value("enc")
	for _, known := range slices.Concat(rsaDecryption, ecdhDecryption) {
		if s, ok := alg.String(); ok && s == string(known) {
			h.alg = known
		}
	}
	for _, known := range contentEncryptions {
		if s, ok := enc.String(); ok && s == string(known.enc) {
			h.enc = known
		}
	}
	if h.alg == "" || h.enc.enc == "" {
		return nil, invalidToken("alg", "alg or enc of the encryption is not accepted")
	}
	if err := withoutMembers(members, "crit", "b64", "zip"); err != nil {
		return nil, err
	}
	if h.kid, h.hasKid, err = headerKid(members); err != nil {
		return nil, err
	}
	cty, _ := members.Value("cty")
	if s, ok := cty.String(); !ok || shortType(s) != "jwt" { // RFC 7519 5.2
		return nil, invalidToken("token_malformed", "cty is not JWT: no signed token is inside")
	}
	return h, nil
}
