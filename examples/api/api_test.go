package main

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/examples/internal/apptest"
	"github.com/acp-go/acp/examples/internal/serve"
)

// Every curl line answers what its title says.
func TestWithoutConfiguration(t *testing.T) {
	p := start(t)
	line := regexp.MustCompile(`(?m)^# (\d+).*\ncurl -i (-X POST )?(?:-H 'Authorization: Bearer (\S+)' )?(\S+)$`)
	lines := line.FindAllStringSubmatch(p.stdout.String(), -1)
	if len(lines) != 7 || strings.Count(p.stdout.String(), "\ncurl ") != 7 {
		t.Fatalf("%d lines:\n%s", len(lines), p.stdout)
	}
	for _, l := range lines {
		method := http.MethodGet
		if l[2] != "" {
			method = http.MethodPost
		}
		path, here := strings.CutPrefix(l[4], p.base)
		if a := p.send(t, method, path, l[3]); !here || fmt.Sprint(a.StatusCode) != l[1] {
			t.Errorf("%s: status %d\n%s", l[0], a.StatusCode, a.body)
		}
	}
}

// TestRoutes are tokens that pass, and tokens that do not (contract: the table of what each
// caller is told).
func TestRoutes(t *testing.T) {
	s := acptest.NewServer(t, nil)
	p := startWith(t, s)
	now := time.Now()
	token := func(claims map[string]any) string { return s.AccessToken(claims) }
	read := token(map[string]any{"scp": []string{"things.read"}})
	strong := func(ago time.Duration) string {
		return token(map[string]any{"acr": "urn:acp:mfa", "auth_time": now.Add(-ago).Unix()})
	}
	for name, row := range map[string]struct {
		method, path, token string
		status              int
		want                string // the body, or the error code
	}{
		"read":                         {"GET", "/things", read, 200, `{"sub":"alice","client_id":"","scopes":["things.read"]}`},
		"HEAD is GET":                  {"HEAD", "/things", read, 200, ""},
		"write":                        {"POST", "/things", token(map[string]any{"scp": "things.write", "client_id": "web"}), 200, `{"sub":"alice","client_id":"web","scopes":["things.write"]}`},
		"transfer":                     {"GET", "/transfer", strong(200 * time.Second), 200, `{"sub":"alice","client_id":"","scopes":["openid"]}`},
		"no scopes at all":             {"GET", "/transfer", token(map[string]any{"scp": nil, "acr": "urn:acp:mfa", "auth_time": now.Unix()}), 200, `{"sub":"alice","client_id":"","scopes":[]}`},
		"BR-01 no token":               {"GET", "/things", "", 401, ""},
		"BR-03 two tokens":             {"GET", "/things", read + " " + read, 400, "invalid_request"},
		"BR-07 in the query, too":      {"GET", "/things?access_token=x", read, 400, "invalid_request"},
		"BR-08 in the query only":      {"GET", "/things?access_token=" + read, "", 401, ""},
		"BR-11 expired":                {"GET", "/things", token(map[string]any{"scp": "things.read", "exp": now.Add(-time.Minute).Unix()}), 401, "invalid_token"},
		"BR-12 another audience":       {"GET", "/things", token(map[string]any{"scp": "things.read", "aud": "x"}), 401, "invalid_token"},
		"BR-17 an ID token":            {"GET", "/things", s.IDToken(map[string]any{"aud": s.Audience, "nonce": "n", "scp": "things.read"}), 401, "invalid_token"},
		"BR-18 read is not write":      {"POST", "/things", read, 403, "insufficient_scope"},
		"BR-18 write is not read":      {"GET", "/things", token(map[string]any{"scp": "things.write"}), 403, "insufficient_scope"},
		"BR-19 a longer scope":         {"GET", "/things", token(map[string]any{"scp": "things.read.all"}), 403, "insufficient_scope"},
		"BR-21 no acr":                 {"GET", "/transfer", read, 401, "insufficient_user_authentication"},
		"BR-21 another acr":            {"GET", "/transfer", token(map[string]any{"acr": "urn:acp:pwd", "auth_time": now.Unix()}), 401, "insufficient_user_authentication"},
		"BR-21 too long ago":           {"GET", "/transfer", strong(310 * time.Second), 401, "insufficient_user_authentication"},
		"BR-21 nobody knows when":      {"GET", "/transfer", token(map[string]any{"acr": "urn:acp:mfa"}), 401, "insufficient_user_authentication"},
		"DP-01 bound to a key":         {"GET", "/things", token(map[string]any{"scp": "things.read", "cnf": map[string]any{"jkt": "x"}}), 401, "invalid_token"},
		"BR-45 OPTIONS":                {"OPTIONS", "/things", "", 405, ""},
		"another method":               {"DELETE", "/things", read, 405, ""},
		"no such path":                 {"GET", "/thing", read, 404, ""},
		"BR-08 a path to be cleaned":   {"GET", "//things?access_token=" + read, "", 404, ""},
		"BR-22 no resource identifier": {"GET", "/.well-known/oauth-protected-resource", "", 404, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := p.send(t, row.method, row.path, row.token)
			got := a.error()
			if row.status == http.StatusOK {
				got = strings.TrimSpace(a.body)
			}
			if a.StatusCode != row.status || got != row.want {
				t.Errorf("status %d, %q\n%s", a.StatusCode, got, a.body)
			}
			if challenge := a.Header.Get("WWW-Authenticate"); (row.status == 401) != (challenge != "") && row.want == "" {
				t.Errorf("challenge %q", challenge)
			}
			for header, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"} {
				if a.Header.Get(header) != want {
					t.Errorf("%s: %q", header, a.Header.Get(header))
				}
			}
		})
	}
	if strings.Contains(p.stderr.String(), read) || strings.Contains(p.stderr.String(), "access_token") { // BR-08
		t.Errorf("a token is in the log:\n%s", p.stderr)
	}
}

