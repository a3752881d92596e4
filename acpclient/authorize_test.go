package acpclient_test

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/pkce"
)

func TestAuthorizeURL(t *testing.T) {
	r := newRig(t, nil, nil)
	address, flow, err := r.client.Authorize(t.Context(), &acpclient.AuthorizeOptions{ReturnTo: "/secret/path?q=1"})
	if err != nil {
		t.Fatal(err)
	}
	base, query, _ := strings.Cut(address, "?")
	if base != r.URL(acptest.AuthorizeEndpoint) {
		t.Errorf("endpoint %s", base)
	}
	q, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"response_type":         "code", // AZ-01
		"client_id":             r.ClientID,
		"redirect_uri":          redirectURL, // AZ-11: byte for byte
		"scope":                 "openid offline_access",
		"state":                 flow.State,
		"nonce":                 flow.Nonce, // AZ-10
		"code_challenge":        pkce.Challenge(flow.Verifier),
		"code_challenge_method": "S256", // AZ-06: a confidential client, and nothing asked for it
	} {
		if values := q[name]; len(values) != 1 || values[0] != want {
			t.Errorf("%s = %q, want once %q", name, values, want)
		}
		q.Del(name)
	}
	if len(q) > 0 {
		t.Errorf("further parameters: %v", q)
	}
	if flow.ReturnTo != "/secret/path?q=1" || strings.Contains(address, "secret") {
		t.Errorf("ReturnTo is %q, the URL is %s", flow.ReturnTo, address)
	}
	r.secret("verifier", flow.Verifier)
	r.clean("the URL", address)
	if !strings.Contains(address, "redirect_uri="+url.QueryEscape(redirectURL)) {
		t.Errorf("redirect_uri is not the configured one: %s", address)
	}
	if flow.Issuer != r.Issuer || flow.ClientID != r.ClientID || flow.MaxAge != nil || flow.Expiry.Sub(r.now()) > 10*time.Minute {
		t.Errorf("flow of %s, %s, max age %v, until %s", flow.Issuer, flow.ClientID, flow.MaxAge, flow.Expiry)
	}
}

