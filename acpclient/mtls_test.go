package acpclient_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// clientCertificate makes one, self-signed where there is no authority.
func clientCertificate(t testing.TB, name string, authority *tls.Certificate) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return certificateOf(t, name, key, authority)
}

func certificateOf(t testing.TB, name string, key crypto.Signer, authority *tls.Certificate) *tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true, IsCA: authority == nil,
	}
	parent, signer := template, key
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
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// The certificate is on every connection where the client proves itself, and nothing but
// the client's id is in the form.
func TestMutualTLS(t *testing.T) {
	own, authority := clientCertificate(t, "app", nil), clientCertificate(t, "authority", nil)
	issued := clientCertificate(t, "app", authority)
	selfSigned := acptest.Client{AuthMethod: acptest.AuthSelfSignedTLS, Certificate: own.Leaf}
	byAuthority := acptest.Client{AuthMethod: acptest.AuthTLS, Certificate: clientCertificate(t, "app", authority).Leaf, CertificateCA: authority.Leaf}
	asked := func(c *tls.Certificate) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c, nil }
	}
	rows := []struct {
		name   string
		client acptest.Client
		mtls   bool
		auth   acpclient.ClientAuth
		with   *tls.Certificate
	}{
		{"self-signed", selfSigned, false, acpclient.MutualTLS{Certificate: *own}, own},
		{"MT-06 self-signed, aliases", selfSigned, true, acpclient.MutualTLS{Certificate: *own}, own},
		{"MT-06 by an authority, aliases", byAuthority, true, acpclient.MutualTLS{Certificate: *issued}, issued},
		{"MT-06 by pointer", selfSigned, true, &acpclient.MutualTLS{Certificate: *own}, own},
		{"MT-06 in an HSM", selfSigned, true, acpclient.MutualTLS{Certificate: tls.Certificate{Certificate: own.Certificate, PrivateKey: opaque{own.PrivateKey.(crypto.Signer)}}}, own},
		{"MT-08 asked for each time", selfSigned, true, acpclient.MutualTLS{GetClientCertificate: asked(own)}, own},
	}
	for _, row := range rows {
		for _, transport := range []string{"ours", "the caller's"} {
			t.Run(row.name+", transport "+transport, func(t *testing.T) {
				var theirs *http.Transport
				r := newRig(t, &acptest.Options{Client: row.client, TLS: true, MTLS: row.mtls, RequirePAR: true}, func(c *acpclient.Config) {
					c.Auth = row.auth
					if transport != "ours" {
						theirs = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.RootCAs, ClientSessionCache: tls.NewLRUClientSessionCache(8)}}
						c.RootCAs, c.Transport = nil, theirs
					}
				})
				requests := append(everyEndpoint(t, r), r.Requests(acptest.PAREndpoint)...)
				for _, req := range requests {
					if req.Form.Get("client_id") != r.ClientID || req.Form.Has("client_secret") || req.Form.Has("client_assertion") || req.Header.Get("Authorization") != "" {
						t.Errorf("%s: form %v", req.Path, req.Form)
					}
				}
				if err := r.client.UserInfo(t.Context(), r.login(), new(any)); err != nil {
					t.Error("UserInfo:", err)
				}
				for _, req := range append(requests, r.Requests(acptest.UserInfoEndpoint)...) {
					if req.Certificate == nil || !req.Certificate.Equal(row.with.Leaf) {
						t.Errorf("MT-06 %s: another certificate, or none", req.Path)
					}
				}
				for _, e := range []acptest.Endpoint{acptest.MetadataEndpoint, acptest.JWKSEndpoint} {
					if req := r.Requests(e)[0]; row.mtls && req.Certificate != nil {
						t.Errorf("MT-06 %s has an alias", req.Path)
					}
				}
				if theirs != nil && (theirs.TLSClientConfig.GetClientCertificate != nil || theirs.TLSClientConfig.ClientSessionCache == nil) {
					t.Error("the caller's transport was changed")
				}
			})
		}
	}
}

