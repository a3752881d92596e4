package acpclient_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// Every demand that the server does not meet is named in one error, before anything is sent.
func TestFAPIServerLacks(t *testing.T) {
	rows := []struct {
		name     string
		profile  acpclient.Profile
		member   string
		value    any // nil takes it away
		says     string
		tolerate bool // met all the same
	}{
		{"AZ-30 no PAR", acpclient.FAPI2Security, "pushed_authorization_request_endpoint", nil, "no pushed_authorization_request_endpoint", false},
		{"CB-20 no iss", acpclient.FAPI2Security, "authorization_response_iss_parameter_supported", false, "authorization_response_iss_parameter_supported", false},
		{"CB-20 silent on iss", acpclient.FAPI2Security, "authorization_response_iss_parameter_supported", nil, "authorization_response_iss_parameter_supported", false},
		{"CB-39 iss is in the signed response", acpclient.FAPI2MessageSigning, "authorization_response_iss_parameter_supported", nil, "", true},
		{"AZ-33 plain alone", acpclient.FAPI2Security, "code_challenge_methods_supported", []string{"plain"}, "code_challenge_methods_supported", false},
		{"AZ-33 silent on PKCE", acpclient.FAPI2Security, "code_challenge_methods_supported", nil, "code_challenge_methods_supported", false},
		{"AZ-33 no list", acpclient.FAPI2Security, "code_challenge_methods_supported", "S256", "", false},
		{"TX-28 secrets alone", acpclient.FAPI2Security, "token_endpoint_auth_methods_supported", []string{"client_secret_basic"}, "tls_client_auth", false},
		{"TX-28 silent on authentication", acpclient.FAPI2Security, "token_endpoint_auth_methods_supported", nil, "tls_client_auth", false},
		{"CF-07 unbound tokens", acpclient.FAPI2Security, "tls_client_certificate_bound_access_tokens", nil, "tls_client_certificate_bound_access_tokens", false},
		{"ID-04 weak algorithms", acpclient.FAPI2Security, "id_token_signing_alg_values_supported", []string{"RS256", "ES512"}, "id_token_signing_alg_values_supported", false},
		{"ID-04 one is enough", acpclient.FAPI2Security, "id_token_signing_alg_values_supported", []string{"RS256", "ES256"}, "", true},
		{"CB-38 no signed responses", acpclient.FAPI2MessageSigning, "response_modes_supported", []string{"query", "form_post"}, "response_modes_supported does not name jwt", false},
		{"CB-38 signed weakly", acpclient.FAPI2MessageSigning, "authorization_signing_alg_values_supported", []string{"RS256"}, "authorization_signing_alg_values_supported", false},
		{"AZ-16 no signed requests", acpclient.FAPI2MessageSigning, "request_object_signing_alg_values_supported", []string{"RS256"}, "RequestObject", false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := newFAPI(t, row.profile, nil, func(m map[string]any) {
				member(m, row.member, row.value)
				delete(m["mtls_endpoint_aliases"].(map[string]any), row.member)
			})
			err := r.client.Ready(t.Context())
			if row.tolerate {
				if err != nil {
					t.Error("Ready:", err)
				}
				return
			}
			r.fails(err, acpclient.ErrInvalidResponse, "metadata")
			if err != nil && !strings.Contains(err.Error(), row.says) {
				t.Errorf("%v does not name %s", err, row.says)
			}
			address, flow, err := r.client.Authorize(t.Context(), nil)
			if address != "" || flow != nil {
				t.Errorf("Authorize = %q, %v", address, flow)
			}
			r.fails(err, acpclient.ErrInvalidResponse, "metadata")
			r.asked(acptest.PAREndpoint, 0)
		})
	}
	for name, value := range map[string][]string{
		"token_endpoint_auth_methods_supported": {"tls_client_auth"}, "token_endpoint_auth_signing_alg_values_supported": {"RS256"},
		"dpop_signing_alg_values_supported": {"RS256", "ES384"},
	} {
		t.Run("CF-07 dpop, "+name, func(t *testing.T) {
			r := newFAPIBound(t, acpclient.FAPI2Security, byDPoP, nil, func(m map[string]any) {
				delete(m, "tls_client_certificate_bound_access_tokens")
				m[name] = value
			})
			err := r.client.Ready(t.Context())
			r.fails(err, acpclient.ErrInvalidResponse, "metadata")
			if err != nil && (!strings.Contains(err.Error(), name) || strings.Contains(err.Error(), ";")) {
				t.Errorf("%v does not name %s alone", err, name)
			}
		})
	}
	t.Run("all at once", func(t *testing.T) {
		r := newFAPI(t, acpclient.FAPI2Security, nil, func(m map[string]any) {
			for _, name := range []string{"pushed_authorization_request_endpoint", "authorization_response_iss_parameter_supported",
				"code_challenge_methods_supported", "tls_client_certificate_bound_access_tokens"} {
				delete(m, name)
			}
			m["mtls_endpoint_aliases"] = map[string]any{}
		})
		err := r.client.Ready(t.Context())
		r.fails(err, acpclient.ErrInvalidResponse, "metadata")
		for _, want := range []string{"fapi2-security", "pushed_authorization", "iss_parameter", "S256", "certificate_bound"} {
			if err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%v does not name %s", err, want)
			}
		}
	})
}

