package acpclient_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

func TestExchange(t *testing.T) {
	r := newRig(t, &acptest.Options{AtHash: true, IssParameter: true}, nil)
	flow, callback := r.callback(&acpclient.AuthorizeOptions{MaxAge: new(time.Hour)})
	tokens, err := r.client.Exchange(t.Context(), flow, callback)
	if err != nil {
		t.Fatal(err)
	}
	r.tokenSecrets(tokens)
	if tokens.AccessToken == "" || tokens.RefreshToken == "" || tokens.IDToken == "" || tokens.TokenType != "Bearer" {
		t.Errorf("incomplete: type %q", tokens.TokenType)
	}
	if left := tokens.Expiry.Sub(r.now()); left < 59*time.Minute || left > time.Hour {
		t.Errorf("expires in %s", left)
	}
	if !slices.Equal(tokens.Scopes, []string{"openid", "offline_access"}) {
		t.Errorf("scopes %q", tokens.Scopes)
	}
	var claims struct {
		Subject string `json:"sub"`
	}
	if err := tokens.Claims(&claims); err != nil || claims.Subject != "alice" {
		t.Errorf("subject %q, %v", claims.Subject, err)
	}
	req := r.Requests(acptest.TokenEndpoint)[0]
	for name, want := range map[string]string{
		"grant_type": "authorization_code", "code": callback.Get("code"), "redirect_uri": redirectURL, // TX-31
		"code_verifier": flow.Verifier,
	} {
		if got := req.Form.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if len(req.Query) > 0 || req.Header.Get("Accept") != "application/json" || req.Header.Get("Cookie") != "" {
		t.Errorf("query %v, header %v", req.Query, req.Header)
	}
}

// What the token endpoint may answer, and what becomes of it. Every row makes exactly
// one token request.
func TestTokenAnswers(t *testing.T) {
	status := func(code int, kind, body string) func(*rig) {
		return func(r *rig) { r.Handle(acptest.TokenEndpoint, acptest.Answer(code, kind, body)) }
	}
	with := func(name string, value any) func(*rig) {
		return func(r *rig) { r.brings(map[string]any{name: value}) }
	}
	kind := func(value string) func(*rig) {
		return func(r *rig) {
			r.OnTokenResponse(func(res *acptest.Response) { res.Header["Content-Type"] = []string{value} })
		}
	}
	body := func(edit func(string) string) func(*rig) {
		return func(r *rig) {
			r.OnTokenResponse(func(res *acptest.Response) { res.Body = []byte(edit(string(res.Body))) })
		}
	}
	prepend := func(member string) func(*rig) {
		return body(func(s string) string { return "{" + member + "," + s[1:] })
	}
	const canary = "canary-token-that-no-text-may-show"
	bad := acpclient.ErrInvalidResponse
	rows := []struct {
		name   string
		set    func(*rig)
		kind   error  // nil: the server's own error
		reason string // "" is a success
	}{
		{"TX-01 500", status(500, "application/json", `{"error":"server_error"}`), acpclient.ErrUnavailable, "provider_error:server_error"},
		{"TX-01 500 without JSON", status(500, "text/html", "<h1>oops</h1>"), acpclient.ErrUnavailable, "provider_error:invalid_response"},
		{"TX-01 502", status(502, "text/html", ""), acpclient.ErrUnavailable, "provider_error:invalid_response"},
		{"TX-01 503", status(503, "", ""), acpclient.ErrUnavailable, "provider_error:invalid_response"},
		{"TX-01 429", status(429, "application/json", `{"error":"slow_down"}`), acpclient.ErrUnavailable, "provider_error:slow_down"},
		{"TX-02 invalid_grant", status(400, "application/json", `{"error":"invalid_grant"}`), nil, "provider_error:invalid_grant"},
		{"TX-02 invalid_client", status(401, "application/json", `{"error":"invalid_client"}`), nil, "provider_error:invalid_client"},
		{"TX-08 redirect that holds an error", status(302, "application/json", `{"error":"invalid_grant"}`), bad, "response_malformed"},
		{"201", status(201, "application/json", `{"access_token":"a","token_type":"bearer"}`), bad, "response_malformed"},
		{"204", status(204, "", ""), bad, "response_malformed"},
		{"TX-10 HTML with JSON inside", kind("text/html"), bad, "response_malformed"},
		{"TX-10 no content type", kind(""), bad, "response_malformed"},
		{"TX-10 text/plain", kind("text/plain"), bad, "response_malformed"},
		{"TX-10 application/jwt", kind("application/jwt"), bad, "response_malformed"},
		{"TX-10 with a charset", kind("application/json; charset=utf-8"), nil, ""},
		{"TX-10 in capitals", kind("Application/JSON"), nil, ""},
		{"TX-11 form encoded", status(200, "application/x-www-form-urlencoded", "access_token="+canary+"&token_type=bearer"), bad, "response_malformed"},
		{"TX-11 form encoded, declared as JSON", status(200, "application/json", "access_token="+canary+"&token_type=bearer"), bad, "response_malformed"},
		{"TX-12 access_token twice", prepend(`"access_token":"` + canary + `"`), bad, "response_malformed"},
		{"TX-12 token_type twice", prepend(`"token_type":"bearer"`), bad, "response_malformed"},
		{"TX-12 an escaped name twice", prepend(`"access\u005ftoken":"` + canary + `"`), bad, "response_malformed"},
		{"TX-13 name in capitals alone", body(func(s string) string { return strings.Replace(s, `"access_token"`, `"ACCESS_TOKEN"`, 1) }), bad, "response_malformed"},
		{"TX-13 name in capitals beside it", prepend(`"ACCESS_TOKEN":"` + canary + `"`), nil, ""},
		{"TX-13 long s beside it", prepend(`"acce\u017fs_token":"` + canary + `"`), nil, ""},
		{"an array", status(200, "application/json", `[]`), bad, "response_malformed"},
		{"empty", status(200, "application/json", ``), bad, "response_malformed"},
		{"cut", status(200, "application/json", `{"access_token":"a`), bad, "response_malformed"},
		{"something after it", body(func(s string) string { return s + "x" }), bad, "response_malformed"},
		{"byte order mark", body(func(s string) string { return "\ufeff" + s }), bad, "response_malformed"},
		{"invalid UTF-8", prepend("\"x\":\"\xff\""), bad, "response_malformed"},
		{"TX-15 no access_token", with("access_token", nil), bad, "response_malformed"},
		{"TX-15 empty", with("access_token", ""), bad, "response_malformed"},
		{"TX-15 number", with("access_token", 7), bad, "response_malformed"},
		{"TX-15 null", with("access_token", json.RawMessage("null")), bad, "response_malformed"},
		{"TX-15 object", with("access_token", map[string]any{"a": "b"}), bad, "response_malformed"},
		{"TX-15 line break", with("access_token", canary+"\r\nX-Evil: 1"), bad, "response_malformed"},
		{"TX-15 space", with("access_token", canary+" x"), bad, "response_malformed"},
		{"TX-15 not ASCII", with("access_token", canary+"é"), bad, "response_malformed"},
		{"TX-15 refresh token with a line break", with("refresh_token", canary+"\n"), bad, "response_malformed"},
		{"TX-15 refresh token is a number", with("refresh_token", 7), bad, "response_malformed"},
		{"TX-16 no token_type", with("token_type", nil), bad, "token_type"},
		{"TX-16 empty", with("token_type", ""), bad, "token_type"},
		{"TX-16 null", with("token_type", json.RawMessage("null")), bad, "token_type"},
		{"TX-16 a number", with("token_type", 7), bad, "response_malformed"},
		{"TX-17 mac", with("token_type", "mac"), bad, "token_type"},
		{"TX-17 N_A", with("token_type", "N_A"), bad, "token_type"},
		{"TX-17 DPoP", with("token_type", "DPoP"), bad, "token_type"},
		{"TX-17 with a space", with("token_type", "Bearer "), bad, "token_type"},
		{"TX-18 bearer", with("token_type", "bearer"), nil, ""},
		{"TX-18 BEARER", with("token_type", "BEARER"), nil, ""},
		{"TX-18 bEaReR", with("token_type", "bEaReR"), nil, ""},
		{"TX-20 no ID token", with("id_token", nil), bad, "id_token_missing"},
		{"TX-20 empty", with("id_token", ""), bad, "id_token_missing"},
		{"TX-20 null", with("id_token", json.RawMessage("null")), bad, "id_token_missing"},
		{"TX-20 number", with("id_token", 7), bad, "id_token_missing"},
		{"TX-20 garbage", with("id_token", canary), acpclient.ErrInvalidToken, "token_malformed"},
		{"TX-24 200 with an error", status(200, "application/json", `{"error":"invalid_grant"}`), nil, "provider_error:invalid_grant"},
		{"TX-24 200 with an error and a token", prepend(`"error":"invalid_grant"`), nil, "provider_error:invalid_grant"},
		{"TX-25 token in an error page", status(500, "text/html", canary), acpclient.ErrUnavailable, "provider_error:invalid_response"},
		{"TX-25 token in an error", status(400, "application/json", `{"error":"invalid_grant","error_description":"`+canary+`","cause":"`+canary+`","error_hint":"the `+canary+` is"}`), nil, "provider_error:invalid_grant"},
		{"TX-25 token as the error", status(400, "application/json", `{"error":"`+canary+`"}`), nil, "provider_error:invalid_response"},
		{"TX-25 token as the type", with("token_type", canary), bad, "token_type"},
		{"scope is a list", with("scope", []string{"openid"}), bad, "response_malformed"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			r.secret("canary", canary)
			flow, callback := r.callback(nil)
			row.set(r)
			tokens, err := r.client.Exchange(t.Context(), flow, callback)
			if row.reason == "" {
				if err != nil {
					t.Fatal(err)
				}
				if tokens.AccessToken == canary || tokens.TokenType != "Bearer" || tokens.IDToken == "" {
					t.Errorf("access token %.20q, type %q", tokens.AccessToken, tokens.TokenType)
				}
			} else {
				r.fails(err, row.kind, row.reason)
				if tokens != nil {
					t.Error("tokens beside the error")
				}
			}
			r.asked(acptest.TokenEndpoint, 1)
		})
	}
}

