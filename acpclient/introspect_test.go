package acpclient_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// newDesk is a lab whose tokens are opaque, and a Verifier that asks its server about them.
func newDesk(t *testing.T, edit func(*acpclient.VerifierConfig)) (*lab, *acpclient.Verifier) {
	t.Helper()
	l := newLab(t, acptest.Options{OpaqueTokens: true, RefreshTokens: true}, nil)
	return l, l.newInquirer(edit)
}

// newInquirer makes a Verifier with a registration of its own, "api".
func (l *lab) newInquirer(edit func(*acpclient.VerifierConfig)) *acpclient.Verifier {
	l.t.Helper()
	api := l.server.Register(acptest.Client{ID: "api", Secret: "api-" + canary})
	return l.newVerifier(func(c *acpclient.VerifierConfig) {
		c.Mode, c.ClientID, c.Auth = "introspection", api.ID, acpclient.Secret(api.Secret)
		if edit != nil {
			edit(c)
		}
	})
}

// unjudged stands in a table for "nothing is known of the token".
const unjudged = "introspection"

// wantVerdict fails the test unless err is what a table says: "" is a good token, unjudged
// an ErrUnavailable that nobody can take for anything else, the rest are refusals.
func (l *lab) wantVerdict(t *testing.T, token string, a *acpclient.AccessToken, err error, want string) {
	t.Helper()
	if (a == nil) == (err == nil) {
		t.Errorf("a token %v, and the error %v", a != nil, err)
	}
	if want != unjudged && want != timedOut && want != unavailable {
		wantInvalidToken(t, token, err, want)
		return
	}
	wantReason(t, err, want)
	if err == nil {
		return
	}
	for _, kind := range []error{acpclient.ErrInvalidToken, acpclient.ErrInvalidResponse, acpclient.ErrAccessDenied, acpclient.ErrInvalidCallback, acpclient.ErrClosed} {
		if errors.Is(err, kind) {
			t.Errorf("the error matches %q: %v", kind, err)
		}
	}
	if !errors.Is(err, acpclient.ErrUnavailable) {
		t.Errorf("not an ErrUnavailable: %v", err)
	}
	if _, ok := errors.AsType[*acpclient.Error](err); ok {
		t.Errorf("the answer's own error shows: %v", err)
	}
	if d := acpclient.RetryAfter(err); d <= 0 {
		t.Errorf("Retry-After %v", d)
	}
	for _, secret := range []string{token, canary} {
		if strings.Contains(err.Error(), secret) || len(err.Error()) > 1024 || strings.Contains(err.Error(), "\n") {
			t.Errorf("the error shows a secret, or is not one short line: %.300q", err)
		}
	}
}