// Every setting that contradicts the profile is a mistake that New reports.
func TestFAPIContradictions(t *testing.T) {
	own, ec, rsa := clientCertificate(t, "app", nil), acptest.NewKey("ES256").Signer(), acptest.NewKey("RS256").Signer()
	es384 := acptest.NewKey("ES384").Signer()
	good := func(profile acpclient.Profile) acpclient.Config {
		return acpclient.Config{
			Issuer: "https://as.example/acme/demo", ClientID: "app", RedirectURL: redirectURL, Profile: profile,
			Auth: acpclient.MutualTLS{Certificate: *own}, RequestObject: &acpclient.RequestObject{Key: ec},
		}
	}
	rows := []struct {
		name  string
		edit  func(*acpclient.Config)
		names string
	}{
		{"CF-07 no such profile", func(c *acpclient.Config) { c.Profile = "fapi3" }, `Profile: "fapi3"`},
		{"CF-07 another case", func(c *acpclient.Config) { c.Profile = "FAPI2-Security" }, "Profile"},
		{"CF-07 http", func(c *acpclient.Config) { c.Issuer = "http://127.0.0.1:8080" }, "Issuer: must be https"},
		{"AZ-12 http redirect", func(c *acpclient.Config) { c.RedirectURL = "http://127.0.0.1:8080/cb" }, "RedirectURL: must be there, and https"},
		{"AZ-12 no redirect", func(c *acpclient.Config) { c.RedirectURL = "" }, "RedirectURL: must be there, and https"},
		{"TX-29 public client", func(c *acpclient.Config) { c.Auth = nil }, "Auth: is nil"},
		{"TX-30 secret", func(c *acpclient.Config) { c.Auth = acpclient.Secret("s3cret-canary") }, "Auth: must be PrivateKeyJWT or MutualTLS"},
		{"TX-30 secret in an assertion", func(c *acpclient.Config) {
			c.Auth = acpclient.SecretJWT{Secret: "s3cret-canary s3cret-canary s3cret-canary"}
		}, "Auth: must be PrivateKeyJWT or MutualTLS"},
		{"TX-30 RS256", func(c *acpclient.Config) { c.Auth = acpclient.PrivateKeyJWT{Key: rsa, Alg: "RS256"} }, "Auth: RS256"},
		{"TX-30 PS512", func(c *acpclient.Config) { c.Auth = &acpclient.PrivateKeyJWT{Key: rsa, Alg: "PS512"} }, "Auth: PS512"},
		{"TX-30 ES384", func(c *acpclient.Config) { c.Auth = acpclient.PrivateKeyJWT{Key: es384} }, "Auth: ES384"},
		{"TX-43 the token endpoint as audience", func(c *acpclient.Config) {
			c.Auth = acpclient.PrivateKeyJWT{Key: ec, Audience: "https://as.example/acme/demo/oauth2/token"}
		}, "PrivateKeyJWT.Audience"},
		{"TX-30 the issuer, with a slash", func(c *acpclient.Config) {
			c.Auth = acpclient.PrivateKeyJWT{Key: ec, Audience: "https://as.example/acme/demo/"}
		}, "PrivateKeyJWT.Audience"},
		{"CF-07 tokens bound to nothing", func(c *acpclient.Config) { c.Auth = acpclient.PrivateKeyJWT{Key: ec} }, "DPoP: is nil, and so is Certificate, and Auth is not MutualTLS"},
		{"DP-02 proofs by ES384", func(c *acpclient.Config) { c.DPoP = &acpclient.DPoP{Key: es384} }, "DPoP: ES384"},
		{"ID-04 weak algorithm", func(c *acpclient.Config) { c.IDTokenAlgs = []string{"ES256", "RS256"} }, "IDTokenAlgs: RS256"},
		{"AZ-16 request object by RS256", func(c *acpclient.Config) {
			c.RequestObject = &acpclient.RequestObject{Key: rsa, Alg: "RS256"}
		}, "RequestObject: RS256"},
		{"AZ-16 request object for another", func(c *acpclient.Config) {
			c.RequestObject = &acpclient.RequestObject{Key: ec, Audience: "https://as.example/authorize"}
		}, "RequestObject: Audience"},
	}
	messageSigning := []struct {
		name  string
		edit  func(*acpclient.Config)
		names string
	}{
		{"AZ-16 no request object", func(c *acpclient.Config) { c.RequestObject = nil }, "RequestObject: is nil"},
		{"CB-38 query", func(c *acpclient.Config) { c.ResponseMode = "query" }, "ResponseMode"},
		{"CB-38 form_post", func(c *acpclient.Config) { c.ResponseMode = "form_post" }, "ResponseMode"},
	}
	for _, profile := range []acpclient.Profile{acpclient.FAPI2Security, acpclient.FAPI2MessageSigning} {
		all := rows
		if profile == acpclient.FAPI2MessageSigning {
			all = slices.Concat(rows, messageSigning)
		}
		if _, err := acpclient.New(good(profile)); err != nil {
			t.Fatalf("%s: %v", profile, err)
		}
		for _, row := range all {
			t.Run(row.name+" "+string(profile), func(t *testing.T) {
				config := good(profile)
				row.edit(&config)
				client, err := acpclient.New(config)
				switch {
				case err == nil || client != nil:
					t.Fatalf("New = %v, %v, want an error alone", client, err)
				case !strings.Contains(err.Error(), row.names):
					t.Errorf("%q does not say %q", err, row.names)
				case strings.Contains(err.Error(), "canary"):
					t.Errorf("%q shows a secret", err)
				}
			})
		}
	}
	t.Run("all at once", func(t *testing.T) {
		_, err := acpclient.New(acpclient.Config{
			Issuer: "http://127.0.0.1:1", ClientID: "app", Profile: acpclient.FAPI2MessageSigning, ResponseMode: "query", IDTokenAlgs: []string{"RS512"},
		})
		for _, want := range []string{"Issuer: ", "RedirectURL: ", "Auth: ", "RequestObject: ", "ResponseMode: ", "IDTokenAlgs: ", "fapi2-message-signing"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v does not name %s", err, want)
			}
		}
	})
}

