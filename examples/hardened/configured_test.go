package main

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/examples/internal/apptest"
	"github.com/acp-go/acp/examples/internal/throwaway"
	"github.com/acp-go/acp/middleware"
)

func TestMain(m *testing.M) { apptest.Main(m, main) }

// boundAPI takes tokens that are bound, and nothing else.
func boundAPI(t *testing.T, s *acptest.Server) string {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	verifier, err := acpclient.NewVerifier(acpclient.VerifierConfig{
		Profile: acpclient.FAPI2Security, Issuer: s.Issuer, Audience: s.Audience, RootCAs: s.RootCAs(),
	})
	if err != nil {
		t.Fatal(err)
	}
	protect, err := middleware.RequireBearer(verifier, &middleware.BearerOptions{
		Scopes: []string{"things.read"}, RequireBound: true, ClientCertificate: &middleware.ClientCertificate{},
		DPoP: &middleware.DPoPOptions{BaseURL: "https://" + server.Listener.Addr().String(), RequireNonce: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("things of " + middleware.AccessTokenFromContext(r.Context()).Subject))
	}))
	server.StartTLS()
	t.Cleanup(func() { server.Close(); _ = verifier.Close(t.Context()) })
	return server.URL + "/things"
}

// root is the certificate of the test servers.
func root(t *testing.T, s *acptest.Server) []byte {
	t.Helper()
	response, err := s.HTTPClient().Get(s.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.TLS.PeerCertificates[0].Raw
}

// AZ-30, DP-18, MT-01: a whole login of the program at somebody else's server, over TLS of its own and behind a proxy.
func TestConfigured(t *testing.T) {
	const origin = "https://app.example"
	certificate, err1 := throwaway.Client("hardened")
	authority, err2 := throwaway.NewAuthority()
	dpopKey, err3 := throwaway.Key()
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	own, err := authority.Loopback()
	if err != nil {
		t.Fatal(err)
	}
	public := certificate.Leaf.PublicKey
	certFile := "ACP_CLIENT_CERT=" + apptest.PEM(t, "CERTIFICATE", certificate.Certificate[0])
	byTLS := acptest.Client{AuthMethod: acptest.AuthSelfSignedTLS, Certificate: certificate.Leaf}
	signedByTLS := byTLS
	signedByTLS.RequestKey = public
	for name, row := range map[string]struct {
		server  acptest.Options
		environ []string
	}{
		"DPoP with nonces, own TLS": {
			acptest.Options{TLS: true, DPoPNonces: true, Client: acptest.Client{Key: public, DPoPBound: true}},
			[]string{
				"ACP_CLIENT_KEY_ID=key-1", "ACP_DPOP_KEY=" + apptest.KeyFile(t, dpopKey),
				"ACP_TLS_KEY=" + apptest.KeyFile(t, own.PrivateKey), "ACP_TLS_CERT=" + apptest.PEM(t, "CERTIFICATE", own.Certificate[0], authority.Certificate()),
			},
		},
		"DPoP, signed, by form": {
			acptest.Options{TLS: true, RequireRequestObject: true, Client: acptest.Client{Key: public, RequestKey: public, DPoPBound: true}},
			[]string{signing, "ACP_CLIENT_KEY_ID=key-1", "ACP_RESPONSE_MODE=form_post.jwt"},
		},
		"certificate beside a key": {
			acptest.Options{MTLS: true, Client: acptest.Client{Key: public}}, []string{certFile, "ACP_CLIENT_KEY_ID=key-1"},
		},
		"certificate": {acptest.Options{MTLS: true, Client: byTLS}, []string{selfSigned, certFile}},
		"certificate, signed": {
			acptest.Options{MTLS: true, RequireRequestObject: true, Client: signedByTLS},
			[]string{selfSigned, certFile, signing},
		},
	} {
		t.Run(name, func(t *testing.T) {
			row.server.RequirePAR, row.server.IssParameter = true, true
			row.server.Client.RedirectURIs = []string{origin + "/callback"}
			s := acptest.NewServer(t, &row.server)
			if row.server.MTLS {
				sum := sha256.Sum256(certificate.Leaf.Raw)
				s.OnMetadata(func(m map[string]any) { m["tls_client_certificate_bound_access_tokens"] = true })
				s.OnAccessToken(func(_, claims map[string]any) {
					claims["cnf"] = map[string]any{"x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:])}
				})
			}
			keyFile, cookieKey := apptest.KeyFile(t, certificate.PrivateKey), apptest.CookieKey()
			p := apptest.Start(t, append([]string{
				"ACP_ISSUER=" + s.Issuer, "ACP_CLIENT_ID=" + s.ClientID, "ACP_REDIRECT_URL=" + origin + "/callback",
				"ACP_CLIENT_KEY=" + keyFile, "ACP_SCOPES=openid profile offline_access things.read", "ACP_COOKIE_KEY=" + cookieKey,
				"ACP_LISTEN=127.0.0.1:0", "ACP_API_URL=" + boundAPI(t, s), "ACP_ROOT_CA=" + apptest.PEM(t, "CERTIFICATE", root(t, s)),
			}, row.environ...)...)
			at, err := url.Parse(p.URL)
			if err != nil {
				t.Fatal(err)
			}
			if ownTLS := strings.Contains(name, "own TLS"); (at.Scheme == "https") != ownTLS {
				t.Errorf("it serves %s", p.URL)
			}
			proxy := httputil.NewSingleHostReverseProxy(at)
			proxy.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authority.Pool(), MinVersion: tls.VersionTLS12}}
			browser := s.Browser()
			browser.Mount(origin, proxy)
			if step := browser.Fetch(http.MethodGet, origin+"/healthz", nil); step.Status != http.StatusOK {
				t.Fatalf("/healthz: %d", step.Status)
			}
			page := browser.Navigate(origin + "/profile")
			if page.Status() != http.StatusOK || page.URL().String() != origin+"/profile" || !strings.Contains(page.Body(), "alice") {
				t.Fatalf("%d at %s\n%s\n%s", page.Status(), page.URL(), page.Body(), p.Stderr)
			}
			var called struct {
				Status int
				Body   string
			}
			step := browser.Fetch(http.MethodGet, origin+"/api/call", nil)
			if json.Unmarshal(step.ResponseBody, &called) != nil || called.Status != http.StatusOK || called.Body != "things of alice" {
				t.Errorf("/api/call: %d %s\n%s", step.Status, step.ResponseBody, p.Stderr)
			}
			for _, cookie := range browser.Cookies(origin + "/") {
				if !strings.HasPrefix(cookie.Name, "__Host-") {
					t.Errorf("cookie %s", cookie.Name)
				}
			}
			key, err := os.ReadFile(keyFile)
			if err != nil {
				t.Fatal(err)
			}
			secrets := []string{cookieKey, keyFile, strings.Split(string(key), "\n")[1]}
			for _, e := range []acptest.Endpoint{acptest.PAREndpoint, acptest.TokenEndpoint} {
				requests := s.Requests(e)
				if len(requests) == 0 {
					t.Errorf("%s was not asked", e)
				}
				for _, r := range requests {
					for _, secret := range []string{"client_assertion", "code", "code_verifier", "request"} {
						secrets = append(secrets, r.Form.Get(secret))
					}
					if assertion := r.Form.Get("client_assertion"); (assertion == "") != (row.server.Client.AuthMethod == acptest.AuthSelfSignedTLS) || assertion != "" && kid(t, assertion) != "key-1" {
						t.Errorf("%s: assertion %q", e, assertion)
					}
				}
			}
			p.End(t, syscall.SIGTERM)
			output := p.Stdout.String() + p.Stderr.String()
			for _, secret := range secrets {
				if secret != "" && strings.Contains(output, secret) {
					t.Errorf("it printed %q:\n%s", secret, output)
				}
			}
			if made := strings.Contains(output, "ACP_DPOP_KEY"); made != strings.HasPrefix(name, "DPoP, signed") || strings.Contains(output, "level=ERROR") {
				t.Errorf("log:\n%s", output)
			}
		})
	}
}

// kid is that of a JWS.
func kid(t *testing.T, jws string) string {
	t.Helper()
	header, _, _ := strings.Cut(jws, ".")
	raw, err := base64.RawURLEncoding.DecodeString(header)
	var h struct{ Kid string }
	if err != nil || json.Unmarshal(raw, &h) != nil {
		t.Fatalf("header %q", header)
	}
	return h.Kid
}

func TestEndsWhenIdle(t *testing.T) {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // made by the process
	apptest.EndsWhenIdle(t, func(t *testing.T, base string) {
		response, err := client.Get(base + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		if response.Body.Close(); response.StatusCode != http.StatusOK {
			t.Errorf("/healthz: status %d", response.StatusCode)
		}
	})
}