// BR-22: the metadata is where the challenge says, and at the bare address.
func TestResourceMetadata(t *testing.T) {
	s := acptest.NewServer(t, nil)
	p := startWith(t, s, "ACP_RESOURCE=https://api.example/v1")
	challenge := p.send(t, "GET", "/things", "").Header.Get("WWW-Authenticate")
	if want := `resource_metadata="https://api.example/.well-known/oauth-protected-resource/v1"`; !strings.Contains(challenge, want) {
		t.Errorf("challenge %s lacks %s", challenge, want)
	}
	for path, status := range map[string]int{"": 200, "/v1": 200, "/v2": 404, "/": 404} {
		a := p.send(t, "GET", "/.well-known/oauth-protected-resource"+path, "")
		var document struct {
			Resource string
			Servers  []string `json:"authorization_servers"`
			Scopes   []string `json:"scopes_supported"`
		}
		if a.StatusCode != status || status == 200 && (json.Unmarshal([]byte(a.body), &document) != nil ||
			document.Resource != "https://api.example/v1" || fmt.Sprint(document.Servers) != "["+s.Issuer+"]" || fmt.Sprint(document.Scopes) != "[things.read things.write]") {
			t.Errorf("%q: status %d, %s", path, a.StatusCode, a.body)
		}
	}
}

// The three modes, with a JWT and an opaque token.
func TestTokenModes(t *testing.T) {
	for mode, want := range map[string]struct{ jwt, opaque, asked int }{
		"jwt":           {200, 401, 0},
		"introspection": {200, 200, 2},
		"auto":          {200, 200, 1},
	} {
		t.Run(mode, func(t *testing.T) {
			s := acptest.NewServer(t, &acptest.Options{Client: acptest.Client{ID: "api", Secret: "s:e%c ret"}})
			p := startWith(t, s, "ACP_TOKEN_MODE="+mode, "ACP_CLIENT_ID=api", "ACP_CLIENT_SECRET=s:e%c ret")
			claims := map[string]any{"scp": []string{"things.read"}}
			jwt := s.AccessToken(claims)
			s.MintAccessToken(func(map[string]any, map[string]any) string { return "an-opaque-token" })
			opaque := s.AccessToken(claims)
			for token, status := range map[string]int{jwt: want.jwt, opaque: want.opaque, "unknown": 401} {
				if a := p.send(t, "GET", "/things", token); a.StatusCode != status || status == 200 && !strings.Contains(a.body, `"sub":"alice"`) {
					t.Errorf("%.15s: status %d, want %d\n%s", token, a.StatusCode, status, a.body)
				}
			}
			asked := s.Count(acptest.IntrospectEndpoint)
			if mode != "jwt" {
				asked-- // for the unknown one
			}
			if asked != want.asked {
				t.Errorf("the server was asked about %d known tokens, want %d", asked, want.asked)
			}
			// BR-28: with the server gone nothing can be said about a new opaque token.
			s.SetUnreachable(true)
			if a := p.send(t, "GET", "/things", "another"); mode != "jwt" && (a.StatusCode != 503 || a.Header.Get("Retry-After") == "" || a.error() != "") {
				t.Errorf("the server is down: status %d, %v", a.StatusCode, a.Header)
			}
			if strings.Contains(p.stderr.String(), "s:e%c") {
				t.Errorf("the secret is in the log:\n%s", p.stderr)
			}
		})
	}
}

