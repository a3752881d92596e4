package acpclient_test

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

var profileCNF = map[string]any{"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}

// newBoundAPI is a Verifier under a profile, which lets its caller look for the key.
func newBoundAPI(t *testing.T, o acptest.Options, edit func(*acpclient.VerifierConfig)) (*lab, *acpclient.Verifier) {
	t.Helper()
	o.TLS = true
	l := newLab(t, o, nil)
	return l, l.newVerifier(func(c *acpclient.VerifierConfig) {
		c.RootCAs, c.Profile, c.InsecureAcceptBound = l.server.RootCAs(), acpclient.FAPI2Security, true
		if edit != nil {
			edit(c)
		}
	})
}

func TestFAPIAccessTokens(t *testing.T) {
	rsa := acptest.NewKey("RS256")
	rows := []struct {
		name   string
		claims map[string]any
		mint   func(l *lab, header, claims map[string]any) string
		want   string
	}{
		{"bound to a certificate", map[string]any{"cnf": profileCNF}, nil, ""},
		{"bound to a key", map[string]any{"cnf": map[string]any{"jkt": profileCNF["x5t#S256"]}}, nil, ""},
		{"MT-02 bound to nothing", nil, nil, "unbound"},
		{"MT-02 cnf is null", map[string]any{"cnf": json.RawMessage("null")}, nil, "bound"},
		{"MT-02 cnf is empty", map[string]any{"cnf": map[string]any{}}, nil, "bound"},
		{"MT-02 bound to a key of another kind", map[string]any{"cnf": map[string]any{"kid": "x"}}, nil, "bound"},
		{"MT-02 bound to an empty certificate", map[string]any{"cnf": map[string]any{"x5t#S256": ""}}, nil, "bound"},
		{"RS256", map[string]any{"cnf": profileCNF}, func(_ *lab, _, claims map[string]any) string { return rsa.Sign(nil, claims) }, "alg"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			l, v := newBoundAPI(t, acptest.Options{}, nil)
			l.server.AddKey(rsa)
			if row.mint != nil {
				l.server.MintAccessToken(func(header, claims map[string]any) string { return row.mint(l, header, claims) })
			}
			token := l.server.AccessToken(row.claims)
			for range 2 { // the second one may come out of the memory
				_, err := v.Verify(t.Context(), token)
				wantInvalidToken(t, token, err, row.want)
			}
		})
	}
	t.Run("the caller did not ask for the key", func(t *testing.T) {
		l, v := newBoundAPI(t, acptest.Options{}, func(c *acpclient.VerifierConfig) { c.InsecureAcceptBound = false })
		token := l.server.AccessToken(map[string]any{"cnf": profileCNF})
		_, err := v.Verify(t.Context(), token)
		wantInvalidToken(t, token, err, "bound")
	})
}

