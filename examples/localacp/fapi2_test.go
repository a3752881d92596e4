package localacp_test

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/examples/internal/throwaway"
	"github.com/acp-go/acp/examples/localacp"
)

const secureURL = "https://127.0.0.1:9/callback"

// fapi2 is a server of FAPI 2.0, and a client that is registered there.
type fapi2 struct {
	*localacp.Server
	certificate *tls.Certificate
	roots       *x509.CertPool
}

func startFAPI2(t *testing.T) *fapi2 {
	t.Helper()
	authority, err := throwaway.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	server, err := authority.Loopback()
	if err != nil {
		t.Fatal(err)
	}
	own, err := throwaway.Client("web")
	if err != nil {
		t.Fatal(err)
	}
	return &fapi2{certificate: own, roots: authority.Pool(), Server: start(t, localacp.Options{
		FAPI2: true, Certificate: server,
		Clients: []localacp.Client{
			{ID: "web", Certificate: own.Leaf, PublicKey: own.Leaf.PublicKey, RedirectURLs: []string{secureURL}},
			{ID: "signer", PublicKey: own.Leaf.PublicKey, RedirectURLs: []string{secureURL}},
		},
	})}
}

func (f *fapi2) client(t *testing.T, edit func(*acpclient.Config)) *acpclient.Client {
	t.Helper()
	config := acpclient.Config{
		Issuer: f.Issuer, ClientID: "web", RedirectURL: secureURL, RootCAs: f.roots, Logger: slog.New(slog.DiscardHandler),
		Profile: acpclient.FAPI2Security, Auth: acpclient.MutualTLS{Certificate: *f.certificate}, Scopes: []string{"openid", "offline_access"},
	}
	edit(&config)
	client, err := acpclient.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return client
}

func (f *fapi2) browser(t *testing.T) *browser {
	b := newBrowser(t)
	b.client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: f.roots}
	return b
}

// signOn goes from the authorize request to the callback.
func (f *fapi2) signOn(t *testing.T, address string) url.Values {
	t.Helper()
	location, err := f.browser(t).signIn(address).Location()
	if err != nil || !strings.HasPrefix(location.String(), secureURL+"?") {
		t.Fatalf("%v, %v", location, err)
	}
	return location.Query()
}

// A client under each profile gets through, and gets tokens that its certificate alone opens.
func TestFAPI2(t *testing.T) {
	f := startFAPI2(t)
	for _, profile := range []acpclient.Profile{acpclient.FAPI2Security, acpclient.FAPI2MessageSigning} {
		t.Run(string(profile), func(t *testing.T) {
			client := f.client(t, func(c *acpclient.Config) {
				c.Profile = profile
				if profile == acpclient.FAPI2MessageSigning {
					c.RequestObject = &acpclient.RequestObject{Key: f.certificate.PrivateKey.(crypto.Signer)}
				}
			})
			if err := client.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
			address, flow, err := client.Authorize(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			back := f.signOn(t, address)
			if back.Has("response") != (profile == acpclient.FAPI2MessageSigning) || back.Has("code") == back.Has("response") {
				t.Errorf("callback %v", back)
			}
			tokens, err := client.Exchange(t.Context(), flow, back)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(f.certificate.Certificate[0])
			for range 2 {
				cnf, _ := part(t, tokens.AccessToken, 1)["cnf"].(map[string]any)
				if cnf["x5t#S256"] != base64.RawURLEncoding.EncodeToString(sum[:]) {
					t.Errorf("cnf %v", cnf)
				}
				if tokens, err = client.Refresh(t.Context(), tokens); err != nil {
					t.Fatal(err)
				}
			}
			if err := client.UserInfo(t.Context(), tokens, new(any)); err != nil {
				t.Error(err)
			}
			if page := f.browser(t).get(address); page.StatusCode < 400 {
				t.Errorf("the request_uri serves twice: %d", page.StatusCode)
			}
		})
	}
}

// With private_key_jwt tokens are bound to the client's DPoP key.
func TestFAPI2DPoP(t *testing.T) {
	f := startFAPI2(t)
	key, err := throwaway.Key()
	if err != nil {
		t.Fatal(err)
	}
	client := f.client(t, func(c *acpclient.Config) {
		c.ClientID, c.Auth = "signer", acpclient.PrivateKeyJWT{Key: f.certificate.PrivateKey.(crypto.Signer)}
		c.DPoP = &acpclient.DPoP{Key: key}
	})
	if err := client.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	address, flow, err := client.Authorize(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := client.Exchange(t.Context(), flow, f.signOn(t, address))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if cnf, _ := part(t, tokens.AccessToken, 1)["cnf"].(map[string]any); cnf["jkt"] != flow.DPoPKey || tokens.TokenType != "DPoP" {
			t.Errorf("%s, cnf %v", tokens.TokenType, cnf)
		}
		if tokens, err = client.Refresh(t.Context(), tokens); err != nil {
			t.Fatal(err)
		}
	}
}

// What FAPI 2.0 forbids is refused.
func TestFAPI2Refusals(t *testing.T) {
	f := startFAPI2(t)
	t.Run("AZ-30 a request that was not pushed", func(t *testing.T) {
		page := f.browser(t).get(authorizeURL(f.Server, "redirect_uri", secureURL))
		if page.StatusCode == http.StatusOK {
			t.Errorf("status %d", page.StatusCode)
		}
		if location, err := page.Location(); err == nil && location.Query().Has("code") {
			t.Error("it got a code")
		}
	})
	t.Run("MT-02 another certificate", func(t *testing.T) {
		other, err := throwaway.Client("web")
		if err != nil {
			t.Fatal(err)
		}
		client := f.client(t, func(c *acpclient.Config) { c.Auth = acpclient.MutualTLS{Certificate: *other} })
		_, _, err = client.Authorize(t.Context(), nil)
		if acpclient.Reason(err) != "provider_error:invalid_client" {
			t.Error(err)
		}
	})
	t.Run("MT-02 no certificate at the common port", func(t *testing.T) {
		page := f.browser(t).post(f.Issuer+"/par", url.Values{"client_id": {"web"}, "response_type": {"code"}})
		if status, body := object(t, page); status != http.StatusUnauthorized && status != http.StatusBadRequest || body.text("error") != "invalid_client" {
			t.Errorf("%d %v", status, body)
		}
	})
	for name, options := range map[string]localacp.Options{
		"no certificate": {FAPI2: true, Clients: []localacp.Client{{ID: "web", Certificate: f.certificate.Leaf, RedirectURLs: []string{secureURL}}}},
		"a secret":       {FAPI2: true, Certificate: f.certificate, Clients: []localacp.Client{{ID: "web", Secret: "s3cret", RedirectURLs: []string{secureURL}}}},
		"RS256":          {FAPI2: true, Certificate: f.certificate, Alg: "RS256", Clients: []localacp.Client{{ID: "web", Certificate: f.certificate.Leaf, RedirectURLs: []string{secureURL}}}},
		"nobody asks":    {Clients: []localacp.Client{{ID: "web", Certificate: f.certificate.Leaf, RedirectURLs: []string{secureURL}}}},
	} {
		if server, err := localacp.Start(options); err == nil {
			t.Errorf("%s: it starts", name)
			_ = server.Close()
		}
	}
}
