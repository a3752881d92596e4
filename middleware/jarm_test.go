package middleware_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// signed is an application whose server signs its answers (JARM).
func signed(mode string) func(*setup) {
	return func(s *setup) { s.client.ResponseMode = mode }
}

func TestSignedResponses(t *testing.T) {
	for _, mode := range []string{"query.jwt", "form_post.jwt", "jwt"} {
		t.Run(mode, func(t *testing.T) {
			a := newApp(t, signed(mode))
			p := a.callback(a.browser, "/profile")
			if q := p.Next.Query(); q.Has("code") || q.Has("state") || q.Has("response") == (mode == "form_post.jwt") {
				t.Errorf("the callback's parameters: %d", len(q))
			}
			sameSite := "SameSite=Lax"
			if mode == "form_post.jwt" {
				sameSite = "SameSite=None"
			}
			for _, s := range a.browser.Log() {
				for _, line := range s.SetCookies {
					if strings.HasPrefix(line, txPrefix) && !strings.Contains(line, sameSite) {
						t.Errorf("AZ-22: the login's cookie is not %s", sameSite)
					}
				}
			}
			if end := p.Follow(); end.Body() != "alice" || end.URL().Path != "/profile" {
				t.Fatalf("%d %s\n%s", end.Status(), end.Body(), a.logs)
			}
			if n := a.server.Count(acptest.TokenEndpoint); n != 1 {
				t.Errorf("%d token requests", n)
			}
			if len(a.cookies(txPrefix)) != 0 {
				t.Error("CB-31: the login's cookie is still there")
			}
		})
	}
}

// AZ-24: the state in the JWT finds the login of its own tab.
func TestSignedResponsesOfTwoTabs(t *testing.T) {
	a := newApp(t, signed("query.jwt"))
	first, second := a.callback(a.browser, "/profile"), a.callback(a.browser.Tab(), "/other")
	if end := second.Follow(); end.URL().Path != "/other" || end.Body() != "alice" {
		t.Errorf("%d at %s", end.Status(), end.URL().Path)
	}
	if end := first.Follow(); end.URL().Path != "/profile" || end.Body() != "alice" {
		t.Errorf("%d at %s", end.Status(), end.URL().Path)
	}
}

// What is not the server's answer is refused, and the login that it is aimed at goes on.
func TestSignedResponseRefusals(t *testing.T) {
	foreign := acptest.NewKey("ES256")
	forged := func(a *app, _ url.Values) string { return foreign.Sign(nil, answerTo(a)) }
	for _, row := range []struct {
		name  string
		query func(a *app, q url.Values) string
	}{
		{"CB-38 a plain answer", func(a *app, _ url.Values) string {
			return "code=x&state=" + url.QueryEscape(answerTo(a)["state"].(string))
		}},
		{"CB-38 a plain error", func(a *app, _ url.Values) string {
			return "error=access_denied&state=" + url.QueryEscape(answerTo(a)["state"].(string))
		}},
		{"CB-38 a plain state beside", func(a *app, q url.Values) string { return q.Encode() + "&state=x" }},
		{"CB-10 two responses", func(_ *app, q url.Values) string { return q.Encode() + "&" + q.Encode() }},
		{"CB-39 another's key", func(a *app, q url.Values) string { return "response=" + forged(a, q) }},
		{"CB-39 unsigned", func(a *app, _ url.Values) string { return "response=" + acptest.Unsigned(nil, answerTo(a)) }},
		{"CB-02 another login's", func(a *app, _ url.Values) string {
			claims := answerTo(a)
			claims["state"] = "AAAAAAAAAAAAAAAAAAAAAAAAAA"
			return "response=" + a.server.Sign(nil, claims)
		}},
		{"CB-17 20 KiB", func(*app, url.Values) string { return "response=" + strings.Repeat("a", 20<<10) }},
		{"CB-12 nothing", func(*app, url.Values) string { return "" }},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := newApp(t, signed("query.jwt"))
			p := a.callback(a.browser, "/profile")
			w := a.serve(request("GET", site+"/callback?"+row.query(a, p.Next.Query()), a.cookieHeader()))
			if w.Code != 400 || sets(w.Header(), sessionPrefix) || deletes(w.Header(), txPrefix) || a.server.Count(acptest.TokenEndpoint) != 0 {
				t.Fatalf("%d, cookies %d, %d token requests\n%s", w.Code, len(w.Header().Values("Set-Cookie")), a.server.Count(acptest.TokenEndpoint), a.logs)
			}
			isPrivate(t, w.Header())
			if end := p.Follow(); end.Body() != "alice" {
				t.Errorf("the login itself: %d %s\n%s", end.Status(), end.Body(), a.logs)
			}
		})
	}
}

