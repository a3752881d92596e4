package acpclient_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// fapiRig is a client under a FAPI 2.0 profile, at a server that has what the profile wants.
type fapiRig struct {
	*rig
	profile acpclient.Profile
}

// newFAPI makes one that authenticates with a certificate, to which its tokens are bound. The edits may be nil.
func newFAPI(t *testing.T, profile acpclient.Profile, edit func(*acpclient.Config), metadata func(map[string]any)) *fapiRig {
	t.Helper()
	own, key := clientCertificate(t, "app", nil), acptest.NewKey("ES256")
	r := newRig(t, &acptest.Options{
		MTLS: true, RequirePAR: true, IssParameter: true, AtHash: true, RequireRequestObject: profile == acpclient.FAPI2MessageSigning,
		Client: acptest.Client{AuthMethod: acptest.AuthSelfSignedTLS, Certificate: own.Leaf, RequestKey: key.Public()},
	}, func(c *acpclient.Config) {
		c.Profile, c.Auth = profile, acpclient.MutualTLS{Certificate: *own}
		if profile == acpclient.FAPI2MessageSigning {
			c.RequestObject = &acpclient.RequestObject{Key: key.Signer()}
		}
		if edit != nil {
			edit(c)
		}
	})
	r.OnMetadata(func(m map[string]any) {
		m["tls_client_certificate_bound_access_tokens"] = true
		if metadata != nil {
			metadata(m)
		}
	})
	return &fapiRig{r, profile}
}

// answers replaces a parameter of the authorization response, signed or not; "" takes it away.
func (r *fapiRig) answers(name, value string) {
	edit := func(_, claims map[string]any) {
		if claims[name] = value; value == "" {
			delete(claims, name)
		}
	}
	if r.profile == acpclient.FAPI2MessageSigning {
		r.OnJARM(edit)
		return
	}
	r.OnCallback(func(v url.Values) {
		if v[name] = []string{value}; value == "" {
			delete(v, name)
		}
	})
}

// idToken replaces a claim; nil takes it away.
func (r *fapiRig) idToken(name string, value any) {
	r.OnIDToken(func(_, claims map[string]any) { member(claims, name, value) })
}

// idTokenByRSA signs ID tokens with a key of the server's that fits another algorithm.
func (r *fapiRig) idTokenByRSA() {
	key := acptest.NewKey("RS256")
	r.AddKey(key)
	r.MintIDToken(func(_, claims map[string]any) string { return key.Sign(nil, claims) })
}

// decoyKeys publishes others under the id of the key that signs (FAPI 2.0 Security Profile 5.4.3).
func (r *fapiRig) decoyKeys() {
	decoys := []any{}
	for alg, use := range map[string]string{"RS256": "sig", "PS256": "sig", "ES384": "sig", "EdDSA": "sig", "ES256": "enc"} {
		jwk := acptest.NewKey(alg).JWK()
		jwk["kid"], jwk["use"] = r.Key().ID, use
		decoys = append(decoys, jwk)
	}
	r.OnJWKS(func(m map[string]any) { m["keys"] = append(decoys, m["keys"].([]any)...) })
}

// jarm forges the signed response.
func (r *fapiRig) jarm(f forge) {
	r.MintJARM(func(header, claims map[string]any) string {
		if token := f(r.rig, header, claims); token != "" {
			return token
		}
		return r.Key().SignRaw(text(header), text(claims))
	})
}