// The server's word on a token is held against the same demands; under message signing it is
// signed, or it is none.
func TestFAPIIntrospection(t *testing.T) {
	key := acptest.NewKey("ES256")
	rows := []struct {
		name    string
		profile acpclient.Profile
		cnf     any
		named   bool // that the server signs
		signs   bool
		want    string
	}{
		{"bound", acpclient.FAPI2Security, profileCNF, false, false, ""},
		{"MT-02 unbound", acpclient.FAPI2Security, nil, false, false, "unbound"},
		{"BR-37 signed", acpclient.FAPI2MessageSigning, profileCNF, true, true, ""},
		{"MT-02 signed, unbound", acpclient.FAPI2MessageSigning, nil, true, true, "unbound"},
		{"BR-37 not signed", acpclient.FAPI2MessageSigning, profileCNF, true, false, unjudged},
		{"BR-37 the server does not sign", acpclient.FAPI2MessageSigning, profileCNF, false, false, unjudged},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			l, v := newBoundAPI(t, acptest.Options{OpaqueTokens: true, Clients: []acptest.Client{{ID: "api", Key: key.Public()}}}, func(c *acpclient.VerifierConfig) {
				c.Profile, c.Mode, c.ClientID, c.Auth = row.profile, "introspection", "api", acpclient.PrivateKeyJWT{Key: key.Signer()}
			})
			l.server.OnMetadata(func(m map[string]any) {
				if row.named {
					m["introspection_signing_alg_values_supported"] = []string{"ES256"}
				}
			})
			l.server.OnResponse(acptest.IntrospectEndpoint, func(r *acptest.Response) {
				if !row.signs {
					return
				}
				r.Header.Set("Content-Type", "application/token-introspection+jwt")
				r.Body = []byte(l.server.Sign(map[string]any{"typ": "token-introspection+jwt"}, map[string]any{
					"iss": l.server.Issuer, "aud": "api", "iat": l.clock.unix(0), "token_introspection": r.JSON(),
				}))
			})
			err := v.Ready(t.Context())
			if lacks := row.profile == acpclient.FAPI2MessageSigning && !row.named; lacks != (err != nil) {
				t.Errorf("Ready: %v", err)
			}
			token := l.server.AccessToken(map[string]any{"cnf": row.cnf})
			a, err := v.Verify(t.Context(), token)
			l.wantVerdict(t, token, a, err, row.want)
			if want := 1; row.want == unjudged && !row.named {
				want = 0
				if got := l.count(acptest.IntrospectEndpoint); got != want {
					t.Errorf("%d questions", got)
				}
			}
		})
	}
}

func TestFAPIVerifierContradictions(t *testing.T) {
	key, rsa := acptest.NewKey("ES256").Signer(), acptest.NewKey("RS256").Signer()
	rows := []struct {
		name  string
		edit  func(*acpclient.VerifierConfig)
		names string
	}{
		{"CF-07 no such profile", func(c *acpclient.VerifierConfig) { c.Profile = "fapi1" }, "Profile"},
		{"CF-07 http", func(c *acpclient.VerifierConfig) { c.Issuer = "http://127.0.0.1:1" }, "Issuer: must be https"},
		{"CF-07 weak algorithm", func(c *acpclient.VerifierConfig) { c.Algs = []string{"PS256", "RS256"} }, "Algs: RS256"},
		{"CF-07 secret", func(c *acpclient.VerifierConfig) { c.Auth = acpclient.Secret("s3cret-canary") }, "Auth: must be"},
		{"CF-07 weak assertions", func(c *acpclient.VerifierConfig) {
			c.Auth = acpclient.PrivateKeyJWT{Key: rsa, Alg: "RS256"}
		}, "Auth: RS256"},
		{"CF-07 another audience", func(c *acpclient.VerifierConfig) {
			c.Auth = acpclient.PrivateKeyJWT{Key: key, Audience: "https://as.example/introspect"}
		}, "Audience"},
		{"CF-07 no verification", func(c *acpclient.VerifierConfig) { c.Transport = careless() }, "Transport: verifies no certificate"},
		{"CF-07 old TLS", func(c *acpclient.VerifierConfig) { c.Transport = old() }, "Transport: takes TLS before 1.2"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			config := acpclient.VerifierConfig{Issuer: "https://as.example", Audience: "https://api.example", Mode: "auto", ClientID: "api",
				Auth: acpclient.PrivateKeyJWT{Key: key}, Profile: acpclient.FAPI2Security}
			if v, err := acpclient.NewVerifier(config); err != nil {
				t.Fatal(err)
			} else if err := v.Close(t.Context()); err != nil {
				t.Error(err)
			}
			row.edit(&config)
			_, err := acpclient.NewVerifier(config)
			if err == nil || !strings.Contains(err.Error(), row.names) || strings.Contains(err.Error(), "canary") {
				t.Errorf("%v, want %q", err, row.names)
			}
		})
	}
}

func careless() http.RoundTripper {
	return &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
}

func old() http.RoundTripper {
	return &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS10}}
}
