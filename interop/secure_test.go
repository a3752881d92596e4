package interop_test

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
)

// issue makes a certificate for a day, self-signed where there is no authority.
func issue(t *testing.T, name string, authority *tls.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: authority == nil,
	}
	parent, signer := template, crypto.Signer(key)
	if authority != nil {
		parent, signer = authority.Leaf, authority.PrivateKey.(crypto.Signer)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func pemOf(t *testing.T, c tls.Certificate) (certificate, key string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// publicJWK is a key as a registration holds it.
func publicJWK(t *testing.T, key crypto.PublicKey) map[string]any {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		point, err := key.Bytes() // 0x04, X, Y
		if err != nil {
			t.Fatal(err)
		}
		return map[string]any{"kty": "EC", "crv": "P-256", "use": "sig", "x": encode(point[1:33]), "y": encode(point[33:])}
	case *rsa.PublicKey:
		return map[string]any{"kty": "RSA", "use": "sig", "n": encode(key.N.Bytes()), "e": encode(big.NewInt(int64(key.E)).Bytes())}
	}
	t.Fatalf("a key of type %T", key)
	return nil
}

// startSecure starts oidc-provider over TLS. trusted holds its certificate.
func startSecure(t *testing.T, config map[string]any) (issuer string, trusted *x509.CertPool, p *process) {
	t.Helper()
	own := issue(t, "localhost", nil)
	config["path"] = "/bank/customers"
	config["cert"], config["key"] = pemOf(t, own)
	line, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "secure.mjs")
	cmd.Dir = "oidcprovider"
	stdin, err := cmd.StdinPipe() // its end is the server's end
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p = startProcess(t, cmd)
	if _, err := stdin.Write(append(bytes.TrimSpace(line), '\n')); err != nil {
		t.Fatal(err)
	}
	first := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		first <- line
	}()
	var hello struct{ Issuer string }
	select {
	case line := <-first:
		if err := json.Unmarshal([]byte(line), &hello); err != nil {
			t.Fatalf("oidc-provider did not start: %v\n%s", err, p.stderr)
		}
	case <-time.After(patience):
		t.Fatalf("oidc-provider did not start within %v\n%s", patience, p.stderr)
	}
	trusted = x509.NewCertPool()
	trusted.AddCert(own.Leaf)
	return hello.Issuer, trusted, p
}

// A whole login at a certified server, with each way to authenticate and each form of
// authorization request that a financial profile asks for.
func TestSecureProfiles(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	authority := issue(t, "authority", nil)
	selfSigned, issued := issue(t, "client.example", nil), issue(t, "client.example", &authority)
	secret := strings.Repeat(rand.Text(), 3)
	withChain := publicJWK(t, selfSigned.Leaf.PublicKey)
	withChain["x5c"] = []string{base64.StdEncoding.EncodeToString(selfSigned.Certificate[0])}
	auths := []struct {
		name     string
		auth     acpclient.ClientAuth
		register map[string]any
		mutual   bool
	}{
		{"client_secret_basic", acpclient.SecretBasic(secret), map[string]any{"client_secret": secret}, false},
		{"client_secret_jwt", acpclient.SecretJWT{Secret: secret}, map[string]any{"client_secret": secret, "token_endpoint_auth_signing_alg": "HS256"}, false},
		{"private_key_jwt", acpclient.PrivateKeyJWT{Key: rsaKey, Alg: "PS256"}, map[string]any{"token_endpoint_auth_signing_alg": "PS256"}, false},
		{"tls_client_auth", acpclient.MutualTLS{Certificate: issued}, map[string]any{"tls_client_auth_san_dns": "client.example"}, true},
		{"self_signed_tls_client_auth", acpclient.MutualTLS{Certificate: selfSigned}, map[string]any{}, true},
	}
	requests := []struct {
		name        string
		par, object bool
		alg         string
		encryption  string // alg and enc
	}{
		{"plain", false, false, "", ""}, {"PAR", true, false, "", ""},
		{"JAR ES256", false, true, "ES256", ""}, {"PAR and JAR PS256", true, true, "PS256", ""},
		{"JAR ES256, encrypted by RSA", false, true, "ES256", "RSA-OAEP-256 A256GCM"}, {"PAR and JAR PS256, encrypted by ECDH", true, true, "PS256", "ECDH-ES+A256KW A128CBC-HS256"},
	}
	clientCA, _ := pemOf(t, authority)
	for _, req := range requests {
		t.Run(req.name, func(t *testing.T) {
			t.Parallel()
			var clients []map[string]any
			for _, a := range auths {
				c := map[string]any{
					"client_id": a.name, "token_endpoint_auth_method": a.name, "redirect_uris": []string{"https://app.example/callback"},
					"grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"}, "id_token_signed_response_alg": "ES256",
					"jwks": map[string]any{"keys": []any{publicJWK(t, ec.Public()), publicJWK(t, rsaKey.Public()), withChain}},
				}
				for name, value := range a.register {
					c[name] = value
				}
				clients = append(clients, c)
			}
			issuer, trusted, p := startSecure(t, map[string]any{"clients": clients, "clientCA": clientCA, "requirePAR": req.par, "requireRequestObject": req.object})
			defer func() {
				if t.Failed() {
					t.Logf("oidc-provider:\n%s", p.stderr)
				}
			}()
			for _, a := range auths {
				t.Run(a.name, func(t *testing.T) {
					before := len(seenBySecure(t, issuer, trusted))
					config := acpclient.Config{
						Issuer: issuer, ClientID: a.name, Auth: a.auth, RedirectURL: "https://app.example/callback", RootCAs: trusted,
						Scopes: []string{"openid", "offline_access"}, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
					}
					switch req.alg {
					case "ES256":
						config.RequestObject = &acpclient.RequestObject{Key: ec, Alg: req.alg}
					case "PS256":
						config.RequestObject = &acpclient.RequestObject{Key: rsaKey, Alg: req.alg}
					}
					if alg, enc, ok := strings.Cut(req.encryption, " "); ok {
						config.RequestObject.EncryptionAlg, config.RequestObject.EncryptionEnc = alg, enc
					}
					client, err := acpclient.New(config)
					if err != nil {
						t.Fatal(err)
					}
					defer client.Close(t.Context())
					if err := client.Ready(t.Context()); err != nil {
						t.Fatal(err)
					}
					address, flow, err := client.Authorize(t.Context(), &acpclient.AuthorizeOptions{LoginHint: "alice"})
					if err != nil {
						t.Fatal(err)
					}
					u, err := url.Parse(address)
					if err != nil {
						t.Fatal(err)
					}
					if names := len(u.Query()); (names == 2) != (req.par || req.object) {
						t.Errorf("%d parameters in %s", names, address)
					}
					browser := newAgent(t, config.RedirectURL)
					browser.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, DisableKeepAlives: true}
					tokens, err := client.Exchange(t.Context(), flow, browser.passServer(address, true))
					if err != nil {
						t.Fatal(err)
					}
					if tokens, err = client.Refresh(t.Context(), tokens); err != nil {
						t.Fatal(err)
					}
					if err := client.UserInfo(t.Context(), tokens, new(any)); err != nil {
						t.Error(err)
					}
					if err := client.Revoke(t.Context(), tokens); err != nil {
						t.Error(err)
					}
					own := map[string]int{}
					for _, s := range seenBySecure(t, issuer, trusted)[before:] {
						switch s.Path {
						case "/par", "/oauth2/token", "/userinfo", "/oauth2/revoke":
							own[s.Path]++
							if s.Mutual != a.mutual || s.Certificate != a.mutual {
								t.Errorf("MT-06 %+v", s)
							}
						default:
							if s.Mutual {
								t.Errorf("MT-06 %+v", s)
							}
						}
					}
					if (own["/par"] == 1) != req.par || own["/oauth2/token"] != 2 || own["/userinfo"] != 1 || own["/oauth2/revoke"] != 1 {
						t.Errorf("requests %v", own)
					}
				})
			}
		})
	}
}

