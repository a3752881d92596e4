package acpclient_test

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

type callbackRow struct {
	name   string
	edit   func(r *rig, flow *acpclient.Flow, v url.Values)
	reason string
}

// callbackAttacks start from the true answer to the flow. Each must be refused without
// a request to the token endpoint.
var callbackAttacks = []callbackRow{
	{"CB-01 no state", func(_ *rig, _ *acpclient.Flow, v url.Values) { v.Del("state") }, "state_missing"},
	{"CB-01 empty state", set("state", ""), "state_missing"},
	{"CB-01 nothing at all", func(_ *rig, _ *acpclient.Flow, v url.Values) { clear(v) }, "state_missing"},
	{"AZ-03 empty state on both sides", func(_ *rig, f *acpclient.Flow, v url.Values) { f.State = ""; v.Set("state", "") }, "state_missing"},
	{"CB-02 flow without state", func(_ *rig, f *acpclient.Flow, _ url.Values) { f.State = "" }, "state_missing"},
	{"CB-02 flow without verifier", func(_ *rig, f *acpclient.Flow, _ url.Values) { f.Verifier = "" }, "state_missing"},
	{"CB-02 flow without nonce", func(_ *rig, f *acpclient.Flow, _ url.Values) { f.Nonce = "" }, "state_missing"},
	{"CB-02 empty flow", func(_ *rig, f *acpclient.Flow, _ url.Values) { *f = acpclient.Flow{} }, "state_missing"},
	{"CB-03 first byte", func(_ *rig, f *acpclient.Flow, v url.Values) { v.Set("state", flipByte(f.State, 0)) }, "state_mismatch"},
	{"CB-03 last byte", func(_ *rig, f *acpclient.Flow, v url.Values) { v.Set("state", flipByte(f.State, len(f.State)-1)) }, "state_mismatch"},
	{"CB-03 prefix", func(_ *rig, f *acpclient.Flow, v url.Values) { v.Set("state", f.State[:len(f.State)-1]) }, "state_mismatch"},
	{"CB-03 longer", func(_ *rig, f *acpclient.Flow, v url.Values) { v.Set("state", f.State+"A") }, "state_mismatch"},
	{"CB-03 case", func(_ *rig, f *acpclient.Flow, v url.Values) { v.Set("state", strings.ToLower(f.State)) }, "state_mismatch"},
	{"CB-03 trailing space", func(_ *rig, f *acpclient.Flow, v url.Values) { v.Set("state", f.State+" ") }, "state_mismatch"},
	{"CB-03 the nonce", func(_ *rig, f *acpclient.Flow, v url.Values) { v.Set("state", f.Nonce) }, "state_mismatch"},
	{"CB-03 another login's", func(r *rig, _ *acpclient.Flow, v url.Values) {
		other, _ := r.callback(nil)
		v.Set("state", other.State)
	}, "state_mismatch"},
	{"CB-03 a megabyte", set("state", strings.Repeat("a", 1<<20)), "state_mismatch"},
	{"CB-06 10 min and 1 s later", func(r *rig, _ *acpclient.Flow, _ url.Values) { r.advance(601 * time.Second) }, "state_expired"},
	{"CB-06 no expiry", func(_ *rig, f *acpclient.Flow, _ url.Values) { f.Expiry = time.Time{} }, "state_expired"},
	{"CB-10 code twice", twice("code"), "duplicate_parameter"},
	{"CB-10 state twice", twice("state"), "duplicate_parameter"},
	{"CB-10 iss twice", func(r *rig, _ *acpclient.Flow, v url.Values) { v["iss"] = []string{r.Issuer, r.Issuer} }, "duplicate_parameter"},
	{"CB-10 error twice", func(_ *rig, _ *acpclient.Flow, v url.Values) { v["error"] = []string{"a", "b"} }, "duplicate_parameter"},
	{"CB-10 an unknown one twice", func(_ *rig, _ *acpclient.Flow, v url.Values) { v["x"] = []string{"a", "a"} }, "duplicate_parameter"},
	{"CB-12 no code and no error", func(_ *rig, _ *acpclient.Flow, v url.Values) { v.Del("code") }, "malformed_callback"},
	{"CB-12 empty code", set("code", ""), "malformed_callback"},
	{"CB-12 empty error", set("error", ""), "malformed_callback"},
	{"CB-12 code with a line break", set("code", "a\r\nb"), "malformed_callback"},
	{"CB-12 code with an umlaut", set("code", "ä"), "malformed_callback"},
	{"CB-17 code of a megabyte", set("code", strings.Repeat("a", 1<<20)), "malformed_callback"},
	{"CB-19 other host", set("iss", "https://evil.example/acme/demo"), "issuer_mismatch"},
	{"CB-19 trailing slash", func(r *rig, _ *acpclient.Flow, v url.Values) { v.Set("iss", r.Issuer+"/") }, "issuer_mismatch"},
	{"CB-19 case", func(r *rig, _ *acpclient.Flow, v url.Values) { v.Set("iss", strings.ToUpper(r.Issuer)) }, "issuer_mismatch"},
	{"CB-19 other scheme", func(r *rig, _ *acpclient.Flow, v url.Values) {
		v.Set("iss", strings.Replace(r.Issuer, "http:", "https:", 1))
	}, "issuer_mismatch"},
	{"CB-19 prefix", func(r *rig, _ *acpclient.Flow, v url.Values) { v.Set("iss", r.Issuer[:len(r.Issuer)-1]) }, "issuer_mismatch"},
	{"CB-19 another workspace", func(r *rig, _ *acpclient.Flow, v url.Values) {
		v.Set("iss", strings.Replace(r.Issuer, "/demo", "/prod", 1))
	}, "issuer_mismatch"},
	{"CB-19 empty", set("iss", ""), "issuer_mismatch"},
	{"CB-21 on an error", func(_ *rig, _ *acpclient.Flow, v url.Values) {
		v.Del("code")
		v.Set("error", "access_denied")
		v.Set("iss", "https://evil.example")
	}, "issuer_mismatch"},
	{"CB-26 flow of another issuer", func(_ *rig, f *acpclient.Flow, _ url.Values) { f.Issuer += "2" }, "state_mismatch"},
	{"CB-26 flow of another client", func(_ *rig, f *acpclient.Flow, _ url.Values) { f.ClientID += "2" }, "state_mismatch"},
	{"CB-37 access token", set("access_token", "canary-token-in-the-callback"), "malformed_callback"},
	{"CB-37 ID token", set("id_token", "canary-token-in-the-callback"), "malformed_callback"},
	{"CB-37 refresh token", set("refresh_token", "canary-token-in-the-callback"), "malformed_callback"},
	{"CB-37 token beside an error", func(_ *rig, _ *acpclient.Flow, v url.Values) {
		v.Set("error", "x")
		v.Set("access_token", "canary-token-in-the-callback")
	}, "malformed_callback"},
	{"CB-38 JARM", func(_ *rig, f *acpclient.Flow, v url.Values) {
		v.Del("code")
		v.Set("response", "e30.e30.canary-token-in-the-callback")
	}, "malformed_callback"},
	{"CB-38 JARM beside a code", set("response", "e30.e30.canary-token-in-the-callback"), "malformed_callback"},
	{"CB-40 NUL in the state", func(_ *rig, f *acpclient.Flow, v url.Values) { v.Set("state", f.State+"\x00") }, "malformed_callback"},
	{"CB-40 NUL in the code", set("code", "\x00"), "malformed_callback"},
	{"CB-40 invalid UTF-8 in the state", set("state", "\xff\xfe"), "malformed_callback"},
	{"CB-40 invalid UTF-8 in a name", set("\xff", "x"), "malformed_callback"},
}

