package middleware

import (
	"errors"
	"net/http"
	"time"

	"github.com/acp-go/acp/acpclient"
	"golang.org/x/oauth2"
)

const (
	apiTimeout   = 30 * time.Second
	maxRedirects = 10
)

// HTTPClient calls an API as the user: it sends AccessToken with each request, in the
// Authorization header alone (RFC 6750 2.1), with a proof where it is bound to acpclient.Config.DPoP, on a
// connection that shows the certificate of acpclient.Config where there is one, over https, or over http to loopback. What AccessToken
// says of goroutines and of the response holds here, too. It follows redirects only within the first request's
// origin, so that the token reaches nobody else. Requests end after 30 s. It trusts
// acpclient.Config.RootCAs, or uses its Transport. Errors are those of AccessToken, wrapped in *url.Error.
func (s *Session) HTTPClient() *http.Client {
	return &http.Client{
		Transport: &userTransport{session: s},
		Timeout:   apiTimeout,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) >= maxRedirects || origin(r.URL) != origin(via[0].URL) {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
}

type userTransport struct{ session *Session }

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
	if auth := t.session.live.auth; auth != nil { // the Client has the key, or the certificate, that the token may be bound to
		return auth.client.HTTPClient(oauth2.StaticTokenSource(tokens.Token)).Transport.RoundTrip(r)
	}
	out := r.Clone(r.Context())
	out.Header.Set("Authorization", "Bearer "+tokens.AccessToken)
	return testAPI.RoundTrip(out)
}

// testAPI serves the sessions of tests, which belong to no Authenticator.
var testAPI = &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, ResponseHeaderTimeout: apiTimeout}
