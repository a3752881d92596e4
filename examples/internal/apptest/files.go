package apptest

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
)

// CookieKey is a new key for ACP_COOKIE_KEY.
func CookieKey() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.StdEncoding.EncodeToString(b)
}

// File is the path of a new file, which ends with the test.
func File(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.pem")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// PEM is the path of a new file with one block for each of ders.
func PEM(t *testing.T, kind string, ders ...[]byte) string {
	t.Helper()
	var content []byte
	for _, der := range ders {
		content = append(content, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})...)
	}
	return File(t, string(content))
}

// KeyFile is the path of a new file with this private key, in PKCS #8.
func KeyFile(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return PEM(t, "PRIVATE KEY", der)
}
