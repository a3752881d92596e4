package middleware_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/middleware"
)

// BR-20, BR-22: the challenges of one protector with everything set.
func TestChallenges(t *testing.T) {
	logs := &logBuffer{}
	token := &acpclient.AccessToken{}
	o := &middleware.BearerOptions{
		Scopes: []string{"a"}, AnyScope: []string{"b", "c"}, ACRValues: []string{"urn:1", `x"\y`}, MaxAge: new(5 * time.Minute),
		Realm: `My "API" \ here`, Resource: "https://api.example/v1", Logger: logs.logger(),
	}
	h := protect(t, verifies(token), o)(shows)
	const realm = `Bearer realm="My \"API\" \\ here"`
	const metadata = `resource_metadata="https://api.example/.well-known/oauth-protected-resource/v1"`
	for _, row := range []struct {
		name   string
		token  acpclient.AccessToken
		header string
		status int
		want   string
	}{
		{"BR-22 plain", *token, "", 401, realm + ", " + metadata},
		{"BR-20 malformed", *token, "Bearer", 400, realm +
			`, error="invalid_request", error_description="The request must give one access token, as Authorization: Bearer", ` + metadata},
		{"BR-20 refused", acpclient.AccessToken{Confirmation: &acpclient.Confirmation{}}, "Bearer x", 401, realm +
			`, error="invalid_token", error_description="The access token is not valid for this API", ` + metadata},
		{"BR-18 scope", *token, "Bearer x", 403, realm +
			`, error="insufficient_scope", error_description="The access token lacks a scope", scope="a b c", ` + metadata},
		{"BR-21 sign-in", acpclient.AccessToken{Scopes: []string{"a", "c"}}, "Bearer x", 401, realm +
			`, error="insufficient_user_authentication", error_description="The user must sign in again, or in a stronger way", acr_values="urn:1 x\"\\y", max_age="300", ` + metadata},
	} {
		*token = row.token
		r := httptest.NewRequest("GET", "/", nil)
		if row.header != "" {
			r.Header.Set("Authorization", row.header)
		}
		w := serve(h, r)
		if got := w.Header()["Www-Authenticate"]; w.Code != row.status || len(got) != 1 || got[0] != row.want {
			t.Errorf("%s: %d\n%q, want\n%q", row.name, w.Code, got, row.want)
		}
	}
}

// BR-20: what options cannot hold, cannot come out either.
func TestQuotedString(t *testing.T) {
	for text, want := range map[string]string{
		"":                         `""`,
		`a"b\c`:                    `"a\"b\\c"`,
		"a\r\nSet-Cookie: x=y":     `"aSet-Cookie: x=y"`,
		"a\x00\t\x7f\u00e4\u2028b": `"ab"`,
	} {
		if got := middleware.QuotedString(text); got != want {
			t.Errorf("BR-20: %q becomes %s", text, got)
		}
	}
}

type pointerVerifier struct{ calls int }

func (p *pointerVerifier) Verify(context.Context, string) (*acpclient.AccessToken, error) {
	p.calls++
	return nil, nil
}