func set(name, value string) func(*rig, *acpclient.Flow, url.Values) {
	return func(_ *rig, _ *acpclient.Flow, v url.Values) { v.Set(name, value) }
}

func twice(name string) func(*rig, *acpclient.Flow, url.Values) {
	return func(_ *rig, _ *acpclient.Flow, v url.Values) { v[name] = append(v[name], v.Get(name)) }
}

// flipByte changes one byte into another of the same alphabet.
func flipByte(s string, i int) string {
	c := byte('A')
	if s[i] == c {
		c = 'B'
	}
	return s[:i] + string(c) + s[i+1:]
}

func TestCallbackAttacks(t *testing.T) {
	r := newRig(t, nil, nil)
	// A second Client knows no metadata and cannot fetch it: what needs none is judged all the same.
	deaf := newRig(t, nil, func(c *acpclient.Config) { c.Issuer, c.ClientID = r.Issuer, r.ClientID })
	r.secret("injected token", "canary-token-in-the-callback")
	for _, row := range callbackAttacks {
		t.Run(row.name, func(t *testing.T) {
			r.ahead.Store(0)
			flow, v := r.callback(nil)
			before := r.Count(acptest.TokenEndpoint)
			row.edit(r, flow, v)
			tokens, err := r.client.Exchange(t.Context(), flow, v)
			r.fails(err, acpclient.ErrInvalidCallback, row.reason)
			if tokens != nil {
				t.Error("tokens beside the error")
			}
			deaf.ahead.Store(r.ahead.Load())
			r.OnResponse(acptest.MetadataEndpoint, func(res *acptest.Response) { res.Status = http.StatusNotFound })
			_, err = deaf.client.Exchange(t.Context(), flow, v)
			r.OnResponse(acptest.MetadataEndpoint, nil)
			r.fails(err, acpclient.ErrInvalidCallback, row.reason)
			r.asked(acptest.TokenEndpoint, before)
		})
	}
}

