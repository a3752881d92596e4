package interop_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
)

// A whole login at a certified server that signs its answers, and encrypts them, its ID tokens and
// userinfo: in each response mode, with each algorithm.
func TestSecureAnswers(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keys := &acpclient.Decryption{
		Keys:    []acpclient.DecryptionKey{{Key: rsaKey, KeyID: "rsa"}, {Key: ec, KeyID: "ec"}},
		IDToken: true, UserInfo: true, AuthorizationResponse: true,
	}
	kinds := []struct {
		name, alg, enc string
		decryption     *acpclient.Decryption
	}{
		{"signed", "", "", nil},
		{"RSA-OAEP-256", "RSA-OAEP-256", "A256GCM", keys},
		{"ECDH-ES", "ECDH-ES", "A128CBC-HS256", keys},
		{"ECDH-ES with A128KW", "ECDH-ES+A128KW", "A128GCM", keys},
		{"ECDH-ES with A256KW", "ECDH-ES+A256KW", "A256CBC-HS512", keys},
	}
	public := []any{publicJWK(t, rsaKey.Public()), publicJWK(t, ec.Public())}
	for i, kid := range []string{"rsa", "ec"} {
		public[i].(map[string]any)["kid"], public[i].(map[string]any)["use"] = kid, "enc"
	}
	var clients []map[string]any
	for _, kind := range kinds {
		c := map[string]any{
			"client_id": kind.name, "client_secret": "s3cret", "redirect_uris": []string{"https://app.example/callback"},
			"grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"},
			"id_token_signed_response_alg": "ES256", "userinfo_signed_response_alg": "ES256", "authorization_signed_response_alg": "ES256",
			"jwks": map[string]any{"keys": public},
		}
		if kind.alg != "" {
			for _, answer := range []string{"id_token", "userinfo", "authorization"} {
				c[answer+"_encrypted_response_alg"], c[answer+"_encrypted_response_enc"] = kind.alg, kind.enc
			}
		}
		clients = append(clients, c)
	}
	issuer, trusted, p := startSecure(t, map[string]any{"clients": clients})
	defer func() {
		if t.Failed() {
			t.Logf("oidc-provider:\n%s", p.stderr)
		}
	}()
	newClient := func(t *testing.T, id, mode string, d *acpclient.Decryption) *acpclient.Client {
		t.Helper()
		client, err := acpclient.New(acpclient.Config{
			Issuer: issuer, ClientID: id, Auth: acpclient.SecretBasic("s3cret"), RedirectURL: "https://app.example/callback", RootCAs: trusted,
			Scopes: []string{"openid", "offline_access"}, ResponseMode: mode, Decryption: d, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close(t.Context()) })
		return client
	}
	callback := func(t *testing.T, client *acpclient.Client, consent bool) (*acpclient.Flow, url.Values) {
		t.Helper()
		address, flow, err := client.Authorize(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		browser := newAgent(t, "https://app.example/callback")
		browser.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, DisableKeepAlives: true}
		return flow, browser.passServer(address, consent)
	}
	for _, kind := range kinds {
		for _, mode := range []string{"query.jwt", "form_post.jwt", "jwt"} {
			t.Run(kind.name+" "+mode, func(t *testing.T) {
				client := newClient(t, kind.name, mode, kind.decryption)
				if err := client.Ready(t.Context()); err != nil {
					t.Fatal(err)
				}
				flow, values := callback(t, client, true)
				points := strings.Count(values.Get("response"), ".")
				if len(values) != 1 || points != 2 && kind.alg == "" || points != 4 && kind.alg != "" {
					t.Fatalf("%d parameters, a response of %d parts", len(values), points+1)
				}
				if state, err := client.CallbackState(t.Context(), values); err != nil || state != flow.State {
					t.Errorf("CallbackState: %v", err)
				}
				tokens, err := client.Exchange(t.Context(), flow, values)
				if err != nil {
					t.Fatal(err)
				}
				var user struct {
					Subject string `json:"sub"`
				}
				if err := client.UserInfo(t.Context(), tokens, &user); err != nil || user.Subject != "alice" {
					t.Errorf("UserInfo: %q, %v", user.Subject, err)
				}
				if tokens, err = client.Refresh(t.Context(), tokens); err != nil {
					t.Fatal(err)
				}
				if err := tokens.Claims(&user); err != nil || user.Subject != "alice" {
					t.Errorf("the ID token of the refresh: %v", err)
				}
			})
		}
	}
	t.Run("CB-24 refused", func(t *testing.T) {
		client := newClient(t, "ECDH-ES", "query.jwt", keys)
		flow, values := callback(t, client, false)
		if _, err := client.Exchange(t.Context(), flow, values); !errors.Is(err, acpclient.ErrAccessDenied) {
			t.Errorf("%v", err)
		}
	})
	t.Run("TX-42 keys forgotten", func(t *testing.T) {
		client := newClient(t, "ECDH-ES", "query.jwt", nil)
		flow, values := callback(t, client, true)
		if _, err := client.Exchange(t.Context(), flow, values); acpclient.Reason(err) != "token_malformed" {
			t.Errorf("%v", err)
		}
	})
	t.Run("TX-42 another key under the same id", func(t *testing.T) {
		other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		client := newClient(t, "ECDH-ES", "query.jwt", &acpclient.Decryption{
			Keys: []acpclient.DecryptionKey{{Key: other, KeyID: "ec"}}, IDToken: true, AuthorizationResponse: true,
		})
		flow, values := callback(t, client, true)
		if _, err := client.Exchange(t.Context(), flow, values); acpclient.Reason(err) != "decryption" {
			t.Errorf("%v", err)
		}
	})
}
