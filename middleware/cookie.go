package middleware

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxCookie   = 3800 // bytes of name and value, of the 4096 that browsers keep (RFC 6265bis 5.6)
	maxChunks   = 10   // cookies of one session
	maxCopies   = 4    // cookies of one name that are tried
	maxLookedAt = 32   // transaction cookies that are looked at, or deleted, in one request
	txIDLength  = 22   // 128 bits in base64url
	hostPrefix  = "__Host-"
)

// cookieRules are the names and attributes of all our cookies.
type cookieRules struct {
	session   string // name of a session's first cookie
	tx        string // start of a transaction's name
	secure    bool
	crossSite bool // transactions come back with a cross-site POST
}

// newCookieRules follows the registered redirect URL, never what a request claims:
// only http on loopback has no Secure.
func newCookieRules(name string, secure, formPost bool) cookieRules {
	c := cookieRules{session: name + "_session", tx: name + "_tx_", secure: secure, crossSite: formPost}
	if secure {
		c.session, c.tx = hostPrefix+c.session, hostPrefix+c.tx
	}
	return c
}

// chunk names the i-th cookie of a session.
func (c *cookieRules) chunk(i int) string {
	if i == 0 {
		return c.session
	}
	return c.session + "." + strconv.Itoa(i)
}

// cookie has the attributes that a name always has, so that a deletion hits it.
func (c *cookieRules) cookie(name, value string) *http.Cookie {
	k := &http.Cookie{
		Name: name, Value: value, Path: "/",
		Secure: c.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	if c.crossSite && strings.HasPrefix(name, c.tx) {
		// Browsers take Secure from loopback over http, too, and demand it with None.
		k.Secure, k.SameSite = true, http.SameSiteNoneMode
	}
	return k
}

func (c *cookieRules) set(h http.Header, name, value string, lifetime time.Duration) {
	k := c.cookie(name, value)
	k.MaxAge = max(1, int(lifetime/time.Second))
	replace(h, k)
}

func (c *cookieRules) remove(h http.Header, name string) {
	k := c.cookie(name, "")
	k.MaxAge, k.Expires = -1, time.Unix(0, 0)
	replace(h, k)
}

// replace sends a cookie instead of what the same response already says about its name
// (RFC 6265 4.1.1).
func replace(h http.Header, k *http.Cookie) {
	kept := h["Set-Cookie"][:0:0]
	for _, line := range h["Set-Cookie"] {
		if !strings.HasPrefix(line, k.Name+"=") {
			kept = append(kept, line)
		}
	}
	h["Set-Cookie"] = append(kept, k.String())
}

// unsay takes back what the response says of a cookie.
func (c *cookieRules) unsay(h http.Header, name string) {
	h["Set-Cookie"] = slices.DeleteFunc(h["Set-Cookie"], func(line string) bool { return strings.HasPrefix(line, name+"=") })
}

// decided tells whether a response already says something of the session's cookies.
func (c *cookieRules) decided(h http.Header) bool {
	for _, line := range h["Set-Cookie"] {
		if name, _, _ := strings.Cut(line, "="); c.chunkIndex(name) >= 0 {
			return true
		}
	}
	return false
}

// presented is what a request brought of ours.
type presented struct {
	chunks [maxChunks][]string // copies of a session's cookies
	txs    []presentedTx
}

type presentedTx struct{ id, value string }

// read looks at each cookie once, and keeps a bounded number.
func (c *cookieRules) read(r *http.Request) *presented {
	p := &presented{}
	for _, k := range r.Cookies() {
		if id, ok := strings.CutPrefix(k.Name, c.tx); ok && len(id) == txIDLength {
			if len(p.txs) < maxLookedAt {
				p.txs = append(p.txs, presentedTx{id, k.Value})
			}
		} else if i := c.chunkIndex(k.Name); i >= 0 && len(p.chunks[i]) < maxCopies {
			p.chunks[i] = append(p.chunks[i], k.Value)
		}
	}
	return p
}

// chunkIndex is -1 for a name that is no session cookie of ours.
func (c *cookieRules) chunkIndex(name string) int {
	rest, ok := strings.CutPrefix(name, c.session)
	switch {
	case ok && rest == "":
		return 0
	case ok && len(rest) == 2 && rest[0] == '.' && '1' <= rest[1] && rest[1] <= '9':
		return int(rest[1] - '0')
	}
	return -1
}

// chunkSet has a bit for each session cookie that a browser holds.
type chunkSet uint16

// everyChunk is what a browser may hold that does not show it.
const everyChunk chunkSet = 1<<maxChunks - 1

func (p *presented) held() chunkSet {
	var s chunkSet
	for i, copies := range p.chunks {
		if len(copies) > 0 {
			s |= 1 << i
		}
	}
	return s
}
