package middleware

import "net/http"

// Presented is what is read of a request's cookies: the copies of each of a session's, and
// transactions as pairs of id and value.
func (a *Authenticator) Presented(r *http.Request) (chunks [][]string, txs [][2]string) {
	p := a.cookies.read(r)
	p.held()
	for i := range p.chunks {
		chunks = append(chunks, p.chunks[i].all())
	}
	for _, tx := range p.txs {
		txs = append(txs, [2]string{tx.id, tx.value})
	}
	return chunks, txs
}

// Opened is how many sessions' cookies are remembered, and how many bytes that takes.
func (a *Authenticator) Opened() (sessions, bytes int) {
	a.opened.mu.RLock()
	defer a.opened.mu.RUnlock()
	linked, size := 0, 0
	for e := a.opened.oldest; e != nil; e = e.younger {
		linked++
		size += e.size()
	}
	if linked != len(a.opened.bySum) || size != a.opened.bytes {
		return -1, -1
	}
	return linked, size
}

const (
	MaxOpened  = maxOpened
	OpenedRoom = openedRoom
	MaxCookies = maxCookies
	MaxCopies  = maxCopies
)

func Canonical(sealed string) bool { return canonical(sealed) }

// SealedSize is what is expected, and what comes, of so many bytes.
func (a *Authenticator) SealedSize(plain int) (expected, got int, err error) {
	sealed, err := a.sessions.seal("x", make([]byte, plain))
	return sealedSize(plain), len(sealed), err
}
