package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/acp-go/acp/acptest"
)

// BR-25 to BR-28, BR-36: what a server may answer, and what becomes of the request.
func TestHostileIntrospection(t *testing.T) {
	s := acptest.NewServer(t, &acptest.Options{Client: acptest.Client{ID: "api:1", Secret: "c4nary: +%"}})
	p := startWith(t, s, "ACP_TOKEN_MODE=introspection", "ACP_CLIENT_ID=api:1", "ACP_CLIENT_SECRET=c4nary: +%")
	now := time.Now().Unix()
	document := func(name string, value any) string {
		m := map[string]any{
			"active": true, "iss": s.Issuer, "sub": "alice", "aud": []string{s.Audience}, "exp": now + 600, "token_type": "access_token", "scope": "things.read",
		}
		if m[name] = value; value == nil {
			delete(m, name)
		}
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	member := func(name string, value any) http.HandlerFunc {
		return acptest.Answer(200, "application/json", document(name, value))
	}
	good := document("x", 1)
	count := 0
	for name, row := range map[string]struct {
		answer http.HandlerFunc
		status int
		code   string
	}{
		"good":                           {member("x", 1), 200, ""},
		"no token_type":                  {member("token_type", nil), 200, ""},
		"token_type Bearer":              {member("token_type", "Bearer"), 200, ""},
		"no iss and no exp":              {acptest.Answer(200, "application/json", fmt.Sprintf(`{"active":true,"sub":"a","aud":%q,"scope":"things.read"}`, s.Audience)), 200, ""},
		"BR-25 not active":               {acptest.Answer(200, "application/json", `{"active":false}`), 401, "invalid_token"},
		"BR-26 active is a string":       {member("active", "true"), 503, ""},
		"BR-26 active is 1":              {member("active", 1), 503, ""},
		"BR-26 no active":                {member("active", nil), 503, ""},
		"BR-26 active twice":             {acptest.Answer(200, "application/json", `{"active":false,`+good[1:]), 503, ""},
		"BR-26 ACTIVE":                   {acptest.Answer(200, "application/json", strings.Replace(good, "active", "ACTIVE", 1)), 503, ""},
		"BR-27 a refresh token":          {member("token_type", "refresh_token"), 401, "invalid_token"},
		"BR-27 token_type mac":           {member("token_type", "mac"), 401, "invalid_token"},
		"BR-27 expired":                  {member("exp", now-60), 401, "invalid_token"},
		"BR-27 exp is a string":          {member("exp", fmt.Sprint(now+60)), 401, "invalid_token"},
		"BR-27 nbf in a minute":          {member("nbf", now+60), 401, "invalid_token"},
		"BR-27 another aud":              {member("aud", "x"), 401, "invalid_token"},
		"BR-27 no aud":                   {member("aud", nil), 401, "invalid_token"},
		"BR-27 another iss":              {member("iss", s.Issuer+"/"), 401, "invalid_token"},
		"BR-27 no sub":                   {member("sub", nil), 401, "invalid_token"},
		"BR-27 no scope":                 {member("scope", nil), 403, "insufficient_scope"},
		"DP-01 bound":                    {member("cnf", map[string]any{"jkt": "x"}), 401, "invalid_token"},
		"BR-17 an ID token":              {member("nonce", "n"), 401, "invalid_token"},
		"BR-28 401":                      {acptest.Answer(401, "application/json", `{"error":"invalid_client"}`), 503, ""},
		"BR-28 400 invalid_token":        {acptest.Answer(400, "application/json", `{"error":"invalid_token"}`), 503, ""},
		"BR-28 403 with a good document": {acptest.Answer(403, "application/json", good), 503, ""},
		"BR-28 500":                      {acptest.Answer(500, "text/html", "<html>"), 503, ""},
		"BR-28 HTML":                     {acptest.Answer(200, "text/html", "<html>"), 503, ""},
		"BR-28 HTML, and a good one":     {acptest.Answer(200, "text/html", good), 503, ""},
		"BR-28 cut off":                  {acptest.Answer(200, "application/json", good[:len(good)-1]), 503, ""},
		"BR-28 reset":                    {acptest.Reset(), 503, ""},
		"BR-28 Retry-After of a day":     {tooBusy, 503, ""},
		"BR-36 redirect":                 {acptest.RedirectTo(307, s.URL(acptest.UserInfoEndpoint)), 503, ""},
		"BR-36 endless":                  {acptest.Endless("application/json", good), 503, ""},
	} {
		t.Run(name, func(t *testing.T) {
			count++
			token := fmt.Sprintf("an-opaque-token-%d", count)
			s.Handle(acptest.IntrospectEndpoint, row.answer)
			p.audit(t, p.send(t, "GET", "/things", token), row.status, row.code)
			requests := s.Requests(acptest.IntrospectEndpoint)
			r := requests[len(requests)-1]
			id, secret, _ := (&http.Request{Header: r.Header}).BasicAuth()
			if id != url.QueryEscape("api:1") || secret != url.QueryEscape("c4nary: +%") { // RFC 6749 2.3.1
				t.Errorf("authorized as %q, %q", id, secret)
			}
			if r.Method != http.MethodPost || len(r.Query) != 0 || r.Header.Get("SSO-Session-Extend") != "false" {
				t.Errorf("asked by %s, %v, %v", r.Method, r.Query, r.Header["Sso-Session-Extend"])
			}
			// BR-28: what says nothing of the token is forgotten at once.
			s.Handle(acptest.IntrospectEndpoint, member("x", 2))
			if a := p.send(t, "GET", "/things", token); row.status == 503 && a.StatusCode != 200 {
				t.Errorf("asked again: status %d", a.StatusCode)
			}
			if log := p.stderr.String(); strings.Contains(log, token) || strings.Contains(log, "c4nary") { // LG-01
				t.Errorf("a secret is in the log:\n%s", log)
			}
		})
	}
	if s.Count(acptest.UserInfoEndpoint) != 0 {
		t.Error("a redirect was followed")
	}
}

// BR-35, BR-30: a hundred requests with one token are one question, and each route asks for its own.
func TestManyRequestsWithOneToken(t *testing.T) {
	s := acptest.NewServer(t, nil)
	s.MintAccessToken(func(map[string]any, map[string]any) string { return "an-opaque-token" })
	token := s.AccessToken(map[string]any{"scp": []string{"things.read"}})
	p := startWith(t, s, "ACP_TOKEN_MODE=auto", "ACP_CLIENT_ID="+s.ClientID, "ACP_CLIENT_SECRET="+s.ClientSecret)
	began := time.Now()
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() { p.audit(t, p.send(t, "GET", "/things", token), 200, "") })
	}
	all.Wait()
	p.audit(t, p.send(t, "POST", "/things", token), 403, "insufficient_scope")
	p.audit(t, p.send(t, "GET", "/transfer", token), 401, "insufficient_user_authentication")
	// What it said is remembered for 10 s.
	if n, most := s.Count(acptest.IntrospectEndpoint), 1+int(time.Since(began)/(10*time.Second)); n < 1 || n > most {
		t.Errorf("the server was asked %d times, want %d", n, most)
	}
}

