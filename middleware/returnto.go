package middleware

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const maxReturnTo = 1 << 10

// returnPath is where a login ends: the parameter return_to, when a browser would take it
// for a path of this very origin, and the default page otherwise.
func (a *Authenticator) returnPath(r *http.Request) string {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if to := query["return_to"]; err == nil && len(to) == 1 && localPath(to[0], a.own) {
		return to[0]
	}
	return a.config.DefaultPath
}

// localPath holds for a path with an optional query and fragment that every browser
// resolves to the origin that it is at, and to none of the paths in own.
//
// Browsers read URLs by the WHATWG standard, not by RFC 3986: they drop tabs and line
// breaks wherever they stand, and take a backslash for a slash. So only visible ASCII without
// backslashes passes, and a second slash at the start, the mark of another host, never.
func localPath(to string, own []string) bool {
	if len(to) > maxReturnTo || !visible(to) || !strings.HasPrefix(to, "/") ||
		strings.HasPrefix(to, "//") || strings.Contains(to, `\`) {
		return false
	}
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" {
		return false
	}
	// /.//host stays here, but becomes //host, which the next program may take for a host.
	if strings.HasPrefix(withoutDots(u.EscapedPath()), "//") {
		return false
	}
	return !slices.Contains(own, resource(u.EscapedPath()))
}

// visible holds for printable ASCII without spaces.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// withoutDots removes dot segments as a browser does: written with %2e, too, and without
// joining empty segments.
func withoutDots(p string) string {
	var out []string
	segments := strings.Split(strings.TrimPrefix(p, "/"), "/")
	for i, s := range segments {
		last := i == len(segments)-1
		switch strings.ReplaceAll(strings.ToLower(s), "%2e", ".") {
		case "..":
			out = out[:max(0, len(out)-1)]
		case ".":
		default:
			out = append(out, s)
			continue
		}
		if last {
			out = append(out, "")
		}
	}
	return "/" + strings.Join(out, "/")
}

// here is the path of a request as the browser sent it, also below http.StripPrefix, where
// a login may come back to it, and the default page otherwise.
func (a *Authenticator) here(r *http.Request) string {
	to := r.RequestURI
	if !strings.HasPrefix(to, "/") {
		to = r.URL.RequestURI()
	}
	if !localPath(to, a.own) {
		return a.config.DefaultPath
	}
	return to
}

// loginURL asks the login to come back to this request.
func (a *Authenticator) loginURL(r *http.Request) string {
	to := a.here(r)
	if to == a.config.DefaultPath {
		return a.config.LoginPath
	}
	return a.config.LoginPath + "?return_to=" + url.QueryEscape(to)
}

// redirect sends the browser on with GET. The location is sent as it is: http.Redirect
// would rewrite it, and what was judged must be what is sent.
func redirect(w http.ResponseWriter, location string) {
	private(w.Header())
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusSeeOther) // never 307: it would repeat a POST (RFC 9700 4.12)
}

// private keeps an answer of ours out of caches and out of the Referer header.
func private(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
}