// A certificate that the server does not know is a refusal like any, sent once.
func TestMutualTLSRefused(t *testing.T) {
	own, authority := clientCertificate(t, "app", nil), clientCertificate(t, "authority", nil)
	for name, row := range map[string]struct {
		client acptest.Client
		with   *tls.Certificate
	}{
		"same name, self-signed":    {acptest.Client{AuthMethod: acptest.AuthSelfSignedTLS, Certificate: own.Leaf}, clientCertificate(t, "app", nil)},
		"same name, another issuer": {acptest.Client{AuthMethod: acptest.AuthTLS, Certificate: own.Leaf, CertificateCA: authority.Leaf}, own},
		"another name":              {acptest.Client{AuthMethod: acptest.AuthTLS, Certificate: own.Leaf, CertificateCA: authority.Leaf}, clientCertificate(t, "other", authority)},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, &acptest.Options{Client: row.client, MTLS: true}, func(c *acpclient.Config) { c.Auth = acpclient.MutualTLS{Certificate: *row.with} })
			flow, callback := r.callback(nil)
			_, err := r.client.Exchange(t.Context(), flow, callback)
			r.fails(err, nil, "provider_error:invalid_client")
			r.asked(acptest.TokenEndpoint, 1)
		})
	}
}

// CF-01, CF-07: what cannot work is said before the first request.
func TestMutualTLSChecks(t *testing.T) {
	own := clientCertificate(t, "app", nil)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	get := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own, nil }
	good := acpclient.MutualTLS{Certificate: *own}
	rows := []struct {
		name      string
		auth      acpclient.ClientAuth
		transport http.RoundTripper
		says      string
	}{
		{"CF-01 zero", acpclient.MutualTLS{}, nil, "Auth: MutualTLS.Certificate is empty"},
		{"CF-01 nil", (*acpclient.MutualTLS)(nil), nil, "Auth: MutualTLS.Certificate is empty"},
		{"CF-01 no key", acpclient.MutualTLS{Certificate: tls.Certificate{Certificate: own.Certificate}}, nil, "has no PrivateKey"},
		{"CF-01 a key that cannot sign", acpclient.MutualTLS{Certificate: tls.Certificate{Certificate: own.Certificate, PrivateKey: "key"}}, nil, "has no PrivateKey"},
		{"CF-01 another's key", acpclient.MutualTLS{Certificate: tls.Certificate{Certificate: own.Certificate, PrivateKey: newSigner(t, "ES256")}}, nil, "is not that of its PrivateKey"},
		{"CF-01 no certificate", acpclient.MutualTLS{Certificate: tls.Certificate{Certificate: [][]byte{[]byte("x")}, PrivateKey: own.PrivateKey}}, nil, "cannot be parsed"},
		{"CF-01 RSA-1024", acpclient.MutualTLS{Certificate: *certificateOf(t, "small", small, nil)}, nil, "2048"},
		{"CF-07 two of them", acpclient.MutualTLS{Certificate: *own, GetClientCertificate: get}, nil, "both"},
		{"CF-07 transport of another kind", good, roundTripper(func(*http.Request) (*http.Response, error) { return nil, io.EOF }), "Transport: is a"},
		{"CF-07 transport of another kind, asked each time", acpclient.MutualTLS{GetClientCertificate: get}, roundTripper(func(*http.Request) (*http.Response, error) { return nil, io.EOF }), "Transport: is a"},
		{"CF-07 nil transport", good, (*http.Transport)(nil), "Transport: is a"},
		{"CF-07 transport with a certificate", good, &http.Transport{TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{*own}}}, "Transport: has a client certificate"},
		{"CF-07 transport that asks for one", good, &http.Transport{TLSClientConfig: &tls.Config{GetClientCertificate: get}}, "Transport: has a client certificate"},
		{"CF-07 transport that dials TLS", good, &http.Transport{DialTLSContext: new(tls.Dialer).DialContext}, "Transport: makes its TLS"},
		{"CF-07 transport that dials TLS in the old way", good, oldDialer(), "Transport: makes its TLS"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			_, err := acpclient.New(acpclient.Config{Issuer: "https://as.example", ClientID: "app", Auth: row.auth, Transport: row.transport})
			if err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("New: %v, want %q", err, row.says)
			}
			_, err = acpclient.NewVerifier(acpclient.VerifierConfig{Issuer: "https://as.example", Audience: "api", Mode: "introspection", ClientID: "app", Auth: row.auth, Transport: row.transport})
			if err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("NewVerifier: %v, want %q", err, row.says)
			}
		})
	}
	for name, transport := range map[string]http.RoundTripper{"none": nil, "zero": &http.Transport{}, "default": http.DefaultTransport} {
		client, err := acpclient.New(acpclient.Config{Issuer: "https://as.example", ClientID: "app", Auth: good, Transport: transport})
		if err != nil {
			t.Errorf("transport %s: %v", name, err)
			continue
		}
		client.Close(t.Context())
	}
}

