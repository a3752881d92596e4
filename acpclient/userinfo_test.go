package acpclient_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

func TestUserInfo(t *testing.T) {
	for name, signed := range map[string]bool{"JSON": false, "signed": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, &acptest.Options{Client: acptest.Client{SignedUserInfo: signed}}, func(c *acpclient.Config) {
				c.Scopes = []string{"openid", "profile"}
			})
			r.OnUserInfo(func(m map[string]any) { m["NAME"], m["Sub"] = "evil", "evil" }) // names are exact
			tokens := r.login()
			var user struct {
				Subject string `json:"sub"`
				Name    string `json:"name"`
			}
			if err := r.client.UserInfo(t.Context(), tokens, &user); err != nil {
				t.Fatal(err)
			}
			if user.Subject != "alice" || user.Name != "alice" {
				t.Errorf("%+v", user)
			}
			req := r.Requests(acptest.UserInfoEndpoint)[0] // TX-39
			if req.Method != http.MethodGet || len(req.Query) > 0 || len(req.Body) > 0 || req.Header.Get("Authorization") != "Bearer "+tokens.AccessToken {
				t.Errorf("%s with query %v and %d bytes", req.Method, req.Query, len(req.Body))
			}
		})
	}
}

func TestUserInfoAnswers(t *testing.T) {
	status := func(code int, kind, body string) func(*rig) {
		return func(r *rig) { r.Handle(acptest.UserInfoEndpoint, acptest.Answer(code, kind, body)) }
	}
	claim := func(name string, value any) func(*rig) {
		return func(r *rig) {
			r.OnUserInfo(func(m map[string]any) {
				if m[name] = value; value == nil {
					delete(m, name)
				}
			})
		}
	}
	jwt := func(make func(r *rig, claims map[string]any) string) func(*rig) {
		return func(r *rig) {
			r.OnResponse(acptest.UserInfoEndpoint, func(res *acptest.Response) {
				res.Header.Set("Content-Type", "application/jwt")
				res.Body = []byte(make(r, map[string]any{"sub": "alice", "iss": r.Issuer, "aud": r.ClientID}))
			})
		}
	}
	changed := func(name string, value any) func(*rig) {
		return jwt(func(r *rig, claims map[string]any) string {
			if claims[name] = value; value == nil {
				delete(claims, name)
			}
			return r.Sign(nil, claims)
		})
	}
	token, malformed := acpclient.ErrInvalidToken, acpclient.ErrInvalidResponse
	rows := []struct {
		name   string
		set    func(*rig)
		kind   error
		reason string
	}{
		{"TX-35 other sub", claim("sub", "mallory"), token, "subject"},
		{"TX-35 sub in another case", claim("sub", "Alice"), token, "subject"},
		{"TX-35 no sub", claim("sub", nil), token, "subject"},
		{"TX-35 empty sub", claim("sub", ""), token, "subject"},
		{"TX-35 sub is a number", claim("sub", 7), token, "subject"},
		{"TX-35 name in another case", status(200, "application/json", `{"SUB":"alice"}`), token, "subject"},
		{"TX-35 sub twice", status(200, "application/json", `{"sub":"mallory","sub":"alice"}`), malformed, "response_malformed"},
		{"TX-36 wrong iss", changed("iss", "https://evil.example"), token, "issuer"},
		{"TX-36 no iss", changed("iss", nil), token, "issuer"},
		{"TX-36 wrong aud", changed("aud", "other"), token, "audience"},
		{"TX-36 no aud", changed("aud", nil), token, "audience"},
		{"TX-36 expired", changed("exp", 1_000_000_000), token, "expired"},
		{"TX-36 exp is a word", changed("exp", "soon"), token, "token_malformed"},
		{"TX-36 not valid for a century", changed("nbf", int64(5_000_000_000)), token, "not_yet_valid"},
		{"TX-36 nbf beyond all dates", changed("nbf", 1e300), token, "token_malformed"},
		{"TX-36 from the future", changed("iat", int64(5_000_000_000)), token, "issued_at"},
		{"TX-36 an ID token", jwt(func(r *rig, c map[string]any) string { return r.IDToken(map[string]any{"nonce": "n"}) }), token, "token_use"},
		{"TX-36 an ID token by its at_hash", changed("at_hash", "x"), token, "token_use"},
		{"TX-36 a logout token", changed("events", map[string]any{}), token, "token_use"},
		{"TX-36 typ of a logout token", jwt(func(r *rig, c map[string]any) string { return r.Sign(map[string]any{"typ": "logout+jwt"}, c) }), token, "token_use"},
		{"TX-36 aud is a number", changed("aud", 1), token, "audience"},
		{"TX-36 crit", jwt(func(r *rig, c map[string]any) string { return r.Sign(map[string]any{"crit": []string{"x"}}, c) }), token, "token_malformed"},
		{"TX-36 claims twice", jwt(func(r *rig, c map[string]any) string {
			return r.Key().SignRaw(`{"alg":"ES256","kid":"`+r.Key().ID+`"}`, strings.Replace(text(c), "{", `{"sub":"mallory",`, 1))
		}), token, "token_malformed"},
		{"TX-36 other sub", changed("sub", "mallory"), token, "subject"},
		{"TX-36 alg none", jwt(func(_ *rig, c map[string]any) string { return acptest.Unsigned(nil, c) }), token, "alg"},
		{"TX-36 HS256 under the client secret", jwt(func(r *rig, c map[string]any) string { return acptest.SignHMAC([]byte(r.ClientSecret), nil, c) }), token, "alg"},
		{"TX-36 unexpected alg", jwt(func(_ *rig, c map[string]any) string { return acptest.NewKey("ES512").Sign(nil, c) }), token, "alg"},
		{"TX-36 foreign key", jwt(func(_ *rig, c map[string]any) string { return acptest.NewKey("ES256").Sign(nil, c) }), token, "key_not_found"},
		{"TX-36 typ of an access token", jwt(func(r *rig, c map[string]any) string { return r.Sign(map[string]any{"typ": "at+jwt"}, c) }), token, "token_use"},
		{"TX-36 a JWE", jwt(func(*rig, map[string]any) string { return "e30.YQ.YQ.YQ.YQ" }), token, "token_malformed"},
		{"TX-36 JSON declared as a JWT", status(200, "application/jwt", `{"sub":"alice"}`), token, "token_malformed"},
		{"TX-37 array", status(200, "application/json", `["alice"]`), malformed, "response_malformed"},
		{"TX-37 204", status(204, "", ""), malformed, "response_malformed"},
		{"TX-37 HTML", status(200, "text/html", `{"sub":"alice"}`), malformed, "response_malformed"},
		{"TX-37 no content type", status(200, "", `{"sub":"alice"}`), malformed, "response_malformed"},
		{"TX-37 2 MiB", status(200, "application/json", `{"sub":"alice","x":"`+strings.Repeat("x", 2<<20)+`"}`), malformed, "response_too_large"},
		{"a dead token", func(r *rig) { r.RevokeTokens() }, nil, "provider_error:invalid_access_token"},
		{"500", status(500, "text/html", "x"), acpclient.ErrUnavailable, "provider_error:invalid_response"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			tokens := r.login()
			row.set(r)
			var claims map[string]any
			err := r.client.UserInfo(t.Context(), tokens, &claims)
			r.fails(err, row.kind, row.reason)
			if claims != nil {
				t.Errorf("claims beside the error: %v", claims)
			}
			r.asked(acptest.UserInfoEndpoint, 1)
		})
	}
}