// Each attack fails for its own reason: the answer that they all start from is good, and
// so are these.
func TestCallbackAccepts(t *testing.T) {
	for name, edit := range map[string]func(*rig, *acpclient.Flow, url.Values){
		"as it is":                   func(*rig, *acpclient.Flow, url.Values) {},
		"CB-19 the right iss":        func(r *rig, _ *acpclient.Flow, v url.Values) { v.Set("iss", r.Issuer) },
		"further parameters":         set("session_state", "ä\n"),
		"CB-06 a second before":      func(r *rig, _ *acpclient.Flow, _ url.Values) { r.advance(598 * time.Second) },
		"a flow that went by cookie": func(_ *rig, f *acpclient.Flow, _ url.Values) { *f = throughJSON(f) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			flow, v := r.callback(nil)
			edit(r, flow, v)
			if _, err := r.client.Exchange(t.Context(), flow, v); err != nil {
				t.Error(err)
			}
			r.asked(acptest.TokenEndpoint, 1)
		})
	}
}

func TestCallbackWithoutFlow(t *testing.T) { // CB-02: login CSRF
	r := newRig(t, nil, nil)
	_, v := r.callback(nil)
	_, err := r.client.Exchange(t.Context(), nil, v)
	r.fails(err, acpclient.ErrInvalidCallback, "state_missing")
	r.asked(acptest.TokenEndpoint, 0)
}

// CB-20, CB-21: a server that promises iss must send it, also with an error.
func TestCallbackIssuerPromised(t *testing.T) {
	rows := []struct {
		name   string
		edit   func(v url.Values)
		reason string
	}{
		{"CB-20 absent", func(v url.Values) { v.Del("iss") }, "issuer_missing"},
		{"CB-20 absent from an error", func(v url.Values) { v.Del("iss"); v.Del("code"); v.Set("error", "access_denied") }, "issuer_missing"},
		{"CB-20 in another case", func(v url.Values) { v["ISS"] = v["iss"]; v.Del("iss") }, "issuer_missing"},
		{"CB-19 empty", func(v url.Values) { v.Set("iss", "") }, "issuer_mismatch"},
		{"present", func(url.Values) {}, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, &acptest.Options{IssParameter: true}, nil)
			flow, v := r.callback(nil)
			row.edit(v)
			_, err := r.client.Exchange(t.Context(), flow, v)
			if row.reason == "" {
				if err != nil {
					t.Error(err)
				}
				r.asked(acptest.TokenEndpoint, 1)
				return
			}
			r.fails(err, acpclient.ErrInvalidCallback, row.reason)
			r.asked(acptest.TokenEndpoint, 0)
		})
	}
}

// CB-22: the flow of one server never redeems another's code, at neither.
func TestMixUp(t *testing.T) {
	honest, evil := newRig(t, nil, nil), newRig(t, &acptest.Options{IssParameter: true}, nil)
	flow, _ := honest.callback(nil)
	evilFlow, v := evil.callback(nil)
	v.Set("state", flow.State)

	_, err := honest.client.Exchange(t.Context(), flow, v)
	honest.fails(err, acpclient.ErrInvalidCallback, "issuer_mismatch")
	_, err = evil.client.Exchange(t.Context(), flow, v) // AZ-26
	evil.fails(err, acpclient.ErrInvalidCallback, "state_mismatch")
	_, err = evil.client.Exchange(t.Context(), evilFlow, v)
	evil.fails(err, acpclient.ErrInvalidCallback, "state_mismatch")
	honest.asked(acptest.TokenEndpoint, 0)
	evil.asked(acptest.TokenEndpoint, 0)
}