// The server judges: another key, secret or certificate under the same name is refused.
func TestSecureImpostors(t *testing.T) {
	authority, other := issue(t, "authority", nil), issue(t, "authority", nil)
	registered, impostor := issue(t, "client.example", nil), issue(t, "client.example", nil)
	misnamed, misissued := issue(t, "other.example", &authority), issue(t, "client.example", &other)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	chain := publicJWK(t, registered.Leaf.PublicKey)
	chain["x5c"] = []string{base64.StdEncoding.EncodeToString(registered.Certificate[0])}
	base := func(id, method string) map[string]any {
		return map[string]any{
			"client_id": id, "token_endpoint_auth_method": method, "redirect_uris": []string{"https://app.example/callback"},
			"response_types": []string{"code"}, "grant_types": []string{"authorization_code"}, "jwks": map[string]any{"keys": []any{chain}},
			"id_token_signed_response_alg": "ES256",
		}
	}
	byAuthority, bySecret := base("tls", "tls_client_auth"), base("secret", "client_secret_jwt")
	byAuthority["tls_client_auth_san_dns"], bySecret["client_secret"] = "client.example", strings.Repeat("s3cret--", 8)
	clientCA, _ := pemOf(t, authority)
	issuer, trusted, _ := startSecure(t, map[string]any{
		"clients": []any{byAuthority, bySecret, base("self", "self_signed_tls_client_auth")}, "clientCA": clientCA, "requirePAR": true,
	})
	for _, row := range []struct {
		name, client string
		auth         acpclient.ClientAuth
		object       *acpclient.RequestObject
		code         string
	}{
		{"another certificate", "self", acpclient.MutualTLS{Certificate: impostor}, nil, "invalid_client"},
		{"another name", "tls", acpclient.MutualTLS{Certificate: misnamed}, nil, "invalid_client"},
		{"another authority", "tls", acpclient.MutualTLS{Certificate: misissued}, nil, "invalid_client"},
		{"another secret", "secret", acpclient.SecretJWT{Secret: strings.Repeat("another-", 8)}, nil, "invalid_client"},
		{"another key of the request", "self", acpclient.MutualTLS{Certificate: registered}, &acpclient.RequestObject{Key: ec}, "invalid_request_object"},
	} {
		t.Run(row.name, func(t *testing.T) {
			client, err := acpclient.New(acpclient.Config{
				Issuer: issuer, ClientID: row.client, Auth: row.auth, RequestObject: row.object, RootCAs: trusted, RedirectURL: "https://app.example/callback",
				Scopes: []string{"openid"}, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
			})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close(t.Context())
			if _, _, err := client.Authorize(t.Context(), nil); errorCode(err) != row.code {
				t.Errorf("%v, want %s", err, row.code)
			}
		})
	}
}
