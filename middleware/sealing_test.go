package middleware_test

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/middleware"
)

// No setting gives a cookie that its prefix forbids: the prefix is not the caller's to
// write, and there is no Domain, Path or Secure to set.
func TestCookieNames(t *testing.T) { // SE-02
	a := newApp(t, nil)
	for _, name := range []string{
		"__Host-acp", "__Secure-acp", "__host-acp", "__Http-acp", "a b", "a;Domain=evil.example", "a=b", "a,b", "a\r\nb", "é", `"a"`,
		strings.Repeat("a", 33),
	} {
		if auth, err := middleware.New(a.client, middleware.Config{CookieKeys: [][]byte{a.key}, CookieName: name}); err == nil || auth != nil {
			t.Errorf("SE-02 %q: accepted", name)
		} else if !strings.Contains(err.Error(), "CookieName") {
			t.Errorf("SE-02 %q: the error does not name the field: %v", name, err)
		}
	}
	for _, row := range []struct{ origin, name, mode string }{
		{site, "", ""}, {site, "shop-1_x", "form_post"}, {site, strings.Repeat("a", 32), ""},
		{"http://127.0.0.1:8080", "", ""}, {"http://localhost:8080", "x", "form_post"}, {"http://[::1]:8080", "", ""},
	} {
		b := newApp(t, func(s *setup) { s.origin, s.config.CookieName, s.client.ResponseMode = row.origin, row.name, row.mode })
		b.login()
		for _, step := range b.browser.Log() {
			for line, why := range step.Dropped {
				t.Errorf("SE-02 %v: the browser drops a cookie: %s: %s", row, why, line)
			}
			for _, line := range step.SetCookies {
				if strings.HasPrefix(row.origin, "https") != strings.HasPrefix(line, "__Host-") || strings.Contains(line, "Domain") {
					t.Errorf("SE-02 %v: %s", row, line)
				}
			}
		}
	}
}

// Of what a session holds nothing can be read, however often the cookie is decoded.
func TestSessionIsEncrypted(t *testing.T) { // SE-04
	a := newApp(t, nil)
	var secrets []string
	a.server.OnTokens(func(m map[string]any) {
		for _, name := range []string{"access_token", "refresh_token", "id_token"} {
			token, _ := m[name].(string)
			for part := range strings.SplitSeq(token, ".") {
				secrets = append(secrets, part)
				if raw, err := base64.RawURLEncoding.DecodeString(part); err == nil {
					secrets = append(secrets, string(raw)) // a record keeps the parts of a JWT decoded
				}
			}
		}
	})
	a.login()
	if len(secrets) < 10 {
		t.Fatalf("%d secrets", len(secrets))
	}
	secrets = append(secrets, "alice", a.server.Issuer, "offline_access", "openid")
	for _, c := range a.cookies(sessionPrefix) {
		_, sealed, _ := strings.Cut(c.Value, ".")
		for _, text := range []string{c.Value, sealed} {
			for range 4 {
				for _, s := range secrets {
					if len(s) > 3 && (strings.Contains(text, s) || strings.Contains(text, hex.EncodeToString([]byte(s)))) {
						t.Fatalf("SE-04: %q can be read", s)
					}
				}
				// securecookie's frame: time | ciphertext | MAC, the middle one in base64 again.
				if parts := strings.SplitN(text, "|", 3); len(parts) == 3 {
					text = parts[1]
				}
				raw, _ := base64.URLEncoding.DecodeString(text)
				text = string(raw)
			}
		}
	}
	r := request("GET", site+"/", a.cookieHeader())
	if first, again := a.auth.WithGeneration(r, 1), a.auth.WithGeneration(r, 1); len(first) != 1 || first[0].Value == again[0].Value {
		t.Error("SE-04: the same session is sealed twice in the same way")
	}
}

// A session is read by the application that sealed it, under its own name, alone.
func TestSessionIsBound(t *testing.T) { // SE-06
	key := randomKey()
	build := func(issuer, clientID, name string) *middleware.Authenticator {
		t.Helper()
		client, err := acpclient.New(acpclient.Config{Issuer: issuer, ClientID: clientID, RedirectURL: site + "/callback", Transport: unreachable{}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close(t.Context()) })
		auth, err := middleware.New(client, middleware.Config{CookieKeys: [][]byte{key}, CookieName: name, Logger: (&logBuffer{}).logger()})
		if err != nil {
			t.Fatal(err)
		}
		return auth
	}
	const issuer = "https://acp.invalid/t/w"
	mine := build(issuer, "shop", "")
	cookies, err := mine.SessionCookies(tokensOf(4000), time.Now(), time.Now())
	if err != nil || len(cookies) < 2 {
		t.Fatalf("%d cookies, %v", len(cookies), err)
	}
	serves := func(auth *middleware.Authenticator, cookies string) bool {
		h := auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
		return serve(h, request("GET", site+"/", cookies)).Code == http.StatusNoContent
	}
	held := cookiePairs(cookies)
	if !serves(mine, held) || !serves(build(issuer, "shop", ""), held) {
		t.Fatal("SE-06: a second process of the same application does not read the session")
	}
	renamed := strings.ReplaceAll(held, "__Host-acp_session", "__Host-admin_session")
	for name, row := range map[string]struct {
		auth    *middleware.Authenticator
		cookies string
	}{
		"another issuer":                     {build("https://acp.invalid/t/staging", "shop", ""), held},
		"an issuer that ends with the rest":  {build(issuer+"|4|shop", "shop", ""), held},
		"another client":                     {build(issuer, "back-office", ""), held},
		"another application's name":         {build(issuer, "shop", "admin"), renamed},
		"another number of cookies":          {mine, strings.Replace(held, "="+cookies[0].Value[:2], "=1.", 1)},
		"the second cookie in the first one": {mine, cookies[0].Name + "=" + cookies[1].Value},
	} {
		if serves(row.auth, row.cookies) {
			t.Errorf("SE-06 %s: the session serves", name)
		}
	}
	// A short session, so that nothing but the name is in the way.
	small, err := mine.SessionCookies(tokensOf(100), time.Now(), time.Now())
	if err != nil || len(small) != 1 || !serves(mine, cookiePairs(small)) {
		t.Fatalf("%d cookies, %v", len(small), err)
	}
	if serves(build(issuer, "shop", "admin"), "__Host-admin_session="+small[0].Value) {
		t.Error("SE-06: a renamed cookie serves")
	}
}

// A session is the cookie's alone: not bound to an address or to a browser's name.
func TestSessionFromTwoPlaces(t *testing.T) { // SE-34
	a := newApp(t, nil)
	a.login()
	for _, from := range []struct{ address, agent string }{
		{"192.0.2.1:1000", "Mozilla/5.0 (X11; Linux) Firefox/150"}, {"[2001:db8::1]:2000", "Mozilla/5.0 (iPhone) Safari/620"}, {"198.51.100.7:3", ""},
	} {
		r := request("GET", site+"/profile", a.cookieHeader())
		r.RemoteAddr = from.address
		r.Header.Set("User-Agent", from.agent)
		r.Header.Set("Accept-Language", from.address)
		if w := a.serve(r); w.Code != 200 || w.Body.String() != "alice" || len(w.Header()["Set-Cookie"]) != 0 {
			t.Errorf("SE-34 %v: %d %q", from, w.Code, w.Body)
		}
	}
	if n := a.server.Count(acptest.TokenEndpoint); n != 1 {
		t.Errorf("SE-34: %d token requests", n)
	}
}
