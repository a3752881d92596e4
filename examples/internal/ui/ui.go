// Package ui is the look that the example pages share: one style sheet, set
// into the page, and the headers that go with it. Nothing is loaded from
// anywhere, and no page needs a script.
package ui

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

//go:embed style.css
var style string

// Style is the style sheet, to be set between <style> and </style>, with
// nothing around it: Secure allows it by its hash.
func Style() template.CSS { return template.CSS(style) }

// Anywhere as a form target leaves out the restriction: what a form's answer
// redirects to is held against it too, and a logout may pass through hosts that
// nobody knows beforehand.
const Anywhere = "*"

// Secure sets the headers of a page on h. A form may post to this origin, and
// its answer may redirect there; formTargets are the URLs whose origins are
// allowed besides. A script runs only when it is the given one; "" allows none.
//
// A page with a form of ours needs <meta name="referrer" content="same-origin"> in its
// head, as only there it can say so: under no-referrer browsers post with "Origin: null".
func Secure(h http.Header, script string, formTargets ...string) {
	policy := []string{
		"default-src 'none'",
		"style-src " + hashSource(style),
		"base-uri 'none'",
		"frame-ancestors 'none'",
	}
	if !slices.Contains(formTargets, Anywhere) {
		actions := "form-action 'self'"
		for _, target := range formTargets {
			if u, err := url.Parse(target); err == nil && u.Host != "" {
				actions += " " + u.Scheme + "://" + u.Host
			}
		}
		policy = append(policy, actions)
	}
	if script != "" {
		policy = append(policy, "script-src "+hashSource(script))
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", strings.Join(policy, "; "))
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
}

func hashSource(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