// TX-21, TX-22, RF-13: what the answer says of its time. The clock is the test's own, so
// the expiry is exact.
func TestExpiresIn(t *testing.T) {
	start := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	jwtEnd := start.Add(20 * time.Minute)
	jwt := acptest.Unsigned(nil, map[string]any{"exp": jwtEnd.Unix()})
	rows := []struct {
		name, member string
		token        string
		want         time.Time // zero: unknown
		refused      bool
	}{
		{"TX-21 absent", ``, "opaque", time.Time{}, false},
		{"TX-21 absent, the token is a JWT", ``, jwt, jwtEnd, false},
		{"TX-21 null", `"expires_in":null,`, "opaque", time.Time{}, false},
		{"TX-22 3600", `"expires_in":3600,`, jwt, start.Add(time.Hour), false},
		{"TX-22 zero", `"expires_in":0,`, "opaque", start, false},
		{"TX-22 negative", `"expires_in":-5,`, "opaque", start.Add(-time.Second), false},
		{"TX-22 string", `"expires_in":"3600",`, "opaque", start.Add(time.Hour), false},
		{"TX-22 fraction", `"expires_in":3600.9,`, "opaque", start.Add(time.Hour), false},
		{"TX-22 exponent", `"expires_in":1e3,`, "opaque", start.Add(1000 * time.Second), false},
		{"TX-22 exponent in a string", `"expires_in":"1.5e1",`, "opaque", start.Add(15 * time.Second), false},
		{"TX-22 1e300", `"expires_in":1e300,`, "opaque", start.Add(876000 * time.Hour), false},
		{"TX-22 1e999", `"expires_in":1e999,`, "opaque", start.Add(876000 * time.Hour), false},
		{"TX-22 -1e300", `"expires_in":-1e300,`, "opaque", start.Add(-time.Second), false},
		{"TX-22 2^63", `"expires_in":9223372036854775808,`, "opaque", start.Add(876000 * time.Hour), false},
		{"TX-22 a word", `"expires_in":"soon",`, "opaque", time.Time{}, true},
		{"TX-22 an empty string", `"expires_in":"",`, "opaque", time.Time{}, true},
		{"TX-22 infinite", `"expires_in":"Inf",`, "opaque", time.Time{}, true},
		{"TX-22 not a number", `"expires_in":"NaN",`, "opaque", time.Time{}, true},
		{"TX-22 hexadecimal", `"expires_in":"0x10",`, "opaque", time.Time{}, true},
		{"TX-22 true", `"expires_in":true,`, "opaque", time.Time{}, true},
		{"TX-22 list", `"expires_in":[3600],`, "opaque", time.Time{}, true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			client := bareClient(t, func(*http.Request) (*http.Response, error) {
				return response(http.StatusOK, "application/json", `{`+row.member+`"access_token":"`+row.token+`","token_type":"bearer"}`), nil
			})
			client.SetClock(func() time.Time { return start })
			tokens, err := exchangeAnything(t, client)
			if row.refused {
				if !errors.Is(err, acpclient.ErrInvalidResponse) || acpclient.Reason(err) != "response_malformed" {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !tokens.Expiry.Equal(row.want) {
				t.Errorf("expires at %s, want %s", tokens.Expiry, row.want)
			}
		})
	}
}

// exchangeAnything redeems a code that no server gave out.
func exchangeAnything(t testing.TB, client *acpclient.Client) (*acpclient.Tokens, error) {
	t.Helper()
	_, flow, err := client.Authorize(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return client.Exchange(t.Context(), flow, map[string][]string{"state": {flow.State}, "code": {"the-code"}})
}

// ACP's three shapes of an error, and what is none.
func TestErrorShapes(t *testing.T) {
	rows := []struct {
		name, body, trace string
		status            int
		want              acpclient.Error
	}{
		{"RFC 6749", `{"error":"invalid_grant","error_description":"expired","error_hint":"start again","cause":"code_expired","status_code":400,"details":null}`, "t-1", 400,
			acpclient.Error{Code: "invalid_grant", Description: "expired", Cause: "code_expired", Hint: "start again", TraceID: "t-1"}},
		{"generic, the code is a number", `{"error":"invalid_request","error_code":400,"error_hint":"token is missing"}`, "t-2", 400,
			acpclient.Error{Code: "invalid_request", Hint: "token is missing", TraceID: "t-2"}},
		{"API, the error is a sentence", `{"error":"the access token is missing","error_code":"invalid_access_token","status_code":401,"details":{"a":[1]}}`, "t-3", 401,
			acpclient.Error{Code: "invalid_access_token", Description: "the access token is missing", TraceID: "t-3"}},
		{"trace in the body", `{"error":"x","trace_id":"t-4"}`, "", 400, acpclient.Error{Code: "x", TraceID: "t-4"}},
		{"the header's trace wins", `{"error":"x","trace_id":"t-4"}`, "t-5", 400, acpclient.Error{Code: "x", TraceID: "t-5"}},
		{"trace that is an attack", `{"error":"x"}`, "a\"b c", 400, acpclient.Error{Code: "x", TraceID: "abc"}},
		{"error_cause as at the callback", `{"error":"x","error_cause":"y"}`, "", 400, acpclient.Error{Code: "x", Cause: "y"}},
		{"rejected", `{"error":"Rejected"}`, "", 403, acpclient.Error{Code: "Rejected"}},
		{"error is a number", `{"error":400}`, "", 400, acpclient.Error{Code: "invalid_response"}},
		{"error is an object", `{"error":{"code":"x"}}`, "", 400, acpclient.Error{Code: "invalid_response"}},
		{"no JSON", `<h1>Bad gateway</h1>`, "t-6", 502, acpclient.Error{Code: "invalid_response", TraceID: "t-6"}},
		{"nothing", ``, "", 404, acpclient.Error{Code: "invalid_response"}},
		{"error twice", `{"error":"a","error":"b"}`, "", 400, acpclient.Error{Code: "invalid_response"}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			client := bareClient(t, func(*http.Request) (*http.Response, error) {
				res := response(row.status, "application/json", row.body)
				if row.trace != "" {
					res.Header.Set("X-Trace-Id", row.trace)
				}
				return res, nil
			})
			_, err := exchangeAnything(t, client)
			got, ok := errors.AsType[*acpclient.Error](err)
			if !ok {
				t.Fatalf("error %v", err)
			}
			if !slices.Equal(fields(got), fields(&row.want)) || got.StatusCode != row.status {
				t.Errorf("got %d %q, want %d %q", got.StatusCode, fields(got), row.status, fields(&row.want))
			}
			if text := err.Error(); !strings.Contains(text, got.Code) || !strings.Contains(text, fmt.Sprint(row.status)) || !strings.Contains(text, got.TraceID) {
				t.Errorf("text %q", text)
			}
			if errors.Is(err, acpclient.ErrAccessDenied) != (got.Code == "Rejected") || errors.Is(err, acpclient.ErrUnavailable) != (row.status >= 500) {
				t.Errorf("the kind of %v", err)
			}
		})
	}
}

// RF-11, RL-30: Retry-After is read in all its forms, and never longer than 5 min.
func TestRetryAfter(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"30": 30 * time.Second, "0": 0, "-30": 0, "1e9": 0, "1000000000": 5 * time.Minute, "99999999999999999999999": 5 * time.Minute,
		"Wed, 02 Jan 2030 03:04:35 GMT": 30 * time.Second, "Wed, 02 Jan 2030 03:00:00 GMT": 0, "Thu, 02 Jan 2031 03:00:00 GMT": 5 * time.Minute,
		"Wednesday, 02-Jan-30 03:04:35 GMT": 30 * time.Second, "soon": 0, "": 0, "30\u0660": 0,
	} {
		for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
			client := bareClient(t, func(*http.Request) (*http.Response, error) {
				res := response(status, "application/json", `{"error":"slow_down"}`)
				res.Header.Set("Retry-After", value)
				return res, nil
			})
			client.SetClock(func() time.Time { return now })
			_, err := exchangeAnything(t, client)
			if got := acpclient.RetryAfter(err); got != want || !errors.Is(err, acpclient.ErrUnavailable) {
				t.Errorf("Retry-After: %s with %d: %s, want %s (%v)", value, status, got, want, err)
			}
		}
	}
	if acpclient.RetryAfter(nil) != 0 || acpclient.Reason(nil) != "" || acpclient.Reason(context.Canceled) != "" {
		t.Error("a wait or a reason for what is not ours")
	}
}

