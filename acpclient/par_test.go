package acpclient_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/pkce"
)

// AZ-30: the browser carries a reference and nothing else, whatever the method of
// authentication, and the login goes its way.
func TestPushedRequests(t *testing.T) {
	key := acptest.NewKey("ES256")
	rows := []struct {
		name     string
		demanded bool // by the metadata
		set      bool
		client   acptest.Client
		auth     func(*rig) acpclient.ClientAuth
		beside   []string // in the form, for authentication
	}{
		{"AZ-30 demanded", true, false, acptest.Client{}, nil, nil},
		{"AZ-30 set", false, true, acptest.Client{}, nil, nil},
		{"AZ-30 both", true, true, acptest.Client{}, nil, nil},
		{"AZ-30 post", true, false, acptest.Client{AuthMethod: acptest.AuthPost}, nil, []string{"client_secret"}},
		{"AZ-30 public", true, false, acptest.Client{AuthMethod: acptest.AuthNone}, nil, nil},
		{"AZ-30 private_key_jwt", true, false, acptest.Client{Key: key.Public()}, func(*rig) acpclient.ClientAuth {
			return acpclient.PrivateKeyJWT{Key: key.Signer()}
		}, []string{"client_assertion", "client_assertion_type"}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, &acptest.Options{Client: row.client, RequirePAR: row.demanded}, func(c *acpclient.Config) {
				c.RequirePushedAuthorizationRequests = row.set
				if row.auth != nil {
					c.Auth = row.auth(nil)
				}
			})
			if err := r.client.Ready(t.Context()); err != nil {
				t.Fatal("Ready:", err)
			}
			flow, callback := r.callback(&acpclient.AuthorizeOptions{
				LoginHint: "alice@example.com", Resources: []string{"https://a.example", "urn:b"}, MaxAge: new(time.Minute), ReturnTo: "/secret",
				Claims: []byte(`{"id_token":{"acr":null}}`), Extra: url.Values{"x_custom": {"1"}},
			})
			sent := r.Requests(acptest.AuthorizeEndpoint)
			if names := slices.Sorted(maps.Keys(sent[0].Query)); len(sent) != 1 || !slices.Equal(names, []string{"client_id", "request_uri"}) {
				t.Errorf("the authorize URL carries %q", names)
			}
			if q := sent[0].Query; q.Get("client_id") != r.ClientID || len(q["client_id"]) != 1 || len(q["request_uri"]) != 1 {
				t.Errorf("the authorize URL carries %q", q)
			}
			want := url.Values{
				"response_type": {"code"}, "client_id": {r.ClientID}, "redirect_uri": {redirectURL}, "scope": {"openid offline_access"},
				"state": {flow.State}, "nonce": {flow.Nonce}, "code_challenge": {pkce.Challenge(flow.Verifier)}, "code_challenge_method": {"S256"},
				"login_hint": {"alice@example.com"}, "resource": {"https://a.example", "urn:b"}, "max_age": {"60"},
				"claims": {`{"id_token":{"acr":null}}`}, "x_custom": {"1"},
			}
			r.asked(acptest.PAREndpoint, 1)
			req := r.Requests(acptest.PAREndpoint)[0]
			got := maps.Clone(req.Form)
			for _, name := range row.beside {
				if got.Get(name) == "" || len(got[name]) != 1 {
					t.Errorf("%s = %q", name, got[name])
				}
				delete(got, name)
			}
			if !maps.EqualFunc(got, want, slices.Equal) || len(req.Query) != 0 {
				t.Errorf("pushed\n%v, want\n%v", got, want)
			}
			if body := string(req.Body); strings.Contains(body, flow.Verifier) || strings.Contains(body, "%2Fsecret") || strings.HasSuffix(body, "&") {
				t.Errorf("pushed %s", body)
			}
			tokens, err := r.client.Exchange(t.Context(), flow, callback)
			if err != nil {
				t.Fatal("Exchange:", err)
			}
			r.tokenSecrets(tokens)
			again, _ := r.callback(nil) // with a request of its own
			r.asked(acptest.PAREndpoint, 2)
			if again.State == flow.State {
				t.Error("the state comes twice")
			}
		})
	}
}