// The client tests of the OpenID Foundation's conformance suite for FAPI 2.0 (final), by their
// names, each with its fault, and what it ends: "metadata" (nothing is pushed), "PAR" (no redirect), "callback" (the token
// endpoint is not asked) or "token" (no tokens come out). With "" all succeeds.
func TestFAPIConformance(t *testing.T) {
	const prefix = "fapi2-security-profile-final-client-test-"
	both := []acpclient.Profile{acpclient.FAPI2Security, acpclient.FAPI2MessageSigning}
	plain, signed := both[:1], both[1:]
	rows := []struct {
		name     string
		id       string
		profiles []acpclient.Profile
		fault    func(*fapiRig)
		ends     string
		reason   string
	}{
		{"happy-path", "AZ-30", both, nil, "", ""},
		{"happy-path-no-mtls-endpoint-aliases", "MT-06", both, func(r *fapiRig) {
			r.OnMetadata(func(m map[string]any) {
				m["tls_client_certificate_bound_access_tokens"] = true
				for name, alias := range m["mtls_endpoint_aliases"].(map[string]any) {
					m[name] = alias
				}
				delete(m, "mtls_endpoint_aliases")
			})
		}, "", ""},
		{"discovery-issuer-mismatch", "JW-01", both, func(r *fapiRig) {
			r.OnMetadata(func(m map[string]any) { m["issuer"] = r.Issuer + "/" })
		}, "metadata", "issuer"},

		{"invalid-iss", "ID-06", both, func(r *fapiRig) { r.idToken("iss", r.Issuer+"/") }, "token", "issuer"},
		{"invalid-missing-iss", "ID-06", both, func(r *fapiRig) { r.idToken("iss", nil) }, "token", "issuer"},
		{"invalid-aud", "ID-09", both, func(r *fapiRig) { r.idToken("aud", "another") }, "token", "audience"},
		{"invalid-missing-aud", "ID-09", both, func(r *fapiRig) { r.idToken("aud", nil) }, "token", "audience"},
		{"invalid-secondary-aud", "ID-11", both, func(r *fapiRig) { r.idToken("aud", []string{r.ClientID, "another"}) }, "token", "authorized_party"},
		{"valid-aud-as-array", "ID-10", both, func(r *fapiRig) { r.idToken("aud", []string{r.ClientID}) }, "", ""},
		{"invalid-null-alg", "ID-01", both, func(r *fapiRig) {
			r.MintIDToken(func(_, claims map[string]any) string { return acptest.Unsigned(nil, claims) })
		}, "token", "alg"},
		{"invalid-alternate-alg", "ID-04", both, (*fapiRig).idTokenByRSA, "token", "alg"},
		{"invalid-expired-exp", "ID-18", both, func(r *fapiRig) { r.idToken("exp", r.now().Unix()-300) }, "token", "expired"},
		{"invalid-missing-exp", "ID-17", both, func(r *fapiRig) { r.idToken("exp", nil) }, "token", "token_malformed"},
		{"invalid-nonce", "ID-25", both, func(r *fapiRig) { r.idToken("nonce", "another") }, "token", "nonce"},
		{"invalid-missing-nonce", "ID-25", both, func(r *fapiRig) { r.idToken("nonce", nil) }, "token", "nonce"},

		{"invalid-authorization-response-iss", "CB-19", plain, func(r *fapiRig) { r.answers("iss", r.Issuer+"/") }, "callback", "issuer_mismatch"},
		{"remove-authorization-response-iss", "CB-20", plain, func(r *fapiRig) { r.answers("iss", "") }, "callback", "issuer_missing"},
		{"ensure-authorization-response-with-invalid-state-fails", "CB-03", both, func(r *fapiRig) { r.answers("state", "another") }, "callback", "state_mismatch"},
		{"ensure-authorization-response-with-invalid-missing-state-fails", "CB-01", both, func(r *fapiRig) { r.answers("state", "") }, "callback", "state_missing"},

		{"token-endpoint-response-without-expires_in", "TX-21", both, func(r *fapiRig) { r.brings(map[string]any{"expires_in": nil}) }, "", ""},
		{"token-type-case-insensitivity", "TX-18", both, func(r *fapiRig) { r.brings(map[string]any{"token_type": "bEARER"}) }, "", ""},

		{"ensure-jarm-without-iss-fails", "CB-39", signed, func(r *fapiRig) { r.jarm(says("iss", nil)) }, "callback", "issuer_missing"},
		{"ensure-jarm-with-invalid-iss-fails", "CB-39", signed, func(r *fapiRig) { r.jarm(says("iss", r.Issuer+"/")) }, "callback", "issuer_mismatch"},
		{"ensure-jarm-without-aud-fails", "CB-39", signed, func(r *fapiRig) { r.jarm(says("aud", nil)) }, "callback", "audience"},
		{"ensure-jarm-with-invalid-aud-fails", "CB-39", signed, func(r *fapiRig) { r.jarm(says("aud", "another")) }, "callback", "audience"},
		{"ensure-jarm-without-exp-fails", "CB-39", signed, func(r *fapiRig) { r.jarm(says("exp", nil)) }, "callback", "token_malformed"},
		{"ensure-jarm-with-expired-exp-fails", "CB-39", signed, func(r *fapiRig) { r.jarm(says("exp", r.now().Unix()-300)) }, "callback", "expired"},
		{"ensure-jarm-with-invalid-sig-fails", "CB-39", signed, func(r *fapiRig) {
			r.jarm(func(r *rig, _, claims map[string]any) string {
				return acptest.NewKey("ES256").Sign(map[string]any{"kid": r.Key().ID}, claims)
			})
		}, "callback", "signature"},
		{"ensure-jarm-signature-is-not-none", "CB-39", signed, func(r *fapiRig) {
			r.jarm(func(_ *rig, _, claims map[string]any) string { return acptest.Unsigned(nil, claims) })
		}, "callback", "alg"},

		// Beyond the suite's list.
		{"x-decoy-keys", "JW-20", both, func(r *fapiRig) { r.decoyKeys() }, "", ""},
		{"x-plain-response", "CB-38", signed, func(r *fapiRig) {
			r.OnCallback(func(v url.Values) {
				clear(v)
				v["code"], v["state"], v["iss"] = []string{"stolen-code"}, []string{"any"}, []string{r.Issuer}
			})
		}, "callback", "malformed_callback"},
		{"x-unasked-jarm", "CB-38", plain, func(r *fapiRig) { r.answers("response", "e30.e30.AA") }, "callback", "malformed_callback"},
		{"x-jarm-alternate-alg", "CB-39", signed, func(r *fapiRig) {
			key := acptest.NewKey("RS256")
			r.AddKey(key)
			r.jarm(func(_ *rig, _, claims map[string]any) string { return key.Sign(nil, claims) })
		}, "callback", "alg"},
		{"x-invalid-at_hash", "ID-28", both, func(r *fapiRig) { r.idToken("at_hash", acptest.HalfHash("ES256", "another")) }, "token", "at_hash"},
		{"x-invalid-c_hash", "ID-30", both, func(r *fapiRig) { r.idToken("c_hash", acptest.HalfHash("ES256", "another")) }, "token", "c_hash"},
		{"x-invalid-s_hash", "ID-30", both, func(r *fapiRig) { r.idToken("s_hash", acptest.HalfHash("ES256", "another")) }, "token", "c_hash"},
		{"x-token-error", "TX-02", both, func(r *fapiRig) {
			r.Handle(acptest.TokenEndpoint, acptest.Answer(400, "application/json", `{"error":"invalid_grant"}`))
		}, "token", "provider_error:invalid_grant"},
		{"x-token-type-another", "TX-17", both, func(r *fapiRig) { r.brings(map[string]any{"token_type": "mac"}) }, "token", "token_type"},
		{"x-par-error", "AZ-31", both, func(r *fapiRig) {
			r.Handle(acptest.PAREndpoint, acptest.Answer(400, "application/json", `{"error":"invalid_request"}`))
		}, "PAR", "provider_error:invalid_request"},
		{"x-par-without-request_uri", "AZ-31", both, func(r *fapiRig) {
			r.Handle(acptest.PAREndpoint, acptest.Answer(201, "application/json", `{"expires_in":60}`))
		}, "PAR", "response_malformed"},
	}
	for _, row := range rows {
		for _, profile := range row.profiles {
			t.Run(prefix+row.name+" "+row.id+" "+string(profile), func(t *testing.T) {
				r := newFAPI(t, profile, nil, nil)
				if row.fault != nil {
					row.fault(r)
				}
				r.fapiLogin(row.ends, row.reason)
			})
		}
	}
}

