package acpclient_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"unicode"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// fapiRig is a client under a FAPI 2.0 profile, at a server that has what the profile wants.
type fapiRig struct {
	*rig
	profile acpclient.Profile
	binding string
}

func (r *fapiRig) asserts() bool { return r.binding != byMTLS } // private_key_jwt

func (r *fapiRig) certified() bool { return r.binding == byMTLS || r.binding == byBoth }

// How tokens are bound, in the suite's words; with nonces the server demands its own in proofs.
const (
	byMTLS   = "mtls"
	byBoth   = "private_key_jwt and mtls"
	byDPoP   = "dpop"
	byNonces = "dpop nonces"
)

// newFAPI makes one that authenticates with a certificate, to which its tokens are bound. The edits may be nil.
func newFAPI(t *testing.T, profile acpclient.Profile, edit func(*acpclient.Config), metadata func(map[string]any)) *fapiRig {
	t.Helper()
	return newFAPIBound(t, profile, byMTLS, edit, metadata)
}

func newFAPIBound(t *testing.T, profile acpclient.Profile, binding string, edit func(*acpclient.Config), metadata func(map[string]any)) *fapiRig {
	t.Helper()
	own, key := clientCertificate(t, "app", nil), acptest.NewKey("ES256")
	client := acptest.Client{AuthMethod: acptest.AuthSelfSignedTLS, Certificate: own.Leaf, RequestKey: key.Public()}
	if binding != byMTLS {
		client = acptest.Client{Key: key.Public(), RequestKey: key.Public(), DPoPBound: binding != byBoth}
	}
	r := newRig(t, &acptest.Options{
		MTLS: true, RequirePAR: true, IssParameter: true, AtHash: true, RequireRequestObject: profile == acpclient.FAPI2MessageSigning,
		DPoPNonces: binding == byNonces, Client: client,
	}, func(c *acpclient.Config) {
		c.Profile, c.Auth = profile, acpclient.MutualTLS{Certificate: *own}
		switch {
		case binding == byBoth:
			c.Auth, c.Certificate = acpclient.PrivateKeyJWT{Key: key.Signer()}, &acpclient.MutualTLS{Certificate: *own}
		case binding != byMTLS:
			c.Auth, c.DPoP = acpclient.PrivateKeyJWT{Key: key.Signer()}, &acpclient.DPoP{Key: acptest.NewKey("ES256").Signer()}
		}
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
	return &fapiRig{r, profile, binding}
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

func swapCase(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsUpper(r) {
			return unicode.ToLower(r)
		}
		return unicode.ToUpper(r)
	}, s)
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
		bindings []string // nil: mtls and dpop
	}{
		{"happy-path", "AZ-30", both, nil, "", "", []string{byMTLS, byNonces}},
		{"happy-path-no-dpop-nonce", "DP-17", both, nil, "", "", []string{byDPoP}},
		{"rs-dpop-auth-scheme-case-insensitivity", "DP-18", both, func(r *fapiRig) {
			r.OnResponse(acptest.UserInfoEndpoint, func(res *acptest.Response) {
				if challenge := res.Header.Get("Www-Authenticate"); challenge != "" {
					res.Header.Set("Www-Authenticate", strings.Replace(challenge, "DPoP", "dPOp", 1))
				}
			})
		}, "", "", []string{byNonces}},
		{"happy-path-no-mtls-endpoint-aliases", "MT-06", both, func(r *fapiRig) {
			r.OnMetadata(func(m map[string]any) {
				m["tls_client_certificate_bound_access_tokens"] = true
				for name, alias := range m["mtls_endpoint_aliases"].(map[string]any) {
					m[name] = alias
				}
				delete(m, "mtls_endpoint_aliases")
			})
		}, "", "", []string{byMTLS}},
		{"discovery-issuer-mismatch", "JW-01", both, func(r *fapiRig) {
			r.OnMetadata(func(m map[string]any) { m["issuer"] = r.Issuer + "/" })
		}, "metadata", "issuer", nil},

		{"invalid-iss", "ID-06", both, func(r *fapiRig) { r.idToken("iss", r.Issuer+"/") }, "token", "issuer", nil},
		{"invalid-missing-iss", "ID-06", both, func(r *fapiRig) { r.idToken("iss", nil) }, "token", "issuer", nil},
		{"invalid-aud", "ID-09", both, func(r *fapiRig) { r.idToken("aud", "another") }, "token", "audience", nil},
		{"invalid-missing-aud", "ID-09", both, func(r *fapiRig) { r.idToken("aud", nil) }, "token", "audience", nil},
		{"invalid-secondary-aud", "ID-11", both, func(r *fapiRig) { r.idToken("aud", []string{r.ClientID, "another"}) }, "token", "authorized_party", nil},
		{"valid-aud-as-array", "ID-10", both, func(r *fapiRig) { r.idToken("aud", []string{r.ClientID}) }, "", "", nil},
		{"invalid-null-alg", "ID-01", both, func(r *fapiRig) {
			r.MintIDToken(func(_, claims map[string]any) string { return acptest.Unsigned(nil, claims) })
		}, "token", "alg", nil},
		{"invalid-alternate-alg", "ID-04", both, (*fapiRig).idTokenByRSA, "token", "alg", nil},
		{"invalid-expired-exp", "ID-18", both, func(r *fapiRig) { r.idToken("exp", r.now().Unix()-300) }, "token", "expired", nil},
		{"invalid-missing-exp", "ID-17", both, func(r *fapiRig) { r.idToken("exp", nil) }, "token", "token_malformed", nil},
		{"invalid-nonce", "ID-25", both, func(r *fapiRig) { r.idToken("nonce", "another") }, "token", "nonce", nil},
		{"invalid-missing-nonce", "ID-25", both, func(r *fapiRig) { r.idToken("nonce", nil) }, "token", "nonce", nil},

		{"invalid-authorization-response-iss", "CB-19", plain, func(r *fapiRig) { r.answers("iss", r.Issuer+"/") }, "callback", "issuer_mismatch", nil},
		{"remove-authorization-response-iss", "CB-20", plain, func(r *fapiRig) { r.answers("iss", "") }, "callback", "issuer_missing", nil},
		{"ensure-authorization-response-with-invalid-state-fails", "CB-03", both, func(r *fapiRig) { r.answers("state", "another") }, "callback", "state_mismatch", nil},
		{"ensure-authorization-response-with-invalid-missing-state-fails", "CB-01", both, func(r *fapiRig) { r.answers("state", "") }, "callback", "state_missing", nil},

		{"token-endpoint-response-without-expires_in", "TX-21", both, func(r *fapiRig) { r.brings(map[string]any{"expires_in": nil}) }, "", "", nil},
		{"token-type-case-insensitivity", "TX-18", both, func(r *fapiRig) {
			r.OnTokens(func(m map[string]any) { m["token_type"] = swapCase(m["token_type"].(string)) })
		}, "", "", nil},

		{"ensure-jarm-without-iss-fails", "CB-39", signed, func(r *fapiRig) { r.jarm(says("iss", nil)) }, "callback", "issuer_missing", nil},
		{"ensure-jarm-with-invalid-iss-fails", "CB-39", signed, func(r *fapiRig) { r.jarm(says("iss", r.Issuer+"/")) }, "callback", "issuer_mismatch", nil},
		{"ensure-jarm-without-aud-fails", "CB-39", signed, func(r *fapiRig) { r.jarm(says("aud", nil)) }, "callback", "audience", nil},
		{"ensure-jarm-with-invalid-aud-fails", "CB-39", signed, func(r *fapiRig) { r.jarm(says("aud", "another")) }, "callback", "audience", nil},
		{"ensure-jarm-without-exp-fails", "CB-39", signed, func(r *fapiRig) { r.jarm(says("exp", nil)) }, "callback", "token_malformed", nil},
		{"ensure-jarm-with-expired-exp-fails", "CB-39", signed, func(r *fapiRig) { r.jarm(says("exp", r.now().Unix()-300)) }, "callback", "expired", nil},
		{"ensure-jarm-with-invalid-sig-fails", "CB-39", signed, func(r *fapiRig) {
			r.jarm(func(r *rig, _, claims map[string]any) string {
				return acptest.NewKey("ES256").Sign(map[string]any{"kid": r.Key().ID}, claims)
			})
		}, "callback", "signature", nil},
		{"ensure-jarm-signature-is-not-none", "CB-39", signed, func(r *fapiRig) {
			r.jarm(func(_ *rig, _, claims map[string]any) string { return acptest.Unsigned(nil, claims) })
		}, "callback", "alg", nil},

		// Beyond the suite's list.
		{"x-decoy-keys", "JW-20", both, func(r *fapiRig) { r.decoyKeys() }, "", "", nil},
		{"x-plain-response", "CB-38", signed, func(r *fapiRig) {
			r.OnCallback(func(v url.Values) {
				clear(v)
				v["code"], v["state"], v["iss"] = []string{"stolen-code"}, []string{"any"}, []string{r.Issuer}
			})
		}, "callback", "malformed_callback", nil},
		{"x-unasked-jarm", "CB-38", plain, func(r *fapiRig) { r.answers("response", "e30.e30.AA") }, "callback", "malformed_callback", nil},
		{"x-jarm-alternate-alg", "CB-39", signed, func(r *fapiRig) {
			key := acptest.NewKey("RS256")
			r.AddKey(key)
			r.jarm(func(_ *rig, _, claims map[string]any) string { return key.Sign(nil, claims) })
		}, "callback", "alg", nil},
		{"x-invalid-at_hash", "ID-28", both, func(r *fapiRig) { r.idToken("at_hash", acptest.HalfHash("ES256", "another")) }, "token", "at_hash", nil},
		{"x-invalid-c_hash", "ID-30", both, func(r *fapiRig) { r.idToken("c_hash", acptest.HalfHash("ES256", "another")) }, "token", "c_hash", nil},
		{"x-invalid-s_hash", "ID-30", both, func(r *fapiRig) { r.idToken("s_hash", acptest.HalfHash("ES256", "another")) }, "token", "c_hash", nil},
		{"x-token-error", "TX-02", both, func(r *fapiRig) {
			r.Handle(acptest.TokenEndpoint, acptest.Answer(400, "application/json", `{"error":"invalid_grant"}`))
		}, "token", "provider_error:invalid_grant", nil},
		{"x-token-type-another", "TX-17", both, func(r *fapiRig) { r.brings(map[string]any{"token_type": "mac"}) }, "token", "token_type", nil},
		{"x-token-type-downgrade", "TX-19", both, func(r *fapiRig) { r.brings(map[string]any{"token_type": "Bearer"}) }, "token", "token_type", []string{byDPoP}},
		{"x-par-error", "AZ-31", both, func(r *fapiRig) {
			r.Handle(acptest.PAREndpoint, acptest.Answer(400, "application/json", `{"error":"invalid_request"}`))
		}, "PAR", "provider_error:invalid_request", nil},
		{"x-par-without-request_uri", "AZ-31", both, func(r *fapiRig) {
			r.Handle(acptest.PAREndpoint, acptest.Answer(201, "application/json", `{"expires_in":60}`))
		}, "PAR", "response_malformed", nil},
	}
	for _, row := range rows {
		for _, profile := range row.profiles {
			bindings := row.bindings
			if bindings == nil {
				bindings = []string{byMTLS, byBoth, byDPoP}
			}
			for _, binding := range bindings {
				t.Run(fmt.Sprintf("%s%s %s, %s, %s", prefix, row.name, row.id, profile, binding), func(t *testing.T) {
					r := newFAPIBound(t, profile, binding, nil, nil)
					if row.fault != nil {
						row.fault(r)
					}
					r.fapiLogin(row.ends, row.reason)
				})
			}
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
	if r.binding == byNonces {
		r.RotateNonce() // that of the pushed request is old by then
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
	asked := 1
	if r.binding == byNonces {
		r.RotateNonce()
		asked = 2 // the first with an old nonce
	}
	if err := r.client.UserInfo(ctx, tokens, new(any)); err != nil {
		r.t.Error("UserInfo:", err)
	}
	r.asked(acptest.UserInfoEndpoint, asked)
	r.asked(acptest.TokenEndpoint, asked)
	if tokens, err = r.client.Refresh(ctx, tokens); err != nil {
		r.t.Fatal("Refresh:", err)
	}
	r.tokenSecrets(tokens)
	for _, e := range []acptest.Endpoint{acptest.PAREndpoint, acptest.TokenEndpoint} {
		for _, req := range r.Requests(e) {
			if (req.Certificate != nil) != r.certified() || req.Form.Has("client_assertion") != r.asserts() {
				r.t.Errorf("%s: certificate %t, form %v", e, req.Certificate != nil, req.Form)
			}
		}
	}
	pushed := r.Requests(acptest.PAREndpoint)[0].Form
	if signs := r.profile == acpclient.FAPI2MessageSigning; pushed.Has("request") != signs || pushed.Has("code_challenge") == signs {
		r.t.Errorf("pushed %v", pushed)
	}
}
