package acpclient_test

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

func TestRefresh(t *testing.T) {
	r := newRig(t, nil, nil)
	old := r.login()
	before := throughJSON(old)
	r.SetAccessTokenTTL(time.Minute)
	fresh, err := r.client.Refresh(t.Context(), old)
	if err != nil {
		t.Fatal(err)
	}
	r.tokenSecrets(fresh)
	if fresh.AccessToken == old.AccessToken || fresh.RefreshToken == old.RefreshToken || fresh.RefreshToken == "" || fresh.IDToken == old.IDToken {
		t.Error("something of the old tokens is left")
	}
	if left := fresh.Expiry.Sub(r.now()); left > time.Minute || left < 50*time.Second {
		t.Errorf("expires in %s", left)
	}
	if old.AccessToken != before.AccessToken || old.RefreshToken != before.RefreshToken || old.IDToken != before.IDToken || !old.Expiry.Equal(before.Expiry) {
		t.Error("the argument was changed")
	}
	form := r.Requests(acptest.TokenEndpoint)[1].Form
	if form.Get("grant_type") != "refresh_token" || form.Get("refresh_token") != old.RefreshToken || form.Has("scope") || form.Has("code_verifier") {
		t.Errorf("form %v", form)
	}
}

// RF-06: what the answer leaves out is taken over.
func TestRefreshKeepsWhatIsLeftOut(t *testing.T) {
	r := newRig(t, &acptest.Options{NoRotation: true}, nil)
	old := r.login()
	r.brings(map[string]any{"id_token": nil, "scope": nil})
	fresh, err := r.client.Refresh(t.Context(), old)
	if err != nil {
		t.Fatal(err)
	}
	if fresh.RefreshToken != old.RefreshToken || fresh.IDToken != old.IDToken || !slices.Equal(fresh.Scopes, old.Scopes) {
		t.Errorf("refresh token kept: %t, ID token kept: %t, scopes %q", fresh.RefreshToken == old.RefreshToken, fresh.IDToken == old.IDToken, fresh.Scopes)
	}
	if _, err := r.client.Refresh(t.Context(), fresh); err != nil {
		t.Error(err)
	}
	r.brings(map[string]any{"refresh_token": ""})
	if fresh, err = r.client.Refresh(t.Context(), fresh); err != nil || fresh.RefreshToken != old.RefreshToken {
		t.Errorf("an empty refresh_token replaced the old one: %v", err)
	}
}

// RF-08, RF-13: one request, whatever comes, and no tokens out of a bad answer.
func TestRefreshAnswers(t *testing.T) {
	rows := []struct {
		name   string
		set    func(*rig)
		kind   error
		reason string
	}{
		{"RF-08 revoked", func(r *rig) { r.RevokeTokens() }, nil, "provider_error:invalid_grant"},
		{"RF-08 expired", func(r *rig) { r.advance(31 * 24 * time.Hour) }, nil, "provider_error:invalid_grant"},
		{"RL-30 500", answers(500, `{"error":"server_error"}`), acpclient.ErrUnavailable, "provider_error:server_error"},
		{"RL-30 429", answers(429, ``), acpclient.ErrUnavailable, "provider_error:invalid_response"},
		{"RL-30 401", answers(401, `{"error":"invalid_client"}`), nil, "provider_error:invalid_client"},
		{"RF-13 other token_type", func(r *rig) { r.brings(map[string]any{"token_type": "mac"}) }, acpclient.ErrInvalidResponse, "token_type"},
		{"RF-13 no token_type", func(r *rig) { r.brings(map[string]any{"token_type": nil}) }, acpclient.ErrInvalidResponse, "token_type"},
		{"RF-13 no access_token", func(r *rig) { r.brings(map[string]any{"access_token": nil}) }, acpclient.ErrInvalidResponse, "response_malformed"},
		{"RF-13 empty access_token", func(r *rig) { r.brings(map[string]any{"access_token": ""}) }, acpclient.ErrInvalidResponse, "response_malformed"},
		{"RF-13 ID token is a number", func(r *rig) { r.brings(map[string]any{"id_token": 7}) }, acpclient.ErrInvalidResponse, "id_token_missing"},
		{"RF-13 200 with an error", answers(200, `{"error":"invalid_grant"}`), nil, "provider_error:invalid_grant"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			tokens := r.login()
			row.set(r)
			fresh, err := r.client.Refresh(t.Context(), tokens)
			r.fails(err, row.kind, row.reason)
			if fresh != nil {
				t.Error("tokens beside the error")
			}
			r.asked(acptest.TokenEndpoint, 2)
		})
	}
}

func answers(status int, body string) func(*rig) {
	return func(r *rig) { r.Handle(acptest.TokenEndpoint, acptest.Answer(status, "application/json", body)) }
}

