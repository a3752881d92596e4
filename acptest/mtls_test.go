package acptest_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acptest"
)

// selfSigned makes a certificate that is a client's.
func selfSigned(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key := acptest.NewKey("ES256").Signer()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), crypto.Signer(key))
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// The second port lets nobody in without a certificate, and the first asks for none.
func TestMTLSPort(t *testing.T) {
	own := selfSigned(t, "app")
	rec := &recorder{TB: t}
	c := &client{t: t, s: acptest.NewServer(rec, &acptest.Options{MTLS: true, Client: acptest.Client{ID: "app", AuthMethod: acptest.AuthSelfSignedTLS, Certificate: own.Leaf}})}
	meta := c.get(c.s.URL(acptest.MetadataEndpoint), nil)
	aliases, _ := meta.json["mtls_endpoint_aliases"].(map[string]any)
	for _, name := range []string{"token_endpoint", "revocation_endpoint", "introspection_endpoint", "userinfo_endpoint", "pushed_authorization_request_endpoint"} {
		alias, _ := aliases[name].(string)
		if issuer, _ := meta.json["mtls_issuer"].(string); alias == "" || alias == meta.json[name] || !strings.HasPrefix(alias, issuer) || issuer == c.s.Issuer {
			t.Errorf("%s: alias %q of %q, mtls_issuer %q", name, alias, meta.json[name], issuer)
		}
	}
	if _, has := aliases["jwks_uri"]; has || len(aliases) != 5 {
		t.Errorf("aliases %v", aliases)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.s.RootCAs()}}
	defer transport.CloseIdleConnections()
	if _, err := (&http.Client{Transport: transport}).Get(aliases["userinfo_endpoint"].(string)); err == nil {
		t.Error("the second port lets somebody in without a certificate")
	}
	// At the first port a certificate is not seen, so that the client has none.
	transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.s.RootCAs(), Certificates: []tls.Certificate{own}}}
	defer transport.CloseIdleConnections()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"app"}}
	for address, want := range map[string]int{c.s.URL(acptest.TokenEndpoint): 401, aliases["token_endpoint"].(string): 200} {
		res, err := (&http.Client{Transport: transport}).PostForm(address, form)
		if err != nil {
			t.Fatal(err)
		}
		if res.Body.Close(); res.StatusCode != want {
			t.Errorf("%s: %d, want %d", address, res.StatusCode, want)
		}
	}
	if len(rec.failures) != 1 || !strings.Contains(rec.text(), "self_signed_tls_client_auth") {
		t.Errorf("failures %q", rec.failures)
	}
	requests := c.s.Requests(acptest.TokenEndpoint)
	seen := 0
	for _, r := range requests {
		if r.Certificate != nil && bytes.Equal(r.Certificate.Raw, own.Certificate[0]) {
			seen++
		}
	}
	if seen != 1 {
		t.Errorf("%d of %d requests show the certificate", seen, len(requests))
	}
}