// TX-07, TX-08: the code goes to the token endpoint and nowhere else.
func TestTokenRedirects(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint("TX-07 TX-08 ", status), func(t *testing.T) {
			reached := false
			evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				reached = true
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, `{"access_token":"evil","token_type":"bearer"}`)
			}))
			defer evil.Close()
			r := newRig(t, nil, nil)
			tokens := r.login()
			flow, callback := r.callback(nil)
			r.Handle(acptest.TokenEndpoint, acptest.RedirectTo(status, evil.URL))
			_, err := r.client.Exchange(t.Context(), flow, callback)
			r.fails(err, acpclient.ErrInvalidResponse, "response_malformed")
			_, err = r.client.Refresh(t.Context(), tokens)
			r.fails(err, acpclient.ErrInvalidResponse, "response_malformed")
			if reached {
				t.Error("the redirect was followed")
			}
			r.asked(acptest.TokenEndpoint, 3)
		})
	}
}

// TX-03: a connection that dies after the request was written is not tried again, neither by us nor
// by net/http, which would if the request named an idempotency key in its own spelling.
func TestConnectionDies(t *testing.T) {
	for name, keepAlive := range map[string]bool{"TX-03 on a used connection": true, "TX-03 on a new connection": false} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil, func(c *acpclient.Config) {
				c.Transport = &http.Transport{DisableKeepAlives: !keepAlive}
			})
			tokens := r.login()
			flow, callback := r.callback(nil)
			r.Handle(acptest.TokenEndpoint, acptest.Reset())

			_, err := r.client.Exchange(t.Context(), flow, callback)
			r.fails(err, acpclient.ErrUnavailable, "unavailable")
			r.asked(acptest.TokenEndpoint, 2)

			if err := r.client.Revoke(t.Context(), tokens); err != nil { // leaves a connection to use again
				t.Fatal(err)
			}
			_, err = r.client.Refresh(t.Context(), tokens)
			r.fails(err, acpclient.ErrUnavailable, "unavailable")
			r.asked(acptest.TokenEndpoint, 3)
			if http.CanonicalHeaderKey("x-idempotency-key") != "X-Idempotency-Key" || r.Requests(acptest.TokenEndpoint)[2].Header.Get("X-Idempotency-Key") == "" {
				t.Error("the request has no idempotency key, so the test shows nothing")
			}
		})
	}
}

