package main

import (
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// checkURL demands https, or http on loopback: a code or a token travels there.
func checkURL(variable, value string, issuer bool) error {
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return mistake(variable, "must be an absolute https URL")
	case u.User != nil:
		return mistake(variable, "must not contain a user or password")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return mistake(variable, "must be https; http is for loopback only")
	case strings.Contains(value, "#"):
		return mistake(variable, "must not have a fragment")
	case u.Port() != "" && !isPort(u.Port()):
		return mistake(variable, "has a port that cannot be")
	case issuer && strings.Contains(value, "?"):
		return mistake(variable, "must not have a query")
	}
	return nil
}

// checkRedirect demands a path that a browser asks for as it is written, and that nothing
// else answers here.
func checkRedirect(value string) error {
	const variable = "ACP_REDIRECT_URL"
	if err := checkURL(variable, value, false); err != nil {
		return err
	}
	u, err := url.Parse(value)
	switch {
	case err != nil || !isClean(u.Path):
		return mistake(variable, "must have a path, without // and dots")
	case slices.Contains([]string{"/", "/login", "/logout", "/backchannel-logout", "/profile", "/healthz"}, u.Path), strings.HasPrefix(u.Path, "/api/"):
		return mistake(variable, "must not have the path of a page of this program")
	}
	return nil
}

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

// oneLine is a name as it can be printed.
func oneLine(name string) string { return strings.Trim(strconv.QuoteToASCII(name), `"`) }

// fields are those of the packages' configurations that a variable sets, and whose check
// is theirs.
var fields = []struct{ field, variable string }{
	{"Issuer:", "ACP_ISSUER"}, {"ClientID:", "ACP_CLIENT_ID"}, {"RedirectURL:", "ACP_REDIRECT_URL"},
	{"Scopes:", "ACP_SCOPES"}, {"Config.CookieKeys", "ACP_COOKIE_KEY"},
}

var quoted = regexp.MustCompile(`"(\\.|[^"\\])*"`)

// inOurWords makes one mistake of a package's error, which speaks of its fields, and may
// quote their values.
func inOurWords(err error) error {
	for line := range strings.Lines(err.Error()) {
		for _, f := range fields {
			if strings.HasPrefix(line, f.field) {
				_, text, _ := strings.Cut(strings.TrimSpace(line), ": ")
				return mistake(f.variable, "%s", quoted.ReplaceAllString(text, "a part of it"))
			}
		}
	}
	return mistake("ACP_ISSUER", "its settings do not fit together")
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func checkListen(value string) error {
	_, port, err := net.SplitHostPort(value)
	if err != nil {
		return mistake("ACP_LISTEN", "must be host:port")
	}
	if !isPort(port) {
		return mistake("ACP_LISTEN", "must end in a port number")
	}
	return nil
}
