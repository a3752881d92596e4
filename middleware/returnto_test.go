package middleware_test

import (
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/acp-go/acp/middleware"
)

var ownPaths = []string{"/login", "/callback", "/logout", "/backchannel-logout"}

var returnTos = []struct {
	id, to string
	ok     bool
}{
	{"RD-02", "/", true},
	{"RD-02", "/ok", true},
	{"RD-02", "/ok?x=//evil.com", true},
	{"RD-02", "/ok?x=http://evil.com", true},
	{"RD-02", "/a/b?c=d&e=%2F", true},
	{"RD-02", "/%E2%9C%93", true},
	{"RD-02", "/ok#part", true},
	{"RD-02", "/a//b", true},
	{"RD-02", "/a:b@c", true},
	{"RD-02", "/loginx", true},
	{"RD-02", "/login/more", true},
	{"RD-03", "/%5cevil", true},
	{"RD-04", "/%09/evil", true},
	{"RD-11", "/ok%0d%0aSet-Cookie:x=1", true}, // stays percent-encoded
	{"RD-12", "/" + strings.Repeat("a", middleware.MaxReturnTo-1), true},

	{"RD-03", "//evil.com", false},
	{"RD-03", "///evil.com", false},
	{"RD-03", `/\evil.com`, false},
	{"RD-03", `\/evil.com`, false},
	{"RD-03", `/\/evil.com`, false},
	{"RD-03", `\\evil.com`, false},
	{"RD-03", `/a\b`, false},
	{"RD-04", "/\t/evil.com", false},
	{"RD-04", "/\n/evil.com", false},
	{"RD-04", "/\r/evil.com", false},
	{"RD-04", "\t//evil.com", false},
	{"RD-04", " //evil.com", false},
	{"RD-04", "/ /evil.com", false},
	{"RD-04", "/\x00/evil.com", false},
	{"RD-04", "/ok\x7f", false},
	{"RD-06", "https:evil.com", false},
	{"RD-06", "https:/evil.com", false},
	{"RD-06", "http:///evil.com", false},
	{"RD-06", "HTTPS://evil.com", false},
	{"RD-06", "https://app.example/ok", false},
	{"RD-07", "javascript:alert(1)", false},
	{"RD-07", "data:text/html,x", false},
	{"RD-07", "vbscript:x", false},
	{"RD-07", "java\tscript:alert(1)", false},
	{"RD-07", "\x01javascript:alert(1)", false},
	{"RD-08", "https://app.example@evil.com", false},
	{"RD-08", `https://app.example\@evil.com`, false},
	{"RD-08", "https://app.example.evil.com", false},
	{"RD-08", "//app.example%00.evil.com", false},
	{"RD-08", "@evil.com", false},
	{"RD-09", ".evil.com", false},
	{"RD-10", "／／evil.com", false},
	{"RD-10", "/／evil.com", false},
	{"RD-10", "〱evil.com", false},
	{"RD-10", "/。evil", false},
	{"RD-10", "/∕evil", false},
	{"RD-10", "/\uff0fevil.com", false},
	{"RD-10", "/\x80\xff", false},
	{"RD-11", "/ok\r\nSet-Cookie: x=1", false},
	{"RD-12", "", false},
	{"RD-12", "#x", false},
	{"RD-12", "?x", false},
	{"RD-12", "ok", false},
	{"RD-12", "/" + strings.Repeat("a", middleware.MaxReturnTo), false},
	{"RD-12", "/" + strings.Repeat("a", 10<<10), false},
	{"RD-12", "/%zz", false},
	{"RD-13", "/login", false},
	{"RD-13", "/login?return_to=/login", false},
	{"RD-13", "/login/", false},
	{"RD-13", "/login#x", false},
	{"RD-13", "/callback?code=x&state=y", false},
	{"RD-13", "/logout", false},
	{"RD-13", "/backchannel-logout", false},
	{"RD-13", "/%6cogout", false},
	{"RD-13", "/./logout", false},
	{"RD-13", "/%2e/logout", false},
	{"RD-13", "/a/../logout", false},
	{"RD-13", "/a/%2E%2e/logout/", false},
	{"RD-13", "/a/..%2flogout", false},
	{"RD-01", "/.//evil.com", false},
	{"RD-01", "/a/..//evil.com", false},
	{"RD-01", "/%2e%2e//evil.com", false},
	{"RD-01", "/..//evil.com/%2f..", false},
	{"RD-01", "/;@evil.com", true},
	{"RD-01", "/https://evil.com", true},
	{"RD-01", "/?url=https://evil.com", true},
	{"RD-01", "/.evil.com", true},
	{"RD-01", "////evil.com//", false},
	{"RD-01", "/%2f%2fevil.com", true}, // a browser never decodes %2f
	{"RD-01", "/http:evil.com", true},
}