// Where nobody demands it, nothing is pushed.
func TestPlainRequestsStayPlain(t *testing.T) {
	r := newRig(t, nil, nil)
	if tokens := r.login(); tokens.AccessToken == "" {
		t.Error("no token")
	}
	r.asked(acptest.PAREndpoint, 0)
}

// AZ-30, AZ-31: what cannot be pushed is not sent at all.
func TestPushWithoutEndpoint(t *testing.T) {
	rows := []struct {
		name     string
		demanded any
		set      bool
		endpoint any // nil takes it away
		says     string
	}{
		{"AZ-30 demanded, none", true, false, nil, "the server demands"},
		{"AZ-31 set, none", nil, true, nil, "RequirePushedAuthorizationRequests is set"},
		{"AZ-31 set, and refused by the metadata", false, true, nil, "RequirePushedAuthorizationRequests is set"},
		{"AZ-31 set, empty", nil, true, "", "RequirePushedAuthorizationRequests is set"},
		{"AZ-35 http", nil, true, "http://as.example/par", "https"},
		{"AZ-35 javascript", nil, true, "javascript:alert(1)", "pushed_authorization_request_endpoint"},
		{"AZ-35 private address", nil, true, "https://10.0.0.1/par", "private"},
		{"AZ-35 a number", nil, true, 7, "pushed_authorization_request_endpoint"},
		{"AZ-30 demanded in a string", "true", false, "https://as.example/par", "require_pushed_authorization_requests"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, nil, func(c *acpclient.Config) { c.RequirePushedAuthorizationRequests = row.set })
			r.OnMetadata(func(m map[string]any) {
				for name, value := range map[string]any{"require_pushed_authorization_requests": row.demanded, "pushed_authorization_request_endpoint": row.endpoint} {
					if m[name] = value; value == nil {
						delete(m, name)
					}
				}
			})
			ready := r.client.Ready(t.Context())
			address, flow, err := r.client.Authorize(t.Context(), nil)
			if address != "" || flow != nil {
				t.Errorf("Authorize = %q, %v beside the error", address, flow)
			}
			for _, err := range []error{ready, err} {
				r.fails(err, acpclient.ErrInvalidResponse, "metadata")
				if err == nil || !strings.Contains(err.Error(), row.says) {
					t.Errorf("%v does not say %q", err, row.says)
				}
			}
		})
	}
}