// Each member of an introspection answer, right and wrong.
func TestIntrospectionAnswer(t *testing.T) {
	l, v := newDesk(t, nil)
	iss, aud := l.server.Issuer, l.server.Audience
	type members map[string]any // nil takes a member away
	for _, row := range []struct {
		name    string
		members members
		want    string
	}{
		{"ACP's own", nil, ""},

		{"BR-25 inactive", members{"active": false}, "inactive"},
		{"BR-26 active is a string", members{"active": "true"}, unjudged},
		{"BR-26 active is 1", members{"active": 1}, unjudged},
		{"BR-26 active is null", members{"active": raw("null")}, unjudged},
		{"BR-26 active is missing", members{"active": nil}, unjudged},
		{"BR-26 active is an array", members{"active": []bool{true}}, unjudged},
		{"BR-26 ACTIVE is another member", members{"active": false, "ACTIVE": true}, "inactive"},

		{"BR-17 a refresh token", members{"token_type": "refresh_token"}, "token_use"},
		{"BR-17 an ID token", members{"token_type": "id_token"}, "token_use"},
		{"Bearer", members{"token_type": "Bearer"}, ""},
		{"the URN", members{"token_type": "urn:ietf:params:oauth:token-type:access_token"}, ""},
		{"no token_type", members{"token_type": nil}, ""},
		{"token_type null", members{"token_type": raw("null")}, ""},
		{"BR-27 token_type mac", members{"token_type": "mac"}, "token_use"},
		{"BR-27 token_type empty", members{"token_type": ""}, "token_use"},
		{"BR-27 token_type a list", members{"token_type": []string{"access_token"}}, "token_use"},
		{"DP-01 token_type DPoP, unbound", members{"token_type": "DPoP"}, "token_use"},
		{"DP-01 token_type DPoP", members{"token_type": "DPoP", "cnf": members{"jkt": "x"}}, "bound"},
		{"DP-01 bound", members{"cnf": members{"jkt": "x"}}, "bound"},
		{"MT-02 cnf empty", members{"cnf": members{}}, "bound"},
		{"MT-02 cnf null", members{"cnf": raw("null")}, "bound"},

		{"BR-27 exp within the leeway", members{"exp": l.clock.unix(-29)}, ""},
		{"BR-27 exp past", members{"exp": l.clock.unix(-30)}, "expired"},
		{"BR-27 exp a string", members{"exp": "9999999999"}, "token_malformed"},
		{"BR-27 exp null", members{"exp": raw("null")}, "token_malformed"},
		{"BR-27 no exp", members{"exp": nil}, ""},
		{"BR-27 nbf at the leeway", members{"nbf": l.clock.unix(30)}, ""},
		{"BR-27 nbf future", members{"nbf": l.clock.unix(31)}, "not_yet_valid"},
		{"BR-27 iat future", members{"iat": l.clock.unix(31)}, "issued_at"},
		{"BR-27 iat a string", members{"iat": "1"}, "token_malformed"},
		{"BR-27 aud other", members{"aud": "https://other.example"}, "audience"},
		{"BR-27 aud only the client", members{"aud": []string{l.server.ClientID}}, "audience"},
		{"BR-27 no aud", members{"aud": nil}, "audience"},
		{"BR-27 aud a number", members{"aud": 7}, "audience"},
		{"BR-13 aud a string", members{"aud": aud}, ""},
		{"BR-13 aud a list", members{"aud": []string{"x", aud}}, ""},
		{"BR-13 a prefix", members{"aud": aud + "/x"}, "audience"},
		{"BR-27 iss other", members{"iss": "https://evil.example"}, "issuer"},
		{"BR-27 iss with a slash", members{"iss": iss + "/"}, "issuer"},
		{"BR-27 iss null", members{"iss": raw("null")}, "issuer"},
		{"no iss: the answer is the issuer's", members{"iss": nil}, ""},
		{"BR-27 no sub", members{"sub": nil}, "subject"},
		{"BR-27 sub a number", members{"sub": 7}, "subject"},
		{"ID-13 NUL inside sub", members{"sub": "ali\x00ce"}, "subject"},
		{"ID-13 sub of 256 bytes", members{"sub": strings.Repeat("a", 256)}, "subject"},
		{"BR-27 client_id a number", members{"client_id": 7}, "token_malformed"},
		{"BR-27 no client_id", members{"client_id": nil}, ""},
		{"BR-27 scope a number", members{"scope": 7}, "token_malformed"},
		{"BR-27 scope an object", members{"scope": members{"admin": true}}, "token_malformed"},
		{"BR-27 no scope", members{"scope": nil}, ""},
		{"BR-27 more scopes than anybody grants", members{"scope": strings.Repeat("a ", 1001)}, "token_malformed"},
		{"tenant_id a number", members{"tenant_id": 7}, "token_malformed"},
		{"acr a list", members{"acr": []string{"1"}}, "token_malformed"},
		{"amr a string", members{"amr": "pwd"}, "token_malformed"},
		{"auth_time a string", members{"auth_time": "now"}, "token_malformed"},
		{"ID-43 nonce", members{"nonce": "n"}, "token_use"},
		{"BR-17 events", members{"events": members{}}, "token_use"},
	} {
		t.Run(row.name, func(t *testing.T) {
			token := l.server.AccessToken(nil)
			l.server.OnIntrospection(func(m map[string]any) {
				maps.Copy(m, row.members)
				maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
			})
			defer l.server.OnIntrospection(nil)
			a, err := v.Verify(t.Context(), token)
			l.wantVerdict(t, token, a, err, row.want)
		})
	}
}

