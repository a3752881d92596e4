package acptest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Page is where a navigation ended.
type Page struct {
	// Steps are all requests that led here, oldest first.
	Steps []*Step

	// Next is the address that the navigation stopped before (NavigateUntil); nil
	// when it ended by itself.
	Next *url.URL

	browser *Browser
	pending *outgoing
}

// Last is the step that the page came from.
func (p *Page) Last() *Step {
	if len(p.Steps) == 0 {
		return &Step{URL: &url.URL{}, ResponseHeader: http.Header{}}
	}
	return p.Steps[len(p.Steps)-1]
}

// Status is the status of the last answer, 0 when none came.
func (p *Page) Status() int { return p.Last().Status }

// URL is the address of the page.
func (p *Page) URL() *url.URL { return p.Last().URL }

// Body is the page itself.
func (p *Page) Body() string { return string(p.Last().ResponseBody) }

// Follow goes on where NavigateUntil stopped. The result holds the earlier steps too.
func (p *Page) Follow() *Page {
	if p.pending == nil {
		return p
	}
	next := &Page{browser: p.browser, Steps: slices.Clone(p.Steps)}
	return p.browser.run(next, p.pending, nil)
}

// Back opens the address of the page again, as the back button does with pages that may not be stored.
func (p *Page) Back() *Page { return p.browser.Navigate(p.URL().String()) }

// Click follows a link on the page, relative or absolute.
func (p *Page) Click(href string) *Page {
	o := &outgoing{method: "GET", url: p.resolve(href), from: p.URL(), activated: true, policy: p.Last().ResponseHeader.Get("Referrer-Policy")}
	return p.browser.run(&Page{browser: p.browser}, o, nil)
}

// Submit submits the first form of the page with its hidden fields and these, which replace
// fields of the same name. A button is pressed by giving its name and value.
func (p *Page) Submit(fields url.Values) *Page { return p.SubmitForm(0, fields) }

// SubmitForm is Submit for another form, counted from 0.
func (p *Page) SubmitForm(i int, fields url.Values) *Page {
	forms := parseForms(p.Body())
	if i >= len(forms) {
		p.browser.t.Errorf("acptest: the page %s has %d forms, number %d was to be submitted", p.URL().Path, len(forms), i)
		return p
	}
	return p.browser.run(&Page{browser: p.browser}, p.submission(forms[i], fields), nil)
}

func (p *Page) submission(f form, fields url.Values) *outgoing {
	values := f.values
	for name, v := range fields {
		values[name] = v
	}
	target := p.resolve(f.action)
	o := p.browser.post(p.URL(), target, values)
	o.policy = p.Last().ResponseHeader.Get("Referrer-Policy")
	if !strings.EqualFold(f.method, "post") {
		o.method, o.body, o.contentType = "GET", nil, ""
		o.url.RawQuery = values.Encode()
	}
	return o
}

func (p *Page) resolve(reference string) *url.URL {
	u, err := p.URL().Parse(reference)
	if err != nil {
		p.browser.t.Errorf("acptest: the page links to %q, which is no address", reference)
		return p.URL()
	}
	return u
}
