package middleware_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/middleware"
)

// How a request shows a token, before anybody looks into it. TOKEN stands for a good one.
func TestBearerCredentials(t *testing.T) {
	a := newAPI(t, nil, nil)
	good := a.server.AccessToken(nil)
	a.secrets = append(a.secrets, good)
	long := strings.Repeat("a", middleware.MaxBearerToken)
	rows := []struct {
		name          string
		authorization []string
		query         string
		status        int
		code          string // of the challenge; "" without error, "-" without challenge
	}{
		{"a good token", []string{"Bearer TOKEN"}, "", 200, "-"},

		{"BR-01 none", nil, "", 401, ""},
		{"BR-02 lower case", []string{"bearer TOKEN"}, "", 200, "-"},
		{"BR-02 upper case", []string{"BEARER TOKEN"}, "", 200, "-"},
		{"BR-02 two spaces", []string{"Bearer  TOKEN"}, "", 200, "-"},
		{"BR-02 many spaces", []string{"bearer" + strings.Repeat(" ", 300) + "TOKEN"}, "", 200, "-"},
		{"BR-03 a tab", []string{"Bearer\tTOKEN"}, "", 400, "invalid_request"},
		{"BR-03 a space and a tab", []string{"Bearer \tTOKEN"}, "", 400, "invalid_request"},
		{"BR-03 nothing", []string{"Bearer"}, "", 400, "invalid_request"},
		{"BR-03 spaces alone", []string{"Bearer  "}, "", 400, "invalid_request"},
		{"BR-03 two words", []string{"Bearer TOKEN b"}, "", 400, "invalid_request"},
		{"BR-03 no space", []string{"BearerTOKEN"}, "", 400, "invalid_request"},
		{"BR-03 a comma before", []string{"Bearer,TOKEN"}, "", 400, "invalid_request"},
		{"BR-03 a comma behind", []string{"Bearer TOKEN,"}, "", 400, "invalid_request"},
		{"BR-03 a parameter", []string{`Bearer token="TOKEN"`}, "", 400, "invalid_request"},
		{"BR-03 quoted", []string{`Bearer "TOKEN"`}, "", 400, "invalid_request"},
		{"BR-03 an empty header", []string{""}, "", 400, "invalid_request"},
		{"BR-03 no scheme", []string{", Bearer TOKEN"}, "", 400, "invalid_request"},
		{"BR-03 twice Bearer", []string{"Bearer Bearer TOKEN"}, "", 400, "invalid_request"},
		{"BR-04 Basic", []string{"Basic YTpi"}, "", 401, ""},
		{"BR-04 Digest", []string{`Digest username="a"`}, "", 401, ""},
		{"BR-04 Negotiate alone", []string{"Negotiate"}, "", 401, ""},
		{"BR-04 the token without scheme", []string{"TOKEN"}, "", 401, ""},
		{"BR-04 Basic, then Bearer in one", []string{"Basic YTpi, Bearer TOKEN"}, "", 401, ""},
		{"DP-02 DPoP", []string{"DPoP TOKEN"}, "", 401, ""},
		{"BR-06 two headers", []string{"Bearer TOKEN", "Bearer TOKEN"}, "", 400, "invalid_request"},
		{"BR-06 two schemes", []string{"Basic YTpi", "Bearer TOKEN"}, "", 400, "invalid_request"},
		{"BR-06 Bearer, then Basic", []string{"Bearer TOKEN", "Basic YTpi"}, "", 400, "invalid_request"},
		{"BR-06 a second empty one", []string{"Bearer TOKEN", ""}, "", 400, "invalid_request"},
		{"BR-06 two in one", []string{"Bearer TOKEN, Bearer TOKEN"}, "", 400, "invalid_request"},

		{"BR-07 header and query", []string{"Bearer TOKEN"}, "access_token=TOKEN", 400, "invalid_request"},
		{"BR-07 header and empty query", []string{"Bearer TOKEN"}, "access_token=", 400, "invalid_request"},
		{"BR-07 header and bare name", []string{"Bearer TOKEN"}, "a=b&access_token", 400, "invalid_request"},
		{"BR-07 percent-encoded", []string{"Bearer TOKEN"}, "a=b&%61ccess%5ftoken=TOKEN", 400, "invalid_request"},
		{"BR-07 every byte encoded", []string{"Bearer TOKEN"}, "%61%63%63%65%73%73%5F%74%6f%6b%65%6E=TOKEN", 400, "invalid_request"},
		{"BR-07 the last byte encoded", []string{"Bearer TOKEN"}, "access_toke%6e", 400, "invalid_request"},
		{"BR-07 behind a semicolon", []string{"Bearer TOKEN"}, "a=b;access_token=TOKEN", 400, "invalid_request"},
		{"BR-07 a bad query", []string{"Bearer TOKEN"}, "%zz&access_token=TOKEN", 400, "invalid_request"},
		{"BR-07 another name", []string{"Bearer TOKEN"}, "my_access_token=1&access_token_x=1&access_toke=1", 200, "-"},
		{"BR-07 a value", []string{"Bearer TOKEN"}, "q=access_token&%=access_token", 200, "-"},
		{"BR-08 query alone", nil, "access_token=TOKEN", 401, ""},
		{"BR-08 query alone, encoded", nil, "%61ccess_token=TOKEN", 401, ""},
		{"BR-08 query and Basic", []string{"Basic YTpi"}, "access_token=TOKEN", 401, ""},

		{"BR-10 no token at all: =", []string{"Bearer ="}, "", 400, "invalid_request"},
		{"BR-10 = in the middle", []string{"Bearer a=b"}, "", 400, "invalid_request"},
		{"BR-10 an asterisk", []string{"Bearer a*b"}, "", 400, "invalid_request"},
		{"BR-10 a bad byte in the first eight", []string{"Bearer a%aaaaaaaaaaaaaaaaa"}, "", 400, "invalid_request"},
		{"BR-10 a bad byte at the end", []string{"Bearer aaaaaaaaaaaaaaaaaaa%"}, "", 400, "invalid_request"},
		{"BR-10 not ASCII", []string{"Bearer aaaaaaaaä"}, "", 400, "invalid_request"},
		{"BR-10 Latin-1", []string{"Bearer aaaaaaaa\xe4"}, "", 400, "invalid_request"},
		{"BR-10 16 KiB", []string{"Bearer " + long}, "", 401, "invalid_token"},
		{"BR-10 one byte more", []string{"Bearer " + long + "a"}, "", 401, "invalid_token"},
		{"BR-10 200 KB", []string{"Bearer " + strings.Repeat("a", 200_000)}, "", 401, "invalid_token"},
		{"every character of a b64token", []string{"Bearer AZaz09-._~+/=="}, "", 401, "invalid_token"},
	}
	bodies := map[string]string{}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			var authorization []string
			for _, v := range row.authorization {
				authorization = append(authorization, strings.ReplaceAll(v, "TOKEN", good))
			}
			before := strings.Count(a.logs.String(), "reference=")
			got := a.send("GET", "/things?"+strings.ReplaceAll(row.query, "TOKEN", good), authorization, nil, nil)
			if got.status != row.status || got.code() != row.code {
				t.Errorf("%d %q, want %d with error %q", got.status, got.challenge, row.status, row.code)
			}
			if (got.served == 1) != (row.status == 200) {
				t.Errorf("the handler was called %d times", got.served)
			}
			if row.status == 200 {
				return
			}
			if row.code == "" && got.challenge != "Bearer" { // BR-01
				t.Errorf("challenge %q", got.challenge)
			}
			sameForAll(t, bodies, got)
			if n := strings.Count(a.logs.String(), "reference=") - before; n != 1 {
				t.Errorf("%d log lines", n)
			}
		})
	}
}