// AZ-02, AZ-09, AZ-10: no value comes twice, not even as another's.
func TestAuthorizeIsUnpredictable(t *testing.T) {
	t.Parallel()
	const logins = 100_000
	r := newRig(t, nil, nil)
	seen := make(map[string]struct{}, 3*logins)
	for range logins {
		_, flow, err := r.client.Authorize(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(flow.State) != 26 || len(flow.Nonce) != 26 || len(flow.Verifier) != 43 {
			t.Fatalf("lengths %d, %d, %d", len(flow.State), len(flow.Nonce), len(flow.Verifier))
		}
		for _, v := range []string{flow.State, flow.Nonce, flow.Verifier} {
			seen[v] = struct{}{}
		}
	}
	if len(seen) != 3*logins {
		t.Errorf("%d different values of %d", len(seen), 3*logins)
	}
	for v := range seen {
		if strings.Trim(v, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Fatalf("%q is not safe in a URL", v)
		}
	}
}

func TestAuthorizeOptions(t *testing.T) {
	type options = acpclient.AuthorizeOptions
	rows := []struct {
		name    string
		options options
		want    url.Values
	}{
		{"everything", options{
			Scopes: []string{"openid", "a:b"}, Prompt: []string{"login", "consent"}, MaxAge: new(90 * time.Second),
			ACRValues: []string{"urn:acp:mfa", "2"}, LoginHint: "alice", IDPHint: "corp", UILocales: []string{"de-CH", "en"},
			Claims: []byte(`{"id_token":{"acr":null}}`), Extra: url.Values{"x_custom": {"1"}},
		}, url.Values{
			"scope": {"openid a:b"}, "prompt": {"login consent"}, "max_age": {"90"}, "acr_values": {"urn:acp:mfa 2"}, "login_hint": {"alice"},
			"idp_hint": {"corp"}, "ui_locales": {"de-CH en"}, "claims": {`{"id_token":{"acr":null}}`}, "x_custom": {"1"},
		}},
		{"max_age zero is sent", options{MaxAge: new(time.Duration(0))}, url.Values{"max_age": {"0"}}},
		{"prompt none", options{Prompt: []string{"none"}}, url.Values{"prompt": {"none"}}},
		{"no scopes", options{Scopes: []string{}}, url.Values{"scope": nil}},
		{"AZ-16 resource may repeat", options{Resources: []string{"https://a.example", "urn:b"}}, url.Values{"resource": {"https://a.example", "urn:b"}}},
		{"AZ-36 ampersand", options{LoginHint: "a&state=evil"}, url.Values{"login_hint": {"a&state=evil"}}},
		{"AZ-36 fragment", options{LoginHint: "a#b"}, url.Values{"login_hint": {"a#b"}}},
		{"AZ-36 line break", options{LoginHint: "a\r\nSet-Cookie: x=y"}, url.Values{"login_hint": {"a\r\nSet-Cookie: x=y"}}},
		{"AZ-36 emoji", options{LoginHint: "🙂+ %"}, url.Values{"login_hint": {"🙂+ %"}}},
		{"AZ-36 locale with ampersand", options{UILocales: []string{"de&x=y"}}, url.Values{"ui_locales": {"de&x=y"}, "x": nil}},
		{"AZ-36 name of an extra parameter", options{Extra: url.Values{"a&b=c#": {"d"}}}, url.Values{"a&b=c#": {"d"}, "b": nil}},
	}
	r := newRig(t, nil, nil)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			address, flow, err := r.client.Authorize(t.Context(), &row.options)
			if err != nil {
				t.Fatal(err)
			}
			if strings.ContainsAny(address, "\r\n# ") || !ascii(address) {
				t.Errorf("not fit for a Location header: %q", address)
			}
			_, query, _ := strings.Cut(address, "?")
			q, err := url.ParseQuery(query)
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range row.want {
				if !slices.Equal(q[name], want) {
					t.Errorf("%s = %q, want %q", name, q[name], want)
				}
			}
			if q.Get("state") != flow.State || len(q["state"]) != 1 {
				t.Errorf("state = %q", q["state"])
			}
		})
	}
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e })
}

