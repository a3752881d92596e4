package acptest

import (
	"cmp"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// StoredCookie is a cookie that the browser keeps.
type StoredCookie struct {
	Name, Value string // as they were set
	Host        string // the host that set it, or the Domain attribute
	HostOnly    bool   // no Domain attribute
	Path        string // the Path attribute, or the directory of the address that set it
	Secure      bool   // the attribute, as the next
	HTTPOnly    bool
	SameSite    string    // "Strict", "Lax" or "None"; Lax when the cookie said nothing, as in Chrome, without its two minutes of grace
	Expires     time.Time // zero: at the end of the browser session
	created     int       // order
}

const (
	maxCookieSize    = 4096 // name and value (RFC 6265bis 5.6)
	maxCookiesOfHost = 180  // as Chrome
	maxCookieAge     = 400 * 24 * time.Hour
)

// jar keeps cookies as RFC 6265bis says. It is guarded by its profile.
type jar struct {
	cookies []StoredCookie
	counter int
}

// trustworthy says whether a URL counts as secure in browsers: https, and http on loopback.
func trustworthy(u *url.URL) bool {
	return u.Scheme == "https" || isLoopback(u.Hostname())
}

// store keeps one Set-Cookie header field. It returns why a browser drops it, "" if it does not.
func (j *jar) store(u *url.URL, line string, sameSiteContext bool, now time.Time) (dropped string) {
	parsed, err := http.ParseSetCookie(line)
	if err != nil {
		return "it is malformed"
	}
	host := strings.ToLower(u.Hostname())
	c := StoredCookie{
		Name: parsed.Name, Value: parsed.Value, Host: host, HostOnly: true,
		Path: parsed.Path, Secure: parsed.Secure, HTTPOnly: parsed.HttpOnly, SameSite: "Lax",
	}
	switch parsed.SameSite {
	case http.SameSiteStrictMode:
		c.SameSite = "Strict"
	case http.SameSiteNoneMode:
		c.SameSite = "None"
	}
	if domain := strings.ToLower(strings.TrimPrefix(parsed.Domain, ".")); domain != "" {
		if domain != host && (!strings.HasSuffix(host, "."+domain) || isIP(host) || !strings.Contains(domain, ".")) {
			return "its Domain is not one of this host"
		}
		c.Host, c.HostOnly = domain, isIP(host)
	}
	if !strings.HasPrefix(c.Path, "/") {
		c.Path = defaultPath(u)
	}
	if reason := c.refused(u, parsed.Domain != "", parsed.Path, sameSiteContext); reason != "" {
		return reason
	}
	switch {
	case parsed.MaxAge < 0:
		c.Expires = time.Unix(1, 0)
	case parsed.MaxAge > 0:
		c.Expires = now.Add(min(time.Duration(parsed.MaxAge)*time.Second, maxCookieAge))
	case !parsed.Expires.IsZero():
		c.Expires = parsed.Expires
	}
	return j.put(c, trustworthy(u), now)
}

// refused applies the rules that need no look at other cookies.
func (c *StoredCookie) refused(u *url.URL, hasDomain bool, path string, sameSiteContext bool) string {
	name := strings.ToLower(c.Name) // prefixes are matched in any case (RFC 6265bis 5.7)
	host := strings.HasPrefix(name, "__host-")
	httpOnly := strings.HasPrefix(name, "__http-") || strings.HasPrefix(name, "__host-http-")
	switch {
	case len(c.Name)+len(c.Value) > maxCookieSize:
		return "name and value exceed 4096 bytes"
	case c.Secure && !trustworthy(u):
		return "Secure was set over an insecure connection"
	case (host || httpOnly || strings.HasPrefix(name, "__secure-")) && !c.Secure:
		return "its prefix demands Secure"
	case host && (hasDomain || path != "/"):
		return "__Host- demands Path=/ and no Domain"
	case httpOnly && !c.HTTPOnly:
		return "its prefix demands HttpOnly"
	case c.SameSite == "None" && !c.Secure:
		return "SameSite=None demands Secure"
	case c.SameSite != "None" && !sameSiteContext:
		return "SameSite=" + c.SameSite + " was set in a cross-site request that is not a navigation"
	}
	return ""
}

func (j *jar) put(c StoredCookie, secureOrigin bool, now time.Time) string {
	same := func(other StoredCookie) bool {
		return other.Name == c.Name && other.Host == c.Host && other.HostOnly == c.HostOnly && other.Path == c.Path
	}
	if !secureOrigin && slices.ContainsFunc(j.cookies, func(o StoredCookie) bool { return o.Secure && o.Name == c.Name && o.Host == c.Host }) {
		return "an insecure connection cannot overwrite a Secure cookie"
	}
	if i := slices.IndexFunc(j.cookies, same); i >= 0 {
		c.created = j.cookies[i].created
		j.cookies = slices.Delete(j.cookies, i, i+1)
	} else {
		j.counter++
		c.created = j.counter
	}
	if c.expired(now) {
		return ""
	}
	j.cookies = append(j.cookies, c)
	var ofHost []StoredCookie
	for _, o := range j.cookies {
		if o.Host == c.Host {
			ofHost = append(ofHost, o)
		}
	}
	if len(ofHost) > maxCookiesOfHost {
		oldest := slices.MinFunc(ofHost, func(a, b StoredCookie) int { return cmp.Compare(a.created, b.created) })
		j.cookies = slices.DeleteFunc(j.cookies, func(o StoredCookie) bool { return o.created == oldest.created })
	}
	return ""
}

func (c *StoredCookie) expired(now time.Time) bool {
	return !c.Expires.IsZero() && !now.Before(c.Expires)
}

// send returns the cookies for a request, in the order of RFC 6265bis 5.8.3.
func (j *jar) send(u *url.URL, sameSite, laxNavigation bool, now time.Time) []StoredCookie {
	host := strings.ToLower(u.Hostname())
	var out []StoredCookie
	for _, c := range j.cookies {
		switch {
		case c.expired(now),
			c.HostOnly && c.Host != host,
			!c.HostOnly && c.Host != host && !strings.HasSuffix(host, "."+c.Host),
			!pathMatch(c.Path, u.EscapedPath()),
			c.Secure && !trustworthy(u),
			c.SameSite == "Strict" && !sameSite,
			c.SameSite == "Lax" && !sameSite && !laxNavigation:
		default:
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(a, b StoredCookie) int {
		return cmp.Or(cmp.Compare(len(b.Path), len(a.Path)), cmp.Compare(a.created, b.created))
	})
	return out
}

func defaultPath(u *url.URL) string {
	path := u.EscapedPath()
	i := strings.LastIndexByte(path, '/')
	if i <= 0 {
		return "/"
	}
	return path[:i]
}

func pathMatch(cookie, request string) bool {
	if request == "" {
		request = "/"
	}
	return cookie == request || strings.HasPrefix(request, cookie) && (strings.HasSuffix(cookie, "/") || request[len(cookie)] == '/')
}

func isIP(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

func origin(u *url.URL) string { return u.Scheme + "://" + u.Host }

// sameSite compares scheme and registrable domain. The latter is taken to be the last two labels, which
// is right for the names that tests use, not for co.uk.
func sameSite(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && registrable(a.Hostname()) == registrable(b.Hostname())
}

func registrable(host string) string {
	host = strings.ToLower(host)
	labels := strings.Split(host, ".")
	if isIP(host) || len(labels) < 2 {
		return host
	}
	return strings.Join(labels[len(labels)-2:], ".")
}