// TX-09: there is no way around the certificate but RootCAs.
func TestTokenEndpointCertificate(t *testing.T) {
	r := newRig(t, &acptest.Options{TLS: true}, nil)
	r.login()
	for name, edit := range map[string]func(*acpclient.Config){
		"TX-09 unknown authority": func(c *acpclient.Config) { c.Issuer = r.Issuer },
		"TX-09 another host's": func(c *acpclient.Config) {
			c.Issuer, c.RootCAs = strings.Replace(r.Issuer, "127.0.0.1", "localhost", 1), r.RootCAs()
		},
	} {
		t.Run(name, func(t *testing.T) {
			other := newRig(t, nil, edit)
			_, _, err := other.client.Authorize(t.Context(), nil)
			r.fails(err, acpclient.ErrUnavailable, "unavailable")
		})
	}
	r.asked(acptest.MetadataEndpoint, 1)
}

// TX-33: the browser is gone, so is the login: no half of it, and the next one works.
func TestCallerLeaves(t *testing.T) {
	r := newRig(t, nil, nil)
	flow, callback := r.callback(nil)
	release := r.Hold(acptest.TokenEndpoint)
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		tokens, err := r.client.Exchange(ctx, flow, callback)
		if tokens != nil {
			err = errors.New("tokens for somebody who left")
		}
		done <- err
	}()
	if err := r.Wait(t.Context(), acptest.TokenEndpoint, 1); err != nil {
		t.Fatal(err)
	}
	cancel()
	r.fails(<-done, acpclient.ErrUnavailable, "unavailable")
	release()
	r.login()
}

