package interop_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"github.com/acp-go/acp/acpclient"
)

// client is a registration, as both the server and the application under test see it.
// Its credentials are made for one test.
type client struct {
	ID           string
	Auth         string // token_endpoint_auth_method
	Secret       string
	Key          *ecdsa.PrivateKey
	RedirectURL  string
	PostLogout   string
	ResponseMode string // "" or form_post
}

// clientKinds are the ways in which a client can prove itself.
var clientKinds = []string{"client_secret_basic", "client_secret_post", "none", "private_key_jwt"}

func newClient(t *testing.T, auth, origin string) client {
	t.Helper()
	c := client{ID: "web", Auth: auth, RedirectURL: origin + "/callback", PostLogout: origin + "/"}
	switch auth {
	case "client_secret_basic", "client_secret_post":
		// Characters that basic authentication must encode twice (RFC 6749 2.3.1).
		c.Secret = rand.Text() + ":%+ /&=" + rand.Text()
	case "private_key_jwt":
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c.Key = key
	}
	return c
}

// clientAuth is the client's credential as the SDK takes it.
func (c client) clientAuth() acpclient.ClientAuth {
	switch c.Auth {
	case "client_secret_basic":
		return acpclient.SecretBasic(c.Secret)
	case "client_secret_post":
		return acpclient.SecretPost(c.Secret)
	case "private_key_jwt":
		return acpclient.PrivateKeyJWT{Key: c.Key}
	}
	return nil
}

// jwk is the public key as the server registers it.
func (c client) jwk(t *testing.T) map[string]string {
	t.Helper()
	point, err := c.Key.PublicKey.Bytes() // 0x04, X, Y
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return map[string]string{
		"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256",
		"x": encode(point[1:33]), "y": encode(point[33:]),
	}
}

// keyFile writes the private key for the application under test.
func (c client) keyFile(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.Key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "client-key.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
