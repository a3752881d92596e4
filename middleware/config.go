package middleware

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/acp-go/acp/acpclient"
)

// Config shapes an Authenticator. It is a plain value: New copies it, and a later change
// has no effect. Every field but CookieKeys may stay zero. Printed or logged, it shows
// nothing.
type Config struct {
	// CookieKeys seal the cookies. Each is 32 random bytes, newest first: the first
	// seals, all are tried when reading, so that a key can be replaced without logging
	// anybody out. With several processes a new key first comes second, until all of them know
	// it. Make one with `openssl rand -base64 32`, and decode it. Required.
	CookieKeys [][]byte

	// CookieName is the part of the cookies' names that is ours to choose: letters,
	// digits, "-" and "_". Two applications on one host need two names. "" means "acp".
	CookieName string

	// The paths that Handler serves. "" means /login, the path of the client's RedirectURL
	// (/callback without one), /logout and /backchannel-logout. They are compared byte for byte.
	LoginPath, CallbackPath, LogoutPath, BackchannelPath string

	// DefaultPath is where a login ends that was not asked to return elsewhere, and a
	// logout that does not end at the authorization server. "" means "/".
	DefaultPath string

	// PostLogoutRedirectURL is where the authorization server sends the browser after a logout, with
	// a `state` that Authenticator.PostLogout compares. It must be registered there. "" leaves the
	// browser at the server.
	PostLogoutRedirectURL string

	// IdleTimeout ends a session that is not used, AbsoluteTimeout any session, counted
	// from its login. 0 means 8 h and 24 h. The last use is known to the minute, or to a tenth
	// of IdleTimeout where that is less.
	IdleTimeout, AbsoluteTimeout time.Duration

	// Store keeps the sessions, instead of sealed cookies: several processes then share
	// them, a logout ends them everywhere at once, and a restart forgets nothing. nil means cookies.
	Store Store

	// Lease makes that of several processes one refreshes a session at a time. Without it two
	// may send the same refresh token in the same moment, which ACP forgives, by its idempotency
	// keys, and a server that looks for re-used tokens does not. It needs a Store. nil means none.
	Lease Lease

	// Authorize is sent with each login; its ReturnTo is ignored. nil sends nothing more.
	Authorize *acpclient.AuthorizeOptions

	// Development shows the probable cause of an error, and its fix, on the error page.
	// Never set it where strangers can look. It is not inferred from anything.
	Development bool

	// Logger takes one line for each failure. nil means slog.Default().
	Logger *slog.Logger

	// OnLogin is called with each new session before any cookie is written. An error
	// refuses the login with 403. nil accepts every user.
	OnLogin func(r *http.Request, s *Session, t *acpclient.Tokens) error

	// OnError writes the answer to a failure, which is logged already. The headers that
	// keep it out of caches are set. nil means our own page, or problem+json.
	OnError func(w http.ResponseWriter, r *http.Request, f *Failure)
}

const (
	defaultIdle     = 8 * time.Hour
	defaultAbsolute = 24 * time.Hour
	maxTimeout      = 400 * 24 * time.Hour // browsers keep no cookie longer
)

// settle checks a copy of the configuration and fills in the defaults. The error names
// every mistake.
func (c *Config) settle(redirectURL string) error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("Config."+field+": "+format, args...))
	}
	errs = append(errs, checkKeys(c.CookieKeys)...)
	c.CookieName = cmp.Or(c.CookieName, "acp")
	if problem := checkCookieName(c.CookieName); problem != "" {
		bad("CookieName", "%s", problem)
	}
	c.settleTimes(bad)
	c.settlePaths(redirectURL, bad)
	if isNil(c.Store) && c.Store != nil {
		bad("Store", "is a nil pointer")
	}
	switch {
	case c.Lease == nil:
	case isNil(c.Lease):
		bad("Lease", "is a nil pointer")
	case c.Store == nil:
		bad("Lease", "needs a Store")
	}
	if err := c.Authorize.Check(); err != nil {
		bad("Authorize", "%w", err)
	}
	if u := c.PostLogoutRedirectURL; u != "" && !usableURL(u) {
		bad("PostLogoutRedirectURL", "is not an absolute https URL (http on loopback) without fragment")
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	c.CookieKeys = slices.Clone(c.CookieKeys)
	c.Authorize = cloneOptions(c.Authorize)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return nil
}

func (c *Config) settleTimes(bad func(field, format string, args ...any)) {
	if c.IdleTimeout < 0 || c.IdleTimeout > maxTimeout {
		bad("IdleTimeout", "is negative, or more than 400 days")
	}
	if c.AbsoluteTimeout < 0 || c.AbsoluteTimeout > maxTimeout {
		bad("AbsoluteTimeout", "is negative, or more than 400 days")
	}
	c.AbsoluteTimeout = cmp.Or(c.AbsoluteTimeout, max(defaultAbsolute, c.IdleTimeout))
	if c.IdleTimeout > c.AbsoluteTimeout {
		bad("IdleTimeout", "is longer than AbsoluteTimeout")
	}
	c.IdleTimeout = cmp.Or(c.IdleTimeout, min(defaultIdle, c.AbsoluteTimeout))
}