// TX-34: no cookie of one answer goes along with the next request.
func TestCookiesAreIgnored(t *testing.T) {
	r := newRig(t, nil, nil)
	for _, e := range []acptest.Endpoint{acptest.MetadataEndpoint, acptest.JWKSEndpoint, acptest.TokenEndpoint, acptest.UserInfoEndpoint} {
		r.OnResponse(e, func(res *acptest.Response) { res.Header.Set("Set-Cookie", "user=alice; Path=/") })
	}
	tokens := r.login()
	for range 2 {
		if _, err := r.client.Refresh(t.Context(), tokens); err != nil {
			t.Fatal(err)
		}
		if err := r.client.UserInfo(t.Context(), tokens, new(any)); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range []acptest.Endpoint{acptest.TokenEndpoint, acptest.UserInfoEndpoint} {
		for _, req := range r.Requests(e) {
			if c := req.Header.Get("Cookie"); c != "" {
				t.Errorf("the %s request carries %q", e, c)
			}
		}
	}
}

// Without "openid" there is no ID token, and nobody misses it.
func TestExchangeWithoutOpenID(t *testing.T) {
	r := newRig(t, nil, func(c *acpclient.Config) { c.Scopes = nil })
	tokens := r.login()
	if err := tokens.Claims(new(any)); !errors.Is(err, errors.ErrUnsupported) || tokens.IDToken != "" {
		t.Errorf("Claims: %v", err)
	}
	if err := r.client.UserInfo(t.Context(), tokens, new(any)); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("UserInfo: %v", err)
	}
	r.asked(acptest.JWKSEndpoint, 0)
}