// fapiLogin is a login, its tokens' use and their refresh, or as much of it as may be.
func (r *fapiRig) fapiLogin(ends, reason string) {
	r.t.Helper()
	ctx := r.t.Context()
	address, _, err := r.client.Authorize(ctx, nil)
	if ends == "metadata" || ends == "PAR" {
		if acpclient.Reason(err) != reason || address != "" {
			r.t.Errorf("Authorize = %q, %v, want reason %s", address, err, reason)
		}
		if ends == "metadata" {
			r.asked(acptest.PAREndpoint, 0)
		}
		r.asked(acptest.AuthorizeEndpoint, 0)
		return
	}
	if err != nil {
		r.t.Fatal("Authorize:", err)
	}
	flow, callback := r.callback(nil)
	query := r.Requests(acptest.AuthorizeEndpoint)[0].Query
	if len(query) != 2 || query.Get("client_id") == "" || query.Get("request_uri") == "" {
		r.t.Errorf("the browser carried %v", query)
	}
	tokens, err := r.client.Exchange(ctx, flow, callback)
	switch ends {
	case "callback":
		r.fails(err, acpclient.ErrInvalidCallback, reason)
		r.asked(acptest.TokenEndpoint, 0)
		return
	case "token":
		if got := acpclient.Reason(err); got != reason || tokens != nil {
			r.t.Errorf("reason %q, want %q (%v)", got, reason, err)
		}
		r.asked(acptest.TokenEndpoint, 1)
		return
	}
	if err != nil {
		r.t.Fatal("Exchange:", err)
	}
	r.tokenSecrets(tokens)
	if err := r.client.UserInfo(ctx, tokens, new(any)); err != nil {
		r.t.Error("UserInfo:", err)
	}
	if tokens, err = r.client.Refresh(ctx, tokens); err != nil {
		r.t.Fatal("Refresh:", err)
	}
	r.tokenSecrets(tokens)
	for _, e := range []acptest.Endpoint{acptest.PAREndpoint, acptest.TokenEndpoint} {
		for _, req := range r.Requests(e) {
			if req.Certificate == nil {
				r.t.Errorf("%s came without the client's certificate", e)
			}
		}
	}
	pushed := r.Requests(acptest.PAREndpoint)[0].Form
	if signs := r.profile == acpclient.FAPI2MessageSigning; pushed.Has("request") != signs || pushed.Has("code_challenge") == signs {
		r.t.Errorf("pushed %v", pushed)
	}
}

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
		{"CF-07 tokens bound to nothing", func(c *acpclient.Config) { c.Auth = acpclient.PrivateKeyJWT{Key: ec} }, "access tokens are bound"},
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
	r = newFAPI(t, acpclient.FAPI2MessageSigning, func(c *acpclient.Config) { c.ResponseMode, c.IDTokenAlgs = "query.jwt", []string{"ES256"} }, nil)
	if got := r.client.Config(); got.ResponseMode != "query.jwt" || !slices.Equal(got.IDTokenAlgs, []string{"ES256"}) {
		t.Errorf("%q %v", got.ResponseMode, got.IDTokenAlgs)
	}
	r = newFAPI(t, acpclient.FAPI2Security, nil, nil)
	if got := r.client.Config(); got.ResponseMode != "" || got.IDTokenAlgs[0] != "PS256" {
		t.Errorf("%q %v", got.ResponseMode, got.IDTokenAlgs)
	}
}
