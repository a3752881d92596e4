package middleware

import (
	"net/http"
	"net/url"
	"strings"
)

// isNavigation holds for a GET by which a person opens a page in a tab. Nothing else may
// start a login: its answer would be lost, and its cookies pile up.
func isNavigation(r *http.Request) bool {
	return r.Method == http.MethodGet && !isPrefetch(r) && opensPage(r)
}

// opensPage tells whether a browser shows the answer as a page, whatever the method.
func opensPage(r *http.Request) bool {
	mode, dest := r.Header.Get("Sec-Fetch-Mode"), r.Header.Get("Sec-Fetch-Dest")
	if mode != "" || dest != "" {
		// "empty" is what a service worker sends that passes a navigation on.
		return mode == "navigate" && (dest == "" || dest == "document" || dest == "empty")
	}
	return r.Header.Get("X-Requested-With") == "" && acceptsPage(r.Header.Values("Accept"))
}

// acceptsPage holds when HTML is asked for, or nothing in particular.
func acceptsPage(accept []string) bool {
	named := false
	for item := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		kind, _, _ := strings.Cut(item, ";")
		switch strings.ToLower(strings.TrimSpace(kind)) {
		case "":
		case "text/html", "application/xhtml+xml":
			return true
		case "*/*":
		default:
			named = true
		}
	}
	return !named
}

// isPrefetch holds for a request that no person made: a browser's guess.
func isPrefetch(r *http.Request) bool {
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Moz"} {
		if strings.HasPrefix(strings.ToLower(strings.TrimSpace(r.Header.Get(name))), "prefetch") {
			return true
		}
	}
	return false
}

// isWebSocket holds for a handshake of RFC 6455 or RFC 8441.
func isWebSocket(r *http.Request) bool {
	if r.Method == http.MethodConnect {
		return true
	}
	for item := range strings.SplitSeq(strings.Join(r.Header.Values("Upgrade"), ","), ",") {
		if strings.EqualFold(strings.TrimSpace(item), "websocket") {
			return true
		}
	}
	return false
}

// sameOrigin judges the Origin header: that of the registered redirect URL, or of the host
// that the request was sent to. A request without one is no browser's, or not cross-site.
func (a *Authenticator) sameOrigin(r *http.Request) bool {
	sent := r.Header.Values("Origin")
	if len(sent) == 0 {
		return true
	}
	u, err := url.Parse(sent[0])
	if len(sent) > 1 || err != nil || u.Host == "" {
		return false
	}
	// A TLS proxy may stand in front, so the scheme is the redirect URL's, where there is one.
	scheme, _, known := strings.Cut(a.origin, "://")
	if !known {
		scheme = u.Scheme
	}
	return origin(u) == a.origin || origin(u) == origin(&url.URL{Scheme: scheme, Host: r.Host})
}