// answerTo are those of the server's last answer.
func answerTo(a *app) map[string]any {
	a.t.Helper()
	var last map[string]any
	a.server.OnJARM(func(_, claims map[string]any) {
		last = map[string]any{}
		for name, value := range claims {
			last[name] = value
		}
	})
	defer a.server.OnJARM(nil)
	log := a.browser.Log()
	for i := range log { // the same request again has the same state
		if step := log[len(log)-1-i]; step.URL.Query().Has("code_challenge") {
			res, err := a.server.HTTPClient().Get(step.URL.String())
			if err != nil {
				a.t.Fatal(err)
			}
			res.Body.Close()
			return last
		}
	}
	a.t.Fatal("no login was started")
	return nil
}

// CB-02: the answer to an attacker's login, good in itself, opens nothing in another browser, whether
// that has a login of its own or nothing at all, for which no key is even asked.
func TestSignedResponseOfAnotherBrowser(t *testing.T) {
	a := newApp(t, signed("query.jwt"))
	attacker := a.server.Browser()
	attacker.Mount(a.origin, a.handler)
	answer := a.callback(attacker, "/profile").Next.String()
	if w := a.serve(request("GET", answer, "")); w.Code != 400 || a.server.Count(acptest.JWKSEndpoint) != 0 {
		t.Errorf("CB-02: %d, %d requests for keys", w.Code, a.server.Count(acptest.JWKSEndpoint))
	}
	p := a.callback(a.browser, "/profile")
	if w := a.serve(request("GET", answer, a.cookieHeader())); w.Code != 400 || sets(w.Header(), sessionPrefix) {
		t.Errorf("CB-02: %d", w.Code)
	}
	if n := a.server.Count(acptest.TokenEndpoint); n != 0 {
		t.Errorf("%d token requests", n)
	}
	if end := p.Follow(); end.Body() != "alice" {
		t.Errorf("the victim's own login: %d", end.Status())
	}
}

func TestSignedResponseReplay(t *testing.T) { // CB-04
	a := newApp(t, signed("query.jwt"))
	p := a.callback(a.browser, "/other")
	kept := a.cookieHeader()
	if end := p.Follow(); end.Body() != "alice" {
		t.Fatalf("%d %s", end.Status(), end.Body())
	}
	if w := a.serve(request("GET", p.Next.String(), kept)); w.Code != 400 {
		t.Errorf("a kept cookie: %d", w.Code)
	}
	if w := a.serve(request("GET", p.Next.String(), a.cookieHeader())); w.Code != 303 || w.Header().Get("Location") != "/other" {
		t.Errorf("back onto the callback: %d to %q", w.Code, w.Header().Get("Location"))
	}
	if n := a.server.Count(acptest.TokenEndpoint); n != 1 {
		t.Errorf("%d token requests", n)
	}
}

func TestSignedErrors(t *testing.T) {
	for _, row := range []struct {
		name, code string
		status     int
	}{
		{"CB-24 access_denied", "access_denied", 403},
		{"CB-24 ACP's rejected", "Rejected", 403},
		{"CB-29 login_required", "login_required", 401},
		{"CB-29 temporarily_unavailable", "temporarily_unavailable", 503},
		{"invalid_scope", "invalid_scope", 502},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := newApp(t, signed("form_post.jwt"))
			a.server.Deny(row.code)
			end := a.browser.Navigate(site + "/profile")
			if end.Status() != row.status || a.server.Count(acptest.TokenEndpoint) != 0 || len(a.cookies("")) != 0 {
				t.Errorf("%d, want %d; %d cookies left\n%s", end.Status(), row.status, len(a.cookies("")), a.logs)
			}
		})
	}
}

