package acpclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

// TokenSource is an oauth2.TokenSource that refreshes t when it is stale: one minute
// before its end, or a fifth of its lifetime where that is less. Refreshes are one at a time, and all who
// wait share the result. A refresh that fails while the token still serves is no error.
//
// save is called with new tokens before anybody sees them, because the old refresh
// token may be dead by then; while it fails, Token fails, and tries to save the same tokens
// again. nil keeps them in memory alone. ctx carries values only: its end does not end the source.
func (c *Client) TokenSource(ctx context.Context, t *Tokens, save func(context.Context, *Tokens) error) oauth2.TokenSource {
	return &tokenSource{client: c, ctx: context.WithoutCancel(ctx), tokens: t, save: save}
}

type tokenSource struct {
	sealed
	client *Client
	ctx    context.Context // oauth2.TokenSource takes none at the call
	save   func(context.Context, *Tokens) error

	mu      sync.Mutex
	tokens  *Tokens
	unsaved bool
	retryAt time.Time // no refresh before it
	failed  error     // the last one; nil after a success
}

// Token implements oauth2.TokenSource.
func (s *tokenSource) Token() (*oauth2.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tokens == nil || s.tokens.Token == nil {
		return nil, errors.New("acpclient: token source: no tokens")
	}
	now := s.client.now()
	if !s.unsaved && s.tokens.stale(now) {
		if err := s.refresh(now); err != nil && s.tokens.expired(now) {
			return nil, err
		}
	}
	if s.unsaved {
		if err := s.save(s.ctx, s.tokens); err != nil {
			return nil, fmt.Errorf("acpclient: token source: save: %w", err)
		}
		s.unsaved = false
	}
	return new(*s.tokens.Token), nil
}

// refresh is under the lock: who waits gets the result. It asks the server once a second at
// the most, and never again after it ended the grant: failed client authentications count
// towards ACP's lock-out, and a token that is stale at once would be refreshed for each call.
func (s *tokenSource) refresh(now time.Time) error {
	wait := s.retryAt.Sub(now)
	if ended(s.failed) || 0 < wait && wait <= maxRetryAfter { // more: the clock was set back
		return withRetryAfter(s.failed, wait)
	}
	fresh, err := s.client.Refresh(s.ctx, s.tokens)
	s.failed, s.retryAt = err, s.client.now().Add(max(time.Second, RetryAfter(err)))
	if err != nil {
		return err
	}
	s.tokens, s.unsaved = fresh, s.save != nil
	return nil
}

// ended holds for the answer after which no refresh can succeed.
func ended(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Code == "invalid_grant" && !errors.Is(e, ErrUnavailable)
}

// HTTPClient sends an access token of src with each request, in the Authorization
// header alone (RFC 6750 2.1), with a DPoP proof where it is bound to Config.DPoP, and follows a redirect only within its origin, so that the
// token reaches nobody else. It is sent over https alone, and over http to loopback (RFC 6750 5.3). Requests
// end after 30 s. It trusts Config.RootCAs, or uses Config.Transport; all clients of a Client share
// their connections. An API that asks for a client certificate is shown that of Config.Certificate, or of an Auth
// that is MutualTLS: a token may be bound to it (RFC 8705 3).
func (c *Client) HTTPClient(src oauth2.TokenSource) *http.Client {
	return &http.Client{
		Transport: &bearerTransport{base: c.api, source: src, dpop: c.back.dpop},
		Timeout:   30 * time.Second,
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if first := via[0].URL; len(via) >= 10 || req.URL.Scheme != first.Scheme || req.URL.Host != first.Host {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
}

var errPlainHTTP = errors.New("acpclient: an access token is not sent over http, but to loopback")

type bearerTransport struct {
	sealed
	base   http.RoundTripper
	source oauth2.TokenSource
	dpop   *prover // nil: none
}

func (t *bearerTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	var token *oauth2.Token
	err := errPlainHTTP
	if req.URL.Scheme == "https" || isLoopback(req.URL.Hostname()) {
		token, err = t.source.Token()
	}
	if err == nil && isDPoP(token.TokenType) {
		if t.dpop != nil {
			return t.dpop.send(t.base, req, token.AccessToken)
		}
		err = errNoKey
	}
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	out := req.Clone(req.Context())
	out.Header.Set("Authorization", "Bearer "+token.AccessToken)
	return t.base.RoundTrip(out)
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the base.
func (t *bearerTransport) CloseIdleConnections() { closeIdle(t.base) }