// CB-34: the code of the attacker's login in the victim's flow meets the victim's verifier.
func TestInjectedCode(t *testing.T) {
	r := newRig(t, nil, nil)
	victim, _ := r.callback(nil)
	_, attacker := r.callback(nil)
	attacker.Set("state", victim.State)
	tokens, err := r.client.Exchange(t.Context(), victim, attacker)
	r.fails(err, nil, "provider_error:invalid_grant")
	if tokens != nil {
		t.Error("tokens beside the error")
	}
	r.asked(acptest.TokenEndpoint, 1)
	if got := r.Requests(acptest.TokenEndpoint)[0].Form.Get("code_verifier"); got != victim.Verifier {
		t.Errorf("the verifier sent is not the victim's")
	}
}

// The server's own "no", with a valid state: no request, and nothing of its text that
// could harm a terminal or a log.
func TestCallbackErrors(t *testing.T) {
	rows := []struct {
		name   string
		params url.Values
		want   acpclient.Error
		denied bool
	}{
		{"CB-24 access_denied", url.Values{"error": {"access_denied"}}, acpclient.Error{Code: "access_denied"}, true},
		{"CB-24 ACP's rejected", url.Values{
			"error": {"rejected"}, "error_description": {"the user rejected the authentication"},
			"error_cause": {"consent_rejected"}, "error_hint": {"ask again"}, "trace_id": {"8f2c-77"},
		}, acpclient.Error{
			Code: "rejected", Description: "the user rejected the authentication", Cause: "consent_rejected", Hint: "ask again", TraceID: "8f2c-77",
		}, true},
		{"CB-24 capital Rejected", url.Values{"error": {"Rejected"}}, acpclient.Error{Code: "Rejected"}, true},
		{"the token endpoint's name of the cause", url.Values{"error": {"server_error"}, "cause": {"db"}}, acpclient.Error{Code: "server_error", Cause: "db"}, false},
		{"login_required", url.Values{"error": {"login_required"}}, acpclient.Error{Code: "login_required"}, false},
		{"CB-28 control byte", url.Values{"error": {"a\x1b[2J"}}, acpclient.Error{Code: "invalid_response"}, false},
		{"CB-28 quote", url.Values{"error": {`a"b`}}, acpclient.Error{Code: "invalid_response"}, false},
		{"CB-28 backslash", url.Values{"error": {`a\b`}}, acpclient.Error{Code: "invalid_response"}, false},
		{"CB-28 not ASCII", url.Values{"error": {"rejected\u202e"}}, acpclient.Error{Code: "invalid_response"}, false},
		{"CB-28 65 characters", url.Values{"error": {strings.Repeat("a ", 32) + "a"}}, acpclient.Error{Code: "invalid_response"}, false},
		{"CB-28 like a token", url.Values{"error": {strings.Repeat("K7", 20)}}, acpclient.Error{Code: "invalid_response"}, false},
		{"CB-26 control characters", url.Values{"error": {"x"}, "error_description": {"a\r\nb\x1b[2J\u202ec"}},
			acpclient.Error{Code: "x", Description: "a??b?[2J?c"}, false},
		{"CB-26 a megabyte", url.Values{"error": {"x"}, "error_description": {strings.Repeat("ab cd ", 1<<18)}},
			acpclient.Error{Code: "x", Description: strings.Repeat("ab cd ", 34)[:200]}, false},
		{"LG-06 cause, hint and trace", url.Values{"error": {"x"}, "error_cause": {"a\nb"}, "error_hint": {"\u2028"}, "trace_id": {"a\nb c\"d"}},
			acpclient.Error{Code: "x", Cause: "a?b", Hint: "?", TraceID: "abcd"}, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			flow, v := r.callback(nil)
			v.Del("code")
			for name, values := range row.params {
				v[name] = values
			}
			_, err := r.client.Exchange(t.Context(), flow, v)
			r.fails(err, nil, "provider_error:"+row.want.Code)
			got, ok := errors.AsType[*acpclient.Error](err)
			if !ok {
				t.FailNow()
			}
			if got.Code != row.want.Code || got.Description != row.want.Description || got.Cause != row.want.Cause ||
				got.Hint != row.want.Hint || got.TraceID != row.want.TraceID || got.StatusCode != 0 {
				t.Errorf("got  %+q\nwant %+q", fields(got), fields(&row.want))
			}
			if errors.Is(err, acpclient.ErrAccessDenied) != row.denied || errors.Is(err, acpclient.ErrInvalidCallback) {
				t.Errorf("the kind of %v", err)
			}
			r.asked(acptest.TokenEndpoint, 0)
		})
	}
	// CB-11: an error beside a code is an error.
	r := newRig(t, nil, nil)
	flow, v := r.callback(nil)
	v.Set("error", "access_denied")
	_, err := r.client.Exchange(t.Context(), flow, v)
	r.fails(err, acpclient.ErrAccessDenied, "provider_error:access_denied")
	r.asked(acptest.TokenEndpoint, 0)
}