func (c *Config) settlePaths(redirectURL string, bad func(field, format string, args ...any)) {
	callback := "/callback"
	if u, err := url.Parse(redirectURL); err == nil && redirectURL != "" {
		callback = cmp.Or(u.EscapedPath(), "/")
		if c.CallbackPath != "" && c.CallbackPath != callback {
			bad("CallbackPath", "is %q, but the client's RedirectURL has the path %q", c.CallbackPath, callback)
		}
	}
	c.LoginPath = cmp.Or(c.LoginPath, "/login")
	c.CallbackPath = cmp.Or(c.CallbackPath, callback)
	c.LogoutPath = cmp.Or(c.LogoutPath, "/logout")
	c.BackchannelPath = cmp.Or(c.BackchannelPath, "/backchannel-logout")
	c.DefaultPath = cmp.Or(c.DefaultPath, "/")
	fields := []struct{ name, value string }{
		{"LoginPath", c.LoginPath}, {"CallbackPath", c.CallbackPath},
		{"LogoutPath", c.LogoutPath}, {"BackchannelPath", c.BackchannelPath},
	}
	for i, f := range fields {
		if !servablePath(f.value) {
			bad(f.name, "%q is not a path that starts with one / and holds no query", f.value)
		}
		for _, other := range fields[:i] {
			if resource(f.value) == resource(other.value) {
				bad(f.name, "is the same path as %s", other.name)
			}
		}
	}
	if !localPath(c.DefaultPath, c.ownPaths()) {
		bad("DefaultPath", "%q is not a path of the application itself", c.DefaultPath)
	}
}

// ownPaths are those that no login may return to.
func (c *Config) ownPaths() []string {
	return []string{resource(c.LoginPath), resource(c.CallbackPath), resource(c.LogoutPath), resource(c.BackchannelPath)}
}

// resource is what a router may take an escaped path for: decoded, without dot segments
// and without a slash at its end.
func resource(escaped string) string {
	decoded, err := url.PathUnescape(escaped)
	if err != nil {
		decoded = escaped
	}
	return path.Clean(decoded)
}

// servablePath holds for what can be compared with the path of a request.
func servablePath(p string) bool {
	u, err := url.Parse(p)
	return err == nil && visible(p) && localPath(p, nil) && u.EscapedPath() == p
}

func checkCookieName(name string) string {
	valid := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_'
	}
	switch {
	case len(name) > 32:
		return "is longer than 32 characters"
	case strings.ContainsFunc(name, func(r rune) bool { return !valid(r) }):
		return "may hold letters, digits, - and _ alone"
	case strings.HasPrefix(name, "__"):
		return "must not start with __: the prefix __Host- is added where it belongs"
	}
	return ""
}

// usableURL holds for https, and for http on loopback.
func usableURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || strings.Contains(s, "#") || !visible(s) {
		return false
	}
	return u.Scheme == "https" || onLoopback(u)
}

// onLoopback holds for http URLs of this very machine.
func onLoopback(u *url.URL) bool {
	host := u.Hostname()
	addr, err := netip.ParseAddr(host)
	return u.Scheme == "http" && (strings.EqualFold(host, "localhost") || err == nil && addr.IsLoopback())
}

// origin is the ASCII serialization of a URL's origin (RFC 6454 6.2).
func origin(u *url.URL) string {
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	if h, port, err := net.SplitHostPort(host); err == nil && (scheme == "https" && port == "443" || scheme == "http" && port == "80") {
		host = h
		if strings.Contains(h, ":") {
			host = "[" + h + "]"
		}
	}
	return scheme + "://" + host
}

// cloneOptions is a deep copy, so that the caller's later changes have no effect.
func cloneOptions(o *acpclient.AuthorizeOptions) *acpclient.AuthorizeOptions {
	if o == nil {
		return &acpclient.AuthorizeOptions{}
	}
	c := *o
	c.Scopes, c.Prompt = slices.Clone(o.Scopes), slices.Clone(o.Prompt)
	c.ACRValues, c.UILocales = slices.Clone(o.ACRValues), slices.Clone(o.UILocales)
	c.Resources, c.Claims = slices.Clone(o.Resources), slices.Clone(o.Claims)
	c.AuthorizationDetails = slices.Clone(o.AuthorizationDetails)
	if o.MaxAge != nil {
		c.MaxAge = new(*o.MaxAge)
	}
	c.Extra = maps.Clone(o.Extra)
	for name, values := range c.Extra {
		c.Extra[name] = slices.Clone(values)
	}
	return &c
}