var reference = regexp.MustCompile(`"reference":"([A-Z2-7]{12})"`)

// sameForAll holds the answers of one class to one text (LG-09).
func sameForAll(t *testing.T, known map[string]string, got answer) {
	t.Helper()
	if ct := got.header.Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("Content-Type %q", ct)
	}
	if !reference.MatchString(got.body) {
		t.Errorf("no reference in %s", got.body)
	}
	class := fmt.Sprint(got.status, " ", got.code())
	text := got.challenge + reference.ReplaceAllString(got.body, "")
	if before, ok := known[class]; ok && before != text {
		t.Errorf("LG-09: %s is answered\n%s\nand\n%s", class, before, text)
	}
	known[class] = text
}

// What is wrong with a token is nobody's business but the log's.
func TestBearerTokens(t *testing.T) {
	a := newAPI(t, nil, nil)
	bound := newAPI(t, nil, &acpclient.VerifierConfig{InsecureAcceptBound: true})
	now := time.Now().Unix()
	rows := []struct {
		name   string
		claims map[string]any
		status int
		reason string
	}{
		{"ACP's own", nil, 200, ""},
		{"BR-11 expired", map[string]any{"exp": now - 3600}, 401, "expired"},
		{"BR-12 another audience", map[string]any{"aud": "https://other.example"}, 401, "audience"},
		{"BR-12 no audience", map[string]any{"aud": nil}, 401, "audience"},
		{"BR-13 a prefix", map[string]any{"aud": audience + ".evil"}, 401, "audience"},
		{"BR-13 another case", map[string]any{"aud": strings.ToUpper(audience)}, 401, "audience"},
		{"BR-13 one of several", map[string]any{"aud": []string{"a", audience}}, 200, ""},
		{"BR-17 an ID token", map[string]any{"nonce": "n"}, 401, "token_use"},
		{"BR-38 another issuer", map[string]any{"iss": "https://evil.example"}, 401, "issuer"},
		{"DP-01 a DPoP key", map[string]any{"cnf": map[string]any{"jkt": "x"}}, 401, "bound"},
		{"MT-02 a certificate", map[string]any{"cnf": map[string]any{"x5t#S256": "x"}}, 401, "bound"},
		{"MT-02 an empty cnf", map[string]any{"cnf": map[string]any{}}, 401, "bound"},
		{"MT-02 cnf no object", map[string]any{"cnf": "x"}, 401, "bound"},
		{"MT-02 an unknown member", map[string]any{"cnf": map[string]any{"x": "y"}}, 401, "bound"},
	}
	bodies := map[string]string{}
	for _, row := range rows {
		for name, api := range map[string]*api{"": a, ", whoever proved it": bound} {
			t.Run(row.name+name, func(t *testing.T) {
				got := api.get(api.server.AccessToken(row.claims))
				if got.status != row.status || row.status != 200 && got.code() != "invalid_token" || (got.served == 1) != (row.status == 200) {
					t.Errorf("%d %q, served %d", got.status, got.challenge, got.served)
				}
				if row.status == 200 {
					if got.body != "alice " {
						t.Errorf("body %q", got.body)
					}
					return
				}
				sameForAll(t, bodies, got)
				id := reference.FindStringSubmatch(got.body)
				if id == nil || !strings.Contains(api.logs.String(), "reference="+id[1]+" status=401 reason="+row.reason) {
					t.Errorf("the log does not say %s under the reference\n%s", row.reason, api.logs)
				}
			})
		}
	}
	for name, token := range map[string]string{
		"BR-17 the ID token":       a.server.IDToken(map[string]any{"aud": audience, "nonce": "n"}),
		"BR-39 another server's":   acptest.NewKey("ES256").Sign(nil, map[string]any{"iss": a.server.Issuer, "aud": audience, "sub": "alice", "exp": now + 60}),
		"an opaque one":            "opaque-token-0123456789",
		"BR-10 a signature of one": a.server.AccessToken(nil) + "A",
	} {
		if got := a.get(token); got.status != 401 || got.code() != "invalid_token" || got.served != 0 {
			t.Errorf("%s: %d %q", name, got.status, got.challenge)
		}
	}
}

