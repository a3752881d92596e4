package middleware

import "net/http"

// StripIdentityHeaders serves next without the request headers by which proxies tell an
// application who the user is, and which anybody can send: X-Forwarded-User,
// X-Auth-Request-Email, Remote-User, OIDC_CLAIM_sub and their kind, in any case and with
// any separator (X_Auth_User). The request itself is not changed: next gets a copy. Who the user is stands in the context alone.
//
// RequireBearer, RequireSession, LoadSession and Authenticator.Handler do the same. Wrap
// what none of them wraps. A nil next answers 404.
func StripIdentityHeaders(next http.Handler) http.Handler {
	next = orNotFound(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, withoutIdentity(r)) })
}

// identityHeaders are names in lower case, with "-" for every separator.
var identityHeaders = func() map[string]bool {
	names := map[string]bool{
		"x-userinfo": true, "x-consumer-id": true, "x-consumer-custom-id": true, "x-consumer-username": true,
		"x-forwarded-access-token": true, "x-auth-request-access-token": true,
	}
	user := []string{"user", "user-id", "userid", "user-name", "username", "user-email", "email", "user-groups", "groups", "user-roles", "roles"}
	more := []string{"preferred-username", "name", "subject", "sub", "group", "role", "user-role", "user-info", "id-token"}
	for _, what := range user {
		names["x-"+what] = true
	}
	for _, sender := range []string{"x-auth-", "x-auth-request-", "x-authenticated-", "x-forwarded-", "x-remote-", "x-webauth-", "remote-"} {
		for _, what := range append(user, more...) {
			names[sender+what] = true
		}
	}
	return names
}()

const (
	longestIdentity = 40            // at least as long as each of the names
	claimPrefix     = "oidc-claim-" // of Apache's module, before the name of any claim
)

// identityEnds holds, for each length, the last letters that a name may have: most
// headers of a request are not looked at any further.
var identityEnds = func() (ends [longestIdentity + 1]uint32) {
	for name := range identityHeaders {
		ends[len(name)] |= 1 << (name[len(name)-1] & 31)
	}
	return ends
}()

// withoutIdentity returns the request itself where there is nothing to take away.
func withoutIdentity(r *http.Request) *http.Request {
	for name := range r.Header {
		if !isIdentity(name) {
			continue
		}
		clean := r.WithContext(r.Context())
		clean.Header = r.Header.Clone()
		for name := range clean.Header {
			if isIdentity(name) {
				delete(clean.Header, name)
			}
		}
		return clean
	}
	return r
}

// isIdentity compares without an allocation: it sees every header of every request.
func isIdentity(name string) bool {
	switch n := len(name); {
	case n > len(claimPrefix) && name[0]|0x20 == claimPrefix[0]:
		var buf [len(claimPrefix)]byte
		return string(flat(buf[:], name)) == claimPrefix
	case n == 0 || n > longestIdentity || identityEnds[n]&(1<<(name[n-1]&31)) == 0:
		return false
	}
	var buf [longestIdentity]byte
	return identityHeaders[string(flat(buf[:], name))]
}

// flat writes as much of a name into buf as fits, as identityHeaders has it.
func flat(buf []byte, name string) []byte {
	n := min(len(buf), len(name))
	for i := range n {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
			buf[i] = c
		case 'A' <= c && c <= 'Z':
			buf[i] = c + 'a' - 'A'
		default: // "_" and, for CGI, whatever is no letter
			buf[i] = '-'
		}
	}
	return buf[:n]
}
