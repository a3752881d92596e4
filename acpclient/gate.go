package acpclient

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/acp-go/acp/internal/strictjson"
)

// jws is a JWT that passed the form checks of the gate, which every JWT passes before
// anything else is done with it: length, compact form, canonical base64url, a strict
// header. Its payload is not looked at until the signature was verified.
type jws struct {
	*joseHeader
	signingInput []byte
	signature    []byte
	payload      string
	claims       // set by readClaims
	room         *scratch
}

// joseHeader is what the gate takes from a JOSE header.
type joseHeader struct {
	alg    string
	kid    string
	hasKid bool
	typ    string // lower case, without application/
}

// scratch is the memory of one verification, which the next may use again: signingInput,
// signature and claims of a jws lie in it. The payload does not.
type scratch struct {
	token, decoded, signature, sum []byte
	members                        strictjson.Object
	lists                          []string
}

const maxKid = 256 // bytes

// parseJWS is the gate.
func parseJWS(token string, maxSize int) (*jws, error) {
	if len(token) > maxSize {
		return nil, errTooLong
	}
	parts, err := cutCompact(token)
	if err != nil {
		return nil, err
	}
	t := &jws{room: &scratch{token: []byte(token)}}
	if err := t.parseHeader(parts); err != nil {
		return nil, err
	}
	return t, t.parseRest(parts)
}

var (
	errTooLong      = invalidToken("token_malformed", "the token is too long")
	errNotCompact   = invalidToken("token_malformed", "not a JWS in compact form")
	errNotBase64URL = invalidToken("token_malformed", "not canonical base64url")
)

// compact is a token cut at its points (RFC 7515 7.1).
type compact struct{ header, payload, signature string }

func cutCompact(token string) (c compact, err error) {
	var ok, ok2 bool
	c.header, token, ok = strings.Cut(token, ".")
	c.payload, c.signature, ok2 = strings.Cut(token, ".")
	if !ok || !ok2 || c.header == "" || c.payload == "" || strings.IndexByte(c.signature, '.') >= 0 {
		return c, errNotCompact
	}
	return c, nil
}

// parseHeader reads the header of the token whose bytes stand in t.room.token.
func (t *jws) parseHeader(c compact) (err error) {
	if t.room.decoded, err = decodeCanonical(t.room.decoded, t.room.token[:len(c.header)]); err != nil {
		return err
	}
	t.joseHeader, err = readHeader(string(t.room.decoded))
	return err
}

// parseRest decodes payload and signature.
func (t *jws) parseRest(c compact) (err error) {
	end := len(c.header) + 1 + len(c.payload)
	t.signingInput = t.room.token[:end]
	if t.room.decoded, err = decodeCanonical(t.room.decoded, t.room.token[len(c.header)+1:end]); err != nil {
		return err
	}
	t.payload = string(t.room.decoded)
	t.room.signature, err = decodeCanonical(t.room.signature, t.room.token[end+1:])
	t.signature = t.room.signature
	return err
}

var strictBase64URL = base64.RawURLEncoding.Strict()

// decodeCanonical refuses padding, white space, and trailing bits that say nothing:
// each byte string has one text (RFC 7515 2). The result has the room of into.
func decodeCanonical(into, part []byte) ([]byte, error) {
	if size := base64.RawURLEncoding.DecodedLen(len(part)); cap(into) < size {
		into = make([]byte, size)
	}
	n, err := strictBase64URL.Decode(into[:cap(into)], part)
	// The decoder skips line breaks.
	if err != nil || len(part) != base64.RawURLEncoding.EncodedLen(n) {
		return into[:0], errNotBase64URL
	}
	return into[:n], nil
}

// readHeader takes what the gate needs; jwk, jku, x5u and x5c are never looked at
// (RFC 8725 3.10).
func readHeader(text string) (*joseHeader, error) {
	members, err := strictjson.Parse(text)
	if err != nil {
		return nil, invalidToken("token_malformed", "header: "+err.Error())
	}
	h := &joseHeader{}
	v, _ := members.Value("alg")
	if h.alg, _ = v.String(); h.alg == "" {
		return nil, invalidToken("alg", "no alg")
	}
	if v, ok := members.Value("typ"); ok {
		typ, ok := v.String()
		if !ok {
			return nil, invalidToken("token_malformed", "typ is not a string")
		}
		// An empty one must not pass for none.
		if h.typ = shortType(typ); h.typ == "" {
			return nil, invalidToken("token_malformed", "typ is empty")
		}
	}
	if h.kid, h.hasKid, err = headerKid(members); err != nil {
		return nil, err
	}
	if err := withoutMembers(members, "crit", "b64", "zip", "enc"); err != nil {
		return nil, err
	}
	return h, nil
}

// headerKid is the `kid` of a header, where there is one.
func headerKid(members strictjson.Object) (kid string, present bool, err error) {
	v, present := members.Value("kid")
	if !present {
		return "", false, nil
	}
	kid, ok := v.String()
	if !ok || len(kid) > maxKid {
		return "", false, invalidToken("token_malformed", "kid is not a short string")
	}
	return kid, true, nil
}

// withoutMembers refuses a header with one of these names. Nothing critical is understood here
// (RFC 7515 4.1.11, RFC 7516 4.1.13), and compression tells of the text (RFC 8725 3.6).
func withoutMembers(members strictjson.Object, names ...string) error {
	for _, name := range names {
		if _, ok := members.Value(name); ok {
			return invalidToken("token_malformed", "header has "+name)
		}
	}
	return nil
}

// shortType is a `typ` or `cty` as it is compared (RFC 7515 4.1.9).
func shortType(s string) string { return strings.TrimPrefix(strings.ToLower(s), "application/") }

// namesAlg tells whether an encoded header is a JSON object with an `alg`, good or bad.
func namesAlg(encoded string) bool {
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	var members map[string]json.RawMessage
	if err != nil || json.Unmarshal(text, &members) != nil {
		return false
	}
	_, ok := members["alg"]
	return ok
}

// readClaims reads the payload of a token whose signature was verified.
func (t *jws) readClaims() error {
	members, err := strictjson.ParseInto(t.room.members, t.payload)
	if err != nil {
		return invalidToken("token_malformed", "claims: "+err.Error())
	}
	t.room.members, t.claims = members, claims(members)
	return nil
}

// jwtExpiry is the exp that an access token names where it is a JWT. Nothing is
// verified: it only tells when a refresh is due.
func jwtExpiry(token string) (time.Time, bool) {
	t, err := parseJWS(token, defaultTokenSize)
	if err != nil || t.readClaims() != nil {
		return time.Time{}, false
	}
	exp, ok, err := t.date("exp")
	return exp, ok && err == nil
}
