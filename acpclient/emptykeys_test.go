package acpclient_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
)

// hsm is a key that lives elsewhere, and is not there yet.
type hsm struct{ crypto.Decrypter }

// CF-01: a key that could not be loaded is a mistake in the configuration, and no panic.
func TestEmptyKeys(t *testing.T) {
	own := clientCertificate(t, "app", nil)
	for name, key := range map[string]crypto.Signer{
		"no RSA key": (*rsa.PrivateKey)(nil), "an empty RSA key": &rsa.PrivateKey{},
		"no EC key": (*ecdsa.PrivateKey)(nil), "an empty EC key": &ecdsa.PrivateKey{},
		"no Ed25519 key": ed25519.PrivateKey(nil), "half an Ed25519 key": make(ed25519.PrivateKey, 16),
	} {
		for names, config := range map[string]acpclient.Config{
			"PrivateKeyJWT.Key":     {Auth: acpclient.PrivateKeyJWT{Key: key}},
			"RequestObject.Key":     {RequestObject: &acpclient.RequestObject{Key: key}},
			"MutualTLS.Certificate": {Auth: acpclient.MutualTLS{Certificate: tls.Certificate{Certificate: own.Certificate, PrivateKey: key}}},
			"Decryption.Keys[0]":    {Decryption: &acpclient.Decryption{IDToken: true, Keys: []acpclient.DecryptionKey{{Key: key}}}},
			"Decryption.Keys[1]":    {Decryption: &acpclient.Decryption{IDToken: true, Keys: []acpclient.DecryptionKey{decryption("RSA").Keys[0], {Key: hsm{}}}}},
		} {
			config.Issuer, config.ClientID = "https://as.example", "app"
			if _, err := acpclient.New(config); err == nil || !strings.Contains(err.Error(), names) {
				t.Errorf("%s: %v, which does not name %s", name, err, names)
			}
		}
	}
}
