package middleware

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"time"

	"github.com/gorilla/securecookie"
)

// ticketVersion is the first byte of what a cookie holds where sessions live in a Store.
const ticketVersion = 1

// ticket is what the browser holds of a session that lives in a Store, sealed under
// Config.CookieKeys. The store's part is useless without, and the cookie holds no token.
type ticket struct {
	id       [32]byte // random; its hash is the record's id
	key      [32]byte // random; the record is sealed under it
	sid, sub markKey  // where a logout of the server's leaves word

	once  sync.Once // a ticket is shared by the requests that bring it again
	codec *securecookie.SecureCookie
}

// sealing seals and opens the record. Its keys are derived once, which costs more than to use them.
func (t *ticket) sealing() *securecookie.SecureCookie {
	t.once.Do(func() { t.codec = codecOf(t.key[:], "record") })
	return t.codec
}

// newTicket gives a record its place in a Store. The record's id is derived: who reads the
// store cannot make a cookie of what is there.
func newTicket(r *record, issuer, subject, sid string) {
	t := &ticket{sub: markOf("sub", issuer, subject)}
	if sid != "" {
		t.sid = markOf("sid", issuer, sid)
	}
	rand.Read(t.id[:]) // never fails
	rand.Read(t.key[:])
	r.ticket = t
	r.id = t.sessionID()
}

func (t *ticket) sessionID() (id sessionID) {
	sum := sha256.Sum256(append([]byte("acp-go session\x00"), t.id[:]...))
	copy(id[:], sum[:])
	return id
}

// encodeTicket is the part of a record that goes into the cookie.
func (r *record) encodeTicket() []byte {
	b := make([]byte, 0, 2*len(r.ticket.id)+2*len(markKey{})+24)
	b = append(b, ticketVersion)
	b = append(b, r.ticket.id[:]...)
	b = append(b, r.ticket.key[:]...)
	b = append(b, r.ticket.sid[:]...)
	b = append(b, r.ticket.sub[:]...)
	b = appendTime(b, r.created)
	return appendTime(b, r.seen)
}

// decodeTicket gives a record without tokens.
func decodeTicket(b []byte) (*record, bool) {
	d := &decoder{rest: b}
	if d.byte() != ticketVersion {
		return nil, false
	}
	t := &ticket{}
	for _, part := range [][]byte{t.id[:], t.key[:], t.sid[:], t.sub[:]} {
		copy(part, d.take(uint64(len(part))))
	}
	r := &record{id: t.sessionID(), ticket: t, created: d.time(), seen: d.time()}
	return r, !d.failed && len(d.rest) == 0
}

// markKey stands for a session at the server, or for a user. Zero stands for none.
type markKey [16]byte

func markOf(kind, issuer, value string) (k markKey) {
	b := appendText(appendText(appendText(nil, kind), issuer), value)
	sum := sha256.Sum256(b)
	copy(k[:], sum[:])
	return k
}

// The tokens under which a Store holds things. With the prefix of all none is longer than
// the 43 characters of the tokens of scs, for which the tables of its stores are made.
func recordToken(id sessionID) string { return "s." + base64.RawURLEncoding.EncodeToString(id[:]) }
func endToken(id sessionID) string    { return "e." + base64.RawURLEncoding.EncodeToString(id[:]) }
func markToken(k markKey) string      { return "m." + base64.RawURLEncoding.EncodeToString(k[:]) }

// othersToken is where a user ends the other sessions: in a place of its own, where it
// spares none that a logout of all ended in the same moment.
func othersToken(k markKey) string { return "x." + base64.RawURLEncoding.EncodeToString(k[:]) }

// onceToken stands for what may happen once: the use of a state, of a logout token's jti.
func onceToken(kind string, values ...string) string {
	b := appendText(nil, kind)
	for _, v := range values {
		b = appendText(b, v)
	}
	sum := sha256.Sum256(b)
	return "o." + base64.RawURLEncoding.EncodeToString(sum[:24])
}

// mark is a logout that ends the sessions of before, but for one.
type mark struct {
	at     time.Time
	except sessionID // zero: none
}

func (m mark) encode() []byte { return append(appendTime(nil, m.at), m.except[:]...) }

// decodeMark gives a mark that ends nothing for what cannot be read. What a later version
// may write behind is left alone.
func decodeMark(b []byte) mark {
	d := &decoder{rest: b}
	m := mark{at: d.time()}
	copy(m.except[:], d.take(uint64(len(m.except))))
	if d.failed {
		return mark{}
	}
	return m
}

// ends tells whether the mark ends a session. Our own clock counts, at the session's creation
// and at the receipt of the logout, to the millisecond.
func (m mark) ends(r *record) bool { return !r.created.After(m.at) && m.except != r.id }