func oldDialer() *http.Transport {
	//lint:ignore SA1019 net/http still obeys it
	return &http.Transport{DialTLS: func(string, string) (net.Conn, error) { return nil, io.EOF }}
}

// A copy of a transport that speaks HTTP/2 of its own accord offers it, too, and must then speak it.
func TestCertifiedTransportSpeaksHTTP2(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { io.WriteString(w, req.Proto) }))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	for name, transport := range map[string]*http.Transport{"zero": {}, "ours": nil} {
		config := acpclient.Config{Issuer: s.URL, ClientID: "app", Auth: acpclient.MutualTLS{Certificate: *clientCertificate(t, "app", nil)}}
		if transport != nil {
			config.Transport = transport
		}
		client, err := acpclient.New(config)
		if err != nil {
			t.Fatal(err)
		}
		certified := acpclient.CertifiedTransport(client)
		certified.TLSClientConfig.RootCAs = x509.NewCertPool()
		certified.TLSClientConfig.RootCAs.AddCert(s.Certificate())
		res, err := (&http.Client{Transport: certified}).Get(s.URL)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if res.Body.Close(); res.ProtoMajor != 2 {
			t.Errorf("%s: %s", name, res.Proto)
		}
		client.Close(t.Context())
	}
}

// MT-06: an alias is judged as every endpoint, and what is wrong with one is an error for who
// needs it: the other address is not used in its place.
func TestMTLSAliases(t *testing.T) {
	own := clientCertificate(t, "app", nil)
	rows := []struct {
		name    string
		aliases any
		says    string // "" is success
	}{
		{"MT-06 http", map[string]any{"token_endpoint": "http://as.example/token"}, "token_endpoint"},
		{"MT-06 http on loopback", map[string]any{"token_endpoint": "http://127.0.0.1:1/token"}, "https"},
		{"MT-06 javascript", map[string]any{"revocation_endpoint": "javascript:alert(1)"}, "revocation_endpoint"},
		{"MT-06 private address", map[string]any{"introspection_endpoint": "https://10.0.0.1/i"}, "private"},
		{"MT-06 user information", map[string]any{"token_endpoint": "https://a@127.0.0.1/token"}, "token_endpoint"},
		{"MT-06 relative", map[string]any{"pushed_authorization_request_endpoint": "/par"}, "pushed_authorization_request_endpoint"},
		{"MT-06 empty", map[string]any{"userinfo_endpoint": ""}, "userinfo_endpoint"},
		{"MT-06 a number", map[string]any{"token_endpoint": 7}, "token_endpoint"},
		{"MT-06 a list of aliases", []any{"https://127.0.0.1/token"}, "mtls_endpoint_aliases"},
		{"MT-06 a string", "https://127.0.0.1/token", "mtls_endpoint_aliases"},
		{"MT-06 null", nil, ""},
		{"MT-06 none", map[string]any{}, ""},
		{"MT-06 of endpoints that have none", map[string]any{"jwks_uri": 7, "authorization_endpoint": "javascript:alert(1)", "token_endpoint": nil}, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, &acptest.Options{Client: acptest.Client{AuthMethod: acptest.AuthSelfSignedTLS, Certificate: own.Leaf}, TLS: true}, func(c *acpclient.Config) {
				c.Auth = acpclient.MutualTLS{Certificate: *own}
			})
			r.OnMetadata(func(m map[string]any) { m["mtls_endpoint_aliases"] = row.aliases })
			if row.says == "" {
				r.login()
				return
			}
			err := r.client.Ready(t.Context())
			r.fails(err, acpclient.ErrInvalidResponse, "metadata")
			if err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("%v does not say %q", err, row.says)
			}
			if _, _, err := r.client.Authorize(t.Context(), nil); err == nil {
				t.Error("Authorize goes on")
			}
			// Who has no certificate has no use for them.
			plain := newRig(t, &acptest.Options{TLS: true}, nil)
			plain.OnMetadata(func(m map[string]any) { m["mtls_endpoint_aliases"] = row.aliases })
			plain.login()
		})
	}
	t.Run("MT-06 http, where no certificate can be shown", func(t *testing.T) {
		r := newRig(t, nil, func(c *acpclient.Config) { c.Auth = acpclient.MutualTLS{Certificate: *own} })
		r.fails(r.client.Ready(t.Context()), acpclient.ErrInvalidResponse, "metadata")
	})
}

