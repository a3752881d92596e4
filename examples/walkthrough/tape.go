package main

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"sync"
)

// exchange is a request and its response, as they went over the wire.
type exchange struct {
	from, to string
	method   string
	url      *url.URL
	header   http.Header
	body     string

	status         string
	code           int
	responseHeader http.Header
	response       string
}

// tape records what goes through it. It is the transport of one party.
type tape struct {
	from string
	name func(*url.URL) string // of the party at an address
	next http.RoundTripper

	mu        sync.Mutex
	exchanges []exchange
}

func (t *tape) RoundTrip(r *http.Request) (*http.Response, error) {
	e := exchange{from: t.from, to: t.name(r.URL), method: r.Method, url: r.URL, header: r.Header.Clone()}
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		_ = r.Body.Close() // it was read to its end
		e.body = string(body)
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	response, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	_ = response.Body.Close() // only reading matters
	if err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	e.status, e.code, e.responseHeader, e.response = response.Status, response.StatusCode, response.Header.Clone(), string(body)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.exchanges = append(t.exchanges, e)
	return response, nil
}

// last is the newest exchange with that path.
func (t *tape) last(path string) (exchange, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := len(t.exchanges) - 1; i >= 0; i-- {
		if t.exchanges[i].url.Path == path {
			return t.exchanges[i], true
		}
	}
	return exchange{}, false
}
