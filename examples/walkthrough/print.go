package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// printer writes the walkthrough for people.
type printer struct {
	out      io.Writer
	colours  bool
	failures int
}

const (
	bold  = "1"
	dim   = "2"
	red   = "31"
	green = "32"
	cyan  = "36"
)

func (p *printer) style(code, text string) string {
	if !p.colours {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p *printer) line(indent int, text string) {
	fmt.Fprintln(p.out, strings.TrimRight(strings.Repeat(" ", indent)+text, " "))
}

func (p *printer) intro(s *stage) {
	title := "The authorization code flow, in ten steps"
	if s.hard != nil {
		title += ", as the FAPI 2.0 Security Profile has it"
	}
	p.line(0, p.style(bold, title))
	p.line(0, "")
	p.line(2, "web application       "+s.app.url)
	p.line(2, "authorization server  "+s.acp.Issuer)
	p.line(2, "API                   "+s.api.url)
	p.line(2, p.style(dim, "Secrets are shortened to their first characters."))
}

func (p *printer) step(number int, title string) {
	p.line(0, "")
	p.line(0, p.style(bold, fmt.Sprintf("%2d  %s", number, title)))
}

func (p *printer) variant(title string) {
	p.line(0, "")
	p.line(4, p.style(bold, "Variant: "+title))
}

func (p *printer) check(held bool, text string) {
	if held {
		p.line(4, p.style(green, "ok    ")+text)
		return
	}
	p.failures++
	p.line(4, p.style(red, "FAILED ")+text)
}

func (p *printer) verdict(text string) {
	p.line(0, "")
	p.line(0, p.style(bold, text))
}

func (p *printer) show(e exchange) {
	p.showRequest(e)
	p.showResponse(e)
}

func (p *printer) showRequest(e exchange) {
	p.line(0, "")
	p.line(4, p.style(dim, e.from+" -> "+e.to))
	p.line(6, p.style(cyan, e.method+" "+e.url.Path))
	p.params(8, e.url.Query())
	for _, name := range []string{"Authorization", "DPoP", "Content-Type", "Cookie"} {
		if value := e.header.Get(name); value != "" {
			p.line(8, name+": "+shortHeader(name, value))
		}
	}
	if e.body != "" {
		if form, err := url.ParseQuery(e.body); err == nil {
			p.params(8, form)
		}
	}
}

func (p *printer) showResponse(e exchange) {
	p.line(6, p.style(cyan, "<- "+e.status))
	for _, name := range []string{"Location", "Set-Cookie", "WWW-Authenticate", "X-Trace-Id", "Content-Type"} {
		for _, value := range e.responseHeader.Values(name) {
			if name == "Location" {
				p.location(value)
			} else {
				p.line(8, name+": "+shortHeader(name, value))
			}
		}
	}
	switch kind := e.responseHeader.Get("Content-Type"); {
	case strings.Contains(kind, "json"):
		p.json(e.response)
	case strings.HasPrefix(kind, "text/html") && e.code != http.StatusFound && e.code != http.StatusSeeOther:
		if found := heading.FindStringSubmatch(e.response); found != nil {
			p.line(8, "a page with the heading "+strings.TrimSpace(found[1]))
		}
	}
}

var heading = regexp.MustCompile(`(?s)<h1[^>]*>([^<]*)</h1>`)

func (p *printer) location(value string) {
	u, err := url.Parse(value)
	if err != nil {
		p.line(8, "Location: "+value)
		return
	}
	query := u.Query()
	u.RawQuery = ""
	p.line(8, "Location: "+u.String())
	p.params(10, query)
}

func (p *printer) params(indent int, values url.Values) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, value := range values[name] {
			p.line(indent, name+" = "+shortMember(name, value))
		}
	}
}

func (p *printer) json(body string) {
	var members map[string]any
	if json.Unmarshal([]byte(body), &members) != nil {
		return
	}
	p.members(8, members)
}

func (p *printer) claims(title string, claims map[string]any) {
	p.line(0, "")
	p.line(4, p.style(dim, title+", its claims"))
	p.members(6, claims)
}

func (p *printer) members(indent int, members map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(members)) {
		switch value := members[name].(type) {
		case string:
			p.line(indent, name+" = "+shortMember(name, value))
		case float64:
			p.line(indent, fmt.Sprintf("%s = %.10g", name, value))
		default:
			var compact bytes.Buffer
			encoder := json.NewEncoder(&compact)
			encoder.SetEscapeHTML(false)
			_ = encoder.Encode(value) // it was JSON before
			p.line(indent, name+" = "+strings.TrimSpace(compact.String()))
		}
	}
}

// secrets are the members and parameters that are worth something to a thief.
var secrets = map[string]bool{
	"code": true, "state": true, "nonce": true, "code_verifier": true, "password": true, "client_secret": true,
	"access_token": true, "refresh_token": true, "id_token": true, "id_token_hint": true, "client_assertion": true,
}

func shortMember(name, value string) string {
	if secrets[name] {
		return shorten(value)
	}
	return value
}

func shortHeader(name, value string) string {
	switch name {
	case "Authorization":
		scheme, credentials, _ := strings.Cut(value, " ")
		return scheme + " " + shorten(credentials)
	case "DPoP":
		return shorten(value)
	case "Cookie":
		var parts []string
		for pair := range strings.SplitSeq(value, "; ") {
			name, secret, _ := strings.Cut(pair, "=")
			parts = append(parts, name+"="+shorten(secret))
		}
		return strings.Join(parts, "; ")
	case "Set-Cookie":
		pair, attributes, _ := strings.Cut(value, ";")
		name, secret, _ := strings.Cut(pair, "=")
		return name + "=" + shorten(secret) + ";" + attributes
	}
	return value
}

// shorten leaves at most the first six characters, and less of a short secret.
func shorten(secret string) string {
	keep := min(6, len(secret)/4)
	if secret == "" {
		return ""
	}
	return secret[:keep] + "..."
}
