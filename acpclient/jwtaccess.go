package acpclient

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
)

// verifyJWT judges a JWT access token in the given room, which it leaves for the next.
func (v *Verifier) verifyJWT(ctx context.Context, token string, room *scratch) (*AccessToken, error) {
	t := jws{room: room}
	parts, err := cutCompact(token)
	if err != nil {
		return nil, err
	}
	known := v.headers.get(parts.header)
	room.token = append(room.token[:0], token...)
	if t.joseHeader = known; known == nil {
		if err := t.parseHeader(parts); err != nil {
			return nil, err
		}
		if !slices.Contains(v.config.Algs, t.alg) {
			return nil, errAlg
		}
	}
	var d digest
	if v.good != nil {
		d = v.fingerprints.digest(room)
		if a, err := v.recall(ctx, &d); a != nil || err != nil {
			return a, err
		}
	}
	if err := t.parseRest(parts); err != nil {
		return nil, err
	}
	signer, in, err := v.keys.verify(ctx, &t)
	if err != nil {
		return nil, err
	}
	if err := t.readClaims(); err != nil {
		return nil, err
	}
	g := &goodToken{}
	times, err := v.judge(&t, &g.token)
	if err != nil {
		return nil, err
	}
	if known == nil {
		v.headers.add(parts.header, t.joseHeader)
	}
	if v.good != nil {
		g.digest, g.notBefore, g.until, g.signer = d, times.notBefore, times.expiry.Add(v.config.Leeway), signer
		g.keys.Store(in)
		v.good.put(g, v.now())
	}
	return &g.token, nil
}

// recall returns a token that was found good before, and still is: nil where it must be
// judged anew.
func (v *Verifier) recall(ctx context.Context, d *digest) (*AccessToken, error) {
	g := v.good.get(d)
	if g == nil {
		return nil, nil
	}
	now := v.now()
	if !now.Before(g.until) || g.notBefore.After(now.Add(v.config.Leeway)) {
		v.good.remove(g)
		return nil, nil
	}
	if g.signer == nil {
		// Besides until, which is of the clock that a suspended machine stops.
		if exp := g.token.Expiry; !exp.IsZero() && !now.Before(exp) {
			v.good.remove(g)
			return nil, nil
		}
		return &g.token, nil
	}
	in := g.keys.Load()
	set, err := v.keys.still(ctx, g.signer, in, now)
	switch {
	case err != nil:
		return nil, err
	case set == nil: // the key was withdrawn
		v.good.remove(g)
		return nil, nil
	case set != in:
		g.keys.Store(set)
	}
	return &g.token, nil
}

var errAlg = invalidToken("alg", "alg is not an accepted one")

// judge applies the rules to verified claims, and makes a of them.
func (v *Verifier) judge(t *jws, a *AccessToken) (times validity, err error) {
	// RFC 9068 4, RFC 8725 3.11: the list of types is closed.
	if t.typ != "at+jwt" && (v.config.RFC9068 || t.typ != "" && t.typ != "jwt") {
		return times, invalidToken("token_use", "typ is not an access token's")
	}
	if iss, _, err := t.text("iss"); err != nil || iss != v.expected {
		return times, invalidToken("issuer", "iss is not the expected one")
	}
	if times, err = v.judgeAccess(t.claims, placesOfJWT, true, t.room, a); err != nil {
		return times, err
	}
	if err := v.judgeBinding(a); err != nil {
		return times, err
	}
	if v.config.RFC9068 { // RFC 9068 2.2
		jti, _, err := t.text("jti")
		if err != nil || jti == "" || a.ClientID == "" || a.IssuedAt.IsZero() {
			return times, invalidToken("token_malformed", "RFC 9068 demands client_id, iat and jti")
		}
	}
	a.Issuer, a.claims = v.expected, t.payload
	return times, nil
}

// looksLikeJWT holds for three base64url parts whose first is a JSON object with an
// `alg`: such a token is judged as a JWT, or not at all. The other parts may be empty. The
// header of a good JWT, which known holds, is not decoded again.
func looksLikeJWT(token string, known *headerMemo) bool {
	header, rest, _ := strings.Cut(token, ".")
	points := 0
	for _, c := range []byte(rest) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		case c == '.':
			points++
		default:
			return false
		}
	}
	return points == 1 && (known.get(header) != nil || namesAlg(header))
}

// headerMemo holds the headers of tokens that were good, by their encoded form: a server
// has few, and nobody else can add one. Reading takes no lock. A full one starts anew, so
// that the keys of years ago leave room for today's.
type headerMemo struct {
	known atomic.Pointer[map[string]*joseHeader]
}

const maxHeaders = 64

func (m *headerMemo) get(encoded string) *joseHeader {
	if known := m.known.Load(); known != nil {
		return (*known)[encoded]
	}
	return nil
}

// add leaves it to the next token when another is added at the same time.
func (m *headerMemo) add(encoded string, h *joseHeader) {
	before := m.known.Load()
	next := map[string]*joseHeader{}
	if before != nil && len(*before) < maxHeaders {
		maps.Copy(next, *before)
	}
	next[strings.Clone(encoded)] = h // encoded is a part of the token
	m.known.CompareAndSwap(before, &next)
}