// DP-01: whoever compares the key by itself gets it, under either name of the token's type.
func TestIntrospectedConfirmation(t *testing.T) {
	l, v := newDesk(t, func(c *acpclient.VerifierConfig) { c.InsecureAcceptBound = true })
	for _, kind := range []string{"DPoP", "access_token"} {
		l.server.OnIntrospection(func(m map[string]any) { m["token_type"] = kind })
		a, err := v.Verify(t.Context(), l.server.AccessToken(map[string]any{"cnf": map[string]any{"jkt": "k"}}))
		if err != nil || a.Confirmation == nil || *a.Confirmation != (acpclient.Confirmation{JKT: "k"}) {
			t.Errorf("%s: %+v, %v", kind, a, err)
		}
	}
}

// What an answer says of a good token.
func TestIntrospectionTells(t *testing.T) {
	l, v := newDesk(t, nil)
	signedIn := l.clock.unix(-60)
	token := l.server.AccessToken(map[string]any{
		"scp": []string{"things.read", "things.write"}, "acr": "urn:acp:mfa", "amr": []string{"pwd", "otp"}, "auth_time": signedIn,
		"tid": "acme", "aid": "demo",
	})
	l.server.OnIntrospection(func(m map[string]any) { m["tid"], m["aid"], m["plan"] = "evil", 7, "gold" })
	a, err := v.Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if a.Issuer != l.server.Issuer || a.Subject != "alice" || a.ClientID != l.server.ClientID || !slices.Equal(a.Scopes, []string{"things.read", "things.write"}) ||
		a.Tenant != "acme" || a.Workspace != "demo" || a.ACR != "urn:acp:mfa" || !slices.Equal(a.AMR, []string{"pwd", "otp"}) ||
		a.AuthTime.Unix() != signedIn || !a.Expiry.Equal(l.clock.now().Add(time.Hour)) || a.Confirmation != nil {
		t.Errorf("%+v", a)
	}
	var own struct {
		Plan string `json:"plan"`
	}
	if err := a.Claims(&own); err != nil || own.Plan != "gold" {
		t.Errorf("%+v, %v", own, err)
	}
}