// CB-20: the issuer is demanded by the profile itself, also while nothing is known of the server.
func TestFAPIIssuerWithoutMetadata(t *testing.T) {
	r := newFAPI(t, acpclient.FAPI2Security, nil, nil)
	flow, callback := r.callback(nil)
	callback.Del("iss")
	other := newFAPI(t, acpclient.FAPI2Security, nil, nil)
	other.Handle(acptest.MetadataEndpoint, acptest.Reset())
	flow.Issuer, flow.ClientID = other.Issuer, other.ClientID
	_, err := other.client.Exchange(t.Context(), flow, callback)
	other.fails(err, acpclient.ErrInvalidCallback, "issuer_missing")
	callback.Set("iss", other.Issuer)
	_, err = other.client.Exchange(t.Context(), flow, callback)
	other.fails(err, acpclient.ErrUnavailable, "unavailable")
}

// What was set stays, and what was not is what the profile wants.
func TestFAPIFillsIn(t *testing.T) {
	r := newFAPI(t, acpclient.FAPI2MessageSigning, nil, nil)
	got := r.client.Config()
	if got.ResponseMode != "jwt" || !got.RequirePushedAuthorizationRequests || !slices.Equal(got.IDTokenAlgs, []string{"PS256", "ES256", "EdDSA"}) {
		t.Errorf("%q %v %v", got.ResponseMode, got.RequirePushedAuthorizationRequests, got.IDTokenAlgs)
	}
	got.IDTokenAlgs[0] = "none"
	// The mode that was not set is one in which answers can be encrypted, too.
	newFAPI(t, acpclient.FAPI2MessageSigning, func(c *acpclient.Config) {
		c.Decryption = decryption("P-256")
		c.Decryption.AuthorizationResponse = true
	}, nil)
	r = newFAPI(t, acpclient.FAPI2MessageSigning, func(c *acpclient.Config) { c.ResponseMode, c.IDTokenAlgs = "query.jwt", []string{"ES256"} }, nil)
	if got := r.client.Config(); got.ResponseMode != "query.jwt" || !slices.Equal(got.IDTokenAlgs, []string{"ES256"}) {
		t.Errorf("%q %v", got.ResponseMode, got.IDTokenAlgs)
	}
	r = newFAPI(t, acpclient.FAPI2Security, nil, nil)
	if got := r.client.Config(); got.ResponseMode != "" || got.IDTokenAlgs[0] != "PS256" {
		t.Errorf("%q %v", got.ResponseMode, got.IDTokenAlgs)
	}
}