// MT-07: ACP's mTLS host serves the metadata of the other issuer, and only the configuration can say
// that this is meant.
func TestMTLSIssuer(t *testing.T) {
	own := clientCertificate(t, "app", nil)
	options := &acptest.Options{Client: acptest.Client{AuthMethod: acptest.AuthSelfSignedTLS, Certificate: own.Leaf}, MTLS: true}
	for name, expected := range map[string]bool{"MT-07 not expected": false, "MT-07 ID-07 expected": true} {
		t.Run(name, func(t *testing.T) {
			plain := ""
			r := newRig(t, options, func(c *acpclient.Config) {
				plain, c.Auth = c.Issuer, acpclient.MutualTLS{Certificate: *own}
				c.Issuer = mtlsIssuer(t, c)
				if expected {
					c.ExpectedIssuer = plain
				}
			})
			if !expected {
				err := r.client.Ready(t.Context())
				r.fails(err, acpclient.ErrInvalidResponse, "issuer")
				if err == nil || !strings.Contains(err.Error(), "mtls_issuer") || !strings.Contains(err.Error(), "ExpectedIssuer") {
					t.Errorf("%v", err)
				}
				return
			}
			r.login()
			if req := r.Requests(acptest.MetadataEndpoint); len(req) != 2 || req[1].Certificate == nil {
				t.Error("the metadata was not asked for at the mTLS host")
			}
			r.OnIDToken(func(_, claims map[string]any) { claims["iss"] = r.client.Config().Issuer })
			flow, callback := r.callback(nil)
			_, err := r.client.Exchange(t.Context(), flow, callback)
			r.fails(err, acpclient.ErrInvalidToken, "issuer")
		})
	}
}

// mtlsIssuer is what the metadata calls so.
func mtlsIssuer(t *testing.T, c *acpclient.Config) string {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.RootCAs}}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Get(c.Issuer + "/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var m struct {
		Issuer string `json:"mtls_issuer"`
	}
	if err := json.NewDecoder(res.Body).Decode(&m); err != nil || m.Issuer == c.Issuer {
		t.Fatalf("mtls_issuer %q, %v", m.Issuer, err)
	}
	return m.Issuer
}

// MT-08: a certificate that rotates on disk is the next connection's.
func TestCertificateRotates(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write := func(c *tls.Certificate) {
		key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: c.Certificate[0]}, keyFile: {Type: "PRIVATE KEY", Bytes: key}} {
			if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	first, second := clientCertificate(t, "app", nil), clientCertificate(t, "app", nil)
	write(first)
	registration := acptest.Client{ID: "app", AuthMethod: acptest.AuthSelfSignedTLS, Certificate: first.Leaf}
	r := newRig(t, &acptest.Options{Client: registration, MTLS: true}, func(c *acpclient.Config) {
		c.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.RootCAs, ClientSessionCache: tls.NewLRUClientSessionCache(8)}, DisableKeepAlives: true}
		c.RootCAs = nil
		c.Auth = acpclient.MutualTLS{GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			c, err := tls.LoadX509KeyPair(certFile, keyFile)
			return &c, err
		}}
	})
	tokens := r.login()
	write(second)
	registration.Certificate = second.Leaf
	r.Register(registration)
	tokens, err := r.client.Refresh(t.Context(), tokens)
	if err != nil {
		t.Fatal("MT-08:", err)
	}
	r.tokenSecrets(tokens)

	// Where it cannot be read, nothing is sent without it.
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	_, err = r.client.Refresh(t.Context(), tokens)
	r.fails(err, acpclient.ErrUnavailable, "unavailable")
	if err == nil || !strings.Contains(err.Error(), "no client certificate") {
		t.Errorf("MT-08: %v", err)
	}
	r.asked(acptest.TokenEndpoint, 2)
}