// BR-17: at ACP a refresh token introspects as active.
func TestIntrospectedRefreshToken(t *testing.T) {
	l, v := newDesk(t, func(c *acpclient.VerifierConfig) { c.IntrospectionTTL = new(time.Duration(0)) })
	worst := l.newInquirer(func(c *acpclient.VerifierConfig) { c.Audience = l.server.ClientID })
	tokens, err := l.login(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []*acpclient.Verifier{v, worst} {
		if _, err = v.Verify(t.Context(), tokens.AccessToken); err != nil {
			t.Error(err)
		}
		_, err = v.Verify(t.Context(), tokens.RefreshToken)
		wantInvalidToken(t, tokens.RefreshToken, err, "token_use")
	}
}

// BR-28, BR-36: an answer that is none says nothing of the token, and is not remembered.
func TestIntrospectionFails(t *testing.T) {
	var evilHits int
	for _, row := range []struct {
		name   string
		answer http.HandlerFunc
		want   string
	}{
		{"BR-28 401", acptest.Answer(401, "application/json", `{"error":"invalid_client"}`), unjudged},
		{"BR-28 401 invalid_token", acptest.Answer(401, "application/json", `{"error":"invalid_token"}`), unjudged},
		{"BR-28 403", acptest.Answer(403, "application/json", `{"error":"access_denied"}`), unjudged},
		{"BR-28 400", acptest.Answer(400, "application/json", `{"active":true,"error":"rejected"}`), unjudged},
		{"BR-28 404", acptest.Answer(404, "text/html", `<html>`), unjudged},
		{"BR-28 500", acptest.Answer(500, "application/json", `{"active":true}`), unjudged},
		{"BR-28 503 that echoes", func(w http.ResponseWriter, r *http.Request) {
			_, secret, _ := r.BasicAuth()
			acptest.Answer(503, "application/json", fmt.Sprintf(`{"error":%q,"cause":%q}`, secret, r.FormValue("token")))(w, r)
		}, unjudged},
		{"BR-28 429", acptest.Answer(429, "text/plain", ``), unjudged},
		{"BR-28 201", acptest.Answer(201, "application/json", `{"active":true}`), unjudged},
		{"BR-28 204", acptest.Answer(204, "application/json", ``), unjudged},
		{"BR-28 HTML", acptest.Answer(200, "text/html", `{"active":false}`), unjudged},
		{"BR-28 no content type", acptest.Answer(200, "", `{"active":false}`), unjudged},
		{"BR-28 a type that only looks like JSON", acptest.Answer(200, "application/jsonp", `{"active":false}`), unjudged},
		{"BR-28 empty", acptest.Answer(200, "application/json", ``), unjudged},
		{"BR-28 a list", acptest.Answer(200, "application/json", `[{"active":false}]`), unjudged},
		{"BR-28 half", acptest.Answer(200, "application/json", `{"active":false`), unjudged},
		{"BR-28 a member twice", acptest.Answer(200, "application/json", `{"active":false,"active":true}`), unjudged},
		{"BR-28 more behind", acptest.Answer(200, "application/json", `{"active":false}{"active":true}`), unjudged},
		{"BR-28 reset", acptest.Reset(), unavailable},
		{"BR-36 redirect", nil, unjudged},
		{"BR-36 2 MiB", acptest.Answer(200, "application/json", `{"active":false,"x":"`+strings.Repeat("a", 2<<20)+`"}`), unjudged},
		{"RL-19 endless", acptest.Endless("application/json", `{"active":false,`), unjudged},
		{"BR-37 signed, though it is not", acptest.Answer(200, "application/token-introspection+jwt", `{"active":false}`), unjudged},
	} {
		t.Run(row.name, func(t *testing.T) {
			l, v := newDesk(t, nil)
			token := l.server.AccessToken(nil)
			if row.answer == nil {
				l.server.Handle(acptest.OtherEndpoint, func(w http.ResponseWriter, r *http.Request) {
					evilHits++
					acptest.Answer(200, "application/json", `{"active":false}`)(w, r)
				})
				row.answer = acptest.RedirectTo(307, l.server.Issuer+"/elsewhere")
			}
			l.server.Handle(acptest.IntrospectEndpoint, row.answer)
			for n := 1; n <= 2; n++ {
				a, err := v.Verify(t.Context(), token)
				l.wantVerdict(t, token, a, err, row.want)
				if got := l.count(acptest.IntrospectEndpoint); got != n {
					t.Errorf("%d introspections, want %d: something was remembered, or tried again", got, n)
				}
			}
			l.server.Handle(acptest.IntrospectEndpoint, nil)
			if _, err := v.Verify(t.Context(), token); err != nil {
				t.Errorf("once the server is well again: %v", err)
			}
		})
	}
	if evilHits != 0 {
		t.Errorf("BR-36: a redirect was followed")
	}
}

// BR-36: a cookie of the answer is not brought back.
func TestIntrospectionIgnoresCookies(t *testing.T) {
	l, v := newDesk(t, nil)
	l.server.OnResponse(acptest.IntrospectEndpoint, func(r *acptest.Response) { r.Header.Set("Set-Cookie", "a=b") })
	for range 2 {
		if _, err := v.Verify(t.Context(), l.server.AccessToken(nil)); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range l.server.Requests(acptest.IntrospectEndpoint) {
		if r.Header.Get("Cookie") != "" {
			t.Error("a cookie was sent")
		}
	}
}

// BR-24: without metadata, or without the endpoint in it, nothing is known of a token.
func TestIntrospectionWithoutEndpoint(t *testing.T) {
	for name, row := range map[string]struct {
		spoil func(*acptest.Server)
		want  string
	}{
		"BR-24 no endpoint":      {func(s *acptest.Server) { s.OnMetadata(func(m map[string]any) { delete(m, "introspection_endpoint") }) }, unjudged},
		"BR-24 another issuer's": {func(s *acptest.Server) { s.OnMetadata(func(m map[string]any) { m["issuer"] = "https://evil.example" }) }, unjudged},
		"BR-24 404":              {func(s *acptest.Server) { s.Handle(acptest.MetadataEndpoint, acptest.Answer(404, "", "")) }, unjudged},
		"BR-24 503":              {func(s *acptest.Server) { s.Handle(acptest.MetadataEndpoint, acptest.Answer(503, "", "")) }, unjudged},
		"BR-24 unreachable":      {func(s *acptest.Server) { s.SetUnreachable(true) }, unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			l, v := newDesk(t, nil)
			auto := l.newInquirer(func(c *acpclient.VerifierConfig) { c.Mode = "auto" })
			row.spoil(l.server)
			token := l.server.AccessToken(nil)
			for _, v := range []*acpclient.Verifier{v, auto} {
				a, err := v.Verify(t.Context(), token)
				l.wantVerdict(t, token, a, err, row.want)
				if err := v.Ready(t.Context()); err == nil {
					t.Error("and Ready finds nothing wrong")
				}
			}
		})
	}
}

// How the API proves itself, and what else the request holds. acptest judges each of them.
func TestIntrospectionRequest(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		api  acptest.Client
		auth func(acptest.Client) acpclient.ClientAuth
		form []string
	}{
		{"client_secret_basic", acptest.Client{}, func(c acptest.Client) acpclient.ClientAuth { return acpclient.Secret(c.Secret) }, []string{"token"}},
		{"client_secret_post", acptest.Client{AuthMethod: acptest.AuthPost}, func(c acptest.Client) acpclient.ClientAuth { return acpclient.SecretPost(c.Secret) }, []string{"client_id", "client_secret", "token"}},
		{"post, by the endpoint's own metadata", acptest.Client{AuthMethod: acptest.AuthPost}, func(c acptest.Client) acpclient.ClientAuth { return acpclient.Secret(c.Secret) }, []string{"client_id", "client_secret", "token"}},
		{"private_key_jwt", acptest.Client{Key: key.Public()}, func(acptest.Client) acpclient.ClientAuth { return acpclient.PrivateKeyJWT{Key: key} }, []string{"client_assertion", "client_assertion_type", "client_id", "token"}},
		{"client_secret_jwt", acptest.Client{AuthMethod: acptest.AuthSecretJWT}, func(c acptest.Client) acpclient.ClientAuth { return acpclient.SecretJWT{Secret: c.Secret} }, []string{"client_assertion", "client_assertion_type", "client_id", "token"}},
		{"a bearer of its own", acptest.Client{}, nil, []string{"token"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := newLab(t, acptest.Options{OpaqueTokens: true}, nil)
			row.api.ID = "api"
			api := l.server.Register(row.api)
			if strings.HasPrefix(row.name, "post, by") {
				l.server.OnMetadata(func(m map[string]any) {
					m["introspection_endpoint_auth_methods_supported"] = []string{"client_secret_post"}
				})
			}
			own := l.server.AccessToken(nil)
			v := l.newVerifier(func(c *acpclient.VerifierConfig) {
				c.Mode, c.ClientID = "introspection", api.ID
				if row.auth != nil {
					c.Auth = row.auth(api)
				} else {
					c.ClientID, c.Introspector = "", oauth2.StaticTokenSource(&oauth2.Token{AccessToken: own})
				}
			})
			token := l.server.AccessToken(nil)
			if a, err := v.Verify(t.Context(), token); err != nil || a.Subject != "alice" {
				t.Fatalf("%+v, %v", a, err)
			}
			r := l.server.Requests(acptest.IntrospectEndpoint)[0]
			if got := slices.Sorted(maps.Keys(r.Form)); !slices.Equal(got, row.form) || r.Form.Get("token") != token || len(r.Query) != 0 {
				t.Errorf("the form has %q, the query %v", got, r.Query)
			}
			if got := r.Header["Sso-Session-Extend"]; !slices.Equal(got, []string{"false"}) {
				t.Errorf("SSO-Session-Extend: %q", got)
			}
			if got := r.Header.Get("Accept"); got != "application/json" {
				t.Errorf("Accept: %q", got)
			}
			if row.auth == nil && r.Header.Get("Authorization") != "Bearer "+own {
				t.Error("its own token was not sent")
			}
		})
	}
}

