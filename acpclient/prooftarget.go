package acpclient

import (
	"net/netip"
	"strings"
)

// sameTarget compares an htu with the URL of a request, without query and fragment, as RFC
// 3986 6.2.2 and 6.2.3 normalise them: case of scheme and host, percent-encoding, dot
// segments, default port, empty path (RFC 9449 4.3 (9)). A text that is no http URL is the same as none.
func sameTarget(htu, url string) bool {
	a, ok := target(htu)
	if !ok {
		return false
	}
	b, ok := target(url)
	return ok && a == b
}

// target normalises an absolute http or https URL.
func target(raw string) (string, bool) {
	raw, _, _ = strings.Cut(raw, "#")
	raw, _, _ = strings.Cut(raw, "?")
	scheme, rest, ok := strings.Cut(raw, "://")
	scheme = strings.ToLower(scheme)
	if !ok || scheme != "https" && scheme != "http" {
		return "", false
	}
	end := strings.IndexByte(rest, '/')
	if end < 0 {
		end = len(rest)
	}
	host, ok := authority(scheme, rest[:end])
	if !ok {
		return "", false
	}
	path, ok := unescapeUnreserved(rest[end:])
	if !ok {
		return "", false
	}
	if path == "" {
		path = "/"
	}
	if strings.Contains(path, "/.") {
		path = removeDotSegments(path)
	}
	return scheme + "://" + host + path, true
}

// authority normalises host and port. A userinfo is refused: no client sends one.
func authority(scheme, s string) (string, bool) {
	host, port := s, ""
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		host, port = s[:i], s[i+1:]
	}
	if strings.Trim(port, "0123456789") != "" || len(port) > 5 {
		return "", false
	}
	if inside, ok := strings.CutPrefix(host, "["); ok {
		inside, ok = strings.CutSuffix(inside, "]")
		ip, err := netip.ParseAddr(inside)
		if !ok || err != nil || !ip.Is6() || ip.Zone() != "" {
			return "", false
		}
		host = "[" + ip.String() + "]"
	} else {
		var ok bool
		if host, ok = unescapeUnreserved(host); !ok || host == "" || strings.ContainsAny(host, "@:[]/") {
			return "", false
		}
		host = lowerHost(host)
	}
	port = strings.TrimLeft(port, "0")
	if port == "" || port == "443" && scheme == "https" || port == "80" && scheme == "http" {
		return host, true
	}
	return host + ":" + port, true
}

// lowerHost leaves the hexadecimal digits of percent-encodings, which are upper case.
func lowerHost(host string) string {
	if !strings.Contains(host, "%") {
		return strings.ToLower(host)
	}
	b := []byte(host)
	for i := 0; i < len(b); i++ {
		switch {
		case b[i] == '%':
			i += 2
		case 'A' <= b[i] && b[i] <= 'Z':
			b[i] |= 0x20
		}
	}
	return string(b)
}

// unescapeUnreserved decodes what need not be encoded and writes the rest in upper case
// (RFC 3986 6.2.2.1, 6.2.2.2). ok is false for what a URL cannot hold.
func unescapeUnreserved(s string) (_ string, ok bool) {
	plain := true
	for i := range len(s) {
		c := s[i]
		plain = plain && c != '%'
		if c != '%' && !isUnreserved(c) && strings.IndexByte("!$&'()*+,;=:@/[]", c) < 0 {
			return "", false
		}
	}
	if plain {
		return s, true
	}
	const upper = "0123456789ABCDEF"
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		high, low := strings.IndexByte(upper, upperHex(s[i+1])), strings.IndexByte(upper, upperHex(s[i+2]))
		if high < 0 || low < 0 {
			return "", false
		}
		i += 2
		if c := byte(high<<4 | low); isUnreserved(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', upper[high], upper[low])
		}
	}
	return string(b), true
}

func upperHex(c byte) byte {
	if 'a' <= c && c <= 'f' {
		return c - 0x20
	}
	return c
}

func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// removeDotSegments takes a path that starts with a slash (RFC 3986 5.2.4).
func removeDotSegments(path string) string {
	var out []string
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		last := i == len(segments)-1
		switch s {
		case ".", "..":
			if s == ".." && len(out) > 0 {
				out = out[:len(out)-1]
			}
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, s)
		}
	}
	return "/" + strings.Join(out, "/")
}