// Which scopes a token has, and which are asked for.
func TestBearerScopes(t *testing.T) {
	options := func(all, some string) *middleware.BearerOptions {
		o := &middleware.BearerOptions{Scopes: strings.Fields(all)}
		if some != "" {
			o.AnyScope = strings.Fields(some)
		}
		return o
	}
	dynamic := func(all, some string) *middleware.BearerOptions {
		o := options(all, some)
		o.MatchScope = acpclient.DynamicScope
		return o
	}
	for _, row := range []struct {
		name    string
		options *middleware.BearerOptions
		granted any    // scp
		needs   string // the scope of the challenge; "" when served
	}{
		{"BR-18 none", options("things.read", ""), []string{}, "things.read"},
		{"BR-18 another", options("things.read", ""), []string{"openid"}, "things.read"},
		{"BR-18 one of two", options("a b", ""), []string{"a"}, "a b"},
		{"both", options("a b", ""), []string{"b", "a"}, ""},
		{"no scope asked for", options("", ""), []string{}, ""},
		{"BR-19 a prefix", options("admin:read", ""), []string{"admin"}, "admin:read"},
		{"BR-19 a longer one", options("admin", ""), []string{"admin:read"}, "admin"},
		{"BR-19 a part", options("read", ""), []string{"readonly"}, "read"},
		{"BR-19 another case", options("read", ""), []string{"READ"}, "read"},
		{"BR-19 two in one entry", options("a b", ""), []string{"a b"}, "a b"},
		{"BR-19 a tab", options("read", ""), "x\tread", "read"},
		{"BR-19 a string", options("read", ""), "x read", ""},
		{"any of two: the second", options("", "a b"), []string{"b"}, ""},
		{"any of two: none", options("", "a b"), []string{"c"}, "a b"},
		{"all and any", options("x", "a b"), []string{"x", "a"}, ""},
		{"all, not any", options("x", "a b"), []string{"x"}, "x a b"},
		{"any, not all", options("x", "a b"), []string{"a", "b"}, "x a b"},
		{"dynamic without the matcher", options("accounts.read.*", ""), []string{"accounts.read.own"}, "accounts.read.*"},
		{"dynamic", dynamic("accounts.read.*", ""), []string{"accounts.read.own"}, ""},
		{"dynamic: the stem", dynamic("accounts.read.*", ""), []string{"accounts.read"}, "accounts.read.*"},
		{"dynamic: any of", dynamic("", "x accounts.read.*"), []string{"accounts.read.own"}, ""},
		{"dynamic: granted a star", dynamic("accounts.read.own", ""), []string{"accounts.read.*"}, "accounts.read.own"},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := newAPI(t, row.options, nil)
			got := a.get(a.server.AccessToken(map[string]any{"scp": row.granted}))
			if row.needs == "" {
				if got.status != 200 || got.served != 1 {
					t.Errorf("%d %q", got.status, got.challenge)
				}
				return
			}
			if got.status != 403 || got.code() != "insufficient_scope" || parameter(got.challenge, "scope") != row.needs || got.served != 0 {
				t.Errorf("%d %q, want the scope %q", got.status, got.challenge, row.needs)
			}
		})
	}
}