// What the Introspector may do wrong: nothing is then known of the token, and no secret shows.
func TestIntrospector(t *testing.T) {
	for name, row := range map[string]struct {
		source func() (*oauth2.Token, error)
		want   string
	}{
		"an error":        {func() (*oauth2.Token, error) { return nil, errors.New("no such client") }, unjudged},
		"nothing":         {func() (*oauth2.Token, error) { return nil, nil }, unjudged},
		"an empty token":  {func() (*oauth2.Token, error) { return &oauth2.Token{}, nil }, unjudged},
		"a line break":    {func() (*oauth2.Token, error) { return &oauth2.Token{AccessToken: "a\r\nX: y"}, nil }, unjudged},
		"an unknown one":  {func() (*oauth2.Token, error) { return &oauth2.Token{AccessToken: canary}, nil }, unjudged},
		"ErrClosed":       {func() (*oauth2.Token, error) { return nil, acpclient.ErrClosed }, unjudged},
		"ErrInvalidToken": {func() (*oauth2.Token, error) { return nil, acpclient.ErrInvalidToken }, unjudged},
		"LG-04 the token endpoint's whole answer": {func() (*oauth2.Token, error) {
			return nil, &oauth2.RetrieveError{Response: &http.Response{StatusCode: 401}, Body: []byte(canary), ErrorCode: "invalid_client", ErrorDescription: canary}
		}, unjudged},
		"a panic":          {func() (*oauth2.Token, error) { panic(canary) }, unavailable},
		"a panic of Go's":  {func() (*oauth2.Token, error) { var t *oauth2.Token; return nil, errors.New(t.AccessToken) }, unavailable},
		"a nil interface":  {func() (*oauth2.Token, error) { var s oauth2.TokenSource; return s.Token() }, unavailable},
		"a panic with nil": {func() (*oauth2.Token, error) { panic(nil) }, unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, acptest.Options{OpaqueTokens: true}, nil)
			v := l.newVerifier(func(c *acpclient.VerifierConfig) { c.Mode, c.Introspector = "introspection", tokenSource(row.source) })
			token := l.server.AccessToken(nil)
			a, err := v.Verify(t.Context(), token)
			l.wantVerdict(t, token, a, err, row.want)
		})
	}
}