// RFC 8414: the other document is asked for where the first does not exist, and only there.
func TestMetadataFallback(t *testing.T) {
	r := newRig(t, &acptest.Options{OAuthMetadataOnly: true}, nil)
	r.login()
	requests := r.Requests(acptest.MetadataEndpoint)
	if len(requests) != 2 || requests[0].Path != "/acme/demo/.well-known/openid-configuration" ||
		requests[1].Path != "/.well-known/oauth-authorization-server/acme/demo" {
		t.Errorf("%d metadata requests", len(requests))
	}
	for _, status := range []int{http.StatusUnauthorized, http.StatusInternalServerError, http.StatusFound} {
		r := newRig(t, nil, nil)
		r.Handle(acptest.MetadataEndpoint, acptest.Answer(status, "application/json", `{}`))
		if _, err := r.client.Metadata(t.Context()); err == nil {
			t.Errorf("metadata of status %d", status)
		}
		r.asked(acptest.MetadataEndpoint, 1)
	}
	root := newRig(t, &acptest.Options{OAuthMetadataOnly: true, RootIssuer: true}, nil)
	root.login()
	if got := root.Requests(acptest.MetadataEndpoint)[1].Path; got != "/.well-known/oauth-authorization-server" {
		t.Errorf("path %s", got)
	}
}