func TestAuthorizeRefusesOptions(t *testing.T) {
	type options = acpclient.AuthorizeOptions
	rows := []struct {
		name    string
		options options
	}{
		{"AZ-34 none with login", options{Prompt: []string{"none", "login"}}},
		{"AZ-34 two prompts in one word", options{Prompt: []string{"none login"}}},
		{"AZ-34 negative max_age", options{MaxAge: new(-time.Second)}},
		{"AZ-34 scope with a quote", options{Scopes: []string{`a"`}}},
		{"AZ-34 scope with a backslash", options{Scopes: []string{`a\`}}},
		{"AZ-34 scope with a control byte", options{Scopes: []string{"a\x00"}}},
		{"AZ-34 scope with a space", options{Scopes: []string{"a b"}}},
		{"AZ-34 empty scope", options{Scopes: []string{""}}},
		{"AZ-36 locale with a line break", options{UILocales: []string{"de\r\n"}}},
		{"resource with a fragment", options{Resources: []string{"https://a.example/#x"}}},
		{"relative resource", options{Resources: []string{"/a"}}},
		{"claims that are no object", options{Claims: []byte(`[]`)}},
		{"claims that are no JSON", options{Claims: []byte(`{`)}},
		{"empty claims", options{Claims: []byte{}}},
		{"an extra parameter twice", options{Extra: url.Values{"x": {"1", "2"}}}},
		{"an extra parameter without value", options{Extra: url.Values{"x": {}}}},
		{"an extra parameter without name", options{Extra: url.Values{"": {"1"}}}},
	}
	// AZ-01, AZ-03, AZ-07, AZ-16: what is ours cannot be overridden.
	for _, name := range []string{
		"state", "nonce", "client_id", "redirect_uri", "response_type", "response_mode", "scope", "code_challenge",
		"code_challenge_method", "request", "request_uri", "client_secret", "client_assertion", "code_verifier", "code", "prompt", "max_age",
	} {
		rows = append(rows, struct {
			name    string
			options options
		}{"AZ-16 extra " + name, options{Extra: url.Values{name: {"plain"}}}})
	}
	r := newRig(t, nil, nil)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			address, flow, err := r.client.Authorize(t.Context(), &row.options)
			if err == nil || address != "" || flow != nil {
				t.Errorf("Authorize = %q, %v, %v, want an error alone", address, flow, err)
			}
		})
	}
	r.asked(acptest.MetadataEndpoint, 0)
}

// What the metadata says of the endpoint decides, before any redirect.
func TestAuthorizeEndpoint(t *testing.T) {
	rows := []struct {
		name     string
		endpoint any    // nil takes it away
		starts   string // of the URL; "" is a refusal
	}{
		{"AZ-13 query", "https://as.example/a?x=1", "https://as.example/a?x=1&response_type=code&"},
		{"AZ-13 empty query", "https://as.example/a?", "https://as.example/a?response_type=code&"},
		{"AZ-15 client_id", "https://as.example/a?client_id=evil", ""},
		{"AZ-15 response_type", "https://as.example/a?x=1&response_type=token", ""},
		{"AZ-15 state", "https://as.example/a?state=known", ""},
		{"AZ-15 escaped name", "https://as.example/a?%63lient_id=evil", ""},
		{"AZ-15 malformed query", "https://as.example/a?%zz", ""},
		{"AZ-15 semicolon", "https://as.example/a?x;client_id=evil", ""},
		{"AZ-35 http", "http://as.example/a", ""},
		{"AZ-35 http on 0.0.0.0", "http://0.0.0.0/a", ""},
		{"AZ-35 javascript", "javascript:alert(1)", ""},
		{"AZ-35 data", "data:text/html,x", ""},
		{"AZ-35 fragment", "https://as.example/a#b", ""},
		{"AZ-35 user information", "https://as.example@evil.example/a", ""},
		{"AZ-35 relative", "/authorize", ""},
		{"AZ-35 private address", "https://10.0.0.1/a", ""},
		{"AZ-35 link-local address", "https://169.254.169.254/a", ""},
		{"AZ-35 line break", "https://as.example/a\r\nX: y", ""},
		{"AZ-35 missing", nil, ""},
		{"AZ-35 a number", 7, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			r.OnMetadata(func(m map[string]any) {
				if m["authorization_endpoint"] = row.endpoint; row.endpoint == nil {
					delete(m, "authorization_endpoint")
				}
			})
			address, flow, err := r.client.Authorize(t.Context(), nil)
			if row.starts == "" {
				r.fails(err, acpclient.ErrInvalidResponse, "metadata")
				if address != "" || flow != nil {
					t.Errorf("Authorize = %q, %v beside the error", address, flow)
				}
				return
			}
			if err != nil || !strings.HasPrefix(address, row.starts) || strings.Count(address, "?") != 1 {
				t.Errorf("Authorize = %q, %v, want %q...", address, err, row.starts)
			}
		})
	}
}

// AZ-33: the metadata cannot talk us out of S256.
func TestAuthorizeKeepsS256(t *testing.T) {
	for name, methods := range map[string]any{"absent": nil, "plain alone": []string{"plain"}, "empty": []string{}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			r.OnMetadata(func(m map[string]any) { m["code_challenge_methods_supported"] = methods })
			address, flow, err := r.client.Authorize(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			if q := u.Query(); q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") != pkce.Challenge(flow.Verifier) {
				t.Errorf("the challenge is %q by %q", q.Get("code_challenge"), q.Get("code_challenge_method"))
			}
			if raw, err := base64.RawURLEncoding.DecodeString(u.Query().Get("code_challenge")); err != nil || len(raw) != 32 {
				t.Errorf("the challenge is no SHA-256 hash: %v", err)
			}
			if tokens := r.login(); tokens.AccessToken == "" {
				t.Error("no token")
			}
		})
	}
}

func TestFormPostIsAskedFor(t *testing.T) {
	r := newRig(t, nil, func(c *acpclient.Config) { c.ResponseMode, c.RedirectURL = "form_post", "" })
	address, _, err := r.client.Authorize(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if q := u.Query(); q.Get("response_mode") != "form_post" || q.Has("redirect_uri") {
		t.Errorf("query %v", q)
	}
}
