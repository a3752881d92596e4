package middleware_test

import (
	"encoding/base64"
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/middleware"
)

// The development page and docs/errors.md know the same codes.
func TestReasonsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile("`([^`]+)`")
	documented := map[string]bool{}
	_, tables, _ := strings.Cut(string(text), "\n## Of the protocol\n")
	for line := range strings.Lines(tables) {
		if cells := strings.Split(line, " | "); strings.HasPrefix(line, "| `") {
			for _, m := range code.FindAllStringSubmatch(cells[0], -1) {
				documented[m[1]] = true
			}
		}
	}
	for reason, e := range middleware.Explanations() {
		if !documented[reason] {
			t.Errorf("docs/errors.md lacks %s", reason)
		}
		if e[0] == "" || e[1] == "" {
			t.Errorf("%s: half an explanation", reason)
		}
		delete(documented, reason)
	}
	for reason := range documented {
		t.Errorf("%s has no explanation", reason)
	}
}

// The development page names what is wrong with the mistakes that everybody makes once.
func TestCommonMistakesAreExplained(t *testing.T) {
	for _, row := range []struct {
		name   string
		status int
		mend   func(*acptest.Server)
		want   string
	}{
		{"issuer with a slash", 502, func(s *acptest.Server) {
			s.OnMetadata(func(m map[string]any) { m["issuer"] = m["issuer"].(string) + "/" })
		}, "byte for byte, slashes included"},
		{"issuer misspelled", 502, func(s *acptest.Server) {
			s.Handle(acptest.MetadataEndpoint, acptest.Answer(404, "application/json", `{"error":"not_found"}`))
		}, "Mostly the issuer is misspelled"},
		{"a code of ours, said by the server", 502, func(s *acptest.Server) { s.Deny("no_store") }, "with the code shown above"},
		{"wrong secret", 502, func(s *acptest.Server) {
			s.Handle(acptest.TokenEndpoint, acptest.Answer(401, "application/json", `{"error":"invalid_client"}`))
		}, "the secret, the key or the authentication method is wrong"},
		{"refused", 403, func(s *acptest.Server) { s.Deny("access_denied") }, "The user refused consent"},
		{"down", 503, func(s *acptest.Server) { s.SetUnreachable(true) }, "Check the issuer&#39;s URL"},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := newApp(t, func(s *setup) { s.config.Development = true })
			row.mend(a.server)
			p := a.browser.Navigate(site + "/profile")
			if p.Status() != row.status || !strings.Contains(p.Body(), row.want) {
				t.Errorf("%d\n%s", p.Status(), p.Body())
			}
		})
	}
}

// A quotation mark is escaped once, by the log's own handler.
func TestLogIsQuotedOnce(t *testing.T) {
	a := newApp(t, nil)
	a.server.Deny("invalid_scope")
	a.browser.Navigate(site + "/profile")
	if log := a.logs.String(); !strings.Contains(log, `server error \"invalid_scope\"`) {
		t.Error(log)
	}
	if got := middleware.Clean("a \"b\"\n\x1b\u202e"); got != `a "b"\n\x1b\u202e` {
		t.Errorf("%s", got)
	}
}

// A session that names nobody is said at the start, and only then.
func TestMissingOpenIDIsSaid(t *testing.T) {
	for _, row := range []struct {
		name   string
		scopes []string
		option *acpclient.AuthorizeOptions
		said   bool
	}{
		{"none", nil, nil, true},
		{"another", []string{"profile"}, nil, true},
		{"openid", []string{"openid"}, nil, false},
		{"taken away", []string{"openid"}, &acpclient.AuthorizeOptions{Scopes: []string{}}, true},
		{"added", nil, &acpclient.AuthorizeOptions{Scopes: []string{"openid"}}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := newApp(t, func(s *setup) { s.client.Scopes, s.config.Authorize = row.scopes, row.option })
			if said := strings.Contains(a.logs.String(), "sessions name no user"); said != row.said {
				t.Errorf("said: %v\n%s", said, a.logs)
			}
		})
	}
}

func TestKeyThatIsNotDecoded(t *testing.T) {
	a := newApp(t, nil)
	for name, key := range map[string]string{
		"base64":    base64.StdEncoding.EncodeToString(randomKey()),
		"base64url": base64.RawURLEncoding.EncodeToString(randomKey()) + "\n",
		"hex":       hex.EncodeToString(randomKey()),
	} {
		if _, err := middleware.New(a.client, middleware.Config{CookieKeys: [][]byte{[]byte(key)}}); err == nil || !strings.Contains(err.Error(), "decode it first") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
