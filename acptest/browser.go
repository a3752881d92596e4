package acptest

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Browser is a scripted user agent. It treats cookies, redirects, forms and the Sec-Fetch headers as
// a browser of today does: it drops cookies that break the rules of their prefix or of Secure, it does not send
// SameSite cookies across sites, and cookies do not know ports. http on loopback counts as secure. It runs
// no scripts, but submits the form of a page that submits itself.
//
// A Browser is one tab; Tab opens another with the same cookies. Its methods fail the test when no answer
// comes. They may be called from several goroutines.
type Browser struct {
	t       testing.TB
	profile *profile
}

// profile is what tabs share.
type profile struct {
	mu        sync.Mutex
	jar       jar
	mounts    map[string]http.Handler // by origin
	transport *http.Transport
	log       []*Step
}

// Step is one request and its answer.
type Step struct {
	Method string
	URL    *url.URL
	Header http.Header // as sent, with Cookie
	Body   []byte      // nil when there was none

	Status         int // 0 when no answer came
	ResponseHeader http.Header
	ResponseBody   []byte // cut at 16 MiB

	// SetCookies are the Set-Cookie lines of the answer, as they came.
	SetCookies []string

	// Dropped are those lines that the browser did not keep, with the reason.
	Dropped map[string]string
}

// String shows the step in one line, without its query.
func (s *Step) String() string {
	return fmt.Sprintf("%s %s%s: %d", s.Method, origin(s.URL), s.URL.Path, s.Status)
}

// outgoing is a request that is about to be made.
type outgoing struct {
	method      string
	url         *url.URL
	body        []byte
	contentType string
	from        *url.URL   // the page that started it; nil: the user did
	chain       []*url.URL // addresses that redirected here
	activated   bool       // by a click or a typed address
	policy      string     // Referrer-Policy
	opaque      bool       // a redirect across origins made the Origin null
}

// NewBrowser returns a browser without cookies.
func NewBrowser(t testing.TB) *Browser {
	transport := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	return &Browser{t: t, profile: &profile{mounts: map[string]http.Handler{}, transport: transport}}
}

// Browser returns a new browser that trusts the server's certificate.
func (s *Server) Browser() *Browser {
	b := NewBrowser(s.t)
	if pool := s.RootCAs(); pool != nil {
		b.Trust(pool)
	}
	return b
}

// Trust sets the certificates that the browser accepts. Call it before the first request.
func (b *Browser) Trust(pool *x509.CertPool) { b.profile.transport.TLSClientConfig.RootCAs = pool }

// Mount serves an origin such as https://app.example from a handler, without a network. So
// a test sees https cookies and several sites without certificates.
func (b *Browser) Mount(origin string, h http.Handler) {
	b.profile.mu.Lock()
	defer b.profile.mu.Unlock()
	b.profile.mounts[strings.TrimSuffix(origin, "/")] = h
}

// Tab opens a further tab, which shares cookies and mounts.
func (b *Browser) Tab() *Browser { return &Browser{t: b.t, profile: b.profile} }

// Cookies returns what the browser would send when the user types this address.
func (b *Browser) Cookies(address string) []StoredCookie {
	u := b.parse(address)
	b.profile.mu.Lock()
	defer b.profile.mu.Unlock()
	return b.profile.jar.send(u, true, true, time.Now())
}

