package acpclient_test

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// newJARM is a rig whose server signs its answers.
func newJARM(t *testing.T, o *acptest.Options, edit func(*acpclient.Config)) *rig {
	return newRig(t, o, func(c *acpclient.Config) {
		c.ResponseMode = "query.jwt"
		if edit != nil {
			edit(c)
		}
	})
}

// forge makes the response that the browser brings out of what the server would have
// signed. "" lets the server sign what it left in the maps.
type forge func(r *rig, header, claims map[string]any) string

// answer is a login up to its callback, with a forged response where f is not nil.
func (r *rig) answer(f forge) (*acpclient.Flow, url.Values) {
	r.t.Helper()
	if f != nil {
		defer r.MintJARM(nil)
		r.MintJARM(func(header, claims map[string]any) string {
			if token := f(r, header, claims); token != "" {
				return token
			}
			return r.Key().SignRaw(text(header), text(claims))
		})
	}
	flow, v := r.callback(nil)
	r.secret("response", v.Get("response"))
	return flow, v
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// says and head replace one member; nil takes it away.
func says(name string, value any) forge {
	return func(_ *rig, _, claims map[string]any) string { return member(claims, name, value) }
}

func head(name string, value any) forge {
	return func(_ *rig, header, _ map[string]any) string { return member(header, name, value) }
}

func member(m map[string]any, name string, value any) string {
	if m[name] = value; value == nil {
		delete(m, name)
	}
	return ""
}

// within moves a time that the server set.
func within(name string, d time.Duration) forge {
	return func(r *rig, _, claims map[string]any) string {
		claims[name] = r.now().Add(d).Unix()
		return ""
	}
}

func TestResponseAttacks(t *testing.T) {
	other := acptest.NewKey("ES256")
	rows := []struct {
		name   string
		forge  forge
		reason string
	}{
		{"CB-39 alg none", func(_ *rig, _, claims map[string]any) string { return acptest.Unsigned(nil, claims) }, "alg"},
		{"CB-39 alg None", func(_ *rig, _, claims map[string]any) string {
			return acptest.Unsigned(map[string]any{"alg": "None"}, claims)
		}, "alg"},
		{"CB-39 HS256 under the client's secret", func(r *rig, _, claims map[string]any) string {
			return acptest.SignHMAC([]byte(r.ClientSecret), nil, claims)
		}, "alg"},
		{"CB-39 HS256 under the public key", func(r *rig, _, claims map[string]any) string {
			return acptest.SignHMAC([]byte(keyPEM(r.Key())), map[string]any{"kid": r.Key().ID}, claims)
		}, "alg"},
		{"CB-39 no signature under a real alg", func(r *rig, header, claims map[string]any) string {
			return acptest.Unsigned(header, claims)
		}, "signature"},
		{"CB-39 another's key", func(_ *rig, _, claims map[string]any) string { return other.Sign(nil, claims) }, "key_not_found"},
		{"CB-39 another's key under the known id", func(r *rig, _, claims map[string]any) string {
			return other.Sign(map[string]any{"kid": r.Key().ID}, claims)
		}, "signature"},
		{"CB-39 another's key in the header", func(_ *rig, _, claims map[string]any) string {
			return other.Sign(map[string]any{"jwk": other.JWK()}, claims)
		}, "key_not_found"},
		{"CB-39 crit", head("crit", []string{"exp"}), "token_malformed"},
		{"CB-39 claims twice", func(r *rig, header, claims map[string]any) string {
			return r.Key().SignRaw(text(header), strings.Replace(text(claims), "{", `{"state":"evil",`, 1))
		}, "token_malformed"},
		{"CB-39 claims are an array", func(r *rig, header, _ map[string]any) string { return r.Key().SignRaw(text(header), `[]`) }, "token_malformed"},
		{"CB-39 too long", says("x", strings.Repeat("a", 16<<10)), "token_malformed"},
		{"CB-39 a line break behind", func(r *rig, _, claims map[string]any) string { return r.Sign(nil, claims) + "\n" }, "token_malformed"},
		{"CB-39 two parts", func(r *rig, _, claims map[string]any) string {
			s := r.Sign(nil, claims)
			return s[:strings.LastIndexByte(s, '.')]
		}, "token_malformed"},
		{"TX-42 five parts", func(*rig, map[string]any, map[string]any) string { return "e30.AA.AA.AA.AA" }, "token_malformed"},

		{"CB-39 no iss", says("iss", nil), "issuer_missing"},
		{"CB-39 another iss", says("iss", "https://evil.example"), "issuer_mismatch"},
		{"CB-39 iss with a slash", func(r *rig, _, claims map[string]any) string { return member(claims, "iss", r.Issuer+"/") }, "issuer_mismatch"},
		{"CB-39 iss is a list", func(r *rig, _, claims map[string]any) string { return member(claims, "iss", []string{r.Issuer}) }, "issuer_mismatch"},
		{"CB-39 iss is empty", says("iss", ""), "issuer_mismatch"},
		{"CB-39 no aud", says("aud", nil), "audience"},
		{"CB-39 another aud", says("aud", "other"), "audience"},
		{"CB-39 aud is empty", says("aud", []string{}), "audience"},
		{"CB-39 aud is a number", says("aud", 1), "audience"},
		{"CB-39 a second aud", func(r *rig, _, claims map[string]any) string {
			return member(claims, "aud", []string{r.ClientID, "other"})
		}, "audience"},
		{"CB-39 us twice", func(r *rig, _, claims map[string]any) string {
			return member(claims, "aud", []string{r.ClientID, r.ClientID})
		}, "audience"},
		{"CB-39 no exp", says("exp", nil), "token_malformed"},
		{"CB-39 exp is a string", says("exp", "9999999999"), "token_malformed"},
		{"CB-39 exp beyond all dates", says("exp", 1e300), "token_malformed"},
		{"CB-39 expired", within("exp", -61*time.Second), "expired"},
		{"CB-39 not yet valid", within("nbf", 62*time.Second), "not_yet_valid"},
		{"CB-39 from the future", within("iat", 62*time.Second), "issued_at"},

		{"CB-03 another state", says("state", "AAAAAAAAAAAAAAAAAAAAAAAAAA"), "state_mismatch"},
		{"CB-01 no state", says("state", nil), "state_missing"},
		{"CB-01 an empty state", says("state", ""), "state_missing"},
		{"CB-39 state is a number", says("state", 1), "token_malformed"},
		{"CB-40 NUL in the state", says("state", "a\x00"), "malformed_callback"},
		{"CB-12 no code", says("code", nil), "malformed_callback"},
		{"CB-12 an empty code", says("code", ""), "malformed_callback"},
		{"CB-12 a code with a line break", says("code", "a\r\nb"), "malformed_callback"},
		{"CB-39 code is a list", says("code", []string{"a"}), "token_malformed"},
		{"CB-39 error is a number", says("error", 1), "token_malformed"},
		{"CB-37 an access token in it", says("access_token", "canary-token-in-the-callback"), "malformed_callback"},
		{"CB-37 an ID token in it", says("id_token", "canary-token-in-the-callback"), "malformed_callback"},
		{"CB-38 a response in it", says("response", "canary-token-in-the-callback"), "malformed_callback"},

		// No other JWT of the server passes, not even with the parameters among its claims.
		{"CB-39 an ID token", func(r *rig, _, claims map[string]any) string { return r.IDToken(parameters(claims)) }, "token_use"},
		{"CB-39 an ID token without subject", func(r *rig, _, claims map[string]any) string {
			id := parameters(claims)
			id["sub"], id["nonce"] = nil, "n"
			return r.IDToken(id)
		}, "token_use"},
		{"CB-39 an access token", func(r *rig, _, claims map[string]any) string {
			access := parameters(claims)
			access["aud"] = r.ClientID
			return r.AccessToken(access)
		}, "token_use"},
		{"CB-39 a logout token", func(r *rig, _, claims map[string]any) string { return r.LogoutToken(parameters(claims)) }, "token_use"},
		{"CB-39 a logout token without a type", func(r *rig, _, claims map[string]any) string {
			logout := maps.Clone(claims)
			logout["events"] = map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}
			return r.Sign(nil, logout)
		}, "token_use"},
		{"CB-39 typ at+jwt", head("typ", "at+jwt"), "token_use"},
		{"CB-39 typ logout+jwt", head("typ", "logout+jwt"), "token_use"},
		{"CB-39 typ of an assertion", head("typ", "client-authentication+jwt"), "token_use"},
	}
	r := newJARM(t, nil, nil)
	r.secret("injected token", "canary-token-in-the-callback")
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			flow, v := r.answer(row.forge)
			before := r.Count(acptest.TokenEndpoint)
			tokens, err := r.client.Exchange(t.Context(), flow, v)
			r.fails(err, acpclient.ErrInvalidCallback, row.reason)
			if tokens != nil {
				t.Error("tokens beside the error")
			}
			r.asked(acptest.TokenEndpoint, before)
		})
	}
}

