package acptest

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// LogoutToken makes a logout token for the main client, with the user as `sub` (OpenID Connect
// Back-Channel Logout 1.0 2.4). The argument adds claims or replaces them (the `sid` of an ID
// token, say); a nil value takes one away. OnLogoutToken edits the header, too.
func (s *Server) LogoutToken(claims map[string]any) string {
	s.mu.Lock()
	user, client, key, edit := s.user, s.clients[s.ClientID], s.key, s.hooks.logoutToken
	s.mu.Unlock()
	now := s.now()
	all := map[string]any{
		"iss": s.Issuer, "aud": client.ID, "sub": user.Subject,
		"iat": now.Unix(), "exp": now.Add(2 * time.Minute).Unix(), "jti": random()[:22],
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}
	override(all, claims)
	return client.Encryption.sealed(client.issue(key, "logout+jwt", all, edit, nil), client.Encryption.IDToken)
}

// BackchannelLogout posts LogoutToken(claims) to a client's back-channel logout URI, as a
// server does whose session ends somewhere else, and returns the answer, whose body can be read and
// needs no Close. The handler answers in this goroutine; nil sends the request over
// the network, with HTTPClient. A request that cannot be sent ends the test.
func (s *Server) BackchannelLogout(handler http.Handler, uri string, claims map[string]any) *http.Response {
	s.t.Helper()
	body := url.Values{"logout_token": {s.LogoutToken(claims)}}.Encode()
	req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, uri, strings.NewReader(body))
	if err != nil {
		s.t.Fatalf("acptest: the back-channel logout URI: %v", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var res *http.Response
	var answer []byte
	if handler != nil {
		step := &Step{Method: req.Method, URL: req.URL, Header: req.Header}
		res, answer, err = mounted(s.ctx, step, strings.NewReader(body), handler)
	} else if res, err = s.HTTPClient().Do(req); err == nil {
		answer, err = io.ReadAll(io.LimitReader(res.Body, maxPage))
		res.Body.Close()
	}
	if err != nil {
		s.t.Fatalf("acptest: the back-channel logout: %v", err)
	}
	res.Body = io.NopCloser(bytes.NewReader(answer))
	return res
}
