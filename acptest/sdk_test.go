package acptest_test

import (
	"errors"
	"net/url"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// The SDK's own client keeps every rule, with each method of authentication.
func TestSDKClientBreaksNoRule(t *testing.T) {
	key := acptest.NewKey("ES256")
	rows := []struct {
		name   string
		client acptest.Client
		auth   func(*acptest.Server) acpclient.ClientAuth
	}{
		{"basic", acptest.Client{}, func(s *acptest.Server) acpclient.ClientAuth { return acpclient.Secret(s.ClientSecret) }},
		{"TX-28 post", acptest.Client{AuthMethod: acptest.AuthPost}, func(s *acptest.Server) acpclient.ClientAuth { return acpclient.Secret(s.ClientSecret) }},
		{"public", acptest.Client{AuthMethod: acptest.AuthNone}, func(*acptest.Server) acpclient.ClientAuth { return nil }},
		{"TX-30 private_key_jwt", acptest.Client{Key: key.Public()}, func(*acptest.Server) acpclient.ClientAuth {
			return acpclient.PrivateKeyJWT{Key: key.Signer(), KeyID: key.ID, Alg: key.Alg}
		}},
		{"client_secret_jwt", acptest.Client{AuthMethod: acptest.AuthSecretJWT, AssertionAlg: "HS256"}, func(s *acptest.Server) acpclient.ClientAuth {
			return acpclient.SecretJWT{Secret: s.ClientSecret}
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s := acptest.NewServer(t, &acptest.Options{Client: row.client, IssParameter: true, AtHash: true})
			client, err := acpclient.New(acpclient.Config{
				Issuer: s.Issuer, ClientID: s.ClientID, Auth: row.auth(s), RedirectURL: redirect,
				Scopes: []string{"openid", "profile", "offline_access"},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close(t.Context())
			address, flow, err := client.Authorize(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			page := s.Browser().NavigateUntil(address, func(u *url.URL) bool { return u.Host == "app.example" })
			if page.Next == nil {
				t.Fatalf("no callback: %s", page.Body())
			}
			tokens, err := client.Exchange(t.Context(), flow, page.Next.Query())
			if err != nil {
				t.Fatal(err)
			}
			if tokens, err = client.Refresh(t.Context(), tokens); err != nil {
				t.Fatal(err)
			}
			var user struct {
				Name string `json:"name"`
			}
			if err := client.UserInfo(t.Context(), tokens, &user); err != nil || user.Name != "alice" {
				t.Errorf("userinfo %+v, %v", user, err)
			}
			if err := client.Revoke(t.Context(), tokens); err != nil {
				t.Error(err)
			}
			if _, err := client.Refresh(t.Context(), tokens); err == nil {
				t.Error("the revoked token was refreshed")
			}
			logout, err := client.LogoutURL(t.Context(), tokens, &acpclient.LogoutOptions{PostLogoutRedirectURL: "https://app.example/"})
			if err != nil && !errors.Is(err, errors.ErrUnsupported) {
				t.Fatal(err)
			}
			if page := s.Browser().NavigateUntil(logout, func(u *url.URL) bool { return u.Host == "app.example" }); page.Next == nil {
				t.Errorf("logout ended at %d %s", page.Status(), page.Body())
			}
		})
	}
}