// Cookie returns the value of a cookie for an address, "" when there is none.
func (b *Browser) Cookie(address, name string) string {
	for _, c := range b.Cookies(address) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// SetCookie takes a Set-Cookie line as if the address had sent it. It returns why a browser drops it, "" if
// it does not.
func (b *Browser) SetCookie(address, line string) (dropped string) {
	u := b.parse(address)
	b.profile.mu.Lock()
	defer b.profile.mu.Unlock()
	return b.profile.jar.store(u, line, true, time.Now())
}

// ClearCookies forgets all cookies.
func (b *Browser) ClearCookies() {
	b.profile.mu.Lock()
	defer b.profile.mu.Unlock()
	b.profile.jar.cookies = nil
}

// Log returns every step of every tab so far.
func (b *Browser) Log() []*Step {
	b.profile.mu.Lock()
	defer b.profile.mu.Unlock()
	return slices.Clone(b.profile.log)
}

// Navigate opens an address that the user typed, and follows redirects and pages that submit themselves.
func (b *Browser) Navigate(address string) *Page {
	return b.run(&Page{browser: b}, &outgoing{method: "GET", url: b.parse(address), activated: true}, nil)
}

// NavigateUntil is Navigate, but stops before an address for which stop says true. Page.Follow goes on.
func (b *Browser) NavigateUntil(address string, stop func(*url.URL) bool) *Page {
	return b.run(&Page{browser: b}, &outgoing{method: "GET", url: b.parse(address), activated: true}, stop)
}

// NavigateFrom follows a link on another page, which may belong to another site.
func (b *Browser) NavigateFrom(page, address string) *Page {
	return b.run(&Page{browser: b}, &outgoing{method: "GET", url: b.parse(address), from: b.parse(page), activated: true}, nil)
}

// PostFrom submits a form that stands on another page, which may belong to another site.
func (b *Browser) PostFrom(page, address string, fields url.Values) *Page {
	return b.run(&Page{browser: b}, b.post(b.parse(page), b.parse(address), fields), nil)
}

func (b *Browser) post(from, to *url.URL, fields url.Values) *outgoing {
	return &outgoing{
		method: "POST", url: to, from: from, activated: true,
		body: []byte(fields.Encode()), contentType: "application/x-www-form-urlencoded",
	}
}

func (b *Browser) parse(address string) *url.URL {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		b.t.Errorf("acptest: %q is not an absolute address", address)
		return &url.URL{Scheme: "http", Host: "invalid.invalid", Path: "/"}
	}
	return u
}

const maxSteps = 25

func (b *Browser) run(p *Page, o *outgoing, stop func(*url.URL) bool) *Page {
	for count := 0; o != nil; count++ {
		if count > 0 && stop != nil && stop(o.url) {
			p.Next, p.pending = o.url, o
			return p
		}
		if count == maxSteps {
			b.t.Errorf("acptest: the browser gives up after %d steps, the last to %s", maxSteps, o.url.Redacted())
			return p
		}
		step, err := b.send(o, navigationHeader(o), o.from == nil || sameSite(o.from, o.url), o.method == "GET", true)
		if err != nil {
			b.t.Errorf("acptest: the browser gets no answer from %s: %v", origin(o.url), err)
			p.Steps = append(p.Steps, step)
			return p
		}
		p.Steps = append(p.Steps, step)
		o = b.next(p, o, step)
	}
	return p
}

// next is the request that an answer leads to by itself, nil if none.
func (b *Browser) next(p *Page, o *outgoing, step *Step) *outgoing {
	location := step.ResponseHeader.Get("Location")
	if step.Status < 300 || step.Status > 399 || step.Status == http.StatusNotModified || location == "" {
		if selfSubmitting(step) {
			next := p.submission(parseForms(p.Body())[0], nil)
			next.activated = false
			return next
		}
		return nil
	}
	target, err := o.url.Parse(location)
	if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" {
		b.t.Errorf("acptest: a browser does not follow the Location %q", location)
		return nil
	}
	next := *o
	next.url = target
	next.chain = append(slices.Clone(o.chain), o.url)
	if o.from != nil && origin(o.url) != origin(target) && origin(o.url) != origin(o.from) {
		next.opaque = true
	}
	if policy := step.ResponseHeader.Get("Referrer-Policy"); policy != "" {
		next.policy = policy
	}
	switch step.Status {
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	case http.StatusSeeOther, http.StatusMovedPermanently, http.StatusFound:
		next.method, next.body, next.contentType = "GET", nil, ""
	}
	return &next
}