// BR-45, PX-08: no method is special, and no header makes another of it.
func TestBearerMethods(t *testing.T) {
	a := newAPI(t, nil, nil)
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "TRACE", "PROPFIND", "get"} {
		override := func(r *http.Request) {
			r.Header.Set("X-HTTP-Method-Override", "GET")
			r.Header.Set("X-Original-URL", "/public") // PX-03
			r.Header.Set("Access-Control-Request-Method", "GET")
			r.Header.Set("Origin", "https://app.example")
		}
		if got := a.send(method, "/things", nil, nil, override); got.status != 401 || got.challenge != "Bearer" || got.served != 0 {
			t.Errorf("%s: %d %q", method, got.status, got.challenge)
		}
		if got := a.send(method, "/things", []string{"Bearer " + a.server.AccessToken(nil)}, nil, nil); got.status != 200 || got.served != 1 {
			t.Errorf("%s with a token: %d", method, got.status)
		}
	}
}

// BR-09: the body belongs to the handler.
func TestBearerBody(t *testing.T) {
	a := newAPI(t, nil, nil)
	token := a.server.AccessToken(nil)
	for _, kind := range []string{"application/x-www-form-urlencoded", "multipart/form-data; boundary=b"} {
		form := "access_token=" + token
		typed := func(r *http.Request) { r.Header.Set("Content-Type", kind) }
		if got := a.send("POST", "/", nil, strings.NewReader(form), typed); got.status != 401 || got.challenge != "Bearer" {
			t.Errorf("%s alone: %d %q", kind, got.status, got.challenge)
		}
		if got := a.send("POST", "/", []string{"Bearer " + token}, strings.NewReader("x=y"), typed); got.status != 200 || got.body != "alice x=y" {
			t.Errorf("%s: the handler reads %q", kind, got.body)
		}
	}
	if got := a.send("GET", "/", []string{"Bearer " + token}, strings.NewReader("x=y"), nil); got.body != "alice x=y" {
		t.Errorf("GET: the handler reads %q", got.body)
	}
	// BR-07: somebody further out has parsed the form.
	parsed := func(header string) int {
		r := httptest.NewRequest("POST", "/", strings.NewReader("access_token=x"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		if err := r.ParseForm(); err != nil {
			t.Fatal(err)
		}
		return serve(protect(t, a.verifier, &middleware.BearerOptions{Logger: a.logs.logger()})(shows), r).Code
	}
	if got := parsed("Bearer " + token); got != 400 {
		t.Errorf("BR-07 header and parsed form: %d", got)
	}
	if got := parsed(""); got != 401 {
		t.Errorf("BR-09 a parsed form alone: %d", got)
	}
}

// BR-44: whoever shows something bad is not anonymous.
func TestBearerOptional(t *testing.T) {
	a := newAPI(t, &middleware.BearerOptions{Optional: true, Scopes: []string{"things.read"}}, nil)
	good := a.server.AccessToken(map[string]any{"scp": []string{"things.read"}})
	for _, row := range []struct {
		name          string
		authorization []string
		query         string
		status        int
		body          string
	}{
		{"BR-44 nobody", nil, "", 200, "nobody "},
		{"BR-44 somebody", []string{"Bearer " + good}, "", 200, "alice "},
		{"BR-44 expired", []string{"Bearer " + a.server.AccessToken(map[string]any{"exp": 1})}, "", 401, ""},
		{"BR-44 garbage", []string{"Bearer x"}, "", 401, ""},
		{"BR-44 malformed", []string{"Bearer"}, "", 400, ""},
		{"BR-44 an empty header", []string{""}, "", 400, ""},
		{"BR-44 two", []string{"Bearer " + good, "Bearer " + good}, "", 400, ""},
		{"BR-44 Basic", []string{"Basic YTpi"}, "", 401, ""},
		{"BR-44 DPoP", []string{"DPoP " + good}, "", 401, ""},
		{"BR-44 in the query", nil, "access_token=" + good, 401, ""},
		{"BR-44 without the scope", []string{"Bearer " + a.server.AccessToken(nil)}, "", 403, ""},
	} {
		got := a.send("GET", "/?"+row.query, row.authorization, nil, nil)
		if got.status != row.status || row.status == 200 && got.body != row.body || (got.served == 1) != (row.status == 200) {
			t.Errorf("%s: %d %s", row.name, got.status, got.body)
		}
		if got.header.Get("Vary") != "Authorization" {
			t.Errorf("%s: Vary %q", row.name, got.header.Get("Vary"))
		}
	}
	a.server.SetUnreachable(true)
	b := newAPI(t, &middleware.BearerOptions{Optional: true}, nil)
	token := b.server.AccessToken(nil)
	b.server.SetUnreachable(true)
	if got := b.get(token); got.status != 503 || got.served != 0 {
		t.Errorf("BR-44 not to be judged: %d", got.status)
	}
}

func TestBearerProblem(t *testing.T) {
	w := serve(protect(t, &counting{}, &middleware.BearerOptions{Logger: (&logBuffer{}).logger()})(shows), httptest.NewRequest("GET", "/", nil))
	var problem struct {
		Type, Title, Reference string
		Status                 int
	}
	d := json.NewDecoder(w.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&problem); err != nil || problem.Type != "about:blank" || problem.Title != "Unauthorized" || problem.Status != 401 || len(problem.Reference) != 12 {
		t.Errorf("%+v %v", problem, err)
	}
	if rest, _ := io.ReadAll(d.Buffered()); len(rest) > 0 {
		t.Errorf("and %q", rest)
	}
}
