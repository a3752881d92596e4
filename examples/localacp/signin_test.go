package localacp_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/acp-go/acp/examples/localacp"
)

func TestConsentOnlyWhenScopesAskForIt(t *testing.T) {
	server := start(t, localacp.Options{})
	for _, row := range []struct {
		scope   string
		consent bool
		idToken bool
	}{
		{"", false, false},
		{"openid", false, true},
		{"openid offline_access", false, true},
		{"openid profile", true, true},
		{"accounts.read", true, false},
	} {
		t.Run(row.scope, func(t *testing.T) {
			b := newBrowser(t)
			p := b.signIn(authorizeURL(server, "scope", row.scope))
			if row.consent {
				if p.StatusCode != http.StatusOK || !strings.Contains(p.text, `value="allow"`) {
					t.Fatalf("no consent page: status %d\n%s", p.StatusCode, p.text)
				}
				p = b.submit(p, "action", "allow")
			}
			status, tokens := b.token(server, codeForm(callback(t, p).Get("code")))
			if status != http.StatusOK {
				t.Fatalf("status %d, %v", status, tokens)
			}
			if (tokens["id_token"] != nil) != row.idToken {
				t.Errorf("ID token: %v", tokens["id_token"])
			}
			if (tokens["refresh_token"] != nil) != strings.Contains(row.scope, "offline_access") {
				t.Errorf("refresh token: %v", tokens["refresh_token"])
			}
		})
	}
}

func TestRefusal(t *testing.T) {
	for _, deny := range []string{"rejected", "access_denied"} {
		server := start(t, localacp.Options{DenyError: deny})
		b := newBrowser(t)
		for _, row := range []struct {
			cause string
			page  func() page
		}{
			{"authentication_rejected", func() page {
				return b.submit(b.get(authorizeURL(server)), "action", "cancel")
			}},
			{"consent_rejected", func() page {
				return b.submit(b.signIn(authorizeURL(server)), "action", "deny")
			}},
		} {
			answer := callback(t, row.page())
			if answer.Get("error") != deny || answer.Get("error_cause") != row.cause || answer.Get("state") != "st4te" ||
				answer.Get("trace_id") == "" || answer.Has("code") {
				t.Errorf("%s: %v", deny, answer)
			}
		}
	}
}

func TestWrongPassword(t *testing.T) {
	server := start(t, localacp.Options{})
	b := newBrowser(t)
	p := b.get(authorizeURL(server))
	for _, row := range [][2]string{{"alice", "builder"}, {"alice", ""}, {"mallory", ""}, {"mallory", "wonderland"}, {`"><script>x</script>`, "x"}} {
		p = b.submit(p, "username", row[0], "password", row[1], "action", "login")
		if p.StatusCode != http.StatusOK || !strings.Contains(p.text, "do not belong together") {
			t.Fatalf("%q: status %d\n%s", row, p.StatusCode, p.text)
		}
		if strings.Contains(p.text, "<script") {
			t.Errorf("%q: not escaped", row)
		}
	}
	p = b.submit(p, "username", "bob", "password", "builder", "action", "login")
	if !strings.Contains(p.text, "Bob Cratchit") || !strings.Contains(p.text, "Web shop") {
		t.Errorf("consent page:\n%s", p.text)
	}
}

func TestAuthorizeRefusals(t *testing.T) {
	server := start(t, localacp.Options{})
	for name, row := range map[string]struct {
		edit []string
		code string // "": a page, no redirect
	}{
		"no challenge":     {[]string{"code_challenge", "", "code_challenge_method", ""}, "invalid_request"},
		"plain challenge":  {[]string{"code_challenge_method", "plain"}, "invalid_request"},
		"unknown scope":    {[]string{"scope", "openid nonsense"}, "invalid_scope"},
		"no such flow":     {[]string{"response_type", "nonsense"}, "invalid_request"},
		"prompt none":      {[]string{"prompt", "none"}, "login_required"},
		"unknown client":   {[]string{"client_id", "nobody"}, ""},
		"foreign redirect": {[]string{"redirect_uri", "http://127.0.0.1:9/elsewhere"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newBrowser(t).get(authorizeURL(server, row.edit...))
			if row.code == "" {
				if p.StatusCode < 400 || p.Header.Get("Location") != "" || !strings.HasPrefix(p.Header.Get("Content-Type"), "text/html") {
					t.Errorf("status %d, %v", p.StatusCode, p.Header)
				}
				return
			}
			if answer := callback(t, p); answer.Get("error") != row.code || answer.Get("error_cause") == "" || answer.Get("state") != "st4te" {
				t.Errorf("callback %v", answer)
			}
		})
	}
}

