package interop_test

import (
	"crypto"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
)

// The FAPI 2.0 profiles at a server that holds its clients to FAPI 2.0: one value of the configuration, and the key. Each request that
// leaves is looked at, and our API under the same profile takes the tokens: JWTs, and opaque ones by signed introspection.
func TestSecureFAPI(t *testing.T) {
	t.Parallel()
	f := startFinancial(t, map[string]any{
		"fapi": true, "requirePAR": true, "requireNonce": true, "resources": map[string]string{boundAPI: "jwt", opaqueBoundAPI: "opaque"},
	}, func(a financialAuth, c map[string]any) {
		switch a.name {
		case "private_key_jwt", "tls_client_auth":
			bindsToKey(a, c)
		case "self_signed_tls_client_auth":
			bindsToCertificate(a, c)
		}
	})
	dpop := newEC(t)
	profiles := []acpclient.Profile{acpclient.FAPI2Security, acpclient.FAPI2MessageSigning}
	apis := map[acpclient.Profile]map[string]*boundResource{}
	for _, profile := range profiles {
		apis[profile] = map[string]*boundResource{
			boundAPI: f.startBound(t, acpclient.VerifierConfig{Profile: profile, Audience: boundAPI, RFC9068: true}, nil),
			opaqueBoundAPI: f.startBound(t, acpclient.VerifierConfig{
				Profile: profile, Audience: opaqueBoundAPI, Mode: "introspection", ClientID: "private_key_jwt", Auth: f.auth("private_key_jwt"),
			}, nil),
		}
	}
	for _, profile := range profiles {
		for _, row := range []struct {
			name string
			key  crypto.Signer
		}{{"private_key_jwt", dpop}, {"tls_client_auth", dpop}, {"self_signed_tls_client_auth", nil}} {
			t.Run(string(profile)+" "+row.name, func(t *testing.T) {
				mutual, signs := row.name != "private_key_jwt", profile == acpclient.FAPI2MessageSigning
				config := f.config(t, row.name, row.key)
				config.Profile = profile
				if row.name == "private_key_jwt" {
					config.Auth = acpclient.PrivateKeyJWT{Key: f.rsa} // the algorithm is the profile's choice
				}
				if signs {
					config.RequestObject = &acpclient.RequestObject{Key: f.ec}
				}
				n := len(f.seen(t, 0))
				client := f.open(t, config)
				if err := client.Ready(t.Context()); err != nil {
					t.Fatal(err)
				}
				tokens := f.login(t, client, "")
				fresh, err := client.Refresh(t.Context(), tokens)
				if err != nil {
					t.Fatalf("RF-18 %v", err)
				}
				if err := client.UserInfo(t.Context(), fresh, new(any)); err != nil {
					t.Error(err)
				}
				if err := client.Revoke(t.Context(), fresh); err != nil {
					t.Error(err)
				}
				sent := f.seen(t, n)
				own, order := backChannelOf(sent)
				want := "/par 201, /oauth2/token 200, /oauth2/token 200, /userinfo 200, /oauth2/revoke 200"
				if row.key != nil {
					want = "/par 400, " + want // for the nonce
				}
				if order != want {
					t.Errorf("the requests are %s; want %s", order, want)
				}
				wantFresh(t, own)
				for _, s := range sent {
					f.judge(t, s, mutual, row.key != nil, signs)
				}
				for name, api := range apis[profile] {
					useBound(t, f, api, client, f.login(t, client, name), row.key != nil)
				}
			})
		}
	}
}

// useBound calls the API as the client, and as somebody who has no more than the token.
func useBound(t *testing.T, f *financial, api *boundResource, client *acpclient.Client, tokens *acpclient.Tokens, byKey bool) {
	t.Helper()
	header := http.Header{"Authorization": {"Bearer " + tokens.AccessToken}}
	if byKey {
		want(t, client.HTTPClient(client.TokenSource(t.Context(), tokens, nil)), api.request(t, http.MethodGet, "/things", http.Header{}), 200, "alice")
	} else {
		want(t, f.certified(t, f.selfSigned), api.request(t, http.MethodGet, "/things", header), 200, "alice") // MT-01
	}
	want(t, f.certified(t), api.request(t, http.MethodGet, "/things", header), 401, `error="invalid_token"`) // DP-01, MT-02
}