// A response that cannot be judged now may come again.
func TestSignedResponseWithoutKeys(t *testing.T) {
	a := newApp(t, signed("query.jwt"))
	p := a.callback(a.browser, "/profile")
	a.server.Handle(acptest.JWKSEndpoint, acptest.Answer(500, "text/plain", ""))
	w := a.serve(request("GET", p.Next.String(), a.cookieHeader()))
	if w.Code != 503 || w.Header().Get("Retry-After") == "" || deletes(w.Header(), txPrefix) {
		t.Errorf("%d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	if n := a.server.Count(acptest.TokenEndpoint); n != 0 {
		t.Errorf("%d token requests", n)
	}
}

func TestSignedResponseTransport(t *testing.T) {
	a := newApp(t, signed("query.jwt"))
	for _, method := range []string{"HEAD", "POST", "PUT"} { // CB-35
		if got := a.finish(method, url.Values.Encode); got.status != 405 || got.attempts != 0 {
			t.Errorf("CB-35 %s: %d, %d token requests", method, got.status, got.attempts)
		}
	}
	form := newApp(t, signed("form_post.jwt"))
	form.callback(form.browser, "/profile")
	token := form.server.Sign(nil, answerTo(form))
	for _, row := range []struct {
		name, query, kind, body string
		status                  int
	}{
		{"CB-13 the response in the query of a form", "?response=" + token, "application/x-www-form-urlencoded", "", 400},
		{"CB-13 in both", "?response=" + token, "application/x-www-form-urlencoded", "response=" + token, 400},
		{"CB-38 a plain code", "", "application/x-www-form-urlencoded", "code=a&state=b", 400},
		{"CB-15 JSON", "", "application/json", "{}", 415},
		{"CB-16 too large", "", "application/x-www-form-urlencoded", "response=" + strings.Repeat("a", 1<<20), 413},
	} {
		r := request("POST", site+"/callback"+row.query, form.cookieHeader())
		r.Header.Set("Content-Type", row.kind)
		r.Body = readCloser(row.body)
		if w := form.serve(r); w.Code != row.status || sets(w.Header(), sessionPrefix) {
			t.Errorf("%s: %d, want %d", row.name, w.Code, row.status)
		}
	}
	if n := form.server.Count(acptest.TokenEndpoint); n != 0 {
		t.Errorf("%d token requests after the attacks", n)
	}
	r := request("POST", site+"/callback", form.cookieHeader())
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Body = readCloser("response=" + token)
	if w := form.serve(r); w.Code != http.StatusSeeOther || !sets(w.Header(), sessionPrefix) {
		t.Errorf("the answer itself: %d\n%s", w.Code, form.logs)
	}
}

// What is not offered stops the login before the browser leaves.
func TestSignedResponseNotOffered(t *testing.T) {
	a := newApp(t, signed("query.jwt"))
	a.server.OnMetadata(func(m map[string]any) { m["response_modes_supported"] = []string{"query"} })
	if end := a.browser.Navigate(site + "/profile"); end.Status() != 502 || a.server.Count(acptest.AuthorizeEndpoint) != 0 {
		t.Errorf("CB-38: %d", end.Status())
	}
	if !strings.Contains(a.logs.String(), "Config.ResponseMode") {
		t.Errorf("the log does not name the setting\n%s", a.logs)
	}
}

// An encrypted response finds its login, too, and the session holds what was inside the tokens.
func TestEncryptedResponses(t *testing.T) {
	key := acptest.NewKey("ES256").Signer()
	a := newApp(t, func(s *setup) {
		s.client.ResponseMode = "form_post.jwt"
		s.server.Client.Encryption = acptest.Encryption{Key: key.Public(), IDToken: true, AuthorizationResponse: true}
		s.client.Decryption = &acpclient.Decryption{Keys: []acpclient.DecryptionKey{{Key: key}}, IDToken: true, AuthorizationResponse: true}
	})
	first, second := a.callback(a.browser, "/profile"), a.callback(a.browser.Tab(), "/other")
	if end := second.Follow(); end.URL().Path != "/other" || end.Body() != "alice" {
		t.Errorf("%d at %s", end.Status(), end.URL().Path)
	}
	if end := first.Follow(); end.URL().Path != "/profile" || end.Body() != "alice" {
		t.Errorf("%d at %s", end.Status(), end.URL().Path)
	}
	a.browser.ClearCookies()
	// Signed alone it is refused before anything changes.
	p := a.callback(a.browser.Tab(), "/other")
	r := request("POST", site+"/callback", a.cookieHeader())
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Body = readCloser("response=" + a.server.Sign(nil, answerTo(a)))
	before := a.server.Count(acptest.TokenEndpoint)
	if w := a.serve(r); w.Code != 400 || deletes(w.Header(), txPrefix) || a.server.Count(acptest.TokenEndpoint) != before {
		t.Errorf("CB-39: %d", w.Code)
	}
	if end := p.Follow(); end.Body() != "alice" {
		t.Errorf("the login itself: %d", end.Status())
	}
}
