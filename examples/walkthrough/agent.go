package main

import (
	"context"
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
)

// agent is the scripted user agent: a browser without a screen. It keeps cookies
// and follows a redirect only when it is told to.
type agent struct {
	ctx    context.Context
	client *http.Client
	tape   *tape
	page   *url.URL // where it is
	form   string   // the action of the form there; "": none
}

func newAgent(ctx context.Context, s *stage) (*agent, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	t := s.tape("user agent")
	return &agent{ctx: ctx, tape: t, client: &http.Client{
		Transport: t, Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// open goes to an address, as if it had been typed or linked.
func (a *agent) open(address string) (exchange, error) {
	return a.send(http.MethodGet, address, nil)
}

// follow goes where the last response points.
func (a *agent) follow(e exchange) (exchange, error) {
	target, err := e.location()
	if err != nil {
		return exchange{}, err
	}
	return a.open(target.String())
}

// submit posts the form on the page.
func (a *agent) submit(fields url.Values) (exchange, error) {
	if a.form == "" {
		return exchange{}, errors.New("there is no form on the page")
	}
	return a.send(http.MethodPost, a.form, fields)
}

var formAction = regexp.MustCompile(`<form method="post" action="([^"]*)"`)

func (a *agent) send(method, address string, form url.Values) (exchange, error) {
	request, err := http.NewRequestWithContext(a.ctx, method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return exchange{}, err
	}
	// What a browser sends with a navigation.
	request.Header.Set("Accept", "text/html,application/xhtml+xml")
	request.Header.Set("Sec-Fetch-Mode", "navigate")
	request.Header.Set("Sec-Fetch-Dest", "document")
	request.Header.Set("Sec-Fetch-Site", "none")
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Origin", a.page.Scheme+"://"+a.page.Host)
		request.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	response, err := a.client.Do(request)
	if err != nil {
		return exchange{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return exchange{}, err
	}
	a.page, a.form = request.URL, ""
	if found := formAction.FindSubmatch(body); found != nil {
		if action, err := a.page.Parse(html.UnescapeString(string(found[1]))); err == nil {
			a.form = action.String()
		}
	}
	e, _ := a.tape.last(request.URL.Path)
	return e, nil
}

// location is where the response sends the user agent.
func (e exchange) location() (*url.URL, error) {
	raw := e.responseHeader.Get("Location")
	if raw == "" {
		return nil, errors.New("the answer " + e.status + " is no redirect")
	}
	return e.url.Parse(raw)
}