// parameters are what the answer says beside iss, aud and exp.
func parameters(claims map[string]any) map[string]any {
	return map[string]any{"code": claims["code"], "state": claims["state"]}
}

// CB-38: what stands beside the signed response, or in its place, is a down-grade.
func TestResponseDowngrade(t *testing.T) {
	r := newJARM(t, nil, nil)
	deaf := newJARM(t, nil, func(c *acpclient.Config) { c.Issuer, c.ClientID = r.Issuer, r.ClientID })
	r.secret("injected token", "canary-token-in-the-callback")
	only := func(v url.Values) func(*acpclient.Flow, url.Values) {
		return func(f *acpclient.Flow, had url.Values) {
			clear(had)
			maps.Copy(had, v)
			had.Set("state", f.State)
		}
	}
	for _, row := range []struct {
		name   string
		edit   func(f *acpclient.Flow, v url.Values)
		reason string
	}{
		{"CB-38 a plain code", only(url.Values{"code": {"abc"}}), "malformed_callback"},
		{"CB-38 a plain error", only(url.Values{"error": {"access_denied"}}), "malformed_callback"},
		{"CB-38 nothing", func(_ *acpclient.Flow, v url.Values) { clear(v) }, "malformed_callback"},
		{"CB-38 an empty response", func(_ *acpclient.Flow, v url.Values) { v.Set("response", "") }, "malformed_callback"},
		{"CB-10 two responses", func(_ *acpclient.Flow, v url.Values) { v["response"] = append(v["response"], v.Get("response")) }, "duplicate_parameter"},
		{"CB-38 a code beside", func(_ *acpclient.Flow, v url.Values) { v.Set("code", "abc") }, "malformed_callback"},
		{"CB-38 the same state beside", func(f *acpclient.Flow, v url.Values) { v.Set("state", f.State) }, "malformed_callback"},
		{"CB-38 iss beside", func(_ *acpclient.Flow, v url.Values) { v.Set("iss", r.Issuer) }, "malformed_callback"},
		{"CB-38 an error beside", func(_ *acpclient.Flow, v url.Values) { v.Set("error", "access_denied") }, "malformed_callback"},
		{"CB-38 a description beside", func(_ *acpclient.Flow, v url.Values) { v.Set("error_description", "x") }, "malformed_callback"},
		{"CB-37 a token beside", func(_ *acpclient.Flow, v url.Values) { v.Set("id_token", "canary-token-in-the-callback") }, "malformed_callback"},
		{"CB-40 invalid UTF-8 beside", func(_ *acpclient.Flow, v url.Values) { v.Set("x", "\xff") }, "malformed_callback"},
	} {
		t.Run(row.name, func(t *testing.T) {
			flow, v := r.answer(nil)
			row.edit(flow, v)
			_, err := r.client.Exchange(t.Context(), flow, v)
			r.fails(err, acpclient.ErrInvalidCallback, row.reason)
			_, err = r.client.CallbackState(t.Context(), v)
			r.fails(err, acpclient.ErrInvalidCallback, row.reason)
			// It needs no key, and no metadata.
			r.OnResponse(acptest.MetadataEndpoint, func(res *acptest.Response) { res.Status = http.StatusNotFound })
			_, err = deaf.client.Exchange(t.Context(), flow, v)
			r.OnResponse(acptest.MetadataEndpoint, nil)
			r.fails(err, acpclient.ErrInvalidCallback, row.reason)
			r.asked(acptest.TokenEndpoint, 0)
		})
	}
}

