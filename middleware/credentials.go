package middleware

import (
	"net/http"
	"strings"
)

// maxBearerToken is the longest token that is looked at, in bytes.
const maxBearerToken = 16 << 10

// credentials are what a request brings to show that it may.
type credentials struct {
	kind  credentialKind
	token string // of kind bearerToken alone; a part of the header, not a copy, and perhaps no b64token
}

type credentialKind int

const (
	noCredentials   credentialKind = iota
	inQuery                        // a token in the query or the form, and none in the header
	otherScheme                    // Basic, Negotiate ...
	dpopScheme                     // a token under a scheme that is not taken
	malformedHeader                // two headers, or none of the syntax that there is
	twoPlaces                      // a token in the header, and one in the query or the form
	oversized                      // a token longer than maxBearerToken
	bearerToken                    // exactly one token, in the header
)

// readCredentials finds the token of a request where RFC 6750 2.1 puts it, and nowhere
// else. The body is not read: a token in a form is seen when somebody parsed it before.
func readCredentials(r *http.Request) credentials {
	c := parseAuthorization(r.Header["Authorization"])
	switch c.kind {
	case noCredentials:
		if tokenElsewhere(r) {
			c.kind = inQuery
		}
	case bearerToken:
		if tokenElsewhere(r) {
			c = credentials{kind: twoPlaces} // RFC 6750 2
		}
	}
	return c
}

// parseAuthorization reads the values of the Authorization header.
func parseAuthorization(values []string) credentials {
	if len(values) == 0 {
		return credentials{}
	}
	if len(values) > 1 {
		return credentials{kind: malformedHeader}
	}
	const bearer = "bearer"
	value := values[0]
	if len(value) < len(bearer) || !strings.EqualFold(value[:len(bearer)], bearer) {
		return credentials{kind: foreignScheme(value)}
	}
	// RFC 6750 2.1, RFC 9110 11.4: one space or more. "BearerTOKEN" is a slip, and not another scheme.
	token, ok := strings.CutPrefix(value[len(bearer):], " ")
	token = strings.TrimLeft(token, " ")
	switch {
	case !ok:
		return credentials{kind: malformedHeader}
	case len(token) > maxBearerToken:
		return credentials{kind: oversized}
	case token == "":
		return credentials{kind: malformedHeader}
	}
	return credentials{kind: bearerToken, token: token}
}

// foreignScheme judges a header that does not start with "Bearer". RFC 9110 11.4: a scheme
// is followed by a space or by nothing.
func foreignScheme(value string) credentialKind {
	scheme, _, _ := strings.Cut(value, " ")
	if scheme == "" || strings.ContainsFunc(scheme, func(r rune) bool { return !isTokenRune(r) }) {
		return malformedHeader
	}
	if strings.EqualFold(scheme, "DPoP") {
		return dpopScheme
	}
	return otherScheme
}

// isTokenRune holds for the characters of a token (RFC 9110 5.6.2).
func isTokenRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

// isB64Token judges by the grammar of RFC 6750 2.1. It runs over every byte, so it takes
// eight at a time.
func isB64Token(s string) bool {
	for s != "" && s[len(s)-1] == '=' {
		s = s[:len(s)-1]
	}
	if s == "" {
		return false
	}
	bad := uint64(0)
	for ; len(s) >= 8; s = s[8:] {
		bad |= notB64(uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56)
	}
	for i := range len(s) {
		bad |= notB64(each*'a'&^0xff | uint64(s[i]))
	}
	return bad&(each*0x80) == 0
}

const each = 0x0101010101010101 // times a byte: that byte eight times

// notB64 sets the highest bit of a byte that may not stand in a token before the "=". In
// seven bits, x+0x80-low carries into the eighth from low on.
func notB64(x uint64) uint64 {
	lower := x | each*0x20
	letter := (lower + each*(0x80-'a')) &^ (lower + each*(0x7f-'z'))
	digit := (x + each*(0x80-'-')) &^ (x + each*(0x7f-'9')) // and "-", ".", "/"
	others := (x ^ each*'+' + each*0x7f) & (x ^ each*'_' + each*0x7f) & (x ^ each*'~' + each*0x7f)
	return others&^(letter|digit) | x
}

// tokenElsewhere reports whether a request names an access_token in its query, or in a
// form that was parsed already.
func tokenElsewhere(r *http.Request) bool {
	const name = "access_token" // RFC 6750 2.2, 2.3
	return queryHolds(r.URL.RawQuery, name) || r.Form.Has(name) || r.PostForm.Has(name)
}

// queryHolds reports whether a query has a parameter of this name, however it is spelled.
// A semicolon ends a parameter, too: for some servers it does.
func queryHolds(query, name string) bool {
	for len(query) >= len(name) {
		end := 0
		for end < len(query) && query[end] != '&' && query[end] != ';' {
			end++
		}
		if spells(query[:end], name) {
			return true
		}
		query = query[min(end+1, len(query)):]
	}
	return false
}

// spells reports whether a parameter, percent-encoded or not, has this name.
func spells(parameter, name string) bool {
	for name != "" && parameter != "" {
		c, size := parameter[0], 1
		if c == '%' && len(parameter) >= 3 {
			if hi, lo := unhex(parameter[1]), unhex(parameter[2]); hi >= 0 && lo >= 0 {
				c, size = byte(hi<<4|lo), 3
			}
		}
		if c != name[0] {
			return false
		}
		parameter, name = parameter[size:], name[1:]
	}
	return name == "" && (parameter == "" || parameter[0] == '=')
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
