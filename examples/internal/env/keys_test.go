package env_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/acp-go/acp/examples/internal/apptest"
	"github.com/acp-go/acp/examples/internal/env"
	"github.com/acp-go/acp/examples/internal/throwaway"
)

func read(t *testing.T, environ ...string) env.Settings {
	t.Helper()
	s, err := env.Read(append(environ, "ACP_ISSUER=https://as.example"), "ACP_KEY", "ACP_CERT")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestKeyFiles(t *testing.T) {
	ec, err := throwaway.Key()
	if err != nil {
		t.Fatal(err)
	}
	sec1, err1 := x509.MarshalECPrivateKey(ec)
	public, err2 := x509.MarshalPKIXPublicKey(ec.Public())
	weak, err3 := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	// openssl writes the curve's name before the key.
	withParameters := string(pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 0}})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}))
	for name, path := range map[string]string{
		"SEC 1": apptest.File(t, withParameters), "PKCS 8": apptest.KeyFile(t, ec),
	} {
		if key, err := read(t, "ACP_KEY="+path).Key("ACP_KEY"); err != nil || !ec.Equal(key) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if key, err := read(t, "ACP_KEY= ").Key("ACP_KEY"); key != nil || err != nil {
		t.Errorf("blank is not absent: %v", err)
	}
	for name, path := range map[string]string{
		"public":        apptest.PEM(t, "PUBLIC KEY", public),
		"broken":        apptest.PEM(t, "PRIVATE KEY", []byte(apptest.Canary)),
		"no PEM":        apptest.File(t, apptest.Canary),
		"no file":       "/" + apptest.Canary,
		"unknown curve": apptest.KeyFile(t, weak),
	} {
		if key, err := read(t, "ACP_KEY="+path).Key("ACP_KEY"); key != nil || err == nil ||
			!strings.HasPrefix(err.Error(), "ACP_KEY: ") || strings.Contains(err.Error(), apptest.Canary) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCertificateFiles(t *testing.T) {
	certificate, err1 := throwaway.Client("app")
	other, err2 := throwaway.Client("app")
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	own, key := certificate.Certificate[0], "ACP_KEY="+apptest.KeyFile(t, certificate.PrivateKey)
	got, err := read(t, key, "ACP_CERT="+apptest.PEM(t, "CERTIFICATE", own, other.Certificate[0])).Certificate("ACP_CERT", "ACP_KEY")
	if err != nil || len(got.Certificate) != 2 || !got.Leaf.Equal(certificate.Leaf) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := read(t).Certificate("ACP_CERT", "ACP_KEY"); got != nil || err != nil {
		t.Errorf("absent: %v", err)
	}
	for name, row := range map[string]struct {
		variable string
		environ  []string
	}{
		"no certificate": {"ACP_CERT", []string{key}},
		"no key":         {"ACP_KEY", []string{"ACP_CERT=" + apptest.PEM(t, "CERTIFICATE", own)}},
		"another's":      {"ACP_CERT", []string{key, "ACP_CERT=" + apptest.PEM(t, "CERTIFICATE", other.Certificate[0], own)}},
		"broken":         {"ACP_CERT", []string{key, "ACP_CERT=" + apptest.PEM(t, "CERTIFICATE", []byte(apptest.Canary))}},
		"broken chain":   {"ACP_CERT", []string{key, "ACP_CERT=" + apptest.PEM(t, "CERTIFICATE", own, []byte(apptest.Canary))}},
		"no PEM":         {"ACP_CERT", []string{key, "ACP_CERT=" + apptest.File(t, apptest.Canary)}},
		"no file":        {"ACP_CERT", []string{key, "ACP_CERT=/" + apptest.Canary}},
	} {
		if got, err := read(t, row.environ...).Certificate("ACP_CERT", "ACP_KEY"); got != nil || err == nil ||
			!strings.HasPrefix(err.Error(), row.variable+": ") || strings.Contains(err.Error(), apptest.Canary) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
