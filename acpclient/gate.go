package acpclient

import (
	"encoding/base64"
	"strings"
	"time"

	"github.com/acp-go/acp/internal/strictjson"
)

// jws is a JWT that passed the form checks of the gate, which every JWT passes before
// anything else is done with it: length, compact form, canonical base64url, a strict
// header. Its payload is not looked at until the signature was verified.
type jws struct {
	alg          string
	kid          string
	hasKid       bool
	typ          string // lower case, without application/
	signingInput []byte
	signature    []byte
	payload      []byte
	claims       strictjson.Object // set by readClaims
}

const maxKid = 256 // bytes

// parseJWS is the gate.
func parseJWS(token string, maxSize int) (*jws, error) {
	if len(token) > maxSize {
		return nil, invalidToken("token_malformed", "the token is too long")
	}
	header, rest, ok := strings.Cut(token, ".")
	payload, signature, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || header == "" || payload == "" || strings.Contains(signature, ".") {
		return nil, invalidToken("token_malformed", "not a JWS in compact form")
	}
	rawHeader, err := decodeCanonical(header)
	if err != nil {
		return nil, err
	}
	t := &jws{signingInput: []byte(token[:len(header)+1+len(payload)])}
	if err := t.readHeader(rawHeader); err != nil {
		return nil, err
	}
	if t.payload, err = decodeCanonical(payload); err != nil {
		return nil, err
	}
	t.signature, err = decodeCanonical(signature)
	return t, err
}

// decodeCanonical refuses padding, white space, and trailing bits that say nothing:
// each byte string has one text (RFC 7515 2).
func decodeCanonical(part string) ([]byte, error) {
	for i := range len(part) {
		switch c := part[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return nil, invalidToken("token_malformed", "not base64url")
		}
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, invalidToken("token_malformed", "not canonical base64url")
	}
	return b, nil
}

// readHeader takes what the gate needs; jwk, jku, x5u and x5c are never looked at
// (RFC 8725 3.10).
func (t *jws) readHeader(raw []byte) error {
	h, err := strictjson.Parse(string(raw))
	if err != nil {
		return invalidToken("token_malformed", "header: "+err.Error())
	}
	v, _ := h.Value("alg")
	if t.alg, _ = v.String(); t.alg == "" {
		return invalidToken("alg", "no alg")
	}
	if v, ok := h.Value("typ"); ok {
		typ, ok := v.String()
		if !ok {
			return invalidToken("token_malformed", "typ is not a string")
		}
		// An empty one must not pass for none.
		if t.typ = strings.TrimPrefix(strings.ToLower(typ), "application/"); t.typ == "" {
			return invalidToken("token_malformed", "typ is empty")
		}
	}
	if v, ok := h.Value("kid"); ok {
		if t.kid, t.hasKid = v.String(); !t.hasKid || len(t.kid) > maxKid {
			return invalidToken("token_malformed", "kid is not a short string")
		}
	}
	for _, name := range []string{"crit", "b64", "zip", "enc"} {
		if _, ok := h.Value(name); ok { // RFC 7515 4.1.11: nothing critical is understood here
			return invalidToken("token_malformed", "header has "+name)
		}
	}
	return nil
}

// readClaims reads the payload of a token whose signature was verified.
func (t *jws) readClaims() (err error) {
	if t.claims, err = strictjson.Parse(string(t.payload)); err != nil {
		return invalidToken("token_malformed", "claims: "+err.Error())
	}
	return nil
}

// text returns a claim that must be a string where it is there.
func (t *jws) text(name string) (s string, present bool, err error) {
	v, ok := t.claims.Value(name)
	if !ok {
		return "", false, nil
	}
	if s, ok = v.String(); !ok {
		return "", true, invalidToken("token_malformed", name+" is not a string")
	}
	return s, true, nil
}

// date returns a NumericDate (RFC 7519 2) where it is there.
func (t *jws) date(name string) (at time.Time, present bool, err error) {
	v, ok := t.claims.Value(name)
	if !ok {
		return time.Time{}, false, nil
	}
	if at, err = v.NumericDate(); err != nil {
		return time.Time{}, true, invalidToken("token_malformed", name+": "+err.Error())
	}
	return at, true, nil
}

// audience is the `aud` claim as a list: a string, or an array of strings.
func (t *jws) audience() ([]string, error) {
	v, _ := t.claims.Value("aud")
	if s, ok := v.String(); ok && s != "" {
		return []string{s}, nil
	}
	list, ok := v.Strings()
	if !ok || len(list) == 0 || len(list) > maxAudiences {
		return nil, invalidToken("audience", "aud is missing or malformed")
	}
	return list, nil
}

const maxAudiences = 100

// times judges exp, nbf and iat at once; exp is required in all kinds of tokens.
func (t *jws) times(now time.Time, leeway time.Duration) (exp, iat time.Time, err error) {
	exp, ok, err := t.date("exp")
	switch {
	case err != nil:
		return exp, iat, err
	case !ok:
		return exp, iat, invalidToken("token_malformed", "no exp")
	case !now.Before(exp.Add(leeway)): // RFC 7519 4.1.4
		return exp, iat, invalidToken("expired", "exp is over")
	}
	nbf, ok, err := t.date("nbf")
	switch {
	case err != nil:
		return exp, iat, err
	case ok && nbf.After(now.Add(leeway)): // RFC 7519 4.1.5
		return exp, iat, invalidToken("not_yet_valid", "nbf is in the future")
	}
	iat, ok, err = t.date("iat")
	if err == nil && ok && iat.After(now.Add(leeway)) {
		err = invalidToken("issued_at", "iat is in the future")
	}
	return exp, iat, err
}

// subject is required, and identifies one user without doubt (OIDC Core 2).
func (t *jws) subject() (string, error) {
	sub, _, err := t.text("sub")
	if err != nil || !validSubject(sub) {
		return "", invalidToken("subject", "sub is missing or malformed")
	}
	return sub, nil
}

func validSubject(sub string) bool { return len(sub) <= 255 && printable(sub) }

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