type panickingKey struct{ crypto.Signer }

func (panickingKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	panic("HSM is away")
}

// crypto/tls takes an empty certificate for none, and goes on.
func TestCertificateIsMissing(t *testing.T) {
	own := clientCertificate(t, "app", nil)
	for name, get := range map[string]func(*tls.CertificateRequestInfo) (*tls.Certificate, error){
		"MT-06 nil":   func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return nil, nil },
		"MT-06 empty": func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil },
		"MT-06 no key": func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: own.Certificate}, nil
		},
		"MT-06 error": func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own, errors.New("HSM is away") },
		// On a goroutine that is nobody's request, where it would end the program.
		"MT-06 panic": func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { panic("HSM is away") },
		"MT-06 panic of the key": func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: own.Certificate, PrivateKey: panickingKey{own.PrivateKey.(crypto.Signer)}}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, &acptest.Options{Client: acptest.Client{AuthMethod: acptest.AuthSelfSignedTLS, Certificate: own.Leaf}, TLS: true}, func(c *acpclient.Config) {
				c.Auth = acpclient.MutualTLS{GetClientCertificate: get}
			})
			err := r.client.Ready(t.Context())
			r.fails(err, acpclient.ErrUnavailable, "unavailable")
			if err == nil || !strings.Contains(err.Error(), "client certificate") {
				t.Errorf("%v", err)
			}
			r.asked(acptest.MetadataEndpoint, 0)
		})
	}
}

// MT-09: nobody but the authorization server sees the certificate: not the host of the
// keys, nor one that an endpoint redirects to.
func TestCertificateIsForTheServerAlone(t *testing.T) {
	own := clientCertificate(t, "app", nil)
	r := newRig(t, &acptest.Options{Client: acptest.Client{AuthMethod: acptest.AuthSelfSignedTLS, Certificate: own.Leaf}, TLS: true}, func(c *acpclient.Config) {
		c.Auth = acpclient.MutualTLS{Certificate: *own}
	})
	var mu sync.Mutex
	paths, seen := []string{}, 0
	third := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		paths, seen = append(paths, req.URL.Path), seen+len(req.TLS.PeerCertificates)
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"keys": []any{r.Key().JWK()}})
	}))
	third.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	third.Config.ErrorLog = log.New(io.Discard, "", 0)
	third.StartTLS()
	defer third.Close()
	r.OnMetadata(func(m map[string]any) { m["jwks_uri"] = third.URL + "/keys" })
	tokens := r.login()
	r.Handle(acptest.TokenEndpoint, acptest.RedirectTo(307, third.URL+"/token"))
	_, err := r.client.Refresh(t.Context(), tokens)
	r.fails(err, acpclient.ErrInvalidResponse, "response_malformed")
	mu.Lock()
	defer mu.Unlock()
	if seen != 0 || len(paths) != 1 || paths[0] != "/keys" {
		t.Errorf("MT-09: the other host saw %q, and %d certificates", paths, seen)
	}
	for _, req := range r.Requests(acptest.TokenEndpoint) {
		if req.Certificate == nil {
			t.Error("MT-09: the server itself saw none")
		}
	}
}

// MT-06: an API that introspects proves itself in the same way.
func TestIntrospectionByMutualTLS(t *testing.T) {
	own := clientCertificate(t, "api", nil)
	s := acptest.NewServer(t, &acptest.Options{MTLS: true, OpaqueTokens: true, Clients: []acptest.Client{{ID: "api", AuthMethod: acptest.AuthSelfSignedTLS, Certificate: own.Leaf}}})
	v, err := acpclient.NewVerifier(acpclient.VerifierConfig{
		Issuer: s.Issuer, Audience: s.Audience, Mode: "introspection", ClientID: "api", Auth: &acpclient.MutualTLS{Certificate: *own}, RootCAs: s.RootCAs(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close(t.Context())
	if a, err := v.Verify(t.Context(), s.AccessToken(nil)); err != nil || a.Subject != "alice" {
		t.Fatalf("%+v, %v", a, err)
	}
	if req := s.Requests(acptest.IntrospectEndpoint)[0]; req.Certificate == nil || req.Form.Get("client_id") != "api" {
		t.Errorf("form %v, certificate %t", req.Form, req.Certificate != nil)
	}
}
