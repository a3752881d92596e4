package middleware

import (
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/acp-go/acp/acpclient"
)

// recordVersion is the first byte of a session. A record of another version is no session.
const recordVersion = 1

// sessionID is 128 random bits.
type sessionID [16]byte

// record is what a session cookie holds.
type record struct {
	id         sessionID
	generation uint64    // refreshes so far
	created    time.Time // all times are whole milliseconds
	seen       time.Time // last use, in steps of a tenth of the idle timeout
	issued     time.Time // when the tokens came
	tokens     *acpclient.Tokens

	ticket *ticket // where the record lives in a Store; nil in cookies
}

func (r *record) encode() []byte {
	b := make([]byte, 0, 256+len(r.tokens.AccessToken)+len(r.tokens.RefreshToken)+len(r.tokens.IDToken))
	b = append(b, recordVersion)
	b = append(b, r.id[:]...)
	b = binary.AppendUvarint(b, r.generation)
	b = appendTime(b, r.created)
	b = appendTime(b, r.seen)
	b = appendTime(b, r.issued)
	b = appendTime(b, r.tokens.Expiry)
	b = binary.AppendUvarint(b, uint64(max(r.tokens.ExpiresIn, 0)))
	b = appendText(b, r.tokens.TokenType)
	b = appendToken(b, r.tokens.AccessToken)
	b = appendToken(b, r.tokens.RefreshToken)
	b = appendToken(b, r.tokens.IDToken)
	b = binary.AppendUvarint(b, uint64(len(r.tokens.Scopes)))
	for _, s := range r.tokens.Scopes {
		b = appendText(b, s)
	}
	return b
}

func decodeRecord(b []byte) (*record, bool) {
	d := &decoder{rest: b}
	if d.byte() != recordVersion {
		return nil, false
	}
	r := &record{tokens: &acpclient.Tokens{Token: &oauth2.Token{}}}
	copy(r.id[:], d.take(uint64(len(r.id))))
	r.generation = d.uvarint()
	r.created, r.seen, r.issued = d.time(), d.time(), d.time()
	r.tokens.Expiry = d.time()
	r.tokens.ExpiresIn = int64(min(d.uvarint(), 1<<62))
	r.tokens.TokenType = string(d.text())
	r.tokens.AccessToken, r.tokens.RefreshToken, r.tokens.IDToken = d.token(), d.token(), d.token()
	for n := d.uvarint(); n > 0 && !d.failed; n-- {
		r.tokens.Scopes = append(r.tokens.Scopes, string(d.text()))
	}
	return r, !d.failed && len(d.rest) == 0
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
	var b strings.Builder
	for i := uint64(0); i < n && !d.failed; i++ {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(base64.RawURLEncoding.EncodeToString(d.text()))
	}
	return b.String()
}