// AZ-31: an answer that is none ends the login, after one request, and nothing goes
// to the browser.
func TestPushFails(t *testing.T) {
	const good = `"request_uri":"urn:x:1"`
	created := func(body string) http.HandlerFunc { return acptest.Answer(201, "application/json", body) }
	malformed := func(name, body string) pushFault {
		return pushFault{"AZ-31 " + name, created(body), acpclient.ErrInvalidResponse, "response_malformed"}
	}
	rows := []pushFault{
		{"AZ-31 400", acptest.Answer(400, "application/json", `{"error":"invalid_request"}`), nil, "provider_error:invalid_request"},
		{"AZ-31 400 in ACP's shape", acptest.Answer(400, "application/json", `{"error":"the scope is bad","error_code":"invalid_scope","status_code":400}`), nil, "provider_error:invalid_scope"},
		{"AZ-31 400 without a body", acptest.Answer(400, "text/plain", ""), nil, "provider_error:invalid_response"},
		{"AZ-31 401", acptest.Answer(401, "application/json", `{"error":"invalid_client"}`), nil, "provider_error:invalid_client"},
		{"AZ-31 413", acptest.Answer(413, "text/plain", "too large"), nil, "provider_error:invalid_response"},
		{"AZ-31 429", acptest.Answer(429, "text/plain", "Too many requests"), acpclient.ErrUnavailable, "provider_error:invalid_response"},
		{"AZ-31 500", acptest.Answer(500, "text/html", "<h1>oops</h1>"), acpclient.ErrUnavailable, "provider_error:invalid_response"},
		{"AZ-31 503", acptest.Answer(503, "application/json", `{"error":"temporarily_unavailable"}`), acpclient.ErrUnavailable, "provider_error:temporarily_unavailable"},
		{"AZ-31 reset", acptest.Reset(), acpclient.ErrUnavailable, "unavailable"},
		{"AZ-31 TX-07 redirect", acptest.RedirectTo(307, "https://evil.example/par"), acpclient.ErrInvalidResponse, "response_malformed"},
		{"AZ-31 TX-08 redirect", acptest.RedirectTo(302, "https://evil.example/par"), acpclient.ErrInvalidResponse, "response_malformed"},
		{"AZ-31 200", acptest.Answer(200, "application/json", `{`+good+`,"expires_in":60}`), acpclient.ErrInvalidResponse, "response_malformed"},
		{"AZ-31 204", acptest.Answer(204, "", ""), acpclient.ErrInvalidResponse, "response_malformed"},
		{"AZ-31 TX-10 HTML", acptest.Answer(201, "text/html", `{`+good+`,"expires_in":60}`), acpclient.ErrInvalidResponse, "response_malformed"},
		{"AZ-31 TX-10 no type", acptest.Answer(201, "", `{`+good+`,"expires_in":60}`), acpclient.ErrInvalidResponse, "response_malformed"},
		malformed("no JSON", `oops`),
		malformed("an array", `[{`+good+`,"expires_in":60}]`),
		malformed("TX-12 request_uri twice", `{`+good+`,"request_uri":"urn:x:2","expires_in":60}`),
		malformed("TX-13 another case", `{"REQUEST_URI":"urn:x:1","expires_in":60}`),
		malformed("no request_uri", `{"expires_in":60}`),
		malformed("empty request_uri", `{"request_uri":"","expires_in":60}`),
		malformed("request_uri null", `{"request_uri":null,"expires_in":60}`),
		malformed("request_uri is a number", `{"request_uri":7,"expires_in":60}`),
		malformed("request_uri is a list", `{"request_uri":["urn:x:1"],"expires_in":60}`),
		malformed("relative request_uri", `{"request_uri":"/x","expires_in":60}`),
		malformed("request_uri with a line break", `{"request_uri":"urn:x:1\r\nSet-Cookie: a=b","expires_in":60}`),
		malformed("request_uri with a space", `{"request_uri":"urn:x:1 2","expires_in":60}`),
		malformed("request_uri beyond ASCII", `{"request_uri":"urn:x:é","expires_in":60}`),
		malformed("request_uri of 4 KiB", `{"request_uri":"urn:x:`+strings.Repeat("a", 4<<10)+`","expires_in":60}`),
		malformed("no expires_in", `{`+good+`}`),
		malformed("expires_in null", `{`+good+`,"expires_in":null}`),
		malformed("TX-22 expires_in 0", `{`+good+`,"expires_in":0}`),
		malformed("TX-22 expires_in negative", `{`+good+`,"expires_in":-5}`),
		malformed("TX-22 expires_in is a word", `{`+good+`,"expires_in":"soon"}`),
		malformed("expires_in is a boolean", `{`+good+`,"expires_in":true}`),
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, nil, func(c *acpclient.Config) { c.RequirePushedAuthorizationRequests = true })
			r.Handle(acptest.PAREndpoint, row.handler)
			address, flow, err := r.client.Authorize(t.Context(), &acpclient.AuthorizeOptions{LoginHint: "alice-canary"})
			r.secret("login hint", "alice-canary")
			r.fails(err, row.kind, row.reason)
			if address != "" || flow != nil {
				t.Errorf("Authorize = %q, %v beside the error", address, flow)
			}
			r.asked(acptest.PAREndpoint, 1) // never a second time, and never without it
			r.asked(acptest.AuthorizeEndpoint, 0)
		})
	}
}

