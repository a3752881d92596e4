package middleware

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A sealed session is cut into cookies. The first starts with their number and a dot; the
// number is part of the name under which the whole is sealed.

// errSessionTooLarge: ten cookies do not hold the tokens.
var errSessionTooLarge = &problem{
	status: http.StatusInternalServerError, reason: "session_too_large",
	detail: fmt.Sprintf("the tokens do not fit into %d cookies", maxChunks),
}

// split seals a record and cuts it.
func (a *Authenticator) split(r *record) ([]string, error) {
	plain := a.cookieOf(r)
	size := maxCookie - len(a.cookies.chunk(maxChunks-1)) - len("10.")
	for n := 1; ; {
		sealed, err := a.sessions.seal(sealedName(a.cookies.session, n), plain)
		if err != nil {
			return nil, err
		}
		needed := (len(sealed) + size - 1) / size
		if needed > maxChunks {
			return nil, errSessionTooLarge
		}
		if needed != n { // the length does not depend on the name
			n = needed
			continue
		}
		chunks := make([]string, 0, n)
		for len(sealed) > size {
			chunks, sealed = append(chunks, sealed[:size]), sealed[size:]
		}
		chunks = append(chunks, sealed)
		chunks[0] = strconv.Itoa(n) + "." + chunks[0]
		return chunks, nil
	}
}

func sealedName(name string, chunks int) string { return name + "." + strconv.Itoa(chunks) }

// join finds the session among a request's cookies: with a Store a record without tokens.
// Where several copies are good but speak of different sessions, none is: one of them was planted.
func (a *Authenticator) join(p *presented) (found *record, newest, ok bool) {
	for _, first := range p.chunks[0] {
		r, isNewest, good := a.joinFrom(first, p)
		switch {
		case !good:
		case found == nil:
			found, newest = r, isNewest
		case found.id != r.id:
			return nil, false, false
		case r.generation > found.generation, r.generation == found.generation && r.seen.After(found.seen):
			found, newest = r, isNewest
		}
	}
	return found, newest, found != nil
}

func (a *Authenticator) joinFrom(first string, p *presented) (r *record, newest, ok bool) {
	number, rest, _ := strings.Cut(first, ".")
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > maxChunks || strconv.Itoa(n) != number {
		return nil, false, false
	}
	sealed := rest
	if n > 1 {
		var b strings.Builder
		b.WriteString(rest)
		for _, copies := range p.chunks[1:n] {
			if len(copies) != 1 {
				return nil, false, false
			}
			b.WriteString(copies[0])
		}
		sealed = b.String()
	}
	if p.held()>>n != 0 { // a cookie of a longer, older session
		return nil, false, false
	}
	plain, newest, ok := a.sessions.open(sealedName(a.cookies.session, n), sealed)
	if !ok {
		return nil, false, false
	}
	if a.shelf != nil {
		r, ok = decodeTicket(plain)
	} else {
		r, ok = decodeRecord(plain)
	}
	return r, newest, ok
}

// cookieOf is the part of a session that the browser holds: with a Store a ticket, else all.
func (a *Authenticator) cookieOf(r *record) []byte {
	if a.shelf != nil {
		return r.encodeTicket()
	}
	return r.encode()
}

// writeSession sets a session's cookies, deletes those that a longer one left, and returns
// those that the browser holds then. The browser may hold one more than it showed, when two
// responses crossed: that one goes, too.
func (a *Authenticator) writeSession(h http.Header, held chunkSet, r *record, now time.Time) (chunkSet, error) {
	chunks, err := a.split(r)
	if err != nil {
		return held, err
	}
	lifetime := a.end(r).Sub(now)
	for i, c := range chunks {
		a.cookies.set(h, a.cookies.chunk(i), c, lifetime)
	}
	held |= 1 << len(chunks)
	for i := len(chunks); i < maxChunks; i++ {
		if held&(1<<i) != 0 {
			a.cookies.remove(h, a.cookies.chunk(i))
		}
	}
	return 1<<len(chunks) - 1, nil
}

// clearSession deletes the cookies that the browser holds.
func (a *Authenticator) clearSession(h http.Header, held chunkSet) {
	for i := range maxChunks {
		if held&(1<<i) != 0 {
			a.cookies.remove(h, a.cookies.chunk(i))
		}
	}
}
