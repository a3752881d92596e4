package acpclient_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// An API to which tokens are bound sees the certificate, however the client authenticates.
func TestAPISeesCertificate(t *testing.T) {
	own, key := clientCertificate(t, "app", nil), acptest.NewKey("ES256").Signer()
	api := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		for _, c := range req.TLS.PeerCertificates {
			io.WriteString(w, c.Subject.CommonName)
		}
		io.WriteString(w, " "+req.Header.Get("Authorization"))
	}))
	api.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	api.StartTLS()
	defer api.Close()
	roots := x509.NewCertPool()
	roots.AddCert(api.Certificate())
	mutual := acpclient.MutualTLS{Certificate: *own}
	for name, row := range map[string]struct {
		config acpclient.Config
		want   string
	}{
		"MutualTLS":                   {acpclient.Config{Auth: mutual}, "app Bearer t"},
		"a certificate and a key":     {acpclient.Config{Auth: acpclient.PrivateKeyJWT{Key: key}, Certificate: &mutual}, "app Bearer t"},
		"a certificate and a secret":  {acpclient.Config{Auth: acpclient.Secret("secret"), Certificate: &mutual}, "app Bearer t"},
		"a public client":             {acpclient.Config{Certificate: &mutual}, "app Bearer t"},
		"a transport of the caller's": {acpclient.Config{Certificate: &mutual, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}, "app Bearer t"},
		"none":                        {acpclient.Config{Auth: acpclient.PrivateKeyJWT{Key: key}}, " Bearer t"},
	} {
		t.Run(name, func(t *testing.T) {
			row.config.Issuer, row.config.ClientID = "https://as.example", "app"
			if row.config.Transport == nil {
				row.config.RootCAs = roots
			}
			client, err := acpclient.New(row.config)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close(t.Context())
			res, err := client.HTTPClient(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "t"})).Get(api.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if body, _ := io.ReadAll(res.Body); string(body) != row.want {
				t.Errorf("the API saw %q, want %q", body, row.want)
			}
			if client.Config().Certificate != nil {
				t.Error("Config shows the certificate and its key")
			}
		})
	}
}

func TestCertificateMistakes(t *testing.T) { // CF-07
	own := clientCertificate(t, "app", nil)
	mutual := &acpclient.MutualTLS{Certificate: *own}
	for name, row := range map[string]struct {
		config acpclient.Config
		says   string
	}{
		"empty":                {acpclient.Config{Certificate: &acpclient.MutualTLS{}}, "Certificate: MutualTLS.Certificate is empty"},
		"without a key":        {acpclient.Config{Certificate: &acpclient.MutualTLS{Certificate: tls.Certificate{Certificate: own.Certificate}}}, "Certificate: MutualTLS.Certificate has no PrivateKey"},
		"beside another":       {acpclient.Config{Certificate: mutual, Auth: *mutual}, "Certificate: is set beside"},
		"another RoundTripper": {acpclient.Config{Certificate: mutual, Transport: http.NewFileTransport(http.Dir("."))}, "Transport: is a"},
	} {
		row.config.Issuer, row.config.ClientID = "https://as.example", "app"
		if _, err := acpclient.New(row.config); err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("CF-07 %s: %v, want %q", name, err, row.says)
		}
	}
}