// BR-20, BR-21, BR-22: challenges to the letter.
func TestChallenges(t *testing.T) {
	s := acptest.NewServer(t, nil)
	p := startWith(t, s, "ACP_RESOURCE=https://api.example/v1")
	read := s.AccessToken(map[string]any{"scp": "things.read"})
	const metadata = `resource_metadata="https://api.example/.well-known/oauth-protected-resource/v1"`
	for name, row := range map[string]struct{ method, path, token, want string }{
		"no token":  {"GET", "/things", "", `Bearer ` + metadata},
		"two words": {"GET", "/things", "a b", `Bearer error="invalid_request", error_description="The request must give one access token, as Authorization: Bearer", ` + metadata},
		"bad":       {"GET", "/transfer", "a", `Bearer error="invalid_token", error_description="The access token is not valid for this API", ` + metadata},
		"scope":     {"POST", "/things", read, `Bearer error="insufficient_scope", error_description="The access token lacks a scope", scope="things.write", ` + metadata},
		"step-up":   {"GET", "/transfer", read, `Bearer error="insufficient_user_authentication", error_description="The user must sign in again, or in a stronger way", acr_values="urn:acp:mfa", max_age="300", ` + metadata},
	} {
		if got := p.send(t, row.method, row.path, row.token).Header.Values("WWW-Authenticate"); len(got) != 1 || got[0] != row.want {
			t.Errorf("%s:\n%q, want\n%q", name, got, row.want)
		}
	}
}