func TestRootCA(t *testing.T) {
	s := acptest.NewServer(t, &acptest.Options{TLS: true})
	response, err := s.HTTPClient().Get(s.URL(acptest.JWKSEndpoint))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	ca := writeFile(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: response.TLS.PeerCertificates[0].Raw})))
	token := s.AccessToken(map[string]any{"scp": "things.read"})
	if a := startWith(t, s, "ACP_ROOT_CA="+ca).send(t, "GET", "/things", token); a.StatusCode != 200 {
		t.Errorf("with the certificate: status %d\n%s", a.StatusCode, a.body)
	}
	if a := startWith(t, s).send(t, "GET", "/things", token); a.StatusCode != 503 {
		t.Errorf("without it: status %d\n%s", a.StatusCode, a.body)
	}
}

// RL-05, JW-28, BR-24: it starts while the server is down, says so to callers, and needs no
// restart when the server is there.
func TestStartsWhileTheServerIsDown(t *testing.T) {
	s := acptest.NewServer(t, nil)
	s.SetUnreachable(true)
	p := startWith(t, s)
	token := s.AccessToken(map[string]any{"scp": "things.read"})
	if a := p.send(t, "GET", "/healthz", ""); a.StatusCode != 200 {
		t.Errorf("/healthz: status %d", a.StatusCode)
	}
	if a := p.send(t, "GET", "/things", token); a.StatusCode != 503 || a.Header.Get("Retry-After") == "" || a.error() != "" {
		t.Errorf("status %d, %v\n%s", a.StatusCode, a.Header, a.body)
	}
	if a := p.send(t, "GET", "/things", ""); a.StatusCode != 401 {
		t.Errorf("no token: status %d", a.StatusCode)
	}
	s.SetUnreachable(false)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for deadline := time.After(time.Minute); p.send(t, "GET", "/things", token).StatusCode != 200; {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatal("it never recovered")
		}
	}
}

func TestEndsWhenIdle(t *testing.T) {
	apptest.EndsWhenIdle(t, func(t *testing.T, base string) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", base+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		if a := do(t, r); a.StatusCode != 200 {
			t.Errorf("/healthz: status %d", a.StatusCode)
		}
	})
}

// A request that waits for the authorization server is answered before the program ends.
func TestEndsWhenBusy(t *testing.T) {
	s := acptest.NewServer(t, nil)
	s.Handle(acptest.JWKSEndpoint, acptest.Hang())
	p := apptest.Start(t, "ACP_ISSUER="+s.Issuer, "ACP_AUDIENCE="+s.Audience, "ACP_LISTEN=127.0.0.1:0")
	r, err := http.NewRequestWithContext(t.Context(), "GET", p.URL+"/things", nil)
	if err != nil {
		t.Fatal(err)
	}
	r = acptest.WithBearer(r, s.AccessToken(nil))
	status := make(chan int, 1)
	go func() {
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			status <- 0
			return
		}
		response.Body.Close()
		status <- response.StatusCode
	}()
	if err := s.Wait(t.Context(), acptest.JWKSEndpoint, 1); err != nil {
		t.Fatal(err)
	}
	if took := p.End(t, syscall.SIGTERM); took > 10*time.Second {
		t.Errorf("it took %v to end\n%s", took, p.Stderr)
	}
	if got := <-status; got != 503 && got != 504 {
		t.Errorf("the request in flight: status %d", got)
	}
}

func TestWrongSettingEndsTheProcess(t *testing.T) {
	apptest.EndsWith(t, serve.Misspelled, "ACP_ISSUER=https://acp.example")
}