func TestRedirectMayBeLeftOut(t *testing.T) {
	server := start(t, localacp.Options{})
	b := newBrowser(t)
	form := codeForm(b.code(authorizeURL(server, "redirect_uri", "")))
	form.Del("redirect_uri")
	if status, tokens := b.token(server, form); status != http.StatusOK {
		t.Errorf("status %d, %v", status, tokens)
	}
	form = codeForm(b.code(authorizeURL(server, "prompt", "login")))
	form.Del("redirect_uri")
	if status, answer := b.token(server, form); status != http.StatusBadRequest {
		t.Errorf("left out at the token endpoint only: status %d, %v", status, answer)
	}
}

func TestFormPost(t *testing.T) {
	server := start(t, localacp.Options{})
	b := newBrowser(t)
	p := b.submit(b.signIn(authorizeURL(server, "response_mode", "form_post")), "action", "allow")
	for _, want := range []string{`action="` + redirectURL + `"`, `name="code"`, `name="state" value="st4te"`} {
		if !strings.Contains(p.text, want) {
			t.Errorf("no %s in\n%s", want, p.text)
		}
	}
	if csp := p.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' http://127.0.0.1:9") ||
		!strings.Contains(csp, "script-src 'sha256-") {
		t.Errorf("policy %s", csp)
	}
	p = b.submit(b.get(authorizeURL(server, "response_mode", "form_post", "prompt", "login")), "action", "cancel")
	if !strings.Contains(p.text, `name="error" value="rejected"`) || !strings.Contains(p.text, `name="error_cause"`) {
		t.Errorf("refusal:\n%s", p.text)
	}
}

func TestSignOnSession(t *testing.T) {
	server := start(t, localacp.Options{})
	b := newBrowser(t)
	_, tokens := b.token(server, codeForm(b.code(authorizeURL(server))))

	if p := b.get(authorizeURL(server)); !strings.Contains(p.text, "Alice Liddell") || !strings.Contains(p.text, `value="allow"`) {
		t.Errorf("the second login does not know the user:\n%s", p.text)
	}
	if p := b.get(authorizeURL(server, "prompt", "none")); callback(t, p).Get("code") == "" {
		t.Error("prompt=none brings no code")
	}
	if p := b.get(authorizeURL(server, "prompt", "none", "scope", "openid email")); callback(t, p).Get("error") != "consent_required" {
		t.Error("prompt=none granted what nobody was asked for")
	}
	for _, edit := range [][]string{{"prompt", "login"}, {"max_age", "0"}} {
		// max_age=0 wants an authentication that is younger than the request.
		if p := b.get(authorizeURL(server, edit...)); !strings.Contains(p.text, `name="password"`) {
			t.Errorf("%v does not ask for the password", edit)
		}
	}

	p := b.get(server.Issuer + "/oidc/logout?" + url.Values{
		"id_token_hint": {tokens.text("id_token")}, "post_logout_redirect_uri": {"http://127.0.0.1:9/bye"}, "state": {"out"},
	}.Encode())
	if got := p.Header.Get("Location"); got != "http://127.0.0.1:9/bye?state=out" {
		t.Errorf("after logout: status %d to %q\n%s", p.StatusCode, got, p.text)
	}
	if p := b.get(authorizeURL(server)); !strings.Contains(p.text, `name="password"`) {
		t.Error("the sign-on session outlived the logout")
	}
}

