package middleware

import (
	"net/http"
	"net/textproto"
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
	maxCookies  = 3000 // of a request: with more it has none, as in net/http
	txIDLength  = 22   // 128 bits in base64url
	hostPrefix  = "__Host-"
)

// cookieRules are the names and attributes of all our cookies.
type cookieRules struct {
	session   string // name of a session's first cookie
	tx        string // start of a transaction's name
	logout    string // of the state of a logout at the server
	secure    bool
	crossSite bool // transactions come back with a cross-site POST
}

// newCookieRules follows the registered redirect URL, never what a request claims:
// only http on loopback has no Secure.
func newCookieRules(name string, secure, formPost bool) cookieRules {
	if secure {
		name = hostPrefix + name
	}
	return cookieRules{session: name + "_session", tx: name + "_tx_", logout: name + "_logout", secure: secure, crossSite: formPost}
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
	chunks [maxChunks]copies // of a session's cookies
	txs    []presentedTx
}

// copies are the values of one name, in their order.
type copies struct {
	n         int
	unchecked bool // the only one stands here as it came
	values    [maxCopies]string
}

func (c *copies) all() []string { return c.values[:c.n] }

// add takes what net/http takes. Of the only one of its name that is found out later, if nobody
// knows it: most are known.
func (c *copies) add(raw string) {
	c.check()
	if c.n == 0 {
		c.values[0], c.n, c.unchecked = raw, 1, true
	} else if value, ok := cookieValue(raw); ok && c.n < maxCopies {
		c.values[c.n] = value
		c.n++
	}
}

func (c *copies) check() {
	if !c.unchecked {
		return
	}
	c.unchecked = false
	var ok bool
	if c.values[0], ok = cookieValue(c.values[0]); !ok {
		c.n = 0
	}
}

type presentedTx struct{ id, value string }

// read looks at each cookie once, and keeps a bounded number. It reads what http.Request.Cookies
// reads, without a struct for each cookie of somebody else's.
func (c *cookieRules) read(r *http.Request) *presented {
	p := &presented{}
	c.readInto(p, r.Header["Cookie"])
	return p
}

func (c *cookieRules) readInto(p *presented, lines []string) {
	n := 0
	for _, line := range lines {
		for more := true; more; {
			if n++; n > maxCookies {
				*p = presented{}
				return
			}
			var pair string
			pair, line, more = strings.Cut(line, ";")
			c.readPair(p, textproto.TrimString(pair))
		}
	}
}

func (c *cookieRules) readPair(p *presented, pair string) {
	if !strings.HasPrefix(pair, c.session) && !strings.HasPrefix(pair, c.tx) {
		return
	}
	name, raw, _ := strings.Cut(pair, "=")
	name = textproto.TrimString(name)
	if i := c.chunkIndex(name); i >= 0 {
		p.chunks[i].add(raw)
	} else if id, ok := strings.CutPrefix(name, c.tx); ok && len(id) == txIDLength && isToken(id) && len(p.txs) < maxLookedAt {
		if value, ok := cookieValue(raw); ok {
			p.txs = append(p.txs, presentedTx{id, value})
		}
	}
}

// cookieValue takes the quotes away, and refuses what no cookie holds. It runs over every
// byte of every session, so it takes eight at a time.
func cookieValue(s string) (string, bool) {
	if len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	value, bad := s, uint64(0)
	for ; len(s) >= 8; s = s[8:] {
		bad |= notInCookie(uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56)
	}
	for i := range len(s) {
		bad |= notInCookie(each*'a'&^0xff | uint64(s[i]))
	}
	return value, bad&(each*0x80) == 0
}

// notInCookie sets the highest bit of a byte that is a control, a quote, a backslash, or
// outside of ASCII. A semicolon does not come here. The arithmetic is that of notB64.
func notInCookie(x uint64) uint64 {
	good := (x + each*(0x80-' ')) & (x ^ each*'"' + each*0x7f) & (x ^ each*'\\' + each*0x7f) & (x ^ each*0x7f + each*0x7f)
	return ^good | x
}

// isToken holds for the name of a cookie (RFC 6265 4.1.1).
func isToken(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return !isTokenRune(r) }) < 0
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
	for i := range p.chunks {
		p.chunks[i].check()
		if p.chunks[i].n > 0 {
			s |= 1 << i
		}
	}
	return s
}