func TestResponseAccepts(t *testing.T) {
	for _, row := range []struct {
		name  string
		forge forge
	}{
		{"as it is", nil},
		{"aud as a list", func(r *rig, _, claims map[string]any) string { return member(claims, "aud", []string{r.ClientID}) }},
		{"no typ", head("typ", nil)},
		{"typ in full", head("typ", "application/JWT")},
		{"within the leeway", within("exp", -58*time.Second)},
		{"further claims", func(_ *rig, _, claims map[string]any) string {
			claims["scope"], claims["session_state"], claims["jti"], claims["error"] = "openid", 1, "x", nil
			return ""
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newJARM(t, &acptest.Options{IssParameter: true}, nil)
			flow, v := r.answer(row.forge)
			if len(v) != 1 {
				t.Errorf("the callback has %d parameters", len(v))
			}
			v.Set("of_the_redirect_url", "x")
			state, err := r.client.CallbackState(t.Context(), v)
			if err != nil || state != flow.State {
				t.Errorf("CallbackState: %v, %v", state == flow.State, err)
			}
			tokens, err := r.client.Exchange(t.Context(), flow, v)
			if err != nil {
				t.Fatal(err)
			}
			r.tokenSecrets(tokens)
			r.asked(acptest.TokenEndpoint, 1)
		})
	}
}