func TestReturnTo(t *testing.T) {
	for _, row := range returnTos {
		t.Run(row.id+" "+middleware.Clean(row.to), func(t *testing.T) {
			if got := middleware.LocalPath(row.to, ownPaths); got != row.ok {
				t.Errorf("LocalPath(%q) = %v", row.to, got)
			}
			if row.ok && !sameOriginAsABrowser(row.to) {
				t.Errorf("a browser leaves the origin for %q", row.to)
			}
		})
	}
}

// The same rows through a whole login: what comes out is the path itself, or the default page.
func TestReturnToOverHTTP(t *testing.T) {
	a := newApp(t, nil)
	for _, row := range returnTos {
		if strings.HasPrefix(row.to, "/%") && !row.ok {
			continue // refused by the test's own browser when it parses the address
		}
		start := request("GET", site+"/login?return_to="+url.QueryEscape(row.to), "")
		w := a.serve(start)
		at, _ := url.Parse(w.Header().Get("Location"))
		pair, _, _ := strings.Cut(w.Header().Get("Set-Cookie"), ";")
		p := a.server.Browser().NavigateUntil(at.String(), func(u *url.URL) bool { return u.Host == "app.example" })
		w = a.serve(request("GET", p.Next.String(), pair))
		want := "/"
		if row.ok {
			want = row.to
		}
		if got := w.Header()["Location"]; w.Code != 303 || len(got) != 1 || got[0] != want { // RD-01 RD-11
			t.Errorf("%s %q: %d to %q", row.id, row.to, w.Code, got)
		}
		for _, step := range p.Steps {
			if strings.Contains(step.URL.RawQuery, "evil") {
				t.Errorf("AZ-29 %q reached the server", row.to)
			}
		}
	}
	for _, query := range []string{"return_to=/ok&return_to=/other", "return_to=/ok;x", "return_to=%zz", ""} {
		w := a.serve(request("GET", site+"/login?"+query, ""))
		if w.Code != 303 {
			t.Errorf("%q: %d", query, w.Code)
		}
	}
}

func FuzzReturnTo(f *testing.F) { // RD-16
	for _, row := range returnTos {
		f.Add(row.to)
	}
	f.Fuzz(func(t *testing.T, to string) {
		if !middleware.LocalPath(to, ownPaths) {
			return
		}
		if !sameOriginAsABrowser(to) {
			t.Errorf("a browser leaves the origin for %q", to)
		}
		if strings.ContainsFunc(to, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
			t.Errorf("%q would break a header", to)
		}
		u, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		for _, own := range ownPaths {
			if path.Clean(u.Path) == own {
				t.Errorf("%q leads to %s", to, own)
			}
		}
	})
}

// sameOriginAsABrowser is the part of the WHATWG URL standard that decides about the
// origin of a reference, resolved against a page of https://app.example.
func sameOriginAsABrowser(ref string) bool {
	ref = strings.TrimFunc(ref, func(r rune) bool { return r <= 0x20 })
	ref = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(ref)
	if i := strings.IndexByte(ref, ':'); i > 0 && isScheme(ref[:i]) {
		scheme, rest := strings.ToLower(ref[:i]), ref[i+1:]
		if scheme != "https" {
			return false
		}
		if !strings.HasPrefix(slashed(rest), "//") {
			return strings.HasPrefix(slashed(rest), "/") || rest == "" // relative to the base
		}
		return authority(rest) == "app.example"
	}
	if s := slashed(ref); strings.HasPrefix(s, "//") {
		return authority(ref) == "app.example"
	}
	return true
}

func isScheme(s string) bool {
	for i, c := range s {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789+-.", c)) {
			return false
		}
	}
	return true
}

// slashed takes a backslash for a slash, as special schemes do.
func slashed(s string) string { return strings.ReplaceAll(s, `\`, "/") }

// authority is the host after any number of slashes.
func authority(s string) string {
	s = strings.TrimLeft(slashed(s), "/")
	if i := strings.IndexAny(s, "/?#"); i >= 0 {
		s = s[:i]
	}
	return s[strings.LastIndexByte(s, '@')+1:]
}
