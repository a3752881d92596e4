package middleware

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/acp-go/acp/acpclient"
	"golang.org/x/oauth2"
)

const (
	apiTimeout   = 30 * time.Second
	maxRedirects = 10
)

// HTTPClient calls an API as the user: it sends AccessToken with each request, in the
// Authorization header alone (RFC 6750 2.1), with a proof where it is bound to acpclient.Config.DPoP, over https, or over http to loopback. What AccessToken
// says of goroutines and of the response holds here, too. It follows redirects only within the first request's
// origin, so that the token reaches nobody else. Requests end after 30 s. It trusts
// acpclient.Config.RootCAs, or uses its Transport. Errors are those of AccessToken, wrapped in *url.Error.
func (s *Session) HTTPClient() *http.Client {
	base := http.RoundTripper(defaultAPI)
	if s != nil && s.live != nil && s.live.auth != nil {
		base = s.live.auth.api
	}
	return &http.Client{
		Transport: &userTransport{session: s, base: base},
		Timeout:   apiTimeout,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) >= maxRedirects || origin(r.URL) != origin(via[0].URL) {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
}

type userTransport struct {
	session *Session
	base    http.RoundTripper
}

var errPlainHTTP = errors.New("middleware: an access token is not sent over http, but to loopback")

func (t *userTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	var tokens *acpclient.Tokens
	err := errPlainHTTP
	if r.URL.Scheme == "https" || onLoopback(r.URL) {
		tokens, err = t.session.usable(r.Context())
	}
	if err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	if live := t.session.live; live.auth != nil && strings.EqualFold(tokens.TokenType, "DPoP") { // the Client has the key
		return live.auth.client.HTTPClient(oauth2.StaticTokenSource(tokens.Token)).Transport.RoundTrip(r)
	}
	out := r.Clone(r.Context())
	out.Header.Set("Authorization", "Bearer "+tokens.AccessToken)
	return t.base.RoundTrip(out)
}

// defaultAPI serves the sessions of tests, which belong to no Authenticator.
var defaultAPI = newAPITransport(nil)

func apiTransport(c acpclient.Config) http.RoundTripper {
	if c.Transport != nil {
		return c.Transport
	}
	if c.RootCAs == nil {
		return newAPITransport(nil)
	}
	return newAPITransport(&tls.Config{RootCAs: c.RootCAs, MinVersion: tls.VersionTLS12})
}

func newAPITransport(c *tls.Config) *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSClientConfig:       c,
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: apiTimeout,
		IdleConnTimeout:       time.Minute,
		MaxIdleConnsPerHost:   16,
		ForceAttemptHTTP2:     true,
	}
}