type tokenSource func() (*oauth2.Token, error)

func (f tokenSource) Token() (*oauth2.Token, error) { return f() }

// BR-37: a signed answer (RFC 9701) is the server's own, for this API, and of now.
func TestSignedIntrospection(t *testing.T) {
	l, v := newDesk(t, nil)
	narrow := l.newInquirer(func(c *acpclient.VerifierConfig) { c.Algs = []string{"RS256"} })
	l.server.OnMetadata(func(m map[string]any) { m["introspection_signing_alg_values_supported"] = []string{"ES256"} })
	other := acptest.NewKey("ES256")
	const typ = "token-introspection+jwt"
	type members map[string]any
	for _, row := range []struct {
		name           string
		header, claims members
		sign           func(header, claims map[string]any) string // nil is the server's own key
		want           string
	}{
		{"the server's own", nil, nil, nil, ""},
		{"typ in full, and in capitals", members{"typ": "Application/Token-Introspection+JWT"}, nil, nil, ""},
		{"aud a list", nil, members{"aud": []string{"other", "api"}}, nil, ""},
		{"iat a minute and the leeway old", nil, members{"iat": l.clock.unix(-90)}, nil, ""},
		{"inactive", nil, members{"token_introspection": members{"active": false}}, nil, "inactive"},
		{"BR-37 typ JWT", members{"typ": "JWT"}, nil, nil, unjudged},
		{"BR-37 typ at+jwt", members{"typ": "at+jwt"}, nil, nil, unjudged},
		{"BR-37 no typ", members{"typ": nil}, nil, nil, unjudged},
		{"BR-37 aud other", nil, members{"aud": "other"}, nil, unjudged},
		{"BR-37 aud the token's", nil, members{"aud": l.server.Audience}, nil, unjudged},
		{"BR-37 no aud", nil, members{"aud": nil}, nil, unjudged},
		{"BR-37 iss other", nil, members{"iss": "https://evil.example"}, nil, unjudged},
		{"BR-37 no iss", nil, members{"iss": nil}, nil, unjudged},
		{"BR-37 iat too old", nil, members{"iat": l.clock.unix(-91)}, nil, unjudged},
		{"BR-37 iat at the leeway", nil, members{"iat": l.clock.unix(30)}, nil, ""},
		{"BR-37 iat future", nil, members{"iat": l.clock.unix(31)}, nil, unjudged},
		{"BR-37 no iat", nil, members{"iat": nil}, nil, unjudged},
		{"BR-37 iat a string", nil, members{"iat": "1"}, nil, unjudged},
		{"BR-37 unsigned", nil, nil, acptest.Unsigned, unjudged},
		{"BR-37 HMAC", nil, nil, func(h, c map[string]any) string { h["alg"] = "HS256"; return acptest.SignHMAC([]byte("api"), h, c) }, unjudged},
		{"BR-37 another's key", nil, nil, other.Sign, unjudged},
		{"BR-37 another's key under the server's id", members{"kid": l.server.Key().ID}, nil, other.Sign, unjudged},
		{"BR-37 no token_introspection", nil, members{"token_introspection": nil, "active": true}, nil, unjudged},
		{"BR-37 token_introspection a string", nil, members{"token_introspection": `{"active":true}`}, nil, unjudged},
		{"BR-37 token_introspection empty", nil, members{"token_introspection": members{}}, nil, unjudged},
		{"BR-37 crit", members{"crit": []string{"x"}}, nil, nil, unjudged},
		{"BR-17 a refresh token inside", nil, members{"token_introspection": members{"active": true, "token_type": "refresh_token"}}, nil, "token_use"},
	} {
		t.Run(row.name, func(t *testing.T) {
			token := l.server.AccessToken(nil)
			l.server.OnResponse(acptest.IntrospectEndpoint, func(r *acptest.Response) {
				header := map[string]any{"typ": typ}
				claims := map[string]any{"iss": l.server.Issuer, "aud": "api", "iat": l.clock.unix(0), "token_introspection": r.JSON()}
				maps.Copy(header, row.header)
				maps.Copy(claims, row.claims)
				maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
				sign := row.sign
				if sign == nil {
					sign = l.server.Sign
				}
				r.Header.Set("Content-Type", "application/token-introspection+jwt; charset=us-ascii")
				r.Body = []byte(sign(header, claims))
			})
			a, err := v.Verify(t.Context(), token)
			l.wantVerdict(t, token, a, err, row.want)
			a, err = narrow.Verify(t.Context(), token)
			l.wantVerdict(t, token, a, err, unjudged) // ES256 is not among its Algs
		})
	}
	if got := l.server.Requests(acptest.IntrospectEndpoint)[0].Header.Get("Accept"); got != "application/token-introspection+jwt, application/json" {
		t.Errorf("Accept: %q", got)
	}
	// RFC 9701 asks no server to sign, and such an answer is no access token.
	l.server.OnResponse(acptest.IntrospectEndpoint, nil)
	if _, err := v.Verify(t.Context(), l.server.AccessToken(nil)); err != nil {
		t.Error(err)
	}
	answer := l.server.Sign(map[string]any{"typ": typ}, map[string]any{"iss": l.server.Issuer, "aud": l.server.Audience, "sub": "alice", "exp": l.clock.unix(60)})
	_, err := l.newVerifier(nil).Verify(t.Context(), answer)
	wantInvalidToken(t, answer, err, "token_use")
}