// What the server names for userinfo is what its signature is held against, and not what it names for
// ID tokens; where it names nothing the ID token's list holds.
func TestUserInfoAlgs(t *testing.T) {
	for _, row := range []struct {
		name         string
		userInfo, id any
		reason       string
	}{
		{"TX-36 not among its own", []string{"RS256"}, []string{"ES256"}, "alg"},
		{"among its own alone", []string{"PS256"}, []string{"ES256"}, ""},
		{"TX-36 not among the ID token's", nil, []string{"ES256"}, "alg"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, &acptest.Options{Client: acptest.Client{SignedUserInfo: true}}, nil)
			r.OnMetadata(func(m map[string]any) {
				member(m, "userinfo_signing_alg_values_supported", row.userInfo)
				member(m, "id_token_signing_alg_values_supported", row.id)
			})
			tokens := r.login()
			key := acptest.NewKey("PS256")
			r.AddKey(key)
			r.SetKey(key)
			err := r.client.UserInfo(t.Context(), tokens, new(any))
			if row.reason != "" {
				r.fails(err, acpclient.ErrInvalidToken, row.reason)
			} else if err != nil {
				t.Error(err)
			}
			if got := r.Requests(acptest.UserInfoEndpoint)[0].Header.Get("Accept"); got != "application/json, application/jwt" {
				t.Errorf("Accept: %q", got)
			}
		})
	}
}

// TX-38: the bearer token does not follow a redirect. TX-40: nor does anything follow a
// claim source.
func TestUserInfoStaysAtItsEndpoint(t *testing.T) {
	reached := false
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reached = true
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"sub":"alice"}`)
	}))
	defer evil.Close()
	r := newRig(t, nil, nil)
	tokens := r.login()
	for _, status := range []int{301, 302, 303, 307, 308} {
		r.Handle(acptest.UserInfoEndpoint, acptest.RedirectTo(status, evil.URL))
		r.fails(r.client.UserInfo(t.Context(), tokens, new(any)), acpclient.ErrInvalidResponse, "response_malformed")
	}
	r.Handle(acptest.UserInfoEndpoint, nil)
	r.OnUserInfo(func(m map[string]any) {
		m["_claim_names"] = map[string]any{"email": "src"}
		m["_claim_sources"] = map[string]any{"src": map[string]any{"endpoint": evil.URL, "access_token": "x"}}
	})
	var claims map[string]any
	if err := r.client.UserInfo(t.Context(), tokens, &claims); err != nil || claims["email"] != nil {
		t.Errorf("claims %v, %v", claims, err)
	}
	if reached {
		t.Error("the other server was reached")
	}
}

func TestUserInfoUnsupported(t *testing.T) {
	r := newRig(t, nil, nil)
	r.OnMetadata(func(m map[string]any) {
		for _, name := range []string{"userinfo_endpoint", "revocation_endpoint", "end_session_endpoint"} {
			delete(m, name)
		}
	})
	tokens := r.login()
	if err := r.client.UserInfo(t.Context(), tokens, new(any)); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("UserInfo: %v", err)
	}
	if err := r.client.Revoke(t.Context(), tokens); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Revoke: %v", err)
	}
	if u, err := r.client.LogoutURL(t.Context(), tokens, nil); !errors.Is(err, errors.ErrUnsupported) || u != "" {
		t.Errorf("LogoutURL: %q, %v", u, err)
	}
}