// judge holds one request of a client, or of its browser, against the FAPI 2.0 Security Profile and Message Signing.
func (f *financial) judge(t *testing.T, s seenRequest, mutual, byKey, signs bool) {
	t.Helper()
	demand := func(met bool, what string) {
		t.Helper()
		if !met {
			t.Errorf("%s: %+v", what, s)
		}
	}
	names := func(wanted ...string) bool {
		var got []string
		for name := range s.Parameters {
			got = append(got, name)
		}
		slices.Sort(got)
		slices.Sort(wanted)
		return slices.Equal(got, wanted)
	}
	authentication := []string{"client_id"}
	if !mutual {
		authentication = append(authentication, "client_assertion", "client_assertion_type")
	}
	demand(s.TLS == "TLSv1.2" || s.TLS == "TLSv1.3", "5.2.1 TLS")
	switch s.Path {
	case "/par", "/oauth2/token", "/oauth2/revoke":
		demand(s.Method == http.MethodPost && s.Scheme == "", "5.3.3.1 (2) authentication")
		if assertion := s.text("client_assertion"); assertion != "" {
			header, claims := jwtClaims(t, assertion)
			demand(header["alg"] == "PS256" && claims["aud"] == f.issuer, "5.3.3.1 (5), 5.4.1 the assertion") // TX-30
		}
		fallthrough
	case "/userinfo":
		demand(s.Mutual == mutual && s.Certificate == mutual, "MT-06 the connection")
		demand((s.Proof != "") == (byKey && s.Path != "/oauth2/revoke"), "5.3.3.1 (1) the proof")
		if s.Proof != "" {
			header, _ := jwtClaims(t, s.Proof)
			demand(header["alg"] == "ES256" && header["typ"] == "dpop+jwt", "5.4.1 the proof")
		}
	default:
		demand(!s.Mutual && s.Proof == "" && s.text("code_verifier") == "", "more than the browser should see")
	}
	switch s.Path {
	case "/oauth2/authorize":
		demand(names("client_id", "request_uri"), "5.3.3.2 (2) AZ-30 the authorize request")
	case "/par":
		request := s.Parameters
		if signs {
			demand(names(append(authentication, "request")...), "Message Signing 5.3.2 the pushed request")
			header, claims := jwtClaims(t, s.text("request"))
			demand(header["alg"] == "ES256" && header["typ"] == "oauth-authz-req+jwt" && claims["aud"] == f.issuer, "Message Signing 5.3.2 the request object")
			request = claims
		}
		redirect, _ := request["redirect_uri"].(string)
		demand(request["response_type"] == "code" && request["code_challenge_method"] == "S256" && request["nonce"] != nil && request["state"] != nil &&
			strings.HasPrefix(redirect, "https://"), "5.3.3.2 the authorization request")
		demand((request["dpop_jkt"] != nil) == byKey, "DP-21 dpop_jkt")
		demand((request["response_mode"] == "jwt") == signs, "Message Signing 5.4.2 JARM")
	case "/oauth2/token":
		grant := []string{"grant_type", "refresh_token"}
		if s.text("grant_type") == "authorization_code" {
			grant = []string{"grant_type", "code", "redirect_uri", "code_verifier"}
		}
		demand(names(append(grant, authentication...)...), "the token request")
	case "/userinfo":
		scheme := "Bearer"
		if byKey {
			scheme = "DPoP"
		}
		demand(s.Scheme == scheme && names(), "the token is in the header alone")
	default:
		demand(s.Path == "/oauth2/revoke" || s.Path == "/.well-known/openid-configuration" || s.Path == "/.well-known/jwks.json" ||
			strings.HasPrefix(s.Path, "/oauth2/authorize/") || strings.HasPrefix(s.Path, "/interaction/"), "a path that nobody asked for")
	}
}
