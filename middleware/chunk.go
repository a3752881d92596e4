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
	for n := cookiesFor(sealedSize(len(plain)), size); n <= maxChunks; {
		sealed, err := a.sessions.seal(sealedName(a.cookies.session, n), plain)
		if err != nil {
			return nil, err
		}
		if needed := cookiesFor(len(sealed), size); needed != n { // the clock is decades off
			n, plain = needed, a.cookieOf(r)
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
	return nil, errSessionTooLarge
}

func cookiesFor(length, size int) int { return (length + size - 1) / size }

func sealedName(name string, chunks int) string { return name + "." + strconv.Itoa(chunks) }

// join finds the session among a request's cookies: with a Store a record without tokens.
// Where several copies are good but speak of different sessions, none is: one of them was planted.
func (a *Authenticator) join(p *presented) (found *record, newest, ok bool) {
	if found, newest, ok = a.recall(p); ok {
		return found, newest, true
	}
	held := p.held()
	for _, first := range p.chunks[0].all() {
		r, isNewest, good := a.joinFrom(first, p, held)
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

// recall finds a session that was opened before, of which each cookie is there once and no
// other is.
func (a *Authenticator) recall(p *presented) (r *record, newest, ok bool) {
	if p.chunks[0].n != 1 {
		return nil, false, false
	}
	n, rest, ok := cutCount(p.chunks[0].values[0])
	if !ok {
		return nil, false, false
	}
	var parts [maxChunks]string
	parts[0] = rest
	for i := 1; i < maxChunks; i++ {
		c := &p.chunks[i]
		if i >= n && c.n != 0 || i < n && c.n != 1 {
			return nil, false, false
		}
		parts[i] = c.values[0]
	}
	if r, newest, ok = a.opened.get(parts[:n]); ok {
		for i := range n {
			p.chunks[i].unchecked = false // they are what was checked then
		}
	}
	return r, newest, ok
}

// cutCount reads the number that stands before the first cookie.
func cutCount(first string) (n int, rest string, ok bool) {
	number, rest, _ := strings.Cut(first, ".")
	n, err := strconv.Atoi(number)
	return n, rest, err == nil && 1 <= n && n <= maxChunks && strconv.Itoa(n) == number
}

func (a *Authenticator) joinFrom(first string, p *presented, held chunkSet) (r *record, newest, ok bool) {
	n, sealed, ok := cutCount(first)
	if !ok || held>>n != 0 { // a cookie of a longer, older session
		return nil, false, false
	}
	if n > 1 {
		parts := append(make([]string, 0, maxChunks), sealed)
		for i := range p.chunks[1:n] {
			copies := p.chunks[1+i].all()
			if len(copies) != 1 {
				return nil, false, false
			}
			parts = append(parts, copies[0])
		}
		sealed = strings.Join(parts, "")
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
	if ok {
		if n == 1 {
			sealed = strings.Clone(sealed) // and not the whole header
		}
		a.opened.put(&openedCookies{sealed: sealed, chunks: n, rec: r, newestKey: newest, until: a.end(r)})
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