type pushFault struct {
	name    string
	handler http.HandlerFunc
	kind    error
	reason  string
}

// What the server may write differently is taken as it is.
func TestPushAccepts(t *testing.T) {
	for name, row := range map[string]struct{ body, uri string }{
		"TX-22 a numeric string": {`{"request_uri":"urn:x:1","expires_in":"60"}`, "urn%3Ax%3A1"},
		"TX-22 a fraction":       {`{"request_uri":"urn:x:1","expires_in":60.5}`, "urn%3Ax%3A1"},
		"further members":        {`{"request_uri":"urn:x:1","expires_in":60,"trace_id":"t","Request_uri":7}`, "urn%3Ax%3A1"},
		"AZ-36 ampersand":        {`{"request_uri":"urn:x:1&state=evil#f","expires_in":60}`, "urn%3Ax%3A1%26state%3Devil%23f"},
		"an https URI":           {`{"request_uri":"https://as.example/r/1","expires_in":60}`, "https%3A%2F%2Fas.example%2Fr%2F1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, &acptest.Options{RequirePAR: true}, nil)
			r.Handle(acptest.PAREndpoint, acptest.Answer(201, "application/json; charset=utf-8", row.body))
			address, _, err := r.client.Authorize(t.Context(), nil)
			if want := r.URL(acptest.AuthorizeEndpoint) + "?client_id=" + r.ClientID + "&request_uri=" + row.uri; err != nil || address != want {
				t.Errorf("Authorize = %q, %v, want %q", address, err, want)
			}
		})
	}
}

// AZ-13: the endpoint's own query stays, and AZ-15: it cannot hold what we send.
func TestPushedEndpointQuery(t *testing.T) {
	for endpoint, starts := range map[string]string{
		"https://as.example/a?x=1":              "https://as.example/a?x=1&client_id=",
		"https://as.example/a?":                 "https://as.example/a?client_id=",
		"https://as.example/a?request_uri=evil": "",
		"https://as.example/a?client_id=evil":   "",
	} {
		r := newRig(t, &acptest.Options{RequirePAR: true}, nil)
		r.OnMetadata(func(m map[string]any) { m["authorization_endpoint"] = endpoint })
		address, _, err := r.client.Authorize(t.Context(), nil)
		if (err == nil) != (starts != "") || !strings.HasPrefix(address, starts) {
			t.Errorf("AZ-13 AZ-15 %s: %q, %v", endpoint, address, err)
		}
	}
}

// LG-04: what the server sends back of the request is taken out of its error.
func TestPushedErrorShowsNoSecret(t *testing.T) {
	r := newRig(t, &acptest.Options{RequirePAR: true}, nil)
	r.OnResponse(acptest.PAREndpoint, func(res *acptest.Response) {
		form := res.Request.Form
		r.flowSecrets(&acpclient.Flow{State: form.Get("state"), Nonce: form.Get("nonce")})
		res.Status = 400
		res.SetJSON(map[string]any{"error": "invalid_request", "error_description": "state " + form.Get("state") + ", nonce " + form.Get("nonce"), "error_hint": "user " + form.Get("login_hint")})
	})
	r.secret("login hint", "al@example.com")
	_, _, err := r.client.Authorize(t.Context(), &acpclient.AuthorizeOptions{LoginHint: "al@example.com"})
	r.fails(err, nil, "provider_error:invalid_request")
}

// A hint that is a word takes nothing out of an error's code.
func TestPushedErrorKeepsItsCode(t *testing.T) {
	r := newRig(t, &acptest.Options{RequirePAR: true}, nil)
	r.Handle(acptest.PAREndpoint, acptest.Answer(400, "application/json", `{"error":"temporarily_unavailable"}`))
	_, _, err := r.client.Authorize(t.Context(), &acpclient.AuthorizeOptions{LoginHint: "unavailable"})
	r.fails(err, acpclient.ErrUnavailable, "provider_error:temporarily_unavailable")
}