// CF-01, CF-07, BR-20: mistakes are found before anything is served.
func TestBearerMistakes(t *testing.T) {
	good := verifies(&acpclient.AccessToken{})
	type options = middleware.BearerOptions
	for _, row := range []struct {
		name     string
		verifier middleware.TokenVerifier
		options  *options
		says     string
	}{
		{"CF-01 nil", nil, nil, "verifier"},
		{"CF-01 a typed nil", (*acpclient.Verifier)(nil), nil, "verifier"},
		{"CF-01 another typed nil", (*pointerVerifier)(nil), nil, "verifier"},
		{"CF-01 a nil func", verifierFunc(nil), nil, "verifier"},
		{"an empty scope", good, &options{Scopes: []string{""}}, "BearerOptions.Scopes"},
		{"two scopes in one", good, &options{Scopes: []string{"a b"}}, "BearerOptions.Scopes"},
		{"BR-20 a scope with a quote", good, &options{Scopes: []string{`a"`}}, "BearerOptions.Scopes"},
		{"BR-20 a scope with a backslash", good, &options{AnyScope: []string{`a\`}}, "BearerOptions.AnyScope"},
		{"BR-20 a scope with a line break", good, &options{AnyScope: []string{"a\r\nX: y"}}, "BearerOptions.AnyScope"},
		{"CF-07 a scope twice", good, &options{Scopes: []string{"a", "b", "a"}}, "BearerOptions.Scopes"},
		{"CF-07 any of what is needed", good, &options{Scopes: []string{"a"}, AnyScope: []string{"a", "b"}}, "BearerOptions.AnyScope"},
		{"one of nothing", good, &options{AnyScope: []string{}}, "BearerOptions.AnyScope"},
		{"one acr of nothing", good, &options{ACRValues: []string{}}, "BearerOptions.ACRValues"},
		{"an empty acr", good, &options{ACRValues: []string{""}}, "BearerOptions.ACRValues"},
		{"two acrs in one", good, &options{ACRValues: []string{"a b"}}, "BearerOptions.ACRValues"},
		{"BR-20 an acr with a line break", good, &options{ACRValues: []string{"a\n"}}, "BearerOptions.ACRValues"},
		{"a negative age", good, &options{MaxAge: new(-time.Second)}, "BearerOptions.MaxAge"},
		{"half a second", good, &options{MaxAge: new(time.Second / 2)}, "BearerOptions.MaxAge"},
		{"BR-20 a realm with a line break", good, &options{Realm: "a\r\nSet-Cookie: x=y"}, "BearerOptions.Realm"},
		{"BR-20 a realm with a tab", good, &options{Realm: "a\tb"}, "BearerOptions.Realm"},
		{"BR-20 a realm that is no ASCII", good, &options{Realm: "\u00e4"}, "BearerOptions.Realm"},
		{"BR-22 http", good, &options{Resource: "http://api.example"}, "BearerOptions.Resource"},
		{"BR-22 a fragment", good, &options{Resource: "https://api.example#x"}, "BearerOptions.Resource"},
		{"BR-22 a query", good, &options{Resource: "https://api.example?x"}, "BearerOptions.Resource"},
		{"BR-22 no URL", good, &options{Resource: "things"}, "BearerOptions.Resource"},
		{"BR-22 a user", good, &options{Resource: "https://u@api.example"}, "BearerOptions.Resource"},
		{"BR-22 a line break", good, &options{Resource: "https://api.example/\r\n"}, "BearerOptions.Resource"},
		{"BR-22 a quotation mark", good, &options{Resource: `https://api.example/"`}, "BearerOptions.Resource"},
		{"BR-22 dots", good, &options{Resource: "https://api.example/a/../b"}, "BearerOptions.Resource"},
		{"BR-22 two slashes", good, &options{Resource: "https://api.example//b"}, "BearerOptions.Resource"},
	} {
		protector, err := middleware.RequireBearer(row.verifier, row.options)
		if err == nil || protector != nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v, want a mistake of %s", row.name, err, row.says)
		}
	}
	_, err := middleware.RequireBearer(nil, &options{Scopes: []string{""}, MaxAge: new(-time.Second), Realm: "\n", Resource: "x"})
	for _, says := range []string{"verifier", "Scopes", "MaxAge", "Realm", "Resource"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("CF-07: not every mistake at once: %s is missing in %v", says, err)
		}
	}
}

// CF-06: the options are copied.
func TestBearerOptionsAreCopied(t *testing.T) {
	o := &middleware.BearerOptions{Scopes: []string{"a"}, AnyScope: []string{"b"}, ACRValues: []string{"c"}, MaxAge: new(time.Minute), Logger: (&logBuffer{}).logger()}
	token := &acpclient.AccessToken{Scopes: []string{"a", "b"}, ACR: "c", AuthTime: time.Now()}
	h := protect(t, verifies(token), o)(shows)
	o.Scopes[0], o.AnyScope[0], o.ACRValues[0], *o.MaxAge = "x", "x", "x", 0
	o.Scopes, o.MatchScope = []string{"y"}, func(_, _ string) bool { return false }
	token.AuthTime = time.Now().Add(-30 * time.Second)
	if w := serve(h, bearer("t")); w.Code != http.StatusOK {
		t.Errorf("CF-06: %d %s", w.Code, w.Header().Get("WWW-Authenticate"))
	}
}
