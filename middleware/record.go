package middleware

import (
	"encoding/base64"
	"encoding/binary"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/acp-go/acp/acpclient"
)

// recordVersion is the first byte of a session. A record of another version is no session.
const recordVersion = 2

// sessionID is 128 random bits.
type sessionID [16]byte

// record is what a session cookie holds. It is shared between requests, and never changed.
type record struct {
	id         sessionID
	generation uint64    // refreshes so far
	created    time.Time // all times are whole milliseconds
	seen       time.Time // last use, in steps of a tenth of the idle timeout
	issued     time.Time // when the tokens came

	issuer, subject string // of the ID token; "" without one

	held   *heldTokens // nil in the ticket of a Store
	ticket *ticket     // where the record lives in a Store; nil in cookies
}

// heldTokens are a record's tokens, which most requests do not need: they are decoded when
// somebody asks.
type heldTokens struct {
	packed []byte // nil for those that this process got itself
	once   sync.Once
	tokens *acpclient.Tokens
}

// tokens are not to be changed: requests share them. A ticket has none.
func (r *record) tokens() *acpclient.Tokens {
	h := r.held
	if h == nil {
		return nil
	}
	h.once.Do(func() {
		if h.tokens == nil {
			h.tokens = unpackTokens(&decoder{rest: h.packed})
		}
	})
	return h.tokens
}

// hold gives a record its tokens, and the user whom they name.
func (r *record) hold(t *acpclient.Tokens) {
	r.held = &heldTokens{tokens: t}
	r.issuer, r.subject = userOf(t)
}

// userOf reads the user out of the ID token.
func userOf(t *acpclient.Tokens) (issuer, subject string) {
	var id struct {
		Issuer  string `json:"iss"`
		Subject string `json:"sub"`
	}
	if t.Claims(&id) != nil {
		return "", ""
	}
	return id.Issuer, id.Subject
}

func (r *record) encode() []byte {
	size := len(r.held.packed)
	if r.held.packed == nil {
		t := r.held.tokens
		size = len(t.AccessToken) + len(t.RefreshToken) + len(t.IDToken)
	}
	b := make([]byte, 0, 256+len(r.issuer)+len(r.subject)+size)
	b = append(b, recordVersion)
	b = append(b, r.id[:]...)
	b = binary.AppendUvarint(b, r.generation)
	b = appendTime(b, r.created)
	b = appendTime(b, r.seen)
	b = appendTime(b, r.issued)
	b = appendText(b, r.issuer)
	b = appendText(b, r.subject)
	if r.held.packed != nil {
		return append(b, r.held.packed...)
	}
	return packTokens(b, r.held.tokens)
}

// decodeRecord keeps b.
func decodeRecord(b []byte) (*record, bool) {
	d := &decoder{rest: b}
	if d.byte() != recordVersion {
		return nil, false
	}
	r := &record{}
	copy(r.id[:], d.take(uint64(len(r.id))))
	r.generation = d.uvarint()
	r.created, r.seen, r.issued = d.time(), d.time(), d.time()
	r.issuer, r.subject = string(d.text()), string(d.text())
	r.held = &heldTokens{packed: d.rest}
	d.skipTokens()
	return r, !d.failed && len(d.rest) == 0
}

func packTokens(b []byte, t *acpclient.Tokens) []byte {
	b = appendTime(b, t.Expiry)
	b = binary.AppendUvarint(b, uint64(max(t.ExpiresIn, 0)))
	b = appendText(b, t.TokenType)
	b = appendToken(b, t.AccessToken)
	b = appendToken(b, t.RefreshToken)
	b = appendToken(b, t.IDToken)
	b = binary.AppendUvarint(b, uint64(len(t.Scopes)))
	for _, s := range t.Scopes {
		b = appendText(b, s)
	}
	return b
}

// unpackTokens reads what skipTokens found well formed.
func unpackTokens(d *decoder) *acpclient.Tokens {
	t := &acpclient.Tokens{Token: &oauth2.Token{}}
	t.Expiry = d.time()
	t.ExpiresIn = int64(min(d.uvarint(), 1<<62))
	t.TokenType = string(d.text())
	t.AccessToken, t.RefreshToken, t.IDToken = d.token(), d.token(), d.token()
	for n := d.uvarint(); n > 0 && !d.failed; n-- {
		t.Scopes = append(t.Scopes, string(d.text()))
	}
	return t
}

// skipTokens fails where unpackTokens would.
func (d *decoder) skipTokens() {
	d.time()
	d.uvarint()
	d.text()
	for range 3 {
		for n := max(d.uvarint(), 1); n > 0 && !d.failed; n-- {
			d.text()
		}
	}
	for n := d.uvarint(); n > 0 && !d.failed; n-- {
		d.text()
	}
}

// appendTime writes milliseconds; 0 is the zero time.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	return binary.AppendUvarint(b, uint64(max(t.UnixMilli(), 1)))
}

func appendText[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// A token that is made of canonical base64url parts, as every JWT is, is kept decoded: a
// quarter less. n is the number of parts, and 0 marks a token that is kept as it is.
func appendToken(b []byte, token string) []byte {
	parts := strings.Split(token, ".")
	packed := binary.AppendUvarint(nil, uint64(len(parts)))
	for _, p := range parts {
		raw, err := base64.RawURLEncoding.DecodeString(p)
		if err != nil || base64.RawURLEncoding.EncodeToString(raw) != p {
			return appendText(append(b, 0), token)
		}
		packed = appendText(packed, raw)
	}
	return append(b, packed...)
}

// decoder reads what was appended. After a failure everything it gives is zero.
type decoder struct {
	rest   []byte
	failed bool
}

func (d *decoder) take(n uint64) []byte {
	if d.failed || n > uint64(len(d.rest)) {
		d.failed = true
		return nil
	}
	var b []byte
	b, d.rest = d.rest[:n], d.rest[n:]
	return b
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 || d.failed {
		d.failed = true
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) text() []byte { return d.take(d.uvarint()) }

const year10000 = 253402300800000 // milliseconds

func (d *decoder) time() time.Time {
	switch ms := d.uvarint(); {
	case ms == 0:
		return time.Time{}
	case ms >= year10000:
		d.failed = true
		return time.Time{}
	default:
		return time.UnixMilli(int64(ms))
	}
}

func (d *decoder) token() string {
	n := d.uvarint()
	if n == 0 {
		return string(d.text())
	}
	size := 0
	for ahead, i := *d, uint64(0); i < n && !ahead.failed; i++ {
		size += base64.RawURLEncoding.EncodedLen(len(ahead.text())) + len(".")
	}
	b := make([]byte, 0, size)
	for i := uint64(0); i < n && !d.failed; i++ {
		if i > 0 {
			b = append(b, '.')
		}
		b = base64.RawURLEncoding.AppendEncode(b, d.text())
	}
	return string(b)
}