// LG-01: what the flow holds goes into no field of the error, should the server send it back.
func TestCallbackErrorEchoes(t *testing.T) {
	for _, name := range []string{"error_description", "error_cause", "cause", "error_hint", "trace_id"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			flow, v := r.callback(nil)
			secrets := []string{flow.State, flow.Nonce, flow.Verifier, v.Get("code")}
			for _, secret := range secrets {
				v.Set("error", "x")
				v.Set(name, "a:"+secret)
				_, err := r.client.Exchange(t.Context(), flow, v)
				e, ok := errors.AsType[*acpclient.Error](err)
				if !ok {
					t.Fatal(err)
				}
				if all := strings.Join(fields(e), " ") + err.Error(); strings.Contains(all, secret) || !strings.Contains(all, "a:") {
					t.Errorf("%q", all)
				}
			}
			v.Set("trace_id", strings.Repeat("a", 65))
			_, err := r.client.Exchange(t.Context(), flow, v)
			if e, ok := errors.AsType[*acpclient.Error](err); !ok || e.TraceID != "" {
				t.Errorf("a trace id of 65 bytes: %v", err)
			}
		})
	}
}

func fields(e *acpclient.Error) []string {
	return []string{e.Code, e.Description, e.Cause, e.Hint, e.TraceID}
}

// FuzzCallback holds the judge against a simple reading of its promises: whatever comes,
// it does not panic, and only the one true answer costs a request, at most one.
func FuzzCallback(f *testing.F) {
	const state, code = "STATESTATESTATESTATESTATES", "the-code"
	f.Add("state=" + state + "&code=" + code)
	f.Add("state=" + state + "&code=" + code + "&iss=https%3A%2F%2Fas.example")
	f.Add("state=" + state + "&error=access_denied&error_description=%1b")
	r := &rig{}
	for _, row := range callbackAttacks {
		if slices.Contains([]string{"state_mismatch", "malformed_callback", "duplicate_parameter", "issuer_mismatch"}, row.reason) && row.name != "CB-03 another login's" &&
			!strings.Contains(row.name, "CB-19 ") {
			flow, v := &acpclient.Flow{State: state, Nonce: "n"}, url.Values{"state": {state}, "code": {code}}
			if strings.Contains(row.name, "iss twice") {
				v["iss"] = []string{"a", "a"}
			} else {
				row.edit(r, flow, v)
			}
			if q := v.Encode(); len(q) < 4096 {
				f.Add(q)
			}
		}
	}
	asked := 0
	client := bareClient(f, func(*http.Request) (*http.Response, error) {
		asked++
		return response(http.StatusBadRequest, "application/json", `{"error":"invalid_grant"}`), nil
	})
	f.Fuzz(func(t *testing.T, query string) {
		v, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		_, flow, err := client.Authorize(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		flow.State = state
		asked = 0
		tokens, err := client.Exchange(t.Context(), flow, v)
		if err == nil || tokens != nil {
			t.Fatal("the server refused, and there are tokens")
		}
		e, isServers := errors.AsType[*acpclient.Error](err)
		switch {
		case isServers && e.StatusCode == http.StatusBadRequest:
			if asked != 1 || v.Get("state") != state || v.Get("code") == "" || v.Has("error") || v.Has("iss") && v.Get("iss") != "https://as.example" {
				t.Errorf("%d token requests for %q", asked, query)
			}
			for name, values := range v {
				if len(values) != 1 {
					t.Errorf("%q came %d times and was taken", name, len(values))
				}
			}
		case isServers && e.StatusCode == 0, errors.Is(err, acpclient.ErrInvalidCallback):
			if asked != 0 {
				t.Errorf("%d token requests for the refused %q", asked, query)
			}
		default:
			t.Errorf("unexpected error %v", err)
		}
		if text := err.Error(); len(text) > 512 || !ascii(text) || strings.Contains(text, flow.Verifier) {
			t.Errorf("text of the error: %q", text)
		}
	})
}