// BR-37, BR-24: where the keys cannot be fetched, a signed answer cannot be judged.
func TestSignedIntrospectionWithoutKeys(t *testing.T) {
	l, v := newDesk(t, nil)
	l.server.Handle(acptest.JWKSEndpoint, acptest.Answer(503, "", ""))
	l.server.OnResponse(acptest.IntrospectEndpoint, func(r *acptest.Response) {
		r.Header.Set("Content-Type", "application/token-introspection+jwt")
		r.Body = []byte(l.server.Sign(map[string]any{"typ": "token-introspection+jwt"}, map[string]any{"iss": l.server.Issuer}))
	})
	token := l.server.AccessToken(nil)
	a, err := v.Verify(t.Context(), token)
	l.wantVerdict(t, token, a, err, unavailable)
}

// BR-10: what cannot stand in the header is refused without a question.
func TestIntrospectionOfGarbage(t *testing.T) {
	l, v := newDesk(t, nil)
	for name, token := range map[string]string{
		"BR-10 empty": "", "BR-10 a space": "a b", "BR-10 a line break": "a\n", "BR-10 NUL": "a\x00", "BR-10 not ASCII": "é",
		"BR-10 a comma": "a,b", "BR-10 a quote": `a"b`, "BR-10 only padding": "==", "BR-10 padding inside": "a=b", "BR-10 a form": "a&token=b",
		"BR-10 a percent": "%41", "BR-10 long": strings.Repeat("a", 16<<10+1),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := v.Verify(t.Context(), token)
			wantInvalidToken(t, token, err, "token_malformed")
		})
	}
	if n := l.count(acptest.IntrospectEndpoint); n != 0 {
		t.Errorf("%d questions", n)
	}
	for _, token := range []string{"a", "a==", "-._~+/0Az=", strings.Repeat("a", 16<<10)} {
		_, err := v.Verify(t.Context(), token)
		wantInvalidToken(t, token, err, "inactive")
	}
}