func TestLogoutWithoutProofAsks(t *testing.T) {
	server := start(t, localacp.Options{})
	b := newBrowser(t)
	_, tokens := b.token(server, codeForm(b.code(authorizeURL(server))))
	logout := server.Issuer + "/oidc/logout?client_id=web"

	ask := b.get(logout)
	if !strings.Contains(ask.text, `value="stay"`) {
		t.Fatalf("no question:\n%s", ask.text)
	}
	b.submit(ask, "action", "stay")
	if p := b.get(authorizeURL(server)); strings.Contains(p.text, `name="password"`) {
		t.Error("staying signed the user out")
	}
	for name, address := range map[string]string{
		"foreign redirect": logout + "&post_logout_redirect_uri=" + url.QueryEscape("http://evil.example/"),
		"bad hint":         logout + "&id_token_hint=abc",
		"access token":     logout + "&id_token_hint=" + tokens.text("access_token"),
	} {
		if p := b.get(address); p.StatusCode != http.StatusBadRequest || p.Header.Get("Location") != "" {
			t.Errorf("%s: status %d", name, p.StatusCode)
		}
	}
	b.submit(b.get(logout), "action", "logout")
	if p := b.get(authorizeURL(server)); !strings.Contains(p.text, `name="password"`) {
		t.Error("the user is still signed in")
	}
}

func TestFormsAreSafeFromOthers(t *testing.T) {
	server := start(t, localacp.Options{})
	victim, attacker := newBrowser(t), newBrowser(t)
	login := attacker.get(authorizeURL(server))

	// The attacker's login, posted by the victim's browser, signs nobody in.
	if p := victim.submit(login, "username", "alice", "password", "wonderland", "action", "login"); p.StatusCode != http.StatusForbidden {
		t.Errorf("another browser: status %d", p.StatusCode)
	}
	address := login.Request.URL.Scheme + "://" + login.Request.URL.Host + formAction.FindStringSubmatch(login.text)[1]
	p := attacker.post(address, url.Values{"username": {"alice"}, "password": {"wonderland"}, "action": {"login"}},
		func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") })
	if p.StatusCode != http.StatusForbidden {
		t.Errorf("cross-site post: status %d", p.StatusCode)
	}
	// A form that was sent already brings no second code.
	consent := attacker.submit(login, "username", "alice", "password", "wonderland", "action", "login")
	callback(t, attacker.submit(consent, "action", "allow"))
	if p := attacker.submit(consent, "action", "allow"); p.StatusCode != http.StatusBadRequest || p.Header.Get("Location") != "" {
		t.Errorf("the form once more: status %d", p.StatusCode)
	}
}

func TestPagesAreLockedDown(t *testing.T) {
	server := start(t, localacp.Options{})
	b := newBrowser(t)
	login := b.get(authorizeURL(server, "login_hint", `"><img src=x onerror=y>`))
	if strings.Contains(login.text, "<img") {
		t.Error("the hint is not escaped")
	}
	consent := b.submit(login, "username", "alice", "password", "wonderland", "action", "login")
	for name, p := range map[string]page{"login": login, "consent": consent, "error": b.get(server.Issuer + "/oauth2/authorize")} {
		csp := p.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "script-src") {
			t.Errorf("%s: policy %s", name, csp)
		}
		for header, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} {
			if got := p.Header.Get(header); got != want {
				t.Errorf("%s: %s is %q", name, header, got)
			}
		}
		if strings.Contains(p.text, "http://www") || strings.Contains(p.text, "https://") {
			t.Errorf("%s loads something", name)
		}
	}
}

func TestManyLoginsAtOnce(t *testing.T) {
	server := start(t, localacp.Options{})
	const logins = 150 // the library's own stores keep 100
	first := newBrowser(t)
	consent := first.signIn(authorizeURL(server))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			b := newBrowser(t)
			for range logins/8 + 1 {
				p := b.get(authorizeURL(server))
				if p.StatusCode != http.StatusOK {
					t.Errorf("status %d", p.StatusCode)
				}
			}
		})
	}
	all.Wait()
	if status, tokens := first.token(server, codeForm(callback(t, first.submit(consent, "action", "allow")).Get("code"))); status != http.StatusOK {
		t.Errorf("the first login was lost: status %d, %v", status, tokens)
	}
}