// ID-30: the hashes in the ID token are those of code and state in the response.
func TestResponseHashes(t *testing.T) {
	for _, row := range []struct {
		name, claim, of string
		right           bool
	}{
		{"c_hash", "c_hash", "code", true},
		{"s_hash", "s_hash", "state", true},
		{"ID-30 c_hash of the state", "c_hash", "state", false},
		{"ID-30 s_hash of the code", "s_hash", "code", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newJARM(t, nil, nil)
			var of string
			flow, v := r.answer(func(_ *rig, _, claims map[string]any) string {
				of, _ = claims[row.of].(string)
				return ""
			})
			r.OnIDToken(func(_, claims map[string]any) { claims[row.claim] = acptest.HalfHash("ES256", of) })
			tokens, err := r.client.Exchange(t.Context(), flow, v)
			if !row.right {
				r.fails(err, acpclient.ErrInvalidToken, "c_hash")
			} else if err != nil {
				t.Error(err)
			} else {
				r.tokenSecrets(tokens)
			}
		})
	}
}

// CB-11, CB-24, CB-28: an error in a signed response is what it is in a plain one.
func TestResponseErrors(t *testing.T) {
	r := newJARM(t, nil, nil)
	for _, row := range []struct {
		name   string
		claims map[string]any
		want   string
		denied bool
	}{
		{"CB-24 access_denied", map[string]any{"error": "access_denied", "code": nil}, "access_denied", true},
		{"CB-24 ACP's rejected", map[string]any{"error": "Rejected", "error_cause": "consent_rejected", "code": nil}, "Rejected", true},
		{"CB-11 beside a code", map[string]any{"error": "server_error"}, "server_error", false},
		{"CB-28 a quote", map[string]any{"error": `a"b`, "code": nil}, "invalid_response", false},
		{"CB-26 control characters", map[string]any{"error": "x", "error_description": "a\r\n\x1b[2J", "code": nil}, "x", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			flow, v := r.answer(func(_ *rig, _, claims map[string]any) string {
				for name, value := range row.claims {
					member(claims, name, value)
				}
				return ""
			})
			_, err := r.client.Exchange(t.Context(), flow, v)
			r.fails(err, nil, "provider_error:"+row.want)
			if errors.Is(err, acpclient.ErrAccessDenied) != row.denied {
				t.Errorf("the kind of %v", err)
			}
			r.asked(acptest.TokenEndpoint, 0)
		})
	}
	// CB-21: only the flow's own server may say no.
	flow, v := r.answer(func(_ *rig, _, claims map[string]any) string {
		delete(claims, "code")
		claims["error"], claims["iss"] = "access_denied", "https://evil.example"
		return ""
	})
	_, err := r.client.Exchange(t.Context(), flow, v)
	r.fails(err, acpclient.ErrInvalidCallback, "issuer_mismatch")
}

// RFC 8725 3.11: a signed response is no token of any kind.
func TestResponseIsNoToken(t *testing.T) {
	r := newJARM(t, nil, nil)
	_, v := r.answer(nil)
	response := v.Get("response")

	r.MintIDToken(func(_, _ map[string]any) string { return response })
	flow, v := r.answer(nil)
	_, err := r.client.Exchange(t.Context(), flow, v)
	r.fails(err, acpclient.ErrInvalidToken, "subject") // ID-13
	r.MintIDToken(nil)

	_, err = r.client.VerifyLogoutToken(t.Context(), response)
	r.fails(err, acpclient.ErrInvalidToken, "token_use")
	verifier, err := acpclient.NewVerifier(acpclient.VerifierConfig{Issuer: r.Issuer, Audience: r.ClientID, Logger: r.logger()})
	if err != nil {
		t.Fatal(err)
	}
	defer verifier.Close(t.Context())
	_, err = verifier.Verify(t.Context(), response)
	r.fails(err, acpclient.ErrInvalidToken, "subject")

	tokens := r.login()
	r.OnResponse(acptest.UserInfoEndpoint, func(res *acptest.Response) {
		res.Header.Set("Content-Type", "application/jwt")
		res.Body = []byte(response)
	})
	r.fails(r.client.UserInfo(t.Context(), tokens, new(any)), acpclient.ErrInvalidToken, "subject")
}

