package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/acp-go/acp/pkce"
)

// newBare is no library: it sends the same request, reads the answer, and looks at
// nothing. It is the part of every row that belongs to net/http and the server.
func newBare(_ context.Context, s *server) (candidate, error) {
	transport := newTransport()
	client := &http.Client{Transport: transport}
	return &contender[string]{server: s, library: library[string]{
		title: "net/http alone",
		authorize: func(context.Context) (string, string, error) {
			verifier := pkce.NewVerifier()
			return s.issuer + "/oauth2/authorize?" + url.Values{
				"response_type": {"code"}, "client_id": {clientID}, "redirect_uri": {redirectURL},
				"scope": {strings.Join(scopes, " ")}, "state": {rand.Text()}, "nonce": {rand.Text()},
				"code_challenge": {pkce.Challenge(verifier)}, "code_challenge_method": {"S256"},
			}.Encode(), verifier, nil
		},
		callback: func(ctx context.Context, verifier string, query url.Values) (u user, err error) {
			form := url.Values{
				"grant_type": {"authorization_code"}, "code": {query.Get("code")},
				"redirect_uri": {redirectURL}, "code_verifier": {verifier},
			}
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.issuer+"/oauth2/token", strings.NewReader(form.Encode()))
			if err != nil {
				return u, err
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.SetBasicAuth(clientID, url.QueryEscape(clientSecret))
			res, err := client.Do(req)
			if err != nil {
				return u, err
			}
			defer res.Body.Close()
			if _, err := io.ReadAll(res.Body); err != nil {
				return u, err
			}
			if res.StatusCode != http.StatusOK {
				return u, fmt.Errorf("status %d", res.StatusCode)
			}
			return theUser, nil
		},
		done: transport.CloseIdleConnections,
	}}, nil
}