// FuzzTokenResponse: whatever the token endpoint answers, there is no panic, no token that cannot
// be sent, no token without a proper type, and no text of the answer in the error.
func FuzzTokenResponse(f *testing.F) {
	for _, body := range []string{
		`{"access_token":"a","token_type":"bearer","expires_in":3600,"scope":"a b","refresh_token":"r"}`,
		`{"access_token":"a","token_type":"bearer","id_token":"e30.e30.e30"}`, `{"ACCESS_TOKEN":"b"}`, `{"expires_in":1e300}`,
		`{"access_token":"a","access_token":"b"}`, `{"error":"invalid_grant","error_code":7}`, `[]`, ``, `{"access_token":"a","token_type":"bearer","expires_in":"1e3"}`,
	} {
		f.Add(200, "application/json", []byte(body))
		f.Add(400, "application/json", []byte(body))
	}
	f.Add(200, "text/html", []byte("<p>"))
	f.Add(302, "", []byte(""))
	var answer *http.Response
	asked := 0
	client := bareClient(f, func(*http.Request) (*http.Response, error) {
		asked++
		return answer, nil
	})
	f.Fuzz(func(t *testing.T, status int, kind string, body []byte) {
		answer = response(status, kind, "")
		answer.Body = http.NoBody
		if len(body) > 0 {
			answer.Body = readCloser{bytes.NewReader(body)}
		}
		asked = 0
		tokens, err := exchangeAnything(t, client)
		if asked != 1 {
			t.Errorf("%d requests", asked)
		}
		if err != nil {
			if tokens != nil {
				t.Error("tokens beside the error")
			}
			if text := err.Error(); len(text) > 512 || strings.ContainsAny(text, "\r\n\x1b") {
				t.Errorf("text %q", text)
			}
			return
		}
		if status != http.StatusOK || !json.Valid(body) || tokens.TokenType != "Bearer" || tokens.IDToken != "" {
			t.Errorf("status %d, body %q gives type %q", status, body, tokens.TokenType)
		}
		if strings.ContainsFunc(tokens.AccessToken, func(r rune) bool { return r <= ' ' || r > '~' }) || tokens.AccessToken == "" {
			t.Errorf("access token %q", tokens.AccessToken)
		}
	})
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

// A server of plain OAuth 2.0 has no keys: who asks for nothing signed does not need them.
func TestServerWithoutKeys(t *testing.T) {
	for name, row := range map[string]struct {
		scopes, options []string
		mode            string
		works           bool
	}{
		"plain OAuth":           {[]string{"accounts"}, nil, "", true},
		"no scopes":             {nil, nil, "", true},
		"openid":                {[]string{"openid"}, nil, "", false},
		"openid, this time":     {[]string{"accounts"}, []string{"openid"}, "", false},
		"without it, this time": {[]string{"openid"}, []string{"accounts"}, "", true},
		"CB-38 a signed answer": {[]string{"accounts"}, nil, "jwt", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil, func(c *acpclient.Config) { c.Scopes, c.ResponseMode = row.scopes, row.mode })
			r.OnMetadata(func(m map[string]any) { delete(m, "jwks_uri") })
			if err := r.client.Ready(t.Context()); (err == nil) != (row.works == (row.options == nil)) {
				t.Errorf("Ready: %v", err)
			}
			o := &acpclient.AuthorizeOptions{Scopes: row.options}
			if !row.works {
				_, _, err := r.client.Authorize(t.Context(), o)
				r.fails(err, acpclient.ErrInvalidResponse, "metadata")
				return
			}
			flow, callback := r.callback(o)
			if tokens, err := r.client.Exchange(t.Context(), flow, callback); err != nil || tokens.AccessToken == "" {
				t.Errorf("Exchange: %v", err)
			}
		})
	}
}