// RL-29: the push ends after 5 s by itself, and sooner with the caller's patience. After
// Close nothing is pushed.
func TestPushDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pushed := 0
		client := pushingClient(t, func(req *http.Request) (*http.Response, error) {
			pushed++
			<-req.Context().Done()
			return nil, req.Context().Err()
		})
		for _, patience := range []time.Duration{time.Hour, time.Second} {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			start := time.Now()
			_, _, err := client.Authorize(ctx, nil)
			cancel()
			if took := time.Since(start); took != min(patience, 5*time.Second) {
				t.Errorf("RL-29 AZ-31: took %s", took)
			}
			if !errors.Is(err, acpclient.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || acpclient.Reason(err) != "timeout" {
				t.Errorf("RL-29 AZ-31: %v", err)
			}
		}
		if err := client.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if _, _, err := client.Authorize(context.Background(), nil); !errors.Is(err, acpclient.ErrClosed) {
			t.Errorf("RL-21: %v", err)
		}
		if pushed != 2 {
			t.Errorf("%d requests", pushed)
		}
	})
}

// pushingClient is as bareClient, and f answers its pushed requests.
func pushingClient(t testing.TB, f roundTripper) *acpclient.Client {
	t.Helper()
	document := strings.Replace(bareMetadata, "{", `{"pushed_authorization_request_endpoint":"https://as.example/par",`, 1)
	client, err := acpclient.New(acpclient.Config{
		Issuer: "https://as.example", ClientID: "app", Auth: acpclient.Secret("s3cret-canary"),
		RequirePushedAuthorizationRequests: true, Logger: slog.New(slog.DiscardHandler),
		Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
			if req.URL.Path != "/par" {
				return response(http.StatusOK, "application/json", document), nil
			}
			return f(req)
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// FuzzPushedAnswer: whatever the server answers to a pushed request, there is no panic, one request,
// and a URL with exactly two parameters, fit for a Location header, or none.
func FuzzPushedAnswer(f *testing.F) {
	for _, body := range []string{
		`{"request_uri":"urn:ietf:params:oauth:request_uri:abc","expires_in":60}`, `{"request_uri":"urn:x:1&state=evil#f","expires_in":"60"}`,
		`{"request_uri":"urn:x:1","request_uri":"urn:x:2","expires_in":60}`, `{"REQUEST_URI":"urn:x:1","expires_in":60}`, `{"request_uri":"urn:x:1","expires_in":1e300}`,
		`{"request_uri":"/x","expires_in":60}`, `{"request_uri":"urn:x:\r\n","expires_in":60}`, `{"error":"invalid_request"}`, `[]`, ``,
	} {
		f.Add(201, "application/json", []byte(body))
		f.Add(400, "application/json", []byte(body))
	}
	var answer *http.Response
	asked := 0
	client := pushingClient(f, func(*http.Request) (*http.Response, error) {
		asked++
		return answer, nil
	})
	f.Fuzz(func(t *testing.T, status int, kind string, body []byte) {
		answer = response(status, kind, string(body))
		asked = 0
		address, flow, err := client.Authorize(t.Context(), nil)
		if asked != 1 {
			t.Errorf("%d requests", asked)
		}
		if err != nil {
			if text := err.Error(); address != "" || flow != nil || len(text) > 512 || strings.ContainsAny(text, "\r\n\x1b") {
				t.Errorf("%q beside the error %q", address, text)
			}
			return
		}
		rest, found := strings.CutPrefix(address, "https://as.example/authorize?client_id=app&request_uri=")
		u, parsed := url.Parse(address)
		if !found || parsed != nil || status != http.StatusCreated || !json.Valid(body) || strings.ContainsAny(rest, "&;# \r\n") || !ascii(address) || len(u.Query()) != 2 || len(address) > 8<<10 {
			t.Errorf("status %d, body %q gives %q", status, body, address)
		}
	})
}