// A mode that the server does not name is a mistake that shows at the start, with the name of
// the setting: the plain answer is never taken in its place.
func TestResponseModeNotOffered(t *testing.T) {
	for _, row := range []struct {
		name, mode string
		offered    any
	}{
		{"CB-38 none named", "query.jwt", nil},
		{"CB-38 plain ones", "form_post.jwt", []string{"query", "form_post"}},
		{"CB-38 another JWT mode", "jwt", []string{"query.jwt", "fragment.jwt"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, nil, func(c *acpclient.Config) { c.ResponseMode = row.mode })
			r.OnMetadata(func(m map[string]any) { member(m, "response_modes_supported", row.offered) })
			_, _, err := r.client.Authorize(t.Context(), nil)
			for _, err := range []error{err, r.client.Ready(t.Context())} {
				r.fails(err, acpclient.ErrInvalidResponse, "metadata")
				if err != nil && !strings.Contains(err.Error(), "Config.ResponseMode") {
					t.Errorf("%q does not name the setting", err)
				}
			}
		})
	}
	for _, mode := range []string{"query", "form_post", "query.jwt", "form_post.jwt", "jwt"} {
		r := newRig(t, nil, func(c *acpclient.Config) { c.ResponseMode = mode })
		if err := r.client.Ready(t.Context()); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
		address, _, err := r.client.Authorize(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := u.Query()["response_mode"]; mode != "query" && !slices.Equal(got, []string{mode}) || mode == "query" && got != nil {
			t.Errorf("%s: response_mode %q is sent", mode, got)
		}
	}
}

// What the server names for responses narrows theirs, and not the ID token's.
func TestResponseAlgs(t *testing.T) {
	r := newJARM(t, nil, nil)
	r.OnMetadata(func(m map[string]any) { m["authorization_signing_alg_values_supported"] = []string{"PS256"} })
	flow, v := r.answer(nil)
	_, err := r.client.Exchange(t.Context(), flow, v)
	r.fails(err, acpclient.ErrInvalidCallback, "alg")
	r.asked(acptest.TokenEndpoint, 0)

	narrow := newJARM(t, nil, func(c *acpclient.Config) { c.IDTokenAlgs = []string{"PS256"} })
	flow, v = narrow.answer(nil)
	_, err = narrow.client.Exchange(t.Context(), flow, v)
	narrow.fails(err, acpclient.ErrInvalidCallback, "alg")
	narrow.asked(acptest.TokenEndpoint, 0)
}

// Without keys nothing is known of a response: the browser may come again.
func TestResponseWithoutKeys(t *testing.T) {
	r := newJARM(t, nil, nil)
	flow, v := r.answer(nil)
	r.OnResponse(acptest.JWKSEndpoint, func(res *acptest.Response) { res.Status = http.StatusBadGateway })
	_, err := r.client.CallbackState(t.Context(), v)
	if !errors.Is(err, acpclient.ErrUnavailable) {
		t.Errorf("CallbackState: %v", err)
	}
	if _, err = r.client.Exchange(t.Context(), flow, v); !errors.Is(err, acpclient.ErrUnavailable) {
		t.Errorf("Exchange: %v", err)
	}
	r.asked(acptest.TokenEndpoint, 0)
	r.OnResponse(acptest.JWKSEndpoint, nil)
	r.advance(time.Minute)
	if _, err = r.client.Exchange(t.Context(), flow, v); err != nil {
		t.Error(err)
	}
}

func TestCallbackState(t *testing.T) {
	r := newRig(t, nil, nil)
	flow, v := r.callback(nil)
	if state, err := r.client.CallbackState(t.Context(), v); err != nil || state != flow.State {
		t.Errorf("%v", err)
	}
	r.asked(acptest.JWKSEndpoint, 0)
	for _, row := range []struct {
		name   string
		values url.Values
		reason string
	}{
		{"CB-01 none", url.Values{"code": {"x"}}, "state_missing"},
		{"CB-01 nil", nil, "state_missing"},
		{"CB-10 two", url.Values{"state": {"a", "b"}}, "duplicate_parameter"},
		{"CB-40 invalid UTF-8", url.Values{"state": {"\xff"}}, "malformed_callback"},
	} {
		_, err := r.client.CallbackState(t.Context(), row.values)
		r.fails(err, acpclient.ErrInvalidCallback, row.reason)
	}
	if err := r.client.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.client.CallbackState(t.Context(), v); !errors.Is(err, acpclient.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
