package acptest

import (
	"net/http"
	"net/url"
	"strings"
)

// FetchOptions shape Browser.Fetch. nil is the zero value.
type FetchOptions struct {
	// From is the page whose script makes the request. "" is a page of the same origin.
	From string

	// Header is sent besides what the browser adds itself.
	Header http.Header

	// Body is sent as it is; its Content-Type belongs into Header.
	Body string

	// Mode and Dest are Sec-Fetch-Mode and Sec-Fetch-Dest. "" means "cors" and "empty", which
	// is fetch(); an image has "no-cors" and "image".
	Mode, Dest string
}

// Fetch makes one request as a script or an image does, with the cookies that SameSite lets through. It
// follows no redirect.
func (b *Browser) Fetch(method, address string, o *FetchOptions) *Step {
	if o == nil {
		o = &FetchOptions{}
	}
	target := b.parse(address)
	from := target
	if o.From != "" {
		from = b.parse(o.From)
	}
	header := commonHeader()
	header.Set("Accept", "*/*")
	out := &outgoing{method: method, url: target, from: from}
	if o.Body != "" {
		out.body = []byte(o.Body)
	}
	fetchMetadata(header, out, orDefault(o.Mode, "cors"), orDefault(o.Dest, "empty"))
	if origin(from) != origin(target) && orDefault(o.Mode, "cors") == "cors" || method != http.MethodGet && method != http.MethodHead {
		header.Set("Origin", origin(from))
	}
	referer(header, out)
	for name, values := range o.Header {
		header[http.CanonicalHeaderKey(name)] = values
	}
	step, err := b.send(out, header, sameSite(from, target), false, false)
	if err != nil {
		b.t.Errorf("acptest: the browser gets no answer from %s: %v", origin(target), err)
	}
	return step
}

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

func commonHeader() http.Header {
	return http.Header{
		"User-Agent":      {"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"},
		"Accept-Language": {"en-GB,en;q=0.9"},
	}
}

func navigationHeader(o *outgoing) http.Header {
	h := commonHeader()
	h.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	h.Set("Upgrade-Insecure-Requests", "1")
	if o.contentType != "" {
		h.Set("Content-Type", o.contentType)
	}
	fetchMetadata(h, o, "navigate", "document")
	if o.activated && trustworthy(o.url) {
		h.Set("Sec-Fetch-User", "?1")
	}
	if o.method != http.MethodGet && o.from != nil {
		h.Set("Origin", navigationOrigin(o))
	}
	referer(h, o)
	return h
}

// fetchMetadata sets the headers of Fetch Metadata, which only trustworthy addresses get.
func fetchMetadata(h http.Header, o *outgoing, mode, dest string) {
	if !trustworthy(o.url) {
		return
	}
	h.Set("Sec-Fetch-Mode", mode)
	h.Set("Sec-Fetch-Dest", dest)
	h.Set("Sec-Fetch-Site", fetchSite(o))
}

func fetchSite(o *outgoing) string {
	if o.from == nil {
		return "none"
	}
	site := "same-origin"
	for _, u := range append(o.chain[:len(o.chain):len(o.chain)], o.url) {
		if origin(u) == origin(o.from) {
			continue
		}
		if !sameSite(u, o.from) {
			return "cross-site"
		}
		site = "same-site"
	}
	return site
}

// navigationOrigin follows "append a request Origin header" of the Fetch standard: a form on a page
// with Referrer-Policy no-referrer has the origin null.
func navigationOrigin(o *outgoing) string {
	downgrade := o.from.Scheme == "https" && o.url.Scheme != "https"
	switch {
	case o.opaque, o.policy == "no-referrer", o.policy == "same-origin" && origin(o.from) != origin(o.url):
		return "null"
	case downgrade && o.policy != "unsafe-url" && o.policy != "origin" && o.policy != "origin-when-cross-origin":
		return "null"
	}
	return origin(o.from)
}

func referer(h http.Header, o *outgoing) {
	if o.from == nil {
		return
	}
	same := origin(o.from) == origin(o.url)
	full := url.URL{Scheme: o.from.Scheme, Host: o.from.Host, Path: o.from.Path, RawQuery: o.from.RawQuery}
	downgrade := o.from.Scheme == "https" && o.url.Scheme != "https"
	switch strings.TrimSpace(o.policy) {
	case "no-referrer":
	case "same-origin":
		if same {
			h.Set("Referer", full.String())
		}
	case "origin", "strict-origin":
		h.Set("Referer", origin(o.from)+"/")
	case "unsafe-url":
		h.Set("Referer", full.String())
	default: // strict-origin-when-cross-origin
		switch {
		case same:
			h.Set("Referer", full.String())
		case !downgrade:
			h.Set("Referer", origin(o.from)+"/")
		}
	}
}