// RF-12: a new ID token is the same sign-in of the same user at the same server.
func TestRefreshedIDToken(t *testing.T) {
	claim := func(name string, value any) func(*rig) {
		return func(r *rig) {
			r.OnIDToken(func(_, claims map[string]any) {
				if claims[name] = value; value == nil {
					delete(claims, name)
				}
			})
		}
	}
	rows := []struct {
		name   string
		set    func(*rig)
		reason string // "" is a success
	}{
		{"RF-12 other issuer", claim("iss", "https://evil.example"), "issuer"},
		{"RF-12 other subject", claim("sub", "mallory"), "subject"},
		{"RF-12 subject in another case", claim("sub", "Alice"), "subject"},
		{"RF-12 no subject", claim("sub", nil), "subject"},
		{"RF-12 other audience", claim("aud", "other"), "audience"},
		{"RF-12 further audience", func(r *rig) {
			r.OnIDToken(func(_, c map[string]any) { c["aud"], c["azp"] = []string{r.ClientID, "other"}, r.ClientID })
		}, "audience"},
		{"RF-12 other nonce", claim("nonce", "another-nonce"), "nonce"},
		{"RF-12 nonce is a number", claim("nonce", 7), "nonce"},
		{"RF-12 other auth_time", claim("auth_time", 1_000_000_000), "auth_time"},
		{"RF-12 expired", claim("exp", 1_000_000_000), "expired"},
		{"RF-12 wrong at_hash", claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"), "at_hash"},
		{"RF-12 a logout token", claim("events", map[string]any{}), "token_use"},
		{"RF-12 key of another server", func(r *rig) {
			r.SetKey(acptest.NewKey("ES256"))
		}, "key_not_found"},
		{"RF-12 another key under the same id", func(r *rig) {
			r.SetKey(acptest.KeyFrom(r.Key().ID, "ES256", newSigner(r.t, "ES256")))
		}, "signature"},
		{"RF-12 unsigned", func(r *rig) {
			r.MintIDToken(func(header, claims map[string]any) string { return acptest.Unsigned(nil, claims) })
		}, "alg"},
		{"RF-12 without auth_time", claim("auth_time", nil), ""},
		{"a key that is new", func(r *rig) { r.RotateKey() }, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			tokens := r.login()
			row.set(r)
			fresh, err := r.client.Refresh(t.Context(), tokens)
			if row.reason == "" {
				if err != nil || fresh.IDToken == tokens.IDToken {
					t.Errorf("refused, or not taken: %v", err)
				}
				return
			}
			r.fails(err, acpclient.ErrInvalidToken, row.reason)
			if fresh != nil {
				t.Error("tokens beside the error")
			}
		})
	}
}

// RF-12: the nonce of the login is allowed.
func TestRefreshedNonce(t *testing.T) {
	r := newRig(t, nil, nil)
	flow, callback := r.callback(nil)
	tokens, err := r.client.Exchange(t.Context(), flow, callback)
	if err != nil {
		t.Fatal(err)
	}
	r.OnIDToken(func(_, claims map[string]any) { claims["nonce"] = flow.Nonce })
	if _, err := r.client.Refresh(t.Context(), tokens); err != nil {
		t.Error(err)
	}
}

// RF-13: a narrower scope is what the new tokens have.
func TestRefreshNarrowsScopes(t *testing.T) {
	r := newRig(t, nil, nil)
	tokens := r.login()
	r.brings(map[string]any{"scope": "openid"})
	fresh, err := r.client.Refresh(t.Context(), tokens)
	if err != nil || !slices.Equal(fresh.Scopes, []string{"openid"}) {
		t.Errorf("scopes %v, %v", fresh, err)
	}
}

func TestRefreshWithoutRefreshToken(t *testing.T) {
	r := newRig(t, nil, func(c *acpclient.Config) { c.Scopes = []string{"openid"} })
	tokens := r.login()
	if _, err := r.client.Refresh(t.Context(), tokens); err == nil || acpclient.Reason(err) != "" {
		t.Errorf("error %v", err)
	}
	r.asked(acptest.TokenEndpoint, 1)
}

// A refresh after a restart, with tokens that went through a store.
func TestRefreshStoredTokens(t *testing.T) {
	r := newRig(t, nil, nil)
	stored := throughJSON(r.login())
	if _, err := r.client.Refresh(t.Context(), &stored); err != nil {
		t.Error(err)
	}
}

func throughJSON[T any](v *T) T {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	var back T
	if err := json.Unmarshal(raw, &back); err != nil {
		panic(err)
	}
	return back
}

// RL-07, RF-12: the server has rotated the refresh token, and its keys cannot be fetched.
// The new tokens are kept, and the ID token of before; what the new one contradicts still refuses.
func TestRefreshWhileKeysAreDown(t *testing.T) {
	for _, row := range []struct {
		name   string
		claims map[string]any
		reason string
	}{
		{"a good ID token", nil, ""},
		{"RF-12 another subject", map[string]any{"sub": "mallory"}, "subject"},
		{"RF-12 another issuer", map[string]any{"iss": "https://evil.example"}, "issuer"},
		{"RF-12 another client", map[string]any{"aud": "other"}, "audience"},
		{"RF-12 another nonce", map[string]any{"nonce": "other"}, "nonce"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			old := r.login()
			r.RotateKey()
			r.Handle(acptest.JWKSEndpoint, acptest.Answer(503, "text/plain", ""))
			r.OnIDToken(func(_, claims map[string]any) { maps.Copy(claims, row.claims) })
			fresh, err := r.client.Refresh(t.Context(), old)
			if row.reason != "" {
				if acpclient.Reason(err) != row.reason {
					t.Errorf("%v, want %s", err, row.reason)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			r.tokenSecrets(fresh)
			if fresh.IDToken != old.IDToken || fresh.RefreshToken == old.RefreshToken || fresh.AccessToken == old.AccessToken {
				t.Error("not the new tokens with the ID token of before")
			}
			r.Handle(acptest.JWKSEndpoint, nil)
			r.advance(time.Minute)
			if again, err := r.client.Refresh(t.Context(), fresh); err != nil || again.IDToken == old.IDToken {
				t.Errorf("the next refresh: %v", err)
			}
		})
	}
}
